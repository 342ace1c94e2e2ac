"""What each weighting does to one token's distribution, exactly: steps on a softmax policy; Adam."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import softmax

from hammerlib.errors import InputError, check_name

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
