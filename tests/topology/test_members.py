"""Members: who there is, under whom, by which name, in which process."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierfed.errors import NoSuchRun, TopologyError
from tierfed.placements import CLIENTS, SERVER, Hierarchy, Tree
from tierfed.topology import Topology, of_tree, parse_topology, tree
from tierfed.topology.names import Template, TemplateError

HEAD = "apiVersion: tierfed/v1\nkind: Topology\nplacements:\n  SERVER: {}\n"
EDGES = "  EDGE: {parent: SERVER, members: {eu: {labels: {region: eu}}, us: {labels: {region: us}}}}\n"


def names(topology: Topology, placement: str) -> list[str]:
    """Return the names of a placement's members in member order."""
    return [n.name for n in topology.members(placement)]


def children(topology: Topology, name: str) -> list[str]:
    """Return the names of a node's children."""
    return list(topology.node(name).children)


def test_a_count_is_shared_out_in_blocks() -> None:
    """Consecutive members stand under one parent; `i` counts within it, `n` within the placement."""
    topology = parse_topology(HEAD + EDGES + '  CLIENTS: {parent: EDGE, count: 6, fan_in: 3, name: "{n}-{i}"}\n')
    assert children(topology, "eu") == ["0-0", "1-1", "2-2"]
    assert children(topology, "us") == ["3-0", "4-1", "5-2"]


def test_round_robin_deals_one_by_one() -> None:
    """With `distribute: round_robin` a count need not divide, and the first parents get one more."""
    topology = parse_topology(
        HEAD + EDGES + '  CLIENTS: {parent: EDGE, count: 5, distribute: round_robin, name: "{n}-{i}"}\n'
    )
    assert children(topology, "eu") == ["0-0", "1-1", "2-2"]
    assert children(topology, "us") == ["3-0", "4-1"]


def test_written_members_are_shared_out_too() -> None:
    """Members that name no parent are dealt as a count is."""
    blocks = parse_topology(HEAD + EDGES + "  CLIENTS: {parent: EDGE, members: {a: , b: , c: , d: }}\n")
    assert (children(blocks, "eu"), children(blocks, "us")) == (["a", "b"], ["c", "d"])
    dealt = parse_topology(
        HEAD + EDGES + "  CLIENTS: {parent: EDGE, distribute: round_robin, members: {a: , b: , c: }}\n"
    )
    assert (children(dealt, "eu"), children(dealt, "us")) == (["a", "c"], ["b"])


def test_members_that_name_their_parents() -> None:
    """A member goes where it says; a parent may be left without children."""
    topology = parse_topology(HEAD + EDGES + "  CLIENTS: {parent: EDGE, members: {a: {parent: us}, b: {parent: us}}}\n")
    assert (children(topology, "eu"), children(topology, "us")) == ([], ["a", "b"])
    assert dict(topology.node("eu").quorum) == {"CLIENTS": 0}


def test_member_order_is_depth_first() -> None:
    """Lists for a placement follow the tree, not the order in which members are written."""
    topology = parse_topology(HEAD + EDGES + "  CLIENTS: {parent: EDGE, members: {a: {parent: us}, b: {parent: eu}}}\n")
    assert names(topology, "CLIENTS") == ["b", "a"]
    assert [n.index for n in topology.members("CLIENTS")] == [0, 1]


def test_default_names_are_numbered_and_padded() -> None:
    """A placement without a template takes its own name in lower case."""
    topology = parse_topology(HEAD + "  EDGE_AGGREGATORS: {parent: SERVER, per_parent: 11}\n")
    assert topology.root.name == "server"
    assert names(topology, "EDGE_AGGREGATORS")[::10] == ["edge-aggregators-00", "edge-aggregators-10"]


