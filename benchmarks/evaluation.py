"""Tokens a second of the evaluation: our decoding loop against what transformers offers.

    HAMMER_DATA=... python benchmarks/evaluation.py [--n 128] [--k 8] [--cap 96]

One process, one thread, float32, SmolLM2-135M on GSM8K test prompts in its chat template, temperature 1,
the whole distribution. Ours draws every batch of the plan. On some of these batches, in turn with ours, one
`model.generate` draws the rows as they stand: sorted by length, padded on the left, every row read and
computed to the end of the batch; on one small batch also transformers' continuous batching. Counted are
generated tokens up to the end token. Then: grading against generation, and how many samples change when the
same rows are drawn in other batches. CPU seconds are of this process: other programs count little.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import transformers
from datasets import Dataset

from hammerlib import load_backbone, load_benchmark
from hammerlib.evaluation.engines import Sampling, TransformersEngine, default_budget, plan_batches
from hammerlib.evaluation.samples import judge
from hammerlib.grading import GradingPool
from hammerlib.models import Backbone
from hammerlib.runs.storage import write_json

PLACE = Path(__file__).resolve().parents[1] / "results" / "benchmarks"
Rows = list[list[int]]
Batch = tuple[Rows, list[tuple[str, int]]]


@contextlib.contextmanager
def clock(into: dict[str, float]) -> Iterator[None]:
    """Add the block's wall and CPU seconds to `into`."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    into["seconds"] = into.get("seconds", 0.0) + time.perf_counter() - wall
    into["cpu_seconds"] = into.get("cpu_seconds", 0.0) + time.process_time() - cpu


