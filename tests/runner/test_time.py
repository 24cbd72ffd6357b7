"""Deadlines, waits and deferrals, by a clock that is moved by hand."""

import asyncio
from pathlib import Path
from typing import Any, ClassVar

import pytest
from attrs import field, frozen
from pydantic import BaseModel

from fsm import (
    AgentFailed,
    Cancelled,
    Facts,
    Guard,
    Kind,
    Machine,
    Record,
    Run,
    Runner,
    State,
    TimedOut,
    Verdict,
    allow,
    days,
    defer,
    hours,
    unbound,
)
from fsm.journal.reader import Timer
from fsm.testing import MovableClock, hang, scripted
from tests.helpers import Gated, running

DAY = 86_400.0


class Job(BaseModel):
    task: str = ""


class Draft(BaseModel):
    text: str = ""


class Approval(BaseModel):
    by: str = ""


class Hint(BaseModel):
    text: str = ""


@frozen
class Opens(Guard):
    """Something outside the run that is not ready before a moment."""

    kind: ClassVar[Kind] = "env"
    codes: ClassVar[tuple[str, ...]] = ("closed",)

    at_ms: int
    step_ms: int = field(default=0, kw_only=True)

    def check(self, facts: Facts, /) -> Verdict:
        if facts.at_ms >= self.at_ms:
            return allow()
        until_ms = facts.at_ms + self.step_ms if self.step_ms else self.at_ms
        return defer("closed", until_ms, waits_ms=self.at_ms - facts.at_ms)


BEGAN_MS = MovableClock().wall_ms
SOON_MS = BEGAN_MS + 60_000


class Desk(Machine):
    draft = State(initial=Job, agent=unbound, timeout_s=30)
    person = State(timeout_s=days(2))
    done = State(final="completed")
    late = State(final="failed")
    dropped = State(final="failed")
    written = draft.to(person, on=Draft)
    miss = draft.to(late, on=TimedOut)
    accept = person.to(done, on=Approval)
    drop = person.to(dropped, on=TimedOut)


class Gate(Machine, defers_max=3, defer_s_max=3_600):
    """Its agent's draft goes on when the guard says so."""

    draft = State(initial=Job, agent=unbound, timeout_s=30)
    person = State()
    done = State(final="completed")
    dropped = State(final="failed")
    written = draft.to(done, on=Draft, guards=[Opens(SOON_MS)], otherwise=dropped)
    hurry = draft.to(person, on=Approval)
    broken = draft.to(dropped, on=AgentFailed)
    close = person.to(done, on=Approval)


async def records(runner: Runner, run_id: str = "r") -> list[Record]:
    return list(runner.journal.read.records(runner.journal.read.run(run_id).key))


async def kinds(runner: Runner, run_id: str = "r") -> list[str]:
    return [record.kind for record in await records(runner, run_id)]


async def until(runner: Runner, seq: int, run_id: str = "r") -> Run:
    """The run once it has record `seq`; a test that waits in vain is ended by its own bound."""
    while (run := runner.journal.read.run(run_id)).seq < seq:
        await asyncio.sleep(0.005)
    return run


async def unmoved(runner: Runner, seq: int, run_id: str = "r") -> None:
    """Several looks into the journal later the run still ends with record `seq`."""
    await asyncio.sleep(0.1)
    assert runner.journal.read.run(run_id).seq == seq


# -- deadlines of agents -----------------------------------------------------------------------------


async def test_an_agents_time_is_up_exactly_at_its_deadline(db: Path) -> None:
    clock, deadlines = MovableClock(), []

    async def agent(view: Any) -> Any:
        deadlines.append(view.deadline_ms)
        return await hang(view)

    machine = Desk.with_agents(draft=agent)
    async with running(db, machine, clock=clock) as runner:
        await runner.start(machine, Job(), run_id="r")
        clock.advance(29.9)
        await unmoved(runner, 0)
        clock.advance(0.1)
        run = await runner.settled("r")
        last = (await records(runner))[-1]
    assert (run.state, deadlines) == ("late", [BEGAN_MS + 30_000])
    assert (last.event, last.body, last.at_ms) == ("TimedOut", b'{"attempt":1,"timeout_ms":30000}', BEGAN_MS + 30_000)


