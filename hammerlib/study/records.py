"""All trial records of a study as tidy tables: read whole, or refused with the reason."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from hammerlib.errors import InputError, printable
from hammerlib.runs.storage import file_name, read_object
from hammerlib.runs.trials import record_status

# Signs that Markdown or a browser would obey.
_MARKUP = str.maketrans({"<": "&lt;", "|": r"\|", "[": r"\["})
# What all arms of a replicate share; where it differs, they are not paired.
PAIRED = ("start", "problems", "held_out", "topics", "unseen", "packages")
# Settings that a replicate draws anew, so that an arm does not keep them.
DRAWN = ("replicate",)


def foreign(text: object) -> str:
    """Return what others wrote (a topic, an error) as words of a Markdown page: no tag, link, line."""
    return printable(text).translate(_MARKUP)


def refuse_several(field: str, values: Iterable[object], problem: str) -> None:
    """Raise where values differ that have to be one."""
    seen = sorted({json.dumps(value, sort_keys=True) for value in values})
    if len(seen) > 1:
        raise InputError(field, seen, problem, "analyse them apart, or run the odd cells anew")


def refuse_mixed_arms(cells: Sequence[dict]) -> None:
    """Raise where an arm has other settings, or another twin, in some replicates than in others."""
    for arm in dict.fromkeys(cell["arm"] for cell in cells):
        same = [cell for cell in cells if cell["arm"] == arm]
        kept = [{k: v for k, v in cell["settings"].items() if k not in DRAWN} for cell in same]
        for name in dict.fromkeys(name for settings in kept for name in settings):
            found = (settings.get(name) for settings in kept)
            refuse_several(f"{arm}: {name}", found, "settings differ between replicates")
        refuse_several(f"{arm}: twin", (cell.get("twin") for cell in same), "twins differ")


def refuse_unpaired(cells: Sequence[dict]) -> None:
    """Raise where the arms of a replicate do not share what they are to share, their first point among it."""
    for replicate in sorted({cell["replicate"] for cell in cells}):
        same = [cell for cell in cells if cell["replicate"] == replicate]
        for name in PAIRED:
            problem = "arms of a replicate differ, so they are not paired"
            refuse_several(f"replicate {replicate}: {name}", (cell[name] for cell in same), problem)
        first = {cell["arm"]: json.dumps(cell["curve"][0]["correct"]) for cell in same}
        if not same[0]["packages"]["torch"].endswith("+cpu"):
            continue
        usual = Counter(first.values()).most_common(1)[0][0]
        odd = [f"{arm}__r{replicate:02d}" for arm, seen in first.items() if seen != usual]
        if odd:
            problem = "differ from the other arms before training, so they are not paired"
            remedy = "run them anew with the code and on the machine of the others"
            raise InputError(f"replicate {replicate}: curve[0].correct", odd, problem, remedy)


SCHEMA = 1
FIRST = ("random", "hammer", "min-path", "dra")  # arms of the primary contrasts lead every table
AXES = ("step", "rollouts", "prompts", "tokens", "seconds")
ALTERED = "of other settings"  # why a finished cell is left out


@dataclass(frozen=True, eq=False)  # one object is one reading: what is computed of it is kept
class Records:
    """The finished cells of one study, and what is missing.

    Attributes
    ----------
    study : str
        Its name.
    cells : tuple of dict
        One record a cell with status ``success``, by arm and replicate.
    missing : DataFrame
        Columns ``arm, replicate, reason``: cells without a record, cells that failed, and cells whose
        settings are not those of the study's file.
    """

    study: str
    cells: tuple[dict, ...]
    missing: pd.DataFrame

    @property
    def arms(self) -> list[str]:
        """Names of the arms: those of the primary contrasts, then by the alphabet."""
        return list(dict.fromkeys(cell["arm"] for cell in self.cells))

    def of(self, arm: str) -> dict[int, dict]:
        """Return the cells of an arm by replicate; empty where it has none."""
        return {cell["replicate"]: cell for cell in self.cells if cell["arm"] == arm}

    def twins(self) -> dict[str, str]:
        """Return the twin of each arm that has one."""
        pairs = {cell["arm"]: cell["twin"] for cell in self.cells}
        return {arm: twin for arm, twin in pairs.items() if twin not in (None, arm)}

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a cell: what it is, and what it used on the way."""
        return pd.DataFrame([_row(cell) for cell in self.cells])

    @cached_property
    def points(self) -> pd.DataFrame:
        """One row a cell, point of its curve and family: axes, right and drawn samples."""
        return pd.DataFrame([row for cell in self.cells for row in _points(cell)])

    @cached_property
    def training(self) -> pd.DataFrame:
        """One row a cell, optimizer step (from 1) and logged metric."""
        rows = [
            {"arm": cell["arm"], "replicate": cell["replicate"], "step": step, "metric": name, "value": value}
            for cell in self.cells
            for name, values in cell["training"].items()
            for step, value in enumerate(values, start=1)
        ]
        return pd.DataFrame(rows, columns=["arm", "replicate", "step", "metric", "value"])


