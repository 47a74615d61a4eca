"""The data sets that `tierfed data add` knows: one file each, and a line in this table."""

from __future__ import annotations

from tierfed.data.recipe import Recipe
from tierfed.data.sets import mnist_5k

SETS: tuple[Recipe, ...] = (mnist_5k.RECIPE,)
