"""Compiled kernels and numpy write the same bytes, decode to the same bits, add to the same sums, and refuse alike."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tierfed.codecs import CHUNK, TABLE, Stream, codec, compiled
from tierfed.codecs.before_fork import wanted
from tierfed.codecs.floats import ceiling
from tierfed.codecs.grids import highest_scale
from tierfed.codecs.int8 import Int8
from tierfed.errors import CodecError
from tierfed.types.dtypes import FLOATS, dtype_of, name_of

pytest.importorskip("numba")

COMPILED = [name for name, stage in TABLE.items() if getattr(stage, "kernels", "")]
OPTIONS = ["int8(stochastic=true)", *(f"qsgd({b})" for b in (2, 3, 5, 6, 7, 8)), *(f"eden({b})" for b in (1, 2, 3))]
SPECS = [*COMPILED, *(o for o in OPTIONS if codec(o).array_stage.name in COMPILED)]
SIZES = [(1 << 16) + 300, 3 << 12, 257, 4096, 4095, (1 << 12) + 768, 1 << 13, 256, 255, 1, 0]
STREAM = Stream.of(7, "3", "2.0", "c-eu-03", "").at("delta.w")
NORMAL = np.finfo(np.float32)
SPECIAL = [0.0, -0.0, 1.0, -1.0, 127.0, 126.5, 0.5, 2.0**-149, -(2.0**-133), 1e-40, 2.0**-126, 6e-8, 6e4, -1e38]
LARGE = [float(NORMAL.max), -float(NORMAL.max), 65504.0, 65519.0, 3.39e38, float.fromhex("0x1.fep127")]
REFUSED = [float("nan"), float("inf"), float("-inf"), 65520.0, 1e39]


@contextmanager
def least(elements):
    """Within it, chunks of so many elements, and more, are coded by kernels."""
    before, compiled.LEAST = compiled.LEAST, elements
    try:
        yield
    finally:
        compiled.LEAST = before


def outcomes(function, *args):
    """Return what `function` returns, or the text of the CodecError that it raises: by numpy, then compiled."""
    both = []
    for elements in (1 << 62, 0):
        with least(elements):
            both.append(attempt(function, *args))
    return both


def attempt(function, *args):
    """Return what `function` returns, or the text of its CodecError."""
    try:
        return function(*args)
    except CodecError as e:
        return str(e)


def decoded(c, data, base):
    """Return the error for `data`, if there is one, what it decodes to, and its sum with `base`."""
    out, total = base.copy(), base.copy()
    known = attempt(c.check_chunk, data, base.size, name_of(base.dtype))
    error = attempt(c.decode_chunk, data, out)
    assert attempt(c.accumulate_chunk, data, total) == error
    assert known is False or known == (error or True)  # what is checked without decoding is refused alike
    return error, out.tobytes(), total.tobytes()


def mixed(random, size):
    """Return float64 numbers that float32 has too: each 256 or 4096 of a kind, many where rounding is at its edges."""
    normal = random.standard_normal(size) * 2.0 ** random.integers(-148, 14)
    steps = random.choice([1, 3, 7, 15, 31, 63, 127])
    scale = np.float32(random.random() + 1)
    between = (random.integers(-steps, steps, size).astype(np.float32) + np.float32(0.5)) * scale  # two codes
    between[::50] = np.float32(steps) * scale
    bits = random.integers(0, 2**32, size, np.uint32)
    any_bits = np.where(bits & 0x7F80_0000 >= 0x7F00_0000, np.uint32(0), bits)
    kept = random.choice([13, 16, 20], size)
    middle = (1 << kept >> 1) + random.integers(-1, 2, size)  # between two floats of fewer bits, near 1
    near = (bits & 0x83FF_FFFF | 0x3C00_0000) & (-1 << kept) | middle
    kinds = [
        normal,
        normal * (random.random(size) < 0.01),
        between,
        any_bits.view(np.float32),
        near.astype(np.uint32).view(np.float32),
        random.choice(SPECIAL + LARGE, size),
    ]
    which = np.repeat(random.integers(0, len(kinds), size // 256 + 1), random.choice([256, 4096]))[:size]
    return np.choose(which, [np.float32(kind).astype(np.float64) for kind in kinds])


@st.composite
def chunks(draw):
    """An array of a carried dtype, once in a while with something that is refused."""
    dtype = dtype_of(draw(st.sampled_from(["float32", *FLOATS])))
    size = draw(st.sampled_from(SIZES))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    with np.errstate(all="ignore"):
        reach = draw(st.sampled_from([65504.0, 3e38, float(NORMAL.max)]))  # float16 ends at the first
        x = np.clip(mixed(random, size), -reach, reach)
        if size and draw(st.integers(0, 9)) == 9:
            x[random.integers(size)] = draw(st.sampled_from(REFUSED))
        return x.astype(dtype)


@pytest.mark.parametrize("spec", SPECS)
@settings(max_examples=20, phases=[Phase.explicit, Phase.generate])
@given(x=chunks(), first=st.sampled_from([0, CHUNK, 48, 5]), seed=st.integers(0, 99))
def test_both_ways_are_the_same(spec, x, first, seed):
    """Codes, decoded values, sums and errors are those of numpy, for any values, dtype, size and options."""
    c = codec(spec)
    by_numpy, by_kernels = outcomes(lambda: bytes(c.encode_chunk(x, first, STREAM)))
    assert by_kernels == by_numpy
    if isinstance(by_numpy, str):
        return
    base = np.random.default_rng(seed).standard_normal(x.size).astype(x.dtype)
    for data in (memoryview(by_numpy), memoryview(b"\0" + by_numpy)[1:]):  # aligned or not
        one, other = outcomes(decoded, c, data, base)
        assert other == one
    spoilt = bytearray(by_numpy)
    for at in np.random.default_rng(seed).integers(0, len(spoilt), min(len(spoilt), 3)):
        spoilt[at] ^= 1 << seed % 8
    one, other = outcomes(decoded, c, memoryview(spoilt), base)
    assert other == one
    assert one[0] is None or one[1] == one[2] == base.tobytes()  # an error leaves sums as they were


def spoilt(name, size, bits):
    """Return bytes that no encoder writes of `size` elements: of int8, or of qsgd with so many bits."""
    blocks = -(-size // 256)
    c = codec(name if name == "int8" else f"{name}({bits})")
    good = np.frombuffer(
        c.encode_chunk(np.random.default_rng(1).standard_normal(size, np.float32), 0, STREAM), np.uint8
    )
    steps = np.float32(127 if name == "int8" else 2 ** (bits - 1) - 1)
    with np.errstate(over="ignore"):
        over = np.nextafter(NORMAL.max / steps, np.float32("inf"))
    for block in (0, blocks // 2, blocks - 1):
        for scale in (np.float32("nan"), np.float32(-0.0), over):
            data = good.copy()
            data[4 * block : 4 * block + 4] = np.array([scale], "<f4").view(np.uint8)
            yield data
    rows = good[4 * blocks :].size // (1 if name == "int8" else bits)
    for at in (0, 1000, rows - 1):
        for also in (False, True):  # what is found first of two
            data = good.copy()
            if name == "int8":
                data[4 * blocks + at] = 128
            else:
                data[4 * blocks :].reshape(bits, -1)[:, at] |= 1 << (size - 1) % 8
            if also:
                data[3] |= 0x80
            yield data
    if name == "qsgd" and size % 8:
        for plane in range(bits):
            data = good.copy()
            data[4 * blocks :].reshape(bits, -1)[plane, -1] |= 0x80
            yield data


@pytest.mark.parametrize(("name", "bits"), [("int8", 8), ("qsgd", 2), ("qsgd", 4), ("qsgd", 8)])
@pytest.mark.parametrize("size", [1 << 13, (1 << 14) + 301])
def test_what_is_wrong_is_found_wherever_it_is(name, bits, size):
    """One scale, one code or one bit after the last, at the ends or between, is refused in the same words."""
    c = codec(name if name == "int8" else f"{name}({bits})")
    for data in spoilt(name, size, bits):
        by_numpy, by_kernels = outcomes(decoded, c, memoryview(data), np.ones(size, np.float32))
        assert by_kernels == by_numpy and "codec" in str(by_numpy[0])


@pytest.mark.parametrize("steps", [1, 3, 7, 15, 31, 63, 127])
@pytest.mark.parametrize("name", FLOATS)
def test_the_highest_scale_is_the_last_whose_values_fit(name, steps):
    """So many steps of it are within the dtype, and of the next one they are not."""
    bits = highest_scale(dtype_of(name), steps)
    with np.errstate(over="ignore"):
        below, above = np.array([bits, bits + 1], np.uint32).view(np.float32) * np.float32(steps)
    assert below <= ceiling(dtype_of(name)) < above


@pytest.mark.parametrize("spec", COMPILED)
def test_a_chunk_of_a_link_is_compiled(spec, monkeypatch):
    """A chunk of a link's size is coded by kernels without being told, to the same bytes as without numba."""
    x = np.random.default_rng(1).standard_normal(CHUNK).astype(np.float32)
    c, name = codec(spec), codec(spec).stages[0].kernels
    used = []
    monkeypatch.setattr(compiled, "load", lambda name: used.append(name))
    plain = bytes(c.encode_chunk(x, 0, STREAM))
    monkeypatch.undo()
    assert used and set(used) == {name}
    assert compiled.load(name) is not None
    assert bytes(c.encode_chunk(x, 0, STREAM)) == plain


