"""What reaches runs from outside their visits: events in the inbox, timers that ran out, runs left by others."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from attrs import define, field

from fsm.core.record import ENDED, HALTED
from fsm.define.events import RUNTIME_BYTES_MAX, TimedOut
from fsm.define.payload import Invalid, seal
from fsm.journal.reader import Posted, Timer
from fsm.journal.rows import Run
from fsm.runner.driver import Driver, Still
from fsm.runner.live import Live
from fsm.runner.recovery import load, stored, take_over

log = logging.getLogger("fsm.runner")

AT_ONCE = 256

T = TypeVar("T")


@define(eq=False)
class Outside:
    """Works off what waits in the journal for runs that this runner advances, or that nobody does.

    `only` are the keys of the runs it may take up; None: every run of its machines.
    """

    driver: Driver
    only: set[int] | None = None
    _told: set[int] = field(factory=set)

    async def look(self) -> None:
        """Inboxes and timers, once."""
        driver = self.driver
        read, fingerprints = driver.journal.read, list(driver.machines.by_fingerprint)
        called = read.called(driver.journal.epoch, fingerprints)
        await _each(self.attend, [run for run in called if run.key not in driver.failed])
        due = read.due(driver.clock.now_ms(), driver.journal.epoch, fingerprints)
        await _each(self._ring, [timer for timer in due if timer.run not in driver.failed])

    async def adopt(self) -> None:
        """Take over the runs that nobody advances. Those of other machines are named once and left."""
        driver = self.driver
        await driver.journal.reap()
        left = driver.journal.read.ownerless(driver.clock.monotonic())
        here = driver.lives.keys() | driver.failed.keys()
        may = [run for run in left if run.key not in here and (self.only is None or run.key in self.only)]
        await _each(self._adopt, may)

    async def _adopt(self, run: Run) -> None:
        try:
            await take_over(self.driver, run, "lost" if run.owner else "released")
        except Exception as error:
            if run.key not in self._told:
                self._told.add(run.key)
                log.warning("run %s is left alone: %s", run.run_id, error)

    async def attend(self, run: Run) -> None:
        """Decide the events that wait for this run, oldest first."""
        with self._held(run) as live:
            if live is None:
                return
            async with live.door:
                read = self.driver.journal.read
                for posted in read.inbox(run.key):
                    try:
                        await self._decide(live, posted)
                    except Invalid as error:  # its class reads it no more; what stands behind it must not wait
                        log.warning("%s for run %s cannot be read: %s", posted.event, run.run_id, error)
                if live.snapshot.outcome in ENDED and read.inbox(run.key, 1):
                    await self.driver.journal.discard(run)

    async def _decide(self, live: Live, posted: Posted) -> None:
        """Decide a posted event, if the run still hears it: an ended one hears nothing, a halted one `Cancelled`."""
        payload = live.engine.spec.stored(posted.event, posted.body.encode(), posted.digest)
        deaf = ENDED if payload.event == "Cancelled" else ENDED | HALTED
        await self.driver.decide(
            live,
            payload,
            own=False,
            event_id=posted.event_id,
            inbox=posted.id,
            still=lambda now: now.outcome not in deaf,
        )

    async def _ring(self, timer: Timer) -> None:
        """A wait or a deferral is over."""
        driver = self.driver
        with self._held(driver.journal.read.run_at(timer.run)) as live:
            if live is None or live.snapshot.entered != timer.entered:
                return
            pending, entered = live.snapshot.pending, timer.entered
            if timer.kind == "defer" and pending is not None:
                record = driver.journal.read.record(timer.run, pending.seq)
                payload = stored(live.engine.spec, record)
                still: Still = lambda now: now.pending == pending  # noqa: E731
                await driver.decide(live, payload, own=pending.own, event_id=pending.event_id, still=still)
            elif timer.kind == "timeout" and live.snapshot.outcome == "waiting":
                timeout_ms = live.engine.spec.state[live.snapshot.state].timeout_ms or 0
                event = TimedOut(timeout_ms=timeout_ms, attempt=live.snapshot.attempt)
                still = lambda now: (now.entered, now.outcome) == (entered, "waiting")  # noqa: E731
                await driver.decide(live, seal(event, RUNTIME_BYTES_MAX), still=still)

    @contextmanager
    def _held(self, run: Run) -> Iterator[Live | None]:
        """The run in memory while something is decided for it; None if it is another's to advance."""
        driver = self.driver
        if run.outcome == "running" and run.key not in driver.lives:
            yield None
            return
        live = None
        try:
            live = load(driver, run)
            live.hands += 1
            driver.lives[run.key] = live
            yield live
        except Exception as error:
            if live is None:
                driver.failed[run.key] = error
                log.warning("run %s is left alone: %s", run.run_id, error)
            else:
                driver.give_up(live, error)
        finally:
            if live is not None:
                live.hands -= 1
                driver.let_go(live)


async def _each(act: Callable[[T], Awaitable[None]], items: list[T]) -> None:
    """`act` on all items, some at once, so that their decisions share commits."""
    for start in range(0, len(items), AT_ONCE):
        await asyncio.gather(*(act(item) for item in items[start : start + AT_ONCE]))
