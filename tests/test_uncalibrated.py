"""Uncalibrated GRPO: the reference's vectors, by hand where they are derived here, and its properties."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from hammerlib.errors import InputError
from hammerlib.evaluation import expected_calibration_error, reliability_table
from hammerlib.models import load_backbone
from hammerlib.rewards import log_score_reward, quadratic_score_reward
from hammerlib.rewards.graded import proper_score, stated_probability
from hammerlib.systems.uncalibrated import (
    ESTIMATORS,
    STATED,
    Outcomes,
    advantages,
    auroc,
    calibration,
    draw_outcomes,
    expected_advantage,
    fit_table,
    surrogate,
)
from hammerlib.systems.uncalibrated.algorithm import LeaveOneOut
from hammerlib.systems.uncalibrated.stating import forecast_problems, save_stating_model, statement_policy
from hammerlib.training import Hooks, TrainConfig, train

GRID = np.arange(1, 101) / 101
POLICIES = {"uniform": np.ones(100), "middle": beta.pdf(GRID, 5.7, 3), "high": beta.pdf(GRID, 50, 1)}


# Rewards


def test_a_pair_of_statements_by_hand() -> None:
    # log 0.7 = -0.3567, log 0.9 = -0.1054; log 0.3 = -1.2040, log 0.1 = -2.3026; half their distances
    # 0.2513 and 1.0986 are the centred rewards.
    happened, not_happened = (proper_score([0.7, 0.9], outcome) for outcome in (1, 0))
    assert happened.round(4).tolist() == [-0.3567, -0.1054]
    assert not_happened.round(4).tolist() == [-1.2040, -2.3026]
    assert advantages([happened], "grpo-no-std").round(4).tolist() == [[-0.1257, 0.1257]]
    assert advantages([not_happened], "grpo-no-std").round(4).tolist() == [[0.5493, -0.5493]]
    # With G = 2 and ddof 1 the deviation is the distance over root 2: the size of the mistake is erased.
    for rewards in (happened, not_happened):
        assert np.abs(advantages([rewards], "grpo")) == pytest.approx(0.7071, abs=1e-4)


@given(st.floats(0.02, 0.98), st.sampled_from(["log", "quadratic"]))
def test_a_proper_score_is_best_in_the_mean_at_the_truth(chance: float, score: str) -> None:
    mean = chance * proper_score(GRID, 1, score) + (1 - chance) * proper_score(GRID, 0, score)
    best = chance * proper_score(chance, 1, score) + (1 - chance) * proper_score(chance, 0, score)
    assert (mean <= best + 1e-12).all()


def test_scores_refuse_what_has_none() -> None:
    for arguments in (([0.0], 1), ([1.0], 0), ([0.5], 2), ([0.5], 1, "spherical"), ([1.2], 1, "quadratic")):
        with pytest.raises(InputError):
            proper_score(*arguments)
    assert proper_score(1.0, 1, "quadratic") == 0


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        (r"\boxed{70}", 0.7), (r"so \boxed{1}", 0.01), (r"\boxed{99}", 0.99),
        (r"\boxed{0}", None), (r"\boxed{100}", None), (r"\boxed{-5}", None), (r"\boxed{7.5}", None),
        ("70", None),
    ],
)  # fmt: skip
def test_a_statement_is_a_whole_percentage_in_a_box(text: str, stated: float | None) -> None:
    assert stated_probability(text) == stated


def test_reward_functions_score_statements_and_nothing_else() -> None:
    said = [r"\boxed{70}", r"\boxed{70}", "none", r"\boxed{70}"]
    given_rewards = log_score_reward(completions=said, answer=["1", "0", "1", None])
    assert given_rewards[:3] == pytest.approx([np.log(0.7), np.log(0.3), np.log(0.01)])
    assert given_rewards[3] is None
    found = quadratic_score_reward(completions=said, answer=["1", "0", "0", None])
    assert found[:3] == pytest.approx([-0.09, -0.49, -1.0])
    with pytest.raises(InputError, match="answer"):
        log_score_reward(completions=said, answer=["12"] * 4)


# Advantages in closed form


def test_two_points_get_opposite_signs() -> None:
    # q = 0.7, half the mass on 0.7 and half on 0.9. Given outcome 1 the rewards lie +-d1/2 around their mean,
    # d1 = log(9/7) = 0.2513, given outcome 0 -+d0/2, d0 = log 3 = 1.0986.
    # True, calibrated point: 0.7 (-0.12566) + 0.3 (0.54931) = -0.08796 + 0.16479 = +0.07683.
    # Two points stand one deviation from their mean, so with std: 0.7 (-1) + 0.3 (+1) = -0.4.
    true, normalised = (expected_advantage([1, 1], [0.7, 0.9], 0.7, std=std) for std in (False, True))
    assert true == pytest.approx([0.07683, -0.07683], abs=1e-5)
    assert normalised == pytest.approx([-0.4, 0.4])


@pytest.mark.parametrize(
    ("policy", "score", "true", "grpo"),
    [
        ("uniform", "log", 0.703, 0.703), ("middle", "log", 0.703, 0.822), ("high", "log", 0.703, 0.990),
        ("uniform", "quadratic", 0.703, 0.703), ("middle", "quadratic", 0.703, 0.792),
        ("high", "quadratic", 0.703, 0.980),
    ],
)  # fmt: skip
def test_figure_3(policy: str, score: str, true: float, grpo: float) -> None:
    best = [
        GRID[expected_advantage(POLICIES[policy], GRID, 0.7, std=std, score=score).argmax()]
        for std in (False, True)
    ]
    assert best == pytest.approx([true, grpo], abs=5e-4)


def test_the_deviations_behind_figure_3() -> None:
    weights = POLICIES["middle"] / POLICIES["middle"].sum()
    for outcome, deviation in ((1, 0.2644), (0, 0.5226)):
        rewards = proper_score(GRID, outcome)
        assert np.sqrt(weights @ rewards**2 - (weights @ rewards) ** 2) == pytest.approx(deviation, abs=1e-4)


@given(
    st.floats(0.05, 0.95),
    st.floats(0.5, 20),
    st.floats(0.5, 20),
    st.booleans(),
    st.sampled_from(["log", "quadratic"]),
)
def test_the_other_outcome_mirrors_everything(
    chance: float, a: float, b: float, std: bool, score: str
) -> None:
    weights = beta.pdf(GRID, a, b) + 1e-9
    one = expected_advantage(weights, GRID, chance, std=std, score=score)
    other = expected_advantage(weights[::-1], GRID, 1 - chance, std=std, score=score)
    assert one == pytest.approx(other[::-1], rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_certain_outcome_is_ranked_alike(policy: str) -> None:
    true, grpo = (expected_advantage(POLICIES[policy], GRID, 1.0, std=std) for std in (False, True))
    assert (true.argsort() == grpo.argsort()).all() and GRID[grpo.argmax()] == GRID[-1]


def test_the_closed_form_is_the_mean_over_large_groups() -> None:
    rng, weights = np.random.default_rng(0), POLICIES["middle"] / POLICIES["middle"].sum()
    said = rng.choice(100, size=(2000, 400), p=weights)
    table = np.stack([proper_score(GRID, outcome) for outcome in (0, 1)])
    happened = np.repeat([1, 0], [1400, 600])  # exactly 70 %: the draw of outcomes is not what is tested
    gains = advantages(table[happened[:, None], said], "grpo")
    mean = np.bincount(said.ravel(), gains.ravel(), 100) / np.maximum(
        np.bincount(said.ravel(), minlength=100), 1
    )
    common = weights > 0.01
    assert mean[common] == pytest.approx(expected_advantage(weights, GRID, 0.7, std=True)[common], abs=0.03)


# Estimators


@given(st.lists(st.floats(-5, 0), min_size=2, max_size=8))
def test_leave_one_out_by_its_definition(rewards: list[float]) -> None:
    others = [np.mean(rewards[:k] + rewards[k + 1 :]) for k in range(len(rewards))]
    assert advantages([rewards], "rloo")[0] == pytest.approx(np.array(rewards) - others)


def test_a_critic_and_a_bare_reward() -> None:
    assert advantages([[-1.0], [-2.0]], "ppo", value=[[-1.5], [-1.5]]).tolist() == [[0.5], [-0.5]]
    assert advantages([[-1.0]], "reinforce").tolist() == [[-1.0]]


def test_estimators_refuse_what_they_cannot_compare() -> None:
    for estimator in ("grpo", "grpo-no-std", "rloo"):
        with pytest.raises(InputError, match="rollouts"):
            advantages([[1.0]], estimator)
    with pytest.raises(InputError, match="estimator"):
        advantages([[1.0]], "a2c")
    with pytest.raises(InputError, match="chance"):
        expected_advantage([1], [0.5], 1.5, std=True)
    with pytest.raises(InputError, match="policy"):
        expected_advantage([1, 1], [0.5], 0.5, std=True)


# Clipping


def test_two_clips_give_two_objectives_off_policy() -> None:
    ratio, gain = np.array([0.5, 0.9, 1.1, 1.5]), np.array([1.0, -1.0, 1.0, -1.0])
    wide, narrow = (surrogate(ratio, gain, clip)[0] for clip in (0.2, 0.001))
    # 0.2: only 1.1 < 1.2 and 0.9 > 0.8 stay; min() keeps 0.5 and -1.5. 0.001 moves 0.9 and 1.1 to its bounds.
    assert wide.tolist() == [0.5, -0.9, 1.1, -1.5]
    assert narrow == pytest.approx([0.5, -0.999, 1.001, -1.5])


def test_the_released_clip_changes_nothing() -> None:
    ratio, gain = np.array([0.5, 1.5]), np.array([-1.0, 1.0])
    plain = surrogate(ratio, gain, None)
    for clip in (0.2, 0.001):
        assert [one.tolist() for one in surrogate(ratio, gain, clip, released=True)] == [
            one.tolist() for one in plain
        ]
        assert surrogate(ratio, gain, clip)[1].tolist() == [0.0, 0.0]
    with pytest.raises(InputError, match="clip"):
        surrogate(ratio, gain, 0.0)


def test_clips_train_other_tables_off_policy_and_the_released_one_does_not() -> None:
    data, asked = draw_outcomes(400, categories=4), {"questions": 200, "steps": 30, "updates": 4}
    tables = [fit_table(data, "grpo", clip=clip, **asked) for clip in (None, 0.2, 0.001)]
    assert all(np.abs(one - other).max() > 1e-3 for one, other in [tables[:2], tables[1:]])
    released = [fit_table(data, "grpo", clip=clip, released_clip=True, **asked) for clip in (0.2, 0.001)]
    assert (released[0] == released[1]).all() and (released[0] == tables[0]).all()


# The table


def test_only_grpo_loses_its_calibration() -> None:
    data = draw_outcomes(2000, categories=10)
    found = {one: calibration(fit_table(data, one, questions=500, steps=500), data) for one in ESTIMATORS}
    assert found["grpo"]["ece"] > 0.1
    assert all(found[one]["ece"] < 0.06 for one in ESTIMATORS[1:])
    assert len({round(one["accuracy"], 6) for one in found.values()}) == 1  # accuracy cannot see it


@pytest.mark.parametrize(
    ("estimator", "ece", "near"),
    [("grpo", 0.205, 0.04), ("grpo-no-std", 0.012, 0.006), ("rloo", 0.014, 0.006)],
)
def test_the_calibration_errors_of_the_reference(estimator: str, ece: float, near: float) -> None:
    # The reference's replica: 10,000 questions, batches of 1,000, G = 10, Adam 0.05, 1,500 steps, one seed.
    # Its chances are another draw (two of 20 lie outside [0.05, 0.95], here one), which moves GRPO most.
    data = draw_outcomes()
    found = calibration(fit_table(data, estimator), data)
    assert found["ece"] == pytest.approx(ece, abs=near)
    # Categories stated outside [0.05, 0.95]: .70 under GRPO there, at most .05 beyond the truth elsewhere.
    true = ((data.chances < 0.05) | (data.chances > 0.95)).mean()
    assert true == 0.05
    assert found["extreme"] >= 0.5 if estimator == "grpo" else found["extreme"] <= true + 0.05 + 1e-9


def test_a_seed_gives_one_table() -> None:
    data, asked = draw_outcomes(100, categories=2), {"questions": 50, "steps": 5}
    assert (fit_table(data, "grpo", **asked) == fit_table(data, "grpo", **asked)).all()
    assert (fit_table(data, "grpo", **asked) != fit_table(data, "grpo", seed=1, **asked)).any()


def test_questions_share_one_outcome_and_categories_take_turns() -> None:
    data = draw_outcomes(10_000)
    assert np.bincount(data.categories).tolist() == [500] * 20
    shares = np.bincount(data.categories, data.outcomes) / 500
    assert np.abs(shares - data.chances).max() < 0.1
    with pytest.raises(InputError):
        draw_outcomes(3)


# Calibration


def test_calibration_error_of_a_constant_statement_and_right_closed_bins() -> None:
    assert expected_calibration_error([0.5] * 10, [1] * 7 + [0] * 3) == pytest.approx(0.2)
    table = reliability_table([0.1, 0.2, 0.2000001], [0, 1, 1])
    assert table["n"].tolist()[:3] == [1, 1, 1] and table["accuracy"].isna().sum() == 7


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.9]), st.booleans()), min_size=2, max_size=12))
def test_auroc_counts_pairs(pairs: list[tuple[float, bool]]) -> None:
    stated, happened = (np.array(column) for column in zip(*pairs, strict=True))
    ones, zeros = stated[happened], stated[~happened]
    found = auroc(stated, happened)
    if not len(ones) or not len(zeros):
        assert np.isnan(found)
        return
    differences = ones[:, None] - zeros
    assert found == pytest.approx(((differences > 0) + 0.5 * (differences == 0)).mean())


# A language model


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_stating_model(tmp_path_factory.mktemp("speaker") / "model", ["a?", "b?"], steps=60)[0]


def test_the_tiny_model_states_any_percentage(speaker: Path) -> None:
    policy, readable = statement_policy(load_backbone(str(speaker)), ["a?", "b?"])
    assert policy.shape == (2, 99) and policy.sum(1) == pytest.approx(1)
    assert (readable > 0.5).all() and (policy.max(1) < 0.2).all()


def test_the_scores_train_in_the_house(speaker: Path, tmp_path: Path) -> None:
    problems = forecast_problems(draw_outcomes(16, categories=2))
    config = TrainConfig(
        backbone=str(speaker), order="random", rewards=("log_score",), group_size=4, prompts_per_step=8,
        max_completion_length=5, loss_type="dr_grpo", scale_rewards="none",
    )  # fmt: skip
    record = train(
        config, problems=problems, root=tmp_path, algorithms=[Hooks(advantage=LeaveOneOut())], progress=False
    )
    assert record.status == "success" and record.metrics["steps"]["value"] == 2
    assert record.metrics["reward_raw_last"]["value"] < 0


def test_leave_one_out_refuses_a_scale_it_would_ignore(speaker: Path, tmp_path: Path) -> None:
    config = TrainConfig(
        backbone=str(speaker), order="random", rewards=("log_score",), group_size=4, prompts_per_step=4,
        max_completion_length=5,
    )  # fmt: skip
    problems = forecast_problems(draw_outcomes(4, categories=2))
    with pytest.raises(InputError, match="scale_rewards"):
        train(
            config,
            problems=problems,
            root=tmp_path,
            algorithms=[Hooks(advantage=LeaveOneOut())],
            progress=False,
        )


def test_forecasts_refuse_what_cannot_be_told_apart() -> None:
    with pytest.raises(InputError, match="categories"):
        forecast_problems(draw_outcomes(27, categories=27))
    with pytest.raises(InputError, match="question"):
        forecast_problems(draw_outcomes(2, categories=1), question="will it rain?")
    assert (
        STATED[0] == 0.01
        and len(forecast_problems(Outcomes(np.array([0.5]), np.array([0]), np.array([1])))) == 1
    )
