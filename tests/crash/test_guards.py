"""kill -9 where a guard that keeps something refuses: what it kept is there, and it refuses all the same."""

from pathlib import Path

import pytest

from fsm import Machine
from tests.crash.gates import Circle, Echo
from tests.crash.world import KILLED, World, check_runs

# The arrival at which the process dies, in the decision that is refused, and the last record it leaves behind.
AT_THE_TRIP = {
    "visit.returned": (3, 2),
    "decision.queued": (3, 2),
    "writer.written": (5, 2),
    "writer.committed": (5, 3),
    "decision.adopted": (4, 3),
}


@pytest.mark.parametrize("machine", [Circle, Echo], ids=lambda machine: machine.spec.name)
@pytest.mark.parametrize("point", AT_THE_TRIP)
def test_killed_at_the_trip_it_trips_again(machine: type[Machine], point: str, tmp_path: Path):
    world, (passes, last) = World(tmp_path), AT_THE_TRIP[point]
    options = {"machine": machine.spec.name, "run_id": "one"}
    assert world.run("carry", crash={point: passes}, **options) == KILLED, world.errors()
    reader = world.reader()
    left = reader.run("one").seq
    reader.close()
    assert left == last or (point.startswith("writer") and left == last - 1), "a lease renewed meanwhile counts there"
    world.finish("carry", **options)
    check_runs(world, machine, ["one"])
    reader = world.reader()
    try:
        records = list(reader.records(reader.run("one").key))
    finally:
        reader.close()
    moves = [record for record in records if record.kind != "resumed"]
    assert [record.hop for record in moves] == ["start", "again", "again", "again.otherwise"]
    assert len(records) - len(moves) == (left < 3)
    (ruling,) = moves[-1].rulings
    assert set(ruling.verdict.numbers.values()) == {2}
    assert sum(world.effects().values()) == 3 + (left < 3), "a visit that was lost, once more"
