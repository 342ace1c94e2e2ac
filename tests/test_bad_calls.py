"""Every command and public function with bad values: an InputError of one line, never a traceback."""
# ruff: noqa: E501  # tables of bad values

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors

import hammerlib as h
from hammerlib.cli import main
from hammerlib.errors import InputError
from hammerlib.models.embeddings import Embeddings

ROOT = Path(__file__).resolve().parents[1]
GYM = "reasoning-gym:nano"
NAN, INF = float("nan"), float("inf")
DEEP = "[" * 100_000
LONGEST = 120  # seconds after which a refusal counts as hanging, on a busy machine too


def too_long(*_: object) -> None:
    """Called by the alarm."""
    raise AssertionError(f"took more than {LONGEST} s")


signal.signal(signal.SIGALRM, too_long)


class Hostile:
    """An object that cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.fixture
def room(sums: Path) -> Path:
    """A working folder with files of every kind of damage."""
    vectors = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    names = [f"ok-{row}" for row in range(6)]
    Embeddings(vectors, names, "key", {}).save("e.safetensors")
    for name, array in {
        "good": vectors,
        "empty": np.zeros((0,)),
        "no-rows": np.zeros((0, 4)),
        "no-columns": np.zeros((6, 0)),
        "line": np.arange(6.0),
        "scalar": np.float64(3.0),
        "cube": np.zeros((2, 3, 4)),
        "complex": vectors + 1j,
        "words": np.array([["a", "b"]] * 6),
        "dates": np.zeros((6, 2), dtype="datetime64[s]"),
        "records": np.zeros(6, dtype=[("a", "f4")]),
        "nan": np.where(np.eye(6, 4) > 0, NAN, vectors),
        "inf": np.where(np.eye(6, 4) > 0, INF, vectors),
        "zero": np.zeros((6, 4)),
    }.items():
        np.save(f"{name}.npy", array)
    np.save("objects.npy", np.array([[1, "a"]] * 6, dtype=object), allow_pickle=True)
    np.savez("many.npz", a=vectors)
    whole = Path("good.npy").read_bytes()
    for name, content in {
        "cut.npy": whole[:-7],
        "head.npy": whole[:20],
        "blank.npy": b"",
        "text.npy": b"hello",
    }.items():
        Path(name).write_bytes(content)
    pickled = (
        b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }" + b" " * 60 + b"\n"
    )
    Path("pickle.npy").write_bytes(pickled + b"cos\nsystem\n(S'touch owned'\ntR.")
    save_file({"vectors": vectors}, "no-info.safetensors")
    save_file({"other": vectors}, "no-vectors.safetensors")
    save_file({"vectors": vectors}, "bad-ids.safetensors", {"ids": "3", "key": "k", "info": "{}"})
    save_file({"vectors": vectors}, "few-ids.safetensors", {"ids": '["a"]', "key": "k", "info": "{}"})
    save_file({"vectors": vectors}, "no-json.safetensors", {"ids": "[", "key": "k", "info": "{"})
    save_file(
        {"vectors": vectors[0]}, "line.safetensors", {"ids": json.dumps(names), "key": "k", "info": "{}"}
    )
    save_tensors({"vectors": torch.ones(6, 4, dtype=torch.bfloat16)}, "bf16.safetensors",
                 {"ids": json.dumps(names), "key": "k", "info": "{}"})  # fmt: skip
    whole = Path("e.safetensors").read_bytes()
    for name, content in {"cut": whole[:-9], "blank": b"", "text": b"hello", "huge": b"\xff" * 16}.items():
        Path(f"{name}.safetensors").write_bytes(content)
    for name, text in {
        "list": "[]", "null": "null", "number": "3", "text": '"a"', "blank": "", "half": '{"a": ', "nan": "NaN",
        "deep": DEEP, "object": "{}", "lists": "[[]]", "digits": "9" * 6000, "bytes": "\x00\x01",
    }.items():  # fmt: skip
        for ending in ("json", "jsonl"):
            Path(f"{name}.{ending}").write_text(text)
    Path("order.json").write_text(json.dumps({"permutation": [0, 0, 1]}))
    Path("folder").mkdir()
    for name in ("json", "jsonl", "npy", "safetensors", "yaml", "parquet", "csv"):
        Path(f"folder.{name}").mkdir()
    Path("run").mkdir()
    for name in ("list", "null", "blank", "half", "object", "deep"):
        Path(f"run-{name}").mkdir()
        Path(f"run-{name}/manifest.json").write_text(Path(f"{name}.json").read_text())
    Path("t.yaml").write_text("n_problems: 4\nprompts_per_step: 2\ngroup_size: 2\norder: random\n")
    Path("s.yaml").write_text("study: s\nreplicates: 1\nstarts: {backbone: nano}\narms: {random: {}}\n")
    return sums


def everything(folder: Path) -> set[str]:
    """Files and folders beside and below the working folder, locks apart."""
    return {str(path) for path in folder.parent.rglob("*") if path.suffix != ".lock" and path.name != "runs"}


def one_line(words: list[str], capsys: pytest.CaptureFixture) -> str:
    """Run a command; one line on standard error and exit code 2, also where the parser refuses."""
    signal.alarm(LONGEST)
    try:
        code = main(words)
    except SystemExit as error:
        code = error.code
        out, err = capsys.readouterr()
        assert code == 2 and "hammer" in err.splitlines()[-1], err
        return err.splitlines()[-1]
    finally:
        signal.alarm(0)
    out, err = capsys.readouterr()
    assert code == 2, (words, out[-500:], err[-500:])
    assert err.count("\n") == 1 and err.startswith("error: ") and len(err) < 1500, err
    assert " = " in err and "; " in err, err
    return err


NPY = ("empty", "no-columns", "line", "scalar", "cube", "complex", "words", "dates", "records", "nan", "inf", "zero", "no-rows",
       "objects", "cut", "head", "blank", "text", "pickle", "missing", "folder")  # fmt: skip
TENSORS = ("no-info", "no-vectors", "bad-ids", "few-ids", "no-json", "line", "cut", "blank", "text", "huge",
           "missing", "folder")  # fmt: skip
JSONS = ("list", "null", "number", "text", "blank", "half", "nan", "deep", "object", "lists", "digits", "bytes",
         "missing", "folder")  # fmt: skip
RUNS = ("run", "run-list", "run-null", "run-blank", "run-half", "run-object", "run-deep", "missing", "ok.jsonl", "/", "",
        "/dev/null", "\x00", "a" * 300, "../..")  # fmt: skip
ORDER = ["order", "--out", "o.json", "--embeddings"]
GOOD = ["order", "--out", "o.json", "--embeddings", "good.npy"]
EMBED = ["embed", "file:ok.jsonl", "--out", "o.safetensors"]
EVALUATE = ["evaluate", "--model", "nano", "--benchmark", GYM]
SWEEP = ["sweep", "s.yaml", "--root", "cells"]
TRAIN = ["train", "--config", "t.yaml"]
NO_NUMBER = ("x", "", "1.5", "nan", "1e3", "0x3", "٣x")
COMMANDS = {
    "vectors in an array": [[*ORDER, f"{name}.npy"] for name in NPY],
    "vectors in a table": [[*ORDER, f"{name}.safetensors"] for name in TENSORS],
    "vectors in another file": [[*ORDER, name] for name in ("many.npz", "ok.jsonl", "folder", "/dev/null", "", "\x00", ".")],
    "problems in a file": [["order", f"file:{name}.{ending}", "--out", "o.json", "--embeddings", "good.npy"]
                           for name in JSONS for ending in ("json", "jsonl")],
    "problems": [["order", name, "--out", "o.json", "--embeddings", "good.npy"]
                 for name in ("", ":", "file:", "file:.", "file:/", "file:/dev/null", "file:\x00", "nothing:x", "ok.jsonl",
                              "reasoning-gym:", "reasoning-gym:unheard", "hub:", "hub:a/b@c@d", "evolmath:x", "file:t.yaml",
                              "file:folder.csv", "file:folder.parquet", "file:" + "a" * 300)],
    "order": [[*GOOD, *words] for words in (
        ["--strategy", "hamer"], ["--strategy", ""], ["--centre", "middle"], ["--seed", "-1"],
        ["--set", "eta"], ["--set", "=1"], ["--set", "eta="], ["--set", "eta=[1]"], ["--set", "eta=2"], ["--set", "eta=-1"],
        ["--set", "eta=.nan"], ["--set", "eta=x"], ["--set", "etta=1"], ["--set", "start=last"], ["--set", "start=[1]"],
        ["--set", "eta_mode=x"], ["--set", "eta={a: 1}"], ["--set", "seed=1"], ["--set", "eta=1", "--set", "eta=0"],
        ["--strategy", "min-path", "--set", "gap=-1"], ["--strategy", "min-path", "--set", "gap=x"],
        ["--strategy", "min-path", "--set", "seconds=0"], ["--strategy", "min-path", "--set", "seconds=x"],
        ["--strategy", "logdet", "--set", "ridge=0"], ["--strategy", "logdet", "--set", "ridge=a"],
        ["--strategy", "batch-diverse", "--set", "window=0"], ["--strategy", "batch-diverse", "--set", "window=1.5"],
        ["--strategy", "batch-diverse", "--set", "window=a"], ["--strategy", "reversed", "--set", "of=x"],
        ["--strategy", "reversed", "--set", "of=3"], ["--strategy", "batch-shuffled", "--set", "window=-3"],
        ["--strategy", "easy-to-hard"], ["--strategy", "topic-cycle"],
        ["--strategy", "easy-to-hard", "--set", "pass_rate=3"], ["--strategy", "easy-to-hard", "--set", "pass_rate=[1]"],
        ["--strategy", "easy-to-hard", "--set", "pass_rate=[a, b, c, d, e, f]"],
        ["--write", "o.txt"], ["--write", "o.jsonl"], ["--n", "3"], ["--backbone", "nano"],
    )] + [["order", "file:ok.jsonl", "--embeddings", "good.npy", "--out", out]
          for out in ("folder", "/", "/proc/x/y", "\x00", "")],
    "numbers": [[*command, f"{option}={value}"] for command, options in (
        ([*GOOD, "file:ok.jsonl"], ("--n", "--seed")), (EMBED, ("--n", "--seed", "--layer")),
        (EVALUATE, ("--samples", "--n", "--seed", "--workers", "--max-new-tokens")),
        (SWEEP, ("--workers", "--gpus")), (["regrade", "run"], ("--workers",)),
        (["import", "ok.jsonl", "--benchmark", GYM], ("--workers",)), ([*TRAIN, "--dry-run"], ("--processes",)),
    ) for option in options for value in NO_NUMBER],
    "out of range": [
        [*GOOD, "file:ok.jsonl", "--n", "0"], [*GOOD, "file:ok.jsonl", "--n", "-1"], [*GOOD, "file:ok.jsonl", "--n", "7"],
        [*EMBED, "--n", "0"], [*EMBED, "--n", "-3"], [*EMBED, "--n", "700"], [*EMBED, "--seed", "-1"],
        [*EMBED, "--layer", "99"], [*EMBED, "--layer", "-99"], [*EMBED, "--pooling", "max"], [*EMBED, "--template", "x"],
        [*EMBED, "--template", "chat"], [*EMBED, "--backbone", ""], [*EMBED, "--backbone", "nobody"],
        [*EMBED, "--backbone", "folder"], [*EMBED, "--backbone", "ok.jsonl"], [*EMBED, "--backbone", "/"],
        [*EMBED, "--backbone", "a/b/c"], [*EMBED, "--backbone", "\x00"], [*EMBED, "--split", "x"],
        [*EVALUATE, "--samples", "0"], [*EVALUATE, "--samples", "-1"], [*EVALUATE, "--n", "0"], [*EVALUATE, "--n", "-1"],
        [*EVALUATE, "--n", "1000000000"], [*EVALUATE, "--temperature", "-1"], [*EVALUATE, "--temperature", "nan"],
        [*EVALUATE, "--temperature", "inf"], [*EVALUATE, "--temperature", "0"], [*EVALUATE, "--top-p", "0"],
        [*EVALUATE, "--top-p", "1.5"], [*EVALUATE, "--top-p", "nan"], [*EVALUATE, "--max-new-tokens", "0"],
        [*EVALUATE, "--max-new-tokens", "-5"], [*EVALUATE, "--template", "x"], [*EVALUATE, "--prompt", "x"],
        [*EVALUATE, "--engine", "x"], [*EVALUATE, "--workers", "0"], [*EVALUATE, "--workers", "-1"],
        [*EVALUATE, "--backend", "x"], [*EVALUATE, "--seconds", "-1"], [*EVALUATE, "--seconds", "nan"],
        [*EVALUATE, "--seed", "-1"], [*EVALUATE, "--stop", ""],
        ["evaluate", "--model", "", "--benchmark", GYM], ["evaluate", "--model", "nobody", "--benchmark", GYM],
        ["evaluate", "--model", "folder", "--benchmark", GYM], ["evaluate", "--model", "run-list", "--benchmark", GYM],
        ["evaluate", "--model", "run-blank", "--benchmark", GYM], ["evaluate", "--model", "nano", "--benchmark", ""],
        ["evaluate", "--model", "nano", "--benchmark", "gsm9k"], ["evaluate", "--model", "nano", "--benchmark", "file:"],
        ["evaluate", "--model", "nano", "--benchmark", "humaneval", "--n", "1"],
        [*SWEEP, "--workers", "0"], [*SWEEP, "--workers", "-2"], [*SWEEP, "--gpus", "-1"],
        [*SWEEP, "--hours", "-1"], [*SWEEP, "--hours", "nan"], [*SWEEP, "--hours", "x"], [*SWEEP, "--backend", "x"],
        [*SWEEP, "--only", "hammer"], [*SWEEP, "--only", ""], [*SWEEP, "--only", ","], [*SWEEP, "--replicates", "5"],
        [*SWEEP, "--replicates", "x"], [*SWEEP, "--replicates", "1-0"], [*SWEEP, "--replicates", ""],
        [*SWEEP, "--replicates", "²"], ["sweep", "s.yaml", "--root", "ok.jsonl"], [*SWEEP, "--dry-run", "--workers", "0"],
        [*TRAIN, "--processes", "0"], [*TRAIN, "--processes", "2"], [*TRAIN, "--dry-run", "--processes", "-1"],
        *([*TRAIN, "--order", f"{name}.json"] for name in (*JSONS, "order")),
        ["train", "--config", "folder"], ["train", "--config", ""], ["train", "--config", "\x00"],
        ["train", "--config", "/dev/null"], ["train", "--config", "good.npy"], ["train", "--config", "folder.yaml"],
        ["sweep", "folder"], ["sweep", ""], ["sweep", "\x00"], ["sweep", "/dev/null"], ["sweep", "good.npy"],
    ],
    "runs": [[*words, run] for words in (["regrade"], ["compare", "--power", "0.1"], ["publish"]) for run in RUNS]
            + [["compare", "ok.jsonl", run] for run in RUNS],
    "comparisons": [["compare", f"{name}.jsonl", f"{name}.jsonl"] for name in JSONS]
                   + [["compare", "ok.jsonl"], ["compare", "missing", "--power", "0"], ["compare", "a", "--power", "x"]],
    "imports": [["import", f"{name}.{ending}", "--benchmark", GYM] for name in JSONS for ending in ("json", "jsonl")]
               + [["import", "ok.jsonl", "--benchmark", name] for name in ("", "gsm9k", "file:missing.jsonl")]
               + [["import", "ok.jsonl", "--benchmark", GYM, "--columns", pair] for pair in ("x", "=", "a=", "=b", "x=y")]
               + [["import", "ok.jsonl", "--benchmark", GYM, "--workers", number] for number in ("0", "-1")],
    "parser": [[], ["nothing"], ["order"], ["embed"], ["train"], ["evaluate"], ["--nothing"], ["compare"], ["sweep"],
               ["import"], ["regrade"], ["publish"], [*GOOD, "--nothing"], ["doctor", "x"]],
}  # fmt: skip


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_command(
    kind: str, room: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAMMER_CACHE", str(room.parent / "cache"))
    before, bad = everything(room), {}
    for words in COMMANDS[kind]:
        try:
            one_line(words, capsys)
        except BaseException as error:
            bad[" ".join(words)[:150]] = f"{type(error).__name__}: {str(error)[:300]}"
        new = {
            path
            for path in everything(room) - before
            if "/cache/" not in path and not path.endswith("/cache")
        }
        if new:
            bad.setdefault(" ".join(words)[:150], f"left {sorted(new)[:3]}")
            before |= new
    assert not bad, "\n".join(f"{words} -> {told}" for words, told in bad.items())


def shell(folder: Path, words: str) -> subprocess.CompletedProcess[str]:
    """Run a line of the shell in which hammer is the command."""
    places = {
        "HAMMER_CACHE": str(folder / "cache"),
        "HAMMER_RESULTS": str(folder / "runs"),
        "PYTHONPATH": str(ROOT),
    }
    line = words.replace("hammer", f"{sys.executable} -m hammerlib.cli", 1)
    return subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True,
                          env=os.environ | places, cwd=ROOT)  # fmt: skip


@pytest.mark.parametrize("words", ["doctor", "--help", "sweep configs/study/main.yaml --dry-run"])
def test_a_pipe_that_is_closed_is_no_error(words: str, tmp_path: Path) -> None:
    ended = shell(tmp_path, f"hammer {words} | true")
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.long
@pytest.mark.parametrize("home", ["/dev/null", "/proc/nothing"])
def test_a_home_of_no_use_names_the_variable(home: str, tmp_path: Path) -> None:
    for words, code in (
        ("doctor", 0),
        ("doctor --clear-cache", 2),
        (f"embed {GYM} --n 2 --out {tmp_path}/o.safetensors", 2),
    ):
        ended = shell(tmp_path, f"HOME={home} HAMMER_CACHE= MPLCONFIGDIR={tmp_path} hammer {words}")
        told = ended.stdout if code == 0 else ended.stderr
        assert ended.returncode == code and "set HAMMER_CACHE to a folder that can be written" in told
        assert "Traceback" not in ended.stderr


def test_an_interruption_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hammerlib.cli.examine.findings", interrupted)
    assert main(["doctor"]) == 130
    assert capsys.readouterr().err == "error: interrupted; the same command continues where it stopped\n"


ROWS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
NOTHING = [
    None,
    3,
    1.5,
    True,
    "",
    "x",
    b"x",
    [],
    {},
    (),
    object(),
    Hostile(),
    NAN,
    np.zeros(0),
    [None],
    [3],
    [[]],
    {"a": 1},
]
NO_TEXT = [one for one in NOTHING if not isinstance(one, str)]
NO_WHOLE = [
    None,
    1.5,
    True,
    "3",
    b"3",
    [],
    {},
    NAN,
    INF,
    -1,
    -(10**30),
    np.float32(2),
    np.array([1]),
    object(),
]
NO_VECTORS = [
    *(one for one in NOTHING if one is not None and not (isinstance(one, list | tuple | np.ndarray) and len(one) == 0)),
    np.float64(1), np.arange(3.0), np.zeros((2, 2, 2)), ROWS + 1j, ROWS.astype(str), ROWS.astype("datetime64[s]"),
    np.array([[1, "a"]], dtype=object), ROWS * NAN, ROWS * 0, np.where(np.eye(6, 4) > 0, INF, ROWS), [[1, 2], [3]],
    torch.zeros(6), torch.zeros(6, 4), torch.zeros(2, 3, 4), torch.zeros(6, 4, dtype=torch.complex64),
    torch.eye(6).to_sparse(), torch.full((6, 4), NAN), torch.eye(6).to("meta"), torch.eye(6).to_sparse_csr(),
]  # fmt: skip
CALLS: dict[str, list[Callable[[], object]]] = {
    "load_problems": [lambda one=one: h.load_problems(one) for one in NOTHING]
    + [lambda one=one: h.load_problems(GYM, n=one) for one in NO_WHOLE if one is not None]
    + [lambda: h.load_problems(GYM, n=0)]
    + [lambda one=one: h.load_problems(GYM, n=4, seed=one) for one in NO_WHOLE]
    + [lambda one=one: h.load_problems(GYM, n=4, split=one) for one in NO_TEXT if one is not None and not (isinstance(one, list | dict | tuple) and not one)]
    + [lambda one=one: h.load_problems("file:ok.jsonl", columns=one) for one in (3, "x", [3], {"a": 1}, {1: "a"})],
    "load_backbone": [lambda one=one: h.load_backbone(one) for one in NOTHING]
    + [lambda one=one: h.load_backbone("nano", dtype=one) for one in NOTHING if one is not None]
    + [lambda one=one: h.load_backbone("nano", device=one) for one in NOTHING if one is not None],
    "embed": [lambda one=one: h.embed(one, "nano") for one in NOTHING]
    + [lambda one=one: h.embed(["a"], one) for one in NOTHING]
    + [lambda one=one: h.embed(["a"], "nano", layer=one) for one in NO_WHOLE if not (isinstance(one, int) and one == -1 and one is not True)]
    + [lambda one=one: h.embed(["a"], "nano", pooling=one) for one in NOTHING]
    + [lambda one=one: h.embed(["a"], "nano", template=one) for one in NOTHING],
    "order_by: strategy": [lambda one=one: h.order_by(one, ROWS) for one in NOTHING],
    "order_by: vectors": [lambda one=one: h.order_by("hammer", one) for one in NO_VECTORS]
    + [lambda one=one: h.order_by("min-path", one) for one in NO_VECTORS]
    + [lambda: h.order_by("hammer", None), lambda: h.order_by("random", None)],
    "order_by: others": [lambda one=one: h.order_by("hammer", ROWS, seed=one) for one in NO_WHOLE]
    + [lambda one=one: h.order_by("hammer", ROWS, centre=one) for one in NOTHING]
    + [lambda one=one: h.order_by("hammer", ROWS, problems=one) for one in NOTHING if one is not None]
    + [lambda one=one: h.order_by("hammer", ROWS, start=one) for one in NOTHING]
    + [lambda one=one: h.order_by("hammer", ROWS, eta=one) for one in (None, "x", [], -1, NAN, INF, {}, 2, object())]
    + [lambda one=one: h.order_by("batch-diverse", ROWS, window=one) for one in (None, 0, -1, 1.5, "x", [], NAN, True)]
    + [lambda one=one: h.order_by("min-path", ROWS, gap=one) for one in ("x", -1, NAN, [], {}, True)]
    + [lambda one=one: h.order_by("min-path", ROWS, seconds=one) for one in ("x", -1, 0, NAN, [], {}, True)]
    + [lambda one=one: h.order_by("reversed", ROWS, of=one) for one in NOTHING]
    + [lambda one=one: h.order_by("logdet", ROWS, ridge=one) for one in (None, "x", 0, -1, NAN, INF, [], True)]
    + [lambda one=one: h.order_by("easy-to-hard", ROWS, pass_rate=one) for one in NOTHING if one is not None],
    "Order": [lambda one=one: h.Order.load(one) for one in NOTHING]
    + [lambda name=name: h.Order.load(f"{name}.json") for name in (*JSONS, "order")]
    + [lambda one=one: h.order_by("hammer", ROWS).verify(one) for one in NOTHING]
    + [lambda one=one: h.order_by("hammer", ROWS).apply(one) for one in NOTHING],
    "diversity_weights": [lambda one=one: h.diversity_weights(one) for one in NO_VECTORS]
    + [lambda: h.diversity_weights(np.zeros((2, 0, 3))), lambda: h.diversity_weights(np.zeros((1, 2, 3, 4)))]
    + [lambda one=one: h.diversity_weights(ROWS, smi=one) for one in NOTHING]
    + [lambda one=one: h.diversity_weights(ROWS, eps=one) for one in (None, "x", -1, NAN, INF, [], True)],
    "adjust_rewards": [lambda one=one: h.adjust_rewards(one, ROWS) for one in NOTHING]
    + [lambda: h.adjust_rewards(np.ones((2, 3)), ROWS), lambda: h.adjust_rewards([1.0], ROWS)]
    + [lambda one=one: h.adjust_rewards(np.ones(6), ROWS, sign=one) for one in NOTHING],
    "vendi_score": [lambda one=one: h.vendi_score(one) for one in NO_VECTORS]
    + [lambda one=one: h.vendi_score(ROWS, q=one) for one in (None, "x", -1, NAN, [], {}, True)],
    "prefix_profile": [lambda one=one: h.prefix_profile(one, ROWS) for one in NOTHING]
    + [lambda one=one: h.prefix_profile(h.order_by("hammer", ROWS), one) for one in NO_VECTORS],
    "TrainConfig": [lambda one=one: h.TrainConfig.from_dict(one) for one in NOTHING if not isinstance(one, dict)]
    + [lambda one=one: h.TrainConfig.from_yaml(one) for one in NOTHING]
    + [lambda one=one: h.train(one) for one in NOTHING]
    + [lambda one=one: h.train(h.TrainConfig(n_problems=8), problems=one) for one in NOTHING if one is not None]
    + [lambda one=one: h.train(h.TrainConfig(n_problems=8), order=one) for one in NOTHING if one is not None]
    + [lambda one=one: h.schedule_table(one, 8) for one in NOTHING]
    + [lambda one=one: h.schedule_table(h.TrainConfig(), one) for one in NO_WHOLE],
    "evaluate": [lambda one=one: h.evaluate(one, GYM, n=2, k=1) for one in NOTHING]
    + [lambda one=one: h.evaluate("nano", one, n=2, k=1) for one in NOTHING]
    + [lambda one=one: h.evaluate("nano", GYM, n=2, k=one) for one in NO_WHOLE]
    + [lambda one=one: h.evaluate("nano", GYM, n=one, k=1) for one in NO_WHOLE if one is not None]
    + [lambda one=one: h.evaluate("nano", GYM, n=2, k=1, seed=one) for one in NO_WHOLE]
    + [lambda one=one: h.evaluate("nano", GYM, n=2, k=1, temperature=one) for one in (None, "x", -1, NAN, INF, [], {})]
    + [lambda one=one: h.evaluate("nano", GYM, n=2, k=1, max_new_tokens=one) for one in (0, -1, 1.5, "x", [], True)]
    + [lambda one=one: h.evaluate("nano", GYM, n=2, k=1, workers=one) for one in (None, 0, -1, 1.5, "x", [], True)]
    + [lambda one=one: h.evaluate("nano", GYM, n=2, k=1, engine=one) for one in NOTHING]
    + [lambda one=one: h.evaluate("nano", GYM, n=2, k=1, template=one) for one in NOTHING]
    + [lambda one=one: h.load_benchmark(one) for one in NOTHING],
    "pass_at_k": [lambda one=one: h.pass_at_k(*one) for one in (
        (None, 1, 1), ("3", 1, 1), ({}, 1, 1), (NAN, 1, 1), (INF, 1, 1), (-1, 1, 1), (4, None, 1), (4, "1", 1), (4, NAN, 1),
        (4, INF, 1), (4, 1, None), (4, 1, "1"), (4, 1, 1.5), (4, 1, NAN), (4, 1, INF), (4, 1, 0), (4, 1, 5), (4, 5, 1),
        (4, -1, 1), (4.5, 1, 1), ([4, 4], [1, 2, 3], 1),
    )],
    "intervals": [lambda one=one: h.bootstrap_interval(one) for one in NOTHING]
    + [lambda one=one: h.paired_bootstrap(one, [1.0, 2.0]) for one in NOTHING]
    + [lambda one=one: h.interquartile_mean(one) for one in (None, "x", {}, object(), Hostile(), NAN, [None], [[]])],
    "majority_at_k": [lambda one=one: h.majority_at_k(one, "1", 1) for one in NO_TEXT if not isinstance(one, list) or one not in ([None], [3])]
    + [lambda one=one: h.majority_at_k(["1", "2"], "1", one) for one in NO_WHOLE],
}  # fmt: skip


@pytest.mark.parametrize("kind", CALLS)
def test_a_function(kind: str, room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAMMER_CACHE", str(room.parent / "cache"))
    bad = {}
    for number, call in enumerate(CALLS[kind]):
        given = call.__defaults__[0] if call.__defaults__ else ""
        signal.alarm(LONGEST)
        try:
            call()
        except InputError as error:
            if "\n" in str(error) or len(str(error)) > 1500:
                bad[number] = f"{type(given).__name__}: more than a line"
        except BaseException as error:
            bad[number] = (
                f"{type(given).__name__} {str(given)[:40] if not isinstance(given, Hostile) else ''}: "
                f"{type(error).__name__}: {str(error)[:150]}"
            )
        else:
            bad[number] = (
                f"{type(given).__name__} {str(given)[:60] if not isinstance(given, Hostile) else ''}: accepted"
            )
        finally:
            signal.alarm(0)
    assert not bad, f"{len(bad)} of {len(CALLS[kind])}\n" + "\n".join(
        f"{number}: {told}" for number, told in bad.items()
    )
