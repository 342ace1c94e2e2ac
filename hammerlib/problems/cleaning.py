"""Problem texts cleaned: one normal form, copies and conflicts of a set, overlap with benchmarks."""

from __future__ import annotations

import functools
import html
import re
import tomllib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hammerlib.errors import InputError, check_whole

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

Rules = tuple[tuple[re.Pattern[str], str], ...]
# Rules and words of ``cleaning.toml``.
_TABLES = tomllib.loads(Path(__file__).with_name("cleaning.toml").read_text(encoding="utf-8"))


def _rules(name: str) -> Rules:
    return tuple((re.compile(pattern), replacement) for pattern, replacement in _TABLES[name])


_SPELLINGS, _ANSWERS, _NOTATION, _GROUPS = map(_rules, ("spellings", "answers", "notation", "groups"))
_LAYOUT, _FILLING, _SIGNS = (
    frozenset(_TABLES["words"][name].split()) for name in ("layout", "filling", "signs")
)
_GREEK = {chr(code): unicodedata.name(chr(code)).split()[-1].lower() for code in range(0x3B1, 0x3CA)}
_NAMES = _GREEK | _TABLES["names"]
_SYMBOLS = _TABLES["symbols"]
_SYMBOL = re.compile("|".join(_SYMBOLS))
_NUMBERS = _TABLES["numbers"]
KINDS = {word: word for word in _TABLES["kinds"].pop("same").split()}
KINDS |= {word: kind for kind, words in _TABLES["kinds"].items() for word in words.split()}
_CHAT = re.compile("|".join(_TABLES["chat"]))
_INSTRUCTION = re.compile("|".join(_TABLES["instructions"]), re.IGNORECASE)
# Words, numbers (with a decimal point), operators; '!' counts only as a factorial. All else is layout.
_TOKEN = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+|!=|<=|>=|[-+()*/^=<>%|±√∞°]|(?<=[\d)])!|(?<=\b[a-z])!")


def normalise(text: str) -> str:
    """Return the normal form under which two problem texts count as the same.

    Lower case, NFKC; words, numbers and operators are kept as tokens with one space between them, so that
    ``3 - 5`` and ``3 + 5``, ``(2 + 3) * 4`` and ``2 + (3 * 4)``, or ``1 2`` and ``12`` stay apart;
    punctuation, dollar signs, braces and spellings of the same LaTeX (``\\dfrac``, ``\\left``) do not
    count. (A form without operators produces false matches on arithmetic problems.) Ours.

    Examples
    --------
    >>> normalise("What is $3 \\\\cdot 5$?") == normalise("what is 3*5")
    True
    >>> normalise("3 - 5"), normalise("1,000 three-digit numbers")
    ('3 - 5', '1000 three digit numbers')
    """
    text = unicodedata.normalize("NFKC", text).lower()
    return " ".join(_TOKEN.findall(_respelled(text, _SPELLINGS)))


