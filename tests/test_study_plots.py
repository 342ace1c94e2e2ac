"""Figures of a study show the numbers of its tables."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from study_records import cell, grid

from hammerlib.plots import contrast_forest, difference_curves, replicate_curves, waiting_curves
from hammerlib.study.contrasts import contrast_table, student_interval
from hammerlib.study.endpoints import curve_of
from hammerlib.study.records import Records, collected

WORDS = {"title": "t", "note": "n"}


@pytest.fixture(scope="module")
def study() -> Records:
    """Two arms, six replicates."""
    return collected(grid({"random": 0.0, "hammer": 0.1}))


@pytest.fixture(autouse=True)
def closed() -> None:
    yield
    plt.close("all")


def test_curves_are_means_with_the_tables_band(study: Records) -> None:
    ax = replicate_curves(study, ["random", "gone"], unseen=True, **WORDS)
    (line,) = ax.lines
    values = [curve_of(one, unseen=True).values for one in study.of("random").values()]
    assert np.allclose(line.get_ydata(), np.mean(values, axis=0))
    last = student_interval([one[-1] for one in values])
    edges = ax.collections[0].get_paths()[0].vertices
    assert np.isclose(edges[edges[:, 0] == 500][:, 1].max(), last.high)


def test_means_may_stand_without_their_bands(study: Records) -> None:
    bare, full = (replicate_curves(study, ["random", "hammer"], band=band, **WORDS) for band in (False, True))
    assert len(full.collections) == 2 and not bare.collections
    for line, other in zip(bare.lines, full.lines, strict=True):
        assert np.array_equal(line.get_ydata(), other.get_ydata())


def test_differences_are_paired_and_in_points(study: Records) -> None:
    ax = difference_curves(study, [("hammer", "random"), ("gone", "random")], margin=0.01, **WORDS)
    pairs = zip(study.of("hammer").values(), study.of("random").values(), strict=True)
    gaps = [100 * (curve_of(a).values - curve_of(b).values) for a, b in pairs]
    assert np.allclose(ax.lines[0].get_ydata(), np.mean(gaps, axis=0))
    assert len(ax.lines) == 2 and len(ax.patches) == 1  # the zero line, and the margin


def test_replicates_of_unequal_axes_are_read_at_common_places() -> None:
    long = [[1, 1, 1, 1, 0], [2, 2, 2, 2, 1], [3, 3, 3, 3, 2], [4, 4, 4, 4, 4]]
    ax = replicate_curves(collected([cell(), cell(replicate=1, curve=long)]), ["random"], **WORDS)
    places = ax.lines[0].get_xdata()
    assert places[0] == 0 and places[-1] == 200 and len(places) > 4
    assert np.isclose(ax.lines[0].get_ydata()[-1], 0.75)


def test_the_forest_draws_the_contrasts_that_have_an_interval(study: Records) -> None:
    table = contrast_table(study)
    ax = contrast_forest(table, margin=0.01, **WORDS)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["hammer - random (n = 6)"]
    low, high = ax.lines[0].get_xdata()
    assert np.allclose([low, high], 100 * table.loc[0, ["low", "high"]].astype(float))
    assert not contrast_forest(table.assign(low=np.nan), **WORDS).get_yticklabels()
    plain = contrast_forest(table.drop(columns="n"), **WORDS)
    assert [label.get_text() for label in plain.get_yticklabels()] == ["hammer - random"]
    assert ax.lines[0].get_color() == plain.lines[0].get_color()


def test_waiting_falls_to_the_share_that_never_arrives(study: Records) -> None:
    ax = waiting_curves(study, ["random", "hammer"], threshold=0.8, **WORDS)
    for line, arm in zip(ax.lines, ("random", "hammer"), strict=True):
        never = np.mean([max(curve_of(one).values) < 0.8 for one in study.of(arm).values()])
        assert np.isclose(line.get_ydata()[-1], never)
