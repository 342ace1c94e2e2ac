"""A rollout of forced prefixes and groups of any size on a real vLLM, on a CPU: `make test-vllm`."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from test_training import SMALL

from hammerlib.runs import RunRecord
from hammerlib.systems.branching import branch, by_problem
from hammerlib.training import Algorithm, Generation, TrainConfig, read_completions, train
from hammerlib.training.generation import generate


class Branching(Algorithm):
    """Two trunks of each problem, branched from the middle: twice or three times, in groups of 6 and 8."""

    def most_rows(self, config: TrainConfig) -> int:
        return 8

    def rollout(self, rows: list[dict], trainer: object) -> Generation:
        problems = rows[:: trainer.num_generations]
        trunks = generate(trainer, [row for row in problems for _ in range(2)])
        parts = [trunks]
        for place in range(len(problems)):
            own = trunks.take([2 * place, 2 * place + 1])
            middle = [len(ids) // 2 for ids in own.completion_ids]
            parts.append(branch(trainer, own, middle, 2 + place % 2))
        joined = by_problem(*parts)
        joined.groups = np.unique([row["id"] for row in joined.rows], return_inverse=True)[1]
        joined.rewards = np.array([float(sum(ids) % 7) for ids in joined.completion_ids])
        return joined


@pytest.fixture(scope="module")
def branched(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    from vllm import _custom_ops
    from vllm.model_executor.layers import utils

    config = dataclasses.replace(
        SMALL, vllm="colocate", learning_rate=5e-3, scheduler="constant", max_steps=3, loss_type="grpo"
    )
    with pytest.MonkeyPatch.context() as patch:
        # As in vllm_colocate.py: packed weights could not be replaced.
        patch.setattr(_custom_ops, "_supports_onednn", False)
        patch.setattr(utils, "check_cpu_sgl_kernel", lambda *shape: False)
        root = tmp_path_factory.mktemp("runs")
        return train(config, root=root, algorithms=[Branching()], progress=False)


def test_branches_of_any_number_are_sampled_and_trained(branched: RunRecord) -> None:
    table = read_completions(branched.folder)
    trained = table[table["trained"]]
    sizes = trained.groupby(["step", "id"], sort=False).size()
    assert set(sizes) == {6, 8} and len(sizes) == 3 * SMALL.prompts_per_step
    assert (trained["forced"] > 0).sum() > 0 and (table["n_tokens"] <= SMALL.max_completion_length).all()
    wide = pd.read_csv(branched.folder / "metrics.csv").pivot(index="step", columns="metric", values="value")
    by_hand = (trained["n_tokens"] - trained["forced"]).groupby(trained["step"]).sum().cumsum()
    assert wide["sampled_tokens"].tolist() == by_hand.tolist()


def test_prefixes_are_the_trunks_own_tokens_and_only_sampled_ones_are_weighed(branched: RunRecord) -> None:
    wide = pd.read_csv(branched.folder / "metrics.csv").pivot(index="step", columns="metric", values="value")
    # bfloat16 against float32: some hundredths a token, in every step with the weights of that step.
    assert wide["sampling/sampling_logp_difference/mean"].max() < 0.05
    assert wide["sampling/importance_sampling_ratio/mean"].between(0.9, 1.1).all()
    assert (wide["grad_norm"] > 0).all()
