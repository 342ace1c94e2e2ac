"""Cosine products in row blocks: what needs all pairs is computed without ever holding all pairs.

Every function takes numpy arrays or torch tensors and stays in the kind it was given: the code uses only
the names that both namespaces share (``@``, ``amax``, ``sqrt``, ``axis=``).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from hammerlib.errors import InputError

Array = Any  # numpy.ndarray or torch.Tensor
NARROW = 2e-3  # of cosines: where all lie this near to 1, single precision tells them apart too coarsely
BLOCK_ROWS = 1024  # 1024 x 17,000 float32 products are 70 MB: small beside the vectors, large enough for BLAS
SCALED_ROWS = 16_384  # scaled at a time: temporaries stay small beside a memory-mapped million rows
NEAR_MEAN = 1e-5  # a unit row closer to the mean than float32 rounding has no direction left after centring


def namespace(array: Array) -> Any:
    """Return the module that computes with `array`: torch for a tensor, numpy for everything else."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and isinstance(array, torch.Tensor) else np


def host(array: Array) -> np.ndarray:
    """Return `array` as a numpy array in main memory."""
    if namespace(array) is np:
        return np.asarray(array)
    return array.detach().cpu().numpy()


def like(values: np.ndarray, array: Array) -> Array:
    """Return host values as the kind, type and place of `array`."""
    xp = namespace(array)
    if xp is np:
        return np.asarray(values, dtype=array.dtype)
    return xp.as_tensor(values, dtype=array.dtype, device=array.device)


def as_rows(vectors: Array, field: str = "vectors") -> Array:
    """Return `vectors` as a two-dimensional float32 array or tensor (float64 stays float64)."""
    xp = namespace(vectors)
    if xp is np:
        try:
            rows = np.asarray(vectors)
        except (ValueError, TypeError):
            problem = "are rows of different lengths"
            raise InputError(field, vectors, problem, "pass an (n, d) array") from None
        if rows.dtype.kind not in "fiub":
            raise InputError(field, str(rows.dtype), "are not real numbers", "pass an (n, d) array of floats")
        rows = rows if rows.dtype == np.float64 else rows.astype(np.float32, copy=False)
    else:
        if vectors.layout != xp.strided or vectors.device.type == "meta" or vectors.is_complex():
            kind = f"{vectors.dtype}, {vectors.layout}, {vectors.device}"
            raise InputError(field, kind, "are not real numbers in memory", "pass a dense tensor of floats")
        rows = vectors.detach()
        rows = rows if rows.dtype == xp.float64 else rows.to(xp.float32)
    if rows.ndim == 1 and len(rows) == 0:
        rows = rows.reshape(0, 1)
    if rows.ndim != 2 or (rows.shape[0] and not rows.shape[1]):
        problem = "is not one row of numbers per item"
        raise InputError(field, tuple(rows.shape), problem, "pass an (n, d) array")
    return rows


def unit_rows(vectors: Array, ids: Sequence[str] | None = None, field: str = "vectors") -> Array:
    """Return the rows scaled to length one."""
    rows = as_rows(vectors, field)
    xp = namespace(rows)
    if not len(rows):
        return rows
    blocks = [_scaled(rows[at : at + SCALED_ROWS]) for at in range(0, len(rows), SCALED_ROWS)]
    # all rows are looked at before any is refused: the error counts them
    peak = xp.concatenate([peak for _, peak in blocks])
    # NaN and infinity survive the largest entry of their row, zeros are told by it
    _refuse_rows(~xp.isfinite(peak), ids, field, "hold NaN or infinity")
    _refuse_rows(peak == 0, ids, field, "are all zero and have no direction")
    return blocks[0][0] if len(blocks) == 1 else xp.concatenate([scaled for scaled, _ in blocks])


