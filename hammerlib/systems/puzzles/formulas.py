"""Formulas of a specification, evaluated without ``eval``; texts with formulas in braces."""

from __future__ import annotations

import ast
import functools
import operator
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from hammerlib.errors import InputError
from hammerlib.systems.smt import CONNECTIVES, compare, is_term

# A bank for specifications to draw from.
PEOPLE = (
    *("Ada", "Bruno", "Carla", "David", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kira", "Liam"),
    *("Mona", "Nils", "Olga", "Pavel", "Quinn", "Rosa", "Samir", "Tessa", "Uwe", "Vera", "Wanda", "Yusuf"),
)


def show(value: Any) -> str:
    """Write a value as a reader would: lists with commas, whole fractions as integers.

    Examples
    --------
    >>> from fractions import Fraction
    >>> show([Fraction(3, 1), Fraction(1, 2), True])
    '3, 1/2, yes'
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(show, value))
    return str(value)


def _sum(parts: Any) -> Any:
    return CONNECTIVES["Sum"](list(parts))


def _join(parts: Any, between: str = ", ", last: str | None = None) -> str:
    words = [show(part) for part in parts]
    if last is None or len(words) < 2:
        return between.join(words)
    return f"{between.join(words[:-1])}{last}{words[-1]}"


FUNCTIONS: dict[str, Callable[..., Any]] = CONNECTIVES | {
    "abs": lambda x: CONNECTIVES["If"](x >= 0, x, -x) if is_term(x) else abs(x),
    "all": lambda parts: CONNECTIVES["And"](list(parts)),
    "any": lambda parts: CONNECTIVES["Or"](list(parts)),
    "enumerate": lambda parts: [list(pair) for pair in enumerate(parts)],
    "int": int,
    "join": _join,
    "len": len,
    "list": list,
    "max": max,
    "min": min,
    "range": lambda *ends: list(range(*ends)),
    "sorted": sorted,
    "str": show,
    "sum": _sum,
    "values": lambda symbols: list(symbols.values()),
    "zip": lambda *parts: [list(row) for row in zip(*parts, strict=True)],
}


Env = Mapping[str, Any]
Compiled = Callable[[Env], Any]
MAX_EXPONENT = 64

_BINARY = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_RELATIONS = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


@functools.lru_cache(maxsize=4096)
def compiled(text: str) -> Compiled:
    """Return a formula as a function of its environment.

    Raises
    ------
    InputError
        No expression, or one that is not allowed.

    Examples
    --------
    >>> compiled("2 * n")({"n": 3})
    6
    """
    try:
        return _compile(ast.parse(text.strip(), mode="eval").body)
    except SyntaxError as error:
        raise InputError(
            "formula", text, f"is no expression ({error.msg})", "write one expression"
        ) from error


def _compile(node: ast.expr) -> Compiled:
    maker = _MAKERS.get(type(node))
    if maker is None:
        kind = type(node).__name__
        raise InputError(
            "formula", ast.unparse(node), f"{kind} is not allowed", "see hammerlib.systems.puzzles"
        )
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


def _binary(node: ast.BinOp) -> Compiled:
    left, right, kind = _compile(node.left), _compile(node.right), type(node.op)
    if kind is ast.Div:
        return lambda env: _divide(left(env), right(env))
    if kind is ast.Pow:
        return lambda env: _power(left(env), right(env))
    if kind not in _BINARY:
        raise InputError("formula", ast.unparse(node), "has an unknown operator", "use + - * / // % **")
    apply = _BINARY[kind]
    return lambda env: apply(left(env), right(env))


def _divide(left: Any, right: Any) -> Any:
    if is_term(left) or is_term(right):
        return left / right
    quotient = Fraction(left) / Fraction(right)
    return quotient.numerator if quotient.denominator == 1 else quotient


def _power(left: Any, right: Any) -> Any:
    if not is_term(right) and abs(right) > MAX_EXPONENT:
        raise ValueError(f"exponent above {MAX_EXPONENT}")
    return left**right


def _plain(value: Any, word: str) -> Any:
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
    parts, wanted = [_compile(one) for one in node.values], isinstance(node.op, ast.Or)
    word = "or" if wanted else "and"

    def decide(env: Env) -> bool:
        return any(bool(_plain(one(env), word)) == wanted for one in parts) == wanted

    return decide


def _comparison(node: ast.Compare) -> Compiled:
    sides = [_compile(one) for one in (node.left, *node.comparators)]
    kinds = [type(one) for one in node.ops]

    def hold(env: Env) -> Any:
        values = [one(env) for one in sides]
        facts = [_relate(kind, *pair) for kind, *pair in zip(kinds, values, values[1:], strict=False)]
        return facts[0] if len(facts) == 1 else CONNECTIVES["And"](facts)

    return hold


def _relate(kind: type, left: Any, right: Any) -> Any:
    if kind in (ast.In, ast.NotIn):
        equal = [compare(operator.eq, left, one) for one in right]
        found = CONNECTIVES["Or"](equal) if equal else False
        return found if kind is ast.In else CONNECTIVES["Not"](found)
    if kind not in _RELATIONS:
        raise ValueError(f"{kind.__name__} is no relation")
    return compare(_RELATIONS[kind], left, right)


def _choice(node: ast.IfExp) -> Compiled:
    test, then, otherwise = _compile(node.test), _compile(node.body), _compile(node.orelse)
    return lambda env: then(env) if _plain(test(env), "if") else otherwise(env)


def _item(node: ast.Subscript) -> Compiled:
    value = _compile(node.value)
    if isinstance(node.slice, ast.Slice):
        low, high = (
            _compile(one) if one else lambda env: None for one in (node.slice.lower, node.slice.upper)
        )
        return lambda env: value(env)[low(env) : high(env)]
    key = _compile(node.slice)
    return lambda env: value(env)[key(env)]


def _sequence(kind: type) -> Callable[[Any], Compiled]:
    def make(node: ast.List | ast.Tuple) -> Compiled:
        parts = [_compile(one) for one in node.elts]
        return lambda env: kind(one(env) for one in parts)

    return make


def _comprehension(node: ast.ListComp | ast.GeneratorExp) -> Compiled:
    element = _compile(node.elt)
    loops = [
        (_target(one.target), _compile(one.iter), [_compile(test) for test in one.ifs])
        for one in node.generators
    ]

    def walk(env: Env, depth: int = 0) -> Iterator[Any]:
        if depth == len(loops):
            yield element(env)
            return
        names, source, tests = loops[depth]
        for value in source(env):
            inner = {**env, **_bind(names, value)}
            if all(_plain(test(inner), "if") for test in tests):
                yield from walk(inner, depth + 1)

    return lambda env: list(walk(env))


def _target(node: ast.expr) -> str | list[str]:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Tuple) and all(isinstance(one, ast.Name) for one in node.elts):
        return [one.id for one in node.elts]
    raise InputError("formula", ast.unparse(node), "cannot be a loop variable", "use names")


def _bind(names: str | list[str], value: Any) -> dict[str, Any]:
    return {names: value} if isinstance(names, str) else dict(zip(names, value, strict=True))


def _call(node: ast.Call) -> Compiled:
    if node.keywords or not isinstance(node.func, ast.Name):
        raise InputError("formula", ast.unparse(node), "is no plain call", "write function(value, ...)")
    function, arguments = _name(node.func), [_compile(one) for one in node.args]
    return lambda env: function(env)(*(one(env) for one in arguments))


def _lambda(node: ast.Lambda) -> Compiled:
    names, body = [one.arg for one in node.args.args], _compile(node.body)
    return lambda env: lambda *values: body({**env, **dict(zip(names, values, strict=True))})


_MAKERS: dict[type, Callable[[Any], Compiled]] = {
    ast.BinOp: _binary,
    ast.BoolOp: _bool,
    ast.Call: _call,
    ast.Compare: _comparison,
    ast.Constant: _constant,
    ast.GeneratorExp: _comprehension,
    ast.IfExp: _choice,
    ast.Lambda: _lambda,
    ast.List: _sequence(list),
    ast.ListComp: _comprehension,
    ast.Name: _name,
    ast.Subscript: _item,
    ast.Tuple: _sequence(tuple),
    ast.UnaryOp: _unary,
}


def evaluate(text: str, env: Env) -> Any:
    """Return the value of a formula.

    Parameters
    ----------
    text : str
        Numbers, texts, names, ``+ - * / // % **``, comparisons, ``and or not``, ``a if b else c``, lists,
        tuples, comprehensions, ``x[i]``, ``lambda``, and calls of the functions in `FUNCTIONS` or `env`.
        A quotient is exact.
    env : mapping of str to value
        What the names mean.

    Raises
    ------
    InputError
        No such syntax, an unknown name, ``and``, ``or``, ``not`` or ``if`` about a symbol (use ``And`` and so
        on), or a formula that fails.

    Examples
    --------
    >>> evaluate("[n // 2 for n in sizes if n > 3]", {"sizes": [2, 4, 6]})
    [2, 3]
    """
    try:
        return compiled(text)(env)
    except InputError:
        raise
    except (TypeError, ValueError, LookupError, ArithmeticError) as error:
        problem = f"fails ({type(error).__name__}: {error})"
        raise InputError("formula", text, problem, "mend the formula or its sources") from error


def render(template: str, env: Env) -> str:
    """Fill the formulas in braces into a text.

    Parameters
    ----------
    template : str
        A formula may hold brackets and quotes, but no braces.
    env : mapping of str to value

    Raises
    ------
    InputError
        A brace that is not closed, or as in `evaluate`.

    Examples
    --------
    >>> render("{name} has {n} {'cat' if n == 1 else 'cats'}.", {"name": "Ann", "n": 2})
    'Ann has 2 cats.'
    """
    parts = template.split("{")
    shown = [parts[0]]
    for part in parts[1:]:
        formula, closed, rest = part.partition("}")
        if not closed:
            raise InputError("text", template, "has a brace that is not closed", "close it")
        shown += [show(evaluate(formula, env)), rest]
    return "".join(shown)
