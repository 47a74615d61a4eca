"""Programs: what was deployed to a node, and what the node has deployed to a child.

    here.add(data, hash)        keeps a program; the one that was not used for longest may go
    there.has(hash)             whether the child is known to have it
    there.sent(hash)            it has left for the child, or was used there again

Sound because both ends see one order of uses, that of the frames on the bulk link, and the
sender forgets first: of the `KEPT` programs a node keeps, its parent counts on the last
`COUNTED_ON`.  A program counts as sent when its frames have left, and not before: a sending
that was cancelled is done again.  Nodes of one process that were sent the same bytes share what
is made of them, which is never changed.
"""

from __future__ import annotations

import functools
from collections import OrderedDict

from tierfed.compiler.serialize import compiled_from_bytes
from tierfed.compiler.slices import Compiled
from tierfed.errors import ProtocolError
from tierfed.node.own_part import OwnPart
from tierfed.topology.assignment import NodeAssignment

KEPT = 64
COUNTED_ON = 32


class Program:
    """A program deployed here, with its bytes, and what it is to the node once that was asked for."""

    def __init__(self, compiled: Compiled, data: bytes) -> None:
        self.compiled = compiled
        self.data = data
        self._part: OwnPart | None = None

    def part(self, me: NodeAssignment) -> OwnPart:
        """Return the node's own part; raises ProtocolError as `OwnPart` does."""
        if self._part is None:
            self._part = OwnPart(self.compiled, me)
        return self._part


class Programs:
    """The programs deployed at a node, by hash."""

    def __init__(self) -> None:
        self._programs: OrderedDict[str, Program] = OrderedDict()

    def add(self, data: bytes, announced: object, where: str) -> Compiled:
        """Keep the program in `data`; raises ProtocolError if it is not the one announced."""
        compiled = _compiled(data)
        if compiled.hash != announced:
            raise ProtocolError(
                f"the program is {compiled.hash}, announced as {str(announced)[:80]}",
                where=where,
                mend="run one version of tierfed",
            )
        self._programs[compiled.hash] = Program(compiled, data)
        self.get(compiled.hash)
        while len(self._programs) > KEPT:
            self._programs.popitem(last=False)
        return compiled

    def get(self, hash_: object) -> Program | None:
        """Return the program of that hash, None if it is not here."""
        if not isinstance(hash_, str) or hash_ not in self._programs:
            return None
        self._programs.move_to_end(hash_)
        return self._programs[hash_]


@functools.lru_cache(maxsize=KEPT)
def _compiled(data: bytes) -> Compiled:
    return compiled_from_bytes(data)


class Deployed:
    """The programs that a child has from us."""

    __slots__ = ("_hashes",)

    def __init__(self) -> None:
        self._hashes: tuple[str, ...] = ()  # the latest last; few, and of each child: a fleet has many

    def has(self, hash_: str) -> bool:
        """Return whether the child is known to have the program."""
        return hash_ in self._hashes

    def sent(self, hash_: str) -> None:
        """The program, or a use of it, has left for the child."""
        if self._hashes[-1:] != (hash_,):
            self._hashes = _after(self._hashes, hash_)


@functools.lru_cache(maxsize=KEPT)
def _after(hashes: tuple[str, ...], hash_: str) -> tuple[str, ...]:
    """Return `hashes` once another was used: one object for all children that were sent the same."""
    return (*(one for one in hashes if one != hash_), hash_)[-COUNTED_ON:]
