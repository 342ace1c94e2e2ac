"""What a study compares, read from a YAML file: arms times replicates, a trial each."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, JsonValue

from hammerlib.errors import InputError, check_fields, unknown
from hammerlib.ordering.controls import COURSES
from hammerlib.ordering.strategies import DERIVED, check_order_options, check_strategy
from hammerlib.runs.reading import read_with_settings, read_yaml
from hammerlib.runs.storage import content_hash
from hammerlib.study import PROTOCOL
from hammerlib.study.algorithms import bonus_of

if TYPE_CHECKING:
    from hammerlib.runs.trials import Guess
    from hammerlib.training import TrainConfig
    from hammerlib.training.machines import Device, Shape

Count = Annotated[int, Field(ge=1)]
# Names become folders and files of records.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$")]
Text = Annotated[str, Field(min_length=1)]
MOST = 10_000  # replicates
BY_EASE = ("easy-to-hard", "hard-to-easy")
# Orders whose objective is the same forwards and backwards.
UNDIRECTED = ("min-path", "batch-diverse")


@dataclass(frozen=True)
class OrderSettings:
    """How an arm orders its problems; anything unknown is refused before a vector is computed."""

    # A strategy of `order_by`. `DERIVED` ones are made of the order that the option `of` names (default
    # hammer), which gets the options that are not their own.
    order: str = "random"
    # Of the strategy, with `centre`. Also, for any order, one of `cooldown: 0.2` (that share of the problems
    # is drawn beforehand and comes last at random; the head is whole steps) and `inside: [0.2, 0.8]` (only
    # problems whose pass rate lies there, ends included, are put in the order; the others follow at random).
    options: dict[str, JsonValue] = field(default_factory=dict)
    vectors: Literal["backbone", "untrained", "tfidf"] = "backbone"  # see `orders.order_vectors`
    # Either: the seed decides whether the order is trained forwards or backwards.
    direction: Literal["forward", "either"] = "forward"
    window: Annotated[int, Field(ge=1)] = 8  # prompts a step, where the options leave it out

    def __post_init__(self) -> None:
        check_fields(OrderSettings, vars(self), "order")
        check_strategy("order", self.order)
        around = ("centre", "cooldown", "inside")
        check_order_options(self.order, self.options, always=around)
        if self.direction == "either" and self.order not in UNDIRECTED:
            remedy = f"leave it out; only {' and '.join(UNDIRECTED)} read the same both ways"
            raise InputError("direction", "either", f"would make {self.order!r} another order", remedy)
        inside = self.options.get("inside")
        if inside is not None and self.options.get("cooldown") is not None:
            both = ["cooldown", "inside"]
            raise InputError("options", both, "both say what comes last", "give one of them")
        if inside is not None:
            check_interval("inside", inside)

    @property
    def needs_pass_rates(self) -> bool:
        """Whether the initial checkpoint has to be sampled before there is an order."""
        names = {self.order}
        if self.order in DERIVED:
            names.add(self.options.get("of", "hammer"))
        matched = "matched" in names and self.options.get("by", COURSES[0]) == COURSES[0]
        return matched or "inside" in self.options or not names.isdisjoint(BY_EASE)


def check_interval(field: str, interval: Any) -> tuple[float, float]:
    """Return the two ends of an interval of pass rates, or refuse it."""
    ends = list(interval) if isinstance(interval, list | tuple) else []
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends)
    if len(ends) != 2 or not numbers or not 0 <= ends[0] <= ends[1] <= 1:
        raise InputError(field, interval, "are no two pass rates, low and high", "use [0.2, 0.8]")
    return float(ends[0]), float(ends[1])


@contextlib.contextmanager
def _inside(place: str) -> Iterator[None]:
    """Say of an error inside the block where in the study's file its value stands."""
    try:
        yield
    except InputError as error:
        field = place if error.field == "config" else f"{place}.{error.field}"
        raise InputError(field, error.value, error.problem, error.remedy) from error


