"""A notebook's run: its figures, tables and findings are shown and recorded in one line each."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any

from hammerlib.errors import InputError
from hammerlib.runs import RunRecord

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from matplotlib.axes import Axes


class NotebookRun(RunRecord):
    """The run that `notebook_run` opens; what a cell shows with it stands in the manifest as well."""

    @classmethod
    def of(cls, record: RunRecord) -> NotebookRun:
        """Return the same run, with what a notebook needs."""
        return cls(record.run_id, record.folder, record.manifest)

    def tabulate(
        self,
        table: pd.DataFrame | Mapping[str, Mapping[str, Any]],
        name: str = "{row}/{column}",
        *,
        n: int | Mapping[str, int] | None = None,
        k: int | None = None,
        unit: str | Mapping[str, str] = "",
        digits: int = 3,
        names: Mapping[str, str] | None = None,
    ) -> pd.DataFrame:
        """Record every number of a table as a metric and return the table as text, for the cell to show.

        A table holds numbers, intervals (value, low, high), or entries of another run's metrics, which bring
        their own n, k and unit; texts and missing values are shown and not recorded. `name` is that of a
        metric, from its row and column; `unit` that of all numbers, or by column; `names` what a reader sees
        in the place of a row's or column's name.
        """
        import pandas as pd

        frame = (
            table if not isinstance(table, Mapping) else pd.DataFrame.from_dict(dict(table), orient="index")
        )
        shown = frame.astype(object)
        shares = _columns_of_shares(frame)
        for place, (row, values) in enumerate(frame.iterrows()):
            label = _heading(row)
            of_row = n.get(label) if isinstance(n, Mapping) else n
            for column, value in values.items():
                heading = _heading(column)
                entry = _entry(value)
                text = _text(entry, value, digits, of_shares=heading in shares)
                shown.iloc[place, frame.columns.get_loc(column)] = text
                if entry is not None:
                    of_column = unit.get(heading, "") if isinstance(unit, Mapping) else unit
                    entry = {"n": of_row, "k": k, "unit": of_column} | entry
                    self._add(name.format(row=label, column=heading), entry)
        self._write()
        return shown.rename(index=names, columns=names) if names else shown

    def figure(self, drawn: Axes, name: str) -> Path:
        """Write the figure that holds these Axes as ``figures/<name>.svg`` and record it."""
        from hammerlib.plots import save

        return save(drawn, self, name)

    def found(self, text: str) -> None:
        """Show a sentence with this run's own numbers, true under other parameters; the manifest keeps it."""
        if not text.strip():
            raise InputError("text", text, "says nothing", "write a sentence with this run's numbers")
        self.note(findings=[*self.manifest.get("findings", []), " ".join(text.split())])
        from IPython.display import Markdown, display

        display(Markdown(f"**This run.** {' '.join(text.split())}"))

    def _add(self, name: str, entry: dict[str, Any]) -> None:
        known = {"value": None, "low": None, "high": None, "n": None, "k": None, "unit": ""}
        self.manifest["metrics"][name] = known | entry


def _entry(value: object) -> dict[str, Any] | None:
    """A number or interval as what a manifest holds of it; None for what is neither."""
    if isinstance(value, Mapping) and "value" in value:
        return dict(value)
    if isinstance(value, tuple) and len(value) == 3:
        low, high = float(value[1]), float(value[2])
        ends = {} if low != low else {"low": low, "high": high}
        return {"value": float(value[0])} | ends
    if isinstance(value, Real) and not isinstance(value, bool) and float(value) == float(value):
        return {"value": float(value)}
    return None


def _columns_of_shares(frame: pd.DataFrame) -> set[str]:
    """Headings over numbers of which some lie between 0 and 1: there a 1 is a share, no count."""
    found = set()
    for column, values in frame.items():
        numbers = [entry["value"] for entry in map(_entry, values) if entry]
        if any(0 < number < 1 for number in numbers) and max(numbers) <= 1:
            found.add(_heading(column))
    return found


def _heading(column: object) -> str:
    return "/".join(map(str, column)) if isinstance(column, tuple) else str(column)


def _text(entry: dict[str, Any] | None, value: object, digits: int, of_shares: bool = False) -> str:
    if entry is None:
        return "" if value is None or value != value else str(value)
    number = entry["value"]
    if entry.get("low") is None and number == round(number) and abs(number) >= 1 and not of_shares:
        return f"{number:,.0f}"
    text = f"{number:z.{digits}f}"
    if not float(text) and abs(number) > 1e-7:  # less is rounding
        text = f"{number:.1e}"
    if entry.get("low") is None:
        return text
    return f"{text} [{entry['low']:.{digits}f}, {entry['high']:.{digits}f}]"
