"""A program as the compiler has it: each pass's result, the slices, and their hashes.

    drawn(Seen(name, computation, hierarchy), "dot", "slices")      {"slices": b"digraph …", "SERVER": …}

| stage | |
|---|---|
| program | as it was traced |
| normalised | one flat list of operations, what nobody uses gone |
| expanded | derived operations are aggregates and maps |
| climbed | no operation crosses more than one tier |
| fused | neighbouring maps are one |
| slices | what each tier executes |

Only the last three depend on the tiers.  The protobuf of a program is what `tierfed.deserialize` reads,
and its hash is the SHA-256 of those bytes; so it is with the bytes of one slice.  That of all slices is
the one which names them on every node: see `compiler.serialize`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from tierfed.compiler import climbed, compile
from tierfed.compiler.dot import program_dot, slice_dot, slices_dot
from tierfed.compiler.expand import expand
from tierfed.compiler.normalise import normalise
from tierfed.compiler.serialize import compiled_to_bytes, slice_hash, slice_to_bytes
from tierfed.compiler.show import slice_lines
from tierfed.compiler.slices import Compiled, Slice
from tierfed.ir.nodes import Node
from tierfed.ir.proto import node_to_bytes
from tierfed.ir.text import formatted
from tierfed.language.computation import Computation
from tierfed.placements import Hierarchy
from tierfed.types import formatted as formatted_type

SUFFIXES: Mapping[str, str] = {"text": ".txt", "dot": ".dot", "protobuf": ".pb"}
Parts: TypeAlias = dict[str, bytes]
"""What is written: the whole first, then what a folder has beside it."""


@dataclass(frozen=True)
class Seen:
    """A computation, and the tiers that it is compiled for; `whole`, if long lines are wanted uncut."""

    name: str
    computation: Computation
    hierarchy: Hierarchy | None = None
    whole: bool = True

    @cached_property
    def compiled(self) -> Compiled:
        """The slices; raises CompileError where the program does not fit the hierarchy."""
        assert self.hierarchy is not None
        return compile(self.computation, self.hierarchy)

    @property
    def slices(self) -> list[Slice]:
        """The slices, the deepest tier first, which is the order in which values rise."""
        return [self.compiled.slices[p] for p in reversed(self.compiled.hierarchy.placements)]

    def node(self, stage: str) -> Node:
        """Return the program after the pass that `stage` names."""
        match stage:
            case "program":
                return self.computation.node
            case "normalised":
                return normalise(self.computation.node)
            case "expanded":
                return normalise(expand(normalise(self.computation.node)))
            case "climbed":
                assert self.hierarchy is not None
                return climbed(self.computation.node, self.hierarchy)
        return self.compiled.program

    def hashes(self) -> dict[str, Any]:
        """Return the hash of the program, and with a hierarchy those of all slices and of each."""
        found: dict[str, Any] = {"program": hashlib.sha256(node_to_bytes(self.computation.node)).hexdigest()}
        if self.hierarchy is not None:
            found["slices"] = self.compiled.hash
            found["slice"] = {str(s.placement): slice_hash(s) for s in self.slices}
        return found


def drawn(seen: Seen, form: str, stage: str | None) -> Parts:
    """Return a program in `form`: one stage of it, or, without one, the slices and what they come from."""
    as_node, as_slice, as_slices = _FORMS[form]
    if stage is not None and stage != "slices":
        return {stage: as_node(seen, stage)}
    each = {str(s.placement): as_slice(seen, s) for s in seen.slices}
    if stage is not None:
        return {"slices": as_slices(seen), **each}
    whole = _overview(seen) if form == "text" else as_slices(seen)
    return {"compiled": whole, "program": as_node(seen, "program"), **each}


def _overview(seen: Seen) -> bytes:
    hashes = seen.hashes()
    rows = [
        f"{seen.name} over {seen.hierarchy}",
        f"type     {formatted_type(seen.computation.type_signature)}",
        f"program  {hashes['program']}",
        f"slices   {hashes['slices']}",
        "",
        formatted(seen.computation.node),
        "",
    ]
    return "\n".join(rows).encode() + b"\n" + _slices_text(seen)


def _node_text(seen: Seen, stage: str) -> bytes:
    return f"{formatted(seen.node(stage))}\n".encode()


def _slice_text(seen: Seen, slice_: Slice) -> bytes:
    head, *steps = slice_lines(slice_, whole=seen.whole)
    return "\n".join([f"{head}  {slice_hash(slice_)}", *steps, ""]).encode()


def _slices_text(seen: Seen) -> bytes:
    return b"\n".join(_slice_text(seen, slice_) for slice_ in seen.slices)


_FORMS: Mapping[str, tuple[Callable[[Seen, str], bytes], Callable[[Seen, Slice], bytes], Callable[[Seen], bytes]]] = {
    "text": (_node_text, _slice_text, _slices_text),
    "dot": (
        lambda seen, stage: program_dot(seen.node(stage), f"{seen.name} {stage}").encode(),
        lambda seen, slice_: slice_dot(slice_, f"{seen.name} {slice_.placement}").encode(),
        lambda seen: slices_dot(seen.compiled, seen.name).encode(),
    ),
    "protobuf": (
        lambda seen, stage: node_to_bytes(seen.node(stage)),
        lambda seen, slice_: slice_to_bytes(slice_),
        lambda seen: compiled_to_bytes(seen.compiled),
    ),
}
