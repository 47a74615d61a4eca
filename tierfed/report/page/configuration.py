"""The configuration of a run: its resolved topology, in full where it is short; and in what settings runs differ.

    differing([run, other])        [{"CLIENTS.codec.up": "none"}, {"CLIENTS.codec.up": "int8"}]

A list of members has a line a member, of which the first few and the last say it all: the others are left out of a
page, with their number, and the file itself keeps them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tierfed.report.page.stored_run import StoredRun
from tierfed.topology.positions import read_text
from tierfed.topology.problems import Problems

_MEMBERS = re.compile(r"( *)members: *(?:#.*)?")
_HEAD, _TAIL = 6, 1  # members that are shown
_MOST = 60_000  # characters of a configuration on a page
_LEFT_OUT = ("apiVersion", "kind", "hosts")


def shown(text: str) -> str:
    """Return the text of a resolved topology for a page: long lists of members are shortened."""
    lines: list[str] = []
    for head, block in _blocks(text):
        lines.append(head)
        entries = _entries(head, block)
        if len(entries) <= _HEAD + _TAIL + 2:
            lines += block
            continue
        for entry in entries[:_HEAD]:
            lines += entry
        indent = " " * (_indent(head) + 2)
        lines.append(f"{indent}# … {len(entries) - _HEAD - _TAIL:,} more members")
        for entry in entries[-_TAIL:]:
            lines += entry
    whole = "\n".join(line[:400] for line in lines)
    return whole if len(whole) <= _MOST else whole[:_MOST] + "\n# … the rest is in the run's folder"


def _blocks(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each line, with those that belong to it if it is the head of a list of members."""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        head = lines[at]
        at += 1
        block: list[str] = []
        if _MEMBERS.fullmatch(head):
            while at < len(lines) and (_indent(lines[at]) > _indent(head) or not lines[at].strip()):
                block.append(lines[at])
                at += 1
        yield head, block


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _entries(head: str, block: Sequence[str]) -> list[list[str]]:
    found: list[list[str]] = []
    for line in block:
        if found and _indent(line) > _indent(head) + 2:
            found[-1].append(line)
        else:
            found.append([line])
    return found


def settings(run: StoredRun) -> dict[str, str]:
    """Return the settings of a run by path, without those of single members: these are a number and a digest."""
    text = run.resolved()
    if text is None:
        return {}
    kept: list[str] = []
    members: dict[str, str] = {}
    placement = ""
    for head, block in _blocks(text):
        if _indent(head) == 2:
            placement = head.strip().rstrip(":")
        if block:
            digest = hashlib.sha256("\n".join(block).encode()).hexdigest()[:6]
            members[f"{placement}.members"] = f"{len(_entries(head, block)):,} ({digest})"
        else:
            kept.append(head)
    data = read_text("\n".join(kept), "topology", Problems()).data
    flat = dict(_flat(data, ())) if isinstance(data, Mapping) else {}
    return {**flat, **members}


def _flat(data: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for key, value in data.items():
        at = (*path, str(key))
        if isinstance(value, Mapping) and value:
            yield from _flat(value, at)
        elif at[0] not in _LEFT_OUT and value is not None and not isinstance(value, Mapping):
            yield ".".join(at[1:] if at[0] == "placements" else at), str(value)


def differing(runs: Sequence[StoredRun]) -> list[dict[str, str]]:
    """Return, for each run, the settings in which any of them differ."""
    each = [settings(run) for run in runs]
    keys = [key for key in dict.fromkeys(k for of in each for k in of) if len({of.get(key) for of in each}) > 1]
    told = [{key: of.get(key, "-") for key in keys} for of in each]
    for key in keys:
        if key.endswith(".members"):  # the digest is for lists as long as each other
            counts = [of[key].partition(" ")[0] for of in told]
            if len(set(counts)) == len({of[key] for of in told}):
                for of, count in zip(told, counts, strict=True):
                    of[key] = count
    return told
