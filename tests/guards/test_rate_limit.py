"""A rate: who comes too early parks, and comes back by itself in the slot that was reserved for it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from fsm import AgentFailed, DefinitionError, Machine, Retry, State, View, everywhere
from fsm.testing import MovableClock
from guards import Bulkhead, RateLimit
from tests.helpers import assert_sound, running


class Brief(BaseModel):
    pass


class Draft(BaseModel):
    pass


async def write(view: View[Any]) -> Draft:
    return Draft()


class Desk(Machine):
    draft = State(initial=Brief, agent=write, guards=[RateLimit("model", 2, window_s=10)])
    done = State[Any](final="completed")
    ok = draft.to(done, on=Draft)


async def rest(at: MovableClock, runner: Any, *run_ids: str) -> None:
    """Time passes until they stand still."""
    ends = asyncio.gather(*(runner.finished(run_id) for run_id in run_ids))
    while not ends.done():
        await asyncio.sleep(0.003)
        at.advance(0.25)
    await ends


def begun(runner: Any, *run_ids: str) -> list[int]:
    """When their first visits began, in seconds."""
    read = runner.journal.read
    records = [record for run_id in run_ids for record in read.records(read.run(run_id).key)]
    return [record.at_ms // 1_000 for record in records if record.hop == "start"]


async def test_a_queue_moves_in_order_and_each_is_asked_twice(db: Path) -> None:
    clock = MovableClock()
    async with running(db, Desk, clock=clock) as runner:
        first_ms = clock.now_ms()
        names = [f"r{n}" for n in range(7)]
        for name in names:
            await runner.start(Desk, Brief(), run_id=name)
        read = runner.journal.read
        assert (await runner.settled("r1")).outcome == "completed"
        (waits,) = read.records(read.run("r2").key)
        slot_ms = first_ms // 1_000 * 1_000 + 11_000
        assert (waits.kind, waits.until_ms, waits.rulings[0].verdict.code) == ("deferred", slot_ms, "rate_limited")
        await rest(clock, runner, *names)
        assert [at - first_ms // 1_000 for at in begun(runner, *names)] == [0, 0, 11, 11, 22, 22, 33]
        kinds = [[record.kind for record in read.records(read.run(name).key)] for name in names]
        assert kinds == [["started", "ended"]] * 2 + [["deferred", "taken", "ended"]] * 5
    assert_sound(db, Desk)


async def test_slots_outlive_the_process_and_who_is_late_gets_another(db: Path) -> None:
    clock = MovableClock()
    async with running(db, Desk, clock=clock) as runner:
        for n in range(4):
            await runner.start(Desk, Brief(), run_id=f"r{n}")
        for n in range(2):
            await runner.settled(f"r{n}")
    clock.advance(60)
    async with running(db, Desk, clock=clock) as runner:
        await runner.start(Desk, Brief(), run_id="new")
        await rest(clock, runner, "r2", "r3", "new")
        moments = sorted(begun(runner, "r2", "r3", "new"))
        assert moments[2] - moments[0] >= 10, "no burst of those whose slots are long past"
    assert_sound(db, Desk)


async def test_every_attempt_of_a_retry_takes_a_slot(db: Path) -> None:
    tries: list[int] = []

    async def fail(view: View[Any]) -> Draft:
        tries.append(clock.now_ms() // 1_000)
        if view.attempt < 4:
            raise ConnectionError("lost")
        return Draft()

    class Again(Machine):
        draft = State(
            initial=Brief,
            agent=fail,
            retry=Retry(attempts_max=4, base_s=0, cap_s=0),
            guards=[RateLimit("model", 2, window_s=10)],
        )
        done = State[Any](final="completed")
        lost = State[Any](final="failed")
        ok = draft.to(done, on=Draft)
        bad = draft.to(lost, on=AgentFailed)

    clock = MovableClock()
    async with running(db, Again, clock=clock) as runner:
        await runner.start(Again, Brief(), run_id="r")
        await rest(clock, runner, "r")
    assert [at - tries[0] for at in tries[:2]] == [0, 0]
    assert tries[2] - tries[0] >= 10 and tries[3] - tries[1] >= 10
    assert_sound(db, Again)


async def test_a_place_is_waited_for_without_a_slot_being_used_up(db: Path) -> None:
    """A bulkhead is full while the rate would allow: nothing is taken of the rate until the visit begins."""
    gate = asyncio.Event()

    async def slow(view: View[Any]) -> Draft:
        await gate.wait()
        return Draft()

    class Both(Machine):
        draft = State(initial=Brief, agent=slow, timeout_s=3_600)
        done = State[Any](final="completed")
        ok = draft.to(done, on=Draft)
        limits = everywhere(Bulkhead("one", 1), RateLimit("model", 2, window_s=10))

    clock = MovableClock()
    async with running(db, Both, clock=clock) as runner:
        for name in ("a", "b"):
            await runner.start(Both, Brief(), run_id=name)
        body = runner.journal.read.query("SELECT body FROM shared WHERE kind = 'rate'")[0][0]
        assert sum(count for _, count in json.loads(body)["taken"]) == 1
        gate.set()
        await rest(clock, runner, "a", "b")
        assert begun(runner, "a") == begun(runner, "b"), "both in the same window, as it allows"
    assert_sound(db, Both)


async def test_further_ahead_than_the_machine_waits_it_is_refused_and_takes_no_slot(db: Path) -> None:
    class Hasty(Desk, defer_s_max=20):
        pass

    clock = MovableClock()
    async with running(db, Hasty, clock=clock) as runner:
        for n in range(6):
            await runner.start(Hasty, Brief(), run_id=f"r{n}")
        read = runner.journal.read
        refused = read.record(read.run("r5").key, 0)
        assert (refused.outcome, refused.rulings[0].verdict.code) == ("stopped", "defer_exhausted")
        await rest(clock, runner, "r2", "r3")
        assert (await runner.settled("r4")).outcome == "stopped"
    assert_sound(db, Hasty)


@pytest.mark.parametrize("window_s", [0, -1, 0.001, True, "60", 1e12])
def test_a_window_is_a_time(window_s: Any) -> None:
    with pytest.raises(DefinitionError, match=r"give seconds, 0\.01 or more"):

        class Wrong(Machine):
            draft = State(initial=Brief, agent=write, guards=[RateLimit("x", 1, window_s=window_s)])
            done = State[Any](final="completed")
            ok = draft.to(done, on=Draft)
