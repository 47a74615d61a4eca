"""Contexts: where a computation runs when it is called.

A context checks what a user passed, runs the computation, and gives the result in the user's
containers.  The innermost `with` wins; without one the default runs, which is the reference
interpreter on a flat tree.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from tierfed.errors import TierfedError

if TYPE_CHECKING:
    from tierfed.language.computation import Computation


class Context(Protocol):
    """What runs computations."""

    def invoke(self, computation: Computation, *args: Any, **kwargs: Any) -> Any:
        """Return the result of `computation` at these arguments."""

    async def ainvoke(self, computation: Computation, *args: Any, **kwargs: Any) -> Any:
        """Return the result of `computation` at these arguments."""


_entered: ContextVar[tuple[Context, ...]] = ContextVar("tierfed_contexts", default=())
_default: list[Callable[[], Context]] = []


def set_default(make: Callable[[], Context]) -> None:
    """Let `make` give the context of calls outside every `with`; it is called once, on first use."""
    made: list[Context] = []

    def once() -> Context:
        if not made:
            made.append(make())
        return made[0]

    _default[:] = [once]


def current() -> Context:
    """Return the context that a call made here runs in."""
    entered = _entered.get()
    if entered:
        return entered[-1]
    if not _default:
        raise TierfedError("no context to run in", where="context", mend="import tierfed, which sets the default")
    return _default[0]()


def enter(context: Context) -> None:
    """Make `context` the innermost."""
    _entered.set((*_entered.get(), context))


def leave(context: Context) -> None:
    """Take `context`, and whatever was entered after it, away again."""
    entered = _entered.get()
    if context in entered:
        _entered.set(entered[: entered.index(context)])
