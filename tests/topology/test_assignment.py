"""Assignments: their plain form, what is refused, and what daemons need not import."""

from __future__ import annotations

import json
import math
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
        ("device", 3, "assignment.device: 3 is no device"),
    ],
)
def test_a_field_of_another_kind_is_refused(field: str, value: Any, told: str) -> None:
    """What arrives is checked field by field, and the error names the field."""
    data = some()[1].to_dict() | {field: value}
    with pytest.raises(ProtocolError) as error:
        NodeAssignment.from_dict(data)
    assert str(error.value) == told


LINK = {"rate_up": 5e5, "rate_down": None, "delay": 0.03, "jitter": 0, "distribution": "normal"}
LINK |= {"correlation": 0.25, "loss": 0.01}
DEVICE = {"seconds": 0.05, "speed": 0.2, "idle": 0.1, "computing": 2.5, "sent": 6e-8, "received": 4e-8}


@pytest.mark.parametrize(
    ("field", "figures", "told"),
    [
        ("link", {"rate_up": 0}, "link.rate_up: 0 is no rate_up"),
        ("link", {"rate_down": -1.0}, "link.rate_down: -1.0 is no rate_down"),
        ("link", {"rate_up": math.inf}, "link.rate_up: inf is no rate_up"),
        ("link", {"delay": math.nan}, "link.delay: nan is no delay"),
        ("link", {"delay": None}, "link.delay: None is no delay"),
        ("link", {"jitter": True}, "link.jitter: True is no jitter"),
        ("link", {"jitter": 10**400}, f"link.jitter: {10**400} is no jitter"),
        ("link", {"distribution": "cauchy"}, "link.distribution: 'cauchy' is no distribution"),
        ("link", {"distribution": ["normal"]}, "link.distribution: ['normal'] is no distribution"),
        ("link", {"loss": 1.0}, "link.loss: 1.0 is no loss"),
        ("link", {"correlation": 1.5}, "link.correlation: 1.5 is no correlation"),
        ("link", {"dup": 1}, "link: missing or unknown: dup"),
        ("interface", {}, None),
        ("interface", {"rate_up": "8"}, "interface.rate_up: '8' is no rate_up"),
        ("device", {"speed": 0.0}, "device.speed: 0.0 is no speed"),
        ("device", {"sent": -1e-9}, "device.sent: -1e-09 is no sent"),
        ("available", {"every": 0}, "available.every: 0 is no every"),
        ("available", {"begin": -1}, "available.begin: -1 is no begin"),
    ],
)
def test_figures_that_a_model_cannot_take_are_refused(field: str, figures: dict[str, Any], told: str | None) -> None:
    """A model divides by rates and waits for delays: what arrives is checked figure by figure."""
    data = some()[1].to_dict()
    whole = {
        "link": LINK,
        "interface": {"rate_up": 1e9, "rate_down": None},
        "device": DEVICE,
        "available": {"begin": 0, "end": 5, "every": 60.0, "spread": 0.0},
    }
    holder = data["children"][0] if field == "link" else data
    holder[field] = whole[field]
    back = NodeAssignment.from_dict(data)
    assert NodeAssignment.from_dict(json.loads(json.dumps(back.to_dict()))) == back
    assert back != some()[1]
    holder[field] = whole[field] | figures
    where = "assignment.children[0]." if field == "link" else "assignment."
    if told is None:
        assert NodeAssignment.from_dict(data) == back
        return
    with pytest.raises(ProtocolError) as error:
        NodeAssignment.from_dict(data)
    assert str(error.value).splitlines()[0] == where + told


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
