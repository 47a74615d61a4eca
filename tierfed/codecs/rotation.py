"""Rotation: a random rotation of each block of 4096 elements, which is undone from its seed.

    x = [1, ½, 0, 0, …]   →   turn · turn   →   4096 numbers, nearly normal, of the same norm
    turn(x) = (H (s ∘ x) / 64) transposed       s: random signs, H: Hadamard matrix of order 4096

A block is a matrix of 64 x 64 in row-major order.  H is applied by butterflies (a, b → a + b, a - b)
of the strides 64, 128 … 2048, then 1, 2 … 32; on the way back the matrix is transposed
first, then strides are 1, 2 … 2048.  Here nothing is divided by 64, so two turns
make a block 4096 times as large; the caller scales.  Two turns, since after one the
coordinates of a block with few elements take few values, whatever the signs, and a
quantiser errs on them alike each time.

The last block of an array takes what is left: 4096 to 8191 elements, or all of fewer.  With p the
largest power of two that fits (at most 4096), it makes six turns of another kind: signs for all,
H of order p over the first p (strides 1, 2 … p / 2, then times 1 / √p), and another order.  After
turns 0, 2 and 4 what was left out comes first, so that two turns leave out nothing; after turns
1, 3 and 5 the elements of even index come before those of odd index, so that all mix with all.

Signs come from a `Stream`: each of its 16-bit numbers has those of 16 elements, the first
in the lowest bit, and a set bit is a minus.  Block b uses 256 numbers a turn from 512 b on,
the last block ceil(m / 16) a turn from there on.

Bit-reproducible: every float32 operation is elementwise, in the order that is written
here.  The blocks of a tile are worked on side by side, as an array of (row, block, column): a
butterfly of rows is then two long passes over memory that stays in the cache.

Source: Vargaftik et al. 2022 (EDEN), arXiv:2108.08842, section 6; two turns as in Yu et al. 2016,
arXiv:1610.09072.
"""

from __future__ import annotations

import numpy as np

from tierfed.codecs.stage import Array
from tierfed.codecs.stream import Stream

BLOCK = 4096  # elements
TURNS = 2
ODD_TURNS = 6
SIDE = 64
_PER_NUMBER = 16  # signs
_MINUS = np.uint32(1 << 31)
_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
_FLIPS = _BITS.astype(np.uint32) * _MINUS  # of a byte of signs: what to xor eight float32 with


def split(size: int) -> tuple[int, int]:
    """Return how many of `size` elements are in blocks of 4096, and how many in the last, odd block."""
    if size % BLOCK == 0:
        return size, 0
    odd = size if size < BLOCK else BLOCK + size % BLOCK
    return size - odd, odd


def blocks(size: int) -> int:
    """Return the number of blocks of `size` elements, the odd one included."""
    return -(-size // BLOCK) if size < BLOCK else size // BLOCK


class Signs:
    """The signs of some blocks of 4096, from the block `first` on."""

    def __init__(self, stream: Stream, first: int, count: int) -> None:
        per_turn = BLOCK // _PER_NUMBER
        numbers = stream.sixteen(first * TURNS * per_turn, count * TURNS * per_turn)
        self.bytes = numbers.view(np.uint8)
        self._grid = self.bytes.reshape(count, TURNS, SIDE, -1)

    def flip(self, turn: int, values: Array, scratch: Array) -> None:
        """Flip the signs of `values` (64, count, 64); `scratch` is of the same shape."""
        masks = scratch.view(np.uint32)
        signs = self._grid[:, turn].transpose(1, 0, 2)
        np.take(_FLIPS, signs, axis=0, out=masks.reshape(*signs.shape, 8), mode="clip")
        bits = values.view(np.uint32)
        np.bitwise_xor(bits, masks, out=bits)


def rotate(values: Array, scratch: Array, signs: Signs) -> None:
    """Turn the blocks `values` (64, count, 64) twice, in place; they become 4096 times as large."""
    signs.flip(0, values, scratch)
    _turn(values, scratch)
    signs.flip(1, scratch, values)
    _turn(scratch, values)


def rotate_back(values: Array, scratch: Array, signs: Signs) -> None:
    """Undo `rotate`, in place, but for the size: they become 4096 times as large again."""
    _turn(values, scratch)
    signs.flip(1, scratch, values)
    _turn(scratch, values)
    signs.flip(0, values, scratch)


def rotate_odd(values: Array, stream: Stream, before: int) -> Array:
    """Return the odd block `values`, rotated, which follows `before` blocks."""
    orders = _orders(values.size)
    for turn, masks in enumerate(_odd_masks(values.size, stream, before)):
        flipped = (values.view(np.uint32) ^ masks).view(np.float32)
        values = _hadamard_first(flipped)[orders[turn % 2]]
    return values


def rotate_odd_back(values: Array, stream: Stream, before: int) -> Array:
    """Return what `rotate_odd` was given."""
    orders = _orders(values.size)
    for turn, masks in reversed([*enumerate(_odd_masks(values.size, stream, before))]):
        as_before = np.empty_like(values)
        as_before[orders[turn % 2]] = values
        values = (_hadamard_first(as_before).view(np.uint32) ^ masks).view(np.float32)
    return values


def _turn(values: Array, into: Array) -> None:
    """Write H `values`, each block transposed, to `into`; both are (64, count, 64), and both are overwritten.

    H and the transposition commute, so this undoes itself, but for a factor of 4096.
    """
    _butterflies_of_rows(values, into)
    np.copyto(into, values.transpose(2, 1, 0))
    _butterflies_of_rows(into, values)


def _butterflies_of_rows(values: Array, scratch: Array) -> None:
    """Apply H of order 64 to the 64 rows of each block: an even number of steps, so the result is in `values`."""
    height = 1
    while height < SIDE:
        shape = (SIDE // (2 * height), 2, height * values[0].size)
        pairs, to = values.reshape(shape), scratch.reshape(shape)
        np.add(pairs[:, 0], pairs[:, 1], out=to[:, 0])
        np.subtract(pairs[:, 0], pairs[:, 1], out=to[:, 1])
        values, scratch = scratch, values
        height *= 2


def _odd_masks(size: int, stream: Stream, before: int) -> Array:
    """Return what to xor an odd block with, one row a turn."""
    per_turn = -(-size // _PER_NUMBER)
    start = before * TURNS * (BLOCK // _PER_NUMBER)
    numbers = stream.sixteen(start, per_turn * ODD_TURNS)
    masks: Array = _FLIPS[numbers.view(np.uint8)].reshape(ODD_TURNS, -1)[:, :size]
    return masks


def _orders(size: int) -> tuple[Array, Array]:
    """Return the indices of an odd block's elements as they stand after an even turn, and after an odd one."""
    index = np.arange(size)
    return np.roll(index, -_order(size)), np.concatenate([index[0::2], index[1::2]])


def _order(size: int) -> int:
    """Return the largest power of two that fits into an odd block, at most 4096."""
    return min(BLOCK, 1 << (size.bit_length() - 1))


def _hadamard_first(values: Array) -> Array:
    """Return `values` with H / √p applied to the first p."""
    order = _order(values.size)
    front = values[:order]
    stride = 1
    while stride < order:
        pairs = front.reshape(-1, 2, stride)
        front = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1).reshape(-1)
        stride *= 2
    return np.concatenate([front * np.float32(order**-0.5), values[order:]])
