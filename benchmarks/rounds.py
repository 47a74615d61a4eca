"""An empty round over three tiers, 1-2-8: eleven processes, nothing to compute.

    python -m benchmarks.rounds

Every client gives the number one, and the server returns how many there were; the figure is
the whole way of a call, from Python and back.  Beside it, in the same run, the floor: one
byte passed from process to process over blocking loopback sockets along the longest path of
that tree, driver to server to edge to client and back (six hops).
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import tempfile
import time
from typing import Any

import numpy as np

import tierfed
from benchmarks.rows import Row, row

EDGES, CLIENTS_EACH = 2, 4
ROUNDS = 200


@tierfed.federated_computation
def empty_round() -> Any:
    """Return the number of clients."""
    return tierfed.federated_sum(tierfed.federated_value(np.int32(1), tierfed.CLIENTS))


TURNS = 50


@tierfed.federated_computation(np.int32)
def empty_turns(turns: Any) -> Any:
    """Return the number of clients, counted by each edge once a turn: a broadcast down, a sum up."""
    edges = tierfed.placement("EDGE_AGGREGATORS")

    def turn(state: Any) -> Any:
        return tierfed.federated_sum(tierfed.federated_broadcast(state, to=tierfed.CLIENTS) * np.int32(0) + 1, to=edges)

    start = tierfed.federated_value(np.int32(0), edges)
    return tierfed.federated_sum(tierfed.federated_iterate(turn, start, turns, at=edges))


def _echo_chain(hops: int) -> tuple[socket.socket, list[int]]:
    """Return a socket to a chain of `hops` processes, each passing a byte on and its answer back."""
    children = []
    near: socket.socket | None = None
    for _ in range(hops):
        ours, theirs = _pair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            while byte := theirs.recv(1):
                if near is not None:
                    near.sendall(byte)
                    near.recv(1)
                theirs.sendall(byte)
            os._exit(0)
        theirs.close()
        if near is not None:
            near.close()
        near = ours
        children.append(pid)
    assert near is not None
    return near, children


def _pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    for end in (ours, theirs):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ours, theirs


def run(quick: bool = False) -> list[Row]:
    """Return the rows of this benchmark."""
    rounds = 50 if quick else ROUNDS
    chain, children = _echo_chain(3)
    floor, ours, loops = [], [], []
    topology = tierfed.tree(fan_out={"EDGE_AGGREGATORS": EDGES, "CLIENTS": CLIENTS_EACH})
    with tempfile.TemporaryDirectory() as home:
        os.environ["TIERFED_HOME"] = home  # its runs are nobody's
        with tierfed.up(topology) as tree:
            for _ in range(10):
                assert tree.invoke(empty_round) == EDGES * CLIENTS_EACH
            for _ in range(rounds):
                start = time.perf_counter()
                tree.invoke(empty_round)
                ours.append(time.perf_counter() - start)
                start = time.perf_counter()
                chain.sendall(b"x")
                chain.recv(1)
                floor.append(time.perf_counter() - start)
            for turns in (0, TURNS) * 5:
                start = time.perf_counter()
                assert tree.invoke(empty_turns, turns) == (EDGES * CLIENTS_EACH if turns else 0)
                loops.append(time.perf_counter() - start)
    chain.close()
    for pid in children:
        os.waitpid(pid, 0)
    turn = (statistics.median(loops[1::2]) - statistics.median(loops[::2])) / TURNS * 1e3
    median, bare = statistics.median(ours) * 1e3, statistics.median(floor) * 1e3
    return [
        row("one byte along the longest path of 1-2-8 and back, blocking sockets", bare, "ms"),
        row("empty round over 1-2-8, from Python and back", median, "ms", "<= 5"),
        row("empty round against the bare path", median / bare, "x"),
        row("an empty turn at the edges of 1-2-8, both at once", turn, "ms"),
    ]


if __name__ == "__main__":
    for each in run():
        print(json.dumps(each))
