"""The zygote: a clean interpreter that imports what nodes need, then forks them on request.

    python -P -m tierfed.launch.zygote FD        # started by the supervisor alone

A node costs a fork instead of an interpreter start and half a second of imports,
and shares the imported pages.  Forking is sound because this process never runs
an event loop, starts no thread and imports no user code: what is imported is
bare, and frozen out of the collector's reach so that it stays shared.

| supervisor says | zygote answers |
|---|---|
| `{"import": [...], "parent": pid}` | `{"imported": true}` or `{"error": …, "traceback": …}` |
| `{"fork": {"process", "nodes", …}}` + descriptors | `{"forked": process, "pid", "start"}` |
| | `{"ended": pid, "status": n}` whenever a node has ended |
| end of file | exits; its nodes die with it |

Each request brings the descriptors of one process, which are closed here before
the next is read.  So a node inherits no listener or pipe of its siblings, and
when it dies its port refuses.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import os
import select
import signal
import socket
import sys
import traceback
from typing import Any, NoReturn

from tierfed.errors import TierfedError
from tierfed.launch import channel, lifeline, logs, user_code
from tierfed.launch.pids import ProcessId


def main(descriptor: int) -> int:
    """Serve the supervisor at the other end of `descriptor` until it is gone."""
    supervisor = socket.socket(fileno=descriptor)
    os.set_inheritable(descriptor, False)
    first = channel.receive(supervisor)
    if first is None:
        return 0
    lifeline.die_with_parent(first[0]["parent"])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the supervisor decides when to end
    gc.disable()  # a collection would leave holes that fill up, and unshare, later
    try:
        for name in first[0]["import"]:
            _import(name)
    except BaseException as error:
        channel.send(supervisor, {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()})
        return 1
    gc.freeze()
    channel.send(supervisor, {"imported": True})
    _serve(supervisor)
    return 0


def _import(name: str) -> None:
    """Import a module, and call its function if `name` is "module:function", with the words after it."""
    if ":" in name:
        function, *words = name.split()
        user_code.resolve(function)(*words)
    else:
        importlib.import_module(name)


def _serve(supervisor: socket.socket) -> None:
    wake, woken = socket.socketpair()
    wake.setblocking(False)
    woken.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    poll = select.poll()
    poll.register(supervisor, select.POLLIN)
    poll.register(wake, select.POLLIN)
    while True:
        ready = dict(poll.poll())
        if wake.fileno() in ready:
            with contextlib.suppress(BlockingIOError):
                wake.recv(4096)
            _reap(supervisor)
        if supervisor.fileno() in ready:
            request = channel.receive(supervisor)
            if request is None:
                return
            _fork(supervisor, [supervisor, wake, woken], request[0]["fork"], request[1])


def _reap(supervisor: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        channel.send(supervisor, {"ended": pid, "status": os.waitstatus_to_exitcode(status)})


def _fork(supervisor: socket.socket, own: list[socket.socket], request: dict[str, Any], descriptors: list[int]) -> None:
    zygote = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(zygote, own, request, descriptors)
    for fd in descriptors:
        os.close(fd)
    identity = ProcessId.of(pid)  # not reaped yet, so it is there, if only as a zombie
    start = identity.start if identity else 0
    channel.send(supervisor, {"forked": request["process"], "pid": pid, "start": start})


def _become(zygote: int, own: list[socket.socket], request: dict[str, Any], descriptors: list[int]) -> NoReturn:
    """Turn the forked process into a node process, run it, and exit: no way leads back into the zygote's loop."""
    code = 70  # a failure of this function itself (EX_SOFTWARE)
    try:
        lifeline.die_with_parent(zygote)
        os.setsid()  # out of the reach of Ctrl-C
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        for one in own:
            one.close()
        pipes = dict(zip(channel.PIPES, descriptors, strict=False))
        os.dup2(pipes["stdout"], 1)
        os.dup2(pipes["stderr"], 2)
        os.close(pipes["stdout"])
        os.close(pipes["stderr"])
        logs.install(pipes["records"], first=request["nodes"][0], level=request["context"]["log_level"])
        lifeline.show_as(f"tf:{request['process']}")
        code = _run(request, pipes["ready"], descriptors[len(channel.PIPES) :])
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next  # our own frames say nothing
        what = f"{error.where}: {error.what}" if isinstance(error, TierfedError) and error.where else str(error)
        about = (type(error), error, trace)
        logging.getLogger("tierfed").critical("%s: %s", type(error).__name__, what, exc_info=about)
        code = 1
    finally:
        with contextlib.suppress(BaseException):
            logs.flush()
            logging.shutdown()
        os._exit(code)


def _run(request: dict[str, Any], ready: int, listeners: list[int]) -> int:
    """Call the entry point of a node process, and return its exit code.

        run_process(assignments, listeners, context, ready) -> int

    `assignments` are the `NodeAssignment`s of the process, in order, each with
    its parent's address.  `listeners` maps a node that listens to a listening,
    non-blocking socket's descriptor, which the process owns.  `ready` is the
    descriptor of a pipe: one line with a node's name when it is up and connected
    to its parent.  Each node's task sets `node.naming.NODE` to its name, so that its
    lines go to its own log.  `context`:

    | key | value |
    |---|---|
    | `run`, `token` | the run's id and secret, for hello |
    | `run_dir` | the run's folder, an absolute path |
    | `resumed` | where nodes of another run have saved what they go on with, None if nowhere |
    | `log_level` | the level at which logging is already set up |
    | `sys_path`, `main_script` | already in force: `user_code.prepare` has run |

    SIGTERM has its default meaning (to end at once) until the process handles it;
    within the grace after it (`runs.GRACE`) it should have returned 0.
    """
    from tierfed.topology.assignment import NodeAssignment

    gc.enable()
    gc.set_threshold(20_000, 20, 20)  # a parent of thousands was collecting for a third of its rounds
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()  # three forks printed the same np.random.rand()
    context = request["context"]
    user_code.prepare(context["sys_path"], context["main_script"])
    run_process = user_code.resolve(request["entry"])
    assignments = [NodeAssignment.from_dict(one) for one in request["assignments"]]
    code = run_process(assignments, dict(zip(request["listeners"], listeners, strict=True)), context, ready)
    if not isinstance(code, int):
        raise TierfedError(f"{request['entry']} returned {code!r}, not an exit code", where="launch")
    return code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
