"""Messages under codecs with state: what names the base of a difference, and what is refused where it is not here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import wire_second_decoder

from tierfed.codecs import codec, link_codec
from tierfed.errors import NoBase, ProtocolError
from tierfed.node.bases import Base, Bases
from tierfed.node.keepers import MessageKeeper, Place
from tierfed.node.residuals import Residuals
from tierfed.types import parse
from tierfed.wire.forecast import Forecast
from tierfed.wire.frame import Frame, FrameDecoder, encode
from tierfed.wire.heading import digest_of
from tierfed.wire.keeping import base_name, has_base
from tierfed.wire.message import Message, MessageReader, encode_message

MODEL = parse("<w=float32[300,1000],b=float32[10],n=int64>")
FIRST = ((1, 0, 0, 0),)
PLACE = Place(("s-1", 1), "p", "> delta+int8", "1.0", FIRST)
IDENT = {"m": "down", "inv": "s-1", "att": 1, "site": "1.0"}


def model(seed: int, step: float = 1.0, before: Any = None) -> Any:
    """A model, or one a step further than another."""
    rng = np.random.default_rng(seed)
    w = (step * rng.standard_normal((300, 1000))).astype(np.float32)
    return (w if before is None else before[0] + w, np.full(10, seed, np.float32), np.int64(seed))


def sent(
    value: Any, base: Base | None = None, spec: str = "delta+int8", exactly: Mapping[str, Any] | None = None
) -> Any:
    """Return a message and the base that it makes."""
    keeper = MessageKeeper(PLACE, Residuals(), lambda path: False, base, exactly)
    message = encode_message(IDENT, [("m", MODEL, value)], link_codec(spec), keeper=keeper)
    return message, list(message) and keeper.new_base()


def frames(message: Message) -> list[Frame]:
    """Return its frames, as received."""
    return FrameDecoder().feed(b"".join(b"".join(encode(h, b)) for h, b in message))


def read(message: Message, bases: Bases | None = None, spec: str = "delta+int8") -> MessageReader:
    """Return the reader of a message, at who has these bases."""
    find = None if bases is None else bases.find(("s-2", 1), ("p", "1.0"), "c-0, site 1.0")
    reader = MessageReader([("m", MODEL)], link_codec(spec), where="c-0", find_base=find)
    for frame in frames(message):
        reader.feed(frame)
    return reader


def holding(base: Base) -> Bases:
    """Return the bases of who has this one."""
    bases = Bases(8)
    bases.put(("s-1", 1), ("p", "1.0"), base)
    bases.end(("s-1", 1), True, {})
    return bases


@pytest.mark.parametrize("spec", ["delta+int8", "delta+int8+zstd", "delta+none", "delta+clip(0.02)+bf16", "delta+sign"])
def test_both_ends_have_one_base(spec: str) -> None:
    """In full the value is exact; of differences, what is decoded is the next base, by every bit, at both ends."""
    first = model(0)
    message, base = sent(first, spec=spec)
    reader = read(message, spec=spec)
    (got,) = reader.decode()
    assert got[0].tobytes() == first[0].tobytes() and got[2] == 0
    second = model(1, 0.01, first)
    message, after = sent(second, base, spec)
    assert frames(message)[0].header["base"] == base.name == base_name(reader.based)
    reader = read(message, holding(Base(reader.based, base.name, FIRST)), spec)
    (got,) = reader.decode()
    assert got[0].tobytes() == after.arrays["m.w"].tobytes() == reader.based["m.w"].tobytes()
    assert got[1][0] == 1 and got[2] == 1  # what is small goes as it is
    assert 0 <= np.abs(got[0] - second[0]).max() < 0.06
    got[0][:] = 0  # what the program does with it is nothing to the base
    assert base_name(reader.based) == after.name


def test_the_loop_is_closed() -> None:
    """After twenty differences the error is that of one: what a code lost is in the next difference."""
    value = model(0)
    message, base = sent(value)
    errors = []
    for seed in range(1, 21):
        value = model(seed, 0.01, value)
        _, base = sent(value, base)
        errors.append(np.abs(base.arrays["m.w"] - value[0].reshape(-1)).max())
    assert max(errors) < 3 * errors[0] < 1e-3


def test_who_has_no_base_gets_in_full_what_the_others_decode() -> None:
    """The value in full is that of the others' next base, not the sender's own."""
    first, second = model(0), model(1, 0.01, model(0))
    _, base = sent(first)
    _, after = sent(second, base)
    message, same = sent(second, None, exactly=after.arrays)
    (got,) = read(message).decode()
    assert got[0].tobytes() == after.arrays["m.w"].tobytes() != second[0].tobytes()
    assert same.name == after.name and frames(message)[0].header["base"] is None


def test_a_base_of_another_shape_is_not_used() -> None:
    """A tensor that has another size than before goes in full."""
    _, base = sent(model(0))
    small = Base({"m.w": base.arrays["m.w"][:-1].copy()}, base.name, FIRST)
    assert frames(sent(model(1), small)[0])[0].header["base"] is None


def test_a_base_that_is_not_here_is_refused() -> None:
    """A header that names another base, or any where none is kept, gives no value: the error says which."""
    first = model(0)
    _, base = sent(first)
    message, after = sent(model(1, 0.01, first), base)
    with pytest.raises(ProtocolError, match="c-0: a difference where no base is kept"):
        read(message)
    for bases, here in ((Bases(8), "none"), (holding(after), after.name.hex()[:8])):
        reader = read(message, bases)
        with pytest.raises(NoBase, match=f"c-0, site 1.0: a difference to base {base.name.hex()[:8]}, here is {here}"):
            reader.decode()
        assert reader.based == {}
    liar = Base({"m.w": base.arrays["m.w"][:5000]}, base.name, FIRST)  # of that name, and of another size
    with pytest.raises(ProtocolError, match=r"c-0: m\.w is not in its base, or of another type"):
        read(message, holding(liar)).decode()


@pytest.mark.parametrize("base", [b"", b"1" * 15, "1" * 16, 7, [], {}])
def test_a_base_that_is_none_is_refused(base: Any) -> None:
    """Anything but 16 bytes or nil is no base."""
    frame = frames(sent(model(0))[0])[0]
    reader = MessageReader([("m", MODEL)], codec("delta+int8"), where="c-0", find_base=lambda name: {})
    with pytest.raises(ProtocolError, match="c-0: a header whose base is none, or one under a codec without"):
        reader.admit({**frame.header, "base": base}, len(frame.payload))


def test_a_base_stands_in_the_header_where_the_codec_has_one_and_nowhere_else() -> None:
    """A base under int8, or none under delta, is refused; a changed one breaks the digest."""
    header = {k: v for k, v in frames(sent(model(0))[0])[0].header.items() if k != "base"}
    with pytest.raises(ProtocolError, match="a header whose base is none, or one under a codec without"):
        MessageReader([("m", MODEL)], codec("delta+int8")).admit(header, 64)
    other = {**header, "codec": "int8", "base": None}
    with pytest.raises(ProtocolError, match="a header whose base is none, or one under a codec without"):
        MessageReader([("m", MODEL)], codec("int8")).admit(other, 64)
    first = frames(sent(model(0))[0])[0].header
    assert digest_of(first, [1]) != digest_of({**first, "base": bytes(16)}, [1]) != digest_of(header, [1])


def test_the_name_of_a_base_by_a_second_hand() -> None:
    """BLAKE2b-16 of path, a zero byte and CRC32C, tensor by tensor in the order of the paths; it does not change."""
    arrays = {"m.w": np.arange(5000, dtype="<f4"), "m.a": np.arange(4096, dtype="<f8")}
    said = b"".join(p.encode() + b"\0" + wire_second_decoder.crc32c(a.tobytes()).to_bytes(4, "little")
                    for p, a in sorted(arrays.items()))  # fmt: skip
    assert base_name(arrays) == hashlib.blake2b(said, digest_size=16).digest()
    assert base_name(arrays).hex() == "32f5f48ae9b46410f6a814dfee2227fb"


def test_rules_may_give_some_tensors_a_base() -> None:
    """Of a link with rules, the tensors whose codec has differences are in the base, the others go as theirs says."""
    spec = '{"default": "int8", "*/w": "delta+bf16"}'
    assert has_base(link_codec(spec)) and not has_base(link_codec('{"default": "int8", "*/w": "bf16"}'))
    t = parse("<v=float32[5000],w=float32[5000]>")
    value = tuple(np.random.default_rng(n).standard_normal(5000).astype(np.float32) for n in range(2))
    keeper = MessageKeeper(PLACE, Residuals(), lambda path: False)
    message = encode_message(IDENT, [("m", t, value)], link_codec(spec), keeper=keeper)
    reader = MessageReader([("m", t)], link_codec(spec))
    for frame in frames(message):
        reader.feed(frame)
    (got,) = reader.decode()
    assert set(reader.based) == {"m.w"} and got[1].tobytes() == value[1].tobytes() != value[0].tobytes()
    assert 0 < np.abs(got[0] - value[0]).max() < 0.02


def test_a_forecast_is_that_of_a_difference() -> None:
    """To the byte, headers with the name of the base included; in full it is that of the first message."""
    _, base = sent(model(0))
    coder = codec("delta+int8")
    for message, in_full in ((sent(model(0))[0], True), (sent(model(1), base)[0], False)):
        list(message)
        forecast = Forecast.of([("m", MODEL, None)], coder, in_full=in_full)
        assert forecast is not None and forecast.exact
        assert forecast.wire_bytes(IDENT) == message.wire_bytes and forecast.raw_bytes(IDENT) == message.raw_bytes
    int8 = Forecast.of([("m", MODEL, None)], codec("int8"))
    assert int8 is not None and 0 <= forecast.wire_bytes(IDENT) - int8.wire_bytes(IDENT) <= 64


def test_a_message_coded_again_has_the_same_bytes() -> None:
    """Iterating again takes what was kept before the message, not what it has left."""
    _, base = sent(model(0))
    residuals = Residuals()
    for spec, relative in (("delta+int8", base), ("error_feedback+sign", None)):
        keeper = MessageKeeper(PLACE, residuals, lambda path: True, relative)
        message = encode_message(IDENT, [("m", MODEL, model(1))], codec(spec), keeper=keeper)
        once = [f.payload.tobytes() for f in frames(message)]
        keeper.done()
        assert once == [f.payload.tobytes() for f in frames(message)]
