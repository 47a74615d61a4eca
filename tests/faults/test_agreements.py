"""Senders who agree before they send, on a virtual clock: sums bit for bit by hand, whoever is lost, and when.

server ── e-0 ── c-0 c-1      or      server ── c-0 c-1 c-2 (played by the test, where it misbehaves)
       └─ e-1 ── c-2 c-3
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fault_served import Member, Served, served, until, virtually

import tierfed
from tierfed import CLIENTS, SERVER, FederatedType
from tierfed.codecs import Stream, codec
from tierfed.codecs.agreeing import seed_of
from tierfed.errors import RoundFailed
from tierfed.node.memory_transport import MemoryTransport
from tierfed.node.summary import Summary
from tierfed.topology import Topology
from tierfed.topology import tree as fan_out
from tierfed.topology.plan import predicted
from tierfed.wire.message import MessageReader, encode_message
from tierfed.wire.packing import Agreed
from tierfed.wire.terms import Terms

SHAPE = (70, 80)
MODEL = tierfed.to_type("float32[70,80]")
SPECS = ["thc", "powersgd(5)", "clip(2.0)+thc(8)+zstd", "powersgd(2)+zstd"]
FAILS = 1e6


@tierfed.py_computation(MODEL, returns=MODEL)
def work(x: Any) -> Any:
    """A member's update; the member that is told to fails."""
    if x[0, 0] == FAILS:
        raise ValueError("told to")
    return x


@tierfed.federated_computation(FederatedType(MODEL, CLIENTS))
def total(x: Any) -> Any:
    """The sum of the members' updates."""
    return tierfed.federated_sum(tierfed.federated_map(work, x))


@tierfed.federated_computation(FederatedType(MODEL, CLIENTS), np.int32)
def in_turns(x: Any, turns: Any) -> Any:
    """The sum of the members' updates, once a turn."""
    start = tierfed.federated_value(np.zeros(SHAPE, np.float32), SERVER)
    return tierfed.federated_iterate(lambda m: m + tierfed.federated_sum(x), start, turns, at=SERVER)


@tierfed.federated_computation(FederatedType(MODEL, CLIENTS))
def both(x: Any) -> Any:
    """The sum of the members' updates, and each of them."""
    return tierfed.federated_sum(x), tierfed.federated_collect(x)


LAYERS = tierfed.to_type([("w", MODEL), ("e", (np.float32, [90, 60])), ("b", (np.float32, [80]))])


@tierfed.federated_computation(FederatedType(LAYERS, CLIENTS))
def layers(x: Any) -> Any:
    """The sum of the members' updates of three tensors."""
    return tierfed.federated_sum(x)


def two_tiers(spec: Any, quorum: str = "60%") -> Topology:
    """Three clients of the root."""
    collect = {"SERVER": {"quorum": quorum, "deadline": "10s"}}
    return fan_out({"CLIENTS": 3}, collect=collect, codec={"CLIENTS": {"up": spec}}, seed=5)


def three_tiers(spec: str, quorum: str = "100%") -> Topology:
    """Two edges of two clients."""
    collect = {name: {"quorum": quorum, "deadline": "10s"} for name in ("SERVER", "EDGE_AGGREGATORS")}
    codecs = {"CLIENTS": {"up": spec}, "EDGE_AGGREGATORS": {"up": spec}}
    return fan_out({"EDGE_AGGREGATORS": 2, "CLIENTS": 2}, collect=collect, codec=codecs, seed=5)


def updates(seed: int, count: int, failing: Sequence[int] = ()) -> list[Any]:
    """One update a member; of those in `failing`, the first element says that the member fails."""
    rng = np.random.default_rng(seed)
    found = [(rng.standard_normal(SHAPE) * 2.0**i).astype(np.float32) for i in range(count)]
    for index in failing:
        found[index][0, 0] = FAILS
    return found


def sent(tree: Served, program: Any, placement: str = "CLIENTS") -> tuple[str, str]:
    """Return the site and the slot of what members of a placement send."""
    part = next(s for p, s in tree.compiled(program).slices.items() if p.name == placement)
    send = next(step for step in part.walk() if type(step).__name__ == "Send")
    return str(send.site), send.slots[0].name


