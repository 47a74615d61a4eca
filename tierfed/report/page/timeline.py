"""The timeline of a round: a row an aggregator, and on it when each child's message was there.

    server   ●──────────│──────────────◆  edge-us
    edge-eu  ●─││││││─│◆                  c-eu-05
    edge-us  ●─│││││─────────│─────────◆  c-us-02

● the round came to it, │ a child's message was there, ◆ the last one: who was waited for, by name; □ it closed with
somebody missing.  Bold names are the chain from the root down: each the one that was waited for above it.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections import Counter
from collections.abc import Sequence

from tierfed.report.page.axes import Scale, label
from tierfed.report.page.stored_run import StoredRun
from tierfed.report.page.svg import WIDE, Drawing, shape, shortened_name, text, width_of
from tierfed.report.page.waiting import Wait, Waits
from tierfed.types.html import Html

_LEFT, _RIGHT, _ROW, _TOP = 130.0, 170.0, 20.0, 26.0
_ROWS = 18  # aggregators that are drawn; the chain, then those that waited longest


def drawings(run: StoredRun, waits: Waits) -> list[Drawing]:
    """Return the timelines of the slowest round and, of three rounds or more, of the median one."""
    took = {r.number: r.seconds for r in run.rounds}
    known = {i.round for i in run.invocations if any(key[0] == i.name for key in waits.of)}
    rounds = sorted((n for n in took if n in known), key=lambda n: took[n])
    if not rounds:
        alone = [i.name for i in run.invocations if i.round is None]
        drawn = _drawn("timeline", "the last invocation", alone[-1:], waits)
        return [drawn] if drawn is not None else []
    chosen = {"the slowest round": rounds[-1]}
    if len(rounds) > 2:
        chosen["a usual round, the median"] = rounds[(len(rounds) - 1) // 2]
    found = []
    for at, (what, number) in enumerate(chosen.items()):
        names = [i.name for i in run.invocations if i.round == number]
        drawn = _drawn(f"timeline-{at}", f"{what}: round {number + 1}, {label(took[number], 's')}", names, waits)
        found += [drawn] if drawn is not None else []
    return [found[0], *(dataclasses.replace(one, note="") for one in found[1:])] if found else []


def _drawn(name: str, title: str, invocations: Sequence[str], waits: Waits) -> Drawing | None:
    rows = {
        node: found
        for node in waits.nodes
        if (found := [(i, w) for i in invocations for w in waits.of.get((i, node), [])])
    }
    if not rows:
        return None
    chain = {one for i in invocations for one in waits.chain(i)}
    late = sorted(rows, key=lambda node: (node not in chain and node != waits.root, -max(w.lag for _, w in rows[node])))
    kept = set(late[:_ROWS])
    begin = min(w.begun for found in rows.values() for _, w in found)
    end = max(w.ended for found in rows.values() for _, w in found)
    x = Scale(0.0, max(end - begin, 1e-9), (_LEFT, WIDE - _RIGHT), "s")
    shown = [node for node in rows if node in kept]
    bottom = _TOP + _ROW * len(shown)
    parts: list[Html] = []
    for value, said in x.labels(6):
        parts.append(shape("line", x1=x(value), x2=x(value), y1=_TOP - 6, y2=bottom, stroke="grid"))
        parts.append(text(said, x(value), _TOP - 11, anchor="middle", colour="muted", size=11))
    for at, node in enumerate(shown):
        y = _TOP + _ROW * at + _ROW / 2
        weight = "700" if node in chain or node == waits.root else None
        depth = 8 * _depth(node, waits)
        parts.append(text(shortened_name(node, _LEFT - 14 - depth, 11.5), depth, y + 4, size=11.5, font_weight=weight))
        last = max(rows[node], key=lambda one: one[1].ended)[1]
        longest = max(rows[node], key=lambda one: one[1].ended - one[1].begun)[1]
        for _, wait in rows[node]:
            parts += _marks(wait, x, y, begin)
        parts.append(
            text(
                _said(longest, chain),
                x(last.ended - begin) + 10,
                y + 4,
                size=11,
                font_weight="700" if longest.last is not None and longest.last[0] in chain else None,
            )
        )
    height = bottom + 6
    note = (
        "● the round came to the aggregator, │ a child's message was there, ◆ the last of them, who was waited for. "
        "Bold: the chain of who was waited for, from the root down."
    )
    if any(w.lost for found in rows.values() for _, w in found):
        note += " □ closed with somebody missing."
    if len(rows) > len(shown):
        note += f" {len(rows) - len(shown):,} more aggregators, which waited less, are left out."
    return Drawing(name, title, WIDE, height, tuple(parts), note)


def _depth(node: str, waits: Waits) -> int:
    depth, seen = 0, {node}
    while (above := waits.parent.get(node)) is not None and above not in seen:
        depth, node = depth + 1, above
        seen.add(node)
    return min(depth, 5)


def _marks(wait: Wait, x: Scale, y: float, begin: float) -> list[Html]:
    """Return the line of a wait and the marks on it."""
    start, end = x(wait.begun - begin), x(wait.ended - begin)
    parts = [
        shape("line", x1=start, x2=end, y1=y, y2=y, stroke="axis", stroke_width=1.2),
        shape("circle", cx=start, cy=y, r=2.6, fill="muted"),
    ]
    drawn: set[int] = set()
    for at, child in wait.arrivals[:-1]:
        place = x(at - begin)
        if int(place * 2) not in drawn:
            drawn.add(int(place * 2))
            told = shape("title", f"{child}: {label(at - begin, 's')}")
            parts.append(shape("line", told, x1=place, x2=place, y1=y - 5, y2=y + 5, stroke="s0", stroke_width=1.4))
    if wait.last is not None:
        child, at = wait.last
        place = x(at - begin)
        corners = (
            f"M{place:.1f} {y - 5.5:.1f}L{place + 5:.1f} {y:.1f}L{place:.1f} {y + 5.5:.1f}L{place - 5:.1f} {y:.1f}Z"
        )
        parts.append(
            shape("path", shape("title", f"{child}: {label(at - begin, 's')}, the last"), d=corners, fill="s1")
        )
    if wait.lost:
        told = shape("title", f"closed at {label(wait.ended - begin, 's')} without {', '.join(list(wait.lost)[:20])}")
        parts.append(
            shape("rect", told, x=end - 4, y=y - 4, width=8, height=8, fill="none", stroke="ink", stroke_width=1.4)
        )
    return parts


def _said(wait: Wait, chain: set[str]) -> str:
    missing = f"{len(wait.lost):,} missing" if wait.lost else ""
    if wait.last is None:
        return missing or "nobody came"
    room = _RIGHT - 14 - (width_of(f" · {missing}", 11) if missing else 0)
    return " · ".join(filter(None, (shortened_name(wait.last[0], room, 11), missing)))


def table(run: StoredRun, waits: Waits, most: int = 12) -> list[tuple[str, str, str, str, str]]:
    """Return who waited, for how long (median, most), for whom most often: those that waited longest first."""
    rows = []
    for node in waits.nodes:
        found = [w for (_, of), each in waits.of.items() if of == node for w in each]
        lasts = Counter(w.last[0] for w in found if w.last is not None)
        lags = [w.lag for w in found]
        who, times = lasts.most_common(1)[0] if lasts else ("nobody", 0)
        rows.append(
            (sum(lags), node, statistics.median(lags), max(lags), f"{who}, {times} of {len(found)}", len(found))
        )
    rows.sort(key=lambda row: -row[0])
    return [
        (node, str(count), label(median, "s"), label(longest, "s"), whom)
        for _, node, median, longest, whom, count in rows[:most]
    ]
