"""Seconds per training step beside stock TRL: of DRA by each embedder, and of each saving in a step.

    python benchmarks/training.py [--arms dra] [--backbone nano] [--problems ...] [--lora 0] [--steps 12] ...

All arms train the same problems with the same seed, one thread, in turn, `--rounds` times, each run in a
process of its own; the learning rate is so small (1e-12) that every arm samples the same completions, so that
only the work differs (with the decoding loop: completions of the same distribution). A step is the time from
one scored generation to the next; its first one in every run is left out. Peak memory is that of the process
while it trains (Linux; elsewhere it is not told). Tokens are all those of the completions.

- `stock TRL`: GRPOTrainer with the same arguments, no telemetry.
- `no DRA`: our trainer; its telemetry embeds every completion with the frozen backbone.
- `DRA, backbone` / `DRA, policy`: hidden states of the frozen backbone (shared with the telemetry) or of the
  policy.
- `DRA, second encoder`: a sentence-transformers model of the size of all-MiniLM-L6 (6 layers, width 384),
  made here with random weights: it costs what the real one costs and means nothing.
- with ``--arms savings``: `zero rows` leave the training pass (``skip_zero_advantage``), `decoding loop`
  samples by ours (``sampler: decoding``), `prefixes once` (``shared_prefixes``), `all three`, and these with
  ``int8_sampling`` or ``bf16``, whose numbers are others.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import gc
import json
import multiprocessing
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from hammerlib import load_problems
from hammerlib.training import Hooks, TrainConfig, train

SAVINGS = {
    "zero rows": {"skip_zero_advantage": True},
    "decoding loop": {"sampler": "decoding"},
    "prefixes once": {"shared_prefixes": True},
}
ALL = {name: value for saving in SAVINGS.values() for name, value in saving.items()}
# The arm that others are divided by stands first.
ARMS: dict[str, dict[str, dict[str, object] | None]] = {
    "dra": {
        "no DRA": {},
        "stock TRL": None,
        "DRA, backbone": {"adjustment": "dra"},
        "DRA, policy": {"adjustment": "dra", "embedder": "policy"},
        "DRA, second encoder": {"adjustment": "dra"},
    },
    "savings": {
        "stock TRL": None,
        "no saving": {},
        **SAVINGS,
        "all three": ALL,
        "all three, int8": ALL | {"int8_sampling": True},
        "all three, bf16": ALL | {"bf16": True},
    },
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


PEAK = Path("/proc/self/status")


class Clock:
    """CPU and wall seconds, and tokens so far, at every scored generation."""

    def __init__(self) -> None:
        self.ticks: list[tuple[float, float, int]] = []
        self.tokens = 0

    def tick(self, completion_ids: list[list[int]]) -> None:
        """Take the time; the completions are those just scored."""
        self.ticks.append((time.process_time(), time.perf_counter(), self.tokens))
        self.tokens += sum(map(len, completion_ids))  # trained, and followed by the next ones, until then

    def steps(self) -> np.ndarray:
        """Seconds and tokens (steps, 3) between ticks, without the first step."""
        return np.diff(np.array(self.ticks), axis=0)[1:]


def reset_peak() -> None:
    """Count this process's peak memory from now on (Linux)."""
    gc.collect()
    if PEAK.exists():
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> float | None:
    """Return the largest resident memory since `reset_peak` in MB; None where the system does not tell."""
    if not PEAK.exists():
        return None
    lines = dict(line.split(":", 1) for line in PEAK.read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) / 1024


def stock(config: TrainConfig, folder: Path) -> np.ndarray:
    """Train with TRL's own trainer."""
    from trl import GRPOTrainer

    from hammerlib.rewards import accuracy_reward
    from hammerlib.training.build import _lora, grpo_arguments, quiet
    from hammerlib.training.run import prepare

    job, clock = prepare(config), Clock()

    def reward(**told: object) -> list[float | None]:
        scores = accuracy_reward(**told)
        clock.tick(told["completion_ids"])
        return scores

    with quiet():
        GRPOTrainer(
            model=copy.deepcopy(job.backbone.model).requires_grad_(True).train(),
            reward_funcs=reward,
            args=grpo_arguments(job, folder),
            train_dataset=job.order.apply(job.problems),
            processing_class=job.backbone.tokenizer,
            peft_config=_lora(config),
        ).train()
    return clock.steps()


def ours(config: TrainConfig, folder: Path, embedder: Callable | None) -> np.ndarray:
    """Train with our trainer."""
    clock = Clock()

    def watch(rollout: object) -> dict[str, float]:
        clock.tick(rollout.completion_ids)
        return {}

    train(config, root=folder, algorithms=[Hooks(observe=watch)], embedder=embedder, progress=False)
    return clock.steps()


def run_arm(config: TrainConfig, arm: str, values: dict | None) -> tuple[np.ndarray, float | None]:
    """Train one arm in this process; return its steps' seconds and tokens, and its peak memory."""
    encoder = None
    if arm == "DRA, second encoder":
        problems = load_problems(config.problems, split=config.split, n=config.n_problems)
        encoder = second_encoder(problems["prompt"][:])
    reset_peak()
    with tempfile.TemporaryDirectory() as folder:
        if values is None:
            steps = stock(config, Path(folder))
        else:
            steps = ours(dataclasses.replace(config, **values), Path(folder), encoder)
    return steps, peak_memory()


