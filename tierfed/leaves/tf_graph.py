"""Graphs as they are shipped: pruned to what the outputs need, functions renamed, bytes for bytes the same.

    GraphDef of 9,000 nodes and 60 functions  ->  the 41 nodes and 3 functions between in_… and out_…

TensorFlow numbers the functions of a process (`__inference_map_fn_137`), so tracing twice gives two
texts of one graph.  Here they are called `f0`, `f1`, … in the order in which they are met, so that one
function has one digest.

The limit is on the whole graph: what makes one large is a constant that was captured, and model
weights are arguments.
"""

from __future__ import annotations

from typing import Any

from tierfed.errors import LeafError

MAX_BYTES = 4 << 20  # of a graph: a program, with all its leaves, has to fit into 16 MB


def shipped(graph: Any, outputs: int, where: str) -> Any:
    """Return the GraphDef of what `out_0`, … of a traced graph need.

    Raises LeafError, naming the largest constant, if it is larger than `MAX_BYTES`.
    """
    whole = graph.as_graph_def()
    needed = _needed(whole, [f"out_{i}" for i in range(outputs)])
    pruned = type(whole)(versions=whole.versions, node=[node for node in whole.node if node.name in needed])
    _rename(pruned, {f.signature.name: f for f in whole.library.function})
    size = pruned.ByteSize()
    if size > MAX_BYTES:
        most, name = max((node.ByteSize(), node.name) for node in nodes(pruned))
        raise LeafError(
            f"its graph takes {size} bytes, more than the {MAX_BYTES} that are shipped; {name!r} takes {most} of them",
            where=where,
            mend="pass large arrays as arguments, not as constants",
        )
    return pruned


def read(data: bytes, where: str) -> Any:
    """Return the GraphDef in `data`.  Raises LeafError for what is none, or is too large."""
    from tensorflow.core.framework.graph_pb2 import GraphDef

    if len(data) > MAX_BYTES:
        raise LeafError(
            f"its graph takes {len(data)} bytes, more than the {MAX_BYTES} that are read",
            where=where,
            mend="pass large arrays as arguments, not as constants",
        )
    graph = GraphDef()
    try:
        graph.ParseFromString(data)
    except Exception as problem:  # protobuf's, which is not ours to import
        raise LeafError(
            f"the {len(data)} bytes are no graph", where=where, mend="make the leaf with tierfed.tf_computation"
        ) from problem
    return graph


_FIELDS = {"string": "s", "int": "i", "float": "f", "bool": "b"}  # of an AttrValue; others are called as their kind


def check_attributes(graph: Any, where: str) -> None:
    """Raise LeafError unless each node has the attributes that its op asks for, each of its kind.

    TensorFlow looks at those of functions when it runs them, and ends the process if one is missing.
    """
    from tensorflow.python.framework import op_def_registry

    for node in nodes(graph):
        definition = op_def_registry.get(node.op)
        for asked in definition.attr if definition is not None else ():
            kind = "list" if asked.type.startswith("list(") else _FIELDS.get(asked.type, asked.type)
            given = node.attr[asked.name].WhichOneof("value") if asked.name in node.attr else None
            if given != kind and (given is not None or not asked.HasField("default_value")):
                raise LeafError(
                    f"{asked.name} of op {node.op} at {node.name!r} is {given or 'missing'}, and should be {kind}",
                    where=where,
                    mend="make the leaf with tierfed.tf_computation",
                )
        if node.op == "Const" and node.attr["value"].tensor.dtype != node.attr["dtype"].type:
            raise LeafError(
                f"the constant at {node.name!r} is not of its own dtype",
                where=where,
                mend="make the leaf with tierfed.tf_computation",
            )


def _needed(graph: Any, outputs: list[str]) -> set[str]:
    """Return the names of the nodes that `outputs` depend on, themselves included."""
    inputs = {node.name: [_node(name) for name in node.input] for node in graph.node}
    needed: set[str] = set()
    left = list(outputs)
    while left:
        name = left.pop()
        if name not in needed:
            needed.add(name)
            left += inputs[name]
    return needed


def _node(name: str) -> str:
    return name.removeprefix("^").partition(":")[0]


def nodes(graph: Any) -> list[Any]:
    """Return the nodes of a graph, and those of its functions."""
    return [*graph.node, *(node for f in graph.library.function for node in f.node_def)]


def _rename(graph: Any, functions: dict[str, Any]) -> None:
    """Put into `graph` the functions that it uses, under new names, and take off what binds nodes to devices."""
    names: dict[str, str] = {}
    copies: list[Any] = []

    def settle(nodes: Any) -> None:
        for node in nodes:
            node.device = ""
            node.ClearField("experimental_debug_info")
            for key in [key for key in node.attr if key in _LEFT_OUT]:
                del node.attr[key]
            if node.op in functions:
                node.op = new(node.op)
            for value in (node.attr[key] for key in sorted(node.attr)):
                if value.HasField("func"):
                    value.func.name = new(value.func.name)
                for one in value.list.func if value.HasField("list") else ():
                    one.name = new(one.name)

    def new(name: str) -> str:
        if name not in names:
            names[name] = f"f{len(names)}"
            copy = graph.library.function.add()
            copy.CopyFrom(functions[name])
            copy.signature.name = names[name]
            copies.append(copy)
        return names[name]

    settle(graph.node)
    done = 0
    while done < len(copies):
        settle(copies[done].node_def)
        for key in [key for key in copies[done].attr if key in _LEFT_OUT]:
            del copies[done].attr[key]
        done += 1


# names of functions, what is known of shapes, and the wish to stand beside a node, which may be pruned
_LEFT_OUT = frozenset(("_forward_function_name", "_backward_function_name", "_output_shapes", "_class"))
