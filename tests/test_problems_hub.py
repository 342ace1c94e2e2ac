"""Hub data sets: through the layouts where the hub answers, one line within seconds where it does not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import pytest

from hammerlib.errors import InputError
from hammerlib.problems import load_problems

OFFLINE = "from hammerlib.problems import load_problems; load_problems('hub:nobody/nothing/main@v1')"


def test_the_hub_in_offline_mode_is_one_line(tmp_path):
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", OFFLINE], env=environment, capture_output=True, text=True)
    assert time.monotonic() - start < 60
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("hammerlib.errors.InputError: hub = 'nobody/nothing/main@v1'")
    assert "HF_HUB_OFFLINE" in last and "file:<path>" in last


def test_an_unreachable_hub_is_one_line_within_seconds(tmp_path):
    with socket.socket() as taken:  # bound but not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", OFFLINE], env=environment, capture_output=True, text=True
        )
    assert time.monotonic() - start < 60
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("hammerlib.errors.InputError: hub =")
    assert "out of reach" in last


def test_a_hub_name_without_owner_is_refused():
    with pytest.raises(InputError, match="cannot be read"):
        load_problems("hub:gsm8k")


def test_a_hub_set_is_read_through_the_layouts_with_commit_and_split(monkeypatch):
    import datasets
    import huggingface_hub

    asked = {}

    class Info:
        sha = "0123456789abcdef"

    def info(self, repo, *, revision, timeout):
        asked.update(repo=repo, revision=revision)
        return Info

    def read(repo, config, *, split, revision):
        asked.update(config=config, split=split, commit=revision)
        return datasets.Dataset.from_list([{"question": "1+1?", "answer": "Two. #### 2"}])

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", info)
    monkeypatch.setattr(datasets, "load_dataset", read)
    row = load_problems("hub:openai/gsm8k/main@v2", split="test")[0]
    assert asked == {
        "repo": "openai/gsm8k", "revision": "v2", "config": "main", "split": "test", "commit": Info.sha
    }  # fmt: skip
    assert row["source"] == "openai/gsm8k/main@0123456789ab/test"
    assert (row["id"], row["answer"]) == (f"{row['source']}-0", "2")