def _respelled(text: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        text = pattern.sub(replacement, text)
    return text


@dataclass(frozen=True)
class DuplicateReport:
    """What :func:`deduplicate` did."""

    rows: int
    kept: int
    dropped: pd.DataFrame

    @property
    def removed(self) -> int:
        """Number of dropped rows, at least 0."""
        return self.rows - self.kept


def drop_incomplete(table: Dataset) -> tuple[Dataset, pd.DataFrame]:
    """Drop the problems of a table that lack text or answer.

    Returns the complete rows in their order, and ``id`` and ``missing`` ("prompt" or "answer") of the others.

    Examples
    --------
    >>> from hammerlib.problems import make_table
    >>> row = {"id": "x-0", "prompt": "What is 1+1?", "answer": "", "source": "x", "topic": "t"}
    >>> drop_incomplete(make_table([row]))[1].values.tolist()
    [['x-0', 'answer']]
    """
    import pandas as pd

    kept = []
    dropped = []
    for index, (label, prompt, answer) in enumerate(zip(*_columns(table), strict=True)):
        if prompt.strip() and answer.strip():
            kept.append(index)
        else:
            dropped.append((label, "answer" if prompt.strip() else "prompt"))
    return table.select(kept), pd.DataFrame(dropped, columns=["id", "missing"])


def deduplicate(table: Dataset) -> tuple[Dataset, DuplicateReport]:
    """Keep the first problem of every normalised text.

    Returns the kept rows in their order, and every dropped row with the copy that stays and whether their
    answers are the same text. Problems whose copies disagree are listed by :func:`conflicts`.

    Examples
    --------
    >>> from hammerlib.problems import make_table
    >>> rows = [{"id": i, "prompt": p, "answer": "2", "source": "s", "topic": "t"}
    ...         for i, p in [("a", "What is 1+1?"), ("b", "what is 1 + 1")]]
    >>> kept, report = deduplicate(make_table(rows))
    >>> kept["id"][:], report.removed
    (['a'], 1)
    """
    import pandas as pd

    ids, prompts, answers = _columns(table)
    first: dict[str, int] = {}
    dropped = []
    for index, text in enumerate(prompts):
        keeper = first.setdefault(_key(text), index)
        if keeper != index:
            same = same_text(answers[keeper], answers[index])
            dropped.append({"id": ids[index], "first_id": ids[keeper], "same_answer": same})
    report = pd.DataFrame(dropped, columns=["id", "first_id", "same_answer"])
    return table.select(list(first.values())), DuplicateReport(len(table), len(first), report)


def conflicts(table: Dataset) -> pd.DataFrame:
    """List the problems of a table whose normalised text occurs with different answers.

    One row per problem involved: ``group`` (int, counted from 0 in order of appearance), ``id``, ``answer``,
    ``prompt``. Answers are compared as texts without spaces, dollar signs, letter case and other spellings of
    the same LaTeX.

    Examples
    --------
    >>> from hammerlib.problems import make_table
    >>> rows = [{"id": str(i), "prompt": "What is 6*1?", "answer": str(a), "source": "s", "topic": "t"}
    ...         for i, a in enumerate([6, 64])]
    >>> conflicts(make_table(rows))["answer"].tolist()
    ['6', '64']
    """
    import pandas as pd

    ids, prompts, answers = _columns(table)
    groups: dict[str, list[int]] = {}
    for index, text in enumerate(prompts):
        groups.setdefault(_key(text), []).append(index)
    clashing = [rows for rows in groups.values() if len({_answer_form(answers[i]) for i in rows}) > 1]
    listed = [(group, ids[i], answers[i], prompts[i]) for group, rows in enumerate(clashing) for i in rows]
    return pd.DataFrame(listed, columns=["group", "id", "answer", "prompt"])


def _columns(table: Dataset) -> tuple[list[str], list[str], list[str]]:
    return table["id"][:], table["prompt"][:], table["answer"][:]


def _key(text: str) -> str:
    # A text without any token (a lone picture, say) is compared as it stands.
    return normalise(text) or text


def _answer_form(answer: str) -> str:
    form = _respelled(answer, _ANSWERS).lower()
    return str(int(form)) if re.fullmatch(r"-?\d{1,300}", form) else form


def same_text(left: str, right: str) -> bool:
    """Tell whether two answers are the same text up to spelling."""
    return _answer_form(left) == _answer_form(right)


# Nearly all rows of a file begin or end with the same words: an instruction, not the problem.
COMMON_SHARE = 0.8
FEWEST_ROWS = 5

_ASIDE = re.compile(r"\[asy\].*?\[/asy\]|!\[[^\]]*\]\([^)]*\)|<image\S*>|<\|[^|>]*\|>", re.DOTALL)
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_SUPERSCRIPT = re.compile(f"[{''.join(map(chr, _RAISED))}]+")


_SIZES = re.compile(r"\\(?:left|right|[bB]igg?[lr]?|displaystyle|limits)(?![a-z])")
_CHINESE = re.compile(r"[\u3400-\u9fff]")
_DEPTH = 8  # of nested braces

_DRAWING = re.compile(r"\[asy\](.*?)\[/asy\]", re.DOTALL)
_ASK = re.compile(
    r"\b(?:find|determine|compute|calculate|evaluate|what|how many|how much|how|which|prove|show)\b|求",
    re.IGNORECASE,
)
_CAPITALS = re.compile(r"(?<![A-Za-z\\])[A-Z](?:\s?[A-Z]){1,5}(?![A-Za-z])")

# Ends of sentences, also inside a formula or a quotation; and instructions glued to the text before them.
_END = re.compile(
    r"""([.?!:]["”'’)\]$}\\]*)\s+|(?<=[。？！：])|(?<=[.?!$\])}])\s*(?=(?:The|Your|Express|Enter|Give|Write|Provide"""
    r"""|Put|Please|Round|State|Report)\b)|(?=#?\*?原始的?答案)"""
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
    r"""Return the tokens of a text that count: words, numbers, operators; notation and layout aside."""
    text = _ASIDE.sub(" ", html.unescape(text))
    text = _SUPERSCRIPT.sub(lambda tokens: "^" + tokens[0].translate(_RAISED), text)
    text = unicodedata.normalize("NFKC", text).replace("⁄", "/").lower()
    text = _CHINESE.sub(r" \g<0> ", text)  # written without blanks: every sign is a word
    text = _SYMBOL.sub(lambda tokens: f" {_SYMBOLS[tokens[0]]} ", text)
    text = _SIZES.sub("", _respelled(text, _NOTATION))
    for _ in range(_DEPTH):
        before = text
        text = _respelled(text, _GROUPS)
        if text == before:
            break
    names = (_NAMES.get(token, token) for token in normalise(text).split(" "))
    tokens = [name for name in names if name and name not in _LAYOUT]
    # A multiplication sign counts between digits only: 2x is 2*x, but 23 is not 2*3.
    around = zip(["", *tokens], tokens, [*tokens[1:], ""], strict=False)
    return [
        token
        for before, token, after in around
        if token != "*" or (before[-1:].isdigit() and after[:1].isdigit())
    ]


def facts_of(text: str, tokens: Iterable[str]) -> Counter[str]:
    """Count what makes two long texts of the same words different problems."""
    values = [_NUMBERS.get(token, token) for token in tokens]
    counts = Counter(value for value in values if value[0].isdigit() or value in _SIGNS)
    counts.update({KINDS[value] for value in values if value in KINDS})
    counts.update({re.sub(r"\s", "", name) for name in _CAPITALS.findall(_ASIDE.sub(" ", text))})
    return counts


def figure_of(text: str) -> str:
    """Return a text's drawing without blanks and its size, "" where there is none."""
    drawn = "".join(_DRAWING.findall(text))
    return re.sub(r"\s|(?:unit)?size\([^)]*\);", "", drawn)


def sentences_of(text: str) -> list[str]:
    """Return the sentences of a text."""
    return [sentence for sentence in _END.sub(r"\1\n", text.strip()).split("\n") if sentence.strip()]


def questions_of(text: str) -> list[str]:
    """Return what the sentences that ask say from there on; the last sentence where none asks."""
    # A line may end inside a formula.
    sentences = sentences_of(" ".join(_ASIDE.sub(" ", text).split())) or [text]
    asking = [sentence[match.start() :] for sentence in sentences if (match := _ASK.search(sentence))]
    return asking or sentences[-1:]


def words_of(text: str) -> frozenset[str]:
    """Return the words, letters and numbers of a question; "ask" for the words that ask, no filling words."""
    words = {KINDS.get(token, token) for token in tokens_of(_ASK.sub(" ask ", text))}
    return frozenset(word for word in words if word not in _FILLING and word[0].isalnum())


def joined(tokens: Iterable[str]) -> str:
    """Return tokens without blanks, so that ``x y`` is ``xy``; two numbers stay two."""
    return re.sub(r"(?<!\d) | (?!\d)", "", " ".join(tokens))


def without_instructions(text: str) -> str:
    """Return a problem without labels and without sentences at its ends that tell how to answer."""
    sentences = sentences_of(_CHAT.sub(" ", text))
    while sentences and _instructs(sentences[0]) and not re.search(r"\d", sentences[0]):
        sentences.pop(0)
    # What follows an instruction belongs to it: "The answer is in the form m/n. Please provide m + n."
    for index in range(max(1, len(sentences) - _OUTER), len(sentences)):
        if _instructs(sentences[index]):
            sentences = sentences[:index]
            break
    kept = " ".join(sentences)
    kept = _END_LABEL.sub("", _LABEL.sub("", kept, count=1)).strip()
    return kept if len(kept.split()) >= _FEWEST_WORDS or _CHINESE.search(kept) else text


def _instructs(sentence: str) -> bool:
    return bool(_INSTRUCTION.search(sentence)) and not _ASKS.search(sentence)


def statements_in(text: str, longest: int) -> set[str]:
    """Return the normal forms of whole sentences, one or more in a row, around which nothing is asked.

    What stands around must say how to answer, or no number, operator or question. Forms of more than
    `longest` characters are left out.
    """
    sentences = sentences_of(_CHAT.sub("\n", text))
    loud = [place for place, sentence in enumerate(sentences) if _says_more(sentence)]
    first, last = (loud[0], loud[-1]) if loud else (len(sentences), 0)
    found = set()
    for begin in range(min(first + 1, len(sentences))):
        for end in range(max(last, begin), len(sentences)):
            form = normalise(" ".join(sentences[begin : end + 1]))
            if len(form) > longest:
                break
            found.add(form)
    return found - {""}


def _says_more(sentence: str) -> bool:
    """Whether a sentence may belong to a problem: it asks or calculates, and tells not how to answer."""
    return bool(re.search(r"[\d?=+*/^<>]|(?<!\w)[-−]", sentence)) and not _instructs(sentence)


def without_common_sentences(texts: Sequence[str]) -> list[str]:
    """Return texts without the sentences with which nearly all begin or end."""
    rows = [sentences_of(text) for text in texts]
    before, after = common_ends(rows)
    return [" ".join(without_ends(row, (before, after))) for row in rows]


def common_ends(rows: Sequence[Sequence[str]]) -> tuple[list[str], list[str]]:
    """Return the tokens with which nearly all rows begin, and those with which nearly all end."""
    return _common(rows), _common([row[::-1] for row in rows])[::-1]


def _common(rows: Sequence[Sequence[str]]) -> list[str]:
    shared: list[str] = []
    left = list(rows)
    while len(rows) >= FEWEST_ROWS:
        left = [row for row in left if len(row) > len(shared)]
        tokens = Counter(row[len(shared)] for row in left)
        token, count = tokens.most_common(1)[0] if tokens else ("", 0)
        if count < COMMON_SHARE * len(rows):
            break
        left = [row for row in left if row[len(shared)] == token]
        shared.append(token)
    return shared


def without_ends(tokens: list[str], ends: tuple[list[str], list[str]]) -> list[str]:
    """Return tokens without the common ends they have, unless nothing else is there."""
    before, after = ends
    rest = tokens
    if rest[: len(before)] == before:
        rest = rest[len(before) :]
    if after and rest[-len(after) :] == after:
        rest = rest[: -len(after)]
    return rest or tokens


NGRAM = 13  # words; Brown et al. 2020 (arXiv 2005.14165), appendix C
SHARE = 0.5  # of a benchmark problem's n-grams
_MISSING = 0.34  # of the words of its question
REPORT_COLUMNS = re.findall(
    r"\w+", "id benchmark benchmark_id kind shared share answer benchmark_answer same_answer"
)


class _Text:
    """A problem text in the forms that are compared."""

    def __init__(self, text: str, full: list[str], bare: list[list[str]], n: int) -> None:
        self.text, self.kept = text, without_instructions(text)
        core = full if self.kept == text else tokens_of(self.kept)
        # Key to whether only what nearly all rows share was taken off. The longest form comes last.
        self.keys = dict.fromkeys(map(joined, bare), True)
        self.keys |= {joined(core): False, joined(full) or text: False}
        self.keys.pop("", None)
        tokens = min(core, *bare, key=len)
        self.grams = {tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)}
        self.figure = figure_of(text)
        # What a copy of this text must hold, and what this text holds as a copy of another.
        self.asked, self.facts = facts_of(text, tokens), facts_of(text, full)

    @functools.cached_property
    def question(self) -> frozenset[str]:
        return words_of(questions_of(self.kept)[-1])

    @functools.cached_property
    def questions(self) -> list[frozenset[str]]:
        return [words_of(item) for item in questions_of(self.text)]

    def asks(self, other: _Text) -> bool:
        """Whether this text asks what the other asks: all letters and numbers, most words."""
        allowed = max(1, _MISSING * len(other.question))
        lacking = (other.question - words for words in self.questions)
        return any(len(words) <= allowed and not any(map(_is_fact, words)) for words in lacking)


def _is_fact(word: str) -> bool:
    return len(word) == 1 or word[0].isdigit() or word in KINDS.values()


def decontaminate(
    table: Dataset,
    benchmarks: Mapping[str, Dataset],
    *,
    n: int = NGRAM,
    share: float = SHARE,
    same_answer: Callable[[str, str], bool] | None = None,
) -> tuple[Dataset, pd.DataFrame]:
    """Drop the problems that stand in a benchmark, and report every such pair.

    *exact*: the texts are the same once notation, layout and labels are aside (`tokens_of`; digits and
    operators count), with or without the sentences at their ends that tell how to answer, and with or without
    the words with which nearly all rows of a table begin or end. *n-gram*: at least `share` of the benchmark
    problem's runs of `n` words stand in the training problem, and so do all its numbers, signs, functions,
    names of several letters and its question: a variant with another number is another problem, and so is
    another question about one setting. Two different figures always tell two problems apart. Paraphrases and
    translations are not found.

    Parameters
    ----------
    table : datasets.Dataset
        Training problems.
    benchmarks : mapping of str to datasets.Dataset
        Evaluation sets by name.
    n : int
        Words, numbers or operators of an n-gram, at least 2; shorter problems are compared exactly only.
    share : float
        In (0, 1].
    same_answer : callable, optional
        ``(answer, benchmark_answer) -> bool``; by default equality of the texts up to spelling. For
        mathematical equality give a grader: ``lambda a, b: grade(rf"\\boxed{{{a}}}", b).correct``.

    Returns
    -------
    (datasets.Dataset, pandas.DataFrame)
        The clean rows in their order, and one report row per pair found: ``id`` (training), ``benchmark``,
        ``benchmark_id``, ``kind`` (exact, n-gram), ``shared`` (n-grams; missing for exact), ``share`` (of the
        benchmark problem's), ``answer``, ``benchmark_answer``, ``same_answer`` (bool).

    Examples
    --------
    >>> from hammerlib.problems import make_table
    >>> row = {"id": "x-0", "prompt": "What is 1+1?", "answer": "2", "source": "x", "topic": "t"}
    >>> clean, report = decontaminate(make_table([row]), {"test": make_table([row | {"id": "test-7"}])})
    >>> len(clean), report["benchmark_id"].tolist(), report["same_answer"].tolist()
    (0, ['test-7'], [True])

    Notes
    -----
    n-grams of 13 words: Brown et al. 2020 (arXiv 2005.14165), appendix C. The other conditions are ours. On
    DAPO-Math-17k (17,917 rows) against AMC 2023, MATH-500 and OlympiadBench it finds 126 pairs, 49 exact and
    77 by n-grams; read by hand, every pair is one problem, some with the question turned ("give m + n").
    """
    import pandas as pd

    check_whole("n", n, 2, f"leave it out for {NGRAM}")
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise InputError("share", share, "must be above 0 and at most 1", f"leave it out for {SHARE}")
    _check_tables(table, benchmarks)
    agree = same_answer or same_text
    places: list[tuple[str, str, str]] = []  # benchmark, id, answer of every benchmark problem
    theirs: list[_Text] = []
    for name, benchmark in benchmarks.items():
        ids, golds = benchmark["id"][:], benchmark["answer"][:]
        places += [(name, own, gold) for own, gold in zip(ids, golds, strict=True)]
        theirs += _texts(benchmark["prompt"][:], n)
    finder = _Finder(theirs, share)
    hits, clean = [], []
    rows = zip(table["id"][:], table["answer"][:], _texts(table["prompt"][:], n), strict=True)
    for index, (own, answer, text) in enumerate(rows):
        copies = finder.find(text)
        if not copies:
            clean.append(index)
        for position, overlap in sorted(copies.items()):
            name, other, gold = places[position]
            hits.append((own, name, other, *overlap, answer, gold, agree(answer, gold)))
    report = pd.DataFrame(hits, columns=REPORT_COLUMNS).astype({"same_answer": bool, "shared": "Int64"})
    return table.select(clean), report


def _check_tables(table: Dataset, benchmarks: Mapping[str, Dataset]) -> None:
    if not isinstance(benchmarks, Mapping):
        remedy = 'give {"name": table}'
        raise InputError("benchmarks", type(benchmarks).__name__, "are no tables by name", remedy)
    for name, given in [("table", table), *benchmarks.items()]:
        lacking = {"id", "prompt", "answer"} - set(getattr(given, "column_names", ()) or ())
        if lacking:
            problem = f"is no table with {', '.join(sorted(lacking))}"
            raise InputError(str(name), type(given).__name__, problem, "make it with load_problems")


def overlap_report(
    train: Dataset, benchmarks: Mapping[str, Dataset], *, n: int = NGRAM, share: float = SHARE
) -> pd.DataFrame:
    """List the benchmark problems that stand in a training set: `decontaminate`'s report, exact ones first.

    Parameters
    ----------
    train, benchmarks, n, share
        As for `decontaminate`, which removes the training problems that are listed here.


    Examples
    --------
    >>> from hammerlib.problems import make_table
    >>> row = {"id": "x-0", "prompt": "What is 1+1?", "answer": "2", "source": "x", "topic": "t"}
    >>> report = overlap_report(make_table([row]), {"test": make_table([row | {"id": "test-7"}])})
    >>> report[["benchmark", "benchmark_id", "id", "kind"]].values.tolist()
    [['test', 'test-7', 'x-0', 'exact']]
    """
    report = decontaminate(train, benchmarks, n=n, share=share)[1]
    return report.sort_values("kind", kind="stable", ignore_index=True)


def overlap_counts(report: pd.DataFrame, benchmarks: Mapping[str, Dataset]) -> dict[str, dict[str, int]]:
    """Count the problems of each benchmark that an overlap report lists.

    Benchmark to ``problems`` (all of it), ``exact`` and ``n_gram`` (exact ones are not counted again).

    Examples
    --------
    >>> from hammerlib.problems import overlap_report
    >>> from hammerlib.problems import make_table
    >>> row = {"id": "x-0", "prompt": "What is 1+1?", "answer": "2", "source": "x", "topic": "t"}
    >>> sets = {"test": make_table([row])}
    >>> overlap_counts(overlap_report(make_table([row]), sets), sets)
    {'test': {'problems': 1, 'exact': 1, 'n_gram': 0}}
    """
    counts = {}
    for name, table in benchmarks.items():
        mine = report[report["benchmark"] == name]
        exact = set(mine[mine["kind"] == "exact"]["benchmark_id"])
        partly = set(mine["benchmark_id"]) - exact
        counts[name] = {"problems": len(table), "exact": len(exact), "n_gram": len(partly)}
    return counts


def _texts(prompts: Sequence[str], n: int) -> Iterator[_Text]:
    """The comparable forms of a table's prompts; what nearly all of them share is found over the table."""
    full = [tokens_of(text) for text in prompts]
    ends = common_ends(full)
    shorter = without_common_sentences(prompts)
    for tokens, text, rest in zip(full, prompts, shorter, strict=True):
        bare = [without_ends(tokens, ends)]
        if rest != " ".join(sentences_of(text)):
            bare.append(tokens_of(rest))
        yield _Text(text, tokens, bare, n)


class _Finder:
    """Benchmark problems by what they share with a training problem."""

    def __init__(self, theirs: Sequence[_Text], share: float) -> None:
        self.theirs, self.share = theirs, share
        self.by_key: dict[str, list[tuple[int, bool]]] = defaultdict(list)
        self.by_gram: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for position, text in enumerate(theirs):
            for key, is_bare in text.keys.items():
                self.by_key[key].append((position, is_bare))
            for gram in text.grams:
                self.by_gram[gram].append(position)

    def find(self, text: _Text) -> dict[int, tuple[str, int | None, float]]:
        """Place of every benchmark problem that is this one, to kind, shared n-grams and their share."""
        counts = Counter(index for gram in text.grams for index in self.by_gram.get(gram, ()))
        copies: dict[int, tuple[str, int | None, float]] = {}
        for index, shared in counts.items():
            other = self.theirs[index]
            share = shared / len(other.grams)
            if share < self.share or not _drawn(text, other):
                continue
            if other.asked <= text.facts and text.asks(other):
                copies[index] = ("n-gram", shared, share)
        for key, is_bare in text.keys.items():
            for index, other_bare in self.by_key.get(key, ()):
                # "Find the gcd of: 4, 6" and "Find the lcm of: 4, 6" are the same only without their heads.
                if not (is_bare and other_bare) and _drawn(text, self.theirs[index]):
                    copies[index] = ("exact", None, 1.0)
        return copies


def _drawn(left: _Text, right: _Text) -> bool:
    """Whether two texts have no two different figures: "Find x in the figure" is many problems."""
    return not left.figure or not right.figure or left.figure == right.figure