@dataclass(frozen=True)
class ArmSettings:
    """What an arm may say beside the fields of TrainConfig; spelt as in the files and records."""

    # As in `OrderSettings`.
    order: Text = "random"
    order_options: dict[str, JsonValue] = field(default_factory=dict)
    vectors: Literal["backbone", "untrained", "tfidf"] = "backbone"
    direction: Literal["forward", "either"] = "forward"
    bonus: dict[str, JsonValue] | None = None  # see `algorithms.bonus_of`
    window: JsonValue = None  # see `orders.learnable_window`
    twin: Text = "random"  # its control arm
    replicates: Count = 1  # where an arm gets fewer of them


ARM_KEYS = tuple(ArmSettings.__dataclass_fields__)
# Fields of TrainConfig that belong to the replicate, so that all its arms share them.
FRESH = ("backbone", "problems", "split", "columns", "n_problems", "seed", "save_steps", "completions_every")


@dataclass(frozen=True)
class Study:
    """A grid of arms and replicates, as a file of ``configs/study`` states it."""

    study: Name  # its records stand in a folder of this name
    # In each of them initial checkpoint, problems, order and sampling are fresh, and all arms share them.
    replicates: Annotated[int, Field(ge=1, le=MOST)]
    # {seeds: [...], stops: [...]} of the nano recipe, with other of its fields where wished (width, layers,
    # ...) and `syntheses` (share of the examples that teach to rewrite a problem, see
    # `systems.svs.with_syntheses`), or {backbone: name}; with smollm2-135m-warm also seeds of its warm-up.
    starts: dict[str, JsonValue]
    # Fields of TrainConfig that differ from `base`, and those of `ArmSettings`.
    arms: Annotated[dict[Name, dict[str, JsonValue]], Field(min_length=1)]
    base: dict[str, JsonValue] = field(default_factory=dict)  # fields of TrainConfig common to all arms
    problems: Text = "reasoning-gym:nano"  # source of RL and held-out problems
    split: Text | None = "rl"
    held_out: Text | None = None  # another source of held-out problems
    held_out_split: Text | None = "heldout"
    columns: dict[str, str] | None = None  # of sources whose layout is not known, as for `load_problems`
    unseen: list[Text] = field(default_factory=list)  # topics left out of training and evaluated apart
    n_problems: Count = 600
    n_held_out: Count = 320
    samples: Count = 4  # of a held-out problem at every point of the curve
    points: Count = 10  # after the start, evenly spaced in rollouts, or in sampled tokens with a token_budget
    final_samples: Count = 8  # at the last point
    # At the end also: as many samples at other temperatures than 1, and so many of each training problem.
    final_temperatures: list[Annotated[float, Field(gt=0)]] | None = None
    trained_samples: Count | None = None
    # Topic to its share of the training problems, of all topics; held-out problems are of all topics alike.
    shares: Annotated[dict[Text, Annotated[float, Field(gt=0)]], Field(min_length=2)] | None = None
    # Number of the first replicate. Replicates of other numbers have other problems, held-out problems and
    # samples (the supervised starts come back), so that a pilot is no part of the study it plans.
    first: Annotated[int, Field(ge=0)] = 0
    # What the study asks: its page begins with it, a picture of the primary contrasts and what was found.
    question: Text | None = None
    protocol: Text = "PROTOCOL.md"  # file in results/ with plan and analysis, written before the first trial
    judged_from: Count | None = None  # whole replicates below which nobody looks: the study has no page
    # What an arm is, in words, for the page. Like the three before it no part of any trial's settings, as is
    # the largest standard deviation that sampling may add to a paired difference of areas (see
    # `evaluation_noise`).
    words: dict[str, str] = field(default_factory=dict)
    evaluation_noise: Annotated[float, Field(gt=0)] | None = None
    # So many held-out problems are answered by the initial checkpoint, once, and every point of the curve
    # gets the policy's mean token entropy over these answers: the same places in all arms, without noise of
    # sampling.
    probe: Count | None = None
    # Contrasts (arm, control arm) that Holm's correction is over, and the endpoint that they are judged by;
    # default those of the protocol. No part of any trial's settings; they stand in every record.
    primaries: list[Annotated[list[Name], Field(min_length=2, max_length=2)]] | None = None
    primary_endpoint: Literal[*PROTOCOL["endpoints"]] = PROTOCOL["primary_endpoint"]

    def validate(self) -> Study:
        """Return itself; InputError for a wrong type or range, an arm that cannot run, an unknown control."""
        check_fields(Study, vars(self), "study")
        self._check_noise()
        self._check_starts()
        self._check_config(self.base, "base")
        for name, arm in self.arms.items():
            self._check_arm(name, arm)
        for pair in self.primaries or []:
            for arm in pair:
                if arm not in self.arms:
                    raise unknown("primaries", arm, self.arms, "is not an arm")
        if self.probe is not None and self.probe > self.n_held_out:
            problem = f"is above the {self.n_held_out} held-out problems"
            raise InputError("probe", self.probe, problem, "use as many or fewer")
        for endpoint, name, remedy in (
            ("probe_entropy", "a probe", "set probe: 128"),
            ("gap", "trained_samples", "set trained_samples: 8"),
            ("macro", "shares", "set shares, or use auc"),
            ("worst", "shares", "set shares, or use auc"),
        ):
            if self.primary_endpoint == endpoint and getattr(self, name.split()[-1]) is None:
                raise InputError("primary_endpoint", endpoint, f"is not measured without {name}", remedy)
        if 1 in (self.final_temperatures or []):
            problem = "names 1, at which every study samples"
            raise InputError("final_temperatures", self.final_temperatures, problem, "leave it out")
        if self.shares and self.unseen:
            raise InputError("unseen", self.unseen, "leaves out topics that shares count", "use one of them")
        strange = sorted(set(self.words) - set(self.arms))
        if strange:
            raise InputError("words", strange, "are no arms", f"use some of {', '.join(self.arms)}")
        return self

    def _check_noise(self) -> None:
        allowed = self.evaluation_noise
        if allowed is None:
            return
        noise = evaluation_noise(self.n_held_out, self.samples, self.points)
        if noise > allowed:
            needed = held_out_needed(allowed, samples=self.samples, points=self.points)
            problem = f"is less than the {noise:.4f} of {self.n_held_out} problems x {self.samples} samples"
            remedy = f"use n_held_out: {needed}, or fewer samples of more problems"
            raise InputError("evaluation_noise", allowed, problem, remedy)

    def _check_starts(self) -> None:
        from hammerlib.models.nano.recipe import Recipe

        given = dict(self.starts)
        if "backbone" in given:
            check_fields(_Backbone, given, "starts", inside="starts")
            self._check_seeds(given.get("seeds"), "seeds")
            if "seeds" in given and given["backbone"] != "smollm2-135m-warm":
                problem = f"are no part of {given['backbone']!r}, which is one model"
                remedy = "leave seeds out, or use smollm2-135m-warm, whose warm-up has a seed"
                raise InputError("starts.seeds", given["seeds"], problem, remedy)
            return
        if not {"seeds", "stops"} <= set(given):
            remedy = "give seeds and stops of the nano recipe, or one backbone"
            raise InputError("starts", self.starts, "names no start", remedy)
        drawn = {name: given.pop(name) for name in ("seeds", "stops", "syntheses") if name in given}
        check_fields(_Snapshots, drawn, "starts", inside="starts")
        for name in ("seeds", "stops"):
            self._check_seeds(drawn[name], name)
        for name in sorted({"seed", "steps"} & set(given)):
            raise InputError(f"starts.{name}", given[name], "is said by seeds and stops", "leave it out")
        check_fields(Recipe, given, "starts", inside="starts")
        width = given.get("width", Recipe.width)
        heads = given.get("heads", Recipe.heads)
        # rotary positions turn pairs of a head's numbers: each head needs an even share
        if width % heads or width // heads % 2:
            problem = f"is no even share of width {width} for each head"
            raise InputError("starts.heads", heads, problem, "choose a divisor of half the width")

    @staticmethod
    def _check_seeds(values: Any, name: str) -> None:
        if values is not None and len(set(values)) < len(values):
            problem = "holds a start twice, which would count as two"
            raise InputError(f"starts.{name}", values, problem, "name it once")

    def _check_config(self, fields: dict[str, Any], place: str) -> None:
        """Refuse fields of TrainConfig that cannot be trained, by their place in the file."""
        for name in sorted(set(FRESH) & set(fields)):
            remedy = "leave it out of base and arms"
            raise InputError(f"{place}.{name}", fields[name], "belongs to the replicate", remedy)
        with _inside(place):
            self._config(fields)

    def _check_arm(self, name: str, arm: dict[str, Any]) -> None:
        place = f"arms.{name}"
        check_fields(ArmSettings, {key: arm[key] for key in arm if key in ARM_KEYS}, "arms", inside=place)
        control = arm.get("twin", "random")
        if control not in self.arms:
            raise unknown(f"{place}.twin", control, self.arms, "is not an arm")
        self._check_config(self._train_fields(arm), place)
        with _inside(place):
            self.order(name)
            bonus_of(arm.get("bonus"), 0)
            if "window" in arm:
                check_interval("window", arm["window"])
        most = self.arms[control].get("replicates", self.replicates)
        if arm.get("replicates", 1) > self.replicates or arm.get("replicates", most) > most:
            remedy = f"use 1 to {most}, as many as its twin has"
            raise InputError(f"{place}.replicates", arm.get("replicates"), "do not fit", remedy)

    def order(self, arm: str) -> OrderSettings:
        """Return how an arm orders its problems."""
        arm_settings = self.arms[arm]
        given = {key: arm_settings[key] for key in ("order", "vectors", "direction") if key in arm_settings}
        if "order_options" in arm_settings:
            given["options"] = arm_settings["order_options"]
        return OrderSettings(window=self.config(arm).prompts_per_step, **given)

    def config(self, arm: str) -> TrainConfig:
        """Return what an arm trains with, but for what its replicate decides."""
        return self._config(self._train_fields(self.arms[arm]))

    @staticmethod
    def _train_fields(arm: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in arm.items() if key not in ARM_KEYS}

    def _config(self, fields: dict[str, Any]) -> TrainConfig:
        from hammerlib.training import TrainConfig

        usual = {"problems": self.problems, "n_problems": self.n_problems}
        usual |= {"tail": "report", "order": "random"}
        return TrainConfig.from_dict(usual | self.base | fields)


