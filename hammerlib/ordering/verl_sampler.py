"""An order for verl: the sampler class that its trainer loads by path. The only file that imports verl.

In verl's configuration (``data.hammer_order`` is ours, the rest verl's own names)::

    data:
      shuffle: false
      dataloader_num_workers: 0        # verl insists, so that no batch is fetched before its turn
      hammer_order: order.json         # what `hammer order` wrote for the rows of train_files
      sampler:
        class_path: <folder of hammerlib>/ordering/verl_sampler.py
        class_name: OrderSampler

Rows that verl drops as too long would shift all others: set ``data.filter_overlong_prompts: false`` and order
what is left after filtering. Without a sampler, ``hammer order --write train.parquet`` and ``shuffle: false``
give the same sequence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sized
from typing import Any

from verl.experimental.dataset.sampler import AbstractSampler

from hammerlib.errors import InputError
from hammerlib.ordering.record import Order


class OrderSampler(AbstractSampler):
    """The rows of a data set in the sequence of a saved order.

    Parameters
    ----------
    data_source : sized
        verl's training set.
    data_config : mapping
        verl's ``data`` section with ``hammer_order``.

    Raises
    ------
    InputError
        No order named, a file that is none, an order of another number of rows, or shuffling asked for.

    Examples
    --------
    >>> OrderSampler(data_source, {"hammer_order": "order.json"})  # doctest: +SKIP
    """

    def __init__(self, data_source: Sized, data_config: Mapping[str, Any]) -> None:
        path = data_config.get("hammer_order")
        if path is None:
            raise InputError("data.hammer_order", None, "is missing", "name the file `hammer order` wrote")
        if data_config.get("shuffle"):
            raise InputError("data.shuffle", True, "would undo the order", "set data.shuffle=False")
        self.order = Order.load(path)
        if len(self.order) != len(data_source):
            problem = f"orders another number of rows than {len(data_source)}"
            raise InputError("data.hammer_order", len(self.order), problem, "order the rows verl keeps")

    def __iter__(self) -> Iterator[int]:
        return iter(self.order.permutation.tolist())

    def __len__(self) -> int:
        return len(self.order)
