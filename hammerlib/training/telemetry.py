"""What is measured in every step, and the metrics file and progress line that show it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm
from transformers import TrainerCallback

from hammerlib.diversity import group_telemetry
from hammerlib.training.seams import UNTRAINED, Rollout

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
        (only groups with variance move the policy). Of trained completions only; groups of any size count
        alike.

    Examples
    --------
    >>> rows, ones = [{"id": "a"}] * 2, np.ones(2)
    >>> observe(Rollout(0, rows, ["4", "5"], [[7], [8]], [None] * 2, ones, ones, np.eye(2), 2))["vendi"]
    2.0
    """
    right = np.array([bool(one and one.correct) for one in rollout.verdicts])
    said = [one.extracted if one else None for one in rollout.verdicts]
    sizes = rollout.by_size()
    parts = [
        group_telemetry(rollout.vectors[rows], [[said[row] for row in group] for group in rows], right[rows])
        | {
            "zero_variance_share": zero_variance_share(rollout.raw[rows], rows.shape[1]),
            "zero_variance_share_adjusted": zero_variance_share(rollout.rewards[rows], rows.shape[1]),
        }
        for rows in sizes
    ]
    trained = rollout.raw[rollout.groups != UNTRAINED]
    raw = trained[~np.isnan(trained)]
    return _mean(parts, [len(rows) for rows in sizes]) | {
        "reward_raw": float(raw.mean()) if raw.size else math.nan,
        "unscorable_share": float(np.isnan(trained).mean()) if trained.size else math.nan,
    }


def _mean(parts: list[dict[str, float]], groups: list[int]) -> dict[str, float]:
    """Mean over the groups of all sizes; nothing where nothing is trained."""
    if len(parts) < 2:
        return parts[0] if parts else {}
    return {name: float(np.average([part[name] for part in parts], weights=groups)) for name in parts[0]}


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

    Examples
    --------
    >>> Watcher(None, "train", 10, quiet=True).total
    10
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
        if name is None and key.startswith(("raw/", "dra/", "grading/")):
            name = key
        if name is not None and value is not None and not math.isnan(value):
            yield name, value
