"""ETMR: the reference's vectors, the exact vote of relatives, and tree rollouts in the house."""

from __future__ import annotations

import dataclasses
from itertools import pairwise, product
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
from hammerlib.grading import final_answer
from hammerlib.models import load_backbone
from hammerlib.ordering import Order
from hammerlib.problems import load_problems
from hammerlib.systems.etmr import (
    effective_votes,
    fork_points,
    leaf_count,
    leaf_order,
    token_ratio,
    tree_vote,
)
from hammerlib.systems.etmr.algorithm import TreeVotes
from hammerlib.systems.ttrl import entropy_scale, majority_vote, pseudo_rewards
from hammerlib.systems.ttrl.algorithm import VoteThenSample
from hammerlib.training import Hooks, Rollout, TrainConfig, train
from hammerlib.training.generation import completion_entropies, score_tokens

# Forks and leaves


def test_the_budget_of_the_reference() -> None:
    assert leaf_count(12, 2, 2) == 60 and token_ratio(2, 2) == pytest.approx(0.6)
    assert token_ratio(3, 2) == pytest.approx(4 / 7)  # the other note's "about 60 %" is 57 %
    assert token_ratio(2, 2, depth=0.0) == 1  # forks at the first token save nothing


def test_forks_are_the_positions_of_highest_entropy_in_their_order() -> None:
    entropies = np.array([0.5, 2.0, 0.3, 1.5, 3.0])
    allowed = np.array([True, True, True, True, False])  # the last is a special token
    assert fork_points(entropies, allowed, 2) == [1, 3]
    assert fork_points(entropies, allowed, 3) == [0, 1, 3]  # the first token may fork, unlike in CURE
    assert fork_points(np.ones(4), np.ones(4, bool), 2) == [0, 1]  # of equal ones the earlier
    assert fork_points(entropies, allowed, 0) == []


def test_missing_forks_are_completions_of_their_own() -> None:
    assert fork_points(np.array([1.0, 2.0]), np.array([False, True]), 3) == [0, 0, 1]
    assert fork_points(np.array([1.0]), np.array([False]), 2) == [0, 0]


@given(st.lists(st.floats(0, 3), min_size=1, max_size=12), st.integers(0, 5))
def test_forks_are_distinct_and_as_many_as_asked(entropies: list[float], forks: int) -> None:
    points = fork_points(np.array(entropies), np.ones(len(entropies), bool), forks)
    assert len(points) == forks and points == sorted(points)
    assert len(set(points)) == min(forks, len(entropies)) or 0 in points


def test_forks_refuse_what_does_not_fit() -> None:
    for arguments in ((np.ones(2), np.ones(3, bool)), (np.array([np.inf]), np.ones(1, bool))):
        with pytest.raises(InputError):
            fork_points(*arguments, 1)


def test_the_first_leaves_are_of_as_many_trees_as_may_be() -> None:
    # Two trees, N = 2, B = 2. Made: trunks 0, 1; branches 2-5 of the first, 6-9 of the second.
    assert leaf_order(2, 2, 2).tolist() == [0, 1, 2, 6, 3, 7, 4, 8, 5, 9]
    assert sorted(leaf_order(12, 2, 2)) == list(range(60)) and leaf_order(3, 0, 2).tolist() == [0, 1, 2]


# What a vote of relatives is worth


