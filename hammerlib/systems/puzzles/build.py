"""One puzzle from a specification and its choices: drawn anew, or rebuilt from a record."""

from __future__ import annotations

import dataclasses
import itertools
import random
import string
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from hammerlib.systems.puzzles.choices import (
    TRIES,
    Choices,
    Rejected,
    as_symbol,
    draw_domain,
    resolve,
    scale,
    variable_value,
)
from hammerlib.systems.puzzles.formulas import PEOPLE, evaluate, render
from hammerlib.systems.puzzles.spec import Condition, Derived, Draw, Mixed, Option, Query, Spec, Symbol
from hammerlib.systems.smt import TooMany, Undecided, optimum, solutions, symbol


class State:
    """What is known while a puzzle is built: the environment of formulas, symbols, texts and constraints.

    Parameters
    ----------
    spec : Spec
    choices : Choices
    find : callable
        Enumerates solutions; default all of them.

    Examples
    --------
    >>> import random
    >>> from hammerlib.systems.puzzles.spec import read_spec
    >>> state = State(read_spec("committee"), Choices(random.Random(0)))
    >>> state.prepare(); sorted(state.types)
    ['bool']
    """

    def __init__(self, spec: Spec, choices: Choices, find: Callable[..., list] = solutions) -> None:
        self.spec, self.choices, self.find = spec, choices, find
        self.env: dict[str, Any] = {"PEOPLE": PEOPLE}
        self.env |= {name: evaluate(text, self.env) for name, text in spec.custom_operator.items()}
        self.texts: dict[str, str] = {}
        self.constraints: list[Any] = []
        self.cond_num = 0
        self.scales: list[float] = []
        self.flat: dict[str, Any] = {}
        self.types: set[str] = set()
        self._layout: dict[str, tuple[list[Any], Symbol]] = {}
        self._derived: dict[str, list[tuple[str, Any]]] = {}

    def prepare(self) -> None:
        """Work out variables, symbols and conditions, in this order; Rejected where a draw is impossible."""
        for name in self.spec.variables:
            self._variable(name)
        for name, one in self.spec.symbols.items():
            if isinstance(one, Symbol):
                self._declare(name, one)
            else:
                self._derive(name, one)
        for name, one in self.spec.conditions.items():
            self._condition(name, one)

    def _variable(self, name: str) -> None:
        one, choices = self.spec.variables[name], self.choices
        if name in choices.themes:
            self.env[name] = choices.themes[name]
        elif one.formula:
            before = choices.rng.getstate() if choices.rng else None
            if choices.replays and choices.has("variables", name):
                self.env[name] = choices.take("variables", name, None)
                return
            value = evaluate(one.formula, self.env | choices.random_functions())
            if choices.rng and choices.rng.getstate() != before:  # only what was drawn is a choice
                choices.take("variables", name, lambda rng: value)
            self.env[name] = value
        else:
            domain = evaluate(one.domain, self.env)
            self.env[name] = choices.take(
                "variables", name, lambda rng: variable_value(one.type, domain, rng)
            )
            if one.diff_factor and one.type in ("int", "float"):
                self.scales.append(scale(self.env[name], domain, one.diff_factor))

    def _declare(self, name: str, one: Symbol) -> None:
        sources = [evaluate(text, self.env) for text in one.source]
        keys = [key[0] if len(key) == 1 else key for key in itertools.product(*sources)]
        for key, (place, attribute) in itertools.product(keys, enumerate(one.attr or ("",))):
            values = evaluate(one.values[place], self.env) if place < len(one.values) else []
            flat = _flat_name(name, key, attribute)
            self.flat[flat] = symbol(flat, one.type[place], values)
        self.types |= set(one.type)
        self._layout[name] = (keys, one)
        self.env |= self._bound(self.flat)

    def _bound(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Containers of every declared symbol, filled with terms or with the values of a solution."""
        found: dict[str, Any] = {}
        for name, (keys, one) in self._layout.items():
            filled = {
                key: {attribute: values[_flat_name(name, key, attribute)] for attribute in one.attr}
                if one.attr
                else values[_flat_name(name, key, "")]
                for key in keys
            }
            found[name] = filled if one.source else filled[()]
        return found

    def _derive(self, name: str, one: Derived | Mixed) -> None:
        rules = one.templates if isinstance(one, Mixed) else (one,)
        if isinstance(one, Mixed):
            total = evaluate(one.total, self.env)
            shares = self.choices.take(
                "symbols", f"{name}:templates", lambda rng: [rng.randrange(len(rules)) for _ in range(total)]
            )
        else:
            shares = [0] * _count(evaluate(one.domain, self.env), self.choices, name, "symbols")
        drawn = {
            place: self._draw(
                f"{name}:{place}" if len(rules) > 1 else name, rules[place], shares.count(place)
            )
            for place in sorted(set(shares))
        }
        made = [(rules[place], drawn[place].pop(0)) for place in shares]
        self._derived[name] = [(rule.formula, seen) for rule, seen in made]
        self.env |= self._statements(self.env)
        self.env[f"{name}_text"] = [render(rule.desc, self.env | {"_sym": seen}) for rule, seen in made]

    def _statements(self, env: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: [evaluate(formula, {**env, "_sym": seen}) for formula, seen in made]
            for name, made in self._derived.items()
        }

    def _draw(self, name: str, rule: Draw, count: int, section: str = "symbols") -> list[Any]:
        sources = [evaluate(text, self.env) for text in rule.source]
        places = self.choices.take(
            section, name, lambda rng: draw_domain(rule, sources, self.env, rng, count)
        )
        return [as_symbol(rule, resolve(one, sources)) for one in places]

    def _condition(self, name: str, one: Condition) -> None:
        if one.source:
            count = _count(evaluate(one.domain, self.env), self.choices, name, "conditions")
            seen = self._draw(name, one, count, "conditions")
            envs = [self.env | {"_sym": draw} for draw in seen]
            self.env[name] = seen
        else:
            envs = [self.env]
        self.constraints += [evaluate(one.formula, env) for env in envs]
        self.cond_num += len(envs)
        self.texts[name] = " ".join(render(one.desc, env) for env in envs) if one.desc else ""

    def solve(self) -> list[dict[str, Any]]:
        """Return all solutions as environments; Rejected without any, with too many, or out of time."""
        try:
            extra = self._best()
            found = self.find(self.flat, self.constraints + extra, limit=self.spec.max_solution)
        except TooMany as error:
            raise Rejected("too many solutions") from error
        except Undecided as error:
            raise Rejected("undecided") from error
        if not found:
            raise Rejected("no solution")
        if extra and len(found) > 1:
            raise Rejected("two optima")
        envs = [{**self.env, **self._bound(values)} for values in found]
        return [env | self._statements(env) for env in envs]

    def _best(self) -> list[Any]:
        if not self.spec.optimize:
            return []
        largest = self.spec.optimize["type"] == "maximize"
        goal = evaluate(self.spec.optimize["formula"], self.env)
        best = optimum(self.constraints, goal, largest=largest)
        return [] if best is None else [goal == best]

    def extend(self, found: list[dict[str, Any]]) -> None:
        """Post-generation: new variables from one solution, new conditions from them."""
        place = self.choices.take("post_generation", "solution", lambda rng: rng.randrange(len(found)))
        chosen = found[place]
        for name, formula in self.spec.post_generation.get("post_gen_vars", {}).items():
            value = evaluate(formula, chosen)
            self.env[name] = chosen[name] = value
        for formula in self.spec.post_generation.get("post_gen_conditions", {}).values():
            self.constraints.append(evaluate(formula, self.env))
            self.cond_num += 1


def _flat_name(name: str, key: Any, attribute: str) -> str:
    shown = "" if key == () else f"[{', '.join(map(str, key)) if isinstance(key, tuple) else key}]"
    return f"{name}{shown}{'.' * bool(attribute)}{attribute}"


def _count(domain: Any, choices: Choices, name: str, section: str) -> int:
    """How many draws: the number given, one chosen from a range, or the length of the record on replay."""
    if choices.replays and choices.has(section, name):
        return len(choices.config[section][name])
    if isinstance(domain, list):
        return choices.rng.randint(*domain) if choices.rng else 0
    return domain


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
    >>> from hammerlib.systems.puzzles.spec import read_spec
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
