"""Trace files: when members were there, as a CSV beside the topology says it.

    available: {trace: phones.csv}

    member,from,until
    c-00,0,3600              seconds since the run began, or with a unit
    c-00,2h,2.5h
    c-1*,22h,30h             every member that is called so

Rows are in any order.  What is wrong is told with file and line, all at once; spans of one member may touch, and not
overlap, for then one of the two rows is not what was meant.  Who has the trace is in a row of it: never to be there,
or always, is a thing to be said.  The resolved topology has each member's own spans, so that a run is repeated without
the file.
"""

from __future__ import annotations

import csv
import fnmatch
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path as FilePath

from tierfed.topology.problems import Place, Problems
from tierfed.topology.suggest import did_you_mean
from tierfed.topology.units import Duration, UnitError

COLUMNS = ["member", "from", "until"]
MAX_BYTES = 64 << 20
_TOLD = 20  # problems of one file
_MATCHES = 10_000_000  # members times rows
_PLAIN = frozenset("0123456789.")

Span = tuple[Duration, Duration]


@dataclass(frozen=True, slots=True)
class Row:
    """A row that reads."""

    line: int
    member: str
    begin: Duration
    end: Duration


class TraceFile:
    """A file that was read; `label` names it in problems, and `spans` has what its members have."""

    def __init__(self, path: FilePath, label: str, problems: Problems) -> None:
        self.label = label
        self._problems = problems
        self._found = 0
        self.rows = self._rows(_text(path, label, problems))

    def _add(self, line: int, what: str) -> None:
        self._found += 1
        if self._found <= _TOLD:
            self._problems.add(Place(line, 1, self.label), (), what)

    def told(self) -> None:
        """Say how many more problems there are than were told."""
        if self._found > _TOLD:
            self._problems.add(Place(0, 0, self.label), (), f"and {self._found - _TOLD} more of its rows are wrong")

    def _rows(self, text: str | None) -> list[Row]:
        if text is None:
            return []
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        rows: list[Row] = []
        try:
            heading = next(reader, None)
            if heading is None:
                self._add(1, f"it is empty; begin with {','.join(COLUMNS)}")
                return []
            if [name.strip() for name in heading] != COLUMNS:
                self._add(1, f"the columns are {', '.join(heading)!r}; begin with {','.join(COLUMNS)}")
                return []
            for cells in reader:
                if cells and (row := self._row(reader.line_num, [cell.strip() for cell in cells])) is not None:
                    rows.append(row)
        except csv.Error as wrong:
            self._add(reader.line_num, f"it is no CSV: {wrong}")
        if not rows and not self._found:
            self._add(1, "it has no row; write when its members are there, as c-00,0,3600")
        return rows

    def _row(self, line: int, cells: list[str]) -> Row | None:
        if len(cells) != len(COLUMNS):
            self._add(line, f"{len(cells)} columns, and {', '.join(COLUMNS)} are {len(COLUMNS)}")
            return None
        times = []
        for name, cell in zip(COLUMNS[1:], cells[1:], strict=True):
            try:
                times.append(Duration.parse(cell + "s" if cell and set(cell) <= _PLAIN else cell))
            except UnitError as wrong:
                self._add(line, f"{name}: {wrong}")
        if not cells[0]:
            self._add(line, "it names no member")
        if len(times) < 2 or not cells[0]:
            return None
        if times[0].exact >= times[1].exact:
            self._add(line, f"until {times[1]} is not after from {times[0]}")
            return None
        return Row(line, cells[0], times[0], times[1])

    def spans(self, names: Iterable[str], everybody: Iterable[str], every: Duration | None) -> dict[str, list[Span]]:
        """Return the spans of each of `names`, in order, those that touch as one.

        Adds a problem for each row that names none of `everybody`, and for what overlaps, is missing or ends after
        the period `every`.
        """
        wanted, known = set(names), dict.fromkeys(everybody)
        patterns: dict[str, list[str]] = {}
        of: dict[str, list[Row]] = {name: [] for name in wanted}
        matched = 0
        for row in self.rows:
            if every is not None and row.end.exact > every.exact:
                self._add(row.line, f"until {row.end} is after the period of {every} ends")
            hit = [row.member] if row.member in known else patterns.get(row.member)
            if hit is None:
                hit = patterns[row.member] = fnmatch.filter(known, row.member) if set("*?[") & set(row.member) else []
            if not hit:
                self._add(row.line, f"no member '{row.member}'; {did_you_mean(row.member, known)}")
            matched += len(hit)
            if matched > _MATCHES:
                self._add(row.line, f"its rows mean more than {_MATCHES} members; write fewer, or fewer patterns")
                return {}
            for name in hit:
                if name in of:
                    of[name].append(row)
        missing = [name for name in known if name in wanted and not of[name]]
        if missing:
            more = f" and {len(missing) - 1} more have" if len(missing) > 1 else " has"
            self._add(0, f"{missing[0]}{more} no row; say when it is there, {missing[0]},0s,24h for one")
        return {name: self._merged(name, rows) for name, rows in of.items()}

    def _merged(self, name: str, rows: list[Row]) -> list[Span]:
        spans: list[Span] = []
        last: Row | None = None
        for row in sorted(rows, key=lambda row: (row.begin.exact, row.line)):
            if last is not None and row.begin.exact < last.end.exact:
                one, other = sorted((last, row), key=lambda row: row.line)
                told = f"{other.begin} to {other.end} overlaps {one.begin} to {one.end}, line {one.line}"
                self._add(other.line, f"{name}: {told}")
            elif last is not None and row.begin.exact == last.end.exact:
                spans[-1] = (spans[-1][0], row.end)
            else:
                spans.append((row.begin, row.end))
            if last is None or row.end.exact > last.end.exact:
                last = row
        return spans


def _text(path: FilePath, label: str, problems: Problems) -> str | None:
    """Return what the file says, None if it cannot be read."""
    everything = Place(0, 0, label)
    try:
        if not path.exists():
            what = "there is no such file; write its path from the topology's folder"
        elif not path.is_file():
            what = "it is no file"
        elif (size := path.stat().st_size) > MAX_BYTES:
            what = f"it has {size} bytes, and {MAX_BYTES} are the most"
        else:
            data = path.read_bytes()[: MAX_BYTES + 1]
            return data.decode("utf-8-sig")
    except OSError as wrong:
        what = f"it cannot be read: {wrong.strerror}"
    except UnicodeDecodeError as wrong:
        line = data.count(b"\n", 0, wrong.start) + 1
        problems.add(Place(line, 1, label), (), f"it is not UTF-8: byte 0x{data[wrong.start]:02x}")
        return None
    problems.add(everything, (), what)
    return None
