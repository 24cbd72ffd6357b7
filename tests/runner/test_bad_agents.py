"""Whatever an agent, a guard, a predicate or `remember` does: one valid record says what happened, and why."""

import asyncio
import contextlib
import inspect
import json
import logging
import math
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from attrs import frozen
from pydantic import BaseModel, field_validator

from fsm import (
    AgentFailed,
    Facts,
    Guard,
    Kind,
    Machine,
    PayloadInvalid,
    Record,
    Run,
    Runner,
    SqliteJournal,
    State,
    TimedOut,
    Verdict,
    allow,
    unbound,
)
from fsm.define.payload import unseal
from fsm.errors import PayloadRefused
from fsm.show.telling import own_words
from fsm.testing import MovableClock, hang, scripted
from tests.helpers import assert_sound, running


class Job(BaseModel):
    task: str


class Done(BaseModel):
    text: str
    score: float = 0.0
    tags: dict[str, int] = {}


class Better(Done):
    """A subclass of a declared payload; the exact class decides."""


class Stranger(BaseModel):
    text: str = "hello"


class Temperamental(BaseModel):
    """Valid when made; its validator fails when the bytes are read back."""

    text: str
    made: ClassVar[int] = 0

    @field_validator("text")
    @classmethod
    def once(cls, text: str) -> str:
        cls.made += 1
        return str(1 / (2 - cls.made)) if cls.made > 1 else text


class Bare(Machine, payload_bytes_max=10_000):
    """No way for anything but success."""

    work = State(initial=Job, agent=unbound, timeout_s=5)
    done = State(final="completed")
    finish = work.to(done, on=(Done, Temperamental))


class Caring(Machine, payload_bytes_max=10_000):
    """A declared way for each thing that goes wrong."""

    work = State(initial=Job, agent=unbound, timeout_s=5)
    done = State(final="completed")
    invalid = State(final="failed")
    broken = State(final="failed")
    late = State(final="failed")
    finish = work.to(done, on=(Done, Temperamental))
    reject = work.to(invalid, on=PayloadInvalid)
    mourn = work.to(broken, on=AgentFailed)
    miss = work.to(late, on=TimedOut)


async def ran(db: Path, machine: type[Machine], agent: Any) -> tuple[Run, Record, Any]:
    """The settled run, its last record, and the payload of that."""
    bound = machine.with_agents(work=agent)
    async with running(db, bound) as runner:
        run = await runner.start(bound, Job(task="a"))
        run = await runner.settled(run.run_id)
        record = runner.journal.read.record(run.key, run.seq)
        assert record.body is not None
        return run, record, bound.spec.classes[record.event].model_validate_json(record.body)


# -- what an agent returns ---------------------------------------------------------------------------


RETURNED: dict[str, tuple[Callable[[], object], str, str]] = {
    "none": (lambda: None, "None", "did it forget `return`? work takes Done or Temperamental"),
    "a string": (lambda: "done", "str", "that is no payload; work takes Done or Temperamental"),
    "a dict that would fit": (lambda: {"text": "x"}, "dict", "that is no payload; work takes Done or Temperamental"),
    "the class itself": (lambda: Done, "ModelMetaclass", "that is no payload; work takes Done or Temperamental"),
    "an undeclared payload": (Stranger, "Stranger", "no transition takes it; work takes Done or Temperamental"),
    "a subclass": (lambda: Better(text="x"), "Better", "no transition takes it; work takes Done or Temperamental"),
    "the starting payload": (lambda: Job(task="a"), "Job", "no transition takes it; work takes Done or Temperamental"),
    "an event of the runtime": (
        lambda: AgentFailed(error_type="E", message="forged", attempt=1),
        "AgentFailed",
        "that is the runtime's own to say; work takes Done or Temperamental",
    ),
    "a field missing": (Done.model_construct, "Done", "text: Field required"),
    "a field of another type": (lambda: Done.model_construct(text=["x"], score=1.0), "Done", "text"),
    "something not JSON": (lambda: Done.model_construct(text=object(), score=1.0), "Done", "serialize unknown type"),
    "nan": (lambda: Done(text="x", score=math.nan), "Done", "score: NaN and infinity are no numbers in JSON"),
    "infinity": (lambda: Done(text="x", score=math.inf), "Done", "score: NaN and infinity are no numbers in JSON"),
    "a lone surrogate": (lambda: Done(text="\ud800"), "Done", "text holds a lone surrogate, which is not UTF-8"),
    "wrong under a very long key": (
        lambda: Done.model_construct(text="x", score=0.0, tags={"k" * 5_000 + str(n): "y" for n in range(20)}),
        "Done",
        "payload_bytes_max is 10000",
    ),
    "wrong under a long key": (
        lambda: Done.model_construct(text="x", score=0.0, tags={"k" * 9_000: "y"}),
        "Done",
        "tags.kkkkk",
    ),
    "50 MB": (lambda: Done(text="x" * 50_000_000), "Done", "50000033 bytes, payload_bytes_max is 10000"),
    "fails when read back": (lambda: Temperamental(text="x"), "Temperamental", "ZeroDivisionError"),
}


