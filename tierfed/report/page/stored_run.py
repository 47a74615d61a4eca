"""A stored run: what its folder says, whoever wrote it and however it ended.

    run = read(Path(".tierfed/runs/7f3a90c2"))
    run.rounds[-1].metrics["accuracy"], run.tiers["CLIENTS"].up

A run that was killed has no `summary.json`, one of a Python program never had one: its sums are then those of the
events, and its status is None.  Files are read as they are found: what is missing, torn or of another shape is left
out, so a report can be made of anything that a run left; only a folder that is none of a run's is an error.

`rounds.csv` has a head for each job of a run (recorder.py); the rounds are those of the last one.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tierfed.errors import NoSuchRun
from tierfed.launch.origin import NAME as ORIGIN
from tierfed.topology.tree_file import NAME as TREE
from tierfed.topology.tree_file import RESOLVED

_FILES = ("events.jsonl", "summary.json", "rounds.csv", RESOLVED)
_WAYS = ("up", "down", "raw_up", "raw_down")
_NAMED = {"up": "bytes_up", "down": "bytes_down", "raw_up": "raw_bytes_up", "raw_down": "raw_bytes_down"}
_PREFIXES = ("drawn", "bytes_up", "bytes_down", "raw_bytes_up", "raw_bytes_down", "joules")
_PLAIN = ("round", "seconds", "contributors", "lost")
_MOST = 64 << 20  # bytes of a file that are read: beyond, the newest are left out


@dataclass(frozen=True, slots=True)
class Round:
    """A round that was committed."""

    number: int
    seconds: float
    contributors: int
    lost: int
    up: Mapping[str, float]
    down: Mapping[str, float]
    joules: Mapping[str, float]
    metrics: Mapping[str, float]

    @property
    def bytes(self) -> float:
        """What all tiers have sent and been sent."""
        return sum(self.up.values()) + sum(self.down.values())


@dataclass(frozen=True, slots=True)
class Tier:
    """What the members of a tier have sent (up) and been sent (down) in the whole run, and what it would be uncoded."""

    nodes: int | None = None
    up: float = 0
    down: float = 0
    raw_up: float = 0
    raw_down: float = 0
    codec_up: str = ""
    codec_down: str = ""
    joules: float | None = None


@dataclass(frozen=True, slots=True)
class Invocation:
    """A computation that ran: in which round, if in one."""

    name: str
    computation: str
    round: int | None
    seconds: float


@dataclass(frozen=True)
class StoredRun:
    """See the module docstring; tiers are from the root down."""

    path: Path
    summary: Mapping[str, Any] | None
    rounds: Sequence[Round]
    tiers: Mapping[str, Tier]
    invocations: Sequence[Invocation]
    lost: Sequence[tuple[str, int | None, str]]
    faults: Sequence[tuple[int | None, str, str, bool]]  # round, node, what, whether it is over
    ended: float | None  # seconds from the beginning to the last event
    origin: Mapping[str, Any] = field(default_factory=dict)
    tree: Mapping[str, Any] | None = None

    @property
    def id(self) -> str:
        """The run's id, the name of its folder."""
        return self.path.name

    @property
    def status(self) -> str | None:
        """ok, failed, interrupted; None if nothing on record says."""
        found = (self.summary or {}).get("status")
        return found if found in ("ok", "failed", "interrupted") else None

    @property
    def topology(self) -> str:
        """The topology's name."""
        return str((self.summary or {}).get("topology") or (self.tree or {}).get("topology") or self.path.name)

    @property
    def virtual(self) -> bool:
        """Whether its seconds are virtual."""
        return (self.summary or self.origin).get("clock") == "virtual"

    @property
    def error(self) -> Mapping[str, Any] | None:
        """Its error, if it failed."""
        return mapping((self.summary or {}).get("error")) or None

    @property
    def metrics(self) -> Mapping[str, float]:
        """The last metrics that were released."""
        return numbers((self.summary or {}).get("metrics")) or next(
            (r.metrics for r in reversed(self.rounds) if r.metrics), {}
        )

    @property
    def names(self) -> list[str]:
        """The names of the metrics of its rounds, accuracy first."""
        found = dict.fromkeys(name for r in self.rounds for name in r.metrics)
        return sorted(found, key=lambda name: (name != "accuracy", name != "loss"))

    @property
    def seconds(self) -> float | None:
        """How long the job took, by its clock."""
        told = mapping((self.summary or {}).get("seconds")).get("job")
        if isinstance(told, int | float):
            return float(told)
        return math.fsum(r.seconds for r in self.rounds) if self.rounds else self.ended

    @property
    def bytes(self) -> float:
        """What all tiers have sent and been sent."""
        return sum(t.up + t.down for t in self.tiers.values())

    @property
    def joules(self) -> float | None:
        """What modelled devices have used, None if none is modelled."""
        found = [t.joules for t in self.tiers.values() if t.joules is not None]
        return math.fsum(found) if found else None

    @property
    def lowest(self) -> str | None:
        """The lowest tier."""
        return next(reversed(list(self.tiers)), None)

    def resolved(self) -> str | None:
        """Return the text of its resolved topology, None if it is gone."""
        return text_of(self.path / RESOLVED)


