"""The fuzzing of every decoder: a short run that CI makes, and the harness sees what it is there to see."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tierfed.codecs import TABLE, ArrayStage, ByteStage, Codec, ShortStage, codec
from tierfed.errors import CodecError
from tierfed.wire.message import encode_message

pytest.importorskip("atheris", reason="atheris, of the dev extra, has no wheel for this machine", exc_type=ImportError)

HARNESS = Path(__file__).parent / "fuzz_decoders.py"


def test_a_short_run_finds_nothing(tmp_path):
    """Some thousand inputs, grown from the golden bytes; a longer run is one command, in the harness."""
    ran = subprocess.run(
        [sys.executable, str(HARNESS), "-seed=1", "-runs=2500"],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
        cwd=tmp_path,  # where an input that fails would be left
    )
    assert ran.returncode == 0 and "Done 2500 runs" in ran.stderr, ran.stdout[-1500:] + ran.stderr[-3000:]
    assert list(tmp_path.iterdir()) == []


def raises_another_error(self, data, out):
    """Let an error out that is none of ours."""
    raise IndexError("out of range")


def marks(self, data, out):
    """Fail after a part was written."""
    out[:1] += 1
    raise CodecError("damaged", mend="send again")


def errs_by_one(self, data, out):
    """Add a bit too much."""
    self.decode_chunk(data, decoded := np.empty_like(out))
    np.add(out, decoded, out=out)
    out[-1:] += 1


def gives_infinity(self, data, out):
    """Decode what no values have."""
    out[:] = np.inf


DEFECTS = [
    (0, "decode_chunk", raises_another_error, IndexError, "out of range"),
    (0, "accumulate_chunk", raises_another_error, IndexError, "out of range"),
    (0, "decode_chunk", marks, AssertionError, "decoding: damaged"),
    (0, "accumulate_chunk", marks, AssertionError, "decoding: None, adding: damaged"),
    (0, "accumulate_chunk", errs_by_one, AssertionError, "adding is not decoding and adding"),
    (0, "decode_chunk", gives_infinity, AssertionError, "adding is not decoding and adding"),
    (6, "decode_chunk", raises_another_error, IndexError, "out of range"),
    (6, "accumulate_chunk", marks, AssertionError, "an error left its mark"),
    (6, "accumulate_chunk", errs_by_one, AssertionError, "adding is not decoding and adding"),
    (6, "decode_chunk", gives_infinity, AssertionError, "a value is not finite"),
]


@pytest.mark.parametrize(("kind", "reads", "defect", "error", "what"), DEFECTS)
def test_the_harness_sees_a_defect(monkeypatch, kind, reads, defect, error, what):
    """A decoder that breaks a rule does not get through, and one that breaks none does."""
    assert encode_message  # is imported by now: the harness would instrument it
    import fuzz_decoders as fuzz

    c = codec("int8")
    data = fuzz.Choice.bytes_of(c, "float32", 5000, kind) + c.encode(np.ones(5000, np.float32))
    fuzz.one_input(data)
    monkeypatch.setattr(Codec, reads, defect)
    with pytest.raises(error, match=what):
        fuzz.one_input(data)


def test_the_harness_sees_memory(tmp_path):
    """An input that takes 64 MiB is told of; in a process of its own, whose peak nothing has raised before."""
    program = """
import numpy as np
import fuzz_decoders as fuzz
c = fuzz.codec("int8")
data = fuzz.Choice.bytes_of(c, "float32", 5000) + c.encode(np.ones(5000, np.float32))
fuzz.one_input(data)
decode = fuzz.Codec.decode_chunk
fuzz.Codec.decode_chunk = lambda *given: (np.ones(1 << 26, np.uint8), decode(*given))
try:
    fuzz.one_input(data)
except AssertionError as e:
    print(e)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": str(HARNESS.parent)},
    )
    assert ran.stdout.endswith("KiB were taken for 5085 bytes\n"), ran.stderr


def test_every_codec_is_fuzzed():
    """The harness takes its codecs from the table, alone and under each byte stage, and can choose each of them."""
    import fuzz_decoders as fuzz

    stages = {s.name for c in fuzz.CODECS for s in c.stages}
    assert stages == {name for name, cls in TABLE.items() if issubclass(cls, ArrayStage | ByteStage | ShortStage)}
    assert {codec("eden(bits=1)"), codec("qsgd(8)"), codec("int8(stochastic=true)"), codec("topk+int8")} <= set(
        fuzz.CODECS
    )
    for c in fuzz.CODECS:
        for size in (0, 40, 65_535, 150_000):
            choice = fuzz.Choice.of(fuzz.Choice.bytes_of(c, c.dtypes[-1], size, 3))
            assert choice == fuzz.Choice(c, c.dtypes[-1], size, 3, True)
