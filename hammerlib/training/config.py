"""What a training run is made of, every reason to refuse it beforehand, and what TRL is told of it."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, JsonValue

from hammerlib.errors import InputError, check_fields, import_function, import_object, unknown
from hammerlib.runs.reading import read_yaml

# Fields that say how a run is kept and watched; two runs that differ only there are the same run.
BOOKKEEPING = ("report_to", "save_steps", "completions_every", "vllm_server", "vllm_memory")
BOOKKEEPING += ("vllm_group_port", "embedder_remote_code")  # a port, a permission
TRACKERS = {"tensorboard": "tensorboard", "trackio": "trackio", "wandb": "wandb", "mlflow": "mlflow"}

Name = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]
FromZero = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Options = dict[str, JsonValue]
REWARDS = (
    *("accuracy", "format", "cosine", "tags", "repetition", "length", "overlong", "partial"),
    *("released_format", "released_cosine", "log_score", "quadratic_score"),
)


def _reward_name(name: str) -> str:
    """Let pass a reward's name or ``module:function``."""
    if ":" not in name and name not in REWARDS:
        raise unknown("rewards", name, [*REWARDS, "my_package.my_module:function"])
    return name


Own = Annotated[str, Field(pattern=r"^[\w.]+:[\w.]+$")]  # module:function or module:Class
Reward = Annotated[str, AfterValidator(_reward_name)]
Scheduler = Literal["constant", "constant_with_warmup", "linear", "cosine", "cosine_with_min_lr"]


