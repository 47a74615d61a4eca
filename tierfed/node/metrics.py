"""Metrics: what a process's nodes have done, as Prometheus reads it.

    GET /metrics  →  tierfed_link_bytes_total{node="edge-eu",peer="c-eu-00",direction="received"} 271360.0
                     tierfed_seconds_total{node="edge-eu",spent="fold"} 0.0312

Nothing is counted for this that is not counted anyway: links count bytes, spans (spans.py) seconds,
the receive buffers their memory.  They are read when somebody asks.  Nodes that share a process
are all told by whichever of them is asked, with the lag of the loop that they share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tierfed.node.lag import BOUNDS, Lag

if TYPE_CHECKING:
    from tierfed.node.peer import Peer
    from tierfed.node.receive_buffers import ReceiveBuffers
    from tierfed.node.spans import Spans

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Vitals:
    """What can be read of a node at any time."""

    name: str
    placement: str
    peers: tuple[Peer, ...]
    spans: Spans
    buffers: ReceiveBuffers
    invocations: int
    ready: bool


def exposition(nodes: Iterable[Vitals], lag: Lag) -> bytes:
    """Return all metrics in Prometheus's text format."""
    from prometheus_client import CollectorRegistry, generate_latest  # only who is asked pays for it

    vitals = list(nodes)

    class Collector:
        def collect(self) -> Iterator[Any]:
            return _families(vitals, lag)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector())
    return bytes(generate_latest(registry))


def _families(nodes: list[Vitals], lag: Lag) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    moved = CounterMetricFamily(
        "tierfed_link_bytes", "Bytes of frames over the links to a peer.", labels=["node", "peer", "direction"]
    )
    waits = GaugeMetricFamily(
        "tierfed_link_unread_bytes", "Bytes of small frames that a peer has not read yet.", labels=["node", "peer"]
    )
    connected = GaugeMetricFamily("tierfed_link_up", "Whether both links of a peer are up.", labels=["node", "peer"])
    spent = CounterMetricFamily(
        "tierfed_seconds", "Seconds by what they were spent on; see tierfed/node/spans.py.", labels=["node", "spent"]
    )
    times = CounterMetricFamily("tierfed_spans", "How often that was.", labels=["node", "spent"])
    held = GaugeMetricFamily(
        "tierfed_receive_bytes", "Bytes of contributions that wait to be folded.", labels=["node", "where"]
    )
    peak = GaugeMetricFamily("tierfed_receive_peak_bytes", "The most of them that there were.", labels=["node"])
    open_ = GaugeMetricFamily("tierfed_invocations_open", "Invocations under way.", labels=["node"])
    ready = GaugeMetricFamily("tierfed_ready", "Whether the node is connected to its parent.", labels=["node", "tier"])
    for node in nodes:
        for peer in node.peers:
            sent, received = peer.moved()
            moved.add_metric([node.name, peer.name, "sent"], sent)
            moved.add_metric([node.name, peer.name, "received"], received)
            waits.add_metric([node.name, peer.name], peer.unread)
            connected.add_metric([node.name, peer.name], peer.up)
        for kind, seconds in node.spans.seconds.items():
            spent.add_metric([node.name, kind], seconds)
            times.add_metric([node.name, kind], node.spans.counts[kind])
        held.add_metric([node.name, "memory"], node.buffers.in_use)
        held.add_metric([node.name, "spool"], node.buffers.spooled)
        peak.add_metric([node.name], node.buffers.peak)
        open_.add_metric([node.name], node.invocations)
        ready.add_metric([node.name, node.placement], node.ready)
    late = HistogramMetricFamily("tierfed_loop_lag_seconds", "How late the event loop of this process was.")
    total, buckets = 0, []
    for bound, count in zip((*map(str, BOUNDS), "+Inf"), lag.counts, strict=True):
        total += count
        buckets.append((bound, total))
    late.add_metric([], buckets=buckets, sum_value=lag.seconds)
    worst = GaugeMetricFamily("tierfed_loop_lag_worst_seconds", "The latest that it ever was.", value=lag.worst)
    yield from (moved, waits, connected, spent, times, held, peak, open_, ready, late, worst)
