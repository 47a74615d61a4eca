"""A tree of real rounds, played without processes: its histories are what the checker is tested on.

A server over edges over clients; every client meets a fate drawn from a seed.  An invocation
that fails is tried again, under the next attempt, with clients that are all well.
"""

from __future__ import annotations

import json
import random
from collections import deque

from tierfed.node import round_events as ev
from tierfed.node.cohort import chosen
from tierfed.node.history import History
from tierfed.node.round import Round
from tierfed.node.summary import Summary

FATES = ("well", "well", "well", "twice", "cut", "gone", "back", "raises", "late", "silent", "stale", "other payload")


LOOP = ev.Site(1, 0)


class Play:
    """Three tiers; two phases, or turns of a loop, so that a loss in the first is seen in the second."""

    make = Round  # a mutant takes its place
    history = History

    def __init__(self, seed, edges=2, clients=3, phases=2, quorum=(1, 1), looped=False, cohort=None):
        self.random = random.Random(seed)
        self.tree = {f"edge-{e}": [f"c-{e}.{i}" for i in range(clients)] for e in range(edges)}
        self.looped, self.cohort = looped, cohort  # how many of an edge's clients are drawn, and are to count
        self.phases, self.quorum, self.now = phases, quorum, 100.0
        self.lines = {}
        self.epoch = {m: 1 for e, cs in self.tree.items() for m in (e, *cs)}
        self.books = {n: self.history(n, self.lines.setdefault(n, []).append) for n in ("server", *self.epoch)}

    def histories(self):
        """Return node -> events, as `load` does."""
        return {n: [json.loads(x) for x in b"".join(lines).splitlines()] for n, lines in self.lines.items()}

    def run(self, invocations=3):
        """Play some invocations and return their histories."""
        for k in range(invocations):
            for attempt in (1, 2):
                if self.invoke(f"i-{k}", attempt):
                    break
        return self.histories()

    def step(self, name, event):
        """Give `event` to the round of `name` and see to its folds; return all actions."""
        todo, seen = deque([event]), []
        while todo:
            e = todo.popleft()
            actions = self.rounds[name].step(e, self.now)
            self.books[name].record(self.rounds[name], e, actions, self.now)
            seen += actions
            todo += [ev.Folded(a.member, a.site) for a in actions if isinstance(a, ev.Fold)]
        return seen

    def send(self, name, parent, site, summary, digest=None, epoch=None):
        """Let `name` send its contribution to its parent."""
        r = self.rounds[parent]
        digest = digest or f"{name} {r.invocation}.{r.attempt} {site}"
        self.books[name].sent(r.invocation, r.attempt, site, digest, summary, self.now)
        self.step(
            parent, ev.Arrived(name, site, r.attempt, self.epoch[name] if epoch is None else epoch, digest, summary)
        )

    def invoke(self, invocation, attempt):
        """Play one attempt; return whether it was committed."""
        low = [ev.Site(2, 0, (p,)) if self.looped else ev.Site(2 + 4 * p, 0) for p in range(self.phases)]
        high = [ev.Site(3, 0, (p,)) if self.looped else ev.Site(3 + 4 * p, 0) for p in range(self.phases)]
        loops = (LOOP,) if self.looped else ()
        self.rounds = {
            "server": self.make(
                "server",
                invocation,
                attempt,
                [ev.Collect(s, "EDGES", loops) for s in dict.fromkeys(s.written for s in high)],
                {"EDGES": tuple(self.tree)},
                {"EDGES": self.quorum[0]},
                self.epoch,
            )
        }
        self.drawn, draws = dict(self.tree), dict.fromkeys(self.tree, {})
        for e, clients in self.tree.items() if self.cohort else ():
            key, (number, enough) = f"5/{e}/{invocation.split('-')[-1]}/CLIENTS/", self.cohort
            weights = {c: 1.0 + i for i, c in enumerate(clients)}
            drawn = chosen(key, clients, number, weights)
            self.drawn[e] = tuple(c for c in clients if c in drawn)
            draws[e] = {"CLIENTS": ev.Draw(key, tuple(clients), number, self.drawn[e], enough, weights)}
        for e, clients in self.drawn.items():
            enough = {"CLIENTS": self.cohort[1]} if self.cohort else None
            sites = [ev.Collect(s, "CLIENTS", loops) for s in dict.fromkeys(s.written for s in low)]
            self.rounds[e] = self.make(
                e, invocation, attempt, sites, {"CLIENTS": clients}, {"CLIENTS": self.quorum[1]}, self.epoch, enough
            )
        fates = {c: self.random.choice(FATES) if attempt == 1 else "well" for cs in self.drawn.values() for c in cs}
        start = self.now
        self.step("server", ev.Begun(start + 40.0 * self.phases))
        for e in self.tree:
            self.step(e, ev.Begun(start + 20.0 * self.phases, draws=draws[e]))
        for below, above in zip(low, high, strict=True):
            if self.rounds["server"].state != "open":
                break
            self.phase(fates, below, above)
        self.step("server", ev.Tick())
        for name in self.rounds if self.looped else ():
            self.step(name, ev.Left(LOOP))
        good = self.rounds["server"].state == "closed"
        for e in ("server", *self.tree):
            self.step(e, ev.Committed() if good else ev.Cancelled("the round failed"))
        self.now += 60.0
        return good

    def phase(self, fates, below, above):
        """Play one phase: the clients' contributions, the deadline of the edges, and what they send."""
        self.step("server", ev.Reached(above, self.now + 30.0))
        open_ = [e for e in self.tree if self.rounds[e].state == "open"]
        clients = [(e, c) for e in open_ for c in self.drawn[e]]
        for e in open_:
            self.step(e, ev.Reached(below, self.now + 10.0))
        self.random.shuffle(clients)
        for e, c in clients:
            self.now += 0.5
            self.meet(fates, e, c, below)
        self.now += 10.0
        for e in open_:
            self.step(e, ev.Tick())
        for e, c in clients:
            if fates[c] == "late":
                self.send(c, e, below, Summary({"CLIENTS": 1}))
        for e in open_:
            self.now += 0.5
            closed = self.rounds[e].closed.get(below)
            if closed is not None:
                self.send(e, "server", above, closed.summary.and_self("EDGES"))
            else:
                self.step("server", ev.Failed(e, None, "below quorum"))

    def meet(self, fates, e, c, site):
        """Let client `c` of edge `e` meet its fate."""
        one, attempt = Summary({"CLIENTS": 1}), self.rounds[e].attempt
        match fates[c]:
            case "well":
                self.send(c, e, site, one)
            case "twice":
                self.send(c, e, site, one)
                self.send(c, e, site, one)
            case "other payload":
                self.send(c, e, site, one)
                self.send(c, e, site, one, digest="another")
            case "cut":
                self.step(e, ev.Offered(c, site, attempt, self.epoch[c]))
                self.step(e, ev.Broken(c, site, "cut"))
            case "gone":
                self.step(e, ev.Gone(c, "killed"))
                fates[c] = "silent"
                self.send(c, e, site, one)  # what was still in its socket
                self.epoch[c] += 1
            case "back":
                self.send(c, e, site, one)
                self.epoch[c] += 1
                self.step(e, ev.Joined(c, self.epoch[c]))
                self.send(c, e, site, one)
            case "stale":
                self.epoch[c] += 1
                self.step(e, ev.Joined(c, self.epoch[c]))
                self.send(c, e, site, one, epoch=self.epoch[c] - 1)
            case "raises":
                self.step(e, ev.Failed(c, site, "leaf raised"))
