"""federated_secure_sum, _bitwidth, _modular: sums of which nobody may see the parts.

    federated_secure_sum          : <{V}@P,M> -> {V}@Q      every value in [0,max_input]
    federated_secure_sum_bitwidth : <{V}@P,B> -> {V}@Q      every value in [0,2**bitwidth)
    federated_secure_modular_sum  : <{V}@P,M> -> {V}@Q      the sum modulo `modulus`

V is integers and structs of them; the bound is one integer, or one for each tensor of V.  They
are typed, traced, printed and serialised.  Nothing here computes them: the protocol that would
(Bonawitz et al. 2017, Practical Secure Aggregation, CCS) is not part of this version, and a
sum in the clear is another thing under the same name.  So every backend refuses the program
before anything starts.
"""

from __future__ import annotations

from typing import Any

from tierfed.errors import TypeMismatch, UnsupportedError
from tierfed.ir.intrinsics.operator import Operator, Parameter, World, at, federated, rises, unplaced
from tierfed.ir.nodes import Call, Intrinsic, Node
from tierfed.placements import Placement
from tierfed.types import FunctionType, StructType, TensorType, Type
from tierfed.types.difference import shown
from tierfed.types.dtypes import INTEGERS
from tierfed.user_line import tell_line


def _integers(t: Type, where: str, name: str) -> None:
    """Raise TypeMismatch unless `t` is integers of known shapes, and structs of them."""
    for part in t.walk():
        if isinstance(part, StructType):
            continue
        if not isinstance(part, TensorType) or part.name not in INTEGERS:
            raise TypeMismatch(
                f"{name} holds {part}, and secure sums are of integers",
                where=where,
                mend="quantise it to integers in a leaf first",
            )
        if not part.is_static:
            raise TypeMismatch(
                f"{name} holds {part}, of unknown dimensions", where=where, mend="declare the sizes in the type"
            )


def _bounds(t: Type, of: Type) -> bool:
    """Return whether `t` is one integer, or one for each tensor of `of`."""
    if isinstance(t, StructType):
        return (
            isinstance(of, StructType)
            and len(t) == len(of)
            and all(n is None or n == m for n, m in zip(t.names, of.names, strict=True))
            and all(_bounds(a, b) for a, b in zip(t.parts(), of.parts(), strict=True))
        )
    return isinstance(t, TensorType) and t.name in INTEGERS and t.shape == ()


def _secure(uri: str, bound: str, doc: str) -> Operator:
    def result(arguments: tuple[Type, ...], to: Placement | None) -> Type:
        x = federated(arguments[0], uri)
        _integers(x.member, uri, "value")
        limit = unplaced(arguments[1], uri, bound)
        if not _bounds(limit, x.member):
            raise TypeMismatch(
                f"{bound} is of type {shown(limit)}, and the value {shown(x.member)}",
                where=uri,
                mend=f"give {bound} as one integer, or as one for each tensor of the value",
            )
        return at(x.member, rises(x, to, uri))

    def meaning(world: World | None, values: tuple[Any, ...], t: FunctionType) -> Any:
        raise _refused(uri)

    return Operator(
        uri,
        f"<{{V}}@P,{'B' if bound == 'bitwidth' else 'M'}> -> {{V}}@Q",
        (Parameter("value", federated=True), Parameter(bound)),
        "rises",
        result,
        meaning,
        doc=doc,
        about=f"""
        Integers of known shapes and structs of them; `{bound}` is one integer, or one for each tensor of
        the value.  It is typed, printed and serialised.  The protocol that keeps the parts unseen is not
        part of this version, so every backend refuses the program before anything starts, with
        UnsupportedError: a sum in the clear is `federated_sum`, and has to be asked for by that name.
        """,
        example=f"""
        >>> @tierfed.federated_computation("{{int32}}@CLIENTS")
        ... def votes(x):
        ...     return tierfed.{uri}(x, 8)
        >>> str(votes.type_signature)
        '({{int32}}@CLIENTS -> int32@SERVER)'
        >>> votes([1, 0, 1])
        Traceback (most recent call last):
        tierfed.errors.UnsupportedError: ...: {uri} is not computed in the clear, and its protocol is not part...
        """,
    )


SECURE = (
    _secure(
        "federated_secure_sum",
        "max_input",
        "Return the sum of integers in [0,max_input], of which nobody sees the parts; refused by every backend.",
    ),
    _secure(
        "federated_secure_sum_bitwidth",
        "bitwidth",
        "Return the sum of integers of `bitwidth` bits, of which nobody sees the parts; refused by every backend.",
    ),
    _secure(
        "federated_secure_modular_sum",
        "modulus",
        "Return the sum modulo `modulus`, of which nobody sees the parts; refused by every backend.",
    ),
)
SECURE_SUMS = frozenset(op.uri for op in SECURE)


def _refused(uri: str) -> UnsupportedError:
    return UnsupportedError(
        f"{uri} is not computed in the clear, and its protocol is not part of this version",
        where=uri,
        mend="use tierfed.federated_sum, if every tier on the way may see the sums of what is below it",
    )


def refuse_secure(program: Node) -> None:
    """Raise UnsupportedError for the first secure sum in `program`, whether it is used or not."""
    for node in program.walk():
        if isinstance(node, Call) and isinstance(node.function, Intrinsic) and node.function.uri in SECURE_SUMS:
            bad = _refused(node.function.uri)
            tell_line(bad, node.line)
            raise bad
