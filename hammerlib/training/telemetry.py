"""What a run writes while it trains: metrics, the index log, the completions, one progress line."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm
from transformers import TrainerCallback

from hammerlib.diversity import group_telemetry
from hammerlib.storage import atomic_path
from hammerlib.training.schedule import Plan
from hammerlib.training.seams import Rollout

if TYPE_CHECKING:
    from hammerlib.runs import RunRecord

# TRL's log keys and the names they have in metrics.csv.
NAMES = {
    "loss": "loss",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "reward": "reward",
    "entropy": "entropy",
    "kl": "kl",
    "clip_ratio/region_mean": "clip_share",
    "completions/mean_length": "mean_length",
    "completions/clipped_ratio": "clipped_ratio",
    "step_time": "seconds",
    "num_tokens": "tokens",
}
PREFIX = "hammer/"
# Rewards are float32 sums: smaller spreads than this are rounding.
SAME_REWARD = 1e-7


class OrderMismatchError(RuntimeError):
    """The trainer was handed other problems than the order says; training stops."""


def observe(rollout: Rollout) -> dict[str, float]:
    """Return the telemetry of one generation batch.

    Parameters
    ----------
    rollout : Rollout

    Returns
    -------
    dict
        What `hammerlib.diversity.group_telemetry` reports, the mean raw reward, the share of completions that
        no reward could score, and the share of groups whose rewards do not vary before and after adjustment
        (only groups with variance move the policy).
    """
    size = rollout.group_size
    groups = rollout.vectors.reshape(-1, size, rollout.vectors.shape[-1])
    right = np.array([bool(one and one.correct) for one in rollout.verdicts]).reshape(-1, size)
    said = [one.extracted if one else None for one in rollout.verdicts]
    answers = [said[start : start + size] for start in range(0, len(said), size)]
    raw = rollout.raw[~np.isnan(rollout.raw)]
    return group_telemetry(groups, answers, right) | {
        "reward_raw": float(raw.mean()) if raw.size else math.nan,
        "unscorable_share": float(np.isnan(rollout.raw).mean()),
        "zero_variance_share": zero_variance_share(rollout.raw, size),
        "zero_variance_share_adjusted": zero_variance_share(rollout.rewards, size),
    }


def zero_variance_share(rewards: np.ndarray, group_size: int) -> float:
    """Return the share of groups in [0, 1] whose scorable rewards are all the same.

    Examples
    --------
    >>> zero_variance_share(np.array([1.0, 1.0, 0.0, 1.0]), 2)
    0.5
    """
    groups = np.asarray(rewards, dtype=float).reshape(-1, group_size)
    spread = np.where(np.isnan(groups), -np.inf, groups).max(1) - np.where(
        np.isnan(groups), np.inf, groups
    ).min(1)
    return float((spread <= SAME_REWARD).mean())


class IndexLog:
    """Checks every micro-batch against the order and writes which problem was trained where.

    Parameters
    ----------
    folder : Path
        The run's folder; process 0 writes ``index_log.csv``, process p > 0 ``index_log-p.csv``.
    plan : Plan
    ids, index : sequences of length n
        Problem id and row of the problem table at each place of the order.
    process : int
    """

    HEAD = ("step", "epoch", "process", "position", "index", "id")

    def __init__(self, folder: Path, plan: Plan, ids: list[str], index: list[int], process: int) -> None:
        self.path = folder / ("index_log.csv" if process == 0 else f"index_log-{process}.csv")
        self.plan, self.ids, self.index, self.process = plan, ids, index, process
        self.offset, self._step, self._written = 0, -1, -1

    def check(self, step: int, rows: list[dict[str, Any]]) -> None:
        """Take the rows handed over for the next micro-batch of optimizer step `step` (from 0).

        Raises
        ------
        OrderMismatchError
            A row is not the problem that the order has there.
        """
        self.offset = self.offset + 1 if step == self._step else 0
        if step != self._step:
            self._step, self._written = step, -1
        block = self.plan.block_of(step, self.offset)
        first = self.process * self.plan.rows * self.plan.per_generation
        for place, row in enumerate(rows):
            wanted = self.ids[block * self.plan.prompts + (first + place) // self.plan.group]
            if row["id"] != wanted:
                raise OrderMismatchError(
                    f"step {step + 1}, process {self.process}, row {place}: trained {row['id']!r} where the "
                    f"order has {wanted!r}; the data loader does not follow the order, nothing after "
                    f"step {step} counts"
                )
        if block != self._written:
            self._written = block
            self._write(step, block)

    def _write(self, step: int, block: int) -> None:
        epoch = self.plan.micro(step)[0]
        fresh = not self.path.exists()
        with open(self.path, "a", newline="", encoding="utf-8") as stream:
            out = csv.writer(stream, lineterminator="\n")
            if fresh:
                out.writerow(self.HEAD)
            out.writerows(
                [step + 1, epoch, self.process, place, self.index[place], self.ids[place]]
                for place in self.plan.positions(block, self.process)
            )


def save_completions(folder: Path, rollout: Rollout, *, process: int = 0, offset: int = 0) -> None:
    """Write one generation batch to ``completions/<step>.parquet``, one row per completion.

    Later micro-batches of the same step that generate again, and further processes, get a suffix of their
    own.
    """
    import pandas as pd

    table = pd.DataFrame(
        {
            "step": rollout.step + 1,
            "id": [row["id"] for row in rollout.rows],
            "prompt": [str(row["prompt"]) for row in rollout.rows],
            "completion": rollout.completions,
            "n_tokens": [len(ids) for ids in rollout.completion_ids],
            "correct": [one.correct if one else None for one in rollout.verdicts],
            "extracted": [one.extracted if one else None for one in rollout.verdicts],
            "reward_raw": rollout.raw,
            "reward": rollout.rewards,
        }
    )
    name = f"{rollout.step + 1:06d}" + (f"-b{offset}" if offset else "") + (f"-p{process}" if process else "")
    with atomic_path(folder / "completions" / f"{name}.parquet") as part:
        table.to_parquet(part)


def trim(path: Path, step: int) -> None:
    """Drop the rows of a CSV (first column: step) after `step`, and a last row that a kill cut short.

    Examples
    --------
    >>> import tempfile
    >>> log = Path(tempfile.mkdtemp()) / "metrics.csv"
    >>> _ = log.write_text("step,metric,value\\n1,reward,0.5\\n2,reward,0.6\\n3,rew")
    >>> trim(log, 1); log.read_text()
    'step,metric,value\\n1,reward,0.5\\n'
    """
    if not path.exists():
        return
    head, *lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if line.endswith("\n") and int(line.split(",", 1)[0]) <= step]
    with atomic_path(path) as part:
        part.write_text("".join([head, *kept]), encoding="utf-8")


def trim_run(folder: Path, step: int) -> None:
    """Make a run's logs those of its first `step` optimizer steps."""
    for path in (folder / "metrics.csv", *folder.glob("index_log*.csv")):
        if step:
            trim(path, step)
        else:
            path.unlink(missing_ok=True)
    for path in folder.glob("completions/*.parquet"):
        if int(path.stem.split("-")[0]) > step:
            path.unlink()