@dataclass(frozen=True)
class _Backbone:
    """Starts that are one model, or the warm-ups of one with several seeds."""

    backbone: Text
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = None


@dataclass(frozen=True)
class _Snapshots:
    """Starts that are snapshots of the nano recipe."""

    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    stops: Annotated[list[Count], Field(min_length=1)]
    syntheses: Annotated[float, Field(gt=0, lt=1)] = 0.1


@dataclass(frozen=True)
class Trial:
    """One arm in one replicate."""

    study: Study
    arm: str
    replicate: int

    @property
    def name(self) -> str:
        """File name of its record, without the ending."""
        return f"{self.arm}__r{self.replicate:02d}"

    @property
    def control(self) -> str:
        """The arm it is compared with; ``twin`` in files and records."""
        return self.study.arms[self.arm].get("twin", "random")

    twin = control  # old spelling, one release

    def setting(self, key: str, default: Any = None) -> Any:
        """Return what the arm says beside TrainConfig's fields."""
        return self.study.arms[self.arm].get(key, default)

    def settings(self) -> dict[str, Any]:
        """Return everything that decides the trial's result, as plain JSON values."""
        others = ("study", "replicates", "first", "arms", "base", "words", "evaluation_noise")
        others += ("primaries", "primary_endpoint", "question", "protocol", "judged_from")
        settings = {key: value for key, value in dataclasses.asdict(self.study).items() if key not in others}
        # As it was before these fields existed: finished trials keep their names.
        for key in ("held_out", "columns", "probe", "final_temperatures", "trained_samples", "shares"):
            if settings[key] is None:
                del settings[key]
        settings["replicate"] = self.replicate
        settings["train"] = self.study.config(self.arm).identity()
        settings["order"] = dataclasses.asdict(self.study.order(self.arm))
        for key in ("bonus", "window"):
            if self.setting(key) is not None:
                settings[key] = self.setting(key)
        return settings

    @property
    def identity(self) -> str:
        """Twelve hexadecimal digits of the settings."""
        return content_hash(self.settings())[:12]


