"""Problems as vectors: pooled hidden states of the backbone that is trained, cached by content."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from hammerlib.errors import InputError, check_is, check_name, check_type
from hammerlib.models.tokens import prompt_ids
from hammerlib.runs import once
from hammerlib.runs.storage import (
    atomic_path,
    content_hash,
    discard,
    progress_off,
    sealed,
    unsealed,
    without_folders,
)
from hammerlib.runs.storage import cache_dir as storage_cache_dir

if TYPE_CHECKING:
    import datasets
    import torch

    from hammerlib.models import Backbone

SCHEMA_VERSION = 1


@dataclass(eq=False)
class Embeddings:
    """One vector per text, with what is needed to know where it came from.

    Parameters
    ----------
    vectors : (n, d) float32 array
        Not normalised.
    ids : list of n str
    key : str
        Hash of texts, tokens, backbone weights, revision and options: equal keys mean equal vectors.
    info : dict
        Backbone, revision, weights hash, layer (counted from 0), pooling, template, dtype, n, d.
    item_hashes : list of n str or None
        One hash per problem when made from a problem table (`problems.item_hashes`).

    Examples
    --------
    >>> import numpy as np
    >>> Embeddings(np.eye(2, dtype=np.float32), ["a", "b"], "key", {}).vectors.shape
    (2, 2)
    """

    vectors: np.ndarray
    ids: list[str]
    key: str
    info: dict[str, Any]
    item_hashes: list[str] | None = None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write vectors and record to one safetensors file, whole or not at all."""
        from safetensors.numpy import save_file

        vectors = np.ascontiguousarray(self.vectors)
        record = {"ids": self.ids, "key": self.key, "info": self.info, "item_hashes": self.item_hashes}
        record |= {"schema_version": SCHEMA_VERSION, "sha256": _digest(vectors)}
        with atomic_path(path) as target:
            save_file({"vectors": vectors}, target, metadata={"hammerlib": json.dumps(sealed(record))})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Embeddings:
        """Read what :meth:`save` wrote."""
        from safetensors import SafetensorError, safe_open

        remedy = "embed the problems again"
        try:
            with safe_open(os.fspath(path), framework="numpy") as stream:
                vectors = stream.get_tensor("vectors")
                record = unsealed(json.loads((stream.metadata() or {})["hammerlib"]))
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else error
            raise InputError("embeddings", str(path), f"cannot be read ({reason})", remedy) from None
        lacking = sorted({"ids", "key", "info"} - set(record))
        problem = None
        if lacking or set(record) - {"ids", "key", "info", "item_hashes", "schema_version", "sha256"}:
            problem = f"lack {lacking} or hold more"
        elif not isinstance(record["ids"], list) or not isinstance(record["info"], dict) or vectors.ndim != 2:
            problem = "hold ids, info or vectors of another kind"
        elif record.pop("schema_version", None) != SCHEMA_VERSION:
            problem = f"are not of schema version {SCHEMA_VERSION}"
        elif record.pop("sha256", None) != _digest(vectors) or len(record["ids"]) != len(vectors):
            problem = "are damaged (checksum mismatch)"
        if problem:
            raise InputError("embeddings", str(path), problem, remedy)
        return cls(vectors, **record)


def _digest(vectors: np.ndarray) -> str:
    return hashlib.sha256(str((vectors.dtype, vectors.shape)).encode() + vectors.tobytes()).hexdigest()


POOLINGS = ("mean", "last", "first")
TOKENS_PER_BATCH = 1024  # measured best on one CPU thread (benchmarks/embedding.py); a GPU wants more


def tokenise(texts: list[str], ids: list[str], backbone: Backbone, template: str) -> list[list[int]]:
    """Return token ids per text, as `prompt_ids` makes them everywhere."""
    tokens = prompt_ids(backbone.tokenizer, texts, template, names=ids)
    longest = getattr(backbone.model.config, "max_position_embeddings", None) or max(map(len, tokens))
    names = [name for name, row in zip(ids, tokens, strict=True) if len(row) > longest]
    if names:
        problem = f"{len(names)} rows are longer than the {longest} tokens {backbone.name!r} reads"
        raise InputError("texts", names[:5], problem, "shorten or remove these rows")
    return tokens


def check_layer(layer: int, last: int, name: str) -> None:
    """Refuse a layer that a backbone of so many layers does not have."""
    remedy = f"use {-last - 1} to {last}"
    check_is("layer", layer, (int, np.integer), "a whole number", remedy)
    if not -last - 1 <= layer <= last:
        raise InputError("layer", layer, f"is not a hidden state of {name!r}", remedy)


