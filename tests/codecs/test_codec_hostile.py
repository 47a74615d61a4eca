"""Bytes off a link that no encoder wrote: refused, in bounded memory, with the sum untouched."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from tierfed.codecs import codec
from tierfed.errors import CodecError
from tierfed.types import TensorType

BLOCK = 128 * 1024  # bytes of a zstd block
MEND = "\n  to mend: the bytes were damaged or written by another codec: name one codec for both ends of the link"


def bomb(declared: int | None, blocks: int) -> bytes:
    """Return a zstd frame that declares `declared` bytes and holds `blocks` runs of 128 KiB of zeros."""
    header = b"\x28\xb5\x2f\xfd" + (b"\x00\x58" if declared is None else b"\xe0" + struct.pack("<Q", declared))
    runs = [((BLOCK << 3) | (1 << 1) | (i == blocks - 1)).to_bytes(3, "little") + b"\0" for i in range(blocks)]
    return header + b"".join(runs)


def refused(spec: str, data: bytes, size: int = 300, name: str = "float32") -> str:
    """Return the text with which `data` is refused by all three ways of decoding, which leave `out` alone."""
    c = codec(spec)
    texts = set()
    out = np.arange(size).astype(TensorType(name).dtype)
    before = out.tobytes()
    for read in (c.decode_chunk, c.accumulate_chunk):
        with pytest.raises(CodecError) as e:
            read(memoryview(data), out)
        texts.add(str(e.value))
        assert out.tobytes() == before
    with pytest.raises(CodecError) as e:
        c.decode(data, TensorType(name, (size,)))
    texts.add(str(e.value))
    assert len(texts) == 1
    return texts.pop()


def test_truncated_codes_are_refused(carried, sample):
    """Every proper prefix of a code, and the code with a byte more, is refused."""
    c, name = carried
    data = c.encode(sample(name, 300))
    out = np.zeros(300, TensorType(name).dtype)
    for cut in {0, 1, 3, len(data) // 2, len(data) - 4, len(data) - 1}:
        with pytest.raises(CodecError):
            c.decode_chunk(data[:cut], out)
        with pytest.raises(CodecError):
            c.accumulate_chunk(data[:cut], out)
    with pytest.raises(CodecError):
        c.decode_chunk(data + b"\0", out)
    assert not out.astype(bool).any()


def test_damaged_codes_decode_or_are_refused(carried, sample):
    """A flipped bit gives other values of the dtype, or a CodecError that leaves the sum untouched; nothing else."""
    c, name = carried
    data = c.encode(sample(name, 600))
    random = np.random.default_rng(7)
    for _ in range(150):
        bad = bytearray(data)
        for at in random.integers(0, len(bad), random.integers(1, 4)):
            bad[at] ^= 1 << random.integers(0, 8)
        out = np.zeros(600, TensorType(name).dtype)
        try:
            c.accumulate_chunk(memoryview(bad), out)
        except CodecError:
            assert not out.astype(bool).any()
        else:
            assert not c.lossy or np.isfinite(out.astype(np.float64)).all()
            assert name != "bool" or out.view(np.uint8).max() <= 1


def test_noise_decodes_or_is_refused(each_codec):
    """Random bytes of the right number and of any number raise nothing but CodecError."""
    random = np.random.default_rng(8)
    out = np.zeros(300, np.float32)
    size = each_codec.nominal_bytes(300, "float32")
    for length in [size] * 50 + list(range(0, 3000, 37)):
        try:
            each_codec.decode_chunk(random.bytes(length), out)
        except CodecError:
            pass
        else:
            assert length == size and (not each_codec.lossy or np.isfinite(out).all())


@pytest.mark.parametrize("scale", [np.nan, np.inf, -1.0, -0.0, 3e38])
@pytest.mark.parametrize("spec", ["int8", "int8+zstd"])
def test_int8_refuses_scales_that_no_values_have(spec, scale):
    """A scale that is negative, no number, or would overflow is refused; under zstd too."""
    inner = np.array([1, scale], "<f4").tobytes() + bytes(300)
    data = inner
    for stage in codec(spec).byte_stages:
        data = bytes(stage.encode(data))
    assert refused(spec, data) == f"int8: scale {scale:g} of block 1 is none that float32 values have{MEND}"


def test_int8_scales_are_bounded_by_the_declared_dtype():
    """A scale that float32 could have is refused where its values would be infinite in float16."""
    data = np.array([516], "<f4").tobytes() + bytes(256)
    assert "scale 516 of block 0 is none that float16 values have" in refused("int8", data, 256, "float16")
    codec("int8").decode(data, TensorType("float32", (256,)))


def test_int8_refuses_the_code_off_the_grid():
    """-128 is no code: its value could be infinite."""
    data = np.array([1, 1], "<f4").tobytes() + bytes(299) + b"\x80"
    assert refused("int8", data) == f"int8: code -128 at element 299 is off the grid{MEND}"


@pytest.mark.parametrize(("code", "name"), [(0x7F80, "float32"), (0xFF80, "float64"), (0x7FC1, "bfloat16")])
def test_bf16_refuses_codes_that_are_not_finite(code, name):
    """Infinity and NaN are never written, so they are not read."""
    data = np.array([0x3F80] * 299 + [code], "<u2").tobytes()
    assert refused("bf16", data, name=name) == (
        f"bf16: code 0x{code:04x} at element 299 is none that {name} values have{MEND}"
    )


def test_bf16_codes_are_bounded_by_float16():
    """65536 is what float16's largest value rounds to, and comes back as it; more is refused."""
    for code in (0x4780, 0xC780):
        data = np.array([code], "<u2").tobytes()
        assert abs(float(codec("bf16").decode(data, TensorType("float16", (1,)))[0])) == 65504
    data = np.array([0xC781], "<u2").tobytes()
    assert "code 0xc781 at element 0 is none that float16 values have" in refused("bf16", data, 1, "float16")


