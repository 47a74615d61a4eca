"""Readings that are made up, and the job that finds their median: `median` is `tierfed.learning.analytics:quantile`.

tierfed simulate topologies/phones_lte.yaml --clients 100000
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from tierfed.learning.analytics import counts
from tierfed.learning.analytics import quantile as median

__all__ = ["counts", "median", "readings"]


def readings(uri: str, type: Any, member: Any) -> Any:
    """Return what a member has measured: made up, of its index and the run's seed, around 20 with a long tail."""
    return np.float32(20 * random.Random(f"{member.seed}/{member.index}/{uri}").lognormvariate(0, 0.5))
