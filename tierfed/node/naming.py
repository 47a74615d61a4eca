"""On whose behalf code runs: nodes that share a process each have their own log.

Every node's task sets `NODE` once; tasks and threads that it starts inherit it.
"""

from __future__ import annotations

from contextvars import ContextVar

NODE: ContextVar[str | None] = ContextVar("tierfed_node", default=None)
