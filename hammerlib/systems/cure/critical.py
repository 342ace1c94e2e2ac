"""CURE as pure functions: which token is sampled again, and what its groups do to a policy known exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import softmax
from scipy.stats import binom

from hammerlib.advantages import EPS
from hammerlib.errors import InputError, check_name, check_whole

CHOICES = ("entropy", "random")


def eligible_tokens(texts: Sequence[str], special: Sequence[bool], *, min_chars: int = 2) -> np.ndarray:
    """Say which tokens of a completion may be the critical one.

    Parameters
    ----------
    texts : sequence of T str
        Every token decoded on its own.
    special : sequence of T bool
        Whether it is a special token of the tokenizer.
    min_chars : int
        Characters that a token must have without white space around it; 2 in the released code, which drops
        digits, punctuation and white space. A tokenizer of digits and single characters needs 1.

    Returns
    -------
    (T,) bool array
        Never true for the first token: cutting there is a rollout from the prompt alone.

    Raises
    ------
    InputError
        Lists of different lengths.

    Notes
    -----
    Source: the code of CURE (arXiv 2508.11016), ``dapo_ray_trainer.py``.

    Examples
    --------
    >>> eligible_tokens(["So", " x", " but", "<eos>"], [False, False, False, True]).tolist()
    [False, False, True, False]
    """
    if len(texts) != len(special):
        lengths = [len(texts), len(special)]
        raise InputError("texts, special", lengths, "are of different lengths", "give one of each a token")
    eligible = np.array([len(text.strip()) >= min_chars for text in texts], dtype=bool)
    eligible &= ~np.asarray(special, dtype=bool)
    eligible[:1] = False
    return eligible


def critical_positions(entropies: np.ndarray, eligible: np.ndarray, *, top_k: int = 20) -> np.ndarray:
    """Return the eligible positions of highest entropy, highest first.

    Parameters
    ----------
    entropies : (T,) float array
        Of the distribution that each token was drawn from, in nats.
    eligible : (T,) bool array
        See `eligible_tokens`.
    top_k : int
        Positions to return, at most.

    Returns
    -------
    (k,) int64 array
        k of 0 to `top_k`; of equal entropies the earlier position first.

    Raises
    ------
    InputError
        Arrays of different lengths, an entropy that is no number, a `top_k` below 1.

    Notes
    -----
    Source: the code of CURE (arXiv 2508.11016); ties are ours.

    Examples
    --------
    >>> critical_positions(np.array([3.0, 0.2, 1.9, 2.0]), np.array([False, True, True, True]), top_k=2)
    array([3, 2])
    """
    entropies = np.asarray(entropies, dtype=float)
    if entropies.shape != np.shape(eligible) or entropies.ndim != 1:
        shapes, remedy = [entropies.shape, np.shape(eligible)], "give one of each a token"
        raise InputError("entropies, eligible", shapes, "must both be of length T", remedy)
    if not np.isfinite(entropies).all():
        raise InputError("entropies", entropies.tolist(), "are not all finite", "give token entropies")
    check_whole("top_k", top_k, 1, "use 20, as published")
    falling = np.argsort(-entropies, kind="stable")  # stable: of equal ones the earlier
    return falling[np.asarray(eligible, dtype=bool)[falling]][:top_k]


def critical_position(
    entropies: np.ndarray,
    eligible: np.ndarray,
    rng: np.random.Generator,
    *,
    top_k: int = 20,
    choice: str = "entropy",
) -> int:
    """Return t*, the token that is sampled again: one of the candidates, each as likely as the others.

    The tokens before t* are kept; the critical token itself is not, it is what the branches draw anew.

    Parameters
    ----------
    entropies, eligible, top_k
        As for `critical_positions`.
    rng : Generator
        Of the choice; nothing is drawn where there is no candidate.
    choice : str
        Candidates of highest ``entropy``, or any eligible ones (``random``, the ablation in the code, where
        a permutation takes the place of the order by entropy).

    Returns
    -------
    int
        0 where no token is eligible: a plain rollout from the prompt.

    Raises
    ------
    InputError
        As `critical_positions`; another choice.

    Notes
    -----
    Source: the code of CURE (arXiv 2508.11016).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> critical_position(np.array([2.0, 1.0]), np.array([False, True]), rng)
    1
    >>> critical_position(np.array([2.0, 1.0]), np.array([False, False]), rng)
    0
    """
    check_name("choice", choice, CHOICES)
    candidates = critical_positions(entropies, eligible, top_k=top_k)
    if choice == "random":
        # The first top_k of a random permutation, one of which is picked: any eligible one.
        candidates = np.flatnonzero(eligible)
    return int(rng.choice(candidates)) if len(candidates) else 0


class ForkPath(NamedTuple):
    """A two-token policy over training: entropies in nats, and its chance to be right, each (steps + 1,)."""

    prefix_entropy: np.ndarray
    fork_entropy: np.ndarray
    right: np.ndarray


def fork_training(
    prefix: np.ndarray,
    fork: np.ndarray,
    right: np.ndarray,
    *,
    n1: int,
    n2: int,
    rate: float = 2.0,
    steps: int = 200,
) -> ForkPath:
    """Train a policy of two tokens by its exact expected step under CURE's joint groups.

    The first token is a prefix a, the second a fork b. Each of n1 rollouts is cut before its second token and
    continued n2 times; all G = n1 (1 + n2) rows are one group. A branch has the prefix of its parent, so that
    rows are right in families: given a, the right ones of a family are Binomial(1 + n2, q_a), and the sum
    over families is a convolution. Nothing is sampled.

    Parameters
    ----------
    prefix : (A,) float array
        Chances of the first token at the start.
    fork : (A, K) float array
        Chances of the second token after each first one.
    right : (A, K) bool array
        Which pairs earn 1.
    n1, n2 : int
        Rollouts, and branches of each; ``n2=0`` is GRPO with a group of n1.
    rate : float
        Step along the gradient of the token mean (loss ``dapo``).
    steps : int

    Returns
    -------
    ForkPath
        `fork_entropy` is the mean over prefixes, as the policy draws them.

    Raises
    ------
    InputError
        Chances that are none, shapes that do not fit, a group of one.

    Notes
    -----
    Source: ours, exact. Tokens trained are 2 n1 + n1 n2: a branch trains its second token alone, so that the
    second token has (1 + n2) / (2 + n2) of them and the first 1 / (2 + n2), against a half each without
    branches. CURE keeps the entropy of what stands before the fork, and spends that of the fork.

    Examples
    --------
    >>> start = np.array([0.5, 0.5]), np.full((2, 2), 0.5), np.array([[True, False], [False, False]])
    >>> plain, cure = (fork_training(*start, n1=n1, n2=n2, steps=1) for n1, n2 in ((16, 0), (4, 3)))
    >>> bool(cure.prefix_entropy[1] > plain.prefix_entropy[1])
    True
    >>> bool(cure.fork_entropy[1] < plain.fork_entropy[1])
    True
    """
    prefix = np.asarray(prefix, dtype=float)
    fork = np.asarray(fork, dtype=float)
    right = np.asarray(right, dtype=bool)
    if fork.shape != right.shape or fork.shape[:1] != prefix.shape:
        shapes, remedy = [prefix.shape, fork.shape, right.shape], "give (A,), (A, K) and (A, K)"
        raise InputError("prefix, fork, right", shapes, "do not fit each other", remedy)
    for name, chances in (("prefix", prefix), ("fork", fork)):
        if (chances <= 0).any() or not np.allclose(chances.sum(-1), 1):
            problem, remedy = "are no chances", "use numbers above 0 that sum to 1"
            raise InputError(name, chances.tolist(), problem, remedy)
    check_whole("n2", n2, 0, "use 3, as published")
    check_whole("n1", n1, 1, "use 4, as published")
    if n1 * (1 + n2) < 2:
        raise InputError("n1, n2", [n1, n2], "make a group of one", "use 4 and 3, as published")
    first = np.log(prefix)
    second = np.log(fork)
    values = []
    for step in range(steps + 1):
        chances = softmax(first), softmax(second, axis=1)
        values.append((entropy(chances[0]), chances[0] @ entropy(chances[1]),
                       chances[0] @ (chances[1] * right).sum(1)))  # fmt: skip
        if step < steps:
            moves = fork_gradient(*chances, right, n1=n1, n2=n2)
            first += rate * moves[0]
            second += rate * moves[1]
    return ForkPath(*np.array(values).T)


def entropy(chances: np.ndarray) -> np.ndarray:
    """Return the entropy over the last axis, in nats."""
    return -(chances * np.log(np.where(chances > 0, chances, 1.0))).sum(-1)


def fork_gradient(
    prefix: np.ndarray, fork: np.ndarray, right: np.ndarray, *, n1: int, n2: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the expected gradient of the token mean of A log pi, with respect to both tables of logits."""
    size = n1 * (1 + n2)
    correct = (fork * right).sum(1)  # q_a
    # Right rows of one family, whatever its prefix, and of all other families together.
    counts = np.arange(2 + n2)
    family = prefix @ binom.pmf(counts[None], 1 + n2, correct[:, None])
    others = np.ones(1)
    for _ in range(n1 - 1):
        others = np.convolve(others, family)
    totals = np.arange(size + 1)
    spread = np.sqrt(totals * (size - totals) / (size * (size - 1))) + EPS
    values = np.empty(fork.shape)
    for a, chance in enumerate(correct):
        # The rest of the group, seen from a row with prefix a: its own family shares the prefix.
        rest = np.convolve(binom.pmf(np.arange(n2 + 1), n2, chance), others)
        # A = (r - S / G) / (std + eps), S the right rows with this one
        worth_right = rest @ ((1 - totals[1:] / size) / spread[1:])
        worth_wrong = rest @ (-(totals[:-1] / size) / spread[:-1])
        values[a] = np.where(right[a], worth_right, worth_wrong)
    mean = (fork * values).sum(1)
    tokens = 2 * n1 + n1 * n2
    # d log softmax: pi_b (value_b - mean value); branches leave the first token alone
    first = n1 * prefix * (mean - prefix @ mean) / tokens
    second = size * prefix[:, None] * fork * (values - mean[:, None]) / tokens
    return first, second
