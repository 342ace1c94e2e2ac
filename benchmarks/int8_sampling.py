"""What sampling in 8 bits (`int8_sampling`) costs, and how far it is from the policy.

    python benchmarks/int8_sampling.py [--backbone nano] [--problems ...] [--lora 0] [--batches 3]

Each batch is sampled three times with everything else equal: in 8 bits; as the policy with the same random
numbers; and as the policy with others, which shows what sampling alone changes. Told are the CPU seconds of
sampling, the distance of log-probabilities, the importance weights of whole completions before their cap, and
the cosine of the policy gradients of these batches (each with its own rewards and advantages).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from training import commit

from hammerlib.runs import RunRecord
from hammerlib.training import TrainConfig
from hammerlib.training.build import build_trainer, quiet
from hammerlib.training.run import prepare
from hammerlib.training.trainer import PolicyTrainer, loss_mask, sequence_weights


def sampled(trainer: PolicyTrainer, rows: list[dict], int8: bool, step: int) -> dict:
    """Gradient, seconds of sampling and weights of one batch, whose random numbers the step names."""
    trainer.int8_sampling = int8
    trainer.state.global_step, trainer._calls = step, (-1, 0)
    trainer.current_gradient_accumulation_steps = 1
    seconds = []
    single_turn = trainer._generate_single_turn

    def timed(*arguments: object) -> object:
        start = time.process_time()
        completions = single_turn(*arguments)
        seconds.append(time.process_time() - start)
        return completions

    trainer._generate_single_turn = timed
    try:
        batch = trainer._generate_and_score_completions(rows)
    finally:
        del trainer._generate_single_turn
    trainer.model.zero_grad()
    trainer._compute_loss(trainer.model, batch).backward()
    gradient = torch.cat([w.grad.flatten() for w in trainer.model.parameters() if w.requires_grad])
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
    with torch.no_grad():
        width = batch["completion_ids"].shape[1]
        policy = trainer._get_per_token_logps_and_entropies(trainer.model, ids, mask, width)[0]
    tokens = loss_mask(batch)
    apart = (policy - batch["sampling_per_token_logps"])[tokens.bool()].abs()
    weights = sequence_weights(policy, batch["sampling_per_token_logps"], tokens)[:, 0]
    return {"gradient": gradient, "seconds": sum(seconds), "apart": apart, "weights": weights}


def measure(config: TrainConfig, batches: int) -> dict[str, object]:
    """Means over batches."""
    rows: list[dict[str, float]] = []
    weights, apart = [], []
    with tempfile.TemporaryDirectory() as folder, quiet():
        job = prepare(config, progress=False)
        trainer = build_trainer(job, RunRecord("int8", Path(folder), {}))
        moved = torch.Generator().manual_seed(0)
        for name, weight in trainer.model.named_parameters():
            if "lora_B" in name:  # adapters begin at zero: as after some steps
                weight.data = 0.01 * torch.randn(weight.shape, generator=moved)
        for number in range(batches):
            first = number * config.prompts_per_step
            problems = trainer.train_dataset.select(range(first, first + config.prompts_per_step))
            inputs = [row for row in problems for _ in range(config.group_size)]
            int8 = sampled(trainer, inputs, True, number)
            same = sampled(trainer, inputs, False, number)
            other = sampled(trainer, inputs, False, number + batches)
            cosine = torch.nn.functional.cosine_similarity
            rows.append(
                {
                    "seconds_int8": int8["seconds"],
                    "seconds_float": same["seconds"],
                    "cosine_int8": cosine(int8["gradient"], same["gradient"], 0).item(),
                    "cosine_other_samples": cosine(other["gradient"], same["gradient"], 0).item(),
                }
            )
            weights.append(int8["weights"])
            apart.append(int8["apart"])
            print(rows[-1], flush=True)
    cap = trainer.args.vllm_importance_sampling_clip_max
    weight, distance = torch.cat(weights), torch.cat(apart)
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return means | {
        "ratio": float(np.median([row["seconds_int8"] / row["seconds_float"] for row in rows])),
        "completions": len(weight),
        "tokens": len(distance),
        "logp_distance_mean": distance.mean().item(),
        "logp_distance_max": distance.max().item(),
        "weight_min": weight.min().item(),
        "weight_max": weight.max().item(),
        "effective_share": (weight.sum() ** 2 / (weight**2).sum() / len(weight)).item(),
        "truncated_share": (weight > cap).float().mean().item(),
        "cap": cap,
    }


def table(rows: list[dict]) -> str:
    """The results in Markdown."""
    lines = [
        "# Sampling in 8 bits beside float32",
        "",
        "Written by `python benchmarks/int8_sampling.py` with the arguments that each row names; one thread.",
        "Weights are p/q of whole completions before their cap; effective: (sum w)^2 / (n sum w^2). Cosines",
        "are of the gradients of one batch: in 8 bits against float32 with the same random numbers, and",
        "float32 against float32 with others.",
        "",
        "| arguments | commit | load | batches | completions | tokens | sampling, CPU s | in 8 bits | ratio "
        "| log-probability apart, mean (largest) | weights | effective | cut | cosine | of other samples |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| `{row['arguments']}` | {row['commit']} | {row['load']:.1f} | {row['batches']} "
            f"| {row['completions']} | {row['tokens']} "
            f"| {row['seconds_float']:.2f} | {row['seconds_int8']:.2f} | {row['ratio']:.2f} "
            f"| {row['logp_distance_mean']:.4f} ({row['logp_distance_max']:.2f}) "
            f"| {row['weight_min']:.2f} to {row['weight_max']:.2f} | {row['effective_share']:.3f} "
            f"| {row['truncated_share']:.3f} | {row['cosine_int8']:.3f} | {row['cosine_other_samples']:.3f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure one backbone and write it beside those measured before."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default="nano")
    parser.add_argument("--problems", default="reasoning-gym:nano")
    parser.add_argument("--lora", type=int, default=0, help="rank of adapters; 0 trains all weights")
    parser.add_argument("--prompts", type=int, default=8, help="prompts a batch, 8 completions each")
    parser.add_argument("--length", type=int, default=48, help="longest completion, tokens")
    parser.add_argument("--batches", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    chosen = parser.parse_args()
    config = TrainConfig(
        backbone=chosen.backbone,
        problems=chosen.problems,
        n_problems=chosen.prompts * chosen.batches,
        prompts_per_step=chosen.prompts,
        lora_rank=chosen.lora,
        order="dataset",
        max_completion_length=chosen.length,
        sampler="decoding",
        int8_sampling=True,
    )
    names = ("backbone", "problems", "lora", "prompts", "length", "batches")
    arguments = " ".join(f"--{name} {getattr(chosen, name)}" for name in names)
    row = {"arguments": arguments, "commit": commit(), "load": os.getloadavg()[0], "batches": chosen.batches}
    row |= measure(config, chosen.batches)
    chosen.out.mkdir(parents=True, exist_ok=True)
    path = chosen.out / "int8-sampling.json"
    others = (
        [old for old in json.loads(path.read_text()) if old["arguments"] != arguments]
        if path.exists()
        else []
    )
    path.write_text(json.dumps([*others, row], indent=1) + "\n")
    (chosen.out / "int8-sampling.md").write_text(table([*others, row]))
    print(table([row]))


if __name__ == "__main__":
    main()
