"""Receive buffers: where contributions wait until they are folded, under one memory budget.

    buffers = ReceiveBuffers(default_budget(payload=40_000_000), spool=folder)
    link.start(on_frame, buffers.allocate)

A buffer is lent by `allocate` and comes back by itself when the last view of it is
gone, be it a frame's payload, an array over it or the decoder's, so that memory
which somebody still reads, or a peer still writes into, is never lent twice.  What
came back is kept and lent again: page faults of fresh memory were two thirds of the
time of a fan-in (406 ms against 138, design page RUNTIME).

Sizes are rounded up to four steps a power of two, so that at most a quarter is lost
and chunks of nearly one size share their buffers.  Lent and kept memory together
stay within the budget; past it, buffers are mappings of an unlinked file in `spool`,
whose space is reserved before it is lent: a full disk is a StorageError here, before
anything was acknowledged, and never a SIGBUS later.  The file's space goes back when
nothing in it is lent any more.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from tierfed.errors import StorageError

__all__ = ["ReceiveBuffers", "default_budget", "rounded"]

Block = np.ndarray[tuple[int], np.dtype[np.uint8]]

_LEAST = 512  # bytes of the smallest buffer
_ALIGN = 64  # bytes
_MAPPED = 64 << 20  # bytes of the spool file that are mapped at once


def default_budget(payload: int) -> int:
    """Return the budget of an aggregator for contributions of `payload` bytes."""
    return max(256 * 1024 * 1024, 8 * payload)


class ReceiveBuffers:
    """See the module docstring.  `allocate` and the figures belong to the loop's thread."""

    def __init__(
        self, budget: int, spool: Path, *, reserve: Callable[[int, int, int], None] = os.posix_fallocate
    ) -> None:
        self.budget = budget  # bytes
        self._spool = spool
        self._reserve = reserve
        self._loans: set[_Loan] = set()
        self._returned: deque[_Loan] = deque()  # appended to by any thread
        self._kept: dict[int, list[Block]] = {}
        self._kept_bytes = 0
        self._memory_bytes = 0
        self._peak = 0
        self._file: IO[bytes] | None = None
        self._file_end = 0
        self._mapped: mmap.mmap | None = None  # the piece of the file that buffers are cut from
        self._mapped_from = self._mapped_to = 0
        self._file_kept: dict[int, list[Block]] = {}
        self._file_bytes = 0

    @property
    def in_use(self) -> int:
        """Return the bytes of memory that are lent."""
        self._settle()
        return self._memory_bytes

    @property
    def spooled(self) -> int:
        """Return the bytes of the spool file that are lent."""
        self._settle()
        return self._file_bytes

    @property
    def kept(self) -> int:
        """Return the bytes of memory that came back and wait to be lent again."""
        self._settle()
        return self._kept_bytes

    @property
    def peak(self) -> int:
        """Return the most bytes of memory that were ever lent or kept."""
        return self._peak

    def fits(self, nbytes: int) -> bool:
        """Return whether a contribution of `nbytes` bytes would still go to memory."""
        return self.in_use + rounded(nbytes) <= self.budget

    def allocate(self, header: dict[str, Any], nbytes: int) -> memoryview:
        """Return memory for `nbytes` bytes, at an address divisible by 64; `header` is not looked at.

        Raises StorageError if it takes the spool file and there is no room for it.
        """
        self._settle()
        size = rounded(nbytes)
        if self._memory_bytes + size <= self.budget:
            block, spooled = self._from_memory(size), False
            self._memory_bytes += size
            self._peak = max(self._peak, self._memory_bytes + self._kept_bytes)
        else:
            block, spooled = self._from_file(-(-size // mmap.PAGESIZE) * mmap.PAGESIZE), True
            self._file_bytes += len(block)
        lent = block.view()  # lives as long as any view that is made of it
        loan = _Loan(lent, self._returned.append)
        loan.block, loan.spooled = block, spooled
        self._loans.add(loan)
        return lent.data[:nbytes]

    def _from_memory(self, size: int) -> Block:
        kept = self._kept.get(size)
        if kept:
            self._kept_bytes -= size
            return kept.pop()
        while self._memory_bytes + self._kept_bytes + size > self.budget:
            self._drop_one()
        raw = np.empty(size + _ALIGN, np.uint8)
        start = -raw.ctypes.data % _ALIGN
        return raw[start : start + size]

    def _drop_one(self) -> None:
        size, blocks = next(iter(self._kept.items()))
        if blocks:
            blocks.pop()
            self._kept_bytes -= size
        if not blocks:
            del self._kept[size]

    def _from_file(self, size: int) -> Block:
        kept = self._file_kept.get(size)
        if kept:
            return kept.pop()
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._spool, buffering=0)  # noqa: SIM115 - outlives this call
                self._file_end = self._mapped_to = 0
                self._close_file = weakref.finalize(self, self._file.close)
            self._reserve(self._file.fileno(), self._file_end, size)
            mapped = self._map(self._file.fileno(), size)
        except OSError as error:
            raise StorageError(
                f"no room for {size} bytes beyond the receive budget of {self.budget}: {error.strerror}",
                where=str(self._spool),
                mend="free space in the folder, or raise the budget",
            ) from error
        block = np.frombuffer(mapped, np.uint8, size, self._file_end - self._mapped_from)
        self._file_end += size
        return block

    def _map(self, file: int, size: int) -> mmap.mmap:
        """Return a mapping that has the file's next `size` bytes; each one takes a descriptor, so there are few."""
        if self._mapped is None or self._file_end + size > self._mapped_to:
            self._mapped_from, self._mapped_to = self._file_end, self._file_end + max(size, _MAPPED)
            os.ftruncate(file, self._mapped_to)  # a mapping has to fit the file when it is made
            self._mapped = mmap.mmap(file, self._mapped_to - self._mapped_from, offset=self._mapped_from)
            os.ftruncate(file, self._file_end + size)  # which grows as buffers are reserved, and no further
        return self._mapped

    def _settle(self) -> None:
        """Take back what was returned."""
        while self._returned:
            loan = self._returned.popleft()
            self._loans.discard(loan)
            size = len(loan.block)
            if loan.spooled:
                self._file_bytes -= size
                self._file_kept.setdefault(size, []).append(loan.block)
                mapped: Any = loan.block.base.obj  # type: ignore[union-attr]  # frombuffer keeps a view of it
                start = _address(loan.block) - _address(np.frombuffer(mapped, np.uint8, 1))
                mapped.madvise(mmap.MADV_DONTNEED, start, size)  # kept in the file, but not in our resident set
            else:
                self._memory_bytes -= size
                self._kept_bytes += size
                self._kept.setdefault(size, []).append(loan.block)
        if self._file is not None and not self._file_bytes:
            self._file_kept.clear()
            self._close_file()
            self._file = self._mapped = None


def _address(block: Block) -> int:
    return int(block.__array_interface__["data"][0])


class _Loan(weakref.ref[Block]):
    """Notices that a lent view is gone; keeps the block behind it."""

    __slots__ = ("block", "spooled")

    block: Block
    spooled: bool

    __hash__ = object.__hash__  # a loan is itself, whatever its view was
    __eq__ = object.__eq__


def rounded(nbytes: int) -> int:
    """Return the size of a buffer for `nbytes`: rounded up to four steps a power of two."""
    step = max(_LEAST, 1 << max(0, nbytes.bit_length() - 3))
    return max(1, -(-nbytes // step)) * step
