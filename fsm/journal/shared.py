"""The rows that guards share between runs, inside the writer's transaction.

A row is read once a transaction and written once at its end, however many of the transaction's decisions change
it; they see each other in order. When what a row stands for changes its state, that is logged, with the run that
changed it.
"""

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from attrs import define, evolve, field

from fsm.core.budget import settled
from fsm.core.record import Record
from fsm.core.shares import ROWS, Row, budgeting, share_of, spent_of
from fsm.core.sharing import awaited
from fsm.core.snapshot import Snapshot
from fsm.define.guard import Placed, Share
from fsm.define.spec import MachineSpec
from fsm.journal import bulk
from fsm.journal.rows import Call, Run
from fsm.journal.timers import Waits

COLUMNS = ("kind", "name", "body", "at_ms")
NO_LABELS: Mapping[str, str] = {}
WAKE_SQL = (  # in their order as many as there is room for; one whose runner is gone is not woken twice
    "UPDATE timer SET due_ms = ?1 WHERE rowid IN (SELECT id FROM (SELECT id, sum(asks) OVER (ORDER BY id) AS needed"
    " FROM (SELECT rowid AS id, asks FROM timer WHERE waits = ?2 AND due_ms > ?1 ORDER BY rowid LIMIT max(?3, 0)))"
    " WHERE needed <= ?3)"  # each asks for 1 or more, so no more are looked at than there is room
)
WAITING_MAX = 256
"""Of how many who wait for a budget what they ask is counted; a thousand more make no difference to who comes."""
LOG_COLUMNS = ("kind", "name", "at_ms", "run", "before", "after", "note")


def row_of(share: Share, machine: str, labels: Mapping[str, str]) -> Share:
    """The row of this run: one for its machine, or for the value of its label, where the guard says so."""
    if share.kind != "budget":
        return share
    scope = share.name.partition(":")[2].partition("/")[0]
    if scope == "machine":
        return Share("budget", f"{share.name}={machine}")
    if scope.startswith("label:"):
        return Share("budget", f"{share.name}={labels.get(scope.removeprefix('label:'), '')}")
    return share


def share_of_row(row: Share) -> Share:
    """What a machine names of this row: without the machine, or the label's value, that it is for."""
    return Share(row.kind, row.name.partition("=")[0]) if row.kind == "budget" else row


