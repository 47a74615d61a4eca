"""The page of a sweep, or of several runs: what was given up for what, cell by cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tierfed.errors import SettingError
from tierfed.report.page import configuration, curves, pareto, parts, tier_bytes, tree_picture
from tierfed.report.page.pareto import Point, Spread
from tierfed.report.page.stored_run import StoredRun, Tier
from tierfed.report.page.stored_sweep import Cell, Compared
from tierfed.report.page.svg import Drawing
from tierfed.types.html import Html

_FEW = 6  # cells that go into one chart, told apart
_BARS = 8  # cells whose bytes by tier are drawn
_MINIS = 120  # small charts
_COLUMNS = 10  # of settings in the table

_COSTS: tuple[tuple[str, str, str, Callable[[Cell], Spread | None]], ...] = (
    ("bytes", "bytes moved, all tiers", "B", lambda cell: cell.sums("bytes_up", "bytes_down")),
    ("bytes-up", "bytes sent up, all tiers", "B", lambda cell: cell.sums("bytes_up")),
    ("time", "seconds", "s", lambda cell: cell.spread("seconds")),
    ("energy", "joules", "J", lambda cell: cell.sums("joules")),
)


def chosen(compared: Compared, metric: str | None) -> str | None:
    """Return the metric to judge by: `metric`, else the first; raises SettingError if no run has it."""
    known = compared.metrics
    if metric is not None and metric not in known:
        said = f"they have {', '.join(known)}" if known else "they have released none"
        raise SettingError(f"no run has a metric {metric}", where="--metric", mend=said)
    return metric or next(iter(known), None)


def build(compared: Compared, metric: str | None = None) -> tuple[str, Html, dict[str, Html], dict[str, Drawing]]:
    """Return the title of the page, its head, its sections and its drawings by name."""
    metric = chosen(compared, metric)
    drawings: list[Drawing] = []

    def drawn(*found: Drawing | None) -> list[Drawing]:
        kept = [one for one in found if one is not None]
        drawings.extend(kept)
        return kept

    sections: dict[str, Html] = {}
    title = f"{compared.title}{f' of {compared.file}' if compared.file else ''}"
    if metric is not None:
        sections["What is given up for what"] = _fronts(compared, metric, drawn)
    sections["Cells" if compared.path else "Side by side"] = _table(compared, metric)
    if compared.failed:
        sections["Failed"] = _failed(compared)
    if metric is not None:
        sections["Curves"] = _curves(compared, metric, drawn)
    sections["Bytes by tier"] = _bytes(compared, drawn)
    if compared.first is not None:
        sections["Topology"] = _topology(compared, compared.first, drawn)
        sections["Configuration"] = _configuration(compared, compared.first)
    sections["Again"] = _again(compared)
    return title, _head(compared, title, metric), sections, {one.name: one for one in drawings}


def _head(compared: Compared, title: str, metric: str | None) -> Html:
    runs = [row for cell in compared.cells for row in cell.rows]
    failed = [f"{len(compared.failed):,} failed"] if compared.failed else []
    missing = [f"{compared.to_do:,} to do"] if compared.to_do else []
    found = [
        ("cells", f"{len(compared.cells):,}", f"{compared.cells_to_do:,} to do" if compared.cells_to_do else ""),
        ("runs", f"{len(runs):,}", ", ".join([*failed, *missing]) or "all done"),
    ]
    if metric is not None:
        low = pareto.lower_is_better(metric)
        best = [(spread, cell) for cell in compared.cells if (spread := cell.spread(metric)) is not None]
        if best:
            spread, cell = (min if low else max)(best, key=lambda one: one[0].mean)
            found.append((f"best {metric}", spread.said(), cell.name))
    where = parts.tag("p", str(compared.path), kind="tf-muted") if compared.path is not None else Html("")
    return Html(parts.tag("h1", title) + where + parts.tiles(found))


def fronts(compared: Compared, metric: str) -> dict[str, list[Point]]:
    """Return, for each cost that any cell has, the cells' points, in their order."""
    found = {}
    for name, _, _, cost in _COSTS:
        points = [
            Point(cell.name, x, y)
            for cell in compared.cells
            if (x := cost(cell)) is not None and (y := cell.spread(metric)) is not None
        ]
        if points and any(p.x.mean > 0 for p in points):
            found[name] = points
    return found


def _fronts(compared: Compared, metric: str, drawn: Any) -> Html:
    found = fronts(compared, metric)
    virtual = any(run.virtual for cell in compared.cells for run in cell.runs)
    made = []
    for name, words, unit, _ in _COSTS:
        if name in found:
            said = f"virtual {words}" if name == "time" and virtual else words
            made.append(pareto.drawing(f"front-{name}", f"{metric} against {words}", found[name], said, metric, unit))
    lacks = [words for name, words, _, _ in _COSTS if name not in found]
    shown = parts.figures(drawn(*made)) if made else parts.missing("No run that was done has a cost to set it against.")
    if lacks and made:
        shown = Html(shown + parts.missing(f"Not on record, or nought: {', '.join(lacks)}."))
    return shown


