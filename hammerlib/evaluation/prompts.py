"""The words around a problem: one recipe per name, noted verbatim in every run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from hammerlib.errors import InputError

if TYPE_CHECKING:
    from datasets import Dataset


class Recipe(NamedTuple):
    """Where the problem stands in the user's turn, and the system's turn (None: there is none).

    Examples
    --------
    >>> RECIPES["plain"]
    Recipe(user='{problem}', system=None)
    """

    user: str
    system: str | None = None


RECIPES = {
    "plain": Recipe("{problem}"),
    # As the model cards of Qwen2.5-Math and DeepSeek-R1 ask for it; the latter wants no system prompt.
    "boxed": Recipe("{problem}\n\nPlease reason step by step, and put your final answer within \\boxed{}."),
    # The evaluation of DRA-GRPO and Open-RS (their src/open_r1/evaluate.py): no system prompt, two blanks.
    "dra-paper": Recipe(
        "Solve the following math problem efficiently and clearly.  The last line of your response should be "
        "of the following format: 'Therefore, the final answer is: $\\boxed{ANSWER}$. I hope it is correct' "
        "(without quotes) where ANSWER is just the final number or expression that solves the problem. Think "
        "step by step before answering.\n\n{problem}"
    ),
}


def recipe_of(name: str) -> Recipe:
    """Return a recipe by name.

    Raises
    ------
    InputError
        Unknown name.

    Examples
    --------
    >>> recipe_of("boxed").user.startswith("{problem}")
    True
    """
    if not isinstance(name, str) or name not in RECIPES:
        raise InputError("prompt", name, "is unknown", f"use one of {', '.join(RECIPES)}")
    return RECIPES[name]


def format_prompts(problems: Dataset | Sequence[str], recipe: str = "plain") -> list[str]:
    r"""Return the user's turn of every problem.

    Parameters
    ----------
    problems : datasets.Dataset or sequence of str
        Problem table, or texts.
    recipe : str
        ``plain`` (the problem alone), ``boxed`` (step by step, answer in a box) or ``dra-paper`` (the
        evaluation prompt of DRA-GRPO, arXiv 2505.09655).

    Returns
    -------
    list of str
        Same length and order.

    Raises
    ------
    InputError
        Unknown recipe.

    Examples
    --------
    >>> format_prompts(["1+1?"], "boxed")
    ['1+1?\n\nPlease reason step by step, and put your final answer within \\boxed{}.']
    """
    user = recipe_of(recipe).user
    texts = [problems] if isinstance(problems, str) else problems
    texts = texts["prompt"][:] if hasattr(texts, "column_names") else list(texts)
    return [user.replace("{problem}", text) for text in texts]
