"""The Embeddings record: vectors with the names, the key and the origin that belong to them."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from hammerlib.errors import InputError
from hammerlib.runs.storage import atomic_path, sealed, unsealed

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
        """Write vectors and record to one safetensors file, whole or not at all.

        Examples
        --------
        >>> import tempfile
        >>> import numpy as np
        >>> target = tempfile.mkdtemp() + "/e.safetensors"
        >>> Embeddings(np.eye(2, dtype=np.float32), ["a", "b"], "key", {}).save(target)
        >>> Embeddings.load(target).ids
        ['a', 'b']
        """
        from safetensors.numpy import save_file

        vectors = np.ascontiguousarray(self.vectors)
        told = {"ids": self.ids, "key": self.key, "info": self.info, "item_hashes": self.item_hashes}
        told |= {"schema_version": SCHEMA_VERSION, "sha256": _digest(vectors)}
        with atomic_path(path) as part:
            save_file({"vectors": vectors}, part, metadata={"hammerlib": json.dumps(sealed(told))})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Embeddings:
        """Read what :meth:`save` wrote.

        Raises
        ------
        InputError
            Missing or damaged file, another schema version, or vectors that do not match their checksum.

        Examples
        --------
        >>> from hammerlib.errors import InputError
        >>> try:
        ...     Embeddings.load("nowhere.safetensors")
        ... except InputError as error:
        ...     print(error.field)
        embeddings
        """
        from safetensors import SafetensorError, safe_open

        remedy = "embed the problems again"
        try:
            with safe_open(os.fspath(path), framework="numpy") as stream:
                vectors = stream.get_tensor("vectors")
                told = unsealed(json.loads((stream.metadata() or {})["hammerlib"]))
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else error
            raise InputError("embeddings", str(path), f"cannot be read ({reason})", remedy) from None
        lacking = sorted({"ids", "key", "info"} - set(told))
        if lacking or set(told) - {"ids", "key", "info", "item_hashes", "schema_version", "sha256"}:
            raise InputError("embeddings", str(path), f"lack {lacking} or hold more", remedy)
        if not isinstance(told["ids"], list) or not isinstance(told["info"], dict) or vectors.ndim != 2:
            raise InputError("embeddings", str(path), "hold ids, info or vectors of another kind", remedy)
        if told.pop("schema_version", None) != SCHEMA_VERSION:
            raise InputError("embeddings", str(path), f"are not of schema version {SCHEMA_VERSION}", remedy)
        if told.pop("sha256", None) != _digest(vectors) or len(told["ids"]) != len(vectors):
            raise InputError("embeddings", str(path), "are damaged (checksum mismatch)", remedy)
        return cls(vectors, **told)


def _digest(vectors: np.ndarray) -> str:
    return hashlib.sha256(str((vectors.dtype, vectors.shape)).encode() + vectors.tobytes()).hexdigest()
