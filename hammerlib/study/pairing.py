"""What cells must share to stand in one table: an arm its settings, a replicate its start and problems."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence

from hammerlib.errors import InputError

# What all arms of a replicate share; where it differs, they are not paired.
PAIRED = ("start", "problems", "held_out", "topics", "unseen", "packages")
# Settings that a replicate draws anew, so that an arm does not keep them.
DRAWN = ("replicate",)


def refuse_several(field: str, values: Iterable[object], problem: str) -> None:
    """Raise where values differ that have to be one.

    Parameters
    ----------
    field : str
        Named in the error.
    values : iterable
        JSON values.
    problem : str
        What it means that they differ.

    Raises
    ------
    InputError

    Examples
    --------
    >>> refuse_several("study", ["main", "main"], "records of several studies")
    """
    seen = sorted({json.dumps(value, sort_keys=True) for value in values})
    if len(seen) > 1:
        raise InputError(field, seen, problem, "analyse them apart, or run the odd cells anew")


def refuse_mixed_arms(cells: Sequence[dict]) -> None:
    """Raise where an arm has other settings, or another twin, in some replicates than in others.

    Parameters
    ----------
    cells : sequence of dict
        Records.

    Raises
    ------
    InputError

    Examples
    --------
    >>> refuse_mixed_arms([{"arm": "a", "twin": None, "settings": {"replicate": n}} for n in range(2)])
    """
    for arm in dict.fromkeys(cell["arm"] for cell in cells):
        same = [cell for cell in cells if cell["arm"] == arm]
        kept = [{k: v for k, v in cell["settings"].items() if k not in DRAWN} for cell in same]
        for name in dict.fromkeys(name for settings in kept for name in settings):
            found = (settings.get(name) for settings in kept)
            refuse_several(f"{arm}: {name}", found, "settings differ between replicates")
        refuse_several(f"{arm}: twin", (cell.get("twin") for cell in same), "twins differ")


def refuse_unpaired(cells: Sequence[dict]) -> None:
    """Raise where the arms of a replicate do not share what they are to share, their first point among it.

    Before training all arms are one model, examined with the same random numbers: on a CPU a first point that
    differs tells of other code, another machine or another thread count. Where torch is no CPU build, kernels
    need not repeat to the last bit from card to card, and first points are not compared.

    Parameters
    ----------
    cells : sequence of dict
        Records.

    Raises
    ------
    InputError
        For the first point it names the cells that differ from most.

    Examples
    --------
    >>> refuse_unpaired([])
    """
    for replicate in sorted({cell["replicate"] for cell in cells}):
        same = [cell for cell in cells if cell["replicate"] == replicate]
        for name in PAIRED:
            problem = "arms of a replicate differ, so they are not paired"
            refuse_several(f"replicate {replicate}: {name}", (cell[name] for cell in same), problem)
        first = {cell["arm"]: json.dumps(cell["curve"][0]["correct"]) for cell in same}
        if not same[0]["packages"]["torch"].endswith("+cpu"):
            continue
        usual = Counter(first.values()).most_common(1)[0][0]
        odd = [f"{arm}__r{replicate:02d}" for arm, seen in first.items() if seen != usual]
        if odd:
            problem = "differ from the other arms before training, so they are not paired"
            remedy = "run them anew with the code and on the machine of the others"
            raise InputError(f"replicate {replicate}: curve[0].correct", odd, problem, remedy)
