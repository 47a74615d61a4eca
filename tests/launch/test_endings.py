"""However a run ends, no process of it stays."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from launch_trees import HERE, PATIENCE, SMALL, eventually, left_over, marked, node, wait_gone

from tierfed.errors import TierfedError
from tierfed.launch import manifest, runs
from tierfed.launch.processes import Deployment

Start = Callable[..., Deployment]


class Command:
    """A command in a process of its own."""

    def __init__(self, entry: str, *rest: str) -> None:
        self.run_dir = runs.create()
        self.run_id = self.run_dir.name
        root = str(HERE.parents[1])
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "launch_command.py"), str(self.run_dir), entry, *rest],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{root}"},
        )

    def line(self) -> list[str]:
        """Return the words of its next line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()

    def ready(self) -> int:
        """Wait until the tree is up; return the root's port."""
        assert self.line() == ["bound"]
        word, port = self.line()
        assert word == "ready"
        return int(port)

    def close(self) -> None:
        """End the command and whatever it has started."""
        self.process.kill()
        self.process.communicate(timeout=PATIENCE)
        read = manifest.read(self.run_dir)
        if read is not None:
            runs.end(runs.Run(self.run_id, self.run_dir, read), grace=0.1)


@pytest.fixture
def command(home: Path) -> Iterator[Callable[..., Command]]:
    """Start commands with `command(entry, …)`."""
    started: list[Command] = []

    def begin(entry: str = "run", *rest: str) -> Command:
        started.append(Command(entry, *rest))
        return started[-1]

    yield begin
    for one in started:
        one.close()
        assert left_over(one.run_id) == {}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_command_that_is_killed_takes_its_tree_along(command: Callable[..., Command], number: int) -> None:
    """Supervisor, zygote and nodes are gone after any signal to the command, and the manifest says down."""
    one = command()
    one.ready()
    assert len(marked(one.run_id)) == len(SMALL) + 2
    one.process.send_signal(number)
    code = one.process.wait(PATIENCE)
    assert code == (130 if number == signal.SIGINT else -number)
    assert left_over(one.run_id) == {}
    assert manifest.read(one.run_dir)["state"] == "down"  # type: ignore[index]


def test_a_command_killed_during_start_up_takes_its_tree_along(command: Callable[..., Command]) -> None:
    """A kill between the first address and readiness leaves nothing, even of a tree meant to be detached."""
    one = command("run", "detached")
    assert one.line() == ["bound"]
    one.process.kill()
    assert left_over(one.run_id) == {}


def test_a_fork_of_the_command_does_not_keep_the_tree(command: Callable[..., Command]) -> None:
    """A forked child that outlives the killed command has not inherited the end of the line."""
    one = command("run", "forks")
    assert one.line() == ["bound"]
    child = int(one.line()[1])
    one.line()
    one.process.kill()
    try:
        supervisor = manifest.read(one.run_dir)["supervisor"]["pid"]  # type: ignore[index]
        assert wait_gone(supervisor)
        assert left_over(one.run_id) == {}
        os.kill(child, 0)  # it is still there
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_detached_tree_outlives_its_command_and_is_ended_by_id(command: Callable[..., Command]) -> None:
    """After `-d` the tree stays; another process finds it, attaches to it and ends it."""
    one = command("run", "detached")
    port = one.ready()
    assert one.process.wait(PATIENCE) == 0
    run = runs.find(running=True)
    assert run.id == one.run_id and run.state == "ready"
    assert runs.attach(run) == ("server", ("127.0.0.1", port), "t")
    assert set(runs.end(run)) == {"server", "c-0", "c-1", "zygote"}
    assert left_over(one.run_id) == {}
    assert run.fresh().state == "down"
    assert not Path(str(run.manifest["control"])).parent.exists()
    assert runs.end(run) == []  # a second time


