"""TensorFlow computations: a function on tensors and datasets, traced to a leaf that is shipped.

    @tf_computation("float32[?]*")                         ds: a tf.data.Dataset of float32[?]
    def total(ds):
        return ds.reduce(0.0, lambda a, x: a + tf.reduce_sum(x))      (float32[?]* -> float32)

What it returns says what its result type is.  It needs no module that others could import: a lambda,
a closure and a notebook's cell do.  Called within another such function it becomes part of that graph.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType as FunctionKind
from typing import Any, overload

from tierfed.errors import TypeMismatch
from tierfed.language.computation import Computation, _is_undecorated, _parameter
from tierfed.leaves import tf, tf_trace
from tierfed.types import FederatedType, FunctionType


class GraphComputation(Computation):
    """A computation whose function can become part of another graph."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if tf_trace.tracing() and self.python_function is not None:
            return self.python_function(*args, **kwargs)
        return super().__call__(*args, **kwargs)

    __eq__ = Computation.__eq__
    __hash__ = Computation.__hash__


@overload
def tf_computation(fn: FunctionKind, /, *types: Any, stateful: bool = False) -> Computation: ...
@overload
def tf_computation(*types: Any, stateful: bool = False) -> Callable[[Callable[..., Any]], Computation]: ...
def tf_computation(*types: Any, stateful: bool = False) -> Any:
    """Return a decorator that traces a function of these types into a TensorFlow graph.

    `tf_computation(fn, *types)` makes one at once, and `@tf_computation` without types decorates a
    function of no arguments.  One that draws random numbers of its own is `stateful`.  Tensors are
    tf.Tensors, a sequence is a tf.data.Dataset, and what is returned says what the result type is.
    The graph travels with the program, so lambdas, closures and notebook cells run on daemons too.
    It needs `pip install 'tierfed[tf]'`.

    Raises LeafError for what a leaf cannot do or return.

    >>> @tierfed.tf_computation("float32*")
    ... def largest(rows):
    ...     return rows.reduce(float("-inf"), lambda most, x: tf.maximum(most, x))
    >>> str(largest.type_signature)
    '(float32* -> float32)'
    >>> largest([3, 5, 4])
    np.float32(5.0)
    """
    if types and _is_undecorated(types[0]):
        return _graph(types[0], types[1:], stateful)
    return lambda fn: _graph(fn, types, stateful)


def _graph(fn: Callable[..., Any], types: tuple[Any, ...], stateful: bool) -> Computation:
    parameter, _ = _parameter(fn, types)
    name = getattr(fn, "__qualname__", type(fn).__name__)
    for part in parameter.walk() if parameter is not None else ():
        if isinstance(part, FederatedType | FunctionType):
            raise TypeMismatch(
                f"{part} in the type of a leaf",
                where=name,
                mend="a leaf works on one member's value: tensors, structs and sequences",
            )
    return GraphComputation(tf.leaf(fn, parameter, len(types), name, stateful=stateful), name, fn)
