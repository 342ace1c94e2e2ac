"""What a rollout asks of a trainer, without one: a policy that is sampled from and never trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from hammerlib.models.tokens import prompt_ids
from hammerlib.training.generation import sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from transformers import PreTrainedTokenizerBase

    from hammerlib.models import Backbone
    from hammerlib.training.rollout import Generation


@dataclass
class Sampler:
    """A frozen policy for `generate`, `branch` and the rollouts of systems, where nothing is trained.

    Parameters
    ----------
    backbone : Backbone
        The policy.
    seed : int
        Of every sample and every choice of a rollout.
    max_completion_length : int
        Tokens.
    temperature : float
    num_generations : int
        G, for rollouts that ask for it.
    template : str
        ``raw`` or ``chat``.

    Attributes
    ----------
    sampled : int
        Tokens sampled so far, forced prefixes left out.

    Notes
    -----
    Source: ours. The samples are those of ``sampler: decoding``, each with random numbers of its own, named
    by the call and the row.

    Examples
    --------
    >>> from hammerlib import load_backbone
    >>> from hammerlib.training.generation import generate
    >>> frozen = Sampler(load_backbone("nano"), max_completion_length=4)
    >>> made = generate(frozen, [{"id": "a", "prompt": "3 + 4 ="}] * 2, prefixes=[[], [7, 8]])
    >>> made.forced, [ids[:2] for ids in made.completion_ids][1]
    ([0, 2], [7, 8])
    >>> frozen.sampled == sum(map(len, made.completion_ids)) - 2
    True
    """

    backbone: Backbone
    seed: int = 0
    max_completion_length: int = 48
    temperature: float = 1.0
    num_generations: int = 8
    template: str = "raw"
    sampled: int = field(default=0, init=False)
    # Names that the trainer of TRL has for what rollouts read.
    use_vllm: bool = field(default=False, init=False, repr=False)
    accelerator: Any = field(default=None, init=False, repr=False)
    state: Any = field(default=None, init=False, repr=False)
    args: Any = field(default=None, init=False, repr=False)
    generation_config: Any = field(default=None, init=False, repr=False)
    _calls: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        self.accelerator = SimpleNamespace(num_processes=1, process_index=0)
        self.state = SimpleNamespace(global_step=0)
        self.args = SimpleNamespace(seed=self.seed)
        self.generation_config = SimpleNamespace(max_new_tokens=self.max_completion_length)

    @property
    def model(self) -> torch.nn.Module:
        """The policy."""
        return self.backbone.model

    @property
    def processing_class(self) -> PreTrainedTokenizerBase:
        """Its tokenizer."""
        return self.backbone.tokenizer

    @property
    def eos_token_ids(self) -> list[int]:
        """Tokens that end a completion."""
        return [self.backbone.tokenizer.eos_token_id]

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
