"""A notebook's parameters: what its cell declares, whether a value fits, and the run that opens with them.

Papermill only warns about a misspelt name, and injects the string ``"false"`` for a flag; here both are
errors.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import json
import math
import os
import random
import sys
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hammerlib.errors import (
    InputError,
    check_fields,
    check_type,
    check_whole,
    import_from,
    import_function,
    unknown,
)
from hammerlib.pipeline.sheet import NotebookRun
from hammerlib.runs import start_run
from hammerlib.runs.reading import parse_yaml
from hammerlib.runs.storage import content_hash, discard, file_name, repository_root, results_root

# Types that a parameter may have, by their text in a cell.
TYPES: dict[str, Any] = {"bool": bool, "int": int, "float": float, "str": str}
TYPES |= {f"list[{name}]": list[kind] for name, kind in TYPES.items()}
# Whole numbers that count nothing; all others are at least 1, some more.
NO_COUNTS = ("seed", "layer")
# One sample has no spread, one problem no interval; a rank correlation needs four.
LEAST = dict.fromkeys(("k", "n_problems", "n_second", "n_eval", "premise_problems"), 2)
LEAST |= {"language_eval": 2, "own_eval": 2, "random_orders": 4}
# Which size belongs to which source, and the models that read problems at the notebook's layer.
SOURCES = {"problems": "n_problems", "second_problems": "n_second", "own_problems": "own_prompts"}
SOURCES |= {"expert_source": "expert_problems", "solved_problems": ""}
READERS = ("backbone", "second_backbone", "untrained_backbone")
MAP_ROWS = 21  # a map's trustworthiness looks at ten neighbours, fewer than half of the rows
WIDTH = 108  # characters of a line in a parameters cell
_OPENED = "__notebook_run__"  # set in a namespace that was checked: later cells may then hold any variable
_KERNEL = {"In", "Out", "exit", "quit", "get_ipython", "open"}  # names that IPython itself puts there


@dataclass(frozen=True)
class Parameter:
    """One line ``name: kind = default`` of a parameters cell."""

    name: str
    kind: str
    default: object


def check_value(name: str, value: object, kind: str) -> object:
    """Return `value` as `kind`, or say why it does not fit."""
    if kind not in TYPES:
        raise unknown(name, kind, TYPES, "is no type of a parameter")
    return check_type(name, value, TYPES[kind])


def declared(notebook: Path) -> dict[str, Parameter]:
    """Read the parameters that a notebook's cell tagged ``parameters`` declares."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
        sources = ["".join(cell["source"]) for cell in tagged]
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"is no readable notebook ({type(error).__name__})"
        remedy = "open it in Jupyter and save it again"
        raise InputError("notebook", notebook.name, problem, remedy) from error
    if len(sources) != 1:
        problem = f"has {len(sources)} cells tagged 'parameters'"
        raise InputError("notebook", notebook.name, problem, "tag exactly one")
    parameters = {}
    try:
        for line in ast.parse(sources[0]).body:
            if not isinstance(line, ast.AnnAssign) or line.value is None:
                raise ValueError("not an annotated assignment")
            name = ast.unparse(line.target)
            kind = ast.unparse(line.annotation)
            parameters[name] = Parameter(name, kind, check_value(name, ast.literal_eval(line.value), kind))
    except InputError:
        raise
    except (SyntaxError, ValueError) as error:
        problem = "its parameters cell holds more than lines of literals"
        remedy = "write each line as name: type = literal  # unit, allowed values"
        raise InputError("notebook", notebook.name, problem, remedy) from error
    return parameters


