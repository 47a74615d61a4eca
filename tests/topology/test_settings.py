"""Settings: which value holds for a member, and where it came from."""

from __future__ import annotations

import pytest

from tierfed.topology import parse_topology

TEXT = """\
apiVersion: tierfed/v1
kind: Topology
defaults: {codec: {up: bf16, down: bf16}, collect: {deadline: 40s}}
placements:
  SERVER: {collect: {deadline: 60s}}
  EDGE:
    parent: SERVER
    members:
      eu: {labels: {region: eu}, codec: {up: int8}}
      us: {labels: {region: us}, collect: {quorum: 50%, deadline: 90s}}
    codec: {up: zstd}
  CLIENTS:
    parent: EDGE
    per_parent: 4
    name: "c-{parent.labels.region}-{i}"
    codec: {up: int8+zstd}
    overrides:
      - {match: {region: us, i: 1-2}, codec: {up: int8}}
      - {match: {name: "c-*-2"}, codec: {up: none}}
      - {match: {n: 7}, codec: {down: none}}
"""


@pytest.mark.parametrize(
    ("node", "up", "origin"),
    [
        ("eu", "int8", "placements.EDGE.members.eu.codec.up, line 9"),
        ("us", "none+zstd", "placements.EDGE.codec.up, line 11"),
        ("c-eu-1", "int8+zstd", "placements.CLIENTS.codec.up, line 16"),
        ("c-us-1", "int8", "placements.CLIENTS.overrides[0].codec.up, line 18"),
        ("c-us-2", "none", "placements.CLIENTS.overrides[1].codec.up, line 19"),
        ("c-eu-2", "none", "placements.CLIENTS.overrides[1].codec.up, line 19"),
        ("server", "none", "built-in"),
    ],
)
def test_what_is_nearer_wins(node: str, up: str, origin: str) -> None:
    """defaults < placement < member < overrides, of which the later win; the origin is kept."""
    found = parse_topology(TEXT).node(node)
    assert found.codec_up == up
    assert found.settings.origins["codec.up"] == origin


def test_the_last_member_by_number() -> None:
    """`n` counts within the placement, over all parents."""
    topology = parse_topology(TEXT)
    assert [n.name for n in topology.members("CLIENTS") if n.codec_down == "none"] == ["c-us-3"]
    assert topology.node("c-us-0").settings.origins["codec.down"] == "defaults.codec.down, line 3"


@pytest.mark.parametrize(
    ("node", "deadline", "origin"),
    [
        ("server", "60s", "placements.SERVER.collect.deadline, line 5"),
        ("eu", "40s", "defaults.collect.deadline, line 3"),
        ("us", "60s", "that of server, its parent"),
        ("c-eu-0", "40s", "that of eu, its parent"),
    ],
)
def test_a_deadline_is_no_later_than_its_parents(node: str, deadline: str, origin: str) -> None:
    """An edge that may wait 90 s under a server that waits 60 s waits 60 s."""
    found = parse_topology(TEXT).node(node)
    assert str(found.deadline) == deadline
    assert found.settings.origins["collect.deadline"] == origin


def test_quorum_counts_direct_children_rounded_up() -> None:
    """Half of four clients are two; all of two edges are two."""
    topology = parse_topology(TEXT, sets=["EDGE.members.us.collect.quorum=51%"])
    assert dict(topology.root.quorum) == {"EDGE": 2}
    assert dict(topology.node("eu").quorum) == {"CLIENTS": 4}
    assert dict(topology.node("us").quorum) == {"CLIENTS": 3}
    assert dict(topology.node("c-eu-0").quorum) == {}


def test_a_set_outranks_everything() -> None:
    """`--set` on a placement holds for its members whatever the file says of them, in either form."""
    short = parse_topology(TEXT, sets=["CLIENTS.codec.up=none"])
    full = parse_topology(TEXT, sets=["placements.CLIENTS.codec.up=none"])
    assert short == full
    assert {n.codec_up for n in short.members("CLIENTS")} == {"none"}
    origins = {n.settings.origins["codec.up"] for n in short.members("CLIENTS")}
    assert origins == {"--set CLIENTS.codec.up=none"}


def test_a_set_on_a_member() -> None:
    """A member's own value can be set, and stays its own."""
    topology = parse_topology(TEXT, sets=["EDGE.members.us.codec={up: bf16, down: none}"])
    assert [(n.codec_up, n.codec_down) for n in topology.members("EDGE")] == [("int8", "bf16"), ("bf16", "none")]


def test_the_last_set_wins() -> None:
    """Of two sets on one value the later holds."""
    topology = parse_topology(TEXT, sets=["CLIENTS.codec.up=int8", "CLIENTS.codec.up=bf16"])
    assert topology.node("c-eu-0").codec_up == "bf16"
    topology = parse_topology(TEXT, sets=["EDGE.codec.up=bf16", "EDGE.members.us.codec.up=none"])
    assert [n.codec_up for n in topology.members("EDGE")] == ["bf16", "none"]


def test_a_set_on_defaults_keeps_its_rank() -> None:
    """Setting a default changes the default: what the file says of a placement still wins."""
    topology = parse_topology(TEXT, sets=["defaults.codec.up=int8"])
    assert topology.node("us").codec_up == "none+zstd"
    assert topology.node("c-us-0").codec_up == "int8+zstd"


def test_sets_reach_all_of_the_file() -> None:
    """Counts, seeds, parameters and entries of lists can be set, and what holds them comes into being."""
    topology = parse_topology(
        TEXT,
        sets=[
            "seed=11",
            "CLIENTS.per_parent=8",
            "CLIENTS.overrides[0].match.i=0",
            "job={program: 'm:f'}",
            "job.params.lr=1e-3",
        ],
    )
    assert topology.seed == 11
    assert len(topology.members("CLIENTS")) == 16
    assert topology.node("c-us-0").codec_up == "int8"
    assert topology.job is not None
    assert topology.job.params == {"lr": 0.001}


def test_codecs_are_canonical() -> None:
    """However a codec is written, equal chains have one text."""
    written = ["none+zstd", "[{zstd: {}}]", "zstd", "'none + zstd'"]
    texts = [parse_topology(TEXT.replace("up: zstd}", f"up: {w}}}")).node("us").codec_up for w in written]
    assert len(set(texts)) == 1


def test_labels_are_text() -> None:
    """A number as a label is its text; match may write either."""
    text = TEXT.replace("region: us", "region: 7")
    topology = parse_topology(text)
    assert topology.visible_labels("c-7-1") == {"region": "7"}
    assert topology.node("c-7-1").codec_up == "int8"
