"""Checkpoints: the state after a round, on disk, whole or not at all.

    checkpoints/round-000007.ckpt

A checkpoint is two messages in the frames that travel between nodes, with their checksums and
digests: the type of the state, and the state.  It is written beside, synced, renamed, and the
folder synced, so after a crash the latest one that is there is whole.

Handles in the state are fetched, and saved as the lists that they stand for.  A list of values
of one type, such as those, is a sequence: what it takes to say its type does not grow with the
number of members.  Lists come back as lists, tuples as tuples, and what has names as dicts.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from tierfed.codecs import codec
from tierfed.errors import NoSuchRun, ProtocolError, TierfedError
from tierfed.language.placed import Placed
from tierfed.node.whole_file import whole_file
from tierfed.types import SequenceType, StructType, TensorType, Type, parse
from tierfed.types.containers import Struct, fields_of, names_of
from tierfed.types.values import check, infer, present
from tierfed.wire.frame import Frame, FrameDecoder, encode
from tierfed.wire.message import MessageReader, encode_message

_STEM = "round-"
_LIMIT = 1 << 32  # bytes of one frame's payload
_TEXT = TensorType("str")
_ABOUT = (("type", _TEXT), ("lists", _TEXT))


def save(folder: Path, round_number: int, state: Any) -> Path:
    """Write `state`, what a user returns from a round, and return the file.

    Raises ValueMismatch for what has no type, and for a handle of which members have no value.
    """
    state = brought(state)
    t = type_of(state, "state")
    held = check(state, t, "state")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{_STEM}{round_number:06d}.ckpt"
    ident = {"round": round_number}
    about = [(*slot, said) for slot, said in zip(_ABOUT, (str(t), json.dumps(_lists(t))), strict=True)]
    with whole_file(target) as file:
        for slots in (about, [("state", t, held)]):
            for header, buffers in encode_message(ident, slots, codec("none")):
                for piece in encode(header, buffers):
                    file.write(piece)
    return target


def brought(state: Any) -> Any:
    """Return `state` with a list for each handle in it, wherever it is."""
    if isinstance(state, Placed):
        state.whole()
        return state.fetch()
    if isinstance(state, Mapping):
        return {name: brought(part) for name, part in state.items()}
    if isinstance(state, Struct):
        return Struct(names_of(state), tuple(map(brought, state)))
    if (fields := fields_of(type(state))) is not None:
        return {name: brought(getattr(state, name)) for name in fields}
    if isinstance(state, tuple | list):
        return (tuple if isinstance(state, tuple) else list)(map(brought, state))
    return state


def type_of(state: Any, where: str) -> Type:
    """Return the type that `state` is saved as; a list is a sequence if it can be."""
    if isinstance(state, list):
        if state and (element := _common([infer(part, where) for part in state])) is not None:
            return SequenceType(element)
        return StructType([type_of(part, f"{where}[{i}]") for i, part in enumerate(state)], list)
    if isinstance(state, tuple) and fields_of(type(state)) is None:
        return StructType([type_of(part, f"{where}[{i}]") for i, part in enumerate(state)], tuple)
    if isinstance(state, Mapping):
        return StructType([(name, type_of(part, f"{where}.{name}")) for name, part in state.items()], dict)
    return infer(state, where)


def _common(types: list[Type]) -> Type | None:
    """Return the one type that elements of a sequence have, None if there is none."""
    first, lists = types[0], _lists(types[0])
    return first if all(t == first and _lists(t) == lists for t in types[1:]) else None


def _lists(t: Type) -> list[int]:
    """Return which of the structs in a type, counted as they are written, users have as lists."""
    structs = (part for part in t.walk() if isinstance(part, StructType))
    return [i for i, part in enumerate(structs) if part.container is list]


def _with_lists(t: Type, lists: Set[int], numbers: Iterator[int]) -> Type:
    """Return `t` with those of its structs as lists."""
    if isinstance(t, SequenceType):
        return SequenceType(_with_lists(t.element, lists, numbers))
    if isinstance(t, StructType):
        container = list if next(numbers) in lists else None
        return StructType([(n, _with_lists(e, lists, numbers)) for n, e in t.elements], container)
    return t


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
    rest = iter(frames)
    written, lists = _read(rest, _ABOUT, file)
    t = _with_lists(parse(written), set(json.loads(lists)), itertools.count())
    (held,) = _read(rest, [("state", t)], file)
    return int(frames[0].header["ident"]["round"]), present(held, t)


def _read(frames: Iterator[Frame], slots: Sequence[tuple[str, Type]], file: Path) -> list[Any]:
    """Return the values of the next message."""
    reader = MessageReader(slots, codec("none"), where=str(file))
    for frame in frames:
        if reader.feed(frame):
            return reader.decode()
    raise ProtocolError("it breaks off", where=str(file))


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