def trials(study: Study) -> list[Trial]:
    """Return all trials, replicate by replicate, so that a study cut short is balanced."""
    return [
        Trial(study, arm, study.first + number)
        for number in range(study.replicates)
        for arm, settings in study.arms.items()
        if number < settings.get("replicates", study.replicates)
    ]


def expected_seconds(trial: Trial, devices: Sequence[Device] | None = None) -> Guess | None:
    """Return how long a trial takes if all completions have full length; None where nothing is known.

    Its training and its curve, on this machine or on one of `devices` (`hammerlib.training.machines`).
    """
    from hammerlib.training.machines import expected
    from hammerlib.training.schedule import plan

    study = trial.study
    config = study.config(trial.arm)
    shape = _shape(str(study.starts.get("backbone", "nano")).removesuffix("-warm"))
    if shape is None:
        return None
    if "backbone" not in study.starts:
        from hammerlib.models.nano.recipe import Recipe

        size = _block_parameters(vars(Recipe()) | study.starts) / _block_parameters(vars(Recipe()))
        shape = shape._replace(parameters=shape.parameters * size)
    answers = ((study.points + 1) * study.samples + study.final_samples) * study.n_held_out
    return expected(config, plan(config, study.n_problems), shape, devices, answers=answers)


@functools.cache
def _shape(model: str) -> Shape | None:
    """A model's shape: of the table, of a folder, or what a hub name such as ``Qwen2.5-1.5B`` says."""
    from hammerlib.models.backbone import outline_backbone
    from hammerlib.training.machines import TABLE, Shape, shape_of

    for row in read_yaml(TABLE, field="machines"):
        if row["model"] == model:
            return Shape(row["parameters"])
    if Path(model).is_dir():
        return shape_of(outline_backbone(model).model)
    # a plan of a study needs no network
    size = re.search(r"(\d+(?:\.\d+)?)([bm])\b", model, re.IGNORECASE)
    return Shape(float(size[1]) * {"b": 1e9, "m": 1e6}[size[2].lower()], named=True) if size else None


