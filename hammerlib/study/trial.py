"""One trial of a study: train an arm in a replicate, examine it on the way, write one record."""

from __future__ import annotations

import dataclasses
import functools
import json
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hammerlib.errors import InputError
from hammerlib.models.backbone import kept, own_parts, save_backbone
from hammerlib.models.nano.solutions import STRATEGIES, strategy_of
from hammerlib.models.tokens import prompt_ids
from hammerlib.models.warm import WARM_UP, warm_start
from hammerlib.problems import fingerprint
from hammerlib.runs import RunRecord, once, storage, workroom
from hammerlib.runs.trials import read_record, record_status
from hammerlib.study.algorithms import bonus_of
from hammerlib.study.orders import arm_order, learnable_window, order_vectors
from hammerlib.study.plan import Study, Trial
from hammerlib.study.records import pack_counts
from hammerlib.training.hooks import Algorithm, Rollout

if TYPE_CHECKING:
    from datasets import Dataset

    from hammerlib.models import Backbone
    from hammerlib.models.nano.recipe import Recipe
    from hammerlib.ordering import Order
    from hammerlib.training import TrainConfig

SCHEMA = 1
FIRST_SEED = 1000  # of the problems of replicate 0: no notebook draws from these
PROBES = 8  # samples of the initial checkpoint for each problem's pass rate
ROWS = 256  # samples generated at once; measured on two cores: more is no faster, less is
PROVENANCE = ("direction", "path_correlation", "moved")  # of an order, kept in the record
# Kept of the training's metrics, a value a step.
METRICS = ("reward_raw", "reward", "entropy", "zero_variance_share", "zero_variance_share_adjusted")
METRICS += ("mean_cosine", "effective_group_size", "distinct_wrong", "grad_norm", "mean_length", "generated")


# What is fresh in every replicate and shared by its arms


@dataclass(frozen=True)
class Replicate:
    """What all arms of a replicate share; its number is also the seed of sampling and of orders."""

    number: int
    start: str  # backbone name or folder of the initial checkpoint
    origin: dict[str, Any]  # how that was made: seed and stop of the nano recipe, or backbone
    problems: Dataset
    held_out: Dataset


def replicate(study: Study, number: int) -> Replicate:
    """Return a replicate; its initial checkpoint is trained first where it does not exist."""
    from hammerlib.problems import load_problems

    origin = origin_of(study, number)
    start = origin.get("backbone")
    if start is None:
        start = str(nano_start(study, origin))
    elif "seed" in origin:
        start = str(warm_start(dataclasses.replace(WARM_UP, seed=origin["seed"])))
    load = functools.partial(load_problems, seed=FIRST_SEED + number, columns=study.columns)
    held_out = load(study.held_out or study.problems, split=study.held_out_split, n=study.n_held_out)
    return Replicate(number, start, origin, _training_problems(study, load), held_out)


