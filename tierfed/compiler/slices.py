"""Slices: what each tier executes, one local program a placement.

A slice is a list of steps over a node's local environment, names to held values:

    CLIENTS   receive model                          1.0
              compute v3 = comp#local_update(<model,data>)
              send v3                                2.0

*Site* names one message of the program: its phase (the longest chain of hops before it)
and its index within the phase.  All slices follow (phase, index) order, and every channel
is first-in first-out, so no two nodes wait for each other.
"""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal as Choice
from typing import TypeAlias

from tierfed.ir.nodes import Lambda, Node
from tierfed.placements import Hierarchy, Placement
from tierfed.types import StructType, TensorType, Type, html
from tierfed.types.notation import formatted


@dataclass(frozen=True, slots=True, order=True)
class Site:
    """One message of the sliced program, `phase.index`; the arguments are phase 0.

    As it is sent it has the turns of the loops around it, the outermost first: `2.0[3,1]` is in
    the fourth turn of a loop and the second of one inside it.  `2.0?` is where senders agree on how
    they will write their messages of 2.0, if their codec wants that.
    """

    phase: int
    index: int
    turns: tuple[int, ...] = ()
    asks: bool = False

    def __str__(self) -> str:
        turns = f"[{','.join(map(str, self.turns))}]" if self.turns else ""
        return f"{self.phase}.{self.index}{turns}{'?' if self.asks else ''}"

    @property
    def written(self) -> Site:
        """The site as it stands in the slices, in no turn."""
        return Site(self.phase, self.index, (), self.asks) if self.turns else self

    @property
    def before(self) -> Site:
        """Where the senders of this site agree."""
        return Site(self.phase, self.index, self.turns, True)

    def at(self, turns: tuple[int, ...]) -> Site:
        """Return this site in these turns."""
        return Site(self.phase, self.index, turns, self.asks) if turns else self

    @staticmethod
    @functools.lru_cache(maxsize=1024)  # every frame names one
    def parse(text: str) -> Site:
        """Return the site that `str` wrote."""
        phase, _, rest = text.partition(".")
        index, _, turns = rest.removesuffix("?").partition("[")
        return Site(
            int(phase), int(index), tuple(int(t) for t in turns.rstrip("]").split(",") if t), rest.endswith("?")
        )


@dataclass(frozen=True, slots=True)
class Slot:
    """A named value in a node's environment.

    `type` is the type of one member's constituent.  With `many`, the slot holds a list of
    them, one for each member of placement `many` in the node's subtree, in member order.
    """

    name: str
    type: Type
    many: Placement | None = None


@dataclass(frozen=True, slots=True)
class Receive:
    """Wait for the parent's message of `site` (the driver's, at the root) and bind its slots."""

    site: Site
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class Load:
    """Bind `slot` to what this member has under `uri`."""

    slot: Slot
    uri: str


@dataclass(frozen=True, slots=True)
class Compute:
    """Bind `slot` to the value of `expression` over the environment."""

    slot: Slot
    expression: Node


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Send the same slots to every child of placement `to`."""

    site: Site
    to: Placement
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class Scatter:
    """Send each child of placement `to` its subtree's part of `slots`, which are `many`.

    At a child that is itself a member of the slot's placement the part is one value.
    """

    site: Site
    to: Placement
    slots: tuple[Slot, ...]


FoldKind: TypeAlias = Choice["accumulate", "merge", "gather"]


@dataclass(frozen=True, slots=True)
class FoldSlot:
    """How one slot of the children's messages becomes one value.

    accumulate: left fold of `operator` (a function of <U,T>) from `zero`, in member order.
    merge: left fold of `operator` (of <U,U>) from the first partial; `zero` if there is none.
    gather: the children's values side by side, in member order.
    `plus`: `operator` is `generic_plus`, so the fold may add in place, tensor by tensor.
    """

    slot: Slot
    kind: FoldKind
    incoming: Slot
    zero: Node | None = None
    operator: Node | None = None
    plus: bool = False

    @property
    def in_place(self) -> bool:
        """Whether the fold adds arrays in place: tensors of numbers with known shapes, or structs of them."""
        return self.plus and _addable(self.slot.type)


def _addable(t: Type) -> bool:
    if isinstance(t, StructType):
        return all(_addable(e) for e in t.parts())
    return isinstance(t, TensorType) and t.is_static and t.name not in ("bool", "str")


@dataclass(frozen=True, slots=True)
class Fold:
    """Wait for the messages of `site` from the children of placement `source`, and fold them."""

    site: Site
    source: Placement
    folds: tuple[FoldSlot, ...]


def incoming(folds: tuple[FoldSlot, ...]) -> tuple[Slot, ...]:
    """Return the slots of one child's message: each value once, however many folds use it."""
    return tuple(dict.fromkeys(fold.incoming for fold in folds))


