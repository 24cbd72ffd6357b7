"""Deleting a run: the one way by which rows of records go."""

import sqlite3

from attrs import define

from fsm.core.record import ENDED
from fsm.errors import Fenced
from fsm.journal import bulk
from fsm.journal.operations import Operation, get_run
from fsm.journal.schema import referred


@define(eq=False, kw_only=True)
class Bury(Operation):
    """Delete an ended run; a tombstone keeps how many records it had, their head, and why it went.

    Of its artifacts those go that no other run refers to.
    """

    run: int
    reason: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> None:
        run = get_run(connection, self.run)
        if run.outcome not in ENDED:
            raise Fenced(run_id=run.run_id, why=f"it is {run.outcome}, and only an ended run can be deleted")
        connection.execute(
            "INSERT INTO tombstone (run, run_id, records, head, reason, at_ms) VALUES (?, ?, ?, ?, ?, ?)",
            (run.key, run.run_id, run.seq + 1, run.head, self.reason, self.at_ms),
        )
        digests = connection.execute(
            "SELECT digest FROM record WHERE run = ? AND body IS NULL AND digest IS NOT NULL"
            " UNION SELECT digest FROM call WHERE run = ? AND body IS NULL",
            (run.key, run.key),
        ).fetchall()
        for table in ("record", "call", "snapshot", "timer", "inbox"):
            connection.execute(f"DELETE FROM {table} WHERE run = ?", (run.key,))
        unused = f"DELETE FROM artifact WHERE digest IN ({{keys}}) AND NOT ({referred('artifact')})"
        bulk.select_in(connection, unused, [digest for (digest,) in digests])
        connection.execute("DELETE FROM run WHERE key = ?", (run.key,))
