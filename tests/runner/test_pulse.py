"""When a runner looks into its journal: after a commit, at a timer's time, and once in a while anyway."""

import asyncio
import threading
import time
from collections.abc import Container
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from fsm import Machine, Runner, SqliteJournal, State, TimedOut, View, unbound
from fsm.define.payload import seal
from fsm.runner import blocked
from fsm.runner.pulse import ADOPT_S, FRESH_S
from fsm.runner.waiting import Waiting
from fsm.testing import MovableClock
from tests.helpers import running


class Job(BaseModel):
    pass


class Wait(Machine):
    person = State(initial=Job, timeout_s=60)
    done = State(final="completed")
    again = person.to(person, on=Job)
    late = person.to(done, on=TimedOut)


class Wakings(Waiting):
    """Counts how often everybody is woken."""

    made = 0

    def wake_all(self, but: Container[int] = ()) -> None:
        self.made += 1
        super().wake_all(but)


class Counting:
    """How often a runner has looked and woken those who wait; the beats are the test's."""

    def __init__(self, runner: Runner) -> None:
        self.pulse, self.looks, self.beats = runner._pulse, 0, 0
        _, watch = self.pulse._tasks
        watch.cancel()
        self.pulse.poll_s = 0.05
        self.wakings = runner._driver.waiting = Wakings()
        read, called = runner.journal.read, runner.journal.read.called

        def counted(*args: Any) -> Any:
            self.looks += 1
            return called(*args)

        read.called = counted  # type: ignore[method-assign,assignment]

    async def after(self, beats: int) -> int:
        """The looks that so many beats took."""
        before = self.looks
        for _ in range(beats):
            self.beats += 1
            await self.pulse._look(self.beats)
        return self.looks - before


async def test_it_looks_when_there_may_be_something_to_see(db: Path) -> None:
    clock = MovableClock()
    async with running(db, Wait, clock=clock, poll_s=3_600) as runner:
        looks, a_while = Counting(runner), round(ADOPT_S / 0.05)
        await runner.start(Wait, Job(), run_id="r")
        assert await looks.after(2) == 1, "a commit, and then nothing"
        assert await looks.after(a_while) == 1, "once in a while anyway"
        clock.advance(60)
        assert await looks.after(2) == 2, "a timer, and what became of it"
        assert runner.journal.read.run("r").ended


async def test_an_event_from_another_connection_is_seen_at_the_next_beat(db: Path) -> None:
    async with running(db, Wait, poll_s=3_600) as runner:
        looks = Counting(runner)
        run = await runner.start(Wait, Job(), run_id="r")
        await looks.after(2)
        other = SqliteJournal(db, synchronous="OFF")
        await other.open(MovableClock(), "other")
        await other.post("r", "e", seal(Job(), 1_000), 0, 10)
        assert await looks.after(1) == 1
        assert runner.journal.read.record_of(run.key, "e") is not None
        await other.close()


async def test_who_waits_is_woken_by_commits_only_and_not_at_each(db: Path) -> None:
    async with running(db, Wait, poll_s=3_600) as runner:
        looks = Counting(runner)
        await runner.start(Wait, Job(), run_id="r")
        finished = asyncio.create_task(runner.finished("r"))
        await looks.after(round(3 * FRESH_S / 0.05))
        quiet = looks.wakings.made
        assert quiet == 1
        for n in range(round(2 * FRESH_S / 0.05)):
            await runner.send("r", Job(), event_id=f"e{n}")
            await looks.after(1)
        assert looks.wakings.made - quiet in (2, 3), "every FRESH_S of a busy time"
        finished.cancel()


class Hop(BaseModel):
    pass


class Busy(Machine):
    first = State(initial=Job, agent=unbound)
    second = State(agent=unbound)
    done = State(final="completed")
    on = first.to(second, on=Hop)
    out = second.to(done, on=Hop)


async def blocking(view: View[Any]) -> Hop:
    """Longer than BLOCKED_S of these tests, many times over."""
    await asyncio.sleep(0.03)
    time.sleep(0.3)  # noqa: ASYNC251  blocking the loop is what this is about
    return Hop()


async def courteous(view: View[Any]) -> Hop:
    return Hop()


async def warned(db: Path, caplog: pytest.LogCaptureFixture, runs: int, first: Any, second: Any) -> list[str]:
    """What is warned of while so many runs go through, one after the other."""
    machine = Busy.with_agents(first=first, second=second)
    async with running(db, machine, poll_s=0.01) as runner:
        for n in range(runs):
            await runner.start(machine, Job(), run_id=f"r{n}")
            assert (await runner.settled(f"r{n}")).ended
            await asyncio.sleep(0.03)
    return [entry.getMessage() for entry in caplog.records if "event loop was blocked" in entry.getMessage()]


async def test_an_async_agent_that_blocks_the_event_loop_is_named_once(
    db: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocked, "BLOCKED_S", 0.2)
    told = await warned(db, caplog, 3, blocking, courteous)
    assert (
        "the async agent of first of Busy (run r0)" in told[0] and "-> if it blocks, make it a plain `def`" in told[0]
    )
    assert sum("first of Busy" in text for text in told) == 1


async def test_a_plain_def_that_takes_as_long_blocks_nothing(
    db: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocked, "BLOCKED_S", 0.2)

    def slow(view: View[Any]) -> Hop:
        threading.Event().wait(0.3)
        return Hop()

    assert await warned(db, caplog, 1, slow, slow) == []


async def test_only_who_was_at_work_is_named(db: Path, caplog: pytest.LogCaptureFixture) -> None:
    holding = asyncio.Event()

    async def holds(view: View[Any]) -> Hop:
        await holding.wait()
        return Hop()

    machine = Busy.with_agents(first=holds, second=holds)
    async with running(db, machine, poll_s=3_600) as runner:
        for n in range(3):
            await runner.start(machine, Job(), run_id=f"r{n}")
        await asyncio.sleep(0)
        lives, watch = list(runner._driver.lives.values()), blocked.Blocked()
        watch.look(lives, blocked.BLOCKED_S / 2)
        assert caplog.messages == []
        watch.look(lives, 2.34)
        watch.look(lives, 5.0)
        assert [text.splitlines()[0] for text in caplog.messages] == [
            "the event loop was blocked for 2.3 s, and with it every run here; "
            "at work was the async agent of first of Busy (run r0)"
        ]
        for live in lives:
            live.in_agent = False
        blocked.Blocked().look(lives, 5.0)
        assert len(caplog.messages) == 1
        for live in lives:
            live.in_agent = True
        holding.set()
        for n in range(3):
            await runner.settled(f"r{n}")
