"""Diversity-aware reward adjustment (DRA) and its neighbours: arrays in, arrays out, no framework.

Source: DRA-GRPO, arXiv 2505.09655, Section 3.2 (reward divided by one plus the graph-cut mutual information
of a completion with the rest of its group) and the released code (weights ``1 / (row sum + 1e-6)``). Every
default is the paper's; every option is ours, and says so. Of the other methods: `adjust_rewards`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hammerlib.errors import InputError, check_name

KERNELS = ("graph_cut", "facility_location", "log_det")
SIGNS = ("paper", "safe")
SCOPES = ("group", "official-local")
# The options that each method of `adjust_rewards` has.
METHODS = {
    "dra": ("sign", "positives_only", "smi", "clamp", "centre", "normalize", "scope", "eps"),
    "mmr": ("relevance", "clamp", "scope"),
    "dsdr": ("bonus", "bound"),
}
# The released code's guard against a division by zero; the paper's formula has none.
PAPER_EPS = 1e-6
# Centred unit vectors shorter than this are the mean itself up to rounding.
NO_DIRECTION = 1e-9


def diversity_weights(
    embeddings: npt.ArrayLike,
    *,
    smi: str = "graph_cut",
    clamp: bool = False,
    centre: bool = False,
    normalize: bool = False,
    scope: str = "group",
    eps: float = PAPER_EPS,
) -> np.ndarray:
    """Return the weight of every completion: ``w_i = 1 / (1 + SMI_i + eps)`` within its group.

    With L the cosines of a group and "rest" all its members but ``i``, SMI_i is the mutual information
    ``f({i}) + f(rest) - f(group)`` of a submodular f:

    - ``graph_cut`` (paper): ``sum_{j != i} L_ij``, so that ``1 + SMI_i`` is the row sum of L;
    - ``facility_location``, ``f(A) = sum_v max_{a in A} L_va``: ``sum_v min(L_vi, max_{j != i} L_vj)``;
    - ``log_det``, ``f(A) = log det(I + L_A)``: ``log(2 [(I + L)^-1]_ii)``, at most log 2.

    Nothing is clamped by default: under ``graph_cut`` opposite embeddings can bring a row sum to zero
    (weight ``1 / eps``) or below, exactly as published.

    Parameters
    ----------
    embeddings : array, shape (B, G, d) or (G, d)
        One vector per completion, B groups of G; any non-zero length, normalised here.
    smi : {"graph_cut", "facility_location", "log_det"}
    clamp : bool
        Raise negative cosines to zero, which keeps every weight in (0, 1].
    centre : bool
        Subtract the mean of the group's unit vectors before the cosines, against kernels where all is alike;
        a group of copies stays one.
    normalize : bool
        Divide by the group's mean weight, so that losses without a standard deviation keep their scale.
    scope : {"group", "official-local"}
        ``official-local`` takes all rows that are passed for one group, as the released code does with the
        rows of one process, whatever their prompts; for comparison only.
    eps : float
        Added to every ``1 + SMI``; at least 0.

    Returns
    -------
    ndarray of float64, shape (B, G) or (G,)
        For kernels without negative cosines and without `normalize` in (0, 1]; 1 / (1 + eps) for G = 1 and
        for orthogonal groups; 1 / (D + eps) where all completions are the same, with D = G (graph cut),
        G + 1 (facility location) or 1 + log(2 G / (G + 1)) (log-det).

    Raises
    ------
    InputError
        An unknown option or combination (``log_det`` cannot be clamped; `centre` needs `clamp` elsewhere),
        another number of dimensions, no completion, a value that is not finite, a vector of length zero.

    Notes
    -----
    Source: arXiv 2505.09655 Section 3.2 and its released code; the other mutual informations are those of
    Iyer et al. (arXiv 2006.15412) for one completion against the rest of its group.

    Examples
    --------
    >>> group = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    >>> diversity_weights(group).round(4).tolist()
    [0.5, 0.5, 1.0]
    >>> diversity_weights(group, smi="facility_location", normalize=True).round(4).tolist()
    [0.6, 0.6, 1.8]
    """
    _check_kernel(smi, scope, eps, {"clamp": clamp, "centre": centre, "normalize": normalize})
    vectors, shape = _vectors(embeddings, scope)
    # w_i = 1 / (1 + SMI_i + eps)
    weights = 1.0 / (_redundancy(vectors, None, smi, clamp, centre) + eps)
    return (_to_mean_one(weights, None) if normalize else weights).reshape(shape)


def adjust_rewards(
    rewards: npt.ArrayLike,
    embeddings: npt.ArrayLike,
    *,
    sign: str = "paper",
    positives_only: bool = False,
    smi: str = "graph_cut",
    clamp: bool = False,
    centre: bool = False,
    normalize: bool = False,
    scope: str = "group",
    eps: float = PAPER_EPS,
    method: str = "dra",
    relevance: float | None = None,
    bonus: float = 0.001,
    bound: float = 1.0,
) -> np.ndarray:
    """Return the rewards of groups, adjusted by how much their completions differ.

    - ``dra``: each reward times its weight of `diversity_weights`.
    - ``mmr`` (MMR-GRPO): the best reward r stays; then, one after another, the completion with the largest
      ``relevance * r_i - (1 - relevance) * max_j cos(i, j)``, j over those that came before, gets that score.
    - ``dsdr``: rewards above 0 get ``bonus * min(d_i, bound)`` more, with d_i a quarter of the mean over the
      others of ``1 - cos(i, j)``.

    Parameters
    ----------
    rewards : array, shape (B, G) or (G,)
        The weighted sum of all reward functions, one per completion; NaN (not scorable) stays NaN, and its
        completion still counts as a member of the group.
    embeddings : array, shape (B, G, d) or (G, d)
        See `diversity_weights`.
    sign : {"paper", "safe"}
        ``paper``: negative rewards are divided as well, so that a redundant wrong answer is punished *less*
        than a novel one (a property of the published formula). ``safe``: a negative reward takes the
        mirrored weight ``min(w) max(w) / w_i`` instead (weights above 1 count as 1), which has the same
        range in the opposite sequence: the more redundant, the more it is punished; no sign ever flips
        because of it.
    positives_only : bool
        Adjust only rewards above 0, each against the other completions of its group with a reward above 0;
        all others stay as they are.
    smi, clamp, centre, normalize, scope, eps
        See `diversity_weights`; `normalize` divides by the mean of the factors that are applied. Under
        ``mmr`` as in its released code, which the paper does not tell of: `clamp` raises negative cosines to
        zero, and ``scope="official-local"`` selects among all rows that are passed, whatever their prompts.
    method : {"dra", "mmr", "dsdr"}
        The options above are those of ``dra``; `clamp` and `scope` are of ``mmr`` too.
    relevance : float, optional
        Of ``mmr``, in [0, 1]; default ``1 / (1 + exp(-s))``, s the standard deviation (ddof 0) of the
        group's rewards.
    bonus : float
        Of ``dsdr``, at least 0; the paper tries .001, .01 and .1.
    bound : float
        Of ``dsdr``, at least 0; the paper tells no value, and 1 is no bound.

    Returns
    -------
    ndarray of float64, shape of `rewards`

    Raises
    ------
    InputError
        Unknown `method` or `sign`, an option of another method, shapes that do not fit, or what
        `diversity_weights` refuses.

    Notes
    -----
    Source of ``dra``: arXiv 2505.09655 Section 3.2 and its released code; `sign="safe"`, `positives_only` and
    `normalize` are ours. Of ``mmr``: arXiv 2601.09085 Section 3 and Algorithm 1, and its released code
    (commit db07f71); of equal scores the first in the group comes first, so that copies get unequal rewards;
    a completion without a reward takes no part (ours). Of ``dsdr``: arXiv 2602.19895 equations 4 to 6,
    9 and 10; the other half of d, how many formulas of a text are its own, is 0 here, as for texts without
    formulas, and its entropy of tokens (equations 11 to 15) is no reward.

    Examples
    --------
    >>> group = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    >>> adjust_rewards([1.0, 1.0, 0.0], group).round(4).tolist()
    [0.5, 0.5, 0.0]
    >>> adjust_rewards([-1.0, -1.0, -1.0], group, sign="safe").round(4).tolist()
    [-1.0, -1.0, -0.5]
    >>> adjust_rewards([1.0, 1.0, 1.0], group, method="mmr").tolist()
    [1.0, 0.0, 0.5]
    >>> adjust_rewards([1.0, 1.0, 0.0], group, method="dsdr", bonus=0.1).tolist()
    [1.0125, 1.0125, 0.0]
    """
    check_name("method", method, METHODS, "is not a known method")
    given = {"sign": sign, "positives_only": positives_only, "smi": smi, "clamp": clamp, "centre": centre}
    given |= {"normalize": normalize, "scope": scope, "eps": eps}
    given |= {"relevance": relevance, "bonus": bonus, "bound": bound}
    for name, value in given.items():
        if name not in METHODS[method] and value != OPTIONS[name]:
            remedy = f"leave it out; the options of {method}: {', '.join(METHODS[method])}"
            raise InputError(name, value, f"is no option of method {method}", remedy)
    check_name("sign", sign, SIGNS, "is not a known sign")
    switches = {"clamp": clamp, "centre": centre, "normalize": normalize, "positives_only": positives_only}
    _check_kernel(smi, scope, eps, switches)
    _check_number("bonus", bonus, np.inf, "the paper has 0.001")
    _check_number("bound", bound, np.inf, "1 is no bound")
    if relevance is not None:
        _check_number("relevance", relevance, 1, "leave it out for the paper's")
    vectors, shape = _vectors(embeddings, scope)
    values = _numbers("rewards", rewards)
    if values.shape != shape:
        remedy = "give one reward per embedded completion"
        raise InputError("rewards", values.shape, f"do not fit embeddings of groups {shape}", remedy)
    values = values.reshape(vectors.shape[:-1])
    if method == "mmr":
        rows = values.reshape(-1, values.shape[-1])
        groups = vectors.reshape(-1, *vectors.shape[-2:])
        pairs = zip(rows, groups, strict=True)
        return np.stack([_by_relevance(row, group, relevance, clamp) for row, group in pairs]).reshape(shape)
    if method == "dsdr":
        others = max(values.shape[-1] - 1, 1)
        # d_i = 1/2 of the mean over j != i of (1 - cos(i, j)) / 2; equals 0 for G = 1
        alike = (vectors * vectors.sum(axis=-2, keepdims=True)).sum(axis=-1) - 1.0
        distances = (values.shape[-1] - 1 - alike) / (4 * others)
        return (values + np.where(values > 0, bonus * np.clip(distances, 0.0, bound), 0.0)).reshape(shape)
    members = values > 0 if positives_only else None
    # the same weights, against members only
    factors = 1.0 / (_redundancy(vectors, members, smi, clamp, centre) + eps)
    if sign == "safe":
        inside = np.clip(factors, None, 1.0)
        inside[factors <= 0] = 1.0  # a row sum below zero is less than no redundancy
        # w -> min(w) max(w) / w turns the sequence round inside the same range
        ends = inside.min(axis=-1, keepdims=True) * inside.max(axis=-1, keepdims=True)
        factors = np.where(values < 0, ends / inside, factors)
    if normalize:
        factors = _to_mean_one(factors, members)
    if members is not None:
        factors = np.where(members, factors, 1.0)
    return (values * factors).reshape(shape)


def permuted_weights(weights: np.ndarray, rewards: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a group's weights (G,) dealt at random among completions of equal raw reward: DRA's placebo."""
    dealt = weights.copy()
    for reward in np.unique(rewards):
        # within one reward, so that only the bearing on redundancy is lost
        alike = np.flatnonzero(rewards == reward)
        dealt[alike] = rng.permutation(weights[alike])
    return dealt