@dataclass(frozen=True)
class TrainConfig:
    """One training run; every value that changes the result enters the run's name.

    Parameters
    ----------
    backbone, problems, split, n_problems
        What is trained on what: names for `load_backbone` and `load_problems`; `split` None where the source
        has none (``rl`` is the part to train on, whatever its name). `n_problems` None takes them all.
    columns : dict, optional
        For a source whose layout is not known, as for `load_problems`: ``{prompt: task, answer: gold}``.
    order, order_options, layer, pooling
        Strategy for `order_by`, its options, and the hidden layer and pooling that are embedded.
    adjustment : str
        ``none`` or ``dra``.
    adjustment_options : dict
        Of `hammerlib.adjust_rewards` (sign, positives_only, smi, clamp, centre, normalize, scope, eps; method
        with relevance, bonus, bound); the default is the paper's formula.
    embedder : str
        What embeds the completions for DRA: ``backbone`` (as before training), ``policy``,
        ``sentence-transformers:MODEL`` or ``official`` (see `hammerlib.models.embedder.make_embedder`).
    embedder_remote_code : bool
        Permission to run the code that the hub's model of ``embedder: official`` brings; it is refused
        without. Read that code first: it can do whatever you can.
    dra_route : str
        Where DRA adjusts: inside the ``reward`` function, which needs whole groups on every process, or in
        the ``trainer`` after gathering, where groups may straddle processes; the numbers are the same.
    dra_text : str
        What DRA embeds of a completion: all of it (``completion``), or the part that was ``sampled``, without
        the prefix that a rollout forced.
    rewards : tuple of str
        ``accuracy``, ``partial`` (right parts of a puzzle), ``format``, ``cosine``, ``tags``,
        ``repetition``, ``length``, ``overlong``; summed. As in the released DRA code: ``released_format``,
        ``released_cosine``. Of stated percentages: ``log_score``, ``quadratic_score``. One's own as
        ``my_package.my_module:function``, with TRL's signature.
    reward_weights : tuple of float
        One per reward; () for 1 each.
    overlong_buffer, mask_truncated_completions
        DAPO's soft punishment: ``overlong`` falls from 0 to -1 over the last `overlong_buffer` tokens before
        `max_completion_length`. Truncated completions left out of the loss, or not.
    loss_type, scale_rewards, beta, epsilon, epsilon_high
        TRL's objective: ``grpo``, ``dr_grpo``, ``dapo``, ``bnpo``, ``cispo`` (`epsilon_high` bounds its
        weights: 5.0 in TRL's example), ``sapo``, ``luspo`` or ``vespo``; advantages divided by the standard
        deviation of the ``group``, the ``batch`` or ``none``; KL weight; clip range (`epsilon_high` None:
        same as `epsilon`).
    importance_sampling_level : str
        Ratios of policies per ``token``, or per ``sequence``: GSPO is ``grpo`` with ``sequence``.
    entropy_coef : float
        The loss falls by so much for every nat of mean token entropy, whatever the `loss_type` (TRL's).
    group_size : int
        Completions per prompt, G.
    prompts_per_step : int
        Prompts per optimizer step over all processes and accumulated micro-batches.
    gradient_accumulation, steps_per_generation, num_iterations : int
        Micro-batches per optimizer step, micro-batches per generation (None: the same number), and passes
        over each generation.
    max_steps, epochs : int
        Optimizer steps (None: all of `epochs`); passes over the order.
    token_budget : int
        Training ends after the generation batch with which so many tokens have been sampled, on all processes
        together (``sampled_tokens``), or after `max_steps` or `epochs` before. The learning rate's schedule
        spans the steps that were planned without it.
    epoch_order : str
        Every epoch in the same order (``repeat``), or the problems embedded again with the policy at each
        epoch boundary and put into a new order of the same strategy (``reorder``).
    learning_rate, scheduler, max_completion_length, temperature, template
        As in TRL; length in tokens; prompts ``raw`` or through the ``chat`` template.
    min_lr_rate, warmup_steps, weight_decay
        Floor of ``cosine_with_min_lr`` as a share of `learning_rate`; optimizer steps of linear warm-up,
        below 1 a share of all steps; AdamW's decay.
    dynamic_sampling, refill_rounds
        DAPO's dynamic sampling along the order, see `hammerlib.training.dynamic`; at most so many samplings
        to fill one generation batch.
    seed, threads : int
        Sampling seed; torch threads (more than one on a busy machine is slower).
    save_steps, completions_every : int
        Optimizer steps between checkpoints, and between kept completions (None: none are written).
    tail : str
        What to do with problems that do not fill a last generation batch: ``refuse``, or ``report`` by name.
    report_to : tuple of str
        Trackers beside the CSV: ``tensorboard``, ``trackio``, ``wandb``, ``mlflow``.
    lora_rank : int
        0 trains all weights, otherwise LoRA adapters of that rank on all linear layers.
    load_in_4bit : bool
        QLoRA: adapters on a base of 4-bit weights (NF4, double quantisation; needs bitsandbytes). The start
        model stays whole beside it, for the order and for DRA. What is saved are plain weights, dequantised,
        with the adapters added.
    vllm, vllm_server, vllm_memory, vllm_tensor_parallel
        Generation by TRL's vLLM: ``off``, ``colocate`` (inside the training processes, on `vllm_memory` of
        each GPU, one engine over `vllm_tensor_parallel` processes) or ``server`` at the URL `vllm_server`
        (started with ``trl vllm-serve``; weights go there over NCCL, which needs a GPU here too and was not
        executed by us: docs/train.md). Its samples are not those of transformers for the same seed.
    vllm_group_port : int
        TRL's: port of this machine at which a server fetches the weights; two trainers that run on one
        machine at the same time need two.
    sampler : str
        What samples completions where vLLM does not: ``trl`` (transformers' generate, one random stream for
        the batch) or ``decoding``, the loop of evaluation: every prompt is read once, finished rows leave,
        LoRA is merged meanwhile, and each sample has a random stream of its own, named by step and row, so
        that neither batch nor processes change it. Its log-probabilities stand in for TRL's extra forward
        pass (`num_iterations`, `steps_per_generation`) where a first batch shows them equal.
    shared_prefixes : bool
        In the training pass every distinct prefix of prompts and completions is computed once and without
        padding (`hammerlib.models.prefixes`); gradients as of whole rows within rounding. A model whose
        attention cannot, or whose first micro-batch comes out otherwise, trains on whole rows with a warning.
    skip_zero_advantage : bool
        Rows whose advantage is exactly zero leave the forward and backward pass; loss and gradients are
        those of all rows within rounding. Not with `beta` or `entropy_coef`, which act on every row. The
        entropy is then logged as ``entropy_trained``, of the rows that are left.
    int8_sampling : bool
        On a CPU, the decoding loop multiplies in 8 bits (`models.decoding`), adapters merged. What it samples
        is another policy by some hundredths of a nat; every completion is therefore weighted by
        min(p / q, 3), p and q its probabilities under the policy and as sampled: TRL's ``sequence_truncate``
        with its default cap, unbiased but for what is cut (``sampling/`` in the metrics). It pays where
        weights are wide (SmolLM2-135M samples in .6 of the time), not for nano.
    bf16 : bool
        On a CPU, sampling and training pass under bfloat16 autocast; weights, optimizer and embeddings stay
        float32. About twice as fast where the processor multiplies bfloat16 itself (AMX, AVX512-BF16), many
        times slower elsewhere. Other numbers: log-probabilities differ by about .01 nats. A GPU has it on.
    tools : tuple of str
        Functions that the model may call, ``my_package.my_module:function`` each, with type hints and a
        docstring from which TRL tells the model about them (template ``chat``, one that TRL knows to parse).
        What a tool answers is neither trained, graded, embedded for DRA nor counted as sampled.
    environment : str, optional
        TRL's ``environment_factory``, ``my_package.my_module:Class``: one object a completion, told each row
        by ``reset(**row)``, whose other public methods are tools. Rewards find the objects in their argument
        `environments`; a reward of its own (``get_reward``) is added to the others, and refused with DRA.
    algorithms : tuple of dict
        Systems beside GRPO, composed in this order: ``{name: cure, n1: 4}`` with the options of the
        algorithm; a name of `hammerlib.training.hooks.REGISTRY`, of an installed package's entry points, or
        ``my_package.my_module:Class``. ``{name: dra, sign: safe, embedder: policy}`` and
        ``{name: dynamic-sampling, refill_rounds: 5}`` set the fields above, so that a run is the same run in
        both spellings; DRA always wraps the rewards, and dynamic sampling the rollout, of all others.

    Examples
    --------
    >>> TrainConfig(order="random", seed=3).validate().order
    'random'
    """

    backbone: Name = "nano"
    problems: Name = "reasoning-gym:nano"
    split: Name | None = "rl"
    n_problems: Count | None = 1000
    order: Name = "hammer"
    order_options: Options = field(default_factory=dict)
    layer: int = -1
    pooling: Literal["mean", "last", "first"] = "mean"
    adjustment: Literal["none", "dra"] = "none"
    rewards: Annotated[tuple[Reward, ...], Field(min_length=1)] = ("accuracy",)
    loss_type: Literal["grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo"] = "grpo"
    scale_rewards: Literal["group", "batch", "none"] = "group"
    beta: FromZero = 0.0
    epsilon: Positive = 0.2
    epsilon_high: Positive | None = None
    group_size: Annotated[int, Field(ge=2)] = 8
    prompts_per_step: Count = 8
    gradient_accumulation: Count = 1
    steps_per_generation: Count | None = None
    num_iterations: Count = 1
    max_steps: Count | None = None
    epochs: Count = 1
    learning_rate: Positive = 2e-4
    scheduler: Scheduler = "cosine"
    max_completion_length: Count = 48
    temperature: Positive = 1.0
    template: Literal["raw", "chat"] = "raw"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    threads: Count = 1
    save_steps: Count | None = None
    tail: Literal["refuse", "report"] = "refuse"
    report_to: tuple[Literal[*TRACKERS], ...] = ()
    lora_rank: Annotated[int, Field(ge=0)] = 0
    adjustment_options: Options = field(default_factory=dict)
    embedder: Name = "backbone"
    dra_route: Literal["reward", "trainer"] = "reward"
    epoch_order: Literal["repeat", "reorder"] = "repeat"
    reward_weights: tuple[float, ...] = ()
    overlong_buffer: Count | None = None
    mask_truncated_completions: bool = False
    min_lr_rate: FromZero | None = None
    warmup_steps: FromZero = 0.0
    weight_decay: FromZero = 0.0
    entropy_coef: FromZero = 0.0
    dynamic_sampling: bool = False
    refill_rounds: Count = 10
    vllm: Literal["off", "colocate", "server"] = "off"
    vllm_server: str | None = None
    vllm_memory: Positive = 0.3
    vllm_tensor_parallel: Count = 1
    completions_every: Count | None = 1
    columns: dict[str, str] | None = None
    embedder_remote_code: bool = False
    algorithms: tuple[Options, ...] = ()
    skip_zero_advantage: bool = False
    sampler: Literal["trl", "decoding"] = "trl"
    shared_prefixes: bool = False
    bf16: bool = False
    int8_sampling: bool = False
    dra_text: Literal["completion", "sampled"] = "completion"
    token_budget: Count | None = None
    importance_sampling_level: Literal["token", "sequence"] = "token"
    load_in_4bit: bool = False
    tools: tuple[Own, ...] = ()
    environment: Own | None = None
    vllm_group_port: Annotated[int, Field(ge=1, lt=2**16)] = 51216

    def __post_init__(self) -> None:
        """Turn algorithms that have fields of their own into these fields."""
        if not isinstance(self.algorithms, tuple):  # refused by `validate`
            return
        others = []
        for place, settings in enumerate(self.algorithms):
            named = fields_of(settings, f"algorithms[{place}]")
            if named is None:
                others.append(settings)
            for name, value in (named or {}).items():
                before = getattr(self, name)
                if before != getattr(TrainConfig(), name):
                    problem = f"is said twice: {name} is {before!r} already"
                    remedy = f"name it among the algorithms or set {name}, not both"
                    raise InputError(f"algorithms[{place}]", settings, problem, remedy)
                object.__setattr__(self, name, value)  # the class is frozen
        object.__setattr__(self, "algorithms", tuple(others))

    def validate(self) -> TrainConfig:
        """Return the config itself if it can be trained; else raise InputError with the remedy."""
        from hammerlib.dra import check_options
        from hammerlib.models.embedder import check_embedder
        from hammerlib.training.hooks import make_algorithms, own_reward
        from hammerlib.training.schedule import plan

        self.check_fields()
        check_options(self.adjustment_options)
        check_embedder(self.embedder, self.embedder_remote_code)
        check_algorithm(self)
        own_tools(self)
        check_vllm(self)
        for k, name in enumerate(self.rewards):
            own_reward(name, f"rewards[{k}]")
        make_algorithms(self)
        if self.n_problems is not None:
            plan(self, self.n_problems)
        return self

    def check_fields(self) -> None:
        """Refuse fields whose type, choice or range is wrong, each by itself."""
        from hammerlib.ordering.strategies import check_order_options, check_strategy

        check_fields(TrainConfig, vars(self), "config")
        check_strategy("order", self.order)
        check_order_options(self.order, self.order_options)

    def effective(self) -> dict[str, object]:
        """Return every field as plain JSON values."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        lists = {name: list(value) for name, value in values.items() if isinstance(value, tuple)}
        return values | lists

    def identity(self) -> dict[str, object]:
        """Return the fields that change the result (all but how the run is kept and watched).

        What a run does not use is left out: it is not another run because it could have been adjusted
        otherwise, and runs made before a field existed keep their names.
        """
        from hammerlib.dra import check_options
        from hammerlib.training.hooks import algorithm_identity, code_hash, own_reward_name

        left_out = {*BOOKKEEPING, *unset(self)}
        named = {name: value for name, value in self.effective().items() if name not in left_out}
        named["rewards"] = [own_reward_name(name) for name in self.rewards]
        for name in ("tools", "environment"):
            if name in named:
                named[name] = [f"{own}#{code_hash(part)}" for own, part in own_tools(self)[name]]
        if self.algorithms:
            named["algorithms"] = [algorithm_identity(settings) for settings in self.algorithms]
        if options := check_options(named.pop("adjustment_options", {})):
            named["adjustment_options"] = options
        return named

    @classmethod
    def from_dict(cls, values: dict) -> TrainConfig:
        """Build and validate a config from plain values; unknown names are an InputError."""
        if isinstance(values, Mapping):
            lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
            values = {**values, **lists}
            refuse_names_of_trl(values)
        check_fields(cls, values, "config")
        return cls(**values).validate()

    @classmethod
    def from_yaml(cls, path: str | Path) -> TrainConfig:
        """Read a YAML file of ``name: value`` lines; InputError when it is missing, unreadable or wrong."""
        return cls.from_dict(read_yaml(path, field="config"))


# What TRL calls it, and what it is here.
TRL_NAMES = {
    "model_name_or_path": "backbone",
    "dataset_name": "problems",
    "num_generations": "group_size",
    "per_device_train_batch_size": "prompts_per_step",
    "generation_batch_size": "prompts_per_step",
    "gradient_accumulation_steps": "gradient_accumulation",
    "num_train_epochs": "epochs",
    "lr_scheduler_type": "scheduler",
    "reward_funcs": "rewards",
    "use_vllm": "vllm",
    "vllm_mode": "vllm",
    "vllm_server_base_url": "vllm_server",
    "vllm_server_host": "vllm_server",
    "vllm_server_port": "vllm_server",
    "vllm_gpu_memory_utilization": "vllm_memory",
    "vllm_tensor_parallel_size": "vllm_tensor_parallel",
    "shuffle_dataset": "order",
    "use_peft": "lora_rank",
    "lora_r": "lora_rank",
    "peft_config": "lora_rank",
    "warmup_ratio": "warmup_steps",
    "quantization_config": "load_in_4bit",
    "environment_factory": "environment",
}


def refuse_names_of_trl(values: Mapping[str, Any]) -> None:
    """Refuse a field of TRL's that is none of ours, with the name that it has here or its default."""
    ours = {field.name for field in dataclasses.fields(TrainConfig)}
    for name in (name for name in values if name not in ours):
        if name in TRL_NAMES:
            raise InputError("config", name, "is TRL's name of a field", f"set {TRL_NAMES[name]}")
        if importlib.util.find_spec("trl") is None:
            return
        from trl import GRPOConfig

        if name in {field.name for field in dataclasses.fields(GRPOConfig)}:
            problem = "is a field of TRL's GRPOConfig that no configuration sets here"
            raise InputError(
                "config", name, problem, "leave it out, or train with TRL: hammer order --for trl"
            )


