"""Nothing a model writes can hang a run: guards, time-outs, threads and worker processes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from hammerlib.errors import InputError
from hammerlib.grading import GradingPool, Verdict, grade, grade_many, open_pool
from hammerlib.grading.equality import MAX_CHARACTERS, TooComplex, guard
from hammerlib.grading.pool import _at_once
from hammerlib.problems import load_problems


def box(answer: str) -> str:
    return rf"So the answer is \boxed{{{answer}}}."


RUNAWAY = [
    "9^{9^{9}}",
    "9^9^9",
    "2^{2^{9999}}",
    "10^{1000000}",
    "9!!!!!!!",
    "(10^{9})!",
    "123456!",
    r"\binom{1000000}{500000}",
    "(x+y+z)^{80}",
    r"\frac{1}{" * 30 + "2" + "}" * 30,
    "(" * 40 + "1" + ")" * 40,
    "1" * (MAX_CHARACTERS + 1),
]


@pytest.mark.parametrize("answer", RUNAWAY, ids=lambda text: text[:20])
def test_runaway_expressions_are_refused_before_they_run(answer):
    with pytest.raises(TooComplex):
        guard(answer)
    start = time.monotonic()
    assert grade(box(answer), "5").reason == "error: TooComplex"
    assert grade(box("5"), answer).reason == "error: TooComplex"
    assert grade(f"I find ${answer}$", "5").reason in ("error: TooComplex", "wrong")
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "answer", [r"\frac{100!}{2^{50}}", "2^{1009}", "2^{2^{10}}", "10^{10}", "n!", "(x+1)^{12}"]
)
def test_ordinary_powers_and_factorials_pass(answer):
    guard(answer)
    assert grade(box(answer), answer).correct


def test_grading_works_off_the_main_thread():
    verdicts: list[Verdict] = []
    work = threading.Thread(
        target=lambda: verdicts.extend([grade(box("1/2"), "0.5"), grade("so 3/6", "0.5")])
    )
    work.start()
    work.join()
    assert [verdict.reason for verdict in verdicts] == ["correct", "correct"]


def test_a_time_out_of_math_verify_is_a_verdict(monkeypatch):
    monkeypatch.setattr("hammerlib.grading.equality.SECONDS", 1)
    monkeypatch.setattr("hammerlib.grading.equality.guard", lambda answer: None)
    start = time.monotonic()
    verdict = grade(box(r"\frac{1}{" * 30 + "3" + "}" * 30), "5")
    assert verdict.reason in ("timeout", "wrong")
    assert time.monotonic() - start < 6


def test_many_completions_are_graded_in_order():
    completions = [box("1/2"), "so 7", box("3"), "", box("9^{9^{9}}"), box(r"\frac{2}{4}")]
    golds = ["0.5", "7", "4", "1", "5", "0.5"]
    verdicts = grade_many(completions, golds, workers=1)
    assert verdicts == [grade(*pair) for pair in zip(completions, golds, strict=True)]
    assert Counter(verdict.reason for verdict in verdicts) == {
        "correct": 3,
        "wrong": 1,
        "unextracted": 1,
        "error: TooComplex": 1,
    }


def test_easy_batches_start_no_process(monkeypatch):
    monkeypatch.setattr("hammerlib.grading.pool.Worker", None)
    rows = load_problems("reasoning-gym:nano", n=20).to_list()
    assert all(verdict.correct for verdict in grade_many([box(row["answer"]) for row in rows], rows))
    assert grade_many([], []) == []


def test_a_completion_that_hangs_is_killed_and_counted():
    # Within the guards' limits and yet slow: the high powers of sums come in small factors, of an integral.
    slow = r"\int (x+y+z)^{29}(x-y+z)^{29}(x+y-z)^{29} dx"
    start = time.monotonic()
    verdicts = grade_many(
        [box(slow), box("1/2"), box("2/4")], ["(x+y)^{2}", "0.5", "0.5"], timeout=2.0, workers=1
    )
    assert Counter(verdict.reason for verdict in verdicts) == {"correct": 2, "timeout": 1}
    assert verdicts[0].extracted == slow
    assert time.monotonic() - start < 60


def test_a_pool_keeps_its_workers_and_replaces_those_that_die() -> None:
    with contextlib.closing(GradingPool(workers=1)) as pool:
        assert pool.grade([box("1/2")], ["0.5"])[0].correct
        (first,) = pool._crew
        started = first.process.pid
        assert pool.grade([box("1/3"), "so 7"], [r"\frac{1}{3}", "7"])[0].correct
        assert [worker.process.pid for worker in pool._crew] == [started]
        first.process.kill()
        first.process.wait()
        assert pool.grade([box("2/4")], ["0.5"])[0].correct
        assert first.process.pid != started
    assert first.process.poll() is not None and pool._crew == []
    assert pool.grade(["so 7"], ["7"])[0].correct  # closed, yet good for what needs no worker


def test_who_asks_for_no_pool_of_its_own_finds_the_workers_of_before() -> None:
    pids = []
    for evaluated in (True, False):
        assert grade_many([box("1/2")], ["0.5"], evaluated=evaluated)[0].correct
        with open_pool() as pool:
            pids.append([worker.process.pid for worker in pool._crew])
    assert pids[0] == pids[1] != []
    with open_pool(1) as own:
        assert own.grade([box("1/2")], ["0.5"])[0].correct
        (alone,) = own._crew
        assert alone.process.pid not in pids[0]
    assert alone.process.poll() is not None


def test_a_forked_process_has_workers_of_its_own() -> None:
    code = (
        "import os\nfrom hammerlib.grading import GradingPool\n"
        "pool = GradingPool(workers=1)\n"
        "def reason(): return pool.grade([r'\\boxed{1/2}'], ['0.5'])[0].reason\n"
        "reason(); child = os.fork(); print(reason(), flush=True)\n"
        "if child: os.waitpid(child, 0); print('still', reason())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["correct", "correct", "still", "correct"], done.stderr


def test_a_script_without_a_main_guard_can_grade(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from hammerlib.grading import grade_many\n"
        "print('once')\n"
        "print(grade_many([r'\\boxed{1/2}'], ['0.5'], workers=1)[0].reason)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert done.stdout.split() == ["once", "correct"], done.stderr


def test_workers_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    code = (
        "import os, signal\nfrom hammerlib.grading import GradingPool\n"
        "pool = GradingPool(workers=1); pool.grade([r'\\boxed{1/2}'], ['0.5'])\n"
        "print(pool._crew[0].process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    worker, patience = int(done.stdout), time.monotonic() + 20
    while _alive(worker):
        assert time.monotonic() < patience
        time.sleep(0.1)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{process}/stat")
    return not (state.exists() and ") Z" in state.read_text())  # nobody waits for an orphan in a container


@pytest.mark.parametrize("answer", ["9**9**9", "9^{9}", "(7)", "1!", r"\frac12", "1" * 65])
def test_only_plain_answers_reach_a_scorer_outside_a_worker(answer: str) -> None:
    row = {"answer": "7", "scorer": "reasoning-gym:products", "metadata": "{}"}
    assert _at_once(box(answer), row) is None
    assert _at_once(f"The answer is {answer}", row | {"answer": "Monday"}) is None
    assert _at_once(box("7"), row).correct


@pytest.mark.parametrize(
    ("options", "words"), [({"timeout": 0}, "above 0"), ({"workers": 0}, "at least 1"), ({}, "2 completions")]
)
def test_bad_requests_are_named(options, words):
    problems = ["1", "2"] if options else ["1"]
    with pytest.raises(InputError, match=words):
        grade_many(["a", "b"], problems, **options)


def test_equal_questions_are_put_to_a_worker_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from hammerlib.grading.pool import Worker

    given: list[str] = []
    give = Worker.give
    monkeypatch.setattr(
        Worker, "give", lambda self, job, text, *rest: (given.append(text), give(self, job, text, *rest))
    )
    texts = [f"{i}: {box('1/2')}" for i in range(5)] + ["so 1/2", "so 1/2", f"last {box('2/4')}"]
    golds = ["0.5"] * 4 + ["0.25"] + ["0.5"] * 3
    found = grade_many(texts, golds, workers=1)
    assert found == [grade(*pair) for pair in zip(texts, golds, strict=True)]
    assert given == [texts[0], texts[4], *texts[5:]]


LONG = {
    "digits": "9" * 950,
    "digits and blanks": "1 " * 450,
    "sum": "1+" * 490 + "1",
    "units": r"5 " + r"\text{a} " * 110,
    "words": "5 " + "ab cd " * 150,
    "decimal": "0." + "3" * 900,
    "nested sums": r"\sum_{k=1}^{9999}\sum_{j=1}^{9999} kj",
    "sum of factorials": r"\sum_{k=1}^{9999} k!",
    "sum of binomials": r"\sum_{k=1}^{9999}\binom{9999}{k}",
    "powers": "2^" * 400,
    "roots": r"\sqrt" * 190,
    "factorial of a factorial": "((9999!)!)",
    "list": "1," * 450,
    "primes": "5" + "'" * 900,
    "commands": r"\frac" * 190,
}


@pytest.mark.parametrize("name", LONG)
def test_no_reading_takes_longer_than_the_limit_of_math_verify(name: str) -> None:
    from hammerlib.grading.equality import _may_ask, exact_verdict

    start = time.monotonic()
    for gold, answer in (("5", LONG[name]), (LONG[name], "5"), (LONG[name], LONG[name] + "+1")):
        assert exact_verdict(gold, answer) in (False, None)
        _may_ask(gold, answer)
    assert time.monotonic() - start < 5
