"""A real vLLM inside the training process samples for it, on a CPU: `make test-vllm`, not `make test`."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest
from test_training import SMALL

from hammerlib.runs import RunRecord
from hammerlib.training import read_completions, schedule_table, train


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """Four DRA steps at a learning rate that moves the policy, every completion from vLLM."""
    from vllm import _custom_ops
    from vllm.model_executor.layers import utils

    config = dataclasses.replace(
        SMALL, vllm="colocate", adjustment="dra", learning_rate=5e-3, scheduler="constant", max_steps=4
    )
    with pytest.MonkeyPatch.context() as patch:
        # vLLM 0.30 packs linear weights for its fastest CPU kernels and forgets the originals, so that a
        # trainer could not send new ones; with these two off it multiplies by the weights themselves.
        patch.setattr(_custom_ops, "_supports_onednn", False)
        patch.setattr(utils, "check_cpu_sgl_kernel", lambda *shape: False)
        return train(config, root=tmp_path_factory.mktemp("runs"), progress=False)


def wide(record: RunRecord) -> pd.DataFrame:
    return pd.read_csv(record.folder / "metrics.csv").pivot(index="step", columns="metric", values="value")


def test_vllm_trains_to_the_end_and_its_completions_are_kept(sampled: RunRecord) -> None:
    assert sampled.status == "success" and (sampled.folder / "model" / "model.safetensors").is_file()
    table = read_completions(sampled.folder)
    assert len(table) == 4 * 2 * 4 and table["completion"].str.strip().str.len().gt(0).any()
    assert (table["n_tokens"] <= SMALL.max_completion_length).all()


def test_every_step_is_sampled_with_the_weights_of_that_step(sampled: RunRecord) -> None:
    apart = wide(sampled)["sampling/sampling_logp_difference/mean"]
    # vLLM computes in bfloat16, the trainer in float32: some hundredths, and no more as the policy moves.
    assert len(apart) == 4 and apart.max() < 0.05
    assert wide(sampled)["grad_norm"].iloc[1:].max() > 0


def test_the_order_is_kept_under_vllm(sampled: RunRecord) -> None:
    found = pd.read_csv(sampled.folder / "index_log.csv")[["step", "epoch", "process", "position"]]
    planned = schedule_table(dataclasses.replace(SMALL, max_steps=4), 12)
    pd.testing.assert_frame_equal(found, planned[list(found.columns)])
