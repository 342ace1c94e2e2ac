"""Random choices that are written down: a puzzle is its specification plus the record of them."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from hammerlib.errors import InputError
from hammerlib.systems.puzzles.formulas import evaluate
from hammerlib.systems.puzzles.spec import Draw, Option


class Rejected(Exception):
    """These choices give no valid puzzle; the reason is one of a few words, for counting.

    Examples
    --------
    >>> str(Rejected("no solution"))
    'no solution'
    """


class Choices:
    """Draw choices and record them, or replay a record.

    Parameters
    ----------
    rng : random.Random, optional
        Draws; without it every choice must stand in `config`.
    config : mapping, optional
        A record: section to name to choice. In draws ``"__3__"`` is the place in the source, anything else is
        the value itself.
    themes : mapping, optional
        Variables to replace on replay, e.g. other names: draws keep their places.

    Raises
    ------
    InputError
        On replay: a choice that the record lacks, or a place outside its source.

    Examples
    --------
    >>> first = Choices(random.Random(0))
    >>> number = first.take("variables", "n", lambda rng: rng.randint(1, 6))
    >>> Choices(config=first.config).take("variables", "n", None) == number
    True
    """

    def __init__(
        self,
        rng: random.Random | None = None,
        config: Mapping[str, Mapping[str, Any]] | None = None,
        themes: Mapping[str, Any] | None = None,
    ) -> None:
        self.rng = rng
        self.themes = dict(themes or {})
        self.config: dict[str, dict[str, Any]] = {name: dict(part) for name, part in (config or {}).items()}

    @property
    def replays(self) -> bool:
        """Whether this repeats a record."""
        return self.rng is None

    def has(self, section: str, name: str) -> bool:
        """Tell whether the record holds a choice."""
        return name in self.config.get(section, {})

    def take(self, section: str, name: str, draw: Callable[[random.Random], Any] | None) -> Any:
        """Return a choice: drawn and recorded, or replayed; InputError where the record lacks it."""
        if self.rng is None:
            if not self.has(section, name):
                raise InputError(
                    "config", f"{section}.{name}", "is missing", "record every choice of the puzzle"
                )
            return self.config[section][name]
        value = draw(self.rng)
        self.config.setdefault(section, {})[name] = value
        return value

    def random_functions(self) -> dict[str, Callable[..., Any]]:
        """Functions that variables may call; a replay must not need them."""
        if self.rng is None:
            return {}
        rng = self.rng
        return {
            "sample": lambda items, n: rng.sample(list(items), n),
            "shuffled": lambda items: rng.sample(list(items), len(items)),
            "pick": lambda items: rng.choice(list(items)),
            "randint": rng.randint,
        }


def variable_value(kind: str, domain: Sequence[Any], rng: random.Random) -> Any:
    """Draw a variable of a type from its domain.

    Parameters
    ----------
    kind : str
        ``int``, ``float`` (one decimal), ``bool`` or ``enum``.
    domain : sequence
        Lowest and highest value of numbers, otherwise the values.
    rng : random.Random

    Raises
    ------
    InputError
        Unknown type, or an empty domain.

    Examples
    --------
    >>> variable_value("float", [1, 1], random.Random(0))
    1.0
    """
    if kind in ("int", "float"):
        if len(domain) != 2 or domain[0] > domain[1]:
            raise InputError("domain", list(domain), "is no range", "give the lowest and the highest value")
        if kind == "int":
            return rng.randint(int(domain[0]), int(domain[1]))
        return rng.randint(round(10 * domain[0]), round(10 * domain[1])) / 10
    if kind not in ("bool", "enum") or not domain:
        raise InputError("type", kind, "is unknown, or has no values", "use int, float, bool or enum")
    return rng.choice(list(domain))


def scale(value: Any, domain: Sequence[Any], diff_factor: int) -> float:
    """Return how hard a variable's value makes a puzzle: 0 to 1 over its domain, 0.5 for a single value.

    Parameters
    ----------
    value : number
    domain : lowest and highest value
    diff_factor : int
        Negative: smaller is harder.

    Examples
    --------
    >>> scale(9, [6, 12], 1), scale(2, [0, 4], -1)
    (0.5, 0.5)
    """
    low, high = Fraction(str(domain[0])), Fraction(str(domain[-1]))
    place = 0.5 if low == high else float((Fraction(str(value)) - low) / (high - low))
    return 1 - place if diff_factor < 0 else place


TRIES = 200  # draws before a condition, statement or option counts as impossible
Parts = list[list[list[Any]]]  # one draw: [part][source][item]
_INDEX = re.compile(r"__(\d+)__")


def draw_places(rule: Draw, sources: list[list[Any]], env: Mapping[str, Any], rng: random.Random) -> list:
    """Draw one set of items by place: ``[part][source]`` to a list of ``"__place__"``; Rejected if none fits.

    Parameters
    ----------
    rule : Draw
    sources : list of list
        What `rule.source` names, worked out.
    env : mapping
        For amounts.
    rng : random.Random

    Raises
    ------
    Rejected
        Nothing that meets `dim_cond` and the conditions of scope ``dim`` was found.

    Examples
    --------
    >>> draw_places(Draw(source=("x",), amount=("2",)), [["a", "b"]], {}, random.Random(0)) in (
    ...     [[["__0__", "__1__"]]], [[["__1__", "__0__"]]])
    True
    """
    amounts = [evaluate(one, env) for one in rule.amount] or [1] * len(sources)
    groups = rule.dim_cond or (tuple(range(len(sources))),)
    for _ in range(TRIES):
        parts = [
            [_items(rule, i, len(source), amounts[i], rng) for i, source in enumerate(sources)]
            for _ in range(evaluate(rule.dim, env))
        ]
        places = [[[f"__{place}__" for place in items] for items in part] for part in parts]
        if all(_differ(parts, group) for group in groups) and holds(
            rule, "dim", resolve(places, sources), env
        ):
            return places
    raise Rejected("no draw")


def _differ(parts: list, group: tuple[int, ...]) -> bool:
    return len({tuple(tuple(part[i]) for i in group) for part in parts}) == len(parts)


def _items(rule: Draw, source: int, size: int, amount: int, rng: random.Random) -> list[int]:
    if rule.duplicate[source : source + 1] == (True,):
        places = [rng.randrange(size) for _ in range(amount)] if size else []
    else:
        places = rng.sample(range(size), amount) if amount <= size else []
    if len(places) < amount:
        raise Rejected("source too short")
    first_of_option = isinstance(rule, Option) and source == 0
    ordered = rule.order[source] if source < len(rule.order) else not first_of_option
    return places if ordered else sorted(places)


def draw_domain(
    rule: Draw, sources: list[list[Any]], env: Mapping[str, Any], rng: random.Random, count: int
) -> list:
    """Draw `count` sets that differ (`domain_cond`) and meet the conditions of scope ``domain``.

    Parameters
    ----------
    rule, sources, env, rng
        As for `draw_places`.
    count : int

    Raises
    ------
    Rejected
        None was found.

    Examples
    --------
    >>> len(draw_domain(Draw(source=("x",)), [[1, 2, 3]], {}, random.Random(0), 3))
    3
    """
    for _ in range(TRIES):
        drawn: list = []
        for _ in range(TRIES):
            if len(drawn) == count:
                break
            places = draw_places(rule, sources, env, rng)
            if not (rule.domain_cond and places in drawn):
                drawn.append(places)
        if len(drawn) == count and holds(rule, "domain", [resolve(one, sources) for one in drawn], env):
            return drawn
        if len(drawn) < count:
            break
    raise Rejected("no draw")


def resolve(places: list, sources: list[list[Any]]) -> Parts:
    """Turn recorded places into values; what is no place stands for itself.

    Raises
    ------
    InputError
        A place outside its source.

    Examples
    --------
    >>> resolve([[["__1__", "Zoe"]]], [["Ann", "Bob"]])
    [[['Bob', 'Zoe']]]
    """
    return [
        [[_resolved(one, sources[i]) for one in items] for i, items in enumerate(part)] for part in places
    ]


def _resolved(item: Any, source: list[Any]) -> Any:
    found = _INDEX.fullmatch(item) if isinstance(item, str) else None
    if found is None:
        return item
    place = int(found.group(1))
    if place >= len(source):
        problem = f"the source has {len(source)} items"
        raise InputError("config", item, problem, "use a smaller place, or the value itself")
    return source[place]


def holds(rule: Draw, scope: str, values: list, env: Mapping[str, Any]) -> bool:
    """Tell whether drawn values meet a rule's own conditions of a scope (``dim`` or ``domain``).

    Parameters
    ----------
    rule : Draw
    scope : str
    values : list
        ``[part][source][item]``, with a leading ``[draw]`` for the scope ``domain``.
    env : mapping

    Examples
    --------
    >>> rule = Draw(custom_cond=({"scope": "dim", "fields": [0], "constraint": "lambda l: l[0][0][0] > 1"},))
    >>> holds(rule, "dim", [[[1]]], {}), holds(rule, "dim", [[[2]]], {})
    (False, True)
    """
    for condition in rule.custom_cond:
        if condition["scope"] != scope:
            continue
        fields = condition["fields"]
        chosen = (
            [[[part[i] for i in fields] for part in draw] for draw in values]
            if scope == "domain"
            else [[part[i] for i in fields] for part in values]
        )
        if not evaluate(condition["constraint"], env)(chosen):
            return False
    return True


def as_symbol(rule: Draw, parts: Parts) -> Any:
    """Return a draw as formulas see it: items bare without `amount`, parts only with more than one.

    Examples
    --------
    >>> as_symbol(Draw(source=("x", "y")), [[["Ann"], [3]]])
    ['Ann', 3]
    """
    seen = parts if rule.amount else [[items[0] for items in part] for part in parts]
    return seen[0] if len(seen) == 1 else seen
