"""Spending in bad weather: late, interrupted, beside calls in flight. Nothing is lost, nothing counts twice."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from fsm import (
    AgentFailed,
    CallFailed,
    Machine,
    Run,
    Runner,
    Spent,
    SqliteJournal,
    State,
    TimedOut,
    everywhere,
    unbound,
)
from fsm.define.machine import MachineType
from fsm.errors import JournalUnwritable
from fsm.testing import MovableClock
from guards import TokenBudget
from tests.helpers import running


class Job(BaseModel):
    task: str = ""


class Done(BaseModel):
    text: str = ""


class Stray(BaseModel):
    """Taken nowhere but at the end."""


class Work(Machine):
    work = State(initial=Job, agent=unbound, timeout_s=5)
    wait = State()
    done = State(final="completed")
    finish = work.to(wait, on=Done, guards=[TokenBudget(1_000)])
    miss = work.to(wait, on=(TimedOut, AgentFailed))
    close = wait.to(done, on=Stray, guards=[TokenBudget(1_000)])


class Capped(Work):
    limits = everywhere(TokenBudget(1_000), otherwise=Work.wait)


def total(runner: Runner) -> Spent:
    """What the run's records say."""
    run = runner.journal.read.run("r")
    return sum((record.spent for record in runner.journal.read.records(run.key)), Spent())


def rows(runner: Runner) -> list[tuple[str, str, int]]:
    run = runner.journal.read.run("r")
    return [(row.kind, row.name, row.spent.tokens) for row in runner.journal.read.calls(run.key)]


async def waiting(runner: Runner, machine: type[Machine]) -> Run:
    return await runner.settled((await runner.start(machine, Job(), run_id="r")).run_id)


async def test_what_is_spent_inside_a_call_is_in_its_outcome_the_rest_is_not(db: Path) -> None:
    async def agent(view: Any) -> Done:
        gates = [asyncio.Event(), asyncio.Event()]

        async def fetch(n: int) -> None:
            view.spend(tokens=10 + n)
            await gates[n].wait()

        calls = [asyncio.ensure_future(view.call("fetch", fetch, n)) for n in (0, 1)]
        while view.remaining["tokens"] > 979:
            await asyncio.sleep(0)
        view.spend(tokens=5)
        assert view.remaining["tokens"] == 974
        for gate, call in reversed(list(zip(gates, calls, strict=True))):
            gate.set()
            await call
        await view.call("last", str)
        return Done()

    bound = Capped.with_agents(work=agent)
    async with running(db, bound) as runner:
        await waiting(runner, bound)
        assert [row for row in rows(runner) if row[2]] == [
            ("outcome", "fetch", 11),
            ("outcome", "fetch", 10),
            ("intent", "last", 5),
        ]
        assert total(runner) == Spent(26)


@pytest.mark.parametrize("kind", ["async", "sync", "async fn", "awaitable"])
async def test_a_call_knows_what_is_its_own_in_every_kind(db: Path, kind: str) -> None:
    def inner(view: Any) -> None:
        view.spend(tokens=3)

    async def later(view: Any) -> None:
        await asyncio.sleep(0)
        view.spend(tokens=3)

    async def on_loop(view: Any) -> Done:
        await view.call("fetch", lambda: inner(view))
        view.spend(tokens=4)
        return Done()

    def on_thread(view: Any) -> Done:
        async def fetch() -> None:
            await later(view)

        kinds = {"sync": lambda: inner(view), "async fn": fetch, "awaitable": lambda: later(view)}
        view.call_sync("fetch", kinds[kind])
        view.spend(tokens=4)
        return Done()

    bound = Work.with_agents(work=on_loop if kind == "async" else on_thread)
    async with running(db, bound) as runner:
        await waiting(runner, bound)
        assert rows(runner) == [("intent", "fetch", 0), ("outcome", "fetch", 3)]
        assert total(runner) == Spent(7)


