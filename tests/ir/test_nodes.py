"""Nodes: each knows its type, refuses what cannot be, and is rebuilt over other parts."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ir.node_strategies import nodes
from tests.strategies import EDGE, tensors, values_of
from tierfed.errors import TypeMismatch
from tierfed.ir.nodes import (
    Block,
    Call,
    Compiled,
    Data,
    Intrinsic,
    Lambda,
    Leaf,
    Literal,
    Node,
    PlacementLiteral,
    Reference,
    Selection,
    Struct,
    free_names,
    shortened,
    transformed,
)
from tierfed.types import TensorType, Type, parse
from tierfed.types.values import same

INT, BOOL = TensorType("int32"), TensorType("bool")
X, Y = Reference("x", INT), Reference("y", BOOL)
PAIR = Struct((("a", X), (None, Y)))
IDENTITY = Lambda("x", INT, X)
MAKER = Lambda(None, None, Y)


def function(text: str) -> Any:
    """Return the function type that `text` writes."""
    return parse(text)


TYPED = [
    (X, "int32"),
    (IDENTITY, "(int32 -> int32)"),
    (MAKER, "( -> bool)"),
    (Call(IDENTITY, X), "int32"),
    (Call(MAKER), "bool"),
    (Call(Lambda("f", parse("int32[?]"), X), Reference("v", parse("int32[3]"))), "int32"),
    (Block((("x", Y),), PAIR), "<a=int32,bool>"),
    (PAIR, "<a=int32,bool>"),
    (Struct(()), "<>"),
    (Selection(PAIR, 1), "bool"),
    (Intrinsic("federated_sum", function("({int32}@CLIENTS -> int32@SERVER)")), "({int32}@CLIENTS -> int32@SERVER)"),
    (PlacementLiteral(EDGE), "placement"),
    (Data("train", parse("{int32*}@CLIENTS")), "{int32*}@CLIENTS"),
    (Literal.make(np.zeros((2, 3)), TensorType("float64", [None, 3])), "float64[2,3]"),
    (Compiled(Leaf("py", "m:f", "00"), function("(int32 -> bool)")), "(int32 -> bool)"),
]


@pytest.mark.parametrize(("node", "text"), TYPED, ids=[f"{type(n).__name__} {t}" for n, t in TYPED])
def test_type(node: Node, text: str) -> None:
    """Every class of node has the type that its parts give it."""
    assert str(node.type) == text


WRONG: list[tuple[Any, str]] = [
    (lambda: Call(X, Y), "call: x of type int32 is called, and is no function"),
    (
        lambda: Call(IDENTITY, Y),
        "call of (x -> x): (x -> x) takes int32, got bool\n  to mend: pass a value of the type that it takes",
    ),
    (
        lambda: Call(IDENTITY),
        "call of (x -> x): (x -> x) takes int32, got nothing\n  to mend: pass a value of the type that it takes",
    ),
    (
        lambda: Call(MAKER, X),
        "call of ( -> y): ( -> y) takes nothing, got int32\n  to mend: pass a value of the type that it takes",
    ),
    (lambda: Selection(X, 0), "selection: x of type int32 has no elements\n  to mend: select from a struct"),
    (
        lambda: Selection(PAIR, 2),
        "selection: no element 2 in <a=int32,bool>\n  to mend: it has 2, counted from 0",
    ),
    (
        lambda: Selection(PAIR, -1),
        "selection: no element -1 in <a=int32,bool>\n  to mend: it has 2, counted from 0",
    ),
    (lambda: Lambda("x", None, X), "lambda: a lambda's parameter has a name and a type, or neither"),
    (lambda: Lambda(None, INT, X), "lambda: a lambda's parameter has a name and a type, or neither"),
    (lambda: Struct((("a", X), ("a", Y))), "type: the name a stands twice\n  to mend: name each element once"),
    (lambda: Reference("", INT), "reference: a name is empty\n  to mend: use a non-empty string"),
    (lambda: Lambda("", INT, X), "lambda: a name is empty\n  to mend: use a non-empty string"),
    (lambda: Block((("", X),), X), "block: a name is empty\n  to mend: use a non-empty string"),
    (lambda: Data("", INT), "data: a name is empty\n  to mend: use a non-empty string"),
    (
        lambda: Intrinsic("", function("(int32 -> int32)")),
        "intrinsic: a name is empty\n  to mend: use a non-empty string",
    ),
]
LITERAL_MEND = "make literals with Literal.make, at a type whose sizes are known"
WRONG += [
    (lambda: Literal(INT, b"123"), f"literal: 3 bytes are no int32\n  to mend: {LITERAL_MEND}"),
    (lambda: Literal(INT, ("a",)), f"literal: 1 strings are no int32\n  to mend: {LITERAL_MEND}"),
    (lambda: Literal(TensorType("str"), b"a"), f"literal: 1 bytes are no str\n  to mend: {LITERAL_MEND}"),
    (lambda: Literal(TensorType("str", [2]), ("a",)), f"literal: 1 strings are no str[2]\n  to mend: {LITERAL_MEND}"),
    (lambda: Literal(TensorType("int8", [None]), b"1"), f"literal: 1 bytes are no int8[?]\n  to mend: {LITERAL_MEND}"),
    (lambda: Literal(BOOL, b"\2"), "literal: a bool that is neither 0 nor 1\n  to mend: write 0 or 1"),
    (
        lambda: Literal(TensorType("int8", [0, 2**62, 2**62]), b""),
        f"literal: numpy has no array of type int8[0,{2**62},{2**62}]\n  to mend: use smaller sizes",
    ),
]


@pytest.mark.parametrize(("make", "text"), WRONG, ids=[text.splitlines()[0] for _, text in WRONG])
def test_wrong(make: Any, text: str) -> None:
    """A node that cannot be is refused when it is made, with both types where there are two."""
    with pytest.raises(TypeMismatch) as caught:
        make()
    told = str(caught.value)
    assert (told.partition(": ")[2] if told.startswith(__file__) else told) == text


@given(nodes)
def test_rebuilt_over_its_own_children(node: Node) -> None:
    """A node rebuilt over its own children is itself, and walking meets each node below once."""
    assert node.rebuilt(node.children()) == node
    assert node.rebuilt(node.children()).type == node.type
    assert sum(1 for _ in node.walk()) == 1 + sum(sum(1 for _ in c.walk()) for c in node.children())
    assert next(iter(node.walk())) is node


@given(nodes)
def test_transformed_by_nothing(node: Node) -> None:
    """A change that changes nothing gives the very same node."""
    assert transformed(node, lambda n: n) is node


def test_transformed() -> None:
    """A change is applied children first, everywhere, and containers are kept."""
    program = Struct((("a", Call(IDENTITY, X)), (None, Y)), dict)
    renamed = transformed(program, lambda n: Reference("z", n.of) if isinstance(n, Reference) else n)
    assert str(renamed) == "<a=(x -> z)(z),z>"
    assert isinstance(renamed, Struct) and renamed.container is dict


@given(tensors.filter(lambda t: t.is_static).flatmap(lambda t: st.tuples(st.just(t), values_of(t))))  # type: ignore[attr-defined]
def test_literal_keeps_every_bit(typed: tuple[Type, Any]) -> None:
    """A literal holds a value of any dtype, bit for bit, and hashes."""
    t, value = typed
    assert isinstance(t, TensorType)
    literal = Literal.make(value, t)
    assert same(literal.value, value, t) and literal.type == t
    assert literal == Literal.make(value, t) and hash(literal) == hash(Literal.make(value, t))


def test_literal_bytes_are_little_endian() -> None:
    """The bytes do not depend on the order that an array happens to be in."""
    assert Literal.make(np.array([1], ">i4"), TensorType("int32", [1])).content == b"\1\0\0\0"
    assert Literal.make(np.asfortranarray([[1, 2], [3, 4]], np.int8), TensorType("int8", [2, 2])).content == b"\1\2\3\4"
    assert Literal.make(ml_dtypes.bfloat16(1), TensorType("bfloat16")).content == b"\x80\x3f"


FREE = [
    (X, ["x"]),
    (IDENTITY, []),
    (Lambda("z", INT, PAIR), ["x", "y"]),
    (Lambda(None, None, X), ["x"]),
    (Block((("x", Y), ("y", X)), PAIR), ["y"]),
    (Block((("z", X),), X), ["x"]),
    (Struct(((None, Block((("x", Y),), X)), (None, X))), ["y", "x"]),
    (Call(IDENTITY, X), ["x"]),
]


@pytest.mark.parametrize(("node", "names"), FREE, ids=[str(n) for n, _ in FREE])
def test_free_names(node: Node, names: list[str]) -> None:
    """Names are free where no lambda or earlier local binds them, in order of use."""
    assert list(free_names(node)) == names


def test_free_names_have_types() -> None:
    """Each free name comes with the type that it is used at."""
    assert free_names(PAIR) == {"x": INT, "y": BOOL}


def test_equality_is_of_structure() -> None:
    """Nodes are equal by their parts; the container of a struct takes no part."""
    assert Struct(((None, X),), list) == Struct(((None, X),), tuple)
    assert Struct(((None, X),)) != Struct((("a", X),)) and Reference("x", INT) != Reference("x", BOOL)
    assert hash(Call(IDENTITY, X)) == hash(Call(Lambda("x", INT, Reference("x", INT)), X))


def test_selection_by_name() -> None:
    """A selection is held by position, and knows the name of what it selects."""
    assert (Selection(PAIR, 0).name, Selection(PAIR, 1).name) == ("a", None)


def test_shortened() -> None:
    """For an error a node's text is cut."""
    assert shortened(X) == "x" and shortened(PAIR, 5) == "<a=x…"
