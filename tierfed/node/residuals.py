"""Residuals: what codes have lost, and the next message makes good; at the sender of a link.

    residuals.take(("9f-3", 1), key, order, size, dtype)      what is to be added: it is this attempt's now
    residuals.put(("9f-3", 1), key, order, after)             what the message leaves
    residuals.end(("9f-3", 1), True)                          it counts: `after` is there for the next one

A residual is moved, never copied: while a message is under way it belongs to that attempt.  If the attempt
counts, what the message has left goes back in its place; if not, what was taken.  Another attempt meanwhile
finds nothing, and adds what it leaves.  So, whatever counts and whatever fails,

    Σ decoded of the messages that count + what is here = Σ x of these messages

That a parent has *accepted* a message does not make it count: the round may fail, or go on without its
sender, and then neither x nor what was fed back is in any model.  So residuals wait for the end of the
invocation, in which the parent says how far its sender counts (fates.py).

A site in a loop has one residual: each turn takes what the turn before has left.  If only the first of the turns
count, what the last has left stays, and what the others sent is lost with them: an attempt keeps what was there
before and after it, not each turn's.  Coding a message again takes what it took before.

Keyed by program, link, site, tensor and codec.  Of another size or codec, it is dropped.  Those of the `PROGRAMS`
programs used last are kept: in each one array a tensor that is coded, two more while a message is under way.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from tierfed.codecs.stage import Array
from tierfed.node.collection import Order
from tierfed.node.fates import Attempt, Counted, counts

PROGRAMS = 8
_OPEN = 64  # attempts of which nobody has said how they ended


@dataclass(frozen=True, slots=True)
class Key:
    """Of what a residual is: `link` names the other end, or the codec that several children share."""

    program: str
    link: str
    site: str
    path: str
    codec: str


@dataclass(slots=True)
class _Taken:
    """What an attempt has taken at first, and what its latest message, at `order`, took and left."""

    first: Order
    before: Array | None
    order: Order
    used: Array | None
    after: Array | None = None


class Residuals:
    """See the module docstring.  What is put here is not changed any more."""

    def __init__(self) -> None:
        self._held: dict[Key, Array] = {}
        self._open: OrderedDict[Attempt, dict[Key, _Taken]] = OrderedDict()
        self._programs: OrderedDict[str, None] = OrderedDict()

    def take(self, attempt: Attempt, key: Key, order: Order, size: int, dtype: DTypeLike) -> Array | None:
        """Return what is to be added to the tensor of `key` in the message at `order`, None if there is nothing."""
        self._use(key.program)
        if attempt not in self._open and len(self._open) >= _OPEN:
            self.end(next(iter(self._open)), False)
        taken = self._open.setdefault(attempt, {})
        entry = taken.get(key)
        if entry is None:
            self._drop_others(key)
            found = self._held.pop(key, None)
            before = found if _fits(found, size, dtype) else None
            taken[key] = entry = _Taken(order, before, order, before)
        elif order != entry.order:
            left = entry.used if entry.after is None else entry.after
            entry.order, entry.used, entry.after = order, left if _fits(left, size, dtype) else None, None
        return entry.used

    def put(self, attempt: Attempt, key: Key, order: Order, after: Array) -> None:
        """The message at `order` has left `after`."""
        entry = self._open.get(attempt, {}).get(key)
        if entry is not None and entry.order == order:
            entry.after = after

    def end(self, attempt: Attempt, counted: Counted) -> None:
        """It is known how far the attempt counts.  Once said, it is not asked again."""
        for key, entry in self._open.pop(attempt, {}).items():
            if counts(counted, entry.first):
                self._give(key, entry.used if entry.after is None else entry.after)
            else:
                self._give(key, entry.before)

    def all(self) -> Iterator[tuple[Key, Array]]:
        """Yield what is here when all that is under way is taken as failed."""
        found = dict(self._held)
        for taken in self._open.values():
            for key, entry in taken.items():
                if entry.before is not None:
                    found[key] = _sum(found.get(key), entry.before)
        yield from found.items()

    def restore(self, key: Key, array: Array) -> None:
        """Put back what was saved."""
        self._use(key.program)
        self._held[key] = array

    def _give(self, key: Key, array: Array | None) -> None:
        if array is not None and key.program in self._programs:
            self._held[key] = _sum(self._held.get(key), array)

    def _use(self, program: str) -> None:
        self._programs[program] = None
        self._programs.move_to_end(program)
        while len(self._programs) > PROGRAMS:
            gone, _ = self._programs.popitem(last=False)
            for key in [k for k in self._held if k.program == gone]:
                del self._held[key]

    def _drop_others(self, key: Key) -> None:
        """Forget what is left of another codec of the same tensor."""
        same = (key.program, key.link, key.site, key.path)
        for other in [k for k in self._held if k != key and (k.program, k.link, k.site, k.path) == same]:
            del self._held[other]


def _fits(array: Array | None, size: int, dtype: DTypeLike) -> bool:
    return array is not None and array.size == size and array.dtype == dtype


def _sum(one: Array | None, other: Array) -> Array:
    if one is None or one.shape != other.shape:
        return other
    with np.errstate(all="ignore"):
        total: Array = one + other
    return total
