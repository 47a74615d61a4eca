"""An offline checker of what a tree did: it reads histories and shares no code with the runtime.

    $ python tests/checker/history_checker.py .tierfed/runs/7f3a90c2/history
    once: edge-2, i-7, site 2.0: c-3 is in the committed sum already, at edge-1

A history is a node's list of events, one JSON object a line (see `tierfed/node/history.py`).
The checker rebuilds from all of them who stands behind each committed invocation, and holds
that against what the nodes accepted, folded, closed and sent.  Each rule returns sentences;
no sentences is no violation.

`complete` says that the run was allowed to end: then everything begun needs an outcome.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections import defaultdict
from fractions import Fraction
from functools import cached_property
from pathlib import Path

GRACE = 5.0  # seconds that a node may take to fold and report after its deadline


def load(folder):
    """Return node -> events of the histories in `folder`; a line torn by a kill is passed over."""
    return {
        path.stem: [json.loads(line) for line in path.read_bytes().split(b"\n") if line.endswith(b"}")]
        for path in sorted(Path(folder).glob("*.jsonl"))
    }


def phase(site):
    """Return the phase of the site written `site`."""
    return int(site.split(".")[0])


def turns(site):
    """Return the turns of the loops around a site written `3.0[2,5]`, the outermost first."""
    return [int(t) for t in site.partition("[")[2].rstrip("]?").split(",") if t]


def asks(site):
    """Return whether a site is written `3.0?`: members agree there on what they send at 3.0, and add up nothing."""
    return site.endswith("?")


def written(site, of=()):
    """Return a site in other turns."""
    return site.partition("[")[0].rstrip("?") + (f"[{','.join(map(str, of))}]" if of else "") + "?" * asks(site)


class Part:
    """What one node did in one attempt of one invocation, in its order."""

    def __init__(self, node, invocation, attempt):
        self.node, self.invocation, self.attempt = node, invocation, attempt
        self.events = []

    def of(self, *kinds):
        """Return the events of these kinds, in order."""
        return [e for e in self.events if e["event"] in kinds]

    @cached_property
    def begun(self):
        return next(iter(self.of("begun")), None)

    @cached_property
    def closed(self):
        return {e["site"]: e for e in self.of("closed")}

    @cached_property
    def ending(self):
        """How it ended here: committed, cancelled, failed, or None."""
        return next((e["event"] for e in reversed(self.of("committed", "cancelled", "failed"))), None)

    def what(self, site):
        """Return what the beginning says of `site`, in whatever turn, None if it does not name it."""
        found = self.looped.get(written(site)) if turns(site) else self.begun["sites"].get(site)
        return found if found is None or len(found.get("loops", ())) == len(turns(site)) else None

    @cached_property
    def looped(self):
        return self.begun.get("looped", {})

    @cached_property
    def collected(self):
        """Return the sites that it collects: those outside loops, and the turns that it closed."""
        return {**self.begun["sites"], **{s: self.what(s) for s in self.closed if turns(s) and self.what(s)}}

    def order(self, site):
        """Return where `site` stands: in loops, where these do, turn by turn."""
        loops = (self.what(site) or {}).get("loops", ()) if self.begun else ()
        around = [(*map(int, loop.split(".")), turn) for loop, turn in zip(loops, turns(site), strict=False)]
        own = (-1, int(written(site).rstrip("?").split(".")[1]), 0) if asks(site) else (0, 0, 0)
        return (*((p, 1, i, turn) for p, i, turn in around), (phase(site), *own))

    def due(self, site):
        """Return when `site` had to be collected, in this node's time."""
        begun = math.inf if self.begun["deadline"] is None else self.begun["deadline"]
        return min(begun, self._due.get(self.order(site), math.inf))

    @cached_property
    def _due(self):
        """The earliest deadline that was said of each place."""
        due = {}
        for e in self.of("reached"):
            if e["deadline"] is not None:
                at = self.order(e["site"])
                due[at] = min(due.get(at, math.inf), e["deadline"])
        return due

    def __str__(self):
        return f"{self.node}, {self.invocation}, attempt {self.attempt}"


