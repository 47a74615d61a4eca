"""Values: what each type takes, how it is held, and that it comes back in the user's form."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import local_types, values_of
from tests.types.struct_classes import Model, Point, State
from tierfed.errors import ValueMismatch
from tierfed.types import StructType, TensorType, Type, parse, to_type
from tierfed.types.values import Rows, Struct, check, infer, nbytes, present, present_lazily, same, zero

typed_values = local_types.flatmap(lambda t: st.tuples(st.just(t), values_of(t)))

TAKEN = [  # type, value, held
    ("int8", 1, np.int8(1)),
    ("int8", np.int8(1), np.int8(1)),
    ("int8", np.array(1, np.int8), np.int8(1)),
    ("uint64", 2**64 - 1, np.uint64(2**64 - 1)),
    ("bool", True, np.bool_(True)),
    ("float32", 1, np.float32(1)),
    ("float32", 0.5, np.float32(0.5)),
    ("float32", float("inf"), np.float32("inf")),
    ("float32", float("nan"), np.float32("nan")),
    ("float16", 1e-30, np.float16(0)),
    ("bfloat16", 1.5, ml_dtypes.bfloat16(1.5)),
    ("complex64", 1, np.complex64(1)),
    ("complex128", 1j, np.complex128(1j)),
    ("str", "naïve", "naïve"),
    ("str", np.str_("x"), "x"),
    ("str[2]", ["a", "b\x00"], np.array(["a", "b\x00"], object)),
    ("str[2]", np.array(["a", "bc"]), np.array(["a", "bc"], object)),
    ("str[0]", [], np.array([], object)),
    ("float32[2]", [1, 2.5], np.array([1, 2.5], np.float32)),
    ("float32[0]", [], np.array([], np.float32)),
    ("int32[?,2]", [[1, 2], [3, 4]], np.array([[1, 2], [3, 4]], np.int32)),
    ("int32[...]", [[1]], np.array([[1]], np.int32)),
    ("int32[3]", np.arange(3, dtype=">i4"), np.arange(3, dtype=np.int32)),
    ("float64[2,3]", np.arange(6.0).reshape(3, 2).T, np.array([[0, 2, 4], [1, 3, 5.0]])),
    ("<int32,bool>", (1, True), (np.int32(1), np.bool_(True))),
    ("<int32,bool>", [1, True], (np.int32(1), np.bool_(True))),
    ("<a=int32,b=bool>", {"b": True, "a": 1}, (np.int32(1), np.bool_(True))),
    ("<a=int32,b=bool>", (1, True), (np.int32(1), np.bool_(True))),
    ("<y=int32,x=float32>", Point(np.float32(0.5), np.int32(2)), (np.int32(2), np.float32(0.5))),
    ("<float32,int32>", Point(np.float32(0.5), np.int32(2)), (np.float32(0.5), np.int32(2))),
    ("<w=int32,b=int32>", Model(1, np.int32(2)), (np.int32(1), np.int32(2))),
    ("<_count=int32,sum=int32>", State(1, 2), (np.int32(1), np.int32(2))),
    ("<a=int32,bool>", Struct(("a", None), (1, True)), (np.int32(1), np.bool_(True))),
    ("<a=int32,bool>", (1, True), (np.int32(1), np.bool_(True))),
    ("<>", (), ()),
    ("<>", {}, ()),
    ("int32*", [1, 2], Rows((np.int32(1), np.int32(2)))),
    ("int32*", iter([1, 2]), Rows((np.int32(1), np.int32(2)))),
    ("int32*", np.array([1, 2], np.int32), Rows((np.int32(1), np.int32(2)))),
    ("<x=int32>*", [{"x": 1}], Rows(((np.int32(1),),))),
    ("int32*", (), Rows()),
]


@pytest.mark.parametrize(("text", "value", "held"), TAKEN, ids=[f"{t} {str(v)[:30]}" for t, v, _ in TAKEN])
def test_taken(text: str, value: Any, held: Any) -> None:
    """A value that fits is held in the one form of its type."""
    t = parse(text)
    found = check(value, t)
    assert_held(found, t)
    assert same(found, held, t)


REFUSED = [  # type, value, what, mend
    (
        "int8",
        300,
        "value: expected int8, got 300, which it cannot hold",
        "use a wider dtype, or another value: int8 holds -128 to 127",
    ),
    (
        "uint8[2]",
        [1, -1],
        "value: expected uint8[2], got -1, which it cannot hold",
        "use a wider dtype, or another value: uint8 holds 0 to 255",
    ),
    ("uint64", 2**64, "value: expected uint64, got int 18446744073709551616", "pass a value that uint64 can hold"),
    ("int32", True, "value: expected int32, got bool True", "pass a value that int32 can hold"),
    ("int32", 1.0, "value: expected int32, got float 1.0", "pass a value that int32 can hold"),
    ("bool", 1, "value: expected bool, got int 1", "pass a value that bool can hold"),
    ("float32", 1j, "value: expected float32, got complex 1j", "pass a value that float32 can hold"),
    (
        "float32",
        1e300,
        "value: expected float32, got float 1e+300, which it cannot hold",
        "use float64, or a value in its range",
    ),
    (
        "bfloat16",
        1e39,
        "value: expected bfloat16, got float 1e+39, which it cannot hold",
        "use float64, or a value in its range",
    ),
    ("float32", "1", "value: expected float32, got str '1'", "pass a value that float32 can hold"),
    ("float32", None, "value: expected float32, got NoneType None", "pass a value that float32 can hold"),
    ("float32", np.float64(1), "value: expected float32, got float64", "convert it with .astype('float32')"),
    ("float32[2]", np.zeros(2), "value: expected float32[2], got float64[2]", "convert it with .astype('float32')"),
    (
        "int32[1]",
        np.array([None]),
        "value: expected int32[1], got an array of dtype object",
        "convert it with .astype('int32')",
    ),
    (
        "int32[2]",
        np.zeros(3, np.int32),
        "value: expected int32[2], got int32[3]",
        "reshape it, or declare unknown sizes with ?",
    ),
    (
        "int32[?]",
        np.zeros((1, 1), np.int32),
        "value: expected int32[?], got int32[1,1]",
        "reshape it, or declare unknown sizes with ?",
    ),
    (
        "int32[?,?]",
        [[1], [2, 3]],
        "value: expected int32[?,?], got list [[1], [2, 3]]",
        "pass a value that int32 can hold",
    ),
    ("str", 1, "value: expected str, got int 1", "pass str"),
    ("str[2]", ["a", 1], "value: expected str[2], got list ['a', 1]", "pass str"),
    ("str[1]", [b"a"], "value: expected str[1], got list [b'a']", "pass str"),
    ("str[?,?]", [["a"], ["b", "c"]], "value: expected str[?,?], got list [['a'], ['b', 'c']]", "pass str"),
    ("str[1]", "a", "value: expected str[1], got str 'a'", "reshape it, or declare unknown sizes with ?"),
    (
        "str",
        "\ud800",
        "value: expected str, got '\\ud800', which is no Unicode text",
        "decode the bytes it came from without surrogates",
    ),
    ("<int32>", (1, 2), "value: expected <int32>, got 2 elements", "pass the 1 elements of the type"),
    ("<int32>", 1, "value: expected <int32>, got int 1", "pass a tuple, list, dict or dataclass"),
    (
        "<int32>",
        {"a": 1},
        "value: expected <int32>, got a dict with other names: unknown a",
        "give each element of the type, and no other",
    ),
    (
        "<a=int32,b=int32>",
        {"a": 1, "c": 1},
        "value: expected <a=int32,b=int32>, got a dict with other names: missing b; unknown c",
        "give each element of the type, and no other",
    ),
    (
        "<a=int32>",
        Point(1, 2),
        "value: expected <a=int32>, got Point with the fields x, y",
        "use a class with the type's names",
    ),
    (
        "<a=int32>",
        State(1, 2),
        "value: expected <a=int32>, got State with the fields _count, sum",
        "use a class with the type's names",
    ),
    (
        "<a=int32,b=int32>",
        Struct(("a", None), (1, 2)),
        "value: expected <a=int32,b=int32>, got <a=1, 2>",
        "use the type's names",
    ),
    (
        "<a=<int32,float32[2]>>",
        {"a": (1, [1.0])},
        "value.a[1]: expected float32[2], got list [1.0]",
        "reshape it, or declare unknown sizes with ?",
    ),
    ('<"w/0"=int32>', {"w/0": 1.5}, 'value."w/0": expected int32, got float 1.5', "pass a value that int32 can hold"),
    ("int32*", [1, "a"], "value[1]: expected int32, got str 'a'", "pass a value that int32 can hold"),
    ("int32*", 1, "value: expected int32*, got int 1", "pass a list or an iterator"),
    ("str*", "ab", "value: expected str*, got str 'ab'", "pass a list or an iterator"),
    ("int32*", {1, 2}, "value: expected int32*, got set {1, 2}", "pass a list or an iterator"),
    ("(int32 -> int32)", 1, "value: expected (int32 -> int32), got int 1", "pass a computation"),
]


@pytest.mark.parametrize(
    ("text", "value", "what", "mend"), REFUSED, ids=[f"{t} {ascii(v)[:30]}" for t, v, *_ in REFUSED]
)
def test_refused(text: str, value: Any, what: str, mend: str) -> None:
    """A value that does not fit is refused with the path to the part, both types, and a mend."""
    with pytest.raises(ValueMismatch) as caught:
        check(value, parse(text))
    assert str(caught.value) == f"{what}\n  to mend: {mend}"


PRESENTED = [  # type as written, value as held, value as given back
    ((np.int32, bool, bool), (1, True, False), (1, True, False)),
    ([np.int32, bool], (1, True), [1, True]),
    ({"a": np.int32}, (1,), {"a": 1}),
    (OrderedDict(a=np.int32, b=bool), (1, True), OrderedDict(a=1, b=True)),
    ([("a", np.int32), ("b", bool)], (1, True), {"a": 1, "b": True}),
    ([("a", np.int32), bool], (1, True), Struct(("a", None), (1, True))),
    (Point, (np.float32(1), np.int32(2)), Point(np.float32(1), np.int32(2))),
    (Model, (1, 2), Model(1, 2)),
    (State, (1, 2), State(1, 2)),
    ({"p": Point, "s": "int32*"}, ((1, 2), Rows((3, 4))), {"p": Point(1, 2), "s": [3, 4]}),
    ("<a=int32,b=bool>", (1, True), {"a": 1, "b": True}),
    ("<int32,bool>", (1, True), (1, True)),
    ("<>", (), ()),
    ({}, (), {}),
    ([], (), []),
]


@pytest.mark.parametrize(("spec", "held", "expected"), PRESENTED, ids=[str(s)[:40] for s, *_ in PRESENTED])
def test_presented(spec: object, held: Any, expected: Any) -> None:
    """A held value comes back in the container that its type remembers."""
    found = present(held, to_type(spec))
    assert found == expected and type(found) is type(expected)


def test_container_of_other_names() -> None:
    """A remembered class whose fields are not the struct's is passed over for a dict."""
    t = StructType([("u", TensorType("int32"))], Point)
    assert present((1,), t) == {"u": 1}


