"""What rollouts of several systems share: branches, entropies of tokens, choices that repeat, whole groups.

Everything is on token ids, never decoded in between: a text tokenised again may be other tokens.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from accelerate.utils import gather_object

from hammerlib.errors import InputError, check_whole
from hammerlib.models.tokens import prompt_ids
from hammerlib.training.config import GRADED
from hammerlib.training.generation import generate, sample, scored_tokens
from hammerlib.training.rollout import Generation, Rollout

if TYPE_CHECKING:
    from hammerlib.grading import Verdict
    from hammerlib.models import Backbone
    from hammerlib.training.config import TrainConfig
    from hammerlib.training.trainer import PolicyTrainer


def branch(
    trainer: Any,
    generation: Generation,
    positions: Sequence[int],
    n: int,
    *,
    train_prefix: bool = False,
) -> Generation:
    """Continue every completion from its first tokens, n times each, by the trainer's own engine.

    `positions` says how many tokens are kept of each completion, below its length: the token at this index is
    the first that is sampled again, 0 begins anew. Kept tokens are context only, unless `train_prefix`.
    Returned are the m n branches, those of completion i at i n to i n + n - 1, with its row, task and group;
    not the completions themselves (see `by_problem`). Every process must call it where `generate` must be.
    """
    check_whole("n", n, 1, "give the number of branches of each completion")
    # fewer are kept than there are: else nothing would be left to sample again
    lengths = [len(ids) for ids in generation.completion_ids]
    fits = len(positions) == len(lengths)
    if not fits or any(not 0 <= kept < length for kept, length in zip(positions, lengths, strict=True)):
        problem = f"are not one for each completion, from 0 to below its tokens {lengths[:8]}"
        raise InputError("positions", list(positions)[:8], problem, "give how many tokens are kept of each")
    parents = [parent for parent in range(len(lengths)) for _ in range(n)]
    prefixes = [generation.completion_ids[parent][: positions[parent]] for parent in parents]
    rows = [generation.rows[parent] for parent in parents]
    branches = generate(trainer, rows, prefixes=prefixes, train_prefix=train_prefix)
    # where prompts were changed the engine would continue something else
    if branches.prompt_ids != [generation.prompt_ids[parent] for parent in parents]:
        remedy = "branch from completions whose prompt is their row's"
        raise InputError("generation", "prompt_ids", "are not those of the rows' prompts", remedy)
    branches.tasks = [generation.tasks[parent] for parent in parents]
    if generation.groups is not None:
        branches.groups = np.repeat(generation.groups, n)
    return branches


def by_problem(*generations: Generation) -> Generation:
    """Return all completions as one generation, those of a problem in a row.

    Problems come in the sequence in which the first generation has them, and completions of one problem in
    the sequence of the generations: trunks before their branches.
    """
    joined = Generation.join(generations)
    numbers: dict[str, int] = {}
    for row in joined.rows:
        numbers.setdefault(row["id"], len(numbers))
    # a stable sort: within a problem the sequence of the generations stays
    order = sorted(range(len(joined.rows)), key=lambda place: numbers[joined.rows[place]["id"]])
    return joined.take(order)


def token_entropies(trainer: Any, generation: Generation, *, rows: int = 32) -> list[np.ndarray]:
    """Return the policy's entropy at every completion token, in nats, at the sampling temperature.

    Entry t is that of the distribution which token t was drawn from, over the whole vocabulary, forced tokens
    included, as CURE's code and TRL's trainer have it.
    """
    batches = scored_tokens(trainer, generation.prompt_ids, generation.completion_ids, rows=rows)
    entropies = [row for _, batch, _ in batches for row in batch.double().cpu().numpy()]
    return [row[: len(ids)] for row, ids in zip(entropies, generation.completion_ids, strict=True)]


def random_generator(trainer: Any, *names: str | int) -> np.random.Generator:
    """Return random numbers for a rollout's own choices, the same ones in a run that resumes.

    They derive from the run's seed, the optimizer step, the process, `names` (what is
    chosen and of what, so that the choices of a step are independent) and how often this step has asked under
    them.
    """
    step = trainer.state.global_step
    last, asked = vars(trainer).get("asked_choices", (step, Counter()))
    if last != step:
        asked = Counter()
    trainer.asked_choices = step, asked
    # a second question under the same name must not get the same numbers
    times = asked[names]
    asked[names] += 1
    process = trainer.accelerator.process_index + 1
    # not `hash`, which differs from process to process
    named = zlib.crc32(repr(names).encode())
    return np.random.default_rng([trainer.args.seed, step, times, process, named])


@dataclass
class Sampler:
    """A frozen policy for `generate`, `branch` and the rollouts of systems, where nothing is trained (ours).

    The samples are those of ``sampler: decoding``, each with random numbers of its own, named by the call and
    the row. `sampled` counts the tokens so far, forced prefixes left out; `num_generations` is G, for
    rollouts that ask for it.
    """

    backbone: Backbone
    seed: int = 0
    max_completion_length: int = 48
    temperature: float = 1.0
    num_generations: int = 8
    template: str = "raw"

    def __post_init__(self) -> None:
        self.sampled = 0
        self._calls = 0
        # Names that the trainer of TRL has for what rollouts read.
        self.use_vllm = False
        self.accelerator = SimpleNamespace(num_processes=1, process_index=0)
        self.state = SimpleNamespace(global_step=0)
        self.args = SimpleNamespace(seed=self.seed)
        self.generation_config = SimpleNamespace(max_new_tokens=self.max_completion_length)
        self.model = self.backbone.model
        self.processing_class = self.backbone.tokenizer
        self.eos_token_ids = [self.processing_class.eos_token_id]

    def count_tokens(self, generation: Generation) -> None:
        """Add what was sampled to the account."""
        self.sampled += generation.tokens()["sampled_tokens"]

    def _tokenize_prompts(self, prompts: list) -> tuple[list[list[int]], None, dict]:
        return prompt_ids(self.processing_class, prompts, self.template), None, {}

    def _generate_single_turn(
        self, contexts: Sequence[Sequence[int]], *more: Any
    ) -> tuple[list[list[int]], None]:
        names = [(f"call {self._calls}", row) for row in range(len(contexts))]
        self._calls += 1
        tokens, _ = sample(
            self.model,
            contexts,
            names,
            seed=self.seed,
            steps=self.generation_config.max_new_tokens,
            temperature=self.temperature,
            ends=self.eos_token_ids,
            pad=self.processing_class.pad_token_id,
        )
        return tokens, None


def problems_of(rows: Sequence[dict[str, Any]], size: int) -> list[dict[str, Any]]:
    """Return one row for each problem; refuse groups of `size` that straddle processes."""
    problems = list(rows[::size])
    if len(rows) % size or any(row["id"] != problems[k // size]["id"] for k, row in enumerate(rows)):
        remedy = "make prompts_per_step a multiple of processes and gradient_accumulation"
        raise InputError("rollout", len(rows), f"rows are not whole groups of {size}", remedy)
    return problems


def both_parts(rollout: Rollout) -> list[Rollout]:
    """Return what is trained of a generation batch and, where there is some, what is not."""
    return [part for part in (rollout, rollout.excluded) if part is not None]


def right_of(verdicts: Sequence[Verdict | None]) -> list[bool]:
    """Return which completions are right; one that nothing can be said of is not."""
    return [verdict is not None and verdict.correct for verdict in verdicts]


def over_processes(trainer: PolicyTrainer, count: int) -> int:
    """Return the sum of a number over all processes, which all must ask for."""
    # one process has no group to ask
    return sum(gather_object([count])) if trainer.accelerator.num_processes > 1 else count


def check_graded(config: TrainConfig, why: str) -> None:
    """Refuse rewards of which none grades the answer."""
    if not set(GRADED) & set(config.rewards):
        remedy = f"add one of {', '.join(GRADED)} to rewards"
        raise InputError("rewards", list(config.rewards), f"grade no answer, which {why}", remedy)
