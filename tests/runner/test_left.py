"""No run is left without anybody who advances it, and nobody who waits for one is left unwoken."""

import asyncio
from pathlib import Path
from typing import Any, ClassVar

import pytest
from attrs import frozen
from pydantic import BaseModel

from fsm import Guard, Machine, Runner, SqliteJournal, State, TimedOut
from fsm.define.guard import Facts, Kind, Verdict, allow, defer
from fsm.errors import JournalError, JournalUnwritable, RunHalted
from fsm.journal.rows import Call
from fsm.runner.entry import cancelling
from fsm.runner.failed import RETRY_S
from fsm.runner.recovery import take_over
from fsm.testing import MovableClock, hang
from tests.helpers import Gated, running


class Job(BaseModel):
    task: str = ""


class Done(BaseModel):
    pass


class Hint(BaseModel):
    pass


class Unheard(BaseModel):
    pass


class Line(Machine):
    work = State(initial=Job, agent=hang)
    more = State(agent=hang)
    other = State()
    done = State(final="completed")
    finish = work.to(done, on=Done)
    hint = work.to(more, on=Hint)
    ended = more.to(done, on=Done)
    unheard = other.to(done, on=Unheard)


async def until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def kinds(runner: Runner) -> list[str]:
    return [record.kind for record in runner.journal.read.records(runner.journal.read.run("r").key)]


class Narrow(SqliteJournal):
    """Takes no outcomes while `full`: a disk with room for small writes only. Decisions are held by `gate`."""

    full = False

    def __init__(self, path: Any) -> None:
        super().__init__(path, synchronous="OFF")
        self.gate, self.reached, self.refused = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def call(self, call: Call, **shared: Any) -> Call:
        if self.full and call.kind == "outcome":
            self.refused.set()
            raise JournalUnwritable(path=self.path, what="the disk is full", next="free some space")
        return await super().call(call, **shared)

    async def decide(self, run: Any, engine: Any, snapshot: Any, plan: Any, **rest: Any) -> Any:
        decided = await super().decide(run, engine, snapshot, plan, **rest)
        self.reached.set()
        await self.gate.wait()
        return decided


@pytest.mark.parametrize("event", [Unheard, Hint, None])
async def test_a_decision_that_is_committed_while_the_run_is_given_up_leaves_no_orphan(db: Path, event: Any) -> None:
    clock, act, begun = MovableClock(), asyncio.Event(), []

    async def agent(view: Any) -> Done | Hint:
        begun.append(asyncio.create_task(view.call("pay", act.wait)))
        if event is None:
            await until(lambda: journal.read.calls(1))
            return Hint()
        await begun[-1]
        return Done()

    async def second(view: Any) -> Done:
        return Done()

    machine = Line.with_agents(work=agent, more=second)
    journal = Narrow(db)
    async with running(db, machine, journal=journal, clock=clock) as runner:
        await runner.start(machine, Job(), run_id="r")
        await until(lambda: journal.read.calls(1))
        if event is not None:
            sending = asyncio.create_task(runner.send("r", event()))
        await journal.reached.wait()
        journal.full = True
        act.set()
        await journal.refused.wait()
        await asyncio.sleep(0.01)
        journal.gate.set()
        if event is not None:
            assert await sending is not None
        journal.full = False
        clock.advance(RETRY_S)
        await asyncio.wait_for(until(lambda: journal.read.run("r").ended), 2)
        await asyncio.gather(*begun, return_exceptions=True)