class Watcher(TrainerCallback):
    """Writes metrics.csv after every optimizer step and moves the one progress line.

    Parameters
    ----------
    record : RunRecord
    title : str
        Shown before the bar.
    total : int
        Optimizer steps.
    quiet : bool
        No bar.
    """

    def __init__(self, record: RunRecord, title: str, total: int, *, quiet: bool) -> None:
        self.record, self.title, self.total, self.quiet = record, title, total, quiet
        self.bar: tqdm | None = None

    def on_train_begin(self, args: object, state: Any, control: object, **kwargs: object) -> None:
        """Open the bar, at the step a checkpoint left off."""
        if state.is_world_process_zero:
            self.bar = tqdm(
                total=self.total, initial=state.global_step, desc=self.title, unit="step", disable=self.quiet
            )

    def on_log(
        self,
        args: object,
        state: Any,
        control: object,
        logs: dict[str, float | None] | None = None,
        **kwargs: object,
    ) -> None:
        """Append one step's values; TRL logs the run's totals once more at the end, without a loss."""
        if not state.is_world_process_zero or logs is None or "loss" not in logs:
            return
        self.record.log(state.global_step, **dict(_rows(logs)))
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)
            if logs.get(f"{PREFIX}reward_raw") is not None:
                self.bar.set_postfix(reward=f"{logs[f'{PREFIX}reward_raw']:.2f}", refresh=False)

    def on_train_end(self, args: object, state: object, control: object, **kwargs: object) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()


def _rows(logs: dict[str, float | None]) -> Iterator[tuple[str, float]]:
    for key, value in logs.items():
        name = key.removeprefix(PREFIX) if key.startswith(PREFIX) else NAMES.get(key)
        if name is None and key.startswith(("raw/", "dra/")):
            name = key
        if name is not None and value is not None and not math.isnan(value):
            yield name, value
