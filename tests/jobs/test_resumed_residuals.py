"""A run that goes on has what its nodes had kept, over real processes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

import tierfed
from tierfed import CLIENTS, FederatedType
from tierfed.codecs import Stream, codec
from tierfed.codecs.error_feedback import feed_back
from tierfed.jobs import bring_up
from tierfed.node.saving import folder_of
from tierfed.topology import tree as fan_out

VALUES = [np.random.default_rng(n).standard_normal(5000).astype(np.float32) for n in range(2)]

total = tierfed.federated_computation(FederatedType(tierfed.to_type("float32[5000]"), CLIENTS))(tierfed.federated_sum)


def rounds(count: int, resumed: Path | None = None) -> tuple[list[bytes], Path]:
    """Return the results of some rounds, and where the nodes have saved what they keep."""
    topology = fan_out({"CLIENTS": 2}, codec={"CLIENTS": {"up": "error_feedback+sign"}}, colocate={"CLIENTS": 2})
    with bring_up(topology, resumed=resumed) as tree:
        results = [tree.invoke(total, VALUES).tobytes() for _ in range(count)]
        asyncio.run(tree.checkpoint(count - 1, np.float32(1)))
        return results, folder_of(tree.run_dir / "checkpoints", count - 1)


def by_hand(count: int) -> list[bytes]:
    """Return the results of rounds that nothing has interrupted."""
    coder, left, results = codec("error_feedback+sign"), [None, None], []
    for _ in range(count):
        sum_ = np.zeros_like(VALUES[0])
        for i, value in enumerate(VALUES):
            after = np.empty_like(value)
            coder.accumulate_chunk(feed_back(coder, value, left[i], after, 0, Stream()), sum_)
            left[i] = after
        results.append(sum_.tobytes())
    return results


def test_residuals_are_saved_with_a_checkpoint_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rounds, and one by other processes, are three in a row; each client has a file beside the checkpoint."""
    monkeypatch.setenv("TIERFED_HOME", str(tmp_path))
    first, kept = rounds(2)
    assert sorted(p.name for p in kept.iterdir()) == ["clients-0.kept", "clients-1.kept"]
    assert kept.with_suffix(".ckpt").exists()
    rest, _ = rounds(1, kept)
    assert first + rest == by_hand(3) and first[1] != rest[0]
