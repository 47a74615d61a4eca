"""Assignments: their plain form, what is refused, and what daemons need not import."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tierfed.errors import ProtocolError
from tierfed.topology import assignments, tree
from tierfed.topology.assignment import NodeAssignment, by_process


def some() -> list[NodeAssignment]:
    """Return the assignments of a small tree."""
    return assignments(tree({"EDGE": 2, "CLIENTS": 3}, colocate={"CLIENTS": 3}))


def test_an_assignment_survives_json() -> None:
    """The plain form goes through JSON, address and all."""
    for assignment in [*some(), some()[1].at(("127.0.0.1", 4321))]:
        assert NodeAssignment.from_dict(json.loads(json.dumps(assignment.to_dict()))) == assignment


def test_assignments_come_by_process() -> None:
    """Members of one process are one group, parents before children."""
    groups = by_process(some())
    assert {name: [a.name for a in of] for name, of in groups.items()} == {
        "server": ["server"],
        "edge-0": ["edge-0"],
        "edge-1": ["edge-1"],
        "clients-0..clients-2": ["clients-0", "clients-1", "clients-2"],
        "clients-3..clients-5": ["clients-3", "clients-4", "clients-5"],
    }


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("name", 3, "assignment.name: 3 is no name"),
        ("index", True, "assignment.index: True is no index"),
        ("quorum", {"CLIENTS": -1}, "assignment.quorum: {'CLIENTS': -1} is no quorum"),
        ("labels", {"a": 1}, "assignment.labels: {'a': 1} is no labels"),
        ("parent_address", ["h"], "assignment.parent_address: ['h'] is no address"),
        ("parent_address", ["h", "80"], "assignment.parent_address: ['h', '80'] is no address"),
        ("children", [3], "assignment.children[0]: expected a mapping, got int"),
    ],
)
def test_a_field_of_another_kind_is_refused(field: str, value: Any, told: str) -> None:
    """What arrives is checked field by field, and the error names the field."""
    data = some()[1].to_dict() | {field: value}
    with pytest.raises(ProtocolError) as error:
        NodeAssignment.from_dict(data)
    assert str(error.value) == told


def test_missing_and_unknown_fields_are_refused() -> None:
    """Another version's assignment is not half understood."""
    data = some()[1].to_dict()
    data["epoch"] = data.pop("seed")
    with pytest.raises(ProtocolError) as error:
        NodeAssignment.from_dict(data)
    assert str(error.value).splitlines() == [
        "assignment: missing or unknown: epoch, seed",
        "  to mend: run one version of tierfed on both sides",
    ]


def test_daemons_read_assignments_without_the_loader() -> None:
    """Importing assignments brings in neither networkx, ruamel, pydantic nor numpy."""
    code = (
        "import sys, tierfed.topology.assignment, tierfed.topology\n"
        "print(*sorted({'networkx', 'ruamel', 'pydantic', 'numpy'} & {m.split('.')[0] for m in sys.modules}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_package_gives_its_names_lazily() -> None:
    """Names are found on first use, listed, and unknown ones are an AttributeError."""
    import tierfed.topology as package

    assert package.load_topology.__module__ == "tierfed.topology.load"
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        package.nothing_of_the_kind  # noqa: B018  (the access is the test)
