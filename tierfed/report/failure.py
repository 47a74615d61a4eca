"""Failures, told: for people in lines, for programs in the `error` of a document.

    error: fedavg:local_update: ValueError: boom
      to mend: see the traceback
      node c-us-05, its log: .tierfed/runs/7f3a90c2/logs/c-us-05.jsonl
      | Traceback (most recent call last): …

The traceback of another process is never hidden: it is what the user has to mend.  The problems of
a topology stand a line each, as editors read them: `file:line:column: error: …`.
"""

from __future__ import annotations

from pathlib import Path
from traceback import format_exception
from typing import Any

from tierfed.errors import TierfedError, TopologyError

INTERRUPTED = 130
BROKEN_PIPE = 141  # 128 + SIGPIPE, as shells have it
RUN_FAILED = 4
_LONGEST = 160  # letters of a place, told to people


def told(error: BaseException, *, log: str | None = None, traceback: bool = True) -> str:
    """Return the lines that tell people of `error`, without a `traceback` that they have seen."""
    if isinstance(error, TopologyError) and error.problems:
        return "\n".join(str(problem) for problem in error.problems)
    if not isinstance(error, TierfedError):
        return f"error: {type(error).__name__}: {error}\n" + _bar("".join(format_exception(error)))
    where = f"{_shortened(error.where)}: " if error.where else ""
    lines = [f"error: {where}{error.what}"]
    if error.mend:
        lines.append(f"  to mend: {error.mend}")
    if error.node is not None:
        lines.append(f"  node {error.node}" + (f", its log: {log}" if log else ""))
    if error.remote_traceback and traceback:
        lines.append(_bar(error.remote_traceback))
    return "\n".join(lines)


def _shortened(where: str) -> str:
    """Return `where` without its middle if it is long: the type of a program takes a screen."""
    return where if len(where) <= _LONGEST else f"{where[: _LONGEST // 2]} … {where[-_LONGEST // 4 :]}"


def _bar(text: str) -> str:
    return "\n".join(f"  | {line}" for line in text.rstrip().splitlines())


def document(error: TierfedError | None) -> dict[str, Any] | None:
    """Return the `error` of a document."""
    if error is None:
        return None
    plain = error.to_dict()
    return {key: plain[key] for key in ("where", "what", "mend", "node", "traceback")}


def problems(error: TierfedError | None) -> list[dict[str, Any]]:
    """Return the problems of a topology, each on its own; none if the error is another one."""
    if not isinstance(error, TopologyError):
        return []
    from tierfed.topology.problems import Problem, dotted  # loaded already if there are problems

    return [
        {
            "file": problem.place.label,
            "line": problem.place.line or None,
            "column": problem.place.column if problem.place.line else None,
            "path": dotted(problem.path),
            "what": problem.what,
            "unsupported": problem.unsupported,
        }
        for problem in error.problems
        if isinstance(problem, Problem)
    ]


def internal(error: BaseException) -> TierfedError:
    """Return a defect of ours as an error of the tree."""
    return TierfedError(
        f"{type(error).__name__}: {error}",
        where="internal",
        mend="this is a defect of tierfed: please report it with the traceback",
        remote_traceback="".join(format_exception(error)),
    )


def interrupted(run_dir: Path | None = None) -> TierfedError:
    """Return what programs get of a command that was interrupted, with how its run can go on, if it can."""
    if run_dir is None or not any((run_dir / "checkpoints").glob("*.ckpt")):
        return TierfedError("interrupted")
    return TierfedError("interrupted", where=f"run {run_dir.name}", mend=f"go on: tierfed run --resume {run_dir.name}")


def exit_code(error: TierfedError, *, running: bool = False) -> int:
    """Return the exit code for `error`; while a job is running, what has no other code is the run's failure."""
    return RUN_FAILED if running and error.exit_code == 1 else error.exit_code


def log_of(error: TierfedError, run_dir: Path) -> str | None:
    """Return the path of the log of the node where `error` happened, as short as it can be said."""
    if error.node is None:
        return None
    path = run_dir / "logs" / f"{error.node}.jsonl"
    return shown(path) if path.exists() else None


def shown(path: Path) -> str:
    """Return `path` as people would write it: relative to here, if it is below."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
