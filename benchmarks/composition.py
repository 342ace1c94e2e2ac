"""What composes with what: every pair of parts trained for two steps on nano, or the reason it is refused.

    python benchmarks/composition.py [--only cure dars] [--page]

A part is an algorithm of the registry, or fields of the configuration that change the trainer as one does.
All train along a HAMMER order. A pair is also trained without each of its parts, under the settings of both:
a part is *without effect* beside the other where the weights are the same bit for bit. Writes
``results/benchmarks/composition.json`` and ``composition.md``; what is neither a run nor a refusal ends the
script.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import string
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy

import numpy as np
import yaml
from tqdm.auto import tqdm

from hammerlib.errors import InputError
from hammerlib.models.backbone import load_backbone
from hammerlib.runs.storage import content_hash, write_json
from hammerlib.training import TrainConfig, train
from hammerlib.training.hooks import algorithm_class

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "results" / "benchmarks"
STEPS = 2
BASE: dict[str, Any] = {
    "n_problems": 8, "max_steps": STEPS, "order": "hammer", "prompts_per_step": 4, "group_size": 8,
    "max_completion_length": 40,
}  # fmt: skip


NOTHING: Mapping[str, Any] = MappingProxyType({})


class Part(NamedTuple):
    """What a part changes in GRPO, and what switches it on."""

    changes: str
    algorithm: dict[str, Any] | None = None  # its options
    fields: Mapping[str, Any] = NOTHING  # of the configuration, that are the part
    needs: Mapping[str, Any] = NOTHING  # fields that it is used with


PARTS = {
    "adaptive": Part("order", {}),
    "dynamic-sampling": Part(
        "order", fields={"dynamic_sampling": True}, needs={"n_problems": 32, "temperature": 0.7}
    ),
    "cure": Part(
        "rollout", {"n1": 2, "n2": 3, "min_token_chars": 1}, needs={"loss_type": "dapo", "epsilon_high": 0.28}
    ),
    "dars": Part("rollout", {"limit": 16}),
    "etmr": Part("rollout, label", {"trees": 2, "forks": 1, "branches": 3}),
    "g2rpo-a": Part("rollout", {"length": 6, "traces": "nano:columns"}),
    "svs": Part("rollout, problems", {"task": "formal", "low": 0.0, "high": 1.0}),
    "ttrl": Part("rollout, label", {"votes": 8}),
    "dra": Part("reward", fields={"adjustment": "dra"}),
    "distinct-answers": Part("advantage", {"weight": 0.5}),
    "dra-ablation": Part("advantage", {}),
    "pass-at-k": Part("advantage", {"k": 4}),
    "permuted-rewards": Part("advantage", {}),
    "rloo": Part("advantage", {}, needs={"scale_rewards": "none"}),
    "airl-s": Part("advantage", {"separator": ";", "batch": 8}),
    "ettrl": Part("advantage", {}),
    "ucpo": Part("advantage", {}),
    "chord": Part("loss", {"experts": "nano:columns", "batch_size": 4}, needs={"loss_type": "dapo"}),
    "learnable": Part("nothing, it watches", {}),
    "savings": Part(
        "nothing, it saves time",
        fields={"sampler": "decoding", "shared_prefixes": True, "skip_zero_advantage": True},
    ),
    "LoRA": Part("weights", fields={"lora_rank": 4}),
}


def configuration(names: tuple[str, ...], without: str | None = None) -> TrainConfig:
    """Return the run of parts in this order; `without` leaves one out and keeps what it needs."""
    fields = dict(BASE)
    for name in names:
        fields |= PARTS[name].needs
    algorithms = []
    for name in names:
        if name == without:
            continue
        fields |= PARTS[name].fields
        if PARTS[name].algorithm is not None:
            algorithms.append({"name": name, **PARTS[name].algorithm})
    return TrainConfig(**fields, algorithms=tuple(algorithms)).validate()


def trained(config: TrainConfig, root: Path, done: dict[str, dict]) -> dict[str, Any]:
    """Train a run once; return the hash of its weights and the names of its metrics."""
    name = content_hash(config.identity())[:12]
    if name not in done:
        record = train(config, root=root / name, progress=False)
        table = record.table("metrics.csv").pivot_table(index="step", columns="metric", values="value")
        if len(table) != STEPS or not np.isfinite(table["loss"]).all():
            raise RuntimeError(f"{record.run_id}: {len(table)} steps, losses {table['loss'].tolist()}")
        model = load_backbone(str(record.folder / "model")).model
        weights = {key: value.numpy() for key, value in model.state_dict().items()}
        done[name] = {"weights": content_hash(weights), "metrics": set(table.columns)}
    return done[name]


def outcome(names: tuple[str, ...], root: Path, done: dict[str, dict]) -> dict[str, Any]:
    """Train a part or a pair and say what came of it."""
    try:
        config = configuration(names)
        together = trained(config, root, done)
    except InputError as error:
        return {"outcome": "refused", "why": str(error)}
    for name in names:
        metrics = algorithm_class(name).METRICS if PARTS[name].algorithm is not None else {}
        if metrics and not together["metrics"] & set(metrics):
            raise RuntimeError(f"{name} reports nothing in {names}")
    alone = {name: trained(configuration(names, without=name), root, done) for name in names}
    silent = [name for name in names if alone[name]["weights"] == together["weights"]]
    return {"outcome": "trained", "without_effect": silent}


def page(record: dict[str, Any]) -> str:
    """Return the page of a record: one row a part, one column for each that is named behind it."""
    names = list(PARTS)
    kinds: dict[str, str] = {}  # reason without names -> letter
    reasons: dict[str, list[str]] = {}  # letter -> pairs, each with its own words if they differ
    rows = []
    for k, name in enumerate(names):
        cells = [""] * (k + 1)
        for other in names[k + 1 :]:
            pair = record["pairs"][f"{name}+{other}"]
            if pair["outcome"] == "trained":
                cells.append("yes")
                continue
            why = NAMED.sub("", pair["why"].replace(other, ""))
            letter = kinds.setdefault(why, string.ascii_lowercase[len(kinds)])
            reasons.setdefault(letter, [pair["why"]]).append(f"{name} and {other}")
            cells.append(letter)
        rows.append(f"| {k + 1} | {name} | {PARTS[name].changes} | {' | '.join(cells)} |")
    numbers = " | ".join(str(k + 1) for k in range(len(names)))
    lines = [
        "# What composes with what",
        "",
        f"`{record['command']}`, commit {record['commit']}, {record['cpu_seconds']:.0f} CPU s. Every pair "
        f"was trained for {STEPS} steps on nano along a HAMMER order, and again without each of its parts: "
        f"{record['trained']} pairs train (yes), {record['refused']} are refused before the first step for "
        "one of the reasons below. In every pair that trains both parts act: without either, the weights "
        "come out otherwise (*learnable* only watches and changes none; *savings* change them by rounding). "
        "The part of the row is named first. Two steps show that two parts work together, not that they "
        "help each other.",
        "",
        f"| | part | changes | {numbers} |",
        "|" + " --- |" * (len(names) + 3),
        *rows,
        "",
        "Refused:",
        "",
    ]
    for letter, (why, *pairs) in reasons.items():
        lines.append(f"- {letter} ({', '.join(pairs)}), for instance `{why}`")
    lines += ["", f"Settings: {_yaml(BASE)}. A pair has besides what its parts need:", ""]
    lines += [f"- {name}: {_yaml(part.needs)}" for name, part in PARTS.items() if part.needs]
    lines += ["", "What a part is:", ""]
    for name, part in PARTS.items():
        if part.algorithm is None:
            lines.append(f"- {name}: {_yaml(part.fields)}")
        else:
            named = {"algorithms": [{"name": name, **part.algorithm}]}
            lines.append(f"- {name}: {_yaml(named)}")
    return "\n".join([*lines, ""])


NAMED = re.compile(r"'\w+'|\w+ (?=makes advantages)|(?<=those of )\w+")  # classes in a refusal


def _yaml(fields: Mapping[str, Any]) -> str:
    return f"`{yaml.safe_dump(dict(fields), default_flow_style=True, sort_keys=False, width=1000).strip()}`"


def main() -> None:
    """Train every pair and write record and page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", help="pairs with one of these parts, printed")
    parser.add_argument("--page", action="store_true", help="write the page of the committed record")
    parser.add_argument("--out", type=Path, default=FOLDER)
    asked = parser.parse_args()
    path = asked.out / "composition.json"
    if not asked.page:
        begun = time.process_time()
        names = [(name,) for name in PARTS] + list(itertools.combinations(PARTS, 2))
        if asked.only:
            names = [each for each in names if set(each) & set(asked.only)]
        pairs = {}
        done: dict[str, dict] = {}
        with tempfile.TemporaryDirectory() as folder:
            for each in tqdm(names, desc="pairs"):
                pairs["+".join(each)] = outcome(each, Path(folder), done)
        if asked.only:
            print(json.dumps(pairs, indent=1))
            return
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
        )
        of_two = [pair["outcome"] for each, pair in pairs.items() if "+" in each]
        record = {
            "schema_version": 1, "command": "python benchmarks/composition.py",
            "commit": commit.stdout.strip(), "cpu_seconds": time.process_time() - begun,
            "trained": of_two.count("trained"),
            "refused": of_two.count("refused"), "pairs": pairs,
        }  # fmt: skip
        write_json(path, record)
    record = json.loads(path.read_text(encoding="utf-8"))
    (asked.out / "composition.md").write_text(page(record), encoding="utf-8")


if __name__ == "__main__":
    main()
