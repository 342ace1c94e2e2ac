"""Names that must never change: of every committed study cell, and of runs by what they train."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hammerlib.runs.storage import content_hash
from hammerlib.study.plan import read_study, trials
from hammerlib.training import TrainConfig

ROOT = Path(__file__).resolve().parents[1]
STUDIES = sorted(path.name for path in (ROOT / "results" / "study").iterdir() if path.is_dir())
CHANGES = {
    "default": {},
    "random": {"order": "random"},
    "eta": {"order_options": {"eta": 0.1, "start": "random"}},
    "all problems": {"n_problems": None, "split": None},
    "whole rate": {"learning_rate": 1},
    "dra": {"adjustment": "dra"},
    "dra options": {"adjustment": "dra", "adjustment_options": {"smi": "log_det", "sign": "paper"}},
    "dra trainer": {"adjustment": "dra", "dra_route": "trainer", "embedder": "policy"},
    "unused dra": {"adjustment_options": {"clamp": True}, "dra_route": "trainer"},
    "dapo loss": {"loss_type": "dapo", "epsilon_high": 0.28, "dynamic_sampling": True},
    "refill": {"dynamic_sampling": True, "refill_rounds": 3},
    "overlong": {"rewards": ["accuracy", "overlong"], "overlong_buffer": 8},
    "weights": {"rewards": ["accuracy", "format"], "reward_weights": [1.0, 2]},
    "weights of one": {"rewards": ["accuracy", "format"], "reward_weights": [1.0, 1.0]},
    "floor": {"scheduler": "cosine_with_min_lr", "min_lr_rate": 0.1, "warmup_steps": 0.1},
    "warm": {"warmup_steps": 5, "scheduler": "constant_with_warmup"},
    "reorder": {"epochs": 2, "epoch_order": "reorder"},
    "kept": {"save_steps": 4, "completions_every": None},
    "lora": {"lora_rank": 16, "threads": 2, "seed": 7},
    "entropy": {"entropy_coef": 0.01, "weight_decay": 0.1, "mask_truncated_completions": True},
    "batches": {"gradient_accumulation": 4, "steps_per_generation": 4, "num_iterations": 2},
}
RUNS = {
    "default": "cc9064ed455a",
    "random": "b5e8ffbd2fbc",
    "eta": "39830f8df960",
    "all problems": "2e0820dda762",
    "whole rate": "ad3740e5aa9d",
    "dra": "c1c3565806b3",
    "dra options": "207740363b19",
    "dra trainer": "d71f46e299a7",
    "unused dra": "cc9064ed455a",
    "dapo loss": "16748d7949cf",
    "refill": "5fa0d54b7ad1",
    "overlong": "e45b3abf6cda",
    "weights": "df5a5217d113",
    "weights of one": "ff4796f7a112",
    "floor": "ecfa3cabb359",
    "warm": "a03eda40e97a",
    "reorder": "ab5cf45c26cb",
    "kept": "cc9064ed455a",
    "lora": "e057d45e1931",
    "entropy": "f583f77cda32",
    "batches": "5b0d4b153bb3",
    "dapo": "10f8f418975f",
    "dra-dr-grpo": "a7dbc619f5f5",
    "dra-grpo": "3189a8d4b107",
    "cure": "fccf06088863",
    "etmr": "b751b416b41d",
    "g2rpo-a": "ad84022a2687",
    "hammer": "de593a904460",
    "airl-s": "305443856cc0",
    "dars": "c7afc2fad760",
    "svs": "fcb847c6e147",
    "gsm8k-qwen": "130020aaeb3c",
    "gsm8k-qwen-full": "d374d4b15e16",
    "math-qwen-full": "0d4011f08fb5",
    "math-qwen": "efecdb16a6a1",
}


@pytest.mark.parametrize("study", STUDIES)
def test_every_committed_cell_keeps_its_identity(study: str) -> None:
    planned = {cell.name: cell.identity for cell in trials(read_study(ROOT / f"configs/study/{study}.yaml"))}
    records = {
        path.stem: json.loads(path.read_text())
        for path in (ROOT / "results/study" / study).glob("*__r*.json")
    }
    assert records and {name: record["identity"] for name, record in records.items()} == {
        name: planned[name] for name in records
    }


@pytest.mark.parametrize("name", CHANGES)
def test_a_run_keeps_its_identity(name: str) -> None:
    assert content_hash(TrainConfig.from_dict(CHANGES[name]).identity())[:12] == RUNS[name]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs/recipes").glob("*.yaml")), ids=lambda path: path.stem
)
def test_a_recipe_keeps_its_identity(path: Path) -> None:
    assert content_hash(TrainConfig.from_yaml(path).identity())[:12] == RUNS[path.stem]
