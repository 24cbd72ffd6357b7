"""Calls: what an agent gets back, what the ledger holds, what a refusal does."""

import asyncio
import contextlib
import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from fsm import (
    AgentFailed,
    CallFailed,
    CallRefused,
    Machine,
    PayloadInvalid,
    Run,
    Runner,
    Spent,
    SqliteJournal,
    State,
    TimedOut,
    read_journal,
    unbound,
)
from fsm.define.payload import seal
from fsm.journal.rows import Call
from fsm.testing import MovableClock, scripted
from guards import TokenBudget
from tests.helpers import running


class Job(BaseModel):
    task: str = ""


class Page(BaseModel):
    title: str
    words: int = 0


class Done(BaseModel):
    text: str = ""


class Work(Machine, calls_max=5):
    work = State(initial=Job, agent=unbound, timeout_s=5)
    done = State(final="completed")
    broken = State(final="failed")
    refused = State(final="failed")
    late = State(final="failed")
    finish = work.to(done, on=Done)
    mourn = work.to(broken, on=(AgentFailed, PayloadInvalid))
    forbid = work.to(refused, on=CallRefused)
    miss = work.to(late, on=TimedOut)


async def ran(db: Path, agent: Any, machine: type[Machine] = Work, **options: Any) -> tuple[Run, Any, list[Call]]:
    """The settled run, the payload that settled it, and the call rows."""
    bound = machine.with_agents(work=agent)
    async with running(db, bound, **options) as runner:
        run = await runner.settled((await runner.start(bound, Job(), run_id="r")).run_id)
        return run, event(runner, bound, run), runner.journal.read.calls(run.key)


def event(runner: Runner, machine: type[Machine], run: Run) -> Any:
    record = runner.journal.read.record(run.key, run.seq)
    assert record.body is not None
    return machine.spec.classes[record.event].model_validate_json(record.body)


def both(script: Callable[[Callable[..., Any]], Any]) -> list[Any]:
    """An agent in both kinds: `script(call)` with `call` awaited or not is written once, as a generator."""

    async def on_loop(view: Any) -> Any:
        steps, sent = script(view.call), None
        with contextlib.suppress(StopIteration):
            while True:
                sent = await steps.send(sent)
        return Done(text=str(sent))

    def on_thread(view: Any) -> Any:
        steps, sent = script(view.call_sync), None
        with contextlib.suppress(StopIteration):
            while True:
                sent = steps.send(sent)
        return Done(text=str(sent))

    return [pytest.param(on_loop, id="async"), pytest.param(on_thread, id="sync")]


# -- what comes back ---------------------------------------------------------------------------------


def one_call(fn: Callable[..., Any], *args: Any, **options: Any) -> list[Any]:
    def script(call: Callable[..., Any]) -> Any:
        yield call("fetch", fn, *args, **options)

    return both(script)


@pytest.mark.parametrize("agent", one_call(lambda a, b: (a, {"b": b}), 1, [2]))
async def test_a_result_is_what_the_journal_holds_not_what_the_function_made(db: Path, agent: Any) -> None:
    _, done, rows = await ran(db, agent)
    assert done.text == "[1, {'b': [2]}]", "a tuple comes back as the list that JSON has"
    assert [(row.kind, row.name, row.status, row.body) for row in rows] == [
        ("intent", "fetch", "", b"[1,[2]]"),
        ("outcome", "fetch", "ok", b'[1,{"b":[2]}]'),
    ]
    assert rows[0].key == rows[1].key


@pytest.mark.parametrize("agent", one_call(lambda: Page(title="x", words=3), returns=Page))
async def test_returns_decodes_the_result(db: Path, agent: Any) -> None:
    _, done, rows = await ran(db, agent)
    assert done.text == "title='x' words=3" and rows[1].body == b'{"title":"x","words":3}'


@pytest.mark.parametrize("agent", one_call(lambda: [{"title": "x"}], returns=list[Page]))
async def test_returns_may_be_any_type(db: Path, agent: Any) -> None:
    _, done, _ = await ran(db, agent)
    assert done.text == "[Page(title='x', words=0)]"


