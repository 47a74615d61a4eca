"""Inflicting: the faults of a topology file, on a running tree of processes.

    kill         SIGKILL to the node's process      stop    SIGSTOP, and SIGCONT when it is over
    partition    its parent lets nothing through    link    its parent shapes the link by other figures

They are real ones: the kernel does the first two, and nodes notice by what becomes of their connections.  Signals go by
recorded pid and start time, so that nobody else is hit.  The others are asked of the parent (launch/link_doors.py), as
`tierfed fault` and `tierfed link` do.  A second life, which the kernel cannot give, is refused before the tree comes
up; a simulation has it.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Mapping

from tierfed.errors import NotReady, TopologyError
from tierfed.launch.link_doors import LinkDoors
from tierfed.launch.pids import ProcessId
from tierfed.topology import Topology
from tierfed.topology.faults import Fault

log = logging.getLogger("tierfed.run")


def check_faults(topology: Topology) -> None:
    """Raise TopologyError if a fault cannot be done to processes."""
    for i, fault in enumerate(topology.faults):
        where = f"{topology.source or topology.name}: faults[{i}]"
        if fault.do == "kill" and fault.lasts is not None:
            raise TopologyError(
                "a process that is killed does not begin anew",
                where=f"{where}.for",
                mend="run it with tierfed simulate FILE, or write stop, or no for",
            )


class Inflicting:
    """Does the faults of `topology` to the processes that nodes live in, and to their links, from now on until `close`.

    `told` is called with each fault when it happens, and when it is over.
    """

    def __init__(
        self,
        topology: Topology,
        processes: Mapping[str, ProcessId],
        doors: LinkDoors,
        told: Callable[[Fault, bool], None],
    ) -> None:
        self._topology = topology
        self._processes = processes
        self._doors = doors
        self._links: dict[Fault, None] = {}  # what is otherwise than the file says
        self._told = told
        self._closing = threading.Lock()
        self._closed = False
        self._timers: list[threading.Timer] = []
        for fault in topology.faults:
            if fault.time is not None:
                self._later(fault.time.seconds, fault, over=False)

    def round_begins(self, number: int) -> None:
        """A round of the job, counted from 1, begins."""
        for fault in self._topology.faults:
            if fault.round == number:
                self._happens(fault, over=False)

    def close(self) -> None:
        """Do no more; who is stopped goes on, so that it can be told to end, and links are as the file says."""
        with self._closing:
            self._closed = True
            for timer in self._timers:
                timer.cancel()
            for fault in self._topology.faults:
                if fault.do == "stop":
                    self._processes[fault.node].signal(signal.SIGCONT)
            for fault in tuple(self._links):
                self._do_link(fault, over=True)

    def _later(self, seconds: float, fault: Fault, *, over: bool) -> None:
        timer = threading.Timer(seconds, self._happens, (fault,), {"over": over})
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    def _happens(self, fault: Fault, *, over: bool) -> None:
        with self._closing:
            if self._closed:
                return
            if fault.do in ("partition", "link"):
                if not self._do_link(fault, over=over):
                    return
            else:
                number = signal.SIGCONT if over else signal.SIGKILL if fault.do == "kill" else signal.SIGSTOP
                self._processes[fault.node].signal(number)
            if fault.lasts is not None and not over:
                self._later(fault.lasts.seconds, fault, over=True)
        self._told(fault, over)

    def _do_link(self, fault: Fault, *, over: bool) -> bool:
        """Have a parent change, cut or restore a link; return whether it did: without the parent, there is no link."""
        parent = self._topology.node(fault.node).parent
        assert parent is not None
        if over:
            self._links.pop(fault, None)
        else:
            self._links[fault] = None
        if fault.link is not None:
            request = {"do": "clear"} if over else {"do": "set", "figures": fault.link.figures}
        else:
            request = {"do": "heal" if over else "cut"}
        try:
            self._doors.ask({parent: [fault.node]}, request)
        except NotReady as error:
            log.warning("%s: %s is not done: %s", fault.node, fault.do, error.what)
            return False
        return True
