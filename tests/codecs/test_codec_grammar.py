"""Chains as they are written: what reads, what it means, and what is said of what does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierfed.codecs import LATER, TABLE, codec, names
from tierfed.codecs.grammar import read
from tierfed.errors import CodecError, TierfedError, UnsupportedError
from tierfed.types import TensorType

EXAMPLE = 'write stages joined by +, as in "int8+zstd" or "zstd(level=9)"'
INT8 = {"int8": {"stochastic": False}}
CODECS = f"the codecs are {', '.join([*TABLE][:-1])} and zstd"


@pytest.mark.parametrize(
    ("spec", "shown", "config"),
    [
        ("none", "none", [{"none": {}}]),
        (" int8 + zstd ", "int8+zstd", [INT8, {"zstd": {"level": 3}}]),
        ("int8+zstd(level=3)", "int8+zstd", [INT8, {"zstd": {"level": 3}}]),
        ("bf16()+zstd( 9 )", "bf16+zstd(level=9)", [{"bf16": {}}, {"zstd": {"level": 9}}]),
        ("zstd(level = 1)", "none+zstd(level=1)", [{"none": {}}, {"zstd": {"level": 1}}]),
        ("int8+zstd+zstd", "int8+zstd+zstd", [INT8, {"zstd": {"level": 3}}, {"zstd": {"level": 3}}]),
        (["int8", "zstd"], "int8+zstd", [INT8, {"zstd": {"level": 3}}]),
        (["int8", {"zstd": {"level": 9}}], "int8+zstd(level=9)", [INT8, {"zstd": {"level": 9}}]),
        ([{"zstd": {"level": 3}}], "none+zstd", [{"none": {}}, {"zstd": {"level": 3}}]),
        ("int8(stochastic=true)", "int8(stochastic=true)", [{"int8": {"stochastic": True}}]),
        (["int8", {"zstd": None}], "int8+zstd", [INT8, {"zstd": {"level": 3}}]),
    ],
)
def test_chains_are_read_and_shown(spec, shown, config):
    """A chain has one notation and one configuration, however it was written."""
    c = codec(spec)
    assert str(c) == shown
    assert repr(c) == f"codec('{shown}')"
    assert c.config == config


def test_chains_of_two_byte_stages_round_trip():
    """Each byte stage is told the most that the one before it may have written."""
    c = codec("int8+zstd+zstd")
    x = np.random.default_rng(0).standard_normal(3000).astype(np.float32)
    same = codec("int8").decode(codec("int8").encode(x), TensorType("float32", (3000,)))
    assert (c.decode(c.encode(x), TensorType("float32", (3000,))) == same).all()


@pytest.mark.parametrize(
    ("spec", "what", "mend"),
    [
        ("int9", 'codec "int9": no codec is called int9', f"did you mean int8? {CODECS}"),
        ("bfloat16", 'codec "bfloat16": no codec is called bfloat16', f"did you mean bf16? {CODECS}"),
        ("INT8", 'codec "INT8": no codec is called INT8', f"did you mean int8? {CODECS}"),
        ("gzip", 'codec "gzip": no codec is called gzip', CODECS),
        ("", 'codec "": an empty chain', 'write "none" for the raw array'),
        ([], 'codec "[]": an empty chain', 'write "none" for the raw array'),
        ("int8++zstd", 'codec "int8++zstd": "" reads as no stage', EXAMPLE),
        ("int8 zstd", 'codec "int8 zstd": "int8 zstd" reads as no stage', EXAMPLE),
        ("int8+", 'codec "int8+": "" reads as no stage', EXAMPLE),
        (
            "sketch(rows=5",
            'codec "sketch(rows=5": the parentheses do not match',
            'close each one; within braces YAML cuts at commas, so quote it there: {up: "zstd(level=9)"}',
        ),
        (
            "cols=100)",
            'codec "cols=100)": the parentheses do not match',
            'close each one; within braces YAML cuts at commas, so quote it there: {up: "zstd(level=9)"}',
        ),
        ("zstd(level=[])", 'codec "zstd(level=[])": "level=[]" reads as no option of zstd', "write name=value, where"),
        ("zstd(level=3,)", 'codec "zstd(level=3,)": "" reads as no option of zstd', "write name=value, where"),
        ("zstd(level=1,level=2)", 'codec "zstd(level=1,level=2)": the option level stands twice', "give it once"),
        ("zstd(3,level=2)", 'codec "zstd(3,level=2)": the option level stands twice', "give it once, by name or by"),
        ("zstd(level=2,3)", 'codec "zstd(level=2,3)": the option "3" has no name, after one that has', "write it as"),
        ("zstd(lvel=2)", 'codec "zstd(lvel=2)": zstd has no option lvel', "did you mean level? its options are level"),
        ("zstd(1,2)", 'codec "zstd(1,2)": zstd takes 1 option, got 2', "the options of zstd: level"),
        ("bf16(3)", 'codec "bf16(3)": bf16 takes no options, got 1', "write bf16 alone"),
        ("bf16(block=3)", 'codec "bf16(block=3)": bf16 has no option block', "write bf16 alone"),
        ("int8(block=3)", 'codec "int8(block=3)": int8 has no option block', "its options are stochastic"),
        ("int8(3)", 'codec "int8(3)": int8: stochastic is 3', "write true or false"),
        ("zstd(99)", 'codec "zstd(99)": zstd: there is no level 99', "give a level from 1 to 22"),
        ("zstd(0)", 'codec "zstd(0)": zstd: there is no level 0', "give a level from 1 to 22"),
        ("zstd(true)", 'codec "zstd(true)": zstd: there is no level True', "give a level from 1 to 22"),
        ("zstd(3.0)", 'codec "zstd(3.0)": zstd: there is no level 3.0', "give a level from 1 to 22"),
        ("zstd(fast)", "codec \"zstd(fast)\": zstd: there is no level 'fast'", "give a level from 1 to 22"),
        ("int8+bf16", 'codec "int8+bf16": bf16 takes an array, and int8 before it gives bytes', "keep one of the two"),
        ("zstd+int8", 'codec "none+zstd+int8": int8 takes an array, and zstd before it gives bytes', "keep one of the"),
        ("+".join(["zstd"] * 9), f'codec "{"+".join(["zstd"] * 9)}": 9 stages', "a chain has at most 8"),
        ("z" * 1025, f'codec "{"z" * 57}...": 1025 characters', "a chain has at most 1024"),
        (3, "codec: 3 reads as no codec", EXAMPLE),
        (None, "codec: None reads as no codec", EXAMPLE),
        (b"int8", "codec: b'int8' reads as no codec", EXAMPLE),
        ([3], 'codec "[3]": 3 reads as no stage', "write each item of the list as a name, or as a name with its"),
        ([{"zstd": 3}], "codec \"[{'zstd': 3}]\": {'zstd': 3} reads as no stage", "write each item of the list as"),
        ([{"zstd": {"level": []}}], "codec \"[{'zstd': {'level': []}}]\": {'zstd': {'level': []}} reads", "write each"),
    ],
)
def test_what_does_not_read_says_why(spec, what, mend):
    """Each mistake is a CodecError with the chain, the mistake and the mend."""
    with pytest.raises(CodecError) as e:
        codec(spec)
    first, second = str(e.value).split("\n")
    assert first.startswith(what)
    assert second.startswith(f"  to mend: {mend}")


@pytest.mark.parametrize("name", LATER)
def test_later_codecs_are_refused_as_not_supported(name):
    """A codec that comes later is no mistake of writing: another error, and exit code 2."""
    with pytest.raises(UnsupportedError) as e:
        codec(f"{name}(0.05)+zstd")
    assert str(e.value) == (
        f'codec "{name}(0.05)+zstd": {name} is not supported by this version\n'
        f"  to mend: {CODECS.replace('codecs', 'codecs of this version')}"
    )
    assert e.value.exit_code == 2


def test_the_table_and_the_later_ones_are_apart():
    """No codec is both there and later, and the listing is the table's."""
    assert not set(TABLE) & set(LATER)
    assert names() == list(TABLE)
    assert all(cls.name == name for name, cls in TABLE.items())


