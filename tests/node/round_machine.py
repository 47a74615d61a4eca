"""Random histories of a round, checked after every step against the model and the laws."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from round_model import Laws, Model

from tierfed.errors import TierfedError
from tierfed.node import round_events as ev
from tierfed.node.round import Round
from tierfed.node.summary import Summary

LAYOUTS = {
    "one site": [["2.0"]],
    "two sites of one phase": [["2.0", "2.1"]],
    "two phases": [["2.0"], ["4.0"]],
    "two phases, the second of two sites": [["1.0"], ["3.0", "3.1"]],
}
LOOPS = {
    "a loop": [("2.0", [["3.0"]])],
    "a loop of two sites, and a phase after it": [("2.0", [["3.0", "3.1"]]), ["6.0"]],
    "a loop in a loop, with a phase before and one between": [["1.0"], ("2.0", [["3.0"], ("3.1", [["4.0"]])])],
}


TROUBLES = ("askew", "strangers", "cut", "fail", "vanish", "join", "end")  # a run has two kinds of them at most


def site(text):
    """Return the site written `text`."""
    return ev.Site(*map(int, text.split(".")))


UNKNOWN = ev.Site(9, 9)


class Unrolled:
    """A layout, written out: phases in order, among them a turn of each loop that is not taken.

    `script` is what the slice does: it reaches the sites of the turns taken, and leaves loops.
    """

    def __init__(self, layout, turns):
        self.turns = turns  # of the loops, by depth
        self.collects, self.phases, self.loops, self.script = [], [], [], []
        self._add(layout, (), (), True)

    def _add(self, items, around, at, taken):
        for item in items:
            if isinstance(item, list):
                written = [site(s) for s in item]
                sites = [s.at(at) for s in written]
                self.collects += [ev.Collect(s, "CLIENTS", around) for s in written if s not in self.known()]
                self.phases.append(sites)
                self.loops.append(around[0] if around else None)
                self.script += [ev.Reached(s) for s in sites if taken]
                continue
            loop, inside = site(item[0]), item[1]
            for turn in range(self.turns[len(at)] + 1):
                self._add(inside, (*around, loop), (*at, turn), taken and turn < self.turns[len(at)])
            self.script += [ev.Left(loop)] if not around else []

    def known(self):
        return {c.site for c in self.collects}


class RoundMachine(RuleBasedStateMachine):
    """A daemon that keeps to its side of the bargain, and children that do not."""

    make = Round  # a mutant takes its place
    layouts = LAYOUTS | LOOPS

    @initialize(
        n=st.integers(0, 4),
        short=st.integers(0, 4),
        which=st.integers(0, 99),
        turns=st.tuples(st.integers(0, 3), st.integers(0, 2)),
        troubles=st.sets(st.sampled_from(TROUBLES), max_size=2),
        prompt=st.booleans(),
    )
    def start(self, n, short, which, turns, troubles, prompt):
        self.set_up(n, short, which, turns, troubles, prompt)

    def set_up(self, n, short, which, turns, troubles, prompt, spare=0):
        """Begin with `n` members, `spare` of whom are more than are to count."""
        self.troubles = troubles
        self.members = [f"c-{i}" for i in range(n)]
        self.layout = Unrolled(self.layouts[sorted(self.layouts)[which % len(self.layouts)]], turns)
        self.phases, self.script = self.layout.phases, list(self.layout.script)
        self.sites = [s for sites in self.phases for s in sites]
        self.taken = [e.site for e in self.script if isinstance(e, ev.Reached)]
        self.looped = any(self.layout.loops)
        self.quorum = max(0, n - short)
        enough = max(n - spare, self.quorum) if spare else None
        self.now = 0.0
        epochs = dict.fromkeys(self.members, 1)
        rank = {s: p for p, sites in enumerate(self.phases) for s in sites}
        self.model = Model(self.members, self.phases, self.quorum, epochs, 2, self.layout.loops, 2, enough)
        self.laws = Laws(self.members, self.taken, self.quorum, rank, enough)
        self.laws.more = self.looped
        self.round = self.make(
            "edge",
            "i-7",
            2,
            self.layout.collects,
            {"CLIENTS": self.members},
            {"CLIENTS": self.quorum},
            epochs,
            None if enough is None else {"CLIENTS": enough},
        )
        self.round.most_ahead = 2
        if prompt:
            self.do(ev.Begun(float("inf") if self.looped else 5.0))
            self.go_on(None)

    def go_on(self, deadline):
        """Do what the slice does next, if it may; a site in a loop has a deadline, or it would wait for ever."""
        event = self.script[0]
        if isinstance(event, ev.Reached):
            before = [s for sites in self.phases[: self.laws.rank[event.site]] for s in sites if s in self.taken]
            if not all(s in self.laws.closed for s in before):
                return
            event = ev.Reached(event.site, deadline if deadline is not None or not self.looped else self.now + 4.0)
        elif not all(s in self.laws.closed for s in self.model.reached):
            return
        self.script.pop(0)
        self.laws.more = any(isinstance(e, ev.Left) for e in self.script)
        self.do(event)

    def do(self, event):
        """Give the event to the round and to the model, and compare."""
        self.model.folded = not self.laws.more and set(self.laws.closed) >= set(self.taken)
        answer = self.model.apply(event, self.now)
        try:
            actions = self.round.step(event, self.now)
        except TierfedError as protest:
            raise AssertionError(f"a protest against a daemon that keeps to its side: {protest}") from protest
        self.laws.see(event, actions)
        replies = [a for a in actions if isinstance(a, ev.Accept | ev.Reject)]
        if isinstance(event, ev.Offered | ev.Arrived):
            got = [("AGAIN" if a.again else "ACCEPT") if isinstance(a, ev.Accept) else a.why for a in replies]
            assert got == ([] if answer == "NOTHING" else [answer])
        for p, sites in enumerate(self.phases):
            for s in sites:
                if s in self.laws.closed:
                    expected = [m for m in self.members if self.model.verdict[p].get(m) == "in"]
                    assert list(self.laws.closed[s].contributors) == expected

    child = st.integers(0, 3)
    where = st.integers(0, 5)

    def pick(self, i):
        return self.members[i % len(self.members)]

    def at(self, i):
        """Return a site: in loops, one of the last turn or of those to come."""
        start = max(self.model.now - 1, 0)
        near = [s for sites in self.phases[start : start + 5] for s in sites] if self.looped else self.sites
        return near[i % len(near)]

    @precondition(lambda self: self.model.state == "waiting")
    @rule(seconds=st.sampled_from([3.0, 6.0]), dead=st.sets(child, max_size=1))
    def begin(self, seconds, dead):
        until = float("inf") if self.looped else self.now + seconds
        self.do(ev.Begun(until, {self.pick(i): "dead" for i in dead if self.members}))

    @precondition(lambda self: self.model.state == "open" and self.script)
    @rule(seconds=st.sampled_from([None, 1.0, 4.0]))
    def reach(self, seconds):
        self.go_on(None if seconds is None else self.now + seconds)

    @precondition(lambda self: self.members)
    @rule(i=child, w=where, digest=st.sampled_from([None, "p", "q"]))
    def offer(self, i, w, digest):
        m = self.pick(i)
        self.do(ev.Offered(m, self.at(w), 2, self.model.epoch[m], digest))

    @precondition(lambda self: self.members)
    @rule(i=child, w=where)
    def arrive(self, i, w):
        m = self.pick(i)
        self.do(ev.Arrived(m, self.at(w), 2, self.model.epoch[m], "p", Summary({"CLIENTS": 1})))

    @precondition(lambda self: self.members)
    @rule(i=child)
    def deliver(self, i):
        """All that a member still owes, which makes whole members likely."""
        for w in range(min(len(self.sites), 4)):
            self.arrive(i, w)

    @precondition(lambda self: self.members and "askew" in self.troubles)
    @rule(i=child, w=where, attempt=st.sampled_from([1, 2, 3]), step=st.integers(-1, 1), digest=st.sampled_from("pq"))
    def arrive_askew(self, i, w, attempt, step, digest):
        m = self.pick(i)
        epoch = self.model.epoch[m] + step
        self.do(ev.Arrived(m, self.at(w), attempt, epoch, digest, Summary({"CLIENTS": 1})))

    @precondition(lambda self: "strangers" in self.troubles)
    @rule(stranger=st.booleans())
    def arrive_from_nowhere(self, stranger):
        who = "x-9" if stranger or not self.members else self.members[0]
        where = UNKNOWN if stranger or not self.looped else self.taken[-1].at((0, 0, 0)) if self.taken else UNKNOWN
        self.do(ev.Arrived(who, where, 2, 1, "p"))

    @precondition(lambda self: self.members and "cut" in self.troubles)
    @rule(i=child, w=where, old=st.booleans())
    def cut(self, i, w, old):
        m = self.pick(i)
        self.do(ev.Broken(m, self.at(w), "cut", self.model.epoch[m] - old))

    @precondition(lambda self: self.members and "fail" in self.troubles)
    @rule(i=child, w=st.sampled_from([None, 0, 1, 2]))
    def fail(self, i, w):
        m = self.pick(i)
        self.do(ev.Failed(m, None if w is None else self.at(w), "leaf raised", {"what": "bad", "traceback": f"T {m}"}))

    @precondition(lambda self: self.members and "vanish" in self.troubles)
    @rule(i=child, epoch=st.sampled_from([None, 0, -1]))
    def vanish(self, i, epoch):
        m = self.pick(i)
        self.do(ev.Gone(m, "connection lost", None if epoch is None else self.model.epoch[m] + epoch))

    @precondition(lambda self: self.members and "join" in self.troubles)
    @rule(i=child, step=st.integers(-1, 2))
    def join(self, i, step):
        m = self.pick(i)
        self.do(ev.Joined(m, self.model.epoch[m] + step))

    @precondition(lambda self: self.laws.outstanding)
    @rule()
    def folded(self):
        s, m = next(iter(self.laws.outstanding.items()))
        self.do(ev.Folded(m, s))

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0]), tick=st.booleans())
    def wait(self, seconds, tick):
        """Time goes on; the tick may come late, after other events."""
        self.now += seconds
        if tick:
            self.do(ev.Tick())

    @precondition(lambda self: "end" in self.troubles)
    @rule(commit=st.booleans(), rarely=st.integers(0, 2))
    def end(self, commit, rarely):
        if rarely == 0:
            self.do(ev.Committed() if commit else ev.Cancelled("the parent is gone"))

    @invariant()
    def fails_at_once_and_only_then(self):
        """A round fails as soon as its quorum cannot be met, and for no other reason."""
        if hasattr(self, "model"):
            assert bool(self.laws.failed) <= (self.model.state in ("failed", "cancelled", "committed"))
            if self.model.state == "failed":
                there = {s for p in self.model.open_() for s in self.phases[p]}
                assert set(self.laws.failed) | set(self.laws.closed) >= there
                assert self.laws.failed

    @invariant()
    def closes_as_soon_as_it_can(self):
        """With everybody decided and every fold done a reached site is closed; before, it is not."""
        if not hasattr(self, "model") or self.model.state != "open":
            return
        for p in self.model.open_():
            sites = self.phases[p]
            decided = len(self.model.verdict[p]) == len(self.members)
            nobody = "in" not in self.model.verdict[p].values()
            for s in sites:
                ready = decided and s not in self.laws.outstanding and (s in self.model.reached or nobody)
                assert (s in self.laws.closed) == ready

    def teardown(self):
        """Nothing hangs: once the deadline has passed and folds have ended, every site is closed or failed."""
        if not hasattr(self, "model"):
            return
        if self.model.state == "waiting":
            self.do(ev.Begun(float("inf") if self.looped else self.now + 1.0))
        self.now += 100.0
        self.do(ev.Tick())
        for _ in range(100):
            if self.model.state != "open":
                break
            if self.laws.outstanding:
                self.folded()
            elif self.script:
                self.go_on(self.now if self.looped else None)
            else:
                break
        if self.model.state == "open" or not self.looped:
            assert set(self.laws.closed) | set(self.laws.failed) == set(self.taken)
        if self.model.state == "open":
            assert self.round.state == "closed"
        else:
            assert self.round.state == self.model.state


class CohortMachine(RoundMachine):
    """The same, with more members drawn than are to count."""

    @initialize(
        n=st.integers(2, 4),
        short=st.integers(0, 4),
        which=st.integers(0, 99),
        turns=st.tuples(st.integers(0, 3), st.integers(0, 2)),
        troubles=st.sets(st.sampled_from(TROUBLES), max_size=2),
        prompt=st.booleans(),
        spare=st.integers(1, 2),
    )
    def start(self, n, short, which, turns, troubles, prompt, spare):
        self.set_up(n, short, which, turns, troubles, prompt, spare)