def with_values(source: str, values: Mapping[str, object]) -> str:
    """Return a parameters cell with other values in the place of its own; names, types and comments stay."""
    lines = source.splitlines()
    for line in reversed(ast.parse(source).body):
        if not isinstance(line, ast.AnnAssign) or line.value is None:
            continue
        name = ast.unparse(line.target)
        if name not in values or values[name] == ast.literal_eval(line.value):
            continue
        first, last = line.value.lineno - 1, line.value.end_lineno - 1
        head, tail = lines[first][: line.value.col_offset], lines[last][line.value.end_col_offset :]
        text = _literal(values[name])
        if len(head + text) > WIDTH:  # a long list stands in lines of its own
            items = textwrap.wrap(text[1:-1], WIDTH - 4, break_long_words=False, break_on_hyphens=False)
            text = "\n".join(["[", *(f"    {item}" for item in items), "]"])
        lines[first : last + 1] = (head + text + tail).split("\n")
    return "\n".join(lines)


def _literal(value: object) -> str:
    """Write a value as Python does, texts in double quotes as in the cells."""
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def read_settings(pairs: Iterable[str], known: Mapping[str, Parameter]) -> dict[str, object]:
    """Turn ``name=value`` words of a command line into typed values."""
    settings: dict[str, object] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise InputError("--set", pair, "has no '='", "write --set name=value")
        check_name(name, text, known)
        if name in settings:
            raise InputError("--set", pair, f"{name} is set twice", "set it once")
        value: object = text
        if known[name].kind != "str":
            with contextlib.suppress(InputError):  # the type check below names the value and the remedy
                value = parse_yaml(text, text)
        settings[name] = check_value(name, value, known[name].kind)
    return settings


def check_values(values: Mapping[str, Any]) -> None:
    """Refuse values that a notebook could not use, before anything runs: choices, ranges and names."""
    from hammerlib.training.config import TrainConfig

    # A part may be empty here: that of the source; sizes are checked with the others below.
    shared = {field.name for field in dataclasses.fields(TrainConfig)} - {"split", "n_problems"}
    check_fields(TrainConfig, {name: values[name] for name in values if name in shared}, "parameter")
    _check_numbers(values)
    _check_lists(values)
    _check_parts(values)
    _check_models(values)
    _check_problems(values)
    _check_study(values)


def _check_study(values: Mapping[str, Any]) -> None:
    """The study file that is run, and folders that hold records."""
    if "study" in values and not Path(values["study"]).is_file():
        raise InputError("study", values["study"], "there is no such file", "give one of configs/study")
    for name, pattern in {"records": "*.json", "studies": "*/*.json"}.items():
        if (path := values.get(name)) and not any(Path(path).glob(pattern)):
            problem = f"there is no such folder, or no record in it ({pattern})"
            remedy = {"records": "give one like results/study/main", "studies": "give results/study"}[name]
            raise InputError(name, path, problem, remedy)


