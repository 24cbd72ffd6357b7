"""The door for everything from outside: an event is durable here before anybody decides it."""

import sqlite3

from attrs import define

from fsm.core.record import ENDED, HALTED, Record
from fsm.define.payload import Payload
from fsm.errors import Busy, EventConflict, RunEnded, RunHalted, RunNotFound
from fsm.journal.operations import Operation
from fsm.journal.rows import RECORD_SQL, RUN_SQL, record_from, run_from


@define(eq=False, kw_only=True)
class Post(Operation):
    """An event from outside into the run's inbox. The result is the record that decided it, if it was before."""

    run_id: str
    event_id: str
    payload: Payload
    at_ms: int
    inbox_max: int
    journal: str

    def apply(self, connection: sqlite3.Connection) -> Record | None:
        row = connection.execute(f"{RUN_SQL} WHERE run_id = ?", (self.run_id,)).fetchone()
        if row is None:
            raise RunNotFound(run_id=self.run_id, journal=self.journal)
        run = run_from(row)
        decided = connection.execute(
            f"{RECORD_SQL} WHERE run = ? AND event_id = ? ORDER BY seq DESC LIMIT 1", (run.key, self.event_id)
        ).fetchone()
        known = record_from(decided) if decided else None
        waiting = connection.execute(
            "SELECT event, digest FROM inbox WHERE run = ? AND event_id = ?", (run.key, self.event_id)
        ).fetchone()
        this = (self.payload.event, self.payload.digest)
        if this != ((known.event, known.digest) if known else waiting or this):
            raise EventConflict(run_id=self.run_id, event_id=self.event_id)
        if known is not None or waiting is not None:
            return known
        if run.outcome in ENDED:
            raise RunEnded(run_id=self.run_id, outcome=run.outcome, event=self.payload.event)
        if run.outcome in HALTED and self.payload.event != "Cancelled":
            raise RunHalted(run_id=self.run_id, outcome=run.outcome, event=self.payload.event)
        (count,) = connection.execute("SELECT count(*) FROM inbox WHERE run = ?", (run.key,)).fetchone()
        if count >= self.inbox_max:
            raise Busy(run_id=self.run_id, waiting=count, inbox_max=self.inbox_max)
        connection.execute(
            "INSERT INTO inbox (run, event_id, event, digest, body, at_ms) VALUES (?, ?, ?, ?, ?, ?)",
            (run.key, self.event_id, self.payload.event, self.payload.digest, self.payload.body.decode(), self.at_ms),
        )
        return None
