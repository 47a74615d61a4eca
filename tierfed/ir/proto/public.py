"""Programs in the words of federated-language: what has a counterpart there, what is expanded, what is refused.

    federated_sum at (int32@CLIENTS -> int32@SERVER)        federated_sum at ({int32}@CLIENTS -> int32@SERVER)
    federated_map at (<(T -> U),T@SERVER> -> U@SERVER)      federated_apply
    federated_reduce, generic_minus                         what they are made of
    federated_collect, federated_iterate, EDGE_AGGREGATORS  refused by name

An intrinsic there is an instance of its signature, to the letter: all-equal or not, and without
names in what functions take.  So an intrinsic is written at the instance of the signature that
its own type is assignable to and from; calls need nothing more, since `T@P` may stand for
`{T}@P` and an unnamed struct for a named one there as it may here.  For the same reason the
conversions that `ir.loosen` wrote when the program was read are left out again.

Source: the intrinsic definitions of federated-language 0.5.4.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tierfed.errors import CompileError, TierfedError
from tierfed.ir.build import unpack
from tierfed.ir.intrinsics import operator
from tierfed.ir.nodes import (
    Call,
    Compiled,
    Intrinsic,
    Lambda,
    Literal,
    Node,
    PlacementLiteral,
    Reference,
    Selection,
    Struct,
    transformed,
)
from tierfed.placements import CLIENTS, SERVER, Placement
from tierfed.types import (
    AbstractType,
    FederatedType,
    FunctionType,
    SequenceType,
    StructType,
    TensorType,
    Type,
    parse,
)

COUNTERPARTS: tuple[tuple[str, str, str | None], ...] = (
    ("federated_aggregate", "(<{T}@CLIENTS,U,(<U,T> -> U),(<U,U> -> U),(U -> R)> -> R@SERVER)", "federated_aggregate"),
    ("federated_apply", "(<(T -> U),T@SERVER> -> U@SERVER)", "federated_apply"),
    ("federated_broadcast", "(T@SERVER -> T@CLIENTS)", "federated_broadcast"),
    ("federated_eval_at_clients", "(( -> T) -> {T}@CLIENTS)", "federated_eval"),
    ("federated_eval_at_server", "(( -> T) -> T@SERVER)", "federated_eval"),
    ("federated_map", "(<(T -> U),{T}@CLIENTS> -> {U}@CLIENTS)", "federated_map"),
    ("federated_map_all_equal", "(<(T -> U),T@CLIENTS> -> U@CLIENTS)", "federated_map"),
    ("federated_mean", "({T}@CLIENTS -> T@SERVER)", "federated_mean"),
    ("federated_min", "({T}@CLIENTS -> T@SERVER)", "federated_min"),
    ("federated_max", "({T}@CLIENTS -> T@SERVER)", "federated_max"),
    ("federated_secure_sum", "(<{V}@CLIENTS,M> -> V@SERVER)", "federated_secure_sum"),
    ("federated_secure_sum_bitwidth", "(<{V}@CLIENTS,B> -> V@SERVER)", "federated_secure_sum_bitwidth"),
    ("federated_select", "(<{KS}@CLIENTS,int32@SERVER,T@SERVER,(<T,int32> -> U)> -> {U*}@CLIENTS)", "federated_select"),
    ("federated_secure_select", "(<{KS}@CLIENTS,int32@SERVER,T@SERVER,(<T,int32> -> U)> -> {U*}@CLIENTS)", None),
    ("federated_sum", "({T}@CLIENTS -> T@SERVER)", "federated_sum"),
    ("federated_value_at_clients", "(T -> T@CLIENTS)", "federated_value"),
    ("federated_value_at_server", "(T -> T@SERVER)", "federated_value"),
    ("federated_weighted_mean", "(<{T}@CLIENTS,{U}@CLIENTS> -> T@SERVER)", "federated_weighted_mean"),
    ("federated_zip_at_clients", "(T -> {U}@CLIENTS)", "federated_zip"),
    ("federated_zip_at_server", "(T -> U@SERVER)", "federated_zip"),
    ("generic_plus", "(<T,T> -> T)", "generic_plus"),
    ("generic_divide", "(<T,T> -> U)", "generic_divide"),
    ("generic_multiply", "(<T,T> -> T)", "generic_multiply"),
    ("generic_zero", "T", "generic_zero"),
    ("sequence_map", "(<(T -> U),T*> -> U*)", "sequence_map"),
    ("sequence_reduce", "(<T*,U,(<U,T> -> U)> -> U)", "sequence_reduce"),
    ("sequence_sum", "(T* -> T)", "sequence_sum"),
)
"""Each intrinsic of federated-language: its URI, its signature, and ours (None if there is none)."""

RESERVED = frozenset(
    {
        "check_assignable_from", "check_equivalent_to", "children", "compact_representation", "fields",
        "formatted_representation", "from_proto", "is_assignable_from", "is_equivalent_to", "is_identical_to", "items",
        "named", "python_container", "to_proto", "unnamed", "_abc_impl", "_asdict", "_element_array", "_elements",
        "_elements_cache", "_hash", "_hashable_from_init_args", "_is_protocol", "_name_array", "_name_to_index",
    }
)  # fmt: skip
"""Names that its structs cannot have: those of their own methods."""

_WHERE = "serialize for federated-language"
_AS: dict[str, tuple[str, ...]] = {"federated_map": ("federated_apply",)}  # what else may stand for one of ours


def published(program: Node) -> Node:
    """Return `program`, of the same type, in intrinsics that federated-language has.

    Raises CompileError that names what has no counterpart there.
    """
    for node in program.walk():
        _check_types(node)
    return transformed(program, _publish)


def _check_types(node: Node) -> None:
    """Refuse placements and names that federated-language does not have."""
    if isinstance(node, PlacementLiteral):
        _check_placement(node.placement)
    for t in node.type.walk():
        if isinstance(t, FederatedType):
            _check_placement(t.placement)
        elif isinstance(t, StructType):
            taken = [n for n in t.names if n is not None and (n in RESERVED or n.startswith("__"))]
            if taken:
                raise CompileError(f"a struct there has no element called {taken[0]}", where=_WHERE, mend="rename it")


def _check_placement(p: Placement) -> None:
    if p not in (CLIENTS, SERVER):
        raise CompileError(
            f"the placement {p} has no counterpart: there are SERVER and CLIENTS alone",
            where=_WHERE,
            mend="write the program between these two; on a tree its aggregates pass every tier between all the same",
        )


def _publish(node: Node) -> Node:
    if isinstance(node, Call) and node.argument is not None:
        argument = _as_it_was(node.argument)
        node = node if argument is node.argument else Call(node.function, argument)
    match node:
        case Intrinsic(uri=uri, of=t):
            return _function(uri, t)
        case Call(
            function=Lambda(
                parameter=str(name), body=Call(function=Intrinsic() as inner, argument=Reference(name=used))
            ),
            argument=Node() as argument,
        ) if used == name:
            return Call(inner, argument)  # `(arg -> f(arg))(x)` is `f(x)`
        case Call(function=Lambda(parameter=None, body=Call(function=Intrinsic(), argument=None) as inner)):
            return inner
        case Compiled(leaf=leaf):
            raise CompileError(
                f"the leaf {leaf.name}, of kind {leaf.kind}, has no counterpart",
                where=_WHERE,
                mend="compute with the generic and sequence operators",
            )
    return node


def _as_it_was(node: Node) -> Node:
    """Return an argument without conversions of one value for all to one a member."""
    match node:
        case Struct(elements=elements, container=container):
            parts = tuple((n, _as_it_was(e)) for n, e in elements)
            changed = any(a is not b for (_, a), (_, b) in zip(parts, elements, strict=True))
            return Struct(parts, container) if changed else node
        case Call(
            function=Intrinsic(uri="federated_map"),
            argument=Struct(
                elements=(
                    (None, Lambda(parameter=taken, body=Selection(source=Reference(name=used), index=0))),
                    (None, Call(function=Intrinsic(uri="federated_zip"), argument=Struct(elements=((_, whole),)))),
                )
            ),
        ) if taken == used and isinstance(whole.type, FederatedType) and whole.type.all_equal:
            return whole
    return node


def _function(uri: str, t: FunctionType) -> Node:
    """Return a function of the type `t`, made of intrinsics that are there, that means what `uri` does."""
    for ours, instance in _instances(uri, t):
        found = Intrinsic(ours, instance)
        return found if instance == t else _lambda(t, lambda x, found=found: Call(found, x))
    if uri == "generic_zero":
        return Intrinsic(uri, t)
    if uri == "generic_minus":
        return _lambda(t, lambda x: _minus(x, t.result))
    expand = operator(uri).expand
    if expand is not None:
        body = _lambda(t, lambda x: expand(unpack(x, len(operator(uri).unpacked(t.parameter))), t))
        if not any(n == Intrinsic(uri, t) for n in body.walk()):
            try:
                return transformed(body, _publish)
            except TierfedError:  # what it is made of has no counterpart either: tell what was written
                pass
    raise _without(uri, t)


def _without(uri: str, t: FunctionType) -> CompileError:
    signatures = [f"{public} of {signature}" for public, signature, ours in COUNTERPARTS if ours == uri]
    if signatures:
        return CompileError(
            f"{uri} of {t} has no counterpart", where=_WHERE, mend=f"there is {', and '.join(signatures)}"
        )
    return CompileError(
        f"{uri} has no counterpart", where=_WHERE, mend="write that part with what both have: docs/interop.md"
    )


def _lambda(t: FunctionType, body: object) -> Node:
    """Return the function of `t` whose body is what `body` makes of its argument."""
    assert callable(body)
    if t.parameter is None:
        return Lambda(None, None, body(None))
    return Lambda("arg", t.parameter, body(Reference("arg", t.parameter)))


def _minus(x: Node, t: Type) -> Node:
    """Return `x[0] + -1 * x[1]`, which is their difference to the last bit, wrapping as integers do."""
    both = FunctionType(StructType((t, t)), t)
    negative = Call(Intrinsic("generic_multiply", both), Struct(((None, _minus_ones(t)), (None, Selection(x, 1)))))
    return Call(Intrinsic("generic_plus", both), Struct(((None, Selection(x, 0)), (None, negative))))


def _minus_ones(t: Type) -> Node:
    if isinstance(t, StructType):
        return Struct(tuple((n, _minus_ones(e)) for n, e in t.elements), t.container)
    assert isinstance(t, TensorType)
    if not t.is_static or t.name.startswith("complex"):
        raise CompileError(
            f"generic_minus of {t} has no counterpart",
            where=_WHERE,
            mend="declare the sizes in the type" if not t.is_static else "subtract real and imaginary parts",
        )
    ones = np.ones([s for s in t.shape or () if s is not None], t.dtype)
    return Literal.make(np.zeros_like(ones) - ones, t)  # unsigned ones wrap


# ---------------------------------------------------------------- instances of signatures


def _instances(uri: str, t: FunctionType) -> Iterator[tuple[str, FunctionType]]:
    """Yield (our URI, type) of the intrinsics there that can stand for `uri` at `t`."""
    for _, signature, ours in COUNTERPARTS:
        pattern = parse(signature)
        if ours is None or ours not in (uri, *_AS.get(uri, ())) or not isinstance(pattern, FunctionType):
            continue
        bound: dict[str, Type] = {}
        if not (_bind(pattern.parameter, t.parameter, bound) and _bind(pattern.result, t.result, bound)):
            continue
        if ours == "federated_zip" and t.parameter is not None:
            bound["T"] = _loosest(t.parameter)
        if pattern.parameter is None or t.parameter is None:
            continue
        instance = FunctionType(_filled(pattern.parameter, bound, t.parameter), _filled(pattern.result, bound))
        assert instance.parameter is not None
        if instance.parameter.is_assignable_from(t.parameter) and t.result.is_assignable_from(instance.result):
            yield ours, instance


def _bind(pattern: Type | None, t: Type | None, bound: dict[str, Type]) -> bool:
    """Bind the labels of `pattern` to what stands there in `t`; return whether the two are alike.

    Values bind before functions do: what a function takes may be wider, and named.
    """
    match pattern, t:
        case None, None:
            return True
        case AbstractType(label=label), Type():
            bound.setdefault(label, t)
            return True
        case FederatedType(), FederatedType():
            return pattern.placement == t.placement and _bind(pattern.member, t.member, bound)
        case SequenceType(), SequenceType():
            return _bind(pattern.element, t.element, bound)
        case StructType(), StructType():
            pairs = list(zip(pattern.parts(), t.parts(), strict=False))
            later = [p for p in pairs if isinstance(p[0], FunctionType)]
            return len(pattern) == len(t) and all(
                _bind(p, s, bound) for p, s in (*(p for p in pairs if p not in later), *later)
            )
        case FunctionType(), FunctionType():
            return _bind(pattern.result, t.result, bound) and (pattern.parameter is None) == (t.parameter is None)
        case TensorType(), TensorType():
            return pattern == t
    return False


def _filled(pattern: Type, bound: dict[str, Type], t: Type | None = None) -> Type:
    """Return `pattern` with its labels replaced by what they are bound to.

    A function that a part of `t` is may take more than that, and keeps its parameter.
    """
    match pattern:
        case AbstractType(label=label):
            return bound[label]
        case FederatedType(member=member, placement=at, all_equal=all_equal):
            return FederatedType(_filled(member, bound), at, all_equal)
        case SequenceType(element=element):
            return SequenceType(_filled(element, bound))
        case StructType():
            own = t.parts() if isinstance(t, StructType) else (None,) * len(pattern)
            return StructType([(n, _filled(e, bound, p)) for (n, e), p in zip(pattern.elements, own, strict=True)])
        case FunctionType(parameter=parameter, result=result):
            taken = None if parameter is None else _filled(parameter, bound)
            if isinstance(parameter, AbstractType) and isinstance(t, FunctionType):
                taken = t.parameter
            return FunctionType(taken, _filled(result, bound))
    return pattern


def _loosest(t: Type) -> Type:
    """Return the type of what a zip at CLIENTS takes there: one value a member."""
    if isinstance(t, FederatedType):
        return FederatedType(t.member, t.placement, t.all_equal and t.placement != CLIENTS)
    assert isinstance(t, StructType)
    return StructType([(n, _loosest(e)) for n, e in t.elements], t.container)
