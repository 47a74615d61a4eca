"""One upload, and eight at once, over links against blocking sockets in the same run.

    python -m benchmarks.upload                           TIERFED_LOOP=uvloop for that loop

Every process but this one is a sender, started before the clock; the clock runs here,
from the word "go" to the moment when the last byte was received (and, for the fan-in,
added).  Raw and link runs alternate, so that both see the same machine, and the ratios
are of medians.  The receiver keeps to one core and the senders to the others, or the
scheduler's mood decides whether the two ends overlap.  CPU seconds are those of the
processes themselves, per GB of payload.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rows import Row, row
from tierfed.node import event_loop
from tierfed.node.hello import Hello
from tierfed.node.link import Link
from tierfed.node.receive_buffers import ReceiveBuffers
from tierfed.node.transport import dial, serve
from tierfed.wire.frame import Frame

BYTES = 40_000_000  # of one upload
CHUNK = 2**18 * 4  # bytes: 2^18 float32, as messages are cut
CHILDREN = 8
RUNS = 9
_HERE = Hello("bench", "token", "SERVER", "SERVER")


# -- senders


def _send_raw(port: int) -> None:
    """Send an upload at each byte that comes, and say what CPU it took."""
    data = memoryview(np.ones(BYTES // 4, np.float32)).cast("B")
    with socket.create_connection(("127.0.0.1", port)) as sock:
        while sock.recv(1):
            before = time.process_time()
            sock.sendall(data)
            sock.sendall(np.float64(time.process_time() - before).tobytes())


async def _send_links(port: int, count: int) -> None:
    """Send an upload over each of `count` links at each frame that comes on it."""
    data = memoryview(np.ones(BYTES // 4, np.float32)).cast("B")

    def frames() -> Iterator[tuple[dict[str, Any], list[memoryview]]]:
        for at in range(0, BYTES, CHUNK):
            yield {"kind": "chunk", "at": at}, [data[at : at + CHUNK]]

    async def child(index: int) -> None:
        loop = asyncio.get_running_loop()
        hello = Hello("bench", "token", f"c{index}", "CLIENTS")
        link = await dial(("127.0.0.1", port), hello, deadline=loop.time() + 30)
        words: asyncio.Queue[Frame | None] = asyncio.Queue()
        link.closed.add_done_callback(lambda _: words.put_nowait(None))
        link.start(words.put_nowait)
        while await words.get() is not None:
            before = time.process_time()
            await link.send_all(frames())
            await link.send({"kind": "end", "cpu": time.process_time() - before})

    async with asyncio.TaskGroup() as group:
        for index in range(count):
            group.create_task(child(int(os.environ["INDEX"]) * count + index))


def keep_to(receiver: bool) -> None:
    """Keep this process to the receiver's core, or to the others."""
    first, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {first} if receiver or not others else others)


def _spawn(kind: str, port: int, index: int = 0, count: int = 1) -> subprocess.Popen[bytes]:
    env = dict(os.environ, INDEX=str(index), OMP_NUM_THREADS="1")
    return subprocess.Popen([sys.executable, "-m", "benchmarks.upload", kind, str(port), str(count)], env=env)


# -- receivers


