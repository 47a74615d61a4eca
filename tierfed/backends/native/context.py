"""The native context: computations run on a tree of daemons.

A call compiles the computation for the tree's hierarchy (once), checks what the user passed,
and has the driver invoke it.  Synchronous calls wait on a loop thread; asynchronous ones await it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, TypeVar

from tierfed.backends.loop_thread import LoopThread
from tierfed.backends.native.at_members import AtMembers
from tierfed.backends.native.driver import Driver, KeptAt, Record
from tierfed.compiler import Compiled, compile
from tierfed.compiler.normalise import PARTS
from tierfed.data.member import MEMBER_TYPE
from tierfed.errors import NoSuchRun, TierfedError
from tierfed.language import context as contexts
from tierfed.language.arguments import brought, fit, handles
from tierfed.language.computation import Computation, federated_computation
from tierfed.language.functions import applied
from tierfed.language.operators import federated_data
from tierfed.language.placed import Placed
from tierfed.language.results import shown
from tierfed.leaves import check_deployable
from tierfed.node import transport
from tierfed.node.node import Membership
from tierfed.node.pulse import PULSE, Pulse
from tierfed.node.reception import Transport
from tierfed.placements import Tree
from tierfed.types import FederatedType

_T = TypeVar("_T")


def _no_longer_whole(sources: Iterable[AtMembers]) -> None:
    """Somebody was lost, perhaps for want of a value: from now on defaults are sent."""
    for source in sources:
        source.whole = False


@functools.lru_cache(maxsize=64)
def _fetching(t: FederatedType) -> Computation:
    """Return the program that returns its argument, and beside it which members it is of."""

    def itself(x: Any) -> Any:
        return x, federated_data("tierfed:member", MEMBER_TYPE, t.placement).index

    return Computation(federated_computation(t)(itself).node, f"fetch of {t}")


class NativeContext:
    """Runs computations on the tree whose root the driver is connected to.

    `check` may refuse a program for this tree; `explain` may add to an error what the tree
    itself cannot know, and may take its time.  The driver runs on `loop`, if given, and dials `over` that transport.
    `prepare` is what each invocation is within.
    """

    def __init__(
        self,
        tree: Tree,
        address: tuple[str, int],
        membership: Membership,
        *,
        on_record: Callable[[Computation, Record], None] = lambda computation, record: None,
        on_progress: Callable[[Mapping[str, Any]], None] = lambda report: None,
        on_raised: Callable[[TierfedError], None] = lambda error: None,
        explain: Callable[[TierfedError], None] = lambda error: None,
        check: Callable[[Compiled], None] = lambda compiled: None,
        prepare: Callable[[Compiled], AbstractAsyncContextManager[None]] = lambda compiled: contextlib.nullcontext(),
        loop: LoopThread | None = None,
        over: Transport = transport,
        pulse: Pulse = PULSE,
        session: str | None = None,
    ) -> None:
        self.tree = tree
        self._check = check
        self._explain = explain
        self._on_record = on_record
        self._prepare = prepare
        self._compiled: dict[tuple[Computation, frozenset[str], bool], Compiled] = {}
        self._compiling = threading.Lock()  # calls come from any thread
        self._driver = Driver(on_progress, on_raised, pulse, session)
        self._loop = loop or LoopThread("tierfed driver")
        try:
            self._loop.run(self._driver.connect(address, membership, over=over))
        except BaseException:
            self._loop.close()
            raise

    def compiled(self, computation: Computation, recalled: frozenset[str] = frozenset(), keep: bool = True) -> Compiled:
        """Return `computation` compiled for this tree; raises CompileError or CodecError if it does not fit.

        `recalled` and `keep` are those of `tierfed.compile`.
        """
        with self._compiling:
            found = self._compiled.get((computation, recalled, keep))
            if found is None:
                check_deployable(computation.node)
                self.tree.check_singletons()
                found = compile(computation, self.tree.hierarchy, recalled=recalled, keep=keep)
                self._check(found)
                self._compiled[computation, recalled, keep] = found
            return found

    async def save(self, round_number: int) -> None:
        """Have the nodes save what they keep for their codecs, beside the checkpoint of that round."""
        await self._loop.arun(self._driver.save(round_number))

    def invoke(self, computation: Computation, *args: Any, **kwargs: Any) -> Any:
        """Return the result of `computation` at these arguments."""
        program, argument = applied(computation, args, kwargs)
        return self._loop.run(self._invoke(program, self._fetched(program, argument)))

    async def ainvoke(self, computation: Computation, *args: Any, **kwargs: Any) -> Any:
        """Return the result of `computation` at these arguments."""
        program, argument = applied(computation, args, kwargs)
        t = program.type_signature.parameter
        if t is not None and not all(self._has(handle) for _, handle in handles(argument, t, PARTS)):
            with self._loop.standing():
                argument = await asyncio.to_thread(self._fetched, program, argument)
        return await self._loop.arun(self._invoke(program, argument))

    def _fetched(self, computation: Computation, argument: Any) -> Any:
        """Return a held argument in which handles of other trees are lists; those of this one stay what they are."""
        t = computation.type_signature.parameter
        return argument if t is None else brought(argument, t, self._has)

    def _has(self, handle: Placed) -> bool:
        return isinstance(handle.source, AtMembers) and handle.source.context is self

    async def _invoke(self, computation: Computation, argument: Any) -> Any:
        t = computation.type_signature
        result, record = await self._run(computation, argument, keep=True)
        kept: dict[str, AtMembers] = {}  # one for each key, however often it is returned

        def handle(value: Any, of: FederatedType) -> Placed:
            assert isinstance(value, KeptAt)
            if value.key not in kept:
                kept[value.key] = AtMembers(self, of, value.key, record.counts.get(of.placement.name, 0))
            return Placed(of, kept[value.key])

        return shown(result, t.result, handle)

    async def _run(self, computation: Computation, argument: Any, *, keep: bool) -> tuple[Any, Record]:
        """Return the held result of a computation at a held argument, and the record.

        Without `keep` handles are fetched: all who have what they stand for take part, drawn or not.
        """
        t = computation.type_signature
        fit(argument, t, self.tree)
        own = {} if t.parameter is None else dict(handles(argument, t.parameter, PARTS))
        sources = {name: h.source for name, h in own.items() if isinstance(h.source, AtMembers)}
        keys = {name: source.key for name, source in sources.items()}
        defaults = {f"{n}.default": h.default[0] for n, h in own.items() if h.default and not sources[n].whole}
        recalled = frozenset((*keys, *defaults))
        compiled = self._compiled.get((computation, recalled, keep))
        if compiled is None:  # in a thread: the loop has other calls
            compiled = await asyncio.to_thread(self.compiled, computation, recalled, keep)
        try:
            async with self._prepare(compiled):
                result, record = await self._driver.invoke(compiled, argument, keys, defaults, everyone=not keep)
        except TierfedError as error:
            _no_longer_whole(sources.values())
            await asyncio.to_thread(self._explain, error)
            raise
        if record.lost:
            _no_longer_whole(sources.values())
        self._on_record(computation, record)
        return result, record

    async def fetched(self, source: AtMembers) -> dict[int, Any]:
        """Return the held constituents of what is at its members, brought here, by the index of their member."""
        (values, indices), _ = await self._run(_fetching(source.of), Placed(source.of, source), keep=False)
        return dict(zip(map(int, indices), values, strict=True))

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Return what `work` returns, on the driver's loop."""
        return self._loop.run(work)

    async def arun(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Return what `work` returns, on the driver's loop."""
        return await self._loop.arun(work)

    def standing(self) -> AbstractContextManager[None]:
        """Within, no virtual time passes: the caller, a coroutine, is about something else."""
        return self._loop.standing()

    def release(self, key: str) -> None:
        """Let the members forget what they keep under `key`; called whenever, from any thread."""
        self._loop.soon(lambda: self._driver.release([key]))

    def close(self) -> None:
        """Say goodbye to the root; once more does nothing."""
        contexts.leave(self)
        with contextlib.suppress(NoSuchRun):  # it is closed
            self._loop.run(self._driver.close())
        self._loop.close()

    def __enter__(self) -> NativeContext:
        contexts.enter(self)
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    async def __aenter__(self) -> NativeContext:
        return self.__enter__()

    async def __aexit__(self, *exc: object) -> None:
        contexts.leave(self)
        await asyncio.to_thread(self.close)
