"""Runs: folder and manifest, work that is done once, whole-or-nothing files, workers, trials of a grid."""

from hammerlib.runs.record import (  # noqa: F401  hammerlib.runs was one file
    FIELDS,
    MANIFEST,
    PACKAGES,
    SCHEMA_VERSION,
    RunRecord,
    claimed,
    find_run,
    once,
    run_once,
    start_run,
    workroom,
)

__all__ = ["RunRecord", "find_run", "once", "start_run"]
