"""The small parts of launch: pids, channel, control folder, user code."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import types
from pathlib import Path

import pytest

from tierfed.errors import ProtocolError, TierfedError
from tierfed.launch import channel, control, control_server, user_code
from tierfed.launch.pids import ProcessId, machine, tagged
from tierfed.launch.pipes import Pipes
from tierfed.launch.roster import Roster


def test_a_process_is_more_than_its_pid() -> None:
    """The same pid with another start time is another process: not alive, not signalled, gone."""
    me = ProcessId.of(os.getpid())
    assert me is not None and me.alive
    other = ProcessId(me.pid, me.start + 1)
    assert not other.alive and not other.signal(signal.SIGKILL) and other.wait_gone(0)
    assert not me.wait_gone(0)
    assert len(machine().split()) == 2


def test_an_ended_process_is_gone_before_it_is_reaped() -> None:
    """A zombie does not live."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        process = ProcessId.of(child.pid)
        assert process is not None and process.alive
        assert process.signal(signal.SIGKILL)
        assert process.wait_gone(10)
        assert not process.alive and ProcessId.of(child.pid) is None
        assert not process.reaped
    assert process.reaped


def test_tagged_finds_by_environment() -> None:
    """The whole assignment must fit, not a prefix of it."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, env={"TIERFED_RUN": "abcd0123"}) as child:
        assert [one.pid for one in tagged("TIERFED_RUN", "abcd0123")] == [child.pid]
        assert tagged("TIERFED_RUN", "abcd012") == []
        child.kill()


def test_many_descriptors_pass_the_channel() -> None:
    """More descriptors than the kernel takes at once arrive in order, and are not inheritable."""
    here, there = socket.socketpair()
    with here, there:
        sent = [os.memfd_create(str(i)) for i in range(450)]
        channel.send(here, {"hello": 1}, sent)
        channel.send(here, {"next": 2})
        got = channel.receive(there)
        assert got is not None
        assert [os.fstat(fd).st_ino for fd in got[1]] == [os.fstat(fd).st_ino for fd in sent]
        assert got[0]["hello"] == 1 and not any(os.get_inheritable(fd) for fd in got[1])
        assert channel.receive(there) == ({"next": 2, "descriptors": 0}, [])
        for fd in (*sent, *got[1]):
            os.close(fd)


def test_a_channel_that_breaks_is_told_from_one_that_ends() -> None:
    """End of file between messages is None; within one, or an absurd length, is an error."""
    for data, text in [
        (b"", None),
        (b"\x01", "channel: the other end closed within a message"),
        (struct.pack("<I", 10) + b"{}", "channel: the other end closed within a message"),
        (struct.pack("<I", 1 << 31), "channel: a message of 2147483648 bytes, the limit is 67108864"),
    ]:
        here, there = socket.socketpair()
        with there:
            here.sendall(data)
            here.close()
            if text is None:
                assert channel.receive(there) is None
            else:
                with pytest.raises(ProtocolError) as caught:
                    channel.receive(there)
                assert str(caught.value) == text


def test_last_words_are_read_before_anybody_asks_why(tmp_path: Path) -> None:
    """`drain` takes in all that a dead process has written, though the selector has not come to it yet."""
    roster = Roster([{"name": "c-0", "placement": "CLIENTS", "process": "c-0"}])
    roster.started("c-0", ProcessId(1, 1))
    with selectors.DefaultSelector() as selector:
        changes: list[int] = []
        pipes = Pipes(selector, tmp_path, roster, lambda: changes.append(1))
        ready, records, stdout, stderr = pipes.make(roster.processes["c-0"])
        os.write(ready, b"c-0\n")
        os.write(stdout, b"x" * (1 << 16))  # more than one read
        os.write(stderr, b"Fatal Python error: Aborted")  # no newline: it died within the line
        for fd in (ready, records, stdout, stderr):
            os.close(fd)
        pipes.drain("somebody else")
        assert not changes
        pipes.drain("c-0")
        assert changes == [1] and not selector.get_map()
    roster.ended("c-0", -6)
    assert "c-0 was killed by SIGABRT before it was ready: Fatal Python error: Aborted" in str(roster.why_dead("logs"))


def test_no_place_for_a_control_socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where every base is too long or read-only, the error says what to set."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / ("x" * 120)))
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/proc/none")
    monkeypatch.setattr(Path, "mkdir", lambda *_a, **_k: (_ for _ in ()).throw(PermissionError()))
    with pytest.raises(TierfedError) as caught:
        control.make_folder("aa000001")
    assert "cannot be written, or gives a path over 107 bytes\n  to mend: set XDG_RUNTIME_DIR to" in str(caught.value)


@pytest.mark.parametrize("path", [None, "", "/etc/passwd", "{base}/other/control", "{base}/tierfed-x/manifest.json"])
def test_remove_folder_takes_its_own_only(tmp_path: Path, path: str | None) -> None:
    """A path from a manifest that is no control socket of ours removes nothing."""
    for name in ("other", "tierfed-x"):
        (tmp_path / name).mkdir()
        for file in ("control", "manifest.json"):
            (tmp_path / name / file).write_text("kept")
    control.remove_folder(path and path.format(base=tmp_path))
    control.remove_folder(str(tmp_path / "tierfed-x" / "control"))  # a file, not a socket
    assert len(list(tmp_path.rglob("*.json"))) == len(list(tmp_path.rglob("control"))) == 2


def test_another_user_is_turned_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A peer whose uid, as the kernel tells it, is not ours gets end of file, and nothing it says is read."""
    asked: list[object] = []
    with selectors.DefaultSelector() as selector:
        server = control_server.ControlServer(selector, tmp_path, lambda request, _peer: asked.append(request))
        mine = os.getuid()
        for uid, served in ((mine, True), (mine + 1, False)):
            monkeypatch.setattr(os, "getuid", lambda uid=uid: uid)
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(server.path)
                peer.sendall(b'{"do": "status"}\n')
                for _ in range(2):
                    for key, mask in selector.select(0):
                        key.data(mask)
                assert bool(server.peers) is served
                assert asked == ([{"do": "status"}] if served else [])
                for one in list(server.peers):
                    one.close()
                asked.clear()
        server.close()


