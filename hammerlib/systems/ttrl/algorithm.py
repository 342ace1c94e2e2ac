"""TTRL and ETTRL's advantage side as algorithms: ``algorithms: [{name: ttrl, votes: 64}, {name: ettrl}]``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hammerlib.errors import InputError, check_name
from hammerlib.grading import final_answer, grade
from hammerlib.systems.branching import both_parts, problems_of
from hammerlib.systems.ttrl import clip_advantages, entropy_scale, majority_vote, vote_metrics
from hammerlib.training.generation import completion_entropies, generate
from hammerlib.training.hooks import EXCLUDED, Algorithm, Generation, Rollout

if TYPE_CHECKING:
    import torch

    from hammerlib.training.config import TrainConfig
    from hammerlib.training.trainer import PolicyTrainer

KINDS = ("residual", "clip")
JUDGED_BY = ("answer", "scorer", "metadata")  # columns that may tell the truth


@dataclass(frozen=True)
class VoteThenSample(Algorithm):
    """The majority of `votes` completions is the answer that the first G are rewarded for.

    The true ``answer``, ``scorer`` and ``metadata`` move to the column ``truth``, which no reward reads; in
    their place stand the majority's answer and None, so that `accuracy_reward` and every other reward of the
    configuration judges by the majority, under math equivalence. Without any readable answer the problem has
    no reward. Group statistics are those of the G that are trained. What is observed reads the truth.

    Source: arXiv 2504.16084, Section 3 and its code (the first samples are trained, not a random choice).

    Parameters
    ----------
    votes : int
        Completions that vote, at least the configuration's group size; 64 with 32 trained in the paper.
    watch : bool
        Grade every vote against the truth as well, for the metrics alone.
    """

    METRICS: ClassVar[dict[str, str]] = {
        "vote/label_accuracy": "share of problems whose majority is right",
        "vote/reward_accuracy": "share of votes whose reward is the true one; high under a wrong label too",
        "vote/majority_ratio": "share of votes for the majority",
        "vote/ground_truth_ratio": "share of right votes",
        "vote/pass": "share of problems with a right vote",
        "vote/post_reward_accuracy": "as reward_accuracy, of the trained completions",
        "vote/post_majority_ratio": "as majority_ratio, of the trained completions",
        "vote/post_ground_truth_ratio": "as ground_truth_ratio, of the trained completions",
        "vote/post_pass": "as pass, of the trained completions",
    }

    votes: int = 64
    watch: bool = True

    def __post_init__(self) -> None:
        if self.votes < 1:
            raise InputError("votes", self.votes, "must be at least 1", "use 64")

    def check(self, config: TrainConfig) -> None:
        """Refuse fewer votes than completions that are trained."""
        self._check_votes(config.group_size)

    def _check_votes(self, size: int) -> None:
        if self.votes < size:
            raise InputError("votes", self.votes, f"are fewer than the group size {size}", "vote with more")

    def rollout(self, rows: list[dict[str, Any]], trainer: PolicyTrainer) -> Generation:
        """Return `votes` completions for each problem, the first G of them in a group."""
        size = trainer.num_generations
        self._check_votes(size)
        problems = problems_of(rows, size)
        generation = generate(trainer, [row for row in problems for _ in range(self.votes)])
        label_by_vote(generation, problems, trainer)
        # All vote; the first G of each problem are trained.
        completion = np.arange(len(generation.rows))
        generation.groups = np.where(completion % self.votes < size, completion // self.votes, EXCLUDED)
        return generation

    def observe(self, rollout: Rollout) -> dict[str, float]:
        """Return what the votes are worth, see `watch_votes`."""
        return watch_votes(rollout) if self.watch else {}

    __call__ = rollout  # as a hook of its own


def label_by_vote(generation: Generation, problems: Sequence[dict[str, Any]], trainer: PolicyTrainer) -> None:
    """Set the answer of every row to the majority's, in place; a problem's completions stand in a row."""
    texts = trainer.processing_class.batch_decode(generation.completion_ids, skip_special_tokens=True)
    answers = [final_answer(text) for text in texts]
    # every problem has as many votes
    votes = len(answers) // len(problems)
    generation.rows = []
    for number, row in enumerate(problems):
        ballot = answers[number * votes : (number + 1) * votes]
        generation.rows += [relabelled(row, ballot)] * votes


def relabelled(row: dict[str, Any], answers: Sequence[str | None]) -> dict[str, Any]:
    """Return a problem row whose answer is the majority's, with its truth set aside."""
    # all that a grader reads of a row: a reward that saw one of them would know the answer
    truth = {name: row[name] for name in JUDGED_BY if name in row}
    blank = dict.fromkeys(truth)
    return {**row, **blank, "answer": majority_vote(answers).label, "truth": truth}


