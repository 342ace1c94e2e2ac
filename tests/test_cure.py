"""CURE: the reference's vectors, the exact policy of two tokens, and steps in the house."""

from __future__ import annotations

import dataclasses
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from system_steps import Watch, broken_off_and_resumed, same_weights, table
from test_seams import Gradients
from trainer_cases import audited

from hammerlib.advantages import group_advantages
from hammerlib.dra import adjust_rewards
from hammerlib.errors import InputError
from hammerlib.models import load_backbone
from hammerlib.ordering import Order
from hammerlib.systems.cure import (
    critical_position,
    critical_positions,
    eligible_tokens,
    fork_gradient,
    fork_training,
)
from hammerlib.systems.cure.algorithm import Cure
from hammerlib.training import Hooks, TrainConfig, train
from hammerlib.training.generation import score_tokens

TEXTS = ["So", " x", " ", "7", " but", " then", "<eos>"]
ENTROPIES = np.array([3.0, 0.1, 2.5, 0.2, 2.0, 1.9, 0.0])
SPECIAL = [False] * 6 + [True]


# The critical token


def test_the_selector_of_the_reference() -> None:
    # 0 is left out though its entropy is highest; " ", "7" and " x" have one character at most.
    eligible = eligible_tokens(TEXTS, SPECIAL)
    assert eligible.tolist() == [False, False, False, False, True, True, False]
    assert critical_positions(ENTROPIES, eligible, top_k=2).tolist() == [4, 5]
    assert critical_positions(ENTROPIES, eligible, top_k=1).tolist() == [4]
    position = critical_position(ENTROPIES, eligible, np.random.default_rng(0), top_k=1)
    assert TEXTS[:position] == ["So", " x", " ", "7"]  # without " but", which is drawn anew


def test_a_filter_of_one_character_lets_digits_pass_and_white_space_not() -> None:
    eligible = eligible_tokens(TEXTS, SPECIAL, min_chars=1)
    assert critical_positions(ENTROPIES, eligible).tolist() == [4, 5, 3, 1]


@pytest.mark.parametrize("choice", ["entropy", "random"])
def test_without_a_candidate_the_branch_is_a_rollout_from_the_prompt(choice: str) -> None:
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    assert critical_position(ENTROPIES, np.zeros(7, bool), rng, choice=choice) == 0
    assert critical_position(np.array([2.0]), eligible_tokens(["but"], [False]), rng, choice=choice) == 0
    assert rng.bit_generator.state == state


def test_every_candidate_is_picked_as_often_and_no_other_token() -> None:
    rng = np.random.default_rng(0)
    entropies = np.array([9.0, 0.1, 0.5, 0.4, 0.3, 0.2])
    eligible = np.array([False, True, True, True, True, True])
    picked = [critical_position(entropies, eligible, rng, top_k=3) for _ in range(3000)]
    counts = np.bincount(picked, minlength=6)
    assert counts[[0, 1, 5]].tolist() == [0, 0, 0]
    assert chisquare(counts[2:5]).pvalue > 1e-3  # the argmax alone would be at 2
    anywhere = [critical_position(entropies, eligible, rng, top_k=3, choice="random") for _ in range(3000)]
    counts = np.bincount(anywhere, minlength=6)
    assert counts[0] == 0 and chisquare(counts[1:]).pvalue > 1e-3


@given(st.lists(st.floats(0, 3), min_size=1, max_size=12), st.integers(1, 5))
def test_candidates_are_eligible_falling_and_the_highest(entropies: list[float], top_k: int) -> None:
    values = np.array(entropies)
    eligible = np.arange(len(values)) % 2 == 1
    candidates = critical_positions(values, eligible, top_k=top_k)
    assert eligible[candidates].all() and len(candidates) == min(top_k, eligible.sum())
    assert (np.diff(values[candidates]) <= 0).all()
    left = np.setdiff1d(np.flatnonzero(eligible), candidates)
    assert not len(left) or values[left].max() <= values[candidates].min()


def test_the_selector_refuses_what_does_not_fit() -> None:
    for arguments in (
        (np.ones(2), np.ones(3, bool)),
        (np.array([1.0, np.nan]), np.ones(2, bool)),
    ):
        with pytest.raises(InputError):
            critical_positions(*arguments)
    with pytest.raises(InputError, match="top_k"):
        critical_positions(np.ones(2), np.ones(2, bool), top_k=0)
    with pytest.raises(InputError, match="use one of entropy, random"):
        critical_position(np.ones(2), np.ones(2, bool), np.random.default_rng(0), choice="clip")
    with pytest.raises(InputError, match="different lengths"):
        eligible_tokens(["a"], [])


