"""The schedule against real runs of the trainer, and the trainer against stock TRL."""

from __future__ import annotations

import dataclasses
import gc
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from trainer_cases import audited
from trl import GRPOConfig, GRPOTrainer

from hammerlib.errors import InputError
from hammerlib.models import load_backbone
from hammerlib.ordering import Order
from hammerlib.problems import load_problems
from hammerlib.rewards import accuracy_reward
from hammerlib.runs import RunRecord
from hammerlib.training import Hooks, TrainConfig, schedule_table, train
from hammerlib.training.build import grpo_arguments, quiet
from hammerlib.training.logs import OrderMismatchError
from hammerlib.training.run import prepare
from hammerlib.training.trainer import PolicyTrainer

TINY = TrainConfig(order="random", group_size=2, prompts_per_step=2, max_completion_length=1, tail="report")
# (prompts, accumulation, steps per generation, iterations, epochs, problems, max_steps)
GRID = [
    (2, 1, None, 3, 1, 4, None),
    (2, 2, None, 1, 3, 5, None),
    (2, 1, 2, 2, 2, 8, None),
    (4, 4, 1, 1, 2, 6, None),
    (4, 4, 2, 1, 2, 6, None),
    (3, 3, 2, 2, 1, 9, None),
    (6, 3, 2, 1, 2, 8, None),
    (4, 2, 3, 1, 2, 12, None),
    (2, 2, None, 2, 2, 6, 5),
    (4, 2, 1, 3, 2, 7, 9),
]


@pytest.fixture(scope="module", autouse=True)
def quick_collections() -> Iterator[None]:
    """Keep what is imported out of the full garbage collection that begins every run."""
    gc.freeze()
    yield
    gc.unfreeze()


def shaped(prompts: int, accumulation: int, per_generation: int | None, iterations: int, epochs: int, n: int,
           max_steps: int | None) -> TrainConfig:  # fmt: skip
    return dataclasses.replace(
        TINY,
        prompts_per_step=prompts,
        gradient_accumulation=accumulation,
        steps_per_generation=per_generation,
        num_iterations=iterations,
        epochs=epochs,
        n_problems=n,
        max_steps=max_steps,
    )


def trained_on(config: TrainConfig, root: Path) -> tuple[RunRecord, dict[int, set[str]], list[tuple]]:
    """Run it and read from the loss, independently of the log, which prompts each step trains on."""
    by_step, micro = defaultdict(set), []

    def loss(trainer: Any, model: object, inputs: dict, default: Any) -> torch.Tensor:
        rows = zip(inputs["prompt_ids"], inputs["prompt_mask"], strict=True)
        said = trainer.processing_class.batch_decode([row[mask.bool()] for row, mask in rows])
        by_step[trainer.state.global_step + 1] |= set(said)
        micro.append((trainer.state.global_step + 1, frozenset(said)))
        return default()

    record = train(config, root=root, algorithms=[Hooks(loss=loss)], progress=False)
    return record, by_step, micro


@pytest.mark.parametrize("shape", GRID, ids=str)
def test_log_schedule_and_what_the_loss_sees_agree(shape: tuple, tmp_path: Path) -> None:
    config = shaped(*shape)
    record, by_step, micro = trained_on(config, tmp_path)
    problems = load_problems(config.problems, split="rl", n=config.n_problems)
    permutation = Order.load(record.folder / "order.json").permutation.tolist()
    planned = schedule_table(config, config.n_problems, permutation=permutation)
    found = pd.read_csv(record.folder / "index_log.csv")
    pd.testing.assert_frame_equal(found[list(planned.columns)], planned)
    assert audited(record.folder, allow=["tail"]).kept
    tokenizer = load_backbone(config.backbone).tokenizer
    texts = tokenizer.batch_decode(tokenizer(problems["prompt"][:])["input_ids"])
    scheduled = planned.groupby("step")["index"].apply(lambda rows: {texts[row] for row in rows})
    accumulation = config.gradient_accumulation
    length = (config.steps_per_generation or accumulation) * config.num_iterations
    for step, said in scheduled.items():
        if accumulation % length == 0:  # whole generations in every step
            assert by_step[step] == said
        else:
            assert by_step[step] <= said
    # Every generation is trained whole, `num_iterations` times over.
    blocks = [micro[start : start + length] for start in range(0, len(micro), length)]
    prompts = config.prompts_per_step * length // config.num_iterations // accumulation
    for block in blocks if config.max_steps is None else blocks[:-1]:
        said = frozenset().union(*(one for _, one in block))
        assert len(said) == prompts
        assert said <= set().union(*(scheduled[step] for step, _ in block))
    assert max(by_step) == planned.step.max() == len(by_step)


# TRL's own config and trainer


def theirs(**values: object) -> GRPOConfig:
    told = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "report_to": "none",
            "save_strategy": "no", "disable_tqdm": True, "logging_steps": 1, "max_completion_length": 1,
            "per_device_train_batch_size": 4, "num_generations": 2, "output_dir": "unused"}  # fmt: skip
    return GRPOConfig(**(told | values))


def stock(args: GRPOConfig, problems: Any, reward: Any) -> GRPOTrainer:
    backbone = load_backbone("nano", dtype="float32", device="cpu")
    model = backbone.model.requires_grad_(True).train()
    with quiet():
        trainer = GRPOTrainer(
            model=model,
            reward_funcs=reward,
            args=args,
            train_dataset=problems,
            processing_class=backbone.tokenizer,
        )
        trainer.train()
    return trainer


