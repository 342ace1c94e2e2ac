"""The page of an audit: the verdict, what was found, the picture and a table by step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hammerlib.runs.storage import atomic_path

if TYPE_CHECKING:
    import pandas as pd

MOST = 200  # steps in the table


def write_audit(
    file: str | Path, title: str, lines: Sequence[str], kept: bool, picture: str, steps: pd.DataFrame
) -> Path:
    """Write one HTML file that needs no network, whole or not at all, and return its path."""
    from jinja2 import Environment, PackageLoader

    shown = steps
    if len(steps) > MOST:
        shown = steps.loc[steps["displacement"].nlargest(MOST).index].sort_values("step")
    environment = Environment(loader=PackageLoader("hammerlib.pages"), autoescape=True, trim_blocks=True)
    text = environment.get_template("audit.html.j2").render(
        title=title,
        verdict=lines[-1],
        lines=lines[:-1],
        kept=kept,
        picture=picture,
        columns=list(steps.columns),
        rows=shown.to_numpy().tolist(),
        left_out=len(steps) - len(shown),
    )
    with atomic_path(file) as part:
        part.write_text(text + "\n", encoding="utf-8")
    return Path(file)
