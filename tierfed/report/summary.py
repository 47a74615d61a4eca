"""Summary: what came of a run, in a few lines.

✓ 20 rounds in 5.2 s · accuracy 0.78 · loss 0.66 · nobody lost
  CLIENTS           ↑ 33 MB (131 MB raw)    ↓ 131 MB
  EDGE_AGGREGATORS  ↑ 4.2 MB (8.2 MB raw)   ↓ 8.2 MB
  .tierfed/runs/7f3a90c2
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tierfed.report.failure import shown
from tierfed.report.quantities import metrics, seconds
from tierfed.topology.captions import amount
from tierfed.topology.draw import size

_MARKS = {"ok": "✓", "failed": "✗", "interrupted": "✗"}


def told(document: Mapping[str, Any], *, left: str | None = None) -> str:
    """Return the lines for people about a run's `document`; `left` is the id of a tree that is still up."""
    status, rounds = document["status"], document["rounds"]
    did = f"{rounds} round{'' if rounds == 1 else 's'}"
    took = document["seconds"]["job"]
    words = [did if status == "ok" else f"{status} after {did}"]
    if took is not None:
        here = document["seconds"].get("here", took)
        virtual = document.get("clock") == "virtual"
        words[0] += f" in {seconds(took)}" + (f" of virtual time, {seconds(here)} here" if virtual else "")
    words += metrics(document["metrics"])
    words += _lost(document["lost"], ok=status == "ok")
    rows = [_tier(name, tier) for name, tier in reversed(document["tiers"].items()) if tier.get("messages_up")]
    widths = [max((len(row[at]) for row in rows), default=0) for at in range(3)]
    lines = [f"{_MARKS[status]} {' · '.join(words)}"]
    lines += ["  " + "  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.append(f"  {shown(Path(document['run_dir']))}")
    if status == "interrupted" and (mend := document["error"]["mend"]):
        lines.append(f"  {mend}")
    if left is not None:
        lines.append(f"  the tree is up: tierfed run PROGRAM, tierfed down {left}")
    return "\n".join(lines)


def _lost(lost: list[Mapping[str, Any]], *, ok: bool) -> list[str]:
    names = {str(one["node"]) for one in lost}
    if not names:
        return ["nobody lost"] if ok else []  # of the round that failed nothing is known here
    return [f"{len(names)} lost" + (", quorum held" if ok else "")]


def _tier(name: str, tier: Mapping[str, Any]) -> list[str]:
    spent = f" · {amount(tier['joules'], 'J')}" if tier.get("joules") else ""
    return [name, f"↑ {_moved(tier, 'up')}", f"↓ {_moved(tier, 'down')}{spent}"]


def _moved(tier: Mapping[str, Any], way: str) -> str:
    sent, raw = tier[f"bytes_{way}"], tier[f"raw_bytes_{way}"]
    return size(sent) + (f" ({size(raw)} raw)" if raw != sent else "")
