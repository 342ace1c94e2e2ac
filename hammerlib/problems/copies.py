"""When a person calls two problem texts the same problem: notation, layout, labels and instructions aside."""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from hammerlib.problems.hygiene import normalise

# Nearly all rows of a file begin or end with the same words: an instruction, not the problem.
COMMON_SHARE = 0.8
FEWEST_ROWS = 5

# Marks of a chat with the roles that they name.
_CHAT = re.compile(
    r"<\|im_start\|>\s*(?:system|user|assistant)\b|<\|start_header_id\|>\s*\w+\s*<\|end_header_id\|>"
    r"|<start_of_turn>\s*(?:user|model)\b|<end_of_turn>|<｜[^｜>]*｜>|<\|[^|>]*\|>|\[/?INST\]|<</?SYS>>|</?s>"
)
_ASIDE = re.compile(r"\[asy\].*?\[/asy\]|!\[[^\]]*\]\([^)]*\)|<image\S*>|<\|[^|>]*\|>", re.DOTALL)
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_SUPERSCRIPT = re.compile(f"[{''.join(map(chr, _RAISED))}]+")
# Spellings of the same mathematics beyond those of `normalise`, on lower-case text.
_SPELLINGS = (
    (re.compile(r"(?m)^\s*(?:[-*•·‣▪◦–—]|\\item(?![a-z]))\s+"), " "),  # bullets
    (re.compile(r"\\(?:begin|end)\s*\{[a-z]+\*?\}(?:\{[lcr|]*\})?"), " "),
    (re.compile(r"(?<=\d)(?:\{,\}|,?\\[,! ])(?=\d{3}(?!\d))"), ""),  # thousands
    (re.compile(r"\^\s*\{?\s*\\circ(?![a-z])\s*\}?|\\degree(?![a-z])|\bdegrees?\b"), "°"),
    (re.compile(r"\^\s*\{?\s*\\prime(?![a-z])\s*\}?|(?<=\b[a-z])['’′]"), " prime "),
    (re.compile(r"(?<=[\w)}])\s+!"), "!"),
    (re.compile(r"\bper\s?cent\b"), "%"),
    (re.compile(r"(?<=[\da-z)])\*\*(?=[\d(])"), "^"),
)
# Braces that group, from the inside outwards: a fraction or a power keeps its extent as brackets.
_GROUPS = (
    (re.compile(r"\\(?:text|mbox|hbox|math[a-z]+|operatorname\*?|boldsymbol)\s*\{([^{}]*)\}"), r" \1 "),
    (re.compile(r"([\^_])\s*\{([^{}]*)\}"), r"\1(\2)"),
    (re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}"), r"((\1)/(\2))"),
    (re.compile(r"\\[dt]?frac\s*([a-z\d])\s*([a-z\d])"), r"(\1/\2)"),
    (re.compile(r"\\[dt]?frac\s*([a-z\d])\s*\{([^{}]*)\}"), r"(\1/(\2))"),
    (re.compile(r"\\?sqrt\s*[{(]\s*([a-z]|\d+)\s*[)}]"), r" sqrt \1 "),
    (re.compile(r"\\sqrt\s*\{([^{}]*)\}"), r" sqrt(\1)"),
    (re.compile(r"_\(([^()]*)\)|_"), r" \1 "),
    (re.compile(r"\^\s*\(\s*([-+]?(?:[a-z]|\d+))\s*\)"), r"^\1"),
    (re.compile(r"(?<![\w^])\(\s*((?:[a-z]|\d+)(?:\s*/\s*(?:[a-z]|\d+))?)\s*\)(?!\s*\^)"), r" \1 "),
)


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Commands that say how something looks, and words of layout.
_LAYOUT = _set(
    "text textbf textit textrm mathrm mathbf mathbb mathcal mathit mathsf operatorname mbox hbox rm bf "
    "limits quad qquad ldots cdots dots dotsc dotsb vdots big bigl bigr hspace vspace boldsymbol nbsp br "
    "bullet"
)
_NAMES = {
    **{chr(code): unicodedata.name(chr(code)).split()[-1].lower() for code in range(0x3B1, 0x3CA)},
    **{"ϕ": "phi", "varphi": "phi", "ϵ": "epsilon", "varepsilon": "epsilon", "vartheta": "theta"},
    **{"lamda": "lambda", "√": "sqrt", "∞": "infty", "infinity": "infty", "pm": "±"},
    **{"leqslant": "<=", "geqslant": ">=", "⩽": "<=", "⩾": ">=", "lt": "<", "gt": ">"},
    **dict.fromkeys(("rightarrow", "longrightarrow"), "to"),
    **dict.fromkeys(("mid", "vert", "lvert", "rvert"), "|"),
}
_SYMBOLS = {
    **{"△": "triangle", "∠": "angle", "⊥": "perp", "∥": "parallel", "∈": "in", "∪": "cup", "∩": "cap"},
    **{"⊂": "subset", "≡": "equiv", "≈": "approx", "→": "to", "∑": "sum", "∏": "prod", "∫": "int", "ℝ": "r"},
}
_SYMBOL = re.compile("|".join(_SYMBOLS))
_LEFT = re.compile(r"\\(?:left|right|[bB]igg?[lr]?|displaystyle|limits)(?![a-z])")
_CHINESE = re.compile(r"[\u3400-\u9fff]")
_DEPTH = 8  # of nested braces

