"""Groups of three of which one SQLite call fails, and a journal that another process keeps busy."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from fsm import FsmError, Run, SqliteJournal, read_journal, replay_run
from fsm.clock import SystemClock
from fsm.core.engine import Engine
from fsm.core.plan import Event
from fsm.core.record import NOTHING
from fsm.core.select import select
from fsm.core.snapshot import Snapshot
from fsm.define.payload import digest, seal
from fsm.errors import JournalError, JournalUnwritable
from fsm.journal.rows import Call
from tests.crash.gates import Ball, Rally
from tests.crash.world import World
from tests.helpers import assert_sound

ENGINE = Engine(Rally.spec)
CALLS_MAX = 60  # more than any group of three takes
HOPS = 300
P99_S_MAX = 0.1
ROUNDS = 3

FULL, IOERR, LOCKED = "database or disk is full", "disk I/O error", "database is locked"


@define
class Disk:
    """What goes wrong: at the `at`-th SQLite call from now, once or from then on; or at each that holds `poison`."""

    at: int = 0
    text: str = ""
    lasting: bool = False
    poison: str = ""
    calls: int = 0
    failed: int = 0
    begun: int = 0

    def connect(self, *arguments: Any, **options: Any) -> sqlite3.Connection:
        disk = self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
                disk.calls += 1
                disk.begun += sql.startswith("BEGIN")
                poisoned = disk.poison and any(disk.poison in str(value) for value in parameters)
                if poisoned or (disk.at and (disk.calls >= disk.at if disk.lasting else disk.calls == disk.at)):
                    disk.failed += 1
                    if disk.text == FULL and self.in_transaction:  # as SQLite does by itself
                        super().execute("ROLLBACK")
                    raise sqlite3.OperationalError(disk.text)
                return super().execute(sql, parameters)

        return sqlite3.connect(*arguments, **options, factory=Connection)

    def fails(self, at: int, text: str, lasting: bool = False) -> None:
        self.at, self.text, self.lasting, self.calls, self.failed, self.begun = at, text, lasting, 0, 0, 0

    def heals(self) -> None:
        self.fails(0, "")
        self.poison = ""


@define
class Table:
    """A journal with three runs that stand before their next decision."""

    journal: SqliteJournal
    runs: list[tuple[Run, Snapshot]]

    async def decision(self, n: int, value: int = 1) -> Any:
        run, snapshot = self.runs[n]
        plan = select(ENGINE, snapshot, Event(payload=seal(Ball(n=value), 1 << 20), at_ms=2))
        return await self.journal.decide(run, ENGINE, snapshot, plan, inbox=None, folded=0, snapshot_bytes=0)

    async def begin(self, run_id: str) -> tuple[Run, Snapshot]:
        note = {"run_id": run_id, "machine": Rally.spec.name, "fingerprint": Rally.spec.fingerprint}
        payload = seal(Ball(n=0), 1 << 20)
        plan = select(ENGINE, Snapshot(), Event(payload=payload, at_ms=1, note=note))
        run, decision = await self.journal.begin(run_id, ENGINE, "{}", plan)
        assert decision is not None
        return run, decision.snapshot

    async def post(self, n: int) -> Any:
        return await self.journal.post(self.runs[n][0].run_id, "event-1", seal(Ball(n=7), 1 << 20), 2, 100)

    async def call(self, n: int) -> Any:
        run, snapshot = self.runs[n]
        call = Call(
            run=run.key,
            seq=snapshot.seq,
            entered=snapshot.entered,
            attempt=snapshot.attempt,
            kind="intent",
            key=f"{run.run_id}:{n}",
            name="call",
            status="",
            spent=NOTHING,
            at_ms=2,
            digest=digest(b"[]"),
            body=b"[]",
        )
        return await self.journal.call(call)


Member = tuple[Callable[[Table], Awaitable[Any]], Callable[[Any], bool]]


def decided(n: int) -> Member:
    return lambda table: table.decision(n), lambda reader: reader.run(f"run-{n}").seq == 1


def begun() -> Member:
    return lambda table: table.begin("new"), lambda reader: any(run.run_id == "new" for run in reader.runs())


def posted(n: int) -> Member:
    return lambda table: table.post(n), lambda reader: bool(reader.inbox(reader.run(f"run-{n}").key))


def called(n: int) -> Member:
    return lambda table: table.call(n), lambda reader: bool(reader.calls(reader.run(f"run-{n}").key))


GROUPS = {
    "three decisions": [decided(0), decided(1), decided(2)],
    "decision, begin, call": [decided(0), begun(), called(1)],
    "post, decision, post": [posted(0), decided(1), posted(2)],
    "call and decision of one run": [called(0), decided(0), called(1)],
}


async def opened(db: Path, disk: Disk) -> Table:
    journal = SqliteJournal(db, connect=disk.connect, synchronous="OFF", lease_s=3600, stall_s_max=3600)
    await journal.open(SystemClock(), "tests")
    table = Table(journal, [])
    table.runs = [await table.begin(f"run-{n}") for n in range(3)]
    return table


async def ask(table: Table, members: list[Member]) -> list[bool]:
    """All members in one turn of the loop, so in one group; which of them were acknowledged."""
    answers = await asyncio.gather(*(act(table) for act, _ in members), return_exceptions=True)
    for answer in answers:
        assert not isinstance(answer, BaseException) or isinstance(answer, JournalError), repr(answer)
    return [not isinstance(answer, BaseException) for answer in answers]


def there(db: Path, members: list[Member]) -> list[bool]:
    """Which of the members are in the file, for somebody who opens it afterwards."""
    reader = read_journal(db)
    try:
        return [found(reader) for _, found in members]
    finally:
        reader.close()


@pytest.mark.parametrize(
    ("text", "lasting"),
    [(FULL, False), (IOERR, False), (LOCKED, False), (FULL, True)],
    ids=["full once", "I/O error once", "locked once", "full from then on"],
)
@pytest.mark.parametrize("members", GROUPS.values(), ids=GROUPS)
def test_the_others_are_durable_or_not_acknowledged(
    members: list[Member], text: str, lasting: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("fsm.journal.connect.BUSY_S", 0.01)

    async def nth(n: int) -> bool:
        """Whether the group passed without reaching the n-th call."""
        disk, db = Disk(), tmp_path / f"runs-{n}.db"
        table = await opened(db, disk)
        try:
            disk.fails(n, text, lasting)
            acknowledged = await ask(table, members)
            passed, at_begin = disk.failed == 0, n == 1
            assert there(db, members) == acknowledged
            if passed:
                assert disk.begun == 1, "it was no group"
            if passed or not (lasting or at_begin):
                assert all(acknowledged), "one failure of the disk, and nobody's fault: all are done one by one"
            if lasting and not passed:
                assert not any(acknowledged)
            disk.heals()
            again = [member for member, done in zip(members, acknowledged, strict=True) if not done]
            assert all(await ask(table, [*again])), "the connection cannot be used any more"
            assert all(there(db, members))
        finally:
            disk.heals()
            await table.journal.close()
        assert_sound(db, Rally)
        return passed

    assert any(asyncio.run(nth(n)) for n in range(1, CALLS_MAX)), "the group never passed"


@pytest.mark.parametrize("text", [FULL, IOERR])
def test_a_bad_member_fails_alone(text: str, tmp_path: Path):
    async def three() -> None:
        disk, db = Disk(text=text), tmp_path / "runs.db"
        table = await opened(db, disk)
        disk.poison = "4711"
        good, bad = [decided(0), decided(2)], table.decision(1, value=4711)
        answers = await asyncio.gather(good[0][0](table), bad, good[1][0](table), return_exceptions=True)
        assert [isinstance(answer, BaseException) for answer in answers] == [False, True, False]
        assert isinstance(answers[1], JournalUnwritable if text == FULL else JournalError)
        assert there(db, [decided(0), decided(1), decided(2)]) == [True, False, True]
        await table.journal.close()
        assert_sound(db, Rally)

    asyncio.run(three())


def test_a_group_behind_a_lock_gives_up_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each of a thousand waiting as long again, one after the other, would be three hours."""
    monkeypatch.setattr("fsm.journal.connect.BUSY_S", 0.1)

    async def locked() -> None:
        disk, db = Disk(), tmp_path / "runs.db"
        table = await opened(db, disk)
        other = sqlite3.connect(db, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        disk.fails(0, "")
        assert await ask(table, [decided(0), decided(1), decided(2)]) == [False] * 3
        tries, disk.begun = disk.begun, 0
        assert tries <= 0.1 / 0.0004 + 1
        other.execute("ROLLBACK")
        other.close()
        assert all(await ask(table, [decided(0), decided(1), decided(2)]))
        assert disk.begun == 1
        await table.journal.close()

    asyncio.run(locked())


def test_members_of_one_run_see_each_other_in_the_order_they_came(tmp_path: Path):
    """A call that follows a decision belongs to what comes after it, and so does what it spent."""

    async def ordered() -> None:
        table = await opened(tmp_path / "runs.db", Disk())
        await asyncio.gather(table.call(0), table.decision(0), table.post(0), table.decision(1), return_exceptions=True)
        late = await asyncio.gather(table.decision(2), table.call(2), return_exceptions=True)
        assert isinstance(late[1], FsmError), "the visit is over: its call is not allowed any more"
        reader = table.journal.read
        (call,) = reader.calls(reader.run("run-0").key)
        assert call.seq == 0
        await table.journal.close()

    asyncio.run(ordered())
    assert_sound(tmp_path / "runs.db", Rally)


def test_what_is_committed_while_a_replay_reads_is_left_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async def moving() -> None:
        table = await opened(tmp_path / "runs.db", Disk())
        reader = read_journal(tmp_path / "runs.db")
        seen = reader.run("run-0")
        await table.call(0)
        monkeypatch.setattr(reader, "run", lambda run_id: seen)  # the row as it was a moment ago
        assert replay_run(reader, "run-0", Rally).agreed
        await table.decision(0)
        assert replay_run(reader, "run-0", Rally).agreed
        reader.close()
        await table.journal.close()

    asyncio.run(moving())


def test_a_busy_process_leaves_room_for_another_ones_commits(tmp_path: Path):
    told = []
    for attempt in range(ROUNDS):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        world = World(folder)
        busy = world.begin("saturate", runs=1_000)
        try:
            world.until(partial(world.told, "saturated"))
            world.finish("single", hops=HOPS)
            (folder / "enough").touch()
            assert world.ended(busy) == 0, world.errors()
        finally:
            world.clear()
        latencies = sorted(world.told("latencies")[0])
        p50, p99 = (latencies[int(len(latencies) * share)] for share in (0.5, 0.99))
        told.append(f"p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms, max {latencies[-1] * 1000:.1f} ms")
        if p99 < P99_S_MAX:
            break
    print(f"\n{HOPS} commits beside 1,000 hopping runs: {'; '.join(told)}")
    assert p99 < P99_S_MAX, told
