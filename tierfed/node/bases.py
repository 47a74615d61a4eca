"""Bases: what the children have already of a value that is broadcast, as they decoded it.

    server                                  c-0              c-1 (new)
    base 1f2e…, held by c-0                 base 1f2e…       none
    round 4: delta to 1f2e… ──────────────▶ base 77ab…
             77ab… in full  ───────────────────────────────▶ base 77ab…

A sender keeps one base for each value and codec, with the names of the children that have it; they get the
difference, coded once for all of them.  Whoever has not (the first time, a newcomer, a child that came back over a new
connection or missed a round) gets in full, and exactly, what the others decode, so that all have one
base, and compute from one value.  A child keeps the base of each value that it receives.

The base of a message becomes that of the next one when the invocation counts, at both ends by the same word
(fates.py); of a round that failed, or that did without the child, nothing is left.  In a loop each turn follows
the turn before.  A header names the base that it needs (wire/keeping.py): a child that has another refuses with
`NoBase`, is lost to that round, and gets the next one in full.

Those of the programs used last are kept, and the sender forgets first: `SENT` programs there, `HELD` here; in each
one array a tensor that is coded, two while an invocation is under way.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from tierfed.codecs.stage import Array
from tierfed.errors import NoBase
from tierfed.node.collection import Order
from tierfed.node.fates import Attempt, Counted, counts
from tierfed.wire.keeping import Arrays, FindBase

SENT = 8
HELD = 16
_OPEN = 64  # attempts of which nobody has said how they ended

BaseKey = tuple[str, ...]
"""Of what a base is: the program, the site as written, and at a sender the codec."""


@dataclass(slots=True)
class Base:
    """Decoded tensors by path, and their name.  `holders` are the children that have them."""

    arrays: Arrays
    name: bytes
    order: Order
    holders: set[str] = field(default_factory=set)

    def fits(self, tensors: Mapping[str, Array]) -> bool:
        """Return whether there is a base of each of these tensors."""
        return self.arrays.keys() == tensors.keys() and all(
            (a := self.arrays[path]).size == t.size and a.dtype == t.dtype for path, t in tensors.items()
        )


class Bases:
    """The bases at one end.  What is put here is not changed any more."""

    def __init__(self, programs: int) -> None:
        self._most = programs
        self._held: dict[BaseKey, Base] = {}
        self._open: OrderedDict[Attempt, dict[BaseKey, Base]] = OrderedDict()
        self._programs: OrderedDict[str, None] = OrderedDict()

    def get(self, attempt: Attempt, key: BaseKey) -> Base | None:
        """Return the base that the next message of an attempt is relative to, None if there is none."""
        self._use(key[0])
        return self._open.get(attempt, {}).get(key) or self._held.get(key)

    def put(self, attempt: Attempt, key: BaseKey, base: Base) -> None:
        """A message of an attempt has made this base."""
        self._use(key[0])
        if attempt not in self._open and len(self._open) >= _OPEN:
            self._open.popitem(last=False)
        self._open.setdefault(attempt, {})[key] = base

    def end(self, attempt: Attempt, counted: Counted, of_children: Mapping[str, Counted]) -> None:
        """It is known how far the attempt counts, here and at the children."""
        for key, base in self._open.pop(attempt, {}).items():
            if counts(counted, base.order) and key[0] in self._programs:
                base.holders &= {child for child, own in of_children.items() if counts(own, base.order)}
                self._held[key] = base

    def forget(self, child: str) -> None:
        """A child may have lost its bases."""
        for bases in (self._held, *self._open.values()):
            for base in bases.values():
                base.holders.discard(child)

    def find(self, attempt: Attempt, key: BaseKey, where: str) -> FindBase:
        """Return what gives a base by its name, and raises NoBase for one that is not here."""

        def found(name: bytes) -> Arrays:
            base = self.get(attempt, key)
            if base is None or base.name != name:
                raise NoBase(
                    f"a difference to base {name.hex()[:8]}, here is {base.name.hex()[:8] if base else 'none'}",
                    where=where,
                    mend="the parent sends the next one in full",
                )
            return base.arrays

        return found

    def _use(self, program: str) -> None:
        self._programs[program] = None
        self._programs.move_to_end(program)
        while len(self._programs) > self._most:
            gone, _ = self._programs.popitem(last=False)
            for key in [k for k in self._held if k[0] == gone]:
                del self._held[key]
