"""The checker is silent on what true rounds did, and speaks of every kind of wrong history."""

import copy
import json
from dataclasses import replace

import pytest
from history_checker import RULES, check, load, main
from tree_play import Play

from tierfed.node import round_events as ev
from tierfed.node.round import Round
from tierfed.node.summary import Summary

SEEDS = range(25)


@pytest.fixture(scope="module")
def histories():
    """Those of one run in which much goes wrong."""
    return Play(seed=4).run()


def rules(violations):
    """Return the rules that were violated."""
    return {v.split(":")[0] for v in violations}


@pytest.fixture(scope="module")
def looped():
    """Those of one run of three turns."""
    return Play(seed=4, phases=3, looped=True).run()


@pytest.fixture(scope="module")
def drawn():
    """Those of one run in which each edge draws three of its five clients, of whom two are to count."""
    return Play(seed=2, clients=5, cohort=(3, 2)).run()


@pytest.mark.parametrize("loops", [False, True])
@pytest.mark.parametrize("quorum", [(1, 1), (2, 2), (2, 3), (0, 0)])
def test_true_rounds(quorum, loops):
    """No rule is violated by true rounds, whatever happens to their clients."""
    committed = failed = 0
    for seed in SEEDS:
        histories = Play(seed, quorum=quorum, looped=loops, phases=3 if loops else 2).run()
        assert check(histories) == []
        committed += sum(e["event"] == "committed" for e in histories["server"])
        failed += sum(e["event"] == "failed" for e in histories["server"])
    assert committed
    assert failed or quorum[0] < 2


def test_every_kind_of_event_was_played(histories):
    """The histories that the mutants start from hold every kind of event."""
    kinds = {e["event"] for seed in SEEDS for h in Play(seed, quorum=(2, 2)).run().values() for e in h}
    assert kinds == {
        *("begun", "reached", "accepted", "again", "rejected", "fold", "discarded", "joined", "gone", "broken"),
        *("child_failed", "closed", "failed", "cancelled", "committed", "sent"),
    }


# Mutants of histories: (what is wrong, how to write it into a true history, the rule that must speak) ------


def first(histories, node, kind, where=lambda e: True):
    """Return the list of events of `node` and the index of its first `kind` in a committed attempt."""
    events = histories[node]
    good = {(e["invocation"], e["attempt"]) for e in events if e["event"] == "committed"}
    found = (
        i
        for i, e in enumerate(events)
        if e["event"] == kind and (not good or (e["invocation"], e["attempt"]) in good) and where(e)
    )
    return events, next(found)


def borrowed_member(h):
    """Both edges count the same client."""
    _, i = first(h, "edge-0", "closed")
    thief = h["edge-0"][i]
    _, j = first(h, "edge-1", "closed", lambda e: e["contributors"])
    thief["contributors"] = [*thief["contributors"], h["edge-1"][j]["contributors"][0]]


def counted_twice(h):
    """A client stands twice in one list."""
    events, i = first(h, "edge-0", "closed", lambda e: e["contributors"])
    events[i]["contributors"] *= 2


def two_attempts(h):
    """Two attempts of one invocation are committed."""
    events, i = first(h, "server", "committed")
    again = [copy.deepcopy(e) for e in events[: i + 1] if e["invocation"] == events[i]["invocation"]]
    for e in again:
        e["attempt"] = 9
    events[i + 1 : i + 1] = again


def attempt_goes_back(h):
    """An older attempt is begun after a newer one."""
    events, i = first(h, "edge-0", "begun")
    events.insert(i, {**copy.deepcopy(events[i]), "attempt": 7})


def silent_loss(h):
    """What was accepted is neither in the sum nor given up: acknowledged before it was kept."""
    events, i = first(h, "edge-0", "closed", lambda e: e["contributors"])
    m = events[i]["contributors"][0]
    events[i]["contributors"] = events[i]["contributors"][1:]
    events[i]["counts"] = {"CLIENTS": len(events[i]["contributors"])}
    site, invocation = events[i]["site"], events[i]["invocation"]
    events[:] = [
        e
        for e in events
        if not (e["event"] == "fold" and (e["member"], e["site"], e["invocation"]) == (m, site, invocation))
    ]


