"""All trial records of a study as tidy tables: read whole, or refused with the reason."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from hammerlib.errors import InputError, printable
from hammerlib.runs.storage import file_name, read_object
from hammerlib.runs.trials import record_status
from hammerlib.study import PROTOCOL

SCHEMA = 1
# Arms of the primary contrasts lead every table.
_ARMS, _CONTROLS = zip(*PROTOCOL["primaries"], strict=True)
LEADING = list(dict.fromkeys([*_CONTROLS, *_ARMS]))
AXES = ("step", "rollouts", "prompts", "tokens", "seconds")
# What every table of a finished record reads.
SHAPE = {"identity": str, "start": dict, "settings": dict, "topics": list, "unseen": list, "training": dict}
# What all arms of a replicate share; where it differs, they are not paired.
PAIRED = ("start", "problems", "held_out", "topics", "unseen", "packages")
ALTERED = "of other settings"  # why a finished trial is left out
# Signs that Markdown or a browser would obey.
MARKUP = str.maketrans({"<": "&lt;", "|": r"\|", "[": r"\["})


@dataclass(frozen=True, eq=False)  # one object is one reading: what is computed of it is kept
class Records:
    """The finished trials of one study, and what is missing."""

    study: str
    cells: tuple[dict, ...]  # one record a trial with status ``success``, by arm and replicate
    # Columns arm, replicate, reason: trials without a record, failed ones, and those of other settings.
    missing: pd.DataFrame

    @property
    def arms(self) -> list[str]:
        """Names of the arms: those of the primary contrasts, then by the alphabet."""
        return list(dict.fromkeys(trial["arm"] for trial in self.cells))

    def of(self, arm: str) -> dict[int, dict]:
        """Return the trials of an arm by replicate; empty where it has none."""
        return {trial["replicate"]: trial for trial in self.cells if trial["arm"] == arm}

    @property
    def primaries(self) -> tuple[tuple[str, str], ...]:
        """The contrasts (arm, control arm) named before any run: the study's own, else the protocol's."""
        own = self.cells[0].get("primaries") if self.cells else None
        return tuple((arm, control) for arm, control in own or PROTOCOL["primaries"])

    @property
    def primary_endpoint(self) -> str:
        """What the primary contrasts are judged by."""
        own = self.cells[0].get("primary_endpoint") if self.cells else None
        return own or PROTOCOL["primary_endpoint"]

    @property
    def probed(self) -> bool:
        """Whether the points of its curves hold the entropy over fixed answers."""
        return all("probe_entropy" in point for trial in self.cells for point in trial["curve"])

    def measures(self, endpoint: str) -> bool:
        """Whether its trials measure an endpoint that only some studies have."""
        if endpoint == "probe_entropy":
            return self.probed
        if endpoint == "gap":
            return all("trained" in trial for trial in self.cells)
        if endpoint in ("macro", "worst"):
            return all(trial["settings"].get("shares") for trial in self.cells)
        return True

    def twins(self) -> dict[str, str]:
        """Return the control arm of each arm that has one."""
        pairs = {trial["arm"]: trial["twin"] for trial in self.cells}
        return {arm: control for arm, control in pairs.items() if control not in (None, arm)}

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a trial: what it is, and what it used on the way."""
        rows = []
        for trial in self.cells:
            order = trial.get("order") or {}
            last = trial["curve"][-1]
            kept = ("arm", "replicate", "commit", "dirty", "problems", "held_out")
            row = {name: trial.get(name) for name in kept}
            row |= {"start": start_name(trial), "lineage": lineage(trial)}
            row |= {"parameters": trial["start"].get("parameters"), "order": order.get("strategy")}
            row |= {"cost": order.get("cost"), "random_cost": order.get("random_cost")}
            row["probe_rollouts"] = trial.get("probe_rollouts", 0)
            rows.append(row | {axis: last[column] for axis, column in columns_of(trial).items()})
        return pd.DataFrame(rows)


# What a record says


def start_name(trial: dict) -> str:
    """Return the initial checkpoint of a trial: seed and stopping point, or the backbone's name."""
    start = trial["start"]
    if "stop" in start:
        return f"seed {start['seed']}, stop {start['stop']}"
    name = str(start.get("backbone", start.get("weights")))
    return f"{name}, seed {start['seed']}" if "seed" in start else name


def lineage(trial: dict) -> str:
    """Return the SFT run that a trial's initial checkpoint comes from, or the backbone's name."""
    return start_name(trial).partition(", stop")[0]


def filtered(trial: dict) -> bool:
    """Return whether groups without variance are left out of the trial's training and replaced."""
    return bool(trial["settings"].get("train", {}).get("dynamic_sampling"))


def counts_samples(trial: dict) -> bool:
    """Return whether a record holds all tokens that were sampled; older ones hold those trained on."""
    return all("sampled_tokens" in point for point in trial["curve"])


