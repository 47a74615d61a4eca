"""The manifest of a run: `manifest.json` in its folder, written by its supervisor alone.

    {"schema_version": 1, "id": "7f3a90c2", "state": "ready", "created": "2025-01-31T12:00:00.000000Z",
     "machine": "<boot> <pid namespace>", "foreground": true, "info": {...},
     "supervisor": {"pid": 4711, "start": 123456}, "zygote": {...},
     "control": "/run/user/1000/tierfed-7f3a90c2/control", "root": "server", "failure": null,
     "processes": {"c-0": {"pid": ..., "start": ..., "state": "ready", "ending": null, "nodes": ["c-0"]}},
     "nodes": {"c-0": {"placement": "CLIENTS", "process": "c-0", "parent": "edge-eu", "pid": ..., "start": ...,
               "address": null, "state": "ready"}}}

States of a run: `starting`, `ready`, `stopping`, `down`, `failed` (with `failure`,
an error as `TierfedError.to_dict` gives it).  States of a process and its nodes:
`waiting` (not forked yet), `starting`, `ready`, `ended`.

A manifest is replaced whole by a rename, so a reader sees one version or the
next, never half of one.  It holds no secret.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tierfed.launch.pids import ProcessId, machine
from tierfed.launch.roster import Roster

SCHEMA_VERSION = 1
NAME = "manifest.json"
OVER = ("down", "failed")  # states in which nothing runs any more


def root(assignments: Sequence[Mapping[str, Any]]) -> str:
    """Return the name of the node without a parent."""
    return next(str(one["name"]) for one in assignments if one["parent"] is None)


def describe(
    assignments: Sequence[Mapping[str, Any]],
    roster: Roster,
    addresses: Mapping[str, Sequence[Any]],
    *,
    supervisor: ProcessId | None,
    zygote: ProcessId | None,
    **rest: Any,
) -> dict[str, Any]:
    """Return the manifest of a run whose processes are as `roster` has them."""
    processes = roster.to_dict()
    nodes = {}
    for one in assignments:
        process = processes[one["process"]]
        nodes[one["name"]] = {
            "placement": one["placement"],
            "process": one["process"],
            "parent": one["parent"],
            "pid": process["pid"],
            "start": process["start"],
            "address": addresses.get(one["name"]),
            "state": roster.node_state(one["name"]),
        }
    return {
        "schema_version": SCHEMA_VERSION,
        **rest,
        "machine": machine(),
        "supervisor": supervisor and {"pid": supervisor.pid, "start": supervisor.start},
        "zygote": zygote and {"pid": zygote.pid, "start": zygote.start},
        "root": root(assignments),
        "processes": processes,
        "nodes": nodes,
    }


def write(run_dir: Path, manifest: dict[str, Any]) -> None:
    """Replace the manifest in `run_dir` atomically."""
    target = run_dir / NAME
    fresh = run_dir / f".{NAME}.{os.getpid()}"
    fresh.write_text(json.dumps(manifest, indent=1))
    os.replace(fresh, target)


def read(run_dir: Path) -> dict[str, Any] | None:
    """Return the manifest in `run_dir`, None if there is none that can be read."""
    try:
        found = json.loads((run_dir / NAME).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    fits = isinstance(found, dict) and found.get("schema_version") == SCHEMA_VERSION and _has_shape(found)
    return found if fits else None


def _has_shape(manifest: dict[str, Any]) -> bool:
    texts = all(isinstance(manifest.get(key), str) for key in ("id", "state", "machine"))
    tables = all(
        isinstance(table := manifest.get(key), dict) and all(isinstance(row, dict) for row in table.values())
        for key in ("processes", "nodes")
    )
    return texts and tables
