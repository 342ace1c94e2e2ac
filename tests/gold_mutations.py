"""Answers made from a gold: some must be equal to it, some must not; by fixed rules, without chance."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from fractions import Fraction

NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
SIMPLE_FRACTION = re.compile(r"([-+]?)\\[dt]?frac\s*\{(\d+)\}\s*\{(\d+)\}")
LIST = re.compile(r"[^()\[\]{}]*")
UNIT = re.compile(r"\s*(?:\\text\s?\{\s*[a-z]{2,}s?\s*\}|\\mbox\s?\{\s*[a-z]{2,}s?\s*\}|\^\s?\{?\\circ\}?)$")
RELATIONS = (r"\ge", r"\leq", r"\neq", r"\approx", r"\neg", "<", ">")
WORDS_BEHIND = ("squared", "cubed", "dozen", "factorial", "or more", "at most", "thousand")


def pick(options: list[str], gold: str, kind: str, count: int) -> list[str]:
    """As many of the options as asked, drawn by the checksum of the gold: the same ones in every run."""
    return sorted(options, key=lambda one: zlib.crc32(f"{kind} {gold} {one}".encode()))[:count]


def split_top(text: str, separator: str = ",") -> list[str]:
    """Pieces between commas outside all brackets."""
    pieces, depth, begin = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == separator and depth == 0 and text[place - 1 : place] != "\\":
            pieces.append(text[begin:place].strip())
            begin = place + 1
    return [*pieces, text[begin:].strip()]


def grouped(whole: str, gap: str) -> str:
    """1234567 as 1 234 567."""
    return re.sub(r"(?<=\d)(?=(?:\d{3})+$)", lambda _: gap, whole)


def is_list(gold: str) -> bool:
    return (
        len(split_top(gold)) > 1
        and "\\!" not in gold
        and not re.fullmatch(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?", gold)
    )


def bracketed(gold: str) -> tuple[str, list[str], str] | None:
    """A point or an interval: brackets and parts."""
    found = re.fullmatch(r"(?:\\left)?\s*([(\[])(.*?)(?:\\right)?\s*([)\]])", gold.strip(), re.DOTALL)
    if not found or len(split_top(found[2])) < 2 or found[2].count("(") != found[2].count(")"):
        return None
    if ")" in found[2] and "(" in found[2] and re.search(r"\)[^()]*\(", found[2]):
        return None
    return found[1], split_top(found[2]), found[3]


def rewritten(gold: str) -> Iterator[tuple[str, str]]:
    """Kind of rewriting and an answer that says the same as the gold."""
    gold = gold.strip().strip("$").strip()
    yield "blanks around", f" {gold}  "
    yield "full stop", f"{gold}."
    yield "dollars", f"${gold}$"
    if "\\" in gold:
        yield (
            "wide blanks",
            re.sub(r"(?<=[+=<>,])\s*", r"\\, ", gold) if "," not in gold else gold.replace(",", ", "),
        )
        yield "no blanks", re.sub(r"(?<![A-Za-z\d])\s+|\s+(?![A-Za-z\d])", "", gold)
        yield "display", rf"\displaystyle {gold}"
    if "\\frac" in gold or "\\dfrac" in gold:
        yield "dfrac", re.sub(r"\\[dt]?frac", r"\\dfrac", gold)
        yield "tfrac", re.sub(r"\\[dt]?frac", r"\\tfrac", gold)
    if "\\sqrt" in gold:
        yield "braces", re.sub(r"\\sqrt\s?\{(\d)\}", r"\\sqrt\1", gold)
        yield "root sign", re.sub(r"\\sqrt\s?\{(\d+)\}", r"√\1", gold)
    if (
        "\\pi" in gold
        and "\\frac\\pi" not in gold
        and "i\\pi" not in gold
        and not re.search(r"\\pi\s*[A-Za-z({^_]", gold)
    ):
        yield "plain pi", re.sub(r"\\pi\b\s*", "pi ", gold)
        yield "the letter pi", re.sub(r"\\pi\b\s*", "π", gold)
    if "(" in gold and "\\left" not in gold:
        yield "left and right", re.sub(r"(?<!\\)\(", r"\\left(", gold).replace(")", r"\right)")
    if "-" in gold and "\\text" not in gold:
        yield "minus sign", gold.replace("-", "−")
    if re.fullmatch(r"[-+]?\d+", gold):
        whole = str(int(gold))
        yield "with a point", f"{whole}.0"
        yield "name", f"x = {whole}"
        yield "unit", rf"{whole}\text{{ cm}}"
        yield "plain unit", f"{whole} apples"
        yield "money", rf"\${whole}" if int(gold) >= 0 else whole
        yield "fraction", rf"\frac{{{2 * int(gold)}}}{{2}}"
        if len(whole.lstrip("-")) > 3:
            for gap in (",", "{,}", r"\,", r"\ ", " ", r",\!", r"\!"):
                yield f"thousands {gap}", grouped(whole, gap)
    elif re.fullmatch(r"[-+]?\d*\.\d+", gold):
        exact = Fraction(gold)
        sign = "-" if exact < 0 else ""
        yield "decimal as fraction", rf"{sign}\frac{{{abs(exact.numerator)}}}{{{exact.denominator}}}"
        yield "trailing zero", f"{gold}0"
        yield "name", f"y={gold}"
    elif found := SIMPLE_FRACTION.fullmatch(gold):
        sign, top, low = found.groups()
        yield "slash", f"{sign}{top}/{low}"
        yield "short", rf"{sign}\frac{top[0]}{low[0]}" if len(top + low) == 2 else gold
        yield "multiple", rf"{sign}\frac{{{3 * int(top)}}}{{{3 * int(low)}}}"
        yield "name", f"x={gold}"
        whole, rest = divmod(int(top), int(low))
        if whole and rest:
            yield "mixed number", rf"{sign}{whole}\frac{{{rest}}}{{{low}}}"
            yield "plain mixed number", f"{sign}{whole} {rest}/{low}"
        decimal = Fraction(int(top), int(low)) * 10**6
        if decimal.denominator == 1:
            yield "decimal", f"{sign}{int(top) / int(low):.6f}".rstrip("0").rstrip(".")
    if UNIT.search(gold) and re.match(r"[-\d.,\\{}\s]*(?:\\frac|\d)", gold):
        yield "unit left out", UNIT.sub("", gold)
    if is_list(gold) and LIST.fullmatch(gold) and "\\text" not in gold and "=" not in gold:
        yield "another order", ", ".join(reversed(split_top(gold)))
        yield "and", r" \text{ and } ".join(split_top(gold))
    if found := re.fullmatch(r"(\d+)_\{?(\d+)\}?", gold):
        yield "base in braces", f"{found[1]}_{{{found[2]}}}"
        yield "base in words", rf"{found[1]}_{{\text{{{found[2]}}}}}"
    if re.fullmatch(r"(?:\\text\{)?[A-Za-z]{2,}\}?", gold):
        word = gold.removeprefix("\\text{").removesuffix("}")
        yield "text", rf"\text{{{word}}}"
        yield "bold text", rf"\textbf{{{word}}}"
    if found := re.fullmatch(r"(?:\\text\{)?\(?([A-E])\)?\}?", gold):
        yield "choice", rf"\text{{({found[1]})}}"
        yield "bare choice", found[1]


def altered(gold: str) -> Iterator[tuple[str, str]]:
    """Kind of change and an answer that does not say the same as the gold."""
    gold = gold.strip().strip("$").strip()
    point, several = bracketed(gold), is_list(gold)
    if "\\approx" in gold or "where" in gold:
        return  # says two things
    scalar = not several and not point and "=" not in gold and "\\text" not in gold and "\\pm" not in gold
    numeric = bool(re.search(r"\d", gold)) and not re.search(r"_|\\ldots|\\begin", gold)
    zero = bool(re.fullmatch(r"[-+]?0+(?:\.0+)?", gold))
    if numeric and scalar and not re.search(r"[<>]|\\[lg]e|:|\\cup|\\in\b|\\mbox|\\infty", gold):
        if not zero:
            yield (
                "sign",
                gold[1:].strip() if gold[0] == "-" and not re.search(r"[-+]", gold[1:]) else f"-({gold})",
            )
        for relation in pick(list(RELATIONS), gold, "relation", 2):
            yield "relation", f"{relation} {gold}"
        yield "another side", f"{gold} = {gold} + 1"
        yield "arrow", rf"{gold} \to 1{gold}"
        yield "or", rf"{gold} \text{{ or }} 987654"
        yield "one more", f"{gold}, 987654"
        yield "not", rf"\text{{not }} {gold}"
        yield "times and more", rf"17 \cdot ({gold}) + 1.7"
        yield "number behind", f"{gold} 7"
        yield "brackets", f"[{gold}, {gold}]"
    if re.fullmatch(r"[-+]?\d+", gold) and not zero:
        yield "seventh", f"{gold}/7"
        for words in pick(list(WORDS_BEHIND), gold, "words", 2):
            if int(gold) not in (0, 1) or words not in ("squared", "cubed", "factorial"):
                yield "words behind", rf"{gold} \text{{ {words}}}"
        yield "underscore", f"{gold}_000"
        yield "base", f"{gold}_{{{10 + max(map(int, gold.lstrip('+-')))}}}"
        yield "per mille", f"{gold}‰"
        yield "plus or minus", rf"\pm {gold}"
        yield "exponent", f"{gold}e2"
        if len(gold.lstrip("-+")) > 1 and int(gold) > 9:
            yield "digits apart", f"{gold[0]} {gold[1:]}" if len(gold) != 4 else f"{gold[:2]} {gold[2:]}"
            yield "digits by comma", f"{gold[0]},{gold[1:]}" if len(gold) != 4 else f"{gold[:2]},{gold[2:]}"
            if gold != gold[::-1]:
                yield "digits backwards", gold[::-1]
    if numeric:
        spots = [found.start() for found in re.finditer(r"\d", gold)]
        for spot in pick([str(one) for one in spots], gold, "digit", 3):
            place = int(spot)
            if _counts(gold, place):
                yield "digit", gold[:place] + str((int(gold[place]) + 1) % 10) + gold[place + 1 :]
        if "." not in gold and not re.search(r"[\^]", gold) and not zero and scalar:
            last = spots[-1] + 1
            yield "digit more", gold[:last] + "7" + gold[last:]
    if found := re.fullmatch(r"(\d+)_\{?(\d+)\}?", gold):
        yield "other base", f"{found[1]}_{{{int(found[2]) + 1}}}"
        yield "no base", found[1]
    if gold.endswith(("\\%", "%")):
        value = gold.rstrip("\\%").strip()
        yield "unit", rf"\${value}"
        yield "unit", rf"{value}^\circ"
    if gold.startswith("\\$"):
        yield "unit", f"{gold[2:]}\\%"
        yield "unit", f"{gold[2:]} cm"
    if re.search(r"\d\s*\^\s*\{?\\circ\}?$", gold):
        yield "unit", re.sub(r"\s*\^\s*\{?\\circ\}?$", r"\\%", gold)
    if point:
        opening, parts, closing = point
        same = {"(": "[", "[": "("}
        yield "bracket", f"{same[opening]}{', '.join(parts)}{closing}"
        yield "bracket", f"{opening}{', '.join(parts)}{']' if closing == ')' else ')'}"
        yield "dropped", f"{opening}{', '.join(parts[:-1])}{closing}"
        yield "duplicated", f"{opening}{', '.join([*parts, parts[-1]])}{closing}"
        if _differ(parts[0], parts[-1]):
            yield "order", f"{opening}{', '.join([parts[-1], *parts[1:-1], parts[0]])}{closing}"
    elif several and "\\ldots" not in gold and "\\text{" not in gold:
        parts = split_top(gold)
        yield "dropped", ", ".join(parts[1:])
        yield "duplicated", ", ".join([*parts, parts[0]])
        if len(parts) > 2:
            yield (
                "exchanged",
                ", ".join([*parts[:-1], parts[0]]) if _differ(parts[0], parts[-1]) else ", ".join(parts[1:]),
            )
    if "\\cup" in gold:
        yield "dropped", gold.rpartition("\\cup")[0]
        yield "intersection", gold.replace("\\cup", "\\cap")
    word = re.fullmatch(r"(?:\\text\{)?\s*([A-Za-z]{2,})\s*\}?", gold)
    if word and len(set(word[1])) > 1:
        text = word[1]
        swaps = [
            text[:i] + text[i + 1] + text[i] + text[i + 2 :]
            for i in range(len(text) - 1)
            if text[i] != text[i + 1]
        ]
        for swapped in pick(swaps, gold, "letters", 2):
            yield "letters", gold.replace(text, swapped)
        yield (
            "letters",
            gold.replace(text, "".join(sorted(text, reverse=True)))
            if sorted(text, reverse=True) != list(text)
            else gold + "s",
        )
    if re.fullmatch(r"[A-Za-z]", gold) and gold not in "eiEI":
        yield "capital", gold.swapcase()
    for one, other in (
        (r"\sin", r"\cos"),
        (r"\pi", "e"),
        (r"\alpha", r"\beta"),
        ("x", "y"),
        (r"\sqrt", r"2\sqrt"),
    ):
        if one in gold and not (
            one == "x" and re.search(r"\\[A-Za-z]*x|y|\\begin|text|[a-z]x|x[a-z]|^x\s*(?:=|\\in)", gold)
        ):
            changed = gold.replace(one, other) if one != r"\sqrt" else gold.replace(one, other, 1)
            if not (
                (one == r"\pi" and "e" in re.sub(r"\\[A-Za-z]+", "", gold)) or "frac\\pi" in gold
            ) and not (one == r"\sin" and r"\cos" in gold):
                yield f"{one} to {other}", changed
    if re.match(r"f\(\w\)\s*=", gold):
        yield "prime", "f'" + gold[1:]
    if "\\begin{pmatrix}" in gold and re.search(r"\d", gold):
        yield "determinant", gold.replace("pmatrix", "vmatrix")
        rows = re.split(r"\\\\", re.sub(r"\\(?:begin|end)\{pmatrix\}", "", gold))
        if len(rows) > 1 and rows[0].strip() != rows[1].strip() and len(rows[1].strip()) > 0:
            yield "rows", r"\begin{pmatrix}" + r" \\ ".join([rows[1], rows[0], *rows[2:]]) + r"\end{pmatrix}"


def _differ(one: str, other: str) -> bool:
    return re.sub(r"[\s{}]|\\left|\\right", "", one) != re.sub(r"[\s{}]|\\left|\\right", "", other)


def _counts(gold: str, place: int) -> bool:
    """Whether another digit there is another value: not in an exponent of 1, no index."""
    before = gold[:place]
    if re.search(r"_\s*\{?\d*$|\\sqrt\s*\[\d*$", before):
        return False
    return not re.search(r"(?:^|\D)[01]\s*\^\s*\{?\d*$", before)
