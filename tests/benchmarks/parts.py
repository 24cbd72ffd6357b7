"""Where the time of one hop goes: each part by itself, thousands of times in a row, with nothing beside it.

Alone and warm a part is as fast as it gets, and the best of several tries is told. What a hop takes beyond the
sum is the price of company: two threads that hand the interpreter's lock to and fro, cold caches, the garbage
collector, which looks through everything that waits for one commit.
"""

import asyncio
import sqlite3
import time
import timeit
from collections.abc import Awaitable, Callable

from attrs import define

from fsm import Run, Runner
from fsm.core.conclude import conclude
from fsm.core.engine import Engine
from fsm.core.plan import Event
from fsm.core.record import Record, Spent, link
from fsm.core.select import select
from fsm.core.shares import Apart
from fsm.core.snapshot import Snapshot
from fsm.define.payload import canonical, digest, seal, unseal
from fsm.journal.connect import open_writer
from fsm.journal.decisions import apply_decisions
from fsm.journal.journal import SqliteJournal
from fsm.journal.operations import Decide, Operation
from fsm.journal.rows import record_row
from fsm.runner.live import Live
from fsm.runner.task import RunTask
from tests.benchmarks.hops import timed
from tests.benchmarks.loop import Draft, Figure, Loop, Verdict, gated, scratch, started

GROUP = 512
BYTES_MAX = 1 << 20
CALLS, TRIES = 500, 10


def measure(rounds: int) -> list[Figure]:
    found: dict[str, list[float]] = {}
    wholes = []
    for _ in range(rounds):
        for part, us in asyncio.run(_round()).items():
            found.setdefault(part, []).append(us)
        wholes.append(asyncio.run(timed(runs=1_000, hops=20)).hop_us)
    best, whole = {part: min(values) for part, values in found.items()}, min(wholes)
    total = sum(us for part, us in best.items() if not part.startswith(" "))
    lines = [Figure(part, us, "us a hop", f"{us / whole:.0%} of the whole") for part, us in best.items()]
    return [
        *lines,
        Figure("all parts", total, "us a hop", f"{total / whole:.0%} of the whole"),
        Figure("the whole: 1,000 runs at once", whole, "us a hop", "best round"),
    ]


async def _round() -> dict[str, float]:
    """Microseconds a part; a name that begins with a space is a part of the part above it."""
    with scratch() as db:
        async with Runner(db, visits_max=GROUP) as runner:
            bench = _Bench(runner, await started(runner, gated(asyncio.Event()), GROUP, hops=1_000))
            found = await bench.on_the_loop() | await bench.queue()
            return found | bench.in_the_writer(open_writer(str(db)))


@define
class _NoOp(Operation):
    """What is queued to see what queueing costs."""

    def apply(self, connection: sqlite3.Connection) -> None:
        return None