class Run:
    """All histories, by node, invocation and attempt."""

    def __init__(self, histories, complete=True):
        self.histories, self.complete = histories, complete
        self.parts = {}
        for node, events in histories.items():
            for e in events:
                key = (node, e["invocation"], e["attempt"])
                self.parts.setdefault(key, Part(*key)).events.append(e)
        self.collecting = [p for p in self.parts.values() if p.begun]

    @cached_property
    def root(self):
        """The node that begins rounds and is nobody's child."""
        children = {c for p in self.collecting for s in _said(p) for c in s["children"]}
        roots = {p.node for p in self.collecting} - children
        assert len(roots) <= 1, f"histories of several trees: {sorted(roots)}"
        return next(iter(roots), None)

    @cached_property
    def committed(self):
        """invocation -> attempts that the root has committed."""
        out = defaultdict(list)
        for p in self.collecting:
            if p.node == self.root and p.of("committed"):
                out[p.invocation].append(p.attempt)
        return out

    @cached_property
    def _parents(self):
        return {
            (p.invocation, p.attempt, child): p
            for p in self.collecting
            for what in _said(p)
            for child in what["children"]
        }

    def parent(self, part):
        """Return the part of the node above in the same attempt, None at the root."""
        return self._parents.get((part.invocation, part.attempt, part.node))

    def counted(self, part, site):
        """Return whether the sum of `part` at `site` went into the root's: the chain of sends above it."""
        while part.node != self.root:
            above = self.parent(part)
            if above is None:
                return False
            ups = [
                s
                for s, what in above.collected.items()
                if part.node in what["children"] and above.order(s) > part.order(site) and not asks(s)
            ]
            ups = [s for s in ups if above.order(s) == min(map(above.order, ups))]
            if not ups or not all(part.node in above.closed.get(s, {}).get("contributors", ()) for s in ups):
                return False
            part, site = above, ups[0]
        return True


def _said(part):
    """Return what the beginning of `part` says of its sites, those in loops too."""
    return [*part.begun["sites"].values(), *part.looped.values()]


def once(run):
    """No member stands twice behind one site of a committed invocation."""
    seen = {}
    for part in run.collecting:
        for attempt in run.committed[part.invocation]:
            if part.attempt != attempt:
                continue
            for site, e in part.closed.items():
                if not run.counted(part, site):
                    continue
                for m in e["contributors"]:
                    key = (part.invocation, site, m)
                    if key in seen:
                        where = f"{part.node}, {part.invocation}, site {site}"
                        yield f"{where}: {m} is in the committed sum already, at {seen[key]}"
                    seen[key] = part.node


def one_attempt(run):
    """One attempt of an invocation is committed, attempts rise, and nothing is begun again after the commit."""
    for invocation, attempts in run.committed.items():
        if len(attempts) > 1:
            yield f"{invocation}: attempts {attempts} are both committed"
    for part in run.parts.values():
        if part.of("committed") and run.committed[part.invocation] != [part.attempt]:
            yield f"{part}: committed here, and {run.committed[part.invocation] or 'none'} at {run.root}"
    for node, events in run.histories.items():
        last, done = {}, set()
        for e in events:
            key = e["invocation"]
            if e["event"] == "begun":
                if e["attempt"] <= last.get(key, -1):
                    yield f"{node}, {key}: attempt {e['attempt']} begun after {last[key]}"
                if key in done:
                    yield f"{node}, {key}: attempt {e['attempt']} begun after the commit"
                last[key] = e["attempt"]
            elif e["event"] == "committed":
                done.add(key)


def settled(run):
    """Everything accepted is committed, or excluded with a reason."""
    for part in run.collecting:
        attempts = run.committed[part.invocation]
        for e in part.of("accepted"):
            site, m = e["site"], e["member"]
            who = f"{part}, site {site}: {m} was accepted and"
            close = part.closed.get(site)
            here = close is not None and m in close["contributors"]
            dropped = [d for d in part.of("discarded") if (d["site"], d["member"]) == (site, m)]
            if any(not d["reason"] for d in dropped):
                yield f"{who} let go without a reason"
            if here and dropped:
                yield f"{who} is both in the sum and let go"
            if here and part.attempt in attempts and run.counted(part, site):
                continue
            reasons = [d["reason"] for d in dropped]
            reasons += [close["lost"].get(m)] if close else []
            reasons += [e.get("reason") or e.get("error") for e in part.of("cancelled", "failed")]
            reasons += [f"attempt {attempts[0]} was committed"] if attempts and part.attempt not in attempts else []
            excluded = any(reasons) or _lost_above(run, part)
            if not excluded and (run.complete or part.ending):
                yield f"{who} neither committed nor excluded with a reason"


