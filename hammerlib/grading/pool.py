"""Grading many completions on worker processes that can be killed."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from tqdm.auto import tqdm

from hammerlib.errors import InputError, need
from hammerlib.grading import equality
from hammerlib.grading.extract import final_answer, gold_answers, is_list, is_number, unmarked_answer
from hammerlib.grading.verdict import Verdict, grade, grader_version, refuse_pair
from hammerlib.problems.registry import CODE, refuse_code, runs_code
from hammerlib.runs.storage import progress_off

# Starting a worker imports sympy and the graders that the first batch needs.
START_SECONDS = 120.0
# A child of its own rather than multiprocessing's: that one imports the user's script a second time, which
# trains again where the script has no `if __name__ == "__main__"`.
SERVE = "import sys; from hammerlib.grading.pool import serve; serve(*map(int, sys.argv[1:]))"
WITH_SCORER = {"answer": "no number", "scorer": "reasoning-gym:products", "metadata": "{}"}


class Worker:
    """A process that grades one completion at a time, and what it is busy with."""

    def __init__(self, gym: bool) -> None:
        self.gym = gym
        self.job: int | None = None
        self._start()

    def _start(self) -> None:
        near, far = socket.socketpair()
        # A script's own folder, or a checkout that is not installed, is on the path of this process alone.
        path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
        with far:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SERVE, str(far.fileno()), str(int(self.gym))],
                pass_fds=[far.fileno()],
                stdin=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": path},
            )
        self.pipe = Connection(near.detach())
        self.ready = False
        self.deadline = time.monotonic() + START_SECONDS

    def give(
        self, job: int, completion: str, row: dict[str, Any], timeout: float, switches: dict[str, bool]
    ) -> None:
        """Hand over one completion; the deadline is `timeout` seconds from now."""
        self.pipe.send((completion, row, switches))
        self.job = job
        self.deadline = time.monotonic() + timeout

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        self.process.kill()
        self.process.wait()
        self.pipe.close()

    def replace(self) -> None:
        """Kill the process and start a fresh one."""
        self.kill()
        self.job = None
        self._start()

    def receive(self) -> Verdict | bool | str:
        """Return a verdict, True from a worker that is ready, or the reason why there is none."""
        try:
            return self.pipe.recv()
        except EOFError:  # the process died, of memory for instance
            return "error: WorkerDied"


def serve(handle: int, gym: int) -> None:
    """Grade what comes over a socket until it closes: the life of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()
    # Import the graders before the clock of the first job runs: math-verify with its patterns for free text,
    # which not every answer needs, and reasoning-gym.
    equality.equal_anywhere("7/2", "so 3")
    for problem in ("0.5", *[WITH_SCORER] * gym):
        grade(r"\boxed{\frac{1}{2}}", problem)
    with contextlib.suppress(EOFError, OSError), Connection(handle) as pipe:
        pipe.send(True)
        while True:
            completion, problem, switches = pipe.recv()
            pipe.send(grade(completion, problem, **switches))


