"""Bringing a tree up: addresses, readiness, what a node inherits, and what is said when it fails."""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from launch_trees import SMALL, eventually, left_over, node

from tierfed.errors import NotReady, TierfedError
from tierfed.launch import control, manifest
from tierfed.launch.processes import Deployment

Start = Callable[..., Deployment]


def ask(address: tuple[str, int] | None) -> dict[str, Any]:
    """Return what a node that `answers` says of itself."""
    assert address is not None
    with socket.create_connection(address) as connection:
        text = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    found: dict[str, Any] = json.loads(text)
    return found


TALL = [
    node("server", "SERVER", listens=True),
    node("e-0", "EDGE", "server", listens=True),
    node("e-1", "EDGE", "server", listens=True, process="pair"),
    node("e-2", "EDGE", "server", listens=True, process="pair"),
    node("c-0", "CLIENTS", "e-2"),
]


def test_addresses_are_known_before_anything_is_up(start: Start) -> None:
    """`launch` returns with every address; a dialled root that is not up yet takes the connection all the same."""
    one = start(tree=TALL)
    assert one.root_address[0] == "127.0.0.1"
    assert {name for name, row in one.nodes.items() if row.address} == {"server", "e-0", "e-1", "e-2"}
    assert len({row.address for row in one.nodes.values()}) == 5
    socket.create_connection(one.root_address).close()


def test_progress_rises_to_all_ready(start: Start) -> None:
    """Progress counts each placement up, never repeats itself, and ends with everybody."""
    seen: list[dict[str, tuple[int, int]]] = []
    one = start(tree=TALL)
    one.wait_ready(lambda counts: seen.append(dict(counts)))
    assert seen[-1] == {"SERVER": (1, 1), "EDGE": (3, 3), "CLIENTS": (1, 1)}
    totals = [sum(ready for ready, _ in counts.values()) for counts in seen]
    assert totals == sorted(set(totals))
    assert {row.state for row in one.nodes.values()} == {"ready"}
    assert one.nodes["e-1"].pid == one.nodes["e-2"].pid != one.nodes["e-0"].pid
    one.wait_ready()  # once more: it is


def test_a_node_inherits_nothing_of_its_siblings(start: Start) -> None:
    """No pipe and no socket is shared between two node processes, or kept by supervisor or zygote."""
    one = start("answers", TALL)
    one.wait_ready()
    about = {name: ask(one.nodes[name].address) for name in ("server", "e-0", "e-1")}
    owned = {name: {link for link in fds.values() if link[:4] in ("pipe", "sock")} for name, fds in _fds(about)}
    status = one.status()
    for name in ("supervisor", "zygote"):
        folder = Path(f"/proc/{status[name]['pid']}/fd")
        owned[name] = {os.readlink(entry) for entry in folder.iterdir()}
    for name, links in owned.items():
        others = set().union(*(rest for other, rest in owned.items() if other != name))
        shared = {link for link in links & others if link.startswith("socket")}
        assert shared == set(), f"{name} shares {shared}"
    nodes = ("server", "e-0", "e-1")
    for name in nodes:
        for other in nodes:
            assert name == other or not owned[name] & owned[other], f"{name} and {other} share a descriptor"
    assert about["server"]["listeners"] == ["server"] and about["e-1"]["listeners"] == ["e-1", "e-2"]
    # stdin, stdout, stderr, records; a listener; its connections are at most those to and from three parents
    assert len([link for link in about["server"]["fds"].values() if link.startswith("pipe")]) == 3


def _fds(about: dict[str, dict[str, Any]]) -> list[tuple[str, dict[str, str]]]:
    return [(name, one["fds"]) for name, one in about.items()]


