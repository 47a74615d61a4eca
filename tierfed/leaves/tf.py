"""TensorFlow leaves: a graph, shipped with the program.

    comp#local_update      a GraphDef, from in_0, in_1, … to out_0, …; the digest covers it and the types

Every node loads a graph once a process, after its fork, into a session of its own, with as many
threads as leaves have (`TIERFED_LEAF_THREADS`, one unless told): so all of them, and the reference,
compute the same bits, for kernels split their work, and so their sums, by the number of threads.  A
graph is checked against the list of ops (`tf_ops`) when it is made and again when it is loaded, for
then it came over a link.

Arrays go in as they are.  TensorFlow reads memory that is aligned to 64 bytes where it stands, and
copies any other.

Without TensorFlow all else works: it is imported when the first leaf is made or run.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import os
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from tierfed.errors import LeafError, SettingError, TierfedError
from tierfed.ir.nodes import Compiled, Leaf
from tierfed.leaves import tf_graph, tf_ops, tf_trace, tf_values
from tierfed.types import FunctionType, Type
from tierfed.types.values import check

KIND = "tf"
_ERRORS = "2"  # a level of TF_CPP_MIN_LOG_LEVEL
_LOADED = 64  # graphs that a process keeps

_made = False
_loading = threading.Lock()


@functools.cache
def tensorflow() -> Any:
    """Return TensorFlow, which says errors alone unless TF_CPP_MIN_LOG_LEVEL says otherwise.

    The zygote calls this for a program with such leaves: importing is all that may happen before a fork.
    """
    # the pool that all kernels of a process share is as large as whoever makes it first wants, tracing among them
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(_threads()))
    quiet = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", _ERRORS) == _ERRORS and "tensorflow" not in sys.modules
    try:
        with _without_greetings() if quiet else contextlib.nullcontext():
            return importlib.import_module("tensorflow")
    except ImportError as missing:
        raise LeafError(
            f"TensorFlow cannot be imported here: {missing}",
            where="tf_computation",
            mend="pip install 'tierfed[tf]'",
        ) from missing


@contextlib.contextmanager
def _without_greetings() -> Iterator[None]:
    """Leave out what TensorFlow's C++ writes to stderr before it has read its log level; all else is passed on."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as heard:
        os.dup2(heard.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            heard.seek(0)
            for line in heard:
                if b"absl::InitializeLog" not in line and b" port.cc:" not in line:
                    os.write(2, line)


def before_fork() -> list[str]:
    """Return what a zygote is to import because of the leaves made in this process."""
    return [f"{__name__}:{tensorflow.__name__}"] if _made else []


def leaf(fn: Callable[..., Any], parameter: Type | None, arity: int, name: str, *, stateful: bool) -> Compiled:
    """Return `fn` as a leaf that takes a value of `parameter` as `arity` arguments.

    Raises LeafError for what a leaf cannot do or return, and whatever `fn` raises.
    """
    global _made
    tf = tensorflow()
    where = f"leaf {name}"
    graph, outputs, result = tf_trace.traced(tf, fn, parameter, arity, name)
    shipped = tf_graph.shipped(graph, outputs, where)
    tf_ops.check(shipped, _inputs(parameter), where, stateful=stateful)
    t = FunctionType(parameter, result)
    content = shipped.SerializeToString(deterministic=True)
    _made = True
    return Compiled(Leaf(KIND, name, digest(content, t), content, stateful), t)


def digest(content: bytes, t: FunctionType) -> str:
    """Return the SHA-256, in hex, of a graph and its type."""
    return hashlib.sha256(b"%d:%b:%b" % (len(content), content, str(t).encode())).hexdigest()


def deployable(leaf: Compiled) -> None:
    """Do nothing: a graph brings along all that it needs."""


def load(leaf: Compiled) -> Callable[..., Any]:
    """Return `leaf` as a function of one held value, or of none.

    Raises LeafError for a graph that is not the one meant, or has an op that is not allowed.
    """
    with _loading:
        return _loaded(leaf.leaf, leaf.of)


@functools.lru_cache(maxsize=_LOADED)
def _loaded(leaf: Leaf, t: FunctionType) -> Callable[..., Any]:
    where = f"leaf {leaf.name}"
    if digest(leaf.content, t) != leaf.digest:
        raise LeafError(
            "its graph is not the one that its digest names",
            where=where,
            mend="send the program as tierfed.serialize wrote it",
        )
    tf = tensorflow()
    definition = tf_graph.read(leaf.content, where)
    inputs = _inputs(t.parameter)
    tf_ops.check(definition, inputs, where, stateful=leaf.stateful)
    tf_graph.check_attributes(definition, where)
    graph = tf.Graph()
    try:
        with graph.as_default():
            tf.graph_util.import_graph_def(definition, name="")
        present = {op.name for op in graph.get_operations()}
        fed = [i for i, name in enumerate(inputs) if name in present]  # an argument may go unused
        outputs = [f"out_{i}:0" for i in range(len(tf_values.arrays_of(t.result)))]
        session = tf.compat.v1.Session(graph=graph, config=config(tf))
        call = session.make_callable(outputs, [f"{inputs[i]}:0" for i in fed]) if outputs else _nothing
    except (TypeError, ValueError, KeyError, RuntimeError, tf.errors.OpError) as problem:
        raise LeafError(
            f"TensorFlow {tf.__version__} cannot load its graph: {problem}",
            where=where,
            mend="use one version of TensorFlow for the driver and the nodes",
        ) from problem
    # variables belong to the session, so two calls at a time would share them
    alone = threading.Lock() if any(op.type == "VarHandleOp" for op in graph.get_operations()) else None
    return functools.partial(_run, tf, call, fed, alone, leaf.name, t)


def _run(
    tf: Any,
    call: Callable[..., Any],
    fed: list[int],
    alone: threading.Lock | None,
    name: str,
    t: FunctionType,
    *argument: Any,
) -> Any:
    """Run a graph on a held value and return its checked result, held."""
    arrays = [] if t.parameter is None else list(tf_values.flat(argument[0], t.parameter))
    given = [arrays[i] for i in fed]
    try:
        if alone is None:
            results = call(*given)
        else:
            with alone:
                results = call(*given)
    except (ValueError, TypeError, tf.errors.OpError) as problem:
        raise LeafError(
            f"raised {type(problem).__name__}: {_said(problem)}",
            where=f"leaf {name}",
            remote_traceback=traceback.format_exc(),
        ) from problem
    try:
        return check(tf_values.held(iter(results), t.result, f"leaf {name}"), t.result, f"the result of {name}")
    except LeafError:
        raise
    except TierfedError as bad:
        raise LeafError(bad.what, where=bad.where, mend=bad.mend) from bad


def _said(problem: Exception) -> str:
    """Return what TensorFlow says, without its headings."""
    lines = str(getattr(problem, "message", problem)).splitlines()
    headings = ("Graph execution error:", "Detected at node", "Node: ")
    return " ".join(line.strip() for line in lines if line.strip() and not line.startswith(headings))


def _nothing(*given: Any) -> list[Any]:
    return []


def _inputs(parameter: Type | None) -> list[str]:
    return [f"in_{i}" for i in range(len(tf_values.arrays_of(parameter)))]


def _threads() -> int:
    """Return how many threads leaves have."""
    text = os.environ.get("TIERFED_LEAF_THREADS") or "1"
    if not text.isdecimal() or not 1 <= int(text) <= 9999:
        raise SettingError(f"{text!r} is no number of threads", where="TIERFED_LEAF_THREADS", mend="write 1 or more")
    return int(text)


def config(tf: Any) -> Any:
    """Return the settings of a session: as many threads as leaves have, on the CPU."""
    threads = _threads()
    return tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=threads,
        inter_op_parallelism_threads=threads,
        device_count={"GPU": 0},
    )
