"""Scorers: which may be called, and what decides beside them."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest
from datasets import Dataset

from hammerlib import TrainConfig, evaluate, train
from hammerlib.errors import InputError
from hammerlib.evaluation.imports import import_completions
from hammerlib.grading import GradingPool, grade, grade_many
from hammerlib.problems.gym import MATH_MIX, ONE_DIGIT_MIX, mix
from hammerlib.problems.registry import AUDITED, SCORERS, Entry, refuse_code, runs_code
from hammerlib.rewards import REWARDS, accuracy_reward


def all_gym_datasets() -> list[str]:
    mix("nano")  # registers ours
    from reasoning_gym.factory import DATASETS

    return sorted(DATASETS)


GYM = all_gym_datasets()
UNAUDITED = [name for name in GYM if name not in AUDITED]
# Names that lead nowhere, or look like an allowed one.
ODD_NAMES = (
    "Reasoning-Gym:gcd",
    " reasoning-gym:gcd",
    "reasoning-gym",
    "reasoning-gym:",
    "reasoning-gym: gcd",
    "reasoning-gym:gcd:puzzle24",
    "reasoning-gym:GCD",
    "Code:human-eval",
    "os:system",
    "code",
    ":",
    "x",
)


def attack(path: Path) -> str:
    """What ten scorers of reasoning-gym 0.1.25 evaluate."""
    return f"<answer>__import__('pathlib').Path({str(path)!r}).touch()</answer>"


def row(scorer: object, **more: object) -> dict:
    metadata = {
        "result": "x",
        "integrand": "x",
        "variable": "x",
        "solution": [["x"]],
        "numbers": [1],
        "target": 1,
    }
    return (
        {"id": "a", "prompt": "?", "source": "s", "topic": "t", "answer": "x", "scorer": scorer}
        | {"metadata": json.dumps(metadata)}
        | more
    )


WAYS = (
    "accuracy",
    "cosine",
    "partial",
    "released_cosine",
    "grade",
    "grade_many",
    "pool",
    "evaluate",
    "import",
    "train",
)


def test_the_audited_scorers_are_those_of_the_built_in_mixes() -> None:
    mixes = (MATH_MIX, ONE_DIGIT_MIX, mix("nano"))
    assert {dataset for one in mixes for dataset, _ in one.values()} == set(AUDITED)
    assert len(UNAUDITED) > 80


@pytest.mark.parametrize("name", UNAUDITED)
def test_no_scorer_outside_the_list_is_called_unless_code_may_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def called(name: str) -> None:
        raise AssertionError(name)

    monkeypatch.setattr("hammerlib.problems.gym.scorer", called)
    with pytest.raises(InputError, match=r"not audited.*run_code=True \(--run-code\)") as refused:
        grade(attack(tmp_path / "made"), row(f"reasoning-gym:{name}"))
    assert "\n" not in str(refused.value)
    with pytest.raises(InputError, match="not audited"):
        accuracy_reward(None, [attack(tmp_path / "made")], **columns(f"reasoning-gym:{name}"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", sorted(AUDITED))
def test_an_audited_scorer_does_not_run_the_answer(name: str, tmp_path: Path) -> None:
    made = tmp_path / "made"
    for text in (attack(made), attack(made).replace("answer>", "b>"), f"#### open({str(made)!r}, 'w')"):
        assert not grade(text, row(f"reasoning-gym:{name}", answer="5")).correct
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("scorer", [*ODD_NAMES, 5, ["code:"], b"reasoning-gym:gcd", True])
def test_a_name_that_is_on_no_list_is_refused(scorer: object) -> None:
    for run_code in (False, *([True] if not str(scorer).startswith("reasoning-gym") else [])):
        with pytest.raises(InputError) as refused:
            grade(r"\boxed{x}", row(scorer), run_code=run_code)
        assert "\n" not in str(refused.value)


def columns(scorer: str) -> dict[str, list]:
    one = row(scorer)
    return {name: [one[name]] for name in ("answer", "scorer", "metadata")}


def ways(folder: Path, scorer: str) -> dict[str, object]:
    """Every door that a scorer's name comes through."""
    text, table = attack(folder / "made"), Dataset.from_list([row(scorer)])
    said = folder / "said.jsonl"
    said.write_text(json.dumps({"id": "a", "completion": text}) + "\n")
    rewards = {
        name: functools.partial(
            REWARDS[name], prompts=["?"], completions=[text], completion_ids=[[1]], **columns(scorer)
        )
        for name in ("accuracy", "cosine", "partial", "released_cosine")
    }
    return rewards | {
        "grade": lambda: grade(text, row(scorer)),
        "grade_many": lambda: grade_many([text], [row(scorer)]),
        "pool": lambda: GradingPool(1).grade([text], [row(scorer)]),
        "evaluate": lambda: evaluate("nano", table, n=1, k=1, root=folder / "runs"),
        "import": lambda: import_completions(said, table, root=folder / "runs"),
        "train": lambda: train(
            TrainConfig(n_problems=1), problems=table, root=folder / "runs", progress=False
        ),
    }


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scorer", ["reasoning-gym:polynomial_multiplication", "reasoning-gym:puzzle24"])
def test_a_scorer_that_evaluates_is_refused_wherever_its_name_comes_from(
    way: str, scorer: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="not audited: it may run what a model wrote") as refused:
        ways(tmp_path, scorer)[way]()
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "made").exists()


def test_where_code_may_run_an_unaudited_scorer_decides_and_runs_in_a_worker_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # eval of the answer stays away from the process that asks.
    monkeypatch.setattr("hammerlib.grading.pool.grade", None)
    metadata = json.dumps({"direction": "ascending"})
    problem = row("reasoning-gym:number_sorting", answer='["1", "2"]', metadata=metadata)
    assert grade_many(['<answer>["1", "2"]</answer>'], [problem], run_code=True)[0].correct
    with pytest.raises(InputError, match="not audited"):
        grade_many(['<answer>["1", "2"]</answer>'], [problem])


def test_a_scorer_that_a_program_adds_counts_as_code_until_it_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(SCORERS, "mine", Entry(lambda name: lambda answer, entry: 1.0))
    assert runs_code("mine:x")
    with pytest.raises(InputError, match="not audited"):
        refuse_code("mine:x", run_code=False)
    monkeypatch.setitem(SCORERS, "mine", Entry(lambda name: lambda answer, entry: 1.0, audited=True))
    assert grade(r"\boxed{8}", row("mine:x", answer="something that cannot be compared")).correct