def test_kernels_draw_the_numbers_of_a_stream():
    """Philox within a kernel gives numpy's words, for keys and counts of any size."""
    from tierfed.codecs.fast.philox import draw

    for key, start in ((0, 0), (2**128 - 1, 16), (STREAM.key, 5 * 2**40)):
        stream = Stream(key)
        words = np.empty(64, np.uint64)
        draw(*stream.place(start), words)
        assert (words.view(np.uint16) == stream.sixteen(start, 256)).all()


def test_the_environment_turns_kernels_off(monkeypatch):
    """TIERFED_FAST=0 keeps to numpy, and nothing is loaded before a fork."""
    chunk = np.zeros(CHUNK, np.float32)
    try:
        compiled.load.cache_clear()
        monkeypatch.setenv("TIERFED_FAST", "0")
        assert compiled.kernels("int8", chunk) is None
        assert wanted(["int8"]) == []
        monkeypatch.delenv("TIERFED_FAST")
        assert compiled.kernels("int8", chunk) is None  # decided once
    finally:
        compiled.load.cache_clear()
    assert compiled.kernels("int8", chunk) is not None


def test_a_numba_that_cannot_be_imported_is_none(monkeypatch):
    """A numba that refuses this numpy, with an ImportError, is as good as none."""

    def refuse(name):
        raise ImportError("Numba needs NumPy 2.3 or less")

    try:
        compiled.load.cache_clear()
        monkeypatch.setattr(compiled.importlib, "import_module", refuse)
        assert compiled.load("int8") is None
    finally:
        compiled.load.cache_clear()


