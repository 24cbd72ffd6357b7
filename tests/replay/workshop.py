"""A machine that meets every kind of record, and a journal of its runs.

Run as a program, `python -m tests.replay.workshop JOURNAL`, it starts a run and dies in mid-visit.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

from attrs import frozen
from pydantic import BaseModel

from fsm import (
    AgentFailed,
    CallFailed,
    Facts,
    Guard,
    Kind,
    Machine,
    Record,
    Retry,
    Runner,
    RuntimeEvent,
    SqliteJournal,
    State,
    TimedOut,
    Verdict,
    View,
    allow,
    days,
    defer,
    everywhere,
    refuse,
)
from fsm.testing import MovableClock, crash_at, hang
from guards import Deadline, LoopCap, Strikes, TokenBudget

ROOT = Path(__file__).parent.parent.parent


class Order(BaseModel):
    title: str


class Part(BaseModel):
    text: str
    weight: int = 1


class Check(BaseModel):
    score: int


class Go(BaseModel):
    urgent: bool = False


class Ship(BaseModel):
    by: str = ""


class Ledger(BaseModel):
    made: int = 0
    texts: list[str] = []


def open_ledger(ledger: Ledger, order: Order) -> Ledger:
    return Ledger(made=ledger.made, texts=[order.title])


def keep(ledger: Ledger, part: Part) -> Ledger:
    if part.text == "unkeepable":
        raise ValueError("the ledger has no page for it")
    return Ledger(made=ledger.made + 1, texts=[*ledger.texts, part.text])


def is_good(check: Check) -> bool:
    if check.score < 0:
        raise ValueError("no score below zero")
    return check.score >= 8


def may_repeat(check: Check, ledger: Ledger) -> bool:
    return check.score >= 3 and ledger.made < 20


def is_weather(failure: RuntimeEvent) -> bool:
    if isinstance(failure, TimedOut):
        raise ValueError("who knows")
    return isinstance(failure, AgentFailed) and failure.retriable


def gives_up(timed_out: TimedOut) -> bool:
    return timed_out.attempt > 9


@frozen
class Titled(Guard):
    """Refuses an order without a title, and lets one for later wait an hour at the door."""

    kind: ClassVar[Kind] = "env"
    codes: ClassVar[tuple[str, ...]] = ("untitled", "later")

    def check(self, facts: Facts, /) -> Verdict:
        title = facts.payload.title if isinstance(facts.payload, Order) else "parts"
        if title == "later" and not facts.started_at_ms:
            return defer("later", facts.at_ms + 3_600_000)
        return allow() if title else refuse("untitled")


@frozen
class Weight(Guard):
    """Refuses a part that weighs more; one without weight is still drying, for an hour."""

    kind: ClassVar[Kind] = "env"
    codes: ClassVar[tuple[str, ...]] = ("too_heavy", "wet")
    weight_max: int

    def check(self, facts: Facts, /) -> Verdict:
        weight, dry_ms = getattr(facts.payload, "weight", 1), facts.entered_at_ms + 3_600_000
        if not weight and facts.at_ms < dry_ms:
            return defer("wet", dry_ms)
        return allow() if weight <= self.weight_max else refuse("too_heavy", weight=weight, weight_max=self.weight_max)


@frozen
class Hours(Guard):
    """Puts off what is not urgent, by an hour at a time."""

    kind: ClassVar[Kind] = "env"
    codes: ClassVar[tuple[str, ...]] = ("closed",)
    opens_s: int

    def check(self, facts: Facts, /) -> Verdict:
        urgent = isinstance(facts.payload, Go) and facts.payload.urgent
        opens_ms = facts.entered_at_ms + self.opens_s * 1000
        return allow() if urgent or facts.at_ms >= opens_ms else defer("closed", facts.at_ms + 3_600_000)


@frozen
class Signed(Guard):
    """Refuses what nobody signed, and breaks at an illegible name."""

    codes: ClassVar[tuple[str, ...]] = ("unsigned",)

    def check(self, facts: Facts, /) -> Verdict:
        by = getattr(facts.payload, "by", "")
        if by == "illegible":
            raise ValueError("cannot read the name")
        return allow() if by else refuse("unsigned")


Steps = dict[str, list[Any]]
PLANS: dict[str, Steps] = {}
BEGUN: set[tuple[str, str]] = set()


def following(state: str) -> Callable[[View[Any]], Any]:
    """An agent that does what the run's plan says for this attempt: return, raise or call something."""

    async def agent(view: View[Any]) -> BaseModel:
        BEGUN.add((view.run_id, state))
        steps = PLANS[view.run_id][state]
        step = steps.pop(0) if len(steps) > 1 else steps[0]
        if isinstance(step, Exception):
            raise step
        return await step(view) if callable(step) else step  # type: ignore[no-any-return]

    return agent


