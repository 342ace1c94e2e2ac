"""The Order: a permutation with its cost, where it came from, and the problems it belongs to."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hammerlib.errors import InputError
from hammerlib.runs.storage import content_hash, write_json

if TYPE_CHECKING:
    import datasets

SCHEMA_VERSION = 1
UNKNOWN = 1e-12  # between bound and random orders: less is what sums in double precision leave open
EXACT = 4e-15  # between cost and bound: a few roundings of the last bit
REMAKE = "make the order again with order_by"


class WhenAsked:
    """A field that may be given as a function: it is called when the field is first read."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.key = f"_{name}"

    def __get__(self, order: Order | None, owner: type | None = None) -> float | None:
        if order is None:
            return None  # the field's default
        value = order.__dict__[self.key]
        if callable(value):
            value = order.__dict__[self.key] = value()
        return value

    def __set__(self, order: Order, value: object) -> None:
        order.__dict__[self.key] = value


@dataclass(frozen=True, eq=False)
class Order:
    """The sequence in which problems are trained, as a record that the next stage can check.

    Parameters
    ----------
    permutation : (n,) int64 array
        Position t trains problem ``permutation[t]``.
    strategy : str
        Name under which `order_by` made it.
    cost : float or None
        Mean cosine per edge of the vectors used, in [-1, 1]; None without vectors or for n < 2.
    random_cost : float or None
        What a random order of the same vectors costs on average (closed form).
    lower_bound : float or None
        Certified: no order of these vectors has a smaller mean cosine. None if not asked for. Solved for when
        it, `gap`, `hash` or the saved record is first asked for.
    gap : float or None
        ``(cost - lower_bound) / (random_cost - lower_bound)``: 0 at the bound, 1 like random; None without a
        bound, and where bound and random orders lie too close to tell (unknown).
    provenance : dict
        Strategy, seed, options, centre, embeddings key, backbone, layer, pooling, template, n, version;
        `repeats`: rows that equal an earlier one, and how often the order puts equal rows side by side.
    item_hashes : list of n str or None
        One hash per problem of the table that was ordered, in table order; None if no table was given.

    Raises
    ------
    InputError
        `permutation` does not name every item once, or `item_hashes` has another length.

    Notes
    -----
    Source: ours. The cost is that of the path of HAMMER (arXiv 2509.25240, section 1.2) for any order; the
    bound is explained in `hammerlib.ordering.certificate`.

    Examples
    --------
    >>> import numpy as np
    >>> Order(np.array([1, 0]), "dataset").hash == Order(np.array([1, 0]), "dataset").hash
    True
    """

    permutation: np.ndarray
    strategy: str
    cost: float | None = None
    random_cost: float | None = None
    lower_bound: float | None = WhenAsked()
    gap: float | None = WhenAsked()
    provenance: dict[str, Any] = field(default_factory=dict)
    item_hashes: list[str] | None = None

    def __post_init__(self) -> None:
        items = as_permutation(self.permutation, "permutation")
        if self.item_hashes is not None and len(self.item_hashes) != len(items):
            raise InputError("item_hashes", len(self.item_hashes), f"are not {len(items)} hashes", REMAKE)
        # a copy that nobody can change: the hash stays that of what is trained
        frozen = np.array(items, dtype=np.int64, order="C")
        frozen.setflags(write=False)
        object.__setattr__(self, "permutation", frozen)

    def __len__(self) -> int:
        return len(self.permutation)

    def __getstate__(self) -> dict[str, Any]:
        """Fields with their values, for other processes: what was to be solved when asked is solved now."""
        self._content()
        return self.__dict__

    @property
    def hash(self) -> str:
        """Return the sha256 of everything in the record."""
        return content_hash(self._content())

    def _content(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "strategy": self.strategy,
            "cost": self.cost,
            "random_cost": self.random_cost,
            "lower_bound": self.lower_bound,
            "gap": self.gap,
            "provenance": self.provenance,
            "permutation": self.permutation.tolist(),
            "item_hashes": self.item_hashes,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the record as JSON, whole or not at all.

        Parameters
        ----------
        path : path
            Usually ``order.json``.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> target = Path(tempfile.mkdtemp()) / "order.json"
        >>> Order(np.array([1, 0]), "dataset").save(target)
        >>> Order.load(target).permutation.tolist()
        [1, 0]
        """
        write_json(path, {**self._content(), "hash": self.hash})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Order:
        """Read a record and refuse it if anything in it was changed."""
        content = _read(path)
        stored = content.pop("hash", None)
        if content.get("schema_version") != SCHEMA_VERSION:
            raise InputError("order", str(path), f"is no order of schema version {SCHEMA_VERSION}", REMAKE)
        # over everything but itself, as `hash` is made
        if content_hash(content) != stored:
            raise InputError("order", str(path), "was changed after it was written (hash mismatch)", REMAKE)
        del content["schema_version"]
        try:
            return cls(**content)
        except TypeError as error:
            raise InputError("order", str(path), f"has fields missing or unknown ({error})", REMAKE) from None

    def verify(self, problems: datasets.Dataset) -> None:
        """Refuse problems that this order was not made for."""
        from hammerlib.problems import item_hashes  # here, because arrays can be ordered without `datasets`

        if not hasattr(problems, "column_names"):
            raise InputError("problems", problems, "are no table of problems", "make one with load_problems")
        if self.item_hashes is None:
            remedy = "pass problems= to order_by when making it"
            raise InputError("order", self.strategy, "does not say which problems it was made for", remedy)
        if len(problems) != len(self):
            raise InputError("order", len(self), f"was made for another number than {len(problems)}", REMAKE)
        hashes = item_hashes(problems)
        # row by row: the permutation speaks of rows, not of ids
        changed = np.flatnonzero(np.array(self.item_hashes) != np.array(hashes))
        if len(changed):
            first = str(problems[int(changed[0])]["id"])
            what = "others"
            if set(hashes) == set(self.item_hashes):
                what = "the same problems in another row order"
            problem = f"was made for {what}: {len(changed)} of {len(self)} rows differ, first id {first!r}"
            raise InputError("order", self.strategy, problem, REMAKE)

    def apply(self, problems: datasets.Dataset) -> datasets.Dataset:
        """Return the problems in this order, after :meth:`verify`."""
        self.verify(problems)
        return problems.select(self.permutation.tolist())


def as_permutation(values: object, field: str) -> np.ndarray:
    """Return a sequence that names each of n items once as an (n,) integer array."""
    try:
        items = np.asarray(values)
    except ValueError:  # rows of different lengths
        items = np.asarray(None)
    whole = items.ndim == 1 and (items.dtype.kind in "iu" or not items.size)
    if not whole or not np.array_equal(np.sort(items), np.arange(items.size)):
        given = values.tolist() if isinstance(values, np.ndarray) else values
        raise InputError(field, given, "does not name every item exactly once", REMAKE)
    return items


def normalised_gap(cost: float, bound: float, random: float) -> float:
    """Return the share of the gain over random orders that a cost leaves: 0 at the bound, NaN if unknown."""
    if random - bound > UNKNOWN:
        return (cost - bound) / (random - bound)
    return 0.0 if cost - bound <= EXACT else float("nan")


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the JSON object in a file, or an InputError that names the file."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, TypeError, ValueError, RecursionError) as error:
        name = str(path) if isinstance(path, str | Path) else path
        raise InputError("order", name, f"cannot be read ({error})", "name a saved order.json") from None
    if not isinstance(content, dict):
        raise InputError("order", str(path), "holds no order record", "name a saved order.json")
    return content
