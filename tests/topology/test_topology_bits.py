"""`eden(bits=auto)`: more bits going up, so that each tier's part of the error at the root is about the same."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierfed.codecs import codec
from tierfed.errors import CodecError, TopologyError
from tierfed.topology import Topology, parse_topology, tree
from tierfed.topology.bits import chain, shared_out, written
from tierfed.topology.draw import FORMATS
from tierfed.topology.error import at_root

AUTO = "eden(bits=auto)"
UNEVEN = """\
apiVersion: tierfed/v1
kind: Topology
placements:
  SERVER: {}
  EDGE:
    parent: SERVER
    members: {e-0: {}, e-1: {}, e-2: {}}
    codec: {up: eden(bits=auto)}
  CLIENTS:
    parent: EDGE
    members: {MEMBERS}
    codec: {up: "eden(auto)+zstd"}
""".replace("MEMBERS", ", ".join(f"c-{e}-{i}: {{parent: e-{e}}}" for e, n in enumerate((1, 4, 20)) for i in range(n)))


def shape(*fans: int, up: str = AUTO) -> Topology:
    """Return a tree of tiers A, B, C … from the top, each with this codec up."""
    names = "ABCDE"[: len(fans)]
    return tree(dict(zip(names, fans, strict=True)), codec={name: {"up": up} for name in names})


def bits(topology: Topology) -> list[str]:
    """Return the codecs of the tiers from the top, those of their first members."""
    return [topology.members(p)[0].codec_up for p in topology.hierarchy.placements[1:]]


@pytest.mark.parametrize(
    ("fans", "wanted"),
    [
        ((64,), [4]),
        ((8, 8), [4, 2]),
        ((4, 4, 4), [4, 3, 2]),
        ((3, 2), [4, 3]),
        ((3, 1), [4, 4]),
        ((2, 16), [4, 2]),
        ((2, 64), [4, 1]),
        ((2, 10, 10, 2), [4, 2, 1, 1]),
    ],
)
def test_each_tier_has_fewer_bits_than_the_one_above(fans: tuple[int, ...], wanted: list[int]) -> None:
    """Half the logarithm of the fan-in, from four at the top to one at least; the fan-in of the root does not count."""
    assert [codec(spec).config[0]["eden"]["bits"] for spec in bits(shape(*fans))] == wanted


def test_the_tiers_add_about_the_same() -> None:
    """Over 4-4-4 the parts are within a factor of 1.6, where with equal bits the last hop has 8.5 times the first's."""

    def spread(topology: Topology) -> float:
        error = at_root(topology)
        assert error is not None
        parts = [tier.nmse or 0 for tier in error.tiers.values()]
        return max(parts) / min(parts)

    assert spread(shape(4, 4, 4)) < 1.6 < 8 < spread(shape(4, 4, 4, up="eden(3)"))


@given(st.lists(st.integers(1, 12), min_size=1, max_size=4))
def test_bits_never_fall_going_up(fans: list[int]) -> None:
    """However deep the tree: four at the top, one to four below, never more than above."""
    parents: dict[str, tuple[str, int]] = {"0": ("root", fans[0])}
    for at, fan in enumerate(fans[1:]):
        parents[str(at + 1)] = (str(at), fan)
    found = [shared_out(parents)[str(at)] for at in range(len(fans))]
    assert found[0] == 4 and found == sorted(found, reverse=True) and found[-1] >= 1


def test_members_have_bits_by_their_own_siblings() -> None:
    """Where fan-ins differ the members differ: an only child has its parent's bits, one of twenty two fewer."""
    topology = parse_topology(UNEVEN)
    found = {n.name: n.codec_up for n in topology.nodes.values()}
    assert [found[name] for name in ("e-0", "c-0-0", "c-1-0", "c-2-0")] == [
        "eden",
        "eden+zstd",
        "eden(bits=3)+zstd",
        "eden(bits=2)+zstd",
    ]


