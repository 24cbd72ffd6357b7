"""The runner itself: waiting for runs, bounds, taking runs up again, changed machines, stopping."""

import asyncio
import contextlib
import logging
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import fsm
from fsm import Machine, Record, Run, Runner, SqliteJournal, State, any_of, unbound
from fsm.errors import (
    AgentsMissing,
    Fenced,
    MachineChanged,
    MachineUnknown,
    NotResumable,
    RunnerStopped,
)
from fsm.testing import MovableClock, hang, scripted
from guards import LoopCap
from tests.helpers import assert_sound, running


class Job(BaseModel):
    task: str = ""


class Draft(BaseModel):
    text: str = ""


class Approval(BaseModel):
    by: str = ""


class Desk(Machine):
    draft = State(initial=Job, agent=unbound)
    person = State()
    done = State(final="completed")
    written = draft.to(person, on=Draft)
    accept = person.to(done, on=Approval)


class Line(Machine):
    """Straight to the end."""

    work = State(initial=Job, agent=unbound)
    done = State(final="completed")
    finish = work.to(done, on=Draft)


def kinds(runner: Runner, run_id: str = "r") -> list[str]:
    return [record.kind for record in runner.journal.read.records(runner.journal.read.run(run_id).key)]


def waits(task: "asyncio.Task[Any]") -> bool:
    return not task.done()


# -- waiting -----------------------------------------------------------------------------------------


async def test_settled_finished_and_idle(db: Path) -> None:
    go = asyncio.Event()

    async def agent(view: Any) -> Draft:
        await go.wait()
        return Draft()

    machine = Desk.with_agents(draft=agent)
    async with running(db, machine) as runner:
        await runner.idle()
        await runner.start(machine, Job(), run_id="r")
        settled, finished = asyncio.create_task(runner.settled("r")), asyncio.create_task(runner.finished("r"))
        idle = asyncio.create_task(runner.idle())
        await asyncio.sleep(0.05)
        assert waits(settled) and waits(finished) and waits(idle)
        go.set()
        assert (await settled).outcome == "waiting"
        await idle
        await asyncio.sleep(0.05)
        assert waits(finished)
        await runner.send("r", Approval())
        assert (await finished).outcome == "completed"
        assert (await runner.settled("r")) == (await runner.finished("r"))


