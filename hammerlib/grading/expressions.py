"""Expressions in normal form as trees. Their values: `hammerlib.grading.values`.

The grammar, from loose to tight: a sum of signed products; a product of juxtaposed factors, joined by
``* / \\times \\cdot``; a factor with its powers and factorials; an atom (number, group, command, letters).
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any, NamedTuple

from hammerlib.grading.normal_form import GREEK, listed

MAX_NODES = 2_000


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
OF_SEVERAL = {"gcd", "lcm", "max", "min"}
FUNCTIONS = {f"arc{name}" for name in TRIGONOMETRIC} | TRIGONOMETRIC | OF_SEVERAL
FUNCTIONS |= {"sinh", "cosh", "tanh", "coth", "ln", "log", "lg", "exp"}
CONSTANTS = {"pi", "infty"}
# Letters that name a function where an argument in parentheses follows.
_CALLABLE = set(listed(r"f g h F G H P \phi \psi \Gamma \delta \Phi"))
_NAMES = GREEK | {"hbar", "ell", "partial", "nabla", "odot", "oplus"}
_DECORATIONS = set(listed("vec hat tilde dot ddot overline widehat widetilde underline mathbb mathfrak"))
# Operations on what stands behind their command, and how many of it.
_OPERATIONS = {"frac": ("ratio", 2), "binom": ("binomial", 2)}
_BIG = {"sum", "prod"}
# What no factor begins with.
_NO_FACTOR = set(
    listed(r"+ - * / ) ] } \} , = < > ^ _ ! & : ; \% \times \cdot \rfloor \rceil \pm \mp \choose")
)
_CLOSING = {"(": ")", "[": "]", "{": "}"}

_TOKEN = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+|\\text\{[^{}]*\}|\\[A-Za-z]+|\\[{}%|]|[A-Za-z]+|\S)")


# Trees -----------------------------------------------------------------------------------------------


def number(value: Fraction | int) -> Node:
    """Tree of a number."""
    return Node("number", Fraction(value))


def negative(node: Node) -> Node:
    """Tree of -node."""
    return Node("minus", None, (node,))


def difference(left: Node, right: Node) -> Node:
    """Tree of left - right."""
    return Node("sum", None, (left, negative(right)))


def product(*factors: Node) -> Node:
    """Tree of a product; a single factor is itself."""
    return factors[0] if len(factors) == 1 else Node("product", None, factors)


def ratio(top: Node, low: Node) -> Node:
    """Tree of top / low."""
    return Node("ratio", None, (top, low))


def symbols(node: Node) -> set[str]:
    """Names of the symbols and called functions of a tree."""
    own = {node.value} if node.kind in ("symbol", "call") else set()
    return own.union(*map(symbols, node.parts))


def contains(node: Node, kind: str) -> bool:
    """Whether a tree has a part of this kind."""
    return node.kind == kind or any(contains(child, kind) for child in node.parts)


def replaced(node: Node, name: str, by: Node) -> Node:
    """Tree with another tree in place of a symbol or constant."""
    if node.kind in ("symbol", "constant") and node.value == name:
        return by
    return node._replace(parts=tuple(replaced(child, name, by) for child in node.parts))


# Reading ---------------------------------------------------------------------------------------------


def parse(text: str) -> Node:
    r"""Read an expression in normal form."""
    return _Parser(text).whole()


class _Parser:
    """Recursive descent; a blank is remembered, because `1 1/2` is a mixed number."""

    def __init__(self, text: str) -> None:
        self.tokens: list[str] = _TOKEN.findall(text)
        if len(self.tokens) > MAX_NODES:
            raise Unreadable("too long")
        self.position = 0
        # Within |...| the next bar closes; no factor begins with it.
        self.bars = 0

    def peek(self, ahead: int = 0) -> str:
        """The next token, or one behind it; "" at the end."""
        position = self.position + ahead
        return self.tokens[position] if position < len(self.tokens) else ""

    def take(self, wanted: str | None = None) -> str:
        """Take the next token, which must be there, or be the one that is wanted."""
        token = self.peek()
        if not token or (wanted is not None and token != wanted):
            raise Unreadable(f"{wanted} expected")
        self.position += 1
        return token

    def skip(self, token: str) -> bool:
        """Take a token if it is the next one."""
        if self.peek() != token:
            return False
        self.position += 1
        return True

    def whole(self) -> Node:
        node = self.sum()
        if self.peek():
            raise Unreadable(f"a rest: {self.peek()}")
        return node

    # Sums and products

    def sum(self) -> Node:
        terms = [self.signed()]
        while self.peek() in ("+", "-"):
            sign = self.take()
            term = self.product()
            terms.append(negative(term) if sign == "-" else term)
        return terms[0] if len(terms) == 1 else Node("sum", None, tuple(terms))

    def signed(self) -> Node:
        self.skip("+")
        if not self.skip("-"):
            return self.product()
        return negative(negative(self.product()) if self.skip("-") else self.product())

    def product(self) -> Node:
        node = self.juxtaposed()
        while self.peek() in ("*", "/", "\\times", "\\cdot"):
            sign = self.take()
            factor = negative(self.juxtaposed()) if self.skip("-") else self.juxtaposed()
            node = ratio(node, factor) if sign == "/" else product(node, factor)
        return node

    def juxtaposed(self) -> Node:
        """Factors side by side."""
        # 1 1/2 is a mixed number, a 1/2 a product: only digits may be the whole part.
        begins_with_digits = self.peek().isdecimal()
        node = self.power()
        if begins_with_digits and node.kind == "number" and (mixed := self.mixed(node)):
            return mixed
        factors = [node]
        while self.starts_factor():
            token = self.peek()
            # 3 4 is not 34, and not 12; x2 may be x_2. But (n-2) 2^{n}, 4 3^3, x^2 3 and i2 are products.
            is_product = self.peek(1) == "^" or factors[-1].kind in ("power", "root")
            is_product = is_product or factors[-1] == Node("constant", "i")
            if (token[0].isdecimal() or token[0] == ".") and not is_product:
                raise Nonsense("a number behind a factor")
            before = self.tokens[self.position - 1]
            after_number = before[0].isdecimal() and factors[-1].kind == "number"
            factor = self.power()
            if after_number and token == "\\frac" and all(p.kind == "number" for p in factor.parts):
                raise Unreadable("a number before a fraction")
            factors.append(factor)
        return product(*factors)

    def mixed(self, whole: Node) -> Node | None:
        """A proper fraction behind a whole number: `1 1/2`, `1\\frac{1}{2}`."""
        match self.tokens[self.position : self.position + 7]:
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
        self.position += used
        if (self.starts_factor() and self.peek()[0].isdecimal()) or self.peek() in ("/", "^", "!"):
            raise Nonsense("more behind a mixed number")
        factors = [number(whole.value + Fraction(int(top), int(low)))]
        while self.starts_factor():
            factors.append(self.power())
        return product(*factors)

    def starts_factor(self) -> bool:
        token = self.peek()
        if token == "|":
            return self.bars == 0
        return token != "" and token not in _NO_FACTOR

    # Factors

    def power(self) -> Node:
        """An atom with its powers, factorials and degrees."""
        node = self.atom()
        while self.peek() in ("!", "^"):
            if self.take() == "!":
                if self.peek() == "!":
                    raise Unreadable("a double factorial")
                node = Node("factorial", None, (node,))
            elif [self.peek(i) for i in range(3)] == ["{", "\\circ", "}"]:
                self.position += 3
                node = Node("degrees", None, (node,))
            elif node.kind == "power" and node.value is None:
                raise Unreadable("a power of a power")
            else:
                node = Node("power", None, (node, self.argument(signed=True)))
        return node

    def argument(self, signed: bool = False) -> Node:
        """A group in braces, or one atom."""
        if self.peek() == "{":
            return self.group()
        if signed and self.skip("-"):
            return negative(self.atom())
        token = self.peek()
        if token.isdecimal() and len(token) > 1:
            return number(int(self.take()))
        if token.isalpha():
            self.take_apart()
        return self.atom()

    def group(self) -> Node:
        """What stands in one pair of brackets; braces are not seen."""
        opening = self.take()
        node = self.apart()
        self.take(_CLOSING[opening])
        return node if opening == "{" else Node("group", None, (node,))

    def apart(self) -> Node:
        """A sum in brackets of its own, in which a bar opens again."""
        bars = self.bars
        self.bars = 0
        node = self.sum()
        self.bars = bars
        return node

    def atom(self) -> Node:
        token = self.peek()
        if not token:
            raise Unreadable("an end")
        if token[0].isdecimal() or (token[0] == "." and len(token) > 1):
            self.take()
            if self.peek() == "_":
                raise Unreadable("a base")
            return number(Fraction(token))
        if token in _CLOSING:
            return self.group()
        if self.skip("|"):
            self.bars += 1
            node = self.sum()
            self.bars -= 1
            self.take("|")
            return Node("absolute", None, (node,))
        if token.startswith("\\text{"):
            raise Unreadable("words")
        if token[0] == "\\":
            return self.command(self.take()[1:])
        if token.isalpha() and token.isascii():
            # Four letters are a name of their own, whose letters have an order; fewer are a product.
            if len(token) <= 3:
                self.take_apart()
            return self.name(self.take())
        raise Unreadable(token)

    def take_apart(self) -> None:
        """Make letters that stand together tokens of their own."""
        self.tokens[self.position : self.position + 1] = list(self.peek())

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
        of_number = self.peek(1)[:1].isdecimal() and self.peek(2) == ")"
        called = self.peek() == "(" and (name.partition("_")[0] in _CALLABLE or primes or of_number)
        name += "'" * primes
        return Node("call", name, self.arguments()) if called else Node("symbol", name)

    def index(self) -> str:
        """What stands behind an underscore, as text."""
        if self.peek() != "{":
            if self.peek().isalpha():
                self.take_apart()
            return self.take()
        self.take("{")
        begin = self.position
        depth = 1
        while depth:
            token = self.take()
            depth += (token == "{") - (token == "}")
        inside = "".join(self.tokens[begin : self.position - 1])
        return inside.removeprefix("\\text{").removesuffix("}")

    def arguments(self) -> tuple[Node, ...]:
        self.take("(")
        parts = [self.apart()]
        while self.skip(","):
            parts.append(self.apart())
        self.take(")")
        return tuple(parts)

    # Commands

    def command(self, name: str) -> Node:
        if name in _OPERATIONS:
            kind, count = _OPERATIONS[name]
            return Node(kind, None, tuple(self.argument() for _ in range(count)))
        if name == "sqrt":
            degree = self.group().parts[0] if self.peek() == "[" else number(2)
            return Node("root", None, (self.argument(), degree))
        if name in ("lfloor", "lceil"):
            node = self.sum()
            self.take("\\r" + name[1:])
            return Node(name[1:], None, (node,))
        if name in CONSTANTS and self.peek() != "_":
            return Node("constant", name)
        if name in FUNCTIONS:
            return self.function(name)
        if name in _BIG:
            return self.big(name)
        if name in _NAMES or name in CONSTANTS:
            return self.name("\\" + name)
        if name == "overline" and (conjugate := self.conjugate()):
            return conjugate
        if name in _DECORATIONS:
            inside = self.index() if self.peek() == "{" else self.take()
            return self.name(f"\\{name}{{{inside}}}")
        raise Unreadable("\\" + name)

    def conjugate(self) -> Node | None:
        """``\\overline{3+4i}``; None where the line is over a name."""
        here = self.position
        try:
            inside = self.argument()
        except Unreadable:
            inside = None
        if inside is None or symbols(inside) or not contains(inside, "constant"):
            self.position = here
            return None
        return replaced(inside, "i", negative(Node("constant", "i")))

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
        elif self.peek() == "{":
            inside = (self.argument(),)
        else:
            inside = (self.free_argument(),)
        if name not in OF_SEVERAL and len(inside) != 1:
            raise Unreadable("arguments")
        if power == negative(number(1)):
            if name not in TRIGONOMETRIC:
                raise Unreadable("an inverse")
            name = "arc" + name
            power = None
        if base is not None:
            inside = (*inside, base)
        node = Node("function", name, inside)
        return node if power is None else Node("power", "function", (node, power))

    def free_argument(self) -> Node:
        """What a function without parentheses takes: factors up to an operator or another function."""
        if self.skip("-"):
            return negative(self.free_argument())
        factors = [self.power()]
        while self.starts_factor():
            token = self.peek()
            if token[1:] in FUNCTIONS or token in ("(", "[", "|") or token[0].isdecimal():
                break
            factors.append(self.power())
        return product(*factors)

    def big(self, name: str) -> Node:
        r"""``\sum_{k=1}^{n}`` and what stands behind it, up to the next sign of a sum."""
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
        return Node(f"big {name}", variable, (low, high, body))