async def test_what_is_reported_beside_a_call_in_flight_counts_once_after_a_loss(db: Path) -> None:
    """The call has finished and is not made again; what was reported outside of it is reported again."""
    begun, attempts = asyncio.Event(), iter([1, 2])

    async def agent(view: Any) -> Done:
        gate = asyncio.Event()

        async def fetch() -> None:
            view.spend(tokens=10)
            await gate.wait()

        call = asyncio.ensure_future(view.call("fetch", fetch))
        for _ in range(10):
            await asyncio.sleep(0)
        view.spend(tokens=5)
        gate.set()
        await call
        if next(attempts) == 1:
            begun.set()
            await asyncio.Event().wait()
        view.spend(tokens=1)
        return Done()

    bound = Work.with_agents(work=agent)
    async with running(db, bound) as runner:
        await runner.start(bound, Job(), run_id="r")
        await begun.wait()
    async with running(db, bound) as runner:
        await runner.settled("r")
        assert total(runner) == Spent(16)


async def test_a_call_made_again_is_paid_again_and_hides_nothing_else(db: Path) -> None:
    begun, attempts = asyncio.Event(), iter([1, 2])

    async def agent(view: Any) -> Done:
        async def fetch() -> None:
            view.spend(tokens=10)
            if next(attempts) == 1:
                begun.set()
                await asyncio.Event().wait()

        view.spend(tokens=1)
        await view.call("fetch", fetch)
        view.spend(tokens=10)
        return Done()

    bound = Work.with_agents(work=agent)
    async with running(db, bound) as runner:
        await runner.start(bound, Job(), run_id="r")
        await begun.wait()
    async with running(db, bound) as runner:
        await runner.settled("r")
        assert ("spent", "fetch", 10) in rows(runner), "the stop found it in flight"
        assert total(runner) == Spent(1 + 10 + 10 + 10)


async def test_a_stray_event_does_not_take_what_a_call_in_flight_has_spent_for_what_is_reported_again(db: Path) -> None:
    begun, go, attempts = asyncio.Event(), asyncio.Event(), iter([1, 2])

    async def agent(view: Any) -> Done:
        async def fetch() -> None:
            view.spend(tokens=10)
            begun.set()
            await go.wait()

        await view.call("fetch", fetch)
        view.spend(tokens=10)
        if next(attempts) == 1:
            await asyncio.Event().wait()
        return Done()

    bound = Work.with_agents(work=agent)
    async with running(db, bound) as runner:
        run = await runner.start(bound, Job(), run_id="r")
        await begun.wait()
        record = await runner.send("r", Stray())
        assert record is not None and record.spent == Spent(10)
        go.set()
        while len(runner.journal.read.calls(run.key)) < 3:
            await asyncio.sleep(0)
    async with running(db, bound) as runner:
        await runner.settled("r")
        assert total(runner) == Spent(20)


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_call_that_is_cut_off_at_the_deadline_has_spent(db: Path, kind: str) -> None:
    clock, begun, release = MovableClock(), threading.Event(), threading.Event()

    async def on_loop(view: Any) -> Done:
        async def fetch() -> None:
            view.spend(tokens=10)
            begun.set()
            await asyncio.Event().wait()

        await view.call("fetch", fetch)
        return Done()

    def on_thread(view: Any) -> Done:
        def fetch() -> None:
            view.spend(tokens=10)
            begun.set()
            release.wait(5)
            view.spend(tokens=3)

        view.call_sync("fetch", fetch)
        return Done()

    bound = Work.with_agents(work=on_loop if kind == "async" else on_thread)
    async with running(db, bound, clock=clock) as runner:
        run = await runner.start(bound, Job(), run_id="r")
        await asyncio.to_thread(begun.wait, 5)
        clock.advance(6)
        run = await runner.settled("r")
        assert (run.state, total(runner)) == ("wait", Spent(10))
        release.set()
        late = kind == "sync"
        while late and ("outcome", "fetch", 3) not in rows(runner):
            await asyncio.sleep(0.001)
        record = await runner.send("r", Stray())
        assert record is not None and record.kind == "ended"
        assert record.rulings[0].verdict.numbers["tokens"] == 10 + 3 * late, "the guard has seen what came late"
        assert total(runner) == Spent(10 + 3 * late)


