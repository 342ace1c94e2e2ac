"""ms-swift itself: `swift rlhf --rlhf_type grpo` trains two epochs on a CPU, with a tail and a resume.

Run by `make test-adapters` in an environment that holds the package. A few minutes.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from trainer_cases import BATCH, Handed, finds_all

import hammerlib
from hammerlib.adapters.ms_swift import TRAINER
from hammerlib.dra import adjust_rewards

ROOT = Path(hammerlib.__file__).parents[1]
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
PLUGIN = """
from swift.rewards import ORM, orms
from hammerlib.adapters.rewards import trl_dra

class Diverse(ORM):
    def __call__(self, completions, answer=None, id=None, **columns):
        return trl_dra(4)(id, completions, answer=answer)

orms["hammer_dra"] = Diverse
"""


def swift(handed: Handed, *more: str) -> Path:
    """Train with swift's own command and the lines that were handed over; the folder it writes."""
    model, plugin, out = handed.folder / "model", handed.folder / "plugin.py", handed.folder / "out"
    if not model.exists():
        shutil.copytree(ROOT / "hammerlib" / "models" / "nano" / "checkpoint", model)
        settings = json.loads((model / "tokenizer_config.json").read_text())
        (model / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": TEMPLATE}))
        plugin.write_text(PLUGIN)
    stated = shlex.split(" ".join(handed.handed.settings[1:]), comments=True)
    words = [str(Path(sys.executable).with_name("swift")), "rlhf", "--rlhf_type", "grpo", *stated]
    fixed = f"""--model {model} --model_type llama --template dummy --tuner_type full --torch_dtype float32
        --bf16 false --num_generations 4 --per_device_train_batch_size {4 * BATCH}
        --gradient_accumulation_steps 1
        --max_completion_length 8 --num_train_epochs 2 --save_steps 2 --output_dir {out} --add_version false
        --external_plugins {plugin} --reward_funcs hammer_dra --use_vllm false --report_to none
        --gradient_checkpointing false --dataset_num_proc 1 --dataloader_num_workers 0"""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*words, *fixed.split(), *more], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def tables(file: Path) -> list[dict]:
    """The table of every step; the one that swift writes again when training ends is left out."""
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return [row for k, row in enumerate(rows) if k == 0 or row != rows[k - 1]]


def prompts(table: dict) -> list[str]:
    return list(dict.fromkeys(table["prompt"]))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Handed, Path]:
    handed = Handed("ms-swift", tmp_path_factory.mktemp("swift"), 14)
    return handed, swift(handed)


def test_this_is_the_version_that_the_adapter_names() -> None:
    assert importlib.metadata.version("ms-swift") == TRAINER.version


def test_two_epochs_follow_the_order_and_lose_the_tail_that_was_told(trained: tuple[Handed, Path]) -> None:
    handed, out = trained
    made = [prompts(table) for table in tables(out / "completions.jsonl")]
    assert made == [handed.prompts[k : k + 4] for k in (0, 4, 8)] * 2
    found = handed.audit(out / "completions.jsonl", allow=["tail"])
    assert found.kept and found.kendall == [0.0, 0.0]
    assert not handed.audit(out / "completions.jsonl").kept


def test_dra_is_one_of_its_rewards(trained: tuple[Handed, Path]) -> None:
    from hammerlib.adapters.rewards import word_counts

    handed, out = trained
    table = tables(out / "completions.jsonl")[0]
    golds = dict(zip(handed.problems["prompt"], handed.problems["answer"], strict=True))
    from hammerlib.adapters.rewards import score

    raw = [
        score(said, golds[asked]) for said, asked in zip(table["completion"], table["prompt"], strict=True)
    ]
    expected = [
        value
        for start in range(0, 16, 4)
        for value in adjust_rewards(
            raw[start : start + 4], word_counts(table["completion"][start : start + 4])
        )
    ]
    assert table["Diverse"] == pytest.approx(expected)


def test_a_resume_goes_on_where_it_stopped(trained: tuple[Handed, Path]) -> None:
    handed, out = trained
    whole = tables(out / "completions.jsonl")
    shutil.copytree(out / "checkpoint-2", handed.folder / "checkpoint-2")
    shutil.move(out, handed.folder / "whole")
    out = swift(handed, "--resume_from_checkpoint", str(handed.folder / "checkpoint-2"))
    assert [prompts(table) for table in tables(out / "completions.jsonl")] == [
        prompts(table) for table in whole[2:]
    ]


def test_every_planted_fault_is_found_in_its_completions(tmp_path: Path) -> None:
    handed = Handed("ms-swift", tmp_path, 24)
    made = tables(swift(handed) / "completions.jsonl")
    # a group of a step: its rows of every column
    batches = [
        [{name: column[4 * k : 4 * k + 4] for name, column in table.items()} for k in range(BATCH)]
        for table in made
    ]

    def write(damaged: list[list[dict]], folder: Path) -> Path:
        lines = []
        for step, groups in enumerate(damaged, start=1):
            joined = {name: [value for group in groups for value in group[name]] for name in groups[0]}
            lines.append(json.dumps(joined | {"step": [str(step)] * len(joined["step"])}))
        folder.with_suffix(".jsonl").write_text("\n".join(lines))
        return folder.with_suffix(".jsonl")

    def stranger(group: dict) -> dict:
        return group | {"prompt": [text.replace("cows", "goats") for text in group["prompt"]]}

    finds_all(handed, batches, lambda group: handed.place_of[group["prompt"][0]], stranger, write)
