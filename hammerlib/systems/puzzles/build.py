"""One puzzle from a specification and its random choices, which are written down.

One path draws a new puzzle and rebuilds a recorded one: a puzzle is its specification plus the record.
"""

from __future__ import annotations

import itertools
import random
import re
import string
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from hammerlib.errors import InputError
from hammerlib.systems.puzzles.formulas import PEOPLE, evaluate, render
from hammerlib.systems.puzzles.spec import Condition, Derived, Draw, Mixed, Option, Query, Spec, Symbol
from hammerlib.systems.smt import TooMany, Undecided, optimum, solutions, symbol

TRIES = 200  # draws before a condition, statement or option counts as impossible
_INDEX = re.compile(r"__(\d+)__")


class Rejected(Exception):
    """These choices give no valid puzzle; the reason is one of a few words, for counting."""


class Choices:
    """Draw choices and record them, or (without `rng`) replay a record.

    `config` is the record: section to name to choice. In draws ``"__3__"`` is the place in the source,
    anything else is the value itself. `themes` replaces variables on replay, e.g. names: draws keep their
    places.
    """

    def __init__(
        self,
        rng: random.Random | None = None,
        config: Mapping[str, Mapping[str, Any]] | None = None,
        themes: Mapping[str, Any] | None = None,
    ) -> None:
        self.rng = rng
        self.themes = dict(themes or {})
        self.config: dict[str, dict[str, Any]] = {name: dict(part) for name, part in (config or {}).items()}

    def replays(self, section: str, name: str) -> bool:
        """Tell whether this repeats a record, which holds the choice."""
        return self.rng is None and name in self.config.get(section, {})

    def take(self, section: str, name: str, draw: Callable[[random.Random], Any] | None) -> Any:
        """Return a choice: drawn and recorded, or replayed; InputError where the record lacks it."""
        if self.rng is None:
            if not self.replays(section, name):
                remedy = "record every choice of the puzzle"
                raise InputError("config", f"{section}.{name}", "is missing", remedy)
            return self.config[section][name]
        value = draw(self.rng)
        self.config.setdefault(section, {})[name] = value
        return value

    def random_functions(self) -> dict[str, Callable[..., Any]]:
        """Functions that variables may call; a replay must not need them."""
        if self.rng is None:
            return {}
        return {
            "sample": lambda items, n: self.rng.sample(list(items), n),
            "shuffled": lambda items: self.rng.sample(list(items), len(items)),
            "pick": lambda items: self.rng.choice(list(items)),
            "randint": self.rng.randint,
        }


def variable_value(kind: str, domain: Sequence[Any], rng: random.Random) -> Any:
    """Draw a variable of a type (``int``, ``float`` with one decimal, ``bool``, ``enum``) from its domain."""
    if kind in ("int", "float"):
        if len(domain) != 2 or domain[0] > domain[1]:
            raise InputError("domain", list(domain), "is no range", "give the lowest and the highest value")
        if kind == "int":
            return rng.randint(int(domain[0]), int(domain[1]))
        # in tenths, so that every value is written with one decimal
        return rng.randint(round(10 * domain[0]), round(10 * domain[1])) / 10
    if kind not in ("bool", "enum") or not domain:
        raise InputError("type", kind, "is unknown, or has no values", "use int, float, bool or enum")
    return rng.choice(list(domain))


def scale(value: Any, domain: Sequence[Any], diff_factor: int) -> float:
    """Return how hard a value makes a puzzle, 0 to 1; a negative factor: smaller is harder."""
    # as written: 0.1 is a tenth, and the ends of a range are exactly 0 and 1
    low, high, exact = (Fraction(str(number)) for number in (domain[0], domain[-1], value))
    share = 0.5 if low == high else float((exact - low) / (high - low))
    return 1 - share if diff_factor < 0 else share


