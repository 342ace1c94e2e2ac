"""Generation by vLLM, through TRL's own arguments: what is refused, and what TRL is told."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from hammerlib.errors import InputError

if TYPE_CHECKING:
    from hammerlib.training.config import TrainConfig

DEFAULT_PARALLEL = 1


def check_vllm(config: TrainConfig, *, processes: int | None = None, rollout: bool = False) -> None:
    """Refuse a combination of vLLM fields that would be ignored or would fail after minutes of loading.

    Parameters
    ----------
    config : TrainConfig
    processes : int, optional
        Training processes, where already known.
    rollout : bool
        A rollout plug is set.

    Raises
    ------
    InputError
        vLLM is not installed; a server without URL or a URL without server; a field of one mode in another;
        a share of memory above 0.95; a tensor-parallel size that does not divide the processes; a rollout
        plug, which generates by itself.

    Examples
    --------
    >>> from hammerlib.training.config import TrainConfig
    >>> check_vllm(TrainConfig())
    """
    mode, server = config.vllm, config.vllm_server
    if mode == "server" and not (server or "").startswith(("http://", "https://")):
        remedy = "start `trl vllm-serve --model MODEL` and give its URL, such as http://localhost:8000"
        raise InputError("vllm_server", server, "is no URL of a running server", remedy)
    if mode != "server" and server is not None:
        raise InputError("vllm_server", server, f"is not used with vllm: {mode}", "set vllm: server")
    if mode != "colocate" and config.vllm_tensor_parallel != DEFAULT_PARALLEL:
        problem, remedy = f"is not used with vllm: {mode}", "leave it out, or set vllm: colocate"
        raise InputError("vllm_tensor_parallel", config.vllm_tensor_parallel, problem, remedy)
    if config.vllm_memory > 0.95:
        problem, remedy = "leaves no memory for training", "give a share of each GPU's memory, such as 0.3"
        raise InputError("vllm_memory", config.vllm_memory, problem, remedy)
    if processes and processes % config.vllm_tensor_parallel:
        problem, remedy = f"does not divide {processes} processes", "choose a divisor"
        raise InputError("vllm_tensor_parallel", config.vllm_tensor_parallel, problem, remedy)
    if mode == "off":
        return
    if rollout:
        problem, remedy = "generates by itself, so that vLLM would be loaded for nothing", "set vllm: off"
        raise InputError("plugs.rollout", mode, problem, remedy)
    if importlib.util.find_spec("vllm") is None:
        remedy = "pip install 'hammerlib[vllm]', or set vllm: off"
        raise InputError("vllm", mode, "needs a package that is not installed", remedy)


def vllm_arguments(config: TrainConfig, longest_prompt: int) -> dict[str, Any]:
    """Return the arguments of TRL's ``GRPOConfig`` that hand generation to vLLM; none where it is off.

    Parameters
    ----------
    config : TrainConfig
    longest_prompt : int
        Tokens; with the completion's length it bounds vLLM's cache, which would otherwise be laid out for
        the model's longest context.

    Examples
    --------
    >>> from hammerlib.training.config import TrainConfig
    >>> vllm_arguments(TrainConfig(), 100)
    {}
    >>> vllm_arguments(TrainConfig(vllm="colocate"), 100)["vllm_max_model_length"]
    148
    """
    if config.vllm == "off":
        return {}
    common = {"use_vllm": True, "vllm_mode": config.vllm}
    if config.vllm == "server":
        return common | {"vllm_server_base_url": config.vllm_server}
    return common | {
        "vllm_gpu_memory_utilization": config.vllm_memory,
        "vllm_tensor_parallel_size": config.vllm_tensor_parallel,
        "vllm_max_model_length": longest_prompt + config.max_completion_length,
    }
