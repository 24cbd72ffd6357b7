"""Accepting a changed machine for a run that was recorded under another definition of it."""

from attrs import evolve

from fsm.core.recall import Unread, recall
from fsm.core.record import Record
from fsm.define.payload import digest
from fsm.define.spec import MachineSpec
from fsm.errors import MachineUnknown, NotResumable
from fsm.journal.rows import Run
from fsm.runner.driver import Driver


async def repin(driver: Driver, run: Run, by: str) -> Run:
    """A `repinned` record: the run belongs to today's definition from here on.

    The position is folded under the old definition and kept in a snapshot row, so that no later read has
    to read old records by new rules. Memory is folded by the new code where the old lines still exist.
    """
    engine = driver.machines.by_name.get(run.machine)
    if engine is None:
        raise MachineUnknown(run_id=run.run_id, machine=run.machine)
    spec, read = engine.spec, driver.journal.read
    if spec.fingerprint == run.fingerprint:
        return run
    if run.state not in spec.state:
        raise NotResumable(run_id=run.run_id, why=f"it is in state {run.state}, which {run.machine} no longer has")
    old = read.spec(run.fingerprint)
    base = read.snapshot(run.key)
    records = list(read.records(run.key, base.seq if base else -1))
    try:
        before = recall(with_code(old, spec), records, base)
    except Unread as unread:
        why = "; ".join([f"record {unread.record.seq} ({unread.record.event})", *unread.problems])
        raise NotResumable(run_id=run.run_id, why=why) from None
    record = Record(
        seq=before.seq + 1,
        kind="repinned",
        at_ms=max(driver.clock.now_ms(), before.at_ms),
        source=before.state,
        state=before.state,
        outcome=before.outcome,
        attempt=before.attempt,
        memory=digest(before.memory) if before.memory is not None else None,
        note={"from": run.fingerprint, "to": spec.fingerprint, **({"by": by} if by else {})},
    )
    await driver.journal.append(run, record, spec=spec, snapshot=before)
    return read.run(run.run_id)


def with_code(old: MachineSpec, new: MachineSpec) -> MachineSpec:
    """The old machine with today's memory, payload classes and, on lines of the same name, `remember` functions."""
    remember = {state.name: state.remember for state in new.states}
    remember |= {line.name: line.remember for line in new.transitions}
    former = {event: new.classes[now] for event, now in new.formerly.items()}
    return evolve(
        old,
        states=tuple(evolve(state, remember=remember.get(state.name)) for state in old.states),
        transitions=tuple(evolve(line, remember=remember.get(line.name)) for line in old.transitions),
        classes=former | dict(new.classes),
        memory_class=new.memory_class,
    )
