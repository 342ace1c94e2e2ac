"""Entry point for launchers: ``accelerate launch -m hammerlib.training.launch --config FILE``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from hammerlib.errors import InputError
from hammerlib.training.config import TrainConfig
from hammerlib.training.run import train
from hammerlib.training.schedule import is_main


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what a YAML file describes and print the run's folder.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default ``sys.argv[1:]``.

    Returns
    -------
    int
        0, or 2 with one line on standard error for bad input.

    Examples
    --------
    >>> main(["--config", "missing.yaml"])
    2
    """
    parser = argparse.ArgumentParser(
        prog="hammerlib.training.launch", description="Train from a YAML file of TrainConfig fields."
    )
    parser.add_argument(
        "--config", required=True, help="YAML file, one `name: value` line per field of TrainConfig"
    )
    chosen = parser.parse_args(arguments)
    try:
        record = train(TrainConfig.from_yaml(chosen.config))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if is_main():
        print(record.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