def test_a_killed_supervisor_takes_all_along(start: Start) -> None:
    """After SIGKILL of the supervisor the kernel ends zygote and nodes, and `down` tidies up."""
    one = start()
    one.wait_ready()
    one.supervisor.signal(signal.SIGKILL)
    assert left_over(one.run_id) == {}
    run = runs.find(one.run_id)
    assert run.state == "lost"
    folder = Path(str(run.manifest["control"])).parent
    assert folder.exists()
    one.down()
    assert run.fresh().state == "down" and not folder.exists()


def test_a_supervisor_killed_while_the_zygote_imports(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A zygote that is deep in an import, and reads nothing, ends all the same."""
    fifo = tmp_path / "importing"
    os.mkfifo(fifo)
    monkeypatch.setenv("DUMMY_FIFO", str(fifo))
    one = start(preload=["launch_dummies:endless_preload"])
    fifo.read_text()  # returns when the zygote has opened and closed it
    one.supervisor.signal(signal.SIGKILL)
    assert left_over(one.run_id) == {}


def test_a_killed_zygote_ends_the_run_with_a_reason(start: Start) -> None:
    """After SIGKILL of the zygote no node stays, and the manifest says why."""
    one = start()
    one.wait_ready()
    os.kill(one.status()["zygote"]["pid"], signal.SIGKILL)
    assert left_over(one.run_id) == {}
    after = manifest.read(one.run_dir)
    assert after is not None and after["state"] == "failed"
    assert after["failure"]["what"] == "the zygote was killed by SIGKILL, and all nodes with it"
    assert {row["ending"] for row in after["processes"].values()} == {"was killed by SIGKILL"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_supervisor_that_is_told_to_end_drains(start: Start, number: int) -> None:
    """SIGTERM and SIGINT of the supervisor give the nodes their SIGTERM, and they end with code 0."""
    one = start()
    one.wait_ready()
    one.supervisor.signal(number)
    assert left_over(one.run_id) == {}
    after = manifest.read(one.run_dir)
    assert after is not None and after["state"] == "down"
    assert {row["ending"] for row in after["processes"].values()} == {"ended with exit code 0"}


def test_nodes_that_ignore_sigterm_are_killed_after_the_grace(start: Start) -> None:
    """The grace bounds `down`, and the log says who had to be killed."""
    one = start("stubborn", grace=0.2)
    one.wait_ready()
    one.down()
    assert left_over(one.run_id) == {}
    assert "c-1 is killed: it has not ended within the grace" in (one.run_dir / "supervisor.jsonl").read_text()


def test_a_subprocess_of_a_leaf_does_not_stay(start: Start) -> None:
    """What a node has left behind in a session of its own is ended with the run."""
    one = start("parents")
    one.wait_ready()
    assert sum("sleep 600" in command for command in marked(one.run_id).values()) == len(SMALL)
    one.supervisor.signal(signal.SIGTERM)  # not `down`, which would look for what is left by itself
    assert wait_gone(one.supervisor.pid)
    assert marked(one.run_id) == {}


def test_down_twice_and_from_two_threads(start: Start) -> None:
    """`down` returns when nothing is left, however often and from wherever it is called."""
    one = start()
    one.wait_ready()
    threads = [threading.Thread(target=one.down) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert marked(one.run_id) == {}
    one.down()
    assert one.status()["state"] == "down"


def test_a_tree_outlives_the_thread_that_launched_it(start: Start) -> None:
    """A notebook's cell may run in a thread that ends; the tree does not end with it."""
    launched: list[Deployment] = []

    def cell() -> None:
        launched.append(start())
        launched[0].wait_ready()

    thread = threading.Thread(target=cell)
    thread.start()
    thread.join(PATIENCE)
    assert launched[0].status()["state"] == "ready"
    assert len(marked(launched[0].run_id)) == len(SMALL) + 2


def test_a_node_that_dies_later_is_noted_and_refuses(start: Start) -> None:
    """After start-up a death ends nothing else: the process is shown as ended, and its port refuses."""
    tree = [
        node("server", "SERVER", listens=True),
        node("e", "EDGE", "server", listens=True),
        node("c", "CLIENTS", "e"),
    ]
    one = start(tree=tree)
    one.wait_ready()
    edge = one.nodes["e"]
    assert edge.pid is not None and edge.address is not None
    os.kill(edge.pid, signal.SIGKILL)
    row = eventually(lambda: one.status()["processes"]["e"]["ending"])
    assert row == "was killed by SIGKILL"
    assert one.nodes["e"].state == "ended" and one.nodes["c"].state == "ready"
    assert one.status()["state"] == "ready"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(edge.address)


def test_a_run_without_processes_fails_by_itself(start: Start) -> None:
    """When the last process is gone the supervisor goes too, and says why."""
    one = start(foreground=False)
    one.wait_ready()
    for name in ("server", "c-0", "c-1"):
        pid = one.nodes[name].pid
        assert pid
        os.kill(pid, signal.SIGKILL)
    assert wait_gone(one.supervisor.pid)
    failure = one.status()["failure"]["what"]
    assert failure.startswith("no process is left; ") and failure.endswith(" was killed by SIGKILL")


def test_a_recycled_pid_is_never_ended(home: Path) -> None:
    """A manifest whose pid now belongs to somebody else ends nobody."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as stranger:
        run = _written(stranger.pid, _start_of(stranger.pid) - 1)
        assert run.state == "lost" and not run.running
        assert runs.end(run, grace=0.1) == []
        assert stranger.poll() is None
        assert run.fresh().state == "down"
        assert stranger.stdin is not None
        stranger.stdin.close()


def test_a_manifest_of_another_boot_ends_nobody(home: Path) -> None:
    """Pid and start time of another boot mean nothing here."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as stranger:
        run = _written(stranger.pid, _start_of(stranger.pid), machine="another boot")
        assert runs.end(run, grace=0.1) == []
        assert stranger.poll() is None
        assert stranger.stdin is not None
        stranger.stdin.close()


def test_nodes_that_outlived_their_supervisor_are_ended(home: Path) -> None:
    """Recorded processes, and those that carry the run's mark, are ended without a supervisor."""
    run_dir = runs.create()
    tagged = {**os.environ, "TIERFED_RUN": run_dir.name}
    with (
        subprocess.Popen(["cat"], stdin=subprocess.PIPE) as recorded,
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, env=tagged) as marked_one,
    ):
        run = _written(recorded.pid, _start_of(recorded.pid), run_dir=run_dir)
        assert runs.end(run) == ["c-0"]
        assert recorded.wait(PATIENCE) == marked_one.wait(PATIENCE) == -signal.SIGTERM


