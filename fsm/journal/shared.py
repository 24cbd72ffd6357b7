"""The rows that guards share between runs, inside the writer's transaction.

A row is read once a transaction and written once at its end, however many of the transaction's decisions change
it; they see each other in order. When what a row stands for changes its state, that is logged, with the run that
changed it.
"""

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from attrs import define, field

from fsm.core.sharing import ROWS, Row, share_of
from fsm.define.guard import Placed, Share
from fsm.journal import bulk

COLUMNS = ("kind", "name", "body", "at_ms")
NO_LABELS: Mapping[str, str] = {}
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
    _rows: dict[Share, Row] = field(factory=dict)
    _changed: dict[Share, int] = field(factory=dict)
    _log: list[tuple[Any, ...]] = field(factory=list)

    def enter(
        self, run: int | None, at_ms: int, lease_ms: int, machine: str = "", labels: Mapping[str, str] = NO_LABELS
    ) -> None:
        """From here on it is this run's decision."""
        self._run, self._at_ms, self._lease_ms = run, at_ms, lease_ms
        self._machine, self._labels = machine, labels

    def row(self, guard: Placed, turn: int = 0) -> Row:
        return self.of(self._resolved(share_of(guard)))

    def _resolved(self, share: Share) -> Share:
        return row_of(share, self._machine, self._labels)

    def asked(self, guard: Placed, most: int | None, turn: int = 0) -> int | None:
        return most

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
        self.change(self._resolved(share_of(guard)), row)

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
        self._changed, self._log = {}, []
