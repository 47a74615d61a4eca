"""A second decoder, written from docs/wire.md alone: bytes to frames, and messages under `none` to values.

Slow and plain: its own CRC32C, its own msgpack, no numpy but for the values.  It shares
no code with tierfed.wire, so what both read alike is the format and not a habit.
"""

from __future__ import annotations

import hashlib
import math
import struct
from typing import Any

import numpy as np

from tierfed.types import SequenceType, StructType, TensorType, Type
from tierfed.types.values import Rows


def crc32c(data: bytes) -> int:
    """Return the CRC32C of `data`, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


class Unpacker:
    """msgpack, as far as headers use it."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, n: int) -> bytes:
        """Return the next `n` bytes."""
        self.at += n
        return self.data[self.at - n : self.at]

    def number(self, form: str) -> Any:
        """Return the next big-endian number."""
        return struct.unpack(">" + form, self.take(struct.calcsize(form)))[0]

    def value(self) -> Any:
        """Return the next value."""
        b = self.take(1)[0]
        if b < 0x80 or b >= 0xE0:
            return b if b < 0x80 else b - 256
        if b < 0x90:
            return self.map(b & 15)
        if b < 0xA0:
            return [self.value() for _ in range(b & 15)]
        if b < 0xC0:
            return self.take(b & 31).decode()
        simple = {0xC0: None, 0xC2: False, 0xC3: True}
        if b in simple:
            return simple[b]
        numbers = {0xCB: "d", 0xCC: "B", 0xCD: "H", 0xCE: "I", 0xCF: "Q", 0xD0: "b", 0xD1: "h", 0xD2: "i", 0xD3: "q"}
        if b in numbers:
            return self.number(numbers[b])
        if b in (0xC4, 0xC5, 0xC6):
            return self.take(self.number("BHI"[b - 0xC4]))
        if b in (0xD9, 0xDA, 0xDB):
            return self.take(self.number("BHI"[b - 0xD9])).decode()
        if b in (0xDC, 0xDD):
            return [self.value() for _ in range(self.number("HI"[b - 0xDC]))]
        return self.map(self.number("HI"[b - 0xDE]))

    def map(self, n: int) -> dict[str, Any]:
        """Return a map of `n` entries."""
        return {self.value(): self.value() for _ in range(n)}


