"""Own part: what a program is to one node, found once when it is first begun there.

    slice   receive 1.0 · broadcast 2.0 · fold 3.0? · fold 3.0 · send 4.0
    run     the steps that are run one after the other: without broadcasts that are relayed (relay.py)
    folds   2 sites, one of them of agreements (agreement.py)      receives   1 site

An invocation has all of this from its program, so the hundredth costs what it does, and not what it is.  Sound
because nothing here is changed: a program and the node's place in the tree are what they are.
"""

from __future__ import annotations

from tierfed.compiler.slices import Broadcast, Compiled, Fold, Keep, Loop, Receive, Scatter, Send, Site, Slice, Step
from tierfed.errors import ProtocolError
from tierfed.node.accumulator import has_leaves
from tierfed.node.agreement import Topics
from tierfed.node.relay import relayed
from tierfed.node.round_events import Collect
from tierfed.node.run_slice import last_uses
from tierfed.topology.assignment import NodeAssignment


class OwnPart:
    """See the module docstring.  Raises ProtocolError unless the program is for the hierarchy that the node is in."""

    def __init__(self, compiled: Compiled, me: NodeAssignment) -> None:
        self.compiled = compiled
        part = _part(compiled, me)
        self.run, self.relayed = relayed(part, me)
        self.last_uses = last_uses(self.run)
        loops = _loops_around(part.steps)
        self.topics = Topics(part, loops, compiled, me)
        self.folds = {s.site: s for s in part.walk() if isinstance(s, Fold)} | self.topics.folds
        self.receives = {s.site: s for s in part.walk() if isinstance(s, Receive)} | self.topics.receives
        self.loops = loops | self.topics.loops  # around each message, by its site
        self.keeps = any(isinstance(s, Keep) for one in compiled.slices.values() for s in one.walk())  # at any tier
        self.turns = {site: len(around) for site, around in self.loops.items()}
        self.slow = {site for site, step in self.folds.items() if has_leaves(step)}
        self.collects = [Collect(s.site, s.source.name, self.loops[s.site]) for s in self.folds.values()]
        self.children = {
            p: [c.name for c in me.children if c.placement == p] for p in {c.placement for c in me.children}
        }
        active = {p.name for p, s in compiled.slices.items() if s.steps}
        self.members = tuple(c for c in me.children if any(p in active and n for p, n in c.members_below.items()))
        """The children in whose subtree a slice has something to do."""


def _loops_around(steps: tuple[Step, ...], loops: tuple[Site, ...] = ()) -> dict[Site, tuple[Site, ...]]:
    """Return the loops around each message of a slice, the outermost first, by its site."""
    found: dict[Site, tuple[Site, ...]] = {}
    for step in steps:
        if isinstance(step, Loop):
            found |= _loops_around(step.steps, (*loops, step.site))
        elif isinstance(step, Receive | Fold | Broadcast | Scatter | Send):
            found[step.site] = loops
    return found


def _part(compiled: Compiled, me: NodeAssignment) -> Slice:
    parts = {placement.name: part for placement, part in compiled.slices.items()}
    lacking = [p for p in (me.placement, *(p for c in me.children for p in c.members_below)) if p not in parts]
    if lacking:
        raise ProtocolError(
            f"the program has no slice for {lacking[0]}",
            where=me.name,
            mend=f"compile it for the hierarchy of the tree; it was for {', '.join(parts)}",
        )
    return parts[me.placement]