def test_small_and_unaligned_chunks_are_numpy_s():
    """Fewer than 2^16 elements are not worth an import, and kernels take aligned arrays only."""
    assert compiled.kernels("int8", np.zeros((1 << 16) - 1, np.float32)) is None
    unaligned = np.zeros(4 * CHUNK + 1, np.uint8)[1:].view(np.float32)
    assert compiled.kernels("int8", unaligned) is None
    assert Int8().encode(unaligned, 0, STREAM) == Int8().encode(unaligned.copy(), 0, STREAM)


def test_a_zygote_loads_what_its_links_need():
    """Each codec's kernels once, of rules too, and none for codecs that have none."""
    load = "tierfed.codecs.compiled:load"
    assert wanted(["none", "zstd", "none"]) == []
    assert wanted(["int8+zstd", "none", "bf16", "clip+int8"]) == [f"{load} bf16", f"{load} int8"]
    assert wanted(['{"default": "qsgd", "*/b": "fp16"}']) == [f"{load} fp16", f"{load} qsgd"]


def test_a_forked_process_shares_the_kernels_of_its_zygote():
    """Loaded as a zygote loads them, they work in a child, and in its parent afterwards."""
    program = (
        "import os, sys, numpy as np\n"
        "from tierfed.launch.zygote import _import\n"
        "from tierfed.codecs import codec\n"
        "_import('tierfed.codecs.compiled:load int8')\n"
        "x = np.linspace(-1, 1, 2**17, dtype=np.float32)\n"
        "child = os.fork()\n"
        "code = bytes(codec('int8').encode_chunk(x))\n"
        "assert 'tierfed.codecs.fast.int8' in sys.modules\n"
        "os.write(1, code[:8].hex().encode() + b' ')\n"
        "if not child: os._exit(0)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    one, other = ran.stdout.split()
    assert one == other


@pytest.mark.parametrize("failure", [RuntimeError("no locator available"), OSError(28, "No space left on device")])
def test_without_a_folder_for_the_cache_kernels_are_compiled_anyway(failure, monkeypatch):
    """Where numba's cache cannot be written to, each process compiles for itself."""
    from numba.core.dispatcher import Dispatcher

    from tierfed.codecs.fast.jit import kernel

    def refuse(self):
        raise failure

    monkeypatch.setattr(Dispatcher, "enable_caching", refuse)

    @kernel("int64(int64)")
    def successor(number):
        return number + 1

    assert successor(41) == 42


def test_a_cached_kernel_is_good_for_its_sources_only(tmp_path, monkeypatch):
    """A kernel is read from the cache, unless any file of the folder has changed: it may have a part in another."""
    from tierfed.codecs.fast import jit

    file = tmp_path / "doubling.py"
    file.write_text(
        "from tierfed.codecs.fast.jit import kernel\n\n\n"
        '@kernel("int64(int64)")\ndef doubled(number):\n    return 2 * number\n'
    )

    def hits():
        spec = importlib.util.spec_from_file_location("doubling", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert module.doubled(4) == 8
        return sum(module.doubled.stats.cache_hits.values())

    assert [hits(), hits()] == [0, 1]
    monkeypatch.setattr(jit, "_STAMP", (*jit._STAMP, ("another.py", 1, 1)))
    assert [hits(), hits()] == [0, 1]


def test_numba_comes_with_the_first_large_chunk():
    """Neither building codecs nor coding small chunks imports it."""
    program = (
        "import sys, numpy as np\n"
        "from tierfed.codecs import codec\n"
        "x = np.ones(2**16, np.float32)\n"
        "codec('int8').encode_chunk(x[1:])\n"
        "print('numba' in sys.modules)\n"
        "codec('int8').encode_chunk(x)\n"
        "print('numba' in sys.modules)\n"
    )
    env = {k: v for k, v in os.environ.items() if k != "TIERFED_FAST"}
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=env)
    assert ran.stdout.split() == ["False", "True"]
