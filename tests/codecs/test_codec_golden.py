"""Golden bytes: every wire form that was ever written must still decode.

`golden.json` holds, for each codec, arrays as their raw little-endian bytes, the code
that was written, and what it decoded to.  Entries are added, never changed.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tierfed.codecs import codec
from tierfed.types import TensorType, parse

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())


def test_every_codec_has_golden_bytes(specs):
    """A codec that is added to the table brings its bytes."""
    assert set(specs) <= {entry["codec"] for entry in GOLDEN}


@pytest.mark.parametrize("entry", GOLDEN, ids=lambda e: f"{e['codec']}-{e['type']}")
def test_golden_bytes_decode(entry):
    """What was written decodes to the bits that it decoded to, and is still written so, but for compressors."""
    c = codec(entry["codec"])
    t = parse(entry["type"])
    assert isinstance(t, TensorType)
    code = bytes.fromhex(entry["code"])
    assert c.decode(code, t).tobytes().hex() == entry["decoded"]
    if c.fixed_size:  # another release of a compressor may write other bytes
        assert c.encode(np.frombuffer(bytes.fromhex(entry["array"]), t.dtype).reshape(t.shape)).hex() == entry["code"]
