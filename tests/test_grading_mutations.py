"""From every gold, answers that must equal it and answers that must not: no failure either way.

A sample by checksum in `make test`; HAMMER_MUTATIONS=100000 takes all golds of the public files.
"""

from __future__ import annotations

import os
import re
import zlib
from pathlib import Path

import pytest
from gold_mutations import altered, rewritten
from public_sets import public_path, public_set

from hammerlib.grading import final_answer, grade
from hammerlib.grading.equality import readable

# Golds of every shape, so that nothing needs the public files.
BUILT_IN = r"""
5 -3 0 10 100 2024 1234567 -41 07 0.5 -2.75 3.14 0.001 1e-5 6.02e23 12,345 10{,}080 \frac{1}{2}
-\frac{7}{3} \frac{67}{72} \dfrac{5}{4} 3/4 -11/2 2\sqrt{3} \sqrt{2} \frac{\sqrt{3}}{2} 1+\sqrt{5} \pi
2\pi \frac{\pi}{6} 3\pi-4 e^2 \ln 2 \sin 2 2^{10} 2^{100}-1 100! \binom{10}{3} 3+4i -i \infty x 2x+3
x^2-5x+6 (x-1)(x+2) \frac{x+1}{x-1} a+b+c abc \alpha n! 52_8 1011_2 3120_4 24_{10} 50\% 12.5\% \$5 \$3.50
45^\circ 90^{\circ} (1,2) (0,-3,5) (\frac{1}{2},3) [0,1) (-\infty,3] (-\infty,1)\cup(2,\infty)
[1,2]\cup[3,4] 1,2 -1,3,3 2,3,5,7 \{1,2,3\} (1,2),(3,4) x=5 y=2x+1 x+y=3 f(x)=2x f'(x)=2x x>1 -2<x<3 3:4
Alice Monday even odd AM HTHT SRMC A (B) \text{C} \text{east} true \begin{pmatrix}1&2\\3&4\end{pmatrix}
\begin{pmatrix}1\\-2\\3\end{pmatrix} 5\text{cm} 5\text{cm}^2 -\infty
"""
BLANKS = [
    "1 1/2",
    "2 3/4",
    r"5\text{ cm}",
    r"2 \text{ and } 3",
    "no solution",
    r"\angle ABC",
    r"60^\circ, 120^\circ",
    r"1 \pm \sqrt{2}",
]
FILES = """
aime24.jsonl amc23_40.jsonl dapo_math_17k.parquet gsm8k_test.jsonl gsm8k_train.jsonl math500.jsonl
math500_aime24_aime25.jsonl math_train7474.json minerva272.jsonl olympiadbench675.jsonl
"""
# Golds a file: those of this many lowest checksums; whole numbers are all alike and get fewer.
SAMPLE = int(os.environ.get("HAMMER_MUTATIONS", "40"))


def sampled(name: str) -> list[str]:
    public_path(name)
    marked = {answer: final_answer(answer) for answer in public_set(name)["answer"] if answer}
    golds = {(answer if found is None else found).strip() for answer, found in marked.items()}
    golds = {gold for gold in golds if gold and readable(gold)}
    by_checksum = sorted(golds, key=lambda gold: zlib.crc32(gold.encode()))
    whole = [gold for gold in by_checksum if re.fullmatch(r"-?\d+", gold)]
    return [gold for gold in by_checksum if gold not in set(whole)][:SAMPLE] + whole[: SAMPLE // 4]


def failures(gold: str) -> list[tuple[str, str, str]]:
    """Kind, answer and reason of everything that is graded the wrong way."""
    found = []
    for kind, answer in rewritten(gold):
        verdict = grade(rf"\boxed{{{answer}}}", gold)
        if not verdict.correct:
            found.append((kind, answer, verdict.reason))
    for kind, answer in altered(gold):
        verdict = grade(rf"\boxed{{{answer}}}", gold)
        if verdict.correct:
            found.append((kind, answer, verdict.reason))
    return found


@pytest.mark.parametrize("gold", [*BUILT_IN.split(), *BLANKS])
def test_built_in_golds(gold: str) -> None:
    assert failures(gold) == []
    assert len(list(rewritten(gold))) >= 3


@pytest.mark.parametrize("name", FILES.split())
def test_golds_of_public_files(name: str) -> None:
    assert {gold: found for gold in sampled(name) if (found := failures(gold))} == {}


def test_all_ten_files_are_sampled() -> None:
    folder = Path(public_path("."))
    assert sorted(FILES.split()) == sorted(path.name for path in folder.iterdir() if path.suffix != ".md")


def test_there_is_a_change_of_every_kind() -> None:
    kinds = {kind for gold in [*BUILT_IN.split(), *BLANKS] for kind, _ in altered(gold)}
    wanted = {
        "sign",
        "digit",
        "base",
        "other base",
        "no base",
        "order",
        "bracket",
        "unit",
        "letters",
        "dropped",
    }
    assert wanted | {"duplicated", "relation", "prime", "words behind", "digits apart", "capital"} <= kinds
