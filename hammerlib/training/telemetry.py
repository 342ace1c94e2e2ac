"""What is measured in every step, and the metrics file and progress line that show it."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm
from transformers import TrainerCallback

from hammerlib.diversity import group_telemetry
from hammerlib.runs.storage import without_folders
from hammerlib.training.hooks import EXCLUDED, Rollout

if TYPE_CHECKING:
    from hammerlib.runs import RunRecord

# TRL's log keys and the names they have in metrics.csv.
NAMES = {
    "loss": "loss",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "entropy": "entropy",
    "kl": "kl",
    "clip_ratio/low_mean": "clip_share_low",
    "clip_ratio/low_min": "clip_share_low_min",
    "clip_ratio/high_mean": "clip_share_high",
    "clip_ratio/high_max": "clip_share_high_max",
    "clip_ratio/region_mean": "clip_share",
    "completions/mean_length": "mean_length",
    "completions/clipped_ratio": "clipped_ratio",
    "step_time": "seconds",
    "num_tokens": "tokens",
}
PREFIX = "hammer/"
# Kept under the name they were logged with: by the rewards, by TRL where vLLM samples or tools are called.
KEPT = ("raw/", "dra/", "grading/", "sampling/", "tools/")
# TRL's mean of each reward function; under DRA there is one, whose parts DRAReward logs as raw/NAME itself.
REWARD_MEAN = re.compile(r"rewards/(?!dra/)(.+)/mean")
# What `observe` measures of groups.
OF_GROUPS = ("mean_cosine", "vendi", "distinct_answers", "distinct_wrong", "effective_group_size")
OF_GROUPS += ("zero_variance_share", "zero_variance_share_adjusted", "effective_advantages")
# Rewards are float32 sums: smaller spreads than this are rounding.
SAME_REWARD = 1e-7


def observe(rollout: Rollout) -> dict[str, float]:
    """Return the telemetry of one generation batch."""
    right = np.array([bool(verdict and verdict.correct) for verdict in rollout.verdicts])
    answers = [verdict.extracted if verdict else None for verdict in rollout.verdicts]
    sizes = rollout.by_size()
    by_size = []
    for rows in sizes:
        # groups of one size at a time: they form an array
        in_groups = [[answers[row] for row in group] for group in rows]
        values = group_telemetry(rollout.vectors[rows], in_groups, right[rows])
        group_size = rows.shape[1]
        values["zero_variance_share"] = zero_variance_share(rollout.raw[rows], group_size)
        values["zero_variance_share_adjusted"] = zero_variance_share(rollout.rewards[rows], group_size)
        values["effective_advantages"] = math.nan
        if rollout.advantages is not None:
            advantages = rollout.advantages.detach().float().cpu().numpy()
            values["effective_advantages"] = effective_advantages(advantages[rows.ravel()], group_size)
        by_size.append(values)
    # Means below are over what is trained; rows that only fill up a batch would dilute them.
    chosen = rollout.groups != EXCLUDED
    trained = rollout.raw[chosen]
    reasons = np.array(rollout.reasons or [""] * len(chosen))[chosen]
    raw = trained[~np.isnan(trained)]
    rewards = rollout.rewards[chosen & ~np.isnan(rollout.rewards)]
    return _mean(by_size, [len(rows) for rows in sizes]) | {
        "reward_raw": mean_or_nan(raw),
        "reward": mean_or_nan(rewards),
        "unscorable_share": mean_or_nan(np.isnan(trained)),
        "timeout_share": mean_or_nan(reasons == "timeout"),
        "grading_error_share": mean_or_nan(np.char.startswith(reasons, "error")),
    }


def mean_or_nan(values: npt.ArrayLike) -> float:
    """Return a mean, NaN of nothing."""
    return float(np.mean(values)) if np.size(values) else math.nan


def _mean(by_size: list[dict[str, float]], groups: list[int]) -> dict[str, float]:
    """Mean over the groups of all sizes; NaN where nothing is trained."""
    if len(by_size) < 2:
        return by_size[0] if by_size else dict.fromkeys(OF_GROUPS, math.nan)
    table = {name: [values[name] for values in by_size] for name in by_size[0]}
    return {name: float(np.average(column, weights=groups)) for name, column in table.items()}


def effective_advantages(advantages: np.ndarray, group_size: int) -> float:
    """Return how many completions of a group carry the gradient, on average over groups that have one.

    ``(sum |A|)^2 / sum A^2`` within a group: Kish's effective sample size (Survey Sampling, 1965) of the
    weights that GRPO gives to completions; its use here is ours.
    """
    # only sizes: a completion moves the policy whichever way its advantage points
    size = np.abs(np.asarray(advantages, dtype=float))
    if size.ndim == 2:  # one a token
        size = size.mean(axis=1)
    groups = size.reshape(-1, group_size)
    # n_eff = (sum a)^2 / sum a^2: G where all weigh the same, 1 where one carries it all
    squares = (groups**2).sum(axis=1)
    moved = squares > 0
    return mean_or_nan(groups.sum(axis=1)[moved] ** 2 / squares[moved])


def zero_variance_share(rewards: np.ndarray, group_size: int) -> float:
    """Return the share of groups in [0, 1] whose scorable rewards are all the same."""
    groups = np.asarray(rewards, dtype=float).reshape(-1, group_size)
    missing = np.isnan(groups)
    # a reward that is missing says nothing of the others; a group without any counts as equal
    highest = np.where(missing, -np.inf, groups).max(axis=1)
    lowest = np.where(missing, np.inf, groups).min(axis=1)
    return float((highest - lowest <= SAME_REWARD).mean())


class Timings:
    """Seconds between calls, by name: where the time of a generation batch goes."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Forget what was timed; the next lap counts from now."""
        self._seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, name: str) -> None:
        """Add the time since the start or the last lap to `name`."""
        now = time.perf_counter()
        self._seconds[name] = self._seconds.get(name, 0.0) + now - self._since
        self._since = now

    def taken(self) -> dict[str, float]:
        """Return the seconds of each name as metrics."""
        return {f"seconds_{name}": value for name, value in self._seconds.items()}


