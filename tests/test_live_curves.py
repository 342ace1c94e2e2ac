"""Curves that grow while runs train: drawn from the files, in place, and not at all where nobody looks."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from hammerlib.plots import live, live_curves

HEAD = "step,metric,value\n"


def log(root: Path, name: str, text: str) -> None:
    (root / name).mkdir(parents=True, exist_ok=True)
    (root / "part").write_text(HEAD + text)
    (root / "part").replace(root / name / "metrics.csv")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that a notebook would have shown."""
    figures: list[Figure] = []
    monkeypatch.setattr(live, "_screen", lambda: figures.append)
    return figures


def test_the_curve_grows_with_the_file_and_ends_with_all_of_it(
    tmp_path: Path, shown: list[Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "progress_off", lambda: False)
    name = "train__hammer__dra__s0__abc"
    with live_curves(("reward_raw",), root=tmp_path, every=0.01, window=1):
        for steps in (1, 2, 3):
            text = "".join(f"{s},reward_raw,{s / 10}\n" for s in range(1, steps + 1))
            log(tmp_path, name, text + "9,rew")  # a line half written
            before = len(shown)
            while len(shown) < before + 2:
                time.sleep(0.005)
    lengths = [len(figure.axes[0].lines[0].get_xdata()) for figure in shown]
    assert lengths == sorted(lengths) and set(lengths) == {1, 2, 3}
    assert shown[-1].axes[0].lines[0].get_label() == "hammer + dra"
    assert not [one for one in threading.enumerate() if "refresh" in one.name]


@pytest.mark.parametrize("watched", [True, False])
def test_the_last_figure_comes_even_after_an_error_and_none_where_nobody_watches(
    watched: bool, tmp_path: Path, shown: list[Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "progress_off", lambda: not watched)
    with pytest.raises(KeyboardInterrupt), live_curves(root=tmp_path, every=60):
        log(tmp_path, "train__random__none__s0__a", "1,reward_raw,0.5\n")
        log(tmp_path, "train__random__none__s1__b", "1,reward_raw,0.7\n1,mean_cosine,0.9\n")
        raise KeyboardInterrupt
    if not watched:
        assert not shown
        return
    (figure,) = shown
    assert "arms: 1, seeds: up to 2" in figure.axes[0].get_title(loc="left")
    assert [len(ax.lines) for ax in figure.axes] == [1, 1]


def test_runs_that_ended_before_are_left_out_and_outside_a_notebook_nothing_is_drawn(tmp_path: Path) -> None:
    log(tmp_path, "train__random__none__s0__old", "1,reward_raw,0.5\n")
    assert live.growing_runs(tmp_path, time.time() + 60) == {}
    assert list(live.growing_runs(tmp_path, 0.0)) == ["random"]
    assert live._screen() is None
    with live_curves(root=tmp_path):
        pass
