"""What the nano model can do: pass rates, zero-variance groups and strategies by family."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hammerlib.models.nano.solutions import STRATEGIES, boxed, strategy_of
from hammerlib.models.tokens import prompt_ids

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


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
