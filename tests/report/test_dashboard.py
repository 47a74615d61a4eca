"""The dashboard: what it knows of a run, who may ask, and what a browser makes of it."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tierfed.report.dashboard import Dashboard
from tierfed.report.dashboard.board import _ROUNDS
from tierfed.topology import tree as fan_out

TREE = fan_out({"EDGE_AGGREGATORS": 2, "CLIENTS": 3})
EDGES = [m.name for m in TREE.nodes.values() if str(m.placement) == "EDGE_AGGREGATORS"]


def released(number: int, **metrics: float) -> dict[str, Any]:
    """The event of a round that is over."""
    traffic = {"CLIENTS": {"up": 1000, "down": 2000}, "EDGE_AGGREGATORS": {"up": 10, "down": 20}}
    return {"event": "released", "round": number, "of": 9, "metrics": metrics, "seconds": 0.5, "traffic": traffic}


def folding(node: str, whole: int, closed: bool = False) -> dict[str, Any]:
    """An aggregator's report."""
    fold = {"site": "3.0", "whole": whole, "expected": 3, "lost": 0, "closed": closed, "awaits": "clients-2 (sending)"}
    return {"event": "progress", "inv": "a", "node": node, **fold}


def running() -> Dashboard:
    """A run in its second round."""
    board = Dashboard(TREE, clock=lambda: 0.0)
    board.happened({"event": "ready", "seconds": 1.5})
    board.happened({"event": "round", "round": 0, "of": 9})
    board.happened(released(0, accuracy=0.5))
    board.happened({"event": "round", "round": 1, "of": 9})
    return board


