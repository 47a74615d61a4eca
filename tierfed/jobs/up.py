"""Bring a tree up, or attach to one that runs.

    with tierfed.up("topologies/three_tier.yaml") as tree:
        get_average_temperature(values)                # runs on the tree
        tree.invoke(step, model)

Leaving the `with` takes the tree down.  A script that calls `up` does so under
`if __name__ == "__main__":`, since nodes import it to find its functions.
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tierfed.backends.native.context import NativeContext
from tierfed.codecs import before_fork as codecs_before_fork
from tierfed.data.before_fork import wanted
from tierfed.errors import TopologyError
from tierfed.jobs.endings import explain
from tierfed.jobs.inflicting import Inflicting, check_faults
from tierfed.jobs.recorder import Event, Recorder
from tierfed.jobs.split_record import SplitRecord
from tierfed.jobs.tree import RunTree
from tierfed.launch import origin, processes, runs, user_code
from tierfed.launch.link_doors import LinkDoors
from tierfed.launch.pids import ProcessId
from tierfed.leaves import before_fork
from tierfed.node.node import Membership
from tierfed.topology import Topology, assignments, load_topology, tree_file
from tierfed.topology.tree_file import RESOLVED as RESOLVED

if TYPE_CHECKING:
    from tierfed.launch.processes import Deployment

log = logging.getLogger("tierfed.run")


def up(
    topology: Topology | str | os.PathLike[str],
    *,
    sets: Sequence[str] = (),
    wait_timeout: float = 60.0,
    on_event: Callable[[Event], None] = lambda event: None,
) -> RunTree:
    """Return a running tree of daemons; use it with `with`, which takes it down.

    `sets` are `path=value`, as on the command line; `wait_timeout` is in seconds.  A script calls it
    under `if __name__ == "__main__":`, since nodes import the script to find its functions.

    Raises TopologyError, DataError, or NotReady with the first cause.

    >>> @tierfed.federated_computation("{int32}@CLIENTS")
    ... def total(x):
    ...     return tierfed.federated_sum(x)
    >>> with tierfed.up(tierfed.tree({"CLIENTS": 2})) as tree:
    ...     total([1, 2]), tree.invoke(total, [3, 4])
    (np.int32(3), np.int32(7))
    """
    if not isinstance(topology, Topology):
        topology = load_topology(topology, sets)

    def and_logged(event: Event) -> None:
        if event["event"] == "raised":
            _log_raised(event["error"], event["log"], shown)
        on_event(event)

    shown: set[str] = set()
    return bring_up(topology, wait_timeout=wait_timeout, on_event=and_logged)


def _log_raised(error: dict[str, str | None], path: str, shown: set[str]) -> None:
    """Log that a leaf raised: the first time of a node with its traceback."""
    node, first = str(error["node"]), error["node"] not in shown
    shown.add(node)
    about = ": ".join(filter(None, (node, error["where"], error["what"])))
    if first:
        log.error("%s\n%s\n%s; its log: %s", about, (error["traceback"] or "").rstrip(), node, path)
    else:
        log.warning("%s", about)


def bring_up(
    topology: Topology,
    *,
    keep: bool = False,
    wait_timeout: float = 60.0,
    on_event: Callable[[Event], None] = lambda event: None,
    trace: bool = False,
    resumed: Path | None = None,
) -> RunTree:
    """Start the processes of `topology`, wait until all are ready, and return the tree.

    With `keep`, the tree outlives this process once it is ready; with `trace`, `tierfed trace` can draw the run.
    `resumed` is where nodes of another run have saved what their codecs go on with (node/saving.py).
    """
    user_code.forbid_inside_a_run()  # before a folder is made for it
    if topology.clock == "virtual":
        raise TopologyError(
            "processes run by the real clock, and the file says virtual",
            where=f"{topology.source or topology.name}: clock",
            mend="run it with tierfed simulate FILE, or bring it up with --set clock=real",
        )
    check_faults(topology)
    start = time.monotonic()
    data = topology.job.data if topology.job is not None else None
    nodes = assignments(topology)
    links = [codec for node in nodes for codec in (node.codec_up, node.codec_down)]
    preload = [*wanted(data), *before_fork(), *codecs_before_fork.wanted(links)]
    run_dir = runs.create()
    recorder = Recorder(run_dir, topology, on_event)
    origin.write(run_dir, virtual=False)
    tree_file.write(run_dir, topology)
    token = secrets.token_hex(16)
    folder = [str(topology.source.parent.absolute())] if topology.source is not None else []
    deployment = None
    try:
        deployment = processes.launch(
            nodes,
            run_dir=run_dir,
            run_id=run_dir.name,
            token=token,
            foreground=not keep,
            wait_timeout=wait_timeout,
            sys_path=[*folder, *(entry or str(Path.cwd()) for entry in sys.path)],
            main_script=user_code.calling_script(),
            preload=preload,
            trace=trace,
            resumed=resumed,
            info={
                "topology": topology.name,
                "source": None if topology.source is None else str(topology.source.absolute()),
            },
        )
        deployment.wait_ready(lambda ready: recorder.event("starting", placements=dict(ready)))
        tree = _connected(topology, deployment.root_address, Membership(run_dir.name, token), recorder, deployment)
    except BaseException:
        if deployment is not None:
            deployment.down()
        recorder.close()
        raise
    recorder.seconds["ready"] = round(time.monotonic() - start, 6)
    recorder.event("ready", seconds=recorder.seconds["ready"])
    if topology.faults:
        tree.inflict(Inflicting(topology, _processes(deployment), _doors(deployment), recorder.fault))
    return tree


def _processes(deployment: Deployment) -> dict[str, ProcessId]:
    """Return the process that each node lives in."""
    found = deployment.nodes.items()
    return {name: ProcessId(n.pid, n.start) for name, n in found if n.pid is not None and n.start is not None}


def _doors(deployment: Deployment) -> LinkDoors:
    """Return where the parents can be asked for the links of their children."""
    found = deployment.nodes.items()
    return LinkDoors({name: node.address for name, node in found if node.address is not None}, deployment.token)


def attach(run: runs.Run, on_event: Callable[[Event], None] = lambda event: None) -> RunTree:
    """Return the tree of a run that is up; closing it leaves the tree up.

    What jobs record goes into the folder of that run.  Raises NoSuchRun if it is not up.
    """
    _, address, token = runs.attach(run)
    topology = load_topology(run.path / RESOLVED)
    source = run.manifest.get("info", {}).get("source")
    if isinstance(source, str):
        sys.path.insert(0, str(Path(source).parent))
    recorder = Recorder(run.path, topology, on_event)
    origin.add(run.path)
    try:
        return _connected(topology, address, Membership(run.id, token), recorder, None)
    except BaseException:
        recorder.close()
        raise


def _connected(
    topology: Topology,
    address: tuple[str, int],
    membership: Membership,
    recorder: Recorder,
    deployment: Deployment | None,
) -> RunTree:
    context = NativeContext(
        topology.tree,
        address,
        membership,
        on_record=lambda computation, record: recorder.record(computation.name, record),
        on_progress=recorder.progress,
        on_raised=recorder.raised,
        check=SplitRecord(recorder.run_dir, topology),
        explain=(lambda error: explain(error, deployment.status)) if deployment is not None else lambda error: None,
    )
    return RunTree(topology, context, recorder, deployment)
