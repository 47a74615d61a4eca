"""Jobs: the driver's program, which calls computations round by round.

    @tierfed.job
    async def train(tree, *, rounds=20, lr=0.1): …

The decorator marks the function, so that `job: {program: module:train}` names something
that was meant to be run, and keeps its signature, so that parameters are checked before
anything starts.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, ParamSpec, TypeVar, overload

from tierfed.errors import JobError, TypeMismatch
from tierfed.language.computation import Computation

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Job(Generic[_P, _R]):
    """A marked `async def train(tree, *, …)`; `round` is the computation of one round, if it was named."""

    def __init__(self, fn: Callable[_P, Awaitable[_R]], round: Computation | None = None) -> None:
        if not inspect.iscoroutinefunction(fn):
            raise TypeMismatch(
                f"{getattr(fn, '__qualname__', fn)} is no async function",
                where="job",
                mend="write `async def train(tree, *, …)`",
            )
        self.function = fn
        self.round = round
        self.__doc__ = fn.__doc__
        self.__name__ = fn.__name__
        self.__qualname__ = fn.__qualname__
        self.__module__ = fn.__module__
        self.signature = inspect.signature(fn)
        if not self.signature.parameters:
            raise TypeMismatch(
                f"{fn.__qualname__} takes no tree", where="job", mend="let its first parameter be the tree"
            )

    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> Awaitable[_R]:
        return self.function(*args, **kwargs)

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """The parameters that a topology or a command may give: all but the tree."""
        return dict(list(self.signature.parameters.items())[1:])

    def check(self, params: Mapping[str, Any], where: str) -> None:
        """Raise JobError unless `params` are parameters of this job, each required one among them."""
        takes_any = any(p.kind is p.VAR_KEYWORD for p in self.parameters.values())
        for name in params:
            if name not in self.parameters and not takes_any:
                near = difflib.get_close_matches(name, self.parameters, 1)
                known = ", ".join(self.parameters) or "none"
                raise JobError(
                    f"{self.__qualname__} has no parameter {name}",
                    where=where,
                    mend=f"did you mean {near[0]!r}?" if near else f"its parameters: {known}",
                )
        missing = [
            n
            for n, p in self.parameters.items()
            if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and n not in params
        ]
        if missing:
            raise JobError(
                f"{self.__qualname__} needs {', '.join(missing)}", where=where, mend="give it under job.params"
            )


@overload
def job(fn: Callable[_P, Awaitable[_R]], /) -> Job[_P, _R]: ...
@overload
def job(
    *, round: Computation | None = None
) -> Callable[[Callable[_P, Awaitable[_R]]], Job[_P, _R]]: ...
def job(fn: Any = None, /, *, round: Computation | None = None) -> Any:
    """Return `fn` marked as a job.

    `@job(round=step)` also names the computation that a round runs, from which `tierfed show`
    predicts what a round costs.
    """
    return Job(fn, round) if fn is not None else lambda function: Job(function, round)
