"""An order that the policy makes while it trains: problems whose success is predicted near one half."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from accelerate.utils import gather_object

from hammerlib.errors import InputError, check_whole
from hammerlib.ordering import farthest_first
from hammerlib.similarity import unit_rows
from hammerlib.training.generation import generate
from hammerlib.training.hooks import Algorithm, Generation, Rollout

if TYPE_CHECKING:
    from hammerlib.training.config import TrainConfig
    from hammerlib.training.trainer import PolicyTrainer


@dataclass
class AdaptiveSampler(Algorithm):
    """Chooses the problems of every batch by a Thompson draw of their success (MoPPS).

    Each problem has a Beta distribution over its success. For a batch, `candidates` problems for each one
    wanted are drawn at random, then a success for each of them from its distribution; those nearest `target`
    are trained, whatever the order says. Their right and wrong completions then update their distributions.
    The index log of a run is the order that came out.

    Parameters
    ----------
    target : float
        Wished success, in [0, 1].
    decay : float
        In [0, 1]: share of what was counted before that stays at an update, for a policy that moves.
    candidates : int
        Problems looked at for each one trained, at least 1; a batch never holds a problem twice.
    spread : int
        From 1, as published, to `candidates`. The ``spread`` times as many problems as wanted nearest the
        target are kept, and of these the ones that are farthest from each other are trained: diverse among
        the learnable (ours).

    Notes
    -----
    Source: MoPPS, arXiv 2507.04632 Section 4 and its released code (prior Beta(1, 1), nearest by squared
    distance), without its second rule, any draw inside an interval.

    Examples
    --------
    >>> sampler = AdaptiveSampler(decay=0.5)
    >>> sampler.update([("a", 6, 8), ("b", 0, 8)])
    >>> sampler.update([("a", 8, 8)])
    >>> sampler.beta_of("a"), sampler.beta_of("b"), sampler.beta_of("c")
    ((12.0, 2.0), (1.0, 9.0), (1.0, 1.0))
    """

    METRICS: ClassVar[dict[str, str]] = {
        "adaptive/predicted": "mean success of the batch's problems as predicted before it was sampled",
        "adaptive/seen": "share of the batch's problems that had been sampled before",
    }

    target: float = 0.5
    decay: float = 1.0
    candidates: int = 16
    spread: int = 1
    counts: dict[str, tuple[float, float]] = field(default_factory=dict, init=False, repr=False)
    batches: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("target", "decay"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise InputError(name, value, "is not between 0 and 1", "use 0.5")
        check_whole("candidates", self.candidates, 1, "use 16")
        check_whole("spread", self.spread, 1, "use 1 for the published rule")
        if self.spread > self.candidates:
            problem = f"asks for more problems than the {self.candidates} candidates for each"
            raise InputError("spread", self.spread, problem, "raise candidates, or lower spread")
        self._vectors: np.ndarray | None = None  # of all problems, if they must be far from each other
        self._predicted = self._seen = 0.0

    def check(self, config: TrainConfig) -> None:
        """Refuse a second chooser of problems."""
        if config.dynamic_sampling:
            remedy = "leave one of the two out"
            raise InputError("algorithms", "adaptive", "chooses problems, as dynamic_sampling does", remedy)

    def beta_of(self, problem: str) -> tuple[float, float]:
        """Return the two parameters of a problem's distribution."""
        right, wrong = self.counts.get(problem, (0.0, 0.0))
        return 1.0 + right, 1.0 + wrong

    def update(self, outcomes: list[tuple[str, int, int]]) -> None:
        """Count right completions out of all, for each (problem, right, all)."""
        for problem, right, total in outcomes:
            before = self.counts.get(problem, (0.0, 0.0))
            # The prior is no count, so that it does not decay.
            self.counts[problem] = (self.decay * before[0] + right, self.decay * before[1] + total - right)

    def choose(self, problems: list[str], wanted: int, rng: np.random.Generator) -> np.ndarray:
        """Return the places (wanted,) of the problems to train, nearest the target first."""
        # looking at some problems only keeps a draw of all from naming the same few again and again
        among = rng.choice(len(problems), min(len(problems), wanted * self.candidates), replace=False)
        drawn = np.array([rng.beta(*self.beta_of(problems[position])) for position in among])
        # Thompson: a draw of p, not its mean, so that what was seldom sampled is tried again
        nearest = among[np.argsort((drawn - self.target) ** 2, kind="stable")][: wanted * self.spread]
        if self._vectors is None or len(nearest) <= wanted:
            return nearest[:wanted]
        return nearest[farthest_first(unit_rows(self._vectors[nearest]), start="first")[:wanted]]

    def rollout(self, rows: list[dict[str, Any]], trainer: PolicyTrainer) -> Generation:
        """Sample for the problems that are chosen; all processes choose for all, and each takes its share."""
        size = trainer.num_generations
        if len(rows) % size:
            problem = f"rows of a process are no whole groups of {size}"
            raise InputError("algorithms", len(rows), problem, "choose a multiple of group_size a process")
        table = trainer.train_dataset
        wanted = len(rows) // size
        processes = trainer.accelerator.num_processes
        process = trainer.accelerator.process_index
        problems = list(table["id"])
        if wanted * processes > len(problems):
            problem = f"prompts are more than the {len(problems)} problems"
            raise InputError("prompts_per_step", wanted * processes, problem, "use fewer, or more problems")
        if self.spread > 1 and self._vectors is None:
            self._vectors = trainer.embed([str(prompt) for prompt in table["prompt"]])
        rng = np.random.default_rng([trainer.args.seed, self.batches])
        # one seed everywhere: all processes draw the same list, and each takes its part of it
        chosen = self.choose(problems, wanted * processes, rng)[process::processes]
        self.batches += 1
        # mean of Beta(a, b): a / (a + b)
        predictions = [self.beta_of(problems[position]) for position in chosen]
        self._predicted = float(np.mean([right / (right + wrong) for right, wrong in predictions]))
        self._seen = float(np.mean([problems[position] in self.counts for position in chosen]))
        return generate(trainer, [table[int(position)] for position in chosen for _ in range(size)])

    def observe(self, rollout: Rollout) -> dict[str, float]:
        """Update the distributions by what all processes sampled."""
        outcomes = []
        for groups in rollout.by_size():
            for group in groups:
                verdicts = [rollout.verdicts[row] for row in group]
                right = sum(bool(verdict and verdict.correct) for verdict in verdicts)
                outcomes.append((rollout.rows[group[0]]["id"], right, len(group)))
        self.update(gather_object(outcomes))
        return {"adaptive/predicted": self._predicted, "adaptive/seen": self._seen}

    def state_dict(self) -> dict[str, Any]:
        """Return the counts of every problem sampled so far, and the number of batches."""
        return {"counts": {name: list(pair) for name, pair in self.counts.items()}, "batches": self.batches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.counts = {name: (pair[0], pair[1]) for name, pair in state["counts"].items()}
        self.batches = state["batches"]
