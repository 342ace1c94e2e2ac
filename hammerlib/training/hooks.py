"""The one door to the trainer: `Algorithm`, how several compose, and the names they have in configurations.

An algorithm is named in the configuration (``algorithms: [{name: chord, mu: 0.1}]``, or with a class of one's
own, ``{name: my_package.my_module:Class}``) or handed over from Python as an object. What its methods are
handed and hand back stands in `hammerlib.training.rollout`; where the trainer calls them, in
`hammerlib.training.trainer`.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import inspect
import itertools
import operator
import types
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hammerlib.errors import InputError, check_type, import_function, import_object, unknown
from hammerlib.runs.storage import content_hash
from hammerlib.training.rollout import EXCLUDED, Generation, Rollout

if TYPE_CHECKING:
    import torch

    from hammerlib.rewards import Reward
    from hammerlib.training.config import TrainConfig
    from hammerlib.training.trainer import PolicyTrainer

UNTRAINED = EXCLUDED  # old spelling, one release

HOOKS = ("rollout", "advantage", "loss", "observe")


# The contract


class Algorithm:
    """What a system adds to GRPO; a subclass overrides the methods it needs, all others stay as they are.

    Notes
    -----
    `check` and `rewards` are called once, before training. A generation batch calls `rollout`, the reward
    functions, `advantage` and `observe`, in this sequence and each once on every process; then `loss` once
    for each micro-batch. `state_dict` is called with every checkpoint. A subclass with settings should be a
    dataclass: its fields are its options in a configuration and name the run. One that is a transformers
    ``TrainerCallback`` as well is called as such.

    Source: ours, in the manner of prime-rl's ``algo``; the hooks are TRL 1.16's ``rollout_func``,
    ``_generate_and_score_completions`` and ``_compute_loss`` (see `hammerlib.training.trainer`).

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
    STATELESS: ClassVar[bool] = False  # True: what it holds begins anew with every generation batch
    FROM_REWARDS: ClassVar[bool] = False  # True: its `advantage` takes the place of those so far

    def check(self, config: TrainConfig) -> None:
        """Refuse, with an InputError, a configuration that this algorithm cannot train with."""

    def rewards(self, functions: list[Reward], config: TrainConfig) -> list[Reward]:
        """Return the reward functions to train with in place of the configuration's."""
        return functions

    def rollout(self, rows: list[dict[str, Any]], trainer: PolicyTrainer) -> Generation:
        """Generate for the n problem rows of this process's generation batch, G in a row per problem.

        `hammerlib.training.generation.generate` samples from the policy, also on from forced prefixes, and
        counts the tokens; ``trainer.count_tokens`` counts what is sampled otherwise.
        """
        raise NotImplementedError

    def most_rows(self, config: TrainConfig) -> int:
        """Return the most completions that its rollout trains of one prompt, over a generation batch.

        Batches grow where a rollout hands over more than G a prompt; in the losses ``grpo`` and ``dr_grpo``
        they are divided by the rows that were planned.
        """
        return config.group_size

    def most_prompt_tokens(self, config: TrainConfig) -> int | None:
        """Return the tokens of the longest prompt that its rollout makes, None: none beyond the table's."""
        return None

    def advantage(self, rollout: Rollout) -> torch.Tensor:
        """Return the advantages, (n,) or (n, T) with T at least the tokens of the longest completion.

        ``rollout.advantages`` holds those so far: TRL's, or of the algorithm named before. One that makes
        them anew from the rewards says so by ``FROM_REWARDS = True`` and is refused behind another one.
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


@dataclass(frozen=True)
class Hooks(Algorithm):
    """An algorithm of callables, for those who want no class; None leaves TRL's behaviour.

    Parameters
    ----------
    rollout, advantage, loss, observe : callable, optional
        As the methods of `Algorithm`.

    Notes
    -----
    A callable with settings should be a dataclass: its fields then name the run.

    Examples
    --------
    >>> longest = Hooks(observe=lambda rollout: {"longest": max(map(len, rollout.completion_ids))})
    >>> longest.names()["loss"] is None  # train(config, algorithms=[longest])
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
        return {hook: name_of(getattr(self, hook)) for hook in HOOKS}


