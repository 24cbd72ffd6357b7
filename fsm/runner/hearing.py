"""Hearing what waits in the inbox of a run that this runner has in hand."""

from collections.abc import Iterator
from contextlib import contextmanager

from fsm.core.record import ENDED, HALTED
from fsm.define.payload import Invalid, Payload, told
from fsm.errors import RunEnded, RunHalted
from fsm.journal.reader import Posted, Reader
from fsm.journal.rows import Run
from fsm.runner.driver import Driver
from fsm.runner.live import Live


@contextmanager
def in_hand(driver: Driver, live: Live) -> Iterator[None]:
    """The run stays in memory while something is decided for it; who waits for it looks again afterwards."""
    live.hands += 1
    driver.lives[live.run.key] = live
    try:
        yield
    finally:
        live.hands -= 1
        driver.let_go(live)
        driver.waiting.wake(live.run.key)


async def hear(driver: Driver, live: Live) -> None:
    """Decide the events that wait for this run, oldest first."""
    async with live.door:
        for posted in driver.journal.read.inbox(live.run.key):
            await _decide(driver, live, posted)


async def _decide(driver: Driver, live: Live, posted: Posted) -> None:
    """Decide a posted event, if the run still hears it: an ended one hears nothing, a halted one `Cancelled`."""
    payload, unread = read_today(live, posted.event, posted.body.encode(), posted.digest)
    deaf = ENDED if payload.event == "Cancelled" else ENDED | HALTED
    await driver.decide(
        live,
        payload,
        own=False,
        event_id=posted.event_id,
        inbox=posted.id,
        unread=unread,
        still=lambda now: now.outcome not in deaf,
    )


def read_today(live: Live, event: str, body: bytes | None, digest: bytes) -> tuple[Payload, str]:
    """A payload from the journal; or only its name and digest, and why it is read no more."""
    try:
        if body is None:
            raise Invalid(["its payload was erased"], "")
        return live.engine.spec.stored(event, body, digest), ""
    except Invalid as invalid:
        return Payload(event, None, b"", digest), told(invalid)


def check_heard(read: Reader, run: Run, event: str, since: int, waits: bool) -> None:
    """Raises if an event that has no record will get none: the run has ended, or halted, if only for a while.

    `since` is a record before it was posted; `waits` says that it is in the inbox.
    """
    if run.ended:
        raise RunEnded(run_id=run.run_id, outcome=run.outcome, event=event)
    if event == "Cancelled":
        return
    halted = run.outcome if run.halted else ""
    if not waits and not halted:  # somebody has resumed it already
        halted = next((record.outcome for record in read.records(run.key, since) if record.kind == "halted"), "")
    if halted:
        raise RunHalted(run_id=run.run_id, outcome=halted, event=event)