async def test_each_attempt_has_the_whole_time(db: Path) -> None:
    """A resumed attempt begins its time anew; what the last one used of it does not count."""
    clock = MovableClock()
    machine = Desk.with_agents(draft=hang)
    async with running(db, machine, clock=clock) as runner:
        await runner.start(machine, Job(), run_id="r")
        clock.advance(29)
        await unmoved(runner, 0)
    async with running(db, machine, clock=clock) as runner:
        await until(runner, 1)
        clock.advance(29)
        await unmoved(runner, 1)
        clock.advance(1)
        assert (await runner.settled("r")).state == "late"
        assert b'"attempt":2' in ((await records(runner))[-1].body or b"")


async def test_each_of_many_visits_has_its_own_deadline(db: Path) -> None:
    """One entry in the watch serves a run for all its visits: an early answer must not leave a deadline behind."""
    clock = MovableClock()

    async def agent(view: Any) -> Any:
        return Draft() if view.visit < 4 else await hang(view)

    class Round(Machine):
        draft = State(initial=Job, agent=agent, timeout_s=30)
        late = State(final="failed")
        again = draft.to(draft, on=Draft)
        miss = draft.to(late, on=TimedOut)

    async with running(db, Round, clock=clock) as runner:
        await runner.start(Round, Job(), run_id="r")
        await until(runner, 3)
        clock.advance(29)
        await unmoved(runner, 3)
        clock.advance(1)
        assert (await runner.settled("r")).seq == 4


async def test_the_time_of_a_visit_begins_when_it_gets_its_slot(db: Path) -> None:
    clock, go = MovableClock(), asyncio.Event()

    async def agent(view: Any) -> Draft:
        await go.wait()
        return Draft()

    machine = Desk.with_agents(draft=agent)
    async with running(db, machine, clock=clock, visits_max=1) as runner:
        for run_id in ("first", "second"):
            await runner.start(machine, Job(), run_id=run_id)
        clock.advance(29)
        await unmoved(runner, 0, "second")
        go.set()
        for run_id in ("first", "second"):
            assert (await runner.settled(run_id)).state == "person"


async def test_the_wall_clock_does_not_move_an_agents_deadline(db: Path) -> None:
    clock = MovableClock()
    machine = Desk.with_agents(draft=hang)
    async with running(db, machine, clock=clock) as runner:
        await runner.start(machine, Job(), run_id="r")
        clock.jump_ms(10 * 86_400_000)
        await unmoved(runner, 0)
        clock.advance(30)
        assert (await runner.settled("r")).state == "late"


# -- waits -------------------------------------------------------------------------------------------


async def test_a_wait_ends_by_its_timeout(db: Path) -> None:
    clock = MovableClock()
    machine = Desk.with_agents(draft=scripted(Draft()))
    async with running(db, machine, clock=clock) as runner:
        await runner.settled((await runner.start(machine, Job(), run_id="r")).run_id)
        clock.advance(2 * DAY - 1)
        await unmoved(runner, 1)
        clock.advance(1)
        run = await runner.finished("r")
        assert (run.state, (await records(runner))[-1].own) == ("dropped", True)


async def test_a_wait_goes_on_while_nobody_runs(db: Path) -> None:
    """The timeout is wall clock since the state was entered, a row in the journal: no process has to sit there."""
    clock = MovableClock()
    machine = Desk.with_agents(draft=scripted(Draft()))
    async with running(db, machine, clock=clock) as runner:
        for run_id in ("r", "other"):
            await runner.settled((await runner.start(machine, Job(), run_id=run_id)).run_id)
    clock.advance(DAY)
    async with running(db, machine, clock=clock) as runner:
        await unmoved(runner, 1)
        await runner.send("other", Approval())
    clock.advance(DAY)
    async with running(db, machine, clock=clock) as runner:
        run = await runner.finished("r")
        assert (run.state, await kinds(runner)) == ("dropped", ["started", "taken", "ended"])
        assert (await runner.settled("other")).state == "done"
        clock.advance(3 * DAY)
        await unmoved(runner, 2, "other")


