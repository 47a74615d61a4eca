"""The settings of the network bench: drawn by seed, within their bounds, and the topology files that they say."""

from __future__ import annotations

import pytest

from benchmarks.network.settings import DOWN, NODES, ROUND, TOGETHER, UP, Setting, Tier, draw, roughly
from tierfed.codecs import link_codec
from tierfed.topology import parse_topology

DRAWN = draw(1, 24)
ONE = Setting(
    "network-1-00",
    1000,
    (
        Tier("EDGE_AGGREGATORS", 2, 4.4, 18.1, 30, 0.0, "int8", "none"),
        Tier("CLIENTS", 3, 1.0, 2.0, 5, 1.5, "topk(fraction=0.05)", "bf16", 2.4),
    ),
)


def test_a_seed_draws_the_same_settings():
    """A seed gives its settings again, the first of them whatever the count, and another seed gives others."""
    assert draw(1, 5) == DRAWN[:5]
    assert all(a.tiers != b.tiers for a, b in zip(draw(2, 5), DRAWN, strict=False))


def test_settings_stay_within_their_bounds():
    """Each setting is in the ranges that the module's table gives, and the draw uses all of them."""
    for setting in DRAWN:
        assert setting.nodes <= NODES
        assert 10e3 <= setting.elements * 4 <= 2e6
        assert ROUND[0] <= roughly(setting) <= ROUND[1]
        count = 1
        for tier in setting.tiers:
            count *= tier.fan_in
            assert 2 <= tier.fan_in <= 6
            assert 1 <= tier.rate_up <= 50 and 1 <= tier.rate_down <= 50 and 1 <= tier.delay <= 80
            assert tier.loss == 0 or 0.1 <= tier.loss <= 2
            assert tier.shared == 0 or tier.shared < tier.fan_in * max(tier.rate_up, tier.rate_down)
            assert count * max(tier.rate_up, tier.rate_down) <= TOGETHER
    tiers = [tier for setting in DRAWN for tier in setting.tiers]
    assert {len(setting.tiers) for setting in DRAWN} == {1, 2}
    assert {tier.up for tier in tiers} == set(UP) and {tier.down for tier in tiers} == set(DOWN)
    assert {tier.loss > 0 for tier in tiers} == {tier.shared > 0 for tier in tiers} == {True, False}


def test_a_setting_is_written_as_a_topology_file():
    """The file has the tree, the links and the codecs as drawn; without links it has the rest."""
    assert (
        ONE.text()
        == """\
apiVersion: tierfed/v1
kind: Topology
name: network-1-00
defaults: {collect: {quorum: 100%, deadline: 120s}}
placements:
  SERVER:
  EDGE_AGGREGATORS:
    parent: SERVER
    per_parent: 2
    codec: {up: "int8", down: none}
    link: {rate: {up: 4.4mbit, down: 18.1mbit}, delay: 30ms}
    interface: {rate: 2.4mbit}
  CLIENTS:
    parent: EDGE_AGGREGATORS
    per_parent: 3
    codec: {up: "topk(fraction=0.05)", down: bf16}
    link: {rate: {up: 1mbit, down: 2mbit}, delay: 5ms, loss: 1.5%}
"""
    )
    without = [line for line in ONE.text().splitlines() if "link:" not in line and "interface:" not in line]
    assert ONE.text(links=False).splitlines() == without


@pytest.mark.parametrize("setting", [ONE, *DRAWN[:6]], ids=lambda setting: setting.described())
def test_the_file_says_what_the_links_are_made_with(setting):
    """What the model reads in the file of each member's link is what the network is shaped to."""
    topology = parse_topology(setting.text())
    assert len(topology.nodes) == setting.nodes
    for tier in setting.tiers:
        members = [node for node in topology.nodes.values() if node.placement == tier.name]
        assert {node.link for node in members} == {tier.profile()}
        assert {topology.node(node.parent).interface for node in members} == {tier.interface()}
        assert {node.codec_up for node in members} == {str(link_codec(tier.up))}
    assert len(parse_topology(setting.text(links=False)).nodes) == setting.nodes
