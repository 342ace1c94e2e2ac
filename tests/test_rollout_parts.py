"""What rollouts may hand over and share: own rewards, forced tokens, tasks, one token account, branches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from hammerlib.advantages import group_advantages
from hammerlib.errors import InputError
from hammerlib.models import load_backbone
from hammerlib.problems import load_problems
from hammerlib.runs import RunRecord
from hammerlib.study.trial import Curve
from hammerlib.systems.branching import branch, by_problem, random_generator, token_entropies
from hammerlib.training import Algorithm, Generation, Hooks, Rollout, TrainConfig, read_completions, train
from hammerlib.training import generation as generation_module
from hammerlib.training.build import build_trainer, quiet
from hammerlib.training.generation import (
    Call,
    filled_up,
    generate,
    in_lockstep,
    largest_call,
    score_tokens,
    shards_of,
)
from hammerlib.training.hooks import EXCLUDED
from hammerlib.training.logs import tokens_until
from hammerlib.training.preview import preview
from hammerlib.training.run import prepare
from hammerlib.training.trainer import PolicyTrainer

STEP = TrainConfig(
    n_problems=2,
    order="random",
    prompts_per_step=2,
    group_size=4,
    max_completion_length=12,
    learning_rate=1e-3,
    loss_type="dapo",
)


def make_trainer(folder: Path, config: TrainConfig = STEP, **hooks: Callable) -> PolicyTrainer:
    with quiet():
        job = prepare(config, algorithms=[Hooks(**hooks)], progress=False)
        return build_trainer(job, RunRecord("demo", folder, {}))


def run(root: Path, config: TrainConfig = STEP, **hooks: Callable) -> RunRecord:
    return train(config, root=root, algorithms=[Hooks(**hooks)], progress=False)


def metrics(record: RunRecord) -> pd.DataFrame:
    table = pd.read_csv(record.folder / "metrics.csv")
    return table.pivot_table(index="step", columns="metric", values="value")


def hand_made(**changed: object) -> Generation:
    rows = [{"id": name, "prompt": "p"} for name in "abc"]
    values = {"rows": rows, "prompt_ids": [[5]] * 3, "completion_ids": [[7, 7], [8], [9]]}
    return Generation(**(values | changed))


# What a generation holds


def test_own_rewards_forced_tokens_and_tasks_go_along() -> None:
    plain = hand_made()
    assert plain.rewards is None and plain.forced == [0, 0, 0] and plain.tasks == ["", "", ""]
    own = {"rewards": [None, 0.5, -1.0], "forced": [1, 0, 0], "tasks": ["", "vary", ""]}
    said = hand_made(**own, groups=[0, 1, EXCLUDED])
    assert np.isnan(said.rewards[0]) and said.rewards[1:].tolist() == [0.5, -1.0]
    turned = said.take([2, 0])
    assert turned.rewards[0] == -1.0 and turned.forced == [0, 1] and turned.tasks == ["", ""]
    both = Generation.join([plain, said])
    assert np.isnan(both.rewards[:4]).all() and both.rewards[4:].tolist() == [0.5, -1.0]
    assert both.forced == [0, 0, 0, 1, 0, 0] and both.tasks[4] == "vary"
    kept, excluded = said.split(2)
    assert kept.tasks == ["", "vary"] and excluded.rewards.tolist() == [-1.0]
    assert said.tokens() == {"sampled_tokens": 3, "forced_tokens": 1, "prompt_tokens": 3}


@pytest.mark.parametrize(("changed", "words"), [
    ({"rewards": [1.0, 2.0]}, "of one length"),
    ({"rewards": [1.0, np.inf, 0.0]}, "infinite"),
    ({"forced": [3, 0, 0]}, "forced"),
    ({"forced": [-1, 0, 0]}, "forced"),
    ({"tasks": ["a"]}, "of one length"),
])  # fmt: skip
def test_what_does_not_fit_a_generation_is_refused(changed: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        hand_made(**changed)


def test_a_generation_may_be_empty_on_its_way_but_not_a_batch() -> None:
    nothing = Generation([], [], [])
    assert len(Generation.join([nothing, hand_made()]).rows) == 3
    with pytest.raises(InputError, match="holds no completion"):
        nothing.split(2)


# Rewards of the rollout's own


@dataclasses.dataclass
class Rewarded:
    """Own rewards for the first problem's group, the reward functions for the second."""

    own: tuple[float, ...] = (3.0, -1.0, 0.25, 0.0)

    def __call__(self, rows: list[dict], trainer: PolicyTrainer) -> Generation:
        generation = generate(trainer, rows)
        generation.rewards = np.array([*self.own, *[np.nan] * 4])
        generation.tasks = ["vary"] * 4 + [""] * 4
        return generation


