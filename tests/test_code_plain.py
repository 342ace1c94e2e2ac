"""What goes across the wall between tests and program: plain values whole, everything else refused."""

from __future__ import annotations

import json
import math
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hammerlib.grading import code
from hammerlib.grading.room.plain import LARGEST, Packer, Unpacker, Unsupported

confined = pytest.mark.skipif(bool(code.refused()), reason=f"cannot be confined here: {code.refused()}")
HASHABLE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(HASHABLE, inner, max_size=3)
        | st.sets(HASHABLE, max_size=3)
        | st.lists(inner, max_size=3).map(deque)
    ),
    max_leaves=12,
)


def there(value: Any) -> Any:
    """A value after its way across."""
    return Unpacker().unpack(json.loads(json.dumps(Packer().pack(value))))


def typed(value: Any) -> Any:
    """A value with the types of its parts, for comparing."""
    if isinstance(value, dict):
        return type(value), frozenset((typed(key), typed(one)) for key, one in value.items())
    if isinstance(value, list | tuple | deque):
        return type(value), tuple(typed(one) for one in value)
    if isinstance(value, set | frozenset):
        return type(value), frozenset(typed(one) for one in value)
    return type(value), hex(value) if type(value) is int else repr(value)


@given(VALUES)
def test_plain_values_arrive_with_their_types(value: Any) -> None:
    assert typed(there(value)) == typed(value)


class Number(int):
    """Lies about itself."""

    def __eq__(self, other: object) -> bool:
        return True

    def __add__(self, other: object) -> int:
        return 99

    __hash__ = int.__hash__


class Colour(IntEnum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Number(5), 5),
        (Colour.RED, 1),
        (10**5000, 10**5000),
        (-(2**53), -(2**53)),
        (math.inf, math.inf),
        ("\ud800\0é", "\ud800\0é"),
        (namedtuple("P", "x y")(1, 2), (1, 2)),
        (Counter("aab"), {"a": 2, "b": 1}),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (defaultdict(list, a=[1]), {"a": [1]}),
        ({(1, 2): {"x": {3}}, None: b"\x00", 2.5: True}, {(1, 2): {"x": {3}}, None: b"\x00", 2.5: True}),
        (Fraction(1, 3), Fraction(1, 3)),
        (Decimal("1.10"), Decimal("1.10")),
        (range(3, 9, 2), range(3, 9, 2)),
        (bytearray(b"a"), bytearray(b"a")),
        (np.float64(2.5), 2.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_of_other_types_arrive_as_the_plain_ones_they_are(value: Any, plain: Any) -> None:
    assert typed(there(value)) == typed(plain)


def test_order_sharing_and_circles_arrive() -> None:
    inner = [1]
    outer: list[Any] = [inner, inner, (inner,)]
    outer.append(outer)
    found = there(outer)
    assert found[0] is found[1] is found[2][0] and found[3] is found
    assert list(there({"b": 1, "a": 2})) == ["b", "a"]
    assert math.copysign(1, there(-0.0)) == -1 and math.isnan(there(math.nan))
    assert tuple(there(one for one in (1, 2))) == (1, 2) and there(map(str, [1])) != ["1"]
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert isinstance(there(deep), list)


@pytest.mark.parametrize(
    "value",
    [
        object(),
        int,
        len,
        lambda: 1,
        Ellipsis,
        np.arange(3),
        [object()],
        {1: print},
        "x" * (LARGEST + 1),
        1 << 2**26,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_plain_value_is_refused(value: Any) -> None:
    with pytest.raises(Unsupported):
        Packer().pack(value)


def test_what_a_call_changes_comes_back_into_the_same_objects() -> None:
    inner = [2]
    given_: list[Any] = [[1, inner], {"a": inner}, {1}, deque([1]), bytearray(b"a"), (inner,)]
    packer = Packer()
    far = Unpacker()
    theirs = far.unpack(json.loads(json.dumps(packer.pack(given_))))
    theirs[0][1].append(3)
    theirs[1]["b"] = theirs[0]
    theirs[2].add("x")
    theirs[3].appendleft(0)
    theirs[4][:] = b"bc"
    answer = json.loads(json.dumps(Packer(far.objects).pack(theirs[0])))
    assert Unpacker(packer.objects).unpack(answer) is given_[0]
    assert inner == [2, 3] and given_[1]["b"] is given_[0] and given_[5][0] is inner
    assert given_[2] == {1, "x"} and list(given_[3]) == [0, 1] and given_[4] == b"bc"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 9)
    | st.floats()
    | st.sampled_from(["list", "tuple", "dict", "7", ""]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["0", "1", "x"]), inner, max_size=2)
    ),
    max_leaves=12,
)
KINDS = [
    "list",
    "dict",
    "set",
    "bytearray",
    "deque",
    "tuple",
    "frozenset",
    "iterator",
    "int",
    "bytes",
    "scalar",
]
NODES = st.lists(
    st.tuples(st.sampled_from([*KINDS, "complex", "range", "decimal", "fraction", "x"]), JSON, JSON).map(list)
    | st.tuples(st.sampled_from(KINDS), JSON).map(list)
    | JSON,
    max_size=4,
)


