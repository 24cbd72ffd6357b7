"""No run without an end in sight: visits end with it, and what comes after has its own time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest
from pydantic import BaseModel

from fsm import (
    AgentFailed,
    Facts,
    Guard,
    Kind,
    Machine,
    MachineSpec,
    Record,
    Retry,
    Runner,
    State,
    TimedOut,
    Verdict,
    allow,
    defer,
    everywhere,
    minutes,
    replay_run,
    unbound,
)
from fsm.core.deadline import time_for
from fsm.define.events import escalated
from fsm.testing import MovableClock, hang
from guards import Deadline
from tests.core.trip import Other, Word, answer, begun
from tests.helpers import running


class Job(BaseModel):
    pass


class Draft(BaseModel):
    pass


class Work(Machine):
    """A hundred seconds for all of it; the way out has its own time."""

    work = State(initial=Job, agent=unbound, timeout_s=60)
    person = State(timeout_s=80)
    sum_up = State(agent=unbound, timeout_s=60)
    done = State(final="completed")
    late = State(final="failed")
    written = work.to(person, on=Draft)
    again = person.to(work, on=Job)
    drop = person.to(late, on=TimedOut)
    miss = work.to(sum_up, on=TimedOut)
    summed = sum_up.to(done, on=Draft)
    fails = sum_up.to(late, on=TimedOut)
    limits = everywhere(Deadline(100), otherwise=sum_up)


def records(runner: Runner) -> list[Record]:
    return list(runner.journal.read.records(runner.journal.read.run("r").key))


def timed_out(record: Record) -> int:
    return TimedOut.model_validate_json(record.body or b"").timeout_ms


async def until(true: Callable[[], Any]) -> None:
    while not true():
        await asyncio.sleep(0.002)


class Agents:
    """Agents that hang until they are told what to return; `deadlines` is what their views said."""

    def __init__(self) -> None:
        self.at_work: list[asyncio.Future[Any]] = []
        self.deadlines: list[int] = []

    async def __call__(self, view: Any) -> Any:
        told = asyncio.get_running_loop().create_future()
        self.deadlines.append(view.deadline_ms)
        self.at_work.append(told)
        return await told

    async def nth(self, count: int) -> "asyncio.Future[Any]":
        await until(lambda: len(self.at_work) == count)
        return self.at_work[-1]


@contextlib.asynccontextmanager
async def work(
    db: Path, clock: MovableClock, agents: Agents, machine: type[Machine] = Work, start: bool = True
) -> AsyncIterator[Runner]:
    states = [state.name for state in machine.spec.states if state.kind == "agent"]
    bound = machine.with_agents(**dict.fromkeys(states, agents))
    async with running(db, bound, clock=clock) as runner:
        if start:
            await runner.start(bound, Job(), run_id="r")
        yield runner


# -- visits ------------------------------------------------------------------------------------------


async def test_a_visit_gets_no_more_time_than_its_run_has_left(db: Path) -> None:
    clock, agents = MovableClock(), Agents()
    began_ms = clock.now_ms()
    async with work(db, clock, agents) as runner:
        (await agents.nth(1)).set_result(Draft())
        await runner.settled("r")
        clock.advance(70)
        await runner.send("r", Job())
        await agents.nth(2)
        assert agents.deadlines == [began_ms + 60_000, began_ms + 100_000]
        clock.advance(30.001)
        await agents.nth(3)
        found = records(runner)
        assert (found[-1].hop, found[-1].event, timed_out(found[-1])) == ("miss", "TimedOut", 30_000)
        assert agents.deadlines[-1] == clock.now_ms() + 60_000, "after the deadline a visit has its own time"
        agents.at_work[-1].set_result(Draft())
        assert (await runner.settled("r")).outcome == "completed"


async def test_so_does_a_wait_that_has_a_timeout(db: Path) -> None:
    clock, agents = MovableClock(), Agents()
    async with work(db, clock, agents) as runner:
        clock.advance(40)
        (await agents.nth(1)).set_result(Draft())
        await runner.settled("r")
        clock.advance(59)
        await asyncio.sleep(0.05)
        assert runner.journal.read.run("r").outcome == "waiting"
        clock.advance(1)
        await runner.finished("r")
        last = records(runner)[-1]
        assert (last.hop, timed_out(last)) == ("drop", 60_000)


async def test_one_that_has_none_waits_on(db: Path) -> None:
    class Patient(Work):
        person = Work.person.but(timeout_s=None)

    clock, agents = MovableClock(), Agents()
    async with work(db, clock, agents, Patient) as runner:
        (await agents.nth(1)).set_result(Draft())
        await runner.settled("r")
        clock.advance(1_000)
        await asyncio.sleep(0.05)
        assert runner.journal.read.run("r").outcome == "waiting"
        record = await runner.send("r", Job())
        assert record is not None
        assert (record.hop, record.state) == ("limits.otherwise", "sum_up")
        (ruling,) = record.rulings
        assert (ruling.verdict.code, ruling.verdict.numbers) == (
            "deadline",
            {"elapsed_ms": 1_000_000, "elapsed_ms_max": 100_000},
        )
        (await agents.nth(2)).set_result(Draft())
        assert (await runner.settled("r")).outcome == "completed", "into a final state it leads at any time"


async def test_a_restart_does_not_begin_it_again(db: Path) -> None:
    clock, agents = MovableClock(), Agents()
    began_ms = clock.now_ms()
    async with work(db, clock, agents):
        await agents.nth(1)
    clock.advance(90)
    async with work(db, clock, agents, start=False) as runner:
        await agents.nth(2)
        assert agents.deadlines[-1] == began_ms + 100_000
        clock.advance(10.001)
        await agents.nth(3)
        assert timed_out(records(runner)[-1]) == 10_000
    clock.advance(1_000)
    async with work(db, clock, agents, start=False):
        await agents.nth(4)
        assert agents.deadlines[-1] == clock.now_ms() + 60_000


async def test_an_attempt_that_a_restart_brings_too_late_is_not_begun(db: Path) -> None:
    clock, begun_again = MovableClock(), False

    async def work(view: Any) -> Draft:
        nonlocal begun_again
        begun_again = view.attempt > 1
        await asyncio.Event().wait()
        raise AssertionError

    async def sum_up(view: Any) -> Draft:
        return Draft()

    machine = Work.with_agents(work=work, sum_up=sum_up)
    async with running(db, machine, clock=clock) as runner:
        await runner.start(machine, Job(), run_id="r")
        await asyncio.sleep(0)
    clock.advance(101)
    async with running(db, machine, clock=clock) as runner:
        assert (await runner.settled("r")).state == "done"
        taken = records(runner)[2]
        assert (taken.hop, timed_out(taken)) == ("miss", 0)
        assert replay_run(runner.journal.read, "r", machine).agreed
    assert not begun_again


async def test_a_wait_goes_on_where_it_was_after_a_restart(db: Path) -> None:
    clock, agents = MovableClock(), Agents()
    clock.advance(1)
    async with work(db, clock, agents) as runner:
        clock.advance(50)
        (await agents.nth(1)).set_result(Draft())
        await runner.settled("r")
    clock.advance(51)
    async with work(db, clock, agents, start=False) as runner:
        await runner.finished("r")
        assert timed_out(records(runner)[-1]) == 50_000


async def test_an_attempt_that_would_begin_after_it_is_not_made(db: Path) -> None:
    class Tried(Work):
        work = Work.work.but(retry=Retry(attempts_max=9, base_s=20, cap_s=20))
        lost = Work.work.to(Work.late, on=AgentFailed)

    clock, agents = MovableClock(), Agents()
    async with work(db, clock, agents, Tried) as runner:
        for attempt, at_work_s in ((1, 30), (2, 55)):
            told = await agents.nth(attempt)
            clock.advance(at_work_s)
            told.set_exception(ConnectionError("lost"))
            if attempt == 1:
                await until(lambda: len(records(runner)) == 2)
                clock.advance(20.001)
        await runner.settled("r")
        last = records(runner)[-1]
    assert last.hop == "lost"
    refusal = next(r for r in last.rulings if r.verdict.decision == "refuse")
    assert refusal.verdict.numbers["elapsed_ms_max"] == 100_000
    assert refusal.verdict.numbers["elapsed_ms"] > 105_000 + 10_000 - 1, "the moment it would begin, not that it ended"


async def test_a_late_attempt_has_what_is_left(db: Path) -> None:
    class Tried(Work):
        work = Work.work.but(retry=Retry(attempts_max=9, base_s=0, cap_s=0))

    clock, agents = MovableClock(), Agents()
    async with work(db, clock, agents, Tried) as runner:
        await agents.nth(1)
        clock.advance(60.001)
        await agents.nth(2)
        clock.advance(40)
        await agents.nth(3)
        assert [(r.hop, timed_out(r)) for r in records(runner)[1:]] == [("work.retry", 60_000), ("miss", 39_999)]


# -- when it began -----------------------------------------------------------------------------------


@attrs.frozen
class Opens(Guard):
    kind: ClassVar[Kind] = "env"
    codes: ClassVar[tuple[str, ...]] = ("closed",)
    opens_ms: int

    def check(self, facts: Facts, /) -> Verdict:
        return allow() if facts.at_ms >= self.opens_ms else defer("closed", self.opens_ms)


class Door(Machine):
    draft = State(initial=Word, agent=answer, guards=[Opens(1_050_000)])
    person = State[Any]()
    done = State[Any](final="completed")
    again = draft.to(draft, on=Word)
    submit = draft.to(person, on=Other)
    end = person.to(done, on=Word)
    limits = everywhere(Deadline(minutes(1)), otherwise=person)


def test_a_run_that_had_to_wait_at_the_door_began_when_it_came() -> None:
    trip = begun(Door)
    assert trip.records[0].kind == "deferred"
    began_ms = trip.now_ms
    trip.now_ms = 1_050_000
    assert trip.own(Word()).hop == "start"
    assert trip.snapshot.started_at_ms == began_ms
    trip.now_ms = began_ms + 59_998
    assert trip.own(Word()).hop == "again"
    assert trip.own(Word()).hop == "limits.otherwise"
    assert trip.records[-1].rulings[-1].verdict.numbers == {"elapsed_ms": 60_000, "elapsed_ms_max": 60_000}


# -- as a number -------------------------------------------------------------------------------------


class Placed(Machine):
    """Elsewhere than everywhere it refuses only there."""

    work = State(initial=Job, agent=hang, timeout_s=60, guards=[Deadline(30)])
    done = State(final="completed")
    finish = work.to(done, on=Draft, guards=[Deadline(20)])


@pytest.mark.parametrize(
    ("at_s", "left_s"), [(0, 60), (40, 60), (40.001, 59.999), (99.999, 0.001), (100, 60), (500, 60)]
)
def test_the_time_of_a_visit(at_s: float, left_s: float) -> None:
    state, at_ms = Work.spec.state["work"], 7_000 + round(at_s * 1000)
    assert time_for(Work.spec, state, at_ms, 7_000) == round(left_s * 1000)
    assert time_for(Placed.spec, Placed.spec.state["work"], at_ms, 7_000) == 60_000


def test_of_several_deadlines_the_next_one_counts() -> None:
    class Several(Work):
        more = everywhere(Deadline(50), Deadline(200))

    state = Several.spec.state["work"]
    assert [time_for(Several.spec, state, at_s * 1000, 0) for at_s in (0, 30, 50, 70, 150, 200)] == [
        *(50_000, 20_000, 50_000, 30_000, 50_000, 60_000),
    ]


def test_an_attempt_that_came_too_late_says_so_where_nobody_takes_it() -> None:
    failed = escalated(TimedOut(timeout_ms=0, attempt=2))
    assert failed is not None
    assert failed.message == "it came too late to begin: the deadline of its run was over"


def test_it_is_a_number_of_milliseconds_in_fingerprint_and_json() -> None:
    class Other60(Work):
        limits = everywhere(Deadline(101), otherwise=Work.sum_up)

    assert Work.spec.changes(Other60.spec)[1:] == ("everywhere.limits.guards.0.params.ms: 100000 -> 101000",)
    loaded = MachineSpec.from_json(Work.spec.to_json())
    assert loaded.deadlines_ms == (100_000,)
    assert loaded.timed
