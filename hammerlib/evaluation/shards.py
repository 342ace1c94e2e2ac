"""Planned batches over worker processes or machines; whole batches, so that the samples stay the same."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from hammerlib.errors import InputError
from hammerlib.evaluation.engines import Completion, Engine, Sampling, open_engine
from hammerlib.runs.workers import Failure, map_tasks

if TYPE_CHECKING:
    from hammerlib.backbones import Backbone

RETRIES = 2  # of a batch whose process died


class Source(NamedTuple):
    """What a worker needs to open the same engine.

    Attributes
    ----------
    name, weights_hash, dtype, device : str
        Of the backbone; the worker refuses other weights.
    engine : str
    sampling : Sampling

    Examples
    --------
    >>> Source("nano", "", "float32", "cpu", "transformers", Sampling(1.0, 1.0, 8, 0)).engine
    'transformers'
    """

    name: str
    weights_hash: str
    dtype: str
    device: str
    engine: str
    sampling: Sampling


class Drawn(NamedTuple):
    """A batch's completions and the seconds they took.

    Examples
    --------
    >>> Drawn([], 0.0).seconds
    0.0
    """

    completions: list[Completion]
    seconds: float


class Draft(NamedTuple):
    """A batch to be drawn: token ids and (problem id, sample number) of each row.

    Examples
    --------
    >>> Draft([[3, 4]], [("a", 0)]).names
    [('a', 0)]
    """

    prompts: list[list[int]]
    names: list[tuple[str, int]]


def source_of(backbone: Backbone, engine: str, sampling: Sampling) -> Source:
    """Return what a worker needs to draw as this engine does; weights are hashed as they are now.

    Parameters
    ----------
    backbone : Backbone
    engine : str
        One of `ENGINES`.
    sampling : Sampling

    Examples
    --------
    >>> from hammerlib import load_backbone
    >>> source_of(load_backbone("nano"), "transformers", Sampling(1.0, 1.0, 8, 0)).name
    'nano'
    """
    from hammerlib.backbones import weights_hash

    place = backbone.device.partition(":")[0]
    return Source(backbone.name, weights_hash(backbone.model), backbone.dtype, place, engine, sampling)


def drawn_here(engine: Engine, drafts: Iterable[Draft]) -> Iterator[tuple[int, Drawn]]:
    """Draw batch by batch in this process.

    Examples
    --------
    >>> list(drawn_here(None, []))
    []
    """
    for place, draft in enumerate(drafts):
        yield place, _draw(engine, draft)


def drawn_apart(
    source: Source, drafts: Iterable[Draft], *, workers: int, backend: str
) -> Iterator[tuple[int, Drawn | Failure]]:
    """Draw batches on workers, each with one compute thread and the model of its own.

    Parameters
    ----------
    source : Source
    drafts : iterable of Draft
        Taken one by one as workers become free.
    workers : int
        Batches under way at once.
    backend : {"process", "ray"}
        As for `workers.map_tasks`. Machines of a Ray cluster need this package, and the model under the
        same name.

    Yields
    ------
    (int, Drawn or Failure)
        Place of the batch, once each, as they finish. A batch whose process dies is drawn again, twice at
        most, with the same random numbers.

    Raises
    ------
    InputError
        What `map_tasks` refuses.

    Examples
    --------
    >>> source = Source("nano", "", "float32", "cpu", "transformers", Sampling(1.0, 1.0, 8, 0))
    >>> list(drawn_apart(source, [], workers=1, backend="process"))
    []
    """
    items = ((source, draft) for draft in drafts)
    return map_tasks(
        _draw_apart, items, workers=workers, backend=backend, retries=RETRIES, gpus=_gpus(source)
    )


def _draw(engine: Engine, draft: Draft) -> Drawn:
    start = time.monotonic()
    completions = engine.generate(draft.prompts, draft.names)
    return Drawn(completions, time.monotonic() - start)


def _draw_apart(item: tuple[Source, Draft]) -> Drawn:
    source, draft = item
    return _draw(_opened(source), draft)


@lru_cache(maxsize=1)
def _opened(source: Source) -> Engine:
    from hammerlib.backbones import load_backbone

    backbone = load_backbone(source.name, dtype=source.dtype, device=source.device)
    if backbone.weights_hash != source.weights_hash:
        problem = "holds other weights in a worker than in the caller"
        raise InputError("model", source.name, problem, "save the model to a folder and evaluate that")
    return open_engine(source.engine, backbone, source.sampling)


def _gpus(source: Source) -> int:
    """GPUs to deal out; vLLM takes one even where the backbone that names its model lies on the CPU."""
    import torch

    return torch.cuda.device_count() if source.device == "cuda" or source.engine == "vllm" else 0
