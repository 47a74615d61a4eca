"""Leaves: local computations, found by reference or shipped.  One file a kind, one line in `KINDS`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tierfed.errors import LeafError
from tierfed.ir.nodes import Compiled, Node
from tierfed.leaves import py, tf

KINDS: dict[str, Callable[[Compiled], Callable[..., Any]]] = {py.KIND: py.load, tf.KIND: tf.load}
_DEPLOYABLE: dict[str, Callable[[Compiled], None]] = {py.KIND: py.deployable, tf.KIND: tf.deployable}


def load(leaf: Compiled) -> Callable[..., Any]:
    """Return `leaf` as a function of one held value, or of none."""
    found = KINDS.get(leaf.leaf.kind)
    if found is None:
        raise LeafError(
            f"leaves of kind {leaf.leaf.kind!r} are not run by this version",
            where=f"leaf {leaf.leaf.name}",
            mend=f"this version runs {', '.join(KINDS)}",
        )
    return found(leaf)


def before_fork() -> list[str]:
    """Return what a process that forks nodes is to import first, for the leaves made in this one."""
    return tf.before_fork()


def leaves_of(program: Node) -> tuple[Compiled, ...]:
    """Return the leaves of `program`, each once."""
    return tuple(dict.fromkeys(n for n in program.walk() if isinstance(n, Compiled)))


def check_deployable(program: Node) -> None:
    """Raise CompileError, with the mend, unless other processes can find every leaf of `program`."""
    for leaf in leaves_of(program):
        _DEPLOYABLE[leaf.leaf.kind](leaf)
