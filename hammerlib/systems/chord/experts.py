"""The expert's solutions as token ids, dealt out in batches that depend on the step alone."""

from __future__ import annotations

import functools
import hashlib
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hammerlib.errors import InputError, check_name
from hammerlib.models.nano.solutions import STRATEGIES, solve
from hammerlib.models.tokens import prompt_ids
from hammerlib.problems import load_problems
from hammerlib.runs.storage import content_hash

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

    from hammerlib.models import Backbone

NANO_SOLUTIONS = 1000  # that ``nano:<strategy>`` stands for


@dataclass(frozen=True)
class Experts:
    """Tokenised solutions of an expert: n ids, prompts, and completions with the end token.

    `seed` is that of the shuffles. `template` and `vocabulary` (see `vocabulary_of`) say how they were read:
    `Chord` refuses a policy that reads otherwise. None: made by hand, the ids are taken as they are.
    """

    ids: tuple[str, ...]
    prompt_ids: tuple[tuple[int, ...], ...]
    completion_ids: tuple[tuple[int, ...], ...]
    seed: int = 0
    template: str | None = None
    vocabulary: str | None = None

    def __post_init__(self) -> None:
        lengths = [len(self.ids), len(self.prompt_ids), len(self.completion_ids)]
        if len(set(lengths)) > 1 or not self.ids or not all(map(len, self.completion_ids)):
            raise InputError("experts", lengths, "are no solutions of one number", "see load_experts")

    def places(self, step: int, size: int) -> list[int]:
        """Return the `size` solutions of an optimizer step.

        Every solution comes once before one comes again, each round in an order of its own; nothing is kept
        between calls, so that a resumed run sees the batches of an unbroken one.
        """
        n = len(self.ids)
        # step s takes the places s B to (s + 1) B - 1 of one endless line of shuffled rounds
        first = step * size // n  # the round in which the step begins
        last = ((step + 1) * size - 1) // n
        shuffles = [np.random.default_rng([self.seed, k]).permutation(n) for k in range(first, last + 1)]
        begin = step * size - first * n
        return np.concatenate(shuffles)[begin : begin + size].tolist()


def load_experts(problems: Dataset, backbone: Backbone, *, template: str = "raw", seed: int = 0) -> Experts:
    """Tokenise the column ``solution`` (an expert's whole answer, text) of a problem table for a policy.

    The expert's problems should not be those that are trained: arXiv 2508.11408 has 5,000 and 20,000 disjoint
    ones of OpenR1-Math-220k.
    """
    positions = backbone.model.config.max_position_embeddings
    return _tokenise(problems, backbone.tokenizer, positions, template, seed)


def _tokenise(
    problems: Dataset, tokenizer: PreTrainedTokenizerBase, positions: int, template: str, seed: int
) -> Experts:
    if "solution" not in problems.column_names:
        remedy = "add it: the expert's whole answer as text (nano_experts for the nano families)"
        raise InputError("problems", problems.column_names, "have no column solution", remedy)
    ids = problems["id"][:]
    prompts = prompt_ids(tokenizer, problems["prompt"][:], template, names=ids)
    solutions = []
    for name, prompt, text in zip(ids, prompts, problems["solution"], strict=True):
        tokens = tokenizer(text or "", add_special_tokens=False)["input_ids"]
        if not tokens:
            raise InputError("solution", name, "is empty", "leave this problem out")
        # the end token is one more
        if len(prompt) + len(tokens) + 1 > positions:
            problem = f"has {len(tokens)} tokens and does not fit {positions} positions"
            raise InputError("solution", name, problem, "leave this problem out")
        # without the end token the policy would learn to write on after an answer
        solutions.append((*tokens, tokenizer.eos_token_id))
    return Experts(
        tuple(ids), tuple(map(tuple, prompts)), tuple(solutions), seed, template, vocabulary_of(tokenizer)
    )


@functools.lru_cache(maxsize=4)
def vocabulary_of(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a hash of a tokenizer's tokens and their ids."""
    return content_hash(sorted(tokenizer.get_vocab().items()))


def nano_experts(problems: Dataset, *, strategy: str = "check", seed: int = 0) -> Dataset:
    """Return problems of the nano families with a correct ``solution`` each, in one strategy (ours).

    The nano model was taught ``columns``, ``tens`` and ``check`` as 70, 25 and 5 per cent of its solutions,
    so that ``check`` is the expert whose style is farthest from the policy's.
    """
    check_name("strategy", strategy, STRATEGIES, "is unknown")
    rng = random.Random(seed)
    try:
        solutions = [solve(row, strategy, rng) for row in problems.to_list()]
    except (KeyError, TypeError, ValueError) as error:
        remedy = "use reasoning-gym:nano, or bring a column solution of your own"
        raise InputError("problems", str(error), "is not of the nano families", remedy) from error
    table = problems.remove_columns("solution") if "solution" in problems.column_names else problems
    return table.add_column("solution", solutions)


# Experts that a configuration names


@functools.lru_cache(maxsize=4)
def expert_table(source: str) -> Dataset:
    """Return the solutions that ``nano:<strategy>`` or ``file:<path>@<digits>`` stands for."""
    kind, _, name = source.partition(":")
    if kind == "nano":
        problems = load_problems("reasoning-gym:nano", split="supervised", n=NANO_SOLUTIONS)
        return nano_experts(problems, strategy=name)
    if kind != "file":
        raise InputError("experts", source, "is unknown", "use nano:<strategy> or file:<path>@<digits>")
    return _read_experts(name)


def _read_experts(name: str) -> Dataset:
    from datasets import Dataset

    path, _, digits = name.partition("@")
    try:
        digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:8]
        table = pd.read_json(path, lines=True, dtype=False)
    except (OSError, ValueError) as error:
        problem = f"cannot be read ({type(error).__name__})"
        raise InputError("experts", f"file:{name}", problem, "give a file of JSON Lines") from error
    if digits != digest:  # a run is named by what it learnt from, not by where that stands
        problem = "does not name what the file holds"
        raise InputError("experts", f"file:{name}", problem, f"write file:{path}@{digest}")
    lacking = [column for column in ("prompt", "solution") if column not in table]
    if lacking:
        raise InputError("experts", f"file:{name}", f"has no column {lacking[0]}", "add it, as text")
    if "id" not in table:
        table["id"] = [f"expert-{row}" for row in range(len(table))]
    return Dataset.from_pandas(table[["id", "prompt", "solution"]], preserve_index=False)


@functools.lru_cache(maxsize=4)
def tokenised(source: str, tokenizer: PreTrainedTokenizerBase, positions: int, template: str) -> Experts:
    """Return named experts as the policy reads them."""
    return _tokenise(expert_table(source), tokenizer, positions, template, seed=0)
