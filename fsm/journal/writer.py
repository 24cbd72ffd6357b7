"""The one that writes: a thread with a queue, and group commit.

Nothing is acknowledged before COMMIT has returned. Whatever waits in the queue is committed together, so
`synchronous=FULL` costs one sync for many decisions. If SQLite fails anywhere in a group, all of it is
rolled back, and its members are redone one by one: a bad one fails alone, and nothing that was lost is
acknowledged. (SQLITE_FULL and its like roll back by themselves and leave the connection in autocommit;
so after an error nothing more of the group is executed.)
"""

import contextlib
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from fsm.crash import point
from fsm.errors import FsmError, JournalClosed
from fsm.journal.begin import Begin
from fsm.journal.connect import explained, knock
from fsm.journal.decisions import apply_decisions
from fsm.journal.inbox import Post
from fsm.journal.lease import Lease, Renew
from fsm.journal.operations import Decide, Operation, WriteCall

GROUP_MAX = 1_024
SHARED_GROUP_MAX = 64
COURTESY_S = 0.001
MET_S = 5.0

log = logging.getLogger("fsm.journal")

Deliver = Callable[[Sequence[Operation]], None]


class Writer:
    """Applies operations on one connection, in groups; with `start`, on its own thread."""

    def __init__(self, path: str, connection: sqlite3.Connection) -> None:
        self.path = path
        self.connection = connection
        self.lease: Lease | None = None
        self.groups = 0
        self._deliver: Deliver = lambda operations: None
        self._queue: deque[Operation] = deque()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._died: BaseException | None = None
        self._turn = threading.Lock()
        self._group: list[Operation] = []
        self._version: int | None = None
        self._met_s: float | None = None
        connection.execute("PRAGMA busy_timeout = 0")  # `knock` waits by itself

    def start(self, deliver: Deliver) -> None:
        """Write on a thread of its own from now on; `deliver` gets every answered operation, in that thread."""
        self._deliver = deliver
        self._thread = threading.Thread(target=self._main, name="fsm-writer", daemon=True)
        self._thread.start()

    def submit(self, operations: Sequence[Operation]) -> None:
        """Queue operations for the thread; their answers come through `deliver`."""
        with self._wake:
            if self._died is not None or self._stopping:
                raise self._closed()
            self._queue.extend(operations)
            self._wake.notify()

    def now(self, operation: Operation) -> Operation:
        """Apply one operation on the calling thread; raises its error."""
        with self._turn:
            self._commit([operation])
        if operation.error is not None:
            raise operation.error
        return operation

    @property
    def died(self) -> BaseException | None:
        return self._died

    def stop(self) -> None:
        """Write what is queued, then end the thread and close the connection."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()
        self.connection.close()

    def _main(self) -> None:
        try:
            while self._next():
                pass
        except BaseException as error:
            self._die(error)

    def _next(self) -> bool:
        """One group; False once stopped and empty."""
        with self._wake:
            if not self._queue and not self._stopping:
                self._wake.wait(self.lease.lease_s / 8 if self.lease else None)
            most = SHARED_GROUP_MAX if self._shared() else GROUP_MAX
            group = [self._queue.popleft() for _ in range(min(len(self._queue), most))]
            self._group = group
            stopped = self._stopping and not group
        renewal = self.lease.due() if self.lease and not stopped else None
        members = ([renewal] if renewal else []) + group
        if members:
            with self._turn:
                self._commit(members)
        if group:
            self._deliver(group)
            self._group = []
        if renewal is not None:
            self._keep(renewal)
        if group and self._shared():
            time.sleep(COURTESY_S)
        return not stopped

    def _shared(self) -> bool:
        """Whether others write here too: a runner that lives, or whoever else committed lately."""
        if self.lease is None:
            return False
        met_s = self._met_s
        return self.lease.others > 0 or (met_s is not None and self.lease.clock.monotonic() - met_s < MET_S)

    def _keep(self, renewal: Renew) -> None:
        if renewal.error is not None:
            log.warning("the lease could not be renewed: %s", renewal.error)
            return
        assert self.lease is not None
        elder = self.lease.elder
        self.lease.renewed(renewal)
        if elder != self.lease.elder:
            self.connection.execute(f"PRAGMA wal_autocheckpoint = {0 if self.lease.elder else 1000}")

    def _commit(self, members: Sequence[Operation]) -> None:
        """All of them in one transaction; if that fails, each in one of its own."""
        self._rollback()  # what a failing disk may have left open
        try:
            knock(self.connection, "BEGIN IMMEDIATE")
        except sqlite3.Error as refused:  # no member's fault: each alone would only wait as long again
            self._rollback()
            _fail(members, explained(refused, self.path))
            return
        error = self._try(members)
        if error is None:
            return
        if len(members) == 1:
            _fail(members, explained(error, self.path) if isinstance(error, sqlite3.Error) else error)
            return
        for member in members:
            self._commit([member])

    def _meet(self) -> None:
        """Notice that others have committed since the last group."""
        version = self.connection.execute("PRAGMA data_version").fetchone()[0]
        if self.lease is not None and self._version not in (None, version):
            self._met_s = self.lease.clock.monotonic()
        self._version = version

    def _try(self, members: Sequence[Operation]) -> Exception | None:
        self.groups += 1
        for member in members:
            member.result = member.error = None
        try:
            point("writer.begun")
            self._meet()
            self._apply(members)
            point("writer.written")
            self.connection.execute("COMMIT")
        except Exception as error:
            self._rollback()
            return error
        point("writer.committed")
        return None

    def _apply(self, members: Sequence[Operation]) -> None:
        """In the order asked for as far as it shows: decisions together, before what else is done to their runs."""
        decisions: list[Decide] = []
        decided: set[int | str] = set()
        for member in members:
            if isinstance(member, Decide):
                decisions.append(member)
                decided |= {member.run, member.run_id}
                continue
            if decisions and _follows(member, decided):
                apply_decisions(self.connection, decisions)
                decisions, decided = [], set()
            try:
                member.result = member.apply(self.connection)
            except FsmError as error:
                member.error = error
        if decisions:
            apply_decisions(self.connection, decisions)

    def _rollback(self) -> None:
        if self.connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self.connection.execute("ROLLBACK")

    def _die(self, error: BaseException) -> None:
        """Every waiting operation fails, loudly; a silent writer would hang every run."""
        log.critical("the journal's writer died: %r", error, exc_info=error)
        with self._wake:
            self._died = error
            left = [*self._group, *self._queue]
            self._queue.clear()
        self._rollback()
        for operation in left:
            operation.error = self._closed()
        self._deliver(left)

    def check(self) -> None:
        """Raises `JournalClosed` if the writer has died."""
        if self._died is not None:
            raise self._closed()

    def _closed(self) -> JournalClosed:
        why = f"its writer died of {self._died!r}" if self._died is not None else "it is closed"
        return JournalClosed(path=self.path, what=why, next="open it again; what was acknowledged is there")


def _follows(member: Operation, decided: set[int | str]) -> bool:
    """Whether `member` would see what decisions of these runs, keys and ids, have written."""
    match member:
        case WriteCall():
            return member.call.run in decided
        case Post() | Begin():
            return member.run_id in decided
        case _:
            return True


def _fail(members: Sequence[Operation], error: Exception) -> None:
    for member in members:
        member.result, member.error = None, error
