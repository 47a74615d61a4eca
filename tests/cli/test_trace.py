"""`up --trace` and `trace`, with real processes; and what `/metrics` says of a tree that is up."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

Run = Callable[..., tuple[int, str, str]]


def test_a_trace_has_a_row_a_node_and_an_arrow_a_message(tierfed: Run, here: Run, folder: Path) -> None:
    """Rows are nodes in the order of the tree; their boxes are nested; both ends of each message are there."""
    code, out, _ = tierfed("up", "--trace", "tree.yaml", "--json")
    assert code == 0
    document = json.loads(out)
    code, out, _ = here("trace", document["run"][:4], "--out", "t.json", "--json")
    assert code == 0
    told = json.loads(out)
    events = json.loads((folder / "t.json").read_text())["traceEvents"]
    rows = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    edges = [f"· edge-{n} (EDGE_AGGREGATORS)" for n in (0, 1)]
    clients = [f"· · c-{n} (CLIENTS)" for n in range(4)]
    nodes = ["server (SERVER)", edges[0], *clients[:2], edges[1], *clients[2:]]
    assert [name for name in rows.values() if not name.endswith(", also")] == nodes
    depth = {of: name.count("· ") for of, name in rows.items()}

    sent = [e for e in events if e["ph"] == "s"]
    came = {e["id"]: e for e in events if e["ph"] == "f"}
    counted = sum(tier.get("messages_up", 0) + tier.get("messages_down", 0) for tier in document["tiers"].values())
    assert len(sent) == len(came) == told["messages"] == counted == 24
    for arrow in sent:
        end = came[arrow["id"]]
        assert end["ts"] >= arrow["ts"]
        assert abs(depth[end["pid"], end["tid"]] - depth[arrow["pid"], arrow["tid"]]) == 1
        for each in (arrow, end):
            assert any(b["ts"] == each["ts"] for b in events if b["ph"] == "X" and b["tid"] == each["tid"])

    boxes = [e for e in events if e["ph"] == "X"]
    assert len(boxes) == told["spans"]
    kinds = {e["cat"] for e in boxes}
    assert kinds >= {"receive", "fold", "add", "check", "compute", "queue", "encode", "send", "sent", "came"}
    for of in rows:
        mine = [(e["ts"], e["ts"] + e["dur"]) for e in boxes if (e["pid"], e["tid"]) == of and e["dur"]]
        for start, end in mine:
            assert not any(start < s < end - 0.01 and e > end + 0.01 for s, e in mine)


def test_a_run_without_a_trace_says_how_to_get_one(tierfed: Run, here: Run) -> None:
    """Nothing is written, and the mend is named."""
    run = json.loads(tierfed("up", "tree.yaml", "--json")[1])["run"]
    code, _, err = here("trace", run, "--out", "none.json")
    assert code != 0 and not Path("none.json").exists()
    assert "the run wrote no trace" in err and "to mend: bring the tree up with `tierfed up --trace`" in err


def test_metrics_can_be_read_of_every_node(tierfed: Run, here: Run) -> None:
    """Each process tells of its nodes: bytes by link as the run counted them, seconds, memory, lag."""
    run = json.loads(tierfed("up", "-d", "tree.yaml", "--json")[1])["run"]
    try:
        assert tierfed("run", "-p", "rounds=1", "--json")[0] == 0
        (up,) = json.loads(here("ps", run, "--json")[1])["runs"]
        values: dict[str, dict[tuple[str, ...], float]] = {}
        addresses = [node["address"] for node in up["nodes"] if node["address"]]
        assert len(addresses) == len({node["pid"] for node in up["nodes"]}) + 1  # both edges listen
        for host, port in addresses:
            with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=10) as answer:
                assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
                for family in text_string_to_metric_families(answer.read().decode()):
                    for sample in family.samples:
                        key = tuple(sample.labels[k] for k in sorted(sample.labels))
                        values.setdefault(sample.name, {})[key] = sample.value
    finally:
        here("down", run)
    assert {key[0] for key in values["tierfed_ready"]} == {node["name"] for node in up["nodes"]}
    assert set(values["tierfed_ready"].values()) == {1.0}
    moved = values["tierfed_link_bytes_total"]  # direction, node, peer
    for way, back in (("sent", "received"), ("received", "sent")):
        assert abs(moved[way, "c-0", "edge-0"] - moved[back, "edge-0", "c-0"]) < 500  # a beat may be under way
    assert moved["sent", "c-0", "edge-0"] > 5000  # int8 of 5000 numbers
    assert values["tierfed_seconds_total"]["server", "fold"] > 0
    assert values["tierfed_spans_total"]["edge-0", "add"] == 2
    assert values["tierfed_receive_bytes"]["edge-0", "memory"] == 0 < values["tierfed_receive_peak_bytes"]["edge-0",]
    assert values["tierfed_loop_lag_seconds_count"][()] > 0
    assert values["tierfed_invocations_open"]["server",] == 0
