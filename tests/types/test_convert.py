"""`to_type`: each convenience reads as its type, remembers its container, or is refused."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tests.types.struct_classes import Bare, Model, Point, State, Wider
from tierfed.errors import NotationError, TypeMismatch
from tierfed.placements import CLIENTS
from tierfed.types import FederatedType, FunctionType, SequenceType, StructType, TensorType, to_type

READ = [
    (np.float32, "float32"),
    (np.dtype(">i4"), "int32"),
    (ml_dtypes.bfloat16, "bfloat16"),
    (bool, "bool"),
    (int, "int64"),
    (float, "float64"),
    (complex, "complex128"),
    (str, "str"),
    (np.dtype("U7"), "str"),
    ((np.float32, [10]), "float32[10]"),
    ((np.float32, (None, 3)), "float32[?,3]"),
    ((np.float32, (np.int64(4),)), "float32[4]"),
    ((np.float32, ()), "float32"),
    ((np.float32, None), "float32[...]"),
    ((np.float32, np.int32), "<float32,int32>"),
    ((np.float32, (np.int32, bool)), "<float32,<int32,bool>>"),
    ([np.float32, [10]], None),
    ([("x", np.int32), bool], "<x=int32,bool>"),
    ([("x", np.int32), ("y", (np.float32, [2]))], "<x=int32,y=float32[2]>"),
    ([], "<>"),
    ((), "<>"),
    ({}, "<>"),
    ({"a": np.int32, "b c": {"d": "float32*"}}, '<a=int32,"b c"=<d=float32*>>'),
    ("{float32[10]}@CLIENTS", "{float32[10]}@CLIENTS"),
    (("int32", "bool"), "<int32,bool>"),
    (Point, "<x=float32,y=int32>"),
    (Model, "<w=float32[2,?],b=float32>"),
    (Wider, "<w=float32[2,?],b=float32,at=<x=float32,y=int32>>"),
    (State, "<_count=int64,sum=float32>"),
    (Point(np.float32, bool), "<x=float32,y=bool>"),
    (Model(np.float32, (np.int32, [2])), "<w=float32,b=int32[2]>"),
    (State(np.int32, np.int32), "<_count=int32,sum=int32>"),
    (TensorType("int8"), "int8"),
]


@pytest.mark.parametrize(("spec", "text"), READ, ids=[str(s)[:40] for s, _ in READ])
def test_read(spec: object, text: str | None) -> None:
    """What LANGUAGE calls conveniences reads as the type it looks like."""
    if text is None:
        with pytest.raises(TypeMismatch):
            to_type(spec)
    else:
        assert str(to_type(spec)) == text


CONTAINERS = [
    ((np.int32, np.int32, np.int32), tuple),
    ([np.int32], list),
    ({"a": np.int32}, dict),
    (OrderedDict(a=np.int32), OrderedDict),
    (Point, Point),
    (Point(np.int32, np.int32), Point),
    (Model, Model),
    (State, State),
    ("<a=int32>", None),
]


@pytest.mark.parametrize(("spec", "container"), CONTAINERS, ids=[str(c) for _, c in CONTAINERS])
def test_container(spec: object, container: Any) -> None:
    """A struct remembers the class that it was written with."""
    t = to_type(spec)
    assert isinstance(t, StructType) and t.container is container


class _Unannotated(namedtuple("_Unannotated", "x y")):  # noqa: PYI024  # the point is that it has no annotations
    pass


REFUSED = [
    (object, "<class 'object'> reads as no type"),
    (np.datetime64, "<class 'numpy.datetime64'> reads as no type"),
    (np.dtype("M8[s]"), "dtype('<M8[s]') reads as no type"),
    (bytes, "<class 'bytes'> reads as no type"),
    (np.longdouble, "<class 'numpy.longdouble'> reads as no type"),
    (3, "3 reads as no type"),
    (np.int32(3), "np.int32(3) reads as no type"),
    (np.zeros(2), "array([0., 0.]) reads as no type"),
    (None, "None reads as no type"),
    ({1: np.int32}, "1 names no element"),
    ({"": np.int32}, "'' names no element"),
    ([("a", np.int32), ("a", np.int32)], "the name a stands twice"),
    ((np.int32, [-1]), "a size below 0 or above 9223372036854775807 in the shape (-1,)"),
    ((np.int32, [0] * 65), "65 dimensions"),
    (_Unannotated, "the field x of _Unannotated has no annotation"),
    (Bare, "<class 'dataclasses.Field'> reads as no type"),
]


@pytest.mark.parametrize(("spec", "what"), REFUSED, ids=[str(w)[:50] for _, w in REFUSED])
def test_refused(spec: object, what: str) -> None:
    """What reads as no type is refused by name, with a mend."""
    with pytest.raises(TypeMismatch) as caught:
        to_type(spec)
    assert caught.value.what == what
    assert caught.value.mend


def test_misspelt() -> None:
    """A misspelt dtype is an error that suggests the right one."""
    with pytest.raises(NotationError, match="did you mean 'float32'"):
        to_type("flaot32[10]")


@pytest.mark.parametrize("dtype", [object, np.datetime64, "float12", [("x", int), ("x", int)], {"a": 1}, 3, None])
def test_tensor_of_another_dtype(dtype: object) -> None:
    """A tensor type of a dtype that is not ours names it."""
    with pytest.raises(TypeMismatch) as caught:
        TensorType(dtype)
    assert caught.value.what == f"no tensor has the dtype {dtype!r}"


@pytest.mark.parametrize("shape", [3, [2.5], ["a"], "ab", [True, None, "x"]])
def test_tensor_of_no_shape(shape: Any) -> None:
    """A shape that is no list of integers is refused, never truncated."""
    with pytest.raises(TypeMismatch, match="is no shape"):
        TensorType(np.int32, shape)


def test_constructors_convert() -> None:
    """Sequence, function and federated types take whatever `to_type` takes."""
    assert str(SequenceType({"x": np.float32})) == "<x=float32>*"
    assert str(FunctionType([np.int32], (np.float32, [2]))) == "(<int32> -> float32[2])"
    assert str(FunctionType(None, np.int32)) == "( -> int32)"
    assert str(FederatedType((np.float32, [None]), "CLIENTS")) == "{float32[?]}@CLIENTS"


HOLDS = "it holds tensors, structs and sequences"


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: SequenceType("int32*"), "a sequence cannot hold int32*"),
        (lambda: SequenceType([("a", FunctionType(None, np.int32))]), "a sequence cannot hold ( -> int32)"),
        (lambda: SequenceType(FederatedType(np.int32, CLIENTS)), "a sequence cannot hold {int32}@CLIENTS"),
        (
            lambda: FederatedType(FederatedType(np.int32, CLIENTS), CLIENTS),
            "a federated value cannot hold {int32}@CLIENTS",
        ),
        (lambda: FederatedType({"f": "(int32 -> int32)"}, CLIENTS), "a federated value cannot hold (int32 -> int32)"),
        (lambda: FederatedType("placement", CLIENTS), "a federated value cannot hold placement"),
    ],
)
def test_what_may_not_stand_inside(make: Any, what: str) -> None:
    """Sequences and federated values hold tensors, structs and sequences, and say so."""
    with pytest.raises(TypeMismatch) as caught:
        make()
    assert caught.value.what == what
    assert HOLDS in str(caught.value)


def test_struct_type_is_a_sequence_of_its_elements() -> None:
    """Elements are found by position and by name."""
    t = to_type([("x", np.int32), bool])
    assert isinstance(t, StructType)
    assert (len(t), t[0], t["x"], t[1], t.names) == (
        2,
        TensorType("int32"),
        TensorType("int32"),
        TensorType("bool"),
        ("x", None),
    )
    assert (t.index("x"), t.index("y")) == (0, None)
    with pytest.raises(KeyError):
        t["y"]


def test_tensor_figures() -> None:
    """Elements and bytes of a tensor are known when its sizes are."""
    assert (TensorType("float64", [2, 3]).size, TensorType("float64", [2, 3]).nbytes) == (6, 48)
    assert (TensorType("float64", [None]).size, TensorType("float64", None).nbytes) == (None, None)
    assert (TensorType("str", [2]).size, TensorType("str", [2]).nbytes) == (2, None)
    assert TensorType("bfloat16", [3]).nbytes == 6
