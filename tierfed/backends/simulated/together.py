"""Together: one invocation at the members of a group.

    begin ─▶ c-0 … c-999            each begins when its frame is there
    v1 ────▶ decoded once           what all are sent is one message
             computed in a batch    batch.py
    c-417 ─▶ v2                     each uploads when it is done, over its own channel

A member goes through the steps of its slice in its own time: it waits for its frames, computes for as long as its
device takes, and sends.  Values are computed for all members whose messages are on their way when the first needs
them; since they are functions of what came, when that happens makes no difference.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tierfed.backends.simulated.batch import Batch, Each, Missing, Same, among, evaluated
from tierfed.codecs.stream import Stream
from tierfed.compiler.slices import Compiled, Compute, Load, Receive, Send, Site
from tierfed.errors import TierfedError
from tierfed.node.direct_transport import landed, size_of
from tierfed.node.run_slice import leaves_of, uses
from tierfed.node.sending import stream_of
from tierfed.node.summary import Summary
from tierfed.node.telling import told
from tierfed.node.uploads import codec, reader_of
from tierfed.types import SequenceType, TensorType
from tierfed.wire.frame import Frame, Sealed
from tierfed.wire.message import MessageReader, encode_message
from tierfed.wire.packing import SMALL

if TYPE_CHECKING:
    from tierfed.backends.simulated.leaves import Leaves


_NOT_BEGUN = -1


def _coded(step: Send) -> bool:
    """Return whether a codec may see something of a message: what is small goes raw, and draws no numbers."""
    tensors = (t for slot in step.slots for t in slot.type.walk() if isinstance(t, TensorType))
    return not all(t.is_static and (t.size or 0) < SMALL for t in tensors) or any(
        isinstance(t, SequenceType) for slot in step.slots for t in slot.type.walk()
    )


class _Message:
    """A message from the parent: one for all who are sent the same frames."""

    __slots__ = ("first", "reader", "values")

    def __init__(self, first: dict[str, Any], reader: MessageReader) -> None:
        self.first = first
        self.reader = reader
        self.values: list[Any] | None = None

    def value(self, slot: int) -> Any:
        """Return the value of a slot of a message that is whole."""
        assert self.values is not None
        return self.values[slot]


class _Wave:
    """Members that have come equally far, and the values that their slices have by then."""

    __slots__ = ("done", "names", "rows")

    def __init__(self, rows: list[int], names: dict[str, Batch], done: int) -> None:
        self.rows = rows
        self.names = names
        self.done = done  # steps


_WRITTEN = _Wave([], {}, 1 << 30)
"""That of members who have sent all they had to."""


class Together:
    """See the module docstring; `key` is the invocation's name and attempt."""

    def __init__(self, group: Leaves, name: str, attempt: int, compiled: Compiled) -> None:
        self.key = name, attempt
        self._group = group
        one = group.members[0]
        self._steps = next(s.steps for p, s in compiled.slices.items() if p.name == one.placement)
        self._leaves = [leaves_of(step) for step in self._steps]
        self._receives = {s.site: s for s in self._steps if isinstance(s, Receive)}
        many = len(group.members)
        self._coded = {s.site for s in self._steps if isinstance(s, Send) and _coded(s)}
        self._at = array("i", [_NOT_BEGUN]) * many  # the step that each member is at
        self._wave: list[_Wave | None] = [None] * many
        self._row = array("i", [0]) * many  # of each member in its wave
        self._out = bytearray(many)  # for whom it is over
        self._members = self._over = self._written = 0
        self._new = _Wave([], {}, 0)
        self._messages: dict[tuple[Site, int], _Message] = {}  # by their first headers
        self._sent: dict[Site, list[_Message | None]] = {s: [None] * many for s in self._receives}  # to each
        self._arrived = {s: bytearray(many) for s in self._receives}

    # -- what comes

    def expect(self, member: int) -> None:
        """A member's beginning is on its way."""
        self._members += 1
        self._wave[member], self._row[member] = self._new, len(self._new.rows)
        self._new.rows.append(member)

    def begun(self, member: int) -> None:
        """A member begins."""
        if self._group.holds(member, partial(self.begun, member)):
            return
        if self._at[member] == _NOT_BEGUN and not self._out[member]:
            self._at[member] = 0
            self._advance(member)

    def taken(self, member: int, header: dict[str, Any], sealed: Sealed) -> Any:
        """Take a frame that is on its way; return what happens when it is there."""
        if self._out[member]:
            return None
        site = Site.parse(header["ident"]["site"])
        if header["seq"] == 0:
            key = site, id(header)
            if key not in self._messages:
                one = self._group.members[member]
                reader = reader_of(self._receives[site].slots, one.codec_down, f"{one.name}, site {site}")
                self._messages[key] = _Message(header, reader)
            self._sent[site][member] = self._messages[key]
        message = self._sent[site][member]
        assert message is not None
        if message.reader.count == header["seq"] and message.values is None:  # the first who is sent it reads it
            payload = landed(header, sealed)
            if message.reader.feed(Frame(header, payload, sealed.crc, size_of(header, sealed))):
                message.values = message.reader.decode()
        return partial(self._there, member, site) if "end" in header else None

    def _there(self, member: int, site: Site) -> None:
        if self._group.holds(member, partial(self._there, member, site)):
            return
        self._arrived[site][member] = True
        self._advance(member)

    def end(self, member: int) -> None:
        """It is over for a member: the parent says so, or the member is gone."""
        if self._wave[member] is None:
            return
        self._over += not self._out[member]
        self._out[member] = True
        self._at[member] = _NOT_BEGUN
        if self._over == self._members:
            self._group.over(self)

    # -- a member's way through its slice

    def _advance(self, member: int) -> None:
        while 0 <= self._at[member] < len(self._steps):
            at = self._at[member]
            step = self._steps[at]
            if isinstance(step, Receive) and not self._arrived[step.site][member]:
                return
            self._at[member] = at + 1
            if isinstance(step, Send):
                self._send(member, at, step)
            elif seconds := self._group.members[member].computing(self._leaves[at]):
                self._group.computed[member] += seconds
                asyncio.get_running_loop().call_later(seconds, self._advance, member)
                return

    def _send(self, member: int, at: int, step: Send) -> None:
        """A member sends: what it sends is written now if that says how long it takes, else when it is there."""
        wave = self._computed(member, at)
        names, row = wave.names, self._row[member]
        link = self._group.link(member)
        if link is None:
            return
        if self._group.modelled(member):
            self._write(member, step, names, row, partial(self._group.upload, member, link))
            return
        try:
            for slot in step.slots:
                names[slot.name].of(row)
        except TierfedError as error:
            self._fail(member, error)
        else:
            asyncio.get_running_loop().call_soon(self._write, member, step, names, row, link.come)

    def _write(
        self,
        member: int,
        step: Send,
        names: Mapping[str, Batch],
        row: int,
        leaves: Callable[[dict[str, Any], Sealed, int], None],
    ) -> None:
        """Write a member's message, and hand each of its frames, with its bytes, to `leaves`."""
        one = self._group.members[member]
        name, attempt = self.key
        try:
            rows = [(s.name, s.type, names[s.name].of(row)) for s in step.slots]
            ident = {
                "m": "up",
                "inv": name,
                "att": attempt,
                "site": str(step.site),
                "member": one.name,
                "summary": Summary().and_self(one.placement).to_dict(),
                "traffic": {},
            }
            stream = stream_of(one.seed, name, step.site, one.name) if step.site in self._coded else Stream()
            message = encode_message(ident, rows, codec(one.codec_up), stream=stream)
            frames = [(header, sealed, message.wire_bytes) for header, sealed in message]
        except TierfedError as error:
            self._fail(member, error)
            return
        before = 0
        for header, sealed, sent in frames:
            self._group.on_frame()
            leaves(header, sealed, sent - before)
            before = sent
        self._written += step is self._steps[-1]
        if self._written == self._members:  # nobody needs a value any more, and those of a million are many
            self._wave = [wave and _WRITTEN for wave in self._wave]

    def _fail(self, member: int, error: TierfedError) -> None:
        """A member cannot send what it should."""
        name, attempt = self.key
        error.node = error.node or self._group.members[member].name
        self._at[member] = len(self._steps)
        self._group.tell(member, {"kind": "failed", "inv": name, "att": attempt, "error": told(error)})

    # -- values

    def _computed(self, member: int, at: int) -> _Wave:
        """Return the wave of a member once its values are those before step `at`."""
        wave = self._wave[member]
        assert wave is not None
        if wave.done < at:
            here = self._steps[wave.done : at]
            sites = [step.site for step in here if isinstance(step, Receive)]
            ready = [r for r, m in enumerate(wave.rows) if self._has(m, sites)]
            names = {name: among(batch, ready) for name, batch in wave.names.items()}
            ahead = _Wave([wave.rows[r] for r in ready], names, at)
            left = [r for r, m in enumerate(wave.rows) if not self._has(m, sites)]
            wave.names = {name: among(batch, left) for name, batch in wave.names.items()}
            wave.rows = [wave.rows[r] for r in left]
            for one in (ahead, wave):
                for r, m in enumerate(one.rows):
                    self._wave[m], self._row[m] = one, r
            for step in here:
                self._take(step, ahead)
            needed = {name for step in self._steps[at:] for name in uses(step)}
            ahead.names = {name: batch for name, batch in ahead.names.items() if name in needed}
            return ahead
        return wave

    def _has(self, member: int, sites: Sequence[Site]) -> bool:
        messages = (self._sent[site][member] for site in sites)
        return all(message is not None and message.values is not None for message in messages)

    def _take(self, step: Any, wave: _Wave) -> None:
        """Take a step, all of a wave at once."""
        match step:
            case Receive(site=site, slots=slots):
                came = [message for member in wave.rows if (message := self._sent[site][member]) is not None]
                alike = all(message is came[0] for message in came)
                for i, slot in enumerate(slots):
                    values = [
                        message.values[i] for message in came[: 1 if alike else None] if message.values is not None
                    ]
                    wave.names[slot.name] = Same(values[0]) if alike else Each(values)
            case Load(slot=slot):
                wave.names[slot.name] = Each([self._loaded(member, step) for member in wave.rows])
            case Compute(slot=slot, expression=expression):
                wave.names[slot.name] = evaluated(expression, wave.names, len(wave.rows))

    def _loaded(self, member: int, step: Load) -> Any:
        try:
            return self._group.data(member, step)
        except TierfedError as error:
            return Missing(error)
