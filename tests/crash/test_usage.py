"""kill -9 around a call that declares what it spends: no usage is lost or counted twice, the unknown is booked."""

import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from fsm import Record, Spent
from fsm.core.used import Used
from fsm.journal.rows import Call
from fsm.journal.search import used
from tests.crash.gates import DECLARED, Meter
from tests.crash.world import KILLED, Peer, World, check_runs

LEASE_S = 1.0
ONE = {"machine": "Meter", "run_id": "one"}
SMALL = Used("small", "", 5, 0, 0, 0, 1, 1)
LARGE = Used("large", "", 60, 40, 10, 0, 2, 34)
PAID = Spent(75, 35, (LARGE, SMALL))

# Where the process dies, and whether the call is then made again, beside what is booked for it.
POINTS = {
    "visit.started": False,
    "call.intended": True,
    "call.executed": True,
    "call.settled": False,
    "visit.returned": False,
    "decision.queued": False,
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.clear()


def read(world: World) -> tuple[list[Record], list[Call], Spent]:
    """The run's records and call rows, and all that it has spent."""
    reader = world.reader()
    try:
        run = reader.run("one")
        records = list(reader.records(run.key))
        total = sum((record.spent for record in records), Spent())
        assert used(reader, run) == total.usage or not run.ended
        return records, reader.calls(run.key), total
    finally:
        reader.close()


@pytest.mark.parametrize("point", POINTS)
def test_killed_around_the_call(point: str, world: World) -> None:
    for attempt in (1, 2):
        (world.folder / f"call-one-{attempt}").touch()
    assert world.run("carry", crash={point: 1}, **ONE) == KILLED, world.errors()
    world.finish("carry", **ONE)
    check_runs(world, Meter, ["one"])
    records, _, total = read(world)
    resumed = next(record for record in records if record.kind == "resumed")
    if POINTS[point]:
        assert resumed.note["unknown_tokens"] == DECLARED
        assert total == PAID + Spent(DECLARED)
    else:
        assert "unknown_tokens" not in resumed.note
        assert total == PAID


def made(world: World, attempts: int) -> bool:
    """Whether so many attempts have begun, and each is in its call."""
    return sum(world.effects().values()) == 2 * attempts


def test_killed_over_and_over_in_the_call_each_loss_is_booked_once(world: World) -> None:
    for losses in (1, 2):
        worker = world.begin("carry", **ONE)
        world.until(partial(made, world, losses))
        worker.kill()
        assert world.ended(worker) == KILLED == -signal.SIGKILL
    (world.folder / "call-one-3").touch()
    world.finish("carry", **ONE)
    check_runs(world, Meter, ["one"])
    records, rows, total = read(world)
    assert [record.note.get("unknown_tokens", 0) for record in records if record.kind == "resumed"] == [DECLARED] * 2
    assert [row.attempt for row in rows if row.status == "unknown"] == [1, 2]
    assert total == PAID + Spent(2 * DECLARED)


def test_a_late_outcome_of_a_call_that_was_booked_adds_what_goes_beyond(world: World) -> None:
    """The owner is stopped in the call, another takes over and books it, and the outcome comes after all."""
    ann, bob = (Peer.begin(world, name, lease_s=LEASE_S, stall_s_max=LEASE_S / 2) for name in ("ann", "bob"))
    ann.order("start", "one", "Meter", {})
    world.until(lambda: made(world, 1))
    ann.pause()
    world.until(lambda: made(world, 2))
    (world.folder / "call-one-1").touch()
    ann.signal(signal.SIGCONT)
    world.until(lambda: [row.kind for row in read(world)[1]].count("outcome") == 1)
    (world.folder / "call-one-2").touch()
    bob.order("finished", "one")
    assert bob.answer("finished", "one")[0] == "completed"
    ann.stop()
    bob.stop()
    check_runs(world, Meter, ["one"])
    records, rows, total = read(world)
    assert records[1].note["unknown_tokens"] == DECLARED
    late = next(row for row in rows if row.kind == "outcome" and row.attempt == 1)
    assert (late.spent.tokens, late.spent.usage) == (0, (LARGE,)), "less than was booked; its money was not"
    assert total == Spent(75 + DECLARED, 35 + 34, (Used("large", "", 120, 80, 20, 0, 4, 68), SMALL))
