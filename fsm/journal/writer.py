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
from fsm.journal.connect import explained
from fsm.journal.decisions import apply_decisions
from fsm.journal.lease import Lease, Renew
from fsm.journal.operations import Decide, Operation

GROUP_MAX = 1_024
COURTESY_S = 0.001

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
            group = [self._queue.popleft() for _ in range(min(len(self._queue), GROUP_MAX))]
            self._group = group
            stopped = self._stopping and not group
        renewal = self.lease.due() if self.lease and not stopped else None
        members = ([renewal] if renewal else []) + group
        if members:
            with self._turn:
                self._commit(members)
        if renewal is not None:
            self._keep(renewal)
        if group:
            self._deliver(group)
            if self.lease is not None and self.lease.others:
                time.sleep(COURTESY_S)
        return not stopped

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
        error = self._try(members)
        if error is None:
            return
        if len(members) == 1:
            known = explained(error, self.path) if isinstance(error, sqlite3.Error) else error
            members[0].result, members[0].error = None, known
            return
        for member in members:
            self._commit([member])

    def _try(self, members: Sequence[Operation]) -> Exception | None:
        self.groups += 1
        for member in members:
            member.result = member.error = None
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            point("writer.begun")
            self._apply(members)
            point("writer.written")
            self.connection.execute("COMMIT")
        except Exception as error:
            self._rollback()
            return error
        point("writer.committed")
        return None

    def _apply(self, members: Sequence[Operation]) -> None:
        decisions = []
        for member in members:
            if isinstance(member, Decide):
                decisions.append(member)
                continue
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

    def _closed(self) -> JournalClosed:
        why = f"its writer died of {self._died!r}" if self._died is not None else "it is closed"
        return JournalClosed(path=self.path, what=why, next="open it again; what was acknowledged is there")
