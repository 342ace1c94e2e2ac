"""inspect itself: an evaluation whose answers are given, and whose logs of both formats become a run of ours.

Run by `make test-adapters` in the environment of verifiers.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from datasets import Dataset
from inspect_ai import Task, eval
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import read_eval_log
from inspect_ai.model import ModelOutput
from inspect_ai.scorer import match
from inspect_ai.solver import Generate, Solver, TaskState, solver

from hammerlib.errors import InputError
from hammerlib.evaluation.exports import export_inspect
from hammerlib.evaluation.imports import import_completions
from hammerlib.problems import make_table

ROWS = [
    ("a", "What do Tom's 2 and Mia's 2 cows make?", "4"),
    ("b", "What do Tom's 3 and Mia's 3 cows make?", "6"),
]
SAID = {("a", 1): "so ANSWER: 4", ("a", 2): "so ANSWER: 5", ("b", 1): "so ANSWER: 6", ("b", 2): "it is 6"}


@solver
def given() -> Solver:
    """Answers as if a model had given them: a model would ask a server how many tokens they have."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        state.output = ModelOutput.from_content("given", SAID[str(state.sample_id), state.epoch])
        return state

    return solve


def benchmark() -> Dataset:
    """The two problems as a table of ours."""
    return make_table(
        {"id": name, "prompt": text, "answer": gold, "source": "s", "topic": "t"} for name, text, gold in ROWS
    )


@pytest.mark.parametrize("kind", ["eval", "json"])
def test_a_log_becomes_a_run(kind: str, tmp_path: Path) -> None:
    problems = benchmark()
    samples = MemoryDataset([Sample(input=text, target=gold, id=name) for name, text, gold in ROWS])
    task = Task(dataset=samples, solver=given(), scorer=match())
    [log] = eval(
        task, model="mockllm/model", epochs=2, log_dir=str(tmp_path / "logs"), log_format=kind, display="none"
    )
    assert log.status == "success", log.error
    file = next((tmp_path / "logs").glob(f"*.{kind}"))
    run = import_completions(file, problems, root=tmp_path)
    rows = [json.loads(line) for line in (run.folder / "samples.jsonl").open()]
    assert {(row["id"], row["completion"]) for row in rows} == {
        (name, text) for (name, _), text in SAID.items()
    }
    assert run.metrics["claimed_pass@1"]["n"] == 2
    assert [row["claimed"] for row in rows] == [float(row["correct"]) for row in rows]


@pytest.mark.parametrize("kind", ["eval", "json"])
def test_a_run_becomes_a_log_that_inspect_reads_and_that_is_the_run_again(kind: str, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.jsonl"
    rows = [{"id": name, "sample": n, "response": text} for (name, n), text in SAID.items()]
    theirs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = import_completions(theirs, benchmark(), root=tmp_path)
    file = export_inspect(run, tmp_path / f"log.{kind}")
    log = read_eval_log(str(file))
    assert log.status == "success" and log.eval.dataset.samples == 2 and log.eval.config.epochs == 2
    [score] = log.results.scores
    assert score.metrics["accuracy"].value == run.metrics["pass@1"]["value"]
    assert log.eval.metadata["metrics"]["pass@1"]["low"] == run.metrics["pass@1"]["low"]
    said = {(sample.id, sample.epoch): sample.output.completion for sample in log.samples}
    assert said == SAID
    again = import_completions(file, benchmark(), root=tmp_path)
    assert again.metrics["pass@1"] == run.metrics["pass@1"]
    assert again.metrics["claimed_pass@1"]["value"] == run.metrics["pass@1"]["value"]
    kept = [json.loads(line) for line in (again.folder / "samples.jsonl").open()]
    assert all(row["claimed"] == float(row["correct"]) for row in kept)
    with pytest.raises(InputError, match=r"name it .eval or .json"):
        export_inspect(run, tmp_path / "log.txt")
