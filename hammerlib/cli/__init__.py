"""Order problems, train, evaluate and publish; one command each.

Every command imports what it needs when it runs, so that ``hammer --help`` answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from hammerlib.cli import commands, compare, grading, ordering, sweep
from hammerlib.cli.terminal import plain_streams
from hammerlib.errors import EXTRAS, InputError, MissingExtra, printable

_EXAMPLES = """examples:
  hammer run                                     walk all notebooks on this laptop
  hammer run --profile ci --only 03 --set seed=1
  hammer order file:problems.jsonl --backbone smollm2-135m --out order.json
  hammer train --config train.yaml
  hammer evaluate --model nano --benchmark reasoning-gym:nano --samples 16
  hammer regrade results/runs/evaluate__...      stored completions, graded again
  hammer import theirs.jsonl --benchmark math500
  hammer compare results/runs/RUN_A theirs.jsonl --power 0.01
  hammer sweep configs/study/main.yaml --workers 2
  hammer doctor                                  what this machine can run, and why not
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command of the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after ``hammer``; default those it was started with.

    Returns
    -------
    int
        0; 1 when a notebook failed; 2 for bad input or a file that cannot be read or written, after one line
        ``error: ...`` on standard error; 130 when interrupted.

    Examples
    --------
    >>> main(["order", "file:missing.jsonl", "--embeddings", "missing.safetensors", "--out", "order.json"])
    2
    """
    chosen = build_parser().parse_args(arguments)
    if getattr(chosen, "results", None):
        os.environ["HAMMER_RESULTS"] = str(Path(chosen.results).expanduser().resolve())
    try:
        with plain_streams():
            code = chosen.command(chosen)
        sys.stdout.flush()  # a closed pipe is told here, not when the interpreter ends
        return code
    except BrokenPipeError:
        # `hammer ... | head` has seen enough; what is still buffered goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except InputError as error:
        return _fail(error, 2)
    except ModuleNotFoundError as error:
        module = str(error.name).partition(".")[0]
        if not any(module in modules for modules in EXTRAS.values()):
            raise  # a bug: its traceback is the message
        return _fail(MissingExtra(module), 2)
    except OSError as error:
        remedy = "see that it is there, readable and writable, and that its disk has room"
        return _fail(InputError("file", error.filename, error.strerror or str(error), remedy), 2)
    except RecursionError:
        problem, remedy = "is nested too deep to be read", "see that the files named hold what they should"
        return _fail(InputError("input", None, problem, remedy), 2)
    except ValueError as error:
        if "null byte" not in str(error) and "null character" not in str(error):
            raise  # a bug: its traceback is the message
        return _fail(InputError("file", None, "a name holds a null character", "give another name"), 2)
    except KeyboardInterrupt:
        return _fail("interrupted; the same command continues where it stopped", 130)
    except RuntimeError as error:
        if not getattr(error, "one_line", False):
            raise  # a bug: its traceback is the message
        return _fail(error, 2 if getattr(error, "kind", "") == InputError.__name__ else 1)


def _fail(message: object, code: int) -> int:
    print("error:", printable(" ".join(str(message).split())), file=sys.stderr)
    return code


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; each carries the function that runs it as ``command``.

    Examples
    --------
    >>> build_parser().parse_args(["run"]).profile
    'laptop'
    """
    parser = argparse.ArgumentParser(
        prog="hammer",
        description=__doc__.splitlines()[0],
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=_version())
    commands_of = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (describe, does) in _COMMANDS.items():
        told = does.__doc__.partition("\n\n")[0]
        command = commands_of.add_parser(name, help=told.partition(". ")[0].rstrip("."), description=told)
        describe(command)
        command.set_defaults(command=does)
    return parser


def _version() -> str:
    from hammerlib import __version__

    return f"hammerlib {__version__}"


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--profile", default="laptop", help="a file of configs/: ci, laptop, gpu, paper (default laptop)"
    )
    parser.add_argument("--only", metavar="START", help="names start so: 03, or 03,05, or systems/puzzle")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="one parameter; may be repeated"
    )
    _add_results(parser)


def _add_embed(parser: argparse.ArgumentParser) -> None:
    _add_problems(parser)
    parser.add_argument(
        "--backbone", default="nano", help="nano, smollm2-135m, a folder, or a hub id (default nano)"
    )
    _add_pooling(parser)
    parser.add_argument("--out", required=True, type=Path, help="safetensors file to write")


