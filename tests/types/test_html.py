"""What notebooks show of types, programs, slices and topologies: escaped, whole, and in the theme's own colours."""

import html.parser
import re

import numpy as np
import pytest

import tierfed
from tierfed.types import html as pieces

EDGE = tierfed.placement("EDGE_AGGREGATORS")
LONG = tierfed.StructType([(f"layer_{i:03d}", tierfed.TensorType(np.float32, (784, i + 1))) for i in range(60)])


@tierfed.federated_computation(tierfed.FederatedType(np.float32, tierfed.CLIENTS))
def hottest(x):
    return tierfed.federated_max(tierfed.federated_mean(x, to=EDGE))


class Reader(html.parser.HTMLParser):
    """The text of a piece, cell by cell; fails on tags that do not match."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.open, self.texts, self.tags = [], [], set()
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


SHOWN = {
    "a type": lambda: tierfed.to_type("(<a=int32,b={float32[?]}@CLIENTS> -> float32@SERVER)"),
    "a long type": lambda: LONG,
    "a computation": lambda: hottest,
    "a compiled program": lambda: tierfed.compile(
        hottest, tierfed.Hierarchy.chain("SERVER", "EDGE_AGGREGATORS", "CLIENTS")
    ),
    "a topology": lambda: tierfed.tree(fan_out={"EDGE_AGGREGATORS": 2, "CLIENTS": 3}),
}


@pytest.mark.parametrize("name", SHOWN)
def test_nothing_to_load_and_no_colours(name):
    """No script, style sheet, link or picture, and no colour that a dark theme would swallow."""
    source = SHOWN[name]()._repr_html_()
    assert Reader(source).tags <= {
        "div",
        "strong",
        "pre",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "details",
        "summary",
    }
    styles = " ".join(re.findall(r'style="([^"]*)"', source))
    assert not re.search(r"url\(|#[0-9a-f]{3}|rgb|background(?!: none)|color(?!: inherit)", styles)


def test_a_type_is_its_notation():
    """What is read off the page is what `to_type` reads."""
    t = SHOWN["a type"]()
    (told,) = Reader(t._repr_html_()).texts
    assert tierfed.to_type(told) == t


def test_a_long_type_is_cut_and_whole_behind_a_line():
    """Its beginning is shown; behind the line is all of it."""
    beginning, line, whole = Reader(LONG._repr_html_()).texts
    assert line == "all 62 lines"
    assert beginning.endswith(" …") and whole.startswith(beginning[:-2])
    assert beginning.count("\n") == 23
    assert tierfed.to_type(whole) == LONG


def test_a_computation_says_name_type_and_program():
    """As `str` says them."""
    texts = Reader(hottest._repr_html_()).texts
    assert texts == ["computation hottest", "type", str(hottest.type_signature), "program", str(hottest)]


def test_slices_are_a_table_of_tiers():
    """A row a tier, the deepest first, with the lines of `str`; a tier without steps is said to take no part."""
    compiled = SHOWN["a compiled program"]()
    texts = Reader(compiled._repr_html_()).texts
    tiers = texts[texts.index("each member") + 1 :]
    assert tiers[::2] == ["CLIENTS", "EDGE_AGGREGATORS", "SERVER"]
    for line in "\n".join(tiers[1::2]).splitlines():
        assert f"  {line}" in str(compiled).splitlines()
    assert texts[0] == f"program {compiled.hash[:12]} over SERVER > EDGE_AGGREGATORS > CLIENTS"
    edges_only = tierfed.federated_computation(tierfed.FederatedType(np.int32, EDGE))(tierfed.federated_sum)
    shown = Reader(tierfed.compile(edges_only, compiled.hierarchy)._repr_html_()).texts
    assert shown[shown.index("CLIENTS") + 1] == "takes no part"


def test_a_topology_is_its_drawing():
    """The tree as the command line draws it."""
    (told,) = Reader(SHOWN["a topology"]()._repr_html_()).texts
    assert "SERVER server" in told and "×6" in told


def test_a_result_that_is_a_struct():
    """A row an element, by name or by number, its value as `repr` writes it."""
    value = tierfed.Struct(("mean", None), (np.float32(1.5), "<b>"))
    assert Reader(value._repr_html_()).texts == ["mean", "np.float32(1.5)", "[1]", "'<b>'"]


def test_text_is_escaped_once():
    """What looks like a tag is text; what was made of pieces is not escaped again."""
    source = pieces.titled(
        "<b>", pieces.table(["a & b"], [["</table>", pieces.code("<x=int32>")]]), pieces.folded("<i>")
    )
    assert Reader(source).texts == ["<b>", "a & b", "</table>", "<x=int32>", "<i>"]
    assert "&amp;lt;" not in source
