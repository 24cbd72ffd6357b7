"""Deleting a run: the one way by which rows of records go; and runs that went another way."""

import sqlite3
from collections.abc import Iterator, Sequence

from attrs import define, evolve, frozen

from fsm.core.record import ENDED
from fsm.errors import Fenced
from fsm.journal import bulk
from fsm.journal.operations import Operation, get_run
from fsm.journal.reader import Reader
from fsm.journal.schema import referred
from fsm.journal.search import Search

BATCH_RUNS_MAX, BATCH_RECORDS_MAX = 200, 2_000


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


@define(eq=False, kw_only=True)
class Prune(Operation):
    """Delete these ended runs, by key, in one transaction; how many of them were still there."""

    runs: Sequence[int]
    reason: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> int:
        found = bulk.select_in(connection, "SELECT key FROM run WHERE key IN ({keys})", self.runs)
        for (key,) in found:
            Bury(run=key, reason=self.reason, at_ms=self.at_ms).apply(connection)
        return len(found)


@frozen
class Prunable:
    """A run that may be deleted. `size` is the bytes of its texts: payloads (also those other runs share), verdicts."""

    key: int
    outcome: str
    records: int
    size: int


def prunable(reader: Reader, search: Search) -> list[Prunable]:
    """The ended runs among those looked for, the oldest first."""
    where, parameters = evolve(search, outcomes=(search.outcomes or ENDED) & ENDED).where()
    sql = f"SELECT key, outcome, seq + 1, {_SIZE} FROM run WHERE {where} ORDER BY key"
    return [Prunable(*row) for row in reader.query(sql, *parameters)]


def batches(runs: Sequence[Prunable]) -> Iterator[Sequence[Prunable]]:
    """In slices small enough that others do not wait long for their turn to write; a large run is one alone."""
    start, records = 0, 0
    for place, run in enumerate(runs):
        if place > start and (place - start >= BATCH_RUNS_MAX or records + run.records > BATCH_RECORDS_MAX):
            yield runs[start:place]
            start, records = place, 0
        records += run.records
    if runs:
        yield runs[start:]


def unburied(reader: Reader) -> list[str]:
    """What is gone without a tombstone, or there in spite of one; a line each.

    Keys of runs are given in turn and never again, so each is that of a run or of a tombstone.
    """
    ((last,),) = reader.query("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'run'")
    kept = "SELECT key FROM run UNION SELECT run FROM tombstone"
    ((known,),) = reader.query(f"SELECT count(*) FROM ({kept})")
    told = []
    if known < last:
        many = f"{last - known} runs are" if last - known > 1 else "1 run is"
        told.append(f"{many} gone, and no tombstone says why")
    for table in ("record", "call", "snapshot"):
        sql = f"SELECT DISTINCT run FROM {table} WHERE run NOT IN (SELECT key FROM run)"
        told += [f"{table} rows of a run that is not there (key {key})" for (key,) in reader.query(sql)]
    both = "SELECT run.run_id FROM run JOIN tombstone ON tombstone.run = run.key"
    return told + [f"run {run_id} is there, and has a tombstone" for (run_id,) in reader.query(both)]


def _octets(table: str, what: str, more: str = "") -> str:
    return f"(SELECT coalesce(sum({what}), 0) FROM {table} {more} WHERE {table}.run = run.key)"


_ARTIFACT = "LEFT JOIN artifact ON artifact.digest = {0}.digest"
_BODY = "coalesce(length(CAST(coalesce({0}.body, artifact.body) AS BLOB)), 0)"
_SIZE = " + ".join(
    (
        _octets("record", f"length(CAST(detail AS BLOB)) + {_BODY.format('record')}", _ARTIFACT.format("record")),
        _octets("call", _BODY.format("call"), _ARTIFACT.format("call")),
        _octets("snapshot", "length(CAST(body AS BLOB)) + coalesce(length(CAST(memory AS BLOB)), 0)"),
    )
)
