"""Runs that are really killed, or meet a full disk: each in processes forked from one that imported it all.

    python tests/kill_runs.py FOLDER            the wide sweep: every place below, in every configuration
    python tests/kill_runs.py FOLDER CASE ...   these only

Prints one line a case: configuration, place, whether the resumed run is the unbroken one.
"""

from __future__ import annotations

import builtins
import dataclasses
import errno
import gc
import importlib
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from hammerlib.models import load_backbone
from hammerlib.ordering import order_by
from hammerlib.problems import load_problems
from hammerlib.training import TrainConfig, build, dynamic, run, train

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
    "block": {"epochs": 2, "steps_per_generation": 2, "num_iterations": 2, "save_steps": 4, "n_problems": 8,
              "max_steps": 9, "scheduler": "constant"},
    # Four micro-batches a generation, two a step.
    "halves": {"n_problems": 8, "gradient_accumulation": 2, "steps_per_generation": 4, "save_steps": 2},
    # Three micro-batches an epoch, two a step: every other step accumulates one.
    "remainder": {"gradient_accumulation": 2, "steps_per_generation": 1, "prompts_per_step": 4},
    "reorder": {"epoch_order": "reorder", "epochs": 3, "save_steps": 2, "n_problems": 12,
                "prompts_per_step": 4, "learning_rate": 1e-3},
    "dra": {"adjustment": "dra", "dra_route": "trainer", "embedder": "policy", "loss_type": "dr_grpo",
            "scale_rewards": "none", "beta": 0.05, "max_steps": 5, "save_steps": 3,
            "scheduler": "constant"},
    # On two processes, of which the second is killed; groups on both, a new order at the second epoch.
    "pair": {"adjustment": "dra", "dra_route": "trainer", "group_size": 6, "prompts_per_step": 3,
             "order": "random", "epoch_order": "reorder", "save_steps": 2},
    "lora": {"lora_rank": 2, "num_iterations": 2, "save_steps": 2, "n_problems": 4},
}  # fmt: skip
PLACES = {
    "loss": ("hammerlib.training.trainer:PolicyTrainer._compute_loss", range(1, 13)),
    "generation": ("hammerlib.training.trainer:PolicyTrainer._generate_and_score_completions", (1, 2, 3, 5)),
    "log": ("hammerlib.runs:RunRecord.log", (1, 3, 4)),
    "checkpoint": ("hammerlib.training.trainer:PolicyTrainer._save_checkpoint", (1, 2)),
    "random-state": ("hammerlib.training.trainer:PolicyTrainer._save_rng_state", (1, 2)),
    "new-order": ("hammerlib.training.dynamic:make_order", (1, 2)),
    "epoch": ("hammerlib.training.dynamic:Reorder.on_epoch_begin", (2, 3)),
    "model": ("hammerlib.training.build:save_model", (1,)),
    "summary": ("hammerlib.training.run:_summarise", (1,)),
}  # fmt: skip
# Files that a full disk refuses when they are written for the n-th time.
FILES = {
    "index_log.csv": (1, 3),
    "metrics.csv": (1, 4),
    "000005.parquet": (1,),
    "optimizer.pt": (1, 2),
    "trainer_state.json": (1,),
    "order-1.json": (1,),
    "model": (1,),
}
FULL = "full-"
# In `make test`: inside a generation batch, at the boundary of an epoch that gets a new order, a worker lost,
# a new order and a log that find no room.
FEW = ("block:loss:7", "block:full-index_log.csv:3", "block:model:1", "reorder:epoch:2",
       "reorder:full-order-1.json:1", "pair:loss:3")  # fmt: skip


def config(name: str) -> TrainConfig:
    """The named configuration."""
    return dataclasses.replace(BASE, **CONFIGS[name])


def every() -> Iterator[str]:
    """Every case of the sweep."""
    for name in CONFIGS:
        for place, (_, calls) in PLACES.items():
            if name == "reorder" or place not in ("new-order", "epoch"):
                yield from (f"{name}:{place}:{call}" for call in calls)
    for name in ("block", "reorder"):
        for file, calls in FILES.items():
            if name == "reorder" or file != "order-1.json":
                yield from (f"{name}:{FULL}{file}:{call}" for call in calls)


