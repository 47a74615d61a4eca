"""Members that have the token and mean no good, over real sockets: each is closed alone, with the reason.

    server ── c-0 c-1 (nodes)   c-2 (the test)        two of three are enough

The round gives the exact mean over the other two, its history holds, and c-2, once it behaves,
is in the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fault_served import RUN, Member, Served, mean_over, served, until
from history_checker import load

import tierfed
from tierfed.errors import ProtocolError
from tierfed.node import transport
from tierfed.node.node import Membership
from tierfed.topology import tree as fan_out
from tierfed.wire.frame import encode

FEW = mean_over(5)
WIDE = mean_over(600_000)  # 2.4 MB: three chunks


def rows(count: int = 5) -> list[np.ndarray[Any, Any]]:
    """What the three clients are passed."""
    return [np.full(count, n, np.float32) for n in (1, 2, 6)]


@pytest.fixture
async def tree(tmp_path: Path) -> AsyncIterator[Served]:
    """The tree without c-2."""
    topology = fan_out({"CLIENTS": 3}, collect={"SERVER": {"quorum": "60%", "deadline": "40s"}})
    names = [m.name for m in topology.members(tierfed.CLIENTS)]
    async with served(transport, topology, absent=names[2:], histories=tmp_path) as tree:
        yield tree


async def third(tree: Served, epoch: int = 0) -> Member:
    """Play the third client."""
    return await tree.joined(tree.topology.members(tierfed.CLIENTS)[2].name, epoch)


async def behaves(tree: Served, evil: Member) -> None:
    """The third client does as it should, and is in the round."""
    asked = tree.ask(FEW, rows())
    begin = await evil.begun()
    await evil.send(evil.upload(tree.compiled(FEW), begin, np.full(5, 6)))
    result, record = await asked
    assert result.tolist() == [3.0] * 5 and record.lost == {} and record.counts["CLIENTS"] == 3


BAD = {
    "another dtype": (
        FEW,
        lambda evil, program, begin: evil.upload(program, begin, np.full(5, 6), dtype=np.float64),
        r"v\d+\.sum: expected float32\[5\], got float64\[5\]",
    ),
    "another shape": (
        FEW,
        lambda evil, program, begin: evil.upload(program, begin, np.full(4, 6), dtype=np.float32),
        r"v\d+\.sum: expected float32\[5\], got float32\[4\]",
    ),
    "another codec": (
        WIDE,
        lambda evil, program, begin: evil.upload(program, begin, np.full(600_000, 6), codec="int8"),
        r"expected the codec none, got int8",
    ),
    "frames out of order": (
        WIDE,
        lambda evil, program, begin: evil.upload(program, begin, np.full(600_000, 6))[::2],
        r"expected frame 1, got 2",
    ),
    "a claim of more members than it has": (
        FEW,
        lambda evil, program, begin: evil.upload(
            program, begin, np.full(5, 6), summary={"counts": {"CLIENTS": 500}, "lost": {}, "more": 0}
        ),
        r"summary: c\w*-2 claims 500 members of CLIENTS, its subtree has 1",
    ),
}


@pytest.mark.parametrize("case", BAD)
async def test_an_upload_that_is_not_of_the_program_loses_its_sender(tree: Served, case: str) -> None:
    """The record says what was wrong, and where; the mean is that of the others."""
    program, frames, text = BAD[case]
    evil = await third(tree)
    asked = tree.ask(program, rows(program.type_signature.parameter.member.shape[0]))
    begin = await evil.begun()
    await evil.send(frames(evil, tree.compiled(program), begin))
    result, record = await asked
    assert (result == 1.5).all() and record.counts["CLIENTS"] == 2
    assert list(record.lost) == [evil.name]
    assert re.search(text, record.lost[evil.name]), record.lost[evil.name]
    if not case.startswith("a claim"):
        reason = await evil.closed()
        assert reason is not None and reason.what in record.lost[evil.name]
        evil = await third(tree, epoch=1)
    await behaves(tree, evil)


async def test_a_frame_that_is_cut_off_is_discarded(tree: Served) -> None:
    """Half of a chunk, and the end of the connection: nothing of it counts, and the round waits no longer."""
    evil = await third(tree)
    asked = tree.ask(WIDE, rows(600_000))
    frames = evil.upload(tree.compiled(WIDE), await evil.begun(), np.full(600_000, 6))
    await evil.send(frames[:2])
    half = b"".join(encode(*frames[2]))[:500_000]
    evil.bulk._transport.write(half)  # type: ignore[union-attr]
    evil.bulk._transport.close()  # type: ignore[union-attr]
    result, record = await asked
    assert (result == 1.5).all()
    assert record.lost[evil.name].startswith("its connection was lost: the stream ended after ")
    assert record.lost[evil.name].endswith(" of the 1048576 bytes of a payload")
    await behaves(tree, await third(tree, epoch=1))


async def test_bytes_that_are_no_frame_close_their_sender(tree: Served) -> None:
    """Garbage on an open link: the peer is told what was expected and what came."""
    evil = await third(tree)
    asked = tree.ask(FEW, rows())
    await evil.begun()
    evil.bulk._transport.write(b"\x80\x04\x95 a pickle")  # type: ignore[union-attr]
    result, record = await asked
    what = r"expected a frame, which starts with b'TIERFED\n', got b'\x80\x04\x95 a pickle'"
    assert (result == 1.5).all() and record.lost == {evil.name: f"its connection was lost: {what}"}
    reason = await evil.closed()
    assert isinstance(reason, tierfed.FrameError) and reason.what == what
    await behaves(tree, await third(tree, epoch=1))


async def test_noise_on_the_port_is_nobodys_business(tree: Served, caplog: pytest.LogCaptureFixture) -> None:
    """A browser, a scanner and a TLS client at the root's port in the middle of a round change nothing."""
    evil = await third(tree)
    asked = tree.ask(FEW, rows())
    begin = await evil.begun()
    for noise in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"\0" * 100_000):
        reader, writer = await asyncio.open_connection(*tree.addresses[tree.root])
        with contextlib.suppress(ConnectionError):
            writer.write(noise + b"\r\n\r\n")
            answer = await asyncio.wait_for(reader.read(), 30)
            assert answer[:12] in (b"HTTP/1.1 404", b"HTTP/1.0 400", b"HTTP/1.1 400")
        writer.close()
    await evil.send(evil.upload(tree.compiled(FEW), begin, np.full(5, 6)))
    result, record = await asked
    assert (result == 3.0).all() and record.lost == {}
    assert not [r for r in caplog.records if r.exc_info]