@pytest.mark.parametrize("name", RETURNED)
async def test_what_is_no_payload_is_told_and_goes_the_declared_way(db: Path, name: str) -> None:
    made, cls, problem = RETURNED[name]
    Temperamental.made = 0
    run, record, event = await ran(db, Caring, scripted(lambda view: made()))
    assert (run.state, run.outcome, record.hop) == ("invalid", "failed", "reject")
    assert isinstance(event, PayloadInvalid) and event.event == cls
    assert problem in "; ".join(event.problems)
    assert len(event.excerpt) <= 201 and record.body is not None and len(record.body) < 2_000


@pytest.mark.parametrize("name", RETURNED)
async def test_without_a_way_the_run_halts_stuck_and_says_the_same(db: Path, name: str) -> None:
    made, cls, problem = RETURNED[name]
    Temperamental.made = 0
    run, record, event = await ran(db, Bare, scripted(lambda view: made()))
    assert (run.state, run.outcome, record.kind, record.hop) == ("work", "stuck", "halted", "")
    assert isinstance(event, AgentFailed) and event.error_type == "PayloadInvalid"
    assert event.message.startswith(f"the agent returned {cls}: ") and problem in event.message


async def test_a_bound_smaller_than_the_report_of_its_violation(db: Path) -> None:
    """The runtime's own events are not held to the user's bound: a run must always be able to fail."""

    class Tiny(Machine, payload_bytes_max=40):
        work = State(initial=Job, agent=scripted(Done(text="x" * 100)))
        done = State(final="completed")
        invalid = State(final="failed")
        finish = work.to(done, on=Done)
        reject = work.to(invalid, on=PayloadInvalid)

    async with running(db, Tiny) as runner:
        run = await runner.settled((await runner.start(Tiny, Job(task="a"))).run_id)
        assert run.state == "invalid"


# -- what an agent raises ----------------------------------------------------------------------------


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


class Odd(Exception):
    @property
    def retriable(self) -> bool:
        raise ZeroDivisionError


class Alien(BaseException):
    """Neither Exception nor anything the runtime knows."""


RAISED: dict[str, tuple[BaseException, str, str]] = {
    "an exception": (ValueError("no such line"), "ValueError", "no such line"),
    "a very long message": (ValueError("x" * 100_000), "ValueError", "x" * 1_000),
    "an unprintable one": (Unprintable(), "Unprintable", "unprintable: ZeroDivisionError"),
    "a lone surrogate": (ValueError("\ud800!"), "ValueError", "?!"),
    "a property that raises": (Odd("odd"), "Odd", "odd"),
    "system exit": (SystemExit(3), "SystemExit", "3"),
    "its own cancellation": (asyncio.CancelledError(), "CancelledError", "the agent cancelled itself"),
    "a bare BaseException": (Alien("from afar"), "Alien", "from afar"),
    "generator exit": (GeneratorExit(), "GeneratorExit", ""),
    "stop iteration": (StopIteration("over"), "", "StopIteration"),
}


