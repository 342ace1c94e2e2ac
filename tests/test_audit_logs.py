"""Logs as trainers and scripts write them: of a kept order they pass, of any other they say what it is.

One table of small logs, and the faults of ``trainer_faults.py`` planted in every kind of log; those that the
trainers' own packages write are in ``adapters_*.py``.
"""

from __future__ import annotations

import functools
import itertools
import json
import random
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from trainer_cases import BATCH, Handed, finds_all

from hammerlib.adapters import audit, read_log
from hammerlib.adapters.asynchrony import simulate
from hammerlib.cli import main
from hammerlib.errors import InputError
from hammerlib.ordering import Order, order_by
from hammerlib.problems import load_problems
from hammerlib.training import TrainConfig, schedule_table

Rows = list[dict[str, Any]]
DOCS = Path(__file__).resolve().parents[1] / "docs"
N, STEP = 12, 2  # problems, and those of a step
MIXTURES = ((0, 2, 1, 3), (2, 0, 3, 1), (3, 0, 2, 1), (1, 3, 0, 2))  # of two steps of two problems
STORY = "On the farm, Kira has {} cows and buys {} more. How many cows are there?"
CHATML = (
    "<|im_start|>system\nYou are helpful.<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)
# Plain; with ids of their own; shorter than what is looked for inside texts; five texts twice.
SOURCES: dict[str, Rows] = {
    "stories": [{"question": STORY.format(k + 3, 2 * k), "answer": str(k)} for k in range(N)],
    "named": [{"id": 100 + k, "question": STORY.format(k + 3, k), "answer": str(k)} for k in range(N)],
    "short": [{"question": f"{k}+{k}=?", "answer": str(2 * k)} for k in range(N)],
    "twins": [{"question": STORY.format(k % 5 + 3, k % 5), "answer": "1"} for k in range(10)]
    + [{"question": STORY.format(k, k), "answer": "2"} for k in (50, 60)],
}


class Ordered:
    """Problems of `SOURCES` in an order, and where logs of them are written."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder, self.records = folder, SOURCES[name]
        file = self.write("p.jsonl", self.records)
        self.problems = load_problems(f"file:{file}")
        self.order = order_by("random", None, problems=self.problems, seed=1)
        self.rows = self.order.permutation.tolist()
        self.asked = [self.records[row]["question"] for row in self.rows]

    def write(self, name: str, rows: Rows | str) -> Path:
        """Rows as the name's ending says; text as it stands."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(rows, str):
            file.write_text(rows)
        elif file.suffix == ".csv":
            pd.DataFrame(rows).to_csv(file, index=False)
        elif file.suffix == ".parquet":
            pd.DataFrame(rows).to_parquet(file)
        else:
            file.write_text(lines(rows))
        return file

    def csv(self, rows: Rows | str) -> Path:
        return self.write("a.csv", rows)

    def jsonl(self, rows: Rows | str) -> Path:
        return self.write("a.jsonl", rows)

    def dumps(self, name: str, asked: list[str]) -> Path:
        """Prompts without steps; a step is a file whose name has it, or two where it has a rank."""
        for k in range(0, len(asked), STEP):
            for rank in range(2):
                held = asked[k : k + STEP][rank::2] if "{r}" in name else asked[k : k + STEP]
                self.write("dumps/" + name.format(s=1 + k // STEP, r=rank), [{"prompt": one} for one in held])
        return self.folder / "dumps"


def steps(asked: list[Any], column: str = "prompt", sizes: tuple[int, ...] = (1,), **more: Any) -> Rows:
    """One row a completion, groups of sizes that take turns."""
    return [
        {"step": 1 + k // STEP, column: one, **more}
        for k, one in enumerate(asked)
        for _ in range(sizes[k % len(sizes)])
    ]


def again(rows: Rows, times: int) -> Rows:
    """Every step written so many times, as where a batch trains several."""
    return [row | {"step": times * row["step"] - late} for late in reversed(range(times)) for row in rows]


def lines(rows: Rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def mixed(asked: list[Any]) -> list[Any]:
    return random.Random(3).sample(asked, len(asked))


def swapped(asked: list[Any]) -> list[Any]:
    return [*asked[:2], *asked[4:6], *asked[2:4], *asked[6:]]


def changed(rows: Rows, number: int, **cells: Any) -> Rows:
    """Rows of which one has other cells."""
    return [row | cells if k == number else row for k, row in enumerate(rows)]


def numbered(rows: Rows, name: str, number: Callable[[int], Any]) -> Rows:
    return [row | {name: number(k)} for k, row in enumerate(rows)]


def returned(asked: list[Any]) -> list[Any]:
    """The second step once more."""
    return [*asked[:4], *asked[2:]]


def beside(held: Ordered) -> Path:
    """A log among an empty table and one of metrics."""
    held.write("d/a.csv", "")
    held.write("d/b.csv", [{"step": 1, "loss": 1}])
    return held.write("d/c.jsonl", steps(held.asked)).parent


def planned(
    accumulation: int, generation: int, iterations: int, prompts: int, processes: int = 1, n: int = N
) -> Rows:
    """What the index log of such a run of ours says."""
    config = TrainConfig(
        n_problems=n, prompts_per_step=prompts, group_size=2, epochs=2, order="dataset",
        gradient_accumulation=accumulation, steps_per_generation=generation, num_iterations=iterations,
    )  # fmt: skip
    return schedule_table(config, n, processes=processes).drop(columns="index").to_dict("records")


def older(rows: Rows) -> Rows:
    """The same as versions before generations were logged had it."""
    new = ("generated", "finished", "dropped")
    return [{name: cell for name, cell in row.items() if name not in new} for row in rows]


def resumed_at(rows: Rows, step: int, killed: int) -> Rows:
    """A run that was killed after a step, and whose log has all until then when it goes on from `step`."""
    later = killed - step
    moved = ("step", "generated", "finished")
    return [row for row in rows if row["step"] <= killed] + [
        row | {name: row[name] + later for name in moved} for row in rows if row["generated"] > step
    ]


def dropped(rows: Rows, places: tuple[int, ...], why: str) -> Rows:
    return [row | ({"step": -1, "dropped": why} if row["position"] in places else {}) for row in rows]


def index_log(held: Ordered, rows: Rows) -> Path:
    """A file for every process."""
    for process in {row["process"] for row in rows}:
        name = f"run/index_log-{process}.csv" if process else "run/index_log.csv"
        held.write(name, [row for row in rows if row["process"] == process])
    return held.folder / "run"


def within(rows: list[Any], size: int) -> list[Any]:
    """Mixed inside every so many, so that no step of two is one of theirs."""
    drawn = random.Random(1)
    return [rows[k + j] for k in range(0, len(rows), size) for j in drawn.choice(MIXTURES)]


def chat(text: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": "Think."}, {"role": "user", "content": text}]


def shown(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]


def table(asked: list[str]) -> Rows:
    """ms-swift: a row a step, its columns lists, the last row written again."""
    rows = [{"step": [k] * 2 * STEP, "prompt": [one for one in asked[k : k + STEP] for _ in range(2)],
             "completion": ["4"] * 2 * STEP} for k in range(0, N, STEP)]  # fmt: skip
    return [*rows, rows[-1]]


KEPT = ""
# Name -> what must come (`KEPT`, a kind of finding, or the error), what writes the log, problems, options.
LOGS: dict[str, tuple[str, Callable[[Ordered], Path], str, dict[str, Any]]] = {}


def case(
    name: str, want: str, make: Callable[[Ordered], Path], problems: str = "stories", **options: Any
) -> None:
    """A row of the table."""
    LOGS[name] = want, make, problems, options


# Steps from names
case("step, rank", KEPT, lambda p: p.dumps("step_{s}_rank_0.jsonl", p.asked))
case("step, rank, mixed", "order", lambda p: p.dumps("step_{s}_rank_0.jsonl", mixed(p.asked)))
case("step as folder, mixed", "order", lambda p: p.dumps("step-{s}/part_0.jsonl", mixed(p.asked)))
case("ranks of a step", KEPT, lambda p: p.dumps("step_{s}_rank_{r}.jsonl", p.asked))
case("number, ranks", KEPT, lambda p: p.dumps("{s}-rank{r}.jsonl", p.asked))
case("number, ranks, mixed", "order", lambda p: p.dumps("{s}-rank{r}.jsonl", mixed(p.asked)))
case(
    "last number alike",
    r"log = .*dumps': 6 files fall into step 6 by their names \(part-1-of-6,.*; name them step_1",
    lambda p: p.dumps("part-{s}-of-6.jsonl", mixed(p.asked)),
)
case(
    "last number alike, counted",
    "order",
    lambda p: p.dumps("part-{s}-of-6.jsonl", mixed(p.asked)),
    per_step=STEP,
)
case(
    "all one step",
    r"log = 'a.jsonl': is all one step \(0\), which has no sequence; say how many .*--per-step N",
    lambda p: p.jsonl([{"step": 0, "prompt": one} for one in mixed(p.asked)]),
)
case(
    "all one step, counted",
    KEPT,
    lambda p: p.jsonl([{"step": 0, "prompt": one} for one in p.asked]),
    per_step=STEP,
)
case(
    "one file of a folder",
    r"log = 'd': is all one step",
    lambda p: p.write("d/rollouts_0.jsonl", [{"prompt": one} for one in p.asked]).parent,
)
# Batches that train several steps
case("for four steps", KEPT, lambda p: p.csv(again(steps(p.asked), 4)))
case("for four steps, swapped", "order", lambda p: p.csv(again(steps(swapped(p.asked)), 4)))
case("for four steps, one again", "repeated", lambda p: p.csv(again(steps(returned(p.asked)), 4)))
case("one step again", "repeated", lambda p: p.csv(steps(returned(p.asked))))
case("our run, four steps", KEPT, lambda p: p.write("index_log.csv", planned(2, 4, 2, 2)), "unasked")
case("our run, one and a half", KEPT, lambda p: p.write("index_log.csv", planned(2, 3, 1, 4)), "unasked")
case("our run, two thirds", KEPT, lambda p: index_log(p, planned(3, 2, 1, 6)), "unasked")
case("our run, four steps, older", KEPT, lambda p: index_log(p, older(planned(2, 4, 2, 2))), "unasked")
case("our run, two processes", KEPT, lambda p: index_log(p, planned(2, 3, 1, 4, 2)), "unasked")
case(
    "our run, two processes in one file",
    KEPT,
    lambda p: p.write("index_log.csv", planned(2, 3, 1, 4, 2)),
    "unasked",
)
case(
    "our run, too far back",
    "repeated",
    lambda p: index_log(p, resumed_at(planned(2, 4, 1, 2), 2, 4)),
    "unasked",
)
case(
    "our run, too far back, no whole steps",
    "repeated",
    lambda p: index_log(p, resumed_at(planned(2, 3, 1, 4), 3, 5)),
    "unasked",
)
case(
    "our run, killed inside a batch",
    "repeated",
    lambda p: index_log(p, resumed_at(planned(2, 4, 1, 2), 2, 3)),
    "unasked",
)
case(
    "our run, a step logged twice",
    "repeated",
    lambda p: index_log(p, (rows := planned(2, 4, 1, 2)) + [row for row in rows if row["step"] == 2]),
    "unasked",
)
case(
    "our run, a batch trained once more",
    "repeated",
    lambda p: index_log(p, [*(rows := planned(2, 4, 1, 2)), rows[0] | {"step": 5}]),
    "unasked",
)
case(
    "our run, one step",
    KEPT,
    lambda p: index_log(p, [row for row in planned(2, 2, 1, 2) if row["step"] == 1]),
    "unasked",
)
case(
    "our run, dropped",
    KEPT,
    lambda p: index_log(p, dropped(planned(2, 2, 1, 2), (3, 4, 11), "none correct")),
    "unasked",
)
case(
    "our run, all dropped",
    KEPT,
    lambda p: index_log(p, dropped(planned(2, 2, 1, 2), tuple(range(N)), "all correct")),
    "unasked",
)
case(
    "our run, dropped without a word",
    "filtered",
    lambda p: index_log(p, dropped(planned(2, 2, 1, 2), (3, 4), "")),
    "unasked",
)
case(
    "our run, dropped for their age",
    "filtered",
    lambda p: index_log(p, dropped(planned(2, 2, 1, 2), (3, 4), "stale")),
    "unasked",
)
case(
    "our run, dropped and others missing",
    "filtered",
    lambda p: index_log(
        p, [r for r in dropped(planned(2, 2, 1, 2), (3,), "none correct") if r["position"] != 6]
    ),
    "unasked",
)
case(
    "our run, of old weights",
    "stale",
    lambda p: index_log(p, [row | {"generated": max(1, row["step"] - 2)} for row in planned(2, 2, 1, 2)]),
    "unasked",
)
# Prompts of a generation batch that are mixed among its steps
case("mixed in batches", KEPT, lambda p: p.csv(steps(within(p.asked * 2, 4))))
case("mixed in batches, epochs", KEPT, lambda p: p.csv(
    numbered(steps(within(p.asked * 2, 4)), "epoch", lambda k: k // N)))  # fmt: skip
case("mixed in batches, groups", KEPT, lambda p: p.jsonl(steps(within(p.asked * 2, 4), sizes=(4,))))
case(
    "mixed in batches, two moved on",
    "order",
    lambda p: p.csv(steps(within([*p.asked[:3], p.asked[4], p.asked[3], *p.asked[5:], *p.asked], 4))),
)
case(
    "mixed in batches, one batch again",
    "repeated",
    lambda p: p.csv(steps([*within(p.asked, 4)[:8], *within(p.asked * 2, 4)[4:]])),
)
case("mixed once", "order", lambda p: p.csv(steps([*within(p.asked[:4], 4), *p.asked[4:], *p.asked])))
case(
    "mixed once, in a logged batch",
    KEPT,
    lambda p: p.csv(
        numbered(steps([*within(p.asked[:4], 4), *p.asked[4:]]), "generation_batch", lambda k: k // 4)
    ),
)
case(
    "mixed beyond a logged batch",
    "order",
    lambda p: p.csv(
        numbered(steps([*within(p.asked[2:6], 4), *p.asked[:2], *p.asked[6:]]), "b", lambda k: k // 4)
    ),
    columns={"batch": "b"},
)
case(
    "one batch for all",
    "order",
    lambda p: p.csv(numbered(steps(swapped(p.asked)), "generation_batch", lambda k: 1)),
)
case("whole steps of batches swapped", "order", lambda p: p.csv(
    steps([one for k in range(0, N, 4) for one in (*p.asked[k + 2:k + 4], *p.asked[k:k + 2])])))  # fmt: skip
case("whole steps swapped, told", KEPT, lambda p: p.csv(
    steps([one for k in range(0, N, 4) for one in (*p.asked[k + 2:k + 4], *p.asked[k:k + 2])])),
    steps_per_batch=2)  # fmt: skip
case("mixed beyond what is told", "order", lambda p: p.csv(steps(mixed(p.asked))), steps_per_batch=2)
# Chats and tables
case(
    "chat, equal completions",
    KEPT,
    lambda p: p.jsonl(steps([chat(one) for one in p.asked], sizes=(8,), completion="4")),
)
case(
    "chat in parquet",
    KEPT,
    lambda p: p.write("a.parquet", steps([chat(one) for one in p.asked], sizes=(4,))),
)
case("chat with images", KEPT, lambda p: p.jsonl(steps([shown(one) for one in p.asked])))
case("tables, the last twice", KEPT, lambda p: p.jsonl(table(p.asked)))
# Epochs
case(
    "epochs of a clock",
    KEPT,
    lambda p: p.csv(numbered(steps(p.asked * 2), "epoch", lambda k: (k // 2 + 1) / 6)),
)
case("epochs counted", KEPT, lambda p: p.csv(numbered(steps(p.asked * 2), "epoch", lambda k: k // N)))
# Groups
case("some groups larger", KEPT, lambda p: p.csv(steps(p.asked, sizes=(32, 8, 8))))
LARGE = (8, 8, 20, *[8] * 9)
case(
    "one group of three times the size",  # or three groups: only a column tells
    "repeated",
    lambda p: p.csv(steps(p.asked, sizes=(8, 8, 24, *[8] * 9))),
)
case("one group larger", KEPT, lambda p: p.csv(steps(p.asked, sizes=LARGE)))
case("one group larger, mixed", "order", lambda p: p.csv(steps(mixed(p.asked), sizes=LARGE)))
case(
    "one group larger, counted",
    KEPT,
    lambda p: p.csv([{"prompt": row["prompt"]} for row in steps(p.asked, sizes=LARGE)]),
    per_step=6,
)
case(
    "one group larger across steps, counted",
    "repeated",
    lambda p: p.csv([{"prompt": row["prompt"]} for row in steps([*p.asked[:6], *p.asked[5:]], sizes=(8,))]),
    per_step=6,
)
case(
    "one group larger, apart",
    "repeated",
    lambda p: p.csv([*steps(p.asked, sizes=(8,)), *steps(p.asked[:1], sizes=(16,))]),
)
case(
    "one group larger, of ids",
    "repeated",
    lambda p: p.csv(numbered(steps(p.asked, sizes=(8, 8, 24, *[8] * 9)), "group_id", lambda k: k // 8)),
)
STRADDLING = [row | {"process": k % 12 // 6, "group": k % 6 // 4} for k, row in enumerate(
    {"step": 1 + k // 12, "prompt": None} for k in range(4 * N)
)]  # fmt: skip
case(
    "our completions, groups over two processes",
    KEPT,
    lambda p: p.csv([row | {"prompt": p.asked[k // 4]} for k, row in enumerate(STRADDLING)]),
)
case(
    "our completions, one group in both processes",
    "repeated",
    lambda p: p.csv(
        [
            *(
                {"step": 1 + k // 12, "process": 0, "group": k // 4, "prompt": p.asked[k // 4]}
                for k in range(4 * N)
            ),
            *({"step": 1, "process": 1, "group": 0, "prompt": p.asked[0]} for _ in range(4)),
        ]
    ),
)
case("one row twice in a row", "repeated", lambda p: p.csv(steps(p.asked, sizes=(1, 1, 2, *[1] * 9))))
case("groups of all sizes", KEPT, lambda p: p.csv(steps(p.asked, sizes=(8, 3, 8, 2, 4))))
case(
    "all sizes with ids, one twice",
    "repeated",
    lambda p: p.csv([*steps(p.asked, sizes=(8, 3, 2), group=1), *steps(p.asked[:1], group=2)]),
)
case(
    "one size, one twice",
    "repeated",
    lambda p: p.csv([*steps(p.asked, sizes=(4,)), *steps(p.asked[:1], sizes=(4,))]),
)
case("texts twice", KEPT, lambda p: p.csv(steps(p.asked, sizes=(4,))), "twins")
case(
    "texts twice in a step",
    KEPT,
    lambda p: p.csv(numbered(steps(p.asked, sizes=(4,)), "step", lambda k: k // 24)),
    "twins",
)
# Cells
case(
    "step in words",
    r"step = 'step 2': is no whole number, in row 3 of a\.jsonl; .*--columns step=",
    lambda p: p.jsonl(changed(steps(p.asked), 2, step="step 2")),
)
case("step as text", KEPT, lambda p: p.jsonl(numbered(steps(p.asked), "step", lambda k: str(k // STEP))))
case(
    "one step missing",
    r"step = None: is missing in 1 of the 12 rows of a\.jsonl; fill it in",
    lambda p: p.jsonl(changed(steps(p.asked), 2, step=None)),
)
case(
    "position in words",
    r"position = 'x': is no whole number, in row 3 of a\.csv; ",
    lambda p: p.csv(changed(steps(list(range(N)), "position"), 2, position="x")),
)
case(
    "position missing",
    r"position = None: is missing in row 3 of a\.csv; ",
    lambda p: p.csv(changed(steps(list(range(N)), "position"), 2, position=None)),
)
case(
    "no prompt in the first row",
    r"prompt = None: is missing in row 1 of a\.jsonl; ",
    lambda p: p.jsonl([{"step": 1}, *steps(p.asked)[1:]]),
)
case(
    "prompts of tokens",
    r"text = \[1, 2\]: is no text, in row 1 of a\.jsonl; .*--columns text=",
    lambda p: p.jsonl(steps([[1, 2]] * N)),
)
case("empty file", r"log = 'a\.csv': holds no rows; ", lambda p: p.csv(""))
case("broken file", r"a\.csv': cannot be read \(", lambda p: p.csv("step,id\n1,2\n1,2,3,4\n"))
case("cut off", KEPT, lambda p: p.jsonl(lines(steps(p.asked)) + '{"step": 9, "pr'))
case(
    "cut off inside",
    r"log = 'a\.jsonl': line 1 .*; mend these lines",
    lambda p: p.jsonl('{"step": 9, "pr\n' + lines(steps(p.asked))),
)
case("other tables beside", KEPT, lambda p: beside(p))
# Ages
case("as old as allowed", KEPT, lambda p: p.csv(steps(p.asked, policy_step=1)), late=5)
case("older", "stale", lambda p: p.csv(steps(p.asked, policy_step=1)), late=4)
case("of later weights", "stale", lambda p: p.csv(steps(p.asked, policy_step=7)), late=9)
# Names of problems
case("own ids", KEPT, lambda p: p.jsonl(steps([100 + row for row in p.rows], "id")), "named")
case("own ids, mixed", "order", lambda p: p.csv(steps([100 + row for row in mixed(p.rows)], "id")), "named")
case("own ids with a point", KEPT, lambda p: p.csv(steps([100.0 + row for row in p.rows], "id")), "named")
case("a rollout's id", KEPT, lambda p: p.csv(numbered(steps(p.asked), "id", lambda k: 100 + k)), "named")
case("index", KEPT, lambda p: p.csv(steps(p.rows, "index")))
case("index, mixed", "order", lambda p: p.csv(steps(mixed(p.rows), "index")))
case("index by name", KEPT, lambda p: p.csv(steps(p.rows, "row")), columns={"index": "row"})
case("index beside text", KEPT, lambda p: p.csv(steps(p.asked, index=0)))
case("template", KEPT, lambda p: p.jsonl(steps([CHATML.format(one) for one in p.asked])), "short")
case("role", KEPT, lambda p: p.jsonl(steps([f"<s>user {one}</s>" for one in p.asked])), "short")
case("role, mixed", "order", lambda p: p.jsonl(steps([f"User: {one}" for one in mixed(p.asked)])), "short")
case("strangers", "unknown", lambda p: p.jsonl(steps([CHATML.format(f"{k} - 1?") for k in range(N)])))


def found_in(name: str, folder: Path) -> Any:
    """The audit of a log of the table."""
    _, make, problems, options = LOGS[name]
    held = Ordered("stories" if problems == "unasked" else problems, folder)
    table = None if problems == "unasked" else held.problems  # positions are those of any order
    compared = {name: value for name, value in options.items() if name in ("late", "steps_per_batch")}
    given = {name: value for name, value in options.items() if name not in compared}
    log = read_log(make(held), held.order, table, records=held.records, **given)
    return audit(log, held.order, **compared)


@pytest.mark.parametrize("name", LOGS)
def test_a_log_is_what_it_is(name: str, tmp_path: Path) -> None:
    want = LOGS[name][0]
    if " = " in want or "': " in want:
        with pytest.raises(InputError, match=want):
            found_in(name, tmp_path)
        return
    found = found_in(name, tmp_path)
    assert {one.kind for one in found.findings} >= ({want} - {KEPT}) and found.kept == (want == KEPT), str(
        found
    )


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    assert found_in("cut off", tmp_path / "a").notes == [
        "a.jsonl: line 13, the last one, is cut off and was left out"
    ]
    notes = found_in("other tables beside", tmp_path / "b").notes
    assert [note.split(":")[0] for note in notes] == ["a.csv is left out", "b.csv is left out"]


@pytest.mark.parametrize(
    ("name", "told"),
    {
        "one group larger": "groups of more completions than the usual 8: 20 of 'On the farm, ",
        "mixed in batches": "prompts are mixed among the 2 steps of a generation batch: ",
        "mixed once, in a logged batch": "prompts are mixed among the 2 steps of a generation batch: 2",
        "our run, dropped": "6 problems were generated and not trained: none correct 6",
        "our run, all dropped": "24 problems were generated and not trained: all correct 24",
        "our run, dropped for their age": "4 rows were not trained (a step below 0; stale 4)",
        "our run, two thirds": "completions are 0.25 steps old on average, 1 at most, where up to 2",
        "our run, four steps": "completions are 1.50 steps old on average, 3 at most, where up to 4",
    }.items(),
)  # fmt: skip
def test_what_is_no_fault_is_told(name: str, told: str, tmp_path: Path) -> None:
    assert f"note: {told}" in str(found_in(name, tmp_path))


def test_a_run_of_any_shape_is_kept_and_its_damage_is_found(tmp_path: Path) -> None:
    n, tried = 24, 0
    shapes = itertools.product((1, 2, 3), (1, 2, 3, 4), (1, 2), (3, 6), (1, 2))
    for number, shape in enumerate(shapes):
        try:
            rows = planned(*shape, n=n)
        except InputError:  # what the trainer refuses
            continue
        tried += 1
        order = Order(np.arange(n), "dataset")

        def found(damaged: Rows, held: Path = tmp_path / str(number), order: Order = order) -> set[str]:
            folder = held / str(len(list(held.glob("*"))))
            one = SimpleNamespace(
                folder=folder, write=functools.partial(Ordered.write, SimpleNamespace(folder=folder))
            )
            return {finding.kind for finding in audit(index_log(one, damaged), order).findings}

        assert found(rows) == set(), shape
        # Steps after which no batch goes on, and a whole batch of the first epoch after one of them.
        first = [row for row in rows if row["epoch"] == 0]
        begun = sorted({row["generated"] for row in first})
        ends = [s for s in range(1, max(row["step"] for row in first))
                if not any(row["generated"] <= s < row["step"] for row in rows)]  # fmt: skip
        if len(begun) < 2:
            continue
        if ends:
            last = max(row["step"] for row in rows if row["generated"] == begun[-1])
            assert "repeated" in found(resumed_at(rows, ends[0], last)), shape
        gone = {row["position"] for row in first if row["generated"] == begun[-1]}
        kinds = found([row for row in rows if row["epoch"] or row["position"] not in gone])
        assert kinds & {"skipped", "tail"}, shape
        held = [
            {row["position"] for row in first if row["generated"] == step} for step in (begun[0], begun[-1])
        ]
        swap = dict(zip(sorted(held[0]), sorted(held[1]), strict=False))
        swap |= {there: here for here, there in swap.items()}
        turned = [row | {"position": swap.get(row["position"], row["position"])} for row in rows]
        assert "order" in found(turned), shape
        age = [row | ({"generated": row["generated"] - 1} if row["generated"] > 1 else {}) for row in rows]
        assert "stale" in found(age), shape
    assert tried > 60


def test_strangers_are_told_by_their_end(tmp_path: Path) -> None:
    assert "'0 - 1?', '1 - 1?'" in str(found_in("strangers", tmp_path))


def test_what_is_allowed_is_the_verdict(tmp_path: Path) -> None:
    held = Ordered("stories", tmp_path)
    log = held.write("a.csv", steps(mixed(held.asked)))
    found = audit(log, held.order, held.problems, allow=["order"])
    assert found.kept and str(found).endswith("\nnothing was found but what is allowed: order")


def test_ids_of_the_file_are_found_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    held = Ordered("named", tmp_path)
    held.order.save(tmp_path / "o.json")
    log = held.write("a.csv", steps([100 + row for row in held.rows], "id"))
    command = [
        "audit",
        str(log),
        "--order",
        str(tmp_path / "o.json"),
        "--problems",
        f"file:{tmp_path / 'p.jsonl'}",
    ]
    assert main(command) == 0
    columns = {"prompt": "question", "answer": "answer", "id": "id"}
    problems = load_problems(f"file:{tmp_path / 'p.jsonl'}", columns=columns)
    order_by("random", None, problems=problems, seed=1).save(tmp_path / "o.json")
    mapped = [f"{name}={column}" for name, column in columns.items()]
    assert main([*command, "--problem-columns", *mapped]) == 0, capsys.readouterr()


# Every planted fault in every kind


Batches = list[list[Any]]
Writer = Callable[[Handed, Batches, Path], Path]


def kind_of_log(
    name: str, cells: Callable[[Handed, Any], dict[str, Any]], group: int = 1, generated: bool = False
) -> Writer:
    """Rows of a step and what names a problem, in a file of that name."""

    def write(handed: Handed, damaged: Batches, folder: Path) -> Path:
        rows = [
            {"step": step} | cells(handed, row) | ({"generated": step, "dropped": ""} if generated else {})
            for step, batch in enumerate(damaged, start=1)
            for row in batch
            for _ in range(group)
        ]
        return Ordered.write(handed, f"{folder.name}/{name}", rows)

    return write


def of_index_log(handed: Handed, row: tuple[int, str]) -> dict[str, Any]:
    position = handed.place_of.get(row[1], -1)
    index = int(handed.order.permutation[position]) if position >= 0 else -1
    return {"epoch": row[0], "process": 0, "position": position, "index": index,
            "id": handed.problems["id"][index] if index >= 0 else "other"}  # fmt: skip


def place(handed: Handed, row: tuple[int, str]) -> int:
    return handed.place_of.get(row[1], 999)


def verl(handed: Handed, damaged: Batches, folder: Path) -> Path:
    """``rollout_data_dir``: a file a step, without steps here."""
    for step, batch in enumerate(damaged, start=1):
        rows = [{"input": f"user\n{text}\nassistant\n", "output": "4"} for _, text in batch for _ in range(3)]
        Ordered.write(handed, f"{folder.name}/{step}.jsonl", rows)
    return folder


def bare(handed: Handed, damaged: Batches, folder: Path) -> Path:
    """The log of our reward function in OpenRLHF, which knows no steps."""
    rows = [{"prompt": text, "completion": "4"} for batch in damaged for _, text in batch for _ in range(2)]
    return Ordered.write(handed, f"{folder.name}/a.jsonl", rows)


def redumped(handed: Handed, damaged: Batches, folder: Path) -> Path:
    """TRL's completions where a batch trains two steps."""
    for step, batch in enumerate(damaged):
        for late in (1, 2):
            rows = [{"step": 2 * step + late, "prompt": chat(text)} for _, text in batch for _ in range(4)]
            Ordered.write(handed, f"{folder.name}/completions_{2 * step + late:05d}.parquet", rows)
    return folder


def swift(handed: Handed, damaged: Batches, folder: Path) -> Path:
    rows = [
        {"gen_step": [step] * len(batch), "prompt": [t for _, t in batch], "completion": ["4"] * len(batch)}
        for step, batch in enumerate(damaged)
    ]
    return Ordered.write(handed, f"{folder.name}/completions.jsonl", [*rows, rows[-1]])


KINDS_OF_LOGS: dict[str, tuple[Writer, dict[str, Any]]] = {
    "our index log": (kind_of_log("index_log.csv", of_index_log), {}),
    "our index log of generations": (
        kind_of_log("index_log.csv", of_index_log, generated=True), {},
    ),
    "our index log without positions": (
        kind_of_log("index_log.csv", lambda h, row: {"index": of_index_log(h, row)["index"]}), {},
    ),
    "a table of positions": (kind_of_log("a.csv", lambda h, row: {"position": place(h, row)}), {}),
    "a table of indices": (
        kind_of_log("a.csv", lambda h, row: {"row": of_index_log(h, row)["index"]}),
        {"columns": {"index": "row"}},
    ),
    "a table of ids": (kind_of_log("a.csv", lambda h, row: {"id": of_index_log(h, row)["id"]}, 2), {}),
    "rows of text": (kind_of_log("a.jsonl", lambda h, row: {"prompt": CHATML.format(row[1])}, 4), {}),
    "text in parquet": (kind_of_log("a.parquet", lambda h, row: {"question": row[1]}, 2), {}),
    "an asynchronous life": (
        kind_of_log("life.csv", lambda h, row: {"place": place(h, row), "generated": 1}),
        {"columns": {"position": "place", "generated": "generated"}, "late": 0, "allow": ["stale"]},
    ),
    "files of steps": (verl, {}),
    "rows without steps": (bare, {"per_step": BATCH}),
    "batches dumped twice": (redumped, {}),
    "tables of a step": (swift, {"columns": {"step": "gen_step"}}),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS_OF_LOGS)
def test_every_planted_fault_is_found_in_every_kind_of_log(kind: str, tmp_path: Path) -> None:
    handed = Handed("slime", tmp_path, 24)
    write, options = KINDS_OF_LOGS[kind]
    rows = [(epoch, prompt) for epoch in (0, 1) for prompt in handed.prompts]
    finds_all(
        handed,
        [rows[k : k + BATCH] for k in range(0, len(rows), BATCH)],
        lambda row: handed.place_of[row[1]],
        lambda row: (row[0], row[1].replace("cows", "goats")),
        lambda damaged, folder: write(handed, damaged, folder),
        **options,
    )


# Asynchrony


def test_in_lockstep_nothing_is_stale(tmp_path: Path) -> None:
    life = simulate(np.random.default_rng(0).lognormal(3, 0.8, (24, 4)).tolist(), batch=4, staleness=0)
    life.to_csv(tmp_path / "life.csv", index=False)
    columns = {"position": "place", "step": "trained", "generated": "generated"}
    found = audit(tmp_path / "life.csv", Order(np.arange(24), "dataset"), columns=columns)
    assert found.kept and "completions are 0.00 steps old" in found.notes[0]


def test_the_page_on_asynchrony_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "asynchrony.md").read_text(encoding="utf-8")
    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], {})
    command = re.search(r"^hammer (audit .*)$", page, re.MULTILINE)[1]
    assert main(shlex.split(command)) == 0, capsys.readouterr()
