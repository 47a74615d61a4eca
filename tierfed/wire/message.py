"""Messages, sent: the values of some slots, under one codec, as frames.

    message = encode_message({"site": "2.0", "member": "c3"}, [("delta", t, value)], codec("int8+zstd"))
    await link.send_all(message)                       # pairs of a header and its buffers

Small values are one frame.  Otherwise a first frame has the small columns, and each
2^18 elements of a larger one are a frame (packing.py), made only when its turn comes, or a
little before in a second thread (side_by_side.py): one to four coded chunks are in memory,
and of raw ones none.  The sizes that the types leave open (layout.py) are in the first
header; more than 1024 of them travel as int64 in a frame of their own, before the others.

The other end is `MessageReader` (reader.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from tierfed.codecs import LinkCodec, Stream
from tierfed.errors import CodecError, ValueMismatch
from tierfed.types import Type
from tierfed.wire.frame import Sealed, frame_bytes, padded
from tierfed.wire.heading import INLINE_SIZES, MOST_SIZES, digest_of, told
from tierfed.wire.keeping import Keeper, has_base
from tierfed.wire.packing import SMALL, Agreed, Pack, Slab, coded_bytes, packing
from tierfed.wire.plain import Header, pack
from tierfed.wire.reader import MessageReader
from tierfed.wire.side_by_side import in_order
from tierfed.wire.value import Part, parts_of, raw_bytes

_SAME = Stream()

__all__ = ["Message", "MessageReader", "encode_message"]


class Message:
    """The frames of a message, each a header and its buffers; iterating again writes them again.

    `frames`, `wire_bytes` (of whole frames), `raw_bytes` (the same frames under `none`)
    and `digest` are those of the frames that the latest iteration has yielded.
    """

    def __init__(
        self,
        ident: Header,
        slots: Sequence[tuple[str, Type, Any]],
        coder: LinkCodec | Agreed,
        many: Collection[str] = (),
        stream: Stream = _SAME,
        keeper: Keeper | None = None,
    ) -> None:
        self._stream = stream
        self._keeper = keeper
        said: list[list[Any]] = []
        self._parts: list[Part] = []
        self._sizes: list[int] = []
        for name, t, value in slots:
            if name in many:
                for i, item in enumerate(value):
                    self._parts += parts_of(item, t, f"{name}[{i}]", self._sizes)
            else:
                self._parts += parts_of(value, t, name, self._sizes)
            said.append([name, told(t), len(value) if name in many else None])
        if len(self._sizes) > MOST_SIZES:
            raise ValueMismatch(
                f"{len(self._sizes)} open sizes, at most {MOST_SIZES} travel",
                where=", ".join(s[0] for s in slots),
                mend="declare the sizes in the type, or send fewer values at once",
            )
        self._inline = len(self._sizes) <= INLINE_SIZES
        sizes = self._sizes if self._inline else len(self._sizes)
        self._first: Header = {"ident": ident, "seq": 0, "codec": str(coder), "slots": said, "sizes": sizes}
        if keeper is not None:
            coded = [p for p in self._parts if (p.type.size or 0) >= SMALL and not p.structural]
            keeper.begin([(part.path, part.type, coder.at(part.path)) for part in coded])
        if has_base(coder):
            self._first["base"] = None if keeper is None else keeper.base
        self._packs = packing(self._parts, coder, in_full=self._first.get("base") is None)
        self._begin()

    def _begin(self) -> None:
        self.frames = self.wire_bytes = self.raw_bytes = 0
        self.digest: bytes | None = None
        self._crcs: list[int] = []

    def __iter__(self) -> Iterator[tuple[Header, Sealed]]:
        self._begin()
        if not self._inline:
            yield self._frame(Sealed.of(np.array(self._sizes, "<i8")), 8 * len(self._sizes), last=False)
        payloads = in_order(self._payload, self._packs, coded_bytes(self._packs))
        for pack_, sealed in zip(self._packs, payloads, strict=True):
            yield self._frame(sealed, pack_.raw_bytes, last=pack_ is self._packs[-1])

    def _frame(self, sealed: Sealed, raw: int, *, last: bool) -> tuple[Header, Sealed]:
        header = {"ident": self._first["ident"], "seq": self.frames} if self.frames else dict(self._first)
        self._crcs.append(sealed.crc)
        if last:
            self.digest = digest_of(self._first, self._crcs)
            header |= {"end": True, "digest": self.digest}
        wire = sum(map(len, sealed))
        size = frame_bytes(len(pack(header)), wire)
        self.frames += 1
        self.wire_bytes += size
        self.raw_bytes += size - padded(wire) + padded(raw)
        return header, sealed

    def _payload(self, pack_: Pack) -> Sealed:
        if isinstance(pack_, Slab):
            slab = np.zeros(pack_.nbytes, np.uint8)
            for index, offset in pack_.places:
                raw = raw_bytes(self._parts[index].array)
                slab[offset : offset + raw.size] = raw
            return Sealed.of(slab)
        part = self._parts[pack_.index]
        try:
            chunk = part.array.reshape(-1)[pack_.start : pack_.stop]
            stream = self._stream.at(part.path)
            if self._keeper is not None and not part.structural:
                return Sealed.of(self._keeper.encode(pack_.coder, part.path, pack_.start, chunk, stream))
            return Sealed.of(pack_.coder.encode_chunk(chunk, pack_.start, stream))
        except CodecError as e:
            raise CodecError(e.what, where=part.path, mend=e.mend) from e


def encode_message(
    ident: Header,
    slots: Sequence[tuple[str, Type, Any]],
    codec: LinkCodec | Agreed,
    *,
    many: Collection[str] = (),
    stream: Stream = _SAME,
    keeper: Keeper | None = None,
) -> Message:
    """Return the message of `slots`, each a name, a type and a held value, as an iterable of frames.

    Slots named in `many` have a list of held values.  Arrays are not copied: they must
    not change until the frames are sent.  A codec that rounds at random takes its numbers
    from `stream`, which is the message's own: another sender has another, a retry the same.
    One with state has what it needs from `keeper`; without one, it starts from nothing.

    Raises ValueMismatch for a value that does not travel, CodecError for one that
    `codec` does not carry (for a value such as NaN, while iterating).
    """
    return Message(ident, slots, codec, many, stream, keeper)