@pytest.mark.parametrize("threaded", [False, True], ids=["async", "sync"])
@pytest.mark.parametrize("name", RAISED)
async def test_what_an_agent_raises_becomes_agent_failed(db: Path, name: str, threaded: bool) -> None:
    error, kind, message = RAISED[name]

    def agent(view: Any) -> Done:
        raise error

    run, record, event = await ran(db, Caring, agent if threaded else scripted(error))
    assert (run.state, record.hop) == ("broken", "mourn")
    assert isinstance(event, AgentFailed) and event.attempt == 1
    assert (kind or event.error_type, event.retriable) == (event.error_type, False)
    assert event.message == message or (not kind and message in event.message)


def line_of(fn: Any, text: str) -> int:
    """Where in this file `text` stands in the source of `fn`."""
    lines, first = inspect.getsourcelines(fn)
    return first + next(number for number, line in enumerate(lines) if text in line)


def choices(body: str) -> Any:
    return json.loads(body)["choices"]


async def asks(view: Any) -> Done:
    return Done(text=choices("{}"))


def misreads(view: Any) -> Done:
    return Done(text=choices("not JSON"))


async def calls(view: Any) -> Done:
    return Done(text=await view.call("choose", choices, "{}"))


async def gives_up(view: Any) -> Done:
    raise asyncio.CancelledError


RAISED_AT = {
    asks: ("KeyError", choices, "json.loads"),
    misreads: ("JSONDecodeError", choices, "json.loads"),
    calls: ("KeyError", calls, "view.call"),
    gives_up: ("CancelledError", gives_up, "raise"),
}


