"""How the nano checkpoint is made: supervised on correct solutions, stopped before it is finished (ours)."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from hammerlib.errors import InputError, check_name
from hammerlib.models.nano.solutions import STRATEGIES, boxed, solve, strategy_of
from hammerlib.models.nano.tokenizer import build_tokenizer
from hammerlib.models.tokens import prompt_ids
from hammerlib.problems import load_problems
from hammerlib.runs.storage import atomic_path, progress_off, write_json

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from datasets import Dataset
    from transformers import (
        LlamaForCausalLM,
        PreTrainedModel,
        PreTrainedTokenizerBase,
        PreTrainedTokenizerFast,
    )


WEIGHTS = {
    "three_terms": 2.9,
    "change_story": 2.2,
    "equation": 1.9,
    "sequence": 1.5,
    "join_story": 1.2,
    "chain_sum": 0.9,
    "compare_story": 0.45,
    "take_story": 0.3,
}

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights of the nano model.

    Parameters
    ----------
    seed : int
        Initial weights, order of problems and choice of strategies.
    steps, batch_size : int
        Optimizer steps, and solutions in each.
    learning_rate : float
        AdamW; warms up over `warmup` steps, then stays. Neither falling rate nor average of the weights: both
        end where the first steps of reinforcement learning do harm (measured).
    weight_decay : float
        AdamW's decoupled decay.
    warmup : int
        Steps.
    problems : int
        Distinct problems of the supervised part, evenly over the eight families.
    weights : dict of str to float
        How often a family is drawn, relative to 1: harder families more often, so that all start alike.
    width, layers, heads, inner : int
        Llama-type shape: hidden size, blocks, attention heads, hidden size of the feed-forward part.

    Examples
    --------
    >>> Recipe(steps=30).batch_size
    32
    """

    seed: Annotated[int, Field(ge=0)] = 0
    steps: Count = 950
    batch_size: Count = 32
    learning_rate: Positive = 1.5e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup: Count = 50
    problems: Count = 16_000
    weights: dict[Literal[*WEIGHTS], Positive] = field(default_factory=lambda: dict(WEIGHTS))
    width: Count = 128
    layers: Count = 3
    heads: Count = 4
    inner: Count = 512


def untrained(recipe: Recipe | None = None) -> LlamaForCausalLM:
    """Return a nano model with random weights, float32, drawn from the recipe's seed."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    recipe = recipe or Recipe()
    tokenizer = build_tokenizer()
    # Llama, not Qwen2: AutoTokenizer maps model_type qwen2 to a tokenizer class that drops whole words.
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.width,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        intermediate_size=recipe.inner,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return LlamaForCausalLM(config).float().eval()


def batches(recipe: Recipe, table: Dataset) -> Iterator[list[tuple[str, str]]]:
    """Yield endless batches of (prompt, solution): families by weight, strategies drawn anew each time."""
    rng = random.Random(recipe.seed)
    families: dict[str, list[dict[str, Any]]] = {}
    for row in table.to_list():
        families.setdefault(row["topic"], []).append(row)
    topics = sorted(families)
    decks = {topic: _deck(families[topic], rng) for topic in topics}
    weights = [recipe.weights.get(topic, 1.0) for topic in topics]
    while True:
        drawn = [next(decks[topic]) for topic in rng.choices(topics, weights, k=recipe.batch_size)]
        yield [(row["prompt"], solve(row, None, rng)) for row in drawn]


def _deck(rows: list[dict[str, Any]], rng: random.Random) -> Iterator[dict[str, Any]]:
    while True:
        # every problem once before one comes again
        yield from rng.sample(rows, len(rows))


def encode(
    pairs: Sequence[tuple[str, str]], tokenizer: PreTrainedTokenizerBase
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return right-padded token ids and labels of prompts with solutions, both (batch, length) int64.

    Labels are -100 on prompt and padding: only the solution and the end of sequence are learned.

    Examples
    --------
    >>> ids, labels = encode([("3 + 4 =", "7")], build_tokenizer())
    >>> ids.shape, int((labels != -100).sum())
    (torch.Size([1, 9]), 2)
    """
    import torch

    # Encoded apart, as in sampling, where the solution's tokens follow the finished prompt.
    prompts = prompt_ids(tokenizer, [prompt for prompt, _ in pairs])
    solutions = tokenizer([solution for _, solution in pairs], add_special_tokens=False).input_ids
    rows = [(prompt, [*ids, tokenizer.eos_token_id]) for prompt, ids in zip(prompts, solutions, strict=True)]
    length = max(len(prompt) + len(solution) for prompt, solution in rows)
    ids = torch.full((len(rows), length), tokenizer.pad_token_id)
    labels = torch.full((len(rows), length), -100)
    for row, (prompt, solution) in enumerate(rows):
        end = len(prompt) + len(solution)
        ids[row, :end] = torch.tensor(prompt + solution)
        labels[row, len(prompt) : end] = torch.tensor(solution)
    return ids, labels


def train_nano(recipe: Recipe, *, stop: int | None = None) -> tuple[LlamaForCausalLM, list[float]]:
    """Train the nano model from random weights."""
    if recipe.problems < recipe.batch_size:
        remedy = f"use at least {recipe.batch_size}"
        raise InputError("problems", recipe.problems, "fewer than one batch", remedy)
    table = load_problems("reasoning-gym:nano", split="supervised", n=recipe.problems, seed=recipe.seed)
    model = untrained(recipe)
    return model, supervise(model, batches(recipe, table), recipe, stop=stop)


