r"""Order problems, train, evaluate and publish; one command each.

Every command imports what it needs when it runs, so that ``hammer --help`` answers at once.

examples:

hammer run  (walk all notebooks on this laptop)

hammer run --profile ci --only 03 --set seed=1

hammer order file:problems.jsonl --backbone smollm2-135m --out order.json

hammer order file:problems.jsonl --backbone nano --out order.json --for verl --write ordered.parquet

hammer audit rollouts --order order.json --problems file:problems.jsonl  (a trainer's log against the order)

hammer train --set problems=file:my.jsonl --set rewards=\[accuracy]

hammer evaluate --model nano --benchmark reasoning-gym:nano --samples 16

hammer regrade results/runs/evaluate__...  (stored completions, graded again)

hammer import theirs.jsonl --benchmark math500

hammer compare results/runs/RUN_A theirs.jsonl --power 0.01

hammer view results/runs/train__...  (its groups as one page)

hammer card results/runs/train__... --push me/my-model --dry-run

hammer sweep configs/study/main.yaml --workers 2

hammer doctor  (what this machine can run, and why not)
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from hammerlib.cli import commands, measuring, ordering
from hammerlib.cli.options import one_word_each, plain_streams
from hammerlib.errors import EXTRAS, InputError, MissingExtra, printable

COMMANDS: dict[str, tuple[Callable[..., int], str]] = {
    "run": (commands.run, "Everything"),
    "doctor": (commands.doctor, "Everything"),
    "embed": (commands.embed, "Order and train"),
    "order": (ordering.order, "Order and train"),
    "train": (commands.train, "Order and train"),
    "sweep": (commands.sweep, "Order and train"),
    "audit": (ordering.audit, "Order and train"),
    "evaluate": (measuring.evaluate, "Measure"),
    "regrade": (measuring.regrade, "Measure"),
    "import": (measuring.bring, "Measure"),
    "compare": (measuring.compare, "Measure"),
    "view": (commands.view, "Measure"),
    "publish": (commands.publish, "Measure"),
    "card": (commands.card, "Measure"),
    "export": (commands.export, "Measure"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command of the command line and return its exit code.

    0; 1 when a notebook failed; 2 for bad input or a file that cannot be read or written, after one line
    ``error: ...`` on standard error; 130 when interrupted.

    Examples
    --------
    >>> main(["order", "file:missing.jsonl", "--embeddings", "missing.safetensors", "--out", "order.json"])
    2
    """
    words = one_word_each(list(sys.argv[1:] if arguments is None else arguments))
    if "_HAMMER_COMPLETE" in os.environ:
        application()(prog_name="hammer")  # the shell asks what could follow
    command = _command()
    try:
        with command.make_context("hammer", words) as context:
            code = command.invoke(context)
        sys.stdout.flush()  # a closed pipe is told here, not when the interpreter ends
        return code
    except BrokenPipeError:
        # `hammer ... | head` has seen enough; what is still buffered goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit:  # the help's printer met a closed pipe, and leaves nothing in the buffer
        return 0
    except typer.Exit as ended:  # after help or the version
        sys.stdout.flush()
        raise SystemExit(ended.exit_code) from None
    except typer.TyperException as error:  # words that no command knows, or that are no number
        asked = next((word for word in words if word in COMMANDS), "")
        problem = error.format_message().rstrip(".")
        raise SystemExit(_fail(f"{problem}; see {' '.join(('hammer', asked)).strip()} --help", 2)) from None
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


@functools.cache
def application() -> typer.Typer:
    """All commands with their groups in the help."""
    app = typer.Typer(
        name="hammer",
        help=__doc__.splitlines()[0],
        epilog=__doc__[__doc__.index("examples:") :],
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    app.callback()(_top)
    for name, (function, group) in COMMANDS.items():
        app.command(name, rich_help_panel=group)(_plainly(function))
    return app


@functools.cache
def _command() -> Any:
    return typer.main.get_command(application())


def _show_version(asked: bool) -> None:
    if asked:
        from hammerlib import __version__

        print(f"hammerlib {__version__}")
        raise typer.Exit


def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="show it and exit")
    ] = False,
) -> None:
    pass


def _plainly(function: Callable[..., int]) -> Callable[..., int]:
    """Let what a command prints pass the filter of `plain_streams`; help, which is ours, may be in colour."""

    @functools.wraps(function)
    def command(**given: Any) -> int:
        with plain_streams():
            return function(**given)

    return command
