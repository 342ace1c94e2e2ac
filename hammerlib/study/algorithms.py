"""Rewards beside DRA's: its placebo, a bonus for what no other says, and how large an arm's steps are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hammerlib.advantages import group_advantages
from hammerlib.dra import adjust_rewards, diversity_weights, permuted_weights
from hammerlib.errors import InputError, check_name
from hammerlib.training.hooks import Algorithm, Rollout

if TYPE_CHECKING:
    import torch

    from hammerlib.models import Backbone

COMPARED = ("answer", "text")


def _advantages(rollout: Rollout, rewards: np.ndarray) -> torch.Tensor:
    """Group-relative advantages of other rewards, scaled as the configuration says."""
    advantages = group_advantages(rewards, rollout.groups, scale=rollout.trainer.scale_rewards)
    return rollout.advantages.new_tensor(advantages)


def _kernel_vectors(rollout: Rollout) -> np.ndarray:
    """The embeddings (n, d), with one more dimension if some completions are blank."""
    vectors = rollout.vectors
    blank = ~vectors.any(axis=1) & np.array([not text.strip() for text in rollout.completions])
    # As under DRA: copies of each other, unlike anything else.
    return np.hstack([vectors, blank[:, None]]) if blank.any() else vectors


@dataclass(frozen=True)
class PermutedRewards(Algorithm):
    """DRA with its weights dealt at random among completions of equal raw reward (placebo).

    The adjusted rewards of a group are the very numbers that DRA makes of it, so that their size and spread,
    equal-reward groups that get a gradient and the shrinking of the step under Dr. GRPO are DRA's; what a
    weight says about *its* completion is lost. Whatever DRA gains over it comes from the semantics. (Dealt
    over the whole group, weights of wrong completions, without effect under DRA, would fall on right ones.)

    Parameters
    ----------
    seed : int, optional
        With the optimizer step, of the permutations; default the run's.

    Notes
    -----
    Source: ours; the weights are those of arXiv 2505.09655 Section 3.2 (`diversity_weights` with its
    defaults) on the embeddings of the frozen initial checkpoint, and multiply the raw reward as there. It
    reads the raw reward, so that the configuration's ``adjustment`` changes nothing but telemetry; leave it
    ``none``. ``scale_rewards: batch`` takes the deviation of this process's groups.
    """

    seed: int | None = None

    def weights(self, rollout: Rollout) -> np.ndarray:
        """Return the weight (n,) that multiplies each raw reward; 1 where a completion is not trained."""
        seed = rollout.trainer.args.seed if self.seed is None else self.seed
        rng = np.random.default_rng([seed, rollout.step])
        vectors = _kernel_vectors(rollout)
        weights = np.ones(len(rollout.rows))
        for groups in rollout.by_size():
            weights[groups] = diversity_weights(vectors[groups])
            for group in groups:
                weights[group] = permuted_weights(weights[group], rollout.raw[group], rng)
        return weights

    def advantage(self, rollout: Rollout) -> torch.Tensor:
        """Return the advantages (n,)."""
        return _advantages(rollout, rollout.raw * self.weights(rollout))

    __call__ = advantage  # as a plug, one release


@dataclass(frozen=True)
class DRAAblation(Algorithm):
    """DRA in some groups only, or with "same text or not" in place of the cosine of embeddings.

    Parameters
    ----------
    similarity : {"embedding", "text"}
        Between completions of a group: the cosine of their embeddings, as DRA has it, or 1 for equal texts
        (without surrounding space) and 0 for others.
    groups : {"all", "solved", "mixed"}
        Where rewards are divided: everywhere, where all raw rewards are equal and above 0, or where they
        differ. (Groups without reward stay as they are: 0 divided is 0.)

    Raises
    ------
    InputError
        Another similarity, or other groups.

    Notes
    -----
    Source: ours, to tell which part of arXiv 2505.09655 does what; ``DRAAblation()`` is its paper-exact DRA.
    Leave the configuration's ``adjustment`` at ``none``; ``scale_rewards: batch`` takes the deviation of this
    process's groups.

    Examples
    --------
    >>> DRAAblation(groups="solved").similarity
    'embedding'
    """

    similarity: str = "embedding"
    groups: str = "all"

    def __post_init__(self) -> None:
        check_name("similarity", self.similarity, ("embedding", "text"))
        check_name("groups", self.groups, ("all", "solved", "mixed"))

    def weights(self, rollout: Rollout) -> np.ndarray:
        """Return the weight (n,) that multiplies each raw reward; 1 outside the groups asked for."""
        vectors = _kernel_vectors(rollout)
        if self.similarity == "text":
            texts = [text.strip() for text in rollout.completions]
            vectors = np.eye(len(texts))[[texts.index(text) for text in texts]]
        weights = np.ones(len(rollout.rows))
        for groups in rollout.by_size():
            raw = rollout.raw[groups]
            alike = raw.min(axis=1) == raw.max(axis=1)
            chosen = {"all": alike | ~alike, "solved": alike & (raw[:, 0] > 0), "mixed": ~alike}[self.groups]
            if chosen.any():
                weights[groups[chosen]] = diversity_weights(vectors[groups[chosen]])
        return weights

    def advantage(self, rollout: Rollout) -> torch.Tensor:
        """Return the advantages (n,)."""
        return _advantages(rollout, rollout.raw * self.weights(rollout))


@dataclass(frozen=True)
class DistinctAnswers(Algorithm):
    """Each completion pays for the others of its group that say the same.

    ``reward - weight * (number of others that say the same) / G``, then the group's advantages; right and
    wrong completions alike. A group whose raw rewards are all the same gets a gradient where its answers
    differ, as under DRA.

    Parameters
    ----------
    weight : float
        Above 0. With rewards of 0 and 1 a right answer stays above any wrong one for a weight below
        G / (G - 1).
    of : {"answer", "text"}
        What is compared: the extracted answer (completions without one count as saying the same), or the
        whole text without surrounding space. Right completions all have the same answer; where it is the
        strategies that can differ, as nano's three do, compare the text.

    Raises
    ------
    InputError
        A weight that is not above 0, or another `of`.

    Notes
    -----
    Source: nearest published form is the batch exploration of Song, Kempe and Munos (arXiv 2509.06941), a
    penalty for final answers repeated in the batch, right or wrong. That it enters the reward before the
    group's mean and deviation, as DRA does, is ours, and so is `of="text"`. ``scale_rewards: batch`` takes
    the deviation of this process's groups.
    """

    weight: float
    of: str = "answer"

    def __post_init__(self) -> None:
        if isinstance(self.weight, bool) or not isinstance(self.weight, int | float) or not self.weight > 0:
            raise InputError("weight", self.weight, "is not above 0", "use 0.5")
        check_name("of", self.of, COMPARED, "is not compared")

    def penalties(self, rollout: Rollout) -> np.ndarray:
        """Return what each completion (n,) pays, at least 0; 0 if it is not trained."""
        if self.of == "answer":
            compared = [verdict.extracted if verdict else None for verdict in rollout.verdicts]
        else:
            compared = [text.strip() for text in rollout.completions]
        pays = np.zeros(len(rollout.rows))
        for groups in rollout.by_size():
            for group in groups:
                counts = Counter(compared[row] for row in group)
                pays[group] = [self.weight * (counts[compared[row]] - 1) / len(group) for row in group]
        return pays

    def advantage(self, rollout: Rollout) -> torch.Tensor:
        """Return the advantages (n,)."""
        return _advantages(rollout, rollout.rewards - self.penalties(rollout))

    __call__ = advantage  # as a plug, one release


BONUSES = {"permuted-rewards": (), "distinct-answers": ("weight", "of")}  # name -> its settings


def bonus_of(settings: Mapping[str, Any] | None, seed: int) -> list[Algorithm]:
    """Return the algorithm of an arm's ``bonus``, with the replicate's seed; none where there is no bonus.

    ``{"name": "permuted-rewards"}`` or ``{"name": "distinct-answers", "weight": 0.5, "of": "text"}``: what
    ``algorithms`` of a training configuration names too, in the spelling of the first studies.
    """
    if settings is None:
        return []
    options = dict(settings)
    name = options.pop("name", None)
    if name == "entropy":
        raise InputError("bonus", name, "is a term of the loss", "set entropy_coef: 0.01 in the arm instead")
    check_name("bonus", name, BONUSES)
    known = BONUSES[name]
    if set(options) - set(known) or (name == "distinct-answers" and "weight" not in options):
        problem = f"are not the settings of {name!r}"
        raise InputError("bonus", sorted(options), problem, f"its settings: {', '.join(known) or 'none'}")
    if name == "permuted-rewards":
        return [PermutedRewards(seed)]
    return [DistinctAnswers(**options)]


# How large are an arm's steps


def advantage_ratio(raw: npt.ArrayLike, vectors: npt.ArrayLike, **options: Any) -> float:
    """Return how many times larger the advantages are without DRA than with it, before any division.

    Without a division by the standard deviation (``dr_grpo``), DRA makes advantages and gradients several
    times smaller. Under SGD, under a KL or entropy term, or where gradients are clipped, that changes the
    step, and the learning rate can be multiplied by this ratio. AdamW, which the trainer uses, divides the
    gradient by its own size: measured on nano over 12 steps (``dr_grpo``, ``beta`` 0, one seed), DRA made
    gradients 7.4 times smaller and the change of the weights 0.99 times as large, so there the same learning
    rate *is* the matched one. `weight_change` checks that for any run.

    Parameters
    ----------
    raw : (B, G) array
        Raw rewards of B groups that the initial checkpoint generated; NaN where a completion has none.
    vectors : (B, G, d) array
        Embeddings of their completions.
    **options
        Of `hammerlib.adjust_rewards`; none for the paper's DRA.
    """

    def mean_size(rewards: np.ndarray) -> float:
        return float(np.nanmean(np.abs(rewards - np.nanmean(rewards, axis=1, keepdims=True))))

    values = np.asarray(raw, dtype=float)
    before = mean_size(values)
    after = mean_size(adjust_rewards(values, vectors, **options))
    if not before > 0 or not after > 0:
        problem = "hold no group whose rewards differ"
        raise InputError("raw", values.shape, problem, "measure on more problems")
    return before / after


def weight_change(start: Backbone, end: Backbone) -> float:
    """Return how far training moved the weights: the L2 norm of the difference of all parameters."""
    before, after = (dict(backbone.model.named_parameters()) for backbone in (start, end))
    shapes = [{name: weight.shape for name, weight in side.items()} for side in (before, after)]
    if shapes[0] != shapes[1]:
        raise InputError("end", end.name, f"has other parameters than {start.name}", "give one run's ends")
    squares = [((after[name] - before[name]).detach().double() ** 2).sum().item() for name in before]
    return float(np.sqrt(sum(squares)))
