"""Runs as lines of an export, read in pages: a run of any length takes the same memory.

A run may move on meanwhile: what leaves is how it stood when its row was read.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from attrs import define, field, frozen

from fsm.errors import JournalError
from fsm.journal.exchange import CARRIED, EXPORT_FORMAT, MACHINE_COLUMNS, ROWS, line
from fsm.journal.reader import Reader

PAGE = 64
TRIES_MAX = 1_000
WAITING = ("timer", "inbox")

FINGERPRINTS = (
    "SELECT json_extract(detail, '$.note.fingerprint') FROM record WHERE run = ?1 AND seq = 0 AND detail != ''"
    " UNION ALL SELECT json_extract(detail, '$.note.to') FROM record WHERE run = ?1 AND kind = 'repinned'"
    " UNION ALL SELECT fingerprint FROM run WHERE key = ?1"
)


@frozen
class _Standing:
    """A run as it stood at one moment; of the rest of its rows those count that were there then."""

    key: int
    seq: int
    row: dict[str, Any]
    waiting: dict[str, list[tuple[Any, ...]]]
    last_call: int


@define
class Outgoing:
    """Lines of one export: `header`, `run` for each run, `closing`."""

    reader: Reader
    _told: set[str] = field(factory=set)
    _runs: int = 0
    _columns: dict[str, tuple[str, ...]] = field(factory=dict)

    def header(self) -> bytes:
        ((journal,),) = self.reader.query("PRAGMA user_version")
        return line("turnstile", {"format": EXPORT_FORMAT, "journal": journal})

    def run(self, run_id: str) -> Iterator[bytes]:
        """The machines it was recorded under that were not told yet, and all its rows; `RunNotFound`."""
        standing = self._standing(run_id)
        for (fingerprint,) in self.reader.query(FINGERPRINTS, standing.key):
            yield from self._machine(fingerprint)
        yield line("run", standing.row)
        number = 0
        for kind, row in self._rows(standing):
            yield line(kind, dict(zip(self._of(kind), row, strict=True)))
            number += 1
        self.reader.run(run_id)  # rows of a run that was deleted meanwhile are not all there
        yield line("end", {"run_id": run_id, "lines": number})
        self._runs += 1

    def closing(self) -> bytes:
        return line("done", {"runs": self._runs})

    def _standing(self, run_id: str) -> _Standing:
        names = self._of("run", ("key", *CARRIED))
        sql = f"SELECT {', '.join(names)} FROM run WHERE run_id = ?"
        for _ in range(TRIES_MAX):
            key, before = self.reader.run(run_id).key, self.reader.query(sql, run_id)
            waiting = {
                kind: self.reader.query(self._select(kind, "ORDER BY rowid"), key) for kind in ("timer", "inbox")
            }
            ((last_call,),) = self.reader.query("SELECT coalesce(max(id), 0) FROM call WHERE run = ?", key)
            if before and before == self.reader.query(sql, run_id):
                row = dict(zip(names, before[0], strict=True))
                return _Standing(row.pop("key"), row["seq"], row, waiting, last_call)
        what = f"run {run_id!r} moved on {TRIES_MAX:,} times while its row was read"
        raise JournalError(path=self.reader.path, what=what, next="try again when it is less busy")

    def _rows(self, standing: _Standing) -> Iterator[tuple[str, tuple[Any, ...]]]:
        for kind, rows in standing.waiting.items():
            yield from ((kind, row) for row in rows)
        for kind, last in (("snapshot", None), ("record", None), ("call", standing.last_call)):
            yield from ((kind, row) for row in self._pages(kind, standing, last))

    def _pages(self, kind: str, standing: _Standing, last: int | None) -> Iterator[tuple[Any, ...]]:
        """The rows of a kind in the order of the run, and within a seq in the order written."""
        place = "call.id" if kind == "call" else f"{kind}.rowid"  # of a file of an older format `call` is a view
        bound = f"AND {place} <= {last}" if last is not None else ""
        rest = f"AND (seq, {place}) > (?, ?) AND seq <= ? {bound} ORDER BY seq, {place} LIMIT {PAGE}"
        sql, after = self._select(kind, rest, f", seq, {place}"), (-(1 << 62), 0)
        while rows := self.reader.query(sql, standing.key, *after, standing.seq):
            yield from (row[:-2] for row in rows)
            after = rows[-1][-2:]

    def _select(self, kind: str, rest: str, more: str = "") -> str:
        """The columns of the rows of a kind; a body wherever it is kept."""
        names, join = [f"{kind}.{name}" for name in self._of(kind)], ""
        if kind in ("record", "call"):
            names = [f"coalesce({name}, artifact.body)" if name == f"{kind}.body" else name for name in names]
            join = f" LEFT JOIN artifact ON artifact.digest = {kind}.digest"
        return f"SELECT {', '.join(names)}{more} FROM {kind}{join} WHERE run = ? {rest}"

    def _of(self, table: str, wanted: Sequence[str] = ()) -> tuple[str, ...]:
        """The columns that this file has: one that nobody has opened for writing since may be of an older format."""
        if table not in self._columns:
            there = {name for (name,) in self.reader.query("SELECT name FROM pragma_table_info(?)", table)}
            self._columns[table] = tuple(name for name in wanted or ROWS[table] if name in there)
        return self._columns[table]

    def _machine(self, fingerprint: str | None) -> Iterator[bytes]:
        if fingerprint is None or fingerprint in self._told:
            return
        self._told.add(fingerprint)
        sql = f"SELECT {', '.join(MACHINE_COLUMNS)} FROM machine WHERE fingerprint = ?"
        for row in self.reader.query(sql, fingerprint):
            yield line("machine", dict(zip(MACHINE_COLUMNS, row, strict=True)))
