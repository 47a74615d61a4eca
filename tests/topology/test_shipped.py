"""The shipped topologies: what they say, what they look like, and the schema that they fit."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from tierfed.topology import Topology, assignments, load_topology, tree
from tierfed.topology.collapse import collapsed
from tierfed.topology.draw import FORMATS, size
from tierfed.topology.schema import json_schema, write

FOLDER = Path(__file__).parents[2] / "topologies"
GOLDEN = Path(__file__).parent / "golden"
SHIPPED = sorted(p.stem for p in FOLDER.glob("*.yaml"))
PREDICTED = {
    "CLIENTS": (6_511_872, 1_681_200, 6_511_872, 6_511_872),
    "EDGE_AGGREGATORS": (406_992, 204_112, 406_992, 406_992),
}


def shipped(name: str) -> Topology:
    """Return one of the shipped topologies."""
    return load_topology(FOLDER / f"{name}.yaml")


def test_the_main_job() -> None:
    """SERVER, two edges, 32 clients in four processes, int8+zstd from the clients and bf16 from the edges."""
    topology = shipped("three_tier")
    assert str(topology.hierarchy) == "SERVER > EDGE_AGGREGATORS > CLIENTS"
    assert [len(topology.members(p)) for p in topology.hierarchy.placements] == [1, 2, 32]
    assert {n.codec_up for n in topology.members("CLIENTS")} == {"int8+zstd"}
    assert {n.codec_up for n in topology.members("EDGE_AGGREGATORS")} == {"bf16"}
    assert len({n.process for n in topology.members("CLIENTS")}) == 4
    assert topology.job is not None
    assert topology.job.program == "tierfed.learning.fedavg:train"
    assert topology.job.params == {"rounds": 20, "local_epochs": 3, "lr": 0.1, "batch": 16}
    assert topology.job.data == {"dataset": "fashion-mnist-6k", "split": {"dirichlet": {"alpha": 0.3}}}
    assert topology.source == FOLDER / "three_tier.yaml"


def test_one_program_runs_on_two_three_and_five_tiers() -> None:
    """The program of the main job is not changed for another depth, and has as many clients there."""
    jobs = {name: shipped(name) for name in ("two_tier", "three_tier", "five_tier")}
    assert len({json.dumps([t.job.program, t.job.params, t.job.data]) for t in jobs.values() if t.job}) == 1
    assert [len(t.hierarchy.placements) for t in jobs.values()] == [2, 3, 5]
    assert {len(t.members("CLIENTS")) for t in jobs.values()} == {32}


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_shipped_fits_the_schema(name: str) -> None:
    """Each shipped file is valid to an editor that has the published schema."""
    jsonschema.validate(plain(name), json_schema(), jsonschema.Draft7Validator)


def plain(name: str) -> Any:
    """Return a shipped file as another YAML reader has it."""
    return YAML(typ="safe", pure=True).load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


def test_the_schema_is_draft_7() -> None:
    """The schema itself is sound, and every reference in it leads somewhere."""
    schema = json_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    text = json.dumps(schema)
    assert "$defs" not in text
    assert set(schema["definitions"]) >= {"PlacementSpec", "CodecSpec", "JobSpec"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("apiVersion",), "tierfed/v9"),
        (("seed",), "7"),
        (("extra",), 1),
        (("placements",), {}),
        (("placements", "job"), {}),
        (("placements", "EDGE-1"), {}),
        (("placements", "CLIENTS", "fanin"), 3),
        (("placements", "CLIENTS", "codec"), None),
        (("placements", "CLIENTS", "codec", "up"), 8),
        (("defaults", "collect", "deadline"), 30),
        (("defaults", "collect", "quorum"), "80"),
        (("placements", "CLIENTS", "link"), {"rate": 4}),
        (("placements", "CLIENTS", "link"), {"distribution": "cauchy"}),
        (("placements", "CLIENTS", "energy"), {"idle": "5nJ"}),
        (("placements", "CLIENTS", "available"), {"from": "22h"}),
        (("placements", "CLIENTS", "available"), {"trace": "phones.csv", "times": "0s-1h"}),
        (("placements", "CLIENTS", "compute"), {"profile": "abacus"}),
        (("placements", "SERVER", "interface"), {"delay": "3ms"}),
        (("job", "program"), "train"),
        (("job", "data", "split"), "dirichlet"),
    ],
)
def test_the_schema_refuses_what_the_loader_does(path: tuple[str, ...], value: object) -> None:
    """A slip in a shipped file is seen by an editor too."""
    data = copy.deepcopy(plain("three_tier"))
    holder = data
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, json_schema(), jsonschema.Draft7Validator)


@pytest.mark.parametrize("split", ["iid", {"iid": {}}, {"shards": {"per_client": 2}}, {"dirichlet": {"alpha": 1}}])
def test_the_schema_takes_short_forms(split: object) -> None:
    """A split may be a word, an extension key anything, a placement empty."""
    data = copy.deepcopy(plain("three_tier"))
    data["job"]["data"]["split"] = split
    data["x-anything"] = [1, {"a": None}]
    data["placements"]["SERVER"] = None
    data["placements"]["CLIENTS"]["link"] = {"rate": "4mbit", "delay": "3ms"}
    data["placements"]["CLIENTS"]["compute"] = {"time": "50ms", "speed": 2}
    data["placements"]["CLIENTS"]["energy"] = {"idle": "0.1W", "sent": "60nJ"}
    data["placements"]["CLIENTS"]["available"] = {"from": "22h", "to": "6h"}
    data["defaults"]["interface"] = {"rate": {"up": "1gbit"}}
    jsonschema.validate(data, json_schema(), jsonschema.Draft7Validator)


def test_the_schema_is_written_where_files_look_for_it(tmp_path: Path) -> None:
    """`init` puts the schema where the first line of each shipped topology names it."""
    path = write(tmp_path)
    assert json.loads(path.read_text(encoding="utf-8")) == json_schema()
    for name in SHIPPED:
        first = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
        assert first == f"# yaml-language-server: $schema={path.relative_to(tmp_path)}"


def golden(name: str, text: str) -> None:
    """Compare `text` with the golden file `name`."""
    assert text == (GOLDEN / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", SHIPPED)
def test_drawings(name: str, form: str) -> None:
    """Each drawing of each shipped topology is that of its golden file."""
    golden(f"{name}.{form}.txt", FORMATS[form](shipped(name), PREDICTED if name == "three_tier" else None))


@pytest.mark.parametrize("name", SHIPPED)
def test_resolved(name: str) -> None:
    """The resolved form, with origins, is that of its golden file."""
    golden(f"{name}.resolved.yaml", shipped(name).to_yaml(origins=True))


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_shipped_loads_again_from_its_resolved_form(name: str, tmp_path: Path) -> None:
    """The file that a run keeps is the topology that it ran on."""
    (tmp_path / "resolved.yaml").write_text(shipped(name).to_yaml(), encoding="utf-8")
    assert load_topology(tmp_path / "resolved.yaml") == shipped(name)


def test_json_says_what_each_node_is_set_to() -> None:
    """Programs read members, settings and predictions from the JSON drawing."""
    made = json.loads(FORMATS["json"](shipped("three_tier"), PREDICTED))
    assert made["schema_version"] == 1
    assert made["tiers"][2]["predicted"]["nominal_bytes_up"] == 1_681_200
    client = next(n for n in made["nodes"] if n["name"] == "c-us-15")
    assert client["codec"] == {"up": "int8+zstd", "down": "none"}
    assert client["labels"] == {"region": "us"}


def test_odd_names_do_not_break_drawings() -> None:
    """Quotes in labels and a lone root draw as well."""
    topology = tree({"CLIENTS": 1}, codec={"CLIENTS": {"up": "zstd(level=9)"}})
    assert 'n1 -> n0 [label="up none+zstd(level=9)"];' in FORMATS["dot"](topology, None)
    assert FORMATS["tree"](tree({}), None) == "tree · 1 node · 1 tier · 1 process · seed 0\nSERVER server\n"


@pytest.mark.parametrize(
    ("names", "one"),
    [
        (["c-00", "c-01", "c-02"], "c-[00-02]"),
        (["c-8", "c-9", "c-10"], "c-[8-10]"),
        (["a-0-x1", "a-0-x2", "a-1-x1", "a-1-x2"], "a-[0-1]-x[1-2]"),
        (["a-0-x1", "a-0-x2", "a-1-x1"], "a-0-x1 … a-1-x1"),
        (["c-0", "c-2"], "c-[0,2]"),
        (["c-00", "c-01", "c-03", "c-04"], "c-[00-01,03-04]"),
        (["c-0", "c-2", "c-4", "c-6"], "c-0 … c-6"),
        (["c-08", "c-9"], "c-08 … c-9"),
        (["a", "b"], "a … b"),
        (["a", "a1"], "a … a1"),
        (["r7-c0", "r7-c1"], "r7-c[0-1]"),
    ],
)
def test_names_collapse_only_if_nothing_is_lost(names: list[str], one: str) -> None:
    """Ranges stand for exactly the names that there are."""
    assert collapsed(names) == one


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (65_000, "65 kB"),
        (999_600, "1.0 MB"),
        (2_030_000, "2.0 MB"),
        (10**16, "10000 TB"),
    ],
)
def test_sizes_as_people_say_them(count: int, text: str) -> None:
    """Bytes are decimal, with two digits at least."""
    assert size(count) == text


def test_the_assignments_of_the_main_job() -> None:
    """Each node is told its parent, its children and itself; processes stay together."""
    made = assignments(shipped("three_tier"))
    assert [a.name for a in made[:4]] == ["server", "edge-eu", "edge-us", "c-eu-00"]
    edge = made[1]
    assert (edge.parent, edge.codec_up, edge.quorum, edge.deadline) == ("server", "bf16", {"CLIENTS": 16}, 30.0)
    assert len(edge.children) == 16
    assert edge.children[3].codec_up == "int8+zstd"
    assert made[0].children[1].members_below == {"EDGE_AGGREGATORS": 1, "CLIENTS": 16}
    client = made[-1]
    assert (client.name, client.index, client.count, client.listens) == ("c-us-15", 31, 32, False)
    assert client.labels == {"region": "us"}
    assert client.data == {"dataset": "fashion-mnist-6k", "split": {"dirichlet": {"alpha": 0.3}}}
    assert client.seed == 7


def rewrite() -> None:
    """Write the golden files anew: `python tests/topology/test_shipped.py`, then read the difference."""
    for name in SHIPPED:
        (GOLDEN / f"{name}.resolved.yaml").write_text(shipped(name).to_yaml(origins=True), encoding="utf-8")
        for form, draw in FORMATS.items():
            text = draw(shipped(name), PREDICTED if name == "three_tier" else None)
            (GOLDEN / f"{name}.{form}.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    rewrite()
