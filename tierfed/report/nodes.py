"""Nodes of a run, as they are now: siblings in one state on one line.

    TIER              NODE                    STATE  PID        LISTENS
    SERVER            server                  ready  4711       127.0.0.1:40001
    EDGE_AGGREGATORS  edge-eu                 ready  4712       127.0.0.1:40002
    CLIENTS           c-eu-[00-04,06-15] ×15  ready  4714 4715
    CLIENTS           c-eu-05                 ended

A manifest is what a supervisor wrote last.  Whether a process is still there is asked of the kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tierfed.report.quantities import ago
from tierfed.report.table import table
from tierfed.topology.collapse import collapsed

if TYPE_CHECKING:
    from tierfed.launch.runs import Run

_PIDS = 3  # on one line
_NAMES = 3


def nodes(run: Run) -> list[dict[str, Any]]:
    """Return each node of `run` with its state now, in the manifest's order."""
    alive = set(run.processes())
    rows = []
    for name, row in run.manifest["nodes"].items():
        state = str(row.get("state"))
        gone = row.get("pid") is not None and row.get("process") not in alive
        rows.append(
            {
                "name": name,
                "placement": row.get("placement"),
                "parent": row.get("parent"),
                "process": row.get("process"),
                "pid": row.get("pid"),
                "address": row.get("address"),
                "state": "ended" if gone or not run.running else state,
            }
        )
    return rows


def table_of(rows: list[dict[str, Any]], width: int | None = None) -> str:
    """Return `rows` as a table on `width` columns, siblings in one state together."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["placement"], row["parent"], row["state"]), []).append(row)
    lines = []
    for (placement, _, state), of in groups.items():
        pids = list(dict.fromkeys(str(row["pid"]) for row in of if row["pid"] is not None and state != "ended"))
        name = together([row["name"] for row in of])
        shown = " ".join(pids[:_PIDS]) + (" …" if len(pids) > _PIDS else "")
        lines.append([str(placement), name, state, shown, _address(of) if state != "ended" else ""])
    return table(("TIER", "NODE", "STATE", "PID", "LISTENS"), lines, width)


def together(names: list[str]) -> str:
    """Return the names of siblings as one, or, where that says less and they are few, all of them."""
    one = collapsed(names)
    if len(names) <= _NAMES and "…" in one:
        return ", ".join(names)
    return one + (f" ×{len(names)}" if len(names) > 1 else "")


def _address(rows: list[dict[str, Any]]) -> str:
    if len(rows) > 1 or not rows[0]["address"]:
        return ""
    host, port = rows[0]["address"]
    return f"{host}:{port}"


def head(run: Run, rows: list[dict[str, Any]], now: datetime) -> str:
    """Return a line about the run itself."""
    up = sum(row["state"] == "ready" for row in rows)
    words = [f"run {run.id}", topology(run.manifest), run.state, f"{up}/{len(rows)} nodes ready"]
    if (since := _age(run.manifest, now)) is not None:
        words.append(f"up {ago(since)}" if run.running else f"begun {ago(since)} ago")
    return " · ".join(words)


def runs_table(runs: list[Run], now: datetime, width: int | None = None) -> str:
    """Return a line for each of `runs`, the latest first."""
    lines = []
    for run in reversed(runs):
        age = _age(run.manifest, now)
        begun = "" if age is None else f"{ago(age)} ago"
        lines.append([run.id, run.state, topology(run.manifest), str(len(run.manifest["nodes"])), begun])
    return table(("RUN", "STATE", "TOPOLOGY", "NODES", "BEGUN"), lines, width)


def document(run: Run, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what programs get of a run."""
    tiers: dict[str, dict[str, int]] = {}
    for row in rows:
        tier = tiers.setdefault(str(row["placement"]), {"nodes": 0, "ready": 0})
        tier["nodes"] += 1
        tier["ready"] += row["state"] == "ready"
    return {
        "run": run.id,
        "state": run.state,
        "running": run.running,
        "topology": topology(run.manifest),
        "created": run.manifest.get("created"),
        "run_dir": str(run.path),
        "tiers": tiers,
        "nodes": rows,
    }


def topology(manifest: Mapping[str, Any]) -> str:
    """Return the name of a run's topology."""
    info = manifest.get("info")
    return str(info.get("topology", "?")) if isinstance(info, dict) else "?"


def _age(manifest: Mapping[str, Any], now: datetime) -> float | None:
    """Return for how many seconds a run has been there, None if its manifest does not say."""
    try:
        begun = datetime.fromisoformat(str(manifest.get("created")))
    except ValueError:
        return None
    return (now - begun.astimezone(UTC)).total_seconds()
