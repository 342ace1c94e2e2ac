"""Tokens a second of the evaluation: our decoding loop against what transformers offers.

    HAMMER_DATA=... python benchmarks/evaluation.py [--n 128] [--k 8] [--cap 96]

One process, one thread, float32, SmolLM2-135M on GSM8K test prompts in its chat template, temperature 1,
the whole distribution. Ours draws every batch of the plan. Beside it, on some of the same batches and right
after ours, one `model.generate` on the rows as they stand (sorted by length, padded on the left, every row
read and computed to the end of the batch); on one small batch also transformers' continuous batching. Counted
are generated tokens up to the end token. Then: grading against generation, and how many samples change
when the same rows are drawn in other batches. CPU seconds are of this process: other programs count little.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from hammerlib import load_backbone, load_benchmark
from hammerlib.backbones import Backbone
from hammerlib.evaluation.engines import Sampling, TransformersEngine, default_budget, plan_batches
from hammerlib.grading import grade
from hammerlib.storage import write_json

PLACE = Path(__file__).resolve().parents[1] / "results" / "benchmarks"
Rows = list[list[int]]


@contextlib.contextmanager
def clock(into: dict[str, float]) -> Iterator[None]:
    """Add the block's wall and CPU seconds to `into`."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    into["seconds"] = into.get("seconds", 0.0) + time.perf_counter() - wall
    into["cpu_seconds"] = into.get("cpu_seconds", 0.0) + time.process_time() - cpu


def settings_of(engine: TransformersEngine, copies: int = 1) -> object:
    """Return the generation config that draws as our engine does."""
    from transformers import GenerationConfig

    return GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        max_new_tokens=engine.sampling.max_new_tokens,
        eos_token_id=sorted(engine.stops),
        pad_token_id=engine.tokenizer.pad_token_id,
        num_return_sequences=copies,
    )


def batched_generate(engine: TransformersEngine, rows: Rows) -> int:
    """One padded batch through `model.generate`; returns tokens up to each row's end."""
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), engine.tokenizer.pad_token_id)
    mask = torch.zeros_like(ids)
    for place, row in enumerate(rows):
        ids[place, width - len(row) :] = torch.tensor(row)
        mask[place, width - len(row) :] = 1
    torch.manual_seed(0)
    with torch.inference_mode():
        out = engine.model.generate(input_ids=ids, attention_mask=mask, generation_config=settings_of(engine))
    return sum(length_of(row, engine.stops) for row in out[:, width:].tolist())


