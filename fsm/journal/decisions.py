"""Many decisions in one transaction, in a handful of statements.

The rows of all runs are read once, inside the transaction; each member is fenced and concluded in order,
so members see each other; then everything they change is written together.
"""

import sqlite3
from collections.abc import Sequence

from attrs import define, evolve, field

from fsm.core.conclude import conclude
from fsm.core.record import ENDED, HALTED, Record, link
from fsm.core.snapshot import Snapshot
from fsm.errors import Fenced
from fsm.journal import bulk, timers
from fsm.journal.booking import NOTHING_BOOKED, Booked, booked
from fsm.journal.operations import ARTIFACT_SQL, Decide, Decided, Overlooked
from fsm.journal.rows import record_row, snapshot_body, snapshot_bytes
from fsm.journal.schema import RECORD_COLUMNS
from fsm.journal.shared import SharedRows
from fsm.journal.timers import timers_over, timers_set

SNAPSHOT_BYTES_MIN = 256 << 10

RUN_CHANGES = ("state", "seq", "entered", "attempt", "head", "calls", "dropped", "at_ms")
INDEXED_CHANGES = ("outcome", "owner")  # naming them rewrites two indexes, even if they stay as they are
_STANDING = "SELECT key, owner, outcome, seq, head, calls, dropped FROM run"
_BODY = RECORD_COLUMNS.index("body")


@define
class _Standing:
    """What a decision needs of its run's row; the whole row would be read and rebuilt for every hop.

    `booked` is what its call rows since the last record hold.
    """

    key: int
    owner: int
    outcome: str
    seq: int
    head: bytes
    calls: bytes | None
    dropped: int
    booked: Booked = NOTHING_BOOKED


@define
class _Changes:
    """What the members of a group want written; `turned` are the runs of which an indexed column changes."""

    records: list[bulk.Row] = field(factory=list)
    runs: dict[int, bulk.Row] = field(factory=dict)
    turned: set[int] = field(factory=set)
    artifacts: list[bulk.Row] = field(factory=list)
    snapshots: list[bulk.Row] = field(factory=list)
    consumed: list[int] = field(factory=list)
    ended: list[int] = field(factory=list)
    halted: list[int] = field(factory=list)
    timers: list[bulk.Row] = field(factory=list)
    timers_over: dict[str, list[int]] = field(factory=dict)


def apply_decisions(connection: sqlite3.Connection, members: Sequence[Decide]) -> None:
    """Sets each member's result, or its error where it is fenced; writes what the others decided."""
    keys = [member.run for member in members]
    runs = {row[0]: _Standing(*row) for row in bulk.select_in(connection, f"{_STANDING} WHERE key IN ({{keys}})", keys)}
    called = [run.key for run in runs.values() if run.calls]
    for key, found in booked(connection, called).items():
        runs[key].booked = found
    changes, shared = _Changes(), SharedRows(connection)
    for member in members:
        run = runs[member.run]
        why = _fence(run, member)
        if why is not None:
            member.error = Fenced(run_id=member.run_id, why=why)
            continue
        if run.booked.spent and (more := run.booked.spent - member.booked):
            member.error = Overlooked(more)
            continue
        machine, at_ms = member.engine.spec.name, member.plan.event.at_ms
        shared.enter(member.run, at_ms, member.lease_ms, machine, member.labels)
        decision = conclude(member.engine, member.snapshot, member.plan, shared)
        member.result = Decided(decision)
        _note(changes, run, member, member.result, shared)
    _write(connection, changes)
    shared.write()


def _fence(run: _Standing, member: Decide) -> str | None:
    if run.owner not in (0, member.epoch):
        return "another runner advances it"
    if run.outcome in ENDED:
        return f"it has ended ({run.outcome})"
    if run.seq != member.snapshot.seq:
        return f"it has moved on to record {run.seq}"
    return None


