"""Hard Examples Are All You Need (arXiv 2508.14094): which problems are worth a label under a fixed budget.

The model is probed on the whole pool, a share of it is chosen by measured pass rate, and equal numbers of
GRPO steps on each choice are compared with a random choice of the same size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from hammerlib.errors import InputError, check_name
from hammerlib.evaluation import evaluate, outcomes
from hammerlib.moved import old_names
from hammerlib.training.schedule import plan

if TYPE_CHECKING:
    from datasets import Dataset

    from hammerlib.models import Backbone
    from hammerlib.runs import RunRecord
    from hammerlib.training import TrainConfig


def probe(
    problems: Dataset,
    backbone: Backbone | str,
    *,
    k: int = 10,
    max_new_tokens: int = 250,
    template: str = "raw",
    seed: int = 0,
    root: Path | None = None,
) -> np.ndarray:
    """Return the share of right answers among k samples of every problem, (n,), at temperature 1.

    The record of `hammerlib.evaluate` holds the samples and is found again. arXiv 2508.14094 and its code:
    mean success (not: any success) of the base model, top-p 1, 250 tokens; its scores are multiples of 0.1,
    so K = 10.
    """
    asked = {"max_new_tokens": max_new_tokens, "template": template, "seed": seed, "root": root}
    return pass_rates(evaluate(backbone, problems, k=k, temperature=1.0, top_p=1.0, **asked), problems)


def pass_rates(record: RunRecord, problems: Dataset) -> np.ndarray:
    """Return the pass rates that an evaluation holds for a pool."""
    table = outcomes(record).set_index("id")
    missing = sorted(set(problems["id"]) - set(table.index))
    if missing:
        remedy = "probe the whole pool"
        raise InputError("record", record.run_id, f"has no samples of {len(missing)} problems", remedy)
    chosen = table.loc[problems["id"][:]]
    if chosen["n"].nunique() > 1:
        counts = sorted(chosen["n"].unique().tolist())
        remedy = "finish the evaluation: rates of unequal samples do not rank"
        raise InputError("record", record.run_id, f"has {counts} samples a problem", remedy)
    return (chosen["correct"] / chosen["n"]).to_numpy(dtype=float)


SUBSETS = ("hard", "medium", "easy", "random")


def select(rates: ArrayLike, share: float, subset: str, *, seed: int = 0) -> np.ndarray:
    """Return the rows, rising, of round(share n) problems of the pool (arXiv 2508.14094: share 0.1).

    ``hard``: the lowest rates; ``easy``: the highest; ``medium``: the window of the same size centred on the
    median rank (how the paper cuts it is not public); ``random``: without looking at the rates.
    """
    rates = _checked(rates)
    check_name("subset", subset, SUBSETS, "is unknown")
    n = len(rates)
    m = round(share * n)
    if not 0 < share <= 1 or m < 1:
        raise InputError("share", share, f"leaves {m} of {n} problems", "choose a share in (0, 1]")
    shuffled = np.random.default_rng(seed).permutation(n)
    if subset == "random":
        return np.sort(shuffled[:m])
    # Shuffled before ranking: a pool has many problems at 0 and at 1, and ties must not follow its order.
    ranked = shuffled[np.argsort(rates[shuffled], kind="stable")]
    # windows of m in the ranking by rising pass rate
    first = {"hard": 0, "medium": (n - m) // 2, "easy": n - m}[subset]
    return np.sort(ranked[first : first + m])


def select_level(rates: ArrayLike, level: float, *, up_to: bool = False) -> np.ndarray:
    """Return the rows of one measured pass rate, or of all rates up to it."""
    # As the released create_subset.py cuts: GSM8K at exact levels, Tracking Shuffled Objects up to one. Of a
    # probe with one sample a problem, level 0 is "base wrong" and level 1 "base right".
    rates = _checked(rates)
    rows = np.flatnonzero(rates <= level + 1e-9 if up_to else np.abs(rates - level) <= 1e-9)
    if not rows.size:
        levels = ", ".join(f"{rate:g}" for rate in np.unique(rates.round(9)))
        raise InputError("level", level, "has no problem in the pool", f"choose from {levels}")
    return rows


def _checked(rates: ArrayLike) -> np.ndarray:
    rates = np.asarray(rates, dtype=float)
    if rates.ndim != 1 or not rates.size or not ((rates >= 0) & (rates <= 1)).all():
        raise InputError("rates", rates.shape, "must be n numbers in [0, 1]", "give the probe's pass rates")
    return rates


def subset_config(config: TrainConfig, size: int, steps: int) -> TrainConfig:
    """Return a config that trains `size` problems for exactly `steps` optimizer steps, in as many epochs.

    arXiv 2508.14094 trains every subset for the same number of steps; dynamic sampling would take another
    number of samples on each.
    """
    if config.dynamic_sampling:
        problem = "takes another number of samples on each subset"
        raise InputError("dynamic_sampling", True, problem, "set dynamic_sampling: false")
    if steps < 1:
        raise InputError("steps", steps, "is below 1", "give optimizer steps")
    # the steps of one pass, before the wanted number cuts it
    once = dataclasses.replace(config, n_problems=size, max_steps=None, epochs=1)
    # as many passes as the steps need; the last one may be cut short
    epochs = -(-steps // plan(once, size).steps_per_epoch)
    return dataclasses.replace(once, max_steps=steps, epochs=epochs).validate()


def same_budget(records: Sequence[RunRecord]) -> dict[str, float]:
    """Return the optimizer steps and generated completions that all runs share; refuse runs that differ."""
    if not records:
        raise InputError("records", 0, "hold no run", "give at least one training run")
    budgets = {}
    for record in records:
        table = record.table("metrics.csv")
        # all that was sampled, also what was left out of training
        completions = float(table.loc[table["metric"] == "generated", "value"].sum())
        budgets[record.run_id] = {"steps": float(table["step"].nunique()), "completions": completions}
    first = next(iter(budgets.values()))
    if any(budget != first for budget in budgets.values()):
        raise InputError("records", budgets, "differ in steps or completions", "see subset_config")
    return first


__getattr__ = old_names(__name__)
