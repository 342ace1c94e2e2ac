"""Never worse than the library on its own kinds of pairs, in our words; its files: math_verify_pairs.py."""

from __future__ import annotations

import pytest

from hammerlib.grading import grade

# (gold, completion, right), by what math-verify's tests are about.
NUMBERS = [
    ("7425000", "7,425,000", True),
    ("1000", r"\boxed{1000.0}", True),
    ("1,22", "1.22", True),
    ("1.22", r"\boxed{1,22}", True),
    ("0.4", ".4", True),
    ("88.5", "it costs $88.50", True),
    ("88.5", "not 9 but 88.5 €", True),
    ("2", "QX2Z", False),
    ("12:00", "at $12:00$", True),
    ("12:00", "at $12:30$", False),
]
PER_CENT = [
    (r"$28\%$", "28 percent", True),
    (r"$28\%$", r"\boxed{28}", True),
    (r"$28\%$", r"\boxed{0.28}", True),
    ("0.28", r"\boxed{28\%}", True),
    ("0.28", r"\boxed{28}", False),
    ("28", r"\boxed{28/100}", False),
]
INTERVALS = [
    ("$[0,9)$", "$[0,9)$", True),
    ("$[0,9)$", "$[0,1)$", False),
    ("$(0,9)$", "$[0,9)$", False),
    (r"(-\infty, 2] \cup (5, \infty)", r"\boxed{(5,\infty) \cup (-\infty,2]}", True),
    ("(1, 2)", r"\boxed{(2, 1)}", False),
]
SEVERAL = [
    ("$-2, 1$", r"so $\boxed{1}$ and $\boxed{-2}$.", True),
    ("1, -2", r"\[\boxed{-2} \quad \text{and} \quad \boxed{1}\]", True),
    ("1, -2", r"x_1 = \boxed{-2}, x_2 = \boxed{1}", True),
    ("1, -2", r"First \boxed{-2}. Then we see that it must be \boxed{1}", False),
    ("1, -2", r"\boxed{-2} and \boxed{1} and \boxed{3}", False),
    ("(2,1),(1,2)", r"\boxed{(1, 2)}, \boxed{(2, 1)}", True),
    (r"\boxed{1} papers and \boxed{2} bins", r"$\boxed{1,2}$", True),
    (r"\boxed{1} nothing of the kind \boxed{2}", r"$\boxed{1,2}$", False),
    ("$${2, 3, 5}$$", r"\boxed{5}, \boxed{3}, \boxed{2}", True),
    (r"\boxed{2}, \boxed{3}, \boxed{5}", "$${2, 3, 5}$$", True),
    ("7", r"\boxed{5} and \boxed{7}", True),  # one answer is asked for: the last box is it
]
SENTENCES = [
    ("28%", r"it falls by $\boxed{8}$ first. The final answer is $28 \%$. I hope it is correct.", True),
    ("28", r"The final answer is $8$. No: \boxed{28}", True),
    ("so 3. The final answer is $4$. I hope", r"\boxed{4}", True),
    ("4", "final answer: $5", False),
]
MATHS = [
    ("10/9", r"\frac{10}{9}", True),
    (r"\frac{1}{3}", r"$\frac13$ meters", True),
    (r"\sqrt{3}", r"$\sqrt3$", True),
    (r"2-2p", r"Thus $x-p=\boxed{2-2p}$.", True),
    (
        r"\begin{pmatrix} 0 & 3 \\ 0 & -1 \end{pmatrix}",
        r"\boxed{\begin{pmatrix} 0&3\\0&-1 \end{pmatrix}}",
        True,
    ),
    (r"\text{Evelyn}", r"\boxed{\text{Evelyn}}", True),
    (r"90^\circ", r"\boxed{90}", True),
    (r"1 - \frac{1}{\mathrm{e}}", r"$1 - \frac{1}{\mathrm{e}}$", True),
    (r"1 - \frac{1}{\mathrm{e}}", r"$1 + \frac{1}{\mathrm{e}}$", False),  # math-verify says yes
    ("5", r"\boxed{1/0}", False),
    ("x=5", r"\boxed{5}", True),
]
UNITS = [
    (r"5\text{ cm}", r"\boxed{5}", True),
    ("5", r"\boxed{5\ \mathrm{cm}^2}", True),
    ("1500", r"\boxed{1{,}500 \text{ dollars}}", True),
    ("1.5e3", r"\boxed{1500}", True),
    ("025", r"\boxed{25}", True),
]


@pytest.mark.parametrize(
    ("gold", "completion", "right"),
    [*NUMBERS, *PER_CENT, *INTERVALS, *SEVERAL, *SENTENCES, *MATHS, *UNITS],
)
def test_kinds_of_pairs(gold: str, completion: str, right: bool) -> None:
    verdict = grade(completion, gold)
    assert verdict.correct is right, verdict