# Algorithms that are older than their list, with the field that each is, and its options that are fields too.
FIELDS = {
    "dra": ({"adjustment": "dra"}, ("embedder", "embedder_remote_code", "dra_route", "dra_text")),
    "dynamic-sampling": ({"dynamic_sampling": True}, ("refill_rounds",)),
}


def fields_of(settings: object, place: str) -> dict[str, Any] | None:
    """Return the fields of `TrainConfig` that an algorithm's settings stand for, None where it has none."""
    from hammerlib.dra import OPTIONS

    if not isinstance(settings, Mapping) or settings.get("name") not in [*FIELDS]:
        return None
    name = settings["name"]
    switch, own = FIELDS[name]
    fields = dict(switch)
    adjusting = {}
    known = [*own, *OPTIONS] if name == "dra" else own
    for option, value in settings.items():
        if option in own:
            fields[option] = value
        elif option in known:
            adjusting[option] = value
        elif option != "name":
            raise unknown(place, option, known, "is no option of this algorithm")
    if adjusting:
        fields["adjustment_options"] = adjusting
    return fields


# Rewards that grade the answer: without one, dynamic sampling would look at what is not rewarded.
GRADED = ("accuracy", "cosine", "released_cosine")
# Fields that came after the first runs. At its default, which may never change, none of them names a run: it
# keeps the name that it had without them.
LATER = (
    *("reward_weights", "overlong_buffer", "mask_truncated_completions", "min_lr_rate", "warmup_steps"),
    *("weight_decay", "entropy_coef", "dynamic_sampling", "algorithms", "skip_zero_advantage", "columns"),
    *("dra_route", "dra_text", "token_budget", "embedder", "epoch_order", "vllm", "sampler"),
    *("shared_prefixes", "bf16", "int8_sampling", "importance_sampling_level", "load_in_4bit"),
    *("tools", "environment"),
)


