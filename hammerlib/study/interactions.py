"""Does an effect depend on a setting? Differences of two paired differences, replicate by replicate."""

from __future__ import annotations

import pandas as pd

from hammerlib.study.contrasts import MARGIN, PRIMARY_ENDPOINT, judged, paired_endpoints
from hammerlib.study.records import Records

# (arm, twin) under another setting, less (arm, twin) as in the primary contrasts.
INTERACTIONS = (
    (("hammer-k2", "random-k2"), ("hammer", "random")),
    (("hammer-k32", "random-k32"), ("hammer", "random")),
    (("hammer-dra", "dra"), ("hammer", "random")),
    (("dra-dr_grpo", "dr_grpo"), ("dra", "random")),
    (("dra-dapo", "dapo"), ("dra", "random")),
)


def interaction_table(
    records: Records, *, endpoint: str = PRIMARY_ENDPOINT, margin: float = MARGIN
) -> pd.DataFrame:
    """Return one row for each of `INTERACTIONS` whose four arms share two replicates or more.

    Parameters
    ----------
    records : Records
    endpoint : str
        Of `endpoints.ENDPOINTS`.
    margin : float
        Largest difference that does not matter.

    Returns
    -------
    DataFrame
        Columns of `contrasts.contrast_table`; ``contrast`` reads ``(a - b) - (c - d)``, ``arm`` and ``twin``
        are the two differences.

    Examples
    --------
    >>> interaction_table(Records("demo", (), pd.DataFrame())).empty
    True
    """
    rows = []
    for changed, usual in INTERACTIONS:
        sides = [_differences(records, pair, endpoint) for pair in (changed, usual)]
        both = sides[0].index.intersection(sides[1].index)
        if len(both) < 2:
            continue
        gaps = sides[0].loc[both, "difference"] - sides[1].loc[both, "difference"]
        starts, lineages = (sides[0].loc[both, name] for name in ("start", "lineage"))
        arm, twin = (f"({pair[0]} - {pair[1]})" for pair in (changed, usual))
        named = {"contrast": f"{arm} - {twin}", "arm": arm, "twin": twin, "endpoint": endpoint}
        rows.append(named | {"primary": False} | judged(gaps, starts, lineages, margin=margin))
    return pd.DataFrame(rows)


def _differences(records: Records, pair: tuple[str, str], endpoint: str) -> pd.DataFrame:
    table = paired_endpoints(records, *pair)
    return table[table["endpoint"] == endpoint].set_index("replicate")