def continuous_batching(engine: TransformersEngine, rows: Rows) -> int:
    """transformers' own continuous batching, k samples a prompt as it offers them."""
    from transformers import ContinuousBatchingConfig

    distinct = list(dict.fromkeys(map(tuple, rows)))
    copies = settings_of(engine, len(rows) // len(distinct))
    config = ContinuousBatchingConfig(seed=0)
    found = engine.model.generate_batch(
        [list(row) for row in distinct], generation_config=copies, continuous_batching_config=config
    )
    return sum(len(one.generated_tokens) for one in found.values())


def length_of(tokens: list[int], stops: frozenset[int]) -> int:
    """Tokens up to and with the first end token."""
    return next((place + 1 for place, token in enumerate(tokens) if token in stops), len(tokens))


def timed(draw: Callable[[], int], into: dict[str, float]) -> None:
    """Add tokens and seconds of one call to `into`."""
    with clock(into):
        tokens = draw()
    into["tokens"] = into.get("tokens", 0) + tokens


def paired(engine: TransformersEngine, batches: list[tuple[Rows, list]], rivals: dict) -> dict:
    """Ours and each rival on the same batches, in turn."""
    found: dict[str, dict[str, float]] = {name: {} for name in ("ours", *rivals)}
    for rows, names in batches:
        timed(lambda rows=rows, names=names: tokens_of(engine.generate(rows, names)), found["ours"])
        for name, rival in rivals.items():
            timed(lambda rows=rows, rival=rival: rival(engine, rows), found[name])
    rates = {name: one["tokens"] / one["cpu_seconds"] for name, one in found.items()}
    for name, one in found.items():
        one |= {"tokens_per_cpu_second": rates[name], "ours_is_faster_by": rates["ours"] / rates[name]}
    return {"rows": sum(len(rows) for rows, _ in batches), "cap": engine.sampling.max_new_tokens} | found


def tokens_of(completions: list) -> int:
    """Tokens of some completions."""
    return sum(one.n_tokens for one in completions)


def plan(engine: TransformersEngine, backbone: Backbone, table: object, k: int, budget: int) -> list:
    """The batches of an evaluation: token ids, and (problem, sample) places, of each row."""
    ids = engine.encode(backbone.render(table["prompt"][:], "chat"))
    names = table["id"][:]
    batches = plan_batches([len(row) for row in ids], k, engine.sampling.max_new_tokens, budget)
    return [([ids[row] for row, _ in one], [(names[row], sample) for row, sample in one]) for one in batches]


def regrouped(engine: TransformersEngine, batches: list, drawn: list) -> dict[str, float]:
    """Draw the rows of some batches again, in the same batches and then in halves, and count what differs."""
    counts = {"samples": 0, "differ_in_the_same_batch": 0, "differ_in_half_batches": 0}
    for (rows, names), first in zip(batches, drawn, strict=True):
        middle = len(rows) // 2
        halves = engine.generate(rows[:middle], names[:middle]) + engine.generate(
            rows[middle:], names[middle:]
        )
        again = engine.generate(rows, names)
        counts["samples"] += len(rows)
        counts["differ_in_the_same_batch"] += sum(a != b for a, b in zip(again, first, strict=True))
        counts["differ_in_half_batches"] += sum(a != b for a, b in zip(halves, first, strict=True))
    return counts


def measure(options: argparse.Namespace) -> dict:
    """All numbers of the report."""
    backbone = load_backbone("smollm2-135m", device="cpu", dtype="float32")
    table = load_benchmark("gsm8k").select(range(options.n))

    def engine(cap: int) -> TransformersEngine:
        return TransformersEngine(backbone, Sampling(1.0, 1.0, cap, 0))

    one, budget = engine(options.cap), default_budget("cpu")
    batches = plan(one, backbone, table, options.k, budget)
    chosen = sorted({round(at * (len(batches) - 1)) for at in (0.25, 0.75)})
    whole, drawn = {"tokens": 0}, []
    for rows, names in batches:
        with clock(whole):
            drawn.append(one.generate(rows, names))
        whole["tokens"] += tokens_of(drawn[-1])
    whole["tokens_per_cpu_second"] = whole["tokens"] / whole["cpu_seconds"]
    grade(r"\boxed{\frac{1}{2}}", "0.5")  # the first call imports the grader
    golds, grading = dict(zip(table["id"], table, strict=True)), {}
    for (_, names), found in zip(batches, drawn, strict=True):
        with clock(grading):
            for (name, _), completion in zip(names, found, strict=True):
                grade(completion.text, golds[name])
    told = [completion for found in drawn for completion in found]
    small = [
        (rows[: 8 * options.k], names[: 8 * options.k])
        for rows, names in plan(engine(64), backbone, table.select(range(8)), options.k, budget)[:1]
    ]
    long = plan(engine(256), backbone, table, options.k, budget)
    rivals = {"one batched generate": batched_generate}
    return {
        "settings": {
            "prompts": options.n,
            "k": options.k,
            "cap": options.cap,
            "batches": len(batches),
            "tokens_per_batch": budget,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "transformers": __import__("transformers").__version__,
        },
        "whole run": whole
        | {"samples": len(told), "truncated": sum(one.truncated for one in told), "peak_megabytes": peak()},
        "grading": grading | {"share_of_generation": grading["seconds"] / whole["seconds"]},
        "paired": paired(one, [batches[place] for place in chosen], rivals),
        "paired, longer": paired(engine(256), [long[len(long) // 2]], rivals),
        "continuous batching": paired(
            engine(64), small, rivals | {"continuous batching": continuous_batching}
        ),
        "other batches": regrouped(one, [batches[place] for place in chosen], [drawn[p] for p in chosen]),
    }


def peak() -> int:
    """Largest memory of this process so far, in MB (Linux counts kilobytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000


def report(found: dict) -> str:
    """The numbers in words and one table."""
    told, whole, grading, other = (
        found[one] for one in ("settings", "whole run", "grading", "other batches")
    )
    lines = [
        "# Throughput of the transformers engine",
        "",
        "Written by `python benchmarks/evaluation.py`. SmolLM2-135M, float32, one thread, GSM8K test prompts",
        f"in the chat template, temperature 1. torch {told['torch']}, transformers {told['transformers']}.",
        "",
        f"The whole run: {told['prompts']} prompts, k = {told['k']}, at most {told['cap']} new tokens, "
        f"{told['batches']} batches: {whole['tokens']:,} tokens",
        f"in {whole['cpu_seconds']:.0f} CPU seconds ({whole['seconds']:.0f} s on the clock), "
        f"**{whole['tokens_per_cpu_second']:.0f} tokens per CPU second**; {whole['truncated']} of "
        f"{whole['samples']:,} samples truncated;",
        f"peak memory {whole['peak_megabytes']:,} MB. Grading took {grading['seconds']:.1f} s, "
        f"{100 * grading['share_of_generation']:.2f} % of generation.",
        "",
        "| same batches, in turn | rows | cap | tokens | CPU s | tokens per CPU s | ours is faster by |",
        "|---|---|---|---|---|---|---|",
    ]
    for part in ("paired", "paired, longer", "continuous batching"):
        for name, one in found[part].items():
            if isinstance(one, dict):
                lines.append(
                    f"| {name} | {found[part]['rows']} | {found[part]['cap']} | {one['tokens']:,} "
                    f"| {one['cpu_seconds']:.1f} | {one['tokens_per_cpu_second']:.0f} "
                    f"| {one['ours_is_faster_by']:.2f} |"
                )
    lines += [
        "",
        "Each sample has random numbers of its own, from the seed, the problem's id and the sample's number.",
        f"Drawn again in the same batch, {other['differ_in_the_same_batch']} of {other['samples']} samples "
        f"differ; in batches of half the size, {other['differ_in_half_batches']} do",
        "(float rounding).",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print and write the report and its numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=128, help="prompts")
    parser.add_argument("--k", type=int, default=8, help="samples a prompt")
    parser.add_argument("--cap", type=int, default=96, help="new tokens at most")
    parser.add_argument("--out", type=Path, default=PLACE, help="folder for evaluation.md and .json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(options)
    write_json(options.out / "evaluation.json", found)
    (options.out / "evaluation.md").write_text(report(found), encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
