"""Jobs: rounds, releases and checkpoints on a tree, brought up here or running already."""

from tierfed.jobs.recorder import Recorder
from tierfed.jobs.simulated import simulate
from tierfed.jobs.tree import RunTree
from tierfed.jobs.up import attach, bring_up, up

__all__ = ["Recorder", "RunTree", "attach", "bring_up", "simulate", "up"]
