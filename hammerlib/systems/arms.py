"""Arms of an experiment: the same training but for what an arm changes, then the same problems for all."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import t

from hammerlib.evaluation import Interval, evaluate, mean_interval, outcomes, paired_interval
from hammerlib.training.hooks import Algorithm
from hammerlib.training.run import run_grid

if TYPE_CHECKING:
    from datasets import Dataset

    from hammerlib.runs import RunRecord
    from hammerlib.training import TrainConfig

__all__ = ["compare_arms", "over_seeds"]


def compare_arms(
    arms: Mapping[str, Mapping[str, Any]],
    shared: TrainConfig,
    *,
    seeds: Sequence[int] | Mapping[int, Mapping[str, Any]],
    problems: Dataset | Mapping[tuple[str, int], Dataset] | None = None,
    workers: int = 1,
    root: Path | None = None,
) -> Arms:
    """Train every arm with every seed.

    Parameters
    ----------
    arms : mapping of str to mapping
        Name to what it changes in `shared`; ``algorithms`` may hold names with options, or objects.
    shared : TrainConfig
        Everything that the arms have in common.
    seeds : sequence of int, or mapping of int to mapping
        Training seeds; a mapping says what each changes besides, such as the initial checkpoint.
    problems : Dataset, or mapping of (arm, seed) to Dataset, optional
        Problem table of all runs, or of each; default: the one that the config names.
    workers : int
        Training runs side by side; 1: one after the other in this process.
    root : Path, optional
        Where run folders stand; finished ones are found again.

    Returns
    -------
    Arms
        ``records`` (arm to one run a seed), ``logs`` (arm to one ``metrics.csv`` a seed), and the method
        ``evaluate``.

    Examples
    --------
    >>> import tempfile
    >>> from hammerlib import TrainConfig
    >>> shared = TrainConfig(n_problems=8, order="random", max_completion_length=4, scale_rewards="none")
    >>> arms = {"GRPO": {}, "RLOO": {"algorithms": [{"name": "rloo"}]}}
    >>> made = compare_arms(arms, shared, seeds=[0], root=Path(tempfile.mkdtemp()))
    >>> [len(made.logs[name]) for name in arms]
    [1, 1]
    """
    pairs = [(arm, seed) for arm in arms for seed in seeds]
    configs = []
    objects = []
    for arm, seed in pairs:
        changes = dict(arms[arm]) | {"seed": seed}
        if isinstance(seeds, Mapping):
            changes |= seeds[seed]
        # names are part of the configuration and of the run's name; objects are handed over beside it
        algorithms = changes.pop("algorithms", ())
        objects.append([algorithm for algorithm in algorithms if isinstance(algorithm, Algorithm)])
        named = tuple(algorithm for algorithm in algorithms if not isinstance(algorithm, Algorithm))
        configs.append(replace(shared, algorithms=named, **changes))
    tables = None
    if problems is not None:
        tables = [problems[pair] if isinstance(problems, Mapping) else problems for pair in pairs]
    done = run_grid(configs, problems=tables, algorithms=objects, workers=workers, root=root)
    records = {arm: done[k * len(seeds) : (k + 1) * len(seeds)] for k, arm in enumerate(arms)}
    return Arms(list(seeds), records)


@dataclass(frozen=True)
class Arms:
    """Trained arms, one run for every seed."""

    seeds: list[int]
    records: dict[str, list[RunRecord]]

    @functools.cached_property
    def logs(self) -> dict[str, list[pd.DataFrame]]:
        """The metrics of every run: step, metric, value."""
        return {arm: [run.table("metrics.csv") for run in runs] for arm, runs in self.records.items()}

    def metric(self, arm: str, name: str) -> list[np.ndarray]:
        """Return one metric's values by step, of each seed of an arm."""
        return [log.loc[log["metric"] == name, "value"].to_numpy() for log in self.logs[arm]]

    def last(self, arm: str, name: str, steps: int) -> np.ndarray:
        """Return a metric's mean over the last steps, one value a seed."""
        return np.array([values[-steps:].mean() for values in self.metric(arm, name)])

    def evaluate(
        self,
        problems: Dataset | str,
        *,
        before: Mapping[str, Sequence[Any]],
        paired_seeds: bool = False,
        **asked: Any,
    ) -> Tested:
        """Evaluate every run, and models from before training, on the same problems.

        `before` maps a name to its models, one or one a seed; `paired_seeds` samples with each run's training
        seed; `asked` are options of `hammerlib.evaluate`.
        """
        tested: dict[str, list[RunRecord]] = {}
        for name, models in {**before, **self.records}.items():
            tested[name] = []
            for model, seed in zip(models, self.seeds, strict=False):
                options = asked | ({"seed": seed} if paired_seeds else {})
                tested[name].append(evaluate(model, problems, **options))
        return Tested(tested)


@dataclass(frozen=True)
class Tested:
    """Evaluations of the same problems, by arm and seed."""

    records: dict[str, list[RunRecord]]

    @functools.cached_property
    def shares(self) -> dict[str, np.ndarray]:
        """Share of right samples of every problem, (seeds, n), problems in the order of their ids."""
        shares = {}
        for arm, records in self.records.items():
            tables = [outcomes(record).set_index("id").sort_index() for record in records]
            shares[arm] = np.stack([(table["correct"] / table["n"]).to_numpy() for table in tables])
        return shares

    @functools.cached_property
    def means(self) -> dict[str, Interval]:
        """Pass@1 of every arm, with its interval over problems and seeds."""
        return {arm: mean_interval(values) for arm, values in self.shares.items()}

    def gain(self, arm: str, control: str) -> Interval:
        """Return how much more one arm solves than another, problem by problem and seed by seed."""
        treated, untreated = self.shares[arm], self.shares[control]
        seeds = max(len(treated), len(untreated))
        if len(untreated) == 1:  # a model that no seed changed
            # paired with every seed of the other arm
            untreated = np.repeat(untreated, seeds, axis=0)
        return paired_interval(untreated, treated)

    def completions(self, arm: str) -> pd.DataFrame:
        """Return all samples of an arm: id, completion, and the run's place among the seeds."""
        tables = []
        for run, record in enumerate(self.records[arm]):
            path = record.folder / "samples.jsonl"
            tables.append(pd.read_json(path, lines=True, dtype={"completion": str}).assign(run=run))
        return pd.concat(tables)


def over_seeds(
    values: Sequence[float] | np.ndarray, *, low: float = -np.inf, high: float = np.inf
) -> Interval:
    """Return the mean over seeds with Student's 95 % interval, cut to a scale.

    Parameters
    ----------
    values : sequence of float
        One a seed, two or more.
    low, high : float
        Ends of the scale.

    Examples
    --------
    >>> [round(end, 2) for end in over_seeds([0.1, 0.2], low=0.0)]
    [0.15, 0.0, 0.79]
    """
    values = np.asarray(values, dtype=float)
    # mean +- t_{.975, n - 1} s / sqrt(n)
    half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    mean = float(values.mean())
    return Interval(mean, float(max(low, mean - half)), float(min(high, mean + half)))
