"""Auto: it picks what pays, loses nothing, is never much longer, and refuses what it never writes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierfed.codecs import CHUNK, codec
from tierfed.codecs.auto import Auto, packed_by
from tierfed.codecs.zstd import Zstd
from tierfed.errors import CodecError
from tierfed.types import TensorType

AUTO = Auto()
MEND = "\n  to mend: the bytes were damaged or written by another codec: name one codec for both ends of the link"


def data_of(name: str) -> bytes:
    """Return a chunk of one kind."""
    random = np.random.default_rng(0)
    normal = random.standard_normal(CHUNK).astype(np.float32)
    match name:
        case "random bytes":
            return random.bytes(1 << 20)
        case "int8 codes":
            return np.rint(normal * 32).astype(np.int8).tobytes()
        case "normal float32":
            return normal.tobytes()
        case "normal bfloat16":
            return (normal.view(np.uint32) >> np.uint32(16)).astype(np.uint16).tobytes()
        case "normal float64":
            return random.standard_normal(CHUNK // 2).tobytes()
        case "small int64":
            return random.integers(0, 1000, CHUNK // 2).tobytes()
        case "text":
            return b"the quick brown fox " * 40_000
    raise AssertionError(name)


@pytest.mark.parametrize(
    ("name", "tag", "most"),
    [
        ("random bytes", 0, 1.00001),
        ("int8 codes", 1, 0.94),
        ("normal float32", 4, 0.85),  # zstd alone .92
        ("normal bfloat16", 2, 0.7),  # .78
        ("normal float64", 8, 0.89),  # .96
        ("small int64", 8, 0.17),
        ("text", 1, 0.01),
    ],
)
def test_it_picks_what_pays(name: str, tag: int, most: float) -> None:
    """Shuffling by the width of the elements where they are numbers, zstd where things repeat, else nothing."""
    data = data_of(name)
    code = AUTO.encode(data)
    assert (code[0], len(code) / len(data)) == (tag, pytest.approx(0, abs=most))
    assert bytes(AUTO.decode(memoryview(code), len(data), len(data))) == data


def test_it_is_not_far_from_the_best_of_all() -> None:
    """What is picked by a sample is within 3 % of the shortest of all four, each tried on the whole chunk."""
    for name in ("normal float32", "normal bfloat16", "normal float64", "small int64"):
        for raw in (np.frombuffer(data_of(name), np.uint8), np.frombuffer(data_of(name)[:50_000], np.uint8)):
            best = min(len(packed_by(raw, width, 1)) for width in (1, 2, 4, 8))
            assert len(AUTO.encode(raw.data)) <= 1.03 * best


def test_weights_of_a_trained_model_shrink() -> None:
    """A matrix fitted by gradient steps, which is what models are made of, takes a seventh less."""
    random = np.random.default_rng(0)
    x, truth = random.standard_normal((2048, 256)), random.standard_normal((256, 64)) * (random.random((256, 1)) < 0.2)
    y, w = x @ truth + 0.1 * random.standard_normal((2048, 64)), np.zeros((256, 64))
    for _ in range(10):
        w -= 0.2 * x.T @ (x @ w - y) / len(x)
    weights = w.astype(np.float32)
    c = codec("auto")
    data = c.encode(weights)
    assert len(data) < 0.87 * weights.nbytes
    assert (c.decode(data, TensorType("float32", weights.shape)) == weights).all()


@given(st.binary(max_size=300), st.sampled_from([1, 1, 50, 2000]))
def test_nothing_is_lost_and_a_byte_is_the_most_that_is_added(piece: bytes, times: int) -> None:
    """Any bytes come back, through a code that is at most one byte longer."""
    data = piece * times
    code = AUTO.encode(data)
    assert len(code) <= AUTO.most(len(data)) <= len(data) + 1
    assert bytes(AUTO.decode(memoryview(code), len(data), len(data))) == data


def test_it_is_a_stage_like_others() -> None:
    """Alone it is none+auto; behind int8 it takes its codes; twice it adds a byte; its level is an option."""
    assert codec("auto") == codec("none+auto") and str(codec("int8 + auto(9)")) == "int8+auto(level=9)"
    x = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    t = TensorType("float32", x.shape)
    for spec in ("auto", "int8+auto", "auto+auto", "auto+zstd", "int8+auto(level=19)"):
        c = codec(spec)
        assert not c.fixed_size
        assert len(c.encode(x)) <= (c.most_bytes(5000, "float32") or 0)
        assert (
            c.decode(c.encode(x), t)
            == codec("int8" if "int8" in spec else "none").decode(
                codec("int8" if "int8" in spec else "none").encode(x), t
            )
        ).all()
    for wrong in ("auto(0)", "auto(23)", "auto(true)", "auto(fast)"):
        with pytest.raises(CodecError, match="there is no level .*\n.*give a level from 1 to 22"):
            codec(wrong)


def refused(code: bytes, size: int = 300) -> str:
    """Return the text with which a code of `size` float32 is refused, decoding and adding."""
    told = []
    for way in ("decode_chunk", "accumulate_chunk"):
        out = np.full(size, 7, np.float32)
        with pytest.raises(CodecError) as error:
            getattr(codec("auto"), way)(code, out)
        assert (out == 7).all()
        told.append(str(error.value))
    assert told[0] == told[1]
    return told[0]


def frame(size: int) -> bytes:
    """Return a frame of `size` zeros."""
    return bytes(Zstd(1).encode(bytes(size)))


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (b"\3" + frame(1200), f"auto: no stage has the tag 3{MEND}"),
        (b"\xff", f"auto: no stage has the tag 255{MEND}"),
        (b"\0" + bytes(1199), f"auto: 1199 bytes as they are, where 1200 are expected{MEND}"),
        (b"\0" + bytes(1201), f"auto: 1201 bytes as they are, where 1200 are expected{MEND}"),
        (b"\0", f"auto: 0 bytes as they are, where 1200 are expected{MEND}"),
        (b"\4", f"auto: a tag, and no frame{MEND}"),
        (b"\4" + bytes(1200), f"auto: a frame of 1200 bytes is not shorter than what it is of{MEND}"),
        (b"\4" + frame(1204), f"zstd: the frame declares 1204 bytes, where 1200 are expected{MEND}"),
        (b"\4" + frame(1 << 24), f"zstd: the frame declares {1 << 24} bytes, where 1200 are expected{MEND}"),
        (b"\1" + bytes(1100), "zstd: 1100 bytes are no zstd frame"),
        (b"\1" + frame(1200)[:-1], "zstd: the frame of"),
    ],
)
def test_what_it_never_writes_is_refused(code: bytes, told: str) -> None:
    """Other tags, other lengths, frames that declare something else or are not worth their while."""
    assert refused(code).startswith(told)


def test_bytes_where_nothing_is_expected_are_refused() -> None:
    """Of nothing the code is nothing, and a tag alone is no code of anything."""
    assert AUTO.encode(b"") == b"" and AUTO.most(0) == 0
    for code in (b"\0", b"\1", b"\0\0", b"\1" + frame(1)):
        with pytest.raises(CodecError):
            codec("auto").decode(code, TensorType("float32", (0,)))
