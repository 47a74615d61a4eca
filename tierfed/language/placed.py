"""Placed: a value that stays where it is, as its user holds it.

    personal = tree.invoke(init_heads)                   # <placed {HEAD}@CLIENTS of 32 members>
    body, personal = tree.invoke(step, body, personal)   # nothing of it moves
    personal.fetch()                                     # a list, in member order: now it does

A call that returns `{T}@P` gives a handle.  Passed to the next call it names what P's members
have; nothing of it crosses a link.  It is fetched when it is asked for: by `fetch`, by
`afetch` in a coroutine, or by being used as the list that it stands for; and then once.

A handle is a partial map: a member that was lost while the value was made has none.  Where
such a member takes part again it is a newcomer, and `with_default` says what it starts from;
without a default it is lost to that call.  With one the handle stands for a value of each member.

In the reference interpreter nothing is far away, and the handle is a list.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NoReturn, Protocol, overload

import numpy as np

from tierfed.errors import ValueMismatch
from tierfed.types import FederatedType
from tierfed.types.html import Html, code, titled
from tierfed.types.values import check, present


class Source(Protocol):
    """Where the constituents of a placed value are."""

    count: int  # members that have one
    members: int  # members of the placement

    def fetch(self) -> dict[int, Any]:
        """Return the held constituents by the index of their member, in member order."""

    async def afetch(self) -> dict[int, Any]:
        """Return what `fetch` returns."""


class PlacedHere(list[Any]):
    """A placed value whose constituents are in this process: their list, with what a handle can do."""

    def __init__(self, of: FederatedType, values: tuple[Any, ...]) -> None:
        super().__init__(present(value, of.member) for value in values)
        self.type_signature = of

    def with_default(self, value: Any) -> PlacedHere:
        """Return this list: there is no member without a value.  Raises ValueMismatch."""
        check(value, self.type_signature.member, "default")
        return self

    def fetch(self) -> list[Any]:
        """Return the members' values, in member order."""
        return list(self)

    async def afetch(self) -> list[Any]:
        """Return the members' values, in member order."""
        return list(self)

    def _repr_html_(self) -> Html:
        return titled(f"{self.type_signature}: {len(self)} values", code("\n".join(map(repr, self))))


class Placed(Sequence[Any]):
    """See the module docstring; made by calls, never by users."""

    def __init__(self, of: FederatedType, source: Source, default: tuple[Any, ...] = ()) -> None:
        self._of = of
        self.source = source
        self.default = default  # the held one, alone, if there is one
        self._held: tuple[Any, ...] | None = None

    @property
    def type_signature(self) -> FederatedType:
        """The type of the value."""
        return self._of

    def with_default(self, value: Any) -> Placed:
        """Return this handle with `value` for members that have none.  Raises ValueMismatch."""
        return Placed(self._of, self.source, (check(value, self._of.member, "default"),))

    def fetch(self) -> list[Any]:
        """Return the members' values, in member order, brought here; without a default some may have none."""
        return self._presented(self.held())

    async def afetch(self) -> list[Any]:
        """Return the members' values as `fetch` does, without holding up the loop that this is called in."""
        if self._held is None:
            self._held = self._filled(await self.source.afetch())
        return self._presented(self._held)

    def held(self) -> tuple[Any, ...]:
        """Return the members' values as `fetch` does, in the form in which they are held."""
        if self._held is None:
            self._held = self._filled(self.source.fetch())
        return self._held

    def whole(self) -> tuple[Any, ...]:
        """Return the held values of all members, brought here.  Raises ValueMismatch if one has none."""
        values = self.held()
        if len(values) < self.source.members:
            raise ValueMismatch(
                f"{len(values)} of {self.source.members} members have a value",
                where=f"handle of {self._of}",
                mend="say what the others start from: handle.with_default(value)",
            )
        return values

    def _filled(self, found: dict[int, Any]) -> tuple[Any, ...]:
        if not self.default:
            return tuple(found.values())
        return tuple(found.get(i, self.default[0]) for i in range(self.source.members))

    def _presented(self, values: tuple[Any, ...]) -> list[Any]:
        return [present(value, self._of.member) for value in values]

    def __len__(self) -> int:
        if self._held is not None:
            return len(self._held)
        return self.source.members if self.default else self.source.count

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self.fetch()[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.fetch())

    def __reversed__(self) -> Iterator[Any]:
        return iter(self.fetch()[::-1])  # there may be fewer values than members were counted

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Placed):
            return self is other or self.fetch() == other.fetch()
        return self.fetch() == other if isinstance(other, list) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as a list's: it compares by what it holds

    def __add__(self, other: object) -> list[Any]:
        return self.fetch() + list(other) if isinstance(other, list | Placed) else NotImplemented

    def __radd__(self, other: object) -> list[Any]:
        return other + self.fetch() if isinstance(other, list) else NotImplemented

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.asarray(self.fetch(), dtype)

    def __copy__(self) -> Placed:
        return self  # the value that it stands for never changes

    def __deepcopy__(self, memo: Any) -> Placed:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a handle of {self._of} is of the tree that made it, and is not pickled: use handle.fetch()")

    def __repr__(self) -> str:
        if self._held is not None:
            return repr(self.fetch())
        return f"<placed {self._of} of {len(self)} members>"

    def _repr_html_(self) -> Html:
        if self._held is None:
            return titled(f"{self._of}: {len(self)} values, at its members")
        return titled(f"{self._of}: {len(self)} values, fetched", code("\n".join(map(repr, self.fetch()))))
