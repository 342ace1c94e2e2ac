"""The normal form of answers: one case or more for every step, and nothing else changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hammerlib.grading.normal_form import STEPS, normal_form

# Step, text, text after that step alone.
BY_STEP = [
    ("conditions in words", "2x, where x is whole", "2x"),
    ("invisible characters", "5​", "5"),
    ("kinds of blanks", "1 234\t5", "1 234 5"),
    ("full width", "ｘ＝１２", "x=12"),
    ("full width", "𝟏𝟐٣", "123"),
    ("dashes", "–3 — −4 ‑5", "-3 - -4 -5"),
    ("dashes", "⁻5", "-5"),
    ("vulgar fractions", "2½ ¾", r"2 \frac{1}{2} \frac{3}{4}"),
    ("repeating decimals", r"0.\overline{3}", r"\frac{3}{9}"),
    ("repeating decimals", r"1.2\overline{34}", r"\frac{1222}{990}"),
    ("raised", "x¹⁰ + y⁻²", "x^{10} + y^{-2}"),
    ("lowered", "x₁₂", "x_{12}"),
    ("Greek letters", "2π", r"2\pi "),
    ("roots", "2√3 + ∛(x+1)", r"2\sqrt{3} + \sqrt[3]{x+1}"),
    ("punctuation", "（1，2）。５％", "(1,2).５%"),
    ("signs", "45° ≤ ∞", r"45^{\circ} \le  \infty "),
    ("sizes of brackets", r"\left( 1, \bigl[2\bigr] \right.", "( 1, [2] "),
    ("styles", r"\displaystyle\mathbf{x}", "{x}"),
    ("doubled backslashes", r"\\frac12", r"\frac12"),
    ("thousands", r"10,000 10\,000 10{,}000 10\ 000", "10000 10000 10000 10000"),
    ("thousands", r"11,\! 111,\! 111,\! 100", "11111111100"),
    ("thousands", "(1,234)", "(1,234)"),
    ("thousands", "1,22", "1,22"),
    ("no space", r"a\!b\phantom{1}", "ab"),
    ("spaces of LaTeX", r"1\,2\quad 3~4", "1 2  3 4"),
    ("a single dollar sign", "$5", r"\$5"),
    ("a single dollar sign", "$5$", "$5$"),
    ("dollars", r"\$5", r"\text{USD} 5"),
    ("formula signs", r"\($x$\)", "x"),
    ("per cent", r"5\% 5% 5 percent", r"5\%  5\%  5 \% "),
    ("degrees", r"30^\circ 30^{\circ} 30\degree", r"30^{\circ} 30^{\circ} 30^{\circ}"),
    ("words", r"5\mbox{ cm} \mathrm{e} \operatorname{exp}", r"5 \text{cm} e\exp "),
    ("emphasis", "**5**", "5"),
    ("line breaks at the end", "5\\\\", "5"),
    ("colours", r"\color{red}{5}", "{5}"),
    ("announcements", "The answer is 5", "5"),
    ("logarithms to a base", "log2(8)", r"\log_{2}(8)"),
    ("modulus in words", "5 (mod 7)", r"5 \pmod{7}"),
    ("primes", r"f^{\prime\prime} y^\prime", "f'' y'"),
    ("names of commands", r"a \leq b \neq c \dots", r"a \le  b \ne  c \ldots "),
    ("negated signs", r"a \not= b", r"a \ne  b"),
    ("upright letters", r"{\rm x}", "{x}"),
    ("module prefixes", "np.pi + math.sqrt", "pi + sqrt"),
    ("plain functions and constants", "2pi + sqrt3 + ln 2 + 5 min", r"2\pi  + \sqrt 3 + \ln  2 + 5 min"),
    ("plain functions and constants", r"\text{pi}", r"\text{pi}"),
    ("calls", r"\sqrt (x+1) + \exp(2) + \abs (y)", r"\sqrt{x+1} + e^{2} + |y|"),
    ("powers", "x**2", "x^2"),
    ("powers in parentheses", "x^(1/3)", "x^{1/3}"),
    ("signed powers", "10^-3 2^10", "10^{-3} 2^{10}"),
    ("a typed times sign", "1.5 x 10^{3} 2X10^4", r"1.5\times 10^{3} 2\times 10^4"),
    ("a typed times sign", "2x + 10^2", "2x + 10^2"),
    ("scientific notation", "2.0e4", r"2.0\times 10^{4}"),
    ("decimal fractions", "-1./3", "-1/3"),
    ("short fractions", r"\frac12 \dfrac{1}2 \tfrac\pi2", r"\frac{1}{2} \frac{1}{2} \frac{\pi}{2}"),
    ("short roots", r"\sqrt3 \sqrt[3]2", r"\sqrt{3} \sqrt[3]{2}"),
    ("blanks", "a  b", "a b"),
    ("full stop", "5. ", "5"),
]


@pytest.mark.parametrize(("name", "text", "after"), BY_STEP)
def test_a_step_does_what_its_name_says(name: str, text: str, after: str) -> None:
    (step,) = [step for step in STEPS if step.name == name]
    assert step.apply(text) == after


def test_every_step_has_a_case_and_a_name_of_its_own() -> None:
    names = [step.name for step in STEPS]
    assert len(set(names)) == len(names)
    assert {name for name, _, _ in BY_STEP} == set(names)


PLAIN = [
    "5",
    "-3",
    "x+1",
    r"\frac{1}{2}",
    r"\sqrt{3}",
    "(1,2)",
    "1,2",
    r"2\pi",
    "x^{2}",
    r"\text{odd}",
    "1 1/2",
    "3 4",
    "52_{8}",
]


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_in_normal_form_stays(text: str) -> None:
    assert normal_form(text).replace(" ", "") == text.replace(" ", "")
    assert (" " in normal_form(text)) == (" " in text) or "\\" in text


@given(st.text(max_size=80))
def test_any_text_has_a_normal_form(text: str) -> None:
    assert isinstance(normal_form(text), str)


@given(st.integers(0, 10**15), st.sampled_from([",", "{,}", r"\,", r"\ ", " ", ",\\!", "\\!", " ", " ", "'"]))
def test_groups_of_three_digits_are_one_number_in_every_spelling(value: int, gap: str) -> None:
    if gap == "'" and value < 10_000:
        return  # 5'123 may be feet
    written = f"{value:,}".replace(",", gap)
    assert normal_form(written) == str(value)
