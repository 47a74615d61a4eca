"""Trace: a Python function on TensorFlow values becomes a leaf.

    tf_computation(lambda batch: tf.reduce_mean(batch), "float32[?]")     comp#<lambda> : (float32[?] -> float32)

The function runs once, in a plain `tf.Graph`, on placeholders: structs in the containers that their
types remember, sequences as `tf.data.Dataset`.  AutoGraph turns its `if`, `for` and `while` over
tensors into ops, and its side effects keep their order, as in a `tf.function`.  What it returns says
what the result type is.

A dataset that is returned leaves the graph as columns: its elements are put together in batches of
1024 (a list of single elements would be copied whole for each of them), those of unknown sizes as
ragged batches.

Variables are created, initialised, used and forgotten within one call: their initialisers are ops of
the graph, which precede what reads them.

In a plain graph TensorFlow takes `a == b` for `a is b`, as its first version did: `labels == guesses`
would be False, in silence.  So while a graph is traced here, tensors and variables compare by value,
but for TensorFlow's own code, which then expects them not to.

Tracing starts threads, so a process that did must not fork (see `launch.zygote`).
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tierfed.errors import LeafError
from tierfed.leaves.tf_values import arrays_of, stacked
from tierfed.types import SequenceType, StructType, TensorType, Type
from tierfed.types.containers import Struct, contained, fields_of, names_of
from tierfed.types.dtypes import NAMES

_BATCH = 1024  # elements of a returned dataset that are put together at a time

_tracing: contextvars.ContextVar[bool] = contextvars.ContextVar("tracing a graph", default=False)


def tracing() -> bool:
    """Return whether a graph is being traced here."""
    return _tracing.get()


def traced(tf: Any, fn: Callable[..., Any], parameter: Type | None, arity: int, where: str) -> tuple[Any, int, Type]:
    """Return the graph of `fn`, how many outputs it has, and its result type.

    Inputs are placeholders `in_0`, …, outputs are called `out_0`, ….  Raises LeafError for what a leaf
    cannot return or capture, and what `fn` raises.
    """
    graph = tf.Graph()
    with graph.as_default():
        arrays = arrays_of(parameter)
        inputs = [tf.compat.v1.placeholder(_dtype(tf, t), t.shape, f"in_{i}") for i, t in enumerate(arrays)]
        t, returned = _body(tf, fn, parameter, arity, where, inputs)
        for i, tensor in enumerate(returned):
            tf.identity(tensor, f"out_{i}")
    return graph, len(returned), t


def vectorised(tf: Any, fn: Callable[..., Any], parameter: Type, arity: int, where: str) -> tuple[list[Any], list[Any]]:
    """Return the inputs and outputs of a graph of `fn` for many members, each with an axis for them in front.

    Raises as `traced` does, and ValueError and its like for what has no such graph.
    """
    with tf.Graph().as_default():
        inputs = [tf.compat.v1.placeholder(_dtype(tf, t), [None, *(t.shape or ())]) for t in arrays_of(parameter)]
        outputs = tf.vectorized_map(
            lambda given: _body(tf, fn, parameter, arity, where, given)[1], inputs, fallback_to_while_loop=False
        )
        return inputs, [tf.identity(tensor) for tensor in outputs]


def _body(
    tf: Any, fn: Callable[..., Any], parameter: Type | None, arity: int, where: str, arrays: list[Any]
) -> tuple[Type, list[Any]]:
    """Return the type of what `fn` returns at an argument made of `arrays`, and the tensors that it is made of."""
    from tensorflow.python.framework.auto_control_deps import AutomaticControlDependencies

    _compare_by_value(tf)
    _trust_effects(tf)
    inputs = iter(arrays)
    with _marked(), AutomaticControlDependencies() as effects, tf.name_scope("leaf"):
        given: tuple[Any, ...] = ()
        if parameter is not None:
            many = arity != 1 and isinstance(parameter, StructType)
            given = tuple(_given(tf, part, inputs) for part in (parameter.parts() if many else (parameter,)))
        result = _called(tf, fn, given, where)
        t, tensors = _taken(tf, result, f"the result of {where}")
        return t, [effects.mark_as_return(tensor) for tensor in tensors]


@contextlib.contextmanager
def _marked() -> Iterator[None]:
    token = _tracing.set(True)
    try:
        yield
    finally:
        _tracing.reset(token)


@functools.cache
def _compare_by_value(tf: Any) -> None:
    """Let tensors and variables of a graph that is traced here compare as they do in a tf.function."""
    for cls in (tf.Tensor, tf.Variable):
        for name, op in (("__eq__", tf.equal), ("__ne__", tf.not_equal)):
            setattr(cls, name, _comparing(tf, getattr(cls, name), op))


def _comparing(tf: Any, otherwise: Callable[[Any, Any], Any], op: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    @functools.wraps(otherwise)
    def compare(self: Any, other: Any) -> Any:
        by_value = other is not None and tracing() and not tf.executing_eagerly()
        if not by_value or str(sys._getframe(1).f_globals.get("__name__")).startswith("tensorflow."):
            return otherwise(self, other)
        return op(self, other)

    return compare


@functools.cache
def _trust_effects(tf: Any) -> None:
    """Drop the log that an op without a use, such as an assertion, will not run: here what has effects runs."""
    never = "Object was never used (type <class 'tensorflow.python.framework.ops.Operation'>)"
    tf.get_logger().addFilter(lambda record: never not in record.getMessage())


def _called(tf: Any, fn: Callable[..., Any], given: tuple[Any, ...], where: str) -> Any:
    """Return the result of `fn`, with its control flow over tensors as ops."""
    fn = getattr(fn, "python_function", fn)  # a tf.function would leave the graph that we are in
    internal = tf.__internal__.autograph
    try:
        return internal.tf_convert(fn, internal.control_status_ctx())(*given)
    except RuntimeError as problem:
        if "EagerTensor" not in str(problem):
            raise
        raise LeafError(
            "it uses a tensor, or a variable, that was made outside of it",
            where=f"leaf {where}",
            mend="make it inside, or pass it as an argument; a numpy array may be used as a constant",
        ) from problem


def _dtype(tf: Any, t: TensorType) -> Any:
    return tf.string if t.name == "str" else tf.dtypes.as_dtype(t.name)


def _given(tf: Any, t: Type, inputs: Iterator[Any]) -> Any:
    """Return the argument of `t` that is made of the next inputs."""
    match t:
        case StructType():
            return contained(t.names, [_given(tf, part, inputs) for part in t.parts()], t.container)
        case SequenceType():
            return _dataset(tf, t.element, inputs)
    return next(inputs)


def _dataset(tf: Any, element: Type, inputs: Iterator[Any]) -> Any:
    """Return a dataset of `element`s from their columns (see `tf_values`)."""
    if not arrays_of(element):
        raise LeafError(
            f"a dataset of {element}, whose elements hold no tensor",
            where="tf_computation",
            mend="pass how many there are, as an int64",
        )
    columns: list[Any] = []  # what differs from row to row
    parts: list[Callable[[Iterator[Any]], Any]] = []  # each tensor of an element, from the rest of a row
    for t in arrays_of(element):
        many = [next(inputs) for _ in stacked(t)]
        if t.is_static:
            columns.append(many[0])
            parts.append(next)
            continue
        if t.shape is None:
            sizes = tf.math.unsorted_segment_prod(
                many[1], tf.repeat(tf.range(tf.size(many[2])), many[2]), tf.size(many[2])
            )
            ranks = tf.cumsum(many[2])
            columns += [tf.cumsum(sizes), sizes, ranks, many[2]]
        else:
            sizes = tf.reduce_prod(many[1], axis=1)
            columns += [tf.cumsum(sizes), sizes, many[1]]
        parts.append(_cut(tf, t, many))

    def row(*values: Any) -> Any:
        rest = iter(values)
        return _element(element, iter([part(rest) for part in parts]))

    return tf.data.Dataset.from_tensor_slices(tuple(columns)).map(_as_is(tf, row))


def _as_is(tf: Any, fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return `fn`, to be left alone by AutoGraph."""
    left: Callable[..., Any] = tf.autograph.experimental.do_not_convert(fn)
    return left


