"""Unfinished runs and a changed machine: what stands in their way, and letting go on those that can."""

import asyncio
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel, Field

from fsm import AgentFailed, Machine, Retry, Runner, SqliteJournal, State, read_journal
from fsm.define.payload import seal
from fsm.errors import Fenced, NotResumable
from fsm.runner.migrate import ADVANCED, Candidate, candidates, migrate
from fsm.runner.repin import Why, accept, prospect
from fsm.testing import MovableClock, hang, scripted
from guards import LoopCap, RateLimit
from tests.helpers import assert_sound, running


class Job(BaseModel):
    text: str = ""


class Draft(BaseModel):
    text: str = "short"


class Go(BaseModel):
    by: str = ""


class Notes(BaseModel):
    texts: list[str] = []


def note(notes: Notes, draft: Draft) -> Notes:
    return Notes(texts=[*notes.texts, draft.text])


class Desk(Machine, memory=Notes):
    """Recorded by the old code; `working` hangs in `check`, `waiting` waits at the desk."""

    write = State(initial=Job, agent=scripted(Draft()))
    check = State(agent=hang)
    desk = State()
    done = State(final="completed")

    written = write.to(check, on=Draft, remember=note)
    checked = check.to(done, on=Draft)
    asked = check.to(desk, on=Go)
    go = desk.to(check, on=Go, guards=[LoopCap(3)])
    end = desk.to(done, on=Job)


class Later(Desk, machine_name="Desk"):
    go = Desk.go.but(guards=[LoopCap(9)])


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


async def leave_behind(db: Path, clock: MovableClock) -> None:
    """Two unfinished runs and one that has ended, left behind by a runner of `Desk`."""
    async with running(db, Desk, clock=clock) as runner:
        await runner.start(Desk, Job(), run_id="working")
        for run_id, check in (("waiting", Go()), ("ended", Draft())):
            await runner.start(Desk.with_agents(check=scripted(check)), Job(), run_id=run_id)
            await runner.settled(run_id)
        while runner.journal.read.run("working").state != "check":
            await asyncio.sleep(0.001)


def looked(db: Path, machine: type[Machine], clock: MovableClock) -> dict[str, Candidate]:
    reader = read_journal(db)
    try:
        return {one.run.run_id: one for one in candidates(reader, machine, clock)}
    finally:
        reader.close()


async def migrated(db: Path, machine: type[Machine], clock: MovableClock) -> dict[str, Candidate]:
    journal = SqliteJournal(db, synchronous="OFF")
    await journal.open(clock, "migrate")
    try:
        found = await migrate(journal, machine, clock, by="ann", reason="release 12")
    finally:
        await journal.close()
    return {one.run.run_id: one for one in found}


async def test_those_that_can_go_on_are_repinned_on_record_and_do(db: Path, clock: MovableClock) -> None:
    await leave_behind(db, clock)
    assert {run_id: one.able for run_id, one in looked(db, Later, clock).items()} == {"working": True, "waiting": True}
    reader = read_journal(db)
    before = reader.runs()
    reader.close()
    found = await migrated(db, Later, clock)
    assert all(one.able for one in found.values())
    again = await migrated(db, Later, clock)
    assert {one.run.fingerprint for one in again.values()} == {Later.spec.fingerprint}
    later = Later.with_agents(check=scripted(Draft()))
    async with running(db, later, clock=clock) as runner:
        read = runner.journal.read
        for old in (run for run in before if not run.ended):
            record = read.record(old.key, old.seq + 1)
            assert record.kind == "repinned" and record.note == {
                **{"from": Desk.spec.fingerprint, "to": Later.spec.fingerprint},
                **{"by": "ann", "reason": "release 12"},
            }
        assert read.run("ended").fingerprint == Desk.spec.fingerprint
        assert (await runner.finished("working")).outcome == "completed"
        await runner.send("waiting", Go())
        assert (await runner.finished("waiting")).outcome == "completed"
        kinds = [record.kind for record in read.records(read.run("working").key)]
        assert kinds == ["started", "taken", "repinned", "resumed", "ended"], "each once"
    assert_sound(db, later)


class Other(Desk, machine_name="Desk"):
    go = Desk.go.but(guards=[LoopCap(5)])


class Short(Machine, memory=Notes, machine_name="Desk"):
    """Without the state `check`."""

    write = State(initial=Job, agent=hang)
    desk = State()
    done = State(final="completed")

    written = write.to(desk, on=Draft, remember=note)
    again = desk.to(write, on=Go)
    end = desk.to(done, on=Job)


