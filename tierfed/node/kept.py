"""Kept: the values that a member keeps between invocations, so that they need not move.

    kept.keep(("9f-3", 1), "9f-3:v7", t, value)      an invocation has come to it
    kept.end(("9f-3", 1), committed=True)            and is in the record of the root
    await kept.settled("9f-3:v7")                    a later one asks for it
    kept.get("9f-3:v7", t, "c-2")

Sound because a value is readable only once the attempt that made it is committed: a round
that failed, or did without this member, leaves nothing behind.  That it is committed may be
heard later than the beginning that asks for the value, which comes over the other link; so
whoever asks waits until the attempt is over.  What is kept is nobody else's: it is copied in,
and should be copied out.  Who holds the handle says when a value may go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import numpy as np

from tierfed.errors import ProtocolError
from tierfed.types import SequenceType, StructType, TensorType, Type
from tierfed.types.values import Rows

_Attempt = tuple[str, int]


class Kept:
    """See the module docstring."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[Type, Any]] = {}
        self._pending: dict[_Attempt, dict[str, tuple[Type, Any]]] = {}
        self._ends: dict[_Attempt, asyncio.Event] = {}  # of pending attempts that somebody waits for

    def __len__(self) -> int:
        return len(self._values)

    def keep(self, attempt: _Attempt, key: str, t: Type, value: Any) -> None:
        """Keep a held `value` of `t` if the attempt is committed."""
        self._pending.setdefault(attempt, {})[key] = t, value

    def end(self, attempt: _Attempt, committed: bool) -> None:
        """The attempt is over: what it kept may be read from now on, or is forgotten."""
        pending = self._pending.pop(attempt, {})
        if committed:
            self._values |= pending
        if (ended := self._ends.pop(attempt, None)) is not None:
            ended.set()

    async def settled(self, key: str) -> None:
        """Return once it is known whether there is a value under `key`."""
        for attempt, values in tuple(self._pending.items()):
            if key in values:
                await self._ends.setdefault(attempt, asyncio.Event()).wait()

    def get(self, key: str, t: Type, where: str) -> tuple[Any] | None:
        """Return the value kept under `key`, alone in a tuple, or None; raises ProtocolError if it is not of `t`."""
        found = self._values.get(key)
        if found is None:
            return None
        if not t.is_assignable_from(found[0]):
            raise ProtocolError(
                f"the value kept as {key} is of {found[0]}, and is asked for as {t}",
                where=where,
                mend="run one version of tierfed in the whole tree",
            )
        return (found[1],)

    def release(self, keys: Iterable[str] | None) -> None:
        """Forget the values under `keys`, or all of them: nobody can ask for them any more."""
        for key in tuple(self._values) if keys is None else keys:
            self._values.pop(key, None)


def copied(value: Any, t: Type) -> Any:
    """Return a held `value` of `t` in memory of its own: not that of a message, nor what a leaf may write to."""
    match t:
        case TensorType():
            return value.copy() if isinstance(value, np.ndarray) else value
        case StructType():
            return tuple(copied(v, e) for v, e in zip(value, t.parts(), strict=True))
        case SequenceType():
            return Rows(copied(v, t.element) for v in value)
    return value
