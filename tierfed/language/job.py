"""Jobs: the driver's program, which calls computations round by round.

    @tierfed.job
    async def train(tree, *, rounds=20, lr=0.1): …

    @tierfed.job(round=step)                    # step is what it calls once a round
    async def train(tree, *, rounds=20, lr=0.1): …

    @tierfed.job(round=step_of)                 # a function of some of its parameters, that gives it
    async def train(tree, *, rounds=20, rules=None): …

The decorator marks the function, so that `job: {program: module:train}` names something
that was meant to be run, and keeps its signature, so that parameters are checked before
anything starts.  The computation of its round, which is the first that its body names unless
it is given, is checked against topology, codecs and data too, and its bytes are predicted.
"""

from __future__ import annotations

import difflib
import inspect
import typing
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar, overload

from tierfed.errors import JobError, TypeMismatch
from tierfed.language.computation import Computation

_P = ParamSpec("_P")
_R = TypeVar("_R")

RoundOf: TypeAlias = Callable[..., Computation]
"""A function that makes the computation of a round of some of the job's parameters, by their names."""

_PLAIN: Mapping[type, tuple[type, ...]] = {int: (int,), float: (float, int), str: (str,), bool: (bool,)}
"""The kinds of parameter that are checked, and what each takes."""
_EXAMPLES: Mapping[type, str] = {int: "10", float: "0.1", str: "text", bool: "true"}


class Job(Generic[_P, _R]):
    """A marked `async def train(tree, *, …)`."""

    def __init__(self, fn: Callable[_P, Awaitable[_R]], round: Computation | RoundOf | None = None) -> None:
        if not inspect.iscoroutinefunction(fn):
            raise TypeMismatch(
                f"{getattr(fn, '__qualname__', fn)} is no async function",
                where="job",
                mend="write `async def train(tree, *, …)`",
            )
        self.function = fn
        self._round = round
        self.__doc__ = fn.__doc__
        self.__name__ = fn.__name__
        self.__qualname__ = fn.__qualname__
        self.__module__ = fn.__module__
        self.signature = inspect.signature(fn)
        if not self.signature.parameters:
            raise TypeMismatch(
                f"{fn.__qualname__} takes no tree", where="job", mend="let its first parameter be the tree"
            )
        if round is not None and not isinstance(round, Computation):
            for name in inspect.signature(round).parameters:
                if name not in self.parameters:
                    raise TypeMismatch(
                        f"{round.__qualname__} takes {name}, which is no parameter of {fn.__qualname__}",
                        where="job",
                        mend=f"use some of {', '.join(self.parameters) or 'its parameters, of which it has none'}",
                    )

    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> Awaitable[_R]:
        return self.function(*args, **kwargs)

    @property
    def round(self) -> Computation | None:
        """The computation of one round with the defaults of all parameters."""
        return self.round_of({})

    def round_of(self, params: Mapping[str, Any]) -> Computation | None:
        """Return the computation of one round: what was named, or else the first that the body names.

        Raises what a function that makes it of `params` raises.
        """
        if isinstance(self._round, Computation):
            return self._round
        if self._round is not None:
            known = {name: p.default for name, p in self.parameters.items()} | dict(params)
            wanted = {name: known[name] for name in inspect.signature(self._round).parameters}
            return None if inspect.Parameter.empty in wanted.values() else self._round(**wanted)
        code, known = self.function.__code__, self.function.__globals__
        named = (known.get(name) for name in code.co_names)
        return next((one for one in named if isinstance(one, Computation)), None)

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """The parameters that a topology or a command may give: all but the tree."""
        return dict(list(self.signature.parameters.items())[1:])

    def check(self, params: Mapping[str, Any], where: str) -> None:
        """Raise JobError unless `params` are parameters of this job, of their types, each required one among them."""
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
        hints = _hints(self.function)
        for name, value in params.items():
            kind = hints.get(name)
            if not isinstance(kind, type) or kind not in _PLAIN:
                continue
            if not isinstance(value, _PLAIN[kind]) or isinstance(value, bool) != (kind is bool):
                raise JobError(
                    f"{self.__qualname__} takes {name} as {kind.__name__}, got {value!r}",
                    where=where,
                    mend=f"write {_EXAMPLES[kind]}, say",
                )


def _hints(fn: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of `fn`, none if one of them cannot be resolved."""
    try:
        hints: dict[str, Any] = typing.get_type_hints(fn)
    except Exception:  # an annotation is any expression, and may name what is imported for type checkers only
        return {}
    return hints


@overload
def job(fn: Callable[_P, Awaitable[_R]], /) -> Job[_P, _R]: ...
@overload
def job(*, round: Computation | RoundOf) -> Callable[[Callable[_P, Awaitable[_R]]], Job[_P, _R]]: ...
def job(fn: Any = None, /, *, round: Any = None) -> Any:
    """Return `fn` marked as a job; with `round`, a decorator for a job that calls that computation once a round.

    `round` is that computation, or a function that makes it of some of the job's parameters, by their names.

    A job is the driver's program, `async def train(tree, *, …)`: what `job: {program: module:train}`
    of a topology names.  Its first parameter is the running tree, a RunTree; the others are what
    `job.params` may give, and their annotations are checked before anything starts.

    Raises TypeMismatch for what is no async function, or no computation, or wants what the job has not.

    >>> @tierfed.federated_computation("int32@SERVER")
    ... def step(x):
    ...     return x + np.int32(1)
    >>> @tierfed.job
    ... async def train(tree, *, rounds: int = 3):
    ...     x = await tree.resume() or 0
    ...     for r in tree.rounds(rounds):
    ...         x = await tree.ainvoke(step, x)
    ...         tree.release(r, {"x": x})
    ...         await tree.checkpoint(r, x)
    ...     return x
    >>> train.round
    <computation step : (int32@SERVER -> int32@SERVER)>
    """
    if round is not None and not isinstance(round, Computation) and not inspect.isfunction(round):
        raise TypeMismatch(
            f"{getattr(round, '__qualname__', round)!r} is no computation",
            where="job",
            mend="name what `tree.ainvoke` is given once a round: @tierfed.job(round=step)",
        )
    return (lambda decorated: Job(decorated, round)) if fn is None else Job(fn, round)
