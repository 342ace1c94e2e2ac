"""An order under asynchronous training: what happens to every problem between its generation and its step."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
import pandas as pd

from hammerlib.adapters.findings import Audit, audit
from hammerlib.adapters.logs import Log, Trained
from hammerlib.errors import InputError, check_whole
from hammerlib.ordering import Order

# What a log of a prompt's life says of it; a step is that of the trainer, from 1; -1 has not come. What is
# generated and trained in one step is of age 0, as the audit counts.
LIFE = ("place", "generated", "finished", "trained", "dropped")


def simulate(
    lengths: Sequence[Sequence[float]],
    *,
    batch: int,
    staleness: int,
    steps: int | None = None,
    step_time: float | None = None,
) -> pd.DataFrame:
    """Walk an order with a generator that runs ahead of the trainer, and log the life of every prompt.

    The generator starts prompts in the order, at most ``(staleness + 1) * batch`` of them beyond what is
    trained. A prompt is finished when the longest of its completions is. The trainer takes the `batch`
    prompts that finished first, whatever the order says; a prompt whose weights are then more than
    `staleness` steps old is dropped.

    Parameters
    ----------
    lengths : n sequences
        Lengths of the completions of every place of the order, in tokens or any unit.
    batch : int
        Prompts of a step.
    staleness : int
        Steps that the generator may be ahead; 0 is training in lockstep.
    steps : int, optional
        Steps of the trainer; default as many as the order fills.
    step_time : float, optional
        Time of an optimizer step in units of length; default the mean time of a prompt, so that neither side
        waits for long.

    Returns
    -------
    DataFrame
        One row a started prompt: `LIFE`. `generated` is the step that the trainer was at when it began,
        whose age is the difference to `trained`, `finished` the one when it was finished.

    Raises
    ------
    InputError
        No lengths; a batch or staleness that is no such number.

    Notes
    -----
    Source: ours. The cap on how far generation runs ahead is that of prime-rl and AReaL.

    Examples
    --------
    >>> life = simulate([[3.0], [9.0], [1.0], [1.0]], batch=2, staleness=1)
    >>> life["trained"].tolist()
    [2, 2, 1, 1]
    """
    check_whole("batch", batch, 1, "give the prompts of a step")
    check_whole("staleness", staleness, 0, "give a number of steps")
    if not len(lengths):
        raise InputError("lengths", 0, "there are none", "give those of every place of the order")
    longest = [float(np.max(group)) for group in lengths]
    n = len(longest)
    total = steps or n // batch
    step_time = float(np.mean(longest)) if step_time is None else step_time
    life: list[list[int]] = []
    running: list[tuple[float, int]] = []
    ready: list[int] = []
    now, done, taken, version = 0.0, 0, 0, 0
    while done < total and (taken < n or running or ready):
        # Start what may run ahead: everything begun and not yet trained or dropped counts.
        ahead = sum(row[3] < 0 and not row[4] for row in life)
        while taken < n and ahead < (staleness + 1) * batch:
            life.append([taken, version + 1, -1, -1, 0])
            heapq.heappush(running, (now + longest[taken], taken))
            taken, ahead = taken + 1, ahead + 1
        for position in [position for position in ready if version + 1 - life[position][1] > staleness]:
            life[position][4] = 1
            ready.remove(position)
        if len(ready) >= batch:
            for position in ready[:batch]:
                life[position][3] = done + 1
            ready = ready[batch:]
            end = now + step_time
            while running and running[0][0] <= end:
                ready.append(_finish(running, life, version))
            now, done, version = end, done + 1, version + 1
        elif running:
            now = max(now, running[0][0])
            ready.append(_finish(running, life, version))
        else:
            break
    return pd.DataFrame(life, columns=LIFE).astype({"dropped": bool})


def _finish(running: list[tuple[float, int]], life: list[list[int]], version: int) -> int:
    position = heapq.heappop(running)[1]
    life[position][2] = version + 1
    return position


def survival(life: pd.DataFrame, n: int, *, late: int = 0) -> Audit:
    """Return the audit of a life's trained prompts against the order of n places.

    Examples
    --------
    >>> survival(simulate([[1.0]] * 8, batch=2, staleness=0), 8).kept
    True
    """
    trained = life[life["trained"] > 0].sort_values(["trained", "place"])
    rows = [
        Trained(int(row.trained), (int(row.place),), f"place {row.place}", None, int(row.generated))
        for row in trained.itertuples()
    ]
    return audit(Log("simulated", rows), Order(np.arange(n), "dataset"), late=late)


def untrained(life: pd.DataFrame, step: int) -> list[int]:
    """Return the places that a checkpoint after `step` steps finds started and not trained, in the order.

    A loader that saves how many prompts it handed out goes on behind them, and they are never trained. A
    resume that is aligned with the frontier of training hands them out first.

    Examples
    --------
    >>> untrained(simulate([[3.0], [9.0], [1.0], [1.0]], batch=2, staleness=1), 1)
    [0, 1]
    """
    started = life[(life["generated"] <= step) & ~life["dropped"]]
    return sorted(started[(started["trained"] < 0) | (started["trained"] > step)]["place"].tolist())
