"""Messages, received: frames of one message in, the values of its slots out.

    reader = MessageReader([("delta", t)], codec("int8+zstd"))
    link.start(reader.feed, ...)                       # frame by frame, until it returns True
    reader.accumulate_into(arrays)                     # or reader.decode()

The reader works from the slots that its program names; what a header says of them
(heading.py) is compared.  Only the sizes that the types leave open are news, and they
are bounded (layout.py) before there is memory for anything.

Sound because the frames of a message come in the order of `seq`, each as long as the
packing says, all of one identity, and the last one alone is the last; and because
payloads are kept as they came until the message is whole and its digest holds, and
nothing is added to a sum before every chunk has been found to decode.  A sender that
dies half-way, or lies, has changed nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from tierfed.codecs import LinkCodec
from tierfed.codecs.delta import BASE
from tierfed.codecs.stage import Summing, add
from tierfed.errors import CodecError, FrameError, ProtocolError, ValueMismatch
from tierfed.types import Type
from tierfed.wire.frame import Frame, aligned, padded
from tierfed.wire.heading import INLINE_SIZES, MOST_SIZES, Slot, check_keys, check_slots, digest_of
from tierfed.wire.keeping import FindBase, has_base, is_base
from tierfed.wire.layout import Column, Limits, Sizes, columns_of, least_cost
from tierfed.wire.packing import Agreed, Chunk, Pack, Slab, coded_bytes, packing
from tierfed.wire.plain import Header
from tierfed.wire.side_by_side import all_done
from tierfed.wire.sums import Sums
from tierfed.wire.value import from_raw, value_from

_LIMITS = Limits()
_NOTHING: Header = {}  # what every reader has heard at first; nobody changes it
_NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class Came:
    """The payload of a frame that was taken, its CRC32C, and how many bytes longer the frame is under `none`."""

    payload: memoryview
    crc: int
    more_raw: int


class Expected:
    """The slots of a message, as its receivers know them from their program: one for all readers of such messages.

    Where no size is open and nothing is many, all messages have one layout, which is found once.
    """

    __slots__ = ("_laid_out", "slots")

    def __init__(self, slots: Sequence[tuple[str, Type] | Slot]) -> None:
        self.slots: tuple[Slot, ...] = tuple((s[0], s[1], len(s) == 3 and s[2]) for s in slots)
        self._laid_out: dict[tuple[int, bool], tuple[LinkCodec, _Layout]] = {}

    def layout(self, coder: LinkCodec | Agreed, *, in_full: bool) -> _Layout | None:
        """Return the layout under a codec that was noted, None if there is none."""
        noted = self._laid_out.get((id(coder), in_full))
        return None if noted is None or noted[0] is not coder else noted[1]

    def note(self, coder: LinkCodec | Agreed, layout: _Layout, *, in_full: bool) -> None:
        """Note the layout of messages without open sizes under a codec."""
        if not isinstance(coder, Agreed) and len(self._laid_out) < _LAYOUTS:
            self._laid_out[id(coder), in_full] = coder, layout


_LAYOUTS = 8  # of one message: children have one codec, or a few

_Layout: TypeAlias = tuple[list[Column], list[range], list[list[int]], "list[Pack | None]"]
"""Columns, the columns of each slot, no sizes of each, and the frames; nobody changes them."""


class MessageReader:
    """The frames of one message in, the values of its slots out.

    `slots` are pairs of a name and a type, or triples with whether there are many.
    `ident` is known from the first frame on, `digest` when `complete`; `wire_bytes` and
    `raw_bytes` count what was taken so far.  After an error the reader is of no more use.
    With `landing` false, no value will be decoded, and payloads are received beside each other (`memory`).
    """

    __slots__ = (
        "_admitted", "_coder", "_columns", "_crcs", "_expected", "_find_base", "_first", "_forgotten", "_items",
        "_landed", "_landing", "_lands", "_lent", "_limits", "_packs", "_payloads", "_sizes", "_slots", "_spans",
        "_verified", "_where", "based", "complete", "digest", "held_bytes", "ident", "raw_bytes", "wire_bytes",
    )  # fmt: skip

    def __init__(
        self,
        slots: Expected | Sequence[tuple[str, Type] | Slot],
        codec: LinkCodec | Agreed,
        limits: Limits | None = None,
        where: str = "message",
        find_base: FindBase | None = None,
        *,
        landing: bool = True,
    ) -> None:
        self._lands = landing
        self._forgotten = 0  # frames
        self.held_bytes = 0  # of payloads that are not forgotten
        self._expected = slots if isinstance(slots, Expected) else Expected(slots)
        self._slots = self._expected.slots
        self._coder = codec
        self._limits = limits or _LIMITS
        self._where = where
        self._find_base = find_base
        self.based: Mapping[str, Any] = _NONE  # flat copies of the tensors that a later message may differ from
        self.ident: Header = _NOTHING
        self.digest: bytes | None = None
        self.complete = False
        self.wire_bytes = 0
        self.raw_bytes = 0
        self._first: Header = _NOTHING
        self._admitted: Header | None = None  # the header that `admit` took last
        self._items: Sequence[int | None] = ()  # of each slot
        self._sizes: Sequence[list[int]] = ()  # of each slot
        self._spans: Sequence[range] = ()  # the columns of each slot
        self._columns: Sequence[Column] = ()
        self._packs: Sequence[Pack | None] = ()  # by frame; None is that of the sizes
        self._payloads: list[memoryview] = []
        self._crcs: list[int] = []
        self._verified = False
        self._landing: dict[int, Any] | None = None  # by column: the array that raw chunks are received into
        self._lent: tuple[int, memoryview] | None = None  # the memory of a frame that is under way, by its seq
        self._landed: set[int] | None = None  # the frames that came there

    def memory(self, header: Header, nbytes: int) -> memoryview | None:
        """Return where the payload of the next frame belongs in the decoded value, None if it has to be decoded.

        For the decoder's `allocate`: raw chunks are received into the arrays that `decode` returns, so that a
        value of 400 MB takes 400 MB.  Raises as `admit` does.
        """
        self.admit(header, nbytes)
        pack_ = self._packs[header["seq"]]
        if not isinstance(pack_, Chunk) or not pack_.trusted or "base" in self._first or sys.byteorder == "big":
            return None
        if not self._lands:
            return None
        if self._landing is None:
            self._landing = {}
        if pack_.index not in self._landing:
            self._landing[pack_.index] = self._array(pack_.index)
        chunk = self._landing[pack_.index].reshape(-1)[pack_.start : pack_.stop]
        self._lent = header["seq"], memoryview(chunk.view(np.uint8))
        return self._lent[1]

    def payload_bytes(self, each: Callable[[int], int]) -> int | None:
        """Return the most bytes that the payloads may have, counted by `each`; None for one frame, or if not known yet.

        They are known when the first frame is admitted, or, with many open sizes, the second.
        """
        return sum(each(p.most_bytes) for p in self._packs if p is not None) if len(self._packs) > 1 else None

    @property
    def sender_sized(self) -> bool:
        """Whether the first frame, and not the program alone, says how large the values are."""
        return any(self._sizes) or any(items is not None for items in self._items)

    def admit(self, header: Header, nbytes: int) -> None:
        """Check that a frame with this header and a payload of `nbytes` is the next one.

        For the decoder's `allocate`, before there is memory; `feed` calls it otherwise.
        Raises ProtocolError, ValueMismatch or CodecError.
        """
        seq, due = header.get("seq"), len(self._crcs)
        if self.complete or type(seq) is not int or seq != due:
            wanted = "none, the message has ended" if self.complete else str(due)
            raise self._refusal(f"expected frame {wanted}, got {str(seq)[:40]}", "send each frame once, in order")
        check_keys(header, self._where)
        if seq == 0:
            self._admit_first(header)
        elif header["ident"] != self.ident:
            raise self._refusal("a frame of another contribution", "send the frames of a message in a row")
        self._check_end(seq, "end" in header)
        self._check_size(seq, nbytes)
        self._admitted = header

    def feed(self, frame: Frame) -> bool:
        """Take the next frame; return whether the message is whole.

        The payload is kept as it came.  Raises as `admit` does, and FrameError if the
        digest does not hold.
        """
        seq, nbytes = len(self._crcs), len(frame.payload)
        if self._admitted is frame.header and not self.complete:
            self._check_size(seq, nbytes)
        else:
            self.admit(frame.header, nbytes)
        pack_ = self._packs[seq]
        if pack_ is None:
            self._lay_out(np.frombuffer(frame.payload, "<i8").tolist())
        if self._lent is not None and self._lent[0] == seq and frame.payload.obj is self._lent[1].obj:
            self._landed = self._landed or set()
            self._landed.add(seq)
        self._lent = None
        self._crcs.append(frame.crc)
        self._payloads.append(frame.payload)
        self.held_bytes += nbytes
        self._admitted = None
        self.wire_bytes += frame.nbytes
        self.raw_bytes += frame.nbytes - padded(nbytes) + padded(nbytes if pack_ is None else pack_.raw_bytes)
        if "end" in frame.header:
            self._finish(frame.header["digest"])
        return self.complete

    @property
    def count(self) -> int:
        """How many frames were taken."""
        return len(self._crcs)

    @property
    def first(self) -> Header:
        """The header of the first frame."""
        return self._first

    @property
    def crcs(self) -> Sequence[int]:
        """The CRC32C of each payload that was taken."""
        return self._crcs

    def frame(self, seq: int) -> Came:
        """Return what came in a frame that was taken and is not forgotten."""
        payload, pack_ = self._payloads[seq], self._packs[seq]
        raw = len(payload) if pack_ is None else pack_.raw_bytes
        return Came(payload, self._crcs[seq], padded(raw) - padded(len(payload)))

    def forget(self, stop: int) -> None:
        """Let go of the payloads of the frames before `stop`: the message can be decoded no more."""
        while self._forgotten < stop:
            self.held_bytes -= len(self._payloads[self._forgotten])
            self._payloads[self._forgotten] = memoryview(b"")
            self._forgotten += 1

    def forget_heading(self) -> None:
        """Let go of what the sender says of itself, `ident`, once it was looked at; the values stay."""
        self.ident = _NOTHING
        self._first = {"base": self._first["base"]} if "base" in self._first else _NOTHING

    def values(self) -> dict[str, Any]:
        """Return the held value of each slot by its name, as `decode` does."""
        return dict(zip((name for name, _, _ in self._slots), self.decode(), strict=True))

    def decode(self, slots: Collection[str] | None = None) -> list[Any]:
        """Return the held values of `slots` (of all, if None) in the order of the message, lists where many.

        No value shares memory with a payload, but for what was received in its place (`memory`), the first
        time.  Raises CodecError or ValueMismatch for bytes that are no value of their type.
        """
        wanted = self._wanted(slots)
        arrays = self._arrays([i for s in wanted for i in self._spans[s]])
        values: list[Any] = []
        for s in wanted:
            name, t, _ = self._slots[s]
            own, sizes, items = (arrays[i] for i in self._spans[s]), iter(self._sizes[s]), self._items[s]
            if items is None:
                values.append(value_from(t, own, sizes, name))
            else:
                values.append([value_from(t, own, sizes, f"{name}[{i}]") for i in range(items)])
        return values

    def verify(self) -> None:
        """Check that every chunk decodes; raises CodecError if one does not.

        Costs a decoding, into one scratch chunk, for codecs that have bytes to refuse.
        """
        self._check_whole()
        if self._verified:
            return
        frames = zip(self._packs, self._payloads, strict=True)
        chunks = [(p, payload) for p, payload in frames if isinstance(p, Chunk) and not p.trusted]
        all_done(lambda chunk: self._check(*chunk), chunks, coded_bytes(self._packs))
        self._verified = True

    def accumulate_into(self, sums: Sums | Sequence[Any], slots: Collection[str] | None = None) -> None:
        """Add the values of `slots` to arrays: C-contiguous, one for each part that `parts_of` gives, in its order.

        Works chunk by chunk, without a decoded copy of a part; bit-equal to decoding and `np.add`.
        To `Sums`, codes that add up as they are are added so.  All or nothing: raises CodecError, with
        the sums untouched, if a chunk does not decode, and ValueMismatch for slots that are no
        fixed tensors of numbers, or arrays of other types.
        """
        arrays = sums.arrays if isinstance(sums, Sums) else sums
        into = self._check_sums(arrays, self._wanted(slots))
        parts = {index: part for part, index in enumerate(into)}
        self.verify()
        chunks: list[tuple[Chunk, memoryview, Summing | None]] = []
        for pack_, payload in zip(self._packs, self._payloads, strict=True):
            if isinstance(pack_, Chunk):
                if pack_.index in into:
                    summing = sums.of(parts[pack_.index], pack_) if isinstance(sums, Sums) else None
                    chunks.append((pack_, payload, summing))
            elif pack_ is not None:
                for index, offset in pack_.places:
                    if index in into:
                        add(from_raw(payload, self._columns[index].type, offset).reshape(-1), into[index])

        def added(chunk: tuple[Chunk, memoryview, Summing | None]) -> None:
            pack_, payload, summing = chunk
            if summing is not None:
                summing.add(payload)
            else:
                self._decoded(pack_, payload, into[pack_.index][pack_.start : pack_.stop], adding=True)

        all_done(added, chunks, coded_bytes(pack_ for pack_, _, _ in chunks))

    def adds_codes(self, slots: Collection[str] | None = None) -> bool:
        """Return whether a chunk of `slots` has codes that add up as they are."""
        columns = {i for s in self._wanted(slots) for i in self._spans[s]}
        return any(isinstance(p, Chunk) and p.index in columns and p.coder.array_stage.linear for p in self._packs)

    def release(self) -> list[memoryview]:
        """Return the payloads, for their memory to be used again, and forget them and all that they held."""
        payloads, self._payloads = self._payloads, []
        return payloads

    def _refusal(self, what: str, mend: str) -> ProtocolError:
        return ProtocolError(what, where=self._where, mend=mend)

    def _admit_first(self, header: Header) -> None:
        sizes = header["sizes"]
        if header["codec"] != str(self._coder):
            raise self._refusal(
                f"expected the codec {self._coder}, got {str(header['codec'])[:60]}",
                "name one codec for both ends of the link (see `tierfed show`)",
            )
        self._check_base(header)
        self._items = check_slots(header, self._slots, self._limits, self._where)
        inline = type(sizes) is list and len(sizes) <= INLINE_SIZES
        if not inline and not (type(sizes) is int and INLINE_SIZES < sizes <= MOST_SIZES):
            raise self._refusal(
                f"{len(sizes) if type(sizes) is list else repr(sizes)[:40]} open sizes, "
                f"expected a list of up to {INLINE_SIZES}, or a number from there to {MOST_SIZES}",
                "declare the sizes in the type, or send fewer values at once",
            )
        self._first, self.ident, self._packs = header, header["ident"], [None]
        if not inline:
            return
        in_full = header.get("base") is None
        fixed = not sizes and all(items is None for items in self._items)
        layout = self._expected.layout(self._coder, in_full=in_full) if fixed else None
        if layout is not None:
            self._columns, self._spans, self._sizes, self._packs = layout
            return
        self._packs = []
        self._lay_out(sizes)
        if fixed:
            layout = list(self._columns), list(self._spans), list(self._sizes), list(self._packs)
            self._expected.note(self._coder, layout, in_full=in_full)

    def _check_base(self, header: Header) -> None:
        base = header.get("base")
        if ("base" in header) != has_base(self._coder) or not is_base(base):
            raise self._refusal(
                "a header whose base is none, or one under a codec without", "run one version of tierfed"
            )
        if base is not None and self._find_base is None:
            raise self._refusal("a difference where no base is kept", "send the value in full")

    def _lay_out(self, sizes: Sequence[Any]) -> None:
        """Find out all frames, from the types and the open `sizes`."""
        left = Sizes(sizes, self._limits)
        columns: list[Column] = []
        spans: list[range] = []
        taken_of: list[list[int]] = []
        for (name, t, _), items in zip(self._slots, self._items, strict=True):
            first, taken = len(columns), len(left.taken)
            if items is None:
                columns += columns_of(t, left, name)
            else:
                left.charge(items * least_cost(t), name)
                for i in range(items):
                    columns += columns_of(t, left, f"{name}[{i}]")
            spans.append(range(first, len(columns)))
            taken_of.append(left.taken[taken:])
        left.finish(self._where)
        self._columns, self._spans, self._sizes = columns, spans, taken_of
        self._packs = [*self._packs, *packing(columns, self._coder, in_full=self._first.get("base") is None)]

    def _check_end(self, seq: int, ends: bool) -> None:
        if seq >= len(self._packs):
            raise self._refusal(f"frame {seq} of {len(self._packs)}", "send each frame once, in order")
        last = seq == len(self._packs) - 1 and self._packs[seq] is not None
        if ends and not last:
            count = len(self._packs) if self._packs[-1] is not None else "more"
            raise self._refusal(f"a message ends at frame {seq}, expected {count} frames", "send the whole message")
        if last and not ends:
            raise self._refusal(f"frame {seq} of {len(self._packs)} does not end its message", "mark the last frame")

    def _check_size(self, seq: int, nbytes: int) -> None:
        pack_ = self._packs[seq]
        wanted = pack_.takes(nbytes) if pack_ is not None else None
        if pack_ is None and nbytes != 8 * self._first["sizes"]:
            wanted = str(8 * self._first["sizes"])
        if wanted is not None:
            path = self._columns[pack_.index].path if isinstance(pack_, Chunk) else self._where
            raise ProtocolError(
                f"expected a payload of {wanted} bytes in frame {seq}, got {nbytes}",
                where=path,
                mend="run one version of tierfed at both ends",
            )

    def _finish(self, said: bytes) -> None:
        digest = digest_of(self._first, self._crcs)
        if digest != said:
            raise FrameError(
                f"the digest of a message is {digest.hex()}, its last frame says {said.hex()}",
                where=self._where,
                mend="bytes were changed on the way; the peer has to send again",
            )
        self.digest, self.complete = digest, True

    def _check_whole(self) -> None:
        if not self.complete or self._forgotten or len(self._payloads) != len(self._packs):
            raise ProtocolError(
                f"{len(self._payloads)} of {len(self._packs) or 'its'} frames of a message are here",
                where=self._where,
                mend="read a message when it is complete, and before it is released",
            )

    def _wanted(self, slots: Collection[str] | None) -> list[int]:
        """Return the indices of the named slots."""
        self._check_whole()
        names = [name for name, _, _ in self._slots]
        unknown = sorted(set(slots or ()) - set(names))
        if unknown:
            raise ValueMismatch(
                f"no value {unknown[0]} in the message", where=self._where, mend=f"there are {', '.join(names)}"
            )
        return [i for i, name in enumerate(names) if slots is None or name in slots]

    def _arrays(self, wanted: Sequence[int]) -> dict[int, Any]:
        """Return new arrays of the `wanted` columns, by index."""
        arrays: dict[int, Any] = {index: (self._landing or {}).pop(index, None) for index in wanted}
        there = {index for index, array in arrays.items() if array is not None}
        chunks: list[tuple[Chunk, memoryview, Any]] = []
        for seq, (pack_, payload) in enumerate(zip(self._packs, self._payloads, strict=True)):
            if isinstance(pack_, Slab):
                for index, offset in pack_.places:
                    if index in arrays:
                        arrays[index] = from_raw(payload, self._columns[index].type, offset)
            elif pack_ is not None and pack_.index in arrays:
                if arrays[pack_.index] is None:
                    arrays[pack_.index] = self._array(pack_.index)
                if seq in (self._landed or ()) and pack_.index in there:
                    continue
                flat = arrays[pack_.index].reshape(-1)
                chunks.append((pack_, payload, flat[pack_.start : pack_.stop]))
        coded = coded_bytes(pack_ for pack_, _, _ in chunks)
        all_done(lambda chunk: self._decoded(*chunk, adding=False), chunks, coded)
        if "base" in self._first:
            self._add_base(arrays)
        return arrays

    def _array(self, index: int) -> Any:
        """Return a new array of a column."""
        t = self._columns[index].type
        return np.frombuffer(aligned(t.nbytes or 0), t.dtype).reshape(t.shape or ())

    def _add_base(self, arrays: dict[int, Any]) -> None:
        """Add to the differences among `arrays` what they are to, and keep copies for the next ones."""
        name = self._first["base"]
        base = self._find_base(name) if name is not None and self._find_base is not None else {}
        for index in arrays.keys() & {p.index for p in self._packs if isinstance(p, Chunk)}:
            column, flat = self._columns[index], arrays[index].reshape(-1)
            if column.structural or self._coder.at(column.path).state != BASE:
                continue
            if name is not None:
                before = base.get(column.path)
                if before is None or (before.dtype, before.size) != (flat.dtype, flat.size):
                    raise self._refusal(f"{column.path} is not in its base, or of another type", "send it in full")
                add(before, flat)
            self.based = {**self.based, column.path: flat.copy()}

    def _check(self, chunk: Chunk, payload: memoryview) -> None:
        """Check that a chunk decodes: by its bytes alone, where its codec can tell."""
        column = self._columns[chunk.index]
        size = chunk.stop - chunk.start
        try:
            known = chunk.coder.check_chunk(payload, size, chunk.dtype)
        except CodecError as e:
            path = f"{column.path}, elements {chunk.start} to {chunk.stop}"
            raise CodecError(e.what, where=path, mend=e.mend) from e
        if not known:
            self._decoded(chunk, payload, np.empty(size, column.type.dtype), adding=False)

    def _decoded(self, chunk: Chunk, payload: memoryview, out: Any, *, adding: bool) -> None:
        try:
            (chunk.coder.accumulate_chunk if adding else chunk.coder.decode_chunk)(payload, out)
        except CodecError as e:
            path = f"{self._columns[chunk.index].path}, elements {chunk.start} to {chunk.stop}"
            raise CodecError(e.what, where=path, mend=e.mend) from e

    def _check_sums(self, arrays: Sequence[Any], wanted: Sequence[int]) -> dict[int, Any]:
        """Return `arrays`, flat, by the index of their column."""
        columns = [i for s in wanted for i in self._spans[s]]
        for s in wanted:
            name, t, many = self._slots[s]
            if many or self._sizes[s] or not all(_adds(self._columns[i]) for i in self._spans[s]):
                raise ValueMismatch(f"{t}{' of many' if many else ''} is not added", where=name, mend="decode it")
        if len(arrays) != len(columns):
            raise ValueMismatch(
                f"expected {len(columns)} arrays, got {len(arrays)}", where=self._where, mend="give one a part"
            )
        for array, i in zip(arrays, columns, strict=True):
            t = self._columns[i].type
            if array.dtype != t.dtype or array.shape != t.shape or not array.flags.carray:
                raise ValueMismatch(
                    f"expected a writable, C-contiguous {t}, got {array.dtype}{list(array.shape)}",
                    where=self._columns[i].path,
                    mend="copy the arrays of the zero's parts",
                )
        return {i: array.reshape(-1) for array, i in zip(arrays, columns, strict=True)}


def _adds(column: Column) -> bool:
    return not column.structural and column.type.name != "bool"
