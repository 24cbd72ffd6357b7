"""Retries and fallbacks as they run: attempts, pauses by a movable clock, restarts, what an agent sees."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from fsm import (
    AgentFailed,
    Cancelled,
    Machine,
    PayloadInvalid,
    Record,
    Retry,
    Runner,
    RuntimeEvent,
    Spent,
    SqliteJournal,
    State,
    TimedOut,
    any_of,
    everywhere,
    unbound,
)
from fsm.define.events import CallRefused
from fsm.errors import AgentsMissing
from fsm.testing import MovableClock, hang
from guards import Deadline, LoopCap, TokenBudget
from tests.helpers import Gated, assert_sound, running


class Job(BaseModel):
    notes: list[str] = []


class Draft(BaseModel):
    text: str = ""


class Hint(BaseModel):
    text: str = ""


class Work(Machine, calls_max=3):
    work = State(
        initial=Job, agent=unbound, timeout_s=30, retry=Retry(attempts_max=3, base_s=100, cap_s=1_000), tokens_max=1_000
    )
    person = State()
    done = State(final="completed")
    lost = State(final="failed")
    finish = work.to(done, on=Draft)
    hint = work.to(person, on=Hint)
    late = work.to(lost, on=TimedOut)
    broken = work.to(lost, on=AgentFailed)
    back = person.to(work, on=Job)


class Step:
    """An agent that follows a script, an entry an attempt, and keeps what it saw."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.seen: list[tuple[int, RuntimeEvent | None]] = []
        self.payloads: list[BaseModel] = []

    async def __call__(self, view: Any) -> Any:
        self.seen.append((view.attempt, view.failure))
        self.payloads.append(view.payload.model_copy(deep=True))
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, Exception):
            raise step
        return await step(view) if callable(step) else step


LOST = ConnectionError("lost")
BROKEN = ValueError("broken")


async def until(true: Callable[[], Any]) -> None:
    while not true():
        await asyncio.sleep(0.002)


def records(runner: Runner, run_id: str = "r") -> list[Record]:
    return list(runner.journal.read.records(runner.journal.read.run(run_id).key))


def kinds(runner: Runner) -> list[str]:
    return [record.kind for record in records(runner)]


def snapshot(runner: Runner) -> Any:
    (live,) = runner._driver.lives.values()
    return live.snapshot


@contextlib.asynccontextmanager
async def begun(db: Path, agent: Any, machine: type[Machine] = Work, **options: Any) -> AsyncIterator[Runner]:
    """A runner on which run `r` has been started."""
    bound = machine.with_agents(work=agent)
    async with running(db, bound, clock=options.pop("clock", MovableClock()), **options) as runner:
        await runner.start(bound, Job(), run_id="r")
        yield runner


async def resting(runner: Runner, retries: int = 1) -> int:
    """The run rests before its next attempt; how long yet, in milliseconds."""

    def rests() -> bool:
        (live,) = runner._driver.lives.values()
        return live.deadline is not None and not live.in_agent and kinds(runner).count("retried") == retries

    await until(rests)
    return snapshot(runner).again.at_ms - runner._clock.now_ms()  # type: ignore[no-any-return]


def sleep(clock: MovableClock, pause_ms: int) -> None:
    """The pause is over, and a hair more: seconds are no whole numbers."""
    clock.advance(pause_ms / 1000 + 0.001)


async def pauses_over(runner: Runner, clock: MovableClock, retries: int) -> list[int]:
    """Every pause as it was decided, the clock moved past each."""
    found = []
    for n in range(1, retries + 1):
        found.append(await resting(runner, n))
        sleep(clock, found[-1])
    return found


# -- attempts ----------------------------------------------------------------------------------------


async def test_each_attempt_is_on_record_with_its_error_and_its_spending(db: Path) -> None:
    async def spends(view: Any) -> Draft:
        view.spend(tokens=10 * view.attempt)
        raise ConnectionError(f"lost {view.attempt}")

    clock = MovableClock()
    async with begun(db, spends, clock=clock) as runner:
        pauses = await pauses_over(runner, clock, 2)
        run = await runner.settled("r")
        found = records(runner)[1:]
    assert [(r.kind, r.hop, r.attempt, r.spent) for r in found] == [
        ("retried", "work.retry", 1, Spent(10)),
        ("retried", "work.retry", 2, Spent(20)),
        ("ended", "broken", 3, Spent(30)),
    ]
    failures = [AgentFailed.model_validate_json(r.body or b"") for r in found]
    assert [(f.error_type, f.message, f.attempt, f.retriable) for f in failures] == [
        ("ConnectionError", f"lost {n}", n, True) for n in (1, 2, 3)
    ]
    assert all(50_000 <= pause <= 200_000 for pause in pauses)
    assert (run.state, run.attempt) == ("lost", 1)


