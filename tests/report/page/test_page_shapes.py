"""Shapes and axes: escaping, colours, ticks and the words for numbers."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st
from made_runs import HOSTILE
from page_checks import checked_svg

from tierfed.report.page import tree_picture
from tierfed.report.page.axes import Scale, label, ticks
from tierfed.report.page.svg import COLOURS, Drawing, shape, shortened, shortened_name, text, width_of

FINITE = st.floats(-1e12, 1e12, allow_nan=False)


@settings(max_examples=50)
@given(FINITE, FINITE, st.integers(2, 8))
def test_ticks_are_few_even_and_within(a: float, b: float, most: int) -> None:
    """At most so many, at the same distance, none outside."""
    low, high = min(a, b), max(a, b)
    if high - low < 1e-6 * max(abs(low), abs(high), 1e-9):
        return
    found = ticks(low, high, most)
    assert 1 <= len(found) <= max(most, 2) and found == sorted(found)
    air = (high - low) * 1e-6
    assert all(low - air <= t <= high + air for t in found)
    steps = {round((y - x) / (found[1] - found[0]), 6) for x, y in zip(found, found[1:], strict=False)}
    assert steps <= {1.0}


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1e15, allow_nan=False), min_size=1, max_size=20), st.sampled_from(["", "B", "s", "J"]))
def test_a_scale_puts_everything_within_its_room_and_in_order(values: list[float], unit: str) -> None:
    """Whatever the numbers: nothing outside, the larger never before the smaller, and labels that are texts."""
    scale = Scale.of(values, (40, 350), unit)
    places = [scale(v) for v in sorted(values)]
    assert places == sorted(places) and all(40 <= p <= 350 for p in places)
    assert all(said and "nan" not in said for _, said in scale.labels())


def test_numbers_are_said_as_people_say_them() -> None:
    """Units by their size; the ticks of one axis in one unit."""
    said = [label(*one) for one in ((16.8e6, "B"), (0.34, "s"), (90.0, "s"), (0.0, "B"), (0.002, "J"), (0.782, ""))]
    assert said == ["16.8 MB", "340 ms", "90 s", "0 B", "2 mJ", "0.782"]
    assert [s for _, s in Scale(0.0, 1.1, (0, 100), "s").labels()] == ["0", "0.2 s", "0.4 s", "0.6 s", "0.8 s", "1.0 s"]
    assert [s for _, s in Scale(0.0, 2.1e8, (0, 100), "B").labels(5)] == ["0", "50 MB", "100 MB", "150 MB", "200 MB"]


def test_far_apart_is_logarithmic() -> None:
    """Beyond thirtyfold, if nothing is nought; and ticks are then powers."""
    scale = Scale.of([1e3, 1e7], (0, 100), "B")
    assert scale.log and {"10 kB", "1 MB"} <= {said for _, said in scale.labels()}
    assert not Scale.of([0.0, 1e7], (0, 100), "B").log
    assert math.isclose(scale(1e5) - scale(1e4), scale(1e6) - scale(1e5))


def test_what_a_file_says_is_text() -> None:
    """Markup, quotes and characters that XML has no place for, in a text and in an attribute."""
    drawn = Drawing("x", HOSTILE, 360, 100, (text(HOSTILE, 0, 10), shape("g", text("a", 0, 0), data_x=HOSTILE)))
    root = checked_svg(drawn.standalone())
    shown = HOSTILE.replace("\x00", "\ufffd")
    assert [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")] == [shown, "a"]
    assert root.find("{http://www.w3.org/2000/svg}g").attrib["data-x"] == shown
    assert "<script" not in drawn.inline()


def test_colours_are_the_pages_in_a_page_and_fixed_in_a_file() -> None:
    """A variable there, the light colour here."""
    drawn = Drawing("x", "x", 760, 100, (shape("rect", fill="s0"),))
    assert 'fill="var(--tf-s0)"' in drawn.inline()
    assert f'fill="{COLOURS["s0"][0]}"' in drawn.standalone()
    assert checked_svg(drawn.standalone()).attrib["width"] == "7.0in"


def test_series_differ_in_lightness_from_their_ground() -> None:
    """WCAG's contrast of every series and text with the surface is at least 3 and 4.5, in both themes."""

    def light(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for theme in (0, 1):
        ground = light(COLOURS["surface"][theme])
        for name, pair in COLOURS.items():
            found = light(pair[theme])
            ratio = (max(found, ground) + 0.05) / (min(found, ground) + 0.05)
            if name in ("ink", "muted") or name.startswith("s") and name[1:].isdigit():
                assert ratio >= 4.5, (name, theme, ratio)
            elif name == "axis":
                assert ratio >= 3, (name, theme, ratio)


@settings(max_examples=50)
@given(st.text(max_size=60), st.floats(20, 300))
def test_a_shortened_text_fits(what: str, width: float) -> None:
    """What is too long ends with …, and is no wider than its room."""
    said = shortened(what, width)
    assert width_of(said) <= width or said == "…"


@settings(max_examples=50)
@given(st.text(max_size=60), st.floats(20, 300))
def test_a_shortened_name_fits(what: str, width: float) -> None:
    """As any shortened text does."""
    said = shortened_name(what, width)
    assert width_of(said) <= width or said == "…"


def test_a_shortened_name_keeps_both_ends() -> None:
    """Names of siblings differ in the last characters: they do so when they are shortened, too."""
    room = width_of("edge-aggregator")
    first, second = (shortened_name(f"edge-aggregators-{n}", room) for n in (0, 1))
    assert (first[-5:], second[-5:]) == ("ors-0", "ors-1")
    assert first.startswith("edge") and "…" in first
    assert shortened_name("edge-eu", room) == "edge-eu"


def test_a_tree_of_many_that_differ_is_cut_evenly() -> None:
    """Sixty boxes at most, shared by the subtrees; how many nodes are not drawn is said, to the last."""

    def node(name: str, tier: str, below: list[object], more: int = 0) -> dict[str, object]:
        return {"name": name, "tier": tier, "count": 1, "link": ["up int8"], "facts": [], "below": below, "more": more}

    regions = [node(f"r-{r}", "R", [node(f"c-{r}-{c}", "C", []) for c in range(12)], more=88) for r in range(12)]
    drawn = tree_picture.drawing({"root": node("server", "S", list(regions))})
    assert drawn is not None
    texts = [one.text for one in checked_svg(drawn.standalone()).iter("{http://www.w3.org/2000/svg}tspan")]
    shown = [one for one in texts if one and one.startswith(("r-", "c-", "server"))]
    assert 50 <= len(shown) <= 60 and {f"r-{r}" for r in range(12)} <= set(shown)
    assert drawn.note.endswith(f" {1 + 12 * 101 - len(shown):,} more nodes are not drawn.")
    assert "up int8" in texts


def test_deep_trees_say_their_links_in_the_boxes() -> None:
    """Five tiers leave no room beside a link."""
    plain: dict[str, object] = {}
    for tier in "EDCBA":
        below = [plain] if plain else []
        plain = {"name": tier.lower(), "tier": tier, "count": 2, "link": ["4mbit", "up bf16"], "below": below}
    drawn = tree_picture.drawing({"root": plain})
    assert drawn is not None and "In a box, of its link upwards" in drawn.note
    texts = [one.text for one in checked_svg(drawn.standalone()).iter("{http://www.w3.org/2000/svg}tspan")]
    assert texts.count("4mbit") == 5 and texts.count("up bf16") == 5