def measure(config: TrainConfig, rounds: int, arms: dict) -> Iterator[tuple[dict[str, np.ndarray], dict]]:
    """Yield seconds and tokens (steps, 3) and peak memory of every arm after each round, of all so far."""
    steps: dict[str, list[np.ndarray]] = {name: [] for name in arms}
    memory: dict[str, list[float | None]] = {name: [] for name in arms}
    fresh = multiprocessing.get_context("spawn")
    for number in range(rounds):
        shift = number % len(arms)
        for name in [*arms][shift:] + [*arms][:shift]:
            with ProcessPoolExecutor(1, mp_context=fresh) as pool:
                measured, peak = pool.submit(run_arm, config, name, arms[name]).result()
            steps[name].append(measured)
            memory[name].append(peak)
            print(f"round {number + 1} {name:22} {np.median(measured[:, 0]):.3f} CPU s a step", flush=True)
        lowest = {name: min(peaks) if None not in peaks else None for name, peaks in memory.items()}
        yield {name: np.concatenate(parts) for name, parts in steps.items()}, lowest


def table(found: dict[str, object]) -> str:
    """The results in Markdown."""
    shape = found["config"]
    steps = shape["n_problems"] // shape["prompts_per_step"]
    first = found["rows"][0]["arm"]
    only = "".join(f" '{name}'" for name in found["only"] or [])
    encoder = ""
    if found["arms"] == "dra":
        encoder = " The second encoder has the size of all-MiniLM-L6 and random weights."
    lines = [
        "# Seconds per training step",
        "",
        f"`python benchmarks/training.py --arms {found['arms']} --backbone {found['backbone']} "
        f"--problems {shape['problems']} "
        f"--lora {shape['lora_rank']} --steps {steps} --rounds {found['rounds']} "
        f"--prompts {shape['prompts_per_step']} --length {shape['max_completion_length']}"
        f"{' --only' + only if only else ''}` at commit {found['commit']}: "
        f"{shape['prompts_per_step']} prompts "
        f"x {shape['group_size']} completions of up to {shape['max_completion_length']} tokens, "
        f"{found['threads']} thread(s), {found['device']}; medians over {found['rounds']} rounds in turn, "
        f"with quartiles; load {found['load'][0]:.1f} at the beginning, {found['load'][1]:.1f} at the end."
        f"{encoder}",
        "",
        f"| arm | steps | CPU s a step | quartiles | wall s a step | tokens a CPU s | CPU time to {first} "
        "| peak MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in found["rows"]:
        low, high = row["cpu_quartiles"]
        peak = "–" if row["peak"] is None else f"{row['peak']:.0f}"
        lines.append(
            f"| {row['arm']} | {row['steps']} | {row['cpu']:.3f} | {low:.3f} to {high:.3f} "
            f"| {row['wall']:.3f} | {row['tokens']:.0f} | {row['to_first']:.3f} | {peak} |"
        )
    return "\n".join(lines) + "\n"


def commit() -> str:
    """Short name of the commit that was measured."""
    told = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    return told.stdout.strip()


def main() -> None:
    """Measure, print, and write table and numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arms", default="dra", choices=ARMS)
    parser.add_argument("--backbone", default="nano")
    parser.add_argument("--problems", default="reasoning-gym:nano", help="some of which it solves sometimes")
    parser.add_argument("--lora", type=int, default=0, help="rank of adapters; 0 trains all weights")
    parser.add_argument("--prompts", type=int, default=8, help="prompts a step")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--length", type=int, default=48, help="longest completion, tokens")
    parser.add_argument("--only", nargs="+", metavar="ARM", help="of these arms alone; default all")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    chosen = parser.parse_args()
    config = TrainConfig(
        backbone=chosen.backbone,
        problems=chosen.problems,
        n_problems=chosen.prompts * chosen.steps,
        prompts_per_step=chosen.prompts,
        lora_rank=chosen.lora,
        order="dataset",
        learning_rate=1e-12,
        max_completion_length=chosen.length,
        threads=int(os.environ.get("OMP_NUM_THREADS", "1")),
    )
    arms = ARMS[chosen.arms]
    chosen_arms = {name: arms[name] for name in chosen.only or arms}
    load = os.getloadavg()[0]
    # Written after every round: what ends a run of many minutes leaves the rounds before it.
    for done, (seconds, memory) in enumerate(measure(config, chosen.rounds, chosen_arms), 1):
        write(chosen, config, seconds, memory, rounds=done, load=load)


def write(
    chosen: argparse.Namespace,
    config: TrainConfig,
    seconds: dict[str, np.ndarray],
    memory: dict,
    *,
    rounds: int,
    load: float,
) -> None:
    """Write table and numbers of the rounds so far, and print the table."""
    import torch

    base = float(np.median(seconds[next(iter(seconds))][:, 0]))
    rows = [
        {
            "arm": name,
            "steps": len(values),
            "cpu": float(np.median(values[:, 0])),
            "cpu_quartiles": np.quantile(values[:, 0], [0.25, 0.75]).tolist(),
            "wall": float(np.median(values[:, 1])),
            "tokens": float(values[:, 2].sum() / values[:, 0].sum()),
            "to_first": float(np.median(values[:, 0])) / base,
            "peak": memory[name],
        }
        for name, values in seconds.items()
    ]
    device = "GPU" if torch.cuda.is_available() else "CPU"
    setting = {"arms": chosen.arms, "backbone": chosen.backbone, "rounds": rounds, "device": device}
    setting |= {"threads": config.threads, "torch": torch.__version__, "config": config.effective()}
    setting |= {"only": chosen.only, "commit": commit(), "load": [load, os.getloadavg()[0]]}
    found = setting | {"rows": rows}
    name = "training"
    if chosen.arms == "savings":
        name = f"step-{chosen.backbone}" + (f"-lora{chosen.lora}" if chosen.lora else "")
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
    (chosen.out / f"{name}.md").write_text(table(found))
    print(table(found))


if __name__ == "__main__":
    main()
