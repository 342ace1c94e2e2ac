"""What the policy wrote, with its reward and advantage: a parquet file per generation batch, read as one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hammerlib.errors import InputError
from hammerlib.runs import MANIFEST, RunRecord
from hammerlib.runs.storage import atomic_path
from hammerlib.training.hooks import EXCLUDED, Rollout

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow

FOLDER = "completions"
# Columns of the files, their types and what they hold. One schema for all files, so that they read as one.
COLUMNS: dict[str, tuple[str, str]] = {
    "step": ("int64", "optimizer step, from 1"),
    "process": ("int32", "rank of the process"),
    "id": ("string", "problem"),
    "position": ("int64", "place of the problem in the order, from 0; -1 for one that is not in it"),
    "group": ("int64", "its group in the batch, -1 where it is not trained"),
    "trained": ("bool", "false for what a rollout seam generated and left out"),
    "prompt": ("string", "as given to the model, without chat template"),
    "completion": ("string", "decoded, without special tokens"),
    "n_tokens": ("int32", "tokens, with the end of text"),
    "truncated": ("bool", "cut at max_completion_length"),
    "correct": ("bool", "verdict; empty where there is none"),
    "extracted": ("string", "the answer that was graded"),
    "reason": (
        "string",
        "why the verdict: equal, different, no answer, timeout, error ...; empty without gold",
    ),
    "reward_raw": ("float64", "weighted sum of the rewards; empty where none applies"),
    "reward": ("float64", "after the adjustment: what was trained"),
    "weight": ("float64", "reward / reward_raw, the adjustment's factor; empty where reward_raw is 0"),
    "advantage": ("float64", "mean over tokens where a plug gives one per token"),
}


def save_completions(
    folder: Path,
    rollout: Rollout,
    *,
    place_of: Mapping[str, int],
    ends: Collection[int],
    process: int = 0,
    offset: int = 0,
) -> None:
    """Write one generation batch to ``completions/<step>.parquet``, one row per completion, trained or not.

    Later micro-batches of the same step that generate again, and further processes, get a suffix.

    Parameters
    ----------
    folder : Path
        Of the run.
    rollout : Rollout
    place_of : mapping of str to int
        Place in the order of each problem id.
    ends : collection of int
        Tokens that end a text; a completion without one was cut at its longest length.
    process : int
        Rank of this process.
    offset : int
        Micro-batch within the step.

    Examples
    --------
    >>> import tempfile
    >>> folder, one = Path(tempfile.mkdtemp()), np.ones(1)
    >>> rows = [{"id": "a", "prompt": "2+2"}]
    >>> batch = Rollout(0, rows, ["4"], [[7]], [None], one, one, np.ones((1, 2)), 1)
    >>> save_completions(folder, batch, place_of={"a": 0}, ends={7})
    >>> [path.name for path in (folder / "completions").iterdir()]
    ['000001.parquet']
    """
    import pyarrow
    from pyarrow import parquet

    parts = [_columns(one, place_of, ends, process) for one in (rollout, rollout.spare) if one is not None]
    table = pyarrow.concat_tables([pyarrow.table(one, schema=_schema()) for one in parts])
    name = f"{rollout.step + 1:06d}" + (f"-b{offset}" if offset else "") + (f"-p{process}" if process else "")
    with atomic_path(folder / FOLDER / f"{name}.parquet") as part:
        parquet.write_table(table, part)


def read_completions(run: Path) -> pd.DataFrame:
    """Return all completions that a run kept, in the order of steps and processes.

    Parameters
    ----------
    run : Path
        The run's folder.

    Returns
    -------
    DataFrame
        Columns as in `COLUMNS`.

    Raises
    ------
    InputError
        The run has kept none, or a file of them is damaged.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from hammerlib.training import Rollout
    >>> from hammerlib.training.completions import save_completions
    >>> folder, one = Path(tempfile.mkdtemp()), np.ones(1)
    >>> rows = [{"id": "a", "prompt": "2+2"}]
    >>> batch = Rollout(0, rows, ["4"], [[7]], [None], one, one, np.ones((1, 2)), 1)
    >>> save_completions(folder, batch, place_of={"a": 5}, ends={7})
    >>> read_completions(folder)["position"].tolist()
    [5]
    """
    from pyarrow import parquet

    if not any((run / FOLDER).glob("*.parquet")):
        remedy = "give the folder of a training run with completions_every set"
        raise InputError("run", run.name, "holds no completions", remedy)
    if (run / MANIFEST).exists():
        RunRecord.load(run).check(within=FOLDER)
    try:
        table = parquet.read_table(run / FOLDER, schema=_schema()).to_pandas()
    except (OSError, ValueError) as error:  # pyarrow's own errors are of these
        reason = " ".join(str(error).split())[:160]
        remedy = "remove the file that it names, or train again"
        raise InputError("run", run.name, f"its {FOLDER} cannot be read ({reason})", remedy) from None
    return table.sort_values(["step", "process"], kind="stable", ignore_index=True)


def _schema() -> pyarrow.Schema:
    import pyarrow

    return pyarrow.schema([(name, getattr(pyarrow, f"{kind}_" if kind == "bool" else kind)())
                           for name, (kind, _) in COLUMNS.items()])  # fmt: skip


def _columns(
    rollout: Rollout, place_of: Mapping[str, int], ends: Collection[int], process: int
) -> dict[str, list]:
    n, judged = len(rollout.completions), rollout.verdicts
    raw, rewards = _or_none(rollout.raw), _or_none(rollout.rewards)
    return {
        "step": [rollout.step + 1] * n,
        "process": [process] * n,
        "id": [row["id"] for row in rollout.rows],
        "position": [place_of.get(row["id"], -1) for row in rollout.rows],
        "group": rollout.groups.tolist(),
        "trained": (rollout.groups != EXCLUDED).tolist(),
        "prompt": [_words(row["prompt"]) for row in rollout.rows],
        "completion": rollout.completions,
        "n_tokens": [len(ids) for ids in rollout.completion_ids],
        "truncated": [not ids or ids[-1] not in ends for ids in rollout.completion_ids],
        "correct": [one.correct if one else None for one in judged],
        "extracted": [one.extracted if one else None for one in judged],
        "reason": [one or None for one in rollout.reasons or [""] * n],
        "reward_raw": raw,
        "reward": rewards,
        "weight": [b / a if a and b is not None else None for a, b in zip(raw, rewards, strict=True)],
        "advantage": _advantages(rollout, n),
    }


def _or_none(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(one) else float(one) for one in values]


def _advantages(rollout: Rollout, n: int) -> list[float | None]:
    if rollout.advantages is None:
        return [None] * n
    values = rollout.advantages.detach().float().cpu().numpy()
    return _or_none(values if values.ndim == 1 else values.mean(axis=1))


def _words(prompt: str | list[dict[str, str]]) -> str:
    """A prompt's text; of a message list, its contents."""
    return prompt if isinstance(prompt, str) else "\n".join(str(one["content"]) for one in prompt)
