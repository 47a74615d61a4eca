"""Spans: what a node spends its time on; for `/metrics`, and for the trace of a run.

    with spans.span("fold", "2.0", "9f-3"):          seconds and counts by kind add up …
        …
    spans.open(folder, "edge-eu")                    … and with a file, each is a line of it:

    {"kind": "fold", "what": "2.0", "inv": "9f-3", "at": 81.20, "for": 0.0031}
    {"kind": "sent", "what": "9f-3/1/2.0/up/c-0", "at": 81.21}

| kind | the time |
|---|---|
| receive | waiting for the parent's message, and decoding it |
| fold | waiting for the children's messages, and adding them up |
| add | of which: adding one child's message |
| check | checking one child's message, whole and still coded |
| compute | expressions and leaves of the program |
| queue | of which: waiting for the process's thread for leaves |
| encode | coding a message |
| send | coding and sending a message upwards, with what its senders agree on before |
| sent, came | a message has left, is here: the two ends of an arrow, by one name |

`at` is the machine's monotonic time in seconds, the same for all processes of it.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from pathlib import Path
from typing import IO

KINDS = ("receive", "fold", "add", "check", "compute", "queue", "encode", "send")
TRACES = "trace"  # the folder in that of a run
_BUFFER = 1 << 16  # bytes of lines before they are written


class _Span:
    __slots__ = ("_said", "_spans", "_start")

    def __init__(self, spans: Spans, *said: str) -> None:
        self._spans = spans
        self._said = said

    def __enter__(self) -> None:
        self._start = time.monotonic()

    def __exit__(self, *error: object) -> None:
        kind, what, invocation = self._said
        self._spans.took(kind, what, invocation, self._start, time.monotonic() - self._start)


class Spans:
    """See the module docstring.  May be used from several threads."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(KINDS, 0.0)
        self.counts = dict.fromkeys(KINDS, 0)
        self._file: IO[str] | None = None
        self._lock = threading.Lock()

    def open(self, folder: Path, node: str) -> None:
        """Write what happens from now on to a file of `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        self._file = open(folder / f"{node}.jsonl", "a", _BUFFER, encoding="utf-8")  # noqa: SIM115  # closed by close()

    def span(self, kind: str, what: str, invocation: str) -> _Span:
        """Count the time of the block, also if it raises or is cancelled."""
        return _Span(self, kind, what, invocation)

    def took(self, kind: str, what: str, invocation: str, start: float, seconds: float) -> None:
        """Count `seconds` from the monotonic time `start` on."""
        with self._lock:
            self.seconds[kind] += seconds
            self.counts[kind] += 1
        if self._file is not None:
            self._write({"kind": kind, "what": what, "inv": invocation, "at": start, "for": seconds})

    def message(self, kind: str, name: str) -> None:
        """Note that the message called `name` was "sent", or "came"."""
        if self._file is not None:
            self._write({"kind": kind, "what": name, "at": time.monotonic()})

    def _write(self, row: dict[str, str | float]) -> None:
        with self._lock, contextlib.suppress(OSError, ValueError):  # a trace is not worth a round
            assert self._file is not None
            self._file.write(json.dumps(row) + "\n")

    def flush(self) -> None:
        """Let others read what was written so far."""
        if self._file is not None:
            with self._lock, contextlib.suppress(OSError, ValueError):
                self._file.flush()

    def close(self) -> None:
        """Write the rest."""
        if self._file is not None:
            with self._lock, contextlib.suppress(OSError):
                self._file.close()