def by_hand(
    tree: Served,
    where: tuple[str, str],
    given: dict[str, Any],
    lost: Sequence[str] = (),
    number: int = 1,
    spec: str | None = None,
) -> Any:
    """Return the sum of what `given` members send at a site; those of them that are `lost` sent no codes."""
    site, path = where
    shape = next(iter(given.values())).shape
    coder = codec(spec or tree.topology.node(next(iter(given))).codec_up).of_shape(shape)
    words = (tree.topology.seed, str(number), site)
    seed = seed_of(Stream.of(*words).at(path), 0)
    offers = None
    for value in given.values():
        offer = coder.offer_chunk(value.reshape(-1), 0, seed)
        if offers is None:
            offers = offer
        else:
            coder.agreement.combine(offers, offer)  # type: ignore[union-attr]
    agreed = coder.agreed(coder.agreement.answer(offers), seed)  # type: ignore[union-attr,arg-type]
    added = agreed.summing(shape[0] * shape[1], "float32")
    for name, value in given.items():
        if name not in lost:
            stream = Stream.of(*words, name, "").beside(Stream.of(*words)).at(path)
            added.add(memoryview(agreed.encode_chunk(value.reshape(-1), 0, stream)))  # type: ignore[union-attr]
    result = np.zeros(shape, np.float32)
    added.into(result.reshape(-1))  # type: ignore[union-attr]
    return result


def clients(tree: Served) -> list[str]:
    """Their names, in order."""
    return [m.name for m in tree.topology.members(CLIENTS)]


@pytest.mark.parametrize("spec", SPECS)
def test_codes_add_up_in_their_own_form(spec: str, tmp_path: Path) -> None:
    """What comes out is the sum of codes by hand, decoded once, at every tier; traffic is as predicted, to the byte."""

    async def main() -> None:
        for topology in (two_tiers(spec), three_tiers(spec)):
            folder = tmp_path / topology.tree.root.name / str(len(topology.nodes))
            folder.mkdir(parents=True)
            async with served(MemoryTransport(), topology, histories=folder) as tree:
                for number in (1, 2):
                    values = dict(zip(clients(tree), updates(number, len(clients(tree))), strict=True))
                    result, record = await tree.ask(total, list(values.values()))
                    edges = [str(n.name) for n in topology.nodes.values() if n.placement == "EDGE_AGGREGATORS"]
                    for edge in edges:
                        own = {c: values.pop(c) for c in topology.node(edge).children}
                        values[edge] = by_hand(tree, sent(tree, total), own, number=number)
                    above = "EDGE_AGGREGATORS" if edges else "CLIENTS"
                    wanted = by_hand(tree, sent(tree, total, above), values, number=number)
                    assert (result == wanted).all()
                for tier, found in predicted(topology, tree.compiled(total)).items():
                    assert found is not None
                    up, raw_up, down, _, ups, downs = record.traffic[tier]
                    assert (ups, downs) == (4 if tier == "EDGE_AGGREGATORS" else 2 * len(clients(tree)),) * 2
                    assert raw_up == found.raw_up and 0 <= found.down - down <= 64 * downs
                    assert up == found.up if found.exact_up else abs(up - found.up) <= 128 * ups

    virtually(main())


@pytest.mark.parametrize("spec", SPECS[:2])
def test_a_member_lost_before_its_offer_is_in_neither(spec: str, tmp_path: Path) -> None:
    """Its leaf raises: the others agree, and add up, without it, and so they do after an edge is lost."""

    async def main() -> None:
        async with served(MemoryTransport(), two_tiers(spec), histories=tmp_path) as tree:
            values = updates(0, 3, [1])
            result, record = await tree.ask(total, values)
            names = clients(tree)
            assert list(record.lost) == [names[1]] and record.counts["CLIENTS"] == 2
            given = {names[i]: values[i] for i in (0, 2)}
            assert (result == by_hand(tree, sent(tree, total), given)).all()
        async with served(MemoryTransport(), three_tiers(spec, "50%")) as tree:
            values = updates(0, 4, [2, 3])
            result, record = await tree.ask(total, values)
            edge = tree.topology.node(clients(tree)[0]).parent or ""
            own = by_hand(tree, sent(tree, total), dict(zip(clients(tree)[:2], values[:2], strict=True)))
            wanted = by_hand(tree, sent(tree, total, "EDGE_AGGREGATORS"), {edge: own})
            assert (result == wanted).all() and record.counts["CLIENTS"] == 2

    virtually(main())


