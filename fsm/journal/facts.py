"""Facts about a journal's file, and a copy of it: what a person who keeps it wants to know."""

import contextlib
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from fsm.errors import JournalUnwritable
from fsm.journal.burial import unburied
from fsm.journal.connect import explained, open_reader
from fsm.journal.reader import Reader


@frozen(kw_only=True)
class FileFacts:
    """Sizes are bytes. `damage` is what SQLite finds wrong with the file itself; nothing, if all is well.

    `unburied` says of which runs something is gone that no tombstone accounts for.
    """

    path: str
    format: int
    sqlite: str
    page_size: int
    size: int
    wal_size: int
    free_size: int
    damage: tuple[str, ...]
    machines: int
    outcomes: Mapping[str, int]
    records: int
    calls: int
    buried: int
    unburied: tuple[str, ...]
    posted: int
    overdue: int


def facts(reader: Reader, now_ms: int) -> FileFacts:
    """Counted and checked now; reads the whole file once."""
    query, path = reader.query, Path(reader.path)
    wal = Path(f"{path}-wal")
    found = [str(text) for (text,) in query("PRAGMA quick_check")]
    page_size = query("PRAGMA page_size")[0][0]
    return FileFacts(
        path=reader.path,
        format=query("PRAGMA user_version")[0][0],
        sqlite=sqlite3.sqlite_version,
        page_size=page_size,
        size=path.stat().st_size,
        wal_size=wal.stat().st_size if wal.is_file() else 0,
        free_size=free_size(reader),
        damage=() if found == ["ok"] else tuple(found),
        machines=query("SELECT count(*) FROM machine")[0][0],
        outcomes=dict(query("SELECT outcome, count(*) FROM run GROUP BY outcome ORDER BY outcome")),
        records=query("SELECT count(*) FROM record")[0][0],
        calls=query("SELECT count(*) FROM call")[0][0],
        buried=query("SELECT count(*) FROM tombstone")[0][0],
        unburied=tuple(unburied(reader)),
        posted=query("SELECT count(*) FROM inbox")[0][0],
        overdue=query("SELECT count(*) FROM timer WHERE due_ms < ?", now_ms)[0][0],
    )


def free_size(reader: Reader) -> int:
    """The bytes of the file that hold nothing: what is written next takes them first."""
    return int(reader.query("PRAGMA freelist_count")[0][0] * reader.query("PRAGMA page_size")[0][0])


def copy(path: str, target: str) -> int:
    """Copy a journal as it is at this moment, also while it is being written; the copy's size in bytes.

    One read transaction: the writer goes on beside it. The copy appears under its name only when it is whole.
    Raises `JournalError`s; an existing file is never replaced.
    """
    if os.path.lexists(target):
        raise JournalUnwritable(path=target, what="it exists already", next="give the copy another name")
    part = f"{target}.part"
    with contextlib.closing(open_reader(path)) as source:
        try:
            with contextlib.closing(sqlite3.connect(part, isolation_level=None)) as into:
                source.backup(into)
                into.execute("PRAGMA journal_mode = DELETE")
            os.link(part, target)  # unlike a rename it fails where somebody else was faster
        except sqlite3.Error as error:
            raise explained(error, target) from error
        except OSError as error:
            what = f"it cannot be written ({error.strerror})"
            raise JournalUnwritable(path=target, what=what, next="give another path") from error
        finally:
            Path(part).unlink(missing_ok=True)
    return Path(target).stat().st_size
