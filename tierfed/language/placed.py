"""Placed: a value that stays where it is, as its user holds it.

    personal = tree.invoke(init_heads)               # <placed {HEAD}@CLIENTS of 32 members>
    body, personal = tree.invoke(step, body, personal)   # nothing of it moves
    personal.fetch()                                 # a list, in member order: now it does

A call that returns `{T}@P` gives a handle.  Passed to the next call it names what P's members
have; nothing of it crosses a link.  It is fetched when it is asked for: by `fetch`, by
`afetch` in a coroutine, or by being used as the list that it stands for.

A handle is a partial map: a member that was lost while the value was made has none.  Where
such a member takes part again it is a newcomer, and `with_default` says what it starts from;
without a default it is lost to that call.

In the reference interpreter nothing is far away, and the handle is a list.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, overload

from tierfed.types import FederatedType
from tierfed.types.html import Html, code, titled
from tierfed.types.values import check, present


class Source(Protocol):
    """Where the constituents of a placed value are."""

    count: int  # members that have one

    def fetch(self) -> tuple[Any, ...]:
        """Return the held constituents, in member order."""

    async def afetch(self) -> tuple[Any, ...]:
        """Return the held constituents, in member order."""


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
        return self

    async def afetch(self) -> list[Any]:
        """Return the members' values, in member order."""
        return self

    def _repr_html_(self) -> Html:
        return titled(f"{self.type_signature}: {len(self)} values", code("\n".join(map(repr, self))))


class Placed(Sequence[Any]):
    """See the module docstring; made by calls, never by users."""

    def __init__(self, of: FederatedType, source: Source, default: tuple[Any, ...] = ()) -> None:
        self._of = of
        self.source = source
        self.default = default  # the held one, alone, if there is one
        self._fetched: list[Any] | None = None

    @property
    def type_signature(self) -> FederatedType:
        """The type of the value."""
        return self._of

    def with_default(self, value: Any) -> Placed:
        """Return this handle with `value` for members that have none.  Raises ValueMismatch."""
        return Placed(self._of, self.source, (check(value, self._of.member, "default"),))

    def fetch(self) -> list[Any]:
        """Return the members' values, in member order, brought here; those who have none are left out."""
        if self._fetched is None:
            self._fetched = self._presented(self.source.fetch())
        return self._fetched

    async def afetch(self) -> list[Any]:
        """Return the members' values as `fetch` does, without holding up the loop that this is called in."""
        if self._fetched is None:
            self._fetched = self._presented(await self.source.afetch())
        return self._fetched

    def _presented(self, values: tuple[Any, ...]) -> list[Any]:
        return [present(value, self._of.member) for value in values]

    def __len__(self) -> int:
        return self.source.count

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self.fetch()[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.fetch())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Placed):
            return self is other or self.fetch() == other.fetch()
        return self.fetch() == other if isinstance(other, list) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as a list's: it compares by what it holds

    def __repr__(self) -> str:
        return repr(self._fetched) if self._fetched is not None else f"<placed {self._of} of {len(self)} members>"

    def _repr_html_(self) -> Html:
        if self._fetched is None:
            return titled(f"{self._of}: {len(self)} values, at its members")
        return titled(f"{self._of}: {len(self)} values, fetched", code("\n".join(map(repr, self._fetched))))
