"""Problems as vectors: pooled hidden states of the backbone that is trained, cached by content."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hammerlib.embeddings.forward import POOLINGS, TOKENS_PER_BATCH, check_options, pooled_states, tokenise
from hammerlib.embeddings.record import SCHEMA_VERSION, Embeddings
from hammerlib.errors import InputError
from hammerlib.runs.storage import cache_dir as storage_cache_dir
from hammerlib.runs.storage import content_hash, discard, without_folders

if TYPE_CHECKING:
    import datasets

    from hammerlib.backbones import Backbone

__all__ = ["POOLINGS", "TOKENS_PER_BATCH", "Embeddings", "embed", "encode"]


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

    Returns
    -------
    Embeddings

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
    from hammerlib.backbones.load import load_backbone, own_parts

    if not hasattr(backbone, "tokenizer"):
        backbone = load_backbone(backbone)
    texts, ids, hashes = _read_problems(problems_or_texts)
    tokens = tokenise(texts, ids, backbone, template)
    index = check_options(backbone, layer, pooling, tokens_per_batch)
    info = _origin(backbone, layer=index, pooling=pooling, template=template)
    key = content_hash(SCHEMA_VERSION, info, texts, tokens, *own_parts(backbone))
    info = without_folders(info)  # the vectors are files of others' machines too, the key is as it was
    path = Path(cache_dir or storage_cache_dir("embeddings")) / f"{key}.safetensors"
    vectors = _cached(path, key, len(texts))
    if vectors is None:
        vectors = pooled_states(tokens, backbone, index, pooling, tokens_per_batch)
        Embeddings(vectors, ids, key, info).save(path)
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
    >>> from hammerlib.backbones import load_backbone
    >>> encode(["17 + 25"], load_backbone("nano")).shape[0]
    1
    """
    texts = _checked_texts(texts)
    tokens = tokenise(texts, [str(row) for row in range(len(texts))], backbone, template)
    index = check_options(backbone, layer, pooling, tokens_per_batch)
    return pooled_states(tokens, backbone, index, pooling, tokens_per_batch)


def _origin(backbone: Backbone, **options: object) -> dict[str, object]:
    told = {name: getattr(backbone, name) for name in ("revision", "weights_hash")}
    return {"backbone": backbone.name, **told, **options, "dtype": str(backbone.dtype)}


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
    if isinstance(source, str):
        raise InputError("texts", source, "is one string, not a list of texts", "pass [text]")
    if isinstance(source, dict) or not isinstance(source, Iterable):
        raise InputError("texts", source, "is no list of texts", "pass a table of problems, or [text, ...]")
    texts = list(source)
    if not texts:
        raise InputError("texts", texts, "hold nothing to embed", "pass at least one text")
    bad = [row for row, text in enumerate(texts) if not isinstance(text, str)]
    if bad:
        raise InputError("texts", bad[:5], f"{len(bad)} rows are no text", "remove or fill these rows")
    return texts


def _cached(path: Path, key: str, n: int) -> np.ndarray | None:
    """Return cached vectors; None when there are none, or (with a warning) when the file is damaged."""
    if not path.exists():
        return None
    try:
        found = Embeddings.load(path)
    except InputError as error:
        warnings.warn(f"cached embeddings are computed again: {error}", stacklevel=3)
        discard(path)
        return None
    if found.key != key or len(found.vectors) != n:
        warnings.warn(f"cached embeddings are computed again: {path.name} holds another key", stacklevel=3)
        return None
    return found.vectors
