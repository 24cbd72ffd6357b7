"""What a review found once, and must not come back."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from pydantic import BaseModel

from fsm import JournalError, Machine, SqliteJournal, State, TimedOut
from fsm.core.record import Record
from fsm.errors import Fenced
from fsm.testing import hang, scripted
from tests.helpers import running


class Job(BaseModel):
    task: str = ""


class Done(BaseModel):
    pass


class Line(Machine):
    work = State(initial=Job, agent=hang, timeout_s=0.1)
    done = State(final="completed")
    late = State(final="failed")
    finish = work.to(done, on=Done)
    lapse = work.to(late, on=TimedOut)


class Patient(Line):
    work = State(initial=Job, agent=hang, timeout_s=60)
    finish = work.to(Line.done, on=Done)
    lapse = work.to(Line.late, on=TimedOut)


class Full(SqliteJournal):
    """A journal whose next outcome of a call cannot be written."""

    async def call(self, call: Any, **shared: Any) -> Any:
        if call.kind == "outcome":
            raise JournalError(path=self.path, what="the disk is full", next="free some space")
        return await super().call(call, **shared)


async def test_an_ended_run_cannot_be_taken_up_by_a_stale_row(db: Path) -> None:
    quick = Line.with_agents(work=scripted(Done()))
    async with running(db, quick) as runner:
        await runner.start(quick, Job(), run_id="r")
        ended = await runner.settled("r")
        stale = Record(
            seq=ended.seq + 1, kind="resumed", at_ms=0, source="work", state="work", outcome="running", attempt=2
        )
        with pytest.raises(Fenced, match="it has ended"):
            await runner.journal.append(evolve(ended, outcome="running"), stale)
        assert runner.journal.read.run("r").outcome == "completed"


async def test_a_call_the_journal_cannot_take_stops_the_run_whatever_its_agent_does(db: Path) -> None:
    made: list[int] = []

    async def stubborn(view: Any) -> Done:
        for _ in range(3):
            try:
                await view.call("pay", lambda: made.append(1))
            except Exception:  # an agent that tries everything again
                continue
        return Done()

    machine = Patient.with_agents(work=stubborn)
    async with running(db, machine, journal=Full(db, synchronous="OFF")) as runner:
        await runner.start(machine, Job(), run_id="r")
        with pytest.raises(JournalError, match="the disk is full"):
            await runner.settled("r")
        assert runner.journal.read.run("r").outcome == "running"
    assert made == [1]


async def test_what_an_attempt_spends_while_it_is_cut_off_is_recorded(db: Path) -> None:
    async def spends_last(view: Any) -> Done:
        try:
            await asyncio.Event().wait()
        finally:
            view.spend(tokens=77)
        return Done()

    machine = Line.with_agents(work=spends_last)
    async with running(db, machine) as runner:
        run = await runner.start(machine, Job(), run_id="r")
        assert (await runner.settled("r")).outcome == "failed"
        assert runner.journal.read.record(run.key, 1).spent.tokens == 77


async def test_the_key_of_a_deleted_run_is_never_given_again(db: Path) -> None:
    quick = Line.with_agents(work=scripted(Done()))
    async with running(db, quick) as runner:
        await runner.start(quick, Job(), run_id="old")
        old = await runner.settled("old")
        await runner.journal.bury(old, "test", 0)
        new = await runner.start(quick, Job(), run_id="new")
        await runner.settled("new")
        assert new.key > old.key
    connection = sqlite3.connect(db)
    with pytest.raises(sqlite3.IntegrityError, match="tombstone"):
        connection.execute("DELETE FROM record")
    connection.close()
