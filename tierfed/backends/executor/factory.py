"""Factories of executors, keyed by cardinalities: how many members each placement has.

    executor_factory().create_executor({"CLIENTS": 3})            reference, SERVER > CLIENTS
    executor_factory(topology).create_executor({"CLIENTS": 6})    reference, on that tree
    executor_factory(running).create_executor({"CLIENTS": 6})     on daemons

Counts make a tree only where there is nothing to group: SERVER and CLIENTS.  With more
placements the tree is given, and the counts must be its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, overload

from tierfed.backends.data import provider_for
from tierfed.backends.executor.composed import Composed
from tierfed.backends.executor.graph import GraphExecutor
from tierfed.backends.executor.interface import ExecutorFactory
from tierfed.backends.executor.public import PublicFactory
from tierfed.backends.executor.reference import Reference
from tierfed.errors import PlacementError, TypeMismatch
from tierfed.language.interchange import PUBLIC
from tierfed.placements import CLIENTS, SERVER, Hierarchy, Placement, Tree, as_placement

_FLAT = Hierarchy.chain(SERVER, CLIENTS)
_WHERE = "create_executor"


class CachedFactory:
    """Keeps one executor for each tree that cardinalities name."""

    def __init__(
        self, tree_of: Callable[[Mapping[Placement, int]], Tree], make: Callable[[Tree], GraphExecutor]
    ) -> None:
        self._tree_of = tree_of
        self._make = make
        self._made: dict[frozenset[tuple[Placement, int]], GraphExecutor] = {}
        self._lock = threading.Lock()

    def create_executor(self, cardinalities: Mapping[Placement | str, int]) -> GraphExecutor:
        """Return the executor of so many members at each placement, the same for the same counts.

        Raises PlacementError for counts that do not make the tree, or are not those of the tree.
        """
        tree = self._tree_of(_counts(cardinalities))
        with self._lock:
            return self._made.setdefault(_key(tree), self._make(tree))

    def clean_up_executor(self, cardinalities: Mapping[Placement | str, int]) -> None:
        """Close the executor of these cardinalities, if there is one."""
        with self._lock:
            found = self._made.pop(_key(self._tree_of(_counts(cardinalities))), None)
        if found is not None:
            found.close()

    def clean_up_executors(self) -> None:
        """Close every executor; the next `create_executor` makes another one."""
        with self._lock:
            found = list(self._made.values())
            self._made.clear()
        for executor in found:
            executor.close()


@overload
def executor_factory(on: Any = None, data: Any = None, for_: None = None) -> ExecutorFactory: ...
@overload
def executor_factory(on: Any = None, data: Any = None, *, for_: str) -> PublicFactory: ...
def executor_factory(on: Any = None, data: Any = None, for_: str | None = None) -> ExecutorFactory | PublicFactory:
    """Return a factory of executors.

    `on` is a topology, a path to one, or a tree, for the reference interpreter on it; a running tree
    or a context that has a tree, for executors on that; or nothing, for the reference on a flat tree.
    `data` is what the members of a reference have, as for `tierfed.local`.  With
    `for_="federated-language"` it makes executors for that package's own contexts.

    >>> import asyncio
    >>> @tierfed.federated_computation("{int32}@CLIENTS")
    ... def total(x):
    ...     return tierfed.federated_sum(x)
    >>> async def main(executor):
    ...     f = await executor.create_value(total)
    ...     x = await executor.create_value([1, 2, 3], "{int32}@CLIENTS")
    ...     return await (await executor.create_call(f, x)).compute()
    >>> asyncio.run(main(tierfed.executor_factory().create_executor({"CLIENTS": 3})))
    np.int32(6)
    """
    if for_ is None:
        return _factory(on, data)
    if for_ != PUBLIC:
        raise TypeMismatch(
            f"no executors are for {for_!r}", where="executor_factory", mend=f"leave for_ out, or say for_={PUBLIC!r}"
        )
    return PublicFactory(_factory(on, data))


def _factory(on: Any, data: Any) -> ExecutorFactory:
    if on is None:
        return CachedFactory(_flat, lambda tree: _reference(tree, data))
    if hasattr(on, "ainvoke"):
        tree = on.tree if hasattr(on, "tree") else on.topology.tree
        if tree is not None:
            return CachedFactory(lambda counts: _checked(counts, tree), lambda tree: GraphExecutor(tree, Composed(on)))
        raise PlacementError(
            "the context has no tree of its own",
            where="executor_factory",
            mend="give it one: tierfed.local(topology=…), or leave the context out",
        )
    tree, provide = _given(on, data)
    return CachedFactory(
        lambda counts: _checked(counts, tree), lambda tree: GraphExecutor(tree, Reference(tree, provide))
    )


def _given(on: Any, data: Any) -> tuple[Tree, Any]:
    """Return the tree of a topology, and what its members have."""
    if isinstance(on, Tree):
        return on, provider_for(data, on)
    if isinstance(on, str | os.PathLike):
        from tierfed.topology import load_topology

        on = load_topology(on)
    configured = data if data is not None else (None if on.job is None else on.job.data)
    labels = {name: on.visible_labels(name) for name in on.nodes}
    return on.tree, provider_for(configured, on.tree, on.seed, labels)


def _reference(tree: Tree, data: Any) -> GraphExecutor:
    return GraphExecutor(tree, Reference(tree, provider_for(data, tree)))


def _counts(cardinalities: Mapping[Placement | str, int]) -> dict[Placement, int]:
    counts: dict[Placement, int] = {}
    for name, count in cardinalities.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise PlacementError(f"{name} has {count!r} members", where=_WHERE, mend="give a count, 0 or more")
        counts[as_placement(name)] = count
    return counts


def _flat(counts: Mapping[Placement, int]) -> Tree:
    """Return SERVER over as many clients as `counts` says, none if it does not say."""
    other = sorted(str(p) for p in counts if p not in _FLAT)
    if other:
        raise PlacementError(
            f"counts of {', '.join(other)} do not say who stands below whom",
            where=_WHERE,
            mend="give the tree: tierfed.executor_factory(tierfed.tree(fan_out={…})), or a topology file",
        )
    tree = Tree.grown(_FLAT, {"CLIENTS": counts.get(CLIENTS, 0)})
    return _checked(counts, tree)


def _checked(counts: Mapping[Placement, int], tree: Tree) -> Tree:
    """Return `tree` if `counts` are its own; a placement that is left out has the tree's."""
    for p, count in counts.items():
        if p not in tree.hierarchy or len(tree.members(p)) != count:
            raise PlacementError(
                f"{_shown(counts)} asked for, and the tree has {_shown(dict(_key(tree)))}",
                where=_WHERE,
                mend="ask for what the tree has, or give a tree that has what is asked for",
            )
    return tree


def _shown(counts: Mapping[Placement, int]) -> str:
    return ", ".join(sorted(f"{p}: {n}" for p, n in counts.items()))


def _key(tree: Tree) -> frozenset[tuple[Placement, int]]:
    return frozenset((p, len(tree.members(p))) for p in tree.hierarchy.placements)