@pytest.mark.parametrize("agent", RAISED_AT, ids=lambda agent: agent.__name__)
async def test_what_failed_names_the_place_in_the_users_own_code(
    db: Path, agent: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Not a line of the standard library or the runtime; the traceback is in the log, for who asks for it."""
    kind, fn, text = RAISED_AT[agent]
    caplog.set_level(logging.DEBUG, "fsm.runner")
    _, record, event = await ran(db, Caring, agent)
    where = f"test_bad_agents.py:{line_of(fn, text)} in {fn.__name__}"
    assert isinstance(event, AgentFailed) and (event.error_type, event.where) == (kind, where)
    assert own_words(record).endswith(f" at {where}")
    logged = [entry for entry in caplog.records if entry.exc_info]
    assert [entry.levelname for entry in logged] == ["DEBUG"] * (agent is not gives_up)


async def test_what_fails_outside_of_the_users_code_names_the_innermost_place(db: Path) -> None:
    _, _, event = await ran(db, Caring, scripted(ValueError("no")))
    assert re.fullmatch(r"testing\.py:\d+ in \w+", event.where)


async def test_a_failure_recorded_before_it_named_a_place_is_still_read() -> None:
    old = b'{"attempt":1,"error_type":"E","message":"m","retriable":false}'
    assert unseal(AgentFailed, old) == AgentFailed(error_type="E", message="m", attempt=1)


@pytest.mark.parametrize("threaded", [False, True], ids=["async", "sync"])
async def test_without_a_way_what_it_raised_halts_the_run(db: Path, threaded: bool) -> None:
    def agent(view: Any) -> Done:
        raise ConnectionResetError("peer went away")

    run, record, event = await ran(db, Bare, agent if threaded else scripted(ConnectionResetError("peer went away")))
    assert (run.outcome, record.kind, record.rulings) == ("stuck", "halted", ())
    assert (event.error_type, event.message) == ("ConnectionResetError", "peer went away")


async def test_an_inner_task_that_is_cancelled_is_the_agents_failure_not_the_runs(db: Path) -> None:
    async def agent(view: Any) -> Done:
        inner = asyncio.create_task(asyncio.sleep(60))
        inner.cancel()
        await inner
        return Done(text="unreachable")

    run, _, event = await ran(db, Caring, agent)
    assert (run.state, event.error_type, event.message) == ("broken", "CancelledError", "the agent cancelled itself")


@pytest.mark.parametrize("then", ["waits", "returns", "swallows"])
async def test_an_agent_that_cancels_its_own_task(db: Path, then: str) -> None:
    """It is the agent's doing, not the end of the run's task; and one that takes it back has changed nothing."""

    async def agent(view: Any) -> Done:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        if then != "returns":
            with contextlib.suppress(*[asyncio.CancelledError] * (then == "swallows")):
                await asyncio.sleep(0)
        return Done(text="well")

    run, _, event = await ran(db, Caring, agent)
    if then == "swallows":
        assert (run.state, event.text) == ("done", "well")
    else:
        assert (run.state, event.error_type, event.message) == (
            "broken",
            "CancelledError",
            "the agent cancelled itself",
        )


async def test_a_plain_function_may_return_an_awaitable(db: Path) -> None:
    async def later() -> Done:
        await asyncio.sleep(0)
        return Done(text=threading.current_thread().name)

    run, _, event = await ran(db, Caring, lambda view: later())
    assert run.state == "done"
    assert event.text == threading.current_thread().name, "the awaitable is awaited on the event loop"


async def test_an_agent_that_blocks_and_then_returns_an_awaitable_that_fails(db: Path) -> None:
    async def later() -> Done:
        raise ValueError("too late")

    run, _, event = await ran(db, Caring, lambda view: later())
    assert (run.state, event.error_type, event.message) == ("broken", "ValueError", "too late")


# -- agents that take too long -----------------------------------------------------------------------


async def late(runner: Runner, clock: MovableClock, run: Run, begun: threading.Event) -> Run:
    """The run after its agent has begun and its time is up."""
    assert await asyncio.to_thread(begun.wait, 5)
    clock.advance(5.1)
    return await runner.settled(run.run_id)


@pytest.mark.parametrize(("machine", "state"), [(Caring, "late"), (Bare, "work")])
async def test_an_agent_that_hangs_is_timed_out(db: Path, machine: type[Machine], state: str) -> None:
    clock, begun = MovableClock(), threading.Event()

    async def agent(view: Any) -> Any:
        begun.set()
        return await hang(view)

    bound = machine.with_agents(work=agent)
    async with running(db, bound, clock=clock) as runner:
        run = await late(runner, clock, await runner.start(bound, Job(task="a")), begun)
        record = runner.journal.read.record(run.key, run.seq)
        assert run.state == state
        if machine is Caring:
            assert (record.event, record.body) == ("TimedOut", b'{"attempt":1,"timeout_ms":5000}')
        else:
            assert (record.event, run.outcome) == ("AgentFailed", "stuck")
            assert record.body is not None and b'"message":"no answer within 5 s"' in record.body


async def test_a_late_result_never_wins(db: Path) -> None:
    """The agent swallows its cancellation and answers afterwards; `TimedOut` stands, and the answer is dropped."""
    clock, begun, release, answered = MovableClock(), threading.Event(), asyncio.Event(), asyncio.Event()

    async def agent(view: Any) -> Done:
        begun.set()
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()
        answered.set()
        return Done(text="late")

    bound = Caring.with_agents(work=agent)
    async with running(db, bound, clock=clock) as runner:
        run = await late(runner, clock, await runner.start(bound, Job(task="a")), begun)
        assert run.state == "late"
        release.set()
        await answered.wait()
        await asyncio.sleep(0)
        assert runner.journal.read.run(run.run_id).seq == run.seq == 1


async def test_an_agent_that_dies_of_its_cancellation_does_not_spoil_the_timeout(db: Path) -> None:
    clock, begun = MovableClock(), threading.Event()

    async def agent(view: Any) -> Done:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("while cleaning up")

    bound = Caring.with_agents(work=agent)
    async with running(db, bound, clock=clock) as runner:
        run = await late(runner, clock, await runner.start(bound, Job(task="a")), begun)
        assert (run.state, run.seq) == ("late", 1)


async def test_a_hung_thread_is_left_behind_and_named_while_other_runs_go_on(db: Path) -> None:
    begun, release, clock = threading.Event(), threading.Event(), MovableClock()

    def agent(view: Any) -> Done:
        if view.payload.task == "hang":
            begun.set()
            release.wait(20)
        return Done(text=view.payload.task)

    bound = Caring.with_agents(work=agent)
    journal = SqliteJournal(db, synchronous="OFF", lease_s=0.4)
    try:
        async with Runner(journal, machines=[bound], clock=clock, poll_s=0.01, handle_signals=False) as runner:
            run = await late(runner, clock, await runner.start(bound, Job(task="hang"), run_id="hung"), begun)
            assert run.state == "late"
            other = await runner.settled((await runner.start(bound, Job(task="well"))).run_id)
            assert other.state == "done"
            assert await hung(runner, clock) == '["hung work"]', "fsm doctor reads it here"
            release.set()
            assert await hung(runner, clock, "[]") == "[]", "it came back"
    finally:
        release.set()
    assert_sound(db, bound)


async def hung(runner: Runner, clock: MovableClock, wanted: str = "") -> str:
    """What the lease row names as left behind; it is written with the next renewals of the lease."""
    for _ in range(500):
        clock.advance(2.6)
        (row,) = runner.journal.read.runners()
        if row.hung == wanted or (not wanted and row.hung != "[]"):
            break
        await asyncio.sleep(0.01)
    return row.hung


def test_a_process_with_a_hung_thread_can_exit(db: Path) -> None:
    program = """
        import asyncio, sys, threading
        from pydantic import BaseModel
        from fsm import Machine, Runner, State, TimedOut

        class Job(BaseModel):
            task: str

        def agent(view) -> Job:
            threading.Event().wait()

        class Hung(Machine):
            work = State(initial=Job, agent=agent, timeout_s=0.05)
            done = State(final="completed")
            late = State(final="failed")
            finish = work.to(done, on=Job)
            miss = work.to(late, on=TimedOut)

        async def main():
            async with Runner(sys.argv[1], machines=[Hung]) as runner:
                run = await runner.start(Hung, Job(task="a"))
                print((await runner.settled(run.run_id)).state)

        asyncio.run(main())
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(db)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "late\n", "")
    assert_sound(db)


