"""Sixteen nodes up: forked from a zygote, against sixteen fresh interpreters in the same run; TensorFlow; `--help`.

    python -m benchmarks.start

A server, three edges and twelve clients, a process each, from the first call until each is
connected to its parent.  The fresh interpreters run the same nodes with the same listeners,
all started at once; they differ in nothing but how a process comes to be.  Memory is the
proportional set size of all processes, supervisor and zygote included.  Kinds alternate, and
figures are medians.

With TensorFlow, the zygote imports it before it forks: what that takes is measured beside it, in a fresh interpreter.
Then 64 nodes, a server and 63 clients, each of which has computed with it once, and the memory of them all.

`tierfed --help` is timed in fresh processes, beside Python itself that does nothing.
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rows import Row, row
from tierfed.launch import listeners
from tierfed.launch.processes import launch
from tierfed.topology.assignment import ChildAssignment, NodeAssignment

EDGES = 3
CLIENTS = 4  # an edge
NODES = 1 + EDGES + EDGES * CLIENTS
RUNS = 3
TF = "tierfed.leaves.tf:tensorflow"  # what a zygote is to call when a program has TensorFlow leaves
TF_NODES = 64
HELPS = 10
_HELP = "import sys; sys.argv[1:] = ['--help']; from tierfed.cli import main; main()"


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


def _forked(preload: Sequence[str] = ()) -> tuple[float, float]:
    """Return seconds until sixteen forked nodes are ready, and their memory in MB."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        with launch(
            tree(),
            run_dir=Path(folder),
            run_id=secrets.token_hex(4),
            token=secrets.token_hex(16),
            wait_timeout=120.0,
            preload=preload,
        ) as deployment:
            deployment.wait_ready()
            seconds = time.perf_counter() - begun
            return seconds, _of_all(deployment.status())


def _of_all(status: Any) -> float:
    """Return the memory of a run's processes in MB."""
    rows = [status["supervisor"], status["zygote"], *status["processes"].values()]
    return sum(_memory(row["pid"]) for row in rows)


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


def _fresh_seconds(code: str) -> float:
    """Return what a fresh interpreter takes for `code`, its own start included."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - begun


def _computed(nodes: int) -> int:
    """Bring up nodes that compute with TensorFlow, and print their memory in MB after the first operation."""
    import tierfed
    from tierfed.leaves.tf import tensorflow

    tf = tensorflow()
    vector = tierfed.to_type("float32[1000]")

    @tierfed.tf_computation(vector)
    def train(model: Any) -> Any:
        return tf.nn.softmax(model * 2.0)

    @tierfed.federated_computation(vector)
    def step(model: Any) -> Any:
        here = tierfed.federated_value(model, tierfed.SERVER)
        return tierfed.federated_mean(tierfed.federated_map(train, tierfed.federated_broadcast(here)))

    with tempfile.TemporaryDirectory() as home:
        os.environ["TIERFED_HOME"] = home
        with tierfed.up(tierfed.tree({"CLIENTS": nodes - 1}), wait_timeout=300) as tree:
            result = tree.invoke(step, np.ones(1000, np.float32))
            assert abs(float(np.sum(result)) - 1) < 1e-3 and tree.deployment is not None
            print(_of_all(tree.deployment.status()))
    return 0


def _tensorflow(quick: bool) -> list[Row]:
    """Return the rows of nodes with TensorFlow, none where it is not installed."""
    if importlib.util.find_spec("tensorflow") is None:
        print("no rows with TensorFlow, which is not installed: pip install 'tierfed[tf]'", file=sys.stderr)
        return []
    imports, ready, memory = [], [], []
    for _ in range(1 if quick else RUNS):
        imports.append(_fresh_seconds("import tensorflow"))
        seconds, used = _forked([TF])
        ready.append(seconds)
        memory.append(used)
    imported, seconds = statistics.median(imports), statistics.median(ready)
    nodes = 4 if quick else TF_NODES
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.start", "tensorflow", str(nodes)], check=True, stdout=subprocess.PIPE
    )
    after = float(done.stdout.split()[-1])
    return [
        row("import of TensorFlow, fresh interpreter", imported, "s"),
        row("16 nodes with TensorFlow ready", seconds, "s"),
        row("16 nodes with TensorFlow ready, beyond the import", seconds - imported, "s", "<= 1"),
        row("16 nodes with TensorFlow, memory", statistics.median(memory), "MB"),
        row(f"{nodes} nodes with TensorFlow after the first operation, memory", after / 1000, "GB", "<= 3"),
    ]


def run(quick: bool = False) -> list[Row]:
    """Return the rows of this benchmark."""
    forked, fresh = [], []
    for _ in range(1 if quick else RUNS):
        forked.append(_forked())
        fresh.append(_fresh())
    seconds = [statistics.median(each[0] for each in kind) for kind in (forked, fresh)]
    memory = [statistics.median(each[1] for each in kind) for kind in (forked, fresh)]
    python, told = ([_fresh_seconds(code) for _ in range(3 if quick else HELPS)] for code in ("", _HELP))

    return [
        row("16 nodes ready, forked from a zygote", seconds[0], "s", "<= 1.5"),
        row("16 nodes ready, fresh interpreters", seconds[1], "s"),
        row("start of 16 nodes: fresh against forked", seconds[1] / seconds[0], "x", ">= 2"),
        row("16 nodes, memory forked", memory[0], "MB"),
        row("16 nodes, memory fresh", memory[1], "MB"),
        row("memory of 16 nodes: fresh against forked", memory[1] / memory[0], "x", ">= 2"),
        *_tensorflow(quick),
        row("a Python that does nothing", statistics.median(python), "s"),
        row("`tierfed --help`", statistics.median(told), "s", "<= 0.25"),
    ]


if __name__ == "__main__":
    if sys.argv[1:] == ["node"]:
        sys.exit(_node())
    if sys.argv[1:2] == ["tensorflow"]:
        sys.exit(_computed(int(sys.argv[2])))
    for each in run():
        print(json.dumps(each))
