"""Learning curves that grow in a notebook while the runs train."""

from __future__ import annotations

import contextlib
import io
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from hammerlib.plots.curves import training_curves
from hammerlib.runs.storage import progress_off, results_root

LABELS = {
    "reward_raw": "share of right answers",
    "mean_cosine": "mean pairwise cosine in a group",
    "entropy": "token entropy (nats)",
}
Show = Callable[[Figure], None]


@contextlib.contextmanager
def live_curves(
    metrics: Sequence[str] = ("reward_raw", "mean_cosine"),
    *,
    every: float = 5.0,
    window: int = 10,
    root: Path | None = None,
) -> Iterator[None]:
    """Draw the curves of all runs that train inside the ``with`` block, in place, and once more at its end.

    It reads the runs' ``metrics.csv``, so the runs may be in other processes. Under CI, in `hammer run` and
    outside of a notebook nobody watches, and nothing is drawn.

    Parameters
    ----------
    metrics : sequence of str
        Names in ``metrics.csv``; one panel each.
    every : float
        Seconds between two figures.
    window : int
        Steps of the running mean.
    root : Path, optional
        Folder of run folders; default `results_root()`.

    Examples
    --------
    >>> with live_curves(("reward_raw",)):  # in a notebook, around train(...) or run_grid(...)
    ...     pass
    """
    folder = Path(root or results_root())
    since = time.time()
    show = None if progress_off() else _screen()
    ended = threading.Event()

    def refresh() -> None:
        while not ended.wait(every):
            _draw(folder, since, metrics, window, show)

    growing = threading.Thread(target=refresh, daemon=True)
    if show is not None:
        growing.start()
    try:
        yield
    finally:
        ended.set()
        if growing.is_alive():
            growing.join()
        _draw(folder, since, metrics, window, show)


def growing_runs(root: Path, since: float) -> dict[str, list[pd.DataFrame]]:
    """Return the logs of training runs written to since then: arm to one table per seed."""
    runs: dict[str, list[pd.DataFrame]] = {}
    for log in sorted(root.glob("train__*/metrics.csv")):
        try:
            # A file is stamped with the kernel's last tick, some milliseconds before the clock's time.
            if log.stat().st_mtime < since - 0.05:
                continue
            # A line may be half written at this moment.
            table = pd.read_csv(log, names=["step", "metric", "value"], skiprows=1, on_bad_lines="skip")
        except (OSError, pd.errors.EmptyDataError):  # replaced by a resumed run just now
            continue
        _, order, adjustment, *_ = log.parent.name.split("__")
        name = order if adjustment == "none" else f"{order} + {adjustment}"
        numbers = table.assign(value=pd.to_numeric(table["value"], errors="coerce"))
        numbers = numbers.dropna().drop_duplicates(["step", "metric"])
        if not numbers.empty:
            runs.setdefault(name, []).append(numbers)
    return runs


def _draw(root: Path, since: float, metrics: Sequence[str], window: int, show: Show | None) -> None:
    runs = growing_runs(root, since)
    if show is None or not runs:
        return
    figure = Figure(figsize=(4.6 * len(metrics), 3.2), layout="constrained")
    for ax, metric in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
        logged = {}
        for name, tables in runs.items():
            with_metric = [table for table in tables if (table["metric"] == metric).any()]
            if with_metric:
                logged[name] = with_metric
        training_curves(logged, metric, label=LABELS.get(metric, metric), window=window, ax=ax)
    seeds = max(len(tables) for tables in runs.values())
    figure.axes[0].legend(loc="best")
    title = f"arms: {len(runs)}, seeds: up to {seeds}, running mean of {window} steps"
    figure.axes[0].set_title(title, loc="left", fontsize=8)
    show(figure)


def _screen() -> Show | None:
    """What shows a figure in this notebook, each in the place of the one before; None outside of one."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import SVG, display

    place = []

    def show(figure: Figure) -> None:
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg")
        if place:
            place[0].update(SVG(drawn.getvalue()))
        else:
            place.append(display(SVG(drawn.getvalue()), display_id=True))

    return show
