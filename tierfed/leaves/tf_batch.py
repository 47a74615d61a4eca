"""The batch form of a graph: the same function, traced under `tf.vectorized_map` over members.

    x: float32[32,20], w: float32[20,10]        x @ w             of one member, 1,000 times
    x: float32[?,32,20], w: float32[?,20,10]    one BatchMatMul   of all

TensorFlow replaces each op by one that does the same for many rows.  For most that is the same op, or one that goes
over its rows, and gives the same bits; a sum over another axis adds in another order, and exp and its like round
otherwise where a register is full, so nobody knows beforehand: `batch_form.run` holds the rows against the leaf.

What it has no such op for (datasets, some random numbers, and variables, which all members would share) is refused.
Where running it raises, an assertion of one member say, members run one by one, and each has its own error.

Members go in groups, so that what is in memory is bounded.

Source: Agarwal 2019, "Static automatic batching in TensorFlow", ICML.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tierfed.errors import LeafError
from tierfed.ir.nodes import Compiled
from tierfed.leaves import tf, tf_graph, tf_trace, tf_values

_AT_ONCE = 16 << 20  # bytes of arguments and results of one group


class Apart(Exception):
    """Members are to be run one by one."""


class Vectorised:
    """The batch form of `leaf`, which `fn` of `arity` arguments was traced to; made when it is first needed."""

    def __init__(self, fn: Callable[..., Any], leaf: Compiled, arity: int) -> None:
        self._fn = fn
        self._leaf = leaf
        self._arity = arity
        self._inputs = tf_values.arrays_of(leaf.of.parameter)
        self._outputs = tf_values.arrays_of(leaf.of.result)
        every = (*self._inputs, *self._outputs)
        member = sum(t.dtype.itemsize * math.prod(n or 0 for n in t.shape or ()) for t in every)
        self._group = max(1, _AT_ONCE // max(1, member))

    def __call__(self, argument: Any, members: int) -> Any:
        """Return the stacked held result at a stacked held argument.

        Raises Apart where there is no batch form, or it raises.
        """
        t, module = self._leaf.of, tf.tensorflow()
        assert t.parameter is not None
        arrays = list(tf_values.flat(argument, t.parameter))
        try:
            call = self.make()
            done = [call(*(a[i : i + self._group] for a in arrays)) for i in range(0, members, self._group)]
        except (LeafError, ValueError, TypeError, module.errors.OpError) as problem:
            raise Apart from problem
        columns = (np.concatenate(parts) for parts in zip(*done, strict=True))
        return tf_values.held(columns, t.result, f"leaf {self._leaf.leaf.name}")

    def make(self) -> Callable[..., Any]:
        """Return the function from arrays to arrays; raises LeafError if TensorFlow has none."""
        call = self._made
        if isinstance(call, str):
            raise LeafError(
                f"TensorFlow cannot vectorise it: {call}",
                where=f"leaf {self._leaf.leaf.name}",
                mend='remove batch=, or write batch="auto", which runs such a leaf member by member',
            )
        return call

    @functools.cached_property
    def _made(self) -> Callable[..., Any] | str:
        """The function, or why there is none."""
        module, leaf = tf.tensorflow(), self._leaf
        if not self._inputs or not self._outputs:
            return "it takes no tensor" if not self._inputs else "it gives no tensor"
        if any(node.op == "VarHandleOp" for node in tf_graph.nodes(tf_graph.read(leaf.leaf.content, leaf.leaf.name))):
            return "members would share its variables"
        assert leaf.of.parameter is not None
        try:
            inputs, outputs = tf_trace.vectorised(module, self._fn, leaf.of.parameter, self._arity, leaf.leaf.name)
        except (ValueError, TypeError, KeyError, NotImplementedError, AttributeError, module.errors.OpError) as problem:
            return str(problem).partition("\n")[0].rstrip(". ")
        session = module.compat.v1.Session(graph=inputs[0].graph, config=tf.config(module))
        call: Callable[..., Any] = session.make_callable(outputs, inputs)
        return call
