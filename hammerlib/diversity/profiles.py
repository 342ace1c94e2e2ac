"""Profiles of an order: its first part, items k places apart, its windows, each beside random orders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from hammerlib.diversity.scores import vendi_from_kernel, vendi_of_units
from hammerlib.errors import InputError
from hammerlib.models.embeddings import Embeddings
from hammerlib.ordering import Order, edge_costs, used_vectors
from hammerlib.ordering.order import as_permutation
from hammerlib.runs.storage import progress_off
from hammerlib.similarity import BLOCK_ROWS, Array, centred_rows, host, mean_cosine, row_reduce

if TYPE_CHECKING:
    from collections.abc import Callable

    import datasets
    import pandas as pd

    Statistic = Callable[[np.ndarray], float]


FRACTIONS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
METRICS = ("mean_cosine", "vendi", "vendi_centred", "coverage_radius", "topic_tv")


def prefix_profile(
    order: Order | Array,
    embeddings: Embeddings | Array,
    *,
    fractions: Sequence[float] = FRACTIONS,
    problems: datasets.Dataset | None = None,
) -> pd.DataFrame:
    """Return how diverse the first part of an order is, at several lengths.

    Parameters
    ----------
    order : Order or (n,) int array
    embeddings : Embeddings or (n, d) array or tensor
    fractions : sequence of float
        Parts of the whole in (0, 1]; a part has at least two items.
    problems : datasets.Dataset, optional
        Its `topic` column adds the metric `topic_tv`.

    Returns
    -------
    DataFrame
        Columns fraction, count, metric, value. Metrics: `mean_cosine` (pairs of the part, low is diverse),
        `vendi` and `vendi_centred` (effective numbers, raw and with the mean of **all** rows subtracted),
        `coverage_radius` (1 - cosine, low is good), `topic_tv` (total variation between the part's topics
        and all topics, 0 to 1).

    Raises
    ------
    InputError
        Zero or NaN rows, rows that equal the mean, fractions outside (0, 1], an order that does not name
        every item once, or problems that do not fit.

    Notes
    -----
    Source: ours, of known measures: `vendi_score` (arXiv 2210.02410), and the radius that the k-centre
    problem minimises (Gonzalez 1985).

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(10, 3))
    >>> prefix_profile(np.arange(10), rows, fractions=[1.0])["metric"].tolist()
    ['mean_cosine', 'vendi', 'vendi_centred', 'coverage_radius']
    """
    import pandas as pd

    units = used_vectors(embeddings)
    counts = _counts(len(units), fractions)
    permutation = fitting(order, len(units))
    # less the mean of all rows, not of the part: one kernel for all lengths
    centred = centred_rows(units)
    topics = None if problems is None else topics_of(problems, len(units))
    covered = np.full(len(units), -np.inf)
    done = 0
    rows = []
    for fraction, count in counts:
        prefix = permutation[:count]
        if count > done:  # products with the new items only: one full pass over all fractions together
            newest = row_reduce(units, units[permutation[done:count]], lambda block: block.max(axis=1))
            covered = np.maximum(covered, newest)
            done = count
        values = [mean_cosine(units[prefix]), vendi_of_units(units[prefix]), vendi_of_units(centred[prefix])]
        # coverage radius: 1 - min_i max_{j in prefix} cos(x_i, x_j)
        values.append(1.0 - float(covered.min()))
        if topics is not None:
            # total variation: half the summed difference of the two distributions over topics
            mixes = [
                np.bincount(some, minlength=topics.max() + 1) / len(some) for some in (topics, topics[prefix])
            ]
            values.append(float(np.abs(mixes[0] - mixes[1]).sum() / 2))
        rows += [(fraction, count, name, value) for name, value in zip(METRICS, values, strict=False)]
    return pd.DataFrame(rows, columns=["fraction", "count", "metric", "value"])


def fitting(order: Order | Array, n: int) -> np.ndarray:
    """Return the permutation of an order of n items."""
    permutation = order.permutation if isinstance(order, Order) else as_permutation(order, "order")
    if len(permutation) != n:
        raise InputError("order", len(permutation), f"does not fit {n} items", "use its own items")
    return permutation


def topics_of(problems: datasets.Dataset, n: int) -> np.ndarray:
    """Return the topic of each of n problems as a number, (n,)."""
    if "topic" not in getattr(problems, "column_names", ()):
        raise InputError("problems", problems, "have no column 'topic'", "make them with load_problems")
    if len(problems) != n:
        raise InputError("problems", len(problems), f"do not fit {n} vectors", "pass one problem per vector")
    return np.unique(list(problems["topic"]), return_inverse=True)[1]


def _counts(n: int, fractions: Sequence[float]) -> list[tuple[float, int]]:
    """Return sorted (fraction, number of items)."""
    if n < 2:
        raise InputError("embeddings", n, "leave no pair to measure", "pass at least two rows")
    numbers = np.ndim(fractions) == 1 and np.asarray(fractions).dtype.kind in "fiu"
    if not numbers or not all(0 < fraction <= 1 for fraction in fractions) or not len(fractions):
        remedy = "use numbers above 0 and up to 1"
        raise InputError("fractions", fractions, "are not parts of a whole", remedy)
    return [(float(fraction), max(2, round(fraction * n))) for fraction in sorted(fractions)]


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
    pairs = len(placed) - lag
    total = 0.0
    for start in range(0, pairs, BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, pairs)
        # sum_t x_t . x_{t + k}
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
    centred = _kernels(host(centred_rows(units)), windows)
    measures = {
        # all K^2 cosines less the K of items with themselves, over the K (K - 1) others
        "mean_cosine": (kernels.sum(axis=(1, 2)) / window - 1) / (window - 1),
        "vendi": np.array([vendi_from_kernel(kernel) for kernel in kernels]),
        "vendi_centred": np.array([vendi_from_kernel(kernel) for kernel in centred]),
    }
    if problems is not None:
        # different topics of a sorted row = 1 + number of places where it changes
        topics = np.sort(topics_of(problems, n)[windows], axis=1)
        measures["topics"] = 1 + (topics[:, 1:] != topics[:, :-1]).sum(axis=1)
    rows = []
    for metric, values in measures.items():
        for summary in ("mean", "min", "max"):
            rows.append((window, metric, summary, float(getattr(values, summary)())))
    return pd.DataFrame(rows, columns=["window", "metric", "part", "value"])


def _kernels(units: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Return the (W, K, K) cosine kernels of all windows."""
    kernels = np.empty((len(windows), windows.shape[1], windows.shape[1]))
    step = max(1, BLOCK_ROWS // windows.shape[1])
    for start in range(0, len(windows), step):
        rows = units[windows[start : start + step]].astype(np.float64)
        kernels[start : start + step] = rows @ rows.transpose(0, 2, 1)
    return kernels


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
    # the same seeds for every profile: its rows are of the same random orders
    frames = [
        profile(np.random.default_rng(seed).permutation(n), embeddings, **options)
        for seed in tqdm(range(seeds), "random orders", delay=3, disable=progress_off())
    ]
    names = [name for name in frames[0].columns if name != "value"]
    together = pd.concat(frames).groupby(names, sort=False)["value"]
    # quantiles over orders, not an interval of the mean: where a random order lies
    tail = (1 - level) / 2
    return together.agg(
        value="mean", low=lambda values: values.quantile(tail), high=lambda values: values.quantile(1 - tail)
    ).reset_index()


EXPLAINED = (0.02, 0.1, 0.25, 0.5)  # prefixes of the table
MOST = 4000  # items whose prefixes are measured: Vendi and coverage of 20,000 for 20 seeds take minutes


def explain_order(
    order: Order | Array,
    embeddings: Embeddings | Array,
    *,
    problems: datasets.Dataset | None = None,
    window: int = 8,
    seeds: int = 20,
) -> pd.DataFrame:
    """Return all profiles of an order in one table, each number beside those of random orders.

    Parameters
    ----------
    order, embeddings
        As in :func:`~hammerlib.diversity.profiles.lag_profile`.
    problems : datasets.Dataset, optional
        Adds what looks at topics.
    window : int
        Items of a window: problems of a training step; all items where there are fewer.
    seeds : int
        Random orders, at least 2.

    Returns
    -------
    DataFrame
        Columns measure, part, value, random (mean over the seeds), low, high (95 % of the seeds). Measures:
        edge cosine (all, and by tenth of the order), centred cosine by lag, windows, and prefixes. Prefixes
        of more than 4,000 items are those of 4,000 drawn from all (seed 0), in their order; the part says so.

    Raises
    ------
    InputError
        What the profiles refuse.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(40, 3))
    >>> explain_order(np.arange(40), rows, seeds=3).columns.tolist()
    ['measure', 'part', 'value', 'random', 'low', 'high']
    """
    import pandas as pd

    units = used_vectors(embeddings)
    permutation = fitting(order, len(units))
    sample = np.arange(len(units))
    if len(units) > MOST:
        sample = np.sort(np.random.default_rng(0).choice(len(units), MOST, replace=False))
    # place of each sampled item among the sampled, -1 for the rest, so that the order carries over
    rank = np.full(len(units), -1)
    rank[sample] = np.arange(len(sample))
    sampled = rank[permutation][rank[permutation] >= 0]
    some = problems if problems is None or len(sample) == len(units) else problems.select(sample)
    profiles = [
        _beside(permutation, units, seeds, _edges),
        _beside(permutation, units, seeds, lag_profile),
        _beside(permutation, units, seeds, window_profile, window=min(window, len(units)), problems=problems),
        _beside(sampled, units[sample], seeds, prefix_profile, fractions=EXPLAINED, problems=some),
    ]
    frame = pd.concat([_named(table, len(units)) for table in profiles], ignore_index=True)
    return frame[["measure", "part", "value", "random", "low", "high"]]


def _edges(permutation: np.ndarray, units: Array) -> pd.DataFrame:
    """Return mean edge cosines of the whole order (tenth 0) and of its tenths."""
    import pandas as pd

    costs = edge_costs(permutation, units)
    # edges, not items: n - 1 of them in tenths
    stretches = [costs, *(tenth for tenth in np.array_split(costs, 10) if len(tenth))]
    return pd.DataFrame({"tenth": range(len(stretches)), "value": [tenth.mean() for tenth in stretches]})


def _beside(
    permutation: np.ndarray, units: Array, seeds: int, profile: Callable[..., pd.DataFrame], **options: Any
) -> pd.DataFrame:
    """Return a profile of the order and, in the same rows, that of random orders."""
    frame = profile(permutation, units, **options)
    reference = random_reference(units, profile=profile, seeds=seeds, **options)
    return frame.assign(random=reference["value"], low=reference["low"], high=reference["high"])


def _named(frame: pd.DataFrame, n: int) -> pd.DataFrame:
    """Put what a row of a profile measures, and where, into words."""
    if "tenth" in frame:
        parts = ["all" if tenth == 0 else f"tenth {tenth}" for tenth in frame["tenth"]]
        return frame.assign(measure="edge cosine", part=parts)
    if "lag" in frame:
        return frame.assign(measure="centred cosine", part=[f"{lag} apart" for lag in frame["lag"]])
    if "window" in frame:
        parts = [f"windows of {row.window}, {row.part}" for row in frame.itertuples()]
        return frame.assign(measure=frame["metric"], part=parts)
    sampled = f" (of {MOST} sampled)" if n > MOST else ""
    firsts = zip(frame["fraction"], frame["count"], strict=True)
    parts = [f"first {fraction:.0%}: {count}{sampled}" for fraction, count in firsts]
    return frame.assign(measure=frame["metric"], part=parts)


def order_correlates(
    order: Order | Array, problems: datasets.Dataset, *, permutations: int = 999, seed: int = 0
) -> pd.DataFrame:
    """Return how the position in an order goes along with what is known of the problems.

    Parameters
    ----------
    order : Order or (n,) int array
    problems : datasets.Dataset
        Row i is item i: `prompt`, `topic`, and `difficulty` where there is one.
    permutations : int
        Random orders behind intervals and p-values, at least 19.
    seed : int

    Returns
    -------
    DataFrame
        Columns property, measure, value, chance (exact expectation of a random order), low, high (95 % of the
        random orders), p (two-sided, at least 1 / (permutations + 1); not corrected for several rows). Rows:
        Spearman correlation of the position with the prompt's characters and with difficulty, share of the
        position's variance that lies between topics (eta squared), and share of neighbours of one topic.
        A property that is the same for all problems has no row.

    Raises
    ------
    InputError
        An order of other items, fewer than three problems, or too few permutations.

    Examples
    --------
    >>> import datasets
    >>> import numpy as np
    >>> table = datasets.Dataset.from_dict({"prompt": ["a", "bb", "ccc", "dddd"], "topic": list("xxyy")})
    >>> order_correlates(np.arange(4), table)["value"].round(2).tolist()
    [1.0, 0.8, 0.67]
    """
    import pandas as pd

    n = len(problems)
    if n < 3 or permutations < 19:
        problem = "leave nothing to compare with"
        raise InputError("problems, permutations", (n, permutations), problem, "use 3 or more and 999")
    # the inverse permutation: place of each problem
    positions = np.empty(n)
    positions[fitting(order, n)] = np.arange(n)
    generator = np.random.default_rng(seed)
    shuffled = [generator.permutation(n).astype(float) for _ in range(permutations)]
    rows = []
    for label, (chance, statistic) in _statistics(problems).items():
        value = statistic(positions)
        others = np.array([statistic(other) for other in shuffled])
        # two-sided about what chance gives, 1e-12 for equal values that rounded apart
        as_far = np.abs(others - chance) >= abs(value - chance) - 1e-12
        low, high = np.quantile(others, [0.025, 0.975])
        # the order itself is one of the orders: p = (1 + as far) / (1 + permutations)
        rows.append((*label, value, chance, low, high, (1 + as_far.sum()) / (permutations + 1)))
    return pd.DataFrame(rows, columns=["property", "measure", "value", "chance", "low", "high", "p"])


def _statistics(problems: datasets.Dataset) -> dict[tuple[str, str], tuple[float, Statistic]]:
    """Return for each (property, measure) the expectation under chance and the function of the places."""
    numbers = {"length": [len(prompt) for prompt in problems["prompt"]]}
    if "difficulty" in problems.column_names:
        numbers["difficulty"] = list(problems["difficulty"])
    statistics: dict[tuple[str, str], tuple[float, Statistic]] = {
        (name, "Spearman correlation"): (0.0, _spearman(np.asarray(values, dtype=float)))
        for name, values in numbers.items()
        if len(set(values)) > 1
    }
    topics, sizes = np.unique(list(problems["topic"]), return_inverse=True, return_counts=True)[1:]
    if len(sizes) > 1:
        n = len(topics)
        # E eta^2 = (topics - 1) / (n - 1) in a random order
        statistics["topic", "eta squared"] = ((len(sizes) - 1) / (n - 1), _eta_squared(topics, sizes))
        # sum_c n_c (n_c - 1) / (n (n - 1)): two random places hold one topic
        together = float((sizes * (sizes - 1)).sum() / (n * (n - 1)))
        statistics["topic", "neighbours alike"] = (together, _neighbours_alike(topics))
    return statistics


def _spearman(values: np.ndarray) -> Statistic:
    from scipy.stats import rankdata  # here, because it takes a second to import

    ranks = rankdata(values)
    # of length one, so that a product with centred places is the correlation
    ranks = (ranks - ranks.mean()) / np.linalg.norm(ranks - ranks.mean())
    # The places are their own ranks; only their length is missing.
    return lambda positions: float(ranks @ positions / np.linalg.norm(positions - positions.mean()))


def _eta_squared(topics: np.ndarray, sizes: np.ndarray) -> Statistic:
    def share(positions: np.ndarray) -> float:
        # eta^2 = sum_c n_c (mean_c - mean)^2 / sum_i (t_i - mean)^2
        off = positions - positions.mean()
        return float((np.bincount(topics, weights=off) ** 2 / sizes).sum() / (off @ off))

    return share


def _neighbours_alike(topics: np.ndarray) -> Statistic:
    def share(positions: np.ndarray) -> float:
        along = np.empty_like(topics)
        # topics in the sequence of the order
        along[positions.astype(np.int64)] = topics
        return float((along[1:] == along[:-1]).mean())

    return share
