"""Clip: a stage before the one that makes bytes, in chains, on values, and where it does not belong."""

from __future__ import annotations

import numpy as np
import pytest

from tierfed.codecs import Stream, codec
from tierfed.errors import CodecError
from tierfed.types import TensorType
from tierfed.types.dtypes import FLOATS

CHAINS = ["clip(0.5)", "clip(0.5)+int8", "clip(0.5)+qsgd+zstd", "clip(2)+clip(0.5)+bf16"]


@pytest.mark.parametrize(
    ("spec", "shown", "config"),
    [
        ("clip", "clip+none", [{"clip": {"limit": 1.0}}, {"none": {}}]),
        (
            "clip(0.5)+zstd",
            "clip(limit=0.5)+none+zstd",
            [{"clip": {"limit": 0.5}}, {"none": {}}, {"zstd": {"level": 3}}],
        ),
        ([{"clip": {"limit": 3}}, "bf16"], "clip(limit=3)+bf16", [{"clip": {"limit": 3}}, {"bf16": {}}]),
        ("clip(1e-3)+sign", "clip(limit=0.001)+sign", [{"clip": {"limit": 0.001}}, {"sign": {}}]),
    ],
)
def test_chains_with_clip_read_back(spec, shown, config):
    """The raw array takes the place of a missing array stage; notation and JSON give an equal codec."""
    c = codec(spec)
    assert str(c) == shown and c.config == config
    assert codec(str(c)) == codec(c.config) == c
    assert c.lossy and c.fixed_size == ("zstd" not in shown)


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("name", FLOATS)
def test_the_code_is_that_of_the_clipped_array(chain, name):
    """What follows sees the clipped values, whatever the dtype; the input is not changed, the sum is fused as ever."""
    t = TensorType(name, (70_000,))
    x = np.random.default_rng(0).standard_normal(70_000).astype(t.dtype)
    x.flags.writeable = False
    clipped = np.clip(x.astype(np.float64), -0.5, 0.5).astype(t.dtype)
    c, rest = codec(chain), codec("+".join(p for p in chain.split("+") if not p.startswith("clip")) or "none")
    data = c.encode(x, Stream.of(1))
    assert data == rest.encode(clipped, Stream.of(1))
    total, expected = np.ones(x.size, t.dtype), np.ones(x.size, t.dtype)
    c.accumulate_chunk(data, total)
    np.add(expected, c.decode(data, t), out=expected)
    assert total.tobytes() == expected.tobytes()
    assert c.nominal_bytes(70_000, name) == rest.nominal_bytes(70_000, name)
    if chain == "clip(0.5)":
        assert c.decode(data, t).tobytes() == clipped.tobytes()


def test_clip_golden_bytes():
    """The bytes that were written: of the clipped values, as the next stage writes them."""
    x = np.float32([-3, -0.5, 0, 0.25, 7])
    assert codec("clip(0.5)").encode(x).hex() == "000000bf000000bf000000000000803e0000003f"
    assert codec("clip(0.5)+bf16").encode(x).hex() == "00bf00bf0000803e003f"


@pytest.mark.parametrize("chain", ["clip", "clip+int8", "clip+zstd"])
@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_not_clipped(chain, name, value):
    """An infinity is a mistake, and not a large number."""
    x = np.zeros(300).astype(TensorType(name).dtype)
    x[17] = value
    with pytest.raises(CodecError) as e:
        codec(chain).encode_chunk(x, 1000)
    assert str(e.value) == (
        f"clip: {value:g} at element 1017 cannot be clipped\n  to mend: find the computation that made it, "
        "or use codec none on this link, which carries nan and infinity"
    )


def test_clip_brings_values_into_the_range_of_what_follows():
    """Values beyond float32, and beyond fp16, are carried once they are clipped."""
    x = np.array([1e300, -7e4, 3.0])
    assert codec("clip(100)+fp16").decode(codec("clip(100)+fp16").encode(x), TensorType("float64", (3,))).tolist() == [
        100, -100, 3,
    ]  # fmt: skip


def test_a_limit_beyond_the_dtype_clips_nothing():
    """A limit that float16 does not have is no limit of float16 values, and warns of nothing."""
    x = np.float16([65504, -65504, 1])
    assert codec("clip(1e9)").encode(x) == x.tobytes()


def test_clipping_makes_terngrad_err_less():
    """What the stage is for: on lognormal numbers the scale of a block is that of its largest element."""
    x = np.exp(np.random.default_rng(0).standard_normal(1 << 16)).astype(np.float32)
    errors = []
    for spec in ("terngrad", "clip(8)+terngrad"):
        y = codec(spec).decode(codec(spec).encode(x), TensorType("float32", x.shape))
        errors.append(((y - x) ** 2).sum() / (x**2).sum())
    assert errors[1] < errors[0] / 4


@pytest.mark.parametrize("limit", ["0", "-1", "0.0", "true", "word"])
def test_a_limit_is_a_positive_number(limit):
    """Anything else is refused when the chain is built."""
    with pytest.raises(CodecError, match="clip: the limit is .*\n  to mend: give a positive number: clip[(]0.5[)]"):
        codec(f"clip({limit})")


@pytest.mark.parametrize("spec", ["int8+clip", "zstd+clip", "clip+none+clip"])
def test_clip_stands_before_what_makes_bytes(spec):
    """Behind it there is no array to clip."""
    with pytest.raises(
        CodecError, match="clip takes an array, and .* before it gives bytes\n  to mend: write clip first"
    ):
        codec(spec)


def test_clip_carries_floats_only():
    """Behind clip, even `none` carries floats alone: the check before launch says so."""
    with pytest.raises(CodecError) as e:
        codec("clip").check_carries(TensorType("int32", (5000,)))
    assert str(e.value) == (
        'codec "clip+none": clip+none carries float16, float32, float64 and bfloat16, not int32[5000]\n'
        "  to mend: use codec none on this link, or convert the value to a dtype that clip+none carries"
    )
    assert codec("clip").most_bytes(5, "int32") is None
