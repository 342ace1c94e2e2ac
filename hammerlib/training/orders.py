"""The order of each epoch: made from a backbone, named on disk, forgotten when a run makes it anew."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import Dataset

    from hammerlib.models import Backbone
    from hammerlib.ordering import Order
    from hammerlib.training.config import TrainConfig


def make_order(
    config: TrainConfig,
    problems: Dataset,
    backbone: Backbone,
    *,
    epoch: int = 0,
    cache_dir: str | Path | None = None,
) -> Order:
    """Return the config's order of `problems` in the embeddings of `backbone`.

    Parameters
    ----------
    config : TrainConfig
    problems : Dataset
    backbone : Backbone
    epoch : int
        Added to the config's seed, so that a random order is another one in every epoch.
    cache_dir : str or Path, optional
        For the embeddings; default the cache folder.

    Examples
    --------
    >>> from hammerlib.models import load_backbone
    >>> from hammerlib.problems import load_problems
    >>> from hammerlib.training.config import TrainConfig
    >>> problems = load_problems("reasoning-gym:nano", split="rl", n=3)
    >>> len(make_order(TrainConfig(), problems, load_backbone("nano")))
    3
    """
    from hammerlib.models.embeddings import embed
    from hammerlib.ordering import order_by

    how = {"layer": config.layer, "pooling": config.pooling, "template": config.template}
    vectors = embed(problems, backbone, cache_dir=cache_dir, **how)
    seed = config.seed + epoch
    return order_by(config.order, vectors, problems=problems, seed=seed, **config.order_options)


def ids_of(problems: Dataset, order: Order) -> list[str]:
    """Return the problem id at each place of an order.

    Examples
    --------
    >>> import datasets
    >>> import numpy as np
    >>> from hammerlib.ordering import Order
    >>> ids_of(datasets.Dataset.from_dict({"id": ["a", "b"]}), Order(np.array([1, 0]), "dataset"))
    ['b', 'a']
    """
    ids = problems["id"][:]
    return [ids[row] for row in order.permutation.tolist()]


def order_path(folder: Path, epoch: int) -> Path:
    """Return where the order of an epoch stands in a run's folder.

    Examples
    --------
    >>> order_path(Path("run"), 0).name, order_path(Path("run"), 1).name
    ('order.json', 'order-1.json')
    """
    return folder / (f"order-{epoch}.json" if epoch else "order.json")


def forget_orders(folder: Path, step: int, steps_per_epoch: int) -> None:
    """Remove the orders of epochs that begin after optimizer step `step`: they will be made again.

    Parameters
    ----------
    folder : Path
        Of the run.
    step, steps_per_epoch : int
        Optimizer steps that count, and steps of an epoch.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for epoch in (1, 2):
    ...     _ = order_path(folder, epoch).write_text("{}")
    >>> forget_orders(folder, 5, 4)
    >>> [path.name for path in folder.iterdir()]
    ['order-1.json']
    """
    for path in folder.glob("order-*.json"):
        if int(path.stem.removeprefix("order-")) * steps_per_epoch > step:
            path.unlink()
