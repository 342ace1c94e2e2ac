"""QLoRA's base: linear layers in 4 bits (NF4, double quantisation) by bitsandbytes, the only import of it.

Source: Dettmers and others, QLoRA (arXiv 2305.14314), sections 2 and 3.
"""

from __future__ import annotations

import copy
import logging
import tempfile
from pathlib import Path
from typing import Any

import torch

from hammerlib.models.backbone import no_file_bars

# On a CPU with bfloat16 it says at every import that a kernel of the hub, code to be downloaded, is missing.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
# Bits of a stored weight: 4, and a scale for each 64 that itself takes 8 bits, with 32 for each 256 scales.
BITS = 4 + 8 / 64 + 32 / (64 * 256)


def quantized(model: Any, folder: Path) -> Any:
    """Return a copy of a causal language model whose linear layers, all but the head, hold 4 bits a weight.

    Transformers quantises while it reads: the weights lie in `folder` meanwhile.
    """
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32 if model.device.type == "cpu" else torch.bfloat16,
    )
    with tempfile.TemporaryDirectory(dir=folder) as weights, no_file_bars():
        model.save_pretrained(weights)
        small = AutoModelForCausalLM.from_pretrained(
            weights,
            dtype=model.dtype,
            quantization_config=config,
            device_map={"": model.device},
            trust_remote_code=False,
        )
    small.config._name_or_path = small.name_or_path = model.name_or_path
    return small


def merged(policy: Any, start: Any) -> Any:
    """Return a model of plain weights that computes what a 4-bit one with LoRA adapters does.

    PEFT would merge into 4 bits and round the adapters away. Layers without an adapter are those of `start`.
    """
    from peft.tuners.lora.bnb import Linear4bit
    from peft.utils.integrations import dequantize_bnb_weight

    whole = copy.deepcopy(start)
    for name, layer in policy.get_base_model().named_modules():
        if isinstance(layer, Linear4bit):
            base = layer.get_base_layer()
            weight = dequantize_bnb_weight(base.weight, base.weight.quant_state).float()
            weight = weight + layer.get_delta_weight("default").float()
            whole.get_submodule(name).weight.data.copy_(weight)
    return whole


def linear_layers(model: Any) -> list[torch.nn.Linear]:
    """Return the layers that take adapters and 4 bits: all linear ones but the output head."""
    head = model.get_output_embeddings()
    return [layer for layer in model.modules() if type(layer).__name__ == "Linear" and layer is not head]


def bytes_of(model: Any) -> float:
    """Return the bytes that a model's weights take with 4 bits in its linear layers."""
    packed = sum(layer.weight.numel() for layer in linear_layers(model))
    return packed * BITS / 8 + (model.num_parameters() - packed) * model.dtype.itemsize
