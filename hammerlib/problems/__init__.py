"""The problem table: sources, checks, fingerprint and hygiene."""

from hammerlib.problems.boxes import last_box
from hammerlib.problems.hygiene import conflicts, decontaminate, deduplicate, drop_incomplete, normalise
from hammerlib.problems.table import (
    check_problems,
    fingerprint,
    item_hashes,
    load_problems,
    make_table,
    register_source,
)

__all__ = [
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
    "register_source",
]
