"""Values as parts: the round trip of every type, the layout, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from wire_strategies import held_form, seeds, types, value_of

from tierfed.errors import ValueMismatch
from tierfed.types import Type, parse
from tierfed.types.values import Rows, same
from tierfed.wire.layout import Limits, layout_of
from tierfed.wire.value import parts_of, value_from


def text_of(error: pytest.ExceptionInfo[ValueMismatch]) -> str:
    """Return the error as users read it."""
    return str(error.value)


@settings(max_examples=300)
@given(types, seeds)
def test_every_value_survives_bit_for_bit(t: Type, seed: int) -> None:
    """Taking apart and putting together is the identity, and the layout says which arrays there are."""
    value = value_of(np.random.default_rng(seed), t)
    sizes: list[int] = []
    parts = parts_of(value, t, "v", sizes)
    columns = layout_of(t, sizes, "v")
    assert [(c.path, c.type, c.structural) for c in columns] == [(p.path, p.type, p.structural) for p in parts]
    assert all(p.array.shape == p.type.shape and p.array.flags.c_contiguous for p in parts)
    assert not any(p.structural and p.path.endswith(("]", "v")) for p in parts)
    again = value_from(t, [p.array for p in parts], sizes)
    held_form(again, t)
    assert same(value, again, t)


@pytest.mark.parametrize(
    ("notation", "value", "parts", "sizes"),
    [
        ("<w=float32[2,3],n=int32>", (np.ones((2, 3), "f4"), np.int32(1)), "v.w: float32[2,3] · v.n: int32", []),
        ('<float32,"two words"=<>>', (np.float32(1), ()), "v[0]: float32", []),
        ("float32[?,3]", np.ones((5, 3), "f4"), "v: float32[5,3]", [5]),
        ("bool[...]", np.ones((1, 2), bool), "v: bool[1,2]", [2, 1, 2]),
        ("str", "naïve", "v:ends: uint32[1] · v:utf8: uint8[6]", [6]),
        ("str[2]", np.array(["a", "日本"], object), "v:ends: uint32[2] · v:utf8: uint8[7]", [7]),
        ("int8*", Rows([np.int8(1)] * 3), "v[*]: int8[3]", [3]),
        ("<>*", Rows([()] * 4), "", [4]),
        (
            "<x=float32[2],y=str>*",
            Rows([(np.ones(2, "f4"), "ab"), (np.ones(2, "f4"), "c")]),
            "v[*].x: float32[2,2] · v[*].y:ends: uint32[2] · v[*].y:utf8: uint8[3]",
            [2, 3],
        ),
        (
            "float32[?,2]*",
            Rows([np.ones((3, 2), "f4"), np.ones((1, 2), "f4")]),
            "v[*]:shapes: int64[2] · v[*]: float32[8]",
            [2, 8],
        ),
        (
            "float32[...]*",
            Rows([np.ones((3, 2), "f4"), np.float32(1)]),
            "v[*]:ranks: int64[2] · v[*]:shapes: int64[2] · v[*]: float32[7]",
            [2, 2, 7],
        ),
    ],
)
def test_the_parts_are_those_of_the_page(notation: str, value: Any, parts: str, sizes: list[int]) -> None:
    """Each form of value has the parts and open sizes that the documentation lists."""
    found: list[int] = []
    told = parts_of(value, parse(notation), "v", found)
    assert " · ".join(f"{p.path}: {p.type}" for p in told) == parts
    assert found == sizes


def test_tensors_are_not_copied() -> None:
    """A part is the value's own array, and a value put together is a view of the arrays given."""
    array = np.ones((3, 4))
    (part,) = parts_of(array, parse("float64[3,4]"))
    assert part.array is array
    assert np.shares_memory(value_from(parse("float64[3,4]"), [array]), array)


@pytest.mark.parametrize(
    ("notation", "value", "told"),
    [
        ("<w1=float32[784,64]>", (np.zeros((784, 64)),), "delta.w1: expected float32[784,64], got float64[784,64]"),
        ("float32[?]", np.zeros((1, 2), "f4"), "delta: expected float32[?], got float32[1,2]"),
        ("float32[2]*", Rows([np.zeros(3, "f4")]), "delta[*]: expected float32[2], got float32[3]"),
        ("int32", np.array(1, "M8[s]"), "delta: expected int32, got an array of dtype datetime64[s]"),
        ("<a=str>", ("\ud800",), "delta.a: '\\ud800' has a lone surrogate, which UTF-8 cannot carry"),
        ("(int32 -> int32)", print, "delta: no value of type (int32 -> int32) travels"),
    ],
)
def test_what_does_not_fit_is_not_sent(notation: str, value: Any, told: str) -> None:
    """A value of another type, text that UTF-8 cannot carry and functions are refused, with their path."""
    with pytest.raises(ValueMismatch, match="to mend: ") as caught:
        parts_of(value, parse(notation), "delta")
    assert text_of(caught).startswith(told + "\n")


SMALL = Limits(nbytes=10_000, items=10)


