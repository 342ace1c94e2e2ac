"""Notebooks as a pipeline: checked parameters, execution in order, resume, one record and one page each."""
# ruff: noqa: F401

from hammerlib.pages import write_page
from hammerlib.pipeline.execution import NotebookError, run_notebooks
from hammerlib.pipeline.parameters import Parameter, check_value, declared, notebook_run, read_settings
from hammerlib.pipeline.plan import Step, checkout, plan_notebooks

__all__ = ["NotebookError", "notebook_run", "plan_notebooks", "run_notebooks"]