def no_reason(h):
    """A member is lost without a reason."""
    events, i = first(h, "edge-0", "closed", lambda e: e["lost"])
    events[i]["lost"] = dict.fromkeys(events[i]["lost"], "")


def below_quorum(h):
    """A site closes with fewer than its quorum."""
    events, i = first(h, "edge-0", "begun")
    for what in events[i]["sites"].values():
        what["quorum"] = 4


def order_of_arrival(h):
    """Two folds change places."""
    events, i = first(h, "edge-1", "closed", lambda e: len(e["contributors"]) > 1)
    same = [
        k
        for k, e in enumerate(events)
        if e["event"] == "fold" and all(e[x] == events[i][x] for x in ("invocation", "attempt", "site"))
    ]
    a, b = same[:2]
    events[a]["member"], events[b]["member"] = events[b]["member"], events[a]["member"]
    events[i]["contributors"] = [events[k]["member"] for k in same]


def fold_after_close(h):
    """A late contribution is folded into a sum that is already on its way."""
    events, i = first(h, "edge-0", "closed", lambda e: e["contributors"])
    k = next(k for k in range(i, -1, -1) if events[k]["event"] == "fold")
    events.insert(i, events.pop(k))


def never_accepted(h):
    """Something is folded that was never acknowledged."""
    events, i = first(h, "edge-0", "fold")
    events[:] = [e for e in events if not (e["event"] == "accepted" and e["member"] == events[i]["member"])]


def two_parents(h):
    """A client is a child of both edges at once."""
    _, i = first(h, "edge-0", "begun")
    _, j = first(h, "edge-1", "begun")
    mine, other = h["edge-0"][i]["sites"], h["edge-1"][j]["sites"]
    for site in mine:
        mine[site]["children"] = [*mine[site]["children"], other[site]["children"][0]]


def wrong_count(h):
    """A mean of means: a tier counts its children where it should add up their counts."""
    events, i = first(h, "server", "closed", lambda e: e["contributors"])
    events[i]["counts"]["CLIENTS"] = len(events[i]["contributors"])


def inflated(h):
    """An edge says that more stand behind its partial than it has closed."""
    for events, i in (first(h, "edge-0", "sent"), first(h, "server", "accepted", lambda e: e["member"] == "edge-0")):
        events[i]["counts"]["CLIENTS"] = 99
    events, i = first(h, "server", "closed")
    events[i]["counts"]["CLIENTS"] = sum(
        e["counts"]["CLIENTS"]
        for e in events[:i]
        if e["event"] == "accepted"
        and (e["invocation"], e["attempt"]) == (events[i]["invocation"], events[i]["attempt"])
    )


def other_payload(h):
    """The parent holds another payload than its child sent."""
    events, i = first(h, "edge-0", "accepted")
    events[i]["digest"] = "something else"


def never_sent(h):
    """The parent holds what an edge that lived to the end never sent."""
    events, i = first(h, "edge-0", "sent")
    del events[i]


def old_epoch(h):
    """A member is accepted under the epoch of before its reconnection."""
    events, i = first(h, "edge-0", "accepted")
    e = events[i]
    join = {k: e[k] for k in ("node", "invocation", "attempt", "at", "member")}
    events.insert(i, {**join, "event": "joined", "epoch": e["epoch"] + 1})


def epoch_not_persisted(h):
    """After a restart the node has forgotten the epoch that a member had reached."""
    events, i = first(h, "edge-0", "begun")
    for m in events[i]["epochs"]:
        events[i]["epochs"][m] = 50


def dead_connection(h):
    """A member is accepted over a connection that was reported as gone."""
    events, i = first(h, "edge-0", "accepted")
    e = events[i]
    gone = {k: e[k] for k in ("node", "invocation", "attempt", "at", "member")}
    events.insert(i, {**gone, "event": "gone", "epoch": None, "reason": "killed"})


