"""Events that were accepted and whose class reads them no more: recorded as such, and nothing waits behind them."""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from attrs import frozen
from pydantic import BaseModel, model_validator

from fsm import Guard, Machine, PayloadInvalid, Runner, State, replay_run
from fsm.define.guard import Facts, Kind, Verdict, allow, defer
from fsm.define.payload import digest, seal
from fsm.errors import EventConflict, RunEnded, RunHalted, RunUnreadable
from fsm.testing import MovableClock, scripted
from tests.helpers import Gated, running


class Job(BaseModel):
    task: str = ""


class Hint(BaseModel):
    text: str = ""

    narrow: ClassVar[bool] = False

    @model_validator(mode="after")
    def check_text(self) -> "Hint":
        if Hint.narrow and self.text == "old":
            raise ValueError("nobody says so any more")
        return self


class Approval(BaseModel):
    pass


LATER_MS = MovableClock().wall_ms + 5_000


@frozen
class Later(Guard):
    """Five seconds after the clock of these tests began."""

    kind: ClassVar[Kind] = "env"
    codes: ClassVar[tuple[str, ...]] = ("later",)

    def check(self, facts: Facts, /) -> Verdict:
        return allow() if facts.at_ms >= LATER_MS else defer("later", LATER_MS)


class Desk(Machine, refusals_max=2):
    person = State(initial=Job)
    done = State(final="completed")
    hint = person.to(person, on=Hint)
    accept = person.to(done, on=Approval)


class Wait(Machine):
    person = State(initial=Job)
    done = State(final="completed")
    finish = person.to(done, on=Hint, guards=[Later()])


class Slow(Machine):
    work = State(initial=Job, agent=scripted(Hint(text="old")))
    done = State(final="completed")
    broken = State(final="failed")
    finish = work.to(done, on=Hint, guards=[Later()])
    give_up = work.to(broken, on=Approval)


class Careful(Slow):
    invalid = Slow.work.to(Slow.broken, on=PayloadInvalid)


@pytest.fixture(autouse=True)
def wide() -> Iterator[None]:
    yield
    Hint.narrow = False


WHY = "Invalid: payload: Value error, nobody says so any more, got {'text': 'old'}"


def kinds(runner: Runner) -> list[tuple[str, str]]:
    run = runner.journal.read.run("r")
    return [(record.kind, record.event) for record in runner.journal.read.records(run.key)]


async def posted(runner: Runner, event_id: str) -> None:
    """An old hint in the inbox, from a process that has gone; its class has changed since."""
    await runner.journal.post("r", event_id, seal(Hint(text="old"), 1_000), 0, 100)


async def test_it_is_recorded_without_its_body_and_consumed_and_what_stands_behind_it_is_heard(db: Path) -> None:
    async with running(db, Desk, poll_s=3_600) as runner:
        run = await runner.start(Desk, Job(), run_id="r")
        read = runner.journal.read
        await posted(runner, "e1")
        Hint.narrow = True
        new = await runner.send("r", Hint(text="new"), event_id="e2")
        assert new is not None and new.kind == "taken"
        told = read.record_of(run.key, "e1")
        assert told is not None and read.inbox(run.key) == []
        assert (told.kind, told.event, told.own, told.body) == ("unhandled", "Hint", False, None)
        assert told.note == {"unread": WHY}
        assert told.digest == digest(b'{"text":"old"}')
        assert str(told) == f"unhandled on Hint: it stays in person ({WHY})"
        for machine in (Desk, None):
            replayed = replay_run(read, "r", machine)
            assert (replayed.agreed, replayed.erased) == (True, 0)
        Hint.narrow = False
        assert await runner.send("r", Hint(text="old"), event_id="e1") == told, "its sender is told what became of it"
        with pytest.raises(EventConflict):
            await runner.send("r", Hint(text="other"), event_id="e1")
        assert kinds(runner) == [("started", "Job"), ("unhandled", "Hint"), ("taken", "Hint")]
    with sqlite3.connect(db) as connection:
        assert connection.execute("SELECT body FROM record WHERE seq = 1").fetchone() == (None,)
    connection.close()


async def test_a_sender_who_waits_gets_that_record(db: Path) -> None:
    """Another process, with a newer class, advances the run."""
    journal = Gated(db, "Job")
    async with running(db, Desk, journal=journal) as runner:
        await runner.start(Desk, Job(), run_id="r")
        post = journal.post

        async def narrowing(*args: Any) -> Any:
            answer = await post(*args)
            Hint.narrow = True
            return answer

        journal.post = narrowing  # type: ignore[method-assign,assignment]
        record = await runner.send("r", Hint(text="old"))
        assert record is not None and (record.kind, record.note) == ("unhandled", {"unread": WHY})


async def test_they_count_as_refusals(db: Path) -> None:
    async with running(db, Desk, poll_s=3_600) as runner:
        run = await runner.start(Desk, Job(), run_id="r")
        for n in range(4):
            await posted(runner, f"e{n}")
        Hint.narrow = True
        await runner.send("r", Approval())
        assert [kind for kind, _ in kinds(runner)] == ["started", "unhandled", "unhandled", "ended"]
        assert runner.journal.read.record(run.key, 3).note == {"dropped": 2}


