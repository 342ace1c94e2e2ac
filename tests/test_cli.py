"""The hammer command: fast help, thin words, one line and exit code 2 for whatever is wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import hammerlib
from hammerlib.cli import main, measuring
from hammerlib.cli.examine import CACHE_PARTS, cache_size, clear_cache
from hammerlib.errors import InputError
from hammerlib.grading.code import refused
from hammerlib.models.embeddings import Embeddings
from hammerlib.pipeline import NotebookError
from hammerlib.training import TrainConfig

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ("run", "embed", "order", "train", "evaluate", "compare", "publish", "doctor")
ENTRY = [sys.executable, "-c", "import sys; from hammerlib.cli import main; sys.exit(main())"]
OUT = ["--out", "made.json"]
GIVEN = ["file:ok.jsonl", "--embeddings", "e.safetensors"]


@pytest.fixture
def files(sums: Path) -> Path:
    """A working folder with good problems and vectors, and one file for each way to be wrong."""
    folder = sums
    write(folder / "empty.jsonl", [])
    write(folder / "unknown.jsonl", [{"task": "a", "key": "b"}])
    write(folder / "blank.jsonl", [{"question": " ", "answer": "#### 1"}])
    (folder / "broken.jsonl").write_text("{")
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(6, 4)).astype(np.float32)
    ids = [f"ok-{i}" for i in range(6)]
    Embeddings(vectors, ids, "key", {}).save(folder / "e.safetensors")
    Embeddings(vectors[:5], ids[:5], "key", {}).save(folder / "five.safetensors")
    Embeddings(np.where([[True], *5 * [[False]]], np.nan, vectors), ids, "key", {}).save(
        folder / "nan.safetensors"
    )
    Embeddings(np.where([[True], *5 * [[False]]], 0, vectors), ids, "key", {}).save(
        folder / "zero.safetensors"
    )
    (folder / "torn.safetensors").write_bytes((folder / "e.safetensors").read_bytes()[:-7])
    (folder / "typo.yaml").write_text("orderr: hammer\n")
    (folder / "divides.yaml").write_text("n_problems: 20\nprompts_per_step: 8\n")
    (folder / "few.yaml").write_text("n_problems: 4\nprompts_per_step: 8\n")
    (folder / "strategy.yaml").write_text("order: zigzag\n")
    return folder


def write(path: Path, rows: list[dict]) -> None:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


# Help


@pytest.mark.parametrize("words", [[], *([name] for name in COMMANDS)])
def test_every_command_explains_itself(words: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    told = capsys.readouterr().out
    assert ended.value.code == 0 and "Usage: hammer" in told
    assert ">>>" not in told, "examples of docstrings do not belong into help"


def test_help_lists_every_command(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    told = capsys.readouterr().out
    assert all(f"│ {name} " in told for name in COMMANDS)
    assert all(f"─ {group} ─" in told for group in ("Order and train", "Measure"))


def test_help_answers_within_a_second() -> None:
    times = []
    for _ in range(3):
        start = time.monotonic()
        subprocess.run(
            [*ENTRY, "--help"], check=True, capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
        )
        times.append(time.monotonic() - start)
    assert min(times) < 1.0


def test_every_file_that_the_command_names_is_there() -> None:
    sources = "\n".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "hammerlib" / "cli").glob("*.py")
    )
    named = set(re.findall(r"\b(?:configs|launch|notebooks)/[\w./-]*\w", sources))
    assert {"configs/study/main.yaml", "launch/ddp.yaml"} <= named
    assert not {name for name in named if not (ROOT / name).exists()}


def test_run_walks_the_laptop_profile_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[object] = []
    monkeypatch.setattr(
        "hammerlib.pipeline.run_notebooks", lambda *given, **named: chosen.append((given, named))
    )
    assert main(["run"]) == 0
    assert chosen == [(("laptop",), {"only": None, "overrides": [], "jobs": 1})]


def test_the_shell_can_ask_what_could_follow() -> None:
    asked = {"_HAMMER_COMPLETE": "complete_bash", "COMP_WORDS": "hammer tr", "COMP_CWORD": "1"}
    ended = subprocess.run(
        ENTRY, capture_output=True, text=True, env=os.environ | asked | {"PYTHONPATH": str(ROOT)}
    )
    assert ended.stdout.split() == ["train"]


def test_options_with_several_words_take_them_after_one_another() -> None:
    from hammerlib.cli.options import one_word_each

    words = ["embed", "--columns", "prompt=task", "answer=gold", "--n", "3", "file:a.jsonl"]
    assert one_word_each(words) == [
        *("embed", "--columns", "prompt=task", "--columns", "answer=gold", "--n", "3", "file:a.jsonl"),
    ]


# What is wrong is told in one line, with exit code 2, and nothing is written.


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["order", "file:missing.jsonl", *GIVEN[1:], *OUT], "missing.jsonl"),
        (["order", "file:broken.jsonl", *GIVEN[1:], *OUT], "broken.jsonl"),
        (["order", "file:empty.jsonl", *GIVEN[1:], *OUT], "empty"),
        (["order", "file:unknown.jsonl", *GIVEN[1:], *OUT], "task"),
        (["order", "file:blank.jsonl", *GIVEN[1:], *OUT], "prompt"),
        (["order", "tape:x", *GIVEN[1:], *OUT], "tape:x"),
        (["order", "reasoning-gym:nix", *GIVEN[1:], *OUT], "nix"),
        (["order", *GIVEN, "--strategy", "zigzag", *OUT], "strategy = 'zigzag'"),
        (["order", *GIVEN, "--centre", "left", *OUT], "centre"),
        (["order", *GIVEN[:2], "missing.safetensors", *OUT], "missing.safetensors"),
        (["order", *GIVEN[:2], "torn.safetensors", *OUT], "torn.safetensors"),
        (["order", *GIVEN[:2], "five.safetensors", *OUT], "5"),
        (["order", *GIVEN[:2], "nan.safetensors", *OUT], "ok-0"),
        (["order", *GIVEN[:2], "zero.safetensors", *OUT], "ok-0"),
        (["order", *GIVEN, "--n", "0", *OUT], "n = 0"),
        (["order", *GIVEN, "--seed", "-1", *OUT], "seed = -1"),
        (["order", *GIVEN, "--out", "ok.jsonl/made.json"], "ok.jsonl"),
        (["embed", "file:ok.jsonl", "--backbone", "no-such-model", *OUT], "no-such-model"),
        (["embed", "file:ok.jsonl", "--backbone", "./nowhere", *OUT], "nowhere"),
        (["train", "--config", "missing.yaml"], "missing.yaml"),
        (["train", "--config", "typo.yaml"], "orderr"),
        (["train", "--config", "divides.yaml"], "n_problems"),
        (["train", "--config", "few.yaml"], "n_problems"),
        (["train", "--config", "strategy.yaml"], "zigzag"),
        (["evaluate", "--model", "nano", "--benchmark", "aime99"], "aime99"),
        (["evaluate", "--model", "nano", "--benchmark", "reasoning-gym:nano", "--samples", "0"], "k = 0"),
        (["evaluate", "--model", "nano", "--benchmark", "reasoning-gym:nano", "--temperature", "0"], "k"),
        (["evaluate", "--model", "nano", "--benchmark", "reasoning-gym:nano", "--seed", "-1"], "seed = -1"),
        (
            ["evaluate", "--model", "nano", "--benchmark", "reasoning-gym:nano", "--engine", "abacus"],
            "abacus",
        ),
        (
            ["evaluate", "--model", "nano", "--benchmark", "reasoning-gym:nano", "--workers", "0"],
            "workers = 0",
        ),
        (["run"], "working folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    files: Path, words: list[str], told: str, capsys: pytest.CaptureFixture
) -> None:
    before = sorted(files.rglob("*"))
    assert main(words) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1 and told in lines[0]
    assert sorted(files.rglob("*")) == before


@pytest.mark.parametrize(
    "words", [["orders"], ["order", "file:ok.jsonl", *OUT], ["order", *GIVEN, "--backbone", "nano", *OUT], []]
)
def test_a_command_line_that_cannot_be_read_is_exit_code_2(
    words: list[str], capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2 and "error:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--profile", "huge"], "profile = 'huge'"),
        (["--only", "42"], "only = '42'"),
        (["--set", "sed=3"], "sed"),
        (["--set", "seed=x"], "seed = 'x': must be a whole number"),
    ],
)
def test_run_refuses_before_the_first_notebook(
    words: list[str], told: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT / "tests" / "fixtures" / "checkout")
    assert main(["run", "--profile", "ci", *words]) == 2
    assert capsys.readouterr().err.startswith(f"error: {told}")


def test_publish_refuses_what_is_no_run(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT / "tests" / "fixtures" / "checkout")
    assert main(["publish", "no-such-run"]) == 2
    assert capsys.readouterr().err.startswith("error: run = 'no-such-run': has no manifest.json")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotebookError("04_training", "In [3]", "ValueError", "no problems\nmore"), 1),
        (
            NotebookError(
                "04_training", "In [3]", "InputError", "seed = -1: must be at least 0; choose a larger value"
            ),
            2,
        ),
        (InputError("seed", -1, "must be at least 0", "choose a larger value"), 2),
        (OSError(28, "No space left on device"), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_become_exit_codes(
    error: BaseException, code: int, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("hammerlib.pipeline.run_notebooks", fails)
    assert main(["run"]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr("hammerlib.pipeline.run_notebooks", fails)
    with pytest.raises(RuntimeError, match="shapes differ"):
        main(["run"])


# What is right


def test_order_from_vectors_is_the_order_of_the_library(files: Path, capsys: pytest.CaptureFixture) -> None:
    from hammerlib import Order, load_problems, order_by

    assert main(["order", *GIVEN, "--seed", "3", *OUT]) == 0
    table = load_problems("file:ok.jsonl")
    made = Order.load(files / "made.json")
    made.verify(table)
    same = order_by("hammer", Embeddings.load(files / "e.safetensors"), problems=table, seed=3)
    assert made.permutation.tolist() == same.permutation.tolist()
    assert f"cost {same.cost:.4f}" in capsys.readouterr().out


def test_embedding_first_gives_the_same_order_as_embedding_on_the_way(files: Path) -> None:
    problems = ["reasoning-gym:nano", "--n", "12"]
    assert main(["embed", *problems, "--out", "v.safetensors"]) == 0
    assert Embeddings.load("v.safetensors").vectors.shape[0] == 12
    assert main(["order", *problems, "--embeddings", "v.safetensors", "--out", "a.json"]) == 0
    assert main(["order", *problems, "--backbone", "nano", "--out", "b.json"]) == 0
    assert Path("a.json").read_text() == Path("b.json").read_text()


def test_evaluate_prints_its_numbers_and_folder(files: Path, capsys: pytest.CaptureFixture) -> None:
    words = [
        "evaluate",
        "--model",
        "nano-untrained",
        "--benchmark",
        "reasoning-gym:nano",
        "--n",
        "2",
        "--samples",
        "2",
    ]
    assert main([*words, "--max-new-tokens", "4", "--results", "here"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("pass@1 ") and Path(told[-1]).parent == files / "here"


def test_an_evaluation_out_of_time_says_that_it_is_partial(
    files: Path, capsys: pytest.CaptureFixture
) -> None:
    words = ["evaluate", "--model", "nano-untrained", "--benchmark", "reasoning-gym:nano", "--n", "2"]
    assert main([*words, "--seconds", "0", "--results", "here"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "partial: 0 of 2 problems; call again to go on" and len(told) == 2


def test_train_runs_what_its_file_says(files: Path, capsys: pytest.CaptureFixture) -> None:
    (files / "small.yaml").write_text(
        "n_problems: 4\nprompts_per_step: 2\ngroup_size: 2\nmax_completion_length: 8\n"
        "max_steps: 1\norder: random\ntail: report\n"
    )
    assert main(["train", "--config", "small.yaml", "--results", "here"]) == 0
    folder = Path(capsys.readouterr().out.splitlines()[-1])
    assert folder.name.startswith("train__random__none__s0__") and (folder / "model").is_dir()


def test_a_first_run_needs_no_file(files: Path, capsys: pytest.CaptureFixture) -> None:
    words = ["n_problems=4", "prompts_per_step=2", "group_size=2", "max_completion_length=8", "max_steps=1"]
    words += ["order=random", "tail=report", "problems=reasoning-gym:nano", "rewards=[accuracy, format]"]
    settings = [word for pair in words for word in ("--set", pair)]
    assert main(["train", *settings, "--results", "here"]) == 0
    folder = Path(capsys.readouterr().out.splitlines()[-1])
    assert json.loads((folder / "manifest.json").read_text())["parameters"]["rewards"] == [
        "accuracy",
        "format",
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "config = None: is missing"),
        (["--set", "orderr=hammer"], "config = 'orderr': is no known parameter; did you mean order?"),
        (["--set", "n_problems"], "set = 'n_problems': is not name=value"),
        (["--set", "seed=1", "--set", "seed=2"], "set = 'seed=2': seed is set twice"),
        (["--set", "seed=[1"], "seed = '[1'"),
        (["--set", "seed=x"], "seed = 'x': must be a whole number"),
        (
            ["--config", "strategy.yaml", "--set", "order=hamer"],
            "order = 'hamer': is unknown; did you mean",
        ),
        (["--set", "seed=1", "--set", "seed.a=2"], "set = 'seed.a=2': seed holds no names with values"),
    ],
)
def test_wrong_settings_are_one_line(
    files: Path, words: list[str], told: str, capsys: pytest.CaptureFixture
) -> None:
    assert main(["train", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and told in line


def test_a_study_takes_settings_too(files: Path, capsys: pytest.CaptureFixture) -> None:
    study = str(ROOT / "configs" / "study" / "ci.yaml")
    assert main(["sweep", study, "--root", "cells", "--dry-run", "--set", "replicates=oops"]) == 2
    assert "replicates = 'oops': must be a whole number" in capsys.readouterr().err
    assert main(["sweep", study, "--root", "cells", "--dry-run", "--set", "base.group_size=1"]) == 2
    assert "base.group_size = 1" in capsys.readouterr().err


def test_nano_and_what_is_trained_from_it_answer_in_fewer_tokens(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (files / "small.yaml").write_text("n_problems: 2\nprompts_per_step: 2\ngroup_size: 2\norder: random\n")
    run = hammerlib.train(TrainConfig.from_yaml("small.yaml"), root=files)
    asked: list[int] = []
    monkeypatch.setattr(hammerlib, "evaluate", lambda *_, max_new_tokens, **__: asked.append(max_new_tokens))
    monkeypatch.setattr(measuring, "print_run", lambda record: 0)
    for model in ("nano", "nano-untrained", str(run.folder), str(run.folder / "model")):
        assert main(["evaluate", "--model", model, "--benchmark", "reasoning-gym:nano"]) == 0
    for words in ([], ["--max-new-tokens", "9"]):
        assert main(["evaluate", "--model", "a/b", "--benchmark", "gsm8k", *words]) == 0
    assert asked == [48] * 4 + [1024, 9]


# The doctor


def test_the_doctor_says_what_runs_and_why_not(capsys: pytest.CaptureFixture) -> None:
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line[22:].split()[0] in ("yes", "no") for line in lines)
    assert any(line.startswith("training") for line in lines) and any("MB in" in line for line in lines)
    means = {line[:22].strip(): line[22:].split()[0] for line in lines if line.startswith("code")}
    assert set(means) == {
        "code runner",
        *(f"code: {name}" for name in ("seccomp", "namespaces", "landlock", "quota")),
    }
    assert (means["code runner"] == "no") == bool(refused())


def test_the_doctor_names_missing_benchmark_files_and_their_sources(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, expected in (("", "docs/data.md"), (str(tmp_path), "aime24 (aime24.jsonl from QwenLM/")):
        monkeypatch.setenv("HAMMER_DATA", folder)
        assert main(["doctor"]) == 0
        (line,) = [one for one in capsys.readouterr().out.splitlines() if one.startswith("benchmark files")]
        assert expected in line


def test_clearing_the_cache_spares_what_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("HAMMER_CACHE", str(tmp_path))
    for name in (*CACHE_PARTS, "somebody-elses"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"x" * 1000)
    assert cache_size() == 1000 * len(CACHE_PARTS)
    assert main(["doctor", "--clear-cache"]) == 0
    assert "removed" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["somebody-elses"] and clear_cache() == 0


def test_the_doctor_knows_every_folder_that_the_package_caches_in() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "hammerlib").rglob("*.py"))
    assert set(re.findall(r"(?<!def )cache_dir\(\"([\w-]+)\"", source)) == set(CACHE_PARTS)
