"""kill -9 at moments nobody chose, with several runs at once in the process that dies."""

import random
from pathlib import Path

import pytest

from tests.crash.world import KILLED, World, check_mill

AT_ONCE = 8
LIFE_S_MAX = 0.35


@pytest.mark.parametrize(
    ("seed", "kills"), [(2_024, 60), *(pytest.param(seed, 500, marks=pytest.mark.slow) for seed in (1, 2, 3))]
)
def test_nothing_is_lost_and_nothing_done_twice(seed: int, kills: int, tmp_path: Path, undisturbed: World):
    rng, world = random.Random(seed), World(tmp_path)
    runs: list[str] = []
    batch: list[str] = []
    killed = 0
    while killed < kills:
        if not batch:
            batch = [f"run-{len(runs) + n}" for n in range(AT_ONCE)]
            runs += batch
        process = world.begin("work", runs=batch)
        process.join(rng.uniform(0, LIFE_S_MAX))
        if process.exitcode is None:
            process.kill()
            killed += 1
        code = world.ended(process)
        assert code in (0, KILLED), world.errors()
        if code == 0:
            batch = []
    world.finish("work", runs=batch)
    found = check_mill(world, runs, undisturbed)
    assert found.repeated <= killed * AT_ONCE * 2, "each run has at most two calls in flight"
    print(
        f"\n{killed} kills: {found.records} records of {len(runs)} runs checked, {found.attempts} attempts lost, "
        f"{found.repeated} of {found.calls} calls repeated, {found.repeated / killed:.2f} a kill"
    )


def test_a_file_whose_creator_died_is_a_good_file(tmp_path: Path, undisturbed: World):
    rng, killed = random.Random(7), 0
    for n in range(12):
        world = World(tmp_path / str(n))
        world.folder.mkdir()
        process = world.begin("work", runs=["one"])
        process.join(rng.uniform(0, 0.06))
        killed += process.exitcode is None
        process.kill()
        world.ended(process)
        world.finish("work", runs=["one"])
        check_mill(world, ["one"], undisturbed)
    assert killed, "none died in time"
