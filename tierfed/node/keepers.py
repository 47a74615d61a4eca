"""Keepers: how a node's messages are coded where their codec has state, and what is kept of them.

    up      one residual a tensor                      of what the parent adds up; anything else has no residual
    down    one residual a tensor and codec            a broadcast is coded once for all children who share a codec
            one a tensor and child                     of what is scattered
            one base a tensor and codec                of what is broadcast; what is scattered goes in full

A residual on the way down is the sender's: a child that was away has missed what the others got, as it has
missed the model itself, and what was lost on the way to them is made good to whoever is there next time.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tierfed.codecs import Codec, Rules, Stream, link_codec
from tierfed.codecs.delta import BASE, difference
from tierfed.codecs.error_feedback import RESIDUAL, fed, feed_back, residual_dtype
from tierfed.codecs.stage import Array, Buffer
from tierfed.compiler.slices import Compiled, Fold, Site, added
from tierfed.errors import TierfedError
from tierfed.node.bases import HELD, SENT, Base, Bases
from tierfed.node.collection import Order
from tierfed.node.fates import Attempt, Counted, Fates, Part
from tierfed.node.residuals import Key, Residuals
from tierfed.node.saving import load, save
from tierfed.types import TensorType
from tierfed.wire.keeping import base_name
from tierfed.wire.message import MessageReader

log = logging.getLogger("tierfed.node.keepers")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message stands: which attempt of which program sends it, over which link, and when."""

    attempt: Attempt
    program: str
    link: str
    site: str
    order: Order


class MessageKeeper:
    """What codes one message (wire/keeping.py), and what that leaves.

    `added` says of a slot whether errors are fed back.  `relative` is the base that differences are to; `exactly`
    has the values to be sent where there is none, if not those of the message.
    """

    def __init__(
        self,
        place: Place,
        residuals: Residuals,
        added: Callable[[str], bool],
        relative: Base | None = None,
        exactly: Mapping[str, Array] | None = None,
    ) -> None:
        self._place = place
        self._residuals = residuals
        self._added = added
        self._relative = relative
        self._exactly = exactly
        self._fed: dict[str, tuple[Key, Array | None, Array]] = {}  # by path: what is added, and what is left
        self.based: dict[str, Array] = {}  # by path: what the receivers will have
        self.base = None if relative is None else relative.name

    def begin(self, tensors: Sequence[tuple[str, TensorType, Codec]]) -> None:
        place = self._place
        for path, t, coder in tensors:
            if coder.state == RESIDUAL and self._added(path):
                key = Key(place.program, place.link, place.site, path, str(coder))
                dtype, size = residual_dtype(t.name), t.size or 0
                before = self._residuals.take(place.attempt, key, place.order, size, dtype)
                self._fed[path] = key, before, np.empty(size, dtype)
            elif coder.state == BASE:
                self.based[path] = np.empty(t.size or 0, t.dtype)
        if self.base is not None and not (self._relative and self._relative.fits(self.based)):
            self.base = None

    def encode(self, coder: Codec, path: str, start: int, chunk: Array, stream: Stream) -> Buffer:
        here = slice(start, start + chunk.size)
        if path in self._fed:
            _, before, after = self._fed[path]
            return feed_back(coder, chunk, None if before is None else before[here], after[here], start, stream)
        if path not in self.based:
            return coder.encode_chunk(chunk, start, stream)
        after = self.based[path][here]
        if self.base is not None and self._relative is not None:
            return difference(coder, chunk, self._relative.arrays[path][here], after, start, stream)
        if self._exactly is None:
            for stage in coder.float_stages:
                chunk = stage.apply(chunk, start)
        after[:] = chunk if self._exactly is None else self._exactly[path][here]
        return coder.encode_chunk(after, start, stream)

    def given(self, coder: Codec, path: str, start: int, chunk: Array) -> tuple[Codec, Array]:
        """Return the stages that will write a chunk, and what they will be given of it: what `encode` does first."""
        if path not in self._fed:
            return coder, chunk
        _, before, after = self._fed[path]
        here = None if before is None else before[start : start + chunk.size]
        return coder.stages_behind_state, fed(coder, chunk, here, after.dtype, start)

    def done(self) -> None:
        """The message is coded: what it leaves is for the next one, if it counts."""
        for key, _, after in self._fed.values():
            self._residuals.put(self._place.attempt, key, self._place.order, after)

    def new_base(self) -> Base:
        """Return the base that the message makes, of what its receivers will have."""
        return Base(self.based, base_name(self.based), self._place.order)


def received(reader: MessageReader, order: Order) -> tuple[list[Any], Base | None]:
    """Return the values of a parent's message, and the base that they are for the next one, if they are one."""
    values = reader.decode()
    return values, Base(reader.based, base_name(reader.based), order) if reader.based else None


@functools.lru_cache(maxsize=64)  # every message asks
def states(spec: str) -> frozenset[str]:
    """Return what is kept for a link of this codec: residuals, bases or both."""
    coder = link_codec(spec)
    codecs = coder.codecs if isinstance(coder, Rules) else (coder,)
    return frozenset(one.state for one in codecs) & {RESIDUAL, BASE}


def added_up(compiled: Compiled, site: Site) -> list[str]:
    """Return the slots of the messages of `site` that whoever collects them adds up, and does nothing else with."""
    folds = (s for part in compiled.slices.values() for s in part.walk() if isinstance(s, Fold) and s.site == site)
    return [slot.name for fold in folds for slot in added(fold.folds)]


def slot_in(path: str, slots: Iterable[str]) -> bool:
    """Return whether a tensor's path begins with one of these slots."""
    return any(path == slot or path.startswith((f"{slot}.", f"{slot}[")) for slot in slots)


class Keeping:
    """What a node keeps from invocation to invocation for its codecs, and how far each attempt counts.

    `sent` are the bases that its children have, `received` its own.
    """

    def __init__(self) -> None:
        self.residuals = Residuals()
        self.sent = Bases(SENT)
        self.received = Bases(HELD)
        self.fates = Fates()

    def end(self, attempt: Attempt, part: Part, counted: Counted | None) -> dict[str, Counted | None]:
        """An attempt is over here, and counts so far; return how far it does at each child."""
        if counted is None:
            self.fates.wait(attempt, part)
            return dict.fromkeys(part.out)
        own = {child: part.of(child, counted) for child in part.out}
        self.residuals.end(attempt, counted)
        self.received.end(attempt, counted, {})
        self.sent.end(attempt, counted, own)
        for child, of_child in own.items():
            self.fates.told(child, attempt, of_child)
        return dict(own)

    def saving(self, checkpoints: Path | None, number: int, node: str) -> Callable[[], None]:
        """Return what writes the residuals that are here now to the folder of a round; it may be called in a thread."""
        found = list(self.residuals.all())

        def write() -> None:
            try:
                if found and checkpoints is not None:
                    save(checkpoints, number, node, found)
            except OSError as error:
                log.warning("residuals cannot be saved: %s", error.strerror)

        return write

    def restore(self, folder: Path, node: str) -> None:
        """Go on with the residuals that a node has saved in the folder of a round; with none, if they are damaged."""
        try:
            for key, array in load(folder, node):
                self.residuals.restore(key, array)
        except TierfedError as error:
            log.warning("%s", error)

    def heard(self, attempt: Attempt, counted: Counted | None) -> dict[str, Counted | None]:
        """It is heard how far an attempt counts that is over here; return what there is to tell of it to each child."""
        part = self.fates.known(attempt) if counted is not None else None
        return {} if part is None else self.end(attempt, part, counted)