@pytest.mark.parametrize("agent", one_call(lambda: {"name": "x"}, returns=Page))
async def test_a_result_of_another_shape_fails_the_attempt_and_stays_on_record(db: Path, agent: Any) -> None:
    run, failed, rows = await ran(db, agent)
    assert (run.state, failed.error_type) == ("broken", "ValidationError")
    assert "title" in failed.message and rows[1].body == b'{"name":"x"}'


async def slow(value: int, idempotency_key: str) -> list[Any]:
    await asyncio.sleep(0)
    return [value, idempotency_key, threading.current_thread() is threading.main_thread()]


def quick(value: int, idempotency_key: str) -> list[Any]:
    return [value, idempotency_key, threading.current_thread() is threading.main_thread()]


class Tool:
    """A callable object; its key is asked for by name."""

    def __call__(self, value: int, *, idempotency_key: str) -> list[Any]:
        return quick(value, idempotency_key)


@pytest.mark.parametrize("fn", [slow, quick, Tool()], ids=["async fn", "sync fn", "object"])
@pytest.mark.parametrize("kind", [0, 1], ids=["async agent", "sync agent"])
async def test_the_function_gets_its_idempotency_key(db: Path, fn: Callable[..., Any], kind: int) -> None:
    _, done, rows = await ran(db, one_call(fn, 7)[kind].values[0])
    assert done.text == str([7, rows[0].key, fn is slow]), "an async fn runs on the event loop, any other beside it"
    assert rows[0].key.startswith("r:0:fetch:") and rows[0].key.endswith(":1")


@pytest.mark.parametrize("agent", one_call(lambda: later()))
async def test_a_plain_function_may_return_an_awaitable(db: Path, agent: Any) -> None:
    _, done, rows = await ran(db, agent)
    assert (done.text, rows[1].body) == ("late", b'"late"')


async def later() -> str:
    return "late"


# -- what goes wrong ---------------------------------------------------------------------------------


class Flaky(Exception):
    retriable = True


class Unprintable(Exception):
    retriable = property(lambda self: 1 / 0)

    def __str__(self) -> str:
        raise ZeroDivisionError


def fails(error: BaseException) -> Callable[[], Any]:
    def fn() -> Any:
        raise error

    return fn


FAILURES: dict[str, tuple[BaseException, CallFailed]] = {
    "final": (ValueError("no"), CallFailed(name="fetch", type="ValueError", text="no", retriable=False)),
    "by its class": (
        ConnectionResetError("gone"),
        CallFailed(name="fetch", type="ConnectionResetError", text="gone", retriable=True),
    ),
    "by its word": (Flaky("maybe"), CallFailed(name="fetch", type="Flaky", text="maybe", retriable=True)),
    "system exit": (SystemExit(2), CallFailed(name="fetch", type="SystemExit", text="2", retriable=False)),
    "surrogates": (ValueError("\ud800"), CallFailed(name="fetch", type="ValueError", text="?", retriable=False)),
    "unprintable": (
        Unprintable(),
        CallFailed(name="fetch", type="Unprintable", text="unprintable: ZeroDivisionError", retriable=False),
    ),
    "very long": (
        ValueError("x" * 9_999),
        CallFailed(name="fetch", type="ValueError", text="x" * 2_000, retriable=False),
    ),
    "cancelled": (
        asyncio.CancelledError(),
        CallFailed(name="fetch", type="CancelledError", text="", retriable=False),
    ),
}


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_failure_is_call_failed_with_its_facts(db: Path, name: str, kind: str) -> None:
    error, expected = FAILURES[name]
    caught: list[CallFailed] = []

    async def on_loop(view: Any) -> Done:
        try:
            await view.call("fetch", fails(error))
        except CallFailed as failed:
            caught.append(failed)
        return Done()

    def on_thread(view: Any) -> Done:
        try:
            view.call_sync("fetch", fails(error))
        except CallFailed as failed:
            caught.append(failed)
        return Done()

    run, _, rows = await ran(db, on_loop if kind == "async" else on_thread)
    assert run.state == "done" and [row.status for row in rows] == ["", "failed"]
    (failed,) = caught
    facts = (failed.name, failed.type, failed.text, failed.retriable)
    assert facts == (expected.name, expected.type, expected.text, expected.retriable)
    again = "may succeed if tried again" if failed.retriable else "will not succeed by trying again"
    assert str(failed) == f"call 'fetch' failed with {failed.type}: {failed.text} ({again})"