class Workshop(Machine, memory=Ledger, refusals_max=3, defers_max=2, calls_max=3):
    """Parts are made and tested until one is good; a person at the desk decides the rest."""

    make = State(initial=Order, agent=following("make"), guards=[Titled()], remember=open_ledger)
    test = State(agent=following("test"), timeout_s=60, retry=Retry(base_s=0, cap_s=0, when=is_weather))
    desk = State(timeout_s=days(2))
    shipped = State(final="completed")
    scrapped = State(final="failed")

    made = make.to(test, on=Part, guards=[Weight(100)], remember=keep)
    good = test.to(shipped, on=Check, when=is_good)
    again = test.to(make, on=Check, when=may_repeat, guards=[LoopCap(2)], otherwise=desk)
    bad = test.to(desk, on=Check)
    late = test.to(scrapped, on=TimedOut, when=gives_up)
    broken = test.to(desk, on=AgentFailed)
    go = desk.to(make, on=Go, guards=[Hours(4 * 3600), Hours(3600)])
    ship = desk.to(shipped, on=Ship, guards=[Signed()])
    drop = desk.to(scrapped, on=TimedOut)
    limits = everywhere(
        LoopCap(60),
        TokenBudget(1_000),
        Strikes("horn", 3),
        Deadline(days(40)),
        otherwise={"loop_cap": desk, "*": scrapped},
    )


class Older(Workshop, machine_name="Workshop"):
    """The definition of some time ago."""

    again = Workshop.again.but(guards=[LoopCap(1)])
    made = Workshop.made.but(guards=[Weight(50)])


