"""Slices as bytes, and the hash that names them everywhere.

    compiled_from_bytes(compiled_to_bytes(compiled)) == compiled

The hash is SHA-256 over the deterministic bytes of hierarchy and slices (not of the program
they were cut from), so two nodes that know a program by one hash execute the same steps.
What is read is hashed again, and its slices are checked: see `compiler.agree`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from tierfed.compiler.agree import check_slices
from tierfed.compiler.slices import (
    Broadcast,
    Carried,
    Compiled,
    Compute,
    Fold,
    FoldKind,
    FoldSlot,
    Keep,
    Load,
    Loop,
    Recall,
    Receive,
    Scatter,
    Send,
    Site,
    Slice,
    Slot,
    Step,
    walk,
)
from tierfed.errors import PlacementError
from tierfed.ir.nodes import Lambda, Node
from tierfed.ir.proto import computation_pb2, slices_pb2
from tierfed.ir.proto.limits import MAX_BYTES, parsed, written
from tierfed.ir.proto.serialize import read_node, write_node
from tierfed.ir.proto.type_form import TypeReader, type_message, write_placement
from tierfed.placements import Hierarchy, Placement

_MAX_PLACEMENTS = 256
_MAX_LOOPS = 60  # one inside another: more than a program within MAX_DEPTH can say
_KINDS: Mapping[FoldKind, slices_pb2.FoldSlot.Kind] = {
    "accumulate": slices_pb2.FoldSlot.ACCUMULATE,
    "merge": slices_pb2.FoldSlot.MERGE,
    "gather": slices_pb2.FoldSlot.GATHER,
}
_KIND_NAMES: Mapping[int, FoldKind] = {number: name for name, number in _KINDS.items()}


def slices_hash(hierarchy: Hierarchy, slices: Mapping[Placement, Slice]) -> str:
    """Return the hash of `slices` over `hierarchy`, in hexadecimal."""
    return hashlib.sha256(written(_sliced(hierarchy, slices), "slices")).hexdigest()


def slice_to_bytes(slice_: Slice) -> bytes:
    """Return one slice as bytes, whose SHA-256 names it alone."""
    message = slices_pb2.Slice()
    _write_slice(slice_, message)
    return written(message, "slice")


def slice_hash(slice_: Slice) -> str:
    """Return the hash of one slice, in hexadecimal."""
    return hashlib.sha256(slice_to_bytes(slice_)).hexdigest()


def compiled_to_bytes(compiled: Compiled, limit: int = MAX_BYTES) -> bytes:
    """Return `compiled` as bytes; raises ProtocolError beyond `limit` bytes."""
    message = slices_pb2.Compiled(hash=compiled.hash)
    write_node(compiled.program, message.program)
    message.sliced.CopyFrom(_sliced(compiled.hierarchy, compiled.slices))
    return written(message, "slices", limit)


def compiled_from_bytes(data: bytes, limit: int = MAX_BYTES) -> Compiled:
    """Return the program, hierarchy and slices in `data`.

    Raises ProtocolError or TypeMismatch for bytes that are none, slices that do not fit
    together, and a hash that is not theirs.
    """
    message = parsed(slices_pb2.Compiled, data, "slices", limit)
    reader = _Reader()
    hierarchy = reader.hierarchy(message.sliced.hierarchy)
    slices = reader.slices(message.sliced.slice, hierarchy)
    program = read_node(message.program, reader.types)
    if not isinstance(program, Lambda):
        raise reader.types.fail("the program is no function", "send a program that was compiled")
    found = slices_hash(hierarchy, slices)
    if found != message.hash:
        raise reader.types.fail(
            f"the hash is {found[:12]}…, and is said to be {message.hash[:12]!r}…", "send the program again"
        )
    check_slices(hierarchy, slices)
    reader.types.declare()
    return Compiled(program, hierarchy, slices, found)


def _sliced(hierarchy: Hierarchy, slices: Mapping[Placement, Slice]) -> slices_pb2.Sliced:
    message = slices_pb2.Sliced()
    write_placement(hierarchy.root, message.hierarchy.root)
    for below in hierarchy.placements:
        above = hierarchy.parent(below)
        if above is not None:
            edge = message.hierarchy.edge.add()
            write_placement(below, edge.below)
            write_placement(above, edge.above)
    for placement in hierarchy.placements:
        _write_slice(slices[placement], message.slice.add())
    return message


def _write_slice(slice_: Slice, into: slices_pb2.Slice) -> None:
    write_placement(slice_.placement, into.placement)
    for step in slice_.walk():
        _write_step(step, into.step.add())


def _write_step(step: Step, into: slices_pb2.Step) -> None:
    match step:
        case Receive(site=site, slots=slots):
            _write_message(site, slots, into.receive)
        case Load(slot=slot, uri=uri):
            _write_slot(slot, into.load.slot)
            into.load.uri = uri
        case Compute(slot=slot, expression=expression):
            _write_slot(slot, into.compute.slot)
            write_node(expression, into.compute.expression)
        case Broadcast(site=site, to=to, slots=slots):
            write_placement(to, into.broadcast.to)
            _write_message(site, slots, into.broadcast)
        case Scatter(site=site, to=to, slots=slots):
            write_placement(to, into.scatter.to)
            _write_message(site, slots, into.scatter)
        case Fold(site=site, source=source, folds=folds):
            into.fold.site.phase, into.fold.site.index = site.phase, site.index
            into.fold.site.SetInParent()
            write_placement(source, into.fold.source)
            for fold in folds:
                _write_fold(fold, into.fold.fold.add())
        case Send(site=site, slots=slots):
            _write_message(site, slots, into.send)
        case Keep(slot=slot):
            _write_slot(slot, into.keep.slot)
        case Recall(slot=slot, default=default):
            _write_slot(slot, into.recall.slot)
            into.recall.default = default or ""
        case Loop():
            _write_loop(step, into.loop)


def _write_loop(loop: Loop, into: slices_pb2.Loop) -> None:
    into.site.phase, into.site.index = loop.site.phase, loop.site.index
    into.site.SetInParent()
    write_node(loop.turns, into.turns)
    for carried in loop.carried:
        message = into.carried.add(first=carried.first, next=carried.next)
        _write_slot(carried.slot, message.slot)
    into.steps = sum(1 for _ in walk(loop.steps))


def _write_message(site: Site, slots: tuple[Slot, ...], into: Any) -> None:
    """Write the site and slots of a step that is a message."""
    into.site.phase, into.site.index = site.phase, site.index
    into.site.SetInParent()
    for slot in slots:
        _write_slot(slot, into.slot.add())


def _write_slot(slot: Slot, into: slices_pb2.Slot) -> None:
    into.name = slot.name
    into.type.CopyFrom(type_message(slot.type))
    if slot.many is not None:
        write_placement(slot.many, into.many)


def _write_fold(fold: FoldSlot, into: slices_pb2.FoldSlot) -> None:
    _write_slot(fold.slot, into.slot)
    into.kind = _KINDS[fold.kind]
    _write_slot(fold.incoming, into.incoming)
    if fold.zero is not None:
        write_node(fold.zero, into.zero)
    if fold.operator is not None:
        write_node(fold.operator, into.operator)
    into.plus = fold.plus


class _Reader:
    """Reads one hierarchy and its slices."""

    def __init__(self) -> None:
        self.types = TypeReader("slices")

    def hierarchy(self, message: slices_pb2.Hierarchy) -> Hierarchy:
        if len(message.edge) >= _MAX_PLACEMENTS:
            raise self.types.fail(f"a hierarchy of more than {_MAX_PLACEMENTS} placements")
        parents: dict[Placement | str, Placement | str] = {}
        for edge in message.edge:
            below = self.types.placement(edge.below)
            if below in parents:
                raise self.types.fail(f"{below} has two placements above it")
            parents[below] = self.types.placement(edge.above)
        try:
            return Hierarchy(parents, root=self.types.placement(message.root))
        except PlacementError as bad:
            raise self.types.fail(bad.what, bad.mend) from None

    def slices(self, messages: Any, hierarchy: Hierarchy) -> dict[Placement, Slice]:
        found: dict[Placement, Slice] = {}
        for message in messages:
            placement = self.types.placement(message.placement)
            if placement not in hierarchy or placement in found:
                raise self.types.fail(f"a slice too many, of {placement}", f"write one for each tier of {hierarchy}")
            found[placement] = Slice(placement, self.steps(message.step))
        missing = [str(p) for p in hierarchy.placements if p not in found]
        if missing:
            raise self.types.fail(f"no slice of {', '.join(missing)}", f"write one for each tier of {hierarchy}")
        return found

    def steps(self, messages: Any, loops: int = 0) -> tuple[Step, ...]:
        """Return steps that stand in so many loops; each loop is followed by its own."""
        if loops > _MAX_LOOPS:
            raise self.types.fail(f"more than {_MAX_LOOPS} loops, one inside another")
        found: list[Step] = []
        at = 0
        while at < len(messages):
            message = messages[at]
            at += 1
            if message.WhichOneof("step") != "loop":
                found.append(self.step(message))
                continue
            end = at + message.loop.steps
            if end > len(messages):
                raise self.types.fail(f"a loop of {message.loop.steps} steps, and {len(messages) - at} follow")
            found.append(self.loop(message.loop, self.steps(messages[at:end], loops + 1)))
            at = end
        return tuple(found)

    def step(self, message: slices_pb2.Step) -> Step:
        kind = message.WhichOneof("step")
        if kind == "receive":
            return Receive(self.site(message.receive.site), self.slots(message.receive.slot))
        if kind == "load":
            return Load(self.slot(message.load.slot), message.load.uri)
        if kind == "compute":
            return Compute(self.slot(message.compute.slot), read_node(message.compute.expression, self.types))
        if kind == "broadcast" or kind == "scatter":
            of = message.broadcast if kind == "broadcast" else message.scatter
            make = Broadcast if kind == "broadcast" else Scatter
            return make(self.site(of.site), self.types.placement(of.to), self.slots(of.slot))
        if kind == "fold":
            source = self.types.placement(message.fold.source)
            return Fold(self.site(message.fold.site), source, tuple(self.fold(f) for f in message.fold.fold))
        if kind == "send":
            return Send(self.site(message.send.site), self.slots(message.send.slot))
        if kind == "keep":
            return Keep(self.slot(message.keep.slot))
        if kind == "recall":
            return Recall(self.slot(message.recall.slot), message.recall.default or None)
        raise self.types.fail("a step that says nothing")

    def loop(self, message: slices_pb2.Loop, steps: tuple[Step, ...]) -> Loop:
        carried = tuple(Carried(self.slot(c.slot), c.first, c.next) for c in message.carried)
        turns = read_node(message.turns, self.types)
        return Loop(self.site(message.site), turns, carried, steps)

    def site(self, message: slices_pb2.Site) -> Site:
        return Site(message.phase, message.index)

    def slots(self, messages: Any) -> tuple[Slot, ...]:
        return tuple(self.slot(m) for m in messages)

    def slot(self, message: slices_pb2.Slot) -> Slot:
        if not message.name:
            raise self.types.fail("a slot without a name")
        many = self.types.placement(message.many) if message.HasField("many") else None
        return Slot(message.name, self.types.type(message.type), many)

    def fold(self, message: slices_pb2.FoldSlot) -> FoldSlot:
        kind = _KIND_NAMES.get(message.kind)
        if kind is None:
            raise self.types.fail(f"no fold has the number {message.kind}", "use accumulate, merge or gather")
        return FoldSlot(
            self.slot(message.slot),
            kind,
            self.slot(message.incoming),
            self.node(message, "zero"),
            self.node(message, "operator"),
            message.plus,
        )

    def node(self, message: slices_pb2.FoldSlot, part: str) -> Node | None:
        of: computation_pb2.Computation = getattr(message, part)
        return read_node(of, self.types) if message.HasField(part) else None
