"""Fuse: neighbouring local maps at one placement become one.

    v1=map(g,x), v2=zip(<v1,y>), v3=map(f,v2)      becomes      v1=map((p -> f(<g(p[0]),p[1]>)),zip(<x,y>))

What one map alone uses is computed in it; a zip, which computes nothing, is written in every map
that takes it.  So a slice has one step where it had a chain of them.  (Messages are not fused
here: `cut` puts into one all that travels together, by its phase.)

Sound because `map(f, map(g, x))` applies f to what g gives, at each member: the same calls on the
same values, and so the same bits.  A map with two users stays, or its leaf would run twice; and
one that is stateful stays too.  What is ready in an earlier phase than its user stays by itself:
it is computed while the later message is under way.  Nothing crosses into a loop or out of one.

Source: map fusion, Bird 1987, "An introduction to the theory of lists"; the rule about users is
that of inlining, Peyton Jones and Marlow 2002, "Secrets of the Glasgow Haskell Compiler inliner".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tierfed.compiler.cut import Cut
from tierfed.compiler.fit import called_uri
from tierfed.compiler.normal_form import bindings_of, one_member, result_of, users_of, without_unused
from tierfed.compiler.normalise import normalise, renumbered
from tierfed.ir.build import apply_intrinsic, unpack
from tierfed.ir.intrinsics import iterate
from tierfed.ir.nodes import (
    Block,
    Call,
    Lambda,
    Node,
    Reference,
    Selection,
    Struct,
    free_names,
    is_stateful,
    transformed,
    written_at,
)
from tierfed.placements import Hierarchy
from tierfed.types import FederatedType

_MAPS = ("federated_map", "federated_apply")
_ZIP = "federated_zip"
_LARGEST = 256  # nodes of what one map computes: longer chains are cut, or compiling them would take squares
_MEMBER = "member"  # the parameter of a map that is written here, a name that no normal form has


def fuse(program: Node, hierarchy: Hierarchy) -> Lambda:
    """Return `program`, which is made of hops, with neighbouring maps made one; fusing twice is fusing once."""
    flat = normalise(program)
    while True:
        cut = Cut(flat, hierarchy, hierarchy.root)
        cut.run()
        fused = _Body(flat, cut).fused()
        if fused is flat:
            return renumbered(_with_zips_inside(flat))
        flat = normalise(fused)  # what is no longer used is gone, which may be what made another map wait


@dataclass(slots=True)
class _Local:
    """What a map or a zip computes at one member, over the values of its `sources` there."""

    expression: Node
    sources: dict[str, FederatedType]
    line: str | None = None

    @property
    def size(self) -> int:
        """The number of its nodes."""
        return sum(1 for _ in self.expression.walk())

    @property
    def computes(self) -> bool:
        """Whether it does more than put values side by side."""
        return not isinstance(self.expression, Struct) or any(isinstance(n, Call) for n in self.expression.walk())


@dataclass(slots=True)
class _Body:
    """The bindings of a program or of a loop's step, as they are fused."""

    program: Lambda
    cut: Cut
    locals: dict[str, _Local] = field(default_factory=dict)

    def fused(self) -> Lambda:
        """Return the body with maps fused; the very same if there is nothing to fuse."""
        users = users_of(self.program)
        bindings, changed = [], False
        for name, node in bindings_of(self.program):
            new = node
            if called_uri(node) == iterate.NAME:
                inner = self.cut.loops[name].inner
                new = _over_step(node, lambda step, inner=inner: _Body(step, inner).fused())  # type: ignore[misc]
            elif called_uri(node) in (*_MAPS, _ZIP):
                new = self._local(name, node, users)
            changed = changed or new is not node
            bindings.append((name, new))
        return replace(self.program, body=Block(tuple(bindings), result_of(self.program))) if changed else self.program

    def _local(self, name: str, node: Node, users: dict[str, set[str]]) -> Node:
        """Return a map or a zip, over what those before it are over where they can be made part of it."""
        assert isinstance(node, Call) and isinstance(node.type, FederatedType)
        *fn, x = unpack(node.argument, 1 if called_uri(node) == _ZIP else 2)
        of_one = Call(fn[0], one_member(x), node.line) if fn else one_member(x)
        made = _Local(of_one, {}, node.line)
        parts: list[tuple[str, Node]] = []
        drawn, changed, room = is_stateful(of_one), False, _LARGEST - made.size
        for source, t in free_names(x).items():
            assert isinstance(t, FederatedType)
            inner = self.locals.get(source)
            if (
                inner is not None
                and inner.size <= room
                and (not inner.computes or (not drawn and self._only(source, name, t, users)))
            ):
                room -= inner.size
                parts.append((source, inner.expression))
                made.sources.update(inner.sources)
                changed = changed or inner.computes or not fn
            else:
                made.sources[source] = t
        made.expression = _with(parts, of_one)
        if not is_stateful(made.expression):
            self.locals[name] = made
        return written_at(_written(made, node.type), node.line) if changed else node

    def _only(self, source: str, user: str, t: FederatedType, users: dict[str, set[str]]) -> bool:
        """Return whether nothing but `user` uses `source`, and not in a later phase."""
        at = self.cut.at
        return users[source] == {user} and at[t.placement, source] == at[t.placement, user]


