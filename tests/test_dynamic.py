"""Dynamic sampling: what is trained varies, the order is kept, nothing is lost or trained twice."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from trainer_cases import audited
from transformers import TrainerControl, TrainerState

from hammerlib.errors import InputError
from hammerlib.ordering import Order
from hammerlib.problems import load_problems
from hammerlib.runs import RunRecord
from hammerlib.training import Algorithm, Generation, Hooks, TrainConfig, schedule_table, train
from hammerlib.training.dynamic import DynamicSampling
from hammerlib.training.dynamic import walked as cursor_of
from hammerlib.training.generation import generate
from hammerlib.training.hooks import EXCLUDED
from hammerlib.training.schedule import plan
from hammerlib.training.trainer import PolicyTrainer

WALK = TrainConfig(
    n_problems=16,
    order="random",
    prompts_per_step=2,
    group_size=3,
    max_completion_length=40,
    learning_rate=1e-3,
    dynamic_sampling=True,
    save_steps=1,
)


def table(record: RunRecord, name: str) -> pd.DataFrame:
    return pd.read_csv(record.folder / f"{name}.csv")


def trained_in(record: RunRecord) -> pd.DataFrame:
    """The index log without what was dropped."""
    return table(record, "index_log").query("step > 0").reset_index(drop=True)


def values(record: RunRecord, name: str) -> list[float]:
    found = table(record, "metrics")
    return found[found.metric == name]["value"].tolist()


def completions(record: RunRecord) -> pd.DataFrame:
    return pd.concat(
        pd.read_parquet(one) for one in sorted((record.folder / "completions").glob("*.parquet"))
    )


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunRecord]:
    yield train(WALK, root=tmp_path_factory.mktemp("runs"), progress=False)


def test_every_trained_group_holds_right_and_wrong_answers(walked: RunRecord) -> None:
    trained = completions(walked).query("trained")
    assert trained.groupby(["step", "group"])["correct"].nunique().eq(2).all()
    assert trained.groupby(["step", "group"])["id"].nunique().eq(1).all()
    assert set(values(walked, "zero_variance_share")) == {0.0}


def test_the_walk_keeps_the_order_and_leaves_nothing_out(walked: RunRecord) -> None:
    trained, skipped = trained_in(walked), table(walked, "skipped")
    assert (
        len(skipped) > 0
        and trained.position.is_monotonic_increasing
        and skipped.position.is_monotonic_increasing
    )
    assert sorted([*trained.position, *skipped.position]) == list(range(16))  # the whole order, once
    order = Order.load(walked.folder / "order.json")
    problems = load_problems(WALK.problems, split="rl", n=16)
    for row in pd.concat([trained, skipped]).itertuples():
        assert row.index == row[0] or problems[int(order.permutation[row.position])]["id"] == row.id
    first = trained.groupby("step")["position"].min().tolist()
    assert first == sorted(first) and len(first) < 8  # fewer steps than 16 / 2
    assert walked.manifest["tail_dropped"] == [] and "skipped.csv" in {
        one["path"] for one in walked.manifest["artefacts"]
    }


def test_the_index_log_says_what_was_dropped_and_why(walked: RunRecord) -> None:
    dropped, skipped = table(walked, "index_log").query("step < 0"), table(walked, "skipped")
    told = dropped[["generated", "epoch", "position", "index", "id", "dropped"]].to_numpy().tolist()
    assert told == skipped.to_numpy().tolist() and dropped["finished"].equals(dropped["generated"])
    kept = trained_in(walked)
    assert kept["generated"].equals(kept["step"]) and kept["dropped"].isna().all()
    found = audited(walked.folder)
    assert found.kept and f"{len(skipped)} problems were generated and not trained" in str(found)


def test_the_reasons_and_the_budget_are_those_of_the_completions(walked: RunRecord) -> None:
    said = completions(walked).query("not trained").groupby("id")["correct"].agg(["min", "max"])
    for row in table(walked, "skipped").itertuples():
        kept = said.loc[row.id]
        assert row.reason == ("all correct" if kept["min"] else "none correct") and kept["min"] == kept["max"]
    skipped, generated, trained = (values(walked, name) for name in ("skipped", "generated", "trained"))
    assert sum(generated) == 3 * 16 and sum(trained) == 3 * len(trained_in(walked))
    assert sum(skipped) == len(table(walked, "skipped")) == (sum(generated) - sum(trained)) / 3
    kept = completions(walked)
    assert len(kept) >= 3 * 16
    generated_tokens = kept.groupby("id").head(3)["n_tokens"].sum()  # what fills up a batch is a copy
    assert sum(values(walked, "generated_tokens")) == generated_tokens


KILLED = """
import os, signal, sys
from pathlib import Path
from hammerlib.training import train
from hammerlib.training.trainer import PolicyTrainer
sys.path.insert(0, {tests!r})
from test_dynamic import WALK
inner, calls = PolicyTrainer._compute_loss, []
def die(self, *args, **kwargs):
    calls.append(1)
    if len(calls) == {call}:
        os.kill(os.getpid(), signal.SIGKILL)
    return inner(self, *args, **kwargs)
