"""What leaves a link: not all at once, however fast the peer is."""

from __future__ import annotations

import asyncio

from tierfed.node.outgoing import Outgoing

MB = 1 << 20


class Taking(asyncio.Transport):
    """A transport whose peer takes everything at once."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take it."""
        self.taken += len(data)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no buffer."""

    def get_write_buffer_size(self) -> int:
        """There is no buffer."""
        return 0


async def test_others_on_the_loop_have_a_turn_every_few_megabytes() -> None:
    """While a peer takes 64 MB without ever making its sender wait, what else is ready runs in between."""
    transport = Taking()
    outgoing = Outgoing(transport, lambda: None)
    turns: list[int] = []

    async def other() -> None:
        while transport.taken < 64 * MB:
            turns.append(transport.taken)
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    for _ in range(64):
        outgoing.put([bytes(MB)])
        await outgoing.drained()
    await beside
    assert transport.taken == 64 * MB
    assert max(b - a for a, b in zip([0, *turns], [*turns, 64 * MB], strict=True)) <= 5 * MB
