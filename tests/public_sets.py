"""Public test files for the tests that want real input; they are never part of the repository."""

from __future__ import annotations

import functools
import os
import warnings
from pathlib import Path

import pytest
from datasets import Dataset

from hammerlib.problems import load_problems


def public_path(name: str) -> Path:
    """Path of a public test file; skips the calling test where there is no folder of them."""
    folder = os.environ.get("HAMMER_DATA")
    if not folder:
        pytest.skip("HAMMER_DATA is not set: no folder with the public test files")
    return Path(folder) / name


@functools.cache
def public_set(name: str) -> Dataset:
    """A public test file as a problem table, loaded once."""
    path = public_path(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # math_train7474 has holes, which one test is about
        return load_problems(f"file:{path}")