@pytest.mark.parametrize("weights", [(), (0.5, 2.0)])
def test_own_rewards_stand_in_place_of_the_weighted_sum(weights: tuple, tmp_path: Path) -> None:
    seen: list[Rollout] = []
    config = STEP
    if weights:
        config = dataclasses.replace(STEP, rewards=("accuracy", "format"), reward_weights=weights)
    trainer = make_trainer(tmp_path, config, rollout=Rewarded(), observe=lambda one: seen.append(one) or {})
    trainer.reward_funcs[0] = lambda completion_ids, **columns: [9.0] * 4 + [1.0, 0.0, 0.0, 1.0]
    trainer.train()
    rollout = seen[0]
    assert rollout.raw[:4] == pytest.approx([3.0, -1.0, 0.25, 0.0]) and rollout.tasks[:4] == ["vary"] * 4
    expected = group_advantages(rollout.raw, rollout.groups)
    assert rollout.advantages.tolist() == pytest.approx(expected.tolist(), abs=1e-5)
    logged = trainer.state.log_history[0]
    mean = next(value for name, value in logged.items() if name.startswith("rewards/") and "/mean" in name)
    assert mean == 0.5  # of the rows that the function decided


def test_own_rewards_enter_before_dra(tmp_path: Path) -> None:
    tables = {}
    for route in ("reward", "trainer"):
        config = dataclasses.replace(STEP, adjustment="dra", dra_route=route)
        record = run(tmp_path / route, config, rollout=Rewarded())
        tables[route] = table = read_completions(record.folder)
        assert table.reward_raw[:4].tolist() == [3.0, -1.0, 0.25, 0.0] and table.task[:4].eq("vary").all()
        assert (table.weight[:3] < 1).all() and table.reward[0] < 3.0
        assert metrics(record)["raw/accuracy_reward"][1] == table.reward_raw[4:].mean()
    pd.testing.assert_series_equal(tables["reward"].reward, tables["trainer"].reward)


# One token account


@dataclasses.dataclass
class Guided:
    """Half of the completions from a forced start, and a probe that is thrown away."""

    probe: bool = True

    def __call__(self, rows: list[dict], trainer: PolicyTrainer) -> Generation:
        if self.probe:
            self.thrown = generate(trainer, rows[:1]).tokens()
        prefixes = [[7, 8, 9] if place % 2 else [] for place in range(len(rows))]
        generation = generate(trainer, rows, prefixes=prefixes)
        generation.groups = np.array([0] * 4 + [EXCLUDED] * 4)
        return generation


def test_the_account_counts_what_was_sampled_and_nothing_twice(tmp_path: Path) -> None:
    rollout = Guided()
    thrown = []

    def watched(rows: list[dict], trainer: PolicyTrainer) -> Generation:
        generation = rollout(rows, trainer)
        thrown.append(rollout.thrown)
        return generation

    config = dataclasses.replace(STEP, n_problems=4, num_iterations=2, max_steps=4)
    record = run(tmp_path, config, rollout=watched)
    table = read_completions(record.folder)
    steps = metrics(record)
    prompt = {row["id"]: len(load_backbone("nano").tokenizer(row["prompt"])["input_ids"])
              for row in load_problems(config.problems, split="rl", n=4)}  # fmt: skip
    # Those left out fill the batch up: all eight of a step are kept once.
    assert len(table) == 2 * 8 and (table.forced.to_numpy().reshape(2, 8) == [0, 3] * 4).all()
    sampled = (table.n_tokens - table.forced).groupby(table.step).sum()
    prompts = table.id.map(prompt).groupby(table.step).sum()
    by_hand = {
        "sampled_tokens": sampled + [one["sampled_tokens"] for one in thrown],
        "forced_tokens": table.forced.groupby(table.step).sum(),
        "prompt_tokens": prompts + [one["prompt_tokens"] for one in thrown],
    }
    for name, each in by_hand.items():
        # Steps 2 and 4 train on the batch of the step before: the account stands still.
        assert steps[name].tolist() == np.repeat(each.cumsum(), 2).tolist(), name
    assert steps["generated_tokens"].dropna().tolist() == sampled.tolist()
    assert tokens_until(record.folder, 2)["sampled_tokens"] == steps["sampled_tokens"][2]
    assert tokens_until(record.folder, 0)["sampled_tokens"] == 0


