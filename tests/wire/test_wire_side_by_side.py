"""Two threads for one message: the same bytes, values, sums and errors as one gives, and none left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_wire_message import IDENT, frames_of

from tierfed.codecs import CHUNK, Stream, codec, link_codec
from tierfed.codecs.error_feedback import feed_back
from tierfed.errors import CodecError, SettingError
from tierfed.types import parse
from tierfed.wire import side_by_side
from tierfed.wire.message import MessageReader, encode_message
from tierfed.wire.side_by_side import AHEAD, LEAST, SETTING, all_done, in_order

SIZE = 9 * CHUNK + 5000
RULES = {"w": "qsgd+zstd", "default": "none"}
SPECS: list[Any] = ["int8+zstd", "int8(stochastic=true)", "eden", "topk(0.01)+bf16", RULES, "error_feedback+int8"]
OTHER = CHUNK + 300
FLOATS = f"<w=float32[{SIZE}],b=float32[5],v=float32[{OTHER}]>"
WAIT = 30.0  # seconds after which a test gives up


@pytest.fixture(params=["1", "2"])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """As many threads as the parameter says."""
    monkeypatch.setenv(SETTING, request.param)
    return str(request.param)


class Residual:
    """A keeper of a residual for each tensor."""

    base = None

    def __init__(self) -> None:
        self.after = {"d.w": np.empty(SIZE, np.float32), "d.v": np.empty(OTHER, np.float32)}

    def begin(self, tensors: Any) -> None:
        """Nothing is known of them."""

    def encode(self, coder: Any, path: str, start: int, chunk: Any, stream: Stream) -> Any:
        """Code a chunk without an error of before."""
        return feed_back(coder, chunk, None, self.after[path][start : start + chunk.size], start, stream)


def values(seed: int = 1) -> Any:
    """Return normal numbers for each part."""
    random = np.random.default_rng(seed)
    return tuple(random.standard_normal(size, np.float32) for size in (SIZE, 5, OTHER))


def outcome(spec: Any, count: str, monkeypatch: pytest.MonkeyPatch) -> tuple[bytes, ...]:
    """Return all that `count` threads make of a message: its bytes, values, sums and residual."""
    monkeypatch.setenv(SETTING, count)
    t = parse(FLOATS)
    coder = link_codec(spec)
    keeper = Residual() if coder.at("d.w").state != "none" else None
    message = encode_message(IDENT, [("d", t, values())], coder, stream=Stream.of(3), keeper=keeper)
    reader = MessageReader([("d", t)], coder)
    wire = []
    for frame in frames_of(message):
        wire.append(bytes(frame.payload))
        reader.feed(frame)
    sums = [v.copy() for v in values(2)]
    reader.accumulate_into(sums)
    (back,) = reader.decode()
    assert message.digest == reader.digest
    kept = b"" if keeper is None else b"".join(a.tobytes() for a in keeper.after.values())
    return b"".join(wire), *(a.tobytes() for a in (*back, *sums)), kept


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_messages_are_the_same(spec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes, digest, decoded values, sums and residuals do not tell how many threads there were."""
    assert outcome(spec, "2", monkeypatch) == outcome(spec, "1", monkeypatch)


def test_a_value_that_is_not_carried(threads: str) -> None:
    """The first of several is what the error names, after the frames before it and no others."""
    t, value = parse(FLOATS), values()
    for at in (5, 7, 8):
        value[0][at * CHUNK + 11] = np.nan
    message = encode_message(IDENT, [("d", t, value)], codec("int8"))
    frames = iter(message)
    for _ in range(6):  # the slab, and chunks 0 to 4
        next(frames)
    with pytest.raises(CodecError, match=f"nan at element {5 * CHUNK + 11} cannot be quantised") as raised:
        next(frames)
    assert (raised.value.where, message.frames) == ("d.w", 6)


def test_a_chunk_that_does_not_decode(threads: str) -> None:
    """The first of several is what the error names, and nothing is added to a sum."""
    t = parse(FLOATS)
    reader = MessageReader([("d", t)], codec("int8"))
    for frame in frames_of(encode_message(IDENT, [("d", t, values())], codec("int8"))):
        reader.feed(frame)
    for chunk in (8, 4, 6):
        damaged = np.frombuffer(reader._payloads[1 + chunk], np.uint8).copy()
        damaged[-1] = 128
        reader._payloads[1 + chunk] = memoryview(damaged)
    sums = [np.ones_like(v) for v in values()]
    for read in (reader.verify, reader.decode, lambda: reader.accumulate_into(sums)):
        with pytest.raises(CodecError, match=f"code -128 at element {CHUNK - 1} is off the grid") as raised:
            read()
        assert raised.value.where == f"d.w, elements {4 * CHUNK} to {5 * CHUNK}"
    assert all((s == 1).all() for s in sums)


