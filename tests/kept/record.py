"""Records the kept runs of a release: `python -m tests.kept.record tests/kept/VERSION`.

Made once for each release, just before it, and never again: what is kept then stays as that release wrote it, and every
later one has to replay it. Until a release is out its folder may be removed and made anew. All kinds of records are in
it, all guards, every way in which one decides. Pages are made small, as the file is mostly empty tables.
"""

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from fsm import CallFailed, Machine, Record, Runner, SqliteJournal, View
from fsm.journal.facts import copy
from fsm.testing import MovableClock, crash_at, hang
from tests.kept.shop import Check, Older, Order, Part, Shop, Word

ROOT = Path(__file__).parent.parent.parent
TURNS_MAX = 4_000
RECORD_S_MAX = 120

Steps = Sequence[Any]
PLANS: dict[tuple[str, str], list[Any]] = {}


def following(state: str) -> Callable[[View[Any]], Any]:
    """An agent that does what the run's plan says for this attempt: return, raise or call something; then the last."""
    usual = Part(text="p") if state == "make" else Check(score=9)

    async def agent(view: View[Any]) -> BaseModel:
        steps = PLANS.get((view.run_id, state), [usual])
        step = steps.pop(0) if len(steps) > 1 else steps[0]
        if isinstance(step, Exception):
            raise step
        return await step(view) if callable(step) else step  # type: ignore[no-any-return]

    return agent


def staffed(machine: type[Machine]) -> type[Machine]:
    return machine.with_agents(**{state: following(state) for state in ("make", "test", "test.fallback", "cheap")})


def spends(tokens: int, answer: BaseModel, usd_micros: int = 0) -> Callable[[View[Any]], Any]:
    async def agent(view: View[Any]) -> BaseModel:
        view.spend(tokens=tokens, usd_micros=usd_micros)
        return answer

    return agent


