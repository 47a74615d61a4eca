"""The space of an advice: other counts, no tier at all, and values as they are set."""

from __future__ import annotations

from pathlib import Path

import pytest

import tierfed
from tierfed.errors import SweepError, TopologyError
from tierfed.jobs.advise.space import CODECS, Space, counts, usual
from tierfed.jobs.sweep.cells import Cell
from tierfed.jobs.sweep.grammar import axis
from tierfed.topology import Topology, load_topology
from tierfed.topology.changed import changed

FILE = """
apiVersion: tierfed/v1
kind: Topology
name: phones
seed: 7
x-wan: &wan {rate: 20mbit, delay: 40ms, jitter: 3ms, loss: 1%}
placements:
  SERVER: {interface: {rate: 50mbit}}
  EDGE_AGGREGATORS: {parent: SERVER, count: 4, link: *wan}
  CLIENTS:
    parent: EDGE_AGGREGATORS
    per_parent: 5
    link: {rate: {up: 2mbit, down: 30mbit}, delay: 30ms, jitter: 4ms, loss: 2%}
    codec: {up: int8}
job:
  program: tierfed.learning.hierfavg:train
  params: {rounds: 24, local_epochs: 2, edge_rounds: 3}
  data: {dataset: fashion-mnist-6k, split: iid}
"""
NAMED = FILE.replace("count: 4", "members: {a: {}, b: {}, c: {}, d: {}}")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file, written down."""
    path = tmp_path / "phones.yaml"
    path.write_text(FILE)
    return path


def made(file: Path, **values: str) -> Topology:
    """The topology of a candidate."""
    space = Space(file, load_topology(file), ())
    return load_topology(file, space.made(Cell(2, {k.replace("__", "."): v for k, v in values.items()})))


def test_other_counts_deal_the_clients_out(file: Path) -> None:
    """Twenty clients below 3 edges are 7, 7 and 6; their links stay what they are."""
    topology = made(file, EDGE_AGGREGATORS__count="3")
    edges = topology.members(tierfed.placement("EDGE_AGGREGATORS"))
    assert sorted(len(e.children) for e in edges) == [6, 7, 7]
    assert len(topology.members(tierfed.CLIENTS)) == 20
    assert {c.link for c in topology.members(tierfed.CLIENTS)} == {
        c.link for c in load_topology(file).members(tierfed.CLIENTS)
    }


def test_a_tier_that_goes_leaves_both_links_in_a_row(file: Path) -> None:
    """The smaller rate, the sum of delays, squared jitters, both losses; and its own settings are not asked for."""
    topology = made(file, EDGE_AGGREGATORS__count="0", EDGE_AGGREGATORS__codec__up="drive", CLIENTS__codec__up="none")
    assert [str(p) for p in topology.hierarchy.placements] == ["SERVER", "CLIENTS"]
    client = topology.members(tierfed.CLIENTS)[0]
    assert client.codec_up == "none"
    link = client.link
    assert link is not None
    assert (link.rate_up, link.rate_down) == (250_000, 2_500_000)
    assert link.delay == pytest.approx(0.07)
    assert link.jitter == pytest.approx(0.005)
    assert link.loss == pytest.approx(1 - 0.99 * 0.98)


def test_the_file_as_it_is_comes_first_and_once(file: Path) -> None:
    """It is a candidate whatever is varied, and no other is the same."""
    axes = (axis("CLIENTS.codec.up=none,int8"), axis("EDGE_AGGREGATORS.count=2,4"))
    cells = Space(file, load_topology(file), axes).candidates(36, 0)
    assert [dict(c.values) for c in cells] == [
        {},
        {"CLIENTS.codec.up": "none", "EDGE_AGGREGATORS.count": "2"},
        {"CLIENTS.codec.up": "none", "EDGE_AGGREGATORS.count": "4"},
        {"CLIENTS.codec.up": "int8", "EDGE_AGGREGATORS.count": "2"},
    ]


def test_too_many_are_drawn_by_the_seed(file: Path) -> None:
    """Ten of a hundred: the same for one seed, others for another, the file as it is among them."""
    space = Space(file, load_topology(file), (axis("job.params.lr=0.01..1+10"), axis("job.params.batch=1..10")))
    one, same, other = space.candidates(10, 1), space.candidates(10, 1), space.candidates(10, 2)
    assert one == same != other
    assert len(one) == len(other) == 10
    assert one[0].values == other[0].values == {}


def test_what_is_usually_worth_a_try(file: Path) -> None:
    """Codecs on the way up, shares of the edge rounds, half, twice and none of the edges."""
    topology = load_topology(file)
    found = {a.paths: [row if len(row) > 1 else row[0] for row in a.rows] for a in usual(topology)}
    assert found == {
        ("CLIENTS.codec.up",): ["int8", *(c for c in CODECS if c != "int8")],
        ("EDGE_AGGREGATORS.codec.up",): list(CODECS),
        ("job.params.local_epochs", "job.params.edge_rounds"): [("6", "1"), ("3", "2"), ("2", "3"), ("1", "6")],
    }
    file.write_text(FILE.replace("local_epochs: 2, edge_rounds: 3", "kappa_1: 15, edge_rounds: 4"))
    assert [axis.rows for axis in usual(load_topology(file))][-1] == (
        ("30", "2"),
        ("20", "3"),
        ("15", "4"),
        ("12", "5"),
        ("10", "6"),
    )
    [edges] = counts(Space(file, topology, ()))
    assert edges == axis("EDGE_AGGREGATORS.count=0,2,4,8")


def test_members_by_name_have_the_count_that_they_have(file: Path) -> None:
    """Another count is refused with the mend; without the tier is possible."""
    file.write_text(NAMED)
    space = Space(file, load_topology(file), (axis("EDGE_AGGREGATORS.count=2"),))
    with pytest.raises(SweepError, match="has members by name") as raised:
        space.check_axes()
    assert "write `count:` instead of `members:`" in str(raised.value)
    with pytest.raises(SweepError, match="x is no count"):
        Space(file, load_topology(file), (axis("EDGE_AGGREGATORS.count=x"),)).check_axes()
    [edges] = counts(Space(file, load_topology(file), ()))
    assert edges.rows == (("0",), ("4",))


def test_an_advised_file_is_the_topology_that_was_simulated(file: Path) -> None:
    """It loads as the same tree, without the anchors, and can be edited."""
    space = Space(file, load_topology(file), ())
    sets = space.made(Cell(2, {"EDGE_AGGREGATORS.count": "2", "CLIENTS.codec.up": "drive"}))
    text = changed(file, (*sets, "job.params.rounds=9"))
    written = file.with_name("advised.yaml")
    written.write_text(text)
    again, simulated = load_topology(written), load_topology(file, (*sets, "job.params.rounds=9"))
    assert again.to_yaml() == simulated.to_yaml()
    assert "x-wan" not in text
    assert "count: 2" in text


def test_what_is_set_is_set_in_other_trees_too(file: Path) -> None:
    """`--set` and other axes hold whatever the count is, also above what members or overrides say."""
    file.write_text(FILE.replace("codec: {up: int8}", "overrides: [{match: {i: 0-2}, codec: {up: drive}}]"))
    sets = ("CLIENTS.link.delay=200ms", "CLIENTS.codec.up=bf16", "seed=9")
    space = Space(file, load_topology(file, sets), (), sets)
    for count in ("2", "0"):
        topology = load_topology(file, space.made(Cell(2, {"EDGE_AGGREGATORS.count": count})))
        clients = topology.members(tierfed.CLIENTS)
        assert topology.seed == 9
        assert {c.codec_up for c in clients} == {"bf16"}
        delays = {round(c.link.delay, 6) for c in clients if c.link is not None}
        assert delays == {0.2 if count == "2" else 0.24}
    varied = Space(file, load_topology(file), ()).made(
        Cell(2, {"EDGE_AGGREGATORS.count": "0", "EDGE_AGGREGATORS.link.delay": "1s", "CLIENTS.link.delay": "100ms"})
    )
    assert {c.link.delay for c in load_topology(file, varied).members(tierfed.CLIENTS) if c.link} == {1.1}


def test_overrides_hold_in_other_trees_too(file: Path) -> None:
    """A member that the file sets apart stays so where a count is another, as in the file that is written."""
    apart = "codec: {up: int8}\n    overrides: [{match: {i: 0}, codec: {up: drive}}]"
    file.write_text(FILE.replace("codec: {up: int8}", apart))
    sets = Space(file, load_topology(file), ()).made(Cell(2, {"EDGE_AGGREGATORS.count": "2"}))
    written = file.with_name("advised.yaml")
    written.write_text(changed(file, sets))
    simulated = load_topology(file, sets)
    assert {c.codec_up for c in simulated.members(tierfed.CLIENTS)} == {"int8", "drive"}
    assert load_topology(written).to_yaml() == simulated.to_yaml()


def test_links_of_the_defaults_count_for_each_of_two_in_a_row(file: Path) -> None:
    """A delay that both tiers have from the defaults is there twice."""
    text = FILE.replace("placements:", "defaults: {link: {delay: 10ms}}\nplacements:").replace(", link: *wan", "")
    file.write_text(text.replace("delay: 30ms, ", ""))
    topology = made(file, EDGE_AGGREGATORS__count="0")
    assert {c.link.delay for c in topology.members(tierfed.CLIENTS) if c.link} == {0.02}


def test_a_tier_with_different_links_cannot_go(file: Path) -> None:
    """There is no one link that is two in a row, so it is refused, and not tried unasked."""
    file.write_text(FILE.replace("link: *wan", "link: *wan, overrides: [{match: {i: 0}, link: {delay: 1s}}]"))
    with pytest.raises(SweepError, match="members of EDGE_AGGREGATORS have links of their own"):
        made(file, EDGE_AGGREGATORS__count="0")
    [edges] = counts(Space(file, load_topology(file), ()))
    assert edges.rows == (("2",), ("4",), ("8",))


def test_a_tier_that_names_need_is_not_left_out(file: Path) -> None:
    """Without edges there would be no label for the clients' names, so no candidate is spent on that."""
    named = FILE.replace("count: 4,", "members: {a: {labels: {r: x}}, b: {labels: {r: y}}},")
    file.write_text(named.replace("per_parent: 5", 'per_parent: 5\n    name: "c-{parent.labels.r}-{i}"'))
    assert counts(Space(file, load_topology(file), ())) == ()


