"""Traffic: bytes over the data plane by tier, as the frames were, and as they would be under `none`.

A parent counts what its children send it and what it sends them; what is below it arrives
with their messages.  So the root knows the whole tree, and the run can say what each tier cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FIELDS = ("up", "raw_up", "down", "raw_down", "messages_up", "messages_down")


@dataclass(slots=True)
class Traffic:
    """Counts by placement of the child, since they were last taken; bytes are of whole frames."""

    tiers: dict[str, list[int]] = field(default_factory=dict)

    def add(self, placement: str, field_name: str, amount: int) -> None:
        """Count `amount` for a tier."""
        self.tiers.setdefault(placement, [0] * len(FIELDS))[FIELDS.index(field_name)] += amount

    def merge(self, tiers: object) -> None:
        """Count what a child reports; anything but counts of the right form is ignored."""
        if not isinstance(tiers, dict):
            return
        for placement, counts in tiers.items():
            if not isinstance(placement, str) or not isinstance(counts, list) or len(counts) != len(FIELDS):
                continue
            if all(type(n) is int and 0 <= n < 2**63 for n in counts):
                own = self.tiers.setdefault(placement, [0] * len(FIELDS))
                own[:] = [a + b for a, b in zip(own, counts, strict=True)]

    def take(self) -> dict[str, list[int]]:
        """Return the counts, and begin again from nothing."""
        taken, self.tiers = self.tiers, {}
        return taken

    @staticmethod
    def named(counts: Mapping[str, list[int]]) -> dict[str, dict[str, int]]:
        """Return counts with their names, for people and JSON."""
        return {placement: dict(zip(FIELDS, numbers, strict=True)) for placement, numbers in counts.items()}


def merged(*many: Mapping[str, Any]) -> dict[str, list[int]]:
    """Return the sum of several counts."""
    total = Traffic()
    for one in many:
        total.merge(dict(one))
    return total.tiers
