"""`train`: from a config to a run on disk, found again by its content and resumed where a kill left it."""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hammerlib.errors import InputError, check_is, need
from hammerlib.models.embedder import Embed
from hammerlib.models.tokens import prompt_ids
from hammerlib.runs import RunRecord, find_run, once, start_run
from hammerlib.runs.storage import content_hash, file_name, results_root
from hammerlib.runs.workers import map_named
from hammerlib.training.config import TrainConfig, check_engine, check_vllm
from hammerlib.training.hooks import (
    Algorithm,
    GivenRewards,
    Hooks,
    compose,
    make_algorithms,
    name_of,
    names_of,
)
from hammerlib.training.machines import measured
from hammerlib.training.schedule import Plan, forget_orders, ids_of, is_main, make_order, plan

if TYPE_CHECKING:
    from datasets import Dataset

    from hammerlib.models import Backbone
    from hammerlib.ordering import Order
    from hammerlib.rewards import Reward

SUMMARISED = ("reward_raw", "zero_variance_share", "zero_variance_share_adjusted", "entropy", "mean_cosine")


@dataclasses.dataclass(frozen=True)
class Job:
    """Everything a run needs, loaded and checked."""

    config: TrainConfig
    problems: Dataset
    backbone: Backbone
    order: Order  # None in a plan that made none
    plan: Plan
    progress: bool
    embedder: Embed | None = None
    longest_prompt: int = 0
    algorithms: tuple[Algorithm, ...] = ()  # those that the config names, then those given as objects

    @property
    def hooks(self) -> Hooks:
        """The callables among the algorithms."""
        return next((part for part in self.algorithms if isinstance(part, Hooks)), Hooks())

    @property
    def most_rows(self) -> int:
        """The most completions of a prompt that a rollout trains; G where none states more."""
        return max([self.config.group_size, *(part.most_rows(self.config) for part in self.algorithms)])

    @functools.cached_property
    def run_id(self) -> str:
        """Name from the content, as it was before training: the same job has the same folder."""
        from hammerlib.models.backbone import own_parts
        from hammerlib.problems import fingerprint

        identity = content_hash(
            self.config.identity(),
            fingerprint(self.problems),
            self.order.hash,
            self.backbone.weights_hash,
            self.hooks.names(),
            self.plan.processes,
            str(self.backbone.device).split(":")[0],
            str(self.backbone.dtype),
            *([name_of(self.embedder)] if self.embedder else []),
            *own_parts(self.backbone),
            *names_of(self.algorithms[len(self.config.algorithms) :]),  # objects; the config names the others
        )
        strategy = file_name("strategy", self.order.strategy.rpartition(":")[2])  # of one's own: the function
        return f"train__{strategy}__{self.config.adjustment}__s{self.config.seed}__{identity[:10]}"


def train(
    config: TrainConfig,
    *,
    problems: Dataset | None = None,
    order: Order | None = None,
    root: Path | None = None,
    algorithms: Sequence[Algorithm] = (),
    rewards: Sequence[Reward] = (),
    embedder: Embed | None = None,
    progress: bool = True,
    plugs: Hooks | None = None,
) -> RunRecord:
    """Train a backbone with GRPO on problems in a verified order.

    A run that ended with success is returned from disk at once; one that was killed resumes from its newest
    whole checkpoint (from the start without ``save_steps``) and, on one process in float32, ends with the
    same index log, weights and metrics as an unbroken one. Torch's number of threads is set for this process.

    Parameters
    ----------
    config : TrainConfig
    problems : Dataset, optional
        Problem table; default `load_problems` with the config's source, split and number.
    order : Order, optional
        Must have been made for `problems`; default: the config's strategy on embeddings of the backbone that
        is trained.
    root : Path, optional
        Where run folders stand; default `results_root()`.
    algorithms : sequence of Algorithm, optional
        Objects, composed after those that the config names; they name the run by class, code and settings.
        `Hooks` holds callables, where a class would be too much.
    rewards : sequence of callables, optional
        Reward functions with TRL's signature, in place of those that the config names.
    embedder : callable, list of n str -> (n, d) array, optional
        Embeds the completions for DRA in place of what the config names.
    progress : bool
        Show one progress line (never under CI).
    plugs : Hooks, optional
        Old spelling of the last of `algorithms`, for one release.

    Returns
    -------
    RunRecord
        Folder with ``manifest.json``, ``metrics.csv``, ``index_log.csv``, ``order.json``, ``completions/``
        and ``model/`` (for `load_backbone`).

    Raises
    ------
    InputError
        Anything `TrainConfig.validate` or `plan` refuses, an order made for other problems, a backbone
        without chat template where the config asks for chat, an `embedder` without DRA.
    OrderMismatchError
        The data loader handed over another problem than the order says.

    References
    ----------
    Shao et al. 2024 (arXiv 2402.03300): GRPO, as TRL has it; other objectives: see `TrainConfig`.

    Examples
    --------
    >>> import hammerlib, pathlib, tempfile
    >>> config = hammerlib.TrainConfig(n_problems=8, order="random", max_completion_length=4)
    >>> train(config, root=pathlib.Path(tempfile.mkdtemp()), progress=False).status
    'success'
    """
    algorithms = [*algorithms, plugs] if plugs is not None else algorithms
    parts = {"algorithms": algorithms, "rewards": rewards, "embedder": embedder}
    job = prepare(config, problems=problems, order=order, **parts, progress=progress)
    root = Path(root or results_root())
    if not is_main():  # the main process holds the claim for all
        return find_run(job.run_id, root) or _train(job, root)
    return once(job.run_id, lambda: _train(job, root), lambda: find_run(job.run_id, root), folder=root)