def test_what_a_node_process_is_given(start: Start, tmp_path: Path) -> None:
    """Context, search path, script, one BLAS thread, its own session and its own random numbers."""
    script = tmp_path / "experiment.py"
    script.write_text("MARK = __name__\nif __name__ == '__main__':\n    raise SystemExit('not guarded')\n")
    one = start("answers", TALL, sys_path=[str(tmp_path)], main_script=str(script))
    one.wait_ready()
    about = [ask(one.nodes[name].address) for name in ("server", "e-0")]
    first = about[0]
    assert first["context"] == {
        "run": one.run_id,
        "run_dir": str(one.run_dir),
        "token": "secret-of-the-run",
        "sys_path": [str(tmp_path)],
        "main_script": str(script),
        "log_level": "INFO",
        "trace": False,
        "resumed": None,
    }
    assert first["path"][0] == str(tmp_path) and first["main"] == "__mp_main__"
    assert first["threads"] == "1" and first["session"] is True
    assert about[0]["random"] != about[1]["random"]
    assert {"numpy", "aiohttp"} <= set(first["modules"])
    assert not {"networkx", "pydantic", "ruamel", "rich", "click"} & set(first["modules"])


def test_no_secret_in_argv_environment_or_manifest(start: Start) -> None:
    """The token travels by socket only: nobody finds it in /proc or in the run's folder."""
    one = start()
    one.wait_ready()
    status = one.status()
    pids = [status["supervisor"]["pid"], status["zygote"]["pid"], one.nodes["server"].pid]
    for pid in pids:
        for name in ("cmdline", "environ"):
            assert b"secret-of-the-run" not in Path(f"/proc/{pid}/{name}").read_bytes()
    for file in one.run_dir.rglob("*"):
        assert file.is_dir() or "secret-of-the-run" not in file.read_text()


def test_a_node_that_raises_is_named_with_its_traceback(start: Start) -> None:
    """One ValueError at start: NotReady at once, with the node, the error, the traceback; and nothing is left."""
    one = start("one_dies")
    with pytest.raises(NotReady) as caught:
        one.wait_ready()
    assert str(caught.value).startswith(
        "up: c-1 ended with exit code 1 before it was ready: ValueError: no such sensor"
    )
    assert f"\n  to mend: read {one.run_dir}/logs/c-1.jsonl" in str(caught.value)
    assert caught.value.node == "c-1"
    assert 'raise ValueError("no such sensor")' in str(caught.value.remote_traceback)
    assert "zygote.py" not in str(caught.value.remote_traceback)
    assert left_over(one.run_id) == {}
    assert one.status()["state"] == "failed"


def test_a_crash_is_named_with_its_stack(start: Start) -> None:
    """A segmentation fault at start is told with faulthandler's account."""
    one = start("one_crashes")
    with pytest.raises(
        NotReady, match="c-1 was killed by SIGSEGV before it was ready: Fatal Python error: Seg"
    ) as caught:
        one.wait_ready()
    assert "in one_crashes" in str(caught.value.remote_traceback)


def test_a_node_that_never_gets_ready_is_named_with_its_last_warning(start: Start) -> None:
    """At the time limit: who is missing, and what it said."""
    one = start("one_waits", wait_timeout=2.0)
    with pytest.raises(NotReady) as caught:
        one.wait_ready()
    text = str(caught.value)
    assert "of 3 nodes not ready after 2 s: " in text and "c-1" in text
    assert "c-1 said: the sensor does not answer" in text
    assert text.endswith("c-1.jsonl, or allow more with --wait-timeout")
    assert left_over(one.run_id) == {}


def test_up_within_a_node_shows_the_main_guard(start: Start) -> None:
    """A node that brings up a tree is refused, and the mend of its error is shown."""
    one = start("ups")
    with pytest.raises(NotReady) as caught:
        one.wait_ready()
    assert f"this process is a node of run {one.run_id}, and cannot bring up another tree" in str(caught.value)
    assert 'if __name__ == "__main__":\n          tierfed.up(...)' in str(caught.value)


def test_a_zygote_that_cannot_import_says_why(start: Start) -> None:
    """An error before the first fork is told with its traceback."""
    one = start(preload=["launch_dummies:broken_preload"])
    with pytest.raises(NotReady) as caught:
        one.wait_ready()
    assert "the zygote cannot import what nodes need: RuntimeError: libsensor.so is missing" in str(caught.value)
    assert "in broken_preload" in str(caught.value.remote_traceback)