def test_a_plain_run_counts_all_its_tokens(tmp_path: Path) -> None:
    config = dataclasses.replace(STEP, n_problems=4)
    record = run(tmp_path, config)
    steps, table = metrics(record), read_completions(record.folder)
    assert steps["sampled_tokens"].tolist() == table.groupby("step").n_tokens.sum().cumsum().tolist()
    assert (steps["forced_tokens"] == 0).all() and (table.task == "").all()
    # TRL's own count holds the prompts and every completion, here all trained.
    assert (steps["sampled_tokens"] + steps["prompt_tokens"]).tolist() == steps["tokens"].tolist()


@dataclasses.dataclass
class Stopped(Algorithm):
    """Ends the run by an error at its third step, once."""

    flag: str

    def observe(self, rollout: Rollout) -> dict[str, float]:
        if rollout.step == 2 and not Path(self.flag).exists():
            Path(self.flag).touch()
            raise KeyboardInterrupt
        return {}


def test_a_resumed_run_counts_on_from_its_checkpoint(tmp_path: Path) -> None:
    config = dataclasses.replace(STEP, n_problems=8, save_steps=2)
    options = {"root": tmp_path, "algorithms": [Stopped(str(tmp_path / "flag"))], "progress": False}
    with pytest.raises(KeyboardInterrupt):
        train(config, **options)
    record = train(config, **options)
    assert record.manifest["resumed_from_step"] == 2
    plain = metrics(run(tmp_path / "plain", config))
    names = ["sampled_tokens", "forced_tokens", "prompt_tokens"]
    pd.testing.assert_frame_equal(metrics(record)[names], plain[names])


def test_a_run_ends_with_its_budget_of_sampled_tokens(tmp_path: Path) -> None:
    config = dataclasses.replace(STEP, n_problems=16, num_iterations=2)
    whole = metrics(run(tmp_path / "whole", config))
    spent = whole["sampled_tokens"]
    assert len(spent) == 16
    # A token more than two generation batches: the third is needed, and its second pass is trained too.
    budget = dataclasses.replace(config, token_budget=int(spent[4]) + 1)
    record = run(tmp_path / "budget", budget)
    assert metrics(record)["sampled_tokens"].tolist() == spent[:6].tolist()
    assert record.manifest["whole_epoch"] is False and record.metrics["steps"]["value"] == 6
    assert "token_budget" not in config.identity() and budget.identity()["token_budget"] == spent[4] + 1
    assert f"ends before, after {int(spent[4]) + 1:,} sampled tokens" in preview(
        prepare(budget, progress=False)
    )


def test_a_curve_is_examined_at_marks_of_sampled_tokens() -> None:
    curve = Curve(lambda model: {"correct": [0]}, [0, 100, 200, 300], in_tokens=True)
    curve.model = lambda: None
    steps = []
    for step, total in enumerate([40, 90, 130, 290, 310]):  # after the batch of this step
        trainer = SimpleNamespace(tokens={"sampled_tokens": total})
        curve.observe(SimpleNamespace(trainer=trainer, step=step, rows=[{}], excluded=None))
        steps.append(len(curve.points))
    # Before the batches of step 3 (130 sampled) and step 4 (290), which is past two marks only at its end.
    assert steps == [1, 1, 1, 2, 3] and [point["step"] for point in curve.points] == [0, 3, 4]


# Branches


def test_branches_continue_the_same_completions_on_token_ids(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, dataclasses.replace(STEP, temperature=1e-4))  # as good as greedy
    rows = [trainer.train_dataset[k] for k in (0, 1)]
    trunks = generate(trainer, rows)
    trunks.tasks = ["", "vary"]
    trunks.groups = np.array([4, 7])
    positions = [3, 0]
    branches = branch(trainer, trunks, positions, 2)
    assert branches.completion_ids == [ids for ids in trunks.completion_ids for _ in range(2)]
    assert branches.forced == [3, 3, 0, 0] and branches.mask[0][:4] == [0, 0, 0, 1] and all(branches.mask[2])
    assert branches.tasks == ["", "", "vary", "vary"] and branches.groups.tolist() == [4, 4, 7, 7]
    assert all(map(all, branch(trainer, trunks, positions, 1, train_prefix=True).mask))
    joint = by_problem(trunks, branches)
    assert [row["id"] for row in joint.rows] == [rows[k]["id"] for k in (0, 0, 0, 1, 1, 1)]
    assert joint.forced == [0, 3, 3, 0, 0, 0] and joint.groups.tolist() == [4] * 3 + [7] * 3
    for wrong in ([1], [1, len(trunks.completion_ids[1])], [-1, 0]):
        with pytest.raises(InputError, match="positions"):
            branch(trainer, trunks, wrong, 2)
    with pytest.raises(InputError, match="not those of the rows"):
        branch(trainer, dataclasses.replace(trunks, prompt_ids=[[5], [5]]), positions, 2)


