"""Quantifier Instantiations: To Mimic or To Revolt? (arXiv 2508.13811): a reconstruction from the abstract.

The abstract says: terms that a solver's own techniques instantiate with are samples of an unknown language; a
probabilistic grammar fitted to them generates new terms; their probabilities are kept (mimic) or inverted
(revolt). Everything else is ours: one non-terminal per sort, the two inversions, sampling with a depth limit,
refitting each round, z3. No number of the paper is claimed or compared with.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from hammerlib.errors import InputError, check_name
from hammerlib.runs.reading import read_yaml
from hammerlib.systems.smt import LIMIT, Problem, Term

# mimic: p. revolt: 1/p renormalised, or (1 - p)/(K - 1) over K productions; the abstract does not say which.
# uniform: 1/K, the control arm: what the learned probabilities are worth.
STRATEGIES = ("mimic", "revolt-reciprocal", "revolt-complement", "uniform")


class Production(NamedTuple):
    """A way to build a term of a sort: a function and the sorts of its arguments (ours)."""

    sort: str
    name: str
    arguments: tuple[str, ...] = ()

    @classmethod
    def of(cls, term: Term) -> Production:
        """Return the production at the root of a term."""
        return cls(term.sort, term.name, tuple(argument.sort for argument in term.arguments))


class Grammar:
    """How often each production of each sort was used in observed terms, subterms included.

    The probabilistic grammar of arXiv 2508.13811's abstract, kept (mimic) or inverted (revolt); the paper's
    equations are not known to us. Ours: p = count / total of the sort; 1/p renormalised or (1 - p)/(K - 1) as
    the inversions; the depth limit; the pseudo-count `alpha` of every production of `signature`, so that
    unseen symbols stay reachable.
    """

    def __init__(
        self, terms: Iterable[Term], signature: Iterable[Production] = (), alpha: float = 0.0
    ) -> None:
        if alpha < 0:
            raise InputError("alpha", alpha, "must be 0 or more", "use 0 to learn from observed terms alone")
        self.counts: Counter[Production] = Counter()
        for term in terms:
            self._count(term)
        if alpha:
            for production in signature:
                self.counts[production] += alpha
        self.heights = self._heights()

    def _count(self, term: Term) -> None:
        self.counts[Production.of(term)] += 1
        for argument in term.arguments:
            self._count(argument)

    def _heights(self) -> dict[str, int]:
        """Height of the lowest finite term of each sort that has one; a constant has 1."""
        heights: dict[str, int] = {}
        while True:  # a fixed point: each round finds sorts that are one level higher
            lowest = dict(heights)
            for production in self.counts:
                if all(sort in heights for sort in production.arguments):
                    height = 1 + max((heights[sort] for sort in production.arguments), default=0)
                    lowest[production.sort] = min(height, lowest.get(production.sort, height))
            if lowest == heights:
                return heights
            heights = lowest

    def probabilities(self, sort: str, strategy: str = "mimic") -> dict[Production, float]:
        """Return the probability of each production of a sort; InputError for an unknown strategy."""
        check_name("strategy", strategy, STRATEGIES, "is unknown")
        counts = {production: n for production, n in self.counts.items() if production.sort == sort}
        total = sum(counts.values())
        # p = count / total of the sort
        weights = {production: n / total for production, n in counts.items()}
        if strategy == "revolt-reciprocal":
            weights = {production: 1 / p for production, p in weights.items()}
        elif strategy == "revolt-complement" and len(weights) > 1:
            weights = {production: 1 - p for production, p in weights.items()}
        elif strategy == "uniform":
            weights = dict.fromkeys(weights, 1.0)
        total = sum(weights.values())
        return {production: weight / total for production, weight in weights.items()}

    def probability(self, term: Term, strategy: str = "mimic") -> float:
        """Return the probability of a whole term, sampled without a depth limit."""
        # p(f(t1 ... tn)) = p(f | sort) p(t1) ... p(tn)
        result = self.probabilities(term.sort, strategy).get(Production.of(term), 0.0)
        for argument in term.arguments:
            result *= self.probability(argument, strategy)
        return result

    def sample(self, sort: str, rng: random.Random, *, strategy: str = "mimic", depth: int = 4) -> Term:
        """Draw a term top-down; where `depth` levels suffice for no more, the lowest productions only."""
        if sort not in self.heights or depth < 1:
            raise InputError("sort", sort, f"has no term of depth {depth}", "observe some, or raise alpha")
        # Inverted probabilities favour rare symbols, often of high arity: without the limit sampling need not
        # end (expected offspring of 1 or more).
        levels = max(depth, self.heights[sort])
        fitting = {
            production: p
            for production, p in self.probabilities(sort, strategy).items()
            if all(self.heights.get(argument, levels) < levels for argument in production.arguments)
        }
        (chosen,) = rng.choices(list(fitting), weights=list(fitting.values()))
        below = max(levels - 1, 1)
        arguments = [self.sample(child, rng, strategy=strategy, depth=below) for child in chosen.arguments]
        return Term(chosen.name, sort, tuple(arguments))


class Outcome(NamedTuple):
    """How a problem ended (ours)."""

    verdict: str
    rounds: int
    instances: int
    seconds: float


def instantiate(
    text: str,
    strategy: str | None,
    *,
    rounds: int = 10,
    samples: int = 4,
    depth: int = 4,
    alpha: float = 0.0,
    limit: int = LIMIT,
    seed: int = 0,
) -> Outcome:
    """Decide a quantified problem by e-matching, and by sampled instances where that gives up.

    The loop of arXiv 2508.13811's abstract; rounds, refitting and limits are ours. Every instance of a
    universal formula is implied by it, so that ``unsat`` stays right whatever is sampled. A binding is added
    once; "the same" means the same text: terms that the problem makes equal count as different ones.
    `strategy` None is e-matching alone, once more in every round with another random seed. A round draws so
    many `samples` for every universal formula, of at most `depth` levels (a constant has 1); `limit` is z3's
    resource units for each of its calls: where e-matching itself diverges, the call ends there, and the
    sampling goes on.
    """
    if min(rounds, samples, depth, limit) < 1:
        remedy = "give whole numbers from 1"
        raise InputError("limits", [rounds, samples, depth, limit], "one of them allows nothing", remedy)
    start = time.monotonic()
    problem = Problem(text)
    rng = random.Random(seed)
    signature = [Production(sort, name, arguments) for name, sort, arguments in problem.functions]
    Grammar([]).probabilities("", strategy or "mimic")  # refuse an unknown strategy before the first call
    added: set[tuple] = set()
    # A solver that has our instances may need fewer of its own: what was seen stays seen, each binding once.
    observed: dict[tuple, None] = {}
    for turn in range(rounds + 1):
        verdict, instantiations = problem.observe(limit=limit, seed=seed + turn)
        observed |= dict.fromkeys(instantiations)
        if verdict != "unknown" or turn == rounds:
            break
        if strategy is None:
            continue
        grammar = Grammar((term for _, terms in observed for term in terms), signature, alpha)
        for number in range(len(problem.universals)):
            sorts = problem.sorts(number)
            if not all(sort in grammar.heights for sort in sorts):
                continue
            for _ in range(samples):
                terms = tuple(grammar.sample(sort, rng, strategy=strategy, depth=depth) for sort in sorts)
                # implied by the universal formula: adding it changes no verdict
                if (number, terms) not in added:
                    added.add((number, terms))
                    problem.add_instance(number, terms)
    return Outcome(verdict, turn, len(added), time.monotonic() - start)


# Name -> SMT-LIB 2, small enough to check by hand.
EXAMPLES = read_yaml(Path(__file__).with_name("examples.yaml"))