def forked(work: Callable[[], object], processes: int = 1) -> list[int]:
    """Do something in processes of its own; what ended each: a signal, 0, or -1 where it failed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    children = []
    for rank in range(processes):
        child = os.fork()
        if child == 0:
            if processes > 1:
                os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(processes),
                                  MASTER_ADDR="127.0.0.1", MASTER_PORT=port)  # fmt: skip
            try:
                work()
            except BaseException as error:
                print(f"failed: {error!r}", file=sys.stderr, flush=True)
                os._exit(1)
            os._exit(0)
        children.append(child)
    ended = [os.waitpid(child, 0)[1] for child in children]
    return [os.WTERMSIG(one) if os.WIFSIGNALED(one) else -os.WEXITSTATUS(one) for one in ended]


def fill_at(name: str, call: int) -> None:
    """Refuse to write the file or folder `name` for the `call`-th time, as a full disk does."""
    calls = []

    def refused(inner: Callable, which: int) -> Callable:
        def write(*args: object, **kwargs: object) -> object:
            mode = args[1] if inner is opened and len(args) > 1 else kwargs.get("mode", "w")
            if Path(str(args[which])).name == name and "r" not in str(mode):
                calls.append(1)
                if len(calls) == call:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return inner(*args, **kwargs)

        return write

    opened = builtins.open
    builtins.open = refused(builtins.open, 0)
    torch.save, os.replace = refused(torch.save, 1), refused(os.replace, 1)


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


def processes(name: str) -> int:
    """How many processes a configuration trains on."""
    return 2 if name == "pair" else 1


def unbroken(root: Path, name: str) -> Path:
    """Folder of the run that is never killed; made once."""
    folder = root / name / "whole"
    if not folder.exists():
        ended = forked(lambda: train(config(name), root=folder, progress=False), processes(name))
        assert not any(ended), ended
    return folder


def broken(root: Path, case: str) -> str:
    """Kill, or fill the disk, then call again in other processes; return how the first ended."""
    name, place, call = case.split(":")
    folder = root / name / f"{place}-{call}"

    def spoiled() -> None:
        if place.startswith(FULL):
            fill_at(place.removeprefix(FULL), int(call))
        elif os.environ.get("RANK", "1") == "1":
            kill_at(PLACES[place][0], int(call))
        train(config(name), root=folder, progress=False)

    ended = forked(spoiled, processes(name))
    (manifest,) = folder.glob("train__*/manifest.json")
    told = json.loads(manifest.read_text())
    said = {signal.SIGKILL: "killed", -1: "refused", 0: "not reached"}[ended[-1]]
    if said == "refused":
        assert place.removeprefix(FULL) in told["error"] or "checkpoints" in told["error"], told["error"]
    if len(ended) > 1 and said == "killed":
        assert ended[0] == -1 and "lost one of them" in told["error"], (ended, told["error"])
    again = forked(lambda: train(config(name), root=folder, progress=False), processes(name))
    assert not any(again), again
    return f"{said}, resumed"


def same(one: Path, other: Path) -> list[str]:
    """What differs between two finished runs: nothing should."""
    (first,), (second,) = one.glob("train__*"), other.glob("train__*")
    names = {path.relative_to(first).as_posix() for path in first.rglob("*") if path.is_file()}
    names ^= {path.relative_to(second).as_posix() for path in second.rglob("*") if path.is_file()}
    for name in ("index_log.csv", "model/model.safetensors", "order.json", "order-1.json", "order-2.json"):
        if (first / name).exists() and (first / name).read_bytes() != (second / name).read_bytes():
            names.add(name)
    rows = [
        [line for line in (folder / "metrics.csv").read_text().splitlines() if ",seconds" not in line]
        for folder in (first, second)
    ]
    return sorted(names | ({"metrics.csv"} if rows[0] != rows[1] else set()))


def main(root: Path, cases: list[str]) -> int:
    """Run the cases and tell."""
    wrong, beyond = 0, set()
    for case in cases or every():
        name, place, call = case.split(":")
        if (name, place) in beyond:
            continue
        whole = unbroken(root, name)
        ended = broken(root, case)
        differs = same(whole, root / name / f"{place}-{call}")
        wrong += bool(differs)
        beyond |= {(name, place)} if ended.startswith("not") else set()
        print(f"{case:28} {ended:20} {'same' if not differs else f'DIFFERS: {differs}'}", flush=True)
    return wrong


if __name__ == "__main__":
    assert build and dynamic and run  # imported before the first fork, as the compiled functions are loaded
    order_by("hammer", np.eye(12), problems=load_problems(BASE.problems, split="rl", n=12))
    load_backbone("nano", device="cpu")
    gc.freeze()
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
