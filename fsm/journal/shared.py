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

from fsm.core.breaking import BreakerRow
from fsm.core.sharing import share_of
from fsm.define.guard import Placed, Share
from fsm.journal import bulk

COLUMNS = ("kind", "name", "body", "at_ms")
LOG_COLUMNS = ("kind", "name", "at_ms", "run", "before", "after", "note")


@define(eq=False)
class SharedRows:
    """`fsm.core.sharing.Shared` on one transaction; `write` leaves in the file what its members did."""

    connection: sqlite3.Connection
    _run: int | None = None
    _at_ms: int = 0
    _lease_ms: int = 0
    _rows: dict[Share, BreakerRow] = field(factory=dict)
    _changed: dict[Share, int] = field(factory=dict)
    _log: list[tuple[Any, ...]] = field(factory=list)

    def enter(self, run: int | None, at_ms: int, lease_ms: int) -> None:
        """From here on it is this run's decision."""
        self._run, self._at_ms, self._lease_ms = run, at_ms, lease_ms

    def row(self, guard: Placed, asked: int = 0) -> BreakerRow:
        return self.of(share_of(guard))

    def of(self, share: Share) -> BreakerRow:
        """The row as it stands now; a fresh one if nobody has written it yet."""
        row = self._rows.get(share)
        if row is None:
            sql = "SELECT body FROM shared WHERE kind = ? AND name = ?"
            found = self.connection.execute(sql, (share.kind, share.name)).fetchone()
            row = self._rows[share] = BreakerRow.from_json(found[0]) if found else BreakerRow()
        return row

    def put(self, guard: Placed, row: BreakerRow) -> None:
        self.change(share_of(guard), row)

    def change(self, share: Share, row: BreakerRow, note: Mapping[str, str] | None = None) -> None:
        """The row from now on; logged with `note` if it is another state, or an act of somebody's."""
        before = self.of(share)
        if row is before and note is None:
            return
        self._rows[share], self._changed[share] = row, self._at_ms
        if before.state != row.state or note is not None:
            text = json.dumps(note or {}, ensure_ascii=False)
            self._log.append((share.kind, share.name, self._at_ms, self._run, before.to_json(), row.to_json(), text))

    def lease_ms(self, guard: Placed, time_ms: int, asked: int = 0) -> int:
        return max(1, time_ms + self._lease_ms)

    def write(self, run: int | None = None) -> None:
        """Everything that changed; `run` is the one of a decision that had no key yet."""
        rows = [(share.kind, share.name, self._rows[share].to_json(), at_ms) for share, at_ms in self._changed.items()]
        bulk.upsert(self.connection, "shared", COLUMNS, "kind, name", rows)
        log = [(*row[:3], row[3] if run is None else run, *row[4:]) for row in self._log]
        bulk.insert(self.connection, "shared_log", LOG_COLUMNS, log)
        self._changed, self._log = {}, []
