"""Fuzzing of every decoder: bytes that nobody wrote, chosen by what they reach in the code.

    python tests/fuzz/fuzz_decoders.py -max_total_time=600              # ten minutes; -help=1 lists libFuzzer's options
    python tests/fuzz/fuzz_decoders.py crash-0123abcd                   # one input again
    NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$(mktemp -d) python …           # an index out of range in a kernel is an error

The first bytes of an input choose what reads the rest (see `Choice`): any codec of the table, with each of its
options, in any dtype that it carries, of any size; what senders agree on; a decoder of frames; or a reader of
messages.  A codec that is
listed in the table is fuzzed.  Lengths and checksums are made right for half of the inputs, since guessing them would
leave nothing behind them to be reached.

What must hold: nothing but a typed error comes out; after an error the array is as it was; adding is decoding and
`np.add`, bit for bit, or the same error; so are checking without decoding, and adding what was sent, to
float32's precision; a lossy codec gives finite values; no input takes more than 32 MiB or 10
seconds.  Without a directory for the corpus, the golden bytes and some codes are the seeds.

Source: libFuzzer's coverage-guided mutation, through atheris.
"""

from __future__ import annotations

import dataclasses
import json
import re
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any

import atheris
import google_crc32c
import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
with atheris.instrument_imports(include=["tierfed.codecs", "tierfed.wire"]):
    from tierfed.codecs import TABLE, ArrayStage, ByteStage, Codec, ShortStage, codec
    from tierfed.errors import CodecError, FrameError, ProtocolError, ValueMismatch
    from tierfed.types import TensorType, parse
    from tierfed.wire.frame import MAGIC, VERSION, Frame, FrameDecoder, crc32c
    from tierfed.wire.heading import digest_of
    from tierfed.wire.layout import Limits
    from tierfed.wire.message import MessageReader, encode_message

HUGE = 1 << 40  # elements
LIMITS = Limits(nbytes=1 << 20, items=50)
REFUSALS = (CodecError, FrameError, ProtocolError, ValueMismatch)
MEMORY = 32 << 10  # KiB that an input may take the process to beyond what it has ever had
DEFAULTS = ("-rss_limit_mb=4096", "-timeout=10", "-max_len=20000", "-len_control=0")  # atheris itself takes 4 KB a run
TYPES = [parse(t) for t in ("<w=float32[5000],n=int32>", "<x=float32[?],y=str>*", "bool[5000]", "float32[...]")]


def variants(name: str) -> list[str]:
    """Return the notations of an array stage: as it is, and with each option at other values that it takes."""
    found = {str(codec(name)): name}  # by notation
    for field in dataclasses.fields(TABLE[name]):
        values = [not field.default] if isinstance(field.default, bool) else (1, 2, 3, 4, 8)
        for value in values if isinstance(field.default, bool | int) else ():
            try:
                c = codec([{name: {field.name: value}}])
            except CodecError:
                continue
            found.setdefault(str(c), str(c))
    return list(found)


SHORT = [name for name, cls in TABLE.items() if issubclass(cls, ShortStage)]
ARRAYS = [name for name, cls in TABLE.items() if issubclass(cls, ArrayStage)]
BYTES = [name for name, cls in TABLE.items() if issubclass(cls, ByteStage)]
CODECS = [
    *(codec(spec) for name in (*ARRAYS, *SHORT) for spec in variants(name)),
    *(codec(f"{name}+{behind}") for name in SHORT for behind in ("int8", "fp16")),
    *(codec(f"{name}+{behind}") for name in (*ARRAYS, *SHORT) for behind in BYTES),
]


