"""From priced candidate edges to one tour: cheapest edges first, then the fragments' ends joined."""

from __future__ import annotations

import numpy as np

from hammerlib.ordering.candidates import search
from hammerlib.ordering.compiled import compiled
from hammerlib.ordering.prices import Graph, candidate_edges, kept_edges
from hammerlib.similarity import Array

GREEDY_EDGES = 12  # a node, to choose from
JOINS = 16  # candidates of a fragment's end among the other ends


@compiled
def _root(parent: np.ndarray, node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@compiled
def _take_edges(
    left: np.ndarray, right: np.ndarray, beside: np.ndarray, degree: np.ndarray, parent: np.ndarray
) -> int:
    """Take edges in the given sequence where both ends are free and no cycle closes."""
    taken = 0
    for edge in range(len(left)):
        a, b = left[edge], right[edge]
        if degree[a] < 2 and degree[b] < 2:
            root, other = _root(parent, a), _root(parent, b)
            if root != other:
                beside[a, degree[a]], beside[b, degree[b]] = b, a
                degree[a] += 1
                degree[b] += 1
                parent[root] = other
                taken += 1
    return taken


@compiled
def _walk(beside: np.ndarray, start: int) -> np.ndarray:
    """Return the nodes of a Hamiltonian path from one of its ends."""
    tour = np.empty(len(beside), np.int32)
    before, node = -1, start
    for place in range(len(beside)):
        tour[place] = node
        step = beside[node, 0] if beside[node, 0] != before else beside[node, 1]
        before, node = node, step
    return tour


def greedy_tour(rows: Array, graph: Graph, prices: np.ndarray) -> np.ndarray:
    """Return a tour of all n + 1 nodes made of the edges with the smallest reduced cost.

    Parameters
    ----------
    rows : (n, d) array or tensor
        Unit rows, to join what the sparse graph leaves apart.
    graph : (starts, neighbours, costs)
        From `prices.sparse_graph`.
    prices : (n + 1,) float64 array

    Returns
    -------
    (n + 1,) int32 array

    Examples
    --------
    >>> empty = (np.zeros(4, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))
    >>> sorted(greedy_tour(np.eye(2, dtype=np.float32), empty, np.zeros(3)).tolist())
    [0, 1, 2]
    """
    nodes = len(prices)
    left, right, cost = kept_edges(graph, prices, GREEDY_EDGES)
    first = np.argsort(cost - prices[left] - prices[right], kind="stable")
    beside = np.full((nodes, 2), -1, np.int32)
    degree, parent = np.zeros(nodes, np.int8), np.arange(nodes, dtype=np.int32)
    edges = _take_edges(left[first], right[first], beside, degree, parent)
    while edges < nodes - 1:
        left, right = _end_edges(rows, prices, np.flatnonzero(degree < 2))
        joined = _take_edges(left, right, beside, degree, parent)
        edges += joined if joined else _chain(beside, degree, parent)
    return _walk(beside, int(np.flatnonzero(degree < 2)[0]))


def _end_edges(rows: Array, prices: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return edges between ends of fragments, cheapest reduced cost first."""
    dummy = len(prices) - 1
    items = ends[ends < dummy]
    number = np.append(items, dummy).astype(np.int32)
    if len(items) < 2:
        return number[:-1], number[1:]
    # a dummy that is no end of a fragment any more must not be offered
    own = np.append(prices[items], prices[dummy] if ends[-1] == dummy else -1e9)
    found = search(rows[items], own, JOINS)
    left, right, worth = candidate_edges(found, found.reduced - own[:, None])
    first = np.argsort(worth, kind="stable")
    return number[left[first]], number[right[first]]


def _chain(beside: np.ndarray, degree: np.ndarray, parent: np.ndarray) -> int:
    """Join two fragments whatever it costs: candidates between ends had run out."""
    ends = np.flatnonzero(degree < 2).astype(np.int32)
    return int(_take_edges(np.repeat(ends[:1], len(ends)), ends, beside, degree, parent))
