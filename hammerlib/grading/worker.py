"""A process that grades, and can be killed while it does."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

from hammerlib.grading import equality
from hammerlib.grading.verdict import Verdict, grade

# Starting a worker imports sympy and the graders that the first batch needs.
START_SECONDS = 120.0
# A child of its own rather than multiprocessing's: that one imports the user's script a second time, which
# trains again where the script has no `if __name__ == "__main__"`.
SERVE = "import sys; from hammerlib.grading.worker import serve; serve(*map(int, sys.argv[1:]))"
WITH_SCORER = {"answer": "no number", "scorer": "reasoning-gym:products", "metadata": "{}"}


class Worker:
    """A process that grades one completion at a time, and what it is busy with.

    Parameters
    ----------
    gym : bool
        Whether it imports reasoning-gym's scorers before its first job.

    Examples
    --------
    >>> worker = Worker(gym=False); worker.job is None
    True
    >>> worker.kill()
    """

    def __init__(self, gym: bool) -> None:
        self.gym = gym
        self.job: int | None = None
        self._start()

    def _start(self) -> None:
        near, far = socket.socketpair()
        path = os.pathsep.join(os.path.abspath(one) for one in sys.path)
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
        self,
        job: int,
        completion: str,
        problem: str | dict[str, Any],
        timeout: float,
        switches: dict[str, bool],
    ) -> None:
        """Hand over one completion; the deadline is `timeout` seconds from now."""
        self.pipe.send((completion, problem, switches))
        self.job, self.deadline = job, time.monotonic() + timeout

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
    """Grade what comes over a socket until it closes: the life of a worker process.

    Parameters
    ----------
    handle : int
        File descriptor of the socket.
    gym : int
        Whether to import reasoning-gym's scorers first.

    Examples
    --------
    >>> serve.__name__  # runs until its parent ends
    'serve'
    """
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