# -- guards, predicates, remember --------------------------------------------------------------------


@frozen
class Moody(Guard):
    """A guard that answers with whatever it is told to."""

    kind: ClassVar[Kind] = "data"
    codes: ClassVar[tuple[str, ...]] = ("moody",)
    answer: ClassVar[Callable[[], Any]] = allow

    def check(self, facts: Facts, /) -> Verdict:
        return type(self).answer()  # type: ignore[no-any-return]


def raising() -> Verdict:
    raise KeyError("no such number")


ANSWERS: dict[str, tuple[Callable[[], Any], str]] = {
    "raises": (raising, "KeyError: 'no such number'"),
    "answers nothing": (lambda: None, "TypeError: answered None: no verdict"),
    "answers True": (lambda: True, "TypeError: answered True: no verdict"),
    "answers an undeclared code": (lambda: Verdict("refuse", "whim"), "its codes are moody"),
    "answers an unknown decision": (lambda: Verdict("perhaps", "moody"), "neither allows nor"),  # type: ignore[arg-type]
    "allows with an odd code": (lambda: Verdict("allow", "whim"), "its codes are moody"),
    "defers without a moment": (lambda: Verdict("defer", "moody"), "it defers without a moment"),
    "counts with fractions": (lambda: Verdict("refuse", "moody", {"share": 0.5}), "not whole"),  # type: ignore[dict-item]
    "numbers that are none": (lambda: Verdict("allow", "", {"share": "much"}), "not whole"),  # type: ignore[dict-item]
    "no numbers at all": (lambda: Verdict("allow", "", None), "not whole"),  # type: ignore[arg-type]
    "text that is no UTF-8": (lambda: Verdict("refuse", "moody", text="\ud800"), "its text cannot be stored"),
}


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("way", [True, False], ids=["otherwise", "no way"])
async def test_a_guard_that_fails_refuses_with_guard_error(db: Path, name: str, way: bool, monkeypatch: Any) -> None:
    answer, text = ANSWERS[name]
    monkeypatch.setattr(Moody, "answer", staticmethod(answer))

    class Guarded(Machine):
        work = State(initial=Job, agent=scripted(Done(text="x")))
        done = State(final="completed")
        dropped = State(final="failed")
        finish = work.to(done, on=Done, guards=[Moody()], otherwise=dropped if way else None)

    async with running(db, Guarded) as runner:
        run = await runner.settled((await runner.start(Guarded, Job(task="a"))).run_id)
        record = runner.journal.read.record(run.key, run.seq)
    assert (run.state, run.outcome) == (("dropped", "failed") if way else ("work", "stopped"))
    assert (record.kind, record.hop) == (("ended", "finish.otherwise") if way else ("halted", ""))
    (ruling,) = record.rulings
    assert (ruling.guard, ruling.at, ruling.verdict.code) == ("Moody", "finish", "guard_error")
    assert text in ruling.verdict.text and "Moody on finish refuses (guard_error" in str(ruling)


