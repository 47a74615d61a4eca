"""Golden bytes: every wire form that was ever written must still decode.

`golden.json` holds, for each codec, arrays as their raw little-endian bytes, the code
that was written, and what it decoded to.  Entries are added, never changed.
"""

from __future__ import annotations

import itertools
import json
import math
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


def plain_terngrad(data, size):
    """Scales, then five digits a byte, each block of 4096 on its own."""
    scale, lines = scales(data, size, 4096)
    digits = []
    for start in range(0, size, 4096):
        width = min(4096, size - start)
        line, lines = lines[: -(-width // 5)], lines[-(-width // 5) :]
        digits += [line[i // 5] // 3 ** (i % 5) % 3 - 1 for i in range(width)]
    assert not lines
    return [s * d for s, d in zip(scale, digits, strict=True)]


def plain_fp8(data, size):
    """Powers of two, then e4m3s."""
    count = -(-size // 4096)
    values = []
    for i, code in enumerate(data[count:]):
        exponent, fraction = code // 8 % 16, code % 8
        value = (1 + fraction / 8) * 2 ** (exponent - 7) if exponent else fraction / 8 * 2**-6
        value = min(value * 2.0 ** (data[i // 4096] - 127), float(np.finfo("f4").max))
        values.append(-value if code > 127 else value)
    return values


def plain_eden(data, size, bits=1):
    """Seed, scales, planes of centroids and signs; each block turned back by a Hadamard matrix and random signs."""
    if size < 32:
        return struct.unpack(f"<{size}f", data)
    blocks = max(1, size // 4096)
    (seed,) = struct.unpack("<Q", data[:8])
    scale = np.array(struct.unpack(f"<{blocks}f", data[8 : 8 + 4 * blocks]), np.float32)
    codes = np.array(planes(data[8 + 4 * blocks :], size, bits))
    values = np.array(lloyd(bits), np.float32)[codes % 2 ** (bits - 1)]
    values[codes >= 2 ** (bits - 1)] *= -1
    return np.concatenate([own * s for own, s in zip(turned_back(values, seed), scale, strict=True)])


def plain_thc(data, size, bits):
    """Seed, sizes, planes of codes: the steps from the middle of each block's grid, turned back."""
    if not size:
        return []
    blocks = max(1, size // 4096)
    (seed,) = struct.unpack("<Q", data[:8])
    sizes = struct.unpack(f"<{blocks}f", data[8 : 8 + 4 * blocks])
    codes = np.array(planes(data[8 + 4 * blocks :], size, bits))
    reach = {2: 2.24, 3: 2.65, 4: 3.0, 5: 3.32, 6: 3.62, 7: 3.9, 8: 4.17}[bits]
    steps = np.array([s * (2 * reach / (2**bits - 1)) for s in sizes], np.float32)
    steps = np.repeat(steps, [4096] * (blocks - 1) + [size - 4096 * (blocks - 1)])
    middles = codes.astype(np.float32) - np.float32((2**bits - 1) / 2)
    return np.concatenate([*turned_back(middles * steps, seed)])


def plain_powersgd(data, size, rank, shape=()):
    """Two thin matrices, rows of the one times rows of the other; what is no matrix as it is."""
    if len(shape) < 2 or rank * (shape[0] + size // shape[0]) >= size:
        return struct.unpack(f"<{size}f", data)
    rows, columns = shape[0], size // shape[0]
    numbers = struct.unpack(f"<{rank * (rows + columns)}f", data)
    left, right = numbers[: rank * rows], numbers[rank * rows :]
    return [
        math.fsum(left[i * rank + r] * right[j * rank + r] for r in range(rank))
        for i in range(rows)
        for j in range(columns)
    ]


def turned_back(values, seed):
    """Yield each block of `values` as it was before two random turns, the last one before six of its own kind."""
    size, blocks = values.size, max(1, values.size // 4096)
    words = np.random.Philox(key=seed).random_raw(blocks * 2 * 64 + 6 * 128 + 1).astype("<u8")
    minus = np.unpackbits(words.view(np.uint8), bitorder="little").astype(bool)
    for b in range(blocks):
        own = values[b * 4096 : (b + 1) * 4096 if b < blocks - 1 else size]
        here = minus[b * 2 * 4096 :]
        if own.size == 4096:
            for turn in (1, 0):
                own = hadamard(own.reshape(64, 64).T.reshape(-1), [2**i for i in range(12)])
                own = np.where(here[turn * 4096 :][:4096], -own, own) / np.float32(64)
        else:
            order = min(4096, 2 ** (own.size.bit_length() - 1))
            along = -(-own.size // 16) * 16
            mixed = np.argsort([*range(0, own.size, 2), *range(1, own.size, 2)])
            for turn in range(5, -1, -1):
                own = own[mixed] if turn % 2 else np.concatenate([own[own.size - order :], own[: own.size - order]])
                front = hadamard(own[:order], [2**i for i in range(order.bit_length() - 1)])
                own = np.concatenate([front * np.float32(order**-0.5), own[order:]])
                own = np.where(here[turn * along :][: own.size], -own, own)
        yield own


def hadamard(values, strides):
    """Return the sums and differences of float32 values that are `strides` apart, one stride after another."""
    at = np.arange(values.size)
    for stride in strides:
        other = values[at ^ stride]
        values = np.where(at & stride, other - values, values + other)
    return values


def lloyd(bits):
    """Return the positive centroids that are the means of a normal distribution between their midpoints."""
    c = [(i + 0.5) * 3 / 2 ** (bits - 1) for i in range(2 ** (bits - 1))]
    for _ in range(3000):
        edges = [0.0, *((a + b) / 2 for a, b in itertools.pairwise(c)), 40.0]
        density = [math.exp(-e * e / 2) / math.sqrt(2 * math.pi) for e in edges]
        above = [math.erfc(e / math.sqrt(2)) / 2 for e in edges]
        c = [(density[i] - density[i + 1]) / (above[i] - above[i + 1]) for i in range(len(c))]
    return c


def plain_topk(data, size, rest, fraction):
    """How many of each 65536, and where in them; or a bitmap; then the values."""
    count = max(1, round(fraction * size)) if size else 0
    blocks, bitmap = -(-size // 65536), -(-size // 8)
    if bitmap <= 4 * blocks + 2 * count:
        kept, data = [i for i in range(size) if data[i // 8] >> i % 8 & 1], data[bitmap:]
    else:
        counts = struct.unpack(f"<{blocks}I", data[: 4 * blocks])
        low = struct.unpack(f"<{count}H", data[4 * blocks : 4 * blocks + 2 * count])
        kept = [65536 * b + at for b, at in zip((b for b, n in enumerate(counts) for _ in range(n)), low, strict=True)]
        data = data[4 * blocks + 2 * count :]
    return placed(kept, rest(data, count), size)


def plain_randomk(data, size, rest, fraction, shared):
    """A seed, which draws one element of each stratum; then the values, times what they stand for."""
    count = max(1, round(fraction * size)) if size else 0
    head = 8 if size else 0
    words = np.random.Philox(key=int.from_bytes(data[:head], "little")).random_raw(count // 2 + 1).tolist()
    kept = []
    for j in range(count):
        u = (words[j // 2] >> 32 * (j % 2) & 0xFFFFFFFF) / 2**32
        start, across = divmod(j * size, count)  # of an element that begins in the stratum before: its part there
        chance = (count - across) / (size - across)
        if kept and kept[-1] == start:
            kept.append(start + 1 + int(u * ((size - count + across) / count)))
        elif u < chance:
            kept.append(start)
        else:
            kept.append(start + 1 + int((u - chance) / (1 - chance) * ((size - count + across) / count)))
    values = [np.float32(v) * np.float32(size / count) for v in rest(data[head:], count)]
    largest = np.finfo("f4").max
    return placed(kept, [min(max(v, -largest), largest) for v in values], size)


def plain_sketch(data, size, rest, rows, fraction):
    """A seed, then rows of cells; an element is the mean of those that it is in, under its signs."""
    columns = max(1, round(fraction * size / rows)) if size else 0
    head = 8 if size else 0
    words = np.random.Philox(key=int.from_bytes(data[:head], "little")).random_raw(rows * size // 2 + 1).tolist()
    cells = np.array(rest(data[head:], rows * columns), np.float32).reshape(rows, columns)
    estimates = []
    for i in range(size):
        estimate = np.float32(0)
        for row in range(rows):
            at = row * size + i
            number = words[at // 2] >> 32 * (at % 2) & 0xFFFFFFFF
            cell = cells[row, (number >> 1) * columns >> 31]
            estimate += -cell if number % 2 else cell
        estimates.append(estimate * np.float32(1 / rows))
    return estimates


def placed(kept, values, size):
    """Return the values where they belong, and zeros elsewhere."""
    whole = [0.0] * size
    for at, value in zip(kept, values, strict=True):
        whole[at] = value
    return whole


def plain_fp16(data, size):
    """Half floats."""
    return struct.unpack(f"<{size}e", data)


def plain_bf16(data, size):
    """The upper halves of float32s."""
    return [struct.unpack("<f", b"\0\0" + data[2 * i : 2 * i + 2])[0] for i in range(size)]


def plain_none(data, size):
    """Float32s."""
    return struct.unpack(f"<{size}f", data)


def plain_bytes(name, data):
    """A frame; for auto a tag before it: 0 where there is none, or by how many bytes elements were shuffled."""
    width, frame = (data[0], data[1:]) if name == "auto" and data else (1, data)
    if not frame or not width:
        return frame
    shuffled = zstandard.ZstdDecompressor().decompress(frame)
    count = len(shuffled) // width
    elements = [shuffled[place * count + i] for i in range(count) for place in range(width)]
    return bytes(elements) + shuffled[count * width :]


PLAIN = {
    "none": plain_none,
    "fp16": plain_fp16,
    "bf16": plain_bf16,
    "int8": plain_int8,
    "qsgd": plain_qsgd,
    "sign": plain_sign,
    "eden": plain_eden,
    "drive": plain_eden,
    "terngrad": plain_terngrad,
    "fp8": plain_fp8,
    "thc": plain_thc,
}
SHORT = {"topk": plain_topk, "randomk": plain_randomk, "sketch": plain_sketch}

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
    for stage in c.byte_stages:
        data = plain_bytes(stage.name, data)
    with np.errstate(over="ignore"):
        values = plain(c.config, data, t.size, shape=t.shape)
        assert np.array(values, np.float64).astype(np.float32).tobytes().hex() == entry["decoded"]


def plain(config, data, size, shape=()):
    """Return the values in `data`, by the plain decoder of the first stage, whose floats are the next one's."""
    [(name, options)] = config[0].items()
    if name == "powersgd":
        return plain_powersgd(data, size, shape=shape, **options)
    if name in SHORT:
        return SHORT[name](data, size, lambda short, count: plain(config[1:], short, count), **options)
    return PLAIN[name](data, size, **options)


@pytest.mark.parametrize("size", [1, 31, 300, 4096, 8191, 12_289])
@pytest.mark.parametrize("bits", [2, 4, 7])
def test_thc_decodes_by_another_decoder(bits, size):
    """Whole blocks and every kind of last block, of sizes that are no powers of two, bit for bit."""
    x = np.random.default_rng(size).standard_normal(size).astype(np.float32)
    data = codec(f"thc({bits})").encode(x)
    y = codec(f"thc({bits})").decode(data, TensorType("float32", (size,)))
    assert (np.array(plain_thc(data, size, bits), np.float32) == y).all()


def test_powersgd_decodes_by_another_decoder():
    """Matrices whose products are exact in float32, whatever the order of their sums."""
    random = np.random.default_rng(0)
    left, right = random.integers(-8, 9, (20, 4)) / 8, random.integers(-99, 100, (24, 4))
    data = np.concatenate([left.reshape(-1), right.reshape(-1)]).astype("<f4").tobytes()
    y = codec("powersgd").decode(data, TensorType("float32", (20, 4, 6)))
    assert y.reshape(-1).tolist() == list(plain_powersgd(data, 480, 4, (20, 4, 6))) == (left @ right.T).ravel().tolist()


@pytest.mark.parametrize("size", [31, 32, 300, 4095, 4096, 8191, 12_289])
@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_eden_decodes_by_another_decoder(bits, size):
    """Whole blocks and every kind of last block, bit for bit."""
    x = np.random.default_rng(size).standard_normal(size).astype(np.float32)
    data = codec(f"eden({bits})").encode(x)
    y = codec(f"eden({bits})").decode(data, TensorType("float32", (size,)))
    plain = np.array(plain_eden(data, size, bits), np.float32)
    assert (plain.view(np.uint32) == y.view(np.uint32)).all()
