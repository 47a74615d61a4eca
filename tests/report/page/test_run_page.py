"""The page of one run: a section for what is there, a line for what is not, and nothing of a file becomes markup."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from made_runs import HOSTILE, made_run, made_split
from page_checks import Page, checked, checked_svg

from tierfed.errors import NoSuchRun
from tierfed.report.page import report_of, stored_run

SECTIONS = [
    "Curves",
    "Bytes by tier",
    "Rounds: who waited for whom",
    "Topology",
    "Data split",
    "Configuration",
    "Again",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that a run is to be written into."""
    return tmp_path / "7f3a90c2"


def test_a_run_with_everything(folder: Path) -> None:
    """All sections, all drawings, and the numbers of the hand-made run: 3 rounds of 2 s, 1 kB up and 2 kB down."""
    made_split(made_run(folder), 4)
    report = report_of(folder)
    page = checked(report.html)
    assert list(report.sections) == SECTIONS
    assert list(report.drawings) == [
        *("metric-0-by-round", "metric-0-by-bytes", "metric-0-by-seconds", "metric-1-by-round", "seconds-by-round"),
        *("bytes-by-tier", "timeline-0", "timeline-1", "tree", "split"),
    ]
    tiles = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)<small>", report.html))
    assert tiles == {
        "accuracy": "0.800",
        "loss": "0.200",
        "rounds": "3",
        "time": "6.0 s",
        "moved": "9 kB",
        "energy": "15 J",
        "lost": "0",
    }
    assert "3 kB of 12 kB, 4× less" in page.text  # up, coded and not
    assert "0.200: " not in page.text and ": 0.800 at 9 kB" not in page.text
    assert "the slowest round: round 3, 2 s" in page.text
    assert "cd '/home/me/my demo'\ntierfed simulate 'three tier.yaml' --set seed=7" in page.text
    assert "tierfed 0.1.0 · python 3.11.2 · Linux x86_64, 8 cores" in page.text
    assert "c-[0-3] ×4" in page.text and "up int8" in page.text
    assert "dirichlet(alpha=0.3), seed 7" in page.text


def test_the_sums_along_a_curve(folder: Path) -> None:
    """Against bytes and seconds, a metric stands at what all rounds until then have come to."""
    from tierfed.report.page import curves

    run = stored_run.read(made_run(folder))
    assert curves.points(run, "accuracy", "round") == [(1, 0.5), (2, 0.7), (3, 0.8)]
    assert curves.points(run, "accuracy", "bytes") == [(3000, 0.5), (6000, 0.7), (9000, 0.8)]
    assert curves.points(run, "accuracy", "seconds") == [(2, 0.5), (4, 0.7), (6, 0.8)]


def test_drawings_are_files_for_a_paper(folder: Path, tmp_path: Path) -> None:
    """One file each, of a column's or a page's width, with the numbers as text."""
    made_split(made_run(folder), 4)
    files = report_of(folder).save_drawings(tmp_path / "figures")
    assert len(files) == 10
    roots = {file.stem: checked_svg(file.read_text()) for file in files}
    assert roots["bytes-by-tier"].attrib["width"] == "3.3in" and roots["tree"].attrib["width"] == "7.0in"
    assert "int8" in " ".join(one.text or "" for one in roots["tree"].iter())


def test_what_is_missing_is_said(folder: Path) -> None:
    """No split, no history, no tree: a line each, and no drawing."""
    made_run(folder, history=False)
    for name in ("tree.json", "origin.json", "topology.resolved.yaml"):
        (folder / name).unlink()
    report = report_of(folder)
    page = checked(report.html)
    assert list(report.sections) == SECTIONS
    assert {"tree", "split", "timeline-0"} & set(report.drawings) == set()
    for line in ("no split.json", "no aggregator kept a history", "no tree.json", "no resolved topology"):
        assert line in page.text
    assert "What made it is not on record" in page.text


@pytest.mark.parametrize("rounds", [0, 1])
def test_few_rounds(folder: Path, rounds: int) -> None:
    """None and one: pages all the same."""
    page = checked(report_of(made_run(folder, accuracy=[0.5] * rounds)).html)
    assert ("No round was committed" in page.text) is (rounds == 0)


def test_a_run_that_failed(folder: Path) -> None:
    """Its error stands on top, with what would mend it, and who was lost, those together who were lost alike."""
    error = {"where": "EDGES edge-eu", "what": "1 of 2 came", "mend": "lower the quorum"}
    lost = [{"node": f"c-{at}", "round": 1, "reason": "its connection was lost"} for at in range(3)]
    page = checked(report_of(made_run(folder, status="failed", error=error, lost=lost)).html)
    assert "✗ failed" in page.text
    assert "EDGES edge-eu: 1 of 2 came" in page.text and "to mend: lower the quorum" in page.text
    assert "c-[0-2]" in page.text and "its connection was lost" in page.text


