"""`epoch_order: reorder`: at every epoch boundary the policy embeds the problems anew, for a new order.

One TRL run over all epochs: the dataset holds places, and a transform looks up which problem stands there in
the order of the current epoch; a callback changes that order before an epoch's first batch is fetched.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback

from hammerlib.errors import InputError
from hammerlib.models import weights_hash
from hammerlib.ordering import Order
from hammerlib.runs import workroom
from hammerlib.training.orders import ids_of, make_order, order_path

if TYPE_CHECKING:
    import datasets
    import torch

    from hammerlib.models import Backbone
    from hammerlib.runs import RunRecord
    from hammerlib.training.logs import IndexLog
    from hammerlib.training.run import Job


class EpochTable:
    """Problems behind places: row t of `places` is the problem at place t of the order that is followed.

    Parameters
    ----------
    problems : datasets.Dataset
        In table order.
    order : Order
        Of the first epoch.

    Examples
    --------
    >>> import datasets
    >>> import numpy as np
    >>> table = EpochTable(datasets.Dataset.from_dict({"id": ["a", "b"]}), Order(np.array([1, 0]), "dataset"))
    >>> table.places[0]["id"]
    'b'
    """

    def __init__(self, problems: datasets.Dataset, order: Order) -> None:
        from datasets import Dataset

        self.problems, self.order = problems, order
        self.places = Dataset.from_dict({"place": list(range(len(problems)))}).with_transform(self._rows)

    def _rows(self, batch: dict[str, list[int]]) -> dict[str, list]:
        return self.problems[self.order.permutation[batch["place"]].tolist()]


class Reorder(TrainerCallback):
    """Makes the order of every epoch after the first from the policy as it is then, and has it followed.

    Orders are saved as ``order-1.json``, ``order-2.json``, ...; a run that resumes inside an epoch takes up
    its saved order.

    Parameters
    ----------
    job : Job
    record : RunRecord
        Its manifest lists every epoch's order and tail under ``epoch_orders``.
    policy : transformers model
        The one that is trained, unwrapped; its parameters whole on every process.
    table : EpochTable
    index_log : IndexLog

    Raises
    ------
    InputError
        When training begins with sharded parameters.

    Examples
    --------
    >>> Reorder.on_epoch_begin.__name__
    'on_epoch_begin'
    """

    def __init__(
        self, job: Job, record: RunRecord, policy: torch.nn.Module, table: EpochTable, index_log: IndexLog
    ) -> None:
        self.job, self.record, self.policy = job, record, policy
        self.table, self.index_log = table, index_log

    def on_train_begin(self, args: Any, state: object, control: object, **kwargs: object) -> None:
        """Refuse parameters that no process holds whole (InputError)."""
        plugin = args.deepspeed_plugin
        if args.fsdp or PartialState().distributed_type == "FSDP" or (plugin and plugin.zero_stage == 3):
            remedy = "use epoch_order: repeat, or data-parallel training (DDP, ZeRO-2)"
            raise InputError("epoch_order", "reorder", "needs whole parameters to embed with", remedy)

    def on_epoch_begin(self, args: object, state: Any, control: object, **kwargs: object) -> None:
        """Follow the order of the epoch that begins."""
        epoch = state.global_step // self.job.plan.steps_per_epoch
        made = [self._order(epoch) if PartialState().is_main_process else None]
        order = broadcast_object_list(made)[0]
        self.table.order = order
        self.index_log.follow(ids_of(self.job.problems, order), order.permutation.tolist())

    def _order(self, epoch: int) -> Order:
        path = order_path(self.record.folder, epoch)
        if not path.exists():
            with _as_backbone(self.job.backbone, self.policy) as now, workroom() as cache:
                make_order(self.job.config, self.job.problems, now, epoch=epoch, cache_dir=cache).save(path)
        told = [self._told(one) for one in range(epoch + 1)]
        for one in told:
            self.record.artefact(one["file"])
        self.record.note(epoch_orders=told)
        return Order.load(path)

    def _told(self, epoch: int) -> dict[str, object]:
        path, trained = order_path(self.record.folder, epoch), self.job.plan.blocks * self.job.plan.prompts
        order = Order.load(path)
        left = ids_of(self.job.problems, order)[trained:]
        return {"file": path.name, "hash": order.hash, "cost": order.cost, "tail_dropped": left}


@contextlib.contextmanager
def _as_backbone(backbone: Backbone, policy: torch.nn.Module) -> Iterator[Backbone]:
    """The policy as it is now, without dropout, to be embedded with."""
    training, name = policy.training, f"policy from {backbone.name}"
    policy.eval()
    try:
        yield dataclasses.replace(backbone, name=name, model=policy, weights_hash=weights_hash(policy))
    finally:
        policy.train(training)