@define(eq=False)
class SharedRows:
    """`fsm.core.sharing.Shared` on one transaction; `write` leaves in the file what its members did."""

    connection: sqlite3.Connection
    _run: int | None = None
    _at_ms: int = 0
    _lease_ms: int = 0
    past: bool = False
    _machine: str = ""
    _labels: Mapping[str, str] = NO_LABELS
    _resolved: dict[Share, Share] = field(factory=dict)
    _rows: dict[Share, Row] = field(factory=dict)
    _waiting: dict[Share, int] = field(factory=dict)
    _freed: dict[Share, int] = field(factory=dict)
    _changed: dict[Share, int] = field(factory=dict)
    _log: list[tuple[Any, ...]] = field(factory=list)

    def enter(
        self, run: int | None, at_ms: int, lease_ms: int, machine: str = "", labels: Mapping[str, str] = NO_LABELS
    ) -> None:
        """From here on it is this run's decision."""
        self._run, self._at_ms, self._lease_ms = run, at_ms, lease_ms
        if (machine, labels) != (self._machine, self._labels):
            self._machine, self._labels, self._resolved = machine, labels, {}

    def row(self, guard: Placed, turn: int = 0) -> Row:
        return self.of(self.resolved(share_of(guard)))

    def resolved(self, share: Share) -> Share:
        found = self._resolved.get(share)
        if found is None:
            found = self._resolved[share] = row_of(share, self._machine, self._labels)
        return found

    def asked(self, guard: Placed, most: int | None, turn: int = 0) -> int | None:
        return most

    def waiting(self, guard: Placed, turn: int = 0) -> int:
        share = self.resolved(share_of(guard))
        if share not in self._waiting:
            sql = f"SELECT coalesce(sum(asks), 0) FROM (SELECT asks FROM timer WHERE waits = ? LIMIT {WAITING_MAX})"
            self._waiting[share] = self.connection.execute(sql, (share.name,)).fetchone()[0]
        return self._waiting[share]

    def awaited(self, spec: MachineSpec, record: Record) -> Waits:
        """The name of the row that a record of this decision puts an event off for, and what it asks of it."""
        share, asks = awaited(spec, record) or (None, 0)
        return (self.resolved(share).name if share is not None else None), asks

    def of(self, share: Share) -> Row:
        """The row as it stands now; a fresh one if nobody has written it yet."""
        row = self._rows.get(share)
        if row is None:
            sql = "SELECT body FROM shared WHERE kind = ? AND name = ?"
            found = self.connection.execute(sql, (share.kind, share.name)).fetchone()
            kind = ROWS[share.kind]
            row = self._rows[share] = kind.from_json(found[0]) if found else kind()
        return row

    def put(self, guard: Placed, row: Row) -> None:
        share = self.resolved(share_of(guard))
        if share.kind == "budget" and row.reserved < self.of(share).reserved:
            self.wake(share, budgeting(guard).limit)
        self.change(share, row)

    def wake(self, share: Share, limit: int) -> None:
        """Those who wait for room in a budget of that limit are asked again at once, as many as there is room for."""
        self._freed[share] = limit

    def change(self, share: Share, row: Row, note: Mapping[str, str] | None = None) -> None:
        """The row from now on; logged with `note` if it is another state, or an act of somebody's."""
        before = self.of(share)
        if row is before and note is None:
            return
        self._rows[share], self._changed[share] = row, self._at_ms
        if before.state != row.state or note is not None:
            text = json.dumps(note or {}, ensure_ascii=False)
            self._log.append((share.kind, share.name, self._at_ms, self._run, before.to_json(), row.to_json(), text))

    def lease_ms(self, guard: Placed, time_ms: int, turn: int = 0) -> int:
        return max(1, time_ms + self._lease_ms)

    def write(self, run: int | None = None) -> None:
        """Everything that changed; `run` is the one of a decision that had no key yet."""
        rows = [(share.kind, share.name, self._rows[share].to_json(), at_ms) for share, at_ms in self._changed.items()]
        bulk.upsert(self.connection, "shared", COLUMNS, "kind, name", rows)
        log = [(*row[:3], row[3] if run is None else run, *row[4:]) for row in self._log]
        bulk.insert(self.connection, "shared_log", LOG_COLUMNS, log)
        for share, limit in self._freed.items():
            row = self._rows[share]
            room = limit + row.raised - row.spent - row.reserved
            self.connection.execute(WAKE_SQL, (self._at_ms, share.name, room))
        self._changed, self._log, self._freed = {}, [], {}


def give_back(connection: sqlite3.Connection, run: Run, before: Snapshot, after: Snapshot) -> None:
    """What a visit no longer holds, as its machine of today has no such budget."""
    rows = SharedRows(connection)
    rows.enter(run.key, after.at_ms, 0, run.machine, run.labels)
    for name, amount in before.holds.items():
        if name not in after.holds:
            share = rows.resolved(Share("budget", name))
            row = rows.of(share)
            rows.change(share, evolve(row, reserved=max(0, row.reserved - amount)))
    rows.write()


def settle_late(connection: sqlite3.Connection, run: Run, call: Call) -> None:
    """What a call has spent after its visit, to those of its budgets that no record to come settles.

    That is all of them once the run has ended, else those that the state where it is now does not spend.
    """
    if not call.spent or not (run.ended or call.entered != run.entered):
        return
    text, state = connection.execute(
        "SELECT spec, state FROM machine JOIN record ON record.run = ? AND record.seq = ? WHERE fingerprint = ?",
        (run.key, call.entered, run.fingerprint),
    ).fetchone()
    rows = SharedRows(connection)
    rows.enter(run.key, call.at_ms, 0, run.machine, run.labels)
    spends = MachineSpec.from_json(text).spends
    settles = {} if run.ended else spends.get(run.state, {})
    for share, guard in spends.get(state, {}).items():
        if share not in settles:
            spent = spent_of(guard, call.spent)
            rows.put(guard, settled(rows.row(guard), budgeting(guard), spent, 0, call.at_ms))
    rows.write()