async def test_an_upload_is_counted_once_however_often_it_comes(tree: Served, tmp_path: Path) -> None:
    """The same again is acknowledged again; another under the same name is a CONFLICT, and the first one counts."""
    evil = await third(tree)
    asked = tree.ask(FEW, rows())
    begin = await evil.begun()
    first = evil.upload(tree.compiled(FEW), begin, np.full(5, 6))
    for frames in (first, first, evil.upload(tree.compiled(FEW), begin, np.full(5, 7))):
        await evil.send(frames)
    result, record = await asked
    assert (result == 3.0).all() and record.counts["CLIENTS"] == 3
    conflict = await evil.answer(why="CONFLICT")
    of_evil = [e for e in load(tmp_path)[tree.root] if e.get("member") == evil.name and e["event"] != "fold"]
    assert [e["event"] for e in of_evil] == ["accepted", "again", "rejected"]
    assert of_evil[0]["digest"] == of_evil[1]["digest"]
    assert re.fullmatch(rf"{tree.root} holds \w{{32}} of {evil.name} at 2.0, and was sent \w{{32}}", conflict["detail"])
    await behaves(tree, evil)


async def test_an_epoch_fences_the_one_before(tree: Served) -> None:
    """A member that comes back loses what it had under way at once, and the older connection is of no use."""
    older = await third(tree)
    asked = tree.ask(WIDE, rows(600_000))
    frames = older.upload(tree.compiled(WIDE), await older.begun(), np.full(600_000, 6))
    await older.send(frames[:2])
    newer = await third(tree, epoch=1)
    result, record = await asked
    assert (result == 1.5).all()
    assert record.lost == {older.name: "its connection was lost: it came back under epoch 1"}
    assert await older.closed() is None
    with pytest.raises(ProtocolError, match="the link is closed"):
        await older.send(frames[2:])
    with pytest.raises(ProtocolError) as refusal:
        await third(tree, epoch=0)
    assert str(refusal.value) == (
        f"hello to {tree.root}: epoch 0 of {older.name}, which was here under 1\n"
        "  to mend: stop the older process of that name"
    )
    await newer.send(frames[:1])  # of a round that it was not in
    assert (await newer.answer(kind="rejected"))["why"] == "ROUND_CLOSED"
    await behaves(tree, newer)


async def test_a_late_upload_is_told_so(tree: Served) -> None:
    """After its round was given up, or of a round that never was: an answer, and no harm."""
    evil = await third(tree)
    asked = tree.ask(FEW, rows())
    begin = await evil.begun()
    asked.cancel()
    assert (await evil.answer(kind="end"))["committed"] is False
    await evil.send(evil.upload(tree.compiled(FEW), begin, np.full(5, 6)))
    assert (await evil.answer(why="ROUND_CLOSED"))["detail"] == f"{tree.root} has no such round open"
    await evil.send(evil.upload(tree.compiled(FEW), {"inv": "never", "att": 1}, np.full(5, 6)))
    assert (await evil.answer(why="UNKNOWN_ROUND"))["inv"] == "never"
    await behaves(tree, evil)


WORDS = {
    "a word that there is not": ({"kind": "hug"}, "a 'hug' of a child"),
    "no word": ({}, "a None of a child"),
    "progress that cannot be read": ({"kind": "progress", "whole": "all"}, "a report of progress that cannot be read"),
}


