"""Hard examples: selection, signal theory and counts by hand; equal-step runs of nano on probed subsets."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from hammerlib import evaluate, load_problems
from hammerlib.errors import InputError
from hammerlib.exact.signal import expected_path, learnable, learnable_share, mixed_probability
from hammerlib.systems.hard_examples import (
    SUBSETS,
    pass_rates,
    probe,
    same_budget,
    select,
    select_level,
    subset_config,
)
from hammerlib.training import TrainConfig, train
from hammerlib.training.telemetry import zero_variance_share

LEVELS = np.arange(0.05, 1, 0.1)
ONE = TrainConfig(order="random", prompts_per_step=2, group_size=4, max_completion_length=40)


# Selection


@pytest.mark.parametrize(("subset", "known"), [
    ("hard", [0.05, 0.15]),
    ("easy", [0.85, 0.95]),
    ("medium", [0.45, 0.55]),
])  # fmt: skip
@pytest.mark.parametrize("seed", [0, 1])
def test_a_fifth_of_ten_levels(subset: str, known: list[float], seed: int) -> None:
    rates = np.random.default_rng(seed + 7).permutation(LEVELS)
    assert sorted(rates[select(rates, 0.2, subset, seed=seed)]) == pytest.approx(known)
    # Any success of many samples would be 1 for every level: nothing to rank, so other rows.
    assert sorted(rates[select((rates > 0).astype(float), 0.2, subset, seed=seed)]) != pytest.approx(known)


def test_ties_are_broken_by_the_seed_alone() -> None:
    rates = [0, 0, 0, 1, 1]
    sets = {tuple(select(rates, 0.4, "hard", seed=seed)) for seed in range(20)}
    assert sets == {(0, 1), (0, 2), (1, 2)}  # never a row at 1
    assert all(
        (select(rates, 0.4, "hard", seed=s) == select(rates, 0.4, "hard", seed=s)).all() for s in range(5)
    )
    assert {tuple(select(rates, 0.4, "random", seed=seed)) for seed in range(99)} > sets


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.floats(0.01, 1), st.integers(0, 5))
def test_subsets_have_one_size_and_lie_on_their_side(rates: list[float], share: float, seed: int) -> None:
    m, values = round(share * len(rates)), np.array(rates)
    if m == 0:
        return
    rows = {subset: select(rates, share, subset, seed=seed) for subset in SUBSETS}
    assert {len(set(one)) for one in rows.values()} == {m}
    for subset, sign in (("hard", 1), ("easy", -1)):
        rest = np.delete(values, rows[subset])
        assert not rest.size or (sign * values[rows[subset]]).max() <= (sign * rest).min()


def test_levels_are_exact_or_reach_up_to_one() -> None:
    # Ten samples a problem: 3/10 and 0.1 + 0.2 are one level. Up to 0.3: all but the two above it.
    rates = [0.0, 3 / 10, 0.1 + 0.2, 0.1, 1.0, 0.4]
    assert select_level(rates, 0.3).tolist() == [1, 2]
    assert select_level(rates, 0.3, up_to=True).tolist() == [0, 1, 2, 3]
    wrong, right = select_level([0, 1, 1, 0], 0), select_level([0, 1, 1, 0], 1)  # one sample a problem
    assert wrong.tolist() == [0, 3] and right.tolist() == [1, 2]
    with pytest.raises(InputError, match=r"level = 0.7.*choose from 0, 0.1, 0.3, 0.4, 1"):
        select_level(rates, 0.7)


# Signal


def test_the_chance_of_a_mixed_group() -> None:
    known = {0.1: 0.56953, 0.125: 0.65639, 0.25: 0.89987, 0.5: 0.99219, 0.9: 0.56953, 0.0: 0.0, 1.0: 0.0}
    assert mixed_probability(list(known), 8).tolist() == pytest.approx(list(known.values()), abs=5e-6)
    drawn = np.random.default_rng(0).random((200_000, 8)) < 0.125
    assert ((drawn.sum(1) > 0) & (drawn.sum(1) < 8)).mean() == pytest.approx(0.65639, abs=0.005)


def test_an_expected_step_by_hand() -> None:
    # G = 2: only one right of two teaches, chance 2p(1-p) = 0.32 at p = 0.2. Deviation sqrt(1/2) = 0.70711,
    # advantage 0.5 / 0.70721 = 0.70701, (1/2) c A = 0.35350: the logit moves by 0.32 x 0.35350 = 0.11312,
    # from ln(1/4) = -1.38629 to -1.27317, so p = 0.21871.
    path = expected_path(0.2, group=2, pace=1.0, steps=1)
    assert path.tolist() == pytest.approx([0.2, 0.21871], abs=5e-6)


def test_hard_problems_teach_longer_because_they_drift_through_the_middle() -> None:
    paths = {rate: expected_path(rate, pace=0.2, steps=60) for rate in (0.1, 0.5, 0.9)}
    shares = {rate: mixed_probability(path).mean() for rate, path in paths.items()}
    assert mixed_probability(paths[0.1][0]) == pytest.approx(mixed_probability(paths[0.9][0]))
    assert shares[0.1] > shares[0.5] > shares[0.9]
    assert all((np.diff(path) > 0).all() for path in paths.values())
    # The boundary: what is never solved stays unsolved, at any length, and so does what is always solved.
    assert (expected_path(0.0, steps=9) == 0).all() and (expected_path(1.0, steps=9) == 1).all()


def test_learnable_percentage_of_four_steps() -> None:
    groups = np.array([[1.0, 1, 1, 1], [1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]])
    assert learnable_share([zero_variance_share(one, 4) for one in groups]) == (0.5, 0.5)
    # The same groups, two prompts a step: each step has one group that varies.
    assert learnable_share([zero_variance_share(groups[:2], 4), zero_variance_share(groups[2:], 4)]) == (
        1,
        0.5,
    )


# Probe and budget


@pytest.mark.long
def test_equal_steps_on_probed_subsets_of_nano(tmp_path: Path) -> None:
    pool = load_problems("reasoning-gym:nano", split="rl", n=16)
    rates = probe(pool, "nano", k=4, max_new_tokens=40, root=tmp_path)
    record = evaluate("nano", pool, k=4, max_new_tokens=40, root=tmp_path)  # found again, not sampled again
    assert rates.tolist() == pass_rates(record, pool).tolist() and set(rates * 4) <= set(range(5))
    assert rates.mean() == pytest.approx(record.metrics["pass@1"]["value"]) and 0 < rates.mean() < 1
    back = pool.select(range(15, -1, -1))
    assert pass_rates(record, back).tolist() == rates[::-1].tolist()
    runs, config = {}, dataclasses.replace(ONE, order="hammer", adjustment="dra")
    for subset in ("hard", "easy"):
        rows = select(rates, 0.25, subset)
        part = pool.select(rows)
        runs[subset] = train(
            subset_config(config, len(part), 3), problems=part, root=tmp_path, progress=False
        )
        assert 0 <= learnable(runs[subset]).groups <= learnable(runs[subset]).steps <= 1
    assert same_budget(list(runs.values())) == {"steps": 3, "completions": 24}
    shorter = train(subset_config(config, 4, 2), problems=part, root=tmp_path, progress=False)
    with pytest.raises(InputError, match="differ in steps"):
        same_budget([runs["easy"], shorter])


def test_epochs_are_as_many_as_the_steps_need() -> None:
    assert subset_config(ONE, 20, 10).epochs == 1 and subset_config(ONE, 20, 11).epochs == 2
    found = subset_config(dataclasses.replace(ONE, epochs=7, max_steps=3), 2, 5)
    assert (found.epochs, found.max_steps, found.n_problems) == (5, 5, 2)


# What is refused


def test_bad_values_are_refused_in_one_line(tmp_path: Path) -> None:
    pool = load_problems("reasoning-gym:nano", split="rl", n=3)
    record = evaluate("nano", pool.select([0, 1]), k=1, max_new_tokens=2, root=tmp_path)
    other: Dataset = pool.select([2])
    refused = {
        "hard, medium, easy, random": lambda: select([0.5], 1.0, "hardest"),
        "leaves 0 of 2": lambda: select([0.5, 0.5], 0.1, "hard"),
        "share in": lambda: select([0.5, 0.5], 1.5, "hard"),
        "n numbers in": lambda: select([0.5, np.nan], 0.5, "hard"),
        "outside \\[0, 1\\]": lambda: mixed_probability(1.2),
        "completions of a group": lambda: mixed_probability(0.5, 1),
        "one share in": lambda: learnable_share([]),
        "no samples of 1 problems": lambda: pass_rates(record, other),
        "another number of samples": lambda: subset_config(
            dataclasses.replace(ONE, dynamic_sampling=True), 4, 2
        ),
        "give optimizer steps": lambda: subset_config(ONE, 4, 0),
        "fewer than one generation batch": lambda: subset_config(ONE, 1, 2),
        "hold no run": lambda: same_budget([]),
    }
    for words, call in refused.items():
        with pytest.raises(InputError, match=words):
            call()
