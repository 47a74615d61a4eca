"""Headings: what the headers of a message say, and how it is compared.

    first   ident · seq 0 · codec "int8+zstd" · slots [["delta", "<w=float32[?,784]>", nil]] · sizes [64]
    others  ident · seq
    last    what it has anyway · end true · digest

Each slot is told with its name, its type in notation (the BLAKE2b-16 of it, if it is
longer than 2048 characters) and, where there are many values, their number.  The two
ends have the types from one program, so told and expected types are equal; when they
are not, the difference is looked for to name it.

Under a codec with differences to a base, the first header also has base, its name or nil (keeping.py).

The digest is BLAKE2b of 16 bytes over the canonical msgpack (keys sorted) of ident,
codec, slots and sizes, and of base if there is one, then the CRC32C of each frame's payload as 4 little-endian bytes.

Source: RFC 7693 (BLAKE2).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, TypeAlias

from tierfed.errors import ProtocolError, TierfedError, ValueMismatch
from tierfed.types import SequenceType, StructType, Type, parse
from tierfed.wire.layout import Limits, child_path
from tierfed.wire.plain import Header, canonical

FIRST = frozenset({"ident", "seq", "codec", "slots", "sizes"})
REST = frozenset({"ident", "seq"})
LAST = frozenset({"end", "digest"})
MAYBE = frozenset({"base"})  # in a first header, where the codec has differences (keeping.py)
DIGEST = 16  # bytes
INLINE_SIZES = 1024  # open sizes that fit in a first header
MOST_SIZES = 1 << 19  # in a frame of their own, 4 MiB

_NOTATION = 2048  # characters
_SAME_PROGRAM = "deploy one program to both ends of the link"
_SAME_VERSION = "run one version of tierfed at both ends"

Slot: TypeAlias = tuple[str, Type, bool]
"""The name of a value, its type, and whether there are many of it."""


@functools.lru_cache(maxsize=1024)
def told(t: Type) -> str | bytes:
    """Return how a header tells the type `t`."""
    notation = str(t)
    if len(notation) <= _NOTATION:
        return notation
    return hashlib.blake2b(notation.encode(), digest_size=DIGEST).digest()


def digest_of(first: Header, crcs: Sequence[int]) -> bytes:
    """Return the digest of a message with the header `first`, whose payloads have the CRC32Cs `crcs`."""
    said = {key: first[key] for key in ("ident", "codec", "slots", "sizes", "base") if key in first}
    hashed = hashlib.blake2b(canonical(said), digest_size=DIGEST)
    hashed.update(b"".join(crc.to_bytes(4, "little") for crc in crcs))
    return hashed.digest()


def check_keys(header: Header, where: str) -> None:
    """Raise ProtocolError unless `header` has the keys of a message's header, of the right kinds."""
    keys = FIRST | (header.keys() & MAYBE) if header.get("seq") == 0 else REST
    if header.keys() not in (keys, keys | LAST):
        raise ProtocolError(
            f"a header with the keys {_some(header)}, expected {_some(keys)}", where=where, mend=_SAME_VERSION
        )
    wrong = type(header["ident"]) is not dict
    if "end" in header:
        digest = header["digest"]
        wrong = wrong or header["end"] is not True or type(digest) is not bytes or len(digest) != DIGEST
    if wrong:
        raise ProtocolError("a header whose ident, end or digest is none", where=where, mend=_SAME_VERSION)


def _some(keys: Any) -> str:
    return ", ".join(repr(k)[:40] if isinstance(k, str) and not k.isidentifier() else k for k in sorted(keys)[:12])


def check_slots(header: Header, slots: Sequence[Slot], limits: Limits, where: str) -> list[int | None]:
    """Return the number of values of each slot of many (None for the others) that a first `header` tells.

    Raises ValueMismatch, naming the path, for another type, ProtocolError for other slots.
    """
    said = header["slots"]
    if type(said) is not list or not all(type(s) is list and len(s) == 3 for s in said):
        raise ProtocolError("a header whose slots cannot be read", where=where, mend=_SAME_VERSION)
    names = [str(s[0])[:60] for s in said]
    if [s[0] for s in said] != [name for name, _, _ in slots]:
        raise ProtocolError(
            f"expected the values {_listed(n for n, _, _ in slots)}, got {_listed(names)}",
            where=where,
            mend=_SAME_PROGRAM,
        )
    items: list[int | None] = []
    for (name, t, many), (_, notation, count) in zip(slots, said, strict=True):
        if notation != told(t):
            raise _difference(t, notation, name)
        if many != (count is not None):
            raise ProtocolError(
                f"expected {'many values' if many else 'one value'}, got {'one' if many else 'many'}",
                where=name,
                mend=_SAME_PROGRAM,
            )
        if many and (type(count) is not int or not 0 <= count <= limits.items):
            raise ProtocolError(
                f"{count!r} values, expected 0 to {limits.items}", where=name, mend="raise the limit of the link"
            )
        items.append(count)
    return items


def _listed(names: Any) -> str:
    return ", ".join(names) or "none"


def _difference(expected: Type, notation: object, path: str) -> TierfedError:
    """Return the error for a type told otherwise than expected, at the first part that differs."""
    if type(notation) is not str or len(notation) > _NOTATION:
        return ValueMismatch(f"expected {_short(expected)}, got another type", where=path, mend=_SAME_PROGRAM)
    try:
        got = parse(notation)
    except (TierfedError, ValueError):
        return ProtocolError(f"{notation[:60]!r} is no type", where=path, mend=_SAME_VERSION)
    at, e, g = next(_differences(expected, got, path), (path, expected, got))
    return ValueMismatch(f"expected {_short(e)}, got {_short(g)}", where=at, mend=_SAME_PROGRAM)


def _short(t: Type) -> str:
    text = str(t)
    return text if len(text) <= 200 else text[:197] + "..."


def _differences(expected: Type, got: Type, path: str) -> Iterator[tuple[str, Type, Type]]:
    match expected, got:
        case StructType(), StructType() if expected.names == got.names:
            for i, ((name, e), g) in enumerate(zip_longest(expected.elements, got.parts())):
                yield from _differences(e, g, child_path(path, name, i))
        case SequenceType(), SequenceType():
            yield from _differences(expected.element, got.element, f"{path}[*]")
        case _:
            if expected != got:
                yield path, expected, got
