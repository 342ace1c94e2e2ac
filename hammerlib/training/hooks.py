"""The one door to the trainer: `Algorithm`, what it is handed, how several compose, and their names.

An algorithm is named in the configuration (``algorithms: [{name: cure, n1: 4}]``, or with a class of one's
own, ``{name: my_package.my_module:Class}``) or handed over from Python as an object.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.metadata
import inspect
import operator
import types
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hammerlib.advantages import EXCLUDED
from hammerlib.errors import InputError, check_fields, import_object, unknown
from hammerlib.runs.storage import content_hash

if TYPE_CHECKING:
    import torch

    from hammerlib.grading import Verdict
    from hammerlib.rewards import Reward
    from hammerlib.training.config import TrainConfig
    from hammerlib.training.trainer import PolicyTrainer

UNTRAINED = EXCLUDED  # old spelling, one release

# Name in a configuration -> "module:Class", imported when a configuration asks for it. Packages add theirs as
# entry points of the group below.
REGISTRY: dict[str, str] = {
    "distinct-answers": "hammerlib.study.algorithms:DistinctAnswers",
    "permuted-rewards": "hammerlib.study.algorithms:PermutedRewards",
    "chord": "hammerlib.systems.chord.algorithm:Chord",
    "ettrl": "hammerlib.systems.ttrl.algorithm:EntropyReshape",
    "learnable": "hammerlib.systems.hard_examples.algorithm:LearnableShare",
    "rloo": "hammerlib.systems.uncalibrated.algorithm:LeaveOneOut",
    "ttrl": "hammerlib.systems.ttrl.algorithm:VoteThenSample",
}
ENTRY_POINTS = "hammerlib.algorithms"

HOOKS = ("rollout", "advantage", "loss", "observe")


class Algorithm:
    """What a system adds to GRPO; a subclass overrides the methods it needs, all others stay as they are.

    Notes
    -----
    Source: ours, in the manner of prime-rl's ``algo``; the hooks are TRL 1.16's ``rollout_func``,
    ``_generate_and_score_completions`` and ``_compute_loss`` (see `hammerlib.training.trainer`). A subclass
    with settings should be a dataclass: its fields then name the run. One that is a transformers
    ``TrainerCallback`` as well is called as such.

    Examples
    --------
    >>> from hammerlib.training.hooks import compose
    >>> class Longest(Algorithm):
    ...     METRICS = {"longest": "tokens of the longest completion"}
    ...     def observe(self, rollout):
    ...         return {"longest": max(map(len, rollout.completion_ids))}
    >>> compose([Longest()]).loss is None
    True
    """

    METRICS: ClassVar[dict[str, str]] = {}  # name in metrics.csv -> meaning, unit

    def check(self, config: TrainConfig) -> None:
        """Refuse, with an InputError, a configuration that this algorithm cannot train with."""

    def rewards(self, functions: list[Reward], config: TrainConfig) -> list[Reward]:
        """Return the reward functions to train with in place of the configuration's."""
        return functions

    def rollout(self, rows: list[dict[str, Any]], trainer: PolicyTrainer) -> Generation:
        """Generate for the n problem rows of this process's generation batch, G in a row per problem.

        `hammerlib.training.generation.generate` samples from the policy, also on from forced prefixes.
        """
        raise NotImplementedError

    def advantage(self, rollout: Rollout) -> torch.Tensor:
        """Return the advantages, (n,) or (n, T) with T at least the tokens of the longest completion.

        ``rollout.advantages`` holds those so far: TRL's, or of the algorithm named before.
        """
        raise NotImplementedError

    def loss(self, trainer: PolicyTrainer, model: Any, inputs: dict, default: Callable) -> torch.Tensor:
        """Return the loss of a micro-batch; ``default()`` is TRL's, or of the algorithm named before.

        It is already divided by ``trainer.current_gradient_accumulation_steps``, as an added term must be.
        """
        raise NotImplementedError

    def observe(self, rollout: Rollout) -> dict[str, float]:
        """Return values for ``metrics.csv`` and the trackers; the same names on every process."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs: tensors, arrays and JSON values; it goes into every checkpoint."""
        raise NotImplementedError

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned, before the next step."""
        raise NotImplementedError


class GivenRewards(Algorithm):
    """Reward functions handed over from Python, in place of those that the configuration names."""

    def __init__(self, functions: Sequence[Reward]) -> None:
        for function in functions:
            if not callable(function):
                remedy = "give functions with TRL's signature of rewards"
                raise InputError("rewards", function, "is no function", remedy)
        self.functions = tuple(functions)
        self.names = tuple(name_of(function) for function in functions)  # name the run

    def rewards(self, functions: list[Reward], config: TrainConfig) -> list[Reward]:
        """Return the functions that were handed over."""
        return list(self.functions)


@dataclass
class Generation:
    """What a rollout hands to the trainer: m completions, each with its problem row and its group.

    Parameters
    ----------
    rows : list of dict, length m
        The problem row of every completion; its columns reach the reward functions, so that a rollout may
        hand over other problems, or other answers, than it was given. All with the same columns.
    prompt_ids, completion_ids : lists of m non-empty token id lists
    logprobs : lists of float or None as long as the completions, optional
        Of the sampled tokens, where the engine reports them (vLLM); None for a token that was not sampled.
    mask : lists of 0 and 1 as long as the completions, optional
        1 = token is trained, 0 = only context, such as a forced prefix. None: all are trained.
    groups : (m,) int array, optional
        Completions of one group are compared with each other, whatever its size; a group lies on one process.
        -1 (`EXCLUDED`): recorded, not trained. None: G rows in a row are a group, as TRL has them.

    Raises
    ------
    InputError
        Lists of different lengths, an empty prompt or completion, rows with different columns.

    Notes
    -----
    Source: ours, over TRL 1.16's ``rollout_func``, which cannot change rows or group sizes.

    Examples
    --------
    >>> import numpy as np
    >>> from hammerlib.training.hooks import EXCLUDED
    >>> rows = [{"id": "a", "prompt": "2+2"}] * 3
    >>> one = Generation(rows, [[5]] * 3, [[7], [8], [9]], groups=np.array([0, EXCLUDED, 0]))
    >>> kept, excluded = one.split(2)
    >>> kept.completion_ids, excluded.completion_ids
    ([[7], [9]], [[8]])
    """

    rows: list[dict[str, Any]]
    prompt_ids: list[list[int]]
    completion_ids: list[list[int]]
    logprobs: list[list[float | None]] | None = None
    mask: list[list[int]] | None = None
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        self.groups = None if self.groups is None else np.asarray(self.groups)
        lengths = {name: len(value) for name, value in self._columns().items()}
        if len(set(lengths.values())) > 1 or not self.rows:
            raise _refusal(lengths, "must be of one length above 0", "return one entry per completion")
        if not (all(map(len, self.prompt_ids)) and all(map(len, self.completion_ids))):
            raise _refusal([], "is an empty prompt or completion", "return at least one token for each")
        for name in ("logprobs", "mask"):
            lists = getattr(self, name)
            if lists is not None and [*map(len, lists)] != [*map(len, self.completion_ids)]:
                raise _refusal(name, "does not fit completion_ids", "return one value per completion token")
        if any(row.keys() != self.rows[0].keys() for row in self.rows):
            raise _refusal(
                "rows", "have different columns", "give every row the columns of the problem table"
            )

    def _columns(self) -> dict[str, Sequence]:
        columns = {column.name: getattr(self, column.name) for column in fields(self)}
        return {name: values for name, values in columns.items() if values is not None}

    def take(self, places: Sequence[int]) -> Generation:
        """Return the completions at `places`, in that order."""
        columns = self._columns()
        return Generation(**{name: [column[int(k)] for k in places] for name, column in columns.items()})

    @classmethod
    def join(cls, generations: Sequence[Generation]) -> Generation:
        """Return all parts as one: without a mask all tokens are trained, groups keep their names."""
        joined: dict[str, list | None] = {}
        masked = any(generation.mask for generation in generations)
        for name in (column.name for column in fields(cls)):
            columns = [getattr(generation, name) for generation in generations]
            if name == "mask" and masked:
                columns = [generation.mask or generation._all_ones() for generation in generations]
            complete = all(column is not None for column in columns)
            joined[name] = [row for column in columns for row in column] if complete else None
        return cls(**joined)

    def _all_ones(self) -> list[list[int]]:
        return [[1] * len(ids) for ids in self.completion_ids]

    def split(self, total: int) -> tuple[Generation, Generation | None]:
        """Return the `total` completions that enter the batch, and those left over (None if there are none).

        The trained ones come first, in their order. Missing ones are filled up with untrained ones, or with
        copies of the shortest completion; all their tokens are masked.
        """
        m = len(self.rows)
        if self.groups is None and m == total:
            return self, None
        trained = np.flatnonzero(np.arange(m) if self.groups is None else self.groups != EXCLUDED)
        if self.groups is None or len(trained) > total:
            remedy = f"give {total} rows groups from 0 and all others the group {EXCLUDED}"
            raise _refusal(m, f"completions to train do not fit a batch of {total}", remedy)
        others = np.flatnonzero(self.groups == EXCLUDED)
        shortest = int(np.argmin([*map(len, self.completion_ids)]))
        missing = total - len(trained)
        batch = self.take([*trained, *others[:missing], *[shortest] * (missing - len(others))])
        if missing:
            batch.groups[len(trained) :] = EXCLUDED
            mask = batch.mask or batch._all_ones()
            blank = [[0] * len(ids) for ids in batch.completion_ids[len(trained) :]]
            batch.mask = mask[: len(trained)] + blank
        return batch, self.take(others[missing:]) if len(others) > missing else None

    def for_trl(self) -> dict[str, list | None]:
        """Return what TRL's public ``rollout_func`` must return."""
        output = {"prompt_ids": self.prompt_ids, "completion_ids": self.completion_ids}
        return output | {"logprobs": self.logprobs} | ({"env_mask": self.mask} if self.mask else {})