def test_a_script_that_cannot_be_imported_says_why(start: Start, tmp_path: Path) -> None:
    """An error in the user's script is that of the first node to meet it."""
    script = tmp_path / "broken.py"
    script.write_text("import no_such_module\n")
    one = start(main_script=str(script))
    with pytest.raises(NotReady, match="ModuleNotFoundError: No module named 'no_such_module'"):
        one.wait_ready()


def test_a_child_of_a_parent_that_does_not_listen_is_refused(start: Start) -> None:
    """The supervisor's own error reaches the caller of `launch`, and nothing is left."""
    with pytest.raises(TierfedError) as caught:
        start(tree=[node("server", "SERVER"), node("c-0", "CLIENTS", "server")])
    assert str(caught.value) == (
        "node c-0: its parent server does not listen\n"
        "  to mend: plan the tree anew: every parent's assignment has listens=True"
    )


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        ([node("../evil", "SERVER")], "launch: '../evil' cannot name a log file\n  to mend: use letters, digits and"),
        ([SMALL[0], SMALL[1], SMALL[1]], "launch: two nodes are called c-0\n  to mend: give each node its own name"),
        ([SMALL[0], node("b", "SERVER")], "launch: a tree has one root, this one has 2: server, b\n"),
        ([], "launch: a tree has one root, this one has 0\n"),
    ],
)
def test_assignments_that_cannot_be_are_refused(start: Start, tree: list[Any], text: str) -> None:
    """Bad names and shapes are refused before any process starts."""
    with pytest.raises(TierfedError) as caught:
        start(tree=tree)
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("TIERFED_LEAF_THREADS", "many", "TIERFED_LEAF_THREADS: 'many' is no number of threads\n  to mend: write 1 or"),
        ("TIERFED_LOG", "loud", "TIERFED_LOG: 'loud' is no level\n  to mend: one of debug, info, warning"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    start: Start, monkeypatch: pytest.MonkeyPatch, name: str, value: str, text: str
) -> None:
    """A wrong environment variable is named, with what would be right."""
    monkeypatch.setenv(name, value)
    with pytest.raises(TierfedError) as caught:
        start()
    assert str(caught.value).startswith(text)


