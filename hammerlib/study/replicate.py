"""What is fresh in every replicate and shared by its arms: start, problems, held-out problems, seed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hammerlib.backbones.load import save_backbone
from hammerlib.backbones.places import kept
from hammerlib.errors import InputError
from hammerlib.runs import claimed
from hammerlib.runs.storage import cache_dir, content_hash

if TYPE_CHECKING:
    from datasets import Dataset

    from hammerlib.study.plan import Study

FIRST_SEED = 1000  # of the problems of replicate 0: no notebook draws from these


@dataclass(frozen=True)
class Replicate:
    """What all arms of a replicate share.

    Parameters
    ----------
    number : int
        From 0; also the seed of sampling and of everything drawn in an order.
    start : str
        Backbone name or folder.
    origin : dict
        How the start was made: ``seed`` and ``stop`` of the nano recipe, or ``backbone``.
    problems, held_out : datasets.Dataset

    Examples
    --------
    >>> from hammerlib.study.plan import Study
    >>> study = Study("s", 1, {"backbone": "nano"}, {"random": {}}, n_problems=8, n_held_out=8)
    >>> len(replicate(study, 0).problems)
    8
    """

    number: int
    start: str
    origin: dict[str, Any]
    problems: Dataset
    held_out: Dataset


def replicate(study: Study, number: int) -> Replicate:
    """Return a replicate; its start is trained first where it does not exist.

    Parameters
    ----------
    study : Study
    number : int
        Start by start through the seeds first, then through the stops; problems and sampling are new each
        time.

    Returns
    -------
    Replicate

    Raises
    ------
    InputError
        A source without the topics that are left out, or too few problems.

    Examples
    --------
    >>> from hammerlib.study.plan import Study
    >>> few = {"unseen": ["sequence"], "n_problems": 7, "n_held_out": 8}
    >>> study = Study("s", 1, {"backbone": "nano"}, {"random": {}}, **few)
    >>> "sequence" in replicate(study, 0).problems["topic"]
    False
    """
    from hammerlib.problems import load_problems

    origin = origin_of(study, number)
    start = origin["backbone"] if "backbone" in origin else str(nano_start(study, origin))
    seed = FIRST_SEED + number
    source = study.held_out or study.problems
    part, many = study.held_out_split, study.n_held_out
    held_out = load_problems(source, split=part, n=many, seed=seed, columns=study.columns)
    return Replicate(number, start, origin, _seen(study, seed), held_out)


def origin_of(study: Study, number: int) -> dict[str, Any]:
    """Return the start of a replicate: all seeds at the first stop, then all at the next, then again.

    Examples
    --------
    >>> from hammerlib.study.plan import Study
    >>> study = Study("s", 4, {"seeds": [0, 1], "stops": [700, 950]}, {"random": {}})
    >>> [tuple(origin_of(study, number).values()) for number in range(3)]
    [(0, 700), (1, 700), (0, 950)]
    """
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
    """Return the folder of a supervised nano checkpoint, trained to its stop where it is not there yet.

    All stops of one seed are snapshots of one training.

    Parameters
    ----------
    study : Study
        Its ``starts`` may hold other fields of `hammerlib.nano.recipe.Recipe`.
    origin : dict
        ``seed`` and ``stop``.

    Returns
    -------
    Path
        In the cache folder, named after everything that decides the weights.

    Examples
    --------
    >>> from hammerlib.study.plan import Study
    >>> small = {"width": 16, "heads": 2, "inner": 16, "batch_size": 2, "problems": 16}
    >>> study = Study("s", 1, {"seeds": [0], "stops": [1, 2], **small}, {"random": {}})
    >>> nano_start(study, {"seed": 0, "stop": 2}).name.startswith("nano-s0-")
    True
    """
    from hammerlib.nano.recipe import Recipe, settings

    extra = {key: value for key, value in study.starts.items() if key not in ("seeds", "stops")}
    stops = sorted(study.starts["stops"])
    recipe = Recipe(**extra, seed=origin["seed"], steps=stops[-1])
    # The number of steps only ends the recipe; it changes no weight before.
    named = {stop: content_hash(settings(dataclasses.replace(recipe, steps=stop)))[:12] for stop in stops}
    folders = {
        stop: cache_dir("starts") / f"nano-s{recipe.seed}-{stop}-{name}" for stop, name in named.items()
    }
    with claimed(f"nano-s{recipe.seed}-{named[stops[-1]]}", cache_dir("starts")):
        if not all([kept(folder) for folder in folders.values()]):
            _train_start(recipe, folders)
    return folders[origin["stop"]]


def _train_start(recipe: Any, folders: dict[int, Path]) -> None:
    from hammerlib.nano.recipe import batches, supervise, untrained
    from hammerlib.nano.tokenizer import build_tokenizer
    from hammerlib.problems import load_problems

    table = load_problems("reasoning-gym:nano", split="supervised", n=recipe.problems, seed=recipe.seed)
    model, tokenizer = untrained(recipe), build_tokenizer()

    def keep(step: int) -> None:
        if step in folders and not folders[step].is_dir():
            save_backbone(model, tokenizer, folders[step])

    supervise(model, batches(recipe, table), recipe, after=keep)
