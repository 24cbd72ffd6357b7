"""Runs as their journal tells them, and going on with those that nobody advances."""

from collections.abc import Sequence

from fsm.core.deadline import time_for
from fsm.core.fork import failure_in
from fsm.core.recall import Unread, recall, stored
from fsm.core.record import NOTHING, Record
from fsm.core.snapshot import apply, failure_seq
from fsm.crash import point
from fsm.define.events import RuntimeEvent
from fsm.define.parts import START
from fsm.errors import JournalError, RunUnreadable
from fsm.journal.reader import Reader
from fsm.journal.rows import Call, Run, snapshot_bytes
from fsm.runner.bodies import said_of
from fsm.runner.driver import Driver
from fsm.runner.hearing import hear, in_hand
from fsm.runner.live import Live
from fsm.runner.spending import is_limited, look_back


def load(driver: Driver, run: Run) -> Live:
    """The run in memory; from its records if it is not. Raises `MachineUnknown`, `MachineChanged`, `RunUnreadable`."""
    if run.key in driver.lives:
        return driver.lives[run.key]
    read = driver.journal.read
    engine = driver.machines.engine(run, read)
    base = read.snapshot(run.key)
    records = list(read.records(run.key, base.seq if base else -1))
    try:
        snapshot = recall(engine.spec, records, base)
        seqs = max(snapshot.given, 0), failure_seq(snapshot)
        given, failure = (_record(read, run.key, records, seq) for seq in seqs)
        assert given is not None
        payload = stored(engine.spec, given)
        failed = stored(engine.spec, failure).value if failure is not None else failure_in(given)
    except Unread as unread:
        seq, event, problems = unread.record.seq, unread.record.event, tuple(unread.problems)
        raise RunUnreadable(run_id=run.run_id, machine=run.machine, seq=seq, event=event, problems=problems) from unread
    live = Live(
        run=run,
        engine=engine,
        snapshot=snapshot,
        payload=payload,
        failure=failed if isinstance(failed, RuntimeEvent) else None,
        folded=sum(len(record.body or b"") for record in records),
        snapshot_bytes=snapshot_bytes(base) if base else 0,
    )
    if is_limited(live):
        live.visit = sum((record.spent for record in read.records(run.key, snapshot.entered)), NOTHING)
    return live


def _record(read: Reader, run: int, records: Sequence[Record], seq: int | None) -> Record | None:
    """The record with this seq, one of `records` if it is there."""
    if seq is None:
        return None
    return next((record for record in records if record.seq == seq), None) or read.record(run, seq)


async def take_over(driver: Driver, run: Run, why: str, by: str = "", answer: Call | None = None) -> bool:
    """Go on with a run that nobody advances, or that was halted: a `resumed` record, and a new attempt.

    `answer` is a call row that goes with the record. False if it has moved on since its row was read, or if it is
    a suspect that has to wait.
    """
    if driver.suspects.waits(run):
        return False
    live = load(driver, run)
    if not driver.suspects.admit(live, why, driver.clock.now_ms()):
        return False
    with in_hand(driver, live):
        async with live.turn:
            if live.snapshot.seq != run.seq:
                return False
            token, before = live.token, live.snapshot
            await _resume(driver, live, why, by, answer)
        try:
            await hear(driver, live)  # before its agent begins: it may be cancelled there
        except Exception as error:  # the run is this runner's by now
            driver.give_up(live, error)
        if live.token == token and live.snapshot.outcome == "running":
            again = before.state == START and before.pending is None
            driver.drive(live, live.payload if again else None)
    return True


def _look_back_on_tries(read: Reader, live: Live) -> None:
    """What came of the lost attempt's calls, beyond what a record of the visit says of them.

    That is not only what came after the last record: one of an event from outside may have been planned before.
    """
    live.strikes = {}
    now, key = live.snapshot, live.run.key
    if not live.engine.spec.watched:
        return
    said = {name: record.seq for record in read.records(key, now.entered) for name in record.strikes}
    for row in read.calls(key, now.entered):
        mine = row.kind == "outcome" and (row.entered, row.attempt) == (now.entered, now.attempt)
        if mine and row.seq >= said.get(row.name, now.entered):
            live.tried(row.name, said_of(row.status, row.body or b"null"))


async def _resume(driver: Driver, live: Live, why: str, by: str, answer: Call | None) -> None:
    """Commit and adopt the record; what goes wrong after that is no reason to leave the run alone."""
    spec, before = live.engine.spec, live.snapshot
    waits = before.state != START and spec.state[before.state].kind == "waiting"
    at_ms = max(driver.clock.now_ms(), before.at_ms)
    _look_back_on_tries(driver.journal.read, live)
    record = Record(
        seq=before.seq + 1,
        kind="resumed",
        at_ms=at_ms,
        source=before.state,
        state=before.state,
        outcome="waiting" if waits else "running",
        attempt=before.attempt + (not before.rests(at_ms)),  # in a pause no attempt is lost
        strikes=live.strikes,
        note={"why": why, **({"by": by} if by else {}), **({"key": answer.key} if answer else {})},
    )
    times = record.at_ms, before.started_at_ms, before.entered_at_ms
    timeout_ms = time_for(spec, spec.state[before.state], *times) if waits else None
    try:
        record = await driver.journal.append(live.run, record, call=answer, timeout_ms=timeout_ms)
    except BaseException:
        driver.forget(live)
        raise
    point("resume.committed")
    live.snapshot = apply(spec, before, record)
    live.strikes, live.called = {}, set()
    live.visit += record.spent
    live.spent = live.in_rows = NOTHING
    driver.failed.lift(live.run.key)
    driver.observers.tell(live, record)
    try:
        look_back(live, driver.journal.read)
    except JournalError as error:
        driver.give_up(live, error)
