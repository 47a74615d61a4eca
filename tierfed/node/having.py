"""Having: which children have what was kept of an earlier invocation (kept.py), where not all took part in it.

    invocation 3, over c-1 and c-4, keeps v7 at CLIENTS        having["9f-3:v7"] = {c-1, c-4}
    invocation 4 takes that handle, with no default            its cohort is drawn of c-1 and c-4

A child that was not drawn, or was lost, has no such value, and neither has any member below it; to draw it
would be to lose it.  What has a default can be computed anywhere, and narrows nothing.

Nothing is known of invocations before a node was started again: then children are drawn of all, and those that
have nothing fail as ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tierfed.compiler.slices import Compiled, Keep, Recall


class Having:
    """See the module docstring."""

    def __init__(self) -> None:
        self._children: dict[str, frozenset[str]] = {}  # by key

    def __len__(self) -> int:
        return len(self._children)

    def committed(self, invocation: str, compiled: Compiled, children: Iterable[str]) -> None:
        """An invocation is committed; what it keeps is below these children."""
        these = frozenset(children)
        for part in compiled.slices.values():
            for step in part.walk():
                if isinstance(step, Keep):
                    self._children[f"{invocation}:{step.slot.name}"] = these

    def of(self, compiled: Compiled, recalled: Mapping[str, str]) -> frozenset[str] | None:
        """Return the children that have all that a program recalls and has no default for, None if any may."""
        found: frozenset[str] | None = None
        for part in compiled.slices.values():
            for step in part.walk():
                if isinstance(step, Recall) and step.default is None:
                    has = self._children.get(recalled.get(step.slot.name, ""))
                    found = has if found is None else found if has is None else found & has
        return found

    def release(self, keys: Iterable[str] | None) -> None:
        """Nobody can ask any more for what is kept under these keys, or under any."""
        for key in tuple(self._children) if keys is None else keys:
            self._children.pop(key, None)
