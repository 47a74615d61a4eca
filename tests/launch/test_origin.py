"""What made a run: the command that would make it again, and the tree that it ran on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tierfed
from tierfed.launch import origin
from tierfed.topology import tree_file

OURS = str(Path(tierfed.__file__).parent / "__main__.py")


@pytest.mark.parametrize(
    ("argv", "whole", "told"),
    [
        (
            ["/usr/bin/tierfed", "up", "a.yaml"],
            ["python3", "/usr/bin/tierfed", "up", "a.yaml"],
            ["tierfed", "up", "a.yaml"],
        ),
        ([OURS, "up", "a b"], ["python3", "-m", "tierfed", "up", "a b"], ["tierfed", "up", "a b"]),
        (["train.py", "5"], ["python3", "train.py", "5"], ["python", "train.py", "5"]),
        (["/x/pkg/m.py"], ["python3", "-m", "pkg.m"], ["python", "-m", "pkg.m"]),
        (["-c"], ["python3", "-c", "code"], []),
        ([""], ["python3"], []),
        (["/x/ipykernel_launcher.py", "-f", "k"], ["python3", "-m", "ipykernel_launcher", "-f", "k"], []),
    ],
)
def test_the_command_that_repeats_it(argv: list[str], whole: list[str], told: list[str]) -> None:
    """The tool's own by its name, a program's as it was given, none for code without a file."""
    assert origin.command(argv, whole) == told


def test_a_tree_that_others_use_has_their_commands_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In their order, each once; a file that is torn is left alone."""
    monkeypatch.setattr("sys.argv", ["tierfed", "up", "-d", "a.yaml"])
    origin.write(tmp_path, virtual=False)
    monkeypatch.setattr("sys.argv", ["tierfed", "run"])
    origin.add(tmp_path)
    origin.add(tmp_path)
    plain = json.loads((tmp_path / "origin.json").read_text())
    assert plain["commands"] == [["tierfed", "up", "-d", "a.yaml"], ["tierfed", "run"]]
    assert plain["clock"] == "real" and plain["versions"]["tierfed"] == tierfed.__version__
    (tmp_path / "origin.json").write_text("{")
    origin.add(tmp_path)
    assert (tmp_path / "origin.json").read_text() == "{"


def test_the_tree_is_written_with_alike_siblings_as_one(tmp_path: Path) -> None:
    """A thousand clients of ten edges are three boxes; the resolved file is beside it."""
    tree_file.write(tmp_path, tierfed.tree({"EDGES": 10, "CLIENTS": 100}))
    plain = json.loads((tmp_path / "tree.json").read_text())
    assert plain["tiers"] == {"SERVER": 1, "EDGES": 10, "CLIENTS": 1000}
    [edges] = plain["root"]["below"]
    [clients] = edges["below"]
    assert (edges["count"], clients["count"], clients["below"]) == (10, 1000, [])
    assert clients["link"] == ["up none"] and "quorum 100%" in plain["root"]["facts"]
    assert len((tmp_path / "tree.json").read_text()) < 1000
    assert (tmp_path / "topology.resolved.yaml").read_text().startswith("apiVersion")


def test_children_that_all_differ_are_counted(tmp_path: Path) -> None:
    """The first dozen are written, and how many nodes are not."""
    edges = "\n".join(f"      e{at}: {{labels: {{at: '{at}'}}}}" for at in range(30))
    from tierfed.topology import parse_topology

    head = "apiVersion: tierfed/v1\nkind: Topology\nplacements:\n  SERVER: {}\n  E:\n    parent: SERVER\n    members:\n"
    text = f"{head}{edges}\n"
    root = tree_file.document(parse_topology(text))["root"]
    assert len(root["below"]) == 12 and root["more"] == 18
