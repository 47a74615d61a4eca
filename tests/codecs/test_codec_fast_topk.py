"""Topk's selection, compiled: the indices that numpy selects, and those that sorting gives."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierfed.codecs import codec, compiled, topk
from tierfed.errors import CodecError

pytest.importorskip("numba")

KINDS = {
    "dense": lambda random, n: random.standard_normal(n),
    "integers": lambda random, n: random.integers(-3, 4, n),
    "sparse": lambda random, n: random.standard_normal(n) * (random.random(n) < 0.01),
    "zeros": lambda random, n: np.where(random.random(n) < 0.5, 0.0, -0.0),
    "rising": lambda random, n: np.sort(np.exp(9 * random.standard_normal(n))),
    "hidden": lambda random, n: np.where(np.arange(n) % 512 < 8, 0, random.standard_normal(n)),  # from the sample
    "bits": lambda random, n: random.integers(0, 2**32, n, np.uint32).view(np.float32),
}


def both(do):
    """Return what `do()` gives compiled, and in numpy; the kernels are used if there are elements."""
    loops = mock.Mock(wraps=compiled.load("topk"))
    with mock.patch.object(compiled, "kernels", lambda name, chunk: loops if name == "topk" else None):
        fast = do()
    assert loops.above.called
    with mock.patch.object(compiled, "kernels", lambda name, chunk: None):
        return fast, do()


@settings(max_examples=120, deadline=None)
@given(
    size=st.sampled_from([1, 7, 8, 15, 16, 17, 63, 64, 65, 127, 129]) | st.integers(1, 1 << 17),
    kind=st.sampled_from(sorted(KINDS)),
    part=st.sampled_from([0.0, 0.001, 0.01, 0.1, 0.124, 0.5, 1.0]),
    seed=st.integers(0, 2**32),
)
def test_the_largest_are_selected_and_of_equal_ones_the_first(size, kind, part, seed):
    """Whatever the values, NaNs among them, and however many are selected."""
    with np.errstate(all="ignore"):
        x = KINDS[kind](np.random.default_rng(seed), size).astype(np.float32)
    count = max(1, round(part * size))
    fast, slow = both(lambda: topk.select(x, count))
    magnitudes = (x.view(np.uint32) & 0x7FFFFFFF).astype(np.int64)
    sorted_places = np.sort(np.argsort(-magnitudes, kind="stable")[:count])
    assert fast.dtype == slow.dtype == np.intp
    assert (slow == sorted_places).all()
    assert (fast == sorted_places).all()


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_the_bytes_are_those_of_numpy(name):
    """Of every float dtype, with offsets and with a bitmap."""
    x = np.random.default_rng(0).standard_normal(70_001).astype(name)
    for spec in ("topk(0.01)", "topk(0.2)+int8"):
        fast, slow = both(lambda: codec(spec).encode(x))
        assert fast == slow


@pytest.mark.parametrize("size", [1 << 16, 70_001, 70_007])
def test_bitmaps_are_read_alike(size):
    """The same sums, and the same words for a bitmap that marks too many."""
    c = codec("topk(0.2)")
    data = bytearray(c.encode(np.random.default_rng(size).standard_normal(size).astype(np.float32)))
    sums, texts = [], []
    for loops in (compiled.load("topk"), None):
        with mock.patch.object(compiled, "load", lambda name, loops=loops: loops):
            sums.append(np.ones(size, np.float32))
            c.accumulate_chunk(bytes(data), sums[-1])
            with pytest.raises(CodecError) as e:
                c.accumulate_chunk(b"\xff" + bytes(data[1:]), sums[-1])
            texts.append(str(e.value))
    assert sums[0].tobytes() == sums[1].tobytes()
    assert texts[0] == texts[1]
    marked = round(0.2 * size) + 8 - int(data[0]).bit_count()
    assert texts[0].startswith(f"topk: {marked} of {size} elements are marked, expected {round(0.2 * size)}")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_alike(value):
    """It is among the largest, and named by its place."""
    x = np.random.default_rng(0).standard_normal(70_001).astype(np.float32)
    x[[60_000, 65_000]] = value

    def refused():
        with pytest.raises(CodecError) as e:
            codec("topk").encode_chunk(x, 7)
        return str(e.value)

    fast, slow = both(refused)
    assert fast == slow
    assert fast.startswith(f"topk: {value:g} at element 60007 cannot be quantised")


def test_large_chunks_use_them():
    """From 2^16 elements on."""
    for size, used in ((compiled.LEAST, True), (compiled.LEAST - 1, False)):
        loops = mock.Mock(wraps=compiled.load("topk"))
        with mock.patch.object(compiled, "load", lambda name: loops):
            topk.select(np.ones(size, np.float32), 3)
        assert loops.above.called == used
