"""What the commands tell of a link's codecs: rules that name nothing, and the error at the root."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_command import TREE

from tierfed.cli import conduct
from tierfed.report.output import Output
from tierfed.topology import load_topology

Run = Callable[..., tuple[int, str, str]]
UP = 'CLIENTS.codec.up={default: int8, "*/smal": none, big: "eden(bits=2)"}'
NOTE = "\"*/smal\" names no tensor that the program sends up there\n  to mend: did you mean 'small'?\n"


def test_validate_notes_a_rule_that_does_nothing(here: Run, folder: Path) -> None:
    """With its place and what was meant; the file is well all the same, and programs find it among the warnings."""
    text = TREE.replace("codec: {up: int8", 'codec: {up: {default: int8, "*/smal": none}')
    assert text != TREE
    (folder / "rules.yaml").write_text(text)
    where = f"rules.yaml: placements.CLIENTS.codec.up, line {text[: text.index('*/smal')].count(chr(10)) + 1}"
    code, out, err = here("validate", "rules.yaml", "--json")
    assert "rules.yaml: ok · 7 nodes · 3 tiers · job cli_jobs:train\n" in err
    assert f"note: {where}: {NOTE}" in err
    (one,) = json.loads(out)["files"]
    assert (code, one["status"], one["errors"], one["problems"]) == (0, "ok", [], [])
    assert [w["where"] for w in one["warnings"]] == [where]


def test_show_notes_it_too(here: Run) -> None:
    """Beside the drawing, on stderr."""
    code, out, err = here("show", "tree.yaml", "--set", UP)
    assert code == 0 and "up int8, */smal: none, big: eden(bits=2)" in out
    assert NOTE in err and err.startswith("note: --set CLIENTS.codec.up=")


def test_a_job_starts_all_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is noted keeps nobody from running."""
    topology = load_topology("tree.yaml", [UP])
    assert conduct.of_file(topology, Output()).spec == "cli_jobs:train"
    assert NOTE in capsys.readouterr().err


def test_show_predicts_the_error_at_the_root(here: Run) -> None:
    """For clients of the correlation that is asked for, of the job's own tensors: big is coded, small goes raw."""
    sets = ("--set", "CLIENTS.codec.up=eden(bits=1)", "--set", "EDGE_AGGREGATORS.codec.up=none")
    code, out, _ = here("show", "tree.yaml", *sets)
    assert code == 0
    line = out.splitlines()[-1]
    head, _, value = line.partition(": ")
    assert head == "NMSE at the root, clients correlated 0.5"
    of_big = 0.57079633 * 4 / (4 + 4 * 3 / 2)
    assert float(value.split()[0]) == pytest.approx(of_big * 5000 / 5008, rel=3e-3)  # and a weight of the mean
    _, out, _ = here("show", "tree.yaml", *sets, "--correlation", "0", "--json")
    document = json.loads(out)
    assert document["error"]["correlation"] == 0
    assert document["error"]["nmse"] == pytest.approx(0.57079633 * 5000 / 5008)
    assert document["tiers"][2]["error"]["nmse"] == document["error"]["nmse"]
    assert document["tiers"][1]["error"] == {"nmse": 0.0}


def test_show_shares_out_bits(here: Run) -> None:
    """The bits that were chosen are drawn, with where they come from in the resolved form."""
    sets = ("--set", "CLIENTS.codec.up=eden(bits=auto)", "--set", "EDGE_AGGREGATORS.codec.up=eden(bits=auto)")
    assert "up eden(bits=4) (auto)" in here("show", "tree.yaml", *sets)[1]
    text = here("show", "tree.yaml", *sets, "--resolved")[1]
    assert "# --set CLIENTS.codec.up=eden(bits=auto), from eden(bits=auto)" in text


@pytest.mark.parametrize("value", ["1.5", "-0.1", "much"])
def test_a_correlation_is_a_share(value: str, here: Run) -> None:
    """Zero to one, or it is exit code 2."""
    code, _, err = here("show", "tree.yaml", f"--correlation={value}")
    assert code == 2 and "--correlation" in err


def test_the_resolved_form_has_no_error_to_predict(here: Run) -> None:
    """An option that would do nothing is refused."""
    code, _, err = here("show", "tree.yaml", "--resolved", "--correlation", "0.3")
    assert code == 2 and "--resolved predicts no error; leave --correlation out" in err
