"""What makes a run GRPO, Dr. GRPO or DAPO by configuration: checks between fields, names, TRL's arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hammerlib.errors import InputError

if TYPE_CHECKING:
    from hammerlib.training.config import TrainConfig

# Rewards that grade the answer: without one, dynamic sampling would look at what is not rewarded.
GRADED = ("accuracy", "cosine", "released_cosine")
# Fields that came after the first runs, with the value at which a run keeps the name it had without them.
LATER = {
    "reward_weights": (),
    "overlong_buffer": None,
    "mask_truncated_completions": False,
    "min_lr_rate": None,
    "warmup_steps": 0,
    "weight_decay": 0,
    "entropy_coef": 0,
    "dynamic_sampling": False,
    "algorithms": (),
}


def check_algorithm(config: TrainConfig) -> None:
    """Refuse settings that contradict each other or that nothing would read.

    Parameters
    ----------
    config : TrainConfig

    Raises
    ------
    InputError
        Weights of another number than rewards, or not finite; a length punishment without its buffer, or the
        reverse; a floor without its schedule; warm-up of a schedule that has none; dynamic sampling without a
        reward for the answer, or with orders that are made anew.

    Examples
    --------
    >>> from hammerlib.training.config import TrainConfig
    >>> check_algorithm(TrainConfig(rewards=("accuracy", "format"), reward_weights=(2.0,)))
    Traceback (most recent call last):
    hammerlib.errors.InputError: reward_weights = (2.0,): are not one number for each of 2 rewards; ...
    """
    weights = config.reward_weights
    if weights and len(weights) != len(config.rewards):
        problem = f"are not one number for each of {len(config.rewards)} rewards"
        raise InputError("reward_weights", weights, problem, "give them in the order of rewards, or none")
    if ("overlong" in config.rewards) != (config.overlong_buffer is not None):
        problem = "goes with the reward overlong only, which needs it"
        remedy = "name both or none; the buffer is in tokens, below max_completion_length"
        raise InputError("overlong_buffer", config.overlong_buffer, problem, remedy)
    if config.overlong_buffer is not None and config.overlong_buffer >= config.max_completion_length:
        problem = f"is not below max_completion_length {config.max_completion_length}"
        raise InputError("overlong_buffer", config.overlong_buffer, problem, "choose a smaller buffer")
    _check_schedule(config)
    if config.dynamic_sampling and not set(GRADED) & set(config.rewards):
        problem = "looks at right and wrong answers, which no reward of this run does"
        raise InputError("dynamic_sampling", True, problem, f"add one of {', '.join(GRADED)} to rewards")
    if config.dynamic_sampling and config.epochs > 1 and config.epoch_order != "repeat":
        problem = "walks one order at its own pace: its epochs are not the trainer's"
        raise InputError("epoch_order", config.epoch_order, problem, "use epoch_order: repeat, or epochs: 1")


def _check_schedule(config: TrainConfig) -> None:
    floor, name = config.min_lr_rate, config.scheduler
    if (name == "cosine_with_min_lr") != (floor is not None):
        problem = "goes with scheduler cosine_with_min_lr only, which needs it"
        raise InputError("min_lr_rate", floor, problem, "name both or none; 0.1 stops at a tenth")
    if floor is not None and floor > 1:
        raise InputError("min_lr_rate", floor, "is above 1", "give a share of learning_rate")
    if config.warmup_steps and name == "constant":
        remedy = "use scheduler: constant_with_warmup"
        raise InputError("warmup_steps", config.warmup_steps, "is not read by scheduler constant", remedy)


def unset(config: TrainConfig) -> set[str]:
    """Return the fields that do not name this run, because it does not use them.

    Examples
    --------
    >>> from hammerlib.training.config import TrainConfig
    >>> "weight_decay" in unset(TrainConfig()), "weight_decay" in unset(TrainConfig(weight_decay=0.1))
    (True, False)
    """
    found = {name for name, value in LATER.items() if getattr(config, name) == value}
    found |= {"reward_weights"} if all(one == 1 for one in config.reward_weights) else set()
    return found | (set() if config.dynamic_sampling else {"refill_rounds"})


def trl_arguments(config: TrainConfig) -> dict[str, Any]:
    """Return the arguments of TRL's GRPOConfig that are not fields of the same name and meaning.

    Under DRA the weights belong to the rewards it wraps: TRL sees one reward.

    Examples
    --------
    >>> from hammerlib.training.config import TrainConfig
    >>> trl_arguments(TrainConfig(scheduler="cosine_with_min_lr", min_lr_rate=0.1))["lr_scheduler_kwargs"]
    {'min_lr_rate': 0.1}
    """
    weights = list(config.reward_weights) if config.adjustment == "none" else []
    return {
        "lr_scheduler_type": config.scheduler,
        "lr_scheduler_kwargs": {} if config.min_lr_rate is None else {"min_lr_rate": config.min_lr_rate},
        "reward_weights": [float(one) for one in weights] or None,
    }
