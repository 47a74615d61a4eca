"""What a node says, as JSON lines on the pipe that leads to its log file.

    {"time": "2025-01-31T12:00:00.123456Z", "level": "INFO", "logger": "tierfed.node",
     "node": "c-0", "message": "dialled server", "traceback": null}

(with `"error"`, as `TierfedError.to_dict` gives it, when that is what was raised).

Everything becomes such a line: records of `logging` (at or above the run's
level), warnings, a leaf's `print` (logger "stdout"), `sys.stderr` ("stderr"),
a thread's uncaught exception.  What bypasses Python, such as the output of a
subprocess or of faulthandler, arrives on two other pipes and is wrapped by the
supervisor (`launch.log_writer`).

Nodes that share a process get their own lines: `NODE` is a context variable that
names the node on whose behalf code runs.  Each node's task sets it once;
`asyncio` tasks and `asyncio.to_thread` hand it on.  Lines written outside any
node go to the process's first one.
"""

from __future__ import annotations

import faulthandler
import io
import json
import logging
import os
import sys
import threading
from datetime import UTC, datetime
from typing import Any

from tierfed.errors import TierfedError
from tierfed.node.naming import NODE

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_MESSAGE_LIMIT = 64 << 10  # characters


def timestamp(seconds: float) -> str:
    """Return Unix `seconds` as the lines carry them: UTC, to the microsecond."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def line(
    time: str,
    level: str,
    logger: str,
    node: str,
    message: str,
    traceback: str | None = None,
    error: TierfedError | None = None,
) -> str:
    """Return one line of a log, without its newline."""
    fields: dict[str, Any] = {"time": time, "level": level, "logger": logger, "node": node, "message": _cut(message)}
    fields["traceback"] = traceback and _cut(traceback)
    return json.dumps(fields if error is None else {**fields, "error": error.to_dict()})


def _cut(text: str) -> str:
    more = len(text) - _MESSAGE_LIMIT
    return text if more <= 0 else f"{text[:_MESSAGE_LIMIT]} … and {more} characters more"


class JsonLines(logging.Formatter):
    """Formats a record as one JSON line, for the node in `NODE` or else `first`."""

    def __init__(self, first: str) -> None:
        super().__init__()
        self._first = first

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of `record`."""
        traceback = self.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else None
        if record.stack_info:
            traceback = "\n".join(filter(None, (traceback, record.stack_info)))
        try:
            message = record.getMessage()
        except Exception as error:
            message = f"{record.msg} (not formatted: {error})"
        node = str(getattr(record, "node", None) or NODE.get() or self._first)
        cause = record.exc_info[1] if record.exc_info else None
        raised = cause if isinstance(cause, TierfedError) else None
        return line(timestamp(record.created), record.levelname, record.name, node, message, traceback, raised)


class DescriptorHandler(logging.Handler):
    """Writes each record to a descriptor; a reader that went away is no error."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def emit(self, record: logging.LogRecord) -> None:
        """Write `record`, whole: the pipe has this handler as its only writer."""
        data = memoryview(self.format(record).encode("utf-8", "backslashreplace") + b"\n")
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            pass  # the supervisor has ended, and this process is about to


class LineStream(io.TextIOBase):
    """Stands for `sys.stdout` or `sys.stderr`: whole lines become log records."""

    def __init__(self, name: str, level: int, descriptor: int) -> None:
        super().__init__()
        self._logger = logging.getLogger(name)
        self._level = level
        self._descriptor = descriptor
        self._pending = threading.local()  # two threads do not mix their lines
        self.buffer = io.FileIO(descriptor, "w", closefd=False)

    encoding = "utf-8"
    errors = "backslashreplace"

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the raw descriptor: what is written there is wrapped by the supervisor."""
        return self._descriptor

    def write(self, text: str) -> int:
        """Log the lines that `text` completes."""
        *lines, rest = (getattr(self._pending, "text", "") + text).split("\n")
        self._pending.text = rest
        for whole in lines:
            self._log(whole)
        return len(text)

    def flush(self) -> None:
        """Log the line begun, if any."""
        rest, self._pending.text = getattr(self._pending, "text", ""), ""
        if rest:
            self._log(rest)

    def _log(self, text: str) -> None:
        if self._logger.isEnabledFor(self._level):
            self._logger.handle(self._logger.makeRecord(self._logger.name, self._level, "", 0, text, (), None))


def install(descriptor: int, *, first: str, level: str) -> None:
    """Send all that this process says, at or above `level`, to `descriptor`.

    Descriptors 1 and 2 are left alone; faulthandler writes to 2.
    """
    handler = DescriptorHandler(descriptor)
    handler.setFormatter(JsonLines(first))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("stdout", "stderr"):
        logging.getLogger(name).setLevel(logging.DEBUG)  # what a leaf prints is not filtered by level
    logging.captureWarnings(True)
    sys.stdout = LineStream("stdout", logging.INFO, 1)
    sys.stderr = LineStream("stderr", logging.WARNING, 2)
    threading.excepthook = _thread_died
    faulthandler.enable(file=2)


def _thread_died(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is not SystemExit and args.exc_value is not None:
        name = args.thread.name if args.thread else "?"
        where = (args.exc_type, args.exc_value, args.exc_traceback)
        logging.getLogger("tierfed").error("uncaught in thread %s: %s", name, args.exc_value, exc_info=where)


def flush() -> None:
    """Log the lines that were begun on `sys.stdout` and `sys.stderr`, before a process ends."""
    sys.stdout.flush()
    sys.stderr.flush()