def check_algorithm(config: TrainConfig) -> None:
    """Refuse settings that contradict each other or that nothing would read."""
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
    if config.loss_type == "cispo" and config.epsilon_high is None:
        problem = "is what bounds the weights of cispo, and is not said"
        raise InputError(
            "epsilon_high", None, problem, "set epsilon_high: 5.0, or another bound of the ratio"
        )
    if config.loss_type == "luspo" and config.importance_sampling_level != "sequence":
        problem, remedy = "is not that of luspo", "set importance_sampling_level: sequence"
        raise InputError("importance_sampling_level", config.importance_sampling_level, problem, remedy)
    floor = config.min_lr_rate
    if (config.scheduler == "cosine_with_min_lr") != (floor is not None):
        problem = "goes with scheduler cosine_with_min_lr only, which needs it"
        raise InputError("min_lr_rate", floor, problem, "name both or none; 0.1 stops at a tenth")
    if floor is not None and floor > 1:
        raise InputError("min_lr_rate", floor, "is above 1", "give a share of learning_rate")
    if config.warmup_steps and config.scheduler == "constant":
        remedy = "use scheduler: constant_with_warmup"
        raise InputError("warmup_steps", config.warmup_steps, "is not read by scheduler constant", remedy)
    if config.skip_zero_advantage and (config.beta or config.entropy_coef):
        problem = "leaves out rows on which KL (beta) and entropy (entropy_coef) act all the same"
        raise InputError("skip_zero_advantage", True, problem, "set both to 0, or leave it out")
    if config.int8_sampling and config.sampler != "decoding":
        remedy = "set sampler: decoding, or leave it out"
        raise InputError("int8_sampling", True, f"is not what sampler: {config.sampler} does", remedy)
    if config.load_in_4bit and not config.lora_rank:
        raise InputError("load_in_4bit", True, "holds weights that cannot be trained", "set lora_rank: 16")
    merging = {"sampler": ("decoding",), "vllm": ("colocate", "server")}
    for name in merging if config.load_in_4bit else ():
        if getattr(config, name) in merging[name]:
            problem = "merges adapters into the base at every step, whose 4 bits would round them away"
            remedy = f"set {name}: {getattr(TrainConfig(), name)}, or leave load_in_4bit out"
            raise InputError(name, getattr(config, name), problem, remedy)
    if config.dynamic_sampling and not set(GRADED) & set(config.rewards):
        problem = "looks at right and wrong answers, which no reward of this run does"
        raise InputError("dynamic_sampling", True, problem, f"add one of {', '.join(GRADED)} to rewards")
    if config.dynamic_sampling and config.epochs > 1 and config.epoch_order != "repeat":
        problem = "walks one order at its own pace: its epochs are not the trainer's"
        raise InputError("epoch_order", config.epoch_order, problem, "use epoch_order: repeat, or epochs: 1")