def _scaled(rows: Array) -> tuple[Array, Array]:
    """Return rows of length one and the largest entry of each; rows without one come back as NaN."""
    xp = namespace(rows)
    peak = xp.amax(xp.abs(rows), axis=1)
    with np.errstate(all="ignore"):  # the caller refuses such rows by name
        # dividing by the largest entry first keeps the squares of tiny and huge rows inside float32
        rows = rows / peak[:, None]
        return rows / xp.sqrt((rows * rows).sum(axis=1))[:, None], peak


def _refuse_rows(bad: Array, ids: Sequence[str] | None, field: str, problem: str) -> None:
    """Raise an InputError that counts the marked rows and names the first five."""
    if not bool(bad.any()):
        return
    refused = np.flatnonzero(host(bad))
    names = [str(ids[i]) if ids is not None else f"row {i}" for i in refused[:5]]
    raise InputError(field, names, f"{len(refused)} rows {problem}", "remove these items or embed them again")


def centred_rows(units: Array, ids: Sequence[str] | None = None) -> Array:
    """Subtract the mean from unit rows and scale them to length one again."""
    if not len(units):
        return units
    # (x - m) / |x - m|
    rows = units - units.mean(axis=0)
    xp = namespace(rows)
    lost = xp.amax(xp.abs(rows), axis=1) < NEAR_MEAN
    _refuse_rows(lost, ids, "vectors", "equal the mean and have no direction without it")
    return unit_rows(rows, ids)


def product_blocks(rows: Array, columns: Array, block: int = BLOCK_ROWS) -> Iterator[tuple[int, Array]]:
    """Yield ``(start, rows[start:start + block] @ columns.T)`` until the rows are used up."""
    for start in range(0, len(rows), block):
        # O(block n) memory instead of O(n^2)
        yield start, rows[start : start + block] @ columns.T


def row_reduce(
    rows: Array, columns: Array, reduce: Callable[[Array], Array], block: int = BLOCK_ROWS
) -> np.ndarray:
    """Reduce every row of ``rows @ columns.T`` without storing the product."""
    blocks = [host(reduce(products)) for _, products in product_blocks(rows, columns, block)]
    return np.concatenate(blocks) if blocks else np.zeros(0)


def mean_cosine(units: Array) -> float:
    """Return the mean cosine over all pairs of different rows, which is also a random order's mean edge.

    Closed form ``(|sum x|^2 - n) / (n (n - 1))`` (ours), summed in float64.
    """
    n = len(units)
    if n < 2:
        return float("nan")
    # sum over pairs i != j of x_i.x_j = |sum x|^2 - sum |x|^2
    total = _sum_rows(units)
    mean = float((total @ total - n) / (n * (n - 1)))
    if abs(1 - mean) > NARROW:
        return mean
    squares = sum(float((block**2).sum()) for block in _double_blocks(units))  # not n: units are rounded
    return float((total @ total - squares) / (n * (n - 1)))


def _double_blocks(units: Array) -> Iterator[np.ndarray]:
    for start in range(0, len(units), BLOCK_ROWS):
        yield host(units[start : start + BLOCK_ROWS]).astype(np.float64)


def _sum_rows(units: Array) -> np.ndarray:
    """Sum over rows in float64, block by block (float32 sums of 10^5 rows lose four digits)."""
    total = np.zeros(units.shape[1])
    for block in _double_blocks(units):
        total += block.sum(axis=0)
    return total


def edge_cosines(units: Array, permutation: np.ndarray) -> np.ndarray:
    """Return the cosine between each item of an order and the next."""
    costs = np.zeros(max(len(permutation) - 1, 0))
    for start in range(0, len(costs), BLOCK_ROWS):
        # a copy: torch takes no reversed view
        step = np.ascontiguousarray(permutation[start : start + BLOCK_ROWS + 1])
        # double precision: a sum of n cosines shall round as little as each of them
        chosen = host(units[step]).astype(np.float64)
        costs[start : start + BLOCK_ROWS] = (chosen[:-1] * chosen[1:]).sum(axis=1)
    return costs
