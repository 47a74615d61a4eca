"""Figures of a link in words: units compulsory, names and errors as in a topology."""

from __future__ import annotations

import math

import pytest

from tierfed.errors import TopologyError
from tierfed.topology import captions, link_words
from tierfed.topology.links.profile import LinkProfile


def test_words_are_figures() -> None:
    """Rates come to bytes a second, times to seconds; `rate` is both ways, and the last word wins."""
    change = link_words.read(["rate=1mbit", "rate.up=512kbit", "delay=80ms", "loss=1%", "distribution=pareto"])
    assert change.figures == {
        "rate_up": 64_000.0,
        "rate_down": 125_000.0,
        "delay": 0.08,
        "distribution": "pareto",
        "loss": 0.01,
    }
    assert change.written == {
        "rate.up": "512kbit",
        "rate.down": "1mbit",
        "delay": "80ms",
        "distribution": "pareto",
        "loss": "1%",
    }
    assert change.nested()["rate"] == {"up": "512kbit", "down": "1mbit"}


def test_what_is_not_named_stays() -> None:
    """A change is made on what there is, and on nothing it is that alone."""
    change = link_words.read(["delay=1s"])
    before = LinkProfile(rate_up=1e6, delay=0.03, jitter=0.005)
    assert change.on(before) == LinkProfile(rate_up=1e6, delay=1.0, jitter=0.005)
    assert change.on(None) == LinkProfile(delay=1.0)
    assert math.isinf(change.on(None).rate_down)


def test_a_profile_is_written_as_it_would_be_read() -> None:
    """Figures that say nothing are left out; floats are the decimals that they were."""
    words = {"rate.up": "512kbit", "delay": "80ms", "jitter": "5ms", "loss": "0.3%", "correlation": "25%"}
    profile = link_words.read([f"{name}={value}" for name, value in words.items()]).on(None)
    assert link_words.written(profile) == {name: words[name] for name in ("rate.up", "delay", "jitter")} | {
        "correlation": "25%",
        "loss": "0.3%",
    }
    assert link_words.written(None) == link_words.written(LinkProfile()) == {}
    assert captions.link_of(link_words.keyed(link_words.written(profile))) == [
        "512kbit up",
        "80±5ms",
        "loss 0.3%",
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["delay=20"], "delay=20: 20 has no unit; write 20ms"),
        (["loss=0.5"], "loss=0.5: 0.5 has no unit; write 0.5%, or 50%"),
        (["rate.up=0kbit"], "rate.up=0kbit: a rate of 0 carries nothing; write more, such as 64kbit"),
        (
            ["rate=4mbps"],
            "rate=4mbps: 4mbps: mbps is bytes a second in tc and bits to most readers; write 4mbit or 32mbit",
        ),
        (["loss=100%"], "loss=100%: a loss of 100% lets nothing through; write less than 100%"),
        (["delay=80ms", "dely=1s"], "dely=1s: unknown field; did you mean 'delay'?"),
        (["rate.side=1mbit"], "rate.side=1mbit: unknown field; "),
        (["delay.up=1s"], "delay.up=1s: expected a number with a unit, such as 20ms, got a mapping"),
        (["distribution=normla"], "distribution=normla: expected one of normal, uniform, pareto, paretonormal, got"),
        (["delay"], "delay: expected name=value"),
        (["delay="], "delay=: expected name=value"),
        (["=3ms"], "=3ms: expected name=value"),
        ([], "link set: sets nothing"),
    ],
)
def test_what_is_wrong_is_told_with_its_word(words: list[str], told: str) -> None:
    """In the words of a topology's errors, with what to write instead."""
    with pytest.raises(TopologyError) as error:
        link_words.read(words)
    assert str(error.value).startswith(told)
    assert error.value.mend
