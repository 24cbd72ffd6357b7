"""When a runner looks into its journal: after a commit, at a timer's time, and once in a while anyway."""

import asyncio
from collections.abc import Container
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from fsm import Machine, Runner, SqliteJournal, State, TimedOut
from fsm.define.payload import seal
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
