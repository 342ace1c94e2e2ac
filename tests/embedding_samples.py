"""A tiny random backbone and texts for it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

WORDS = ["<pad>", "<eos>", *"0123456789+-=", "tom", "has", "apples", "and", "gets", "more"]
LAYERS = 3


def make_backbone(seed: int = 0, chat: bool = False) -> SimpleNamespace:
    """A random Llama of 3 layers whose tokenizer pads on the left, as generation wants it."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        max_position_embeddings=64,
        initializer_range=0.2,
    )
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<eos>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="<eos>", padding_side="left"
    )
    if chat:
        tokenizer.chat_template = "{% for turn in messages %}tom {{ turn['content'] }} <eos>{% endfor %}"

    return SimpleNamespace(
        name=f"tiny{seed}",
        model=LlamaForCausalLM(config).eval(),
        tokenizer=tokenizer,
        revision="local",
        weights_hash=f"hash{seed}",
        device="cpu",
        dtype="float32",
    )


def sentences(n: int, seed: int = 0, longest: int = 40) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS[2:], size=rng.integers(1, longest))) for _ in range(n)]


def spoil(path: Path, damage: str) -> None:
    content = path.read_bytes()
    if damage == "absent":
        path.unlink()
    elif damage == "flip":
        path.write_bytes(content[:-9] + bytes([content[-9] ^ 255]) + content[-8:])
    else:
        path.write_bytes(content[:-100] if damage == "cut" else b"no safetensors")
