"""Expressions in normal form as trees, and their values: exact fractions, or as many digits as it takes."""

from __future__ import annotations

import functools
import hashlib
import math
import operator
import re
from fractions import Fraction
from typing import Any, NamedTuple

import mpmath

from hammerlib.grading.normal_form import listed

# Bits of the longest whole number that is written out; beyond, digits of a power or factorial are counted.
MAX_BITS = 400_000
MAX_FACTORIAL = 9_999
MAX_TERMS = 10_000
MAX_NODES = 2_000
# Decimal digits of the first look, and the most that a close pair may cost.
DIGITS, MOST_DIGITS = 50, 6_000


class Unreadable(ValueError):
    """Text that is no expression of ours: somebody else must read it, or nobody."""


class Nonsense(Unreadable):
    """Text that says nothing definite, whoever reads it: numbers side by side, 5 = 6, half a bracket."""


class Node(NamedTuple):
    """A tree: ``number``, ``symbol``, ``constant``, or an operation with nodes as parts."""

    kind: str
    value: Any = None
    parts: tuple[Node, ...] = ()


TRIGONOMETRIC = {"sin", "cos", "tan", "cot", "sec", "csc"}
FUNCTIONS = TRIGONOMETRIC | set(
    listed(
        """arcsin arccos arctan arccot arcsec arccsc sinh cosh tanh coth ln log lg exp
        gcd lcm max min"""
    )
)
OF_SEVERAL = {"gcd", "lcm", "max", "min"}
CONSTANTS = {"pi", "infty"}
# Letters that name a function where an argument in parentheses follows.
CALLABLE = set(listed(r"f g h F G H P \phi \psi \Gamma \delta \Phi"))
GREEK = set(
    listed(
        """alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi
        chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega hbar ell partial nabla odot
        oplus"""
    )
)
DECORATIONS = set(listed("vec hat tilde dot ddot overline widehat widetilde underline mathbb mathfrak"))
# What no factor begins with.
_NO_FACTOR = set(
    listed(r"+ - * / ) ] } \} , = < > ^ _ ! & : ; \% \times \cdot \rfloor \rceil \pm \mp \choose")
)
BIG = {"sum", "prod"}

_TOKEN = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+|\\text\{[^{}]*\}|\\[A-Za-z]+|\\[{}%|]|[A-Za-z]+|\S)")


def parse(text: str) -> Node:
    r"""Read an expression in normal form."""
    return _Parser(text).whole()