def past_the_deadline(h):
    """A straggler is taken after the deadline, by a clock that was set back."""
    events, i = first(h, "edge-0", "accepted")
    events[i]["at"] += 1000.0


def hangs(h):
    """A site is open long after its deadline."""
    events, i = first(h, "edge-0", "closed")
    events[i]["at"] += 1000.0


def no_end(h):
    """An edge's round is begun and never heard of again."""
    events = h["edge-0"]
    events[:] = [e for e in events if e["event"] not in ("committed", "cancelled", "failed")]
    h["server"][:] = [e for e in h["server"] if e["event"] not in ("failed", "cancelled")]
    for e in h["server"]:
        if e["event"] == "closed":
            e["lost"].pop("edge-0", None)


def turn_skipped(h):
    """A turn is not reached, and the next one is."""
    events, i = first(h, "edge-0", "reached", lambda e: e["site"] == "2.0[1]")
    del events[i]


def turns_backwards(h):
    """A turn is reached after the one that follows it."""
    events, i = first(h, "edge-0", "reached", lambda e: e["site"] == "2.0[1]")
    _, j = first(h, "edge-0", "reached", lambda e: e["site"] == "2.0[2]")
    events[i]["site"], events[j]["site"] = events[j]["site"], events[i]["site"]


def back_in_the_next_turn(h):
    """A member that a turn has lost is in the one after it."""
    events, i = first(h, "edge-0", "closed", lambda e: e["contributors"] and e["site"] == "2.0[2]")
    _, j = first(h, "edge-0", "closed", lambda e: e["site"] == "2.0[1]")
    events[j]["lost"][events[i]["contributors"][0]] = "late"


def turn_below_quorum(h):
    """A turn closes with fewer than its quorum."""
    events, i = first(h, "edge-0", "begun")
    events[i]["looped"]["2.0"]["quorum"] = 4


def parents_in_a_loop(h):
    """A client sends to both edges in a loop."""
    _, i = first(h, "edge-0", "begun")
    _, j = first(h, "edge-1", "begun")
    mine, other = h["edge-0"][i]["looped"]["2.0"], h["edge-1"][j]["looped"]["2.0"]
    mine["children"] = [*mine["children"], other["children"][0]]


def somebody_else(h):
    """A client takes part that was not drawn, in the place of one that was."""
    events, i = first(h, "edge-0", "begun")
    d = events[i]["draws"]["CLIENTS"]
    other = next(m for m in d["of"] if m not in d["members"])
    members = sorted([other, *d["members"][1:]])
    d["members"] = members
    for what in events[i]["sites"].values():
        what["children"] = members


def one_more(h):
    """An edge collects from more than it has drawn."""
    events, i = first(h, "edge-0", "begun")
    d = events[i]["draws"]["CLIENTS"]
    events[i]["sites"]["2.0"]["children"] = sorted([*d["members"], next(m for m in d["of"] if m not in d["members"])])


def one_who_was_away(h):
    """A client is drawn that was not connected, and others were."""
    _, i = first(h, "edge-0", "begun")
    d = h["edge-0"][i]["draws"]["CLIENTS"]
    d["of"] = [m for m in d["of"] if m != d["members"][0]]


def begun_undrawn(h):
    """A client that was not drawn has something to send."""
    events, i = first(h, "edge-0", "begun")
    d = events[i]["draws"]["CLIENTS"]
    other = next(m for m in d["of"] if m not in d["members"])
    sent = {k: events[i][k] for k in ("invocation", "attempt", "at")}
    h[other].append({**sent, "node": other, "event": "sent", "site": "2.0", "digest": "d", "counts": {"CLIENTS": 1}})


def another_invocations_draw(h):
    """An edge draws with the number of another invocation."""
    for e in h["edge-0"]:
        for d in e.get("draws", {}).values():
            d["key"] = "5/edge-0/77/CLIENTS/"


