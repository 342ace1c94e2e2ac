"""SvS: bands and rewards of the reference, tasks and their judge, and steps in the house."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hammerlib.advantages import group_advantages
from hammerlib.errors import InputError
from hammerlib.models.nano.solutions import boxed, solve
from hammerlib.systems.svs import TASKS, extractions, in_band, step_cost, synthesis_reward, with_syntheses
from hammerlib.systems.svs.synthesis import (
    SEEDS,
    check_band,
    mislabelled_share,
    most_rows,
    teaches,
    trained_syntheses,
)
from hammerlib.systems.svs.tasks import INSTRUCTION

# Bands and rewards


def test_the_bands_of_the_reference_are_inclusive() -> None:
    assert [in_band(k, 8, SEEDS) for k in range(9)] == [False] + [True] * 4 + [False] * 4
    assert [synthesis_reward(k, 8) for k in range(9)] == [0, 1, 1, 1, 1, 1, 0, 0, 0]
    # n = 4: bands .25 to .5 and .25 to .625 are 1 to 2 of 4, both
    assert [in_band(k, 4, (0.25, 0.5)) for k in range(5)] == [
        synthesis_reward(k, 4, (0.25, 0.625)) for k in range(5)
    ]


@given(st.integers(1, 64), st.integers(0, 64), st.integers(0, 64))
def test_an_end_that_is_a_share_of_the_group_is_inside(total: int, correct: int, low: int) -> None:
    correct, low = min(correct, total), min(low, total)
    assert in_band(correct, total, (low / total, 1)) == (correct >= low)
    assert in_band(correct, total, (0, low / total)) == (correct <= low)


def test_an_invalid_synthesis_earns_nothing() -> None:
    assert synthesis_reward(None, 8) == 0.0


def test_what_is_trained() -> None:
    # 7 of 8: no reward for the synthesis, and yet its answers are trained. 0 of 8: neither.
    assert synthesis_reward(7, 8) == 0 and teaches(7, 8)
    assert synthesis_reward(0, 8) == 0 and not teaches(0, 8) and not teaches(8, 8)
    assert trained_syntheses([0, 1, 0]) and trained_syntheses([1, 1]) and not trained_syntheses([0, 0])


@pytest.mark.parametrize(("good", "eps", "expected"), [
    # Mean 1/8, deviation (ddof 1) sqrt(8 / 7 (1/8)(7/8)) = .353553: 7/8 and -1/8 over it and eps.
    (1, 1e-6, (2.474867, -0.353552)), (1, 1e-4, (2.474174, -0.353453)),
    # Mean 1/4, deviation sqrt(8 / 7 3/16) = .462910: 3/4 and -1/4 over it and eps.
    (2, 1e-6, (1.620182, -0.540061)), (2, 1e-4, (1.619835, -0.539945)),
])  # fmt: skip
def test_advantages_of_syntheses_by_hand(good: int, eps: float, expected: tuple[float, float]) -> None:
    rewards = np.array([1.0] * good + [0.0] * (8 - good))
    found = group_advantages(rewards, np.zeros(8, int), eps=eps)
    assert (found[0], found[-1]) == pytest.approx(expected, abs=2e-6)
    population = (rewards - rewards.mean()) / (rewards.std() + eps)
    assert abs(population[0] - found[0]) > 0.1  # ddof 0 is another number


def test_seeds_are_responses() -> None:
    # 3 of 8 right: 3 groups of 8 syntheses, 24; with all valid 24 groups of 8 answers.
    assert step_cost(1, 3, 24, 8) == (8, 24, 192)
    # At most 4 of 8 are in the band: 8 + 4 8 + 4 8 8.
    assert most_rows(8) == 8 + 32 + 256 and most_rows(8, seeds=1) == 8 + 8 + 64
    assert most_rows(8, (0.9, 0.95)) == 8
    with pytest.raises(InputError):
        step_cost(1, 3, 25, 8)


def test_mislabelled_variants_that_are_rewarded() -> None:
    # Rewarded: the first (right), the second (wrong) and the fourth (nobody knows).
    found = mislabelled_share([1, 1, 0, 1], ["7"] * 4, ["7", "8", "9", None])
    assert found == 0.5 and math.isnan(mislabelled_share([0], ["7"], ["8"]))


def test_bands_refuse_nonsense() -> None:
    for band in ((0.5, 0.1), (-0.1, 0.5), (0, 1.1), (math.nan, 0.5)):
        with pytest.raises(InputError):
            check_band("seeds", band)
    with pytest.raises(InputError):
        in_band(9, 8, SEEDS)


# Tasks


def test_text_is_taken_from_its_fence() -> None:
    extract = TASKS["text"].extract
    assert extract("Here:\n```text\nWhat is 2 + 2?\n```\nDone ```text\nOther\n```") == "What is 2 + 2?"
    assert extract("```\nA bare one\n```") == "A bare one"
    assert extract("```python\n1\n```\n```text\nThe named one\n```") == "The named one"
    assert [extract(text) for text in ("none", "```text\nopen", "```text\n \n```", "```text\n```")] == [
        None
    ] * 4


def test_the_prompt_shows_the_response_alone() -> None:
    response = " 3+4=7, so \\boxed{7}"
    for task in TASKS.values():
        prompt = task.prompt(response)
        assert response.strip() in prompt
        assert prompt.replace(response.strip(), "") == task.prompt("")  # no question, no gold beside it
    assert TASKS["text"].question("What?").endswith(INSTRUCTION) and "\\boxed{}" in INSTRUCTION


def test_formal_variants_have_a_computed_truth() -> None:
    task = TASKS["formal"]
    assert task.extract(" P:31+11") == "31+11" and task.truth("31+11") == "42"
    assert task.truth("5-12+100") == "93" and task.truth("5-12") == "-7"
    assert task.question("31+11-2").endswith(": 31 + 11 - 2 =")
    for text in ("P:31", "31+11", "P:31+11=42", "P:31+11 P:1+1", "P:1+2+3+4+5", "P:1234+1", "P:-3+4", ""):
        assert task.extract(text) is None


@pytest.mark.parametrize("strategy", ["columns", "tens", "check"])
def test_examples_teach_right_syntheses(strategy: str) -> None:
    row = {"metadata": '{"expression": "62 - 45 + 7"}', "answer": "24"}
    response = solve(row, strategy, random.Random(0))
    task = TASKS["formal"]
    for seed in range(50):
        prompt, synthesis = task.example(response, random.Random(seed))
        variant = task.extract(synthesis)
        assert prompt == task.prompt(response) and task.truth(variant) == boxed(response) == "24"


def test_a_share_of_the_examples_is_replaced() -> None:
    pair = ("3 + 4 =", " tens:3+4=7;\\boxed{7}")
    (batch,) = with_syntheses([[pair] * 1000], 0.1, seed=1)
    changed = [one for one in batch if one != pair]
    assert 70 < len(changed) < 130 and all(prompt.endswith("P?") for prompt, _ in changed)
    assert next(with_syntheses([[pair]], 0.0)) == [pair]
    with pytest.raises(InputError):
        next(with_syntheses([[pair]], 1.1))


def test_an_invalid_row_never_inherits_the_row_before() -> None:
    rows = ["```text\nA\n```", "nothing", "```text\nB\n```", "nothing"]
    assert extractions(rows, TASKS["text"]) == ["A", None, "B", None]
    # The released code has no final else: the defect, for comparison.
    assert extractions(rows, TASKS["text"], released=True) == ["A", "A", "B", "B"]
    assert extractions(["nothing"], TASKS["text"], released=True) == [None]