def _leave_with(parent: int) -> None:
    """End this process, whatever it computes, soon after its parent was killed."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


# Short texts without powers, factorials, calls or LaTeX cost a reasoning-gym scorer nothing.
PLAIN_CHARACTERS = 64


def grade_many(
    completions: Sequence[str],
    problems: Sequence[str | dict[str, Any]],
    *,
    timeout: float = 10.0,
    workers: int | None = None,
    run_code: bool = False,
    evaluated: bool = False,
    unfinished: bool = True,
) -> list[Verdict]:
    """Grade completions with a wall-clock limit on each.

    What needs no algebra (integers, empty and equal answers, reasoning-gym's scorers) is decided at once;
    the rest goes to worker processes. A worker that exceeds the limit is killed and replaced, so that not
    even a comparison stuck in compiled code can hang a run.

    Parameters
    ----------
    completions : sequence of str
        What the model wrote.
    problems : sequence of str or dict
        Gold or problem row per completion, as for :func:`grade`.
    timeout : float
        Seconds per completion, above 0; starting a worker does not count.
    workers : int, optional
        Number of processes, at least 1; default: the processors, at most 4.
    run_code, evaluated, unfinished : bool
        As for `grade`.

    Returns
    -------
    list of Verdict
        In order; the reason of a killed one is ``timeout``.

    Examples
    --------
    >>> [verdict.correct for verdict in grade_many([r"\\boxed{5}", r"\\boxed{6}"], ["5", "7"])]
    [True, False]
    """
    with open_pool(workers, run_code=run_code, evaluated=evaluated, unfinished=unfinished) as pool:
        return pool.grade(completions, problems, timeout=timeout)


# Workers that no pool of its own asked for. They stay with this process, because a start costs seconds of
# imports; the next batch of whoever grades here finds them ready.
_CREWS: dict[int, tuple[list[Worker], threading.Lock]] = {}


@contextlib.contextmanager
def open_pool(
    workers: int | None = None, *, run_code: bool = False, **switches: bool
) -> Iterator[GradingPool]:
    """Lend the workers of this process, or new ones that end with the block: for code, or a stated number.

    Parameters
    ----------
    workers : int, optional
        Of a pool of its own; None lends those that every batch of this process shares, unless code is run.
    run_code, switches
        As for :func:`grade_many`.

    Examples
    --------
    >>> with open_pool() as pool:
    ...     [one.correct for one in pool.grade([r"\\boxed{5}"], ["5"])]
    [True]
    """
    pool = GradingPool(workers, run_code=run_code, **switches)
    if run_code or workers is not None:
        with contextlib.closing(pool):
            yield pool
        return
    if os.getpid() not in _CREWS:
        crew: list[Worker] = []
        _CREWS[os.getpid()] = crew, threading.Lock()
        atexit.register(_end, crew, os.getpid())
    pool._crew, pool._lock = _CREWS[os.getpid()]
    yield pool


class GradingPool:
    """Grading processes that stay for many batches, as a training run has them.

    Workers start when the first completion needs one, and end with `close` or this process.

    Parameters
    ----------
    workers, run_code, evaluated, unfinished
        As for :func:`grade_many`.

    Examples
    --------
    >>> import contextlib
    >>> with contextlib.closing(GradingPool()) as pool:
    ...     [one.reason for one in pool.grade([r"\\boxed{5}"], ["5"])]
    ['correct']
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        run_code: bool = False,
        evaluated: bool = False,
        unfinished: bool = True,
    ) -> None:
        self.workers = min(4, os.cpu_count() or 1) if workers is None else workers
        self.run_code = run_code
        self.switches = {"run_code": run_code, "evaluated": evaluated, "unfinished": unfinished}
        if self.workers < 1:
            raise InputError("workers", workers, "must be at least 1", "leave it out for the default")
        need("math_verify")
        self._own()

    def _own(self) -> None:
        """Begin without workers; those of a process that forked stay its own."""
        self._crew: list[Worker] = []
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._ends = weakref.finalize(self, _end, self._crew, self._owner)

    def grade(
        self, completions: Sequence[str], problems: Sequence[str | dict[str, Any]], *, timeout: float = 10.0
    ) -> list[Verdict]:
        """Return verdicts in order (see :func:`grade_many`); InputError for lengths or a limit that fail."""
        if len(completions) != len(problems):
            remedy = "give one gold or problem per completion"
            raise InputError("problems", len(problems), f"{len(completions)} completions", remedy)
        if timeout <= 0:
            raise InputError("timeout", timeout, "must be above 0", "give seconds")
        rows: list[dict[str, Any]] = []
        for completion, problem in zip(completions, problems, strict=True):
            refuse_pair(completion, problem)
            rows.append({"answer": problem} if isinstance(problem, str) else problem)
            refuse_code(rows[-1].get("scorer"), self.run_code)
        verdicts = [_at_once(*pair, self.switches) for pair in zip(completions, rows, strict=True)]
        # A worker answers each pair of gold and marked answer once.
        same: dict[int, list[int]] = {}
        first_of: dict[Any, int] = {}
        for index, verdict in enumerate(verdicts):
            if verdict is None:
                first = first_of.setdefault(_question(completions[index], rows[index]) or index, index)
                same.setdefault(first, []).append(index)
        waiting = deque(same)
        if os.getpid() != self._owner:
            self._own()
        done = len(verdicts) - verdicts.count(None)
        hidden = progress_off() or not waiting
        with self._lock, tqdm(total=len(verdicts), initial=done, disable=hidden, desc="grading") as bar:
            try:
                scorers = [rows[index].get("scorer") or CODE for index in waiting]
                self._staff(len(waiting), any(not scorer.startswith(CODE) for scorer in scorers))
                while waiting or any(worker.job is not None for worker in self._crew):
                    for first, verdict in self._round(waiting, completions, rows, timeout):
                        for index in same[first]:
                            verdicts[index] = verdict
                        bar.update(len(same[first]))
            except BaseException:
                self.close()  # what a worker is busy with must not answer the next batch
                raise
        return [verdict for verdict in verdicts if verdict is not None]

    def _staff(self, jobs: int, gym: bool) -> None:
        """Start the workers that are missing, and again those that would import a grader on a job's clock."""
        for worker in self._crew:
            if gym and not worker.gym:
                worker.gym = True
                worker.replace()
        self._crew += [Worker(gym) for _ in range(min(self.workers, jobs) - len(self._crew))]

    def _round(
        self, waiting: deque[int], completions: Sequence[str], rows: list[dict[str, Any]], timeout: float
    ) -> list[tuple[int, Verdict]]:
        """Hand out work, wait for the first event, and return what is decided."""
        for worker in self._crew:
            if worker.ready and worker.process.poll() is not None:  # killed while it had nothing to do
                worker.replace()
            if worker.ready and worker.job is None and waiting:
                index = waiting.popleft()
                worker.give(index, completions[index], rows[index], timeout, self.switches)
        busy = [worker for worker in self._crew if worker.job is not None or not worker.ready]
        # Wake up for the first answer, or for the first worker whose time is over.
        patience = max(0.0, min(worker.deadline for worker in busy) - time.monotonic())
        heard = wait([worker.pipe for worker in busy], timeout=patience)
        decided = []
        for worker in busy:
            if worker.pipe in heard:
                message = worker.receive()
            elif time.monotonic() >= worker.deadline:
                message = "timeout"
            else:
                continue
            failed = isinstance(message, str)
            if worker.job is not None:
                index, worker.job = worker.job, None
                if failed:
                    completion = completions[index]
                    message = Verdict(False, final_answer(completion), message, grader_version())
                decided.append((index, message))
            elif failed:
                raise RuntimeError(f"a grading worker did not start ({message})")
            if failed:
                worker.replace()
            worker.ready = not failed
        return decided

    def close(self) -> None:
        """End the workers; the next batch starts new ones."""
        _end(self._crew, self._owner)


