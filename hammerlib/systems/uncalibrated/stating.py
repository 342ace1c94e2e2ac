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
from hammerlib.systems.uncalibrated.tabular import STATED, Outcomes
from hammerlib.training.generation import score_tokens

if TYPE_CHECKING:
    from hammerlib.models import Backbone

BOX = "\\boxed{"
QUESTION = "{name}?"  # any text that tells the categories apart
SHAPE = {"width": 64, "layers": 2, "heads": 2, "inner": 128}  # some 90,000 weights


def forecast_problems(data: Outcomes, *, question: str = QUESTION) -> Dataset:
    """Return questions with outcomes as a problem table for ``rewards: [log_score]``.

    Parameters
    ----------
    data : Outcomes
        At most 26 categories.
    question : str
        With ``{name}``, a letter for the category; all questions of a category read the same.

    Returns
    -------
    Dataset
        ``id, prompt, answer, source, topic``; the answer is the outcome, "0" or "1".

    Raises
    ------
    InputError
        More categories than letters, or a question without a name.

    Notes
    -----
    Source: ours, the questions of arXiv 2508.11800's synthetic experiment as text.

    Examples
    --------
    >>> forecast_problems(Outcomes(np.array([0.5]), np.array([0]), np.array([1])))[0]["answer"]
    '1'
    """
    if len(data.chances) > 26:
        raise InputError("categories", len(data.chances), "are more than letters", "draw 26 or fewer")
    if "{name}" not in question:
        raise InputError("question", question, "does not tell categories apart", "put {name} into it")
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
    """Make a tiny model that states any percentage from 1 to 99 for each prompt, and write it to a folder.

    It learns the form and opinions, but knows nothing: each prompt leans, by lot, to low or to high
    statements (the smaller or the larger of two uniform draws), half of the prompts to each. Without opinions
    it would not read the prompt at all, and a few steps of reinforcement learning could not teach it to.

    Parameters
    ----------
    folder : Path
        New; written whole or not at all, for `load_backbone`.
    prompts : sequence of str
    seed : int
        Weights and statements.
    steps : int
        Of supervised training, 64 statements each.

    Returns
    -------
    folder : Path
    losses : list of float
        In nats a token.

    Raises
    ------
    InputError
        No prompt.

    Notes
    -----
    Source: ours; the paper starts from Qwen3-4B.

    Examples
    --------
    >>> import tempfile
    >>> folder, losses = save_stating_model(Path(tempfile.mkdtemp()) / "speaker", ["a?"], steps=2)
    >>> (folder / "config.json").is_file(), len(losses)
    (True, 2)
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
    lean = rng.permutation(len(prompts)) % 2
    while True:
        draws = np.sort(rng.integers(1, 100, (recipe.batch_size, 2)), axis=1)
        rows = np.arange(recipe.batch_size) % len(prompts)
        numbers = draws[np.arange(recipe.batch_size), lean[rows]]  # the smaller or the larger draw
        yield [(prompts[row], f"{BOX}{number}}}") for row, number in zip(rows, numbers, strict=True)]


def statement_policy(backbone: Backbone, prompts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return how probable each percentage from 1 to 99 is of a prompt, exactly, without sampling.

    Parameters
    ----------
    backbone : Backbone
    prompts : sequence of n str
        As trained.

    Returns
    -------
    policy : (n, 99) float64 array
        Normalised over the readable statements.
    readable : (n,) float64 array
        Probability of a readable statement at all, in [0, 1].

    Notes
    -----
    Source: ours. A statement is a completion that starts with ``\\boxed{70}`` in the tokenizer's own reading;
    other token sequences, or words before it, are not counted, so that `readable` is a lower bound.

    Examples
    --------
    >>> from hammerlib.models import load_backbone
    >>> policy, readable = statement_policy(load_backbone("nano"), ["What is a?"])
    >>> policy.shape, bool(0 <= readable[0] <= 1)
    ((1, 99), True)
    """
    tokenizer = backbone.tokenizer
    texts = [f"{BOX}{round(100 * stated)}}}" for stated in STATED]
    statements = tokenizer(texts, add_special_tokens=False)["input_ids"]
    rows = []
    for prompt in prompt_ids(tokenizer, prompts):
        logps, _, _ = score_tokens(backbone.model, [prompt] * len(statements), statements)
        rows.append(np.exp(logps.sum(1).detach().cpu().numpy().astype(float)))
    probabilities = np.stack(rows)
    readable = probabilities.sum(1)
    return probabilities / readable[:, None], readable


__getattr__ = old_names(__name__)
