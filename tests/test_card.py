"""Cards say what the records say, are valid for the hub's own reader, and are sent as they were shown."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import DatasetCard, ModelCard

import hammerlib
from hammerlib.cli import main
from hammerlib.runs import RunRecord


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps and an evaluation of its model beside it."""
    root = tmp_path_factory.mktemp("runs")
    config = hammerlib.TrainConfig(
        n_problems=16, max_steps=2, order="random", max_completion_length=8, seed=3
    )
    run = hammerlib.train(config, root=root, progress=False)
    hammerlib.evaluate(run, "reasoning-gym:nano", n=4, k=2, root=root)
    return run.folder


@pytest.fixture
def hub() -> Iterator[tuple[str, dict[str, bytes]]]:
    """A server that answers as the hub does where something is committed, and what it was sent."""
    got: dict[str, bytes] = {}

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            place = self.path.partition("?")[0]
            got[place] = body
            address = f"http://{self.headers['Host']}/me/mine"
            answer = {
                "url": address,
                "id": "me/mine",
                "commitOid": "0" * 40,
                "commitUrl": f"{address}/commit/0",
            }
            if place.endswith("/preupload/main"):
                files = json.loads(body)["files"]
                answer["files"] = [
                    {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in files
                ]
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    server.server_close()


def card_at(endpoint: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run ``hammer card`` with the hub at an address."""
    environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_TOKEN": "hf_of_a_test", "HF_HUB_OFFLINE": "0"}
    command = [sys.executable, "-m", "hammerlib.cli", "card", *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_a_models_card_holds_what_the_records_hold(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card", str(trained)]) == 0
    card = ModelCard(capsys.readouterr().out)  # the hub's reader refuses metadata that is not valid
    run = RunRecord.load(trained)
    order = hammerlib.Order.load(trained / "order.json")
    table = run.table("metrics.csv")
    tokens = int(table[table["metric"] == "sampled_tokens"]["value"].sum())
    for fact in (
        order.hash,
        run.manifest["problems_fingerprint"],
        run.manifest["backbone_weights"],
        f"2 steps of 8 prompts x 8 completions, {tokens:,} sampled tokens, 1 processes on cpu",
        "seeds: 3\n",
        "16 of `reasoning-gym:nano`, split rl",
        "random, seed 3",
    ):
        assert fact in card.text, fact
    evaluation = RunRecord.load(next(trained.parent.glob("evaluate__*")))
    entry = evaluation.metrics["pass@1"]
    row = rf"\| pass@1 \| {entry['value']:.4f} \| \[{entry['low']:.4f}, {entry['high']:.4f}\] \| 4 \| 1 \|"
    assert re.search(row, card.text)
    shown = {result.metric_type: result for result in card.data.eval_results}
    assert shown["pass@1"].metric_value == entry["value"] and shown["pass@1"].metric_args["n"] == 4


def test_an_unevaluated_model_says_so_and_an_order_is_a_data_set(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = tmp_path / trained.name
    alone.symlink_to(trained)
    assert main(["card", str(alone)]) == 0
    assert "Not evaluated" in capsys.readouterr().out
    assert main(["card", str(trained / "order.json")]) == 0
    card = DatasetCard(capsys.readouterr().out)
    order = hammerlib.Order.load(trained / "order.json")
    assert card.data.size_categories == ["n<1K"] and order.hash in card.text
    assert re.search(r"data[^`]*`[0-9a-f]{16}` over id, prompt and answer", card.text)
    assert f"below {order.lower_bound:.4f}; gap {100 * order.gap:.3f} %" in card.text


def test_what_is_sent_is_the_card_and_the_files(
    trained: Path, hub: tuple[str, dict[str, bytes]], capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint, got = hub
    told = card_at(endpoint, trained, "--push", "me/mine", "--dry-run")
    assert told.returncode == 0 and "model.safetensors" in told.stdout and not got, told.stderr
    done = card_at(endpoint, trained, "--push", "me/mine")
    assert done.returncode == 0 and done.stdout.endswith("/commit/0\n"), done.stderr
    assert json.loads(got["/api/repos/create"])["visibility"] == "private"
    shown = json.loads(got["/api/validate-yaml"])["content"]
    assert ModelCard(shown).data.model_name == trained.name
    lines = [json.loads(line) for line in got["/api/models/me/mine/commit/main"].splitlines()]
    sent = {line["value"]["path"]: line["value"]["content"] for line in lines if line["key"] == "file"}
    assert base64.b64decode(sent["README.md"]).decode() == shown
    model = {path.name for path in (trained / "model").iterdir()}
    assert set(sent) == {"README.md", "order.json", *model}
    for name in model:
        assert base64.b64decode(sent[name]) == (trained / "model" / name).read_bytes()


def test_what_has_no_card_is_one_line(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluation = next(trained.parent.glob("evaluate__*"))
    for words, message in (
        ([str(evaluation)], "is a run of evaluate"),
        ([str(tmp_path)], "is neither a run nor an order"),
        ([str(trained), "--push", "a/b/c"], "is no name of a repository"),
    ):
        assert main(["card", *words]) == 2
        assert message in capsys.readouterr().err
    refused = card_at("http://127.0.0.1:9", trained, "--push", "me/mine")
    assert refused.returncode == 2 and len(refused.stderr.splitlines()) == 1
    assert "error: push = 'me/mine': was refused" in refused.stderr