async def test_a_runner_without_the_machine_leaves_its_timers_alone(db: Path) -> None:
    clock = MovableClock()
    machine = Desk.with_agents(draft=scripted(Draft()))
    async with running(db, machine, clock=clock) as runner:
        await runner.settled((await runner.start(machine, Job(), run_id="r")).run_id)
    clock.advance(3 * DAY)
    async with running(db, clock=clock) as runner:
        await unmoved(runner, 1)
    async with running(db, machine, clock=clock) as runner:
        assert (await runner.finished("r")).state == "dropped"


async def test_entering_the_state_again_begins_a_new_wait(db: Path) -> None:
    clock = MovableClock()

    class Patient(Machine):
        wait = State(initial=Job, timeout_s=hours(1))
        late = State(final="failed")
        again = wait.to(wait, on=Hint)
        miss = wait.to(late, on=TimedOut)

    async with running(db, Patient, clock=clock) as runner:
        await runner.start(Patient, Job(), run_id="r")
        clock.advance(3_000)
        await runner.send("r", Hint())
        clock.advance(3_000)
        await unmoved(runner, 1)
        clock.advance(600)
        assert (await runner.finished("r")).state == "late"


async def test_an_event_nothing_takes_does_not_prolong_the_wait(db: Path) -> None:
    clock = MovableClock()
    machine = Desk.with_agents(draft=scripted(Draft()))
    async with running(db, machine, clock=clock) as runner:
        await runner.settled((await runner.start(machine, Job(), run_id="r")).run_id)
        clock.advance(DAY)
        record = await runner.send("r", Draft())
        assert record is not None and record.kind == "unhandled"
        clock.advance(DAY)
        assert (await runner.finished("r")).state == "dropped"


async def test_the_wall_clock_set_back_never_sets_a_record_back(db: Path) -> None:
    clock = MovableClock()
    machine = Desk.with_agents(draft=scripted(Draft()))
    async with running(db, machine, clock=clock) as runner:
        await runner.settled((await runner.start(machine, Job(), run_id="r")).run_id)
        clock.jump_ms(-3_600_000)
        await runner.send("r", Draft())
    async with running(db, machine, clock=clock) as runner:
        clock.jump_ms(-3_600_000)
        await runner.send("r", Approval())
        assert [record.at_ms for record in await records(runner)] == [BEGAN_MS] * 4


async def test_the_wall_clock_set_forward_ends_the_waits_it_passes(db: Path) -> None:
    clock = MovableClock()
    machine = Desk.with_agents(draft=scripted(Draft()))
    async with running(db, machine, clock=clock) as runner:
        await runner.settled((await runner.start(machine, Job(), run_id="r")).run_id)
        clock.jump_ms(2 * 86_400_000)
        assert (await runner.finished("r")).state == "dropped"


# -- deferrals ---------------------------------------------------------------------------------------


class Once:
    """An agent that counts how often it worked."""

    def __init__(self) -> None:
        self.begun = 0

    async def __call__(self, view: Any) -> Draft:
        self.begun += 1
        return Draft(text=f"draft {self.begun}")


async def test_a_deferred_event_comes_back_by_itself_without_its_agent(db: Path) -> None:
    clock, agent = MovableClock(), Once()
    machine = Gate.with_agents(draft=agent)
    async with running(db, machine, clock=clock) as runner:
        await runner.start(machine, Job(), run_id="r")
        await until(runner, 1)
        put_off = (await records(runner))[1]
        assert (put_off.kind, put_off.outcome, put_off.until_ms) == ("deferred", "running", SOON_MS)
        assert str(put_off.rulings[0]) == "Opens on written defers (closed: waits_ms 60000)"
        clock.advance(59)
        await unmoved(runner, 1)
        clock.advance(1)
        run = await runner.settled("r")
        last = (await records(runner))[-1]
    assert (run.state, agent.begun, last.body) == ("done", 1, b'{"text":"draft 1"}')
    assert last.body == put_off.body and last.event_id is None


