"""Settings that every test shares: one thread, no progress bars, folders of its own for cache and results."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# The first call of a compiled function takes seconds; examples have no deadline of their own. `make test`
# draws the same examples everywhere and keeps none; `make explore` draws others each time, and more.
settings.register_profile("same", deadline=None, derandomize=True, database=None)
settings.register_profile("explore", deadline=None, derandomize=False, max_examples=1_000, print_blob=True)
settings.load_profile("same")

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two threads on two busy cores are ten times slower than one
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("MPLBACKEND", "agg")


@pytest.fixture(autouse=True)
def own_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep the runs of tests out of the checkout."""
    monkeypatch.setenv("HAMMER_RESULTS", str(tmp_path / "runs"))
    yield


@pytest.fixture(autouse=True)
def own_sources() -> Iterator[None]:
    """Forget the sources of problems that a test or an example registers."""
    from hammerlib.problems.registry import SOURCES  # not above: libraries read the settings when imported

    before = dict(SOURCES)
    yield
    SOURCES.clear()
    SOURCES.update(before)


@pytest.fixture
def sums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder that is changed into, with six good problems in ``ok.jsonl``."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    rows = [{"question": f"What is {i} + 1?", "answer": f"#### {i + 1}"} for i in range(6)]
    (folder / "ok.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def data_dir() -> Path:
    """Folder of real benchmark files; a test that needs them says so when there is none."""
    folder = os.environ.get("HAMMER_DATA")
    if not folder:
        pytest.skip("HAMMER_DATA is not set: no folder of benchmark files")
    return Path(folder)


def pytest_collection_finish(session: pytest.Session) -> None:
    """What thousands of collected tests hold is not walked again by every later collection of garbage."""
    gc.collect()
    gc.freeze()
