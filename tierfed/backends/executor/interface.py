"""The Executor interface: values are embedded, called, put into structs, selected from, and computed.

    f = await executor.create_value(get_average_temperature)
    x = await executor.create_value([68.5, 70.3, 69.8], "{float32}@CLIENTS")
    y = await executor.create_call(f, x)
    await y.compute()                                              69.53333

It is what a native backend offers to code that drives it: notebooks, experiments, a service.
Nothing is computed before `compute`.  Source: the specification's standard executor interface,
and the class of that name in the public package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from tierfed.placements import Placement
from tierfed.types import Type


class ExecutorValue(Protocol):
    """A value inside an executor."""

    @property
    def type_signature(self) -> Type:
        """The type of the value."""

    async def compute(self) -> Any:
        """Return the value as users see it, computed at the first call and kept.

        Raises what computing it raises; the next call tries again.
        """


class Executor(Protocol):
    """What makes values and computes them."""

    async def create_value(self, value: Any, type: Any = None) -> ExecutorValue:
        """Return `value` embedded, at `type` (anything that `to_type` takes).

        A constant, a struct of such, a list for `{T}@P`, a computation or the bytes of one, a Python
        function at a function type, a placement, or the URI of an intrinsic at its type.  The
        type may be left out where the value determines it.
        """

    async def create_call(self, function: ExecutorValue, argument: ExecutorValue | None = None) -> ExecutorValue:
        """Return the call of `function`; raises TypeMismatch if it does not take `argument`."""

    async def create_struct(
        self, elements: Mapping[str, ExecutorValue] | Sequence[ExecutorValue | tuple[str | None, ExecutorValue]]
    ) -> ExecutorValue:
        """Return the struct of `elements`: a mapping, a sequence, or a sequence of (name, value) pairs."""

    async def create_selection(self, source: ExecutorValue, key: int | str) -> ExecutorValue:
        """Return the element of `source` at a position or of a name."""

    def dispose(self, value: ExecutorValue) -> None:
        """Let go of `value`, which is used no more; what was made of it stays."""

    def close(self) -> None:
        """Let go of every value; the executor is used no more."""


class ExecutorFactory(Protocol):
    """What makes executors and owns them: one for each cardinalities, until they are cleaned up."""

    def create_executor(self, cardinalities: Mapping[Placement | str, int]) -> Executor:
        """Return the executor of so many members at each placement."""

    def clean_up_executor(self, cardinalities: Mapping[Placement | str, int]) -> None:
        """Close the executor of these cardinalities, if there is one."""

    def clean_up_executors(self) -> None:
        """Close every executor."""
