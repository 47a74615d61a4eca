"""Published and reproduced, side by side: a table in Markdown and a figure in SVG.

    | edge-IID | 60, 1 | 3 | 138 | 101.3 (95 to 108) | 385.9 | …

A reproduced figure is the mean of the seeds and their range.  Where a seed did not get to the accuracy, there is no
mean: the table says how many did.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hierfavg_published import SETTINGS, Setting

if TYPE_CHECKING:
    from reproduce import Row

COURSE = ("setting", "seed", "round", "seconds", "joules", "accuracy")
TITLES = {"edge-iid": "edge-IID", "edge-noniid": "edge-non-IID"}
HEADER = (
    "| edges | kappa_1, kappa_2 | seeds | rounds: published | reproduced | seconds: published | reproduced"
    " | joules: published | reproduced |\n|---|---|---|---|---|---|---|---|---|\n"
)


def of(setting: Setting, rows: Sequence[Row]) -> list[Row]:
    """Return the rows of a setting."""
    key = setting.split, setting.kappa_1, setting.kappa_2
    return [r for r in rows if (r.split, r.kappa_1, r.kappa_2) == key]


def table(rows: Sequence[Row]) -> str:
    """Return the table of the settings that have rows."""
    lines = []
    for setting in SETTINGS:
        mine = of(setting, rows)
        if not mine:
            continue
        cells = [TITLES[setting.split], f"{setting.kappa_1}, {setting.kappa_2}", f"{len(mine)}"]
        published = (f"{setting.rounds}", f"{setting.seconds:.1f}", f"{setting.joules:.1f}")
        for name, digits, said in zip(("rounds", "seconds", "joules"), (0, 1, 1), published, strict=True):
            cells += [said, _spread([getattr(r, name) for r in mine], digits, sum(r.reached for r in mine))]
        lines.append("| " + " | ".join(cells) + " |\n")
    return HEADER + "".join(lines)


def _spread(values: Sequence[float], digits: int, reached: int) -> str:
    if reached < len(values):
        return f"{reached} of {len(values)} got there"
    mean, least, most = statistics.mean(values), min(values), max(values)
    if len(values) == 1:
        return f"{mean:.{digits}f}"
    return f"{mean:.{max(digits, 1)}f} ({least:.{digits}f} to {most:.{digits}f})"


def draw(rows: Sequence[Row], file: Path) -> None:
    """Draw seconds and joules against kappa_2: published above, reproduced with its range below."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "tierfed"
    from matplotlib import pyplot

    figure, grid = pyplot.subplots(2, 2, figsize=(7.2, 5.2), layout="constrained", sharex=True, sharey="col")
    looks: dict[str, dict[str, Any]] = {
        "edge-iid": {"color": "#1f4e79", "marker": "o", "linestyle": "-"},
        "edge-noniid": {"color": "#b45309", "marker": "s", "linestyle": "--"},
    }
    for column, (name, label) in enumerate((("seconds", "seconds to 0.85"), ("joules", "joules of a client to 0.85"))):
        upper, lower = grid[0][column], grid[1][column]
        for split, look in looks.items():
            said = [s for s in SETTINGS if s.split == split]
            at = range(len(said))
            upper.plot(at, [getattr(s, name) for s in said], label=TITLES[split], markersize=5, **look)
            got = [(i, [getattr(r, name) for r in of(s, rows)]) for i, s in enumerate(said) if _all_there(s, rows)]
            if not got:
                continue
            means = [statistics.mean(v) for _, v in got]
            bars = [
                [m - min(v) for m, (_, v) in zip(means, got, strict=True)],
                [max(v) - m for m, (_, v) in zip(means, got, strict=True)],
            ]
            lower.errorbar([i for i, _ in got], means, yerr=bars, label=TITLES[split], capsize=3, markersize=5, **look)
        for axes, title in ((upper, "published"), (lower, "reproduced, range of the seeds")):
            axes.set_title(title, fontsize=9)
            axes.set_ylim(0)
            axes.set_ylabel(label, fontsize=9)
            axes.grid(alpha=0.25)
        lower.set_xticks(range(4), [f"{s.kappa_1}, {s.kappa_2}" for s in SETTINGS[:4]])
        lower.set_xlabel("kappa_1, kappa_2")
    grid[0][0].legend(fontsize=8)
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)


def _all_there(setting: Setting, rows: Sequence[Row]) -> bool:
    mine = of(setting, rows)
    return bool(mine) and all(r.reached for r in mine)
