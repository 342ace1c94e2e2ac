"""The engine on vLLM: the only file that imports it."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hammerlib.errors import InputError
from hammerlib.evaluation.engines import Completion, Sampling, encode_prompts, sample_seed, stop_tokens

if TYPE_CHECKING:
    from hammerlib.models import Backbone

SEED_BITS = 63  # vLLM takes a signed 64-bit seed


class VLLMEngine:
    """Sampling with vLLM, which loads the same weights a second time, from the backbone's folder."""

    def __init__(self, backbone: Backbone, sampling: Sampling, *, memory: float = 0.85) -> None:
        from hammerlib.models.backbone import check_folder, locate

        if importlib.util.find_spec("vllm") is None:
            raise InputError(
                "engine", "vllm", "is not installed", "pip install 'hammerlib[vllm]', or transformers"
            )
        folder, _ = locate(backbone.name)
        if folder is None:
            raise InputError("model", backbone.name, "has no folder that vLLM could load", "save it to one")
        check_folder(backbone.name, folder)
        from vllm import LLM

        self.tokenizer, self.sampling = backbone.tokenizer, sampling
        self.stops = stop_tokens(backbone)
        self.limit = getattr(backbone.model.config, "max_position_embeddings", None)
        # generation_config="vllm": the checkpoint's own sampling settings stay out.
        self.model = LLM(
            model=str(folder),
            dtype=backbone.dtype,
            trust_remote_code=False,
            seed=sampling.seed,
            generation_config="vllm",
            gpu_memory_utilization=memory,
        )

    @property
    def threads(self) -> int:
        """Compute threads of torch on this CPU."""
        import torch

        return torch.get_num_threads()

    def encode(self, prompts: Sequence[str], template: str = "raw") -> list[list[int]]:
        """Return token ids per prompt; InputError where they and the completion exceed the model."""
        return encode_prompts(self.tokenizer, prompts, template, self.sampling.max_new_tokens, self.limit)

    def generate(
        self, prompts: Sequence[Sequence[int]], names: Sequence[tuple[str, int]]
    ) -> list[Completion]:
        """Sample one completion per row of token ids, in order (see `TransformersEngine.generate`)."""
        from vllm import SamplingParams

        ours = self.sampling
        asked = {
            "temperature": ours.temperature,
            "top_p": ours.top_p,
            "max_tokens": ours.max_new_tokens,
            "stop": list(ours.stop) or None,
            "stop_token_ids": self.stops,
        }
        seeds = [sample_seed(ours.seed, *name) % 2**SEED_BITS for name in names]
        requests = [{"prompt_token_ids": list(row)} for row in prompts]
        params = [SamplingParams(n=1, seed=seed, **asked) for seed in seeds]
        answers = self.model.generate(requests, params, use_tqdm=False)
        found = [answer.outputs[0] for answer in answers]
        return [Completion(one.text, len(one.token_ids), one.finish_reason == "length") for one in found]
