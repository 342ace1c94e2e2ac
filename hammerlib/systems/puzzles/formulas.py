"""Formulas of a specification, evaluated without ``eval``; texts with formulas in braces.

The same formula states a constraint where names are bound to symbols, and a fact where they are bound to the
values of one solution. What is allowed is a part of Python's expressions.
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
        return _value(_parsed(text), env)
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
def _parsed(text: str) -> ast.expr:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        problem = f"is no expression ({error.msg})"
        raise InputError("formula", text, problem, "write one expression") from error


def _refused(node: ast.AST, problem: str, remedy: str) -> InputError:
    return InputError("formula", ast.unparse(node), problem, remedy)


def _value(node: ast.expr, env: Env) -> Any:
    """Return the value of an expression. What is not listed here is not allowed: no attribute, no keyword."""
    match node:
        case ast.Name(id=name):
            return _named(name, env)
        case ast.Constant(value=float() as number):
            return Fraction(str(number))  # as it is written: 0.1 is a tenth
        case ast.Constant(value=constant):
            return constant
        case ast.BinOp(left=left, op=sign, right=right):
            if type(sign) not in _BINARY:
                raise _refused(node, "has an unknown operator", "use + - * / // % **")
            return _BINARY[type(sign)](_value(left, env), _value(right, env))
        case ast.Compare(left=left, ops=signs, comparators=others):
            values = [_value(side, env) for side in (left, *others)]
            facts = [
                _relate(type(sign), *pair) for sign, *pair in zip(signs, values, values[1:], strict=False)
            ]
            # a < b < c is (a < b) and (b < c), as in Python
            return facts[0] if len(facts) == 1 else CONNECTIVES["And"](facts)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            function = _named(name, env)
            return function(*[_value(argument, env) for argument in arguments])
        case ast.Call():
            raise _refused(node, "is no plain call", "write function(value, ...)")
        case ast.Subscript(value=items, slice=ast.Slice(lower=low, upper=high)):
            ends = slice(low and _value(low, env), high and _value(high, env))
            return _value(items, env)[ends]
        case ast.Subscript(value=items, slice=key):
            return _value(items, env)[_value(key, env)]
        case ast.ListComp(elt=element, generators=loops) | ast.GeneratorExp(elt=element, generators=loops):
            return [_value(element, inner) for inner in _bindings(loops, env)]
        case ast.List(elts=elements):
            return [_value(element, env) for element in elements]
        case ast.Tuple(elts=elements):
            return tuple(_value(element, env) for element in elements)
        case ast.IfExp(test=test, body=then, orelse=otherwise):
            return _value(then if _plain(_value(test, env), "if") else otherwise, env)
        case ast.BoolOp(op=ast.Or(), values=operands):
            return any(_plain(_value(operand, env), "or") for operand in operands)
        case ast.BoolOp(values=operands):
            return all(_plain(_value(operand, env), "and") for operand in operands)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _plain(_value(operand, env), "not")
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, env)
        case ast.UnaryOp():
            raise _refused(node, "has an unknown sign", "use - or not")
        case ast.Lambda(args=parameters, body=body):
            names = [parameter.arg for parameter in parameters.args]
            return lambda *values: _value(body, {**env, **dict(zip(names, values, strict=True))})
    raise _refused(node, f"{type(node).__name__} is not allowed", "see hammerlib.systems.puzzles")


def _named(name: str, env: Env) -> Any:
    if name in env:
        return env[name]
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    raise InputError("formula", name, "is not defined (yet)", "define it further up in the specification")


def _bindings(loops: list[ast.comprehension], env: Env) -> Iterator[Env]:
    """Yield the environment of every pass through the loops of a comprehension, outermost first."""
    if not loops:
        yield env
        return
    loop = loops[0]
    targets = loop.target.elts if isinstance(loop.target, ast.Tuple) else [loop.target]
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    if len(names) < len(targets):
        raise _refused(loop.target, "cannot be a loop variable", "use names")
    for value in _value(loop.iter, env):
        values = value if isinstance(loop.target, ast.Tuple) else [value]
        inner = {**env, **dict(zip(names, values, strict=True))}
        # the condition sees the variables of this loop and of those around it
        if all(_plain(_value(test, inner), "if") for test in loop.ifs):
            yield from _bindings(loops[1:], inner)


def _plain(value: Any, word: str) -> Any:
    # A z3 term has no truth value: "not p" would silently be a constant.
    if is_term(value):
        raise InputError("formula", str(value), f"{word!r} cannot ask a symbol", "use And, Or, Not, If")
    return value


def _divide(left: Any, right: Any) -> Any:
    if is_term(left) or is_term(right):
        return left / right
    # exact, and whole where it is whole: 6 / 3 is 2 as a reader writes it
    quotient = Fraction(left) / Fraction(right)
    return quotient.numerator if quotient.denominator == 1 else quotient


def _power(left: Any, right: Any) -> Any:
    # a specification is a file of anyone's: 9**9**9 must not fill the memory
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
_RELATIONS = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def _relate(kind: type, left: Any, right: Any) -> Any:
    if kind in (ast.In, ast.NotIn):
        equal = [compare(operator.eq, left, value) for value in right]
        # nothing is in an empty list; z3's Or needs one term
        contained = CONNECTIVES["Or"](equal) if equal else False
        return contained if kind is ast.In else CONNECTIVES["Not"](contained)
    if kind not in _RELATIONS:
        raise ValueError(f"{kind.__name__} is no relation")
    return compare(_RELATIONS[kind], left, right)
