"""TensorFlow leaves: every type goes in and comes out, and what a leaf may not do is refused by name."""

import concurrent.futures
import dataclasses
import gc
import importlib.util
import linecache
import os
import re
import subprocess
import sys
import typing
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import attrs
import numpy as np
import pytest

import tierfed
from tierfed.ir.nodes import Compiled
from tierfed.leaves import tf as tf_leaves
from tierfed.leaves import tf_graph
from tierfed.types.dtypes import NAMES
from tierfed.types.values import check, same

if importlib.util.find_spec("tensorflow") is None:
    pytest.skip("TensorFlow is the extra [tf]", allow_module_level=True)
tf = tf_leaves.tensorflow()


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch):
    """Leaves made by these tests are none of later tests' trees, which would import TensorFlow for them."""
    monkeypatch.setattr(tf_leaves, "_made", False)


class Pair(typing.NamedTuple):
    first: object
    second: object


@dataclasses.dataclass
class Reading:
    at: object
    value: object


@attrs.define
class Spot:
    x: object
    y: object


def identity(t):
    return tierfed.tf_computation(lambda x: x, t)


def an_array(name, shape):
    drawn = np.random.default_rng(len(name)).integers(0, 2, shape)
    if name == "str":
        return np.array([f"é{i}" for i in drawn.flat], object).reshape(shape)
    return drawn.astype(tierfed.TensorType(name).dtype)


@pytest.mark.parametrize("name", NAMES)
def test_every_dtype_goes_in_and_comes_out(name):
    """Scalars, arrays, unknown sizes and ranks, and sequences of all of them keep their bits."""
    t = tierfed.to_type(f"<{name},{name}[3],{name}[?,2],{name}[...],{name}*,<a={name}[2],b={name}[?,1]>*,{name}[...]*>")
    a = [an_array(name, shape) for shape in ((), (3,), (4, 2), (1, 2, 2))]
    rows = [{"a": an_array(name, (2,)), "b": an_array(name, (n, 1))} for n in (2, 0, 1)]
    ranked = [an_array(name, shape) for shape in ((), (2, 0), (3,), (1, 2))]
    value = check((a[0], a[1], a[2], a[3], list(a[1]), rows, ranked), t)
    out = identity(t)
    assert out.type_signature.result == t
    assert same(check(out(value), t), value, t)


@pytest.mark.parametrize(
    "value",
    [
        (1, 2.0),
        [1, [True]],
        {"b": 1, "a": {}},
        OrderedDict(z=1, y="text"),
        Pair(1, (2, 3)),
        Reading(1, {"deep": 2.0}),
        Spot(1, 2),
        tierfed.Struct((None, "named"), (1, 2.0)),
        (),
    ],
    ids=lambda v: type(v).__name__,
)
def test_containers_come_back_as_they_went_in(value):
    """The function gets the user's container, and what it returns is remembered by the result type."""
    seen = []
    from tierfed.types.values import infer

    def peek(x):
        seen.append(type(x))
        return x

    back = tierfed.tf_computation(peek, infer(value))(value)
    assert seen == [type(value)]
    assert back == value
    assert type(back) is type(value)


def test_a_dataset_has_the_structure_of_its_element():
    """Elements are dicts, tuples and NamedTuples, which tf.data knows, and a dataset returned tells its type."""
    specs = []

    def look(ds):
        specs.append(ds.element_spec)
        return ds.map(lambda row: Pair(row["x"] * 2, {"n": row["y"][0]}))

    fn = tierfed.tf_computation(look, "<x=float32[2],y=<int32,str>>*")
    assert specs[0] == {"x": tf.TensorSpec([2]), "y": (tf.TensorSpec([], tf.int32), tf.TensorSpec([], tf.string))}
    assert str(fn.type_signature) == "(<x=float32[2],y=<int32,str>>* -> <first=float32[2],second=<n=int32>>*)"
    (row,) = fn([{"x": [1, 2], "y": (7, "a")}])
    assert isinstance(row, Pair)
    assert row.first.tolist() == [2, 4] and row.second == {"n": 7}
    assert fn([]) == []


