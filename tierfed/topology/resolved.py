"""Resolved: a topology written out again, with nothing left to work out.

    placements:
      CLIENTS:
        parent: EDGE_AGGREGATORS
        colocate: 8
        codec:
          up: int8+zstd                # placements.CLIENTS.codec.up, line 27
          down: none                   # built-in
        members:
          c-eu-00: {parent: edge-eu}

It is a topology file like any other, and loads as an equal topology: that is how a run's
folder keeps the tree that it ran on.  What most members of a placement have stands at the
placement, the rest at the member.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tierfed.topology.scalars import quoted

if TYPE_CHECKING:
    from tierfed.placements import Placement
    from tierfed.topology.model import Node, Topology

Path = tuple[str, ...]
Value = str | float | tuple[tuple[str, str], ...]
_COMMENT_COLUMN = 40
_BRANCHES = ("members", "codec", "collect", "link", "interface", "compute", "energy")


def to_dict(topology: Topology) -> dict[str, Any]:
    """Return `topology` as the plain data of a file."""
    data: dict[str, Any] = {
        "apiVersion": "tierfed/v1",
        "kind": "Topology",
        "name": topology.name,
        "seed": topology.seed,
        "clock": topology.clock,
        "hosts": {name: dict(host) for name, host in topology.hosts.items()},
        "placements": {str(p): _placement(topology, p)[0] for p in topology.hierarchy.placements},
    }
    if topology.job is not None:
        data["job"] = {"program": topology.job.program, "params": dict(topology.job.params)}
        if topology.job.data is not None:
            data["job"]["data"] = dict(topology.job.data)
    if topology.faults:
        data["faults"] = [fault.written() for fault in topology.faults]
    return data


def to_yaml(topology: Topology, *, origins: bool) -> str:
    """Return `topology` as YAML, with each setting's origin in a comment if wanted."""
    told: dict[Path, str] = {}
    if origins:
        for placement in topology.hierarchy.placements:
            for path, origin in _placement(topology, placement)[1].items():
                told["placements", str(placement), *path] = origin
    lines: list[str] = []
    _write(to_dict(topology), (), told, lines)
    return "\n".join(lines) + "\n"


def _placement(topology: Topology, placement: Placement) -> tuple[dict[str, Any], dict[Path, str]]:
    """Return the data of one placement, and the origin of each setting in it by path."""
    parent = topology.hierarchy.parent(placement)
    nodes = topology.members(placement)
    data: dict[str, Any] = {} if parent is None else {"parent": str(parent)}
    if topology.colocate.get(str(placement), 1) != 1:
        data["colocate"] = topology.colocate[str(placement)]
    origins: dict[Path, str] = {}
    if (cohort := topology.cohorts.get(str(placement))) is not None:
        data["cohort"], origins["cohort",] = cohort.to_dict(), cohort.origin
    settings = [_settings(topology, node) for node in nodes]
    usual: dict[Path, tuple[Value, str]] = {}
    for key in settings[0] if settings else ():
        if any(key not in s for s in settings):
            continue  # what some have not may not stand where it is for all
        [(pair, times)] = Counter(s[key] for s in settings).most_common(1)
        if times > 1 or len(settings) == 1:
            usual[key] = pair
    for key, (value, origin) in usual.items():
        _put(data, key, value)
        origins[key] = origin
    members: dict[str, Any] = {}
    for node, of in zip(nodes, settings, strict=True):
        member: dict[str, Any] = {} if node.parent is None else {"parent": node.parent}
        if node.labels:
            member["labels"] = dict(node.labels)
        for key, (value, origin) in of.items():
            if usual.get(key) != (value, origin):
                _put(member, key, value)
                origins["members", node.name, *key] = origin
        members[node.name] = member
    data["members"] = members
    return data, origins


def _settings(topology: Topology, node: Node) -> dict[Path, tuple[Value, str]]:
    """Return the settings that mean something at `node`, each with its origin."""
    settings = node.settings
    values: dict[Path, Value] = {("host",): settings.host}
    if node.parent is not None:
        values |= {("codec", "up"): settings.codec_up, ("codec", "down"): settings.codec_down}
    if topology.hierarchy.children(topology.tree.member(node.name).placement):
        values |= {("collect", "quorum"): str(settings.quorum), ("collect", "deadline"): str(settings.deadline)}
    values |= settings.modelled.written()
    return {key: (value, settings.origins[".".join(key)]) for key, value in values.items()}


def _put(data: dict[str, Any], key: Path, value: Value) -> None:
    for step in key[:-1]:
        data = data.setdefault(step, {})
    if isinstance(value, tuple):
        data[key[-1]] = dict(value)
    else:
        data[key[-1]] = as_written(value) if key[0] == "codec" and isinstance(value, str) else value


def as_written(text: str) -> str | dict[str, str]:
    """Return a link's codec as a file says it, of rules by tensor name a mapping."""
    return dict(_rules(text)) if text.startswith("{") else text


@functools.lru_cache(maxsize=256)
def _rules(text: str) -> Mapping[str, str]:
    from tierfed.codecs import link_codec, rules  # numpy: kept off the path where no file has rules

    written = rules.as_written(link_codec(text))
    return {rules.DEFAULT: written} if isinstance(written, str) else written


def _write(data: Mapping[str, Any], path: Path, told: Mapping[Path, str], lines: list[str]) -> None:
    for key, value in data.items():
        at = (*path, key)
        start = "  " * len(path) + quoted(key) + ":"
        branches = len(at) < 3 or _has_origin(at, told) or _is_branch(at)
        if isinstance(value, dict) and value and branches and at not in told:
            lines.append(start)
            _write(value, at, told, lines)
            continue
        line = f"{start} {flow(value)}"
        lines.append(f"{line:<{_COMMENT_COLUMN}}  # {told[at]}" if at in told else line)


def _is_branch(path: Path) -> bool:
    """Return whether the mapping at `path` is written on lines of its own."""
    return path[0] == "placements" and len(path) == 3 and path[-1] in _BRANCHES


def _has_origin(path: Path, told: Mapping[Path, str]) -> bool:
    return any(key[: len(path)] == path for key in told)


def flow(value: Any) -> str:
    """Return `value` in YAML's flow style, on one line."""
    match value:
        case Mapping():
            return "{" + ", ".join(f"{quoted(str(k))}: {flow(v)}" for k, v in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(flow(v) for v in value) + "]"
    text = quoted(value)
    return f'"{text}"' if isinstance(value, str) and text == value and "," in value else text