class _Raw:
    """The blocking receiver: one socket, one buffer that is used again."""

    def __init__(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self._child = _spawn("raw", listener.getsockname()[1])
        self._sock, _ = listener.accept()
        listener.close()
        self._data = np.empty(BYTES // 4, np.float32)

    def run(self) -> tuple[float, float, float]:
        """Return seconds, and the CPU seconds of sender and receiver, of one upload."""
        view, got = memoryview(self._data).cast("B"), 0
        before, cpu = time.perf_counter(), time.process_time()
        self._sock.sendall(b"g")
        while got < BYTES:
            got += self._sock.recv_into(view[got:])
        seconds, mine = time.perf_counter() - before, time.process_time() - cpu
        theirs = np.frombuffer(self._sock.recv(8, socket.MSG_WAITALL), np.float64)
        return seconds, float(theirs[0]), mine

    def close(self) -> None:
        self._sock.close()
        self._child.wait()


class Links:
    """The parent: links, receive buffers, and whole contributions added in member order."""

    def __init__(self, count: int, fold: bool) -> None:
        self._count = count
        self._fold = fold
        self._spool = tempfile.TemporaryDirectory()
        self._buffers = ReceiveBuffers((count + 1) * BYTES * 5 // 4, Path(self._spool.name))
        self._total = np.zeros(BYTES // 4, np.float32)
        self._links: dict[str, Link] = {}
        self._whole: dict[str, list[Frame]] = {}
        self._cpu: dict[str, float] = {}
        self._next = 0

    async def open(self) -> None:
        """Listen, and start the children."""
        arrived = asyncio.Event()

        def admit(link: Link) -> dict[str, Any]:
            assert link.peer is not None
            name = link.peer.node
            self._links[name] = link
            link.start(lambda frame: self._on_frame(name, frame), self._buffers.allocate)
            if len(self._links) == self._count:
                arrived.set()
            return {}

        self._server = await serve(socket.create_server(("127.0.0.1", 0), backlog=64), _HERE, admit)
        self._children = [_spawn("link", self._server.address[1], i) for i in range(self._count)]
        await arrived.wait()

    def _on_frame(self, name: str, frame: Frame) -> None:
        if frame.header["kind"] == "chunk":
            self._whole.setdefault(name, []).append(frame)
            return
        self._cpu[name] = frame.header["cpu"]
        while f"c{self._next}" in self._cpu:
            for part in self._whole.pop(f"c{self._next}"):
                if self._fold:
                    at = part.header["at"] // 4
                    chunk = np.frombuffer(part.payload, np.float32)
                    np.add(self._total[at : at + len(chunk)], chunk, out=self._total[at : at + len(chunk)])
            self._next += 1
        if self._next == self._count:
            self._done.set()

    async def run(self) -> tuple[float, float, float]:
        """Return seconds, and the CPU seconds of senders and receiver, of one round of uploads."""
        self._done = asyncio.Event()
        self._cpu.clear()
        self._next = 0
        before, cpu = time.perf_counter(), time.process_time()
        for link in self._links.values():
            link.post({"kind": "go"})
        await self._done.wait()
        return time.perf_counter() - before, sum(self._cpu.values()), time.process_time() - cpu

    async def close(self) -> None:
        """Send the children home."""
        await self._server.close()
        for child in self._children:
            child.wait()
        self._spool.cleanup()


async def _measure(runs: int) -> dict[str, list[tuple[float, float, float]]]:
    raw, one, many = _Raw(), Links(1, fold=False), Links(CHILDREN, fold=True)
    await one.open()
    await many.open()
    keep_to(receiver=True)  # after the senders were started, who inherit
    rows: dict[str, list[tuple[float, float, float]]] = {"raw": [], "one": [], "many": []}
    for _ in range(runs + 1):
        rows["raw"].append(raw.run())
        rows["one"].append(await one.run())
        rows["many"].append(await many.run())
    raw.close()
    await one.close()
    await many.close()
    return {name: each[1:] for name, each in rows.items()}  # the first run warms up


def run(quick: bool = False) -> list[Row]:
    """Return the rows of this benchmark."""
    cores = os.sched_getaffinity(0)
    try:
        with asyncio.Runner(loop_factory=event_loop.factory()) as runner:
            rows = runner.run(_measure(2 if quick else RUNS))
    finally:
        os.sched_setaffinity(0, cores)
    seconds, sent, received = (
        {name: statistics.median(each[k] for each in runs) for name, runs in rows.items()} for k in range(3)
    )
    size = {"raw": BYTES / 1e9, "one": BYTES / 1e9, "many": CHILDREN * BYTES / 1e9}
    rate = {name: size[name] / seconds[name] for name in rows}

    return [
        row("upload of 40 MB, blocking sockets", rate["raw"], "GB/s"),
        row("upload of 40 MB, one link", rate["one"], "GB/s"),
        row("upload: link against blocking sockets", rate["one"] / rate["raw"], "x", ">= 0.85"),
        row("fan-in of 8 x 40 MB with the add", rate["many"], "GB/s"),
        row("fan-in: against one raw stream", rate["many"] / rate["raw"], "x", ">= 0.6"),
        *(
            row(f"CPU {side}, {text}", cpu[name] / size[name], "s/GB", target)
            for side, cpu in (("sending", sent), ("receiving", received))
            for name, text, target in (
                ("raw", "blocking sockets", ""),
                ("one", "one link", ""),
                ("many", "fan-in with the add", "<= 0.55" if side == "receiving" else ""),
            )
        ),
    ]


def main(arguments: list[str]) -> None:
    """Print the rows; with arguments, be a sender."""
    if arguments:
        keep_to(receiver=False)
        kind, port, count = arguments[0], int(arguments[1]), int(arguments[2])
        if kind == "raw":
            _send_raw(port)
        else:
            with asyncio.Runner(loop_factory=event_loop.factory()) as runner:
                runner.run(_send_links(port, count))
        return
    for each in run():
        print(json.dumps(each))


if __name__ == "__main__":
    main(sys.argv[1:])
