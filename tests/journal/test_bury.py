"""What goes with a deleted run, what stays because another one refers to it, and how a run that was cut is told."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from fsm import Machine, Runner, SqliteJournal, State, View, read_journal
from fsm.errors import JournalUnwritable
from fsm.journal.alone import alone
from fsm.journal.burial import BATCH_RECORDS_MAX, BATCH_RUNS_MAX, Prunable, Prune, batches, prunable, unburied
from fsm.journal.facts import free_size
from fsm.journal.search import Search
from tests.helpers import running


class Job(BaseModel):
    text: str = ""


class Done(BaseModel):
    text: str = ""


async def work(view: View[Job]) -> Done:
    await view.call("fetch", lambda: view.payload.text + "!")
    return Done(text=view.payload.text)


async def fail(view: View[Job]) -> Done:
    raise ValueError("no")


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


def found(db: Path, search: Search | None = None) -> list[Prunable]:
    with contextlib.closing(read_journal(db)) as reader:
        return prunable(reader, search or Search())


def untold(db: Path) -> list[str]:
    with contextlib.closing(read_journal(db)) as reader:
        return unburied(reader)


def pruned(db: Path, runs: list[Prunable]) -> int:
    with alone(str(db), 0.0) as journal:
        return int(journal.write(Prune(runs=[run.key for run in runs], reason="test", at_ms=1)))


async def test_runs_are_pruned_beside_a_runner_and_only_those_that_have_ended(db: Path) -> None:
    async with running(db, Line) as runner:
        for run_id in "abc":
            await recorded(runner, run_id, run_id)
        broken = Line.with_agents(work=fail)
        assert (await runner.settled((await runner.start(broken, Job(), run_id="d")).run_id)).outcome == "stuck"
        runs = found(db)
        assert [(run.key, run.outcome, run.records) for run in runs] == [(n, "completed", 2) for n in (1, 2, 3)]
        assert all(300_000 < run.size < 301_000 for run in runs), "payload, result, and what the call gave"
        assert pruned(db, runs[:2]) == 2
        assert pruned(db, runs) == 1, "what somebody else has deleted meanwhile is gone"
        await recorded(runner, "e", "e")
    assert untold(db) == []
    with contextlib.closing(read_journal(db)) as reader:
        assert [run.run_id for run in reader.runs()] == ["d", "e"]
        records, head = reader.tombstone(1) or (0, b"")
        assert records == 2 and len(head) == 32


async def test_the_free_space_is_given_back_once_nobody_is_at_work(db: Path) -> None:
    async with running(db, Line) as runner:
        for run_id in "abc":
            await recorded(runner, run_id, run_id)
        pruned(db, found(db))
        with alone(str(db), 0.0) as journal:
            assert journal.shared
            with pytest.raises(JournalUnwritable, match="while a runner is at work"):
                journal.vacuum()
    with alone(str(db), 0.0) as journal:
        assert free_size(journal.read) > 500_000
        assert journal.vacuum() > 500_000
        assert free_size(journal.read) == 0
    assert untold(db) == []


def test_batches_are_small_and_hold_everything_in_order() -> None:
    runs = [Prunable(key, "completed", records, 1) for key, records in enumerate([3, 5_000, 1, *[1] * 500, 1_999, 2])]
    slices = list(batches(runs))
    assert [run for batch in slices for run in batch] == runs
    assert all(len(batch) <= BATCH_RUNS_MAX for batch in slices)
    assert all(sum(run.records for run in batch) <= BATCH_RECORDS_MAX or len(batch) == 1 for batch in slices)
    assert list(batches([])) == []


CUTS = {
    "DELETE FROM {0} WHERE run = 2; DELETE FROM run WHERE key = 2": ["1 run is gone, and no tombstone says why"],
    "DELETE FROM {0} WHERE run > 1; DELETE FROM run WHERE key > 1": ["2 runs are gone, and no tombstone says why"],
    "DELETE FROM run WHERE key = 3": [
        "1 run is gone, and no tombstone says why",
        "record rows of a run that is not there (key 3)",
        "call rows of a run that is not there (key 3)",
    ],
    "DELETE FROM tombstone": ["1 run is gone, and no tombstone says why"],
    "INSERT INTO tombstone VALUES (3, 'c', 1, x'00', '', 1)": ["run c is there, and has a tombstone"],
}


@pytest.mark.parametrize("cut", CUTS)
async def test_a_run_that_was_cut_out_by_hand_is_told_from_one_that_was_deleted(db: Path, cut: str) -> None:
    async with running(db, Line) as runner:
        for run_id in "abc":
            await recorded(runner, run_id, run_id)
        await buried(runner, "a")
        assert untold(db) == []
    with shell(db) as connection:
        for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {trigger}")
        for table in ("record", "call", "snapshot"):
            if "{0}" in cut:
                connection.execute(cut.split(";", maxsplit=1)[0].format(table))
        connection.execute(cut.rsplit("; ", maxsplit=1)[-1])
    assert untold(db) == CUTS[cut]
