"""Codecs: how an array is written for a link.

    codec("int8+zstd").encode(x)          bytes; .decode(data, type) gives the array back

One codec is one file here and one line in `table.TABLE`; third parties register
theirs under the entry point group `tierfed.codecs`.
"""

from tierfed.codecs.chain import Codec, codec
from tierfed.codecs.chunks import CHUNK
from tierfed.codecs.rules import LinkCodec, Rules, link_codec
from tierfed.codecs.stage import ArrayStage, Buffer, ByteStage, FloatStage, ShortStage, Stage, Summing
from tierfed.codecs.stream import Stream
from tierfed.codecs.table import LATER, TABLE, names

__all__ = [
    "CHUNK",
    "LATER",
    "TABLE",
    "ArrayStage",
    "Buffer",
    "ByteStage",
    "Codec",
    "FloatStage",
    "LinkCodec",
    "Rules",
    "ShortStage",
    "Stage",
    "Stream",
    "Summing",
    "codec",
    "link_codec",
    "names",
]