def asked(address: str, **headers: str) -> tuple[int, str]:
    """The status and the text of a GET."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def test_it_tells_what_is_going_on() -> None:
    """Rounds with their metrics and bytes, and what each aggregator does."""
    board = running()
    board.happened(folding(EDGES[0], 2))
    board.happened(folding(EDGES[1], 3, closed=True))
    told = board.told()
    assert (told["status"], told["round"], told["done"]) == ("running", {"number": 2, "of": 9}, 1)
    [row] = told["rounds"]
    assert row["metrics"] == {"accuracy": 0.5}
    assert row["traffic"]["CLIENTS"] == {"up": 1000, "down": 2000}
    states = {a["name"]: (a["state"], a.get("whole"), a["leaves"]) for a in told["aggregators"]}
    assert states == {
        "server": ("waiting", None, None),
        EDGES[0]: ("collecting", 2, "CLIENTS"),
        EDGES[1]: ("folded", 3, "CLIENTS"),
    }
    json.dumps(told)


def test_it_tells_what_went_wrong() -> None:
    """Losses, faults and what leaves raised, the last hundred; and how it ended."""
    board = running()
    for n in range(150):
        board.happened({"event": "lost", "node": f"clients-{n}", "reason": "its link closed"})
    board.happened({"event": "fault", "node": "clients-1", "do": "kill", "over": False})
    board.happened({"event": "raised", "error": {"node": "clients-2", "what": "raised ValueError: no"}})
    board.over("failed")
    told = board.told()
    assert (told["status"], told["lost"], len(told["troubles"])) == ("failed", 150, 100)
    assert [t["what"] for t in told["troubles"][-3:]] == ["lost", "fault", "raised"]


def test_it_tells_of_links_that_were_changed() -> None:
    """By a command, or by a fault of the file, with what was set."""
    board = running()
    board.happened({"event": "link", "nodes": ["clients-0", "clients-1"], "set": {"delay": "2s", "loss": "1%"}})
    fault = {"event": "fault", "node": "clients-1", "do": "link", "set": {"delay": "1s"}}
    board.happened(fault | {"over": False})
    board.happened(fault | {"over": True})
    assert [(t["what"], t["node"], t["why"]) for t in board.told()["troubles"]] == [
        ("link", "clients-[0-1] ×2", "delay=2s loss=1%"),
        ("fault", "clients-1", "link delay=1s"),
        ("fault", "clients-1", "link delay=1s is over"),
    ]


def test_a_long_run_stays_small_and_has_its_last_round() -> None:
    """Of 5,000 rounds fewer than 600 are told, the first and the last among them."""
    board = running()
    for n in range(1, 5000):
        board.happened(released(n, accuracy=n / 5000))
    numbers = [row["number"] for row in board.told()["rounds"]]
    assert numbers[0] == 1
    assert numbers[-1] == 5000
    assert _ROUNDS / 2 - 1 <= len(numbers) <= _ROUNDS + 1
    assert numbers == sorted(set(numbers))


def test_whoever_has_the_address_is_answered_and_nobody_else() -> None:
    """Another key, another name for this machine and other files are not there."""
    with running().served() as address:
        root = address.rsplit("/", 2)[0]
        status, page = asked(address)
        assert status == 200
        assert not re.search(r"https?://", page)
        assert "</script><" not in page.replace("</script>\n<", "")
        assert json.loads(asked(f"{address}state")[1])["done"] == 1
        for wrong, headers in (
            (f"{root}/guessed/", {}),
            (f"{root}/guessed/events", {}),
            (f"{root}/guessed/state", {}),
            (address, {"Host": "evil.example:80"}),
            (f"{address}board.py", {}),
            (f"{address}..%2fboard.py", {}),
        ):
            assert asked(wrong, **headers)[0] == 404, wrong
    with pytest.raises(urllib.error.URLError):
        asked(address)


def test_changes_come_as_they_happen_and_the_end_is_told() -> None:
    """A stream gives the present, what changes, and `over` with the last state before it."""
    board = running()
    served = board.served()
    with urllib.request.urlopen(f"{served.__enter__()}events", timeout=10) as stream:
        first = json.loads(stream.readline().removeprefix(b"data: "))
        board.happened(released(1, accuracy=0.75))
        stream.readline()
        second = json.loads(stream.readline().removeprefix(b"data: "))
        board.over("ok")
        served.__exit__(None, None, None)
        rest = stream.read().decode()
    assert (first["done"], second["done"]) == (1, 2)
    *_, last, ending = rest.strip().split("\n\n")
    assert json.loads(last.removeprefix("data: "))["status"] == "ok"
    assert ending == "event: over\ndata:"


@pytest.mark.slow
def test_a_browser_draws_a_thousand_nodes(tmp_path: Path) -> None:
    """Chromium shows all tiers, every aggregator and hostile text as text, at two widths."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium")
    topology = fan_out({"REGIONS": 8, "EDGE_AGGREGATORS": 5, "CLIENTS": 25})
    board: Any = Dashboard(topology)
    board.happened({"event": "ready", "seconds": 1.5})
    board.happened({"event": "round", "round": 0, "of": 3})
    for n in range(2):
        board.happened(released(n, accuracy=0.25 * (n + 1)))
    board.happened({"event": "lost", "node": "clients-7", "reason": "<img src=x onerror=document.title='owned'>"})
    edges = [n.name for n in topology.nodes.values() if str(n.placement) == "EDGE_AGGREGATORS"]
    for name in edges:
        board.happened({**folding(name, 20), "expected": 25})
    told, streaming = board.told, threading.Event()

    def counted() -> dict[str, Any]:
        """The document; the page has the first one, the stream the next."""
        board.asked += 1
        if board.asked > 1:
            streaming.set()
        return told()

    for width in (400, 1280):
        board.asked = 0
        streaming.clear()
        board.told = counted
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--virtual-time-budget=3000"]
        with board.served() as address:
            browser = subprocess.Popen(
                [*command, f"--user-data-dir={tmp_path / str(width)}", f"--window-size={width},900", address],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            assert streaming.wait(60)
            board.over("ok")
        dom, _ = browser.communicate(timeout=60)
        seen = html.unescape(re.sub(r"<[^>]+>", " ", dom))
        assert re.search(r'id="status"[^>]*class="ok">ok<', dom)  # which came while it looked
        assert "round 1 of 3" in seen
        assert "0.500" in seen
        assert "<img src=x" in seen
        assert "owned" not in (re.search(r"<title>(.*)</title>", dom) or [""])[0]
        assert dom.count('class="collecting') == len(edges) == 40
        assert "800 of 1000 in" in seen
