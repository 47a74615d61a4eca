"""What coding costs: every codec of the table, in numpy and compiled, beside copying the same array.

    python -m benchmarks codecs

An array of 25 M normal float32 (100 MB), in chunks of a link, in one thread.  A figure is the CPU time of memcpy
over that of what is measured, which take turns; medians.  *Encode* makes the codes, *decode* fills an array,
*fold* adds one child to a sum, and *fold 4* adds four, chunk by chunk, so that the sum stays in the cache: 1 means that
a child costs as much as copying its array.  np.add of arrays that are there already stands in the first rows.
Codecs whose senders agree first (powersgd, thc) are not among these.

The last rows are of whole messages, by the clock: the time that one thread takes over that of two, for which two cores
must have nothing else to do.

The limits are goals of the design for the compiled paths.  numpy alone has none: it gives the same bytes.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from benchmarks.rows import Row, row
from tierfed.codecs import CHUNK, TABLE, ArrayStage, Codec, ShortStage, Stream, codec, compiled
from tierfed.types import to_type
from tierfed.wire.frame import FrameDecoder, encode
from tierfed.wire.message import MessageReader, encode_message
from tierfed.wire.side_by_side import SETTING

MORE = ["int8(stochastic=true)", "qsgd(bits=8)"]
GOALS: dict[str, dict[str, str]] = {
    "bf16": {"encode": ">= 0.5", "decode": ">= 0.6"},
    "int8": {"encode": ">= 0.5", "decode": ">= 0.9", "fold 4": ">= 2.5"},
    "qsgd": {"encode": ">= 0.3", "decode": ">= 0.8"},
    "eden": {"encode": ">= 0.2", "decode": ">= 0.25"},
    "topk": {"encode": ">= 0.35", "decode": ">= 0.5"},
}
CHILDREN = 4
SHARED = ["int8", "eden", "none+zstd"]
_ENOUGH = 3.0  # seconds of one figure
_STREAM = Stream.of(7, "benchmark")

Pass = Callable[[], Any]


def specs() -> list[str]:
    """Return the codecs to be measured, in the table's order."""
    names = [name for name, stage in TABLE.items() if issubclass(stage, ArrayStage | ShortStage)]
    alone = [name for name in names if not getattr(TABLE[name], "agrees", False)]
    return [spec for name in alone for spec in (name, *(more for more in MORE if more.startswith(f"{name}(")))]


def ratio(measured: Pass, copied: Pass, runs: int) -> float:
    """Return the median time of `copied` over that of `measured`; they take turns, the slower ones fewer."""
    times: list[list[float]] = [[], []]
    begun = time.thread_time()
    for turn in range(runs + 1):
        for each, taken in zip((copied, measured), times, strict=True):
            start = time.thread_time()
            each()
            if turn:  # the first touches memory
                taken.append(time.thread_time() - start)
        if turn and time.thread_time() - begun > _ENOUGH:
            break
    return statistics.median(times[0]) / statistics.median(times[1])


def passes(c: Codec, x: Any, out: Any) -> dict[str, tuple[Pass, int]]:
    """Return what is measured of a codec, each with how many arrays it codes."""
    cuts = [slice(at, min(at + CHUNK, x.size)) for at in range(0, x.size, CHUNK)]
    codes = [memoryview(bytes(c.encode_chunk(x[cut], cut.start, _STREAM))) for cut in cuts]

    def encode() -> None:
        for cut in cuts:
            c.encode_chunk(x[cut], cut.start, _STREAM)

    def decode() -> None:
        for cut, code in zip(cuts, codes, strict=True):
            c.decode_chunk(code, out[cut])

    def fold(children: int = 1) -> None:
        for cut, code in zip(cuts, codes, strict=True):
            for _ in range(children):
                c.accumulate_chunk(code, out[cut])

    return {
        "encode": (encode, 1),
        "decode": (decode, 1),
        "fold": (fold, 1),
        "fold 4": (lambda: fold(CHILDREN), CHILDREN),
    }


