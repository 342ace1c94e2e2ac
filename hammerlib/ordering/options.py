"""What the options of a strategy may be, so that a wrong one is refused before anything is embedded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from hammerlib.errors import InputError, check_fields, unknown
from hammerlib.ordering.path import check_eta
from hammerlib.ordering.strategies import _TABLE, CENTRES

Count = Annotated[int, Field(ge=1)]
ALWAYS = ("centre", "certify")  # parameters of order_by itself
# Strategies made of another one (option `of`), with the options that are their own.
DERIVED: dict[str, tuple[str, ...]] = {"reversed": (), "batch-shuffled": ("window",)}


@dataclass(frozen=True)
class OrderOptions:
    """Every option of any strategy, the study's controls among them; None where it is not given."""

    centre: Literal["none", "argmin", "renormalise"] = CENTRES[0]
    certify: bool = True
    start: Literal["least-similar", "first", "random"] = "least-similar"
    eta: Annotated[float, Field(ge=0)] = 0.0
    eta_mode: Literal["epsilon", "pool", "subsample"] = "epsilon"
    gap: Annotated[float, Field(ge=0)] | None = None
    seconds: Annotated[float, Field(gt=0)] | None = None
    ridge: Annotated[float, Field(gt=0)] = 0.1
    pass_rate: Any = None
    of: str = "hammer"
    window: Count | None = None
    block: Count | None = None
    bins: Count | None = None
    by: Literal["length-and-pass-rate", "topic"] | None = None
    cooldown: Annotated[float, Field(gt=0, lt=1)] | None = None
    inside: Any = None


def check_order_options(
    strategy: str,
    options: object,
    *,
    field: str = "order_options",
    derived: Mapping[str, tuple[str, ...]] = DERIVED,
    always: tuple[str, ...] = ALWAYS,
) -> None:
    """Refuse options that a strategy does not know, or values that it cannot use.

    Parameters
    ----------
    strategy : str
        A known one, or a key of `derived`.
    options : mapping of str to object
    field : str
        What they are to the user.
    derived : mapping of str to tuple of str
        Strategies that are made of another one, with their own options.
    always : tuple of str
        Options that stand beside any strategy.

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_order_options("hammer", {"eta": 0.1, "start": "random"})
    >>> check_order_options("hammer", {"window": 8})
    Traceback (most recent call last):
    hammerlib.errors.InputError: order_options = 'window': is no option of 'hammer'; use one of centre, ...
    """
    known, name = [*always], strategy
    given = options if isinstance(options, Mapping) else {}
    if name in derived:
        known += [*derived[name], "of"]
        name = given.get("of", "hammer")
        if not isinstance(name, str) or name not in (*_TABLE, *derived):
            raise unknown(f"{field}.of", name, (*_TABLE, *derived))
    if name in derived:  # twice derived: the inner one is made of its default
        known, name = [*known, *derived[name]], "hammer"
    known += _TABLE[name].options
    for one in given:
        if one not in known:
            raise unknown(field, one, known, f"is no option of {strategy!r}")
    check_fields(OrderOptions, options, "order_options", inside=field)
    if "eta" in given:
        check_eta(given["eta"], given.get("eta_mode", "epsilon"))
    if given.get("centre") == "argmin" and not _TABLE[name].chooses_greedily:
        problem = f"changes nothing in {name!r}, which makes no greedy choice"
        raise InputError(f"{field}.centre", "argmin", problem, "use centre: none or renormalise")
