"""Namespaces: separate networks on one machine, that vanish with the process that made them.

    with Namespace() as here, Namespace() as there:
        there.run("ip", "-batch", "-", text="addr add 127.1.0.2/32 dev lo\n")
        with there.entered():
            listener = socket.create_server(("127.1.0.2", 4000))

A namespace has no name: it lives as long as a descriptor, a process or a socket is in it.  So a crash, Ctrl-C or a kill
leaves none behind.  Every process started here dies with its parent.

Daemons neither serve nor dial off loopback, so the nodes' addresses are of 127.0.0.0/8: each namespace gives up the /8
on its `lo`, has one address of it, and routes those of its neighbours over its links (`route_localnet`).  A TCP
connection goes from node to node, without NAT or proxy.

Source: network_namespaces(7), setns(2); Documentation/networking/ip-sysctl.rst on route_localnet.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from tierfed.errors import TierfedError
from tierfed.launch.lifeline import die_with_parent, show_as

_NEWNET = 0x40000000  # CLONE_NEWNET
_SYSCTL = Path("/proc/sys/net")
_SETTINGS = {
    "ipv4/ip_forward": "1",  # a gateway before a parent passes on what its children send
    "ipv4/conf/all/route_localnet": "1",
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    "ipv4/tcp_no_metrics_save": "1",  # a connection learns nothing from one before
    "ipv6/conf/all/disable_ipv6": "1",  # its solicitations would be counted
    "ipv6/conf/default/disable_ipv6": "1",
}

_libc = ctypes.CDLL(None, use_errno=True)


class NotPermitted(TierfedError):
    """This machine, or this user, cannot have the network that was asked for."""


def check_permitted(*tools: str) -> None:
    """Raise NotPermitted unless namespaces can be made here and `tools` are there."""
    if not sys.platform.startswith("linux"):
        raise NotPermitted("network namespaces are Linux's", where="network")
    if os.geteuid() != 0:
        raise NotPermitted("making network namespaces takes root", where="network", mend="run it as root")
    packages = {"nft": "nftables"}
    for tool in ("ip", "tc", *tools):
        if shutil.which(tool) is None:
            package = packages.get(tool, "iproute2")
            raise NotPermitted(f"there is no {tool}", where="network", mend=f"install {package}")
    if not os.path.exists("/dev/net/tun"):
        raise NotPermitted("there is no /dev/net/tun", where="network", mend="modprobe tun")
    try:
        Namespace().close()
    except OSError as error:
        raise NotPermitted(f"no network namespace can be made: {error}", where="network") from None


class Namespace:
    """A network namespace, ready for addresses of loopback on links; closed, it lives on in its processes."""

    def __init__(self) -> None:
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _call(_libc.unshare, _NEWNET)
            try:
                self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
                for name, value in _SETTINGS.items():
                    if (_SYSCTL / name).exists():  # a kernel without IPv6 has none of its settings
                        (_SYSCTL / name).write_text(value)
            finally:
                _call(_libc.setns, home, _NEWNET)
        finally:
            os.close(home)
        self.run("ip", "-batch", "-", text="link set lo up\naddr del 127.0.0.1/8 dev lo\n")

    def __enter__(self) -> Namespace:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it."""
        os.close(self.fd)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Have this thread, and what it opens and starts, be in the namespace."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _call(_libc.setns, self.fd, _NEWNET)
            try:
                yield
            finally:
                _call(_libc.setns, home, _NEWNET)
        finally:
            os.close(home)

    def run(self, *command: str, text: str = "") -> str:
        """Run a command in it with `text` for input; return what it prints.  Raises NotPermitted if it fails."""
        with self.entered():
            done = subprocess.run(command, input=text, text=True, capture_output=True)
        if done.returncode:
            raise NotPermitted(f"`{' '.join(command)}` failed: {done.stderr.strip()}\n{text}", where="network")
        return done.stdout

    def counters(self, device: str) -> tuple[int, int]:
        """Return the bytes of IP packets that `device` has received and sent."""
        with self.entered():
            lines = Path("/proc/thread-self/net/dev").read_text().splitlines()
        fields = next(line.split(":", 1)[1].split() for line in lines if line.strip().startswith(f"{device}:"))
        return int(fields[0]), int(fields[8])


def started(name: str, work: Callable[[], object], within: Namespace | None = None, *, urgent: bool = False) -> int:
    """Run `work` in a process of its own, shown as `name`, in a namespace; return its pid.

    It dies with this process.  It is scheduled before whatever else the machine does, since what is measured is a
    network; an `urgent` one also before the others started here.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, and it ends us
        die_with_parent(parent)
        show_as(name)
        _hasten(urgent)
        with within.entered() if within is not None else contextlib.nullcontext():
            work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _hasten(urgent: bool) -> None:
    with contextlib.suppress(OSError):  # not everywhere is root allowed to
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(2 if urgent else 1))


def ended(*pids: int) -> None:
    """Kill processes that `started` gave, and reap them."""
    left = [pid for pid in pids if not _reaped(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    for pid in left:
        os.waitpid(pid, 0)


def _reaped(pid: int) -> bool:
    """Return whether a child is there no more: its number may be another's by now."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True


def _call(function: Callable[..., int], *arguments: int) -> None:
    if function(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