def test_both_threads_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of two items waits until the other has begun; what they return comes in order."""
    monkeypatch.setenv(SETTING, "2")
    meeting = threading.Barrier(2, timeout=WAIT)

    def work(item: int) -> int:
        if item < 2:
            meeting.wait()
        return item * item

    assert list(in_order(work, range(50), 0)) == [i * i for i in range(50)]


def test_a_busy_second_thread_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the second thread does something else, the first does all that there is."""
    monkeypatch.setenv(SETTING, "2")
    done = threading.Event()
    busy = side_by_side._pool().submit(done.wait, WAIT)
    try:
        names = list(in_order(lambda _: threading.get_ident(), range(20), 0))
    finally:
        done.set()
    assert set(names) == {threading.get_ident()} and busy.result()


def test_without_a_second_thread_the_first_does_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is ending, or has too many threads, gets no other."""

    def refuse(*_: Any) -> None:
        raise RuntimeError("cannot schedule new futures after shutdown")

    monkeypatch.setenv(SETTING, "2")
    monkeypatch.setattr(side_by_side._pool(), "submit", refuse)
    assert list(in_order(str, range(9), 0)) == list("012345678")


def test_nothing_is_under_way_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither after an error, which comes in its turn, nor when the caller stops early; little is done ahead."""
    monkeypatch.setenv(SETTING, "2")
    begun: list[int] = []
    ended: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        try:
            if item in (7, 9):
                raise ValueError(str(item))
            return item
        finally:
            ended.append(item)

    got = []
    with pytest.raises(ValueError, match="7"):
        for item in in_order(work, range(100), 0):
            got.append(item)
    assert got == list(range(7)) and sorted(begun) == sorted(ended) and max(begun) < 7 + AHEAD
    few = in_order(work, range(100, 200), 0)
    assert next(few) == 100
    few.close()  # type: ignore[attr-defined]
    assert sorted(begun) == sorted(ended) and max(begun) < 100 + AHEAD


def test_a_setting_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one and two can be asked for."""
    monkeypatch.setenv(SETTING, "3")
    with pytest.raises(SettingError, match="'3' is no number of threads") as raised:
        all_done(print, [], 0)
    assert (raised.value.where, raised.value.mend) == ("TIERFED_CODEC_THREADS", "write 1 or 2, or leave it out")


@pytest.mark.parametrize(
    ("nbytes", "cores", "load", "now", "wanted"),
    [
        (LEAST, 2, 1.4, "1/300", 2),
        (LEAST - 1, 2, 1.4, "1/300", 1),
        (LEAST, 1, 0.0, "1/300", 1),
        (LEAST, 2, 1.5, "1/300", 1),
        (LEAST, 2, 0.1, "2/300", 1),
        (LEAST, 4, 3.4, "3/300", 2),
        (LEAST, 2, 1.4, "", 2),
    ],
)
def test_when_there_are_two(
    nbytes: int, cores: int, load: float, now: str, wanted: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """For a message of 4 MB and more, if a core has been idle, and is."""
    monkeypatch.delenv(SETTING, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 9.0, 9.0))
    (tmp_path / "load").write_text(f"0.1 9.0 9.0 {now} 77\n" if now else "")
    monkeypatch.setattr(side_by_side, "_LOAD", str(tmp_path / "load"))
    assert side_by_side._threads(nbytes) == wanted


FORKED = """
import os, threading
from tierfed.wire.side_by_side import in_order
def both():
    meeting = threading.Barrier(2, timeout=20)
    return list(in_order(lambda i: meeting.wait() is None, range(2), 0))
assert both() == [False, False]
child = os.fork()
if not child:
    os._exit(0 if both() == [False, False] else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_has_a_thread_of_its_own() -> None:
    """A process that is forked from one with two threads codes with two, and both end."""
    run = [sys.executable, "-W", "ignore", "-c", FORKED]
    ended = subprocess.run(run, env={**os.environ, SETTING: "2"}, capture_output=True, text=True, timeout=60)
    assert (ended.stdout, ended.stderr) == ("0\n", "")
