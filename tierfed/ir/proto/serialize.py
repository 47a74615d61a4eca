"""Programs and types as bytes.

    node_from_bytes(node_to_bytes(program)) == program

The form is `computation.proto`, deterministic: equal programs are equal bytes.  Containers
are not in it.  What federated-language writes is read too, as far as we know what it says
(no TensorFlow graphs); intrinsics go by the names of `uris`.

Programs are trees of any depth up to MAX_DEPTH, while protobuf reads messages nested 100
deep at most.  A subtree that would lie deeper is written into the outermost computation's
`detached` and named by its index there.  A program that fits, which is nearly every one,
has no such part.

What is read is checked here for its form alone: every node has the type that its parts give
it.  Names that are bound, and what intrinsics take, are `ir.check`'s.
"""

from __future__ import annotations

from tierfed.errors import TypeMismatch
from tierfed.ir.nodes import (
    Block,
    Call,
    Compiled,
    Data,
    Intrinsic,
    Lambda,
    Leaf,
    Literal,
    Node,
    PlacementLiteral,
    Reference,
    Selection,
    Struct,
)
from tierfed.ir.proto import computation_pb2 as pb
from tierfed.ir.proto.array_form import read_array, write_array
from tierfed.ir.proto.data_form import packed_uri, unpacked_uri
from tierfed.ir.proto.limits import (
    LEVELS,
    MAX_BYTES,
    MAX_DEPTH,
    MAX_NODES,
    WRAPPED_LEVELS,
    parsed,
    written,
)
from tierfed.ir.proto.type_form import TypeReader, type_message, write_placement
from tierfed.ir.proto.uris import native_uri, public_uri
from tierfed.types import FunctionType, Type


def type_to_bytes(t: Type) -> bytes:
    """Return `t` as bytes."""
    return written(type_message(t), "type")


def type_from_bytes(data: bytes) -> Type:
    """Return the type in `data`; raises ProtocolError or TypeMismatch if there is none."""
    reader = TypeReader("type")
    t = reader.type(parsed(pb.Type, data, "type"))
    reader.declare()
    return t


def node_to_bytes(node: Node, limit: int = MAX_BYTES) -> bytes:
    """Return `node` as bytes.

    Raises TypeMismatch if it is nested deeper than MAX_DEPTH, ProtocolError beyond `limit` bytes.
    """
    message = pb.Computation()
    write_node(node, message)
    return written(message, "program", limit)


def node_to_public_bytes(node: Node, limit: int = MAX_BYTES) -> bytes:
    """Return `node`, in `public` intrinsics alone, as bytes that federated-language reads.

    Raises TypeMismatch if it is nested deeper than protobuf reads, ProtocolError beyond `limit` bytes.
    """
    message = pb.Computation()
    write_node(node, message, public=True)
    return written(message, "program", limit)


def node_from_bytes(data: bytes, limit: int = MAX_BYTES) -> Node:
    """Return the program in `data`; raises ProtocolError or TypeMismatch if there is none."""
    reader = TypeReader("program")
    node = read_node(parsed(pb.Computation, data, "program", limit), reader)
    reader.declare()
    return node


def write_node(node: Node, into: pb.Computation, public: bool = False) -> None:
    """Write `node` into an outermost computation; raises TypeMismatch for one that has no form.

    `public`: without fields of our own.
    """
    try:
        _Writer(node, into, public).write(node, into, 1)
    except UnicodeEncodeError as bad:
        raise TypeMismatch(
            f"{bad.object!r:.80} is no Unicode text", where="serialize", mend="use names without surrogates"
        ) from None


def read_node(message: pb.Computation, types: TypeReader) -> Node:
    """Return the program of an outermost computation."""
    return _Reader(types).program(message)


