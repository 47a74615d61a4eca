"""Simulate a fleet: the same jobs and programs, on a virtual clock.

    with tierfed.simulate("topologies/phones_lte.yaml", clients=100_000) as fleet:
        fleet.invoke(step, model)
        fleet.now                                      # virtual seconds since it came up

What comes of a round is what daemons would compute, to the bit, for the same contributors; how long it took is what the
links and devices of the topology would take.  A run with the same seed is the same run, whatever the machine does.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence

from tierfed.backends.simulated import Fleet, room
from tierfed.errors import TopologyError
from tierfed.jobs.recorder import Event, Recorder
from tierfed.jobs.split_record import SplitRecord
from tierfed.jobs.tree import RunTree
from tierfed.launch import origin, runs, user_code
from tierfed.node.saving import CHECKPOINTS
from tierfed.topology import Topology, load_topology, tree_file

_SMALL = 500  # nodes of a fleet that keeps histories unasked


def simulate(
    topology: Topology | str | os.PathLike[str],
    *,
    clients: int | None = None,
    sets: Sequence[str] = (),
    on_event: Callable[[Event], None] = lambda event: None,
    histories: bool | None = None,
) -> RunTree:
    """Return a fleet on a virtual clock; use it with `with`, as what `tierfed.up` returns.

    `clients` is how many members the lowest placement has, `sets` are `path=value`, as on the command line.  With
    `histories`, aggregators write down what happened to them, as daemons do: about half a kilobyte a contribution,
    so without it being said only fleets of up to 500 nodes do.

    Raises TopologyError or DataError.

    >>> @tierfed.federated_computation("{int32}@CLIENTS")
    ... def total(x):
    ...     return tierfed.federated_sum(x)
    >>> with tierfed.simulate(tierfed.tree({"CLIENTS": 2})) as fleet:
    ...     fleet.invoke(total, [3, 4])
    np.int32(7)
    """
    user_code.forbid_inside_a_run()  # before a folder is made for it
    start = time.monotonic()
    if not isinstance(topology, Topology):
        topology = load_topology(topology, sets, clients=clients)
    elif clients is not None or sets:
        raise TopologyError(
            "clients= and sets= change a file, and this is a topology",
            where="tierfed.simulate",
            mend="give them to load_topology, or give the file's name here",
        )
    if topology.source is not None:
        sys.path.insert(0, str(topology.source.parent.absolute()))
    room.check(topology)
    if histories is None:
        histories = len(topology.nodes) <= _SMALL
    run_dir = runs.create()
    origin.write(run_dir, virtual=True)
    tree_file.write(run_dir, topology)
    fleet: Fleet | None = None
    recorder: Recorder | None = None
    try:
        fleet = Fleet(topology, histories=run_dir / "history" if histories else None, checkpoints=run_dir / CHECKPOINTS)
        modelled = any(node.device is not None for node in topology.nodes.values())
        recorder = Recorder(run_dir, topology, on_event, lambda: fleet.thread.now, fleet.joules if modelled else None)
        recorder.on_round = fleet.round_begins
        context = fleet.context(
            on_record=lambda computation, record: recorder.record(computation.name, record),
            on_fault=recorder.fault,
            on_progress=recorder.progress,
            on_raised=recorder.raised,
            check=SplitRecord(run_dir, topology),
        )
    except BaseException:
        if recorder is not None:
            recorder.close()
        if fleet is not None:
            fleet.thread.close()
        raise
    recorder.seconds["ready"] = round(time.monotonic() - start, 6)
    recorder.event("ready", seconds=recorder.seconds["ready"])
    return RunTree(topology, context, recorder, None)