def _lost_above(run, part):
    """Return why a node above has left this one out, None if none says so."""
    while (above := run.parent(part)) is not None:
        for e in above.closed.values():
            if part.node in e["lost"]:
                return e["lost"][part.node]
        ends = above.of("failed", "cancelled")
        if ends:
            return ends[0].get("reason") or ends[0].get("error")
        part = above
    return None


def quorum(run):
    """A site closes with its quorum, over its children and nobody else, and says why each other is lost."""
    for part in run.collecting:
        for site, e in part.closed.items():
            want = part.what(site)
            if want is None:
                yield f"{part}: closed {site}, which it does not collect"
                continue
            in_, lost = e["contributors"], e["lost"]
            if len(in_) < want["quorum"]:
                yield f"{part}, site {site}: closed with {len(in_)}, quorum is {want['quorum']}"
            if sorted([*in_, *lost]) != sorted(want["children"]):
                yield f"{part}, site {site}: {in_} in and {sorted(lost)} lost are not its children {want['children']}"
            if not all(lost.values()):
                yield f"{part}, site {site}: lost without a reason"


def folds(run):
    """What closes was accepted before, folded once and in member order; nothing is taken after the close."""
    for part in run.collecting:
        accepted, folded, ended = set(), defaultdict(list), set()
        for e in part.events:
            site, m = e.get("site"), e.get("member")
            if e["event"] in ("accepted", "fold") and site in ended:
                yield f"{part}, site {site}: {e['event']} {m} after the site had ended"
            if e["event"] == "accepted":
                if (site, m) in accepted:
                    yield f"{part}, site {site}: {m} was accepted twice"
                accepted.add((site, m))
            elif e["event"] == "fold":
                if (site, m) not in accepted:
                    yield f"{part}, site {site}: {m} was folded and never accepted"
                folded[site].append(m)
            elif e["event"] in ("closed", "failed"):
                ended.add(site)
        for site, e in part.closed.items():
            if folded[site] != list(e["contributors"]):
                yield f"{part}, site {site}: folded {folded[site]}, recorded {list(e['contributors'])}"
            rank = {m: i for i, m in enumerate((part.what(site) or {"children": []})["children"])}
            ranks = [rank.get(m, -1) for m in folded[site]]
            if ranks != sorted(set(ranks)):
                yield f"{part}, site {site}: {folded[site]} is not member order"


def turn_by_turn(run):
    """Turns are reached in order and without a gap, and who is lost in one is in none after it."""
    for part in run.collecting:
        reached = [e["site"] for e in part.of("reached") if turns(e["site"])]
        for before, after in zip(reached, reached[1:], strict=False):
            if part.order(after) < part.order(before):
                yield f"{part}: reached {after} after {before}"
        for site in reached:
            if turns(site)[-1]:
                one_less = written(site, [*turns(site)[:-1], turns(site)[-1] - 1])
                if one_less not in reached:
                    yield f"{part}: reached {site}, and never {one_less}"
        closed = sorted((e for s, e in part.closed.items() if part.what(s)), key=lambda e: part.order(e["site"]))
        out = {}
        for e in closed:
            for m in e["contributors"]:
                if m in out and turns(e["site"]):
                    yield f"{part}, site {e['site']}: {m} is in, and was lost at {out[m]}"
            out |= {m: e["site"] for m in e["lost"] if m not in out}


def disjoint(run):
    """In one attempt each node has one parent, so no two subtrees share a member."""
    parents = {}
    for part in run.collecting:
        for site, what in (*part.begun["sites"].items(), *part.looped.items()):
            for m in what["children"]:
                key = (part.invocation, part.attempt, site, m)
                if parents.setdefault(key, part.node) != part.node:
                    yield f"{part}, site {site}: {m} is a child of {parents[key]} as well"


