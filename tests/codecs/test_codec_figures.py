"""Published and computed figures that the codecs meet, and the edges of the number range."""

from __future__ import annotations

import numpy as np
import pytest

from tierfed.codecs import codec
from tierfed.errors import CodecError
from tierfed.types import TensorType

SIZE = 1 << 19
FLOATS = {"fp8": (3, -126), "fp16": (10, -14), "bf16": (7, -126)}  # bits after the point, smallest normal exponent


def decoded(spec, x):
    c = codec(spec)
    return c.decode(c.encode(x), TensorType(x.dtype, x.shape))


def vnmse(spec, x):
    """Return the squared error as a part of the squared norm."""
    y = decoded(spec, x).astype(np.float64)
    wide = x.astype(np.float64)
    return ((y - wide) ** 2).sum() / (wide**2).sum()


def expected_vnmse(spec, lognormal):
    """Return the expectation of `vnmse`, by integrating step**2 / 12 (stochastic: / 6) over the distribution."""
    z = np.linspace(-9, 9, 200_001)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    below = np.clip(np.cumsum(density), 0, 1)
    size = np.exp(z) if lognormal else np.abs(z)
    square = np.exp(2) if lognormal else 1.0
    if spec in FLOATS:
        fraction, lowest = FLOATS[spec]
        unit = 2.0 ** (np.maximum(np.floor(np.log2(size + 1e-300)), lowest) - fraction)
        return (density * unit**2).sum() / 12 / square
    if spec == "sign":
        mean = (density * size).sum()
        return 1 - (mean**2 + (square - mean**2) / 4096) / square
    if lognormal:
        top = (2 * size**2 * (1 - below**256)).sum() * (z[1] - z[0])  # E max**2 = ∫ 2 t P(max > t) dt, t = exp z
    else:
        top = (2 * z * (1 - np.clip(2 * below - 1, 0, 1) ** 256))[z >= 0].sum() * (z[1] - z[0])
    return top / 127**2 / (6 if "stochastic" in spec else 12) / square


@pytest.mark.parametrize(
    ("spec", "lognormal", "published", "within"),
    [
        ("int8", False, 4.87e-5, 0.01),
        ("int8", True, 2.99e-4, 0.03),  # of one draw, whose standard deviation is 3 % (fp16: 1 %)
        ("int8(stochastic=true)", False, 2 * 4.87e-5, 0.01),
        ("int8(stochastic=true)", True, 2 * 2.99e-4, 0.03),
        ("fp16", False, 4.29e-8, 0.01),
        ("fp16", True, 4.25e-8, 0.02),
        ("fp8", False, 256 * 2.77e-6, 0.01),  # bf16 has four bits more
        ("fp8", True, 256 * 2.74e-6, 0.01),
        ("sign", False, 0.36338, 0.01),  # 1 - 2 / π, the least that one bit allows
        ("sign", True, 1 - 1 / np.e, 0.01),
        ("bf16", False, 2.77e-6, 0.01),
        ("bf16", True, 2.74e-6, 0.01),
    ],
)
def test_errors_are_the_published_ones(spec, lognormal, published, within):
    """The error over eight draws of 2^19 numbers is within 1 % of its expectation, which is the published one."""
    expected = expected_vnmse(spec, lognormal)
    assert expected == pytest.approx(published, rel=within)
    draws = [np.random.default_rng(seed).standard_normal(SIZE) for seed in range(8)]
    x = np.concatenate([np.exp(d) if lognormal else d for d in draws]).astype(np.float32)
    assert vnmse(spec, x) == pytest.approx(expected, rel=0.01)