def true_verdicts(rollout: Rollout) -> dict[str, list[bool]]:
    """Return which completions of every problem, trained or not, are right by the truth set aside."""
    right: dict[str, list[bool]] = {}
    for part in both_parts(rollout):
        for row, text in zip(part.rows, part.completions, strict=True):
            if "truth" not in row:
                remedy = "use it with VoteThenSample"
                raise InputError("rollout", "rows", "have no truth set aside", remedy)
            right.setdefault(row["id"], []).append(grade(text, row["truth"]).correct)
    return right


def watch_votes(rollout: Rollout, right: dict[str, list[bool]] | None = None) -> dict[str, float]:
    """Return the means over problems of `vote_metrics` as ``vote/...``; only this reads the truth."""
    if right is None:
        # graded by the truth set aside, which nothing that trains reads
        right = true_verdicts(rollout)
    votes: dict[str, list[tuple[dict, str | None, bool]]] = {}
    for part in both_parts(rollout):
        for row, text, group in zip(part.rows, part.completions, part.groups, strict=True):
            votes.setdefault(row["id"], []).append((row, final_answer(text), group != EXCLUDED))
    worth = []
    for name, ballot in votes.items():
        rows, answers, trained = zip(*ballot, strict=True)
        # of a problem that trains nothing, no vote is told
        if any(trained):
            label = rows[0]["answer"]
            label_right = label is not None and grade(f"\\boxed{{{label}}}", rows[0]["truth"]).correct
            worth.append(vote_metrics(answers, right[name], label_right=label_right, kept=sum(trained)))
    return {f"vote/{name}": float(np.mean([metrics[name] for metrics in worth])) for name in worth[0]}


@dataclass(frozen=True)
class EntropyReshape(Algorithm):
    """ETTRL's reshaping of whatever advantages there are so far.

    Source: arXiv 2508.11356. Entropies are those of the policy that generated, at the sampling temperature,
    over trained tokens.

    Parameters
    ----------
    kind : str
        ``residual`` (Adv-Res, see `entropy_scale`) or ``clip`` (Adv-Clip, see `clip_advantages`); two
        alternatives of the paper.
    beta : float, optional
        Of ``clip``; default 2.
    clamp_min : float, optional
        Of ``residual``.
    """

    kind: str = "residual"
    beta: float | None = None
    clamp_min: float | None = None

    def __post_init__(self) -> None:
        check_name("kind", self.kind, KINDS, "is unknown")
        if self.kind == "clip" and self.clamp_min is not None:
            raise InputError("clamp_min", self.clamp_min, "does nothing with clip", "use kind residual")
        if self.kind == "residual" and self.beta is not None:
            raise InputError("beta", self.beta, "does nothing with residual", "use kind clip")
        if self.kind == "clip" and self.beta is None:
            object.__setattr__(self, "beta", 2.0)
        if self.beta is not None and not self.beta > 0:
            raise InputError("beta", self.beta, "must be above 0", "use 2")

    def advantage(self, rollout: Rollout) -> torch.Tensor:
        """Return the reshaped advantages, in the shape they have."""
        advantages = rollout.advantages
        # Adv-Clip bounds what a single response can do; Adv-Res weighs it by its entropy
        if self.kind == "clip":
            return advantages.new_tensor(clip_advantages(advantages.cpu().numpy(), self.beta))
        entropies = completion_entropies(rollout)
        scale = advantages.new_tensor(entropy_scale(entropies, rollout.groups, clamp_min=self.clamp_min))
        # one scale a completion, for all of its tokens
        return advantages * (scale if advantages.dim() == 1 else scale[:, None])

    __call__ = advantage  # as a hook of its own
