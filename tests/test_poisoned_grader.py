"""Gold answers that hang or break the grader neither stall a training step nor count as wrong answers."""

from __future__ import annotations

import dataclasses
import functools
import sys
from pathlib import Path

import pandas as pd
import pytest
from test_training import SMALL

from hammerlib import rewards
from hammerlib.grading import GradingPool
from hammerlib.problems import load_problems
from hammerlib.problems.table import make_table
from hammerlib.rewards import graded
from hammerlib.runs import RunRecord
from hammerlib.training import Generation, Hooks, read_completions, train

# Runs at the start of every grading process: two golds that no guard knows of.
POISON = """
import ctypes
from hammerlib.grading import equality
inner = equality.equal_anywhere
def poisoned(gold, text):
    if gold == "hang":
        ctypes.PyDLL(None).sleep(600)  # holds the interpreter's lock, as a loop in compiled code does
    if gold == "boom":
        raise MemoryError("no room for this number")
    return inner(gold, text)
equality.equal_anywhere = poisoned
"""
GOLDS = {
    "hang": "hang",
    "exception": "boom",
    "exponent": "9^{9^{9^{9}}}",
    "nesting": r"\frac{1}{" * 60 + "2" + "}" * 60,
    "sound": "7/2",
}
ANSWERS = ("7/2", "7/2", "3", "3")  # what every problem gets as completions


def say(rows: list[dict], trainer: object) -> Generation:
    """The rollout plug: the same four completions for every problem."""
    tokenizer = trainer.processing_class
    said = [tokenizer(ANSWERS[i % 4])["input_ids"] + [tokenizer.eos_token_id] for i in range(len(rows))]
    return Generation(rows, tokenizer([row["prompt"] for row in rows])["input_ids"], said)


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """Two steps of real training: one problem for each poison and a sound one, then five sound ones."""
    place = tmp_path_factory.mktemp("poison")
    (place / "sitecustomize.py").write_text(POISON)
    prompts = load_problems(SMALL.problems, n=10)["prompt"][:]
    golds = [*GOLDS.items(), *((f"sound-{i}", "7/2") for i in range(5))]
    problems = make_table(
        {"id": name, "prompt": prompt, "answer": gold, "source": "file:test", "topic": "test"}
        for (name, gold), prompt in zip(golds, prompts, strict=True)
    )
    quick = functools.partial(rewards.accuracy_reward, timeout=1.0)
    config = dataclasses.replace(SMALL, order="dataset", prompts_per_step=5, max_completion_length=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(place), *sys.path])  # grading processes take it over
        patch.setattr(graded, "_MEMORY", graded._Memory({(False, True): GradingPool(2, evaluated=True)}))
        patch.setitem(rewards.REWARDS, "accuracy", quick)
        record = train(config, problems=problems, algorithms=[Hooks(rollout=say)], root=place, progress=False)
        for pool in graded._MEMORY.pools.values():
            pool.close()
    return record


def test_a_poisoned_step_ends_and_training_goes_on(poisoned: RunRecord) -> None:
    table = pd.read_csv(poisoned.folder / "metrics.csv").pivot(index="step", columns="metric", values="value")
    assert poisoned.status == "success" and len(table) == 2
    first, second = table.loc[1], table.loc[2]
    assert first["unscorable_share"] == 0.8 and second["unscorable_share"] == 0
    assert first["timeout_share"] == 0.2 and first["grading_error_share"] == pytest.approx(0.6)
    assert first["grading/timeouts"] == 4 and first["grading/errors"] == 12
    # The mean is over what could be graded: half of it right, in both steps.
    assert first["reward_raw"] == first["reward"] == second["reward_raw"] == 0.5
    assert first["grad_norm"] > 0


def test_a_completion_without_a_verdict_is_not_a_wrong_one(poisoned: RunRecord) -> None:
    table = read_completions(poisoned.folder).query("step == 1").set_index("id")
    reasons = {name: set(table.loc[name, "reason"]) for name in GOLDS}
    assert reasons["hang"] == {"timeout"} and reasons["exception"] == {"error: MemoryError"}
    assert reasons["exponent"] == reasons["nesting"] == {"error: TooComplex"}
    lost = table.drop(index="sound")
    assert lost[["correct", "reward_raw", "reward", "weight"]].isna().all().all()
    assert (lost["advantage"] == 0).all()
    sound = table.loc["sound"]
    assert sound["reward"].tolist() == [1, 1, 0, 0] and sound["advantage"].abs().gt(0.5).all()


def test_nothing_of_the_poison_stays_behind(poisoned: RunRecord) -> None:
    assert not list(Path(poisoned.folder).glob("**/*.part"))
    assert graded.verdicts(["so 7/2"], ["7/2"])[0].correct
