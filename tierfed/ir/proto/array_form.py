"""Literals as the public Array message.

    int8[2]{-1,7}    dtype, shape, int8_list

Elements are listed, 16-bit floats as their bits and complex numbers as pairs.  A list of
float32 passes through float64, which keeps every number but not every NaN; there the raw
bytes are written in `content` instead, so that a literal comes back bit for bit.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tierfed.ir.nodes import Literal
from tierfed.ir.proto import computation_pb2 as pb
from tierfed.ir.proto.type_form import DTYPES, TypeReader

_LISTED = {
    "float16": "<u2",
    "bfloat16": "<u2",
    "complex64": "<f4",
    "complex128": "<f8",
}
"""What stands in a list for dtypes that no list has."""


def _listed(name: str) -> np.dtype[Any]:
    return np.dtype(_LISTED.get(name, name)).newbyteorder("<")


def write_array(literal: Literal, into: pb.Array, public: bool = False) -> None:
    """Write `literal` into a message; a `public` one has lists alone, in which a signalling NaN is a quiet one."""
    name = literal.of.name
    into.dtype = DTYPES[name]
    into.shape.dim.extend(s for s in literal.of.shape or () if s is not None)
    into.shape.SetInParent()
    of = getattr(into, f"{name}_list")
    of.SetInParent()
    if isinstance(literal.content, tuple):
        of.value.extend(s.encode() for s in literal.content)
        return
    dtype = _listed(name)
    of.value.extend(np.frombuffer(literal.content, dtype).tolist())
    if not public and dtype.kind == "f" and np.array(of.value, dtype).tobytes() != literal.content:
        into.ClearField(f"{name}_list")
        into.content = literal.content


def read_array(message: pb.Array, reader: TypeReader) -> Literal:
    """Return the literal in `message`; raises ProtocolError if its elements are not of its dtype and shape."""
    t = reader.tensor(message.dtype, message.shape.dim, message.shape.unknown_rank)
    if not t.is_static:
        raise reader.fail(f"a literal of type {t}", "write its sizes")
    kind = message.WhichOneof("kind")
    if message.HasField("content"):
        if kind is not None or t.name == "str":
            raise reader.fail(f"a literal of type {t} with {kind or 'raw content'}", "write its elements once")
        return Literal(t, message.content)
    if kind != f"{t.name}_list":
        raise reader.fail(f"a literal of type {t} with {kind or 'no elements'}", f"write {t.name}_list")
    values = getattr(message, kind).value
    count = math.prod(s for s in t.shape or () if s is not None) * (2 if t.name.startswith("complex") else 1)
    if len(values) != count:
        raise reader.fail(f"a literal of type {t} with {len(values)} elements", f"write {count}")
    if t.name == "str":
        return Literal(t, tuple(_string(v, reader) for v in values))
    dtype = _listed(t.name)
    if dtype.kind in "iu" and count:
        low, high, info = min(values), max(values), np.iinfo(dtype)
        if low < info.min or high > info.max:
            raise reader.fail(f"a literal of type {t} with an element of {low if low < info.min else high}")
    with np.errstate(all="ignore"):  # a peer's NaN is no warning of ours
        return Literal(t, np.array(values, dtype).tobytes())


def _string(value: bytes, reader: TypeReader) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise reader.fail("a string that is not UTF-8", "encode strings as UTF-8") from None