@dataclass
class Rollout:
    """One generation batch on this process: n completions that were graded, with their groups.

    Where groups straddle processes, plugs and telemetry see the batch of all processes instead.

    Attributes
    ----------
    step : int
        Optimizer steps done so far.
    rows : list of dict, length n
        The problem row of every completion.
    completions : list of str, length n
        Decoded text without special tokens.
    completion_ids : list of token id lists, length n
    verdicts : list of Verdict or None, length n
        None where nothing can be said.
    reasons : list of str, length n
        Of every verdict, also of graders that timed out or failed; "" without a gold answer.
    raw, rewards : (n,) float64 arrays
        Weighted sum of the rewards before and after adjustment; NaN where no reward applies.
    vectors : (n, d) float32 array
        Completion embeddings of the frozen initial backbone.
    group_size : int
        G of the configuration.
    advantages : (n,) or (n, T) tensor
        Group-relative, from `rewards`; for `observe`, as trained.
    groups : (n,) int array
        Group of every completion, -1 where it is not trained; default G rows in a row.
    mask : list of 0/1 lists or None
        Tokens that are trained (None: all).
    prompt_ids : list of token id lists, length n
    excluded : Rollout or None
        Completions generated and graded but left out of the batch; without rewards (NaN) and vectors.
    trainer : PolicyTrainer
        With ``trainer.model``, the policy as it generated.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.ones(3)
    >>> said = Rollout(0, [{"id": "a"}] * 3, ["4"] * 3, [[7]] * 3, [None] * 3, one, one, np.ones((3, 2)), 3)
    >>> said.groups.tolist(), [rows.shape for rows in said.by_size()]
    ([0, 0, 0], [(1, 3)])
    """

    step: int
    rows: list[dict[str, Any]]
    completions: list[str]
    completion_ids: list[list[int]]
    verdicts: list[Verdict | None]
    raw: np.ndarray
    rewards: np.ndarray
    vectors: np.ndarray
    group_size: int
    advantages: torch.Tensor | None = None
    reasons: list[str] = field(default_factory=list)
    groups: np.ndarray | None = None
    mask: list[list[int]] | None = None
    prompt_ids: list[list[int]] = field(default_factory=list)
    excluded: Rollout | None = None
    trainer: PolicyTrainer | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.groups is None:
            self.groups = np.arange(len(self.rows)) // self.group_size

    @property
    def spare(self) -> Rollout | None:
        """Old spelling of `excluded`, one release."""
        return self.excluded

    def by_size(self) -> list[np.ndarray]:
        """Return the rows of the trained groups: one (B, G) int array for each group size G."""
        names = np.unique(self.groups[self.groups != EXCLUDED])
        members = [np.flatnonzero(self.groups == name) for name in names]
        sizes = sorted({len(rows) for rows in members})
        return [np.stack([rows for rows in members if len(rows) == size]) for size in sizes]