def draw_places(rule: Draw, sources: list[list[Any]], env: Mapping[str, Any], rng: random.Random) -> list:
    """Draw one set of items: ``[part][source]`` to a list of ``"__place__"``; Rejected if none fits."""
    amounts = [evaluate(formula, env) for formula in rule.amount] or [1] * len(sources)
    groups = rule.dim_cond or (tuple(range(len(sources))),)
    for _ in range(TRIES):
        parts = []
        for _ in range(evaluate(rule.dim, env)):
            parts.append([_items(rule, i, len(items), amounts[i], rng) for i, items in enumerate(sources)])
        # Parts must differ within each group of sources.
        different = [{tuple(tuple(part[i]) for i in group) for part in parts} for group in groups]
        if any(len(kinds) < len(parts) for kinds in different):
            continue
        places = [[[f"__{place}__" for place in items] for items in part] for part in parts]
        if holds(rule, "dim", resolve(places, sources), env):
            return places
    raise Rejected("no draw")


def _items(rule: Draw, source: int, size: int, amount: int, rng: random.Random) -> list[int]:
    if rule.duplicate[source : source + 1] == (True,):
        places = [rng.randrange(size) for _ in range(amount)] if size else []
    else:
        places = rng.sample(range(size), amount) if amount <= size else []
    # no other draw of this source can fit: the puzzle is rejected, not drawn again
    if len(places) < amount:
        raise Rejected("source too short")
    # places keep the sequence of the draw, but for the first source of an option
    first_of_option = isinstance(rule, Option) and source == 0
    ordered = rule.order[source] if source < len(rule.order) else not first_of_option
    return places if ordered else sorted(places)


def draw_domain(rule: Draw, env: Mapping[str, Any], rng: random.Random, count: int) -> list:
    """Draw `count` sets that differ and meet the conditions of scope ``domain``, or reject."""
    sources = [evaluate(text, env) for text in rule.source]
    for _ in range(TRIES):
        drawn: list = []
        for _ in range(TRIES):
            if len(drawn) == count:
                break
            places = draw_places(rule, sources, env, rng)
            if not (rule.domain_cond and places in drawn):
                drawn.append(places)
        if len(drawn) < count:
            break
        if holds(rule, "domain", [resolve(places, sources) for places in drawn], env):
            return drawn
    raise Rejected("no draw")


def resolve(places: list, sources: list[list[Any]]) -> list[list[list[Any]]]:
    """Turn recorded places of one draw, ``[part][source][item]``, into values."""
    values = []
    for part in places:
        values.append([[_resolved(item, sources[i]) for item in items] for i, items in enumerate(part)])
    return values


def _resolved(item: Any, source: list[Any]) -> Any:
    """Return the value at a place; what is no place stands for itself."""
    match = _INDEX.fullmatch(item) if isinstance(item, str) else None
    if match is None:
        return item
    position = int(match.group(1))
    if position >= len(source):
        problem = f"the source has {len(source)} items"
        raise InputError("config", item, problem, "use a smaller place, or the value itself")
    return source[position]


def holds(rule: Draw, scope: str, values: list, env: Mapping[str, Any]) -> bool:
    """Tell whether values meet a rule's own conditions of a scope (``dim``, or ``domain``: one axis more)."""
    for condition in rule.custom_cond:
        if condition["scope"] != scope:
            continue
        draws = values if scope == "domain" else [values]
        chosen = [[[part[i] for i in condition["fields"]] for part in draw] for draw in draws]
        if not evaluate(condition["constraint"], env)(chosen if scope == "domain" else chosen[0]):
            return False
    return True


def as_symbol(rule: Draw, places: list, env: Mapping[str, Any]) -> Any:
    """Return a draw as formulas see it: items bare without `amount`, parts only with more than one."""
    parts = resolve(places, [evaluate(text, env) for text in rule.source])
    values = parts if rule.amount else [[items[0] for items in part] for part in parts]
    return values[0] if len(values) == 1 else values


UNWANTED = "not wanted"


class Puzzle(NamedTuple):
    """A puzzle with its computed answer and everything needed to rebuild it.

    Answers and types (how an answer is scored) of several questions are joined with ``====``. `parameters`
    holds the numbers of constraints, unknowns and solutions, and the unknowns' types; `vars_scale` is the
    mean hardness of the variables with a `diff_factor` (0 to 1; 0.5 without any); `config` is every random
    choice.
    """

    source: str
    problem: str
    answer: str
    eval_type: str
    parameters: dict[str, Any]
    vars_scale: float
    config: dict[str, dict[str, Any]]