def columns_of(trial: dict) -> dict[str, str]:
    """Return in which entry of a curve's points each axis stands."""
    columns = {axis: axis for axis in AXES}
    if counts_samples(trial):
        columns["tokens"] = "sampled_tokens"
    return columns


def adjusts_advantages(trial: dict) -> bool:
    """Return whether an algorithm changes advantages behind the rewards that telemetry saw."""
    settings = trial["settings"]
    return bool(settings.get("bonus") or settings.get("train", {}).get("algorithms"))


def samples_of(trial: dict) -> int:
    """Return how many samples of a held-out problem stand behind each point of the curve."""
    samples = trial["settings"].get("samples")
    if not samples:
        problem = "the record does not say how many samples a point has"
        raise InputError("samples", samples, problem, "run the cell anew")
    return int(samples)


def foreign(text: object) -> str:
    """Return what others wrote (a topic, an error) as words of Markdown: no tag, link, cell or line."""
    # Pages are shown in notebooks too, where a tag would be obeyed.
    return printable(text).translate(MARKUP)


# Reading

COUNTS = ("correct", "greedy")  # lists of small whole numbers in a point of the curve and in ``final``


def _counted(record: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Where a record may hold counts a problem: the entry and its name."""
    for entry in [*(record.get("curve") or []), record.get("final"), record.get("trained")]:
        if isinstance(entry, dict):
            yield from ((entry, name) for name in COUNTS if name in entry)


def pack_counts(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record with lists of digits as one text: ``[1, 0, 2]`` is ``"102"``, a third of its size."""
    record = copy.deepcopy(record)
    for entry, name in _counted(record):
        if all(type(count) is int and 0 <= count <= 9 for count in entry[name]):
            entry[name] = "".join(map(str, entry[name]))
    return record


def unpack_counts(record: dict[str, Any]) -> None:
    """Turn digits back into lists, in place; records from before hold lists already."""
    for entry, name in _counted(record):
        digits = entry[name]
        if isinstance(digits, str):
            if not (digits.isascii() and digits.isdigit()):
                raise ValueError(f"{name} is no text of digits")
            entry[name] = [int(digit) for digit in digits]


def read_records(folder: Path, expected: Mapping[tuple[str, int], str] | None = None) -> Records:
    """Read every ``*.json`` of a study's folder, and refuse what cannot stand in one table.

    `expected` are the trials of the plan, (arm, replicate) to the identity of their settings; default each
    arm in every replicate found, up to its own last one, whatever its settings. Failed trials count as
    missing, with their error; so do those whose settings are not the plan's.
    """
    records = [_read(path) for path in sorted(Path(folder).glob("*.json"))]
    if not records:
        remedy = "run the study first: hammer sweep configs/study/NAME.yaml"
        raise InputError("folder", Path(folder).name, "holds no record of a cell", remedy)
    return collected(records, expected)


def collected(found: Sequence[dict], expected: Mapping[tuple[str, int], str] | None = None) -> Records:
    """Check records, as their files hold them, and put them side by side, as `read_records` does."""
    _refuse_several("study", (record["study"] for record in found), "records of several studies")
    for name in ("primaries", "primary_endpoint"):
        plans = (record.get(name) for record in found if record["status"] == "success")
        _refuse_several(name, plans, "records of several plans")
    # Two files of one trial would be two replicates in every table.
    by_key = {(record["arm"], record["replicate"]): record for record in found}
    if len(by_key) < len(found):
        counts = Counter((record["arm"], record["replicate"]) for record in found)
        twice = min(key for key, count in counts.items() if count > 1)
        raise InputError("cell", list(twice), "has two records", "keep one of the files")
    # a plan tells what is missing; without one the arms that are there say what was meant
    planned = _grid(by_key) if expected is None else expected
    strange = sorted(set(by_key) - set(planned))
    if strange:
        problem = "is no cell of the plan"
        raise InputError("cell", list(strange[0]), problem, "use the study file it was made with")

    def by_arm(key: tuple[str, int]) -> tuple:
        arm, replicate = key
        return (LEADING.index(arm) if arm in LEADING else len(LEADING)), arm, replicate

    done = []
    missing = []
    for key in sorted(planned, key=by_arm):
        record = by_key.get(key)
        if record is None:
            missing.append((*key, "no record"))
            continue
        # Without a plan there is nothing to differ from.
        status = record_status(record, planned[key] or record.get("identity"))
        if status == "done":
            done.append(record)
        else:
            missing.append((*key, ALTERED if status == "other" else str(record.get("error"))))
    _refuse_mixed_arms(done)
    _refuse_unpaired(done)
    columns = ["arm", "replicate", "reason"]
    return Records(found[0]["study"], tuple(done), pd.DataFrame(missing, columns=columns))


def _grid(keys: Iterable[tuple[str, int]]) -> dict[tuple[str, int], None]:
    """Every arm in each replicate found, up to its own last one."""
    last: dict[str, int] = {}
    for arm, replicate in keys:
        last[arm] = max(replicate, last.get(arm, replicate))
    replicates = sorted({replicate for _, replicate in keys})
    return {(arm, number): None for arm in last for number in replicates if number <= last[arm]}


def _read(path: Path) -> dict:
    remedy = "restore it from a copy, or remove it: its cell runs again"
    try:
        record = read_object(path)
        version = record["schema_version"]
        record.setdefault("study", path.parent.name)  # a trial that died tells only its name and why
        unpack_counts(record)
        arm = record["arm"]
        replicate = record["replicate"]
        status = record["status"]
        if status == "success":
            _check_shape(record)
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, KeyError):
            reason = f"lacks {error}"
        else:
            reason = getattr(error, "strerror", None) or str(error)
        raise InputError("record", path.name, f"is no record of a cell ({reason})", remedy) from None
    if not isinstance(arm, str) or isinstance(replicate, bool) or not isinstance(replicate, int):
        raise InputError("record", path.name, "names its cell by other than a text and a number", remedy)
    if version != SCHEMA or status not in ("success", "error"):
        problem = f"has schema {version} and status {status!r}"
        raise InputError("record", path.name, problem, f"schema {SCHEMA}, success or error are known")
    # Names have to be names of files; what others wrote becomes words of a page.
    for name in ("study", "arm", "twin"):
        if record.get(name) is not None:
            file_name(name, record[name])
    for name in ("topics", "unseen"):
        if name in record:
            record[name] = [foreign(topic) for topic in record[name]]
    for name in ("error", "commit"):
        if record.get(name) is not None:
            record[name] = foreign(record[name])
    return record