def test_a_supervisor_that_cannot_begin_gives_its_last_words(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken interpreter is told with what it printed, not with a hang."""
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    with pytest.raises(TierfedError, match="launch: the supervisor could not begin: it ended; its last words: "):
        start()


def test_a_runtime_folder_that_is_taken_is_passed_over(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of the same name, whoever left it, is neither used nor removed."""
    with tempfile.TemporaryDirectory(dir="/tmp") as base:
        monkeypatch.setenv("XDG_RUNTIME_DIR", base)
        monkeypatch.setattr("secrets.token_hex", lambda _n: "0badcafe")
        taken = Path(base, "tierfed-0badcafe")
        taken.mkdir()
        (taken / "control").write_text("somebody's")
        one = start()
        assert one.status()["control"] == f"{base}/tierfed-0badcafe-1/control"
        assert Path(base, "tierfed-0badcafe-1").stat().st_mode & 0o777 == 0o700
        assert Path(base, "tierfed-0badcafe-1", "control").stat().st_mode & 0o777 == 0o600
        one.down()
        assert [entry.name for entry in Path(base).iterdir()] == ["tierfed-0badcafe"]
        assert (taken / "control").read_text() == "somebody's"


def test_a_long_runtime_folder_is_passed_over(start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the socket's path would have more than 107 bytes, the next base is taken."""
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    one = start()
    assert not one.status()["control"].startswith(str(long))


def test_nonsense_on_the_control_socket_disturbs_nobody(start: Start) -> None:
    """No JSON, no object, an unknown request, an endless line: each is answered or cut off, and the run goes on."""
    one = start()
    one.wait_ready()
    path = one.status()["control"]
    for line, answer in [
        (b"garbage\n", b'{"error": {"kind": "ProtocolError", "what": "a request is one JSON object on a line"}}\n'),
        (b"[" * 60000 + b"\n", b'{"error": {"kind": "ProtocolError", "what": "a request is one JSON object on a li'),
        (b'{"do": "dance"}\n', b'{"error": {"kind": "ProtocolError", "what": "unknown request \'dance\': say stat'),
        (b"x" * (200 << 10), b""),
    ]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            try:
                connection.sendall(line)
                got = connection.recv(1 << 16)
            except ConnectionError:
                got = b""
            assert got.startswith(answer) and bool(got) == bool(answer)
    assert one.status()["state"] == "ready"


def test_the_logs_of_colocated_nodes(start: Start) -> None:
    """Each node's own words go to its own file, whatever way it speaks; the rest to the process's first."""
    tree = [
        node("server", "SERVER", listens=True),
        *(node(f"c-{i}", "CLIENTS", "server", process="p") for i in range(2)),
    ]
    one = start("talks", tree)
    one.wait_ready()
    one.down()
    lines = {}
    for name in ("c-0", "c-1"):
        text = (one.run_dir / "logs" / f"{name}.jsonl").read_text()
        lines[name] = [json.loads(line) for line in text.splitlines()]
    said = {name: {(row["logger"], row["level"], row["message"]) for row in rows} for name, rows in lines.items()}
    assert said["c-1"] == {("tierfed.dummy", "INFO", "I am c-1"), ("stdout", "INFO", "printed by c-1")}
    assert said["c-0"] >= {
        ("tierfed.dummy", "INFO", "I am c-0"),
        ("stdout", "INFO", "printed by c-0"),
        ("tierfed.dummy", "ERROR", "it failed"),
        ("stderr", "WARNING", "to stderr"),
        ("stdout", "INFO", "raw out"),
        ("stderr", "WARNING", "raw err"),
    }
    assert any(message.startswith("uncaught in thread") for _, _, message in said["c-0"])
    failed = next(row for row in lines["c-0"] if row["message"] == "it failed")
    assert failed["traceback"].endswith("KeyError: 'lost key'") and failed["node"] == "c-0"


def test_killing_a_colocated_node_names_its_siblings(start: Start) -> None:
    """The unit of failure is the process: the log says whom it took along."""
    tree = [
        node("server", "SERVER", listens=True),
        *(node(f"c-{i}", "CLIENTS", "server", process="p") for i in range(3)),
    ]
    one = start(tree=tree)
    one.wait_ready()
    pid = one.nodes["c-1"].pid
    assert pid
    os.kill(pid, 9)
    eventually(lambda: one.status()["nodes"]["c-2"]["state"] == "ended")
    log = (one.run_dir / "supervisor.jsonl").read_text()
    assert "c-0 was killed by SIGKILL and takes along c-1, c-2" in log


def test_the_supervisor_imports_little(start: Start) -> None:
    """Supervisor and zygote never load what only the command needs, nor the supervisor numpy."""
    one = start()
    one.wait_ready()
    status = one.status()
    for name, forbidden in {"supervisor": ("numpy", "asyncio", "_ssl"), "zygote": ("networkx", "pydantic")}.items():
        maps = Path(f"/proc/{status[name]['pid']}/maps").read_text()
        assert not [word for word in forbidden if f"/{word}" in maps]
    assert len(list(Path(f"/proc/{status['zygote']['pid']}/task").iterdir())) == 1, (
        "a process with threads must not fork"
    )


def test_the_manifest_keeps_what_the_caller_adds(start: Start) -> None:
    """`info` is there for whoever reads the run later."""
    one = start(info={"topology": "three_tier.yaml"})
    read = manifest.read(one.run_dir)
    assert read is not None and read["info"] == {"topology": "three_tier.yaml"}
    assert [answer["ok"]["id"] for answer in control.ask(read["control"], {"do": "status"})] == [one.run_id]
    assert read["id"] == one.run_id and sys.executable
