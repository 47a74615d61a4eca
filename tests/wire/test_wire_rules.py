"""Messages under rules by tensor name: each column by its own codec, both ends alike, forecasts to the byte."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tierfed.codecs import codec, link_codec
from tierfed.errors import CodecError, ProtocolError
from tierfed.types import to_type
from tierfed.wire.forecast import Forecast, check_carried, shares, tensor_names
from tierfed.wire.frame import Frame
from tierfed.wire.message import MessageReader, encode_message

TEXT = "<w=float32[300000],bias=float32[5000],step=int64[4096],small=float32[10]>"
RULES = {"default": "int8", "step": "none", "*/bias": "bf16"}
IDENT: dict[str, Any] = {"m": "up", "inv": "0123abcd-7", "att": 1, "site": "2.0", "member": "c-0"}


def value() -> tuple[Any, ...]:
    """Return a value of the type."""
    random = np.random.default_rng(0)
    normal = [random.standard_normal(n).astype(np.float32) for n in (300_000, 5000, 10)]
    return normal[0], normal[1], np.arange(4096), normal[2]


def sent(spec: object, many: bool = False) -> list[Any]:
    """Return the frames of a message, and its counts."""
    held = [value(), value()] if many else value()
    message = encode_message(IDENT, [("v1", to_type(TEXT), held)], link_codec(spec), many=["v1"] if many else ())
    frames = [(header, b"".join(bytes(b) for b in sealed), sealed.crc) for header, sealed in message]
    return [message, frames]


def received(frames: list[Any], spec: object, many: bool = False) -> MessageReader:
    """Return a reader that has taken the frames."""
    reader = MessageReader([("v1", to_type(TEXT), many)], link_codec(spec))
    for header, payload, crc in frames:
        reader.feed(Frame(header, memoryview(payload), crc, 0))
    return reader


@pytest.mark.parametrize("many", [False, True])
def test_each_column_has_its_own_codec(many: bool) -> None:
    """What is decoded of each tensor is what its codec decodes alone; also of the items of a list."""
    _, frames = sent(RULES, many)
    got = received(frames, RULES, many).decode()[0]
    for w, bias, step, small in got if many else [got]:
        wanted = value()
        for array, spec, name in ((w, "int8", 0), (bias, "bf16", 1)):
            x = wanted[name]
            t = to_type(f"float32[{x.size}]")
            chunks = [x[at : at + (1 << 18)] for at in range(0, x.size, 1 << 18)]
            alone = [codec(spec).decode(codec(spec).encode(c), to_type(f"float32[{c.size}]")) for c in chunks]
            assert str(t) and (array == np.concatenate(alone)).all()
        assert (step == wanted[2]).all() and (small == wanted[3]).all()


def test_sums_are_those_of_decodes() -> None:
    """Adding a message in place is adding its decoded tensors, whatever each one's codec."""
    _, frames = sent(RULES)
    reader = received(frames, RULES)
    sums = [np.ones(300_000, np.float32), np.ones(5000, np.float32), np.ones(4096, np.int64), np.ones(10, np.float32)]
    reader.accumulate_into(sums)
    assert all((s == d + np.ones(1, s.dtype)).all() for s, d in zip(sums, reader.decode()[0], strict=True))


@pytest.mark.parametrize("many", [False, True])
def test_forecasts_are_exact(many: bool) -> None:
    """To the byte, headers with the rules' text included."""
    message, _ = sent(RULES, many)
    forecast = Forecast.of([("v1", to_type(TEXT), 2 if many else None)], link_codec(RULES))
    assert forecast is not None and forecast.exact
    assert (forecast.wire_bytes(IDENT), forecast.raw_bytes(IDENT)) == (message.wire_bytes, message.raw_bytes)


def test_a_forecast_is_exact_where_only_small_tensors_are_packed() -> None:
    """A rule with zstd for what goes raw anyway does not make the bytes unknown; one for a large tensor does."""
    for pattern, exact in (("small", True), ("*/bias", False)):
        coder = link_codec({"default": "int8", "step": "none", pattern: "bf16+zstd"})
        forecast = Forecast.of([("v1", to_type(TEXT), None)], coder)
        assert forecast is not None and forecast.exact is exact


def test_both_ends_must_have_the_same_rules() -> None:
    """Rules in another order are other rules: the header says which, and the reader refuses before it decodes."""
    _, frames = sent(RULES)
    other = {"default": "int8", "*/bias": "bf16", "step": "none"}
    with pytest.raises(ProtocolError, match="expected the codec"):
        received(frames, other)
    assert received(frames, {"step": ["none"], "*.bias": "bf16", "default": "int8"}).complete


def test_a_tensor_that_its_rule_does_not_carry_is_named() -> None:
    """The path, what its codec carries, and the rule to write."""
    for check in (
        lambda c: check_carried([("v1", to_type(TEXT), None)], c),
        lambda c: encode_message(IDENT, [("v1", to_type(TEXT), value())], c),
        lambda c: MessageReader([("v1", to_type(TEXT))], c).admit(sent(RULES)[1][0][0] | {"codec": str(c)}, 0),
    ):
        with pytest.raises(CodecError) as error:
            check(link_codec({"default": "int8", "*/bias": "none"}))
        assert error.value.where == "v1.step" and "int8 carries" in error.value.what
        assert error.value.mend == 'give it a rule of its own, before the others: "v1/step": none'
    check_carried([("v1", to_type(TEXT), None)], link_codec(RULES))


def test_an_error_in_a_value_names_its_path() -> None:
    """A NaN under one rule's codec is told with the tensor that has it."""
    held = value()
    held[1][17] = np.nan
    with pytest.raises(CodecError, match="element 17") as error:
        list(encode_message(IDENT, [("v1", to_type(TEXT), held)], link_codec({**RULES, "*/bias": "int8"})))
    assert error.value.where == "v1.bias"


def test_names_and_shares_of_a_message() -> None:
    """What rules can name, and how much of the floats each codec has; strings and nobody's values are left out."""
    slots = [
        ("v1", to_type(TEXT), None),
        ("v2", to_type("<a=str[3],b=float32[?]*>"), None),
        ("v3", to_type("int32"), 0),
    ]
    assert tensor_names(slots) == ["v1/w", "v1/bias", "v1/step", "v1/small", "v2/b/*"]
    mix = shares(slots[:1], link_codec(RULES))
    assert mix == [(codec("int8"), 300_000), (codec("bf16"), 5000), (codec("none"), 10)]
    assert shares(slots, link_codec(RULES)) is None
