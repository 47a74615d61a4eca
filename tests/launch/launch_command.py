"""A command that brings up a tree and holds it: what the tests kill.

    python launch_command.py RUN_DIR ENTRY [detached] [forks]

It prints `ready` with the root's port, then waits for a signal.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from launch_trees import SMALL

from tierfed.launch.processes import launch


def main(run_dir: Path, entry: str, *rest: str) -> int:
    """Hold a tree until a signal comes."""
    for number in (signal.SIGHUP, signal.SIGINT):  # whoever runs the tests may ignore them, as nohup does
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    with launch(
        SMALL,
        run_dir=run_dir,
        run_id=run_dir.name,
        token="t",
        entry=f"launch_dummies:{entry}",
        wait_timeout=20.0,
        foreground="detached" not in rest,
    ) as deployment:
        print("bound", flush=True)
        deployment.wait_ready()
        if "forks" in rest:
            child = os.fork()
            if child == 0:
                signal.pause()
            print("fork", child, flush=True)
        print("ready", deployment.root_address[1], flush=True)
        if "detached" not in rest:
            signal.pause()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
    except KeyboardInterrupt:
        sys.exit(130)
