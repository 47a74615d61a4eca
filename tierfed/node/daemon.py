"""Daemon: the main function of a node process.

    run_process(assignments, listeners, context, ready) -> exit code

One process hosts one node or several.  They share a loop and a thread for leaves, and nothing
else: each has links of its own.  SIGTERM ends the loop in an orderly way, and does not wait for
a leaf that is computing: its thread ends with the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tierfed.node import event_loop, transport
from tierfed.node.history import History
from tierfed.node.lag import Lag
from tierfed.node.live_links import LiveLinks
from tierfed.node.metrics import exposition
from tierfed.node.naming import NODE
from tierfed.node.node import Membership, Node
from tierfed.node.pulse import PULSE, Pulse
from tierfed.node.reception import Transport
from tierfed.node.saving import CHECKPOINTS
from tierfed.node.spans import TRACES
from tierfed.topology.assignment import NodeAssignment

log = logging.getLogger("tierfed.node.daemon")


async def serve_nodes(
    assignments: Sequence[NodeAssignment],
    listeners: Mapping[str, Any],
    membership: Membership,
    *,
    on_ready: Callable[[str], None] = lambda name: None,
    over: Transport = transport,  # the module is a Transport
    histories: Path | None = None,
    spool: Path | None = None,
    enter: Callable[[str], None] = lambda name: None,
    pulse: Pulse = PULSE,
    traces: Path | None = None,
    lag: Lag | None = None,
    checkpoints: Path | None = None,
    resumed: Path | None = None,
) -> None:
    """Run nodes on this loop until cancelled; `on_ready` is called with each as it is connected.

    With `traces`, each writes its spans to a file of that folder.  What their codecs keep, they save in
    `checkpoints`, and have it at first from `resumed`, the folder of a round (saving.py).  Raises the
    first error of a node, at which the others end too.
    """
    leaves = ThreadPoolExecutor(1, thread_name_prefix="leaves")
    nodes: list[Node] = []
    clock = lag or Lag()

    def metrics() -> bytes:
        return exposition((node.vitals() for node in nodes), clock)

    try:
        async with asyncio.TaskGroup() as group:
            for one in assignments:
                history = None if histories is None or not one.children else History.open(histories, one.name)
                node = Node(
                    one,
                    membership,
                    over,
                    leaves,
                    history,
                    functools.partial(enter, one.name),
                    spool,
                    pulse=pulse,
                    metrics=metrics,
                    checkpoints=checkpoints,
                    live=LiveLinks(one) if one.children else None,
                )
                if resumed is not None:
                    node.keeping.restore(resumed, one.name)
                if traces is not None:
                    node.spans.open(traces, one.name)
                nodes.append(node)
                group.create_task(node.run(listeners.get(one.name)), name=one.name)
                group.create_task(_announce(node, on_ready), name=f"{one.name} ready")
    except BaseExceptionGroup as errors:
        raise _first(errors) from None
    finally:
        leaves.shutdown(wait=False, cancel_futures=True)


def _first(error: BaseException) -> BaseException:
    """Return the first error in a group of groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _announce(node: Node, on_ready: Callable[[str], None]) -> None:
    await node.ready.wait()
    on_ready(node.me.name)


def run_process(
    assignments: Sequence[NodeAssignment], listeners: Mapping[str, int], context: Mapping[str, Any], ready: int
) -> int:
    """Run the nodes of one process until SIGTERM; return its exit code.

    `listeners` are descriptors of listening sockets by node; `context` has the run, its token
    and its folder; the name of each node that is connected is written to `ready`, a line each.
    """
    sockets = {name: socket.socket(fileno=fd) for name, fd in listeners.items()}
    membership = Membership(context["run"], context["token"])
    folder = context.get("run_dir")

    def announce(name: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(ready, f"{name}\n".encode())

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        lag = Lag()
        watching = asyncio.create_task(lag.watch(), name="lag")
        try:
            await serve_nodes(
                assignments,
                sockets,
                membership,
                on_ready=announce,
                histories=None if folder is None else Path(folder) / "history",
                spool=None if folder is None else Path(folder),
                traces=Path(folder) / TRACES if folder is not None and context.get("trace") else None,
                lag=lag,
                checkpoints=None if folder is None else Path(folder) / CHECKPOINTS,
                resumed=None if not context.get("resumed") else Path(context["resumed"]),
                enter=lambda name: NODE.set(name) and None,
            )
        except asyncio.CancelledError:
            pass
        finally:
            watching.cancel()

    with asyncio.Runner(loop_factory=event_loop.factory()) as runner:
        runner.run(main())
    return 0
