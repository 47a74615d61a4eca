"""At members: where the constituents of a handle are, on a tree of daemons.

Its members keep them under a key, until nobody holds the handle any more.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from tierfed.errors import NoSuchRun
from tierfed.types import FederatedType

if TYPE_CHECKING:
    from tierfed.backends.native.context import NativeContext


class AtMembers:
    """See the module docstring; `count` of the `members` of the placement have a constituent.

    `whole` as long as nothing is known of one that has none: so long no default has to be sent.
    """

    def __init__(self, context: NativeContext, of: FederatedType, key: str, count: int) -> None:
        self.context = context
        self.of = of
        self.key = key
        self.count = count
        self.members = len(context.tree.members(of.placement))
        self.whole = count == self.members
        weakref.finalize(self, context.release, key).atexit = False

    def fetch(self) -> dict[int, Any]:
        """Return the held constituents by the index of their member, in member order."""
        try:
            return self.context.run(self.context.fetched(self))
        except NoSuchRun:
            raise self._gone() from None

    async def afetch(self) -> dict[int, Any]:
        """Return what `fetch` returns, without holding up the loop that this is called in."""
        try:
            return await self.context.arun(self.context.fetched(self))
        except NoSuchRun:
            raise self._gone() from None

    def _gone(self) -> NoSuchRun:
        return NoSuchRun(
            f"the tree whose members had the values of this handle, {self.of}, is down",
            where="handle",
            mend="fetch what is needed later while the tree is up: values = handle.fetch()",
        )
