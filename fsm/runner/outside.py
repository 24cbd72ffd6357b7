"""What reaches runs from outside their visits: events in the inbox, timers that ran out, runs left by others."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from attrs import define, field

from fsm.core.snapshot import Pending
from fsm.define.events import RUNTIME_BYTES_MAX, PayloadInvalid, TimedOut
from fsm.define.payload import excerpt, seal
from fsm.errors import Fenced, JournalError, MachineChanged, MachineUnknown, RunUnreadable
from fsm.journal.reader import Timer
from fsm.journal.rows import Run
from fsm.runner.driver import Driver, Still
from fsm.runner.failed import Failure
from fsm.runner.hearing import hear, in_hand, read_today
from fsm.runner.live import Live
from fsm.runner.recovery import load, take_over

log = logging.getLogger("fsm.runner")

AT_ONCE = 256
FOREIGN = (MachineUnknown, MachineChanged, RunUnreadable)

Standing = tuple[int, str, int]
T = TypeVar("T")


@define(eq=False)
class Outside:
    """Works off what waits in the journal for runs that this runner advances, or that nobody does.

    `only` are the keys of the runs it may take up; None: every run of its machines.
    """

    driver: Driver
    only: set[int] | None = None
    next_ms: int | None = None
    _left: dict[int, Standing | None] = field(factory=dict)

    async def look(self) -> None:
        """Inboxes and timers, once; `next_ms` is when the next timer runs out, as far as is known by then."""
        driver = self.driver
        read, fingerprints = driver.journal.read, list(driver.machines.by_fingerprint)
        epoch, failed = driver.journal.epoch, driver.failed
        await _each(self.attend, read.called(epoch, fingerprints, failed.runs))
        now_ms = driver.clock.now_ms()
        await _each(self._ring, read.due(now_ms, epoch, fingerprints, failed.runs))
        self.next_ms = read.next_due(now_ms)

    @property
    def ringing(self) -> bool:
        """Whether a timer has run out since the last look."""
        return self.next_ms is not None and self.next_ms <= self.driver.clock.now_ms()

    async def retry(self) -> bool:
        """Try again what failed, where it is time; whether there was anything."""
        due = self.driver.failed.due()
        await _each(self._retry, due)
        return bool(due)

    async def _retry(self, failure: Failure) -> None:
        """Go on where the journal failed; with any other error let go of the run, for others to take up."""
        driver, error, live = self.driver, failure.error, failure.live
        assert error is not None
        try:
            run = driver.journal.read.run_at(failure.run)
            if run.entered != failure.entered or run.owner not in (0, driver.journal.epoch):
                driver.failed.forget(run.key)
            elif not isinstance(error, JournalError):
                driver.failed.note(run.key, run.entered, error)
                if run.owner:
                    await driver.journal.release(run)
            elif run.outcome != "running":  # its events and timers wait in the journal
                driver.failed.lift(run.key)
            elif run.key in driver.lives:  # somebody else is about to go on with it
                driver.failed.wait(run.key)
            elif live is not None and failure.payload is not None and live.snapshot.seq == run.seq:
                driver.failed.lift(run.key)
                driver.drive(live, failure.payload)
            elif not await take_over(driver, run, "lost"):
                driver.failed.wait(run.key)
        except Fenced:
            driver.failed.wait(failure.run)  # it has moved; next time its row says whether it is still this runner's
        except Exception as again:
            log.warning("run with key %d still cannot go on here: %s", failure.run, again)
            error = again if isinstance(error, JournalError) else error
            driver.failed.note(failure.run, failure.entered, error, live, failure.payload)

    async def adopt(self) -> None:
        """Take over the runs that nobody advances. Those of other machines are named once and left."""
        driver = self.driver
        await driver.journal.reap()
        left = driver.journal.read.ownerless(driver.clock.monotonic(), driver.failed.runs)
        await _each(self._adopt, [run for run in left if self._may(run)])

    def _may(self, run: Run) -> bool:
        """Whether this run is one to take over; what only other code can read is not read again and again."""
        allowed = self.only is None or run.key in self.only
        return allowed and run.key not in self.driver.lives and self._left.get(run.key) != self._standing(run)

    def _standing(self, run: Run) -> Standing:
        """What has to change before a run can be read that could not be."""
        return run.seq, run.fingerprint, len(self.driver.machines.by_fingerprint)

    def yield_taken(self) -> None:
        """Let go of the runs that another runner took over while this one was stalled: nothing of it counts."""
        driver = self.driver
        owned = driver.journal.read.owned(driver.journal.epoch)
        for live in list(driver.lives.values()):
            deciding = live.turn.locked()  # then its row may be ahead of what is in memory
            if live.snapshot.outcome == "running" and live.run.key not in owned and not deciding:
                driver.give_up(live, Fenced(run_id=live.run.run_id, why="another runner advances it"))

    async def _adopt(self, run: Run) -> None:
        try:
            await take_over(self.driver, run, "lost" if run.owner else "released")
        except Exception as error:
            if run.key not in self._left:
                log.warning("run %s is left alone: %s", run.run_id, error)
            self._left[run.key] = self._standing(run) if isinstance(error, FOREIGN) else None

    async def attend(self, run: Run) -> None:
        """Decide the events that wait for this run, oldest first."""
        with self._held(run) as live:
            if live is not None:
                await hear(self.driver, live)

    async def _ring(self, timer: Timer) -> None:
        """A wait or a deferral is over."""
        driver = self.driver
        with self._held(driver.journal.read.run_at(timer.run)) as live:
            if live is None or live.snapshot.entered != timer.entered:
                return
            pending, entered = live.snapshot.pending, timer.entered
            if timer.kind == "defer" and pending is not None:
                await self._decide_again(live, pending)
            elif timer.kind == "timeout" and live.snapshot.outcome == "waiting":
                waited_ms = timer.due_ms - live.snapshot.entered_at_ms
                event = TimedOut(timeout_ms=waited_ms, attempt=live.snapshot.attempt)
                still: Still = lambda now: (now.entered, now.outcome) == (entered, "waiting")  # noqa: E731
                await driver.decide(live, seal(event, RUNTIME_BYTES_MAX), still=still)

    async def _decide_again(self, live: Live, pending: Pending) -> None:
        """Decide the event that was put off; an own one that can be read no more is an invalid payload."""
        driver = self.driver
        record = driver.journal.read.record(live.run.key, pending.seq)
        payload, unread = read_today(live, record.event, record.body, record.digest or b"")
        if unread and pending.own:
            seen, attempt = excerpt(record.body or b""), live.snapshot.attempt
            invalid = PayloadInvalid(event=record.event, problems=[unread], excerpt=seen, attempt=attempt)
            payload, unread = seal(invalid, RUNTIME_BYTES_MAX), ""
        await driver.decide(
            live,
            payload,
            own=pending.own,
            event_id=pending.event_id,
            unread=unread,
            still=lambda now: now.pending == pending,
        )

    @contextmanager
    def _held(self, run: Run) -> Iterator[Live | None]:
        """The run in memory while something is decided for it; None if it is another's to advance."""
        driver = self.driver
        if run.outcome == "running" and run.key not in driver.lives:
            yield None
            return
        try:
            live = load(driver, run)
        except Exception as error:
            driver.failed.note(run.key, run.entered, error)
            log.warning("run %s is left alone: %s", run.run_id, error)
            yield None
            return
        with in_hand(driver, live):
            try:
                yield live
            except Exception as error:
                driver.give_up(live, error)


async def _each(act: Callable[[T], Awaitable[None]], items: list[T]) -> None:
    """`act` on all items, some at once, so that their decisions share commits."""
    for start in range(0, len(items), AT_ONCE):
        await asyncio.gather(*(act(item) for item in items[start : start + AT_ONCE]))
