"""The engine on vLLM: the only file that imports it."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hammerlib.errors import InputError
from hammerlib.evaluation.engines import Completion, Engine, Sampling
from hammerlib.models.decoding import sample_seed

if TYPE_CHECKING:
    from hammerlib.models import Backbone

MEMORY = 0.85  # share of the GPU's that vLLM may take
SEED_BITS = 63  # vLLM takes a signed 64-bit seed


class VLLMEngine(Engine):
    """Sampling with vLLM, which loads the same weights a second time, from the backbone's folder."""

    def __init__(self, backbone: Backbone, sampling: Sampling) -> None:
        from hammerlib.models.backbone import check_folder, locate

        if importlib.util.find_spec("vllm") is None:
            remedy = "pip install 'hammerlib[vllm]', or transformers"
            raise InputError("engine", "vllm", "is not installed", remedy)
        folder, _ = locate(backbone.name)
        if folder is None:
            raise InputError("model", backbone.name, "has no folder that vLLM could load", "save it to one")
        check_folder(backbone.name, folder)
        from vllm import LLM

        super().__init__(backbone, sampling)
        # generation_config="vllm": the checkpoint's own sampling settings stay out.
        self.model = LLM(
            model=str(folder),
            dtype=backbone.dtype,
            trust_remote_code=False,
            seed=sampling.seed,
            generation_config="vllm",
            gpu_memory_utilization=MEMORY,
        )

    def generate(
        self, prompts: Sequence[Sequence[int]], names: Sequence[tuple[str, int]]
    ) -> list[Completion]:
        """Sample one completion per row of token ids (see `Engine.generate`)."""
        from vllm import SamplingParams

        # A request with a seed of its own for each sample; prefix caching shares the prompt. vLLM batches as
        # requests come, so that float rounding can change a sample when a run is repeated.
        params = [
            SamplingParams(
                n=1,
                seed=sample_seed(self.sampling.seed, *name) % 2**SEED_BITS,
                temperature=self.sampling.temperature,
                top_p=self.sampling.top_p,
                max_tokens=self.sampling.max_new_tokens,
                stop=list(self.sampling.stop) or None,
                stop_token_ids=self.stops,
            )
            for name in names
        ]
        requests = [{"prompt_token_ids": list(row)} for row in prompts]
        outputs = [answer.outputs[0] for answer in self.model.generate(requests, params, use_tqdm=False)]
        return [Completion(out.text, len(out.token_ids), out.finish_reason == "length") for out in outputs]