def _train(job: Job, root: Path) -> RunRecord:
    from hammerlib.training.checkpoints import newest_complete, trim_run

    folder = root / job.run_id
    checkpoint, done_steps = newest_complete(folder, processes=job.plan.processes) or (None, 0)
    if not is_main():
        _fit(job, RunRecord(job.run_id, folder, {}), checkpoint, done_steps)
        return RunRecord.load(folder)
    parameters = job.config.effective()
    record = start_run("train", parameters=parameters, seeds=[job.config.seed], run_id=job.run_id, root=root)
    # what the checkpoint does not hold goes before anything is written behind it
    trim_run(folder, done_steps, checkpoint)
    forget_orders(folder, done_steps, job.plan.steps_per_epoch)
    with record:
        _describe(job, record, done_steps)
        _fit(job, record, checkpoint, done_steps)
        record.note(machine=measured(job, record))
        if job.config.dynamic_sampling:
            from hammerlib.training.dynamic import tail_of

            record.note(tail_dropped=tail_of(job, record.folder))
        _summarise(record)
        if job.config.token_budget is not None:  # which may have ended the run before
            record.note(whole_epoch=record.metrics["steps"]["value"] >= job.plan.steps_per_epoch)
    return record


def prepare(
    config: TrainConfig,
    *,
    problems: Dataset | None = None,
    order: Order | None = None,
    algorithms: Sequence[Algorithm] = (),
    rewards: Sequence[Reward] = (),
    embedder: Embed | None = None,
    progress: bool = True,
    processes: int | None = None,
    weights: bool = True,
) -> Job:
    """Load and check everything a run needs, writing nothing but the embedding cache.

    Without `weights` the model has its shape alone, and an order is not made.
    """
    from hammerlib.problems import check_problems, load_problems
    from hammerlib.problems.registry import refuse_code

    check_is("config", config, TrainConfig, "a TrainConfig", "use TrainConfig(...) or TrainConfig.from_dict")
    if problems is not None and not hasattr(problems, "column_names"):
        raise InputError("problems", problems, "are no table of problems", "make one with load_problems")
    if order is not None and not hasattr(order, "verify"):
        raise InputError("order", order, "is no Order", "make one with order_by, or Order.load")
    if embedder is not None and config.adjustment != "dra":
        raise InputError("embedder", name_of(embedder), "has nothing to embed", "set adjustment: dra")
    if problems is None:
        config.validate()
        options = {"split": config.split, "n": config.n_problems, "columns": config.columns}
        problems = load_problems(config.problems, seed=0, **options)
    check_problems(problems)
    if "scorer" in problems.column_names:
        for scorer in set(problems["scorer"][:]):
            refuse_code(scorer, run_code=False, remedy="train on problems whose scorers are audited")
    # the table decides how many there are, whatever number was asked for
    config = dataclasses.replace(config, n_problems=len(problems)).validate()
    if weights:
        check_engine(config)
    need("torch", "transformers", "accelerate", "trl")
    if config.lora_rank:
        need("peft")
    if config.load_in_4bit and weights:
        need("bitsandbytes")
    if rewards:
        algorithms = [GivenRewards(rewards), *algorithms]
    checked = _algorithms(config, algorithms)
    import torch

    from hammerlib.models import load_backbone
    from hammerlib.models.backbone import outline_backbone

    torch.set_num_threads(config.threads)
    # Adapters leave the base as it is; full training wants float32 weights under bfloat16 autocast too.
    dtype = None if config.lora_rank else "float32"
    if weights:
        gpu = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        device = gpu if torch.cuda.is_available() else "cpu"
        backbone = load_backbone(config.backbone, dtype=dtype, device=device)
    else:
        backbone = outline_backbone(config.backbone)
    longest = _check_length(config, problems, backbone, checked)
    if order is not None and config.epoch_order == "reorder" and order.strategy != config.order:
        problem = f"cannot be made again as {config.order} at the next epoch"
        raise InputError("order", order.strategy, problem, f"set order: {order.strategy} in the config")
    if order is None and weights:
        order = make_order(config, problems, backbone)
    if order is not None:
        order.verify(problems)
    batches = plan(config, len(problems), processes)
    check_vllm(config, processes=batches.processes)
    job = Job(config, problems, backbone, order, batches, progress, embedder, longest, checked)
    _check_growth(job)
    return job


