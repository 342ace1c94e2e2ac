"""Rewards: right and wrong, length, format, and the DRA wrapper's groups."""

from __future__ import annotations

import functools
import math
import pickle

import numpy as np
import pytest

from hammerlib.errors import InputError
from hammerlib.rewards import (
    DRAReward,
    accuracy_reward,
    cosine_reward,
    format_reward,
    raw_sum,
    text_of,
    verdicts,
)

RIGHT, WRONG = r"4+0=4 \boxed{4}", r"maybe \boxed{5}"


def by_answer(texts: list[str]) -> np.ndarray:
    """One direction per distinct text: equal texts are the same, different ones orthogonal."""
    kinds = sorted(set(texts))
    return np.eye(max(len(kinds), 1))[[kinds.index(text) for text in texts]]


def test_accuracy_is_one_for_right_zero_for_wrong_and_none_without_a_gold_answer() -> None:
    assert accuracy_reward(None, [RIGHT, WRONG, RIGHT, RIGHT], answer=["4", "4", None, " "]) == [
        1.0,
        0.0,
        None,
        None,
    ]


@pytest.mark.parametrize("reason", ["gold unparsable", "timeout", "error: TooComplex"])
def test_a_grader_without_a_verdict_gives_none_not_zero(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from hammerlib.grading import Verdict
    from hammerlib.rewards import graded

    monkeypatch.setattr(graded, "grade", lambda text, row: Verdict(False, None, reason, "poisoned"))
    assert accuracy_reward(None, [f"a completion that ends in {reason}"], answer=["4"]) == [None]


def test_a_message_list_is_read_like_its_text() -> None:
    said = [[{"role": "assistant", "content": RIGHT}]]
    assert text_of(said[0]) == RIGHT
    assert accuracy_reward(None, said, answer=["4"]) == [1.0]


def test_a_problem_that_names_its_scorer_is_graded_by_it() -> None:
    from hammerlib.problems import load_problems

    row = load_problems("reasoning-gym:nano", n=8)[0]
    columns = {name: [row[name]] * 2 for name in ("answer", "scorer", "metadata")}
    said = [rf"\boxed{{{row['answer']}}}", r"\boxed{-12345}"]
    assert accuracy_reward(None, said, **columns) == [1.0, 0.0]
    assert "reasoning-gym" in verdicts(said, **columns)[0].grader


@pytest.mark.parametrize(
    ("tokens", "right", "wrong"),
    [
        (25, 0.92678, -0.92678),
        (75, 0.57322, -0.57322),
        (50, 0.75, -0.75),
        (0, 1.0, -1.0),
        (100, 0.5, -0.5),
        (400, 0.5, -0.5),
    ],
)
def test_the_cosine_reward_has_trls_values_and_is_clamped(tokens: int, right: float, wrong: float) -> None:
    found = cosine_reward(None, [RIGHT, WRONG], [[0] * tokens] * 2, answer=["4", "4"], max_len=100)
    assert found == pytest.approx([right, wrong], abs=1e-5)


def test_the_cosine_reward_skips_rows_without_gold_and_needs_lengths() -> None:
    assert cosine_reward(None, [RIGHT], [[0]], answer=[None]) == [None]
    with pytest.raises(InputError, match="completion_ids"):
        cosine_reward(None, [RIGHT], answer=["4"])
    with pytest.raises(InputError, match="max_len"):
        cosine_reward(None, [RIGHT], [[0]], answer=["4"], max_len=0)


def test_the_format_reward_wants_exactly_one_final_answer() -> None:
    said = [RIGHT, "<answer>4</answer>", "4", r"\boxed{}", RIGHT + WRONG, "<answer> </answer>"]
    assert format_reward(None, said) == [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]


def test_all_rewards_survive_pickling() -> None:
    dra = DRAReward([accuracy_reward, functools.partial(cosine_reward, max_len=9)], by_answer, 2)
    again = pickle.loads(pickle.dumps([accuracy_reward, format_reward, cosine_reward, dra]))
    assert again[-1].__name__ == "dra" and again[-1].group_sizes == [2]


def test_dra_divides_each_reward_by_its_groups_similarity() -> None:
    dra = DRAReward(accuracy_reward, by_answer, group_size=3)
    found = dra(["p"] * 3 + ["q"] * 3, [RIGHT, RIGHT, WRONG, RIGHT, WRONG, WRONG], answer=["4"] * 6)
    assert found == pytest.approx([0.5, 0.5, 0, 1, 0, 0], rel=1e-5)
    assert dra.raw.tolist() == [1, 1, 0, 1, 0, 0]


def test_dra_adjusts_the_weighted_sum_and_logs_raw_means() -> None:
    logged: dict[str, float] = {}
    dra = DRAReward([accuracy_reward, format_reward], by_answer, 2, weights=[2.0, 1.0])
    found = dra(["p"] * 2, [RIGHT, "no idea"], answer=["4"] * 2, log_metric=logged.__setitem__)
    assert found == pytest.approx([3.0, 0.0], rel=1e-5)
    assert logged == pytest.approx(
        {"raw/accuracy_reward": 0.5, "raw/format_reward": 0.5, "dra/mean_weight": 1.0}, rel=1e-5
    )


def test_rows_that_no_reward_can_score_pass_through_as_none() -> None:
    found = DRAReward(accuracy_reward, by_answer, 2)(["p"] * 2, [RIGHT, RIGHT], answer=["4", None])
    assert found[0] == pytest.approx(0.5, rel=1e-5) and found[1] is None


def test_raw_sum_drops_missing_cells_only() -> None:
    table = np.array([[1.0, np.nan], [np.nan, np.nan], [1.0, 2.0]])
    assert raw_sum(table, np.array([1.0, 3.0])).tolist() == pytest.approx([1.0, math.nan, 7.0], nan_ok=True)


@pytest.mark.parametrize("rows", ["aaab", "aabb", "abab", "aaaabb", "aaa"])
def test_groups_that_are_not_whole_are_refused_with_the_formula(rows: str) -> None:
    dra = DRAReward(accuracy_reward, by_answer, group_size=4)
    with pytest.raises(InputError, match="per_device_train_batch_size x steps_per_generation"):
        dra(list(rows), [RIGHT] * len(rows), answer=["4"] * len(rows))


def test_ids_decide_over_prompts_when_both_are_there() -> None:
    dra = DRAReward(accuracy_reward, by_answer, group_size=2)
    with pytest.raises(InputError, match="whole groups"):
        dra(["same"] * 4, [RIGHT] * 4, answer=["4"] * 4, id=["a", "b", "b", "a"])


def test_evaluation_groups_of_another_size_are_read_from_the_rows() -> None:
    dra = DRAReward(accuracy_reward, by_answer, group_size=4, group_size_eval=2)
    assert dra(list("aabb"), [RIGHT] * 4, answer=["4"] * 4) == pytest.approx([0.5] * 4, rel=1e-5)
    assert dra(list("aaaa"), [RIGHT] * 4, answer=["4"] * 4) == pytest.approx([0.25] * 4, rel=1e-5)


def test_conversational_prompts_make_groups_too() -> None:
    prompts = [[{"role": "user", "content": name}] for name in "aabb"]
    assert len(DRAReward(accuracy_reward, by_answer, 2)(prompts, [RIGHT] * 4, answer=["4"] * 4)) == 4


async def awaited(**columns: object) -> list[float]:
    return [1.0]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: DRAReward([], by_answer, 2), "at least one reward"),
        (lambda: DRAReward(accuracy_reward, by_answer, 2, weights=[1, 2]), "one weight for each"),
        (lambda: DRAReward(awaited, by_answer, 2), "coroutine"),
        (lambda: DRAReward(accuracy_reward, by_answer, 0), "num_generations"),
    ],
)
def test_a_wrapper_that_cannot_work_is_refused_when_made(make: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()
