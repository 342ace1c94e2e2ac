"""Cells of a grid: their records on disk, a cell's turn in a worker, and what is told of them."""

from hammerlib.cells.progress import Progress, outlook
from hammerlib.cells.records import Cell, Survey, read_record, record_path, refuse_others, select, survey
from hammerlib.cells.turn import Ended, Turn, bury, take_turn

__all__ = [
    "Cell",
    "Ended",
    "Progress",
    "Survey",
    "Turn",
    "bury",
    "outlook",
    "read_record",
    "record_path",
    "refuse_others",
    "select",
    "survey",
    "take_turn",
]