class Hand:
    """The third client, played by the test: what it offers, what it is answered, and what it sends then."""

    def __init__(self, tree: Served, member: Member, begin: dict[str, Any], value: Any) -> None:
        self.tree, self.member, self.begin, self.value = tree, member, begin, value
        self.site, self.slot = sent(tree, total)
        self.coder = codec(tree.topology.node(member.name).codec_up)
        terms = Terms.of(((self.slot, MODEL),), self.coder)
        assert terms is not None
        self.terms = terms
        words = (tree.topology.seed, "1", self.site)
        self.stream = Stream.of(*words, member.name, "").beside(Stream.of(*words))

    def frames(self, site: str, slot: str, t: Any, value: Any, coder: Any) -> list[tuple[dict[str, Any], Any]]:
        """Return the frames of a message."""
        ident = {"m": "up", "inv": self.begin["inv"], "att": self.begin["att"], "site": site}
        ident |= {"member": self.member.name, "summary": Summary({"CLIENTS": 1}).to_dict(), "traffic": {}}
        return list(encode_message(ident, [(slot, t, value)], coder, stream=self.stream))

    async def offer(self, change: Any = lambda offer: offer) -> None:
        """Send the offer of the value, or another."""
        offer = change(self.terms.offer([self.value], self.stream))
        t = tierfed.TensorType("float32", offer.shape)
        await self.member.send(self.frames(f"{self.site}?", "offer", t, offer, codec("none")))

    async def answer(self) -> Any:
        """Return the answer."""
        wanted = f"{self.site}?"

        def look() -> Any:
            return next((f for f in self.member.came if f.header.get("ident", {}).get("site") == wanted), None)

        frame = await until(look)
        reader = MessageReader([("answer", self.terms.answer_type)], codec("none"))
        assert reader.feed(frame)
        return reader.decode()[0]

    async def codes(self, answer: Any, change: Any = None) -> None:
        """Send the codes made with `answer`, or codes that are changed."""
        agreed = self.terms.agreed(answer, self.stream)
        if change is not None:
            chunks = {key: _Changed(own.stages, change) for key, own in agreed.chunks.items()}
            agreed = Agreed(self.coder, chunks)
        await self.member.send(self.frames(self.site, self.slot, MODEL, self.value, agreed))


class _Changed(type(codec("none"))):  # type: ignore[misc]
    """A codec whose codes are changed before they are sent."""

    def __init__(self, stages: Any, change: Any) -> None:
        super().__init__(stages)
        object.__setattr__(self, "change", change)

    def encode_chunk(self, *args: Any) -> Any:
        return self.change(bytearray(super().encode_chunk(*args)))


async def played(spec: str, act: Any, histories: Path, lost: str, *, offered: bool) -> None:
    """Run a round in which the third client does as `act`, and is `lost` so; the others are added up, by hand."""
    topology = two_tiers(spec)
    third = topology.members(CLIENTS)[2].name
    async with served(MemoryTransport(), topology, absent=[third], histories=histories, complete=False) as tree:
        member = await tree.joined(third)
        values = updates(3, 3)
        asked = tree.ask(total, values)
        await act(Hand(tree, member, await member.begun(), values[2]))
        result, record = await asked
        given = dict(zip(clients(tree), values, strict=True))
        if not offered:
            del given[third]
        assert lost in record.lost[third], record.lost
        assert (result == by_hand(tree, sent(tree, total), given, [third])).all()


def put(value: float) -> Any:
    """A change of an offer: its last number is another."""

    def change(offer: Any) -> Any:
        offer[-1] = value
        return offer

    return change


def infinite(data: bytearray) -> bytearray:
    """The last float is infinite."""
    data[-4:] = b"\0\0\x80\x7f"
    return data


OFFERS = {
    "nan": (SPECS[0], put(np.nan), "nan is no size of block 0"),
    "infinite": (SPECS[0], put(np.inf), "inf is no size of block 0"),
    "negative": (SPECS[0], put(-1), "-1 is no size of block 0"),
    "of another size": (SPECS[0], lambda offer: np.append(offer, offer), "offer: expected float32[1], got float32[2]"),
    "nan in a matrix": (SPECS[1], put(np.nan), "nan at 349 of the offer is none that values have"),
    "beyond a matrix": (SPECS[1], put(2e38), "2e+38 at 349 of the offer is none that values have"),
}