def origin_of(study: Study, number: int) -> dict[str, Any]:
    """Return what checkpoint a replicate begins with: all seeds at the first stop, then at the next."""
    seeds = study.starts.get("seeds")
    if "backbone" in study.starts:
        seed = {} if seeds is None else {"seed": seeds[number % len(seeds)]}
        return {"backbone": study.starts["backbone"], **seed}
    stops = study.starts["stops"]
    return {"seed": seeds[number % len(seeds)], "stop": stops[number // len(seeds) % len(stops)]}


def _training_problems(study: Study, load: Callable[..., Dataset]) -> Dataset:
    """RL problems without the topics left out: as many are drawn as it takes, the first ones kept."""
    n = study.n_problems
    if study.shares:
        return _shared_out(study, load)
    for _ in range(4):
        table = load(study.problems, split=study.split, n=n)
        if not study.unseen:
            return table
        topics = table["topic"][:]
        unknown = sorted(set(study.unseen) - set(topics))
        if unknown:
            remedy = f"use some of {', '.join(sorted(set(topics)))}"
            raise InputError("unseen", unknown, "are no topics here", remedy)
        rows = [row for row, topic in enumerate(topics) if topic not in study.unseen]
        if len(rows) >= study.n_problems:
            return table.select(rows[: study.n_problems])
        n = int(n * 1.1 * study.n_problems / max(1, len(rows))) + 1
    problem = "are not left without the unseen topics"
    raise InputError("n_problems", study.n_problems, problem, "ask for fewer")


def _shared_out(study: Study, load: Callable[..., Dataset]) -> Dataset:
    """RL problems of every topic in the study's shares, by largest remainders."""
    shares = study.shares or {}
    exact = {topic: study.n_problems * share / sum(shares.values()) for topic, share in shares.items()}
    counts = {topic: int(number) for topic, number in exact.items()}
    rest = study.n_problems - sum(counts.values())
    for topic in sorted(exact, key=lambda topic: counts[topic] - exact[topic])[:rest]:
        counts[topic] += 1
    # A source draws all topics alike: as many as the largest share takes, of which the first are kept.
    table = load(study.problems, split=study.split, n=len(counts) * max(counts.values()))
    topics = table["topic"][:]
    if set(topics) != set(counts):
        remedy = f"give shares of {', '.join(sorted(set(topics)))}"
        raise InputError("shares", sorted(counts), "are not the topics of these problems", remedy)
    rows = []
    for row, topic in enumerate(topics):
        if counts[topic]:
            counts[topic] -= 1
            rows.append(row)
    return table.select(rows)


def nano_start(study: Study, origin: dict[str, Any]) -> Path:
    """Return the folder of a nano SFT checkpoint, in the cache, trained to its stop where it is not there."""
    from hammerlib.models.nano.recipe import Recipe, settings

    changed = {key: study.starts[key] for key in study.starts if key not in ("seeds", "stops", "syntheses")}
    syntheses = study.starts.get("syntheses", 0.0)
    stops = sorted(study.starts["stops"])
    recipe = Recipe(**changed, seed=origin["seed"], steps=stops[-1])
    taught = {"syntheses": syntheses} if syntheses else {}
    # Named after everything that decides the weights. All stops of one seed are snapshots of one run.
    cache = storage.cache_dir("starts")
    folders = {}
    for stop in stops:
        # The number of steps only ends the recipe; it changes no weight before.
        name = storage.content_hash(settings(dataclasses.replace(recipe, steps=stop)) | taught)[:12]
        folders[stop] = cache / f"nano-s{recipe.seed}-{stop}-{name}"

    def look() -> dict[int, Path] | None:
        whole = [kept(folder) for folder in folders.values()]  # every one looked at: damaged ones go
        return folders if all(whole) else None

    key = f"nano-s{recipe.seed}-{storage.content_hash(settings(recipe) | taught)[:12]}"
    made = once(key, lambda: _train_nano(recipe, folders, syntheses), look, folder=cache)
    return made[origin["stop"]]


def _train_nano(recipe: Recipe, folders: dict[int, Path], syntheses: float) -> dict[int, Path]:
    from hammerlib.models.nano.recipe import batches, supervise, untrained
    from hammerlib.models.nano.tokenizer import build_tokenizer
    from hammerlib.problems import load_problems
    from hammerlib.systems.svs import with_syntheses

    table = load_problems("reasoning-gym:nano", split="supervised", n=recipe.problems, seed=recipe.seed)
    model = untrained(recipe)
    stream = batches(recipe, table)
    if syntheses:
        stream = with_syntheses(stream, syntheses, seed=recipe.seed)
    tokenizer = build_tokenizer()

    def keep(step: int) -> None:
        if step in folders and not folders[step].is_dir():
            save_backbone(model, tokenizer, folders[step])

    supervise(model, stream, recipe, after=keep)
    return folders


# What a policy can do on held-out problems, and how that changes while it is trained


def examine(
    backbone: Backbone,
    problems: Dataset,
    *,
    samples: int,
    seed: int,
    max_new_tokens: int = 48,
    template: str = "raw",
    temperature: float = 1.0,
) -> dict[str, Any]:
    """Return what a model gets right, with random numbers of its own for every sample.

    ``correct`` (right samples of each problem), ``answers`` (mean number of different answers of a problem),
    ``truncated`` (share of samples) and ``strategies`` (how often each of nano's strategies occurs among
    right samples; empty for other models). The model stays in the mode it was in.
    """
    from hammerlib.evaluation.engines import Sampling, open_engine
    from hammerlib.evaluation.evaluator import Evaluator

    engine = open_engine("transformers", backbone, Sampling(temperature, 1.0, max_new_tokens, seed))
    evaluator = Evaluator(engine, problems, samples, template=template, rows_per_batch=ROWS)
    training = backbone.model.training
    backbone.model.eval()
    groups = evaluator.samples(marked_only=False)
    backbone.model.train(training)
    everything = [sample for group in groups for sample in group]
    strategies = Counter(strategy_of(sample["completion"]) for sample in everything if sample["correct"])
    return {
        "correct": [sum(sample["correct"] for sample in group) for group in groups],
        "answers": sum(len({sample["extracted"] for sample in group}) for group in groups) / len(groups),
        "truncated": sum(sample["truncated"] for sample in everything) / len(everything),
        "strategies": {name: strategies[name] for name in STRATEGIES if strategies[name]},
    }


@dataclass(frozen=True)
class Probe:
    """Answers of the initial checkpoint, token ids, on which every later policy's entropy is measured."""

    prompt_ids: list[list[int]]
    completion_ids: list[list[int]]
    temperature: float = 1.0

    @classmethod
    def of(cls, backbone: Backbone, rows: Dataset, *, seed: int, max_new_tokens: int, template: str) -> Probe:
        """Return one answer of a backbone to every problem."""
        from hammerlib.training.generation import sample

        tokenizer = backbone.tokenizer
        prompts = prompt_ids(tokenizer, rows["prompt"], template)
        names = [(name, 0) for name in rows["id"]]
        ends = [tokenizer.eos_token_id]
        how = {"temperature": cls.temperature, "ends": ends, "pad": tokenizer.pad_token_id}
        answers, _ = sample(backbone.model, prompts, names, seed=seed, steps=max_new_tokens, **how)
        return cls(prompts, answers)

    def entropy(self, model: Any) -> float:
        """Return the mean entropy over all tokens of the answers, in nats."""
        from hammerlib.training.generation import mean_entropy

        training = model.training
        model.eval()
        answers = self.prompt_ids, self.completion_ids
        # one fixed text, scored token by token: a change is the policy's, not the sampling's
        entropy = mean_entropy(model, *answers, temperature=self.temperature, rows=ROWS)
        model.train(training)
        return entropy


@dataclass
class Curve(Algorithm):
    """Examines the policy before the first generation at or after each of some numbers of rollouts."""

    examine: Callable[[Any], dict[str, Any]] = field(repr=False)  # of a model
    marks: list[int]  # numbers of rollouts or tokens, rising from 0
    in_tokens: bool = False  # the marks are numbers of sampled tokens
    # Step, rollouts, seconds (of training alone) and what `examine` returns.
    points: list[dict[str, Any]] = field(default_factory=list)
    trainer: Any = None  # as last seen
    rollouts: int = 0
    tokens: int = 0
    _started: float = 0.0
    _examined: float = 0.0

    def observe(self, rollout: Rollout) -> dict[str, float]:
        """Examine the policy that generated `rollout` where a mark is reached, then count it."""
        if self.trainer is None:
            self._started = time.perf_counter()
        self.trainer = rollout.trainer
        used = self.tokens if self.in_tokens else self.rollouts
        passed = [mark for mark in self.marks if mark <= used]
        if len(passed) > len(self.points):
            self.add_point(rollout.step)
        self.rollouts += len(rollout.rows) + (len(rollout.excluded.rows) if rollout.excluded else 0)
        self.tokens = self.trainer.tokens["sampled_tokens"]
        return {}

    def add_point(self, step: int) -> None:
        """Add a point for the policy as it is."""
        before = time.perf_counter()
        examined = self.examine(self.model())
        seconds = before - self._started - self._examined
        self._examined += time.perf_counter() - before
        self.points.append(
            {"step": step, "rollouts": self.rollouts, "seconds": round(seconds, 2), **examined}
        )

    def model(self) -> Any:
        """Return the policy, without what distributed training wraps around it."""
        return self.trainer.accelerator.unwrap_model(self.trainer.model)


# Records


def run_trial(trial: Trial, root: str | Path) -> Path:
    """Run a trial unless its record ``<root>/<study>/<trial>.json`` is there; return its path."""
    path = _place(trial, root)

    def make() -> Path:
        write_record(path, _run(trial))
        return path

    return once(trial.name, make, lambda: path if done(trial, root) else None, folder=path.parent)


def record_trial(trial: Trial, folder: str | Path) -> Path:
    """Run a trial for `runs.trials.run_trials`, which names the folder of the study's records."""
    return run_trial(trial, Path(folder).parent)


# Old spellings, one release.
run_cell = run_trial
record_cell = record_trial


def done(trial: Trial, root: str | Path) -> bool:
    """Whether a trial's record is there, with success and of these settings."""
    return record_status(read_record(trial, _place(trial, root).parent), trial.identity) == "done"


def _place(trial: Trial, root: str | Path) -> Path:
    folder = Path(root) / storage.file_name("study", trial.study.study)
    return folder / f"{storage.file_name('cell', trial.name)}.json"


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a record with its seal, whole or not at all, a line a field and a point of the curve."""
    lines = []
    for key, value in storage.sealed(pack_counts(record)).items():
        text = json.dumps(value)
        if key == "curve":
            text = "[\n" + ",\n".join(json.dumps(point) for point in value) + "\n]"
        lines.append(f"{json.dumps(key)}: {text}")
    with storage.atomic_path(path) as file:
        file.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


# Training


def _run(trial: Trial) -> dict[str, Any]:
    """Train and examine; the record."""
    from hammerlib.models import load_backbone
    from hammerlib.training import train

    started = time.perf_counter()
    study = trial.study
    shared = replicate(study, trial.replicate)
    backbone = load_backbone(shared.start, dtype="float32")
    planned = study.config(trial.arm)
    # evaluated as trained: same length, same template
    examined = {"max_new_tokens": planned.max_completion_length, "template": planned.template}
    examined["seed"] = shared.number
    pass_rates = None
    if study.order(trial.arm).needs_pass_rates or trial.setting("window") is not None:
        pass_rates = _pass_rates(backbone, shared.problems, examined)
    problems, order, config = _prepared(trial, shared, backbone, pass_rates)

    def held_out(model: Any, samples: int = study.samples, **how: Any) -> dict[str, Any]:
        policy = dataclasses.replace(backbone, model=model)
        return examine(policy, shared.held_out, samples=samples, **examined, **how)

    budget = config.token_budget
    total = budget or _rollouts(config, len(problems))
    # The last point is not among them: it is examined after training, whatever was used by then.
    marks = [round(total * point / study.points) for point in range(study.points)]
    probe = None
    if study.probe is not None:
        probe = Probe.of(backbone, shared.held_out.select(range(study.probe)), **examined)

    def point(model: Any) -> dict[str, Any]:
        values = held_out(model)
        return values if probe is None else values | {"probe_entropy": round(probe.entropy(model), 6)}

    curve = Curve(point, marks, in_tokens=budget is not None)
    algorithms = [*bonus_of(trial.setting("bonus"), trial.replicate), curve]
    with workroom() as folder:
        run = train(
            config, problems=problems, order=order, root=folder, algorithms=algorithms, progress=False
        )
        steps = _metrics(run)
        made = {**run.manifest["git"], "packages": run.manifest["packages"], "python": run.manifest["python"]}
    # Step numbers of the log begin at 1: so many steps were made.
    # the last point is the final checkpoint's, behind the last step
    curve.add_point(len(steps["generated"]))
    final = held_out(curve.model(), study.final_samples)
    greedy = held_out(curve.model(), 1, temperature=0.0)["correct"]
    more: dict[str, Any] = {}
    for value in study.final_temperatures or ():
        frontier = more.setdefault("temperatures", {})
        frontier[f"{value:g}"] = held_out(curve.model(), study.final_samples, temperature=value)["correct"]
    if study.trained_samples:
        policy = dataclasses.replace(backbone, model=curve.model())
        answers = examine(policy, problems, samples=study.trained_samples, **examined)
        more["trained"] = {"samples": study.trained_samples, "correct": answers["correct"]}

    start = {"weights": backbone.weights_hash, "parameters": backbone.model.num_parameters()}
    judged = {"primaries": study.primaries, "primary_endpoint": study.primary_endpoint}
    # Keys as in the first records.
    return {
        **{"schema_version": SCHEMA, "study": study.study, "arm": trial.arm, "twin": trial.control},
        **{"replicate": trial.replicate, "identity": trial.identity, "status": "success", "error": None},
        **made,
        **(judged if study.primaries else {}),
        "settings": trial.settings(),
        "start": {**shared.origin, **start},
        "problems": fingerprint(shared.problems),
        "held_out": fingerprint(shared.held_out),
        "order": _order_record(order),
        "probe_rollouts": 0 if pass_rates is None else PROBES * len(shared.problems),
        "topics": shared.held_out["topic"][:],
        "unseen": study.unseen,
        "curve": _curve_record(curve.points, steps, config.group_size),
        "final": {"samples": study.final_samples, **final, "greedy": greedy},
        **more,
        "training": {name: steps[name] for name in (*METRICS, *own_metrics(planned)) if name in steps},
        "seconds": round(time.perf_counter() - started, 1),
    }


def _prepared(
    trial: Trial, shared: Replicate, backbone: Backbone, pass_rates: np.ndarray | None
) -> tuple[Dataset, Order, TrainConfig]:
    """What is trained: the problems (all, or those of a window), their order, and with which settings."""
    config = dataclasses.replace(
        trial.study.config(trial.arm),
        backbone=shared.start,
        split=trial.study.split,
        n_problems=len(shared.problems),
        seed=shared.number,
        completions_every=None,
    )
    problems = shared.problems
    if trial.setting("window") is not None:
        window = learnable_window(
            problems,
            pass_rates,
            trial.setting("window"),
            samples=PROBES,
            prompts_per_step=config.prompts_per_step,
            seed=shared.number,
        )
        problems = window.problems
        pass_rates = pass_rates[window.rows]
        budget = {"n_problems": len(problems), "epochs": window.epochs, "max_steps": window.max_steps}
        config = dataclasses.replace(config, **budget)
    vectors_of = functools.partial(
        order_vectors,
        problems=problems,
        backbone=backbone,
        seed=shared.number,
        layer=config.layer,
        pooling=config.pooling,
        template=config.template,
    )
    settings = trial.study.order(trial.arm)
    order = arm_order(settings, problems, vectors_of, pass_rates=pass_rates, seed=shared.number)
    return problems, order, config


def _pass_rates(backbone: Backbone, problems: Dataset, examined: dict[str, Any]) -> np.ndarray:
    """The initial checkpoint's pass rate on every RL problem; the arms of a replicate share it."""
    decides = [backbone.weights_hash, fingerprint(problems), PROBES, examined["seed"]]
    decides += [*own_parts(backbone), examined["max_new_tokens"], examined["template"]]
    name = f"{storage.content_hash(*decides)[:16]}.json"
    folder = storage.cache_dir("pass-rates")

    def make() -> list[int]:
        correct = examine(backbone, problems, samples=PROBES, **examined)["correct"]
        storage.write_json(folder / name, storage.sealed({"correct": correct}))
        return correct

    correct = once(name, make, lambda: _probed(folder / name, len(problems)), folder=folder)
    return np.array(correct) / PROBES


def _probed(path: Path, n: int) -> list[int] | None:
    """Right samples of each problem from the cache; None where there are none, or they are damaged."""
    try:
        correct = storage.read_object(path)["correct"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as error:  # also lists, as they were kept before they had seals
        warnings.warn(f"{path.name} is made again: it {error}", stacklevel=2)
        storage.discard(path)
        return None
    return correct if len(correct) == n else None


def _rollouts(config: TrainConfig, n: int) -> int:
    """Completions that the budget allows: those of all steps, or of one pass where groups are filtered."""
    from hammerlib.training.schedule import plan

    if config.dynamic_sampling:
        return n * config.epochs * config.group_size
    return plan(config, n).steps * config.prompts_per_step * config.group_size


def _metrics(run: RunRecord) -> dict[str, list[float | None]]:
    """Each metric of the training as a list over steps, four decimals."""
    table = run.table("metrics.csv").pivot_table(index="step", columns="metric", values="value")
    rounded = table.round(4).astype(object).where(table.notna(), None)
    return {name: rounded[name].tolist() for name in table}


def own_metrics(config: TrainConfig) -> list[str]:
    """Return the names of what the algorithms of an arm log."""
    from hammerlib.training.hooks import make_algorithms

    return [name for algorithm in make_algorithms(config) for name in algorithm.METRICS]


def _order_record(order: Order) -> dict[str, Any]:
    record = {"strategy": order.strategy, "hash": order.hash, "cost": order.cost}
    record |= {"random_cost": order.random_cost, "first": int(order.permutation[0])}
    record |= {name: order.provenance[name] for name in PROVENANCE if name in order.provenance}
    if order.gap is not None:
        record |= {"lower_bound": order.lower_bound, "gap": order.gap}
    return record


def _curve_record(points: list[dict], steps: dict[str, list], group_size: int) -> list[dict[str, Any]]:
    """The curve's points with prompts and tokens consumed so far."""
    # A step that trains on an earlier generation batch again has no completions of its own.
    generated = np.cumsum([0, *(number or 0 for number in steps["generated"])])
    tokens = [0]
    for total in steps["tokens"]:
        tokens.append(tokens[-1] if total is None else total)
    sampled = [0, *steps["sampled_tokens"]]
    curve = []
    for point in points:
        step = point["step"]
        rollouts = int(generated[step])
        axes = {"step": step, "rollouts": rollouts, "prompts": rollouts // group_size}
        axes |= {"tokens": int(tokens[step]), "sampled_tokens": int(sampled[step])}
        curve.append(axes | {name: value for name, value in point.items() if name not in axes})
    return curve
