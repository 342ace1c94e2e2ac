"""Figures carry their data: tests look at the Axes, not at pixels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

from hammerlib import plots
from hammerlib.evaluation import Interval, reliability_table
from hammerlib.plots.curves import curve_table
from hammerlib.plots.space import sampled_cosines
from hammerlib.runs import start_run


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """No figure outlives its test."""
    yield
    plt.close("all")


@pytest.fixture
def vectors() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(60, 8)) + 2.0


def test_sampled_cosines_agree_with_all_pairs(vectors: np.ndarray) -> None:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    everything = (unit @ unit.T)[~np.eye(60, dtype=bool)]
    assert sampled_cosines(vectors).mean() == pytest.approx(everything.mean(), abs=0.01)
    assert abs(sampled_cosines(vectors, centred=True).mean()) < 0.05


def test_the_histogram_shows_raw_and_centred(vectors: np.ndarray) -> None:
    ax = plots.similarity_histogram(vectors, name="noise")
    means = {"raw": sampled_cosines(vectors).mean()}
    means["mean removed"] = sampled_cosines(vectors, centred=True).mean()
    told = [text.get_text() for text in ax.get_legend().get_texts()]
    assert told == [f"{name}, mean {mean:z.2f}" for name, mean in means.items()]
    assert [line.get_xdata()[0] for line in ax.lines] == list(means.values())
    assert len(ax.texts) == 1  # the note; no number runs into the title
    spread = np.quantile(sampled_cosines(vectors), [0.025, 0.975])
    assert f"noise: raw {spread[0]:z.2f} to {spread[1]:z.2f}, mean removed" in ax.get_title(loc="left")


@pytest.mark.long
def test_the_projection_repeats_by_seed_and_keeps_neighbours() -> None:
    rng = np.random.default_rng(0)
    blobs = np.concatenate([rng.normal(size=(20, 6)) + 8 * np.eye(6)[i] for i in range(3)])
    one, two = plots.project(blobs, seed=1), plots.project(blobs, seed=1)
    assert np.array_equal(one, two)
    assert plots.trustworthiness(blobs, one) > 0.8


def test_the_map_draws_every_problem_and_every_step() -> None:
    coordinates = np.random.default_rng(0).normal(size=(9, 2))
    path = np.arange(9)[::-1]
    ax = plots.semantic_map(coordinates, ["a", "b", "c"] * 3, path=path, title="t", note="n = 9")
    points = sum(len(part.get_offsets()) for part in ax.collections[:3])
    assert points == 9 and len(ax.collections[3].get_segments()) == 8
    assert np.allclose(ax.collections[3].get_segments()[0][0], coordinates[8])


def test_the_hover_page_needs_no_network_and_shows_prompts(tmp_path: Path) -> None:
    table = Dataset.from_dict(
        {"prompt": ["what is 1 + 1 ?", "what is 2 + 2 ?"], "answer": ["2", "4"], "topic": ["sum", "sum"]}
    )
    page = plots.hover_map(np.eye(2), table, tmp_path / "map.html", path=np.array([1, 0])).read_text()
    assert "what is 1 + 1 ?" in page and 'src="http' not in page


def test_curves_show_the_mean_over_seeds_and_their_range() -> None:
    logs = [
        pd.DataFrame({"step": [1, 2], "metric": "reward", "value": [level, level + 1.0]})
        for level in (0.0, 1.0)
    ]
    ax = plots.training_curves({"random": logs}, "reward", window=1)
    assert ax.lines[0].get_ydata().tolist() == [0.5, 1.5] and len(ax.collections) == 1


def test_one_seed_has_no_band() -> None:
    log = pd.DataFrame({"step": [1, 2], "metric": "reward", "value": [0.0, 1.0]})
    assert not plots.training_curves({"random": [log]}, "reward").collections


def test_the_forest_fills_only_what_excludes_zero() -> None:
    ax = plots.forest(
        {"a": Interval(1.0, 0.5, 1.5), "b": Interval(0.1, -0.5, 0.7)}, label="points", title="t", note="n"
    )
    markers = {line.get_markerfacecolor() for line in ax.lines if line.get_marker() == "o"}
    assert "white" in markers and len(markers) == 2


def test_the_forest_writes_no_end_as_zero_that_is_none() -> None:
    close, wide = Interval(-0.74, -1.44, -0.04), Interval(1.0, 0.5, 1.5)
    ax = plots.forest({"close": close, "wide": wide}, label="points", title="t", note="n")
    texts = {text.get_text() for text in ax.texts}
    assert {"-0.74 [-1.44, -0.04]", "+1.0 [+0.5, +1.5]"} <= texts


def test_a_contrast_of_two_arms_has_the_colour_of_neither() -> None:
    gain = Interval(1.0, 0.5, 1.5)
    ax = plots.forest({"CURE": gain, "CURE − DAPO": gain}, label="points", title="t", note="n")
    contrast, arm = [line.get_color() for line in ax.lines if line.get_marker() == "o"]  # from below
    assert arm == plots.colour("CURE") and contrast == "#555555"


def test_pass_at_k_is_drawn_for_every_k_with_its_band() -> None:
    curve = {k: Interval(0.5 + 0.1 * k, 0.4, 0.9) for k in (1, 2, 4)}
    ax = plots.pass_at_k_curves({"before": curve}, title="t", note="n")
    assert ax.lines[0].get_xdata().tolist() == [1, 2, 4] and len(ax.collections) == 1
    assert curve_table({"before": curve}, [1, 8]).columns.tolist() == ["pass@1"]


def test_reliability_shows_each_bin_with_answers_and_its_interval() -> None:
    tables = {
        "before": reliability_table([0.05, 0.35, 0.35, 0.95], [0, 1, 0, 1]),
        "hammer": reliability_table([0.95] * 4, [1, 1, 1, 0]),
    }
    ax = plots.reliability_curves(tables, title="t", note="n")
    diagonal, *curves = ax.lines
    assert diagonal.get_xydata().tolist() == [[0, 0], [1, 1]]
    assert [curve.get_ydata().tolist() for curve in curves] == [[0, 0.5, 1], [0.75]]
    np.testing.assert_allclose(curves[0].get_xdata(), [0.05, 0.35, 0.95], atol=0.01)
    bars, dots = ax.collections[:2]
    seen = tables["before"].dropna()
    ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
    assert ends == seen[["accuracy_low", "accuracy_high"]].values.tolist()
    assert dots.get_sizes()[1] > dots.get_sizes()[0]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["before", "hammer"]


def test_orders_keep_their_colour() -> None:
    assert plots.colour("hammer") == plots.colour("hammer: pass@1") != plots.colour("random")
    assert plots.colour("hammer + dra") == plots.colour("dra") != plots.colour("hammer")


def test_deciles_and_prefixes_show_the_random_reference() -> None:
    ax = plots.edge_deciles({"hammer": np.zeros(10)}, 0.5, n=11)
    assert any(set(np.atleast_1d(line.get_ydata())) == {0.5} for line in ax.lines)
    rows = pd.DataFrame(
        {
            "fraction": [0.1, 1.0],
            "metric": "vendi",
            "value": [2.0, 3.0],
            "low": [1.0, 2.5],
            "high": [4.0, 3.5],
        }
    )
    assert len(plots.prefix_curves({"hammer": rows}, rows, "vendi").collections) == 1


def test_no_tick_of_a_logarithmic_axis_is_latex() -> None:
    plots.style()
    rows = pd.DataFrame({"fraction": [0.01, 1.0], "metric": "vendi", "value": 2.0, "low": 1.0, "high": 4.0})
    policies = pd.DataFrame({"step": range(1001), "modes": 2.0, "low": 1.0, "high": 3.0, "arm": "dra"})
    policies = policies.assign(scale_rewards="group", kernel="flat")
    for ax in (
        plots.prefix_curves({"hammer": rows}, rows, "vendi"),
        plots.mode_curves(policies, scale_rewards="group", kernel="flat"),
    ):
        ax.figure.canvas.draw()
        written = [text.get_text() for text in ax.get_xticklabels(which="both")]
        assert any(written) and not [text for text in written if "$" in text or "\\" in text]


def test_lags_stand_beside_random_orders_at_their_own_ticks() -> None:
    rows = pd.DataFrame({"lag": [1, 2, 4], "value": [-0.4, 0.3, 0.1], "low": -0.1, "high": 0.1})
    ax = plots.lag_curves({"min-path": rows, "hammer": rows.iloc[:2]}, rows, n=50, seeds=7)
    assert [line.get_ydata().tolist() for line in ax.lines[:2]] == [[-0.4, 0.3, 0.1], [-0.4, 0.3]]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["1", "2", "4"]
    assert "n = 50" in ax.texts[0].get_text() and "7 random orders" in ax.texts[0].get_text()
    assert len(ax.collections) == 1


def test_gaps_are_sorted_and_written_in_percent() -> None:
    ax = plots.gap_dots({"min-path": (0.0012, 0.9053), "random": (0.99, 0.9383)}, n=128, title="t")
    assert [text.get_text() for text in ax.get_yticklabels()] == ["random", "min-path"]
    written = [text.get_text() for text in ax.texts]
    assert "0.12 %" in written and "99 %" in written
    dots = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"]
    assert dots == pytest.approx([99, 0.12])


def test_a_path_on_the_circle_is_numbered_from_its_first_point() -> None:
    points = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.995, 0.0998]])
    ax = plots.path_on_circle(points, np.array([2, 0, 1, 3]), name="hammer", cost=-1.0)
    np.testing.assert_allclose(ax.lines[1].get_xydata(), points[[2, 0, 1, 3]])
    places = {text.get_text(): np.array(text.get_position()) for text in ax.texts}
    assert places["1"] @ [-1, 0] > 1.1
    assert np.linalg.norm(places["2"] - places["4"]) > 0.1, "numbers of close points do not overlap"
    assert "-1.000" in ax.get_title(loc="left")


def test_coverage_marks_every_order_of_one_part() -> None:
    frame = pd.DataFrame(
        {
            "order": ["hammer", "random 0", "random 1", "hammer"],
            "fraction": [0.1, 0.1, 0.1, 0.5],
            "radius": [1.3, 1.0, 1.1, 0.9],
            "gap_neighbour": [0.4, 0.2, 0.3, 0.1],
        }
    )
    ax = plots.coverage_scatter(frame, "radius", fraction=0.1)
    offsets = [part.get_offsets().tolist() for part in ax.collections]
    assert offsets == [[[1.0, 0.2], [1.1, 0.3]], [[1.3, 0.4]]]
    (inset,) = ax.child_axes  # the random orders alone, on a scale of their own
    assert [part.get_offsets().tolist() for part in inset.collections] == offsets[:1]
    assert inset.get_xlim()[1] < 1.3


def test_group_and_topic_figures_write_their_numbers() -> None:
    assert {
        text.get_text() for text in plots.group_panel(np.array([[1.0, 0.25], [0.25, 1.0]]), ["a", "b"]).texts
    } == {"1.00", "0.25"}
    assert (
        plots.topic_bars({"sum": (0.5, 0.4, 0.6)}, label="pass@1", title="t", note="n").patches[0].get_width()
        == 0.5
    )


def test_marked_tokens_stand_out_at_their_own_height() -> None:
    heights = np.array([0.5, 2.0, 1.0])
    ax = plots.token_bars(["So", "<b>", "7"], heights, {"cut": [1]}, label="nats", title="t", note="n")
    assert [bar.get_height() for bar in ax.patches] == [0.5, 2.0, 1.0, 2.0] and ax.patches[3].get_x() > 0.5
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["cut"]


def test_a_saved_figure_is_an_artefact_and_repeats_byte_for_byte(tmp_path: Path) -> None:
    plots.style()
    run = start_run("demo", parameters={}, root=tmp_path)
    hashes = []
    for _ in range(2):
        plots.save(plots.edge_deciles({"hammer": np.zeros(10)}, 0.5, n=11), run, "edges")
        hashes.append(run.manifest["artefacts"][-1]["sha256"])
    assert hashes[0] == hashes[1] and run.manifest["artefacts"][0]["path"] == "figures/edges.svg"
    assert len(plots.panels(3)) == 3


def test_a_saved_figure_cuts_no_label(tmp_path: Path) -> None:
    run, widths = start_run("demo", parameters={}, root=tmp_path), []
    for place in (0.5, -0.5):
        figure, ax = plt.subplots(figsize=(4, 3), layout="none")
        ax.text(place, 0.5, "a label", transform=ax.transAxes)
        written = plots.save(figure, run, "labels").read_text(encoding="utf-8")
        widths.append(float(re.search(r'width="([\d.]+)pt"', written)[1]))
    assert widths[1] > widths[0] + 36  # half an Axes of three inches to the left


def test_advantages_are_drawn_one_mark_a_completion_and_column() -> None:
    table = pd.DataFrame({"GRPO": [0.5, -0.5, 0.0], "GRPO + DRA": [0.7, -0.7, 0.0]}, index=["a", "b", "c"])
    ax = plots.advantage_dots(table, label="advantage", title="t", note="n = 3 completions")
    assert ax.get_title(loc="left") == "t" and [text.get_text() for text in ax.texts] == ["n = 3 completions"]
    assert [part.get_offsets()[:, 0].tolist() for part in ax.collections] == [
        table[name].tolist() for name in table
    ]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "b", "c"]
    heights = ax.collections[0].get_offsets()[:, 1]
    assert (np.diff(heights) < 0).all()  # the first completion on top


def test_the_premise_is_drawn_beside_chance_and_power() -> None:
    found = pd.DataFrame({"rho": [0.9, 0.8, 0.1], "shuffled": [0.0, 0.05, -0.3]})
    ax = plots.rho_histogram(found, title="t", note="3 prompts")
    assert sum(bar.get_height() for bar in ax.containers[0]) == 3
    power = pd.DataFrame({"found": [0.05, 0.3, 0.6]}, index=[0.0, 0.3, 0.5])
    ax = plots.power_curves({"G = 6": power}, {"the paper": 0.16, "here": 0.4}, title="t", note="n")
    curve, *levels = ax.lines
    assert curve.get_ydata().tolist() == [0.05, 0.3, 0.6]
    assert [line.get_ydata()[0] for line in levels] == [0.16, 0.4]


def test_modes_are_drawn_for_one_panel_with_the_bands_of_sampled_runs() -> None:
    rows = {"step": [0, 1, 2], "modes": [2.8, 2.5, 2.0], "low": 1.5, "high": 2.9}
    frames = [
        pd.DataFrame(rows | {"scale_rewards": scale, "kernel": kernel, "arm": arm})
        for scale in ("group", "none")
        for kernel in ("block", "flat")
        for arm in ("none", "dra", "placebo")
    ]
    ax = plots.mode_curves(
        pd.concat(frames), scale_rewards="none", kernel="flat", title="Dr. GRPO", note="100 runs"
    )
    assert len(ax.lines) == len(ax.collections) == 3
    assert ax.lines[1].get_xdata().tolist() == [1, 2] and ax.lines[1].get_ydata().tolist() == [2.5, 2.0]
    assert ax.get_xscale() == "log" and ax.get_title(loc="left") == "Dr. GRPO"
    assert "strategies" in ax.get_ylabel()