def read_records(folder: Path, expected: Mapping[tuple[str, int], str] | None = None) -> Records:
    """Read every ``*.json`` of a study's folder, and refuse what cannot stand in one table.

    Parameters
    ----------
    folder : Path
        ``results/study/<study>``.
    expected : mapping of (arm, replicate) to str, optional
        The cells of the plan and the identity of their settings. Default: each arm in every replicate found,
        up to its own last one, whatever its settings.

    Returns
    -------
    Records
        Failed cells count as missing, with their error; so do cells whose settings are not the plan's.

    Raises
    ------
    InputError
        No record, a file that is none, several studies, a cell twice, an arm with several settings or twins,
        a replicate whose arms had different starts, problems, held-out problems or packages, or were not the
        same model before training, a cell that the plan does not hold.
    """
    found = [_read(path) for path in sorted(Path(folder).glob("*.json"))]
    if not found:
        remedy = "run the study first: hammer sweep configs/study/NAME.yaml"
        raise InputError("folder", Path(folder).name, "holds no record of a cell", remedy)
    return collected(found, expected)


def collected(found: Sequence[dict], expected: Mapping[tuple[str, int], str] | None = None) -> Records:
    """Check records and put them side by side."""
    refuse_several("study", (cell["study"] for cell in found), "records of several studies")
    keys = [(cell["arm"], cell["replicate"]) for cell in found]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise InputError("cell", list(twice[0]), "has two records", "keep one of the files")
    planned = expected if expected is not None else dict.fromkeys(_grid(keys))
    strange = sorted(set(keys) - set(planned))
    if strange:
        problem = "is no cell of the plan"
        raise InputError("cell", list(strange[0]), problem, "use the study file it was made with")
    done = tuple(cell for cell in found if _status(cell, planned) == "done")
    refuse_mixed_arms(done)
    refuse_unpaired(done)
    ordered = sorted(done, key=lambda cell: (*_place(cell["arm"]), cell["replicate"]))
    return Records(found[0]["study"], tuple(ordered), _missing(found, planned))


def _place(arm: str) -> tuple[int, str]:
    return (FIRST.index(arm) if arm in FIRST else len(FIRST)), arm


def _read(path: Path) -> dict:
    remedy = "restore it from a copy, or remove it: its cell runs again"
    try:
        record = read_object(path)
        version = record["schema_version"]
        record.setdefault("study", path.parent.name)  # a cell that died tells only its name and why
        named = record["arm"], record["replicate"], record["status"]
        if record["status"] == "success":
            _check_shape(record)
    except (OSError, ValueError, KeyError, TypeError) as error:
        told = f"lacks {error}" if isinstance(error, KeyError) else getattr(error, "strerror", None) or error
        raise InputError("record", path.name, f"is no record of a cell ({told})", remedy) from None
    if not isinstance(named[0], str) or isinstance(named[1], bool) or not isinstance(named[1], int):
        raise InputError("record", path.name, "names its cell by other than a text and a number", remedy)
    if version != SCHEMA or named[2] not in ("success", "error"):
        problem = f"has schema {version} and status {named[2]!r}"
        raise InputError("record", path.name, problem, f"schema {SCHEMA}, success or error are known")
    return _plain(record)


def _plain(record: dict) -> dict:
    """The record with names that are names, and what others wrote as words of a page."""
    for name in ("study", "arm", "twin"):
        if record.get(name) is not None:
            file_name(name, record[name])
    for name in ("topics", "unseen"):
        if name in record:
            record[name] = [foreign(one) for one in record[name]]
    for name in ("error", "commit"):
        if record.get(name) is not None:
            record[name] = foreign(record[name])
    return record


