"""Rules: how a few updates become one, when some of them may be lies.

| rule | of n updates | bears |
|---|---|---|
| `mean` | the mean, weighted by examples | nobody |
| `clipped_mean(norm)` | the same, each update first scaled down to that norm | size, not direction |
| `median` | coordinate by coordinate, the one in the middle | fewer than n/2 |
| `trimmed_mean(fraction)` | coordinate by coordinate, the mean without that part at both ends | up to fraction·n |
| `krum(attackers)` | the update nearest to its n - attackers - 2 nearest | attackers, n >= 2·attackers + 3 |
| `multi_krum(attackers, keep)` | the mean of the `keep` best by that measure | the same |
| `geometric_median(iterations)` | the point with the least sum of distances to all | fewer than n/2 |

The first two add up on the way, at any tier, like every mean.  The others see the updates side by side: what is below
is gathered where they stand (`robust`).

An update is `<delta=MODEL,weight=float32>`.  A weight is what its sender says of itself, so the gathering rules give
each update the same say, and what they make weighs as much as the median of what was claimed, times their number.

Sources: median and trimmed mean, Yin et al. 2018, arXiv:1803.01498, definitions 1 and 2; Krum, Blanchard et al. 2017,
arXiv:1703.02757, section 4; geometric median, Pillutla et al. 2019, arXiv:1912.13445, algorithm 2 (smoothed Weiszfeld);
clipping, Sun et al. 2019, arXiv:1911.07963.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"
Stacks: TypeAlias = "list[Array]"  # one a tensor of the model: its n versions, along the first axis
Updates: TypeAlias = "Iterable[Mapping[str, Any]]"

_SMOOTHING = 1e-6  # of a distance in Weiszfeld's weights: nobody is infinitely near


def median(updates: Updates) -> Any:
    """Return the coordinate-wise median: of an even number, the mean of the two in the middle."""
    return _one(updates, lambda stacks: [np.median(s, axis=0) for s in stacks])


def trimmed_mean(updates: Updates, fraction: Any) -> Any:
    """Return the coordinate-wise mean without floor(fraction·n) values at each end."""
    return _one(updates, lambda stacks: [_trimmed(s, float(fraction)) for s in stacks])


def _trimmed(stack: Array, fraction: float) -> Array:
    cut = int(fraction * len(stack) + 1e-6)  # a float32 .2 of ten is two
    kept: Array = np.sort(stack, axis=0)[cut : len(stack) - cut]
    mean: Array = kept.mean(axis=0, dtype=np.float64)
    return mean


def krum(updates: Updates, attackers: Any) -> Any:
    """Return the update with the least sum of squared distances to its n - attackers - 2 nearest.

    Raises ValueError unless n >= 2·attackers + 3.
    """
    return _one(updates, lambda stacks: _best(stacks, int(attackers), 1))


def multi_krum(updates: Updates, attackers: Any, keep: Any) -> Any:
    """Return the mean of the `keep` updates that Krum likes best; raises ValueError as `krum`, or for too many."""
    return _one(updates, lambda stacks: _best(stacks, int(attackers), int(keep)))


def _best(stacks: Stacks, attackers: int, keep: int) -> Stacks:
    n = len(stacks[0])
    if n < 2 * attackers + 3 or keep > n - attackers:
        needed = max(2 * attackers + 3, keep + attackers)
        raise ValueError(f"krum against {attackers} attackers, {keep} kept, needs {needed} updates, and has {n}")
    scores = [np.sort(row)[1 : n - attackers - 1].sum() for row in _squared_distances(stacks)]  # without itself
    chosen = np.sort(np.argsort(scores, kind="stable")[:keep])
    return [s[chosen].mean(axis=0, dtype=np.float64) for s in stacks]


def _squared_distances(stacks: Stacks) -> Array:
    n = len(stacks[0])
    total = np.zeros((n, n))
    for stack in stacks:
        flat = stack.reshape(n, -1)
        for i in range(n):  # a difference, and not |a|² + |b|² - 2ab, which cancels
            apart = flat[i + 1 :] - flat[i]
            total[i, i + 1 :] += np.einsum("ij,ij->i", apart, apart, dtype=np.float64)
    return total + total.T


def geometric_median(updates: Updates, iterations: Any) -> Any:
    """Return the point of the least sum of distances, after so many steps of Weiszfeld's from the mean."""
    return _one(updates, lambda stacks: _weiszfeld(stacks, int(iterations)))


def _weiszfeld(stacks: Stacks, iterations: int) -> Stacks:
    wide = [s.astype(np.float64) for s in stacks]
    point = [s.mean(axis=0) for s in wide]
    for _ in range(iterations):
        squared = sum(((s - p) ** 2).reshape(len(s), -1).sum(axis=1) for s, p in zip(wide, point, strict=True))
        say = 1 / np.maximum(np.sqrt(squared), _SMOOTHING)
        say /= say.sum()
        point = [np.tensordot(say, s, axes=1) for s in wide]
    return point


def clipped(delta: Any, norm: Any) -> Any:
    """Return `delta` scaled so that its norm, over all of its tensors, is at most `norm`."""
    length = float(np.sqrt(sum(np.sum(np.square(part, dtype=np.float64)) for part in _parts(delta))))
    scale = np.float32(min(1.0, float(norm) / length)) if length else np.float32(1)
    return _rebuilt(delta, iter([part * scale for part in _parts(delta)]))


def _one(updates: Updates, rule: Callable[[Stacks], Sequence[Array]]) -> Any:
    """Return one update of many; raises ValueError of none, and of numbers that are none."""
    rows = list(updates)
    if not rows:
        raise ValueError("there is no update to choose from")
    stacks = [np.stack(versions) for versions in zip(*(list(_parts(row["delta"])) for row in rows), strict=True)]
    finite = np.all([np.isfinite(s).reshape(len(rows), -1).all(axis=1) for s in stacks], axis=0)
    if not finite.any():
        raise ValueError("every update has values that are not finite")
    kept = [s[finite] for s in stacks]  # what is no number is a lie that is easily told
    weights = np.array([row["weight"] for row in rows], np.float32)[finite]
    made = [np.asarray(new, s.dtype) for new, s in zip(rule(kept), stacks, strict=True)]
    return {"delta": _rebuilt(rows[0]["delta"], iter(made)), "weight": np.float32(np.median(weights) * len(weights))}


def _parts(value: Any) -> Iterator[Array]:
    """Yield the tensors of a struct, in order."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _parts(part)
    else:
        yield np.asarray(value)


def _rebuilt(like: Any, parts: Iterator[Array]) -> Any:
    """Return the tensors `parts` in the containers of `like`."""
    if isinstance(like, Mapping):
        return {name: _rebuilt(part, parts) for name, part in like.items()}
    if isinstance(like, list | tuple):
        return [_rebuilt(part, parts) for part in like]
    return next(parts)