@dataclass(frozen=True)
class Hooks:
    """Callables for the four hooks of the trainer, for those who want no class; None leaves TRL's behaviour.

    Parameters
    ----------
    rollout, advantage, loss, observe : callable, optional
        As the methods of `Algorithm`.

    Notes
    -----
    A callable with settings should be a dataclass: its fields then name the run.

    Examples
    --------
    >>> hooks = Hooks(observe=lambda rollout: {"longest": max(map(len, rollout.completion_ids))})
    >>> hooks.names()["loss"] is None
    True
    """

    rollout: Callable[[list[dict], PolicyTrainer], Generation] | None = None
    advantage: Callable[[Rollout], torch.Tensor] | None = None
    loss: Callable[..., torch.Tensor] | None = None
    observe: Callable[[Rollout], dict[str, float]] | None = None

    def names(self) -> dict[str, str | None]:
        """Return what stands in each hook, for the run's name and manifest.

        A callable is named by module, name, bytecode and settings, so that changing these changes the run.
        """
        return {hook.name: name_of(getattr(self, hook.name)) for hook in fields(self)}


Plugs = Hooks  # old spelling, one release


# Composition


def overridden(algorithm: Algorithm | Hooks, name: str) -> Callable | None:
    """Return a method that an algorithm has of its own, None where it is the base class's."""
    method = getattr(algorithm, name, None)
    if method is None or getattr(method, "__func__", None) is getattr(Algorithm, name):
        return None
    return method


