"""Assignability: the table of the language, row by row, and the laws of a preorder."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.strategies import types
from tierfed.placements import Placement
from tierfed.types import FederatedType, FunctionType, SequenceType, StructType, TensorType, Type, parse, to_type

TABLE = [  # target, source, target <- source, source <- target
    ("int32", "int32", True, True),
    ("int64", "int32", False, False),
    ("float32", "int32", False, False),
    ("int32[?]", "int32[3]", True, False),
    ("int32[?,3]", "int32[2,?]", False, False),
    ("int32[?]", "int32[?]", True, True),
    ("int32[?]", "int32[2,3]", False, False),
    ("int32[?]", "int32", False, False),
    ("int32[...]", "int32[2,3]", True, False),
    ("int32[...]", "int32", True, False),
    ("int32[...]", "int32[?]", True, False),
    ("int32[...]", "float32[2]", False, False),
    ("<int32,bool>", "<int32,bool>", True, True),
    ("<a=int32>", "<int32>", True, False),
    ("<a=int32>", "<b=int32>", False, False),
    ("<a=int32,b=bool>", "<a=int32,bool>", True, False),
    ("<a=int32,b=bool>", "<b=bool,a=int32>", False, False),
    ("<int32>", "<int32,int32>", False, False),
    ("<>", "<>", True, True),
    ("<a=int32[?]>", "<a=int32[3]>", True, False),
    ("<int32>", "int32", False, False),
    ("int32*", "int32*", True, True),
    ("int32[?]*", "int32[3]*", True, False),
    ("int32*", "float32*", False, False),
    ("(int32 -> int32[?])", "(int32 -> int32[3])", True, False),
    ("(int32[3] -> int32)", "(int32[?] -> int32)", True, False),
    ("( -> int32)", "( -> int32)", True, True),
    ("( -> int32)", "(<> -> int32)", False, False),
    ("(int32 -> int32)", "( -> int32)", False, False),
    ("{int32}@CLIENTS", "int32@CLIENTS", True, False),
    ("{int32}@CLIENTS", "{int32}@CLIENTS", True, True),
    ("{int32}@CLIENTS", "{int32}@SERVER", False, False),
    ("{int32[?]}@CLIENTS", "{int32[3]}@CLIENTS", True, False),
    ("int32@SERVER", "int32", False, False),
    ("placement", "placement", True, True),
    ("T", "T", True, True),
    ("T", "U", False, False),
    ("T", "int32", False, False),
]


@pytest.mark.parametrize(("target", "source", "forth", "back"), TABLE, ids=[f"{t} <- {s}" for t, s, *_ in TABLE])
def test_table(target: str, source: str, forth: bool, back: bool) -> None:
    """Each row of the table holds, in both directions."""
    a, b = parse(target), parse(source)
    assert a.is_assignable_from(b) is forth
    assert b.is_assignable_from(a) is back
    assert a.is_equivalent_to(b) is (forth and back)


def test_placements_are_compared_by_name() -> None:
    """A placement that is another object of the same name is the same placement."""
    other = Placement("CLIENTS", False, "another description")
    assert FederatedType("int32", other) == parse("{int32}@CLIENTS")
    assert FederatedType("int32", other).is_equivalent_to(parse("{int32}@CLIENTS"))


def test_containers_do_not_matter() -> None:
    """Types that differ in their container are equal, hash alike and are equivalent."""
    a, b = to_type({"a": "int32"}), to_type([("a", "int32")])
    assert (a.container, b.container) == (dict, list)  # type: ignore[attr-defined]
    assert a == b and hash(a) == hash(b) and a.is_equivalent_to(b)


@given(types)
def test_reflexive(t: Type) -> None:
    """Every type is assignable from itself."""
    assert t.is_assignable_from(t) and t.is_equivalent_to(t)


def widened(t: Type) -> st.SearchStrategy[Type]:
    """Types that are assignable from `t`: sizes forgotten, elements named, bits cleared."""
    match t:
        case TensorType(name=name, shape=shape):
            forgotten = [TensorType(name, None), t]
            if shape:
                forgotten.append(TensorType(name, (None, *shape[1:])))
            return st.sampled_from(forgotten)
        case StructType():
            parts = st.tuples(*(widened(e) for e in t.parts()))
            keep = [n if n is not None else f"unnamed {i}" for i, n in enumerate(t.names)]
            if len(set(keep)) < len(keep):
                keep = list(t.names)  # type: ignore[arg-type]
            return st.tuples(parts, st.booleans()).map(
                lambda drawn: StructType(list(zip(keep if drawn[1] else t.names, drawn[0], strict=True)))
            )
        case SequenceType(element=e):
            return widened(e).map(SequenceType)
        case FunctionType(parameter=p, result=r):
            return widened(r).map(lambda wide: FunctionType(p, wide))
        case FederatedType(member=m, placement=at, all_equal=bit):
            return st.tuples(widened(m), st.booleans()).map(lambda d: FederatedType(d[0], at, bit and d[1]))
    return st.just(t)


@given(st.data(), types)
def test_transitive(data: st.DataObject, a: Type) -> None:
    """What is assignable from b, which is assignable from a, is assignable from a."""
    b = data.draw(widened(a))
    c = data.draw(widened(b))
    assert b.is_assignable_from(a) and c.is_assignable_from(b)
    assert c.is_assignable_from(a)


@given(st.data(), types)
def test_functions_turn_their_parameter_round(data: st.DataObject, narrow: Type) -> None:
    """A function that takes more may stand for one that takes less, never the other way round."""
    wide = data.draw(widened(narrow))
    assume(not narrow.is_assignable_from(wide))
    takes_wide, takes_narrow = FunctionType(wide, "int32"), FunctionType(narrow, "int32")
    assert takes_narrow.is_assignable_from(takes_wide)
    assert not takes_wide.is_assignable_from(takes_narrow)


@given(types, types)
def test_equivalent_both_ways(a: Type, b: Type) -> None:
    """Equivalence is assignability both ways, and symmetric."""
    assert a.is_equivalent_to(b) == b.is_equivalent_to(a) == (a.is_assignable_from(b) and b.is_assignable_from(a))
