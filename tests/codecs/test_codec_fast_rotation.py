"""Eden and drive, compiled: the bytes, the bits and the errors of numpy."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierfed.codecs import Stream, codec, compiled
from tierfed.codecs.chunks import CHUNK
from tierfed.errors import CodecError
from tierfed.types.dtypes import FLOATS, dtype_of

pytest.importorskip("numba")

SPECS = ["drive", "eden(1)", "eden(2)", "eden(3)", "eden(4)"]
SIZES = [32, 4095, 4096, 4097, 8191, 8192, 8193, 12288, 20000]


class Used:
    """Kernels that count how often they are called."""

    def __init__(self, kernels):
        self.kernels, self.times = kernels, 0

    def __getattr__(self, name):
        self.times += 1
        return getattr(self.kernels, name)


def ways(do):
    """Return what `do()` gives compiled, what in numpy, and how many kernels were called."""
    used = Used(compiled.load("rotation"))
    assert used.kernels is not None
    with mock.patch.object(compiled, "kernels", lambda name, chunk: used):
        fast = do()
    with mock.patch.object(compiled, "kernels", lambda name, chunk: None):
        return fast, do(), used.times


def arrays(seed, name, size, kind):
    """Return an array that is dense, sparse, huge, tiny, of zeros, of both signs of zero, or of blocks of all these."""
    random = np.random.default_rng(seed)
    kinds = {
        "dense": lambda n: random.standard_normal(n),
        "lognormal": lambda n: np.exp(4 * random.standard_normal(n)),
        "sparse": lambda n: random.standard_normal(n) * (random.random(n) < 0.002),
        "huge": lambda n: random.uniform(-1, 1, n) * largest,
        "tiny": lambda n: random.integers(-9, 10, n) * smallest,
        "zeros": lambda n: np.where(random.random(n) < 0.5, 0.0, -0.0),
        "equal": lambda n: np.full(n, random.standard_normal()),
    }
    largest = {"float16": 6e4, "float32": 3.4e38, "float64": 3.4e38, "bfloat16": 3.3e38}[name]
    smallest = {"float16": 2.0**-24, "float32": 2.0**-149, "float64": 2.0**-149, "bfloat16": 2.0**-133}[name]
    chosen = random.choice(list(kinds), -(-size // 2500)) if kind == "mixed" else [kind]
    made = np.concatenate([kinds[k](2500 if kind == "mixed" else size) for k in chosen])[:size]
    return np.clip(made, -largest, largest).astype(dtype_of(name))


KINDS = ["dense", "lognormal", "sparse", "huge", "tiny", "zeros", "equal", "mixed"]


@pytest.mark.parametrize("spec", SPECS)
@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(FLOATS),
    size=st.sampled_from(SIZES) | st.integers(4096, 30000),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 2**32),
)
def test_the_bytes_and_bits_are_those_of_numpy(spec, name, size, kind, seed):
    """Codes, decodes and sums, of every dtype and of values of all magnitudes."""
    c, x = codec(spec), arrays(seed, name, size, kind)
    start = arrays(seed + 1, name, size, "mixed")

    def into(take, data):
        out = start.copy()
        take(data, out)
        return out.tobytes()

    data, same, used = ways(lambda: c.encode(x, Stream.of(seed)))
    assert data == same
    decoded, same, used_to_decode = ways(lambda: into(c.decode_chunk, data))
    assert decoded == same
    added, same, used_to_add = ways(lambda: into(c.accumulate_chunk, data))
    assert added == same
    blocks = size >= 8192 or size == 4096
    assert [used, used_to_decode, used_to_add] == [blocks] * 3


def test_any_processor_gives_the_same_bits():
    """Code for the plainest processor of this family, without wide registers, codes and adds as numpy does."""
    program = (
        "import hashlib, numpy as np\n"
        "from tierfed.codecs import codec, compiled\n"
        "from tierfed.codecs.fast import lanes\n"
        "x = np.exp(np.random.default_rng(0).standard_normal(1 << 16)).astype(np.float32)\n"
        "assert compiled.kernels('rotation', x) and lanes.LANES == 8\n"
        "data = codec('eden(3)').encode(x)\n"
        "codec('eden(3)').accumulate_chunk(data, x)\n"
        "print(hashlib.sha256(data + x.tobytes()).hexdigest())\n"
    )
    plain = {**os.environ, "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    ran = subprocess.run([sys.executable, "-c", program], env=plain, capture_output=True, text=True, timeout=100)
    assert not ran.stderr
    x = np.exp(np.random.default_rng(0).standard_normal(1 << 16)).astype(np.float32)
    with mock.patch.object(compiled, "kernels", lambda name, chunk: None):
        data = codec("eden(3)").encode(x)
        codec("eden(3)").accumulate_chunk(data, x)
    assert ran.stdout.strip() == hashlib.sha256(data + x.tobytes()).hexdigest()


def test_several_chunks_at_once():
    """What is longer than a chunk is coded a chunk at a time, each block with its own signs."""
    c, x = codec("eden(2)"), arrays(0, "float32", CHUNK + 3 * 4096 + 5, "dense")
    data, same, used = ways(lambda: c.encode(x, Stream.of(1)))
    assert data == same
    assert used == 2
    out, same_out = np.ones_like(x), np.ones_like(x)
    ways(lambda: c.accumulate_chunk(data, out))
    assert ways(lambda: c.accumulate_chunk(data, same_out))[2] == 2
    assert out.tobytes() == same_out.tobytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 5000, 8192 + 4095, 8192 + 4097])
def test_what_cannot_be_quantised_is_refused_alike(value, at):
    """In any block, with the same words; the array is looked at until its first such value."""
    x = np.ones(8192 + 5000, np.float32)
    x[at] = value

    def refused():
        with pytest.raises(CodecError) as e:
            codec("eden").encode_chunk(x, 7)
        return str(e.value)

    fast, slow, _ = ways(refused)
    assert fast == slow
    assert fast.startswith(f"eden: {value:g} at element {at + 7} cannot be quantised")


def test_random_codes_decode_alike():
    """Bytes that no encoder wrote, of large scales, are clipped to the dtype by the same bits."""
    random = np.random.default_rng(3)
    for spec in SPECS:
        for name in FLOATS:
            out = np.zeros(2 * 4096, dtype_of(name))
            data = random.integers(0, 256, codec(spec).nominal_bytes(out.size, name), np.uint8)
            data[8:16].view("<f4")[:] = [3e38, 1e3]

            def decoded():
                codec(spec).decode_chunk(data.data, out)
                return out.tobytes()

            fast, slow, used = ways(decoded)
            assert fast == slow
            assert used == 1


def test_kernels_are_used_for_large_chunks_alone():
    """From 2^16 elements on; the import of numba is not worth it for fewer."""
    assert compiled.kernels("rotation", np.empty(compiled.LEAST, np.float32)) is compiled.load("rotation")
    assert compiled.kernels("rotation", np.empty(compiled.LEAST - 1, np.float32)) is None
