"""Reading the journal: short transactions, whole lists, no cursor left open (an open one makes the WAL grow)."""

import json
import os
import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from attrs import frozen

from fsm.clock import boot_id
from fsm.core.record import Record
from fsm.core.snapshot import Snapshot
from fsm.define.spec import MachineSpec
from fsm.errors import Damaged, JournalError
from fsm.journal.connect import explained, no_run, open_reader
from fsm.journal.rows import CALL_SQL, RECORD_SQL, RUN_SQL, Call, Run, call_from, record_from, run_from, snapshot_from
from fsm.journal.schema import CALL_COLUMNS, RECORD_COLUMNS

PAGE = 2_000
UNFIT = (ValueError, TypeError, KeyError, AttributeError)

_SEQ, _DETAIL = RECORD_COLUMNS.index("seq"), RECORD_COLUMNS.index("detail")
_CALL_SEQ = 1 + CALL_COLUMNS.index("seq")


@frozen
class Posted:
    """An event from outside that waits in a run's inbox."""

    id: int
    run: int
    event_id: str
    event: str
    digest: bytes
    body: str


@frozen
class Timer:
    run: int
    kind: str
    entered: int
    due_ms: int


@frozen
class RunnerRow:
    """A runner that is or was: its lease on the host's monotonic clock, and the agents it left behind."""

    epoch: int
    name: str
    pid: int
    boot: str
    expires: float
    closed: int
    hung: str