def _with(parts: list[tuple[str, Node]], expression: Node) -> Node:
    """Return `expression` with `parts` computed first; a struct of names stays a struct of names."""
    inside = dict(parts)
    computes = any(isinstance(n, Call | Block) for part in inside.values() for n in part.walk())
    if isinstance(expression, Struct) and not computes:
        return transformed(expression, lambda n: inside.get(n.name, n) if isinstance(n, Reference) else n)
    return Block(tuple(parts), expression) if parts else expression


def _written(local: _Local, t: FederatedType) -> Node:
    """Return the map, or the zip, of type `t` that computes `local` at each member."""
    sources = {name: Reference(name, of) for name, of in local.sources.items()}
    if not local.computes:
        placed = transformed(local.expression, lambda n: sources[n.name] if isinstance(n, Reference) else n)
        return apply_intrinsic(_ZIP, (placed,))
    alone = next(iter(sources.values())) if len(sources) == 1 else None
    if alone is not None and local.sources[alone.name].all_equal == t.all_equal:
        x: Node = alone
    else:  # a zip is all-equal at singletons alone, as what it stands for is
        alone, x = None, apply_intrinsic(_ZIP, (Struct(tuple((None, s) for s in sources.values())),))
    assert isinstance(x.type, FederatedType)
    member = Reference(_MEMBER, x.type.member)
    values: dict[str, Node] = {name: member if alone else Selection(member, i) for i, name in enumerate(sources)}
    body = transformed(local.expression, lambda n: values.get(n.name, n) if isinstance(n, Reference) else n)
    return apply_intrinsic(_MAPS[0], (Lambda(_MEMBER, x.type.member, body), x))


def _over_step(node: Node, change: Callable[[Lambda], Lambda]) -> Node:
    """Return a loop with its step changed; the very same if that is."""
    assert isinstance(node, Call) and isinstance(node.argument, Struct)
    step = node.argument.elements[0][1]
    assert isinstance(step, Lambda)
    new = change(step)
    if new is step:
        return node
    return replace(node, argument=replace(node.argument, elements=((None, new), *node.argument.elements[1:])))


def _with_zips_inside(program: Lambda) -> Lambda:
    """Return a body with every zip that maps alone take written in them."""
    users = users_of(program)
    nodes = dict(bindings_of(program))
    inside = {
        name: node
        for name, node in nodes.items()
        if called_uri(node) == _ZIP and all(called_uri(nodes.get(user, node)) in _MAPS for user in users[name])
    }
    bindings = []
    for name, node in nodes.items():
        if called_uri(node) == iterate.NAME:
            node = _over_step(node, _with_zips_inside)
        elif called_uri(node) in _MAPS:
            assert isinstance(node, Call) and isinstance(node.argument, Struct)
            fn, x = node.argument.children()
            if isinstance(x, Reference) and x.name in inside:
                node = replace(node, argument=Struct(((None, fn), (None, inside[x.name]))))
        bindings.append((name, node))
    body = Block(tuple(bindings), result_of(program))
    return replace(program, body=without_unused(body) if bindings else body.result)
