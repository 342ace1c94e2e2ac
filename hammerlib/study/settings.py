"""How an arm orders its problems, checked before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from hammerlib.errors import InputError, check_fields, unknown
from hammerlib.ordering import STRATEGIES
from hammerlib.ordering.options import check_order_options

# Orders that are made of another one (option `of`), with the options that are their own.
DERIVED = {
    "reversed": (),
    "batch-shuffled": ("window",),
    "random-batches": ("window", "block"),
    "matched": ("bins", "by"),
}
ORDERS = tuple(dict.fromkeys((*STRATEGIES, *DERIVED)))
BY_EASE = ("easy-to-hard", "hard-to-easy")
# What ``matched`` keeps of the course of the order that it is made of.
COURSES = ("length-and-pass-rate", "topic")
# Orders whose objective is the same forwards and backwards.
UNDIRECTED = ("min-path", "batch-diverse")


@dataclass(frozen=True)
class OrderSettings:
    """How an arm orders its problems.

    Parameters
    ----------
    order : str
        A strategy of `hammerlib.order_by`, ``random-batches`` (`controls.random_batches`) or ``matched``
        (`controls.matched`); the last two, ``reversed`` and ``batch-shuffled`` are made of the order that the
        option `of` names (default ``hammer``), which gets the options that are not their own. ``matched``
        keeps the course of what `by` names: ``length-and-pass-rate`` (default) or ``topic``.
    options : mapping
        Of the strategy, with `centre`. Also, for any order, one of: ``cooldown: 0.2`` (that share of the
        problems is drawn beforehand and comes last in random order; the head is whole steps) and
        ``inside: [0.2, 0.8]`` (only problems whose pass rate lies there, ends included, are put in the order;
        the others follow at random).
    vectors : {"backbone", "untrained", "tfidf"}
        See `hammerlib.study.vectors.order_vectors`.
    direction : {"forward", "either"}
        ``either``: the seed decides whether the order is trained forwards or backwards; only for orders whose
        objective has no direction (min-path, batch-diverse).
    window : int
        Prompts a step, at least 1: what `window` is where the options leave it out.

    Raises
    ------
    InputError
        Anything unknown or out of range, before a vector is computed.

    Notes
    -----
    Source: ours, but for the strategies; HAMMER (arXiv 2509.25240) is not known to have such controls.

    Examples
    --------
    >>> OrderSettings("matched", {"of": "hammer", "start": "random"}).needs_pass_rates
    True
    """

    order: str = "random"
    options: dict[str, JsonValue] = field(default_factory=dict)
    vectors: Literal["backbone", "untrained", "tfidf"] = "backbone"
    direction: Literal["forward", "either"] = "forward"
    window: Annotated[int, Field(ge=1)] = 8

    def __post_init__(self) -> None:
        check_fields(OrderSettings, vars(self), "order")
        if self.order not in ORDERS:
            raise unknown("order", self.order, ORDERS)
        around = ("centre", "cooldown", "inside")
        check_order_options(self.order, self.options, derived=DERIVED, always=around)
        if self.direction == "either" and self.order not in UNDIRECTED:
            remedy = f"leave it out; only {' and '.join(UNDIRECTED)} read the same both ways"
            raise InputError("direction", "either", f"would make {self.order!r} another order", remedy)
        _check_around(self.options)

    @property
    def _base(self) -> str:
        return self.options.get("of", "hammer") if self.order in DERIVED else self.order

    @property
    def needs_pass_rates(self) -> bool:
        """Whether the start has to be sampled before there is an order."""
        eases = self.order == "matched" and self._course == COURSES[0]
        return eases or self._base in BY_EASE or "inside" in self.options

    @property
    def _course(self) -> Any:
        return self.options.get("by", COURSES[0]) if self.order == "matched" else COURSES[0]


def _check_around(options: dict[str, Any]) -> None:
    share, inside = options.get("cooldown"), options.get("inside")
    if share is not None and inside is not None:
        raise InputError("options", ["cooldown", "inside"], "both say what comes last", "give one of them")
    if inside is not None:
        check_interval("inside", inside)


def check_interval(field: str, interval: Any) -> tuple[float, float]:
    """Return the two ends of an interval of pass rates, or refuse it.

    Parameters
    ----------
    field : str
        Named in the error.
    interval : sequence of two numbers
        0 <= low <= high <= 1.

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_interval("inside", [0.2, 0.8])
    (0.2, 0.8)
    """
    ends = list(interval) if isinstance(interval, list | tuple) else []
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends)
    if len(ends) != 2 or not numbers or not 0 <= ends[0] <= ends[1] <= 1:
        raise InputError(field, interval, "are no two pass rates, low and high", "use [0.2, 0.8]")
    return float(ends[0]), float(ends[1])
