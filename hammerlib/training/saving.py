"""Checkpoints: none after the last optimizer step, each sealed, and what hooks keep to themselves in them."""

from __future__ import annotations

import dataclasses
import functools
import random
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate import PartialState
from transformers import TrainerCallback

from hammerlib.errors import InputError
from hammerlib.runs.storage import content_hash
from hammerlib.training.checkpoints import seal
from hammerlib.training.names import name_of

if TYPE_CHECKING:
    from hammerlib.training.seams import Plugs

STATES = "plugs.pt"  # in a checkpoint: what the state_dict of each hook returned
DEEPEST = 6  # levels of containers and objects that are looked into for changes


class NoLastCheckpoint(TrainerCallback):
    """Keeps transformers from a checkpoint at the last step, from which it would train one step more.

    transformers 5.23 saves at ``max_steps`` whatever ``save_steps`` says, and after resuming there takes
    another step before it looks at ``max_steps`` again. The trained model is written right after; a run
    killed in between repeats the steps since the checkpoint before.

    Examples
    --------
    >>> from transformers import TrainerControl, TrainerState
    >>> control = TrainerControl(should_save=True)
    >>> NoLastCheckpoint().on_step_end(None, TrainerState(global_step=5, max_steps=5), control)
    >>> control.should_save
    False
    """

    def on_step_end(self, args: object, state: Any, control: Any, **kwargs: object) -> None:
        """Take back the request to save at the last step."""
        if state.global_step >= state.max_steps:
            control.should_save = False


class Seal(TrainerCallback):
    """Seals every checkpoint when all processes have written theirs; without its seal none is resumed from.

    Parameters
    ----------
    plugs : Plugs
        Of the user. One with ``state_dict`` and ``load_state_dict`` (tensors and plain values) is kept in the
        checkpoint; one that has changed since training began, and has no such methods, is refused.

    Raises
    ------
    InputError
        At the first checkpoint: a hook keeps state of its own, which a resumed run would lack.

    Examples
    --------
    >>> from hammerlib.training.seams import Plugs
    >>> Seal(Plugs()).plugs.loss is None
    True
    """

    def __init__(self, plugs: Plugs) -> None:
        self.plugs = plugs
        self.before: dict[str, str] = {}

    def on_train_begin(self, args: object, state: object, control: object, **kwargs: object) -> None:
        """Remember what the hooks hold now."""
        self.before = _prints(self.plugs)

    def on_save(self, args: Any, state: Any, control: object, **kwargs: object) -> None:
        """Keep the hooks' states and seal the checkpoint that was just written."""
        now = _prints(self.plugs)
        for seam, plug in _hooks(self.plugs):
            if not _keeps_state(plug) and now[seam] != self.before.get(seam, now[seam]):
                problem = "keeps state of its own that a checkpoint does not hold: a killed run would lose it"
                remedy = "give it state_dict and load_state_dict, or leave save_steps out"
                raise InputError(f"plugs.{seam}", name_of(plug), problem, remedy)
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            path = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            states = {seam: plug.state_dict() for seam, plug in _hooks(self.plugs) if _keeps_state(plug)}
            if states:
                torch.save(states, path / STATES)
            seal(path)
        PartialState().wait_for_everyone()


def restore(plugs: Plugs, checkpoint: Path | None) -> None:
    """Give the hooks back what a checkpoint holds of them.

    Examples
    --------
    >>> from hammerlib.training.seams import Plugs
    >>> restore(Plugs(), None)
    """
    if checkpoint is None or not (checkpoint / STATES).is_file():
        return
    states = torch.load(checkpoint / STATES, weights_only=True)
    for seam, plug in _hooks(plugs):
        if seam in states:
            plug.load_state_dict(states[seam])


def _hooks(plugs: Plugs) -> list[tuple[str, Any]]:
    found = [(one.name, getattr(plugs, one.name)) for one in dataclasses.fields(plugs)]
    return [(name, plug) for name, plug in found if plug is not None]


def _keeps_state(plug: Any) -> bool:
    return callable(getattr(plug, "state_dict", None)) and callable(getattr(plug, "load_state_dict", None))


def _prints(plugs: Plugs) -> dict[str, str]:
    return {seam: content_hash(_held(plug)) for seam, plug in _hooks(plugs) if not _keeps_state(plug)}


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
        return [[deeper(key), deeper(one)] for key, one in value.items()]
    if isinstance(value, list | tuple):
        return [deeper(one) for one in value]
    if isinstance(value, set | frozenset):
        return sorted(repr(deeper(one)) for one in value)
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
        return id(value) if not hasattr(value, "__iter__") or depth > 2 else repr(value)
    # A container of a class of its own (Counter, deque) holds its items beside its attributes.
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
