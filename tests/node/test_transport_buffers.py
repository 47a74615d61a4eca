"""Receive buffers: lent, returned and lent again, within one budget, and past it from a file."""

from __future__ import annotations

import errno
import gc
import os
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from link_pairs import dial, parent

from tierfed.errors import StorageError
from tierfed.node import transport
from tierfed.node.receive_buffers import ReceiveBuffers, default_budget

MB = 1024 * 1024


def test_the_default_budget():
    """256 MB, or eight payloads, whichever is more."""
    assert default_budget(40_000_000) == 320_000_000
    assert default_budget(1000) == 256 * MB


def test_a_buffer_comes_back_when_its_last_view_is_gone(tmp_path):
    """An array over a part of a payload keeps the buffer lent; its end returns it."""
    buffers = ReceiveBuffers(10 * MB, tmp_path)
    view = buffers.allocate({}, MB)
    part = np.frombuffer(view, np.float32)[10:20]
    del view
    assert (buffers.in_use, buffers.kept) == (MB, 0)
    del part
    assert (buffers.in_use, buffers.kept) == (0, MB)


def test_a_returned_buffer_is_lent_again(tmp_path):
    """The same memory serves the next payload of about the same size."""
    buffers = ReceiveBuffers(10 * MB, tmp_path)
    view = buffers.allocate({}, MB)
    where = np.frombuffer(view, np.uint8).ctypes.data
    del view
    again = buffers.allocate({}, MB - 1000)
    assert np.frombuffer(again, np.uint8).ctypes.data == where
    assert len(again) == MB - 1000 and buffers.peak == MB


@given(st.lists(st.integers(1, 3 * MB), min_size=1, max_size=30))
def test_buffers_are_aligned_writable_and_apart(sizes):
    """No two lent buffers overlap, in memory or in the file, whatever their sizes."""
    buffers = ReceiveBuffers(4 * MB, "/tmp")
    views = [buffers.allocate({}, size) for size in sizes]
    for index, (view, size) in enumerate(zip(views, sizes, strict=True)):
        assert len(view) == size and np.frombuffer(view, np.uint8).ctypes.data % 64 == 0
        view[:] = bytes([index % 256]) * size
    for index, view in enumerate(views):
        assert np.all(np.frombuffer(view, np.uint8) == index % 256)


@given(st.lists(st.tuples(st.integers(1, MB), st.integers(0, 5)), max_size=60))
def test_the_budget_holds(steps):
    """Lent and kept memory never exceed the budget, and nothing is lost from the account."""
    budget = 2 * MB
    buffers = ReceiveBuffers(budget, "/tmp")
    lent = []
    for size, drop in steps:
        lent.append(buffers.allocate({}, size))
        del lent[:drop]
        assert buffers.in_use + buffers.kept <= budget
        assert buffers.in_use + buffers.spooled >= sum(map(len, lent))
    assert buffers.peak <= budget
    lent.clear()
    assert (buffers.in_use, buffers.spooled) == (0, 0)


def test_kept_buffers_make_room_for_other_sizes(tmp_path):
    """What was kept for one size is given up before another size goes to the file."""
    buffers = ReceiveBuffers(4 * MB, tmp_path)
    small = [buffers.allocate({}, MB) for _ in range(4)]
    small.clear()
    assert buffers.kept == 4 * MB
    large = buffers.allocate({}, 3 * MB)
    assert (buffers.in_use, buffers.kept, buffers.spooled) == (3 * MB, MB, 0)
    del large


def test_past_the_budget_buffers_come_from_an_unlinked_file(tmp_path):
    """The spool file has no name, is as large as what is lent, and is gone with it."""
    buffers = ReceiveBuffers(MB, tmp_path)
    first = buffers.allocate({}, MB)
    assert buffers.fits(0) is False
    spooled = buffers.allocate({}, MB)
    spooled[:] = b"\x07" * MB
    assert list(tmp_path.iterdir()) == []
    assert (buffers.in_use, buffers.spooled, buffers.peak) == (MB, MB, MB)
    assert os.fstat(buffers._file.fileno()).st_size == MB
    again = buffers.allocate({}, MB)
    del spooled
    assert buffers.spooled == MB
    third = buffers.allocate({}, MB)  # reuses the file's space
    assert os.fstat(buffers._file.fileno()).st_size == 2 * MB
    del again, third
    assert buffers.spooled == 0 and buffers._file is None
    del first


