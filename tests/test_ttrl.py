"""TTRL and ETTRL's advantages: the reference's vectors, properties, and two steps in the house."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hammerlib.advantages import group_advantages
from hammerlib.errors import InputError
from hammerlib.models import load_backbone
from hammerlib.problems import load_problems
from hammerlib.runs import RunRecord
from hammerlib.systems.ttrl import (
    agrees,
    clip_advantages,
    entropy_scale,
    expected_push,
    majority_vote,
    pseudo_rewards,
    vote_metrics,
)
from hammerlib.systems.ttrl.algorithm import EntropyReshape, VoteThenSample, relabelled, watch_votes
from hammerlib.training import Hooks, Rollout, TrainConfig, train
from hammerlib.training.generation import completion_entropies, score_tokens
from hammerlib.training.hooks import UNTRAINED, Generation

VOTES = ["4", "4", "5", "3", None, "4", "5", "5"]
TWO = TrainConfig(
    n_problems=4,
    order="random",
    prompts_per_step=2,
    group_size=4,
    max_completion_length=48,
    learning_rate=1e-3,
)


# The vote


def test_the_vote_of_the_reference() -> None:
    # 4 and 5 have three votes each: 4 was seen first. The silent one counts in the denominator only.
    vote = majority_vote(VOTES)
    assert vote == ("4", 3 / 8)
    assert pseudo_rewards(VOTES, vote.label) == [1, 1, 0, 0, 0, 1, 0, 0]


def test_silence_is_no_majority() -> None:
    assert majority_vote([None, None, None, "7"]) == ("7", 0.25)
    assert majority_vote([None, None]) == (None, 0.0)
    assert pseudo_rewards([None, "4"], None) == [0.0, 0.0]
    with pytest.raises(InputError):
        majority_vote([])


def test_the_vote_is_by_string_and_the_reward_by_equivalence() -> None:
    # "0.5" and "1/2" vote apart (2 against 1 and 2: a tie of strings), but are rewarded together.
    answers = ["1/2", "0.5", "3", "3", "1/2"]
    assert majority_vote(answers).label == "1/2"
    assert pseudo_rewards(answers, "1/2") == [1, 1, 0, 0, 1]
    assert agrees("0.5", "1/2") and not agrees("0.5", None)


@given(st.lists(st.sampled_from(["1", "2", "3", None]), min_size=1, max_size=12))
def test_the_label_has_the_most_votes_and_the_reward_sum_is_the_ratio(answers: list[str | None]) -> None:
    vote = majority_vote(answers)
    assert all(answers.count(vote.label) >= answers.count(one) for one in set(answers) - {None})
    assert sum(pseudo_rewards(answers, vote.label)) == pytest.approx(vote.ratio * len(answers))


# The lock-in


@given(st.floats(0.01, 0.99))
def test_three_votes_push_by_the_closed_form(p: float) -> None:
    # X = 1 (chance 3 p (1-p)^2) rewards the wrong two: -1 (3 - 1) / 9; X = 2 (3 p^2 (1-p)): +2/9. The sum is
    # 2/3 p (1-p) (2p - 1); with true labels both count +: 2/3 p (1-p).
    majority, truth = expected_push(p, 3)
    assert majority == pytest.approx(2 / 3 * p * (1 - p) * (2 * p - 1)) and truth == pytest.approx(
        2 / 3 * p * (1 - p)
    )


@given(st.floats(0.01, 0.49), st.integers(3, 64))
def test_a_wrong_majority_is_locked_in_and_a_right_one_mirrors_it(p: float, votes: int) -> None:
    majority, truth = expected_push(p, votes)
    assert majority < 0 < truth
    assert expected_push(1 - p, votes) == pytest.approx((-majority, truth))


def test_a_push_refuses_nonsense() -> None:
    for arguments in ((1.2, 3), (0.5, 0)):
        with pytest.raises(InputError):
            expected_push(*arguments)


# Its metrics


def test_metrics_by_hand() -> None:
    # Truth 5, label 4. Pseudo-rewards 1 1 0 0 0 1 0 0, true ones 0 0 1 0 0 0 1 1: they agree on the "3" and
    # on the silent one, 2 of 8. Of the first four (4 4 5 3) they agree on the "3" alone, 1 of 4.
    right = [one == "5" for one in VOTES]
    found = vote_metrics(VOTES, right, label_right=False, kept=4)
    assert found == {
        "label_accuracy": 0.0, "reward_accuracy": 2 / 8, "majority_ratio": 3 / 8, "ground_truth_ratio": 3 / 8,
        "pass": 1.0, "post_reward_accuracy": 1 / 4, "post_majority_ratio": 2 / 4,
        "post_ground_truth_ratio": 1 / 4, "post_pass": 1.0,
    }  # fmt: skip


def test_reward_accuracy_is_high_for_scattered_answers_under_a_wrong_label() -> None:
    # Ten different answers, none right: one is rewarded wrongly, nine are rightly not.
    found = vote_metrics([str(k) for k in range(10)], [False] * 10, label_right=False)
    assert found["reward_accuracy"] == 0.9 and found["label_accuracy"] == 0 and found["pass"] == 0


def test_metrics_refuse_what_does_not_fit() -> None:
    for arguments in (
        {"right": [True]},
        {"right": [True, False], "kept": 3},
        {"right": [True, False], "kept": 0},
    ):
        with pytest.raises(InputError):
            vote_metrics(["1", "2"], label_right=True, **arguments)


# Entropy


def test_entropy_scale_of_the_reference() -> None:
    scale = entropy_scale(np.array([0.5, 1.0, 1.5]), np.zeros(3, int))
    assert scale.tolist() == [1.5, 1.0, 0.5]
    # Rewards 1 1 0: mean 2/3, deviation (ddof 1) 0.57735; with eps 1e-4: 0.5773, 0.5773, -1.1545.
    advantages = group_advantages(np.array([1.0, 1, 0]), np.zeros(3, int))
    assert advantages.round(4).tolist() == [0.5773, 0.5773, -1.1545]
    reshaped = scale * advantages
    assert reshaped.round(4).tolist() == [0.8659, 0.5773, -0.5773]
    assert reshaped.sum() == pytest.approx(0.866, abs=1e-3)  # not 0


def test_more_than_twice_the_mean_entropy_reverses_the_gradient() -> None:
    # H = 0.1, 0.1, 0.1, 1.7: mean 0.5, so Y = 1.8 three times and 2 - 3.4 = -1.4.
    entropies, groups = np.array([0.1, 0.1, 0.1, 1.7]), np.zeros(4, int)
    assert entropy_scale(entropies, groups) == pytest.approx([1.8, 1.8, 1.8, -1.4])
    assert entropy_scale(entropies, groups, clamp_min=0.0) == pytest.approx([1.8, 1.8, 1.8, 0.0])


def test_no_entropy_changes_nothing() -> None:
    assert entropy_scale(np.zeros(3), np.zeros(3, int)).tolist() == [1.0] * 3


# Subnormal entropies have no exact mean: [5e-324, 5e-324, 0] rounds to one of 5e-324.
@given(st.lists(st.floats(0.0, 5.0, allow_subnormal=False), min_size=1, max_size=8))
def test_the_scale_has_mean_one_in_every_group(entropies: list[float]) -> None:
    both = np.array([*entropies, *entropies[::-1]])
    groups = np.repeat([0, 1], len(entropies))
    scale = entropy_scale(both, groups)
    assert scale[groups == 0].mean() == pytest.approx(1) and scale[groups == 1].mean() == pytest.approx(1)


def test_untrained_responses_do_not_count() -> None:
    scale = entropy_scale(np.array([0.5, 9.0, 1.5]), np.array([0, UNTRAINED, 0]))
    assert scale.tolist() == [1.5, 1.0, 0.5]


def test_three_right_of_64_are_clipped() -> None:
    # Mean 3/64, variance (ddof 1) 3 (61/64) / 63 = 0.045387: (61/64) / (0.21304 + 1e-6) = 4.474.
    rewards = np.array([1.0] * 3 + [0.0] * 61)
    advantages = group_advantages(rewards, np.zeros(64, int), eps=1e-6)
    assert advantages[0] == pytest.approx(4.474, abs=5e-4)
    assert clip_advantages(advantages)[0] == 2.0 and clip_advantages(advantages)[-1] == advantages[-1]


def test_reshaping_refuses_nonsense() -> None:
    for entropies, groups in (([1.0, -0.1], [0, 0]), ([1.0, np.nan], [0, 0]), ([1.0], [0, 0])):
        with pytest.raises(InputError):
            entropy_scale(np.array(entropies), np.array(groups))
    for made in (
        lambda: clip_advantages(np.ones(2), 0.0),
        lambda: EntropyReshape("both"),
        lambda: EntropyReshape("clip", beta=-1),
        lambda: EntropyReshape("clip", clamp_min=0.0),
        lambda: EntropyReshape("residual", beta=7),
        lambda: VoteThenSample(0),
    ):
        with pytest.raises(InputError):
            made()


def test_response_entropy_is_the_mean_over_trained_tokens() -> None:
    model = load_backbone("nano").model
    told = {"prompt_ids": [[5], [5, 6]], "completion_ids": [[7, 8, 9], [10]], "mask": [[0, 1, 1], [1]]}
    rollout = SimpleNamespace(**told, trainer=SimpleNamespace(model=model, temperature=0.7))
    _, entropies, _ = score_tokens(model, told["prompt_ids"], told["completion_ids"], temperature=0.7)
    expected = [entropies[0, 1:3].mean().item(), entropies[1, 0].item()]
    assert completion_entropies(rollout) == pytest.approx(expected, rel=1e-4)
    assert completion_entropies(rollout, rows=1) == pytest.approx(expected, rel=1e-4)


# In the house


def run(root: Path, plugs: Hooks, *, truth: list[str] | None = None, **changes: object) -> RunRecord:
    problems = load_problems("reasoning-gym:nano", split="rl", n=4, seed=0)
    if truth is not None:
        problems = problems.remove_columns("answer").add_column("answer", truth)
    config = dataclasses.replace(TWO, **changes)
    return train(config, problems=problems, root=root, algorithms=[plugs], progress=False)


def weights(record: RunRecord) -> dict[str, torch.Tensor]:
    return load_backbone(str(record.folder / "model")).model.state_dict()


@pytest.mark.long
def test_the_truth_never_enters(tmp_path: Path) -> None:
    one = run(tmp_path / "a", Hooks(rollout=VoteThenSample(6)), adjustment="dra")
    other = run(
        tmp_path / "b", Hooks(rollout=VoteThenSample(6)), adjustment="dra", truth=["1", "2", "3", "x"]
    )
    before = load_backbone("nano").model.state_dict()
    assert all((value == weights(other)[name]).all() for name, value in weights(one).items())
    assert any((value != before[name]).any() for name, value in weights(one).items())


def test_all_vote_and_the_first_are_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    # Six votes, two trained. The first two alone would elect 4; a wrong build that trains the last two would
    # reward both of them. The second problem is said in words only: no label, and trained all the same.
    texts = [rf"\boxed{{{one}}}" for one in (4, 4, 5, 5, 5, 5)] + ["none"] * 6
    asked = []

    def sampled(trainer: object, rows: list[dict]) -> Generation:
        asked.extend(row["id"] for row in rows)
        return Generation(rows, [[5]] * 12, [[place] for place in range(12)])

    monkeypatch.setattr("hammerlib.systems.ttrl.algorithm.generate", sampled)
    read = SimpleNamespace(batch_decode=lambda ids, skip_special_tokens: [texts[one] for (one,) in ids])
    rows = [{"id": name, "prompt": "p", "answer": "4"} for name in "aabb"]
    said = VoteThenSample(6)(rows, SimpleNamespace(num_generations=2, processing_class=read))
    assert asked == list("aaaaaabbbbbb") and said.groups.tolist() == [0, 0, *[-1] * 4, 1, 1, *[-1] * 4]
    assert [row["answer"] for row in said.rows] == ["5"] * 6 + [None] * 6
    assert {row["truth"]["answer"] for row in said.rows} == {"4"}
    kept, spare = said.split(4)
    assert kept.completion_ids == [[0], [1], [6], [7]] and len(spare.rows) == 8
    assert pseudo_rewards(["4", "4"], kept.rows[0]["answer"]) == [0, 0]  # trained, and in the minority


def test_votes_are_sampled_watched_and_reshaped(tmp_path: Path) -> None:
    plugs = Hooks(rollout=VoteThenSample(6), advantage=EntropyReshape(), observe=watch_votes)
    record = run(tmp_path, plugs)
    table = pd.read_csv(record.folder / "metrics.csv").pivot_table(
        index="step", columns="metric", values="value"
    )
    assert (table["generated"] == 12).all() and (table["trained"] == 8).all()
    names = ("label_accuracy", "reward_accuracy", "majority_ratio", "ground_truth_ratio", "pass")
    for name in (*names, *(f"post_{one}" for one in names[1:])):
        assert table[f"vote/{name}"].between(0, 1).all()
    # The reward is the share of trained votes equivalent to the label: at least those equal to it.
    assert (table["reward_raw"] >= table["vote/post_majority_ratio"] - 1e-6).all()


def test_reshaped_advantages_are_the_scaled_ones() -> None:
    model, advantages = load_backbone("nano").model, torch.tensor([1.0, -1.0])
    one = np.zeros(2)
    rollout = Rollout(
        0, [{"id": "a"}] * 2, ["x"] * 2, [[7, 8], [9, 10]], [None] * 2, one, one, np.eye(2), 2, advantages,
        prompt_ids=[[5], [5]], trainer=SimpleNamespace(model=model, temperature=1.0),
    )  # fmt: skip
    scale = entropy_scale(completion_entropies(rollout), rollout.groups)
    assert EntropyReshape()(rollout).numpy() == pytest.approx(scale * [1, -1], rel=1e-5)
    rollout.advantages = torch.tensor([[1.0, 3.0], [-5.0, -1.0]])
    assert EntropyReshape()(rollout).numpy() == pytest.approx(
        scale[:, None] * rollout.advantages.numpy(), rel=1e-5
    )
    assert EntropyReshape("clip")(rollout).tolist() == [[1.0, 2.0], [-2.0, -1.0]]


def test_incompatible_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="votes"):
        run(tmp_path, Hooks(rollout=VoteThenSample(3)))
    with pytest.raises(InputError, match="truth"):
        run(tmp_path, Hooks(observe=watch_votes))
    broken = SimpleNamespace(num_generations=4)
    with pytest.raises(InputError, match="whole groups"):
        VoteThenSample(6)([{"id": "a"}] * 3 + [{"id": "b"}] * 5, broken)


def test_a_relabelled_row_keeps_its_truth_apart() -> None:
    row = {"id": "a", "prompt": "p", "answer": "4", "scorer": "own", "metadata": "{}"}
    found = relabelled(row, ["5", None, "5"])
    assert (found["answer"], found["scorer"], found["metadata"]) == ("5", None, None)
    assert found["truth"] == {"answer": "4", "scorer": "own", "metadata": "{}"}