async def test_a_deferred_event_survives_its_process(db: Path) -> None:
    clock, agent = MovableClock(), Once()
    machine = Gate.with_agents(draft=agent)
    async with running(db, machine, clock=clock) as runner:
        await runner.start(machine, Job(), run_id="r")
        await until(runner, 1)
    async with running(db, machine, clock=clock) as runner:
        await until(runner, 2)
        clock.advance(60)
        assert (await runner.settled("r")).state == "done"
        assert await kinds(runner) == ["started", "deferred", "resumed", "ended"]
    assert agent.begun == 1


async def test_a_deferral_that_ran_out_while_nobody_ran(db: Path) -> None:
    clock, agent = MovableClock(), Once()
    machine = Gate.with_agents(draft=agent)
    async with running(db, machine, clock=clock) as runner:
        await runner.start(machine, Job(), run_id="r")
        await until(runner, 1)
    clock.advance(DAY)
    async with running(db, machine, clock=clock) as runner:
        assert (await runner.settled("r")).state == "done"
    assert agent.begun == 1


async def test_cancel_works_while_an_event_is_put_off(db: Path) -> None:
    clock = MovableClock()
    machine = Gate.with_agents(draft=Once())
    async with running(db, machine, clock=clock) as runner:
        await runner.start(machine, Job(), run_id="r")
        await until(runner, 1)
        assert (await runner.cancel("r")).outcome == "cancelled"
        clock.advance(DAY)
        await unmoved(runner, 2)


async def test_an_event_from_outside_moves_the_run_while_its_own_is_put_off(db: Path) -> None:
    clock, agent = MovableClock(), Once()
    machine = Gate.with_agents(draft=agent)
    async with running(db, machine, clock=clock) as runner:
        await runner.start(machine, Job(), run_id="r")
        await until(runner, 1)
        record = await runner.send("r", Approval())
        assert record is not None and (record.hop, record.note) == ("hurry", {"superseded": 1})
        clock.advance(DAY)
        await unmoved(runner, 2)
        await runner.send("r", Approval())
        assert await kinds(runner) == ["started", "deferred", "taken", "ended"]


async def test_a_run_that_is_moved_to_an_agent_while_its_own_event_is_put_off_is_visited(db: Path) -> None:
    clock, agent = MovableClock(), Once()

    class Round(Machine):
        draft = State(initial=Job, agent=agent)
        redo = State(agent=scripted(Hint()))
        done = State(final="completed")
        written = draft.to(done, on=Draft, guards=[Opens(SOON_MS)])
        again = draft.to(redo, on=Approval)
        redone = redo.to(done, on=Hint)

    async with running(db, Round, clock=clock) as runner:
        await runner.start(Round, Job(), run_id="r")
        await until(runner, 1)
        await runner.send("r", Approval())
        assert (await runner.settled("r")).state == "done"


async def test_deferring_has_a_bound_in_number(db: Path) -> None:
    clock = MovableClock()

    class Slow(Gate, defers_max=3, defer_s_max=3_600):
        written = Gate.written.but(guards=[Opens(SOON_MS, step_ms=1_000)])

    machine = Slow.with_agents(draft=Once())
    async with running(db, machine, clock=clock) as runner:
        await runner.start(machine, Job(), run_id="r")
        for seq in (1, 2, 3):
            await until(runner, seq)
            clock.advance(1)
        run = await runner.settled("r")
        last = (await records(runner))[-1]
        assert await kinds(runner) == ["started", "deferred", "deferred", "deferred", "ended"]
    assert (run.state, last.hop) == ("dropped", "written.otherwise")
    verdict = last.rulings[0].verdict
    assert (verdict.code, dict(verdict.numbers)) == (
        "defer_exhausted",
        {"defers": 3, "defers_max": 3, "defer_s": 4, "defer_s_max": 3_600},
    )


@pytest.mark.parametrize("way", [True, False], ids=["otherwise", "no way"])
async def test_deferring_has_a_bound_in_time(db: Path, way: bool) -> None:
    class Never(Machine, defer_s_max=59):
        draft = State(initial=Job, agent=unbound)
        done = State(final="completed")
        dropped = State(final="failed")
        written = draft.to(done, on=Draft, guards=[Opens(SOON_MS)], otherwise=dropped if way else None)

    machine = Never.with_agents(draft=Once())
    async with running(db, machine, clock=MovableClock()) as runner:
        run = await runner.settled((await runner.start(machine, Job(), run_id="r")).run_id)
        last = (await records(runner))[-1]
    assert (run.state, run.outcome) == (("dropped", "failed") if way else ("draft", "stopped"))
    assert last.rulings[0].verdict.code == "defer_exhausted"
    assert last.rulings[0].verdict.numbers["defer_s"] == 60


