"""Rewards: right and wrong, length, format, and the DRA wrapper's groups."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import math
import pickle
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hammerlib.errors import InputError
from hammerlib.grading import GradingPool, Verdict, grade
from hammerlib.rewards import (
    REWARDS,
    DRAReward,
    accuracy_reward,
    cosine_reward,
    format_reward,
    graded,
    length_reward,
    log_score_reward,
    partial_reward,
    released_cosine_reward,
    released_format_reward,
    repetition_reward,
    tags_reward,
    verdicts,
)
from hammerlib.rewards.adjusted import raw_sum
from hammerlib.rewards.shape import text_of

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


@pytest.mark.parametrize("reason", ["error: gold unparsable", "timeout", "error: TooComplex"])
def test_a_grader_without_a_verdict_gives_none_not_zero(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    poisoned = Verdict(False, None, reason, "poisoned")
    monkeypatch.setattr(GradingPool, "grade", lambda self, said, rows, timeout: [poisoned] * len(said))
    assert accuracy_reward(None, [f"a completion that ends in {reason}"], answer=["4"]) == [None]


# Within the guards' limits and yet minutes of algebra: an integral of high powers of sums.
HANGS = r"\int (x+y+z)^{29}(x-y+z)^{29}(x+y-z)^{29} dx"
POISON = {
    "hang": (HANGS, "(x+y)^{2}", None),
    "huge exponent": ("9^{9^{9}}", "5", None),
    "deep fractions": (r"\frac{1}{" * 3000 + "2" + "}" * 3000, "5", None),
    "deep brackets": ("(" * 5000 + "1" + ")" * 5000, "5", None),
    "deep braces": ("{" * 5000 + "1" + "}" * 5000, "5", None),
    "an exception in the scorer": ("5", "soon", "reasoning-gym:time_intervals"),
    "an exception in a worker": (r"\frac{1}{2}", "soon", "reasoning-gym:time_intervals"),
}


def test_no_poison_stalls_or_zeroes_a_step(caplog: pytest.LogCaptureFixture) -> None:
    said = [RIGHT, *(rf"\boxed{{{answer}}}" for answer, _, _ in POISON.values()), WRONG]
    gold = ["4", *(gold for _, gold, _ in POISON.values()), "4"]
    scorer = [None, *(scorer for _, _, scorer in POISON.values()), None]
    logged: dict[str, float] = {}
    columns = {"answer": gold, "scorer": scorer, "metadata": ["{}"] * len(gold)}
    start = time.monotonic()
    found = accuracy_reward(None, said, timeout=5.0, log_metric=logged.__setitem__, **columns)
    assert time.monotonic() - start < 60
    assert found == [1.0, *[None] * len(POISON), 0.0]
    assert logged == {"grading/timeouts": 1, "grading/errors": len(POISON) - 1}
    assert "grading/timeouts: 1 of 9 completions" in caplog.text
    # The same verdicts a second time cost nothing, and DRA hands the None through.
    start = time.monotonic()
    dra = DRAReward(functools.partial(accuracy_reward, timeout=5.0), by_answer, group_size=9)
    assert dra(["p"] * 9, said, **columns) == [pytest.approx(1, rel=1e-5), *[None] * len(POISON), 0.0]
    assert time.monotonic() - start < 2


def test_a_step_without_trouble_logs_nothing_and_starts_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    # The first step staffs the pool, whichever tests ran before in this process; the next one needs no more.
    assert accuracy_reward(None, ["so 73", r"\boxed{74}", "so 75"], answer=["78"] * 3) == [0, 0, 0]
    monkeypatch.setattr("hammerlib.grading.pool.Worker", None)
    logged: dict[str, float] = {}
    assert accuracy_reward(None, ["so 77", r"\boxed{78}", ""], answer=["78"] * 3, timeout=1.0) == [0, 1, 0]
    assert not logged


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="timeout"):
        accuracy_reward(None, [r"\boxed{never seen}"], answer=["4"], timeout=0)


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


@pytest.mark.parametrize(
    ("said", "reward"),
    [
        ("<think>a</think><answer>4</answer>", 1),
        ("<think>a</think>\n<answer>\n4\n</answer>\n", 1),
        ("a</think> <answer>4</answer>", 1),  # the template has opened the thought
        ("<answer>4</answer>", 0),
        ("<think>a</think> 4", 0),
        ("<think>a</think><answer> </answer>", 0),
        ("<think>a</think><answer>4</answer> so 4", 0),
        ("<think>a</think> so <answer>4</answer>", 0),
        ("well <think>a</think><answer>4</answer>", 0),
        ("<think>a</think><think>b</think><answer>4</answer>", 0),
        ("<answer>4</answer><think>a</think>", 0),
        ("<think><answer>4</think></answer>", 0),
        ("", 0),
    ],
)
def test_the_tags_reward_wants_thought_and_answer_and_nothing_else(said: str, reward: float) -> None:
    assert tags_reward(None, [said, [{"role": "assistant", "content": said}]]) == [reward] * 2


def test_the_released_format_reward_counts_closed_thoughts_on_their_own_line() -> None:
    said = ["a\n</think>\n4", "a</think>\n4", "a\n</think>\nb\n</think>\n", ""]
    assert released_format_reward(None, said) == [1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("characters", "right", "wrong"),
    # cos(pi t / 1000) = 1, 0, -1, 0, 1 at 0, 500, 1000, 1500, 2000 characters: not clamped.
    [(500, 0.75, -0.25), (1000, 0.5, -0.5), (1500, 0.75, -0.25), (2000, 1.0, 0.0)],
)
def test_the_released_cosine_reward_swings_with_the_characters(
    characters: int, right: float, wrong: float
) -> None:
    said = [RIGHT.ljust(characters), WRONG.ljust(characters)]
    assert released_cosine_reward(None, said, answer=["4", "4"]) == pytest.approx([right, wrong])


def test_the_released_cosine_reward_gives_one_for_a_gold_that_cannot_be_read() -> None:
    assert released_cosine_reward(None, [r"\boxed{7}", r"\boxed{7}"], answer=["t(0,4]", None]) == [1.0, None]
    assert released_cosine_reward(None, [r"\boxed{9^{9^{9}}}"], answer=["5"]) == [None]


def test_repetition_costs_the_share_of_runs_that_came_before() -> None:
    # "a b c a b c": runs abc bca cab abc, three of four are new. Four words alike: one of two runs is new.
    said = ["a b c a b c", "a a A a", "a b c d e", "a b", "", "a b c"]
    assert repetition_reward(None, said) == pytest.approx([-0.25, -0.5, 0, 0, 0, 0])
    assert repetition_reward(None, ["a a a"], words=1, penalty=-3.0) == pytest.approx([-2])
    for options, words in (({"words": 0}, "at least 1"), ({"penalty": 0.5}, "at most 0")):
        with pytest.raises(InputError, match=words):
            repetition_reward(None, ["a"], **options)


def test_length_costs_nothing_until_the_margin_and_then_falls_to_minus_one() -> None:
    ids = [[0] * count for count in (0, 50, 60, 75, 100, 500)]
    assert length_reward(completion_ids=ids, max_len=100, margin=50) == [0, 0, -0.2, -0.5, -1, -1]
    assert length_reward(completion_ids=[[0] * 3], max_len=3) == [-1]
    for options, words in (
        ({"margin": 0}, "from 1 to max_len"),
        ({"margin": 101}, "from 1 to max_len"),
        ({"completion_ids": None}, "token ids"),
        ({"completion_ids": [80]}, "not lengths"),
        ({"max_len": 0}, "at least 1 token"),
    ):
        with pytest.raises(InputError, match=words):
            length_reward(**{"completion_ids": ids, "max_len": 100} | options)


def test_a_column_of_another_length_is_refused_by_name() -> None:
    dra = DRAReward(accuracy_reward, by_answer, 1)
    two = {"answer": ["1", "2"]}
    for call, words in (
        (lambda: accuracy_reward(["a"], **two), "prompts = 1: do not fit 0 completions"),
        (lambda: accuracy_reward(None, ["a"], **two), "answer = 2: do not fit 1 completions"),
        (lambda: accuracy_reward(None, ["a"], answer=None), "answer = 0: do not fit 1"),
        (lambda: accuracy_reward(None, ["a", "b"], scorer=["x"], **two), "scorer = 1: do not fit 2"),
        (lambda: cosine_reward(None, ["a"], [[1], [2]], answer=["1"]), "completion_ids = 2: do not fit 1"),
        (lambda: released_cosine_reward(None, ["a"], **two), "answer = 2: do not fit 1"),
        (lambda: log_score_reward(completions=["a"], **two), "answer = 2: do not fit 1"),
        (lambda: partial_reward(completions=["a"], **two), "answer = 2: do not fit 1"),
        (lambda: format_reward(["a"]), "prompts = 1: do not fit 0 completions"),
        (lambda: tags_reward(["a"]), "prompts = 1"),
        (lambda: released_format_reward(["a"]), "prompts = 1"),
        (lambda: repetition_reward(["a"]), "prompts = 1"),
        (lambda: dra(["p"], ["a", "b"], **two), "prompts = 1: do not fit 2"),
        (lambda: dra(["p"] * 2, ["a"] * 2, answer=["1"]), "answer = 1: do not fit 2"),
        (lambda: DRAReward(one_row, by_answer, 1)(["p"] * 2, ["a"] * 2), "one_row = 1: do not fit 2"),
    ):
        with pytest.raises(InputError, match=f"^{words}"):
            call()


def one_row(**columns: object) -> list[float | None]:
    """A reward that does not look at how many completions there are."""
    return [1.0]


@pytest.mark.parametrize(
    ("completions", "words"),
    [
        (None, "completions = None: is no list"),
        ("ab", "completions = 'ab': is no list"),
        ([None], "completions = None: is neither text"),
        ([3], "completions = 3: is neither text"),
        ([[{"role": "assistant"}]], "completions = .*is neither text"),
    ],
)
def test_what_is_no_completion_is_refused(completions: object, words: str) -> None:
    for call in (format_reward, functools.partial(accuracy_reward, answer=["1"])):
        with pytest.raises(InputError, match=f"^{words}"):
            call(None, completions)


TEXTS = st.lists(st.sampled_from(["a", "B", "4", "<think>", "</think>", "<answer>", "</answer>", "\n", " "]))


@given(TEXTS.map("".join), st.integers(1, 5), st.integers(0, 300))
def test_rewards_of_shape_stay_in_their_ranges(said: str, words: int, tokens: int) -> None:
    assert tags_reward(None, [said])[0] in (0, 1) and released_format_reward(None, [said])[0] in (0, 1)
    assert -1 <= repetition_reward(None, [said], words=words)[0] <= 0
    assert -1 <= length_reward(completion_ids=[[0] * tokens], max_len=100)[0] <= 0
    if tags_reward(None, [said]) == [1]:  # what the reward asks for, the grader can read
        assert format_reward(None, [said]) == [1]


def test_rewards_may_be_called_from_several_threads_at_once() -> None:
    def one(number: int) -> list[float | None]:
        said = [rf"\boxed{{\frac{{{number}}}{{{2 * number}}}}}", rf"\boxed{{\frac{{1}}{{{number + 7}}}}}"]
        return accuracy_reward(None, said, answer=["0.5", "0.5"])

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(one, range(3, 11))) == [[1.0, 0.0]] * 8


def test_every_reward_takes_trls_arguments_and_gives_one_value_per_completion() -> None:
    arguments = {
        "prompts": ["p"] * 3, "completions": [RIGHT, WRONG, ""], "completion_ids": [[1], [1, 2], []],
        "answer": ["1"] * 3, "id": ["a"] * 3, "trainer_state": None, "log_extra": None, "log_metric": None,
    }  # fmt: skip
    for name, reward in REWARDS.items():
        found = reward(**arguments)
        assert len(found) == 3 and all(isinstance(one, float) for one in found), name
        assert pickle.loads(pickle.dumps(reward)) is reward


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


async def awaited(completions: list[str], **columns: object) -> list[float | None]:
    await asyncio.sleep(0)
    return [None if said == "" else 1.0 for said in completions]


class Judge:
    """A callable object whose call is a coroutine, as a client of a language-model judge may be."""

    async def __call__(self, completions: list[str], **columns: object) -> list[float]:
        return [2.0] * len(completions)


def test_coroutine_rewards_are_awaited_with_or_without_a_running_loop() -> None:
    dra = DRAReward([awaited, accuracy_reward, Judge(), functools.partial(awaited)], by_answer, 3)
    call = functools.partial(dra, ["p"] * 3, [RIGHT, RIGHT, ""], answer=["4"] * 3)
    # Sums 1 + 1 + 2 + 1 twice, halved; of the blank one 0 + 2.
    assert call() == pytest.approx([2.5, 2.5, 2.0], rel=1e-5)

    async def inside() -> list[float | None]:
        return call()

    assert asyncio.run(inside()) == call()
    again = pickle.loads(pickle.dumps(dra))
    assert again(["p"] * 3, [RIGHT, RIGHT, ""], answer=["4"] * 3) == call()


def test_trl_takes_the_wrapper_for_a_plain_function_and_coroutines_for_coroutines() -> None:
    from trl.trainer.utils import is_async_callable

    assert is_async_callable(awaited) and not is_async_callable(DRAReward(awaited, by_answer, 2))


def test_an_error_of_a_coroutine_reward_is_not_swallowed() -> None:
    async def broken(**columns: object) -> list[float]:
        raise ConnectionError("judge is away")

    with pytest.raises(ConnectionError, match="judge is away"):
        DRAReward(broken, by_answer, 2)(["p"] * 2, [RIGHT] * 2)


def test_the_wrapper_passes_its_options_on() -> None:
    said, gold = [WRONG, WRONG, RIGHT, RIGHT], ["4"] * 4
    minus = functools.partial(cosine_reward, max_len=10**9)  # about 1 for right, -1 for wrong
    found = DRAReward(minus, by_answer, 4, sign="safe", normalize=True, eps=0)(
        ["p"] * 4, said, [[0]] * 4, answer=gold
    )
    assert found == pytest.approx([-1, -1, 1, 1])  # two pairs of copies: weights 1/2, mean one again
    alone = DRAReward(minus, by_answer, 4, positives_only=True, eps=0)(
        ["p"] * 4, said, [[0]] * 4, answer=gold
    )
    assert alone == pytest.approx([-1, -1, 0.5, 0.5])


def test_the_official_scope_needs_no_whole_groups_and_sees_local_rows_only() -> None:
    # A x 6, B x 6 on rows of four at once, all right; the answers of A and B are orthogonal.
    said = [RIGHT] * 6 + [RIGHT + "!"] * 6
    dra = DRAReward(accuracy_reward, by_answer, 6, scope="official-local", local_rows=4)
    found = dra(["a"] * 6 + ["b"] * 6, said, answer=["4"] * 12)
    assert found == pytest.approx([1 / 4] * 4 + [1 / 2] * 4 + [1 / 4] * 4, rel=1e-5)
    whole = DRAReward(accuracy_reward, by_answer, 6, scope="official-local")
    assert whole(["a"] * 4 + ["b"] * 2, [RIGHT] * 6, answer=["4"] * 6) == pytest.approx([1 / 6] * 6, rel=1e-5)
    with pytest.raises(InputError, match="groups of 4 from 6"):
        dra(["a"] * 6, [RIGHT] * 6, answer=["4"] * 6)


def test_blank_completions_without_a_vector_are_copies_of_each_other() -> None:
    def bag_of_words(texts: list[str]) -> np.ndarray:
        return np.array([[text.count("4"), text.count("5")] for text in texts], dtype=float)

    def one(completions: list[str], **columns: object) -> list[float]:
        return [1.0] * len(completions)

    found = DRAReward(one, bag_of_words, 4)(["p"] * 4, ["4", "", " \n", "5"])
    assert found == pytest.approx([1, 0.5, 0.5, 1], rel=1e-5)
    with pytest.raises(
        InputError, match="zero vector"
    ):  # a visible text without a vector is a broken embedder
        DRAReward(one, bag_of_words, 2)(["p"] * 2, ["4", "six"])


@pytest.mark.parametrize("shape", [(3, 2), (4,), (2, 2, 2)])
def test_an_embedder_of_another_shape_is_refused(shape: tuple) -> None:
    dra = DRAReward(accuracy_reward, lambda texts: np.ones(shape), 2)
    with pytest.raises(InputError, match="one vector per text"):
        dra(list("aabb"), [RIGHT] * 4, answer=["4"] * 4)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: DRAReward([], by_answer, 2), "at least one reward"),
        (lambda: DRAReward(accuracy_reward, by_answer, 2, weights=[1, 2]), "one weight for each"),
        (lambda: DRAReward(accuracy_reward, by_answer, 2, local_rows=0), "per_device_train_batch_size"),
        (lambda: DRAReward(accuracy_reward, by_answer, 2, smi="magic"), "log_det"),
        (lambda: DRAReward(accuracy_reward, by_answer, 2, sing="safe"), "known: sign"),
        (lambda: DRAReward(accuracy_reward, by_answer, 0), "num_generations"),
        (lambda: DRAReward(accuracy_reward, by_answer, "2"), "num_generations"),
        (lambda: DRAReward(accuracy_reward, by_answer, 2, weights=["a"]), "one weight for each"),
        (lambda: DRAReward(accuracy_reward, 3, 2), "embed = 3: is no function"),
        (lambda: DRAReward([3], by_answer, 2), "base_rewards = 3: is no function"),
    ],
)
def test_a_wrapper_that_cannot_work_is_refused_when_made(make: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()


@pytest.mark.parametrize("gold", [None, "", " "])
def test_a_puzzle_without_gold_cannot_be_scored(gold: str | None) -> None:
    said, scorer = [r"\boxed{B====3}", "B"], ["puzzles:option====numeral"] * 2
    assert partial_reward(completions=said, answer=[gold] * 2, scorer=scorer) == [None, None]


def test_failures_of_the_grader_are_counted_under_partial_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: dict[str, float] = {}
    lost = [dataclasses.replace(grade("4", "4"), correct=False, reason="timeout")]
    monkeypatch.setattr("hammerlib.rewards.graded.GradingPool.grade", lambda *args, **options: lost)
    told = {"completions": [r"\boxed{9041}"], "answer": ["9042"], "log_metric": counted.__setitem__}
    assert partial_reward(**told) == [None] and counted == {"grading/timeouts": 1.0}
    graded._MEMORY.verdicts.clear()


WORDS = (
    "true",
    "false",
    "yes",
    "no",
    "triangle",
    "square",
    "Alice",
    "red",
    "even",
    "odd",
    "north",
    "Monday",
    "sine",
)


@pytest.mark.parametrize("gold", WORDS)
def test_a_word_is_right_and_another_word_is_wrong_and_neither_is_without_reward(gold: str) -> None:
    said = [rf"\boxed{{{word}}}" for word in WORDS]
    assert accuracy_reward(None, said, answer=[gold] * len(said)) == [float(word == gold) for word in WORDS]


@pytest.mark.parametrize("gold", ["N/A", "None", "forty two.", "?"])
def test_a_gold_that_says_nothing_gives_no_reward_and_is_counted(gold: str) -> None:
    logged: dict[str, float] = {}
    found = accuracy_reward(
        None, [r"\boxed{5}", r"\boxed{wrong}"], answer=[gold] * 2, log_metric=logged.__setitem__
    )
    assert found == [None, None] and logged == {"grading/golds_unread": 2}


@pytest.mark.parametrize("name", ["accuracy", "cosine", "partial", "released_cosine"])
def test_the_question_given_back_earns_nothing(name: str) -> None:
    said = [r"\boxed{5050}", r"\boxed{\sum_{k=1}^{100}k}", r"\boxed{50 \cdot 101}"]
    found = REWARDS[name](completions=said, completion_ids=[[1]] * 3, answer=["5050"] * 3)
    assert found[0] > found[1] and found[0] > found[2]


@pytest.mark.parametrize("name", ["accuracy", "cosine", "partial", "released_cosine"])
def test_an_unfinished_thought_earns_nothing_where_the_recipe_says_so(name: str) -> None:
    said = [r"<think> Try \boxed{12}? No, let me", r"<think> 3 + 4 </think> \boxed{12}"]
    told = {"completions": said, "completion_ids": [[1]] * 2, "answer": ["12"] * 2}
    counted, not_counted = REWARDS[name](**told), REWARDS[name](**told, unfinished=False)
    assert counted[0] > not_counted[0] and counted[1] == not_counted[1] > not_counted[0]


def test_training_with_think_tags_does_not_count_unfinished_thoughts() -> None:
    from hammerlib import TrainConfig
    from hammerlib.training.build import _rewards
    from hammerlib.training.run import prepare

    for rewards, counted in [
        (("accuracy",), 1.0),
        (("accuracy", "tags"), 0.0),
        (("accuracy", "released_format"), 0.0),
    ]:
        job = prepare(TrainConfig(n_problems=8, order="random", rewards=rewards))
        made = _rewards(job.config, ())[0]
        assert made(completions=[r"<think> \boxed{12}? No"], answer=["12"]) == [counted]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cosine", {"max_len": "100"}),
        ("cosine", {"max_len": 0}),
        ("cosine", {"max_len": 1.5}),
        ("cosine", {"max_len": math.nan}),
        ("cosine", {"correct_range": (1.0, 0.5)}),
        ("cosine", {"wrong_range": (-0.5, -1.0)}),
        ("cosine", {"correct_range": (0.5, math.nan)}),
        ("cosine", {"correct_range": 0.5}),
        ("length", {"max_len": None}),
        ("length", {"margin": 0}),
        ("length", {"margin": 2.5}),
        ("length", {"margin": 2000}),
        ("repetition", {"words": 0}),
        ("repetition", {"words": 1.5}),
        ("repetition", {"words": "3"}),
        ("repetition", {"penalty": 1.0}),
        ("repetition", {"penalty": math.nan}),
        ("repetition", {"penalty": "-1"}),
        ("accuracy", {"answer": [4]}),
        ("accuracy", {"answer": [math.nan]}),
        ("accuracy", {"answer": "4"}),
        ("accuracy", {"scorer": ["reasoning-gym:puzzle24"]}),
        ("accuracy", {"scorer": [4]}),
        ("accuracy", {"completions": [None]}),
        ("log_score", {"answer": [1]}),
    ],
)
def test_a_wrong_option_is_one_line_before_anything_is_scored(name: str, options: dict) -> None:
    told = {"completions": [r"\boxed{4}"], "completion_ids": [[1, 2]], "answer": ["4"]} | options
    with pytest.raises(InputError) as refused:
        REWARDS[name](**told)
    assert "\n" not in str(refused.value)
