"""What an order costs beside what a measured difficulty costs: seconds and tokens."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hammerlib.evaluation.evaluator import SAMPLES, evaluate
from hammerlib.models.embeddings import TOKENS_PER_BATCH, encode, tokenise
from hammerlib.ordering import greedy_path, used_vectors

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

    from hammerlib.models import Backbone
    from hammerlib.runs import RunRecord

WARM = 16  # rows for a first call, which compiles what is timed afterwards


def order_ledger(
    problems: Dataset,
    backbone: Backbone,
    *,
    probed: int = 32,
    samples: int = 10,
    max_new_tokens: int = 48,
    template: str = "raw",
    seed: int = 0,
    root: Path | None = None,
) -> pd.DataFrame:
    """Measure what HAMMER's order costs and what a difficulty probe with the same backbone costs.

    Embedding and paths are timed on all problems, without the cache and after a first call that compiles. The
    probe (`samples` completions a problem) runs on `probed` problems drawn by `seed` and is scaled up.

    Parameters
    ----------
    problems : datasets.Dataset
    backbone : Backbone
    probed, samples : int
        Problems of the probe, and completions of each.
    max_new_tokens, template, seed, root
        As for `evaluate`. A probe found in `root` brings the seconds it took when it was made.

    Returns
    -------
    DataFrame
        One row for `embedding`, `hammer path`, `min-path`, `difficulty probe`: problems (measured on),
        prompt_tokens and generated_tokens (of these), seconds, scale (all problems / measured), and
        tokens_all and seconds_all, which are scaled.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from hammerlib import load_backbone, load_problems
    >>> table = load_problems("reasoning-gym:nano", n=16)
    >>> nano, folder = load_backbone("nano"), Path(tempfile.mkdtemp())
    >>> ledger = order_ledger(table, nano, probed=2, samples=2, max_new_tokens=4, root=folder)
    >>> ledger["scale"].tolist()
    [1.0, 1.0, 1.0, 8.0]
    """
    import pandas as pd

    from hammerlib.ordering.solve import min_path
    from hammerlib.problems.table import subset

    texts = list(problems["prompt"])
    n = len(problems)
    encode(texts[:WARM], backbone, template=template, tokens_per_batch=TOKENS_PER_BATCH)
    vectors, seconds = _timed(encode, texts, backbone, template=template)
    rows = {"embedding": (n, _tokens(texts, backbone, template), 0, seconds)}
    units = used_vectors(vectors)
    for name, solve in (("hammer path", greedy_path), ("min-path", min_path)):
        solve(units[:WARM])
        rows[name] = (n, 0, 0, _timed(solve, units)[1])
    some = subset(problems, min(probed, n), seed)
    options = {"max_new_tokens": max_new_tokens, "template": template, "seed": seed, "root": root}
    probe = evaluate(backbone, some, k=samples, **options)
    read = samples * _tokens(list(some["prompt"]), backbone, template, distinct=False)
    rows["difficulty probe"] = (len(some), read, *_spent(probe, len(some) * samples))
    names = ["problems", "prompt_tokens", "generated_tokens", "seconds"]
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=names)
    frame["scale"] = n / frame["problems"]
    frame["tokens_all"] = frame["scale"] * (frame["prompt_tokens"] + frame["generated_tokens"])
    frame["seconds_all"] = frame["scale"] * frame["seconds"]
    return frame


def _timed(work: Callable[..., Any], *inputs: Any, **options: Any) -> tuple[Any, float]:
    start = time.perf_counter()
    return work(*inputs, **options), time.perf_counter() - start


def _tokens(texts: list[str], backbone: Backbone, template: str, distinct: bool = True) -> int:
    """Count prompt tokens; the embedding reads equal prompts once."""
    rows = tokenise(texts, [str(row) for row in range(len(texts))], backbone, template)
    kept = set(map(tuple, rows)) if distinct else rows
    return sum(len(row) for row in kept)


def _spent(probe: RunRecord, wanted: int) -> tuple[int, float]:
    """Return generated tokens of all samples, and seconds; a resumed run timed only what it made itself."""
    throughput = probe.manifest["throughput"]
    with open(probe.folder / SAMPLES, encoding="utf-8") as lines:
        generated = sum(json.loads(line)["n_tokens"] for line in lines)
    seconds = throughput["generation_seconds"] + throughput["grading_seconds"]
    return generated, seconds * wanted / max(throughput["samples"], 1)
