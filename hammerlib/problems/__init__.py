"""The problem table: sources, checks, fingerprint and hygiene."""

from hammerlib.problems.gym import load_gym
from hammerlib.problems.hygiene import normalise
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
    "fingerprint",
    "item_hashes",
    "load_problems",
    "make_table",
    "normalise",
    "register_source",
]

register_source("reasoning-gym", load_gym)
