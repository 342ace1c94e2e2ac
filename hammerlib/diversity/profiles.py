"""Profiles of a whole order: items at a distance, windows, and the band of random orders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from hammerlib.diversity.prefixes import fitting, prefix_profile, topics_of
from hammerlib.embeddings import Embeddings
from hammerlib.errors import InputError
from hammerlib.ordering import Order, used_vectors
from hammerlib.runs.storage import progress_off
from hammerlib.similarity import BLOCK_ROWS, Array, centred_rows, host

if TYPE_CHECKING:
    import datasets
    import pandas as pd

LAGS = (1, 2, 4, 8, 16, 32, 64)


def lag_profile(
    order: Order | Array, embeddings: Embeddings | Array, *, lags: Sequence[int] = LAGS
) -> pd.DataFrame:
    """Return how alike items of an order are that stand k places apart.

    Parameters
    ----------
    order : Order or (n,) int array
    embeddings : Embeddings or (n, d) array or tensor
    lags : sequence of int
        Distances k, at least 1; those that no two of the n items have are left out.

    Returns
    -------
    DataFrame
        Columns lag, value: the mean cosine of all pairs k places apart, after the mean of all rows is
        subtracted and they are scaled to length one again (near 0 in a random order). An order that
        alternates between opposite sides is negative at odd and positive at even lags.

    Raises
    ------
    InputError
        Zero or NaN rows, rows that equal the mean, a lag below 1, or items that do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> rows = [[1.0, 0.0], [-1.0, 0.0], [1.0, 0.1], [-1.0, -0.1]]
    >>> lag_profile(np.arange(4), rows, lags=[1, 2])["value"].round(2).tolist()
    [-1.0, 1.0]
    """
    import pandas as pd

    wrong = [lag for lag in lags if lag < 1]
    if wrong:
        raise InputError("lags", wrong, "are no distances along an order", "use 1, 2, 4, ...")
    centred = centred_rows(used_vectors(embeddings))
    placed = host(centred)[fitting(order, len(centred))]
    rows = [(lag, _mean_product(placed, lag)) for lag in lags if lag < len(placed)]
    return pd.DataFrame(rows, columns=["lag", "value"])


def _mean_product(placed: np.ndarray, lag: int) -> float:
    """Return the mean product of rows `lag` places apart, in blocks so that no copy of all rows is made."""
    pairs, total = len(placed) - lag, 0.0
    for start in range(0, pairs, BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, pairs)
        total += float(np.vdot(placed[start:stop], placed[start + lag : stop + lag]))
    return total / pairs


def window_profile(
    order: Order | Array,
    embeddings: Embeddings | Array,
    *,
    window: int = 8,
    problems: datasets.Dataset | None = None,
) -> pd.DataFrame:
    """Return how diverse the consecutive windows of an order are: what each training step compares.

    Parameters
    ----------
    order, embeddings
        As in :func:`lag_profile`.
    window : int
        Items K of a window, 2 to n; items that fill no window at the end are left out.
    problems : datasets.Dataset, optional
        Its `topic` column adds the metric `topics`, the number of different topics in a window.

    Returns
    -------
    DataFrame
        Columns window, metric, part, value; part is `mean`, `min` or `max` over the windows. Metrics:
        `mean_cosine` (pairs of the window), `vendi` and `vendi_centred` (1 to K).

    Raises
    ------
    InputError
        Zero or NaN rows, rows that equal the mean, a window that does not fit, or items that do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> frame = window_profile([0, 1, 3, 2], np.eye(4), window=2)
    >>> frame.loc[frame["metric"] == "vendi", "value"].round(6).tolist()
    [2.0, 2.0, 2.0]
    """
    import pandas as pd

    units = used_vectors(embeddings)
    n = len(units)
    if not 2 <= window <= n:
        raise InputError("window", window, f"cuts {n} items into no windows of pairs", f"use 2 to {n}")
    windows = fitting(order, n)[: n - n % window].reshape(-1, window)
    kernels = _kernels(host(units), windows)
    found = {
        "mean_cosine": (kernels.sum(axis=(1, 2)) / window - 1) / (window - 1),
        "vendi": _vendi(kernels),
        "vendi_centred": _vendi(_kernels(host(centred_rows(units)), windows)),
    }
    if problems is not None:
        topics = np.sort(topics_of(problems, n)[windows], axis=1)
        found["topics"] = 1 + (topics[:, 1:] != topics[:, :-1]).sum(axis=1)
    rows = [
        (window, metric, part, float(reduce(values)))
        for metric, values in found.items()
        for part, reduce in (("mean", np.mean), ("min", np.min), ("max", np.max))
    ]
    return pd.DataFrame(rows, columns=["window", "metric", "part", "value"])


def _kernels(units: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Return the (W, K, K) cosine kernels of all windows."""
    kernels = np.empty((len(windows), windows.shape[1], windows.shape[1]))
    step = max(1, BLOCK_ROWS // windows.shape[1])
    for start in range(0, len(windows), step):
        part = units[windows[start : start + step]].astype(np.float64)
        kernels[start : start + step] = part @ part.transpose(0, 2, 1)
    return kernels


def _vendi(kernels: np.ndarray) -> np.ndarray:
    """Return the Vendi score (q = 1) of every kernel."""
    shares = np.clip(np.linalg.eigvalsh(kernels / kernels.shape[1]), 0, None)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)  # 0 log 0 = 0
    return np.exp(-(shares * logs).sum(axis=1))


def random_reference(
    embeddings: Embeddings | Array,
    *,
    profile: Callable[..., pd.DataFrame] = prefix_profile,
    seeds: int = 20,
    level: float = 0.95,
    **options: Any,
) -> pd.DataFrame:
    """Return a profile of random orders: their mean, and the band that holds most of them.

    Parameters
    ----------
    embeddings : Embeddings or (n, d) array or tensor
    profile : callable
        :func:`prefix_profile`, :func:`lag_profile` or :func:`window_profile`.
    seeds : int
        Random orders, seeds 0, 1, ..., at least 2.
    level : float
        Share of orders between `low` and `high` (quantiles over the seeds), in (0, 1).
    **options
        Of the profile: `fractions`, `problems`, `lags`, `window`.

    Returns
    -------
    DataFrame
        Columns of the profile, and low, high; for prefixes fraction, count, metric, value, low, high.

    Raises
    ------
    InputError
        Fewer than two seeds, a level outside (0, 1), or what the profile refuses.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(10, 3))
    >>> frame = random_reference(rows, fractions=[0.5], seeds=4)
    >>> bool((frame["low"] <= frame["value"]).all() and (frame["value"] <= frame["high"]).all())
    True
    """
    import pandas as pd

    if seeds < 2 or not 0 < level < 1:
        raise InputError("seeds, level", (seeds, level), "make no band", "use seeds=20, level=0.95")
    n = len(used_vectors(embeddings))
    frames = [
        profile(np.random.default_rng(seed).permutation(n), embeddings, **options)
        for seed in tqdm(range(seeds), "random orders", delay=3, disable=progress_off())
    ]
    names = [name for name in frames[0].columns if name != "value"]
    together = pd.concat(frames).groupby(names, sort=False)["value"]
    tail = (1 - level) / 2
    return together.agg(
        value="mean", low=lambda values: values.quantile(tail), high=lambda values: values.quantile(1 - tail)
    ).reset_index()
