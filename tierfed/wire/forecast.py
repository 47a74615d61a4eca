"""Forecasts: how many bytes a message will take, before there are values.

    forecast = Forecast.of([("delta", MODEL, None)], codec("int8"))
    forecast.wire_bytes(ident), forecast.raw_bytes(ident)       what `Message` will count
    check_carried([("delta", MODEL, None)], codec("int8"))      raises for what cannot be sent

Types whose sizes are all known fix every payload, and the packing fixes the frames; only
the headers depend on the message's identity.  So for a codec of fixed size a forecast is
the number of bytes that will be sent.  Behind zstd it is the number before zstd.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tierfed.codecs import Codec, LinkCodec
from tierfed.codecs.rules import tensor_name
from tierfed.types import SequenceType, StructType, TensorType, Type
from tierfed.types.dtypes import FLOATS
from tierfed.wire.frame import frame_bytes, padded
from tierfed.wire.heading import DIGEST, told
from tierfed.wire.keeping import NAME, has_base
from tierfed.wire.layout import Column, child_path, layout_of
from tierfed.wire.packing import RAW, SMALL, Agreed, Slab, packing
from tierfed.wire.packing import check_carried as check_column
from tierfed.wire.plain import Header, pack

Slot = tuple[str, Type, int | None]
"""The name of a value, its type, and how many there are of it where there are many."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The frames of a message: (bytes, bytes under `none`) of each payload, and what the first header says."""

    payloads: tuple[tuple[int, int], ...]
    codec: str
    slots: tuple[tuple[str, Any, int | None], ...]
    exact: bool
    based: bool | None = None  # whether the header names a base; None: the codec has none

    @staticmethod
    def of(slots: Sequence[Slot], coder: LinkCodec | Agreed, *, in_full: bool = False) -> Forecast | None:
        """Return the forecast for a message of `slots` under `coder`, None if a type leaves a size open.

        Where `coder` has differences, of one that has them; `in_full`, of one that has not, as the first one.

        Raises CodecError, naming the path, if `coder` does not carry a large tensor.
        """
        if not all(_known(t) for _, t, _ in slots):
            return None
        columns: list[Column] = []
        for name, t, count in slots:
            for path in [name] if count is None else [f"{name}[{i}]" for i in range(count)]:
                columns += layout_of(t, (), path)
        payloads = []
        exact = True
        for one in packing(columns, coder, in_full=in_full):
            if isinstance(one, Slab):
                payloads.append((one.nbytes, one.raw_bytes))
            else:
                payloads.append((one.coder.nominal_bytes(one.stop - one.start, one.dtype) or 0, one.raw_bytes))
                exact = exact and one.coder.fixed_size
        based = not in_full if has_base(coder) else None
        return Forecast(tuple(payloads), str(coder), tuple((n, told(t), c) for n, t, c in slots), exact, based)

    def header_bytes(self, ident: Header) -> int:
        """Return what the frames take without their payloads, for a message of identity `ident`."""
        return self.wire_bytes(ident) - sum(padded(wire) for wire, _ in self.payloads)

    def wire_bytes(self, ident: Header) -> int:
        """Return the bytes of all frames."""
        sizes = zip(self._headers(ident), self.payloads, strict=True)
        return sum(frame_bytes(header, wire) for header, (wire, _) in sizes)

    def raw_bytes(self, ident: Header) -> int:
        """Return the bytes of the same frames under `none`."""
        return self.header_bytes(ident) + sum(padded(raw) for _, raw in self.payloads)

    def _headers(self, ident: Header) -> list[int]:
        sizes = []
        last = len(self.payloads) - 1
        for seq in range(len(self.payloads)):
            header: Header = {"ident": ident, "seq": seq}
            if seq == 0:
                header |= {"codec": self.codec, "slots": [list(s) for s in self.slots], "sizes": []}
                if self.based is not None:
                    header["base"] = bytes(NAME) if self.based else None
            if seq == last:
                header |= {"end": True, "digest": bytes(DIGEST)}
            sizes.append(len(pack(header)))
        return sizes


def _known(t: Type) -> bool:
    """Return whether every size of a value of `t` is known from its type."""
    for part in t.walk():
        if isinstance(part, SequenceType):
            return False
        if isinstance(part, TensorType) and (part.name == "str" or not part.is_static):
            return False
    return True


def check_carried(slots: Sequence[Slot], coder: LinkCodec) -> None:
    """Raise CodecError, naming the path, for a tensor that is known to be large and that `coder` does not carry."""
    for name, t, count in slots:
        if count != 0:
            for column in _large(t, name if count is None else f"{name}[*]"):
                check_column(column, coder)


def shares(slots: Sequence[Slot], coder: LinkCodec) -> list[tuple[Codec, float]] | None:
    """Return the codecs of the floats in `slots`, each with its number of elements; None if a type leaves a size open.

    Raises CodecError, naming the path, if a large tensor is not carried.
    """
    if not all(_known(t) for _, t, _ in slots):
        return None
    found: dict[Codec, float] = {}
    for name, t, count in slots:
        for column in layout_of(t, (), name):
            size = (column.type.size or 0) * (1 if count is None else count)
            if size and column.type.name in FLOATS:
                by = check_column(column, coder) if (column.type.size or 0) >= SMALL else RAW
                found[by] = found.get(by, 0.0) + size
    return list(found.items())


def tensor_names(slots: Sequence[Slot]) -> list[str]:
    """Return the names that rules know the tensors of `slots` by, those of strings and of nobody left out."""
    found: list[str] = []
    for name, t, count in slots:
        if count != 0:
            _name(t, name if count is None else f"{name}[*]", found)
    return found


def _name(t: Type, path: str, found: list[str]) -> None:
    if isinstance(t, StructType):
        for i, (name, e) in enumerate(t.elements):
            _name(e, child_path(path, name, i), found)
    elif isinstance(t, SequenceType):
        _name(t.element, f"{path}[*]", found)
    elif isinstance(t, TensorType) and t.name != "str":
        found.append(tensor_name(path))


def _large(t: Type, path: str) -> list[Column]:
    """Return the tensors of a value of `t` that go through the codec whatever the open sizes are."""
    if isinstance(t, StructType):
        return [c for i, (name, e) in enumerate(t.elements) for c in _large(e, child_path(path, name, i))]
    if isinstance(t, TensorType) and t.name != "str" and t.is_static and (t.size or 0) >= SMALL:
        return [Column(path, t)]
    return []