class Reader:
    """Queries on one reading connection; safe to use from any thread."""

    def __init__(self, path: str, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._lock = threading.Lock()
        self._specs: dict[str, MachineSpec] = {}

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """All rows of a query; SQL stays in this package."""
        try:
            with self._lock:
                return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise explained(error, self.path) from error

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def version(self) -> int:
        """A number that changes when another connection has committed."""
        return int(self.query("PRAGMA data_version")[0][0])

    def run(self, run_id: str) -> Run:
        """The run of this id; `RunNotFound`."""
        found = self.query(f"{RUN_SQL} WHERE run_id = ?", run_id)
        if not found:
            raise no_run(run_id, self.path)
        return run_from(found[0])

    def runs_like(self, beginning: str, limit: int) -> list[Run]:
        """Runs whose id begins so, the shortest ids first; so the run of exactly this id is the first."""
        sql = f"{RUN_SQL} WHERE substr(run_id, 1, length(?1)) = ?1 ORDER BY length(run_id), run_id LIMIT ?2"
        return [run_from(row) for row in self.query(sql, beginning, limit)]

    def run_at(self, key: int) -> Run:
        return run_from(self.query(f"{RUN_SQL} WHERE key = ?", key)[0])

    def runs(self, machine: str | None = None) -> list[Run]:
        """All runs, oldest first; or those of one machine."""
        if machine is None:
            return [run_from(row) for row in self.query(f"{RUN_SQL} ORDER BY key")]
        return [run_from(row) for row in self.query(f"{RUN_SQL} WHERE machine = ? ORDER BY key", machine)]

    def span(self, run: int, first: int, last: int) -> list[Record]:
        """The records from seq `first` to `last`, both included."""
        sql = f"{RECORD_SQL} WHERE run = ? AND seq BETWEEN ? AND ? ORDER BY seq"
        return [self._record(row) for row in self.query(sql, run, first, last)]

    def records(self, run: int, after: int = -1) -> Iterator[Record]:
        """The records of a run with seq above `after`, in order, read in pages."""
        return (record for record, _ in self.written(run, after))

    def written(self, run: int, after: int = -1) -> Iterator[tuple[Record, bytes]]:
        """The same, each with its detail byte for byte as the file holds it; that is what the chain covers.

        Where a page cannot be read the records are read singly, so that all before the damaged one come out.
        """
        page = PAGE
        while True:
            try:
                rows = self.query(f"{RECORD_SQL} WHERE run = ? AND seq > ? ORDER BY seq LIMIT {page}", run, after)
            except JournalError:
                if page == 1:
                    raise
                page = 1
                continue
            for row in rows:
                yield self._record(row), row[_DETAIL].encode()
                after = row[_SEQ]
            if len(rows) < page:
                return

    def _record(self, row: tuple[Any, ...]) -> Record:
        try:
            return record_from(row)
        except UNFIT as error:
            raise self._damaged("record", row[_SEQ], error) from error

    def _damaged(self, what: str, seq: int, error: Exception) -> Damaged:
        told = f"{what} {seq} holds what no release writes ({type(error).__name__}: {error})"
        return Damaged(path=self.path, what=told, next="replay the run to see what still agrees", seq=seq)

    def record(self, run: int, seq: int) -> Record:
        return self._record(self.query(f"{RECORD_SQL} WHERE run = ? AND seq = ?", run, seq)[0])

    def record_of(self, run: int, event_id: str) -> Record | None:
        """The last record of an event from outside."""
        found = self.query(f"{RECORD_SQL} WHERE run = ? AND event_id = ? ORDER BY seq DESC LIMIT 1", run, event_id)
        return self._record(found[0]) if found else None

    def unsure(self, run: int) -> Record | None:
        """The last record in which a call's fate was in question."""
        found = self.query(f"{RECORD_SQL} WHERE run = ? AND event = 'CallUnsure' ORDER BY seq DESC LIMIT 1", run)
        return self._record(found[0]) if found else None

    def calls(self, run: int, since: int = -1) -> list[Call]:
        """The call rows of a run, or those written since record `since`, in the order written."""
        return self._calls("run = ? AND seq >= ?", run, since)

    def calls_at(self, run: int, seq: int) -> list[Call]:
        """The call rows written after record `seq` and before the next."""
        return self._calls("run = ? AND seq = ?", run, seq)

    def calls_between(self, run: int, first: int, last: int) -> list[Call]:
        """The call rows written after record `first`, before the one that follows `last`."""
        return self._calls("run = ? AND seq BETWEEN ? AND ?", run, first, last)

    def calls_counted(self, run: int) -> dict[int, int]:
        """How many call rows there are after which record."""
        return dict(self.query("SELECT seq, count(*) FROM call WHERE run = ? GROUP BY seq", run))

    def calls_of(self, run: int, key: str) -> list[Call]:
        return self._calls("key = ? AND run = ?", key, run)

    def _calls(self, where: str, *parameters: Any) -> list[Call]:
        found: list[Call] = []
        for row in self.query(f"{CALL_SQL} WHERE {where} ORDER BY id", *parameters):
            try:
                found.append(call_from(row))
            except UNFIT as error:
                raise self._damaged("a call row after record", row[_CALL_SEQ], error) from error
        return found

    def snapshot(self, run: int) -> Snapshot | None:
        """The last snapshot row of a run."""
        found = self.query("SELECT body, memory FROM snapshot WHERE run = ? ORDER BY seq DESC LIMIT 1", run)
        return snapshot_from(*found[0]) if found else None

    def snapshots(self, run: int) -> dict[int, Snapshot]:
        found: dict[int, Snapshot] = {}
        for seq, body, memory in self.query("SELECT seq, body, memory FROM snapshot WHERE run = ? ORDER BY seq", run):
            try:
                found[seq] = snapshot_from(body, memory)
            except UNFIT as error:
                raise self._damaged("the snapshot row at record", seq, error) from error
        return found

    def spec(self, fingerprint: str) -> MachineSpec:
        """The machine a run was recorded under, without code."""
        if fingerprint not in self._specs:
            rows = self.query("SELECT spec FROM machine WHERE fingerprint = ?", fingerprint)
            self._specs[fingerprint] = MachineSpec.from_json(rows[0][0])
        return self._specs[fingerprint]

    def machines(self) -> list[tuple[str, str, int]]:
        """The machines recorded: name, fingerprint, and how many runs are under it today."""
        sql = "SELECT name, machine.fingerprint, count(run.key) FROM machine LEFT JOIN run USING (fingerprint)"
        return self.query(f"{sql} GROUP BY machine.fingerprint ORDER BY name")

    def inbox(self, run: int, limit: int = 1_000) -> list[Posted]:
        """Events from outside that wait for a run, oldest first."""
        sql = "SELECT id, run, event_id, event, digest, body FROM inbox WHERE run = ? ORDER BY id LIMIT ?"
        return [Posted(*row) for row in self.query(sql, run, limit)]

    def called(
        self, epoch: int, fingerprints: Sequence[str], but: Collection[int] = (), limit: int = 1_000
    ) -> list[Run]:
        """Runs of these machines, `but` for some, with events waiting, that `epoch` advances or that stand still."""
        rows = self.query(
            f"{RUN_SQL} WHERE key IN (SELECT run FROM inbox) AND (owner = ? OR outcome != 'running')"
            f" AND fingerprint IN ({_marks(fingerprints)}) AND {_not_among('key')} LIMIT ?",
            epoch,
            *fingerprints,
            json.dumps(list(but)),
            limit,
        )
        return [run_from(row) for row in rows]

    def due(
        self, now_ms: int, epoch: int, fingerprints: Sequence[str], but: Collection[int] = (), limit: int = 1_000
    ) -> list[Timer]:
        """Timers that have run out, oldest first, of runs as for `called`."""
        rows = self.query(
            "SELECT timer.run, timer.kind, timer.entered, timer.due_ms FROM timer JOIN run ON run.key = timer.run"
            f" WHERE due_ms <= ? AND (owner = ? OR outcome != 'running') AND fingerprint IN ({_marks(fingerprints)})"
            f" AND {_not_among('timer.run')} ORDER BY due_ms LIMIT ?",
            now_ms,
            epoch,
            *fingerprints,
            json.dumps(list(but)),
            limit,
        )
        return [Timer(*row) for row in rows]

    def next_due(self, now_ms: int) -> int | None:
        """When the next timer of any run runs out, after `now_ms`."""
        return self.query("SELECT min(due_ms) FROM timer WHERE due_ms > ?", now_ms)[0][0]  # type: ignore[no-any-return]

    def ownerless(self, now: float, but: Collection[int] = (), limit: int = 10_000) -> list[Run]:
        """Running runs that nobody advances, `but` for some: released, or their runner's lease is over."""
        rows = self.query(
            f"{RUN_SQL} WHERE outcome = 'running' AND (owner = 0 OR owner IN"
            " (SELECT DISTINCT owner FROM run WHERE outcome = 'running' AND owner > 0 EXCEPT"
            "  SELECT epoch FROM runner WHERE closed = 0 AND boot = ? AND expires > ?))"
            f" AND {_not_among('key')} ORDER BY key LIMIT ?",
            boot_id(),
            now,
            json.dumps(list(but)),
            limit,
        )
        return [run_from(row) for row in rows]

    def timers(self, run: int) -> list[Timer]:
        """The timers of a run: of its wait, of an event put off."""
        return [Timer(*row) for row in self.query("SELECT run, kind, entered, due_ms FROM timer WHERE run = ?", run)]

    def owned(self, epoch: int) -> set[int]:
        """The running runs that the runner of this epoch advances."""
        return {key for (key,) in self.query("SELECT key FROM run WHERE outcome = 'running' AND owner = ?", epoch)}

    def alive(self, now: float) -> list[int]:
        """The epochs of the runners whose lease holds."""
        sql = "SELECT epoch FROM runner WHERE closed = 0 AND boot = ? AND expires > ? ORDER BY epoch"
        return [epoch for (epoch,) in self.query(sql, boot_id(), now)]

    def runners(self) -> list[RunnerRow]:
        sql = "SELECT epoch, name, pid, boot, expires, closed, hung FROM runner ORDER BY epoch"
        return [RunnerRow(*row) for row in self.query(sql)]

    def tombstone(self, run: int) -> tuple[int, bytes] | None:
        """How many records a deleted run had, and their head."""
        found = self.query("SELECT records, head FROM tombstone WHERE run = ?", run)
        return found[0] if found else None


def read_journal(path: str | os.PathLike[str]) -> Reader:
    """An existing journal for reading only; `JournalError` where there is none. Close it after use."""
    return Reader(os.fspath(path), open_reader(os.fspath(path)))


def _not_among(column: str) -> str:
    """That a key is not in the JSON array bound here; thousands of placeholders would be too many for SQLite."""
    return f"{column} NOT IN (SELECT value FROM json_each(?))"


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))
