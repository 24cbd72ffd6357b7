"""Writing without a runner: what a person's command changes, in turn with whoever else writes."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from fsm.errors import JournalUnwritable
from fsm.journal.connect import explained, knock, open_writer
from fsm.journal.operations import Operation
from fsm.journal.reader import Reader
from fsm.journal.writer import COURTESY_S, Writer


@frozen
class Alone:
    """A journal to write and to read; `shared` while runners are at work on it."""

    writer: Writer
    read: Reader
    shared: bool

    def write(self, operation: Operation) -> Any:
        """The result of one operation, once it is durable; raises its error. Runners at work get their turn."""
        result = self.writer.now(operation).result
        if self.shared:
            time.sleep(COURTESY_S)
        return result

    def vacuum(self) -> int:
        """Write the file anew without its free pages; by how many bytes it has shrunk.

        Everybody else waits meanwhile, longer than leases last: `JournalUnwritable` while a runner is at work.
        """
        path = self.read.path
        if self.shared:
            what = "its free space cannot be given back while a runner is at work"
            raise JournalUnwritable(path=path, what=what, next="stop the runners, then try again")
        before = Path(path).stat().st_size
        try:
            knock(self.writer.connection, "VACUUM")
            self.writer.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise explained(error, path) from error
        return before - Path(path).stat().st_size


@contextmanager
def alone(path: str, monotonic: float) -> Iterator[Alone]:
    """The journal at `path`, made if it is not there. Raises `JournalError`s on opening."""
    writer = Writer(path, open_writer(path))
    try:
        read = Reader(path, writer.connection)
        shared = bool(read.alive(monotonic))
        if shared:  # of several connections one checkpoints: a runner's
            writer.connection.execute("PRAGMA wal_autocheckpoint = 0")
        yield Alone(writer, read, shared)
    finally:
        writer.stop()