def another_seed(h):
    """An edge draws with a seed of its own."""
    for e in h["edge-0"]:
        for d in e.get("draws", {}).values():
            d["key"] = d["key"].replace("5/", "6/", 1)


def more_than_enough(h):
    """More are in than were to count."""
    events, i = first(h, "edge-0", "begun")
    events[i]["draws"]["CLIENTS"]["enough"] = 0


def sent_away_too_soon(h):
    """Somebody is out for others who were first, and these were too few."""
    _, i = first(h, "edge-0", "closed", lambda e: e["lost"])
    h["edge-0"][i]["lost"] = dict.fromkeys(h["edge-0"][i]["lost"], "enough others were first")
    _, j = first(h, "edge-0", "begun")
    h["edge-0"][j]["draws"]["CLIENTS"]["enough"] = 3


DRAWN = [
    (somebody_else, "cohorts"),
    (one_more, "cohorts"),
    (one_who_was_away, "cohorts"),
    (begun_undrawn, "cohorts"),
    (another_invocations_draw, "cohorts"),
    (another_seed, "cohorts"),
    (more_than_enough, "cohorts"),
    (sent_away_too_soon, "cohorts"),
    (borrowed_member, "once"),
    (order_of_arrival, "folds"),
    (silent_loss, "settled"),
]

LOOPED = [
    (turn_skipped, "turn_by_turn"),
    (turns_backwards, "turn_by_turn"),
    (back_in_the_next_turn, "turn_by_turn"),
    (turn_below_quorum, "quorum"),
    (parents_in_a_loop, "disjoint"),
    (borrowed_member, "once"),
    (two_attempts, "one_attempt"),
    (silent_loss, "settled"),
    (order_of_arrival, "folds"),
    (wrong_count, "counts"),
    (inflated, "counts"),
    (other_payload, "payloads"),
    (past_the_deadline, "deadlines"),
]

MUTANTS = [
    (borrowed_member, "once"),
    (counted_twice, "once"),
    (two_attempts, "one_attempt"),
    (attempt_goes_back, "one_attempt"),
    (silent_loss, "settled"),
    (no_reason, "quorum"),
    (below_quorum, "quorum"),
    (order_of_arrival, "folds"),
    (fold_after_close, "folds"),
    (never_accepted, "folds"),
    (two_parents, "disjoint"),
    (wrong_count, "counts"),
    (inflated, "counts"),
    (other_payload, "payloads"),
    (never_sent, "payloads"),
    (old_epoch, "epochs"),
    (epoch_not_persisted, "epochs"),
    (dead_connection, "epochs"),
    (past_the_deadline, "deadlines"),
    (hangs, "deadlines"),
    (no_end, "outcome"),
]


@pytest.mark.parametrize(("mutate", "rule"), MUTANTS, ids=lambda x: getattr(x, "__name__", x))
def test_wrong_histories(histories, mutate, rule):
    """Each wrong history is found by the rule that it breaks."""
    wrong = copy.deepcopy(histories)
    mutate(wrong)
    assert rule in rules(check(wrong))


@pytest.mark.parametrize(("mutate", "rule"), LOOPED, ids=lambda x: getattr(x, "__name__", x))
def test_wrong_histories_of_loops(looped, mutate, rule):
    """So is each wrong history of a loop."""
    wrong = copy.deepcopy(looped)
    mutate(wrong)
    assert rule in rules(check(wrong))


@pytest.mark.parametrize(("mutate", "rule"), DRAWN, ids=lambda x: getattr(x, "__name__", x))
def test_wrong_histories_of_cohorts(drawn, mutate, rule):
    """So is each wrong history of a run whose clients are drawn."""
    wrong = copy.deepcopy(drawn)
    mutate(wrong)
    assert rule in rules(check(wrong))


@pytest.mark.parametrize("loops", [False, True])
def test_true_cohorts(loops):
    """No rule is violated where clients are drawn, more of them than are to count; some are sent away."""
    away = 0
    for seed in range(8):
        play = Play(seed, clients=5, cohort=(4, 2), looped=loops, phases=3 if loops else 2)
        histories = play.run()
        assert check(histories) == []
        closed = [e for h in histories.values() for e in h if e["event"] == "closed"]
        assert all(len(e["contributors"]) <= 2 for e in closed)
        away += sum("enough others were first" in e["lost"].values() for e in closed)
    assert away > 8