@given(st.text(alphabet="int8zsdbf16(),+=. eEtrue_[]\n\0é", max_size=40))
def test_any_text_reads_or_is_a_typed_error(text):
    """Whatever the text, it is a codec that reads back, or one of our errors."""
    try:
        c = codec(text)
    except TierfedError:
        return
    assert codec(str(c)) == c


def test_option_values_have_their_kinds():
    """Integers, floats, booleans and words are told apart."""
    [stage] = read("eden(1,-2,1e+5,.5,true,false,word,bits=4)")
    assert stage.unnamed == (1, -2, 1e5, 0.5, True, False, "word")
    assert [type(v) for v in stage.unnamed] == [int, int, float, float, bool, bool, str]
    assert stage.named == {"bits": 4}


def test_dtypes_that_a_codec_cannot_carry():
    """The check before launch and encoding say the same: what is carried, what is not, and the mend."""
    text = (
        'codec "int8+zstd": int8+zstd carries float16, float32, float64 and bfloat16, not int32[10,10]\n'
        "  to mend: use codec none+zstd on this link, or convert the value to a dtype that int8+zstd carries"
    )
    c = codec("int8+zstd")
    assert not c.carries("int32") and c.carries("float64")
    assert c.nominal_bytes(10, "int32") is None and c.most_bytes(10, "int32") is None
    for call in (
        lambda: c.check_carries(TensorType("int32", (10, 10))),
        lambda: c.encode(np.zeros((10, 10), np.int32)),
        lambda: c.decode(b"", TensorType("int32", (10, 10))),
    ):
        with pytest.raises(CodecError) as e:
            call()
        assert str(e.value) == text
    c.check_carries(TensorType("float32", (None, 3)))