# Options of `adjust_rewards` with their defaults: what a configuration may say of DRA.
OPTIONS = dict(adjust_rewards.__kwdefaults__)


def check_options(options: dict[str, object]) -> dict[str, object]:
    """Return those of `adjust_rewards`' options that differ from its defaults, all checked."""
    for name in options:
        if name not in OPTIONS:
            raise InputError("adjustment_options", name, "is unknown", f"known: {', '.join(OPTIONS)}")
    adjust_rewards([1.0], [[1.0]], **options)
    return {name: options[name] for name in sorted(options) if options[name] != OPTIONS[name]}


def _check_kernel(smi: str, scope: str, eps: float, switches: dict[str, bool]) -> None:
    check_name("smi", smi, KERNELS, "is not a known smi")
    check_name("scope", scope, SCOPES, "is not a known scope")
    for name, value in switches.items():
        if not isinstance(value, bool):
            raise InputError(name, value, "is neither true nor false", "give true or false")
    _check_number("eps", eps, np.inf, f"the released code has {PAPER_EPS}")
    if smi == "log_det" and switches["clamp"]:
        problem = "can make the kernel indefinite, and log_det needs a definite one"
        raise InputError("clamp", True, problem, "leave it out: log_det weights are always in (0, 1]")
    if switches["centre"] and not switches["clamp"] and smi != "log_det":
        problem = "makes row sums of cosines vanish or turn negative"
        raise InputError("centre", True, problem, "set clamp as well, or use smi log_det")


