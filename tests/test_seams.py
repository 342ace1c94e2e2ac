"""The four seams are enough for the systems that plug in: every promise of them, a step or two at a time."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from trl import GRPOTrainer

from hammerlib.advantages import group_advantages
from hammerlib.errors import InputError
from hammerlib.models import load_backbone
from hammerlib.problems import load_problems
from hammerlib.rewards import DRAReward, accuracy_reward
from hammerlib.runs import RunRecord
from hammerlib.training import Generation, Hooks, Rollout, TrainConfig, train
from hammerlib.training.build import build_trainer, quiet
from hammerlib.training.generation import generate, score_tokens
from hammerlib.training.hooks import UNTRAINED, name_of
from hammerlib.training.run import prepare
from hammerlib.training.trainer import PolicyTrainer, adjust_all, whole_groups

ONE = TrainConfig(
    n_problems=2,
    order="random",
    prompts_per_step=2,
    group_size=4,
    max_completion_length=12,
    learning_rate=1e-3,
    loss_type="dapo",
)


def one_run(root: Path, config: TrainConfig = ONE, **plugs: Callable) -> RunRecord:
    return train(config, root=root, algorithms=[Hooks(**plugs)], progress=False)


def a_trainer(folder: Path, **changes: object) -> PolicyTrainer:
    plugs = {name: changes.pop(name) for name in ("rollout", "observe") if name in changes}
    with quiet():
        job = prepare(dataclasses.replace(ONE, **changes), algorithms=[Hooks(**plugs)], progress=False)
        return build_trainer(job, RunRecord("demo", folder, {}))


def values(record: RunRecord) -> dict[str, float]:
    return pd.read_csv(record.folder / "metrics.csv").set_index("metric")["value"].to_dict()


def completions(record: RunRecord) -> pd.DataFrame:
    return pd.read_parquet(record.folder / "completions" / "000001.parquet")


def weights(record: RunRecord) -> dict[str, torch.Tensor]:
    return load_backbone(str(record.folder / "model")).model.state_dict()


def always(*rewards: float | None) -> Callable:
    return lambda completion_ids, **columns: list(rewards)


def unpadded(ids: torch.Tensor, mask: torch.Tensor) -> list[list[int]]:
    return [row[seen.bool()].tolist() for row, seen in zip(ids, mask, strict=True)]


class Gradients:
    """A loss seam that keeps TRL's gradient beside the one computed here by hand.

    At ratio 1 the gradient of every loss is the sum over tokens of -A_t c_t grad log p_t, where c_t is the
    loss's own share of a token.
    """

    def __init__(self, loss_type: str = "dapo", longest: int = ONE.max_completion_length) -> None:
        self.loss_type, self.longest = loss_type, longest
        self.theirs: list[torch.Tensor] = []
        self.ours: list[torch.Tensor] = []

    def __call__(
        self, trainer: PolicyTrainer, model: torch.nn.Module, inputs: dict, default: Callable
    ) -> object:
        weights = [one for one in model.parameters() if one.requires_grad]
        self.theirs = torch.autograd.grad(default(), weights)
        prompts, said = (
            unpadded(inputs[f"{part}_ids"], inputs[f"{part}_mask"]) for part in ("prompt", "completion")
        )
        logps, _, mask = score_tokens(model, prompts, said, temperature=trainer.temperature)
        mask = (
            mask * inputs.get("tool_mask", torch.ones_like(inputs["completion_ids"]))[:, : mask.shape[1]]
        ).float()
        rows = len(mask)
        share = {
            "grpo": 1 / mask.sum(1, keepdim=True).clamp(min=1) / rows,
            "dr_grpo": torch.full((rows, 1), 1 / (rows * self.longest)),
            "dapo": torch.full((rows, 1), 1 / mask.sum().item()),
        }[self.loss_type]
        advantages = inputs["advantages"]
        advantages = advantages[:, None] if advantages.dim() == 1 else advantages[:, : mask.shape[1]]
        self.ours = torch.autograd.grad((-advantages * share * mask * logps).sum(), weights)
        return default()

    def assert_equal(self) -> None:
        assert max(one.abs().max() for one in self.ours) > 1e-4
        for ours, theirs in zip(self.ours, self.theirs, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-6)


# Advantages


def test_group_advantages_of_hand_worked_groups() -> None:
    groups = np.array([0, 0, 0])
    assert group_advantages(np.array([1.0, 1, 0]), groups) == pytest.approx(
        [0.5773, 0.5773, -1.1545], abs=1e-4
    )
    # DARS: four first, then two more of the same problem; the mean is that of all six (a stage's own: 3/4).
    merged = group_advantages(
        np.array([1.0, 0, 0, 0, 5, 5, 0, 0]), np.array([0, 0, 0, 0, 1, 1, 0, 0]), scale="none"
    )
    assert merged == pytest.approx([5 / 6, -1 / 6, -1 / 6, -1 / 6, 0, 0, -1 / 6, -1 / 6])
    # SvS: one positive of eight, at verl's eps.
    svs = group_advantages(np.eye(8)[0], np.zeros(8, dtype=int), eps=1e-6)
    assert svs == pytest.approx([2.474868, *[-0.353553] * 7], abs=1e-4)
    odd = group_advantages(np.array([1.0, np.nan, 0, 7, 3]), np.array([0, 0, 0, 1, UNTRAINED]), scale="none")
    assert odd.tolist() == [0.5, 0, -0.5, 0, 0]
    whole = group_advantages(np.array([1.0, 0, 1, 1]), np.array([0, 0, 1, 1]), scale="batch")
    assert whole == pytest.approx([0.5 / (0.5 + 1e-4), -0.5 / (0.5 + 1e-4), 0, 0])
    with pytest.raises(InputError, match="group, batch, none"):
        group_advantages(np.ones(2), np.zeros(2), scale="row")
    with pytest.raises(InputError, match="length n"):
        group_advantages(np.ones(3), np.zeros(2))


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_group_advantages_are_trls_at_equal_sizes(scale: str, tmp_path: Path) -> None:
    seen: list[Rollout] = []
    trainer = a_trainer(tmp_path, observe=lambda rollout: seen.append(rollout) or {}, scale_rewards=scale)
    trainer.reward_funcs[0] = always(None, 1.0, 0.0, 0.25, 0.5, 0.5, 0.5, 3.0)
    trainer.train()
    ours = group_advantages(seen[0].rewards, seen[0].groups, scale=scale)
    assert seen[0].advantages.tolist() == pytest.approx(ours.tolist(), abs=1e-6)
    assert np.isnan(seen[0].rewards[0]) and ours[0] == 0 and ours[7] > 0


@pytest.mark.parametrize("loss_type", ["grpo", "dr_grpo", "dapo"])
def test_token_advantages_move_the_policy_as_by_hand(loss_type: str, tmp_path: Path) -> None:
    shapes = []

    def ramp(rollout: Rollout) -> torch.Tensor:
        longest = max(map(len, rollout.completion_ids))
        shapes.append((len(rollout.rows), longest))
        signs = torch.tensor([1.0, -1.0]).repeat(len(rollout.rows) // 2)
        return signs[:, None] * torch.arange(1, longest + 1)

    loss = Gradients(loss_type)
    one_run(
        tmp_path,
        dataclasses.replace(ONE, loss_type=loss_type, scale_rewards="none"),
        advantage=ramp,
        loss=loss,
    )
    assert shapes[0][0] == 8
    loss.assert_equal()


# Rollouts


def test_a_continuation_from_a_prefix_is_the_rest_of_the_same_completion(tmp_path: Path) -> None:
    trainer = a_trainer(tmp_path, temperature=1e-4)  # as good as greedy
    rows = [trainer.train_dataset[0], trainer.train_dataset[1], trainer.train_dataset[0]]
    whole = generate(trainer, rows)
    assert whole.mask is None and whole.completion_ids[0] == whole.completion_ids[2]
    prefixes = [whole.completion_ids[0][:5], [], whole.completion_ids[2][:2]]
    again = generate(trainer, rows, prefixes=prefixes)
    assert again.completion_ids == whole.completion_ids and again.prompt_ids == whole.prompt_ids
    assert again.mask == [[int(place >= len(start)) for place in range(len(ids))]
                          for start, ids in zip(prefixes, again.completion_ids, strict=True)]  # fmt: skip
    assert trainer.generation_config.max_new_tokens == ONE.max_completion_length
    kept = generate(trainer, rows, prefixes=prefixes, train_prefix=True)
    assert all(map(all, kept.mask))


def test_a_prefix_that_is_already_whole_is_not_continued(tmp_path: Path) -> None:
    trainer = a_trainer(tmp_path)
    rows, end = [trainer.train_dataset[0]] * 3, trainer.eos_token_ids[0]
    said = generate(trainer, rows, prefixes=[[7, end], [7] * 12, [7]])
    assert said.completion_ids[:2] == [[7, end], [7] * 12] and said.completion_ids[2][0] == 7
    assert max(map(len, said.completion_ids)) <= 12 and said.mask[0] == [0, 0]
    for prefixes, words in (([[7] * 13] * 3, "longer than"), ([[7]], "are not 3")):
        with pytest.raises(InputError, match=words):
            generate(trainer, rows, prefixes=prefixes)


@dataclasses.dataclass
class Guided:
    """Rows in turn with and without a forced start (G2RPO-A, CURE and ETTRL in miniature)."""

    train_prefix: bool = False
    start: tuple[int, ...] = (7, 8, 9)

    def __call__(self, rows: list[dict], trainer: PolicyTrainer) -> Generation:
        prefixes = [list(self.start) if place % 2 else [] for place in range(len(rows))]
        return generate(trainer, rows, prefixes=prefixes, train_prefix=self.train_prefix)


def signed(rollout: Rollout) -> torch.Tensor:
    return torch.arange(1.0, len(rollout.rows) + 1)


@pytest.mark.parametrize("train_prefix", [False, True])
@pytest.mark.parametrize("loss_type", ["grpo", "dapo"])
def test_a_forced_prefix_is_masked_from_the_loss_or_kept(
    loss_type: str, train_prefix: bool, tmp_path: Path
) -> None:
    loss = Gradients(loss_type)
    config = dataclasses.replace(ONE, loss_type=loss_type)
    record = one_run(tmp_path, config, rollout=Guided(train_prefix), advantage=signed, loss=loss)
    loss.assert_equal()
    table = completions(record)
    start = load_backbone("nano").tokenizer.decode([7, 8, 9])
    assert table.completion[1::2].str.startswith(start).all() and len(table) == 8


def test_continuation_works_with_stock_trl(tmp_path: Path) -> None:
    ours = a_trainer(tmp_path)

    def rollout(prompts: list[str], trainer: GRPOTrainer) -> dict:
        rows = [{"prompt": prompt} for prompt in prompts]
        return generate(trainer, rows, prefixes=[[7, 8]] * len(rows)).for_trl()

    seen = []

    def reward(completion_ids: list, **columns: object) -> list[float]:
        seen.extend(completion_ids)
        return [float(len(ids)) for ids in completion_ids]

    with quiet():
        stock = GRPOTrainer(
            model=ours.model,
            reward_funcs=reward,
            args=ours.args,
            rollout_func=rollout,
            train_dataset=ours.train_dataset,
            processing_class=ours.processing_class,
        )
    stock.train()
    assert len(seen) == 8 and all(ids[:2] == [7, 8] for ids in seen)


@dataclasses.dataclass
class Sized:
    """As many completions for each problem as `sizes` says (DARS in miniature)."""

    sizes: tuple[int, ...]

    def __call__(self, rows: list[dict], trainer: PolicyTrainer) -> Generation:
        problems = list({row["id"]: row for row in rows}.values())
        chosen = [row for row, size in zip(problems, self.sizes, strict=True) for _ in range(size)]
        groups = np.repeat(np.arange(len(self.sizes)), self.sizes)
        found = generate(trainer, chosen)
        return dataclasses.replace(found, groups=groups)


def test_groups_of_different_size_are_compared_within_themselves(tmp_path: Path) -> None:
    seen: list[Rollout] = []
    trainer = a_trainer(tmp_path, rollout=Sized((6, 2)), observe=lambda rollout: seen.append(rollout) or {})
    trainer.reward_funcs[0] = always(1.0, 0, 0, 0, 0, 0, 1, 1)
    trainer.train()
    rollout = seen[0]
    assert Counter(row["id"] for row in rollout.rows) == dict(
        zip(trainer.train_dataset["id"][:], (6, 2), strict=True)
    )
    spread = np.array([1, 0, 0, 0, 0, 0]).std(ddof=1) + 1e-4
    assert rollout.advantages.tolist() == pytest.approx(
        [5 / 6 / spread, *[-1 / 6 / spread] * 5, 0, 0], abs=1e-5
    )
    assert [rows.tolist() for rows in rollout.by_size()] == [[[6, 7]], [[0, 1, 2, 3, 4, 5]]]
    logged = trainer.state.log_history[0]
    assert logged["hammer/zero_variance_share"] == 0.5
    units = rollout.vectors / np.linalg.norm(rollout.vectors, axis=1, keepdims=True)
    cosines = [units[rows] @ units[rows].T for rows in (slice(0, 6), slice(6, 8))]
    by_hand = np.mean([one[np.triu_indices(len(one), 1)].mean() for one in cosines])
    assert logged["hammer/mean_cosine"] == pytest.approx(by_hand, abs=1e-5)


def test_dra_on_a_rollouts_own_equal_groups_gives_the_bits_of_a_plain_run(tmp_path: Path) -> None:
    config = dataclasses.replace(ONE, adjustment="dra", rewards=("accuracy", "cosine"))
    plain = one_run(tmp_path / "plain", config)
    own = one_run(tmp_path / "own", config, rollout=Sized((4, 4)))
    assert completions(own).reward.tolist() == completions(plain).reward.tolist()
    assert values(own)["dra/mean_weight"] == values(plain)["dra/mean_weight"]
    assert all((weights(plain)[name] == weight).all() for name, weight in weights(own).items())
    ragged = completions(one_run(tmp_path / "ragged", config, rollout=Sized((6, 2))))
    assert ragged.groupby("group").size().tolist() == [6, 2] and (ragged.weight < 0.9).all()


@dataclasses.dataclass
class Voted:
    """Twice as many completions vote for the label; the first half is trained (TTRL's vote-then-sample)."""

    def __call__(self, rows: list[dict], trainer: PolicyTrainer) -> Generation:
        twice = [row for start in range(0, len(rows), 4) for row in rows[start : start + 4] * 2]
        found = generate(trainer, [{**row, "answer": "7"} for row in twice])
        groups = [place // 8 if place % 8 < 4 else UNTRAINED for place in range(len(twice))]
        return dataclasses.replace(found, groups=np.array(groups))


def test_completions_can_be_generated_and_graded_without_being_trained(tmp_path: Path) -> None:
    seen: list[Rollout] = []
    record = one_run(tmp_path, rollout=Voted(), observe=lambda rollout: seen.append(rollout) or {})
    assert values(record)["generated"] == 16 and values(record)["trained"] == 8
    rollout, table = seen[0], completions(record)
    assert len(rollout.rows) == len(rollout.excluded.rows) == 8 and set(rollout.groups) == {0, 1}
    assert all(row["answer"] == "7" for row in rollout.rows) and len(rollout.excluded.verdicts) == 8
    assert table.trained.tolist() == [True] * 8 + [False] * 8 and table.reward[8:].isna().all()
    assert table.correct.notna().all()


def test_the_index_log_says_what_was_trained_not_what_was_handed_out(tmp_path: Path) -> None:
    def other(rows: list[dict], trainer: PolicyTrainer) -> Generation:
        made = {**rows[0], "id": "made-1"}  # a problem of the rollout's own (SvS)
        found = generate(trainer, [rows[0]] * 2 + [made] * 4 + [rows[-1]] * 2)
        return dataclasses.replace(found, groups=np.array([0, 0, 1, 1, 1, 1, UNTRAINED, UNTRAINED]))

    record = one_run(tmp_path, rollout=other)
    table = pd.read_csv(record.folder / "index_log.csv")
    row = int(table.query("position == 0")["index"].iloc[0])
    first = load_problems(ONE.problems, split="rl", n=2)[row]["id"]
    # the last problem's two completions are left out, and no other of it is trained
    trained, left = table.query("step == 1"), table.query("step == -1")
    assert trained[["position", "id"]].to_numpy().tolist() == [[0, first], [-1, "made-1"]]
    assert left[["position", "generated"]].to_numpy().tolist() == [[1, 1]] and left["dropped"].notna().all()
    assert values(record)["trained"] == 6 and completions(record).trained.sum() == 6


def test_what_is_not_trained_does_not_move_the_policy(tmp_path: Path) -> None:
    def half(rows: list[dict], trainer: PolicyTrainer) -> Generation:
        return dataclasses.replace(
            generate(trainer, rows[:6]), groups=np.array([0, 0, 0, 0, UNTRAINED, UNTRAINED])
        )

    loss = Gradients("dapo")
    record = one_run(tmp_path, rollout=half, advantage=signed, loss=loss)
    loss.assert_equal()  # its share of a token counts the trained ones only
    table = completions(record)
    assert table.trained.tolist() == [True] * 4 + [False] * 4 and values(record)["generated"] == 6


# Loss


@dataclasses.dataclass
class Mixed:
    """(1 - mu) GRPO + mu supervised loss on an expert's answers, weighted per token (CHORD)."""

    mu: float
    expert: tuple[int, ...] = (7, 8, 9, 10)

    def __call__(
        self, trainer: PolicyTrainer, model: torch.nn.Module, inputs: dict, default: Callable
    ) -> torch.Tensor:
        logps, _, mask = score_tokens(model, [[5, 6]], [list(self.expert)])
        phi = (logps.exp() * (1 - logps.exp())).detach()
        extra = -(phi * logps * mask).sum() / mask.sum() / trainer.current_gradient_accumulation_steps
        return (1 - self.mu) * default() + self.mu * extra


def test_an_added_loss_term_trains_and_does_not_depend_on_accumulation(tmp_path: Path) -> None:
    stock = weights(one_run(tmp_path))
    unmixed = weights(one_run(tmp_path, loss=Mixed(0.0)))
    assert all(torch.equal(stock[name], unmixed[name]) for name in stock)
    alone = weights(one_run(tmp_path, loss=Mixed(1.0)))
    halves = weights(one_run(tmp_path, dataclasses.replace(ONE, gradient_accumulation=2), loss=Mixed(1.0)))
    assert not all(torch.equal(stock[name], alone[name]) for name in stock)
    assert all(torch.allclose(halves[name], alone[name], atol=1e-5) for name in alone)
    assert len(list(tmp_path.glob("train__*"))) == 4  # another mu is another run


def test_scored_tokens_are_those_of_one_sequence_at_a_time() -> None:
    model = load_backbone("nano").model
    prompts, said = [[5, 6, 7], [8]], [[9, 10], [11, 12, 13]]
    logps, entropies, mask = score_tokens(model, prompts, said, temperature=0.5)
    for row, (told, ids) in enumerate(zip(prompts, said, strict=True)):
        logits = model(torch.tensor([told + ids])).logits[0, len(told) - 1 : -1] / 0.5
        alone = torch.distributions.Categorical(logits=logits)
        torch.testing.assert_close(
            logps[row, : len(ids)], alone.log_prob(torch.tensor(ids)), rtol=1e-4, atol=1e-5
        )
        torch.testing.assert_close(entropies[row, : len(ids)], alone.entropy(), rtol=1e-4, atol=1e-5)
    assert mask.tolist() == [[1, 1, 0], [1, 1, 1]] and logps[0, 2] == 0 and logps.requires_grad


# What is refused, and names


@pytest.mark.parametrize(("given", "words"), [
    ({"completion_ids": [[7], []]}, "empty prompt or completion"),
    ({"completion_ids": [[7]]}, "of one length"),
    ({"mask": [[1], [1, 0]]}, "does not fit completion_ids"),
    ({"rows": [{"id": "a"}, {"id": "b", "answer": "4"}]}, "different columns"),
])  # fmt: skip
def test_a_rollout_that_does_not_fit_is_refused(given: dict, words: str) -> None:
    sound = {"rows": [{"id": "a"}, {"id": "b"}], "prompt_ids": [[5], [5]], "completion_ids": [[7], [8]]}
    with pytest.raises(InputError, match=words):
        Generation(**(sound | given))


def test_a_batch_is_filled_up_or_refused() -> None:
    one = Generation(
        [{"id": str(k)} for k in range(3)], [[5]] * 3, [[7, 7], [8], [9, 9]], groups=np.array([0, -1, 0])
    )
    kept, spare = one.split(4)
    assert kept.groups.tolist() == [0, 0, -1, -1] and spare is None
    assert kept.mask == [[1, 1], [1, 1], [0], [0]] and kept.completion_ids[2:] == [[8], [8]]
    with pytest.raises(InputError, match="do not fit a batch of 1"):
        one.split(1)
    with pytest.raises(InputError, match="do not fit a batch of 2"):
        dataclasses.replace(one, groups=None).split(2)


def test_settings_and_inner_functions_name_a_plug() -> None:
    assert name_of(Guided(False)) == name_of(Guided(False)) != name_of(Guided(True))

    def outer(rollout: object) -> object:
        return [lambda one: one + 1]

    assert "0x" not in str(name_of(outer)) and name_of(outer) == name_of(outer)


class Shifted:
    def __init__(self, by: float) -> None:
        self.by, self.seen = by, []

    def __call__(self, rollout: object) -> dict:
        self.seen.append(rollout)
        return {"by": self.by}

    def told(self, rollout: object) -> dict:
        return {"by": self.by}


def test_enclosed_variables_defaults_and_attributes_name_a_plug() -> None:
    def closed(by: float) -> Callable:
        return lambda rollout: {"by": by}

    def wrapped(inner: Callable) -> Callable:
        return lambda rollout: inner(rollout)

    two, three = (lambda rollout, by=by: {"by": by} for by in (2, 3))
    assert name_of(closed(2)) == name_of(closed(2)) != name_of(closed(3)) and name_of(two) != name_of(three)
    assert name_of(wrapped(lambda one: one)) != name_of(wrapped(lambda one: None))
    assert name_of(Shifted(2).told) == name_of(Shifted(2).told) != name_of(Shifted(3).told)
    used = Shifted(2)
    used(None)  # what it collects is no setting
    assert name_of(used) == name_of(Shifted(2)) != name_of(Shifted(3)) and "0x" not in str(name_of(used))


def test_groups_of_a_rollout_are_never_gathered_whatever_they_look_like(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On two processes one might see runs of G and gather, the other not, and both would wait for ever."""

    def own(rows: list[dict], trainer: PolicyTrainer) -> Generation:
        found = generate(trainer, rows)
        return dataclasses.replace(found, groups=np.arange(len(rows)) // trainer.num_generations)

    def gathered(*args: object) -> None:
        raise AssertionError("asked other processes")

    monkeypatch.setattr("hammerlib.training.trainer.whole_groups", gathered)
    assert one_run(tmp_path, rollout=own).status == "success"
    with pytest.raises(AssertionError, match="asked other"):
        one_run(tmp_path)


def test_rows_that_are_not_trained_touch_no_mean_and_no_deviation() -> None:
    rewards, groups = np.array([9.0, 1, 1, 0, 5]), np.array([UNTRAINED, 0, 0, 0, UNTRAINED])
    for scale in ("group", "batch", "none"):
        alone = group_advantages(rewards[1:4], groups[1:4], scale=scale)
        assert group_advantages(rewards, groups, scale=scale).tolist() == [0, *alone, 0]


def test_a_group_of_two_is_divided_by_its_deviation() -> None:
    # 1 and 0: half a point from the mean, deviation (ddof 1) sqrt(1/2).
    found = group_advantages(np.array([1.0, 0.0]), np.zeros(2, dtype=int), eps=0.0)
    assert found == pytest.approx([0.5**0.5, -(0.5**0.5)])


def test_each_process_gets_its_own_place_in_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    # Three prompts of two completions on two processes of three rows: the middle group straddles them.
    ones = np.ones(3)
    both = [
        Rollout(0, [{"id": name} for name in ids], list(ids), [[7]] * 3, [None] * 3, ones, ones, np.eye(3), 2)
        for ids in ("aab", "bcc")
    ]
    monkeypatch.setattr("hammerlib.training.trainer.gather_object", lambda own: both)
    for process, rollout in enumerate(both):
        whole, own = whole_groups(rollout, process)
        assert [row["id"] for row in whole.rows] == list("aabbcc")
        assert [row["id"] for row in whole.rows[own]] == [row["id"] for row in rollout.rows]


def test_the_mean_weight_is_of_the_own_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    # One group of copies, one of two different texts, on a process each.
    vectors = {"4": [1.0, 0.0], "four": [0.0, 1.0]}
    reward = DRAReward(
        accuracy_reward, lambda texts: np.array([vectors[text] for text in texts]), 2, deferred=True
    )
    held = []
    for texts in (["4", "4"], ["4", "four"]):
        reward(["2+2"] * 2, texts, answer=["4"] * 2)
        held += [reward.scored]
    monkeypatch.setattr("hammerlib.training.trainer.gather_object", lambda own: held)
    assert adjust_all(reward, 2, first=0)[1] == pytest.approx(0.5, abs=1e-5)
    assert adjust_all(reward, 2, first=2)[1] == pytest.approx(1.0, abs=1e-5)
