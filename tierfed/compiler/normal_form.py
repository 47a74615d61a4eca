"""The normal form, read: bindings by name, what they call, and the parts that they select.

    (args -> (let arg.0=args.x,v1=federated_map(<f,arg.0>) in v1))

`bindings_of` gives `arg.0` and `v1`, `path_of` says that `arg.0` is `args` at (0,), and `one_member`
turns `arg.0`, a value at every member, into the one that a member has.  See `normalise`.
"""

from __future__ import annotations

from collections.abc import Iterator

from tierfed.ir.nodes import Block, Call, Intrinsic, Lambda, Node, Reference, Selection, Struct, free_names, shortened
from tierfed.types import FederatedType, StructType, Type


def path_of(node: Node) -> tuple[str, tuple[int, ...]] | None:
    """Return the name and the indices of a selection from a name, None for anything else."""
    indices: list[int] = []
    while isinstance(node, Selection):
        indices.append(node.index)
        node = node.source
    return (node.name, tuple(reversed(indices))) if isinstance(node, Reference) else None


def part_of(node: Node, parameter: str | None) -> tuple[int, ...] | None:
    path = path_of(node)
    return path[1] if path is not None and path[0] == parameter else None


def placed_parts(t: Type, path: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], FederatedType]]:
    """Yield the placed parts of a type, with their paths."""
    if isinstance(t, FederatedType):
        yield path, t
    elif isinstance(t, StructType):
        for i, part in enumerate(t.parts()):
            yield from placed_parts(part, (*path, i))


def references(node: Node) -> Iterator[Reference]:
    """Yield the names in a struct of names, in order."""
    if isinstance(node, Struct):
        for part in node.children():
            yield from references(part)
    else:
        assert isinstance(node, Reference), shortened(node)
        yield node


def one_member(x: Node) -> Node:
    """Return an argument of a map as one member sees it: names stand for that member's values, a zip for its struct."""

    match x:
        case Call(function=Intrinsic(uri="federated_zip"), argument=argument) if argument is not None:
            return one_member(argument)
        case Struct():
            return x.rebuilt(tuple(one_member(part) for part in x.children()))
        case Reference(name=name, of=FederatedType(member=t)):
            return Reference(name, t)
    return x


def users_of(program: Lambda) -> dict[str, set[str]]:
    """Return by which bindings of a body each name is used, `""` being its result."""
    users: dict[str, set[str]] = {}
    for name, node in (*bindings_of(program), ("", result_of(program))):
        for used in free_names(node):
            users.setdefault(used, set()).add(name)
    return users


def without_unused(block: Block) -> Node:
    """Return `block` without the bindings that nothing uses."""
    used = set(free_names(block.result))
    kept: list[tuple[str, Node]] = []
    for name, value in reversed(block.bindings):
        if name in used:
            kept.append((name, value))
            used.update(free_names(value))
    return Block(tuple(reversed(kept)), block.result) if kept else block.result


def bindings_of(program: Lambda) -> tuple[tuple[str, Node], ...]:
    """Return the bindings of a program in normal form."""
    return program.body.bindings if isinstance(program.body, Block) else ()


def result_of(program: Lambda) -> Node:
    """Return the result of a program in normal form."""
    return program.body.result if isinstance(program.body, Block) else program.body