def compose(algorithms: Sequence[Algorithm | Hooks]) -> Hooks:
    """Return the hooks of several algorithms as one: observers merge, advantages chain, losses nest."""
    methods: dict[str, list[Callable]] = {name: [] for name in HOOKS}
    for algorithm in algorithms:
        for name in HOOKS:
            if method := overridden(algorithm, name):
                methods[name].append(method)
    if len(methods["rollout"]) > 1:
        named = [_label(algorithm) for algorithm in algorithms if overridden(algorithm, "rollout")]
        remedy = "leave out all but one"
        raise InputError("algorithms", named, "generate in two ways, and one batch has one rollout", remedy)
    declared: list[str] = [name for algorithm in algorithms for name in getattr(algorithm, "METRICS", {})]
    _refuse_twice(declared)
    return Hooks(
        rollout=methods["rollout"][0] if methods["rollout"] else None,
        advantage=_joined(methods["advantage"], _chained),
        loss=_joined(methods["loss"], _nested),
        observe=_joined(methods["observe"], _merged),
    )


def _joined(methods: list[Callable], join: Callable[[list[Callable]], Callable]) -> Callable | None:
    if len(methods) < 2:
        return methods[0] if methods else None
    return join(methods)


def _chained(methods: list[Callable]) -> Callable[[Rollout], torch.Tensor]:
    def advantage(rollout: Rollout) -> torch.Tensor:
        for method in methods:  # each sees the advantages of the one before
            rollout = dataclasses.replace(rollout, advantages=method(rollout))
        return rollout.advantages

    return advantage


def _nested(methods: list[Callable]) -> Callable[..., torch.Tensor]:
    def loss(trainer: Any, model: Any, inputs: dict[str, Any], default: Callable) -> torch.Tensor:
        for method in methods:  # the last one named is outermost: loss_2(loss_1(TRL's))
            default = functools.partial(method, trainer, model, inputs, default)
        return default()

    return loss


def _merged(methods: list[Callable]) -> Callable[[Rollout], dict[str, float]]:
    def observe(rollout: Rollout) -> dict[str, float]:
        reports = [method(rollout) for method in methods]
        _refuse_twice([name for report in reports for name in report])
        return {name: value for report in reports for name, value in report.items()}

    return observe


