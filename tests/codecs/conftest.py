"""What the law suite runs over: every codec of the table, with its options, and under every byte stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tierfed.codecs import TABLE, ArrayStage, ByteStage, Codec, ShortStage, codec
from tierfed.types.dtypes import dtype_of

ARRAY_STAGES = [n for n, cls in TABLE.items() if issubclass(cls, ArrayStage | ShortStage)]  # the latter before `none`
BYTE_STAGES = [n for n, cls in TABLE.items() if issubclass(cls, ByteStage)]
OPTIONS = {
    "int8": ["int8(stochastic=true)"],
    "qsgd": ["qsgd(bits=2)", "qsgd(bits=5)", "qsgd(bits=8)"],
    "eden": ["eden(bits=3)"],
    "topk": ["topk(fraction=0.1)"],
    "thc": ["thc(bits=8)"],
    "randomk": ["randomk(fraction=0.4,shared=true)"],
}
SPECS = [
    *(spec for a in ARRAY_STAGES for spec in (a, *OPTIONS.get(a, ()))),
    *(f"{a}+{b}" for b in BYTE_STAGES for a in (ARRAY_STAGES if b == "zstd" else ("none", "int8"))),
    *(f"{a}+int8" for a in ARRAY_STAGES if issubclass(TABLE[a], ShortStage)),
]
CARRIED = [
    (spec, name)
    for spec in SPECS
    for name in codec(spec).array_stage.dtypes
    if name == "float32" or spec in ARRAY_STAGES or spec in ("none+zstd", "int8+zstd")
]


def make(dtype: str, shape: int | tuple[int, ...], seed: int = 0) -> np.ndarray[Any, Any]:
    """Return an array of any dtype of ours: normal numbers, or integers over their whole range."""
    random = np.random.default_rng(seed)
    kind = dtype_of(dtype).kind
    if dtype == "bool":
        return random.integers(0, 2, shape).astype(bool)
    if kind in "iu":
        info = np.iinfo(dtype)
        return random.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    if kind == "c":
        return (random.standard_normal(shape) + 1j * random.standard_normal(shape)).astype(dtype)
    return random.standard_normal(shape).astype(dtype_of(dtype))


@pytest.fixture(scope="session")
def specs() -> list[str]:
    """Every codec's notation."""
    return SPECS


@pytest.fixture
def sample() -> Callable[..., np.ndarray[Any, Any]]:
    """`sample(dtype, shape, seed)` is an array."""
    return make


@pytest.fixture(params=SPECS)
def each_codec(request: pytest.FixtureRequest) -> Codec:
    """Every codec."""
    return codec(request.param)


@pytest.fixture(params=[s for s in SPECS if "+" not in s])
def bare_codec(request: pytest.FixtureRequest) -> Codec:
    """Every codec without a byte stage."""
    return codec(request.param)


@pytest.fixture(params=CARRIED, ids=lambda p: f"{p[0]}-{p[1]}")
def carried(request: pytest.FixtureRequest) -> tuple[Codec, str]:
    """Every codec with every dtype that it carries."""
    spec, name = request.param
    return codec(spec), name


@pytest.fixture(params=[s for s in SPECS if codec(s).array_stage.unbiased and "+" not in s])
def unbiased_codec(request: pytest.FixtureRequest) -> Codec:
    """Every codec that claims to be unbiased; byte stages change nothing of what is decoded."""
    return codec(request.param)


@pytest.fixture(params=[s for s in SPECS if codec(s).lossy])
def lossy_codec(request: pytest.FixtureRequest) -> Codec:
    """Every codec that loses something."""
    return codec(request.param)