def test_strings_are_not_carried():
    """Strings travel as two arrays of integers, of which codecs know nothing."""
    with pytest.raises(CodecError) as e:
        codec("none").encode(np.array(["a"]))
    assert "not str[1]\n  to mend: encode strings as their offsets and their UTF-8 bytes" in str(e.value)


def test_dtypes_that_are_not_ours():
    """An array of objects or of another dtype is refused by name."""
    with pytest.raises(CodecError, match='codec "none": no tensor has the dtype object'):
        codec("none").encode(np.array([None]))
    with pytest.raises(CodecError, match='codec "none": no tensor has the dtype datetime64'):
        codec("none").encode(np.array(["2020-01-01"], "M8[D]"))


def test_a_type_of_unknown_size_is_not_decoded():
    """Sizes travel beside the code, so a type with unknown ones is the caller's mistake."""
    with pytest.raises(CodecError, match=r"float32\[\?\] has unknown sizes\n  to mend: decode with the concrete type"):
        codec("int8").decode(b"", TensorType("float32", (None,)))


@pytest.mark.parametrize(
    "chunk", [np.zeros((2, 2)), np.zeros(8)[::2], np.zeros(3, ">f4"), np.zeros(()), np.array([None])]
)
def test_what_is_no_chunk_is_refused(each_codec, chunk):
    """A chunk is 1-D, contiguous and native: anything else would be read wrongly."""
    for call in (each_codec.encode_chunk, lambda c: each_codec.decode_chunk(b"", c)):
        with pytest.raises(CodecError, match="is no chunk\n  to mend: pass a 1-D, C-contiguous array in native"):
            call(chunk)


def test_a_value_that_cannot_be_quantised_is_named_by_its_place_in_the_tensor(lossy_codec):
    """`first` is added, so that an error in the third chunk names the tensor's element."""
    name = lossy_codec.array_stage.name
    chunk = np.zeros(300, np.float32)
    chunk[17] = np.nan
    with pytest.raises(CodecError) as e:
        lossy_codec.encode_chunk(chunk, first=524288)
    assert str(e.value) == (
        f"{name}: nan at element 524305 cannot be quantised\n  to mend: find the computation that made it, "
        "or use codec none on this link, which carries nan and infinity"
    )
