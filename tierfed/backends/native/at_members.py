"""At members: where the constituents of a handle are, on a tree of daemons.

Its members keep them under a key, until nobody holds the handle any more.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from tierfed.types import FederatedType

if TYPE_CHECKING:
    from tierfed.backends.native.context import NativeContext


class AtMembers:
    """See the module docstring; `count` members have a constituent."""

    def __init__(self, context: NativeContext, of: FederatedType, key: str, count: int) -> None:
        self.context = context
        self.of = of
        self.key = key
        self.count = count
        weakref.finalize(self, context.release, key).atexit = False

    def fetch(self) -> tuple[Any, ...]:
        """Return the held constituents, in member order."""
        return self.context.run(self.context.fetched(self))

    async def afetch(self) -> tuple[Any, ...]:
        """Return the held constituents, in member order."""
        return await self.context.arun(self.context.fetched(self))