async def test_a_run_whose_ledger_cannot_be_read_after_its_takeover_is_tried_again(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = MovableClock()
    async with running(db, Line, clock=clock) as runner:
        await runner.start(Line, Job(), run_id="r")
    async with running(db, clock=clock) as runner:
        calls, broken = (
            runner.journal.read.calls,
            [JournalError(path="runs.db", what="SQLite: disk I/O error", next="")],
        )

        def failing(*args: Any) -> Any:
            if broken:
                raise broken.pop()
            return calls(*args)

        monkeypatch.setattr(runner.journal.read, "calls", failing)
        runner._driver.machines.add(Line)
        await runner.resume("r")
        with pytest.raises(JournalError, match="disk I/O error"):
            await runner.settled("r")
        clock.advance(RETRY_S)
        await until(lambda: runner._driver.lives and runner._driver.lives[1].in_agent)
        assert kinds(runner) == ["started", "resumed", "resumed"]


async def test_a_sender_is_told_although_the_run_he_wrote_to_was_taken_over_only_after_that(db: Path) -> None:
    here, ahead = MovableClock(), MovableClock()
    async with running(db, Line, clock=here, poll_s=3_600) as stalled:
        await stalled.start(Line, Job(), run_id="r")
        async with Runner(SqliteJournal(db), machines=[Line], clock=ahead, poll_s=0.01, handle_signals=False) as other:
            sending = asyncio.create_task(other.send("r", Unheard()))
            await until(lambda: other.journal.read.inbox(1))
            ahead.advance(60)
            record = await asyncio.wait_for(sending, 3)
            assert record is not None and (record.seq, record.kind) == (2, "unhandled")


async def test_what_waits_for_a_run_is_decided_before_its_agent_begins_again(db: Path) -> None:
    clock, begun = MovableClock(), []

    async def agent(view: Any) -> Done:
        begun.append(view.attempt)
        await asyncio.Event().wait()
        return Done()

    machine = Line.with_agents(work=agent)
    async with running(db, machine, clock=clock) as runner:
        await runner.start(machine, Job(), run_id="r")
        await until(lambda: begun)
    async with Runner(SqliteJournal(db, synchronous="OFF"), adopt=False, handle_signals=False) as door:
        await door.journal.post("r", "c", cancelling("", ""), clock.now_ms(), 100)
    async with running(db, machine, clock=clock) as runner:
        await until(lambda: runner.journal.read.run("r").ended)
        assert kinds(runner) == ["started", "resumed", "ended"]
    assert begun == [1]


async def test_a_sender_whose_event_went_with_a_halt_is_told_so_even_after_somebody_resumed_the_run(db: Path) -> None:
    go = asyncio.Event()

    async def agent(view: Any) -> Done:
        await go.wait()
        go.clear()
        raise ValueError("no")

    machine = Line.with_agents(work=agent)
    journal = Gated(db, "AgentFailed")
    async with running(db, machine, journal=journal) as runner:
        await runner.start(machine, Job(), run_id="r")
        go.set()
        await journal.reached.wait()
        post = journal.post

        async def slow(*args: Any) -> Any:
            answer = await post(*args)
            journal.gate.set()
            await runner.settled("r")
            await runner.resume("r")
            return answer

        journal.post = slow  # type: ignore[method-assign,assignment]
        with pytest.raises(RunHalted, match="stuck"):
            await runner.send("r", Unheard())


LATER_MS = MovableClock().wall_ms + 5_000


@frozen
class Later(Guard):
    kind: ClassVar[Kind] = "env"
    codes: ClassVar[tuple[str, ...]] = ("later",)

    def check(self, facts: Facts, /) -> Verdict:
        return allow() if facts.at_ms >= LATER_MS else defer("later", LATER_MS)


class Wait(Machine):
    person = State(initial=Job, timeout_s=1)
    done = State(final="completed")
    late = person.to(done, on=TimedOut, guards=[Later()])


async def test_a_timeout_that_is_put_off_is_decided_again_when_its_time_comes_and_not_before(db: Path) -> None:
    clock = MovableClock()
    async with running(db, Wait, clock=clock) as runner:
        await runner.start(Wait, Job(), run_id="r")
        clock.advance(1)
        await until(lambda: runner.journal.read.run("r").seq > 0)
        await asyncio.sleep(0.2)
        assert kinds(runner) == ["started", "deferred"]
        clock.advance(4)
        assert (await runner.finished("r")).outcome == "completed"
        assert kinds(runner) == ["started", "deferred", "ended"]


async def test_runs_of_a_changed_machine_are_not_read_again_and_again(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand of them took nearly half of a runner's time."""

    class Old(Line):
        pass

    class New(Line):
        again = Line.work.to(Line.work, on=Unheard)

    asked: list[int] = []
    async with running(db, Old) as runner:
        await runner.start(Old, Job(), run_id="r")

    async def counted(driver: Any, run: Any, why: str) -> bool:
        asked.append(run.key)
        return await take_over(driver, run, why)

    monkeypatch.setattr("fsm.runner.outside.take_over", counted)
    async with running(db, New, poll_s=3_600) as runner:
        for _ in range(3):
            await runner._outside.adopt()
        assert asked == [1]
        runner._driver.machines.add(Old)
        await runner._outside.adopt()
        assert runner.journal.read.run("r").owner == runner.journal.epoch, "its machine has come"


async def test_runs_that_nobody_may_advance_here_keep_no_others_from_being_heard(db: Path) -> None:
    """They were released, wait in the inbox's rows for who takes them over, and there may be thousands."""
    async with running(db, Line) as runner:
        await runner.start(Line, Job(), run_id="r")
        await runner.start(Wait, Job(), run_id="w")
    async with Runner(SqliteJournal(db, synchronous="OFF"), adopt=False, handle_signals=False) as door:
        for run_id in ("r", "w"):
            await door.journal.post(run_id, "c", cancelling("", ""), 0, 100)
        fingerprints = [Line.spec.fingerprint, Wait.spec.fingerprint]
        called = door.journal.read.called(door.journal.epoch, fingerprints, limit=1)
        assert [run.run_id for run in called] == ["w"]