def _add_order(parser: argparse.ArgumentParser) -> None:
    _add_problems(parser, optional=True)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--backbone", help="embed with this model: nano, smollm2-135m, a folder, or a hub id")
    source.add_argument(
        "--embeddings", type=Path, help="file that `hammer embed` wrote, or an (n, d) array in an .npy file"
    )
    _add_pooling(parser)
    parser.add_argument(
        "--strategy", default="hammer", help="hammer, min-path, random, similar, ... (default hammer)"
    )
    parser.add_argument("--centre", default="none", help="none, argmin, renormalise (default none)")
    parser.add_argument(
        "--set", metavar="NAME=VALUE", action="append", default=[], help="option of the strategy, repeatable"
    )
    told = "no bound and gap: they need the path solver, which compiles for up to a minute at first use"
    parser.add_argument("--no-certificate", action="store_true", help=told)
    parser.add_argument("--out", required=True, type=Path, help="JSON file to write")
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="the problems in this order: jsonl, parquet"
    )
    parser.add_argument(
        "--explain", action="store_true", help="print the order's profile beside random orders'"
    )


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, type=Path, help="YAML file with fields of TrainConfig")
    parser.add_argument(
        "--order",
        type=Path,
        metavar="FILE",
        help="train in this order, made by `hammer order` for the problems",
    )
    parser.add_argument(
        "--dry-run", action="store_true",
        help="print batches, schedule, memory and cautions, and train nothing; no run folder is made",
    )  # fmt: skip
    parser.add_argument(
        "--processes", type=int, metavar="N", help="with --dry-run: plan for N training processes (default 1)"
    )
    _add_results(parser)


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", required=True, help="nano, smollm2-135m, a folder (also of a training run), or a hub id"
    )
    parser.add_argument(
        "--benchmark", required=True, help="gsm8k, math500, aime24, ..., or a source of problems"
    )
    _add_columns(parser)
    parser.add_argument(
        "--samples", type=int, default=16, metavar="K", help="completions a problem (default 16)"
    )
    parser.add_argument("--n", type=int, help="number of problems (default all)")
    parser.add_argument("--temperature", type=float, default=1.0, help="0 is greedy (default 1.0)")
    parser.add_argument(
        "--top-p", type=float, default=1.0, help="mass of the distribution sampled from (default 1.0)"
    )
    parser.add_argument(
        "--max-new-tokens",
        type=int,
        help="where a completion is cut off and counts as wrong (default 48 for nano, else 1024)",
    )
    parser.add_argument("--template", default="raw", help="raw, chat (default raw)")
    parser.add_argument("--prompt", default="plain", help="plain, boxed, dra-paper (default plain)")
    parser.add_argument(
        "--run-code",
        action="store_true",
        help="run what a model wrote: programs, confined; unaudited scorers, not",
    )
    parser.add_argument("--seed", type=int, default=0, help="of problems, samples and intervals (default 0)")
    parser.add_argument("--engine", default="transformers", help="transformers, vllm (default transformers)")
    parser.add_argument("--stop", nargs="+", default=(), metavar="TEXT", help="texts that end a completion")
    parser.add_argument(
        "--workers", type=int, default=1, help="processes that draw whole batches (default 1)"
    )
    parser.add_argument(
        "--backend", default="process", help="process, ray: where workers run (default process)"
    )
    parser.add_argument(
        "--seconds", type=float, help="start no batch later; what is there is summarised as partial"
    )
    _add_results(parser)


def _add_publish(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="results/runs/NAME or results/study/NAME")


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--clear-cache", action="store_true", help="delete the cache; everything in it can be made again"
    )


def _add_problems(parser: argparse.ArgumentParser, optional: bool = False) -> None:
    parser.add_argument(
        "problems",
        nargs="?" if optional else None,
        metavar="PROBLEMS",
        help="reasoning-gym:<mix>, file:<path>, or hub:<repo>[/<config>][@<revision>]",
    )
    parser.add_argument("--split", help="part of the source (reasoning-gym: supervised, rl, heldout)")
    _add_columns(parser)
    parser.add_argument("--n", type=int, help="number of problems")
    parser.add_argument("--seed", type=int, default=0, help="of problems and order (default 0)")


def _add_columns(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--columns",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=COLUMN",
        help="for a layout of its own: where prompt and answer stand, such as prompt=task answer=meta.gold",
    )


def _add_pooling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--layer", type=int, default=-1, help="hidden layer; -1 is the last, after the final norm"
    )
    parser.add_argument("--pooling", default="mean", help="mean, last, first (default mean)")
    parser.add_argument("--template", default="raw", help="raw, chat (default raw)")


def _add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", metavar="DIR", help="folder of run folders (default results/runs)")


_COMMANDS = {
    "run": (_add_run, commands.run),
    "embed": (_add_embed, commands.embed),
    "order": (_add_order, ordering.order),
    "train": (_add_train, commands.train),
    "evaluate": (_add_evaluate, commands.evaluate),
    "regrade": (grading.add_regrade, grading.regrade),
    "import": (grading.add_import, grading.bring),
    "compare": (compare.add_compare, compare.compare),
    "sweep": (sweep.add_sweep, sweep.sweep),
    "publish": (_add_publish, commands.publish),
    "doctor": (_add_doctor, commands.doctor),
}