_NUMBER_WORDS = {
    **{"two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8"},
    **{"nine": "9", "ten": "10", "eleven": "11", "twelve": "12"},
}
_SIGNS = _set("+ - / ^ < > <= >= != % ! ±")
# Words whose exchange makes another problem: functions, extremes, parity, quantities.
KINDS = {
    **{name: name for name in _set("sin cos tan cot sec csc log ln exp gcd lcm odd even")},
    **{name: name for name in _set("sum product difference quotient ratio area perimeter volume")},
    **dict.fromkeys(_set("smallest least minimum minimal lowest"), "min"),
    **dict.fromkeys(_set("largest greatest maximum maximal highest biggest"), "max"),
}
_DRAWING = re.compile(r"\[asy\](.*?)\[/asy\]", re.DOTALL)
_ASK = re.compile(
    r"\b(?:find|determine|compute|calculate|evaluate|what|how many|how much|how|which|prove|show)\b|求",
    re.IGNORECASE,
)
_FILLING = _set(
    "is are was be do does did will can the a an of value number amount that this for to in on at and or if "
    "then by with all which such so it its their from as possible given total please"
)
_CAPITALS = re.compile(r"(?<![A-Za-z\\])[A-Z](?:\s?[A-Z]){1,5}(?![A-Za-z])")

# Ends of sentences, also inside a formula or a quotation; and instructions glued to the text before them.
_END = re.compile(
    r"""([.?!:]["”'’)\]$}\\]*)\s+|(?<=[。？！：])|(?<=[.?!$\])}])\s*(?=(?:The|Your|Express|Enter|Give|Write|Provide"""
    r"""|Put|Please|Round|State|Report)\b)|(?=#?\*?原始的?答案)"""
)
# What a sentence says when it tells how to answer, not what is asked.
_INSTRUCTION = re.compile(
    r"\bboxed\b|\bstep[ -]by[ -]step\b|\b(?:think|reason)\b.{0,40}\b(?:carefully|steps?|before)\b"
    r"|\b(?:show|explain|justify)\b.{0,20}\b(?:work|working|steps|reasoning|answer|solution)\b"
    r"|\b(?:express|give|write|provide|state|report|put|enter|submit|output|return|present|box|round|place"
    r"|leave|format|wrap|enclose|include|end|conclude|finish)\b.{0,60}\banswers?\b"
    r"|\banswers?\b.{0,30}\b(?:in|the|as)\b.{0,12}\b(?:form|format)\b"
    r"|\banswers? (?:should|must|can|may|will) be\b|\bhelpful assistant|^\W*you are an?\b"
    r"|^\W*(?:please\s+|kindly\s+|now\s+)*(?:solve|answer|consider|read|work (?:on|through|out)|look at)\b"
    r".{0,60}\b(?:problem|question|exercise|task)s?\b"
    r"|\bhere is (?:a|the|your)\b.{0,40}\b(?:problem|question|exercise|task)\b"
    r"|\b(?:last|final) line\b|\byour (?:response|reply|output)\b|\bthe answer to the (?:problem|question)\b"
    r"|^\W*answer(?:\W*$| (?:with|in|using|only)\b)"
    r"|\banswer is an? (?:single|whole|positive|integer|number|real)\b"
    r"|一步一步|一步步|逐步|推理|最终的?答案|答案.{0,30}(?:形式|格式|放|写)|原始的?答案"
    r"|(?:解答|解决|回答|完成).{0,6}(?:以下|下列|下面)|(?:以下|下列|下面)的?(?:数学)?(?:问题|题目|题)",
    re.IGNORECASE,
)
# Where a problem is from, or what it is worth, in brackets.
_ORIGIN = (
    r"(?:\[(?=[^]]{0,40}\b(?:AIME|AMC|HMMT|IMO|USAMO|Putnam)\b)[^]]{1,50}\]"
    r"|\((?=[^)]{0,40}\b(?:AIME|AMC|HMMT|IMO|USAMO|Putnam)\b)[^)]{1,50}\)"
    r"|[(\[]\d+\s*(?:points?|marks?|pts?\.?|分)\s*[)\]])"
)
_LABEL = re.compile(
    rf"^(?:\s*{_ORIGIN})?"
    r"[\s#*>]*(?:(?:problem|question|exercise|task|prompt|q|题目|问题|例题?|题)\s*(?:no\.?\s*)?#?\d*\s*\**\s*[.:：)]"
    r"|\(?\d{1,3}[.)、]\s+(?=[^\W\d_]{2})|[(\[]?\d+\s*(?:points?|marks?|pts?\.?|分)\s*[)\]]?|)[\s*]*",
    re.IGNORECASE,
)
_END_LABEL = re.compile(
    rf"(?:[\s#*]*\b(?:answer|solution|a|答案|答|解)\s*\**\s*[:：]\s*\**|\s*{_ORIGIN})\s*$", re.IGNORECASE
)
_ASKS = re.compile(
    r"^\W*(?:find|compute|determine|calculate|evaluate|what|how|which|let(?!['’]s)|suppose|求)\b|[?？]\W*$",
    re.IGNORECASE,
)
_FEWEST_WORDS = 2  # of a problem
_OUTER = 4  # sentences at either end among which an instruction is looked for


