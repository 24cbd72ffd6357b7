"""A changed machine for a run that was recorded under another definition of it: can it go on, and accepting it.

What stands in the way is read from the journal alone and written nowhere; `repin` and `fsm migrate` both act by it.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal

from attrs import evolve, frozen

from fsm.clock import Clock
from fsm.core.recall import Unread, recall, stored
from fsm.core.record import Record
from fsm.core.snapshot import Snapshot, failure_seq
from fsm.define.events import RUNTIME_EVENTS
from fsm.define.parts import START
from fsm.define.payload import Invalid, Payload, digest
from fsm.define.spec import MachineSpec
from fsm.errors import MachineUnknown, NotResumable
from fsm.journal.forks import position_at
from fsm.journal.journal import Journal
from fsm.journal.reader import Posted, Reader
from fsm.journal.rows import Run
from fsm.runner.driver import Driver

Why = Literal["state", "memory", "visit", "failure", "pending", "inbox"]


@frozen
class Obstacle:
    """Why a run cannot go on with today's machine, or what it would lose.

    `why`: its `state` is gone or is another kind of state; its `memory` cannot be folded; today's code does not read
    the payload of its `visit`, of the `failure` that this attempt answers to, of the event that is `pending`, or of
    one in its `inbox`. `what` is the state or the event, `seq` the record, None of what is on none.
    """

    why: Why
    what: str
    problems: tuple[str, ...]
    seq: int | None = None

    @property
    def stops(self) -> bool:
        """Whether the run cannot go on at all; else only an event is lost: recorded as unread, and gone."""
        return self.why not in ("pending", "inbox")

    def __str__(self) -> str:
        where = [f"record {self.seq} ({self.what})"] if self.seq is not None else []
        return "; ".join([*where, *self.problems])


@frozen(kw_only=True)
class Prospect:
    """What becomes of a run under today's machine; `before` is where it stands, None where that cannot be told."""

    run: Run
    spec: MachineSpec
    obstacles: tuple[Obstacle, ...]
    before: Snapshot | None = None


def prospect(read: Reader, run: Run, spec: MachineSpec) -> Prospect:
    """Whether this run can go on with `spec`, which has its code; nothing is written.

    The position is folded under the old definition. Memory is folded by the new code where the old lines still exist.
    The run's row is read anew, and nothing after it: it may have moved on, or been accepted, since it was listed.
    """
    run = read.run(run.run_id)
    found = list(_of_state(run, spec))
    base = position_at(read, run, run.seq)
    records = read.span(run.key, base.seq + 1 if base else 0, run.seq)
    try:
        before = recall(with_code(read.spec(run.fingerprint), spec), records, base)
    except Unread as unread:
        lost = Obstacle("memory", unread.record.event, tuple(unread.problems), unread.record.seq)
        return Prospect(run=run, spec=spec, obstacles=(*found, lost))
    found += _of_records(read, run, spec, before)
    found += [obstacle for posted in read.inbox(run.key) for obstacle in _of_inbox(posted, spec)]
    return Prospect(run=run, spec=spec, obstacles=tuple(found), before=before)


def _of_state(run: Run, spec: MachineSpec) -> Iterator[Obstacle]:
    if run.state == START:
        return
    state = spec.state.get(run.state)
    if state is None:
        yield Obstacle("state", run.state, (f"it is in state {run.state}, which {run.machine} no longer has",))
    elif state.kind == "final":
        yield Obstacle("state", run.state, (f"it is in state {run.state}, which is final now",))
    elif state.kind == "agent" and run.outcome == "waiting":
        yield Obstacle("state", run.state, (f"it waits in {run.state}, which has an agent now",))


def _of_records(read: Reader, run: Run, spec: MachineSpec, before: Snapshot) -> Iterator[Obstacle]:
    state = spec.state.get(before.state)
    works = state is not None and state.kind == "agent"
    seqs: list[tuple[Why, int | None]] = [("visit", max(before.given, 0)), ("failure", failure_seq(before))]
    seqs.append(("pending", before.pending.seq if before.pending is not None else None))
    for why, seq in seqs:
        if seq is None:
            continue
        record = read.record(run.key, seq)
        problems = _problems(partial(stored, spec, record), why != "visit" or works)
        if problems:
            yield Obstacle(why, record.event, problems, seq)


def _of_inbox(posted: Posted, spec: MachineSpec) -> Iterator[Obstacle]:
    problems = _problems(partial(spec.stored, posted.event, posted.body.encode(), posted.digest), True)
    if problems:
        yield Obstacle("inbox", posted.event, problems)


def _problems(read: Callable[[], Payload], needed: bool) -> tuple[str, ...]:
    """Why a payload is read no more; of one that nobody will look at only that it is not valid."""
    try:
        payload = read()
    except Invalid as invalid:
        return tuple(invalid.problems)
    gone = needed and payload.value is None and payload.event not in RUNTIME_EVENTS
    return (f"the machine no longer has its payload {payload.event}",) if gone else ()


async def repin(driver: Driver, run: Run, by: str) -> Run:
    """A `repinned` record: the run belongs to today's definition from here on; `NotResumable` where it cannot."""
    engine = driver.machines.by_name.get(run.machine)
    if engine is None:
        raise MachineUnknown(run_id=run.run_id, machine=run.machine)
    if engine.spec.fingerprint == run.fingerprint:
        return run
    found = prospect(driver.journal.read, run, engine.spec)
    if stops := next((obstacle for obstacle in found.obstacles if obstacle.stops), None):
        raise NotResumable(run_id=run.run_id, why=str(stops))
    return await accept(driver.journal, driver.clock, found, by=by)


async def accept(journal: Journal, clock: Clock, found: Prospect, *, by: str = "", reason: str = "") -> Run:
    """Write the record, in a transaction of its own; `Fenced` where another runner advances the run, or it moved on.

    The position before it is kept in a snapshot row, so that no later read has to read old records by new rules.
    """
    run, before = found.run, found.before
    assert before is not None, f"{run} has {found.obstacles}"
    said = {name: text for name, text in (("by", by), ("reason", reason)) if text}
    record = Record(
        seq=before.seq + 1,
        kind="repinned",
        at_ms=max(clock.now_ms(), before.at_ms),
        source=before.state,
        state=before.state,
        outcome=before.outcome,
        attempt=before.attempt,
        memory=digest(before.memory) if before.memory is not None else None,
        note={"from": run.fingerprint, "to": found.spec.fingerprint, **said},
    )
    await journal.append(run, record, spec=found.spec, snapshot=before)
    return journal.read.run(run.run_id)


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