def test_datasets_larger_than_a_batch_and_batches_of_unequal_sizes():
    """2500 elements come back in order, also when the last batch of a `batch` is smaller."""
    values = np.arange(2500, dtype=np.int32)
    assert identity("int32*")(values) == values.tolist()
    batches = tierfed.tf_computation(lambda ds: ds.batch(1000), "int32*")
    assert str(batches.type_signature.result) == "int32[?]*"
    assert [len(b) for b in batches(values)] == [1000, 1000, 500]


def test_python_control_flow_over_tensors():
    """`for`, `if` and `while` over tensors and datasets become ops."""

    @tierfed.tf_computation("float32[?]*", np.float32)
    def capped(ds, limit):
        total = 0.0
        for batch in ds:
            if tf.reduce_sum(batch) > 0:
                total += tf.reduce_sum(batch)
        while total > limit:
            total /= 2
        return total

    assert capped([[1, 2], [-5], [5]], 3) == 2
    assert capped([], 3) == 0


def test_variables_start_anew_in_each_call():
    """A variable is initialised, from an argument too, and its changes are kept in order and forgotten."""

    @tierfed.tf_computation(np.float32)
    def counted(x):
        v, w = tf.Variable(x), tf.Variable([0, 0])
        for _ in tf.range(3):
            v.assign_add(1.0)
            w.scatter_update(tf.IndexedSlices([5], [1]))
        return v, w.read_value()

    for x in (1, 10, 1):
        v, w = counted(x)
        assert (v, w.tolist()) == (x + 3, [0, 5])


def test_variables_of_calls_at_one_time_are_apart():
    """Eight threads that call one leaf with variables each get their own result."""

    @tierfed.tf_computation(np.int64)
    def squared(n):
        total = tf.Variable(n * 0)
        for _ in tf.range(n):
            total.assign_add(n)
        return total

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(squared, range(60))) == [n * n for n in range(60)]


def test_tensors_compare_by_value():
    """`==` and `!=` are elementwise, on variables and in datasets' functions, and TensorFlow's own are left alone."""

    def compared(x, ds):
        v = tf.Variable(x)
        return x == 2, 2 != v, v == x, ds.filter(lambda e: e == 3), x == None  # noqa: E711

    fn = tierfed.tf_computation(compared, "int32[?]", "int32*")
    equal, unequal, same_, filtered, nothing = fn([1, 2], [3, 4, 3])
    assert (equal.tolist(), unequal.tolist(), same_.tolist()) == ([False, True], [True, False], [True, True])
    assert (filtered, nothing) == ([3, 3], False)
    assert (tf.constant([1, 2]) == 2).numpy().tolist() == [False, True]


def test_a_zygote_imports_tensorflow_for_a_process_that_made_a_leaf():
    """No leaf, no import; and what it is told to call is a function that it can find."""
    from tierfed.launch import user_code
    from tierfed.leaves import before_fork

    assert before_fork() == []
    identity("int32")
    (name,) = before_fork()
    assert user_code.resolve(name)() is tf


def test_a_seed_gives_the_same_draw_and_drawing_without_one_is_refused():
    """Stateless random ops and seeded shuffles are pure; others are refused, by name, unless stateful."""
    seeded = tierfed.tf_computation(lambda s: tf.random.stateless_normal([4], s), "int32[2]")
    assert seeded([1, 2]).tolist() == seeded([1, 2]).tolist() != seeded([1, 3]).tolist()
    shuffled = tierfed.tf_computation(lambda ds, s: ds.shuffle(50, seed=s).repeat(2), "int32*", np.int64)
    assert shuffled(range(50), 3) == shuffled(range(50), 3) != shuffled(range(50), 4)
    for name, draws in (
        ("RandomUniform", lambda: tf.random.uniform([4])),
        ("ShuffleDataset", lambda: tf.data.Dataset.range(3).shuffle(3)),
    ):
        with pytest.raises(tierfed.LeafError, match=f"op {name} at 'leaf/.*draws random numbers of its own") as error:
            tierfed.tf_computation(draws)
        assert "stateful=True" in error.value.mend
    drawn = tierfed.tf_computation(lambda: tf.random.uniform([4]), stateful=True)
    assert drawn.node.leaf.stateful
    assert drawn().tolist() != drawn().tolist()