@pytest.mark.parametrize("code", [0x7C00, 0xFC00, 0x7E00])
def test_fp16_refuses_codes_that_are_not_finite(code):
    """Infinity and NaN are never written, so they are not read."""
    data = np.array([0x3C00] * 299 + [code], "<u2").tobytes()
    assert refused("fp16", data) == f"fp16: code 0x{code:04x} at element 299 is no finite float16{MEND}"


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_qsgd_refuses_the_code_off_the_grid(bits):
    """The code of ones alone stands for a level more than there are."""
    c = codec(f"qsgd({bits})")
    data = bytearray(c.encode(np.ones(300, np.float32)))
    for plane in range(bits):
        data[8 + plane * 38 + 17] |= 1 << 5
    assert refused(f"qsgd({bits})", bytes(data)) == f"qsgd: code {2**bits - 1} at element 141 is off the grid{MEND}"


@pytest.mark.parametrize("scale", [np.nan, np.inf, -1.0, -0.0, 3e38])
def test_qsgd_refuses_scales_that_no_values_have(scale):
    """A scale that is negative, no number, or would overflow is refused."""
    data = np.array([1, scale], "<f4").tobytes() + bytes(4 * 38)
    assert refused("qsgd", data) == f"qsgd: scale {scale:g} of block 1 is none that float32 values have{MEND}"


@pytest.mark.parametrize("mean", [np.nan, np.inf, -1.0, -0.0])
def test_sign_refuses_means_that_no_values_have(mean):
    """A mean magnitude that is negative or no number is refused, and one that is infinite in the declared dtype."""
    data = np.array([mean], "<f4").tobytes() + bytes(38)
    assert refused("sign", data) == f"sign: mean {mean:g} of block 0 is none that float32 values have{MEND}"
    data = np.array([65520], "<f4").tobytes() + bytes(38)
    assert "sign: mean 65520 of block 0 is none that float16 values have" in refused("sign", data, name="float16")


@pytest.mark.parametrize("scale", [np.nan, np.inf, -1.0, -0.0])
def test_terngrad_refuses_scales_that_no_values_have(scale):
    """A scale that is negative or no number is refused, and one that is infinite in the declared dtype."""
    data = np.array([scale], "<f4").tobytes() + bytes(60)
    assert refused("terngrad", data) == f"terngrad: scale {scale:g} of block 0 is none that float32 values have{MEND}"
    data = np.array([65520], "<f4").tobytes() + bytes(60)
    assert "terngrad: scale 65520 of block 0 is none that float16 values" in refused("terngrad", data, name="float16")


