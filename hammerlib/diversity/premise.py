"""The observation that motivates DRA: rewards do not tell completions of different meaning apart.

The paper correlates, prompt by prompt, the reward difference of two completions with the distance of their
embeddings (Spearman, about 3,000 prompts, groups of 6), and reads p > .05 on most prompts as "no relation".
Here with what such a count needs: what chance gives, what would be found if there were a relation, and the
correlation pooled over prompts. Completions are in several pairs at once, so the usual p-value, which takes
pairs for independent, is set beside one from shuffled rewards.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from hammerlib.errors import InputError
from hammerlib.similarity import host

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from hammerlib.similarity import Array

LEVEL = 0.05
# Embeddings are float32: distances and reward differences that differ by less are ties.
TIE = 1e-6
# Of the latent position that stands for an embedding when power is simulated: far below half a turn.
ANGLE = 0.2


def pair_correlations(
    rewards: Array, vectors: Array, *, permutations: int = 499, seed: int = 0
) -> pd.DataFrame:
    """Correlate reward difference and embedding distance over the pairs of each prompt's completions."""
    import pandas as pd
    from scipy.stats import t

    rewards, apart = _checked(rewards, vectors, permutations)
    size = rewards.shape[1]
    first, second = np.triu_indices(size, 1)
    pairs = len(first)
    # The correlation beyond which Student's p is below .05: t = rho sqrt((n - 2) / (1 - rho^2)), for rho.
    critical = t.isf(LEVEL / 2, pairs - 2)
    least = critical / np.sqrt(pairs - 2 + critical**2)
    generator = np.random.default_rng(seed)
    rows = []
    for prompt in range(len(rewards)):
        difference = _ranks(np.abs(rewards[prompt, first] - rewards[prompt, second]))
        distance = _ranks(apart[prompt, first, second])
        spreads = float(difference @ difference), float(distance @ distance)
        if min(spreads) == 0:
            continue
        # rewards are shuffled among completions, not among pairs: a completion is in G - 1 of them
        table = np.zeros((size, size))
        table[first, second] = table[second, first] = difference
        order = generator.permuted(np.tile(np.arange(size), (permutations, 1)), axis=1)
        scale = np.sqrt(spreads[0] * spreads[1])
        others = table[order[:, first], order[:, second]] @ distance / scale
        # Spearman: the correlation of ranks, which are centred already
        cross = float(difference @ distance)
        # the sample itself counts as one of the shuffles, so that p is never 0
        as_far = 1 + (np.abs(others) >= abs(cross / scale) - 1e-12).sum()
        chance = (np.abs(others) > least).mean()
        # kept for the pooled correlation: sums over prompts of numerator and of both spreads
        sums = [value / pairs**2 for value in (cross, *spreads)]
        rows.append((prompt, cross / scale, as_far / (permutations + 1), others[0], chance, *sums))
    names = ["prompt", "rho", "p_shuffled", "shuffled", "chance"]
    frame = pd.DataFrame(rows, columns=[*names, "cross", "spread_reward", "spread_distance"])
    # The usual two-sided p, as scipy's `spearmanr`, which takes the pairs for independent.
    rho = frame["rho"].to_numpy(dtype=np.float64)
    with np.errstate(divide="ignore"):
        statistic = np.abs(rho) * np.sqrt((pairs - 2) / np.clip(1 - rho**2, 0, None))
    frame.insert(2, "p", 2 * t.sf(statistic, pairs - 2))
    return frame


def label_agreement(vectors: Array, labels: Sequence[object]) -> float:
    """Return the chance that a pair with one label is more alike (cosine) than a pair with two labels.

    One group's completions, shape (n, d), and a label of each: 1/2 where likeness says nothing about the
    label (ties count half), NaN where all pairs are of one kind.
    """
    from scipy.stats import mannwhitneyu

    rows = np.asarray(host(vectors), dtype=np.float64)
    names = np.asarray(labels)
    if rows.ndim != 2 or names.shape != rows.shape[:1]:
        problem = "are not (n, d) vectors and n labels"
        raise InputError("vectors, labels", (rows.shape, names.shape), problem, "give each vector its label")
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise InputError("vectors", "zeros, NaN or infinity", "have no cosine", "leave such rows out")
    units = rows / lengths
    first, second = np.triu_indices(len(rows), 1)
    same = names[first] == names[second]
    if same.all() or not same.any():
        return float("nan")
    # Mann's and Whitney's U is the number of comparisons won: over all of them, the chance.
    likeness = np.round((units @ units.T)[first, second] / TIE)
    won = mannwhitneyu(likeness[same], likeness[~same], method="asymptotic").statistic
    return float(won / (same.sum() * (~same).sum()))


