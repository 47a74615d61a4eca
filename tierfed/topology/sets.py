"""Sets: `--set path=value`, values of a file changed from the command line.

    --set placements.CLIENTS.codec.up=int8+zstd
    --set CLIENTS.codec.up=int8+zstd              the same: placement names are no top-level fields
    --set CLIENTS.overrides[0].match.i=0-3
    --set job.params.lr=0.05
    --set 'placements={SERVER: {}, CLIENTS: {parent: SERVER, count: 8}}'     other placements altogether

A value is read as YAML.  It is checked like one in the file, and its problems stand at the
`--set` that wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from tierfed.topology.positions import Document, read_text
from tierfed.topology.problems import Path, Place, Problems, dotted
from tierfed.topology.spec import TOP_LEVEL
from tierfed.topology.suggest import did_you_mean

_STEP = re.compile(r"(?P<name>[^.\[\]=\s]+)|\[(?P<index>[0-9]{1,6})\]")


def apply_sets(document: Document, sets: Sequence[str], problems: Problems) -> list[Path]:
    """Write each of `sets` into `document` in order; return the paths of the single values written."""
    written: list[Path] = []
    for number, text in enumerate(sets):
        place = Place(0, number, f"--set {text}")
        path, equals, value = text.partition("=")
        steps = _steps(path.strip())
        if not equals or steps is None:
            problems.add(place, (), "expected path=value, such as CLIENTS.codec.up=int8")
            continue
        data = _value(value, place, problems)
        if data is None:
            continue
        full = _full_path(steps, document, place, problems)
        if full is not None and _write(document, full, data, place, problems):
            leaves = list(_leaves(full, data))
            for leaf in leaves:
                for end in range(len(full), len(leaf) + 1):
                    document.keys[leaf[:end]] = document.values[leaf[:end]] = place
            if full == ("placements",):  # another tree, as if the file had it: its members' own values outrank a tier's
                written = [before for before in written if before[0] != "placements"]
                continue
            written += [leaf for leaf in leaves if leaf not in written]
    return written


def _steps(path: str) -> Path | None:
    """Return the steps of a dotted path, None if it is none."""
    steps: list[str | int] = []
    at = 0
    while at < len(path):
        if steps and path[at] == ".":
            at += 1
        match = _STEP.match(path, at)
        if match is None:
            return None
        steps.append(match["name"] or int(match["index"]))
        at = match.end()
    return tuple(steps) or None


def _value(text: str, place: Place, problems: Problems) -> Any:
    """Return the data that `text` says; None, with a problem, if it says none."""
    inner = Problems()
    data = read_text(text, place.label, inner).data if text.strip() else None
    for problem in inner.found:
        problems.add(place, (), problem.what)
    if data is None and not inner.found:
        problems.add(place, (), "nothing follows '='; write a value")
    return None if inner.found else data


def _full_path(steps: Path, document: Document, place: Place, problems: Problems) -> Path | None:
    """Return `steps` from the top of the file; the short form starts at a placement."""
    first = str(steps[0])
    placements = document.data.get("placements")
    names = [str(name) for name in placements] if isinstance(placements, dict) else []
    if first in TOP_LEVEL:
        if first == "placements" and len(steps) > 1 and steps[1] not in names:
            problems.add(place, steps, f"no such placement; {did_you_mean(str(steps[1]), names)}")
            return None
        return steps
    if first in names:
        return ("placements", *steps)
    problems.add(place, steps, f"'{first}' is no placement and no field; {did_you_mean(first, [*names, *TOP_LEVEL])}")
    return None


def _write(document: Document, path: Path, data: Any, place: Place, problems: Problems) -> bool:
    holder: Any = document.data
    for at, step in enumerate(path):
        last = at == len(path) - 1
        if isinstance(holder, list):
            if not (isinstance(step, int) and step < len(holder)):
                problems.add(place, path[: at + 1], f"{dotted(path[:at])} has the entries 0 to {len(holder) - 1}")
                return False
        elif not isinstance(holder, dict) or isinstance(step, int):
            problems.add(place, path[: at + 1], f"{dotted(path[:at])} is no mapping; set it as a whole")
            return False
        elif path[at - 1] == "members" and at == 3 and step not in holder:
            problems.add(place, path[: at + 1], f"no such member; {did_you_mean(str(step), map(str, holder))}")
            return False
        if last:
            holder[step] = data
        elif isinstance(holder, list) or holder.get(step) is not None:
            holder = holder[step]
        else:
            holder[step] = {}
            document.keys[path[: at + 1]] = document.values[path[: at + 1]] = place
            holder = holder[step]
    return True


def _leaves(path: Path, data: Any) -> list[Path]:
    if isinstance(data, dict) and data:
        return [leaf for key, value in data.items() for leaf in _leaves((*path, key), value)]
    return [path]