@given(
    st.fixed_dictionaries(
        {"nodes": NODES | JSON, "changed": st.dictionaries(st.just("0"), JSON) | JSON, "value": JSON}
    )
)
def test_a_hostile_message_is_a_value_of_plain_type_or_refused(message: dict[str, Any]) -> None:
    kept: list[Any] = [[1]]
    try:
        value = Unpacker(kept).unpack(message)
    except ValueError:
        return
    assert type(value).__module__ in ("builtins", "collections", "decimal", "fractions")


CALLS = {
    "in place": (
        "def f(x): x.sort()",
        "x = [3, 1, 2]\n    assert f(x) is None and x == [1, 2, 3]",
        "correct",
    ),
    "not in place": (
        "def f(x): return sorted(x)",
        "x = [3, 1]\n    assert f(x) == [1, 3] and x == [3, 1]",
        "correct",
    ),
    "the same object": ("def f(x): return x", "x = [3, 1]\n    assert f(x) is x", "correct"),
    "by name and keyword": (
        "def f(x, *, y=1, **z): return x, y, z",
        "assert f(1, y=2, z=3) == (1, 2, {'z': 3})",
        "correct",
    ),
    "a name given away": (
        "def f(x):\n    global f\n    f = 5\n    return x",
        "assert f(1) == 1 and f(2) == 2",
        "correct",
    ),
    "kept state": ("n = []\ndef f(x): n.append(x); return n", "f(1)\n    assert f(2) == [1, 2]", "correct"),
    "an exception": (
        "def f(x): raise ValueError('bad', x)",
        "try: f(1)\n    except ValueError as e: assert e.args == ('bad', 1)\n    else: assert False",
        "correct",
    ),
    "another exception": (
        "def f(x): raise KeyError(x)",
        "try: f(1)\n    except ValueError: pass",
        "wrong",
    ),
    "an own exception": (
        "class Own(LookupError): pass\ndef f(x): raise Own('a')",
        "try: f(1)\n    except LookupError as e: assert str(e) == 'a'\n    else: assert False",
        "correct",
    ),
    "an exception with more arguments": (
        "def f(x): return b'\\xff'.decode()",
        "try: f(1)\n    except UnicodeDecodeError as e: assert e.start == 0\n    else: assert False",
        "correct",
    ),
    "no exception": (
        "def f(x): return 1",
        "try: f(1)\n    except ValueError: pass\n    else: assert False",
        "wrong",
    ),
    "the entry by name": ("def f(x): return x + 1", "assert f(1) == 2 and globals()['f'] is f", "correct"),
    "not a number": ("def f(x): return float('nan')", "assert f(1) != f(1)", "correct"),
    "a function for an argument": ("def f(x): return x(1)", "assert f(abs) == 1", "error: Unsupported"),
    "no function": ("f = 5", "pass", "wrong"),
    "nothing": ("", "pass", "wrong"),
    "no program": ("def f(x) return", "pass", "wrong"),
    "a null": ("def f(x): return '\0'", "pass", "wrong"),
    "tests end": ("def f(x): return 1", "raise SystemExit(0)", "wrong"),
    "tests fail of themselves": ("def f(x): return 1", "undefined", "wrong"),
}


@confined
@pytest.mark.parametrize("name", CALLS)
def test_tests_see_a_call_as_if_it_were_their_own(name: str) -> None:
    program, body, verdict = CALLS[name]
    assert code.run_program(program, f"def check(f):\n    {body}\n", "f") == verdict


@confined
@pytest.mark.parametrize(
    ("test", "verdict"),
    [
        ("def check(", "error: SyntaxError"),
        ("x = 1", "error: KeyError"),
        ("import absent\ndef check(f): pass", "error: ModuleNotFoundError"),
    ],
)
def test_tests_that_cannot_be_run_are_no_fault_of_the_program(test: str, verdict: str) -> None:
    assert code.run_program("def f(x): return 1", test, "f") == verdict


@confined
def test_helpers_of_the_prompt_are_the_prompts_own() -> None:
    prompt = "import math\ndef twice(x):\n    return 2 * x\n\ndef f(x):\n    '''Half of x.'''\n"
    test = "def check(f):\n    assert twice(f(3)) == 3 and math.pi > 3\n"
    lie = "def twice(x): return 3\n"
    assert code.run_program(f"{lie}def f(x): return x / 2", test, "f", prompt) == "correct"
    assert code.run_program(f"{lie}def f(x): return x", test, "f", prompt) == "wrong"
    assert code.run_program("def f(x): return x / 2", test, "f", prompt.partition("'''")[0]) == "correct"


@confined
@pytest.mark.parametrize(
    "body",
    [
        "open('{place}', 'w').write('x')",
        "import os; os.remove('{place}')",
        "import os; os.system('rm {place}'); assert os.fork()",
        "import socket; socket.socket()",
        "open('/etc/passwd').read()",
    ],
)
def test_tests_are_confined_too(body: str, tmp_path: Any) -> None:
    place = tmp_path / "precious"
    place.write_text("kept")
    test = f"def check(f):\n    {body.replace('{place}', str(place))}\n"
    assert code.run_program("def f(x): return 1", test, "f") == "wrong"
    assert place.read_text() == "kept"
