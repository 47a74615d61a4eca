"""Log lines: made in a node, wrapped by the supervisor, read by people."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tierfed.errors import DataError, TierfedError
from tierfed.launch import log_reader, logs
from tierfed.launch.log_writer import LogWriter
from tierfed.node.naming import NODE

NOON = 1738324800.0  # 2025-01-31T12:00:00Z


@pytest.fixture
def pipe() -> Iterator[tuple[logging.Logger, Any]]:
    """A logger whose lines end in a pipe, and a function that returns those written since."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 1 << 20)
    handler = logs.DescriptorHandler(writing)
    handler.setFormatter(logs.JsonLines("first"))
    logger = logging.Logger("tierfed.test")  # noqa: LOG001  a logger of the test's own, outside the tree
    logger.addHandler(handler)

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in os.read(reading, 1 << 20).decode().splitlines()]

    yield logger, lines
    os.close(reading)
    os.close(writing)


def test_a_record_is_one_line(pipe: tuple[logging.Logger, Any]) -> None:
    """Newlines, quotes and foreign letters stay within one JSON line; the time is UTC."""
    logger, lines = pipe
    record = logger.makeRecord("tierfed.x", logging.WARNING, "", 0, 'two\nlines "%s" €', ("x",), None)
    record.created = NOON + 0.25
    logger.handle(record)
    assert lines() == [
        {
            "time": "2025-01-31T12:00:00.250000Z",
            "level": "WARNING",
            "logger": "tierfed.x",
            "node": "first",
            "message": 'two\nlines "x" €',
            "traceback": None,
        }
    ]


def test_a_typed_error_travels_with_its_mend(pipe: tuple[logging.Logger, Any]) -> None:
    """A TierfedError that was raised is in the line as a whole; another exception only as its traceback."""
    logger, lines = pipe
    for error in (DataError("no such set", where="data", mend="name another"), KeyError("x")):
        try:
            raise error
        except (DataError, KeyError):
            logger.exception("it failed")
    typed, plain = lines()
    assert typed["error"]["mend"] == "name another" and typed["error"]["kind"] == "DataError"
    assert "error" not in plain and plain["traceback"].endswith("KeyError: 'x'")


async def test_each_task_speaks_for_its_node(pipe: tuple[logging.Logger, Any]) -> None:
    """Two tasks of one process, and the threads they use, are told apart."""
    logger, lines = pipe

    async def node(name: str) -> None:
        NODE.set(name)
        await asyncio.sleep(0)
        logger.warning("task of %s", name)
        await asyncio.to_thread(logger.warning, "thread of %s", name)

    async with asyncio.TaskGroup() as group:
        group.create_task(node("a"))
        group.create_task(node("b"))
    logger.warning("outside")
    assert {(row["node"], row["message"]) for row in lines()} == {
        ("a", "task of a"),
        ("a", "thread of a"),
        ("b", "task of b"),
        ("b", "thread of b"),
        ("first", "outside"),
    }


def test_a_bad_log_call_is_still_a_line(pipe: tuple[logging.Logger, Any]) -> None:
    """A format string that does not fit its arguments, or a huge message, costs the text, not the node."""
    logger, lines = pipe
    logger.warning("%d apples", "no")
    logger.warning("x" * 100_000)
    bad, long = lines()
    assert bad["message"].startswith("%d apples (not formatted: ")
    assert long["message"].endswith(" … and 34464 characters more")


def test_a_reader_that_is_gone_is_no_error(pipe: tuple[logging.Logger, Any]) -> None:
    """When the supervisor has died, logging goes on into nothing."""
    reading, writing = os.pipe()
    handler = logs.DescriptorHandler(writing)
    handler.setFormatter(logs.JsonLines("first"))
    os.close(reading)
    logger = logging.Logger("tierfed.test")  # noqa: LOG001  a logger of the test's own, outside the tree
    logger.addHandler(handler)
    logger.error("into the void")
    os.close(writing)


def test_prints_become_lines(caplog: pytest.LogCaptureFixture) -> None:
    """`print` in pieces is one record a line; the last one comes with a flush."""
    stream = logs.LineStream("stdout", logging.INFO, 1)
    logging.getLogger("stdout").setLevel(logging.DEBUG)
    with caplog.at_level(logging.INFO):
        print("one", 2, "\nand", file=stream, end="")
        assert [record.message for record in caplog.records] == ["one 2 "]
        stream.flush()
        stream.flush()
    assert [(record.name, record.message) for record in caplog.records] == [("stdout", "one 2 "), ("stdout", "and")]
    assert stream.fileno() == 1 and stream.writable() and sys.stdout is not stream


def _writer(folder: Path, *nodes: str) -> tuple[LogWriter, list[dict[str, Any]]]:
    said: list[dict[str, Any]] = []
    return LogWriter(folder, nodes, said.append, lambda: NOON), said


def test_lines_go_to_the_files_of_their_nodes(tmp_path: Path) -> None:
    """A record is filed under its node; a node that is not the process's goes to the first."""
    writer, said = _writer(tmp_path, "a", "b")
    text = "".join(
        logs.line("t", "INFO", "x", node, f"from {node}") + "\n" for node in ("a", "b", "elsewhere", "../../etc/passwd")
    ).encode()
    writer.feed("records", text[:100])  # torn in the middle
    writer.feed("records", text[100:])
    read = {
        file.name: [json.loads(line)["message"] for line in file.read_text().splitlines()]
        for file in tmp_path.iterdir()
    }
    assert read == {"a.jsonl": ["from a", "from elsewhere", "from ../../etc/passwd"], "b.jsonl": ["from b"]}
    assert len(said) == 4


