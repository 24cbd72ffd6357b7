"""A run that has proven itself in a staging comes into a journal, whole or not at all."""

import sqlite3
from collections.abc import Sequence

from attrs import define, evolve

from fsm.core.record import ENDED, HALTED
from fsm.core.snapshot import Snapshot, fold
from fsm.define.guard import Share
from fsm.journal import bulk
from fsm.journal.exchange import CARRIED, ROWS
from fsm.journal.operations import ARTIFACT_SQL, Operation
from fsm.journal.outgoing import FINGERPRINTS
from fsm.journal.reader import Reader
from fsm.journal.rows import RUN_SQL, Run, run_from
from fsm.journal.shared import SharedRows
from fsm.journal.staging import Unfit

PAGE = 512


@define(eq=False, kw_only=True)
class Receive(Operation):
    """Everything of the run that `staged` holds; True, or False where this journal has it already.

    A run that has not ended keeps what it has set aside of shared budgets, set aside here as well: it gives it back
    when its visit is over. Raises `Unfit` where another run has its id.
    """

    staged: Reader
    run_id: str

    def apply(self, connection: sqlite3.Connection) -> bool:
        arriving = self.staged.run(self.run_id)
        row = connection.execute(f"{RUN_SQL} WHERE run_id = ?", (self.run_id,)).fetchone()
        if row is not None:
            known = run_from(row)
            if is_same(known, arriving):
                return False
            raise Unfit(differing(Reader(self.staged.path, connection), known, arriving))
        for (fingerprint,) in self.staged.query(FINGERPRINTS, arriving.key):
            sql = "SELECT fingerprint, name, spec FROM machine WHERE fingerprint = ?"
            for machine in self.staged.query(sql, fingerprint):
                sql = "INSERT INTO machine (fingerprint, name, spec, at_ms) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
                connection.execute(sql, (*machine, arriving.started_at_ms))
        for row in self.staged.query("SELECT digest, body FROM artifact"):
            connection.execute(ARTIFACT_SQL, row)
        (values,) = self.staged.query(f"SELECT {', '.join(CARRIED)} FROM run")
        marks = ", ".join("?" * len(CARRIED))
        sql = f"INSERT INTO run ({', '.join(CARRIED)}) VALUES ({marks}) RETURNING key"
        (key,) = connection.execute(sql, values).fetchone()
        for table, columns in ROWS.items():
            self._copy(connection, key, table, columns)
        if arriving.outcome not in ENDED | HALTED:
            self._set_aside(connection, evolve(arriving, key=key), self._position(arriving))
        return True

    def _copy(self, connection: sqlite3.Connection, key: int, table: str, columns: Sequence[str]) -> None:
        sql = f"SELECT {', '.join(columns)}, rowid FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT {PAGE}"
        after = 0
        while rows := self.staged.query(sql, after):
            bulk.insert(connection, table, ("run", *columns), [(key, *row[:-1]) for row in rows])
            after = rows[-1][-1]

    def _position(self, run: Run) -> Snapshot:
        base = self.staged.snapshot(run.key)
        records = self.staged.records(run.key, base.seq if base else -1)
        return fold(self.staged.spec(run.fingerprint), records, base)

    def _set_aside(self, connection: sqlite3.Connection, run: Run, position: Snapshot) -> None:
        rows = SharedRows(connection)
        rows.enter(run.key, run.at_ms, 0, run.machine, run.labels)
        for name, amount in position.holds.items():
            share = rows.resolved(Share("budget", name))
            row = rows.of(share)
            rows.change(share, evolve(row, reserved=row.reserved + amount))
        rows.write()


def is_same(known: Run, arriving: Run) -> bool:
    """Whether both are one run, as far along."""
    return (known.seq, known.head, known.calls) == (arriving.seq, arriving.head, arriving.calls)


def differing(read: Reader, known: Run, arriving: Run) -> str:
    """In what the run of this journal differs from one of the same id."""
    sql = "SELECT head FROM record WHERE run = ? AND seq = ?"
    goes_on = known.seq > arriving.seq and read.query(sql, known.key, arriving.seq) == [(arriving.head,)]
    what = "has gone on since" if goes_on else "is another one"
    return f"the run of this id in the journal {what}: {known.seq + 1} records there, {arriving.seq + 1} here"
