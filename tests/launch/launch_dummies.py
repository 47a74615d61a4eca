"""Node processes for the tests of launch: small, without a loop, over plain sockets.

Each entry has the signature of `tierfed.node.daemon:run_process`.  They are
imported by the zygote, so this folder is on PYTHONPATH while they run.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from typing import Any

from tierfed.node.naming import NODE

log = logging.getLogger("tierfed.dummy")


def _up(assignments: list[Any], ready: int) -> list[socket.socket]:
    """Dial every parent, and only then say ready."""
    dialled = []
    for one in assignments:
        if one.parent_address is not None:
            dialled.append(socket.create_connection(tuple(one.parent_address)))
        os.write(ready, one.name.encode() + b"\n")
    os.close(ready)
    return dialled


def _until_term() -> int:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    signal.sigwait({signal.SIGTERM})
    return 0


def run(assignments: list[Any], listeners: dict[str, int], context: dict[str, Any], ready: int) -> int:
    """Come up and stay until SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    held = _up(assignments, ready)
    code = _until_term()
    del held
    return code


def answers(assignments: list[Any], listeners: dict[str, int], context: dict[str, Any], ready: int) -> int:
    """Come up, and answer every connection to a listener with what this process is and has."""
    import numpy as np

    sockets = {name: socket.socket(fileno=fd) for name, fd in listeners.items()}
    drawn = float(np.random.rand())
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    held = _up(assignments, ready)

    def serve(name: str) -> None:
        sockets[name].setblocking(True)
        while True:
            peer, _ = sockets[name].accept()
            with peer:
                descriptors = {}
                for fd in os.listdir("/proc/self/fd"):
                    try:
                        descriptors[fd] = os.readlink(f"/proc/self/fd/{fd}")
                    except OSError:
                        continue
                about = {
                    "name": name,
                    "listeners": sorted(listeners),
                    "context": context,
                    "fds": descriptors,
                    "random": drawn,
                    "threads": os.environ.get("OPENBLAS_NUM_THREADS"),
                    "session": os.getsid(0) == os.getpid(),
                    "modules": sorted(sys.modules),
                    "main": getattr(sys.modules["__main__"], "MARK", None),
                    "path": sys.path[:2],
                }
                peer.sendall(json.dumps(about).encode())

    for name in listeners:
        threading.Thread(target=serve, args=(name,), daemon=True).start()
    code = _until_term()
    del held
    return code


def one_dies(assignments: list[Any], listeners: dict[str, int], context: dict[str, Any], ready: int) -> int:
    """Node c-1 raises before it is ready; the others come up."""
    if assignments[0].name == "c-1":
        raise ValueError("no such sensor")
    return run(assignments, listeners, context, ready)


def one_crashes(assignments: list[Any], listeners: dict[str, int], context: dict[str, Any], ready: int) -> int:
    """Node c-1 reads address 0 before it is ready."""
    if assignments[0].name == "c-1":
        ctypes.string_at(0)
    return run(assignments, listeners, context, ready)


def one_waits(assignments: list[Any], listeners: dict[str, int], context: dict[str, Any], ready: int) -> int:
    """Node c-1 never gets ready, and says why."""
    if assignments[0].name == "c-1":
        log.warning("the sensor does not answer")
        return _until_term()
    return run(assignments, listeners, context, ready)


def stubborn(assignments: list[Any], listeners: dict[str, int], context: dict[str, Any], ready: int) -> int:
    """Come up and ignore SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    held = _up(assignments, ready)
    while held or assignments:
        signal.pause()
    return 0


def parents(assignments: list[Any], listeners: dict[str, int], context: dict[str, Any], ready: int) -> int:
    """Leave a subprocess in a session of its own behind, then come up."""
    subprocess.Popen(["sleep", "600"], start_new_session=True)
    return run(assignments, listeners, context, ready)


def talks(assignments: list[Any], listeners: dict[str, int], context: dict[str, Any], ready: int) -> int:
    """Say something in every way there is, for every node of the process, then come up."""
    for one in assignments:
        NODE.set(one.name)
        log.info("I am %s", one.name)
        print("printed by", one.name)
    NODE.set(assignments[0].name)
    try:
        raise KeyError("lost key")
    except KeyError:
        log.exception("it failed")
    print("to stderr", file=sys.stderr)
    subprocess.run(["sh", "-c", "echo raw out; echo raw err >&2"], check=True)
    thread = threading.Thread(target=lambda: 1 // 0)
    thread.start()
    thread.join()
    return run(assignments, listeners, context, ready)


def ups(assignments: list[Any], listeners: dict[str, int], context: dict[str, Any], ready: int) -> int:
    """Try to bring up another tree from within."""
    from tierfed.launch import user_code

    user_code.forbid_inside_a_run()
    return run(assignments, listeners, context, ready)


def endless_preload() -> None:
    """Tell the test, then never return."""
    with open(os.environ["DUMMY_FIFO"], "w"):
        pass
    while True:
        signal.pause()


def broken_preload() -> None:
    """Fail, as an import may."""
    raise RuntimeError("libsensor.so is missing")