async def called(view: View[Any]) -> BaseModel:
    """Calls that succeed, fail and carry much, and spending between them."""
    view.spend(tokens=30)
    assert await view.call("weigh", lambda part: {"grams": len(part)}, "abc") == {"grams": 3}
    await view.call("photo", lambda: "p" * 100_000)
    try:
        await view.call("phone", lambda: 1 // 0)
    except Exception:
        view.spend(tokens=10, usd_micros=5)
    return Check(score=9)


async def calls_too_much(view: View[Any]) -> BaseModel:
    for number in range(9):
        await view.call("ring", lambda number: number, number)
    return Check(score=9)


async def blows_the_horn(view: View[Any]) -> BaseModel:
    for number in range(9):
        with suppress(CallFailed):
            await view.call("horn", lambda number: 1 // 0, number)
    return Check(score=9)


async def spendthrift(view: View[Any]) -> BaseModel:
    view.spend(tokens=1_500)
    return Part(text="costly")


class World:
    """A journal, a clock that moves, and the runs recorded so far."""

    def __init__(self, db: Path) -> None:
        self.db = db
        self.clock = MovableClock()
        self.runner: Runner

    @asynccontextmanager
    async def runner_of(self, machine: type[Machine]) -> AsyncIterator[Runner]:
        journal = SqliteJournal(self.db, synchronous="OFF")
        runner = Runner(journal, machines=[machine], clock=self.clock, poll_s=0.005, handle_signals=False)
        async with runner:
            self.runner = runner
            yield runner

    async def run(self, run_id: str, *, make: Any = None, test: Any = None, order: Order | None = None) -> str:
        """Start a run with this plan and wait until it stands still; its outcome."""
        PLANS[run_id] = {"make": make or [Part(text="p")], "test": test or [Check(score=9)]}
        machine = self.runner._given[0]
        await self.runner.start(machine, order or Order(title=run_id), run_id=run_id, labels={"of": "workshop"})
        return (await self.runner.settled(run_id)).outcome

    async def began(self, run_id: str, state: str, **plan: Any) -> None:
        """Start a run and wait until its agent of `state`, which hangs, is at work."""
        PLANS[run_id] = {"make": [Part(text="p")], "test": [Check(score=9)], **plan}
        await self.runner.start(self.runner._given[0], Order(title=run_id), run_id=run_id)
        await self.until(lambda: (run_id, state) in BEGUN)

    async def until(self, true: Callable[[], bool]) -> None:
        for _ in range(4_000):
            if true():
                return
            await asyncio.sleep(0.002)
        raise AssertionError("it did not come to that")

    def last(self, run_id: str) -> Record:
        read = self.runner.journal.read
        run = read.run(run_id)
        return read.record(run.key, run.seq)


def record_all(db: Path) -> None:
    """Every kind of record, and most of what can be in one."""
    subprocess.run([sys.executable, "-m", "tests.replay.workshop", str(db)], cwd=ROOT, check=False, timeout=60)
    asyncio.run(_record_the_rest(db))


async def _record_the_rest(db: Path) -> None:
    world = World(db)
    world.clock.advance(60)
    PLANS["killed"] = {"make": [], "test": [called]}
    async with world.runner_of(Older):
        assert await world.run("repinned", test=[Check(score=5)]) == "waiting"
        assert await world.run("repinned-halted", make=[Part(text="p", weight=70)]) == "stopped"
        await world.began("repinned-working", "make", make=[hang])
    async with world.runner_of(Workshop) as runner:
        for run_id in ("repinned", "repinned-halted", "repinned-working"):
            PLANS[run_id] = {"make": [Part(text="new")], "test": [Check(score=9)]}
            await runner.resume(run_id, accept=True, by="mia")
        await runner.send("repinned", Go(urgent=True))
        for run_id in ("repinned", "repinned-halted", "repinned-working", "killed"):
            assert (await runner.settled(run_id)).outcome == "completed", run_id
        await _in_good_weather(world)
        await _in_bad_weather(world)
        await _from_outside(world)
        await _halted(world)
        await world.began("released", "test", test=[hang])
        await world.began("working", "make", make=[hang])
    PLANS["released"]["test"] = [called]
    async with world.runner_of(Workshop) as runner:
        assert (await runner.settled("released")).outcome == "completed"


async def _in_good_weather(world: World) -> None:
    assert await world.run("straight", test=[called]) == "completed"
    assert await world.run("otherwise", test=[*[Check(score=5)] * 3, Check(score=9)]) == "waiting"
    assert world.last("otherwise").hop == "again.otherwise"
    assert await world.run("bad", test=[Check(score=1)]) == "waiting"
    big = [Part(text=f"{number}" * 100_000) for number in range(9)]
    assert await world.run("big", make=big, test=[Check(score=5)]) == "waiting"
    for _ in range(6):
        await world.runner.send("big", Go(urgent=True))
        assert (await world.runner.settled("big")).outcome == "waiting"
    assert await world.run("budget", make=[spendthrift]) == "failed"
    assert world.last("budget").hop == "limits.otherwise"


async def _in_bad_weather(world: World) -> None:
    assert await world.run("raises", test=[OSError("no gauge")]) == "waiting"
    assert await world.run("rubbish", test=[Order(title="not for here")]) == "waiting"
    lost = ConnectionError("no gauge")
    assert await world.run("retried", test=[lost, lost, Check(score=9)]) == "completed"
    assert await world.run("given-up", test=[lost]) == "waiting"
    assert await world.run("horn", test=[blows_the_horn]) == "waiting"
    assert await world.run("calls", test=[calls_too_much]) == "waiting"
    await world.began("hangs", "test", test=[hang])
    world.clock.advance(61)
    assert (await world.runner.settled("hangs")).outcome == "waiting"


async def _from_outside(world: World) -> None:
    clock, runner = world.clock, world.runner

    async def sent(run_id: str, payload: BaseModel, event_id: str | None = None) -> str:
        record = await runner.send(run_id, payload, event_id=event_id)
        return record.kind if record is not None else "counted"

    for run_id in ("ships", "waits", "stubborn", "superseded", "many"):
        assert await world.run(run_id, test=[Check(score=0)]) == "waiting"
    assert await sent("ships", Ship()) == "refused"
    assert await sent("ships", Ship(by="illegible")) == "refused"
    assert await sent("ships", Part(text="too late"), "p1") == "unhandled"
    assert await sent("ships", Ship(by="ann"), "s1") == await sent("ships", Ship(by="ann"), "s1") == "ended"
    assert [await sent("many", Ship()) for _ in range(4)] == ["refused"] * 3 + ["counted"]
    assert await sent("many", Ship(by="bob")) == "ended"
    for run_id in ("waits", "stubborn", "superseded"):
        assert await sent(run_id, Go(), "g1") == "deferred"
    assert await sent("superseded", Go(), "g2") == "refused"
    assert await sent("superseded", Ship(by="cleo"), "s1") == "ended"
    PLANS["waits"] = {"make": [hang], "test": [Check(score=9)]}
    for hour, kind in enumerate(("deferred", "refused")):
        clock.advance(3_601)
        await world.until(lambda kind=kind, hour=hour: world.last("waits").seq == 4 + hour)  # type: ignore[misc]
        assert world.last("waits").kind == kind
    assert await world.run("late", test=[Check(score=0)]) == "waiting"
    assert await sent("late", Go(), "g1") == "deferred"
    PLANS["late"] = {"make": [Part(text="p")], "test": [Check(score=9)]}
    assert (await runner.cancel("bad", by="dan", reason="not needed")).outcome == "cancelled"
    await world.began("cancelled", "make", make=[hang])
    assert (await runner.cancel("cancelled")).outcome == "cancelled"


async def _halted(world: World) -> None:
    runner = world.runner
    for run_id, order, part in (("later", "later", Part(text="p")), ("wet", "wet", Part(text="p", weight=0))):
        PLANS[run_id] = {"make": [part], "test": [Check(score=9)]}
        await runner.start(Workshop, Order(title=order), run_id=run_id)
        await world.until(lambda run_id=run_id: world.last(run_id).kind == "deferred")  # type: ignore[misc]
    world.clock.advance(3_601)
    for run_id in ("later", "wet"):
        assert (await runner.settled(run_id)).outcome == "completed"
    assert await world.run("stuck", make=[OSError("no wood"), Part(text="p")]) == "stuck"
    assert await world.run("stopped", make=[Part(text="p", weight=500), Part(text="p")]) == "stopped"
    assert await world.run("misread", test=[Check(score=-1)]) == "stopped"
    assert await world.run("unkeepable", make=[Part(text="unkeepable")]) == "stopped"
    for run_id in ("stuck", "stopped"):
        await runner.resume(run_id, by="eve")
        assert (await runner.settled(run_id)).outcome == "completed"
    for run_id in ("door", "door-cancelled"):
        assert await world.run(run_id, order=Order(title="")) == "stopped"
    assert (await runner.cancel("door-cancelled")).outcome == "cancelled"
    assert not world.last("door-cancelled").rulings  # it was no second knock at the door
    await runner.resume("door")
    assert (await runner.settled("door")).outcome == "stopped"
    world.clock.advance(2 * 86_400 + 1)
    assert (await runner.finished("raises")).outcome == "failed"


async def die_in_a_visit(db: str) -> None:
    PLANS["killed"] = {"make": [Part(text="p")], "test": [called]}
    crash_at("call.settled")
    journal = SqliteJournal(db, synchronous="OFF")
    async with Runner(journal, machines=[Workshop], clock=MovableClock(), handle_signals=False) as runner:
        await runner.start(Workshop, Order(title="killed"), run_id="killed")
        await runner.settled("killed")


if __name__ == "__main__":
    asyncio.run(die_in_a_visit(sys.argv[1]))
