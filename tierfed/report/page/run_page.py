"""The page of one run: what came of it, how it went, what it moved, who was waited for, and how to have it again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tierfed.report.page import configuration, curves, parts, split_map, tier_bytes, timeline, tree_picture
from tierfed.report.page.axes import label
from tierfed.report.page.stored_run import StoredRun, mapping
from tierfed.report.page.svg import Drawing
from tierfed.report.page.waiting import Waits, of_run
from tierfed.report.quantities import number, seconds
from tierfed.topology.collapse import collapsed
from tierfed.types.html import Html

_ROUNDS = 400  # rows of the table of rounds
_REASONS = 30  # rows of the table of who was lost
_STATES = {"ok": "✓ done", "failed": "✗ failed", "interrupted": "✗ interrupted", None: "no outcome on record"}

Sections = dict[str, Html]


def build(run: StoredRun) -> tuple[str, Html, Sections, dict[str, Drawing]]:
    """Return the title of the page, its head, its sections and its drawings by name."""
    waits = of_run(run.path / "history")
    drawings: list[Drawing] = []

    def drawn(*found: Drawing | None) -> list[Drawing]:
        kept = [one for one in found if one is not None]
        drawings.extend(kept)
        return kept

    sections: Sections = {}
    sections["Curves"] = _curves(run, drawn)
    sections["Bytes by tier"] = _bytes(run, drawn)
    sections["Rounds: who waited for whom"] = _waiting(run, waits, drawn)
    sections["Topology"] = _tree(run, drawn)
    sections["Data split"] = _split(run, drawn)
    if run.lost or run.faults:
        sections["Lost, and faults"] = _lost(run)
    sections["Configuration"] = _configuration(run)
    sections["Again"] = again(run)
    title = f"{run.topology} · run {run.id}"
    return title, _head(run), sections, {one.name: one for one in drawings}


def _head(run: StoredRun) -> Html:
    created = str(run.origin.get("created", "")).replace("T", " ").replace("Z", " UTC")
    where = parts.tag("span", " · ".join(filter(None, (f"run {run.id}", created, str(run.path)))), kind="tf-muted")
    bad = Html("")
    if (error := run.error) is not None and run.status == "failed":
        told = [
            f"{error.get('where')}: {error.get('what')}",
            f"to mend: {error.get('mend')}" if error.get("mend") else "",
        ]
        bad = parts.tag("div", *(parts.tag("p", line) for line in told if line), kind="tf-bad")
    state = parts.tag("span", _STATES[run.status], kind="tf-state")
    return Html(parts.tag("h1", run.topology) + parts.tag("p", state, " · ", where) + bad + parts.tiles(_tiles(run)))


def _tiles(run: StoredRun) -> list[tuple[str, str, str]]:
    measured = {k: v for k, v in _first(run.metrics).items() if isinstance(v, float)} or _first(run.metrics)
    found = [(name, number(value), "at the end") for name, value in list(measured.items())[:4]]
    found.append(("rounds", f"{len(run.rounds):,}", "committed"))
    if run.seconds is not None:
        here = mapping((run.summary or {}).get("seconds")).get("here")
        small = ""
        if run.virtual:
            small = "virtual" + (f", {seconds(here)} here" if isinstance(here, int | float) else "")
        found.append(("time", seconds(run.seconds), small))
    up, down = (math.fsum(getattr(t, way) for t in run.tiers.values()) for way in ("up", "down"))
    found.append(("moved", label(up + down, "B"), f"{label(up, 'B')} up, {label(down, 'B')} down"))
    if run.joules is not None:
        found.append(("energy", label(run.joules, "J"), "modelled"))
    names = {node for node, _, _ in run.lost}
    found.append(("lost", f"{len(names):,}", "nodes" if names else "nobody"))
    return found


def _first(metrics: Mapping[str, float]) -> dict[str, float]:
    names = sorted(metrics, key=lambda name: (name != "accuracy", name != "loss", isinstance(metrics[name], int)))
    return {name: metrics[name] for name in names}


def _curves(run: StoredRun, drawn: Any) -> Html:
    found = drawn(*curves.of_run(run), curves.round_seconds(run))
    if not run.rounds:
        return parts.missing("No round was committed, so there is nothing to draw.")
    said = Html("")
    if not run.names:
        said = parts.missing('The job released no metrics: tree.release(r, {"accuracy": …}) in a round makes a curve.')
    rows = [
        (
            r.number + 1,
            label(r.seconds, "s"),
            f"{r.contributors:,}",
            r.lost or "",
            label(math.fsum(r.up.values()), "B"),
            label(math.fsum(r.down.values()), "B"),
            *([label(math.fsum(r.joules.values()), "J")] if run.joules is not None else []),
            *(number(float(r.metrics[name])) if name in r.metrics else "" for name in run.names),
        )
        for r in run.rounds[-_ROUNDS:]
    ]
    heads = ["round", "seconds", "contributors", "lost", "up", "down"]
    heads += [*(["energy"] if run.joules is not None else []), *run.names]
    table = parts.folded("the rounds as a table", parts.table(heads, rows, range(len(heads))))
    return Html(said + parts.figures(found) + table)


def _bytes(run: StoredRun, drawn: Any) -> Html:
    found = drawn(tier_bytes.drawing(run.tiers))
    return parts.figures(found) if found else parts.missing("No message was sent.")


def _waiting(run: StoredRun, waits: Waits, drawn: Any) -> Html:
    if not waits.of:
        return parts.missing(
            "When each message came is not on record: no aggregator kept a history.  `tierfed simulate --history` "
            "keeps one for a fleet of any size, and daemons always do; the seconds of each round are above."
        )
    if all(wait.ended == wait.begun for found in waits.of.values() for wait in found):
        return parts.missing(
            "Rounds took no time, so nobody waited: the topology says nothing of links or devices.  "
            "`link: {rate: 4mbit, delay: 30ms}` at a placement has a simulation model them."
        )
    shown = parts.figures(drawn(*timeline.drawings(run, waits)))
    rows = timeline.table(run, waits)
    heads = ("aggregator", "waits", "median", "longest", "most often for")
    words = "From when half of the children had come until the last one, of all collections of the run:"
    chains = _chains(run, waits)
    return Html(
        shown
        + parts.tag("p", words)
        + parts.table(heads, rows, (1, 2, 3))
        + (
            parts.folded(
                "who was waited for in each round, from the root down", parts.table(("round", "chain"), chains)
            )
            if chains
            else ""
        )
    )


def _chains(run: StoredRun, waits: Waits) -> list[tuple[str, str]]:
    longest: dict[int, Any] = {}
    for one in run.invocations:
        if one.round is not None and one.seconds >= getattr(longest.get(one.round), "seconds", -1.0):
            longest[one.round] = one
    found = [(number + 1, waits.chain(one.name)) for number, one in longest.items()]
    return [(str(number), " ← ".join([str(waits.root), *chain])) for number, chain in found if chain][-_ROUNDS:]


def _tree(run: StoredRun, drawn: Any) -> Html:
    found = drawn(tree_picture.drawing(run.tree))
    if found:
        return parts.figures(found)
    return parts.missing("The run's folder has no tree.json to draw from: it was made by an earlier version.")


def _split(run: StoredRun, drawn: Any) -> Html:
    split = split_map.read(run)
    if split is None:
        return parts.missing(
            "The run's folder has no split.json: its data were not split by a rule, or nobody wrote down how."
        )
    return parts.figures(drawn(split_map.drawing(split)))


def _lost(run: StoredRun) -> Html:
    together: dict[tuple[str, int | None], list[str]] = {}
    for node, at, reason in run.lost:
        together.setdefault((reason, at), []).append(node)
    rows = [
        ("" if at is None else at + 1, f"{len(names):,}", _names(names), reason)
        for (reason, at), names in together.items()
    ]
    shown = parts.table(("round", "how many", "who", "why"), rows[:_REASONS], (0, 1)) if rows else Html("")
    if len(rows) > _REASONS:
        shown = Html(shown + parts.missing(f"{len(rows) - _REASONS:,} more rows are in events.jsonl."))
    if run.faults:
        told = [
            ("" if at is None else at + 1, node, f"{do}{' is over' if over else ''}")
            for at, node, do, over in run.faults
        ]
        shown = Html(
            shown
            + parts.tag("p", "Faults that were asked for:")
            + parts.table(("round", "node", "fault"), told[:50], (0,))
        )
    return shown


def _names(names: list[str]) -> str:
    one = collapsed(names)
    return one if len(one) <= 200 else f"{names[0]} … {names[-1]}"


def _configuration(run: StoredRun) -> Html:
    text = run.resolved()
    if text is None:
        return parts.missing("The run's folder has no resolved topology.")
    return Html(
        parts.tag("p", "The topology with nothing left to work out, as the run's folder has it:")
        + parts.tag("pre", configuration.shown(text))
    )


def again(run: StoredRun) -> Html:
    """Return the commands that repeat a run, and what it was run with."""
    origin = run.origin
    lines = [[str(word) for word in one] for one in origin.get("commands") or [] if isinstance(one, list)]
    if lines:
        told = Html(
            parts.tag("p", "The same run, from the same folder:") + parts.commands(lines, str(origin.get("folder", "")))
        )
    elif origin:
        told = parts.missing("It was made by code without a file, such as a notebook's cell, so no command repeats it.")
    else:
        told = parts.missing("What made it is not on record.")
    versions = mapping(origin.get("versions"))
    said = " · ".join([*(f"{name} {version}" for name, version in versions.items()), str(origin.get("machine", ""))])
    return Html(told + (parts.tag("p", said, kind="tf-muted") if versions else ""))
