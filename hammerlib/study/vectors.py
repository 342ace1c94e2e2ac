"""What an order is made from: the start's embeddings, those of an untrained copy of it, or counted words."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from hammerlib.backbones import untrained_like
from hammerlib.embeddings import Embeddings, embed
from hammerlib.errors import InputError
from hammerlib.problems import item_hashes
from hammerlib.runs.storage import content_hash

if TYPE_CHECKING:
    from datasets import Dataset

    from hammerlib.backbones import Backbone

KINDS = ("backbone", "untrained", "tfidf")
# Words, numbers and single signs: scikit-learn's own pattern drops every digit and sign of "3 + 4 =".
TERM = r"(?u)\w+|[^\w\s]"
TERMS_KEPT = 4096  # most frequent ones: at most 16 kB a prompt


def order_vectors(
    kind: str,
    problems: Dataset,
    backbone: Backbone,
    *,
    seed: int = 0,
    cache_dir: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Embeddings:
    """Return the vectors of the problems from which an arm's order is made.

    Parameters
    ----------
    kind : {"backbone", "untrained", "tfidf"}
        Hidden states of `backbone`; of the same architecture with random weights (what of the order comes
        from the words and the shape of the network alone); or `tfidf_vectors` (from the words alone).
    problems : Dataset
        Problem table of n rows.
    backbone : Backbone
        The start that is trained.
    seed : int
        Of the random weights.
    cache_dir : path, optional
        As in `hammerlib.embed`.
    **options
        Layer, pooling and template of `hammerlib.embed`; not read for ``tfidf``.

    Returns
    -------
    Embeddings
        Of n vectors, tied to the problems.

    Raises
    ------
    InputError
        Another kind, or what `hammerlib.embed` refuses.

    Examples
    --------
    >>> from hammerlib import load_backbone, load_problems
    >>> problems = load_problems("reasoning-gym:nano", split="rl", n=3)
    >>> order_vectors("untrained", problems, load_backbone("nano"), seed=5).info["backbone"]
    'nano-untrained'
    """
    if kind not in KINDS:
        raise InputError("vectors", kind, "are not known", f"use one of {', '.join(KINDS)}")
    if kind == "tfidf":
        return tfidf_vectors(problems)
    model = backbone if kind == "backbone" else untrained_like(backbone, seed)
    return embed(problems, model, cache_dir=cache_dir, **options)


def tfidf_vectors(problems: Dataset) -> Embeddings:
    """Return each prompt's words, numbers and signs, counted and weighted by how rare they are.

    Parameters
    ----------
    problems : Dataset
        Problem table of n rows.

    Returns
    -------
    Embeddings
        (n, d) float32, rows of length one; d at most 4,096 terms.

    Raises
    ------
    InputError
        scikit-learn is not installed.

    Notes
    -----
    Source: scikit-learn's ``TfidfVectorizer`` with its defaults (smoothed inverse document frequency, lower
    case) but for the pattern of a term.

    Examples
    --------
    >>> from hammerlib import load_problems
    >>> told = tfidf_vectors(load_problems("reasoning-gym:nano", split="rl", n=3))
    >>> told.info["backbone"], len(told.vectors)
    ('tfidf', 3)
    """
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ImportError as error:
        problem, remedy = "needs scikit-learn, which is not installed", "pip install 'hammerlib[notebooks]'"
        raise InputError("vectors", "tfidf", problem, remedy) from error
    made = TfidfVectorizer(token_pattern=TERM, max_features=TERMS_KEPT, dtype=np.float32)
    vectors = made.fit_transform(problems["prompt"][:]).toarray()
    hashes = item_hashes(problems)
    info = {"backbone": "tfidf", "d": vectors.shape[1], "n": len(vectors)}
    return Embeddings(vectors, list(map(str, problems["id"])), content_hash(info, hashes), info, hashes)
