"""Plain values: what a header is made of, and its one form in msgpack.

    {"ident": {"site": "2.0"}, "seq": 3}        None, bool, int, float, str, bytes, list, dict

A header is a map with string keys, packed in the shortest form of each value.  What is
unpacked is packed again and compared, so there is one header for one run of bytes and
the reverse: no key twice, no number in a longer form, nothing that two readers could
understand differently.

Sound against hostile bytes: at most 64 KiB are unpacked, at most 4096 entries in one
list or map and 16 levels, without msgpack's extension types, so that what a header
takes in memory stays below a hundred times its length.

Source: the MessagePack specification, and its advice on the shortest form of numbers.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgpack

from tierfed.errors import FrameError

HEADER_LIMIT = 1 << 16  # bytes
_ENTRIES = 4096  # in one list or map
_DEPTH = 16
_TEXT = frozenset({str})
_LEAVES = frozenset({type(None), bool, int, float, str, bytes})

_NESTED = (dict, list, tuple)

Header: TypeAlias = dict[str, Any]


def pack(header: Header) -> bytes:
    """Return `header` as a frame carries it; raises FrameError as `encode` does."""
    _check_plain(header, "encode")
    try:
        packed: bytes = msgpack.packb(header)
    except (TypeError, ValueError, OverflowError) as e:
        raise FrameError(
            f"the header cannot be packed: {e}", where="encode", mend="use str, bytes and integers of 64 bits"
        ) from e
    if len(packed) > HEADER_LIMIT:
        raise FrameError(
            f"a header of {len(packed)} bytes, at most {HEADER_LIMIT} fit",
            where="encode",
            mend="carry large things in the payload",
        )
    return packed


def canonical(value: Any) -> bytes:
    """Return the msgpack of `value` with the keys of each map sorted: equal values, equal bytes."""
    packed: bytes = msgpack.packb(_sorted(value) if isinstance(value, _NESTED) else value)
    return packed


def _sorted(value: Any) -> Any:
    """Return a map or list with the keys of each map sorted."""
    if isinstance(value, dict):
        return {k: _sorted(v) if isinstance(v := value[k], _NESTED) and v else v for k in sorted(value)}
    return [_sorted(v) if isinstance(v, _NESTED) and v else v for v in value]


def unpack(packed: bytes, where: str) -> Header:
    """Return the header that `pack` has packed; raises FrameError, at `where`, for any other bytes."""
    try:
        header = msgpack.unpackb(
            packed,
            raw=False,
            strict_map_key=True,
            max_array_len=_ENTRIES,
            max_map_len=_ENTRIES,
            max_ext_len=0,
            max_str_len=HEADER_LIMIT,
            max_bin_len=HEADER_LIMIT,
        )
    except (ValueError, msgpack.UnpackException) as e:
        raise FrameError(
            f"a header of {len(packed)} bytes is no msgpack of ours: {e or type(e).__name__}",
            where=where,
            mend="run one version of tierfed at both ends",
        ) from e
    _check_plain(header, where)
    if msgpack.packb(header) != packed:  # a key twice, or a number in a longer form: two readings of one header
        raise FrameError(
            "a header is not in its shortest form", where=where, mend="pack each key once, as msgpack's packb does"
        )
    known: Header = header
    return known


def _check_plain(header: Any, where: str) -> None:
    """Raise FrameError unless `header` is a map at the top, and made of plain things, to a depth of 16."""
    if type(header) is not dict:
        name = type(header).__name__
        raise FrameError(f"a header is a {name}, not a map", where=where, mend="send a map with string keys")
    depth, level = 0, [header]
    while level:
        below: list[Any] = []
        for value in level:
            kind = type(value)
            if kind not in (dict, list):
                raise FrameError(
                    f"a header holds a {kind.__name__}",
                    where=where,
                    mend="use None, bool, int, float, str, bytes, list, dict",
                )
            if depth == _DEPTH or len(value) > _ENTRIES:
                raise FrameError(
                    f"a header nests {depth} deep or has {len(value)} entries in one place",
                    where=where,
                    mend=f"nest fewer than {_DEPTH} deep and put at most {_ENTRIES} entries in one list or map",
                )
            if kind is dict and not _TEXT.issuperset(map(type, value)):
                raise FrameError("a header has a key that is no string", where=where, mend="use string keys")
            items = value.values() if kind is dict else value
            if not _LEAVES.issuperset(map(type, items)):
                below += [item for item in items if type(item) not in _LEAVES]
        depth, level = depth + 1, below
