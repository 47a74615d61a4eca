"""RunTree: a running tree as a job sees it.

    model = await tree.resume() or initial_model(tree.seed)
    for r in tree.rounds(20):
        model = await tree.ainvoke(step, model)
        tree.release(r, await tree.ainvoke(evaluate, model))
        await tree.checkpoint(r, model)

It joins a context, which runs computations, and the recorder of the run.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import math
import numbers
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tierfed.codecs.error_feedback import RESIDUAL
from tierfed.errors import JobError
from tierfed.jobs import checkpoint
from tierfed.language import context as contexts
from tierfed.language.computation import Computation
from tierfed.language.job import Job
from tierfed.node.keepers import states
from tierfed.node.saving import CHECKPOINTS
from tierfed.topology import Topology
from tierfed.user_line import located

if TYPE_CHECKING:
    from tierfed.backends.native.context import NativeContext
    from tierfed.errors import TierfedError
    from tierfed.jobs.inflicting import Inflicting
    from tierfed.jobs.recorder import Recorder
    from tierfed.launch.processes import Deployment
    from tierfed.report.page import Report


def _never(metrics: Mapping[str, float]) -> bool:
    return False


class RunTree:
    """A running tree as a job sees it; made by `up`, and handed to a job.

    It is a context, to be entered with `with` or `async with`, which take it down at the end.
    """

    def __init__(
        self,
        topology: Topology,
        context: NativeContext,
        recorder: Recorder,
        deployment: Deployment | None,
    ) -> None:
        self.topology = topology
        self.deployment = deployment
        self.recorder = recorder
        self._context = context
        self._resumed: tuple[int, Any] | None = None
        self._faults: Inflicting | None = None
        self._closed = False

    @property
    def run_id(self) -> str:
        """The run's id, eight hex digits."""
        return self.recorder.run_dir.name

    @property
    def run_dir(self) -> Path:
        """The run's folder."""
        return self.recorder.run_dir

    @property
    def seed(self) -> int:
        """The topology's seed."""
        return self.topology.seed

    @property
    def now(self) -> float:
        """Seconds by the clock that times rounds: virtual ones since a fleet came up, else this machine's."""
        return self.recorder.clock()

    # -- what jobs call

    def invoke(self, computation: Computation, *args: Any, **kwargs: Any) -> Any:
        """Return the result of `computation` on the tree."""
        with located(computation.name):
            return self._context.invoke(computation, *args, **kwargs)

    async def ainvoke(self, computation: Computation, *args: Any, **kwargs: Any) -> Any:
        """Return the result of `computation` on the tree."""
        with located(computation.name):  # whose line is the awaiting coroutine's
            return await self._context.ainvoke(computation, *args, **kwargs)

    async def sleep(self, seconds: float) -> None:
        """Return when so many seconds have passed by the clock that times rounds.

        On a fleet they pass at once, and members come and go meanwhile; on daemons they are this machine's.
        """
        await self._context.arun(asyncio.sleep(_duration(seconds, "tree.sleep")))

    def wait(self, seconds: float) -> None:
        """Do what `sleep` does, blocking."""
        self._context.run(asyncio.sleep(_duration(seconds, "tree.wait")))

    def rounds(self, count: int, *, until: Callable[[Mapping[str, float]], bool] = _never) -> Iterator[int]:
        """Yield the numbers of the rounds to be done, from 0 or from where a resumed run left off.

        `until` is asked after each, with the metrics that were released last; where it says so that was the last round.
        """
        first = 0 if self._resumed is None else self._resumed[0] + 1
        for number in range(first, count):
            self.recorder.round_begins(number, count)
            yield number
            self.recorder.round_ends()
            if until(self.recorder.metrics):
                return

    def release(self, round: int, metrics: Any) -> None:
        """Report the metrics of a round: a mapping of names to numbers."""
        self.recorder.released(round, _numbers(metrics))

    async def checkpoint(self, round: int, state: Any) -> None:
        """Keep `state`, from which `--resume` goes on after `round`."""
        if any(RESIDUAL in states(c) for m in self.topology.nodes.values() for c in (m.codec_up, m.codec_down)):
            await self._context.save(round)
        with self._context.standing():
            await asyncio.to_thread(checkpoint.save, self.run_dir / CHECKPOINTS, round, state)
        self.recorder.event("checkpoint", round=round)

    async def resume(self) -> Any | None:
        """Return the state that this run goes on from, None if it starts from nothing."""
        return None if self._resumed is None else self._resumed[1]

    # -- what runs jobs calls

    def inflict(self, faults: Inflicting) -> None:
        """Have faults done to the tree, by its rounds, until it is closed."""
        self._faults = faults
        self.recorder.on_round = faults.round_begins

    def run_job(self, job: Job[..., Any], params: Mapping[str, Any] | None = None, resume: Path | None = None) -> Any:
        """Return what `job` returns, run here, now; `resume` is the folder of the run that it goes on from.

        Raises whatever the job raises.
        """
        job.check(params or {}, "job.params")
        if resume is not None:
            self._resumed = checkpoint.of_run(resume)
            self.recorder.event("resumed", run=resume.name, round=self._resumed[0])
        start, here = self.now, time.monotonic()
        contexts.enter(self._context)
        try:
            return _ran(_awaited(job, self, dict(params or {})))
        finally:
            contexts.leave(self._context)
            self.recorder.seconds["job"] = round(self.now - start, 6)
            self.recorder.seconds["here"] = round(time.monotonic() - here, 6)

    def summary(self, status: str, error: TierfedError | None = None) -> dict[str, Any]:
        """Return the document of the run."""
        return self.recorder.summary(status, error)

    def report(self, metric: str | None = None) -> Report:
        """Return the report of the run so far: shown by a notebook, saved by `.save("report.html")`."""
        # by the package's public name, which is found when it is used: the report's floor is above this one
        made: Report = importlib.import_module("tierfed").report_of(self, metric=metric)
        return made

    def __repr__(self) -> str:
        return f"<run {self.run_id} : {self.topology.name}, {'closed' if self._closed else 'up'}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: what each tier has sent, and the rounds so far."""
        from tierfed.jobs.notebook_view import as_html

        return as_html(self.recorder, "closed" if self._closed else "up")

    def close(self, down: bool = True) -> None:
        """Say goodbye to the tree, and take it down if it was brought up here and `down` says so."""
        if self._closed:
            return
        self._closed = True
        if self._faults is not None:
            self._faults.close()
        try:
            self._context.close()
        finally:
            try:
                if self.deployment is not None and down:
                    self.deployment.down()
                    self.recorder.event("down")
            finally:
                self.recorder.close()

    def __enter__(self) -> RunTree:
        contexts.enter(self._context)
        return self

    def __exit__(self, *exc: object) -> None:
        contexts.leave(self._context)
        self.close()

    async def __aenter__(self) -> RunTree:
        return self.__enter__()

    async def __aexit__(self, *exc: object) -> None:
        contexts.leave(self._context)
        await asyncio.to_thread(self.close)


