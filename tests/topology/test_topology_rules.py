"""Rules by tensor name in a topology: where they may stand, how they are told, and which do nothing."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

import tierfed
from tierfed.codecs import link_codec
from tierfed.compiler import compile
from tierfed.errors import CodecError, TopologyError
from tierfed.jobs.program import misfits as job_misfits
from tierfed.placements import CLIENTS
from tierfed.topology import Topology, assignments, parse_topology, tree
from tierfed.topology.assignment import NodeAssignment
from tierfed.topology.draw import FORMATS
from tierfed.topology.plan import idle_rules, misfits, predicted
from tierfed.topology.schema import json_schema
from tierfed.types import FederatedType, to_type

FILE = """\
apiVersion: tierfed/v1
kind: Topology
defaults:
  codec: {up: {default: bf16, "*/bias": none}}
placements:
  SERVER: {}
  EDGE:
    parent: SERVER
    members:
      e-0: {}
      e-1: {codec: {up: {default: fp16, "w": int8}}}
  CLIENTS:
    parent: EDGE
    per_parent: 2
    codec:
      up:
        default: int8
        "*.bias": none
        fc/w: [bf16, zstd]
      down: {default: none, w: int8}
    overrides:
      - {match: {i: 1}, codec: {up: zstd}}
"""
FAN_OUT = {"EDGE": 2, "CLIENTS": 2}
TEXT = '<"fc.w"=float32[5000],"fc.bias"=float32[5000],out=<w=float32[9000],step=int64[5000]>>'


def told(text: str, *sets: str) -> list[str]:
    """Return the lines of the error that `text` raises."""
    with pytest.raises(TopologyError) as error:
        parse_topology(text, "t.yaml", sets)
    return str(error.value).splitlines()


def of_codec(up: str) -> str:
    """Return a file whose clients send in `up`, on line 5 from column 56 on."""
    return (
        "apiVersion: tierfed/v1\nkind: Topology\nplacements:\n  SERVER: {}\n"
        f"  CLIENTS: {{parent: SERVER, per_parent: 2, codec: {{up: {up}}}}}\n"
    )


def test_rules_stand_wherever_a_codec_does() -> None:
    """In defaults, at a placement, a member and in an override, the nearest as a whole; each end is told one text."""
    topology = parse_topology(FILE)
    up = {node.name: node.codec_up for node in topology.nodes.values()}
    assert up["e-0"] == '{"default": "bf16", "*/bias": "none"}'
    assert up["e-1"] == '{"default": "fp16", "w": "int8"}'
    assert up["clients-0"] == '{"default": "int8", "*/bias": "none", "fc/w": "bf16+zstd"}'
    assert up["clients-1"] == "none+zstd"
    assert topology.nodes["clients-0"].codec_down == '{"default": "none", "w": "int8"}'
    for made in assignments(topology):
        assert NodeAssignment.from_dict(json.loads(json.dumps(made.to_dict()))) == made
        for child in made.children:
            assert child.codec_up == up[child.name] and str(link_codec(child.codec_up)) == child.codec_up


def test_set_writes_rules() -> None:
    """A whole mapping, or one rule of it, changes what the file says; the origin is the --set."""
    whole = parse_topology(FILE, sets=['CLIENTS.codec.up={default: fp16, "*/bias": int8}'])
    assert {n.codec_up for n in whole.members("CLIENTS")} == {'{"default": "fp16", "*/bias": "int8"}'}
    one = parse_topology(FILE, sets=["CLIENTS.codec.up.default=fp16", "EDGE.members.e-1.codec.up.w=none"])
    client = one.nodes["clients-0"]
    assert client.codec_up == '{"default": "fp16", "*/bias": "none", "fc/w": "bf16+zstd"}'
    assert client.settings.origins["codec.up"] == "--set CLIENTS.codec.up.default=fp16"
    assert one.nodes["e-1"].codec_up == '{"default": "fp16", "w": "none"}'


def test_the_resolved_form_has_them_and_loads_again() -> None:
    """As a mapping on one line, with its origin; and the file that a run keeps is an equal topology."""
    topology = parse_topology(FILE)
    text = topology.to_yaml(origins=True)
    assert '      up: {default: bf16, "*/bias": none}  # defaults.codec.up, line 4' in text
    assert "up: {default: fp16, w: int8}" in text and "# placements.EDGE.members.e-1.codec.up, line 11" in text
    assert parse_topology(text) == topology == parse_topology(topology.to_yaml())


def test_drawings_tell_them_readably() -> None:
    """The default, then each pattern with its chain; as a mapping where programs read."""
    topology = parse_topology(FILE)
    assert "up int8, */bias: none, fc/w: bf16+zstd" in FORMATS["tree"](topology)
    assert "up int8, */bias: none, fc/w: bf16+zstd" in FORMATS["mermaid"](topology)
    assert "up fp16, w: int8" in FORMATS["dot"](topology)
    nodes = {n["name"]: n for n in json.loads(FORMATS["json"](topology))["nodes"]}
    assert nodes["clients-0"]["codec"] == {
        "up": {"default": "int8", "*/bias": "none", "fc/w": "bf16+zstd"},
        "down": {"default": "none", "w": "int8"},
    }
    assert nodes["clients-1"]["codec"]["up"] == "none+zstd"


@pytest.mark.parametrize(
    ("up", "lines"),
    [
        (
            '{"*/bias": none}',
            ['5:56: error: placements.CLIENTS.codec.up: rules without a default; say what the other tensors have: '
             '{default: int8, "*/bias": none}'],
        ),
        (
            "{}",
            ['5:56: error: placements.CLIENTS.codec.up: no rules; say what the other tensors have: '
             '{default: int8, "*/bias": none}'],
        ),
        (
            '{default: int8, "w]": none, x: int8+bf16}',
            [
                "5:72: error: placements.CLIENTS.codec.up.w]: the pattern \"w]\" has ']' in it; a pattern has the "
                "characters of names, / between steps, * for any characters and ? for one",
                "5:87: error: placements.CLIENTS.codec.up.x: bf16 takes an array, and int8 before it gives bytes; "
                "keep one of the two: int8 or bf16",
            ],
        ),
        (
            '{default: int8, "": none}',
            ["5:72: error: placements.CLIENTS.codec.up: an empty key; keys are names"],
        ),
        (
            "{default: {w: none}, x: 3}",
            [
                "5:66: error: placements.CLIENTS.codec.up.default: expected a codec such as int8+zstd, got a mapping",
                "5:80: error: placements.CLIENTS.codec.up.x: expected a codec such as int8+zstd, got 3",
            ],
        ),
        (
            "{default: int8, x: }",
            ["5:72: error: placements.CLIENTS.codec.up.x: nothing follows; write a value, or remove the field"],
        ),
        (
            "{default: int8, a.b: none, a/b: bf16}",
            ['5:56: error: placements.CLIENTS.codec.up: two rules for "a/b"; keep one of them'],
        ),
        (
            f"{{default: int8, {', '.join(f't{i}: none' for i in range(1000))}}}",
            ["5:56: error: placements.CLIENTS.codec.up: 1000 rules beside the default; a link has 1 to 64: "
             "join some, with * in their patterns"],
        ),
    ],
)  # fmt: skip
def test_wrong_rules_are_told_with_their_place(up: str, lines: list[str]) -> None:
    """Each at its own line and column, all of them at once: patterns at the key, chains at the value."""
    assert told(of_codec(up)) == [f"t.yaml:{line}" for line in lines]


def test_wrong_rules_of_a_set_are_told_there() -> None:
    """The --set that wrote a rule is the place of its problem."""
    text = "CLIENTS.codec.up={default: int8, x: int9}"
    (line,) = told(of_codec("int8"), text)
    assert line.startswith(f"--set {text}: error: placements.CLIENTS.codec.up.x: no codec is called int9; did you mean")


@pytest.mark.parametrize(
    ("up", "fits"),
    [
        ({"default": "int8", "*/bias": ["bf16", {"zstd": {"level": 9}}]}, True),
        ({"default": "int8"}, True),
        ("eden(bits=auto)", True),
        ({"*/bias": "int8"}, False),
        ({"default": 8}, False),
        ({"default": {"x": "int8"}}, False),
        ({"default": "int8", "": "none"}, False),
        ({"default": "int8", "w{": "none"}, False),
        ({"default": "int8", **{f"t{i}": "none" for i in range(65)}}, False),
    ],
)
def test_the_schema_knows_rules(up: object, fits: bool) -> None:
    """An editor sees what the loader would refuse."""
    data = {
        "apiVersion": "tierfed/v1",
        "kind": "Topology",
        "placements": {"SERVER": {}, "CLIENTS": {"parent": "SERVER", "per_parent": 2, "codec": {"up": up}}},
    }
    found = list(jsonschema.Draft7Validator(json_schema()).iter_errors(data))
    assert (not found) is fits
    if fits:
        parse_topology(json.dumps(data))


# -- rules beside a program


def summed() -> Any:
    """Return a program that sums a struct over the clients."""

    @tierfed.federated_computation(FederatedType(to_type(TEXT), CLIENTS))
    def total(values: Any) -> Any:
        return tierfed.federated_sum(values)

    return total


def of_rules(up: object, **more: Any) -> tuple[Topology, Any]:
    """Return a topology whose clients send by `up`, and the program compiled for it."""
    topology = tree(FAN_OUT, codec={"CLIENTS": {"up": up, **more}})
    return topology, compile(summed(), topology.hierarchy)


def test_a_rule_that_names_nothing_is_told() -> None:
    """With its place and what was likely meant; the others are not told, also where they name small tensors."""
    topology, compiled = of_rules(
        {"default": "none", "*/bais": "int8", "fc.w": "int8", "embedding*": "bf16", "out/step": "none"}
    )
    found = [(error.where, error.what, error.mend) for error in idle_rules(topology, compiled)]
    assert found == [
        (
            "placements.CLIENTS.codec.up",
            '"*/bais" names no tensor that the program sends up there',
            "did you mean 'bias'?",
        ),
        (
            "placements.CLIENTS.codec.up",
            '"embedding*" names no tensor that the program sends up there',
            "its tensors are w, bias, step",
        ),
    ]
    assert misfits(topology, compiled) == []


def test_a_rule_of_defaults_has_to_name_something_somewhere() -> None:
    """What holds for several tiers is told once, with the line of the file, and only if it names nothing in any."""
    text = FILE.replace('"*/bias": none}}', '"*/bias": none, "out/w*": int8, wieght: int8}}')
    text = text.replace('e-1: {codec: {up: {default: fp16, "w": int8}}}', "e-1: {}").replace(
        '"*.bias": none', '"*.bias": none\n        out/step: none'
    )
    topology = parse_topology(text)
    errors = idle_rules(topology, compile(summed(), topology.hierarchy))
    assert [(e.where, e.what.split()[0]) for e in errors] == [("defaults.codec.up, line 4", '"wieght"')]


def test_checks_of_a_job_tell_idle_rules_with_the_files_places() -> None:
    """A job is checked on the topology of the file, and its rules are told by the lines that the reader has."""
    topology = parse_topology(FILE.replace("w: int8}\n    ov", "q: int8}\n    ov"))

    @tierfed.job(round=summed())
    async def train(tree: Any) -> None:
        """Do nothing."""

    found = [e for e in job_misfits(train, {}, topology) if "names no tensor" in e.what]
    assert [(e.where, type(e).__name__) for e in found] == [("placements.CLIENTS.codec.down, line 20", "IdleRule")]


def test_a_large_tensor_that_its_rule_does_not_carry_is_a_misfit() -> None:
    """It is told with its path and the rule to write, and that rule mends it."""
    topology, compiled = of_rules({"default": "int8", "*/bias": "none"})
    (error,) = misfits(topology, compiled)
    assert isinstance(error, CodecError)
    assert error.where == "placements.CLIENTS.codec.up" and ".out.step, on its way up" in error.what
    assert str(error.mend).endswith('/out/step": none')
    rule = str(error.mend).partition('"')[2].partition('"')[0]
    topology, compiled = of_rules({rule: "none", "default": "int8"})
    assert misfits(topology, compiled) == [] == idle_rules(topology, compiled)


def test_bytes_are_predicted_by_rule() -> None:
    """The prediction is that of the tensors one by one; equal rules are equal to a chain."""
    by_rule, compiled = of_rules({"default": "none", "w": "int8", "fc/bias": "bf16"})
    found = predicted(by_rule, compiled)["CLIENTS"]
    plain = predicted(of_rules("none")[0], compiled)["CLIENTS"]
    assert found is not None and plain is not None and found.exact_up
    padded = lambda n: n + -n % 64  # noqa: E731  # of a payload
    saved = sum(padded(4 * n) - padded(of) for n, of in ((5000, 5000 + 4 * 20), (9000, 9000 + 4 * 36), (5000, 10_000)))
    assert (plain.up - plain.headers_up) - (found.up - found.headers_up) == 4 * saved
