"""Inflicting: the faults of a topology file, on a running tree of processes.

    kill    SIGKILL to the node's process          stop    SIGSTOP, and SIGCONT when it is over

They are real ones: the kernel does them, and nodes notice by what becomes of their connections.  Signals go by recorded
pid and start time, so that nobody else is hit.  What the kernel cannot do to one process, a partition and a second
life, is refused before the tree comes up; a simulation has both.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Mapping

from tierfed.errors import TopologyError
from tierfed.launch.pids import ProcessId
from tierfed.topology import Topology
from tierfed.topology.faults import Fault

_SIMULATE = "run it with tierfed simulate FILE, or write "


def check_faults(topology: Topology) -> None:
    """Raise TopologyError if a fault cannot be done to processes."""
    for i, fault in enumerate(topology.faults):
        where = f"{topology.source or topology.name}: faults[{i}]"
        if fault.do == "partition":
            raise TopologyError(
                "a link between two processes cannot be cut by itself",
                where=f"{where}.do",
                mend=f"{_SIMULATE}kill or stop",
            )
        if fault.do == "kill" and fault.lasts is not None:
            raise TopologyError(
                "a process that is killed does not begin anew", where=f"{where}.for", mend=f"{_SIMULATE}stop, or no for"
            )


class Inflicting:
    """Does the faults of `topology` to the processes that nodes live in, from now on until `close`.

    `told` is called with each fault when it happens, and when it is over.
    """

    def __init__(
        self, topology: Topology, processes: Mapping[str, ProcessId], told: Callable[[Fault, bool], None]
    ) -> None:
        self._topology = topology
        self._processes = processes
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
        """Do no more; who is stopped goes on, so that it can be told to end."""
        with self._closing:
            self._closed = True
            for timer in self._timers:
                timer.cancel()
            for fault in self._topology.faults:
                if fault.do == "stop":
                    self._processes[fault.node].signal(signal.SIGCONT)

    def _later(self, seconds: float, fault: Fault, *, over: bool) -> None:
        timer = threading.Timer(seconds, self._happens, (fault,), {"over": over})
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    def _happens(self, fault: Fault, *, over: bool) -> None:
        with self._closing:
            if self._closed:
                return
            number = signal.SIGCONT if over else signal.SIGKILL if fault.do == "kill" else signal.SIGSTOP
            self._processes[fault.node].signal(number)
            if fault.lasts is not None and not over:
                self._later(fault.lasts.seconds, fault, over=True)
        self._told(fault, over)
