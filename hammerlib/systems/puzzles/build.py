"""One puzzle from a specification and its choices: one path draws a new one and rebuilds a recorded one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from hammerlib.systems.puzzles.asking import ask
from hammerlib.systems.puzzles.choices import Choices, Rejected
from hammerlib.systems.puzzles.formulas import render
from hammerlib.systems.puzzles.spec import Spec
from hammerlib.systems.puzzles.state import State
from hammerlib.systems.smt import solutions

UNWANTED = "not wanted"


@dataclasses.dataclass(frozen=True)
class Puzzle:
    """A puzzle with its computed answer and everything needed to rebuild it.

    Attributes
    ----------
    source : str
        Name of the specification.
    problem, answer : str
        Answers of several questions are joined with ``====``.
    eval_type : str
        How the answer is scored, joined likewise.
    parameters : dict
        ``cond_num`` and ``sym_num`` (constraints and unknowns), ``sym_type`` (their types), ``solutions``.
    vars_scale : float
        Mean hardness of the variables with a `diff_factor`, 0 to 1; 0.5 without any.
    config : dict
        Every random choice.

    Examples
    --------
    >>> Puzzle("tiny", "1 + 1?", "2", "numeral", {}, 0.5, {}).answer
    '2'
    """

    source: str
    problem: str
    answer: str
    eval_type: str
    parameters: dict[str, Any]
    vars_scale: float
    config: dict[str, dict[str, Any]]


def build(
    spec: Spec,
    choices: Choices,
    accept: Callable[[Mapping[str, Any]], bool] | None = None,
    find: Callable[..., list] = solutions,
) -> Puzzle:
    """Build a puzzle: draw or replay its choices, solve it, ask its questions.

    Parameters
    ----------
    spec : Spec
    choices : Choices
        With a random generator, or a record to replay.
    accept : callable, optional
        Asked before the solver, with the choices so far; False rejects the puzzle.
    find : callable
        Enumerates solutions; `smt.released_solutions` repeats the released slip.

    Returns
    -------
    Puzzle

    Raises
    ------
    Rejected
        No solution, too many, no unique optimum, an answer that is not determined, not enough options.
    InputError
        A faulty specification or record.

    Examples
    --------
    >>> from hammerlib.systems.puzzles.reading import read_spec
    >>> spec = read_spec("committee")
    >>> one = build(spec, Choices(config=spec.seed["config"]))
    >>> one.answer == spec.seed["answer"]
    True
    """
    state = State(spec, choices, find)
    state.prepare()
    if accept is not None and not accept(choices.config):
        raise Rejected(UNWANTED)
    found = state.solve() if spec.calc_solution else []
    if spec.post_generation:
        state.extend(found)
        found = state.solve()
    asked = {name: ask(name, query, state, found) for name, query in spec.queries.items()}
    texts = state.texts | {name: one.text for name, one in asked.items()}
    texts["conditions"] = " ".join(text for text in state.texts.values() if text)
    texts["queries"] = "\n".join(one.text for one in asked.values())
    parameters = {
        "cond_num": state.cond_num,
        "sym_num": len(state.flat),
        "sym_type": sorted(state.types),
        "solutions": len(found),
    }
    return Puzzle(
        spec.name,
        render(spec.desc, state.env | texts).strip(),
        "====".join(one.answer for one in asked.values()),
        "====".join(one.eval_type for one in asked.values()),
        parameters,
        sum(state.scales) / len(state.scales) if state.scales else 0.5,
        choices.config,
    )
