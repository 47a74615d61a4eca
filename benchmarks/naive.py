"""Eight children send 40 MB each to be added: over links, and as a handler of aiohttp that reads bodies and sums them.

    python -m benchmarks naive

What people write first: children POST a body, the handler does `await request.read()`, and when all are there the
arrays are stacked and summed by numpy.  The body is the array's bytes, or a msgpack map with those inside.  Ours is
the fan-in of upload.py: the same float32, from as many processes, framed, checked by CRC32C, added as it is whole.  The
kinds take turns; the clock runs from the word "go" to the sum, and CPU is the receiving process's own.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import msgpack
import numpy as np
from aiohttp import ClientSession, web

from benchmarks.rows import Row, row
from benchmarks.upload import BYTES, CHILDREN, Links, keep_to
from tierfed.node import event_loop

RUNS = 5
KINDS = ("raw", "msgpack")


async def _send(url: str) -> None:
    """POST an array whenever a GET is answered with a kind of body."""
    array = np.ones(BYTES // 4, np.float32)
    async with ClientSession() as session:
        while True:
            async with session.get(f"{url}/go") as answer:
                kind = await answer.text()
            if kind not in KINDS:
                return
            body = array.tobytes()
            if kind == "msgpack":
                body = msgpack.packb({"round": 1, "dtype": "float32", "data": body})
            async with session.post(f"{url}/update", data=body) as answer:
                await answer.text()


class _Naive:
    """The server that people write: it reads each body whole, and sums when the last is there."""

    def __init__(self) -> None:
        self._kind = KINDS[0]
        self._bodies: list[Any] = []
        self._waiting: list[asyncio.Future[str]] = []
        self._all_wait = asyncio.Event()
        self.total = np.zeros(0, np.float32)

    async def open(self) -> None:
        """Listen, and start the children."""
        app = web.Application(client_max_size=BYTES * 2)
        app.router.add_get("/go", self._go)
        app.router.add_post("/update", self._update)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        command = [sys.executable, "-m", "benchmarks.naive", url]
        self._children = [subprocess.Popen(command) for _ in range(CHILDREN)]

    async def _go(self, request: web.Request) -> web.Response:
        word = asyncio.get_running_loop().create_future()
        self._waiting.append(word)
        if len(self._waiting) == CHILDREN:
            self._all_wait.set()
        return web.Response(text=await word)

    async def _update(self, request: web.Request) -> web.Response:
        self._bodies.append(await request.read())
        if len(self._bodies) == CHILDREN:
            self._sum()
        return web.Response(text="ok")

    def _sum(self) -> None:
        if self._kind == "msgpack":
            arrays = [np.frombuffer(msgpack.unpackb(body)["data"], np.float32) for body in self._bodies]
        else:
            arrays = [np.frombuffer(body, np.float32) for body in self._bodies]
        self.total = np.sum(arrays, axis=0)
        self._bodies.clear()
        self._done.set()

    async def _tell(self, word: str) -> None:
        await self._all_wait.wait()
        self._all_wait.clear()
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.set_result(word)

    async def run(self, kind: str) -> tuple[float, float]:
        """Return the seconds of one round with that kind of body, and the CPU seconds that it took here."""
        self._kind = kind
        self._done = asyncio.Event()
        await self._all_wait.wait()
        before, cpu = time.perf_counter(), time.process_time()
        await self._tell(kind)
        await self._done.wait()
        took = time.perf_counter() - before, time.process_time() - cpu
        assert len(self.total) == BYTES // 4 and self.total[0] == self.total[-1] == CHILDREN
        return took

    async def close(self) -> None:
        """Send the children home."""
        await self._tell("home")
        for child in self._children:
            await asyncio.to_thread(child.wait)
        await self._runner.cleanup()


async def _measure(runs: int) -> dict[str, list[tuple[float, float]]]:
    ours = Links(CHILDREN, fold=True)
    naive = _Naive()
    await ours.open()
    await naive.open()
    keep_to(receiver=True)  # after the senders were started, who inherit
    rows: dict[str, list[tuple[float, float]]] = {"ours": [], **{kind: [] for kind in KINDS}}
    for _ in range(runs + 1):
        seconds, _, cpu = await ours.run()
        rows["ours"].append((seconds, cpu))
        for kind in KINDS:
            rows[kind].append(await naive.run(kind))
    await ours.close()
    await naive.close()
    return {name: each[1:] for name, each in rows.items()}  # the first run warms up


def run(quick: bool = False) -> list[Row]:
    """Return the rows of this benchmark."""
    cores = os.sched_getaffinity(0)
    try:
        with asyncio.Runner(loop_factory=event_loop.factory()) as runner:
            rows = runner.run(_measure(1 if quick else RUNS))
    finally:
        os.sched_setaffinity(0, cores)
    wall, cpu = ({name: statistics.median(each[k] for each in runs) for name, runs in rows.items()} for k in range(2))
    what = f"{CHILDREN} x {BYTES // 1_000_000} MB received and added"
    return [
        row(f"{what}: ours", wall["ours"] * 1e3, "ms"),
        row(f"{what}: aiohttp, `request.read()` and `np.sum`", wall["raw"] * 1e3, "ms"),
        row(f"{what}: the same, msgpack bodies", wall["msgpack"] * 1e3, "ms"),
        row("wall: aiohttp against ours", wall["raw"] / wall["ours"], "x", ">= 2.5"),
        row("wall: aiohttp with msgpack against ours", wall["msgpack"] / wall["ours"], "x", ">= 2.5"),
        row("CPU of the parent: aiohttp against ours", cpu["raw"] / cpu["ours"], "x", ">= 4"),
        row("CPU of the parent: aiohttp with msgpack against ours", cpu["msgpack"] / cpu["ours"], "x", ">= 4"),
    ]


def main(arguments: list[str]) -> None:
    """Print the rows; with arguments, be a child."""
    if arguments:
        keep_to(receiver=False)
        asyncio.run(_send(arguments[0]))
        return
    for each in run():
        print(json.dumps(each))


if __name__ == "__main__":
    main(sys.argv[1:])
