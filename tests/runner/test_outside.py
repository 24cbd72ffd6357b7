"""What comes from outside: events, cancellations, ids; at a bad moment too."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from fsm import AgentFailed, Cancelled, Machine, Run, Runner, SqliteJournal, State, TimedOut, unbound
from fsm.errors import (
    Busy,
    EventConflict,
    MachineUnknown,
    PayloadRefused,
    RunConflict,
    RunEnded,
    RunHalted,
    RunNotFound,
)
from fsm.testing import hang, scripted
from guards import LoopCap
from tests.helpers import Gated, running


class Job(BaseModel):
    task: str = ""


class Draft(BaseModel):
    text: str = ""


class Hint(BaseModel):
    text: str = ""


class Hurry(BaseModel):
    by: str = ""


class Approval(BaseModel):
    by: str = ""


class Memory(BaseModel):
    lines: list[str] = []


class Desk(Machine, refusals_max=3, inbox_max=4):
    draft = State(initial=Job, agent=unbound)
    person = State()
    done = State(final="completed")
    written = draft.to(person, on=Draft)
    hint = draft.to(draft, on=Hint, guards=[LoopCap(1)])
    hurry = draft.to(person, on=Hurry)
    accept = person.to(done, on=Approval)
    more = person.to(draft, on=Job)


class Handled(Machine):
    """Cancelling leads somewhere."""

    draft = State(initial=Job, agent=unbound)
    tidy = State()
    done = State(final="completed")
    written = draft.to(done, on=Draft)
    stop = draft.to(tidy, on=Cancelled)
    swept = tidy.to(done, on=Approval)


class Counting:
    """An agent that waits to be told; how often it was begun, cancelled, and answered."""

    def __init__(self) -> None:
        self.begun = self.cancelled = self.answered = 0
        self.go = asyncio.Event()
        self.working = asyncio.Event()

    async def __call__(self, view: Any) -> Draft:
        self.begun += 1
        self.working.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.answered += 1
        return Draft(text=f"draft {self.begun}")


async def waiting_at_person(runner: Runner, machine: type[Machine], run_id: str = "r") -> Run:
    run = await runner.settled((await runner.start(machine, Job(), run_id=run_id)).run_id)
    assert (run.state, run.outcome) == ("person", "waiting")
    return run


def kinds(runner: Runner, run_id: str = "r") -> list[str]:
    return [record.kind for record in runner.journal.read.records(runner.journal.read.run(run_id).key)]


# -- what becomes of an event ------------------------------------------------------------------------


async def test_an_event_that_is_taken_returns_its_record(db: Path) -> None:
    machine = Desk.with_agents(draft=scripted(Draft()))
    async with running(db, machine) as runner:
        await waiting_at_person(runner, machine)
        record = await runner.send("r", Approval(by="ann"), event_id="e1")
        assert record is not None
        assert (record.kind, record.hop, record.state, record.event_id) == ("ended", "accept", "done", "e1")
        assert (record.own, record.body) == (False, b'{"by":"ann"}')
        assert (await runner.settled("r")).outcome == "completed"


async def test_a_refused_event_is_recorded_with_its_verdict_and_the_agent_goes_on(db: Path) -> None:
    agent = Counting()
    machine = Desk.with_agents(draft=agent)
    async with running(db, machine) as runner:
        await runner.start(machine, Job(), run_id="r")
        await agent.working.wait()
        first = await runner.send("r", Hint(text="a"))
        assert first is not None and (first.kind, first.hop) == ("taken", "hint")
        while agent.begun < 2:
            await asyncio.sleep(0)
        record = await runner.send("r", Hint(text="b"))
        assert record is not None and (record.kind, record.state, record.outcome) == ("refused", "draft", "running")
        (ruling,) = record.rulings
        assert str(ruling) == "LoopCap on hint refuses (loop_cap: fires 1, fires_max 1)"
        agent.go.set()
        assert (await runner.settled("r")).state == "person"
    assert (agent.begun, agent.cancelled, agent.answered) == (2, 1, 1), "only the taken hint began a new visit"


async def test_an_event_nothing_takes_here_is_recorded_unhandled_and_the_agent_goes_on(db: Path) -> None:
    agent = Counting()
    machine = Desk.with_agents(draft=agent)
    async with running(db, machine) as runner:
        await runner.start(machine, Job(), run_id="r")
        await agent.working.wait()
        record = await runner.send("r", Approval(), event_id="early")
        assert record is not None and (record.kind, record.hop, record.rulings) == ("unhandled", "", ())
        agent.go.set()
        assert (await runner.settled("r")).state == "person"
        assert kinds(runner) == ["started", "unhandled", "taken"]
    assert (agent.begun, agent.cancelled) == (1, 0)


async def test_beyond_refusals_max_events_are_only_counted_and_the_next_record_says_how_many(db: Path) -> None:
    machine = Desk.with_agents(draft=scripted(Draft()))
    async with running(db, machine) as runner:
        run = await waiting_at_person(runner, machine)
        told = [await runner.send("r", Hurry(by=str(n)), event_id=f"e{n}") for n in range(5)]
        assert [record.kind if record else None for record in told] == ["unhandled"] * 3 + [None, None]
        assert runner.journal.read.inbox(run.key) == []
        record = await runner.send("r", Approval())
        assert record is not None and record.note == {"dropped": 2}


# -- an event that moves the run while its agent works -----------------------------------------------


async def test_an_event_that_moves_the_run_ends_the_visit(db: Path) -> None:
    agent = Counting()
    machine = Desk.with_agents(draft=agent)
    async with running(db, machine) as runner:
        await runner.start(machine, Job(), run_id="r")
        await agent.working.wait()
        record = await runner.send("r", Hurry(by="ann"))
        assert record is not None and (record.hop, record.state) == ("hurry", "person")
        assert (await runner.settled("r")).state == "person"
        await asyncio.sleep(0)
        assert (agent.cancelled, agent.answered) == (1, 0)


async def test_what_an_overtaken_agent_still_returns_is_dropped(db: Path) -> None:
    agent_over = asyncio.Event()

    async def agent(view: Any) -> Draft:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        agent_over.set()
        return Draft(text="late")

    machine = Desk.with_agents(draft=agent)
    async with running(db, machine) as runner:
        await runner.start(machine, Job(), run_id="r")
        await asyncio.sleep(0)
        await runner.send("r", Hurry())
        await agent_over.wait()
        await asyncio.sleep(0.05)
        assert kinds(runner) == ["started", "taken"]


async def test_a_result_that_comes_while_the_overtaking_event_is_being_committed_is_dropped(db: Path) -> None:
    """The agent was not at work any more: its answer stood in line behind the event that ended its visit."""
    agent, journal = Counting(), Gated(db, "Hurry")
    machine = Desk.with_agents(draft=agent)
    async with running(db, machine, journal=journal) as runner:
        await runner.start(machine, Job(), run_id="r")
        await agent.working.wait()
        sending = asyncio.create_task(runner.send("r", Hurry()))
        await journal.reached.wait()
        agent.go.set()
        while not agent.answered:
            await asyncio.sleep(0)
        journal.gate.set()
        record = await sending
        assert record is not None and record.hop == "hurry"
        assert (await runner.settled("r")).state == "person"
        await asyncio.sleep(0.05)
        assert kinds(runner) == ["started", "taken"], "the draft would halt the run at person"


async def test_an_event_that_comes_while_the_result_is_being_committed_meets_the_next_state(db: Path) -> None:
    journal = Gated(db, "Draft")
    machine = Desk.with_agents(draft=scripted(Draft()))
    async with running(db, machine, journal=journal) as runner:
        await runner.start(machine, Job(), run_id="r")
        await journal.reached.wait()
        sending = asyncio.create_task(runner.send("r", Hurry()))
        await asyncio.sleep(0.05)
        journal.gate.set()
        record = await sending
        assert record is not None and (record.kind, record.state) == ("unhandled", "person")
        assert kinds(runner) == ["started", "taken", "unhandled"]


async def test_a_run_that_is_moved_while_it_waits_for_a_slot_does_not_visit_the_old_state(db: Path) -> None:
    agent = Counting()
    machine = Desk.with_agents(draft=agent)
    async with running(db, machine, visits_max=1) as runner:
        await runner.start(machine, Job(), run_id="busy")
        await agent.working.wait()
        for run_id in ("ended", "moved", "last"):
            await runner.start(machine, Job(), run_id=run_id)
        await runner.send("moved", Hurry())
        await runner.cancel("ended")
        agent.go.set()
        for run_id in ("busy", "moved", "ended", "last"):
            await runner.settled(run_id)
        assert agent.begun == 2
        assert kinds(runner, "moved") == ["started", "taken"]
        assert kinds(runner, "ended") == ["started", "ended"]


async def test_a_run_that_goes_round_from_outside_is_visited_anew(db: Path) -> None:
    agent = Counting()
    machine = Desk.with_agents(draft=agent)
    async with running(db, machine) as runner:
        await runner.start(machine, Job(), run_id="r")
        await agent.working.wait()
        await runner.send("r", Hurry())
        record = await runner.send("r", Job(task="again"))
        assert record is not None and (record.hop, record.outcome) == ("more", "running")
        agent.go.set()
        assert (await runner.settled("r")).state == "person"
        assert agent.begun == 2


# -- ids ---------------------------------------------------------------------------------------------


async def test_the_same_event_id_returns_the_recorded_decision_wherever_the_run_is(db: Path) -> None:
    machine = Desk.with_agents(draft=scripted(Draft()))
    async with running(db, machine) as runner:
        await waiting_at_person(runner, machine)
        first = await runner.send("r", Hurry(by="ann"), event_id="e1")
        assert first is not None and first.kind == "unhandled"
        assert await runner.send("r", Hurry(by="ann"), event_id="e1") == first
        last = await runner.send("r", Approval(), event_id="e2")
        assert await runner.send("r", Hurry(by="ann"), event_id="e1") == first
        assert await runner.send("r", Approval(), event_id="e2") == last, "although the run has ended"
        assert kinds(runner) == ["started", "taken", "unhandled", "ended"]


async def test_the_same_event_id_at_once_is_decided_once(db: Path) -> None:
    machine = Desk.with_agents(draft=scripted(Draft()))
    async with running(db, machine) as runner:
        await waiting_at_person(runner, machine)
        told = await asyncio.gather(*(runner.send("r", Approval(), event_id="e") for _ in range(10)))
        assert told[0] is not None and told == [told[0]] * 10
        assert kinds(runner) == ["started", "taken", "ended"]


async def test_an_event_id_with_another_payload_is_a_conflict(db: Path) -> None:
    machine = Desk.with_agents(draft=scripted(Draft()))
    async with running(db, machine) as runner:
        await waiting_at_person(runner, machine)
        await runner.send("r", Hurry(by="ann"), event_id="e1")
        for payload in (Hurry(by="bob"), Approval(by="ann")):
            with pytest.raises(EventConflict) as conflict:
                await runner.send("r", payload, event_id="e1")
        assert (conflict.value.run_id, conflict.value.event_id) == ("r", "e1")
        assert str(conflict.value).startswith("event id 'e1' of run 'r' already stands for another payload\n  -> ")
        assert kinds(runner) == ["started", "taken", "unhandled"]


async def test_run_ids_labels_and_conflicts(db: Path) -> None:
    machine, other = Desk.with_agents(draft=scripted(Draft())), Handled.with_agents(draft=hang)
    async with running(db, machine, other) as runner:
        run = await runner.start(machine, Job(task="a"), run_id="order 7 ü", labels={"team": "blue", "n": "1"})
        assert run.labels == {"team": "blue", "n": "1"}
        settled = await runner.settled("order 7 ü")
        again = await runner.start(machine, Job(task="a"), run_id="order 7 ü", labels={"team": "red"})
        assert (again, again.labels) == (settled, run.labels), "the same run, as it stands, with its own labels"
        with pytest.raises(RunConflict, match="run 'order 7 ü' exists and began with another Job\n  -> give the new"):
            await runner.start(machine, Job(task="b"), run_id="order 7 ü")
        with pytest.raises(RunConflict, match="began with machine Desk, not Handled"):
            await runner.start(other, Job(task="a"), run_id="order 7 ü")
        assert len(runner.journal.read.runs()) == 1


@pytest.mark.parametrize("bad", ["", "\ud800", "x" * 201, 7])
async def test_ids_that_cannot_be_stored_are_refused(db: Path, bad: Any) -> None:
    machine = Desk.with_agents(draft=scripted(Draft()))
    async with running(db, machine) as runner:
        with pytest.raises(ValueError, match=r"run_id=.*: give text of 1 to 200 characters"):
            await runner.start(machine, Job(), run_id=bad)
        run = await runner.start(machine, Job())
        with pytest.raises(ValueError, match=r"event_id=.*: give text of 1 to 200 characters"):
            await runner.send(run.run_id, Hurry(), event_id=bad)
        with pytest.raises(ValueError, match=r"labels=.*lone surrogate"):
            await runner.start(machine, Job(), labels={"a": "\udfff"})
        assert len(runner.journal.read.runs()) == 1


# -- events that are not accepted --------------------------------------------------------------------


async def test_an_event_for_an_ended_run(db: Path) -> None:
    machine = Desk.with_agents(draft=scripted(Draft()))
    async with running(db, machine) as runner:
        await waiting_at_person(runner, machine)
        await runner.send("r", Approval())
        with pytest.raises(RunEnded) as ended:
            await runner.send("r", Hurry())
        assert str(ended.value) == "run 'r' has ended (completed); Hurry was not recorded\n  -> start a new run"
        assert kinds(runner) == ["started", "taken", "ended"]
        assert runner.journal.read.inbox(runner.journal.read.run("r").key) == []


async def test_an_event_for_a_halted_run(db: Path) -> None:
    machine = Desk.with_agents(draft=scripted(ValueError("no")))
    async with running(db, machine) as runner:
        await runner.settled((await runner.start(machine, Job(), run_id="r")).run_id)
        with pytest.raises(RunHalted) as halted:
            await runner.send("r", Hurry())
        text = "run 'r' is halted (stuck); Hurry was not recorded\n  -> resume it first: await runner.resume('r')"
        assert str(halted.value) == text
        assert kinds(runner) == ["started", "halted"]


async def test_an_event_that_arrives_while_the_run_ends_or_halts(db: Path) -> None:
    """It was accepted into the inbox; the run ended before its turn came."""

    class Quick(Machine):
        work = State(initial=Job, agent=unbound)
        done = State(final="completed")
        finish = work.to(done, on=Draft)
        nudge = work.to(work, on=Hint)

    for kind, error in [("ended", RunEnded), ("halted", RunHalted)]:
        path = db.with_name(kind)
        journal = Gated(path, "Draft" if kind == "ended" else "AgentFailed")
        machine = Quick.with_agents(work=scripted(Draft() if kind == "ended" else ValueError("no")))
        async with running(path, machine, journal=journal) as runner:
            await runner.start(machine, Job(), run_id="r")
            await journal.reached.wait()
            sending = asyncio.create_task(runner.send("r", Hint()))
            cancelling = asyncio.create_task(runner.cancel("r")) if kind == "ended" else None
            await asyncio.sleep(0.05)
            journal.gate.set()
            with pytest.raises(error):
                await sending
            assert cancelling is None or (await cancelling).outcome == "completed"
            assert kinds(runner) == ["started", kind], "nothing follows the record that ended it"


async def test_an_unknown_run(db: Path) -> None:
    machine = Desk.with_agents(draft=hang)
    async with running(db, machine) as runner:
        for act in (runner.send("nobody", Hurry()), runner.cancel("nobody"), runner.resume("nobody")):
            with pytest.raises(RunNotFound) as unknown:
                await act
            assert str(unknown.value).startswith(f"no run 'nobody' in {db}\n  -> list those that are there")
        with pytest.raises(RunNotFound):
            await runner.settled("nobody")


async def test_a_run_of_a_machine_this_runner_does_not_have(db: Path) -> None:
    machine = Desk.with_agents(draft=scripted(Draft()))
    async with running(db, machine) as runner:
        await waiting_at_person(runner, machine)
    async with running(db) as runner:
        for act in (runner.send("r", Approval()), runner.cancel("r")):
            with pytest.raises(MachineUnknown, match=r"machines=\[Desk\]"):
                await act
    async with running(db, machine) as runner:
        assert kinds(runner) == ["started", "taken"]


UNSENDABLE: dict[str, tuple[Any, str]] = {
    "a class": (Draft, "Desk takes Approval, Draft, Hint, Hurry, Job; not ModelMetaclass"),
    "a stranger": (type("Stranger", (BaseModel,), {})(), "Desk takes Approval, Draft, Hint, Hurry, Job; not Stranger"),
    "a runtime event": (TimedOut(timeout_ms=1, attempt=1), "takes Approval, Draft, Hint, Hurry, Job; not TimedOut"),
    "a cancellation": (Cancelled(by="me"), "takes Approval, Draft, Hint, Hurry, Job; not Cancelled"),
    "no model": ({"by": "ann"}, "Desk takes Approval, Draft, Hint, Hurry, Job; not dict"),
    "rubbish": (Approval.model_construct(by=[1]), "by: Input should be a valid string"),
    "too large": (Approval(by="x" * 2_000_000), "2000009 bytes, payload_bytes_max is 1048576"),
}


@pytest.mark.parametrize("name", UNSENDABLE)
async def test_a_payload_that_is_not_for_this_machine_is_refused_and_nothing_is_written(db: Path, name: str) -> None:
    payload, problem = UNSENDABLE[name]

    class Open(Desk):
        """Declares ways for the runtime's own events; they are still not for callers to make."""

        late = Desk.person.to(Desk.done, on=(TimedOut, Cancelled, AgentFailed))

    machine = Open.with_agents(draft=scripted(Draft()))
    async with running(db, machine) as runner:
        run = await waiting_at_person(runner, machine)
        with pytest.raises(PayloadRefused) as refused:
            await runner.send("r", payload)
        assert problem.replace("Desk", "Open") in str(refused.value)
        assert str(refused.value).endswith("-> correct the payload and send it again; nothing was written")
        assert (kinds(runner), runner.journal.read.inbox(run.key)) == (["started", "taken"], [])