def test_entropies_are_those_of_one_completion_at_a_time(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, dataclasses.replace(STEP, temperature=0.7))
    trunks = generate(trainer, [trainer.train_dataset[k] for k in (0, 1, 0)])
    found = token_entropies(trainer, trunks, rows=2)
    assert token_entropies(trainer, Generation([], [], [])) == []
    for place, entropies in enumerate(found):
        single = trunks.prompt_ids[place : place + 1], trunks.completion_ids[place : place + 1]
        alone = score_tokens(trainer.model, *single, temperature=0.7)[1].detach().numpy()[0]
        assert entropies == pytest.approx(alone, abs=1e-4) and len(entropies) == len(single[1][0])
        assert (entropies < np.log(trainer.model.config.vocab_size)).all()
    assert torch.is_grad_enabled()


def test_choices_repeat_with_the_step_and_differ_in_everything_else() -> None:
    def at(seed: int = 0, step: int = 3, process: int = 0) -> SimpleNamespace:
        state, accelerator = SimpleNamespace(global_step=step), SimpleNamespace(process_index=process)
        return SimpleNamespace(args=SimpleNamespace(seed=seed), state=state, accelerator=accelerator)

    def draw(trainer: SimpleNamespace, name: str = "cut") -> int:
        return int(random_generator(trainer, name).integers(2**60))

    trainer = at()
    first, second = draw(trainer), draw(trainer)
    assert [first, second] == [draw(again := at()), draw(again)]  # as after a kill in the middle of a step
    trainer.state.global_step = 4
    others = [second, draw(trainer), draw(at(seed=1)), draw(at(process=1)), draw(at(), "other")]
    assert len({first, *others}) == 6


# Engines that several processes share


class SharedEngine:
    """Two processes on one engine that hands out results as TRL does: by index times own prompts."""

    def __init__(self, process: int, mode: str = "server", parallel: int = 1) -> None:
        self.process, self.others, self.asked = process, None, []
        self.accelerator = SimpleNamespace(num_processes=2, process_index=process)
        self.use_vllm, self.vllm_mode, self.vllm_tensor_parallel_size = True, mode, parallel
        self.vllm_generation = SimpleNamespace(max_completion_length=8)
        self.max_completion_length, self.eos_token_ids = 8, [1]
        self.counted = []

    def _tokenize_prompts(self, prompts: list[str]) -> tuple:
        return [[int(prompt)] for prompt in prompts], None, {}

    def _generate_single_turn(self, contexts: list, images: object, fields: dict, n: int) -> tuple:
        self.asked = contexts
        whole = contexts if self.others is None else self.others
        first = self.process * len(contexts) if self.others is not None else 0
        room = self.vllm_generation.max_completion_length
        said = [[100 + ids[0]] * room for ids in whole[first : first + len(contexts)]]
        return said, [[-0.5] * len(ids) for ids in said]

    def count_tokens(self, generation: Generation) -> None:
        self.counted.append(generation.tokens()["sampled_tokens"])


