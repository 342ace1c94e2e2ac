"""The sections of a study's page: name to text and table, every number from the records."""

from __future__ import annotations

import pandas as pd

from hammerlib.study.contrasts import MARGIN
from hammerlib.study.curves import THRESHOLD
from hammerlib.study.decomposition import decomposition_table
from hammerlib.study.discoveries import PROCESS, adjusted_of, main_contrasts, of_kind
from hammerlib.study.endpoints import endpoint_table
from hammerlib.study.glossary import order_list
from hammerlib.study.power import WISHED, power_table, shown_power
from hammerlib.study.records import Records
from hammerlib.study.tables import (
    BY_RUN,
    shown_arms,
    shown_causes,
    shown_contrasts,
    shown_endpoints,
    shown_families,
    shown_interactions,
    shown_spreads,
    shown_thresholds,
)

SHARES = ("auc", "final", "pass@k", "greedy", "auc_unseen")
MEANS = ("entropy", "answers", "strategies_start", "strategies", "zero_variance_share", "drawdown")
MEANS += ("drawdown_noise",)

UNITS = (
    f"{BY_RUN}: without zero over replicates, with zero where one number a supervised run is the unit: it "
    "may be the luck of few runs."
)

Sections = dict[str, tuple[str, str]]


def outcomes(records: Records, tests: pd.DataFrame) -> Sections:
    """Return what came out: arms, contrasts, other endpoints, families.

    Parameters
    ----------
    records : Records
        One finished cell or more.
    tests : DataFrame
        `discoveries.study_tests` of them.

    Examples
    --------
    >>> list(outcomes(Records("demo", (), pd.DataFrame()), pd.DataFrame()))
    Traceback (most recent call last):
    ...
    KeyError: 'arm'
    """
    count = int((~tests["primary"].astype(bool) & tests["p"].notna()).sum()) if len(tests) else 0
    return {
        "Arms": (
            "Mean over replicates, per cent, with Student's 95 % interval: of these starts, which come back "
            "every few replicates and differ more than arms do, so that it is too narrow for another one. "
            "Arms of fewer replicates have other starts and problems: compare arms by their contrasts only.",
            shown_arms(endpoint_table(records), SHARES),
        ),
        "Contrasts": (
            "Arm less twin in `auc`, points, paired by replicate. Every interval on this page is of one "
            "number, at 95 %, Student's where nothing else is said, and not corrected for how many there "
            "are. *test*: p of no difference, paired t. *corrected*: by Holm (H) for the primary contrasts "
            "(bold), judged at 5 %; by Benjamini "
            f"and Hochberg (BH) for all others, judged at 10 %, exploratory: the {count} tests of this and "
            "the next tables are one family. Nothing is called better or worse whose interval holds "
            "zero. *signs*: p by flips of the signs of the differences, all of them up to 20. "
            f"*equivalence*: p of a difference of {100 * MARGIN:g} or more, two one-sided tests, judged at "
            "5 %, not corrected. *by supervised seeds*: with one number a supervised run, for its "
            "checkpoints are no independent starts. *ahead*: share of replicates in which the arm is ahead.",
            shown_contrasts(main_contrasts(tests)),
        ),
        "Other endpoints": (
            f"Arm less twin, points; corrected p beside. {UNITS} `auc_paid`: as `auc` where both arms probed "
            "the start alike or not at all; – where the probe alone is the budget. `auc_tokens`: – where "
            "groups are filtered, for the record holds only the tokens trained on.",
            shown_endpoints(tests),
        ),
        "Families": (
            "Primary contrasts in `auc` by family, points. IQM: interquartile mean of all differences; its "
            "bootstrap counts the families of one training as independent, so that it is too narrow. IQM by "
            "replicate does not. Ahead: share of replicates and families in which the arm is ahead of its "
            "twin (50 %: no improvement), Gaffke's interval over replicates.",
            shown_families(records),
        ),
    }