@contextmanager
def kernels(used: bool) -> Iterator[None]:
    """Code with compiled kernels, or in numpy alone."""
    before = compiled.LEAST
    compiled.LEAST = before if used else 1 << 62
    try:
        yield
    finally:
        compiled.LEAST = before


def sharing(spec: str, x: Any, runs: int) -> dict[str, float]:
    """Return how much faster two threads code a message, and add it to a sum."""
    t, c = to_type(f"float32[{x.size}]"), codec(spec)
    message = encode_message({"site": "1"}, [("x", t, x)], c, stream=_STREAM)
    reader, sums = MessageReader([("x", t)], c), [np.zeros_like(x)]
    for header, buffers in message:
        reader.feed(*FrameDecoder().feed(b"".join(encode(header, buffers))))
    reader.verify()
    before = os.environ.get(SETTING)
    ratios: dict[str, float] = {}
    try:
        for name, measured in {"encode": lambda: list(message), "fold": lambda: reader.accumulate_into(sums)}.items():
            times: dict[str, list[float]] = {"1": [], "2": []}
            for _ in range(runs):
                for threads, taken in times.items():
                    os.environ[SETTING] = threads
                    start = time.perf_counter()
                    measured()
                    taken.append(time.perf_counter() - start)
            ratios[name] = min(times["1"]) / min(times["2"])
    finally:
        os.environ.pop(SETTING)
        if before is not None:
            os.environ[SETTING] = before
    return ratios


def run(quick: bool = False) -> list[Row]:
    """Return the rows of this benchmark."""
    size, runs = (1 << 20, 2) if quick else (25_000_000, 3)
    x = np.random.default_rng(0).standard_normal(size, np.float32)
    out = np.zeros_like(x)

    def copied() -> None:
        np.copyto(out, x)

    copied()
    start = time.thread_time()
    copied()
    rows = [
        row(f"memcpy of {size} float32", (time.thread_time() - start) * 1e3, "ms"),
        row("np.add of two arrays", ratio(lambda: np.add(out, x, out=out), copied, runs), "x memcpy"),
    ]
    for spec in specs():
        has = getattr(codec(spec).stages[0], "kernels", "")
        for used in (False, True) if has and compiled.load(has) else (False,):
            with kernels(used):
                for name, (measured, arrays) in passes(codec(spec), x, out).items():
                    goal = GOALS.get(spec, {}).get(name, "") if used else ""
                    by = "compiled" if used else "numpy"
                    rows.append(row(f"{spec}, {name}, {by}", arrays * ratio(measured, copied, runs), "x memcpy", goal))
    for spec in SHARED:
        for name, faster in sharing(spec, x[: max(len(x) // 4, 1 << 20)], 2 * runs).items():
            rows.append(row(f"{spec}, {name} a message in two threads", faster, "x one thread"))
    return rows


def table(rows: list[Row]) -> str:
    """Return the rows of codecs as a table: one line a codec, numpy and compiled side by side."""
    cells: dict[str, dict[tuple[str, str], Row]] = {}
    for each in rows:
        spec, _, rest = each["name"].rpartition(", ")[0].rpartition(", ")
        if spec and each["unit"] == "x memcpy":
            cells.setdefault(spec, {})[rest, each["name"].rpartition(", ")[2]] = each
    names = ("encode", "decode", "fold", "fold 4")
    lines = [f"| codec | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for spec, found in cells.items():
        shown = []
        for name in names:
            both = [found[name, by] for by in ("numpy", "compiled") if (name, by) in found]
            goal = f" ({both[-1]['target']})" if both[-1]["target"] else ""
            shown.append(" → ".join(f"{each['figure']:.2f}" for each in both) + goal)
        lines.append(f"| `{spec}` | {' | '.join(shown)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    measured_rows = run()
    for measured_row in measured_rows:
        print(json.dumps(measured_row))
    print(table(measured_rows))