Plugs = Hooks  # old spelling, one release


# Composition


def overridden(algorithm: Algorithm, name: str) -> Callable | None:
    """Return a method that an algorithm has of its own, None where it is the base class's."""
    method = getattr(algorithm, name)
    if method is None or getattr(method, "__func__", None) is getattr(Algorithm, name):
        return None
    return method


def compose(algorithms: Sequence[Algorithm]) -> Hooks:
    """Return the hooks of several algorithms as one: observers merge, advantages chain, losses nest."""
    methods: dict[str, list[Callable]] = {}
    for name in HOOKS:
        own = [overridden(algorithm, name) for algorithm in algorithms]
        methods[name] = [method for method in own if method is not None]
    if len(methods["rollout"]) > 1:
        named = [type(algorithm).__qualname__ for algorithm in algorithms if overridden(algorithm, "rollout")]
        remedy = "leave out all but one"
        raise InputError("algorithms", named, "generate in two ways, and one batch has one rollout", remedy)
    _refuse_lost_advantages([one for one in algorithms if overridden(one, "advantage")])
    # What the classes declare is refused now, what else their observers report at the first step.
    _refuse_twice([name for algorithm in algorithms for name in algorithm.METRICS])
    return Hooks(
        rollout=methods["rollout"][0] if methods["rollout"] else None,
        advantage=_joined(methods["advantage"], _chained),
        loss=_joined(methods["loss"], _nested),
        observe=_joined(methods["observe"], _merged),
    )


def _refuse_lost_advantages(algorithms: list[Algorithm]) -> None:
    """Refuse an algorithm whose advantages another one behind it would throw away."""
    for before, after in itertools.pairwise(algorithms):
        if not after.FROM_REWARDS:
            continue
        kept, lost = type(after).__qualname__, type(before).__qualname__
        problem = f"{kept} makes advantages anew from the rewards, and those of {lost} would be lost"
        remedy = "leave one out" if before.FROM_REWARDS else f"name {kept} first, or leave one out"
        raise InputError("algorithms", [lost, kept], problem, remedy)


def _joined(methods: list[Callable], join: Callable[[list[Callable]], Callable]) -> Callable | None:
    if not methods:
        return None
    if len(methods) == 1:
        return methods[0]  # as it is, so that it keeps its own name in the manifest
    return join(methods)


def _chained(methods: list[Callable]) -> Callable[[Rollout], torch.Tensor]:
    def advantage(rollout: Rollout) -> torch.Tensor:
        for method in methods:
            # A_2(A_1(TRL's)): the sequence of the configuration.
            # A copy: each sees the advantages of the one before, the trainer's own stay.
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
        # two of one name would be averaged into one column of metrics.csv without a word
        reports = [method(rollout) for method in methods]
        _refuse_twice([name for report in reports for name in report])
        return {name: value for report in reports for name, value in report.items()}

    return observe


def _refuse_twice(metrics: list[str]) -> None:
    twice = sorted({name for name in metrics if metrics.count(name) > 1})
    if twice:
        problem, remedy = "are reported by two algorithms", "rename them in one, or leave one out"
        raise InputError("algorithms", twice, problem, remedy)


# The registry: names in a configuration