def parts(records: Records, tests: pd.DataFrame) -> Sections:
    """Return what takes effects apart: the order, DRA, and settings under which an effect may differ.

    Parameters
    ----------
    records, tests
        As in `outcomes`.

    Examples
    --------
    >>> parts(Records("demo", (), pd.DataFrame()), pd.DataFrame())
    {}
    """
    told = (
        "`auc`, points. Whole effect there: that of {whole} in the replicates that the row rests on, with "
        "which the row is to be compared; other replicates have other starts. Expected: the sign if this "
        "cause carried the whole effect of all replicates. Reading: by interval and corrected p, at 10 %; "
        "within the margin by the two one-sided tests, at 5 %, not corrected."
    )
    found: Sections = {}
    for arm, name, whole in (
        ("hammer", "What of HAMMER's order does it", "the order"),
        ("dra", "What of DRA does it", "DRA"),
    ):
        causes = decomposition_table(records, arm, adjusted=adjusted_of(tests))
        if len(causes) and (causes["n"] > 1).sum() > 1:
            found[name] = told.format(whole=whole), shown_causes(causes, tests)
    interactions = of_kind(tests, "interaction")
    if len(interactions):
        found["Does the effect depend on a setting"] = (
            "`auc`, points: the difference under another setting (2 or 32 prompts a step, DRA, another loss) "
            "less that of the primary contrast in the same replicates.",
            shown_interactions(interactions),
        )
    orders = order_list(records)
    if orders.count("\n") > 2:
        found["Orders"] = (
            "Mean cosine of neighbours in the vectors that made the order, over replicates, beside that of "
            "random order in the same vectors: lower is what HAMMER asks for.",
            orders,
        )
    return found


def course(records: Records, tests: pd.DataFrame) -> Sections:
    """Return how training went: process, times to the threshold, spread.

    Parameters
    ----------
    records, tests
        As in `outcomes`.

    Examples
    --------
    >>> list(course(Records("demo", (), pd.DataFrame()), pd.DataFrame()))
    Traceback (most recent call last):
    ...
    KeyError: 'arm'
    """
    endpoints = endpoint_table(records)
    return {
        "Process": (
            "Means over replicates. Arms of fewer replicates have other starts and problems, so that these "
            "means are not to be compared between arms of unequal n. `drawdown_noise` is what `drawdown` "
            "would be if the curve never fell and only its samples were noisy.",
            shown_arms(endpoints, MEANS, shares=False),
        ),
        "Process, paired": (
            f"Arm less twin in the unit of each, corrected p beside. {UNITS}",
            shown_endpoints(tests, PROCESS, unit=1, digits=3),
        ),
        f"Rollouts and steps until pass@1 reaches {THRESHOLD:g}": (
            "A replicate that never reaches it counts with its whole budget. Sooner: paired by replicate, at "
            "equal rollouts; p by flips of the signs of these differences, all of them up to 20. Steps of "
            "arms with other numbers of prompts a step are of other sizes.",
            shown_thresholds(records, tests),
        ),
        "Spread": (
            "Standard deviation of `final` over replicates, points, with its chi-square interval, which "
            "counts replicates on a common start as independent and is too narrow (not so *inside a start*); "
            "ratio to the twin's between replicates of one start, p after Pitman and Morgan.",
            shown_spreads(endpoints, records.twins(), tests),
        ),
    }


def what_it_can_show(records: Records, tests: pd.DataFrame) -> Sections:
    """Return what the number of replicates can show; nothing where no primary contrast has two.

    Parameters
    ----------
    records, tests
        As in `outcomes`.

    Examples
    --------
    >>> what_it_can_show(Records("demo", (), pd.DataFrame()), pd.DataFrame())
    {}
    """
    contrasts = main_contrasts(tests)
    table = shown_power(contrasts, records)
    if table.count("\n") < 2:
        return {}
    told = (
        "Primary contrasts in `auc`, points, for the standard deviation of the paired differences that was "
        "seen, and the ends of its chi-square interval. At the planned number of replicates: the smallest "
        "true difference that an uncorrected test at 5 % finds with a chance of 80 %, and the chance to show "
        f"a true zero to be smaller than {100 * MARGIN:g}. Then: half-width seen, and replicates for one of "
        f"{100 * WISHED:g}."
    )
    primary = contrasts[contrasts["primary"].astype(bool)]
    needed = power_table(primary, records, half_widths=(WISHED,))
    hours = "; ".join(f"{one.contrast} {one.hours:.1f}" for one in needed.itertuples())
    return {
        "What the number of replicates can show": (
            told,
            f"{table}\n\nHours for the missing ones, arm and twin, one of two workers on the machine of "
            f"these records: {hours}.",
        )
    }
