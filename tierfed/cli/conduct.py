"""Conduct: a job on a tree, from its first process to the last line about it.

    tree up ─ view ─ job ─ view closed ─ tree down (or left) ─ summary for people, document for programs

`up` and `run` differ in where the tree comes from and in what is left of it; everything between
is here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import tierfed
from tierfed.cli.interruption import interruptible
from tierfed.cli.outcome import Told
from tierfed.errors import Advice, JobError, LeafError, TierfedError
from tierfed.jobs import program
from tierfed.jobs.tree import RunTree
from tierfed.report import failure, summary
from tierfed.report.dashboard import Dashboard
from tierfed.report.output import Output
from tierfed.report.view import view
from tierfed.topology import Topology

if TYPE_CHECKING:
    from tierfed.language.job import Job

Start = Callable[[Callable[[dict[str, Any]], None]], RunTree]
"""Brings a tree up, or finds one, and tells the given function of what happens."""

_JOB = "job.json"
_OURS = Path(tierfed.__file__).parent
_LOOP = Path(asyncio.__file__).parent


@dataclass(frozen=True, slots=True)
class Work:
    """What to run: a job under the name it was asked for, its parameters, and the run that it goes on from."""

    spec: str
    job: Job[..., Any]
    params: Mapping[str, Any] = field(default_factory=dict)
    resume: Path | None = None


def work(spec: str, params: Mapping[str, Any], topology: Topology, output: Output, resume: Path | None = None) -> Work:
    """Return the job that `spec` names, held against its parameters and `topology`.

    Raises the first of what is wrong, when all of it has been told.
    """
    folder = topology.source.parent if topology.source is not None else None
    with output.user_code():
        job = program.load_job(spec, folder)
    found = program.misfits(job, params, topology)
    for advice in found:
        if isinstance(advice, Advice):
            output.warn(str(advice))
    misfits = [error for error in found if not isinstance(error, Advice)]
    for error in misfits[:-1]:
        output.fail(error)
    if misfits:
        raise misfits[-1]
    return Work(spec, job, params, resume)


def heed(topology: Topology, output: Output) -> None:
    """Tell of what was probably not meant in the file of a tree that is to come up, and of what processes do not do."""
    for note in topology.notes:
        output.warn(str(note))
    if any(node.available is not None for node in topology.nodes.values()):
        where = topology.source.name if topology.source is not None else topology.name
        output.warn(f"{where}: available: processes are always there; tierfed simulate keeps hours")


def of_file(topology: Topology, output: Output) -> Work:
    """Return the job of a topology.  Raises JobError if it has none."""
    if topology.job is None:
        raise JobError(
            "the file has no job",
            where=topology.source.name if topology.source is not None else topology.name,
            mend="write `job: {program: module:function}`, or use -d or --no-job",
        )
    return work(topology.job.program, topology.job.params, topology, output)


def conduct(
    topology: Topology, start: Start, what: Work, output: Output, *, leave: bool, dashboard: bool = False
) -> None:
    """Run `what` on the tree that `start` gives, and tell everybody how it went.

    The tree is left up if `leave`, unless it is interrupted; with `dashboard` a page shows it meanwhile.

    Raises Told unless all went well, or what `start` raises.
    """
    status, error, code = "ok", None, 0
    with interruptible(output):
        tree: RunTree | None = None
        down = True
        watching = view(topology, output)
        board = Dashboard(topology) if dashboard else None
        shown: list[TierfedError] = []

        def heard(event: dict[str, Any]) -> None:
            watching.happened(event)
            if board is not None:
                board.happened(event)
            if event["event"] == "raised" and not shown:  # a client's first traceback: what there is to mend
                shown.append(TierfedError.from_dict(event["error"]))
                watching.fail(shown[0], log=failure.log_of(shown[0], tree.run_dir) if tree else None)

        try:
            with output.user_code(), _served(board, output), watching:
                tree = start(heard)
                remember(tree, what)
                try:
                    tree.run_job(what.job, what.params, what.resume)
                    watching.happened({"event": "done"})
                except TierfedError as raised:
                    status, error, code = "failed", raised, failure.exit_code(raised, running=True)
                except Exception as raised:
                    status, error, code = "failed", _raised(what, raised), failure.RUN_FAILED
                down = not leave
                if board is not None:
                    board.over(status)
        except KeyboardInterrupt:
            if tree is None:
                raise
            goes_on = None if tree.recorder.virtual else tree.run_dir
            status, error, code = "interrupted", failure.interrupted(goes_on), failure.INTERRUPTED
        finally:
            if tree is not None:
                _leave(tree, down)
    assert tree is not None
    document = tree.summary(status, error)
    (tree.run_dir / "summary.json").write_text(json.dumps(document, indent=2, default=str) + "\n", encoding="utf-8")
    if error is not None and status == "failed":
        seen = bool(shown) and shown[0].remote_traceback == error.remote_traceback
        output.fail(error, log=failure.log_of(error, tree.run_dir), traceback=not seen)
    output.say(summary.told(document, left=None if down else tree.run_id))
    output.document(document)
    if code:
        raise Told(code)


@contextlib.contextmanager
def _served(board: Dashboard | None, output: Output) -> Iterator[None]:
    """Serve the page of a run, if there is one, and say where it is."""
    if board is None:
        yield
        return
    with board.served() as address:
        output.say(f"dashboard: {address}")
        try:
            yield
        except KeyboardInterrupt:
            board.over("interrupted")
            raise


def _leave(tree: RunTree, down: bool) -> None:
    """Close the connection to a tree that goes down, or stays up without us."""
    if not down and tree.deployment is not None:
        tree.deployment.detach()
    tree.close(down)


def _raised(what: Work, raised: Exception) -> TierfedError:
    """Return the error of a job that raised one of its own."""
    return LeafError(
        f"{what.job.__qualname__} raised {type(raised).__name__}: {raised}",
        where=f"job {what.spec}",
        mend="see the traceback",
        remote_traceback="".join(traceback.format_exception(type(raised), raised, _from_user_code(raised))),
    )


def _from_user_code(raised: Exception) -> TracebackType | None:
    """Return the traceback of `raised` from the first frame that is neither ours nor the event loop's."""
    at = raised.__traceback__
    while at is not None and Path(at.tb_frame.f_code.co_filename).is_relative_to(_OURS):
        at = at.tb_next
        while at is not None and Path(at.tb_frame.f_code.co_filename).parent == _LOOP:
            at = at.tb_next
    return at if at is not None else raised.__traceback__


def remember(tree: RunTree, what: Work) -> None:
    """Write down what runs, for `run --resume`."""
    plain = {"program": what.spec, "params": dict(what.params)}
    (tree.run_dir / _JOB).write_text(json.dumps(plain, indent=2, default=str) + "\n", encoding="utf-8")


def remembered(run_dir: Path) -> tuple[str, dict[str, Any]] | None:
    """Return the program and parameters of the last job of a run, None if it ran none."""
    try:
        found = json.loads((run_dir / _JOB).read_text(encoding="utf-8"))
        return str(found["program"]), dict(found["params"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