@pytest.mark.parametrize(("mode", "parallel"), [("server", 1), ("colocate", 2)])
def test_processes_ask_a_shared_engine_for_equally_many_and_get_their_own(
    mode: str, parallel: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [[{"id": "a", "prompt": "10"}, {"id": "b", "prompt": "20"}, {"id": "c", "prompt": "30"}], []]
    prefixes = [[[5, 6, 7], [], [5, 6]], []]
    engines = [SharedEngine(process, mode, parallel) for process in (0, 1)]
    calls = [(3, 8, 4, 0), (0, 0, 0, 0)]

    def gathered(own: list) -> list:
        assert own[0] in calls
        return calls

    monkeypatch.setattr("hammerlib.training.generation.gather_object", gathered)
    for engine, own, starts in zip(engines, rows, prefixes, strict=True):
        generate(engine, own, prefixes=starts)
    assert [len(engine.asked) for engine in engines] == [3, 3] and engines[1].asked == [[1]] * 3
    for engine in engines:
        engine.others = engines[0].asked + engines[1].asked
    first, second = (generate(engines[k], rows[k], prefixes=prefixes[k]) for k in (0, 1))
    assert first.completion_ids == [[5, 6, 7] + [110] * 5, [120] * 8, [5, 6] + [130] * 6]
    assert first.logprobs == [[None] * 3 + [-0.5] * 5, [-0.5] * 8, [None] * 2 + [-0.5] * 6]
    assert second.rows == [] and engines[1].counted == [0, 0] and engines[0].counted[1] == 5 + 8 + 6
    assert engines[0].vllm_generation.max_completion_length == 8


def test_engines_of_ones_own_are_asked_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = SharedEngine(0, "colocate")
    monkeypatch.setattr(
        "hammerlib.training.generation.gather_object", lambda own: pytest.fail("asked others")
    )
    assert not in_lockstep(engine)
    generate(engine, [{"id": "a", "prompt": "10"}])
    assert len(engine.asked) == 1 and len(generate(engine, []).rows) == 0
    zero = SimpleNamespace(zero_stage=2)
    engine.accelerator.state = SimpleNamespace(deepspeed_plugin=zero, fsdp_plugin=None)
    assert shards_of(engine.accelerator) is None and not in_lockstep(engine)
    zero.zero_stage = 3
    assert shards_of(engine.accelerator) == "ZeRO-3" and in_lockstep(engine)
    engine.accelerator.state = SimpleNamespace(deepspeed_plugin=None, fsdp_plugin=object())
    assert shards_of(engine.accelerator) == "FSDP" and in_lockstep(engine)
    engine.accelerator.num_processes = 1
    assert not in_lockstep(engine)


def test_what_a_server_cannot_read_is_refused_before_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"id": "a", "prompt": "10"}, {"id": "b", "prompt": "20"}]
    # one token of prompt, three of prefix, and room for eight more, which the row without a prefix has
    prefixes = [[5, 6, 7], []]
    engine = SharedEngine(0, "server")
    engine.accelerator.num_processes = 1
    engine.server_reads = 12
    assert len(generate(engine, rows, prefixes=prefixes).completion_ids) == 2
    engine.server_reads, engine.asked = 11, None
    with pytest.raises(InputError, match=r"^max-model-len = 11: .* prefix of 4 .* need 12; start") as caught:
        generate(engine, rows, prefixes=prefixes)
    assert engine.asked is None and "\n" not in str(caught.value)
    generate(engine, rows, prefixes=[[5, 6, 7], [5, 6, 7]])  # of equal length none asks for too much
    # the process that asks the server alone knows its length, the other one has the long prefix
    other = SharedEngine(1, "server")
    calls = [(1, 8, 1, 11), (1, 5, 4, 0)]
    monkeypatch.setattr(
        "hammerlib.training.generation.gather_object", lambda own: [Call(*one) for one in calls]
    )
    with pytest.raises(InputError, match=r"max-model-len = 11: .* prefix of 4"):
        generate(other, rows[:1], prefixes=prefixes[:1])
    assert not other.asked


def test_calls_are_filled_up_to_the_largest() -> None:
    calls = [Call(3, 5, 9), Call(0, 0, 0, 64), Call(7, 2, 4)]
    assert largest_call(calls) == Call(count=7, room=5, longest=9, reads=64)
    assert filled_up([[4, 5]], 3, 1) == [[4, 5], [1], [1]] and filled_up([[4]], 1, 1) == [[4]]


def test_entropies_of_a_sharded_policy_take_as_many_passes_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(tmp_path)
    trunks = generate(trainer, [trainer.train_dataset[k] for k in (0, 1, 0)])
    alone = token_entropies(trainer, trunks, rows=2)
    passes = []
    monkeypatch.setattr("hammerlib.training.generation.shards_of", lambda accelerator: "FSDP")
    monkeypatch.setattr("hammerlib.training.generation.gather_object", lambda own: [*own, 4])
    scored = generation_module.score_tokens
    monkeypatch.setattr(
        "hammerlib.training.generation.score_tokens",
        lambda *tokens, **named: passes.append(len(tokens[2])) or scored(*tokens, **named),
    )
    together = token_entropies(trainer, trunks, rows=2)
    assert passes == [2, 1, 1, 1]
    assert all((ours == theirs).all() for ours, theirs in zip(together, alone, strict=True))