class State:
    """What is known while a puzzle is built: the environment of formulas, symbols, texts and constraints."""

    def __init__(self, spec: Spec, choices: Choices, find: Callable[..., list] = solutions) -> None:
        self.spec = spec
        self.choices = choices
        self.find = find
        self.env: dict[str, Any] = {"PEOPLE": PEOPLE}
        self.env |= {name: evaluate(text, self.env) for name, text in spec.custom_operator.items()}
        self.texts: dict[str, str] = {}
        self.constraints: list[Any] = []
        self.scales: list[float] = []
        self.flat: dict[str, Any] = {}  # every unknown by its full name
        self.layout: dict[str, tuple[list[Any], Symbol]] = {}
        self._derived: dict[str, list[tuple[str, Any]]] = {}

    def prepare(self) -> None:
        """Work out variables, symbols and conditions, in this order; Rejected where a draw is impossible."""
        for name in self.spec.variables:
            self._variable(name)
        for name, rule in self.spec.symbols.items():
            if isinstance(rule, Symbol):
                self._declare(name, rule)
            else:
                self._derive(name, rule)
        for name, condition in self.spec.conditions.items():
            self._condition(name, condition)

    def _variable(self, name: str) -> None:
        variable = self.spec.variables[name]
        choices = self.choices
        if name in choices.themes:
            self.env[name] = choices.themes[name]
        elif variable.formula and choices.replays("variables", name):
            self.env[name] = choices.take("variables", name, None)
        elif variable.formula:
            # whether a formula drew anything is told by the generator, not by its text
            before = choices.rng.getstate() if choices.rng else None
            value = evaluate(variable.formula, self.env | choices.random_functions())
            if choices.rng and choices.rng.getstate() != before:  # only what was drawn is a choice
                choices.take("variables", name, lambda rng: value)
            self.env[name] = value
        else:
            domain = evaluate(variable.domain, self.env)
            value = choices.take("variables", name, lambda rng: variable_value(variable.type, domain, rng))
            self.env[name] = value
            if variable.diff_factor and variable.type in ("int", "float"):
                self.scales.append(scale(value, domain, variable.diff_factor))

    def _declare(self, name: str, rule: Symbol) -> None:
        sources = [evaluate(text, self.env) for text in rule.source]
        keys = [key[0] if len(key) == 1 else key for key in itertools.product(*sources)]
        # one unknown for each combination of the sources' items and each attribute
        for key, (column, attribute) in itertools.product(keys, enumerate(rule.attr or ("",))):
            values = evaluate(rule.values[column], self.env) if column < len(rule.values) else []
            full_name = _flat_name(name, key, attribute)
            self.flat[full_name] = symbol(full_name, rule.type[column], values)
        self.layout[name] = (keys, rule)
        self.env |= self._bound(self.flat)

    def _bound(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Containers of every declared symbol, filled with terms or with the values of a solution."""
        bound: dict[str, Any] = {}
        for name, (keys, rule) in self.layout.items():
            filled = {}
            for key in keys:
                if rule.attr:
                    filled[key] = {attr: values[_flat_name(name, key, attr)] for attr in rule.attr}
                else:
                    filled[key] = values[_flat_name(name, key, "")]
            bound[name] = filled if rule.source else filled[()]
        return bound

    def _derive(self, name: str, rule: Derived | Mixed) -> None:
        if isinstance(rule, Mixed):
            rules = rule.templates
            total = evaluate(rule.total, self.env)
            shares = self.choices.take(
                "symbols", f"{name}:templates", lambda rng: [rng.randrange(len(rules)) for _ in range(total)]
            )
        else:
            rules = (rule,)
            shares = [0] * self._count(rule, name, "symbols")
        drawn = {}
        for number in sorted(set(shares)):
            # draws of one template must differ, so they are made together and dealt out after
            record = f"{name}:{number}" if len(rules) > 1 else name
            drawn[number] = self._draw(record, rules[number], shares.count(number), "symbols")
        made = [(rules[number], drawn[number].pop(0)) for number in shares]
        self._derived[name] = [(template.formula, value) for template, value in made]
        self.env |= self._statements(self.env)
        texts = [render(template.desc, self.env | {"_sym": value}) for template, value in made]
        self.env[f"{name}_text"] = texts

    def _statements(self, env: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: [evaluate(formula, {**env, "_sym": value}) for formula, value in made]
            for name, made in self._derived.items()
        }

    def _count(self, rule: Derived | Condition, name: str, section: str) -> int:
        """How many draws: the number given, one from a range, or the length of the record on replay."""
        domain = evaluate(rule.domain, self.env)
        if self.choices.replays(section, name):
            return len(self.choices.config[section][name])
        if isinstance(domain, list):
            return self.choices.rng.randint(*domain) if self.choices.rng else 0
        return domain

    def _draw(self, name: str, rule: Draw, count: int, section: str) -> list[Any]:
        draws = self.choices.take(section, name, lambda rng: draw_domain(rule, self.env, rng, count))
        return [as_symbol(rule, places, self.env) for places in draws]

    def _condition(self, name: str, condition: Condition) -> None:
        envs = [self.env]
        if condition.source:
            count = self._count(condition, name, "conditions")
            values = self._draw(name, condition, count, "conditions")
            envs = [self.env | {"_sym": value} for value in values]
            self.env[name] = values
        self.constraints += [evaluate(condition.formula, env) for env in envs]
        self.texts[name] = " ".join(render(condition.desc, env) for env in envs) if condition.desc else ""

    def solve(self) -> list[dict[str, Any]]:
        """Return all solutions as environments; Rejected without any, with too many, or out of time."""
        # the best value first; then all that reaches it, which must be one
        extra: list[Any] = []
        try:
            if self.spec.optimize:
                goal = evaluate(self.spec.optimize["formula"], self.env)
                largest = self.spec.optimize["type"] == "maximize"
                best = optimum(self.constraints, goal, largest=largest)
                extra = [] if best is None else [goal == best]
            solved = self.find(self.flat, self.constraints + extra, limit=self.spec.max_solution)
        except TooMany as error:
            raise Rejected("too many solutions") from error
        except Undecided as error:
            raise Rejected("undecided") from error
        if not solved:
            raise Rejected("no solution")
        # a puzzle that asks for the best has one answer
        if extra and len(solved) > 1:
            raise Rejected("two optima")
        envs = [{**self.env, **self._bound(values)} for values in solved]
        return [env | self._statements(env) for env in envs]

    def extend(self, solved: list[dict[str, Any]]) -> None:
        """Post-generation: new variables from one solution, new conditions from them."""
        chosen = self.choices.take("post_generation", "solution", lambda rng: rng.randrange(len(solved)))
        # what is chosen of it becomes given: the rest is to be found again
        solution = solved[chosen]
        for name, formula in self.spec.post_generation.get("post_gen_vars", {}).items():
            self.env[name] = solution[name] = evaluate(formula, solution)
        for formula in self.spec.post_generation.get("post_gen_conditions", {}).values():
            self.constraints.append(evaluate(formula, self.env))


def _flat_name(name: str, key: Any, attribute: str) -> str:
    keys = key if isinstance(key, tuple) else (key,)
    index = f"[{', '.join(map(str, keys))}]" if keys else ""
    return f"{name}{index}.{attribute}" if attribute else f"{name}{index}"


# Questions


class Asked(NamedTuple):
    """A question with its answer: of a choice every letter that fits, so that an ambiguous one shows."""

    text: str
    answer: str
    eval_type: str


def ask(name: str, query: Query, state: State, solved: list[dict[str, Any]]) -> Asked:
    """Ask one question about all solutions; Rejected where they do not determine its answer."""
    if query.templates:
        return _ask_choice(name, query, state, solved)
    env = {**(solved[0] if solved else state.env), "_solutions": solved}
    assertion = query.ans_assertion or f"{not state.spec.calc_solution} or len(_solutions) == 1"
    if not evaluate(assertion, env):
        raise Rejected("answer not determined")
    answer = evaluate(query.ans_formula, env)
    text = render(query.ans_text, env | {"_ans": answer})
    return Asked(render(query.desc, state.env | state.texts), text, query.eval_type or _kind(answer))


def _kind(answer: Any) -> str:
    if isinstance(answer, list | tuple):
        return "ordered_array"
    if isinstance(answer, int | Fraction) and not isinstance(answer, bool):
        return "numeral"
    return "nominal"


def _ask_choice(name: str, query: Query, state: State, solved: list[dict[str, Any]]) -> Asked:
    recorded = state.choices.take("_queries", name, lambda rng: _options(query, state, solved, rng))
    lines = []
    answer = ""
    for letter, (number, drawn) in zip(string.ascii_uppercase, recorded, strict=False):
        template = query.templates[number]
        text, value = _option(template, drawn, state)
        lines.append(f"{letter}. {text}")
        # computed anew on replay too: the record holds choices, no answers
        if _is_true(template, value, solved) == query.select_type:
            answer += letter
    if not answer:
        raise Rejected("no option fits")
    kind = query.eval_type or ("option" if query.query_type == "single_choice" else "multi_options")
    return Asked("\n".join([render(query.desc, state.env | state.texts), *lines]), answer, kind)


def _option(template: Option, drawn: list, state: State) -> tuple[str, Any]:
    value = as_symbol(template, drawn, state.env)
    return render(template.opt_text, state.env | {"_opt": value}), value


def _is_true(template: Option, value: Any, solved: list[dict[str, Any]]) -> bool:
    facts = (bool(evaluate(template.opt_formula, {**env, "_opt": value})) for env in solved)
    return any(facts) if template.cond == "any" else all(facts)


def _options(query: Query, state: State, solved: list[dict[str, Any]], rng: random.Random) -> list:
    """Draw options until there are enough that are asked for and enough that are not."""
    asked_for = 1 if query.query_type == "single_choice" else rng.randint(2, query.opt_num - 1)
    # `select_type` False asks for what is wrong: letters then mark the false options
    wanted = {query.select_type: asked_for, not query.select_type: query.opt_num - asked_for}
    options_of: dict[bool, list] = {True: [], False: []}
    texts: set[str] = set()
    for _ in range(TRIES):
        number = rng.randrange(len(query.templates))
        template = query.templates[number]
        (drawn,) = draw_domain(template, state.env, rng, 1)
        text, value = _option(template, drawn, state)
        # two options of one text could not be told apart
        if text in texts:
            continue
        texts.add(text)
        fact = _is_true(template, value, solved)
        if len(options_of[fact]) < wanted[fact]:
            options_of[fact].append([number, drawn])
        if all(len(options_of[fact]) == wanted[fact] for fact in wanted):
            options = options_of[True] + options_of[False]
            rng.shuffle(options)
            return options
    raise Rejected("not enough options")


def build(
    spec: Spec,
    choices: Choices,
    accept: Callable[[Mapping[str, Any]], bool] | None = None,
    find: Callable[..., list] = solutions,
) -> Puzzle:
    """Build a puzzle: draw or replay its choices, solve it, ask its questions.

    `accept` is asked before the solver, with the choices so far; False rejects the puzzle. `find` enumerates
    solutions: `smt.released_solutions` repeats the released slip. Raises `Rejected`, or InputError for a
    faulty specification or record.
    """
    state = State(spec, choices, find)
    state.prepare()
    if accept is not None and not accept(choices.config):
        raise Rejected(UNWANTED)
    solved = state.solve() if spec.calc_solution else []
    if spec.post_generation:
        state.extend(solved)
        solved = state.solve()
    asked = {name: ask(name, query, state, solved) for name, query in spec.queries.items()}
    texts = state.texts | {name: question.text for name, question in asked.items()}
    texts["conditions"] = " ".join(text for text in state.texts.values() if text)
    texts["queries"] = "\n".join(question.text for question in asked.values())
    return Puzzle(
        source=spec.name,
        problem=render(spec.desc, state.env | texts).strip(),
        answer="====".join(question.answer for question in asked.values()),
        eval_type="====".join(question.eval_type for question in asked.values()),
        parameters={
            "cond_num": len(state.constraints),
            "sym_num": len(state.flat),
            "sym_type": sorted({kind for _, rule in state.layout.values() for kind in rule.type}),
            "solutions": len(solved),
        },
        vars_scale=sum(state.scales) / len(state.scales) if state.scales else 0.5,
        config=choices.config,
    )
