"""Tasks over worker processes of this machine, or over Ray's workers of many; nobody else imports Ray."""

from __future__ import annotations

import multiprocessing.connection
import os
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, NamedTuple

from hammerlib.errors import InputError, check_name, check_whole, need
from hammerlib.runs.storage import environment, progress_off, tell_progress

BACKENDS = ("process", "ray", "serial")
PAUSE = 0.5  # seconds before a second try, twice that before a third: memory that ran out may be free again
RETRIES = 2  # of a named job whose process died; training resumes from its last checkpoint
DIED = "its process was killed or ran out of memory"
# Read by OpenMP, MKL and OpenBLAS once, when a worker first imports numpy or torch: two workers whose
# threads spin for the same cores are up to ten times slower than one thread each.
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
ONE_THREAD |= {"TOKENIZERS_PARALLELISM": "false"}
# No statistics sent home, no idle workers started first, and a task without GPU sees none, without a warning.
RAY_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
}
OBJECT_STORE = 100_000_000  # bytes of shared memory for a Ray of our own; tasks and results are small


class Failure(NamedTuple):
    """Why a task has no result: one line, the type and text of its error, or that its process died."""

    reason: str

    @property
    def of_machinery(self) -> bool:
        """Whether the process or machine died: what it worked on is not to blame, and may be tried again."""
        return self.reason.startswith(DIED)


class _Work(NamedTuple):
    """What `map_tasks` was asked for."""

    task: Callable[[Any], Any]
    items: Iterable[Any]
    workers: int
    retries: int
    gpus: int


def map_tasks(
    task: Callable[[Any], Any],
    items: Iterable[Any],
    *,
    workers: int = 2,
    backend: str = "process",
    retries: int = 0,
    gpus: int = 0,
) -> Iterator[tuple[int, Any]]:
    """Apply a task (an importable function) to every item on several workers, each with one compute thread.

    Yields the place of each item, once, with its result or a `Failure`, as they finish. Items are taken one
    by one as workers become free; a worker process serves item after item, so that what the task's module
    caches is loaded once. `backend` is processes of this machine; the Ray cluster that ``RAY_ADDRESS`` names
    or that runs here, else a Ray of our own for the time of the call; or one item after the other in this
    process, without protection. `retries` is how often an item is given to a new process when its process or
    machine died; an error of the task itself is not repeated. `gpus` of this machine are dealt out one a
    worker; with Ray any number above 0 asks for one a task.

    Examples
    --------
    >>> sorted(map_tasks(abs, [-1, 2], workers=1))
    [(0, 1), (1, 2)]
    """
    check_whole("workers", workers, 1, "use one worker per idle core")
    check_name("backend", backend, BACKENDS, "is unknown")
    work = _Work(task, items, workers, retries, gpus)
    if backend == "serial":
        return _in_this_process(task, items)
    if backend == "process":
        return _over_processes(work)
    need("ray")
    import ray

    return _over_ray(work, ray)


def map_named(
    field: str,
    task: Callable[[Any], Any],
    names: list[str],
    jobs: list[Any],
    workers: int,
    backend: str = "process",
    *,
    label: str,
) -> list[Any]:
    """Apply a task to named jobs; when some fail, one error names them all after the others have finished."""
    from tqdm.auto import tqdm

    if workers == 1 and backend == "process":
        backend = "serial"
    finished = map_tasks(task, jobs, workers=workers, backend=backend, retries=RETRIES)
    results: list = [None] * len(jobs)
    failed = []
    tell_progress(f"{label} 1/{len(jobs)}")
    with tqdm(total=len(jobs), desc=label, unit="run", disable=progress_off()) as bar:
        for count, (index, result) in enumerate(finished, start=2):
            results[index] = result
            if isinstance(result, Failure):
                failed.append(index)
            bar.update()
            tell_progress(f"{label} {min(count, len(jobs))}/{len(jobs)}")
    if failed:
        reasons = "; ".join(f"{names[index]}: {results[index].reason}" for index in sorted(failed))
        problem = f"{len(failed)} of {len(jobs)} runs failed ({reasons})"
        raise InputError(field, names, problem, "repair these and call again: the finished runs are reused")
    return results


