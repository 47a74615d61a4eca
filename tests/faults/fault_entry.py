"""The main function of a node process, for tests that need one to die in the middle of something.

`mid_upload` is `tierfed.node.daemon:run_process`, but for the nodes that the test has named
in a file of the run's folder (`dies-mid-upload`): the first data frame that such a node sends
goes out, whole, and then its process is killed.  Nothing of this is in the runtime.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tierfed.node.daemon import run_process
from tierfed.node.link import Link


def mid_upload(assignments: list[Any], listeners: dict[str, int], context: dict[str, Any], ready: int) -> int:
    """Run nodes, and kill this process after the first chunk of an upload of one that is marked."""
    mark = Path(context["run_dir"], "dies-mid-upload")
    send_all = Link.send_all

    async def until_killed(link: Link, frames: Iterable[tuple[dict[str, Any], Any]]) -> None:
        frames = list(frames)
        member = frames[0][0].get("ident", {}).get("member")
        if member is None or not mark.exists() or member not in mark.read_text().split():
            await send_all(link, frames)
            return
        assert len(frames) > 3, "the payload is one of several chunks"
        first = next(i for i, (_, buffers) in enumerate(frames) if sum(map(len, buffers)) >= 1 << 20)
        await send_all(link, frames[: first + 1])  # has left for the kernel when it returns
        os.kill(os.getpid(), signal.SIGKILL)

    Link.send_all = until_killed  # type: ignore[method-assign]
    return run_process(assignments, listeners, context, ready)
