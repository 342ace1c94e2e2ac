"""Does an arm train with smaller steps than its twin? Advantages and weights, compared.

Without a division by the standard deviation (``dr_grpo``), DRA makes advantages and gradients several times
smaller. Under SGD, under a KL or entropy term, or where gradients are clipped, that changes the step and the
learning rate can be multiplied by `advantage_ratio`. AdamW, which the trainer uses, divides the gradient by
its own size: measured on nano over 12 steps (``dr_grpo``, ``beta`` 0, one seed), DRA made gradients 7.4 times
smaller and the change of the weights 0.99 times as large, so there the same learning rate *is* the matched
one. `weight_change` checks that for any run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hammerlib.dra import adjust_rewards
from hammerlib.errors import InputError

if TYPE_CHECKING:
    from hammerlib.backbones import Backbone


def advantage_ratio(raw: npt.ArrayLike, vectors: npt.ArrayLike, **options: Any) -> float:
    """Return how many times larger the advantages are without DRA than with it, before any division.

    Parameters
    ----------
    raw : (B, G) array
        Raw rewards of B groups that the start generated; NaN where a completion has none.
    vectors : (B, G, d) array
        Embeddings of their completions.
    **options
        Of `hammerlib.adjust_rewards`; none for the paper's DRA.

    Returns
    -------
    float
        Mean absolute deviation from the group's mean, raw over adjusted; above 0.

    Raises
    ------
    InputError
        No group whose raw and adjusted rewards differ within themselves; what `adjust_rewards` refuses.

    Notes
    -----
    Source: ours, for the difference of scale between Dr. GRPO (arXiv 2503.20783) with and without DRA (arXiv
    2505.09655). Groups whose raw rewards are all the same count with 0 before and little after.

    Examples
    --------
    >>> round(advantage_ratio([[1.0, 0.0]], [[[1.0, 0.0], [1.0, 0.0]]]), 4)
    2.0
    """
    values = np.asarray(raw, dtype=float)
    before, after = (_mean_size(one) for one in (values, adjust_rewards(values, vectors, **options)))
    if not before > 0 or not after > 0:
        problem = "hold no group whose rewards differ"
        raise InputError("raw", values.shape, problem, "measure on more problems")
    return before / after


def _mean_size(rewards: np.ndarray) -> float:
    return float(np.nanmean(np.abs(rewards - np.nanmean(rewards, axis=1, keepdims=True))))


def weight_change(start: Backbone, end: Backbone) -> float:
    """Return how far training moved the weights: the length of the difference of all parameters.

    Parameters
    ----------
    start, end : Backbone
        Before and after training, of the same shape.

    Returns
    -------
    float
        L2 norm, at least 0.

    Raises
    ------
    InputError
        Models with different parameters.

    Examples
    --------
    >>> from hammerlib import load_backbone
    >>> weight_change(load_backbone("nano"), load_backbone("nano"))
    0.0
    """
    before, after = (dict(one.model.named_parameters()) for one in (start, end))
    if {name: one.shape for name, one in before.items()} != {name: one.shape for name, one in after.items()}:
        raise InputError("end", end.name, f"has other parameters than {start.name}", "give one run's ends")
    squares = [((after[name] - before[name]).detach().double() ** 2).sum().item() for name in before]
    return float(np.sqrt(sum(squares)))
