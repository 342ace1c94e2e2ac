"""``hammer compare``: two runs side by side, and how much more would settle what they leave open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hammerlib.cli.terminal import plain
from hammerlib.errors import printable

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    import pandas as pd

    from hammerlib.evaluation.comparison import Comparison

LISTED = 8  # ids named in one line; the file of --out holds all


def add_compare(parser: ArgumentParser) -> None:
    """Add the words of ``hammer compare``.

    Examples
    --------
    >>> from argparse import ArgumentParser
    >>> add_compare(parser := ArgumentParser())
    >>> parser.parse_args(["a", "b", "--power", "0.01"]).power
    0.01
    """
    from pathlib import Path

    told = (
        "run folder, run id, or .jsonl file (id, correct; optional sample, seed, topic, extracted, n_tokens)"
    )
    parser.add_argument("a", metavar="RUN_A", help=told)
    parser.add_argument("b", metavar="RUN_B", nargs="?", help="the same; may be left out with --power")
    parser.add_argument(
        "--power",
        type=float,
        metavar="HALF_WIDTH",
        help="problems needed for pass@1 +- this share, e.g. 0.01",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="everything as JSON, all problems by name")
    told = "HTML table of the problems won and lost with both runs' completions, to search without a network"
    parser.add_argument("--page", type=Path, metavar="FILE", help=told)
    parser.add_argument("--results", metavar="DIR", help="folder of run ids (default results/runs)")


def compare(chosen: Namespace) -> int:
    """Compare two runs over the same problems: differences with intervals, tests, and problems won and lost.

    Raises
    ------
    InputError
        One run without --power or with --page, or what `read_scores`, `compare`, `power_table` and
        `transcripts` refuse.

    Examples
    --------
    >>> from hammerlib.cli import main
    >>> main(["compare", "no-such-run", "other.jsonl"])
    2
    """
    from hammerlib.errors import InputError
    from hammerlib.evaluation.comparison import compare as compared
    from hammerlib.evaluation.comparison import power_table, read_scores
    from hammerlib.runs.storage import write_json

    if chosen.b is None and (chosen.power is None or chosen.page):
        raise InputError("RUN_B", None, "is missing", "name a second run, or ask for --power only")
    runs = [read_scores(place) for place in (chosen.a, chosen.b) if place is not None]
    found = compared(*runs) if len(runs) == 2 else None
    needed = None if chosen.power is None else power_table(runs, chosen.power)
    if found:
        print(told(found))
    if needed is not None:
        print(
            f"\nproblems needed for pass@1 +- {chosen.power:g} (95 %; low to high: what this run leaves open)"
        )
        print(_power(needed))
    if chosen.out:
        content = {"power": _records(needed)}
        if found:
            content |= {
                name: _records(part) if hasattr(part, "to_dict") else part
                for name, part in found._asdict().items()
            }
        write_json(chosen.out, content)
    if chosen.page:
        _page(found, chosen)
    return 0


def _page(found: Comparison, chosen: Namespace) -> None:
    from hammerlib.evaluation.comparison import transcripts
    from hammerlib.pages import side_by_side

    rows = transcripts(found, chosen.a, chosen.b)
    side_by_side(rows, found.a, found.b, most=len(rows)).write(chosen.page, f"{found.a} and {found.b}")
    print(f"{len(rows)} problems won and lost: {chosen.page}")


def told(found: Comparison) -> str:
    """Return a comparison as text for a terminal.

    Examples
    --------
    >>> from hammerlib.evaluation.comparison import compare
    >>> from hammerlib.evaluation.comparison import Scores
    >>> run = Scores("x", {name: {None: [{"correct": True}]} for name in "abc"}, {}, None, ())
    >>> told(compare(run, run)).splitlines()[0]
    'A: x'
    """
    counts = found.problems["outcome"].value_counts()
    won, lost, tied = (int(counts.get(name, 0)) for name in ("won", "lost", "tied"))
    better = "{:.3f} [{:.3f}, {:.3f}]".format(*found.improvement)
    lines = [f"A: {printable(found.a)}", f"B: {printable(found.b)}"]
    lines.append(f"{len(found.problems)} problems in both, {found.seeds} seed(s), k up to {found.k}")
    for name, missing in (("A", found.only_a), ("B", found.only_b)):
        if missing:
            more = ", ..." if len(missing) > LISTED else ""
            listed = printable(", ".join(missing[:LISTED]))
            lines.append(f"only in {name}, left out: {len(missing)} ({listed}{more})")
    lines += [f"note: {printable(note)}" for note in found.notes]
    lines += ["", "mean (standard error) [95 % interval]", _table(found.metrics, "metric"), ""]
    lines.append(
        f"problems won by B {won}, lost {lost}, tied {tied}; B better on a problem (ties half): {better}"
    )
    if len(found.topics) > 1:
        lines += ["", "pass@1 by topic (p: sign flips; Holm: over all topics)", _table(found.topics, "topic")]
    return "\n".join(lines)


def _table(frame: pd.DataFrame, name: str) -> str:
    shown = frame[[name, "problems"]].copy()
    columns = (
        ("A", "a", "a_se", "a_low", "a_high"),
        ("B", "b", "b_se", "b_low", "b_high"),
        ("B - A", "difference", "se", "low", "high"),
    )
    for label, value, error, low, high in columns:
        rows = zip(frame[value], frame[error], frame[low], frame[high], strict=True)
        sign = "+" if label == "B - A" else ""
        shown[label] = [f"{x:{sign}.3f} ({e:.3f}) [{a:{sign}.3f}, {b:{sign}.3f}]" for x, e, a, b in rows]
    for column in ("p", "p_holm"):
        if column in frame:
            shown[column] = [f"{p:.2g}" if p < 0.001 else f"{p:.3f}" for p in frame[column]]
    return plain(shown).to_string(index=False)


def _power(needed: pd.DataFrame) -> str:
    shown = needed.copy()
    for column in ("problems", "low", "high"):
        shown[column] = ["never" if x != x else f"{x:.0f}" for x in needed[column]]
    return plain(shown).to_string(index=False)


def _records(frame: pd.DataFrame | None) -> list[dict] | None:
    if frame is None:
        return None
    return frame.astype(object).where(frame.notna(), None).to_dict("records")
