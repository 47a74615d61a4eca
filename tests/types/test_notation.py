"""Notation: what is written is read again, and what cannot be read says where and why."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.strategies import types
from tierfed.errors import NotationError
from tierfed.types import (
    AbstractType,
    FederatedType,
    FunctionType,
    PlacementType,
    SequenceType,
    StructType,
    TensorType,
    Type,
    formatted,
    parse,
    unit,
)

GOLDEN = [
    (TensorType("int32"), "int32"),
    (TensorType("int32", [10]), "int32[10]"),
    (TensorType("float32", [None, 3]), "float32[?,3]"),
    (TensorType("float32", None), "float32[...]"),
    (TensorType("str", [2]), "str[2]"),
    (TensorType("bfloat16", [0]), "bfloat16[0]"),
    (StructType([("a", TensorType("int32")), TensorType("bool")]), "<a=int32,bool>"),
    (unit(), "<>"),
    (StructType([("conv/kernel:0", TensorType("float32"))]), '<"conv/kernel:0"=float32>'),
    (StructType([('say "hi"\\', TensorType("float32"))]), '<"say \\"hi\\"\\\\"=float32>'),
    (StructType([("int32", TensorType("float32"))]), "<int32=float32>"),
    (SequenceType("<x=float32[?,784],y=int32>"), "<x=float32[?,784],y=int32>*"),
    (FunctionType("int32", "float32"), "(int32 -> float32)"),
    (FunctionType(None, AbstractType("T")), "( -> T)"),
    (FunctionType(unit(), AbstractType("T")), "(<> -> T)"),
    (FunctionType("(T -> U)", "( -> R_1)"), "((T -> U) -> ( -> R_1))"),
    (FederatedType("int32", "CLIENTS"), "{int32}@CLIENTS"),
    (FederatedType("int32", "CLIENTS", True), "int32@CLIENTS"),
    (FederatedType("int32", "SERVER"), "int32@SERVER"),
    (FederatedType("int32", "SERVER", False), "{int32}@SERVER"),
    (FederatedType("int32*", "CLIENTS", True), "int32*@CLIENTS"),
    (PlacementType(), "placement"),
]


@pytest.mark.parametrize(("t", "text"), GOLDEN, ids=[text for _, text in GOLDEN])
def test_golden(t: Type, text: str) -> None:
    """Each kind of type has one compact notation, which reads as that type."""
    assert str(t) == text
    assert parse(text) == t


@given(types)
def test_round_trip(t: Type) -> None:
    """`parse(str(t)) == t` for every type, odd names among them."""
    assert parse(str(t)) == t


@given(types)
def test_formatted_round_trip(t: Type) -> None:
    """The formatted form is read by the same grammar."""
    assert parse(formatted(t)) == t


@given(types, types)
def test_notation_tells_types_apart(a: Type, b: Type) -> None:
    """Two types have one notation if and only if they are equal."""
    assert (str(a) == str(b)) == (a == b)


@given(types, st.sampled_from([" ", "\n", "\t ", ""]))
def test_space_between_tokens(t: Type, space: str) -> None:
    """Spaces around marks are read, and mean nothing."""
    spaced = "".join(f"{space}{c}{space}" if c in "<{}@*,()" else c for c in str(t))
    assume('"' not in str(t))
    assert parse(spaced) == t


def test_formatted() -> None:
    """The formatted form gives each element of a struct that is too long its line, and no other."""
    t = parse(
        "(<model=<w1=float32[784,64],b1=float32[64],w2=float32[64,10],b2=float32[10],scale=float32>@SERVER,"
        "data={<x=float32[?,784],y=int32[?]>*}@CLIENTS> -> <n=int32>)"
    )
    assert formatted(t) == (
        "(<\n"
        "  model=<\n"
        "    w1=float32[784,64],\n"
        "    b1=float32[64],\n"
        "    w2=float32[64,10],\n"
        "    b2=float32[10],\n"
        "    scale=float32\n"
        "  >@SERVER,\n"
        "  data={<x=float32[?,784],y=int32[?]>*}@CLIENTS\n"
        "> -> <n=int32>)"
    )
    assert formatted(parse("(<a=int32,b=int32> -> <n=int32>)")) == "(<a=int32,b=int32> -> <n=int32>)"


def test_formatted_one_element() -> None:
    """A long struct of one element is broken too, so what is inside it is seen."""
    inner = ",".join(f"layer_{i}=float32[784,64]" for i in range(4))
    lines = "".join(f"    layer_{i}=float32[784,64]{',' if i < 3 else ''}\n" for i in range(4))
    assert formatted(parse(f"{{<model=<{inner}>>}}@CLIENTS")) == ("{<\n  model=<\n" + lines + "  >\n>}@CLIENTS")


WRONG = [
    ("flaot32", "no type is called 'flaot32'", "did you mean 'float32'?", 1),
    ("<a=int32,b=plcement>", "no type is called 'plcement'", "did you mean 'placement'?", 12),
    ("int32[", "expected a size or '?'", None, 7),
    ("int32[-1]", "expected a size or '?'", None, 7),
    ("int32[1,]", "expected a size or '?'", None, 9),
    ("int32[99999999999999999999]", "expected a size or '?'", None, 7),
    ("int32[" + "9" * 5000 + "]", "expected a size or '?'", None, 7),
    (
        "int32[9999999999999999999]",
        "a size below 0 or above 9223372036854775807 in the shape (9999999999999999999,)",
        "write None for unknown",
        1,
    ),
    ("<int32", "expected ',', got the end", None, 7),
    ("<a=>", "expected a type, got '>'", None, 4),
    ("", "expected a type, got the end", None, 1),
    ("int32 int32", "'int32' after the end of the type", None, 7),
    ("(int32)", "expected '->', got ')'", None, 7),
    ("{int32}", "expected '@', got the end", None, 8),
    ("int32@", "expected the name of a placement after '@'", None, 7),
    ("<a=int32,a=bool>", "the name a stands twice", "name each element once", 1),
    ("int32**", "a sequence cannot hold int32*", "it holds tensors, structs and sequences only", 1),
    (
        "{int32@SERVER}@CLIENTS",
        "a federated value cannot hold int32@SERVER",
        "it holds tensors, structs and sequences: write int32, since the whole has one placement",
        1,
    ),
    ('<"\\q"=int32>', '"\\q" is no string', 'write \\" for a quote and \\\\ for a backslash', 2),
    ('<"\\ud800"=int32>', "'\\ud800' names no element", "use a non-empty string", 1),
    ('<""=int32>', "'' names no element", "use a non-empty string", 1),
    ("int32#", "'#' after the end of the type", None, 6),
    ("<" * 102 + ">" * 102, "nested deeper than 100", None, 102),
]


@pytest.mark.parametrize(("text", "what", "mend", "column"), WRONG, ids=[row[0][:24] for row in WRONG])
def test_wrong(text: str, what: str, mend: str | None, column: int) -> None:
    """Text that is no type is an error with the position, and a mend where one is known."""
    with pytest.raises(NotationError) as caught:
        parse(text)
    assert caught.value.what == what
    assert caught.value.mend == mend or (
        mend is None and str(caught.value.mend).startswith("write it as in float32[?,3]")
    )
    assert str(caught.value.where).endswith(f", column {column}")


@given(st.text(st.sampled_from('<>(){}[]=,@*?"\\ ->aT.int32 1'), max_size=30))
def test_any_text(text: str) -> None:
    """Any text is a type, which has a notation, or a NotationError."""
    try:
        t = parse(text)
    except NotationError:
        return
    assert parse(str(t)) == t


def test_long_text_is_cut() -> None:
    """An error shows at most 200 characters of the text."""
    with pytest.raises(NotationError) as caught:
        parse("<" + "int32," * 1000)
    assert len(str(caught.value)) < 450
