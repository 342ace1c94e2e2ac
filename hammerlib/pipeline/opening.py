"""The first line of every notebook: check its parameters, seed, open its run record."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hammerlib.errors import InputError, unknown
from hammerlib.pipeline.parameters import SCALARS, check_value, check_values, declared
from hammerlib.runs import RunRecord, start_run
from hammerlib.runs.storage import content_hash, discard, file_name, repository_root, results_root

_OPENED = "__notebook_run__"  # set in a namespace that was checked: later cells may then hold any variable
_KERNEL = {"In", "Out", "exit", "quit", "get_ipython", "open"}  # names that IPython itself puts there


def run_name(name: str, parameters: Mapping[str, object]) -> str:
    """Return the folder name of a notebook's run: the same parameters, the same folder.

    Examples
    --------
    >>> run_name("03_ordering", {"profile": "ci", "seed": 0})
    '03_ordering__ci__2d223009'
    """
    return file_name("run", f"{name}__{parameters['profile']}__{content_hash(dict(parameters))[:8]}")


def notebook_run(name: str, namespace: dict) -> RunRecord:
    """Check a notebook's parameters, seed Python, NumPy and torch (if imported), and open its run.

    An earlier run of the same notebook with the same parameters is replaced. Call it once, right after the
    imports. Relative paths are those of the checkout from here on, as under ``hammer run``: the kernel
    changes into it, whether JupyterLab started it in ``notebooks/`` or papermill somewhere else.

    Parameters
    ----------
    name : str
        Stem of the notebook, e.g. ``03_ordering``.
    namespace : dict
        ``globals()`` of the notebook; every parameter is declared there as ``name: type = literal``.

    Returns
    -------
    RunRecord
        Status ``started``; the notebook's last cell calls ``finish()``.

    Raises
    ------
    InputError
        A declared parameter of the wrong type, a value under a name that was never declared (papermill
        injects misspelt names silently), or no parameter ``profile``.

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
        raise InputError(
            "profile",
            namespace.get("profile"),
            f"{name} does not declare it",
            'write profile: str = "ci" in the parameters cell',
        )
    if _OPENED not in namespace:
        _refuse_undeclared(namespace, kinds)
    _refuse_others(name, kinds)
    parameters = {key: check_value(key, namespace.get(key), kind) for key, kind in kinds.items()}
    check_values(parameters)
    namespace.update(parameters)
    namespace[_OPENED] = True
    _enter_checkout()
    seeds = _seeds(parameters)
    if seeds:
        _seed_everything(seeds[0])
    run_id = run_name(name, parameters)
    discard(results_root() / run_id)
    return start_run(name, parameters=parameters, seeds=seeds, run_id=run_id)


def _refuse_others(name: str, kinds: Mapping[str, str]) -> None:
    """Refuse a parameter that the checkout's notebook does not declare: mistyped in a running kernel."""
    root = repository_root() or repository_root(Path(__file__).parent)
    folders = [] if root is None else [root / "notebooks", root / "notebooks" / "systems"]
    for folder in folders:
        if (folder / f"{name}.ipynb").is_file():
            known = declared(folder / f"{name}.ipynb")
            for key in kinds:
                if key not in known:
                    raise unknown("parameter", key, known, f"is no parameter of notebooks/{name}.ipynb")


def _enter_checkout() -> None:
    """Change into the checkout around the working folder, else into the one that holds this package."""
    root = repository_root() or repository_root(Path(__file__).parent)
    if root is not None:
        os.chdir(root)


def _kind(annotation: object) -> str:
    if isinstance(annotation, str):
        return annotation.replace(" ", "")
    return annotation.__name__ if annotation in SCALARS.values() else str(annotation).replace(" ", "")


def _refuse_undeclared(namespace: Mapping[str, object], kinds: Mapping[str, str]) -> None:
    for key, value in namespace.items():
        if key.startswith("_") or key in kinds or key in _KERNEL:
            continue
        if isinstance(value, (*SCALARS.values(), list, tuple)):
            raise InputError(
                key, value, "is no parameter of this notebook", f"choose from {', '.join(sorted(kinds))}"
            )


def _seeds(parameters: Mapping[str, object]) -> list[int]:
    first = [parameters["seed"]] if "seed" in parameters else []
    others = [seed for key, value in parameters.items() if key.endswith("_seeds") for seed in value]
    return list(dict.fromkeys([*first, *others]))


def _seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)
