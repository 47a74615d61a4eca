"""Rules by tensor name: which tensor gets which codec, one text for one value, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierfed.codecs import Codec, Rules, codec, link_codec
from tierfed.codecs.rules import LONGEST, MOST_RULES, hits, tensor_name
from tierfed.errors import CodecError, UnsupportedError
from tierfed.types import to_type
from tierfed.wire.layout import layout_of

PAGE = {"default": "int8", "*/bias": "none", "*/embedding*": ["bf16", {"zstd": {"level": 9}}]}


def rules(spec: Any) -> Rules:
    """Return the rules that `spec` writes."""
    made = link_codec(spec)
    assert isinstance(made, Rules)
    return made


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("v1", "v1"),
        ("v1.w", "v1/w"),
        ("delta[0]", "delta/0"),
        ("v3[0].w", "v3/0/w"),
        ('v3[0]."layer.1.bias"', "v3/0/layer/1/bias"),
        ('v."dense/kernel:0"', "v/dense/kernel:0"),
        ('v."say \\"x\\" [1]"', 'v/say "x" [1]'),
        ('v."größe"', "v/größe"),
        ("v[*].b", "v/*/b"),
    ],
)
def test_a_path_has_a_name(path: str, name: str) -> None:
    """Steps, indices and the dots of an element's own name are all parted by slashes."""
    assert tensor_name(path) == name


def test_names_are_those_of_layouts() -> None:
    """The paths that the wire gives to a struct with odd names become the names that a reader expects."""
    t = to_type('<sum=<"fc.weight"=float32[4],bias=float32[2],<float32[3],float32[3]>>,weight=float64>')
    assert [tensor_name(c.path) for c in layout_of(t, (), "v8")] == [
        "v8/sum/fc/weight",
        "v8/sum/bias",
        "v8/sum/2/0",
        "v8/sum/2/1",
        "v8/weight",
    ]


@pytest.mark.parametrize(
    ("pattern", "there", "not_there"),
    [
        ("bias", ["bias", "v1/bias", "v1/0/bias"], ["v1/biases", "v1/my_bias", "bias/v1", "Bias"]),
        ("*/bias", ["bias", "v1/bias", "v1/0/fc/bias"], ["v1/bias2", "v1/xbias"]),
        ("*/*/bias", ["bias", "v1/bias"], ["b"]),
        ("fc/bias", ["fc/bias", "v1/fc/bias"], ["v1/bias", "v1/xfc/bias"]),
        ("*/embedding*", ["v1/embedding", "v1/embedding_3", "v1/embedding/table"], ["v1/my_embedding", "v1/embed"]),
        ("layer/?/w", ["v/layer/1/w"], ["v/layer/12/w", "v/layer/w"]),
        ("w*", ["v/w", "v/w1", "v/w/a"], ["v/vw"]),
        ("*", ["v1", "v1/w"], []),
        ("v1/0", ["v1/0"], ["v1/01", "v1/0/w"]),
        ("kernel:0", ["v/dense/kernel:0"], ["v/dense/kernel:1"]),
    ],
)
def test_a_pattern_hits_a_name_or_its_last_steps(pattern: str, there: list[str], not_there: list[str]) -> None:
    """At any depth, steps whole, stars over steps too."""
    assert [name for name in there if not hits(pattern, name)] == []
    assert [name for name in not_there if hits(pattern, name)] == []


def test_patterns_are_not_slow_on_purpose() -> None:
    """A pattern of many stars against a long name of nearly what it asks for ends at once."""
    assert not hits("*a" * 100 + "b", "a/" * 500 + "a" * 2000)


def test_the_first_rule_that_hits_decides() -> None:
    """In written order, wherever the default stands; what nothing hits has the default."""
    r = rules({"fc/bias": "bf16", "default": "int8", "bias": "none", "*": "fp16"})
    assert [str(r.at(path)) for path in ("v.fc.bias", "v.conv.bias", "v.w")] == ["bf16", "none", "fp16"]
    assert str(rules(PAGE).at("v1.w")) == "int8"
    assert str(rules(PAGE).at('v1[3]."embedding.weight"')) == "bf16+zstd(level=9)"


def test_a_codec_is_a_rule_for_all() -> None:
    """A chain, and rules of a default alone, are a codec, which gives itself for every path."""
    assert link_codec("int8+zstd") == codec("int8+zstd") == link_codec({"default": ["int8", "zstd"]})
    assert link_codec(codec("bf16")).at("anything") == codec("bf16")
    assert isinstance(link_codec('{"default": "int8"}'), Codec)


def test_the_public_codec_takes_chains_alone() -> None:
    """A mapping is no chain: rules belong to a link, and an array has no name."""
    with pytest.raises(CodecError, match="reads as no codec"):
        codec(PAGE)