def _ran(work: Coroutine[Any, Any, Any]) -> Any:
    """Return what `work` returns, on a loop of its own: in another thread where this one runs a loop, as Jupyter's."""
    if asyncio._get_running_loop() is None:  # `get_running_loop` raises, and what a job raises would be chained to it
        return asyncio.run(work)
    with ThreadPoolExecutor(1, "tierfed job") as thread:
        return thread.submit(contextvars.copy_context().run, asyncio.run, work).result()


async def _awaited(job: Job[..., Any], tree: RunTree, params: dict[str, Any]) -> Any:
    return await job(tree, **params)


def _duration(seconds: Any, where: str) -> float:
    """Return a number of seconds; raises JobError for anything else."""
    if not isinstance(seconds, numbers.Real) or isinstance(seconds, bool) or not 0 <= float(seconds) < math.inf:
        raise JobError(
            f"{seconds!r} is no number of seconds", where=where, mend="pass a number from 0 on, as 3600 for an hour"
        )
    return float(seconds)


def _numbers(metrics: Any) -> dict[str, float]:
    """Return metrics as plain numbers by name; raises JobError for anything else."""
    if not isinstance(metrics, Mapping):
        raise JobError(
            f"metrics are a {type(metrics).__name__}", where="tree.release", mend="pass a dict of names to numbers"
        )
    plain: dict[str, float] = {}
    for name, value in metrics.items():
        one = value.item() if isinstance(value, np.generic | np.ndarray) and np.size(value) == 1 else value
        if not isinstance(one, numbers.Real):
            raise JobError(
                f"the metric {name} is {value!r}", where="tree.release", mend="report one number under each name"
            )
        plain[str(name)] = int(one) if isinstance(one, numbers.Integral) else float(one)
    return plain
