"""Checkpoints: the state after a round, on disk, whole or not at all.

    checkpoints/round-000007.ckpt

A checkpoint is one message in the frames that travel between nodes, with their checksums and
digest, and the type of the state in its identity.  It is written beside, synced, renamed, and
the folder synced, so after a crash the latest one that is there is whole.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tierfed.codecs import codec
from tierfed.errors import NoSuchRun, ProtocolError, TierfedError
from tierfed.types import parse
from tierfed.types.values import check, infer, present
from tierfed.wire.frame import Frame, FrameDecoder, encode
from tierfed.wire.message import MessageReader, encode_message

_STEM = "round-"
_LIMIT = 1 << 32  # bytes of one frame's payload


def save(folder: Path, round_number: int, state: Any) -> Path:
    """Write `state`, what a user returns from a round, and return the file."""
    t = infer(state, "state")
    held = check(state, t, "state")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{_STEM}{round_number:06d}.ckpt"
    beside = target.with_suffix(".part")
    ident = {"round": round_number, "type": str(t)}
    with open(beside, "wb") as file:
        for header, buffers in encode_message(ident, [("state", t, held)], codec("none")):
            for piece in encode(header, buffers):
                file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(target)
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return target


def latest(folder: Path) -> tuple[int, Any] | None:
    """Return the last whole checkpoint in `folder` as (round, state); None if there is none.

    A damaged one, which only a failing disk leaves, is passed over for the one before it.
    """
    for file in sorted(folder.glob(f"{_STEM}*.ckpt"), reverse=True):
        try:
            return _load(file)
        except TierfedError:
            continue
    return None


def _load(file: Path) -> tuple[int, Any]:
    """Return the round and the state in `file`; raises TierfedError if it is damaged."""
    decoder = FrameDecoder(limit=_LIMIT, where=str(file))
    frames: list[Frame] = []
    with open(file, "rb") as source:
        while True:
            n = source.readinto(decoder.get_buffer(1 << 20))
            if not n:
                break
            frames.extend(decoder.buffer_updated(n))
    decoder.eof()
    if not frames:
        raise ProtocolError("an empty file", where=str(file))
    ident = frames[0].header["ident"]
    t = parse(ident["type"])
    reader = MessageReader([("state", t)], codec("none"), where=str(file))
    for frame in frames:
        reader.feed(frame)
    (held,) = reader.decode()
    return int(ident["round"]), present(held, t)


def of_run(run_dir: Path) -> tuple[int, Any]:
    """Return the last checkpoint of a run; raises NoSuchRun if it has none."""
    found = latest(run_dir / "checkpoints")
    if found is None:
        raise NoSuchRun(
            f"run {run_dir.name} has no checkpoint",
            where=str(run_dir / "checkpoints"),
            mend="a job writes one with `await tree.checkpoint(round, state)`; run it from the start",
        )
    return found
