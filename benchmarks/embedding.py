"""Seconds to embed texts: `hammerlib.models.encode` against a plain loop and sentence-transformers.

    python benchmarks/embedding.py [--backbones nano smollm2-135m] [--sources SOURCE ...] [--n N]

All three run in one process on the same weights, one thread, mean pooling over the last hidden states, from
texts to vectors (tokenising included, no cache), in turn; the smallest time of `--repeats` rounds counts.
The plain loop takes batches of 16 as the texts come, padded, with mask, without the language-model head.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hammerlib import load_backbone, load_problems
from hammerlib.models import Backbone
from hammerlib.models.embeddings import TOKENS_PER_BATCH, encode
from hammerlib.runs.storage import write_json

PLAIN_BATCH = 16
Encoder = Callable[[list[str]], np.ndarray]


def plain_loop(backbone: Backbone) -> Encoder:
    """Return the loop that a notebook would write: batches of 16 in the order of the texts."""
    import torch

    def run(texts: list[str]) -> np.ndarray:
        parts = []
        with torch.inference_mode():
            for start in range(0, len(texts), PLAIN_BATCH):
                batch = backbone.tokenizer(
                    texts[start : start + PLAIN_BATCH], padding=True, return_tensors="pt"
                )
                mask = batch["attention_mask"]
                states = backbone.model.get_decoder()(
                    batch["input_ids"], attention_mask=mask
                ).last_hidden_state
                parts.append((states * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True))
        return torch.cat(parts).numpy()

    return run


def sentence_transformers(backbone: Backbone, folder: str) -> Encoder:
    """Return sentence-transformers' encode (its default batch of 32) on the same weights."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    raw = copy.deepcopy(backbone.tokenizer)
    raw.chat_template = (
        None  # with a template it would embed a chat with a system turn: three times the tokens
    )
    backbone.model.save_pretrained(folder)
    raw.save_pretrained(folder)
    words = Transformer(folder)
    pooling = Pooling(words.get_embedding_dimension(), pooling_mode="mean")
    model = SentenceTransformer(modules=[words, pooling], device="cpu")
    return lambda texts: model.encode(texts, show_progress_bar=False)


def measure(backbone: Backbone, texts: list[str], repeats: int) -> dict[str, object]:
    """Return seconds, ratios to ours, and the largest relative difference of a vector to ours."""
    with tempfile.TemporaryDirectory() as folder:
        encoders = {
            "ours": lambda texts: encode(texts, backbone),
            "plain loop": plain_loop(backbone),
            "sentence-transformers": sentence_transformers(backbone, folder),
        }
        found = {name: encoder(texts) for name, encoder in encoders.items()}  # also warms up
        seconds: dict[str, list[float]] = {name: [] for name in encoders}
        for _ in range(repeats):
            for name, encoder in encoders.items():
                began = time.process_time()
                encoder(texts)
                seconds[name].append(time.process_time() - began)
    best = {name: min(values) for name, values in seconds.items()}
    size = np.linalg.norm(found["ours"], axis=1)
    gaps = {name: np.linalg.norm(found[name] - found["ours"], axis=1) / size for name in found}
    return {
        "cpu_seconds": best,
        "ratio_to_ours": {name: best[name] / best["ours"] for name in best},
        "largest_relative_difference": {name: float(gap.max()) for name, gap in gaps.items()},
    }


def readable(backbone: Backbone, texts: list[str]) -> tuple[list[str], list[int]]:
    """Return the texts that fit the backbone's context, with their lengths in tokens."""
    lengths = [len(row) for row in backbone.tokenizer(texts)["input_ids"]]
    fit = [
        row for row, length in enumerate(lengths) if length <= backbone.model.config.max_position_embeddings
    ]
    return [texts[row] for row in fit], [lengths[row] for row in fit]


def main() -> None:
    """Measure, print a table and write JSON."""
    import torch

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbones", nargs="+", default=["nano", "smollm2-135m"])
    parser.add_argument("--n", type=int, default=256, help="number of texts")
    parser.add_argument(
        "--sources", nargs="+", default=["reasoning-gym:math"], help="what load_problems takes"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    rows = []
    for name, source in itertools.product(options.backbones, options.sources):
        backbone = load_backbone(name, device="cpu", dtype="float32")
        texts, lengths = readable(backbone, list(load_problems(source, n=options.n)["prompt"]))
        spread = dict(
            zip(("shortest", "median", "longest"), np.quantile(lengths, [0, 0.5, 1]).tolist(), strict=True)
        )
        told = {"backbone": name, "source": Path(source).name, "n": len(texts), "tokens": spread}
        rows.append(told | measure(backbone, texts, options.repeats))
        for encoder, ratio in rows[-1]["ratio_to_ours"].items():
            seconds, gap = (rows[-1][key][encoder] for key in ("cpu_seconds", "largest_relative_difference"))
            row = f"{name:14} {told['source']:22} {encoder:22} {seconds:8.2f} s {ratio:6.2f} x"
            print(f"{row}  difference {gap:.0e}", flush=True)
    settings = {
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "tokens_per_batch": TOKENS_PER_BATCH,
    }
    if options.out:
        write_json(options.out, {"settings": settings, "rows": rows})
    print(json.dumps(settings))


if __name__ == "__main__":
    main()