def _refuse_twice(metrics: list[str]) -> None:
    twice = sorted({name for name in metrics if metrics.count(name) > 1})
    if twice:
        problem, remedy = "are reported by two algorithms", "rename them in one, or leave one out"
        raise InputError("algorithms", twice, problem, remedy)


def _label(algorithm: object) -> str:
    return type(algorithm).__qualname__


# Names


def own_reward(name: str, field: str = "rewards") -> Reward | None:
    """Return the function that ``module:function`` names; None for a name of the house's own rewards."""
    if ":" not in name:
        return None
    function = import_object(name, field)
    if not callable(function) or isinstance(function, type):
        problem, remedy = "is no function", "name a function with TRL's signature of rewards"
        raise InputError(field, name, problem, remedy)
    return function


def own_reward_name(name: str) -> str:
    """Return a reward's name as it names a run: one's own with a hash of its code."""
    function = own_reward(name)
    return name if function is None else f"{name}#{code_hash(function)}"


def known_algorithms() -> dict[str, str]:
    """Return `REGISTRY` with the entry points of installed packages."""
    points = importlib.metadata.entry_points(group=ENTRY_POINTS)
    return {point.name: point.value for point in points} | REGISTRY


def algorithm_class(name: str, field: str = "algorithms") -> type[Algorithm]:
    """Return the class that a name of `REGISTRY` or ``module:Class`` stands for."""
    if ":" in name:
        path = name
    else:
        known = known_algorithms()
        if name not in known:
            raise unknown(field, name, [*sorted(known), "my_package.my_module:Class"])
        path = known[name]
    target = import_object(path, field)
    if not (isinstance(target, type) and issubclass(target, Algorithm)):
        problem, remedy = "is no algorithm", "name a subclass of hammerlib.training.Algorithm"
        raise InputError(field, name, problem, remedy)
    return target


def make_algorithms(config: TrainConfig) -> list[Algorithm]:
    """Return the algorithms that a configuration names, with their options, each having checked it."""
    algorithms = [_make(settings, k) for k, settings in enumerate(config.algorithms)]
    compose(algorithms)
    for algorithm in algorithms:
        algorithm.check(config)
    return algorithms


def _make(settings: dict[str, Any], place: int) -> Algorithm:
    field = f"algorithms[{place}]"
    options = dict(settings)
    name = options.pop("name", None)
    if not isinstance(name, str):
        remedy = "write {name: cure, n1: 4}"
        raise InputError(field, settings, "has no name", remedy)
    kind = algorithm_class(name, f"{field}.name")
    _check_options(kind, options, field)
    try:
        return kind(**options)
    except InputError as error:
        inside = f"{field}.{error.field}"
        raise InputError(inside, error.value, error.problem, error.remedy) from error
    except (TypeError, ValueError) as error:
        raise InputError(field, options, f"cannot be made ({error})", f"see the options of {name}") from error


def _check_options(kind: type[Algorithm], options: dict[str, Any], field: str) -> None:
    """Refuse unknown and missing options, and those whose annotation is a plain type they do not fit."""
    parameters = inspect.signature(kind).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for name in options:
        if name not in parameters and not takes_any:
            raise unknown(field, name, parameters, "is no option of this algorithm")
    for name, parameter in parameters.items():
        variable = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if parameter.default is parameter.empty and name not in options and not variable:
            raise InputError(f"{field}.{name}", None, "is missing", "add it")
    hints = {name: _plain_type(parameter.annotation) for name, parameter in parameters.items()}
    typed = {name: value for name, value in options.items() if hints.get(name) is not None}
    described = dataclasses.make_dataclass("Options", [(name, hints[name]) for name in typed])
    check_fields(described, typed, "options", inside=field)


def _plain_type(annotation: object) -> Any:
    """An annotation such as ``int | None`` as a type; None for any that is not plain.

    Others may name what is imported for type checkers only, so that they cannot be resolved here.
    """
    plain = {"bool": bool, "int": int, "float": float, "str": str, "None": None}
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    parts = text.split(" | ")
    if not set(parts) <= plain.keys() or parts == ["None"]:
        return None
    return functools.reduce(operator.or_, [plain[part] for part in parts])


