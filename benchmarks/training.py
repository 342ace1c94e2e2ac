"""Seconds per training step without DRA and with DRA by each embedder, beside stock TRL.

    python benchmarks/training.py [--backbone nano] [--steps 12] [--rounds 3]

All arms train the same problems with the same seed in one process, one thread, in turn, `--rounds` times; the
learning rate is so small (1e-12) that every arm samples the same completions, so that only the work differs.
A step is the time from one scored generation to the next; its first one in every run is left out.

- `stock TRL`: GRPOTrainer with the same arguments, no telemetry.
- `no DRA`: our trainer; its telemetry embeds every completion with the frozen backbone.
- `DRA, backbone` / `DRA, policy`: hidden states of the frozen backbone (shared with the telemetry) or of the
  policy.
- `DRA, second encoder`: a sentence-transformers model of the size of all-MiniLM-L6 (6 layers, width 384),
  made here with random weights: it costs what the real one costs and means nothing.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hammerlib import load_problems
from hammerlib.training import Plugs, TrainConfig, train

ARMS: dict[str, dict[str, str] | None] = {
    "stock TRL": None,
    "no DRA": {},
    "DRA, backbone": {"adjustment": "dra"},
    "DRA, policy": {"adjustment": "dra", "embedder": "policy"},
    "DRA, second encoder": {"adjustment": "dra"},
}


def second_encoder(texts: list[str]) -> Callable[[list[str]], np.ndarray]:
    """Return the encode method of a sentence-transformers model of MiniLM-L6's size with random weights."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = BertWordPieceTokenizer()
    words.train_from_iterator(texts, vocab_size=30_522)
    shape = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    with tempfile.TemporaryDirectory() as folder:
        words.save_model(folder)
        BertTokenizerFast(vocab=f"{folder}/vocab.txt").save_pretrained(folder)
        BertModel(BertConfig(**shape)).save_pretrained(folder)
        model = Transformer(folder)
        pooling = Pooling(model.get_embedding_dimension(), pooling_mode="mean")
        encoder = SentenceTransformer(modules=[model, pooling])
    return lambda texts: encoder.encode(texts, show_progress_bar=False)


class Clock:
    """CPU and wall seconds at every scored generation."""

    def __init__(self) -> None:
        self.ticks: list[tuple[float, float]] = []

    def tick(self) -> None:
        """Take the time."""
        self.ticks.append((time.process_time(), time.perf_counter()))

    def steps(self) -> np.ndarray:
        """Seconds (steps, 2) between ticks, without the first step."""
        return np.diff(np.array(self.ticks), axis=0)[1:]


def stock(config: TrainConfig, folder: Path) -> np.ndarray:
    """Train with TRL's own trainer."""
    from trl import GRPOTrainer

    from hammerlib.rewards import accuracy_reward
    from hammerlib.training.build import grpo_arguments, quiet
    from hammerlib.training.run import prepare

    job, clock = prepare(config), Clock()

    def reward(**told: object) -> list[float | None]:
        scores = accuracy_reward(**told)
        clock.tick()
        return scores

    with quiet():
        GRPOTrainer(
            model=copy.deepcopy(job.backbone.model).requires_grad_(True).train(),
            reward_funcs=reward,
            args=grpo_arguments(job, folder),
            train_dataset=job.order.apply(job.problems),
            processing_class=job.backbone.tokenizer,
        ).train()
    return clock.steps()


def ours(config: TrainConfig, folder: Path, embedder: Callable | None) -> np.ndarray:
    """Train with our trainer."""
    clock = Clock()

    def watch(rollout: object) -> dict[str, float]:
        clock.tick()
        return {}

    train(config, root=folder, plugs=Plugs(observe=watch), embedder=embedder, progress=False)
    return clock.steps()


def measure(config: TrainConfig, rounds: int) -> dict[str, np.ndarray]:
    """Return CPU and wall seconds (steps, 2) of every arm, rounds in turn."""
    problems = load_problems(config.problems, split=config.split, n=config.n_problems)
    encoder = second_encoder(problems["prompt"][:])
    seconds: dict[str, list[np.ndarray]] = {name: [] for name in ARMS}
    for one in range(rounds):
        for name, values in list(ARMS.items())[one % len(ARMS) :] + list(ARMS.items())[: one % len(ARMS)]:
            with tempfile.TemporaryDirectory() as folder:
                if values is None:
                    found = stock(config, Path(folder))
                else:
                    given = encoder if name == "DRA, second encoder" else None
                    found = ours(dataclasses.replace(config, **values), Path(folder), given)
            seconds[name].append(found)
            print(f"round {one + 1} {name:22} {np.median(found[:, 0]):.3f} CPU s a step", flush=True)
    return {name: np.concatenate(parts) for name, parts in seconds.items()}


def table(found: dict[str, object]) -> str:
    """The results in Markdown."""
    shape = found["config"]
    steps = shape["n_problems"] // shape["prompts_per_step"]
    lines = [
        "# Seconds per training step",
        "",
        f"`python benchmarks/training.py --backbone {found['backbone']} --steps {steps} --rounds "
        f"{found['rounds']} --length {shape['max_completion_length']}`: {shape['prompts_per_step']} prompts "
        f"x {shape['group_size']} completions of up to {shape['max_completion_length']} tokens, "
        f"{found['threads']} thread(s), {found['device']}; medians over {found['rounds']} rounds in turn, "
        "with quartiles. The second encoder has the size of all-MiniLM-L6 and random weights.",
        "",
        "| arm | steps | CPU s a step | quartiles | wall s a step | CPU time to no DRA |",
        "|---|---|---|---|---|---|",
    ]
    for row in found["rows"]:
        low, high = row["cpu_quartiles"]
        lines.append(
            f"| {row['arm']} | {row['steps']} | {row['cpu']:.3f} | {low:.3f} to {high:.3f} "
            f"| {row['wall']:.3f} | {row['to_no_dra']:.3f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write table and numbers."""
    import torch

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default="nano")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--length", type=int, default=48, help="longest completion, tokens")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    chosen = parser.parse_args()
    config = TrainConfig(
        backbone=chosen.backbone,
        n_problems=8 * chosen.steps,
        order="dataset",
        learning_rate=1e-12,
        max_completion_length=chosen.length,
        threads=int(os.environ.get("OMP_NUM_THREADS", "1")),
    )
    seconds = measure(config, chosen.rounds)
    base = float(np.median(seconds["no DRA"][:, 0]))
    rows = [
        {
            "arm": name,
            "steps": len(values),
            "cpu": float(np.median(values[:, 0])),
            "cpu_quartiles": np.quantile(values[:, 0], [0.25, 0.75]).tolist(),
            "wall": float(np.median(values[:, 1])),
            "to_no_dra": float(np.median(values[:, 0])) / base,
        }
        for name, values in seconds.items()
    ]
    device = "GPU" if torch.cuda.is_available() else "CPU"
    told = {"backbone": chosen.backbone, "rounds": chosen.rounds, "threads": config.threads, "device": device}
    found = told | {"torch": torch.__version__, "config": config.effective(), "rows": rows}
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "training.json").write_text(json.dumps(found, indent=1) + "\n")
    (chosen.out / "training.md").write_text(table(found))
    print(table(found))


if __name__ == "__main__":
    main()
