"""How two types are told apart: whole when short, and at the first place where they differ when long."""

from __future__ import annotations

import pytest

from tierfed.types.difference import first_difference, mended, shown, told
from tierfed.types.notation import parse

LONG = "<" + ",".join(f"layer{i}=<kernel=float32[64,64],bias=float32[64]>" for i in range(9)) + ">"
WIDER = LONG.replace("layer7=<kernel=float32[64,64]", "layer7=<kernel=float32[64,10]")

DIFFERENCES = [  # target, source, path, what is there in each
    ("int32", "float32", "", "int32", "float32"),
    ("<a=int32,b=<int32,bool>>", "<a=int32,b=<int32,str>>", ".b[1]", "bool", "str"),
    ("{<a=int32>}@CLIENTS", "{<a=bool>}@CLIENTS", ".a", "int32", "bool"),
    ("{int32}@CLIENTS", "int32@SERVER", "", "{int32}@CLIENTS", "int32@SERVER"),
    ("<x=int32*>", "<x=bool*>", ".x[…]", "int32", "bool"),
    ("<a=int32>", "<b=int32>", "", "<a=int32>", "<b=int32>"),
    ("<a=int32>", "<int32>", "", "<a=int32>", "<int32>"),
    ('<"a/b"=int32>', '<"a/b"=bool>', '."a/b"', "int32", "bool"),
    (LONG, WIDER, ".layer7.kernel", "float32[64,64]", "float32[64,10]"),
]


@pytest.mark.parametrize(("target", "source", "path", "expected", "got"), DIFFERENCES)
def test_the_first_difference(target, source, path, expected, got):
    """It is a path that can be read, and the two types there; types that may stand there are passed over."""
    assert first_difference(parse(target), parse(source)) == (path, parse(expected), parse(got))


def test_short_types_are_shown_whole_and_long_ones_where_they_differ():
    """No line of an error is a whole model twice."""
    assert told(parse("int32"), parse("bool")) == "expected int32, got bool"
    text = told(parse(LONG), parse(WIDER), "left is {}, right is {}")
    assert text.endswith("; they differ at .layer7.kernel: float32[64,64] and float32[64,10]")
    assert len(text) < 300 and text.startswith("left is <layer0=")
    assert told(parse(LONG), parse("int32")).endswith("…, got int32")
    assert shown(parse(LONG), 10) == "<layer0=<…"


MENDED = [  # what f takes, what it got, what makes the one the other
    ("float32", "{float32}@CLIENTS", "call it at each member: tierfed.federated_map(f, value)"),
    ("{float32}@CLIENTS", "float32", "place it: tierfed.federated_value(value, tierfed.CLIENTS)"),
    ("{float32}@EDGE_AGGREGATORS", "float32", "place it: tierfed.federated_value(value, EDGE_AGGREGATORS)"),
    ("{float32}@CLIENTS", "int32", "pass a value of {float32}@CLIENTS"),
    (
        "{float32}@CLIENTS",
        "float32@SERVER",
        "move it first: tierfed.federated_broadcast goes down, an aggregate goes up",
    ),
    ("float32", "int32", "convert it to float32 in a leaf, or let f take int32; nothing is cast"),
    ("float32[3]", "float32[4]", "reshape it in a leaf, or let f take float32[4]"),
    ("float32", "<float32,bool>", "pass one of its elements, or let f take <float32,bool>"),
    ("<float32,bool>", "<a=float32,b=bool>", "pass the elements without their names, as a tuple: (x.a, x.b)"),
    ("<a=float32,b=bool>", "<a=float32>", "give each of a, b and no other: missing b"),
    ("<a=float32>", "<a=float32,c=bool>", "give each of a and no other: unknown c"),
    ("<a=float32,b=bool>", "<b=bool,a=float32>", "give the elements in the order a, b"),
    ("<float32,float32>", "<float32>", "give 2 elements, not 1"),
    ("(int32 -> int32)", "int32", "pass a value of (int32 -> int32)"),
]


@pytest.mark.parametrize(("target", "source", "mend"), MENDED)
def test_what_would_mend_it(target, source, mend):
    """The mend follows from the two types."""
    assert mended(parse(target), parse(source), "f", called=True) == mend
