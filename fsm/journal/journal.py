"""The journal: the one small protocol the rest of the runtime knows, and its SQLite implementation.

Reads are immediate; writes are awaited and answered after their commit. No SQL leaves this package.
"""

import asyncio
import logging
import os
import sqlite3
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

from fsm.clock import Clock, boot_id
from fsm.core.conclude import Decision
from fsm.core.engine import Engine
from fsm.core.plan import Plan, Told
from fsm.core.record import NOTHING, Record, Spent
from fsm.core.shares import Row
from fsm.core.snapshot import Snapshot
from fsm.define.payload import Payload
from fsm.define.spec import MachineSpec
from fsm.errors import JournalClosed, JournalError
from fsm.journal import flock
from fsm.journal.acts import Act, Tell
from fsm.journal.burial import Bury
from fsm.journal.connect import Connect, open_reader, open_writer
from fsm.journal.inbox import Post
from fsm.journal.lease import LEASE_S, STALL_S_MAX, Close, Expire, Lease, Register, Release
from fsm.journal.operations import Append, Begin, Decide, Decided, Operation, WriteCall
from fsm.journal.reader import Reader
from fsm.journal.rows import Call, Run
from fsm.journal.writer import Writer

QUEUED_MAX = 20_000
QUEUED_BYTES_MAX = 64 << 20

log = logging.getLogger("fsm.journal")


class Journal(Protocol):
    """What a runner needs of a journal. `read` reads; everything else writes, and returns once it is durable."""

    path: str
    epoch: int

    @property
    def read(self) -> Reader: ...

    async def open(self, clock: Clock, name: str) -> None:
        """Take a lease for this event loop; `epoch` is set from then on."""
        ...

    async def begin(self, run_id: str, engine: Engine, labels: str, plan: Plan) -> tuple[Run, Decision | None]:
        """A new run with its record 0, and how that was decided; or the one that began the same way, and None."""
        ...

    def decide(
        self,
        run: Run,
        engine: Engine,
        snapshot: Snapshot,
        plan: Plan,
        *,
        booked: Spent = NOTHING,
        inbox: int | None = None,
        folded: int = 0,
        snapshot_bytes: int = 0,
    ) -> Coroutine[Any, Any, Decided]:
        """Raises `Overlooked` where call rows hold more spending than the `booked` part of the plan's."""
        ...

    async def append(
        self,
        run: Run,
        record: Record,
        *,
        call: Call | None = None,
        timeout_ms: int | None = None,
        spec: MachineSpec | None = None,
        snapshot: Snapshot | None = None,
    ) -> Record:
        """A record that decides nothing, after a `call` row; a run whose runner is dead is taken over with it."""
        ...

    async def call(self, call: Call, **more: Any) -> Call:
        """A row of the ledger, with `more` of what `WriteCall` takes. `NotPermitted` if a shared guard refuses it."""
        ...

    async def tell(self, run: Run, told: Sequence[Told], at_ms: int) -> None:
        """What came of what shared guards had permitted, where no record or row says so."""
        ...

    async def act(self, act: Act) -> tuple[Row, Row]:
        """A person's act on a row that guards share; that row before and after."""
        ...

    async def post(self, run_id: str, event_id: str, payload: Payload, at_ms: int, inbox_max: int) -> Record | None: ...

    async def release(self, run: Run) -> None:
        """Nobody advances this run from now on, if it was this runner."""
        ...

    async def reap(self) -> None:
        """End the leases of runners whose processes are surely dead, before they run out."""
        ...

    async def bury(self, run: Run, reason: str, at_ms: int) -> None:
        """Delete an ended run, leaving a tombstone."""
        ...

    def tick(self, hung: Sequence[str] = ()) -> None:
        """The event loop is alive. Raises `JournalClosed` once nothing can be written any more."""
        ...

    async def close(self) -> None:
        """Release every run and the lease; what was queued is written first."""
        ...