async def test_an_uncaught_failure_is_the_agents(db: Path) -> None:
    run, failed, _ = await ran(db, one_call(fails(ConnectionResetError("gone")))[0].values[0])
    assert run.state == "broken"
    assert (failed.error_type, failed.message, failed.retriable) == ("ConnectionResetError", "call 'fetch': gone", True)


UNFIT: dict[str, Any] = {
    "an object": object(),
    "a set": {1},
    "nan": math.nan,
    "a surrogate": "\ud800",
    "bytes": b"x",
    "keys of two kinds": {1: 1, "a": 2},
}


@pytest.mark.parametrize("name", UNFIT)
@pytest.mark.parametrize("kind", [0, 1], ids=["async", "sync"])
async def test_arguments_that_are_not_json_are_refused_before_anything_happens(db: Path, name: str, kind: int) -> None:
    made: list[Any] = []
    run, failed, rows = await ran(db, one_call(made.append, UNFIT[name])[kind].values[0])
    assert (run.state, failed.error_type, rows, made) == ("broken", "TypeError", [], [])
    assert failed.message.startswith("the arguments of call 'fetch' are not JSON data: ")


@pytest.mark.parametrize("name", UNFIT)
@pytest.mark.parametrize("kind", [0, 1], ids=["async", "sync"])
async def test_a_result_that_is_not_json_is_a_failed_call(db: Path, name: str, kind: int) -> None:
    run, failed, rows = await ran(db, one_call(lambda: UNFIT[name])[kind].values[0])
    assert (run.state, failed.error_type) == ("broken", "TypeError")
    assert failed.message.startswith("call 'fetch': its result is not JSON data: ")
    assert [row.status for row in rows] == ["", "failed"]


def endless() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


async def test_data_that_contains_itself_is_not_json(db: Path) -> None:
    run, failed, _ = await ran(db, one_call(endless)[0].values[0])
    assert (run.state, failed.error_type) == ("broken", "TypeError")
    assert "its result is not JSON data" in failed.message


@pytest.mark.parametrize("swallows", [False, True], ids=["cancellable", "swallows cancellation"])
@pytest.mark.parametrize("kind", ["async", "sync", "blocking fn"])
async def test_a_calls_own_timeout(db: Path, kind: str, swallows: bool) -> None:
    """It is over when it says, also when the function does not let itself be stopped."""
    release = threading.Event()

    async def fn() -> None:
        while not release.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                if not swallows:
                    raise

    def block() -> None:
        release.wait(5)

    async def on_loop(view: Any) -> Done:
        try:
            return Done(text=await view.call("fetch", block if kind == "blocking fn" else fn, timeout_s=0.05))
        except CallFailed as failed:
            return Done(text=f"{failed.type}: {failed.text}, {failed.retriable}")

    def on_thread(view: Any) -> Done:
        try:
            return Done(text=view.call_sync("fetch", fn, timeout_s=0.05))
        except CallFailed as failed:
            return Done(text=f"{failed.type}: {failed.text}, {failed.retriable}")

    begun = asyncio.get_running_loop().time()
    try:
        _, done, rows = await ran(db, on_thread if kind == "sync" else on_loop)
        assert done.text == "TimeoutError: no answer within 0.05 s, True"
        assert [row.status for row in rows] == ["", "failed"]
        assert asyncio.get_running_loop().time() - begun < 4
    finally:
        release.set()


async def test_call_sync_in_an_async_agent_is_refused_clearly(db: Path) -> None:
    async def agent(view: Any) -> Done:
        return Done(text=view.call_sync("fetch", len, [1]))

    run, failed, rows = await ran(db, agent)
    assert (run.state, failed.error_type, rows) == ("broken", "RuntimeError", [])
    assert failed.message == "call_sync in an async agent would block every run\n  -> await view.call(...)"


