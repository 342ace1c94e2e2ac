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

TRIES = 200  # draws before a condition, statement or option counts as impossible
_INDEX = re.compile(r"__(\d+)__")


class Rejected(Exception):
    """These choices give no valid puzzle; the reason is one of a few words, for counting."""


class Choices:
    """Draw choices and record them, or (without `rng`) replay a record.

    `config` is the record: section to name to choice. In draws ``"__3__"`` is the place in the source,
    anything else is the value itself. `themes` replaces variables on replay, e.g. names: draws keep their
    places.
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

    def replays(self, section: str, name: str) -> bool:
        """Tell whether this repeats a record, which holds the choice."""
        return self.rng is None and name in self.config.get(section, {})

    def take(self, section: str, name: str, draw: Callable[[random.Random], Any] | None) -> Any:
        """Return a choice: drawn and recorded, or replayed; InputError where the record lacks it."""
        if self.rng is None:
            if not self.replays(section, name):
                remedy = "record every choice of the puzzle"
                raise InputError("config", f"{section}.{name}", "is missing", remedy)
            return self.config[section][name]
        value = draw(self.rng)
        self.config.setdefault(section, {})[name] = value
        return value

    def random_functions(self) -> dict[str, Callable[..., Any]]:
        """Functions that variables may call; a replay must not need them."""
        if self.rng is None:
            return {}
        return {
            "sample": lambda items, n: self.rng.sample(list(items), n),
            "shuffled": lambda items: self.rng.sample(list(items), len(items)),
            "pick": lambda items: self.rng.choice(list(items)),
            "randint": self.rng.randint,
        }


def variable_value(kind: str, domain: Sequence[Any], rng: random.Random) -> Any:
    """Draw a variable of a type (``int``, ``float`` with one decimal, ``bool``, ``enum``) from its domain."""
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
    """Return how hard a value makes a puzzle, 0 to 1; a negative factor: smaller is harder."""
    low, high, exact = (Fraction(str(number)) for number in (domain[0], domain[-1], value))
    share = 0.5 if low == high else float((exact - low) / (high - low))
    return 1 - share if diff_factor < 0 else share


def draw_places(rule: Draw, sources: list[list[Any]], env: Mapping[str, Any], rng: random.Random) -> list:
    """Draw one set of items: ``[part][source]`` to a list of ``"__place__"``; Rejected if none fits."""
    amounts = [evaluate(formula, env) for formula in rule.amount] or [1] * len(sources)
    groups = rule.dim_cond or (tuple(range(len(sources))),)
    for _ in range(TRIES):
        parts = []
        for _ in range(evaluate(rule.dim, env)):
            parts.append([_items(rule, i, len(items), amounts[i], rng) for i, items in enumerate(sources)])
        # Parts must differ within each group of sources.
        different = [{tuple(tuple(part[i]) for i in group) for part in parts} for group in groups]
        if any(len(kinds) < len(parts) for kinds in different):
            continue
        places = [[[f"__{place}__" for place in items] for items in part] for part in parts]
        if holds(rule, "dim", resolve(places, sources), env):
            return places
    raise Rejected("no draw")


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


def draw_domain(rule: Draw, env: Mapping[str, Any], rng: random.Random, count: int) -> list:
    """Draw `count` sets that differ and meet the conditions of scope ``domain``, or reject."""
    sources = [evaluate(text, env) for text in rule.source]
    for _ in range(TRIES):
        drawn: list = []
        for _ in range(TRIES):
            if len(drawn) == count:
                break
            places = draw_places(rule, sources, env, rng)
            if not (rule.domain_cond and places in drawn):
                drawn.append(places)
        if len(drawn) < count:
            break
        if holds(rule, "domain", [resolve(places, sources) for places in drawn], env):
            return drawn
    raise Rejected("no draw")


def resolve(places: list, sources: list[list[Any]]) -> list[list[list[Any]]]:
    """Turn recorded places of one draw, ``[part][source][item]``, into values."""
    values = []
    for part in places:
        values.append([[_resolved(item, sources[i]) for item in items] for i, items in enumerate(part)])
    return values


def _resolved(item: Any, source: list[Any]) -> Any:
    """Return the value at a place; what is no place stands for itself."""
    match = _INDEX.fullmatch(item) if isinstance(item, str) else None
    if match is None:
        return item
    position = int(match.group(1))
    if position >= len(source):
        problem = f"the source has {len(source)} items"
        raise InputError("config", item, problem, "use a smaller place, or the value itself")
    return source[position]


def holds(rule: Draw, scope: str, values: list, env: Mapping[str, Any]) -> bool:
    """Tell whether values meet a rule's own conditions of a scope (``dim``, or ``domain``: one axis more)."""
    for condition in rule.custom_cond:
        if condition["scope"] != scope:
            continue
        draws = values if scope == "domain" else [values]
        chosen = [[[part[i] for i in condition["fields"]] for part in draw] for draw in draws]
        if not evaluate(condition["constraint"], env)(chosen if scope == "domain" else chosen[0]):
            return False
    return True


def as_symbol(rule: Draw, places: list, env: Mapping[str, Any]) -> Any:
    """Return a draw as formulas see it: items bare without `amount`, parts only with more than one."""
    parts = resolve(places, [evaluate(text, env) for text in rule.source])
    values = parts if rule.amount else [[items[0] for items in part] for part in parts]
    return values[0] if len(values) == 1 else values
