"""Output: where a command speaks, to people and to programs.

    output.say("run 7f3a90c2 is up")         stdout; stderr when programs have stdout (`--json`)
    output.document({"schema_version": 1})   with `--json`: once, on stdout; otherwise nothing
    output.warn("…")                         stderr

A program that reads stdout then finds one JSON document there and nothing else, whatever happens:
`answer_failure` writes one if nobody has.  What user code prints goes to people as well.

NO_COLOR: no-color.org.  A character that the terminal's encoding lacks becomes `?` rather than an error.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from tierfed.errors import TierfedError
from tierfed.report import failure
from tierfed.report.fold import folded

SCHEMA_VERSION = 1
_RED, _YELLOW, _PLAIN = "\033[31m", "\033[33m", "\033[0m"


class Output:
    """See the module docstring; `json` is set by the option of that name."""

    def __init__(self, *, json: bool = False) -> None:
        self.json = json
        self._stdout = sys.stdout
        self._stderr = sys.stderr
        self._answered = False
        for stream in (self._stdout, self._stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")

    @property
    def people(self) -> TextIO:
        """The stream that people read."""
        return self._stderr if self.json else self._stdout

    @property
    def width(self) -> int | None:
        """Columns of the terminal that people read, None if it is none."""
        return shutil.get_terminal_size().columns if _is_terminal(self.people) else None

    @property
    def live(self) -> bool:
        """Whether a view may redraw itself: on a terminal that can."""
        return _is_terminal(self.people) and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")

    @property
    def colours(self) -> bool:
        """Whether people want colours."""
        return self.live and not os.environ.get("NO_COLOR")

    def say(self, text: str = "") -> None:
        """Tell people, in lines that fit their terminal."""
        print(folded(text, self.width), file=self.people, flush=True)

    def notice(self, text: str) -> None:
        """Tell people something from a signal handler: no lock that the interrupted code may hold is taken."""
        with contextlib.suppress(OSError, ValueError):
            os.write(self._stderr.fileno(), f"{text}\n".encode())

    def raw(self, text: str) -> None:
        """Write text that is for people or for a file, just as it is."""
        self.people.write(text)
        self.people.flush()

    def binary(self, content: bytes) -> None:
        """Write to stdout, byte for byte, what is for a pipe."""
        self._stdout.flush()
        self._stdout.buffer.write(content)
        self._stdout.buffer.flush()

    def warn(self, text: str) -> None:
        """Tell people something beside the point of the command."""
        self._tell(f"note: {text}", _YELLOW)

    def fail(self, error: BaseException, *, log: str | None = None, traceback: bool = True) -> None:
        """Tell people of an error; `log` is the path of the log of the node where it happened."""
        self._tell(failure.told(error, log=log, traceback=traceback), _RED)

    def _tell(self, text: str, colour: str) -> None:
        wide = shutil.get_terminal_size().columns if _is_terminal(self._stderr) else None
        first, colon, rest = folded(text, wide).partition(": ")
        if colon and "\n" not in first and _is_terminal(self._stderr) and not os.environ.get("NO_COLOR"):
            first, colon = colour + first, f":{_PLAIN} "
        with contextlib.suppress(BrokenPipeError):
            print(first + colon + rest, file=self._stderr, flush=True)

    def document(self, document: Mapping[str, Any]) -> None:
        """With `--json`, write the command's one document."""
        if self.json and not self._answered:
            self._answered = True
            print(json.dumps(document, ensure_ascii=False, default=str), file=self._stdout, flush=True)

    def answer_failure(self, status: str, error: TierfedError | None) -> None:
        """With `--json`, write the document of a command that came to nothing, if it has written none."""
        problems = failure.problems(error)
        self.document(
            {"schema_version": SCHEMA_VERSION, "status": status, "error": failure.document(error)}
            | ({"problems": problems} if problems else {})
        )

    @contextlib.contextmanager
    def user_code(self) -> Iterator[None]:
        """Let what user code prints go to people."""
        with contextlib.redirect_stdout(self.people):
            yield


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False
