"""Random choices that are written down: a puzzle is its specification plus the record of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from hammerlib.errors import InputError


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