@pytest.mark.parametrize("way", [True, False], ids=["otherwise", "no way"])
async def test_a_guard_at_the_door_that_raises(db: Path, way: bool, monkeypatch: Any) -> None:
    monkeypatch.setattr(Moody, "answer", staticmethod(raising))

    class Doored(Machine):
        dropped = State(final="failed")
        done = State(final="completed")
        work = State(initial=Job, agent=scripted(Done(text="x")), guards=[Moody()], otherwise=dropped if way else None)
        finish = work.to(done, on=Done)

    async with running(db, Doored) as runner:
        run = await runner.start(Doored, Job(task="a"))
        record = runner.journal.read.record(run.key, 0)
    assert (run.state, run.outcome) == (("dropped", "failed") if way else ("(start)", "stopped"))
    assert record.kind == "started" and record.rulings[0].verdict.code == "guard_error"


def divides(done: Done) -> bool:
    return 1 / len(done.text) > 0


@pytest.mark.parametrize("way", [True, False], ids=["otherwise", "no way"])
async def test_a_predicate_that_raises_refuses_its_transition_and_no_later_one_is_tried(db: Path, way: bool) -> None:
    class Choosing(Machine):
        work = State(initial=Job, agent=scripted(Done(text="")))
        done = State(final="completed")
        dropped = State(final="failed")
        short = work.to(done, on=Done, when=divides, otherwise=dropped if way else None)
        other = work.to(done, on=Done)

    async with running(db, Choosing) as runner:
        run = await runner.settled((await runner.start(Choosing, Job(task="a"))).run_id)
        record = runner.journal.read.record(run.key, run.seq)
    assert (run.state, run.outcome) == (("dropped", "failed") if way else ("work", "stopped"))
    assert record.predicates == (("short", None),)
    (ruling,) = record.rulings
    assert (ruling.guard, ruling.verdict.code) == ("divides", "predicate_error")
    assert ruling.verdict.text == "ZeroDivisionError: division by zero"


class Notes(BaseModel):
    lines: list[str] = []


class Other(BaseModel):
    lines: list[str] = []


def forgets(notes: Notes, done: Done) -> Notes:
    raise LookupError(f"no place for {done.text}")


def mistakes(notes: Notes, done: Done) -> Notes:
    return Other(lines=[done.text])  # type: ignore[return-value]