def test_every_rule_has_its_mutant():
    """No rule goes untested."""
    assert {rule for _, rule in MUTANTS + LOOPED + DRAWN} == set(RULES)


# Mutants of the runtime: what the checker says of wrong rounds -------------------------------------------


class NoDeduplication(Round):
    """Takes a second copy as a second contribution."""

    def _contribution(self, event):
        c = self._at[event.site]
        if isinstance(event, ev.Arrived) and event.member in c.admitted:
            c.admitted.append(event.member)
            self._act(ev.Accept(event.member, event.site, event.digest))
        else:
            super()._contribution(event)


class OldEpochs(Round):
    """Takes contributions of an older epoch."""

    def _stranger(self, event):
        refused = super()._stranger(event)
        return None if refused and refused[0] == "STALE_EPOCH" else refused


class WallClock(Round):
    """Reads a clock that was set back by an hour after the round had begun."""

    def step(self, event, now):
        return super().step(event, now if isinstance(event, ev.Begun | ev.Reached) else now - 3600.0)


class LostCounted(Round):
    """Counts lost members towards the quorum."""

    def _settle(self):
        quorums = [c.quorum for c in self._collections]
        for c in self._collections:
            c.quorum = 0
        super()._settle()
        for c, q in zip(self._collections, quorums, strict=True):
            c.quorum = q


class MeanOfMeans(Round):
    """Says one contributor for each child, whatever stands behind it."""

    def _act(self, action):
        if isinstance(action, ev.Close):
            action = replace(action, summary=Summary(dict.fromkeys(action.summary.counts, len(action.contributors))))
            self.closed[action.site] = action
        super()._act(action)


@pytest.mark.parametrize(
    ("mutant", "rule", "quorum"),
    [
        (NoDeduplication, "folds", (1, 1)),
        (OldEpochs, "epochs", (1, 1)),
        (WallClock, "deadlines", (1, 1)),
        (LostCounted, "quorum", (2, 3)),
        (MeanOfMeans, "counts", (1, 1)),
    ],
)
def test_wrong_rounds(mutant, rule, quorum):
    """A tree of wrong rounds is found out by its histories alone."""
    plays = (type("Wrong", (Play,), {"make": mutant})(seed, quorum=quorum) for seed in SEEDS)
    assert rule in {r for play in plays for r in rules(check(play.run()))}


# Files ---------------------------------------------------------------------------------------------------


def test_files(histories, tmp_path, capsys):
    """What a history writes to its file is what the checker reads, and prints if it is wrong."""
    for node, events in histories.items():
        (tmp_path / f"{node}.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events))
    assert load(tmp_path) == histories
    assert main(tmp_path) == 0
    wrong = copy.deepcopy(histories)
    borrowed_member(wrong)
    (tmp_path / "edge-0.jsonl").write_text("".join(json.dumps(e) + "\n" for e in wrong["edge-0"]))
    assert main(tmp_path) == 1
    assert "is in the committed sum already" in capsys.readouterr().out


def test_torn_lines(tmp_path):
    """A line that a kill has torn is passed over, wherever a restarted node has left it."""
    (tmp_path / "edge-1.jsonl").write_bytes(b'{"event":"one"}\n{"at": 2.0, "ev\n{"event":"two"}\n{"at"')
    assert [e["event"] for e in load(tmp_path)["edge-1"]] == ["one", "two"]


def test_unfinished_run():
    """A run that was killed may end in the middle, but may not have done anything wrong before."""
    play = Play(seed=2)
    play.run()
    whole = play.histories()
    cut = {n: events[: len(events) * 2 // 3] for n, events in whole.items() if n == "server"}
    assert rules(check(cut, complete=False)) == set()
    assert "outcome" in rules(check(cut, complete=True))
