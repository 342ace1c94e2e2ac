"""Beside DRA: its placebo, a bonus for what no other says, and advantages that are for diversity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hammerlib.advantages import group_advantages, pass_at_k_advantages, ucpo_weights
from hammerlib.dra import diversity_weights, permuted_weights
from hammerlib.errors import InputError, check_name, check_whole
from hammerlib.training.hooks import Algorithm, Rollout

if TYPE_CHECKING:
    import torch

    from hammerlib.training.config import TrainConfig

COMPARED = ("answer", "text")
SCORED = 32  # completions at once


def _advantages(rollout: Rollout, rewards: np.ndarray) -> torch.Tensor:
    """Group-relative advantages of other rewards, scaled as the configuration says."""
    advantages = group_advantages(rewards, rollout.groups, scale=rollout.trainer.scale_rewards)
    return rollout.advantages.new_tensor(advantages)


def _refuse_dra(config: TrainConfig, name: str) -> None:
    """Refuse rewards that DRA adjusts and an algorithm of raw rewards never looks at."""
    if config.adjustment != "none":
        problem = f"would be without effect: {name} reads the raw rewards"
        raise InputError("adjustment", config.adjustment, problem, f"set it to none, or leave {name} out")


def _kernel_vectors(rollout: Rollout) -> np.ndarray:
    """The embeddings (n, d), with one more dimension if some completions are blank."""
    vectors = rollout.vectors
    blank = ~vectors.any(axis=1) & np.array([not text.strip() for text in rollout.completions])
    # As under DRA: copies of each other, unlike anything else.
    return np.hstack([vectors, blank[:, None]]) if blank.any() else vectors


@dataclass(frozen=True)
class PermutedRewards(Algorithm):
    """DRA with its weights dealt at random among completions of equal raw reward (placebo).

    The adjusted rewards of a group are the very numbers that DRA makes of it; what a weight says about *its*
    completion is lost. Whatever DRA gains over it comes from the semantics. (Dealt over the whole group,
    weights of wrong completions, without effect under DRA, would fall on right ones.)

    Parameters
    ----------
    seed : int, optional
        With the optimizer step, of the permutations; default the run's.

    Notes
    -----
    Source: ours; the weights are those of arXiv 2505.09655 Section 3.2 (`diversity_weights` with its
    defaults) on the embeddings of the frozen initial checkpoint. It reads the raw reward: leave the
    configuration's ``adjustment`` at ``none``.
    """

    FROM_REWARDS: ClassVar[bool] = True

    seed: int | None = None

    def check(self, config: TrainConfig) -> None:
        """Refuse DRA beside it."""
        _refuse_dra(config, "permuted-rewards")

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
        differ.

    Notes
    -----
    Source: ours, to tell which part of arXiv 2505.09655 does what; ``DRAAblation()`` is its paper-exact DRA.
    Leave the configuration's ``adjustment`` at ``none``; ``scale_rewards: batch`` takes the deviation of this
    process's groups.
    """

    FROM_REWARDS: ClassVar[bool] = True

    similarity: str = "embedding"
    groups: str = "all"

    def __post_init__(self) -> None:
        check_name("similarity", self.similarity, ("embedding", "text"))
        check_name("groups", self.groups, ("all", "solved", "mixed"))

    def check(self, config: TrainConfig) -> None:
        """Refuse DRA beside it."""
        _refuse_dra(config, "dra-ablation")

    def weights(self, rollout: Rollout) -> np.ndarray:
        """Return the weight (n,) that multiplies each raw reward; 1 outside the groups asked for."""
        vectors = _kernel_vectors(rollout)
        if self.similarity == "text":
            # one unit vector for each different text: cosines are 1 or 0
            texts = [text.strip() for text in rollout.completions]
            vectors = np.eye(len(texts))[[texts.index(text) for text in texts]]
        weights = np.ones(len(rollout.rows))
        for groups in rollout.by_size():
            raw = rollout.raw[groups]
            # Groups without reward stay as they are: 0 divided is 0.
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
    """Each completion pays for the others of its group that say the same, right or wrong.

    Parameters
    ----------
    weight : float
        Above 0. With rewards of 0 and 1 a right answer stays above any wrong one for a weight below
        G / (G - 1).
    of : {"answer", "text"}
        What is compared: the extracted answer (completions without one count as saying the same), or the
        whole text without surrounding space. Right completions all have the same answer; where it is the
        strategies that can differ, as nano's three do, compare the text.

    Notes
    -----
    Source: nearest published form is the batch exploration of Song, Kempe and Munos (arXiv 2509.06941), a
    penalty for final answers repeated in the batch. That it enters the reward before the group's mean and
    deviation, as DRA does, is ours, and so is `of="text"`.
    """

    FROM_REWARDS: ClassVar[bool] = True

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
                # reward - weight * (number of others that say the same) / G
                counts = Counter(compared[row] for row in group)
                pays[group] = [self.weight * (counts[compared[row]] - 1) / len(group) for row in group]
        return pays

    def advantage(self, rollout: Rollout) -> torch.Tensor:
        """Return the advantages (n,)."""
        return _advantages(rollout, rollout.rewards - self.penalties(rollout))

    __call__ = advantage  # as a plug, one release


