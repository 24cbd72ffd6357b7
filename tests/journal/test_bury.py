"""What goes with a deleted run, and what stays because another one refers to it."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from fsm import Machine, Runner, SqliteJournal, State, View
from tests.helpers import running


class Job(BaseModel):
    text: str = ""


class Done(BaseModel):
    text: str = ""


async def work(view: View[Job]) -> Done:
    await view.call("fetch", lambda: view.payload.text + "!")
    return Done(text=view.payload.text)


class Line(Machine):
    work = State(initial=Job, agent=work)
    done = State(final="completed")
    finish = work.to(done, on=Done)


async def recorded(runner: Runner, run_id: str, text: str) -> None:
    await runner.start(Line, Job(text=text * 100_000), run_id=run_id)
    assert (await runner.settled(run_id)).outcome == "completed"


async def buried(runner: Runner, run_id: str) -> None:
    await runner.journal.bury(runner.journal.read.run(run_id), "test", 0)


@contextlib.contextmanager
def shell(db: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as connection:
        yield connection


def artifacts(db: Path) -> int:
    with shell(db) as connection:
        return int(connection.execute("SELECT count(*) FROM artifact").fetchone()[0])


async def test_artifacts_go_with_the_last_run_that_refers_to_them(db: Path) -> None:
    async with running(db, Line) as runner:
        for run_id, text in (("a", "x"), ("b", "x"), ("c", "y")):
            await recorded(runner, run_id, text)
        assert artifacts(db) == 4, "payload and result, each in two kinds"
        await buried(runner, "a")
        assert artifacts(db) == 4
        assert runner.journal.read.record(runner.journal.read.run("b").key, 0).body is not None
        await buried(runner, "c")
        assert artifacts(db) == 2
        await buried(runner, "b")
        assert artifacts(db) == 0


async def test_an_artifact_cannot_be_deleted_while_something_refers_to_it(db: Path) -> None:
    async with running(db, Line) as runner:
        await recorded(runner, "a", "x")
        with shell(db) as connection:
            with pytest.raises(sqlite3.IntegrityError, match="an artifact stays while a record or a call refers to it"):
                connection.execute("DELETE FROM artifact")
            connection.execute("INSERT INTO artifact VALUES (x'00', 'stray')")
            connection.execute("DELETE FROM artifact WHERE digest = x'00'")
        assert artifacts(db) == 2


async def test_an_artifact_that_was_erased_is_there_again_once_it_is_written_again(db: Path) -> None:
    async with running(db, Line) as runner:
        await recorded(runner, "a", "x")
        with shell(db) as connection:
            connection.execute("UPDATE artifact SET body = NULL")
            with pytest.raises(sqlite3.IntegrityError, match="only its body may be erased"):
                connection.execute("UPDATE artifact SET digest = x'00'")
        assert runner.journal.read.record(runner.journal.read.run("a").key, 0).body is None
        await recorded(runner, "b", "x")
        for run_id in "ab":
            assert runner.journal.read.record(runner.journal.read.run(run_id).key, 0).body is not None


def test_finding_what_refers_to_an_artifact_reads_no_whole_table(db: Path) -> None:
    SqliteJournal(db).abandon()
    with shell(db) as connection:
        for table in ("record", "call"):
            plan = connection.execute(
                f"EXPLAIN QUERY PLAN SELECT 1 FROM {table} WHERE digest = x'00' AND body IS NULL"
            ).fetchall()
            assert f"INDEX {table}_artifact" in plan[0][3]
