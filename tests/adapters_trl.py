"""TRL itself, without hammerlib's trainer: two epochs with a tail and a resume, DRA as the reward.

Run by `make test-adapters`, in the environment of the repository.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import datasets
import pandas as pd
import pytest
from trainer_cases import BATCH, Handed, finds_all
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

import hammerlib
from hammerlib.adapters.rewards import trl_dra
from hammerlib.adapters.trl import TRAINER
from hammerlib.evaluation.imports import import_completions

ROOT = Path(__file__).resolve().parents[1]
NANO = Path(hammerlib.__file__).parent / "models" / "nano" / "checkpoint"


def grpo(handed: Handed, out: Path, **changes: object) -> GRPOTrainer:
    """A trainer of TRL's with what was handed over."""
    tokenizer = AutoTokenizer.from_pretrained(NANO)
    config = GRPOConfig(
        **{"shuffle_dataset": False, "log_completions": True, "logging_steps": 1, **changes},
        output_dir=str(out), num_generations=4, per_device_train_batch_size=4 * BATCH,
        gradient_accumulation_steps=1, use_cpu=True, bf16=False, max_completion_length=8, num_train_epochs=2,
        save_steps=2, report_to=[], disable_tqdm=True,
        gradient_checkpointing=False,
    )  # fmt: skip
    rows = datasets.load_dataset(
        "parquet", data_files=str(handed.path), split="train", cache_dir=str(out / "cache")
    )
    return GRPOTrainer(
        AutoModelForCausalLM.from_pretrained(NANO), reward_funcs=trl_dra(4), args=config, train_dataset=rows,
        processing_class=tokenizer,
    )  # fmt: skip


def steps(out: Path) -> list[list[str]]:
    """Prompts of every step, as TRL's files of completions have them."""
    files = sorted((out / "completions").glob("*.parquet"))
    return [list(dict.fromkeys(pd.read_parquet(file)["prompt"])) for file in files]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Handed, Path]:
    handed = Handed("trl", tmp_path_factory.mktemp("trl"), 14)
    grpo(handed, handed.folder / "out").train()
    return handed, handed.folder / "out"


def test_the_script_of_the_page_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands there, but for the model and what a CPU needs."""
    handed = Handed("trl", tmp_path, 16)
    shutil.copy(handed.path, tmp_path / "ordered.parquet")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```py\n(.*?)```", (ROOT / "docs" / "adapters.md").read_text(), re.DOTALL)
    [script] = [block for block in blocks if "GRPOTrainer(" in block]
    assert len([line for line in script.splitlines() if line]) <= 20
    small = "use_cpu=True, bf16=False, gradient_checkpointing=False, max_completion_length=8, max_steps=2,"
    script = script.replace("Qwen/Qwen2.5-0.5B-Instruct", str(NANO)).replace('"out",', f'"out", {small}')
    exec(script, {})
    assert steps(tmp_path / "out") == [handed.prompts[:1], handed.prompts[1:2]]  # 8 completions a step


def test_this_is_the_version_that_the_adapter_names() -> None:
    assert importlib.metadata.version("trl") == TRAINER.version


def test_two_epochs_follow_the_order_and_lose_the_tail_that_was_told(trained: tuple[Handed, Path]) -> None:
    handed, out = trained
    assert steps(out) == [handed.prompts[k : k + 4] for k in (0, 4, 8)] * 2
    found = handed.audit(out / "completions", allow=["tail"])
    assert found.kept and found.kendall == [0.0, 0.0]


def test_dra_is_its_reward(trained: tuple[Handed, Path]) -> None:
    logged = json.loads((trained[1] / "checkpoint-6" / "trainer_state.json").read_text())["log_history"]
    assert all("rewards/dra/mean" in row for row in logged if "reward" in row)


def test_a_resume_goes_on_where_it_stopped(trained: tuple[Handed, Path], tmp_path: Path) -> None:
    handed, out = trained
    shutil.copytree(out / "checkpoint-2", tmp_path / "checkpoint-2")
    grpo(handed, tmp_path).train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert steps(tmp_path) == steps(out)[2:]


def test_by_default_it_draws_an_order_of_its_own(tmp_path: Path) -> None:
    handed = Handed("trl", tmp_path, 14)
    rows = grpo(handed, tmp_path / "out", shuffle_dataset=True).get_train_dataloader().sampler
    assert list(dict.fromkeys(rows)) != list(range(12))


def test_every_planted_fault_is_found_in_its_completions(tmp_path: Path) -> None:
    handed = Handed("trl", tmp_path, 24)
    grpo(handed, tmp_path / "out").train()
    files = sorted((tmp_path / "out" / "completions").glob("*.parquet"))
    batches = [[group for _, group in pd.read_parquet(file).groupby("prompt", sort=False)] for file in files]

    def write(damaged: list[list[pd.DataFrame]], folder: Path) -> Path:
        folder.mkdir()
        for step, groups in enumerate(damaged, start=1):
            pd.concat(groups).assign(step=step).to_parquet(folder / f"completions_{step:05d}.parquet")
        return folder

    finds_all(
        handed, batches, lambda group: handed.place_of[group["prompt"].iloc[0]],
        lambda group: group.assign(prompt=group["prompt"].str.replace("cows", "goats")), write,
    )  # fmt: skip


def test_its_completions_become_a_run_of_ours(trained: tuple[Handed, Path], tmp_path: Path) -> None:
    handed, out = trained
    file = min((out / "completions").glob("*.parquet"))
    run = import_completions(file, handed.problems, root=tmp_path)
    rows = [json.loads(line) for line in (run.folder / "samples.jsonl").open()]
    assert len(rows) == 16 and {row["id"] for row in rows} == set(
        handed.order.apply(handed.problems)["id"][:4]
    )


def test_the_asynchronous_worker_asks_for_prompts_in_the_order_of_the_file(tmp_path: Path) -> None:
    """The worker's own iterator; generation needs a vLLM server, training takes what is finished first."""
    from trl.experimental.async_grpo.async_rollout_worker import _AsyncRolloutLoop

    handed = Handed("trl", tmp_path, 14)
    rows = datasets.load_dataset(
        "parquet", data_files=str(handed.path), split="train", cache_dir=str(tmp_path / "cache")
    )
    worker = SimpleNamespace(dataset=rows, _dataset_iter=iter(rows), num_generations=2)
    asked = list(itertools.islice(_AsyncRolloutLoop._repeat_iterator(worker), 2 * 28))
    assert [row["prompt"] for _, row in asked] == [text for text in rows["prompt"][:] * 2 for _ in range(2)]
    assert [group for group, _ in asked] == [group for group in range(28) for _ in range(2)]
