"""TRL: `GRPOConfig(shuffle_dataset=False)` trains rows as they stand, whole generation batches of them.

Its `AsyncGRPOTrainer` (experimental; 1.16) asks for prompts as they stand and trains what is finished first.
`log_async` has it write an index log; it reads ``rollout_queue``, ``model_version``, ``_trained_groups`` and
``_groups_before_resume`` of the trainer, which ``tests/adapters_trl_async.py`` watches.
"""

from __future__ import annotations

import bisect
import csv
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hammerlib.adapters.logs import STALE
from hammerlib.adapters.trainer import Row, Trainer, of_batch
from hammerlib.errors import InputError
from hammerlib.runs.storage import appending, atomic_path


def _row(problem: Row, position: int) -> Row:
    # Every column reaches the reward functions; `answer` is what hammerlib's read.
    return {key: problem[key] for key in ("prompt", "answer", "id")} | {"position": position}


def _settings(file: Path, batch: int | None) -> list[str]:
    return [
        f'train_dataset = datasets.load_dataset("parquet", data_files="{file}", split="train")',
        "GRPOConfig(shuffle_dataset=False,  # the default draws a new order every epoch",
        "           log_completions=True,   # what `hammer audit OUTPUT_DIR/completions` reads",
        "           logging_steps=1,        # a file of completions is written where a step is logged",
        *of_batch(batch, "           # generation_batch_size // num_generations must be {} prompts"),
        "           ...)",
    ]


TRAINER = Trainer("trl", "1.16.0", "package", ".parquet", "dropped", _row, _settings)


def log_async(trainer: Any, path: str | Path) -> None:
    """Have an `AsyncGRPOTrainer` write an index log, from its ``train()`` on.

    One row a prompt and step that trained it: when it was generated and finished, as steps of the trainer;
    prompts that the trainer drops for their age have step -1 and ``dropped`` says so. A resumed training goes
    on with the log up to its checkpoint.

    Parameters
    ----------
    trainer : trl.experimental.async_grpo.AsyncGRPOTrainer
        Its ``train_dataset`` the file of `hand_over`, as it stands.
    path : path
        Such as ``index_log.csv``, which `hammer audit` knows by that name.

    Raises
    ------
    InputError
        A dataset without a length.

    Notes
    -----
    Source: ours. A prompt whose completions are all longer than ``token_budget`` is dropped where nothing can
    be read of it: it has no row, and an audit finds it missing.

    Examples
    --------
    >>> def train(trainer):
    ...     log_async(trainer, "index_log.csv")
    ...     trainer.train()
    """
    if not hasattr(trainer.train_dataset, "__len__"):
        kind = type(trainer.train_dataset).__name__
        raise InputError("train_dataset", kind, "has no length, hence no places", "load it whole")
    if trainer.rollout_queue is None:  # the queue is on the main process
        return
    log = _AsyncLog(trainer, Path(path))
    trainer._trained_groups = _Batches(trainer._trained_groups)
    trainer.rollout_queue = _Watched(trainer.rollout_queue, log)
    train = trainer.training_step

    def training_step(*args: Any, **options: Any) -> Any:
        log.trained(trainer._trained_groups.waiting.popleft())
        return train(*args, **options)

    trainer.training_step = training_step


class _Batches(set):
    """Groups that were collated, as the trainer counts them, and those of micro-batches not yet trained."""

    def __init__(self, groups: Iterable[int]) -> None:
        super().__init__(groups)
        self.waiting: deque[list[int]] = deque()

    def update(self, *groups: Iterable[int]) -> None:  # once a micro-batch; a loader may be one ahead
        batch = list(dict.fromkeys(group for several in groups for group in several))
        self.waiting.append(batch)
        super().update(batch)


class _Watched:
    """The trainer's queue of samples, of which each is noted when it is taken."""

    def __init__(self, queue: Any, log: _AsyncLog) -> None:
        self.queue, self.log = queue, log

    def get(self, *args: Any, **options: Any) -> Any:
        self.log.step()
        sample = self.queue.get(*args, **options)
        self.log.taken(sample)
        return sample

    def __getattr__(self, name: str) -> Any:
        return getattr(self.queue, name)


class _AsyncLog:
    def __init__(self, trainer: Any, path: Path) -> None:
        self.trainer, self.path = trainer, path
        self.begun: list[float] = []  # when each step began
        self.meant: dict[int, int] = {}  # version of the weights -> step whose training they are meant for
        self.life: dict[int, tuple[int, int]] = {}  # group -> steps at which it was generated and finished
        self.written: set[tuple[int, int]] = set()

    def step(self) -> int:
        """The step of the trainer now, from 1."""
        step = self.trainer.state.global_step + 1
        if not self.begun:
            self._begin(step - 1)
        self.begun += [time.time()] * (step - len(self.begun))
        self.meant.setdefault(self.trainer.model_version, step)
        return step

    def taken(self, sample: Any) -> None:
        """Note a sample that the trainer takes from its queue; those of a group follow each other."""
        group = sample.group_id
        if group in self.life:
            return
        step = self.step()
        at = time.time() if sample.enqueued_at is None else sample.enqueued_at
        generated = self.meant.get(sample.model_version, step)
        self.life[group] = generated, max(generated, bisect.bisect_right(self.begun, at))
        if self.trainer.model_version - sample.model_version > self.trainer.args.max_staleness:
            self._write(-1, group, STALE)

    def trained(self, groups: list[int]) -> None:
        """Note the groups of the micro-batch that is trained next."""
        step = self.step()
        for group in groups:
            if (group, step) not in self.written:
                self.written.add((group, step))
                self._write(step, group, "")

    def _begin(self, done: int) -> None:
        """Leave of an earlier log what lies before the checkpoint that training goes on from."""
        from hammerlib.training.logs import IndexLog

        kept = []
        if self.path.exists() and done:
            n, first = len(self.trainer.train_dataset), self.trainer._groups_before_resume
            with open(self.path, newline="", encoding="utf-8") as stream:
                for row in csv.DictReader(stream):
                    handed_out_before = int(row["epoch"]) * n + int(row["position"]) < first
                    if 0 < int(row["step"]) <= done or (int(row["step"]) < 0 and handed_out_before):
                        kept.append(row)
        with atomic_path(self.path) as unfinished, open(unfinished, "w", newline="") as stream:
            out = csv.DictWriter(stream, IndexLog.HEAD, lineterminator="\n")
            out.writeheader()
            out.writerows(kept)

    def _write(self, step: int, group: int, dropped: str) -> None:
        rows = self.trainer.train_dataset
        epoch, place = divmod(self.trainer._groups_before_resume + group, len(rows))
        row = rows[place]
        # the row of the problem table is not known here
        cells = step, epoch, 0, row.get("position", place), "", row.get("id", ""), *self.life[group], dropped
        with appending(self.path) as stream:
            csv.writer(stream, lineterminator="\n").writerow(cells)
