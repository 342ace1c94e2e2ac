"""What a run writes while it trains: index log, completions, and what the names in metrics.csv mean."""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hammerlib.errors import InputError
from hammerlib.runs import MANIFEST, RunRecord
from hammerlib.runs.reading import read_yaml
from hammerlib.runs.storage import appending, atomic_path
from hammerlib.training.hooks import EXCLUDED, Rollout
from hammerlib.training.rollout import ACCOUNT
from hammerlib.training.schedule import COLUMNS as SCHEDULED
from hammerlib.training.schedule import Plan

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow

SKIPPED = "skipped.csv"  # of dynamic sampling


def tokens_until(folder: Path, step: int) -> dict[str, int]:
    """Return the token account of a run's first `step` steps, as its ``metrics.csv`` holds it."""
    tokens = dict.fromkeys(ACCOUNT, 0)
    path = folder / "metrics.csv"
    if step == 0 or not path.exists():
        return tokens
    with open(path, newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if row["metric"] in tokens and int(row["step"]) <= step:
                tokens[row["metric"]] = int(float(row["value"]))
    return tokens


class OrderMismatchError(RuntimeError):
    """The trainer was handed other problems than the order says; training stops."""


class IndexLog:
    """Checks every micro-batch against the order and writes which problem was trained where.

    A rollout may train other problems than the order hands out; what it trained is what is written. A problem
    that is not in the order has position and index -1, one that was generated and never trained step -1.
    """

    HEAD = ("step", "epoch", "process", "position", "index", "id", "generated", "finished", "dropped")

    def __init__(self, folder: Path, plan: Plan, ids: list[str], index: list[int], process: int) -> None:
        self.path = folder / ("index_log.csv" if process == 0 else f"index_log-{process}.csv")
        self.plan = plan
        self.ids = ids
        self.index = index
        self.process = process
        self.offset = 0
        self._step = -1
        self._written = -1
        self._block = -1

    def follow(self, ids: list[str], index: list[int]) -> None:
        """Expect another order from the next epoch on: problem id and row at each of its places."""
        self.ids = ids
        self.index = index

    @property
    def place_of(self) -> dict[str, int]:
        """Place in the order of every problem id."""
        return {problem: position for position, problem in enumerate(self.ids)}

    def check(self, step: int, rows: list[dict[str, Any]]) -> None:
        """Take the rows handed over for the next micro-batch of optimizer step `step` (from 0)."""
        self.offset += 1
        if step != self._step:
            self._step = step
            self.offset = 0
            self._written = -1
        block = self.plan.block_of(step, self.offset)
        held = self.plan.rows * self.plan.per_generation
        first = self.process * held
        where = f"step {step + 1}, process {self.process}"
        if len(rows) != held:
            handed = f"the data loader handed over {len(rows)} rows of the {held} of a generation batch"
            raise OrderMismatchError(f"{where}: {handed}; nothing after step {step} counts")
        for k, row in enumerate(rows):
            # row k here is row first + k of the batch, in which each prompt stands G times in a row
            wanted = self.ids[block * self.plan.prompts + (first + k) // self.plan.group]
            if row["id"] != wanted:
                trained = f"trained {row['id']!r} where the order has {wanted!r}"
                raise OrderMismatchError(
                    f"{where}, row {k}: {trained}; the data loader does not follow the order, "
                    f"nothing after step {step} counts"
                )
        self._block = block

    def record(self, rows: list[dict[str, Any]], generated: int) -> None:
        """Write the problems that the micro-batch last checked trains on, once per generation and step.

        `generated` is the step, from 1, at which they were sampled. Rows with a column ``epoch`` (of a
        rollout that walks the order at its own pace) keep it.
        """
        if self._block == self._written:
            return
        self._written = self._block
        planned = self.plan.micro(self._step)[0]
        # once a problem, in the sequence of the rows
        problems = dict.fromkeys((row.get("epoch", planned), row["id"]) for row in rows)
        self._write([(self._step + 1, epoch, problem, generated, "") for epoch, problem in problems])

    def drop(self, left_out: Iterable[tuple[int | None, str, str]]) -> None:
        """Write what the step last checked generated and never trains: epoch (None: the step's), id, why."""
        planned = self.plan.micro(self._step)[0]
        rows = [
            (-1, planned if epoch is None else epoch, problem, self._step + 1, why)
            for epoch, problem, why in left_out
        ]
        if rows:
            self._write(rows)

    def _write(self, rows: list[tuple[int, int, str, int, str]]) -> None:
        head = self._head()
        rows = [row for row in rows if row[0] > 0 or "dropped" in head]
        place_of = self.place_of
        with appending(self.path) as stream:
            out = csv.DictWriter(stream, head, extrasaction="ignore", lineterminator="\n")
            if not stream.tell():
                out.writeheader()
            for step, epoch, problem, generated, dropped in rows:
                position = place_of.get(problem, -1)
                index = self.index[position] if position >= 0 else -1
                places = (step, epoch, self.process, position, index, problem)
                # a batch is sampled in one go: what it generates is finished in the same step
                values = (*places, generated, generated, dropped)
                out.writerow(dict(zip(self.HEAD, values, strict=True)))

    def _head(self) -> Sequence[str]:
        """Columns of the file: a run that an older version began goes on with those it had."""
        if not self.path.exists():
            return self.HEAD
        with open(self.path, newline="", encoding="utf-8") as stream:
            return next(csv.reader(stream), self.HEAD)


def index_log_table() -> str:
    """Return the columns of the index log as a Markdown table, as it stands in results/README.md."""
    meanings = {**SCHEDULED, "id": "the problem's id"}
    rows = [f"| `{name}` | {meanings[name]} |" for name in IndexLog.HEAD]
    return "\n".join(["| column | what it holds |", "|---|---|", *rows])


COMPLETIONS = "completions"
# Columns of the files, their types and what they hold. One schema for all files, so that they read as one.
COLUMNS: dict[str, tuple[str, str]] = {
    "step": ("int64", "optimizer step, from 1"),
    "process": ("int32", "rank of the process"),
    "id": ("string", "problem"),
    "position": ("int64", "place of the problem in the order, from 0; -1 for one that is not in it"),
    "group": ("int64", "its group in the batch, -1 where it is not trained"),
    "trained": ("bool", "false for what a rollout generated and left out"),
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
    "advantage": ("float64", "mean over tokens where an algorithm gives one per token"),
    "forced": ("int32", "tokens at its start that were forced, not sampled; empty in older runs"),
    "task": ("string", 'what was asked, where a rollout sets several tasks; "" is the problem itself'),
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
    """
    import pyarrow
    from pyarrow import parquet

    batches = [rollout] if rollout.excluded is None else [rollout, rollout.excluded]
    columns = [_columns(batch, place_of, ends, process) for batch in batches]
    table = pyarrow.concat_tables([pyarrow.table(each, schema=_schema()) for each in columns])
    name = f"{rollout.step + 1:06d}" + (f"-b{offset}" if offset else "") + (f"-p{process}" if process else "")
    with atomic_path(folder / COMPLETIONS / f"{name}.parquet") as unfinished:
        parquet.write_table(table, unfinished)


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
    >>> from hammerlib.training.logs import save_completions
    >>> folder, one = Path(tempfile.mkdtemp()), np.ones(1)
    >>> rows = [{"id": "a", "prompt": "2+2"}]
    >>> batch = Rollout(0, rows, ["4"], [[7]], [None], one, one, np.ones((1, 2)), 1)
    >>> save_completions(folder, batch, place_of={"a": 5}, ends={7})
    >>> read_completions(folder)["position"].tolist()
    [5]
    """
    from pyarrow import parquet

    if not any((run / COMPLETIONS).glob("*.parquet")):
        remedy = "give the folder of a training run with completions_every set"
        raise InputError("run", run.name, "holds no completions", remedy)
    if (run / MANIFEST).exists():
        RunRecord.load(run).check(within=COMPLETIONS)
    try:
        table = parquet.read_table(run / COMPLETIONS, schema=_schema()).to_pandas()
    except (OSError, ValueError) as error:  # pyarrow's own errors are of these
        reason = " ".join(str(error).split())[:160]
        remedy = "remove the file that it names, or train again"
        raise InputError("run", run.name, f"its {COMPLETIONS} cannot be read ({reason})", remedy) from None
    return table.sort_values(["step", "process"], kind="stable", ignore_index=True)


def _schema() -> pyarrow.Schema:
    import pyarrow

    return pyarrow.schema([(name, kind) for name, (kind, _) in COLUMNS.items()])


def _columns(
    rollout: Rollout, place_of: Mapping[str, int], ends: Collection[int], process: int
) -> dict[str, list]:
    n = len(rollout.completions)
    judged = rollout.verdicts
    raw = _or_none(rollout.raw)
    rewards = _or_none(rollout.rewards)
    advantages = [None] * n
    if rollout.advantages is not None:
        values = rollout.advantages.detach().float().cpu().numpy()
        advantages = _or_none(values if values.ndim == 1 else values.mean(axis=1))
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
        "correct": [verdict.correct if verdict else None for verdict in judged],
        "extracted": [verdict.extracted if verdict else None for verdict in judged],
        "reason": [verdict or None for verdict in rollout.reasons or [""] * n],
        "reward_raw": raw,
        "reward": rewards,
        "weight": [b / a if a and b is not None else None for a, b in zip(raw, rewards, strict=True)],
        "advantage": advantages,
        "forced": rollout.forced,
        "task": rollout.tasks,
    }


def _or_none(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]


def _words(prompt: str | list[dict[str, str]]) -> str:
    """A prompt's text; of a message list, its contents."""
    return prompt if isinstance(prompt, str) else "\n".join(str(message["content"]) for message in prompt)


@functools.cache
def metrics() -> dict[str, tuple[str, str]]:
    """Return meaning and unit of every metric by its name, as ``metrics.yaml`` holds them."""
    table = read_yaml(Path(__file__).with_name("metrics.yaml"), field="metrics")
    return {name: (meaning, unit) for name, (meaning, unit) in table.items()}


def explained(name: str) -> bool:
    """Return True if a name of ``metrics.csv`` is explained, also under a pattern (``raw/NAME``)."""
    patterns = (re.escape(pattern).replace("NAME", ".+") for pattern in metrics())
    return any(re.fullmatch(pattern, name) for pattern in patterns)


def glossary_table() -> str:
    """Return `metrics` as a Markdown table, as it stands in results/README.md."""
    rows = [f"| `{name}` | {meaning} | {unit} |" for name, (meaning, unit) in metrics().items()]
    return "\n".join(["| metric | meaning | unit or range |", "|---|---|---|", *rows])
