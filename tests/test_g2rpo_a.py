"""G2RPO-A: controllers by hand, guidance, the exact feedback of the length, and steps in the house."""

from __future__ import annotations

import dataclasses
import random
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from system_steps import Watch, broken_off_and_resumed, same_weights, table
from test_seams import Gradients

from hammerlib.advantages import group_advantages
from hammerlib.dra import adjust_rewards
from hammerlib.errors import InputError
from hammerlib.models import load_backbone
from hammerlib.models.nano.solutions import solve
from hammerlib.ordering import Order
from hammerlib.problems import load_problems
from hammerlib.systems.g2rpo_a import (
    before_answer,
    decayed_length,
    feedback_path,
    guidance,
    guided_accuracy,
    guided_count,
    noise_growth,
    paper_length,
    released_length,
    resting_length,
)
from hammerlib.systems.g2rpo_a.algorithm import GuidedGroups
from hammerlib.training import Hooks, Rollout, TrainConfig, train

# Who is guided, and by what


@pytest.mark.parametrize(("alpha", "size", "guided"), [
    (0.25, 10, 3), (0.75, 10, 8), (0.2, 10, 2), (0.3, 10, 3), (0.7, 10, 7), (0.25, 8, 2), (0.01, 4, 1),
    (0, 8, 0), (1, 8, 8),
])  # fmt: skip
def test_every_group_has_as_many_guided_rows(alpha: float, size: int, guided: int) -> None:
    assert guided_count(alpha, size) == guided


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_share_outside_the_group_is_refused(alpha: float) -> None:
    with pytest.raises(InputError, match="alpha"):
        guided_count(alpha, 8)


def test_guidance_is_the_beginning_of_the_trace_and_leaves_the_answer() -> None:
    trace = [5, 6, 7, 8]
    assert guidance(trace, 2) == [5, 6] and guidance(trace, 2.9) == [5, 6]
    assert guidance(trace, 4) == guidance(trace, 3072) == [5, 6, 7]  # one token is left to say
    assert guidance(trace, 4, most=2) == [5, 6] and guidance(trace, 0) == []
    for short in ([], [5]):
        with pytest.raises(InputError, match="fewer than 2"):
            guidance(short, 1)
    assert before_answer(r"3+4=7;\boxed{7} or \boxed{8}") == r"3+4=7;\boxed{7} or "
    assert before_answer("3+4=7") == "3+4=7"


# The released rule


def test_the_released_rule_by_hand() -> None:
    # Worse: avg 0.5, cur 0.4: 100 x 1.25. Better: avg 3/16, cur 1/4: 100 x 0.75.
    assert released_length(100, [0.6, 0.4, 0.4], longest=3072) == 125
    assert released_length(100, [0.125, 0.25, 0.25], longest=3072) == 75
    assert released_length(101, [0.25, 0.25, 0.5], longest=3072) == 50  # 50.5 is cut
    assert released_length(3, [0.25, 0.25, 1.0], longest=3072) == 1  # 0.75: at least one token
    assert released_length(3000, [0.6, 0.4, 0.25], longest=3072) == 3072  # 6000 meets its end


@pytest.mark.parametrize("accuracies", [
    [], [0.5], [0.5, 0.1], [0.5, 0.5, 0.5], [0.5, 0.5, 0.0], [0.0, 0.0, 0.5], [0.6, 0.4, 0.4, 0.1],
    [0.6, 0.4, 0.4, 0.1, 0.9],
])  # fmt: skip
def test_the_released_rule_leaves_the_length(accuracies: list[float]) -> None:
    """In the first two steps of a cycle, at equality, and where an accuracy is 0."""
    assert released_length(100, accuracies, longest=3072) == 100


def test_the_released_rule_looks_at_its_own_cycle_alone() -> None:
    assert released_length(100, [0.9, 0.9, 0.9, 0.6, 0.4, 0.4], longest=3072) == 125


# The paper's rule


def test_the_papers_rule_by_hand() -> None:
    # T = 2: (0.2 + 0.8) / 2 / 0.4 = 1.25; T = 1: 0.2 / 0.4 = 0.5; T = 9 takes what is there.
    rates = [0.8, 0.2, 0.4]
    assert paper_length(100, rates, window=2, longest=1000) == pytest.approx(125)
    assert paper_length(100, rates, window=1, longest=1000) == pytest.approx(50)
    assert paper_length(100, rates, window=9, longest=1000) == pytest.approx(125)
    assert paper_length(100, rates[:2], window=5, longest=1000) == pytest.approx(400)  # k = 1: one value


