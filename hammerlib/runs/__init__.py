"""Runs: folder and manifest, whole-or-nothing files, workers, and the trials of a grid."""

from hammerlib.runs.record import (
    FIELDS,
    MANIFEST,
    SCHEMA_VERSION,
    RunRecord,
    claimed,
    find_run,
    start_run,
    workroom,
)

__all__ = [
    "FIELDS",
    "MANIFEST",
    "SCHEMA_VERSION",
    "RunRecord",
    "claimed",
    "find_run",
    "start_run",
    "workroom",
]
