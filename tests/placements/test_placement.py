"""Placements: declared once, equal by name, and never two things."""

from __future__ import annotations

import re
import threading

import pytest

from tierfed.errors import PlacementError
from tierfed.placements import CLIENTS, SERVER, Placement, as_placement, placement
from tierfed.placements.placement import declared, declared_as


def test_predeclared() -> None:
    """SERVER is a singleton, CLIENTS is not."""
    assert (SERVER.name, SERVER.singleton, CLIENTS.name, CLIENTS.singleton) == ("SERVER", True, "CLIENTS", False)
    assert placement("SERVER") is SERVER and placement("CLIENTS") is CLIENTS


def test_declared_twice() -> None:
    """Declaring the same placement again gives the same value."""
    first = placement("PT_TWICE", description="once")
    assert placement("PT_TWICE") is first and placement("PT_TWICE", singleton=False) is first
    assert first.description == "once" and str(first) == "PT_TWICE"


def test_redeclared() -> None:
    """Declaring a placement with another flag is an error, and changes nothing."""
    first = placement("PT_FLAG", singleton=True)
    with pytest.raises(PlacementError) as caught:
        placement("PT_FLAG", singleton=False)
    assert str(caught.value).partition(": ")[2] == (
        "placement: PT_FLAG was declared with singleton=True, and again with singleton=False\n"
        "  to mend: declare it once and import that value, or use another name"
    )
    assert placement("PT_FLAG") is first


@pytest.mark.parametrize("name", ["", "two words", "3rd", "a-b", "e\u0301", "x²", "CLIENTS\n", None, 3])
def test_not_a_name(name: object) -> None:
    """A name that is no identifier of letters, digits and underscores is refused."""
    with pytest.raises(PlacementError) as caught:
        placement(name)  # type: ignore[arg-type]
    line, _, told = str(caught.value).partition(": ")
    assert re.fullmatch(re.escape(__file__) + r":\d+", line)
    assert told == (
        f"placement: {name!r} is not an identifier\n"
        "  to mend: use letters, digits and underscores, as in EDGE_AGGREGATORS"
    )


def test_equal_by_name() -> None:
    """Equality and hash look at the name alone."""
    other = Placement("CLIENTS", True, "another")
    assert other == CLIENTS and hash(other) == hash(CLIENTS) and Placement("clients") != CLIENTS


def test_found_by_uri() -> None:
    """Placements are found by name, and by the name in lower case."""
    upper, mixed = placement("PT_URI"), placement("Pt_Uri")
    assert declared("PT_URI") is upper and declared("pt_uri") is None
    assert set(declared_as("pt_uri")) == {upper, mixed} and declared_as("PT_URI") == ()


def test_as_placement() -> None:
    """A name is declared on use, a placement is taken as it is."""
    assert as_placement(SERVER) is SERVER and as_placement("PT_AS").name == "PT_AS"


def test_one_value_for_all_threads() -> None:
    """Threads that declare one placement at once get one value."""
    start = threading.Barrier(8)
    found: list[Placement] = []

    def declare() -> None:
        start.wait()
        found.append(placement("PT_THREADS"))

    threads = [threading.Thread(target=declare) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len({id(p) for p in found}) == 1
