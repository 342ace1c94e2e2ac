"""Threads of the path solver: how many there are, and how work is shared out among them.

Work is cut the same way whatever their number, and pieces meet only where no sequence matters, so that one
input has one result on any number of threads.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from typing import Any, TypeVar

from hammerlib.errors import InputError

Piece = TypeVar("Piece")


def thread_count() -> int:
    """Return ``HAMMER_THREADS``, else ``OMP_NUM_THREADS``, else how many cores this process may use."""
    wished = os.environ.get("HAMMER_THREADS", "").strip()
    if wished:
        if not wished.isdecimal() or int(wished) < 1:
            raise InputError("HAMMER_THREADS", wished, "is no number of threads", "use a whole number from 1")
        return int(wished)
    usual = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if usual.isdecimal() and int(usual) >= 1:
        return int(usual)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _libraries() -> Any:
    """Return the control of the linear algebra libraries of this process; None where it is not installed."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController().select(user_api="blas")


def single_products() -> AbstractContextManager:
    """Hold every matrix product to one thread: how a product is cut decides how its sums round."""
    libraries = _libraries()
    return ExitStack() if libraries is None else libraries.limit(limits=1)


class Crew:
    """Threads that live as long as the context; none where there is but one to have."""

    def __init__(self) -> None:
        # without a control of the products' own threads, both kinds would fight for the cores
        self.size = thread_count() if _libraries() is not None else 1
        self._kept = ExitStack()
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Crew:
        self._kept.enter_context(single_products())
        if self.size > 1:
            self._pool = self._kept.enter_context(ThreadPoolExecutor(self.size))
        return self

    def __exit__(self, *reason: object) -> None:
        self._kept.close()

    def share_out(self, work: Callable[[Piece], object], pieces: Sequence[Piece]) -> None:
        """Do the work on every piece; the first error ends it."""
        if self._pool is None or len(pieces) < 2:
            for piece in pieces:
                work(piece)
            return
        # `map` raises what a piece raised, once it is asked for
        for _ in self._pool.map(work, pieces):
            pass