def _algorithms(config: TrainConfig, given: Sequence[Algorithm]) -> tuple[Algorithm, ...]:
    """The config's algorithms and those given, each of which has checked the config."""
    from hammerlib.training.checkpoints import check_state

    for algorithm in given:
        remedy = "give an object of a subclass of hammerlib.training.Algorithm"
        check_is("algorithms", algorithm, Algorithm, "an algorithm", remedy)
        algorithm.check(config)
    if sum(isinstance(algorithm, Hooks) for algorithm in given) > 1:
        raise InputError("algorithms", "Hooks", "stands there more than once", "put all callables into one")
    algorithms = (*make_algorithms(config), *given)
    hooks = compose(algorithms)
    if hooks.rollout is not None or config.dynamic_sampling:
        problem = "are not called by a rollout of an algorithm's own, nor by dynamic sampling"
        for name in ("tools", "environment"):
            if getattr(config, name):
                raise InputError(name, getattr(config, name), problem, "leave one or the other out")
    if config.save_steps is not None:
        check_state(algorithms)
    return algorithms


def _check_growth(job: Job) -> None:
    """Refuse what counts the rows of a batch where a rollout's batches grow."""
    config = job.config
    most = job.most_rows
    if most == config.group_size:
        return
    stated = f"cannot go with a rollout of up to {most} rows a prompt for group_size {config.group_size}"
    if config.entropy_coef and config.loss_type != "dapo":
        problem = f"{stated}: the mean over tokens would be multiplied with the rows"
        raise InputError("entropy_coef", config.entropy_coef, problem, "set it to 0, or loss_type: dapo")
    if config.adjustment_options.get("scope") == "official-local":
        raise InputError("adjustment_options.scope", "official-local", stated, "leave scope out")


def _check_length(
    config: TrainConfig, problems: Dataset, backbone: Backbone, algorithms: Sequence[Algorithm]
) -> int:
    """Return the longest prompt's tokens; refuse one that with a completion passes the model's positions."""
    tokens = prompt_ids(backbone.tokenizer, problems["prompt"][:], config.template, names=problems["id"][:])
    made = [algorithm.most_prompt_tokens(config) or 0 for algorithm in algorithms]
    longest = max([*map(len, tokens), *made])
    if config.tools or config.environment:
        from hammerlib.training.build import tool_tokens

        longest += tool_tokens(config, backbone.tokenizer)
    positions = getattr(backbone.model.config, "max_position_embeddings", None)
    if positions and longest + config.max_completion_length > positions:
        problem = f"with a prompt of {longest} tokens it exceeds the model's {positions} positions"
        raise InputError("max_completion_length", config.max_completion_length, problem, "lower it")
    return longest