def test_bf16_is_ml_dtypes_bfloat16():
    """The bits are those of ml_dtypes for every upper half, on ties, beside ties, and one bit off."""
    import ml_dtypes

    upper = np.arange(1 << 16, dtype=np.uint32) << np.uint32(16)
    for low in (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF):
        x = (upper | np.uint32(low)).view(np.float32)
        with np.errstate(all="ignore"):
            wanted = x.astype(ml_dtypes.bfloat16)
        fine = np.isfinite(x) & np.isfinite(wanted.astype(np.float32))
        got = np.frombuffer(codec("bf16").encode(x[fine]), np.uint16)
        assert (got == wanted[fine].view(np.uint16)).all()


@pytest.mark.parametrize("spec", ["int8", "int8(stochastic=true)", "bf16", "qsgd", "sign", "terngrad"])
@pytest.mark.parametrize("name", ["float16", "float32", "bfloat16"])
def test_the_largest_values_stay_finite(spec, name):
    """The largest value of each dtype decodes to a finite value within the bound, both signs of it."""
    t = TensorType(name, (300,))
    largest = {"float16": 65504.0, "float32": float(np.finfo(np.float32).max), "bfloat16": float.fromhex("0x1.fep127")}
    x = np.full(300, largest[name]).astype(t.dtype)
    x[::2] = -x[::2]
    y = decoded(spec, x).astype(np.float64)
    assert np.isfinite(y).all()
    assert (np.abs(y - x.astype(np.float64)) <= 2.0**-8 * largest[name]).all()


@pytest.mark.parametrize("spec", ["int8", "int8(stochastic=true)", "bf16", "fp16", "fp8", "qsgd", "qsgd(2)"])
def test_zeros_stay_zeros(spec):
    """A block of zeros decodes to zeros, beside blocks that are none."""
    x = np.zeros(1024, np.float32)
    x[256:512] = 5
    assert (decoded(spec, x) == x).all()


def test_int8_keeps_the_extremes_and_the_zeros_of_a_block():
    """The largest magnitude of a block comes back to the last bit or two, a zero exactly."""
    x = np.random.default_rng(5).standard_normal(256).astype(np.float32)
    x[7], x[9] = -40, 0
    y = decoded("int8", x)
    assert y[9] == 0
    assert y[7] == pytest.approx(-40, rel=3e-7)


def test_int8_blocks_do_not_disturb_each_other():
    """A huge value costs its own block of 256 precision, and no other."""
    x = np.ones(1024, np.float32)
    x[300] = 1e30
    y = decoded("int8", x)
    assert (y[:256] == 1).all() and (y[512:] == 1).all()
    assert (y[256:300] == 0).all()


@pytest.mark.parametrize("top", [1, 63, 64, 126, 127, 128, 190, 380, 5000, 2**22])
def test_int8_subnormals_are_within_half_a_scale(top):
    """Where scales are subnormal they are rounded up, so that no code is clipped."""
    unit = 2.0**-149
    x = (np.linspace(-top, top, 256).round() * unit).astype(np.float32)
    error = np.abs(decoded("int8", x).astype(np.float64) - x)
    assert error.max() <= (np.ceil(top / 127) / 2) * unit


def test_float64_below_float32_becomes_zero():
    """float64 values too small for float32 are zeros: the error is smaller than any scale."""
    assert (decoded("int8", np.array([1e-300, 1.0])) == [0, pytest.approx(1)]).all()


@pytest.mark.parametrize("spec", ["int8", "bf16", "fp16", "fp8", "qsgd", "sign", "terngrad"])
def test_float64_beyond_float32_is_refused(spec):
    """A float64 value that float32 cannot hold is an error that names it, not an infinity."""
    x = np.zeros(70_000)
    x[66_000] = -1e39
    with pytest.raises(CodecError) as e:
        codec(spec).encode(x)
    assert str(e.value) == (
        f"{spec}: -1e+39 at element 66000 is beyond float32, in which {spec} computes; it ends at 3.403e+38\n"
        "  to mend: scale the values down, or use codec none on this link, which carries float64 as it is"
    )


