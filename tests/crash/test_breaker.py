"""One probe in the world: processes that share a breaker, and one that dies with the probe in its hands."""

import signal
from collections import Counter
from pathlib import Path

import pytest

from fsm import Machine
from fsm.core.breaking import BreakerRow
from fsm.core.record import Record
from tests.crash.fuse import TIMEOUT_S, Caller, Visitor
from tests.crash.world import KILLED, World, check_runs

PROCESSES, CALLERS = 4, 50
COOLDOWN_S = 31.0


def row(world: World) -> BreakerRow:
    reader = world.reader()
    try:
        return BreakerRow.from_json(reader.query("SELECT body FROM shared WHERE name = 'tool'")[0][0])
    finally:
        reader.close()


def last_records(world: World, run_ids: list[str]) -> dict[str, Record]:
    reader = world.reader()
    try:
        found = [run for run in reader.runs() if run.run_id in run_ids and run.settled]
        return {run.run_id: reader.record(run.key, run.seq) for run in found}
    finally:
        reader.close()


def tripped(world: World, machine: type[Machine]) -> list[str]:
    """Three runs that fail, one after the other; every gate but the tool's own answer is open."""
    for gate in ("down", "door", "call"):
        (world.folder / gate).touch()
    runs = [f"trip-{n}" for n in range(3)]
    for run_id in runs:
        world.finish("call", machine=machine.spec.name, runs=[run_id])
    assert (row(world).state, world.effects()["request"]) == ("open", 3)
    for gate in ("down", "door", "call"):
        (world.folder / gate).unlink()
    return runs


@pytest.mark.parametrize("machine", [Caller, Visitor], ids=lambda machine: machine.spec.name)
def test_of_four_processes_with_fifty_callers_each_exactly_one_is_the_probe(
    machine: type[Machine], tmp_path: Path
) -> None:
    world = World(tmp_path)
    try:
        before = tripped(world, machine)
        runs = [[f"{process}-{n}" for n in range(CALLERS)] for process in range(PROCESSES)]
        everyone = [run_id for share in runs for run_id in share]
        options = {"machine": machine.spec.name, "later_s": COOLDOWN_S}
        workers = [world.begin("call", runs=share, **options) for share in runs]
        world.until(lambda: len(world.told("at the door")) == 3 + PROCESSES)
        (world.folder / "door").touch()
        if machine is Caller:
            world.until(lambda: world.effects()["came"] == 3 + len(everyone))
            (world.folder / "call").touch()
        world.until(lambda: len(last_records(world, everyone)) == len(everyone) - 1)
        assert row(world).state == "half_open"
        assert world.effects()["request"] == 3 + 1, "one of two hundred, while it is out"
        (world.folder / "answer").touch()
        assert [world.ended(worker) for worker in workers] == [0] * PROCESSES, world.errors()
        assert world.effects()["request"] == 3 + 1
        ends = Counter(record.outcome for record in last_records(world, everyone).values())
        refused = {Caller: "failed", Visitor: "stopped"}[machine]  # by a way of its own; at the door, without one
        assert ends == {"completed": 1, refused: len(everyone) - 1}
        assert row(world) == BreakerRow(generation=3)
        check_runs(world, machine, [*before, *everyone])
    finally:
        world.clear()


@pytest.mark.parametrize("machine", [Caller, Visitor], ids=lambda machine: machine.spec.name)
def test_a_probe_whose_process_dies_has_failed_when_its_lease_ends(machine: type[Machine], tmp_path: Path) -> None:
    world = World(tmp_path)
    try:
        runs = tripped(world, machine)
        options = {"machine": machine.spec.name, "later_s": COOLDOWN_S}
        (world.folder / "door").touch()
        (world.folder / "call").touch()
        worker = world.begin("call", runs=["probe"], **options)
        world.until(lambda: world.effects()["request"] == 4)
        assert row(world).state == "half_open"
        worker.kill()
        assert world.ended(worker) == KILLED == -signal.SIGKILL
        world.finish("call", runs=["early"], **options)
        early = last_records(world, ["early"])["early"]
        assert early.rulings[-1].verdict.code == "half_open"
        expired = {**options, "later_s": COOLDOWN_S + TIMEOUT_S + 10 + 1}
        world.finish("call", runs=["late"], **expired)
        numbers = last_records(world, ["late"])["late"].rulings[-1].verdict.numbers
        assert (numbers["trips"], numbers["failures"]) == (2, 4), "silence is a failure"
        assert world.effects()["request"] == 4
        (world.folder / "answer").touch()
        world.finish("call", runs=["next"], **{**options, "later_s": COOLDOWN_S + TIMEOUT_S + 10 + 62})
        assert last_records(world, ["next"])["next"].outcome == "completed"
        assert row(world).state == "closed"
        world.finish("call", runs=["probe"], **{**options, "later_s": COOLDOWN_S + TIMEOUT_S + 10 + 62})
        assert last_records(world, ["probe"])["probe"].outcome == "completed", "taken over, it is one like any other"
        check_runs(world, machine, [*runs, "probe", "early", "late", "next"])
    finally:
        world.clear()


def test_a_probe_that_is_taken_over_within_its_lease_goes_on_as_the_probe(tmp_path: Path) -> None:
    world = World(tmp_path)
    try:
        runs = tripped(world, Visitor)
        options = {"machine": "Visitor", "later_s": COOLDOWN_S}
        (world.folder / "door").touch()
        worker = world.begin("call", runs=["probe"], **options)
        world.until(lambda: world.effects()["request"] == 4)
        worker.kill()
        assert world.ended(worker) == KILLED
        (world.folder / "answer").touch()
        world.finish("call", runs=["probe"], **options)
        assert last_records(world, ["probe"])["probe"].outcome == "completed"
        assert row(world) == BreakerRow(generation=3)
        check_runs(world, Visitor, [*runs, "probe"])
    finally:
        world.clear()
