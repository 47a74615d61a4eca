"""Sums: what the messages of many children are added to, each chunk in the form in which its codes add.

    sums = Sums(arrays)
    for reader in readers: reader.accumulate_into(sums, ["delta"])
    sums.finish()                                         # the arrays, with all that was added

There is one array a part, to which a code is added as it is decoded.  Where codes add up as they
are (`ArrayStage.summing`), there is one sum of codes besides for each chunk and codec, which is
decoded once, at the end: children whose links have other codecs add to the same array.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tierfed.codecs import Codec
from tierfed.codecs.stage import Summing
from tierfed.wire.packing import Chunk


class Sums:
    """See the module docstring; `arrays` are C-contiguous, and hold all of the sum when it is finished."""

    def __init__(self, arrays: Sequence[Any]) -> None:
        self.arrays = list(arrays)
        self._summings: dict[tuple[int, int, int, Codec], Summing | None] = {}

    def of(self, part: int, chunk: Chunk) -> Summing | None:
        """Return the sum of the codes of a chunk of a part, None if they are decoded to be added."""
        key = part, chunk.start, chunk.stop, chunk.coder
        if key not in self._summings:
            self._summings[key] = chunk.coder.summing(chunk.stop - chunk.start, chunk.dtype)
        return self._summings[key]

    def finish(self) -> list[Any]:
        """Return the arrays, to which the sums of codes have been added."""
        for (part, start, stop, _), summing in self._summings.items():
            if summing is not None:
                summing.into(self.arrays[part].reshape(-1)[start:stop])
        self._summings.clear()
        return self.arrays
