"""One breaker for all runs of a journal: what it refuses, what it hears, and who tries when it may be tried again."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from fsm import (
    AgentFailed,
    CallFailed,
    DefinitionError,
    Machine,
    Record,
    Retry,
    Runner,
    RunnerStopped,
    State,
    TimedOut,
    everywhere,
    unbound,
)
from fsm.core.breaking import BreakerRow
from fsm.define.events import CallRefused
from fsm.testing import MovableClock
from guards import Breaker, LoopCap, Strikes
from tests.helpers import assert_sound, running

COOLDOWN_S = 31.0
"""Longer than any first pause of the breakers here."""
MODEL = Breaker("model", failures_max=3, cooldown_s=30)


class Job(BaseModel):
    pass


class Draft(BaseModel):
    text: str = ""


class Hint(BaseModel):
    pass


class Http(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status_code = status


class Calls(Machine):
    """Depends on what its agent calls."""

    desk = State()
    work = State(initial=Job, agent=unbound, timeout_s=60)
    done = State(final="completed")
    shut = State(final="failed")
    barred = State(final="failed")
    lost = State(final="failed")
    back = desk.to(work, on=Hint)
    finish = work.to(done, on=Draft)
    forbid = work.to(barred, on=CallRefused)
    broken = work.to(lost, on=(AgentFailed, TimedOut))
    limits = everywhere(MODEL, otherwise={"open": shut, "*": barred})


class Depends(Machine):
    """Depends on its agent, whatever that calls."""

    desk = State()
    shut = State(final="failed")
    busy = State(final="failed")
    barred = State(final="failed")
    work = State(
        initial=Job,
        agent=unbound,
        timeout_s=60,
        guards=[MODEL],
        otherwise={"open": shut, "half_open": busy, "*": barred},
    )
    done = State(final="completed")
    lost = State(final="failed")
    back = desk.to(work, on=Job)
    again = work.to(work, on=Hint)
    finish = work.to(done, on=Draft)
    broken = work.to(lost, on=(AgentFailed, TimedOut))


Step = Any
"""What an attempt does: raise it, return it, or call it with its view."""


class House:
    """A journal, a clock that moves, and runs whose attempts do one step each; `steps` tells how many did."""

    def __init__(self, runner: Runner, machine: type[Machine], clock: MovableClock) -> None:
        self.runner, self.machine, self.clock = runner, machine, clock
        self.script: list[Step] = []
        self.steps = 0

    async def agent(self, view: Any) -> Any:
        step = self.script.pop(0)
        self.steps += 1
        if isinstance(step, BaseException):
            raise step
        return await step(view) if callable(step) else step

    async def run(self, run_id: str, *script: Step) -> str:
        """Start it and see it stand still: the state it stands in."""
        await self.start(run_id, *script)
        return (await self.runner.settled(run_id)).state

    async def start(self, run_id: str, *script: Step) -> None:
        self.script += script
        await self.runner.start(self.machine, Job(), run_id=run_id)

    async def trip(self) -> None:
        """Three failures in a row, of three runs."""
        for n in range(3):
            assert self.row().state == "closed"
            await self.run(f"trip-{self.row().generation}-{n}", ConnectionError("down"))
        assert self.row().state == "open"

    def row(self, name: str = "model") -> BreakerRow:
        found = self.runner.journal.read.query("SELECT body FROM shared WHERE name = ?", name)
        return BreakerRow.from_json(found[0][0]) if found else BreakerRow()

    def records(self, run_id: str) -> list[Record]:
        return list(self.runner.journal.read.records(self.runner.journal.read.run(run_id).key))

    def numbers(self, run_id: str, seq: int = -1) -> dict[str, int]:
        return dict(self.records(run_id)[seq].rulings[-1].verdict.numbers)


@contextlib.asynccontextmanager
async def house(db: Path, machine: type[Machine], **options: Any) -> AsyncIterator[House]:
    """Afterwards every record must replay; also once the shared rows are others, and once they are gone."""
    clock, made = MovableClock(), list[House]()

    async def agent(view: Any) -> Any:
        return await made[0].agent(view)

    bound = machine.with_agents(**{state.name: agent for state in machine.spec.states if state.agent is unbound})
    async with running(db, bound, clock=clock, **options) as runner:
        made.append(House(runner, bound, clock))
        yield made[0]
    for change in ("UPDATE shared SET body = 'nonsense'", "DELETE FROM shared"):
        with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as connection:
            connection.execute(change)
        assert_sound(db, bound)


async def until(true: Callable[[], Any]) -> None:
    while not true():
        await asyncio.sleep(0.002)


def refused(record: Record) -> CallRefused:
    return CallRefused.model_validate_json(record.body or b"")


DOWN = ConnectionError("down")


def calling(tool: Callable[..., Any], name: str = "model", *arguments: Any, **options: Any) -> Step:
    async def step(view: Any) -> Draft:
        return Draft(text=await view.call(name, tool, *arguments, **options))

    return step


class Tool:
    """What is called: it answers or fails as it is told now, and counts what reaches it."""

    def __init__(self) -> None:
        self.down: BaseException | None = None
        self.requests = 0
        self.gate: asyncio.Event | None = None

    async def __call__(self, *arguments: Any) -> str:
        self.requests += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.down is not None:
            raise self.down
        return "well"


# -- at the door -------------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", [Calls, Depends])
async def test_what_failed_for_three_runs_is_not_tried_by_the_fourth(machine: type[Machine], db: Path) -> None:
    tool = Tool()
    tool.down = DOWN
    async with house(db, machine) as at:
        assert [await at.run(f"r{n}", calling(tool)) for n in range(3)] == ["lost"] * 3
        assert await at.run("r3") == "shut"
        (record,) = at.records("r3")
        assert (tool.requests, at.steps) == (3, 3)
        assert (record.kind, record.seq) == ("started", 0)
        found = at.numbers("r3")
        assert (found["failures"], found["failures_max"]) == (3, 3)
        assert 15_000 < found["retry_at_ms"] - at.clock.now_ms() <= 30_000


async def test_refused_at_the_door_without_otherwise_it_is_stopped_and_starts_once_it_may_be_tried(db: Path) -> None:
    class Bare(Machine):
        work = State(initial=Job, agent=unbound, guards=[MODEL])
        done = State(final="completed")
        lost = State(final="failed")
        finish = work.to(done, on=Draft)
        broken = work.to(lost, on=AgentFailed)

    async with house(db, Bare) as at:
        await at.trip()
        await at.run("late")
        run = at.runner.journal.read.run("late")
        assert (run.outcome, run.seq, at.steps) == ("stopped", 0, 3)
        at.clock.advance(COOLDOWN_S)
        at.script = [Draft()]
        await at.runner.resume("late")
        assert (await at.runner.settled("late")).state == "done"
        assert at.row() == BreakerRow(generation=3)


async def test_each_code_has_its_way(db: Path) -> None:
    async with house(db, Depends) as at:
        await at.trip()
        assert await at.run("open") == "shut"
        at.clock.advance(COOLDOWN_S)
        gate = asyncio.Event()
        at.script = [lambda view: gate.wait()]
        await at.start("probe")
        await until(lambda: at.steps == 4)
        assert await at.run("half open") == "busy"
        assert at.numbers("half open")["until_ms"] == at.clock.now_ms() + 60_000 + 10_000, "its time, and a lease"
        with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as connection:
            connection.execute("UPDATE shared SET body = 'nonsense'")
        assert await at.run("unreadable") == "barred", "it fails closed"
        assert at.records("unreadable")[0].rulings[0].verdict.code == "unreadable"
        gate.set()
        await at.runner.settled("probe")


async def test_only_what_depends_on_it_is_refused(db: Path) -> None:
    """A state without the guard is entered, and other names are called, as ever."""
    async with house(db, Depends) as at:
        await at.trip()

    class Other(Calls):
        limits = everywhere(Breaker("search"))

    tool = Tool()
    async with house(db, Other) as at:
        assert await at.run("other", calling(tool)) == "done"


# -- calls -------------------------------------------------------------------------------------------


async def test_a_call_is_refused_in_the_midst_of_a_visit_by_what_other_runs_have_found_meanwhile(db: Path) -> None:
    tool, gate = Tool(), asyncio.Event()

    async def patient(view: Any) -> Draft:
        await view.call("model", tool)
        await gate.wait()
        with contextlib.suppress(Exception):
            await view.call("model", tool)
        raise AssertionError("unreachable: a refused call ends the visit")

    async with house(db, Calls) as at:
        await at.start("patient", patient)
        await until(lambda: tool.requests == 1)
        for n in range(3):
            await at.run(f"r{n}", calling(_failing))
        gate.set()
        assert (await at.runner.settled("patient")).state == "barred"
        refusal = refused(at.records("patient")[-1])
        assert (refusal.call, refusal.code, tool.requests) == ("model", "open", 1)
        assert refusal.numbers["failures"] == refusal.numbers["failures_max"] == 3
        assert refusal.numbers["retry_at_ms"] > at.clock.now_ms()


async def _failing() -> None:
    raise DOWN


async def test_calls_count_in_the_midst_of_a_visit_too(db: Path) -> None:
    tool = Tool()
    tool.down = DOWN

    async def stubborn(view: Any) -> Draft:
        while True:
            with contextlib.suppress(CallFailed):
                await view.call("model", tool)

    async with house(db, Calls) as at:
        assert await at.run("r", stubborn) == "barred"
        assert tool.requests == 3


async def test_a_guard_of_the_machine_lets_runs_come_and_only_the_call_is_the_probe(db: Path) -> None:
    """Coming somewhere is no attempt: who never calls takes no probe from those who do."""

    class Late(Machine):
        plan = State(initial=Job, agent=unbound)
        work = State(agent=unbound)
        done = State(final="completed")
        lost = State(final="failed")
        planned = plan.to(work, on=Hint)
        finish = work.to(done, on=Draft)
        broken = work.to(lost, on=AgentFailed)
        limits = everywhere(MODEL)

    tool = Tool()
    async with house(db, Late) as at:
        for n in range(3):
            await at.run(f"r{n}", Hint(), calling(_failing))
        at.clock.advance(COOLDOWN_S)
        gate = asyncio.Event()

        async def plan(view: Any) -> Hint:
            await gate.wait()
            return Hint()

        await at.start("plans", plan)
        await until(lambda: at.steps == 7)
        assert at.row().state == "open", "nobody tries it"
        assert await at.run("calls", Hint(), calling(tool)) == "done"
        assert at.row() == BreakerRow(generation=3)
        at.script = [calling(tool)]
        gate.set()
        assert (await at.runner.settled("plans")).state == "done"


async def test_one_call_of_many_is_the_probe(db: Path) -> None:
    tool = Tool()
    async with house(db, Calls) as at:
        for n in range(3):
            await at.run(f"r{n}", calling(_failing))
        at.clock.advance(COOLDOWN_S)
        tool.gate, here, both = asyncio.Event(), list[int](), asyncio.Event()

        async def together(view: Any) -> Draft:
            here.append(1)
            await both.wait()
            return Draft(text=await view.call("model", tool))

        for n in range(20):
            await at.start(f"t{n}", together)
        await until(lambda: len(here) == 20)
        both.set()
        await until(lambda: sum(run.state == "barred" for run in at.runner.journal.read.runs()) == 19)
        assert tool.requests == 1
        tool.gate.set()
        states = [(await at.runner.settled(f"t{n}")).state for n in range(20)]
        assert (states.count("done"), states.count("barred")) == (1, 19)
        assert {refused(at.records(f"t{n}")[-1]).code for n in range(20) if states[n] == "barred"} == {"half_open"}


async def test_a_call_given_up_within_its_visit_gives_the_probe_back(db: Path) -> None:
    tool = Tool()

    async def impatient(view: Any) -> Draft:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(view.call("model", tool), 0.02)
        return Draft()

    async with house(db, Calls) as at:
        for n in range(3):
            await at.run(f"r{n}", calling(_failing))
        at.clock.advance(COOLDOWN_S)
        tool.gate = asyncio.Event()
        assert await at.run("impatient", impatient) == "done"
        assert (at.row().state, at.row().trips, at.row().retry_at_ms) == ("open", 1, at.clock.now_ms())
        tool.gate = None
        assert await at.run("next", calling(tool)) == "done"


async def test_a_call_whose_visit_is_ended_from_outside_gives_the_probe_back(db: Path) -> None:
    tool = Tool()
    async with house(db, Calls) as at:
        for n in range(3):
            await at.run(f"r{n}", calling(_failing))
        at.clock.advance(COOLDOWN_S)
        tool.gate = asyncio.Event()
        await at.start("cancelled", calling(tool))
        await until(lambda: tool.requests == 1)
        assert at.row().state == "half_open"
        await at.runner.cancel("cancelled")
        assert (at.row().state, at.row().trips, at.row().retry_at_ms) == ("open", 1, at.clock.now_ms())


async def test_a_call_cut_off_by_a_stop_gives_the_probe_back_and_is_made_again_as_the_next(db: Path) -> None:
    tool, clock = Tool(), MovableClock()
    tool.gate = asyncio.Event()
    bound = Calls.with_agents(work=calling(tool))
    async with running(db, bound, clock=clock) as runner:
        _force(db, BreakerRow(state="open", generation=1, failures=3, trips=1, retry_at_ms=clock.now_ms()))
        with contextlib.suppress(RunnerStopped):
            await runner.start(bound, Job(), run_id="cut")
            await until(lambda: tool.requests == 1)
    tool.gate = None
    async with running(db, bound, clock=clock) as runner:
        assert (await runner.settled("cut")).state == "done"
        assert tool.requests == 2


# -- the probe of a state ----------------------------------------------------------------------------


async def test_a_visit_that_is_the_probe_calls_without_another_permit(db: Path) -> None:
    tool = Tool()

    async def twice(view: Any) -> Draft:
        await view.call("model", tool)
        assert at.row().state == "closed", "the first call told"
        return Draft(text=await view.call("model", tool))

    async with house(db, Depends) as at:
        await at.trip()
        at.clock.advance(COOLDOWN_S)
        assert await at.run("probe", twice) == "done"
        assert (tool.requests, at.row()) == (2, BreakerRow(generation=3))


async def test_its_first_failing_call_ends_the_probe_and_the_second_is_refused(db: Path) -> None:
    tool = Tool()
    tool.down = DOWN

    async def twice(view: Any) -> Draft:
        for _ in range(2):
            with contextlib.suppress(CallFailed):
                await view.call("model", tool)
        return Draft()

    async with house(db, Depends) as at:
        await at.trip()
        at.clock.advance(COOLDOWN_S)
        assert await at.run("probe", twice) == "lost"
        assert (tool.requests, at.row().state, at.row().trips, at.row().failures) == (1, "open", 2, 4)
        assert "CallRefused" in str(at.records("probe")[-1].note)


async def _nothing(view: Any) -> None:
    return None


async def _too_many_strikes(view: Any) -> Draft:
    while True:
        with contextlib.suppress(CallFailed):
            await view.call("search", _failing)


@pytest.mark.parametrize(
    ("step", "state", "trips"),
    [
        (Draft(), "closed", 0),
        (DOWN, "open", 2),
        (Http(503), "open", 2),
        (Http(429), "open", 2),
        (Http(404), "given back", 1),
        (_nothing, "given back", 1),
        (_too_many_strikes, "given back", 1),
        (calling(_failing, "search"), "open", 2),
    ],
    ids=["payload", "error", "503", "429", "404", "invalid", "refused call", "another call's failure"],
)
async def test_what_comes_of_a_probe(step: Step, state: str, trips: int, db: Path) -> None:
    class Struck(Depends):
        limits = everywhere(Strikes("search", 2))

    async with house(db, Struck) as at:
        await at.trip()
        at.clock.advance(COOLDOWN_S)
        await at.run("probe", step)
        row = at.row()
        assert (row.state, row.trips) == (state.replace("given back", "open"), trips)
        assert (row.retry_at_ms == at.clock.now_ms()) == (state == "given back")
        assert (await at.run("next", Draft())) == ("shut" if trips == 2 else "done")


@pytest.mark.parametrize("event", ["cancel", Hint()], ids=["cancelled", "event"])
async def test_a_probe_ended_from_outside_is_given_back(event: Any, db: Path) -> None:
    """An event that leads into the same state makes another visit, which is the next probe."""
    async with house(db, Depends) as at:
        await at.trip()
        at.clock.advance(COOLDOWN_S)
        gate = asyncio.Event()
        await at.start("probe", lambda view: gate.wait(), lambda view: gate.wait())
        await until(lambda: at.steps == 4)
        before = at.row()
        assert before.state == "half_open"
        if event == "cancel":
            await at.runner.cancel("probe")
            assert (at.row().state, at.row().trips, at.row().retry_at_ms) == ("open", 1, at.clock.now_ms())
            assert await at.run("next", at.script.pop() and Draft()) == "done"
        else:
            assert (await at.runner.send("probe", event)).hop == "again"  # type: ignore[union-attr]
            assert (at.row().state, at.row().generation) == ("half_open", before.generation + 2)
            gate.set()
            await at.runner.settled("probe")


async def test_an_event_from_outside_that_leaves_the_visit_alone_leaves_its_probe_alone(db: Path) -> None:
    async with house(db, Depends) as at:
        await at.trip()
        at.clock.advance(COOLDOWN_S)
        gate = asyncio.Event()

        async def patient(view: Any) -> Draft:
            await gate.wait()
            return Draft()

        await at.start("probe", patient)
        await until(lambda: at.steps == 4)
        before = at.row()
        record = await at.runner.send("probe", Job())
        assert record is not None and record.kind == "unhandled"
        assert at.row() == before
        gate.set()
        assert (await at.runner.settled("probe")).state == "done"
        assert at.row().state == "closed"


async def test_a_probe_that_has_had_its_time_has_failed(db: Path) -> None:
    async with house(db, Depends) as at:
        await at.trip()
        at.clock.advance(COOLDOWN_S)
        await at.start("probe", lambda view: asyncio.Event().wait())
        await until(lambda: at.steps == 4)
        at.clock.advance(60.001)
        assert (await at.runner.settled("probe")).state == "lost"
        assert (at.row().state, at.row().trips) == ("open", 2)


async def test_a_call_that_hangs_to_the_end_has_failed_and_what_it_says_later_is_late(db: Path) -> None:
    answered = asyncio.Event()

    async def slow() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        answered.set()
        return "well"

    async with house(db, Calls) as at:
        for n in range(3):
            await at.run(f"r{n}", calling(_failing))
        at.clock.advance(COOLDOWN_S)
        await at.start("probe", calling(slow))
        await until(lambda: at.row().state == "half_open")
        at.clock.advance(60.001)
        assert (await at.runner.settled("probe")).state == "lost"
        after = at.row()
        assert (after.state, after.trips) == ("open", 2)
        await answered.wait()
        await until(lambda: len(at.runner.journal.read.calls(at.runner.journal.read.run("probe").key)) == 2)
        assert at.row() == after


async def test_what_hangs_is_told_even_if_an_event_from_outside_is_decided_first(db: Path) -> None:
    async with house(db, Calls) as at:
        await at.start("r", calling(asyncio.Event().wait))
        live = await _live(at, "r")
        await until(live.unsettled)
        live.unanswered()
        await at.runner.send("r", Hint())
        assert at.row().failures == 1
        await at.runner.send("r", Hint())
        assert at.row().failures == 1, "and once"
        await at.runner.cancel("r")


async def _live(at: House, run_id: str) -> Any:
    return at.runner._driver.lives[at.runner.journal.read.run(run_id).key]


async def test_a_silent_probe_has_failed_when_its_lease_ends(db: Path) -> None:
    """The runner's own lease comes on top of the visit's time: so long may a takeover take."""
    async with house(db, Depends) as at:
        await at.trip()
        at.clock.advance(COOLDOWN_S)
        gate = asyncio.Event()
        await at.start("probe", lambda view: gate.wait())
        await until(lambda: at.steps == 4)
        at.clock.jump_ms(70_000 - 1)
        assert await at.run("before") == "busy"
        at.clock.jump_ms(1)
        assert await at.run("after") == "shut"
        assert at.numbers("after")["trips"] == 2
        await at.runner.cancel("probe")
        at.clock.advance(61)
        assert await at.run("next", Draft()) == "done"


async def test_a_result_of_an_older_generation_changes_nothing(db: Path) -> None:
    tool = Tool()
    tool.gate = gate = asyncio.Event()
    async with house(db, Calls) as at:
        await at.start("old", calling(tool))
        await until(lambda: tool.requests == 1)
        for n in range(3):
            await at.run(f"r{n}", calling(_failing))
        after = at.row()
        gate.set()
        assert (await at.runner.settled("old")).state == "done", "the run has its answer"
        assert at.row() == after, "and the breaker stays open"


# -- retries and fallbacks ---------------------------------------------------------------------------


class Retried(Machine):
    work = State(
        initial=Job,
        agent=unbound,
        timeout_s=5,
        guards=[MODEL],
        retry=Retry(attempts_max=9, base_s=100, cap_s=100),
    )
    done = State(final="completed")
    lost = State(final="failed")
    finish = work.to(done, on=Draft)
    broken = work.to(lost, on=(AgentFailed, TimedOut))


async def test_a_breaker_hears_of_an_attempt_before_it_is_asked_for_the_next(db: Path) -> None:
    async with house(db, Retried) as at:
        await at.start("r", *[ConnectionError("down") for _ in range(3)])
        for n in range(1, 3):
            await until(lambda: at.steps == n and len(at.records("r")) == n + 1)  # noqa: B023 - at once
            at.clock.advance(101)
        assert (await at.runner.settled("r")).state == "lost"
        found = at.records("r")
        assert [record.kind for record in found] == ["started", "retried", "retried", "ended"]
        refusal = next(ruling for ruling in found[-1].rulings if ruling.verdict.decision == "refuse")
        assert (refusal.verdict.code, refusal.verdict.numbers["failures"]) == ("open", 3)


async def test_a_retry_that_is_the_probe_has_its_time_from_when_it_begins(db: Path) -> None:
    """Its pause may be longer than the time of a visit."""
    async with house(db, Retried) as at:
        gate = asyncio.Event()

        async def waits(view: Any) -> Draft:
            await gate.wait()
            raise DOWN

        await at.start("r", waits, Draft())
        await until(lambda: at.steps == 1)
        _force(db, BreakerRow(state="open", generation=4, failures=3, trips=1, retry_at_ms=at.clock.now_ms()))
        gate.set()
        await until(lambda: len(at.records("r")) == 2)
        again_ms = at.records("r")[-1].until_ms
        assert again_ms is not None
        assert at.row().until_ms == again_ms + 5_000 + 10_000
        at.clock.jump_ms(again_ms + 5_000 + 10_000 - 1 - at.clock.now_ms())
        at.clock.steady_s += 101
        assert (await at.runner.settled("r")).state == "done"
        assert at.row() == BreakerRow(generation=6)


def _force(db: Path, row: BreakerRow, name: str = "model") -> None:
    with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as connection:
        connection.execute(
            "INSERT INTO shared VALUES ('breaker', ?, ?, 0) ON CONFLICT DO UPDATE SET body = excluded.body",
            (name, row.to_json()),
        )


async def test_an_agent_behind_an_open_breaker_gives_way_to_its_fallback(db: Path) -> None:
    class Backed(Machine):
        work = State(initial=Job, agent=unbound, fallback=unbound, guards=[MODEL])
        done = State(final="completed")
        lost = State(final="failed")
        finish = work.to(done, on=Draft)
        broken = work.to(lost, on=AgentFailed)

    async with house(db, Backed) as at:
        for n in range(3):
            assert await at.run(f"r{n}", DOWN, Draft(text="cheaper")) == "done"
        assert (await at.run("r3", Draft(text="cheaper")), at.steps) == ("done", 7)
        assert [record.state for record in at.records("r3")] == ["work.fallback", "done"]


async def test_a_last_retry_is_asked_for_twice_and_replays(db: Path) -> None:
    """The retry is refused by its own cap; then the breaker is asked again, for a move into another state."""

    class Last(Machine):
        work = State(initial=Job, agent=unbound, timeout_s=5, guards=[MODEL], retry=Retry(attempts_max=2, base_s=9))
        other = State(agent=unbound, timeout_s=99, guards=[MODEL])
        done = State(final="completed")
        lost = State(final="failed")
        finish = work.to(done, on=Draft)
        on = other.to(done, on=Draft)
        broken = work.to(other, on=AgentFailed)
        fell = other.to(lost, on=AgentFailed)
        limits = everywhere(MODEL, LoopCap(9, scope="run"))

    async with house(db, Last) as at:
        gate = asyncio.Event()

        async def waits(view: Any) -> Draft:
            await gate.wait()
            raise DOWN

        await at.start("r", DOWN, waits, Draft())
        await until(lambda: len(at.records("r")) == 2)
        at.clock.advance(10)
        await until(lambda: at.steps == 2)
        _force(db, BreakerRow(state="open", generation=4, failures=3, trips=1, retry_at_ms=at.clock.now_ms()))
        gate.set()
        assert (await at.runner.settled("r")).state == "done"
        assert at.row() == BreakerRow(generation=6)


# -- what a machine may say --------------------------------------------------------------------------


async def test_several_breakers_at_one_place_are_told_apart(db: Path) -> None:
    class Both(Machine):
        work = State(initial=Job, agent=unbound, guards=[Breaker("search"), MODEL, Breaker("fetch")])
        done = State(final="completed")
        lost = State(final="failed")
        finish = work.to(done, on=Draft)
        broken = work.to(lost, on=AgentFailed)

    async with house(db, Both) as at:
        at.script = [DOWN, DOWN]
        assert [await at.run(f"r{n}") for n in range(2)] == ["lost", "lost"]
        assert [at.row(name).failures for name in ("search", "model", "fetch")] == [2, 2, 2]
        assert await at.run("r2", DOWN) == "lost"
        await at.run("r3")
        codes = [ruling.verdict.code for ruling in at.records("r3")[0].rulings]
        assert codes == ["", "open", ""]
        at.clock.advance(COOLDOWN_S)
        assert await at.run("r4", Draft()) == "done"
        assert {at.row(name).failures for name in ("search", "model", "fetch")} == {0}


async def test_one_that_only_looks_at_the_rate_has_no_limit_in_a_row(db: Path) -> None:
    class Rate(Calls):
        limits = everywhere(Breaker("model", failures_max=None, rate_pct=50, volume_min=10))

    async with house(db, Rate) as at:
        for n in range(9):
            assert await at.run(f"r{n}", calling(_failing)) == "lost"
        assert at.row().state == "closed"
        await at.run("r9", calling(_failing))
        assert (at.row().state, at.row().volume) == ("open", (10, 10))


async def test_who_merely_waits_is_no_probe(db: Path) -> None:
    class Waits(Machine):
        desk = State(initial=Job, guards=[MODEL])
        work = State(agent=unbound, guards=[MODEL])
        done = State(final="completed")
        lost = State(final="failed")
        begin = desk.to(work, on=Hint)
        finish = work.to(done, on=Draft)
        broken = work.to(lost, on=AgentFailed)

    async with house(db, Waits) as at:
        _force(db, BreakerRow(state="open", generation=1, failures=3, trips=1, retry_at_ms=at.clock.now_ms()))
        assert await at.run("r") == "desk"
        assert at.row().state == "open"
        at.script = [Draft()]
        await at.runner.send("r", Hint())
        assert (await at.runner.settled("r")).state == "done"
        assert at.row() == BreakerRow(generation=3)


def test_two_of_one_name_with_other_parameters_in_a_machine_are_a_mistake() -> None:
    with pytest.raises(DefinitionError) as raised:

        class Two(Calls):
            work = Calls.work.but(guards=[Breaker("model", failures_max=9, rate_pct=50), Breaker("search")])

    (mistake,) = raised.value.mistakes
    assert mistake.what == (
        "Breaker('model') is the one of work with other parameters: failures_max 3, there 9, rate_pct None, there 50"
    )
    assert "put the same guard at each place" in mistake.instead


def test_one_at_several_places_is_none() -> None:
    class Same(Calls):
        work = Calls.work.but(guards=[MODEL])
        limits = everywhere(Breaker("model", failures_max=3, cooldown_s=30), Breaker("search"))

    assert len(Same.spec.guards) == 3