async def test_an_event_from_outside_can_be_put_off_while_the_agent_works(db: Path) -> None:
    clock = MovableClock()

    class Rush(Machine):
        draft = State(initial=Job, agent=hang)
        done = State(final="completed")
        written = draft.to(done, on=Draft)
        push = draft.to(done, on=Approval, guards=[Opens(SOON_MS)])
        hint = draft.to(done, on=Hint, guards=[Opens(SOON_MS)])

    async with running(db, Rush, clock=clock) as runner:
        await runner.start(Rush, Job(), run_id="r")
        first = await runner.send("r", Approval(by="ann"), event_id="e1")
        assert first is not None and (first.kind, first.until_ms) == ("deferred", SOON_MS)
        assert await runner.send("r", Approval(by="ann"), event_id="e1") == first, "asking again changes nothing"
        second = await runner.send("r", Hint(), event_id="e2")
        assert second is not None and (second.kind, second.rulings[0].verdict.code) == ("refused", "closed")
        clock.advance(60)
        run = await runner.settled("r")
        last = (await records(runner))[-1]
    assert (run.state, last.hop, last.event_id, last.body) == ("done", "push", "e1", b'{"by":"ann"}')


async def test_an_agents_deadline_holds_while_an_event_from_outside_is_put_off(db: Path) -> None:
    clock = MovableClock()

    class Rush(Machine):
        draft = State(initial=Job, agent=hang, timeout_s=30)
        done = State(final="completed")
        late = State(final="failed")
        push = draft.to(done, on=Approval, guards=[Opens(SOON_MS)])
        miss = draft.to(late, on=TimedOut)

    async with running(db, Rush, clock=clock) as runner:
        await runner.start(Rush, Job(), run_id="r")
        await runner.send("r", Approval(), event_id="e1")
        clock.advance(30)
        assert (await runner.settled("r")).state == "late"
        assert (await records(runner))[-1].note == {"superseded": "e1"}
        clock.advance(DAY)
        await unmoved(runner, 2)


async def test_a_wait_still_times_out_while_an_event_is_put_off(db: Path) -> None:
    clock = MovableClock()

    class Wait(Machine):
        person = State(initial=Job, timeout_s=30)
        done = State(final="completed")
        late = State(final="failed")
        accept = person.to(done, on=Approval, guards=[Opens(SOON_MS)])
        miss = person.to(late, on=TimedOut)

    async with running(db, Wait, clock=clock) as runner:
        await runner.start(Wait, Job(), run_id="r")
        put_off = await runner.send("r", Approval(), event_id="e1")
        assert put_off is not None and put_off.kind == "deferred"
        clock.advance(30)
        assert (await runner.finished("r")).state == "late"


async def test_a_waiting_run_takes_the_event_it_put_off(db: Path) -> None:
    clock = MovableClock()

    class Wait(Machine):
        person = State(initial=Job, timeout_s=days(1))
        done = State(final="completed")
        late = State(final="failed")
        accept = person.to(done, on=Approval, guards=[Opens(SOON_MS)])
        miss = person.to(late, on=TimedOut)

    async with running(db, Wait, clock=clock) as runner:
        await runner.start(Wait, Job(), run_id="r")
        await runner.send("r", Approval(), event_id="e1")
    clock.advance(60)
    async with running(db, Wait, clock=clock) as runner:
        assert (await runner.finished("r")).state == "done"
        assert await runner.send("r", Approval(), event_id="e1") == (await records(runner))[-1]


class Doored(Machine):
    """The very start may be put off."""

    draft = State(initial=Job, agent=unbound, guards=[Opens(SOON_MS)])
    done = State(final="completed")
    dropped = State(final="failed")
    written = draft.to(done, on=Draft)
    again = draft.to(draft, on=Job)
    stop = draft.to(dropped, on=Cancelled)