@dataclasses.dataclass(frozen=True)
class Choice:
    """The first six bytes of an input: what reads the rest."""

    codec: Codec
    dtype: str
    size: int
    kind: int  # 0 to 2 a codec, 3 one whose senders agree, 4 frames, 5 a head with its checksum, 6 and 7 a message
    fits: bool  # whether the bytes are given the length and the checksums that are expected

    @staticmethod
    def of(data: bytes) -> Choice:
        """Return the choice that `data` begins with."""
        first, second, size, flags = struct.unpack("<BBHB", data[:5])
        c = CODECS[(first | (flags & 0x30) << 4) % len(CODECS)]
        tripled = size * 3 if flags & 0x80 else size
        return Choice(c, c.dtypes[second % len(c.dtypes)], tripled, flags & 7, bool(flags & 8))

    @staticmethod
    def bytes_of(c: Codec, dtype: str, size: int, kind: int = 0, fits: bool = True) -> bytes:
        """Return the bytes that choose this."""
        at = CODECS.index(c)
        flags = kind | fits << 3 | (at >> 8) << 4 | (size > 0xFFFF) << 7
        return struct.pack("<BBHB", at & 0xFF, c.dtypes.index(dtype), size // 3 if size > 0xFFFF else size, flags)


def one_input(data: bytes) -> None:
    """Read an input; raises whatever must not come, and where too much memory was taken."""
    if len(data) < 5:
        return
    choice, rest = Choice.of(data), data[5:]
    had = peak()
    read(choice, rest)
    took = peak() - had
    assert took < MEMORY, f"{took} KiB were taken for {len(data)} bytes"


def peak() -> int:
    """Return the most memory that this process has ever had, in KiB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1])


def read(choice: Choice, rest: bytes) -> None:
    """Read what follows a choice."""
    if choice.kind == 3 and choice.codec.agrees:
        agreed(choice, rest)
    elif choice.kind < 4:
        decoded(choice, rest)
    elif choice.kind == 4:
        framed(rest)
    elif choice.kind == 5:
        headed(choice, rest)
    else:
        messaged(choice, rest)


def fitted(c: Codec, dtype: str, size: int, data: bytes) -> bytes:
    """Return `data` in the length that the array stage reads, and under the byte stages."""
    nbytes = c.nominal_bytes(size, dtype)
    assert nbytes is not None  # it carries the dtype
    data = data[:nbytes].ljust(nbytes, data[-1:] or b"\0")
    for stage in c.byte_stages:
        data = bytes(stage.encode(data))
    return data


def decoded(choice: Choice, data: bytes) -> None:
    """Decode and add a chunk, after a type of so many elements that there is no memory for them."""
    c = choice.codec
    refused(lambda: c.decode(data, TensorType(choice.dtype, (HUGE,))), True)
    if choice.fits:
        data = fitted(c, choice.dtype, choice.size, data)
    out = consistent(c, choice.dtype, choice.size, data)
    if out is not None:
        assert c.decode(data, TensorType(choice.dtype, (choice.size,))).tobytes() == out.tobytes()


def agreed(choice: Choice, data: bytes) -> None:
    """Decode and add a tensor whose senders have agreed on what `data` begins with, and take that as their offer."""
    shape = (1 + choice.size % 61, 1 + choice.size // 61 % 400)
    size = shape[0] * shape[1]
    c = choice.codec.of_shape(shape)
    stage = c.agreement
    if stage is None:  # written as it is
        decoded(choice, data)
        return
    offer, answer = (floats(data, n) for n in (stage.offer_size(size), stage.answer_size(size)))
    if refused(lambda: stage.check_offer(offer)) is None:
        with np.errstate(all="ignore"):
            total = offer.copy()
            stage.combine(total, offer)
            assert refused(lambda: c.agreed(stage.answer(total), 7)) is None, "an answer is none"
    made: list[Codec] = []
    if refused(lambda: made.append(c.agreed(answer, 7))) is None:
        consistent(made[0], choice.dtype, size, fitted(made[0], choice.dtype, size, data[4 * answer.size :]))


def floats(data: bytes, count: int) -> Any:
    """Return so many float32 that begin with those of `data`."""
    return np.frombuffer(data[: 4 * count].ljust(4 * count, b"\0"), "<f4").copy()


def consistent(c: Codec, dtype: str, size: int, data: bytes) -> Any:
    """Decode a chunk in each way that there is, and return it, None if it is refused."""
    out = (np.arange(size) % 5).astype(TensorType(dtype).dtype)
    before, total, summed = out.copy(), out.copy(), out.copy()
    why = refused(lambda: c.decode_chunk(memoryview(data), out))
    again = refused(lambda: c.accumulate_chunk(memoryview(data), total))
    assert why == again, f"decoding: {why}, adding: {again}"
    known: list[bool] = []
    checked = refused(lambda: known.append(c.check_chunk(memoryview(data), size, dtype)))
    assert checked is None or why is not None, f"checking: {checked}, decoding: {why}"
    sums = c.summing(size, dtype) if c.byte_stages or len(data) == c.nominal_bytes(size, dtype) else None
    if sums is not None:  # which is given what has passed the check of its length
        refusal = refused(lambda: sums.add(memoryview(data)))
        assert (refusal is None) == (why is None), f"decoding: {why}, summing: {refusal}"
    if why is not None:
        assert known != [True], f"checking finds nothing, decoding: {why}"
        assert out.tobytes() == total.tobytes() == before.tobytes(), "an error left its mark"
        return None
    with np.errstate(all="ignore"):
        assert np.add(before, out).tobytes() == total.tobytes(), "adding is not decoding and adding"
        assert not c.lossy or np.isfinite(out.astype(np.float64)).all(), "a value is not finite"
        if sums is not None:
            sums.into(summed)
            near = np.finfo(np.float32).eps * 100 if dtype in ("float32", "float64") else 0.02
            far = np.abs(summed.astype(np.float64) - total.astype(np.float64))
            largest = np.abs(total.astype(np.float64)).max(initial=1)
            assert not np.isfinite(largest) or (far <= near * largest).all(), "summing is not adding"
    assert dtype != "bool" or not (out.view(np.uint8) > 1).any()
    return out


def refused(read: Any, always: bool = False) -> str | None:
    """Return the text of the CodecError that `read` raises, None if it raises none."""
    try:
        read()
    except CodecError as e:
        assert e.mend
        return str(e)
    assert not always, "what cannot be was read"
    return None


def framed(data: bytes) -> None:
    """Read a stream of frames as it comes, in pieces."""
    try:
        decoder = FrameDecoder(limit=1 << 20)
        for at in range(0, len(data), 999):
            decoder.feed(data[at : at + 999])
        decoder.eof()
    except FrameError as e:
        assert e.mend


def headed(choice: Choice, data: bytes) -> None:
    """Read a frame whose header is `data`, with the checksums that it needs, as the first of a message."""
    header, payload = data[: 1 << 16], data[-64:]
    front = struct.pack("<8sIIQI", MAGIC, VERSION, len(header), len(payload), crc32c(payload))
    head = front + struct.pack("<I", google_crc32c.extend(google_crc32c.value(front), header)) + header
    stream = head + bytes(-len(head) % 64) + payload + bytes(-len(payload) % 64)
    try:
        for frame in FrameDecoder(limit=1 << 20).feed(stream):
            MessageReader([("v", TYPES[choice.size % len(TYPES)])], choice.codec, LIMITS).feed(frame)
    except REFUSALS as e:
        assert e.mend


def messaged(choice: Choice, data: bytes) -> None:
    """Read a message whose payloads are those of one that was written, or other bytes, and add it to a sum."""
    c, t = choice.codec, TYPES[0]
    if not c.carries("float32"):
        return
    value = (np.linspace(-1, 1, 5000, dtype=np.float32), np.int32(7))
    message = [(dict(h), b"".join(bytes(b) for b in bs)) for h, bs in encode_message({"m": 1}, [("v", t, value)], c)]
    message[-1] = (message[-1][0], fitted(c, "float32", 5000, data))
    crcs = [crc32c(payload) for _, payload in message]
    message[-1][0]["digest"] = digest_of(message[0][0], crcs)
    reader, sums = MessageReader([("v", t)], c, LIMITS), [np.ones(5000, np.float32), np.zeros((), np.int32)]
    try:
        for (header, payload), crc in zip(message, crcs, strict=True):
            reader.feed(Frame(header, memoryview(payload), crc, len(payload)))
    except ProtocolError as e:
        assert c.byte_stages and e.mend  # what was compressed has another length
        return
    why = refused(lambda: reader.accumulate_into(sums))
    if why is not None:
        assert (sums[0] == 1).all() and sums[1] == 0, "an error left its mark"
        assert refused(reader.decode) is not None, "what cannot be added was read"
        return
    [(array, number)] = reader.decode()
    assert not c.lossy or np.isfinite(array).all(), "a value is not finite"
    with np.errstate(all="ignore"):
        assert (1 + array).tobytes() == sums[0].tobytes(), "adding is not decoding and adding"
    assert sums[1] == number == 7


def write_seeds(into: Path) -> None:
    """Write the golden bytes, some codes, and a message's frames, each as an input."""
    golden = json.loads((ROOT / "tests" / "codecs" / "golden.json").read_text())
    seeds = [b"\0\0\0\0\x04" + b"".join(wire_bytes(c)) for c in CODECS[:3]]
    for entry in golden:
        t, c = parse(entry["type"]), codec(entry["codec"])
        if c in CODECS and isinstance(t, TensorType) and t.size is not None:
            seeds += [Choice.bytes_of(c, t.name, t.size, fits=False) + bytes.fromhex(entry["code"])]
    for c in CODECS:
        for size in (40,) if c.byte_stages else (40, 4500):
            x = (np.random.default_rng(size).standard_normal(size)).astype(np.float32)
            code = c.encode(x)
            seeds.append(Choice.bytes_of(c, "float32", size, fits=False) + code)
            for stage in c.byte_stages[::-1]:
                code = bytes(stage.decode(memoryview(code), 0, 1 << 20))
            seeds += [Choice.bytes_of(c, "float32", size, kind) + code for kind in ((0, 3, 6) if c.agrees else (0, 6))]
        if not c.byte_stages:  # long enough for compiled kernels; `fitted` goes on with the last byte
            x = np.random.default_rng(0).standard_normal(70_002).astype(np.float32)
            seeds.append(Choice.bytes_of(c, "float32", x.size) + c.encode(x)[:3000])
    for i, seed in enumerate(seeds):
        (into / f"seed-{i}").write_bytes(seed)


def wire_bytes(c: Codec) -> list[bytes]:
    """Return the bytes of the frames of a message under `c`."""
    from tierfed.wire.frame import encode

    value = (np.linspace(-1, 1, 5000, dtype=np.float32), np.int32(7))
    return [bytes(b) for h, bs in encode_message({"m": 1}, [("v", TYPES[0], value)], c) for b in encode(h, bs)]


def main() -> None:
    """Run libFuzzer with the options of the command line."""
    given = sys.argv[1:]
    options = [o for o in DEFAULTS if not any(g.startswith(o.split("=")[0] + "=") for g in given)]
    with tempfile.TemporaryDirectory() as corpus:
        if not any(not g.startswith("-") for g in given):
            write_seeds(Path(corpus))
            given.append(corpus)
        atheris.Setup([sys.argv[0], *options, *given], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
