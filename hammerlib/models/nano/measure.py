"""What the nano model can do: pass rates, zero-variance groups and strategies by family."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    """Return `group` completions for every prompt, at temperature 1 or greedy.

    Parameters
    ----------
    model, tokenizer : transformers model and tokenizer
        Padding on the left.
    prompts : list of str
        At least one.
    group : int
        Completions a prompt; 1 when greedy.
    greedy : bool
        Take the likeliest token instead of sampling.
    batch : int
        Prompts generated at once.
    seed : int
        Of the torch random state, which is restored afterwards.

    Returns
    -------
    list of list of str
        One list a prompt; at most 48 tokens each, the end of sequence removed.

    Examples
    --------
    >>> from hammerlib.models.nano.recipe import untrained
    >>> from hammerlib.models.nano.tokenizer import build_tokenizer
    >>> [len(group) for group in sample(untrained(), build_tokenizer(), ["3 + 4 ="], group=2)]
    [2]
    """
    import torch

    texts: list[list[str]] = []
    choice = (
        {"do_sample": False}
        if greedy
        else {"do_sample": True, "temperature": 1.0, "top_k": None, "top_p": 1.0}
    )
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


def family_table(table: Dataset, completions: list[list[str]]) -> pd.DataFrame:
    """Return one row a family, and the row ``all``, of what a group of samples achieves.

    Parameters
    ----------
    table : datasets.Dataset
        Problems, in the order of `completions`.
    completions : list of list of str
        Groups of equal size, as `sample` returns them.

    Returns
    -------
    pandas.DataFrame
        Indexed by topic; shares in [0, 1]: ``pass@1``, ``pass@group`` (any right), ``zero_variance`` (all
        right or all wrong), and the number of problems ``n``.

    Examples
    --------
    >>> from datasets import Dataset
    >>> table = Dataset.from_list([{"topic": "sum", "answer": "7"}])
    >>> family_table(table, [["\\\\boxed{7}", "\\\\boxed{8}"]]).loc["all"].tolist()
    [0.5, 1.0, 0.0, 1.0]
    """
    import pandas as pd

    right = np.array(
        [
            [boxed(text) == answer for text in group]
            for group, answer in zip(completions, table["answer"], strict=True)
        ]
    )
    frame = pd.DataFrame(
        {
            "topic": table["topic"],
            "pass@1": right.mean(1),
            f"pass@{right.shape[1]}": right.any(1),
            "zero_variance": right.all(1) | ~right.any(1),
            "n": 1.0,
        }
    ).astype({f"pass@{right.shape[1]}": float, "zero_variance": float})
    rules = {name: "sum" if name == "n" else "mean" for name in frame.columns[1:]}
    by_topic = frame.groupby("topic").agg(rules)
    by_topic.loc["all"] = frame.agg(rules)
    return by_topic


def strategy_table(table: Dataset, completions: list[list[str]]) -> pd.DataFrame:
    """Return the share and the accuracy of each strategy among the completions.

    Parameters
    ----------
    table, completions
        As for `family_table`.

    Returns
    -------
    pandas.DataFrame
        Indexed by strategy; ``share`` of all completions and ``accuracy`` within the strategy (NaN where it
        never occurs), both in [0, 1].

    Examples
    --------
    >>> from datasets import Dataset
    >>> table = Dataset.from_list([{"topic": "sum", "answer": "7"}])
    >>> float(strategy_table(table, [[" tens:\\\\boxed{7}", " what"]]).loc["tens", "share"])
    0.5
    """
    import pandas as pd

    seen = pd.DataFrame(
        [
            (strategy_of(text), boxed(text) == answer)
            for group, answer in zip(completions, table["answer"], strict=True)
            for text in group
        ],
        columns=["strategy", "right"],
    )
    found = seen.groupby("strategy")["right"].agg(["size", "mean"]).reindex(list(STRATEGIES))
    return pd.DataFrame({"share": found["size"].fillna(0) / len(seen), "accuracy": found["mean"]})
