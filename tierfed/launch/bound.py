"""Bound: a command that lives no longer than the process that started it.

    python -P -m tierfed.launch.bound 4711 simulate three_tier.yaml --json

runs `tierfed simulate three_tier.yaml --json`, and the kernel kills it when the thread of process 4711 that
started it ends, however that comes about: nobody is left to run what nobody waits for.  A tree that it has brought up
goes down with it (its supervisor watches it).

Source: prctl(2), PR_SET_PDEATHSIG; lifeline.py has what it is worth.
"""

from __future__ import annotations

import runpy
import sys

from tierfed.launch.lifeline import die_with_parent

if __name__ == "__main__":
    parent = int(sys.argv.pop(1))
    die_with_parent(parent)
    runpy.run_module("tierfed", run_name="__main__", alter_sys=True)