@pytest.mark.parametrize("lognormal", [False, True])
@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7, 8])
def test_qsgd_errs_by_what_its_grid_says(bits, lognormal):
    """The squared error is step**2 f (1 - f) an element, f being how far it is on its way up, within 1 %."""
    z = np.random.default_rng(bits).standard_normal(SIZE)
    x = (np.exp(z) if lognormal else z).astype(np.float32)
    rows = x.reshape(-1, 256).astype(np.float64)
    step = np.abs(rows).max(axis=1, keepdims=True) / (2 ** (bits - 1) - 1)
    f = rows / step - np.floor(rows / step)
    expected = (step**2 * f * (1 - f)).sum() / (rows**2).sum()
    assert vnmse(f"qsgd({bits})", x) == pytest.approx(expected, rel=0.01)


def test_qsgd_of_eight_bits_is_int8_stochastic():
    """The same grid and the same random numbers: only the form of the codes differs."""
    x = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    assert (decoded("qsgd(8)", x) == decoded("int8(stochastic=true)", x)).all()


@pytest.mark.parametrize("lognormal", [False, True])
def test_terngrad_errs_by_what_its_scale_says(lognormal):
    """The squared error is |x| (scale - |x|) an element, within 1 %, and what is decoded is 0 or ± the scale."""
    z = np.random.default_rng(1).standard_normal(SIZE)
    x = (np.exp(z) if lognormal else z).astype(np.float32)
    rows = np.abs(x.reshape(-1, 4096).astype(np.float64))
    scale = rows.max(axis=1, keepdims=True)
    assert vnmse("terngrad", x) == pytest.approx((rows * (scale - rows)).sum() / (rows**2).sum(), rel=0.01)
    y = decoded("terngrad", x).reshape(-1, 4096)
    assert ((y == 0) | (y == np.copysign(scale, x.reshape(-1, 4096)))).all()


def test_fp8_is_ml_dtypes_e4m3():
    """The values are those of ml_dtypes' float8_e4m3fn: each of them, beside it, and on the ties between two."""
    import ml_dtypes

    codes = np.arange(256, dtype=np.uint8).view(ml_dtypes.float8_e4m3fn).astype(np.float32)
    values = np.unique(codes[np.isfinite(codes)])
    x = np.concatenate([values, (values[1:] + values[:-1]) / 2])
    x = np.concatenate([x, np.nextafter(x, np.float32(np.inf)), np.nextafter(x, np.float32(-np.inf))])
    x = np.concatenate([x[np.abs(x) <= 448], np.float32([448])])
    assert (decoded("fp8", x) == x.astype(ml_dtypes.float8_e4m3fn).astype(np.float32)).all()
    assert codec("fp8").encode(x)[1:] == x.astype(ml_dtypes.float8_e4m3fn).tobytes()


@pytest.mark.parametrize("exponent", [-140, -126, -20, 0, 77, 119])
def test_fp8_has_a_power_of_two_of_its_own_for_each_block(exponent):
    """Elements of a block of any magnitude keep three bits after the point, or 2^-136 where that is nothing."""
    x = np.zeros(3 * 4096)
    x[4096:8192] = np.linspace(1, 300, 4096) * 2.0**exponent
    x[8192:] = 1
    error = np.abs(decoded("fp8", x.astype(np.float32)) - x)
    assert (error <= np.maximum(x / 16, 2.0**-136)).all() and (error[:4096] == 0).all() and (error[8192:] == 0).all()


def test_fp8_keeps_small_elements_that_int8_loses():
    """A thousandth of the largest of its block comes back within a sixteenth."""
    x = np.full(256, 1e-3, np.float32)
    x[0] = 1
    assert (decoded("int8", x)[1:] == 0).all()
    assert (np.abs(decoded("fp8", x) / x - 1) <= 1 / 16).all()


