"""Checkpoints that survive a kill: which is whole, what is sealed in it, what goes before resuming."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import json
import os
import random
import re
import types
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from hammerlib.errors import InputError
from hammerlib.runs.storage import (
    SUMS,
    atomic_path,
    content_hash,
    damaged,
    discard,
    read_object,
    sealed,
    write_json,
    write_sums,
    writing,
)
from hammerlib.training.hooks import HOOKS, Algorithm, Hooks, name_of, overridden

FOLDER = "checkpoints"
NAME = re.compile(r"checkpoint-(0|[1-9]\d{0,17})")  # ASCII digits, as the trainer writes them
LOGS = "logs.json"  # in a checkpoint: how far the run's growing files had come
GROWING = ("metrics.csv", "skipped.csv", "index_log*.csv")
# torch's words where a policy's outputs are no numbers any more.
DIVERGED = re.compile(r"probability tensor contains either `?inf`?, `?nan`?")
# How gloo and NCCL tell that the other end of a connection is gone.
LOST = re.compile(
    r"connection (was )?(closed|reset|refused)|broken pipe|remote process exited|timed? ?out", re.IGNORECASE
)


@contextlib.contextmanager
def resumable(folder: Path, processes: int) -> Iterator[None]:
    """Turn a full disk or a lost process inside the block into one InputError; whole checkpoints stay."""
    try:
        with writing(folder / FOLDER):
            yield
    except InputError:  # the next call resumes from a whole checkpoint, not from half of one
        newest_complete(folder, processes=processes)
        raise
    except RuntimeError as error:
        if DIVERGED.search(str(error)):
            problem, remedy = "its outputs are NaN or infinite", "lower learning_rate, and start again"
            raise InputError("model", folder.name, problem, remedy) from error
        if processes == 1 or not LOST.search(str(error)):
            raise
        remedy = "see what that process said, then start all again: they resume from the last checkpoint"
        raise InputError("processes", processes, "lost one of them", remedy) from error


def newest_complete(folder: Path, *, processes: int = 1) -> tuple[Path, int] | None:
    """Return the newest whole checkpoint and its step, or None; remove what a kill left half-written.

    A checkpoint is whole when every file is what `seal` found after the last one was written, it is of its
    own step, every process's random state is in it, and the run's logs still begin with what they held then.
    Others are removed, with a warning where one was damaged; folders of other names stay as they are.
    """
    newest = None
    names = [(path, NAME.fullmatch(path.name)) for path in (folder / FOLDER).glob("checkpoint-*")]
    for step, path in sorted((int(name[1]), path) for path, name in names if name):
        problem = _problem(path, step, processes)
        if problem is None:
            newest = path, step
            continue
        if problem:
            warnings.warn(f"{path.name} is not used: {problem}", stacklevel=2)
        discard(path)
    return newest


def _problem(path: Path, step: int, processes: int) -> str | None:
    """Why a checkpoint cannot be resumed from; "" where a kill left it unfinished, None where it is whole."""
    random = ["rng_state.pth"] if processes == 1 else [f"rng_state_{p}.pth" for p in range(processes)]
    if not (path / SUMS).exists():
        return ""
    try:
        problem = damaged(path)
        if problem is None:
            state = read_object(path / "trainer_state.json")
            if state.get("global_step") != step or not all((path / name).is_file() for name in random):
                return ""
            problem = _lost(path)
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        return f"trainer_state.json {error}"
    return problem


def seal(path: Path) -> None:
    """Note, in a checkpoint that is written, how far the run's logs are and the sha256 of all its files."""
    run = path.parent.parent
    logs = {}
    for file in sorted(log for pattern in GROWING for log in run.glob(pattern)):
        content = file.read_bytes()
        logs[file.name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    write_json(path / LOGS, sealed({"logs": logs}))
    # the sums last: without them a checkpoint counts as unfinished
    write_sums(path)


def _logs(path: Path) -> dict[str, dict]:
    return read_object(path / LOGS)["logs"]


def _lost(path: Path) -> str | None:
    """Which log no longer begins with what it held at this checkpoint, None where all do."""
    for name, noted in _logs(path).items():
        file = path.parent.parent / name
        start = file.read_bytes()[: noted["bytes"]] if file.is_file() else b""
        if hashlib.sha256(start).hexdigest() != noted["sha256"]:
            return f"{name} was changed after it was written" if start else f"{name} is gone or empty"
    return None


def trim_run(folder: Path, step: int, checkpoint: Path | None = None) -> None:
    """Make a run's logs those of its first `step` optimizer steps, which `checkpoint` holds; else they go."""
    lengths = _logs(checkpoint) if checkpoint else {}
    for path in sorted(log for pattern in GROWING for log in folder.glob(pattern)):
        if path.name not in lengths:
            discard(path)
            continue
        # by bytes, not by lines: the hash of exactly these was checked against the checkpoint
        content = path.read_bytes()[: lengths[path.name]["bytes"]]
        with atomic_path(path) as unfinished:
            unfinished.write_bytes(content)
    for path in folder.glob("completions/*"):
        if not path.stem[:6].isdecimal() or int(path.stem[:6]) > step:
            discard(path)


STATES = "algorithms"  # in a checkpoint: what the state_dict of each algorithm and hook returned
DEEPEST = 6  # levels of containers and objects that are looked into for changes


class NoLastCheckpoint(TrainerCallback):
    """Keeps transformers from a checkpoint at the last step, from which it would train one step more.

    transformers 5.23 saves at ``max_steps`` whatever ``save_steps`` says, and after resuming there takes
    another step before it looks at ``max_steps`` again. The trained model is written right after; a run
    killed in between repeats the steps since the checkpoint before.
    """

    def on_step_end(self, args: object, state: Any, control: Any, **kwargs: object) -> None:
        """Take back the request to save at the last step."""
        if state.global_step >= state.max_steps:
            control.should_save = False


class Seal(TrainerCallback):
    """Seals every checkpoint when all processes have written theirs; without its seal none is resumed from.

    Algorithms and hooks with ``state_dict`` and ``load_state_dict`` are kept in the checkpoint, by every
    process for itself; one that has changed since training began, and has no such methods, is refused with
    an InputError at the first checkpoint: a resumed run would lack its state.
    """

    def __init__(self, algorithms: Sequence[Algorithm]) -> None:
        self.parts = _parts(algorithms)
        self.before: dict[str, str] = {}

    def on_train_begin(self, args: object, state: object, control: object, **kwargs: object) -> None:
        """Remember what algorithms and hooks hold now."""
        self.before = fingerprints(self.parts)

    def on_save(self, args: Any, state: Any, control: object, **kwargs: object) -> None:
        """Keep the states and seal the checkpoint that was just written."""
        for name, now in fingerprints(self.parts).items():
            if now != self.before.get(name, now):
                raise _keeps_to_itself(name, name_of(self.parts[name]))
        path = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        # every process its own: random choices and buffers differ between them
        states = {name: part.state_dict() for name, part in self.parts.items() if _has_state(part)}
        if states:
            write_states(path, states, PartialState().process_index)
        PartialState().wait_for_everyone()  # the sums below must see the files of all processes
        if state.is_world_process_zero:
            seal(path)
        PartialState().wait_for_everyone()


def restore(algorithms: Sequence[Algorithm], checkpoint: Path) -> None:
    """Give algorithms and hooks back what a checkpoint holds of them."""
    parts = _parts(algorithms)
    states = read_states(checkpoint, int(os.environ.get("RANK", "0")))
    for name, state in states.items():
        if name in parts:  # one without a state may have written an empty one
            parts[name].load_state_dict(state)


def check_state(algorithms: Sequence[Algorithm]) -> None:
    """Refuse, where checkpoints are written, an algorithm that holds what can change and does not save it.

    Attributes named as parameters of its constructor are settings. What changes all the same is found at the
    first checkpoint (`Seal`).
    """
    changing = (list, dict, set, bytearray, deque, np.ndarray, torch.Tensor, torch.nn.Module)
    changing += (torch.Generator, np.random.Generator, random.Random)
    for k, algorithm in enumerate(algorithms):
        if algorithm.STATELESS or _has_state(algorithm):
            continue
        settings = inspect.signature(type(algorithm)).parameters
        for name, value in vars(algorithm).items():
            if name not in settings and isinstance(value, changing):
                raise _keeps_to_itself(f"algorithms[{k}].{name}", type(algorithm).__qualname__)


def _keeps_to_itself(field: str, value: object) -> InputError:
    problem = "keeps state of its own that a checkpoint does not hold: a killed run would lose it"
    remedy = "give it state_dict and load_state_dict, or leave save_steps out"
    return InputError(field, value, problem, remedy)


def _parts(algorithms: Sequence[Algorithm]) -> dict[str, Any]:
    """Everything that may hold state, by the name it has in checkpoints and errors."""
    parts: dict[str, Any] = {}
    for k, algorithm in enumerate(algorithms):
        if isinstance(algorithm, Hooks):
            for hook in HOOKS:
                if getattr(algorithm, hook) is not None:
                    parts[f"plugs.{hook}"] = getattr(algorithm, hook)
        elif not algorithm.STATELESS:
            parts[f"algorithms[{k}]"] = algorithm
    return parts


def _has_state(part: Any) -> bool:
    if isinstance(part, Algorithm):
        return bool(overridden(part, "state_dict") and overridden(part, "load_state_dict"))
    return callable(getattr(part, "state_dict", None)) and callable(getattr(part, "load_state_dict", None))


# States on disk: JSON with the tensors beside it


def write_states(folder: Path, states: dict[str, dict], process: int) -> None:
    """Write what `state_dict` methods returned: ``algorithms-<process>.json`` and ``.safetensors``."""
    tensors: dict[str, torch.Tensor] = {}
    tree = _packed(states, "", tensors)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / f"{STATES}-{process}.safetensors")
    (folder / f"{STATES}-{process}.json").write_text(json.dumps(tree), encoding="utf-8")


