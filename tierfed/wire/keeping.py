"""Keeping: what a codec with state needs at the two ends of a message.

    message = encode_message(ident, slots, codec("error_feedback+int8"), keeper=keeper)
    list(message)                               # the keeper codes each chunk, with what is kept of its tensor
    keeper.done()                               # what this message leaves: for the next one, once it counts

A message whose codec has `delta` names its base in its first header: {…, "base": b"\\x1f…"}, the hash
of all elements that the difference is to, or nil if it carries its tensors in full.

    base = BLAKE2b-16 of each tensor in the order of its path: path, a zero byte, CRC32C of its elements

Sound because the name is that of the decoded elements, which both ends compute for themselves: ends that
decoded differently, or of which one has missed a message, disagree on the name before they use the base.
A chunk is coded from what was kept before the message alone, so that coding it again gives the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from tierfed.codecs import Codec, LinkCodec, Stream
from tierfed.codecs.delta import BASE
from tierfed.codecs.stage import Array, Buffer
from tierfed.types import TensorType
from tierfed.wire.frame import crc32c
from tierfed.wire.packing import Agreed

NAME = 16  # bytes

Arrays: TypeAlias = Mapping[str, Array]
"""Flat arrays by the paths of their tensors."""

FindBase: TypeAlias = Callable[[bytes], Arrays]
"""Gives the base of that name; raises ProtocolError if it is not here."""


class Keeper(Protocol):
    """What codes the tensors of one message, and knows what is kept of them."""

    def begin(self, tensors: Sequence[tuple[str, TensorType, Codec]]) -> None:
        """These tensors, by path, will be coded by these codecs."""

    @property
    def base(self) -> bytes | None:
        """The name of what differences are to, None if the message carries its tensors in full; asked after `begin`."""

    def encode(self, coder: Codec, path: str, start: int, chunk: Array, stream: Stream) -> Buffer:
        """Return the code of the elements of the tensor at `path` from `start` on.

        Chunks may be coded in several threads, and again.  Raises CodecError as `encode_chunk` does.
        """


def has_base(coder: LinkCodec | Agreed) -> bool:
    """Return whether messages under `coder` name a base."""
    return any(one.state == BASE for one in ((coder,) if isinstance(coder, Codec) else coder.codecs))


def base_name(arrays: Arrays) -> bytes:
    """Return the name of a base."""
    hashed = hashlib.blake2b(digest_size=NAME)
    for path in sorted(arrays):
        hashed.update(path.encode("utf-8", "surrogatepass") + b"\0")
        hashed.update(crc32c(arrays[path].view(np.uint8)).to_bytes(4, "little"))
    return hashed.digest()


def is_base(said: Any) -> bool:
    """Return whether a header's `base` is one, or nil."""
    return said is None or (type(said) is bytes and len(said) == NAME)