def calls(name: str, times: int, answer: BaseModel, fails: bool = False) -> Callable[[View[Any]], Any]:
    async def agent(view: View[Any]) -> BaseModel:
        for number in range(times):
            with contextlib.suppress(CallFailed):
                await view.call(name, lambda number: 1 // 0 if fails else {"number": number}, number)
        return answer

    return agent


class World:
    """A journal, a clock that moves, and a runner."""

    def __init__(self, db: Path, clock: MovableClock) -> None:
        self.db, self.clock = db, clock
        self.runner: Runner
        self.machine: type[Machine]

    @contextlib.asynccontextmanager
    async def open(self, machine: type[Machine]) -> AsyncIterator[Runner]:
        self.machine = staffed(machine)
        journal = SqliteJournal(self.db, synchronous="OFF")
        async with Runner(
            journal, machines=[self.machine], clock=self.clock, poll_s=0.005, handle_signals=False
        ) as self.runner:
            yield self.runner

    async def begin(
        self, run_id: str, *, tenant: str = "", make: Steps = (), test: Steps = (), cheap: Steps = (), other: Steps = ()
    ) -> None:
        """Start a run with this plan; `other` is that of the test's fallback."""
        plan = {"make": make, "test": test, "cheap": cheap, "test.fallback": other}
        PLANS.update({(run_id, state): [*steps] for state, steps in plan.items() if steps})
        labels = {"tenant": tenant or run_id}
        await self.runner.start(self.machine, Order(title=run_id), run_id=run_id, labels=labels)

    async def run(self, run_id: str, expected: str, **plan: Any) -> None:
        """A run until it stands still, in the state and outcome expected."""
        self.clock.advance(20)  # its turn at the mill does not depend on the others
        await self.begin(run_id, **plan)
        await self.stands(run_id, expected)

    async def stands(self, run_id: str, expected: str) -> None:
        run = await self.runner.settled(run_id)
        assert f"{run.state} {run.outcome}" == expected, f"{run}: {self.last(run_id)}"

    async def send(self, run_id: str, payload: BaseModel, kind: str) -> None:
        record = await self.runner.send(run_id, payload)
        assert record is not None and record.kind == kind, record

    async def until(self, run_id: str, true: Callable[[Record], bool]) -> None:
        for _ in range(TURNS_MAX):
            if true(self.last(run_id)):
                return
            await asyncio.sleep(0.002)
        raise AssertionError(f"it did not come to that: {self.last(run_id)}")

    def last(self, run_id: str) -> Record:
        read = self.runner.journal.read
        run = read.run(run_id)
        return read.record(run.key, run.seq)


async def record(db: Path) -> None:
    world = World(db, MovableClock())
    world.clock.advance(120)
    async with world.open(Older):
        await world.run("repinned", "desk waiting", test=[Check(score=5)])
        await world.begin("repinned-working", make=[hang])
        await world.until("repinned-working", lambda record: record.state == "make")
    async with world.open(Shop) as runner:
        PLANS["repinned-working", "make"] = [Part(text="new")]
        for run_id in ("repinned", "repinned-working"):
            await runner.resume(run_id, accept=True, by="mia")
        await world.send("repinned", Word(by="mia"), "ended")
        await world.stands("repinned-working", "shipped completed")
        await world.stands("killed", "shipped completed")
        await _alone(world)
        await _from_outside(world)
        await _halted(world)
        await _of_budgets(world)
        await _of_the_mill(world)
        forked = await runner.fork("capped", at=3, new_id="forked")
        await world.stands(forked.run_id, "shipped completed")
        await world.begin("released", test=[hang])
        await world.until("released", lambda record: record.state == "test")
        await world.begin("working", make=[hang])
    PLANS["released", "test"] = [Check(score=9)]
    async with world.open(Shop):
        await world.stands("released", "shipped completed")


async def _alone(world: World) -> None:
    """Guards that look at their own run."""
    busy = [calls("gauge", 2, Check(score=9))]
    await world.run("straight", "shipped completed", test=busy)
    fresh = [Part(text=f"part {number}") for number in range(9)]
    ever_fewer = [Check(score=5, open_points=9 - number) for number in range(9)]
    await world.run("capped", "desk waiting", make=[*fresh], test=ever_fewer)
    assert world.last("capped").hop == "again.otherwise"
    await world.run("no-progress", "desk waiting", make=[*fresh], test=[Check(score=5, open_points=3)])
    await world.run("repeated", "make stopped", test=ever_fewer)
    await world.run("too-large", "make stopped", make=[Part(text="x" * 3_000)])
    await world.run("struck", "desk waiting", test=[calls("gauge", 3, Check(score=9), fails=True)])
    await world.run("called-too-often", "desk waiting", test=[calls("ring", 9, Check(score=9))])
    await world.run("overspent", "desk waiting", test=[spends(600, Check(score=9))])
    await world.run("bad", "desk waiting", test=[Check(score=1)])
    await world.begin("retried", make=[ConnectionError("no mill"), Part(text="p")])
    await world.until("retried", lambda record: record.kind == "retried")
    world.clock.advance(5)
    await world.stands("retried", "shipped completed")
    await world.begin("late", make=[hang])
    await world.until("late", lambda record: record.state == "make")
    world.clock.advance(61)
    await world.until("late", lambda record: record.kind == "retried")
    PLANS["late", "make"] = [Part(text="p")]
    world.clock.advance(5)
    await world.stands("late", "shipped completed")


async def _from_outside(world: World) -> None:
    for run_id in ("sent", "dropped", "cancelled"):
        await world.run(run_id, "desk waiting", test=[Check(score=1)])
    await world.send("sent", Word(), "refused")
    await world.send("sent", Word(by="illegible"), "refused")
    await world.send("sent", Word(by="ann", text="take it"), "ended")
    await world.send("dropped", Part(text="nobody wants it"), "unhandled")
    await world.runner.cancel("cancelled", by="dan", reason="not needed")
    world.clock.advance(86_400 * 2 + 1)
    await world.until("dropped", lambda record: record.kind == "ended")


async def _halted(world: World) -> None:
    await world.run("stopped", "test stopped", test=[Check(score=-1), Check(score=9)])
    await world.run("fallen-back", "shipped completed", test=[OSError("no gauge")])
    broken = [OSError("no gauge")]
    await world.run("stuck", "test.fallback stuck", test=broken, other=broken)
    await world.runner.resume("stopped", by="eve")
    await world.stands("stopped", "shipped completed")


async def _of_budgets(world: World) -> None:
    """Spent, warned, refused, held by others."""
    clock, runner = world.clock, world.runner
    clock.advance(3_600 - clock.now_ms() // 1_000 % 3_600)  # the next window begins
    for run_id, tenant in (("thrifty", "acme"), ("thrifty-2", "acme"), ("thrifty-3", "other")):
        await world.run(run_id, "shipped completed", tenant=tenant, test=[spends(450, Check(score=9), 250_000)])
    await world.run("warned", "shipped completed", tenant="acme", cheap=[spends(100, Check(score=9))])
    assert any(record.hop == "test.otherwise.budget_warned" for record in records(world, "warned"))
    await world.run("too-dear", "desk waiting")  # 300,000 more than the 750,000 that are spent in this hour
    clock.advance(3_620)

    holders = ("holder", "second-holder", "third-holder")
    for run_id in holders:
        await world.begin(run_id, tenant="small", test=[hang])
        await world.until(run_id, lambda record: record.state == "test")
    await world.begin("holds-back", tenant="small")
    await world.until("holds-back", lambda record: record.kind == "deferred")
    for run_id in holders:
        await runner.cancel(run_id)
    clock.advance(1)
    await world.stands("holds-back", "shipped completed")


async def _of_the_mill(world: World) -> None:
    """Two at once, six in ten seconds, and none while it is down."""
    clock, runner = world.clock, world.runner
    clock.advance(20)
    for run_id in ("first", "second", "third"):
        await world.begin(run_id, make=[hang])
    await world.until("third", lambda record: record.kind == "deferred")
    await runner.cancel("first")
    PLANS["third", "make"] = [Part(text="p")]
    clock.advance(1)
    await world.stands("third", "shipped completed")
    await runner.cancel("second")

    clock.advance(20)
    for number in range(8):
        await world.begin(f"crowd-{number}")
        if number < 6:
            await world.stands(f"crowd-{number}", "shipped completed")
    assert world.last("crowd-7").kind == "deferred"
    clock.advance(12)
    for number in (6, 7):
        await world.stands(f"crowd-{number}", "shipped completed")

    await world.begin("down", make=[ConnectionError("no mill")])
    await world.until("down", lambda record: record.kind == "retried")
    clock.advance(5)
    await world.stands("down", "desk waiting")
    await world.begin("refused-at-the-door")
    await world.stands("refused-at-the-door", "desk waiting")
    clock.advance(40)
    await world.run("probe", "shipped completed")


def records(world: World, run_id: str) -> list[Record]:
    read = world.runner.journal.read
    return list(read.records(read.run(run_id).key))


async def die_in_a_visit(db: Path) -> None:
    PLANS["killed", "test"] = [calls("gauge", 2, Check(score=9))]
    crash_at("call.settled")
    world = World(db, MovableClock())
    async with world.open(Shop):
        await world.begin("killed")
        await world.stands("killed", "shipped completed")


def main(folder: Path) -> None:
    target = folder / "shop.db"
    with tempfile.TemporaryDirectory() as scratch:
        db = Path(scratch) / "runs.db"
        subprocess.run([sys.executable, "-m", "tests.kept.record", str(db), "--die"], cwd=ROOT, check=False, timeout=60)
        asyncio.run(asyncio.wait_for(record(db), RECORD_S_MAX))
        folder.mkdir(parents=True)
        copy(str(db), str(target))
    with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as connection:
        connection.execute("PRAGMA page_size = 1024")
        connection.execute("VACUUM")
    print(f"{target}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    if "--die" in sys.argv:
        asyncio.run(die_in_a_visit(Path(sys.argv[1])))
    else:
        main(Path(sys.argv[1]))