class _Parser:
    """Recursive descent; a blank is remembered, because `1 1/2` is a mixed number."""

    def __init__(self, text: str) -> None:
        self.tokens: list[str] = []
        text = text.rstrip()
        position = 0
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise Unreadable(text[position:])
            self.tokens.append(match[1])
            position = match.end()
        if len(self.tokens) > MAX_NODES:
            raise Unreadable("too long")
        self.place = 0
        self.bars = 0

    def whole(self) -> Node:
        if not self.tokens:
            raise Unreadable("nothing")
        node = self.sum()
        if self.peek() is not None:
            raise Unreadable(f"a rest: {self.peek()}")
        return node

    def peek(self, ahead: int = 0) -> str | None:
        position = self.place + ahead
        return self.tokens[position] if position < len(self.tokens) else None

    def take(self, wanted: str | None = None) -> str:
        token = self.peek()
        if token is None or (wanted is not None and token != wanted):
            raise Unreadable(f"{wanted} expected")
        self.place += 1
        return token

    def skip(self, token: str) -> bool:
        """Take a token if it is the next one."""
        if self.peek() != token:
            return False
        self.place += 1
        return True

    def sum(self) -> Node:
        terms = [self.signed()]
        while self.peek() in ("+", "-", "\\pm", "\\mp"):
            sign = self.take()
            if sign in ("\\pm", "\\mp"):
                raise Unreadable("two signs at once")
            term = self.product()
            terms.append(negative(term) if sign == "-" else term)
        return terms[0] if len(terms) == 1 else Node("sum", None, tuple(terms))

    def signed(self) -> Node:
        if self.skip("+") and self.peek() == "+":
            raise Unreadable("two signs")
        if not self.skip("-"):
            return self.product()
        return negative(negative(self.product()) if self.skip("-") else self.product())

    def product(self) -> Node:
        node = self.juxtaposed()
        while (sign := self.peek()) in ("*", "/", "\\times", "\\cdot"):
            self.take()
            factor = negative(self.juxtaposed()) if self.skip("-") else self.juxtaposed()
            node = Node("ratio" if sign == "/" else "product", None, (node, factor))
        return node

    def juxtaposed(self) -> Node:
        first = self.peek()
        node = self.power()
        if first is not None and first.isdecimal() and node.kind == "number" and (mixed := self.mixed(node)):
            return mixed
        factors = [node]
        while self.starts_factor():
            token = self.peek() or ""
            # 3 4 is not 34, and not 12; x2 may be x_2. But (n-2) 2^{n} is a product.
            product = self.peek(1) == "^" and any(map(symbols, factors))
            if (token[0].isdecimal() or token[0] == ".") and not product:
                raise Nonsense("a number behind a factor")
            before = self.tokens[self.place - 1]
            after_number = before[0].isdecimal() and factors[-1].kind == "number"
            factor = self.power()
            if after_number and token == "\\frac" and all(p.kind == "number" for p in factor.parts):
                raise Unreadable("a number before a fraction")
            factors.append(factor)
        return _product(factors)

    def mixed(self, whole: Node) -> Node | None:
        """A proper fraction behind a whole number: `1 1/2`, `1\\frac{1}{2}`."""
        match self.tokens[self.place : self.place + 7]:
            case ["\\frac", "{", top, "}", "{", low, "}"]:
                used = 7
            case [top, "/", low, *_]:
                used = 3
            case _:
                return None
        if not (top.isdecimal() and low.isdecimal()):
            return None
        if not 0 < int(top) < int(low):
            raise Unreadable("no proper fraction in a mixed number")
        self.place += used
        if (self.starts_factor() and (self.peek() or "")[0].isdecimal()) or self.peek() in ("/", "^", "!"):
            raise Nonsense("more behind a mixed number")
        factors = [number(whole.value[0] + Fraction(int(top), int(low)))]
        while self.starts_factor():
            factors.append(self.power())
        return _product(factors)

    def starts_factor(self) -> bool:
        token = self.peek()
        if token == "|":
            return self.bars == 0
        return token is not None and token not in _NO_FACTOR

    def power(self) -> Node:
        node = self.atom()
        while (token := self.peek()) in ("!", "^"):
            self.take()
            if token == "!":
                if self.peek() == "!":
                    raise Unreadable("a double factorial")
                node = Node("factorial", None, (node,))
            elif [self.peek(i) for i in range(3)] == ["{", "\\circ", "}"]:
                self.place += 3
                node = Node("degrees", None, (node,))
            elif node.kind == "power" and node.value is None:
                raise Unreadable("a power of a power")
            else:
                node = Node("power", None, (node, self.argument(signed=True)))
        return node

    def argument(self, signed: bool = False) -> Node:
        """A group in braces, or one atom."""
        if self.peek() == "{":
            return self.group("{", "}")
        if signed and self.skip("-"):
            return negative(self.atom())
        token = self.peek() or ""
        if token.isdecimal() and len(token) > 1:
            self.take()
            return _number(token)
        if len(token) > 1 and token.isalpha():
            self.tokens[self.place : self.place + 1] = list(token)
        return self.atom()

    def group(self, opening: str, closing: str) -> Node:
        self.take(opening)
        bars, self.bars = self.bars, 0
        node = self.sum()
        self.bars = bars
        self.take(closing)
        return Node("group", None, (node,)) if opening != "{" else node

    def atom(self) -> Node:
        token = self.peek()
        if token is None:
            raise Unreadable("an end")
        if token[0].isdecimal() or (token[0] == "." and len(token) > 1):
            self.take()
            if self.peek() == "_":
                raise Unreadable("a base")
            return _number(token)
        if token in ("(", "[", "{"):
            return self.group(token, {"(": ")", "[": "]", "{": "}"}[token])
        if token == "|":
            self.take()
            self.bars += 1
            node = self.sum()
            self.bars -= 1
            self.take("|")
            return Node("absolute", None, (node,))
        if token.startswith("\\text{"):
            raise Unreadable("words")
        if token[0] == "\\":
            return self.command(self.take()[1:])
        if token.isalpha():
            return self.letters(self.take())
        raise Unreadable(token)

    def letters(self, run: str) -> Node:
        if not run.isascii():
            raise Unreadable(run)
        if len(run) > 3:
            # A name of its own, whose letters have an order; never a product.
            return self.name(run)
        if len(run) > 1:
            self.tokens[self.place : self.place] = list(run[1:])
        return self.name(run[0])

    def name(self, name: str) -> Node:
        """A symbol with its index and primes; a call where letters stand for functions."""
        if self.skip("_"):
            name += "_" + self.index()
        primes = 0
        while self.skip("'"):
            primes += 1
        if primes and self.skip("_"):
            name += "_" + self.index()
        if name in ("e", "i") and not primes:
            return Node("constant", name)
        # I(0) is a value of I, and no product with 0.
        of_number = (self.peek(1) or "")[:1].isdecimal() and self.peek(2) == ")"
        called = self.peek() == "(" and (name.partition("_")[0] in CALLABLE or primes or of_number)
        name += "'" * primes
        return Node("call", name, self.arguments()) if called else Node("symbol", name)

    def index(self) -> str:
        if self.peek() != "{":
            token = self.take()
            if len(token) > 1 and token.isalpha():
                self.tokens[self.place : self.place] = list(token[1:])
                token = token[0]
            return token
        depth, inside = 0, ""
        while True:
            token = self.take()
            depth += (token == "{") - (token == "}")
            if depth == 0:
                return inside.removeprefix("\\text{").removesuffix("}")
            if inside or token != "{":
                inside += token

    def arguments(self) -> tuple[Node, ...]:
        self.take("(")
        bars, self.bars = self.bars, 0
        parts = [self.sum()]
        while self.skip(","):
            parts.append(self.sum())
        self.bars = bars
        self.take(")")
        return tuple(parts)

    def command(self, name: str) -> Node:
        if name == "frac":
            return Node("ratio", None, (self.argument(), self.argument()))
        if name == "sqrt":
            degree = self.group("[", "]").parts[0] if self.peek() == "[" else number(2)
            return Node("root", None, (self.argument(), degree))
        if name == "binom":
            return Node("binomial", None, (self.argument(), self.argument()))
        if name in ("lfloor", "lceil"):
            node = self.sum()
            self.take("\\r" + name[1:])
            return Node(name[1:], None, (node,))
        if name in CONSTANTS:
            return Node("constant", name) if self.peek() != "_" else self.name("\\" + name)
        if name in FUNCTIONS:
            return self.function(name)
        if name in BIG:
            return self.big(name)
        if name in GREEK:
            return self.name("\\" + name)
        if name == "overline" and (conjugate := self.conjugate()):
            return conjugate
        if name in DECORATIONS:
            inside = self.index() if self.peek() == "{" else self.take()
            return self.name(f"\\{name}{{{inside}}}")
        raise Unreadable("\\" + name)

    def conjugate(self) -> Node | None:
        """``\\overline{3+4i}``; None where the line is over a name."""
        here = self.place
        try:
            inside = self.argument()
        except Unreadable:
            inside = None
        if inside is None or symbols(inside) or not contains(inside, "constant"):
            self.place = here
            return None
        return _replaced(inside, "i", negative(Node("constant", "i")))

    def function(self, name: str) -> Node:
        power = base = None
        while self.peek() in ("^", "_"):
            if self.take() == "^":
                power = self.argument(signed=True)
            else:
                base = self.argument()
        if base is not None and name != "log":
            raise Unreadable("an index of a function")
        # \sin(2t)/5 ends behind its bracket; so does \sin(t)^2, which squares the sine.
        if self.peek() == "(":
            inside = self.arguments()
        else:
            inside = (self.argument() if self.peek() == "{" else self.free_argument(),)
        if name not in OF_SEVERAL and len(inside) != 1:
            raise Unreadable("arguments")
        if power == negative(number(1)):
            if name not in TRIGONOMETRIC:
                raise Unreadable("an inverse")
            name, power = "arc" + name, None
        parts = inside if base is None else (*inside, base)
        node = Node("function", name, parts)
        return node if power is None else Node("power", "function", (node, power))

    def free_argument(self) -> Node:
        """What a function without parentheses takes: factors up to an operator or another function."""
        if self.skip("-"):
            return negative(self.free_argument())
        factors = [self.power()]
        while self.starts_factor():
            token = self.peek() or ""
            if token[1:] in FUNCTIONS or token in ("(", "[", "|") or token[0].isdecimal():
                break
            factors.append(self.power())
        return _product(factors)

    def big(self, name: str) -> Node:
        self.take("_")
        self.take("{")
        variable = self.take()
        self.take("=")
        low = self.sum()
        self.take("}")
        self.take("^")
        high = self.argument()
        body = self.product()
        if not (len(variable) == 1 and variable.isalpha()):
            raise Unreadable("an index of a sum")
        return Node(name, variable, (low, high, body))


