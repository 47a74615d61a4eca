"""The grammar of axes: what is read, what is refused, and that splitting and joining are inverse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierfed.errors import SweepError
from tierfed.jobs.sweep.grammar import Axis, axis, joined, split


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("none,int8,eden(bits=2)", ["none", "int8", "eden(bits=2)"]),
        ("sketch(rows=5,cols=100), none", ["sketch(rows=5,cols=100)", "none"]),
        ("{up: int8, down: none},{up: [a, {b: c}]}", ["{up: int8, down: none}", "{up: [a, {b: c}]}"]),
        ('"a,b","c\\",d",e', ['"a,b"', '"c\\",d"', "e"]),
        ("'a,(','it''s,',b", ["'a,('", "'it''s,'", "b"]),
        ("it's,so", ["it's", "so"]),
        ("{a: 'x,y'},(=')')", ["{a: 'x,y'}", "(=')')"]),
        ("20ms, 80 %", ["20ms", "80 %"]),
        ('""', ['""']),
    ],
)
def test_commas_within_brackets_and_quotes_belong_to_the_value(text: str, values: list[str]) -> None:
    """Codecs, lists, mappings and quoted text need no marks of their own."""
    assert split(text, "-s") == values
    assert split(joined(values), "-s") == values


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("lr=1..4", ["1", "2", "3", "4"]),
        ("lr=3..1,7", ["3", "2", "1", "7"]),
        ("lr=-1..1", ["-1", "0", "1"]),
        ("lr=0..1+5", ["0", "0.25", "0.5", "0.75", "1"]),
        ("lr=0.01..0.1*3", ["0.01", "0.0316228", "0.1"]),
        ("rounds=1..1000*4", ["1", "10", "100", "1000"]),
        ("CLIENTS.link.delay=1ms..100ms*3", ["1ms", "10ms", "100ms"]),
        ("CLIENTS.link.loss=0%..2%+3", ["0%", "1%", "2%"]),
        ("lr=-1..-100*3", ["-1", "-10", "-100"]),
        ("file=../x,1..2..3", ["../x", "1..2..3"]),
    ],
)
def test_ranges(text: str, values: list[str]) -> None:
    """Whole numbers, equal steps and equal factors, with one unit; what is no range is a value."""
    assert axis(text).rows == tuple((value,) for value in values)


def test_paths_that_move_together() -> None:
    """Each tuple has a value for each path, and is one step of the axis."""
    text = "A.codec.up, B.codec.up=[int8,bf16],[eden(bits=4), int8],[[a,b],{c: d}]"
    read = axis(text)
    assert read == Axis(("A.codec.up", "B.codec.up"), (("int8", "bf16"), ("eden(bits=4)", "int8"), ("[a,b]", "{c: d}")))
    assert axis(str(read)) == read


def test_a_list_is_a_value_where_one_path_is_set() -> None:
    """`faults=[]` is a value of one path, brackets and all."""
    assert axis("faults=[],[{a: 1}]").rows == (("[]",), ("[{a: 1}]",))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("CLIENTS.codec.up", "expected PATH=V1,V2,…"),
        ("=int8", "expected PATH=V1,V2,…"),
        ("a=", "no value"),
        ("a=1,,2", "an empty value"),
        ("a=1,", "an empty value"),
        ("a=eden(bits=2", ") is missing at the end"),
        ("a=x),y", ") closes nothing"),
        ("a=(x]", "] closes nothing"),
        ('a="x,y', '" is missing at the end'),
        ("a=1,2,1", "1 stands twice"),
        ("a=1..3,2", "2 stands twice"),
        ("a,=1", "a comma without a path beside it"),
        ("a,b=1,2", "1 sets 2 paths, and is no list"),
        ("a,b=[1]", "[1] has 1 values for 2 paths"),
        ("a,b=[1,2],[1,2]", "1, 2 stands twice"),
        ("a=0.1..0.5", "0.1..0.5 does not say how many"),
        ("a=0..1*3", "0..1*3: no factor leads from 0 to 1"),
        ("a=-1..1*3", "-1..1*3: no factor leads from -1 to 1"),
        ("a=1..2+1", "1..2+1 has not two values"),
        ("a=3..3*2", "3..3*2 has not two values"),
        ("a=1ms..1s*4", "1ms..1s*4 goes from ms to s"),
        ("a=1..100000", "1..100000 has 100000 values"),
    ],
)
def test_what_is_refused(text: str, told: str) -> None:
    """The error shows the axis, what is wrong with it, and what to write."""
    with pytest.raises(SweepError) as error:
        axis(text)
    assert (error.value.what, error.value.where) == (told, f"-s {text}")
    assert error.value.mend


_PLAIN = st.text("abz019=.%+:-_", min_size=1)
_QUOTED = st.text("ab,()[]{}' ").map(lambda text: f'"{text}"') | st.text('ab,()[]{}" ').map(lambda text: f"'{text}'")
_VALUES = st.recursive(
    _PLAIN | _QUOTED,
    lambda inner: st.builds(
        lambda pair, items, name: (name if pair == "()" else "") + pair[0] + ",".join(items) + pair[1],
        st.sampled_from(["()", "[]", "{}"]),
        st.lists(inner, max_size=3),
        _PLAIN,
    ),
    max_leaves=8,
)


@given(st.lists(_VALUES, min_size=1, max_size=6))
def test_splitting_undoes_joining(values: list[str]) -> None:
    """Whatever the values are made of, they come back one by one."""
    assert split(joined(values), "-s") == values


@given(st.text("ab,()[]{}'\" \\=", max_size=20))
def test_joining_undoes_splitting(text: str) -> None:
    """Any text is refused, or is values that are the text again but for spaces around them."""
    try:
        values = split(text, "-s")
    except SweepError:
        return
    assert split(joined(values), "-s") == values
    assert joined(values).replace(" ", "") == text.replace(" ", "")
