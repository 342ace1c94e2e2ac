"""A run's completions and verdicts as a log of inspect (https://inspect.aisi.org.uk)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hammerlib.errors import InputError, need
from hammerlib.evaluation.imports import stored_run
from hammerlib.runs import RunRecord
from hammerlib.runs.storage import atomic_path

if TYPE_CHECKING:
    from inspect_ai.log import EvalSample

KINDS = {".eval": "eval", ".json": "json"}
SCORER = "hammerlib"


def export_inspect(run: RunRecord | str | Path, out: str | Path) -> Path:
    """Write a run of `evaluate`, `import_completions` or `regrade` as inspect's log, ``.eval`` or ``.json``.

    A completion is a sample, its number an epoch, our verdict inspect's letter; our metrics with their
    intervals stand in the log's metadata, and pass@1 with its standard error among inspect's results.
    """
    out = Path(out)
    if out.suffix not in KINDS:
        raise InputError("out", str(out), "is no log of inspect's", "name it .eval or .json")
    need("inspect_ai")
    from inspect_ai.log import (
        EvalConfig,
        EvalDataset,
        EvalLog,
        EvalMetric,
        EvalResults,
        EvalScore,
        EvalSpec,
        write_eval_log,
    )

    record, problems, rows = stored_run(run)
    table = {row["id"]: row for row in problems.to_list()}
    parameters = record.manifest["parameters"]
    model = str(record.manifest.get("backbone") or "unknown")
    label = str(parameters.get("benchmark") or "benchmark")
    samples = [_sample(row, table[row["id"]], model) for row in rows]
    epochs = max(sample.epoch for sample in samples)
    accuracy = record.metrics["pass@1"]
    shown = {"accuracy": EvalMetric(name="accuracy", value=accuracy["value"])}
    if accuracy.get("se") is not None:
        shown["stderr"] = EvalMetric(name="stderr", value=accuracy["se"])
    score = EvalScore(name=SCORER, scorer=SCORER, metrics=shown)
    log = EvalLog(
        status="success",
        eval=EvalSpec(
            created=record.manifest["created"],
            task=label,
            model=model,
            dataset=EvalDataset(name=label, samples=len(table), sample_ids=list(table)),
            config=EvalConfig(epochs=epochs),
            metadata={"run_id": record.run_id, "metrics": record.metrics, "parameters": parameters},
        ),
        results=EvalResults(total_samples=len(samples), completed_samples=len(samples), scores=[score]),
        samples=samples,
    )
    with atomic_path(out) as unfinished:
        write_eval_log(log, str(unfinished), format=KINDS[out.suffix])
    return out


def _sample(row: dict[str, Any], problem: dict[str, Any], model: str) -> EvalSample:
    from inspect_ai.log import EvalSample
    from inspect_ai.model import ChatMessageAssistant, ChatMessageUser, ModelOutput
    from inspect_ai.scorer import Score

    prompt, completion = problem["prompt"], row["completion"]
    stop = "max_tokens" if row.get("truncated") else "stop"
    return EvalSample(
        id=row["id"],
        epoch=row["sample"] + 1,
        input=prompt,
        target=problem["answer"],
        messages=[ChatMessageUser(content=prompt), ChatMessageAssistant(content=completion)],
        output=ModelOutput.from_content(model, completion, stop_reason=stop),
        scores={SCORER: Score(value="C" if row["correct"] else "I", answer=row["extracted"],
                              explanation=row["reason"], metadata={"grader": row["grader"]})},
        metadata={"source": problem["source"], "topic": problem["topic"]},
    )  # fmt: skip