async def test_the_agent_sees_which_attempt_it_is_and_what_ended_the_one_before(db: Path) -> None:
    clock, agent = MovableClock(), Step(LOST, hang, Draft())
    async with begun(db, agent, clock=clock) as runner:
        sleep(clock, await resting(runner))
        await until(lambda: len(agent.seen) == 2)
        clock.advance(31)
        sleep(clock, await resting(runner, 2))
        assert (await runner.settled("r")).outcome == "completed"
    assert [attempt for attempt, _ in agent.seen] == [1, 2, 3]
    first, second, third = (failure for _, failure in agent.seen)
    assert first is None
    assert isinstance(second, AgentFailed) and second.error_type == "ConnectionError"
    assert third == TimedOut(timeout_ms=30_000, attempt=2)


async def test_another_visit_knows_nothing_of_the_failures_before(db: Path) -> None:
    clock, agent = MovableClock(), Step(LOST, Hint(), Draft())
    async with begun(db, agent, clock=clock) as runner:
        sleep(clock, await resting(runner))
        await runner.settled("r")
        await runner.send("r", Job())
        assert (await runner.settled("r")).outcome == "completed"
    assert agent.seen[-1] == (1, None)


async def test_what_is_no_payload_is_tried_again_and_a_refused_call_is_not(db: Path) -> None:
    async def calls_too_often(view: Any) -> Draft:
        for n in range(9):
            await view.call("ring", lambda n: n, n)
        return Draft()

    clock, agent = MovableClock(), Step(None, calls_too_often)
    async with begun(db, agent, clock=clock) as runner:
        sleep(clock, await resting(runner))
        assert (await runner.settled("r")).state == "lost"
        found = records(runner)
    assert [(r.kind, r.event) for r in found[1:]] == [("retried", "PayloadInvalid"), ("ended", "AgentFailed")]
    assert PayloadInvalid.model_validate_json(found[1].body or b"").event == "None"
    assert isinstance(agent.seen[1][1], PayloadInvalid)
    assert AgentFailed.model_validate_json(found[2].body or b"").error_type == CallRefused.__name__


async def test_an_agents_own_mistake_is_not_tried_again(db: Path) -> None:
    async with begun(db, Step(BROKEN)) as runner:
        assert (await runner.settled("r")).state == "lost"
        assert kinds(runner) == ["started", "ended"]
        assert records(runner)[-1].predicates == (("work.retry", False),)


async def test_a_server_that_asks_for_time_gets_it(db: Path) -> None:
    class TooMany(Exception):
        status_code = 429
        headers: ClassVar[Any] = {"Retry-After": "777"}

    clock = MovableClock()
    async with begun(db, Step(TooMany("slow down"), Draft()), clock=clock) as runner:
        assert await resting(runner) == 777_000
        failure = AgentFailed.model_validate_json(records(runner)[1].body or b"")
        assert (failure.status, failure.retry_after_ms) == (429, 777_000)
        clock.advance(776)
        await asyncio.sleep(0.05)
        assert kinds(runner) == ["started", "retried"]
        sleep(clock, 1_000)
        assert (await runner.settled("r")).outcome == "completed"


async def test_one_from_behind_a_call_is_obeyed_as_well(db: Path) -> None:
    class TooMany(Exception):
        status_code = 429
        headers: ClassVar[Any] = {"Retry-After": "777"}

    def ring() -> None:
        raise TooMany("slow down")

    async def asks(view: Any) -> Draft:
        await view.call("ring", ring)
        return Draft()

    clock = MovableClock()
    async with begun(db, Step(asks, Draft()), clock=clock) as runner:
        assert await resting(runner) == 777_000