async def test_a_cancellation_that_cannot_be_stored_is_refused(db: Path) -> None:
    machine = Desk.with_agents(draft=scripted(Draft()))
    async with running(db, machine) as runner:
        await waiting_at_person(runner, machine)
        with pytest.raises(PayloadRefused, match="reason: text holds a lone surrogate"):
            await runner.cancel("r", reason="\ud800")
        with pytest.raises(PayloadRefused, match="payload_bytes_max is 65536"):
            await runner.cancel("r", reason="x" * 100_000)
        assert (await runner.settled("r")).state == "person"


async def test_a_full_inbox_is_busy(db: Path) -> None:
    journal = Gated(db, "Hurry")
    machine = Desk.with_agents(draft=scripted(Draft()))
    async with running(db, machine, journal=journal) as runner:
        await waiting_at_person(runner, machine)
        sending = [asyncio.create_task(runner.send("r", Hurry(by=str(n)), event_id=f"e{n}")) for n in range(4)]
        await journal.reached.wait()
        while len(runner.journal.read.inbox(1)) < 4:
            await asyncio.sleep(0)
        with pytest.raises(Busy) as busy:
            await runner.send("r", Hurry(by="4"), event_id="e4")
        text = "run 'r' has 4 events waiting, inbox_max is 4; nothing was written\n  -> let a runner with this machine"
        assert str(busy.value).startswith(text)
        journal.gate.set()
        told = await asyncio.gather(*sending)
        assert [record.event_id if record else None for record in told] == ["e0", "e1", "e2", None]
        assert (await runner.send("r", Approval())) is not None


