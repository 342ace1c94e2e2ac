"""One trial of a study: train an arm in a replicate, examine it on the way, write one record."""

from __future__ import annotations

import dataclasses
import functools
import json
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hammerlib.errors import InputError
from hammerlib.models.backbone import kept, save_backbone
from hammerlib.models.nano.solutions import STRATEGIES, strategy_of
from hammerlib.problems import fingerprint
from hammerlib.runs import RunRecord, once, workroom
from hammerlib.runs.storage import (
    atomic_path,
    cache_dir,
    content_hash,
    discard,
    file_name,
    read_object,
    sealed,
    write_json,
)
from hammerlib.runs.trials import read_record, record_status
from hammerlib.study.algorithms import plugs_of
from hammerlib.study.orders import arm_order, learnable_window, order_vectors
from hammerlib.study.plan import Cell

if TYPE_CHECKING:
    from datasets import Dataset

    from hammerlib.models import Backbone
    from hammerlib.ordering import Order
    from hammerlib.study.plan import Study
    from hammerlib.training import TrainConfig
    from hammerlib.training.hooks import Rollout

FIRST_SEED = 1000  # of the problems of replicate 0: no notebook draws from these


@dataclass(frozen=True)
class Replicate:
    """What all arms of a replicate share."""

    number: int
    start: str
    origin: dict[str, Any]
    problems: Dataset
    held_out: Dataset


def replicate(study: Study, number: int) -> Replicate:
    """Return a replicate; its start is trained first where it does not exist."""
    from hammerlib.problems import load_problems

    origin = origin_of(study, number)
    start = origin["backbone"] if "backbone" in origin else str(nano_start(study, origin))
    seed = FIRST_SEED + number
    source = study.held_out or study.problems
    part, many = study.held_out_split, study.n_held_out
    held_out = load_problems(source, split=part, n=many, seed=seed, columns=study.columns)
    return Replicate(number, start, origin, _seen(study, seed), held_out)


