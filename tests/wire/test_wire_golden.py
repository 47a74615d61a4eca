"""Golden bytes: frames and messages as version 1 writes them; each must be read as long as version 1 is.

`golden/version1.txt` holds a name and the bytes in hexadecimal, a line each.  A line is
never changed: a change of the format is a new version with a file of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wire_second_decoder

from tierfed.codecs import codec
from tierfed.types import Type, parse
from tierfed.types.dtypes import dtype_of
from tierfed.types.values import Rows, same
from tierfed.wire.frame import FrameDecoder, encode
from tierfed.wire.message import MessageReader, encode_message

GOLDEN: dict[str, str] = dict(
    line.split() for line in (Path(__file__).parent / "golden" / "version1.txt").read_text().splitlines() if line
)

FRAMES: dict[str, tuple[dict[str, Any], bytes]] = {
    "frame-empty": ({}, b""),
    "frame-plain": ({"none": None, "yes": True, "n": -129, "x": 0.5, "s": "ä", "b": b"\x00", "l": [1, {}]}, b"payload"),
    "frame-aligned": ({"link": "hello"}, bytes(range(64))),
}


def _all_dtypes() -> tuple[str, Any]:
    names = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
             "float16", "float32", "float64", "bfloat16", "complex64", "complex128")  # fmt: skip
    notation = "<" + ",".join(f"{n}={n}[2]" for n in names) + ",str=str[2]>"
    numbers = tuple(np.array([0, 1] if n == "bool" else [1, 2], dtype_of(n)) for n in names)
    return notation, (*numbers, np.array(["ab", "ö"], object))


_F4 = np.float32
_SAWTOOTH = (np.arange(4096) % 255 - 127).astype("f4")

MESSAGES: dict[str, tuple[str, str, Any, bool]] = {
    "message-dtypes": ("none", *_all_dtypes(), False),
    "message-scalars": ("none", "<n=int32,s=str,x=float64>", (np.int32(-1), "naïve", np.float64(0.1)), False),
    "message-open": ("none", "<a=float32[?,2],b=int8[...]>", (np.ones((3, 2), "f4"), np.ones((1, 1, 2), "i1")), False),
    "message-sequence": (
        "none",
        "<x=float32[?],y=str,<>>*",
        Rows([(np.ones(2, "f4"), "a", ()), (np.ones(0, "f4"), "", ())]),
        False,
    ),
    "message-ranks": ("none", "float32[...]*", Rows([_F4(1), np.ones((1, 2), "f4")]), False),
    "message-many": ("none", "<m=float32[2],n=int32>", [(np.full(2, i, "f4"), np.int32(i)) for i in range(3)], True),
    "message-large": ("none", "uint8[4096]", (np.arange(4096) % 251).astype("u1"), False),
    "message-int8": ("int8", "<w=float32[64,64],b=float32[2]>", (_SAWTOOTH.reshape(64, 64), np.ones(2, "f4")), False),
    "message-bf16": ("bf16", "float32[4096]", _SAWTOOTH, False),
    "message-zstd": ("int8+zstd", "float32[4096]", _SAWTOOTH, False),
}
IDENT = {"run": "0badcafe", "site": "2.0", "member": "c3", "round": 7, "attempt": 0}


def written(name: str) -> bytes:
    """Return the bytes that this version writes for `name`."""
    if name in FRAMES:
        return b"".join(encode(FRAMES[name][0], [FRAMES[name][1]]))
    spec, notation, value, many = MESSAGES[name]
    message = encode_message(IDENT, [("v", parse(notation), value)], codec(spec), many={"v"} if many else ())
    return b"".join(b"".join(encode(h, b)) for h, b in message)


def test_the_file_has_every_case() -> None:
    """No case is without its golden bytes."""
    assert set(GOLDEN) == {*FRAMES, *MESSAGES}


@pytest.mark.parametrize("name", [n for n in GOLDEN if n != "message-zstd"])  # its bytes are the library's choice
def test_what_is_written_has_not_changed(name: str) -> None:
    """Frames and messages are written as ever, byte for byte."""
    assert written(name).hex() == GOLDEN[name]


@pytest.mark.parametrize("name", FRAMES)
def test_golden_frames_are_read(name: str) -> None:
    """Both decoders read the frames of version 1."""
    data = bytes.fromhex(GOLDEN[name])
    (frame,) = FrameDecoder().feed(data)
    assert (frame.header, bytes(frame.payload)) == FRAMES[name]
    assert [(h, p) for h, p, _ in wire_second_decoder.frames(data)] == [FRAMES[name]]


@pytest.mark.parametrize("name", MESSAGES)
def test_golden_messages_are_read(name: str) -> None:
    """Both decoders read the messages of version 1 (the second, those whose columns are raw)."""
    spec, notation, value, many = MESSAGES[name]
    t: Type = parse(notation)
    data = bytes.fromhex(GOLDEN[name])
    reader = MessageReader([("v", t, many)], codec(spec))
    assert [reader.feed(f) for f in FrameDecoder().feed(data)][-1]
    decoded = [reader.decode()]
    if spec == "none":
        decoded.append(wire_second_decoder.message(data, [("v", t, many)])[1])
    for (again,) in decoded:
        pairs = list(zip(value, again, strict=True)) if many else [(value, again)]
        assert all(same(a, b, t) for a, b in pairs)