PolicyTrainer._compute_loss = die
train(WALK, root=Path({root!r}), progress=False)
"""


@pytest.mark.long
def test_a_killed_walk_goes_on_where_its_checkpoint_left_it(walked: RunRecord, tmp_path: Path) -> None:
    last = len(values(walked, "trained"))
    code = KILLED.format(tests=str(Path(__file__).parent), call=last, root=str(tmp_path))
    died = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert died.returncode == -signal.SIGKILL, died.stderr[-2000:]
    again = train(WALK, root=tmp_path, progress=False)
    assert again.manifest["resumed_from_step"] == last - 1
    assert audited(again.folder).kept
    for name in ("index_log", "skipped"):
        pd.testing.assert_frame_equal(table(again, name), table(walked, name), check_exact=True)
    theirs, ours = (
        table(one, "metrics").query("not metric.str.startswith('seconds')") for one in (walked, again)
    )
    pd.testing.assert_frame_equal(
        ours.reset_index(drop=True), theirs.reset_index(drop=True), check_exact=True
    )
    weights = [(one.folder / "model" / "model.safetensors").read_bytes() for one in (again, walked)]
    assert weights[0] == weights[1]


@dataclasses.dataclass
class Scripted:
    """Says the answer in so many completions of each group, by the problem's place in the order."""

    right: tuple[int, ...] = (0,)

    def __call__(self, rows: list[dict], trainer: PolicyTrainer) -> Generation:
        place_of = {one: place for place, one in enumerate(trainer.train_dataset["id"][:])}
        good = [k % 3 < self.right[place_of[row["id"]]] for k, row in enumerate(rows)]
        said = [f"\\boxed{{{row['answer']}}}" if one else "no" for row, one in zip(rows, good, strict=True)]
        prompts, ids = (
            trainer.processing_class(one)["input_ids"] for one in ([row["prompt"] for row in rows], said)
        )
        return Generation(rows, prompts, [[*one, trainer.eos_token_ids[0]] for one in ids])


def test_when_nothing_varies_the_rounds_end_and_nothing_is_trained(tmp_path: Path) -> None:
    config = dataclasses.replace(WALK, n_problems=4, refill_rounds=1, save_steps=None)
    record = train(config, root=tmp_path, algorithms=[Hooks(rollout=Scripted((0,) * 4))], progress=False)
    assert len(trained_in(record)) == 0 and table(record, "skipped").reason.tolist() == ["none correct"] * 4
    assert values(record, "trained") == [0, 0] and values(record, "grad_norm") == [0, 0]
    assert values(record, "refill_rounds") == [1, 1] and not completions(record).trained.any()