def _check_number(field: str, value: object, most: float, remedy: str) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= most or value == np.inf:
        ends = "of at least 0" if most == np.inf else f"from 0 to {most}"
        raise InputError(field, value, f"must be a number {ends}", remedy)


def _numbers(field: str, values: npt.ArrayLike) -> np.ndarray:
    try:
        numbers = np.asarray(values)
        if numbers.dtype.kind == "O":  # nested lists of tensors, or with None for "not scorable"
            numbers = numbers.astype(np.float64)
    except (TypeError, ValueError, RuntimeError):  # the last of sparse tensors
        raise InputError(field, values, "are not numbers of one shape", "pass an array") from None
    if numbers.dtype.kind not in "fiub":  # text and complex numbers would be converted in silence
        raise InputError(field, values, f"are not numbers but {numbers.dtype}", "pass an array of floats")
    return numbers.astype(np.float64)


def _vectors(embeddings: npt.ArrayLike, scope: str) -> tuple[np.ndarray, tuple[int, ...]]:
    """Unit vectors in groups over which similarity is taken, and the shape of the weights asked for."""
    vectors = _numbers("embeddings", embeddings)
    if vectors.ndim not in (2, 3) or 0 in vectors.shape:
        problem = "must have shape (B, G, d) or (G, d), none of them 0"
        raise InputError("embeddings", vectors.shape, problem, "reshape to one row of G vectors per group")
    if not np.isfinite(vectors).all():
        raise InputError("embeddings", "NaN or infinity", "must be finite", "check the embedder's output")
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if (lengths == 0).any():
        remedy = "give empty completions a token to embed"
        raise InputError("embeddings", "zero vector", "has no direction, so no cosine", remedy)
    unit = vectors / lengths
    return unit.reshape(-1, unit.shape[-1]) if scope == "official-local" else unit, vectors.shape[:-1]