REFUSED = {
    "ReadFile": lambda: tf.io.read_file("/etc/hostname"),
    "EagerPyFunc": lambda: tf.data.Dataset.range(2).map(lambda x: tf.py_function(lambda: 1, [], tf.int32)),
    "PyFunc": lambda: tf.numpy_function(lambda: 1, [], tf.int32),
    "TextLineDataset": lambda: tf.data.TextLineDataset("/etc/hostname"),
    "CacheDataset": lambda: tf.data.Dataset.range(2).cache("/tmp/tierfed-cache"),
    "WriteFile": lambda: [tf.io.write_file("/tmp/tierfed-file", "x"), tf.constant(1)][1],
    "PrintV2": lambda: [tf.print("x"), tf.constant(1)][1],
    "HashTableV2": lambda: tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a"], [1]), 0).size(),
}


@pytest.mark.parametrize("op", REFUSED)
def test_a_refused_op_is_named(op):
    """Files, Python, printing and tables are refused when the leaf is made, within functions too."""
    with pytest.raises(tierfed.LeafError, match=rf"op {op} at '.*'(, in function f\d+)?, is not allowed"):
        tierfed.tf_computation(REFUSED[op])


def made(fn, *types):
    return tierfed.tf_computation(fn, *types).node


def forged(node, change):
    """Return a leaf whose graph was changed on its way, with a digest that fits."""
    graph = tf_graph.read(node.leaf.content, "test")
    change(graph)
    content = graph.SerializeToString(deterministic=True)
    return Compiled(replace(node.leaf, content=content, digest=tf_leaves.digest(content, node.of)), node.of)


def _hide_in_function(graph):
    graph.library.function[0].node_def[0].op = "ReadFile"


def _hide_behind_a_name(graph):
    function = graph.library.function.add()
    function.signature.name = "ReadFile"


def _recur(graph):
    function = graph.library.function[0]
    node = function.node_def.add(name="again", op="StatefulPartitionedCall")
    node.attr["f"].func.name = function.signature.name


def _without_value(graph):
    constants = [n for f in graph.library.function for n in f.node_def if n.op == "Const"]
    del constants[0].attr["value"]


def _another_kind(graph):
    graph.node[-1].attr["T"].s = b"int64"


def _another_dtype(graph):
    next(n for n in graph.node if n.op == "Const").attr["dtype"].type = 1


FORGED = {
    "value of op Const at '.*' is missing, and should be tensor": _without_value,
    "T of op Identity at 'out_0' is s, and should be type": _another_kind,
    "the constant at '.*' is not of its own dtype": _another_dtype,
    "op ReadFile at '.*', in function f0, is not allowed": _hide_in_function,
    "op WriteFile at 'out_0', is not allowed": lambda g: setattr(g.node[-1], "op", "WriteFile"),
    "functions of the graph are not called f0, f1": _hide_behind_a_name,
    "the function f0 of the graph calls itself": _recur,
    "op Placeholder at 'in_7', is not allowed": lambda g: setattr(g.node[0], "name", "in_7"),
    "is bound to /job:worker": lambda g: setattr(g.node[0], "device", "/job:worker"),
    "calls f9, which is not there": lambda g: setattr(g.node.add(name="x", op="NoOp").attr["f"].func, "name", "f9"),
    "cannot load its graph": lambda g: g.node[-1].ClearField("input"),
}


@pytest.mark.parametrize("said", FORGED)
def test_a_graph_from_a_link_is_checked_again(said):
    """What was never made here, but has a digest that fits, is refused before it runs."""
    node = made(lambda x: tf.data.Dataset.range(3).reduce(x, lambda a, b: a + 2 * b), np.int64)
    assert [op.name for op in tf_graph.read(node.leaf.content, "test").node][0] == "in_0"
    with pytest.raises(tierfed.LeafError, match=said):
        tf_leaves.load(forged(node, FORGED[said]))


def test_bytes_that_are_no_graph_and_a_digest_that_does_not_fit():
    """Damaged and oversized content is told, and no program runs under another's digest."""
    node = made(lambda x: x + 1, np.int32)
    for content, said in (
        (b"\xff\xff\xff", "the 3 bytes are no graph"),
        (bytes(tf_graph.MAX_BYTES + 1), f"its graph takes {tf_graph.MAX_BYTES + 1} bytes"),
    ):
        leaf = replace(node.leaf, content=content, digest=tf_leaves.digest(content, node.of))
        with pytest.raises(tierfed.LeafError, match=said):
            tf_leaves.load(Compiled(leaf, node.of))
    with pytest.raises(tierfed.LeafError, match="not the one that its digest names"):
        tf_leaves.load(Compiled(replace(node.leaf, digest="0" * 64), node.of))


