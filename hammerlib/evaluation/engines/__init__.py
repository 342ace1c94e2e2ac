"""Engines that turn prompts into sampled completions, each sample with random numbers of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from hammerlib.errors import check_name
from hammerlib.evaluation.engines.batches import Batch, default_budget, plan_batches
from hammerlib.evaluation.engines.sampling import Completion, Sampling
from hammerlib.evaluation.engines.transformers import TransformersEngine

if TYPE_CHECKING:
    from hammerlib.backbones import Backbone

ENGINES = ("transformers", "vllm")
__all__ = [
    "ENGINES",
    "Batch",
    "Completion",
    "Engine",
    "Sampling",
    "TransformersEngine",
    "default_budget",
    "open_engine",
    "plan_batches",
]


class Engine(Protocol):
    """What an engine offers: sampling, threads, encode and generate.

    Examples
    --------
    >>> sorted(name for name in vars(Engine) if name in ("encode", "generate", "threads"))
    ['encode', 'generate', 'threads']
    """

    sampling: Sampling

    @property
    def threads(self) -> int:
        """Compute threads of torch on this CPU."""

    def encode(self, prompts: Sequence[str], template: str = "raw") -> list[list[int]]:
        """Return token ids per prompt, by `hammerlib.tokens.prompt_ids`."""

    def generate(
        self, prompts: Sequence[Sequence[int]], names: Sequence[tuple[str, int]]
    ) -> list[Completion]:
        """Sample one completion per row of token ids; names are (problem id, sample number)."""


def open_engine(name: str, backbone: Backbone, sampling: Sampling) -> Engine:
    """Return the engine of this name.

    Parameters
    ----------
    name : str
        One of `ENGINES`.
    backbone : Backbone
    sampling : Sampling

    Raises
    ------
    InputError
        Unknown name, or sampling parameters out of range; for vLLM also what `VLLMEngine` refuses.

    Examples
    --------
    >>> open_engine("abacus", None, Sampling(1.0, 1.0, 8, 0))
    Traceback (most recent call last):
    ...
    hammerlib.errors.InputError: engine = 'abacus': is unknown; use one of transformers, vllm
    """
    sampling.check()
    check_name("engine", name, ENGINES, "is unknown")
    if name == "vllm":
        from hammerlib.evaluation.engines.vllm import VLLMEngine

        return VLLMEngine(backbone, sampling)
    return TransformersEngine(backbone, sampling)