async def test_an_outcome_that_comes_after_another_runner_took_over_is_in_its_next_decision(db: Path) -> None:
    begun, late, go = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def agent(view: Any) -> Done:
        async def fetch() -> str:
            view.spend(tokens=10)
            if view.attempt == 1:
                begun.set()
                await late.wait()
            return f"by attempt {view.attempt}"

        view.spend(tokens=2)
        told = await view.call("fetch", fetch)
        await go.wait()
        return Done(text=told)

    bound = Work.with_agents(work=agent)
    async with running(db, bound, clock=MovableClock()) as stalled:
        await stalled.start(bound, Job(), run_id="r")
        await begun.wait()
        async with running(db, bound, clock=MovableClock(steady_s=5_000)) as runner:
            while ("outcome", "fetch", 10) not in rows(runner):
                await asyncio.sleep(0.001)
            late.set()
            while rows(runner).count(("outcome", "fetch", 10)) < 2:
                await asyncio.sleep(0.001)
            go.set()
            run = await runner.settled("r")
            record = runner.journal.read.record(run.key, run.seq)
            assert (record.spent, record.rulings[0].verdict.numbers["tokens"]) == (Spent(20), 22)
            assert total(runner) == Spent(22)


async def test_a_run_that_is_given_up_keeps_what_it_has_spent(db: Path) -> None:
    class Full(SqliteJournal):
        full = True

        async def decide(self, *args: Any, **options: Any) -> Any:
            if self.full:
                raise JournalUnwritable(path=self.path, what="it is full", next="make room")
            return await super().decide(*args, **options)

    async def agent(view: Any) -> Done:
        view.spend(tokens=7)
        return Done()

    bound = Work.with_agents(work=agent)
    async with running(db, bound, journal=Full(db, synchronous="OFF")) as runner:
        await runner.start(bound, Job(), run_id="r")
        with pytest.raises(JournalUnwritable):
            await runner.settled("r")
    async with running(db, bound) as runner:
        await runner.settled("r")
        assert [record.spent.tokens for record in runner.journal.read.records(1)] == [0, 7, 0]


async def test_a_failed_call_has_spent_too(db: Path) -> None:
    async def agent(view: Any) -> Done:
        def fetch() -> None:
            view.spend(tokens=10)
            raise ValueError("no")

        try:
            await view.call("fetch", fetch)
        except CallFailed:
            return Done()
        return Done(text="?")

    bound = Work.with_agents(work=agent)
    async with running(db, bound) as runner:
        await waiting(runner, bound)
        assert (rows(runner)[-1], total(runner)) == (("outcome", "fetch", 10), Spent(10))


async def test_what_a_visit_spent_before_its_run_was_repinned_is_counted(db: Path) -> None:
    begun = asyncio.Event()

    async def agent(view: Any) -> Done:
        if view.attempt == 1:
            view.spend(tokens=7)
            begun.set()
            await asyncio.Event().wait()
        return Done()

    first = Work.with_agents(work=agent)

    with_more = {"finish": Work.finish.but(guards=[TokenBudget(2_000)])}
    newer: Any = MachineType("Work", (Work,), with_more)
    second = newer.with_agents(work=agent)
    async with running(db, first) as runner:
        await runner.start(first, Job(), run_id="r")
        await begun.wait()
    async with running(db, second) as runner:
        await runner.resume("r", accept=True)
        run = await runner.settled("r")
        record = runner.journal.read.record(run.key, run.seq)
        assert record.rulings[0].verdict.numbers == {"tokens": 7, "tokens_max": 2_000}
        assert total(runner) == Spent(7)