async def test_one_that_gives_up_waiting_does_not_disturb_the_others(db: Path) -> None:
    go = asyncio.Event()

    async def agent(view: Any) -> Draft:
        await go.wait()
        return Draft()

    machine = Line.with_agents(work=agent)
    async with running(db, machine) as runner:
        await runner.start(machine, Job(), run_id="r")
        other = asyncio.create_task(runner.settled("r"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(runner.settled("r"), 0.02)
        go.set()
        assert (await other).outcome == "completed"


async def test_observers_hear_of_every_record_and_one_that_fails_undoes_nothing(
    db: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[tuple[str, str, int, str]] = []

    def fails(run: Run, record: Record) -> None:
        raise ValueError("cannot draw this")

    def listens(run: Run, record: Record) -> None:
        heard.append((record.kind, run.state, run.seq, run.outcome))

    machine = Desk.with_agents(draft=scripted(Draft()))
    async with running(db, machine, observers=[fails, listens]) as runner:
        await runner.settled((await runner.start(machine, Job(), run_id="r")).run_id)
        await runner.send("r", Draft())
        await runner.send("r", Approval())
    assert heard == [
        ("started", "draft", 0, "running"),
        ("taken", "person", 1, "waiting"),
        ("unhandled", "person", 2, "waiting"),
        ("ended", "done", 3, "completed"),
    ]
    told = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage() for record in told] == [f"an observer failed at r record {seq}" for seq in range(4)]


# -- bounds ------------------------------------------------------------------------------------------


async def test_never_more_than_visits_max_agents_at_once(db: Path) -> None:
    at_work = most = 0
    full = asyncio.Event()

    async def agent(view: Any) -> BaseModel:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        if at_work == 5:
            full.set()
        await full.wait()
        await asyncio.sleep(0.002)
        at_work -= 1
        return Draft() if view.visit == 2 else Job()

    class Twice(Machine):
        work = State(initial=Job, agent=agent)
        done = State(final="completed")
        again = work.to(work, on=Job)
        finish = work.to(done, on=Draft)

    async with running(db, Twice, visits_max=5) as runner:
        for number in range(50):
            await runner.start(Twice, Job(), run_id=str(number))
        await runner.idle()
        assert {run.outcome for run in runner.journal.read.runs()} == {"completed"}
    assert most == 5


async def test_slots_of_visits_that_were_cut_off_are_free_again(db: Path) -> None:
    """Timed out, cancelled, overtaken, failed: each gives its slot back exactly once."""

    class Mixed(Machine):
        work = State(initial=Job, agent=unbound, timeout_s=5)
        person = State()
        done = State(final="completed")
        finish = work.to(done, on=Draft)
        hurry = work.to(person, on=Approval)
        accept = person.to(done, on=Approval)

    clock, meeting, at_work, most = MovableClock(), asyncio.Barrier(2), 0, 0

    async def agent(view: Any) -> Any:
        nonlocal at_work, most
        match view.payload.task:
            case "hang" | "cancel" | "hurry":
                return await hang(view)
            case "fail":
                raise ValueError("no")
            case "meet":
                at_work += 1
                most = max(most, at_work)
                await meeting.wait()
                at_work -= 1
        return Draft()

    machine = Mixed.with_agents(work=agent)
    async with running(db, machine, clock=clock, visits_max=2) as runner:
        for number in range(3):
            for task in ("hang", "cancel", "hurry", "fail", "well"):
                await runner.start(machine, Job(task=task), run_id=f"{task}{number}")
            await runner.cancel(f"cancel{number}")
            await runner.send(f"hurry{number}", Approval())
        idle = asyncio.create_task(runner.idle())
        while not idle.done():
            clock.advance(1)
            await asyncio.sleep(0.01)
        outcomes = {run.run_id: run.outcome for run in runner.journal.read.runs()}
        for number in range(6):
            await runner.start(machine, Job(task="meet"), run_id=f"meet{number}")
        await runner.idle()
    expected = {"hang": "stuck", "cancel": "cancelled", "hurry": "waiting", "fail": "stuck", "well": "completed"}
    assert outcomes == {f"{task}{number}": outcome for task, outcome in expected.items() for number in range(3)}
    assert most == 2


async def test_never_more_than_sync_threads_max_threads(db: Path) -> None:
    lock, full, at_work, most = threading.Lock(), threading.Event(), 0, 0

    def agent(view: Any) -> Draft:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
            if at_work == 3:
                full.set()
        full.wait(60)
        time.sleep(0.005)
        with lock:
            at_work -= 1
        return Draft()

    machine = Line.with_agents(work=agent)
    async with running(db, machine, sync_threads_max=3) as runner:
        for number in range(20):
            await runner.start(machine, Job(), run_id=str(number))
        await runner.idle()
        assert {run.outcome for run in runner.journal.read.runs()} == {"completed"}
    assert most == 3


async def test_a_thread_is_there_for_every_agent_up_to_the_bound(db: Path) -> None:
    """All of them have to be at work at the same time, or none goes on."""
    meeting = threading.Barrier(8)

    def agent(view: Any) -> Draft:
        meeting.wait(5)
        return Draft()

    machine = Line.with_agents(work=agent)
    async with running(db, machine, sync_threads_max=8) as runner:
        for number in range(24):
            await runner.start(machine, Job(), run_id=str(number))
        await runner.idle()
        assert {run.outcome for run in runner.journal.read.runs()} == {"completed"}


async def test_an_agent_that_was_cut_off_before_it_got_a_thread_never_begins(db: Path) -> None:
    begun, release = threading.Event(), threading.Event()
    worked: list[str] = []

    def agent(view: Any) -> Draft:
        worked.append(view.run_id)
        begun.set()
        release.wait(10)
        return Draft()

    machine = Line.with_agents(work=agent)
    async with running(db, machine, sync_threads_max=1) as runner:
        await runner.start(machine, Job(), run_id="first")
        assert await asyncio.to_thread(begun.wait, 5)
        for run_id in ("cut", "last"):
            await runner.start(machine, Job(), run_id=run_id)
        await asyncio.sleep(0.02)
        await runner.cancel("cut")
        release.set()
        assert (await runner.settled("last")).outcome == "completed"
    assert worked == ["first", "last"]


@pytest.mark.parametrize("bound", ["visits_max", "sync_threads_max", "poll_s"])
def test_a_bound_with_which_nothing_would_move_is_refused(db: Path, bound: str) -> None:
    with pytest.raises(ValueError, match=f"{bound}=0: give (at least 1|seconds, more than 0)"):
        Runner(db, **{bound: 0})  # type: ignore[arg-type]
    assert not db.exists(), "before the file is touched"


# -- taking runs up again ----------------------------------------------------------------------------


async def test_what_a_stopped_runner_released_the_next_one_takes_up(db: Path) -> None:
    begun: list[tuple[str, int]] = []
    ready = asyncio.Event()

    async def agent(view: Any) -> Draft:
        begun.append((view.run_id, view.attempt))
        ready.set()
        if view.attempt == 1:
            await hang(view)
        return Draft(text=view.payload.task)

    machine = Line.with_agents(work=agent)
    async with running(db, machine) as runner:
        for run_id in ("a", "b"):
            await runner.start(machine, Job(task=run_id), run_id=run_id)
        await ready.wait()
        while len(begun) < 2:
            await asyncio.sleep(0)
    async with running(db) as other:
        await asyncio.sleep(0.05)
        assert kinds(other, "a") == ["started"], "a runner without the machine leaves them alone"
    async with running(db, machine) as runner:
        assert [(await runner.settled(run_id)).outcome for run_id in ("a", "b")] == ["completed"] * 2
        record = runner.journal.read.record(1, 1)
        assert (record.kind, record.note, record.attempt) == ("resumed", {"why": "released"}, 2)
    assert sorted(begun) == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]


async def test_starting_a_run_again_goes_on_with_it(db: Path) -> None:
    machine = Line.with_agents(work=hang)
    async with running(db, machine) as runner:
        await runner.start(machine, Job(), run_id="r")
    async with running(db) as runner:
        well = Line.with_agents(work=scripted(Draft()))
        run = await runner.start(well, Job(), run_id="r")
        assert run.run_id == "r" and (await runner.settled("r")).outcome == "completed"
    assert_sound(db, well)


async def test_a_runner_that_does_not_adopt_takes_up_only_what_it_is_asked_for(db: Path) -> None:
    async with running(db, Line.with_agents(work=hang)) as runner:
        for run_id in ("mine", "another"):
            await runner.start(Line.with_agents(work=hang), Job(), run_id=run_id)
    well = Line.with_agents(work=scripted(Draft()))
    async with running(db, well, adopt=False) as runner:
        await runner.start(well, Job(), run_id="mine")
        assert (await runner.settled("mine")).outcome == "completed"
        assert kinds(runner, "another") == ["started"]
        await runner.resume("another")
        assert (await runner.settled("another")).outcome == "completed"


async def test_a_halted_run_stays_until_somebody_resumes_it(db: Path) -> None:
    answers: Iterator[Draft | Exception] = iter([ValueError("no"), ValueError("no"), Draft()])
    attempts: list[tuple[int, int]] = []

    async def agent(view: Any) -> Draft:
        attempts.append((view.visit, view.attempt))
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    machine = Line.with_agents(work=agent)
    async with running(db, machine) as runner:
        assert (await runner.settled((await runner.start(machine, Job(), run_id="r")).run_id)).outcome == "stuck"
    async with running(db, machine) as runner:
        await asyncio.sleep(0.05)
        assert kinds(runner) == ["started", "halted"], "no worker takes it up"
        run = await runner.resume("r", by="ann")
        assert run.outcome == "running"
        record = runner.journal.read.record(run.key, 2)
        assert (record.kind, record.note) == ("resumed", {"why": "asked", "by": "ann"})
        assert (await runner.settled("r")).outcome == "stuck"
        await runner.resume("r")
        assert (await runner.settled("r")).outcome == "completed"
        assert kinds(runner) == ["started", "halted", "resumed", "halted", "resumed", "ended"]
        with pytest.raises(NotResumable) as refused:
            await runner.resume("r")
        assert str(refused.value) == "run 'r' cannot be resumed: it has ended (completed)"
    assert attempts == [(1, 1), (1, 2), (1, 3)]


async def test_resuming_twice_at_once_is_resuming_once(db: Path) -> None:
    machine = Line.with_agents(work=scripted(ValueError("no"), Draft()))
    async with running(db, machine) as runner:
        await runner.settled((await runner.start(machine, Job(), run_id="r")).run_id)
        await asyncio.gather(*(runner.resume("r") for _ in range(5)))
        assert (await runner.settled("r")).outcome == "completed"
        assert kinds(runner) == ["started", "halted", "resumed", "ended"]


async def test_resuming_what_is_at_work_or_waits_changes_nothing(db: Path) -> None:
    machine = Desk.with_agents(draft=hang)
    async with running(db, machine) as runner:
        await runner.start(machine, Job(), run_id="r")
        assert (await runner.resume("r")).outcome == "running"
        assert kinds(runner) == ["started"]
    machine = Desk.with_agents(draft=scripted(Draft()))
    async with running(db, machine) as runner:
        await runner.settled("r")
        assert (await runner.resume("r")).outcome == "waiting"
        assert kinds(runner) == ["started", "resumed", "taken"]


async def test_a_run_another_runner_advances_is_not_taken_from_it(db: Path) -> None:
    machine = Line.with_agents(work=hang)
    async with running(db, machine) as owner:
        await owner.start(machine, Job(), run_id="r")
        async with Runner(SqliteJournal(db), machines=[machine], poll_s=0.01, handle_signals=False) as other:
            with pytest.raises(Fenced) as fenced:
                await other.resume("r")
            assert str(fenced.value).startswith("run 'r': another runner advances it; nothing was written\n  -> ")
            assert (await other.start(machine, Job(), run_id="r")).run_id == "r"
        assert kinds(owner) == ["started"]
        assert (await owner.cancel("r")).outcome == "cancelled"


async def test_a_run_halted_at_the_door_is_resumed_by_deciding_its_start_again(db: Path) -> None:
    class Memory(BaseModel):
        notes: list[str] = []

    shut = [True]

    def remember(memory: Memory, job: Job) -> Memory:
        if shut[0]:
            raise ValueError("not today")
        return Memory(notes=[job.task])

    class Doored(Machine, memory=Memory):
        work = State(initial=Job, agent=unbound, remember=remember)
        done = State(final="completed")
        finish = work.to(done, on=Draft)

    async def agent(view: Any) -> Draft:
        return Draft(text=f"{view.payload.task} {view.memory.notes}")

    machine = Doored.with_agents(work=agent)
    journal = SqliteJournal(db, synchronous="OFF")
    async with Runner(journal, machines=[machine], poll_s=0.01, handle_signals=False) as runner:
        assert (await runner.start(machine, Job(task="a"), run_id="r")).outcome == "stopped"
        await runner.resume("r")
        assert (await runner.settled("r")).outcome == "stopped"
        shut[0] = False
        await runner.resume("r")
        run = await runner.settled("r")
        assert (run.state, run.outcome) == ("done", "completed")
        assert kinds(runner) == ["started", "resumed", "halted", "resumed", "taken", "ended"]
        assert runner.journal.read.record(run.key, run.seq).body == b'{"text":"a [\'a\']"}'
    assert_sound(db)


async def test_a_machine_without_its_agents_is_refused_before_anything_is_written(db: Path) -> None:
    with pytest.raises(AgentsMissing) as missing:
        async with Runner(db, machines=[Desk], handle_signals=False):
            pass
    assert str(missing.value) == ("Desk needs agents for: draft\n  -> bind them first: Desk.with_agents(draft=...)")
    async with running(db) as runner:
        with pytest.raises(AgentsMissing):
            await runner.start(Desk, Job())
        assert runner.journal.read.runs() == []


# -- machines that are missing or changed ------------------------------------------------------------


def limited(cap: int) -> type[Machine]:
    """The same machine with another cap: a change of the definition."""

    class Limited(Machine):
        work = State(initial=Job, agent=unbound)
        person = State()
        done = State(final="completed")
        again = work.to(work, on=Job, guards=[LoopCap(cap)], otherwise=person)
        finish = work.to(done, on=Draft)
        accept = person.to(done, on=Approval)

    return Limited


async def twice_then_hang(view: Any) -> Any:
    return Job() if view.visit <= 2 else await hang(view)


async def test_a_machine_that_is_not_there_is_named_and_its_runs_are_left_alone(
    db: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine, other = Line.with_agents(work=hang), Desk.with_agents(draft=hang)
    async with running(db, machine) as runner:
        await runner.start(machine, Job(), run_id="r")
    async with running(db, other) as runner:
        with pytest.raises(MachineUnknown) as unknown:
            await runner.resume("r")
        assert str(unknown.value) == (
            "run 'r' belongs to machine Line, which this runner does not have\n  -> Runner(..., machines=[Line])"
        )
        assert kinds(runner) == ["started"]
    told = [record.getMessage() for record in caplog.records if "is left alone" in record.getMessage()]
    assert len(told) == 1 and told[0].startswith("run r is left alone: run 'r' belongs to machine Line")


async def test_a_changed_machine_is_refused_with_what_changed_until_somebody_accepts_it(db: Path) -> None:
    old, new = limited(5).with_agents(work=twice_then_hang), limited(3).with_agents(work=scripted(Job()))
    async with running(db, old) as runner:
        await runner.start(old, Job(), run_id="r")
        while runner.journal.read.run("r").seq < 2:
            await asyncio.sleep(0.005)
    journal = SqliteJournal(db, synchronous="OFF")
    async with Runner(journal, machines=[new], poll_s=0.01, handle_signals=False) as runner:
        acts = (
            runner.resume("r"),
            runner.send("r", Approval()),
            runner.cancel("r"),
            runner.start(new, Job(), run_id="r"),
        )
        for act in acts:
            with pytest.raises(MachineChanged) as changed:
                await act
        text = str(changed.value)
        assert text.startswith("Limited has changed since run 'r' was recorded:\n  - ")
        assert "again" in text and "limit: 5 -> 3" in text
        assert text.endswith("accept the new one: runner.resume(run_id, accept=True)")
        assert kinds(runner) == ["started", "taken", "taken"]

        await runner.resume("r", accept=True, by="ann")
        run = await runner.settled("r")
        assert (run.state, run.outcome, run.fingerprint) == ("person", "waiting", new.spec.fingerprint)
        repinned = runner.journal.read.record(run.key, 3)
        assert (repinned.kind, repinned.note["by"], repinned.note["to"]) == ("repinned", "ann", new.spec.fingerprint)
        assert kinds(runner) == ["started", "taken", "taken", "repinned", "resumed", "taken", "taken"]
        ruling = runner.journal.read.record(run.key, run.seq).rulings[0]
        assert dict(ruling.verdict.numbers) == {"fires": 3, "fires_max": 3}, "what was counted before still counts"
        await runner.send("r", Approval())
    assert_sound(db, new)
    async with running(db, old) as runner:
        assert kinds(runner)[-1] == "ended"


async def test_a_change_that_lost_the_runs_state_cannot_be_accepted(db: Path) -> None:
    class Before(Machine, machine_name="Same"):
        work = State(initial=Job, agent=hang)
        done = State(final="completed")
        finish = work.to(done, on=Draft)

    class After(Machine, machine_name="Same"):
        toil = State(initial=Job, agent=hang)
        done = State(final="completed")
        finish = toil.to(done, on=Draft)

    async with running(db, Before) as runner:
        await runner.start(Before, Job(), run_id="r")
    async with running(db, After) as runner:
        with pytest.raises(NotResumable, match="it is in state work, which Same no longer has"):
            await runner.resume("r", accept=True)
        assert kinds(runner) == ["started"]


async def test_a_change_of_agents_timeouts_and_docstrings_is_no_change(db: Path) -> None:
    class Other(Line):
        """Another docstring."""

        work = State(initial=Job, agent=scripted(Draft()), timeout_s=7, title="The work")
        finish = work.to(Line.done, on=Draft)

    async with running(db, Line.with_agents(work=hang)) as runner:
        await runner.start(Line.with_agents(work=hang), Job(), run_id="r")
    assert Other.spec.name != Line.spec.name
    well = Line.with_agents(work=scripted(Draft()))
    async with running(db, well) as runner:
        assert (await runner.settled("r")).outcome == "completed"


# -- the one-liner -----------------------------------------------------------------------------------


def test_fsm_run(db: Path) -> None:
    machine = Desk.with_agents(draft=scripted(Draft()))
    heard: list[str] = []
    run = fsm.run(
        machine, Job(), db=db, run_id="r", labels={"a": "b"}, observers=[lambda run, record: heard.append(record.kind)]
    )
    assert (run.state, run.outcome, run.labels, heard) == ("person", "waiting", {"a": "b"}, ["started", "taken"])
    assert fsm.run(machine, Job(), db=db, run_id="r") == run
    assert_sound(db, machine)


async def test_fsm_run_inside_a_running_loop_as_in_a_notebook(db: Path) -> None:
    machine = Desk.with_agents(draft=scripted(Draft()))
    assert fsm.run(machine, Job(), db=db).outcome == "waiting"
    with pytest.raises(fsm.FsmError, match="Desk starts with Job; not Draft"):
        fsm.run(machine, Draft(), db=db)
    assert_sound(db, machine)


# -- stopping ----------------------------------------------------------------------------------------


async def test_stop_wakes_who_waits_and_the_runs_stay_resumable(db: Path) -> None:
    machine = Line.with_agents(work=hang)
    async with running(db, machine) as runner:
        await runner.start(machine, Job(), run_id="r")
        waiting = [asyncio.create_task(act) for act in (runner.settled("r"), runner.idle())]
        await asyncio.sleep(0.02)
        runner.stop()
        for task in waiting:
            with pytest.raises(RunnerStopped) as stopped:
                await task
        assert str(stopped.value) == (
            "the runner was asked to stop (a signal, or runner.stop()) with 1 run unfinished\n"
            "  -> start them again: they go on where they are"
        )
    async with running(db, Line.with_agents(work=scripted(Draft()))) as runner:
        assert (await runner.settled("r")).outcome == "completed"


async def test_leaving_the_block_while_agents_hang(db: Path) -> None:
    """One lets itself be cancelled, one does not, one blocks a thread: none is waited for."""
    ready, free, begun = asyncio.Event(), asyncio.Event(), threading.Event()
    release = threading.Event()

    async def swallows(view: Any) -> Draft:
        ready.set()
        while not free.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await free.wait()
        return Draft()

    def blocks(view: Any) -> Draft:
        begun.set()
        release.wait(20)
        return Draft()

    class Three(Machine):
        first = State(initial=Job, agent=hang)
        second = State(agent=swallows)
        third = State(agent=blocks)
        done = State(final="completed")
        a = first.to(second, on=Approval)
        b = second.to(third, on=Approval)
        c = any_of(second, third).to(done, on=Draft)

    clock_begun = time.monotonic()
    async with running(db, Three) as runner:
        for run_id, sends in (("a", 0), ("b", 1), ("c", 2)):
            await runner.start(Three, Job(), run_id=run_id)
            for _ in range(sends):
                await runner.send(run_id, Approval())
        await ready.wait()
        assert await asyncio.to_thread(begun.wait, 5)
    assert time.monotonic() - clock_begun < 5
    free.set()
    release.set()
    await asyncio.sleep(0.02)
    assert_sound(db, Three)


async def test_a_decision_in_flight_when_the_block_is_left_is_committed_once(db: Path) -> None:
    class Slow(SqliteJournal):
        reached = asyncio.Event()

        async def decide(self, *args: Any, **options: Any) -> Any:
            self.reached.set()
            await asyncio.sleep(0.05)
            return await super().decide(*args, **options)

    async def agent(view: Any) -> Draft:
        view.spend(tokens=7)
        return Draft()

    journal = Slow(db, synchronous="OFF")
    machine = Desk.with_agents(draft=agent)
    async with running(db, machine, journal=journal) as runner:
        await runner.start(machine, Job(), run_id="r")
        await journal.reached.wait()
    async with running(db, machine) as runner:
        run = await runner.settled("r")
        assert kinds(runner) == ["started", "taken"]
        assert runner.journal.read.record(run.key, 1).spent.tokens == 7
        assert runner.journal.read.calls(run.key) == []


async def test_an_error_in_the_block_comes_out_as_it_is(db: Path) -> None:
    machine = Line.with_agents(work=hang)

    async def block() -> None:
        async with Runner(db, machines=[machine], handle_signals=False) as runner:
            await runner.start(machine, Job(), run_id="r")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await block()
    assert_sound(db, machine)


async def test_after_the_block_nothing_can_be_asked_of_it(db: Path) -> None:
    machine = Line.with_agents(work=scripted(Draft()))
    async with running(db, machine) as runner:
        await runner.start(machine, Job(), run_id="r")
    with pytest.raises(fsm.FsmError):
        await runner.start(machine, Job(), run_id="other")


SIGNALLED = """
    import asyncio, sys, time
    from pydantic import BaseModel
    from fsm import Machine, Runner, State, run

    class Job(BaseModel):
        task: str = ""

    async def agent(view) -> Job:
        print("working", flush=True)
        if sys.argv[2] == "stubborn":
            while True:
                time.sleep(0.1)
        await asyncio.Event().wait()

    class Slow(Machine):
        work = State(initial=Job, agent=agent)
        done = State(final="completed")
        finish = work.to(done, on=Job)

    async def main():
        async with Runner(sys.argv[1], machines=[Slow]) as runner:
            run = await runner.start(Slow, Job(), run_id="r")
            await (runner.settled("r") if sys.argv[2] == "settled" else asyncio.sleep(60))

    async def cell():
        try:
            run(Slow, Job(), db=sys.argv[1], run_id="r")
        except KeyboardInterrupt:
            print("interrupted")

    if sys.argv[2] == "one-liner":
        run(Slow, Job(), db=sys.argv[1], run_id="r")
    elif sys.argv[2] == "notebook":
        asyncio.new_event_loop().run_until_complete(cell())
    else:
        asyncio.run(main())
"""


@contextlib.contextmanager
def working(db: Path, kind: str) -> Iterator["subprocess.Popen[str]"]:
    """A process whose agent is at work."""
    command = [sys.executable, "-c", textwrap.dedent(SIGNALLED), str(db), kind]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "working\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kind", ["settled", "elsewhere", "one-liner"])
def test_a_signal_stops_cleanly_and_the_run_can_go_on(db: Path, number: int, kind: str) -> None:
    with working(db, kind) as process:
        process.send_signal(number)
        _, errors = process.communicate(timeout=10)
    assert process.returncode not in (0, -number), "it said why, and was not killed"
    assert "stopping; runs stay resumable (once more to stop at once)" in errors
    assert ("RunnerStopped" in errors) == (kind != "elsewhere")
    reader = fsm.read_journal(db)
    try:
        (run,) = reader.runs()
        assert (run.outcome, run.owner, [row.closed for row in reader.runners()]) == ("running", 0, [1])
    finally:
        reader.close()
    assert_sound(db)


def test_a_second_signal_stops_at_once(db: Path) -> None:
    """The agent blocks the event loop; only the process can be ended."""
    with working(db, "stubborn") as process:
        assert process.stderr is not None
        process.send_signal(signal.SIGTERM)
        assert "once more to stop at once" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 128 + signal.SIGTERM
    assert_sound(db)


def test_an_interrupted_notebook_cell_leaves_no_run_at_work_behind(db: Path) -> None:
    with working(db, "notebook") as process:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=10)
    assert (process.returncode, output) == (0, "interrupted\n")
    reader = fsm.read_journal(db)
    assert [(run.outcome, run.owner) for run in reader.runs()] == [("running", 0)]
    reader.close()
