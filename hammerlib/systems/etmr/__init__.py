"""ETMR, the tree rollouts of ETTRL (arXiv 2508.11356): votes that share their beginnings, for fewer tokens.

The label is that of TTRL (`hammerlib.systems.ttrl`), which also holds ETTRL's reshaped advantages. No code of
ETTRL is public; what its two notes leave open stands with each function.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import binom

from hammerlib.errors import InputError, check_whole


def fork_points(entropies: np.ndarray, allowed: np.ndarray, forks: int) -> list[int]:
    """Return the N positions where a trunk forks, rising: those of highest entropy, the same for one trunk.

    `allowed` is false for special tokens. The token at a fork is sampled again; where fewer than N tokens are
    allowed, the missing forks are 0s: completions of their own from the prompt. arXiv 2508.11356 is known
    from two notes, which do not say whether the fork token is kept, or tokens are filtered (ours).
    """
    entropies = np.asarray(entropies, dtype=float)
    allowed = np.asarray(allowed, dtype=bool)
    if entropies.ndim != 1 or entropies.shape != allowed.shape:
        shapes = [entropies.shape, allowed.shape]
        raise InputError("entropies, allowed", shapes, "must both be of length T", "give one of each a token")
    if not np.isfinite(entropies).all():
        raise InputError("entropies", entropies.tolist(), "are not all finite", "give token entropies")
    # stable: of equal entropies the earlier token
    falling = np.argsort(-entropies, kind="stable")
    positions = falling[allowed[falling]][:forks].tolist()
    return sorted(positions + [0] * (forks - len(positions)))


def leaf_count(trees: int, forks: int, branches: int) -> int:
    """Return M (1 + B N), the completions that vote of M trunks with N forks and B branches of each."""
    return trees * (1 + branches * forks)


def token_ratio(forks: int, branches: int, depth: float = 0.5) -> float:
    """Return the tokens of a tree over those of as many separate completions, all of one length.

    (1 + (1 - depth) B N) / (1 + B N), `depth` the mean share of the trunk before a fork; a half in a note on
    arXiv 2508.11356.
    """
    return (1 + (1 - depth) * branches * forks) / (1 + branches * forks)


def leaf_order(trees: int, forks: int, branches: int) -> np.ndarray:
    """Return the leaves so that the first G are of as many trees as may be.

    They were made as M trunks, then for every trunk its forks, and of every fork its branches. Returned are
    the M trunks, then one branch of every tree, then the next one of each. A vote breaks ties by what stands
    first, and ``train: first`` trains the first G (ours; the notes on arXiv 2508.11356 do not say).
    """
    of_a_tree = forks * branches
    made = trees + np.arange(trees * of_a_tree).reshape(trees, of_a_tree)
    return np.concatenate([np.arange(trees), made.T.ravel()])


class TreeVote(NamedTuple):
    """What the majority of a problem's leaves is worth."""

    accuracy: float  # chance that it is right
    effective_votes: float  # separate completions with a mean as sure as that of the leaves
    tokens: float  # sampled, in completions


def tree_vote(right: float, cuts: Sequence[float], *, trees: int, branches: int) -> TreeVote:
    """Return how often the majority of tree leaves is right, exactly; `cuts`: trunk's share before a fork.

    A completion makes its mistakes at a constant rate along its tokens: it is right up to share u of them
    with probability p^u. A branch that is cut after the trunk's first mistake repeats it; one cut before
    starts from what is right so far and comes through with p^(1 - u). So every leaf alone is right with
    probability p, but leaves of a tree share their mistakes. `effective_votes` is p (1 - p) over the variance
    of the share of right leaves. Ours; two answers, so that all mistakes agree; a tie is right with one half.
    """
    if not 0 < right < 1:
        raise InputError("right", right, "is outside (0, 1)", "give a probability")
    places = np.sort(np.asarray(cuts, dtype=float))
    if not ((places >= 0) & (places < 1)).all():
        raise InputError("cuts", list(cuts), "are outside [0, 1)", "give shares of the trunk")
    check_whole("trees", trees, 1, "use 12, as published")
    check_whole("branches", branches, 1, "use 2, as published")
    leaves = 1 + branches * len(places)
    tree = np.zeros(leaves + 1)
    # The trunk's first mistake lies between cut k - 1 and cut k (k = N: after the last), or nowhere (N + 1).
    edges = np.append(np.concatenate([[1.0], right**places]), right)
    survives = [binom.pmf(np.arange(branches + 1), branches, right ** (1 - cut)) for cut in places]
    counts = np.ones(1)  # right leaves among the branches that are cut before the mistake
    for k in range(len(places) + 1):
        tree[: len(counts)] += (edges[k] - edges[k + 1]) * counts
        if k < len(places):
            counts = np.convolve(counts, survives[k])
    tree[1 : 1 + len(counts)] += right * counts  # without a mistake the trunk is right as well
    total = np.ones(1)
    for _ in range(trees):
        total = np.convolve(total, tree)
    n = trees * leaves
    correct = np.arange(n + 1)
    accuracy = total[2 * correct > n].sum() + 0.5 * total[2 * correct == n].sum()
    variance = tree @ (np.arange(leaves + 1) - leaves * right) ** 2
    # Var of the mean of M trees = variance / (M L^2); effective votes = p (1 - p) / that
    effective = trees * leaves**2 * right * (1 - right) / variance
    tokens = trees * (1 + branches * float((1 - places).sum()))
    return TreeVote(float(accuracy), round(float(effective), 9), tokens)


def effective_votes(correct: np.ndarray) -> float:
    """Estimate how many separate votes a problem's leaves are worth, from graded leaves (P, M, L) of M trees.

    The sum over problems of p (1 - p) over that of the variances of the mean of a problem's leaves: the
    design effect of cluster sampling, with trees as clusters (ours). M L for separate votes; NaN where all
    trees of every problem agree.
    """
    correct = np.asarray(correct, dtype=float)
    if correct.ndim != 3 or correct.shape[1] < 2:
        remedy = "give problems x trees x leaves, two trees or more"
        raise InputError("correct", correct.shape, "has no trees to compare", remedy)
    trees = correct.mean(2)
    variance = trees.var(axis=1, ddof=1) / correct.shape[1]  # of a problem's mean over its trees
    # trees of a problem are independent given its p, the leaves of a tree are not
    mean = trees.mean(1)
    # E[m (1 - m)] = p (1 - p) - Var(m), so that the sum is unbiased
    single = mean * (1 - mean) + variance
    total = variance.sum()
    return float(single.sum() / total) if total > 0 else float("nan")
