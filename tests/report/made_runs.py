"""Folders of runs and sweeps, written by hand: what a report reads, without a run."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HOSTILE = "<script>alert(1)</script>&\"'\x00\u202e]]>"
CONFIGURATION = """apiVersion: tierfed/v1
kind: Topology
name: {name}
seed: {seed}
placements:
  SERVER:
    members:
      server: {{}}
  EDGES:
    parent: SERVER
    codec:
      up: bf16
    members:
      edge-eu: {{parent: server}}
      edge-us: {{parent: server}}
  CLIENTS:
    parent: EDGES
    codec:
      up: {codec}
    members:
{members}
job:
  program: program:train
  params:
    lr: {lr}
"""


def made_run(
    folder: Path,
    *,
    accuracy: Sequence[float] = (0.5, 0.7, 0.8),
    name: str = "three-tier",
    codec: str = "int8",
    lr: str = "0.1",
    seed: int = 7,
    clients: int = 4,
    up: int = 1000,
    summary: bool = True,
    history: bool = True,
    status: str = "ok",
    error: Mapping[str, str] | None = None,
    lost: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Write a run of as many rounds as there are accuracies: each of 2 s, `up` bytes up and twice as many down."""
    folder.mkdir(parents=True)
    names = [f"c-{at}" for at in range(clients)]
    rounds = len(accuracy)
    if rounds:
        heads = ["round", "seconds", "contributors", "lost", "bytes_up.CLIENTS", "bytes_down.CLIENTS", "joules.CLIENTS"]
        with open(folder / "rounds.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*heads, "accuracy", "loss"])
            writer.writerows([r, 2.0, clients, 0, up, 2 * up, 5.0, a, 1 - a] for r, a in enumerate(accuracy))
    traffic = {"CLIENTS": {"up": up, "raw_up": 4 * up, "down": 2 * up, "raw_down": 2 * up}}
    events: list[dict[str, Any]] = []
    for r in range(rounds):
        events += [
            {"time": 2.0 * r, "event": "round", "round": r, "of": rounds},
            {"time": 2.0 * r + 2, "event": "invoked", "computation": "step", "invocation": f"i-{r}", "seconds": 2.0}
            | {"counts": {}, "lost": {}, "traffic": traffic},
        ]
    (folder / "events.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events) + '{"torn')
    if summary:
        tiers: dict[str, Any] = {
            "SERVER": {"nodes": 1},
            "EDGES": {"nodes": 2, "bytes_up": 0, "bytes_down": 0, "codec_up": "bf16", "codec_down": "none"},
            "CLIENTS": {
                "nodes": clients,
                "bytes_up": up * rounds,
                "bytes_down": 2 * up * rounds,
                "raw_bytes_up": 4 * up * rounds,
                "raw_bytes_down": 2 * up * rounds,
                "codec_up": codec,
                "codec_down": "none",
                "joules": 5.0 * rounds,
            },
        }
        document = {
            "schema_version": 1,
            "run": folder.name,
            "status": status,
            "topology": name,
            "clock": "virtual",
            "rounds": rounds,
            "metrics": {"accuracy": accuracy[-1], "loss": 1 - accuracy[-1]} if rounds else {},
            "seconds": {"ready": 0.1, "job": 2.0 * rounds, "per_round": [2.0] * rounds, "here": 0.5},
            "tiers": tiers,
            "lost": list(lost),
            "run_dir": str(folder),
            "error": error,
        }
        (folder / "summary.json").write_text(json.dumps(document))
    members = "\n".join(f"      {one}: {{parent: edge-{'eu' if at % 2 else 'us'}}}" for at, one in enumerate(names))
    (folder / "topology.resolved.yaml").write_text(
        CONFIGURATION.format(name=json.dumps(name), seed=seed, codec=json.dumps(codec), lr=lr, members=members)
    )
    leaves = {"name": f"c-[0-{clients - 1}]", "tier": "CLIENTS", "count": clients, "link": [f"up {codec}"], "below": []}
    edges = {"name": "edge-[eu,us]", "tier": "EDGES", "count": 2, "link": ["up bf16"], "facts": [], "below": [leaves]}
    root = {"name": "server", "tier": "SERVER", "count": 1, "link": [], "facts": ["quorum 100%"], "below": [edges]}
    tree = {"schema_version": 1, "topology": name, "tiers": {"SERVER": 1, "EDGES": 2, "CLIENTS": clients}, "root": root}
    (folder / "tree.json").write_text(json.dumps(tree))
    origin = {
        "schema_version": 1,
        "created": "2025-01-31T12:00:00Z",
        "folder": "/home/me/my demo",
        "clock": "virtual",
        "versions": {"tierfed": "0.1.0", "python": "3.11.2"},
        "machine": "Linux x86_64, 8 cores",
        "commands": [["tierfed", "simulate", "three tier.yaml", "--set", f"seed={seed}"]],
    }
    (folder / "origin.json").write_text(json.dumps(origin))
    if history and rounds:
        made_history(folder / "history", rounds)
    return folder


def made_history(folder: Path, rounds: int) -> None:
    """Write histories in which the server waits for edge-us, and edge-us for c-2; edge-eu closes without c-3."""
    folder.mkdir()
    came = {
        "server": (["edge-eu", "edge-us"], [(1.0, "edge-eu"), (2.0, "edge-us")], 2.0, {}),
        "edge-eu": (["c-1", "c-3"], [(0.6, "c-1")], 0.9, {"c-3": "its connection was lost"}),
        "edge-us": (["c-0", "c-2"], [(0.5, "c-0"), (1.8, "c-2")], 1.8, {}),
    }
    for node, (children, arrivals, ended, lost) in came.items():
        rows: list[dict[str, Any]] = []
        for r in range(rounds):
            same = {"node": node, "invocation": f"i-{r}", "attempt": 1}
            begun = 2.0 * r
            sites = {"2.0": {"placement": "X", "children": children, "quorum": 1}}
            rows.append({**same, "at": begun, "event": "begun", "sites": sites, "dead": {}, "epochs": {}})
            rows.append({**same, "at": begun + 0.1, "event": "reached", "site": "2.0", "deadline": None})
            rows += [
                {**same, "at": begun + at, "event": "accepted", "site": "2.0", "member": child}
                for at, child in arrivals
            ]
            rows.append({**same, "at": begun + ended, "event": "closed", "site": "2.0", "lost": lost})
        lines = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
        (folder / f"{node}.jsonl").write_text(lines + '{"event":"acc')


def made_split(folder: Path, members: int, labels: Sequence[str] = ("shirt", "bag", "boot")) -> None:
    """Write a split in which member i has i, 1 and 0 examples."""
    table = {f"c-{at}": [at, 1, *[0] * (len(labels) - 2)] for at in range(members)}
    plain = {"rule": {"dirichlet": {"alpha": 0.3}}, "seed": 7, "labels": list(labels), "members": table}
    (folder / "split.json").write_text(json.dumps(plain))


def made_sweep(folder: Path, cells: Mapping[str, Sequence[float]], *, curves: bool = True) -> Path:
    """Write a sweep over codecs: each cell's runs end with these accuracies; the later the cell, the more it sends."""
    folder.mkdir(parents=True)
    axes = [{"path": "CLIENTS.codec.up", "values": list(cells)}]
    command = ["tierfed", "sweep", "three.yaml", "-s", "CLIENTS.codec.up=" + ",".join(cells)]
    manifest = {"schema_version": 1, "id": folder.name, "file": "three.yaml", "command": command, "axes": axes}
    (folder / "manifest.json").write_text(json.dumps({**manifest, "repeat": 2, "seeds": [7, 8], "clock": "virtual"}))
    rows = []
    for at, (codec, accuracies) in enumerate(cells.items()):
        for repeat, accuracy in enumerate(accuracies):
            run, up = f"{at * 100 + repeat:08x}", 1000 * (at + 1)
            if curves:
                values = [accuracy / 2, accuracy]
                made_run(folder / "runs" / run, accuracy=values, codec=codec, up=up, seed=7 + repeat, history=False)
            ok = accuracy > 0
            rows.append(
                {
                    "run": run,
                    "cell": at,
                    "repeat": repeat,
                    "seed": 7 + repeat,
                    "status": "ok" if ok else "failed",
                    "CLIENTS.codec.up": codec,
                    "rounds": 2,
                    "seconds": 4.0,
                    "seconds_per_round": 2.0,
                    "accuracy": accuracy if ok else "",
                    "bytes_up.CLIENTS": 2 * up,
                    "bytes_down.CLIENTS": 4 * up,
                    "raw_bytes_up.CLIENTS": 8 * up,
                    "raw_bytes_down.CLIENTS": 4 * up,
                    "joules.CLIENTS": 10.0,
                    "lost": 0,
                    "error": "" if ok else f"leaf boom: {HOSTILE}",
                }
            )
    with open(folder / "results.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder
