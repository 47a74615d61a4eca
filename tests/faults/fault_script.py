"""A user's script with a round that does not end by itself: what the tests interrupt and kill.

python fault_script.py ORDER        prints the run's id, then invokes a round with one client under ORDER
"""

from __future__ import annotations

import sys

from fault_programs import mean_reading

import tierfed
from tierfed.topology import tree as fan_out

if __name__ == "__main__":
    with tierfed.up(fan_out({"EDGE_AGGREGATORS": 1, "CLIENTS": 2})) as tree:
        print(tree.run_id, flush=True)
        print(mean_reading([0, 1], [sys.argv[1], ""]), flush=True)
