"""Off this machine nothing is served, dialled or configured; and what a machine without free ports says."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from fault_gate import PATIENCE
from fault_served import RUN

from tierfed.backends.native.driver import Driver
from tierfed.errors import NotReady, UnsupportedError
from tierfed.node import transport
from tierfed.node.node import Node
from tierfed.topology import assignments, load_topology
from tierfed.topology import tree as fan_out

TREE = fan_out({"CLIENTS": 1})
ROOT, CLIENT = assignments(TREE)
HERE = Path(__file__).parent


def node(one: object) -> Node:
    """A node of that assignment, over real sockets."""
    return Node(one, RUN, transport, None)  # type: ignore[arg-type]


def first(errors: BaseException) -> BaseException:
    """The error in a group of groups."""
    while isinstance(errors, BaseExceptionGroup):
        (errors,) = errors.exceptions
    return errors


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_a_node_does_not_serve_off_loopback(host: str) -> None:
    """A listener on every interface is refused before anybody is let in, by name, with the mend."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener, pytest.raises(BaseExceptionGroup) as caught:
        await asyncio.wait_for(node(ROOT).run(listener), PATIENCE)
    error = first(caught.value)
    assert isinstance(error, UnsupportedError) and error.exit_code == 2
    assert str(error) == (
        f"serve: {host}:{listener.getsockname()[1] if listener.fileno() >= 0 else _port(error)} is not on loopback\n"
        "  to mend: use 127.0.0.1: links off this machine need mutual TLS, which is not supported by this version"
    )


def _port(error: BaseException) -> str:
    return str(error).split(" is not")[0].rpartition(":")[2]


@pytest.mark.parametrize("host", ["192.0.2.1", "example.org", "::ffff:192.0.2.1"])
async def test_a_node_does_not_dial_off_loopback(host: str) -> None:
    """A child whose parent is elsewhere ends at once, without a look-up and without a packet."""
    with pytest.raises(BaseExceptionGroup) as caught:
        await asyncio.wait_for(node(CLIENT.at((host, 4711))).run(None), PATIENCE)
    error = first(caught.value)
    assert isinstance(error, UnsupportedError)
    assert error.where == "dial" and error.what == f"{host}:4711 is not on loopback"


async def test_a_driver_does_not_dial_off_loopback() -> None:
    """Neither does the driver, to whatever address."""
    with pytest.raises(UnsupportedError, match=r"10\.0\.0\.1:80 is not on loopback"):
        await Driver().connect(("10.0.0.1", 80), RUN)


def test_a_topology_does_not_bind_off_loopback(tmp_path: Path) -> None:
    """The file is refused, at the line and column, as something that this version does not do."""
    file = tmp_path / "open.yaml"
    file.write_text(
        "apiVersion: tierfed/v1\nkind: Topology\nhosts:\n  local: {driver: process, bind: 0.0.0.0}\n"
        "placements: {SERVER: {}, CLIENTS: {parent: SERVER, count: 2}}\n"
    )
    with pytest.raises(UnsupportedError) as refusal:
        load_topology(file)
    assert [str(problem) for problem in refusal.value.problems] == [
        f"{file}:4:34: error: hosts.local.bind: listening off loopback (0.0.0.0) is not supported by this version; "
        "write 127.0.0.1"
    ]


async def test_a_parent_that_is_not_there_is_named_in_time() -> None:
    """Nobody listens at the root's address: the driver says where it looked, and does not wait."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(NotReady) as error:
        await asyncio.wait_for(Driver().connect(("127.0.0.1", port), RUN), PATIENCE)
    assert error.value.what.startswith(f"no parent at 127.0.0.1:{port}: ")


NO_PORTS = """
import sys, tierfed
from tierfed.topology import tree
try:
    tierfed.up(tree({"EDGE_AGGREGATORS": 2, "CLIENTS": 1}))
except tierfed.TierfedError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def test_no_free_port_is_said_by_the_supervisor(tmp_path: Path) -> None:
    """In a network where two ports are left, three listeners do not fit: an error, at once, and nothing left behind."""
    if os.geteuid() or not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("a network of its own needs root, unshare and ip")
    ports = "/proc/sys/net/ipv4/ip_local_port_range"
    prepare = f'ip link set lo up && echo \'50000 50001\' > {ports} && exec "$0" -c "$1"'
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", prepare, sys.executable, NO_PORTS],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, "TIERFED_HOME": str(tmp_path), "PYTHONPATH": str(HERE.parents[1])},
        check=False,
    )
    if "Operation not permitted" in done.stderr:
        pytest.skip("no network of its own here")
    assert done.returncode == 1, done.stderr
    assert done.stdout == (
        "node edge-aggregators-1: cannot listen on 127.0.0.1: Address already in use\n"
        "  to mend: free some ports (net.ipv4.ip_local_port_range), or raise the limit of open files (ulimit -n)\n"
    )
    from launch_trees import left_over

    (run,) = (tmp_path / "runs").iterdir()
    assert left_over(run.name) == {}