def supervise(
    model: LlamaForCausalLM,
    stream: Iterator[Sequence[tuple[str, str]]],
    recipe: Recipe,
    *,
    stop: int | None = None,
    after: Callable[[int], None] | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> list[float]:
    """Train a Llama-type model, in place, on batches of prompts with solutions; return its losses."""
    import torch
    from tqdm.auto import tqdm

    tokenizer = tokenizer or build_tokenizer()
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.99), weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / recipe.warmup))
    losses: list[float] = []
    progress = tqdm(range(recipe.steps)[:stop], desc="nano", disable=progress_off())
    for _ in progress:
        ids, labels = encode(next(stream), tokenizer)
        # position t predicts token t + 1
        logits = model(input_ids=ids).logits[:, :-1]
        kept = labels[:, 1:] != -100
        loss = torch.nn.functional.cross_entropy(logits[kept], labels[:, 1:][kept])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(round(loss.item(), 6))
        progress.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
        if after is not None:
            after(len(losses))
    model.eval()
    return losses


def settings(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe with the versions of the packages that decide the weights."""
    from importlib.metadata import version

    names = ("reasoning-gym", "tokenizers", "torch", "transformers")
    # "2.13.0+cpu" and "2.13.0" are one release.
    return {**asdict(recipe), "packages": {name: version(name).split("+")[0] for name in names}}


# Fields of `Recipe`; also ``starts`` of a study, with ``steps`` among its ``stops``.
SIZES: dict[str, dict[str, int]] = {
    "0.3M": {"width": 80, "inner": 320, "steps": 1100},
    "1M": {"width": 144, "inner": 576, "steps": 1300},
    "3M": {"width": 240, "inner": 960, "steps": 1700},
}


def sized(size: str, *, seed: int = 0) -> Recipe:
    """Return the recipe of one size."""
    check_name("size", size, SIZES, "is unknown")
    return Recipe(seed=seed, **SIZES[size])


CHECKPOINT = Path(__file__).parent / "checkpoint"


def make_checkpoint(out: str | os.PathLike[str], recipe: Recipe, *, n: int = 512) -> pd.DataFrame:
    """Train by `recipe`, measure on `n` held-out problems, write a folder that transformers loads."""
    import torch

    out = Path(out)
    if out.exists():
        raise InputError("out", str(out), "already exists", "name a new folder")
    torch.set_num_threads(1)
    model, losses = train_nano(recipe)
    tokenizer = build_tokenizer()
    held_out = load_problems("reasoning-gym:nano", split="heldout", n=n, seed=recipe.seed)
    sampled = sample(model, tokenizer, held_out["prompt"])
    greedy = sample(model, tokenizer, held_out["prompt"], group=1, greedy=True)
    table = family_table(held_out, sampled)
    table["greedy"] = family_table(held_out, greedy)["pass@1"]
    strategies = strategy_table(held_out, sampled)
    with atomic_path(out) as target:
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)
        record = {
            **settings(recipe),
            "families": table.round(4).to_dict("index"),
            # An untrained model may never use a strategy: JSON has no NaN.
            "strategies": strategies.round(4).fillna(0.0).to_dict("index"),
            "losses": losses,
        }
        write_json(target / "recipe.json", record)
    return table


# What the model can do: pass rates, zero-variance groups and strategies by family


def sample(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: list[str],
    *,
    group: int = 8,
    greedy: bool = False,
    batch: int = 64,
    seed: int = 0,
) -> list[list[str]]:
    """Return `group` completions for every prompt, at temperature 1 or greedy."""
    import torch

    texts: list[list[str]] = []
    choice: dict[str, Any] = {"do_sample": not greedy}
    if not greedy:
        choice |= {"temperature": 1.0, "top_k": None, "top_p": 1.0}
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(seed)
        for start in range(0, len(prompts), batch):
            ids = prompt_ids(tokenizer, prompts[start : start + batch])
            inputs = tokenizer.pad({"input_ids": ids}, return_tensors="pt", padding_side="left")
            out = model.generate(
                input_ids=inputs.input_ids,
                attention_mask=inputs.attention_mask,
                max_new_tokens=48,
                num_return_sequences=group,
                pad_token_id=tokenizer.pad_token_id,
                **choice,
            )
            flat = tokenizer.batch_decode(out[:, inputs.input_ids.shape[1] :], skip_special_tokens=True)
            texts += [flat[row : row + group] for row in range(0, len(flat), group)]
    return texts


def _right(table: Dataset, completions: list[list[str]]) -> np.ndarray:
    """Whether each completion's box holds its problem's answer, (problems, group)."""
    pairs = zip(completions, table["answer"], strict=True)
    return np.array([[boxed(text) == answer for text in group] for group, answer in pairs])


def family_table(table: Dataset, completions: list[list[str]]) -> pd.DataFrame:
    """Return one row a family, and the row ``all``, of what a group of samples achieves."""
    import pandas as pd

    right = _right(table, completions)
    columns = {
        "topic": table["topic"],
        "pass@1": right.mean(1),
        f"pass@{right.shape[1]}": right.any(1).astype(float),
        "zero_variance": (right.all(1) | ~right.any(1)).astype(float),
        "n": 1.0,
    }
    frame = pd.DataFrame(columns)
    rules = {name: "sum" if name == "n" else "mean" for name in frame.columns[1:]}
    by_topic = frame.groupby("topic").agg(rules)
    by_topic.loc["all"] = frame.agg(rules)
    return by_topic


def strategy_table(table: Dataset, completions: list[list[str]]) -> pd.DataFrame:
    """Return the share and the accuracy of each strategy among the completions."""
    import pandas as pd

    strategies = [strategy_of(text) for group in completions for text in group]
    rows = pd.DataFrame({"strategy": strategies, "right": _right(table, completions).ravel()})
    counts = rows.groupby("strategy")["right"].agg(["size", "mean"]).reindex(list(STRATEGIES))
    return pd.DataFrame({"share": counts["size"].fillna(0) / len(rows), "accuracy": counts["mean"]})
