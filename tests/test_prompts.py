"""The words around a problem: exact, and in the record."""

from __future__ import annotations

from pathlib import Path

import pytest

from hammerlib import evaluate, load_problems
from hammerlib.errors import InputError
from hammerlib.evaluation.benchmarks import RECIPES, format_prompts


def test_the_recipe_of_the_dra_paper_is_word_for_word() -> None:
    (text,) = format_prompts(["What is 1+1?"], "dra-paper")
    assert text == (
        "Solve the following math problem efficiently and clearly.  The last line of your response should be "
        "of the following format: 'Therefore, the final answer is: $\\boxed{ANSWER}$. I hope it is correct' "
        "(without quotes) where ANSWER is just the final number or expression that solves the problem. "
        "Think step by step before answering.\n\nWhat is 1+1?"
    )


@pytest.mark.parametrize("recipe", RECIPES)
def test_braces_of_a_problem_survive_every_recipe(recipe: str) -> None:
    problem = r"Is $\{x\} = \frac{1}{2}$ or {problem}?"
    assert problem in format_prompts([problem], recipe)[0]


def test_an_unknown_recipe_is_named() -> None:
    with pytest.raises(InputError, match=r"prompt = 'short': is unknown; use one of plain, boxed, dra-paper"):
        format_prompts(["1+1?"], "short")


def test_a_run_notes_recipe_golds_and_problems(tmp_path: Path) -> None:
    options = {"n": 2, "k": 1, "max_new_tokens": 4, "root": tmp_path}
    plain = evaluate("nano", "reasoning-gym:nano", **options)
    boxed = evaluate("nano", "reasoning-gym:nano", prompt="boxed", **options)
    assert plain.run_id != boxed.run_id
    assert boxed.manifest["prompt"] == {"name": "boxed", "user": RECIPES["boxed"].user, "system": None}
    assert boxed.manifest["gold"] == {"source": "reasoning-gym:nano", "split": "heldout"}
    assert boxed.manifest["parameters"]["grader"].startswith("math-verify ")
    stored = load_problems(f"file:{boxed.folder / 'problems.jsonl'}")
    assert len(stored) == 2 and all(stored["answer"])