def test_the_papers_rule_at_its_ends() -> None:
    assert paper_length(100, [0.5], window=3, longest=1000) == 100  # no history
    assert paper_length(100, [0.5, 0.0], window=3, longest=1000) == 100  # r_k = 0
    assert paper_length(100, [0.9, 0.1], window=3, longest=200) == 200
    assert paper_length(100, [0.0, 0.5], window=3, longest=200) == 1
    with pytest.raises(InputError, match="window"):
        paper_length(100, [0.5, 0.5], window=0, longest=200)


rates_of_steps = st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3)


@given(rates_of_steps)
def test_a_better_step_never_lengthens_and_a_worse_one_never_shortens(rates: list[float]) -> None:
    """An inverted ratio fails here."""
    average = (rates[0] + rates[1]) / 2
    for moved in (
        paper_length(100, rates, window=2, longest=10**6),
        released_length(100, rates, longest=10**6),
    ):
        assert moved <= 100 if rates[2] > average else moved >= 100


def test_the_length_decays_along_a_line() -> None:
    assert [decayed_length(40, step, 4) for step in range(6)] == [40, 30, 20, 10, 0, 0]


# What the controller does by itself


def test_the_rule_keeps_the_product_of_length_and_accuracy() -> None:
    rates = np.linspace(0.2, 0.7, 12)
    lengths = feedback_path(rates, trace=1000, length=400, alpha=0.5)
    guided = guided_accuracy(rates, lengths / 1000)
    products = lengths[1:] * (0.5 * guided + 0.5 * rates)[:-1]
    assert products == pytest.approx([products[0]] * 11) and lengths[0] == lengths[1]


def test_the_length_comes_to_rest_where_length_times_accuracy_is_that_product() -> None:
    rates = [0.2] * 3 + [0.4] * 60
    lengths = feedback_path(rates, trace=40, length=20, alpha=0.5)
    product = 20 * (0.5 * 0.2**0.5 + 0.5 * 0.2)
    rest = resting_length(product, 0.4, trace=40, alpha=0.5)
    assert lengths[-1] == pytest.approx(rest) and lengths[3] == pytest.approx(20)
    assert rest * (0.5 * 0.4 ** (1 - rest / 40) + 0.5 * 0.4) == pytest.approx(product)
    # Its own guidance flatters the signal: by unguided rows alone 20 x 0.2 / 0.4 = 10 tokens would be left.
    alone = feedback_path(rates, trace=40, length=20, alpha=0.5, signal="unguided")
    assert alone[-1] == pytest.approx(10) and rest > 10
    assert resting_length(100.0, 0.4, trace=40, alpha=0.5) == 40  # no longer than the trace


def test_a_steep_signal_makes_the_length_swing() -> None:
    # All rows guided, u = 0.001: l r'/r = l log(1/u) / L = 20 x 6.9 / 40 = 3.5 at half the trace.
    rates = [0.001, 0.0011] + [0.001] * 30
    lengths = feedback_path(rates, trace=40, length=20, alpha=1.0)
    assert np.ptp(lengths[-6:]) > 10
    calm = feedback_path(rates, trace=40, length=20, alpha=0.0)
    assert np.ptp(calm[-6:]) == pytest.approx(0)


def test_the_released_rule_moves_at_every_third_step() -> None:
    lengths = feedback_path(np.linspace(0.1, 0.8, 12), trace=40, length=20, alpha=0.5, rule="released")
    assert (lengths.reshape(4, 3) == lengths[::3, None]).all() and (np.diff(lengths[::3]) < 0).all()


def test_noise_alone_moves_the_length_by_the_sum_over_all_outcomes() -> None:
    n, p = 3, 0.4
    total = weight = 0.0
    for counts in product(range(n + 1), repeat=3):
        average, current = (counts[0] + counts[1]) / 2 / n, counts[2] / n
        if average and current:
            chance = np.prod(binom.pmf(counts, n, p))
            total += chance * np.log(average / current)
            weight += chance
    assert noise_growth(p, n) == pytest.approx(total / weight)
    assert noise_growth(0.5, 64) > 0 > noise_growth(0.02, 64)
    with pytest.raises(InputError, match="rate"):
        noise_growth(1.0, 8)


# In the trainer

ONE = TrainConfig(
    n_problems=4,
    order="random",
    prompts_per_step=2,
    group_size=4,
    max_completion_length=40,
    learning_rate=2e-4,
)
GUIDED = {"name": "g2rpo-a", "length": 8, "alpha": 0.5, "traces": "nano:columns", "longest": 20}


def guided_by(config: TrainConfig = ONE, **changes: object) -> TrainConfig:
    return dataclasses.replace(config, algorithms=(GUIDED | changes,))