def test_names_see_the_labels_of_ancestors() -> None:
    """`{parent.labels.x}` is the nearest ancestor's label, so tiers between need not repeat it."""
    topology = parse_topology(
        HEAD
        + EDGES
        + '  HUBS: {parent: EDGE, per_parent: 1, name: "hub-{parent.name}"}\n'
        + '  CLIENTS: {parent: HUBS, per_parent: 2, name: "c-{parent.labels.region}-{i:02d}"}\n'
    )
    assert names(topology, "CLIENTS") == ["c-eu-00", "c-eu-01", "c-us-00", "c-us-01"]
    assert topology.visible_labels("c-us-01") == {"region": "us"}
    assert dict(topology.node("c-us-01").labels) == {}


def test_two_leaf_placements_under_one_parent() -> None:
    """Branches are allowed, and a parent's quorum is by child placement."""
    topology = parse_topology(
        HEAD.replace("SERVER: {}", "SERVER: {collect: {quorum: 60%}}")
        + "  SENSORS: {parent: SERVER, per_parent: 3}\n  PHONES: {parent: SERVER, per_parent: 2}\n"
    )
    assert str(topology.hierarchy) == "SERVER > (SENSORS, PHONES)"
    assert dict(topology.root.quorum) == {"SENSORS": 2, "PHONES": 2}
    assert children(topology, "server") == ["sensors-0", "sensors-1", "sensors-2", "phones-0", "phones-1"]


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("c", "c"),
        ("c-{i}", "c-7"),
        ("{i:03d}.{n:2d}", None),
        ("{i:03d}x{n:04}", "007x0042"),
        ("{n:d}", "42"),
        ("{parent.name}{parent.labels.a-b}", "edgeAB"),
    ],
)
def test_templates(template: str, name: str | None) -> None:
    """The small grammar of templates, each form once."""
    if name is None:
        with pytest.raises(TemplateError, match="has no such form"):
            Template.parse(template)
    else:
        assert Template.parse(template).name(i=7, n=42, parent="edge", labels={"a-b": "AB"}) == name


@pytest.mark.parametrize(
    "text", ["{", "}", "{{i}}", "{i", "i}", "{}", "{i!r}", "{parent}", "{parent.labels.a.b}", "{i:>9}"]
)
def test_templates_that_are_none(text: str) -> None:
    """Nothing of str.format beyond the grammar is read."""
    with pytest.raises(TemplateError):
        Template.parse(text)


def colocated(fan_in: list[int], most: int) -> list[int]:
    """Return the sizes of the client processes of edges with so many clients each."""
    edges = ", ".join(f"e{at}: " for at in range(len(fan_in)))
    clients = ", ".join(f"c{at}-{i}: {{parent: e{at}}}" for at, n in enumerate(fan_in) for i in range(n))
    text = f"  EDGE: {{parent: SERVER, members: {{{edges}}}}}\n"
    text += f"  CLIENTS: {{parent: EDGE, colocate: {most}, members: {{{clients}}}}}\n"
    topology = parse_topology(HEAD + text)
    return [len(of) for of in topology.processes.values() if topology.node(of[0]).placement == "CLIENTS"]


@pytest.mark.parametrize(
    ("fan_in", "most", "sizes"),
    [
        ([16, 16], 8, [8, 8, 8, 8]),
        ([10, 10], 8, [8, 2, 8, 2]),
        ([3, 3, 3], 8, [6, 3]),
        ([2, 9, 2], 4, [2, 4, 4, 1, 2]),
        ([0, 4], 4, [4]),
        ([4, 4], 1, [1] * 8),
    ],
)
def test_processes_keep_siblings_together(fan_in: list[int], most: int, sizes: list[int]) -> None:
    """A process holds children of one parent, or whole small families."""
    assert colocated(fan_in, most) == sizes


def test_processes_are_named_after_their_members() -> None:
    """A process of one is called as its member, a larger one by its first and last."""
    topology = tree({"EDGE": 2, "CLIENTS": 4}, colocate={"CLIENTS": 4})
    assert list(topology.processes) == ["server", "edge-0", "edge-1", "clients-0..clients-3", "clients-4..clients-7"]
    assert topology.node("clients-5").process == "clients-4..clients-7"


