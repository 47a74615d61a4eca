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
from typing import Any, Literal, overload

from tierfed.errors import TypeMismatch
from tierfed.language.computation import Computation, _is_undecorated, _parameter
from tierfed.leaves import batch_form, tf, tf_trace
from tierfed.types import FederatedType, FunctionType
from tierfed.user_line import at_user_line, located


class GraphComputation(Computation):
    """A computation whose function can become part of another graph."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if tf_trace.tracing() and self.python_function is not None:
            return self.python_function(*args, **kwargs)
        return super().__call__(*args, **kwargs)

    __eq__ = Computation.__eq__
    __hash__ = Computation.__hash__


@overload
def tf_computation(
    fn: FunctionKind,
    /,
    *types: Any,
    stateful: bool = False,
    batch: bool | Literal["auto"] = False,
    tolerance: float | None = None,
) -> Computation: ...
@overload
def tf_computation(
    *types: Any, stateful: bool = False, batch: bool | Literal["auto"] = False, tolerance: float | None = None
) -> Callable[[Callable[..., Any]], Computation]: ...
def tf_computation(
    *types: Any, stateful: bool = False, batch: bool | Literal["auto"] = False, tolerance: float | None = None
) -> Any:
    """Return a decorator that traces a function of these types into a TensorFlow graph.

    `tf_computation(fn, *types)` makes one at once, and `@tf_computation` without types decorates a
    function of no arguments.  One that draws random numbers of its own is `stateful`.  Tensors are
    tf.Tensors, a sequence is a tf.data.Dataset, and what is returned says what the result type is.
    The graph travels with the program, so lambdas, closures and notebook cells run on daemons too.
    It needs `pip install 'tierfed[tf]'`.

    With `batch=True` simulations (`tierfed.simulate`) run it for many members at once, by `tf.vectorized_map`: where
    that gives the same bits, or differs by at most `tolerance` (relative and absolute); where it does not, that is
    a LeafError.  With `batch="auto"` they do so where they can, and else run members one by one.

    Raises LeafError for what a leaf cannot do or return, and with `batch=True` for what cannot be vectorised.

    >>> @tierfed.tf_computation("float32*")
    ... def largest(rows):
    ...     return rows.reduce(float("-inf"), lambda most, x: tf.maximum(most, x))
    >>> str(largest.type_signature)
    '(float32* -> float32)'
    >>> largest([3, 5, 4])
    np.float32(5.0)
    """
    if types and _is_undecorated(types[0]):
        return _graph(types[0], types[1:], stateful, batch, tolerance)
    return lambda fn: _graph(fn, types, stateful, batch, tolerance)


def _graph(
    fn: Callable[..., Any],
    types: tuple[Any, ...],
    stateful: bool,
    batch: bool | Literal["auto"],
    tolerance: float | None,
) -> Computation:
    parameter, _ = _parameter(fn, types)
    name = getattr(fn, "__qualname__", type(fn).__name__)
    for part in parameter.walk() if parameter is not None else ():
        if isinstance(part, FederatedType | FunctionType):
            raise TypeMismatch(
                f"{part} in the type of a leaf",
                where=name,
                mend="a leaf works on one member's value: tensors, structs and sequences",
            )
    _check_batch(name, stateful, batch, tolerance)
    leaf = tf.leaf(fn, parameter, len(types), name, stateful=stateful)
    if batch:
        with located(name):
            batch_form.vectorise(leaf, fn, len(types), tolerance, otherwise=batch == "auto")
    else:
        batch_form.forget(leaf)
    return GraphComputation(leaf, name, fn)


def _check_batch(name: str, stateful: bool, batch: object, tolerance: float | None) -> None:
    """Raise TypeMismatch for settings that do not go together."""
    what = mend = None
    if not isinstance(batch, bool) and batch != "auto":
        what, mend = (
            f"batch={batch!r}: a graph has no other form than TensorFlow's",
            'write batch=True, or batch="auto"',
        )
    elif tolerance is not None and not batch:
        what, mend = "tolerance= without batch=: nothing may differ", "write batch=True beside it, or remove it"
    elif stateful and batch:
        what, mend = "batch= of a leaf that draws by itself: members would draw other numbers", "remove batch="
    if what is not None:
        raise TypeMismatch(what, where=at_user_line(name), mend=mend)
