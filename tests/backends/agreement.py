"""What it means that a backend agrees with the reference, and with numpy, on a case.

Values are held and compared bit for bit.  A mean, minimum or maximum over nobody is an outcome
like any other: every backend has to raise EmptyAggregate then, and none otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import oracle
import program_leaves
from oracle import At
from programs import Case
from served import Codecs, in_memory

from tierfed.backends.data import provider_for
from tierfed.backends.local import interpret
from tierfed.backends.native.driver import Driver
from tierfed.compiler import Compiled, compile
from tierfed.errors import EmptyAggregate, TierfedError
from tierfed.ir.nodes import Node
from tierfed.language.placed import Placed, PlacedHere
from tierfed.node.memory_transport import Leg
from tierfed.types import FederatedType, StructType, Type
from tierfed.types.values import same


class Disagreement(AssertionError):
    """Two meanings of one program."""


def packed(case: Case) -> Any:
    """The arguments of a case as the one argument that its program takes."""
    return case.arguments[0] if len(case.arguments) == 1 else case.arguments


def referred(node: Node, case: Case) -> Any:
    """What the reference interpreter makes of a program: a held value, or EmptyAggregate."""
    provide = provider_for(program_leaves.told_apart, case.tree)
    try:
        return interpret(node, packed(case), case.tree, provide)
    except EmptyAggregate:
        return EmptyAggregate


def agree(found: Any, wanted: Any, t: Type, who: str, case: Case) -> None:
    """Raise Disagreement unless two held outcomes are the same, bit for bit."""
    empty = [x is EmptyAggregate for x in (found, wanted)]
    if empty[0] != empty[1] or (not empty[0] and not same(found, wanted, t)):
        raise Disagreement(f"{who} gives {found}\n  the reference gives {wanted}\n  of type {t}\n  for {case}")


def agrees_with_numpy(wanted: Any, t: Type, case: Case) -> None:
    """Raise Disagreement unless the reference's outcome is what folding by hand gives, bit for bit."""
    expected = case.expected()
    if (expected is oracle.Empty) != (wanted is EmptyAggregate):
        raise Disagreement(f"numpy gives {expected}\n  the reference gives {wanted}\n  for {case}")
    if wanted is EmptyAggregate:
        return
    several = case.program.form != "one"
    assert not several or isinstance(t, StructType)
    rows = zip(wanted, t.parts(), expected, strict=True) if several else [(wanted, t, expected[0])]  # type: ignore[union-attr]
    for held, part, folded in rows:
        if not _same_as(held, part, folded):
            raise Disagreement(f"numpy gives {folded}\n  the reference gives {held}\n  of type {part}\n  for {case}")


def _same_as(held: Any, t: Type, folded: Any) -> bool:
    if not isinstance(t, FederatedType):
        return same(held, folded, t)
    assert isinstance(folded, At)
    values = list(folded.values.values())
    if t.all_equal:
        return all(same(held, v, t.member) for v in values)
    return len(held) == len(values) and all(same(h, v, t.member) for h, v in zip(held, values, strict=True))


def natively(
    compiled: Compiled,
    case: Case,
    delay: Callable[[Leg], float] = lambda leg: 0.0,
    codecs: Codecs | None = None,
) -> Any:
    """What daemons in memory, whose links have `codecs`, make of a program: a held value, or EmptyAggregate."""

    async def work(driver: Driver) -> Any:
        return await invoked(driver, compiled, case)

    return in_memory(case.tree, work, delay, codecs)


def invoked(driver: Driver, compiled: Compiled, case: Case) -> Coroutine[Any, Any, Any]:
    """The outcome of one invocation."""

    async def one() -> Any:
        try:
            return (await driver.invoke(compiled, packed(case)))[0]
        except EmptyAggregate:
            return EmptyAggregate

    return one()


def check(case: Case, delay: Callable[[Leg], float] = lambda leg: 0.0) -> None:
    """Raise Disagreement unless numpy, the reference and daemons in memory agree on `case`."""
    computation = case.program.computation()
    t = computation.type_signature.result
    wanted = referred(computation.node, case)
    agrees_with_numpy(wanted, t, case)
    try:
        found = natively(compile(computation, case.tree.hierarchy, keep=False), case, delay)
    except TierfedError as error:
        raise Disagreement(f"the daemons: {error}\n  the reference gives {wanted}\n  for {case}") from error
    agree(found, wanted, t, "the tree of daemons", case)


def fetched(result: Any) -> Any:
    """A result with what stays at its members as the lists that it stands for, near or far."""
    if isinstance(result, Placed | PlacedHere):
        return list(result.fetch())
    if isinstance(result, dict):
        return {name: fetched(part) for name, part in result.items()}
    return tuple(map(fetched, result)) if type(result) is tuple else result


def same_outcome(found: Any, wanted: Any) -> bool:
    """Return whether two results are of the same Python classes, containers and what is in them."""
    if type(found) is not type(wanted):
        return False
    if isinstance(found, dict):
        return list(found) == list(wanted) and all(same_outcome(found[k], wanted[k]) for k in found)
    if isinstance(found, list | tuple):
        return len(found) == len(wanted) and all(map(same_outcome, found, wanted))
    return True
