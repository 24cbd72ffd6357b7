"""Calls that declare the most they spend: refused before they are made, booked where nobody knows what they spent."""

import asyncio
import contextlib
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from fsm import (
    AgentFailed,
    CallFailed,
    CallRefused,
    Machine,
    Record,
    Retry,
    Runner,
    Spent,
    State,
    TimedOut,
    Usage,
    everywhere,
    unbound,
)
from fsm.core.used import Used
from fsm.testing import MovableClock, StubView
from guards import Breaker, CostBudget, LoopCap, TokenBudget
from tests.helpers import running


class Job(BaseModel):
    pass


class Done(BaseModel):
    pass


class Stray(BaseModel):
    """From outside."""


class Work(Machine):
    work = State(initial=Job, agent=unbound, tokens_max=1_000, timeout_s=5)
    wait = State()
    done = State(final="completed")
    finish = work.to(wait, on=Done)
    cut = work.to(wait, on=CallRefused)
    miss = work.to(wait, on=(TimedOut, AgentFailed))
    stop = work.to(done, on=Stray)
    close = wait.to(done, on=Stray)


class Budgeted(Work):
    work = Work.work.but(tokens_max=None, guards=[CostBudget(5_000)], otherwise=Work.wait)
    limits = everywhere(TokenBudget(1_000), LoopCap(9), otherwise=Work.wait)


class Tried(Work):
    work = Work.work.but(retry=Retry(attempts_max=2, base_s=0, cap_s=0))


def records(runner: Runner) -> list[Record]:
    return list(runner.journal.read.records(runner.journal.read.run("r").key))


def rows(runner: Runner) -> list[tuple[str, str, int]]:
    return [(row.kind, row.status, row.spent.tokens) for row in runner.journal.read.calls(1)]


def total(runner: Runner) -> Spent:
    return sum((record.spent for record in records(runner)), Spent())


async def ran(runner: Runner, machine: type[Machine]) -> Record:
    await runner.start(machine, Job(), run_id="r")
    await runner.settled("r")
    return records(runner)[-1]


def refusal(record: Record) -> tuple[str, str, dict[str, int]]:
    body = CallRefused.model_validate_json(record.body or b"")
    return body.call, body.code, body.numbers


async def test_a_call_that_could_go_beyond_the_visits_limit_is_not_made(db: Path) -> None:
    made: list[int] = []

    async def agent(view: Any) -> Done:
        def ask() -> None:
            made.append(1)
            view.spend(tokens=500)

        for declared in (600, 400):
            await view.call("ask", ask, tokens_max=declared)
            assert view.remaining["tokens"] == 1_000 - 500 * len(made)
        await view.call("ask", lambda: made.append(1), tokens_max=1)
        raise AssertionError("it went on")

    machine = Work.with_agents(work=agent)
    async with running(db, machine) as runner:
        record = await ran(runner, machine)
        assert (record.hop, record.spent, len(made)) == ("cut", Spent(1_000), 2)
        assert refusal(record) == ("ask", "tokens_max", {"tokens": 1_000, "asked": 1, "tokens_max": 1_000})
        declared = [(row.kind, row.tokens_max, row.usd_micros_max) for row in runner.journal.read.calls(1)]
        assert declared == [
            ("intent", 600, None),
            ("outcome", None, None),
            ("intent", 400, None),
            ("outcome", None, None),
        ]


async def test_calls_at_once_cannot_overshoot_together(db: Path) -> None:
    made: list[int] = []
    go = asyncio.Event()
    left: list[int] = []

    async def agent(view: Any) -> Done:
        async def ask(number: int) -> None:
            made.append(number)
            view.spend(tokens=100)
            left.append(view.remaining["tokens"])
            await go.wait()

        calls = [asyncio.ensure_future(view.call("ask", ask, number, tokens_max=300)) for number in range(4)]
        await asyncio.gather(*calls, return_exceptions=True)
        return Done()

    machine = Work.with_agents(work=agent)
    async with running(db, machine) as runner:
        record = await ran(runner, machine)
        assert record.hop == "cut"
        held = {"tokens": 0, "reserved": 900, "asked": 300, "tokens_max": 1_000}
        assert refusal(record) == ("ask", "tokens_max", held)
        assert made in ([], [0, 1, 2])
        assert total(runner) == Spent(300 * len(made)), "nobody knows of those that had begun"
        assert record.note.get("unknown_tokens", 0) == 200 * len(made)