# -- cancel ------------------------------------------------------------------------------------------


async def test_cancel_ends_a_run_while_its_agent_hangs(db: Path) -> None:
    agent = Counting()
    machine = Desk.with_agents(draft=agent)
    async with running(db, machine) as runner:
        await runner.start(machine, Job(), run_id="r")
        await agent.working.wait()
        run = await runner.cancel("r", by="ann", reason="too dear")
        assert (run.state, run.outcome) == ("draft", "cancelled")
        record = runner.journal.read.record(run.key, run.seq)
        assert (record.kind, record.event, record.hop) == ("ended", "Cancelled", "")
        assert record.body == b'{"by":"ann","reason":"too dear"}'
        await asyncio.sleep(0)
        assert agent.cancelled == 1


async def test_cancel_goes_the_declared_way(db: Path) -> None:
    machine = Handled.with_agents(draft=hang)
    async with running(db, machine) as runner:
        await runner.start(machine, Job(), run_id="r")
        run = await runner.cancel("r")
        assert (run.state, run.outcome) == ("tidy", "waiting")
        run = await runner.cancel("r")
        assert (run.state, run.outcome) == ("tidy", "cancelled"), "and where nothing is declared it ends the run"


async def test_cancel_of_a_waiting_run_and_of_an_ended_one(db: Path) -> None:
    machine = Desk.with_agents(draft=scripted(Draft()))
    async with running(db, machine) as runner:
        await waiting_at_person(runner, machine)
        assert (await runner.cancel("r")).outcome == "cancelled"
        seq = runner.journal.read.run("r").seq
        assert (await runner.cancel("r")).seq == seq, "a no-op"
        await waiting_at_person(runner, machine, "other")
        await runner.send("other", Approval())
        assert (await runner.cancel("other")).outcome == "completed"