def _block_parameters(shape: dict[str, Any]) -> int:
    """Parameters of a nano model's blocks: four square matrices of attention and three to the inner size."""
    width = shape["width"]
    return shape["layers"] * width * (4 * width + 3 * shape["inner"])


def evaluation_noise(problems: int, samples: int, points: int) -> float:
    """Return the standard deviation that sampling adds to a difference of two arms' areas under the curve."""
    # Both arms answer the same problems, so that what makes these hard drops out. What is left of a point is
    # the variance of a share, p (1 - p) / (samples problems), with at most 1/4 for p (1 - p). The area weighs
    # the points by the trapezoidal rule; the first one is the same model with the same random numbers.
    weights = (points - 1) / points**2 + 1 / (4 * points**2)  # squared: 1 / P inside, 1 / 2P at the end
    return float((2 * weights * 0.25 / (problems * samples)) ** 0.5)


def held_out_needed(noise: float, *, samples: int = 1, points: int = 10) -> int:
    """Return the fewest held-out problems whose examinations add no more than this deviation."""
    # The variance is one over the number of problems. Only problems times samples counts here; how an effect
    # differs between problems averages out over problems alone, so that one sample of each of many is better.
    return math.ceil(evaluation_noise(1, samples, points) ** 2 / noise**2 * (1 - 1e-12))


# Old spellings, one release.
Cell = Trial
cells = trials


def read_study(path: str | Path, settings: Sequence[str] = ()) -> Study:
    """Read and validate ``configs/study/NAME.yaml`` with ``name=value`` settings on top of it."""
    values = read_with_settings(path, settings, field="study")
    check_fields(Study, values, "study")
    return Study(**values).validate()
