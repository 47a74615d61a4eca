"""Text: what each node looks like, golden."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given

from tests.ir.node_strategies import nodes
from tests.strategies import EDGE
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
)
from tierfed.types import TensorType, parse

INT = TensorType("int32")
X = Reference("x", INT)


def intrinsic(uri: str, text: str) -> Intrinsic:
    """Return an intrinsic at the type that `text` writes."""
    t: Any = parse(text)
    return Intrinsic(uri, t)


def literal(value: Any, text: str) -> Literal:
    """Return a literal of the type that `text` writes."""
    t: Any = parse(text)
    return Literal.make(value, t)


DATA = Reference("data", parse("{<x=float32,y=int32>}@CLIENTS"))
MEAN = Call(
    intrinsic("federated_mean", "({float32}@CLIENTS -> float32@SERVER)"), Reference("v", parse("{float32}@CLIENTS"))
)
ROW = parse("<x=float32,y=int32>")
FIRST = Call(
    intrinsic("federated_map", f"(<({ROW} -> float32),{{{ROW}}}@CLIENTS> -> {{float32}}@CLIENTS)"),
    Struct(((None, Lambda("p", ROW, Selection(Reference("p", ROW), 0))), (None, DATA))),
)
F: Any = parse("(int32 -> int32)")

GOLDEN: list[tuple[Node, str]] = [
    (X, "x"),
    (Reference("arg.0", INT), "arg.0"),
    (Lambda("a b", INT, Reference("a b", INT)), '("a b" -> "a b")'),
    (Lambda("x", INT, X), "(x -> x)"),
    (Lambda(None, None, X), "( -> x)"),
    (Lambda("x", INT, Lambda("y", INT, X)), "(x -> (y -> x))"),
    (Call(Reference("f", F), X), "f(x)"),
    (Call(Lambda(None, None, X)), "( -> x)()"),
    (Call(Lambda("x", INT, X), X), "(x -> x)(x)"),
    (Call(Call(Lambda(None, None, Reference("f", F))), X), "( -> f)()(x)"),
    (Block((("a", X), ("b", Reference("a", INT))), Reference("b", INT)), "(let a=x,b=a in b)"),
    (Call(Block((("f", Reference("g", F)),), Reference("f", F)), X), "(let f=g in f)(x)"),
    (Block((), X), "(let in x)"),
    (Block((("a", Block((("b", X),), X)),), X), "(let a=(let b=x in x) in x)"),
    (Struct(()), "<>"),
    (Struct((("a", X), (None, X), ("conv/kernel:0", X))), '<a=x,x,"conv/kernel:0"=x>'),
    (Selection(Struct((("a", X), (None, X))), 0), "<a=x,x>.a"),
    (Selection(Struct((("a", X), (None, X))), 1), "<a=x,x>[1]"),
    (Selection(Struct((("two words", X),)), 0), '<"two words"=x>."two words"'),
    (Selection(Selection(Reference("s", parse("<<a=int32>>")), 0), 0), "s[0].a"),
    (Selection(Block((("a", X),), Struct(((None, X),))), 0), "(let a=x in <x>)[0]"),
    (Selection(Call(Reference("f", parse("( -> <int32>)"))), 0), "f()[0]"),
    (MEAN, "federated_mean[SERVER](v)"),
    (
        intrinsic("federated_zip", "(<{T}@EDGE_AGGREGATORS> -> {<T>}@EDGE_AGGREGATORS)"),
        "federated_zip[EDGE_AGGREGATORS]",
    ),
    (intrinsic("generic_plus", "(<int32,int32> -> int32)"), "generic_plus"),
    (intrinsic("federated_iterate", "(int32@SERVER -> <int32@SERVER,int32@SERVER>)"), "federated_iterate[SERVER]"),
    (PlacementLiteral(EDGE), "EDGE_AGGREGATORS"),
    (Data("train", parse("{int32*}@CLIENTS")), "data#train"),
    (Data("tierfed:member", parse("{int32}@CLIENTS")), "data#tierfed:member"),
    (Data("a b)", parse("{int32}@CLIENTS")), 'data#"a b)"'),
    (Compiled(Leaf("py", "fedavg:local_update", "ab"), F), "comp#fedavg:local_update"),
    (Compiled(Leaf("py", "", "ab"), F), 'comp#""'),
    (literal(5, "int32"), "5"),
    (literal(-1.5, "float32"), "-1.5"),
    (literal(0.1, "float32"), "0.1"),
    (literal(float("nan"), "float64"), "nan"),
    (literal(True, "bool"), "True"),
    (literal(1 - 2j, "complex64"), "(1-2j)"),
    (literal('say "hi"\n', "str"), '"say \\"hi\\"\\n"'),
    (literal([1, 2], "int32[2]"), "int32[2]{1,2}"),
    (literal(["a,b", "c"], "str[2]"), 'str[2]{"a,b","c"}'),
    (literal(np.zeros((2, 0)), "float64[2,0]"), "float64[2,0]{}"),
    (literal(np.arange(8), "int64[8]"), "int64[8]{0,1,2,3,4,5,6,7}"),
    (literal(np.arange(9), "int64[9]"), "int64[9]{0,1,2,3,4,5,6,7,…}"),
    (
        Lambda("data", DATA.type, Block((("v", FIRST),), MEAN)),
        "(data -> (let v=federated_map[CLIENTS](<(p -> p.x),data>) in federated_mean[SERVER](v)))",
    ),
]


@pytest.mark.parametrize(("node", "text"), GOLDEN, ids=[text[:40] for _, text in GOLDEN])
def test_golden(node: Node, text: str) -> None:
    """Each node has its text."""
    assert str(node) == text


@given(nodes)
def test_brackets_match(node: Node) -> None:
    """Outside of strings, every bracket that opens is closed by its like."""
    closing = {"(": ")", "<": ">", "{": "}", "[": "]"}
    open_: list[str] = []
    shown = str(node)
    at = 0
    while at < len(shown):
        c = shown[at]
        if c == '"':
            at += 1
            while shown[at] != '"':
                at += 2 if shown[at] == "\\" else 1
        elif shown.startswith("->", at):
            at += 1
        elif c in closing:
            open_.append(closing[c])
        elif c in closing.values():
            assert open_.pop() == c, shown
        at += 1
    assert open_ == [], shown
