"""The control socket of a run: where it lies, and how to ask it something.

    for answer in ask(path, {"do": "wait"}): ...

One JSON object a line each way; the server closes when it has answered.

| request | answers |
|---|---|
| `status` | `{"ok": manifest}` |
| `attach` | `{"ok": {"run", "root", "address", "token"}}`: what a driver needs to dial the root |
| `wait` | `{"progress": {placement: [ready, all]}}` as it changes, then `{"ok": manifest}` or `{"error": …}` |
| `detach` | `{"ok": …}`: the end of the command that brought the run up no longer ends the run |
| `down` | `{"ok": "stopping"}`, then `{"ok": "down"}` when no node is left |

The socket is the run's only door: mode 0600 in a folder of mode 0700, and the
peer's uid is asked of the kernel.  A path in `sockaddr_un` has 107 bytes, and a
project's own folder may lie deeper than that: hence a short *runtime folder*
under XDG_RUNTIME_DIR, TMPDIR or /tmp, whose path is in the manifest.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tierfed.errors import ProtocolError, TierfedError

PATH_LIMIT = 107  # bytes
SOCKET = "control"
_PREFIX = "tierfed-"
_LINE_LIMIT = 256 << 20  # bytes: the manifest of a very large run


def make_folder(run_id: str) -> Path:
    """Make the runtime folder of a run, 0700 and new, and return it.

    A folder that is there already, whoever left it, is passed over: names end in
    -1, -2 … until one is free.

    Raises TierfedError if no base is short enough and writable.
    """
    tried = []
    last = "/tmp"  # noqa: S108  the folder in it is new, and 0700
    for base in dict.fromkeys((os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), last)):
        for i in range(100):
            folder = Path(base or "", f"{_PREFIX}{run_id}" + (f"-{i}" if i else ""))
            if not base or not folder.is_absolute() or len(os.fsencode(folder / SOCKET)) > PATH_LIMIT:
                break
            try:
                folder.mkdir(mode=0o700)
            except FileExistsError:
                continue
            except OSError:
                break
            return folder
        if base:
            tried.append(base)
    raise TierfedError(
        f"no place for a control socket: {', '.join(tried)} cannot be written, or gives a path over {PATH_LIMIT} bytes",
        where="launch",
        mend="set XDG_RUNTIME_DIR to a short path that you can write to",
    )


def remove_folder(socket_path: str | None) -> None:
    """Remove what `make_folder` made, given the socket's path; anything else stays as it is."""
    if not socket_path:
        return
    path = Path(socket_path)
    folder = path.parent
    if path.name != SOCKET or not folder.name.startswith(_PREFIX):
        return
    with contextlib.suppress(OSError):
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid():
            if stat.S_ISSOCK(path.lstat().st_mode):
                path.unlink()
            folder.rmdir()


def ask(path: str, request: dict[str, Any], *, timeout: float | None = None) -> Iterator[dict[str, Any]]:
    """Yield the answers to `request` until the server closes.

    `timeout` (seconds) bounds the whole exchange.  Raises OSError if nobody
    listens there or time is up (TimeoutError).
    """
    until = None if timeout is None else time.monotonic() + timeout
    with socket.socket(socket.AF_UNIX) as connection:
        _limit(connection, until)
        connection.connect(path)
        connection.sendall(json.dumps(request).encode() + b"\n")
        pending = bytearray()
        while True:
            _limit(connection, until)
            part = connection.recv(1 << 16)
            if not part:
                return
            pending += part
            if len(pending) > _LINE_LIMIT:
                raise ProtocolError(f"a line of more than {_LINE_LIMIT} bytes", where=f"control socket {path}")
            if b"\n" in part:
                *lines, rest = pending.split(b"\n")
                pending = bytearray(rest)
                for line in lines:
                    yield json.loads(line)


def _limit(connection: socket.socket, until: float | None) -> None:
    if until is not None:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the control socket did not answer in time")
        connection.settimeout(left)
