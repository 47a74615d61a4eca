"""Links of a running tree, as they are now: siblings that are alike on one line.

    TIER              LINK              RATE      DELAY     LOSS  AT THE START
    EDGE_AGGREGATORS  edge-eu           1gbit     5ms
    CLIENTS           c-us-[00-04] ×5   4/20mbit  30±10ms   1%
    CLIENTS           c-us-05           4/20mbit  200±10ms  2%    delay 30ms, loss 1%
    CLIENTS           c-us-06           cut                       not cut

A link of which nothing is modelled says `not modelled`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tierfed.report.nodes import together
from tierfed.report.table import table
from tierfed.topology import captions, link_words
from tierfed.topology.links import figures
from tierfed.topology.links.profile import LinkProfile

if TYPE_CHECKING:
    from tierfed.launch.runs import Run

_HEADS = ("TIER", "LINK", "RATE", "DELAY", "LOSS", "JITTER", "AT THE START")


def rows(run: Run, links: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what programs get of each of `links`, as their parents told them."""
    told = []
    for name, link in links.items():
        now, given = _profile(link["now"]), _profile(link["given"])
        node = run.manifest["nodes"][name]
        told.append(
            {
                "name": name,
                "placement": node["placement"],
                "parent": node["parent"],
                "link": link_words.written(now) if now is not None else None,
                "given": link_words.written(given) if given is not None else None,
                "cut": bool(link["cut"]),
                "changed": now != given or bool(link["cut"]),
            }
        )
    return told


def said(names: Sequence[str], change: Mapping[str, str] | str) -> str:
    """Return what was changed of links as a line: `c-[0-3] ×4: delay=200ms loss=2%`."""
    figures = " ".join(f"{k}={v}" for k, v in change.items()) if isinstance(change, Mapping) else _UNSAID[change]
    return f"{together(list(names))}: {figures}"


_UNSAID = {"none": "modelled no more", "clear": "as the topology says"}


def _profile(data: object) -> LinkProfile | None:
    return figures.profile(data, LinkProfile, "link")


def table_of(rows: list[dict[str, Any]], width: int | None = None) -> str:
    """Return `rows` as a table on `width` columns, siblings whose links are alike together."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        key = (str(row["placement"]), str(row["parent"]), *_cells(row))
        groups.setdefault(key, []).append(row["name"])
    lines = [[tier, together(names), *cells] for (tier, _, *cells), names in groups.items()]
    return table(_HEADS, lines, width)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    said = row["link"]
    rate, late, loss = captions.link_of(link_words.keyed(said or {}))
    if row["cut"]:
        rate = f"cut ({rate})" if rate else "cut"
    elif not said:
        rate = "takes no time" if said is not None else "not modelled"
    jitter = ", ".join(said[name] for name in ("distribution", "correlation") if name in said) if said else ""
    return rate, late, loss.removeprefix("loss "), jitter, _was(row)


def _was(row: Mapping[str, Any]) -> str:
    """Return what is different from the start, as it was then."""
    if not row["changed"]:
        return ""
    now, given = row["link"], row["given"]
    if given is None and now is not None:
        return "not modelled"
    if now is None and given is not None:
        return " ".join(filter(None, [*captions.link_of(link_words.keyed(given)), "not cut" if row["cut"] else ""]))
    old, new = given or {}, now or {}
    was = [f"{name} {old.get(name, 'none')}" for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
    return ", ".join([*was, *(["not cut"] if row["cut"] else [])])
