"""What can be written, one class an operation: it is durable as a whole, or it did not happen.

An operation is made on the caller's side, applied inside the writer's transaction, and answered once that
transaction is committed. `apply` may raise an `FsmError` before it writes anything; then only this
operation fails. Any SQLite error undoes its whole group, which is then redone one by one.
"""

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, evolve, field

from fsm.core.conclude import Decision
from fsm.core.engine import Engine
from fsm.core.permits import permit, tell
from fsm.core.plan import Asked, Plan, Told
from fsm.core.record import ENDED, NOTHING, Record, Spent, link
from fsm.core.snapshot import Snapshot, apply, snapshot_body
from fsm.define.spec import MachineSpec
from fsm.errors import Fenced
from fsm.journal import booking, bulk, timers
from fsm.journal.rows import (
    CALL_SQL,
    RUN_SQL,
    Call,
    Run,
    call_from,
    call_row,
    record_row,
    rolled,
    run_from,
)
from fsm.journal.schema import CALL_COLUMNS, RECORD_COLUMNS
from fsm.journal.shared import NO_LABELS, SharedRows, give_back, settle_late

ARTIFACT_SQL = (  # one that was erased is there again once somebody writes it again
    "INSERT INTO artifact (digest, body) VALUES (?, ?)"
    " ON CONFLICT (digest) DO UPDATE SET body = excluded.body WHERE artifact.body IS NULL"
)


@define(eq=False)
class Operation:
    """The common part: the answer, and who waits for it."""

    result: Any = field(default=None, init=False)
    error: Exception | None = field(default=None, init=False)
    future: "asyncio.Future[Any] | None" = field(default=None, init=False)

    def apply(self, connection: sqlite3.Connection) -> Any:
        raise NotImplementedError


@define(eq=False, kw_only=True)
class Decide(Operation):
    """One decision of one run: fence, conclude, record. Applied many at a time, see `decisions.py`.

    `booked` is what the plan's spending takes from call rows since the last record; if they hold more, the
    decision is `Overlooked`. `inbox` is the row the event came from, `folded` the payload bytes since the
    last snapshot row, `lease_ms` how long this runner may be silent.
    """

    run: int
    run_id: str
    epoch: int
    lease_ms: int
    labels: Mapping[str, str] = NO_LABELS
    engine: Engine
    snapshot: Snapshot
    plan: Plan
    booked: Spent = NOTHING
    inbox: int | None = None
    folded: int = 0
    snapshot_bytes: int = 0


class Overlooked(Exception):
    """A plan was made without `spent`, which call rows since the last record hold besides: make it again.

    An outcome may come late, of an attempt that is over or was another runner's. What guards look at, and the
    record says, is all that was spent; so it is not added behind their back. Nothing was written.
    """

    def __init__(self, spent: Spent) -> None:
        super().__init__(f"{spent} more was spent")
        self.spent = spent


@define(eq=False)
class Decided:
    """What became of a `Decide`: the decision, and whether a snapshot row was written with it."""

    decision: Decision
    snapshot_bytes: int | None = None


@define(eq=False, kw_only=True)
class Append(Operation):
    """A record that decides nothing: resumed, or repinned. A dead runner's run is taken over with it.

    The spending that calls reported since the last record is booked into it, and what those in flight had declared:
    nobody knows what became of them. `call` is a row to write before it: an answer. `timeout_ms` starts the wait of a
    resumed waiting state anew; `spec` and `snapshot` are the new definition, and where the run stands before the
    record: the snapshot row has that after it.
    """

    run: int
    epoch: int
    record: Record
    now: float
    boot: str
    call: Call | None = None
    timeout_ms: int | None = None
    spec: MachineSpec | None = None
    snapshot: Snapshot | None = None

    def apply(self, connection: sqlite3.Connection) -> Record:
        run = get_run(connection, self.run)
        if run.outcome in ENDED:
            raise Fenced(run_id=run.run_id, why=f"it has ended ({run.outcome})")
        if run.seq != self.record.seq - 1:
            raise Fenced(run_id=run.run_id, why=f"it has moved on to record {run.seq}")
        if run.owner not in (0, self.epoch) and is_alive(connection, run.owner, self.now, self.boot):
            raise Fenced(run_id=run.run_id, why="another runner advances it")
        for call in (*([self.call] if self.call else []), *booking.unknown(connection, run.key, self.record.at_ms)):
            run = evolve(run, calls=insert_call(connection, run, call))
            settle_late(connection, run, call)
        found = booking.booked(connection, [run.key]).get(run.key, booking.NOTHING_BOOKED)
        note = {**self.record.note, **found.note}
        record = evolve(self.record, calls=run.calls, spent=found.spent, note=note)
        detail = record.detail
        head = link(run.head, record.header(detail))
        insert_record(connection, run.key, record, detail, head)
        if self.spec is not None:
            insert_machine(connection, self.spec, record.at_ms)
            connection.execute("UPDATE run SET fingerprint = ? WHERE key = ?", (self.spec.fingerprint, run.key))
        if self.snapshot is not None:
            assert self.spec is not None
            after = apply(self.spec, self.snapshot, record)
            give_back(connection, run, self.snapshot, after)
            memory = after.memory.decode() if after.memory is not None else None
            values = (run.key, record.seq, snapshot_body(after), memory)
            bulk.insert(connection, "snapshot", ("run", "seq", "body", "memory"), [values])
        if self.timeout_ms is not None:
            timer = (run.key, "timeout", run.entered, record.at_ms + self.timeout_ms, None, 0)
            bulk.upsert(connection, "timer", timers.COLUMNS, timers.KEYS, [timer])
        owner = self.epoch if record.outcome == "running" else 0
        connection.execute(
            "UPDATE run SET seq = ?, attempt = ?, outcome = ?, head = ?, calls = NULL, owner = ?, at_ms = ?"
            " WHERE key = ?",
            (record.seq, record.attempt, record.outcome, head, owner, record.at_ms, run.key),
        )
        return record


