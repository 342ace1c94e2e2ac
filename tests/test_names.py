"""Names are never paths, writes land where they were asked for, and records name no machine."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hammerlib.cli import main
from hammerlib.errors import InputError
from hammerlib.models.embeddings import embed
from hammerlib.ordering import Order, order_by
from hammerlib.pipeline.parameters import run_name
from hammerlib.problems import load_problems
from hammerlib.problems.files import write_records
from hammerlib.runs import claimed, find_run, start_run
from hammerlib.runs.storage import (
    appending,
    atomic_path,
    file_name,
    read_object,
    sealed,
    slug,
    unsealed,
    without_folders,
    write_json,
)
from hammerlib.runs.trials import read_record, record_path
from hammerlib.study.plan import Study, Trial
from hammerlib.study.trial import run_trial

UNFIT = [
    "..", ".", "", "../x", "../../../escaped", "a/b", "/etc/x", "a\\b", "..\\x", "a/../../b", "./a", "a/",
    ".hidden", "~/x/", "a\x00b", "a\nb", "a\rb", "a\tb", "a\x1b[31m", "a\x1b]0;title\x07", "a\x7f", "a\x9b1m",
    "a\u202eb", "a\u2066b", "a\u200bb", "a\u2028b", "a\ufeff", "a\ud800", "C:x", "a*", "a?", 'a"b', "<b>",
    "a|b",
    "x" * 300, "ü" * 90, "CON", "nul", "Com1.json", "LPT9", " a", "a ", "a.", 3, None, ["a"], b"a",
]  # fmt: skip
FIT = [
    "a",
    "min-path",
    "easy-to-hard",
    "a.b",
    "a_b",
    "06_study__ci__0a1b",
    "random+dra",
    "überall",
    "答案",
    "a b",
]
STUDY = {"replicates": 1, "starts": {"backbone": "nano"}}


@pytest.mark.parametrize("name", UNFIT, ids=ascii)
def test_a_name_that_could_leave_its_folder_is_refused(name: object, tmp_path: Path) -> None:
    with pytest.raises(InputError) as told:
        file_name("strategy", name)
    assert len(str(told.value).splitlines()) == 1 and "\x1b" not in str(told.value)


@pytest.mark.parametrize("name", FIT)
def test_a_plain_name_is_kept(name: str, tmp_path: Path) -> None:
    (tmp_path / file_name("strategy", name)).mkdir()
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", [one for one in UNFIT if isinstance(one, str)], ids=ascii)
def test_a_slug_of_anything_is_a_file_name(name: str) -> None:
    assert file_name("part", f"x{slug(name)}")


def _order(name: str, root: Path) -> None:
    problems = load_problems("reasoning-gym:nano", split="rl", n=4)
    made = order_by("dataset", np.eye(4), problems=problems)
    content = {**made._content(), "strategy": name}
    forged = Order(**{key: value for key, value in content.items() if key != "schema_version"})
    forged.save(root / "order.json")
    (root / "train.yaml").write_text("n_problems: 4\nprompts_per_step: 2\nmax_completion_length: 4\n")
    words = ["--config", str(root / "train.yaml"), "--order", str(root / "order.json")]
    if main(["train", *words, "--results", str(root / "inside" / "runs")]) == 2:
        raise InputError("order", name, "refused", "so it must be")


def _study(name: str, root: Path, arm: str = "random") -> None:
    cell = Trial(Study(name, arms={arm: {"order": "random"}}, **STUDY), arm, 0)
    run_trial(cell, root / "inside" / "studies")


def _figure(name: str, root: Path) -> None:
    from hammerlib.plots.style import axes_or_new, save

    save(axes_or_new(None), start_run("demo", parameters={}, root=root / "inside"), name)


WAYS = {
    "start a run": lambda name, root: start_run("demo", parameters={}, run_id=name, root=root / "inside"),
    "kind of a run": lambda name, root: start_run(name, parameters={}, root=root / "inside"),
    "find a run": lambda name, root: find_run(name, root / "inside"),
    "claim a run": lambda name, root: claimed(name, root / "inside").__enter__(),
    "strategy of an order": _order,
    "study": _study,
    "figure": _figure,
    "arm": lambda name, root: _study("s", root, name),
    "cell": lambda name, root: record_path(SimpleNamespace(name=name), root / "inside"),
    "record": lambda name, root: read_record(SimpleNamespace(name=name), root / "inside"),
    "notebook": lambda name, root: run_name(name, {"profile": "ci"}),
    "profile": lambda name, root: run_name("demo", {"profile": name}),
}


@pytest.mark.parametrize(
    "name", ["../../../escaped", "a/../../../escaped", "/escaped-from-here", "a\x1b[2Jb\n"], ids=ascii
)
@pytest.mark.parametrize("way", WAYS)
def test_no_name_becomes_a_path(
    way: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HAMMER_DATA", raising=False)  # `hammer train` compares with every benchmark there
    (tmp_path / "inside").mkdir()
    before = set(tmp_path.parent.iterdir())
    with pytest.raises(InputError):
        WAYS[way](name, tmp_path)
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err and "Traceback" not in said.err
    assert set(tmp_path.parent.iterdir()) == before and not Path("/escaped-from-here").exists()
    assert not [path for path in tmp_path.rglob("*escaped*")]


def test_a_sweep_of_a_study_with_a_path_for_a_name_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    text = "study: ../../x\nreplicates: 1\nstarts: {backbone: nano}\narms: {random: {order: random}}\n"
    (tmp_path / "study.yaml").write_text(text)
    for more in ([], ["--dry-run"]):
        assert main(["sweep", str(tmp_path / "study.yaml"), "--root", str(tmp_path / "r"), *more]) == 2
    assert capsys.readouterr().err.count("error: study = '../../x'") == 2
    assert not (tmp_path.parent / "x").exists()


# Writers: what is no regular file stays what it is.

WRITERS = {
    "atomic_path": lambda path: _write(path),
    "write_json": lambda path: write_json(path, {"n": 1}),
    "write_records": lambda path: write_records([{"prompt": "1+1?"}], path),
    "order": lambda path: order_by("dataset", np.eye(2)).save(path),
    "embeddings": lambda path: embed(["2 + 3 ="], "nano").save(path),
    "appending": lambda path: _append(path),
}


def _write(path: Path) -> None:
    with atomic_path(path) as part:
        part.write_text("whole")


def _append(path: Path) -> None:
    with appending(path) as stream:
        stream.write("a line\n")


def _fifo(folder: Path) -> Path:
    os.mkfifo(folder / "fifo.jsonl")
    return folder / "fifo.jsonl"


def _socket(folder: Path) -> Path:
    place = os.getcwd()
    os.chdir(folder)  # names of sockets are short
    try:
        socket.socket(socket.AF_UNIX).bind("s.jsonl")
    finally:
        os.chdir(place)
    return folder / "s.jsonl"


def _link(folder: Path, target: str) -> Path:
    (folder / "link.jsonl").symlink_to(target)
    return folder / "link.jsonl"


ODD = {
    "device": lambda folder: _link(folder, "/dev/null"),
    "full device": lambda folder: _link(folder, "/dev/full"),
    "fifo": _fifo,
    "socket": _socket,
    "circle": lambda folder: _link(folder, "link.jsonl"),
    "nowhere": lambda folder: _link(folder, "not/there.jsonl"),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_regular_file_is_never_written_to(kind: str, writer: str, tmp_path: Path) -> None:
    path = ODD[kind](tmp_path)
    before = os.lstat(path)
    with pytest.raises(InputError, match=r"no regular file|symbolic link|cannot be written"):
        WRITERS[writer](path)
    assert os.lstat(path).st_mode == before.st_mode and os.lstat(path).st_ino == before.st_ino


@pytest.mark.parametrize("device", ["/dev/null", "/dev/full", "/dev/zero", "/dev/stdout"])
@pytest.mark.parametrize("words", [["order", "--strategy", "random"], ["embed"]], ids=lambda words: words[0])
def test_a_device_given_as_out_stays_a_device(
    words: list[str], device: str, sums: Path, capsys: pytest.CaptureFixture
) -> None:
    before = os.lstat(device).st_mode
    asked = ["reasoning-gym:nano", "--split", "rl", "--n", "3"]
    assert main([words[0], *asked, "--backbone", "nano", *words[1:], "--out", device]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and os.lstat(device).st_mode == before


@pytest.mark.parametrize("writer", [one for one in WRITERS if one != "appending"])
def test_a_link_of_ones_own_is_written_through(writer: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "target.jsonl"
    target.write_text("old")
    link = _link(tmp_path, "elsewhere/target.jsonl")
    WRITERS[writer](link)
    assert link.is_symlink() and target.is_file() and target.read_bytes() != b"old"
    assert [path.name for path in target.parent.iterdir()] == ["target.jsonl"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")
@pytest.mark.parametrize("whose", ["link", "target", "folder"])
def test_a_link_of_another_user_or_to_a_file_of_another_user_is_refused(whose: str, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    target = tmp_path / "theirs" / "x.jsonl"
    if whose != "folder":  # where the link dangles, the folder decides
        target.write_text("old")
    link = _link(tmp_path, "theirs/x.jsonl")
    os.chown(
        {"link": link, "target": target, "folder": target.parent}[whose], 12345, -1, follow_symlinks=False
    )
    with pytest.raises(InputError, match="of another user"):
        _write(link)
    assert not target.exists() or target.read_text() == "old"


def test_content_and_name_are_on_the_disk_before_the_old_content_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda handle: (done.append(os.readlink(f"/proc/self/fd/{handle}")), sync(handle))
    )
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("rename"), replace(a, b)))
    _write(tmp_path / "a.txt")
    assert done[0].endswith("a.txt") and done[1:] == ["rename", str(tmp_path)]
    done.clear()
    with atomic_path(tmp_path / "folder") as part:
        part.mkdir()
        (part / "one").write_text("1")
    assert [Path(one).name for one in done] == ["one", "folder", "rename", tmp_path.name]


# Records name no machine.


def test_records_hold_no_folder_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home" / "somebody"
    home.mkdir(parents=True)
    monkeypatch.chdir(home)
    inside = {
        "here": f"{home}/data/a.jsonl",
        "there": f"file:{tmp_path}/x/y/b.jsonl",
        "list": [f"see {tmp_path}/q/r."],
    }
    kept = {"web": "https://example.org/a/b/c", "math": "a/b/c", "shape": "/x/y/z", "set": "{/1/2/3}"}
    assert without_folders(inside) == {
        "here": "data/a.jsonl",
        "there": "file:y/b.jsonl",
        "list": ["see q/r."],
    }
    assert without_folders(kept) == kept
    with pytest.raises(OSError, match="gone"), start_run("demo", parameters=inside, root=tmp_path) as run:
        raise OSError(2, "gone", f"{home}/secret/deep/file.txt")
    text = (run.folder / "manifest.json").read_text()
    assert str(tmp_path) not in text and "somebody" not in text and "deep/file.txt" in text


def test_an_embedding_and_an_order_of_a_folder_do_not_name_where_it_lies(tmp_path: Path) -> None:
    from hammerlib import load_backbone
    from hammerlib.models.backbone import save_backbone

    nano = load_backbone("nano")
    save_backbone(nano.model, nano.tokenizer, tmp_path / "deep" / "mine")
    vectors = embed(["2 + 3 =", "3 + 4 ="], str(tmp_path / "deep" / "mine"))
    vectors.save(tmp_path / "e.safetensors")
    order_by("random", vectors).save(tmp_path / "order.json")
    for name in ("e.safetensors", "order.json"):
        assert str(tmp_path).encode() not in (tmp_path / name).read_bytes()
    assert json.loads((tmp_path / "order.json").read_text())["provenance"]["backbone"] == "deep/mine"


# Seals.


@pytest.mark.parametrize("content", [{"n": 1}, {"a": {"b": [1.5, None, "ü"]}, "tuple": (1, 2), "seconds": 3}])
def test_a_seal_holds_for_any_change_of_a_bit(content: dict, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, sealed(content))
    whole, good, lost = path.read_bytes(), read_object(path), 0
    timed = whole.find(b'"seconds"')
    for place in range(len(whole)):
        changed = bytes([whole[place] ^ (1 << place % 8)])
        path.write_bytes(whole[:place] + changed + whole[place + 1 :])
        try:
            found = read_object(path)
        except ValueError:
            lost += 1
            continue
        assert found == good or timed >= 0  # white space says nothing; seconds are not sealed
    assert lost > len(whole) / 2


def test_seconds_do_not_change_a_seal() -> None:
    one, other = sealed({"n": 1, "seconds": 1.0}), sealed({"n": 1, "seconds": 2.0})
    assert one["seal"] == other["seal"] and unsealed(one)["seconds"] == 1.0
