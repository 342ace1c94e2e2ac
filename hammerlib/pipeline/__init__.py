"""Notebooks as a pipeline: checked parameters, execution in order, resume, one record and one page each."""

from hammerlib.pages.notebook import write_page
from hammerlib.pipeline.execution import NotebookError, run_notebooks
from hammerlib.pipeline.opening import notebook_run
from hammerlib.pipeline.parameters import Parameter, check_value, declared, read_settings
from hammerlib.pipeline.plan import Step, checkout, plan_notebooks

__all__ = [
    "NotebookError",
    "Parameter",
    "Step",
    "check_value",
    "checkout",
    "declared",
    "notebook_run",
    "plan_notebooks",
    "read_settings",
    "run_notebooks",
    "write_page",
]
