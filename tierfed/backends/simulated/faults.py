"""Faults of a fleet: nodes that are killed or stop, links that carry nothing, at the round or time that the file says.

    kill        it is gone at once with what it kept, and so is its process; its children have no parent
    stop        it says and hears nothing, nor does its process: parents wait until the deadline, or until they take
                it for dead as daemons do, after 15 s without a sign of life
    partition   the same of its link to its parent alone
    link        its link to its parent has other figures; what has begun to leave keeps its time

After a while, if the file says so, who was killed begins anew, and links carry what has waited, are made again, or are
again what the file says of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from tierfed.errors import ProtocolError
from tierfed.node.pulse import PULSE
from tierfed.topology.faults import Fault
from tierfed.topology.model import Topology

if TYPE_CHECKING:
    from tierfed.backends.simulated.fleet import Fleet


class Faults:
    """See the module docstring."""

    def __init__(self, fleet: Fleet, topology: Topology) -> None:
        self._fleet = fleet
        self._topology = topology
        self._on_fault: Callable[[Fault, bool], None] = lambda fault, over: None
        self._under_way: dict[Fault, float] = {}  # since when
        self.concerned = {name for fault in topology.faults if fault.link is None for name in self._cut(fault)}

    async def begin(self, on_fault: Callable[[Fault, bool], None]) -> None:
        """Put what happens at a time on the fleet's agenda.

        `on_fault` is called with each fault when it happens, and when it is over.
        """
        self._on_fault = on_fault
        for fault in self._topology.faults:
            if fault.time is not None:
                self._fleet.agenda.at(fault.time.seconds, partial(self._happens, fault))

    async def round(self, number: int, now: float) -> None:
        """A round of the job, counted from 1, begins."""
        for fault in self._topology.faults:
            if fault.round == number:
                self._happens(fault, now)

    def _hit(self, fault: Fault) -> list[str]:
        """Return the nodes that a fault is of."""
        if fault.do == "partition":
            return [fault.node]
        return list(self._topology.processes[self._topology.node(fault.node).process])

    def _cut(self, fault: Fault) -> list[str]:
        """Return the nodes whose links to their parents a fault takes: those it is of, and the children of the dead."""
        hit = self._hit(fault)
        below = [c for name in hit for c in self._topology.node(name).children] if fault.do != "partition" else []
        return list(dict.fromkeys([*hit, *below]))

    def _happens(self, fault: Fault, now: float) -> None:
        if fault in self._under_way:  # it was written twice, or has not ended since
            return
        self._under_way[fault] = now
        self._on_fault(fault, False)
        if fault.link is not None:
            self._fleet.relink(fault.node, fault.link)
        elif fault.do == "kill":
            killed = ProtocolError(f"{fault.node} was killed", where=fault.node, mend="see faults: in the topology")
            for name in self._cut(fault):
                self._fleet.presence.leave(name, fault, killed)
            for name in self._hit(fault):
                self._fleet.end(name)
        else:
            for name in self._cut(fault):
                self._fleet.hold(name)
            self._fleet.agenda.at(now + PULSE.silence, partial(self._silent, fault, now))
        if fault.lasts is not None:
            self._fleet.agenda.at(now + fault.lasts.seconds, partial(self._ends, fault))

    def _silent(self, fault: Fault, since: float, now: float) -> None:
        """Nothing was heard over held links for too long: both ends give them up."""
        if self._under_way.get(fault) == since:
            for name in self._cut(fault):
                self._fleet.presence.leave(name, fault, PULSE.silent(name))

    def _ends(self, fault: Fault, now: float) -> None:
        del self._under_way[fault]
        self._on_fault(fault, True)
        if fault.link is not None:
            self._fleet.relink(fault.node, None)
            return
        if fault.do == "kill":
            for name in self._hit(fault):
                self._fleet.begin_again(name)
            asyncio.get_running_loop().call_soon(self._back, fault)  # its nodes listen by then
            return
        for name in self._cut(fault):
            self._fleet.release(name)
        self._back(fault)

    def _back(self, fault: Fault) -> None:
        for name in self._cut(fault):
            self._fleet.presence.come(name, fault)
