"""The tutorials that are notebooks: each executed in a kernel and a folder of its own, and what it printed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from typing import Any

import nbformat
import pytest
from notebook_runs import ROOT, executed

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
NAMES = ["a_third_tier", "compression_against_accuracy", "first_program", "fleet_of_100000", "hierfavg"]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """Run a notebook that was copied to a folder with a space in its name, with what it is told to have beside it."""

    def run(name: str, *beside: str) -> dict[str, Any]:
        folder = tmp_path_factory.mktemp("copied elsewhere")
        for file in beside:
            shutil.copy(ROOT / file, folder)
        return executed(ROOT / "docs" / "notebooks" / f"{name}.ipynb", folder, 500) | {"folder": folder}

    return run


def test_there_are_five_without_outputs() -> None:
    """What a run gives is not kept, so it cannot be out of date; 25 cells at most, and one mistake in each."""
    assert [path.stem for path in NOTEBOOKS] == NAMES
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert len(notebook.cells) <= 25
        assert [cell.id for cell in code if cell.outputs or cell.execution_count is not None] == []
        assert [cell.metadata.tags for cell in code if cell.metadata] == [["raises-exception"]]


def test_their_links_lead_somewhere() -> None:
    """Pages, other notebooks, and headings on pages."""
    for path in NOTEBOOKS:
        for target in re.findall(
            r"\]\(([^)\s]+)\)", "".join(c.source for c in nbformat.read(path, 4).cells if c.cell_type == "markdown")
        ):
            if target.startswith("https://"):
                continue
            file, _, heading = target.partition("#")
            assert (path.parent / file).exists(), f"{path.name}: {target}"
            heads = re.findall(r"^#+ (.*)$", (path.parent / file).read_text(), re.M) if heading else []
            slugs = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
            assert not heading or heading in slugs, f"{path.name}: {target}"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_third_tier(ran: Callable[..., dict[str, Any]]) -> None:
    """Means at a tier, here and on daemons; the mistake; a model with the accuracy of each region."""
    done = ran("a_third_tier")
    said = done["said"]
    assert "PlacementError" in said["wrong"] and "to mend: give a tree" in said["wrong"]
    assert "np.float32(4.75)" in said["local"] and "[np.float32(10.0), np.float32(3.0)]" in said["local"]
    assert said["compiled"].index("|CLIENTS|") < said["compiled"].index("|EDGE_AGGREGATORS|")
    printed = said["daemons"].splitlines()
    assert printed[0] == "4.75 10.0"
    assert printed[1] == "<placed {float32}@EDGE_AGGREGATORS of 2 members>"
    assert printed[2] == "[np.float32(10.0), np.float32(3.0)]"
    regions = re.findall(r"^(north|east|south|west) +accuracy (0\.\d\d) of +(\d+) images", said["train"], re.M)
    assert [name for name, *_ in regions] == ["north", "east", "south", "west"]
    assert sum(int(images) for *_, images in regions) == 6000
    assert min(float(accuracy) for _, accuracy, _ in regions) > 0.4
    assert "metric-0-by-round" in said["drawing"] and "<svg" in done["shown"]["drawing"]
    assert done["there"] == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_compression_against_accuracy(ran: Callable[..., dict[str, Any]]) -> None:
    """The slip is told before anything runs; twelve runs; bytes and accuracy as the notebook's text says."""
    done = ran("compression_against_accuracy")
    said = done["said"]
    bytes_of = {
        name: int(size.replace(",", "")) for name, size in re.findall(r"^(\S+) +([\d,]+) bytes", said["codec"], re.M)
    }
    assert bytes_of["none"] >= 200_000 and 6_250 <= bytes_of["drive"] < 7_000
    assert "no codec is called edn; did you mean" in said["wrong"] and "(cell 3: " in said["wrong"]
    assert len(re.findall(r"seed [78]: accuracy 0\.\d{3} in", said["sweep"])) == 12
    assert "sweep s-1 of compression.yaml" in said["sweep"]
    rows = re.findall(r"^(\S+ / \S+) +([\d.]+)x fewer bytes from clients, accuracy ([+-][\d.]+)", said["rows"], re.M)
    fewer = {name: (float(times), float(more)) for name, times, more in rows}
    assert len(fewer) == 6
    assert 3.7 < fewer["int8 / bf16"][0] < 4.0 and abs(fewer["int8 / bf16"][1]) < 0.02
    assert fewer["drive / bf16"][0] > 18 and fewer["drive / bf16"][1] > fewer["sign / bf16"][1] + 0.01
    assert fewer["topk(0.01)+int8 / bf16"][0] > fewer["drive / bf16"][0]
    for cell in ("report", "front-bytes", "curves"):
        assert "<svg" in done["shown"][cell]
    assert (done["folder"] / "codecs.html").read_text().startswith("<!")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_fleet_of_100000(ran: Callable[..., dict[str, Any]]) -> None:
    """A hundred thousand phones come up, a cohort of one in a hundred takes part, and the median is found."""
    done = ran("fleet_of_100000", "topologies/phones_lte.yaml", "topologies/quantiles.py")
    said = done["said"]
    assert "0.01 has no unit; write 0.01%, or 1%" in said["wrong"]
    assert "100000" in said["load"]
    seconds, phones = re.findall(r"^([\d.]+) virtual seconds, ([\d,]+) phones", said["round"], re.M)[0]
    assert 0.05 < float(seconds) < 2 and phones == "1,002"
    clients = r"^CLIENTS +100,000 nodes, +([\d,]+) messages, +([\d,]+) bytes up, ([\d.]+) J"
    [(first, few, before)] = re.findall(clients, said["cost"], re.M)
    [(last, more, after)] = re.findall(clients, said["rounds"], re.M)
    assert (first, last) == ("1,002", "5,010") and int(more.replace(",", "")) == 5 * int(few.replace(",", ""))
    assert float(after) > float(before) > 0
    [(median, asked)] = re.findall(r"^median ([\d.]+) of ([\d,]+) phones", said["rounds"], re.M)
    assert float(median) == pytest.approx(20, abs=0.8) and asked == "4,008"  # four deviations of such a median
    assert "<svg" in done["shown"]["report"] and "<svg" in done["shown"]["bytes"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_hierfavg(ran: Callable[..., dict[str, Any]]) -> None:
    """With kappa_1 kappa_2 fixed, more edge rounds reach the accuracy sooner."""
    done = ran("hierfavg")
    said = done["said"]
    assert "kappa_1 is 10 steps, and local_epochs 3 passes: which?" in said["wrong"]
    assert "sweep s-1 of hierarchy.yaml" in said["sweep"]
    found = re.findall(r"kappa_2 (\d): 0\.68 after +([\d.]+) s, (\d+) rounds, ([\d.]+) J", said["to"])
    assert [kappa for kappa, *_ in found] == ["1", "2", "4"]
    times = [float(seconds) for _, seconds, *_ in found]
    assert times[0] > times[1] > times[2]
    assert "<svg" in done["shown"]["report"] and "<svg" in done["shown"]["energy"]
