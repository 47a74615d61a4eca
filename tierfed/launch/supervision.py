"""Supervision: the one process that all of a run's have in common, and that outlives them.

One thread around one selector, whose keys are callables.  The supervisor binds
every listener and answers the command with one line (all addresses); from then
on it only watches it: end of file means that the command is gone, and the run
ends.  With `-d` that holds until the nodes are ready, then no longer.  Nodes are
forked by the zygote; they die with it, and it with the supervisor
(`launch.lifeline`).

| what happens | what the supervisor does |
|---|---|
| the command ends; `down`; SIGTERM, SIGINT, SIGHUP | SIGTERM to the nodes, SIGKILL after the grace: `down` |
| during start-up a process ends, or time is up | the same, but `failed`, with the reason |
| the zygote ends, or the last process | the same, but `failed` |
| a process ends later | notes it; what that means is for the round's quorum to say |

However it ends, `_finish` kills and reaps until there is no child left.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import time
import traceback
from functools import partial
from pathlib import Path
from typing import Any

from tierfed.errors import NotReady, TierfedError
from tierfed.launch import children, control, listeners, logs, manifest
from tierfed.launch.control_server import ControlServer, Peer
from tierfed.launch.log_writer import LogWriter, note
from tierfed.launch.pids import ProcessId
from tierfed.launch.pipes import Pipes
from tierfed.launch.roster import ProcessRow, Roster, ending
from tierfed.launch.zygote_link import ZygoteLink

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_AFTER_KILL = 5.0  # seconds for killed processes to go
_WRITE_EVERY = 0.05  # seconds at least between two manifests, unless the run's own state has changed
_WRITE_SHARE = 0.1  # of the time, at most, goes into manifests, however many nodes they list


class Supervisor:
    """One run, from its configuration to its last process."""

    def __init__(self, config: dict[str, Any], command: socket.socket) -> None:
        self._config = config
        self._run_dir = Path(config["run_dir"])
        self._log = self._run_dir / "supervisor.jsonl"
        self._roster = Roster(config["assignments"])
        self._state = "starting"
        self._failure: TierfedError | None = None
        self._foreground: bool = config["foreground"]
        self._created = logs.timestamp(time.time())
        self._deadline = time.monotonic() + config["wait_timeout"]
        self._kill_at = self._give_up_at = float("inf")
        self._write_at = self._show_at = float("inf")  # when the manifest, the progress are due
        self._write_every = _WRITE_EVERY
        self._command: socket.socket | None = command
        self._waiting: list[Peer] = []
        self._shown: object = None  # the progress that those have seen
        self._leaving: list[Peer] = []
        self._listeners: dict[str, socket.socket] = {}
        self._addresses: dict[str, list[Any]] = {}
        self._zygote: ZygoteLink | None = None
        self._control: ControlServer | None = None
        self._selector = selectors.DefaultSelector()
        self._pipes = Pipes(self._selector, self._run_dir / "logs", self._roster, self._changed)

    # -- the run ---------------------------------------------------------------

    def run(self) -> None:
        """Run until no process is left."""
        try:
            self._begin()
            while not self._over():
                self._settle()
                for key, mask in self._selector.select(self._patience()):
                    if self._selector.get_map().get(key.fd) is key:  # an earlier event may have closed it
                        key.data(mask)
        except BaseException as error:
            self._crashed(error)
        finally:
            self._finish()

    def _begin(self) -> None:
        woken = _wake_on_signals()
        self._selector.register(woken, selectors.EVENT_READ, partial(self._signalled, woken))
        self._zygote = self._start_zygote()
        self._listeners = listeners.bind(self._config["assignments"])
        self._addresses = {name: list(one.getsockname()) for name, one in self._listeners.items()}
        self._control = ControlServer(self._selector, control.make_folder(self._config["run"]), self._answer)
        note(self._log, "INFO", f"run {self._config['run']}: {len(self._roster.processes)} processes to start")
        self._write_manifest()
        self._report({"bound": self._status()})
        if self._command is not None:
            self._selector.register(self._command, selectors.EVENT_READ, self._command_spoke)
        for row in self._roster.processes.values():
            self._zygote.fork(self._request(row), partial(self._inheritance, row))

    def _start_zygote(self) -> ZygoteLink:
        """Start it first: it imports while the listeners are bound."""
        said = LogWriter(self._run_dir, ("supervisor",), lambda _record: None, time.time)
        output = self._pipes.watch(partial(said.feed, "stderr"), "")
        try:
            return ZygoteLink(
                self._selector,
                self._zygote_spoke,
                imports=self._config["import"],
                environment={**os.environ, **self._config["environment"]},
                output=output,
            )
        finally:
            os.close(output)

    def _request(self, row: ProcessRow) -> dict[str, Any]:
        return {
            "process": row.name,
            "nodes": row.nodes,
            "entry": self._config["entry"],
            "context": self._config["context"],
            "assignments": [one for one in self._config["assignments"] if one["process"] == row.name],
            "listeners": [node for node in row.nodes if node in self._listeners],
        }

    def _inheritance(self, row: ProcessRow) -> list[int]:
        """Return what a process inherits; whoever hands it down closes it here, so that a port dies with its node."""
        mine = [self._listeners.pop(node).detach() for node in row.nodes if node in self._listeners]
        return self._pipes.make(row) + mine

    def _patience(self) -> float | None:
        due = min(self._write_at, self._show_at, self._kill_at, self._give_up_at)
        if self._state == "starting":
            due = min(due, self._deadline)
        return None if due == float("inf") else max(0.0, due - time.monotonic())

    def _over(self) -> bool:
        """Whether the nodes are gone, or will not go by any means that is left in the loop."""
        if self._state != "stopping":
            return False
        forking = self._zygote is not None and self._zygote.busy
        return not (self._roster.live() or forking) or time.monotonic() >= self._give_up_at

    def _settle(self) -> None:
        """Draw the conclusions from what has happened since the last time."""
        now = time.monotonic()
        if self._state == "starting":
            where = str(self._run_dir / "logs")
            if why := self._roster.why_dead(where):
                self._stop(why)
            elif self._roster.all_ready:
                self._state = "ready"
                self._changed(at_once=True)
                self._became_ready()
            elif now >= self._deadline:
                self._stop(self._roster.why_late(self._config["wait_timeout"], where))
        elif self._state == "ready" and not self._roster.live():
            last = self._roster.dead()[-1]
            self._stop(TierfedError(f"no process is left; {last.nodes[0]} {last.ending}", where=self._config["run"]))
        elif self._state == "stopping" and self._zygote is not None and self._zygote.closed:
            for row in self._roster.live():  # a zygote that died may have reaped one and not told
                if row.identity is not None and row.identity.reaped:
                    self._process_ended(row.identity.pid, None)
        if self._state == "stopping" and now >= self._kill_at:
            self._kill_at, self._give_up_at = float("inf"), now + _AFTER_KILL
            for row in self._roster.live():
                note(self._log, "WARNING", f"{row.name} is killed: it has not ended within the grace")
            self._signal_nodes(signal.SIGKILL)
        if now >= self._show_at:
            self._show_at = float("inf")
            self._show_progress()
        if now >= self._write_at:
            self._write_manifest()

    def _became_ready(self) -> None:
        note(self._log, "INFO", "ready")
        self._show_progress()
        for peer in self._waiting:
            peer.send({"ok": self._status()})
            peer.finish()
        self._waiting.clear()
        if not self._foreground:
            self._detach()

    def _show_progress(self) -> None:
        progress = self._roster.progress()
        if progress != self._shown:
            self._shown = progress
            for peer in self._waiting:
                peer.send({"progress": progress})

    # -- what comes in ---------------------------------------------------------

    def _command_spoke(self, _mask: int) -> None:
        """Nothing is expected from the command after its first line but its end."""
        try:
            there = self._command is not None and bool(self._command.recv(4096))
        except OSError:
            there = False
        if not there:
            self._hang_up()
            note(self._log, "INFO", "the command has ended, and so does the run")
            self._stop()

    def _hang_up(self) -> None:
        """Watch the command no longer."""
        if self._command is not None:
            self._selector.unregister(self._command)
            self._command.close()
            self._command = None

    def _detach(self) -> None:
        """From now on the run ends by `down` or a signal alone."""
        self._hang_up()
        self._foreground = False
        self._changed(at_once=True)

    def _signalled(self, woken: socket.socket, _mask: int) -> None:
        with contextlib.suppress(BlockingIOError):
            numbers = woken.recv(4096)
            for number in set(numbers) & set(_SIGNALS):
                note(self._log, "INFO", f"told to end by {signal.Signals(number).name}")
                if self._state == "stopping":
                    self._kill_at = time.monotonic()  # told twice: no more grace
                self._stop()
        for pid, status in children.ended():
            if self._zygote is not None and pid == self._zygote.identity.pid:
                self._zygote.close()
                self._stop(self._error(f"the zygote {ending(status)}, and all nodes with it"))
            else:
                self._process_ended(pid, status)

    def _zygote_spoke(self, message: dict[str, Any]) -> None:
        if "forked" in message:
            identity = ProcessId(message["pid"], message["start"])
            self._roster.started(message["forked"], identity)
            self._changed()
            if self._state == "stopping":
                identity.signal(signal.SIGTERM)
        elif "ended" in message:
            self._process_ended(message["ended"], message["status"])
        elif "gone" in message and self._zygote is not None:
            self._zygote.kill()  # if it is not dead, it is stuck; `_signalled` hears of its end
        elif "error" in message:
            error = self._error(f"the zygote cannot import what nodes need: {message['error']}")
            error.remote_traceback = message["traceback"]
            self._stop(error)

    def _process_ended(self, pid: int, status: int | None) -> None:
        for row in self._roster.live():
            if row.identity is not None and row.identity.pid == pid:
                self._pipes.drain(row.name)
                self._roster.ended(row.name, status)
                level = "INFO" if self._state == "stopping" else "WARNING"
                along = f" and takes along {', '.join(row.nodes[1:])}" if row.nodes[1:] else ""
                note(self._log, level, f"{row.nodes[0]} {row.ending}{along}")
                self._changed()

    def _answer(self, request: dict[str, Any], peer: Peer) -> None:
        match request.get("do"):
            case "status":
                peer.send({"ok": self._status()})
            case "attach":
                root = manifest.root(self._config["assignments"])
                address, token = self._addresses.get(root), self._config["context"]["token"]
                peer.send({"ok": {"run": self._config["run"], "root": root, "address": address, "token": token}})
            case "detach":
                self._detach()
                peer.send({"ok": "detached"})
            case "wait" if self._state == "starting":
                self._waiting.append(peer)
                self._shown = None
                self._show_at = time.monotonic()
                return
            case "wait" if self._state == "ready":
                peer.send({"ok": self._status()})
            case "wait":
                peer.send({"error": self._why_stopped()})
            case "down":
                self._leaving.append(peer)
                peer.send({"ok": "stopping"})
                note(self._log, "INFO", "told to end by `down`")
                self._stop()
                return
            case other:
                what = f"unknown request {other!r}: say status, attach, wait, detach or down"
                peer.send({"error": {"kind": "ProtocolError", "what": what}})
        peer.finish()

    # -- the end ---------------------------------------------------------------

    def _stop(self, failure: TierfedError | None = None) -> None:
        """Begin to end the run; the first reason holds."""
        if self._state == "stopping":
            return
        self._state = "stopping"
        self._failure = failure
        if failure is not None:
            note(self._log, "ERROR", failure.what, traceback=failure.remote_traceback)
        self._kill_at = time.monotonic() + self._config["grace"]
        if self._zygote is not None:
            self._zygote.forget()
        self._signal_nodes(signal.SIGTERM)
        for peer in self._waiting:
            peer.send({"error": self._why_stopped()})
            peer.finish()
        self._waiting.clear()
        self._changed(at_once=True)

    def _signal_nodes(self, number: int) -> None:
        for row in self._roster.live():
            if row.identity is not None:
                row.identity.signal(number)

    def _crashed(self, error: BaseException) -> None:
        trace = None if isinstance(error, TierfedError) else traceback.format_exc()
        if not isinstance(error, TierfedError):
            error = self._error(f"the supervisor failed: {type(error).__name__}: {error}")
            error.remote_traceback = trace
        note(self._log, "CRITICAL", error.what, traceback=trace)
        self._failure = self._failure or error
        self._report({"error": self._failure.to_dict()})

    def _finish(self) -> None:
        """End whatever is left, and say so."""
        if self._zygote is not None:
            self._zygote.kill()
        self._pipes.drain()
        clean = children.end_all(_AFTER_KILL)
        self._pipes.drain()
        for row in self._roster.live():
            self._roster.ended(row.name, None)
        if not clean:
            note(self._log, "ERROR", "some process could not be killed; it hangs in the kernel")
        self._state = "failed" if self._failure is not None else "down"
        note(self._log, "INFO", self._state)
        if self._control is not None:
            control.remove_folder(self._control.path)
        self._write_manifest()
        for peer in self._leaving:
            peer.send({"ok": "down"})
        if self._control is not None:
            self._control.close()

    # -- what goes out ---------------------------------------------------------

    def _error(self, what: str) -> TierfedError:
        kind = NotReady if self._state == "starting" else TierfedError
        return kind(what, where="up" if kind is NotReady else self._config["run"], mend=f"read {self._log}")

    def _why_stopped(self) -> dict[str, Any]:
        early = NotReady("the run was brought down before it was ready", where="up", mend="bring it up again")
        return (self._failure or early).to_dict()

    def _report(self, line: dict[str, Any]) -> None:
        """Tell the command, if it is still there."""
        if self._command is not None:
            with contextlib.suppress(OSError):
                self._command.sendall(json.dumps(line).encode() + b"\n")

    def _changed(self, at_once: bool = False) -> None:
        now = time.monotonic()
        self._show_at = min(self._show_at, now)
        self._write_at = now if at_once else min(self._write_at, now + self._write_every)

    def _write_manifest(self) -> None:
        self._write_at = float("inf")
        begun = time.monotonic()
        try:
            manifest.write(self._run_dir, self._status())
        except OSError as error:  # a full disk must not keep the nodes from being ended
            note(self._log, "ERROR", f"the manifest cannot be written: {error}")
        self._write_every = max(_WRITE_EVERY, (time.monotonic() - begun) / _WRITE_SHARE)

    def _status(self) -> dict[str, Any]:
        """Return the manifest as of now."""
        return manifest.describe(
            self._config["assignments"],
            self._roster,
            self._addresses,
            id=self._config["run"],
            state=self._state,
            created=self._created,
            foreground=self._foreground,
            info=self._config["info"],
            supervisor=ProcessId.of(os.getpid()),
            zygote=self._zygote.identity if self._zygote else None,
            control=self._control.path if self._control else None,
            failure=self._failure.to_dict() if self._failure else None,
        )


def _wake_on_signals() -> socket.socket:
    """Return a socket that becomes readable, with the number, when a signal has come."""
    woken, wake = socket.socketpair()
    woken.setblocking(False)
    wake.setblocking(False)
    for number in (*_SIGNALS, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(wake.detach(), warn_on_full_buffer=False)
    return woken
