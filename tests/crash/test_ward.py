"""Few places and a slow door for all processes: never more at once, never faster, also when processes die."""

import random
from itertools import pairwise
from pathlib import Path

from tests.crash.ward import PER_WINDOW, PLACES, WINDOW_S, Ward
from tests.crash.world import KILLED, World, check_runs

PROCESSES, PATIENTS = 4, 10


def most_inside(notes: list[str]) -> int:
    """How many were inside at once; one whose process died inside still is, until it comes out."""
    inside: set[str] = set()
    most = 0
    for what, run_id in (note.split(":") for note in notes):
        (inside.add if what == "in" else inside.discard)(run_id)
        most = max(most, len(inside))
    assert not inside
    return most


def test_four_processes_never_have_more_inside_nor_let_them_in_faster(tmp_path: Path) -> None:
    """One of them is killed with visits in its hands; their places are theirs until they are taken up again."""
    world, chance = World(tmp_path), random.Random(7)
    try:
        shares = [[f"{process}-{n}" for n in range(PATIENTS)] for process in range(PROCESSES)]
        everyone = [run_id for share in shares for run_id in share]
        workers = [world.begin("nurse", runs=share) for share in shares]
        world.until(lambda: len(world.told("at the door")) == PROCESSES)
        (world.folder / "door").touch()
        world.until(lambda: sum(world.effects().values()) >= 10)
        victim = chance.choice(workers)
        victim.kill()
        assert world.ended(victim) == KILLED
        assert [world.ended(worker) for worker in workers if worker is not victim] == [0] * 3, world.errors()
        world.finish("nurse", runs=everyone)
        check_runs(world, Ward, everyone)
        assert 1 < most_inside((world.folder / "effects").read_text().split()) <= PLACES
        reader = world.reader()
        try:
            runs = [reader.run(run_id) for run_id in everyone]
            assert {run.outcome for run in runs} == {"completed"}
            records = [record for run in runs for record in reader.records(run.key)]
            rows = dict(reader.query("SELECT name, body FROM shared"))
        finally:
            reader.close()
        assert rows["visits:pool:beds"] == "{}"
        begun = sorted(record.at_ms for record in records if record.hop == "start")
        assert len(begun) == len(everyone)
        for first, last in zip(begun, begun[PER_WINDOW:], strict=False):
            assert last - first >= WINDOW_S * 1_000
        asked = [record for record in records if record.kind == "deferred"]
        assert asked, "they had to wait"
        assert all(earlier <= later for earlier, later in pairwise(begun))
    finally:
        world.clear()