def own_tools(config: TrainConfig) -> dict[str, list[tuple[str, Any]]]:
    """Return the tools and the environment's class with their names, or refuse what TRL could not call."""
    found: dict[str, list[tuple[str, Any]]] = {"tools": [], "environment": []}
    for k, name in enumerate(config.tools):
        found["tools"].append((name, import_function(name, f"tools[{k}]", "name a function")))
    if config.environment is not None:
        kind = import_object(config.environment, "environment")
        if not isinstance(kind, type) or not callable(getattr(kind, "reset", None)):
            remedy = "name a class with a method reset(**row)"
            raise InputError("environment", config.environment, "is no class of environments", remedy)
        if config.adjustment == "dra" and hasattr(kind, "get_reward"):
            remedy = "leave get_reward out, and name a reward that reads its argument environments"
            raise InputError("environment", config.environment, "has a reward that DRA would not see", remedy)
        found["environment"].append((config.environment, kind))
    if not any(found.values()):
        return found
    field = "tools" if config.tools else "environment"
    for name, needed in {"template": "chat", "sampler": "trl"}.items():
        if getattr(config, name) != needed:
            problem, remedy = f"is not what calls of tools go with ({field} is set)", f"set {name}: {needed}"
            raise InputError(name, getattr(config, name), problem, remedy)
    return found


