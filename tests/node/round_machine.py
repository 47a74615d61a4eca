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


TROUBLES = ("askew", "strangers", "cut", "fail", "vanish", "join", "end")  # a run has two kinds of them at most


def site(text):
    """Return the site written `text`."""
    return ev.Site(*map(int, text.split(".")))


class RoundMachine(RuleBasedStateMachine):
    """A daemon that keeps to its side of the bargain, and children that do not."""

    make = Round  # a mutant takes its place

    @initialize(
        n=st.integers(0, 4),
        short=st.integers(0, 4),
        layout=st.sampled_from(sorted(LAYOUTS)),
        troubles=st.sets(st.sampled_from(TROUBLES), max_size=2),
        prompt=st.booleans(),
    )
    def start(self, n, short, layout, troubles, prompt):
        self.troubles = troubles
        self.members = [f"c-{i}" for i in range(n)]
        self.phases = [[site(s) for s in sites] for sites in LAYOUTS[layout]]
        self.sites = [s for sites in self.phases for s in sites]
        self.quorum = max(0, n - short)
        self.now = 0.0
        epochs = dict.fromkeys(self.members, 1)
        self.model = Model(self.members, self.phases, self.quorum, epochs, attempt=2)
        self.laws = Laws(self.members, self.sites, self.quorum)
        self.round = self.make(
            "edge",
            "i-7",
            2,
            [ev.Collect(s, "CLIENTS") for s in self.sites],
            {"CLIENTS": self.members},
            {"CLIENTS": self.quorum},
            epochs,
        )
        if prompt:
            self.do(ev.Begun(5.0))
            self.do(ev.Reached(self.sites[0]))

    def do(self, event):
        """Give the event to the round and to the model, and compare."""
        self.model.folded = set(self.laws.closed) == set(self.sites)
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
    where = st.integers(0, 2)

    def pick(self, i):
        return self.members[i % len(self.members)]

    def at(self, i):
        return self.sites[i % len(self.sites)]

    @precondition(lambda self: self.model.state == "waiting")
    @rule(seconds=st.sampled_from([3.0, 6.0]), dead=st.sets(child, max_size=1))
    def begin(self, seconds, dead):
        self.do(ev.Begun(self.now + seconds, {self.pick(i): "dead" for i in dead if self.members}))

    @precondition(lambda self: self.model.state == "open" and len(self.model.reached) < len(self.sites))
    @rule(seconds=st.sampled_from([None, 1.0, 4.0]))
    def reach(self, seconds):
        s = self.sites[len(self.model.reached)]
        if all(t in self.laws.closed for t in self.sites if t.phase < s.phase):
            self.do(ev.Reached(s, None if seconds is None else self.now + seconds))

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
        for w in range(len(self.sites)):
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
        self.do(ev.Arrived(who, ev.Site(9, 9), 2, 1, "p"))

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
                assert set(self.laws.failed) | set(self.laws.closed) == set(self.sites)
                assert self.laws.failed

    @invariant()
    def closes_as_soon_as_it_can(self):
        """With everybody decided and every fold done a reached site is closed; before, it is not."""
        if not hasattr(self, "model") or self.model.state != "open":
            return
        for p, sites in enumerate(self.phases):
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
            self.do(ev.Begun(self.now + 1.0))
        self.now += 100.0
        self.do(ev.Tick())
        for _ in range(100):
            if self.model.state != "open":
                break
            if self.laws.outstanding:
                self.folded()
            elif len(self.model.reached) < len(self.sites):
                self.do(ev.Reached(self.sites[len(self.model.reached)]))
            else:
                break
        assert set(self.laws.closed) | set(self.laws.failed) == set(self.sites)
        if self.model.state == "open":
            assert self.round.state == "closed"
        else:
            assert self.round.state == self.model.state
