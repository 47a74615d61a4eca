"""Small packages as their clients would bring them: wheels, source archives and .debs, made for a test."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path


def wheel(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write a wheel, which is a zip file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def source_archive(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write a .tar.gz whose files are in one folder."""
    path.write_bytes(_tar({f"{path.name.removesuffix('.tar.gz')}/{name}": data for name, data in files.items()}, "gz"))
    return path


def deb(path: Path, files: Mapping[str, bytes], packing: str = "xz") -> Path:
    """Write a .deb: an ar archive of a version, control files and data."""
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.xz": b"odd",  # an odd size, so that padding is met
        f"data.tar.{packing}": _tar({f"./{name}": data for name, data in files.items()}, "xz"),
    }
    with path.open("wb") as file:
        file.write(b"!<arch>\n")
        for name, data in members.items():
            file.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode() + data)
            file.write(b"\n" * (len(data) % 2))
    return path


def gzipped(data: bytes) -> bytes:
    """Return a gzip stream."""
    return gzip.compress(data, mtime=0)


def _tar(files: Mapping[str, bytes], packing: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{packing}") as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("folder/link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return out.getvalue()