def test_a_path_that_is_misspelt_is_told_before_anything_runs(file: Path) -> None:
    """With what was meant; of one value among others that are good nothing is said yet; rounds are no axis."""
    topology = load_topology(file)
    with pytest.raises(TopologyError, match="placements.CLIENTS.codc: unknown field; did you mean 'codec'"):
        Space(file, topology, (axis("CLIENTS.codc.up=none,int8"),)).check_axes()
    Space(file, topology, (axis("CLIENTS.codec.up=nonsense,int8"),)).check_axes()
    with pytest.raises(SweepError, match="rounds are what a search decides"):
        Space(file, topology, (axis("job.params.rounds=1,2"),)).check_axes()


def test_what_outranks_members_is_written_so(file: Path) -> None:
    """A codec that is set for a tier holds for members that have one of their own, also in the file that is written."""
    file.write_text(
        NAMED.replace("b: {}", "b: {codec: {up: fp16}, labels: {r: x}}, e: {codec: {up: fp16, down: bf16}}")
    )
    sets = Space(file, load_topology(file), ()).made(Cell(2, {"EDGE_AGGREGATORS.codec.up": "drive"}))
    written = file.with_name("advised.yaml")
    written.write_text(changed(file, sets))
    again = load_topology(written)
    assert again.to_yaml() == load_topology(file, sets).to_yaml()
    edges = again.members(tierfed.placement("EDGE_AGGREGATORS"))
    assert {e.codec_up for e in edges} == {"drive"}
    assert {e.codec_down for e in edges} == {"none", "bf16"}