def trace_of(row: dict) -> list[int]:
    text = solve(row, "columns", random.Random(0))
    return load_backbone("nano").tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("train_on_guidance", [False, True])
def test_a_step_guides_and_trains_as_by_hand(train_on_guidance: bool, tmp_path: Path) -> None:
    watch, loss = Watch(), Gradients("grpo")
    config = dataclasses.replace(guided_by(train_on_guidance=train_on_guidance), max_steps=1)
    record = train(config, root=tmp_path, algorithms=[watch, Hooks(loss=loss)], progress=False)
    (rollout,) = watch.rollouts
    assert rollout.tasks == ["guided", "guided", "", ""] * 2
    assert rollout.forced == [8, 8, 0, 0] * 2
    pad = load_backbone("nano").tokenizer.pad_token_id
    for k, ids in enumerate(rollout.completion_ids):
        start = rollout.forced[k]
        assert ids[:start] == trace_of(rollout.rows[k])[:start] and pad not in ids
        assert rollout.mask[k] == [int(train_on_guidance)] * start + [1] * (len(ids) - start)
    joint = group_advantages(rollout.rewards, np.repeat([0, 1], 4))
    assert rollout.advantages.tolist() == pytest.approx(joint.tolist(), abs=1e-5)
    loss.assert_equal()
    values = table(record).loc[1]
    right = np.array([verdict.correct for verdict in rollout.verdicts]).reshape(2, 4)
    assert values["guidance/guided_accuracy"] == pytest.approx(right[:, :2].mean())
    assert values["guidance/unguided_accuracy"] == pytest.approx(right[:, 2:].mean())
    assert values["guidance/length"] == 8 and values["forced_tokens"] == 32


@pytest.mark.systems
def test_training_on_guidance_trains_another_policy(tmp_path: Path) -> None:
    masked, trained = (train(guided_by(train_on_guidance=value), root=tmp_path, progress=False)
                       for value in (False, True))  # fmt: skip
    assert not same_weights(masked, trained)


def test_guidance_leaves_the_answer_of_every_trace() -> None:
    algorithm = GuidedGroups(1000, traces="nano:columns")
    nano = load_backbone("nano")
    for row in load_problems("reasoning-gym:nano", split="rl", n=8).to_list():
        ids, most = algorithm._trace(row, nano.tokenizer)
        given = guidance(ids, 1000, most=most)
        assert given == ids[:most] and nano.tokenizer.decode(ids[most:]) == rf"\boxed{{{row['answer']}}}"
    column = GuidedGroups(4)
    row = {"id": "a", "solution": "3+4=7"}  # no box: all but the last token
    assert column._trace(row, nano.tokenizer) == (nano.tokenizer("3+4=7")["input_ids"], 4)


def test_the_length_moves_once_a_step_and_stays_within_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two generation batches an optimizer step; right is what the table says: .75, .5, then .25 twice.
    given = iter([[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 1, 0]])
    monkeypatch.setattr("hammerlib.systems.g2rpo_a.algorithm.right_of", lambda verdicts: next(given))
    watch = Watch()
    config = dataclasses.replace(
        guided_by(rule="paper", window=1), n_problems=6, gradient_accumulation=2, steps_per_generation=1
    )
    record = train(config, root=tmp_path, algorithms=[watch], progress=False)
    assert [rollout.forced[0] for rollout in watch.rollouts] == [8, 8, 8, 8, 12, 12]
    # Step 2 has no history of two; then 8 x .75 / .5 = 12.
    assert table(record)["guidance/length"].tolist() == [8, 8, 12]


@pytest.mark.parametrize("signal", ["all", "unguided"])
def test_the_signal_is_of_all_rows_or_of_unguided_ones(signal: str) -> None:
    algorithm = GuidedGroups(8, alpha=0.5, signal=signal, traces="nano:columns", rule="paper", longest=100)
    right = SimpleNamespace(correct=True, reason="correct")
    for step, verdicts in enumerate([[right, right, right, None], [right, None, right, right]]):
        rollout = Rollout(
            step, [{"id": "a"}] * 4, ["x"] * 4, [[7]] * 4, verdicts, np.zeros(4), np.zeros(4), np.eye(4), 4,
            torch.zeros(4), tasks=["guided", "guided", "", ""],
            trainer=SimpleNamespace(accelerator=SimpleNamespace(num_processes=1)),
        )  # fmt: skip
        algorithm._follow(step)
        algorithm.observe(rollout)
    algorithm._follow(2)
    # All: .75 and .75, so 8 stays. Unguided: .5 and 1: 8 x .5 / 1.
    assert algorithm._length == {"all": 8, "unguided": 4}[signal]