def summed(right: float, cuts: list[float], trees: int, branches: int) -> tuple[float, float]:
    """Chance that the majority is right, and the variance of the mean, over all trees there can be."""
    tree: dict[int, float] = {}
    edges = [0.0, *cuts, 1.0]
    states = [(right**low - right**high, k, False) for k, (low, high) in enumerate(pairwise(edges))]
    for chance, live, whole in [*states, (right, len(cuts), True)]:
        for outcome in product([0, 1], repeat=branches * live):
            p = chance
            for place, one in enumerate(outcome):
                comes_through = right ** (1 - cuts[place // branches])
                p *= comes_through if one else 1 - comes_through
            count = sum(outcome) + whole
            tree[count] = tree.get(count, 0.0) + p
    n = trees * (1 + branches * len(cuts))
    accuracy = mean = square = 0.0
    for counts in product(tree, repeat=trees):
        p = float(np.prod([tree[count] for count in counts]))
        total = sum(counts)
        accuracy += p * (1.0 if 2 * total > n else 0.5 if 2 * total == n else 0.0)
        mean += p * total / n
        square += p * (total / n) ** 2
    assert mean == pytest.approx(right)  # every leaf alone is right with p
    return accuracy, square - mean**2


@pytest.mark.parametrize("cuts", [[0.25, 0.75], [0.0, 0.5], [0.5]])
def test_the_vote_of_trees_is_the_sum_over_all_trees(cuts: list[float]) -> None:
    accuracy, variance = summed(0.6, cuts, 2, 2)
    vote = tree_vote(0.6, cuts, trees=2, branches=2)
    assert vote.accuracy == pytest.approx(accuracy) and vote.effective_votes == pytest.approx(0.24 / variance)
    assert vote.tokens == pytest.approx(2 * (1 + 2 * sum(1 - cut for cut in cuts)))


def test_separate_completions_are_the_binomial_vote() -> None:
    vote = tree_vote(0.55, [], trees=9, branches=1)
    assert vote.accuracy == pytest.approx(1 - binom.cdf(4, 9, 0.55))
    assert vote.effective_votes == pytest.approx(9) and vote.tokens == 9
    # Cut at the first token, every branch is a completion of its own: 3 (1 + 2) votes.
    whole = tree_vote(0.55, [0.0], trees=3, branches=2)
    assert whole.accuracy == pytest.approx(vote.accuracy) and whole.tokens == 9


@given(st.floats(0.05, 0.95), st.lists(st.floats(0.01, 0.99), min_size=1, max_size=3))
def test_relatives_are_worth_less_than_as_many_strangers(right: float, cuts: list[float]) -> None:
    vote = tree_vote(right, cuts, trees=3, branches=2)
    assert 3 * (1 - 1e-9) <= vote.effective_votes < 3 * (1 + 2 * len(cuts))
    mirrored = (
        tree_vote(right, [], trees=4, branches=1).accuracy
        + tree_vote(1 - right, [], trees=4, branches=1).accuracy
    )
    assert mirrored == pytest.approx(1)


def test_at_equal_tokens_a_published_tree_labels_worse_where_the_vote_helps() -> None:
    # Forks at 1/4 and 3/4: 12 trees cost 36 completions and count like 25 of them.
    tree = tree_vote(0.6, [0.25, 0.75], trees=12, branches=2)
    separate = tree_vote(0.6, [], trees=36, branches=2)
    assert tree.tokens == separate.tokens == 36
    assert tree.accuracy < separate.accuracy and tree.effective_votes < 26


def test_a_vote_refuses_nonsense() -> None:
    for arguments in (
        {"right": 1.0},
        {"cuts": [1.0]},
        {"trees": 0},
        {"branches": 0},
        {"right": float("nan")},
    ):
        with pytest.raises(InputError):
            tree_vote(**{"right": 0.5, "cuts": [0.5], "trees": 2, "branches": 1, **arguments})


def test_effective_votes_of_separate_completions_are_their_number() -> None:
    correct = np.random.default_rng(0).random((50, 7, 1)) < 0.4
    assert effective_votes(correct) == pytest.approx(7)  # exactly, whatever is right
    assert effective_votes(np.repeat(correct, 3, axis=2)) == pytest.approx(7)  # copies add nothing
    assert np.isnan(effective_votes(np.ones((2, 3, 2), bool)))
    for shape in ((2, 3), (2, 1, 4)):
        with pytest.raises(InputError):
            effective_votes(np.ones(shape))


def test_effective_votes_find_those_of_the_exact_model() -> None:
    rng = np.random.default_rng(1)
    right, cuts = 0.6, (0.25, 0.75)
    mistake = np.log(rng.random((4000, 6))) / np.log(right)  # place of the first mistake, in completions
    leaves = [mistake > 1]
    for cut in cuts:
        survives = rng.random((2, 4000, 6)) < right ** (1 - cut)
        leaves += [(mistake > cut) & one for one in survives]
    exact = tree_vote(right, cuts, trees=6, branches=2).effective_votes
    assert effective_votes(np.stack(leaves, axis=2)) == pytest.approx(exact, rel=0.04)


# In the trainer

ONE = TrainConfig(
    n_problems=4,
    order="random",
    prompts_per_step=2,
    group_size=10,
    max_completion_length=40,
    learning_rate=2e-4,
)
ETMR = {"name": "etmr", "trees": 2, "forks": 2, "branches": 2}


def with_trees(config: TrainConfig = ONE, **changes: object) -> TrainConfig:
    return dataclasses.replace(config, algorithms=(ETMR | changes,))


def branch_of(rollout: Rollout, first: int, leaf: int) -> tuple[int, int]:
    """The trunk of a leaf (places in the rollout), and the tokens it took over."""
    return first + leaf % 2, rollout.forced[first + leaf]


def test_a_step_votes_and_trains_leaves_as_by_hand(tmp_path: Path) -> None:
    watch, loss = Watch(), Gradients("grpo")
    config = dataclasses.replace(with_trees(), max_steps=1)
    record = train(config, root=tmp_path, algorithms=[watch, Hooks(loss=loss)], progress=False)
    (rollout,) = watch.rollouts
    nano = load_backbone("nano")
    for first in (0, 10):
        assert rollout.forced[first : first + 2] == [0, 0]
        for leaf in range(2, 10):
            trunk, cut = branch_of(rollout, first, leaf)
            ids = rollout.completion_ids[first + leaf]
            assert ids[:cut] == rollout.completion_ids[trunk][:cut]
            assert rollout.mask[first + leaf] == [0] * cut + [1] * (len(ids) - cut)
        for trunk in (first, first + 1):
            ids = rollout.completion_ids[trunk]
            with torch.no_grad():
                entropies = score_tokens(nano.model, [rollout.prompt_ids[trunk]], [ids])[1][0].numpy()
            plain = [k for k in range(len(ids)) if ids[k] not in nano.tokenizer.all_special_ids]
            highest = sorted(plain, key=lambda k: -entropies[k])[:2]
            # Two branches at the earlier fork, then two at the later one.
            assert [rollout.forced[trunk + leaf] for leaf in (2, 4, 6, 8)] == sorted(highest * 2)
    for first in (0, 10):
        answers = [final_answer(text) for text in rollout.completions[first : first + 10]]
        label = majority_vote(answers).label
        assert {row["answer"] for row in rollout.rows[first : first + 10]} == {label}
        rewards = rollout.rewards[first : first + 10]
        if label is not None:
            assert rewards.tolist() == pseudo_rewards(answers, label)
    joint = group_advantages(rollout.rewards, np.repeat([0, 1], 10))
    assert rollout.advantages.tolist() == pytest.approx(joint.tolist(), abs=1e-5)
    loss.assert_equal()
    values = table(record).loc[1]
    whole = sum(map(len, rollout.completion_ids))
    assert values["sampled_tokens"] == whole - sum(rollout.forced)  # trunks and what branches add
    assert values["tree/token_ratio"] == pytest.approx(values["sampled_tokens"] / whole)
    assert {name for name in values.index if name.startswith(("vote/", "tree/"))} == set(TreeVotes.METRICS)


def scripted(lengths: int) -> SimpleNamespace:
    """A trainer whose completions are all `lengths` tokens long, and which counts what it samples."""
    trainer = SimpleNamespace(
        max_completion_length=lengths, eos_token_ids=[1], use_vllm=False, num_generations=60, sampled=0,
        accelerator=SimpleNamespace(num_processes=1, process_index=0), args=SimpleNamespace(seed=0),
        state=SimpleNamespace(global_step=0), generation_config=SimpleNamespace(max_new_tokens=lengths),
        processing_class=SimpleNamespace(
            all_special_ids=[1], batch_decode=lambda ids, skip_special_tokens: [r"\boxed{7}"] * len(ids)
        ),
    )  # fmt: skip
    trainer._tokenize_prompts = lambda prompts: ([[5]] * len(prompts), None, {})

    def sample(contexts: list, images: None, multimodal: dict, n: int) -> tuple[list, None]:
        continued = [[9] * (lengths + 1 - len(context)) for context in contexts]
        trainer.sampled += sum(map(len, continued))
        return continued, None

    trainer._generate_single_turn = sample
    return trainer


def test_sixty_leaves_cost_the_trunks_and_what_branches_add(monkeypatch: pytest.MonkeyPatch) -> None:
    # 12 trunks of 40 tokens, forks at 10 and 30 of each: 480 + 12 x 2 x (30 + 10) = 1440 of 2400, that is .6.
    entropies = np.zeros(40)
    entropies[[10, 30]] = 1.0
    monkeypatch.setattr(
        "hammerlib.systems.etmr.algorithm.token_entropies",
        lambda trainer, trunks: [entropies] * len(trunks.rows),
    )
    trainer = scripted(40)
    row = {"id": "a", "prompt": "p", "answer": "7"}
    generation = TreeVotes(12, 2, 2).rollout([row] * 60, trainer)
    assert len(generation.rows) == 60 and generation.groups is None
    assert trainer.sampled == 1440 == generation.tokens()["sampled_tokens"]
    assert 1440 / sum(map(len, generation.completion_ids)) == token_ratio(2, 2)
    assert generation.forced == [0] * 12 + [10] * 24 + [30] * 24


@pytest.mark.systems
def test_the_first_leaves_are_trained_and_all_vote(tmp_path: Path) -> None:
    watch = Watch()
    config = dataclasses.replace(with_trees(train="first"), group_size=4, max_steps=1)
    config = dataclasses.replace(config, algorithms=(*config.algorithms, {"name": "ettrl"}))
    entropies = []
    hooks = Hooks(observe=lambda rollout: entropies.append(completion_entropies(rollout)) or {})
    record = train(config, root=tmp_path, algorithms=[watch, hooks], progress=False)
    (rollout,) = watch.rollouts
    values = table(record).loc[1]
    assert (values["generated"], values["trained"]) == (20, 8)
    assert rollout.forced[:2] == rollout.forced[4:6] == [0, 0]  # trunks are among them
    texts = rollout.completions[:4] + rollout.excluded.completions[:6]
    assert rollout.rows[0]["answer"] == majority_vote([final_answer(text) for text in texts]).label
    plain = group_advantages(rollout.rewards, np.repeat([0, 1], 4))
    scale = entropy_scale(entropies[0], np.repeat([0, 1], 4))
    assert rollout.advantages.tolist() == pytest.approx((scale * plain).tolist(), abs=1e-3)


@pytest.mark.systems
def test_without_forks_it_is_ttrl_bit_for_bit(tmp_path: Path) -> None:
    config = dataclasses.replace(ONE, group_size=4)
    votes = dataclasses.replace(config, algorithms=({"name": "ttrl", "votes": 6},))
    trees = with_trees(config, trees=6, forks=0, train="first")
    one, other = (train(each, root=tmp_path, progress=False) for each in (votes, trees))
    assert same_weights(one, other)
    shared = [name for name in VoteThenSample.METRICS]
    assert table(one)[shared].equals(table(other)[shared])


@pytest.mark.systems
def test_other_truths_train_the_same(tmp_path: Path) -> None:
    config = with_trees(watch=False)
    problems = load_problems("reasoning-gym:nano", split="rl", n=4)
    wrong = problems.remove_columns("answer").add_column("answer", ["1", "2", "3", "x"])
    records = [train(config, root=tmp_path / name, problems=each, progress=False)
               for name, each in (("a", problems), ("b", wrong))]  # fmt: skip
    assert same_weights(*records)


@pytest.mark.systems
@pytest.mark.parametrize("choice", ["entropy", "random"])
def test_a_killed_run_goes_on_to_the_same_weights(
    choice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(with_trees(choice=choice), save_steps=1)
    unbroken = train(config, root=tmp_path / "a", progress=False)
    resumed = broken_off_and_resumed(config, tmp_path / "b", monkeypatch, call=2)
    assert resumed.manifest["resumed_from_step"] == 1 and same_weights(resumed, unbroken)


@pytest.mark.systems
@pytest.mark.parametrize("trained", ["all", "first"])
def test_it_trains_along_hammers_order_with_dra(trained: str, tmp_path: Path) -> None:
    watch = Watch()
    size = {"all": 10, "first": 4}[trained]
    config = dataclasses.replace(with_trees(train=trained), group_size=size, order="hammer", adjustment="dra")
    record = train(config, root=tmp_path, algorithms=[watch], progress=False)
    order = Order.load(record.folder / "order.json")
    assert record.table("index_log.csv")["index"].tolist() == order.permutation.tolist()
    for rollout in watch.rollouts:
        groups = rollout.raw.reshape(2, size)
        wanted = adjust_rewards(np.nan_to_num(groups), rollout.vectors.reshape(2, size, -1)).ravel()
        assert np.nan_to_num(rollout.rewards) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.systems
@pytest.mark.parametrize("trained", ["all", "first"])
def test_dynamic_sampling_keeps_groups_that_the_majority_splits(trained: str, tmp_path: Path) -> None:
    watch = Watch()
    size = {"all": 10, "first": 4}[trained]
    config = dataclasses.replace(with_trees(train=trained), group_size=size, n_problems=12, max_steps=2)
    config = dataclasses.replace(config, dynamic_sampling=True)
    train(config, root=tmp_path, algorithms=[watch], progress=False)
    for rollout in watch.rollouts:
        for name in np.unique(rollout.groups[rollout.groups >= 0]):
            rewards = rollout.raw[rollout.groups == name]
            assert len(rewards) == size and 0 < rewards.mean() < 1
            assert len({rollout.rows[k]["id"] for k in np.flatnonzero(rollout.groups == name)}) == 1


@pytest.mark.parametrize(("settings", "size", "words"), [
    ({}, 8, r"train = 'all': trains 2 \(1 \+ 2 x 2\) = 10 leaves, not the group size 8; set group_size: 10"),
    ({"train": "first"}, 12, "trees = 2: make .* 10 leaves, fewer than the group size 12"),
    ({"train": "last"}, 10, "train = 'last'.*all, first"),
    ({"choice": "last"}, 10, "choice = 'last'.*entropy, random"),
    ({"trees": 0}, 10, r"algorithms\[0\].trees = 0"),
    ({"forks": -1}, 10, "forks = -1"),
    ({"branches": 0}, 10, "branches = 0"),
])  # fmt: skip
def test_what_etmr_cannot_train_with_is_one_line(settings: dict, size: int, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        dataclasses.replace(with_trees(**settings), group_size=size).validate()
    assert "\n" not in str(caught.value)


def test_groups_that_straddle_processes_are_refused() -> None:
    rows = [{"id": name} for name in "aaab" * 5]
    with pytest.raises(InputError, match="not whole groups of 10"):
        TreeVotes(2).rollout(rows, SimpleNamespace(num_generations=10))
