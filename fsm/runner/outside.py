"""What reaches runs from outside their visits: events in the inbox, timers that ran out, runs left by others."""

import logging

from attrs import define, field

from fsm.define.events import TimedOut
from fsm.define.payload import Invalid, Payload, seal, unseal
from fsm.errors import FsmError, MachineChanged, MachineUnknown
from fsm.journal.reader import Posted, Timer
from fsm.journal.rows import Run
from fsm.runner.driver import Driver
from fsm.runner.live import Live

log = logging.getLogger("fsm.runner")


@define(eq=False)
class Outside:
    """Works off what waits in the journal for runs that this runner advances, or that nobody does."""

    driver: Driver
    _told: set[int] = field(factory=set)

    async def look(self) -> None:
        """Inboxes and timers, once."""
        driver = self.driver
        read, fingerprints = driver.journal.read, list(driver.machines.by_fingerprint)
        for run in read.called(driver.journal.epoch, fingerprints):
            await self.attend(run)
        for timer in read.due(driver.clock.now_ms(), driver.journal.epoch, fingerprints):
            await self._ring(timer)

    async def adopt(self) -> int:
        """Take over the runs that nobody advances; how many. Those of other machines are named once and left."""
        driver, taken = self.driver, 0
        for run in driver.journal.read.ownerless(driver.clock.monotonic()):
            if run.key in driver.lives or run.key in driver.failed:
                continue
            try:
                await driver.take_over(run, "lost" if run.owner else "released")
                taken += 1
            except (MachineUnknown, MachineChanged, Invalid) as error:
                if run.key not in self._told:
                    self._told.add(run.key)
                    log.warning("run %s is left alone: %s", run.run_id, error)
            except FsmError as error:
                log.info("run %s was not taken over: %s", run.run_id, error)
        return taken

    async def attend(self, run: Run) -> None:
        """Decide the events that wait for this run, oldest first."""
        live = self.driver.load(run)
        self.driver.lives.setdefault(run.key, live)
        try:
            async with live.door:
                for posted in self.driver.journal.read.inbox(run.key):
                    if live.snapshot.outcome in ("completed", "failed", "cancelled"):
                        await self.driver.journal.discard(run)
                        break
                    if live.snapshot.outcome in ("stopped", "stuck") and posted.event != "Cancelled":
                        continue
                    await self._decide(live, posted)
        except FsmError as error:
            self.driver.give_up(live, error)
        finally:
            self._let_go(live)

    async def _decide(self, live: Live, posted: Posted) -> None:
        body = posted.body.encode()
        payload = Payload(posted.event, unseal(live.engine.spec.classes[posted.event], body), body, posted.digest)
        await self.driver.decide(live, payload, own=False, event_id=posted.event_id, inbox=posted.id)

    async def _ring(self, timer: Timer) -> None:
        """A wait or a deferral is over."""
        driver = self.driver
        run = driver.journal.read.run_at(timer.run)
        live = driver.load(run)
        driver.lives.setdefault(run.key, live)
        try:
            pending = live.snapshot.pending
            if live.snapshot.entered != timer.entered:
                return
            if timer.kind == "defer" and pending is not None:
                record = driver.journal.read.record(run.key, pending.seq)
                payload = driver.stored(live.engine.spec.classes, record)
                decided = await driver.decide(live, payload, own=pending.own, event_id=pending.event_id)
                if decided is not None and live.snapshot.outcome == "running" and not live.in_agent and pending.own:
                    driver.drive(live)
            elif timer.kind == "timeout" and live.snapshot.outcome == "waiting":
                timeout_ms = live.engine.spec.state[live.snapshot.state].timeout_ms or 0
                event = TimedOut(timeout_ms=timeout_ms, attempt=live.snapshot.attempt)
                await driver.decide(live, seal(event, live.engine.spec.bounds.payload_bytes_max))
        except FsmError as error:
            driver.give_up(live, error)
        finally:
            self._let_go(live)

    def _let_go(self, live: Live) -> None:
        if live.snapshot.outcome != "running":
            self.driver.lives.pop(live.run.key, None)