# -- names and numbers -------------------------------------------------------------------------------


async def test_equal_calls_are_numbered_and_others_are_not_disturbed(db: Path) -> None:
    async def agent(view: Any) -> Done:
        for word in ("a", "b", "a", "a"):
            await view.call("fetch", str.upper, word)
        await view.call("ask", str.upper, "a")
        return Done()

    _, _, rows = await ran(db, agent)
    keys = [row.key.split(":") for row in rows if row.kind == "intent"]
    assert [(name, number) for _, _, name, _, number in keys] == [
        ("fetch", "1"),
        ("fetch", "1"),
        ("fetch", "2"),
        ("fetch", "3"),
        ("ask", "1"),
    ]
    assert keys[0][3] == keys[2][3] != keys[1][3]
    assert len({row.key for row in rows}) == 5


async def test_calls_at_once(db: Path) -> None:
    meeting = asyncio.Barrier(3)

    async def fn(word: str) -> str:
        await meeting.wait()
        return word.upper()

    async def agent(view: Any) -> Done:
        words = await asyncio.gather(*(view.call("fetch", fn, word) for word in "aba"))
        return Done(text="".join(words))

    _, done, rows = await ran(db, agent)
    assert done.text == "ABA" and len({row.key for row in rows}) == 3
    assert [row.kind for row in rows] == ["intent"] * 3 + ["outcome"] * 3


class Stray(BaseModel):
    """Taken nowhere but at the end."""


class Again(Machine):
    """A visit that is repeated by a declared transition: a retry, which wants fresh answers."""

    work = State(initial=Job, agent=unbound)
    done = State(final="completed")
    person = State()
    finish = work.to(done, on=Done)
    retry = work.to(work, on=Job)
    ask = work.to(person, on=TimedOut)
    close = person.to(done, on=Stray)


@pytest.mark.parametrize(("key", "made", "texts"), [(None, 2, "12"), ("order 7", 1, "11")], ids=["plain", "keyed"])
async def test_a_retry_calls_again_unless_the_user_keyed_the_call(
    db: Path, key: str | None, made: int, texts: str
) -> None:
    calls: list[str] = []

    def fn(idempotency_key: str) -> int:
        calls.append(idempotency_key)
        return len(calls)

    async def agent(view: Any) -> BaseModel:
        answer = await view.call("buy", fn, key=key)
        return Job(task=str(answer)) if view.visit == 1 else Done(text=f"{view.payload.task}{answer}")

    _, done, rows = await ran(db, agent, Again)
    assert (len(calls), len(set(calls)), done.text) == (made, made, texts)
    assert key is None or rows[0].key == "r:buy:order 7"


async def test_a_keyed_call_that_failed_is_made_again(db: Path) -> None:
    answers = iter([ValueError("busy"), None])

    def fn() -> str:
        error = next(answers)
        if error is not None:
            raise error
        return "bought"

    async def agent(view: Any) -> BaseModel:
        try:
            return Done(text=await view.call("buy", fn, key="7"))
        except CallFailed:
            return Job()

    _, done, rows = await ran(db, agent, Again)
    assert done.text == "bought" and [row.status for row in rows] == ["", "failed", "", "ok"]
    assert {row.key for row in rows} == {"r:buy:7"}


async def test_a_key_stands_for_one_set_of_arguments(db: Path) -> None:
    async def agent(view: Any) -> Done:
        await view.call("buy", str.upper, "one", key="7")
        return Done(text=await view.call("buy", str.upper, "two", key="7"))

    run, failed, rows = await ran(db, agent)
    assert (run.state, failed.error_type, len(rows)) == ("broken", "ValueError", 2)
    assert failed.message.startswith("key '7' of call 'buy' already stands for other arguments")


# -- refused calls -----------------------------------------------------------------------------------


async def test_beyond_calls_max_the_visit_ends_refused(db: Path) -> None:
    async def agent(view: Any) -> Done:
        for number in range(9):
            await view.call("fetch", str, number)
        return Done()

    run, refused, rows = await ran(db, agent)
    assert (run.state, len(rows)) == ("refused", 10)
    assert refused == CallRefused(call="fetch", code="calls_max", numbers={"calls": 5, "calls_max": 5}, attempt=1)


