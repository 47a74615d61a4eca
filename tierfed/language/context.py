"""Contexts: where a computation runs when it is called.

A context checks what a user passed, runs the computation, and gives the result in the user's
containers.  The innermost `with` wins; without one the default runs, which is the reference
interpreter on a flat tree.

What was entered is kept in a `ContextVar`, as an immutable stack.  So an asyncio task sees what
its creator had entered when it made the task, and what it enters itself nobody else sees.  A
plain thread begins with an empty stack, that is, with the default; whoever starts one hands the
stack on, as everywhere in Python:

    threading.Thread(target=contextvars.copy_context().run, args=(work,))      asyncio.to_thread(work)
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
    """Take `context` away again, as it was entered last; nothing happens where it was not.

    What was entered after it stays, as where two generators overlap.  Another task may leave it:
    the task that entered it goes on seeing it, since nobody changes the stack of another.
    """
    entered = _entered.get()
    for at in reversed(range(len(entered))):
        if entered[at] is context:
            _entered.set((*entered[:at], *entered[at + 1 :]))
            return