def test_one_text_stands_for_one_value() -> None:
    """The text is canonical JSON, reads back, and is equal exactly for equal rules; order counts, spelling does not."""
    r = rules(PAGE)
    assert str(r) == '{"default": "int8", "*/bias": "none", "*/embedding*": "bf16+zstd(level=9)"}'
    assert link_codec(str(r)) == r and link_codec(r) is r and link_codec(r.config) == r
    same = rules({"*.bias": " none ", "*.embedding*": "bf16 + zstd( 9 )", "default": [{"int8": {}}]})
    assert same == r and str(same) == str(r) and hash(same) == hash(r)
    turned = rules({"default": "int8", "*/embedding*": "bf16+zstd(9)", "*/bias": "none"})
    assert turned != r and str(turned) != str(r)
    assert rules({"default": "int8", "v3[0].w": "none", "größe": "bf16"}).rules[0][0] == "v3/0/w"
    assert r.codecs == (codec("int8"), codec("none"), codec("bf16+zstd(9)"))


NAMES = st.text(st.characters(exclude_characters='[]{}"\\', exclude_categories=("Cc", "Cs")), min_size=1, max_size=12)


@given(
    st.dictionaries(NAMES, st.sampled_from(["int8", "none", "bf16+zstd", "eden(2)"]), max_size=5),
    st.sampled_from(["int8", "fp16"]),
)
def test_any_rules_read_back(spec: dict[str, str], default: str) -> None:
    """Whatever the names, the text of rules is theirs."""
    try:
        made = link_codec({**spec, "default": default})
    except CodecError as error:
        assert "pattern" in error.what or "two rules" in error.what
        return
    assert link_codec(str(made)) == made


@given(st.one_of(st.text(max_size=80), st.text('{}[]":, \\ud*/bias.default+int8none', max_size=80)))
def test_any_text_reads_or_is_a_typed_error(text: str) -> None:
    """What a hostile parent might tell a node as its codec is a CodecError at worst."""
    for given_text in (text, "{" + text, '{"default": "int8", ' + text + "}"):
        try:
            made = link_codec(given_text)
        except (CodecError, UnsupportedError):
            continue
        assert link_codec(str(made)) == made


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({}, "no rules"),
        ({"*/bias": "none"}, "rules without a default"),
        ({"default": "int8", "": "none"}, "an empty pattern"),
        ({"default": "int8", ".": "none"}, "an empty pattern"),
        ({"default": "int8", 7: "none"}, "7 is no pattern"),
        ({"default": "int8", "w[a]": "none"}, "the pattern \"w[a]\" has '[' in it"),
        ({"default": "int8", 'w"': "none"}, "has '\"' in it"),
        ({"default": "int8", "w\n": "none"}, "has '\\n' in it"),
        ({"default": "int8", "w\udc80": "none"}, "has '\\udc80' in it"),
        ({"default": "int8", "x" * 257: "none"}, "a pattern of 257 characters"),
        ({"default": "int8", "a.b": "none", "a/b": "bf16"}, 'two rules for "a/b"'),
        ({"default": "int8", **{f"t{i}": "none" for i in range(1000)}}, "1000 rules beside the default"),
        ({"default": "int8", **{f"{'t' * 80}{i}": "none" for i in range(64)}}, "rules of 6"),
        ({"default": {"x": "none"}}, "reads as no codec"),
        ({"default": "int8", "x": None}, "None reads as no codec"),
        ({"default": "int9", "x": "none"}, "no codec is called int9"),
        ({"default": "int8", "x": "int8+bf16"}, "bf16 takes an array"),
        ('{"default": "int8", "x": "none", "x": "bf16"}', "rules that are no JSON"),
        ('{"default": "int8"', "rules that are no JSON"),
        ("{default: int8}", "rules that are no JSON"),
        ("{" * 4000, "rules that are no JSON"),
        ('{"a":' + "[" * 4000, "rules that are no JSON"),
        ("{" + " " * LONGEST + "}", f"rules of {LONGEST + 2} characters"),
        ([{"default": "int8", "x": "none"}], "reads as no stage"),
    ],
)
def test_what_is_no_rule_says_why(spec: object, told: str) -> None:
    """Wrong and hostile input is a typed error that names what is wrong with it."""
    with pytest.raises(CodecError) as error:
        link_codec(spec)
    assert told in str(error.value) and error.value.mend


def test_an_error_names_the_rule() -> None:
    """Of many rules the one with the fault is named."""
    with pytest.raises(CodecError) as wrong:
        link_codec({"default": "int8", "*/bias": "zstd(levle=3)"})
    assert wrong.value.where == 'rule "*/bias", codec "zstd(levle=3)"'


def test_the_bounds_can_be_used_up() -> None:
    """As many rules as are allowed are taken, and what they say is short enough for every header."""
    most = rules({"default": "int8", **{f"layer{i}/w": "none" for i in range(MOST_RULES)}})
    assert len(most.rules) == MOST_RULES and len(str(most)) <= LONGEST
    assert json.loads(str(most))["layer63/w"] == "none"
