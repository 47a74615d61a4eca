"""Programs named in a topology or on the command line: found, and checked before anything starts.

    load_job("fedavg:train", folder)      folder first on sys.path, then `fedavg.train`
    misfits(job, params, topology)        parameters, and the round's program on that topology

Checking imports user code, which may do anything, so it can happen in a process of its own.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tierfed.errors import JobError, TierfedError
from tierfed.jobs.modules import imported
from tierfed.language.job import Job
from tierfed.launch.interpreter import python_path
from tierfed.topology import Topology, load_topology

_PATIENCE = 120.0  # seconds that an import may take


def load_job(spec: str, folder: Path | None) -> Job[..., Any]:
    """Return the job at `module:function`, with `folder` first on `sys.path`.

    Raises JobError, naming what is missing, with a suggestion.
    """
    where = f"job.program {spec}"
    module_name, colon, name = spec.partition(":")
    if not colon or not module_name or not name:
        raise JobError(
            f"{spec!r} names no job", where="job.program", mend="write `module:function`, as in fedavg:train"
        )
    module = imported(module_name, folder, where)
    found = getattr(module, name, None)
    if found is None:
        jobs = [n for n, v in vars(module).items() if isinstance(v, Job)]
        near = difflib.get_close_matches(name, jobs, 1)
        raise JobError(
            f"{module_name} has no {name}" + (f"; did you mean {near[0]!r}?" if near else ""),
            where=where,
            mend=f"its jobs: {', '.join(jobs) or 'none; decorate one with @tierfed.job'}",
        )
    if not isinstance(found, Job):
        raise JobError(f"{name} is no job", where=where, mend="decorate it with @tierfed.job")
    return found


def misfits(
    job: Job[..., Any],
    params: Mapping[str, Any],
    topology: Topology | None,
) -> list[TierfedError]:
    """Return why `job` cannot run with `params` on `topology`, as far as that is known before it runs; advice last.

    What a round computes is known if the job names it: @tierfed.job(round=step).
    """
    found: list[TierfedError] = []
    try:
        job.check(params, "job.params")
    except TierfedError as error:
        found.append(error)
    try:
        round = job.round_of({} if found else params)
    except TierfedError as error:
        return [error]
    if topology is not None and round is not None:
        from tierfed.compiler import compile  # with numpy, which a look at parameters does not need
        from tierfed.topology import deadlines, plan

        try:
            compiled = compile(round, topology.hierarchy)
            found += plan.misfits(topology, compiled)
            found += deadlines.unmet(topology, compiled)
            found += plan.idle_rules(topology, compiled)
        except TierfedError as error:
            error.where = f"{round.name}: {error.where}" if error.where else round.name
            found.append(error)
    return found


def check_in_subprocess(
    spec: str, params: Mapping[str, Any], folder: Path | None, file: Path | None = None, sets: Sequence[str] = ()
) -> list[TierfedError]:
    """Return what is wrong with a job, its parameters and its round, found in a process of its own.

    `file` and `sets` give the topology, which is read there again: a large one is as quickly made as told.
    """
    request = json.dumps(
        {
            "spec": spec,
            "params": dict(params),
            "folder": None if folder is None else str(folder),
            "file": None if file is None else str(file),
            "sets": list(sets),
        }
    )
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "tierfed.jobs.program"],
            env={**os.environ, **python_path(os.environ)},
            input=request,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [
            JobError(
                f"its import did not end within {_PATIENCE:g} s",
                where=f"job.program {spec}",
                mend="put what runs under `if __name__ == '__main__':`",
            )
        ]
    try:
        return [TierfedError.from_dict(error) for error in json.loads(done.stdout)]
    except ValueError:
        last = done.stderr.strip().rpartition("\n")[2]
        return [
            JobError(
                f"its import ended the process with {done.returncode}: {last}",
                where=f"job.program {spec}",
                mend="run it alone and see",
            )
        ]


def _answer(request: Mapping[str, Any]) -> list[dict[str, str | None]]:
    folder = None if request["folder"] is None else Path(request["folder"])
    try:
        job = load_job(request["spec"], folder)
        topology = None if request["file"] is None else load_topology(request["file"], request["sets"])
    except TierfedError as error:
        return [error.to_dict()]
    return [error.to_dict() for error in misfits(job, request["params"], topology)]


if __name__ == "__main__":
    asked = json.loads(sys.stdin.read())
    with contextlib.redirect_stdout(sys.stderr):  # what the program prints when it is imported
        told = json.dumps(_answer(asked))
    sys.stdout.write(told)
