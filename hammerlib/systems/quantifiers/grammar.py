"""A probabilistic grammar of ground terms: fitted to observed ones, followed or inverted, sampled."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from hammerlib.errors import InputError
from hammerlib.systems.smt import Term

# mimic: p. revolt: 1/p renormalised, or (1 - p)/(K - 1) over K productions; the abstract does not say which.
# uniform: 1/K, the control arm: what the learned probabilities are worth.
STRATEGIES = ("mimic", "revolt-reciprocal", "revolt-complement", "uniform")


class Production(NamedTuple):
    """A way to build a term of a sort: a function and the sorts of its arguments (ours).

    Examples
    --------
    >>> Production("U", "f", ("U",)).name
    'f'
    """

    sort: str
    name: str
    arguments: tuple[str, ...] = ()


class Grammar:
    """How often each production of each sort was used in observed terms, subterms included.

    The probabilistic grammar of arXiv 2508.13811's abstract, kept (mimic) or inverted (revolt); the paper's
    equations are not known to us. Ours: p = count / total of the sort; 1/p renormalised or (1 - p)/(K - 1) as
    the inversions; the pseudo-count `alpha`; the depth limit.

    Parameters
    ----------
    terms : iterable of Term
        Observed; repeated ones count again.
    signature : iterable of Production
        With `alpha` above 0 each of these counts `alpha` times more, so that unseen symbols stay reachable.
    alpha : float
        0 or more; 0 learns from the observed terms alone.

    Raises
    ------
    InputError
        Negative `alpha`; in `sample`, a sort without finite terms, an unknown strategy or a depth below 1.

    Examples
    --------
    >>> c = Term("c", "U")
    >>> grammar = Grammar([c, c, Term("f", "U", (c,))])
    >>> [grammar.probabilities("U", s)[Production("U", "c")] for s in ("mimic", "revolt-reciprocal")]
    [0.75, 0.25]
    """

    def __init__(
        self, terms: Iterable[Term], signature: Iterable[Production] = (), alpha: float = 0.0
    ) -> None:
        if alpha < 0:
            raise InputError("alpha", alpha, "must be 0 or more", "use 0 to learn from observed terms alone")
        self.counts: Counter[Production] = Counter()
        for term in terms:
            self._count(term)
        for production in signature if alpha else ():
            self.counts[production] += alpha
        self.heights = self._heights()

    def _count(self, term: Term) -> None:
        self.counts[Production(term.sort, term.name, tuple(part.sort for part in term.arguments))] += 1
        for part in term.arguments:
            self._count(part)

    def _heights(self) -> dict[str, int]:
        """Height of the lowest finite term of each sort that has one; a constant has 1."""
        heights: dict[str, int] = {}
        while True:
            found = dict(heights)
            for production in self.counts:
                if all(sort in heights for sort in production.arguments):
                    height = 1 + max((heights[sort] for sort in production.arguments), default=0)
                    found[production.sort] = min(height, found.get(production.sort, height))
            if found == heights:
                return heights
            heights = found

    def probabilities(self, sort: str, strategy: str = "mimic") -> dict[Production, float]:
        """Return the probability of each production of a sort; InputError for an unknown strategy."""
        if strategy not in STRATEGIES:
            raise InputError("strategy", strategy, "is unknown", f"use one of {', '.join(STRATEGIES)}")
        counts = {one: count for one, count in self.counts.items() if one.sort == sort}
        total = sum(counts.values())
        weights = {one: count / total for one, count in counts.items()}
        if strategy == "revolt-reciprocal":
            weights = {one: 1 / p for one, p in weights.items()}
        elif strategy == "revolt-complement" and len(weights) > 1:
            weights = {one: 1 - p for one, p in weights.items()}
        elif strategy == "uniform":
            weights = dict.fromkeys(weights, 1.0)
        total = sum(weights.values())
        return {one: weight / total for one, weight in weights.items()}

    def probability(self, term: Term, strategy: str = "mimic") -> float:
        """Return the probability of a whole term, sampled without a depth limit."""
        production = Production(term.sort, term.name, tuple(part.sort for part in term.arguments))
        result = self.probabilities(term.sort, strategy).get(production, 0.0)
        for part in term.arguments:
            result *= self.probability(part, strategy)
        return result

    def sample(self, sort: str, rng: random.Random, *, strategy: str = "mimic", depth: int = 4) -> Term:
        """Draw a term top-down; where `depth` levels no longer suffice for more, the lowest productions only.

        Inverted probabilities favour rare symbols, often of high arity: without the limit sampling need not
        end (expected offspring of 1 or more). InputError for a sort without finite terms.
        """
        if sort not in self.heights or depth < 1:
            raise InputError("sort", sort, f"has no term of depth {depth}", "observe some, or raise alpha")
        choices = self.probabilities(sort, strategy)
        room = max(depth, self.heights[sort])
        fitting = {
            one: p
            for one, p in choices.items()
            if all(self.heights.get(argument, room) < room for argument in one.arguments)
        }
        (chosen,) = rng.choices(list(fitting), weights=list(fitting.values()))
        parts = [self.sample(one, rng, strategy=strategy, depth=max(room - 1, 1)) for one in chosen.arguments]
        return Term(chosen.name, sort, tuple(parts))
