"""kill -9 at every named crash point, again in the restart, and then on to the end."""

from pathlib import Path

import pytest

from fsm.crash import POINTS
from tests.crash.world import KILLED, World, check_mill

RUN = ["one"]

# The arrivals at which a process dies: in the first, in its restart, in the one after that.
EARLY = dict.fromkeys(POINTS, (1, 1, 1)) | {"resume.committed": (0, 1, 1)}
LATE = {
    "visit.started": (9, 2, 1),
    "visit.returned": (9, 2, 1),
    "call.intended": (8, 2, 3),
    "call.executed": (8, 2, 3),
    "call.settled": (8, 2, 3),
    "decision.queued": (9, 2, 2),
    "writer.begun": (25, 7, 9),
    "writer.written": (25, 7, 9),
    "writer.committed": (25, 7, 9),
    "decision.adopted": (9, 2, 2),
}
# How many calls are in flight there; at the other points it depends on what else is going on.
IN_FLIGHT = {"visit.started": 0, "visit.returned": 0, "call.intended": 0, "call.executed": 1, "call.settled": 0}
PLANS = [(point, plan) for plans in (EARLY, LATE) for point, plan in plans.items()]


def test_an_undisturbed_run_passes_its_own_check(undisturbed: World):
    found = check_mill(undisturbed, ["calm"], undisturbed)
    assert found.repeated == found.attempts == 0


@pytest.mark.parametrize(("point", "plan"), PLANS, ids=lambda value: value if isinstance(value, str) else str(value[0]))
def test_killed_there_a_run_goes_on_as_if_nothing_had_been(
    point: str, plan: tuple[int, ...], tmp_path: Path, undisturbed: World
):
    world = World(tmp_path)
    for boot, passes in enumerate(plan):
        crash = {point: passes} if passes else {"decision.adopted": 3}
        assert world.run("work", runs=RUN, boot=f"boot-{boot}", crash=crash) == KILLED, world.errors()
    world.finish("work", runs=RUN, boot="the last")
    found = check_mill(world, RUN, undisturbed)
    if point in IN_FLIGHT:
        assert found.attempts == len(plan)
        assert found.repeated == len(plan) * IN_FLIGHT[point]
    else:
        assert found.repeated <= len(plan)


@pytest.mark.slow
@pytest.mark.parametrize("point", sorted(set(POINTS) - {"resume.committed"}))
def test_killed_at_each_single_arrival(point: str, tmp_path: Path, undisturbed: World):
    """One world for each arrival at this point, until a run passes without reaching it so often."""
    deaths = repeated = 0
    for passes in range(1, 1_000):
        world = World(tmp_path / str(passes))
        world.folder.mkdir()
        code = world.run("work", runs=RUN, crash={point: passes})
        if code == 0:
            break
        assert code == KILLED, world.errors()
        world.finish("work", runs=RUN)
        deaths, repeated = deaths + 1, repeated + check_mill(world, RUN, undisturbed).repeated
    print(f"\n{point}: {deaths} deaths, {repeated} calls repeated")
    assert deaths > len(RUN)
    assert repeated <= 2 * deaths
