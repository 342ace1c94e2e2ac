"""What is known while a puzzle is built: variables, symbols, constraints, texts, solutions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from hammerlib.systems.puzzles.choices import Choices, Rejected, scale, variable_value
from hammerlib.systems.puzzles.draws import as_symbol, draw_domain, resolve
from hammerlib.systems.puzzles.formulas import evaluate, render
from hammerlib.systems.puzzles.functions import PEOPLE
from hammerlib.systems.puzzles.spec import Condition, Derived, Draw, Mixed, Spec, Symbol
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
    >>> from hammerlib.systems.puzzles.reading import read_spec
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
