"""Entry point for launchers: ``accelerate launch -m hammerlib.training.launch --config FILE``."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hammerlib.errors import InputError, printable
from hammerlib.runs.reading import read_with_settings
from hammerlib.training.config import TrainConfig
from hammerlib.training.run import train
from hammerlib.training.schedule import is_main

if TYPE_CHECKING:
    from hammerlib.ordering import Order


def read_job(
    config: Path | str | None, order: Path | None = None, settings: Sequence[str] = ()
) -> tuple[TrainConfig, Order | None]:
    """Read a config, ``name=value`` settings on top of it or alone, and an order whose strategy it names."""
    from hammerlib.ordering import STRATEGIES, Order

    if config is None and not settings:
        raise InputError("config", None, "is missing", "give --config FILE, or fields with --set name=value")
    job = TrainConfig.from_dict(read_with_settings(config, settings, field="config"))
    made = Order.load(order) if order else None
    if made is not None and made.strategy in STRATEGIES:
        job = dataclasses.replace(job, order=made.strategy)
    return job, made


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what a YAML file describes and print the run's folder."""
    parser = argparse.ArgumentParser(
        prog="hammerlib.training.launch", description="Train from a YAML file of TrainConfig fields."
    )
    parser.add_argument("--config", help="YAML file, one `name: value` line per field of TrainConfig")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="one field on top of the file's"
    )
    parser.add_argument("--order", type=Path, help="order made by `hammer order` for the same problems")
    chosen = parser.parse_args(arguments)
    try:
        config, order = read_job(chosen.config, chosen.order, chosen.set)
        record = train(config, order=order)
    except InputError as error:
        print(f"error: {printable(error)}", file=sys.stderr)
        return 2
    if is_main():
        print(record.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
