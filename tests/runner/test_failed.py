"""Runs that the journal could not be written for, and runs that cannot go on here: told, and never left for good."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from fsm import AgentFailed, Machine, Runner, SqliteJournal, State
from fsm.errors import Fenced, JournalUnwritable
from fsm.runner.failed import RETRY_S, RETRY_S_MAX, Failed
from fsm.testing import MovableClock, hang
from tests.helpers import FULL, failing, running


class Job(BaseModel):
    task: str = ""


class Done(BaseModel):
    pass


class Hurry(BaseModel):
    pass


class Line(Machine):
    work = State(initial=Job, agent=hang)
    done = State(final="completed")
    broken = State(final="failed")
    finish = work.to(done, on=Done)
    hurry = work.to(done, on=Hurry)
    breaks = work.to(broken, on=AgentFailed)


async def until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def kinds(runner: Runner) -> list[str]:
    return [record.kind for record in runner.journal.read.records(runner.journal.read.run("r").key)]


async def test_a_decision_that_could_not_be_written_is_written_later_and_its_agent_not_asked_again(db: Path) -> None:
    clock, gate, asked = MovableClock(), asyncio.Event(), []

    async def agent(view: Any) -> Done:
        asked.append(view.attempt)
        await gate.wait()
        view.spend(tokens=5)
        return Done()

    machine = Line.with_agents(work=agent)
    journal, (connection,) = failing(db)
    async with running(db, machine, journal=journal, clock=clock) as runner:
        run = await runner.start(machine, Job(), run_id="r")
        await until(lambda: asked)
        waiting = asyncio.create_task(runner.settled("r"))
        connection.reason = FULL
        gate.set()
        for act in (waiting, runner.settled("r"), runner.cancel("r")):
            with pytest.raises(JournalUnwritable, match="the disk is full"):
                await act
        assert (journal.read.run("r").seq, len(journal.read.inbox(run.key))) == (0, 1), "nothing went on unrecorded"
        clock.advance(RETRY_S)
        failed = runner._driver.failed
        await until(lambda: failed.due() == [] and failed.why(run.key) is not None)
        clock.advance(RETRY_S)
        await asyncio.sleep(0.03)
        assert failed.why(run.key) is not None, "the second rest is longer"
        connection.reason = None
        clock.advance(RETRY_S)
        await until(lambda: journal.read.run("r").ended)
        assert (kinds(runner), asked) == (["started", "ended"], [1])
        assert journal.read.record(run.key, 1).spent.tokens == 5


async def test_what_was_sent_meanwhile_is_decided_once_the_run_goes_on(db: Path) -> None:
    clock, (journal, (connection,)) = MovableClock(), failing(db)
    async with running(db, Line, journal=journal, clock=clock) as runner:
        await runner.start(Line, Job(), run_id="r")
        connection.reason = FULL
        with pytest.raises(JournalUnwritable):
            await runner.send("r", Hurry(), event_id="e")
        connection.reason = None
        clock.advance(RETRY_S)
        await until(lambda: journal.read.run("r").ended)
        record = await runner.send("r", Hurry(), event_id="e")
        assert record is not None and record.hop == "hurry"
        assert kinds(runner) == ["started", "resumed", "ended"]


async def test_a_call_whose_outcome_could_not_be_written_is_made_again_under_its_key(db: Path) -> None:
    clock, keys = MovableClock(), []

    def pay(idempotency_key: str) -> None:
        keys.append(idempotency_key)
        journal.full = len(keys) == 1

    async def agent(view: Any) -> Done:
        await view.call("pay", pay)
        return Done()

    class Full(SqliteJournal):
        full = False

        async def call(self, call: Any, **shared: Any) -> Any:
            if self.full:
                self.full = False
                raise JournalUnwritable(path=self.path, what="the disk is full", next="free some space")
            return await super().call(call, **shared)

    journal = Full(db, synchronous="OFF")
    machine = Line.with_agents(work=agent)
    async with running(db, machine, journal=journal, clock=clock) as runner:
        run = await runner.start(machine, Job(), run_id="r")
        with pytest.raises(JournalUnwritable, match="the disk is full"):
            await runner.settled("r")
        clock.advance(RETRY_S)
        await until(lambda: journal.read.run("r").ended)
        assert kinds(runner) == ["started", "resumed", "ended"]
        assert journal.read.record(run.key, 1).note == {"why": "lost"}
    assert len(keys) == 2 and len(set(keys)) == 1


async def test_a_run_that_cannot_go_on_here_is_let_go_for_another_process(db: Path) -> None:
    clock = MovableClock()

    async def answers(view: Any) -> Done:
        return Done()

    able = Line.with_agents(work=answers)
    async with running(db, Line, clock=clock) as stuck:
        run = await stuck.start(Line, Job(), run_id="r")
        await until(lambda: stuck._driver.lives[run.key].in_agent)
        task = stuck._driver.lives[run.key].task
        assert task is not None
        task.cancel()  # nobody does that; it stands for a bug of ours
        with pytest.raises(RuntimeError, match="cancelled from outside"):
            await stuck.settled("r")
        clock.advance(RETRY_S)
        await until(lambda: stuck.journal.read.run("r").owner == 0)
        clock.advance(RETRY_S_MAX)
        await asyncio.sleep(0.05)
        assert stuck.journal.read.run("r").owner == 0, "it does not take it up again itself"
        async with Runner(SqliteJournal(db), machines=[able], clock=clock, handle_signals=False) as other:
            assert (await other.settled("r")).outcome == "completed"
        assert kinds(stuck) == ["started", "resumed", "ended"]
        assert (await stuck.settled("r")).outcome == "completed"


async def test_a_run_that_was_taken_over_is_let_go_and_its_senders_hear_from_the_other(
    db: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """This runner was stalled for longer than its lease; its agent hangs and would never notice."""
    caplog.set_level(logging.WARNING)
    begun = asyncio.Event()

    async def hangs(view: Any) -> Done:
        begun.set()
        await asyncio.Event().wait()
        return Done()

    here, ahead = MovableClock(), MovableClock(steady_s=2_000.0)
    machine = Line.with_agents(work=hangs)
    async with running(db, machine, clock=here) as stalled:
        run = await stalled.start(machine, Job(), run_id="r")
        await begun.wait()
        async with Runner(SqliteJournal(db), machines=[Line], clock=ahead, poll_s=0.01, handle_signals=False) as other:
            assert other.journal.read.run("r").owner == other.journal.epoch
            record = await stalled.send("r", Hurry())
            assert record is not None and record.hop == "hurry"
            await until(lambda: run.key not in stalled._driver.lives)
    fenced = Fenced(run_id="r", why="another runner advances it")
    assert str(fenced) in [record.getMessage() for record in caplog.records]


def test_the_rests_double_up_to_their_bound() -> None:
    clock = MovableClock()
    failed, rests = Failed(clock), []
    for _ in range(40):
        failed.note(1, 0, ValueError())
        rests.append(next(iter(failed._failures.values())).next_s - clock.monotonic())
        failed.lift(1)
    assert rests[:7] == [1, 2, 4, 8, 16, 32, 60] and set(rests[7:]) == {60}
    failed.forget(1)
    failed.note(1, 0, ValueError())
    assert failed.due() == [] and failed.runs == [1]
    clock.advance(1)
    assert len(failed.due()) == 1, "what has moved begins anew"