def _in_this_process(task: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    for index, item in enumerate(items):
        try:
            result = task(item)
        except Exception as error:
            result = _failure(error)
        yield index, result


def _over_processes(work: _Work) -> Iterator[tuple[int, Any]]:
    """Each of the threads owns one process and replaces it when it has died: no death takes another item."""
    todo = enumerate(work.items)
    lock = threading.Lock()
    closed = threading.Event()
    done: queue.SimpleQueue = queue.SimpleQueue()

    def take() -> tuple[int, Any] | None:
        with lock:
            return None if closed.is_set() else next(todo, None)

    # Spawned processes inherit it; this one has read its own numbers of threads long ago.
    with environment(**ONE_THREAD):
        for number in range(work.workers):
            threading.Thread(target=_serve, args=(work, take, done, number), daemon=True).start()
        try:
            # Every thread ends with None, or with what the iterable raised.
            running = work.workers
            while running:
                message = done.get()
                if isinstance(message, BaseException):
                    raise message
                if message is None:
                    running -= 1
                else:
                    yield message
        finally:  # after an interrupt nothing new starts
            closed.set()


def _serve(work: _Work, take: Callable[[], Any], done: queue.SimpleQueue, number: int) -> None:
    """Put a pair (place, result) into the queue for every item, and None at the end."""
    pool: ProcessPoolExecutor | None = None
    # Spawn, not fork: a forked copy of a process that has used torch can hang in its thread pool.
    spawn = multiprocessing.get_context("spawn")
    try:
        while (pair := take()) is not None:
            index, item = pair
            for attempt in range(work.retries + 1):
                time.sleep(PAUSE * attempt)
                pool = pool or ProcessPoolExecutor(1, spawn, _begin, (number, work.gpus))
                try:
                    result = pool.submit(work.task, item).result()
                except BrokenProcessPool:
                    result, pool = Failure(DIED), None
                    continue
                except Exception as error:
                    result = _failure(error)
                break
            done.put((index, result))
        done.put(None)
    except BaseException as error:  # of the iterable; it belongs to the caller
        done.put(error)
    finally:
        if pool is not None:
            pool.shutdown(wait=False)


def _failure(error: BaseException) -> Failure:
    return Failure(" ".join(f"{type(error).__name__}: {error}".split()))


def _begin(number: int, gpus: int) -> None:
    """Settle into a worker process: its GPU, and an end when its parent is killed."""
    if gpus:
        given = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = given.split(",") if given else range(gpus)
        os.environ["CUDA_VISIBLE_DEVICES"] = str(names[number % len(names)])
    parent = multiprocessing.parent_process()

    def wait() -> None:  # it would train on beside the run that starts again
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    if parent is not None:
        threading.Thread(target=wait, daemon=True).start()


def _over_ray(work: _Work, ray: Any) -> Iterator[tuple[int, Any]]:
    """Keep as many tasks under way as there are workers; Ray repeats those whose process or machine dies."""
    ours = not ray.is_initialized()
    if ours:
        quiet = {"log_to_driver": False, "configure_logging": False}
        with environment(**RAY_SETTINGS):
            try:
                ray.init(address="auto", **quiet)
            except ConnectionError:
                ray.init(address="local", **own_cluster(work.workers), **quiet)
    asked = {"num_cpus": 1, "num_gpus": int(work.gpus > 0), "max_retries": work.retries}
    remote = ray.remote(_call).options(**asked, runtime_env={"env_vars": ONE_THREAD})
    todo = ((index, item, 0) for index, item in enumerate(work.items))
    again: deque[tuple[int, Any, int]] = deque()
    under_way: dict[Any, tuple[int, Any, int]] = {}
    try:
        while True:
            while len(under_way) < work.workers:
                entry = again.popleft() if again else next(todo, None)
                if entry is None:
                    break
                under_way[remote.remote(work.task, entry[1])] = entry
            if not under_way:
                return
            (ready, *_), _ = ray.wait(list(under_way))
            index, item, tries = under_way.pop(ready)
            result = _ray_result(ray, ready)
            # Ray repeats a task whose process died, but not one that its node, or Ray itself, gave up: we do.
            if isinstance(result, Failure) and result.of_machinery and tries < work.retries:
                time.sleep(PAUSE * (tries + 1))
                again.append((index, item, tries + 1))
            else:
                yield index, result
    finally:
        for reference in under_way:
            ray.cancel(reference, force=True)
        if ours:
            ray.shutdown()


def _call(task: Callable[[Any], Any], item: object) -> Any:
    return task(item)


def own_cluster(workers: int) -> dict[str, Any]:
    """Return what `ray.init` needs for a Ray of our own on this machine."""
    # Without it a worker knows neither the caller's script folder nor a checkout that is not installed.
    path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return {
        "num_cpus": workers,
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE,
        "runtime_env": {"env_vars": path},
    }


def _ray_result(ray: Any, ready: Any) -> Any:
    try:
        return ray.get(ready)
    except ray.exceptions.RayTaskError as error:
        return _failure(error.cause if isinstance(error.cause, Exception) else error)
    except ray.exceptions.RayError:
        return Failure(DIED)
