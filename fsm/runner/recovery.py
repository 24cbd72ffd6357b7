"""Runs as their journal tells them, and going on with those that nobody advances."""

from fsm.core.recall import recall
from fsm.core.record import NOTHING, Record
from fsm.core.snapshot import apply
from fsm.crash import point
from fsm.define.parts import START
from fsm.define.payload import Invalid, Payload
from fsm.define.spec import MachineSpec
from fsm.journal.rows import Call, Run, snapshot_bytes
from fsm.runner.driver import Driver
from fsm.runner.live import Live
from fsm.runner.spending import look_back


def load(driver: Driver, run: Run) -> Live:
    """The run in memory; from its records if it is not. Raises `MachineUnknown`, `MachineChanged`, `Invalid`."""
    if run.key in driver.lives:
        return driver.lives[run.key]
    read = driver.journal.read
    engine = driver.machines.engine(run, read)
    base = read.snapshot(run.key)
    records = list(read.records(run.key, base.seq if base else -1))
    snapshot = recall(engine.spec, records, base)
    seq = max(snapshot.entered, 0)
    entered = next((record for record in records if record.seq == seq), None) or read.record(run.key, seq)
    return Live(
        run=run,
        engine=engine,
        snapshot=snapshot,
        payload=stored(engine.spec, entered),
        folded=sum(len(record.body or b"") for record in records),
        snapshot_bytes=snapshot_bytes(base) if base else 0,
    )


def stored(spec: MachineSpec, record: Record) -> Payload:
    """The payload of a record, as its class reads it today."""
    if record.body is None or record.digest is None:
        raise Invalid([f"record {record.seq}: its payload was erased"], "")
    return spec.stored(record.event, record.body, record.digest)


async def take_over(driver: Driver, run: Run, why: str, by: str = "", answer: Call | None = None) -> bool:
    """Go on with a run that nobody advances, or that was halted: a `resumed` record, and a new attempt.

    `answer` is a call row that goes with the record. False if it has moved on since its row was read, or if it is
    a suspect that has to wait.
    """
    if driver.suspects.waits(run):
        return False
    live = load(driver, run)
    if not driver.suspects.admit(live, why):
        return False
    live.hands += 1
    driver.lives[run.key] = live
    try:
        async with live.turn:
            still = live.snapshot.seq == run.seq
            if still:
                await _resume(driver, live, why, by, answer)
            return still
    except BaseException:
        driver.forget(live)
        raise
    finally:
        live.hands -= 1
        driver.let_go(live)


async def _resume(driver: Driver, live: Live, why: str, by: str, answer: Call | None) -> None:
    spec, before = live.engine.spec, live.snapshot
    waits = before.state != START and spec.state[before.state].kind == "waiting"
    record = Record(
        seq=before.seq + 1,
        kind="resumed",
        at_ms=max(driver.clock.now_ms(), before.at_ms),
        source=before.state,
        state=before.state,
        outcome="waiting" if waits else "running",
        attempt=before.attempt + 1,
        note={"why": why, **({"by": by} if by else {}), **({"key": answer.key} if answer else {})},
    )
    timeout_ms = spec.state[before.state].timeout_ms if waits else None
    record = await driver.journal.append(live.run, record, call=answer, timeout_ms=timeout_ms)
    point("resume.committed")
    live.snapshot = apply(spec, before, record)
    live.spent = live.in_rows = NOTHING
    look_back(live, driver.journal.read)
    driver.failed.lift(live.run.key)
    driver.tell(live, record)
    if not waits:
        again = before.state == START and before.pending is None
        driver.drive(live, live.payload if again else None)
