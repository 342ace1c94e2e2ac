"""ETMR as an algorithm: ``algorithms: [{name: etmr, trees: 12, forks: 2, branches: 2}, {name: ettrl}]``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hammerlib.errors import InputError, check_name, check_whole
from hammerlib.systems.branching import both_parts, branch, problems_of, random_generator, token_entropies
from hammerlib.systems.etmr import effective_votes, fork_points, leaf_count, leaf_order
from hammerlib.systems.ttrl.algorithm import VoteThenSample, label_by_vote, true_verdicts, watch_votes
from hammerlib.training.generation import generate
from hammerlib.training.hooks import EXCLUDED, Algorithm, Generation, Rollout

if TYPE_CHECKING:
    from hammerlib.training.config import TrainConfig
    from hammerlib.training.trainer import PolicyTrainer

TRAINED = ("all", "first")
CHOICES = ("entropy", "random")


@dataclass(frozen=True)
class TreeVotes(Algorithm):
    """The majority of the leaves of a few trees is the answer that leaves are rewarded for.

    Each tree is a completion, the trunk, and branches of it that begin at its most uncertain tokens. Labels,
    rewards and the truth that is set aside are those of `hammerlib.systems.ttrl.VoteThenSample`.

    Source: arXiv 2508.11356, known from two notes. Not stated, and decided here: the fork token is sampled
    again, special tokens alone do not fork, branches are the trunk's (which the published budget implies), a
    branch trains what it sampled and not its trunk's part, and all leaves are trained.

    Parameters
    ----------
    trees, forks, branches : int
        M trunks, N forks of each, B branches of each fork: M (1 + B N) leaves vote. Without forks they are
        TTRL's votes.
    train : str
        ``all`` leaves, whose number must then be the group size, or the ``first`` G: trunks, then branches of
        as many trees as may be.
    choice : str
        Forks where the ``entropy`` is highest, or at ``random`` tokens (ours, a control).
    watch : bool
        Grade every leaf against the truth as well, for the metrics alone.
    """

    METRICS: ClassVar[dict[str, str]] = VoteThenSample.METRICS | {
        "tree/token_ratio": "tokens sampled over those of leaves sampled whole, 0 to 1",
        "tree/effective_votes": "separate votes that a problem's leaves are worth (design effect)",
    }

    trees: int = 12
    forks: int = 2
    branches: int = 2
    train: str = "all"
    choice: str = "entropy"
    watch: bool = True

    def __post_init__(self) -> None:
        check_whole("trees", self.trees, 1, "use 12, as published")
        check_whole("forks", self.forks, 0, "use 2, as published")
        check_whole("branches", self.branches, 1, "use 2, as published")
        check_name("train", self.train, TRAINED)
        check_name("choice", self.choice, CHOICES)

    @property
    def leaves(self) -> int:
        """Completions of a problem that vote."""
        return leaf_count(self.trees, self.forks, self.branches)

    def check(self, config: TrainConfig) -> None:
        """Refuse a group size that the leaves do not make."""
        size = config.group_size
        made = f"{self.trees} (1 + {self.branches} x {self.forks}) = {self.leaves} leaves"
        # TRL normalises groups of G: leaves that are trained must fill them
        if self.train == "all" and size != self.leaves:
            remedy = f"set group_size: {self.leaves}, or train: first"
            raise InputError("train", self.train, f"trains {made}, not the group size {size}", remedy)
        if size > self.leaves:
            raise InputError(
                "trees", self.trees, f"make {made}, fewer than the group size {size}", "grow more"
            )

    def rollout(self, rows: list[dict[str, Any]], trainer: PolicyTrainer) -> Generation:
        """Return the leaves of every problem, trunks first, labelled by their majority."""
        size = trainer.num_generations
        problems = problems_of(rows, size)
        generation = generate(trainer, [row for row in problems for _ in range(self.trees)])
        if self.forks:
            generation = self.grow(trainer, generation, len(problems))
        label_by_vote(generation, problems, trainer)
        if self.train == "first":
            leaf = np.arange(len(generation.rows))
            generation.groups = np.where(leaf % self.leaves < size, leaf // self.leaves, EXCLUDED)
        return generation

    def grow(self, trainer: PolicyTrainer, trunks: Generation, problems: int) -> Generation:
        """Return trunks and branches, the leaves of a problem in a row."""
        # a trunk once for each of its forks
        forking = trunks.take(np.repeat(np.arange(len(trunks.rows)), self.forks))
        points = [point for forks in self._points(trainer, trunks) for point in forks]
        branches = branch(trainer, forking, points, self.branches)
        first = np.arange(len(trunks.rows)).reshape(problems, -1)
        # branches stand behind all trunks: by problem, by tree, by fork
        later = len(trunks.rows) + np.arange(len(branches.rows)).reshape(problems, -1)
        order = leaf_order(self.trees, self.forks, self.branches)
        return Generation.join([trunks, branches]).take(np.hstack([first, later])[:, order].ravel())

    def _points(self, trainer: PolicyTrainer, trunks: Generation) -> list[list[int]]:
        special = set(trainer.processing_class.all_special_ids)
        if self.choice == "entropy":
            heights = token_entropies(trainer, trunks)
        else:  # the highest of independent random numbers stand at random places
            heights = []
            for k, ids in enumerate(trunks.completion_ids):
                rng = random_generator(trainer, trunks.rows[k]["id"], k % self.trees)
                heights.append(rng.random(len(ids)))
        allowed = [np.array([token not in special for token in ids]) for ids in trunks.completion_ids]
        return [fork_points(*each, self.forks) for each in zip(heights, allowed, strict=True)]

    def observe(self, rollout: Rollout) -> dict[str, float]:
        """Return what the votes are worth (`watch_votes`), and what the trees saved and cost them."""
        whole = 0
        taken_over = 0  # what branches have of their trunks was not sampled
        for part in both_parts(rollout):
            whole += sum(map(len, part.completion_ids))
            taken_over += sum(part.forced)
        values = {"tree/token_ratio": 1 - taken_over / whole}
        if not self.watch:
            return values
        right = true_verdicts(rollout)
        # Trunks of all trees, then a branch of every tree, then the next.
        leaves = [np.reshape(each, (-1, self.trees)).T for each in right.values() if len(each) == self.leaves]
        # a single tree has no other to differ from
        values["tree/effective_votes"] = math.nan
        if leaves and self.trees > 1:
            values["tree/effective_votes"] = effective_votes(np.stack(leaves))
        return values | watch_votes(rollout, right)
