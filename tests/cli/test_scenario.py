"""`fsm replay --scenario`: a run that nobody has made, on the real engine."""

import json
from pathlib import Path

import pytest

from fsm import Machine
from fsm.cli.parts.target import machine
from fsm.verify.costs import costs_of
from fsm.verify.moves import moves_of
from fsm.verify.product import explore, situations_of
from fsm.verify.promises import promised
from fsm.verify.witness import Leg, scenario_json
from fsm.verify.worst import worst
from tests.cli.conftest import DOOR, Fsm

PROMISES = """
    shut = never(inside, before=leave)
"""


@pytest.fixture
def door(folder: Path) -> type[Machine]:
    text = DOOR.replace("import Machine,", "import Machine, never,")
    (folder / "door.py").write_text(text + PROMISES)
    return machine("door.py:Door")


@pytest.fixture
def written(folder: Path, door: type[Machine]) -> str:
    (answer,) = promised(situations_of(moves_of(door.spec)))
    (folder / "shut.json").write_text(scenario_json(door.spec, answer.run))
    return "shut.json"


def test_every_event_is_decided_and_told(fsm: Fsm, written: str):
    result = fsm("replay", "--scenario", written, "--machine", "door.py:Door")
    assert result.exit_code == 0
    assert result.output == (
        "    0  Knock: (start) -> porch  start  fires:stay 0\n"
        "    1  Seen: porch -> hall  seen  fires:stay 0\n"
        "    2  Word: hall -> inside  enter  fires:stay 0\n"
        "✓ Door goes this way, event by event, if predicates and guards answer as written there\n"
    )


def test_the_machine_may_be_named_by_its_json_or_by_the_project(
    fsm: Fsm, folder: Path, door: type[Machine], written: str
):
    (folder / "door.json").write_text(door.spec.to_json())
    assert fsm("replay", "--scenario", written, "-m", "door.json").exit_code == 0
    (folder / "pyproject.toml").write_text('[tool.fsm]\nmachines = ["door.py:Door"]\n')
    told = json.loads(fsm("replay", "--scenario", written, "--json").output)
    assert told["agreed"] and [event["hop"] for event in told["events"]] == ["start", "seen", "enter"]


def test_an_endless_run_goes_round_twice(fsm: Fsm, folder: Path, door: type[Machine]):
    class Endless(door):  # type: ignore[misc, valid-type]
        stay = door.stay.but(guards=[], otherwise=None)  # type: ignore[attr-defined]

    moves = moves_of(Endless.spec)
    found = worst(explore(situations_of(moves)), costs_of(moves))
    (folder / "endless.json").write_text(Endless.spec.to_json())
    (folder / "run.json").write_text(scenario_json(Endless.spec, found.stem, found.loop))
    told = fsm("replay", "--scenario", "run.json", "-m", "endless.json").output.splitlines()
    assert [line.strip() for line in told[2:]] == [
        "over and over:",
        "2  Word: hall -> hall  stay",
        "and once more:",
        "3  Word: hall -> hall  stay",
        "✓ Endless goes this way, event by event, and the loop can be taken again and again, "
        "if predicates and guards answer as written there",
    ]


def test_what_only_goes_round_some_times_is_no_loop(fsm: Fsm, folder: Path, door: type[Machine]):
    hops = {move.hop: Leg(move, {}) for move in moves_of(door.spec).all if move.moved}
    text = scenario_json(door.spec, [hops["start"], hops["seen"]], [hops["stay"]])
    (folder / "run.json").write_text(text)
    result = fsm("replay", "--scenario", "run.json", "-m", "door.py")
    assert result.exit_code == 1
    assert result.output.endswith("✗ the loop is none: fires:stay goes from 0 to 1\n")


def test_where_the_machine_goes_elsewhere_it_is_said(fsm: Fsm, folder: Path, written: str):
    form = json.loads((folder / written).read_text())
    form["events"][2]["predicates"] = [["enter", False]]
    (folder / written).write_text(json.dumps(form))
    result = fsm("replay", "--scenario", written, "-m", "door.py")
    assert result.exit_code == 1
    assert result.output.endswith("✗ event 3, Word: the machine goes stay to hall, not enter to inside\n")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda form: form.update(fingerprint="0"),
            "✗ Door has changed since the scenario was written; check it again",
        ),
        (
            lambda form: form["events"][2].update(predicates=[]),
            "✗ the scenario has no answer of predicate is_yes of enter",
        ),
        (lambda form: form.update(format=2), "shut.json: not a scenario: format: Input should be 1"),
        (lambda form: form.pop("events"), "shut.json: not a scenario: events: Field required"),
    ],
)
def test_a_scenario_that_is_none_of_this_machine(fsm: Fsm, folder: Path, written: str, change, told: str):
    form = json.loads((folder / written).read_text())
    change(form)
    (folder / written).write_text(json.dumps(form))
    result = fsm("replay", "--scenario", written, "-m", "door.py")
    assert result.exit_code == 1
    assert told in result.output


def test_a_scenario_of_a_machine_that_is_not_named_is_a_mistake_of_the_command_line(fsm: Fsm, written: str):
    result = fsm("replay", "--scenario", written)
    assert result.exit_code == 2
    assert "the scenario is of Door, which is not at hand" in result.output


def test_no_file_no_json(fsm: Fsm, folder: Path):
    assert "no.json" in fsm("replay", "--scenario", "no.json", "-m", "door.py").output
    (folder / "bad.json").write_text("[")
    assert "bad.json: not a scenario: no JSON" in fsm("replay", "--scenario", "bad.json", "-m", "door.py").output
    assert fsm("replay", "--scenario", "bad.json", "-m", "none.json").exit_code == 1