def number(value: Fraction | int) -> Node:
    """Tree of a number that is not written as a decimal."""
    return Node("number", (Fraction(value), None))


def _number(token: str) -> Node:
    _, point, places = token.partition(".")
    return Node("number", (Fraction(token), len(places) if point else None))


def negative(node: Node) -> Node:
    return Node("minus", None, (node,))


def difference(left: Node, right: Node) -> Node:
    """Tree of left - right."""
    return Node("sum", None, (left, negative(right)))


def _product(factors: list[Node]) -> Node:
    return factors[0] if len(factors) == 1 else Node("product", None, tuple(factors))


def symbols(node: Node) -> set[str]:
    """Names of the symbols and called functions of a tree."""
    own = {node.value} if node.kind in ("symbol", "call") else set()
    return own.union(*map(symbols, node.parts))


def unfinished(node: Node) -> set[str]:
    """Operations on plain numbers that are left to be done; fractions and powers of ten are none."""
    kind = node.kind
    if kind in ("number", "symbol", "constant"):
        return set()
    result = set().union(*map(unfinished, node.parts))
    if kind in ("sum", "prod") and node.value is not None:
        return result | {"big " + kind}
    plain = [child for child in node.parts if not symbols(child) and _exact_or_none(child) is not None]
    ten = kind == "product" and _is_power_of_ten(node.parts[-1])
    if (kind == "sum" and len(plain) > 1) or (kind == "product" and len(_factors(node)) > 1 and not ten):
        result.add(kind)
    elif kind == "power" and len(plain) == 2 and not _is_power_of_ten(node):
        result.add("power")
    elif kind == "ratio" and len(plain) == 2:
        exact = _exact_or_none(node)
        if exact is not None and exact.denominator == 1:
            result.add("ratio")
    elif kind in ("root", "absolute", "floor", "ceil", "function") and plain:
        if _exact_or_none(node) is not None or kind in ("floor", "ceil") or _is_rational(node):
            result.add(kind)
    elif kind in ("factorial", "binomial") and plain:
        result.add(kind)
    return result


