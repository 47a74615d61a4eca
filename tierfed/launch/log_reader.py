"""Reading the logs of a run: several nodes merged by time, filtered, and followed.

    for entry in read(run_dir / "logs", ["c-0", "c-1"], since=parse_since("10m", now), level="WARNING"):
        print(entry)

Each file is in order of arrival, so a merge of the files is in order as far as
their clock was.  A line that is no JSON (a torn write, or somebody's echo into
the file) is shown as it is, at the time of the line before it.  Following asks
the files again whenever `pause` returns, until it returns False: the reader has
no clock of its own.
"""

from __future__ import annotations

import heapq
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tierfed.errors import TierfedError
from tierfed.launch.logs import LEVELS

_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One line of a log; entries sort by time, then by node."""

    time: str
    node: str
    level: str = field(compare=False)
    logger: str = field(compare=False)
    message: str = field(compare=False)
    traceback: str | None = field(compare=False, default=None)

    def __str__(self) -> str:
        head = f"{self.time} {self.level:<7} {self.node}  {self.message}"
        return f"{head}\n{self.traceback.rstrip()}" if self.traceback else head


def read(
    folder: Path,
    nodes: Sequence[str],
    *,
    since: datetime | None = None,
    tail: int | None = None,
    level: str | None = None,
    pause: Callable[[], bool] | None = None,
) -> Iterator[Entry]:
    """Yield the entries of `nodes` at or after `since`, at or above `level`.

    `tail` keeps the last so many of each node.  With `pause` the files are then
    followed: it is called whenever there is nothing new, and ends the reading by
    returning False.

    Raises TierfedError if `level` is no level.
    """
    least = _rank(level)
    earliest = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if since else ""
    sources = [_Source(folder / f"{node}.jsonl", node) for node in nodes]

    def wanted(entries: Iterable[Entry]) -> Iterator[Entry]:
        return (one for one in entries if one.time >= earliest and _order(one.level) >= least)

    kept = [deque(wanted(source.more()), maxlen=tail) for source in sources]
    yield from heapq.merge(*kept)
    while pause is not None:
        fresh = sorted(one for source in sources for one in wanted(source.more()))
        yield from fresh
        if not fresh and not pause():
            return


def parse_since(text: str, now: datetime) -> datetime:
    """Return the moment that `text` names: a span before `now` (`90s`, `10m`, `2h`, `1d`) or an ISO date and time.

    Raises TierfedError for anything else.
    """
    span = _SPAN.fullmatch(text.strip())
    if span:
        return now - timedelta(seconds=float(span[1]) * _UNITS[span[2]])
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise TierfedError(
            f"{text!r} is no time", where="--since", mend="write 90s, 10m, 2h, 1d, or 2025-01-31T12:00:00"
        ) from None
    return moment.astimezone()


class _Source:
    """One growing file; what it has gained since the last look, as whole lines."""

    def __init__(self, path: Path, node: str) -> None:
        self._path = path
        self._node = node
        self._at = 0
        self._time = ""

    def more(self) -> Iterator[Entry]:
        try:
            with open(self._path, "rb") as file:
                if file.seek(0, 2) < self._at:
                    self._at = 0  # somebody emptied it
                file.seek(self._at)
                for raw in file:
                    if not raw.endswith(b"\n"):
                        return  # still being written: read again with its end
                    self._at += len(raw)
                    yield self._entry(raw.decode("utf-8", "backslashreplace").rstrip("\n"))
        except FileNotFoundError:
            return  # it has said nothing yet

    def _entry(self, text: str) -> Entry:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or not all(isinstance(found.get(k), str) for k in ("time", "message")):
            return Entry(self._time, self._node, "INFO", "", text)
        self._time = found["time"]
        traceback = found.get("traceback")
        level, logger = str(found.get("level")), str(found.get("logger"))
        return Entry(found["time"], self._node, level, logger, found["message"], str(traceback) if traceback else None)


def _rank(level: str | None) -> int:
    if level is None:
        return -1
    if level.upper() not in LEVELS:
        raise TierfedError(
            f"no level {level!r}", where="--level", mend=f"one of {', '.join(one.lower() for one in LEVELS)}"
        )
    return LEVELS.index(level.upper())


def _order(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else LEVELS.index("INFO")
