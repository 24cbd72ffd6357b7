"""What a runner does by itself, again and again: keep its lease, notice deadlines, look into the journal."""

import asyncio
import logging

from attrs import define, field

from fsm.errors import JournalClosed
from fsm.runner.blocked import Blocked
from fsm.runner.driver import Driver
from fsm.runner.outside import Outside

log = logging.getLogger("fsm.runner")

ADOPT_S = 1.0
FRESH_S = 0.5


@define(eq=False)
class Pulse:
    """Two tasks: one that never waits for the journal's writer, and one that does."""

    driver: Driver
    outside: Outside
    poll_s: float
    _version: int = -1
    _woken: int = 0
    _stale: bool = False
    _tasks: "list[asyncio.Task[None]]" = field(factory=list)
    _looking: asyncio.Lock = field(factory=asyncio.Lock)
    _blocked: Blocked = field(factory=Blocked)

    def keep(self) -> None:
        """The beat alone: whatever takes long from here on, the lease is kept."""
        self._tasks.append(asyncio.create_task(self._beat()))

    def watch(self) -> None:
        self._tasks.append(asyncio.create_task(self._watch()))

    async def stop(self) -> None:
        """What is being decided is decided first."""
        async with self._looking:
            for task in self._tasks:
                task.cancel()

    async def _beat(self) -> None:
        """The lease is kept, deadlines are noticed, and so is an event loop that comes back late.

        That is measured by the loop's own clock, which nobody moves.
        """
        driver, loop = self.driver, asyncio.get_running_loop()
        back_s = loop.time()
        while True:
            try:
                self._blocked.look(driver.lives.values(), loop.time() - back_s)
                driver.journal.tick(driver.threads.hung)
                driver.watchdog.look(driver.clock.monotonic())
            except JournalClosed as closed:
                driver.lose(closed)
                return
            except Exception:
                log.exception("a beat failed; going on")
            due = driver.watchdog.next()
            rest = self.poll_s if due is None else min(self.poll_s, max(0.0, due - driver.clock.monotonic()))
            back_s = loop.time() + rest
            await asyncio.sleep(rest)

    async def _watch(self) -> None:
        """Events and timers in the journal, other processes' commits, runs left by others."""
        beats = 0
        while not self.driver.stopping:
            beats += 1
            async with self._looking:
                try:
                    await self._look(beats)
                except Exception:
                    log.exception("the journal could not be looked at; trying again")
            await asyncio.sleep(self.poll_s)

    async def _look(self, beats: int) -> None:
        """Look where there may be something to see: after a commit, at a timer's time, and once in a while anyway.

        Our own commits change the version too, so on a busy journal those who wait are woken no more often
        than every FRESH_S.
        """
        outside, fresh, anyway = self.outside, self._every(FRESH_S), beats % self._every(ADOPT_S) == 0
        version = self.driver.journal.read.version()
        if await outside.retry() or version != self._version or anyway or outside.ringing:
            await outside.look()
            self._version, self._stale = version, self._stale or version != self._version
        if self._stale and beats - self._woken >= fresh:
            self._woken, self._stale = beats, False
            self.driver.waiting.wake_all(but=self.driver.lives)
        if anyway:
            outside.yield_taken()
            await outside.adopt()

    def _every(self, seconds: float) -> int:
        """So many beats."""
        return round(seconds / self.poll_s) or 1
