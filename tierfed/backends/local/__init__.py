"""The reference interpreter and the context that runs it."""

from tierfed.backends.local.context import LocalContext, local
from tierfed.backends.local.interpret import interpret

__all__ = ["LocalContext", "interpret", "local"]