def _note(changes: _Changes, run: _Standing, member: Decide, decided: Decided, shared: SharedRows) -> None:
    """Adds what this member writes; `run` stands from now on as its row will, for the members after it."""
    if member.inbox is not None:
        changes.consumed.append(member.inbox)
    record, after = decided.decision.record, decided.decision.snapshot
    if record is None:
        run.dropped += 1
    else:
        if run.calls or run.dropped:
            note = {**record.note, "dropped": run.dropped} if run.dropped else record.note
            record = evolve(record, calls=run.calls, note={**note, **run.booked.note})
            decided.decision = evolve(decided.decision, record=record)
        detail = record.detail
        run.head = link(run.head, record.header(detail))
        owner = member.epoch if record.outcome == "running" else 0
        if (run.outcome, run.owner) != (record.outcome, owner):
            changes.turned.add(run.key)
        run.seq, run.outcome, run.owner = record.seq, record.outcome, owner
        run.calls, run.dropped, run.booked = None, 0, NOTHING_BOOKED
        _note_record(changes, member, record, detail, run.head)
        _note_timers(changes, member, record, after, shared)
        _note_deaf(changes, member.run, record)
        _note_snapshot(changes, member, decided, after)
    changes.runs[run.key] = (
        run.key,
        after.state,
        run.seq,
        after.entered,
        after.attempt,
        run.head,
        run.calls,
        run.dropped,
        after.at_ms,
        run.outcome,
        run.owner,
    )


def _note_record(changes: _Changes, member: Decide, record: Record, detail: bytes, head: bytes) -> None:
    row = record_row(member.run, record, detail, head)
    changes.records.append(row)
    if row[_BODY] is None and record.body is not None:
        changes.artifacts.append((record.digest, record.body.decode()))


def _note_timers(changes: _Changes, member: Decide, record: Record, after: Snapshot, shared: SharedRows) -> None:
    for kind in timers_over(member.snapshot, after):
        changes.timers_over.setdefault(kind, []).append(member.run)
    spec = member.engine.spec
    changes.timers += timers_set(member.run, spec, member.snapshot, after, record, shared.awaited(spec, record))


def _note_deaf(changes: _Changes, run: int, record: Record) -> None:
    """What waits in the inbox of a run that hears nothing more goes with the record that says so."""
    if record.outcome in ENDED:
        changes.ended.append(run)
    elif record.outcome in HALTED:
        changes.halted.append(run)


def _note_snapshot(changes: _Changes, member: Decide, decided: Decided, after: Snapshot) -> None:
    """A snapshot row when the payload bytes since the last outgrow it; so the total stays linear."""
    folded = member.folded + len(member.plan.event.payload.body)
    if folded <= max(SNAPSHOT_BYTES_MIN, member.snapshot_bytes):
        return
    memory = after.memory.decode() if after.memory is not None else None
    changes.snapshots.append((member.run, after.seq, snapshot_body(after), memory))
    decided.snapshot_bytes = snapshot_bytes(after)


def _write(connection: sqlite3.Connection, changes: _Changes) -> None:
    if changes.artifacts:
        for row in changes.artifacts:
            connection.execute(ARTIFACT_SQL, row)
    bulk.insert(connection, "record", RECORD_COLUMNS, changes.records)
    turned = [row for key, row in changes.runs.items() if key in changes.turned]
    others = [row[: 1 + len(RUN_CHANGES)] for key, row in changes.runs.items() if key not in changes.turned]
    bulk.update(connection, "run", "key", (*RUN_CHANGES, *INDEXED_CHANGES), turned)
    bulk.update(connection, "run", "key", RUN_CHANGES, others)
    for kind, runs in changes.timers_over.items():
        bulk.select_in(connection, f"DELETE FROM timer WHERE kind = '{kind}' AND run IN ({{keys}})", runs)
    bulk.upsert(connection, "timer", timers.COLUMNS, timers.KEYS, changes.timers)
    bulk.insert(connection, "snapshot", ("run", "seq", "body", "memory"), changes.snapshots)
    if changes.consumed:
        bulk.select_in(connection, "DELETE FROM inbox WHERE id IN ({keys})", changes.consumed)
    bulk.select_in(connection, "DELETE FROM inbox WHERE run IN ({keys})", changes.ended)
    bulk.select_in(connection, "DELETE FROM inbox WHERE run IN ({keys}) AND event != 'Cancelled'", changes.halted)