# Name -> "module:Class", imported when a configuration asks for it. Packages add theirs as entry points of
# the group below. DRA and dynamic sampling have fields of `TrainConfig` that are older than this list; their
# names stand for these fields (`hammerlib.training.config`), so that a run has one identity, however it is
# written, and the trainer's builder makes them.
REGISTRY: dict[str, str] = {
    "adaptive": "hammerlib.study.adaptive:AdaptiveSampler",
    "airl-s": "hammerlib.systems.airl_s.algorithm:AirlS",
    "chord": "hammerlib.systems.chord.algorithm:Chord",
    "cure": "hammerlib.systems.cure.algorithm:Cure",
    "dars": "hammerlib.systems.dars.algorithm:Dars",
    "distinct-answers": "hammerlib.study.algorithms:DistinctAnswers",
    "dra": "hammerlib.training.build:DRA",
    "dra-ablation": "hammerlib.study.algorithms:DRAAblation",
    "dynamic-sampling": "hammerlib.training.dynamic:DynamicSampling",
    "etmr": "hammerlib.systems.etmr.algorithm:TreeVotes",
    "ettrl": "hammerlib.systems.ttrl.algorithm:EntropyReshape",
    "g2rpo-a": "hammerlib.systems.g2rpo_a.algorithm:GuidedGroups",
    "learnable": "hammerlib.systems.hard_examples.algorithm:LearnableShare",
    "pass-at-k": "hammerlib.study.algorithms:PassAtK",
    "permuted-rewards": "hammerlib.study.algorithms:PermutedRewards",
    "rloo": "hammerlib.systems.uncalibrated.algorithm:LeaveOneOut",
    "svs": "hammerlib.systems.svs.algorithm:Svs",
    "ttrl": "hammerlib.systems.ttrl.algorithm:VoteThenSample",
    "ucpo": "hammerlib.study.algorithms:UniformCorrect",
}
ENTRY_POINTS = "hammerlib.algorithms"
OWN = "my_package.my_module:Class"


def known_algorithms() -> dict[str, str]:
    """Return `REGISTRY` with the entry points of installed packages."""
    points = importlib.metadata.entry_points(group=ENTRY_POINTS)
    return {point.name: point.value for point in points} | REGISTRY


def check_algorithm_name(name: str, field: str = "algorithms") -> None:
    """Refuse a name that is neither known nor ``module:Class``; nothing is imported."""
    if ":" not in name and name not in (known := known_algorithms()):
        raise unknown(field, name, [*sorted(known), OWN])


def algorithm_class(name: str, field: str = "algorithms") -> type[Algorithm]:
    """Return the class that a name of `REGISTRY` or ``module:Class`` stands for."""
    check_algorithm_name(name, field)
    target = import_object(known_algorithms().get(name, name), field)
    if not (isinstance(target, type) and issubclass(target, Algorithm)):
        raise InputError(field, name, "is no algorithm", "name a subclass of hammerlib.training.Algorithm")
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
        raise InputError(field, settings, "has no name", "write {name: cure, n1: 4}")
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
        if name in options and (kind := _plain_type(parameter.annotation)) is not None:
            check_type(f"{field}.{name}", options[name], kind)


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
    return settings | {"code": code_hash(algorithm_class(settings["name"]), Algorithm)}


def names_of(algorithms: Iterable[Algorithm]) -> list[str]:
    """Return module, name, settings and code of algorithms handed over as objects, for the run's name.

    `Hooks` are left out: they have the names of their callables.
    """
    return [object_name(one, Algorithm) for one in algorithms if not isinstance(one, Hooks)]


def own_reward(name: str, field: str = "rewards") -> Reward | None:
    """Return the function that ``module:function`` names; None for a name of the house's own rewards."""
    if ":" not in name:
        return None
    return import_function(name, field, "name a function with TRL's signature of rewards")


def own_reward_name(name: str) -> str:
    """Return a reward's name as it names a run: one's own with a hash of its code."""
    function = own_reward(name)
    if function is None:
        return name
    return f"{name}#{code_hash(function)}"


# Names of callables and classes by what they do, so that runs of one name ran the same code

# A run is found again by its content, and code handed over from Python, or named as ``module:object``, is
# part of that content. What is hashed is bytecode with constants (comments and blank lines change nothing)
# and the settings that can be read without running anything. What may change while training (lists, arrays,
# models, private attributes) is left out: a run would otherwise lose its name while it trains.


HASH = 8  # hexadecimal digits