@dataclass(frozen=True)
class PassAtK(Algorithm):
    """Pass@k training: the advantage of a completion in the sets of k that a group holds.

    Parameters
    ----------
    k : int
        From 1 (GRPO, but for the deviation's ddof) to the group size.

    Notes
    -----
    Source: arXiv 2508.10751, see `hammerlib.advantages.pass_at_k_advantages`. It takes the place of the
    advantages so far and reads the raw reward, which must be 0 or 1.
    """

    FROM_REWARDS: ClassVar[bool] = True

    k: int

    def __post_init__(self) -> None:
        check_whole("k", self.k, 1, "use 4")

    def check(self, config: TrainConfig) -> None:
        """Refuse groups smaller than k, and DRA beside it."""
        _refuse_dra(config, "pass-at-k")
        if config.group_size < self.k:
            raise InputError("k", self.k, f"is more than group_size {config.group_size}", "use fewer")

    def advantage(self, rollout: Rollout) -> torch.Tensor:
        """Return the advantages (n,)."""
        advantages = np.zeros(len(rollout.rows))
        for groups in rollout.by_size():
            # closed form over all sets of k: no set is drawn
            advantages[groups] = pass_at_k_advantages(rollout.raw[groups], self.k)
        return rollout.advantages.new_tensor(advantages)


@dataclass(frozen=True)
class UniformCorrect(Algorithm):
    """UCPO: among right completions the advantage moves to those that the policy finds less likely.

    Parameters
    ----------
    tau : float
        From 0 (nothing moves) to 1 (advantages of right completions inverse to their chance).

    Notes
    -----
    Source: arXiv 2605.00365 and its released code, see `hammerlib.advantages.ucpo_weights`. It scores all
    completions once more by the policy and multiplies the advantages so far.
    """

    tau: float = 0.2

    def __post_init__(self) -> None:
        ucpo_weights(np.ones(1), np.zeros(1), self.tau)  # checks it

    def advantage(self, rollout: Rollout) -> torch.Tensor:
        """Return the advantages, in the shape they have."""
        from hammerlib.training.generation import scored_tokens  # brings torch

        scored = scored_tokens(rollout.trainer, rollout.prompt_ids, rollout.completion_ids, rows=SCORED)
        # length-normalised, as the released code has it: long answers are not unlikely for their length
        means = [(logps.double().sum(1) / mask.sum(1)).cpu().numpy() for logps, _, mask in scored]
        log_probs = np.concatenate(means)
        weights = np.ones(len(rollout.rows))
        for groups in rollout.by_size():
            weights[groups] = ucpo_weights(rollout.raw[groups], log_probs[groups], self.tau)
        factors = rollout.advantages.new_tensor(weights)
        # a factor a completion, the same for all of its tokens
        return rollout.advantages * (factors if rollout.advantages.dim() == 1 else factors[:, None])


BONUSES = {"permuted-rewards": (), "distinct-answers": ("weight", "of")}  # name -> its settings


def bonus_of(settings: Mapping[str, Any] | None, seed: int) -> list[Algorithm]:
    """Return the algorithm of an arm's ``bonus``, with the replicate's seed; none where there is no bonus."""
    # In the spelling of the first studies: {name: distinct-answers, weight: 0.5, of: text}. What it names
    # stands among the `algorithms` of a training configuration now.
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