def origin_of(study: Study, number: int) -> dict[str, Any]:
    """Return the start of a replicate: all seeds at the first stop, then all at the next, then again."""
    if "backbone" in study.starts:
        return {"backbone": study.starts["backbone"]}
    seeds, stops = study.starts["seeds"], study.starts["stops"]
    stop = stops[number // len(seeds) % len(stops)]
    return {"seed": seeds[number % len(seeds)], "stop": stop}


def _seen(study: Study, seed: int) -> Dataset:
    """RL problems without the topics left out: as many are drawn as it takes, the first ones kept."""
    from hammerlib.problems import load_problems

    many = study.n_problems
    for _ in range(4):
        table = load_problems(study.problems, split=study.split, n=many, seed=seed, columns=study.columns)
        if not study.unseen:
            return table
        topics = set(table["topic"])
        unknown = sorted(set(study.unseen) - topics)
        if unknown:
            raise InputError(
                "unseen", unknown, "are no topics here", f"use some of {', '.join(sorted(topics))}"
            )
        places = [place for place, topic in enumerate(table["topic"]) if topic not in study.unseen]
        if len(places) >= study.n_problems:
            return table.select(places[: study.n_problems])
        many = int(many * 1.1 * study.n_problems / max(1, len(places))) + 1
    raise InputError(
        "n_problems", study.n_problems, "are not left without the unseen topics", "ask for fewer"
    )


def nano_start(study: Study, origin: dict[str, Any]) -> Path:
    """Return the folder of a supervised nano checkpoint, trained to its stop where it is not there yet."""
    from hammerlib.models.nano.recipe import Recipe, settings

    extra = {key: value for key, value in study.starts.items() if key not in ("seeds", "stops")}
    stops = sorted(study.starts["stops"])
    recipe = Recipe(**extra, seed=origin["seed"], steps=stops[-1])
    # The number of steps only ends the recipe; it changes no weight before.
    named = {stop: content_hash(settings(dataclasses.replace(recipe, steps=stop)))[:12] for stop in stops}
    folders = {
        stop: cache_dir("starts") / f"nano-s{recipe.seed}-{stop}-{name}" for stop, name in named.items()
    }

    def look() -> dict[int, Path] | None:
        whole = [kept(folder) for folder in folders.values()]  # every one looked at: damaged ones go
        return folders if all(whole) else None

    key = f"nano-s{recipe.seed}-{named[stops[-1]]}"
    return once(key, lambda: _train_start(recipe, folders), look, folder=cache_dir("starts"))[origin["stop"]]


def _train_start(recipe: Any, folders: dict[int, Path]) -> dict[int, Path]:
    from hammerlib.models.nano.recipe import batches, supervise, untrained
    from hammerlib.models.nano.tokenizer import build_tokenizer
    from hammerlib.problems import load_problems

    table = load_problems("reasoning-gym:nano", split="supervised", n=recipe.problems, seed=recipe.seed)
    model, tokenizer = untrained(recipe), build_tokenizer()

    def keep(step: int) -> None:
        if step in folders and not folders[step].is_dir():
            save_backbone(model, tokenizer, folders[step])

    supervise(model, batches(recipe, table), recipe, after=keep)
    return folders


ROWS = 256  # samples generated at once; measured on two cores: more is no faster, less is


@dataclass
class Examination:
    """A set of problems with a number of samples each; every sample has random numbers of its own."""

    problems: Dataset
    backbone: Backbone
    samples: int
    seed: int
    max_new_tokens: int = 48
    template: str = "raw"
    temperature: float = 1.0

    def ask(self, model: Any = None) -> dict[str, Any]:
        """Return what a model gets right."""
        from hammerlib.evaluation.engines import Sampling, open_engine
        from hammerlib.grading import grade

        model = model or self.backbone.model
        sampling = Sampling(self.temperature, 1.0, self.max_new_tokens, self.seed)
        engine = open_engine("transformers", dataclasses.replace(self.backbone, model=model), sampling)
        rows = self.problems.to_list()
        prompts = engine.encode([row["prompt"] for row in rows], self.template)
        # By length, so that rows of a batch are padded little; the numbers do not hang on the batch.
        order = sorted(range(len(rows)), key=lambda place: (len(prompts[place]), place))
        jobs = [(place, sample) for place in order for sample in range(self.samples)]
        said: list[list[Any]] = [[] for _ in rows]
        training = model.training
        model.eval()
        for start in range(0, len(jobs), ROWS):
            part = jobs[start : start + ROWS]
            names = [(rows[place]["id"], sample) for place, sample in part]
            found = engine.generate([prompts[place] for place, _ in part], names)
            for (place, _), completion in zip(part, found, strict=True):
                said[place].append(completion)
        model.train(training)
        graded = [[grade(one.text, row) for one in group] for row, group in zip(rows, said, strict=True)]
        pairs = [(one, mark) for group, marks in zip(said, graded, strict=True)
                 for one, mark in zip(group, marks, strict=True)]  # fmt: skip
        ways = Counter(strategy_of(one.text) for one, mark in pairs if mark.correct)
        return {
            "correct": [sum(mark.correct for mark in marks) for marks in graded],
            "answers": sum(len({mark.extracted for mark in marks}) for marks in graded) / len(graded),
            "truncated": sum(one.truncated for one, _ in pairs) / len(pairs),
            "strategies": {name: ways[name] for name in STRATEGIES if ways[name]},
        }


@dataclass
class Curve:
    """The ``observe`` plug that examines the policy at chosen numbers of rollouts."""

    examination: Examination
    marks: list[int]
    points: list[dict[str, Any]] = field(default_factory=list)
    trainer: Any = None
    rollouts: int = 0
    _started: float = 0.0
    _examined: float = 0.0

    def __call__(self, rollout: Rollout) -> dict[str, float]:
        """Examine the policy that generated `rollout` where a mark is reached, then count it."""
        if self.trainer is None:
            self._started = time.perf_counter()
        self.trainer = rollout.trainer
        passed = [mark for mark in self.marks if mark <= self.rollouts]
        if len(passed) > len(self.points):
            self.examine(rollout.step)
        self.rollouts += len(rollout.rows) + (len(rollout.excluded.rows) if rollout.excluded else 0)
        return {}

    def examine(self, step: int) -> None:
        """Add a point for the policy as it is."""
        before = time.perf_counter()
        found = self.examination.ask(self.model())
        seconds = before - self._started - self._examined
        self._examined += time.perf_counter() - before
        self.points.append({"step": step, "rollouts": self.rollouts, "seconds": round(seconds, 2), **found})

    def model(self) -> Any:
        """Return the policy, without what distributed training wraps around it."""
        return self.trainer.accelerator.unwrap_model(self.trainer.model)


SCHEMA = 1
PROBES = 8  # samples of the start for each problem's pass rate
TOLD = ("direction", "path_correlation", "moved")  # of an order's provenance
# Per step, from the training's metrics.
KEPT = (
    "reward_raw",
    "reward",
    "entropy",
    "zero_variance_share",
    "zero_variance_share_adjusted",
    "mean_cosine",
)
KEPT += ("effective_group_size", "distinct_wrong", "grad_norm", "mean_length", "generated")


def run_cell(cell: Cell, root: str | Path) -> Path:
    """Run a cell unless its record is there.

    Parameters
    ----------
    cell : Cell
    root : str or Path
        Folder of studies; the record is ``<root>/<study>/<cell>.json``.

    Returns
    -------
    Path
        Of the record, whose ``status`` is ``success``.

    Raises
    ------
    InputError
        Settings that cannot be trained.
    """
    path = _place(cell, root)

    def make() -> Path:
        write_record(path, _run(cell))
        return path

    return once(cell.name, make, lambda: path if done(cell, root) else None, folder=path.parent)


def record_cell(cell: Cell, folder: str | Path) -> Path:
    """Run a cell for `sweep.run_cells`, which names the folder of the study's records."""
    return run_cell(cell, Path(folder).parent)


def done(cell: Cell, root: str | Path) -> bool:
    """Whether a cell's record is there, with success and of these settings."""
    return record_status(read_record(cell, _place(cell, root).parent), cell.identity) == "done"


def _place(cell: Cell, root: str | Path) -> Path:
    return Path(root) / file_name("study", cell.study.study) / f"{file_name('cell', cell.name)}.json"


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a record with its seal, whole or not at all, a line a field."""
    lines = []
    for key, value in sealed(record).items():
        text = json.dumps(value)
        if key == "curve":
            text = "[\n" + ",\n".join(json.dumps(point) for point in value) + "\n]"
        lines.append(f"{json.dumps(key)}: {text}")
    with atomic_path(path) as part:
        part.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _run(cell: Cell) -> dict[str, Any]:
    from hammerlib.models import load_backbone
    from hammerlib.training import train

    started = time.perf_counter()
    study, shared = cell.study, replicate(cell.study, cell.replicate)
    backbone = load_backbone(shared.start, dtype="float32")
    pass_rates = _pass_rates(cell, shared, backbone)
    problems, order, config = _lesson(cell, shared, backbone, pass_rates)
    total = _rollouts(config, len(problems))
    marks = [round(total * point / study.points) for point in range(study.points)]
    curve = Curve(_examination(cell, shared, backbone, study.samples), marks)
    plugs = dataclasses.replace(plugs_of(cell.setting("bonus"), cell.replicate), observe=curve)
    with workroom() as place:
        run = train(config, problems=problems, order=order, root=place, plugs=plugs, progress=False)
        steps = _training(run)
        made = _provenance(run)
    curve.examine(len(steps["generated"]))
    final = _final(cell, shared, backbone, curve)
    trained = {
        "probe_rollouts": 0 if pass_rates is None else PROBES * len(shared.problems),
        "topics": shared.held_out["topic"][:],
        "unseen": study.unseen,
        "curve": _complete(curve, steps, config.group_size),
        "final": final,
        "training": {name: steps[name] for name in KEPT if name in steps},
    }
    told = _head(cell) | made | _origin(cell, shared, backbone, order) | trained
    return told | {"seconds": round(time.perf_counter() - started, 1)}


def _head(cell: Cell) -> dict[str, Any]:
    """Which cell a record is of."""
    return {
        "schema_version": SCHEMA,
        "study": cell.study.study,
        "arm": cell.arm,
        "twin": cell.twin,
        "replicate": cell.replicate,
        "identity": cell.identity,
        "status": "success",
        "error": None,
    }


def _origin(cell: Cell, shared: Replicate, backbone: Backbone, order: Order) -> dict[str, Any]:
    """What was trained: settings, start, problems and order."""
    start = {"weights": backbone.weights_hash, "parameters": backbone.model.num_parameters()}
    costs = {"cost": order.cost, "random_cost": order.random_cost, "first": int(order.permutation[0])}
    costs |= {name: order.provenance[name] for name in TOLD if name in order.provenance}
    if order.gap is not None:
        costs |= {"lower_bound": order.lower_bound, "gap": order.gap}
    return {
        "settings": cell.settings(),
        "start": {**shared.origin, **start},
        "problems": fingerprint(shared.problems),
        "held_out": fingerprint(shared.held_out),
        "order": {"strategy": order.strategy, "hash": order.hash, **costs},
    }


def _config(cell: Cell, shared: Replicate) -> TrainConfig:
    config = cell.study.config(cell.arm)
    fresh = {"backbone": shared.start, "split": cell.study.split, "n_problems": len(shared.problems)}
    return dataclasses.replace(config, **fresh, seed=shared.number, completions_every=None)


def _lesson(
    cell: Cell, shared: Replicate, backbone: Backbone, pass_rates: np.ndarray | None
) -> tuple[Dataset, Order, TrainConfig]:
    """What is trained: the problems (all, or those of a window), their order, and with which settings."""
    config, problems = _config(cell, shared), shared.problems
    if cell.setting("window") is not None:
        size = config.prompts_per_step
        how = {"samples": PROBES, "prompts_per_step": size, "seed": shared.number}
        found = learnable_window(problems, pass_rates, cell.setting("window"), **how)
        problems, pass_rates = found.problems, pass_rates[found.rows]
        trained = {"n_problems": len(problems), "epochs": found.epochs, "max_steps": found.max_steps}
        config = dataclasses.replace(config, **trained)
    how = {"layer": config.layer, "pooling": config.pooling, "template": config.template}
    vectors_of = functools.partial(
        order_vectors, problems=problems, backbone=backbone, seed=shared.number, **how
    )
    settings = cell.study.order(cell.arm)
    order = arm_order(settings, problems, vectors_of, pass_rates=pass_rates, seed=shared.number)
    return problems, order, config


def _pass_rates(cell: Cell, shared: Replicate, backbone: Backbone) -> np.ndarray | None:
    """The start's pass rate on every RL problem, where the arm needs it; the arms of a replicate share it."""
    if not cell.study.order(cell.arm).needs_pass_rates and cell.setting("window") is None:
        return None
    from hammerlib.models.backbone import own_parts

    asked = _examination(cell, shared, backbone, PROBES)
    asked = dataclasses.replace(asked, problems=shared.problems)
    named = [backbone.weights_hash, fingerprint(shared.problems), PROBES, shared.number]
    named += [*own_parts(backbone), asked.max_new_tokens, asked.template]
    name = f"{content_hash(*named)[:16]}.json"
    folder = cache_dir("pass-rates")

    def make() -> list[int]:
        correct = asked.ask()["correct"]
        write_json(folder / name, sealed({"correct": correct}))
        return correct

    correct = once(name, make, lambda: _probed(folder / name, len(shared.problems)), folder=folder)
    return np.array(correct) / PROBES


def _probed(path: Path, n: int) -> list[int] | None:
    """Right samples of each problem from the cache; None where there are none, or they are damaged."""
    try:
        correct = read_object(path)["correct"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as error:  # also lists, as they were kept before they had seals
        warnings.warn(f"{path.name} is made again: it {error}", stacklevel=2)
        discard(path)
        return None
    return correct if len(correct) == n else None


def _rollouts(config: TrainConfig, n: int) -> int:
    """Completions that the budget allows: those of all steps, or of one pass where groups are filtered."""
    from hammerlib.training.schedule import plan

    found = plan(config, n)
    if config.dynamic_sampling:
        return n * config.epochs * config.group_size
    return found.steps * config.prompts_per_step * config.group_size


def _examination(cell: Cell, shared: Replicate, backbone: Backbone, samples: int, **how: Any) -> Examination:
    config = cell.study.config(cell.arm)
    how = {"max_new_tokens": config.max_completion_length, "template": config.template, **how}
    return Examination(shared.held_out, backbone, samples, shared.number, **how)


def _final(cell: Cell, shared: Replicate, backbone: Backbone, curve: Curve) -> dict[str, Any]:
    """Examine the trained policy with more samples, and once greedily."""
    model, samples = curve.model(), cell.study.final_samples
    found = _examination(cell, shared, backbone, samples).ask(model)
    greedy = _examination(cell, shared, backbone, 1, temperature=0.0).ask(model)
    return {"samples": samples, **found, "greedy": greedy["correct"]}


def _training(run: RunRecord) -> dict[str, list[float | None]]:
    """Each metric of the training as a list over steps, four decimals."""
    table = run.table("metrics.csv").pivot_table(index="step", columns="metric", values="value")
    rounded = table.round(4).astype(object).where(table.notna(), None)
    return {name: rounded[name].tolist() for name in table}


def _complete(curve: Curve, steps: dict[str, list], group_size: int) -> list[dict[str, Any]]:
    """The curve's points with prompts and tokens consumed so far."""
    generated, tokens = np.cumsum([0, *steps["generated"]]), [0, *steps["tokens"]]
    return [
        {"step": point["step"], "rollouts": int(generated[point["step"]]),
         "prompts": int(generated[point["step"]]) // group_size, "tokens": int(tokens[point["step"]]),
         **{name: value for name, value in point.items() if name not in ("step", "rollouts")}}
        for point in curve.points
    ]  # fmt: skip


def _provenance(run: RunRecord) -> dict[str, Any]:
    return {**run.manifest["git"], "packages": run.manifest["packages"], "python": run.manifest["python"]}