def test_a_peer_that_does_not_read_stops_nobody(tmp_path: Path) -> None:
    """Answers larger than the socket's buffer wait in the server, and arrive whole."""
    with selectors.DefaultSelector() as selector:

        def answer(_request: dict[str, object], peer: control_server.Peer) -> None:
            peer.send({"ok": "x" * (4 << 20)})
            peer.finish()

        server = control_server.ControlServer(selector, tmp_path, answer)
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(server.path)
            peer.sendall(b"{}\n")
            peer.setblocking(False)
            got = bytearray()
            while not got.endswith(b"\n"):
                for key, mask in selector.select(0):
                    key.data(mask)
                try:
                    got += peer.recv(1 << 20)
                except BlockingIOError:
                    pass
        assert len(got) == (4 << 20) + len(b'{"ok": ""}\n')
        server.close()


def test_the_calling_script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A script by its path, `-m` by its module, a notebook and our own command by nothing."""
    main = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert user_code.calling_script() is None  # a prompt
    main.__file__ = str(tmp_path / "experiment.py")
    assert user_code.calling_script() == str(tmp_path / "experiment.py")
    main.__file__ = "/usr/bin/tierfed"
    assert user_code.calling_script() is None
    for name, found in (("study.train", "study.train"), ("tierfed.cli", None), ("pytest.__main__", None)):
        main.__spec__ = types.SimpleNamespace(name=name)  # type: ignore[assignment]
        assert user_code.calling_script() == found


def test_a_script_of_python_m_may_have_dataclasses(tmp_path: Path) -> None:
    """A dataclass whose annotations are text looks for the module that it is being made in."""
    (tmp_path / "points.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass Point:\n    x: int\n\ndef twice(): return Point(2)\n"
    )
    node = (
        f"import sys\nfrom tierfed.launch import user_code\nuser_code.prepare([{str(tmp_path)!r}], 'points')\n"
        "print(sys.modules['__mp_main__'].twice(), sys.modules['__main__'].__name__)\n"
    )
    ran = subprocess.run([sys.executable, "-c", node], capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("Point(x=2) __mp_main__\n", "")


@pytest.mark.parametrize("name", ["json", "json:nothing", "json:__name__"])
def test_what_is_no_function(name: str) -> None:
    """An entry point must name a function in a module."""
    with pytest.raises(TierfedError) as caught:
        user_code.resolve(name)
    assert str(caught.value) == f"launch: {name!r} names no function\n  to mend: write module:function"
