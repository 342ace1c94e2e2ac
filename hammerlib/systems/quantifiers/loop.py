"""The loop: let the solver instantiate, learn from its terms, add sampled instances, ask again."""

from __future__ import annotations

import random
import time
from typing import NamedTuple

from hammerlib.errors import InputError
from hammerlib.systems.quantifiers.grammar import Grammar, Production
from hammerlib.systems.smt import LIMIT, Problem


class Outcome(NamedTuple):
    """How a problem ended (ours).

    Attributes
    ----------
    verdict : str
        ``unsat``, ``sat`` or ``unknown``.
    rounds, instances : int
        Rounds of sampling, and distinct instances that were added.
    seconds : float
        Wall clock, for information: nothing depends on it.

    Examples
    --------
    >>> Outcome("unsat", 1, 4, 0.01).verdict
    'unsat'
    """

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

    Parameters
    ----------
    text : str
        SMT-LIB 2 declarations and assertions.
    strategy : str or None
        One of `STRATEGIES`; None: e-matching alone, once more in every round with another random seed.
    rounds, samples : int
        At most so many rounds, each with so many draws for every universal formula.
    depth : int
        Largest depth of a sampled term; a constant has 1.
    alpha : float
        See `Grammar`: pseudo-count of every function that occurs in the problem.
    limit : int
        z3's resource units for each of its calls, `rounds` + 1 at most. Where e-matching itself diverges, the
        call ends there, and the sampling goes on.
    seed : int
        Of the draws and of z3.

    Returns
    -------
    Outcome

    Raises
    ------
    InputError
        Unreadable text, unknown strategy, or a limit below 1.

    Examples
    --------
    >>> from hammerlib.systems.quantifiers import EXAMPLES
    >>> [instantiate(EXAMPLES["stuck trigger"], one).verdict for one in (None, "mimic")]
    ['unknown', 'unsat']
    """
    if min(rounds, samples, depth, limit) < 1:
        remedy = "give whole numbers from 1"
        raise InputError("limits", [rounds, samples, depth, limit], "one of them allows nothing", remedy)
    problem, rng, start = Problem(text), random.Random(seed), time.monotonic()
    signature = [Production(sort, name, arguments) for name, sort, arguments in problem.functions]
    Grammar([]).probabilities("", strategy or "mimic")  # refuse an unknown strategy before the first call
    added: set[tuple] = set()
    # A solver that has our instances may need fewer of its own: what was seen stays seen, each binding once.
    seen: dict[tuple, None] = {}
    verdict, turn = "unknown", 0
    for turn in range(rounds + 1):
        verdict, found = problem.observe(limit=limit, seed=seed + turn)
        seen |= dict.fromkeys(found)
        if verdict != "unknown" or turn == rounds:
            break
        if strategy is not None:
            grammar = Grammar((term for _, terms in seen for term in terms), signature, alpha)
            _add(problem, grammar, strategy, samples, depth, rng, added)
    return Outcome(verdict, turn, len(added), time.monotonic() - start)


def _add(
    problem: Problem,
    grammar: Grammar,
    strategy: str,
    samples: int,
    depth: int,
    rng: random.Random,
    added: set[tuple],
) -> None:
    """Add new instances of every universal formula whose sorts the grammar knows."""
    for place in range(len(problem.universals)):
        sorts = problem.sorts(place)
        if not all(sort in grammar.heights for sort in sorts):
            continue
        for _ in range(samples):
            terms = tuple(grammar.sample(sort, rng, strategy=strategy, depth=depth) for sort in sorts)
            if (place, terms) not in added:
                added.add((place, terms))
                problem.add_instance(place, terms)
