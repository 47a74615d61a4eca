"""Shaped links between namespaces: one that is what it claims, and a machine that cannot have any."""

from __future__ import annotations

import functools
import socket
import time

import pytest

from benchmarks.network import __main__ as bench
from benchmarks.network import namespaces
from benchmarks.network.delay import carry, ways_of
from benchmarks.network.namespaces import Namespace, NotPermitted, check_permitted, ended, started
from benchmarks.network.shaping import CARRIED, ETHERNET, MTU, Link
from tierfed.topology.links.profile import LinkProfile

UPPER, LOWER = "127.1.0.1", "127.1.0.2"
SENT = 250_000


@pytest.fixture
def permitted():
    """Skip where no network can be made."""
    try:
        check_permitted()
    except NotPermitted as error:
        pytest.skip(error.what)


def _send(count):
    with socket.create_connection((UPPER, 4000)) as stream:
        stream.sendall(bytes(count))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_stream_over_a_link_takes_what_its_rate_and_delay_say(permitted):
    """A quarter of a megabyte over 4 mbit takes its packets' time, and not many times that on a busy machine."""
    with Namespace() as parent, Namespace() as child:
        profile = LinkProfile(rate_up=4e6 / 8, rate_down=40e6 / 8, delay=0.020)
        with Link(parent, child, "d1", (UPPER, LOWER), profile) as link:
            pids = [started("carry", functools.partial(carry, ways_of(link)), urgent=True)]
            try:
                with parent.entered(), socket.create_server((UPPER, 4000)) as listener:
                    listener.settimeout(20)
                    pids.append(started("send", functools.partial(_send, SENT), child))
                    stream, whom = listener.accept()
                    begun, got = time.monotonic(), 0
                    with stream:
                        stream.settimeout(20)
                        while piece := stream.recv(1 << 16):
                            got += len(piece)
                    took = time.monotonic() - begun
            finally:
                ended(*pids)
            up, down = link.counted()
    least = SENT / CARRIED * (MTU + ETHERNET) / profile.rate_up
    assert (got, whom[0]) == (SENT, LOWER)
    assert least < took < 8 * least
    assert SENT * MTU / CARRIED <= up < 1.05 * SENT * MTU / CARRIED and 0 < down < up / 10


def test_nothing_is_left_of_a_namespace_that_is_let_go(permitted):
    """A namespace has its own network, and this process is in the one that it was in before."""
    before = socket.if_nameindex()
    with Namespace() as one:
        with one.entered():
            assert [name for _, name in socket.if_nameindex()] == ["lo"]
        with pytest.raises(NotPermitted, match="`ip link set nothing up` failed: Cannot find device"):
            one.run("ip", "link", "set", "nothing", "up")
        assert socket.if_nameindex() == before


def test_without_root_the_bench_says_so_and_succeeds(monkeypatch, capsys, tmp_path):
    """Who is not root reads why nothing was measured, and that is no failure."""
    monkeypatch.setattr(namespaces.os, "geteuid", lambda: 1000)
    assert bench.main(["--settings", "1", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "skipped: making network namespaces takes root (run it as root)\n"
    assert list(tmp_path.iterdir()) == []


def test_without_a_tool_the_bench_says_which(monkeypatch):
    """A tool that is not there is named, with the package that has it."""
    monkeypatch.setattr(namespaces.os, "geteuid", lambda: 0)
    monkeypatch.setattr(namespaces.shutil, "which", lambda tool: None if tool == "nft" else tool)
    with pytest.raises(NotPermitted, match="there is no nft") as error:
        check_permitted("nft")
    assert error.value.mend == "install nftables"