def test_a_result_that_is_not_of_its_type_is_refused():
    """A graph whose result is not what its type says is an error of the leaf."""
    node = made(lambda x: tf.cast(x, tf.int32), np.float32)
    other = tierfed.to_type("(float32 -> int64)")
    lying = Compiled(replace(node.leaf, digest=tf_leaves.digest(node.leaf.content, other)), other)
    with pytest.raises(tierfed.LeafError, match="expected int64, got int32"):
        tf_leaves.load(lying)(np.float32(1))


def test_what_has_no_type_is_refused_where_it_stands():
    """None, ragged tensors and resources are told by the path to them."""
    for fn, said in (
        (lambda: {"a": [None]}, r"the result of .*\.a\[0\]: NoneType has no type of ours"),
        (lambda: tf.ragged.constant([[1], []]), "RaggedTensor has no type of ours"),
        (lambda: tf.Variable(1).handle, "a tensor of resource has no type of ours"),
        (lambda: tf.data.Dataset.range(4).window(2), "Dataset has no type of ours"),
    ):
        with pytest.raises(tierfed.LeafError, match=said):
            tierfed.tf_computation(fn)
    with pytest.raises(tierfed.LeafError, match="whose elements hold no tensor"):
        identity("<>*")
    with pytest.raises(tierfed.TypeMismatch, match=r"\{int32\}@CLIENTS in the type of a leaf"):
        identity("{int32}@CLIENTS")


