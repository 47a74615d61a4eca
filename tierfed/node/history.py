"""History: what a node did in its rounds, one JSON object a line, for an offline checker.

    {"at": 81.2, "attempt": 1, "digest": "5e…", "epoch": 1, "event": "accepted",
     "invocation": "i-7", "member": "c-1", "node": "edge-1", "site": "2.0", "counts": {"CLIENTS": 1}}

| event | says |
|---|---|
| begun | the round: deadline; of each site placement, children, quorum, those in loops apart; epochs; cohorts drawn |
| reached | the slice has come to a site; its deadline, if it has one of its own |
| accepted, again, rejected | a contribution was acknowledged, acknowledged once more, refused and why |
| fold, discarded | it went into the sum, or was let go and why |
| joined, gone, broken, child_failed | what became of a child |
| closed, failed | a site's contributors, losses and counts, or its error |
| cancelled, committed | how the invocation ended |
| sent | the node's own contribution has gone to its parent |

`at` is the node's monotonic time in seconds, as deadlines are; null is no deadline.  The
lines of one step are one write to a file opened for appending, so that a kill at any
moment leaves whole steps and at most one torn line at the end.  What cannot be written is
a StorageError: a round that is not on record does not go on.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tierfed.errors import StorageError
from tierfed.node.round import Round
from tierfed.node.round_events import (
    Accept,
    Action,
    Arrived,
    Begun,
    Broken,
    Cancelled,
    Close,
    Committed,
    Discard,
    Event,
    Fail,
    Failed,
    Fold,
    Gone,
    Joined,
    Reached,
    Reject,
    Site,
)
from tierfed.node.summary import Summary

_json = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


class History:
    """Writes the events of one node to `write`, which takes whole lines."""

    def __init__(self, node: str, write: Callable[[bytes], object], close: Callable[[], None] = lambda: None) -> None:
        self.node = node
        self._write = write
        self.close = close

    @staticmethod
    def open(folder: Path, node: str) -> History:
        """Return the history of `node` in `folder`; what is there of an earlier process is kept."""
        folder.mkdir(parents=True, exist_ok=True)
        opened = os.open(folder / f"{node}.jsonl", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        size = os.fstat(opened).st_size
        torn = size > 0 and os.pread(opened, 1, size - 1) != b"\n"

        def write(lines: bytes) -> None:
            """Write to the kernel: it survives the process, not the machine."""
            nonlocal torn
            left = memoryview(b"\n" + lines if torn else lines)
            while left:
                torn = True
                left = left[os.write(opened, left) :]
            torn = False

        return History(node, write, lambda: os.close(opened))

    def record(self, round: Round, event: Event, actions: Sequence[Action], now: float) -> None:
        """Write what `round.step(event, now)`, which returned `actions`, has done."""
        entries = [e for e in (_of_event(round, event, actions), *(_of_action(a, event) for a in actions)) if e]
        self._append(round.invocation, round.attempt, entries, now)

    def sent(self, invocation: str, attempt: int, site: Site, digest: str, summary: Summary, now: float) -> None:
        """Write that the node's contribution to `site` has gone to its parent."""
        entry = {"event": "sent", "site": str(site), "digest": digest, "counts": dict(summary.counts)}
        self._append(invocation, attempt, [entry], now)

    def _append(self, invocation: str, attempt: int, entries: Sequence[Mapping[str, object]], now: float) -> None:
        if entries:
            same = {"node": self.node, "invocation": invocation, "attempt": attempt, "at": now}
            lines = [_json({**same, **e}) + "\n" for e in entries]
            try:
                self._write("".join(lines).encode())
            except OSError as error:
                raise StorageError(
                    f"the history cannot be written: {error.strerror}",
                    where=self.node,
                    mend="free space in the run's folder",
                ) from error


def _of_event(round: Round, event: Event, actions: Sequence[Action]) -> dict[str, object] | None:
    """Return the entry of what has happened, None for what shows in its actions alone."""
    match event:
        case Begun():
            sites = {
                str(site): {"placement": c.placement, "children": c.members, "quorum": c.quorum}
                for c in round.collections()
                for site in c.folds
            }
            looped = {
                str(site): {
                    "placement": c.placement,
                    "children": c.members,
                    "quorum": c.quorum,
                    "loops": [str(loop) for loop in round.plan.around(site)],
                }
                for site, c in round.plan.looped.items()
            }
            epochs = {m: round.epoch(m) for c in (*round.plan.once, *round.plan.looped.values()) for m in c.members}
            return {
                "event": "begun",
                "deadline": _finite(event.deadline),
                "dead": dict(event.dead),
                "sites": sites,
                **({"looped": looped} if looped else {}),
                **({"draws": {p: dataclasses.asdict(d) for p, d in event.draws.items()}} if event.draws else {}),
                "epochs": epochs,
            }
        case Reached():
            return {"event": "reached", "site": str(event.site), "deadline": _finite(event.deadline)}
        case Joined() if not any(isinstance(a, Reject) for a in actions):
            return {"event": "joined", "member": event.member, "epoch": event.epoch}
        case Gone():
            return {"event": "gone", "member": event.member, "epoch": event.epoch, "reason": event.reason}
        case Broken():
            return {"event": "broken", "member": event.member, "site": str(event.site), "reason": event.reason}
        case Failed():
            site = None if event.site is None else str(event.site)
            return {"event": "child_failed", "member": event.member, "site": site, "reason": event.reason}
        case Cancelled():
            return {"event": "cancelled", "reason": event.reason}
        case Committed():
            return {"event": "committed"}
    return None


def _finite(deadline: float | None) -> float | None:
    """Return `deadline`, or None for an infinite one, which JSON cannot say."""
    return deadline if deadline is not None and math.isfinite(deadline) else None


def _of_action(action: Action, event: Event) -> dict[str, object] | None:
    """Return the entry of what is done about it, None for timers."""
    match action:
        case Accept():
            entry: dict[str, object] = {
                "event": "again" if action.again else "accepted",
                "member": action.member,
                "site": str(action.site),
                "digest": action.digest,
            }
            if isinstance(event, Arrived) and not action.again:
                entry |= {"epoch": event.epoch, "counts": dict(event.summary.counts)}
            return entry
        case Reject():
            site = None if action.site is None else str(action.site)
            return {
                "event": "rejected",
                "member": action.member,
                "site": site,
                "why": action.why,
                "detail": action.detail,
            }
        case Fold():
            return {"event": "fold", "member": action.member, "site": str(action.site)}
        case Discard():
            return {
                "event": "discarded",
                "member": action.member,
                "site": str(action.site),
                "reason": action.reason,
            }
        case Close():
            return {
                "event": "closed",
                "site": str(action.site),
                "contributors": action.contributors,
                "lost": dict(action.lost),
                "counts": dict(action.summary.counts),
            }
        case Fail():
            return {"event": "failed", "site": str(action.site), "error": action.error.to_dict()}
    return None