def _end(crew: list[Worker], owner: int) -> None:
    while crew and os.getpid() == owner:
        crew.pop().kill()


def _question(completion: str, row: dict[str, Any]) -> tuple[Any, ...] | None:
    """What decides the verdict of a completion that marks its answer; None where more of it may."""
    if row.get("scorer"):
        return None
    answer = final_answer(completion, several=_several(row["answer"] or ""))
    return None if answer is None else (row["answer"], row.get("metadata"), answer)


def _at_once(completion: str, row: dict[str, Any], switches: dict[str, bool] | None = None) -> Verdict | None:
    """The verdict of a completion that needs no algebra and runs nothing; None for all others."""
    scorer = row.get("scorer")
    if scorer and runs_code(scorer):
        return None  # never in this process
    answer = row["answer"] or ""
    if scorer:
        seen = final_answer(completion)
        if seen is None:
            seen = unmarked_answer(completion, numeric=is_number(row["answer"])) or ""
        plain = len(seen) <= PLAIN_CHARACTERS and "**" not in seen and not set("^!(\\") & set(seen)
    else:
        seen = final_answer(completion, several=_several(answer))
        plain = seen == "" or (seen is not None and equality.decided(answer.strip(), seen))
    return grade(completion, row, **(switches or {})) if plain else None


@functools.lru_cache(maxsize=4096)
def _several(gold: str) -> bool:
    return any(map(is_list, gold_answers(gold)))