def frames(data: bytes) -> list[tuple[dict[str, Any], bytes, int]]:
    """Return the header, payload and payload CRC of each frame in `data`."""
    found, at = [], 0
    while at < len(data):
        magic, version, h, p, crc, head_crc = struct.unpack_from("<8sIIQII", data, at)
        assert (magic, version) == (b"TIERFED\n", 1)
        assert crc32c(data[at : at + 28] + data[at + 32 : at + 32 + h]) == head_crc
        body = at + -(-(32 + h) // 64) * 64
        payload = data[body : body + p]
        assert crc32c(payload) == crc
        found.append((Unpacker(data[at + 32 : at + 32 + h]).value(), payload, crc))
        end = body + -(-p // 64) * 64
        assert not any(data[at + 32 + h : body] + data[body + p : end])
        at = end
    return found


def message(data: bytes, slots: list[tuple[str, Type, bool]]) -> tuple[dict[str, Any], list[Any]]:
    """Return the first header of a message under `none`, and the held value of each slot."""
    told = frames(data)
    first = told[0][0]
    payloads = [payload for _, payload, _ in told]
    sizes = first["sizes"]
    if isinstance(sizes, int):
        sizes = [n for (n,) in struct.iter_unpack("<q", payloads.pop(0))]
    left = iter(sizes)
    columns: list[tuple[str, int]] = []  # dtype and number of elements
    builders = []
    for (_, t, many), (_, notation, items) in zip(slots, first["slots"], strict=True):
        assert notation == str(t)
        if many:
            builders.append([value(t, left, columns) for _ in range(items)])
        else:
            builders.append(value(t, left, columns))
    arrays = iter(unpacked(columns, payloads))
    values = [[b(arrays) for b in made] if isinstance(made, list) else made(arrays) for made in builders]
    said = {k: first[k] for k in ("codec", "ident", "sizes", "slots")}
    check = hashlib.blake2b(packed(said), digest_size=16)
    for _, _, crc in told:
        check.update(struct.pack("<I", crc))
    assert check.digest() == told[-1][0]["digest"]
    return first, values


def packed(value: Any) -> bytes:
    """Return the msgpack of `value`, keys sorted; for the small things that tests put in headers."""
    if isinstance(value, dict):
        return bytes([0x80 + len(value)]) + b"".join(packed(k) + packed(value[k]) for k in sorted(value))
    if isinstance(value, list):
        n = len(value)
        return (bytes([0x90 + n]) if n < 16 else struct.pack(">BH", 0xDC, n)) + b"".join(map(packed, value))
    if isinstance(value, str):
        raw = value.encode()
        n = len(raw)
        head = bytes([0xA0 + n]) if n < 32 else struct.pack(">BB" if n < 256 else ">BH", 0xD9 if n < 256 else 0xDA, n)
        return head + raw
    if value is None:
        return b"\xc0"
    for tag, form, most in ((0xCC, "B", 1 << 8), (0xCD, "H", 1 << 16), (0xCE, "I", 1 << 32)):
        if value < most:
            return bytes([value]) if value < 128 else struct.pack(">B" + form, tag, value)
    raise AssertionError(value)


def unpacked(columns: list[tuple[str, int]], payloads: list[bytes]) -> list[Any]:
    """Return each column, cut out of slabs or put together from chunks."""
    arrays: list[Any] = [None] * len(columns)
    widths = [TensorType(dtype).dtype.itemsize for dtype, _ in columns]
    slabs: list[list[tuple[int, int]]] = [[]]
    end = 0
    for i, (_, n) in enumerate(columns):
        if n < 4096:
            at = -(-end // 8) * 8
            if slabs[-1] and at + n * widths[i] > 1 << 20:
                slabs.append([])
                at = 0
            slabs[-1].append((i, at))
            end = at + n * widths[i]
    large = [i for i, (_, n) in enumerate(columns) if n >= 4096]
    left = iter(payloads)
    for slab in slabs if slabs[0] or not large else []:
        payload = next(left)
        for i, at in slab:
            arrays[i] = payload[at : at + columns[i][1] * widths[i]]
    for i in large:
        arrays[i] = b"".join(next(left) for _ in range(-(-columns[i][1] // 2**18)))
    assert next(left, None) is None
    return [np.frombuffer(a, TensorType(dtype).dtype) for a, (dtype, _) in zip(arrays, columns, strict=True)]


def value(t: Type, sizes: Any, columns: list[tuple[str, int]]) -> Any:
    """Note the columns of a value of `t`; return a function from all arrays to the value."""
    match t:
        case TensorType():
            known = [None] * next(sizes) if t.shape is None else t.shape
            shape = [next(sizes) if s is None else s for s in known]
            return leaf(t, [tuple(shape)], math.prod(shape), sizes, columns, lambda made: made[0])
        case StructType():
            parts = [value(e, sizes, columns) for e in t.parts()]
            return lambda arrays: tuple(p(arrays) for p in parts)
        case SequenceType():
            made = column(t.element, next(sizes), sizes, columns)
            return lambda arrays: Rows(made(arrays))
    raise AssertionError(t)


def column(t: Type, rows: int, sizes: Any, columns: list[tuple[str, int]]) -> Any:
    """Note the columns of `rows` values of `t`; return a function from all arrays to their list."""
    if isinstance(t, StructType):
        parts = [column(e, rows, sizes, columns) for e in t.parts()]
        return lambda arrays: (
            [tuple(row) for row in zip(*[p(arrays) for p in parts], strict=True)] or [()] * (0 if parts else rows)
        )
    assert isinstance(t, TensorType)
    if t.is_static:
        shape = tuple(s for s in t.shape or () if s is not None)
        return leaf(t, [shape] * rows, rows * math.prod(shape), sizes, columns, list)
    dims = rows * (t.shape or ()).count(None)
    if t.shape is None:
        dims = next(sizes)
        columns.append(("int64", rows))
    columns.append(("int64", dims))
    shapes: list[tuple[int, ...]] = []
    body = leaf(t, shapes, next(sizes), sizes, columns, list)

    def build(arrays: Any) -> list[Any]:
        ranks = next(arrays).tolist() if t.shape is None else None
        left = iter(next(arrays).tolist())
        for i in range(rows):
            known = [None] * ranks[i] if ranks is not None else t.shape or ()
            shapes.append(tuple(next(left) if s is None else s for s in known))
        made: list[Any] = body(arrays)
        return made

    return build


def leaf(
    t: TensorType, shapes: list[tuple[int, ...]], total: int, sizes: Any, columns: list[tuple[str, int]], then: Any
) -> Any:
    """Note the column of tensors of `shapes`, end to end; return a function that cuts it up."""
    if t.name == "str":
        columns += [("uint32", total), ("uint8", next(sizes))]
    else:
        columns.append((t.name, total))

    def build(arrays: Any) -> Any:
        flat: Any = next(arrays)
        if t.name == "str":
            text, start, words = next(arrays).tobytes(), 0, []
            for end in flat.tolist():
                words.append(text[start:end].decode())
                start = end
            flat = np.array([*words, None], object)[:-1]
        made, at = [], 0
        for shape in shapes:
            n = math.prod(shape)
            made.append(flat[at : at + n].reshape(shape) if shape else flat[at])
            at += n
        return then(made)

    return build
