"""No hammering on what has failed: three strikes end the visit, whatever else goes on."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from fsm import (
    AgentFailed,
    CallFailed,
    Machine,
    Record,
    Retry,
    Runner,
    RunnerStopped,
    State,
    TimedOut,
    any_of,
    everywhere,
    unbound,
)
from fsm.define.events import CallRefused
from fsm.testing import MovableClock, hang
from guards import Strikes
from tests.helpers import running


class Job(BaseModel):
    pass


class Draft(BaseModel):
    text: str = ""


class Hint(BaseModel):
    pass


class Work(Machine):
    work = State(initial=Job, agent=unbound, timeout_s=30)
    down = State(final="failed")
    lost = State(final="failed")
    done = State(final="completed")
    finish = work.to(done, on=Draft)
    again = work.to(work, on=Hint)
    forbid = work.to(down, on=CallRefused)
    broken = work.to(lost, on=(AgentFailed, TimedOut))
    limits = everywhere(Strikes("search", 3), otherwise=down)


class Tool:
    """A tool that answers as the script says, the last entry again and again, and counts what reaches it."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.requests = 0

    def __call__(self) -> str:
        self.requests += 1
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, BaseException):
            raise step
        return str(step)


class Http(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status_code = status


DOWN = Http(500)


def records(runner: Runner, run_id: str = "r") -> list[Record]:
    return list(runner.journal.read.records(runner.journal.read.run(run_id).key))


async def until(true: Callable[[], Any]) -> None:
    while not true():
        await asyncio.sleep(0.002)


async def ended(db: Path, agent: Any, machine: type[Machine] = Work, **options: Any) -> list[Record]:
    bound = machine.with_agents(work=agent)
    async with running(db, bound, **options) as runner:
        await runner.start(bound, Job(), run_id="r")
        await runner.settled("r")
        return records(runner)


def refused(record: Record) -> CallRefused:
    return CallRefused.model_validate_json(record.body or b"")


def asks(tool: Tool, times: int = 20, after: Any = None) -> Callable[[Any], Any]:
    """An agent that swallows what its calls raise."""

    async def agent(view: Any) -> Any:
        for _ in range(times):
            with contextlib.suppress(Exception):
                await view.call("search", tool)
        return after or Draft()

    return agent


# -- during the visit --------------------------------------------------------------------------------


async def test_three_in_a_row_refuse_the_fourth_in_the_midst_of_the_visit(db: Path) -> None:
    tool = Tool(DOWN)
    found = await ended(db, asks(tool))
    assert tool.requests == 3
    assert [(r.kind, r.hop, r.event) for r in found[1:]] == [("ended", "forbid", "CallRefused")]
    refusal = refused(found[1])
    assert (refusal.call, refusal.code, refusal.numbers) == ("search", "strikes", {"strikes": 3, "strikes_max": 3})
    assert dict(found[1].strikes) == {"search": 3}


async def test_an_agent_that_swallows_everything_gets_nowhere(db: Path) -> None:
    tool = Tool(DOWN)

    async def stubborn(view: Any) -> Draft:
        for _ in range(50):
            with contextlib.suppress(BaseException):
                await view.call("search", tool)
        return Draft()

    assert (await ended(db, stubborn))[-1].hop == "forbid"
    assert tool.requests == 3


async def test_a_blocking_agent_is_refused_as_well(db: Path) -> None:
    tool = Tool(DOWN)

    def blocks(view: Any) -> Draft:
        while True:
            with contextlib.suppress(Exception):
                view.call_sync("search", tool)

    assert (await ended(db, blocks))[-1].hop == "forbid"
    assert tool.requests == 3


@pytest.mark.parametrize(
    ("script", "requests", "hop"),
    [
        ((DOWN, DOWN, "well", DOWN, DOWN, "well"), 20, "finish"),
        ((DOWN, DOWN, Http(404), DOWN), 4, "forbid"),
        ((Http(404),), 20, "finish"),
        ((Http(422),), 20, "finish"),
        ((Http(429),), 3, "forbid"),
        ((Http(408),), 3, "forbid"),
        ((TimeoutError(), ConnectionError(), ValueError("garbage")), 3, "forbid"),
    ],
    ids=["success", "404 between", "404", "422", "429", "408", "errors"],
)
async def test_a_success_begins_the_count_again_and_the_callers_own_fault_says_nothing(
    script: Any, requests: int, hop: str, db: Path
) -> None:
    tool = Tool(*script)
    assert (await ended(db, asks(tool)))[-1].hop == hop
    assert tool.requests == requests


async def test_other_names_have_counts_of_their_own(db: Path) -> None:
    async def agent(view: Any) -> Draft:
        for name in ("search", "fetch", "search", "fetch", "fetch", "fetch"):
            with contextlib.suppress(CallFailed):
                await view.call(name, Tool(DOWN))
        return Draft()

    found = await ended(db, agent)
    assert found[-1].hop == "finish"
    assert dict(found[-1].strikes) == {"search": 2}, "nobody watches fetch"


async def test_calls_at_once_under_one_name_each_count(db: Path) -> None:
    tool = Tool(DOWN)

    async def agent(view: Any) -> Draft:
        calls = [view.call("search", lambda n: tool(), n) for n in range(5)]
        await asyncio.gather(*calls, return_exceptions=True)
        await view.call("search", tool)
        return Draft()

    found = await ended(db, agent)
    assert refused(found[-1]).numbers == {"strikes": 5, "strikes_max": 3}
    assert tool.requests == 5, "none of them was known to fail when they were begun"


async def test_an_unhandled_refusal_becomes_a_failure_and_no_strike_of_its_own(db: Path) -> None:
    class Bare(Work):
        forbid = None  # type: ignore[assignment]

    found = await ended(db, asks(Tool(DOWN)), Bare)
    assert (found[-1].hop, found[-1].event) == ("broken", "AgentFailed")
    assert dict(found[-1].strikes) == {"search": 3}


# -- time --------------------------------------------------------------------------------------------


async def test_a_call_with_a_timeout_that_has_no_answer_is_a_strike(db: Path) -> None:
    async def agent(view: Any) -> Draft:
        while True:
            with contextlib.suppress(CallFailed):
                await view.call("search", asyncio.sleep, 60, timeout_s=0.01)

    assert (await ended(db, agent))[-1].hop == "forbid"


class Tried(Work):
    """Attempts that are begun again; the tool is what fails them."""

    work = Work.work.but(retry=Retry(attempts_max=9, base_s=0, cap_s=0))


async def test_a_call_still_waited_for_when_the_attempt_has_had_its_time_is_a_strike_and_one_only(db: Path) -> None:
    """Also where the call comes back after that: it was a thread nobody could stop."""
    clock, asked = MovableClock(), list[int]()

    async def slow() -> None:
        asked.append(len(asked))
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        raise DOWN  # an answer after all, and too late

    async def agent(view: Any) -> Draft:
        await view.call("search", slow)
        return Draft()

    bound = Tried.with_agents(work=agent)
    async with running(db, bound, clock=clock) as runner:
        await runner.start(bound, Job(), run_id="r")
        for n in range(3):
            await until(lambda: len(asked) == n + 1)  # noqa: B023 - at once
            clock.advance(30.001)
        run = await runner.settled("r")
        found = records(runner)
    assert (run.state, len(asked)) == ("lost", 3)
    assert [dict(r.strikes) for r in found[1:]] == [{"search": 1}, {"search": 2}, {"search": 3}]
    assert found[-1].event == "TimedOut"
    assert [r.verdict.code for r in found[-1].rulings if r.verdict.decision == "refuse"] == ["strikes"]


async def test_an_attempt_that_hangs_by_itself_says_nothing_of_what_it_called_before(db: Path) -> None:
    clock, tool = MovableClock(), Tool(DOWN, "well")

    async def agent(view: Any) -> Draft:
        for _ in range(2):
            with contextlib.suppress(CallFailed):
                await view.call("search", tool)
        await hang(view)
        return Draft()

    bound = Work.with_agents(work=agent)
    async with running(db, bound, clock=clock) as runner:
        await runner.start(bound, Job(), run_id="r")
        await until(lambda: len(runner.journal.read.calls(1)) == 4)
        clock.advance(31)
        await runner.settled("r")
        assert dict(records(runner)[-1].strikes) == {"search": 0}


# -- across attempts, visits, restarts ---------------------------------------------------------------


async def test_across_retries(db: Path) -> None:
    tool = Tool(DOWN)

    async def agent(view: Any) -> Draft:
        await view.call("search", tool)
        return Draft()

    found = await ended(db, agent, Tried)
    assert tool.requests == 3
    assert [r.kind for r in found] == ["started", "retried", "retried", "ended"]
    assert found[-1].hop == "broken", "a retry that is refused leaves the failure its own way"


async def test_across_visits(db: Path) -> None:
    tool = Tool(DOWN)
    found = await ended(db, asks(tool, 1, Hint()))
    assert tool.requests == 3
    assert [r.hop for r in found] == ["start", "again", "again", "limits.otherwise"]
    (ruling,) = found[-1].rulings
    assert str(ruling) == "Strikes on limits refuses (strikes: strikes 3, strikes_max 3)"


async def test_an_event_that_is_refused_in_between_counts_nothing_twice(db: Path) -> None:
    """A record in the midst of the visit holds the strikes so far; what follows is what follows."""

    class Own(Work):
        work = Work.work.but(guards=[Strikes("search", 3)])
        person = State()
        note = person.to(Work.work, on=Job)

    tool, gate = Tool(DOWN), asyncio.Event()

    async def agent(view: Any) -> Draft:
        try:
            await view.call("search", tool)
        finally:
            await gate.wait()
        return Draft()

    bound = Own.with_agents(work=agent)
    async with running(db, bound) as runner:
        await runner.start(bound, Job(), run_id="r")
        await until(lambda: len(runner.journal.read.calls(1)) == 2)
        await runner.send("r", Job(), event_id="e")
        gate.set()
        await runner.settled("r")
        found = records(runner)
    assert [(r.kind, dict(r.strikes)) for r in found[1:]] == [
        ("unhandled", {"search": 1}),
        ("ended", {"search": 1}),
    ]


@pytest.mark.parametrize("machine", [Work, Tried])
async def test_a_stop_between_the_strikes_does_not_begin_them_again(machine: type[Machine], db: Path) -> None:
    tool = Tool(DOWN)

    async def one_more(view: Any) -> Draft:
        for _ in range(view.attempt):
            with contextlib.suppress(CallFailed):
                await view.call("search", tool)
        await hang(view)
        return Draft()

    bound = machine.with_agents(work=one_more)
    for n in (1, 2, 3):
        with contextlib.suppress(RunnerStopped):
            async with running(db, bound) as runner:
                await runner.start(bound, Job(), run_id="r")
                await until(lambda: tool.requests == n)  # noqa: B023 - at once
                await until(lambda: len(runner.journal.read.calls(1)) == 2 * n)  # noqa: B023
    async with running(db, bound) as runner:
        assert (await runner.settled("r")).state == "down"
        found = records(runner)
    assert tool.requests == 3
    assert [(r.kind, dict(r.strikes)) for r in found[:-1]] == [
        ("started", {}),
        *[("resumed", {"search": n}) for n in (1, 2, 3)],
    ]
    assert refused(found[-1]).numbers == {"strikes": 3, "strikes_max": 3}


# -- an agent by the name of its state ---------------------------------------------------------------


class Named(Machine):
    work = State(
        initial=Job, agent=unbound, retry=Retry(attempts_max=9, base_s=0, cap_s=0), guards=[Strikes("model", 3)]
    )
    review = State(agent=unbound, guards=[Strikes("model", 3)])
    lost = State(final="failed")
    done = State(final="completed")
    finish = work.to(review, on=Draft)
    judged = review.to(done, on=Draft)
    broken = any_of(work, review).to(lost, on=AgentFailed)


async def test_attempts_of_an_agent_that_makes_no_calls_count_by_their_end(db: Path) -> None:
    ends: list[int] = []

    async def agent(view: Any) -> Draft:
        ends.append(view.attempt)
        raise ConnectionError("down")

    found = await ended(db, agent, Named.with_agents(review=agent))
    assert ends == [1, 2, 3]
    assert [dict(r.strikes) for r in found[1:]] == [{"model": 1}, {"model": 2}, {"model": 3}]


async def test_one_that_calls_it_by_name_counts_by_its_calls(db: Path) -> None:
    tool = Tool(DOWN)

    async def agent(view: Any) -> Draft:
        await view.call("model", tool)
        return Draft()

    found = await ended(db, agent, Named.with_agents(review=agent))
    assert tool.requests == 3
    assert [dict(r.strikes) for r in found[1:]] == [{"model": 1}, {"model": 2}, {"model": 3}]


async def test_one_that_does_so_and_falls_over_something_else_counts_by_its_calls_too(db: Path) -> None:
    async def agent(view: Any) -> Draft:
        await view.call("model", Tool("well"))
        raise ConnectionError("something else")

    found = await ended(db, agent, Named.with_agents(review=agent))
    assert {tuple(r.strikes.items()) for r in found[1:]} == {(("model", 0),)}


async def test_two_states_that_depend_on_one_thing_share_its_count(db: Path) -> None:
    tool = Tool(DOWN, DOWN, "well", DOWN)

    async def agent(view: Any) -> Draft:
        with contextlib.suppress(CallFailed):
            await view.call("model", tool)
            await view.call("model", tool)
        return Draft()

    found = await ended(db, agent, Named.with_agents(review=agent))
    assert [dict(r.strikes) for r in found[1:]] == [{"model": 1}, {"model": 2}]