@pytest.mark.parametrize("name", ["float16", "float32", "bfloat16"])
def test_fp8_largest_values_stay_finite(name):
    """The largest value of each dtype comes back as itself, though its code stands for more than the dtype has."""
    largest = {"float16": 65504.0, "float32": float(np.finfo(np.float32).max), "bfloat16": float.fromhex("0x1.fep127")}
    x = np.array([largest[name], -largest[name]]).astype(TensorType(name).dtype)
    assert decoded("fp8", x).tobytes() == x.tobytes()


def test_sign_gives_the_sign_and_the_mean_magnitude_of_each_block():
    """Blocks of 4096 have their own magnitude; a zero of either sign is positive."""
    x = np.array([3, -1, 0, -0.0] * 1024 + [-7, 1], np.float32)
    assert (decoded("sign", x) == [1, -1, 1, 1] * 1024 + [-4, 4]).all()


def test_fp16_is_numpys_float16():
    """The bits are those of numpy's cast, for each float16, beside it, on the ties between two, and beside those."""
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = np.unique(halves[np.isfinite(halves)].astype(np.float32))
    ties = (halves[1:].astype(np.float64) + halves[:-1]) / 2
    x = np.concatenate([halves, ties.astype(np.float32), np.float32([-0.0, 1e-30, -1e-42, 65519.99, -65519.99])])
    x = np.concatenate([x, np.nextafter(x, np.float32(np.inf)), np.nextafter(x, np.float32(-np.inf))])
    x = x[np.abs(x) < 65520]
    assert codec("fp16").encode(x) == x.astype("<f2").tobytes()


@pytest.mark.parametrize("name", ["float32", "float64", "bfloat16"])
def test_fp16_refuses_what_would_become_infinite(name):
    """65520 rounds to infinity in float16, so it is an error that names it and the codec that has the range."""
    x = np.zeros(300).astype(TensorType(name).dtype)
    x[7] = -65536
    with pytest.raises(CodecError) as e:
        codec("fp16").encode(x)
    assert str(e.value) == (
        "fp16: -65536 at element 7 is beyond fp16, which ends at 65520\n"
        "  to mend: scale the values down, or use codec bf16 on this link, which has the range of float32"
    )
    assert decoded("fp16", np.float32([65519.99, -65504])).tolist() == [65504, -65504]


@pytest.mark.parametrize(
    ("spec", "bits"),
    [("sign", 1), ("terngrad", 1.6), ("fp8", 8), ("fp16", 16), *((f"qsgd({b})", b + 32 / 256) for b in range(2, 9))],
)
def test_sizes_are_near_the_nominal_ones(spec, bits):
    """The nominal bits an element, within 1.5 %, from 2^16 elements on."""
    for size in (1 << 16, (1 << 16) + 1, 1 << 18):
        assert codec(spec).nominal_bytes(size, "float32") * 8 / size == pytest.approx(bits, rel=0.015)


def test_the_code_of_int8_takes_eight_and_an_eighth_bits():
    """One byte an element, and four for each block of 256, of which the last may be shorter."""
    c = codec("int8")
    assert c.nominal_bytes(256, "float64") == 260
    assert c.nominal_bytes(257, "float32") == 257 + 8
    assert c.nominal_bytes(1 << 18, "float32") * 8 / (1 << 18) == 8.125


def test_zstd_makes_int8_codes_smaller():
    """Codes of lognormal numbers shrink by a third."""
    x = np.exp(np.random.default_rng(0).standard_normal(1 << 18)).astype(np.float32)
    assert len(codec("int8+zstd").encode(x)) < 0.7 * len(codec("int8").encode(x))


def test_the_level_of_zstd_counts():
    """A higher level writes fewer bytes, which any level reads."""
    random = np.random.default_rng(0)
    words = random.integers(0, 30, (500, 7))
    x = words[random.zipf(1.3, 9000) % 500].reshape(-1)
    fast, small = codec("zstd(1)").encode(x), codec("zstd(19)").encode(x)
    assert len(small) < len(fast)
    assert (codec("zstd(1)").decode(small, TensorType("int64", x.shape)) == x).all()
