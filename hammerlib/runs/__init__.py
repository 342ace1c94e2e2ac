"""Runs: folder and manifest, work that is done once, whole-or-nothing files, workers, trials of a grid."""

from hammerlib.runs.once import claimed, once, workroom  # noqa: F401  hammerlib.runs was one file
from hammerlib.runs.record import (  # noqa: F401
    FIELDS,
    MANIFEST,
    PACKAGES,
    SCHEMA_VERSION,
    RunRecord,
    find_run,
    run_once,
    start_run,
)

__all__ = ["RunRecord", "find_run", "once", "start_run"]
