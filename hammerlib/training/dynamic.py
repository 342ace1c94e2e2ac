"""Training that leaves one pass in a fixed order: dynamic sampling along it, and a new order every epoch.

A cursor walks the order. A generation batch needs K groups; those whose completions are all right or all
wrong are left out, and as many of the next problems are sampled, until K groups differ within themselves. So
every batch holds, in the order, the first K problems from the cursor on that can teach something; none is
generated twice in an epoch and none is trained twice.

Reordering is one TRL run over all epochs: the dataset holds places, and a transform looks up which problem
stands there in the order of the current epoch; a callback changes that order before an epoch's first batch
is fetched.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback

from hammerlib.advantages import rows_by_size
from hammerlib.errors import InputError
from hammerlib.models import weights_hash
from hammerlib.models.embedder import policy_as_backbone
from hammerlib.ordering import Order
from hammerlib.runs import workroom
from hammerlib.runs.storage import appending
from hammerlib.training.generation import generate, judge
from hammerlib.training.hooks import EXCLUDED, Algorithm, Generation, Hooks, Rollout
from hammerlib.training.logs import SKIPPED
from hammerlib.training.rollout import reason_to_skip
from hammerlib.training.schedule import ids_of, make_order, order_path

if TYPE_CHECKING:
    import datasets
    import torch

    from hammerlib.runs import RunRecord
    from hammerlib.training.config import TrainConfig
    from hammerlib.training.logs import IndexLog
    from hammerlib.training.run import Job
    from hammerlib.training.schedule import Plan
    from hammerlib.training.trainer import PolicyTrainer


class DynamicSampling(Algorithm, TrainerCallback):
    """The rollout that fills each generation batch with groups that vary, and ends with the order.

    Generation itself is another rollout's where there is one: it returns the rows it was given, or groups of
    its own, of any size, each of one problem that it was given. Whole groups are left out; a problem is
    skipped if none of its groups varies, and written to ``skipped.csv`` and, as dropped, to the index log. If
    the rounds or the problems run out first, the batch is filled up with left-out groups (or, where a step
    takes several batches, after the end with copies of one completion), all of whose tokens are masked: they
    count in the mean over rows of the losses ``grpo`` and ``dr_grpo``, not in the token mean of ``dapo``. It
    walks on one process only. Training stops after the batch that reaches the end of the last epoch; the
    learning rate's schedule still spans the steps that were planned.

    Source: arXiv 2503.14476 Section 3.2. verl's recipe generates several batches at once and drops what is
    too much; here no group that varies is lost. `refill_rounds` is verl's ``max_num_gen_batches``, where it
    raises.
    """

    HEAD = ("step", "epoch", "position", "index", "id", "reason")

    def __init__(
        self, folder: Path, plan: Plan, config: TrainConfig, index: Sequence[int], inner: Hooks
    ) -> None:
        self.path = folder / SKIPPED
        self.plan = plan
        self.index = index
        self.inner = inner
        self.limit = config.refill_rounds
        self.end = len(index) * config.epochs
        self.cursor = walked(folder, len(index))
        self.rounds = self.skipped = 0
        if not self.path.exists():
            self._write([self.HEAD])

    def rollout(self, rows: list[dict[str, Any]], trainer: PolicyTrainer) -> Generation:
        """Walk on until len(rows) / G groups vary, or the rounds or the order end."""
        wanted = len(rows) // self.plan.group
        varied = groups = 0
        rounds = []
        self.rounds = self.skipped = 0
        # TRL asks once per generation batch. A step may need several, and the order end between two of them.
        if self.cursor >= self.end:  # a further batch of the step in which the order ended
            return dataclasses.replace(self._last.take([0]), groups=np.array([EXCLUDED]))
        while varied < wanted and self.rounds < self.limit and self.cursor < self.end:
            # just as many problems as groups are missing: none is sampled that is not needed
            walk = range(self.cursor, min(self.cursor + wanted - varied, self.end))
            generation, reasons = self._sampled(walk, trainer)
            kept = generation.groups != EXCLUDED
            generation.groups[kept] += groups  # numbered on over the rounds
            groups = max(groups, int(generation.groups.max()) + 1)
            rounds.append(generation)
            lines = []
            for k, (problem, reason) in zip(walk, reasons.items(), strict=True):
                if reason is not None:
                    epoch, position = divmod(k, len(self.index))
                    where = (trainer.state.global_step + 1, epoch, position, self.index[position])
                    lines.append((*where, problem, reason))
            self.skipped += len(lines)
            self._write(lines)
            trainer.index_log.drop((epoch, problem, reason) for _, epoch, _, _, problem, reason in lines)
            varied += sum(reason is None for reason in reasons.values())
            self.rounds = self.rounds + 1
            self.cursor = walk.stop
        self._last = Generation.join(rounds)
        return self._last

    def on_step_end(self, args: object, state: Any, control: Any, **kwargs: object) -> None:
        """End training when the order has ended and what it gave is trained.

        The last step is not saved: a run killed after it repeats from an earlier checkpoint.
        """
        if self.cursor >= self.end and self.plan.resumes_exactly(state.global_step):
            control.should_training_stop = True
            control.should_save = False

    def _sampled(self, walk: range, trainer: PolicyTrainer) -> tuple[Generation, dict[str, str | None]]:
        """Generate and judge the problems at `walk`; groups that do not vary are recorded, not trained."""
        n = len(self.index)
        size = self.plan.group
        rows = [{**trainer.train_dataset[k % n], "epoch": k // n}
                for k in walk for _ in range(size)]  # fmt: skip
        generation = self.inner.rollout(rows, trainer) if self.inner.rollout else generate(trainer, rows)
        members = _members(generation, rows, size)
        judged = judge(trainer, generation)[1]
        reasons: dict[str, str | None] = {}
        names = np.full(len(generation.rows), EXCLUDED)
        for group in members:
            problem = generation.rows[group[0]]["id"]
            # p (1 - p) = 0 for a group all right or all wrong: its advantages and its gradient are zero
            reason = reason_to_skip([judged[row] for row in group])
            if reason is None:
                # EXCLUDED is -1: the first group that is kept becomes 0
                names[group] = names.max() + 1
            # a problem with several groups is skipped only if none of them varies
            if reason is None or problem not in reasons:
                reasons[problem] = reason
        generation.groups = names
        return generation, {row["id"]: reasons.get(row["id"], "no group") for row in rows}

    def _write(self, rows: Sequence[Sequence]) -> None:
        with appending(self.path) as stream:
            csv.writer(stream, lineterminator="\n").writerows(rows)

    def observe(self, rollout: Rollout) -> dict[str, float]:
        """Return the inner values, and how many groups were skipped in how many rounds."""
        values = self.inner.observe(rollout) if self.inner.observe else {}
        values |= {} if self.rounds else {"generated": 0.0, "generated_tokens": 0.0}
        return values | {"skipped": float(self.skipped), "refill_rounds": float(self.rounds)}


def _members(generation: Generation, rows: Sequence[dict[str, Any]], size: int) -> list[np.ndarray]:
    """Return the rows of every group of a generation for `rows`, refusing what is not of one problem."""
    given = [row["id"] for row in rows]
    ids = [row["id"] for row in generation.rows]
    field = "rollout"
    if generation.groups is None:
        if ids != given:
            remedy = "return the given rows, or groups of one problem each, or set dynamic_sampling: false"
            raise InputError(field, len(ids), "rows are not those it was given", remedy)
        return list(np.arange(len(ids)).reshape(-1, size))
    members = [group for groups in rows_by_size(generation.groups) for group in groups]
    for group in members:
        problems = {ids[row] for row in group}
        if len(problems) > 1 or not problems <= set(given):
            problem = "is a group that is not of one problem it was given"
            remedy = "return such groups, or set dynamic_sampling: false"
            raise InputError(field, sorted(problems), problem, remedy)
    return sorted(members, key=lambda group: group[0])


def walked(folder: Path, n: int) -> int:
    """Return how many problems of all epochs lie behind the cursor: they were either trained or left out."""
    furthest = -1
    # what was walked over was either trained or skipped: the farther log tells
    for path in (folder / "index_log.csv", folder / SKIPPED):
        if path.exists():
            with open(path, newline="", encoding="utf-8") as stream:
                for row in csv.DictReader(stream):
                    furthest = max(furthest, int(row["epoch"]) * n + int(row["position"]))
    return furthest + 1


def tail_of(job: Job, folder: Path) -> list[str]:
    """Return the ids of the problems that a walk through all its epochs did not come to."""
    n = len(job.problems)
    epochs = job.config.epochs
    ids = ids_of(job.problems, job.order)
    if job.plan.steps < job.plan.steps_per_epoch * epochs:
        return []
    return [ids[k % n] for k in range(walked(folder, n), n * epochs)]


class TokenBudget(TrainerCallback):
    """Ends training after the generation batch with which the budget of sampled tokens is spent.

    The last step is not saved: a run killed after it repeats from an earlier checkpoint.
    """

    def __init__(self, trainer: PolicyTrainer, plan: Plan, budget: int) -> None:
        self.trainer = trainer
        self.plan = plan
        self.budget = budget

    def on_step_end(self, args: object, state: Any, control: Any, **kwargs: object) -> None:
        """Compare after every step that is the last of its generation batch."""
        spent = self.trainer.tokens["sampled_tokens"] >= self.budget
        if spent and self.plan.resumes_exactly(state.global_step):
            control.should_training_stop = True
            control.should_save = False


class EpochTable:
    """Problems behind places: row t of `places` is the problem at place t of the order that is followed."""

    def __init__(self, problems: datasets.Dataset, order: Order) -> None:
        from datasets import Dataset

        self.problems = problems
        self.order = order
        self.places = Dataset.from_dict({"place": list(range(len(problems)))}).with_transform(self._rows)

    def _rows(self, batch: dict[str, list[int]]) -> dict[str, list]:
        return self.problems[self.order.permutation[batch["place"]].tolist()]


class Reorder(TrainerCallback):
    """Makes the order of every epoch after the first from the policy as it is then, and has it followed.

    Orders are saved as ``order-1.json``, ``order-2.json``, ...; a run that resumes inside an epoch takes up
    its saved order.
    """

    def __init__(
        self, job: Job, record: RunRecord, policy: torch.nn.Module, table: EpochTable, index_log: IndexLog
    ) -> None:
        self.job = job
        self.record = record
        self.policy = policy
        self.table = table
        self.index_log = index_log

    def on_train_begin(self, args: Any, state: object, control: object, **kwargs: object) -> None:
        """Refuse parameters that no process holds whole (InputError)."""
        plugin = args.deepspeed_plugin
        if args.fsdp or PartialState().distributed_type == "FSDP" or (plugin and plugin.zero_stage == 3):
            remedy = "use epoch_order: repeat, or data-parallel training (DDP, ZeRO-2)"
            raise InputError("epoch_order", "reorder", "needs whole parameters to embed with", remedy)

    def on_epoch_begin(self, args: object, state: Any, control: object, **kwargs: object) -> None:
        """Follow the order of the epoch that begins."""
        epoch = state.global_step // self.job.plan.steps_per_epoch
        orders = [self._order(epoch) if PartialState().is_main_process else None]
        # embedded on one process, followed by all: rounding may differ between processes
        order = broadcast_object_list(orders)[0]
        self.table.order = order
        self.index_log.follow(ids_of(self.job.problems, order), order.permutation.tolist())

    def _order(self, epoch: int) -> Order:
        path = order_path(self.record.folder, epoch)
        if not path.exists():
            # the cache of embeddings is keyed by weights: these have moved since the last epoch
            hashed = weights_hash(self.policy)
            whole = policy_as_backbone(self.job.backbone, self.policy, weights_hash=hashed)
            with whole as now, workroom() as cache:
                make_order(self.job.config, self.job.problems, now, epoch=epoch, cache_dir=cache).save(path)
        orders = [self._entry(entry) for entry in range(epoch + 1)]
        for entry in orders:
            self.record.artefact(entry["file"])
        self.record.note(epoch_orders=orders)
        return Order.load(path)

    def _entry(self, epoch: int) -> dict[str, object]:
        path = order_path(self.record.folder, epoch)
        trained = self.job.plan.blocks * self.job.plan.prompts
        order = Order.load(path)
        left = ids_of(self.job.problems, order)[trained:]
        return {"file": path.name, "hash": order.hash, "cost": order.cost, "tail_dropped": left}