def check_options(backbone: Backbone, layer: int, pooling: str, tokens_per_batch: int) -> int:
    """Return the hidden state's index counted from 0."""
    last = backbone.model.config.num_hidden_layers
    check_layer(layer, last, backbone.name)
    check_name("pooling", pooling, POOLINGS)
    if tokens_per_batch < 1:
        raise InputError("tokens_per_batch", tokens_per_batch, "leaves no room for a token", "use 1024")
    # -1 is the last of L + 1
    return layer % (last + 1)


def batches_by_length(lengths: Sequence[int], tokens_per_batch: int) -> Iterator[list[int]]:
    """Yield row numbers in batches of similar length, longest first, under a budget of padded tokens."""
    batch: list[int] = []
    # the first row of a batch is its longest: rows times its length is what is computed
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > tokens_per_batch:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def pooled_states(
    tokens: list[list[int]], backbone: Backbone, index: int, pooling: str, tokens_per_batch: int
) -> np.ndarray:
    """Return (n, d) float32 vectors; equal token rows are computed once.

    Padding stands on the right and decoders look left only, so no token ever sees it: no mask is needed, and
    without one the attention kernel takes its fast causal path.
    """
    import torch

    # tokens, not texts: two texts may be read alike
    rows = list(dict.fromkeys(map(tuple, tokens)))
    network = backbone.model.get_decoder()  # without the language-model head
    # the last one comes after the final norm and needs no list of hidden states
    all_layers = index != backbone.model.config.num_hidden_layers
    vector_of: dict[tuple[int, ...], np.ndarray] = {}
    title = f"embedding with {backbone.name}"
    bar = tqdm(total=len(rows), desc=title, unit="text", delay=3, disable=progress_off())
    with torch.inference_mode(), bar:
        for batch in batches_by_length([len(row) for row in rows], tokens_per_batch):
            chosen = [rows[row] for row in batch]
            lengths = torch.tensor([len(row) for row in chosen], device=backbone.device)
            padded = torch.zeros(len(chosen), len(chosen[0]), dtype=torch.long)
            for line, row in enumerate(chosen):
                padded[line, : len(row)] = torch.tensor(row)
            output = network(padded.to(backbone.device), use_cache=False, output_hidden_states=all_layers)
            states = output.hidden_states[index] if all_layers else output.last_hidden_state
            vector_of.update(zip(chosen, _pool(states, lengths, pooling).cpu().numpy(), strict=True))
            bar.update(len(batch))
    vectors = np.stack([vector_of[tuple(row)] for row in tokens])
    broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1)).tolist()
    if broken:
        problem = f"{len(broken)} rows of {backbone.name!r} hold NaN or infinity"
        raise InputError("embeddings", broken[:5], problem, "use dtype float32, or check the weights")
    return vectors


def _pool(states: torch.Tensor, lengths: torch.Tensor, pooling: str) -> torch.Tensor:
    """Return (b, d) float32 from right-padded (b, t, d) hidden states."""
    import torch

    if pooling == "first":
        return states[:, 0].float()
    if pooling == "last":
        return states[torch.arange(len(states), device=states.device), lengths - 1].float()
    # mean over the real tokens: sum_t h_t / T, in float32 whatever the model computes in
    real = torch.arange(states.shape[1], device=states.device)[None] < lengths[:, None]
    return (states.float() * real[..., None]).sum(dim=1) / lengths[:, None]