async def test_what_happens_to_a_run_after_it_was_listed_counts(db: Path, clock: MovableClock) -> None:
    await leave_behind(db, clock)
    reader = read_journal(db)
    try:
        found = candidates(reader, Short, clock)
        assert next(found).run.run_id == "working"
        async with running(db, Desk, clock=clock) as runner:
            await runner.send("waiting", Go())
            while runner.journal.read.run("waiting").state != "check":
                await asyncio.sleep(0.001)
        (waiting,) = found
        assert [obstacle.why for obstacle in waiting.obstacles] == ["state"], "it is in `check` by now"
    finally:
        reader.close()


async def test_two_that_migrate_at_once_write_what_replays(db: Path, clock: MovableClock) -> None:
    await leave_behind(db, clock)
    reader = read_journal(db)
    listed = {run.run_id: run for run in reader.runs() if not run.ended}
    journal = SqliteJournal(db, synchronous="OFF")
    await journal.open(clock, "migrate")
    try:
        await migrated(db, Other, clock)
        for run in listed.values():
            await journal.release(await accept(journal, clock, prospect(reader, run, Later.spec)))
    finally:
        await journal.close()
        reader.close()
    assert_sound(db, Later)


def changed(why: str) -> type[Machine]:
    """The machine with one thing changed that stands in the way of `working`."""
    if why == "visit":

        class Narrow(BaseModel):
            text: Annotated[str, Field(max_length=3)] = ""

        Narrow.__name__ = "Draft"

        class Changed(Machine, machine_name="Desk"):
            write = State(initial=Job, agent=hang)
            check = State(agent=hang)
            desk = State()
            done = State(final="completed")
            written = write.to(check, on=Narrow)
            checked = check.to(done, on=Narrow)
            asked = check.to(desk, on=Go)
            go = desk.to(check, on=Go)
            end = desk.to(done, on=Job)

        return Changed
    if why == "memory":

        def forgets(notes: Notes, draft: Draft) -> Notes:
            raise KeyError("no such page")

        class Forgets(Desk, machine_name="Desk"):
            written = Desk.written.but(remember=forgets)

        return Forgets

    class Gone(Machine, machine_name="Desk"):
        write = State(initial=Job, agent=hang)
        review = State(agent=hang)
        done = State(final="completed")
        written = write.to(review, on=Draft)
        checked = review.to(done, on=Draft)

    return Gone


@pytest.mark.parametrize(
    ("why", "seq", "told"),
    [
        ("state", None, "it is in state check, which Desk no longer has"),
        ("visit", 1, "text: String should have at most 3 characters, got 'short'"),
        ("memory", 1, "the memory after it: KeyError: 'no such page'"),
    ],
)
async def test_what_stands_in_the_way_is_named(
    db: Path, clock: MovableClock, why: Why, seq: int | None, told: str
) -> None:
    await leave_behind(db, clock)
    machine = changed(why)
    found = looked(db, machine, clock)["working"].obstacles
    assert (found[0].why, found[0].seq, found[0].problems) == (why, seq, (told,))
    assert found[0].stops and not looked(db, machine, clock)["working"].able
    left = (await migrated(db, machine, clock))["working"]
    assert left.obstacles == found
    async with Runner(SqliteJournal(db), machines=[machine], clock=clock, adopt=False, handle_signals=False) as runner:
        run = runner.journal.read.run("working")
        with pytest.raises(NotResumable) as error:
            await runner.resume("working", accept=True)
        assert error.value.why == str(found[0])
        assert runner.journal.read.run("working").seq == run.seq, "refused before anything was written"


async def test_a_state_of_another_kind_is_no_place_to_go_on_from(db: Path, clock: MovableClock) -> None:
    class Helped(Desk, machine_name="Desk"):
        desk = State(agent=hang)

    class Over(Machine, machine_name="Desk", memory=Notes):
        write = State(initial=Job, agent=hang)
        check = State(final="failed")
        desk = State(final="completed")
        asked = write.to(desk, on=Go)
        written = write.to(check, on=Draft, remember=note)

    await leave_behind(db, clock)
    problems = {run_id: one.obstacles[:1] for run_id, one in looked(db, Helped, clock).items()}
    assert [str(one) for one in problems["waiting"]] == ["it waits in desk, which has an agent now"]
    assert problems["working"] == ()
    told = {run_id: str(one.obstacles[0]) for run_id, one in looked(db, Over, clock).items()}
    assert told == {
        "working": "it is in state check, which is final now",
        "waiting": "it is in state desk, which is final now",
    }


