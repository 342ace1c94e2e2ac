"""DAPO's dynamic sampling along the order: groups without variance are left out, the next problems fill up.

A cursor walks the order. A generation batch needs K groups; those whose completions are all right or all
wrong are left out, and as many of the next problems are sampled, until K groups differ within themselves. So
every batch holds, in the order, the first K problems from the cursor on that can teach something; none is
generated twice in an epoch and none is trained twice.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import TrainerCallback

from hammerlib.errors import InputError
from hammerlib.runs.storage import appending
from hammerlib.training.hooks import EXCLUDED, Algorithm, Generation, Hooks, Rollout
from hammerlib.training.logs import SKIPPED
from hammerlib.training.orders import ids_of
from hammerlib.training.rollouts import generate, judge

if TYPE_CHECKING:
    from hammerlib.grading import Verdict
    from hammerlib.training.config import TrainConfig
    from hammerlib.training.run import Job
    from hammerlib.training.schedule import Plan
    from hammerlib.training.trainer import PolicyTrainer


def reason_to_skip(verdicts: Sequence[Verdict | None]) -> str | None:
    """Return why a group teaches nothing, or None if it holds right and wrong answers.

    Parameters
    ----------
    verdicts : sequence of Verdict or None
        Of one group; None cannot be graded and does not count.

    Returns
    -------
    str or None
        ``all correct``, ``none correct`` or ``not scorable``.

    Notes
    -----
    Source: arXiv 2503.14476 (DAPO) eq. 11: 0 < |{o_i : is_equivalent(a, o_i)}| < G.

    Examples
    --------
    >>> from hammerlib.grading import grade
    >>> right, wrong = grade("4", "4"), grade("5", "4")
    >>> reason_to_skip([right, right, None]), reason_to_skip([right, wrong])
    ('all correct', None)
    """
    found = {one.correct for one in verdicts if one is not None}
    if len(found) == 2:
        return None
    return "not scorable" if not found else "all correct" if found == {True} else "none correct"


class DynamicSampling(Algorithm, TrainerCallback):
    """The rollout that fills each generation batch with groups that vary, and ends with the order.

    Generation itself is the rollout plug's where there is one, so forced prefixes go together with it; it
    must return the rows it was given. What was left out is written to ``skipped.csv``. If the rounds or the
    problems run out first, the batch is filled up with left-out groups (or, where a step takes several
    batches, after the end with copies of one completion), all of whose tokens are masked: they
    count in the mean over rows of the losses ``grpo`` and ``dr_grpo``, not in the token mean of ``dapo``.
    Training stops after the batch that reaches the end of the last epoch; the learning rate's schedule
    still spans the steps that were planned.

    Parameters
    ----------
    folder : Path
        Of the run. What its ``index_log.csv`` and ``skipped.csv`` hold is behind the cursor: after a kill
        they are cut back to the checkpoint, and the walk goes on from there.
    plan : Plan
        For one process.
    config : TrainConfig
        Its `epochs` and `refill_rounds`.
    index : sequence of int, length n
        Row of the problem table at each place of the order.
    plugs : Hooks
        Of the user.

    Raises
    ------
    InputError
        When called: the rollout plug returned other rows.

    Notes
    -----
    Source: arXiv 2503.14476 Section 3.2. verl's recipe generates several batches at once and drops what is
    too much; here no group that varies is lost. `refill_rounds` is verl's ``max_num_gen_batches``, where it
    raises.

    Examples
    --------
    >>> import tempfile
    >>> from hammerlib.training.config import TrainConfig
    >>> from hammerlib.training.schedule import plan
    >>> config = TrainConfig(n_problems=8, dynamic_sampling=True)
    >>> walk = DynamicSampling(Path(tempfile.mkdtemp()), plan(config, 8), config, range(8), Hooks())
    >>> walk.cursor, walk.end, walk.plugs().rollout == walk.rollout
    (0, 8, True)
    """

    HEAD = ("step", "epoch", "position", "index", "id", "reason")

    def __init__(
        self, folder: Path, plan: Plan, config: TrainConfig, index: Sequence[int], plugs: Hooks
    ) -> None:
        self.path, self.plan, self.index, self.inner = folder / SKIPPED, plan, index, plugs
        self.limit, self.end = config.refill_rounds, len(index) * config.epochs
        self.cursor = walked(folder, len(index))
        self.rounds = self.skipped = 0
        if not self.path.exists():
            self._write([self.HEAD])

    def plugs(self) -> Hooks:
        """Return the user's plugs with this rollout and its counts observed."""
        return dataclasses.replace(self.inner, rollout=self.rollout, observe=self.observe)

    def rollout(self, rows: list[dict[str, Any]], trainer: PolicyTrainer) -> Generation:
        """Walk on until len(rows) / G groups vary, or the rounds or the order end."""
        wanted, kept, parts = len(rows) // self.plan.group, 0, []
        self.rounds = self.skipped = 0
        if self.cursor >= self.end:  # a further batch of the step in which the order ended
            return dataclasses.replace(self._last.take([0]), groups=np.array([EXCLUDED]))
        while kept < wanted and self.rounds < self.limit and self.cursor < self.end:
            places = range(self.cursor, min(self.cursor + wanted - kept, self.end))
            found, reasons = self._sampled(places, trainer)
            named = np.cumsum([reason is None for reason in reasons]) - 1 + kept
            groups = [EXCLUDED if reason else int(name) for reason, name in zip(reasons, named, strict=True)]
            found.groups = np.repeat(groups, self.plan.group)
            parts.append(found)
            self._log(trainer.state.global_step + 1, places, found, reasons)
            kept, self.rounds, self.cursor = int(named[-1]) + 1, self.rounds + 1, places.stop
        self._last = Generation.join(parts)
        return self._last

    def on_step_end(self, args: object, state: Any, control: Any, **kwargs: object) -> None:
        """End training when the order has ended and what it gave is trained.

        The last step is not saved: a run killed after it repeats from an earlier checkpoint.
        """
        if self.cursor >= self.end and self.plan.resumes_exactly(state.global_step):
            control.should_training_stop, control.should_save = True, False

    def _sampled(self, places: range, trainer: PolicyTrainer) -> tuple[Generation, list[str | None]]:
        """Generate and judge the groups of the problems at `places` of the walk."""
        n, size = len(self.index), self.plan.group
        rows = [{**trainer.train_dataset[place % n], "epoch": place // n}
                for place in places for _ in range(size)]  # fmt: skip
        found = self.inner.rollout(rows, trainer) if self.inner.rollout else generate(trainer, rows)
        if [row["id"] for row in found.rows] != [row["id"] for row in rows] or found.groups is not None:
            remedy = "return the given rows without groups, or set dynamic_sampling: false"
            raise InputError("plugs.rollout", len(found.rows), "rows are not those it was given", remedy)
        judged = judge(trainer, found)[1]
        return found, [reason_to_skip(judged[first : first + size]) for first in range(0, len(judged), size)]

    def _log(self, step: int, places: range, found: Generation, reasons: list[str | None]) -> None:
        rows, n = [], len(self.index)
        for place, row, reason in zip(places, found.rows[:: self.plan.group], reasons, strict=True):
            if reason is not None:
                epoch, position = divmod(place, n)
                rows.append((step, epoch, position, self.index[position], row["id"], reason))
        self.skipped += len(rows)
        self._write(rows)

    def _write(self, rows: Sequence[Sequence]) -> None:
        with appending(self.path) as stream:
            csv.writer(stream, lineterminator="\n").writerows(rows)

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the cursor stands in the run's logs, which a checkpoint holds."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to take back."""

    def observe(self, rollout: Rollout) -> dict[str, float]:
        """Return the inner values, and how many groups were skipped in how many rounds."""
        told = self.inner.observe(rollout) if self.inner.observe else {}
        told |= {} if self.rounds else {"generated": 0.0, "generated_tokens": 0.0}
        return told | {"skipped": float(self.skipped), "refill_rounds": float(self.rounds)}


def walked(folder: Path, n: int) -> int:
    """Return how many problems of all epochs lie behind the cursor: they were either trained or left out.

    Parameters
    ----------
    folder : Path
        Of the run, with its logs.
    n : int
        Number of problems.

    Examples
    --------
    >>> import tempfile
    >>> walked(Path(tempfile.mkdtemp()), 8)
    0
    """
    furthest = -1
    for path in (folder / "index_log.csv", folder / SKIPPED):
        if path.exists():
            with open(path, newline="", encoding="utf-8") as stream:
                for row in csv.DictReader(stream):
                    furthest = max(furthest, int(row["epoch"]) * n + int(row["position"]))
    return furthest + 1


def tail_of(job: Job, folder: Path) -> list[str]:
    """Return the ids of the problems that a walk through all its epochs did not come to.

    Parameters
    ----------
    job : Job
    folder : Path
        Of the run, with its logs.

    Returns
    -------
    list of str
        None of them where ``max_steps`` ended the run before.

    Examples
    --------
    >>> import tempfile
    >>> from hammerlib.training.config import TrainConfig
    >>> from hammerlib.training.run import prepare
    >>> job = prepare(TrainConfig(n_problems=8, order="random", dynamic_sampling=True))
    >>> len(tail_of(job, Path(tempfile.mkdtemp())))
    8
    """
    n, epochs, ids = len(job.problems), job.config.epochs, ids_of(job.problems, job.order)
    if job.plan.steps < job.plan.steps_per_epoch * epochs:
        return []
    return [ids[place % n] for place in range(walked(folder, n), n * epochs)]