def embed(
    problems_or_texts: datasets.Dataset | Sequence[str],
    backbone: Backbone | str,
    *,
    layer: int = -1,
    pooling: str = "mean",
    template: str = "raw",
    cache_dir: str | os.PathLike[str] | None = None,
    tokens_per_batch: int = TOKENS_PER_BATCH,
) -> Embeddings:
    """Return one vector per problem: hidden states of the backbone, pooled over the tokens of the prompt.

    Source: HAMMER section 1.2 embeds with the model that is trained; layer, pooling and template are unknown
    there, so they are options here. The vectors do not depend on the batch (to 1e-5 of a vector's length).

    Parameters
    ----------
    problems_or_texts : datasets.Dataset or sequence of str
        A problem table (its `prompt` and `id`) or bare texts (their ids are row numbers).
    backbone : Backbone or str
        A loaded backbone or a name for `load_backbone`.
    layer : int
        Index into the L + 1 hidden states of transformers: 0 is the token embedding, k the output of decoder
        layer k, and L (= -1) the output of the last layer **after** the final norm.
    pooling : {"mean", "last", "first"}
        Mean over all tokens that are not padding, the last token, or the first.
    template : {"raw", "chat"}
        The text as it is, or as a user message in the backbone's chat template.
    cache_dir : path, optional
        Default: ``embeddings`` in hammerlib's cache folder.
    tokens_per_batch : int
        Largest texts x longest text of a batch, at least one text.

    Raises
    ------
    InputError
        No texts, a blank text, a text longer than the backbone reads, an unknown layer, pooling or template,
        or `chat` without a chat template.

    Examples
    --------
    >>> embed(["Tom has 3 apples and gets 4 more . how many apples ?"], "nano").vectors.dtype
    dtype('float32')
    """
    from hammerlib.models.backbone import load_backbone, own_parts

    if not hasattr(backbone, "tokenizer"):
        backbone = load_backbone(backbone)
    texts, ids, hashes = _read_problems(problems_or_texts)
    tokens = tokenise(texts, ids, backbone, template)
    index = check_options(backbone, layer, pooling, tokens_per_batch)
    info = {
        "backbone": backbone.name,
        "revision": backbone.revision,
        "weights_hash": backbone.weights_hash,
        "layer": index,
        "pooling": pooling,
        "template": template,
        "dtype": str(backbone.dtype),
    }
    # tokens beside texts: another tokenizer may read the same text otherwise
    key = content_hash(SCHEMA_VERSION, info, texts, tokens, *own_parts(backbone))
    info = without_folders(info)  # the vectors are files of others' machines too, the key is as it was
    path = Path(cache_dir or storage_cache_dir("embeddings")) / f"{key}.safetensors"

    def make() -> np.ndarray:
        vectors = pooled_states(tokens, backbone, index, pooling, tokens_per_batch)
        Embeddings(vectors, ids, key, info).save(path)
        return vectors

    vectors = once(path.name, make, lambda: _cached(path, key, len(texts)), folder=path.parent)
    return Embeddings(vectors, ids, key, info, hashes)


def encode(
    texts: Sequence[str],
    backbone: Backbone,
    *,
    layer: int = -1,
    pooling: str = "mean",
    template: str = "raw",
    tokens_per_batch: int = TOKENS_PER_BATCH,
) -> np.ndarray:
    """Return what `embed` returns for texts that will not come again: no cache is read or written.

    Parameters
    ----------
    texts : sequence of n str
        For example the completions of one training step.
    backbone : Backbone
    layer, pooling, template, tokens_per_batch
        As in :func:`embed`; so are the errors, except that whitespace passes where it has a token.

    Returns
    -------
    (n, d) float32 array

    Examples
    --------
    >>> from hammerlib.models import load_backbone
    >>> encode(["17 + 25"], load_backbone("nano")).shape[0]
    1
    """
    texts = _checked_texts(texts)
    tokens = tokenise(texts, [str(row) for row in range(len(texts))], backbone, template)
    index = check_options(backbone, layer, pooling, tokens_per_batch)
    return pooled_states(tokens, backbone, index, pooling, tokens_per_batch)


def _read_problems(source: datasets.Dataset | Sequence[str]) -> tuple[list[str], list[str], list[str] | None]:
    """Return texts, ids and item hashes (None for bare texts)."""
    if hasattr(source, "column_names"):
        from hammerlib.problems import check_problems, item_hashes

        check_problems(source)
        return list(source["prompt"]), [str(name) for name in source["id"]], item_hashes(source)
    texts = _checked_texts(source)
    blank = [row for row, text in enumerate(texts) if not text.strip()]
    if blank:
        raise InputError("texts", blank[:5], f"{len(blank)} rows are blank", "remove or fill these rows")
    return texts, [str(row) for row in range(len(texts))], None


def _checked_texts(source: Sequence[str]) -> list[str]:
    if isinstance(source, str | dict) or not isinstance(source, Iterable):
        raise InputError("texts", source, "is no list of texts", "pass a table of problems, or [text, ...]")
    texts = check_type("texts", list(source), list[str])
    if not texts:
        raise InputError("texts", texts, "hold nothing to embed", "pass at least one text")
    return texts


def _cached(path: Path, key: str, n: int) -> np.ndarray | None:
    """Return cached vectors; None when there are none, or (with a warning) when the file is damaged."""
    if not path.exists():
        return None
    try:
        cached = Embeddings.load(path)
    except InputError as error:
        warnings.warn(f"cached embeddings are computed again: {error}", stacklevel=5)
        discard(path)
        return None
    if cached.key == key and len(cached.vectors) == n:
        return cached.vectors
    warnings.warn(f"cached embeddings are computed again: {path.name} holds another key", stacklevel=5)
    return None