async def test_a_clock_that_is_set_back_does_not_begin_the_attempt_sooner(db: Path) -> None:
    clock = MovableClock()
    async with begun(db, Step(LOST, Draft()), clock=clock) as runner:
        pause_ms = await resting(runner)
        clock.jump_ms(-500_000)
        sleep(clock, pause_ms)
        await asyncio.sleep(0.05)
        assert kinds(runner) == ["started", "retried"]
        clock.advance(500)
        assert (await runner.settled("r")).outcome == "completed"


async def test_many_runs_that_fail_together_come_back_one_by_one(db: Path) -> None:
    clock = MovableClock()
    bound = Work.with_agents(work=Step(LOST))
    async with running(db, bound, clock=clock) as runner:
        for n in range(30):
            await runner.start(bound, Job(), run_id=f"r{n}")
        await until(lambda: all(live.snapshot.again for live in runner._driver.lives.values()))
        moments = {live.snapshot.again.at_ms for live in runner._driver.lives.values() if live.snapshot.again}
        assert len(moments) > 25


async def test_a_blocking_agent_is_tried_again_too(db: Path) -> None:
    seen: list[int] = []

    def blocks(view: Any) -> Draft:
        seen.append(view.attempt)
        if len(seen) < 3:
            raise TimeoutError("no answer")
        return Draft()

    clock = MovableClock()
    async with begun(db, blocks, clock=clock) as runner:
        await pauses_over(runner, clock, 2)
        assert (await runner.settled("r")).outcome == "completed"
    assert seen == [1, 2, 3]


# -- calls and spending ------------------------------------------------------------------------------


async def test_calls_are_made_again_but_for_those_with_a_key_of_their_own(db: Path) -> None:
    made: list[str] = []

    def effect(name: str) -> str:
        made.append(name)
        return name

    async def calls(view: Any) -> Draft:
        await view.call("plain", effect, "plain")
        await view.call("keyed", effect, "keyed", key="once")
        if view.attempt < 3:
            raise LOST
        return Draft()

    clock = MovableClock()
    async with begun(db, calls, clock=clock) as runner:
        await pauses_over(runner, clock, 2)
        assert (await runner.settled("r")).outcome == "completed"
        rows = [row for row in runner.journal.read.calls(1) if row.kind == "intent"]
    assert made == ["plain", "keyed", "plain", "plain"]
    assert len({row.key for row in rows}) == 4, "a call made again is another call"


async def test_calls_max_is_of_one_attempt(db: Path) -> None:
    async def thrice(view: Any) -> Draft:
        for n in range(3):
            await view.call("ring", lambda n: n, n)
        if view.attempt < 3:
            raise LOST
        return Draft()

    clock = MovableClock()
    async with begun(db, thrice, clock=clock) as runner:
        await pauses_over(runner, clock, 2)
        assert (await runner.settled("r")).outcome == "completed"


async def test_tokens_max_is_of_the_visit_with_all_its_attempts(db: Path) -> None:
    async def spends(view: Any) -> Draft:
        view.spend(tokens=400)
        raise LOST

    clock = MovableClock()
    async with begun(db, spends, clock=clock) as runner:
        await pauses_over(runner, clock, 2)
        await runner.settled("r")
        last = records(runner)[-1]
    failure = AgentFailed.model_validate_json(last.body or b"")
    assert (failure.error_type, last.spent) == ("CallRefused", Spent(400))
    assert "tokens 1200, tokens_max 1000" in failure.message


async def test_a_retry_that_the_machine_refuses_is_not_made(db: Path) -> None:
    class Capped(Work):
        limits = everywhere(LoopCap(1), TokenBudget(500), Deadline(10_000))

    clock = MovableClock()
    async with begun(db, Step(LOST), Capped, clock=clock) as runner:
        sleep(clock, await resting(runner))
        await runner.settled("r")
        last = records(runner)[-1]
    assert (last.hop, last.attempt) == ("broken", 2)
    assert [r.verdict.code for r in last.rulings if r.verdict.decision == "refuse"] == ["loop_cap"]


# -- while it rests ----------------------------------------------------------------------------------


async def test_nobody_is_at_work_and_no_slot_taken(db: Path) -> None:
    clock = MovableClock()
    bound = Work.with_agents(work=Step(LOST, Draft()))
    async with running(db, bound, clock=clock, visits_max=1) as runner:
        await runner.start(bound, Job(), run_id="r")
        await resting(runner)
        await runner.start(bound, Job(), run_id="other")
        assert (await runner.settled("other")).outcome == "completed"
        assert runner.journal.read.run("r").outcome == "running"


