"""The data sets that `tierfed data add` knows: one file each, and a line in this table."""

from __future__ import annotations

from tierfed.data.recipe import Recipe
from tierfed.data.sets import chem97, fashion_mnist_60k, imu_exercises, mnist_5k, nyc_weather, shakespeare

SETS: tuple[Recipe, ...] = (
    mnist_5k.RECIPE,
    fashion_mnist_60k.RECIPE,
    shakespeare.RECIPE,
    imu_exercises.RECIPE,
    chem97.RECIPE,
    nyc_weather.RECIPE,
)
