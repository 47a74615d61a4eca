"""Arrays in files: the numbers of a user's .npy or .npz, or a sample of them, as one long array.

    read("update.npy")        Sample(name="update.npy", values=float32[4194304], of=250000000, pieces=64)

A .npy is mapped, so only the pages of the sample are read; an .npz cannot be, so its members' headers are
read first, and those that would unpack to more than 256 MB are refused before they are.  The arrays of
an .npz, a model's tensors say, follow one another, each with its shape.  A sample is taken in runs of 2^16
elements, evenly spaced: codecs work in blocks, and single elements would not show how neighbours differ.

Nothing in a file is run: an array of Python objects is refused by its header.  Source: NEP 1, the .npy format.
"""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from tierfed.errors import DataError

MOST = 1 << 22  # elements of a sample
PIECE = 1 << 16  # elements that stand together in one
UNPACKED = 1 << 28  # bytes of an .npz
FLOATS = ("float16", "float32", "float64")
_NPY, _ZIP = b"\x93NUMPY", b"PK"
_SAVE = "save floats: np.save(file, array.astype(np.float32))"
_NOT_CUT = "write the file again: it was cut short or damaged"

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """Elements of a file, all `of` them or `pieces` of it, and the shapes of the tensors that they are of."""

    name: str
    values: Array
    of: int
    shapes: tuple[tuple[int, ...], ...]
    pieces: int = 0


@dataclass(frozen=True, slots=True)
class _Header:
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    size: int
    offset: int


def read(path: str, most: int = MOST) -> Sample:
    """Return at most `most` elements of a file; raises DataError if it holds none that codecs are measured on."""
    file = Path(path)
    try:
        mode = file.stat().st_mode
        if stat.S_ISDIR(mode):
            raise DataError("is a folder", where=path, mend="name a .npy or .npz file")
        if not stat.S_ISREG(mode):
            raise DataError("is no regular file", where=path, mend="save the array in a .npy file")
        with file.open("rb") as opened:
            magic = opened.read(len(_NPY))
            if magic == _NPY:
                arrays = [_mapped(opened, path)]
            elif magic.startswith(_ZIP):
                arrays = list(_unpacked(file, path))
            else:
                raise DataError("is no .npy or .npz file", where=path, mend=_SAVE)
            return _sample(path, arrays, most)
    except FileNotFoundError:
        raise DataError("no such file", where=path, mend="name a .npy or .npz file") from None
    except OSError as error:
        what = str(error.strerror or error)
        raise DataError(what[:1].lower() + what[1:], where=path, mend="name a file that can be read") from None


def _mapped(opened: IO[bytes], path: str) -> Array:
    header = _header(opened, path)
    there = Path(path).stat().st_size - header.offset
    if header.size * header.dtype.itemsize > there:
        raise DataError(
            f"declares {header.size * header.dtype.itemsize} bytes of array, and has {there}", where=path, mend=_NOT_CUT
        )
    order = "F" if header.fortran else "C"
    mapped: Array = np.memmap(opened, header.dtype, "r", header.offset, header.shape, order)  # type: ignore[call-overload]
    return mapped


def _unpacked(file: Path, path: str) -> Iterator[Array]:
    """Yield the arrays of an .npz, one after the other."""
    left = UNPACKED
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                where = f"{path}[{member.filename.removesuffix('.npy')}]"
                with archive.open(member) as opened:
                    header = _header(opened, where)
                    wanted = header.size * header.dtype.itemsize
                    left -= wanted
                    if left < 0:
                        raise DataError(
                            f"unpacks to more than {UNPACKED >> 20} MB",
                            where=path,
                            mend="save a large array with np.save: of a .npy file a sample is read",
                        )
                    data = opened.read(wanted)
                if len(data) < wanted:
                    raise DataError(
                        f"declares {wanted} bytes of array, and has {len(data)}", where=where, mend=_NOT_CUT
                    )
                order = "F" if header.fortran else "C"
                yield np.frombuffer(data, header.dtype).reshape(header.shape, order=order)  # type: ignore[call-overload]
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
        raise DataError(f"is an archive that cannot be unpacked: {error}", where=path, mend=_NOT_CUT) from None


def _header(opened: IO[bytes], where: str) -> _Header:
    """Return what an array's header declares; raises DataError if codecs are not measured on such arrays."""
    start = opened.seek(0)
    try:
        version = np.lib.format.read_magic(opened)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, fortran, dtype = readers[version](opened)
        offset = opened.tell() - start
    except DataError:
        raise
    except Exception as error:  # a damaged header fails in many ways
        raise DataError(f"has no header that can be read: {error}", where=where, mend=_NOT_CUT) from None
    if dtype.hasobject:
        raise DataError("holds Python objects, which are not read", where=where, mend=_SAVE)
    if dtype.name not in FLOATS:
        raise DataError(f"holds {dtype.name}; codecs are measured on floats", where=where, mend=_SAVE)
    size = 1
    for each in shape:
        size *= each
    return _Header(shape, fortran, dtype, size, offset)


def _sample(path: str, arrays: list[Array], most: int) -> Sample:
    total = sum(array.size for array in arrays)
    if not total:
        raise DataError("is empty: it has no elements", where=path, mend="save an array with elements")
    dtype = np.result_type(*arrays).newbyteorder("=")
    if total <= most:
        parts = [np.ascontiguousarray(array, dtype).reshape(-1) for array in arrays]
        values, pieces = np.concatenate(parts), 0
        shapes = tuple(array.shape for array in arrays)
    else:
        cut = [run for array in arrays for run in _runs(array, most * array.size // total // PIECE)]
        values, pieces = np.concatenate([run.astype(dtype) for run in cut]), len(cut)
        shapes = (values.shape,)
    fine = np.isfinite(values)
    if not fine.all():
        at = int(np.argmin(fine))
        raise DataError(
            f"holds {values[at]:g}" + ("" if pieces else f", as element {at}"),
            where=path,
            mend="find the computation that made it: lossy codecs refuse what is not finite",
        )
    return Sample(path, values, total, shapes, pieces)


def _runs(array: Array, count: int) -> Iterator[Array]:
    """Yield `count` runs of elements, evenly spaced over `array` in row-major order."""
    flat = array.reshape(-1) if array.flags.c_contiguous else array.flat
    for at in range(count):
        start = (array.size - PIECE) * at // max(count - 1, 1)
        yield flat[start : start + PIECE]