async def swallows(view: Any) -> Done:
    for number in range(9):
        with contextlib.suppress(BaseException):
            await view.call("fetch", str, number)
    return Done(text="as if nothing had happened")


def blocks(view: Any) -> Done:
    for number in range(9):
        with contextlib.suppress(BaseException):
            view.call_sync("fetch", str, number)
    return Done(text="as if nothing had happened")


@pytest.mark.parametrize("agent", [swallows, blocks], ids=["async", "sync"])
async def test_a_refusal_cannot_be_swallowed(db: Path, agent: Any) -> None:
    run, refused, rows = await ran(db, agent)
    assert (run.state, refused.code, len(rows)) == ("refused", "calls_max", 10)


async def test_a_refusal_ends_the_visit_at_once_whatever_the_agent_does_then(db: Path) -> None:
    """It neither has to return nor to let itself be cancelled; its clock does not even have to move."""
    free = asyncio.Event()

    async def agent(view: Any) -> Done:
        while not free.is_set():
            with contextlib.suppress(BaseException):
                await view.call("fetch", str, 1)
        return Done()

    bound = Work.with_agents(work=agent)
    async with running(db, bound, clock=MovableClock()) as runner:
        run = await runner.settled((await runner.start(bound, Job())).run_id)
        assert run.state == "refused"
        free.set()


async def test_a_refusal_nobody_handles_halts_stuck(db: Path) -> None:
    class Bare(Machine, calls_max=0):
        work = State(initial=Job, agent=swallows)
        done = State(final="completed")
        finish = work.to(done, on=Done)

    run, failed, _ = await ran(db, swallows, Bare)
    assert (run.state, run.outcome, failed.error_type) == ("work", "stuck", "CallRefused")
    assert failed.message == "call 'fetch' refused: calls_max (calls 0, calls_max 0)"


async def test_a_call_after_the_attempt_is_over_does_nothing(db: Path) -> None:
    clock, begun, release = MovableClock(), asyncio.Event(), asyncio.Event()
    made: list[int] = []
    ended: list[BaseException] = []

    async def agent(view: Any) -> Done:
        begun.set()
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()
        try:
            await view.call("fetch", made.append, 1)
        except BaseException as over:
            ended.append(over)
            raise
        return Done()

    bound = Work.with_agents(work=agent)
    async with running(db, bound, clock=clock) as runner:
        run = await runner.start(bound, Job())
        await begun.wait()
        clock.advance(6)
        run = await runner.settled(run.run_id)
        release.set()
        while not ended:
            await asyncio.sleep(0)
        assert (run.state, made, runner.journal.read.calls(run.key)) == ("late", [], [])
    assert not isinstance(ended[0], Exception), "an agent's `except Exception` does not swallow it"


async def test_the_outcome_of_a_call_that_outlived_its_visit_is_kept_as_evidence(db: Path) -> None:
    clock, begun, release = MovableClock(), threading.Event(), threading.Event()

    def fn() -> str:
        begun.set()
        release.wait(5)
        return "charged"

    def agent(view: Any) -> Done:
        return Done(text=view.call_sync("charge", fn))

    class Late(Machine):
        work = State(initial=Job, agent=agent, timeout_s=5)
        wait = State()
        done = State(final="completed")
        finish = work.to(done, on=Done)
        miss = work.to(wait, on=TimedOut)
        close = wait.to(done, on=Done)

    async with running(db, Late, clock=clock) as runner:
        run = await runner.start(Late, Job())
        assert await asyncio.to_thread(begun.wait, 5)
        clock.advance(6)
        run = await runner.settled(run.run_id)
        release.set()
        while len(runner.journal.read.calls(run.key)) < 2:
            await asyncio.sleep(0.01)
        row = runner.journal.read.calls(run.key)[1]
        assert (row.kind, row.status, row.body, row.seq, row.entered) == ("outcome", "ok", b'"charged"', 1, 0)
        await runner.send(run.run_id, Done())
        assert runner.journal.read.run(run.run_id).outcome == "completed"