async def test_an_event_from_outside_that_was_put_off_and_is_read_no_more(db: Path) -> None:
    clock = MovableClock()
    async with running(db, Wait, clock=clock) as runner:
        run = await runner.start(Wait, Job(), run_id="r")
        put_off = await runner.send("r", Hint(text="old"), event_id="e")
        assert put_off is not None and put_off.kind == "deferred"
        Hint.narrow = True
        clock.advance(5)
        while runner.journal.read.run("r").seq == put_off.seq:
            await asyncio.sleep(0.001)
        last = runner.journal.read.record_of(run.key, "e")
        assert last is not None
        assert (last.kind, last.seq, last.digest, last.body) == ("unhandled", 2, put_off.digest, None)
        assert last.note == {"unread": WHY}
        other = await runner.send("r", Hint(text="new"))
        assert other is not None and other.kind == "ended", "nothing is put off any more"
        Hint.narrow = False


@pytest.mark.parametrize(
    ("machine", "state", "event"), [(Slow, "work", "AgentFailed"), (Careful, "broken", "PayloadInvalid")]
)
async def test_a_runs_own_event_that_was_put_off_and_is_read_no_more_is_an_invalid_payload(
    db: Path, machine: type[Machine], state: str, event: str
) -> None:
    clock = MovableClock()
    async with running(db, machine, clock=clock) as runner:
        await runner.start(machine, Job(), run_id="r")
        while runner.journal.read.run("r").seq < 1:
            await asyncio.sleep(0.001)
        Hint.narrow = True
        clock.advance(5)
        run = await runner.settled("r")
        assert (run.state, kinds(runner)[-1][1]) == (state, event)
        assert run.outcome == ("stuck" if machine is Slow else "failed")
        record = runner.journal.read.record(run.key, run.seq)
        assert record.body is not None and b"nobody says so any more" in record.body
        Hint.narrow = False


async def test_a_start_that_was_put_off_and_is_read_no_more(db: Path) -> None:
    class Doored(Machine):
        person = State(initial=Hint, guards=[Later()])
        done = State(final="completed")
        accept = person.to(done, on=Approval)

    clock = MovableClock()
    async with running(db, Doored, clock=clock) as runner:
        await runner.start(Doored, Hint(text="old"), run_id="r")
        Hint.narrow = True
        clock.advance(5)
        run = await runner.settled("r")
        assert (run.state, run.outcome, kinds(runner)[-1]) == ("(start)", "stuck", ("halted", "AgentFailed"))
        with pytest.raises(
            RunUnreadable, match="record 0 \\(Hint\\)\\n  - payload: Value error, nobody says so"
        ) as told:
            await runner.cancel("r")
        assert (told.value.run_id, told.value.machine, told.value.seq) == ("r", "Doored", 0)
        with pytest.raises(RunUnreadable):
            await runner.resume("r")
        Hint.narrow = False
        assert (await runner.cancel("r")).outcome == "cancelled"


class Kept(BaseModel):
    hints: int = 0


def forgets(memory: Kept, hint: Hint) -> Kept:
    if Hint.narrow:
        raise KeyError("no such hint")
    return Kept(hints=memory.hints + 1)


async def test_a_run_whose_memory_can_be_made_no_more_says_which_record_and_why(db: Path) -> None:
    class Diary(Machine, memory=Kept):
        person = State(initial=Job)
        done = State(final="completed")
        hint = person.to(person, on=Hint, remember=forgets)
        accept = person.to(done, on=Approval)

    async with running(db, Diary) as runner:
        await runner.start(Diary, Job(), run_id="r")
        await runner.send("r", Hint())
        Hint.narrow = True
        with pytest.raises(RunUnreadable, match="record 1 \\(Hint\\)\\n  - the memory after it: KeyError"):
            await runner.send("r", Approval())
        Hint.narrow = False


# -- what waits for a run that hears nothing more ----------------------------------------------------


@pytest.mark.parametrize("how", ["halted", "ended"])
async def test_what_waits_in_the_inbox_goes_with_the_record_that_ends_or_halts_the_run(db: Path, how: str) -> None:
    """Its sender is told that it was not recorded; a later resume does not bring it back."""

    class Quick(Machine):
        work = State(initial=Job, agent=scripted(ValueError("no") if how == "halted" else Approval()))
        done = State(final="completed")
        finish = work.to(done, on=Approval)
        hint = work.to(work, on=Hint)

    journal = Gated(db, "AgentFailed" if how == "halted" else "Approval")
    async with running(db, Quick, journal=journal) as runner:
        run = await runner.start(Quick, Job(), run_id="r")
        await journal.reached.wait()
        sending = asyncio.create_task(runner.send("r", Hint(), event_id="e"))
        await posted(runner, "e2")
        while len(runner.journal.read.inbox(run.key)) < 2:
            await asyncio.sleep(0.001)
        journal.gate.set()
        with pytest.raises(RunHalted if how == "halted" else RunEnded):
            await sending
        assert runner.journal.read.inbox(run.key) == []
        if how == "halted":
            await runner.resume("r")
            await runner.settled("r")
            assert [kind for kind, _ in kinds(runner)] == ["started", "halted", "resumed", "halted"]


async def test_a_cancel_that_waits_is_heard_by_the_halted_run(db: Path) -> None:
    class Quick(Machine):
        work = State(initial=Job, agent=scripted(ValueError("no")))
        done = State(final="completed")
        finish = work.to(done, on=Approval)

    journal = Gated(db, "AgentFailed")
    async with running(db, Quick, journal=journal) as runner:
        run = await runner.start(Quick, Job(), run_id="r")
        await journal.reached.wait()
        cancelling = asyncio.create_task(runner.cancel("r"))
        while not runner.journal.read.inbox(run.key):
            await asyncio.sleep(0.001)
        journal.gate.set()
        assert (await cancelling).outcome == "cancelled"
        assert kinds(runner) == [("started", "Job"), ("halted", "AgentFailed"), ("ended", "Cancelled")]