def test_captured_constants():
    """Small arrays are constants; eager tensors and large arrays are refused, with what to do."""
    assert tierfed.tf_computation(lambda x: x + np.float32([1, 2]), np.float32)(1).tolist() == [2, 3]
    large = np.zeros(tf_graph.MAX_BYTES // 8 + 1)
    with pytest.raises(tierfed.LeafError, match=r"its graph takes \d+ bytes.*; 'leaf/Const' takes") as error:
        tierfed.tf_computation(lambda: tf.constant(large))
    assert error.value.mend == "pass large arrays as arguments, not as constants"
    outside = tf.constant(1.0)
    with pytest.raises(tierfed.LeafError, match="a tensor, or a variable, that was made outside of it"):
        tierfed.tf_computation(lambda: outside + 1)


def test_errors_inside_are_the_leafs():
    """What TensorFlow raises at run time names the leaf, and brings the traceback."""

    @tierfed.tf_computation("int32[?]", "int32[?]")
    def add(a, b):
        return a + b

    with pytest.raises(tierfed.LeafError, match="add: raised InvalidArgumentError: Incompatible shapes") as error:
        add([1, 2], [1, 2, 3])
    assert "InvalidArgumentError" in error.value.remote_traceback
    endless = tierfed.tf_computation(lambda: tf.data.Dataset.range(3).repeat())
    with pytest.raises(tierfed.LeafError, match="is a dataset that never ends"):
        endless()
    bytes_ = tierfed.tf_computation(lambda: tf.constant(b"\xff"))
    with pytest.raises(tierfed.LeafError, match="a str of the result is no UTF-8"):
        bytes_()


def test_assertions_run_though_nothing_uses_them(caplog):
    """An assertion without a use stops the leaf, and TensorFlow does not log that it was forgotten."""

    def positive(x):
        tf.debugging.assert_positive(x)
        return x

    fn = tierfed.tf_computation(positive, np.int32)
    gc.collect()
    assert fn(4) == 4
    with pytest.raises(tierfed.LeafError, match="Condition x > 0 did not hold"):
        fn(-4)
    assert "never used" not in caplog.text


CONSTRUCTS = {
    "second derivatives": (lambda x: tf.hessians(x**3, x)[0], "float32", 2, 12),
    "a tf.function": (tf.function(lambda x: x * 2), "int32", 4, 8),
    "a tf.function within": (lambda x: tf.function(lambda y: y + 1)(x) * 2, "int32", 4, 10),
    "map_fn": (lambda x: tf.reduce_sum(tf.map_fn(lambda r: r * 2, x)), "float32[?]", [1, 2], 6),
    "vectorized_map": (lambda x: tf.reduce_sum(tf.vectorized_map(lambda r: r * 2, x)), "float32[?]", [1, 2], 6),
    "enumerate": (lambda ds: ds.enumerate().map(lambda i, x: x + tf.cast(i, tf.int32)), "int32*", [5, 5], [5, 6]),
    "zip": (lambda ds: tf.data.Dataset.zip(ds, ds.skip(1)).map(lambda a, b: a * b), "int32*", [2, 3, 4], [6, 12]),
    "parallel maps": (
        lambda ds: ds.map(lambda x: x + 1, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2),
        "int32*",
        [1, 2],
        [2, 3],
    ),
    "interleaved": (
        lambda ds: ds.interleave(lambda x: tf.data.Dataset.from_tensors(x).repeat(2), cycle_length=2),
        "int32*",
        [1, 2],
        [1, 2, 1, 2],
    ),
    "windows": (lambda ds: ds.window(2).flat_map(lambda w: w.batch(2)).map(tf.reduce_sum), "int32*", [1, 2, 3], [3, 3]),
    "an iterator": (lambda ds: tf.function(lambda: next(iter(ds)))(), "int32*", [7, 8], 7),
    "a generator with a seed": (
        lambda s: tf.reduce_all(tf.random.Generator.from_seed(s).normal([2]) != 0),
        "int64",
        3,
        True,
    ),
    "a recurrent network": (
        lambda x: tf.reduce_min(tf.keras.layers.LSTM(3, kernel_initializer="zeros", bias_initializer="zeros")(x)),
        "float32[?,?,4]",
        np.ones((1, 2, 4), np.float32),
        0,
    ),
}


@pytest.mark.parametrize("name", CONSTRUCTS)
def test_what_users_write(name):
    """Constructs of TensorFlow that make functions, loops and datasets of their own are on the list, and run."""
    fn, t, given, expected = CONSTRUCTS[name]
    assert tierfed.tf_computation(fn, t)(given) == expected


def test_layers_and_an_optimizer_of_keras():
    """Normalisation, dropout with a seed and Adam train within a call, and start anew in the next."""

    def trained(x, y):
        layers = tf.keras.layers
        ones = {"kernel_initializer": "ones"}
        net = tf.keras.Sequential(
            [layers.Input((4,)), layers.BatchNormalization(), layers.Dropout(0.2, seed=3), layers.Dense(3, **ones)]
        )
        adam = tf.keras.optimizers.Adam(0.1)
        adam.build(net.trainable_variables)
        losses = []
        for _ in range(3):
            with tf.GradientTape() as tape:
                scores = net(x, training=True)
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, scores))
            adam.apply_gradients(zip(tape.gradient(loss, net.trainable_variables), net.trainable_variables))
            losses.append(loss)
        return losses, net.trainable_variables

    fn = tierfed.tf_computation(trained, "float32[?,4]", "int32[?]")
    x, y = np.eye(4, dtype=np.float32), np.int32([0, 1, 2, 0])
    losses, weights = fn(x, y)
    again, _ = fn(x, y)
    assert losses == again
    assert losses[2] < losses[0]
    assert [w.shape for w in weights] == [(4,), (4,), (4, 3), (3,)]


def test_one_function_has_one_digest():
    """Tracing again gives the same bytes, whatever the process has traced in between; another function other bytes."""

    def fn(ds):
        return ds.map(lambda x: x * 2).reduce(0.0, lambda a, x: a + x)

    first = made(fn, "float32*")
    made(lambda ds: ds.map(lambda x: x), "float32*")
    assert made(fn, "float32*") == first
    assert made(lambda ds: ds.map(lambda x: x * 3).reduce(0.0, lambda a, x: a + x), "float32*").leaf != first.leaf


def test_only_what_the_result_needs_is_shipped():
    """Ops and functions that nothing depends on are not in the graph, nor is an argument that goes unused."""

    def wasteful(x, y):
        tf.linalg.inv([[x]])
        tf.while_loop(lambda i: i < y, lambda i: [i + 1], [0])
        return x

    node = made(wasteful, np.float32, np.int32)
    graph = tf_graph.read(node.leaf.content, "test")
    assert {n.op for n in graph.node} == {"Placeholder", "Identity"}
    assert not graph.library.function
    assert tierfed.tf_computation(wasteful, np.float32, np.int32)(2, 3) == 2