def test_sequences_are_fresh_for_leaves() -> None:
    """A leaf gets an iterator of each sequence, a new one at each use."""
    held = (Rows((np.int32(1), np.int32(2))),)
    t = parse("<a=int32*>")
    first, second = present_lazily(held, t), present_lazily(held, t)
    assert next(first["a"]) == 1 and list(second["a"]) == [1, 2] and list(first["a"]) == [2]


@given(typed_values)
def test_held_values_are_taken_as_they_are(typed: tuple[Type, Any]) -> None:
    """What is held, given back and taken again is the same, bit for bit."""
    t, value = typed
    assert_held(value, t)
    again = check(present(value, t), t)
    assert_held(again, t)
    assert same(value, again, t)


@given(typed_values)
def test_infer_fits(typed: tuple[Type, Any]) -> None:
    """A value is of the type that is inferred from it, where it has no sequence in it."""
    t, value = typed
    if "*" in str(t):
        return
    found = infer(present(value, t))
    assert t.is_assignable_from(found)
    assert same(value, check(present(value, t), found), t)


INFERRED = [
    (True, "bool"),
    (1, "int32"),
    (2**31, "int64"),
    (1.5, "float32"),
    (1j, "complex64"),
    ("a", "str"),
    (np.zeros((2, 3), np.int8), "int8[2,3]"),
    (np.float64(1), "float64"),
    (np.array(["a", "bc"]), "str[2]"),
    (np.array([["a"]], object), "str[1,1]"),
    ({"a": 1, "b": (True, [1.0])}, "<a=int32,b=<bool,<float32>>>"),
    (Point(1.0, 2), "<x=float32,y=int32>"),
    (Model(1.0, 2), "<w=float32,b=int32>"),
    (State(1.0, 2), "<_count=float32,sum=int32>"),
    (Struct(("a", None), (1, True)), "<a=int32,bool>"),
]


@pytest.mark.parametrize(("value", "text"), INFERRED, ids=[text for _, text in INFERRED])
def test_inferred(value: Any, text: str) -> None:
    """Python's values have the types that users expect."""
    assert str(infer(value)) == text


def test_not_inferred() -> None:
    """A value of another kind has no type, and the error says where it lies."""
    with pytest.raises(ValueMismatch) as caught:
        infer({"a": [object]})
    assert str(caught.value).startswith("value.a[0]: type <class 'object'> has no type of ours")
    with pytest.raises(ValueMismatch, match=r"value\[0\]: an array of dtype datetime64\[D\] has no type of ours"):
        infer([np.zeros(1, "M8[D]")])


@given(typed_values, typed_values)
def test_same_is_equality_of_bits(one: tuple[Type, Any], other: tuple[Type, Any]) -> None:
    """A value is the same as itself, NaNs included, and as nothing with other bits."""
    t, value = one
    assert same(value, value, t)
    if other[0] == t and nbytes(value, t) != nbytes(other[1], t):
        assert not same(value, other[1], t)


DIFFERENT = [
    ("float32", np.float32(0.0), np.float32(-0.0)),
    (
        "float32",
        np.array([0x7FC00000], np.uint32).view(np.float32)[0],
        np.array([0x7FC00001], np.uint32).view(np.float32)[0],
    ),
    ("float32[?]", np.zeros(2, np.float32), np.zeros(3, np.float32)),
    ("int32[...]", np.zeros((2, 3), np.int32), np.zeros((3, 2), np.int32)),
    ("str", "a", "b"),
    ("<int32,int32>", (np.int32(1), np.int32(2)), (np.int32(2), np.int32(1))),
    ("int32*", Rows((np.int32(1),)), Rows()),
    ("{int32}@CLIENTS", (np.int32(1),), (np.int32(2),)),
    ("int32@SERVER", np.int32(1), np.int32(2)),
]


