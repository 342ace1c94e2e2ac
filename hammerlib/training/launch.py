"""Entry point for launchers: ``accelerate launch -m hammerlib.training.launch --config FILE``."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hammerlib.errors import InputError, printable
from hammerlib.training.config import TrainConfig
from hammerlib.training.run import train
from hammerlib.training.schedule import is_main

if TYPE_CHECKING:
    from hammerlib.ordering import Order


def read_job(config: Path | str, order: Path | None = None) -> tuple[TrainConfig, Order | None]:
    """Read a config and, if given, an order made elsewhere, whose strategy the config then names."""
    from hammerlib.ordering import STRATEGIES, Order

    settings = TrainConfig.from_yaml(config)
    made = Order.load(order) if order else None
    if made is not None and made.strategy in STRATEGIES:
        settings = dataclasses.replace(settings, order=made.strategy)
    return settings, made


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what a YAML file describes and print the run's folder."""
    parser = argparse.ArgumentParser(
        prog="hammerlib.training.launch", description="Train from a YAML file of TrainConfig fields."
    )
    parser.add_argument(
        "--config", required=True, help="YAML file, one `name: value` line per field of TrainConfig"
    )
    parser.add_argument("--order", type=Path, help="order made by `hammer order` for the same problems")
    chosen = parser.parse_args(arguments)
    try:
        config, order = read_job(chosen.config, chosen.order)
        record = train(config, order=order)
    except InputError as error:
        print(f"error: {printable(error)}", file=sys.stderr)
        return 2
    if is_main():
        print(record.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
