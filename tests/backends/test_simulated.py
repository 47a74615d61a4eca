"""A simulated fleet gives what daemons give: random programs on random trees, bit for bit."""

from __future__ import annotations

import pytest
from hypothesis import Phase, given
from hypothesis import strategies as st
from program_trees import HIERARCHIES
from programs import Case, cases, given_to, programs
from served import DATA
from test_agreement import TREES, called, examples, grown

from tierfed.backends.simulated import Fleet
from tierfed.placements import Tree
from tierfed.topology import Topology
from tierfed.topology.fan_out import of_tree


def told(tree: Tree) -> Topology:
    """The topology of a tree whose members have the test's data."""
    return of_tree(tree, job={"program": "program_leaves:no_job"}, data=DATA)


@examples(60)
@given(cases())
def test_fleets_agree(case: Case) -> None:
    """A fleet of any shape, and any program."""
    with Fleet(told(case.tree)).context() as context:
        called(context, case)


@pytest.mark.parametrize("name", TREES)
def test_a_fleet_runs_one_program_after_another(name: str) -> None:
    """Also when leaves that were simulated together have to become nodes for one of them."""
    tree = grown(HIERARCHIES[name], TREES[name])
    with Fleet(told(tree)).context() as context:

        @examples(12, phases=[Phase.explicit, Phase.reuse, Phase.generate], database=None)
        @given(st.data())
        def agrees(data: st.DataObject) -> None:
            called(context, data.draw(given_to(data.draw(programs(tree.hierarchy)), tree)))

        agrees()