def test_members_on_different_hosts_share_no_process() -> None:
    """Colocation stops where the host changes."""
    text = HEAD.replace("placements", "hosts: {local: , there: }\nplacements")
    text += "  CLIENTS: {parent: SERVER, per_parent: 4, colocate: 4, overrides: [{match: {i: 2-3}, host: there}]}\n"
    assert [len(of) for of in parse_topology(text).processes.values()] == [1, 2, 2]


def test_a_tree_without_a_file() -> None:
    """The order of `fan_out` is the chain under SERVER, and settings are those of a file."""
    topology = tree(
        {"EDGE": 2, "CLIENTS": 3},
        name="small",
        seed=5,
        codec={"CLIENTS": {"up": "int8"}},
        collect={"SERVER": {"deadline": "9s"}},
        job={"program": "m:f", "params": {"lr": 0.1}},
        data={"dataset": "d", "split": "iid"},
    )
    assert str(topology.hierarchy) == "SERVER > EDGE > CLIENTS"
    assert [len(topology.members(p)) for p in ("SERVER", "EDGE", "CLIENTS")] == [1, 2, 6]
    assert topology.node("clients-4").codec_up == "int8"
    assert str(topology.node("edge-1").deadline) == "9s"
    assert topology.job is not None
    assert topology.job.data == {"dataset": "d", "split": "iid"}
    assert (topology.name, topology.seed, topology.source) == ("small", 5, None)


def test_a_tree_without_a_file_is_checked_like_one() -> None:
    """All problems of a call are told at once, with the call as their place."""
    with pytest.raises(TopologyError) as error:
        tree({"CLIENTS": -1}, codec={"CLIENT": {"up": "int8"}}, colocate={"CLIENTS": "all"}, data={"dataset": "d"})
    assert str(error.value).splitlines() == [
        "tree(): error: codec: no placement 'CLIENT'; did you mean 'CLIENTS'?",
        "tree(): error: data: data for no job; add job={'program': 'module:function'}",
        "tree(): error: placements.CLIENTS.per_parent: -1 is too small; 0 is the least",
        "tree(): error: placements.CLIENTS.colocate: expected a whole number, got 'all'",
    ]


def test_an_empty_placement() -> None:
    """Nobody may be there: the tree still loads, and loads again."""
    topology = tree({"EDGE": 1, "CLIENTS": 0})
    assert topology.members("CLIENTS") == ()
    assert parse_topology(topology.to_yaml()) == topology


def test_a_topology_of_any_tree() -> None:
    """`of_tree` keeps names, parents and order, however irregular the tree."""
    hierarchy = Hierarchy({"EDGE": "SERVER", "SENSORS": "EDGE", "PHONES": "EDGE"})
    given = Tree.grown(hierarchy, {"EDGE": 2, "SENSORS": 1, "PHONES": 2})
    with pytest.raises(TopologyError, match="names have letters"):
        of_tree(given)  # that tree's names have dots
    hierarchy = Hierarchy.chain(SERVER, CLIENTS)
    flat = Tree.grown(hierarchy, {"CLIENTS": 3})
    assert of_tree(flat).tree.root == flat.root


def test_unknown_nodes_and_placements() -> None:
    """A name that is not there is answered with the nearest."""
    topology = tree({"CLIENTS": 2})
    with pytest.raises(NoSuchRun) as node:
        topology.node("client-1")
    assert str(node.value) == "tree: no node 'client-1'\n  to mend: did you mean 'clients-1'?"
    with pytest.raises(NoSuchRun) as placement:
        topology.members("EDGE")
    assert str(placement.value) == "tree: no placement 'EDGE'\n  to mend: there are SERVER, CLIENTS"