def _check_shape(record: dict) -> None:
    """Raise TypeError or KeyError where a finished record lacks what every table of it reads."""
    held = {"identity": str, "start": dict, "settings": dict, "topics": list, "unseen": list}
    for name, kind in (held | {"training": dict, "curve": list}).items():
        if not isinstance(record[name], kind):
            raise TypeError(f"{name} is of another type")
    if not record["curve"]:
        raise TypeError("its curve is empty")
    for point in record["curve"]:
        if any(isinstance(point[axis], bool) or not isinstance(point[axis], int | float) for axis in AXES):
            raise TypeError("a point of its curve is no number")
        if len(point["correct"]) != len(record["topics"]):
            raise TypeError("a point of its curve has another number of problems than topics")


def _grid(keys: Collection[tuple[str, int]]) -> list[tuple[str, int]]:
    last: dict[str, int] = {}
    for arm, replicate in keys:
        last[arm] = max(replicate, last.get(arm, replicate))
    replicates = sorted({one for _, one in keys})
    return [(arm, one) for arm in last for one in replicates if one <= last[arm]]


def _status(cell: dict, planned: Mapping[tuple[str, int], str | None]) -> str:
    """``other`` where a finished cell was made with settings that the study's file no longer has."""
    wanted = planned[cell["arm"], cell["replicate"]]
    return record_status(cell, cell.get("identity") if wanted is None else wanted)


def _missing(found: Sequence[dict], planned: Mapping[tuple[str, int], str | None]) -> pd.DataFrame:
    state = {(cell["arm"], cell["replicate"]): cell for cell in found}
    rows = []
    for key in sorted(planned, key=lambda key: (*_place(key[0]), key[1])):
        if key not in state:
            rows.append((*key, "no record"))
        elif _status(state[key], planned) == "failed":
            rows.append((*key, str(state[key].get("error"))))
        elif _status(state[key], planned) == "other":
            rows.append((*key, ALTERED))
    return pd.DataFrame(rows, columns=["arm", "replicate", "reason"])


def _row(cell: dict) -> dict[str, object]:
    start, last, order = cell["start"], cell["curve"][-1], cell.get("order") or {}
    kept = ("arm", "twin", "replicate", "identity", "commit", "dirty", "problems", "held_out")
    return {
        **{name: cell.get(name) for name in kept},
        "start": start_name(cell),
        "lineage": lineage(cell),
        "parameters": start.get("parameters"),
        "order": order.get("strategy"),
        "order_hash": order.get("hash"),
        "cost": order.get("cost"),
        "random_cost": order.get("random_cost"),
        "probe_rollouts": cell.get("probe_rollouts", 0),
        **{axis: last[axis] for axis in AXES},
    }


def start_name(cell: dict) -> str:
    """Return which start a cell trained from: seed and stopping point, or the backbone's name."""
    start = cell["start"]
    if "stop" in start:
        return f"seed {start['seed']}, stop {start['stop']}"
    return str(start.get("backbone", start.get("weights")))


def lineage(cell: dict) -> str:
    """Return the supervised run that a cell's start is a checkpoint of, or the backbone's name."""
    return start_name(cell).partition(", stop")[0]


def filtered(cell: dict) -> bool:
    """Return whether groups without variance are left out of the cell's training and replaced."""
    return bool(cell["settings"].get("train", {}).get("dynamic_sampling"))


def samples_of(cell: dict) -> int:
    """Return how many samples of a held-out problem stand behind each point of the curve."""
    samples = cell["settings"].get("samples")
    if not samples:
        problem = "the record does not say how many samples a point has"
        raise InputError("samples", samples, problem, "run the cell anew")
    return int(samples)


def _points(cell: dict) -> Iterable[dict[str, object]]:
    topics, unseen = pd.Series(cell["topics"]), set(cell["unseen"])
    samples = samples_of(cell)
    for place, point in enumerate(cell["curve"]):
        right = pd.Series(point["correct"]).groupby(topics)
        for family, total in right.sum().items():
            yield {
                "arm": cell["arm"],
                "replicate": cell["replicate"],
                "point": place,
                **{axis: point[axis] for axis in AXES},
                "family": family,
                "unseen": family in unseen,
                "right": int(total),
                "problems": int(right.size()[family]),
                "samples": samples,
            }