def unset(config: TrainConfig) -> set[str]:
    """Return the fields that do not name this run, because it does not use them."""
    plain = TrainConfig()
    unused = {name for name in LATER if getattr(config, name) == getattr(plain, name)}
    if all(weight == 1 for weight in config.reward_weights):
        unused.add("reward_weights")
    if not config.dynamic_sampling:
        unused.add("refill_rounds")
    if config.adjustment != "dra":
        unused |= {"adjustment_options", "embedder", "dra_route", "dra_text"}
    if config.epochs == 1:
        unused.add("epoch_order")
    if config.vllm == "off":
        unused.add("vllm_tensor_parallel")
    return unused


def check_vllm(config: TrainConfig, *, processes: int | None = None) -> None:
    """Refuse a combination of vLLM fields that would be ignored or would fail after minutes of loading."""
    mode = config.vllm
    server = config.vllm_server
    if mode == "server" and not (server or "").startswith(("http://", "https://")):
        remedy = "start `trl vllm-serve --model MODEL` and give its URL, such as http://localhost:8000"
        raise InputError("vllm_server", server, "is no URL of a running server", remedy)
    if mode != "server" and server is not None:
        raise InputError("vllm_server", server, f"is not used with vllm: {mode}", "set vllm: server")
    if mode != "server" and config.vllm_group_port != TrainConfig.vllm_group_port:
        remedy = "leave it out, or set vllm: server"
        raise InputError("vllm_group_port", config.vllm_group_port, f"is not used with vllm: {mode}", remedy)
    if mode != "colocate" and config.vllm_tensor_parallel != 1:
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
    if config.sampler != "trl":
        raise InputError("sampler", config.sampler, f"is not used with vllm: {mode}", "leave it out")


