"""CURE as an algorithm: ``algorithms: [{name: cure, n1: 4, n2: 3, stage_steps: 300}]``."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from hammerlib.errors import InputError, check_name, check_whole
from hammerlib.systems.branching import branch, problems_of, random_generator, right_of, token_entropies
from hammerlib.systems.cure import CHOICES, critical_position, eligible_tokens
from hammerlib.training.generation import generate
from hammerlib.training.hooks import Algorithm, Generation, Rollout

if TYPE_CHECKING:
    from hammerlib.training.config import TrainConfig
    from hammerlib.training.trainer import PolicyTrainer

REWARDED = ("whole", "suffix")
BRANCH = "branch"  # task of a row that continues another one

# What CURE's update is beside its rollouts: DAPO's (arXiv 2503.14476), without KL and entropy terms.
DAPO: dict[str, tuple[str | float, str]] = {
    "loss_type": ("dapo", "is not the token mean of DAPO, which CURE trains with"),
    "scale_rewards": ("group", "does not divide by the deviation of the joint group"),
    "beta": (0.0, "adds a KL term, which CURE has not"),
    "entropy_coef": (0.0, "adds an entropy term, which CURE has not"),
}


@dataclass(frozen=True)
class Cure(Algorithm):
    """Rollouts of a prompt, and branches of each from before one of its most uncertain tokens, in one group.

    Source: arXiv 2508.11016 and its code, of which two things are not copied: refined prompts that are too
    long lose their end, just before the critical token (here a branch ends where its parent would have to),
    and padding is told by its token id. Dynamic sampling is the configuration's.

    Parameters
    ----------
    n1, n2 : int
        Rollouts of a prompt, and branches of each; G = n1 (1 + n2). Without branches (``n2: 0``) training is
        plain.
    top_k : int
        Tokens of highest entropy among which the critical one is picked.
    choice : str
        ``entropy``, or ``random`` (any eligible token; the ablation in the code).
    min_token_chars : int
        See `eligible_tokens`; the released code has 2. nano's tokens are single digits and signs, and the
        first word, its strategy, is never cut: 2 leaves next to nothing there, so use 1.
    reward_on : str
        What rewards, embeddings and files see of a branch: the ``whole`` completion, or the ``suffix`` that
        was sampled, its prefix being part of the prompt, as in the released code. The trained tokens are the
        same.
    stage_steps : int, optional
        Optimizer steps of the first stage; after them G plain rollouts of each prompt. None: no second stage.
        The published second stage starts from a checkpoint with a new optimizer, this one goes on.
    """

    METRICS: ClassVar[dict[str, str]] = {
        "cure/rollout_accuracy": "share of rollouts from the prompt that are right",
        "cure/branch_accuracy": "share of branches that are right",
        "cure/prefix_tokens": "mean tokens of a branch that its parent had sampled",
        "cure/prefix_share": "the same as a share of the branch, 0 to 1",
        "cure/fresh_share": "share of branches without an eligible token: rollouts from the prompt",
    }

    n1: int = 4
    n2: int = 3
    top_k: int = 20
    choice: str = "entropy"
    min_token_chars: int = 2
    reward_on: str = "whole"
    stage_steps: int | None = None

    def __post_init__(self) -> None:
        check_whole("n1", self.n1, 1, "use 4, as published")
        check_whole("n2", self.n2, 0, "use 3, as published")
        check_whole("top_k", self.top_k, 1, "use 20, as published")
        check_whole("min_token_chars", self.min_token_chars, 0, "use 2, as published")
        check_name("choice", self.choice, CHOICES)
        check_name("reward_on", self.reward_on, REWARDED)
        if self.stage_steps is not None:
            check_whole("stage_steps", self.stage_steps, 0, "leave it out for a single stage")

    @property
    def group(self) -> int:
        """Rows of a prompt, n1 (1 + n2)."""
        return self.n1 * (1 + self.n2)

    def check(self, config: TrainConfig) -> None:
        """Refuse another group size, and what is not DAPO's update."""
        if self.group != config.group_size:
            problem = f"make groups of {self.group}, not of the group size {config.group_size}"
            raise InputError("n1, n2", [self.n1, self.n2], problem, f"set group_size: {self.group}")
        for name, (sound, problem) in DAPO.items():
            if getattr(config, name) != sound:
                raise InputError(name, getattr(config, name), problem, f"set {name}: {sound}")
        # DAPO clips higher to leave unlikely tokens room to grow; on-policy nothing is clipped
        held = config.steps_per_generation or config.gradient_accumulation
        off_policy = held > config.gradient_accumulation or config.num_iterations > 1
        if off_policy and (config.epsilon_high is None or config.epsilon_high <= config.epsilon):
            problem = "does not clip higher, as DAPO does where completions are trained again"
            raise InputError("epsilon_high", config.epsilon_high, problem, "set epsilon_high: 0.28")

    def rollout(self, rows: list[dict[str, Any]], trainer: PolicyTrainer) -> Generation:
        """Return n1 completions of every problem and, after them, n2 branches of each, in one group."""
        second_stage = self.stage_steps is not None and trainer.state.global_step >= self.stage_steps
        # the second stage is plain DAPO, on the checkpoint of the first
        if self.n2 == 0 or second_stage:
            return generate(trainer, rows)
        problems = problems_of(rows, trainer.num_generations)
        parents = generate(trainer, [row for row in problems for _ in range(self.n1)])
        branches = branch(trainer, parents, self._positions(trainer, parents), self.n2)
        # told apart when observed; trained alike
        branches.tasks = [BRANCH] * len(branches.rows)
        # Rows of a problem together, as TRL has its groups: parents, then the branches of each in turn.
        first = np.arange(len(parents.rows)).reshape(len(problems), -1)
        later = len(parents.rows) + np.arange(len(branches.rows)).reshape(len(problems), -1)
        generation = Generation.join([parents, branches]).take(np.hstack([first, later]).ravel())
        return suffixes(generation) if self.reward_on == "suffix" else generation

    def _positions(self, trainer: PolicyTrainer, parents: Generation) -> list[int]:
        """Return t* of every parent: where it is cut."""
        tokenizer = trainer.processing_class
        # every token is decoded once, not wherever it occurs
        distinct = sorted({token for ids in parents.completion_ids for token in ids})
        texts = dict(zip(distinct, tokenizer.batch_decode([[token] for token in distinct]), strict=True))
        special = set(tokenizer.all_special_ids)
        if self.choice == "entropy":
            entropies = token_entropies(trainer, parents)
        else:
            entropies = [np.zeros(len(ids)) for ids in parents.completion_ids]  # not looked at
        positions = []
        for k, (ids, values) in enumerate(zip(parents.completion_ids, entropies, strict=True)):
            words = [texts[token] for token in ids]
            never = [token in special for token in ids]
            eligible = eligible_tokens(words, never, min_chars=self.min_token_chars)
            rng = random_generator(trainer, parents.rows[k]["id"], k % self.n1)
            positions.append(critical_position(values, eligible, rng, top_k=self.top_k, choice=self.choice))
        return positions

    def observe(self, rollout: Rollout) -> dict[str, float]:
        """Return what rollouts and branches are worth apart, and where branches begin."""
        values = dict.fromkeys(self.METRICS, math.nan)
        right = np.array(right_of(rollout.verdicts), dtype=float)
        branches = np.array([task == BRANCH for task in rollout.tasks])
        if not branches.all():
            values["cure/rollout_accuracy"] = float(right[~branches].mean())
        if branches.any():
            before = prefix_lengths(rollout)[branches]
            # prefixes that became part of the prompt are counted by `before` alone
            sampled = np.array([*map(len, rollout.completion_ids)])[branches]
            sampled -= np.array(rollout.forced)[branches]
            values["cure/branch_accuracy"] = float(right[branches].mean())
            values["cure/prefix_tokens"] = float(before.mean())
            values["cure/prefix_share"] = float((before / (before + sampled)).mean())
            values["cure/fresh_share"] = float((before == 0).mean())
        return values


def suffixes(generation: Generation) -> Generation:
    """Return branches whose prefix is part of the prompt: only what was sampled is a completion."""
    starts = zip(generation.prompt_ids, generation.completion_ids, generation.forced, strict=True)
    changed: dict[str, Any] = {
        "forced": [],
        "prompt_ids": [prompt + ids[:cut] for prompt, ids, cut in starts],
    }
    for name in ("completion_ids", "mask", "logprobs"):
        lists = getattr(generation, name)
        if lists is not None:
            changed[name] = [values[cut:] for values, cut in zip(lists, generation.forced, strict=True)]
    return dataclasses.replace(generation, **changed)


def prefix_lengths(rollout: Rollout) -> np.ndarray:
    """Return the tokens that every completion took over, also where they are part of its prompt."""
    lengths = pd.Series([len(ids) for ids in rollout.prompt_ids])
    # the shortest prompt of a problem is its own, a longer one has a prefix behind it
    own = lengths.groupby([row["id"] for row in rollout.rows]).transform("min")
    return np.array(rollout.forced) + (lengths - own).to_numpy()
