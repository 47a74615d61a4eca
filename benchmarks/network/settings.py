"""Settings: trees, links and payloads, drawn by seed, each of which is a topology file.

    draw(1, 24)          the same two dozen for everybody
    setting.text()       what the link model is given
    setting.text(links=False)   what the daemons are given: their links are real

| drawn | from |
|---|---|
| tiers | 2 or 3, at most 14 nodes |
| children of a parent | 2-6 |
| rate | 1-50 mbit, up and down apart, alike in its logarithm |
| interface of a parent | none (2 of 3), else for all children together 1 to .8 times their number of one of the rates |
| delay | 1-80 ms, likewise |
| loss | none (3 of 5), else 0.1-2 %, likewise |
| payload | 10 kB - 2 MB of float32, likewise |
| codec up, down | none, bf16, int8, topk; none, bf16 |

All links of a tier are alike.  Where a round would take longer than some seconds, or need more packets than the
machine can carry beside the daemons, links are drawn again for that payload: by `roughly`, a rule of thumb that is no
part of what is compared.

Source of the rule under loss: Mathis et al. 1997, "The macroscopic behavior of the TCP congestion avoidance
algorithm", eq. 3.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from benchmarks.network.shaping import CARRIED, ETHERNET, MTU
from tierfed.topology.links.profile import InterfaceProfile, LinkProfile

NAMES = ("EDGE_AGGREGATORS", "CLIENTS")
NODES = 14
ROUND = 0.1, 3.5  # seconds that a round may take, roughly
TOGETHER = 120.0  # mbit a second, over all links of a tier
UP = ("none", "bf16", "int8", "topk(fraction=0.05)")
DOWN = ("none", "bf16")
_SIZES = {"none": 4.0, "bf16": 2.0, "int8": 4 * 260 / 1024, "topk(fraction=0.05)": 0.4}  # bytes an element, about


@dataclass(frozen=True, slots=True)
class Tier:
    """The members of one placement and their links: `fan_in` to a parent, rates in mbit, `delay` in ms, `loss` in %.

    `shared` is what all links of one parent carry there together, in mbit each way; 0 is no limit.
    """

    name: str
    fan_in: int
    rate_up: float
    rate_down: float
    delay: float
    loss: float
    up: str
    down: str
    shared: float = 0.0

    def profile(self) -> LinkProfile:
        """Return the link as the model is told of it."""
        return LinkProfile(
            rate_up=_bytes(self.rate_up),
            rate_down=_bytes(self.rate_down),
            delay=self.delay / 1e3,
            loss=self.loss / 100,
        )

    def interface(self) -> InterfaceProfile | None:
        """Return the interface of a parent, if there is a limit to it."""
        return InterfaceProfile(_bytes(self.shared), _bytes(self.shared)) if self.shared else None


@dataclass(frozen=True, slots=True)
class Setting:
    """A tree, from the root down, and how many float32 the model has."""

    name: str
    elements: int
    tiers: tuple[Tier, ...]

    @property
    def nodes(self) -> int:
        """How many nodes the tree has."""
        total = at = 1
        for tier in self.tiers:
            at *= tier.fan_in
            total += at
        return total

    def text(self, *, links: bool = True) -> str:
        """Return the topology file."""
        lines = [
            "apiVersion: tierfed/v1",
            "kind: Topology",
            f"name: {self.name}",
            "defaults: {collect: {quorum: 100%, deadline: 120s}}",
            "placements:",
            "  SERVER:",
        ]
        parent = "SERVER"
        for tier in self.tiers:
            if links and tier.shared:
                lines.append(f"    interface: {{rate: {tier.shared:g}mbit}}")
            lines += [
                f"  {tier.name}:",
                f"    parent: {parent}",
                f"    per_parent: {tier.fan_in}",
                f'    codec: {{up: "{tier.up}", down: {tier.down}}}',
            ]
            if links:
                loss = f", loss: {tier.loss:g}%" if tier.loss else ""
                rate = f"{{up: {tier.rate_up:g}mbit, down: {tier.rate_down:g}mbit}}"
                lines.append(f"    link: {{rate: {rate}, delay: {tier.delay:g}ms{loss}}}")
            parent = tier.name
        return "\n".join(lines) + "\n"

    def described(self) -> str:
        """Return it in a few words: `4x2 · 0.8 MB · 5/20 mbit 30 ms 1 % int8`."""
        links = " · ".join(
            f"{t.rate_up:g}/{t.rate_down:g} mbit {t.delay:g} ms{f' {t.loss:g} %' if t.loss else ''} {t.up}, {t.down}"
            f"{f', all {t.shared:g} mbit' if t.shared else ''}"
            for t in self.tiers
        )
        return f"1-{'-'.join(str(t.fan_in) for t in self.tiers)} · {self.elements * 4 / 1e6:.2g} MB · {links}"


def draw(seed: int, count: int) -> list[Setting]:
    """Return `count` settings, which depend on nothing but `seed`."""
    rng = random.Random(f"network {seed}")
    found: list[Setting] = []
    for number in range(count):
        names = rng.choice((NAMES, NAMES[1:]))
        elements = round(_alike(rng, 10e3, 2e6) / 4)
        while True:
            setting = Setting(f"network-{seed}-{number:02d}", elements, tuple(_tier(rng, name) for name in names))
            if setting.nodes <= NODES and ROUND[0] <= roughly(setting) <= ROUND[1] and _together(setting) <= TOGETHER:
                break
        found.append(setting)
    return found


def roughly(setting: Setting) -> float:
    """Return about how many seconds a round takes: each way the payload, tier after tier."""
    total = 0.0
    for tier in setting.tiers:
        for rate, codec in ((tier.rate_down, tier.down), (tier.rate_up, tier.up)):
            share = min(rate, tier.shared / tier.fan_in) if tier.shared else rate
            speed = share * 1e6 / 8 * CARRIED / (MTU + ETHERNET)
            if tier.loss:
                round_trip = 2 * tier.delay / 1e3 + 0.01
                speed = min(speed, 1.22 * CARRIED / round_trip / math.sqrt(tier.loss / 100))
            total += setting.elements * _SIZES[codec] / speed + tier.delay / 1e3
    return total


def _together(setting: Setting) -> float:
    """Return the mbit a second that the links of a tier have at most, all together, one way."""
    most, count = 0.0, 1
    for tier in setting.tiers:
        count *= tier.fan_in
        most = max(most, count * tier.rate_up, count * tier.rate_down)
    return most


def _tier(rng: random.Random, name: str) -> Tier:
    fan_in = rng.randint(2, 6)
    up, down = round(_alike(rng, 1, 50), 1), round(_alike(rng, 1, 50), 1)
    shared = round(rng.choice((up, down)) * rng.uniform(1, 0.8 * fan_in), 1)
    return Tier(
        name=name,
        fan_in=fan_in,
        rate_up=up,
        rate_down=down,
        delay=round(_alike(rng, 1, 80)),
        loss=0.0 if rng.random() < 0.6 else round(_alike(rng, 0.1, 2), 1),
        up=rng.choice(UP),
        down=rng.choice(DOWN),
        shared=shared if rng.random() < 1 / 3 else 0.0,
    )


def _bytes(rate: float) -> float:
    """Return mbit as bytes; the file has them with one decimal."""
    return round(rate * 1e6) / 8


def _alike(rng: random.Random, least: float, most: float) -> float:
    """Return a number whose logarithm is drawn evenly."""
    return math.exp(rng.uniform(math.log(least), math.log(most)))
