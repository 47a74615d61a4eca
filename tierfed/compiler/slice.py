"""Slice: one program for each tier out of the program for all (endpoint projection).

    v1=hop_accumulate[EDGE](x,…)      at CLIENTS  send x                     1.0
                                      at EDGE     v1 = fold x of CLIENTS     1.0

`cut` says where each value is and what crosses the links; here every message gets its site and
every slice its order: by phase, and in each phase what is sent, then what is received, then
computations and loops.

Sound because a step uses only what earlier phases brought: this order respects all
dependencies, and since each message of phase k needs only messages of phases below k, no two
nodes can wait for each other.  A loop stands, in every slice that has it, after all messages of
the phase that it starts in and before all later ones; so it is one step to those around it.
"""

from __future__ import annotations

from collections.abc import Callable

from tierfed.compiler.cut import Cut, DownKey, Looped, Phase, UpKey
from tierfed.compiler.fit import called_uri
from tierfed.compiler.normal_form import result_of
from tierfed.compiler.slices import (
    Broadcast,
    Fold,
    Loop,
    Receive,
    Scatter,
    Send,
    Site,
    Slice,
    Slot,
    Step,
    incoming,
)
from tierfed.ir.nodes import Call, Lambda, Reference, free_names
from tierfed.placements import Hierarchy, Placement
from tierfed.types import FederatedType


def slice_program(
    program: Lambda, hierarchy: Hierarchy, recalled: frozenset[str] = frozenset(), keep: bool = False
) -> dict[Placement, Slice]:
    """Return the slices of `program`, which is in normal form and made of hops, by placement.

    `recalled` names the arguments that their members have already, and `keep` says whether what
    is placed below the root stays there.
    """
    cut = Cut(program, hierarchy, hierarchy.root, recalled=recalled)
    cut.run()
    outcome: list[Slot] = []
    for name, t in free_names(cut.inlined(result_of(program))).items():
        if not isinstance(t, FederatedType) or t.placement == hierarchy.root:
            cut.deliver(name, hierarchy.root)
            outcome.append(Slot(name, t.member if isinstance(t, FederatedType) else t))
            continue
        argument = next((a for a in cut.arguments if a.name == name), None)
        if argument is not None:
            outcome.append(argument)
        elif keep and not t.all_equal:
            cut.keep(name, t.placement)
        elif t.all_equal and (above := _descended(name, cut)) is not None:
            cut.compute_at_root(name, above)
            outcome.append(Slot(name, t.member))
        else:
            cut.gather(name, t.placement)
            outcome.append(Slot(name, t.member, t.placement))
    return _Slicing(cut).slices(tuple(outcome))


def _descended(name: str, cut: Cut) -> str | None:
    """Return the name at the root of what came down under `name`, None if it is not from there."""
    while (node := cut.nodes.get(name)) is not None and called_uri(node) == "hop_broadcast":
        assert isinstance(node, Call) and isinstance(node.argument, Reference)
        name = node.argument.name
        t = node.argument.type
        if isinstance(t, FederatedType) and t.placement == cut.root:
            return name
    return None


class _Slicing:
    """The sites of a program that is cut, and its steps in order."""

    def __init__(self, cut: Cut) -> None:
        self.cut = cut
        self._rank = {p: i for i, p in enumerate(cut.hierarchy.placements)}
        self._sites: dict[tuple[int, DownKey | UpKey], Site] = {}
        self._loops: dict[int, Site] = {}
        self._messages_in: dict[Phase, int] = {}
        self._loops_in: dict[Phase, int] = {}
        self._number(cut, 0)

    def _number(self, cut: Cut, base: Phase) -> None:
        """Give each message its site: phases count on in a loop, indices within a phase, in the order of the tiers."""
        down = sorted(cut.down, key=lambda k: (k[0], self._rank[k[2]], k[1]))
        up = sorted(cut.up, key=lambda k: (k[0], self._rank[k[1]]))
        keys: list[DownKey | UpKey] = [*down, *up]
        for key in keys:
            self._sites[id(cut), key] = _next(self._messages_in, base + key[0])
        for loop in cut.loops.values():
            self._loops[id(loop)] = _next(self._loops_in, base + loop.start)
            self._number(loop.inner, base + loop.start)

    def slices(self, outcome: tuple[Slot, ...]) -> dict[Placement, Slice]:
        """Return the slices; the root's takes the arguments first and sends the `outcome` last."""
        cut = self.cut
        slices = {}
        for placement in cut.hierarchy.placements:
            steps = self._steps(cut, placement)
            if placement == cut.root:
                taken = (Receive(Site(0, 0), tuple(cut.arguments)),) if cut.arguments else ()
                steps = (*taken, *steps, Send(Site(cut.last + 1, 0), outcome))
            slices[placement] = Slice(placement, steps)
        return slices

    def _steps(self, cut: Cut, placement: Placement) -> tuple[Step, ...]:
        """Return the steps of one placement: by phase, in each phase sends, then receives, then computations."""
        rows: list[tuple[Phase, int, int, Step]] = []
        here = set(cut.hierarchy.children(placement))
        for key, slots in cut.down.items():
            phase, kind, below = key
            site = self._sites[id(cut), key]
            make: Callable[..., Step] = Broadcast if kind == "broadcast" else Scatter
            if below in here:
                rows.append((phase, 0, site.index, make(site, below, tuple(slots))))
            elif below == placement:
                rows.append((phase, 1, site.index, Receive(site, _received(slots, placement))))
        for up_key, folds in cut.up.items():
            phase, source = up_key
            site = self._sites[id(cut), up_key]
            if source == placement:
                rows.append((phase, 0, site.index, Send(site, incoming(tuple(folds)))))
            elif source in here:
                rows.append((phase, 1, site.index, Fold(site, source, tuple(folds))))
        for order, (phase, step) in enumerate(cut.steps[placement]):
            written = self._loop(step, placement) if isinstance(step, Looped) else step
            rows.append((phase, 2, order, written))
        return tuple(step for *_, step in sorted(rows, key=lambda row: row[:3]))

    def _loop(self, loop: Looped, placement: Placement) -> Loop:
        carried = tuple(c for p, c in loop.carried if p == placement)
        return Loop(self._loops[id(loop)], loop.turns, carried, self._steps(loop.inner, placement))


def _next(counts: dict[Phase, int], phase: Phase) -> Site:
    index = counts.get(phase, 0)
    counts[phase] = index + 1
    return Site(phase, index)


def _received(slots: list[Slot], placement: Placement) -> tuple[Slot, ...]:
    """Return the slots of a message as a member of `placement` gets them: of a list over its own, one value."""
    return tuple(Slot(s.name, s.type) if s.many == placement else s for s in slots)