def read_states(folder: Path, process: int) -> dict[str, dict]:
    """Return what `write_states` wrote; nothing where a run has no states."""
    path = folder / f"{STATES}-{process}.json"
    if not path.is_file():
        return {}
    tree = json.loads(path.read_text(encoding="utf-8"))
    return _unpacked(tree, load_file(path.with_suffix(".safetensors")))


def _packed(value: Any, path: str, tensors: dict[str, torch.Tensor]) -> Any:
    """A state as JSON: tensors by their name in the other file, tuples and keys that are no text marked."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    name = f"{len(tensors)}{path}"  # names of tensors may not collide where keys hold a slash
    if isinstance(value, torch.Tensor):
        # a copy: safetensors refuses tensors that share memory, as tied weights do
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"$tensor": name}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        tensors[name] = torch.from_numpy(np.array(value))
        return {"$array": name}
    if isinstance(value, list | tuple):
        items = [_packed(item, f"{path}/{k}", tensors) for k, item in enumerate(value)]
        return items if isinstance(value, list) else {"$tuple": items}
    if isinstance(value, dict) and all(isinstance(key, str) and not key.startswith("$") for key in value):
        return {key: _packed(item, f"{path}/{key}", tensors) for key, item in value.items()}
    if isinstance(value, dict):
        return {"$items": _packed([list(pair) for pair in value.items()], path, tensors)}
    remedy = "let state_dict return tensors, arrays, numbers, text, lists and names with values"
    raise InputError(path.strip("/"), type(value).__qualname__, "cannot be kept in a checkpoint", remedy)


def _unpacked(tree: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(tree, list):
        return [_unpacked(item, tensors) for item in tree]
    if not isinstance(tree, dict):
        return tree
    kind = next(iter(tree), "")
    if kind == "$tensor":
        return tensors[tree[kind]]
    if kind == "$array":
        return tensors[tree[kind]].numpy()
    if kind == "$tuple":
        return tuple(_unpacked(tree[kind], tensors))
    if kind == "$items":
        return {key: value for key, value in _unpacked(tree[kind], tensors)}
    return {key: _unpacked(item, tensors) for key, item in tree.items()}


# What may have changed


def fingerprints(parts: dict[str, Any]) -> dict[str, str]:
    """Return a hash of what every part without state methods holds."""
    return {name: content_hash(_held(part)) for name, part in parts.items() if not _has_state(part)}


def _held(value: Any, depth: int = 0) -> Any:
    """What a hook holds, as plain values that can be compared; models and trainers by their identity only."""
    if depth > DEEPEST or isinstance(value, torch.nn.Module | types.ModuleType | type):
        return id(value)
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return repr(value)
    if isinstance(value, np.ndarray):
        return value if value.dtype != object else id(value)
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().float().numpy() if value.is_floating_point() else value.tolist()
    if isinstance(value, torch.Generator):
        return value.get_state().tolist()
    if isinstance(value, random.Random):
        return repr(value.getstate())
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    deeper = functools.partial(_held, depth=depth + 1)
    if isinstance(value, dict):
        return [[deeper(key), deeper(item)] for key, item in value.items()]
    if isinstance(value, list | tuple | deque):
        return [deeper(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(repr(deeper(item)) for item in value)
    if isinstance(value, functools.partial):
        return [deeper(value.func), deeper(value.args), deeper(value.keywords)]
    if isinstance(value, types.MethodType):
        return deeper(value.__self__)
    if isinstance(value, types.FunctionType):
        return _of_function(value, deeper)
    if hasattr(value, "accelerator"):  # a trainer: its state is the checkpoint's
        return id(value)
    own = getattr(value, "__dict__", None)
    if own is None:
        if hasattr(value, "__iter__") and depth <= 2:  # a container of a library, such as a range
            return repr(value)
        return id(value)
    return [type(value).__qualname__, deeper(dict(own))]


def _of_function(value: types.FunctionType, deeper: Any) -> list[Any]:
    """What a function encloses, and those variables of its module that are numbers, texts or containers."""
    cells = []
    for cell in value.__closure__ or ():
        try:
            cells.append(deeper(cell.cell_contents))
        except ValueError:  # not filled yet
            cells.append(None)
    plain = (bool, int, float, str, list, dict, set)
    names = [name for name in value.__code__.co_names if isinstance(value.__globals__.get(name), plain)]
    return [cells, deeper(value.__defaults__), [[name, deeper(value.__globals__[name])] for name in names]]
