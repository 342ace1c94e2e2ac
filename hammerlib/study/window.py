"""Learnability window: train only what the start solves now and then, for the same number of prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from hammerlib.errors import InputError
from hammerlib.study.settings import check_interval

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Window:
    """The problems of a learnability window and how long they are trained.

    Attributes
    ----------
    rows : (m,) int array
        Rows of the whole table, ascending.
    problems : Dataset
        These rows.
    epochs : int
        Passes that consume at least as many prompts as one pass over the whole table.
    max_steps : int
        Optimizer steps that consume as many prompts as one pass over the whole table.
    inside : int
        Problems whose pass rate lies in the window; those above m fill no whole step and were left out.
    probe_rollouts : int
        Completions spent on measuring the pass rates of the whole table: part of the arm's budget.

    Examples
    --------
    >>> from hammerlib import load_problems
    >>> table = load_problems("reasoning-gym:nano", split="rl", n=4)
    >>> told = learnable_window(table, [0.0, 0.5, 0.5, 1.0], [0.2, 0.8], samples=8, prompts_per_step=2)
    >>> told.rows.tolist(), told.epochs, told.max_steps, told.probe_rollouts
    ([1, 2], 2, 2, 32)
    """

    rows: np.ndarray
    problems: Dataset
    epochs: int
    max_steps: int
    inside: int
    probe_rollouts: int


def learnable_window(
    problems: Dataset,
    pass_rates: ArrayLike,
    interval: tuple[float, float] | list[float],
    *,
    samples: int,
    prompts_per_step: int,
    seed: int = 0,
) -> Window:
    """Select the problems whose measured pass rate lies in an interval, and match the prompts consumed.

    Parameters
    ----------
    problems : Dataset
        Problem table of n rows.
    pass_rates : (n,) array-like
        Of the start, in [0, 1], such as `hammerlib.systems.hard_examples.selection` measures.
    interval : two floats
        Lowest and highest pass rate, both included.
    samples : int
        Completions a problem behind the pass rates, at least 1.
    prompts_per_step : int
        Prompts of one optimizer step, at least 1. What fills no whole step of a pass is left out, drawn by
        `seed`, so that every pass trains every kept problem once.
    seed : int

    Returns
    -------
    Window
        Give `problems` to `train` with its `epochs` and `max_steps`.

    Raises
    ------
    InputError
        Rates that are not n numbers in [0, 1] or no multiples of 1 / samples, an interval that is none, a
        window with fewer problems than a step, or a table smaller than a step.

    Notes
    -----
    Source: the selection of arXiv 2506.09016 (SPEED-RL) and arXiv 2508.14094, before training instead of in
    between. A GRPO step learns from a group with probability ``1 - p^G - (1 - p)^G``. Measured rates regress:
    problems chosen for a rate in the middle have true rates nearer the pool's mean.

    Examples
    --------
    See `Window`.

    >>> from hammerlib import load_problems
    >>> table = load_problems("reasoning-gym:nano", split="rl", n=2)
    >>> learnable_window(table, [0.0, 1.0], [0.2, 0.8], samples=4, prompts_per_step=1)
    Traceback (most recent call last):
    hammerlib.errors.InputError: window = [0.2, 0.8]: holds 0 of 2 problems, not one step of 1; widen it
    """
    low, high = check_interval("window", interval)
    rates, n = _checked(pass_rates, samples, len(problems)), len(problems)
    if isinstance(prompts_per_step, bool) or not 1 <= prompts_per_step <= n:
        raise InputError("prompts_per_step", prompts_per_step, f"is no step of {n} problems", "use 8")
    inside = np.flatnonzero((rates >= low - 1e-9) & (rates <= high + 1e-9))
    kept = len(inside) // prompts_per_step * prompts_per_step
    if kept == 0:
        problem = f"holds {len(inside)} of {n} problems, not one step of {prompts_per_step}"
        raise InputError("window", interval, problem, "widen it")
    rows = np.sort(np.random.default_rng(seed).permutation(inside)[:kept])
    steps = n // prompts_per_step
    return Window(
        rows=rows,
        problems=problems.select(rows),
        epochs=-(-steps // (kept // prompts_per_step)),
        max_steps=steps,
        inside=len(inside),
        probe_rollouts=samples * n,
    )


def _checked(pass_rates: ArrayLike, samples: int, n: int) -> np.ndarray:
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise InputError("samples", samples, "is no number of completions", "use 8")
    rates = np.asarray(pass_rates, dtype=float)
    if rates.shape != (n,) or not ((rates >= 0) & (rates <= 1)).all():
        remedy = "sample the start on these problems"
        raise InputError("pass_rates", rates.shape, f"are not {n} numbers in [0, 1]", remedy)
    counts = rates * samples
    if not np.allclose(counts, np.round(counts), atol=1e-6):
        odd = float(rates[np.abs(counts - np.round(counts)).argmax()])
        raise InputError(
            "samples", samples, f"cannot have given a pass rate of {odd:.4g}", "give their number"
        )
    return rates