@pytest.mark.systems
def test_no_guided_rows_are_plain_training_bit_for_bit(tmp_path: Path) -> None:
    plain = train(ONE, root=tmp_path, progress=False)
    assert same_weights(train(guided_by(alpha=0), root=tmp_path, progress=False), plain)


@pytest.mark.systems
@pytest.mark.parametrize("rule", [{"rule": "paper", "window": 1}, {"rule": "linear", "decay_steps": 3}])
def test_a_killed_run_goes_on_with_its_length(
    rule: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(guided_by(**rule), save_steps=1, epochs=2)
    unbroken = train(config, root=tmp_path / "a", progress=False)
    resumed = broken_off_and_resumed(config, tmp_path / "b", monkeypatch, call=4)
    assert resumed.manifest["resumed_from_step"] == 3 and same_weights(resumed, unbroken)
    lengths = table(unbroken)["guidance/length"].tolist()
    assert lengths == table(resumed)["guidance/length"].tolist() and len(set(lengths)) > 1


@pytest.mark.systems
def test_it_trains_along_hammers_order_with_dra_and_with_dynamic_sampling(tmp_path: Path) -> None:
    watch = Watch()
    config = dataclasses.replace(guided_by(), order="hammer", adjustment="dra")
    record = train(config, root=tmp_path, algorithms=[watch], progress=False)
    order = Order.load(record.folder / "order.json")
    assert record.table("index_log.csv")["index"].tolist() == order.permutation.tolist()
    for rollout in watch.rollouts:
        wanted = adjust_rewards(rollout.raw.reshape(2, 4), rollout.vectors.reshape(2, 4, -1)).ravel()
        assert rollout.rewards == pytest.approx(wanted, abs=1e-5)
    watch = Watch()
    config = dataclasses.replace(guided_by(), n_problems=12, dynamic_sampling=True, max_steps=2)
    train(config, root=tmp_path, algorithms=[watch], progress=False)
    for rollout in watch.rollouts:
        assert rollout.tasks == ["guided", "guided", "", ""] * 2
        assert all(0 < rollout.raw[rollout.groups == name].mean() < 1 for name in (0, 1))


@pytest.mark.parametrize(("settings", "words"), [
    ({"alpha": 1.5}, r"algorithms\[0\].alpha = 1.5: is outside \[0, 1\]"),
    ({"alpha": float("nan")}, r"alpha.* = nan: must be a finite number"),
    ({"length": 0}, "length = 0"),
    ({"length": 40, "longest": None}, "length = 40: is not below max_completion_length 40"),
    ({"longest": 40}, "longest = 40: is not below max_completion_length 40"),
    ({"longest": 4}, "longest = 4: is below length 8"),
    ({"rule": "growing"}, "rule = 'growing'.*released, paper, linear, fixed"),
    ({"rule": "linear"}, "decay_steps = None: goes with rule linear only, which needs it"),
    ({"decay_steps": 5}, "decay_steps = 5: goes with rule linear only"),
    ({"rule": "linear", "decay_steps": 0}, "decay_steps = 0"),
    ({"window": 0}, "window = 0"),
    ({"signal": "guided"}, "signal = 'guided'.*all, unguided"),
    ({"signal": "unguided", "alpha": 0.9}, "alpha = 0.9: guides all 4 rows"),
    ({"traces": "nano:long"}, "traces = 'long'.*columns, tens, check"),
])  # fmt: skip
def test_what_g2rpo_a_cannot_train_with_is_one_line(settings: dict, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        guided_by(**settings).validate()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("traces", "row", "words"), [
    ("solution", {}, "has no solution in the column solution"),
    ("solution", {"solution": " "}, "has no solution in the column solution"),
    ("solution", {"solution": "7"}, "trace of 1 tokens, with none before its answer"),
    ("solution", {"solution": r"\boxed{7}"}, "trace of 3 tokens, with none before its answer"),
    ("nano:tens", {"metadata": "{}", "answer": "7"}, "is not of the nano families"),
])  # fmt: skip
def test_a_trace_that_is_missing_or_too_short_is_one_line(traces: str, row: dict, words: str) -> None:
    tokenizer = load_backbone("nano").tokenizer
    with pytest.raises(InputError, match=f"traces = 'a': .*{words}") as caught:
        GuidedGroups(4, traces=traces)._trace({"id": "a", **row}, tokenizer)
    assert "\n" not in str(caught.value)


def test_groups_that_straddle_processes_are_refused() -> None:
    rows = [{"id": name} for name in "aaab"]
    trainer = SimpleNamespace(num_generations=4, state=SimpleNamespace(global_step=0))
    with pytest.raises(InputError, match="not whole groups of 4"):
        GuidedGroups(4).rollout(rows, trainer)