def check_engine(config: TrainConfig) -> None:
    """Refuse to train where engine or tracker is missing; a plan for another machine needs none."""
    for name in config.report_to:
        if importlib.util.find_spec(TRACKERS[name]) is None:
            remedy = f"pip install {TRACKERS[name]}, or leave it out"
            raise InputError("report_to", name, "is not installed", remedy)
    if config.vllm != "off" and importlib.util.find_spec("vllm") is None:
        remedy = "pip install 'hammerlib[vllm]', or set vllm: off"
        raise InputError("vllm", config.vllm, "needs a package that is not installed", remedy)


def vllm_arguments(config: TrainConfig, longest_prompt: int) -> dict[str, Any]:
    """Return the arguments of TRL's ``GRPOConfig`` that hand generation to vLLM; none where it is off."""
    if config.vllm == "off":
        return {}
    common = {"use_vllm": True, "vllm_mode": config.vllm}
    if config.vllm == "server":
        return common | {
            "vllm_server_base_url": config.vllm_server,
            "vllm_group_port": config.vllm_group_port,
        }
    return common | {
        "vllm_gpu_memory_utilization": config.vllm_memory,
        "vllm_tensor_parallel_size": config.vllm_tensor_parallel,
        "vllm_max_model_length": longest_prompt + config.max_completion_length,
    }
