"""Pass rates of a pool under the model that is to be trained, from its own samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hammerlib.errors import InputError
from hammerlib.evaluation import evaluate, outcomes

if TYPE_CHECKING:
    from datasets import Dataset

    from hammerlib.backbones import Backbone
    from hammerlib.runs import RunRecord


def probe(
    problems: Dataset,
    backbone: Backbone | str,
    *,
    k: int = 10,
    max_new_tokens: int = 250,
    template: str = "raw",
    seed: int = 0,
    root: Path | None = None,
) -> np.ndarray:
    """Return the share of right answers among k samples of every problem.

    Parameters
    ----------
    problems : Dataset
        Problem table of n rows: the pool.
    backbone : Backbone or str
        The model before training.
    k : int
        Samples a problem at temperature 1 from the whole distribution.
    max_new_tokens, template, seed, root
        As for `hammerlib.evaluate`, whose record holds the samples and is found again.

    Returns
    -------
    (n,) float64 array
        In [0, 1], multiples of 1/k, in the order of `problems`.

    Notes
    -----
    Source: arXiv 2508.14094 and its code: mean success (not: any success) of samples of the base model at
    temperature 1, top-p 1, 250 tokens; its committed scores are multiples of 0.1, so K = 10.

    Examples
    --------
    >>> import tempfile
    >>> from hammerlib import load_problems
    >>> pool = load_problems("reasoning-gym:nano", split="rl", n=2)
    >>> probe(pool, "nano", k=2, max_new_tokens=4, root=Path(tempfile.mkdtemp())).tolist()
    [0.0, 0.0]
    """
    asked = {"max_new_tokens": max_new_tokens, "template": template, "seed": seed, "root": root}
    return pass_rates(evaluate(backbone, problems, k=k, temperature=1.0, top_p=1.0, **asked), problems)


def pass_rates(record: RunRecord, problems: Dataset) -> np.ndarray:
    """Return the pass rates that an evaluation holds for a pool.

    Parameters
    ----------
    record : RunRecord
        Of `hammerlib.evaluate`.
    problems : Dataset
        Problem table; each row's ``id`` must have been evaluated, with the same number of samples.

    Returns
    -------
    (n,) float64 array
        In [0, 1], in the order of `problems`.

    Raises
    ------
    InputError
        A problem without samples, or problems with different numbers of samples.

    Notes
    -----
    Source: arXiv 2508.14094's code, ``mean(pred == gold)``.

    Examples
    --------
    >>> import tempfile
    >>> from hammerlib import evaluate, load_problems
    >>> pool = load_problems("reasoning-gym:nano", split="rl", n=2)
    >>> record = evaluate("nano", pool, k=1, max_new_tokens=4, root=Path(tempfile.mkdtemp()))
    >>> len(pass_rates(record, pool.select([1])))
    1
    """
    table = outcomes(record).set_index("id")
    missing = sorted(set(problems["id"]) - set(table.index))
    if missing:
        remedy = "probe the whole pool"
        raise InputError("record", record.run_id, f"has no samples of {len(missing)} problems", remedy)
    chosen = table.loc[problems["id"][:]]
    if chosen["n"].nunique() > 1:
        counts = sorted(chosen["n"].unique().tolist())
        remedy = "finish the evaluation: rates of unequal samples do not rank"
        raise InputError("record", record.run_id, f"has {counts} samples a problem", remedy)
    return (chosen["correct"] / chosen["n"]).to_numpy(dtype=float)
