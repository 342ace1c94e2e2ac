"""SvS as an algorithm: ``algorithms: [{name: svs, task: text}]``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hammerlib.errors import InputError, check_name, check_whole, import_object, unknown
from hammerlib.models.tokens import prompt_ids, template_of
from hammerlib.systems import svs
from hammerlib.systems.branching import check_graded, over_processes, problems_of, right_of
from hammerlib.training.generation import generate, judge
from hammerlib.training.hooks import EXCLUDED, Algorithm, Generation, Rollout
from hammerlib.training.telemetry import mean_or_nan

if TYPE_CHECKING:
    from hammerlib.training.config import TrainConfig
    from hammerlib.training.trainer import PolicyTrainer

GOLDS = ("inherited", "truth")
SYNTHESIS, VARIANT = "synthesis", "variant"  # tasks beside the problem itself
CHAT = 64  # tokens that a chat template may add to a prompt


def task_of(name: str) -> svs.Task:
    """Return the task of a name, or the object that ``module:object`` names."""
    if ":" in name:
        return import_object(name, "task")
    if name not in svs.TASKS:
        raise unknown("task", name, [*svs.TASKS, "my_package.my_module:task"])
    return svs.TASKS[name]


@dataclass
class Svs(Algorithm):
    """Correct responses to half-solved problems are rewritten into variants, which are solved as well.

    One update trains answers (groups with right and wrong ones), syntheses (one group for each rewritten
    response, reward 1 where the variant is solved now and then) and answers to variants (one group each,
    gold: the answer of the original). A step without any response to rewrite, on any process, trains nothing.

    Source: arXiv 2508.14029 and its code, which add 1e-6 to the deviation where TRL adds 1e-4, and clip at
    0.2 and 0.28 (``epsilon``, ``epsilon_high``) under the token mean (``loss_type: dapo``). There several
    updates follow where the rows exceed a mini-batch; here it is one.

    Parameters
    ----------
    task : str
        Language of the synthesis: ``text``, ``formal`` for nano, or ``module:object``, see `Task`.
    low, high : float
        Accuracy of problems whose correct responses are rewritten, both ends included.
    useful_low, useful_high : float
        Accuracy on a variant that earns its synthesis 1, both ends included.
    gold : str
        Of variants: ``inherited``, or ``truth`` where the task computes it (for comparison).
    train_synthesis : bool
        False leaves the syntheses out of the update.
    seeds : int, optional
        At most so many responses of a problem are rewritten, the first ones; default all, as in the paper.
    prompt_tokens : int, optional
        Longest prompt of a synthesis or variant; longer ones are dropped. Default what the task's words and a
        whole response can take.
    """

    METRICS: ClassVar[dict[str, str]] = {
        "svs/seeds": "responses that were rewritten",
        "svs/valid": "share of syntheses that hold a variant",
        "svs/rewarded": "share of syntheses with reward 1",
        "svs/mislabelled": "share of rewarded syntheses whose true answer is not the inherited one",
        "svs/variant_accuracy": "share of answers to variants that equal the inherited answer",
        "svs/skipped": "1 where no process had a response to rewrite, so that nothing is trained",
    }

    STATELESS: ClassVar[bool] = True  # what is watched is of one generation batch

    task: str = "text"
    low: float = svs.SEEDS[0]
    high: float = svs.SEEDS[1]
    useful_low: float = svs.USEFUL[0]
    useful_high: float = svs.USEFUL[1]
    gold: str = "inherited"
    train_synthesis: bool = True
    seeds: int | None = None
    prompt_tokens: int | None = None

    def __post_init__(self) -> None:
        language = task_of(self.task)
        svs.check_band("low, high", (self.low, self.high))
        svs.check_band("useful_low, useful_high", (self.useful_low, self.useful_high))
        check_name("gold", self.gold, GOLDS)
        for name in ("seeds", "prompt_tokens"):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), 1, "leave it out")
        if self.gold == "truth" and language is svs.TASKS["text"]:
            raise InputError(
                "gold", "truth", "cannot be computed of a text", "use task: formal, or inherited"
            )
        self._watched: dict[str, float] = {}  # of the generation batch, for `observe`

    def check(self, config: TrainConfig) -> None:
        """Refuse rewards that cannot say which responses are right."""
        check_graded(config, "decides what is rewritten")

    def most_rows(self, config: TrainConfig) -> int:
        """Return the answers, syntheses and answers to variants that one problem can lead to."""
        return svs.most_rows(config.group_size, (self.low, self.high), self.seeds)

    def most_prompt_tokens(self, config: TrainConfig) -> int:
        """Return the longest prompt: a whole response, or synthesis, inside the task's words."""
        return self._longest_prompt(config.max_completion_length)

    def _longest_prompt(self, completion: int) -> int:
        if self.prompt_tokens is not None:
            return self.prompt_tokens
        language = task_of(self.task)
        # a token has one byte at least
        words = max(len(text.encode()) for text in (language.prompt(""), language.question("")))
        return completion + words + CHAT

    def rollout(self, rows: list[dict[str, Any]], trainer: PolicyTrainer) -> Generation:
        """Return answers, syntheses and answers to variants, each with the row of its problem."""
        size = trainer.num_generations
        longest = self._fitting(trainer)
        problems = problems_of(rows, size)
        answers = generate(trainer, rows)
        texts, verdicts, _ = judge(trainer, answers)
        right = np.array(right_of(verdicts)).reshape(-1, size)
        language = task_of(self.task)
        asked: list[tuple[int, dict[str, Any]]] = []  # number of the problem, and the row that is rewritten
        for number, text in self._seeds(right, texts):
            # A synthesis has no gold: nothing of the problem but the response reaches its prompt.
            row = reworded(problems[number], language.prompt(text), None)
            if fits(trainer, row, longest):
                asked.append((number, row))
        # all processes sample on or none does: the engine may wait for all
        if not over_processes(trainer, len(asked)):
            answers.groups = np.full(len(rows), EXCLUDED)
            self._watched = {"svs/seeds": 0.0, "svs/skipped": 1.0}
            return answers
        # G syntheses a response, so that a group of them has a mean to be compared with
        syntheses = generate(trainer, [row for _, row in asked for _ in range(size)])
        syntheses.tasks = [SYNTHESIS] * len(syntheses.rows)
        parents = [problems[number] for number, _ in asked for _ in range(size)]
        decode = trainer.processing_class.batch_decode
        variants = svs.extractions(decode(syntheses.completion_ids, skip_special_tokens=True), language)
        truths = [None if variant is None else language.truth(variant) for variant in variants]
        # the variant's answer is by construction that of the problem it came from
        golds = [row["answer"] for row in parents] if self.gold == "inherited" else truths
        posed: list[tuple[int, dict[str, Any]]] = []  # which synthesis, and the row that asks for its variant
        for place, variant in enumerate(variants):
            if variant is not None:
                row = reworded(parents[place], language.question(variant), golds[place])
                if fits(trainer, row, longest):
                    posed.append((place, row))
        solutions = Generation([], [], [])
        if over_processes(trainer, len(posed)):
            solutions = generate(trainer, [row for _, row in posed for _ in range(size)])
        solutions.tasks = [VARIANT] * len(solutions.rows)
        solved = np.array(right_of(judge(trainer, solutions)[1] if posed else []), dtype=bool)
        solved = solved.reshape(-1, size).sum(1)
        rewards = np.zeros(len(variants))
        band = (self.useful_low, self.useful_high)
        # without a variant, or with one too long to ask, a synthesis earns 0
        for (place, _), correct in zip(posed, solved.tolist(), strict=True):
            rewards[place] = svs.synthesis_reward(correct, size, band)
        syntheses.rewards = rewards
        # in the sequence of `whole`: answers by problem, syntheses by seed, solutions by variant
        trained = [svs.teaches(correct, size) for correct in right.sum(1).tolist()]
        by_seed = rewards.reshape(-1, size)
        trained += [self.train_synthesis and svs.trained_syntheses(group) for group in by_seed.tolist()]
        trained += [svs.teaches(correct, size) for correct in solved.tolist()]
        inherited = [str(row["answer"]) for row in parents]
        self._watched = {
            "svs/seeds": float(len(asked)),
            "svs/valid": mean_or_nan([variant is not None for variant in variants]),
            "svs/rewarded": mean_or_nan(rewards),
            "svs/mislabelled": svs.mislabelled_share(rewards.tolist(), inherited, truths),
            "svs/variant_accuracy": mean_or_nan(solved / size),
            "svs/skipped": 0.0,
        }
        whole = Generation.join([part for part in (answers, syntheses, solutions) if part.rows])
        # Every prompt has its G completions in a row: names from 0, or none.
        names = [name if teaching else EXCLUDED for name, teaching in enumerate(trained)]
        whole.groups = np.repeat(names, size)
        return whole

    def _fitting(self, trainer: PolicyTrainer) -> int:
        """The longest prompt, which has to leave room for a completion."""
        completion = trainer.max_completion_length
        longest = self._longest_prompt(completion)
        positions = getattr(trainer.model.config.get_text_config(), "max_position_embeddings", None)
        if positions is not None and longest + completion > positions:
            problem = f"and completions of {completion} tokens are beyond the model's {positions} positions"
            raise InputError("prompt_tokens", longest, problem, "lower it, or max_completion_length")
        return longest

    def _seeds(self, right: np.ndarray, texts: Sequence[str]) -> list[tuple[int, str]]:
        """Number of the problem and text of every response that is rewritten."""
        seeds: list[tuple[int, str]] = []
        size = right.shape[1]
        for number, judged in enumerate(right):
            if svs.in_band(int(judged.sum()), size, (self.low, self.high)):
                places = np.flatnonzero(judged)[: self.seeds]
                seeds += [(number, texts[number * size + place]) for place in places.tolist()]
        return seeds

    def observe(self, rollout: Rollout) -> dict[str, float]:
        """Return what was rewritten, rewarded, and wrongly so; NaN where there is nothing."""
        return dict.fromkeys(self.METRICS, float("nan")) | self._watched


def reworded(row: dict[str, Any], text: str, gold: str | None) -> dict[str, Any]:
    """Return a problem row that asks something else; its scorer and facts were the problem's."""
    # a chat keeps its form: the new problem is what the user says
    prompt = text if isinstance(row["prompt"], str) else [{"role": "user", "content": text}]
    blank = {name: None for name in ("scorer", "metadata") if name in row}
    return {**row, **blank, "prompt": prompt, "answer": gold}


def fits(trainer: PolicyTrainer, row: dict[str, Any], longest: int) -> bool:
    """Say whether a row's prompt has at most so many tokens."""
    template = template_of(row["prompt"])
    return len(prompt_ids(trainer.processing_class, [row["prompt"]], template)[0]) <= longest
