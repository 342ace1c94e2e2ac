"""TRL's asynchronous trainer and the index log that `log_async` has it write.

Generation needs a vLLM server, and attention over its packed batches a kernel for GPUs: here a worker of the
tests takes the server's place, by TRL's own protocol, and the loss is not computed. Run by
`make test-adapters`, in the environment of the repository.
"""

from __future__ import annotations

import heapq
import itertools
import queue
import time
from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoTokenizer
from trl.experimental.async_grpo import AsyncGRPOConfig, AsyncGRPOTrainer
from trl.experimental.async_grpo.async_rollout_worker import RolloutSample

import hammerlib
from hammerlib.adapters import audit
from hammerlib.adapters.rewards import trl_dra
from hammerlib.adapters.trl import log_async
from hammerlib.ordering import Order

NANO = Path(hammerlib.__file__).parent / "models" / "nano" / "checkpoint"


class Worker:
    """A rollout worker by TRL's protocol: so many groups at a time, two samples each, done by length."""

    def __init__(self, ahead: int) -> None:
        self.rollout_buffer, self.metrics_queue = _Made(self), queue.Queue()
        self.lengths, self.ahead = (1, 9, 1, 1, 1, 1, 3, 1), ahead
        self.version, self.clock = 0, 0.0
        self.running: list[tuple[float, int, int]] = []
        self.begun: list[int] = []  # version of the weights of each group
        self.done: list[int] = []  # groups as they were finished

    def finish(self) -> None:
        """Finish one group, with as many begun as may run."""
        while len(self.running) < self.ahead:
            group = len(self.begun)
            ends = self.clock + self.lengths[group % len(self.lengths)]
            heapq.heappush(self.running, (ends, group, self.version))
            self.begun.append(self.version)
        self.clock, group, version = heapq.heappop(self.running)
        self.done.append(group)
        mask, zeros = np.array([0, 0, 1, 1]), np.zeros(4, np.float32)
        sample = RolloutSample([], [], np.arange(4), mask, zeros, 1.0, version, group, {}, time.time())
        for _ in range(2):
            self.rollout_buffer.put(sample)

    def update_model_version(self, model_version: int) -> None:
        self.version = model_version

    def start(self) -> None:
        """Nothing runs beside the trainer."""

    def stop(self) -> None:
        """Nothing to stop."""

    def check_health(self, stale_after_s: float) -> None:
        """Always well."""


class _Made(queue.Queue):
    def __init__(self, worker: Worker) -> None:
        super().__init__()
        self.worker = worker

    def get(self, *args: object, **options: object) -> RolloutSample:
        if self.empty():
            self.worker.finish()
        return super().get(*args, **options)


class WithoutLoss(AsyncGRPOTrainer):
    def compute_loss(
        self, model: torch.nn.Module, inputs: dict, *args: object, **options: object
    ) -> torch.Tensor:
        self._last_forward_time_s = 0.0
        return 0.0 * sum(weight.sum() for weight in model.parameters())


def asynchronous(folder: Path, worker: Worker, accumulation: int, every: int) -> AsyncGRPOTrainer:
    """Twelve prompts, two groups of two a step."""
    rows = [
        {"prompt": [{"role": "user", "content": str(k)}], "id": f"p-{k}", "position": k} for k in range(12)
    ]
    config = AsyncGRPOConfig(
        output_dir=str(folder), num_generations=2, per_device_train_batch_size=4 // accumulation,
        gradient_accumulation_steps=accumulation, weight_sync_steps=every, use_cpu=True, bf16=False,
        max_steps=10, report_to=[], disable_tqdm=True, token_budget=0, max_staleness=1,
        gradient_checkpointing=False, save_steps=4,
    )  # fmt: skip
    idle = SimpleNamespace(
        init_weight_transfer=lambda: None, pause=lambda: None, send_weights=list, resume=lambda: None,
        destroy=lambda: None,
    )  # fmt: skip
    return WithoutLoss(
        str(NANO), args=config, train_dataset=datasets.Dataset.from_list(rows), reward_funcs=[trl_dra(2)],
        processing_class=AutoTokenizer.from_pretrained(NANO), rollout_worker=worker, weight_transfer=idle,
    )  # fmt: skip


@pytest.mark.parametrize(("accumulation", "every"), [(1, 1), (2, 1), (2, 2)])
def test_the_log_of_asynchronous_training_separates_its_steps(
    accumulation: int, every: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "CPU")  # it asks for no other
    worker, path = Worker(ahead=3), tmp_path / "index_log.csv"
    trainer = asynchronous(tmp_path / "out", worker, accumulation, every)
    log_async(trainer, path)
    trainer.train()
    log = pd.read_csv(path)
    trained, left = log[log["step"] > 0], log[log["step"] < 0]
    group = (12 * log["epoch"] + log["position"]).rename("group")
    # By the worker: two groups a step as they were finished, of weights published every so many steps.
    kept = [one for one in worker.done if one not in set(group[left.index])]
    told = list(zip(trained["step"], group[trained.index], strict=True))
    assert told == [(1 + k // 2, one) for k, one in enumerate(kept[: 2 * 10])]
    published = [every * (worker.begun[one] - 1) + 1 for one in group]
    assert log["generated"].tolist() == published and (log["finished"] >= log["generated"]).all()
    assert (trained["finished"] <= trained["step"]).all() and set(left["dropped"]) <= {"stale"}
    assert log["id"].tolist() == [f"p-{k}" for k in log["position"]]
    stale = sum(values.get("sample/dropped_stale_total", 0) for values in trainer.state.log_history)
    assert len(left) >= stale / 2 > 0
    # weights of one version before serve `every` steps more, and the loader is one micro-batch ahead
    found = audit(path, Order(np.arange(12), "dataset"), late=2 * every)
    age = (trained["step"] - trained["generated"]).max()
    assert f"{age} at most" in str(found)
    kinds = {finding.kind for finding in found.findings}
    assert kinds <= {"order", "skipped", "filtered"} and kinds & {"skipped", "filtered"}


def test_a_resumed_asynchronous_training_goes_on_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "CPU")
    path = tmp_path / "index_log.csv"
    first = asynchronous(tmp_path / "out", Worker(ahead=3), 1, 1)
    log_async(first, path)
    first.train()
    before = pd.read_csv(path)
    again = asynchronous(tmp_path / "out", Worker(ahead=3), 1, 1)
    # what TRL reads of its own worker's checkpoint: the first prompt that was not trained
    done = before[(before["step"] > 0) & (before["step"] <= 4)]["position"]
    again._groups_before_resume = next(k for k in itertools.count() if k not in set(done))
    log_async(again, path)
    again.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-4"))
    after = pd.read_csv(path)
    head = after[(after["step"] > 0) & (after["step"] <= 4)]
    assert head["position"].tolist() == done.tolist() and after["step"].max() == 10
    assert after[after["step"] == 5]["position"].min() == again._groups_before_resume
    # those trained beyond it come again, as the audit says
    kinds = {finding.kind for finding in audit(path, Order(np.arange(12), "dataset"), late=2).findings}
    assert "repeated" in kinds
