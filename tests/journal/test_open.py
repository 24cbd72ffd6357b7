"""Files that cannot be opened, disks that fail, and rows that nobody may change."""

import asyncio
import contextlib
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import fsm.journal.connect
from fsm import Machine, Record, Run, Runner, SqliteJournal, State, TimedOut, read_journal, replay_run
from fsm.errors import JournalClosed, JournalError, JournalUnwritable, NewerFormat, NotAJournal
from fsm.journal.schema import FORMAT
from fsm.testing import MovableClock
from guards import LoopCap
from tests.helpers import FULL, assert_sound, failing


class Job(BaseModel):
    text: str = ""


class Done(BaseModel):
    text: str = ""


async def work(view: Any) -> BaseModel:
    await view.call("fetch", str, view.visit)
    return Done(text="x" * 70_000) if view.visit == 3 else Job(text=f"{view.visit} " + "y" * 100_000)


class Loop(Machine):
    """A little of everything: bodies in rows and artifacts, calls, snapshots."""

    work = State(initial=Job, agent=work)
    done = State(final="completed")
    again = work.to(work, on=Job, guards=[LoopCap(9)])
    finish = work.to(done, on=Done)


def recorded(path: str | os.PathLike[str], run_id: str = "r", **options: Any) -> Run:
    """One run of the machine, from start to end, in a journal of this path."""

    async def run() -> Run:
        journal = SqliteJournal(path, **{"synchronous": "OFF", **options})
        async with Runner(journal, machines=[Loop], poll_s=0.01, handle_signals=False) as runner:
            await runner.start(Loop, Job(), run_id=run_id)
            return await runner.settled(run_id)

    return asyncio.run(asyncio.wait_for(run(), 20))


def refused(path: str | os.PathLike[str], **options: Any) -> JournalError:
    """The error that opening this path for a runner gives; nothing may have been written."""
    target = Path(path)
    before = target.read_bytes() if target.is_file() else b""
    with pytest.raises(JournalError) as caught:
        recorded(path, **options)
    assert (target.read_bytes() if target.is_file() else b"") == before
    assert caught.value.path == os.fspath(path)
    assert str(caught.value) == f"{caught.value.path}: {caught.value.what}\n  -> {caught.value.next}"
    return caught.value


