"""Whole evaluations of the nano model: complete, repeatable, resumable, and closed to bad input."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from hammerlib.errors import InputError
from hammerlib.evaluation import evaluate, evaluator, load_benchmark, outcomes, pass_at_k
from hammerlib.evaluation.engines import Sampling, TransformersEngine
from hammerlib.models import load_backbone
from hammerlib.problems import fingerprint, load_problems
from hammerlib.runs import RunRecord
from hammerlib.runs.workers import DIED, Failure

MODEL, SOURCE = "nano", "reasoning-gym:nano"
SMALL = {"n": 16, "k": 4, "max_new_tokens": 40, "tokens_per_batch": 700}


@pytest.fixture(scope="module")
def backbone():
    from hammerlib.models import load_backbone

    return load_backbone(MODEL, device="cpu")


@pytest.fixture(scope="module")
def record(backbone, tmp_path_factory):
    return evaluate(backbone, SOURCE, **SMALL, root=tmp_path_factory.mktemp("first"))


@pytest.fixture
def no_sampling(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("sampled again")

    monkeypatch.setattr(TransformersEngine, "generate", refuse)


def rows_of(record) -> list[dict]:
    text = (record.folder / "samples.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n")[:-1]]


def test_a_record_holds_every_sample_and_every_metric(record):
    rows, counts = rows_of(record), outcomes(record)
    assert record.status == "success"
    assert len({(row["id"], row["sample"]) for row in rows}) == len(rows) == 64
    assert counts["correct"].sum() == sum(row["correct"] for row in rows)
    assert [f"pass@{k}" in record.metrics for k in (1, 2, 3, 4, 5)] == [True] * 4 + [False]
    for k in (1, 4):
        metric = record.metrics[f"pass@{k}"]
        assert metric["value"] == pytest.approx(pass_at_k(4, counts["correct"].to_numpy(), k).mean())
        assert metric["low"] <= metric["value"] <= metric["high"]
        assert (metric["n"], metric["k"], metric["unit"]) == (16, k, "share")
    assert record.metrics["mean_tokens"]["value"] == pytest.approx(sum(row["n_tokens"] for row in rows) / 64)
    assert {row["grader"].split()[0] for row in rows} <= {"math-verify", "reasoning-gym"}


def test_the_manifest_says_what_was_measured_and_no_place_of_this_machine(record, backbone):
    manifest = record.manifest
    assert manifest["weights_hash"] == backbone.weights_hash
    assert manifest["problems_fingerprint"] == fingerprint(load_problems(SOURCE, split="heldout", n=16))
    assert manifest["problems_fingerprint"] != fingerprint(load_benchmark(SOURCE))
    assert manifest["threads"] >= 1 and manifest["device"] == "cpu"
    assert manifest["throughput"]["samples"] == 64 and manifest["throughput"]["samples_per_second"] > 0
    assert str(record.folder.parent) not in json.dumps(manifest)


def test_the_start_model_solves_some_problems_and_not_others(record):
    assert 0 < record.metrics["pass@1"]["value"] < 1


def test_a_run_that_has_succeeded_is_returned_and_not_repeated(record, backbone, no_sampling):
    again = evaluate(backbone, SOURCE, **SMALL, root=record.folder.parent)
    assert again.manifest == record.manifest


def test_one_seed_gives_one_samples_file_and_another_seed_another(record, backbone, tmp_path):
    samples = (record.folder / "samples.jsonl").read_bytes()
    same = evaluate(backbone, SOURCE, **SMALL, root=tmp_path)
    assert (same.folder / "samples.jsonl").read_bytes() == samples
    assert same.metrics == record.metrics
    problems = load_problems(SOURCE, split="heldout", n=16)
    other = evaluate(backbone, problems, **(SMALL | {"n": None}), seed=1, root=tmp_path)
    assert other.run_id != record.run_id
    assert (other.folder / "samples.jsonl").read_bytes() != samples


@pytest.mark.long
def test_a_killed_run_resumes_with_the_samples_it_would_have_had(record, backbone, tmp_path):
    asked = f"{MODEL!r}, {SOURCE!r}, **{SMALL!r}, root=__import__('pathlib').Path({str(tmp_path)!r})"
    script = f"from hammerlib.evaluation import evaluate; evaluate({asked})"
    place = {"cwd": Path(__file__).parents[1], "env": os.environ | {"CUDA_VISIBLE_DEVICES": ""}}
    victim = subprocess.Popen([sys.executable, "-c", script], **place)
    path = tmp_path / record.run_id / "samples.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (path.exists() and path.read_bytes().count(b"\n") >= 10):
        assert victim.poll() is None or path.exists(), "it ended before it wrote anything"
        time.sleep(0.002)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    with open(path, "ab") as stream:  # and a torn line on top, as a kill inside a write leaves
        stream.write(b'{"id": "torn')
    with pytest.warns(UserWarning, match="is cut off; sampled again"):
        resumed = evaluate(backbone, SOURCE, **SMALL, root=tmp_path)
    assert path.read_bytes() == (record.folder / "samples.jsonl").read_bytes()
    assert resumed.metrics == record.metrics
    assert 10 <= resumed.manifest["throughput"]["reused"] < 64, "killed on the way"


def test_a_damaged_line_is_told_and_only_its_batch_is_sampled_again(record, backbone, tmp_path, monkeypatch):
    path = tmp_path / record.run_id / "samples.jsonl"
    path.parent.mkdir()
    whole = (record.folder / "samples.jsonl").read_bytes()
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:20], b'{"id": \xff\n', *lines[21:]]))
    drawn, generate = [], TransformersEngine.generate

    def counted(engine, prompts, names):
        drawn.extend(names)
        return generate(engine, prompts, names)

    monkeypatch.setattr(TransformersEngine, "generate", counted)
    with pytest.warns(
        UserWarning, match=r"samples.jsonl: line 21 is no JSON \(UnicodeDecodeError\); sampled"
    ):
        repaired = evaluate(backbone, SOURCE, **SMALL, root=tmp_path)
    lost = json.loads(lines[20])
    assert (lost["id"], lost["sample"]) in drawn and len(drawn) < 20
    assert path.read_bytes() == whole and repaired.metrics == record.metrics
    assert repaired.manifest["damaged_lines"] == [{"line": 21, "problem": "is no JSON (UnicodeDecodeError)"}]
    assert repaired.manifest["throughput"]["reused"] == 64 - len(drawn)


@pytest.mark.long
def test_sharded_over_processes_the_record_is_the_same_though_a_worker_is_killed(record, tmp_path):
    killed: list[int] = []

    def strike() -> None:
        deadline = time.monotonic() + 120
        while not (children := multiprocessing.active_children()) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(children[0].pid, signal.SIGKILL)
        killed.append(children[0].pid)

    striker = threading.Thread(target=strike)
    striker.start()
    sharded = evaluate(MODEL, SOURCE, **SMALL, workers=2, root=tmp_path)
    striker.join()
    assert killed and sharded.run_id == record.run_id
    assert (sharded.folder / "samples.jsonl").read_bytes() == (record.folder / "samples.jsonl").read_bytes()
    assert sharded.metrics == record.metrics


def test_a_worker_refuses_a_model_that_was_changed_in_memory(backbone):
    weight = backbone.model.get_output_embeddings().weight
    kept = weight.detach().clone()
    with torch.no_grad():
        weight[0, 0] += 1
    try:
        source = evaluator.source_of(backbone, "transformers", Sampling(1.0, 1.0, 4, 0))
    finally:
        with torch.no_grad():
            weight.copy_(kept)
    with pytest.raises(InputError, match=r"^model = 'nano': holds other weights in a worker"):
        evaluator._opened(source)


def test_a_batch_that_no_worker_could_draw_is_named_and_the_others_are_kept(
    record, backbone, tmp_path, monkeypatch
):
    def lossy(task, items, **_):
        for place, (_, draft) in enumerate(items):
            if place == 1:
                yield place, Failure(DIED)
            else:
                yield place, evaluator._draw(TransformersEngine(backbone, source.sampling), draft)

    source = evaluator.source_of(backbone, "transformers", Sampling(1.0, 1.0, SMALL["max_new_tokens"], 0))
    monkeypatch.setattr(evaluator, "map_tasks", lossy)
    with pytest.raises(InputError, match=r"^workers = 2: 1 batches failed \(its process was killed"):
        evaluate(backbone, SOURCE, **SMALL, workers=2, root=tmp_path)
    assert RunRecord.load(tmp_path / record.run_id).status == "error"
    again = evaluate(backbone, SOURCE, **SMALL, root=tmp_path)
    assert 0 < again.manifest["throughput"]["samples"] < 20, "one batch"
    assert (again.folder / "samples.jsonl").read_bytes() == (record.folder / "samples.jsonl").read_bytes()


def test_an_interrupted_run_is_a_partial_record_that_can_be_completed(
    record, backbone, tmp_path, monkeypatch
):
    generate, calls = TransformersEngine.generate, []

    def interrupted(engine, prompts, names):
        calls.append(names)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return generate(engine, prompts, names)

    monkeypatch.setattr(TransformersEngine, "generate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate(backbone, SOURCE, **SMALL, root=tmp_path)
    left = RunRecord.load(tmp_path / record.run_id)
    made = sum(map(len, calls[:3]))
    assert left.status == "partial" and left.manifest["partial"]["samples"] == made
    ready = left.manifest["partial"]["problems"]
    assert 0 < ready < 16 and left.metrics["pass@1"]["n"] == len(outcomes(left)) == ready
    counts = outcomes(record).set_index("id")["correct"]
    assert outcomes(left).set_index("id")["correct"].eq(counts[outcomes(left)["id"]]).all()
    monkeypatch.setattr(TransformersEngine, "generate", generate)
    asked = {**SMALL, "root": tmp_path}
    assert evaluate(backbone, SOURCE, **asked, seconds=0).manifest["partial"] == left.manifest["partial"]
    done = evaluate(backbone, SOURCE, **asked)
    assert done.status == "success" and "partial" not in done.manifest
    assert done.manifest["throughput"]["reused"] == made
    assert (done.folder / "samples.jsonl").read_bytes() == (record.folder / "samples.jsonl").read_bytes()
    assert done.metrics == record.metrics


def test_nothing_drawn_is_a_partial_record_without_numbers(backbone, tmp_path):
    run = evaluate(backbone, SOURCE, **SMALL, seconds=0, root=tmp_path)
    assert run.status == "partial" and not run.metrics
    assert run.manifest["partial"] == {"problems": 0, "of_problems": 16, "samples": 0, "of_samples": 64}


def test_other_batches_draw_the_same_samples_but_for_rounding(record, backbone, tmp_path):
    other = evaluate(backbone, SOURCE, **SMALL | {"tokens_per_batch": 20_000}, root=tmp_path)
    assert other.run_id != record.run_id
    ours, theirs = ({(row["id"], row["sample"]): row for row in rows_of(run)} for run in (record, other))
    same = sum(ours[name]["completion"] == theirs[name]["completion"] for name in ours)
    assert ours.keys() == theirs.keys() and same >= 62


def test_two_callers_of_one_run_sample_once(backbone, tmp_path, monkeypatch):
    calls, generate = [], TransformersEngine.generate

    def counted(*args, **options):
        calls.append(1)
        return generate(*args, **options)

    monkeypatch.setattr(TransformersEngine, "generate", counted)
    asked = {**SMALL, "k": 1, "temperature": 0.0, "tokens_per_batch": 20_000, "root": tmp_path}
    found: list = []

    def call() -> None:
        found.append(evaluate(backbone, SOURCE, **asked))

    callers = [threading.Thread(target=call) for _ in range(2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(calls) == 1
    assert found[0].manifest == found[1].manifest


def test_greedy_answers_do_not_depend_on_the_seed(backbone, tmp_path):
    problems = load_problems(SOURCE, split="heldout", n=8)
    asked = {"k": 1, "temperature": 0, "root": tmp_path}
    first, second = (evaluate(backbone, problems, **asked, seed=seed) for seed in (0, 1))
    assert [row["completion"] for row in rows_of(first)] == [row["completion"] for row in rows_of(second)]
    assert list(first.metrics)[:2] == ["pass@1", "majority@1"]


def test_a_training_run_is_evaluated_by_its_record_or_folder(backbone, tmp_path):
    from hammerlib.runs import start_run

    with start_run("train", parameters={"order": "random"}, root=tmp_path) as trained:
        backbone.model.save_pretrained(trained.folder / "model")
        backbone.tokenizer.save_pretrained(trained.folder / "model")
    asked = {"n": 4, "k": 1, "temperature": 0.0, "root": tmp_path}
    by_record = evaluate(trained, SOURCE, **asked)
    assert by_record.run_id == evaluate(str(trained.folder), SOURCE, **asked).run_id
    loaded = load_backbone(str(trained.folder / "model"))
    assert by_record.run_id == evaluate(loaded, SOURCE, **asked).run_id, "same weights and parts, same run"
    assert by_record.manifest["backbone"] == f"{trained.run_id}/model"


def test_one_problem_has_a_value_and_no_interval(backbone, tmp_path):
    metric = evaluate(backbone, SOURCE, n=1, k=2, root=tmp_path).metrics["pass@1"]
    assert metric["value"] in (0, 0.5, 1) and metric["low"] is metric["high"] is None


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"k": 0}, "k"),
        ({"k": 4, "temperature": 0.0}, "k"),
        ({"temperature": -1.0}, "temperature"),
        ({"engine": "abacus"}, "engine"),
        ({"template": "chat"}, "template"),
        ({"n": 0}, "n"),
        ({"benchmark": "gsm9k", "n": None}, "benchmark"),
        ({"max_new_tokens": 10**6}, "max_new_tokens"),
        ({"tokens_per_batch": 0}, "tokens_per_batch"),
        ({"stop": [""]}, "stop"),
        ({"workers": 0}, "workers"),
        ({"backend": "cloud"}, "backend"),
        ({"seconds": -1.0}, "seconds"),
    ],
)
def test_bad_input_is_one_clear_error_and_leaves_nothing(backbone, tmp_path, no_sampling, asked, field):
    with pytest.raises(InputError, match=f"^{field} = "):
        evaluate(backbone, **({"benchmark": SOURCE, "n": 8, "root": tmp_path / "none"} | asked))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (lambda table: table.select([]), "problems"),
        (lambda table: table.select([0, 0]), "id"),
        (lambda table: table.remove_columns("answer"), "columns"),
    ],
)
def test_a_faulty_problem_table_is_refused(backbone, tmp_path, spoil, field):
    with pytest.raises(InputError, match=f"^{field} = "):
        evaluate(backbone, spoil(load_problems(SOURCE, split="heldout", n=8)), root=tmp_path / "none")


def test_whatever_changes_the_samples_changes_the_run_name(backbone, tmp_path):
    asked = {"n": 2, "k": 2, "max_new_tokens": 4, "root": tmp_path}
    changes = [
        {},
        {"k": 3},
        {"n": 3},
        {"temperature": 0.5},
        {"top_p": 0.9},
        {"max_new_tokens": 5},
        {"seed": 1},
        {"tokens_per_batch": 99},
        {"stop": ["="]},
    ]
    names = {evaluate(backbone, SOURCE, **(asked | change)).run_id for change in changes}
    assert len(names) == len(changes)
    assert all(name.startswith("evaluate__reasoning-gym-nano__") for name in names)


def test_a_model_trained_in_memory_is_another_run(tmp_path):
    model, asked = load_backbone("nano"), {"n": 1, "k": 1, "max_new_tokens": 2, "root": tmp_path}
    first = evaluate(model, SOURCE, **asked)
    with torch.no_grad():
        next(model.model.parameters()).zero_()
    assert evaluate(model, SOURCE, **asked).run_id != first.run_id