def counts(run):
    """The count of each placement is the sum of its children's, at every tier."""
    for part in run.collecting:
        said = {(e["site"], e["member"]): e["counts"] for e in part.of("accepted")}
        for site, e in part.closed.items():
            total = defaultdict(int)
            for m in e["contributors"]:
                for placement, n in said.get((site, m), {}).items():
                    total[placement] += n
            if dict(total) != e["counts"]:
                yield f"{part}, site {site}: counts {e['counts']}, its contributors' are {dict(total)}"
            placement = (part.what(site) or {}).get("placement")
            counted = e["counts"].get(placement, 0)
            if counted != len(e["contributors"]):
                yield f"{part}, site {site}: {len(e['contributors'])} contributors, counted {counted}"
    for part in run.parts.values():
        below = []
        for e in part.of("closed", "sent"):
            if e["event"] == "closed":
                below.append(e)
                continue
            last = [c["counts"] for c in below if part.order(c["site"]) == max(part.order(b["site"]) for b in below)]
            if (part.begun and last) and not any(_with_itself(c, e["counts"]) for c in last):
                yield f"{part}: sent {e['counts']} at {e['site']}, what it had closed counts {last}"


def _with_itself(closed, sent):
    """Return whether `sent` counts what `closed` does and one member more: the sender."""
    return sum(sent.values()) == sum(closed.values()) + 1 and all(sent.get(p, 0) >= n for p, n in closed.items())


def payloads(run):
    """What a parent accepted is what its child had said that it sends: the same digest and counts."""
    for part in run.collecting:
        for e in part.of("accepted"):
            if e["member"] not in run.histories:
                continue
            child = run.parts.get((e["member"], part.invocation, part.attempt))
            sent = [s for s in child.of("sent") if s["site"] == e["site"]] if child else []
            who = f"{part}, site {e['site']}: accepted {e['digest']} of {e['member']}"
            if not sent and (child is None or child.ending is None):
                continue  # it was killed before it had written that it had sent
            if not any(s["digest"] == e["digest"] for s in sent):
                yield f"{who}, which sent {[s['digest'] for s in sent] or 'nothing'}"
            elif not any(s["counts"] == e["counts"] for s in sent):
                yield f"{who} as {e['counts']}, which said {[s['counts'] for s in sent]}"


def epochs(run):
    """Nothing is accepted under an older epoch than the newest seen of that member, nor over a lost connection."""
    for node, events in run.histories.items():
        epoch, gone = {}, set()
        for e in events:
            m = e.get("member")
            if e["event"] == "begun":
                for child, n in e["epochs"].items():
                    if n > epoch.get(child, -1):
                        epoch[child] = n
                        gone.discard(child)
                gone |= set(e["dead"])
            elif e["event"] == "gone" and (e["epoch"] is None or e["epoch"] >= epoch.get(m, -1)):
                gone.add(m)
            elif e["event"] in ("joined", "accepted"):
                if e["epoch"] > epoch.get(m, -1):
                    epoch[m] = e["epoch"]
                    gone.discard(m)
                elif e["event"] == "accepted" and e["epoch"] < epoch[m]:
                    yield f"{node}, {e['invocation']}: accepted {m} under epoch {e['epoch']}, it was at {epoch[m]}"
                elif e["event"] == "accepted" and m in gone:
                    yield f"{node}, {e['invocation']}: accepted {m} over a connection that was gone"


def deadlines(run):
    """Nothing is accepted past its deadline, and no reached site outlives its deadline by more than the grace."""
    for part in run.collecting:
        for e in part.of("accepted"):
            if part.what(e["site"]) and e["at"] >= part.due(e["site"]):
                yield f"{part}, site {e['site']}: accepted {e['member']} at {e['at']}, due at {part.due(e['site'])}"
        ended = {e["site"]: e["at"] for e in part.of("closed", "failed")}
        last = max(e["at"] for e in run.histories[part.node])
        for e in part.of("reached"):
            due, end = part.due(e["site"]), ended.get(e["site"])
            if (last if end is None else end) > due + GRACE:
                yield f"{part}, site {e['site']}: due at {due}, ended at {'no time' if end is None else end}"