async def test_cancel_ends_it_at_once(db: Path) -> None:
    agent = Step(LOST, Draft())
    async with begun(db, agent) as runner:
        await resting(runner)
        assert (await runner.cancel("r")).outcome == "cancelled"
        assert not runner._driver.lives
    assert len(agent.seen) == 1


async def test_an_event_from_outside_that_moves_the_run_ends_the_pause(db: Path) -> None:
    clock, agent = MovableClock(), Step(LOST, Draft())
    async with begun(db, agent, clock=clock) as runner:
        await resting(runner)
        await runner.send("r", Hint())
        assert (await runner.settled("r")).state == "person"
        clock.advance(10_000)
        await asyncio.sleep(0.05)
        assert kinds(runner) == ["started", "retried", "taken"]
        await runner.send("r", Job())
        assert (await runner.settled("r")).outcome == "completed"
    assert agent.seen[-1] == (1, None)


async def test_one_that_is_refused_leaves_the_pause_as_it_is(db: Path) -> None:
    clock, agent = MovableClock(), Step(LOST, Draft())
    async with begun(db, agent, clock=clock) as runner:
        pause_ms = await resting(runner)
        record = await runner.send("r", Job())
        assert record is not None and record.kind == "unhandled"
        clock.advance(pause_ms / 1000 - 1)
        await runner.send("r", Job())
        await asyncio.sleep(0.05)
        assert len(agent.seen) == 1
        sleep(clock, 1_000)
        assert (await runner.settled("r")).outcome == "completed"
    assert [attempt for attempt, _ in agent.seen] == [1, 2]


async def test_an_event_decided_at_the_moment_the_pause_is_over(db: Path) -> None:
    """The next attempt begins while the decision that will overtake it is being written."""
    clock, agent = MovableClock(), Step(LOST, hang)
    bound = Work.with_agents(work=agent)
    journal = Gated(db, "Hint")
    async with running(db, bound, journal=journal, clock=clock) as runner:
        await runner.start(bound, Job(), run_id="r")
        pause_ms = await resting(runner)
        sent = asyncio.create_task(runner.send("r", Hint()))
        await journal.reached.wait()
        sleep(clock, pause_ms)
        await until(lambda: len(agent.seen) == 2)
        journal.gate.set()
        await sent
        assert (await runner.settled("r")).state == "person"
        assert not runner._driver.lives


# -- stops and starts --------------------------------------------------------------------------------