def _factors(node: Node) -> list[Node]:
    """Factors of a product that are plain numbers."""
    if node.kind in ("product", "group", "minus"):
        return [factor for child in node.parts for factor in _factors(child)]
    return [node] if not symbols(node) and _exact_or_none(node) is not None else []


def _is_power_of_ten(node: Node) -> bool:
    ten = node.kind == "power" and node.parts[0] == number(10)
    return ten and _exact_or_none(node.parts[1]) is not None


def _exact_or_none(node: Node) -> Fraction | None:
    try:
        return value(node)
    except Unreadable:
        return None


def _is_rational(node: Node) -> bool:
    """Whether a function of numbers comes out as a fraction of small numbers: sin 30 degrees."""
    if symbols(node):
        return False
    try:
        result = number_of(node)
    except Unreadable:
        return False
    if is_complex(result) or not mpmath.isfinite(result) or abs(result) > 10**9:
        return False
    near = Fraction(round(mpmath.mpf(result.real) * 5040)) / 5040
    return bool(abs(result - mpmath.mpf(near.numerator) / near.denominator) < 1e-14)


def contains(node: Node, kind: str) -> bool:
    """Whether a tree has a part of this kind."""
    return node.kind == kind or any(contains(child, kind) for child in node.parts)


# Exact values ----------------------------------------------------------------------------------------