def _table(compared: Compared, metric: str | None) -> Html:
    points = fronts(compared, metric) if metric is not None else {}
    on = {name: {p.name for p in pareto.on_front(of, metric or "")} for name, of in points.items()}
    varied = list(compared.varied)[:_COLUMNS]
    heads: list[str] = [*(["run"] if compared.path is None else []), *(varied or ["cell"]), "runs"]
    costs = [
        (name, words, unit, cost)
        for name, words, unit, cost in _COSTS
        if any(cost(c) is not None for c in compared.cells)
    ]
    metrics = _telling(compared)
    heads += [*metrics, *(words.partition(",")[0] for _, words, _, _ in costs)]
    rows = []
    for cell in compared.cells:
        done = f"{len(cell.done)}" + (f" of {len(cell.rows)}" if len(cell.done) < len(cell.rows) else "")
        figures = [(spread.said() if (spread := cell.spread(name)) is not None else "") for name in metrics]
        for name, _, unit, cost in costs:
            spread = cost(cell)
            mark = "◆ " if cell.name in on.get(name, ()) else ""
            figures.append(f"{mark}{spread.said(unit)}" if spread is not None else "")
        which = [", ".join(row.run for row in cell.rows[:4])] if compared.path is None else []
        rows.append((*which, *([cell.settings.get(v, "") for v in varied] or [cell.name]), done, *figures))
    first = heads.index("runs")
    notes = ["◆ on the front of that cost."] if on else []
    if len(compared.varied) > _COLUMNS:
        notes.append(f"{len(compared.varied) - _COLUMNS} more settings differ; `tierfed compare` has them all.")
    if any(len(cell.done) > 1 for cell in compared.cells):
        notes.append("± one standard deviation of the repeats.")
    return Html(parts.table(heads, rows, range(first, len(heads))) + (parts.missing(" ".join(notes)) if notes else ""))


def _telling(compared: Compared) -> list[str]:
    """Return the first metrics that are not the same in all runs; all of them if none differs."""
    values = {
        name: {row.figures.get(name) for cell in compared.cells for row in cell.done} for name in compared.metrics
    }
    return [name for name, found in values.items() if len(found) > 1][:4] or compared.metrics[:4]


def _failed(compared: Compared) -> Html:
    rows = [(cell.name, row.repeat, row.seed, row.run, row.status, row.error) for cell, row in compared.failed]
    return parts.table(("cell", "repeat", "seed", "run", "status", "why"), rows[:200])


def _curves(compared: Compared, metric: str, drawn: Any) -> Html:
    cells = [(cell.name, cell.runs) for cell in compared.cells if cell.runs]
    if not cells:
        return parts.missing("The folders of the runs are gone, and with them the curves.")
    named = {p.name for points in fronts(compared, metric).values() for p in pareto.on_front(points, metric)}
    few = cells if len(cells) <= _FEW else [one for one in cells if one[0] in named][:_FEW]
    found = list(curves.compared(few, metric)) if few else []
    small = curves.small_multiples(cells[:_MINIS], metric) if len(cells) > _FEW else None
    shown = drawn(*found, small)
    if not shown:
        return parts.missing("No run has a curve.")
    said = "The first charts have the cells on a front. " if len(few) < len(cells) and found else ""
    said += f"{len(cells) - _MINIS} more cells are left out." if len(cells) > _MINIS else ""
    more = parts.missing(said) if said else Html("")
    return Html(parts.figures(shown) + more)


def _bytes(compared: Compared, drawn: Any) -> Html:
    made: list[Drawing] = []
    for at, cell in enumerate(c for c in compared.cells if c.done):
        if at == _BARS:
            break
        tiers = _tiers(cell)
        one = tier_bytes.drawing(tiers)
        if one is not None:
            title = f"bytes by tier: {cell.name}" if len(compared.cells) > 1 else one.title
            made.append(Drawing(f"{one.name}-{at}", title, one.width, one.height, one.parts, one.note))
    if not made:
        return parts.missing("No run that was done has moved anything.")
    left = sum(1 for cell in compared.cells if cell.done) - _BARS
    more = parts.missing(f"{left} more cells are not drawn; their sums are in the table.") if left > 0 else Html("")
    return Html(parts.figures(drawn(*made)) + more)


def _tiers(cell: Cell) -> dict[str, Tier]:
    """Return the means of what each tier moved, over the runs of a cell."""
    names = dict.fromkeys(
        k.partition(".")[2] for row in cell.done for k in row.figures if k.startswith(("bytes_up.", "bytes_down."))
    )

    def mean(column: str) -> float:
        spread = cell.spread(column)
        return spread.mean if spread is not None else 0.0

    like = cell.runs[0].tiers if cell.runs else {}
    found = {}
    for name in sorted(names, key=lambda name: list(like).index(name) if name in like else len(like)):
        of = like.get(name, Tier())
        found[name] = Tier(
            of.nodes,
            mean(f"bytes_up.{name}"),
            mean(f"bytes_down.{name}"),
            mean(f"raw_bytes_up.{name}") or mean(f"bytes_up.{name}"),
            mean(f"raw_bytes_down.{name}") or mean(f"bytes_down.{name}"),
            of.codec_up,
            of.codec_down,
        )
    return found


def _topology(compared: Compared, first: StoredRun, drawn: Any) -> Html:
    found = drawn(tree_picture.drawing(first.tree))
    which = f"Of run {first.id}, the first; what differs is in the table above." if len(compared.cells) > 1 else ""
    return Html(
        parts.missing(which) + (parts.figures(found) if found else parts.missing("There is no tree.json to draw from."))
    )


def _configuration(compared: Compared, first: StoredRun) -> Html:
    text = first.resolved()
    if text is None:
        return parts.missing("The first run's folder has no resolved topology.")
    said = f"The resolved topology of run {first.id}, the first:"
    return Html(parts.tag("p", said) + parts.tag("pre", configuration.shown(text)))


def _again(compared: Compared) -> Html:
    first = compared.first
    folder = compared.folder or (str(first.origin.get("folder", "")) if first is not None else "")
    if compared.commands:
        return Html(parts.tag("p", "The same again, from the same folder:") + parts.commands(compared.commands, folder))
    return parts.missing("No command is on record.")