def test_one_leaf_within_another_and_within_a_program():
    """Called in another function it becomes part of that graph; in a program it is a leaf, also after a round trip."""
    half = tierfed.tf_computation(lambda x: x / 2, np.float32)
    quarter = tierfed.tf_computation(lambda x: half(half(x)), np.float32)
    assert quarter(8) == 2
    assert not any(isinstance(n, Compiled) and n is not quarter.node for n in quarter.node.walk())

    @tierfed.federated_computation(tierfed.FederatedType(np.float32, tierfed.CLIENTS))
    def mean(x):
        return tierfed.federated_mean(tierfed.federated_map(quarter, x))

    again = tierfed.deserialize(tierfed.serialize(mean))
    assert again == mean
    assert mean([8, 16]) == again([8, 16]) == 3


def test_graphs_are_loaded_once_a_process(monkeypatch):
    """A thousand members share one session."""
    sessions = []
    true = tf.compat.v1.Session
    monkeypatch.setattr(tf.compat.v1, "Session", lambda *a, **k: sessions.append(1) or true(*a, **k))
    fn = tierfed.tf_computation(lambda x: x * 7 + 1, np.int32)

    @tierfed.federated_computation(tierfed.FederatedType(np.int32, tierfed.CLIENTS))
    def total(x):
        return tierfed.federated_sum(tierfed.federated_map(fn, x))

    assert total(range(1000)) == total(range(1000)) == 7 * 499500 + 1000
    assert len(sessions) == 1


UNALIGNED = """
import numpy as np, tierfed
from tierfed.leaves.tf import tensorflow
tf = tensorflow()
X, Y = "float32[?,7]", "float32[7]"
double = tierfed.tf_computation(lambda x, y: (x * 2, tf.linalg.matvec(x, y), tf.reduce_max(x)), X, Y)
for offset in range(4):
    memory = bytearray(4 * (7 * 33 + 7) + offset)
    x = np.frombuffer(memory, np.uint8)[offset:].view(np.float32)
    x[:] = np.arange(len(x))
    assert offset % 4 == 0 or not x.flags.aligned
    a, b = x[7:].reshape(33, 7), x[:7]
    doubled, product, largest = double(a, b)
    assert (doubled == np.array(a) * 2).all() and largest == a.max()
    assert np.allclose(product, np.array(a) @ np.array(b))
print("alive")
"""


@pytest.mark.slow
def test_an_unaligned_buffer_does_not_abort_the_process():
    """Arrays at any address, down to odd ones, are read right by vectorised kernels."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", UNALIGNED], env=env, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr


def test_without_tensorflow_the_mend_names_the_extra():
    """Where TensorFlow is missing, the error says what to install, and all else works."""
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "import tierfed, numpy as np\n"
        "try: tierfed.tf_computation(lambda x: x, np.int32)\n"
        "except tierfed.LeafError as error: print(error)\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)
    assert "TensorFlow cannot be imported here" in done.stdout, done.stderr
    assert "to mend: pip install 'tierfed[tf]'" in done.stdout


def test_the_page():
    """The listing of docs/leaves-tf.md runs and has the type that stands there, and so does its error."""
    page = (Path(__file__).parents[2] / "docs" / "leaves-tf.md").read_text()
    listing = re.search(r"```python\n(.*?)```", page, re.DOTALL).group(1)
    names = {"tierfed": tierfed, "tf": tf, "np": np}
    code = compile(listing, "leaves-tf.md", "exec")
    linecache.cache["leaves-tf.md"] = (len(listing), None, listing.splitlines(True), "leaves-tf.md")  # for AutoGraph
    exec(code, names)
    fn = names["local_update"]
    assert f"# {fn.type_signature.result}\n" in listing
    model = {"w": np.zeros((4, 3), np.float32), "b": np.zeros(3, np.float32)}
    new, examples = fn(model, [{"x": [1, 0, 0, 0], "y": 2}] * 40, 1)
    assert examples == 40
    assert new["w"][0].argmax() == 2

    def count(paths):
        return paths.map(tf.io.read_file).reduce(0, lambda n, _: n + 1)

    with pytest.raises(tierfed.LeafError) as error:
        tierfed.tf_computation("str*")(count)
    told = str(error.value).replace("test_the_page.<locals>.", "")
    assert f"```\n{told}\n```" in page