@pytest.mark.parametrize(("machine", "outcome"), [(Desk, "cancelled"), (Handled, "waiting")])
async def test_cancel_of_a_halted_run(db: Path, machine: type[Machine], outcome: str) -> None:
    bound = machine.with_agents(draft=scripted(ValueError("no")))
    async with running(db, bound) as runner:
        run = await runner.settled((await runner.start(bound, Job(), run_id="r")).run_id)
        assert run.outcome == "stuck"
        assert (await runner.cancel("r")).outcome == outcome


async def test_cancel_of_a_run_halted_at_the_door(db: Path) -> None:
    def refuses(memory: Memory, job: Job) -> Memory:
        raise ValueError("not today")

    class Locked(Machine, memory=Memory):
        work = State(initial=Job, agent=hang, remember=refuses)
        done = State(final="completed")
        finish = work.to(done, on=Draft)

    async with running(db, Locked) as runner:
        run = await runner.start(Locked, Job(), run_id="r")
        assert (run.state, run.outcome) == ("(start)", "stopped")
        run = await runner.cancel("r")
        assert (run.state, run.outcome) == ("(start)", "cancelled")
        assert kinds(runner) == ["started", "ended"]


# -- callers that go away, and other runners ---------------------------------------------------------


async def test_a_sender_that_is_cancelled_leaves_the_run_sound(db: Path) -> None:
    agent, journal = Counting(), Gated(db, "Approval")
    machine = Desk.with_agents(draft=agent)
    async with running(db, machine, journal=journal) as runner:
        await runner.start(machine, Job(), run_id="r")
        await agent.working.wait()
        sending = asyncio.create_task(runner.send("r", Approval(), event_id="e"))
        await journal.reached.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        journal.gate.set()
        agent.go.set()
        assert (await runner.settled("r")).state == "person"
        assert kinds(runner) == ["started", "unhandled", "taken"]


