"""The problem table: sources, checks, fingerprint and cleaning."""

from hammerlib.problems.cleaning import (
    conflicts,
    decontaminate,
    deduplicate,
    drop_incomplete,
    normalise,
    overlap_counts,
    overlap_report,
)
from hammerlib.problems.layouts import boxes, last_box
from hammerlib.problems.table import (
    check_problems,
    fingerprint,
    item_hashes,
    load_problems,
    make_table,
    register_source,
)

__all__ = [
    "boxes",
    "check_problems",
    "conflicts",
    "decontaminate",
    "deduplicate",
    "drop_incomplete",
    "fingerprint",
    "item_hashes",
    "last_box",
    "load_problems",
    "make_table",
    "normalise",
    "overlap_counts",
    "overlap_report",
    "register_source",
]
