"""Saving: a node's residuals beside the checkpoint of a job, whole or not at all.

    checkpoints/round-000007.ckpt            the job's state
    checkpoints/round-000007/c-eu-03.kept    what is left of what c-eu-03 has sent until then

A run that goes on from the checkpoint goes on with what is there; a node without a file, or with a damaged one,
starts from nothing.  A file is frames like those between nodes (wire/frame.py), with their checksums: one that says
how many residuals follow, then those, in pieces of 2^20 elements.  It is written beside, synced and renamed.  Of each
node the files of the last two rounds are kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from tierfed.codecs.stage import Array
from tierfed.errors import ProtocolError, TierfedError
from tierfed.node.residuals import Key
from tierfed.node.whole_file import whole_file
from tierfed.types import TensorType
from tierfed.wire.frame import Bytes, Frame, FrameDecoder, encode
from tierfed.wire.value import from_raw, raw_bytes

CHECKPOINTS = "checkpoints"  # in the folder of a run

_PIECE = 1 << 20  # elements
_KEPT = 2  # rounds
_DTYPES = ("float32", "float64")
_WORDS = frozenset(f.name for f in fields(Key))


def folder_of(checkpoints: Path, round_number: int) -> Path:
    """Return where the files of a round are."""
    return checkpoints / f"round-{round_number:06d}"


def save(checkpoints: Path, round_number: int, node: str, residuals: Iterable[tuple[Key, Array]]) -> None:
    """Write what a node has, after a round; raises OSError if that cannot be."""
    rows = list(residuals)
    folder = folder_of(checkpoints, round_number)
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / f"{node}.kept") as file:
        for piece in _pieces(round_number, rows):
            file.write(piece)
    for old in sorted(checkpoints.glob(f"round-*/{node}.kept"))[:-_KEPT]:
        old.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # others' files are there
            old.parent.rmdir()


def _pieces(round_number: int, rows: list[tuple[Key, Array]]) -> Iterator[Bytes]:
    yield from encode({"round": round_number, "residuals": len(rows)})
    for key, array in rows:
        for start in range(0, array.size, _PIECE):
            part = array[start : start + _PIECE]
            header = {**asdict(key), "dtype": str(part.dtype), "size": array.size, "start": start}
            yield from encode(header, [raw_bytes(part)])


def load(folder: Path, node: str) -> list[tuple[Key, Array]]:
    """Return what a node has saved in the folder of a round, nothing if it has saved nothing.

    Raises TierfedError for a file that is damaged.
    """
    file = folder / f"{node}.kept"
    if not file.exists():
        return []
    frames = _frames(file)
    rows: dict[Key, list[Array]] = {}
    left = 0
    for frame in frames[1:]:
        key, piece, start, size = _piece(frame, file)
        before = rows.setdefault(key, [])
        if start != sum(a.size for a in before) or start + piece.size > size:
            raise _damaged(file)
        before.append(piece)
        left += piece.size - (size if start == 0 else 0)
    if left or not frames or frames[0].header.get("residuals") != len(rows):
        raise _damaged(file)
    return [(key, np.concatenate(pieces)) for key, pieces in rows.items()]


def _frames(file: Path) -> list[Frame]:
    decoder = FrameDecoder(where=str(file))
    frames: list[Frame] = []
    try:
        with open(file, "rb") as source:
            while n := source.readinto(decoder.get_buffer(1 << 20)):
                frames.extend(decoder.buffer_updated(n))
        decoder.eof()
    except OSError as error:
        raise TierfedError(f"it cannot be read: {error.strerror}", where=str(file)) from error
    return frames


def _piece(frame: Frame, file: Path) -> tuple[Key, Array, int, int]:
    said = frame.header
    words = {name: said.get(name) for name in _WORDS}
    dtype, size, start = said.get("dtype"), said.get("size"), said.get("start")
    if dtype not in _DTYPES or type(size) is not int or type(start) is not int:
        raise _damaged(file)
    if not all(type(word) is str for word in words.values()) or len(frame.payload) % np.dtype(dtype).itemsize:
        raise _damaged(file)
    count = len(frame.payload) // np.dtype(dtype).itemsize
    return (
        Key(**{k: str(v) for k, v in words.items()}),
        from_raw(frame.payload, TensorType(dtype, (count,))),
        start,
        size,
    )


def _damaged(file: Path) -> ProtocolError:
    return ProtocolError("it is damaged", where=str(file), mend="the node starts from nothing")