# Joint groups


def test_originals_and_branches_are_compared_with_each_other() -> None:
    # Two rollouts earn +1, -1; of their two branches each, all four -1. Jointly: mean -2/3, deviation
    # sqrt(((5/3)^2 + 5 (1/3)^2) / 5) = 0.8165, so +2.0412 and -0.4082. The rollouts alone: +-0.7071.
    rewards = np.array([1.0, -1, -1, -1, -1, -1])
    joint = group_advantages(rewards, np.zeros(6, int), eps=1e-6)
    assert joint == pytest.approx([2.0412, *[-0.4082] * 5], abs=1e-4)
    alone = group_advantages(rewards, np.array([0, 0, 1, 1, 1, 1]), eps=1e-6)
    assert alone == pytest.approx([0.7071, -0.7071, 0, 0, 0, 0], abs=1e-4)


def enumerated(prefix: np.ndarray, fork: np.ndarray, right: np.ndarray, n1: int, n2: int) -> tuple:
    """The gradient of the token mean, summed over every group of n1 families there can be."""
    first, second = np.zeros_like(prefix), np.zeros_like(fork)
    families = list(product(range(len(prefix)), *[range(fork.shape[1])] * (1 + n2)))
    tokens = 2 * n1 + n1 * n2
    for group in product(families, repeat=n1):
        chance = 1.0
        rows = []
        for a, *endings in group:
            chance *= prefix[a] * np.prod(fork[a, endings])
            rows += [(a, b, k == 0) for k, b in enumerate(endings)]
        rewards = np.array([float(right[a, b]) for a, b, _ in rows])
        advantages = group_advantages(rewards, np.zeros(len(rows), int))
        for (a, b, original), advantage in zip(rows, advantages, strict=True):
            second[a] += chance * advantage * (np.eye(fork.shape[1])[b] - fork[a]) / tokens
            if original:
                first += chance * advantage * (np.eye(len(prefix))[a] - prefix) / tokens
    return first, second


@pytest.mark.parametrize(("n1", "n2"), [(2, 1), (2, 2), (3, 0)])
def test_the_exact_gradient_is_the_sum_over_all_groups(n1: int, n2: int) -> None:
    prefix, fork = np.array([0.3, 0.7]), np.array([[0.2, 0.8], [0.6, 0.4]])
    right = np.array([[True, False], [False, True]])
    by_hand = enumerated(prefix, fork, right, n1, n2)
    for ours, theirs in zip(fork_gradient(prefix, fork, right, n1=n1, n2=n2), by_hand, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-12)
        assert abs(theirs).max() > 1e-3


def test_branches_keep_the_entropy_before_the_fork_and_spend_that_of_the_fork() -> None:
    start = (np.array([0.5, 0.3, 0.2]), np.full((3, 4), 0.25),
             np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]], bool))  # fmt: skip
    plain = fork_training(*start, n1=16, n2=0, steps=60)
    cure = fork_training(*start, n1=4, n2=3, steps=60)
    assert (cure.prefix_entropy[1:] > plain.prefix_entropy[1:]).all()
    assert (cure.fork_entropy[1:] < plain.fork_entropy[1:]).all()
    assert plain.right[0] == pytest.approx(0.5 * 0.25 + 0.3 * 0.5) and plain.right[-1] > 0.95


def test_the_exact_policy_refuses_nonsense() -> None:
    sound = {"prefix": np.array([0.5, 0.5]), "fork": np.full((2, 2), 0.5), "right": np.eye(2, dtype=bool)}
    for change in (
        {"prefix": np.array([0.5, 0.6])},
        {"fork": np.array([[1.0, 0.0], [0.5, 0.5]])},
        {"right": np.ones((3, 2), bool)},
        {"n1": 1, "n2": 0},
        {"n2": -1},
    ):
        with pytest.raises(InputError):
            fork_training(**{**sound, "n1": 2, "n2": 1, **change})


# In the trainer