def test_the_last_batch_is_filled_up_with_masked_rows_and_epochs_follow_on(tmp_path: Path) -> None:
    shape = {
        "steps_per_generation": 2,
        "prompts_per_step": 1,
        "epochs": 2,
        "save_steps": None,
        "n_problems": 4,
    }
    config = dataclasses.replace(WALK, **shape)  # batches of two problems, each trained in two steps
    record = train(config, root=tmp_path, algorithms=[Hooks(rollout=Scripted((1, 3, 2, 0)))], progress=False)
    trained, skipped = trained_in(record), table(record, "skipped")
    told = [tuple(row) for row in trained[["step", "epoch", "position"]].to_numpy()]
    assert told == [(1, 0, 0), (1, 0, 2), (2, 0, 0), (2, 0, 2), (3, 1, 0), (3, 1, 2), (4, 1, 0), (4, 1, 2)]
    left = [tuple(row) for row in skipped[["step", "epoch", "position", "reason"]].to_numpy()]
    assert left == [
        (1, 0, 1, "all correct"),
        (3, 0, 3, "none correct"),
        (3, 1, 1, "all correct"),
        (5, 1, 3, "none correct"),
    ]
    assert values(record, "trained") == [6, 6, 0] and values(record, "generated") == [9, 12, 3]
    assert trained["generated"].tolist() == [1] * 4 + [3] * 4 and audited(record.folder).kept
    last = completions(record).query("step == 5")
    assert len(last) == 6 and not last.trained.any()  # the group left out, and copies to fill the batch


def test_the_order_may_end_in_the_first_of_several_batches_of_a_step(tmp_path: Path) -> None:
    shape = {"gradient_accumulation": 2, "steps_per_generation": 1, "group_size": 4, "n_problems": 4}
    config = dataclasses.replace(WALK, **shape, save_steps=None)
    record = train(config, root=tmp_path, algorithms=[Hooks(rollout=Scripted((0,) * 4))], progress=False)
    assert len(table(record, "skipped")) == 4 and len(trained_in(record)) == 0
    assert values(record, "generated") == [16 / 2]  # mean of the step's two batches, the second empty
    assert record.manifest["tail_dropped"] == [] and audited(record.folder).kept
    assert table(record, "index_log")["dropped"].tolist() == ["none correct"] * 4  # each once


def test_problems_that_the_walk_does_not_come_to_are_named(tmp_path: Path) -> None:
    config = dataclasses.replace(WALK, n_problems=5, tail="report", save_steps=None)
    record = train(config, root=tmp_path, algorithms=[Hooks(rollout=Scripted((1,) * 5))], progress=False)
    seen = {*trained_in(record).id, *table(record, "skipped").id}
    every = load_problems(config.problems, split=config.split, n=5, seed=0)["id"][:]
    assert record.manifest["tail_dropped"] == [one for one in every if one not in seen] and len(seen) == 4


def test_dra_adjusts_what_was_chosen_by_its_answers(tmp_path: Path) -> None:
    config = dataclasses.replace(WALK, n_problems=4, adjustment="dra", save_steps=None)
    record = train(config, root=tmp_path, algorithms=[Hooks(rollout=Scripted((1, 3, 2, 0)))], progress=False)
    assert trained_in(record).position.tolist() == [0, 2] and len(table(record, "skipped")) == 2
    said = completions(record).query("step == 1 and trained")
    assert (said.reward[said.correct] < 1).all() and (said.reward[~said.correct] == 0).all()


def test_forced_prefixes_go_together_with_it_and_other_rows_are_refused(tmp_path: Path) -> None:
    def guided(rows: list[dict], trainer: PolicyTrainer) -> Generation:
        return generate(trainer, rows, prefixes=[[7] if place % 2 else [] for place in range(len(rows))])

    config = dataclasses.replace(WALK, n_problems=4, max_steps=1, save_steps=None)
    record = train(config, root=tmp_path, algorithms=[Hooks(rollout=guided)], progress=False)
    assert record.status == "success"

    def other(rows: list[dict], trainer: PolicyTrainer) -> Generation:
        return generate(trainer, rows[::-1])

    with pytest.raises(InputError, match="not those it was given"):
        train(config, root=tmp_path, algorithms=[Hooks(rollout=other)], progress=False)