@pytest.mark.parametrize(("size", "at", "value", "what"), [
    (300, 17, 243, "byte 243 at 17 is no five digits"),
    (300, 59, 255, "byte 255 at 59 is no five digits"),
    (298, 59, 27, "digits are set after the end of a block of the 298 elements"),
    (4096, 819, 3, "digits are set after the end of a block of the 4096 elements"),
    (8193, 1639, 3, "digits are set after the end of a block of the 8193 elements"),
    (8193, 1640, 3, "digits are set after the end of a block of the 8193 elements"),
])  # fmt: skip
def test_terngrad_refuses_what_are_no_digits(size, at, value, what):
    """A byte of five digits is at most 242, and a value has one code."""
    data = bytearray(codec("terngrad").encode(np.ones(size, np.float32)))
    data[4 * -(-size // 4096) + at] = value
    assert refused("terngrad", bytes(data), size) == f"terngrad: {what}{MEND}"


@pytest.mark.parametrize(("power", "name"), [(0, "float32"), (248, "float32"), (248, "bfloat16"), (136, "float16")])
def test_fp8_refuses_powers_that_no_values_have(power, name):
    """A power of two beyond those that an encoder writes for the dtype is refused; the last one is read."""
    what = f"fp8: 2^{power - 127} of block 0 is no scale that {name} values have{MEND}"
    assert refused("fp8", bytes([power]) + bytes(300), name=name) == what
    y = codec("fp8").decode(bytes([power - 1 if power else 1]) + b"\x7e" * 300, TensorType(name, (300,)))
    assert np.isfinite(y.astype(np.float64)).all()


@pytest.mark.parametrize("code", [0x7F, 0xFF])
def test_fp8_refuses_codes_that_are_no_number(code):
    """e4m3 has one NaN of either sign, which is never written."""
    data = bytes([127]) + bytes(299) + bytes([code])
    assert refused("fp8", data) == f"fp8: code 0x{code:02x} at element 299 is no number{MEND}"


@pytest.mark.parametrize("spec", ["sign", "qsgd", "qsgd(2)"])
def test_planes_are_filled_up_with_zeros(spec):
    """Bits after the last element are refused in each plane, so that a value has one code."""
    data = codec(spec).encode(np.linspace(-1, 1, 300).astype(np.float32))
    planes = (len(data) - (4 if spec == "sign" else 8)) // 38
    for plane in range(planes):
        bad = bytearray(data)
        bad[len(data) - 1 - 38 * plane] |= 0x10
        what = f"{codec(spec).array_stage.name}: bits are set after the 300 elements"
        assert refused(spec, bytes(bad)) == f"{what}{MEND}"


def test_none_refuses_bytes_that_are_no_bool():
    """A bool that is neither 0 nor 1 is refused."""
    assert refused("none", b"\1\0\1\2", 4, "bool") == f"none: byte 2 at element 3 is no bool{MEND}"


def test_a_wrong_length_names_both_lengths():
    """The expected and the received number of bytes are in the message."""
    mend = "\n  to mend: name one codec for both ends of the link (see `tierfed show`)"
    assert refused("int8", bytes(307)) == f'codec "int8": float32[300] takes 308 bytes in int8, got 307{mend}'
    data = bytes(codec("zstd").stages[1].encode(bytes(307)))
    assert refused("int8+zstd", data) == f"zstd: the frame declares 307 bytes, where 308 are expected{MEND}"
    assert refused("int8+zstd+zstd", bytes(codec("zstd").stages[1].encode(data))) == (
        f"zstd: the frame declares 307 bytes, where 308 are expected{MEND}"
    )
    assert (
        refused("int8+zstd", b"") == f'codec "int8+zstd": float32[300] takes 308 bytes in int8, got 0 after zstd{mend}'
    )


def test_zstd_refuses_a_frame_that_declares_too_much():
    """A declared size above the expected one is refused before anything is decompressed."""
    assert refused("zstd", bomb(1 << 40, 3)) == (
        f"zstd: the frame declares {1 << 40} bytes, where 1200 are expected{MEND}"
    )


def test_zstd_refuses_a_frame_that_holds_more_than_it_declares():
    """A frame that lies about its size is refused without giving more than it declared."""
    assert "zstd: the frame of 4009 bytes is damaged" in refused("zstd", bomb(1200, 999))


def test_zstd_refuses_a_frame_of_undeclared_size():
    """A frame that does not say how much it holds could hold anything."""
    assert refused("zstd", bomb(None, 3)) == f"zstd: the frame does not declare its size{MEND}"


def test_zstd_refuses_a_frame_that_cannot_hold_what_it_declares():
    """However large the expected type, a few bytes make no gigabytes."""
    c = codec("zstd")
    with pytest.raises(CodecError, match=f"the frame declares {1 << 40} bytes, more than its 25 can hold"):
        c.decode(bomb(1 << 40, 4)[:25], TensorType("float32", (1 << 38,)))


def test_zstd_refuses_what_is_no_frame():
    """Other bytes, a skippable frame, two frames, and bytes where nothing is expected are refused."""
    frame = bytes(codec("zstd").stages[1].encode(bytes(1200)))
    assert "zstd: 1200 bytes are no zstd frame" in refused("zstd", bytes(1200))
    refused("zstd", b"\x50\x2a\x4d\x18" + struct.pack("<I", 1200) + bytes(1200))
    refused("zstd", frame + frame)
    refused("zstd", b"\x50\x2a\x4d\x18\x00\x00\x00\x00" + frame)
    refused("zstd", frame, 0)


def test_a_huge_declared_shape_takes_no_memory(each_codec):
    """A type of 2^40 elements and a few bytes are refused before an array is allocated."""
    size = each_codec.nominal_bytes(1 << 40, "float32")
    for data in (b"", b"x", bomb(size, 5), bomb(size - 1, 5)):
        with pytest.raises(CodecError):
            each_codec.decode(data, TensorType("float32", (1 << 40,)))


def test_hostile_bytes_take_bounded_memory(each_codec, sample):
    """Cut, damaged, of megabytes, or of a huge type: what Python takes for them is a few times what is expected."""
    c, size = each_codec, 5000
    good = c.encode(sample("float32", size))
    out = np.zeros(size, np.float32)
    huge = TensorType("float32", (1 << 40,))
    megabytes = bytes(4 << 20)
    damaged = bytearray(good)
    damaged[: len(good) // 2 : 7] = bytes(b ^ 0xFF for b in damaged[: len(good) // 2 : 7])
    reads = [
        lambda: c.decode_chunk(good[:-1], out),
        lambda: c.accumulate_chunk(memoryview(damaged), out),
        lambda: c.decode_chunk(megabytes, out),
        lambda: c.decode_chunk(bomb(c.nominal_bytes(size, "float32"), 64), out),
        lambda: c.decode(good, huge),
        lambda: c.decode(bomb(c.nominal_bytes(1 << 40, "float32"), 64), huge),
    ]
    for read in [lambda: c.accumulate_chunk(good, out), *reads]:  # the first brings what is imported late
        tracemalloc.start()
        try:
            read()
        except CodecError:
            pass
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < 1 << 20 or read not in reads


def test_bombs_are_refused_in_bounded_memory():
    """A process that may take 64 MB more than it has refuses bombs of gigabytes."""
    program = """
import resource, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from test_codec_hostile import bomb
from tierfed.codecs import codec
from tierfed.errors import CodecError
from tierfed.types import TensorType
x = np.ones(300, np.float32)
c = codec("int8+zstd")
c.decode(c.encode(x), TensorType("float32", (300,)))
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + (64 << 20), now + (64 << 20)))
for size in (300, 1 << 40):
    for data in (bomb(1 << 40, 10), bomb(1 << 31, 16384), bomb(308, 16384), bomb(None, 16384), bomb(1 << 42, 16384)):
        try:
            c.decode(data, TensorType("float32", (size,)))
        except CodecError:
            print("refused")
"""
    ran = subprocess.run(
        [sys.executable, "-c", program, os.path.dirname(__file__)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stdout.split() == ["refused"] * 10, ran.stderr