@pytest.mark.parametrize(
    "values",
    [
        {"num_train_epochs": 2, "shuffle_dataset": True, "seed": 3},
        {"num_train_epochs": 1.5, "shuffle_dataset": False, "gradient_accumulation_steps": 2},
        {"max_steps": 7, "generation_batch_size": 8, "num_iterations": 2},
        {"max_steps": 5, "steps_per_generation": 1, "gradient_accumulation_steps": 3, "num_iterations": 2},
    ],
    ids=str,
)
def test_the_table_of_trls_own_config_is_what_stock_trl_generates_for(values: dict) -> None:
    problems, seen = load_problems("reasoning-gym:nano", split="rl", n=9), []

    def reward(completions: list, id: list[str], trainer_state: Any, **kwargs: object) -> list[float]:
        seen.append((trainer_state.global_step + 1, list(dict.fromkeys(id))))
        return [0.0] * len(completions)

    args = theirs(**values)
    stock(args, problems, reward)
    table = schedule_table(args, 9)
    ids = problems["id"][:]
    # A generation happens in the first step that lists its places.
    fresh, known = [], set()
    for (epoch, step), rows in table.groupby(["epoch", "step"], sort=True):
        size = args.generation_batch_size // args.num_generations
        for start in range(0, len(rows), size):
            block = rows.iloc[start : start + size]
            key = (epoch, int(block.position.min()))
            if key not in known:
                known.add(key)
                fresh.append((step, [ids[row] for row in block["index"]]))
    assert seen == fresh
    assert table.step.max() == (args.max_steps if args.max_steps > 0 else table.step.max())


def test_what_is_no_config_or_no_permutation_is_refused() -> None:
    with pytest.raises(InputError, match="config = 'dict'"):
        schedule_table({}, 8)
    with pytest.raises(InputError, match="fewer than one generation batch of 2"):
        schedule_table(theirs(), 1)
    with pytest.raises(InputError, match="permutation"):
        schedule_table(theirs(), 8, permutation=[0, 1])
    with pytest.raises(InputError, match="split_batches"):
        schedule_table(theirs(accelerator_config={"split_batches": True}), 8)


@pytest.mark.parametrize(
    "values", [{}, {"gradient_accumulation": 2, "beta": 0.04, "num_iterations": 2}], ids=str
)
def test_without_dra_and_in_dataset_order_it_is_stock_trl_bit_for_bit(values: dict, tmp_path: Path) -> None:
    config = TrainConfig(n_problems=8, order="dataset", prompts_per_step=2, group_size=4, learning_rate=2e-4,
                         max_completion_length=24, **values)  # fmt: skip
    ours = train(config, root=tmp_path, progress=False)
    job = prepare(config)
    args = grpo_arguments(job, tmp_path / "theirs")
    if config.beta:
        job.backbone.model.save_pretrained(tmp_path / "reference")
    with pytest.MonkeyPatch.context() as patch:
        if config.beta:  # TRL reads its reference from the path in the model's config
            loaded = load_backbone

            def named(*given: Any, **options: Any) -> Any:
                backbone = loaded(*given, **options)
                backbone.model.config._name_or_path = str(tmp_path / "reference")
                return backbone

            patch.setitem(globals(), "load_backbone", named)
        trainer = stock(args, job.problems, accuracy_reward)
    trained = load_file(ours.folder / "model" / "model.safetensors")
    state = trainer.model.state_dict()
    assert all(torch.equal(trained[name], state[name]) for name in trained)
    start = load_backbone("nano").model.state_dict()
    assert any(not torch.equal(trained[name], start[name]) for name in trained)
    found = pd.read_csv(ours.folder / "metrics.csv").set_index(["metric", "step"])["value"]
    logged = [row for row in trainer.state.log_history if "loss" in row]
    assert len(logged) == 4 * config.num_iterations
    for step, row in enumerate(logged, start=1):
        for name in {"loss", "reward", "entropy", "grad_norm", "learning_rate"} & row.keys():
            assert found[name, step] == row[name]


# Faults


def without_the_last(rows: list[dict]) -> list[dict]:
    return rows[:-1]


def swapped(rows: list[dict]) -> list[dict]:
    return rows[2:] + rows[:2]


def with_a_foreign_row(rows: list[dict]) -> list[dict]:
    return [*rows[:-1], rows[-1] | {"id": "another"}]


@pytest.mark.parametrize("fault", [without_the_last, swapped, with_a_foreign_row])
def test_a_batch_that_is_not_the_orders_stops_the_run_before_it_is_generated(
    fault: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generated, handed = [], []
    inner, score = PolicyTrainer._prepare_inputs, PolicyTrainer._generate_and_score_completions

    def broken(self: PolicyTrainer, rows: list[dict]) -> dict:
        handed.append(1)
        return inner(self, fault(rows) if len(handed) == 3 else rows)

    def counted(self: PolicyTrainer, rows: list[dict]) -> dict:
        generated.append(1)
        return score(self, rows)

    monkeypatch.setattr(PolicyTrainer, "_prepare_inputs", broken)
    monkeypatch.setattr(PolicyTrainer, "_generate_and_score_completions", counted)
    with pytest.raises(OrderMismatchError, match="step 3, process 0"):
        train(dataclasses.replace(TINY, n_problems=8), root=tmp_path, progress=False)
    assert len(generated) == 2
    (folder,) = tmp_path.glob("train__*")
    record = RunRecord.load(folder)
    assert record.status == "error" and "step 3" in record.manifest["error"]
    assert pd.read_csv(folder / "index_log.csv").step.max() == 2
