"""Scorers: which may be called, and what decides beside them."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path

import pytest
from datasets import Dataset

from hammerlib import TrainConfig, evaluate, train
from hammerlib.errors import InputError
from hammerlib.evaluation.imports import import_completions
from hammerlib.grading import GradingPool, grade, grade_many
from hammerlib.grading.scorers import KINDS
from hammerlib.problems import load_problems
from hammerlib.problems.gym import _row, mix
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
    mixes = [mix(name) for name in ("math", "one-digit", "nano")]
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


def boxed(answer: str) -> str:
    return rf"\boxed{{{answer}}}"


@functools.cache
def drawn(name: str, n: int, seed: int = 1) -> list[dict]:
    return load_problems(f"reasoning-gym:{name}", n=n, seed=seed).to_list()


def topic(name: str) -> dict:
    """A problem of a topic of the math mix."""
    return next(one for one in drawn("math", 200) if one["topic"] == name)


NUMBER = (
    "word-problems",
    "sums",
    "gcd",
    "angles",
    "products",
    "legs",
    "primes",
    "sequences",
    "binary",
    "equations",
)
RIGHT = ("{}", "${}$", "{}.", "{}.0", "x = {}", r"{}\text{{ apples}}", "+{}", "0{}", "**{}**",
         "The answer is {}",
         "\\({}\\)", "{} units", "{}.00", r"\mathbf{{{}}}", "{},", " {} ")  # fmt: skip
WRONG = ("-{}", "−{}", "–{}", "not {}", "{}/7", "{} or 2", r"{}\%", "{}%", "{}1", "1{}", "{} 1", "1 {}",
         "{},5", "{}!", "> {}", r"\neq {}", r"\approx {}", r"\pm {}", "about {}", "{}k", "{} million",
         "{} dozen", "{}i", "{}^2", "{}_2", "{}:00", "1/{}", "{}e1", "{}-1", "{}+0", "{}*1", "{} and 2",
         "{} = 2", "{}; 2", "no {}", "")  # fmt: skip


@pytest.mark.parametrize("name", NUMBER)
def test_the_number_that_is_asked_for_decides_and_not_the_first_digits(name: str) -> None:
    row = topic(name) | {"answer": "41"}
    wrong = [form for form in RIGHT if not grade(boxed(form.format("41")), row).correct]
    right = [form for form in WRONG if grade(boxed(form.format("41")), row).correct]
    assert (wrong, right) == ([], [])
    assert not grade("So it is −41.", row).correct and not grade("It is 7/41.", row).correct
    assert not grade("So x > 41", row).correct and not grade("It is 41 %.", row).correct
    assert grade("It is 41.", row).correct
    assert grade(boxed("−35"), row | {"answer": "-35"}).correct
    assert not grade(boxed("35"), row | {"answer": "-35"}).correct


OTHER = [
    ("word-problems", "2", ["2.0", "x = 2", r"2\text{ apples}"], ["1+1", "4/2", r"\sqrt{4}"]),
    ("fractions", "67/72", [r"\frac{67}{72}", r"$\dfrac{67}{72}$", "67 / 72", r"\tfrac{67}{72}"],
     [r"$\dfrac{67}{72}$ 1", "134/144", "-67/72", "72/67", "67", "67/72/1", "67/72 or 1", "0.9305"]),
    ("fractions", r"$\dfrac{67}{72}$", ["67/72"], ["67/73"]),
    ("dice", "5/36", [r"\frac{5}{36}", "5/36"], ["10/72", "-5/36", "5/36 of all", "5", "36/5"]),
    ("factorisation", "2 × 2 × 7",
     [r"2 \times 2 \times 7", "2*2*7", "7 × 2 × 2", r"2^2 \times 7", "28 = 2 × 2 × 7"],
     ["28", "4 × 7", "2 × 7", "2 × 2 × 7 × 1", "-2 × -2 × 7", "2 + 2 + 7", "2 × 2 × 7 or 1"]),
    ("bases", "1e3", ["1e3", "1E3", r"\text{1e3}"], ["1000", "1e4", "3e1", "-1e3", "1e3 or 2"]),
    ("bases", "101", ["101", "0101"], ["110", "101.5", "5", "-101"]),
    ("complex", "3.0 - 4.0i", ["3 - 4i", "3-4i", "-4i + 3", "3.0-4.0j", "(3 - 4i)"],
     ["3 + 4i", "-3 - 4i", "4 - 3i", "3 - 4", "3 - 4i or 1", "3", "(1 - 4i) + 2"]),
    ("complex", "-4.0i", ["-4i", "-4j"], ["4i", "-4", "i"]),
    ("time", "03:27:15", ["03:27:15", "3:27:15"], ["03:27", "03:27:16", "-03:27:15", "03:27:15 or 1"]),
    ("time", "5 days", ["5 days", "5", "5 day"], ["5 weeks", "-5", "6 days", "5 days or 6", "5 months"]),
    ("calendar", "Monday", ["Monday", "monday", r"\text{Monday}", "Monday."],
     ["Tuesday", "Mon", "not Monday", "Monday or Tuesday"]),
    ("calendar", "-7", ["-7", "−7", "-7.0"], ["7", "-8", "-7 or 7", "--7"]),
    ("calendar", "Yes", ["Yes", "yes"], ["No", "yes and no"]),
    ("decimals", "128.10", ["128.1", "128.10", r"128.1\text{ cm}"], ["-128.1", "128.11", "128", "1281"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "gold", "right", "wrong"), OTHER)
def test_every_kind_of_answer_is_read_whole(name: str, gold: str, right: list[str], wrong: list[str]) -> None:
    row = topic(name) | {"answer": gold}
    if name == "bases":
        row["prompt"] = "Convert the base-10 number 5 to base-16"
    assert [one for one in right if not grade(boxed(one), row).correct] == []
    assert [one for one in wrong if grade(boxed(one), row).correct] == []


def test_a_percentage_may_carry_its_sign_where_one_is_asked_for() -> None:
    row = topic("word-problems") | {"answer": "41"}
    assert not grade(boxed(r"41\%"), row | {"prompt": "Ana has 50% of 82 apples. How many is that?"}).correct
    asked = row | {"prompt": "Ana has 41 of 100 apples. What percentage is that?"}
    assert grade(boxed(r"41\%"), asked).correct and grade(boxed("41"), asked).correct


def test_every_audited_scorer_has_a_kind_of_answer() -> None:
    assert set(KINDS) >= AUDITED


def test_the_rewards_read_the_prompt_too() -> None:
    row = topic("word-problems") | {"answer": "41"}
    told = {name: [row[name]] * 2 for name in ("answer", "scorer", "metadata")}
    asked = ["What percentage is that?", "How many is 50%?"]
    chat = [
        [{"role": "system", "content": "What percentage"}, {"role": "user", "content": one}] for one in asked
    ]
    for prompts in (asked, chat):
        for name in ("accuracy", "partial"):
            assert REWARDS[name](prompts=prompts, completions=[boxed("41%")] * 2, **told) == [1.0, 0.0]


def test_golds_of_the_built_in_mixes_win_and_their_mutants_lose() -> None:
    kinds = dict.fromkeys(AUDITED, 0)
    for row in [*drawn("math", 400), *drawn("nano", 80), *drawn("one-digit", 40)]:
        gold, name = row["answer"], row["scorer"].partition(":")[2]
        kinds[name] += 1
        for form in ("{}", " {} ", "**{}**", "The answer is {}"):
            assert grade(boxed(form.format(gold)), row).correct, (gold, form)
        digit = next((place for place, letter in enumerate(gold) if letter.isdigit()), None)
        mutants = [f"not {gold}", f"{gold} 1", f"{gold} or 42", f"{gold}{'7' if gold[-1].isdigit() else 'x'}"]
        if digit is not None:
            mutants.append(f"{gold[:digit]}{int(gold[digit]) % 8 + 1}{gold[digit + 1 :]}")
        if re.fullmatch(r"-?[1-9]\d*", gold):
            mutants += [gold.removeprefix("-") if gold[0] == "-" else f"-{gold}", f"{gold}0", f"{gold}/7"]
        assert [one for one in mutants if grade(boxed(one), row).correct] == [], row
    assert min(kinds.values()) > 0


# Data sets whose golds cannot be won as they stand, and why.
NOT_WON = {
    "boxnet": "no gold: any plan that moves the boxes counts, and the generator knows none",
    "composite": "no problems of its own: it draws from others that must be named",
    "rush_hour": "no gold: any moves that free the car count, and the generator knows none",
}
# No gold either, but an example of a right answer.
EXAMPLES = {
    "graph_color": lambda metadata: json.dumps(metadata["possible_answer"]),
    "propositional_logic": lambda metadata: metadata["example_answer"],
    "rubiks_cube": lambda metadata: metadata["example_correct_answer"],
}


@pytest.mark.parametrize("name", [name for name in GYM if name != "composite"])
def test_the_gold_of_every_data_set_of_reasoning_gym_wins(name: str) -> None:
    import reasoning_gym

    data = reasoning_gym.create_dataset(name, seed=3, size=2)
    for entry in (data[0], data[1]):
        row = _row("x", "y", name, "z", entry)
        gold = EXAMPLES[name](json.loads(row["metadata"])) if name in EXAMPLES else entry["answer"]
        assert (gold is None) == (name in NOT_WON)
        if gold is not None:
            assert grade(f"<answer>{gold}</answer>", row, run_code=True).reason == "correct"
        wrong = grade("<answer>nothing of the kind</answer>", row, run_code=True)
        assert not wrong.correct


def test_a_long_gold_of_brackets_is_not_taken_for_runaway_algebra() -> None:
    gold = json.dumps([["a", ["b"]]] * 8 + [[[[[[[[[[[["c"]]]]]]]]]]]])
    row = {
        "answer": gold,
        "scorer": "reasoning-gym:palindrome_partitioning",
        "metadata": '{"solution": [["x"]]}',
    }
    assert grade(f"<answer>{gold}</answer>", row, run_code=True).reason in ("wrong", "error: TypeError")
    poly = {
        "answer": "x",
        "scorer": "reasoning-gym:polynomial_multiplication",
        "metadata": '{"variables": ["x"]}',
    }
    assert grade("<answer>9^{9^{9}}</answer>", poly, run_code=True).reason == "error: TooComplex"
