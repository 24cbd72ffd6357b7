"""Opening the file: what it is, whether it can be written, which format it has.

Every refusal happens here, before anything is written. Two kinds of connection exist: the writer's, which
alone checkpoints, and readers, which never write. `isolation_level=None` everywhere: transactions are
explicit, and writing ones begin IMMEDIATE (a deferred one that reads first fails at once under load).
"""

import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path

from fsm.errors import JournalError, JournalUnwritable, NewerFormat, NotAJournal, RunNotFound
from fsm.journal.schema import APPLICATION_ID, FORMAT, PAGE_SIZE

Connect = Callable[..., sqlite3.Connection]
BUSY_S = 10.0
KNOCK_S = 0.0004
CALLS_OF_TODAY = (  # for who reads a file of before format 4
    "CREATE TEMP VIEW call AS SELECT *, '' AS usage, NULL AS tokens_max, NULL AS usd_micros_max FROM main.call"
)

ON = "a runner at work then goes on by itself, others resume"


def open_writer(path: str, connect: Connect = sqlite3.connect, synchronous: str = "FULL") -> sqlite3.Connection:
    """The writing connection; creates the file, or brings an older format up. Raises `JournalError`s."""
    if not Path(path).parent.is_dir():
        raise JournalUnwritable(
            path=path, what="its folder does not exist", next="create the folder, or give another path"
        )
    try:
        connection = connect(_uri(path, "rwc"), uri=True, isolation_level=None, timeout=BUSY_S, check_same_thread=False)
    except sqlite3.Error as error:
        raise explained(error, path) from error
    try:
        _check(connection, path)
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        mode = knock(connection, "PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise JournalUnwritable(
                path=path,
                what=f"its file system cannot do WAL (journal_mode stays {mode!r})",
                next="put the journal on a local disk, not on a network share",
            )
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA foreign_keys = ON")
        if sys.platform == "darwin":
            connection.execute("PRAGMA fullfsync = ON")
        if connection.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
            from fsm.journal.migrations import migrate  # its imports are not for those who only read

            knock(connection, "BEGIN IMMEDIATE")
            migrate(connection)
    except sqlite3.Error as error:
        connection.close()
        raise explained(error, path) from error
    except JournalError:
        connection.close()
        raise
    return connection


def open_reader(path: str, connect: Connect = sqlite3.connect) -> sqlite3.Connection:
    """A reading connection to an existing journal, also one on a read-only disk."""
    if not Path(path).is_file():
        raise NotAJournal(path=path, what="there is no such file", next="check the path, or start a run there first")
    try:
        return _reading(connect, path, "ro")
    except sqlite3.Error as error:
        if is_locked(error):
            raise explained(error, path) from error
        wal = Path(f"{path}-wal")
        if wal.is_file() and wal.stat().st_size:
            what = "it is on a read-only disk, and its last records are in its -wal file, which takes a writable one"
            raise JournalUnwritable(path=path, what=what, next="copy both files to a writable folder") from error
        try:  # a read-only disk has no place for the files that a reader shares with the writer
            return _reading(connect, path, "ro&immutable=1")
        except sqlite3.Error:
            raise explained(error, path) from error


def _reading(connect: Connect, path: str, mode: str) -> sqlite3.Connection:
    connection = connect(_uri(path, mode), uri=True, isolation_level=None, timeout=BUSY_S, check_same_thread=False)
    try:
        _check(connection, path)
        if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise NotAJournal(path=path, what="it holds no journal", next="check the path, or start a run there first")
        if connection.execute("PRAGMA user_version").fetchone()[0] < 4:
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute(CALLS_OF_TODAY)
        connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def knock(connection: sqlite3.Connection, sql: str) -> sqlite3.Cursor:
    """Execute what needs the write lock as soon as it is free, for up to BUSY_S.

    SQLite's own wait sleeps ever longer and misses the gaps that a busy writer leaves; and for some
    statements, such as the switch to WAL, there is none.
    """
    tries = round(BUSY_S / KNOCK_S)
    while True:
        try:
            return connection.execute(sql)
        except sqlite3.OperationalError as error:
            tries -= 1
            if tries <= 0 or not is_locked(error):
                raise
            time.sleep(KNOCK_S)


def _uri(path: str, mode: str) -> str:
    return f"{Path(path).absolute().as_uri()}?mode={mode}"


def _check(connection: sqlite3.Connection, path: str) -> None:
    """Whether this file is ours, and not from a later release."""
    connection.execute("BEGIN")  # the three belong together: another process may be creating the file right now
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    connection.execute("COMMIT")
    if application != APPLICATION_ID and (tables or application):
        raise NotAJournal(
            path=path,
            what=f"it is another program's SQLite file ({tables} tables and views)",
            next="give the journal a file of its own",
        )
    if version > FORMAT:
        raise NewerFormat(
            path=path,
            what=f"it has format {version}, this release reads up to {FORMAT}",
            next="install the release that wrote it, or a later one; the file is untouched",
        )


def explained(error: sqlite3.Error, path: str) -> JournalError:
    """A SQLite error as what happened and what to do; the journal holds nothing half-written."""
    text = str(error)
    if "not a database" in text:
        return NotAJournal(path=path, what="it is not a SQLite file", next="check the path; the file is untouched")
    if "readonly" in text or "read-only" in text:
        return JournalUnwritable(path=path, what="it is read-only", next="make the file and its folder writable")
    if "full" in text:
        return JournalUnwritable(
            path=path, what="the disk is full", next=f"free some space; {ON}, and nothing acknowledged is lost"
        )
    if is_locked(error):
        return JournalUnwritable(
            path=path,
            what=f"another program has kept it locked for {BUSY_S:g} s",
            next=f"find who holds a write transaction open (a shell, a backup) and end it; {ON}",
        )
    if "unable to open" in text:
        return JournalUnwritable(
            path=path, what="it cannot be opened", next="check that the folder exists and may be written to"
        )
    if "malformed" in text or "corrupt" in text:
        return NotAJournal(
            path=path, what=f"it is damaged ({text})", next="restore a backup; try sqlite3's .recover on a copy"
        )
    return JournalError(
        path=path, what=f"SQLite: {text}", next=f"find the cause; {ON}, and nothing acknowledged is lost"
    )


def is_locked(error: sqlite3.Error) -> bool:
    """Whether somebody else holds the lock, so that waiting may help."""
    return "locked" in str(error) or "busy" in str(error)


def no_run(run_id: str, path: str) -> RunNotFound:
    return RunNotFound(run_id=run_id, journal=path)