def algorithm_identity(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings as they name a run: a class of one's own with a hash of its code."""
    if ":" not in settings["name"]:
        return dict(settings)
    return settings | {"code": code_hash(algorithm_class(settings["name"]))}


def names_of(algorithms: Iterable[Algorithm]) -> list[str]:
    """Return module, name, settings and code of algorithms handed over as objects, for the run's name."""
    names = []
    for algorithm in algorithms:
        settings = [repr(algorithm)] if dataclasses.is_dataclass(algorithm) else _attributes(algorithm)
        hashed = content_hash(*settings, code_hash(type(algorithm)))
        names.append(f"{type(algorithm).__module__}.{_label(algorithm)}#{hashed[:8]}")
    return names


def code_hash(thing: Callable) -> str:
    """Return a hash of a function's bytecode, or of that of all methods that a class has and inherits."""
    if not isinstance(thing, type):
        return str(name_of(thing)).rpartition("#")[2]
    parts = []
    for kind in thing.__mro__:
        if kind in (object, Algorithm):
            continue
        for name, member in sorted(vars(kind).items()):
            function = getattr(member, "fget", None) or getattr(member, "__func__", member)
            if isinstance(function, types.FunctionType):
                parts += [name, *_code(function.__code__), *_settings(function)]
            elif not name.startswith("__") and (text := _setting_text(member)) is not None:
                parts += [name, text]
    return content_hash(*parts)[:8]


def name_of(called: Callable | None) -> str | None:
    """Return module, name and a hash of bytecode and settings of a callable, None for None.

    Settings are the arguments of a ``functools.partial``, the fields of a dataclass (without those marked
    ``repr=False``), and numbers, strings, tuples and functions among a function's defaults and enclosed
    variables or an object's public attributes.
    """
    if called is None:
        return None
    if isinstance(called, functools.partial):
        settings = content_hash(repr(called.args), repr(sorted(called.keywords.items())))
        return f"{name_of(called.func)}({settings[:8]})"
    named = f"{getattr(called, '__module__', '')}.{getattr(called, '__qualname__', type(called).__name__)}"
    code = getattr(called, "__code__", None) or getattr(type(called).__call__, "__code__", None)
    if code is None:
        return named
    if dataclasses.is_dataclass(called):
        return f"{named}#{content_hash(repr(called), *_code(code))[:8]}"
    owner = called if not hasattr(called, "__code__") else getattr(called, "__self__", None)
    return f"{named}#{content_hash(*_code(code), *_settings(called), *_attributes(owner))[:8]}"


def _settings(called: Callable) -> list[str]:
    """Defaults and enclosed variables of a function."""
    filled = [cell for cell in getattr(called, "__closure__", None) or () if cell != types.CellType()]
    cells = [cell.cell_contents for cell in filled]
    defaults = [*(getattr(called, "__defaults__", None) or ())]
    by_name = sorted((getattr(called, "__kwdefaults__", None) or {}).items())
    return [text for value in (*defaults, *by_name, *cells) if (text := _setting_text(value)) is not None]


def _attributes(owner: object) -> list[str]:
    """Public attributes of the object that a callable is, or belongs to."""
    values = getattr(owner, "__dict__", {}) if not isinstance(owner, type) else {}
    texts = {name: _setting_text(value) for name, value in sorted(values.items()) if not name.startswith("_")}
    return [f"{name}={text}" for name, text in texts.items() if text is not None]


def _setting_text(value: object) -> str | None:
    """A setting in words; None for what may change while it is used, or has no words of its own."""
    if isinstance(value, types.FunctionType):
        return " ".join([value.__qualname__, *_code(value.__code__)])
    if isinstance(value, tuple | frozenset):
        parts = [_setting_text(one) for one in value]
        return None if None in parts else str(sorted(parts) if isinstance(value, frozenset) else parts)
    return repr(value) if value is None or isinstance(value, bool | int | float | str | bytes) else None


def _code(code: types.CodeType) -> list[str]:
    """Bytecode and constants; the code of inner functions in place of their addresses."""
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    plain = tuple(constant for constant in code.co_consts if not isinstance(constant, types.CodeType))
    return [code.co_code.hex(), str(plain), *(text for constant in inner for text in _code(constant))]


def _refusal(value: object, problem: str, remedy: str) -> InputError:
    return InputError("plugs.rollout", value, problem, remedy)