def test_raw_output_is_wrapped(tmp_path: Path) -> None:
    """Raw stdout is INFO, stderr WARNING, a crash's account CRITICAL; a last line needs no newline."""
    writer, said = _writer(tmp_path, "a")
    writer.feed("stdout", b"hello\nwor")
    writer.feed("stderr", b"careful \xff\n")
    writer.feed("stderr", b"Fatal Python error: Aborted\n\n")
    writer.feed("stdout", b"ld")
    writer.feed("stdout", b"")
    writer.feed("records", b"not json\n{}\n" + b"[" * 100_000 + b"\n")
    found = [(row["level"], row["logger"], row["message"][:20]) for row in said]
    assert found == [
        ("INFO", "stdout", "hello"),
        ("WARNING", "stderr", "careful \\xff"),
        ("CRITICAL", "stderr", "Fatal Python error: "),
        ("CRITICAL", "stderr", ""),
        ("INFO", "stdout", "world"),
        ("CRITICAL", "stderr", "not json"),
        ("CRITICAL", "stderr", "{}"),
        ("CRITICAL", "stderr", "[" * 20),
    ]
    assert {row["time"] for row in said} == {"2025-01-31T12:00:00.000000Z"}


def test_an_endless_line_is_broken(tmp_path: Path) -> None:
    """A process that never writes a newline does not fill the supervisor's memory."""
    writer, said = _writer(tmp_path, "a")
    for _ in range(40):
        writer.feed("stdout", b"x" * (1 << 16))
    assert len(said) == 2


def test_a_log_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    """With the folder gone the lines are lost, and the roster still hears them."""
    writer, said = _writer(tmp_path / "removed", "a")
    writer.feed("stdout", b"hello\n")
    assert [row["message"] for row in said] == ["hello"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two logs of three lines each, one of them torn by somebody's echo."""
    for node, seconds in (("a", (0, 2, 4)), ("b", (1, 3, 5))):
        rows = [
            logs.line(
                logs.timestamp(NOON + s),
                "ERROR" if s > 3 else "INFO",
                "x",
                node,
                f"{node}{s}",
                "T\n" if s == 5 else None,
            )
            for s in seconds
        ]
        (tmp_path / f"{node}.jsonl").write_text("\n".join(rows) + "\n")
    return tmp_path


def _read(folder: Path, *nodes: str, **filters: Any) -> list[str]:
    return [entry.message for entry in log_reader.read(folder, nodes, **filters)]


def test_logs_are_merged_by_time(folder: Path) -> None:
    """Nodes are interleaved by time; a node that has said nothing is no error."""
    assert _read(folder, "b", "a", "silent") == ["a0", "b1", "a2", "b3", "a4", "b5"]


def test_logs_are_filtered(folder: Path) -> None:
    """`since`, `level` and `tail` (a node) each leave some out, and together."""
    moment = datetime.fromtimestamp(NOON + 3, UTC)
    assert _read(folder, "a", "b", since=moment) == ["b3", "a4", "b5"]
    assert _read(folder, "a", "b", level="error") == ["a4", "b5"]
    assert _read(folder, "a", "b", tail=1) == ["a4", "b5"]
    assert _read(folder, "a", "b", tail=2, since=moment, level="INFO") == ["b3", "a4", "b5"]


def test_a_foreign_line_is_shown_as_it_is(folder: Path) -> None:
    """What is no JSON keeps its place, at the time of the line before."""
    with open(folder / "a.jsonl", "a") as file:
        file.write("somebody's echo\n{}\n")
    assert _read(folder, "a", "b") == ["a0", "b1", "a2", "b3", "a4", "somebody's echo", "{}", "b5"]


def test_following_sees_what_is_added_and_never_half_a_line(folder: Path) -> None:
    """A line begun is read when it has ended; the pause decides when to stop."""
    line = logs.line(logs.timestamp(NOON + 9), "INFO", "x", "a", "late")
    steps = iter([line[:20], line[20:] + "\n", None])

    def pause() -> bool:
        step = next(steps)
        if step is None:
            return False
        with open(folder / "a.jsonl", "a") as file:
            file.write(step)
        return True

    assert _read(folder, "a", tail=1, pause=pause) == ["a4", "late"]


def test_an_entry_reads_as_a_line_with_its_traceback(folder: Path) -> None:
    """How `tierfed logs` shows it."""
    last = list(log_reader.read(folder, ["b"]))[-1]
    assert str(last) == "2025-01-31T12:00:05.000000Z ERROR   b  b5\nT"


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86400), ("500ms", 0.5), ("1.5m", 90)]
)
def test_since_spans(text: str, seconds: float) -> None:
    """A span counts back from now."""
    now = datetime.fromtimestamp(NOON, UTC)
    assert (now - log_reader.parse_since(text, now)).total_seconds() == seconds


def test_since_moments() -> None:
    """An ISO time stands for itself."""
    now = datetime.fromtimestamp(NOON, UTC)
    assert log_reader.parse_since("2025-01-31T11:59:00+00:00", now).timestamp() == NOON - 60


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: log_reader.parse_since("yesterday", datetime.now(UTC)),
            "--since: 'yesterday' is no time\n  to mend: ",
        ),
        (
            lambda: list(log_reader.read(Path(), [], level="loud")),
            "--level: no level 'loud'\n  to mend: one of debug, i",
        ),
    ],
)
def test_filters_that_cannot_be(call: Any, text: str) -> None:
    """A filter that means nothing is named, with what would."""
    with pytest.raises(TierfedError) as caught:
        call()
    assert str(caught.value).startswith(text)
