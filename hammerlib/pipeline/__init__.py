"""Notebooks as a pipeline: checked parameters, execution in order, resume, one record and one page each."""
# ruff: noqa: F401

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

# What every notebook calls first. The rest loads pages and papermill, and is imported when asked for, so that
# a mistyped parameter is told within a second.
from hammerlib.pipeline.parameters import Parameter, check_value, declared, notebook_run, read_settings

if TYPE_CHECKING:
    from hammerlib.pages import write_page
    from hammerlib.pipeline.execution import NotebookError, run_notebooks
    from hammerlib.pipeline.plan import Step, checkout, plan_notebooks

__all__ = ["NotebookError", "notebook_run", "plan_notebooks", "run_notebooks"]

_LAZY = {
    "write_page": "hammerlib.pages",
    "NotebookError": "hammerlib.pipeline.execution",
    "run_notebooks": "hammerlib.pipeline.execution",
    "Step": "hammerlib.pipeline.plan",
    "checkout": "hammerlib.pipeline.plan",
    "plan_notebooks": "hammerlib.pipeline.plan",
}


def __getattr__(name: str) -> object:
    """Import what is asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
