"""A model of a round and the laws it keeps, written without looking at `tierfed/node/round.py`.

`Model` is the semantics of `docs/rounds.md` as naively as it can be put: dictionaries that are
recomputed after every event.  A loop is written out: each turn that there may be is a phase of its
own, of which some come to be, when the slice or a member is there.  `Laws` watches the actions
alone and knows nothing of the model.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from tierfed.node import round_events as ev

ENOUGH = "enough others were first"


class Model:
    """Who is in and who is out of each phase of one placement, recomputed after every event."""

    def __init__(self, members, phases, quorum, epochs, attempt, loops=None, most_ahead=0, enough=None):
        self.members, self.phases, self.quorum, self.attempt = members, phases, quorum, attempt
        self.loops = loops or [None] * len(phases)  # the outermost loop around each
        self.most_ahead = most_ahead
        self.enough = len(members) if enough is None else enough
        self.finished = []  # (member, phase), in the order in which they were whole
        self.live = {p for p, loop in enumerate(self.loops) if loop is None}
        self.opened = {}  # turns that the slice has not come to, and who did
        self.left_ = set()  # loops that take no more turns
        self.now = -1  # the phase that the slice is in
        self.epoch = dict(epochs)
        self.down = set()
        self.kept = {}  # (member, site) -> digest of what was accepted
        self.cut = {}  # (member, site): its upload was cut
        self.gone = set()  # (member, phase): its connection went while it was not whole there
        self.dead = set()  # (member, phase): lost for good
        self.verdict = [{} for _ in phases]
        self.due = [float("inf")] * len(phases)
        self.reached = set()
        self.state = "waiting"
        self.folded = False  # whether every site is closed: told by who sees the actions

    def phase(self, site):
        """Return the number of the phase that `site` belongs to, None if there is none."""
        return next((p for p, sites in enumerate(self.phases) if site in sites), None)

    def past(self, p):
        """Return whether `p` is a turn that is over."""
        return self.loops[p] is not None and (self.loops[p] in self.left_ or self.now > p)

    def open_(self):
        """Return the phases that there are, in order."""
        return [p for p in sorted(self.live) if not self.past(p)]

    def come_to(self, p):
        """Let there be a phase `p`."""
        if p not in self.live:
            self.live.add(p)
            for m in self.members:
                if (m, p) in self.dead:
                    self.bury(m, p)
                elif m in self.down:
                    self.gone.add((m, p))

    def whole(self, member, p):
        """Return whether everything of `member` for phase `p` is here."""
        return all((member, s) in self.kept for s in self.phases[p])

    def missing(self, member, p):
        """Return whether `member` is known to be missing from phase `p`."""
        cut = any((member, s) in self.cut for s in self.phases[p])
        return (member, p) in self.dead or (not self.whole(member, p) and ((member, p) in self.gone or cut))

    def bury(self, member, p):
        """Lose `member` for good from phase `p` on."""
        for q in range(p, len(self.phases)):
            self.dead.add((member, q))
            for s in self.phases[q]:
                self.kept.pop((member, s), None)

    def reply(self, e):
        """Return what a contribution must be answered: ACCEPT, AGAIN, NOTHING or the reason of a refusal."""
        p = self.phase(e.site)
        if e.member not in self.members:
            return "NOT_A_CHILD"
        if e.attempt != self.attempt:
            return "STALE_ATTEMPT"
        if p is None:
            return "UNKNOWN_SITE"
        if e.epoch < self.epoch[e.member] or (e.epoch == self.epoch[e.member] and e.member in self.down):
            return "STALE_EPOCH"
        if self.state in ("failed", "cancelled"):
            return "ROUND_CLOSED"
        if self.past(p) or (p not in self.live and self.state not in ("waiting", "open")):
            return "ROUND_CLOSED"
        if p not in self.live and list(self.opened.values()).count(e.member) >= self.most_ahead:
            return "TOO_FAR"
        if (e.member, e.site) in self.kept:
            if e.digest is None:
                return "NOTHING"
            return "AGAIN" if self.kept[e.member, e.site] == e.digest else "CONFLICT"
        if self.state == "committed" or (e.member, p) in self.dead:
            return "ROUND_CLOSED"
        return "ACCEPT" if isinstance(e, ev.Arrived) else "NOTHING"

    def before(self, now):
        """Apply the deadlines that have passed."""
        for p in self.open_():
            if self.state == "open" and self.due[p] <= now:
                self.decide(p, everyone=True)

    def decide(self, p, everyone):
        """Decide phase `p`: everyone, or those whose turn has come; everyone too, once enough are whole."""
        first = [m for m, q in self.finished if q == p and self.whole(m, p)][: self.enough]
        if len(first) == self.enough:
            for m in self.members:
                if m not in first and m not in self.verdict[p]:
                    self.bury(m, p)
        for m in self.members:
            if m in self.verdict[p]:
                continue
            if self.missing(m, p) or (everyone and not self.whole(m, p)):
                self.verdict[p][m] = "out"
                self.bury(m, p)
            elif self.whole(m, p):
                self.verdict[p][m] = "in"
            else:
                return

    def apply(self, e, now):
        """Take in the event; return the reply that a contribution must get."""
        self.before(now)
        answer = self.take(e)
        self.before(now)
        if self.state == "open":
            for p in self.open_():
                done = all(len(self.verdict[q]) == len(self.members) for q in self.open_() if q < p)
                if done and self.reached & set(self.phases[p]):
                    self.decide(p, everyone=False)
            if any(self.left(p) < self.quorum for p in self.open_()):
                self.state = "failed"
        return answer

    def left(self, p):
        """Return how many members phase `p` can still have."""
        return sum(not self.missing(m, p) for m in self.members)

    def take(self, e):
        match e:
            case ev.Begun():
                self.state = "open"
                self.due = [min(d, e.deadline) for d in self.due]
                for m in e.dead:
                    self.take(ev.Gone(m, "dead"))
            case ev.Reached():
                self.reached.add(e.site)
                p = self.phase(e.site)
                self.now = max(self.now, p)
                self.opened = {q: m for q, m in self.opened.items() if q > p}
                self.come_to(p)
                self.due[p] = min(self.due[p], e.deadline if e.deadline is not None else self.due[p])
            case ev.Left() if self.state in ("waiting", "open"):
                self.left_.add(e.loop)
                self.opened = {q: m for q, m in self.opened.items() if self.loops[q] != e.loop}
            case ev.Offered() | ev.Arrived():
                answer = self.reply(e)
                known = answer not in ("NOT_A_CHILD", "STALE_ATTEMPT", "UNKNOWN_SITE", "STALE_EPOCH")
                if known and e.epoch > self.epoch[e.member]:
                    self.take(ev.Joined(e.member, e.epoch))
                if known and answer != "TOO_FAR" and self.state in ("waiting", "open"):
                    p = self.phase(e.site)
                    if p not in self.live and not self.past(p):
                        self.opened[p] = e.member
                        self.come_to(p)
                        answer = self.reply(e)  # it may be lost by then
                if answer == "ACCEPT":
                    self.kept[e.member, e.site] = e.digest
                    if self.whole(e.member, self.phase(e.site)):
                        self.finished.append((e.member, self.phase(e.site)))
                if answer in ("ACCEPT", "NOTHING"):
                    self.cut.pop((e.member, e.site), None)
                return answer
            case ev.Broken() if self.phase(e.site) in self.open_() and self.fresh(e):
                p = self.phase(e.site)
                open_ = self.state in ("waiting", "open") and e.member not in self.verdict[p]
                if open_ and (e.member, e.site) not in self.kept:
                    self.cut[e.member, e.site] = e.reason
            case ev.Gone() if self.fresh(e) and e.member not in self.down:
                self.down.add(e.member)
                if self.state in ("waiting", "open"):
                    for p in self.open_():
                        if not self.whole(e.member, p) and e.member not in self.verdict[p]:
                            self.gone.add((e.member, p))
            case ev.Joined() if e.epoch > self.epoch[e.member]:
                self.epoch[e.member] = e.epoch
                self.down.discard(e.member)
                if self.state in ("waiting", "open"):
                    self.gone = {(m, p) for m, p in self.gone if m != e.member}
                    self.cut = {k: v for k, v in self.cut.items() if k[0] != e.member}
            case ev.Failed() if self.state in ("waiting", "open"):
                if e.site is not None and self.phase(e.site) not in self.open_():
                    return None
                start = 0 if e.site is None else self.phase(e.site)
                if e.site is None:
                    decided = max((p for p in self.live if e.member in self.verdict[p]), default=-1)
                    self.dead |= {(e.member, p) for p in range(decided + 1, len(self.phases)) if p not in self.live}
                for p in (p for p in self.open_() if p >= start):
                    if not self.whole(e.member, p) and e.member not in self.verdict[p]:
                        self.bury(e.member, p)
                        break
            case ev.Cancelled() | ev.Committed() if self.state not in ("cancelled", "committed"):
                good = isinstance(e, ev.Committed) and self.folded and self.state != "failed"
                self.state = "committed" if good else "cancelled"
        return None

    def fresh(self, e):
        """Return whether a report is of the member's present connection, or of none."""
        return e.epoch is None or e.epoch >= self.epoch[e.member]


