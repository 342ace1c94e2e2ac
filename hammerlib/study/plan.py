"""What a study compares, read from a YAML file: arms times replicates, a cell each."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hammerlib.errors import InputError
from hammerlib.storage import content_hash
from hammerlib.study.bonuses import plugs_of
from hammerlib.study.settings import OrderSettings, check_interval
from hammerlib.training.checks import check_range
from hammerlib.yamls import read_yaml

if TYPE_CHECKING:
    from hammerlib.training import TrainConfig

# What an arm may say beside the fields of TrainConfig.
ARM_KEYS = ("order", "order_options", "vectors", "direction", "bonus", "window", "twin", "replicates")
# Fields of TrainConfig that belong to the replicate, so that all its arms share them.
FRESH = ("backbone", "problems", "split", "n_problems", "seed", "save_steps", "completions_every")


@dataclass(frozen=True)
class Study:
    """A grid of arms and replicates.

    Parameters
    ----------
    study : str
        Name; its records stand in a folder of this name.
    replicates : int
        In each of them start, problems, order and sampling are fresh, and all arms share them.
    starts : dict
        ``{"seeds": [...], "stops": [...]}`` of the nano recipe, with other of its fields where wished
        (``width``, ``layers``, ...), or ``{"backbone": name}``.
    arms : dict of str to dict
        Fields of TrainConfig that differ from `base`; ``order``, ``order_options``, ``vectors`` and
        ``direction`` as in `hammerlib.study.settings.OrderSettings`; ``bonus`` and ``window``, see
        `hammerlib.study.bonuses` and `hammerlib.study.window`; ``twin`` (the arm it is compared with,
        default ``random``); and ``replicates`` where an arm gets fewer of them.
    base : dict
        Fields of TrainConfig common to all arms.
    problems : str
        Source of RL and held-out problems.
    held_out : str or None
        Another source of held-out problems; None: the same one.
    split, held_out_split : str or None
        Parts of the sources.
    unseen : list of str
        Topics left out of training and evaluated apart.
    n_problems, n_held_out : int
        RL problems and held-out problems of a replicate.
    samples, points, final_samples : int
        Samples a held-out problem at every point of the curve; points after the start, evenly spaced in
        rollouts; samples at the last one.
    words : dict of str to str
        What an arm is, in words, for the study's page; no part of any cell's settings.
    first : int
        Number of the first replicate; replicates of other numbers have other problems, held-out problems and
        samples (the supervised starts come back), so that a pilot is no part of the study it plans.

    Examples
    --------
    >>> Study("s", 2, {"backbone": "nano"}, {"random": {}}).validate().points
    10
    """

    study: str
    replicates: int
    starts: dict[str, Any]
    arms: dict[str, dict[str, Any]]
    base: dict[str, Any] = field(default_factory=dict)
    problems: str = "reasoning-gym:nano"
    split: str | None = "rl"
    held_out: str | None = None
    held_out_split: str | None = "heldout"
    unseen: list[str] = field(default_factory=list)
    n_problems: int = 600
    n_held_out: int = 320
    samples: int = 4
    points: int = 10
    final_samples: int = 8
    first: int = 0
    words: dict[str, str] = field(default_factory=dict)

    def validate(self) -> Study:
        """Return itself; InputError for a value out of range, an arm that cannot run or an unknown twin."""
        for name in ("replicates", "n_problems", "n_held_out", "samples", "points", "final_samples"):
            check_range(name, getattr(self, name), 1, True)
        if not self.arms:
            raise InputError("arms", {}, "is empty", "name at least one arm")
        if set(self.starts) != {"backbone"} and not {"seeds", "stops"} <= set(self.starts):
            remedy = "give seeds and stops of the nano recipe, or one backbone"
            raise InputError("starts", self.starts, "names no start", remedy)
        for name, arm in self.arms.items():
            self._check_arm(name, arm)
        strange = sorted(set(self.words) - set(self.arms))
        if strange:
            raise InputError("words", strange, "are no arms", f"use some of {', '.join(self.arms)}")
        return self

    def _check_arm(self, name: str, arm: dict[str, Any]) -> None:
        taken = sorted(set(FRESH) & {*arm, *self.base})
        if taken:
            raise InputError(f"arms.{name}", taken, "belong to the replicate", "leave them out of the arms")
        twin = arm.get("twin", "random")
        if twin not in self.arms:
            raise InputError(f"arms.{name}.twin", twin, "is not an arm", f"use one of {', '.join(self.arms)}")
        self.config(name)
        self.order(name)
        plugs_of(arm.get("bonus"), 0)
        most = self.arms[twin].get("replicates", self.replicates)
        if not 1 <= arm.get("replicates", 1) <= self.replicates or arm.get("replicates", most) > most:
            remedy = f"use 1 to {most}, as many as its twin has"
            raise InputError(f"arms.{name}.replicates", arm.get("replicates"), "do not fit", remedy)
        if "window" in arm:
            check_interval(f"arms.{name}.window", arm["window"])

    def order(self, arm: str) -> OrderSettings:
        """Return how an arm orders its problems."""
        said, window = self.arms[arm], self.config(arm).prompts_per_step
        named = {"order": "order", "order_options": "options", "vectors": "vectors", "direction": "direction"}
        given = {named[key]: value for key, value in said.items() if key in named}
        return OrderSettings(window=window, **given)

    def config(self, arm: str) -> TrainConfig:
        """Return what an arm trains with, but for what its replicate decides."""
        from hammerlib.training import TrainConfig

        fields = {key: value for key, value in self.arms[arm].items() if key not in ARM_KEYS}
        return TrainConfig.from_dict(
            {"problems": self.problems, "n_problems": self.n_problems, "tail": "report", "order": "random"}
            | self.base
            | fields
        )


@dataclass(frozen=True)
class Cell:
    """One arm in one replicate.

    Parameters
    ----------
    study : Study
    arm : str
    replicate : int
        From 0.

    Examples
    --------
    >>> Cell(Study("s", 2, {"backbone": "nano"}, {"random": {}}), "random", 1).name
    'random__r01'
    """

    study: Study
    arm: str
    replicate: int

    @property
    def name(self) -> str:
        """File name of its record, without the ending."""
        return f"{self.arm}__r{self.replicate:02d}"

    @property
    def twin(self) -> str:
        """The arm it is compared with."""
        return self.study.arms[self.arm].get("twin", "random")

    def setting(self, key: str, default: Any = None) -> Any:
        """Return what the arm says beside TrainConfig's fields."""
        return self.study.arms[self.arm].get(key, default)

    def settings(self) -> dict[str, Any]:
        """Return everything that decides the cell's result, as plain JSON values."""
        shared = {name: value for name, value in dataclasses.asdict(self.study).items()
                  if name not in ("study", "replicates", "first", "arms", "base", "words")}  # fmt: skip
        if shared["held_out"] is None:  # as it was before the field existed: finished cells keep their names
            del shared["held_out"]
        order = dataclasses.asdict(self.study.order(self.arm))
        arm = {key: self.setting(key) for key in ("bonus", "window") if self.setting(key) is not None}
        train = self.study.config(self.arm).identity()
        return shared | {"replicate": self.replicate, "train": train, "order": order, **arm}

    @property
    def identity(self) -> str:
        """Twelve hexadecimal digits of the settings."""
        return content_hash(self.settings())[:12]


