"""Questions about a solved puzzle: open answers, and options that are true in some or in all solutions."""

from __future__ import annotations

import random
import string
from fractions import Fraction
from typing import Any, NamedTuple

from hammerlib.systems.puzzles.choices import Rejected
from hammerlib.systems.puzzles.draws import TRIES, as_symbol, draw_domain, resolve
from hammerlib.systems.puzzles.formulas import evaluate, render
from hammerlib.systems.puzzles.spec import Option, Query
from hammerlib.systems.puzzles.state import State


class Asked(NamedTuple):
    """A question with its answer.

    Attributes
    ----------
    text : str
        With the options of a choice, one a line.
    answer : str
        Letters of a choice: every option that is asked for, so that an ambiguous question shows as ``AB``.
    eval_type : str
        See `hammerlib.systems.puzzles.scoring`.

    Examples
    --------
    >>> Asked("Who?", "Ann", "nominal").answer
    'Ann'
    """

    text: str
    answer: str
    eval_type: str


def ask(name: str, query: Query, state: State, found: list[dict[str, Any]]) -> Asked:
    """Ask one question.

    Parameters
    ----------
    name : str
        Under which its options are recorded.
    query : Query
    state : State
        Whose choices draw or replay the options.
    found : list of environments
        All solutions.

    Raises
    ------
    Rejected
        The answer's assertion fails, or there are not enough options of one kind.

    Examples
    --------
    >>> from hammerlib.systems.puzzles import Choices, State, read_spec
    >>> spec = read_spec({"name": "t", "desc": "{q}", "calc_solution": False,
    ...     "queries": {"q": {"desc": "1 + 1?", "ans_formula": "1 + 1"}}})
    >>> ask("q", spec.queries["q"], State(spec, Choices(random.Random(0))), [])
    Asked(text='1 + 1?', answer='2', eval_type='numeral')
    """
    if query.templates:
        return _choice(name, query, state, found)
    env = {**(found[0] if found else state.env), "_solutions": found}
    assertion = query.ans_assertion or f"{not state.spec.calc_solution} or len(_solutions) == 1"
    if not evaluate(assertion, env):
        raise Rejected("answer not determined")
    answer = evaluate(query.ans_formula, env)
    text = render(query.ans_text, env | {"_ans": answer})
    return Asked(render(query.desc, state.env | state.texts), text, query.eval_type or _kind(answer))


def _kind(answer: Any) -> str:
    if isinstance(answer, list | tuple):
        return "ordered_array"
    number = isinstance(answer, int | Fraction) and not isinstance(answer, bool)
    return "numeral" if number else "nominal"


def _choice(name: str, query: Query, state: State, found: list[dict[str, Any]]) -> Asked:
    recorded = state.choices.take("_queries", name, lambda rng: _options(query, state, found, rng))
    made = [_option(query.templates[place], drawn, state) for place, drawn in recorded]
    facts = [
        _is_true(query.templates[place], seen, found)
        for (place, _), (_, seen) in zip(recorded, made, strict=True)
    ]
    letters = string.ascii_uppercase
    lines = [f"{letter}. {text}" for letter, (text, _) in zip(letters, made, strict=False)]
    answer = "".join(
        letter for letter, fact in zip(letters, facts, strict=False) if fact == query.select_type
    )
    if not answer:
        raise Rejected("no option fits")
    kind = query.eval_type or ("option" if query.query_type == "single_choice" else "multi_options")
    return Asked("\n".join([render(query.desc, state.env | state.texts), *lines]), answer, kind)


def _option(template: Option, drawn: list, state: State) -> tuple[str, Any]:
    sources = [evaluate(text, state.env) for text in template.source]
    seen = as_symbol(template, resolve(drawn, sources))
    return render(template.opt_text, state.env | {"_opt": seen}), seen


def _is_true(template: Option, seen: Any, found: list[dict[str, Any]]) -> bool:
    facts = (bool(evaluate(template.opt_formula, {**env, "_opt": seen})) for env in found)
    return any(facts) if template.cond == "any" else all(facts)


def _options(query: Query, state: State, found: list[dict[str, Any]], rng: random.Random) -> list:
    """Draw options until there are enough that are asked for and enough that are not."""
    asked_for = 1 if query.query_type == "single_choice" else rng.randint(2, query.opt_num - 1)
    wanted = {query.select_type: asked_for, not query.select_type: query.opt_num - asked_for}
    kept: dict[bool, list] = {True: [], False: []}
    texts: set[str] = set()
    for _ in range(TRIES):
        place = rng.randrange(len(query.templates))
        template = query.templates[place]
        sources = [evaluate(text, state.env) for text in template.source]
        (drawn,) = draw_domain(template, sources, state.env, rng, 1)
        text, seen = _option(template, drawn, state)
        if text in texts:
            continue
        texts.add(text)
        fact = _is_true(template, seen, found)
        if len(kept[fact]) < wanted[fact]:
            kept[fact].append([place, drawn])
        if all(len(kept[kind]) == wanted[kind] for kind in wanted):
            options = kept[True] + kept[False]
            rng.shuffle(options)
            return options
    raise Rejected("not enough options")