@pytest.mark.parametrize("case", WORDS)
async def test_a_word_that_cannot_be_read_closes_its_sender(tree: Served, case: str) -> None:
    """On the control link too, the peer alone is closed, and told why."""
    said, what = WORDS[case]
    evil = await third(tree)
    asked = tree.ask(FEW, rows())
    await evil.begun()
    evil.control.post(said)
    result, record = await asked
    assert (result == 1.5).all() and record.lost == {evil.name: f"its connection was lost: {what}"}
    assert (await asyncio.shield(evil.control.closed)).what == what  # type: ignore[union-attr]
    await behaves(tree, await third(tree, epoch=1))


MESSAGES = {
    "a site that it does not send": ({"site": "9.0"}, "c2 sends for site 9.0, which is not collected from CLIENTS"),
    "a site that is none": ({"site": "a.b"}, "a frame without the identity of its message"),
}


@pytest.mark.parametrize("case", MESSAGES)
async def test_a_message_of_nothing_closes_its_sender(tree: Served, case: str) -> None:
    """A frame for a site that is not collected, or is no site, ends its link and its part in the round."""
    changes, what = MESSAGES[case]
    evil = await third(tree)
    asked = tree.ask(FEW, rows())
    await evil.send(evil.upload(tree.compiled(FEW), await evil.begun(), np.full(5, 6), **changes))
    result, record = await asked
    what = what.replace("c2", evil.name)
    assert (result == 1.5).all() and record.lost == {evil.name: f"its connection was lost: {what}"}
    await behaves(tree, await third(tree, epoch=1))


async def test_who_is_refused_at_the_door_is_told_why(tree: Served) -> None:
    """Wrong token, wrong run, no such child, another placement, a second one of that name: each with its text."""
    evil = await third(tree)
    name, root = evil.name, tree.root
    stranger, impostor = Member("zz", "CLIENTS", 0), Member(name, "EDGES", 0)
    refused = [
        (evil, Membership(RUN.run, "guess"), f"hello of {name} to {root}: the token is not that of the run"),
        (evil, Membership("other", RUN.token), f"hello of {name} to {root}: run other spoken, this is run a run"),
        (stranger, RUN, f"hello to {root}: zz of CLIENTS is no child of {root}"),
        (impostor, RUN, f"hello to {root}: {name} of EDGES is no child of {root}"),
        (evil, RUN, f"hello to {root}: a second control link of {name}"),
    ]
    for who, membership, text in refused:
        with pytest.raises(ProtocolError) as refusal:
            await tree.dialled(who, "control", membership, to=root)
        assert str(refusal.value).split("\n")[0] == text
        assert refusal.value.mend
    await behaves(tree, evil)


async def test_what_one_member_sends_is_bounded(tree: Served) -> None:
    """A payload longer than its place in the message gets no memory, and neither does a frame of a gigabyte."""
    evil = await third(tree)
    buffers = tree.nodes[tree.root]._buffers
    asked = tree.ask(WIDE, rows(600_000))
    frames = evil.upload(tree.compiled(WIDE), await evil.begun(), np.full(600_000, 6))
    await evil.send(frames[:1])
    with contextlib.suppress(ProtocolError):  # it is closed before the last byte has left
        await evil.send([(frames[1][0], [bytes(4 << 20)])])
    result, record = await asked
    assert (result == 1.5).all()
    what = r"v\d+\.sum: expected a payload of 1048576 bytes in frame 1, got 4194304"
    assert re.fullmatch(what, record.lost[evil.name])
    await until(lambda: buffers.in_use == 0)
    assert buffers.peak <= 2 * 4 * (1 << 20)  # what two members of three chunks each take
    evil = await third(tree, epoch=1)
    evil.bulk._transport.write(encode({"ident": {}}, [b""])[0][:16] + (1 << 30).to_bytes(8, "little") + bytes(40))  # type: ignore[union-attr]
    reason = await evil.closed()
    assert reason is not None
    assert reason.what.startswith("a frame announces a payload of 1073741824 bytes, at most ")
    await behaves(tree, await third(tree, epoch=2))


STARTED, GO = threading.Event(), threading.Event()


@tierfed.py_computation(np.float32, np.float32, returns=np.float32)
def slowly(a: Any, b: Any) -> Any:
    """Add, when the test says so."""
    STARTED.set()
    assert GO.wait(10), "the loop stands still"
    return np.float32(a + b)


async def test_an_operator_that_computes_for_long_holds_up_its_fold_alone(tree: Served) -> None:
    """While a fold step of the user's is computing, its node answers, beats and takes uploads."""

    @tierfed.federated_computation(tierfed.FederatedType(np.float32, tierfed.CLIENTS))
    def reduced(values: Any) -> Any:
        return tierfed.federated_reduce(values, 0, lambda a, b: slowly(a, b))

    asked = tree.ask(reduced, [1, 2, 6])
    await until(STARTED.is_set)
    reader, writer = await asyncio.open_connection(*tree.addresses[tree.root])
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await reader.read()).endswith(b"alive\n")
    writer.close()
    assert not GO.is_set() and not asked.done()
    GO.set()
    result, record = await asked
    assert result == 3.0 and list(record.lost) == [tree.topology.members(tierfed.CLIENTS)[2].name]
