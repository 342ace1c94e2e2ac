"""The mixes of ``mixes.yaml``: topic to (reasoning-gym dataset, its configuration)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hammerlib.runs.reading import read_yaml

Mix = dict[str, tuple[str, dict[str, Any]]]


def _mix(topics: dict[str, dict[str, Any]]) -> Mix:
    return {topic: (settings.pop("dataset"), settings) for topic, settings in topics.items()}


_MIXES = read_yaml(Path(__file__).with_name("mixes.yaml"))
MATH_MIX = _mix(_MIXES["math"])
NANO_MIX = _mix(_MIXES["nano"])
ONE_DIGIT_MIX = _mix(_MIXES["one-digit"])
