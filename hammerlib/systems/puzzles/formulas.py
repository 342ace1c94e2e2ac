"""Formulas of a specification, evaluated without ``eval``; texts with formulas in braces.

The same formula states a constraint where names are bound to symbols, and a fact where they are bound to the
values of one solution. What is allowed is a part of Python's expressions, compiled to functions.
"""

from __future__ import annotations

import ast
import functools
import operator
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from hammerlib.errors import InputError
from hammerlib.systems.smt import CONNECTIVES, compare, is_term

Env = Mapping[str, Any]
Compiled = Callable[[Env], Any]
MAX_EXPONENT = 64

# A bank for specifications to draw from.
PEOPLE = (
    *("Ada", "Bruno", "Carla", "David", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kira", "Liam"),
    *("Mona", "Nils", "Olga", "Pavel", "Quinn", "Rosa", "Samir", "Tessa", "Uwe", "Vera", "Wanda", "Yusuf"),
)


def evaluate(text: str, env: Env) -> Any:
    """Return the value of a formula; a quotient is exact, every failure an InputError.

    Allowed: numbers, texts, names, ``+ - * / // % **``, comparisons, ``and or not``, ``a if b else c``,
    lists, tuples, comprehensions, ``x[i]``, ``lambda``, and calls of the functions in `FUNCTIONS` or `env`.
    """
    try:
        return compiled(text)(env)
    except InputError:
        raise
    except (TypeError, ValueError, LookupError, ArithmeticError) as error:
        problem = f"fails ({type(error).__name__}: {error})"
        raise InputError("formula", text, problem, "mend the formula or its sources") from error


def render(template: str, env: Env) -> str:
    """Fill the formulas in braces into a text; they may hold brackets and quotes, but no braces."""
    first, *rest = template.split("{")
    pieces = [first]
    for text in rest:
        formula, closed, after = text.partition("}")
        if not closed:
            raise InputError("text", template, "has a brace that is not closed", "close it")
        pieces += [show(evaluate(formula, env)), after]
    return "".join(pieces)


def show(value: Any) -> str:
    """Write a value as a reader would: lists with commas, whole fractions as integers."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(show, value))
    return str(value)


def _join(values: Any, between: str = ", ", last: str | None = None) -> str:
    words = [show(value) for value in values]
    if last is None or len(words) < 2:
        return between.join(words)
    return f"{between.join(words[:-1])}{last}{words[-1]}"


# What formulas may call, besides the operators a specification defines itself.
FUNCTIONS: dict[str, Callable[..., Any]] = CONNECTIVES | {
    "abs": lambda x: CONNECTIVES["If"](x >= 0, x, -x) if is_term(x) else abs(x),
    "all": lambda values: CONNECTIVES["And"](list(values)),
    "any": lambda values: CONNECTIVES["Or"](list(values)),
    "enumerate": lambda values: [list(pair) for pair in enumerate(values)],
    "int": int,
    "join": _join,
    "len": len,
    "list": list,
    "max": max,
    "min": min,
    "range": lambda *ends: list(range(*ends)),
    "sorted": sorted,
    "str": show,
    "sum": lambda values: CONNECTIVES["Sum"](list(values)),
    "values": lambda symbols: list(symbols.values()),
    "zip": lambda *lists: [list(row) for row in zip(*lists, strict=True)],
}


@functools.lru_cache(maxsize=4096)
def compiled(text: str) -> Compiled:
    """Return a formula as a function of its environment."""
    try:
        return _compile(ast.parse(text.strip(), mode="eval").body)
    except SyntaxError as error:
        problem = f"is no expression ({error.msg})"
        raise InputError("formula", text, problem, "write one expression") from error


def _compile(node: ast.expr) -> Compiled:
    maker = _MAKERS.get(type(node))
    if maker is None:
        problem = f"{type(node).__name__} is not allowed"
        raise InputError("formula", ast.unparse(node), problem, "see hammerlib.systems.puzzles")
    return maker(node)


def _constant(node: ast.Constant) -> Compiled:
    value = Fraction(str(node.value)) if isinstance(node.value, float) else node.value
    return lambda env: value


def _name(node: ast.Name) -> Compiled:
    name = node.id

    def read(env: Env) -> Any:
        if name in env:
            return env[name]
        if name in FUNCTIONS:
            return FUNCTIONS[name]
        raise InputError("formula", name, "is not defined (yet)", "define it further up in the specification")

    return read


def _divide(left: Any, right: Any) -> Any:
    if is_term(left) or is_term(right):
        return left / right
    quotient = Fraction(left) / Fraction(right)
    return quotient.numerator if quotient.denominator == 1 else quotient


def _power(left: Any, right: Any) -> Any:
    if not is_term(right) and abs(right) > MAX_EXPONENT:
        raise ValueError(f"exponent above {MAX_EXPONENT}")
    return left**right


_BINARY = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: _divide,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}


def _binary(node: ast.BinOp) -> Compiled:
    left, right = _compile(node.left), _compile(node.right)
    if type(node.op) not in _BINARY:
        raise InputError("formula", ast.unparse(node), "has an unknown operator", "use + - * / // % **")
    apply = _BINARY[type(node.op)]
    return lambda env: apply(left(env), right(env))


def _plain(value: Any, word: str) -> Any:
    # A z3 term has no truth value: "not p" would silently be a constant.
    if is_term(value):
        raise InputError("formula", str(value), f"{word!r} cannot ask a symbol", "use And, Or, Not, If")
    return value


def _unary(node: ast.UnaryOp) -> Compiled:
    operand = _compile(node.operand)
    if isinstance(node.op, ast.Not):
        return lambda env: not _plain(operand(env), "not")
    if isinstance(node.op, ast.USub):
        return lambda env: -operand(env)
    raise InputError("formula", ast.unparse(node), "has an unknown sign", "use - or not")


def _bool(node: ast.BoolOp) -> Compiled:
    operands = [_compile(value) for value in node.values]
    is_or = isinstance(node.op, ast.Or)
    word = "or" if is_or else "and"
    # "or" ends at the first true value, "and" at the first false one.
    return lambda env: any(bool(_plain(one(env), word)) == is_or for one in operands) == is_or


_RELATIONS = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def _comparison(node: ast.Compare) -> Compiled:
    sides = [_compile(side) for side in (node.left, *node.comparators)]
    kinds = [type(op) for op in node.ops]

    def hold(env: Env) -> Any:
        values = [side(env) for side in sides]
        facts = [_relate(kind, *pair) for kind, *pair in zip(kinds, values, values[1:], strict=False)]
        return facts[0] if len(facts) == 1 else CONNECTIVES["And"](facts)

    return hold


def _relate(kind: type, left: Any, right: Any) -> Any:
    if kind in (ast.In, ast.NotIn):
        equal = [compare(operator.eq, left, value) for value in right]
        contained = CONNECTIVES["Or"](equal) if equal else False
        return contained if kind is ast.In else CONNECTIVES["Not"](contained)
    if kind not in _RELATIONS:
        raise ValueError(f"{kind.__name__} is no relation")
    return compare(_RELATIONS[kind], left, right)


def _conditional(node: ast.IfExp) -> Compiled:
    test, then, otherwise = _compile(node.test), _compile(node.body), _compile(node.orelse)
    return lambda env: then(env) if _plain(test(env), "if") else otherwise(env)


def _item(node: ast.Subscript) -> Compiled:
    value = _compile(node.value)
    if not isinstance(node.slice, ast.Slice):
        key = _compile(node.slice)
        return lambda env: value(env)[key(env)]
    nothing = ast.Constant(None)
    low, high = _compile(node.slice.lower or nothing), _compile(node.slice.upper or nothing)
    return lambda env: value(env)[low(env) : high(env)]


def _sequence(kind: type) -> Callable[[Any], Compiled]:
    def make(node: ast.List | ast.Tuple) -> Compiled:
        items = [_compile(item) for item in node.elts]
        return lambda env: kind(item(env) for item in items)

    return make


def _comprehension(node: ast.ListComp | ast.GeneratorExp) -> Compiled:
    element = _compile(node.elt)
    loops = []
    for loop in node.generators:
        loops.append((_target(loop.target), _compile(loop.iter), [_compile(test) for test in loop.ifs]))

    def walk(env: Env, depth: int = 0) -> Iterator[Any]:
        if depth == len(loops):
            yield element(env)
            return
        names, source, tests = loops[depth]
        for value in source(env):
            bound = {names: value} if isinstance(names, str) else dict(zip(names, value, strict=True))
            inner = {**env, **bound}
            if all(_plain(test(inner), "if") for test in tests):
                yield from walk(inner, depth + 1)

    return lambda env: list(walk(env))


def _target(node: ast.expr) -> str | list[str]:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Tuple):
        names = [item.id for item in node.elts if isinstance(item, ast.Name)]
        if len(names) == len(node.elts):
            return names
    raise InputError("formula", ast.unparse(node), "cannot be a loop variable", "use names")


def _call(node: ast.Call) -> Compiled:
    if node.keywords or not isinstance(node.func, ast.Name):
        raise InputError("formula", ast.unparse(node), "is no plain call", "write function(value, ...)")
    function, arguments = _name(node.func), [_compile(argument) for argument in node.args]
    return lambda env: function(env)(*(argument(env) for argument in arguments))


def _lambda(node: ast.Lambda) -> Compiled:
    names, body = [argument.arg for argument in node.args.args], _compile(node.body)
    return lambda env: lambda *values: body({**env, **dict(zip(names, values, strict=True))})


_MAKERS: dict[type, Callable[[Any], Compiled]] = {
    ast.BinOp: _binary,
    ast.BoolOp: _bool,
    ast.Call: _call,
    ast.Compare: _comparison,
    ast.Constant: _constant,
    ast.GeneratorExp: _comprehension,
    ast.IfExp: _conditional,
    ast.Lambda: _lambda,
    ast.List: _sequence(list),
    ast.ListComp: _comprehension,
    ast.Name: _name,
    ast.Subscript: _item,
    ast.Tuple: _sequence(tuple),
    ast.UnaryOp: _unary,
}