def _cut(tf: Any, t: TensorType, many: list[Any]) -> Callable[[Iterator[Any]], Any]:
    """Return how a tensor of unknown sizes is cut out of its column, given the rest of its row."""

    def cut(rest: Iterator[Any]) -> Any:
        end, size = next(rest), next(rest)
        shape = next(rest)
        if t.shape is None:
            shape = many[1][shape - next(rest) : shape]
        tensor = tf.reshape(many[0][end - size : end], shape)
        return tensor if t.shape is None else tf.ensure_shape(tensor, t.shape)

    return cut


def _element(t: Type, tensors: Iterator[Any]) -> Any:
    """Return an element of a dataset: only what `tf.data` takes for a structure is one there."""
    if not isinstance(t, StructType):
        return next(tensors)
    parts = [_element(part, tensors) for part in t.parts()]
    if t.names and all(n is not None for n in t.names):
        known = t.container is OrderedDict or (isinstance(t.container, type) and issubclass(t.container, tuple))
        return contained(t.names, parts, t.container if known else dict)
    return tuple(parts)


def _taken(tf: Any, value: Any, where: str) -> tuple[Type, list[Any]]:
    """Return the type of what a function returned, and the tensors that it is made of."""
    if isinstance(value, tf.data.Dataset):
        return _columns(tf, value, where)
    parts = _parts(value)
    if parts is not None:
        names, values, container = parts
        taken = [
            _taken(tf, v, f"{where}[{i}]" if n is None else f"{where}.{n}")
            for i, (n, v) in enumerate(zip(names, values, strict=True))
        ]
        t = StructType([(n, e) for n, (e, _) in zip(names, taken, strict=True)], container)
        return t, [tensor for _, tensors in taken for tensor in tensors]
    try:
        if value is None or isinstance(value, tf.RaggedTensor | tf.SparseTensor | tf.TensorArray):
            raise TypeError
        tensor = tf.convert_to_tensor(value)
    except (TypeError, ValueError):
        raise LeafError(
            f"{type(value).__name__} has no type of ours",
            where=where,
            mend="return tensors, datasets, and containers of them; a ragged or sparse tensor by .to_tensor()",
        ) from None
    return _tensor_type(tensor.dtype.name, tensor.shape, where), [tensor]


