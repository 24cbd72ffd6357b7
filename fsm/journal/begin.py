"""How a run begins: with a record 0 that is decided here, or that continues another run."""

import json
import sqlite3

from attrs import define

from fsm.core.conclude import Decision, conclude
from fsm.core.engine import Engine
from fsm.core.fork import origin_of
from fsm.core.plan import Plan
from fsm.core.record import link
from fsm.core.snapshot import Snapshot, snapshot_body
from fsm.errors import RunConflict
from fsm.journal import bulk, timers
from fsm.journal.operations import Operation, get_run, insert_machine, insert_record
from fsm.journal.rows import RECORD_SQL, RUN_SQL, Run, record_from, run_from
from fsm.journal.shared import SharedRows

Begins = Plan | Decision


@define(eq=False, kw_only=True)
class Begin(Operation):
    """A new run with its record 0; or the run that is there already, if it began the same way.

    `begins` is a plan, which is concluded here, or the decision that a fork is; its position is kept in a snapshot
    row, as its own records do not tell it. The result is the run, and its decision if it is new.
    """

    run_id: str
    engine: Engine
    begins: Begins
    labels: str
    epoch: int
    lease_ms: int

    @property
    def size(self) -> int:
        """The bytes of its payload."""
        if isinstance(self.begins, Plan):
            return len(self.begins.event.payload.body)
        return len(self.begins.record.body or b"") if self.begins.record is not None else 0

    def apply(self, connection: sqlite3.Connection) -> tuple[Run, Decision | None]:
        row = connection.execute(f"{RUN_SQL} WHERE run_id = ?", (self.run_id,)).fetchone()
        if row is not None:
            return self._same(connection, run_from(row)), None
        spec, shared = self.engine.spec, SharedRows(connection)
        decision = self._decided(shared)
        record, snapshot = decision.record, decision.snapshot
        assert record is not None
        insert_machine(connection, spec, record.at_ms)
        detail = record.detail
        head = link(b"", record.header(detail))
        owner = self.epoch if record.outcome == "running" else 0
        started_at_ms = snapshot.started_at_ms or record.at_ms
        values = (self.run_id, spec.name, spec.fingerprint, self.labels, snapshot.state, snapshot.outcome)
        position = (snapshot.seq, snapshot.entered, snapshot.attempt, head, owner, started_at_ms, record.at_ms)
        key = connection.execute(
            "INSERT INTO run (run_id, machine, fingerprint, labels, state, outcome, seq, entered, attempt, head, owner,"
            " started_at_ms, at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING key",
            values + position,
        ).fetchone()[0]
        insert_record(connection, key, record, detail, head)
        if record.kind == "forked":
            memory = snapshot.memory.decode() if snapshot.memory is not None else None
            kept = (key, record.seq, snapshot_body(snapshot), memory)
            bulk.insert(connection, "snapshot", ("run", "seq", "body", "memory"), [kept])
        rows = timers.timers_set(key, spec, Snapshot(), snapshot, record, shared.awaited(spec, record))
        bulk.upsert(connection, "timer", timers.COLUMNS, timers.KEYS, rows)
        shared.write(key)
        return get_run(connection, key), decision

    def _decided(self, shared: SharedRows) -> Decision:
        if isinstance(self.begins, Decision):
            return self.begins
        shared.enter(None, self.begins.event.at_ms, self.lease_ms, self.engine.spec.name, json.loads(self.labels))
        return conclude(self.engine, Snapshot(), self.begins, shared)

    def _same(self, connection: sqlite3.Connection, run: Run) -> Run:
        first = record_from(connection.execute(f"{RECORD_SQL} WHERE run = ? AND seq = 0", (run.key,)).fetchone())
        if run.machine != self.engine.spec.name:
            raise RunConflict(run_id=self.run_id, what=f"machine {run.machine}, not {self.engine.spec.name}")
        origin, (wanted, event, digest) = origin_of(first), self._beginning()
        if (origin.known_by if origin else None) != wanted:
            told = f"a fork of run {origin.run_id!r} at record {origin.seq}" if origin else f"{first.event}, as no fork"
            raise RunConflict(run_id=self.run_id, what=told)
        if (first.event, first.digest) != (event, digest):
            raise RunConflict(run_id=self.run_id, what=f"another {first.event}")
        return run

    def _beginning(self) -> tuple[tuple[str, int, str] | None, str, bytes | None]:
        """Of a fork where it comes from, then the event that the run begins with, and its digest."""
        if isinstance(self.begins, Plan):
            payload = self.begins.event.payload
            return None, payload.event, payload.digest
        record = self.begins.record
        assert record is not None
        origin = origin_of(record)
        return origin.known_by if origin else None, record.event, record.digest
