"""Search at test time with a scorer of steps, as AIRL-S (arXiv 2508.14313) uses its reward, and baselines."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from hammerlib.errors import InputError, check_name, check_whole

AGGREGATES: dict[str, Callable[[Sequence[float]], float]] = {
    "last": lambda scores: scores[-1],
    "min": min,
    "mean": lambda scores: sum(scores) / len(scores),
    "sum": sum,
}
Step = Sequence  # of tokens, or a text: its length is its price
Path = tuple[Step, ...]


class Space(Protocol):
    """What is searched: continuations of a path of steps, and a score of each step."""

    def expand(self, path: Path, k: int) -> Sequence[Step]:
        """Return up to `k` next steps, sampled or all there are."""

    def done(self, path: Path) -> bool:
        """Say whether a path is a whole answer."""

    def score(self, paths: Sequence[Path]) -> Sequence[float]:
        """Return the score of the last step of every path, given those before."""


@dataclass
class Account:
    """Tokens that a search took; every one sampled counts, also of paths that were given up.

    What the scorer read leaves prompts out; a path is read anew for each of its steps.
    """

    sampled: int = 0
    scored: int = 0

    def charge(self, paths: Sequence[Path]) -> None:
        """Count the last step of every path as sampled and all its steps as scored."""
        for path in paths:
            self.sampled += len(path[-1])
            self.scored += sum(map(len, path))


class Found(NamedTuple):
    """The path that a search returns, the aggregate of its scores, whether it is whole, its price."""

    path: Path
    value: float
    finished: bool
    account: Account


def aggregate(scores: Sequence[float], how: str = "last") -> float:
    """Return one number for the scores of a path's steps: ``last``, ``min``, ``mean`` or ``sum``."""
    check_name("how", how, AGGREGATES)
    if not len(scores):
        raise InputError("scores", [], "hold no step", "score one or more steps")
    return float(AGGREGATES[how](scores))


def best_of_n(scores: Sequence[Sequence[float]], how: str = "last") -> int:
    """Return which candidate has the best aggregate of its steps' scores; of a tie the first."""
    if not len(scores):
        raise InputError("scores", [], "hold no candidate", "sample one or more")
    values = [aggregate(row, how) for row in scores]
    return values.index(max(values))


def majority_of(answers: Sequence[str | None]) -> int | None:
    """Return the place of the first answer of the majority; None where no answer can be read."""
    counts = Counter(answer for answer in answers if answer is not None)
    if not counts:
        return None
    return list(answers).index(counts.most_common(1)[0][0])


def baselines(answers: Sequence[str | None], right: Sequence[bool]) -> dict[str, float]:
    """Return the chance of being right by majority (ties: seen first), by a random choice, by an oracle."""
    if len(answers) != len(right) or not len(answers):
        raise InputError("right", len(right), f"judgements for {len(answers)} answers", "judge every answer")
    place = majority_of(answers)
    elected = float(place is not None and right[place])
    return {"majority": elected, "random": float(np.mean(right)), "oracle": float(any(right))}


def beam(space: Space, *, width: int, branches: int, depth: int, how: str = "last") -> Found:
    """Expand every kept path by `branches` steps, keep the best `width`, until all of them are whole answers.

    Finished ones keep their place; equal steps count once, and are paid. As in arXiv 2408.03314.
    """
    _check(width=width, branches=branches, depth=depth)
    account = Account()
    kept: list[tuple[Path, list[float]]] = [((), [])]
    for _ in range(depth):
        grown = [(path, scores) for path, scores in kept if path and space.done(path)]
        for path, scores in kept:
            # whole answers are kept above, and not expanded
            if path and space.done(path):
                continue
            children = _children(space, path, branches, account)
            ratings = space.score(children) if children else []
            grown += [(child, [*scores, float(mark)]) for child, mark in zip(children, ratings, strict=True)]
        if not grown:
            break
        grown.sort(key=lambda pair: aggregate(pair[1], how), reverse=True)  # stable: of a tie the first
        kept = grown[:width]
        if all(space.done(path) for path, _ in kept):
            break
    return _best(space, kept, how, account)


@dataclass
class _Node:
    scores: list[float]
    visits: int = 0
    total: float = 0.0
    children: list[Path] | None = None


def mcts(
    space: Space,
    *,
    simulations: int,
    branches: int,
    depth: int,
    exploration: float = math.sqrt(2),
    how: str = "last",
) -> Found:
    """Monte Carlo tree search: descend by UCT, expand, score the new step, carry the score up.

    Each of `simulations` evaluates a leaf; `exploration` is c of UCT, Q / n + c sqrt(ln N / n), on the scale
    of the scores. Kocsis and Szepesvari 2006, with the scorer in place of a random playout.
    """
    _check(simulations=simulations, branches=branches, depth=depth)
    account = Account()
    nodes: dict[Path, _Node] = {(): _Node([])}
    for _ in range(simulations):
        path: Path = ()
        visited = [path]
        while not (path and space.done(path)) and len(path) < depth:
            node = nodes[path]
            if node.children is None:
                node.children = _children(space, path, branches, account)
                marks = space.score(node.children) if node.children else []
                for child, mark in zip(node.children, marks, strict=True):
                    nodes[child] = _Node([*node.scores, float(mark)])
            if not node.children:
                break
            path = _chosen(nodes, node, exploration)
            visited.append(path)
            # a new leaf: it is evaluated before anything below it
            if nodes[path].visits == 0:
                break
        if not path:
            break
        # the scorer stands in for a random playout
        value = aggregate(nodes[path].scores, how)
        # Q and N of every node on the way, the root too
        for place in visited:
            nodes[place].visits += 1
            nodes[place].total += value
    evaluated = [(path, node.scores) for path, node in nodes.items() if path and node.visits]
    return _best(space, evaluated, how, account)


def _chosen(nodes: dict[Path, _Node], parent: _Node, exploration: float) -> Path:
    """The first child that was never visited, else the one with the largest upper bound."""
    children = parent.children or []
    # a child without a visit has an infinite bound
    for child in children:
        if nodes[child].visits == 0:
            return child
    total = sum(nodes[child].visits for child in children)

    # UCT: Q / n + c sqrt(ln N / n)
    def bound(child: Path) -> float:
        node = nodes[child]
        return node.total / node.visits + exploration * math.sqrt(math.log(total) / node.visits)

    return max(children, key=bound)


def _children(space: Space, path: Path, branches: int, account: Account) -> list[Path]:
    grown = [(*path, step) for step in space.expand(path, branches)]
    # paid before equal steps become one: they were sampled
    account.charge(grown)
    return list(dict.fromkeys(grown))


def _best(space: Space, paths: Sequence[tuple[Path, list[float]]], how: str, account: Account) -> Found:
    rated = [(path, aggregate(scores, how)) for path, scores in paths if path]
    if not rated:
        raise InputError("space", type(space).__name__, "has no first step", "let expand return one or more")
    finished = [pair for pair in rated if space.done(pair[0])]
    path, value = max(finished or rated, key=lambda pair: pair[1])
    return Found(path, value, bool(finished), account)


def _check(**counts: int) -> None:
    for name, value in counts.items():
        check_whole(name, value, 1, "use one or more")