def name_of(called: Callable | None) -> str | None:
    """Return module, name and a hash of bytecode and settings of a callable, None for None."""
    # Settings: arguments of a partial, fields of a dataclass (without those marked repr=False), and numbers,
    # texts, tuples and functions among a function's defaults and enclosed variables or an object's public
    # attributes.
    if called is None:
        return None
    if isinstance(called, functools.partial):
        settings = content_hash(repr(called.args), repr(sorted(called.keywords.items())))
        return f"{name_of(called.func)}({settings[:HASH]})"
    name = getattr(called, "__qualname__", type(called).__name__)
    named = f"{getattr(called, '__module__', '')}.{name}"
    code = getattr(called, "__code__", None) or getattr(type(called).__call__, "__code__", None)
    if code is None:  # of a library in C: its module and name have to do
        return named
    if dataclasses.is_dataclass(called):
        return f"{named}#{content_hash(repr(called), *_code(code))[:HASH]}"
    # The object that the callable is, or whose method it is.
    owner = getattr(called, "__self__", None) if hasattr(called, "__code__") else called
    return f"{named}#{content_hash(*_code(code), *_settings(called), *_attributes(owner))[:HASH]}"


def code_hash(thing: Callable, base: type = object) -> str:
    """Return a hash of a function's bytecode, or of that of all methods that a class has above `base`."""
    if not isinstance(thing, type):
        return str(name_of(thing)).rpartition("#")[2]
    parts = []
    for kind in thing.__mro__:
        if kind in (object, base):
            continue
        for name, member in sorted(vars(kind).items()):
            # The function inside a property, a classmethod or a staticmethod.
            function = getattr(member, "fget", None) or getattr(member, "__func__", member)
            if isinstance(function, types.FunctionType):
                parts += [name, *_code(function.__code__), *_settings(function)]
            elif not name.startswith("__") and (text := _setting_text(member)) is not None:
                parts += [name, text]
    return content_hash(*parts)[:HASH]


def object_name(thing: object, base: type = object) -> str:
    """Return module, class and a hash of settings and code of an object."""
    kind = type(thing)
    settings = [repr(thing)] if dataclasses.is_dataclass(thing) else _attributes(thing)
    return f"{kind.__module__}.{kind.__qualname__}#{content_hash(*settings, code_hash(kind, base))[:HASH]}"


def _settings(called: Callable) -> list[str]:
    """Defaults and enclosed variables of a function."""
    empty = types.CellType()  # a variable that is filled later
    filled = [cell for cell in getattr(called, "__closure__", None) or () if cell != empty]
    enclosed = [cell.cell_contents for cell in filled]
    defaults = getattr(called, "__defaults__", None) or ()
    by_name = sorted((getattr(called, "__kwdefaults__", None) or {}).items())
    texts = [_setting_text(value) for value in (*defaults, *by_name, *enclosed)]
    return [text for text in texts if text is not None]


def _attributes(owner: object) -> list[str]:
    """Public attributes of an object; of a class or a function without one, none."""
    values = {} if isinstance(owner, type) else getattr(owner, "__dict__", {})
    texts = {name: _setting_text(value) for name, value in sorted(values.items()) if not name.startswith("_")}
    return [f"{name}={text}" for name, text in texts.items() if text is not None]


def _setting_text(value: object) -> str | None:
    """A setting in words; None for what may change while it is used, or has no words of its own."""
    if isinstance(value, types.FunctionType):
        return " ".join([value.__qualname__, *_code(value.__code__)])
    if isinstance(value, tuple | frozenset):
        texts = [_setting_text(item) for item in value]
        if None in texts:
            return None
        if isinstance(value, frozenset):  # whose sequence differs between processes
            texts = sorted(texts)
        return str(texts)
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return repr(value)
    return None


def _code(code: types.CodeType) -> list[str]:
    """Bytecode and constants; the code of inner functions in place of their addresses."""
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    plain = tuple(constant for constant in code.co_consts if not isinstance(constant, types.CodeType))
    return [code.co_code.hex(), str(plain), *(text for constant in inner for text in _code(constant))]
