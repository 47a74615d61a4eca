"""The native context: computations run on a tree of daemons.

A call compiles the computation for the tree's hierarchy (once), checks what the user passed,
and has the driver invoke it.  Synchronous calls wait on a loop thread; asynchronous ones await it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any

from tierfed.backends.loop_thread import LoopThread
from tierfed.backends.native.driver import Driver, Record
from tierfed.compiler import Compiled, compile
from tierfed.errors import TierfedError
from tierfed.language import context as contexts
from tierfed.language.arguments import fit, hold_arguments, shown
from tierfed.language.computation import Computation
from tierfed.leaves import check_deployable
from tierfed.node.node import Membership
from tierfed.placements import Tree


class NativeContext:
    """Runs computations on the tree whose root the driver is connected to.

    `check` may refuse a program for this tree; `explain` may add to an error what the tree
    itself cannot know, and may take its time.
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
    ) -> None:
        self.tree = tree
        self._check = check
        self._explain = explain
        self._on_record = on_record
        self._compiled: dict[Computation, Compiled] = {}
        self._compiling = threading.Lock()  # calls come from any thread
        self._driver = Driver(on_progress, on_raised)
        self._loop = LoopThread("tierfed driver")
        try:
            self._loop.run(self._driver.connect(address, membership))
        except BaseException:
            self._loop.close()
            raise

    def compiled(self, computation: Computation) -> Compiled:
        """Return `computation` compiled for this tree; raises CompileError or CodecError if it does not fit."""
        with self._compiling:
            found = self._compiled.get(computation)
            if found is None:
                check_deployable(computation.node)
                self.tree.check_singletons()
                found = compile(computation, self.tree.hierarchy)
                self._check(found)
                self._compiled[computation] = found
            return found

    def invoke(self, computation: Computation, *args: Any, **kwargs: Any) -> Any:
        """Return the result of `computation` at these arguments."""
        return self._loop.run(self._invoke(computation, hold_arguments(computation.type_signature, args, kwargs)))

    async def ainvoke(self, computation: Computation, *args: Any, **kwargs: Any) -> Any:
        """Return the result of `computation` at these arguments."""
        argument = hold_arguments(computation.type_signature, args, kwargs)
        return await self._loop.arun(self._invoke(computation, argument))

    async def _invoke(self, computation: Computation, argument: Any) -> Any:
        t = computation.type_signature
        fit(argument, t, self.tree)
        compiled = self._compiled.get(computation)
        if compiled is None:  # in a thread: the loop has other calls
            compiled = await asyncio.to_thread(self.compiled, computation)
        try:
            result, record = await self._driver.invoke(compiled, argument)
        except TierfedError as error:
            await asyncio.to_thread(self._explain, error)
            raise
        self._on_record(computation, record)
        return shown(result, t.result)

    def close(self) -> None:
        """Say goodbye to the root."""
        contexts.leave(self)
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