async def test_an_event_that_would_be_lost_keeps_a_run_back(db: Path, clock: MovableClock) -> None:
    """A person may accept it for this run all the same; the event is then recorded as unread."""
    await leave_behind(db, clock)
    journal = SqliteJournal(db, synchronous="OFF")
    await journal.open(clock, "sender")
    await journal.post("waiting", "e1", seal(Job(text="somebody"), 1_000), clock.now_ms(), 10)
    await journal.close()

    class Job2(BaseModel):
        text: Annotated[str, Field(max_length=3)] = ""

    Job2.__name__ = "Job"

    class Stricter(Machine, machine_name="Desk", memory=Notes):
        write = State(initial=Job2, agent=hang)
        check = State(agent=hang)
        desk = State()
        done = State(final="completed")
        written = write.to(check, on=Draft, remember=note)
        asked = check.to(desk, on=Go)
        go = desk.to(check, on=Go)
        end = desk.to(done, on=Job2)

    obstacles = looked(db, Stricter, clock)["waiting"].obstacles
    assert [(one.why, one.what, one.stops) for one in obstacles] == [("inbox", "Job", False)]
    assert not (await migrated(db, Stricter, clock))["waiting"].able
    async with Runner(SqliteJournal(db), machines=[Stricter], clock=clock, adopt=False, handle_signals=False) as runner:
        run = await runner.resume("waiting", accept=True, by="ann")
        assert run.fingerprint == Stricter.spec.fingerprint


async def test_a_run_that_rests_before_an_attempt_may_go_on(db: Path, clock: MovableClock) -> None:
    """The failure that its attempt answers to is the runtime's own, and always read."""

    class Patient(Machine):
        work = State(
            initial=Job, agent=scripted(TimeoutError("late")), retry=Retry(attempts_max=2, base_s=900, cap_s=900)
        )
        done = State(final="completed")
        finish = work.to(done, on=Draft)
        broken = work.to(done, on=AgentFailed)

    class PatientLater(Patient, machine_name="Patient"):
        finish = Patient.finish.but(guards=[LoopCap(2)])

    async with running(db, Patient, clock=clock) as runner:
        run = await runner.start(Patient, Job(), run_id="r")
        while runner.journal.read.run_at(run.key).seq < 1:
            await asyncio.sleep(0.001)
    assert looked(db, PatientLater, clock)["r"].obstacles == ()
    assert (await migrated(db, PatientLater, clock))["r"].able


async def test_a_start_that_was_put_off_may_go_on_under_the_new_machine(db: Path, clock: MovableClock) -> None:
    class Door(Machine):
        work = State(initial=Job, agent=scripted(Draft()), guards=[RateLimit("door", 1)])
        done = State(final="completed")
        finish = work.to(done, on=Draft)

    class DoorLater(Door, machine_name="Door"):
        finish = Door.finish.but(guards=[LoopCap(2)])

    async with running(db, Door, clock=clock) as runner:
        for run_id in ("first", "second"):
            await runner.start(Door, Job(), run_id=run_id)
        await runner.settled("first")
        assert runner.journal.read.run("second").state == "(start)"
    assert (await migrated(db, DoorLater, clock))["second"].able
    async with running(db, DoorLater, clock=clock) as runner:
        clock.advance(65)
        assert (await runner.finished("second")).outcome == "completed"


async def test_a_run_that_a_living_runner_advances_is_left_to_it(db: Path, clock: MovableClock) -> None:
    async with running(db, Desk, clock=clock) as runner:
        await runner.start(Desk, Job(), run_id="working")
        while runner.journal.read.run("working").state != "check":
            await asyncio.sleep(0.001)
        assert looked(db, Later, clock)["working"].left == ADVANCED
        found = await migrated(db, Later, clock)
        assert (found["working"].able, found["working"].left) == (False, ADVANCED)
        assert runner.journal.read.run("working").fingerprint == Desk.spec.fingerprint
    assert (await migrated(db, Later, clock))["working"].able, "once nobody does"


async def test_one_that_moved_on_since_it_was_read_is_not_touched(db: Path, clock: MovableClock) -> None:
    await leave_behind(db, clock)
    journal = SqliteJournal(db, synchronous="OFF")
    await journal.open(clock, "migrate")
    try:
        found = prospect(journal.read, journal.read.run("waiting"), Later.spec)
        async with Runner(SqliteJournal(db, synchronous="OFF"), machines=[Desk], clock=clock, adopt=False) as runner:
            await runner.send("waiting", Job())
        with pytest.raises(Fenced):
            await accept(journal, clock, found)
    finally:
        await journal.close()