@pytest.mark.parametrize("name", OFFERS)
def test_an_offer_that_nobody_makes_loses_its_sender(name: str, tmp_path: Path) -> None:
    """The reason names what is wrong; the others agree without it, and nothing waits."""
    spec, change, lost = OFFERS[name]
    virtually(played(spec, lambda hand: hand.offer(change), tmp_path, lost, offered=False))


@pytest.mark.parametrize("spec", SPECS[:2])
def test_codes_before_the_answer_lose_their_sender(spec: str, tmp_path: Path) -> None:
    """There is nothing to read them with yet: the connection is closed, and the offer that was there before is kept."""

    async def hasty(hand: Hand) -> None:
        zeros = np.zeros(hand.terms.answer_type.shape, np.float32)  # type: ignore[arg-type]
        await hand.codes(zeros)
        error = await hand.member.closed()
        assert error is not None

    virtually(played(spec, hasty, tmp_path, "before it was answered", offered=False))


@pytest.mark.parametrize("spec", SPECS[:2])
def test_who_never_offers_is_lost_at_the_deadline(spec: str, tmp_path: Path) -> None:
    """Three quarters of the time are for offers, so the others still have the rest for their codes."""

    async def silent(hand: Hand) -> None:
        pass

    virtually(played(spec, silent, tmp_path, "deadline", offered=False))


@pytest.mark.parametrize("spec", SPECS[:2])
def test_who_offers_and_is_silent_then_is_in_no_sum(spec: str, tmp_path: Path) -> None:
    """Its offer counts, since it was answered; its codes, which never come, do not."""

    async def half(hand: Hand) -> None:
        await hand.offer()
        await hand.answer()

    virtually(played(spec, half, tmp_path, "deadline", offered=True))


@pytest.mark.parametrize("spec", SPECS[:2])
def test_who_leaves_after_its_offer_is_in_no_sum(spec: str, tmp_path: Path) -> None:
    """Gone between the answer and the codes: the others need not wait for the deadline."""

    async def leaves(hand: Hand) -> None:
        await hand.offer()
        await hand.answer()
        hand.member.leave()

    virtually(played(spec, leaves, tmp_path, "connection was lost", offered=True))


def test_codes_off_the_grid_lose_their_sender(tmp_path: Path) -> None:
    """Factors that are not finite are refused before anything is added."""

    async def wrong(hand: Hand) -> None:
        await hand.offer()
        await hand.codes(await hand.answer(), infinite)

    lost = "inf at 399 of the code is none that values have"
    virtually(played("powersgd(5)", wrong, tmp_path, lost, offered=True))


@pytest.mark.parametrize("spec", SPECS[:2])
def test_a_member_that_behaves_by_hand_is_in(spec: str) -> None:
    """What the tests above change one thing of: the third client, played well, is in the sum; sent again, once."""

    async def main() -> None:
        topology = two_tiers(spec, "100%")
        third = topology.members(CLIENTS)[2].name
        async with served(MemoryTransport(), topology, absent=[third]) as tree:
            member = await tree.joined(third)
            values = updates(3, 3)
            asked = tree.ask(total, values)
            hand = Hand(tree, member, await member.begun(), values[2])
            await hand.offer()
            await hand.offer()
            answer = await hand.answer()
            await hand.codes(answer)
            await hand.codes(answer)
            result, _ = await asked
            given = dict(zip(clients(tree), values, strict=True))
            assert (result == by_hand(tree, sent(tree, total), given)).all()

    virtually(main())


@pytest.mark.parametrize("spec", SPECS[:2])
def test_turns_of_a_loop_agree_each_for_itself(spec: str, tmp_path: Path) -> None:
    """Each turn has its own offers, answer and random numbers."""

    async def main() -> None:
        async with served(MemoryTransport(), two_tiers(spec), histories=tmp_path) as tree:
            values = updates(0, 3)
            result, record = await tree.ask(in_turns, values, 3)
            site, slot = sent(tree, in_turns)
            given = dict(zip(clients(tree), values, strict=True))
            turns = [by_hand(tree, (f"{site}[{turn}]", slot), given) for turn in range(3)]
            assert (result == (turns[0] + turns[1] + turns[2])).all()
            assert len({turn.tobytes() for turn in turns}) == 3

    virtually(main())


