"""Losses: members that are lost, told once, those with one reason together.

    losses.add("c-us-00", "its connection was lost"); …; losses.add("c-us-07", "its connection was lost")
    losses.take()           ["lost c-us-[00-07] ×8: its connection was lost"]

A member that is gone is missing from every round that follows; saying so in each would bury the
rest.  The rounds' own records have all of it.
"""

from __future__ import annotations

from tierfed.topology.collapse import collapsed


class Losses:
    """What there is to tell, and who has been told of."""

    def __init__(self) -> None:
        self._told: set[str] = set()
        self._fresh: dict[str, list[str]] = {}

    def add(self, node: str, reason: str) -> None:
        """Note a loss."""
        if node not in self._told:
            self._told.add(node)
            self._fresh.setdefault(reason, []).append(node)

    def take(self) -> list[str]:
        """Return a line for each reason that is new, and forget them."""
        fresh, self._fresh = self._fresh, {}
        return [
            f"lost {collapsed(names)}{f' ×{len(names)}' if len(names) > 1 else ''}: {reason}"
            for reason, names in fresh.items()
        ]
