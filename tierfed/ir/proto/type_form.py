"""Types and placements as messages.

A placement's `uri` is its name in lower case, as the public form has it.  That loses the
case, and whether it is a singleton, so any placement but SERVER and CLIENTS says its name
and that flag in fields of our own.  What is read is declared only once a whole message has
been read, and must agree with what is declared already.

Containers are not on the wire: a struct that is read has none.
"""

from __future__ import annotations

from collections.abc import Mapping

from tierfed.errors import PlacementError, ProtocolError, TypeMismatch
from tierfed.ir.proto import computation_pb2 as pb
from tierfed.ir.proto.limits import TYPE_LEVELS
from tierfed.placements import CLIENTS, SERVER, Placement, placement
from tierfed.placements.placement import declared, declared_as, is_name
from tierfed.types import (
    AbstractType,
    FederatedType,
    FunctionType,
    PlacementType,
    SequenceType,
    StructType,
    TensorType,
    Type,
)
from tierfed.types.dtypes import NAMES

DTYPES: Mapping[str, pb.DataType] = {name: getattr(pb, name.upper()) for name in NAMES}
_KNOWN_LEVELS = 3  # of functions and placements, within which a type is looked up
DTYPE_NAMES: Mapping[int, str] = {number: name for name, number in DTYPES.items()}


def type_message(t: Type) -> pb.Type:
    """Return `t` as a message; raises TypeMismatch for a type nested too deep to be read again."""
    message = pb.Type()
    _write(t, message, 1)
    return message


def _write(t: Type, into: pb.Type, level: int) -> None:
    if level > TYPE_LEVELS:
        raise TypeMismatch(
            f"a type nested more than {TYPE_LEVELS} messages deep", where="serialize", mend="flatten its structs"
        )
    match t:
        case TensorType(name=name, shape=shape):
            into.tensor.dtype = DTYPES[name]
            if shape is None:
                into.tensor.unknown_rank = True
            else:
                into.tensor.dims.extend(-1 if s is None else s for s in shape)
        case StructType():
            into.struct.SetInParent()
            for key, part in t.elements:
                element = into.struct.element.add()
                if key is not None:
                    element.name = key
                _write(part, element.value, level + 3)
        case SequenceType(element=part):
            _write(part, into.sequence.element, level + 2)
        case FunctionType(parameter=parameter, result=result):
            if parameter is not None:
                _write(parameter, into.function.parameter, level + 2)
            _write(result, into.function.result, level + 2)
        case FederatedType(member=member, placement=at, all_equal=all_equal):
            write_placement(at, into.federated.placement.value)
            into.federated.all_equal = all_equal
            _write(member, into.federated.member, level + 2)
        case PlacementType():
            into.placement.SetInParent()
        case AbstractType(label=label):
            into.abstract.label = label
        case _:
            raise TypeMismatch(f"{t!r} has no serialized form", where="serialize")


def write_placement(p: Placement, into: pb.Placement) -> None:
    """Write `p` into a message."""
    into.uri = p.name.lower()
    if p not in (CLIENTS, SERVER):
        into.name = p.name
        into.singleton = p.singleton


class TypeReader:
    """Reads the types and placements of one message from outside.

    Equal bytes are read once, so the types that every node repeats cost a look-up.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self._placements: dict[str, Placement] = {}
        self._types: dict[bytes, Type] = {}
        self._tensors: dict[tuple[int, tuple[int, ...], bool], TensorType] = {}

    def fail(self, what: str, mend: str | None = None) -> ProtocolError:
        """Return the error for what cannot be."""
        return ProtocolError(what, where=self.where, mend=mend)

    def type(self, message: pb.Type) -> Type:
        """Return the type in `message`.

        Raises ProtocolError for a message that says none, TypeMismatch for one that cannot be.
        """
        return self._known(message, 0)

    def _known(self, message: pb.Type, level: int) -> Type:
        """Return a type that may have been read before, also as the parameter of a function, or at a placement."""
        if level > _KNOWN_LEVELS:  # what nests deep is not serialised anew at each level
            return self._type(message, level)
        key = message.SerializeToString(deterministic=True)
        found = self._types.get(key)
        if found is None:
            found = self._types[key] = self._type(message, level)
        return found

    def _type(self, message: pb.Type, level: int) -> Type:
        kind, below = message.WhichOneof("type"), level + 1
        if kind == "tensor":
            tensor = message.tensor
            key = tensor.dtype, tuple(tensor.dims), tensor.unknown_rank
            known = self._tensors.get(key)
            if known is None:
                known = self._tensors[key] = self.tensor(*key)
            return known
        if kind == "struct":
            return StructType([(e.name or None, self._type(e.value, _KNOWN_LEVELS)) for e in message.struct.element])
        if kind == "sequence":
            return SequenceType(self._type(message.sequence.element, _KNOWN_LEVELS))
        if kind == "function":
            f = message.function
            return FunctionType(
                self._known(f.parameter, below) if f.HasField("parameter") else None, self._known(f.result, below)
            )
        if kind == "federated":
            federated = message.federated
            at = self.placement(federated.placement.value)
            return FederatedType(self._known(federated.member, below), at, federated.all_equal)
        if kind == "placement":
            return PlacementType()
        if kind == "abstract":
            return AbstractType(message.abstract.label)
        raise self.fail("a type that says nothing", "write each type in full")

    def tensor(self, dtype: int, dims: object, unknown_rank: bool) -> TensorType:
        """Return the tensor type of a dtype's number and sizes, -1 for an unknown one."""
        name = DTYPE_NAMES.get(dtype)
        if name is None:
            raise self.fail(f"no dtype has the number {dtype}", f"use one of {', '.join(NAMES)}")
        sizes = list(dims)  # type: ignore[call-overload]  # a repeated field
        if unknown_rank:
            if sizes:
                raise self.fail(f"a tensor of unknown rank with the sizes {sizes}")
            return TensorType(name, None)
        if any(s < -1 for s in sizes):
            raise self.fail(f"a negative size in {sizes}", "write -1 for an unknown size")
        return TensorType(name, [None if s == -1 else s for s in sizes])

    def placement(self, message: pb.Placement) -> Placement:
        """Return the placement in `message`, not declared yet if it is new."""
        uri, name = message.uri, message.name
        if not name:
            return self._by_uri(uri)
        if not is_name(name) or name.lower() != uri:
            raise self.fail(f"{name!r} cannot be the name of the placement {uri!r}", "write the name in lower case")
        known = self._placements.get(name) or declared(name) or Placement(name, message.singleton)
        if known.singleton != message.singleton:
            raise self.fail(
                f"{name} has singleton={message.singleton} here, and was declared with singleton={known.singleton}",
                "declare it alike at both ends",
            )
        return self._placements.setdefault(name, known)

    def _by_uri(self, uri: str) -> Placement:
        for predeclared in (CLIENTS, SERVER):
            if uri == predeclared.name.lower():
                return predeclared
        found = declared_as(uri)
        if len(found) != 1:
            raise self.fail(
                f"{'no' if not found else 'more than one'} placement is called {uri!r}",
                "declare it with tierfed.placement before reading the program",
            )
        return found[0]

    def declare(self) -> None:
        """Declare the placements of a message that has been read as a whole."""
        for p in self._placements.values():
            try:
                placement(p.name, p.singleton)
            except PlacementError as bad:
                raise self.fail(bad.what, bad.mend) from None
