"""Grading many completions on worker processes that can be killed."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from tqdm.auto import tqdm

from hammerlib.errors import InputError
from hammerlib.grading import equality
from hammerlib.grading.extract import final_answer, tidy
from hammerlib.grading.verdict import Verdict, grade, grader_version
from hammerlib.storage import progress_off

# Starting a worker imports sympy and both graders.
START_SECONDS = 120.0


def grade_many(
    completions: Sequence[str],
    problems: Sequence[str | dict[str, Any]],
    *,
    timeout: float = 10.0,
    workers: int | None = None,
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

    Returns
    -------
    list of Verdict
        In order; the reason of a killed one is ``timeout`` (see :func:`count_reasons`).

    Raises
    ------
    InputError
        Lengths differ, or `timeout` or `workers` is out of range.

    Examples
    --------
    >>> [verdict.correct for verdict in grade_many([r"\\boxed{5}", r"\\boxed{6}"], ["5", "7"])]
    [True, False]
    """
    workers = min(4, os.cpu_count() or 1) if workers is None else workers
    _check(len(completions), len(problems), timeout, workers)
    verdicts: list[Verdict | None] = [_at_once(*pair) for pair in zip(completions, problems, strict=True)]
    waiting = deque(index for index, verdict in enumerate(verdicts) if verdict is None)
    crew = [_Worker() for _ in range(min(workers, len(waiting)))]
    with tqdm(
        total=len(verdicts), initial=len(verdicts) - len(waiting), disable=progress_off(), desc="grading"
    ) as bar:
        try:
            while waiting or any(worker.job is not None for worker in crew):
                for index, verdict in _round(crew, waiting, completions, problems, timeout):
                    verdicts[index] = verdict
                    bar.update()
        finally:
            for worker in crew:
                worker.kill()
    return [verdict for verdict in verdicts if verdict is not None]


def count_reasons(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """Count verdicts by reason, most frequent first.

    Examples
    --------
    >>> count_reasons([grade("so 5", "5"), grade("so 5", "5"), grade("?", "5")])
    {'equal': 2, 'no answer': 1}
    """
    return dict(Counter(verdict.reason for verdict in verdicts).most_common())


def _check(completions: int, problems: int, timeout: float, workers: int) -> None:
    if completions != problems:
        remedy = "give one gold or problem per completion"
        raise InputError("problems", problems, f"{completions} completions", remedy)
    if timeout <= 0:
        raise InputError("timeout", timeout, "must be above 0", "give seconds")
    if workers < 1:
        raise InputError("workers", workers, "must be at least 1", "leave it out for the default")


class _Worker:
    """A process that grades one completion at a time, and what it is busy with."""

    def __init__(self) -> None:
        self.job: int | None = None
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context(
            "spawn"
        )  # forking a process that runs torch threads can deadlock
        self.pipe, far = context.Pipe()
        self.process = context.Process(target=_serve, args=(far,), daemon=True)
        self.process.start()
        far.close()
        self.ready = False
        self.deadline = time.monotonic() + START_SECONDS

    def give(self, job: int, completion: str, problem: str | dict[str, Any], timeout: float) -> None:
        """Hand over one completion; the deadline is `timeout` seconds from now."""
        self.pipe.send((completion, problem))
        self.job, self.deadline = job, time.monotonic() + timeout

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        self.process.kill()
        self.process.join()
        self.pipe.close()

    def replace(self) -> None:
        """Kill the process and start a fresh one."""
        self.kill()
        self.job = None
        self._start()


def _round(
    crew: list[_Worker],
    waiting: deque[int],
    completions: Sequence[str],
    problems: Sequence[str | dict[str, Any]],
    timeout: float,
) -> list[tuple[int, Verdict]]:
    """Hand out work, wait for the first event, and return what is decided."""
    for worker in crew:
        if worker.ready and worker.job is None and waiting:
            index = waiting.popleft()
            worker.give(index, completions[index], problems[index], timeout)
    busy = [worker for worker in crew if worker.job is not None or not worker.ready]
    patience = max(0.0, min(worker.deadline for worker in busy) - time.monotonic())
    heard = wait([worker.pipe for worker in busy], timeout=patience)
    decided = []
    for worker in busy:
        if worker.pipe in heard:
            message = _receive(worker)
        elif time.monotonic() >= worker.deadline:
            message = "timeout"
        else:
            continue
        if worker.job is not None:
            index = worker.job
            worker.job = None
            given_up = isinstance(message, str)
            decided.append((index, _failed(completions[index], message) if given_up else message))
        elif isinstance(message, str):
            raise RuntimeError(f"a grading worker did not start ({message})")
        if isinstance(message, str):
            worker.replace()
        worker.ready = not isinstance(message, str)
    return decided


def _receive(worker: _Worker) -> Verdict | bool | str:
    try:
        return worker.pipe.recv()
    except EOFError:  # the process died, of memory for instance
        return "error: WorkerDied"


def _failed(completion: str, reason: str) -> Verdict:
    return Verdict(False, final_answer(completion), reason, grader_version())


def _at_once(completion: str, problem: str | dict[str, Any]) -> Verdict | None:
    if not isinstance(problem, str):
        if problem.get("scorer"):
            return grade(completion, problem)
        problem = problem["answer"]
    extracted = final_answer(completion)
    plain = (extracted == "") or (extracted is not None and equality.decided(tidy(problem), tidy(extracted)))
    return grade(completion, problem) if plain else None


def _serve(pipe: Connection) -> None:
    grade(r"\boxed{\frac{1}{2}}", "0.5")  # import both libraries before the clock of the first job runs
    pipe.send(True)
    while True:
        try:
            pipe.send(grade(*pipe.recv()))
        except EOFError:
            return
