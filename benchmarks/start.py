"""Sixteen nodes up: forked from a zygote, against sixteen fresh interpreters in the same run.

    python -m benchmarks.start

A server, three edges and twelve clients, a process each, from the first call until each is
connected to its parent.  The fresh interpreters run the same nodes with the same listeners,
all started at once; they differ in nothing but how a process comes to be.  Memory is the
proportional set size of all processes, supervisor and zygote included.  Kinds alternate, and
figures are medians.
"""

from __future__ import annotations

import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.rows import Row, row
from tierfed.launch import listeners
from tierfed.launch.processes import launch
from tierfed.topology.assignment import ChildAssignment, NodeAssignment

EDGES = 3
CLIENTS = 4  # an edge
NODES = 1 + EDGES + EDGES * CLIENTS
RUNS = 3


def tree() -> list[NodeAssignment]:
    """Return the sixteen nodes."""
    parents: dict[str, tuple[str, str | None]] = {"server": ("SERVER", None)}
    for e in range(EDGES):
        parents[f"e-{e}"] = "EDGES", "server"
        parents |= {f"c-{e}-{c}": ("CLIENTS", f"e-{e}") for c in range(CLIENTS)}
    counts = {"SERVER": 1, "EDGES": EDGES, "CLIENTS": EDGES * CLIENTS}
    below = {"EDGES": {"EDGES": 1, "CLIENTS": CLIENTS}, "CLIENTS": {"CLIENTS": 1}}
    found = []
    for name, (placement, parent) in parents.items():
        children = tuple(
            ChildAssignment(child, of, "none", "none", below[of]) for child, (of, up) in parents.items() if up == name
        )
        found.append(
            NodeAssignment(
                name=name,
                placement=placement,
                index=[n for n, (p, _) in parents.items() if p == placement].index(name),
                count=counts[placement],
                parent=parent,
                parent_address=None,
                children=children,
                codec_up="none",
                codec_down="none",
                quorum={children[0].placement: len(children)} if children else {},
                deadline=30.0,
                labels={},
                data=None,
                seed=7,
                listens=bool(children),
                process=name,
            )
        )
    return found


def _forked() -> tuple[float, float]:
    """Return seconds until sixteen forked nodes are ready, and their memory in MB."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        with launch(
            tree(), run_dir=Path(folder), run_id=secrets.token_hex(4), token=secrets.token_hex(16), wait_timeout=120.0
        ) as deployment:
            deployment.wait_ready()
            seconds = time.perf_counter() - begun
            status = deployment.status()
            rows = [status["supervisor"], status["zygote"], *status["processes"].values()]
            return seconds, sum(_memory(row["pid"]) for row in rows)


def _fresh() -> tuple[float, float]:
    """Return seconds until sixteen nodes in interpreters of their own are ready, and their memory in MB."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        plain = [one.to_dict() for one in tree()]
        bound = listeners.bind(plain)
        context = {"run": secrets.token_hex(4), "token": secrets.token_hex(16), "run_dir": folder}
        reading, writing = os.pipe()
        processes = []
        for one in plain:
            listener = bound.get(one["name"])
            given = {
                "assignment": one,
                "context": context,
                "ready": writing,
                "listener": listener and listener.fileno(),
            }
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "benchmarks.start", "node"],
                    stdin=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,  # goodbyes
                    pass_fds=[writing, *([listener.fileno()] if listener else [])],
                    env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
                )
            )
            stdin = processes[-1].stdin
            assert stdin is not None
            stdin.write(json.dumps(given).encode())
            stdin.close()
        os.close(writing)
        for listener in bound.values():
            listener.close()
        said = b""
        while said.count(b"\n") < NODES and (part := os.read(reading, 4096)):
            said += part
        seconds = time.perf_counter() - begun
        os.close(reading)
        memory = sum(_memory(process.pid) for process in processes)
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
        assert said.count(b"\n") == NODES, "not all nodes came up"
        return seconds, memory


def _node() -> int:
    """Be one node in an interpreter of its own."""
    from tierfed.node.daemon import run_process

    given = json.load(sys.stdin)
    one = NodeAssignment.from_dict(given["assignment"])
    held = {} if given["listener"] is None else {one.name: given["listener"]}
    return run_process([one], held, given["context"], given["ready"])


def _memory(pid: int) -> float:
    """Return the proportional set size of a process in MB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1000
    return 0.0


def run(quick: bool = False) -> list[Row]:
    """Return the rows of this benchmark."""
    forked, fresh = [], []
    for _ in range(1 if quick else RUNS):
        forked.append(_forked())
        fresh.append(_fresh())
    seconds = [statistics.median(each[0] for each in kind) for kind in (forked, fresh)]
    memory = [statistics.median(each[1] for each in kind) for kind in (forked, fresh)]

    return [
        row("16 nodes ready, forked from a zygote", seconds[0], "s", "<= 1.5"),
        row("16 nodes ready, fresh interpreters", seconds[1], "s"),
        row("start of 16 nodes: fresh against forked", seconds[1] / seconds[0], "x", ">= 2"),
        row("16 nodes, memory forked", memory[0], "MB"),
        row("16 nodes, memory fresh", memory[1], "MB"),
        row("memory of 16 nodes: fresh against forked", memory[1] / memory[0], "x", ">= 2"),
    ]


if __name__ == "__main__":
    if sys.argv[1:] == ["node"]:
        sys.exit(_node())
    for each in run():
        print(json.dumps(each))