def test_a_run_without_a_summary_is_added_up(folder: Path) -> None:
    """It was killed, or was a Python program's: bytes are those of its events, and nobody claims how it ended."""
    run = stored_run.read(made_run(folder, summary=False))
    assert (run.status, run.tiers["CLIENTS"].up, run.tiers["CLIENTS"].raw_up) == (None, 3000, 12000)
    assert (run.seconds, run.bytes, run.metrics["accuracy"]) == (6.0, 9000, 0.8)
    assert "no outcome on record" in checked(report_of(folder).html).text


def test_the_last_of_several_jobs(folder: Path) -> None:
    """A head in the middle of rounds.csv begins another job."""
    made_run(folder)
    with open(folder / "rounds.csv", "a") as file:
        file.write("round,seconds,contributors,lost,accuracy\n0,1.0,4,0,0.3\n1,1.0,4\n")
    assert [(r.number, r.metrics) for r in stored_run.read(folder).rounds] == [(0, {"accuracy": 0.3})]


def test_hostile_names_are_text(folder: Path) -> None:
    """In every file that a page is made of, at every place where it shows a text."""
    error = {"where": HOSTILE, "what": HOSTILE, "mend": HOSTILE}
    lost = [{"node": HOSTILE, "round": 0, "reason": HOSTILE}]
    made_run(folder, name=HOSTILE, codec=HOSTILE, status="failed", error=error, lost=lost)
    made_split(folder, 3, labels=[HOSTILE, f"b{HOSTILE}", "c"])
    for file in folder.glob("**/*.json*"):
        text = file.read_text()
        for word in ("c-2", "edge-us", "i-1", "CLIENTS", "step", "tierfed"):
            text = text.replace(f'"{word}"', json.dumps(HOSTILE + word))
        file.write_text(text)
    rows = (folder / "rounds.csv").read_text().replace("accuracy", '"<b>acc,""' + 'uracy"')
    (folder / "rounds.csv").write_text(rows)
    report = report_of(folder)
    page = checked(report.html)
    assert page.text.count("alert(1)") > 10
    assert "<script" not in report.html and "<b>acc" not in report.html
    for drawing in report.drawings.values():
        checked_svg(drawing.standalone())
    checked("<html><style></style><body>" + report._repr_html_().partition("</style>")[2] + "</body></html>")


def test_files_of_another_shape_are_left_out(folder: Path) -> None:
    """Lists for mappings, texts for numbers, bytes that are no text: a page of what is left."""
    made_run(folder)
    for name in ("summary.json", "tree.json", "origin.json"):
        (folder / name).write_text('[1, {"root": []}]')
    (folder / "split.json").write_text('{"labels": ["a"], "members": {"c": [-1], "d": ["1"], "e": [1, 2], "f": 3}}')
    (folder / "rounds.csv").write_bytes(b"round,seconds,accuracy\n0,nan,1\n\xff\xfe,2\n1,2.0,inf\n2,2.0,0.5\n")
    (folder / "events.jsonl").write_text(
        '[]\n{"time": "x", "event": 1}\n{"time": 1, "event": "invoked", "traffic": 3}\n'
    )
    page = checked(report_of(folder).html)
    assert "no split.json" in page.text and "What made it is not on record" in page.text


@pytest.mark.parametrize("clients", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_many_clients_are_a_small_page(folder: Path, clients: int) -> None:
    """The list of members is shortened, a split's rows are added up, and the page is as small as that of a few."""
    made_run(folder, clients=clients, history=False)
    made_split(folder, clients)
    lost = [{"node": f"c-{at}", "round": 0, "reason": "away"} for at in range(0, clients, 3)]
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps({**summary, "lost": lost}))
    html = report_of(folder).html
    page = checked(html)
    assert len(html.encode()) < 100_000
    assert f"{clients - 7:,} more members" in page.text
    assert f"{clients:,} members: {clients // 40} of them share a row" in page.text


def test_no_folder_of_a_run(tmp_path: Path) -> None:
    """A folder with other things in it is an error that says so."""
    with pytest.raises(NoSuchRun, match="this is no folder of a run"):
        report_of(tmp_path)


def test_the_policy_forbids_what_the_page_does_not_need(folder: Path) -> None:
    """Styles of its own, and nothing else: the browser is told as well."""
    page = Page(report_of(made_run(folder)).html)
    [policy] = [value for tag, name, value in page.attributes if name == "content" and "src" in str(value)]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_rounds_that_take_no_time(folder: Path) -> None:
    """Without links and devices nobody waits, and no axis of nanoseconds is drawn."""
    made_run(folder)
    for file in (folder / "history").iterdir():
        file.write_text(re.sub(r'"at":[-0-9.e]+', '"at":0.0', file.read_text()))
    text = checked(report_of(folder).html).text
    assert "Rounds took no time, so nobody waited" in text
    assert "slowest round" not in text
