"""What cannot be done with parameters that lie in shards on several GPUs (FSDP, DeepSpeed ZeRO-3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hammerlib.errors import InputError

if TYPE_CHECKING:
    from accelerate import Accelerator

    from hammerlib.training.config import TrainConfig


def check_shards(config: TrainConfig, accelerator: Accelerator) -> None:
    """Refuse, before the first step, what would fail or be wrong with sharded parameters.

    Parameters
    ----------
    config : TrainConfig
    accelerator : accelerate.Accelerator
        Of the trainer.

    Raises
    ------
    InputError
        Parameters are sharded and adapters would have to be merged on one process (`lora_rank`), or the
        policy itself embeds completions (`embedder`).

    Examples
    --------
    >>> from accelerate import Accelerator
    >>> from hammerlib.training.config import TrainConfig
    >>> check_shards(TrainConfig(lora_rank=4), Accelerator(cpu=True))
    """
    deepspeed = getattr(accelerator.state, "deepspeed_plugin", None)
    stage = 0 if deepspeed is None else deepspeed.zero_stage
    if getattr(accelerator.state, "fsdp_plugin", None) is None and stage < 3:
        return
    how = "ZeRO-3" if stage == 3 else "FSDP"
    if config.lora_rank:
        problem, remedy = f"cannot be merged from {how} shards", "launch with ddp.yaml or zero2.yaml"
        raise InputError("lora_rank", config.lora_rank, problem, remedy)
    if config.adjustment == "dra" and config.embedder == "policy":
        problem, remedy = f"cannot embed while {how} keeps it in shards", "use embedder: backbone"
        raise InputError("embedder", config.embedder, problem, remedy)
