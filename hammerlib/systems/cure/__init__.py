"""CURE (arXiv 2508.11016): completions are cut before a token of high entropy and continued from there.

Rollouts and branches of a prompt are one group. Plain rollouts may follow after so many steps, in the same
run.
"""

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
    """Say which of T tokens may be the critical one, (T,) bool; never the first: that is a plain rollout.

    `texts` are the tokens decoded one by one. `min_chars` without white space is 2 in the released code
    (``dapo_ray_trainer.py``), which drops digits, punctuation and white space; a tokenizer of digits and
    single characters needs 1.
    """
    if len(texts) != len(special):
        lengths = [len(texts), len(special)]
        raise InputError("texts, special", lengths, "are of different lengths", "give one of each a token")
    eligible = np.array([len(text.strip()) >= min_chars for text in texts], dtype=bool)
    eligible &= ~np.asarray(special, dtype=bool)
    # cut before its first token a branch would be a rollout from the prompt
    eligible[:1] = False
    return eligible


def critical_positions(entropies: np.ndarray, eligible: np.ndarray, *, top_k: int = 20) -> np.ndarray:
    """Return the eligible positions of highest entropy, `top_k` at most, highest first; ties: the earlier."""
    entropies = np.asarray(entropies, dtype=float)
    if entropies.shape != np.shape(eligible) or entropies.ndim != 1:
        shapes = [entropies.shape, np.shape(eligible)]
        remedy = "give one of each a token"
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

    The tokens before t* are kept; the critical token itself is not, it is what the branches draw anew. 0
    where no token is eligible: a plain rollout. Candidates have the highest ``entropy``, or are any eligible
    ones (``random``, the ablation in the code of arXiv 2508.11016).
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
    """Train a policy of two tokens by its exact expected step under CURE's joint groups (ours).

    The first token is a prefix a, chances (A,), the second a fork b, (A, K); `right` says which pairs earn 1.
    Each of n1 rollouts is cut before its second token and continued n2 times; all G = n1 (1 + n2) rows are
    one group (``n2=0``: GRPO). A branch has the prefix of its parent, so that rows are right in families:
    given a, the right ones of a family are Binomial(1 + n2, q_a), and the sum over families is a convolution.
    Of the tokens trained the second has (1 + n2) / (2 + n2) and the first 1 / (2 + n2), against a half each
    without branches: CURE keeps the entropy of what stands before the fork, and spends that of the fork.
    """
    prefix = np.asarray(prefix, dtype=float)
    fork = np.asarray(fork, dtype=float)
    right = np.asarray(right, dtype=bool)
    if fork.shape != right.shape or fork.shape[:1] != prefix.shape:
        shapes = [prefix.shape, fork.shape, right.shape]
        remedy = "give (A,), (A, K) and (A, K)"
        raise InputError("prefix, fork, right", shapes, "do not fit each other", remedy)
    for name, chances in (("prefix", prefix), ("fork", fork)):
        if (chances <= 0).any() or not np.allclose(chances.sum(-1), 1):
            raise InputError(name, chances.tolist(), "are no chances", "use numbers above 0 that sum to 1")
    check_whole("n2", n2, 0, "use 3, as published")
    check_whole("n1", n1, 1, "use 4, as published")
    if n1 * (1 + n2) < 2:
        raise InputError("n1, n2", [n1, n2], "make a group of one", "use 4 and 3, as published")
    # logits whose softmax are the chances at the start
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
    # families are independent: the chances of a sum are the convolution of theirs
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
    # two tokens a rollout, one a branch: its first is its parent's and not trained
    tokens = 2 * n1 + n1 * n2
    # d log softmax: pi_b (value_b - mean value); branches leave the first token alone
    first = n1 * prefix * (mean - prefix @ mean) / tokens
    second = size * prefix[:, None] * fork * (values - mean[:, None]) / tokens
    return first, second
