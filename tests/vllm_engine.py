"""The vLLM engine, on a real vLLM: `make test-vllm`. Short completions of SmolLM2-135M."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hammerlib import evaluate, load_backbone
from hammerlib.errors import InputError
from hammerlib.evaluation.engines import Engine, Sampling, open_engine
from hammerlib.evaluation.engines.vllm import VLLMEngine
from hammerlib.problems.table import make_table

ROOM = 12


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("smollm2-135m", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def loaded(backbone) -> VLLMEngine:
    return open_engine("vllm", backbone, Sampling(1.0, 1.0, ROOM, 0))


def with_sampling(loaded: VLLMEngine, **changes: object) -> VLLMEngine:
    """The engine with other sampling and the same loaded model, which takes most of a minute to load."""
    other = object.__new__(VLLMEngine)
    other.__dict__.update(loaded.__dict__)
    other.sampling = loaded.sampling._replace(**changes)
    return other


def prompts(engine: Engine, backbone) -> list[list[int]]:
    return engine.encode(["What is 2 + 3?", "Name a colour of the sky, in one word."], "chat")


def test_greedy_completions_are_those_of_the_transformers_engine(loaded, backbone):
    ids = prompts(loaded, backbone)
    names = [("a", 0), ("b", 0)]
    ours = open_engine("transformers", backbone, Sampling(0.0, 1.0, ROOM, 0))
    assert ours.encode(["What is 2 + 3?"], "chat")[0] == ids[0]
    assert with_sampling(loaded, temperature=0.0).generate(ids, names) == ours.generate(ids, names)


def test_a_sample_depends_on_seed_problem_and_number_alone(loaded, backbone):
    ids = [prompts(loaded, backbone)[0]] * 4
    names = [("a", sample) for sample in range(4)]
    first = loaded.generate(ids, names)
    assert len({one.text for one in first}) > 1
    alone = [loaded.generate(ids[:1], [name])[0] for name in names]
    assert sum(a == b for a, b in zip(alone, first, strict=True)) >= 3, "float rounding may change one"
    assert with_sampling(loaded, seed=1).generate(ids, names) != first


def test_length_limit_and_stop_texts(loaded, backbone):
    ids = prompts(loaded, backbone)[:1]
    (cut,) = with_sampling(loaded, temperature=0.0, max_new_tokens=2).generate(ids, [("a", 0)])
    assert cut.truncated and cut.n_tokens == 2
    (whole,) = with_sampling(loaded, temperature=0.0, max_new_tokens=40).generate(ids, [("a", 0)])
    stop = whole.text.split()[1]
    (stopped,) = with_sampling(loaded, temperature=0.0, stop=(stop,)).generate(ids, [("a", 0)])
    assert not stopped.truncated and stopped.text == whole.text[: whole.text.index(stop)]


def test_an_evaluation_leaves_the_same_kind_of_record(loaded, backbone, tmp_path, monkeypatch):
    monkeypatch.setattr("hammerlib.evaluation.evaluator.engines.open_engine", lambda *_: loaded)
    rows = [{"id": f"p{i}", "prompt": f"What is {i} + 1?", "answer": str(i + 1)} for i in range(2)]
    table = make_table({**row, "source": "sums", "topic": "sums"} for row in rows)
    run = evaluate(
        backbone, table, k=2, max_new_tokens=ROOM, template="chat", engine="vllm", root=Path(tmp_path)
    )
    assert run.status == "success" and run.manifest["parameters"]["versions"]["vllm"]
    lines = (run.folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    assert len({(one["id"], one["sample"]) for one in map(json.loads, lines)}) == 4


def test_a_backbone_without_a_folder_is_refused():
    with pytest.raises(InputError, match=r"^model = 'nano-untrained': has no folder"):
        open_engine("vllm", load_backbone("nano-untrained"), Sampling(1.0, 1.0, 4, 0))
