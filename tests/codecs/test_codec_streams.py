"""Random numbers of codecs: the same for a retry and however a tensor is cut, others for each sender."""

from __future__ import annotations

import numpy as np
import pytest

from tierfed.codecs import CHUNK, Stream, codec
from tierfed.types import TensorType

RANDOM = ["int8(stochastic=true)", "qsgd", "qsgd(2)", "eden", "drive", "terngrad", "randomk", "thc"]


def errors(spec, x, stream):
    """Return what is decoded less what was encoded."""
    c = codec(spec)
    return c.decode(c.encode(x, stream), TensorType("float32", x.shape)).astype(np.float64) - x


def test_a_stream_is_the_numbers_of_philox():
    """The numbers are those that another writing of Philox4x64-10 gives, four words a count, 16 bits at a time."""
    stream = Stream.of("a", 3)
    key = [stream.key & (1 << 64) - 1, stream.key >> 64]
    words = [w for count in (1, 2, 3) for w in philox([count, 0, 0, 0], key)]
    wanted = [w >> 16 * i & 0xFFFF for w in words for i in range(4)]
    assert stream.sixteen(0, 48).tolist() == wanted


def philox(counter, key):
    """Return the four words of a count, as Salmon et al. write the rounds."""
    mask, (a, b, c, d), (k, m) = (1 << 64) - 1, counter, key
    for _ in range(10):
        left, right = a * 0xD2E7470EE14C6C93, c * 0xCA5A826395121157
        a, b, c, d = right >> 64 ^ b ^ k, right & mask, left >> 64 ^ d ^ m, left & mask
        k, m = k + 0x9E3779B97F4A7C15 & mask, m + 0xBB67AE8584CAA73B & mask
    return a, b, c, d


def test_an_element_has_its_number_however_it_is_asked_for():
    """Any part of a stream is that part of the whole."""
    stream = Stream.of("x")
    whole = stream.sixteen(0, 1000)
    for start, size in ((0, 0), (0, 1), (1, 1), (15, 2), (16, 64), (37, 500), (999, 1)):
        assert (stream.sixteen(start, size) == whole[start : start + size]).all()


def test_streams_are_keyed_by_all_their_words():
    """Other words, in another order or cut elsewhere, are another stream; the same words the same one."""
    words = [("a",), ("b",), ("a", "b"), ("b", "a"), ("ab",), (), ("a", ""), (1, 23), (12, 3)]
    assert len({Stream.of(*w).key for w in words}) == len(words)
    assert Stream.of("a", "b") == Stream.of("a", "b")
    assert Stream.of(7) == Stream.of("7")
    assert Stream.of("a").at("b") != Stream.of("b").at("a")


def test_senders_of_one_message_have_common_numbers_beside_their_own():
    """What is drawn from `common` depends on the message and the path, and not on the sender."""
    one, two = (Stream.of("2.0", member).beside(Stream.of("2.0")).at("w") for member in ("c0", "c1"))
    assert one.common == two.common == Stream.of("2.0").at("w")
    assert one.key != two.key == Stream.of("2.0", "c1").at("w").key
    assert one.common != Stream.of("2.0", "c0").beside(Stream.of("2.0")).at("b").common


def test_numbers_are_even():
    """Their mean and their correlation with the next are those of independent numbers, within five deviations."""
    r = Stream.of("even").sixteen(0, 1 << 18) / 65536 - 0.5
    assert abs(r.mean()) < 5 * (12 * r.size) ** -0.5
    assert abs((r[1:] * r[:-1]).mean() * 12) < 5 * r.size**-0.5


@pytest.mark.parametrize("spec", RANDOM)
def test_senders_do_not_err_alike_and_a_retry_does(spec):
    """Two senders of the same values have uncorrelated errors, one sender who sends again the same bytes."""
    x = np.random.default_rng(0).standard_normal(1 << 16).astype(np.float32)
    one, two = Stream.of(7, "c0"), Stream.of(7, "c1")
    assert codec(spec).encode(x, one) == codec(spec).encode(x, Stream.of(7, "c0")) != codec(spec).encode(x, two)
    assert abs(np.corrcoef(errors(spec, x, one), errors(spec, x, two))[0, 1]) < 5 * x.size**-0.5


@pytest.mark.parametrize("spec", RANDOM)
def test_the_mean_of_many_senders_is_as_near_as_independent_errors_allow(spec):
    """Sixteen equal vectors, each with its own stream, have a sixteenth of the squared error of one."""
    x = np.random.default_rng(1).standard_normal(1 << 14).astype(np.float32)
    each = [errors(spec, x, Stream.of("member", i)) for i in range(16)]
    assert (np.mean(each, axis=0) ** 2).sum() == pytest.approx(np.mean([(e**2).sum() for e in each]) / 16, rel=0.05)


@pytest.mark.parametrize("spec", RANDOM)
def test_chunks_of_a_tensor_draw_apart(spec):
    """A second chunk with the values of the first has other errors: `first` is its place in the stream."""
    c, stream = codec(spec), Stream.of("t")
    x = np.random.default_rng(2).standard_normal(4096).astype(np.float32)
    assert bytes(c.encode_chunk(x, 0, stream)) != bytes(c.encode_chunk(x, CHUNK, stream))