codecs = st.sampled_from(["none", "int8", "bf16", "int8+zstd", "zstd(level=9)", ["bf16", {"zstd": {"level": 2}}]])
codec_settings = st.fixed_dictionaries({}, optional={"up": codecs, "down": codecs})
collects = st.fixed_dictionaries(
    {},
    optional={
        "quorum": st.sampled_from(["50%", "33.3%", "100%"]),
        "deadline": st.sampled_from(["5s", "250ms", "2min"]),
    },
)
labels = st.dictionaries(
    st.sampled_from(["region", "rack", "os"]), st.sampled_from(["eu", "us", "no", "on", "1e3", "a b"])
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A random valid topology file: its placements, members, labels and settings."""
    depth = draw(st.integers(1, 4))
    placements: dict[str, Any] = {"SERVER": draw(st.sampled_from([None, {}, {"members": {"root": None}}]))}
    sizes = {"SERVER": 1}
    for at in range(1, depth + 1):
        name = f"TIER_{at}"
        parent = draw(st.sampled_from(list(sizes)))
        placement: dict[str, Any] = {"parent": parent, "codec": draw(codec_settings)}
        parents = sizes[parent]
        way = draw(st.sampled_from(["per_parent", "count", "round_robin", "members"]))
        if way == "per_parent" or not parents:
            placement["per_parent"] = draw(st.integers(0, 3))
            sizes[name] = parents * placement["per_parent"]
        elif way == "count":
            placement["fan_in"] = draw(st.integers(1, 3))
            sizes[name] = placement["count"] = parents * placement["fan_in"]
        else:
            size = sizes[name] = draw(st.integers(1, 5))
            placement["distribute"] = "round_robin"
            if way == "round_robin":
                placement["count"] = size
            else:
                spec = st.fixed_dictionaries({}, optional={"labels": labels, "codec": codec_settings})
                placement["members"] = {f"m{at}-{i}": draw(st.none() | spec) for i in range(size)}
        if "members" not in placement and draw(st.booleans()):
            placement["name"] = draw(st.sampled_from([f"t{at}-{{n}}", f"t{at}-{{parent.name}}-{{i:02d}}"]))
        if sizes[name] and draw(st.booleans()):
            placement["overrides"] = [{"match": {"n": "0-1"}, "codec": {"up": "bf16"}, "host": "local"}]
        if draw(st.booleans()):
            placement["colocate"] = draw(st.integers(1, 4))
        placements[name] = placement
    for name in {p["parent"] for p in placements.values() if p and "parent" in p}:
        if draw(st.booleans()):
            placements[name] = {**(placements[name] or {}), "collect": draw(collects)}
    params = st.dictionaries(
        st.sampled_from(["lr", "rounds", "tags"]),
        st.none() | st.floats(-1, 1) | st.lists(st.text(max_size=4), max_size=2),
    )
    document = {
        "apiVersion": "tierfed/v1",
        "kind": "Topology",
        "seed": draw(st.integers(0, 2**63 - 1)),
        "placements": placements,
        "defaults": {"codec": draw(codec_settings), "collect": draw(collects)},
    }
    if draw(st.booleans()):
        document["job"] = {"program": "m:f", "params": draw(params)}
    return document


@settings(max_examples=60, deadline=None)
@given(documents())
def test_a_resolved_topology_loads_as_an_equal_one(document: dict[str, Any]) -> None:
    """Any valid file, written out resolved as YAML or JSON, is the same topology again."""
    topology = parse_topology(json.dumps(document))
    assert parse_topology(topology.to_yaml()) == topology
    assert parse_topology(topology.to_yaml(origins=True)) == topology
    again = parse_topology(json.dumps(topology.to_dict()))
    assert again == topology
    assert again.tree.root == topology.tree.root
    assert again.processes == topology.processes


@settings(max_examples=60, deadline=None)
@given(documents())
def test_members_hold_together(document: dict[str, Any]) -> None:
    """Each member is in one process no larger than allowed, and in its parent's children."""
    topology = parse_topology(json.dumps(document))
    assert sorted(itertools.chain(*topology.processes.values())) == sorted(topology.nodes)
    for of in topology.processes.values():
        placements = {topology.node(name).placement for name in of}
        assert len(placements) == 1
        assert len(of) <= topology.colocate.get(placements.pop(), 1)
    for node in topology.nodes.values():
        if node.parent is not None:
            parent = topology.node(node.parent)
            assert node.name in parent.children
            assert node.deadline.exact <= parent.deadline.exact
