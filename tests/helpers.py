"""What tests of several packages share."""

import asyncio
import contextlib
import json
import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from fsm import Machine, Runner, SqliteJournal, read_journal, replay_run
from fsm.define.events import RUNTIME_EVENTS
from fsm.define.payload import canonical, digest
from fsm.journal.migrations import migrations


def assert_sound(db: str | os.PathLike[str], *machines: type[Machine]) -> None:
    """Nothing invalid is in this journal.

    Every payload is canonical and validates strictly under its class; every run replays and agrees, from the
    journal alone and, for the machines given, with their code; its row says what its last record says.
    """
    classes = {
        (machine.spec.fingerprint, name): cls for machine in machines for name, cls in machine.spec.classes.items()
    }
    reader = read_journal(db)
    try:
        for run in reader.runs():
            records = list(reader.records(run.key))
            assert [record.seq for record in records] == list(range(run.seq + 1)), f"{run.run_id}: gaps"
            last = records[-1]
            assert (last.state, last.outcome, last.head) == (run.state, run.outcome, run.head), run.run_id
            assert [record.at_ms for record in records] == sorted(record.at_ms for record in records)
            payloads = [(record.event, record.digest, record.body) for record in records if record.event]
            unread = {(record.event, record.digest) for record in records if "unread" in record.note}
            payloads += [(posted.event, posted.digest, posted.body.encode()) for posted in reader.inbox(run.key)]
            for event, sha256, body in payloads:
                if (event, sha256) in unread:
                    continue
                assert body is not None and canonical(json.loads(body)) == body and digest(body) == sha256, event
                cls = RUNTIME_EVENTS.get(event) or classes.get((run.fingerprint, event))
                if cls is not None:
                    cls.model_validate_json(body, strict=True)
            for call in reader.calls(run.key):
                assert call.body is not None and canonical(json.loads(call.body)) == call.body, call.key
            replays = [replay_run(reader, run.run_id)]
            replays += [replay_run(reader, run.run_id, m) for m in machines if m.spec.fingerprint == run.fingerprint]
            for replay in replays:
                assert replay.agreed, str(replay)
                assert replay.records == len(records)
    finally:
        reader.close()
    with contextlib.closing(sqlite3.connect(db)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


@contextlib.asynccontextmanager
async def running(
    db: str | os.PathLike[str], *machines: type[Machine], journal: SqliteJournal | None = None, **options: Any
) -> AsyncIterator[Runner]:
    """A quick runner on this file; once it has stopped the journal must be sound."""
    journal = journal or SqliteJournal(db, synchronous="OFF")
    settings = {"poll_s": 0.01, "handle_signals": False, **options}
    async with Runner(journal, machines=machines, **settings) as runner:
        yield runner
    assert_sound(db, *machines)


class Gated(SqliteJournal):
    """A journal in which the decision of one kind of event takes as long as the test likes."""

    def __init__(self, path: str | os.PathLike[str], event: str) -> None:
        super().__init__(path, synchronous="OFF")
        self.event = event
        self.reached, self.gate = asyncio.Event(), asyncio.Event()

    async def decide(self, run: Any, engine: Any, snapshot: Any, plan: Any, **options: Any) -> Any:
        if plan.event.payload.event == self.event:
            self.reached.set()
            await self.gate.wait()
        return await super().decide(run, engine, snapshot, plan, **options)


class Failing(sqlite3.Connection):
    """A connection on which the next records cannot be written, for a reason."""

    reason: BaseException | None = None

    def execute(self, *args: Any) -> sqlite3.Cursor:
        if self.reason is not None and args[0].startswith("INSERT INTO record"):
            raise self.reason
        return super().execute(*args)


def failing(db: Path) -> tuple[SqliteJournal, list[Failing]]:
    """A journal, and the connection it writes with."""
    made: list[Failing] = []

    def connect(address: str, **options: Any) -> Failing:
        made.append(sqlite3.connect(address, factory=Failing, **options))
        return made[0]

    return SqliteJournal(db, synchronous="OFF", connect=connect), made


FULL = sqlite3.OperationalError("database or disk is full")


def in_format(db: Path, version: int) -> Path:
    """The same rows in a file as this format was, without what came later."""
    older = db.with_name("older.db")
    with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as connection:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with contextlib.closing(sqlite3.connect(older, isolation_level=None)) as connection:
        connection.execute("PRAGMA page_size = 8192")
        connection.execute("PRAGMA journal_mode = WAL")
        migrations.apply(Database(connection), stop_before=f"format_{version + 1}")
        connection.execute(f"PRAGMA application_id = {application}")
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("ATTACH ? AS newer", (str(db),))
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            if table.startswith(("sqlite_", "_sqlite_")):
                continue
            columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
            connection.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM newer.{table}")
    db.unlink()
    return older.rename(db)