@pytest.mark.parametrize(
    ("most", "said"),
    [
        ({"tokens_max": 901}, ("token_budget", {"tokens": 100, "asked": 901, "tokens_max": 1_000})),
        ({"usd_micros_max": 4_001}, ("cost_budget", {"usd_micros": 1_000, "asked": 4_001, "usd_micros_max": 5_000})),
        ({"tokens_max": 900, "usd_micros_max": 4_000}, None),
        ({"tokens_max": 0}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("sync", [False, True])
async def test_the_budgets_of_the_run_that_stand_on_the_state_or_the_machine(
    db: Path, most: dict[str, int], said: Any, sync: bool
) -> None:
    def blocking(view: Any) -> Done:
        view.spend(tokens=100, usd_micros=1_000)
        view.call_sync("ask", lambda: None, **most)
        return Done()

    async def agent(view: Any) -> Done:
        view.spend(tokens=100, usd_micros=1_000)
        await view.call("ask", lambda: None, **most)
        return Done()

    machine = Budgeted.with_agents(work=blocking if sync else agent)
    async with running(db, machine) as runner:
        record = await ran(runner, machine)
        assert record.hop == ("finish" if said is None else "cut")
        assert said is None or refusal(record) == ("ask", *said)
        assert record.spent == Spent(100, 1_000)


class Watched(Work):
    limits = everywhere(Breaker("tool", failures_max=1), otherwise=Work.wait)


async def test_a_call_that_a_breaker_refuses_is_not_made_and_books_nothing_of_what_it_declared(db: Path) -> None:
    async def fail() -> None:
        raise ConnectionError("down")

    async def agent(view: Any) -> Done:
        view.spend(tokens=7)
        with contextlib.suppress(CallFailed):
            await view.call("tool", fail)
        view.spend(tokens=5)
        await view.call("tool", fail, tokens_max=500)
        raise AssertionError("it went on")

    machine = Watched.with_agents(work=agent)
    async with running(db, machine) as runner:
        record = await ran(runner, machine)
        assert (record.hop, refusal(record)[:2]) == ("cut", ("tool", "open"))
        assert total(runner) == Spent(12)
        await runner.send("r", Stray())
        assert total(runner) == Spent(12)


async def test_what_a_call_did_not_need_is_free_again_and_what_it_failed_with_is_known(db: Path) -> None:
    async def agent(view: Any) -> Done:
        def fail() -> None:
            view.spend(tokens=50)
            raise OSError("no answer")

        for _ in range(4):
            with contextlib.suppress(Exception):
                await view.call("ask", fail, tokens_max=800)
        return Done()

    machine = Work.with_agents(work=agent)
    async with running(db, machine) as runner:
        record = await ran(runner, machine)
        assert (record.hop, record.spent, dict(record.note)) == ("finish", Spent(200), {})


@pytest.mark.parametrize("most", [{"tokens_max": -1}, {"tokens_max": 1.5}, {"usd_micros_max": True}])
async def test_what_is_declared_is_a_whole_number(db: Path, most: dict[str, Any]) -> None:
    async def agent(view: Any) -> Done:
        await view.call("ask", lambda: None, **most)
        return Done()

    machine = Work.with_agents(work=agent)
    async with running(db, machine) as runner:
        record = await ran(runner, machine)
        assert "give a whole number, 0 or more" in AgentFailed.model_validate_json(record.body or b"").message


@pytest.mark.parametrize("where", ["on the loop", "on a thread", "on the agent's thread"])
async def test_a_call_in_flight_at_the_deadline_is_booked_at_what_it_declared(db: Path, where: str) -> None:
    begun, go = threading.Event(), threading.Event()
    clock = MovableClock()

    async def agent(view: Any) -> Done:
        async def ask() -> None:
            view.spend(Usage(30, 10), model="m")
            begun.set()
            await asyncio.Event().wait()

        await view.call("ask", ask if where == "on the loop" else lambda: block(view), tokens_max=100)
        return Done()

    def block(view: Any) -> None:
        view.spend(Usage(30, 10), model="m")
        begun.set()
        go.wait(30)
        view.spend(tokens=55)
        view.spend(tokens=10)

    def sync(view: Any) -> Done:
        view.call_sync("ask", lambda: block(view), tokens_max=100)
        return Done()

    machine = Work.with_agents(work=sync if "agent" in where else agent)
    async with running(db, machine, clock=clock) as runner:
        await runner.start(machine, Job(), run_id="r")
        await asyncio.to_thread(begun.wait, 30)
        clock.advance(6)
        await runner.settled("r")
        record = records(runner)[-1]
        assert (record.hop, record.spent) == ("miss", Spent(100, 0, (Used("m", "", 30, 0, 10, 0, 1),)))
        assert dict(record.note) == {"unknown_tokens": 60}
        assert rows(runner)[1:] == [("spent", "", 40), ("spent", "unknown", 60)]
        go.set()
        if where == "on the agent's thread":
            while len(rows(runner)) < 4:
                await asyncio.sleep(0.001)
            assert rows(runner)[3:] == [("outcome", "ok", 5)], "no more than what goes beyond"
        await runner.send("r", Stray())
        assert total(runner).tokens == (105 if where == "on the agent's thread" else 100)


async def test_a_late_outcome_within_what_was_booked_adds_nothing(db: Path) -> None:
    begun, go = threading.Event(), threading.Event()
    clock = MovableClock()

    def sync(view: Any) -> Done:
        def ask() -> None:
            begun.set()
            go.wait(30)
            view.spend(Usage(70, 0), model="m")

        view.call_sync("ask", ask, tokens_max=100)
        return Done()

    machine = Work.with_agents(work=sync)
    async with running(db, machine, clock=clock) as runner:
        await runner.start(machine, Job(), run_id="r")
        await asyncio.to_thread(begun.wait, 30)
        clock.advance(6)
        await runner.settled("r")
        assert total(runner) == Spent(100)
        go.set()
        while len(rows(runner)) < 3:
            await asyncio.sleep(0.001)
        await runner.send("r", Stray())
        assert total(runner) == Spent(100, 0, (Used("m", "", 70, requests=1),)), "what it used is known by now"


async def test_a_call_that_the_agent_gives_up_itself_is_booked_too(db: Path) -> None:
    async def agent(view: Any) -> Done:
        begun = asyncio.Event()

        async def ask() -> None:
            view.spend(tokens=10)
            begun.set()
            await asyncio.Event().wait()

        task = asyncio.ensure_future(view.call("ask", ask, tokens_max=600))
        await begun.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert view.remaining["tokens"] == 400, "nobody knows, so it is not free"
        await view.call("ask", lambda: None, tokens_max=401)
        raise AssertionError("it went on")

    machine = Work.with_agents(work=agent)
    async with running(db, machine) as runner:
        record = await ran(runner, machine)
        numbers = {"tokens": 10, "reserved": 590, "asked": 401, "tokens_max": 1_000}
        assert refusal(record) == ("ask", "tokens_max", numbers)
        assert (record.spent, dict(record.note)) == (Spent(600), {"unknown_tokens": 590})


async def test_a_call_left_in_flight_by_an_agent_that_returned(db: Path) -> None:
    go = asyncio.Event()
    tasks: list[asyncio.Future[Any]] = []

    async def agent(view: Any) -> Done:
        begun = asyncio.Event()

        async def ask() -> None:
            begun.set()
            await go.wait()
            view.spend(tokens=130)

        tasks.append(asyncio.ensure_future(view.call("ask", ask, tokens_max=100)))
        await begun.wait()
        return Done()

    machine = Work.with_agents(work=agent)
    async with running(db, machine) as runner:
        record = await ran(runner, machine)
        assert (record.spent, dict(record.note)) == (Spent(100), {"unknown_tokens": 100})
        go.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert rows(runner)[-1] == ("outcome", "ok", 30)
        await runner.send("r", Stray())
        assert total(runner) == Spent(130)


@pytest.mark.parametrize("refused", [False, True])
async def test_an_event_from_outside_books_only_what_it_cuts_off(db: Path, refused: bool) -> None:
    class Firm(Work):
        stop = Work.stop.but(guards=[TokenBudget(1)])

    begun, go = asyncio.Event(), asyncio.Event()

    async def agent(view: Any) -> Done:
        async def ask() -> None:
            view.spend(tokens=10)
            begun.set()
            await go.wait()

        await view.call("ask", ask, tokens_max=100)
        return Done()

    machine = (Firm if refused else Work).with_agents(work=agent)
    async with running(db, machine) as runner:
        await runner.start(machine, Job(), run_id="r")
        await begun.wait()
        record = await runner.send("r", Stray())
        assert record is not None and record.kind == ("refused" if refused else "ended")
        assert (record.spent, dict(record.note)) == (Spent(10), {})
        go.set()
        if refused:
            await runner.settled("r")
            assert total(runner) == Spent(10)
        else:
            while len(rows(runner)) < 3:
                await asyncio.sleep(0)
    if not refused:
        async with running(db, machine) as runner:
            assert rows(runner)[1:] == [("spent", "", 10), ("spent", "unknown", 90)]


async def test_a_retry_pays_again_beside_what_was_booked(db: Path) -> None:
    clock, begun = MovableClock(), asyncio.Event()

    async def agent(view: Any) -> Done:
        async def ask() -> None:
            view.spend(tokens=100)
            begun.set()
            if view.attempt == 1:
                await asyncio.Event().wait()

        await view.call("ask", ask, tokens_max=600 if view.attempt == 1 else 400)
        await view.call("ask", ask, tokens_max=301)
        return Done()

    machine = Tried.with_agents(work=agent)
    async with running(db, machine, clock=clock) as runner:
        await runner.start(machine, Job(), run_id="r")
        await begun.wait()
        clock.advance(6)
        await runner.settled("r")
        retried, last = records(runner)[1:]
        assert (retried.kind, retried.spent, retried.note["unknown_tokens"]) == ("retried", Spent(600), 500)
        assert refusal(last) == ("ask", "tokens_max", {"tokens": 700, "asked": 301, "tokens_max": 1_000})


async def test_a_stop_books_what_is_in_flight_and_the_next_attempt_pays_again(db: Path) -> None:
    begun = asyncio.Event()

    async def agent(view: Any) -> Done:
        async def ask() -> None:
            view.spend(Usage(10, 0), model="m")
            begun.set()
            if view.attempt == 1:
                await asyncio.Event().wait()

        await view.call("ask", ask, tokens_max=100)
        return Done()

    machine = Work.with_agents(work=agent)
    async with running(db, machine) as runner:
        await runner.start(machine, Job(), run_id="r")
        await begun.wait()
    async with running(db, machine) as runner:
        await runner.settled("r")
        found = records(runner)
        assert [(record.kind, record.spent.tokens, dict(record.note)) for record in found[1:]] == [
            ("resumed", 100, {"why": "released", "unknown_tokens": 90}),
            ("taken", 10, {}),
        ]
        assert total(runner).usage == (Used("m", "", 20, requests=2),)


def test_a_stub_view_refuses_alike() -> None:
    view = StubView(payload=Job(), tokens_max=1_000)
    view.call_sync("ask", lambda: view.spend(tokens=500), tokens_max=600)
    assert view.remaining["tokens"] == 500
    with pytest.raises(BaseException, match="tokens_max"):
        view.call_sync("ask", lambda: None, tokens_max=501)
    assert view.refused is not None
    assert view.refused.numbers == {"tokens": 500, "asked": 501, "tokens_max": 1_000}


async def test_a_stub_view_holds_back_what_calls_in_flight_declared() -> None:
    view = StubView(payload=Job(), tokens_max=1_000)

    async def ask() -> None:
        view.spend(tokens=100)
        await asyncio.sleep(0)

    first = asyncio.ensure_future(view.call("ask", ask, tokens_max=600))
    await asyncio.sleep(0)
    assert view.remaining["tokens"] == 400
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert view.spent == Spent(600)
