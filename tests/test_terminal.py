"""What others wrote reaches the terminal as text: no escape, no forged line, no direction override."""

from __future__ import annotations

import contextlib
import io
import json
import unicodedata
from pathlib import Path

import pandas as pd
import pytest

from hammerlib.cli import _fail, main
from hammerlib.cli.commands import print_run as told
from hammerlib.cli.measuring import format_comparison as compared
from hammerlib.cli.options import Plain, plain
from hammerlib.errors import InputError, printable
from hammerlib.evaluation.comparison import Comparison, Scores, compare, read_scores
from hammerlib.runs import RunRecord
from hammerlib.runs.trials import Progress, SweepStatus, TrialEnd, estimate

HOSTILE = {
    "colour": "\x1b[31mred", "clear": "\x1b[2J\x1b[H", "title": "\x1b]0;owned\x07", "link": "\x1b]8;;http://x\x1b\\x",
    "device status": "\x1b[6n", "C1": "\x9b31m", "bell": "\x07", "backspace": "a\x08b", "return": "good\rbad",
    "newline": "a\nerror: forged", "vertical": "a\x0bb\x0cc", "nul": "a\x00b", "delete": "a\x7fb",
    "bidi": "\u202etxt.exe", "isolate": "\u2066a\u2069", "mark": "\u200fa", "line": "a\u2028b\u2029c",
    "zero width": "a\u200bb\ufeff", "half": "a\ud800b", "private": "a\ue000b", "tags": "a\U000e0041b",
}  # fmt: skip
FRIENDLY = [
    "plain words",
    "überall",
    "答案，是 42",
    "π ≈ 3.14",
    "√2 − ½",
    "مرحبا",
    "a\u3000b",
    "a\u00a0b",
    "😀",
]


def harmful(text: str, lines: bool = True) -> set[str]:
    """Characters that a terminal would obey, or that reorder what is read."""
    odd = {one for one in text if unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp", "Co")}
    return odd - {"\n"} if lines else odd


@pytest.mark.parametrize("name", HOSTILE)
def test_foreign_text_is_printable_and_loses_nothing(name: str) -> None:
    text = HOSTILE[name]
    found = printable(text)
    assert not harmful(found, lines=False) and found != text
    assert "\\" in found  # as its escape: nothing vanishes


@pytest.mark.parametrize("text", FRIENDLY)
def test_text_of_every_script_stays(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("part", range(4))
def test_an_error_line_is_one_line(name: str, part: int, capsys: pytest.CaptureFixture) -> None:
    words = ["field", "value", "problem", "remedy"]
    words[part] = HOSTILE[name]
    assert not harmful(str(InputError(*words)), lines=False)
    _fail(InputError(*words), 2)
    said = capsys.readouterr().err
    assert not harmful(said) and said.count("\n") == 1


@pytest.mark.parametrize("name", HOSTILE)
def test_an_error_of_a_library_is_one_line_too(name: str, capsys: pytest.CaptureFixture) -> None:
    _fail(OSError(2, HOSTILE[name]), 2)
    said = capsys.readouterr().err
    assert not harmful(said) and said.count("\n") == 1


def _run(name: str, right: bool) -> Scores:
    samples = {f"{i}{name}": {None: [{"correct": right}]} for i in range(4)}
    return Scores(name, samples, {one: f"{one[0]}{name}" for one in samples}, None, (f"note {name}",))


TABLED = [name for name in HOSTILE if name != "half"]  # no table of pandas holds half a character


@pytest.mark.parametrize("name", TABLED)
def test_a_comparison_prints_names_ids_topics_and_notes_as_text(name: str) -> None:
    text = HOSTILE[name]
    lone = {None: [{"correct": True}]}
    plainly = compared(_compared("x", lone))
    said = compared(_compared(text, lone))
    assert not harmful(said) and said.count("\n") == plainly.count("\n")


def _compared(name: str, lone: dict) -> Comparison:
    one, other = _run(name, False), _run(name, True)
    return compare(one, other._replace(samples=other.samples | {f"lone{name}": lone}))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_run_prints_its_metrics_as_text(name: str, capsys: pytest.CaptureFixture) -> None:
    entry = {"value": 0.5, "low": None, "high": None}
    told(RunRecord("x", Path("x"), {"status": "success", "metrics": {HOSTILE[name]: entry}}))
    said = capsys.readouterr().out
    assert not harmful(said) and said.count("\n") == 2


@pytest.mark.parametrize("name", TABLED)
def test_hammer_compare_of_hostile_files_prints_text(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for file, right in (("a.jsonl", False), ("b.jsonl", True)):
        rows = [
            {"id": f"{i}{HOSTILE[name]}", "topic": f"{i % 2}{HOSTILE[name]}", "correct": right}
            for i in range(4)
        ]
        (tmp_path / file).write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["compare", str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")]) == 0
    said = capsys.readouterr()
    assert not harmful(said.out) and not harmful(said.err)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_sweep_tells_failures_as_text(name: str, capsys: pytest.CaptureFixture) -> None:
    from types import SimpleNamespace

    cell = SimpleNamespace(name="a__r00", arm=f"a{HOSTILE[name]}", replicate=0, identity="")
    found = SweepStatus([cell], {"a__r00": "missing"}, {})
    with contextlib.closing(Progress(found, 1)) as progress:
        progress.tell(cell, TrialEnd("failed", 1.0, HOSTILE[name]))
    said = capsys.readouterr().out
    assert not harmful(said) and said.count("\n") == 1
    assert not harmful(estimate(found, 1))


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_a_command_prints_passes_a_filter(name: str) -> None:
    stream = io.StringIO()
    Plain(stream).write(f"{HOSTILE[name]}\n")
    assert not harmful(stream.getvalue()) - {"\r"}
    if name in TABLED:
        assert not harmful(plain(pd.DataFrame({"x": [HOSTILE[name]]})).to_string())


def test_bars_may_return_and_step_up() -> None:
    stream = io.StringIO()
    Plain(stream).write("\r 50%|#####| 答案\x1b[A\n\ttab é")
    assert stream.getvalue() == "\r 50%|#####| 答案\x1b[A\n\ttab é"


def test_a_file_with_a_hostile_name_is_told_as_text(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "a\x1b]0;owned\x07\nb.jsonl"
    path.write_text("{}\n")
    with pytest.raises(InputError) as error:
        read_scores(path)
    assert not harmful(str(error.value), lines=False)
    assert main(["compare", str(path), str(path)]) == 2
    assert (
        main(["order", f"file:{path}", "--strategy", "random", "--backbone", "nano", "--out", "x.json"]) == 2
    )
    said = capsys.readouterr().err
    assert not harmful(said) and said.count("\n") == 2
