"""What codecs say they err by on normal numbers is what they err by."""

from __future__ import annotations

import numpy as np
import pytest

from tierfed.codecs import TABLE, ArrayStage, Codec, Stream, codec
from tierfed.codecs.normal import on_grid
from tierfed.types import TensorType

SIZE = 1 << 19
SPECS = [
    *("none", "fp16", "bf16", "fp8", "sign", "drive", "terngrad", "int8", "int8(stochastic=true)"),
    *(f"qsgd({bits})" for bits in range(2, 9)),
    *(f"eden({bits})" for bits in range(1, 5)),
]


@pytest.fixture(scope="module")
def normal() -> np.ndarray:
    """Return normal numbers."""
    return np.random.default_rng(3).standard_normal(SIZE).astype(np.float32)


@pytest.mark.parametrize("spec", SPECS)
def test_what_is_declared_is_what_is_measured(spec: str, normal: np.ndarray) -> None:
    """Within 1 % on 2^19 normal numbers."""
    c = codec(spec)
    back = c.decode(c.encode(normal, Stream.of(1)), TensorType("float32", normal.shape))
    wide = normal.astype(np.float64)
    measured = ((back - wide) ** 2).sum() / (wide**2).sum()
    assert c.nmse == pytest.approx(measured, rel=0.01)


def test_every_codec_of_the_table_that_needs_no_company_is_declared() -> None:
    """A codec whose error nobody knows is one that predictions cannot speak of: only those of other kinds may be."""
    stages = [cls for cls in TABLE.values() if issubclass(cls, ArrayStage)]
    unknown = {cls.name for cls in stages if cls().nmse is None}
    assert unknown <= {"powersgd"}
    assert set(SPECS) >= {cls.name for cls in stages} - unknown - {"qsgd", "eden", "thc"}


def test_byte_stages_change_no_error_and_a_clip_makes_it_unknown() -> None:
    """What is decoded is the same behind zstd; how much is cut off depends on the values, and biases."""

    def of(spec: str) -> tuple[float | None, bool]:
        c: Codec = codec(spec)
        return c.nmse, c.unbiased

    assert of("eden(2)+zstd") == of("eden(2)") == (pytest.approx(0.13312, rel=1e-4), True)
    assert of("none+auto") == of("none") == (0.0, True)
    assert of("int8+zstd") == of("int8") and of("int8")[1] is False
    assert of("clip(0.5)+int8(stochastic=true)") == of("clip+none") == (None, False)


def test_a_finer_grid_errs_by_a_quarter_and_random_rounding_by_twice() -> None:
    """Where steps are small against what they divide, the integral is the textbook's."""
    fine, finer = (on_grid(levels, 256, stochastic=False) for levels in (127, 254))
    assert fine / finer == pytest.approx(4, rel=1e-3)
    assert on_grid(127, 256, stochastic=True) / fine == pytest.approx(2, rel=2e-3)
    assert fine == pytest.approx(4.87e-5, rel=0.01)
