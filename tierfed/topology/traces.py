"""Traces: the members whose hours a file has get their own of them.

    placements.CLIENTS.available: {trace: phones.csv}     ->     c-00: {times: "0s-1h, 2h-2.5h"}, c-01: …

A file is read once for each setting that names it, from the folder of the topology.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from tierfed.topology.devices import AVAILABLE, AvailableSpec, Modelled
from tierfed.topology.graph import Grown
from tierfed.topology.problems import Problems
from tierfed.topology.settle import Settled
from tierfed.topology.trace_file import TraceFile


def with_traces(settled: dict[str, Settled], grown: Grown, folder: Path, problems: Problems) -> dict[str, Settled]:
    """Return `settled` with the spans of those whose hours are in files, which are named from `folder`."""
    holders: dict[tuple[str, AvailableSpec], list[str]] = {}
    for name, of in settled.items():
        hours = of.modelled.figures.get(AVAILABLE)
        if hours is not None and hours.trace is not None:
            holders.setdefault((hours.trace, hours), []).append(name)
    if not holders:
        return settled
    everybody = [member.name for members in grown.members.values() for member in members]
    files: dict[str, TraceFile] = {}
    found = dict(settled)
    for (path, hours), names in holders.items():
        if path not in files:
            files[path] = TraceFile(folder / path, str(folder / path), problems)
        file = files[path]
        for name, spans in file.spans(names, everybody, hours.every).items() if file.rows else ():
            if spans:
                of = settled[name]
                modelled = Modelled.of({**of.modelled.figures, AVAILABLE: hours.of(spans)})
                origins = {**of.origins, "available": f"{of.origins['available']}, and {path}"}
                found[name] = replace(of, modelled=modelled, origins=MappingProxyType(origins))
    for file in files.values():
        file.told()
    return found