def tokens_of(text: str) -> list[str]:
    r"""Return the tokens of a text that count: words, numbers, operators; notation and layout aside.

    On top of `normalise`: HTML entities, figures, bullets, environments, fonts, fractions, Greek letters and
    symbols in unicode or LaTeX, degrees, primes, factorials after a blank.

    Examples
    --------
    >>> tokens_of(r"Is $\theta ≤ \frac{1}{2}$?"), tokens_of("- is θ &lt;= 1/2")
    (['is', 'theta', '<=', '1', '/', '2'], ['is', 'theta', '<=', '1', '/', '2'])
    """
    text = _ASIDE.sub(" ", html.unescape(text))
    text = _SUPERSCRIPT.sub(lambda found: "^" + found[0].translate(_RAISED), text)
    text = unicodedata.normalize("NFKC", text).replace("⁄", "/").lower()
    text = _CHINESE.sub(r" \g<0> ", text)  # written without blanks: every sign is a word
    text = _SYMBOL.sub(lambda found: f" {_SYMBOLS[found[0]]} ", text)
    for pattern, replacement in _SPELLINGS:
        text = pattern.sub(replacement, text)
    text = _LEFT.sub("", text)
    for _ in range(_DEPTH):
        before = text
        for pattern, replacement in _GROUPS:
            text = pattern.sub(replacement, text)
        if text == before:
            break
    names = (_NAMES.get(token, token) for token in normalise(text).split(" "))
    found = [name for name in names if name and name not in _LAYOUT]
    last = len(found) - 1
    return [
        token
        for place, token in enumerate(found)
        if token != "*"
        or (0 < place < last and found[place - 1][-1].isdigit() and found[place + 1][0].isdigit())
    ]


def facts_of(text: str, tokens: Iterable[str]) -> Counter[str]:
    """Count what makes two long texts of the same words different problems.

    Every number, number word and sign as often as it stands there; once each, names of several capitals
    (triangle ABC), functions, and which extreme or parity is asked for.

    Examples
    --------
    >>> sorted(facts_of("Find the least AB - 12", ["find", "the", "least", "ab", "-", "12"]).items())
    [('-', 1), ('12', 1), ('AB', 1), ('min', 1)]
    """
    values = [_NUMBER_WORDS.get(token, token) for token in tokens]
    counts = Counter(value for value in values if value[0].isdigit() or value in _SIGNS)
    counts.update({KINDS[value] for value in values if value in KINDS})
    counts.update({re.sub(r"\s", "", name) for name in _CAPITALS.findall(_ASIDE.sub(" ", text))})
    return counts


def figure_of(text: str) -> str:
    """Return a text's drawing without blanks and its size, "" where there is none.

    Examples
    --------
    >>> figure_of("Find $x$. [asy] size(100); draw((0,0)--(1,1)); [/asy]")
    'draw((0,0)--(1,1));'
    """
    drawn = "".join(_DRAWING.findall(text))
    return re.sub(r"\s|(?:unit)?size\([^)]*\);", "", drawn)