def _check_numbers(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if type(value) is int and name not in NO_COUNTS:
            check_whole(name, value, LEAST.get(name, 1), "choose a larger value")
    if values.get("prompts_per_step", 0) > values.get("n_problems", math.inf):
        problem = f"are fewer than the {values['prompts_per_step']} prompts of a step"
        raise InputError("n_problems", values["n_problems"], problem, "raise it, or lower prompts_per_step")
    if "map_seeds" in values:
        sizes = ["n_problems", "n_second"] if values.get("second_backbone") else ["n_problems"]
        for name in sizes:
            check_whole(name, values[name], MAP_ROWS, "a map needs that many problems")
    elif "random_orders" in values:
        check_whole("n_problems", values["n_problems"], 12, "orders of fewer problems say nothing")


def _check_lists(values: Mapping[str, Any]) -> None:
    """Every list names runs, columns or seeds: at least one, none twice."""
    for name, items in values.items():
        if not isinstance(items, list):
            continue
        if not items:
            raise InputError(name, items, "is empty", "name at least one")
        for item in items:
            if items.count(item) > 1:
                raise InputError(name, items, f"holds {item} twice, which is no second run", "name it once")
            if name.endswith("_seeds") and not 0 <= item < 2**32:
                problem = f"holds {item}, which is no seed"
                raise InputError(name, items, problem, "use whole numbers from 0 to 4294967295")


def _check_parts(values: Mapping[str, Any]) -> None:
    """Strategies, arms, rewards and algorithms by name, those of one's own imported."""
    from hammerlib.ordering.strategies import check_strategy
    from hammerlib.training.hooks import algorithm_class

    for name in ("order", "own_order"):
        if name in values:
            check_strategy(name, values[name])
    for strategy in values.get("strategies", ()):
        check_strategy("strategies", strategy)
    for arm in values.get("adjustments", ()):
        arm_algorithms(arm, "adjustments")
    for name in ("own_problems", "own_order", "own_reward", "own_algorithm"):
        if name in values and ":" not in values[name]:
            problem = "is no part of one's own"
            raise InputError(name, values[name], problem, "write module:object, such as your_own:market")
    if "own_reward" in values:
        import_function(values["own_reward"], "own_reward", "name a function that returns rewards")
    if "own_algorithm" in values:
        algorithm_class(values["own_algorithm"], "own_algorithm")


def _check_models(values: Mapping[str, Any]) -> None:
    """Models by name; where a configuration is at hand, also what it can read."""
    from hammerlib.models.backbone import check_backbone_name, known_shape
    from hammerlib.models.embeddings import check_layer

    for name in (*READERS, "language_model"):
        model = values.get(name)
        if name in ("backbone", "language_model") and model == "":
            raise InputError(name, model, "names no model", "use nano, a folder, or owner/model")
        if model:
            check_backbone_name(name, model)
    for model in filter(None, map(values.get, READERS)):
        shape = known_shape(model)
        if "layer" in values and "num_hidden_layers" in shape:
            check_layer(values["layer"], shape["num_hidden_layers"], model)
        if values.get("template") == "chat" and not shape.get("chat_template", True):
            raise InputError("template", "chat", f"backbone {model} has no chat template", "use template=raw")
        positions = shape.get("max_position_embeddings", math.inf)
        if model == values.get("backbone") and values.get("max_completion_length", 0) >= positions:
            problem = f"leaves no room for a prompt in the {positions} positions of {model}"
            raise InputError("max_completion_length", values["max_completion_length"], problem, "lower it")


def _check_problems(values: Mapping[str, Any]) -> None:
    """Sources with their part and size, and benchmarks."""
    from hammerlib.ordering.strategies import COLUMNS
    from hammerlib.problems.registry import check_source

    for name, size in SOURCES.items():
        if name in values:
            split = values.get("split") if name == "problems" else None
            n = values.get(size) if name in ("problems", "second_problems") else None
            check_source(values[name], split or None, n, fields=(name, size))
    if "benchmark" in values:
        from hammerlib.evaluation.benchmarks import check_benchmark

        check_benchmark("benchmark", values["benchmark"], values.get("n_eval"))
    # Generated and competition problems have no difficulty, and no trained notebook measures one.
    if COLUMNS.get(values.get("order", "")) == "difficulty" and "strategies" not in values:
        prefix = values["problems"].partition(":")[0]
        if prefix in ("reasoning-gym", "champ"):
            problem = f"needs a column difficulty, which problems of {prefix} do not have"
            raise InputError("order", values["order"], problem, "take another, or a file with that column")


def arm_algorithms(arm: str, field: str = "adjustments") -> tuple[dict[str, Any], ...]:
    """Return what an arm (``none``, ``dra``, ``{name: dra, sign: safe}``) is among the algorithms."""
    from hammerlib.training.hooks import check_algorithm_name

    if arm == "none":
        return ()
    settings = {"name": arm}
    if arm.startswith("{"):
        settings = parse_yaml(arm, arm)
    if not isinstance(settings, dict) or not isinstance(settings.get("name"), str):
        raise InputError(field, arm, "names no algorithm", "write none, dra, or {name: dra, sign: safe}")
    check_algorithm_name(settings["name"], field)
    return (settings,)


def check_name(name: str, value: object, known: Mapping[str, Parameter]) -> None:
    """Refuse a parameter that no notebook declares."""
    if name not in known:
        remedy = f"choose from {', '.join(sorted(known))}"
        raise InputError(name, value, "no notebook has this parameter", remedy)


def run_name(name: str, parameters: Mapping[str, object]) -> str:
    """Return the folder name of a notebook's run: the same parameters, the same folder."""
    return file_name("run", f"{name}__{parameters['profile']}__{content_hash(dict(parameters))[:8]}")


def notebook_run(name: str, namespace: dict) -> NotebookRun:
    """Check a notebook's parameters, seed Python, NumPy and torch (if imported), and open its run.

    An earlier run of the same notebook with the same parameters is replaced. Call it before the imports of
    what computes, so that a mistyped value is refused within a second. Relative paths are those of the
    checkout from here on: the kernel changes into it, whether JupyterLab started it in ``notebooks/`` or
    papermill somewhere else.

    Parameters
    ----------
    name : str
        Stem of the notebook, e.g. ``03_ordering``.
    namespace : dict
        ``globals()`` of the notebook; every parameter is declared there as ``name: type = literal``.

    Returns
    -------
    NotebookRun
        Status ``started``; the notebook's last cell calls ``finish()``.

    Raises
    ------
    InputError
        A declared parameter of the wrong type, a value under a name that was never declared, or no parameter
        ``profile``.

    Examples
    --------
    >>> import os, tempfile
    >>> from unittest.mock import patch
    >>> cell = {"profile": "ci", "seed": 0, "__annotations__": {"profile": str, "seed": int}}
    >>> with patch.dict(os.environ, HAMMER_RESULTS=tempfile.mkdtemp()):
    ...     notebook_run("demo", cell).manifest["parameters"]
    {'profile': 'ci', 'seed': 0}
    """
    kinds = {key: _kind(kind) for key, kind in namespace.get("__annotations__", {}).items()}
    if kinds.get("profile") != "str":
        remedy = 'write profile: str = "ci" in the parameters cell'
        raise InputError("profile", namespace.get("profile"), f"{name} does not declare it", remedy)
    # The checkout around the working folder, else the one that holds this package.
    root = repository_root() or repository_root(Path(__file__).parent)
    if _OPENED not in namespace:
        _refuse_undeclared(namespace, kinds)
    if root is not None:
        import_from(root / "notebooks")  # parts of one's own beside the notebooks, as module:object
        _refuse_mistyped(name, kinds, root)
        os.chdir(root)
    parameters = {key: check_value(key, namespace.get(key), kind) for key, kind in kinds.items()}
    check_values(parameters)
    namespace.update(parameters)
    namespace[_OPENED] = True
    seeds = []
    if "seed" in parameters:
        seeds.append(parameters["seed"])
    for key, value in parameters.items():
        if key.endswith("_seeds"):
            seeds += value
    seeds = list(dict.fromkeys(seeds))
    if seeds:
        random.seed(seeds[0])
        np.random.seed(seeds[0])
        if "torch" in sys.modules:
            sys.modules["torch"].manual_seed(seeds[0])
    run_id = run_name(name, parameters)
    discard(results_root() / run_id)
    return NotebookRun.of(start_run(name, parameters=parameters, seeds=seeds, run_id=run_id))


def _refuse_mistyped(name: str, kinds: Mapping[str, str], root: Path) -> None:
    """Refuse a parameter that the checkout's notebook does not declare: mistyped in a running kernel."""
    for notebook in (root / "notebooks" / f"{name}.ipynb", root / "notebooks" / "systems" / f"{name}.ipynb"):
        if notebook.is_file():
            known = declared(notebook)
            for key in kinds:
                if key not in known:
                    raise unknown("parameter", key, known, f"is no parameter of notebooks/{name}.ipynb")


def _refuse_undeclared(namespace: Mapping[str, object], kinds: Mapping[str, str]) -> None:
    """Refuse a value under a name that was never declared: papermill injects misspelt names silently."""
    for key, value in namespace.items():
        if key.startswith("_") or key in kinds or key in _KERNEL:
            continue
        if isinstance(value, bool | int | float | str | list | tuple):
            remedy = f"choose from {', '.join(sorted(kinds))}"
            raise InputError(key, value, "is no parameter of this notebook", remedy)


def _kind(annotation: object) -> str:
    if annotation in (bool, int, float, str):
        return annotation.__name__
    return str(annotation)
