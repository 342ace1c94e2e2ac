"""A real policy as the space of a search: steps sampled from it, scored by the f of AIRL-S."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hammerlib.errors import InputError, check_whole
from hammerlib.models.tokens import prompt_ids
from hammerlib.systems.airl_s.algorithm import StepScorer, score_steps, token_texts
from hammerlib.training.generation import sample

if TYPE_CHECKING:
    from hammerlib.models import Backbone

TokenPath = tuple[tuple[int, ...], ...]


@dataclass
class PolicySpace:
    """The steps that a policy may write after a prompt, scored by f; a step is a tuple of token ids (ours).

    A step ends with the token that holds the `separator`, or with the completion. A path as long as
    `max_completion_length` is whole.
    """

    backbone: Backbone
    prompt: str
    scorer: StepScorer
    separator: str = "\n"
    seed: int = 0
    max_completion_length: int = 48
    temperature: float = 1.0
    template: str = "raw"

    def __post_init__(self) -> None:
        check_whole("max_completion_length", self.max_completion_length, 1, "use 48")
        tokenizer = self.backbone.tokenizer
        texts = token_texts(tokenizer, range(len(tokenizer)))
        self._stops = {token for token, text in enumerate(texts) if self.separator in text}
        if not self.separator or not self._stops:
            remedy = 'use a line\'s end, ";" or ","'
            raise InputError("separator", self.separator, "stands in no token of the policy", remedy)
        self._prompt: list[int] = prompt_ids(tokenizer, [self.prompt], self.template)[0]
        self._calls = 0

    def expand(self, path: TokenPath, k: int) -> list[tuple[int, ...]]:
        """Return k sampled next steps."""
        # token ids are joined, never texts: text tokenised again may be other tokens
        so_far = [token for step in path for token in step]
        tokenizer = self.backbone.tokenizer
        steps, _ = sample(
            self.backbone.model,
            [self._prompt + so_far] * k,
            [(f"{self.prompt} {self._calls}", row) for row in range(k)],
            seed=self.seed,
            steps=self.max_completion_length - len(so_far),
            temperature=self.temperature,
            ends=[*self._stops, tokenizer.eos_token_id],
            pad=tokenizer.pad_token_id,
        )
        self._calls += 1
        return [tuple(step) for step in steps]

    def done(self, path: TokenPath) -> bool:
        """Say whether the completion has ended, or has no room left."""
        # an end token closes a completion, and so does its length
        ended = path[-1][-1] == self.backbone.tokenizer.eos_token_id
        return ended or sum(map(len, path)) >= self.max_completion_length

    def score(self, paths: Sequence[TokenPath]) -> list[float]:
        """Return f of the last step of every path."""
        completions = [[token for step in path for token in step] for path in paths]
        ends = [[len(completion) - 1] for completion in completions]
        prompts = [self._prompt] * len(paths)
        return [row[-1] for row in score_steps(self.scorer, prompts, completions, ends)]

    def text(self, path: TokenPath) -> str:
        """Return the words of a path, special tokens left out."""
        ids = [token for step in path for token in step]
        return self.backbone.tokenizer.decode(ids, skip_special_tokens=True)
