"""SvS: bands and rewards of the reference, tasks and their judge, and steps in the house."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from system_runs import SCRIPTED, SMALL, Hand
from system_steps import broken_off_and_resumed, same_weights, table

from hammerlib.advantages import group_advantages
from hammerlib.errors import InputError
from hammerlib.models.nano.solutions import boxed, solve
from hammerlib.systems.svs import (
    INSTRUCTION,
    SEEDS,
    TASKS,
    check_band,
    extractions,
    in_band,
    mislabelled_share,
    most_rows,
    step_cost,
    synthesis_reward,
    teaches,
    trained_syntheses,
    with_syntheses,
)
from hammerlib.systems.svs.algorithm import Svs, reworded
from hammerlib.training import Generation, Rollout, train
from hammerlib.training.hooks import EXCLUDED, make_algorithms

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


# In the house

FOUR = dataclasses.replace(SMALL, n_problems=4)
OPTIONS = {"low": 0.25, "high": 0.5, "useful_low": 0.25, "useful_high": 0.625}


class Double:
    """A scripted policy: it says what stands in its tables, and keeps what it was asked."""

    def __init__(
        self, answers: dict[str, str], syntheses: dict[str, list[str]], solved: dict[str, str]
    ) -> None:
        self.tables = answers, syntheses, solved
        self.asked: list[list[dict]] = []
        self.said: list[str] = []

    def generate(self, trainer: object, rows: list[dict]) -> Generation:
        """Answer problems by their id; rewrite, and solve variants, by their prompt."""
        answers, syntheses, solved = self.tables
        texts = []
        for place, row in enumerate(rows):
            prompt = row["prompt"]
            k = place % 4
            if prompt == row["id"]:
                texts.append(f"{row['id']} {k} \\boxed{{{7 if answers[prompt][k] == 'R' else 8}}}")
            elif prompt in syntheses:
                texts.append(syntheses[prompt][k])
            else:
                texts.append(f"\\boxed{{{7 if solved[prompt][k] == 'R' else 9}}}")
        self.asked.append(rows)
        first = len(self.said)
        self.said += texts
        return Generation(rows, [[5]] * len(rows), [[first + k] for k in range(len(rows))])

    def trainer(self) -> SimpleNamespace:
        """What the algorithm asks of a trainer."""
        tokenizer = SimpleNamespace(
            batch_decode=lambda ids, skip_special_tokens: [self.said[one] for (one,) in ids]
        )
        model = SimpleNamespace(config=SimpleNamespace(get_text_config=lambda: SimpleNamespace()))
        return SimpleNamespace(
            num_generations=4, processing_class=tokenizer, model=model, max_completion_length=40,
            accelerator=SimpleNamespace(num_processes=1),
        )  # fmt: skip


def doubled(monkeypatch: pytest.MonkeyPatch, double: Double, length: Callable[[str], int] = len) -> None:
    monkeypatch.setattr("hammerlib.systems.svs.algorithm.generate", double.generate)
    monkeypatch.setattr(
        "hammerlib.systems.svs.algorithm.prompt_ids",
        lambda tokenizer, prompts, template: [range(length(prompts[0]))],
    )


def asked(names: str) -> list[dict[str, str | None]]:
    common = {"answer": "7", "scorer": "reasoning-gym:chain_sum", "metadata": "{}", "topic": "t"}
    return [{"id": name, "prompt": name, **common} for name in names for _ in range(4)]


def question(text: str) -> str:
    return TASKS["formal"].question(text)


def test_a_scripted_policy_goes_through_every_branch(monkeypatch: pytest.MonkeyPatch) -> None:
    # Half solved: a, responses 0 and 2 are rewritten. b is 3 of 4: trained, not rewritten. c and d: neither.
    answers = {"a": "RWRW", "b": "RRRW", "c": "WWWW", "d": "RRRR"}
    prompts = [TASKS["formal"].prompt(f"a {k} \\boxed{{7}}") for k in (0, 2)]
    syntheses = {
        # 2 of 4: rewarded, though its true answer is 8. 3 of 4: not, but trained. Invalid. 0 of 4: neither.
        prompts[0]: [" P:3+5", " P:3+4", "I cannot", " P:1+6"],
        # 4 of 4: too easy. 1 of 4: rewarded, and right. Invalid twice.
        prompts[1]: [" P:2+5", " P:9-2", "P:", " P:7"],
    }
    outcomes = {"3+5": "RWRW", "3+4": "RRRW", "1+6": "WWWW", "2+5": "RRRR", "9-2": "WWWR"}
    solved = {question(text): outcome for text, outcome in outcomes.items()}
    double = Double(answers, syntheses, solved)
    doubled(monkeypatch, double)
    svs = Svs("formal", **OPTIONS)
    found = svs.rollout(asked("abcd"), double.trainer())
    assert found.tasks == [""] * 16 + ["synthesis"] * 8 + ["variant"] * 20
    assert np.nan_to_num(found.rewards, nan=-1).tolist() == [-1] * 16 + [1, 0, 0, 0, 0, 1, 0, 0] + [-1] * 20
    # Groups: problems 0 to 3, two rewritten responses, five variants.
    sizes = {name: int((found.groups == name).sum()) for name in range(11)}
    trained = {name for name, size in sizes.items() if size}
    assert trained == {0, 1, 4, 5, 6, 7, 10} and all(sizes[name] == 4 for name in trained)
    assert (found.groups == EXCLUDED).sum() == 4 * 4
    # Nothing of the problem reaches a synthesis; a variant inherits the gold and no scorer.
    for row, task in zip(found.rows, found.tasks, strict=True):
        if task:
            assert row["scorer"] is None and row["metadata"] is None and row["id"] == "a"
            assert row["answer"] == (None if task == "synthesis" else "7")
    watched = svs.observe(SimpleNamespace())
    assert watched == {
        "svs/seeds": 2, "svs/valid": 5 / 8, "svs/rewarded": 2 / 8, "svs/mislabelled": 0.5,
        "svs/variant_accuracy": 10 / 20, "svs/skipped": 0,
    }  # fmt: skip
    assert watched.keys() == Svs.METRICS.keys()
    advantages = group_advantages(found.rewards, found.groups, eps=1e-6)
    assert advantages[16:24].round(4).tolist() == [1.5, -0.5, -0.5, -0.5, -0.5, 1.5, -0.5, -0.5]


def test_without_the_loss_of_syntheses_they_are_sampled_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = TASKS["formal"].prompt("a 0 \\boxed{7}")
    double = Double({"a": "RWWW"}, {prompt: [" P:3+4"] * 4}, {question("3+4"): "RWWW"})
    doubled(monkeypatch, double)
    found = Svs("formal", train_synthesis=False, **OPTIONS).rollout(asked("a"), double.trainer())
    assert found.groups.tolist() == [0] * 4 + [EXCLUDED] * 4 + [2] * 4 + [3] * 4 + [4] * 4 + [5] * 4


def test_the_gold_may_be_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = TASKS["formal"].prompt("a 0 \\boxed{7}")
    double = Double({"a": "RWWW"}, {prompt: [" P:4+5"] * 4}, {question("4+5"): "RWWW"})
    doubled(monkeypatch, double)
    found = Svs("formal", gold="truth", **OPTIONS).rollout(asked("a"), double.trainer())
    assert {row["answer"] for row in found.rows[8:]} == {"9"}
    assert found.rewards[4:8].tolist() == [0] * 4  # three of four say 9


def test_without_a_seed_anywhere_nothing_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    double = Double({"a": "RRRW"}, {}, {})
    doubled(monkeypatch, double)
    svs = Svs("formal", **OPTIONS)
    assert svs.rollout(asked("a"), double.trainer()).groups.tolist() == [EXCLUDED] * 4
    assert svs.observe(SimpleNamespace())["svs/skipped"] == 1


def test_a_seed_on_another_process_keeps_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    double = Double({"a": "RRRW"}, {}, {})
    doubled(monkeypatch, double)
    monkeypatch.setattr("hammerlib.systems.svs.algorithm.over_processes", lambda trainer, count: count + 1)
    svs = Svs("formal", **OPTIONS)
    assert svs.rollout(asked("a"), double.trainer()).groups.tolist() == [0] * 4
    assert [len(rows) for rows in double.asked] == [4, 0, 0]  # it asks along, for nothing


def test_too_long_prompts_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    # The first response's prompt is too long: no group. The second's variant is: reward 0, no answers.
    prompts = [TASKS["formal"].prompt(f"a {k} \\boxed{{7}}") for k in (0, 2)]
    double = Double({"a": "RWRW"}, {prompts[1]: [" P:3+4", " P:1+1+1", "", ""]}, {question("3+4"): "RWWW"})
    long = {prompts[0], question("1+1+1")}
    doubled(monkeypatch, double, lambda text: 999 if text in long else 1)
    found = Svs("formal", **OPTIONS).rollout(asked("a"), double.trainer())
    assert found.tasks == [""] * 4 + ["synthesis"] * 4 + ["variant"] * 4
    assert found.rewards[4:8].tolist() == [1, 0, 0, 0]


def test_fewer_seeds_may_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = TASKS["formal"].prompt("a 1 \\boxed{7}")
    double = Double({"a": "WRRW"}, {prompt: ["no"] * 4}, {})
    doubled(monkeypatch, double)
    found = Svs("formal", seeds=1, **OPTIONS).rollout(asked("a"), double.trainer())
    assert found.tasks == [""] * 4 + ["synthesis"] * 4 and found.groups.tolist() == [0] * 4 + [EXCLUDED] * 4


def test_conversations_stay_conversations() -> None:
    row = reworded({"id": "a", "prompt": [{"role": "user", "content": "old"}], "answer": "7"}, "new", None)
    assert row == {"id": "a", "prompt": [{"role": "user", "content": "new"}], "answer": None}


@pytest.mark.parametrize(("options", "changes", "words"), [
    ({"task": "tex"}, {}, r"algorithms\[0\].task = 'tex': is unknown.*did you mean text"),
    ({"task": "text", "gold": "truth"}, {}, "gold = 'truth': cannot be computed of a text"),
    ({"gold": "mine"}, {}, "inherited, truth"),
    ({"low": 0.6}, {}, r"low, high = \[0.6, 0.5\]: is no interval"),
    ({"useful_high": 1.5}, {}, "useful_low, useful_high"),
    ({"low": math.nan}, {}, "low.*nan"),
    ({"seeds": 0}, {}, "seeds = 0"),
    ({}, {"rewards": ("format",)}, "grade no answer"),
])  # fmt: skip
def test_settings_that_are_no_svs_are_one_line(options: dict, changes: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        dataclasses.replace(FOUR, algorithms=({"name": "svs", **options},), **changes).validate()


def test_a_configuration_makes_what_python_would() -> None:
    config = dataclasses.replace(FOUR, algorithms=({"name": "svs", "task": "formal", "seeds": 1},))
    (made,) = make_algorithms(config.validate())
    assert made == Svs("formal", seeds=1)
    assert made.most_rows(config) == 4 + 4 + 16 and made.most_prompt_tokens(config) > 40
    assert Svs(prompt_tokens=100).most_prompt_tokens(config) == 100


def test_prompts_beyond_the_models_positions_are_refused(tmp_path: Path) -> None:
    config = dataclasses.replace(FOUR, algorithms=({"name": "svs", "task": "formal", "prompt_tokens": 500},))
    with pytest.raises(InputError, match=r"500.*positions"):
        train(config, root=tmp_path, progress=False)


def by_prompt(rollout: Rollout) -> np.ndarray:
    """Each reward less the mean over the same prompt."""
    names = np.array([str(ids) for ids in rollout.prompt_ids])
    tasks = np.array(rollout.tasks)
    advantages = np.zeros(len(names))
    for row in np.flatnonzero(rollout.groups != EXCLUDED):
        alike = (names == names[row]) & (tasks == tasks[row]) & (rollout.groups == rollout.groups[row])
        advantages[row] = rollout.rewards[row] - rollout.rewards[alike].mean()
    return advantages


def test_a_real_step_is_the_one_by_hand(tmp_path: Path) -> None:
    config = dataclasses.replace(FOUR, algorithms=(SCRIPTED,), prompts_per_step=4, seed=1)
    hand = Hand(by_prompt, planned=16)
    record = train(config, root=tmp_path, algorithms=[hand], progress=False)
    (rollout,) = hand.seen
    assert rollout.advantages.numpy() == pytest.approx(by_prompt(rollout), abs=1e-5)
    assert max(hand.errors) < 1e-4 and min(hand.norms) > 1e-4
    trained = rollout.groups != EXCLUDED
    assert set(np.array(rollout.tasks)[trained]) == {"", "synthesis", "variant"}
    assert trained.sum() > 16 and table(record)["svs/valid"].iloc[0] > 0


@pytest.mark.long
def test_killed_and_resumed_it_is_the_unbroken_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = dataclasses.replace(SMALL, algorithms=(SCRIPTED,), save_steps=1)
    again = broken_off_and_resumed(config, tmp_path / "a", monkeypatch, 3)
    assert again.manifest["resumed_from_step"] == 2
    assert same_weights(again, train(config, root=tmp_path / "b", progress=False))


@pytest.mark.long
@pytest.mark.parametrize("changes", [
    {"order": "hammer"}, {"adjustment": "dra"}, {"adjustment": "dra", "dra_route": "trainer"},
    {"dynamic_sampling": True}, {"loss_type": "dapo", "scale_rewards": "group", "epsilon_high": 0.28},
])  # fmt: skip
def test_it_trains_with_orders_dra_and_a_filter(changes: dict, tmp_path: Path) -> None:
    config = dataclasses.replace(FOUR, algorithms=(SCRIPTED,), **changes)
    metrics = table(train(config, root=tmp_path, progress=False))
    assert metrics["grad_norm"].max() > 0 and metrics["svs/seeds"].max() > 0