def cells(study: Study) -> list[Cell]:
    """Return all cells, replicate by replicate, so that a study cut short is balanced.

    Examples
    --------
    >>> [cell.name for cell in cells(Study("s", 2, {"backbone": "nano"}, {"random": {}}))]
    ['random__r00', 'random__r01']
    """
    counts = {arm: said.get("replicates", study.replicates) for arm, said in study.arms.items()}
    return [
        Cell(study, arm, study.first + number)
        for number in range(study.replicates)
        for arm in study.arms
        if number < counts[arm]
    ]


def read_study(path: str | Path) -> Study:
    """Read a study from its YAML file.

    Parameters
    ----------
    path : str or Path
        ``configs/study/NAME.yaml``.

    Returns
    -------
    Study
        Validated.

    Raises
    ------
    InputError
        The file cannot be read, names something unknown, lacks something, or holds an arm that cannot run.

    Examples
    --------
    >>> read_study("nowhere.yaml")
    Traceback (most recent call last):
    ...
    hammerlib.errors.InputError: study = 'nowhere.yaml': cannot be read (...); give a YAML file
    """
    values = read_yaml(path, field="study")
    known = {one.name for one in dataclasses.fields(Study)}
    needed = {"study", "replicates", "starts", "arms"}
    found = set(values) if isinstance(values, dict) else set()
    if not needed <= found or not found <= known:
        odd = sorted(found - known) or sorted(needed - found)
        problem = "are not parameters of a study" if found - known else "are missing"
        raise InputError("study", odd, problem, f"known: {', '.join(sorted(known))}")
    return Study(**values).validate()
