"""A job and its parameters, checked before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tierfed
from tierfed.errors import JobError, TypeMismatch
from tierfed.jobs.program import check_in_subprocess, load_job, misfits
from tierfed.language.job import Job
from tierfed.placements import CLIENTS
from tierfed.topology import tree
from tierfed.types import FederatedType, to_type

FAN_OUT = {"CLIENTS": 3}


@tierfed.federated_computation(FederatedType(to_type("int64[5000]"), CLIENTS))
def step(values: Any) -> Any:
    """Return a sum that int8 cannot carry."""
    return tierfed.federated_sum(values)


@tierfed.job(round=step)
async def train(tree: Any, *, rounds: int, lr: float = 0.1, name: str = "x", fast: bool = False, any: Any = 0) -> None:
    """Do nothing."""


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"rounds": 3, "lr": 1, "name": "y", "fast": True, "any": [1]}, None),
        ({"rounds": 3, "lr": 0.5}, None),
        ({"rounds": 3, "lrr": 0.5}, "train has no parameter lrr"),
        ({}, "train needs rounds"),
        ({"rounds": "3"}, "train takes rounds as int, got '3'"),
        ({"rounds": 3.0}, "train takes rounds as int, got 3.0"),
        ({"rounds": True}, "train takes rounds as int, got True"),
        ({"rounds": 3, "lr": "fast"}, "train takes lr as float, got 'fast'"),
        ({"rounds": 3, "fast": 1}, "train takes fast as bool, got 1"),
        ({"rounds": 3, "name": 1}, "train takes name as str, got 1"),
    ],
)
def test_parameters_are_those_of_the_signature(params: dict[str, Any], told: str | None) -> None:
    """Their names and, where they are annotated with plain types, their types."""
    found = misfits(train, params, None)
    assert [error.what for error in found] == ([] if told is None else [told])
    assert all(isinstance(error, JobError) and error.where == "job.params" and error.mend for error in found)


def test_annotations_that_mean_nothing_here_are_no_error() -> None:
    """A name that only a type checker knows leaves the types unchecked."""

    async def job(tree: Any, *, model: Unknown) -> None:  # type: ignore[name-defined]  # noqa: F821
        """Do nothing."""

    assert misfits(Job(job), {"model": 3}, None) == []


def test_the_round_is_held_against_the_topology() -> None:
    """Parameters and codecs are told together."""
    topology = tree(FAN_OUT, codec={"CLIENTS": {"up": "int8"}})
    found = misfits(train, {"rounds": "3"}, topology)
    assert [error.where for error in found] == ["job.params", "placements.CLIENTS.codec.up"]


def test_a_tier_that_is_not_there() -> None:
    """A program that names a tier does not fit a topology without it; the round is named."""
    edge = tierfed.placement("EDGE_AGGREGATORS")

    @tierfed.federated_computation(FederatedType(to_type("int32"), CLIENTS))
    def regional(values: Any) -> Any:
        return tierfed.federated_max(tierfed.federated_max(values, to=edge))

    @tierfed.job(round=regional)
    async def job(tree: Any) -> None:
        """Do nothing."""

    (error,) = misfits(job, {}, tree(FAN_OUT))
    assert "regional: " in str(error.where) and "no tier EDGE_AGGREGATORS in the hierarchy" in error.what
    assert misfits(job, {}, tree({"EDGE_AGGREGATORS": 1, "CLIENTS": 1})) == []


def test_a_round_that_is_no_computation() -> None:
    """The decorator says what it wants, when it is used."""
    with pytest.raises(TypeMismatch, match="is no computation"):
        tierfed.job(round=len)  # type: ignore[call-overload]


def test_a_job_in_a_process_of_its_own(tmp_path: Path) -> None:
    """What the module prints does not disturb the answer, and its folder comes first on the path."""
    (tmp_path / "talking_job.py").write_text(
        "import tierfed\nprint('hello')\n\n@tierfed.job\nasync def train(tree, *, rounds: int): ...\n"
    )
    assert [e.what for e in check_in_subprocess("talking_job:train", {}, tmp_path)] == ["train needs rounds"]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import os\nos._exit(7)\n", "its import ended the process with 7"),
        ("raise ValueError('no')\n", "raised ValueError: no"),
    ],
)
def test_a_module_that_cannot_be_imported(source: str, told: str, tmp_path: Path) -> None:
    """A module that raises, or ends the interpreter, takes nobody along."""
    (tmp_path / "broken_job.py").write_text(source)
    (error,) = check_in_subprocess("broken_job:train", {}, tmp_path)
    assert told in error.what and error.where == "job.program broken_job:train"


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("fedavg", "'fedavg' names no job"),
        ("tierfed.learning.nothing:train", "no module tierfed.learning.nothing"),
        ("tierfed.learning.fedavg:trian", "did you mean 'train'?"),
        ("tierfed.learning.fedavg:step", "step is no job"),
    ],
)
def test_a_job_that_is_not_there(spec: str, told: str) -> None:
    """Each way of not being there has its words."""
    with pytest.raises(JobError) as caught:
        load_job(spec, None)
    assert told in caught.value.what