def value(node: Node) -> Fraction | None:
    """Exact value of a tree of numbers, or None: not a fraction, or too long to write out."""
    if node.kind == "number":
        return node.value[0]
    if node.kind in ("sum", "prod"):
        return _sum_of(node) if node.value is None else _over(node)
    parts = [value(child) for child in node.parts]
    if not parts or any(child is None for child in parts):
        return None
    try:
        return _rational(node, [child for child in parts if child is not None])
    except ZeroDivisionError as error:
        raise Nonsense("a division by zero") from error


# Operations that fractions and numbers with digits have in common.
_COMMON = {"group": lambda one: one, "minus": operator.neg, "ratio": operator.truediv, "absolute": abs}


def _sum_of(node: Node) -> Fraction | None:
    total = Fraction(0)
    for child in node.parts:
        term = value(child)
        if term is None:
            return None
        total += term
    return total


def _rational(node: Node, parts: list[Fraction]) -> Fraction | None:
    kind, first = node.kind, parts[0]
    if kind in _COMMON:
        return _COMMON[kind](*parts)
    if kind == "degrees":
        return first
    if kind == "product":
        return math.prod(parts, start=Fraction(1)) if sum(map(_bits, parts)) < MAX_BITS else None
    if kind in ("floor", "ceil"):
        return Fraction(getattr(math, kind)(first))
    if kind == "power":
        return _power(first, parts[1])
    if kind == "root":
        return _root(first, parts[1])
    if kind == "factorial":
        whole = first.denominator == 1 and 0 <= first <= MAX_FACTORIAL
        return Fraction(math.factorial(int(first))) if whole else None
    if kind == "binomial":
        n, k = parts
        whole = n.denominator == k.denominator == 1 and 0 <= n <= MAX_FACTORIAL and k >= 0
        return Fraction(math.comb(int(n), int(k))) if whole else None
    if kind == "function":
        return _of_function(node.value, parts)
    return None


def _bits(number: Fraction) -> int:
    return number.numerator.bit_length() + number.denominator.bit_length()


def _power(base: Fraction, power: Fraction) -> Fraction | None:
    if power.denominator != 1:
        root = _root(base, Fraction(power.denominator)) if power.denominator < 100 else None
        return None if root is None else _power(root, Fraction(power.numerator))
    if base == 0 and power <= 0:
        if power < 0:
            raise ZeroDivisionError
        raise Unreadable("zero to the power of zero")
    return base ** int(power) if _bits(base) * abs(power) < MAX_BITS else None


def _root(base: Fraction, degree: Fraction) -> Fraction | None:
    if degree.denominator != 1 or not 1 <= degree < 100 or (base < 0 and degree % 2 == 0):
        return None
    roots = [_whole_root(abs(size), int(degree)) for size in (base.numerator, base.denominator)]
    if None in roots:
        return None
    return Fraction(*roots) * (-1 if base < 0 else 1)