async def test_a_starter_that_is_cancelled_has_started_a_run_that_goes_on(db: Path) -> None:
    class Slow(SqliteJournal):
        begun = asyncio.Event()

        async def begin(self, *args: Any) -> Any:
            result = await super().begin(*args)
            self.begun.set()
            await asyncio.sleep(0.02)
            return result

    machine = Desk.with_agents(draft=scripted(Draft()))
    journal = Slow(db, synchronous="OFF")
    async with running(db, machine, journal=journal) as runner:
        starting = asyncio.create_task(runner.start(machine, Job(), run_id="r"))
        await journal.begun.wait()
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert (await runner.settled("r")).state == "person"


async def test_many_senders_at_once(db: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Tally(Machine, inbox_max=1_000):
        idle = State(initial=Job)
        done = State(final="completed")
        count = idle.to(idle, on=Hint)
        finish = idle.to(done, on=Approval)

    async with running(db, Tally) as runner:
        await runner.start(Tally, Job(), run_id="r")
        told = await asyncio.gather(*(runner.send("r", Hint(text=str(n))) for n in range(100)))
        assert sorted(record.seq for record in told if record) == list(range(1, 101))
        await runner.send("r", Approval())
    assert caplog.records == [], "none of them got in another's way"


async def test_a_sender_that_comes_between_two_others_meets_the_run_they_have_in_hand(
    db: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A waiting run is in memory only while somebody decides something for it; all of them share that."""

    class Tally(Machine):
        idle = State(initial=Job)
        done = State(final="completed")
        count = idle.to(idle, on=(Hint, Hurry))
        finish = idle.to(done, on=Approval)

    journal = Gated(db, "Hint")
    async with running(db, Tally, journal=journal) as runner:
        await runner.start(Tally, Job(), run_id="r")
        first = asyncio.create_task(runner.send("r", Hint()))
        await journal.reached.wait()
        second = asyncio.create_task(runner.send("r", Hurry(by="second")))
        await asyncio.sleep(0.02)
        held, journal.event = journal.gate, "Hurry"
        journal.gate, journal.reached = asyncio.Event(), asyncio.Event()
        held.set()
        await first
        await journal.reached.wait()
        third = asyncio.create_task(runner.send("r", Hurry(by="third")))
        await asyncio.sleep(0.02)
        journal.gate.set()
        seqs = [record.seq for record in await asyncio.gather(first, second, third) if record]
        assert seqs == [1, 2, 3]
        await runner.send("r", Approval())
    assert caplog.records == []


async def test_another_runner_hands_the_event_to_the_one_that_advances_the_run(db: Path) -> None:
    agent = Counting()
    machine = Desk.with_agents(draft=agent)
    async with running(db, machine) as owner:
        await owner.start(machine, Job(), run_id="r")
        await agent.working.wait()
        async with Runner(SqliteJournal(db), machines=[machine], poll_s=0.01, handle_signals=False) as other:
            record = await other.send("r", Hurry(by="afar"))
            assert record is not None and (record.hop, record.event) == ("hurry", "Hurry")
            assert (await other.settled("r")).state == "person"
            record = await other.send("r", Job(task="again"))
            assert record is not None and record.hop == "more"
            assert (await other.cancel("r")).outcome == "cancelled"
        assert (await owner.settled("r")).outcome == "cancelled"
    assert agent.begun == 2