class SqliteJournal:
    """One SQLite file. Several processes of one host may share it; each advances its own runs.

    `synchronous="FULL"` survives power loss on disks that honour it; "NORMAL" a process kill only. `connect`
    replaces `sqlite3.connect` in tests of failing disks. Raises `JournalError`s on opening, before any write.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        synchronous: str = "FULL",
        connect: Connect = sqlite3.connect,
        lease_s: float = LEASE_S,
        stall_s_max: float = STALL_S_MAX,
    ) -> None:
        self.path = os.fspath(path)
        self.epoch = 0
        self._lease_s, self._lease_ms, self._stall_s_max = lease_s, round(lease_s * 1000), stall_s_max
        self._writer = Writer(self.path, open_writer(self.path, connect, synchronous))
        try:
            self._reader = Reader(self.path, open_reader(self.path))
        except BaseException:
            self._writer.stop()
            raise
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flock: flock.Flock | None = None
        self._released = False
        self._queued = self._queued_bytes = 0
        self._room: asyncio.Event | None = None
        self._outbox: list[Operation] = []

    @property
    def read(self) -> Reader:
        return self._reader

    async def open(self, clock: Clock, name: str) -> None:
        now = clock.monotonic()
        register = Register(name=name, boot=boot_id(), expires=now + self._lease_s, at_ms=clock.now_ms())
        self.epoch = self._writer.now(register).result
        self._flock = flock.Flock(self.path, self.epoch)
        if lost := flock.dead(self.path, [epoch for epoch in flock.left(self.path) if epoch != self.epoch]):
            self._writer.now(Expire(epochs=lost))
        self._writer.lease = Lease(self.epoch, boot_id(), clock, self._lease_s, self._stall_s_max)
        self.tick()
        self._loop, self._room = asyncio.get_running_loop(), asyncio.Event()
        self._writer.start(self._deliver)

    async def begin(self, run_id: str, engine: Engine, labels: str, plan: Plan) -> tuple[Run, Decision | None]:
        begin = Begin(
            run_id=run_id,
            engine=engine,
            labels=labels,
            plan=plan,
            epoch=self.epoch,
            lease_ms=self._lease_ms,
        )
        return await self._write(begin, len(plan.event.payload.body))  # type: ignore[no-any-return]

    def decide(
        self, run: Run, engine: Engine, snapshot: Snapshot, plan: Plan, **rest: Any
    ) -> Coroutine[Any, Any, Decided]:
        decide = Decide(
            run=run.key,
            run_id=run.run_id,
            epoch=self.epoch,
            lease_ms=self._lease_ms,
            labels=run.labels,
            engine=engine,
            snapshot=snapshot,
            plan=plan,
            **rest,
        )
        return self._write(decide, len(plan.event.payload.body))  # while it waits nothing else is kept of this hop

    async def append(self, run: Run, record: Record, **rest: Any) -> Record:
        lease = self._writer.lease
        assert lease is not None
        now = lease.clock.monotonic()
        append = Append(run=run.key, epoch=self.epoch, record=record, now=now, boot=lease.boot, **rest)
        return await self._write(append)  # type: ignore[no-any-return]

    async def call(self, call: Call, **shared: Any) -> Call:
        write = WriteCall(call=call, epoch=self.epoch, lease_ms=self._lease_ms, **shared)
        return await self._write(write, len(call.body or b""))  # type: ignore[no-any-return]

    async def tell(self, run: Run, told: Sequence[Told], at_ms: int) -> None:
        await self._write(Tell(run=run.key, told=told, at_ms=at_ms))

    async def act(self, act: Act) -> tuple[Row, Row]:
        return await self._write(act)  # type: ignore[no-any-return]

    async def post(self, run_id: str, event_id: str, payload: Payload, at_ms: int, inbox_max: int) -> Record | None:
        post = Post(
            run_id=run_id, event_id=event_id, payload=payload, at_ms=at_ms, inbox_max=inbox_max, journal=self.path
        )
        return await self._write(post, len(payload.body))  # type: ignore[no-any-return]

    async def release(self, run: Run) -> None:
        await self._write(Release(epoch=self.epoch, run=run.key))

    async def reap(self) -> None:
        assert self._writer.lease is not None
        alive = self.read.alive(self._writer.lease.clock.monotonic())
        if lost := flock.dead(self.path, [epoch for epoch in alive if epoch != self.epoch]):
            await self._write(Expire(epochs=lost))

    async def bury(self, run: Run, reason: str, at_ms: int) -> None:
        await self._write(Bury(run=run.key, reason=reason, at_ms=at_ms))

    def tick(self, hung: Sequence[str] = ()) -> None:
        self._writer.check()
        lease = self._writer.lease
        if lease is not None:
            lease.hung = list(hung)
            lease.tick()

    async def close(self) -> None:
        try:
            if self._loop is not None and self._writer.died is None:
                await self._write(Close(epoch=self.epoch))
                self._released = True
        except JournalError as error:
            log.warning("the runs could not be released, others will find their runner dead: %s", error)
        finally:
            await asyncio.to_thread(self.abandon)

    def abandon(self) -> None:
        """Let go of file, thread and lock without a word to other runners; `close` does this too."""
        self._reader.close()  # first: the last connection to close must be one that can empty the WAL
        self._writer.stop()
        if self._flock is not None:
            self._flock.release(clean=self._released)

    async def _write(self, operation: Operation, size: int = 0) -> Any:
        """Queue an operation and wait for its commit; while the queue is full, wait before queueing."""
        if self._loop is None or self._room is None:
            raise JournalClosed(
                path=self.path, what="nobody has opened it yet", next="async with Runner(...) as runner: ..."
            )
        while self._queued >= QUEUED_MAX or self._queued_bytes >= QUEUED_BYTES_MAX:
            self._room.clear()
            await self._room.wait()
        operation.future = self._loop.create_future()
        if not self._outbox:
            self._loop.call_soon(self._flush)
        self._outbox.append(operation)
        self._queued += 1
        self._queued_bytes += size
        try:
            return await operation.future
        finally:
            self._queued -= 1
            self._queued_bytes -= size
            self._room.set()

    def _flush(self) -> None:
        """Hand over all that this turn of the event loop has asked for at once: one group, one commit."""
        operations, self._outbox = self._outbox, []
        try:
            self._writer.submit(operations)
        except JournalClosed as closed:
            for operation in operations:
                operation.error = closed
            _answer(operations)

    def _deliver(self, operations: Sequence[Operation]) -> None:
        assert self._loop is not None
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_answer, operations)


def _answer(operations: Sequence[Operation]) -> None:
    for operation in operations:
        future = operation.future
        if future is None or future.done():
            continue
        if operation.error is not None:
            future.set_exception(operation.error)
        else:
            future.set_result(operation.result)