class _Writer:
    """Writes one program."""

    def __init__(self, program: Node, into: pb.Computation, public: bool) -> None:
        self.root = into
        self.public = public
        self.types: dict[int, pb.Type] = {}  # by id: the program keeps its types alive
        deepest = 0
        stack = [(program, 1)]
        while stack:
            node, depth = stack.pop()
            if depth > MAX_DEPTH:
                raise TypeMismatch(
                    f"a program nested deeper than {MAX_DEPTH}", where="serialize", mend="name parts of it"
                )
            if id(node.type) not in self.types:
                self.types[id(node.type)] = message = type_message(node.type)
                deepest = max(deepest, _levels(message))
            stack.extend((child, depth + 1) for child in node.children())
        self.deepest = LEVELS - WRAPPED_LEVELS - deepest  # level of the lowest computation that holds its type

    def write(self, node: Node, into: pb.Computation, level: int) -> None:
        """Write `node` into a computation that lies at `level`."""
        if level > self.deepest:
            if self.public:
                raise TypeMismatch(
                    "a program nested deeper than protobuf reads", where="serialize", mend="name parts of it"
                )
            part = pb.Computation()
            self.write(node, part, 2)
            into.detached_at = len(self.root.detached)
            self.root.detached.append(part)
            return
        into.type.CopyFrom(self.types[id(node.type)])
        match node:
            case Reference(name=name):
                into.reference.name = name
            case Lambda(parameter=parameter, body=body):
                if parameter is not None:
                    into.abstraction.parameter_name = parameter
                self.write(body, into.abstraction.result, level + 2)
            case Call(function=Intrinsic(uri="generic_zero")) if self.public:  # a value there
                into.intrinsic.uri = "generic_zero"
            case Call(function=function, argument=argument):
                self.write(function, into.call.function, level + 2)
                if argument is not None:
                    self.write(argument, into.call.argument, level + 2)
            case Block(bindings=bindings, result=result):
                for name, value in bindings:
                    local = into.block.local.add()
                    local.name = name
                    self.write(value, local.value, level + 3)
                self.write(result, into.block.result, level + 2)
            case Struct(elements=elements):
                into.struct.SetInParent()
                for key, value in elements:
                    element = into.struct.element.add()
                    if key is not None:
                        element.name = key
                    self.write(value, element.value, level + 3)
            case Selection(source=source, index=index):
                self.write(source, into.selection.source, level + 2)
                into.selection.index = index
            case Intrinsic(uri=uri, of=of):
                into.intrinsic.uri = public_uri(uri, of)
            case PlacementLiteral(placement=placement):
                write_placement(placement, into.placement)
            case Data(uri=uri) if self.public:
                into.data.content = packed_uri(uri)
            case Data(uri=uri):
                into.data.uri = uri
            case Literal():
                write_array(node, into.literal.value, self.public)
            case Compiled(leaf=leaf):
                into.leaf.kind, into.leaf.name, into.leaf.digest = leaf.kind, leaf.name, leaf.digest
                into.leaf.content = leaf.content
                into.leaf.stateful = leaf.stateful
                into.leaf.SetInParent()
            case _:
                raise TypeMismatch(f"{type(node).__name__} has no serialized form", where="serialize")


def _levels(t: pb.Type) -> int:
    """Return how many levels of messages a type takes."""
    kind = t.WhichOneof("type")
    if kind == "struct":
        return 3 + max((_levels(e.value) for e in t.struct.element), default=0)
    if kind == "sequence":
        return 2 + _levels(t.sequence.element)
    if kind == "function":
        return 2 + max(_levels(t.function.result), _levels(t.function.parameter))
    if kind == "federated":
        return 4 + _levels(t.federated.member)
    return 2


