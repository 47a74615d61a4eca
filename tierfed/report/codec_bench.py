"""Codecs, measured on an array: what each loses, how many bytes it writes, and how fast.

       CODEC  ERROR     RATIO  BIASED  ENCODE  DECODE  FOLD
    *  bf16   2.75e-06  2      yes     0.27    0.46    0.45
    *  int8   2.93e-04  3.94   yes     0.16    0.24    0.58

*error* is ‖x - x̂‖² / ‖x‖² of one message, *ratio* the bytes of the array to those written, and speeds are those
of memcpy of the same chunks in the same run: .5 is half as fast.  *fold* adds a code to a sum, as an
aggregator does.  Times are the shortest of several, in turns with memcpy's, so that both see the same
machine.  A codec is on the front (*) if none writes fewer bytes at its error or less, or as many at less.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tierfed.codecs import CHUNK, Codec, Stream, codec, names
from tierfed.errors import CodecError, TierfedError, UnsupportedError
from tierfed.report.array_file import Sample
from tierfed.report.table import table

SIDE = 1 << 10  # of the matrices that are measured without a file
HEADS = ("", "CODEC", "ERROR", "RATIO", "BIASED", "ENCODE", "DECODE", "FOLD")
USUAL = (  # beside every stage at its defaults
    "int8(stochastic=true)",
    "qsgd(bits=2)",
    "qsgd(bits=8)",
    "eden(bits=3)",
    "eden(bits=2)",
    "bf16+zstd",
    "int8+zstd",
    "error_feedback+topk+int8",
    "randomk+int8",
)
_RUNS = range(3, 10)  # of which the shortest counts
_ENOUGH = 0.15  # seconds, after which a codec has had its runs
_SEED = 7

Array = np.ndarray[Any, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """What a codec made of an array; in fractions of memcpy's speed; no `error` if zeros came back as others."""

    codec: str
    error: float | None
    bytes: int
    ratio: float
    biased: bool
    encode: float
    decode: float
    fold: float
    front: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """A codec that could not carry the array, and why."""

    codec: str
    why: str


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """Every codec on one array."""

    sample: Sample
    memcpy: float | None  # bytes a second, None if nothing was measured
    rows: tuple[Measured, ...]
    refused: tuple[Refused, ...]

    def document(self) -> dict[str, Any]:
        """Return the report as JSON."""
        return {
            "array": self.sample.name,
            "dtype": self.sample.values.dtype.name,
            "elements": int(self.sample.values.size),
            "of": self.sample.of,
            "memcpy_bytes_per_second": self.memcpy and round(self.memcpy),
            "codecs": [dataclasses.asdict(row) for row in self.rows],
            "refused": [dataclasses.asdict(row) for row in self.refused],
        }


def chosen(specs: Sequence[str]) -> list[Codec]:
    """Return the codecs that `specs` write, or else every stage at its defaults and the usual chains.

    Raises CodecError, or UnsupportedError, for a spec that is no codec; stages that no chain of their own
    can be made of, and packages that are broken, are left out.
    """
    if specs:
        return list(dict.fromkeys(codec(spec) for spec in specs))
    found: dict[Codec, None] = {}
    for spec in (*names(), *USUAL):
        try:
            found[codec(spec)] = None
        except (CodecError, UnsupportedError):
            continue
    return list(found)


def normal_and_lognormal(side: int = SIDE) -> list[Sample]:
    """Return the two arrays that published errors are of, as square matrices."""
    random = np.random.default_rng(_SEED)
    normal = random.standard_normal(side * side, np.float32)
    lognormal = np.exp(random.standard_normal(side * side, np.float32))
    shapes = ((side, side),)
    return [Sample(name, of, side * side, shapes) for name, of in (("normal", normal), ("lognormal", lognormal))]


def measure(sample: Sample, codecs: Sequence[Codec], told: Callable[[str], None]) -> Report:
    """Return what each of `codecs` makes of `sample`; `told` hears of each before it is measured."""
    rows: list[tuple[Codec, float, int, list[float]]] = []
    refused = []
    copies = []
    for one in codecs:
        told(str(one))
        try:
            error, size, (copy, *took) = _measured(one, sample)
        except TierfedError as e:
            refused.append(Refused(str(one), e.what))
            continue
        except Exception as e:  # a third party's stage may raise anything
            refused.append(Refused(str(one), f"{type(e).__name__}: {e}"))
            continue
        rows.append((one, error, size, took))
        copies.append(copy)
    copy = min(copies, default=0.0)
    raw = sample.values.nbytes
    measured = [
        Measured(
            codec=str(one),
            error=None if math.isinf(error) else error,
            bytes=size,
            ratio=raw / size,
            biased=_biased(one),
            encode=copy / encode,
            decode=copy / decode,
            fold=copy / fold,
        )
        for one, error, size, (encode, decode, fold) in rows
    ]
    front = [dataclasses.replace(row, front=not any(_better(other, row) for other in measured)) for row in measured]
    front.sort(key=lambda row: (-row.bytes, _lost(row)))
    return Report(sample, raw / copy if copies else None, tuple(front), tuple(refused))


