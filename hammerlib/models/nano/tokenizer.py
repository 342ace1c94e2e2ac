"""The word-and-digit tokenizer of the nano model.

A word with its leading space is one token, a digit is one token, so is ``\\boxed{``. Anything else falls back
to single characters and then to bytes, so that every text round-trips exactly, also one the model never saw.
"""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING

from hammerlib.models.nano.solutions import BOX, STRATEGIES
from hammerlib.problems.families import NAMES, PLACES, QUESTIONS, STORIES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, EOS = "<pad>", "<eos>"
PIECES = r"\\boxed\{| ?[A-Za-z]+|[\s\S]"
# The sentences of reasoning-gym 0.1.25 around chain_sum, basic_arithmetic and simple_equations.
SENTENCES = (
    "State the final answer to the following arithmetic problem:",
    "What is",
    "Solve",
    "Compute",
    "Evaluate:",
    "Find the value of x in the equation:",
    "Solve for x:",
    "Determine the value of x that satisfies:",
)


def vocabulary() -> list[str]:
    """Return the tokens in the order of their ids: specials, bytes, characters, words."""
    texts = [*SENTENCES, *PLACES, *QUESTIONS]
    texts += [story for stories in STORIES.values() for story, _ in stories]
    for listed in (NAMES, *PLACES.values(), STRATEGIES, string.ascii_lowercase):
        texts += [f" {word}" for word in listed]
    bare = [re.sub(r"\{\w+\}", "", text) for text in texts]
    words = {piece for text in bare for piece in re.findall(PIECES, text) if len(piece) > 1}
    # Printable characters stand for themselves; the model sees other text as UTF-8 bytes.
    unprintable = [byte for byte in range(256) if not 32 <= byte < 127]
    tokens = [PAD, EOS, *(f"<0x{byte:02X}>" for byte in unprintable), *map(chr, range(32, 127)), BOX]
    return tokens + sorted(words)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer: left padding, no chat template, nothing added to texts."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    ids = {token: number for number, token in enumerate(vocabulary())}
    # BPE without merges: a piece found in the vocabulary is one token, any other falls apart into characters.
    core = Tokenizer(models.BPE(vocab=ids, merges=[], byte_fallback=True, ignore_merges=True))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(PIECES), behavior="isolated")
    core.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=EOS,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=512,
    )