def test_another_codec_above_begins_anew() -> None:
    """Below int8, or with a placement of another codec between, four bits are at the top of what is left."""
    topology = tree(
        {"A": 4, "B": 4, "C": 4}, codec={"A": {"up": "int8"}, "B": {"up": AUTO}, "C": {"up": f"{AUTO}+zstd"}}
    )
    assert bits(topology) == ["int8", "eden", "eden(bits=3)+zstd"]
    topology = tree({"A": 4, "B": 4, "C": 4}, codec={"A": {"up": AUTO}, "C": {"up": AUTO}})
    assert bits(topology) == ["eden", "none", "eden"]


def test_rules_may_say_auto() -> None:
    """In a rule the bits are those of the link; what names bits keeps them."""
    up = {"default": AUTO, "*/bias": "eden(3)", "w": [{"eden": {"bits": "auto"}}, "zstd"]}
    topology = tree({"A": 4, "B": 16}, codec={"A": {"up": AUTO}, "B": {"up": up}})
    assert bits(topology)[1] == '{"default": "eden(bits=2)", "*/bias": "eden(bits=3)", "w": "eden(bits=2)+zstd"}'


def test_the_origin_says_what_was_written() -> None:
    """The resolved form, the drawing and the document tell the bits and that the topology chose them."""
    topology = parse_topology(UNEVEN)
    text = topology.to_yaml(origins=True)
    assert "up: eden(bits=2)+zstd # placements.CLIENTS.codec.up, line 12, from eden(bits=auto)" in " ".join(
        text.split()
    )
    assert parse_topology(topology.to_yaml()) == topology
    drawn = FORMATS["tree"](topology)
    assert "up eden(bits=4) (auto)" in drawn and "up eden(bits=2)+zstd (auto)" in drawn
    plain = {n["name"]: n["codec"] for n in json.loads(FORMATS["json"](topology))["nodes"] if "codec" in n}
    assert plain["c-2-0"] == {"up": "eden(bits=2)+zstd", "down": "none", "up_from": AUTO}
    assert "up_from" not in json.loads(FORMATS["json"](shape(3, up="eden(2)")))["nodes"][1]["codec"]


@pytest.mark.parametrize("spec", [AUTO, "eden(auto)", [{"eden": {"bits": "auto"}}], " eden( bits = auto ) "])
def test_all_ways_of_writing_it_are_one(spec: object) -> None:
    """By name or by place, as a string or a list."""
    assert chain(spec) == written({"default": spec}) == AUTO
    assert chain("clip(0.5)+eden(auto)+zstd(9)") == f"clip(limit=0.5)+{AUTO}+zstd(level=9)"
    assert chain("int8(stochastic=true)+zstd") == "int8(stochastic=true)+zstd"


def test_it_is_of_topologies_and_of_what_rises() -> None:
    """A codec without a topology cannot know, and on the way down there is one sender: both say so."""
    with pytest.raises(CodecError) as error:
        codec(AUTO)
    assert str(error.value) == (
        'codec "eden(bits=auto)": eden: bits=auto is settled by a topology, for what its members send up\n'
        "  to mend: give 1, 2, 3 or 4 bits an element"
    )
    with pytest.raises(TopologyError, match=r"placements\.A\.codec\.down: bits=auto is settled by a topology"):
        tree({"A": 3}, codec={"A": {"down": AUTO}})
    for wrong in (
        "eden(bits=outo)",
        "qsgd(bits=auto)",
        "eden(auto, 3)",
        "eden(auto, bits=3)",
        "eden(bits=auto)+int8",
        "eden(bits=auto",
    ):
        with pytest.raises(TopologyError):
            tree({"A": 3}, codec={"A": {"up": wrong}})


def test_names_of_other_codecs_beside_it_are_no_trouble() -> None:
    """Checks that read the codecs of a link before the bits are shared out read this one too."""
    topology = tree({"A": 3}, codec={"A": {"up": {"default": AUTO, "delta/w": "none"}}})
    assert bits(topology) == ['{"default": "eden", "delta/w": "none"}']
    with pytest.raises(TopologyError, match="delta is for what comes down"):
        tree({"A": 3}, codec={"A": {"up": f"delta+{AUTO}"}})
    topology = tree({"A": 3, "B": 16}, codec={"A": {"up": f"error_feedback+{AUTO}"}, "B": {"up": AUTO}})
    assert bits(topology) == ["error_feedback+eden", "eden(bits=2)"]
