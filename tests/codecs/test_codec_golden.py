"""Golden bytes: every wire form that was ever written must still decode.

`golden.json` holds, for each codec, arrays as their raw little-endian bytes, the code
that was written, and what it decoded to.  Entries are added, never changed.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import zstandard

from tierfed.codecs import codec
from tierfed.types import TensorType, parse

# A second decoder, written from the wire forms alone: plain Python, one element at a time, float32 results.


def scales(data, size, block):
    """Return a float32 scale an element, and the rest of the data."""
    count = -(-size // block)
    read = struct.unpack(f"<{count}f", data[: 4 * count])
    return [read[i // block] for i in range(size)], data[4 * count :]


def plain_int8(data, size, stochastic):
    """Scales, then signed bytes."""
    scale, codes = scales(data, size, 256)
    return [s * c for s, c in zip(scale, struct.unpack(f"<{size}b", codes), strict=True)]


def planes(data, size, bits):
    """Return the codes whose bits are in as many planes."""
    row = -(-size // 8)
    assert len(data) == bits * row
    return [sum((data[p * row + i // 8] >> i % 8 & 1) << p for p in range(bits)) for i in range(size)]


def plain_qsgd(data, size, bits):
    """Scales, then planes of what is the level above the lowest."""
    scale, codes = scales(data, size, 256)
    return [s * (c - 2 ** (bits - 1) + 1) for s, c in zip(scale, planes(codes, size, bits), strict=True)]


def plain_sign(data, size):
    """Means, then a plane of the signs."""
    mean, signs = scales(data, size, 4096)
    return [-m if s else m for m, s in zip(mean, planes(signs, size, 1), strict=True)]


def plain_fp16(data, size):
    """Half floats."""
    return struct.unpack(f"<{size}e", data)


def plain_bf16(data, size):
    """The upper halves of float32s."""
    return [struct.unpack("<f", b"\0\0" + data[2 * i : 2 * i + 2])[0] for i in range(size)]


def plain_none(data, size):
    """Float32s."""
    return struct.unpack(f"<{size}f", data)


PLAIN = {
    "none": plain_none,
    "fp16": plain_fp16,
    "bf16": plain_bf16,
    "int8": plain_int8,
    "qsgd": plain_qsgd,
    "sign": plain_sign,
}

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())
FLOAT32 = [entry for entry in GOLDEN if parse(entry["type"]).name == "float32"]


def test_every_codec_has_golden_bytes(specs):
    """A codec that is added to the table brings its bytes."""
    assert set(specs) <= {entry["codec"] for entry in GOLDEN}


@pytest.mark.parametrize("entry", GOLDEN, ids=lambda e: f"{e['codec']}-{e['type']}")
def test_golden_bytes_decode(entry):
    """What was written decodes to the bits that it decoded to, and is still written so, but for compressors."""
    c = codec(entry["codec"])
    t = parse(entry["type"])
    assert isinstance(t, TensorType)
    code = bytes.fromhex(entry["code"])
    assert c.decode(code, t).tobytes().hex() == entry["decoded"]
    if c.fixed_size:  # another release of a compressor may write other bytes
        assert c.encode(np.frombuffer(bytes.fromhex(entry["array"]), t.dtype).reshape(t.shape)).hex() == entry["code"]


@pytest.mark.parametrize("entry", FLOAT32, ids=lambda e: f"{e['codec']}-{e['type']}")
def test_golden_bytes_decode_by_another_decoder(entry):
    """A plain reading of the wire form gives the same float32s, bit for bit."""
    c = codec(entry["codec"])
    t = parse(entry["type"])
    data = bytes.fromhex(entry["code"])
    for _ in c.byte_stages:
        data = zstandard.ZstdDecompressor().decompress(data) if data else b""
    [(name, options)] = c.config[0].items()
    values = PLAIN[name](data, t.size, **options)
    with np.errstate(over="ignore"):
        assert np.array(values, np.float64).astype(np.float32).tobytes().hex() == entry["decoded"]
