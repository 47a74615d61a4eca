"""Invocation: one node's part in one run of a program.

It joins three things that know nothing of each other: the slice, which says what to do; the
round, which decides who counts; and the links, over which messages come and go.

    begin ─ run_slice ──────── receive ── compute ── fold ─────────── send ─ end
                                  ▲                    ▲ Fold(member)
    parent's message ─ reader ────┘     child's ─ reader ─ Arrived ─ round

A failure here (a leaf that raises, a quorum that cannot be met) is told to the parent, which
counts this subtree as lost, and to the children, which need not go on.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import traceback
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tierfed.compiler.slices import (
    Broadcast,
    Fold,
    Keep,
    Load,
    Loop,
    Recall,
    Receive,
    Scatter,
    Send,
    Site,
)
from tierfed.errors import EmptyAggregate, NoBase, ProtocolError, RoundFailed, StorageError, TierfedError
from tierfed.ir.intrinsics import iterate
from tierfed.node.accumulator import Accumulator, Contribution, folded_bytes
from tierfed.node.agreement import Agreement, Folding
from tierfed.node.bases import BaseKey
from tierfed.node.collection import Order, order_of
from tierfed.node.fates import Counted, Part, said
from tierfed.node.keepers import received
from tierfed.node.kept import copied
from tierfed.node.own_part import OwnPart
from tierfed.node.round import Round
from tierfed.node.round_events import (
    ENOUGH,
    Accept,
    Action,
    Arrived,
    Begun,
    Cancelled,
    Close,
    Committed,
    Discard,
    Draw,
    Event,
    Fail,
    Failed,
    Folded,
    Forget,
    Gone,
    Left,
    Reached,
    Reject,
    SetDeadline,
    Tick,
)
from tierfed.node.round_events import Fold as FoldNext
from tierfed.node.run_slice import Env, Turns, run_slice
from tierfed.node.sending import Sending
from tierfed.node.summary import Summary, together
from tierfed.node.telling import cut, reason_of, told
from tierfed.node.uploads import AHEAD, INLINE, Upload, Uploads, reader_of
from tierfed.types import Type
from tierfed.types.values import nbytes
from tierfed.wire.frame import Frame
from tierfed.wire.message import MessageReader

if TYPE_CHECKING:
    from tierfed.node.node import Node
    from tierfed.topology.assignment import ChildAssignment

log = logging.getLogger("tierfed.node.invocation")

_ACKNOWLEDGE = 0.02  # seconds that an acknowledgement may wait


class Invocation:
    """See the module docstring.

    `own` is the node's part in the program, `budget` how long, in seconds, each fold may wait for its
    children; `recalled` names what members keep of earlier invocations, by the argument that it is in
    this one; `draws` says who takes part where not all children do.
    """

    def __init__(
        self,
        node: Node,
        name: str,
        attempt: int,
        own: OwnPart,
        budget: float,
        recalled: Mapping[str, str] = MappingProxyType({}),
        draws: Mapping[str, Draw] = MappingProxyType({}),
    ) -> None:
        self.node = node
        self.name = name
        self.attempt = attempt
        self.id = name, attempt
        self.began = node.epochs()  # under which connection each child was there
        self.own = own
        self.compiled = own.compiled
        self.budget = budget
        self._recalled = recalled
        self.over = False
        self.computing = 0  # checks and folds of contributions that are under way, off the loop
        me = node.me
        self.agreement = Agreement(self, own.topics)
        self._down: dict[Site, MessageReader] = {}
        self._arrived: defaultdict[Site, asyncio.Event] = defaultdict(asyncio.Event)
        self._whole: dict[tuple[str, Site], Contribution] = {}
        self._acknowledged: list[tuple[str, Site, str]] = []
        self._incoming: Contribution | None = None  # what the round is deciding about
        self._sums: dict[Site, Folding] = {}
        self._closed: dict[Site, asyncio.Future[Close]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._summary = Summary()
        self._raised = False  # whether the driver was told of a leaf that raised
        self._draws = draws
        self.members = own.members if not draws else self._drawn()
        self.sending = Sending(self)
        self.uploads = Uploads(self)
        self.round = Round(
            me.name,
            name,
            attempt,
            own.collects,
            {**own.children, **{p: draw.members for p, draw in draws.items()}} if draws else own.children,
            me.quorum,
            self.began,
            {p: draw.enough for p, draw in draws.items()},
        )

    def _drawn(self) -> tuple[ChildAssignment, ...]:
        """Return the children that have something to do, without those who were not drawn."""
        drawn = {p: set(draw.members) for p, draw in self._draws.items()}
        return tuple(c for c in self.own.members if c.placement not in drawn or c.name in drawn[c.placement])

    # -- life

    def begin(self, dead: Mapping[str, str]) -> None:
        """Run; `dead` names the children that are not there, with the reason."""
        self.step(Begun(float("inf"), dead, self._draws))
        if not self.over:
            self.spawn(run_slice(self.own.run, self, self.own.last_uses))

    def fail(self, error: TierfedError) -> None:
        """Give up: tell the parent why, and the children that it is over."""
        if self.over:
            return
        me = self.node.me.name
        error.node = error.node or me
        if error.node == me:
            log.error("invocation %s: %s", self.name, reason_of(error), exc_info=error)
        else:  # its traceback, if there is one, is in the log of that node
            log.warning("invocation %s fails: %s", self.name, reason_of(error))
        self.node.tell_parent({"kind": "failed", "inv": self.name, "att": self.attempt, "error": told(error)})
        self.end(committed=False, reason=cut(error.what, 500))

    def end(self, *, committed: bool, reason: str = "", counted: Counted | None = None) -> None:
        """The invocation is over: as the parent says, or because it failed here.  What is left of it is cancelled.

        `counted`: how far it counts, None if the parent has not said so; the root knows (fates.py).
        """
        if self.over:
            return
        self.over = True
        self.step(Committed() if committed else Cancelled(reason))
        self.node.kept.end((self.name, self.attempt), committed)
        if committed and self.node.me.cohorts:
            there = (c.name for c in self.members if not self.round.lost(c.name))
            self.node.having.committed(self.name, self.compiled, there)
        if committed:
            self._acknowledged.clear()
        self._send_acknowledgements()
        end = {"kind": "end", "inv": self.name, "att": self.attempt, "committed": committed, "reason": reason}
        without = {**end, "committed": False, "reason": "the round was committed without it"}
        out = {child.name: self.round.out(child.name) for child in self.members}
        counts = committed if counted is None and self.node.me.parent is None else counted
        of_children = self.node.keeping.end(self.id, Part(self.sending.sent, out), counts)
        for child in self.members:
            told_ = without if committed and self.round.lost(child.name) else end
            own = of_children[child.name]
            whole = committed and own is True and told_ is end and not self.own.keeps
            more = {} if own is told_["committed"] else {"counted": said(own)}
            self.node.downwards.end(child.name, {**told_, **more}, whole=whole)
        for task in tuple(self._tasks):
            task.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self.uploads.clear()
        self.sending.close()
        self._whole.clear()
        self.node.parent.let(self.name)
        for child in self.node.me.children:
            self.node.child(child.name).let(self.name)
        self.node.forget(self)
        self.round.forget()
        self.node.spans.flush()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work` beside; if it fails, so does the invocation.  What is sent to one child stays in order."""
        task = asyncio.get_running_loop().create_task(self._watched(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())  # cancelled before it began, nobody has awaited it

    async def _watched(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            self.fail(self.ours(error))

    def ours(self, error: Exception) -> TierfedError:
        """Return `error`; what is no TierfedError is a defect, told with its traceback like any other failure."""
        if isinstance(error, TierfedError):
            return error
        return TierfedError(
            f"{type(error).__name__}: {error}",
            where=f"invocation {self.name} at {self.node.me.name}",
            mend="report this: it is a defect of tierfed, or of a codec or provider of yours",
            node=self.node.me.name,
            remote_traceback="".join(traceback.format_exception(error)),
        )

    def span(self, kind: str, what: str) -> AbstractContextManager[None]:
        """Return what counts the time of its block."""
        return self.node.spans.span(kind, what, self.name)

    def message(self, kind: str, site: object, way: str, child: str) -> None:
        """Note that a message between a child and its parent was "sent", or "came"."""
        self.node.spans.message(kind, f"{self.name}/{self.attempt}/{site}/{way}/{child}")

    # -- the round

    def step(self, event: Event) -> None:
        """Tell the round what has happened, and do what it asks for."""
        now = asyncio.get_running_loop().time()
        actions = self.round.step(event, now)
        self.sending.look()
        if self.node.history is not None:
            try:
                self.node.history.record(self.round, event, actions, now)
            except StorageError as error:
                self._fail_soon(error)
        for action in actions:
            self._do(action)
        self.node.slots.look()

    def _do(self, action: Action) -> None:
        match action:
            case Accept(member=member, site=site, digest=digest, again=again):
                if not again and self._incoming is not None:
                    self._whole[member, site] = self._incoming
                self._acknowledge(member, site, digest)
                if again:  # it sends again because it waits for an answer
                    self._send_acknowledgements()
            case Reject(member=member, site=site, why=why, detail=detail):
                late = logging.INFO if detail.endswith(ENOUGH) else logging.WARNING
                log.log(late, "%s: %s is refused: %s, %s", self.name, member, why, detail)
                if site is not None:
                    self.uploads.drop(member, site)  # the copy that came now; one accepted before stays
                self._answer(member, "rejected", site, {"why": why, "detail": detail[:500]})
            case FoldNext(member=member, site=site):
                self._fold_in(member, site)
            case Discard(member=member, site=site):
                self._let_go(member, site)
            case Close(site=site):
                self._future(site).set_result(action)
            case Fail(site=site, error=error):
                future = self._future(site)
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # read: the slice may never come to this site
                self._fail_soon(error)
            case SetDeadline(at=at):
                if self._timer is not None:
                    self._timer.cancel()
                if at is not None:
                    self._timer = asyncio.get_running_loop().call_at(at, self._tick)
            case Forget():
                pass

    def _fail_soon(self, error: TierfedError) -> None:
        """Fail once the round's other actions are done."""
        if not self.over:
            asyncio.get_running_loop().call_soon(self.fail, error)

    def _tick(self) -> None:
        if not self.over:
            self.step(Tick())

    def _future(self, site: Site) -> asyncio.Future[Close]:
        if site not in self._closed:
            self._closed[site] = asyncio.get_running_loop().create_future()
        return self._closed[site]

    def _answer(self, member: str, kind: str, site: Site | None, more: Mapping[str, Any]) -> None:
        self.node.tell_child(
            member,
            {"kind": kind, "inv": self.name, "att": self.attempt, "site": None if site is None else str(site), **more},
        )

    def _acknowledge(self, member: str, site: Site, digest: str) -> None:
        """Tell a child that its contribution is here, a little later: a commit that comes first says so too."""
        if not self._acknowledged:
            asyncio.get_running_loop().call_later(_ACKNOWLEDGE, self._send_acknowledgements)
        self._acknowledged.append((member, site, digest))

    def _send_acknowledgements(self) -> None:
        for member, site, digest in self._acknowledged:
            self._answer(member, "accepted", site, {"digest": digest})
        self._acknowledged.clear()

    def _let_go(self, member: str, site: Site) -> None:
        self.uploads.drop(member, site)
        self._whole.pop((member, site), None)

    def _fold_in(self, member: str, site: Site) -> None:
        contribution = self._whole.pop((member, site))
        total = self._sums[site]
        if contribution.reader.raw_bytes > INLINE or site.written in self.own.slow:
            self.computing += 1
            self.spawn(self._fold_apart(total, contribution, member, site))
            return
        try:
            with self.span("add", f"{member} at {site}"):
                total.fold(contribution)
        except Exception as error:
            self._fail_soon(self.ours(error))
        else:
            asyncio.get_running_loop().call_soon(self._folded, member, site)

    async def _fold_apart(self, total: Folding, contribution: Contribution, member: str, site: Site) -> None:
        try:
            with self.span("add", f"{member} at {site}"):
                await self.node.apart(lambda: total.fold(contribution))
        finally:
            self.computing -= 1
        self._folded(member, site)

    def _folded(self, member: str, site: Site) -> None:
        if not self.over:
            self.step(Folded(member, site))
            self.node.tell_progress(self)

    # -- from the children

    def child_gone(self, member: str, reason: str, epoch: int) -> None:
        """A child's connection is lost."""
        if not self.over:
            self.uploads.drop(member)
            self.step(Gone(member, reason, epoch))

    def child_failed(self, member: str, error: TierfedError) -> None:
        """A child says that it, or its subtree, will not contribute."""
        if self.over:
            return
        if isinstance(error, EmptyAggregate) or iterate.is_of_turns(error):  # what the program means, whoever is lost
            self.fail(error)
            return
        if error.remote_traceback is not None and not isinstance(error, RoundFailed) and not self._raised:
            self._raised = True  # the first one is for the user to see
            self.node.tell_in_passing({"kind": "raised", "error": told(error)})
        if isinstance(error, NoBase) and error.node == member:
            self.node.keeping.sent.forget(member)
        self.step(Failed(member, None, reason_of(error), error.to_dict()))

    def arrived(self, upload: Upload, contribution: Contribution, summary: Summary) -> None:
        """A child's message is here, whole and checked."""
        ident = contribution.reader.ident
        self.node.traffic.merge(ident.get("traffic"))
        self._incoming = contribution
        digest = (contribution.reader.digest or b"").hex()
        self.step(Arrived(upload.member, upload.site, ident["att"], upload.epoch, digest, summary))
        self._incoming = None
        contribution.reader.forget_heading()
        self.node.tell_progress(self)

    # -- from the parent

    def parent_reader(self, header: Mapping[str, Any]) -> MessageReader | None:
        """Return the reader of a parent's frame, None for a site that is over."""
        site = Site.parse(header["ident"]["site"])
        step = self.own.receives.get(site.written)
        if step is None or len(site.turns) != self.own.turns[site.written]:
            raise ProtocolError(f"nothing is received at site {site}", where=self.node.me.name)
        return self._reader(step, site)

    def _reader(self, step: Receive, site: Site) -> MessageReader:
        if site not in self._down:
            where = f"{self.node.me.name}, site {site}"
            find = self.node.keeping.received.find(self.id, self._base_key(step), where)
            spec = "none" if site.asks else self.node.me.codec_down
            relay = self.own.relayed.get(site)
            landing = relay is None or relay.kept
            self._down[site] = reader_of(step.slots, spec, where, find, landing=landing)
        return self._down[site]

    def parent_frame(self, frame: Frame) -> None:
        """Take a frame of the parent's message."""
        reader = self.parent_reader(frame.header)
        if reader is None:
            return
        whole = reader.feed(frame)
        site = Site.parse(frame.header["ident"]["site"])
        self.sending.came(site)
        if whole:
            self.message("came", str(site), "down", self.node.me.name)
            self._arrived[site].set()
            if len(self._down) >= AHEAD:
                self.node.parent.hold(self.name)

    # -- ports of the slice

    async def receive(self, step: Receive, turns: Turns) -> list[Any]:
        """Return the values of the parent's message of this step's site."""
        site = step.site.at(turns)
        relay = self.own.relayed.get(step.site)
        if relay is not None:
            await self.sending.pass_on(relay, site, self._reader(step, site))
        with self.span("receive", str(site)):
            await self._arrived[site].wait()
            del self._arrived[site]
            reader = self._down.pop(site)
            self.node.parent.let(self.name)
            values: list[Any]
            if relay is not None and not relay.kept:
                return [None] * len(step.slots)  # which nothing reads
            if reader.raw_bytes <= INLINE:
                values, base = received(reader, self.order(site))
            else:
                values, base = await self.node.apart(lambda: received(reader, self.order(site)))
            if base is not None and not self.over:
                self.node.keeping.received.put(self.id, self._base_key(step), base)
            return values

    def _base_key(self, step: Receive) -> BaseKey:
        return self.compiled.hash, str(step.site)

    def order(self, site: Site) -> Order:
        """Return where a site stands in the program."""
        return order_of(site, self.own.loops[site.written])

    async def send_down(self, step: Broadcast | Scatter, turns: Turns, values: list[Any]) -> None:
        """Begin to send to every child that takes part; the slice goes on meanwhile, unless one is far behind."""
        await self.sending.down(step, step.site.at(turns), values)

    async def send(self, step: Send, turns: Turns, values: list[Any]) -> None:
        """Send to the parent; it has left when this returns."""
        site = step.site.at(turns)
        with self.span("send", str(site)):
            await self.sending.up(step, site, values, self._summary.and_self(self.node.me.placement))

    async def fold(self, step: Fold, turns: Turns, env: Mapping[str, Any]) -> Env:
        """Return the fold of the children's messages, once the round has closed the site."""
        site = step.site.at(turns)
        with self.span("fold", str(site)):
            begin = functools.partial(Accumulator, step, env)
            apart = step.site in self.own.slow or folded_bytes(step, env) > INLINE
            total = await self._begun(begin) if apart else begin()
            close = await self.collected(site, total, await self.agreement.settle(step, turns))
            self._summary = _joined(self._summary, close.summary)
            result: Env = await self.node.apart(total.result) if apart else total.result()
            return result

    async def _begun(self, begin: Callable[[], Accumulator]) -> Accumulator:
        """Return a sum that is begun off the event loop; until it is, nobody is let on for want of progress."""
        self.computing += 1
        try:
            begun: Accumulator = await self.node.apart(begin)
            return begun
        finally:
            self.computing -= 1

    async def collected(self, site: Site, total: Folding, deadline: float) -> Close:
        """Fold the children's messages of `site` into `total`; return who is in, once the round has closed the site."""
        self._sums[site] = total
        self.step(Reached(site, deadline))
        self.node.tell_progress(self)
        close = await self._future(site)
        del self._closed[site], self._sums[site]
        for member in tuple(self.node.me.children):
            if self.round.ahead(member.name) < AHEAD:
                self.node.child(member.name).let(self.name)
        return close

    async def keep(self, step: Keep, value: Any) -> None:
        """Keep a value for later invocations, if this one is committed."""
        own = await self._copied(value, step.slot.type)
        if not self.over:
            self.node.kept.keep((self.name, self.attempt), f"{self.name}:{step.slot.name}", step.slot.type, own)

    async def recall(self, step: Recall, default: Any) -> Any:
        """Return what was kept of an earlier invocation; raises RoundFailed where there is neither."""
        key = self._recalled.get(step.slot.name, "")
        await self.node.kept.settled(key)
        found = self.node.kept.get(key, step.slot.type, self.node.me.name)
        if found is not None:
            return await self._copied(found[0], step.slot.type)
        if step.default is None:
            raise RoundFailed(
                f"{self.node.me.name} has no value of {step.slot.type} kept as {key}",
                where=f"{step.slot.name} of invocation {self.name}",
                mend="give newcomers a value: handle.with_default(value)",
                node=self.node.me.name,
            )
        return default

    async def _copied(self, value: Any, t: Type) -> Any:
        """Return `value` in memory of its own, copied off the loop if that takes long."""
        return copied(value, t) if nbytes(value, t) <= INLINE else await self.node.apart(lambda: copied(value, t))

    def left(self, loop: Loop) -> None:
        """A loop that stands in no other has taken its last turn."""
        if not self.over:
            self.step(Left(loop.site))
            for child in self.node.me.children:
                self.node.child(child.name).let(self.name)

    async def apart(self, work: Callable[[], Any], leaves: int = 0) -> Any:
        """Return what `work` of the slice returns, computed off the event loop, in the time that the device takes."""
        with self.span("compute", ""):
            loop = asyncio.get_running_loop()
            seconds = self.node.me.computing(leaves)
            self.node.computed += seconds
            until = loop.time() + seconds
            result = await self.node.apart(work)
            if until > loop.time():
                await asyncio.sleep(until - loop.time())
            return result

    def data(self, step: Load) -> Any:
        """Return what this member has under the step's URI."""
        return self.node.data(step.uri, step.slot.type)


def _joined(before: Summary, close: Summary) -> Summary:
    """Return who stands behind what was folded so far: at each tier the fewest of any site."""
    counts = dict(close.counts)
    for placement, count in before.counts.items():
        counts[placement] = min(count, counts.get(placement, count))
    lost = together((), {**before.lost, **close.lost})
    drawn = {p: max(before.drawn.get(p, 0), close.drawn.get(p, 0)) for p in {**before.drawn, **close.drawn}}
    return Summary(counts, lost.lost, max(before.more, close.more), drawn)