def shown(report: Report, width: int | None) -> str:
    """Return a report for people."""
    sample = report.sample
    of = f" of {sample.of:,}" if sample.pieces else ""
    pieces = f" in {sample.pieces} pieces" if sample.pieces else ""
    speed = f"  memcpy {report.memcpy / 1e9:.1f} GB/s" if report.memcpy is not None else ""
    head = f"{sample.name}: {sample.values.size:,}{of} {sample.values.dtype.name}{pieces}{speed}"
    rows = [
        [
            "*" if row.front else " ",
            row.codec,
            "" if row.error is None else f"{row.error:.2e}" if row.error else "0",
            f"{row.ratio:.3g}",
            "yes" if row.biased else "no",
            *(_fraction(each) for each in (row.encode, row.decode, row.fold)),
        ]
        for row in report.rows
    ]
    refused = [f"{row.codec} refused it: {row.why}" for row in report.refused]
    tables = [table(HEADS, rows, width)] if rows else []
    return "\n".join([head, *tables, *refused])


LEGEND = (
    "* no codec here writes fewer bytes at this error  error ‖x - x̂‖²/‖x‖² of one message  "
    "ratio raw bytes to written  encode, decode, fold: 1 is memcpy's speed"
)


def _cut(one: Codec, sample: Sample) -> Iterator[tuple[Codec, slice, int]]:
    """Yield the chunks of each tensor: the codec of its shape, where in the array it lies, and where in the tensor."""
    start = 0
    for shape in sample.shapes:
        own, size = one.of_shape(shape), math.prod(shape)
        grain = size if own.array_stage.grain == "tensor" else CHUNK
        for first in range(0, size, grain):
            yield own, slice(start + first, start + min(first + grain, size)), first
        start += size


def _measured(one: Codec, sample: Sample) -> tuple[float, int, list[float]]:
    """Return the error, the bytes, and the shortest seconds of memcpy, encode, decode and fold."""
    values, stream = sample.values, Stream.of(_SEED, str(one))
    chunks = list(_cut(one, sample))
    back, total = np.zeros_like(values), np.zeros_like(values)
    sums = [own.summing(values[at].size, values.dtype.name) for own, at, _ in chunks]
    codes: list[Any] = []

    def copy() -> None:
        for _, at, _ in chunks:
            np.copyto(back[at], values[at])

    def encode() -> None:
        codes[:] = [own.encode_chunk(values[at], first, stream) for own, at, first in chunks]

    def decode() -> None:
        for (own, at, _), code in zip(chunks, codes, strict=True):
            own.decode_chunk(code, back[at])

    def fold() -> None:
        for (own, at, _), code, kept in zip(chunks, codes, sums, strict=True):
            if kept is not None:  # added as they are, and decoded once
                kept.add(memoryview(code))
            else:
                own.accumulate_chunk(code, total[at])

    steps = (copy, encode, decode, fold)
    shortest = [math.inf] * len(steps)
    begun = time.perf_counter()
    for run in range(_RUNS.stop):
        if run >= _RUNS.start and time.perf_counter() - begun > _ENOUGH:
            break
        for at, step in enumerate(steps):
            before = time.perf_counter()
            step()
            shortest[at] = min(shortest[at], time.perf_counter() - before)
        total.fill(0)
    decode()
    return _error(values, back), sum(memoryview(code).nbytes for code in codes), shortest


def _error(values: Array, back: Array) -> float:
    """Return ‖x - x̂‖² / ‖x‖², tile by tile in float64, scaled so that no square overflows."""
    largest = float(np.abs(values).max()) or 1.0
    lost = whole = 0.0
    for at in range(0, values.size, CHUNK):
        x = values[at : at + CHUNK].astype(np.float64) / largest
        away = back[at : at + CHUNK].astype(np.float64) / largest - x
        lost, whole = lost + float(away @ away), whole + float(x @ x)
    return lost / whole if whole else math.inf if lost else 0.0


def _biased(one: Codec) -> bool:
    return one.lossy and not one.unbiased


def _better(one: Measured, other: Measured) -> bool:
    """Return whether `one` loses no more in no more bytes, and less of either."""
    mine, theirs = (one.bytes, _lost(one)), (other.bytes, _lost(other))
    return mine[0] <= theirs[0] and mine[1] <= theirs[1] and mine != theirs


def _lost(row: Measured) -> float:
    return math.inf if row.error is None else row.error


def _fraction(value: float) -> str:
    return f"{value:.1f}" if value >= 9.95 else f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"
