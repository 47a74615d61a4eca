"""Recorder: what a run leaves behind, and the document that tells it.

    events.jsonl      one JSON object a line, as things happen
    rounds.csv        round, seconds, contributors, lost, drawn (of cohorts), bytes by tier, metrics

A round's row is written when the round is over, so the file has committed rounds only.
"""

from __future__ import annotations

import csv
import json
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tierfed.backends.native.driver import Record
from tierfed.errors import TierfedError
from tierfed.launch.changes import Changes
from tierfed.node.traffic import FIELDS, Traffic, merged
from tierfed.topology import Topology
from tierfed.topology.faults import Fault

SCHEMA_VERSION = 1

Event = dict[str, Any]


class Recorder:
    """Collects what happens in a run; `on_event` sees each event after it was written, `clock` times rounds.

    `joules` tells what the modelled devices of each placement have used so far.  `on_round` is called with the number
    of each round, counted from 1, when it begins.
    """

    def __init__(
        self,
        run_dir: Path,
        topology: Topology,
        on_event: Callable[[Event], None],
        clock: Callable[[], float] = time.monotonic,
        joules: Callable[[], Mapping[str, float]] | None = None,
    ) -> None:
        self.clock = clock
        self.virtual = clock is not time.monotonic
        self._joules = joules
        self._spent: Mapping[str, float] = {}  # by placement, until the round began
        self.on_round: Callable[[int], None] = lambda number: None
        self.run_dir = run_dir
        self.topology = topology
        self._on_event = on_event
        self._lock = threading.Lock()
        self._events = open(run_dir / "events.jsonl", "a", encoding="utf-8")  # noqa: SIM115  # closed by close()
        self._begun = clock()
        self._changes = Changes(run_dir, run_dir / "events.jsonl")
        self._rounds: Path = run_dir / "rounds.csv"
        self._columns: list[str] | None = None
        self._tiers = [str(p) for p in topology.hierarchy.placements if p != topology.hierarchy.root]
        self._total = Traffic()
        self._this = Traffic()
        self._current: int | None = None
        self._started = 0.0
        self._contributors: dict[str, int] = {}
        self._drawn: dict[str, int] = {}
        self._lost_now: dict[str, str] = {}
        self._metrics: dict[str, float] = {}
        self.lost: list[dict[str, Any]] = []
        self.metrics: dict[str, float] = {}
        self.rounds = 0
        self.of = 0
        self.seconds: dict[str, Any] = {"ready": None, "job": None, "per_round": []}

    def event(self, kind: str, **more: Any) -> None:
        """Write an event and pass it on."""
        happened: Event = {"event": kind, **more}
        with self._lock:
            if not self._events.closed:
                row = {"time": round(self.clock() - self._begun, 6), **happened}
                self._events.write(json.dumps(row, default=str) + "\n")
                self._events.flush()
        self._on_event(happened)

    def progress(self, report: Mapping[str, Any]) -> None:
        """Pass an aggregator's report on; it is for live views, and not kept."""
        if report.get("kind") == "heard":  # of a fleet in this process: nobody else says so
            self._on_event({"event": "heard", **{key: value for key, value in report.items() if key != "kind"}})
            return
        keys = ("inv", "node", "site", "whole", "expected", "lost", "closed", "awaits")
        if all(key in report for key in keys):
            self._on_event({"event": "progress", **{key: report[key] for key in keys}})

    def raised(self, error: TierfedError) -> None:
        """Take the error of a leaf that raised, whether or not the round goes on without its member."""
        self.event("raised", error=error.to_dict(), log=str(self.run_dir / "logs" / f"{error.node}.jsonl"))

    def record(self, name: str, record: Record) -> None:
        """Take the record of an invocation of the computation called `name`."""
        traffic = record.traffic
        self._total.merge(traffic)
        self._this.merge(traffic)
        if sum(record.counts.values()) >= sum(self._contributors.values()):
            self._contributors, self._drawn = dict(record.counts), dict(record.drawn)
        for node, reason in record.lost.items():
            if node not in self._lost_now:
                self._lost_now[node] = reason
                self.lost.append({"node": node, "reason": reason, "round": self._current})
                self.event("lost", node=node, reason=reason, round=self._current)
        self.event(
            "invoked",
            computation=name,
            invocation=record.name,
            seconds=round(record.seconds, 6),
            counts=record.counts,
            lost=record.lost,
            **({"drawn": record.drawn} if record.drawn else {}),
            traffic=Traffic.named(traffic),
        )

    def fault(self, fault: Fault, over: bool) -> None:
        """Something goes wrong on purpose, or is over."""
        set_ = {} if fault.link is None else {"set": fault.link.written}
        self.event("fault", node=fault.node, do=fault.do, over=over, round=self._current, **set_)

    def _heed(self) -> None:
        """Take what commands have changed in the tree since the last time (launch/changes.py)."""
        for change in self._changes.new():
            kind = change.pop("event")
            self.event(kind, **change, round=self._current)

    def round_begins(self, number: int, of: int) -> None:
        """A round of the job begins."""
        self._current, self.of, self._started = number, of, self.clock()
        self._this = Traffic()
        self._contributors, self._drawn, self._lost_now, self._metrics = {}, {}, {}, {}
        self._heed()
        self.event("round", round=number, of=of)
        self.on_round(number + 1)

    def released(self, number: int, metrics: Mapping[str, float]) -> None:
        """The job reports metrics."""
        self._metrics = dict(metrics)
        self.metrics = dict(metrics)
        self.event(
            "released",
            round=number,
            of=self.of,
            metrics=dict(metrics),
            seconds=round(self.clock() - self._started, 6),
            traffic=Traffic.named(self._this.tiers),
        )

    def round_ends(self) -> None:
        """The round is over: its row is written."""
        seconds = self.clock() - self._started
        self._heed()
        self.rounds += 1
        self.seconds["per_round"].append(round(seconds, 6))
        leaves = [str(p) for p in self.topology.hierarchy.placements if not self.topology.hierarchy.children(p)]
        row: dict[str, Any] = {
            "round": self._current,
            "seconds": round(seconds, 6),
            "contributors": sum(self._contributors.get(p, 0) for p in leaves),
            "lost": len(self._lost_now),
            **{f"drawn.{tier}": self._drawn.get(tier, 0) for tier in self.topology.cohorts},
        }
        for tier in self._tiers:
            counts = dict(zip(FIELDS, self._this.tiers.get(tier, [0] * len(FIELDS)), strict=True))
            row |= {f"bytes_up.{tier}": counts["up"], f"bytes_down.{tier}": counts["down"]}
        if self._joules is not None:
            spent = self._joules()
            row |= {f"joules.{p}": round(j - self._spent.get(p, 0.0), 9) for p, j in spent.items()}
            self._spent = spent
        self._write({**row, **self._metrics})
        self._current = None

    def _write(self, row: dict[str, Any]) -> None:
        new = self._columns is None
        if self._columns is None:
            self._columns = list(row)
        with open(self._rounds, "a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns, extrasaction="ignore", restval="")
            if new:
                writer.writeheader()
            writer.writerow(row)

    def summary(self, status: str, error: TierfedError | None = None) -> dict[str, Any]:
        """Return the document of the run: what `--json` prints, and `summary.json` keeps."""
        tiers: dict[str, Any] = {}
        total = merged(self._total.tiers)
        for placement in self.topology.hierarchy.placements:
            members = self.topology.members(placement)
            tier: dict[str, Any] = {"nodes": len(members)}
            if placement != self.topology.hierarchy.root:
                counts = dict(zip(FIELDS, total.get(str(placement), [0] * len(FIELDS)), strict=True))
                tier |= {
                    "bytes_up": counts["up"],
                    "bytes_down": counts["down"],
                    "raw_bytes_up": counts["raw_up"],
                    "raw_bytes_down": counts["raw_down"],
                    "messages_up": counts["messages_up"],
                    "messages_down": counts["messages_down"],
                    "codec_up": " | ".join(dict.fromkeys(m.codec_up for m in members)),
                    "codec_down": " | ".join(dict.fromkeys(m.codec_down for m in members)),
                }
            tiers[str(placement)] = tier
        told = None
        if error is not None:
            told = {k: v for k, v in error.to_dict().items() if k in ("where", "what", "mend", "node", "traceback")}
        if self._joules is not None:
            for name, joules in self._joules().items():
                tiers[name]["joules"] = round(joules, 9)
        return {
            "schema_version": SCHEMA_VERSION,
            "run": self.run_dir.name,
            "status": status,
            "topology": self.topology.name,
            "clock": "virtual" if self.virtual else "real",
            "rounds": self.rounds,
            "metrics": self.metrics,
            "seconds": self.seconds,
            "tiers": tiers,
            "lost": self.lost,
            "run_dir": str(self.run_dir),
            "error": told,
        }

    def close(self) -> None:
        """Close the files."""
        with self._lock:
            self._events.close()