@pytest.mark.parametrize(
    ("notation", "sizes", "told"),
    [
        ("<x=float32[?]>", [], "v.x: its size is missing"),
        ("float32[2]", [1], "v: sizes beyond the 0 that the types leave open"),
        ("float32[?]", [-1], "v: a size of -1, expected 0 to 10000"),
        ("float32[?]", [True], "v: a size of True, expected 0 to 10000"),
        ("float32[?]", ["9"], "v: a size of '9', expected 0 to 10000"),
        ("float32[?]", [2.0], "v: a size of 2.0, expected 0 to 10000"),
        ("float32[?]", [2**63], "v: a size of 9223372036854775808, expected 0 to 10000"),
        ("float32[?]", [2501], "v: takes the values to 10004 bytes, at most 10000 are taken"),
        ("<a=float64[?],b=float64[?]>", [700, 700], "v.b: takes the values to 11200 bytes"),
        ("float32[?,?]", [0, 10_000], "v: takes the values to 40000 bytes"),
        ("float32[?,10000]", [10_000], "v: takes the values to 400000000 bytes"),
        ("float32[...]", [33], "v: a tensor of 33 dimensions, at most 32 travel"),
        ("float32[...]", [2, 1], "v: its size is missing"),
        ("str[?]", [200, 0], "v: takes the values to 12800 bytes"),
        ("str", [10_000], "v: takes the values to 10004 bytes"),
        ("<>*", [10_000], "v: takes the values to 640000 bytes"),
        ("float32[0]*", [10_000], "v: takes the values to 640000 bytes"),
        ("float32[1000]*", [3], "v[*]: takes the values to 12384 bytes"),
        ("float32[?]*", [1, 2500], "v[*]: takes the values to 10136 bytes"),
        ("float32[...]*", [1, 2000], "v[*]: takes the values to 16128 bytes"),
        ("str*", [2, 9_900], "v[*]: takes the values to 10292 bytes"),
    ],
)
def test_open_sizes_are_bounded_before_there_is_memory(notation: str, sizes: list[Any], told: str) -> None:
    """A size that is missing, too much, no number or too large is refused from the header alone."""
    with pytest.raises(ValueMismatch, match="to mend: ") as caught:
        layout_of(parse(notation), sizes, "v", SMALL)
    assert text_of(caught).startswith(told)


def test_what_the_program_fixes_is_not_counted() -> None:
    """A fixed tensor of any size passes small limits: no peer has chosen it."""
    (column,) = layout_of(parse("float32[1000,1000]"), [], "v", SMALL)
    assert column.type.nbytes == 4_000_000


def arrays(*given: tuple[str, list[int] | bytes]) -> list[Any]:
    """Return arrays by dtype and items."""
    return [np.frombuffer(v, n) if isinstance(v, bytes) else np.array(v, n) for n, v in given]


@pytest.mark.parametrize(
    ("notation", "parts", "sizes", "told"),
    [
        ("bool[2]", arrays(("bool", b"\x01\x02")), [], "v: a bool is neither 0 nor 1"),
        ("bool*", arrays(("bool", b"\x01\x80")), [2], "v[*]: a bool is neither 0 nor 1"),
        ("str[2]", arrays(("u4", [2, 1]), ("u1", b"ab")), [2], "v: the ends of its strings do not rise to 2"),
        ("str[2]", arrays(("u4", [1, 3]), ("u1", b"ab")), [2], "v: the ends of its strings do not rise to 2"),
        ("str[3]", arrays(("u4", [2, 1, 2]), ("u1", b"ab")), [2], "v: the ends of its strings do not rise to 2"),
        ("str", arrays(("u4", [1]), ("u1", b"ab")), [2], "v: the ends of its strings do not rise to 2"),
        ("str", arrays(("u4", [1]), ("u1", b"\xff")), [1], "v: a string is no UTF-8"),
        ("str[2]", arrays(("u4", [1, 2]), ("u1", "ä".encode())), [2], "v: a string is no UTF-8"),
        ("int8[?]*", arrays(("i8", [1, 2]), ("i1", [0])), [2, 1], "v[*]: its shapes have 3 elements, its column 1"),
        ("int8[?]*", arrays(("i8", [-1, 2]), ("i1", [0])), [2, 1], "v[*]: no tensor has the shape (-1,)"),
        ("int8[?,?]*", arrays(("i8", [0, 2**62]), ("i1", [])), [1, 0], "v[*]: no tensor has the shape (0, 461"),
        ("int8[...]*", arrays(("i8", [1]), ("i8", []), ("i1", [])), [1, 0, 0], "v[*]: its ranks need 1 sizes, there"),
        ("int8[...]*", arrays(("i8", [-1]), ("i8", []), ("i1", [])), [1, 0, 0], "v[*]: a tensor of -1 dimensions"),
        ("int8[...]*", arrays(("i8", [2**40]), ("i8", []), ("i1", [])), [1, 0, 0], "v[*]: a tensor of 1099511627776"),
    ],
)
def test_bytes_that_are_no_value_are_refused(notation: str, parts: list[Any], sizes: list[int], told: str) -> None:
    """What only the bytes can say wrong is refused when the value is put together."""
    with pytest.raises(ValueMismatch, match="to mend: ") as caught:
        value_from(parse(notation), parts, sizes, "v")
    assert text_of(caught).startswith(told)
