"""A softmax policy over a few ways to answer one prompt: does training keep all the right ones?

A mode is a way to answer; its completions share one embedding. Then everything a GRPO step does to a group
depends on how often each mode occurs in it, and the expected step is a sum over all such counts: exact, no
sampling. The adjustment under test is passed in, so that nothing here knows DRA.
"""

from __future__ import annotations

from itertools import combinations, product
from math import comb, prod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln, softmax

from hammerlib.advantages import batched_advantages
from hammerlib.errors import InputError, check_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd

    Adjust = Callable[[np.ndarray, np.ndarray], np.ndarray]
    Advantages = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

MOST_GROUPS = 100_000


def equicosine(modes: int, cosine: float) -> np.ndarray:
    """Return unit vectors with the same cosine between any two."""
    if not 0 <= cosine < 1:
        raise InputError("cosine", cosine, "is no similarity of different modes", "use 0 <= cosine < 1")
    # the rows of the Cholesky factor of a Gram matrix have exactly its inner products
    return np.linalg.cholesky(np.full((modes, modes), float(cosine)) + (1 - cosine) * np.eye(modes))


def effective_modes(policy: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the effective number of right modes: exp of the entropy of the policy among them."""
    shares = np.asarray(policy)[..., np.asarray(right, dtype=bool)]
    shares = shares / shares.sum(axis=-1, keepdims=True)
    # 0 log 0 = 0: a mode that has died out counts nothing
    return np.exp(-(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=-1))


def exact_policy(
    start: np.ndarray,
    right: np.ndarray,
    vectors: np.ndarray,
    adjust: Adjust | None = None,
    *,
    placebo: bool = False,
    group_size: int = 8,
    scale_rewards: str = "group",
    rate: float = 0.5,
    steps: int = 1000,
) -> np.ndarray:
    """Train the policy by the expected step of one group, summed over every group there can be.

    The step of logit m is ``rate / G`` times the sum of the advantages of m's completions, which is the
    policy gradient of GRPO on its own samples (advantages of a group sum to zero); no KL term, no clipping.
    """
    start, right = checked_modes(start, right, vectors)
    counts = _counts(group_size, len(start))
    pull = _pull(counts, right, vectors, adjust, placebo, scale_rewards)
    return _followed(start, counts, lambda policy: pull, rate, steps)


def advantage_policy(
    start: np.ndarray,
    right: np.ndarray,
    vectors: np.ndarray,
    advantages: Advantages,
    *,
    placebo: bool = False,
    group_size: int = 8,
    rate: float = 0.5,
    steps: int = 1000,
    on_policy: bool = False,
) -> np.ndarray:
    """Train the policy as `exact_policy` does, by ``advantages(rewards, vectors, log_probs)`` of groups.

    They may depend on which of the best rewards stands first in a group: the expectation is over that too,
    but for `on_policy` ones, which alone may read `log_probs`, those of the completions under the policy. The
    `placebo` deals a group's advantages at random among equal rewards, which makes each the mean of them.
    """
    start, right = checked_modes(start, right, vectors)
    counts = _counts(group_size, len(start))
    members = np.stack([np.repeat(np.arange(len(start)), row) for row in counts])

    rewards = right[members].astype(np.float64)
    best = rewards == rewards.max(axis=1, keepdims=True)
    share = best / best.sum(axis=1, keepdims=True)

    def pull(policy: np.ndarray) -> np.ndarray:
        total = np.zeros(counts.shape)
        for first in [0] if on_policy else range(group_size):
            sequence = [first, *(place for place in range(group_size) if place != first)]
            modes = members[:, sequence]
            log_probs = np.log(np.maximum(policy, 1e-300))[modes]
            given = advantages(rewards[:, sequence], np.asarray(vectors)[modes], log_probs)
            if placebo:
                same = rewards[:, sequence, None] == rewards[:, None, sequence]
                given = (same * given[:, None]).sum(axis=2) / same.sum(axis=2)
            # each of the best rewards stands first equally often, others never
            given = given * (1.0 if on_policy else share[:, first, None])
            total += np.stack([np.where(modes == m, given, 0).sum(axis=1) for m in range(len(start))], axis=1)
        return total / group_size

    if on_policy:
        return _followed(start, counts, pull, rate, steps)
    fixed = pull(start)
    return _followed(start, counts, lambda policy: fixed, rate, steps)


def _followed(
    start: np.ndarray, counts: np.ndarray, pull: Callable[[np.ndarray], np.ndarray], rate: float, steps: int
) -> np.ndarray:
    """The policy at every step, each by the expectation of `pull` over all groups."""
    # log G! - sum_m log k_m!
    orders = gammaln(counts[0].sum() + 1) - gammaln(counts + 1).sum(axis=1)
    logits = np.log(start)
    policies = [start]
    for _ in range(steps):
        # chance of a group with counts k: G! / prod k_m! times prod pi_m^k_m
        chances = np.exp(orders + counts @ np.log(np.maximum(policies[-1], 1e-300)))
        # dz_m = rate / G times the expected sum of the advantages of m's completions
        logits = logits + rate * chances @ pull(policies[-1])
        policies.append(softmax(logits))
    return np.stack(policies)


def checked_modes(start: np.ndarray, right: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `start` and `right` as arrays, or refuse what `exact_policy` refuses."""
    start = np.asarray(start, dtype=np.float64)
    right = np.asarray(right, dtype=bool)
    if not start.shape == right.shape == (len(vectors),):
        shapes = (start.shape, right.shape, np.shape(vectors))
        raise InputError("start, right, vectors", shapes, "are of different modes", "give one of each a mode")
    if (start <= 0).any() or abs(start.sum() - 1) > 1e-9:
        raise InputError("start", start.tolist(), "are no chances", "use numbers above 0 that sum to 1")
    return start, right


def _counts(group_size: int, modes: int) -> np.ndarray:
    """Every way to spread a group over the modes, shape (ways, modes)."""
    # stars and bars: where modes - 1 bars may stand in a row of group_size stars
    length = group_size + modes - 1
    ways = comb(length, modes - 1)
    if ways > MOST_GROUPS:
        problem = f"make {ways} different groups"
        raise InputError("group_size, modes", (group_size, modes), problem, f"stay below {MOST_GROUPS}")
    bars = np.array(list(combinations(range(length), modes - 1)), dtype=np.int64).reshape(ways, modes - 1)
    # a bar before the first and after the last mode: counts are the gaps between bars
    edges = np.pad(bars, ((0, 0), (1, 1)), constant_values=((0, 0), (-1, length)))
    return np.diff(edges, axis=1) - 1


def _pull(
    counts: np.ndarray,
    right: np.ndarray,
    vectors: np.ndarray,
    adjust: Adjust | None,
    placebo: bool,
    scale_rewards: str,
) -> np.ndarray:
    """Sum of the advantages of each mode's completions over G, for each group: shape of `counts`."""
    modes = counts.shape[1]
    size = int(counts[0].sum())
    members = np.stack([np.repeat(np.arange(modes), row) for row in counts])
    rewards = right[members].astype(np.float64)
    if placebo and adjust is not None:
        # rewards of one: what is left of the adjustment are its weights
        weights = adjust(np.ones(members.shape), np.asarray(vectors)[members])
        groups = zip(rewards, weights, strict=True)
        advantages = np.stack([_over_shuffles(*group, scale_rewards) for group in groups])
    else:
        adjusted = rewards if adjust is None else adjust(rewards, np.asarray(vectors)[members])
        advantages = batched_advantages(adjusted, scale_rewards=scale_rewards)
    return np.stack([np.where(members == m, advantages, 0).sum(axis=1) for m in range(modes)], axis=1) / size


def _over_shuffles(rewards: np.ndarray, weights: np.ndarray, scale_rewards: str) -> np.ndarray:
    """Expected advantages over all shuffles of the weights; completions of one reward are alike.

    Only which weights fall on right completions matters. Weights come in a few values with their counts, so
    the sum runs over how many of each value do: a multivariate hypergeometric expectation.
    """
    is_right = rewards > 0
    values, each = np.unique(weights.round(12), return_counts=True)
    counts = each.tolist()
    expected = np.zeros(len(rewards))
    total = 0
    for drawn in product(*(range(count + 1) for count in counts)):
        if sum(drawn) != is_right.sum():
            continue
        # prod_v C(count_v, drawn_v), normalised by their sum at the end
        ways = prod(map(comb, counts, drawn))
        weighted = rewards.copy()
        weighted[is_right] *= np.repeat(values, drawn)
        advantages = batched_advantages(weighted, scale_rewards=scale_rewards)
        if is_right.any():
            # which of the right ones holds which weight is even odds: each gets their mean
            advantages = np.where(is_right, advantages[is_right].mean(), advantages)
        expected += ways * advantages
        total += ways
    return expected / total


# Middle 90 % of the sampled runs.
BAND = (0.05, 0.95)


def sampled_policies(
    start: np.ndarray,
    right: np.ndarray,
    vectors: np.ndarray,
    adjust: Adjust | None = None,
    *,
    runs: int = 100,
    placebo: bool = False,
    group_size: int = 8,
    scale_rewards: str = "group",
    rate: float = 0.5,
    steps: int = 1000,
    seed: int = 0,
) -> np.ndarray:
    """Train the policy as `exact_policy` does, but on one sampled group a step, in many runs."""
    start, right = checked_modes(start, right, vectors)
    generator = np.random.default_rng(seed)
    every = np.arange(len(start))
    logits = np.tile(np.log(start), (runs, 1))
    policies = [softmax(logits, axis=1)]
    for _ in range(steps):
        # a draw falls into the mode whose cumulated chances it lies between
        bounds = policies[-1].cumsum(axis=1)[:, None, :-1]
        members = (generator.random((runs, group_size, 1)) > bounds).sum(axis=2)
        rewards = right[members].astype(np.float64)
        if placebo and adjust is not None:
            weights = adjust(np.ones(members.shape), np.asarray(vectors)[members])
            # the same numbers on other completions: what a reweighting does that knows nothing of redundancy
            rewards *= generator.permuted(weights, axis=1)
        elif adjust is not None:
            rewards = adjust(rewards, np.asarray(vectors)[members])
        advantages = batched_advantages(rewards, scale_rewards=scale_rewards)
        # sum of the advantages of each mode's completions, as in `exact_policy`
        pull = (advantages[..., None] * (members[..., None] == every)).sum(axis=1)
        logits = logits + rate / group_size * pull
        policies.append(softmax(logits, axis=1))
    return np.stack(policies)


def mode_arms(
    start: np.ndarray,
    right: np.ndarray,
    kernels: Mapping[str, np.ndarray],
    adjust: Adjust,
    *,
    group_size: int = 8,
    rate: float = 0.5,
    steps: int = 1000,
    runs: int = 100,
    seed: int = 0,
) -> pd.DataFrame:
    """Train three arms under every kernel and scaling, exactly and in sampled runs.

    Arms: `none` (rewards as they are), `dra` (rewards through `adjust`), `placebo` (the weights of `adjust`,
    shuffled within the group: the same numbers, without a bearing on redundancy).
    """
    import pandas as pd

    frames = []
    shared = {"group_size": group_size, "rate": rate, "steps": steps}
    for scale in ("group", "none"):
        for kernel, vectors in kernels.items():
            for arm in ("none", "dra", "placebo"):
                options = {"placebo": arm == "placebo", "scale_rewards": scale, **shared}
                weigh = None if arm == "none" else adjust
                exact = exact_policy(start, right, vectors, weigh, **options)
                sampled = sampled_policies(start, right, vectors, weigh, runs=runs, seed=seed, **options)
                low, high = np.quantile(effective_modes(sampled, right), BAND, axis=1)
                rows = {"scale_rewards": scale, "kernel": kernel, "arm": arm, "step": np.arange(steps + 1)}
                rows |= {"modes": effective_modes(exact, right), "low": low, "high": high}
                frames.append(pd.DataFrame(rows | {"share_right": exact[:, np.asarray(right)].sum(axis=1)}))
    return pd.concat(frames, ignore_index=True)


def right_ways(completions: pd.DataFrame) -> pd.DataFrame:
    """Return how many ways the right completions of each training step were found in, effectively."""
    right = completions[completions["correct"].eq(True)]
    counts = right.groupby("step")["way"].value_counts().unstack(fill_value=0)
    values = effective_modes(counts.to_numpy(dtype=np.float64), np.ones(counts.shape[1], dtype=bool))
    return counts[[]].reset_index().assign(metric="right_ways", value=values)


# What each weighting of expert tokens does to one token's distribution


# Weight of an expert token by its probability p under the policy, held fixed (arXiv 2508.11408 eqs. 1, 4, 5).
WEIGHTS = {"none": np.ones_like, "is": lambda p: p, "phi": lambda p: p * (1 - p)}


def expert_flow(
    policy: ArrayLike, expert: ArrayLike, *, weighting: str = "phi", rate: float = 0.5, steps: int = 200
) -> np.ndarray:
    """Return the policy (steps + 1, V) after every step of descent on the expected expert loss (ours).

    From arXiv 2508.11408 eqs. 1, 4 and 5 (`WEIGHTS`): minus the gradient by logit j is q_j w_j - p_j sum_y
    q_y w_y, with expert q and weight w(p) held fixed.
    """
    check_name("weighting", weighting, WEIGHTS, "is unknown")
    start = np.asarray(policy, dtype=float)
    target = np.asarray(expert, dtype=float)
    sound = start.ndim == 1 and start.shape == target.shape and (start > 0).all() and (target >= 0).all()
    if not (sound and np.isclose(start.sum(), 1) and np.isclose(target.sum(), 1)):
        problem, remedy = "are no distributions over the same tokens", "give two arrays that sum to 1"
        raise InputError("policy, expert", [start.tolist(), target.tolist()], problem, remedy)
    logits = np.log(start)
    policies = [start]
    for _ in range(steps):
        pull = target * WEIGHTS[weighting](policies[-1])  # q w
        # minus the gradient of - sum_y q_y w_y log p_y by logit j: q_j w_j - p_j sum_y q_y w_y
        logits = logits + rate * (pull - policies[-1] * pull.sum())
        policies.append(softmax(logits))
    return np.stack(policies)


def adam(gradient: np.ndarray, moments: np.ndarray, step: int) -> np.ndarray:
    """The direction of Adam (arXiv 1412.6980), whose two moments are updated in place."""
    moments[0] += 0.1 * (gradient - moments[0])  # m, beta1 = 0.9
    moments[1] += 0.001 * (gradient**2 - moments[1])  # v, beta2 = 0.999
    # without the bias of their start at 0: m / (1 - beta1^t) over sqrt(v / (1 - beta2^t))
    return (moments[0] / (1 - 0.9**step)) / (np.sqrt(moments[1] / (1 - 0.999**step)) + 1e-8)