@define(eq=False, kw_only=True)
class WriteCall(Operation):
    """A row of the call ledger. An intent is fenced by owner, visit and attempt; an outcome is always kept.

    The result is the row; for an outcome the one that counts: the first good one under its key. Shared guards are
    asked for an intent, which has the generations they permit it in, and told of an outcome. `reported` is what the
    attempt has reported so far in a call that declares the most it spends: what was booked of that already counts once.
    """

    call: Call
    epoch: int
    lease_ms: int
    ask: Sequence[Asked] = ()
    tell: Sequence[Told] = ()
    time_ms: int = 0
    reported: Spent = NOTHING

    def apply(self, connection: sqlite3.Connection) -> Call:
        run = get_run(connection, self.call.run)
        if self.call.kind == "intent":
            if run.owner != self.epoch:
                raise Fenced(run_id=run.run_id, why="another runner advances it")
            if (run.entered, run.attempt) != (self.call.entered, self.call.attempt):
                raise Fenced(run_id=run.run_id, why="the visit this call belongs to is over")
        permits = self._shared(connection) if self.ask or self.tell else ()
        counts = self._first(connection) if self.call.kind == "outcome" and self.call.attempt > 1 else None
        call = booking.netted(connection, self.call, self.reported) if self.reported else self.call
        calls = insert_call(connection, run, call)
        connection.execute("UPDATE run SET calls = ? WHERE key = ?", (calls, run.key))
        settle_late(connection, run, call)
        return counts or evolve(call, seq=run.seq, permits=permits)

    def _shared(self, connection: sqlite3.Connection) -> tuple[int, ...]:
        """The generations of the permits; raises `NotPermitted` before anything is written."""
        rows = SharedRows(connection)
        rows.enter(self.call.run, self.call.at_ms, self.lease_ms)
        permits = permit(rows, self.ask, self.call.at_ms, self.time_ms)
        tell(rows, self.tell, self.call.at_ms)
        rows.write()
        return permits

    def _first(self, connection: sqlite3.Connection) -> Call | None:
        """The outcome that counts, if a lost attempt was first after all: its runner had only been stopped."""
        where = "WHERE key = ? AND run = ? AND kind = 'outcome' AND status = 'ok' ORDER BY id LIMIT 1"
        found = connection.execute(f"{CALL_SQL} {where}", (self.call.key, self.call.run)).fetchone()
        return call_from(found) if found else None


def get_run(connection: sqlite3.Connection, key: int) -> Run:
    row = connection.execute(f"{RUN_SQL} WHERE key = ?", (key,)).fetchone()
    assert row is not None, f"no run with key {key}"
    return run_from(row)


def is_alive(connection: sqlite3.Connection, epoch: int, now: float, boot: str) -> bool:
    """Whether the runner of this epoch still holds its lease."""
    row = connection.execute("SELECT boot, expires, closed FROM runner WHERE epoch = ?", (epoch,)).fetchone()
    return row is not None and row[0] == boot and not row[2] and row[1] > now


def insert_machine(connection: sqlite3.Connection, spec: MachineSpec, at_ms: int) -> None:
    connection.execute(
        "INSERT INTO machine (fingerprint, name, spec, at_ms) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (spec.fingerprint, spec.name, spec.to_json(), at_ms),
    )


def insert_record(connection: sqlite3.Connection, run: int, record: Record, detail: bytes, head: bytes) -> None:
    row = record_row(run, record, detail, head)
    if record.body is not None and row[RECORD_COLUMNS.index("body")] is None:
        assert record.digest is not None
        insert_artifact(connection, record.digest, record.body)
    marks = ", ".join("?" * len(RECORD_COLUMNS))
    connection.execute(f"INSERT INTO record ({', '.join(RECORD_COLUMNS)}) VALUES ({marks})", row)


def insert_call(connection: sqlite3.Connection, run: Run, call: Call) -> bytes:
    """A call row after the run's last record; the digest of all of them."""
    call = evolve(call, seq=run.seq)
    row = call_row(call)
    if row[-1] is None and call.body is not None:
        insert_artifact(connection, call.digest, call.body)
    marks = ", ".join("?" * len(CALL_COLUMNS))
    connection.execute(f"INSERT INTO call ({', '.join(CALL_COLUMNS)}) VALUES ({marks})", row)
    return rolled(run.calls, call)


def insert_artifact(connection: sqlite3.Connection, digest: bytes, body: bytes) -> None:
    connection.execute(ARTIFACT_SQL, (digest, body.decode()))
