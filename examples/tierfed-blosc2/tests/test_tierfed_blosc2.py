"""The stage blosc2: any bytes come back, and no other bytes are taken for a chunk."""

import numpy as np
import pytest
from tierfed_blosc2 import Blosc2

from tierfed.codecs import codec
from tierfed.errors import CodecError
from tierfed.types import TensorType

SIZES = [0, 1, 3, 4, 31, 100, 65536, 65541, 200_003]
BOMB = bytes.fromhex("05019504 dcffff7f 00000100 20000000 010000000000 05 00 000000000000 00 10")


@pytest.mark.parametrize("stage", [Blosc2(), Blosc2(1, 1, "lz4"), Blosc2(2, 9), Blosc2(16)])
def test_any_bytes_come_back(stage: Blosc2) -> None:
    """Zeros, noise and what is between, of sizes that the type's does not divide."""
    random = np.random.default_rng(0)
    for size in SIZES:
        noise = random.integers(0, 256, size, np.uint8)
        for data in (bytes(size), b"\7" * size, noise.tobytes(), (noise // 64).tobytes()):
            coded = memoryview(stage.encode(data))
            assert len(coded) <= stage.most(size)
            assert stage.decode(coded, size, size) == data


def test_a_chain_over_two_packages() -> None:
    """Floats lose nothing, and take less than zstd makes of them alone."""
    x = np.random.default_rng(0).standard_normal(1 << 16).astype(np.float32)
    chain = codec("none+blosc2(level=9)")
    assert str(chain) == "none+blosc2(level=9)"
    data = chain.encode(x)
    assert len(data) < len(codec("zstd").encode(x))
    assert (chain.decode(data, TensorType("float32", x.shape)) == x).all()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (BOMB, "2147483612 bytes are declared, where 4000 are expected"),
        (b"", "0 bytes are declared, where 4000 are expected"),
        (b"four", "4 bytes are no chunk"),
        ({-9: None}, "the chunk declares a length of"),
        ({4: 0xA1}, "the chunk's header is none that this codec writes"),  # size: no multiple
        ({0: 6}, "the chunk's header is none that this codec writes"),  # version
        ({2: 0xC5}, "the chunk's header is none that this codec writes"),  # a compressor of the user's
        ({3: 2}, "the chunk's header is none that this codec writes"),  # typesize
        ({8: 0, 9: 0, 10: 2}, "the chunk's header is none that this codec writes"),  # blocks
        ({16: 35}, "the chunk's header is none that this codec writes"),  # a filter among plugins
        ({22: 163}, "the chunk's header is none that this codec writes"),  # a compressor among plugins
        ({31: 0x40}, "the chunk's header is none that this codec writes"),  # memory as it was found
        ({36: 0xFF, 37: 0xFF}, "is damaged"),
    ],
)
def test_what_no_encoder_writes_is_refused(change: bytes | dict[int, int | None], told: str) -> None:
    """By its header, before the library sees it; damage further on by the library."""
    random = np.random.default_rng(0)
    data = bytearray(Blosc2().encode(random.integers(0, 3, 4000, np.uint8).tobytes()))
    if isinstance(change, dict):
        for at, byte in change.items():
            if byte is None:
                del data[at:]
            else:
                data[at] = byte
    else:
        data[:] = change
    with pytest.raises(CodecError, match=told):
        Blosc2().decode(memoryview(data), 4000, 4000)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("blosc2(typesize=3)", "blosc2: no element has 3 bytes"),
        ("blosc2(level=0)", "blosc2: there is no level 0"),
        ("blosc2(level=true)", "blosc2: there is no level True"),
        ("blosc2(codec=gzip)", "blosc2: there is no codec 'gzip'"),
    ],
)
def test_options_are_checked(spec: str, told: str) -> None:
    """The error names the stage and the value."""
    with pytest.raises(CodecError, match=told):
        codec(spec)
