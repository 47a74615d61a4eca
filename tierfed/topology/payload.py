"""Payload: the bytes that values of given types take on a link, before there are any values.

    payload_bytes([float32[784,64], float32[64]], codec("int8"))      (200960, 51204)

Raw is 1:1; nominal is what the codec's array stage writes, chunk by chunk.  Tensors under
`SMALL` elements go raw under any codec.  Headers of frames are left out, as is what zstd
saves: that depends on the values.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tierfed.codecs import Codec
    from tierfed.types import TensorType

SMALL = 4096
"""Elements under which a tensor goes raw, as the wire does it."""


def payload_bytes(types: Iterable[TensorType], codec: Codec) -> tuple[int, int] | None:
    """Return (raw, nominal) bytes of one value of each of `types`; None if a size or a string is open.

    Raises CodecError if the codec cannot carry one of the larger tensors.
    """
    from tierfed.codecs import CHUNK  # numpy: kept off the path until somebody predicts

    raw = nominal = 0
    for t in types:
        if t.nbytes is None or t.size is None:
            return None
        raw += t.nbytes
        if t.size < SMALL:
            nominal += t.nbytes
            continue
        codec.check_carries(t)
        whole, rest = divmod(t.size, CHUNK)
        for count, elements in ((whole, CHUNK), (1 if rest else 0, rest)):
            if count:
                nominal += count * (codec.nominal_bytes(elements, t.name) or 0)
    return raw, nominal