class Laws:
    """What must hold of the actions of any round, whatever happens to it."""

    def __init__(self, members, sites, quorum, rank, enough=None):
        self.enough = len(members) if enough is None else enough
        self.members, self.sites, self.quorum = members, sites, quorum
        self.rank = rank  # site -> the number of its phase
        self.more = False  # whether a loop may take more turns
        self.folds = defaultdict(list)  # site -> members, in the order of their folds
        self.outstanding = {}
        self.accepted = {}  # (member, site) -> digest
        self.arrived = set()
        self.let_go = Counter()
        self.closed, self.failed = {}, {}
        self.deadline = None
        self.forgotten = False

    def see(self, event, actions):
        """Check one step."""
        if isinstance(event, ev.Arrived):
            self.arrived.add((event.member, event.site, event.digest))
        if isinstance(event, ev.Folded):
            assert self.outstanding.pop(event.site) == event.member
        for a in actions:
            match a:
                case ev.Accept():
                    assert (a.member, a.site, a.digest) in self.arrived or a.again, "accepted before it was whole"
                    key = (a.member, a.site)
                    if a.again:
                        assert self.accepted.get(key) == a.digest, "another payload acknowledged as the same"
                    else:
                        assert key not in self.accepted, "one contribution accepted twice"
                        assert a.site not in {*self.closed, *self.failed}, "accepted after the close"
                        self.accepted[key] = a.digest
                case ev.Fold():
                    assert a.site not in self.outstanding, "two folds at once"
                    assert a.site not in {*self.closed, *self.failed}, "a fold after the close"
                    assert (a.member, a.site) in self.accepted, "folded, and never accepted"
                    assert not self.let_go[a.member, a.site], "folded after it was let go"
                    self.folds[a.site].append(a.member)
                    self.let_go[a.member, a.site] += 1
                    self.outstanding[a.site] = a.member
                    ranks = [self.members.index(m) for m in self.folds[a.site]]
                    assert ranks == sorted(set(ranks)), "folds out of member order, or twice"
                case ev.Discard():
                    self.let_go[a.member, a.site] += (a.member, a.site) in self.accepted
                    assert self.let_go[a.member, a.site] <= 1, "let go twice"
                case ev.Close():
                    assert a.site not in {*self.closed, *self.failed}
                    assert a.site not in self.outstanding, "closed with a fold outstanding"
                    assert list(a.contributors) == self.folds[a.site], "the record is not what was folded"
                    assert len(a.contributors) >= self.quorum, "closed below quorum"
                    assert len(a.contributors) <= self.enough, "more than were to count"
                    first = min(self.rank[s] for s in self.sites)  # after it only those are left who are to count
                    if ENOUGH in a.lost.values() and self.rank[a.site] == first:
                        assert len(a.contributors) == self.enough, "sent away, and not enough were there"
                    in_, out = set(a.contributors), set(a.lost)
                    assert sorted([*in_, *out]) == sorted(self.members), "members neither in nor lost, or both"
                    assert list(a.lost) == [m for m in self.members if m in out]
                    assert a.summary.counts.get("CLIENTS", 0) == len(a.contributors), "the counts do not match"
                    self.check_nested(a)
                    self.closed[a.site] = a
                case ev.Fail():
                    assert a.site not in {*self.closed, *self.failed}
                    assert all((a.error.what, a.error.where, a.error.mend, a.error.node))
                    self.failed[a.site] = a
                case ev.SetDeadline():
                    assert a.at != self.deadline
                    self.deadline = a.at
                case ev.Forget():
                    assert not self.forgotten
                    self.forgotten = True
        if self.failed or (not self.more and set(self.sites) <= set(self.closed)):
            spent = {k for k, n in self.let_go.items() if n}
            assert spent == set(self.accepted), "an accepted contribution was neither folded nor let go"
            assert self.deadline is None, "a tick is asked for when all is over"

    def check_nested(self, close):
        """One phase, one set; a later phase's set lies within an earlier one's."""
        for site, other in self.closed.items():
            if self.rank[site] == self.rank[close.site]:
                assert other.contributors == close.contributors, "two sets in one phase"
            elif self.rank[site] < self.rank[close.site]:
                assert set(close.contributors) <= set(other.contributors), "lost at one site, in at a later one"