Laps = Timings  # old spelling, one release


class Watcher(TrainerCallback):
    """Writes metrics.csv after every optimizer step and moves the one progress line."""

    def __init__(self, record: RunRecord, title: str, total: int, *, quiet: bool) -> None:
        self.record = record
        self.title = title
        self.total = total
        self.quiet = quiet
        self.bar: tqdm | None = None

    def on_train_begin(self, args: object, state: Any, control: object, **kwargs: object) -> None:
        """Open the bar, at the step a checkpoint left off."""
        if state.is_world_process_zero:
            self.bar = tqdm(
                total=self.total, initial=state.global_step, desc=self.title, unit="step", disable=self.quiet
            )

    def on_log(self, args: object, state: Any, control: object, logs: Any = None, **kwargs: object) -> None:
        """Append one step's values; TRL logs the run's totals once more at the end, without a loss."""
        if not state.is_world_process_zero or logs is None or "loss" not in logs:
            return
        self.record.log(state.global_step, **dict(_rows(logs)))
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)
            reward = logs.get(f"{PREFIX}reward_raw")
            if reward is not None:
                self.bar.set_postfix(reward=f"{reward:.2f}", refresh=False)

    def on_train_end(self, args: object, state: object, control: object, **kwargs: object) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()


def tensorboard_writer(folder: Path, first_step: int) -> TrainerCallback:
    """Return transformers' callback writing to ``<folder>/tensorboard``, the run's own place.

    Its default is a folder of the checkpoints, which do not outlive the run, named after the machine; so are
    the files, which take another name here: a run's folder names no machine.
    """
    from tensorboard.summary.writer import event_file_writer
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations import TensorBoardCallback

    class Writer(SummaryWriter):
        """Without folders of this machine in the arguments that transformers writes."""

        def add_text(self, tag: str, text_string: str, *rest: Any, **more: Any) -> None:
            super().add_text(tag, without_folders(text_string), *rest, **more)

    where = str(folder / "tensorboard")
    with mock.patch.object(event_file_writer, "socket", SimpleNamespace(gethostname=lambda: "run")):
        writer = Writer(where, purge_step=first_step + 1 if first_step else None)  # opens its file at once
    return TensorBoardCallback(writer)


def _rows(logs: dict[str, float | None]) -> Iterator[tuple[str, float]]:
    for key, value in logs.items():
        name = NAMES.get(key)
        if key.startswith(PREFIX):
            name = key.removeprefix(PREFIX)
        elif key.startswith(KEPT):
            name = key
        elif reward := REWARD_MEAN.fullmatch(key):
            name = f"raw/{reward[1]}"
        if name is not None and value is not None and not math.isnan(value):
            yield name, value