# -- after a loss ------------------------------------------------------------------------------------


async def test_unsure_refuse_is_not_made_again_after_a_loss(db: Path) -> None:
    """The process died, as far as anybody knows, while the call was under way."""
    made: list[str] = []
    begun = asyncio.Event()

    async def charge(idempotency_key: str) -> str:
        made.append(idempotency_key)
        begun.set()
        await asyncio.Event().wait()
        return "unreachable"

    async def agent(view: Any) -> Done:
        await view.call("look", str, 1)
        return Done(text=await view.call("charge", charge, unsure="refuse"))

    bound = Work.with_agents(work=agent)
    async with running(db, bound) as runner:
        await runner.start(bound, Job(), run_id="r")
        await begun.wait()
    async with running(db, bound) as runner:
        run = await runner.settled("r")
        rows = runner.journal.read.calls(run.key)
        assert event(runner, bound, run) == CallRefused(
            call="charge", code="unsure", numbers={"attempts": 1}, attempt=2
        )
    assert (run.state, len(made)) == ("refused", 1)
    assert [(row.name, row.kind) for row in rows] == [("look", "intent"), ("look", "outcome"), ("charge", "intent")]


async def test_finished_calls_are_not_made_again_after_a_loss_the_one_in_flight_is_under_its_key(db: Path) -> None:
    made: list[str] = []
    begun = asyncio.Event()

    async def fn(number: int, idempotency_key: str) -> str:
        made.append(idempotency_key)
        if number == 2 and len(made) == 2:
            begun.set()
            await asyncio.Event().wait()
        return f"answer {number}"

    async def agent(view: Any) -> Done:
        return Done(text=", ".join([await view.call("ask", fn, number) for number in (1, 2)]))

    bound = Work.with_agents(work=agent)
    async with running(db, bound) as runner:
        await runner.start(bound, Job(), run_id="r")
        await begun.wait()
    async with running(db, bound) as runner:
        run = await runner.settled("r")
        assert event(runner, bound, run) == Done(text="answer 1, answer 2")
    assert made[1] == made[2] != made[0] and len(made) == 3


# -- spending ----------------------------------------------------------------------------------------


async def spent(db: Path, agent: Any, machine: type[Machine] = Work, **options: Any) -> tuple[Run, Spent, list[Spent]]:
    """The settled run, what its records say was spent, and what each call row does."""
    bound = machine.with_agents(work=agent)
    async with running(db, bound, **options) as runner:
        run = await runner.settled((await runner.start(bound, Job(), run_id="r")).run_id)
        total = sum((record.spent for record in runner.journal.read.records(run.key)), Spent())
        return run, total, [row.spent for row in runner.journal.read.calls(run.key)]


async def test_spending_rides_on_the_next_call_and_counts_once_in_the_record(db: Path) -> None:
    async def agent(view: Any) -> Done:
        view.spend(tokens=1, usd_micros=10)
        await view.call("fetch", str, 1)
        view.spend(tokens=2)
        await view.call("fetch", str, 2)
        view.spend(usd_micros=5)
        return Done()

    _, total, rows = await spent(db, agent)
    assert rows == [Spent(1, 10), Spent(), Spent(2, 0), Spent()]
    assert total == Spent(3, 15)


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1)], ids=["raises", "exits"])
async def test_spending_of_an_attempt_that_fails_is_recorded(db: Path, error: BaseException) -> None:
    def fail(view: Any) -> Any:
        view.spend(tokens=7)
        raise error

    run, total, _ = await spent(db, scripted(fail))
    assert (run.state, total) == ("broken", Spent(7))


