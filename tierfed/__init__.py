"""TierFed: collective computations, written once, run over trees of processes.

    import numpy as np, tierfed

    @tierfed.federated_computation(tierfed.FederatedType(np.float32, tierfed.CLIENTS))
    def get_average_temperature(readings):
        return tierfed.federated_mean(readings)

    get_average_temperature([68.5, 70.3, 69.8])          # 69.53333

Names are imported on first use, so `tierfed --help` and a daemon pay for what they need.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tierfed._version import __version__ as __version__

_HOMES: dict[str, tuple[str, ...]] = {
    "tierfed.errors": (
        "CodecError",
        "CompileError",
        "DataError",
        "EmptyAggregate",
        "FrameError",
        "JobError",
        "LeafError",
        "NoSuchRun",
        "NotReady",
        "NotationError",
        "PlacementError",
        "ProtocolError",
        "RoundFailed",
        "SettingError",
        "StorageError",
        "TierfedError",
        "TopologyError",
        "TypeMismatch",
        "UnsupportedError",
        "ValueMismatch",
    ),
    "tierfed.placements": ("CLIENTS", "SERVER", "Hierarchy", "Placement", "placement"),
    "tierfed.types": (
        "AbstractType",
        "FederatedType",
        "FunctionType",
        "PlacementType",
        "SequenceType",
        "StructType",
        "TensorType",
        "Type",
        "to_type",
    ),
    "tierfed.types.values": ("Struct",),
    "tierfed.language.computation": ("Computation", "federated_computation", "py_computation"),
    "tierfed.language.tf_computation": ("tf_computation",),
    "tierfed.language.job": ("job",),
    "tierfed.language.laws": ("check_aggregate",),
    "tierfed.codecs": ("codec",),
    "tierfed.compiler": ("Compiled", "compile"),
    "tierfed.language.interchange": ("deserialize", "serialize"),
    "tierfed.topology": ("Topology", "load_topology", "tree"),
    "tierfed.backends.executor": ("executor_factory",),
    "tierfed.backends.local": ("local",),
    "tierfed.jobs": ("RunTree", "simulate", "up"),
    "tierfed.jobs.sweep.swept": ("SweptRuns", "sweep"),
    "tierfed.report.page": ("Report", "report_of"),
    "tierfed.notebook": ("load_ipython_extension",),  # what %load_ext tierfed calls
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
_OPERATORS = "tierfed.language.operators"

if TYPE_CHECKING:
    from tierfed.backends.executor import executor_factory as executor_factory
    from tierfed.backends.local import local as local
    from tierfed.codecs import codec as codec
    from tierfed.compiler import Compiled as Compiled
    from tierfed.compiler import compile as compile
    from tierfed.errors import *  # noqa: F403  # the tree of errors, drawn there
    from tierfed.jobs import RunTree as RunTree
    from tierfed.jobs import simulate as simulate
    from tierfed.jobs import up as up
    from tierfed.jobs.sweep.swept import SweptRuns as SweptRuns
    from tierfed.jobs.sweep.swept import sweep as sweep
    from tierfed.language.computation import Computation as Computation
    from tierfed.language.computation import federated_computation as federated_computation
    from tierfed.language.computation import py_computation as py_computation
    from tierfed.language.interchange import deserialize as deserialize
    from tierfed.language.interchange import serialize as serialize
    from tierfed.language.job import job as job
    from tierfed.language.laws import check_aggregate as check_aggregate
    from tierfed.language.tf_computation import tf_computation as tf_computation
    from tierfed.placements import CLIENTS as CLIENTS
    from tierfed.placements import SERVER as SERVER
    from tierfed.placements import Hierarchy as Hierarchy
    from tierfed.placements import Placement as Placement
    from tierfed.placements import placement as placement
    from tierfed.report.page import Report as Report
    from tierfed.report.page import report_of as report_of
    from tierfed.topology import Topology as Topology
    from tierfed.topology import load_topology as load_topology
    from tierfed.topology import tree as tree
    from tierfed.types import AbstractType as AbstractType
    from tierfed.types import FederatedType as FederatedType
    from tierfed.types import FunctionType as FunctionType
    from tierfed.types import PlacementType as PlacementType
    from tierfed.types import SequenceType as SequenceType
    from tierfed.types import StructType as StructType
    from tierfed.types import TensorType as TensorType
    from tierfed.types import Type as Type
    from tierfed.types import to_type as to_type


def __getattr__(name: str) -> Any:
    if name.startswith(("federated_", "generic_", "sequence_")) and name not in _HOME:
        callables = importlib.import_module(_OPERATORS).CALLABLES
        if name in callables:
            return callables[name]
    elif name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
        if _HOME[name].startswith("tierfed.language"):
            _wire_default_context()
        return value
    raise AttributeError(f"module 'tierfed' has no attribute {name!r}")


def _wire_default_context() -> None:
    """Let calls outside every `with` run by the reference interpreter."""

    def default() -> Any:
        return importlib.import_module("tierfed.backends.local").LocalContext()

    importlib.import_module("tierfed.language.context").set_default(default)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME, *importlib.import_module(_OPERATORS).CALLABLES])