def _redundancy(
    unit: np.ndarray, members: np.ndarray | None, smi: str, clamp: bool, centre: bool
) -> np.ndarray:
    """``1 + SMI_i`` of every completion with the `members` of its group (None: all); others get any value."""
    if members is not None:
        groups = unit.reshape(-1, *unit.shape[-2:])
        redundancy = np.ones(groups.shape[:-1])
        for row, inside in zip(range(len(groups)), members.reshape(redundancy.shape), strict=True):
            if inside.any():
                redundancy[row, inside] = _redundancy(groups[row, inside], None, smi, clamp, centre)
        return redundancy.reshape(members.shape)
    unit = _centred(unit) if centre else unit
    if smi == "graph_cut" and not clamp:
        # The row sum of E E^T is E times the sum of the group's vectors: O(G d) instead of O(G^2 d).
        return (unit * unit.sum(axis=-2, keepdims=True)).sum(axis=-1)
    cosines = unit @ unit.swapaxes(-1, -2)
    cosines = np.maximum(cosines, 0.0) if clamp else cosines
    if smi == "graph_cut":
        return cosines.sum(axis=-1)
    size = cosines.shape[-1]
    if smi == "log_det":
        # log det of a block matrix: f(group) - f(rest) = -log [(I + L)^-1]_ii, and f({i}) = log 2
        inverse = np.linalg.inv(np.eye(size) + cosines)
        return 1.0 + np.log(2.0 * np.diagonal(inverse, axis1=-2, axis2=-1))
    if size == 1:
        return np.ones(cosines.shape[:-1])
    # The largest similarity of v to any member but i: the second largest where i holds the largest.
    ranked = np.sort(cosines, axis=-1)
    is_best = np.arange(size) == cosines.argmax(axis=-1)[..., None]
    others = np.where(is_best, ranked[..., -2, None], ranked[..., -1, None])
    # f({i}) + f(rest) - f(group) = sum_v min(L_vi, max_{j != i} L_vj), as max + min = sum
    return 1.0 + np.minimum(cosines, others).sum(axis=-2)