def _whole_root(number: int, degree: int) -> int | None:
    if degree == 2:
        root = math.isqrt(number)
    elif number < 2:
        root = number
    else:
        root = 1 << -(-number.bit_length() // degree)
        while (better := ((degree - 1) * root + number // root ** (degree - 1)) // degree) < root:
            root = better
    return root if root**degree == number else None


def _of_function(name: str, parts: list[Fraction]) -> Fraction | None:
    if name in ("max", "min"):
        return max(parts) if name == "max" else min(parts)
    if name in ("gcd", "lcm") and all(child.denominator == 1 for child in parts):
        return Fraction(getattr(math, name)(*map(int, parts)))
    return None


def _over(node: Node) -> Fraction | None:
    low, high = value(node.parts[0]), value(node.parts[1])
    if low is None or high is None or low.denominator != 1 or high.denominator != 1:
        return None
    if high - low > _most_terms(node.parts[2]):
        return None
    total = Fraction(node.kind == "prod")
    for i in range(int(low), int(high) + 1):
        term = value(_replaced(node.parts[2], node.value, number(i)))
        if term is None or _bits(total) > MAX_BITS:
            return None
        total = total * term if node.kind == "prod" else total + term
    return total


def _most_terms(body: Node) -> int:
    """As many terms as are summed within a moment."""
    if depth := _nested(body):
        return (30, 9)[depth - 1] if depth < 3 else -1
    if any(contains(body, kind) for kind in ("prod", "factorial", "binomial", "function", "root")):
        return 100
    if contains(body, "ratio") or contains(body, "power"):
        return 1_000 if _small_powers(body) else 200
    return MAX_TERMS


def _small_powers(node: Node) -> bool:
    small = node.kind != "power" or (node.parts[1].kind == "number" and abs(node.parts[1].value[0]) <= 10)
    return small and all(map(_small_powers, node.parts))


def _nested(node: Node) -> int:
    """How many sums and products over an index stand in each other."""
    own = node.kind in ("sum", "prod") and node.value is not None
    return own + max(map(_nested, node.parts), default=0)


def _replaced(node: Node, name: str, by: Node) -> Node:
    if node.kind in ("symbol", "constant") and node.value == name:
        return by
    return node._replace(parts=tuple(_replaced(child, name, by) for child in node.parts))


# Numbers with digits ---------------------------------------------------------------------------------


@functools.lru_cache(maxsize=8)
def _context(digits: int) -> Any:
    context = mpmath.MPContext()
    context.dps = digits
    return context


# Lowest value and width of the range from which a symbol's value at each point is drawn.
_RANGES = ((0.1, 0.8), (0.2, 1.6), (1.1, 2.3), (0.3, 0.6), (4.0, 9.0), (11.0, 60.0))


class _Numbers:
    """Values of a tree at one point, with a given number of digits; the largest magnitude is kept."""

    def __init__(self, digits: int, point: int) -> None:
        self.context = _context(digits)
        self.point = point
        self.largest = 0

    def of(self, node: Node, angle: bool = False) -> Any:
        exact = value(node) if not symbols(node) and node.kind not in ("degrees",) and not angle else None
        if exact is not None:
            result = self.context.mpf(exact.numerator) / exact.denominator
        else:
            result = self.operation(node, angle)
        if result != 0 and self.context.isfinite(result):
            self.largest = max(self.largest, abs(int(self.context.mag(result))))
        return result

    def operation(self, node: Node, angle: bool) -> Any:
        c, kind = self.context, node.kind
        if kind == "number":
            return c.mpf(node.value[0].numerator) / node.value[0].denominator
        if kind == "constant":
            return {"pi": c.pi, "e": c.e, "infty": c.inf, "i": c.mpc(0, 1)}[node.value] * 1
        if kind == "symbol":
            return self.symbol(node.value)
        if kind == "prod":
            raise Unreadable("a product over symbols")
        angle = angle or (kind == "function" and node.value in TRIGONOMETRIC)
        parts = [self.of(child, angle) for child in node.parts]
        if kind in _COMMON:
            return _COMMON[kind](*parts)
        if kind == "degrees":
            return parts[0] * c.pi / 180 if angle else parts[0]
        if kind == "sum":
            if node.value is not None:
                raise Unreadable("a sum over symbols")
            return sum(parts, c.mpf(0))
        if kind == "product":
            return math.prod(parts, start=c.mpf(1))
        if kind in ("floor", "ceil"):
            return getattr(c, kind)(parts[0])
        if kind == "power":
            base, exponent = parts
            known = None if symbols(node.parts[1]) else _exact_or_none(node.parts[1])
            return self.power(base, exponent, known)
        if kind == "root":
            real = not c.im(parts[0])
            if real and c.re(parts[0]) < 0 and parts[1] == int(parts[1]) and int(parts[1]) % 2:
                return -c.root(-c.re(parts[0]), int(parts[1]))
            return self.power(parts[0], 1 / parts[1])
        if kind == "factorial":
            return self.limited(c.factorial, parts[0])
        if kind == "binomial":
            return self.limited(c.binomial, *parts)
        if kind == "function":
            return self.function(node.value, parts)
        if kind == "call":
            seed = self.symbol("call " + node.value)
            inside = sum((k + 1) * child for k, child in enumerate(parts))
            return c.cos(inside * seed + seed**2) + seed * inside
        raise Unreadable(kind)

    def limited(self, function: Any, *parts: Any) -> Any:
        if any(abs(child) > 10**6 for child in parts):
            raise Unreadable("a large factorial")
        return function(*parts)

    def power(self, base: Any, power: Any, exact: Fraction | None = None) -> Any:
        odd_root = exact and exact.denominator % 2 and exact.denominator > 1
        if odd_root and not self.context.im(base) and base < 0:
            # x^{2/3} of a negative number is real, as the cube root is.
            size = self.power(-base, power)
            return -size if exact.numerator % 2 else size
        if self.context.isfinite(power) and abs(power) > 10**7:
            raise Unreadable("a large power")
        return base**power

    def function(self, name: str, parts: list[Any]) -> Any:
        c = self.context
        if name in ("log", "ln", "lg"):
            if name == "lg":
                parts = [*parts, c.mpf(10)]
            return c.log(parts[0]) / (c.log(parts[1]) if len(parts) > 1 else 1)
        if name == "exp":
            return self.power(c.e, parts[0])
        if name in OF_SEVERAL:
            if name in ("gcd", "lcm") or any(c.im(child) for child in parts):
                raise Unreadable(name)
            return (max if name == "max" else min)(parts)
        if name.startswith("arc"):
            return getattr(c, "a" + name[3:])(parts[0])
        return getattr(c, name)(parts[0])

    def symbol(self, name: str) -> Any:
        """A number that the name and the point decide; odd points are negative."""
        drawn = int.from_bytes(hashlib.sha256(f"{name} {self.point}".encode()).digest()[:6], "big")
        low, width = _RANGES[self.point % 6]
        size = low + width * (self.context.mpf(drawn) / 2**48)
        return -size if self.point % 6 == 1 else size


def _at(node: Node, digits: int, point: int) -> tuple[Any, int]:
    numbers = _Numbers(digits, point)
    try:
        return numbers.of(node), numbers.largest
    except (ZeroDivisionError, ValueError, ArithmeticError, TypeError, AttributeError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(str(error)) from error


def number_of(node: Node, digits: int = DIGITS, point: int = 0) -> Any:
    """Value of a tree with that many digits at one point of its symbols."""
    return _at(node, digits, point)[0]


def same_value(left: Node, right: Node) -> bool:
    r"""Tell whether two trees have the same value, at all points that are tried."""
    first, second = value(left), value(right)
    if first is not None and second is not None:
        return first == second
    names = symbols(left) | symbols(right)
    compared = False
    complex_points = []
    for point in range(6) if names else (0,):
        try:
            a, b = number_of(left, point=point), number_of(right, point=point)
        except Unreadable:
            if not names:
                raise
            continue
        if names and is_complex(a) and not compared and point < 5:
            complex_points.append((a, b, point))
            continue
        if not _close(left, right, a, b, point):
            return False
        compared = True
    if not compared and not complex_points:
        raise Unreadable("no point with a value")
    return compared or all(_close(left, right, *point) for point in complex_points[:2])


def is_complex(number: Any) -> bool:
    return abs(getattr(number, "imag", 0)) > 1e-30


def _close(left: Node, right: Node, a: Any, b: Any, point: int) -> bool:
    if not (mpmath.isfinite(a) and mpmath.isfinite(b)):
        return bool(a == b)
    size = max(abs(a), abs(b))
    if abs(a - b) > size * mpmath.mpf(10) ** (10 - DIGITS) and size > mpmath.mpf(10) ** (10 - DIGITS):
        return False
    # They agree in forty digits: look again with the digits that the largest part needs.
    _, large = _at(left, DIGITS, point)
    _, larger = _at(right, DIGITS, point)
    digits = min(MOST_DIGITS, DIGITS + int(0.302 * 2 * max(large, larger)) + 10)
    a, b = number_of(left, digits, point), number_of(right, digits, point)
    size = max(abs(a), abs(b), mpmath.mpf(10) ** (20 - digits) if digits < 200 else mpmath.mpf(0))
    limit = max(size * mpmath.mpf(10) ** (DIGITS // 2 - digits), mpmath.mpf(10) ** (DIGITS // 2 - digits))
    return bool(abs(a - b) <= limit)