def test_a_full_disk_is_a_typed_error_and_what_was_lent_holds(tmp_path):
    """Space is reserved before it is lent: no room is an error there, not a signal later."""
    left = [MB]

    def reserve(fd, offset, size):
        if size > left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left[0] -= size
        os.posix_fallocate(fd, offset, size)

    buffers = ReceiveBuffers(MB, tmp_path, reserve=reserve)
    memory, spooled = buffers.allocate({}, MB), buffers.allocate({}, MB)
    spooled[:] = b"\x05" * MB
    with pytest.raises(StorageError) as full:
        buffers.allocate({}, MB)
    assert str(full.value) == (
        f"{tmp_path}: no room for {MB} bytes beyond the receive budget of {MB}: No space left on device\n"
        "  to mend: free space in the folder, or raise the budget"
    )
    assert (buffers.in_use, buffers.spooled) == (MB, MB)
    assert np.all(np.frombuffer(spooled, np.uint8) == 5)
    del memory
    assert len(buffers.allocate({}, MB)) == MB  # memory again


def test_a_spool_folder_that_is_not_there_is_a_typed_error(tmp_path):
    """The folder's name is in the error."""
    buffers = ReceiveBuffers(0, tmp_path / "gone")
    with pytest.raises(StorageError, match="gone: no room for .* No such file or directory"):
        buffers.allocate({}, 100)


def test_buffers_may_be_dropped_by_another_thread(tmp_path):
    """A fold on an executor thread returns buffers while the loop allocates."""
    buffers = ReceiveBuffers(64 * MB, tmp_path)
    handed = [[buffers.allocate({}, 4096) for _ in range(200)] for _ in range(4)]
    threads = [threading.Thread(target=views.clear) for views in handed]
    for thread in threads:
        thread.start()
    more = [buffers.allocate({}, 4096) for _ in range(200)]
    for thread in threads:
        thread.join()
    assert buffers.in_use == 200 * 4096
    more.clear()
    assert buffers.in_use == 0


async def test_uploads_land_in_buffers_and_give_them_back(tmp_path):
    """Frames of links use the pool; when they are folded and dropped, the next round reuses it."""
    buffers = ReceiveBuffers(8 * MB, tmp_path)
    async with parent(transport) as up:
        link, _ = await dial(transport, up)
        up.links["c0"].start(up.inboxes["c0"].take, buffers.allocate)
        for _ in range(5):
            await link.send_all(({"kind": i}, [bytes(MB)]) for i in range(4))
            frames = [await up.inboxes["c0"].next() for _ in range(4)]
            assert buffers.in_use == 4 * MB
            del frames
            assert (buffers.in_use, buffers.kept) == (0, 4 * MB)
        assert buffers.peak == 4 * MB


async def test_a_link_that_is_cut_in_a_frame_gives_its_buffer_back(tmp_path):
    """The memory of a frame that never became whole returns with the connection."""
    buffers = ReceiveBuffers(8 * MB, tmp_path)
    async with parent(transport) as up:
        link, _ = await dial(transport, up)
        up.links["c0"].start(up.inboxes["c0"].take, buffers.allocate)
        up.links["c0"].pause()
        import asyncio

        sending = [asyncio.create_task(link.send({"kind": i}, [bytes(8 * MB)])) for i in range(4)]
        await asyncio.wait(sending, timeout=0.05)
        up.links["c0"].resume()
        await up.inboxes["c0"].next()
        link._transport.abort()
        await up.links["c0"].closed
        await asyncio.wait(sending)
        [task.exception() for task in sending]
    up.links.clear()
    up.inboxes.clear()
    gc.collect()
    assert (buffers.in_use, buffers.spooled) == (0, 0)


def test_a_large_spool_takes_few_descriptors(tmp_path):
    """Two hundred buffers past the budget are cut from a few mappings, keep their bytes, and are lent again."""
    buffers = ReceiveBuffers(0, tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    lent = [buffers.allocate({}, MB) for _ in range(200)]
    for i, memory in enumerate(lent):
        memory[:4] = i.to_bytes(4, "little")
    assert len(os.listdir("/proc/self/fd")) <= before + 5
    assert [int.from_bytes(memory[:4], "little") for memory in lent] == list(range(200))
    keep = lent[7]
    del lent, memory
    assert buffers.spooled == 2**20
    assert int.from_bytes(keep[:4], "little") == 7
    assert len([buffers.allocate({}, MB) for _ in range(3)]) == 3
    del keep
    assert buffers.spooled == 0
    assert len(os.listdir("/proc/self/fd")) == before
