"""Runs that are really killed: each in a process of its own, forked from one that has imported everything.

    python tests/kill_runs.py FOLDER            the wide sweep: every place below, in every configuration
    python tests/kill_runs.py FOLDER CASE ...   these only

Prints one line a case: configuration, place, whether the resumed run is the unbroken one.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from hammerlib.training import TrainConfig, build, epochs, run, train

BASE = TrainConfig(
    n_problems=6,
    order="hammer",
    prompts_per_step=2,
    group_size=4,
    max_completion_length=24,
    learning_rate=2e-4,
    rewards=("accuracy", "cosine"),
    epochs=2,
    save_steps=1,
)
CONFIGS = {
    # Two steps a generation, each generation passed twice: four steps in a block.
    "block": {"n_problems": 8, "epochs": 1, "steps_per_generation": 2, "num_iterations": 2, "save_steps": 4},
    # Four micro-batches a generation, two a step.
    "halves": {"n_problems": 8, "gradient_accumulation": 2, "steps_per_generation": 4, "save_steps": 2},
    # Three micro-batches an epoch, two a step: every other step accumulates one.
    "remainder": {"gradient_accumulation": 2, "steps_per_generation": 1, "prompts_per_step": 4},
    "reorder": {"epoch_order": "reorder", "epochs": 3, "save_steps": 2, "n_problems": 12,
                "prompts_per_step": 4, "learning_rate": 1e-3},
    "dra": {"adjustment": "dra", "dra_route": "trainer", "embedder": "policy", "loss_type": "dr_grpo",
            "scale_rewards": "none", "beta": 0.05, "max_steps": 5, "save_steps": 3},
    "lora": {"lora_rank": 2, "num_iterations": 2, "save_steps": 2, "n_problems": 4},
}  # fmt: skip
PLACES = {
    "loss": ("hammerlib.training.trainer:SeamTrainer._compute_loss", range(1, 13)),
    "generation": ("hammerlib.training.trainer:SeamTrainer._generate_and_score_completions", (1, 2, 3, 5)),
    "log": ("hammerlib.runs:RunRecord.log", (1, 3, 4)),
    "checkpoint": ("hammerlib.training.trainer:SeamTrainer._save_checkpoint", (1, 2)),
    "random-state": ("hammerlib.training.trainer:SeamTrainer._save_rng_state", (1, 2)),
    "new-order": ("hammerlib.training.epochs:make_order", (1, 2)),
    "epoch": ("hammerlib.training.epochs:Reorder.on_epoch_begin", (2, 3)),
    "model": ("hammerlib.training.build:save_model", (1,)),
    "summary": ("hammerlib.training.run:_summarise", (1,)),
}  # fmt: skip
# In `make test`: inside a generation batch, and at the boundary of an epoch that gets a new order.
FEW = ("block:loss:7", "reorder:epoch:2")


def config(name: str) -> TrainConfig:
    """The named configuration."""
    return dataclasses.replace(BASE, **CONFIGS[name])


def every() -> Iterator[str]:
    """Every case of the sweep."""
    for name in CONFIGS:
        for place, (_, calls) in PLACES.items():
            if name == "reorder" or place not in ("new-order", "epoch"):
                yield from (f"{name}:{place}:{call}" for call in calls)


def forked(work: Callable[[], object]) -> int:
    """Do something in a process of its own; return the signal that ended it (0: none, -1: it failed)."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            print(f"failed: {error!r}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status)


def kill_at(place: str, call: int) -> None:
    """Kill this process when the function at `place` is called for the `call`-th time."""
    module, dotted = place.split(":")
    *owner, name = dotted.split(".")
    where = importlib.import_module(module)
    for part in owner:
        where = getattr(where, part)
    inner, calls = getattr(where, name), []

    def die(*args: object, **kwargs: object) -> object:
        calls.append(1)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return inner(*args, **kwargs)

    setattr(where, name, die)


def unbroken(root: Path, name: str) -> Path:
    """Folder of the run that is never killed; made once."""
    if not (root / name / "whole").exists():
        assert forked(lambda: train(config(name), root=root / name / "whole", progress=False)) == 0
    return root / name / "whole"


def broken(root: Path, case: str) -> int:
    """Kill, resume in another process; return the signal that ended the first (0: it was never reached)."""
    name, place, call = case.split(":")
    folder = root / name / f"{place}-{call}"

    def killed() -> None:
        kill_at(PLACES[place][0], int(call))
        train(config(name), root=folder, progress=False)

    ended = forked(killed)
    assert ended >= 0 and forked(lambda: train(config(name), root=folder, progress=False)) == 0
    return ended


def same(one: Path, other: Path) -> list[str]:
    """What differs between two finished runs: nothing should."""
    (first,), (second,) = one.glob("train__*"), other.glob("train__*")
    names = {path.relative_to(first).as_posix() for path in first.rglob("*") if path.is_file()}
    names ^= {path.relative_to(second).as_posix() for path in second.rglob("*") if path.is_file()}
    for name in ("index_log.csv", "model/model.safetensors", "order.json", "order-1.json", "order-2.json"):
        if (first / name).exists() and (first / name).read_bytes() != (second / name).read_bytes():
            names.add(name)
    rows = [
        [line for line in (folder / "metrics.csv").read_text().splitlines() if ",seconds," not in line]
        for folder in (first, second)
    ]
    return sorted(names | ({"metrics.csv"} if rows[0] != rows[1] else set()))


def main(root: Path, cases: list[str]) -> int:
    """Run the cases and tell."""
    wrong = 0
    for case in cases or every():
        whole = unbroken(root, case.split(":")[0])
        name, place, call = case.split(":")
        ended = broken(root, case)
        differs = same(whole, root / name / f"{place}-{call}")
        wrong += bool(differs)
        said = "not reached" if ended == 0 else "killed, resumed"
        print(f"{case:24} {said:16} {'same' if not differs else f'DIFFERS: {differs}'}", flush=True)
    return wrong


if __name__ == "__main__":
    assert build and epochs and run  # imported before the first fork
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