def added(folds: tuple[FoldSlot, ...]) -> tuple[Slot, ...]:
    """Return those slots of one child's message that are nothing but added, in place."""
    return tuple(s for s in incoming(folds) if s.many is None and all(f.in_place for f in folds if f.incoming == s))


@dataclass(frozen=True, slots=True)
class Send:
    """Send `slots` to the parent (the driver, at the root)."""

    site: Site
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class Keep:
    """Keep the value of `slot` at this member, for later invocations, if this one is committed."""

    slot: Slot


@dataclass(frozen=True, slots=True)
class Recall:
    """Bind `slot` to what this member kept of an earlier invocation; `default` names what a newcomer has instead."""

    slot: Slot
    default: str | None


@dataclass(frozen=True, slots=True)
class Carried:
    """A value that goes from turn to turn of a loop, and is bound to `slot` in each and after the last.

    The first turn has that of `first`, from around the loop, each later one that of `next`, from the turn before.
    """

    slot: Slot
    first: str
    next: str


@dataclass(frozen=True, slots=True)
class Loop:
    """Take the steps `turns` times, an int32; what they bind is forgotten at the end of each turn.

    `site` names the loop: all members in whose slices it stands take as many turns of it.
    """

    site: Site
    turns: Node
    carried: tuple[Carried, ...]
    steps: tuple[Step, ...]


Step: TypeAlias = "Receive | Load | Compute | Broadcast | Scatter | Fold | Send | Keep | Recall | Loop"


def walk(steps: tuple[Step, ...]) -> Iterator[Step]:
    """Yield every step, and after a loop its own."""
    for step in steps:
        yield step
        if isinstance(step, Loop):
            yield from walk(step.steps)


@dataclass(frozen=True, slots=True)
class Slice:
    """The steps of one placement's members, in order."""

    placement: Placement
    steps: tuple[Step, ...]

    def walk(self) -> Iterator[Step]:
        """Yield every step, and after a loop its own."""
        return walk(self.steps)


@dataclass(frozen=True, slots=True, repr=False)
class Compiled:
    """A program bound to a hierarchy: its slices by placement, and the hash that names them everywhere.

    Made by `compile`; `str` of it shows what each tier executes.
    """

    program: Lambda
    hierarchy: Hierarchy
    slices: dict[Placement, Slice]
    hash: str

    def fold_of(self, site: Site, source: str) -> Fold | None:
        """Return the step that folds what members of placement `source` send at `site`, None if there is none."""
        steps = (s for part in self.slices.values() for s in part.walk() if isinstance(s, Fold))
        return next((s for s in steps if s.site == site.written and s.source.name == source), None)

    def __str__(self) -> str:
        from tierfed.compiler.show import show  # the writer imports the slices

        return show(self)

    def __repr__(self) -> str:
        return f"<compiled {self.hash[:12]} : {self.program.type} over {self.hierarchy}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: what the members of each tier do, the deepest first."""
        from tierfed.compiler.show import slice_lines  # the writer imports the slices

        rows: list[tuple[object, object]] = []
        for placement in reversed(self.hierarchy.placements):
            _, *lines = slice_lines(self.slices[placement])
            steps = textwrap.dedent("\n".join(lines))
            rows.append((placement, html.code(steps, wrap=True) if steps else "takes no part"))
        return html.titled(
            f"program {self.hash[:12]} over {self.hierarchy}",
            html.code(formatted(self.program.type)),
            html.table(("tier", "each member"), rows),
        )