def outcome(run):
    """In a run that was allowed to end, every round that was begun has ended."""
    for part in run.collecting:
        if run.complete and part.ending is None and not _lost_above(run, part):
            yield f"{part}: begun, and neither committed nor given up"


def cohorts(run):
    """Who takes part was drawn as the seed says, the first of them count, and nobody else was begun with."""
    seeds = set()
    for part in run.collecting:
        for placement, d in part.begun.get("draws", {}).items():
            where = f"{part}, {placement}"
            seed, slash, rest = d["key"].partition("/")
            seeds.add(seed)
            number = part.invocation.split("-")[-1]
            if slash + rest != f"/{part.node}/{number}/{placement}/":
                yield f"{where}: drawn with the key {d['key']}, in invocation {number}"
            expected, members = _drawn(d), d["members"]
            quorum = max((w["quorum"] for w in _said(part) if w["placement"] == placement), default=0)
            absent = [m for m in members if m not in d["of"]]
            if set(members) - set(absent) != expected:
                yield f"{where}: {members} were drawn of {d['of']}, and {sorted(expected)} should have been"
            if absent and len(d["of"]) >= quorum:
                yield f"{where}: {absent} were drawn, and were not there"
            if any(w["children"] != members for w in _said(part) if w["placement"] == placement):
                yield f"{where}: {members} were drawn, and others are collected from"
            for m in set(d["of"]) - set(members):
                if (m, part.invocation, part.attempt) in run.parts:
                    yield f"{where}: {m} took part, and was not drawn"
            out = {}
            own = [s for s in part.closed if (part.what(s) or {}).get("placement") == placement]
            for site in sorted(own, key=part.order):
                e = part.closed[site]
                in_, away = len(e["contributors"]), "enough others were first"
                if in_ > d["enough"]:
                    yield f"{where}, site {site}: {in_} are in, {d['enough']} were to count"
                now = [m for m, why in e["lost"].items() if why == away and out.setdefault(m, part.order(site))]
                if in_ < d["enough"] and any(out[m] == part.order(site) for m in now):
                    yield f"{where}, site {site}: {now} were sent away, and {in_} of {d['enough']} are in"
    if len(seeds) > 1:
        yield f"the nodes drew with the seeds {sorted(seeds)}"


def _drawn(d):
    """Return who is to be drawn: those of the least hashes, by weight those of the least ranks."""
    of, left, weights = list(d["of"]), d["number"], {m: Fraction(w) for m, w in d["weights"].items()}
    if left >= len(of):
        return set(of)
    hashed = {m: hashlib.sha256(f"{d['key']}{m}".encode()).hexdigest() for m in of}
    if not weights:
        return set(sorted(of, key=hashed.get)[:left])
    taken = set()
    while sure := [m for m in of if left * weights[m] >= sum(weights[x] for x in of)]:
        taken |= set(sure)
        of, left = [m for m in of if m not in sure], left - len(sure)
    share = {m: left * weights[m] / sum(weights[x] for x in of) for m in of}
    u = {m: Fraction(2 * int(hashed[m][:13], 16) + 1, 2**53) for m in of}
    return taken | set(sorted(of, key=lambda m: u[m] * (1 - share[m]) / (share[m] * (1 - u[m])))[:left])


RULES = {
    f.__name__: f
    for f in (
        once,
        one_attempt,
        settled,
        quorum,
        folds,
        turn_by_turn,
        disjoint,
        counts,
        payloads,
        epochs,
        deadlines,
        outcome,
        cohorts,
    )
}


def check(histories, complete=True):
    """Return the violations in `histories` (node -> events), each as `rule: sentence`."""
    run = Run(histories, complete)
    return [f"{name}: {sentence}" for name, rule in RULES.items() for sentence in rule(run)]


def main(folder):
    """Print the violations of the histories in `folder`; return 1 if there are any."""
    violations = check(load(folder))
    print("\n".join(violations))
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