def sentences_of(text: str) -> list[str]:
    """Return the sentences of a text.

    Examples
    --------
    >>> sentences_of("Let $x=2.$ Find $x$.")
    ['Let $x=2.$', 'Find $x$.']
    """
    return [one for one in _END.sub(r"\1\n", text.strip()).split("\n") if one.strip()]


def questions_of(text: str) -> list[str]:
    """Return what the sentences that ask say from there on; the last sentence where none asks.

    Examples
    --------
    >>> questions_of("Let $x=2.$ Then find $x$. (It is even.)")
    ['find $x$.']
    """
    # A line may end inside a formula.
    sentences = sentences_of(" ".join(_ASIDE.sub(" ", text).split())) or [text]
    asking = [one[found.start() :] for one in sentences if (found := _ASK.search(one))]
    return asking or sentences[-1:]


def words_of(text: str) -> frozenset[str]:
    """Return the words, letters and numbers of a question; "ask" for the words that ask, no filling words.

    Examples
    --------
    >>> words_of("What is the value of $x$?") == words_of("Find $x$.")
    True
    """
    words = {KINDS.get(token, token) for token in tokens_of(_ASK.sub(" ask ", text))}
    return frozenset(word for word in words if word not in _FILLING and word[0].isalnum())


def joined(tokens: Iterable[str]) -> str:
    """Return tokens without blanks, so that ``x y`` is ``xy``; two numbers stay two.

    Examples
    --------
    >>> joined(["x", "y", "+", "1", "2"])
    'xy+1 2'
    """
    text = ""
    for token in tokens:
        text += " " * (text[-1:].isdigit() and token[0].isdigit()) + token
    return text


def without_instructions(text: str) -> str:
    """Return a problem without labels and without sentences at its ends that tell how to answer.

    Examples
    --------
    >>> without_instructions("Problem 3: What is 1+1? Put your final answer in \\\\boxed{}.")
    'What is 1+1?'
    """
    sentences = sentences_of(_CHAT.sub(" ", text))
    told = [bool(_INSTRUCTION.search(one)) and not _ASKS.search(one) for one in sentences]
    first = 0
    while first < len(told) and told[first] and not re.search(r"\d", sentences[first]):
        first += 1
    # What follows an instruction belongs to it: "The answer is in the form m/n. Please provide m + n."
    behind = (place for place in range(max(first + 1, len(told) - _OUTER), len(told)) if told[place])
    kept = " ".join(sentences[first : next(behind, None)])
    kept = _END_LABEL.sub("", _LABEL.sub("", kept, count=1)).strip()
    return kept if len(kept.split()) >= _FEWEST_WORDS or _CHINESE.search(kept) else text


def without_common_sentences(texts: Sequence[str]) -> list[str]:
    """Return texts without the sentences with which nearly all begin or end.

    Examples
    --------
    >>> without_common_sentences([f"Hi. {i} + 1 = ? Be quick." for i in range(5)])[0]
    '0 + 1 = ?'
    """
    rows = [sentences_of(text) for text in texts]
    before, after = common_ends(rows)
    return [" ".join(without_ends(row, (before, after))) for row in rows]


def common_ends(rows: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the tokens with which nearly all rows begin, and those with which nearly all end.

    Examples
    --------
    >>> common_ends([["find", str(i), "put", "it", "in", "a", "box"] for i in range(5)])
    (('find',), ('put', 'it', 'in', 'a', 'box'))
    """
    return _common(rows), _common([row[::-1] for row in rows])[::-1]


def _common(rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    found: list[str] = []
    left = [row for row in rows if row]
    while len(rows) >= FEWEST_ROWS:
        tokens = Counter(row[len(found)] for row in left if len(row) > len(found))
        token, count = tokens.most_common(1)[0] if tokens else ("", 0)
        if count < COMMON_SHARE * len(rows):
            break
        left = [row for row in left if len(row) > len(found) and row[len(found)] == token]
        found.append(token)
    return tuple(found)


def without_ends(tokens: list[str], ends: tuple[Sequence[str], Sequence[str]]) -> list[str]:
    """Return tokens without the common ends they have, unless nothing else is there.

    Examples
    --------
    >>> without_ends(["find", "7", "please"], (("find",), ("please",)))
    ['7']
    """
    before, after = map(list, ends)
    start = len(before) if before and tokens[: len(before)] == before else 0
    end = len(tokens) - (len(after) if after and tokens[start:][-len(after) :] == after else 0)
    return tokens[start:end] or tokens