def read(folder: Path) -> StoredRun:
    """Return the run in `folder`; raises NoSuchRun if there is none."""
    if not any((folder / name).is_file() for name in _FILES):
        raise NoSuchRun(
            "this is no folder of a run", where=str(folder), mend="name one of `tierfed ps --all`, or its folder"
        )
    summary = mapping(json_of(folder / "summary.json")) or None
    origin, tree = mapping(json_of(folder / ORIGIN)), mapping(json_of(folder / TREE)) or None
    events = list(_events(folder / "events.jsonl"))
    told = _lost_of_summary(summary)
    return StoredRun(
        path=folder,
        summary=summary,
        rounds=_rounds(text_of(folder / "rounds.csv") or ""),
        tiers=_tiers(summary, events, tree),
        invocations=_invocations(events),
        lost=told if told is not None else [_loss(e) for e in events if e["event"] == "lost"],
        faults=[
            (_whole(e.get("round")), str(e.get("node")), str(e.get("do")), bool(e.get("over")))
            for e in events
            if e["event"] == "fault"
        ],
        ended=max((e["time"] for e in events), default=None),
        origin=origin,
        tree=tree,
    )


def text_of(file: Path) -> str | None:
    """Return the text of a file, None if it cannot be read."""
    try:
        with open(file, "rb") as opened:
            return opened.read(_MOST).decode("utf-8", errors="replace")
    except OSError:
        return None


def json_of(file: Path) -> Any:
    """Return the JSON in a file, None if there is none that can be read."""
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(text_of(file) or "null")
    return None


def mapping(found: Any) -> Mapping[str, Any]:
    """Return `found` if it is a mapping, else an empty one."""
    return found if isinstance(found, dict) else {}


def numbers(found: Any) -> dict[str, float]:
    """Return those values of a mapping that are numbers."""
    return {k: v for k, v in mapping(found).items() if isinstance(v, int | float) and not isinstance(v, bool)}


def _whole(found: Any) -> int | None:
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _events(file: Path) -> Iterator[dict[str, Any]]:
    for line in (text_of(file) or "").splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(line)
            if isinstance(found, dict) and isinstance(found.get("time"), int | float) and "event" in found:
                yield found


def _rounds(text: str) -> list[Round]:
    rows: list[Round] = []
    heads: list[str] = []
    for cells in csv.reader(io.StringIO(text.replace("\0", ""))):
        if cells and cells[0] == "round":
            heads, rows = cells, []
        elif len(cells) == len(heads) and (row := _round(dict(zip(heads, cells, strict=True)))) is not None:
            rows.append(row)
    return rows


def _round(cells: Mapping[str, str]) -> Round | None:
    found: dict[str, float] = {}
    for name, cell in cells.items():
        with contextlib.suppress(ValueError):
            found[name] = float(cell)
    if not math.isfinite(found.get("round", math.nan)) or not math.isfinite(found.get("seconds", math.nan)):
        return None

    def of(prefix: str) -> dict[str, float]:
        return {k.partition(".")[2]: v for k, v in found.items() if k.partition(".")[0] == prefix and "." in k}

    metrics = {k: v for k, v in found.items() if k not in _PLAIN and k.partition(".")[0] not in _PREFIXES}
    return Round(
        int(found["round"]),
        found["seconds"],
        int(found.get("contributors", 0)),
        int(found.get("lost", 0)),
        of("bytes_up"),
        of("bytes_down"),
        of("joules"),
        metrics,
    )


def _tiers(
    summary: Mapping[str, Any] | None, events: Sequence[Mapping[str, Any]], tree: Mapping[str, Any] | None
) -> dict[str, Tier]:
    if summary is not None:
        return {str(name): _tier(mapping(of)) for name, of in mapping(summary.get("tiers")).items()}
    sums: dict[str, dict[str, float]] = {}
    for event in events:
        if event["event"] == "invoked":
            for name, of in mapping(event.get("traffic")).items():
                into = sums.setdefault(name, dict.fromkeys(_WAYS, 0.0))
                for way, count in numbers(of).items():
                    if way in into:
                        into[way] += count
    named = [str(name) for name in mapping((tree or {}).get("tiers"))] or list(sums)
    return {
        name: _tier(
            {"nodes": mapping((tree or {}).get("tiers")).get(name)}
            | {_NAMED[way]: count for way, count in sums.get(name, {}).items()}
        )
        for name in named
    }


def _tier(of: Mapping[str, Any]) -> Tier:
    counts = numbers(of)
    return Tier(
        _whole(of.get("nodes")),
        counts.get("bytes_up", 0),
        counts.get("bytes_down", 0),
        counts.get("raw_bytes_up", 0),
        counts.get("raw_bytes_down", 0),
        codec_up=str(of.get("codec_up", "")),
        codec_down=str(of.get("codec_down", "")),
        joules=counts.get("joules"),
    )


def _invocations(events: Sequence[Mapping[str, Any]]) -> list[Invocation]:
    found: list[Invocation] = []
    current: int | None = None
    for event in events:
        if event["event"] == "round":
            number = _whole(event.get("round"))
            if number is not None and current is not None and number <= current:
                found = []  # another job
            current = number
        elif event["event"] == "invoked":
            seconds = numbers(event).get("seconds", 0.0)
            found.append(Invocation(str(event.get("invocation")), str(event.get("computation")), current, seconds))
    return found


def _lost_of_summary(summary: Mapping[str, Any] | None) -> list[tuple[str, int | None, str]] | None:
    lost = (summary or {}).get("lost")
    return [_loss(one) for one in lost if isinstance(one, dict)] if isinstance(lost, list) else None


def _loss(one: Mapping[str, Any]) -> tuple[str, int | None, str]:
    return str(one.get("node")), _whole(one.get("round")), str(one.get("reason"))