def test_a_run_that_is_up_is_not_removed(start: Start) -> None:
    """`remove` refuses a run that is up, and takes the folder of one that is down."""
    one = start()
    with pytest.raises(TierfedError) as caught:
        runs.remove(runs.find(one.run_id))
    assert str(caught.value) == (f"{one.run_dir}: run {one.run_id} is up\n  to mend: first: tierfed down {one.run_id}")
    one.down()
    runs.remove(runs.find(one.run_id))
    assert not one.run_dir.exists()


def _start_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def _written(pid: int, start: int, *, machine: str | None = None, run_dir: Path | None = None) -> runs.Run:
    """Return a run whose manifest claims that `pid` is its node and its supervisor is gone."""
    from tierfed.launch.pids import machine as here

    run_dir = run_dir or runs.create()
    claim = {
        "schema_version": manifest.SCHEMA_VERSION,
        "id": run_dir.name,
        "state": "ready",
        "created": "2025-01-31T12:00:00.000000Z",
        "machine": machine or here(),
        "supervisor": {"pid": pid, "start": start - 1},
        "zygote": None,
        "control": None,
        "processes": {"c-0": {"pid": pid, "start": start, "state": "ready", "nodes": ["c-0"]}},
        "nodes": {"c-0": {"placement": "CLIENTS"}},
    }
    manifest.write(run_dir, claim)
    return runs.find(run_dir.name)
