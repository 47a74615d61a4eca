"""The local context: computations run here, by the reference interpreter.

    with tierfed.local(topology="topologies/three_tier.yaml"): …

Without a topology the tree is SERVER > CLIENTS, with as many clients as the arguments that
are lists over CLIENTS have values.  Any other placement needs a topology: groupings are
never guessed.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable
from typing import Any

from tierfed.backends.local.interpret import Provide, interpret
from tierfed.backends.local.prepared import prepare
from tierfed.errors import PlacementError, ValueMismatch
from tierfed.ir.nodes import Node
from tierfed.language import context as contexts
from tierfed.language.arguments import brought, fit, placed_counts
from tierfed.language.computation import Computation
from tierfed.language.functions import applied
from tierfed.language.results import shown
from tierfed.placements import CLIENTS, SERVER, Hierarchy, Placement, Tree

_FLAT = Hierarchy.chain(SERVER, CLIENTS)


class LocalContext:
    """Runs computations by the reference interpreter, on a given tree or a flat one."""

    def __init__(self, tree: Tree | None = None, data: Callable[[Tree], Provide] | None = None) -> None:
        """`data` gives what the members of a tree have; the tree may come from the arguments of a call."""
        self.tree = tree
        self._data = data

    def invoke(self, computation: Computation, *args: Any, **kwargs: Any) -> Any:
        """Return the result of `computation` at these arguments."""
        return self._run(*applied(computation, args, kwargs))

    async def ainvoke(self, computation: Computation, *args: Any, **kwargs: Any) -> Any:
        """Return the result of `computation` at these arguments; it is computed in a thread, so the loop goes on."""
        return await asyncio.to_thread(self._run, *applied(computation, args, kwargs))

    def _run(self, computation: Computation, argument: Any) -> Any:
        t = computation.type_signature
        if t.parameter is not None:
            argument = brought(argument, t.parameter)
        counts = [] if t.parameter is None else list(placed_counts(argument, t.parameter))
        tree = self.tree if self.tree is not None else flat_tree(computation.node, counts)
        tree.check_singletons()
        fit(argument, t, tree)
        provide = self._data(tree) if self._data is not None else None
        return shown(interpret(computation.node, argument, tree, provide), t.result)

    def __enter__(self) -> LocalContext:
        contexts.enter(self)
        return self

    def __exit__(self, *exc: object) -> None:
        contexts.leave(self)

    async def __aenter__(self) -> LocalContext:
        return self.__enter__()

    async def __aexit__(self, *exc: object) -> None:
        contexts.leave(self)


def flat_tree(program: Node, counts: list[tuple[str, Placement, int | None]]) -> Tree:
    """Return SERVER over as many clients as the arguments have values for.

    Raises PlacementError if the program names another placement, or no argument tells how many
    clients there are though one must; ValueMismatch if two arguments disagree.
    """
    named = prepare(program).placements
    other = sorted(str(p) for p in named if p not in _FLAT)
    if other:
        raise PlacementError(
            f"the program names {', '.join(other)}, and without a topology there are only {_FLAT}",
            where="local",
            mend=f'give a tree: with tierfed.local(topology=tierfed.tree(fan_out={{"{other[0]}": 2, "CLIENTS": 3}}))',
        )
    sizes = [(where, count) for where, placement, count in counts if placement == CLIENTS and count is not None]
    if len({count for _, count in sizes}) > 1:
        told = ", ".join(f"{where} has {count}" for where, count in sizes)
        raise ValueMismatch(
            f"the arguments disagree about the number of clients: {told}",
            where="local",
            mend="pass lists of one length",
        )
    if not sizes and CLIENTS in named:
        raise PlacementError(
            "no argument tells how many clients there are",
            where="local",
            mend='give a tree: with tierfed.local(topology=tierfed.tree(fan_out={"CLIENTS": 3}))',
        )
    return _flat(sizes[0][1] if sizes else 0)


@functools.lru_cache(maxsize=32)
def _flat(clients: int) -> Tree:
    return Tree.grown(_FLAT, {"CLIENTS": clients})


def local(
    topology: Tree | str | os.PathLike[str] | Any | None = None,
    data: Callable[..., Any] | dict[str, Any] | None = None,
) -> LocalContext:
    """Return a context that runs computations by the reference interpreter.

    `topology` is a topology, a path to one, or a tree.  `data` is a provider `(uri, type,
    member) -> value`, or what a topology's `job.data` may hold; without it the topology's is used.

    A call outside every `with` runs here too, on a server over as many clients as the arguments have
    values; any other tier needs a topology, since groupings are never guessed.

    >>> EDGE = tierfed.placement("EDGE_AGGREGATORS")
    >>> @tierfed.federated_computation("{float32}@CLIENTS")
    ... def by_region(readings):
    ...     return tierfed.federated_mean(readings, to=EDGE)
    >>> with tierfed.local(topology=tierfed.tree({"EDGE_AGGREGATORS": 2, "CLIENTS": 2})):
    ...     by_region([1, 2, 3, 6])
    [np.float32(1.5), np.float32(4.5)]
    """
    from tierfed.backends.data import provider_for

    tree, configured, seed, labels = _tree_of(topology)
    chosen = data if data is not None else configured
    return LocalContext(tree, lambda members: provider_for(chosen, members, seed, labels))


def _tree_of(topology: Any) -> tuple[Tree | None, Any, int, dict[str, dict[str, str]]]:
    """Return the tree, the configured data, the seed and the labels of what a user gave as topology."""
    if topology is None or isinstance(topology, Tree):
        return topology, None, 0, {}
    if isinstance(topology, str | os.PathLike):
        from tierfed.topology import load_topology

        topology = load_topology(topology)
    job = topology.job
    labels = {name: topology.visible_labels(name) for name in topology.nodes}
    return topology.tree, None if job is None else job.data, topology.seed, labels