def _checked(rewards: Array, vectors: Array, permutations: int) -> tuple[np.ndarray, np.ndarray]:
    """Rewards, and distances of all pairs (B, G, G)."""
    values = np.asarray(host(rewards), dtype=np.float64)
    rows = np.asarray(host(vectors), dtype=np.float64)
    if rows.ndim != 3 or rows.shape[:2] != values.shape or values.shape[1] < 3:
        problem = "are not (B, G) rewards and (B, G, d) vectors with G of at least 3"
        raise InputError("rewards, vectors", (values.shape, rows.shape), problem, "regroup them")
    if not np.isfinite(values).all():
        raise InputError("rewards", "NaN or infinity", "must be finite", "leave such prompts out")
    if permutations < 19:
        raise InputError("permutations", permutations, "cannot reach p = .05", "use 19 or more")
    # distance: 1 - cosine
    units = rows / np.linalg.norm(rows, axis=2, keepdims=True)
    return values, 1 - units @ units.swapaxes(1, 2)


def _ranks(values: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata  # here, because it takes a second to import

    # rounded to ties first: equal rewards differ by rounding after a sum
    ranks = rankdata(np.round(values / TIE))
    return ranks - ranks.mean()


def premise_summary(found: pd.DataFrame, *, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Return what the prompts say together, with 95 % intervals of a bootstrap over prompts."""
    import pandas as pd

    if not len(found):
        problem = "holds no prompt whose rewards and distances vary"
        raise InputError("found", 0, problem, "sample more prompts or completions")
    drawn = np.random.default_rng(seed).integers(len(found), size=(resamples, len(found)))
    drawn = np.concatenate([np.arange(len(found))[None], drawn])  # the first row is the sample itself
    columns = {name: found[name].to_numpy()[drawn] for name in found.columns if name != "prompt"}
    # sum_p cross_p / sqrt(sum_p spread_reward sum_p spread_distance)
    spread = np.sqrt(columns["spread_reward"].sum(axis=1) * columns["spread_distance"].sum(axis=1))
    statistics = {
        "p < .05": (columns["p"] < LEVEL).mean(axis=1),
        "p < .05 by chance": columns["chance"].mean(axis=1),
        "p < .05, exact test": (columns["p_shuffled"] < LEVEL).mean(axis=1),
        "median rho": np.median(columns["rho"], axis=1),
        "pooled correlation": columns["cross"].sum(axis=1) / spread,
    }
    rows = {
        name: (values[0], *np.quantile(values[1:], [0.025, 0.975]), len(found))
        for name, values in statistics.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["value", "low", "high", "n"])


def premise_power(
    group_size: int,
    correlations: Sequence[float] = (0.0, 0.1, 0.2, 0.3, 0.5),
    *,
    graded: bool = False,
    prompts: int = 1000,
    permutations: int = 199,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the share of prompts that `pair_correlations` finds when the true correlation is known.

    A completion has a position and a reward, jointly normal and as strongly related as the wanted Spearman
    correlation of |reward difference| and distance needs (over pairs of all completions).
    """
    import pandas as pd

    if not all(0 <= correlation <= 0.95 for correlation in correlations):
        raise InputError("correlations", list(correlations), "must be in [0, 0.95]", "use 0.1, 0.3, 0.5")
    strengths, reached = _calibration()
    rows = {}
    for number, wanted in enumerate(correlations):
        generator = np.random.default_rng([seed, number])
        position, noise = generator.normal(size=(2, prompts, group_size))
        strength = float(np.interp(wanted, reached, strengths))
        # bivariate normal with correlation `strength`
        rewards = strength * position + np.sqrt(1 - strength**2) * noise
        rewards = (rewards > 0).astype(np.float64) if graded else rewards
        # on an arc: for small angles 1 - cosine grows with the distance of positions
        vectors = np.stack([np.cos(ANGLE * position), np.sin(ANGLE * position)], axis=-1)
        correlated = pair_correlations(rewards, vectors, permutations=permutations, seed=seed)
        below = (correlated[["p", "p_shuffled"]] < LEVEL).mean()
        rows[wanted] = (*below, len(correlated))
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["found", "found_shuffled", "prompts"])
    return frame.rename_axis("correlation")


@cache
def _calibration() -> tuple[np.ndarray, np.ndarray]:
    """Correlations of two normals, and the Spearman correlation of their absolute values (100,000 draws)."""
    from scipy.stats import spearmanr

    first, second = np.random.default_rng(0).normal(size=(2, 100_000))
    strengths = np.linspace(0, 1, 41)
    mixed = np.abs(strengths * first[:, None] + np.sqrt(1 - strengths**2) * second[:, None])
    reached = np.array([spearmanr(np.abs(first), column).statistic for column in mixed.T])
    reached[0] = 0.0  # independent by construction; what is left is the draw
    return strengths, np.maximum.accumulate(reached)