def settings_of(engine: TransformersEngine, copies: int = 1) -> transformers.GenerationConfig:
    """Return the generation config that draws as our engine does."""
    return transformers.GenerationConfig(
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
    distinct = list(dict.fromkeys(map(tuple, rows)))
    copies = settings_of(engine, len(rows) // len(distinct))
    config = transformers.ContinuousBatchingConfig(seed=0)
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


def paired(engine: TransformersEngine, batches: list[Batch], rivals: dict) -> dict:
    """Ours and each rival on the same batches, in turn."""
    found: dict[str, dict[str, float]] = {name: {} for name in ("ours", *rivals)}
    for rows, names in batches:
        timed(lambda rows=rows, names=names: tokens_of(engine.generate(rows, names)), found["ours"])
        for name, rival in rivals.items():
            timed(lambda rows=rows, rival=rival: rival(engine, rows), found[name])
    found["weight products alone"] = {}
    timed(lambda: weight_products(engine, batches), found["weight products alone"])
    rates = {name: one["tokens"] / one["cpu_seconds"] for name, one in found.items()}
    for name, one in found.items():
        one |= {"tokens_per_cpu_second": rates[name], "ours_is_faster_by": rates["ours"] / rates[name]}
    return {"rows": sum(len(rows) for rows, _ in batches), "cap": engine.sampling.max_new_tokens} | found


def tokens_of(completions: list) -> int:
    """Tokens of some completions."""
    return sum(one.n_tokens for one in completions)


def plan(engine: TransformersEngine, backbone: Backbone, table: Dataset, k: int, budget: int) -> list[Batch]:
    """The batches of an evaluation: token ids, and (problem, sample) places, of each row."""
    ids = engine.encode(table["prompt"][:], "chat")
    names = table["id"][:]
    batches = plan_batches([len(row) for row in ids], k, engine.sampling.max_new_tokens, budget)
    return [([ids[row] for row, _ in one], [(names[row], sample) for row, sample in one]) for one in batches]


def weight_products(engine: TransformersEngine, batches: list[Batch], repeats: int = 4) -> int:
    """One token of every row through the model's weight matrices alone; returns tokens.

    No decoding can spend less: what is left out are attention, norms, the random choice, and all prompts.
    """
    matrices = [layer.weight for layer in engine.model.modules() if isinstance(layer, torch.nn.Linear)]
    tokens = 0
    with torch.inference_mode():
        for rows, _ in batches:
            inputs = {matrix.shape[1]: torch.randn(len(rows), matrix.shape[1]) for matrix in matrices}
            for _ in range(repeats):
                for matrix in matrices:
                    torch.nn.functional.linear(inputs[matrix.shape[1]], matrix)
            tokens += repeats * len(rows)
    return tokens


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


def whole_run(engine: TransformersEngine, batches: list[Batch], table: Dataset) -> tuple[dict, dict, list]:
    """Draw every batch, then grade: numbers of both, and the completions of each batch."""
    whole, grading, drawn = {"tokens": 0}, {}, []
    for place, (rows, names) in enumerate(batches, start=1):
        with clock(whole):
            drawn.append(engine.generate(rows, names))
        whole["tokens"] += tokens_of(drawn[-1])
        told(f"batch {place} of {len(batches)}: {whole['tokens']} tokens in {whole['cpu_seconds']:.0f} CPU s")
    completions = [one for found in drawn for one in found]
    whole["tokens_per_cpu_second"] = whole["tokens"] / whole["cpu_seconds"]
    whole |= {"samples": len(completions), "truncated": sum(one.truncated for one in completions)}
    golds = dict(zip(table["id"], table.to_list(), strict=True))
    asked = [golds[name] for _, names in batches for name, _ in names]
    with contextlib.closing(GradingPool(workers=1)) as pool:
        pool.grade([r"\boxed{\frac{1}{2}}"], ["0.5"])  # starting a worker imports the graders
        with clock(grading):
            judge(pool, [one.text for one in completions], [one.truncated for one in completions], asked)
    grading["share_of_generation"] = grading["seconds"] / whole["seconds"]
    return whole | {"peak_megabytes": peak()}, grading, drawn


def measure(options: argparse.Namespace) -> dict:
    """All numbers of the report."""
    backbone = load_backbone("smollm2-135m", device="cpu", dtype="float32")
    table, budget = load_benchmark("gsm8k").select(range(options.n)), default_budget("cpu")

    def planned(cap: int, problems: Dataset) -> tuple[TransformersEngine, list[Batch]]:
        engine = TransformersEngine(backbone, Sampling(1.0, 1.0, cap, 0))
        return engine, plan(engine, backbone, problems, options.k, budget)

    settings = {"prompts": options.n, "k": options.k, "cap": options.cap, "tokens_per_batch": budget}
    settings |= {"threads": torch.get_num_threads(), "torch": torch.__version__}
    found: dict = {"settings": settings | {"transformers": transformers.__version__}}
    engine, batches = planned(options.cap, table)
    found["settings"]["batches"] = len(batches)
    # First, so that the peak of memory is not that of a rival.
    found["whole run"], found["grading"], drawn = whole_run(engine, batches, table)
    chosen = sorted({round(at * (len(batches) - 1)) for at in (0.25, 0.75)})
    rivals = {"one batched generate": batched_generate}
    found["paired"] = told(paired(engine, [batches[place] for place in chosen], rivals))
    longer, others = planned(256, table)
    found["paired, longer"] = told(paired(longer, [others[len(others) // 2]], rivals))
    short, few = planned(64, table.select(range(min(8, options.n))))
    both = rivals | {"continuous batching": continuous_batching}
    found["continuous batching"] = told(paired(short, few[:1], both))
    again = [batches[place] for place in chosen]
    found["other batches"] = told(regrouped(engine, again, [drawn[place] for place in chosen]))
    return found


def told(news: object) -> object:
    """Print and return."""
    print(news, flush=True)
    return news


def peak() -> int:
    """Largest memory of this process so far, in MB (Linux counts kilobytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000


def floor_to_generate(part: dict) -> float:
    """How much faster than one batched generate the weight products alone are."""
    floor, generate = part["weight products alone"], part["one batched generate"]
    return floor["tokens_per_cpu_second"] / generate["tokens_per_cpu_second"]


def report(found: dict) -> str:
    """The numbers in words and one table."""
    about, whole, grading, other = (
        found[one] for one in ("settings", "whole run", "grading", "other batches")
    )
    lines = [
        "# Throughput of the transformers engine",
        "",
        "Written by `python benchmarks/evaluation.py`. SmolLM2-135M, float32, one thread, GSM8K test prompts",
        f"in the chat template, temperature 1. torch {about['torch']}, transformers {about['transformers']}.",
        "",
        f"The whole run: {about['prompts']} prompts, k = {about['k']}, at most {about['cap']} new tokens, "
        f"{about['batches']} batches: {whole['tokens']:,} tokens",
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
        "`weight products alone` is the floor: one token of every row through the weight matrices, "
        "nothing else.",
        "Divided by the rate of one batched generate it is the most that any exact decoding could gain here:",
        " and ".join(
            f"{floor_to_generate(found[part]):.2f} (cap {found[part]['cap']})"
            for part in ("paired", "paired, longer", "continuous batching")
        )
        + ".",
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


if __name__ == "__main__":
    main()
