"""Terms: what the senders of one message agree on before they send, chunk by chunk.

    terms = Terms.of([("delta", MODEL)], codec("thc"))            the same at both ends, from the types alone
    offer = terms.offer([value], stream)                          float32[terms.offer_size], of each sender
    terms.check(offer); terms.combine(total, offer)               at the parent
    agreed = terms.agreed(terms.answer(total), stream)            at both ends: the codec of the message

The offers of all chunks are one array, and so are the answers; where each chunk's lie follows from the types.  So only
slots of fixed tensors, which the parent adds in place, are agreed on; chunks of others have the code of a
sender that is alone.

The random numbers that all senders share are `stream.common` at the chunk's path and place: they do not travel.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tierfed.codecs import Codec, LinkCodec, Rules, Stream
from tierfed.codecs.agreeing import Agreeing, seed_of
from tierfed.codecs.stage import Array
from tierfed.errors import CodecError
from tierfed.types import TensorType, Type
from tierfed.wire.layout import layout_of
from tierfed.wire.packing import Agreed, Chunk, packing
from tierfed.wire.value import parts_of

Given = Callable[[Codec, str, int, Array], tuple[Codec, Array]]
"""Gives, of a chunk (its codec, path, start and elements), the stages behind one with state, and what they get."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """One chunk, and where its offer and its answer lie."""

    path: str
    start: int
    stop: int
    coder: Codec
    offer: slice
    answer: slice

    @property
    def stage(self) -> Agreeing:
        """The stage whose senders agree."""
        stage = self.coder.agreement
        assert stage is not None  # or it were no piece
        return stage


@dataclass(frozen=True, slots=True)
class Terms:
    """See the module docstring."""

    link: LinkCodec
    slots: tuple[tuple[str, Type], ...]
    pieces: tuple[_Piece, ...]

    @staticmethod
    @functools.lru_cache(maxsize=256)
    def of(slots: tuple[tuple[str, Type], ...], coder: LinkCodec) -> Terms | None:
        """Return the terms of a message whose `slots` are added in place, None if there is nothing to agree on.

        Raises CodecError, naming the path, for a large tensor that `coder` does not carry.
        """
        if not may_agree(coder):
            return None
        columns = [c for name, t in slots for c in layout_of(t, (), name)]
        pieces: list[_Piece] = []
        offers = answers = 0
        for chunk in packing(columns, coder) if columns else ():
            stage = chunk.coder.agreement if isinstance(chunk, Chunk) else None
            if stage is None or not isinstance(chunk, Chunk):
                continue
            size = chunk.stop - chunk.start
            more_offers, more_answers = offers + stage.offer_size(size), answers + stage.answer_size(size)
            spans = slice(offers, more_offers), slice(answers, more_answers)
            pieces.append(_Piece(columns[chunk.index].path, chunk.start, chunk.stop, chunk.coder, *spans))
            offers, answers = more_offers, more_answers
        return Terms(coder, slots, tuple(pieces)) if pieces else None

    @property
    def offer_type(self) -> TensorType:
        """The type of an offer."""
        return TensorType("float32", (self.pieces[-1].offer.stop,))

    @property
    def answer_type(self) -> TensorType:
        """The type of an answer."""
        return TensorType("float32", (self.pieces[-1].answer.stop,))

    def tensors(self) -> list[tuple[str, TensorType, Codec]]:
        """Return the tensors that are agreed on: path, type, and the link's codec of each."""
        columns = [c for name, t in self.slots for c in layout_of(t, (), name)]
        paths = {piece.path for piece in self.pieces}
        return [(c.path, c.type, self.link.at(c.path)) for c in columns if c.path in paths]

    def offer(self, values: Sequence[Any], stream: Stream, given: Given | None = None) -> Array:
        """Return the offer of the sender of these values of `slots`.  Raises CodecError for what cannot be sent."""
        parts = [p for (name, t), value in zip(self.slots, values, strict=True) for p in parts_of(value, t, name)]
        arrays = {part.path: part.array.reshape(-1) for part in parts}
        offer = np.empty(self.pieces[-1].offer.stop, np.float32)
        for piece in self.pieces:
            chunk, coder = arrays[piece.path][piece.start : piece.stop], piece.coder
            seed = seed_of(stream.at(piece.path), piece.start)
            try:
                if given is not None:
                    coder, chunk = given(coder, piece.path, piece.start, chunk)
                offer[piece.offer] = coder.offer_chunk(chunk, piece.start, seed)
            except CodecError as e:
                raise CodecError(e.what, where=piece.path, mend=e.mend) from e
        return offer

    def check(self, offer: Array) -> None:
        """Raise CodecError, naming the path, for numbers that no sender offers."""
        for piece in self.pieces:
            try:
                piece.stage.check_offer(offer[piece.offer])
            except CodecError as e:
                where = f"{piece.path}, elements {piece.start} to {piece.stop}"
                raise CodecError(e.what, where=where, mend=e.mend) from e

    def combine(self, total: Array, offer: Array) -> None:
        """Put another sender's offer, which was checked, to those in `total`."""
        for piece in self.pieces:
            piece.stage.combine(total[piece.offer], offer[piece.offer])

    def answer(self, total: Array) -> Array:
        """Return the answer to the offers in `total`."""
        return np.concatenate([piece.stage.answer(total[piece.offer]) for piece in self.pieces])

    def agreed(self, answer: Array, stream: Stream) -> Agreed:
        """Return the codec of those who were answered so.  Raises CodecError, naming the path, for no answer."""
        found: dict[tuple[str, int], Codec] = {}
        for piece in self.pieces:
            seed = seed_of(stream.at(piece.path), piece.start)
            try:
                found[piece.path, piece.start] = piece.coder.agreed(answer[piece.answer], seed)
            except CodecError as e:
                where = f"{piece.path}, elements {piece.start} to {piece.stop}"
                raise CodecError(e.what, where=where, mend=e.mend) from e
        return Agreed(self.link, found)

    def blank(self) -> Agreed:
        """Return the codec of those who have offered nothing: its messages have the sizes of any other's."""
        return self.agreed(np.zeros(self.pieces[-1].answer.stop, np.float32), Stream())


def may_agree(coder: LinkCodec) -> bool:
    """Return whether a codec of this link has senders who agree."""
    return any(one.agrees for one in (coder.codecs if isinstance(coder, Rules) else (coder,)))
