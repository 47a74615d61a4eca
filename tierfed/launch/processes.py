"""Bring up a tree of node processes on this machine, and take it down again.

    with launch(assignments, run_dir=run_dir, run_id=run_dir.name, token=token, foreground=True,
                wait_timeout=30.0, sys_path=sys.path) as deployment:
        deployment.wait_ready(on_progress=print)
        drive(deployment.root_address)

The caller starts one supervisor and keeps a socket to it; everything else is the
supervisor's.  When the caller ends, in whatever way, the kernel closes the
socket and the supervisor takes the tree down.  A fork of the caller (of
multiprocessing, say) would keep the socket open: its copy is closed in the child.

No signal, no event loop and no thread is used, so this works from any thread of
a notebook.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tierfed.errors import NotReady, SettingError, TierfedError
from tierfed.launch import control, interpreter, manifest, runs, user_code
from tierfed.launch.logs import LEVELS
from tierfed.launch.pids import ProcessId
from tierfed.node import event_loop

if TYPE_CHECKING:
    from tierfed.topology.assignment import NodeAssignment

ENTRY = "tierfed.node.daemon:run_process"
_IMPORTS = ("numpy", "numpy.random", "aiohttp", "tierfed.topology.assignment")
_THREADS = (
    *(f"{name}_NUM" for name in ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR", "VECLIB_MAXIMUM")),
    *(f"TF_NUM_{kind}OP" for kind in ("INTRA", "INTER")),
)
_NODE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+=:,-]{0,199}")
_START = 30.0  # seconds for a supervisor to bind its listeners
_SLACK = 10.0  # seconds for it to end, on top of the grace

Progress = Mapping[str, tuple[int, int]]  # placement -> nodes ready, nodes


@dataclass(frozen=True, slots=True)
class Node:
    """One node as last heard of; `address` is None if it does not listen, `pid` before its process is forked."""

    name: str
    placement: str
    process: str
    pid: int | None
    start: int | None
    address: tuple[str, int] | None
    state: str


def launch(
    assignments: Sequence[NodeAssignment],
    *,
    run_dir: Path,
    run_id: str,
    token: str,
    foreground: bool = True,
    wait_timeout: float = 60.0,
    sys_path: Sequence[str] = (),
    main_script: str | None = None,
    preload: Sequence[str] = (),
    info: Mapping[str, object] | None = None,
    grace: float = runs.GRACE,
    entry: str = ENTRY,
    trace: bool = False,
    resumed: Path | None = None,
) -> Deployment:
    """Start the processes of `assignments` and return as soon as every address is known; none may be ready yet.

    `foreground` binds the tree's life to this process; without it, that ends
    when the tree is ready.  `wait_timeout` and `grace` are seconds.  `sys_path`
    and `main_script` (see `user_code.calling_script`) are for user code, which
    nodes import after the fork; `preload` names what the zygote imports before
    it: modules, or "module:function word …" to call.  `info` is kept in the manifest.
    With `trace`, nodes write what they spend their time on to the run's folder.  `resumed` is where nodes
    of another run have saved what they go on with (node/saving.py).

    Raises TierfedError if this process is a node itself, or if the supervisor
    could not begin.
    """
    user_code.forbid_inside_a_run()
    event_loop.factory()  # what the nodes could not have is told before there are any
    _check(assignments)
    context = {
        "run": run_id,
        "token": token,
        "run_dir": str(run_dir.absolute()),
        "sys_path": list(sys_path),
        "main_script": main_script,
        "log_level": _log_level(),
        "trace": trace,
        "resumed": None if resumed is None else str(resumed.absolute()),
    }
    config = {
        "run": run_id,
        "run_dir": str(run_dir.absolute()),
        "assignments": [one.to_dict() for one in assignments],
        "entry": entry,
        "import": [*_IMPORTS, entry.partition(":")[0], *preload],
        "context": context,
        "environment": dict.fromkeys((f"{name}_THREADS" for name in _THREADS), _leaf_threads()),
        "foreground": foreground,
        "wait_timeout": wait_timeout,
        "grace": grace,
        "info": dict(info or {}),
    }
    (run_dir / "logs").mkdir(parents=True, exist_ok=True)
    return Deployment(config)


class Deployment:
    """A tree of node processes that this process has started.  Usable from any thread; leaving its `with` ends it."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.run_id: str = config["run"]
        self.run_dir = Path(config["run_dir"])
        self.token: str = config["context"]["token"]
        self._grace: float = config["grace"]
        self._wait_timeout: float = config["wait_timeout"]
        self._foreground: bool = config["foreground"]
        self._owner = os.getpid()
        self._begun = time.monotonic()
        self._ended = False
        self._ending = threading.Lock()
        self._line, theirs = socket.socketpair()
        _open.add(self)
        self._supervisor = ProcessId(0, 0)
        try:
            with theirs:
                self._supervisor = self._start_supervisor(theirs.fileno())
            self._status = self._first_report(config)
        except BaseException:
            self._line.close()  # at which the supervisor ends everything
            self._reap(self._grace + _SLACK)
            raise
        self._control = str(self._status["control"])

    def _start_supervisor(self, descriptor: int) -> ProcessId:
        """Start it with nothing of ours but `descriptor`: it must not hold our terminal, or a pipe, open."""
        with open(self.run_dir / "supervisor.jsonl", "ab") as errors, open(os.devnull, "wb") as nothing:
            pid = interpreter.start(
                "tierfed.launch.supervisor",
                descriptor,
                output=nothing.fileno(),
                errors=errors.fileno(),
                environment={**os.environ, interpreter.RUN_VARIABLE: self.run_id},
                own_session=True,
            )
        return ProcessId.of(pid) or ProcessId(pid, 0)

    def _first_report(self, config: dict[str, Any]) -> dict[str, Any]:
        data = bytearray()
        self._line.settimeout(_START)
        try:
            self._line.sendall(json.dumps(config).encode() + b"\n")
            while not data.endswith(b"\n"):
                part = self._line.recv(1 << 20)
                if not part:
                    break
                data += part
            why = "it ended"
        except TimeoutError:
            why = f"it did not answer within {_START:g} s"
        except OSError:
            why = "it ended"
        if not data.endswith(b"\n"):
            log = self.run_dir / "supervisor.jsonl"
            last = log.read_text("utf-8", "replace").strip().rpartition("\n")[2]
            raise TierfedError(
                f"the supervisor could not begin: {why}" + (f"; its last words: {last}" if last else ""),
                where="launch",
                mend=f"read {log}",
            )
        report: dict[str, Any] = json.loads(data)
        if "error" in report:
            raise TierfedError.from_dict(report["error"])
        found: dict[str, Any] = report["bound"]
        return found

    # -- what it is ------------------------------------------------------------

    @property
    def root_address(self) -> tuple[str, int]:
        """Where a driver dials."""
        address = self.nodes[self._status["root"]].address
        if address is None:
            raise TierfedError("the root does not listen", where=f"run {self.run_id}", mend="give it listens=True")
        return address

    @property
    def nodes(self) -> dict[str, Node]:
        """The nodes as last heard of; `status` asks again."""
        return {
            name: Node(
                name,
                row["placement"],
                row["process"],
                row["pid"],
                row["start"],
                (row["address"][0], row["address"][1]) if row["address"] else None,
                row["state"],
            )
            for name, row in self._status["nodes"].items()
        }

    @property
    def supervisor(self) -> ProcessId:
        """The supervisor's process."""
        return self._supervisor

    def status(self) -> dict[str, Any]:
        """Return the manifest as it is now (see `launch.manifest`)."""
        try:
            for answer in control.ask(self._control, {"do": "status"}, timeout=5.0):
                self._status = answer["ok"]
        except (OSError, ValueError, KeyError):
            self._status = manifest.read(self.run_dir) or self._status
        return self._status

    # -- its life --------------------------------------------------------------

    def wait_ready(self, on_progress: Callable[[Progress], object] | None = None) -> None:
        """Return when every node is up and connected to its parent.

        `on_progress` gets the number of ready nodes and of all nodes for each
        placement, whenever it has changed.  Raises NotReady, and takes the tree
        down, when a process ends before that or when it takes longer than the
        `wait_timeout` of `launch`.
        """
        left = self._begun + self._wait_timeout + 5.0 - time.monotonic()
        why = f"the supervisor did not answer within {self._wait_timeout:g} s"
        try:
            for answer in control.ask(self._control, {"do": "wait"}, timeout=max(left, 0.1)):
                if "progress" in answer and on_progress is not None:
                    on_progress({name: (ready, total) for name, (ready, total) in answer["progress"].items()})
                elif "ok" in answer:
                    self._status = answer["ok"]
                    return
                elif "error" in answer:
                    error = TierfedError.from_dict(answer["error"])
                    break
            else:
                error = self._left_word("the supervisor ended before the tree was ready")
        except TimeoutError:
            error = NotReady(why, where="up", mend=f"read {self.run_dir / 'supervisor.jsonl'}")
        except OSError:
            error = self._left_word("the supervisor ended before the tree was ready")
        self.down()
        raise error

    def _left_word(self, otherwise: str) -> TierfedError:
        """Return the failure that a supervisor, now gone, has left in the manifest."""
        self._reap(self._grace + _SLACK)
        failure = (manifest.read(self.run_dir) or {}).get("failure")
        if isinstance(failure, dict):
            return TierfedError.from_dict(failure)
        return NotReady(otherwise, where="up", mend=f"read {self.run_dir / 'supervisor.jsonl'}")

    def detach(self) -> None:
        """Let the tree live on when this process ends; `down`, here or elsewhere, still ends it."""
        for _ in control.ask(self._control, {"do": "detach"}, timeout=5.0):
            pass
        self._foreground = False

    def down(self) -> None:
        """End every process of the tree and wait until none is left; a second time does nothing.

        Raises TierfedError if a process will not go.
        """
        if os.getpid() != self._owner:
            return
        with self._ending:
            if not self._ended:
                self._end()
                self._ended = True

    def _end(self) -> None:
        run = runs.Run(self.run_id, self.run_dir, manifest.read(self.run_dir) or self._status)
        if self._supervisor.alive:
            with contextlib.suppress(OSError, ValueError):
                for _ in control.ask(self._control, {"do": "down"}, timeout=self._grace + _SLACK):
                    pass
        self._line.close()
        self._reap(self._grace + _SLACK)
        runs.end(run.fresh(), grace=self._grace)
        self._status = manifest.read(self.run_dir) or self._status

    def _reap(self, seconds: float) -> None:
        """Wait for the supervisor, our child, to end; kill it if it does not."""
        if not self._supervisor.wait_gone(seconds):
            self._supervisor.signal(signal.SIGKILL)
            self._supervisor.wait_gone(seconds)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._supervisor.pid, os.WNOHANG)

    def close_inherited(self) -> None:
        """In a fork of the owner: give up the copy of the socket, which would keep the tree alive."""
        self._line.close()
        self._ended = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the tree down, unless it was detached and all went well."""
        if self._foreground or kind is not None:
            self.down()
        else:
            self._line.close()


_open: weakref.WeakSet[Deployment] = weakref.WeakSet()


def _in_a_fork() -> None:
    for deployment in list(_open):
        deployment.close_inherited()


os.register_at_fork(after_in_child=_in_a_fork)


def _check(assignments: Sequence[NodeAssignment]) -> None:
    """Refuse what would end in a file outside the logs, or in two nodes writing one."""
    seen = set()
    for one in assignments:
        if not _NODE.fullmatch(one.name):
            raise TierfedError(
                f"{one.name!r} cannot name a log file",
                where="launch",
                mend="use letters, digits and _ . @ + = : , - in node names",
            )
        if one.name in seen:
            raise TierfedError(f"two nodes are called {one.name}", where="launch", mend="give each node its own name")
        seen.add(one.name)
    roots = [one.name for one in assignments if one.parent is None]
    if len(roots) != 1:
        raise TierfedError(
            f"a tree has one root, this one has {len(roots)}" + (f": {', '.join(roots)}" if roots else ""),
            where="launch",
            mend="give every node but one its parent",
        )


def _leaf_threads() -> str:
    text = os.environ.get("TIERFED_LEAF_THREADS") or "1"
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text):
        raise SettingError(f"{text!r} is no number of threads", where="TIERFED_LEAF_THREADS", mend="write 1 or more")
    return text


def _log_level() -> str:
    text = os.environ.get("TIERFED_LOG") or "INFO"
    if text.upper() not in LEVELS:
        raise SettingError(
            f"{text!r} is no level", where="TIERFED_LOG", mend=f"one of {', '.join(one.lower() for one in LEVELS)}"
        )
    return text.upper()
