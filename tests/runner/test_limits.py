"""What one visit may spend, and what it is charged at least: `tokens_max`, `usd_micros_max`, `tokens_min`."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from fsm import AgentFailed, CallRefused, Machine, Record, Runner, Spent, State, everywhere, unbound
from guards import LoopCap, TokenBudget
from tests.helpers import running


class Job(BaseModel):
    task: str = ""


class Done(BaseModel):
    text: str = ""


class Stop(BaseModel):
    """From outside."""


class Work(Machine):
    work = State(initial=Job, agent=unbound, tokens_max=100, usd_micros_max=5_000)
    wait = State()
    done = State(final="completed")
    finish = work.to(done, on=Done)
    cut = work.to(wait, on=CallRefused)
    close = wait.to(done, on=Stop)


class Charged(Machine):
    work = State(initial=Job, agent=unbound, tokens_min=50)
    person = State()
    done = State(final="completed")
    again = work.to(work, on=Done, guards=[TokenBudget(120)], otherwise=person)
    stop = work.to(done, on=Stop, guards=[LoopCap(1)])
    close = person.to(done, on=Stop)
    fail = work.to(person, on=AgentFailed)


def records(runner: Runner) -> list[Record]:
    return list(runner.journal.read.records(runner.journal.read.run("r").key))


async def last(runner: Runner, machine: type[Machine]) -> Record:
    run = await runner.start(machine, Job(), run_id="r")
    await runner.settled(run.run_id)
    return records(runner)[-1]


async def test_an_async_attempt_is_cut_off_at_once_and_what_it_spent_is_recorded(db: Path) -> None:
    reached: list[str] = []

    async def agent(view: Any) -> Done:
        assert dict(view.remaining) == {"tokens": 100, "usd_micros": 5_000}
        view.spend(tokens=100, usd_micros=10)
        assert dict(view.remaining) == {"tokens": 0, "usd_micros": 4_990}
        reached.append("at the limit")
        with contextlib.suppress(Exception):
            view.spend(tokens=7)
        reached.append("beyond it")
        return Done()

    machine = Work.with_agents(work=agent)
    async with running(db, machine) as runner:
        record = await last(runner, machine)
        assert (record.hop, record.spent) == ("cut", Spent(107, 10))
        body = CallRefused.model_validate_json(record.body or b"")
        assert (body.call, body.code, body.numbers) == ("", "tokens_max", {"tokens": 107, "tokens_max": 100})
    assert reached == ["at the limit"]


@pytest.mark.parametrize("kind", ["sync", "in a call", "in a call on a thread", "in a call of a sync agent"])
async def test_wherever_it_is_reported(db: Path, kind: str) -> None:
    def pay(view: Any) -> None:
        view.spend(usd_micros=6_000)
        raise AssertionError("it went on")

    async def pay_later(view: Any) -> None:
        pay(view)

    def sync(view: Any) -> Done:
        if kind == "sync":
            pay(view)
        view.call_sync("pay", lambda: pay(view))
        raise AssertionError("it went on")

    async def on_loop(view: Any) -> Done:
        if kind == "in a call":

            async def fn() -> None:
                await pay_later(view)

            await view.call("pay", fn)
        await view.call("pay", lambda: pay(view))
        raise AssertionError("it went on")

    machine = Work.with_agents(work=sync if "sync" in kind else on_loop)
    async with running(db, machine) as runner:
        record = await last(runner, machine)
        assert (record.hop, record.spent) == ("cut", Spent(0, 6_000))
        assert CallRefused.model_validate_json(record.body or b"").code == "usd_micros_max"


async def test_the_limit_is_of_all_attempts_of_the_visit_together(db: Path) -> None:
    class Halting(Work):
        cut = Work.cut
        finish = Work.finish.but(guards=[LoopCap(1)])

    tries: list[int] = []

    async def agent(view: Any) -> Done:
        tries.append(view.remaining["tokens"])
        view.spend(tokens=60)
        if view.attempt == 1:
            raise OSError("no answer")
        return Done()

    machine = Halting.with_agents(work=agent)
    async with running(db, machine) as runner:
        assert (await last(runner, machine)).outcome == "stuck"
        await runner.resume("r")
        await runner.settled("r")
        assert records(runner)[-1].hop == "cut"
        assert sum((record.spent for record in records(runner)), Spent()) == Spent(120)
    assert tries == [100, 40]


async def test_an_attempt_that_goes_on_elsewhere_knows_what_the_visit_has_spent(db: Path) -> None:
    begun = asyncio.Event()
    left: list[int] = []

    async def agent(view: Any) -> Done:
        await view.call("pay", lambda: view.spend(tokens=30))
        view.spend(tokens=20)
        left.append(view.remaining["tokens"])
        begun.set()
        if view.attempt == 1:
            await asyncio.Event().wait()
        return Done()

    machine = Work.with_agents(work=agent)
    async with running(db, machine) as runner:
        await runner.start(machine, Job(), run_id="r")
        await begun.wait()
    async with running(db, machine) as runner:
        await runner.settled("r")
        assert sum((record.spent for record in records(runner)), Spent()) == Spent(50)
    assert left == [50, 50]


async def test_a_visit_is_charged_what_it_lacks_and_guards_see_it(db: Path) -> None:
    async def agent(view: Any) -> Done:
        view.spend(tokens=10)
        return Done()

    machine = Charged.with_agents(work=agent)
    async with running(db, machine) as runner:
        record = await last(runner, machine)
        assert [(found.hop, found.spent.tokens) for found in records(runner)] == [
            ("start", 0),
            ("again", 50),
            ("again", 50),
            ("again.otherwise", 50),
        ]
        assert record.rulings[0].verdict.numbers == {"tokens": 150, "tokens_max": 120}


async def test_one_that_spent_enough_is_charged_nothing_and_one_that_failed_is(db: Path) -> None:
    async def agent(view: Any) -> Done:
        if view.visit == 1:
            view.spend(tokens=70)
            return Done()
        raise OSError("no answer")

    machine = Charged.with_agents(work=agent)
    async with running(db, machine) as runner:
        assert (await last(runner, machine)).hop == "fail"
        assert [found.spent.tokens for found in records(runner)] == [0, 70, 50]


async def test_an_event_from_outside_charges_only_the_visit_it_ends(db: Path) -> None:
    class Watched(Charged):
        done = State(final="completed")
        other = State(agent=unbound)
        stop = Charged.work.to(other, on=Stop, guards=[TokenBudget(40)])
        leave = other.to(done, on=Done)
        limits = everywhere(LoopCap(9), otherwise=Charged.person)

    class Free(Watched):
        stop = Watched.stop.but(guards=[])

    begun, go = asyncio.Event(), asyncio.Event()

    async def agent(view: Any) -> Done:
        begun.set()
        await go.wait()
        return Done()

    machine = Watched.with_agents(work=agent, other=agent)
    async with running(db, machine) as runner:
        await runner.start(machine, Job(), run_id="r")
        await begun.wait()
        refused = await runner.send("r", Stop())
        assert refused is not None and (refused.kind, refused.spent.tokens) == ("refused", 0)
        assert refused.rulings[0].verdict.numbers == {"tokens": 50, "tokens_max": 40}
        await runner.cancel("r")
        ended = records(runner)[-1]
        assert (ended.outcome, ended.spent.tokens) == ("cancelled", 50)
    free = Free.with_agents(work=agent, other=agent)
    async with running(db, free) as runner:
        begun.clear()
        await runner.start(free, Job(), run_id="f")
        await begun.wait()
        taken = await runner.send("f", Stop())
        assert taken is not None and (taken.hop, taken.spent.tokens) == ("stop", 50)


async def test_a_limit_that_changes_changes_no_recorded_decision(db: Path) -> None:
    async def agent(view: Any) -> Done:
        view.spend(tokens=10)
        return Done()

    machine = Charged.with_agents(work=agent)
    async with running(db, machine) as runner:
        await last(runner, machine)

    class Dearer(Machine, machine_name="Charged"):
        work = State(initial=Job, agent=agent, tokens_min=90, tokens_max=1_000)
        person = State()
        done = State(final="completed")
        again = work.to(work, on=Done, guards=[TokenBudget(120)], otherwise=person)
        stop = work.to(done, on=Stop, guards=[LoopCap(1)])
        close = person.to(done, on=Stop)
        fail = work.to(person, on=AgentFailed)

    assert Dearer.spec.fingerprint == Charged.spec.fingerprint
    async with running(db, Dearer):
        pass
