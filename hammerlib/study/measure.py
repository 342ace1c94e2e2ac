"""What a policy can do on held-out problems, and how that changes while it is trained."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hammerlib.nano.solutions import STRATEGIES, strategy_of

if TYPE_CHECKING:
    from datasets import Dataset

    from hammerlib.backbones import Backbone
    from hammerlib.training.seams import Rollout

ROWS = 256  # samples generated at once; measured on two cores: more is no faster, less is


@dataclass
class Examination:
    """A set of problems with a number of samples each; every sample has random numbers of its own.

    Parameters
    ----------
    problems : datasets.Dataset
    backbone : Backbone
        Its tokenizer and name; `ask` may be given another model of the same vocabulary.
    samples : int
        A problem.
    seed : int
    max_new_tokens : int
    template : str
        ``raw`` or ``chat``.
    temperature : float
        0 is greedy.

    Examples
    --------
    >>> from hammerlib import load_backbone, load_problems
    >>> table = load_problems("reasoning-gym:nano", split="heldout", n=4)
    >>> len(Examination(table, load_backbone("nano"), samples=2, seed=0).ask()["correct"])
    4
    """

    problems: Dataset
    backbone: Backbone
    samples: int
    seed: int
    max_new_tokens: int = 48
    template: str = "raw"
    temperature: float = 1.0

    def ask(self, model: Any = None) -> dict[str, Any]:
        """Return what a model gets right.

        Parameters
        ----------
        model : transformers model, optional
            Default the backbone's; left in the mode it was in. torch's random state is not touched.

        Returns
        -------
        dict
            ``correct`` (right samples of each problem), ``answers`` (mean number of different answers of a
            problem), ``truncated`` (share of samples) and ``strategies`` (how often each of nano's ways of
            solving occurs among right samples; empty for other models).
        """
        from hammerlib.evaluation.engines import Sampling, open_engine
        from hammerlib.grading import grade

        model = model or self.backbone.model
        sampling = Sampling(self.temperature, 1.0, self.max_new_tokens, self.seed)
        engine = open_engine("transformers", dataclasses.replace(self.backbone, model=model), sampling)
        rows = self.problems.to_list()
        prompts = engine.encode([row["prompt"] for row in rows], self.template)
        # By length, so that rows of a batch are padded little; the numbers do not hang on the batch.
        order = sorted(range(len(rows)), key=lambda place: (len(prompts[place]), place))
        jobs = [(place, sample) for place in order for sample in range(self.samples)]
        said: list[list[Any]] = [[] for _ in rows]
        training = model.training
        model.eval()
        for start in range(0, len(jobs), ROWS):
            part = jobs[start : start + ROWS]
            names = [(rows[place]["id"], sample) for place, sample in part]
            found = engine.generate([prompts[place] for place, _ in part], names)
            for (place, _), completion in zip(part, found, strict=True):
                said[place].append(completion)
        model.train(training)
        graded = [[grade(one.text, row) for one in group] for row, group in zip(rows, said, strict=True)]
        pairs = [(one, mark) for group, marks in zip(said, graded, strict=True)
                 for one, mark in zip(group, marks, strict=True)]  # fmt: skip
        ways = Counter(strategy_of(one.text) for one, mark in pairs if mark.correct)
        return {
            "correct": [sum(mark.correct for mark in marks) for marks in graded],
            "answers": sum(len({mark.extracted for mark in marks}) for marks in graded) / len(graded),
            "truncated": sum(one.truncated for one, _ in pairs) / len(pairs),
            "strategies": {name: ways[name] for name in STRATEGIES if ways[name]},
        }


@dataclass
class Curve:
    """The ``observe`` plug that examines the policy at chosen numbers of rollouts.

    Parameters
    ----------
    examination : Examination
    marks : list of int
        Numbers of rollouts, rising from 0: the policy is examined before the first generation at or after
        each of them.

    Attributes
    ----------
    points : list of dict
        ``step``, ``rollouts``, ``seconds`` (of training alone) and what `Examination.ask` returns.
    trainer : SeamTrainer or None
        As last seen.

    Examples
    --------
    >>> Curve(None, [0, 64]).points
    []
    """

    examination: Examination
    marks: list[int]
    points: list[dict[str, Any]] = field(default_factory=list)
    trainer: Any = None
    rollouts: int = 0
    _started: float = 0.0
    _examined: float = 0.0

    def __call__(self, rollout: Rollout) -> dict[str, float]:
        """Examine the policy that generated `rollout` where a mark is reached, then count it."""
        if self.trainer is None:
            self._started = time.perf_counter()
        self.trainer = rollout.trainer
        passed = [mark for mark in self.marks if mark <= self.rollouts]
        if len(passed) > len(self.points):
            self.examine(rollout.step)
        self.rollouts += len(rollout.rows) + (len(rollout.spare.rows) if rollout.spare else 0)
        return {}

    def examine(self, step: int) -> None:
        """Add a point for the policy as it is."""
        before = time.perf_counter()
        found = self.examination.ask(self.model())
        seconds = before - self._started - self._examined
        self._examined += time.perf_counter() - before
        self.points.append({"step": step, "rollouts": self.rollouts, "seconds": round(seconds, 2), **found})

    def model(self) -> Any:
        """Return the policy, without what distributed training wraps around it."""
        return self.trainer.accelerator.unwrap_model(self.trainer.model)
