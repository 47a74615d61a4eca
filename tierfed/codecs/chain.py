"""Codec: a chain of stages, checked when it is built.

    codec("int8+zstd")          codec([{"zstd": {"level": 9}}])  ==  codec("none+zstd(9)")

One stage turns an array into bytes, those before it floats into floats, one of them at most into
fewer floats (shortened.py), those behind it bytes into fewer bytes; a chain that has none such has
`none` in its place.  A codec is a frozen value: codecs are
equal when their stages and options are, `str` is the notation that reads back, and
`config` is the same as JSON.

Sound against hostile bytes: how many bytes the array stage reads follows from the type
alone, so each byte stage is told the most that it may give, and the exact size is
compared before an array is allocated.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tierfed.codecs import grammar, table
from tierfed.codecs.agreeing import Agreeing
from tierfed.codecs.none import Raw
from tierfed.codecs.shortened import Shortened
from tierfed.codecs.stage import Array, ArrayStage, Buffer, ByteStage, FloatStage, ShortStage, Stage, Summing
from tierfed.codecs.stream import Stream
from tierfed.errors import CodecError
from tierfed.types import TensorType
from tierfed.types.dtypes import NAMES, dtype_of, name_of

_SAME = Stream()


def codec(spec: object) -> Codec:
    """Return the codec that `spec` writes: a string, a list, or a codec already.

    Stages are joined with `+`: the first makes bytes of an array, the others fewer bytes of bytes.

    Raises CodecError if it cannot be read or built, UnsupportedError for a stage that this version
    does not have.

    >>> int8 = tierfed.codec("int8+zstd")
    >>> update = np.linspace(-1, 1, 4096, dtype=np.float32)
    >>> data = int8.encode(update)
    >>> back = int8.decode(data, tierfed.to_type("float32[4096]"))
    >>> len(data) < update.nbytes / 3, float(abs(back - update).max()) < 0.01
    (True, True)
    """
    if isinstance(spec, Codec):
        return spec
    stages = [table.build(written, grammar.quote(spec)) for written in grammar.read(spec)]
    at = next((i for i, s in enumerate(stages) if not isinstance(s, FloatStage | ShortStage)), len(stages))
    if at == len(stages) or isinstance(stages[at], ByteStage):
        stages.insert(at, Raw())
    return Codec(tuple(stages))


@dataclass(frozen=True, slots=True, repr=False)
class Codec:
    """A chain of stages; made by `codec`.

    `array_stage` is the one that turns an array into bytes, and with one that shortens before it the two as
    one; `float_stages` and `byte_stages` are those before and behind it, and `dtypes` the names of
    the dtypes that all of its stages carry.
    """

    stages: tuple[Stage, ...]
    float_stages: tuple[FloatStage, ...] = field(init=False, compare=False)
    array_stage: ArrayStage = field(init=False, compare=False)
    byte_stages: tuple[ByteStage, ...] = field(init=False, compare=False)
    dtypes: tuple[str, ...] = field(init=False, compare=False)  # all four are asked for with each chunk
    _notation: str = field(init=False, compare=False)  # and this with each message

    def __post_init__(self) -> None:
        notation = "+".join(grammar.show(s.name, table.changed_options(s)) for s in self.stages)
        object.__setattr__(self, "_notation", notation)
        self._check_order()
        floats = tuple(itertools.takewhile(lambda s: isinstance(s, FloatStage), self.stages))
        at = len(floats)
        stage = self.stages[at]
        if isinstance(stage, ShortStage):
            between = tuple(s for s in self.stages[at:] if isinstance(s, FloatStage))
            inner = self.stages[at + len(between) + 1]
            assert isinstance(inner, ArrayStage)  # checked
            stage = Shortened(stage, between, inner)
        assert isinstance(stage, ArrayStage)  # checked
        dtypes = tuple(d for d in stage.dtypes if all(d in s.dtypes for s in floats if isinstance(s, FloatStage)))
        for name, value in {
            "float_stages": floats,
            "array_stage": stage,
            "byte_stages": tuple(s for s in self.stages if isinstance(s, ByteStage)),
            "dtypes": dtypes,
        }.items():
            object.__setattr__(self, name, value)
        self._check_state()

    def _check_order(self) -> None:
        first = next((s for s in self.stages if not isinstance(s, FloatStage | ShortStage)), None)
        if not isinstance(first, ArrayStage):
            raise CodecError("a chain starts with an array", where="codec", mend="let its first stage take arrays")
        short = next((i for i, s in enumerate(self.stages) if isinstance(s, ShortStage)), len(self.stages))
        for stage in self.stages[short + 1 :]:
            with_state = isinstance(stage, FloatStage) and stage.state != "none"
            if isinstance(stage, ShortStage) or with_state or (isinstance(stage, ArrayStage) and stage.agrees):
                before = self.stages[short]
                raise CodecError(
                    f"{stage.name} takes a whole array, and {before.name} before it leaves a part",
                    where=grammar.quote(str(self)),
                    mend=f"write {stage.name} first"
                    if with_state
                    else f"keep one of the two: {before.name} or {stage.name}",
                )
        for before, stage in zip(self.stages, self.stages[1:], strict=False):
            if not isinstance(before, FloatStage | ShortStage) and not isinstance(stage, ByteStage):
                floats = isinstance(stage, FloatStage | ShortStage)
                raise CodecError(
                    f"{stage.name} takes an array, and {before.name} before it gives bytes",
                    where=grammar.quote(str(self)),
                    mend=f"write {stage.name} first"
                    if floats
                    else f"keep one of the two: {before.name} or {stage.name}",
                )

    def _check_state(self) -> None:
        stateful = [s for s in self.float_stages if s.state != "none"]
        if len(stateful) > 1:
            raise CodecError(
                f"{stateful[0].name} and {stateful[1].name} would both send again what was lost",
                where=grammar.quote(str(self)),
                mend=f"keep one of the two: {stateful[0].name} or {stateful[1].name}",
            )
        for stage in stateful:
            stage.check_rest(self.stages_behind_state)

    @property
    def state(self) -> str:
        """What is kept from message to message: "none", "residual" (at the sender) or "base" (at both ends)."""
        own = self.array_stage.state
        return next((s.state for s in self.float_stages if s.state != "none"), own)

    @property
    def stages_before_state(self) -> tuple[FloatStage, ...]:
        """The float stages before the one with state; all of them, if none has."""
        floats = self.float_stages
        return floats[: next((i for i, s in enumerate(floats) if s.state != "none"), len(floats))]

    @property
    def stages_behind_state(self) -> Codec:
        """The chain behind the float stage with state, or behind all of them if none has."""
        return Codec(self.stages[min(len(self.stages_before_state) + 1, len(self.float_stages)) :])

    @property
    def in_full(self) -> Codec:
        """The codec of a value that no base is known of: `none` in the place of what codes differences."""
        return Codec((*self.stages_before_state, Raw(), *self.byte_stages))

    @property
    def lossy(self) -> bool:
        """Whether what is decoded may differ from what was encoded."""
        return bool(self.float_stages) or self.array_stage.lossy

    @property
    def unbiased(self) -> bool:
        """Whether the mean of what is decoded is what was encoded."""
        return not self.float_stages and self.array_stage.unbiased

    @property
    def nmse(self) -> float | None:
        """The expected ‖x - x̂‖² / ‖x‖² of many independent normal numbers, None if nobody knows; see `normal`."""
        return None if self.float_stages else self.array_stage.nmse

    @property
    def fixed_size(self) -> bool:
        """Whether `nominal_bytes` is exact."""
        return not self.byte_stages

    @property
    def config(self) -> list[dict[str, Any]]:
        """The chain as JSON, all options written out: `codec(c.config) == c`."""
        return [{s.name: table.options_of(s)} for s in self.stages]

    def __str__(self) -> str:
        return self._notation

    def __repr__(self) -> str:
        return f"codec({str(self)!r})"

    def at(self, path: str) -> Codec:
        """Return the codec of the tensor at `path` on a link that has this one: itself (see `rules`)."""
        return self

    def carries(self, dtype_name: str) -> bool:
        """Return whether tensors of this dtype can be encoded."""
        return dtype_name in self.dtypes

    def check_carries(self, t: TensorType) -> None:
        """Raise CodecError if tensors of `t` cannot be encoded."""
        if self.carries(t.name):
            return
        if t.name == "str":
            mend = "encode strings as their offsets and their UTF-8 bytes"
        else:
            rest = "".join(f"+{grammar.show(s.name, table.changed_options(s))}" for s in self.byte_stages)
            mend = f"use codec none{rest} on this link, or convert the value to a dtype that {self} carries"
        raise CodecError(f"{self} carries {_listed(self.dtypes)}, not {t}", where=grammar.quote(str(self)), mend=mend)

    def of_shape(self, shape: tuple[int, ...]) -> Codec:
        """Return the codec of tensors of `shape`: itself, but where an array stage codes shapes in different ways."""
        return self._with(self.array_stage.of_shape(shape))

    @property
    def agrees(self) -> bool:
        """Whether senders agree before they send, of tensors of some shapes at least."""
        return self.array_stage.agrees

    @property
    def agreement(self) -> Agreeing | None:
        """The array stage, if its senders agree before they send."""
        stage = self.array_stage
        return stage if isinstance(stage, Agreeing) else None

    def offer_chunk(self, chunk: Array, first: int, seed: int) -> Array:
        """Return what the sender of `chunk` offers to those it is to agree with."""
        assert self.agreement is not None
        return self.agreement.offer(self._before(chunk, first), first, seed)

    def agreed(self, answer: Array, seed: int) -> Codec:
        """Return the codec of senders who have agreed.  Raises CodecError for what is no answer."""
        assert self.agreement is not None
        return self._with(self.agreement.agreed(answer, seed))

    def _with(self, stage: ArrayStage) -> Codec:
        same = stage is self.array_stage or isinstance(stage, Shortened)
        return self if same else Codec((*self.float_stages, stage, *self.byte_stages))

    def nominal_bytes(self, n: int, dtype_name: str) -> int | None:
        """Return the bytes of a chunk of `n` elements before any byte stage, None if not carried.

        Exact if `fixed_size`.
        """
        return self.array_stage.nbytes(n, dtype_name) if self.carries(dtype_name) else None

    def most_bytes(self, n: int, dtype_name: str) -> int | None:
        """Return the most bytes that a chunk of `n` elements can take, None if not carried."""
        size = self.nominal_bytes(n, dtype_name)
        if size is not None:
            for stage in self.byte_stages:
                size = stage.most(size)
        return size

    def encode(self, array: Any, stream: Stream = _SAME) -> bytes:
        """Return the code of a whole array, of any strides and byte order, which is not changed.

        A codec that rounds at random takes its numbers from `stream`; without one it draws
        the same at each call, so that the errors of several arrays do not average out.

        Raises CodecError if the codec cannot carry its dtype or one of its values.
        """
        given = np.asarray(array)
        name = name_of(given.dtype)
        if name is None:
            raise CodecError(
                f"no tensor has the dtype {given.dtype}",
                where=grammar.quote(str(self)),
                mend=f"convert the array to one of {_listed(NAMES)}",
            )
        self.check_carries(TensorType(name, given.shape))
        chunk = np.ascontiguousarray(given, dtype_of(name)).reshape(-1)
        return bytes(self.of_shape(given.shape).encode_chunk(chunk, 0, stream))

    def decode(self, data: Buffer, type: TensorType) -> Array:
        """Return the array of `type` whose code is `data`.

        Raises CodecError if `data` is no code of such an array.
        """
        self.check_carries(type)
        if type.size is None or type.shape is None:
            raise CodecError(
                f"{type} has unknown sizes",
                where=grammar.quote(str(self)),
                mend="decode with the concrete type of the value: sizes travel beside the code, not in it",
            )
        shape = tuple(s for s in type.shape if s is not None)
        own = self.of_shape(shape)
        raw = own._raw(data, type)
        out: Array = np.empty(type.size, type.dtype)
        own.array_stage.decode(raw, out)
        return out.reshape(shape)

    def encode_chunk(self, chunk: Array, first: int = 0, stream: Stream = _SAME) -> Buffer:
        """Return the code of a chunk: 1-D, C-contiguous, native-endian; it may be a view of `chunk`.

        `first` is the index of the chunk's first element in its tensor, for errors and as the
        place of its numbers in the tensor's `stream`.
        """
        self.check_carries(_type_of(chunk))
        data = self.array_stage.encode(self._before(chunk, first), first, stream)
        for stage in self.byte_stages:
            data = stage.encode(data)
        return data

    def _before(self, chunk: Array, first: int) -> Array:
        """Return what the array stage is given of `chunk`."""
        for before in self.float_stages:
            chunk = before.apply(chunk, first)
        return chunk

    def check_chunk(self, data: Buffer, size: int, dtype_name: str) -> bool:
        """Return whether `data` is known, without decoding, to be the code of a chunk; False if it has to be decoded.

        Raises CodecError if it is no such code.
        """
        return self.array_stage.check(self._raw(data, _flat(dtype_name, size)), size, dtype_name)

    def decode_chunk(self, data: Buffer, out: Array) -> None:
        """Fill `out`, a chunk, with what `data` is the code of.

        Raises CodecError, with `out` untouched, if `data` is no code of such a chunk.
        """
        self.array_stage.decode(self._raw(data, _type_of(out)), out)

    def accumulate_chunk(self, data: Buffer, out: Array) -> None:
        """Add what `data` is the code of to `out`, a chunk: bit-equal to `decode_chunk` and `np.add`.

        Raises CodecError, with `out` untouched, if `data` is no code of such a chunk.
        """
        self.array_stage.accumulate(self._raw(data, _type_of(out)), out)

    def summing(self, size: int, dtype_name: str) -> Summing | None:
        """Return an empty sum of codes of chunks, None if this codec's are decoded to be added."""
        inner = self.array_stage.summing(size, dtype_name) if self.carries(dtype_name) else None
        if inner is None or not self.byte_stages:
            return inner
        return _Unpacked(self, TensorType(dtype_name, (size,)), inner)

    def _raw(self, data: Buffer, t: TensorType) -> memoryview:
        """Return what the array stage wrote, in the size that `t` takes."""
        self.check_carries(t)
        assert t.size is not None  # of a chunk, or checked by `decode`
        size = self.array_stage.nbytes(t.size, t.name)
        most = [size]
        for stage in self.byte_stages[:-1]:
            most.append(stage.most(most[-1]))
        view = memoryview(data)
        for i in reversed(range(len(most) if self.byte_stages else 0)):
            view = memoryview(self.byte_stages[i].decode(view, 0 if i else size, most[i]))
        if view.nbytes != size:
            after = f" after {self.byte_stages[0].name}" if self.byte_stages else ""
            raise CodecError(
                f"{t} takes {size} bytes in {self.array_stage.name}, got {view.nbytes}{after}",
                where=grammar.quote(str(self)),
                mend="name one codec for both ends of the link (see `tierfed show`)",
            )
        return view


class _Unpacked(Summing):
    """A sum of codes that byte stages have written."""

    __slots__ = ("_codec", "_inner", "_type")

    def __init__(self, codec: Codec, t: TensorType, inner: Summing) -> None:
        self._codec, self._type, self._inner = codec, t, inner

    def add(self, data: memoryview) -> None:
        self._inner.add(self._codec._raw(data, self._type))

    def into(self, out: Array) -> None:
        self._inner.into(out)


def _type_of(chunk: Array) -> TensorType:
    """Return the type of a chunk; raises CodecError if it is none."""
    name = name_of(chunk.dtype)
    if name is None or chunk.ndim != 1 or not chunk.flags.c_contiguous or not chunk.dtype.isnative:
        raise CodecError(
            f"an array of shape {chunk.shape} and dtype {chunk.dtype.str} is no chunk",
            where="chunk",
            mend="pass a 1-D, C-contiguous array in native byte order",
        )
    return _flat(name, chunk.size)


@functools.lru_cache(maxsize=64)  # asked for with each chunk, and most have one size
def _flat(dtype_name: str, size: int) -> TensorType:
    return TensorType(dtype_name, (size,))


def _listed(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
