"""Every error that TierFed raises, as one tree.

    TierfedError
    ├─ Advice                  what is probably not meant: told, never raised
    ├─ PlacementError          a placement or hierarchy that cannot be
    ├─ TypeMismatch            a program whose types do not fit (trace and check time)
    │  └─ NotationError        a type written in notation that cannot be read
    ├─ ValueMismatch           a value that is not of the type it should be
    ├─ CompileError            a program that does not fit its hierarchy
    ├─ TopologyError           a topology file, all of its problems at once      exit 2
    │  └─ UnsupportedError     well written, but not in this version             exit 2
    ├─ CodecError              an array that a codec cannot carry, or bytes it cannot read
    ├─ FrameError              bytes from a peer that are no frame
    ├─ ProtocolError           a frame that its peer had no business sending
    │  └─ NoBase               the difference to what its receiver has not
    ├─ DataError               a data set, URI or provider that is not there     exit 2
    ├─ JobError                a job, or parameters of one, that cannot be run   exit 2
    ├─ SweepError              a sweep that cannot be run                        exit 2
    ├─ SettingError            an environment variable that cannot be             exit 2
    ├─ LeafError               a local computation raised                        exit 4
    ├─ EmptyAggregate          a mean, min or max over nobody                    exit 4
    ├─ RoundFailed             below quorum, past its deadline                   exit 4
    ├─ StorageError            no room on disk for what has to be kept           exit 4
    ├─ NotReady                a tree that was not up in time                    exit 3
    └─ NoSuchRun               no such deployment, run or node                   exit 5

Each reads *where: what*, and on the next line *to mend: how*.
"""

from __future__ import annotations

__all__ = [
    "Advice",
    "CodecError",
    "CompileError",
    "DataError",
    "EmptyAggregate",
    "FrameError",
    "JobError",
    "LeafError",
    "NoBase",
    "NoSuchRun",
    "NotReady",
    "NotationError",
    "PlacementError",
    "ProtocolError",
    "RoundFailed",
    "SettingError",
    "StorageError",
    "SweepError",
    "TierfedError",
    "TopologyError",
    "TypeMismatch",
    "UnsupportedError",
    "ValueMismatch",
]


class TierfedError(Exception):
    """The root of the tree: what went wrong, where, and what would mend it.

    `node` names the member at which it happened, and `remote_traceback` is the
    traceback there, when the error crossed a link.

    >>> try:
    ...     tierfed.to_type("flaot32")
    ... except tierfed.TierfedError as error:
    ...     print(error.what, "/", error.mend)
    no type is called 'flaot32' / did you mean 'float32'?
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        mend: str | None = None,
        node: str | None = None,
        remote_traceback: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.mend = mend
        self.node = node
        self.remote_traceback = remote_traceback

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        return f"{line}\n  to mend: {self.mend}" if self.mend else line

    def to_dict(self) -> dict[str, str | None]:
        """Return the error as the JSON documents and the wire carry it."""
        return {
            "kind": type(self).__name__,
            "where": self.where,
            "what": self.what,
            "mend": self.mend,
            "node": self.node,
            "traceback": self.remote_traceback,
        }

    @staticmethod
    def from_dict(data: dict[str, str | None]) -> TierfedError:
        """Return the error that `to_dict` wrote; an unknown kind is a plain TierfedError."""
        kind = globals().get(str(data.get("kind")), TierfedError)
        if not (isinstance(kind, type) and issubclass(kind, TierfedError)):
            kind = TierfedError
        return kind(
            str(data.get("what")),
            where=data.get("where"),
            mend=data.get("mend"),
            node=data.get("node"),
            remote_traceback=data.get("traceback"),
        )


class Advice(TierfedError):
    """What is probably not meant: it is told, and nothing is ended by it."""


class PlacementError(TierfedError):
    """A placement or a hierarchy that cannot be."""

    exit_code = 2


class TypeMismatch(TierfedError):
    """A program whose types do not fit."""

    exit_code = 2


class NotationError(TypeMismatch):
    """A type written in notation that cannot be read."""


class ValueMismatch(TierfedError):
    """A value that is not of the type it should be."""


class CompileError(TierfedError):
    """A program that does not fit its hierarchy."""

    exit_code = 2


class TopologyError(TierfedError):
    """A topology file with problems: all of them at once, in `problems`, sorted by position."""

    exit_code = 2

    def __init__(self, what: str, *, problems: tuple[object, ...] = (), **rest: str | None) -> None:
        super().__init__(what, **rest)
        self.problems = problems


class UnsupportedError(TopologyError):
    """Well written, but not supported by this version."""


class CodecError(TierfedError):
    """An array that a codec cannot carry, or bytes that it cannot read."""


class IdleRule(CodecError, Advice):
    """A codec's rule for tensors of a name that no tensor of a program has."""


class FrameError(TierfedError):
    """Bytes from a peer that are no frame."""


class ProtocolError(TierfedError):
    """A well-formed frame that its peer had no business sending."""


class NoBase(ProtocolError):
    """A message that has the difference to what its receiver has not, or not any more."""


class DataError(TierfedError):
    """A data set, URI or provider that is not there or does not fit its type."""

    exit_code = 2


class JobError(TierfedError):
    """A job, or parameters of one, that cannot be run."""

    exit_code = 2


class SweepError(TierfedError):
    """A sweep that cannot be run: its axes, its list of cells, or what is kept of it."""

    exit_code = 2


class SettingError(TierfedError):
    """An environment variable that says what cannot be."""

    exit_code = 2


class LeafError(TierfedError):
    """A local computation raised, or returned what it did not declare."""

    exit_code = 4


class EmptyAggregate(TierfedError):
    """A mean, minimum or maximum over nobody, or a mean of total weight zero."""

    exit_code = 4


class RoundFailed(TierfedError):
    """An invocation that ended below its quorum or past its deadline."""

    exit_code = 4


class StorageError(TierfedError):
    """No room, on disk or in a folder, for what has to be kept."""

    exit_code = 4


class NotReady(TierfedError):
    """A tree that was not up in time."""

    exit_code = 3


class NoSuchRun(TierfedError):
    """No such deployment, run or node."""

    exit_code = 5