def through(change: Callable[[str], str]) -> Callable[..., sqlite3.Connection]:
    """A `connect` that opens another address."""

    def connect(address: str, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = sqlite3.connect(change(address), **options)
        return connection

    return connect


# -- files that are no journals ----------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"GIF89a" + bytes(5_000), b"hello\n", b"SQLite format 3\x00" + b"\xff" * 9_000])
def test_a_file_that_is_no_database(db: Path, content: bytes) -> None:
    db.write_bytes(content)
    error = refused(db)
    assert isinstance(error, NotAJournal)
    assert (error.what, error.next) == ("it is not a SQLite file", "check the path; the file is untouched")
    with pytest.raises(NotAJournal, match="it is not a SQLite file"):
        read_journal(db)


def test_another_programs_database(db: Path) -> None:
    with contextlib.closing(sqlite3.connect(db)) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    error = refused(db)
    assert isinstance(error, NotAJournal)
    assert error.what == "it is another program's SQLite file (1 tables and views)"
    assert error.next == "give the journal a file of its own"
    with pytest.raises(NotAJournal, match="another program's SQLite file"):
        read_journal(db)


def test_another_programs_database_that_has_no_table_yet(db: Path) -> None:
    with contextlib.closing(sqlite3.connect(db)) as connection:
        connection.execute("PRAGMA application_id = 252006673")
        connection.execute("PRAGMA user_version = 3")
    assert isinstance(refused(db), NotAJournal)


def test_a_newer_format(db: Path) -> None:
    recorded(db)
    with contextlib.closing(sqlite3.connect(db)) as connection:
        connection.execute("PRAGMA user_version = 99")
    error = refused(db)
    assert isinstance(error, NewerFormat)
    assert error.what == f"it has format 99, this release reads up to {FORMAT}"
    assert error.next == "install the release that wrote it, or a later one; the file is untouched"
    with pytest.raises(NewerFormat):
        read_journal(db)


def test_a_damaged_file(db: Path) -> None:
    recorded(db)
    content = db.read_bytes()
    db.write_bytes(content[: len(content) // 2])

    def read_it() -> None:
        with contextlib.closing(read_journal(db)) as reader:
            list(reader.records(1))

    with pytest.raises(JournalError, match=r"it is damaged .*\n  -> restore a backup"):
        read_it()


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    error = refused(tmp_path / "nowhere" / "runs.db")
    assert isinstance(error, JournalUnwritable)
    assert (error.what, error.next) == ("its folder does not exist", "create the folder, or give another path")
    assert not (tmp_path / "nowhere").exists()
    error = refused(tmp_path)
    assert isinstance(error, JournalUnwritable)
    assert error.what == "it cannot be opened"
    with pytest.raises(NotAJournal, match="there is no such file\n  -> check the path, or start a run there first"):
        read_journal(tmp_path / "nothing.db")


def test_an_empty_file_becomes_a_journal(db: Path) -> None:
    db.touch()
    with pytest.raises(NotAJournal, match="it holds no journal"):
        read_journal(db)
    assert recorded(db).outcome == "completed"
    assert_sound(db, Loop)


@pytest.mark.parametrize(
    "name", ["my runs.db", "50%25.db", "a#b.db", "what?mode=ro.db", "läufe 试 🌀.db", "a&b=c;d'\".db"]
)
def test_any_name_is_a_good_name(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / f"in {name}"
    folder.mkdir()
    assert recorded(folder / name).outcome == "completed"
    monkeypatch.chdir(folder)
    assert recorded(name).outcome == "completed", "a relative path is the same file"
    assert_sound(folder / name, Loop)
    assert [path.name for path in folder.iterdir()] == [name], "nothing else is left behind"


# -- files that cannot be written --------------------------------------------------------------------


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write anywhere; so it steps down meanwhile."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that anybody can see into."""
    folder = Path(tempfile.mkdtemp(prefix="fsm-"))
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


@pytest.mark.parametrize("folder_too", [True, False], ids=["file and folder", "file only"])
def test_a_read_only_file_is_refused_and_can_be_read(public: Path, folder_too: bool) -> None:
    db = public / "runs.db"
    recorded(db)
    db.chmod(0o444)
    public.chmod(0o555 if folder_too else 0o777)
    with unprivileged():
        error = refused(db)
        assert isinstance(error, JournalUnwritable)
        assert (error.what, error.next) == ("it is read-only", "make the file and its folder writable")
        reader = read_journal(db)
        try:
            assert replay_run(reader, "r", Loop).agreed
        finally:
            reader.close()
    public.chmod(0o755)
    db.chmod(0o644)
    assert_sound(db, Loop)


def test_a_read_only_folder_is_refused(public: Path) -> None:
    public.chmod(0o555)
    with unprivileged():
        error = refused(public / "runs.db")
    assert isinstance(error, JournalUnwritable)
    assert error.what == "it cannot be opened"
    assert error.next == "check that the folder exists and may be written to"
    assert list(public.iterdir()) == []


def test_a_disk_that_turned_read_only(db: Path) -> None:
    recorded(db)
    error = refused(db, connect=through(lambda address: address.replace("mode=rwc", "mode=ro")))
    assert isinstance(error, JournalUnwritable)
    assert error.what == "it is read-only"


@pytest.mark.parametrize("vfs", ["unix-dotfile", "unix-none"])
def test_a_file_system_without_wal_is_refused_at_open(db: Path, vfs: str) -> None:
    error = refused(db, connect=through(lambda address: f"{address}&vfs={vfs}"))
    assert isinstance(error, JournalUnwritable)
    assert error.what == "its file system cannot do WAL (journal_mode stays 'delete')"
    assert error.next == "put the journal on a local disk, not on a network share"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits ten seconds for a lock."""
    monkeypatch.setattr(fsm.journal.connect, "BUSY_S", 0.2)


@contextlib.contextmanager
def locked(db: Path) -> Iterator[None]:
    """Another process keeps a write transaction open."""
    program = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None)"
    program += "; c.execute('BEGIN IMMEDIATE'); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", program, str(db)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield


@pytest.mark.parametrize("new", [True, False], ids=["new file", "journal"])
@pytest.mark.usefixtures("impatient")
def test_a_file_that_another_process_keeps_locked(db: Path, new: bool) -> None:
    if not new:
        recorded(db)
    with locked(db):
        error = refused(db)
        assert isinstance(error, JournalUnwritable)
        assert error.what == "another program has kept it locked for 0.2 s"
        assert error.next.startswith(
            "find who holds a write transaction open (a shell, a backup) and end it; a runner at"
        )
    assert recorded(db).outcome == "completed"
    assert_sound(db, Loop)


@pytest.mark.usefixtures("impatient")
def test_a_lock_in_mid_run_stops_the_run_with_the_reason_and_it_goes_on_afterwards(db: Path) -> None:
    async def run() -> None:
        gate = asyncio.Event()

        async def agent(view: Any) -> Done:
            await gate.wait()
            return Done()

        machine = Loop.with_agents(work=agent)
        journal = SqliteJournal(db, synchronous="OFF")
        async with Runner(journal, machines=[machine], poll_s=0.01, handle_signals=False) as runner:
            for run_id in ("a", "b", "c"):
                await runner.start(machine, Job(), run_id=run_id)
            with locked(db):
                gate.set()
                for run_id in ("a", "b", "c"):
                    with pytest.raises(JournalUnwritable, match=r"has kept it locked for 0\.2 s"):
                        await runner.settled(run_id)
            for run_id in ("a", "b", "c"):
                await runner.resume(run_id)
                assert (await runner.settled(run_id)).outcome == "completed"

    asyncio.run(asyncio.wait_for(run(), 20))
    assert_sound(db, Loop)


# -- a full disk -------------------------------------------------------------------------------------


class Disk:
    """A disk with room for so many pages; more can be given."""

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self.connections: list[sqlite3.Connection] = []

    def connect(self, address: str, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = sqlite3.connect(address, **options)
        connection.execute("PRAGMA page_size = 8192")
        connection.execute(f"PRAGMA max_page_count = {self.pages}")
        self.connections.append(connection)
        return connection

    def grow(self, pages: int) -> None:
        for connection in self.connections:
            connection.execute(f"PRAGMA max_page_count = {pages}")


def test_a_disk_that_is_full_in_mid_run(db: Path) -> None:
    disk = Disk(60)
    told: list[tuple[str, int]] = []

    def listens(run: Run, record: Record) -> None:
        told.append((run.run_id, record.seq))

    async def run() -> None:
        journal = SqliteJournal(db, synchronous="OFF", connect=disk.connect)
        runner = Runner(journal, machines=[Loop], observers=[listens], poll_s=0.01, handle_signals=False)
        async with runner:
            for run_id in ("a", "b", "c"):
                await runner.start(Loop, Job(), run_id=run_id)
            told_of = await asyncio.gather(*map(runner.settled, ("a", "b", "c")), return_exceptions=True)
            stopped = [name for name, told in zip("abc", told_of, strict=True) if not isinstance(told, Run)]
            reasons = {(type(told), told.what, told.next) for told in told_of if isinstance(told, JournalError)}
            why = ("the disk is full", f"free some space; {fsm.journal.connect.ON}, and nothing acknowledged is lost")
            assert reasons == {(JournalUnwritable, *why)}
            written = {(run.run_id, seq) for run in journal.read.runs() for seq in range(run.seq + 1)}
            assert written == set(told), "what was acknowledged is there, and nothing else"
            with pytest.raises(JournalUnwritable, match="the disk is full"):
                await runner.start(Loop, Job(text="x" * 200_000), run_id="d")
            assert [run.run_id for run in journal.read.runs()] == ["a", "b", "c"]
            disk.grow(10_000)
            for run_id in stopped:
                await runner.resume(run_id)
            for run_id in ("a", "b", "c"):
                assert (await runner.settled(run_id)).outcome == "completed"

    asyncio.run(asyncio.wait_for(run(), 20))
    assert_sound(db, Loop)


def test_a_disk_that_stays_full_until_the_runner_has_stopped(db: Path) -> None:
    disk = Disk(60)
    with pytest.raises(JournalUnwritable, match="the disk is full"):
        recorded(db, connect=disk.connect)
    assert_sound(db, Loop)
    assert recorded(db).outcome == "completed"
    assert_sound(db, Loop)


def test_a_disk_without_room_for_a_journal(db: Path) -> None:
    with pytest.raises(JournalUnwritable, match="the disk is full"):
        recorded(db, connect=Disk(5).connect)
    assert recorded(db).outcome == "completed"
    assert_sound(db, Loop)


# -- the writer --------------------------------------------------------------------------------------


class Wait(Machine):
    person = State(initial=Job, timeout_s=60)
    done = State(final="completed")
    late = State(final="failed")
    accept = person.to(done, on=Done)
    again = person.to(person, on=Job)
    miss = person.to(late, on=TimedOut)


def test_an_event_whose_decision_cannot_be_written_waits_in_the_inbox(db: Path) -> None:
    async def run() -> None:
        journal, (connection,) = failing(db)
        async with Runner(journal, machines=[Wait], poll_s=0.01, handle_signals=False) as runner:
            run = await runner.start(Wait, Job(), run_id="r")
            connection.reason = FULL
            with pytest.raises(JournalUnwritable, match="the disk is full"):
                await runner.send("r", Job(), event_id="e")
            assert [posted.event_id for posted in journal.read.inbox(run.key)] == ["e"]
            with pytest.raises(JournalUnwritable, match="the disk is full"):
                await runner.finished("r")
            connection.reason = None
            record = await runner.send("r", Job(), event_id="e")
            assert record is not None
            assert (record.hop, record.event_id) == ("again", "e")
            finished = asyncio.create_task(runner.finished("r"))
            await asyncio.sleep(0.02)
            await runner.send("r", Done())
            assert (await finished).seq == 2, "what failed before does not count any more"

    asyncio.run(asyncio.wait_for(run(), 20))
    assert_sound(db, Wait)


@pytest.mark.parametrize("asked", [True, False], ids=["when somebody resumes", "by itself"])
def test_a_timeout_that_cannot_be_written_comes_afterwards(db: Path, asked: bool) -> None:
    async def run() -> None:
        clock, (journal, (connection,)) = MovableClock(), failing(db)
        async with Runner(journal, machines=[Wait], clock=clock, poll_s=0.01, handle_signals=False) as runner:
            await runner.start(Wait, Job(), run_id="r")
            connection.reason = FULL
            clock.advance(60)
            with pytest.raises(JournalUnwritable, match="the disk is full"):
                await runner.finished("r")
            connection.reason = None
            if asked:
                await runner.resume("r")
            else:
                clock.advance(1)
                while not journal.read.run("r").ended:
                    await asyncio.sleep(0)
            assert (await runner.finished("r")).state == "late"

    asyncio.run(asyncio.wait_for(run(), 20))
    assert_sound(db, Wait)


def test_when_the_writer_dies_everybody_who_waits_is_told_and_the_runner_stops(
    db: Path, caplog: pytest.LogCaptureFixture
) -> None:
    go = asyncio.Event()

    async def agent(view: Any) -> Done:
        if view.run_id == "works":
            await go.wait()
        return Done()

    class Desk(Machine):
        work = State(initial=Job, agent=agent)
        person = State()
        done = State(final="completed")
        finish = work.to(person, on=Done)
        accept = person.to(done, on=Done)

    async def run() -> None:
        journal, (connection,) = failing(db)
        async with Runner(journal, machines=[Desk], poll_s=10, handle_signals=False) as runner:
            for run_id in ("works", "waits"):
                await runner.start(Desk, Job(), run_id=run_id)
            await runner.settled("waits")
            waits = (runner.settled("works"), runner.finished("waits"), runner.idle())
            waiting: list[asyncio.Task[Any]] = [asyncio.ensure_future(act) for act in waits]
            await asyncio.sleep(0.02)
            connection.reason = SystemExit("out of memory")
            go.set()
            waiting += [asyncio.create_task(runner.start(Desk, Job(), run_id=f"new {n}")) for n in range(3)]
            for task in waiting:
                with pytest.raises(JournalClosed) as closed:
                    await task
            assert closed.value.what == "its writer died of SystemExit('out of memory')"
            assert closed.value.next == "open it again; what was acknowledged is there"
            for act in (runner.start(Desk, Job()), runner.send("waits", Done()), runner.idle(), runner.cancel("works")):
                with pytest.raises(JournalClosed):
                    await act

    asyncio.run(asyncio.wait_for(run(), 20))
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.CRITICAL]
    assert told == ["the journal's writer died: SystemExit('out of memory')"]
    assert_sound(db, Desk)
    reader = read_journal(db)
    assert [(run.run_id, run.state) for run in reader.runs()] == [("works", "work"), ("waits", "person")]
    reader.close()


# -- several at once ---------------------------------------------------------------------------------


def test_many_threads_open_a_new_file_at_once(tmp_path: Path) -> None:
    start = threading.Barrier(6)

    def open_it(path: Path) -> None:
        start.wait(10)
        asyncio.run(SqliteJournal(path).close())

    with ThreadPoolExecutor(6) as pool:
        for number in range(5):
            path = tmp_path / f"{number}.db"
            assert list(pool.map(open_it, [path] * 6)) == [None] * 6
            assert recorded(path).outcome == "completed"


def test_processes_that_open_a_new_file_at_once(db: Path) -> None:
    program = "import asyncio, sys; from fsm import SqliteJournal; print(flush=True); sys.stdin.readline()"
    program += "; asyncio.run(SqliteJournal(sys.argv[1]).close())"
    command = [sys.executable, "-c", program, str(db)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate(timeout=30)[1] for process in processes] == ["", "", ""]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert recorded(db).outcome == "completed"
    assert_sound(db, Loop)


# -- rows that stay ----------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["recursive_triggers off", "recursive_triggers on"])
def shell(request: pytest.FixtureRequest, db: Path) -> Iterator[sqlite3.Connection]:
    """A stranger's connection to a journal with rows in every table."""
    recorded(db)
    with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as connection:
        for table in ("record", "call", "snapshot", "artifact"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] > 0, table
        connection.execute("INSERT INTO tombstone VALUES (77, 'gone', 1, x'00', 'a test', 0)")
        connection.execute(f"PRAGMA recursive_triggers = {int(request.param)}")
        yield connection


def content(connection: sqlite3.Connection) -> dict[str, list[tuple[Any, ...]]]:
    tables = ("record", "call", "snapshot", "artifact", "tombstone")
    return {table: connection.execute(f"SELECT * FROM {table} ORDER BY rowid").fetchall() for table in tables}


CHANGES = {
    "record": ["state = 'x'", "body = 'x'", "head = x'00'", "seq = seq + 100", "detail = ''", "body = NULL, at_ms = 0"],
    "call": ["status = 'ok'", "body = '1'", "tokens = tokens + 1", "digest = x'00'", "body = NULL, key = 'x'"],
    "snapshot": ["body = '{}'", "memory = '{}'", "seq = seq + 1"],
    "artifact": ["body = 'x'", "digest = x'00'"],
    "tombstone": ["reason = 'x'", "records = 0"],
}


@pytest.mark.parametrize("table", CHANGES)
def test_no_row_of_history_can_be_changed_replaced_or_deleted(shell: sqlite3.Connection, table: str) -> None:
    before = content(shell)
    columns = [row[1] for row in shell.execute(f"PRAGMA table_info({table})")]
    (first, *_), column = before[table], CHANGES[table][0].split(" ", 1)[0]
    forged = tuple("forged" if name == column else value for name, value in zip(columns, first, strict=True))
    marks = ", ".join("?" * len(columns))
    attempts: list[tuple[str, tuple[Any, ...]]] = [
        (f"UPDATE {verb} {table} SET {change}", ())
        for change in CHANGES[table]
        for verb in ("", "OR REPLACE", "OR IGNORE")
    ]
    attempts += [
        (f"{verb} INTO {table} VALUES ({marks})", forged) for verb in ("INSERT", "INSERT OR REPLACE", "REPLACE")
    ]
    attempts += [
        (f"INSERT INTO {table} VALUES ({marks}) ON CONFLICT DO UPDATE SET {CHANGES[table][0]}", forged),
    ]
    attempts += [
        (f"DELETE FROM {table}", ()),
        (f"DELETE FROM {table} WHERE rowid = (SELECT min(rowid) FROM {table})", ()),
    ]
    for statement, values in attempts:
        with pytest.raises(sqlite3.Error, match=r"append-only|only with a tombstone|stay|UNIQUE|datatype"):
            shell.execute(statement, values)
        assert content(shell) == before, statement


def test_a_record_cannot_be_replaced_under_another_id(shell: sqlite3.Connection) -> None:
    before = content(shell)
    columns = "run, seq, kind, at_ms, source, state, outcome, hop, event, event_id, own, attempt, digest, detail, head"
    for id_ in ("NULL", "999"):
        with pytest.raises(sqlite3.IntegrityError, match="record is append-only"):
            shell.execute(
                f"INSERT OR REPLACE INTO record (id, {columns}) SELECT {id_}, {columns} FROM record WHERE seq = 1"
            )
    assert content(shell) == before


def test_a_body_may_be_erased_and_the_chain_still_holds(shell: sqlite3.Connection, db: Path) -> None:
    shell.execute("UPDATE record SET body = NULL WHERE seq = 0")
    shell.execute("UPDATE call SET body = NULL")
    shell.execute("UPDATE artifact SET body = NULL")
    reader = read_journal(db)
    try:
        replay = replay_run(reader, "r", Loop)
        assert replay.agreed, str(replay)
        assert replay.erased == 4
        assert "4 without payload, which was erased" in str(replay)
    finally:
        reader.close()


def test_rows_go_with_a_tombstone_of_their_run_only(shell: sqlite3.Connection, db: Path) -> None:
    shell.close()
    recorded(db, "other")

    async def bury() -> None:
        async with Runner(db, handle_signals=False) as runner:
            journal = runner.journal
            await journal.bury(journal.read.run("r"), "asked by its owner", 1)

    asyncio.run(bury())
    with contextlib.closing(sqlite3.connect(db)) as connection:
        for table in ("record", "call", "snapshot"):
            assert {row[0] for row in connection.execute(f"SELECT run FROM {table}")} == {2}, table
        with pytest.raises(sqlite3.IntegrityError, match="record rows go only with a tombstone of their run"):
            connection.execute("DELETE FROM record WHERE run = 2")
        tombstones = connection.execute("SELECT run_id, records, reason FROM tombstone ORDER BY run").fetchall()
    assert tombstones == [("r", 4, "asked by its owner"), ("gone", 1, "a test")]
    assert_sound(db, Loop)
