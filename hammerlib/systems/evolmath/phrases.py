"""Words of the operators, read from ``phrases.yaml``. Ours; no model writes them."""

from __future__ import annotations

from pathlib import Path

from hammerlib.runs.reading import read_yaml

_BANKS = read_yaml(Path(__file__).with_suffix(".yaml"))

# Theme -> variable -> thing; the last three are for variables that no equation uses.
THEMES = {theme: dict(zip("xyzmnabc", things, strict=True)) for theme, things in _BANKS["themes"].items()}
FUZZY_SIGNS = _BANKS["fuzzy_signs"]
CONFUSED = _BANKS["confused"]
MISLEADING = _BANKS["misleading"]
BACKGROUND = _BANKS["background"]
IRRELEVANT = _BANKS["irrelevant"]
USELESS = _BANKS["useless"]
ESTIMATE = _BANKS["estimate"]
