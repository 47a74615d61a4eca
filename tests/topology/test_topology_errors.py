"""What a broken topology file is told: every problem, where it stands, and what would mend it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tierfed.codecs import TABLE
from tierfed.errors import TopologyError, UnsupportedError
from tierfed.topology import Topology, load_topology, parse_topology

BROKEN = Path(__file__).parent / "broken"
CODECS = f"{', '.join([*TABLE][:-1])} and {[*TABLE][-1]}"


def expected() -> dict[str, list[str]]:
    """Return the lines of EXPECTED.txt by file: the kind of error, then each problem."""
    sections: dict[str, list[str]] = {}
    for line in (BROKEN / "EXPECTED.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("--- "):
            sections[line[4:]] = []
        else:
            sections[list(sections)[-1]].append(line.replace("{CODECS}", CODECS))
    return sections


EXPECTED = expected()


def told(text: str, *sets: str) -> list[str]:
    """Return the lines of the error that `text` raises."""
    with pytest.raises(TopologyError) as error:
        parse_topology(text, "t.yaml", sets)
    return str(error.value).splitlines()


def test_every_broken_file_is_in_the_table() -> None:
    """A broken file without an expectation, or the reverse, is a slip."""
    assert sorted(EXPECTED) == sorted(p.stem for p in BROKEN.glob("*.yaml"))
    assert len(EXPECTED) >= 40


@pytest.mark.parametrize("name", EXPECTED)
def test_a_broken_file_is_told_all_its_problems(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each broken file raises exactly the lines in EXPECTED.txt, in order of position."""
    monkeypatch.chdir(BROKEN)
    with pytest.raises(TopologyError) as error:
        load_topology(f"{name}.yaml")
    assert [type(error.value).__name__, *str(error.value).splitlines()] == EXPECTED[name]
    assert error.value.exit_code == 2
    assert len(error.value.problems) == len(EXPECTED[name]) - 1


def test_what_is_not_supported_is_not_called_unknown() -> None:
    """The grammar's fields that come later have a wording, and an error class, of their own."""
    lines = EXPECTED["not_yet"]
    assert lines[0] == UnsupportedError.__name__
    assert all("not supported by this version" in line and "unknown" not in line for line in lines[1:])


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A missing file, a folder and bytes that are no UTF-8 are problems like others."""
    with pytest.raises(TopologyError) as missing:
        load_topology(tmp_path / "none.yaml")
    assert str(missing.value) == f"{tmp_path}/none.yaml: error: no such file"
    with pytest.raises(TopologyError) as folder:
        load_topology(tmp_path)
    assert str(folder.value) == f"{tmp_path}: error: is a directory"
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    with pytest.raises(TopologyError) as latin:
        load_topology(tmp_path / "latin.yaml")
    assert str(latin.value) == f"{tmp_path}/latin.yaml: error: not UTF-8: byte 9 is 0xe9"


def test_a_file_that_is_too_long() -> None:
    """Size is looked at before anything is parsed."""
    assert told("#" * (4 * 2**20 + 1)) == ["t.yaml:1:1: error: 4194305 characters; 4194304 are the most"]


GOOD = """\
apiVersion: tierfed/v1
kind: Topology
placements:
  SERVER: {}
  EDGE: {parent: SERVER, members: {eu: {labels: {region: eu}}, us: }}
  CLIENTS: {parent: EDGE, per_parent: 2, overrides: [{match: {i: 0}, codec: {up: int8}}]}
"""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("CLIENTS.codec.up", "expected path=value, such as CLIENTS.codec.up=int8"),
        ("=3", "expected path=value, such as CLIENTS.codec.up=int8"),
        ("a..b=3", "expected path=value, such as CLIENTS.codec.up=int8"),
        ("seed=", "nothing follows '='; write a value"),
        ("seed=[1", "not YAML: while parsing a flow sequence expected ',' or ']', but got '<stream end>'"),
        ("seed=!!int 3", "the tag !!int; a topology has no tags, remove it"),
        ("seed=x", "seed: expected a whole number, got 'x'"),
        ("CLIENT.codec.up=int8", "CLIENT.codec.up: 'CLIENT' is no placement and no field; did you mean 'CLIENTS'?"),
        ("placements.CLIENT.codec.up=int8", "placements.CLIENT.codec.up: no such placement; did you mean 'CLIENTS'?"),
        ("CLIENTS.codec.pu=int8", "placements.CLIENTS.codec.pu: unknown field; the fields here are up, down"),
        (
            "CLIENTS.codec.up=int9",
            f"placements.CLIENTS.codec.up: no codec is called int9; did you mean int8? the codecs are {CODECS}",
        ),
        (
            "CLIENTS.secure=true",
            "placements.CLIENTS.secure: secure aggregation is not supported by this version; remove it",
        ),
        (
            "CLIENTS.overrides[1].codec.up=int8",
            "placements.CLIENTS.overrides[1]: placements.CLIENTS.overrides has the entries 0 to 0",
        ),
        (
            "CLIENTS.parent.name=x",
            "placements.CLIENTS.parent.name: placements.CLIENTS.parent is no mapping; set it as a whole",
        ),
        ("EDGE.members.es.host=local", "placements.EDGE.members.es: no such member; there are eu, us"),
        (
            "EDGE.members.us.parent=SERVER",
            "placements.EDGE.members.us.parent: no member 'SERVER' of SERVER; did you mean 'server'?",
        ),
        ("CLIENTS.parent=EDG", "placements.CLIENTS.parent: no placement 'EDG'; did you mean 'EDGE'?"),
        ("CLIENTS.per_parent=-1", "placements.CLIENTS.per_parent: -1 is too small; 0 is the least"),
    ],
)
def test_a_broken_set_is_told_where_it_was_written(text: str, line: str) -> None:
    """A problem of a `--set` stands at that `--set`, with the full path."""
    assert told(GOOD, text) == [f"--set {text}: error: {line}"]


def test_problems_of_sets_follow_those_of_the_file() -> None:
    """File positions come first, then the sets in the order given."""
    lines = told(GOOD + "extra: 1\n", "seed=x", "name=7")
    assert [line.split(": error")[0] for line in lines] == ["t.yaml:7:1", "--set seed=x", "--set name=7"]


def test_the_base_of_the_sets_is_sound() -> None:
    """The file that the broken sets are tried on is valid by itself."""
    assert isinstance(parse_topology(GOOD), Topology)


@pytest.mark.parametrize("text", ["on", "off", "yes", "No"])
def test_old_booleans_are_text_where_text_is_meant(text: str) -> None:
    """YAML 1.1's booleans are ordinary words as labels and names: Norway keeps its country code."""
    source = GOOD.replace("region: eu", f"region: {text}")
    assert parse_topology(source).node("eu").labels == {"region": text}


def rewrite() -> None:
    """Write EXPECTED.txt anew: `python tests/topology/test_topology_errors.py`, then read the difference."""
    os.chdir(BROKEN)
    lines: list[str] = []
    for path in sorted(Path().glob("*.yaml")):
        with pytest.raises(TopologyError) as error:
            load_topology(path)
        lines += [f"--- {path.stem}", type(error.value).__name__, *str(error.value).splitlines()]
    (BROKEN / "EXPECTED.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    rewrite()