@pytest.mark.parametrize("over", [False, True], ids=["in the pause", "after it"])
async def test_a_stop_in_the_pause_keeps_its_moment_and_its_number(db: Path, over: bool) -> None:
    clock, agent = MovableClock(), Step(LOST)
    async with begun(db, agent, clock=clock) as runner:
        pause_ms = await resting(runner)
        moment = snapshot(runner).again.at_ms
    sleep(clock, pause_ms if over else pause_ms // 2)
    bound = Work.with_agents(work=agent)
    async with running(db, bound, clock=clock) as runner:
        if not over:
            assert snapshot(runner).again.at_ms == moment
            assert snapshot(runner).resumes == 0
            await asyncio.sleep(0.05)
            assert len(agent.seen) == 1
            sleep(clock, pause_ms // 2)
        sleep(clock, await resting(runner, 2))
        assert (await runner.settled("r")).state == "lost"
        found = records(runner)
    assert [r.kind for r in found] == ["started", "retried", "resumed", "retried", "ended"]
    assert len(agent.seen) == 3, "attempts_max, whatever happened in between"
    assert isinstance(agent.seen[1][1], AgentFailed), "the failure is known to the attempt after the restart"
    assert found[-1].rulings[0].verdict.numbers == {"fires": 2, "fires_max": 2}


async def test_a_stop_in_the_second_attempt_goes_on_with_it(db: Path) -> None:
    made: list[str] = []

    async def calls(view: Any) -> Draft:
        await view.call("plain", lambda: made.append("plain"))
        await hang(view)
        return Draft()

    clock, agent = MovableClock(), Step(LOST, calls, calls)
    async with begun(db, agent, clock=clock) as runner:
        sleep(clock, await resting(runner))
        await until(lambda: runner.journal.read.calls(1)[1:])
    async with running(db, Work.with_agents(work=agent), clock=clock) as runner:
        await until(lambda: len(agent.seen) == 3)
        assert snapshot(runner).resumes == 0
        clock.advance(31)
        sleep(clock, await resting(runner, 2))
        await until(lambda: len(agent.seen) == 4)
        clock.advance(31)
        assert (await runner.settled("r")).state == "lost"
    assert made == ["plain", "plain"], "the attempt that went on has its result; the retry asked afresh"
    assert [failure for _, failure in agent.seen[1:3]] == [agent.seen[1][1]] * 2


async def test_a_run_that_is_resumed_by_a_person_after_its_last_attempt_is_not_given_more(db: Path) -> None:
    class Bare(Work):
        broken = None  # type: ignore[assignment]

    clock, agent = MovableClock(), Step(LOST)
    async with begun(db, agent, Bare, clock=clock) as runner:
        await pauses_over(runner, clock, 2)
        assert (await runner.settled("r")).outcome == "stuck"
        await runner.resume("r")
        assert (await runner.settled("r")).outcome == "stuck"
    assert len(agent.seen) == 4


async def test_another_process_leaves_a_resting_run_alone(db: Path) -> None:
    clock, agent = MovableClock(), Step(LOST, Draft())
    async with begun(db, agent, clock=clock) as runner:
        pause_ms = await resting(runner)
        other = Runner(
            SqliteJournal(db, synchronous="OFF"),
            machines=[Work.with_agents(work=agent)],
            clock=clock,
            poll_s=0.01,
            handle_signals=False,
        )
        async with other:
            await asyncio.sleep(0.05)
            assert not other._driver.lives
            record = await other.send("r", Job())
            assert record is not None and record.kind == "unhandled"
            sleep(clock, pause_ms)
            assert (await runner.settled("r")).outcome == "completed"
    assert len(agent.seen) == 2


async def test_a_pause_is_slept_through_on_a_clock_that_nobody_moves(db: Path) -> None:
    class Quick(Work):
        work = Work.work.but(retry=Retry(attempts_max=3, base_s=0.02, cap_s=0.02))

    agent = Step(LOST, LOST, Draft())
    bound = Quick.with_agents(work=agent)
    async with running(db, bound) as runner:
        await runner.start(bound, Job(), run_id="r")
        assert (await runner.settled("r")).outcome == "completed"
        pauses = [(r.until_ms or 0) - r.at_ms for r in records(runner) if r.kind == "retried"]
        began = [r.at_ms for r in records(runner)][2:]
        assert all(10 <= pause <= 20 for pause in pauses)
        assert all(at_ms >= (r.until_ms or 0) for r, at_ms in zip(records(runner)[1:3], began, strict=True))


# -- fallbacks ---------------------------------------------------------------------------------------


class Two(Machine):
    work = State(initial=Job, agent=unbound, timeout_s=30, fallback=unbound)
    person = State()
    done = State(final="completed")
    lost = State(final="failed")
    finish = work.to(done, on=Draft)
    hint = work.to(person, on=Hint)
    late = work.to(person, on=TimedOut)
    broken = any_of(work).to(lost, on=AgentFailed)
    back = person.to(work, on=Job)


def two(machine: type[Machine], agent: Any, fallback: Any) -> type[Machine]:
    return machine.with_agents(**{"work": agent, "work.fallback": fallback})


async def spoils(view: Any) -> Draft:
    view.payload.notes.append("spoiled")
    raise BROKEN


async def test_the_fallback_gets_the_payload_as_it_was_and_what_went_wrong(db: Path) -> None:
    fallback = Step(Draft())
    bound = two(Two, spoils, fallback)
    async with running(db, bound) as runner:
        await runner.start(bound, Job(notes=["one"]), run_id="r")
        assert (await runner.settled("r")).outcome == "completed"
        found = records(runner)
    assert [(r.kind, r.hop, r.state, r.event) for r in found] == [
        ("started", "start", "work", "Job"),
        ("taken", "work.fails", "work.fallback", "AgentFailed"),
        ("ended", "finish", "done", "Draft"),
    ]
    assert fallback.payloads == [Job(notes=["one"])]
    ((attempt, failure),) = fallback.seen
    assert attempt == 1
    assert isinstance(failure, AgentFailed) and (failure.error_type, failure.message) == ("ValueError", "broken")


async def test_a_fallback_that_fails_goes_where_the_state_would_have(db: Path) -> None:
    bound = two(Two, Step(BROKEN), Step(LOST))
    async with running(db, bound) as runner:
        await runner.start(bound, Job(), run_id="r")
        assert (await runner.settled("r")).state == "lost"
        assert [r.hop for r in records(runner)] == ["start", "work.fails", "broken"]


async def test_an_own_line_for_timeouts_comes_first(db: Path) -> None:
    clock, agent = MovableClock(), Step(hang)
    bound = two(Two, agent, Step(Draft()))
    async with running(db, bound, clock=clock) as runner:
        await runner.start(bound, Job(), run_id="r")
        await until(lambda: agent.seen)
        clock.advance(31)
        assert (await runner.settled("r")).state == "person"


async def test_after_all_retries(db: Path) -> None:
    class Both(Two):
        work = Two.work.but(retry=Retry(attempts_max=2, base_s=0, cap_s=0))

    agent, fallback = Step(LOST), Step(LOST)
    bound = two(Both, agent, fallback)
    async with running(db, bound) as runner:
        await runner.start(bound, Job(), run_id="r")
        assert (await runner.settled("r")).state == "lost"
        assert [r.kind for r in records(runner)] == ["started", "retried", "taken", "ended"]
    assert (len(agent.seen), len(fallback.seen)) == (2, 1)
    assert fallback.seen[0][1] is not None


async def test_a_restart_in_the_fallback_gives_it_the_same_again(db: Path) -> None:
    fallback = Step(hang, Draft())
    bound = two(Two, spoils, fallback)
    async with running(db, bound) as runner:
        await runner.start(bound, Job(notes=["one"]), run_id="r")
        await until(lambda: fallback.seen)
    async with running(db, bound) as runner:
        assert (await runner.settled("r")).outcome == "completed"
    assert fallback.payloads == [Job(notes=["one"])] * 2
    (_, first), (attempt, second) = fallback.seen
    assert attempt == 2
    assert first == second is not None


async def test_a_refused_entry_leads_there_with_the_payload_that_came(db: Path) -> None:
    class Once(Two):
        work = Two.work.but(guards=[LoopCap(1)])

    async def tells(view: Any) -> Draft:
        assert view.refusal is not None
        return Draft(text=f"{view.refusal.verdict.code} {view.payload.notes} {view.failure}")

    bound = two(Once, Step(Hint()), tells)
    async with running(db, bound) as runner:
        await runner.start(bound, Job(), run_id="r")
        await runner.settled("r")
        await runner.send("r", Job(notes=["two"]))
        assert (await runner.settled("r")).outcome == "completed"
        found = records(runner)
    assert found[-2].hop == "work.otherwise"
    assert found[-1].body == b'{"text":"loop_cap [\'two\'] None"}'


async def test_a_second_visit_of_the_fallback_has_the_second_payload(db: Path) -> None:
    agent, fallback = Step(BROKEN), Step(Hint(), Draft())
    bound = two(Two, agent, fallback)
    async with running(db, bound) as runner:
        await runner.start(bound, Job(notes=["one"]), run_id="r")
        await runner.settled("r")
        await runner.send("r", Job(notes=["two"]))
        assert (await runner.settled("r")).outcome == "completed"
    assert fallback.payloads == [Job(notes=["one"]), Job(notes=["two"])]


async def test_an_unbound_fallback_is_missing_before_anything_runs(db: Path) -> None:
    bound = Two.with_agents(work=Step(Draft()))
    async with running(db) as runner:
        with pytest.raises(AgentsMissing, match=r"work\.fallback"):
            await runner.start(bound, Job(), run_id="r")


async def test_everything_ends_soundly_when_it_is_cancelled_in_the_fallback(db: Path) -> None:
    fallback = Step(hang)
    bound = two(Two, Step(BROKEN), fallback)
    async with running(db, bound) as runner:
        await runner.start(bound, Job(), run_id="r")
        await until(lambda: fallback.seen)
        assert (await runner.cancel("r", by="mia")).outcome == "cancelled"
        last = records(runner)[-1]
        assert Cancelled.model_validate_json(last.body or b"").by == "mia"
    assert_sound(db, bound)