def _describe(job: Job, record: RunRecord, done_steps: int) -> None:
    from hammerlib.problems import fingerprint

    dropped = []
    if not job.config.dynamic_sampling:  # which finds out while it trains
        dropped = ids_of(job.problems, job.order)[job.plan.blocks * job.plan.prompts :]
    if named := names_of(job.algorithms):
        meanings = {name: text for part in job.algorithms for name, text in part.METRICS.items()}
        record.note(algorithms=named, metric_meanings=meanings)
    job.order.save(record.folder / "order.json")
    record.artefact("order.json")
    record.note(
        problems_fingerprint=fingerprint(job.problems),
        n_problems=len(job.problems),
        order_hash=job.order.hash,
        order_cost=job.order.cost,
        order_random_cost=job.order.random_cost,
        backbone=job.backbone.name,
        revision=job.backbone.revision,
        backbone_weights=job.backbone.weights_hash,
        device=str(job.backbone.device),
        dtype=str(job.backbone.dtype),
        plugs=job.hooks.names(),
        embedder=name_of(job.embedder) or job.config.embedder,
        schedule=dataclasses.asdict(job.plan),
        tail_dropped=dropped,
        whole_epoch=job.plan.steps >= job.plan.steps_per_epoch,
        resumed_from_step=done_steps or None,
    )


def _fit(job: Job, record: RunRecord, checkpoint: Path | None, done_steps: int) -> None:
    from hammerlib.training.build import build_trainer, quiet, save_model
    from hammerlib.training.checkpoints import FOLDER, restore, resumable
    from hammerlib.training.trainer import same_everywhere

    if checkpoint is not None:
        restore(job.algorithms, checkpoint)
    with quiet():
        trainer = build_trainer(job, record, done_steps)
        if trainer.accelerator.num_processes > 1:
            same_everywhere("run", job.run_id, "name and its parts")
        with resumable(record.folder, job.plan.processes):
            trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
        save_model(trainer, job, record.folder)
    for folder in (FOLDER, "reference"):
        shutil.rmtree(record.folder / folder, ignore_errors=True)


def _summarise(record: RunRecord) -> None:
    """Put the curve's ends into the manifest: means over the first and last tenth of the steps."""
    from hammerlib.training.logs import SKIPPED

    patterns = ("index_log*.csv", "metrics.csv", SKIPPED, "model/*", "completions/*.parquet")
    files = [path for pattern in patterns for path in record.folder.glob(pattern)]
    record.artefact(*(path.relative_to(record.folder).as_posix() for path in sorted(files)))
    table = record.table("metrics.csv").pivot_table(index="step", columns="metric", values="value")
    tenth = max(1, len(table) // 10)
    for name in SUMMARISED:
        if name not in table:  # nothing was trained
            continue
        values = table[name].dropna()
        record.metric(f"{name}_first", values.head(tenth).mean(), n=tenth)
        record.metric(f"{name}_last", values.tail(tenth).mean(), n=tenth)
    record.metric("seconds_per_step", table["seconds"].median(), n=len(table), unit="s")
    record.metric("steps", len(table), unit="optimizer steps")


# Several runs over workers


def run_grid(
    configs: Sequence[TrainConfig],
    *,
    problems: Sequence[Dataset] | None = None,
    algorithms: Sequence[Sequence[Algorithm]] | None = None,
    workers: int = 2,
    backend: str = "process",
    root: Path | None = None,
) -> list[RunRecord]:
    """Train every config, several at a time, and return the records in the order of `configs`.

    Runs that are on disk with success are reused and interrupted ones resumed, because `train` does so. Equal
    configs are trained once. A run that fails, or whose process dies, does not stop the others. One worker is
    this process itself.
    """
    configs = list(configs)
    if not configs:
        raise InputError("configs", configs, "holds no run", "give at least one TrainConfig")
    for config in configs:
        config.validate()
    given = {"problems": problems, "algorithms": algorithms}
    given = {name: values for name, values in given.items() if values is not None}
    for name, values in given.items():
        if len(values) != len(configs):
            problem = f"are not one for each of {len(configs)} configs"
            raise InputError(name, len(values), problem, "give as many")
    folder = Path(root or results_root())
    # Equal configs are one run, unless tables or algorithms of their own make them others.
    first = list(range(len(configs))) if given else [configs.index(config) for config in configs]
    distinct = sorted(set(first))
    jobs = [(configs[k], folder, {name: values[k] for name, values in given.items()}) for k in distinct]
    names = [f"{config.order}-{config.adjustment}-s{config.seed}" for config, *_ in jobs]
    results = map_named("configs", _train_one, names, jobs, workers, backend, label="train")
    return [results[distinct.index(k)] for k in first]


def _train_one(job: tuple) -> RunRecord:
    config, root, own = job
    return train(config, root=root, progress=False, **own)