def rubbish(notes: Notes, done: Done) -> Notes:
    return Notes.model_construct(lines=[math.nan])


def hoards(notes: Notes, done: Done) -> Notes:
    return Notes(lines=[*notes.lines, "x" * 5_000])


REMEMBERING: dict[str, tuple[Callable[[Notes, Done], Notes], str, str]] = {
    "raises": (forgets, "remember_error", "LookupError: no place for x"),
    "wrong type": (mistakes, "remember_error", "mistakes returned Other, not the machine's memory"),
    "invalid content": (rubbish, "remember_error", "lines.0: Input should be a valid string"),
    "too large": (hoards, "memory_full", "5014 bytes, memory_bytes_max is 1000"),
}


@pytest.mark.parametrize("name", REMEMBERING)
@pytest.mark.parametrize("way", [True, False], ids=["otherwise", "no way"])
async def test_memory_that_cannot_be_made_or_kept_refuses_the_transition(db: Path, name: str, way: bool) -> None:
    remember, code, text = REMEMBERING[name]

    class Remembering(Machine, memory=Notes, memory_bytes_max=1_000):
        work = State(initial=Job, agent=scripted(Done(text="x")))
        done = State(final="completed")
        dropped = State(final="failed")
        finish = work.to(done, on=Done, remember=remember, otherwise=dropped if way else None)

    async with running(db, Remembering) as runner:
        run = await runner.settled((await runner.start(Remembering, Job(task="a"))).run_id)
        record = runner.journal.read.record(run.key, run.seq)
    assert (run.state, run.outcome) == (("dropped", "failed") if way else ("work", "stopped"))
    (ruling,) = record.rulings
    assert (ruling.at, ruling.verdict.code, record.memory) == ("finish", code, None)
    assert text in ruling.verdict.text


async def test_remember_at_the_start_that_raises_halts_at_the_door(db: Path) -> None:
    def note(notes: Notes, job: Job) -> Notes:
        raise LookupError("nothing to note")

    class Noting(Machine, memory=Notes):
        work = State(initial=Job, agent=hang, remember=note)
        done = State(final="completed")
        finish = work.to(done, on=Done)

    async with running(db, Noting) as runner:
        run = await runner.start(Noting, Job(task="a"))
        record = runner.journal.read.record(run.key, 0)
    assert (run.state, run.outcome, record.kind) == ("(start)", "stopped", "started")
    assert record.rulings[0].verdict.text == "LookupError: nothing to note"


# -- the starting payload ----------------------------------------------------------------------------


STARTED: dict[str, tuple[Callable[[], Any], str]] = {
    "another class": (lambda: Done(text="x"), "Bare starts with Job; not Done"),
    "a subclass": (lambda: type("Task", (Job,), {})(task="x"), "Bare starts with Job; not Task"),
    "no model": (lambda: {"task": "x"}, "Bare starts with Job; not dict"),
    "constructed without its field": (Job.model_construct, "task: Field required"),
    "constructed with rubbish": (lambda: Job.model_construct(task=7), "task"),
    "a lone surrogate": (lambda: Job(task="\udfff"), "task: text holds a lone surrogate, which is not UTF-8"),
    "too large": (lambda: Job(task="x" * 20_000), "20011 bytes, payload_bytes_max is 10000"),
}


@pytest.mark.parametrize("name", STARTED)
async def test_an_invalid_starting_payload_is_refused_and_nothing_is_written(db: Path, name: str) -> None:
    made, problem = STARTED[name]
    bound = Bare.with_agents(work=hang)
    async with running(db, bound) as runner:
        with pytest.raises(PayloadRefused) as refused:
            await runner.start(bound, made())
        assert runner.journal.read.runs() == []
    text = str(refused.value)
    assert "is not a valid payload:" in text and f"- {problem}" in text
    assert text.endswith("-> correct the payload and send it again; nothing was written")
    assert len(text) < 1_000