@pytest.mark.parametrize("spec", SPECS[:2])
def test_what_is_not_added_is_written_by_each_alone(spec: str) -> None:
    """A collected value has the code of a sender that is alone, beside a sum in the same phase."""

    async def main() -> None:
        async with served(MemoryTransport(), two_tiers(spec)) as tree:
            values = updates(0, 3)
            (added, each), _ = await tree.ask(both, values)
            assert len(each) == 3 and added.shape == SHAPE
            for one, value in zip(each, values, strict=True):
                alone = codec(spec).decode(codec(spec).encode(value), MODEL)  # other random numbers, the same error
                size = np.square(value - alone).sum()
                assert 0.8 * size < np.square(value - one).sum() < 1.2 * size

    virtually(main())


def test_tensors_with_rules_agree_each_in_its_own_way() -> None:
    """One message of offers for all: sizes of blocks for one tensor, directions for another; a small one goes raw."""

    async def main() -> None:
        rules = {"default": "thc", "*/e": "powersgd(5)+zstd"}
        async with served(MemoryTransport(), two_tiers(rules)) as tree:
            rng = np.random.default_rng(0)
            shapes = {"w": SHAPE, "e": (90, 60), "b": (80,)}
            values = [{n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()} for _ in range(3)]
            result, record = await tree.ask(layers, values)
            site, slot = sent(tree, layers)
            for at, (name, spec) in enumerate((("w", "thc"), ("e", "powersgd(5)+zstd"))):
                given = {c: v[name] for c, v in zip(clients(tree), values, strict=True)}
                assert (result[at] == by_hand(tree, (site, f"{slot}.{name}"), given, spec=spec)).all()
            assert (result[2] == values[0]["b"] + values[1]["b"] + values[2]["b"]).all()
            assert record.traffic["CLIENTS"][4:] == [6, 6]

    virtually(main())


def test_an_edge_below_quorum_at_the_offers_fails_there() -> None:
    """With all needed, one that fails before its offer fails the round, and nobody waits for an answer."""

    async def main() -> None:
        async with served(MemoryTransport(), three_tiers("thc")) as tree:
            error = await tree.failure(tree.ask(total, updates(0, 4, [3])))
            assert isinstance(error, RoundFailed) and "told to" in str(error)
            result, _ = await tree.ask(total, updates(0, 4))
            assert np.isfinite(result).all()

    virtually(main())


def test_a_member_that_reconnects_between_offer_and_codes_is_in_the_next_round() -> None:
    """It ends its part when it loses its parent: the others are the sum, and the round after has all of them."""

    async def main() -> None:
        net = MemoryTransport(delay=lambda leg: 1.0 if "clients-2" in str(leg) else 0.01)
        async with served(net, two_tiers("thc")) as tree:
            names, values = clients(tree), updates(0, 3)
            root = tree.nodes[tree.root]
            asked = tree.ask(total, values)
            site = sent(tree, total)[0]

            def offered() -> Any:
                places = [c for i in root._invocations.values() for c in i.round.collections()]
                return any(str(s) == f"{site}?" for c in places for s in c.held.get(names[1], ()))

            await until(offered)
            before = root.epoch(names[1])
            net.sever(names[1])
            result, record = await asked
            assert list(record.lost) == [names[1]]
            given = dict(zip(names, values, strict=True))
            assert (result == by_hand(tree, sent(tree, total), given, [names[1]])).all()
            await until(lambda: root.epoch(names[1]) > before and root.connected(names[1]))
            _, record = await tree.ask(total, values)
            assert record.lost == {}

    virtually(main())


def test_what_a_projection_leaves_out_is_sent_later() -> None:
    """With error feedback the sum of results and residuals is that of the updates, and less is left each time."""

    async def main() -> None:
        async with served(MemoryTransport(), two_tiers("error_feedback+powersgd(5)", "100%")) as tree:
            values = updates(0, 3)
            wanted, got, errors = np.zeros(SHAPE), np.zeros(SHAPE), []
            for _ in range(12):
                result, _ = await tree.ask(total, values)
                wanted, got = wanted + np.sum(values, axis=0, dtype=np.float64), got + result
                await until(lambda: not any(n._invocations or n.keeping.residuals._open for n in tree.nodes.values()))
                left = sum(a.astype(np.float64) for n in tree.nodes.values() for _, a in n.keeping.residuals.all())
                assert np.abs(got + left.reshape(SHAPE) - wanted).max() < 1e-3
                errors.append(float(np.square(got - wanted).sum() / np.square(wanted).sum()))
            assert errors[-1] < 0.4 * errors[0]

    virtually(main())
