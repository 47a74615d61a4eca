"""Kept: the values that a member keeps between invocations, so that they need not move.

    kept.keep(("9f-3", 1), "9f-3:v7", t, value)      an invocation has come to it
    kept.commit(("9f-3", 1))                         and is in the record of the root
    kept.get("9f-3:v7", t)                           a later one asks for it

Sound because a value is readable only once the attempt that made it is committed: a round
that failed, or did without this member, leaves nothing behind.  Who holds the handle says when
a value may go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tierfed.errors import ProtocolError
from tierfed.types import Type

_Attempt = tuple[str, int]


class Kept:
    """See the module docstring."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[Type, Any]] = {}
        self._pending: dict[_Attempt, dict[str, tuple[Type, Any]]] = {}

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