async def test_spending_of_an_attempt_that_timed_out_is_recorded_and_later_spending_is_not(db: Path) -> None:
    clock, begun, release = MovableClock(), asyncio.Event(), asyncio.Event()

    async def agent(view: Any) -> Done:
        view.spend(tokens=7)
        begun.set()
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()
        view.spend(tokens=100)
        return Done()

    bound = Work.with_agents(work=agent)
    async with running(db, bound, clock=clock) as runner:
        run = await runner.start(bound, Job())
        await begun.wait()
        clock.advance(6)
        run = await runner.settled(run.run_id)
        release.set()
        await asyncio.sleep(0.05)
        assert runner.journal.read.record(run.key, run.seq).spent == Spent(7)
        assert (run.state, runner.journal.read.run(run.run_id).seq) == ("late", 1)


async def test_spending_of_an_attempt_cut_off_by_a_stop_is_recorded_once(db: Path) -> None:
    begun = asyncio.Event()
    ways = iter([True, False])

    async def agent(view: Any) -> Done:
        view.spend(tokens=7)
        if next(ways):
            begun.set()
            await asyncio.Event().wait()
        return Done()

    bound = Work.with_agents(work=agent)
    async with running(db, bound) as runner:
        await runner.start(bound, Job(), run_id="r")
        await begun.wait()
    async with running(db, bound) as runner:
        run = await runner.settled("r")
        records = list(runner.journal.read.records(run.key))
    assert [(record.kind, record.spent.tokens) for record in records] == [("started", 0), ("resumed", 7), ("ended", 0)]


async def test_spending_is_not_lost_with_an_event_that_is_only_counted(db: Path) -> None:
    working, go = asyncio.Event(), asyncio.Event()

    async def agent(view: Any) -> Done:
        view.spend(tokens=7)
        working.set()
        await go.wait()
        return Done()

    class Deaf(Machine, refusals_max=0):
        work = State(initial=Job, agent=agent)
        wait = State()
        done = State(final="completed")
        finish = work.to(wait, on=Done)
        close = wait.to(done, on=Page)

    async with running(db, Deaf) as runner:
        run = await runner.start(Deaf, Job(), run_id="r")
        await working.wait()
        assert await runner.send("r", Page(title="x")) is None
        go.set()
        await runner.settled("r")
        assert runner.journal.read.record(run.key, 1).spent == Spent(7)


async def test_spending_in_a_record_that_was_in_flight_at_the_stop_is_not_booked_again(db: Path) -> None:
    class Slow(SqliteJournal):
        committed = asyncio.Event()

        async def decide(self, *args: Any, **options: Any) -> Any:
            result = await super().decide(*args, **options)
            self.committed.set()
            await asyncio.sleep(0.05)
            return result

    working = asyncio.Event()

    async def agent(view: Any) -> Done:
        view.spend(tokens=7)
        working.set()
        await asyncio.Event().wait()
        return Done()

    bound, journal = Again.with_agents(work=agent), Slow(db, synchronous="OFF")
    async with running(db, bound, journal=journal) as runner:
        run = await runner.start(bound, Job(), run_id="r")
        await working.wait()
        await journal.post("r", "stray", seal(Stray(), 1_000), 0, 10)  # as another process does; the runner will look
        await journal.committed.wait()
    reader = read_journal(db)
    assert [record.spent.tokens for record in reader.records(run.key)] == [0, 7]
    assert [row.spent.tokens for row in reader.calls(run.key)] == []
    reader.close()


async def test_a_bad_amount_is_the_agents_error(db: Path) -> None:
    def spend(view: Any) -> Done:
        view.spend(tokens=1.5)
        return Done()

    run, failed, _ = await ran(db, scripted(spend))
    assert (run.state, failed.message) == ("broken", "spend(tokens=1.5): give a whole number, 0 or more")


async def test_remaining_tells_what_declared_caps_leave(db: Path) -> None:
    class Capped(Machine):
        work = State(initial=Job, agent=unbound)
        done = State(final="completed")
        over = State(final="failed")
        finish = work.to(done, on=Done)
        again = work.to(work, on=Job, guards=[TokenBudget(100)], otherwise=over)

    seen: list[Any] = []

    async def agent(view: Any) -> Job:
        seen.append(dict(view.remaining))
        view.spend(tokens=40)
        seen.append(dict(view.remaining))
        return Job()

    run, total, _ = await spent(db, agent, Capped)
    assert (run.state, total) == ("over", Spent(120))
    assert len(seen) == 6
