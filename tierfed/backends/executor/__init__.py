"""The Executor interface, over the reference interpreter and over a running tree."""

from tierfed.backends.executor.factory import executor_factory
from tierfed.backends.executor.interface import Executor, ExecutorFactory, ExecutorValue

__all__ = ["Executor", "ExecutorFactory", "ExecutorValue", "executor_factory"]
