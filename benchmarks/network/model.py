"""Model: what the link model says of rounds over the same topology file.

    predicted(setting)["seconds"]

The nodes are the daemons' own, on the simulated backend's virtual clock; computing takes no time there.  As when
measured, there is a first round that brings the program, then some whose median counts.
"""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.network.measure import model, step
from benchmarks.network.settings import Setting
from tierfed.backends.native.driver import Record
from tierfed.backends.simulated import Fleet
from tierfed.node.traffic import Traffic
from tierfed.topology import parse_topology

ROUNDS = 5, 41  # without loss, where they are all alike, and with


def predicted(setting: Setting) -> dict[str, Any]:
    """Return the median seconds of a round, those of each, and the bytes of the second by tier."""
    records: list[Record] = []
    fleet = Fleet(parse_topology(setting.text(), f"{setting.name}.yaml"))
    context = fleet.context(on_record=lambda computation, record: records.append(record))
    try:
        program, argument = step(setting.elements), model(setting.elements)
        each = []
        for _ in range(1 + ROUNDS[any(tier.loss for tier in setting.tiers)]):
            begun = fleet.thread.now
            context.invoke(program, argument)
            each.append(round(fleet.thread.now - begun, 5))
    finally:
        context.close()
    return {
        "seconds": statistics.median(each[1:]),
        "first": each[0],
        "each": each[1:],
        "bytes": Traffic.named(records[1].traffic),
    }
