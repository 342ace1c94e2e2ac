"""What was trained against what was ordered: positions, what is missing, repeated, strange or late."""

from __future__ import annotations

import bisect
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hammerlib.adapters.logs import Log, Trained, read_log
from hammerlib.errors import check_name, check_whole
from hammerlib.ordering import Order

if TYPE_CHECKING:
    from datasets import Dataset

# Kind of finding -> what it means.
KINDS = {
    "order": "problems trained in other steps than the order says",
    "tail": "problems at the end of the order that an epoch left out",
    "filtered": "problems inside the order that no epoch trained, where no index log says why",
    "skipped": "problems inside the order that one epoch left out, as a resume that goes too far ahead does",
    "repeated": "problems trained again within an epoch, as a resume that goes too far back does",
    "unknown": "prompts that are in no place of the order",
    "stale": "completions of weights that are too many steps old, or of a later step",
}
SHOWN = 5
MIXED = 3  # generation batches that must be mixed, and half of all, before mixing is seen without being told


@dataclass(frozen=True)
class Finding:
    """One kind of deviation: how many problems, in which steps, and one line that says so."""

    kind: str
    count: int
    steps: list[int]
    text: str


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes
    ----------
    n : int
        Problems of the order.
    layout : str
        How the log was read.
    rows : DataFrame
        One row a trained problem, in the sequence of training: step, epoch (from 0), position, name,
        displacement (places from where the order has it, among those trained), late (steps, negative:
        early), repeated.
    kendall : list of float
        Per epoch the share of pairs trained in the wrong sequence: 0 as ordered, 0.5 as at random, 1
        backwards. Pairs within a step have no sequence.
    findings : list of Finding
        Deviations that are not allowed for.
    notes : list of str
        What is worth knowing and no deviation.
    allowed : list of str
        Kinds that were found and are allowed.
    """

    n: int
    layout: str
    rows: pd.DataFrame
    kendall: list[float]
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        """Whether nothing was found but what is allowed."""
        return not self.findings

    @property
    def displacement(self) -> int:
        """Return the largest displacement in places."""
        return int(self.rows["displacement"].max()) if len(self.rows) else 0

    def by_step(self) -> pd.DataFrame:
        """Return one row a step: problems, first and last position, displacement, repeats, strangers."""
        known = self.rows[self.rows["position"] >= 0]
        grouped = known.groupby("step", sort=True)
        table = grouped["position"].agg(problems="size", first="min", last="max")
        table["displacement"] = grouped["displacement"].max()
        table["late"] = grouped["late"].max()
        table["repeated"] = grouped["repeated"].sum()
        strangers = self.rows[self.rows["position"] < 0].groupby("step").size()
        return table.assign(unknown=strangers.reindex(table.index, fill_value=0)).reset_index()

    def __str__(self) -> str:
        steps = self.rows["step"].nunique()
        trained = int((self.rows["position"] >= 0).sum())
        distances = ", ".join(f"{value:.3f}" for value in self.kendall) or "none"
        lines = [
            f"{trained:,} problems trained in {steps:,} steps, {len(self.kendall)} epochs, "
            f"of an order of {self.n:,} ({self.layout})",
            f"Kendall distance by epoch: {distances}; largest displacement {self.displacement} places",
        ]
        lines += [f"{finding.kind}: {finding.text}" for finding in self.findings]
        lines += [f"note: {note}" for note in self.notes]
        verdict = "the order was kept" if self.kept else "the order was NOT kept"
        if self.kept and self.allowed:
            verdict = f"nothing was found but what is allowed: {', '.join(self.allowed)}"
        lines.append(verdict)
        return "\n".join(lines)


def audit(
    log: Log | str | Path,
    order: Order,
    problems: Dataset | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    per_step: int | None = None,
    late: int = 0,
    allow: Iterable[str] = (),
    steps_per_batch: int | None = None,
) -> Audit:
    """Compare what a trainer's log says with an order.

    Within a step problems have no sequence, nor among the steps of one generation batch, where the log or
    `steps_per_batch` tells it, or where most of them are seen to be mixed and nothing leaves its own. A
    trainer that wraps at the end of an epoch, and one that lets the problems between two saved steps be
    trained again, are both recognised as such.

    Parameters
    ----------
    log : Log or path
        What `hammerlib.adapters.logs.read_log` returns, or takes.
    order : Order
    problems, columns, per_step
        As for `read_log`.
    late : int
        Steps that a problem may be trained after, or before, its own, and that weights may be old.
    allow : iterable of str
        Kinds of `KINDS` that are reported as notes.
    steps_per_batch : int, optional
        Steps that follow each other and train one generation batch, among which its prompts may be mixed.

    Returns
    -------
    Audit

    Raises
    ------
    InputError
        What `read_log` refuses; an unknown kind.

    Notes
    -----
    Source: ours. The distance is Kendall's number of discordant pairs over all pairs of different steps.

    Examples
    --------
    >>> from hammerlib.adapters.logs import Trained
    >>> order = Order(np.arange(6), "dataset")
    >>> places = (0, 1, 4, 5, 2, 3)
    >>> rows = [Trained(1 + k // 2, (place,), f"p-{place}") for k, place in enumerate(places)]
    >>> found = audit(Log("by hand", rows), order)
    >>> found.kept, found.kendall, [finding.kind for finding in found.findings]
    (False, [0.3333333333333333], ['order'])
    """
    allow = list(allow)
    for kind in allow:
        check_name("allow", kind, KINDS, "is no kind of finding")
    check_whole("late", late, 0, "give a number of steps")
    if not isinstance(log, Log):
        log = read_log(log, order, problems, columns=columns, per_step=per_step)
    if steps_per_batch is not None:
        check_whole("steps_per_batch", steps_per_batch, 1, "give the steps of a generation batch")
    walked = _walk(log, len(order), late)
    rows, mixed = _batched(walked, steps_per_batch)
    kendall = [
        _discordant(group["batch"].to_numpy(), group["position"].to_numpy())
        for _, group in rows[(rows["position"] >= 0) & ~rows["repeated"]].groupby("epoch", sort=True)
    ]
    left = _left_out(log)
    findings = [*_order(rows, late), *_missing(rows, len(order), left), *_strange(rows, log.rows, late)]
    allowed = [finding for finding in findings if finding.kind in allow]
    kept = [finding for finding in findings if finding.kind in KINDS and finding.kind not in allow]
    notes = [f"{finding.kind} (allowed): {finding.text}" for finding in allowed]
    notes += [finding.text for finding in findings if finding.kind not in KINDS]
    kinds = list(dict.fromkeys(finding.kind for finding in allowed))
    notes = [*notes, *mixed, *_why(log), *log.notes]
    return Audit(len(order), log.layout, rows.drop(columns=["walk", "batch"]), kendall, kept, notes, kinds)


def _first_epoch(held: Log) -> int:
    return min([row.epoch for row in held.rows if row.epoch is not None] + [one[0] for one in held.dropped])


def _left_out(log: Log) -> dict[int, set[int]]:
    """Epoch -> places that the log says were generated and are not to be trained."""
    left: dict[int, set[int]] = {}
    for epoch, places, _ in log.dropped:
        left.setdefault(epoch - _first_epoch(log), set()).update(places)
    return left


def _why(log: Log) -> list[str]:
    reasons = Counter(why for *_, why in log.dropped)
    told = ", ".join(f"{why} {count}" for why, count in reasons.most_common())
    return [f"{len(log.dropped)} problems were generated and not trained: {told}"] if told else []


def _walk(held: Log, n: int, late: int) -> pd.DataFrame:
    """Which epoch every row belongs to: the one in which it is nearest to where the walk stands."""
    log = held.rows
    if not any(row.places for row in log):
        return _frame(log, [(-1, 0, False)] * len(log), n)
    if all(row.epoch is not None for row in log):
        first = _first_epoch(held)
        seen: set[tuple[int, int]] = set()
        placed = []
        for row in log:
            epoch = row.epoch - first
            free = [position for position in row.places if (epoch, position) not in seen]
            position = (free or row.places or (-1,))[0]
            placed.append((position, epoch, not free and position >= 0))
            seen.add((epoch, position))
        return _frame(log, placed, n)
    # Two readings: along the order round and round; or the k-th time of a problem is its k-th epoch, as where
    # every epoch has a sequence of its own. The one that leaves less to explain is taken.
    times: Counter[int] = Counter()
    counted = []
    for row in log:
        position = min(row.places, key=lambda one: times[one], default=-1)
        counted.append((position, times[position] if position >= 0 else 0, False))
        times[position] += 1
    readings = [_frame(log, placed, n) for placed in (counted, _along_path(log, n))]
    return min(readings, key=lambda rows: _unexplained(rows, n, late))


def _unexplained(rows: pd.DataFrame, n: int, late: int) -> int:
    """Problems that a reading leaves in other steps, trained again, or missing before the log ends."""
    known = rows[rows["position"] >= 0]
    sets = [set(group["position"]) for _, group in known.groupby("epoch", sort=True)]
    holes = 0
    for number, places in enumerate(sets, start=1):
        # of the last epoch only what lies before its farthest problem is missing: the log may end within it
        holes += (n if number < len(sets) else max(places) + 1) - len(places)
    moved = _displaced(rows, rows["step"].to_numpy())["late"].abs() > late
    return int(moved.sum() + rows["repeated"].sum() + holes)


def _along_path(log: Sequence[Trained], n: int) -> list[tuple[int, int, bool]]:
    """Place, epoch and whether it is trained again, of rows along the order walked round and round."""
    placed: list[tuple[int, int, bool]] = []
    seen: set[int] = set()
    front = 0.0
    for _, group in itertools.groupby(log, key=lambda row: row.step):
        rows = list(group)
        middle = front + len(rows) / 2
        first = n * max(0, int(middle // n) - 1)
        here = []
        for row in rows:
            options = [
                position + lap for position in row.places for lap in range(first, int(middle) + n + 1, n)
            ]
            if not options:
                placed.append((-1, max(0, int(front // n)), False))
                continue
            # The nearest; of problems with the same text the one that is still to come.
            best = min(
                options, key=lambda option: (option in seen and len(row.places) > 1, abs(option - middle))
            )
            placed.append((best % n, best // n, best in seen))
            seen.add(best)
            here.append(best)
        if here:
            front = float(np.median(here)) + 0.5 + len(here) / 2
    return placed


def _frame(log: Sequence[Trained], placed: Sequence[tuple[int, int, bool]], n: int) -> pd.DataFrame:
    rows = pd.DataFrame(
        {
            "step": [row.step for row in log],
            "epoch": [epoch for _, epoch, _ in placed],
            "position": [position for position, _, _ in placed],
            "name": [row.name for row in log],
            "repeated": [again for _, _, again in placed],
            "batch": [row.batch for row in log],
        }
    )
    rows["walk"] = rows["position"] + n * rows["epoch"]
    return rows.sort_values(["step", "walk"], kind="stable", ignore_index=True)


def _displaced(rows: pd.DataFrame, batch: np.ndarray) -> pd.DataFrame:
    """How far every row is from its place among those trained, in places and in steps.

    Within a step, and within a generation batch, there is no sequence.
    """
    rows = rows.assign(batch=batch, displacement=0, late=0)
    rows = rows.sort_values(["batch", "walk"], kind="stable", ignore_index=True)
    first = np.flatnonzero(((rows["position"] >= 0) & ~rows["repeated"]).to_numpy())
    walk = rows["walk"].to_numpy()[first]
    steps = rows["step"].to_numpy()[first]
    batches = rows["batch"].to_numpy()[first]
    wanted = np.empty(len(first), dtype=int)
    wanted[np.argsort(walk, kind="stable")] = np.arange(len(first))
    # step and batch of the row that stands where this one should
    moved = batches != batches[wanted]
    rows.loc[first, "displacement"] = np.abs(np.arange(len(first)) - wanted)
    rows.loc[first, "late"] = np.where(moved, steps - np.sort(steps)[wanted], 0)
    return rows.sort_values(["step", "walk"], kind="stable", ignore_index=True)


def _batched(rows: pd.DataFrame, steps_per_batch: int | None) -> tuple[pd.DataFrame, list[str]]:
    """Displacements by generation batch, where that is told or seen, and what is to be said of it."""
    number = np.unique(rows["step"], return_inverse=True)[1]
    plain = _displaced(rows, number)
    if rows["batch"].notna().all() and rows["batch"].nunique() > 1:
        batch = rows.groupby("batch")["step"].transform("min").to_numpy()
    elif steps_per_batch is not None:
        batch = number // steps_per_batch
    else:
        batch = number // _seen_mixed(plain)
    by_batch = _displaced(rows, batch)
    inside = int((plain["late"] != 0).sum() - (by_batch["late"] != 0).sum())
    if not inside:
        return by_batch, []
    most = int(rows.groupby(batch)["step"].nunique().max())
    text = f"prompts are mixed among the {most} steps of a generation batch: {inside} problems were trained "
    return by_batch, [text + "in another step of their own batch"]


def _seen_mixed(rows: pd.DataFrame) -> int:
    """Steps of a generation batch whose prompts are mixed, as the rows show it; 1 where they do not.

    No problem may leave its batch, and in half of the batches, at least three, some step must hold problems
    of several: steps that are trained in another sequence as they stand are none that are mixed.
    """
    known = rows[(rows["position"] >= 0) & ~rows["repeated"]]
    steps = int(known.groupby("epoch")["step"].nunique().max()) if len(known) else 0
    if not (known["late"] != 0).any():
        return 1
    step = np.searchsorted(np.unique(rows["step"]), known["step"].to_numpy())
    wanted = np.empty(len(known), dtype=int)
    wanted[np.argsort(known["walk"].to_numpy(), kind="stable")] = np.arange(len(known))
    own = step[wanted]  # the step that each should have been trained in
    several = {one for one in np.unique(step) if len(set(own[step == one])) > 1}
    farthest = int(np.abs(step - own).max())
    # two batches an epoch at least: what is drawn anew every epoch is no batch
    for length in range(1 + max(1, farthest), steps // 2 + 1):
        mixed = {one // length for one in several}
        enough = max(MIXED, (step.max() + 1) / length / 2)
        if (step // length == own // length).all() and len(mixed) >= enough:
            return length
    return 1


def _discordant(steps: np.ndarray, places: np.ndarray) -> float:
    """Share of pairs of different steps whose later one stands earlier in the order."""
    sizes = np.unique(steps, return_counts=True)[1]
    pairs = (len(steps) * (len(steps) - 1) - int((sizes * (sizes - 1)).sum())) // 2
    if not pairs:
        return 0.0
    earlier: list[int] = []
    wrong = 0
    # Rows of a step are sorted, so that no pair inside it counts.
    for place in places[np.lexsort((places, steps))].tolist():
        wrong += len(earlier) - bisect.bisect_right(earlier, place)
        bisect.insort(earlier, place)
    return wrong / pairs


def _order(rows: pd.DataFrame, late: int) -> list[Finding]:
    moved = rows[(rows["late"].abs() > late) & ~rows["repeated"]]
    if not len(moved):
        return []
    worst = moved.loc[moved["displacement"].idxmax()]
    text = (
        f"{len(moved)} problems were trained in other steps than ordered, the farthest "
        f"{worst['displacement']} places away ({worst['name']}, step {worst['step']}, "
        f"{abs(worst['late'])} steps {'late' if worst['late'] > 0 else 'early'})"
    )
    return [Finding("order", len(moved), sorted(set(moved["step"])), text)]


def _missing(rows: pd.DataFrame, n: int, left: Mapping[int, set[int]]) -> list[Finding]:
    """Tails, filtered and skipped problems, and where the log ends; those that are `left` out have come."""
    known = rows[rows["position"] >= 0]
    if not len(known):
        return []
    batch = int(known.groupby("step").size().median())
    trained = {epoch: set(group["position"]) for epoch, group in known.groupby("epoch", sort=True)}
    for epoch, places in left.items():
        trained[epoch] = trained.get(epoch, set()) | places
    names = known.groupby("position")["name"].first()
    last = max(trained)
    found: list[Finding] = []
    gone: dict[int, list[int]] = {}
    for epoch, places in trained.items():
        missing = sorted(set(range(n)) - places)
        suffix = n - 1 - max(places)
        tail = [position for position in missing if position >= n - suffix]
        gone[epoch] = [position for position in missing if position < n - suffix]
        if not tail:
            continue
        steps = sorted(set(known[known["epoch"] == epoch]["step"]))
        # What no step has begun yet is the rest of an unfinished epoch, not its tail.
        kind, text = "end", f"{len(tail)} problems of epoch {epoch + 1} would be in the next step"
        if epoch == last and len(tail) >= batch:
            text = f"the log ends in epoch {epoch + 1} at position {max(places)}"
        elif epoch != last or len(trained) == 1 or any(one.kind == "tail" for one in found):
            span = f"(positions {tail[0]} to {tail[-1]})"
            kind, text = "tail", f"epoch {epoch + 1} left out the last {len(tail)} problems {span}"
        found.append(Finding(kind, len(tail), steps[-1:], text))
    always = sorted(set.intersection(*(set(places) for places in gone.values()))) if gone else []
    if len(trained) == 1 and always:
        # One epoch alone: a stretch of whole steps was skipped, single problems were filtered.
        runs = np.split(always, np.flatnonzero(np.diff(always) > 1) + 1)
        whole = [position for run in runs if len(run) >= batch for position in run.tolist()]
        gone = {0: whole}
        always = [position for position in always if position not in set(whole)]
    else:
        gone = {
            epoch: [position for position in places if position not in set(always)]
            for epoch, places in gone.items()
        }
    if always:
        text = f"{len(always)} problems were never trained ({_places(always, names)})"
        found.append(Finding("filtered", len(always), [], text))
    for epoch, places in gone.items():
        if places:
            steps = known[(known["epoch"] == epoch) & (known["position"] < places[0])]["step"]
            after = f" after step {steps.max()}" if len(steps) else ""
            text = f"epoch {epoch + 1} left out {len(places)} problems{after} ({_places(places, names)})"
            found.append(Finding("skipped", len(places), sorted(set(steps))[-1:], text))
    return found


def _strange(rows: pd.DataFrame, log: Sequence[Trained], late: int) -> list[Finding]:
    found = []
    again = rows[rows["repeated"]]
    if len(again):
        steps = sorted(set(again["step"]))
        text = f"{len(again)} problems were trained again within an epoch, in steps {_some(steps)}"
        found.append(Finding("repeated", len(again), steps, text))
    unknown = rows[rows["position"] < 0]
    if len(unknown):
        names = _some([repr(name) for name in dict.fromkeys(unknown["name"])])
        text = f"{len(unknown)} prompts are not in the order: {names}"
        found.append(Finding("unknown", len(unknown), sorted(set(unknown["step"])), text))
    aged = [row for row in log if row.generated is not None]
    if aged:
        # Of weights that come later none may be. That a batch is trained in several steps, as a run that logs
        # it has it, makes its completions older and is not late.
        old = [row.step for row in aged if not 0 <= row.step - row.generated <= late]
        ages = [step - row.generated for row in aged for step in (row.step, *row.later)]
        text = f"completions are {np.mean(ages):.2f} steps old on average, {max(ages)} at most"
        if longest := max(len(row.later) for row in aged):
            text += f", where up to {1 + longest} steps train those of one batch"
        if (least := min(ages)) < 0:
            text += f", some of weights that come {-least} steps later"
        kind = "stale" if old else "age"
        found.append(Finding(kind, len(old), sorted(set(old)), text))
    return found


def _places(places: Sequence[int], names: pd.Series) -> str:
    return "positions " + _some([f"{position}" for position in places])


def _some(words: Sequence[object]) -> str:
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return ", ".join(map(str, words[:SHOWN])) + more
