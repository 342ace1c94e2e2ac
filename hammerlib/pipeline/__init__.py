"""Notebooks as a pipeline: checked parameters, execution in order, resume, one record and one page each."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

# What every notebook calls first. The rest loads pages and papermill, and is imported when asked for, so that
# a mistyped parameter is told within a second.
from hammerlib.pipeline.parameters import notebook_run

if TYPE_CHECKING:
    from hammerlib.pipeline.execution import NotebookError, run_notebooks
    from hammerlib.pipeline.plan import plan_notebooks

__all__ = ["NotebookError", "notebook_run", "plan_notebooks", "run_notebooks"]

_LAZY = {"NotebookError": "execution", "run_notebooks": "execution", "plan_notebooks": "plan"}


def __getattr__(name: str) -> object:
    """Import what is asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"hammerlib.pipeline.{_LAZY[name]}"), name)
