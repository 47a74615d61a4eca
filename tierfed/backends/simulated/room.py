"""Room: whether this machine has the memory that a fleet takes, known before a minute is spent on it.

    check(topology)         raises where the machine has less than the members want, whoever else uses it
    scarce(topology)        what to warn of: there is enough, and others have it now

A member of a group takes about 5.8 kB at the peak of a round; a modelled link, 3 kB more (docs/simulation.md, How
large).  Messages come on top: they are as large as the program makes them, which is not known here, so what passes is
not promised to fit.

Source of the machine's figures: proc(5), /proc/meminfo; of a container's, the kernel's cgroup-v2, memory.max.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from tierfed.errors import TopologyError
from tierfed.topology import Topology

_BASE = 100e6  # bytes of the process without members
_MEMBER = 5_800  # bytes
_LINK = 3_000  # bytes of a member whose link is modelled
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup/memory.max")


def wanted(topology: Topology) -> float:
    """Return about how many bytes a fleet takes at the peak of a round of small messages."""
    links = sum(node.settings.modelled.link is not None for node in topology.nodes.values())
    return _BASE + _MEMBER * len(topology.nodes) + _LINK * links


def memory() -> tuple[float, float] | None:
    """Return the bytes that this machine, or container, has and those that are free; None where it does not say."""
    try:
        rows = dict(line.split(":", 1) for line in _MEMINFO.read_text(encoding="ascii").splitlines())
        total, free = (1024.0 * int(rows[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    except (OSError, ValueError, KeyError):
        return None
    with contextlib.suppress(OSError, ValueError):  # "max": no limit
        total = min(total, float(_CGROUP.read_text(encoding="ascii")))
    return total, min(free, total)


def check(topology: Topology) -> None:
    """Raise TopologyError if the members want more memory than there is."""
    has, wants = memory(), wanted(topology)
    if has is not None and wants > has[0]:
        raise TopologyError(
            f"{len(topology.nodes):,} members want about {_gb(wants)} of memory, this machine has {_gb(has[0])}",
            where=topology.source.name if topology.source is not None else topology.name,
            mend="simulate fewer (--clients N), or on a larger machine",
        )


def scarce(topology: Topology) -> str | None:
    """Return what to say if the members want more memory than is free now."""
    has, wants = memory(), wanted(topology)
    if has is None or wants <= has[1]:
        return None
    return f"{len(topology.nodes):,} members want about {_gb(wants)} of memory, {_gb(has[1])} of it are free"


def _gb(nbytes: float) -> str:
    return f"{nbytes / 1e9:.1f} GB"