async def test_a_start_that_is_put_off_comes_back(db: Path) -> None:
    clock, agent = MovableClock(), Once()
    machine = Doored.with_agents(draft=agent)
    async with running(db, machine, clock=clock) as runner:
        run = await runner.start(machine, Job(task="a"), run_id="r")
        assert (run.state, run.outcome) == ("(start)", "running")
        clock.advance(59)
        await unmoved(runner, 0)
        assert agent.begun == 0
    async with running(db, machine, clock=clock) as runner:
        await until(runner, 1)
        clock.advance(1)
        assert (await runner.settled("r")).state == "done"
        assert await kinds(runner) == ["deferred", "resumed", "taken", "ended"]
    assert agent.begun == 1


async def test_a_start_that_is_put_off_can_be_cancelled_and_nothing_else(db: Path) -> None:
    machine = Doored.with_agents(draft=Once())
    async with running(db, machine, clock=MovableClock()) as runner:
        await runner.start(machine, Job(), run_id="r")
        for payload in (Draft(), Job()):
            record = await runner.send("r", payload)
            assert record is not None and (record.kind, record.state) == ("unhandled", "(start)")
        run = await runner.cancel("r")
        assert (run.state, run.outcome) == ("(start)", "cancelled")


async def test_of_two_events_put_off_the_runs_own_stays_and_the_record_says_so(db: Path) -> None:
    clock, go = MovableClock(), asyncio.Event()

    async def agent(view: Any) -> Draft:
        await go.wait()
        return Draft()

    class Rush(Machine):
        draft = State(initial=Job, agent=agent)
        done = State(final="completed")
        written = draft.to(done, on=Draft, guards=[Opens(SOON_MS)])
        push = draft.to(done, on=Approval, guards=[Opens(SOON_MS)])

    async with running(db, Rush, clock=clock) as runner:
        await runner.start(Rush, Job(), run_id="r")
        await runner.send("r", Approval(), event_id="e1")
        go.set()
        await until(runner, 2)
        assert (await records(runner))[2].note == {"superseded": "e1"}
        clock.advance(60)
        assert (await runner.settled("r")).state == "done"
        assert [record.event for record in await records(runner)] == ["Job", "Approval", "Draft", "Draft"]


async def test_a_timer_that_rings_while_its_run_is_being_moved_does_not_ring_in_the_next_state(db: Path) -> None:
    """It was due when it was looked for; when its turn had come an event from outside had been committed."""
    cases: list[tuple[type[Machine], Any, str]] = [(Desk, scripted(Draft()), "timeout"), (Gate, Once(), "defer")]
    for machine, agent, due in cases:
        path = db.with_name(due)
        clock, journal = MovableClock(), Gated(path, "Approval")
        bound = machine.with_agents(draft=agent)
        async with running(path, bound, clock=clock, journal=journal, poll_s=10) as runner:
            await runner.start(bound, Job(), run_id="r")
            await until(runner, 1)
            clock.advance(2 * DAY)
            timer = Timer(1, due, 1 if due == "timeout" else 0, clock.now_ms())
            sending = asyncio.create_task(runner.send("r", Approval()))
            await journal.reached.wait()
            ringing = asyncio.create_task(runner._outside._ring(timer))
            await asyncio.sleep(0.02)
            journal.gate.set()
            record = await sending
            await ringing
            assert record is not None
            assert record.hop == ("accept" if due == "timeout" else "hurry")
            await unmoved(runner, 2)


async def test_an_early_answer_leaves_no_deadline_for_the_next_visit(db: Path) -> None:
    clock = MovableClock()

    class Round(Machine):
        draft = State(initial=Job, agent=hang, timeout_s=30)
        late = State(final="failed")
        again = draft.to(draft, on=Hint)
        miss = draft.to(late, on=TimedOut)

    async with running(db, Round, clock=clock) as runner:
        await runner.start(Round, Job(), run_id="r")
        await unmoved(runner, 0)
        clock.advance(20)
        await runner.send("r", Hint())
        await unmoved(runner, 1)
        clock.advance(29)
        await unmoved(runner, 1)
        clock.advance(1)
        assert (await runner.settled("r")).state == "late"
