"""More rows than planned, and DRA in groups of any size and place: by hand, on one process and on two."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import ragged_runs
import torch
from ragged_runs import PLANNED, RUNS, SIZES, STEP, Ragged, completion, embed, reward
from two_processes import run_on_two

from hammerlib.advantages import EXCLUDED, rows_by_size
from hammerlib.dra import adjust_rewards, diversity_weights
from hammerlib.errors import InputError
from hammerlib.models import load_backbone
from hammerlib.problems import load_problems
from hammerlib.rewards import DRAReward, accuracy_reward
from hammerlib.rewards.adjusted import Given
from hammerlib.training import Algorithm, Generation, Hooks, TrainConfig, read_completions, train
from hammerlib.training.generation import generate, score_tokens
from hammerlib.training.preview import estimate_memory, preview
from hammerlib.training.run import prepare
from hammerlib.training.schedule import make_order
from hammerlib.training.trainer import common_rows, in_runs, planned_share

# Starting two processes takes 28 seconds of a core.
PROCESSES = ["alone", pytest.param("pair", marks=pytest.mark.long)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("alone")
    ragged_runs.make(root)
    return root


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pair")
    run_on_two(ragged_runs.__file__, str(root))
    return root


def only_run(root: Path) -> Path:
    return next(root.glob("train__*"))


def gradient_by_hand(loss_type: str) -> dict[str, torch.Tensor]:
    """- sum over all 21 rows of A_i times its log-probabilities, over the 16 rows that were planned."""
    backbone = load_backbone("nano", dtype="float32")
    problems = load_problems(STEP.problems, split="rl", n=4, seed=0)
    order = make_order(STEP, problems, backbone)
    total = torch.zeros(())
    for place, size in enumerate(SIZES):
        prompt = backbone.tokenizer(problems[int(order.permutation[place])]["prompt"])["input_ids"]
        said = [completion(place, number) for number in range(size)]
        rewards = torch.tensor([reward(place, number) for number in range(size)])
        logps, _, mask = score_tokens(backbone.model, [prompt] * size, said)
        tokens = mask.sum(1) if loss_type == "grpo" else torch.tensor(STEP.max_completion_length)
        total = total - ((rewards - rewards.mean()) * logps.sum(1) / tokens).sum() / PLANNED
    total.backward()
    weights = list(backbone.model.parameters())
    torch.nn.utils.clip_grad_norm_(weights, 1.0)  # as the trainer does
    return {name: weight.grad for name, weight in backbone.model.named_parameters()}


@pytest.mark.parametrize("loss_type", ["grpo", "dr_grpo"])
@pytest.mark.parametrize("processes", PROCESSES)
def test_the_gradient_is_the_hand_sum_over_the_planned_rows(
    loss_type: str, processes: str, request: pytest.FixtureRequest
) -> None:
    root = request.getfixturevalue(processes)
    found = torch.load(root / loss_type / "gradient.pt")
    expected = gradient_by_hand(loss_type)
    assert max(one.abs().max() for one in expected.values()) > 1e-2
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=2e-6)


@pytest.mark.parametrize("processes", PROCESSES)
def test_all_processes_grow_to_the_same_rows(processes: str, request: pytest.FixtureRequest) -> None:
    folder = only_run(request.getfixturevalue(processes) / "grpo")
    values = pd.read_csv(folder / "metrics.csv").set_index("metric")["value"]
    # 21 rows of one process: three times G x 2; 9 and 12 rows of two: twice.
    assert values["trained"] == 21 and values["rows"] == {"alone": 24, "pair": 16}[processes]
    # Two more rows a process are generated without being trained.
    left_out = {"alone": [(0, 20), (3, 21)], "pair": [(0, 20), (1, 21), (2, 20), (3, 21)]}[processes]
    made = [(k, number) for k, size in enumerate(SIZES) for number in range(size)] + left_out
    assert values["sampled_tokens"] == sum(len(completion(*which)) - 1 for which in made)
    assert values["forced_tokens"] == len(made)


def test_the_common_size_is_the_smallest_that_holds_all() -> None:
    assert common_rows([9, 12], 8, 8) == 16 and common_rows([21], 16, 8) == 24
    assert common_rows([3, 8], 8, 8) == 8 and common_rows([9, 1], 8, 4) == 12


@pytest.mark.parametrize("route", ["dra", "dra-trainer"])
@pytest.mark.parametrize("processes", PROCESSES)
def test_dra_adjusts_groups_of_any_size_and_place(
    route: str, processes: str, request: pytest.FixtureRequest
) -> None:
    table = read_completions(only_run(request.getfixturevalue(processes) / route)).query("group != -1")
    groups = table.groupby("id")
    assert sorted(groups.size()) == sorted(SIZES)
    for _, rows in groups:
        assert not rows.index.to_series().diff().dropna().eq(1).all()  # groups do not lie in a row
        expected = adjust_rewards(
            rows.reward_raw, embed(rows.completion.tolist()), **RUNS[route].adjustment_options
        )
        assert rows.reward.to_numpy() == pytest.approx(expected, rel=1e-5)
    assert (table.reward_raw != table.reward).any()


# DRA's groups by name, without a trainer


def scored(names: list[int] | None, seed: int = 0, **options: object) -> tuple[list, np.ndarray, DRAReward]:
    """Rewards and weights of twelve completions; equal groups of four come at the places of their names."""
    rng = np.random.default_rng(seed)
    vectors, rewards = rng.normal(size=(12, 5)), rng.integers(0, 3, 12) / 2
    vectors[3] = 0  # a completion without a visible character
    texts = [" " if k == 3 else str(k) for k in range(12)]
    groups = np.repeat([0, 1, 2], 4) if names is None else np.array(names)
    members = np.argsort(groups, kind="stable")
    place = np.empty(12, int)
    place[members] = np.arange(12)  # the k-th row of group g is its row in the equal, contiguous batch

    def base(completions: list[str], **columns: object) -> list[float]:
        return [rewards[texts.index(text)] for text in completions]

    said = [texts[k] for k in place]
    dra = DRAReward(base, lambda all_texts: vectors[[texts.index(text) for text in all_texts]], 4, **options)
    dra.given = Given() if names is None else Given(groups=groups)
    found = dra([str(k) for k in groups], said, id=[str(k) for k in groups])
    return found, place, dra


@pytest.mark.parametrize("options", [
    {}, {"sign": "safe"}, {"positives_only": True, "normalize": True}, {"smi": "log_det", "normalize": True},
    {"clamp": True, "centre": True}, {"smi": "facility_location"},
], ids=str)  # fmt: skip
def test_equal_groups_by_name_give_the_same_bits_wherever_they_lie(options: dict) -> None:
    whole = scored(None, **options)[0]
    for names in ([0] * 4 + [1] * 4 + [2] * 4, [2, 0, 1] * 4, [7, 7, 9, 9, 3, 3, 3, 7, 9, 7, 3, 9]):
        mixed, place, _ = scored(names, **options)
        if max(names) > 2:  # groups are numbered by name: 3, 7, 9
            names = [(3, 7, 9).index(name) for name in names]
            place = np.empty(12, int)
            place[np.argsort(names, kind="stable")] = np.arange(12)
        assert [mixed[row] for row in range(12)] == [whole[k] for k in place]


def test_rows_in_no_group_keep_their_reward_and_have_no_weight() -> None:
    names = [0, 0, 0, 0, EXCLUDED, 1, 1, EXCLUDED, 2, 2, 2, EXCLUDED]
    found, _, dra = scored(names)
    raw, left_out = dra.raw, np.array(names) == EXCLUDED
    assert np.array(found)[left_out].tolist() == raw[left_out].tolist()
    weights = dra.adjusted([dra.scored], 4)[1]
    assert np.isnan(weights).tolist() == left_out.tolist()
    vectors = np.hstack([dra.scored.vectors, dra.scored.blank[:, None]])
    for rows in rows_by_size(np.array(names)):
        assert weights[rows].tolist() == diversity_weights(vectors[rows]).tolist()


def test_processes_name_their_groups_apart() -> None:
    parts = []
    for names in ([0, 0, 1, 1, 1], [0, 0, 0, 1, 1]):
        dra = DRAReward(accuracy_reward, lambda texts: np.eye(5)[:, :3] + 0.1, 2, deferred=True)
        dra.given = Given(groups=np.array(names))
        dra(["2+2"] * 5, ["4"] * 5, answer=["4"] * 5)
        parts.append(dra.scored)
    together = dra.adjusted(parts, 2)[0]
    alone = [dra.adjusted([part], 2)[0] for part in parts]
    assert together.tolist() == np.concatenate(alone).tolist()


def test_runs_of_g_rows_of_one_problem_are_trls_own_groups() -> None:
    rows = [{"id": name} for name in "aabb"]
    kept = {"prompt_ids": [[5]] * 4, "completion_ids": [[7]] * 4}
    assert in_runs(Generation(rows, **kept), 2)
    assert in_runs(Generation(rows, **kept, groups=[3, 3, EXCLUDED, EXCLUDED]), 2)
    assert not in_runs(Generation(rows, **kept, groups=[0, 1, 0, 1]), 2)
    assert not in_runs(Generation(rows, **kept, groups=[0, 0, 0, 1]), 2)
    assert not in_runs(Generation(rows, **kept, groups=[0, 0, 0, 0]), 4)


@dataclasses.dataclass
class Started(Algorithm):
    """Half of each group from a forced start."""

    start: tuple[int, ...] = (7, 8, 9)

    def rollout(self, rows: list[dict], trainer: object) -> Generation:
        return generate(trainer, rows, prefixes=[list(self.start) * (k % 2) for k in range(len(rows))])


def test_dra_embeds_the_whole_completion_or_its_sampled_part(tmp_path: Path) -> None:
    config = dataclasses.replace(STEP, n_problems=2, prompts_per_step=2, adjustment="dra")
    start = load_backbone("nano").tokenizer.decode([7, 8, 9])
    seen: dict[str, list[str]] = {}
    for text in ("completion", "sampled"):
        texts = seen.setdefault(text, [])

        def remember(batch: list[str], texts: list[str] = texts) -> np.ndarray:
            texts.extend(batch)
            return embed(batch)

        changed = dataclasses.replace(config, dra_text=text)
        record = train(
            changed, root=tmp_path / text, algorithms=[Started()], embedder=remember, progress=False
        )
        whole = read_completions(record.folder).completion.tolist()
        if text == "completion":
            assert texts == whole
        else:
            assert texts[::2] == whole[::2]
            assert [start + rest for rest in texts[1::2]] == whole[1::2]
    assert "dra_text" not in config.identity() and changed.identity()["dra_text"] == "sampled"


# What is counted and refused


def test_estimate_and_dry_run_count_the_rows_that_may_come() -> None:
    plain = prepare(STEP, progress=False)
    grown = prepare(STEP, algorithms=[Ragged()], progress=False)
    assert (plain.most_rows, grown.most_rows) == (4, 7)
    before, after = estimate_memory(plain), estimate_memory(grown)
    for name in ("training", "generation"):
        assert after[name] == pytest.approx(before[name] * 7 / 4), name
    assert "may train 7 completions of a prompt: up to 28 a step, divided as the 16" in preview(grown)
    assert "may train" not in preview(plain)


class Longer(Ragged):
    def most_prompt_tokens(self, config: TrainConfig) -> int:
        return 100_000


def test_what_cannot_go_with_growing_batches_is_one_line() -> None:
    local = {"scope": "official-local"}
    refused = [
        (dataclasses.replace(STEP, entropy_coef=0.01), "entropy_coef"),
        (dataclasses.replace(STEP, adjustment="dra", adjustment_options=local), "scope"),
    ]
    for config, words in refused:
        with pytest.raises(InputError, match=f"{words}.*up to 7 rows a prompt"):
            prepare(config, algorithms=[Ragged()], progress=False)
    allowed = dataclasses.replace(STEP, entropy_coef=0.01, loss_type="dapo")
    assert prepare(allowed, algorithms=[Ragged()], progress=False).most_rows == 7
    with pytest.raises(InputError, match="prompt of 100000 tokens"):
        prepare(STEP, algorithms=[Longer()], progress=False)


def test_more_rows_than_stated_are_refused(tmp_path: Path) -> None:
    class Meagre(Ragged):
        def most_rows(self, config: TrainConfig) -> int:
            return 5

    with pytest.raises(InputError, match="more than the 20 that most_rows states"):
        train(STEP, root=tmp_path, algorithms=[Meagre(str(tmp_path / "g.pt"))], progress=False)
    with pytest.raises(InputError, match=r"do not fit a batch of 16.*most_rows"):
        train(STEP, root=tmp_path, algorithms=[Hooks(rollout=Ragged().rollout)], progress=False)


class Plain(Ragged):
    """States more rows than it then hands over, and leaves the groups to the house."""

    def rollout(self, rows: list[dict], trainer: object) -> Generation:
        return generate(trainer, rows)


def test_a_rollout_that_stays_below_what_it_states_trains_as_planned(tmp_path: Path) -> None:
    record = train(STEP, root=tmp_path, algorithms=[Plain(str(tmp_path / "g.pt"))], progress=False)
    table = read_completions(record.folder)
    assert len(table) == PLANNED and table.trained.all()
    assert table.groupby("id").group.nunique().eq(1).all() and table.group.nunique() == 4


def test_a_batch_as_planned_is_scaled_by_one_exactly() -> None:
    inputs = {"completion_ids": torch.zeros(6, 3)}
    assert planned_share("grpo", inputs, 6) == planned_share("dapo", inputs, 4) == 1.0
    assert planned_share("grpo", inputs, 4) == planned_share("dr_grpo", inputs, 4) == 1.5