class _Bench:
    """Runs that wait in `draft`, and the parts of the hop that they would make next."""

    def __init__(self, runner: Runner, runs: list[Run]) -> None:
        assert isinstance(runner.journal, SqliteJournal)
        self.driver, self.journal, self.runs = runner._driver, runner.journal, runs
        self.engine = Engine(Loop.spec)
        self.draft = seal(Draft(rounds=500, round=1), BYTES_MAX)
        self.verdict = seal(Verdict(rounds=500, round=1, good=False), BYTES_MAX)
        self.snapshot = Snapshot(state="draft", seq=0, entered=0, counters={"visits:draft": 1, "fires:start": 1})

    def live(self) -> Live:
        return Live(run=self.runs[0], engine=self.engine, snapshot=self.snapshot, payload=self.verdict)

    async def on_the_loop(self) -> dict[str, float]:
        live, watchdog = self.live(), self.driver.watchdog
        self.driver.slots = slots = asyncio.Semaphore(1)  # all of the runner's are taken by the runs that wait
        plain = self.draft.value.model_dump(mode="json")
        event = Event(payload=self.draft, at_ms=1, spent=Spent(100))

        async def slot() -> None:
            await slots.acquire()
            watchdog.watch(live, self.driver.clock.monotonic() + 60)
            live.deadline = None
            slots.release()

        async def visits() -> None:
            found.append(await _each_awaited(lambda: self.driver._visit(live, live.token)))

        found: list[float] = []
        live.task = RunTask(visits())  # an attempt is made by the task of its run
        await live.task
        (visiting,) = found
        slotting = await _each_awaited(slot)
        sealing = _each(lambda: seal(self.draft.value, BYTES_MAX))
        return {
            "slot and watchdog": slotting,
            "view and agent": visiting - slotting - sealing,
            "seal the payload": sealing,
            " dump": _each(lambda: self.draft.value.model_dump(mode="json", round_trip=True, warnings=False)),
            " JSON": _each(lambda: canonical(plain)),
            " read back": _each(lambda: unseal(Draft, self.draft.body)),
            " sha256": _each(lambda: digest(self.draft.body)),
            "select": _each(lambda: select(self.engine, self.snapshot, event)),
        }

    async def queue(self) -> dict[str, float]:
        """Future, queue, wake-up and answer, of as many as are at once in the queue."""

        async def many(times: int) -> None:
            for _ in range(times):
                await self.journal._write(_NoOp())

        begun = time.perf_counter()
        await asyncio.gather(*(many(TRIES) for _ in range(GROUP)))
        return {"queue and answer": (time.perf_counter() - begun) / (TRIES * GROUP) * 1e6}

    def in_the_writer(self, connection: sqlite3.Connection) -> dict[str, float]:
        snapshots, applying, committing = [self.snapshot] * GROUP, [], []
        for n in range(TRIES):
            event = Event(payload=self.verdict if n % 2 else self.draft, at_ms=n + 1, spent=Spent(100))
            members = [self._member(run, snapshot, event) for run, snapshot in zip(self.runs, snapshots, strict=True)]
            begun = time.perf_counter()
            connection.execute("BEGIN IMMEDIATE")
            apply_decisions(connection, members)
            applied = time.perf_counter()
            connection.execute("COMMIT")
            committing.append((time.perf_counter() - applied) / GROUP * 1e6)
            applying.append((applied - begun) / GROUP * 1e6)
            snapshots = [member.result.decision.snapshot for member in members]
        connection.close()
        plan = select(self.engine, self.snapshot, Event(payload=self.draft, at_ms=1, spent=Spent(100)))
        record = conclude(self.engine, self.snapshot, plan, Apart()).record
        assert record is not None
        concluding = _each(lambda: conclude(self.engine, self.snapshot, plan, Apart()))
        chaining = _each(lambda: _chain(record))
        return {
            "conclude": concluding,
            "verdicts as JSON, chain, row": chaining,
            "fence and statements": min(applying) - concluding - chaining,
            "commit": min(committing),
        }

    def _member(self, run: Run, snapshot: Snapshot, event: Event) -> Decide:
        plan = select(self.engine, snapshot, event)
        return Decide(
            run=run.key,
            run_id=run.run_id,
            epoch=self.journal.epoch,
            lease_ms=1,
            engine=self.engine,
            snapshot=snapshot,
            plan=plan,
        )


def _chain(record: Record) -> None:
    detail = record.detail
    record_row(1, record, detail, link(bytes(32), record.header(detail)))


def _each(part: Callable[[], object]) -> float:
    """Microseconds of one call, in the best of several rows of calls."""
    return min(timeit.repeat(part, number=CALLS, repeat=TRIES)) / CALLS * 1e6


async def _each_awaited(part: Callable[[], Awaitable[object]]) -> float:
    best = float("inf")
    for _ in range(TRIES):
        begun = time.perf_counter()
        for _ in range(CALLS):
            await part()
        best = min(best, time.perf_counter() - begun)
    return best / CALLS * 1e6