def _check_shape(record: dict) -> None:
    """Raise TypeError or KeyError where a finished record lacks what every table of it reads."""
    for name, kind in (SHAPE | {"curve": list}).items():
        if not isinstance(record[name], kind):
            raise TypeError(f"{name} is of another type")
    if not record["curve"]:
        raise TypeError("its curve is empty")
    for point in record["curve"]:
        if any(isinstance(point[axis], bool) or not isinstance(point[axis], int | float) for axis in AXES):
            raise TypeError("a point of its curve is no number")
        if len(point["correct"]) != len(record["topics"]):
            raise TypeError("a point of its curve has another number of problems than topics")


# What cannot stand in one table


def _refuse_several(field: str, values: Iterable[object], problem: str) -> None:
    """Raise where JSON values differ that have to be one."""
    seen = sorted({json.dumps(value, sort_keys=True) for value in values})
    if len(seen) > 1:
        raise InputError(field, seen, problem, "analyse them apart, or run the odd cells anew")


def _refuse_mixed_arms(trials: Sequence[dict]) -> None:
    """Raise where an arm has other settings, or another control arm, in some replicates than in others."""
    for arm in dict.fromkeys(trial["arm"] for trial in trials):
        same = [trial for trial in trials if trial["arm"] == arm]
        names = dict.fromkeys(name for trial in same for name in trial["settings"])
        for name in names:
            if name != "replicate":  # drawn anew
                values = (trial["settings"].get(name) for trial in same)
                _refuse_several(f"{arm}: {name}", values, "settings differ between replicates")
        _refuse_several(f"{arm}: twin", (trial.get("twin") for trial in same), "twins differ")


def _refuse_unpaired(trials: Sequence[dict]) -> None:
    """Raise where the arms of a replicate do not share what they are to share, their first point among it."""
    for replicate in sorted({trial["replicate"] for trial in trials}):
        same = [trial for trial in trials if trial["replicate"] == replicate]
        for name in PAIRED:
            problem = "arms of a replicate differ, so they are not paired"
            _refuse_several(f"replicate {replicate}: {name}", (trial[name] for trial in same), problem)
        problem = "some arms count sampled tokens, others those trained on"
        _refuse_several(f"replicate {replicate}: tokens", map(counts_samples, same), problem)
        # Before training all arms are one model, examined with the same random numbers: a first point that
        # differs tells of other code, another machine or another thread count. Kernels of a GPU need not
        # repeat to the last bit from card to card.
        if not same[0]["packages"]["torch"].endswith("+cpu"):
            continue
        first = {trial["arm"]: json.dumps(trial["curve"][0]["correct"]) for trial in same}
        usual = Counter(first.values()).most_common(1)[0][0]
        odd = [f"{arm}__r{replicate:02d}" for arm, correct in first.items() if correct != usual]
        if odd:
            problem = "differ from the other arms before training, so they are not paired"
            remedy = "run them anew with the code and on the machine of the others"
            raise InputError(f"replicate {replicate}: curve[0].correct", odd, problem, remedy)
