"""What a notebook shows of a running tree: where it is, what each tier has sent, the rounds so far.

run 7f3a90c2 · up · three-tier · ready in 1.2 s
tier               nodes  codec up   sent up  sent down
CLIENTS            32     int8+zstd  1.2 MB   65 kB
2 rounds · accuracy 0.71
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from tierfed.topology.draw import size
from tierfed.types import html

if TYPE_CHECKING:
    from tierfed.jobs.recorder import Recorder

_SHOWN = 20  # rounds, the latest


def as_html(recorder: Recorder, state: str) -> str:
    """Return the run that `recorder` keeps, as HTML."""
    told = recorder.summary(state)
    ready = told["seconds"]["ready"]
    title = [f"run {told['run']}", state, told["topology"], *([f"ready in {ready:.1f} s"] if ready is not None else [])]
    tiers = [
        (name, of["nodes"], of.get("codec_up", ""), *(size(of[way]) if way in of else "" for way in _WAYS))
        for name, of in told["tiers"].items()
    ]
    parts = [html.table(("tier", "nodes", "codec up", "sent up", "sent down"), tiers)]
    rounds = _rounds(recorder)
    if rounds:
        metrics = "".join(f" · {name} {value:.4g}" for name, value in told["metrics"].items())
        count = len(rounds) - 1
        parts.append(
            html.folded(
                f"{count} {'round' if count == 1 else 'rounds'}{metrics}",
                html.table(rounds[0], rounds[1:][-_SHOWN:]),
            )
        )
    if told["lost"]:
        lost = [(of["node"], "" if of["round"] is None else of["round"], of["reason"]) for of in told["lost"]]
        parts.append(html.folded(f"{len(lost)} lost", html.table(("node", "round", "why"), lost)))
    parts.append(html.Html(f"<div>{html.text(told['run_dir'])}</div>"))
    return html.titled(" · ".join(title), *parts)


_WAYS = ("bytes_up", "bytes_down")


def _rounds(recorder: Recorder) -> list[list[str]]:
    """Return the rows of `rounds.csv`, its heads first; none before the first round is over."""
    try:
        with open(recorder.run_dir / "rounds.csv", newline="", encoding="utf-8") as file:
            return list(csv.reader(file))
    except FileNotFoundError:
        return []
