"""G2RPO-A as an algorithm: ``algorithms: [{name: g2rpo-a, length: 16, traces: "nano:columns"}]``."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hammerlib.errors import InputError, check_name, check_whole
from hammerlib.models.nano.solutions import STRATEGIES, solve
from hammerlib.systems import g2rpo_a
from hammerlib.systems.branching import both_parts, over_processes, problems_of, right_of
from hammerlib.training.generation import generate
from hammerlib.training.hooks import Algorithm, Generation, Rollout
from hammerlib.training.telemetry import mean_or_nan

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from hammerlib.training.config import TrainConfig
    from hammerlib.training.trainer import PolicyTrainer

SIGNALS = ("all", "unguided")
GUIDED = "guided"  # task of a row that begins with guidance
SOLVER = "nano:"


@dataclass
class GuidedGroups(Algorithm):
    """Part of every group begins with tokens of a correct solution, as many as the accuracy asks for.

    Source: arXiv 2508.13023 and its code. Not the Geometric GRPO that is called G2RPO as well. Accuracy is
    the share of right completions of an optimizer step over all processes, whatever the rewards are called;
    the length stays as it is within a step, and moves before the next generation. Evaluation is unguided.

    Parameters
    ----------
    length : int
        Guidance of the first step, in tokens.
    alpha : float
        Share of guided rows, ceil(alpha G) in every group; 0 is plain training.
    rule : str
        How the length follows the accuracy: ``paper`` (`paper_length`), ``released`` (`released_length`),
        ``linear`` (from `length` to 0 at step `decay_steps`) or ``fixed``.
    window : int
        T of the paper's rule; not known.
    longest : int, optional
        Upper end of the length; default `length`, as in the released code.
    decay_steps : int, optional
        Of ``linear``, which needs it.
    signal : str
        The accuracy of ``all`` rows, as published, which rises with the guidance itself, or of ``unguided``
        ones (ours).
    traces : str
        Column of the problem table with a correct solution, or ``nano:<strategy>``, which solves problems of
        the nano families. Guidance ends before a trace's last box, else before its last token.
    train_on_guidance : bool
        Train the guidance as well, weighed by the advantage, as the released code does.
    """

    METRICS: ClassVar[dict[str, str]] = {
        "guidance/length": "guidance of this step, in tokens, before traces cut it",
        "guidance/tokens": "mean tokens that guided rows began with",
        "guidance/guided_accuracy": "share of guided rows that are right",
        "guidance/unguided_accuracy": "share of the other rows that are right",
        "guidance/advantage_std": "standard deviation of the trained rows' advantages",
    }

    length: int
    alpha: float = 0.25
    rule: str = "paper"
    window: int = 2
    longest: int | None = None
    decay_steps: int | None = None
    signal: str = "all"
    traces: str = "solution"
    train_on_guidance: bool = False

    def __post_init__(self) -> None:
        g2rpo_a.guided_count(self.alpha, 1)
        check_whole("length", self.length, 1, "give tokens of guidance")
        check_name("rule", self.rule, g2rpo_a.RULES)
        check_name("signal", self.signal, SIGNALS)
        check_whole("window", self.window, 1, "use 2, as many steps as the released rule")
        if self.longest is not None and self.longest < self.length:
            raise InputError("longest", self.longest, f"is below length {self.length}", "leave it out")
        if (self.rule == "linear") != (self.decay_steps is not None):
            problem = "goes with rule linear only, which needs it"
            raise InputError("decay_steps", self.decay_steps, problem, "name both or none")
        if self.decay_steps is not None:
            check_whole("decay_steps", self.decay_steps, 1, "give optimizer steps")
        if self.traces.startswith(SOLVER):
            check_name("traces", self.traces.removeprefix(SOLVER), STRATEGIES, "is no strategy of nano")
        self._length = float(self.length)  # of the step now
        self._accuracies: list[float] = []
        # The optimizer step that was graded last, its right completions and all, over all processes.
        self._graded = [-1, 0, 0]
        self._read: dict[str, tuple[list[int], int]] = {}  # traces as token ids, see `_trace`

    def check(self, config: TrainConfig) -> None:
        """Refuse guidance that leaves nothing to sample, and a signal that no row gives."""
        longest = self.longest or self.length
        if longest >= config.max_completion_length:
            name = "longest" if self.longest else "length"
            problem = f"is not below max_completion_length {config.max_completion_length}"
            raise InputError(name, longest, problem, "give less guidance, or longer completions")
        guided = g2rpo_a.guided_count(self.alpha, config.group_size)
        if self.signal == "unguided" and guided == config.group_size:
            problem = f"guides all {config.group_size} rows, and the signal is of unguided ones"
            raise InputError("alpha", self.alpha, problem, "use signal: all, or a smaller alpha")

    def rollout(self, rows: list[dict[str, Any]], trainer: PolicyTrainer) -> Generation:
        """Return one completion for each row; the first ceil(alpha G) of a group begin with guidance."""
        size = trainer.num_generations
        guided = g2rpo_a.guided_count(self.alpha, size)
        self._follow(trainer.state.global_step)
        if not guided:
            return generate(trainer, rows)
        problems_of(rows, size)
        prefixes: list[list[int]] = [[] for _ in rows]
        for k, row in enumerate(rows):
            # rows of a problem stand together: the first ceil(alpha G) of each are guided
            if k % size < guided:
                ids, most = self._trace(row, trainer.processing_class)
                prefixes[k] = g2rpo_a.guidance(ids, self._length, most=most)
        generation = generate(trainer, rows, prefixes=prefixes, train_prefix=self.train_on_guidance)
        generation.tasks = [GUIDED if k % size < guided else "" for k in range(len(rows))]
        return generation

    def _follow(self, step: int) -> None:
        """Move the length once for a step that was graded, when the next one begins."""
        if self.rule == "linear" and self.decay_steps is not None:
            self._length = g2rpo_a.decayed_length(self.length, step, self.decay_steps)
        graded, right, count = self._graded
        # within a step the length stays, however many batches it generates
        if graded >= step or not count:
            return
        # one accuracy an optimizer step, whatever its number of batches
        self._accuracies.append(right / count)
        self._graded = [step, 0, 0]
        longest = self.longest or self.length
        if self.rule == "released":
            self._length = g2rpo_a.released_length(self._length, self._accuracies, longest=longest)
        if self.rule == "paper":
            self._length = g2rpo_a.paper_length(
                self._length, self._accuracies, window=self.window, longest=longest
            )

    def _trace(self, row: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], int]:
        """Return a problem's solution as token ids, and how many of them come before its answer."""
        name = row["id"]
        if name not in self._read:
            text = self._solution(row)
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            start = tokenizer(g2rpo_a.before_answer(text), add_special_tokens=False)["input_ids"]
            # Tokens that reach over the end of the text before the answer are no guidance.
            same = [one == other for one, other in zip(ids, start, strict=False)]
            most = min(same.index(False) if False in same else len(same), len(ids) - 1)
            if most < 1:
                problem = f"has a trace of {len(ids)} tokens, with none before its answer"
                raise InputError("traces", name, problem, "leave this problem out, or give a whole solution")
            self._read[name] = ids, most
        return self._read[name]

    def _solution(self, row: dict[str, Any]) -> str:
        if self.traces.startswith(SOLVER):
            try:
                return solve(row, self.traces.removeprefix(SOLVER), random.Random(0))
            except (KeyError, TypeError, ValueError) as error:
                remedy = "use reasoning-gym:nano, or name a column with solutions"
                raise InputError(
                    "traces", row["id"], f"is not of the nano families ({error})", remedy
                ) from error
        # a column of the table: the reference solution, which evaluation never sees
        text = row.get(self.traces)
        if not isinstance(text, str) or not text.strip():
            remedy = "add the column, leave this problem out, or use nano:columns for the nano families"
            raise InputError("traces", row["id"], f"has no solution in the column {self.traces}", remedy)
        return text

    def observe(self, rollout: Rollout) -> dict[str, float]:
        """Take down the accuracy of this step, and return it of guided and other rows apart."""
        # all that was graded, also what is not trained
        parts = both_parts(rollout)
        correct = np.concatenate([right_of(part.verdicts) for part in parts]).astype(bool)
        guided = np.concatenate([part.tasks for part in parts]) == GUIDED
        forced = np.concatenate([part.forced for part in parts])
        heard = correct
        if self.signal == "unguided":
            heard = correct[~guided]
        if self._graded[0] != rollout.step:
            self._graded = [rollout.step, 0, 0]
        # sums over processes and batches of the step: a mean of means would weigh rows unequally
        self._graded[1] += over_processes(rollout.trainer, int(heard.sum()))
        self._graded[2] += over_processes(rollout.trainer, len(heard))
        # rows that are left out have group -1, and no advantage to speak of
        advantages = rollout.advantages.detach().float().cpu().numpy()[rollout.groups >= 0]
        return {
            "guidance/length": float(self._length),
            "guidance/tokens": mean_or_nan(forced[guided]),
            "guidance/guided_accuracy": mean_or_nan(correct[guided]),
            "guidance/unguided_accuracy": mean_or_nan(correct[~guided]),
            "guidance/advantage_std": float(advantages.std()) if len(advantages) else math.nan,
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the length, the accuracies that it follows, and what was graded last."""
        return {"length": self._length, "accuracies": list(self._accuracies), "graded": list(self._graded)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's length."""
        self._length = state["length"]
        self._accuracies = list(state["accuracies"])
        self._graded = list(state["graded"])