def _by_relevance(values: np.ndarray, unit: np.ndarray, relevance: float | None, clamp: bool) -> np.ndarray:
    """Rewards of one group (G,) by greedy maximal marginal relevance; NaN stays NaN."""
    adjusted = np.full(values.shape, np.nan)
    waiting = ~np.isnan(values)
    if not waiting.any():
        return adjusted
    # lambda = sigmoid(std(r))
    weight = 1.0 / (1.0 + np.exp(-values[waiting].std())) if relevance is None else relevance
    cosines = unit @ unit.T
    nearest = np.full(values.shape, 0.0 if clamp else -np.inf)
    scores = values  # the best reward comes first, as it is
    while waiting.any():
        chosen = np.where(waiting, scores, -np.inf).argmax()
        adjusted[chosen] = scores[chosen]
        waiting[chosen] = False
        nearest = np.maximum(nearest, cosines[chosen])
        scores = weight * values - (1.0 - weight) * nearest
    return adjusted


def _centred(unit: np.ndarray) -> np.ndarray:
    """Unit vectors from the group's mean; copies, left without one, share a dimension of their own."""
    moved = unit - unit.mean(axis=-2, keepdims=True)
    lengths = np.linalg.norm(moved, axis=-1, keepdims=True)
    at_mean = lengths < NO_DIRECTION
    return np.concatenate([np.where(at_mean, 0.0, moved / np.where(at_mean, 1.0, lengths)), at_mean], axis=-1)


def _to_mean_one(weights: np.ndarray, members: np.ndarray | None) -> np.ndarray:
    """Divide by the mean over the members of each group; a group without members stays."""
    if members is None:
        return weights / weights.mean(axis=-1, keepdims=True)
    count = members.sum(axis=-1, keepdims=True)
    mean = np.where(members, weights, 0.0).sum(axis=-1, keepdims=True) / np.maximum(count, 1)
    return weights / np.where(count > 0, mean, 1.0)
