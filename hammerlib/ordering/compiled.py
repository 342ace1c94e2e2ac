"""How the inner loops of the ordering are compiled: cached on disk, outside the interpreter's lock."""

from __future__ import annotations

from numba import njit

compiled = njit(cache=True, nogil=True)
# Sums and minima may be reordered, which puts them on vector units; vectors hold no NaN.
compiled_sums = njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
compiled_minima = njit(cache=True, nogil=True, fastmath={"reassoc", "nnan", "nsz"})