class _Reader:
    """Reads one program."""

    def __init__(self, types: TypeReader) -> None:
        self.types = types
        self.nodes = 0
        self.parts: list[tuple[Node, int] | None] = []

    def program(self, message: pb.Computation) -> Node:
        for part in message.detached:
            self.parts.append(self.node(part))
        node, _ = self.node(message, outermost=True)
        if any(part is not None for part in self.parts):
            raise self.types.fail("a detached part that is used nowhere", "write each part once")
        return node

    def node(self, message: pb.Computation, outermost: bool = False) -> tuple[Node, int]:
        """Return the node in `message` and how deep it is."""
        if message.detached and not outermost:
            raise self.types.fail("detached parts inside a computation", "write them in the outermost one")
        if message.WhichOneof("computation") == "detached_at":
            return self.part(message.detached_at)
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise self.types.fail(f"a program of more than {MAX_NODES} nodes")
        if not message.HasField("type"):
            raise self.types.fail("a node without its type", "write the type of every node")
        t = self.types.type(message.type)
        node, depth = self.of_kind(message, t)
        if depth > MAX_DEPTH:
            raise self.types.fail(f"a program nested deeper than {MAX_DEPTH}", "name parts of it")
        if node.type != t:
            raise self.types.fail(
                f"a node says that it is of type {t}, and is of type {node.type}", "write the type that it has"
            )
        return node, depth

    def part(self, index: int) -> tuple[Node, int]:
        found = self.parts[index] if index < len(self.parts) else None
        if found is None:
            raise self.types.fail(
                f"the detached part {index} is not there, not yet, or not any more", "use each part once, after its own"
            )
        self.parts[index] = None
        return found

    def of_kind(self, message: pb.Computation, t: Type) -> tuple[Node, int]:
        kind = message.WhichOneof("computation")
        if kind == "abstraction":
            return self.abstraction(message.abstraction, t)
        if kind == "call":
            return self.call(message.call)
        if kind == "block":
            return self.block(message.block)
        if kind == "struct":
            elements = [(e.name or None, *self.node(e.value)) for e in message.struct.element]
            return Struct(tuple((n, v) for n, v, _ in elements)), 1 + max((d for *_, d in elements), default=0)
        if kind == "selection":
            source, depth = self.node(message.selection.source)
            return Selection(source, message.selection.index), depth + 1
        return self.atom(message, kind, t)

    def abstraction(self, message: pb.Lambda, t: Type) -> tuple[Node, int]:
        if not isinstance(t, FunctionType):
            raise self.types.fail(f"a lambda of type {t}", "give it the type of a function")
        body, depth = self.node(message.result)
        return Lambda(message.parameter_name if t.parameter is not None else None, t.parameter, body), depth + 1

    def call(self, message: pb.Call) -> tuple[Node, int]:
        function, depth = self.node(message.function)
        if not message.HasField("argument"):
            return Call(function), depth + 1
        argument, below = self.node(message.argument)
        return Call(function, argument), max(depth, below) + 1

    def block(self, message: pb.Block) -> tuple[Node, int]:
        bindings: list[tuple[str, Node]] = []
        deepest = 0
        for local in message.local:
            value, depth = self.node(local.value)
            bindings.append((local.name, value))
            deepest = max(deepest, depth)
        result, depth = self.node(message.result)
        return Block(tuple(bindings), result), max(deepest, depth) + 1

    def atom(self, message: pb.Computation, kind: str | None, t: Type) -> tuple[Node, int]:
        """Return the node that has no parts."""
        if kind == "intrinsic":
            return self.intrinsic(message.intrinsic.uri, t)
        if kind == "reference":
            return Reference(message.reference.name, t), 1
        if kind == "placement":
            return PlacementLiteral(self.types.placement(message.placement)), 1
        if kind == "literal":
            return read_array(message.literal.value, self.types), 1
        if kind == "data":
            by_uri = message.data.WhichOneof("data") == "uri"
            return Data(message.data.uri if by_uri else unpacked_uri(message.data.content, self.types), t), 1
        if kind == "leaf":
            leaf = message.leaf
            if not isinstance(t, FunctionType):
                raise self.types.fail(f"a leaf of type {t}", "give it the type of a function")
            return Compiled(Leaf(leaf.kind, leaf.name, leaf.digest, leaf.content, leaf.stateful), t), 1
        if kind in ("tensorflow", "xla"):
            raise self.types.fail(
                f"{'a TensorFlow graph' if kind == 'tensorflow' else 'an XLA module'} is not supported by this version",
                "write local computations with tierfed.tf_computation or tierfed.py_computation",
            )
        raise self.types.fail("a computation that says nothing", "write each node in full")

    def intrinsic(self, uri: str, t: Type) -> tuple[Node, int]:
        if isinstance(t, FunctionType):
            return Intrinsic(native_uri(uri, t), t), 1
        if uri == "generic_zero":  # the public one is a value, ours a function of nothing
            return Call(Intrinsic(uri, FunctionType(None, t))), 2
        raise self.types.fail(f"{uri or 'an intrinsic'} of type {t}", "give it the type of a function")
