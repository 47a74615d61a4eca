"""Before the fork: a data set loaded before processes are forked, so that they share its memory.

    tierfed.data.before_fork:fashion-mnist-6k      # "module:function", as the zygote is told

Every name of the table of data sets is a function of this module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tierfed.data.archive import DATASETS
from tierfed.data.provider import Shared, check


def wanted(config: Mapping[str, Any] | None) -> list[str]:
    """Return what a zygote is to preload for a `job.data`; raises DataError for one that is wrong."""
    named = check(config)
    return [f"{__name__}:{named.dataset.name}"] if isinstance(named, Shared) else []


def __getattr__(name: str) -> Callable[[], object]:
    if name in DATASETS:
        return DATASETS[name].load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
