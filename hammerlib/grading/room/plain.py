"""Plain data across the wall between a test and the program it tests: values, never foreign objects.

A message is JSON. Scalars stand for themselves; all else is a node, referred to as ``[index]``, so that
shared and recursive structures, and what a call changed in its arguments, come across as they are. What is
unpacked is always of an exact built-in type (or `Decimal`, `Fraction`, `deque`): no ``__eq__`` of the other
side follows.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from fractions import Fraction
from typing import Any

# Whole numbers beyond this are written in hexadecimal: Python refuses long decimal ones.
SMALL = 1 << 53
# Characters of the text of a message, about; what is larger is not taken apart first.
LARGEST = 8 << 20
_ITERATORS = tuple(
    type(one)
    for one in (
        *((_ for _ in ()), map(int, ()), filter(None, ()), zip(), enumerate(()), reversed([]), reversed(())),
        *(iter([]), iter(()), iter(set()), iter({}), iter(range(0)), iter(""), iter({}.items())),
        *({}.keys(), {}.values(), {}.items()),
    )
)
_MUTABLE = (list, dict, set, bytearray, deque)


class Unsupported(TypeError):
    """A value that is not plain data, or too much of it."""


class Packer:
    """Packs values into nodes, each object once."""

    def __init__(self, known: list[Any] | None = None) -> None:
        self.objects: list[Any] = list(known or ())
        self.start = len(self.objects)
        self.nodes: list[list[Any] | None] = []
        self.places = {
            id(item): index for index, item in enumerate(self.objects) if isinstance(item, _MUTABLE)
        }
        self.open: list[int] = []
        self.left = LARGEST

    def pack(self, value: Any) -> dict[str, Any]:
        """Return the message that holds a value, and the new contents of what was known."""
        packed = self._leaf(value)
        old = [index for index in self.places.values() if index < self.start]
        changed = {str(index): self._content(self.objects[index]) for index in old}
        while self.open:
            index = self.open.pop()
            self.nodes[index - self.start] = self._content(self.objects[index])
        return {"nodes": self.nodes, "changed": changed, "value": packed}

    def _leaf(self, value: Any) -> Any:
        # The methods of the built-in types, not of the value: a subclass may have any of its own.
        if value is None or value is True or value is False:
            return value
        if isinstance(value, int):
            value = int.__add__(value, 0)
            self._spend(value.bit_length() // 4)
            return value if -SMALL < value < SMALL else self._node(["int", hex(value)])
        if isinstance(value, float):
            return float.__float__(value)
        if isinstance(value, str):
            self._spend(str.__len__(value))
            return str.__str__(value)
        if id(value) in self.places:
            return [self.places[id(value)]]
        if isinstance(value, _MUTABLE):
            reference = self._node(None, value)
            self.places[id(value)] = reference[0]
            self.open.append(reference[0])
            return reference
        return self._node(self._whole(value), value)

    def _spend(self, characters: int) -> None:
        self.left -= 1 + characters
        if self.left < 0:
            raise Unsupported("the value is too large")

    def _node(self, node: list[Any] | None, value: Any = None) -> list[int]:
        self.nodes.append(node)
        self.objects.append(value)  # also keeps it alive, and with it its id
        return [len(self.objects) - 1]

    def _whole(self, value: Any) -> list[Any]:
        """Node of what cannot change; its parts come before it."""
        if isinstance(value, tuple | frozenset | bytes):
            self._spend(len(value))
        if isinstance(value, tuple):
            return ["tuple", [self._leaf(item) for item in tuple.__iter__(value)]]
        if isinstance(value, frozenset):
            return ["frozenset", [self._leaf(item) for item in frozenset.__iter__(value)]]
        if isinstance(value, bytes):
            return ["bytes", bytes.hex(value)]
        if isinstance(value, complex):
            return ["complex", value.real, value.imag]
        if isinstance(value, range):
            return ["range", *(self._leaf(item) for item in (value.start, value.stop, value.step))]
        if isinstance(value, Decimal):
            return ["decimal", str(value)]
        if isinstance(value, Fraction):
            return ["fraction", self._leaf(value.numerator), self._leaf(value.denominator)]
        if type(value).__module__ == "numpy" and hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
            return ["scalar", self._leaf(value.item())]
        if isinstance(value, _ITERATORS):
            items = []
            for item in value:
                self._spend(1)
                items.append(self._leaf(item))
            return ["iterator", items]
        raise Unsupported(f"{type(value).__name__} is no plain value")

    def _content(self, value: Any) -> list[Any]:
        """Node of what can change."""
        self._spend(len(value))
        if isinstance(value, list):
            return ["list", [self._leaf(item) for item in list.__iter__(value)]]
        if isinstance(value, dict):
            return ["dict", [[self._leaf(key), self._leaf(item)] for key, item in dict.items(value)]]
        if isinstance(value, set):
            return ["set", [self._leaf(item) for item in set.__iter__(value)]]
        if isinstance(value, bytearray):
            return ["bytearray", bytearray.hex(value)]
        return ["deque", [self._leaf(item) for item in deque.__iter__(value)], value.maxlen]


class Unpacker:
    """Builds values from messages of the other side, which may hold anything; refuses by `ValueError`."""

    def __init__(self, known: list[Any] | None = None) -> None:
        self.objects: list[Any] = list(known or ())

    def unpack(self, message: dict[str, Any]) -> Any:
        """Return the value of a message."""
        try:
            return self._unpack(message["nodes"], message["changed"], message["value"])
        except (LookupError, TypeError, ArithmeticError, AttributeError) as error:
            raise ValueError("no message") from error

    def _unpack(self, nodes: list[Any], changed: dict[str, Any], packed: Any) -> Any:
        start = len(self.objects)
        contents = [(int(index), node) for index, node in changed.items()]
        if any(not 0 <= index < start for index, _ in contents):
            raise ValueError("a change of nothing")
        for node in nodes:
            if node[0] in _EMPTY:
                contents.append((len(self.objects), node))
                self.objects.append(deque(maxlen=node[2]) if node[0] == "deque" else _EMPTY[node[0]]())
            else:
                self.objects.append(self._whole(*node))
        filled = [(self.objects[index], node[0], self._parts(node)) for index, node in contents]
        for value, kind, parts in filled:
            if not isinstance(value, _EMPTY[kind]):
                raise ValueError("a change of kind")
            if kind in ("list", "bytearray"):
                value[:] = parts
            else:
                _EMPTY[kind].clear(value)
                (deque.extend if kind == "deque" else _EMPTY[kind].update)(value, parts)
        return self._value(packed)

    def _parts(self, node: list[Any]) -> Any:
        if node[0] == "bytearray":
            return bytes.fromhex(node[1])
        if node[0] == "dict":
            return [(self._value(key), self._value(item)) for key, item in node[1]]
        return [self._value(item) for item in node[1]]

    def _value(self, leaf: Any) -> Any:
        if leaf is None or type(leaf) in (bool, int, float, str):
            return leaf
        (index,) = leaf
        if type(leaf) is not list or type(index) is not int or index < 0:
            raise ValueError("no reference")
        return self.objects[index]

    def _whole(self, kind: str, *parts: Any) -> Any:
        if kind in ("tuple", "frozenset", "iterator"):
            items = [self._value(item) for item in parts[0]]
            return {"tuple": tuple, "frozenset": frozenset, "iterator": iter}[kind](items)
        if kind == "int":
            return int(parts[0], 16)
        if kind == "bytes":
            return bytes.fromhex(parts[0])
        values = [self._value(item) for item in parts]
        if kind == "scalar":
            return values[0]
        return {"complex": complex, "range": range, "decimal": Decimal, "fraction": Fraction}[kind](*values)


_EMPTY = {"list": list, "dict": dict, "set": set, "bytearray": bytearray, "deque": deque}
