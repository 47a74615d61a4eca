"""Uploads: the children's messages of one invocation, on their way in.

    frame ─ reader ─ … ─ frame ─ reader: whole ─ checked ─ invocation.arrived

Each frame is held against what the program expects of its site before it is taken in; what is
whole is checked, off the loop if that takes long.  What does not fit is refused: its sender is lost
to the round, with the reason.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tierfed.codecs import link_codec
from tierfed.compiler.slices import Fold, Site, Slot
from tierfed.errors import ProtocolError, TierfedError
from tierfed.node.accumulator import Contribution
from tierfed.node.round_events import Failed, Offered
from tierfed.node.summary import Summary
from tierfed.node.telling import reason_of
from tierfed.wire.frame import Frame
from tierfed.wire.keeping import FindBase
from tierfed.wire.message import MessageReader
from tierfed.wire.reader import Expected

if TYPE_CHECKING:
    from tierfed.node.invocation import Invocation

AHEAD = 16  # messages of turns to come that a neighbour may have sent before it is read no further
INLINE = 1 << 20  # bytes of a message that is coded, checked and folded on the loop

codec = functools.lru_cache(maxsize=64)(link_codec)  # every message names one


def reader_of(
    slots: Iterable[Slot], spec: str, where: str, find_base: FindBase | None = None, *, landing: bool = True
) -> MessageReader:
    """Return a reader of a message of `slots` under the codec `spec`; see `MessageReader`."""
    return MessageReader(expected_of(slots), codec(spec), where=where, find_base=find_base, landing=landing)


def expected_of(slots: Iterable[Slot]) -> Expected:
    """Return what messages of `slots` hold, for all readers of them."""
    return Expected([(s.name, s.type, s.many is not None) for s in slots])


@dataclass(frozen=True, slots=True, eq=False)
class Upload:
    """A child's message that is under way, over the connection of `epoch`."""

    member: str
    site: Site
    step: Fold
    reader: MessageReader
    epoch: int


class Uploads:
    """See the module docstring."""

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation
        self._readers: dict[tuple[str, Site], Upload] = {}

    def clear(self) -> None:
        """Let go of everything."""
        for key in tuple(self._readers):
            self._ended(key)

    def drop(self, member: str, site: Site | None = None) -> None:
        """Let go of what a child is in the middle of sending, for one site or for all."""
        for key in [k for k in self._readers if k[0] == member and site in (None, k[1])]:
            self._ended(key)

    def _ended(self, key: tuple[str, Site]) -> None:
        """Nothing more is wanted of an upload."""
        upload = self._readers.pop(key, None)
        if upload is not None:
            self._invocation.node.slots.done(upload)

    def of(self, member: str, placement: str, header: Mapping[str, Any], *, whole: bool = False) -> Upload | None:
        """Return the upload that a child's frame belongs to, None if what it belongs to is refused.

        `whole` says that the frame is here: if it is all of the message, that has arrived as soon as it is offered.
        Raises ProtocolError for a site that the child does not send.
        """
        inv = self._invocation
        ident = header["ident"]
        site = Site.parse(ident["site"])
        step = inv.own.folds.get(site.written)
        if step is None or step.source.name != placement or len(site.turns) != inv.own.turns[site.written]:
            raise ProtocolError(
                f"{member} sends for site {site}, which is not collected from {placement}",
                where=inv.node.me.name,
                mend="run one version of tierfed, and one program, in the whole tree",
            )
        key = (member, site)
        if key not in self._readers and header.get("seq") == 0:
            child, epoch = inv.node.children[member], inv.node.epoch(member)
            reader = inv.agreement.reader(child, step, site, f"{member}, site {site}")
            self._readers[key] = Upload(member, site, step, reader, epoch)
            if not (whole and "end" in header):
                inv.step(Offered(member, site, ident["att"], epoch))
        return self._readers.get(key)

    def frame(self, member: str, placement: str, frame: Frame) -> None:
        """Take a frame of a child's message.  Raises, closing the link, for one that is not of it."""
        inv = self._invocation
        upload = self.of(member, placement, frame.header, whole=True)
        if upload is None:
            return
        reader = upload.reader
        before = reader.wire_bytes, reader.raw_bytes
        try:
            whole = reader.feed(frame)
        except TierfedError as error:
            self.refuse(upload, error)
            raise
        inv.node.traffic.add(placement, "up", reader.wire_bytes - before[0])
        inv.node.traffic.add(placement, "raw_up", reader.raw_bytes - before[1])
        if whole:
            inv.node.traffic.add(placement, "messages_up", 1)
            inv.message("came", upload.site, "up", member)
            self._complete(upload)
            if not inv.over and inv.round.ahead(member) >= AHEAD:
                inv.node.child(member).hold(inv.name)
        else:
            inv.node.slots.offered(upload)

    def refuse(self, upload: Upload, error: TierfedError) -> None:
        """What a child sends is not what the program expects: it is lost, with the reason."""
        inv = self._invocation
        self._ended((upload.member, upload.site))
        if not inv.over:
            inv.step(Failed(upload.member, upload.site, reason_of(error), error.to_dict()))

    def _complete(self, upload: Upload) -> None:
        inv = self._invocation
        self._ended((upload.member, upload.site))
        if upload.reader.raw_bytes > INLINE:
            inv.computing += 1
            inv.spawn(self._check_apart(upload))
            return
        try:
            with inv.span("check", f"{upload.member} at {upload.site}"):
                contribution = Contribution(upload.reader, upload.step)
        except Exception as error:
            self.refuse(upload, inv.ours(error))
        else:
            self._accepted(upload, contribution)

    async def _check_apart(self, upload: Upload) -> None:
        inv = self._invocation
        try:
            with inv.span("check", f"{upload.member} at {upload.site}"):
                contribution = await inv.node.apart(lambda: Contribution(upload.reader, upload.step))
        except Exception as error:
            self.refuse(upload, inv.ours(error))
        else:
            self._accepted(upload, contribution)
        finally:
            inv.computing -= 1

    def _accepted(self, upload: Upload, contribution: Contribution) -> None:
        inv, said = self._invocation, contribution.reader.ident.get("summary")
        if inv.over:
            return
        try:
            summary = Summary.from_dict(said, upload.member, inv.node.children[upload.member].members_below)
        except ProtocolError as error:
            self.refuse(upload, error)
            return
        inv.arrived(upload, contribution, summary)
