"""Reading YAML: data, positions, merges, and scalars as YAML 1.2 has them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from tierfed.topology.positions import Document, read_text
from tierfed.topology.problems import Problems, dotted
from tierfed.topology.scalars import quoted, resolve


def read(text: str) -> Document:
    """Return the document in `text`, which must be sound."""
    problems = Problems()
    document = read_text(text, "t.yaml", problems)
    assert problems.found == []
    return document


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e3", 1000.0),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("0o17", 15),
        ("0x1F", 31),
        ("0", 0),
        ("-7", -7),
        (".5", 0.5),
        ("5.", 5.0),
        ("on", "on"),
        ("No", "No"),
        ("y", "y"),
        ("true", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        ("~", None),
        ("", None),
        ("null", None),
        ("20ms", "20ms"),
        ("80%", "80%"),
        ("2024-01-01", "2024-01-01"),
    ],
)
def test_unquoted_words_mean_what_yaml_1_2_says(text: str, value: object) -> None:
    """Numbers, booleans and nulls are those of the core schema; the rest is text."""
    got = resolve(text)
    assert got == value
    assert type(got) is type(value)


def test_every_path_knows_its_line_and_column() -> None:
    """Keys and values have places, also inside flow mappings and lists."""
    document = read("a: 1\nb:\n  - {c: 20ms, d: x}\n  - e\n")
    assert str(document.key(("b", 0, "d"))) == "t.yaml:3:15"
    assert str(document.value(("b", 0, "d"))) == "t.yaml:3:18"
    assert str(document.value(("b", 1))) == "t.yaml:4:5"
    assert document.data == {"a": 1, "b": [{"c": "20ms", "d": "x"}, "e"]}


def test_a_path_that_is_not_there_stands_at_what_holds_it() -> None:
    """A problem about a missing value points at the nearest key above it."""
    document = read("a:\n  b: {c: 1}\n")
    assert str(document.value(("a", "b", "x", "y"))) == "t.yaml:2:3"
    assert document.shown(("a", "b", "x", "y")) == ("a", "b")


def test_merges_give_way_to_own_keys_and_keep_their_places() -> None:
    """`<<` fills in what a mapping lacks, the first of several winning; a merged value stands at its anchor."""
    document = read("a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {<<: [*a, *b], x: 9}\nd: {<<: *a, x: 8}\n")
    assert document.data["c"] == {"x": 9, "y": 2, "z": 4}
    assert document.data["d"] == {"x": 8, "y": 2}
    assert str(document.value(("c", "z"))) == "t.yaml:2:17"
    assert str(document.value(("c", "x"))) == "t.yaml:3:22"


def test_characters_that_json_escapes_in_halves() -> None:
    """JSON writes what is beyond the basic plane as two escapes; half of one is a problem."""
    assert read(r'a: "\ud83d\ude00"').data == {"a": "\U0001f600"}
    problems = Problems()
    read_text(r'a: "\ud83d"', "t.yaml", problems)
    assert [str(p) for p in problems.found] == [
        "t.yaml:1:4: error: an escape of half a character; write the character itself"
    ]


def test_a_quoted_merge_sign_is_an_ordinary_key() -> None:
    """Only a bare `<<` merges."""
    assert read("a: {'<<': 1}\n").data == {"a": {"<<": 1}}


def test_aliases_are_copies() -> None:
    """Changing one place that an anchor was repeated at leaves the others."""
    document = read("a: &a {x: 1}\nb: *a\n")
    document.data["b"]["x"] = 2
    assert document.data["a"] == {"x": 1}


def test_merges_of_merges_are_bounded() -> None:
    """Merging doubles at each of forty anchors: it ends as a problem, not in hours."""
    lines = ["a0: &a0 {x: 1}"] + [f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, 40)]
    problems = Problems()
    assert read_text("\n".join(lines), "t.yaml", problems).data is None
    assert "aliases" in problems.found[0].what


def test_chains_of_aliases_are_bounded() -> None:
    """Aliases can nest deeper than brackets may: a problem, not a RecursionError."""
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 60)]
    problems = Problems()
    assert read_text("\n".join(lines), "t.yaml", problems).data is None
    assert problems.found[0].what == "aliases nest deeper than 32 levels"


def test_paths_are_written_as_people_write_them() -> None:
    """Steps are joined by dots, indices stand in brackets."""
    assert dotted(("placements", "CLIENTS", "overrides", 0, "link")) == "placements.CLIENTS.overrides[0].link"


plain = st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.floats(allow_nan=False, allow_infinity=False)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
yamlish = st.sampled_from(
    ["%", "=", "a:", "-", "?", "..", "...", "---"]
    + ["1e3", "on", "null", "~", "017", "1:30", "a: b", "- a", "#x", "a #b", "'", '"', "*a", "<<", " "]
)


@settings(max_examples=150, deadline=None)
@given(value=plain | text | yamlish)
def test_scalars_are_written_so_that_they_read_back(value: Any) -> None:
    """`quoted` and our reader agree on every scalar, in a block and within brackets."""
    written = quoted(value)
    got = read(f"a: {written}\nb: [{written if ',' not in written or written[0] == chr(34) else 0}]\n").data
    assert got["a"] == value
    assert type(got["a"]) is type(value)


@settings(max_examples=60, deadline=None)
@given(value=text | yamlish)
def test_other_readers_agree_on_text(value: str) -> None:
    """ruamel's own loader reads a quoted text as that text."""
    assert YAML(typ="safe", pure=True).load(f"a: {quoted(value)}\n") == {"a": value}