@pytest.mark.parametrize(("text", "a", "b"), DIFFERENT, ids=[row[0] for row in DIFFERENT])
def test_different(text: str, a: Any, b: Any) -> None:
    """Values that differ in one bit, one size or one element are not the same."""
    t = parse(text)
    assert same(a, a, t) and same(b, b, t) and not same(a, b, t)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("int32", np.int32(0)),
        ("bool", np.bool_(False)),
        ("bfloat16[2]", np.zeros(2, ml_dtypes.bfloat16)),
        ("<a=float32[2],b=<int8>>", (np.zeros(2, np.float32), (np.int8(0),))),
        ("int32[?]*", Rows()),
    ],
)
def test_zero(text: str, expected: Any) -> None:
    """Zero is zeros of every tensor, and no elements of a sequence."""
    t = parse(text)
    assert_held(zero(t), t)
    assert same(zero(t), expected, t)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("float32[?]", "float32[?] has no zero, its shape is unknown"),
        ("<a=float32[...]>", "float32[...] has no zero, its shape is unknown"),
        ("str", "str has no zero"),
        ("( -> int32)", "( -> int32) has no zero"),
    ],
)
def test_no_zero(text: str, what: str) -> None:
    """What has no zero is refused, with the mend."""
    with pytest.raises(ValueMismatch) as caught:
        zero(parse(text))
    assert str(caught.value) == f"zero: {what}\n  to mend: use federated_aggregate with an explicit zero"


def test_mixed_struct() -> None:
    """A mixed struct is read by position, by name and as an attribute."""
    s = Struct(("a", None), (1, 2))
    assert (s[0], s["a"], s.a, s[1], len(s), list(s), repr(s)) == (1, 1, 1, 2, 2, [1, 2], "<a=1, 2>")
    with pytest.raises(AttributeError, match="no element called b"):
        _ = s.b
    with pytest.raises(KeyError):
        s["b"]


def assert_held(value: Any, t: Type) -> None:
    """Assert that `value` is in the one form that values of `t` are held in."""
    match t:
        case StructType():
            assert type(value) is tuple
            for v, e in zip(value, t.parts(), strict=True):
                assert_held(v, e)
        case TensorType():
            if isinstance(value, np.ndarray):
                assert value.ndim and value.flags.c_contiguous and value.dtype.isnative
                assert value.dtype == (object if t.name == "str" else t.dtype)
            else:
                assert type(value) is (str if t.name == "str" else t.dtype.type)
            shape = np.shape(value)
            assert t.shape is None or all(want in (None, got) for want, got in zip(t.shape, shape, strict=True))
        case _:
            assert type(value) is Rows
            for v in value:
                assert_held(v, t.parts()[0])