@dataclasses.dataclass
class Sized(Scripted, Algorithm):
    """Groups of its own: so many completions of each problem, the first of them recorded only."""

    sizes: tuple[int, ...] = (2, 4, 3, 5)
    joined: bool = False  # one group over all problems
    foreign: bool = False  # of a problem that was not given

    def most_rows(self, config: TrainConfig) -> int:
        return max(self.sizes)

    def rollout(self, rows: list[dict], trainer: PolicyTrainer) -> Generation:
        place_of = {one: place for place, one in enumerate(trainer.train_dataset["id"][:])}
        chosen, groups = [], []
        for number, row in enumerate(rows[:: trainer.num_generations]):
            size = self.sizes[place_of[row["id"]]]
            row = {**row, "id": "made"} if self.foreign else row
            chosen += [row] * (size + 1)
            groups += [EXCLUDED] + [0 if self.joined else 5 + number] * size
        right = iter(range(10**6))
        said = []
        for row, group in zip(chosen, groups, strict=True):
            place = place_of.get(row["id"], 0)
            if group == EXCLUDED:
                right = iter(range(10**6))  # the next problem's completions are counted from 0
            good = group != EXCLUDED and next(right) < self.right[place]
            said.append(f"\\boxed{{{row['answer']}}}" if good else "no")
        prompts = trainer.processing_class([row["prompt"] for row in chosen])["input_ids"]
        ids = trainer.processing_class(said)["input_ids"]
        ends = [[*one, trainer.eos_token_ids[0]] for one in ids]
        return Generation(chosen, prompts, ends, groups=groups)


def test_groups_of_its_own_are_filtered_whole_whatever_their_size(tmp_path: Path) -> None:
    config = dataclasses.replace(WALK, n_problems=4, save_steps=None)
    record = train(config, root=tmp_path, algorithms=[Sized((1, 4, 2, 0))], progress=False)
    trained, skipped = trained_in(record), table(record, "skipped")
    assert trained.position.tolist() == [0, 2] and skipped.position.tolist() == [1, 3]
    assert audited(record.folder).kept
    assert skipped.reason.tolist() == ["all correct", "none correct"]
    first = completions(record).query("step == 1")
    groups = first.query("trained").groupby("group")
    assert groups.size().tolist() == [2, 3] and groups["correct"].sum().tolist() == [1, 2]
    assert groups["id"].nunique().tolist() == [1, 1]
    # One row of each problem beside, and the four of the group that did not vary.
    assert (~first["trained"]).sum() == 3 + 4
    assert values(record, "generated") == [3 + 5 + 4, 6] and values(record, "trained") == [5, 0]


def test_more_rows_than_planned_go_together_with_it(tmp_path: Path) -> None:
    config = dataclasses.replace(WALK, n_problems=2, save_steps=None, loss_type="grpo")
    record = train(config, root=tmp_path, algorithms=[Sized((1, 1), sizes=(4, 5))], progress=False)
    assert values(record, "trained") == [9] and len(table(record, "skipped")) == 0
    assert completions(record).query("trained").groupby("group").size().tolist() == [4, 5]


@pytest.mark.parametrize("wrong", [{"joined": True}, {"foreign": True}])
def test_groups_that_are_not_of_one_given_problem_are_refused(wrong: dict, tmp_path: Path) -> None:
    config = dataclasses.replace(WALK, n_problems=2, save_steps=None)
    with pytest.raises(InputError, match="not of one problem it was given"):
        train(config, root=tmp_path, algorithms=[Sized((1, 1), sizes=(2, 2), **wrong)], progress=False)


def test_no_schedule_is_told_beforehand_and_several_processes_are_refused() -> None:
    with pytest.raises(InputError, match="cannot be scheduled before"):
        schedule_table(WALK, 16)
    with pytest.raises(InputError, match="on one process, not on 2"):
        plan(WALK, 16, processes=2)


def test_the_cursor_counts_problems_of_earlier_epochs(tmp_path: Path) -> None:
    (tmp_path / "index_log.csv").write_text("step,epoch,process,position,id\n1,0,0,7,h\n2,1,0,1,b\n")
    assert cursor_of(tmp_path, 8) == 8 + 2
    (tmp_path / "skipped.csv").write_text("step,epoch,position,index,id,reason\n2,1,4,4,e,all correct\n")
    assert cursor_of(tmp_path, 8) == 8 + 5


def test_a_walk_that_ended_trains_the_rest_of_its_generation_batch(tmp_path: Path) -> None:
    config = dataclasses.replace(WALK, gradient_accumulation=1, steps_per_generation=2, save_steps=None)
    walk = DynamicSampling(tmp_path, plan(config, 16), config, range(16), Hooks())
    walk.cursor = walk.end
    stops = []
    for step in (1, 2):
        control = TrainerControl(should_save=True)
        walk.on_step_end(None, TrainerState(global_step=step), control)
        stops.append(control.should_training_stop)
    assert stops == [False, True]