def _parts(value: Any) -> tuple[tuple[str | None, ...], list[Any], Any] | None:
    """Return the names, values and class of a container; None of what is none."""
    if isinstance(value, Mapping):
        return tuple(value), list(value.values()), OrderedDict if isinstance(value, OrderedDict) else dict
    if isinstance(value, Struct):
        return names_of(value), list(value), None
    if (fields := fields_of(type(value))) is not None:
        return fields, [getattr(value, f) for f in fields], type(value)
    if isinstance(value, tuple | list):
        return (None,) * len(value), list(value), tuple if isinstance(value, tuple) else list
    return None


def _tensor_type(dtype: str, shape: Any, where: str) -> TensorType:
    name = "str" if dtype == "string" else dtype
    if name not in NAMES:
        raise LeafError(
            f"a tensor of {dtype} has no type of ours", where=where, mend="convert it with tf.cast, or leave it out"
        )
    return TensorType(name, None if shape.rank is None else shape.as_list())


def _columns(tf: Any, dataset: Any, where: str) -> tuple[Type, list[Any]]:
    """Return the sequence type of a dataset, and its columns (see `tf_values`) as tensors."""
    element = _spec_type(tf, dataset.element_spec, f"an element of {where}")
    types = arrays_of(element)
    if not types:
        raise LeafError("its elements hold no tensor", where=where, mend="return how many there are, as an int64")
    endless = f"{where} is a dataset that never ends"
    ends = tf.debugging.assert_none_equal(
        dataset.cardinality(), tf.constant(tf.data.INFINITE_CARDINALITY, tf.int64), message=endless
    )
    flat_types = [array for t in types for array in stacked(t)]

    def row(*values: Any) -> tuple[Any, ...]:
        columns: list[Any] = []
        for value, t in zip(_leaves(values[0] if len(values) == 1 else values), types, strict=True):
            if t.is_static:
                columns.append(value)
                continue
            columns += [tf.reshape(value, [-1]), tf.shape(value, tf.int64)]
            if t.shape is None:
                columns.append(tf.cast(tf.rank(value), tf.int64))
        return tuple(columns)

    batches = dataset.map(_as_is(tf, row)).ragged_batch(_BATCH)
    empty = [
        tf.raw_ops.EmptyTensorList(
            element_shape=tf.constant([-1, *t.shape[1:]], tf.int64), max_num_elements=-1, element_dtype=_dtype(tf, t)
        )
        for t in flat_types
        if t.shape is not None
    ]

    def push(lists: tuple[Any, ...], batch: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(
            tf.raw_ops.TensorListPushBack(
                input_handle=one, tensor=column.flat_values if isinstance(column, tf.RaggedTensor) else column
            )
            for one, column in zip(lists, batch, strict=True)
        )

    with tf.control_dependencies([ends] if ends is not None else []):
        lists = batches.reduce(tuple(empty), _as_is(tf, push))
    tensors = [
        tf.raw_ops.TensorListConcatV2(
            input_handle=one,
            element_shape=tf.constant([-1, *t.shape[1:]], tf.int64),
            leading_dims=tf.zeros([0], tf.int64),
            element_dtype=_dtype(tf, t),
        ).tensor
        for one, t in zip(lists, flat_types, strict=True)
        if t.shape is not None
    ]
    return SequenceType(element), tensors


def _spec_type(tf: Any, spec: Any, where: str) -> Type:
    parts = _parts(spec) if not isinstance(spec, tf.TypeSpec) else None
    if parts is not None:
        names, specs, container = parts
        return StructType([(n, _spec_type(tf, s, where)) for n, s in zip(names, specs, strict=True)], container)
    if not isinstance(spec, tf.TensorSpec):
        raise LeafError(
            f"{type(spec).__name__.removesuffix('Spec')} has no type of ours",
            where=where,
            mend="let the dataset's elements be tensors and containers of them",
        )
    return _tensor_type(spec.dtype.name, spec.shape, where)


def _leaves(value: Any) -> Iterator[Any]:
    parts = _parts(value)
    if parts is None:
        yield value
    else:
        for part in parts[1]:
            yield from _leaves(part)