ONE = TrainConfig(
    n_problems=4,
    order="random",
    prompts_per_step=2,
    group_size=6,
    max_completion_length=40,
    learning_rate=2e-4,
    loss_type="dapo",
)
CURE = {"name": "cure", "n1": 2, "n2": 2, "min_token_chars": 1}


def with_cure(config: TrainConfig = ONE, **changes: object) -> TrainConfig:
    return dataclasses.replace(config, algorithms=(CURE | changes,))


def test_a_step_trains_joint_groups_as_by_hand(tmp_path: Path) -> None:
    watch, loss = Watch(), Gradients("dapo")
    config = dataclasses.replace(with_cure(), max_steps=1)
    record = train(config, root=tmp_path, algorithms=[watch, Hooks(loss=loss)], progress=False)
    (rollout,) = watch.rollouts
    ids = [row["id"] for row in rollout.rows]
    assert ids == [name for name in dict.fromkeys(ids) for _ in range(6)] and len(set(ids)) == 2
    for first in (0, 6):
        parents = rollout.completion_ids[first : first + 2]
        for k in range(4):
            row = first + 2 + k
            cut = rollout.forced[row]
            assert cut > 0 and rollout.completion_ids[row][:cut] == parents[k // 2][:cut]  # of its own parent
            assert rollout.mask[row] == [0] * cut + [1] * (len(rollout.completion_ids[row]) - cut)
            assert rollout.forced[row] == rollout.forced[first + 2 + k // 2 * 2]  # one cut a parent
        assert rollout.forced[first : first + 2] == [0, 0] and all(rollout.mask[first])
    assert rollout.tasks == (["", "", *["branch"] * 4]) * 2
    joint = group_advantages(rollout.rewards, np.repeat([0, 1], 6))
    assert rollout.advantages.tolist() == pytest.approx(joint.tolist(), abs=1e-5)
    loss.assert_equal()  # with the mask above
    values = table(record).loc[1]
    sampled = sum(map(len, rollout.completion_ids)) - sum(rollout.forced)
    assert (values["sampled_tokens"], values["forced_tokens"]) == (sampled, sum(rollout.forced))
    assert values["cure/prefix_tokens"] == pytest.approx(sum(rollout.forced) / 8) and values["trained"] == 12


def test_branches_are_cut_before_an_uncertain_token(tmp_path: Path) -> None:
    watch = Watch()
    config = dataclasses.replace(with_cure(top_k=1), max_steps=1)
    train(config, root=tmp_path, algorithms=[watch], progress=False)
    (rollout,) = watch.rollouts
    nano = load_backbone("nano")
    for first in (0, 6):
        for parent in (first, first + 1):
            ids = rollout.completion_ids[parent]
            with torch.no_grad():
                entropies = score_tokens(nano.model, [rollout.prompt_ids[parent]], [ids])[1][0].numpy()
            inner = [k for k in range(1, len(ids)) if ids[k] not in nano.tokenizer.all_special_ids]
            highest = max(inner, key=lambda k: entropies[k])
            assert rollout.forced[first + 2 + (parent - first) * 2] == highest


@pytest.mark.systems
def test_the_suffix_alone_is_rewarded_and_trained_alike(tmp_path: Path) -> None:
    rollouts = {}
    for rewarded in ("whole", "suffix"):
        watch, loss = Watch(), Gradients("dapo")
        config = dataclasses.replace(with_cure(reward_on=rewarded), max_steps=1)
        record = train(config, root=tmp_path, algorithms=[watch, Hooks(loss=loss)], progress=False)
        loss.assert_equal()
        rollouts[rewarded] = watch.rollouts[0], table(record).loc[1]
    (whole, of_whole), (suffix, of_suffix) = rollouts.values()
    assert sum(suffix.forced) == 0 and all(map(all, suffix.mask))
    for k, cut in enumerate(whole.forced):
        assert suffix.prompt_ids[k] == whole.prompt_ids[k] + whole.completion_ids[k][:cut]
        assert suffix.completion_ids[k] == whole.completion_ids[k][cut:]
    decode = load_backbone("nano").tokenizer.decode
    assert suffix.completions[2] == decode(
        whole.completion_ids[2][whole.forced[2] :], skip_special_tokens=True
    )
    for name in ("cure/prefix_tokens", "cure/prefix_share", "sampled_tokens", "forced_tokens"):
        assert of_suffix[name] == pytest.approx(of_whole[name])


@pytest.mark.systems
@pytest.mark.parametrize("neutral", [{"n1": 6, "n2": 0}, {"stage_steps": 0}])
def test_without_branches_training_is_plain_bit_for_bit(neutral: dict, tmp_path: Path) -> None:
    plain = train(ONE, root=tmp_path, progress=False)
    assert same_weights(train(with_cure(**neutral), root=tmp_path, progress=False), plain)


@pytest.mark.systems
def test_the_second_stage_samples_plainly_in_the_same_run(tmp_path: Path) -> None:
    watch = Watch()
    record = train(with_cure(stage_steps=1), root=tmp_path, algorithms=[watch], progress=False)
    assert [sum(rollout.forced) > 0 for rollout in watch.rollouts] == [True, False]
    assert watch.rollouts[1].tasks == [""] * 12 and table(record)["trained"].tolist() == [12, 12]


@pytest.mark.systems
@pytest.mark.parametrize("choice", ["entropy", "random"])
def test_a_killed_run_goes_on_to_the_same_weights(
    choice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(with_cure(choice=choice), save_steps=1)
    unbroken = train(config, root=tmp_path / "a", progress=False)
    resumed = broken_off_and_resumed(config, tmp_path / "b", monkeypatch, call=2)
    assert resumed.manifest["resumed_from_step"] == 1 and same_weights(resumed, unbroken)


@pytest.mark.systems
def test_it_trains_along_hammers_order_with_dra_and_with_dynamic_sampling(tmp_path: Path) -> None:
    watch = Watch()
    config = dataclasses.replace(with_cure(), order="hammer", adjustment="dra")
    record = train(config, root=tmp_path, algorithms=[watch], progress=False)
    order = Order.load(record.folder / "order.json")
    assert record.table("index_log.csv")["index"].tolist() == order.permutation.tolist()
    for rollout in watch.rollouts:
        wanted = adjust_rewards(rollout.raw.reshape(2, 6), rollout.vectors.reshape(2, 6, -1)).ravel()
        assert rollout.rewards == pytest.approx(wanted, abs=1e-5)
    watch = Watch()
    config = dataclasses.replace(with_cure(), n_problems=12, dynamic_sampling=True, max_steps=2)
    assert audited(record.folder).kept
    assert audited(train(config, root=tmp_path, algorithms=[watch], progress=False).folder).kept
    for rollout in watch.rollouts:
        assert rollout.tasks == (["", "", *["branch"] * 4]) * 2
        assert all(0 < rollout.raw[rollout.groups == name].mean() < 1 for name in (0, 1))


@pytest.mark.parametrize(("settings", "changes", "words"), [
    ({"n1": 4}, {}, r"n1, n2 = \[4, 2\]: make groups of 12, not of the group size 6; set group_size: 12"),
    ({"n1": 0}, {}, r"algorithms\[0\].n1 = 0: must be at least 1"),
    ({"n2": -1}, {}, "n2 = -1: must be at least 0"),
    ({"top_k": 0}, {}, "top_k = 0"),
    ({"choice": "highest"}, {}, "choice = 'highest'.*entropy, random"),
    ({"reward_on": "prefix"}, {}, "reward_on = 'prefix'.*whole, suffix"),
    ({"stage_steps": -1}, {}, "stage_steps = -1"),
    ({}, {"loss_type": "grpo"}, "loss_type = 'grpo'.*set loss_type: dapo"),
    ({}, {"beta": 0.1}, "beta = 0.1: adds a KL term"),
    ({}, {"entropy_coef": 0.1}, "entropy_coef = 0.1: adds an entropy term"),
    ({}, {"scale_rewards": "none"}, "scale_rewards = 'none'"),
    ({}, {"num_iterations": 2}, "epsilon_high = None.*set epsilon_high: 0.28"),
])  # fmt: skip
def test_what_cure_cannot_train_with_is_one_line(settings: dict, changes: dict, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        dataclasses.replace(with_cure(**settings), **changes).validate()
    assert "\n" not in str(caught.value)


def test_groups_that_straddle_processes_are_refused() -> None:
    rows = [{"id": name} for name in "aaaabb"]
    trainer = SimpleNamespace(num_generations=6, state=SimpleNamespace(global_step=0))
    with pytest.raises(InputError, match="not whole groups of 6"):
        Cure(2, 2).rollout(rows, trainer)
