"""Forecasts are the bytes that messages take."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierfed.codecs import codec
from tierfed.errors import CodecError
from tierfed.types import to_type
from tierfed.types.values import zero
from tierfed.wire.forecast import Forecast, check_carried
from tierfed.wire.message import encode_message

TYPES = (
    "int32",
    "float32[10]",
    "<w1=float32[784,64],b1=float32[64],n=int64>",
    "<a=float64[4095],b=float32[4096],c=bool[7]>",
    "float32[300000]",
    "<float32[262144],float32[262145]>",
    "float16[600000]",
)
IDENTS: tuple[dict[str, Any], ...] = (
    {"m": "down", "inv": "0123abcd-7", "att": 1, "site": "1.0"},
    {"m": "up", "inv": "0123abcd-70", "att": 1, "site": "2.0", "member": "c" * 120, "counts": {"CLIENTS": 1}},
)


@given(
    st.lists(st.tuples(st.sampled_from(TYPES), st.sampled_from([None, 0, 1, 3])), min_size=0, max_size=3),
    st.sampled_from(["none", "int8", "bf16"]),
    st.sampled_from(IDENTS),
)
def test_it_is_what_a_message_counts(chosen: list[tuple[str, int | None]], spec: str, ident: dict[str, Any]) -> None:
    """For codecs of fixed size, a forecast is the number of bytes of the message, to the byte."""
    rows, slots = [], []
    for i, (text, count) in enumerate(chosen):
        t = to_type(text)
        value = zero(t)
        rows.append((f"v{i}", t, value if count is None else [value] * count))
        slots.append((f"v{i}", t, count))
    message = encode_message(ident, rows, codec(spec), many={n for n, _, c in slots if c is not None})
    for _ in message:
        pass
    forecast = Forecast.of(slots, codec(spec))
    assert forecast is not None and forecast.exact
    assert forecast.wire_bytes(ident) == message.wire_bytes
    assert forecast.raw_bytes(ident) == message.raw_bytes
    assert len(forecast.payloads) == message.frames


def test_behind_zstd_it_is_the_number_before() -> None:
    """A forecast of int8+zstd is that of int8, but for the name in the header, and is not called exact."""
    slots = [("v", to_type("float32[100000]"), None)]
    packed, plain = Forecast.of(slots, codec("int8+zstd")), Forecast.of(slots, codec("int8"))
    assert packed is not None and plain is not None
    assert packed.payloads == plain.payloads and not packed.exact and plain.exact


def test_a_small_message_is_exact_under_any_codec() -> None:
    """What goes raw is of one size, whatever the link's codec."""
    forecast = Forecast.of([("v", to_type("float32[100]"), None)], codec("int8+zstd"))
    assert forecast is not None and forecast.exact


@pytest.mark.parametrize("text", ["float32[?]", "str", "<a=int32,b=str[2]>", "int32*", "<x=float32[3],y=int64[?,2]>"])
def test_open_sizes_are_not_forecast(text: str) -> None:
    """Where the values decide, there is no forecast."""
    assert Forecast.of([("v", to_type(text), None)], codec("none")) is None


@pytest.mark.parametrize(
    ("text", "count", "where"),
    [
        ("<a=float32[10],b=int32[5000]>", None, "v.b"),
        ("<float32[?],int32[64,64]>", None, "v[1]"),
        ("bool[4096]", 2, "v[*]"),
    ],
)
def test_a_dtype_that_is_not_carried_is_named(text: str, count: int | None, where: str) -> None:
    """A large tensor of another dtype is refused with its path, though other sizes are open."""
    with pytest.raises(CodecError) as caught:
        check_carried([("v", to_type(text), count)], codec("int8"))
    assert caught.value.where == where
    assert "int8 carries" in caught.value.what and "use codec none" in str(caught.value.mend)


@pytest.mark.parametrize("text", ["int32[4095]", "float32[5000]", "int32[?]", "str[5000]", "int64[9000]*", "int8[0]"])
def test_what_may_be_carried_is_not_refused(text: str) -> None:
    """Small tensors go raw, floats are carried, and of open sizes nothing is known."""
    check_carried([("v", to_type(text), None)], codec("int8"))


def test_a_list_of_nobody_is_not_refused() -> None:
    """Where there are no values, none is too large."""
    check_carried([("v", to_type("int32[5000]"), 0)], codec("int8"))
