"""The same with a language model: forecasts as problems, statements as completions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from datasets import Dataset

from hammerlib.errors import InputError
from hammerlib.models.backbone import save_backbone
from hammerlib.models.nano.recipe import Recipe, supervise, untrained
from hammerlib.models.nano.tokenizer import build_tokenizer
from hammerlib.models.tokens import prompt_ids
from hammerlib.moved import old_names
from hammerlib.systems.uncalibrated import STATED, Outcomes
from hammerlib.training.generation import score_tokens

if TYPE_CHECKING:
    from hammerlib.models import Backbone

BOX = "\\boxed{"
QUESTION = "{name}?"  # any text that tells the categories apart
SHAPE = {"width": 64, "layers": 2, "heads": 2, "inner": 128}  # some 90,000 weights


def forecast_problems(data: Outcomes, *, question: str = QUESTION) -> Dataset:
    """Return questions with outcomes as a problem table for ``rewards: [log_score]``.

    `question` has a place for ``{name}``, the letter of a category (26 at most): all questions of a category
    read the same. The answer is the outcome, "0" or "1".
    """
    if len(data.chances) > 26:
        raise InputError("categories", len(data.chances), "are more than letters", "draw 26 or fewer")
    if "{name}" not in question:
        raise InputError("question", question, "does not tell categories apart", "put {name} into it")
    # one letter a category: nano reads single characters
    names = [chr(ord("a") + int(kind)) for kind in data.categories]
    columns = {
        "id": [f"forecast-{number}" for number in range(len(names))],
        "prompt": [question.format(name=name) for name in names],
        "answer": [str(int(outcome)) for outcome in data.outcomes],
        "source": ["forecasts"] * len(names),
        "topic": names,
    }
    return Dataset.from_dict(columns)


def save_stating_model(
    folder: Path, prompts: Sequence[str], *, seed: int = 0, steps: int = 150
) -> tuple[Path, list[float]]:
    """Write a tiny model that states any percentage from 1 to 99 for each prompt to a folder (ours).

    It learns the form and opinions, but knows nothing: each prompt leans, by lot, to low or to high
    statements (the smaller or the larger of two uniform draws), half of the prompts to each. Without opinions
    it would not read the prompt at all, and a few steps of reinforcement learning could not teach it to.
    `steps` are batches of 64 statements; the losses are in nats a token.
    """
    if not prompts:
        raise InputError("prompts", [], "are none", "give the questions that are trained")
    recipe = Recipe(seed=seed, steps=steps, batch_size=64, learning_rate=3e-3, warmup=10, **SHAPE)
    model = untrained(recipe)
    losses = supervise(model, _statements(prompts, recipe), recipe)
    save_backbone(model, build_tokenizer(), Path(folder))
    return Path(folder), losses


def _statements(prompts: Sequence[str], recipe: Recipe) -> Iterator[list[tuple[str, str]]]:
    rng = np.random.default_rng(recipe.seed)
    # half of the prompts lean to low statements, half to high ones
    lean = rng.permutation(len(prompts)) % 2
    while True:
        draws = np.sort(rng.integers(1, 100, (recipe.batch_size, 2)), axis=1)
        rows = np.arange(recipe.batch_size) % len(prompts)
        numbers = draws[np.arange(recipe.batch_size), lean[rows]]  # the smaller or the larger draw
        yield [(prompts[row], f"{BOX}{number}}}") for row, number in zip(rows, numbers, strict=True)]


def statement_policy(backbone: Backbone, prompts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    r"""Return how probable each percentage from 1 to 99 is of a prompt, exactly: (n, 99), and their sum (n,).

    A statement is a completion that starts with ``\\boxed{70}`` in the tokenizer's own reading. Other token
    sequences, or words before it, are not counted: the sum, by which the first is divided, is a lower bound
    of the probability of a readable statement (ours).
    """
    tokenizer = backbone.tokenizer
    texts = [f"{BOX}{round(100 * stated)}}}" for stated in STATED]
    statements = tokenizer(texts, add_special_tokens=False)["input_ids"]
    rows = []
    for prompt in prompt_ids(tokenizer, prompts):
        logps, _, _ = score_tokens(backbone.model, [prompt] * len(statements), statements)
        rows.append(np.exp(logps.sum(1).detach().cpu().numpy().astype(float)))
    # the product over tokens of pi(token | before): no sampling, no noise
    probabilities = np.stack(rows)
    readable = probabilities.sum(1)
    return probabilities / readable[:, None], readable


__getattr__ = old_names(__name__)
