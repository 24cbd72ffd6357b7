"""Code changes under recorded runs: what replay says of it, and how a payload may be renamed or grow."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
from attrs import frozen
from pydantic import BaseModel, Field

from fsm import (
    Facts,
    Guard,
    Kind,
    Machine,
    Runner,
    SqliteJournal,
    State,
    Verdict,
    View,
    allow,
    defer,
    read_journal,
    replay_run,
)
from fsm.core.record import Record
from fsm.define.payload import Invalid, seal, unseal
from fsm.errors import DefinitionError, MachineChanged, NotResumable
from fsm.testing import MovableClock, assert_replays, hang, scripted
from guards import LoopCap
from tests.replay.test_tampering import said
from tests.replay.workshop import Check, Ledger, Part, Signed, Weight, Workshop

# -- the machine of the recorded runs, with one thing changed --------------------------------------


def good_from_five_on() -> Callable[[Check], bool]:
    def is_good(check: Check) -> bool:
        return check.score >= 5

    return is_good


def never_repeating() -> Callable[[Check, Ledger], bool]:
    def may_repeat(check: Check, ledger: Ledger) -> bool:
        return ledger.made > 5

    return may_repeat


def keep(ledger: Ledger, part: Part) -> Ledger:
    return Ledger(made=ledger.made + 1, texts=[*ledger.texts, part.text.upper()])


@frozen
class Unsigned(Guard):
    """As `Signed`, but anybody may ship."""

    codes: ClassVar[tuple[str, ...]] = ("unsigned",)

    def check(self, facts: Facts, /) -> Verdict:
        return allow()


Unsigned.__name__ = Signed.__name__


class Capped(Workshop, machine_name="Workshop"):
    again = Workshop.again.but(guards=[LoopCap(3)])


class Predicated(Workshop, machine_name="Workshop"):
    good = Workshop.good.but(when=good_from_five_on())


class PredicatedOnMemory(Workshop, machine_name="Workshop"):
    again = Workshop.again.but(when=never_repeating())


class Without(Workshop, machine_name="Workshop"):
    again = None  # type: ignore[assignment]


class Elsewhere(Workshop, machine_name="Workshop"):
    again = Workshop.again.but(otherwise=Workshop.scrapped)


class Remembering(Workshop, machine_name="Workshop"):
    made = Workshop.make.to(Workshop.test, on=Part, guards=[Weight(100)], remember=keep)


class Forgetting(Workshop, machine_name="Workshop"):
    made = Workshop.make.to(Workshop.test, on=Part, guards=[Weight(100)])


class Guarded(Workshop, machine_name="Workshop"):
    ship = Workshop.ship.but(guards=[Unsigned()])


CHANGED: dict[str, tuple[type[Machine], str, str]] = {
    "a cap": (
        Capped,
        "otherwise",
        "2: guards: it was LoopCap on again allows (fires 0, fires_max 2),"
        " and now LoopCap on again allows (fires 0, fires_max 3)\n"
        "recorded: taken on Check: test -> make by again; LoopCap on again allows (fires 0, fires_max 2)\n"
        "now:      taken on Check: test -> make by again; LoopCap on again allows (fires 0, fires_max 3)",
    ),
    "a predicate": (
        Predicated,
        "otherwise",
        """2: predicates: good answered no and now yes; again answered yes and is not asked now
        recorded: taken on Check: test -> make by again
        now:      ended, completed, on Check: test -> shipped by good""",
    ),
    "a predicate that looks at memory": (
        PredicatedOnMemory,
        "otherwise",
        """2: predicates: again answered yes and now no
        recorded: taken on Check: test -> make by again
        now:      taken on Check: test -> desk by bad""",
    ),
    "a transition removed": (
        Without,
        "otherwise",
        """2: the machine no longer declares again
        recorded: taken on Check: test -> make by again
        now:      taken on Check: test -> desk by bad""",
    ),
    "an otherwise": (
        Elsewhere,
        "otherwise",
        "6: its state would be 'scrapped', not 'desk'\n"
        "recorded: taken on Check: test -> desk by again.otherwise"
        " (LoopCap on again refuses (loop_cap: fires 2, fires_max 2))\n"
        "now:      ended, failed, on Check: test -> scrapped by again.otherwise"
        " (LoopCap on again refuses (loop_cap: fires 2, fires_max 2))",
    ),
    "a guard": (
        Guarded,
        "ships",
        """3: guards: it was Signed on ship refuses (unsigned), and now Signed on ship allows
        recorded: refused on Ship: it stays in desk (Signed on ship refuses (unsigned))
        now:      ended, completed, on Ship: desk -> shipped by ship""",
    ),
    "what is remembered": (
        Remembering,
        "straight",
        """1: the memory after it is another
        recorded: memory #
        now:      memory #: {"made":1,"texts":["straight","P"]}""",
    ),
    "that it is remembered": (
        Forgetting,
        "straight",
        """1: the memory after it is another
        recorded: memory #
        now:      memory (none)""",
    ),
}


@pytest.mark.parametrize("case", CHANGED, ids=str)
def test_a_changed_machine_diverges_where_it_decides_otherwise(recorded: Path, case: str):
    machine, run_id, expected = CHANGED[case]
    replayed = replay_run(recorded, run_id, machine)
    lines = [line.strip() for line in expected.splitlines()]
    assert said(replayed) == [f"run {run_id} diverges at record {lines[0]}", *lines[1:]]
    assert replayed.divergence is not None
    assert replayed.records == replayed.divergence.seq


def test_a_change_that_no_record_met_agrees(recorded: Path):
    """Replay compares decisions, not definitions: a run that never met the changed line says nothing of it."""
    assert replay_run(recorded, "straight", Capped).agreed
    assert replay_run(recorded, "straight", Without).agreed
    assert not replay_run(recorded, "straight", Predicated.with_agents(make=hang)).divergence


# -- a payload class with a history ----------------------------------------------------------------


class Brief(BaseModel):
    task: str


class Draft(BaseModel):
    text: str


class Approval(BaseModel):
    by: str


class Notes(BaseModel):
    words: int = 0


@frozen
class Cool(Guard):
    """Puts a revision off until the desk has had its paper for a minute."""

    kind: ClassVar[Kind] = "env"
    codes: ClassVar[tuple[str, ...]] = ("too_soon",)

    def check(self, facts: Facts, /) -> Verdict:
        cooled_ms = facts.entered_at_ms + 60_000
        return allow() if facts.at_ms >= cooled_ms else defer("too_soon", cooled_ms)


def count(notes: Notes, draft: Any) -> Notes:
    return Notes(words=notes.words + len(draft.text.split()))


def note_task(notes: Notes, brief: Brief) -> Notes:
    return Notes(words=len(brief.task.split()))


def has_text(draft: Any, notes: Notes) -> bool:
    return bool(draft.text) and notes.words >= 0


seen: list[Any] = []


async def prints(view: View[Any]) -> BaseModel:
    seen.append((view.payload, view.memory.words))
    return Approval(by="press")


def office(draft: type[BaseModel], write: Any = hang, press: Any = prints, remember: Any = count) -> type[Machine]:
    """Drafts are printed; a long one lies on the desk, where it may be revised."""

    def is_long(paper: Any) -> bool:
        return len(paper.text) > 20

    class Office(Machine, memory=Notes):
        write = State(initial=Brief, agent=hang, remember=note_task)
        press = State(agent=hang)
        desk = State()
        done = State(final="completed")

        long = write.to(desk, on=draft, when=is_long, remember=remember)
        short = write.to(press, on=draft, when=has_text, remember=remember)
        revise = desk.to(press, on=draft, guards=[Cool()], remember=remember)
        printed = press.to(done, on=Approval)

    return Office.with_agents(write=write, press=press)


def renamed() -> type[BaseModel]:
    class Paper(BaseModel):
        formerly: ClassVar[tuple[str, ...]] = ("Draft",)
        text: str

    return Paper


def grown() -> type[BaseModel]:
    class Draft(BaseModel):
        text: str
        language: str

        @staticmethod
        def upcast(old: dict[str, Any], version: int) -> dict[str, Any]:
            return {**old, "language": "en"}

    return Draft


class Rooms:
    """One journal that runners with different definitions take turns at."""

    def __init__(self, folder: Path) -> None:
        self.db = folder / "runs.db"
        self.clock = MovableClock()

    def runner(self, machine: type[Machine]) -> Runner:
        journal = SqliteJournal(self.db, synchronous="OFF")
        return Runner(journal, machines=[machine], clock=self.clock, poll_s=0.005, handle_signals=False)

    async def until(self, runner: Runner, run_id: str, true: Callable[[Record], bool]) -> None:
        read = runner.journal.read
        for _ in range(2_000):
            run = read.run(run_id)
            if true(read.record(run.key, run.seq)):
                return
            await asyncio.sleep(0.005)
        raise AssertionError("it did not come to that")


LONG = "a text of more than twenty letters"


async def recorded_by_the_old_class(rooms: Rooms) -> None:
    """One run at the press, entered by a Draft; one at the desk, with a Draft put off; one with a Draft posted."""
    old = office(Draft, write=scripted(Draft(text=LONG)))
    async with rooms.runner(old) as runner:
        for run_id in ("desk", "posted"):
            await runner.start(old, Brief(task="two words"), run_id=run_id)
            await runner.settled(run_id)
        await runner.send("desk", Draft(text="revised"), event_id="r1")
    old = office(Draft, write=scripted(Draft(text="short")), press=hang)
    async with rooms.runner(old) as runner:
        await runner.start(old, Brief(task="t"), run_id="press")
        await rooms.until(runner, "press", lambda record: record.state == "press")
    journal = SqliteJournal(rooms.db, synchronous="OFF")
    await journal.open(rooms.clock, "a sender")
    await journal.post("posted", "p1", seal(Draft(text="posted"), 1_000), rooms.clock.now_ms(), 10)
    await journal.close()


@pytest.mark.parametrize("new", [renamed, grown], ids=["renamed", "grown"])
def test_old_runs_go_on_and_replay_after_a_class_was(tmp_path: Path, new: Callable[[], type[BaseModel]]):
    """Renamed with formerly=, or grown with upcast: payloads in records, put off, and in the inbox are all read."""
    rooms, paper = Rooms(tmp_path), new()
    machine = office(paper)
    seen.clear()

    async def main() -> None:
        await recorded_by_the_old_class(rooms)
        async with rooms.runner(machine) as runner:
            with pytest.raises(MachineChanged, match="payloads"):
                await runner.resume("press")
            for run_id in ("press", "desk", "posted"):
                await runner.resume(run_id, accept=True, by="mia")
            rooms.clock.advance(61)
            for run_id in ("press", "desk", "posted"):
                assert (await runner.finished(run_id)).outcome == "completed", run_id

    asyncio.run(main())
    assert all(type(payload) is paper for payload, _ in seen)
    assert {payload.text: words for payload, words in seen} == {"short": 2, "revised": 10, "posted": 10}
    assert assert_replays(rooms.db, machine) == assert_replays(rooms.db) == 3
    reader = read_journal(rooms.db)
    events = {run.run_id: [record.event for record in reader.records(run.key)] for run in reader.runs()}
    reader.close()
    name = paper.__name__
    assert events["press"] == ["Brief", "Draft", "", "", "Approval"]
    assert events["desk"] == ["Brief", "Draft", "Draft", "", name, "Approval"]
    assert events["posted"][:4] == ["Brief", "Draft", "", name]


def test_an_accepted_change_of_what_is_remembered_is_recorded_with_the_memory_it_gives(tmp_path: Path):
    """From the acceptance on the run goes by the new memory, and its replay knows it from the snapshot row."""

    def count_letters(notes: Notes, draft: Draft) -> Notes:
        return Notes(words=notes.words + len(draft.text))

    rooms = one_recorded_run(tmp_path)
    lettered = office(Draft, remember=count_letters)
    seen.clear()

    async def main() -> None:
        async with rooms.runner(lettered) as runner:
            await runner.resume("run", accept=True)
            rooms.clock.advance(61)
            await runner.send("run", Draft(text="four"))
            assert (await runner.finished("run")).outcome == "completed"

    asyncio.run(main())
    assert seen == [(Draft(text="four"), 2 + len(LONG) + 4)]
    assert assert_replays(rooms.db, lettered) == assert_replays(rooms.db) == 1


def one_recorded_run(folder: Path) -> Rooms:
    rooms = Rooms(folder)

    async def main() -> None:
        machine = office(Draft, write=scripted(Draft(text=LONG)))
        async with rooms.runner(machine) as runner:
            await runner.start(machine, Brief(task="two words"), run_id="run")
            await runner.settled("run")

    asyncio.run(main())
    return rooms


@pytest.mark.parametrize("new", [renamed, grown], ids=["renamed", "grown"])
def test_a_replay_by_the_new_class_needs_no_acceptance(tmp_path: Path, new: Callable[[], type[BaseModel]]):
    assert replay_run(one_recorded_run(tmp_path).db, "run", office(new())).agreed


def test_a_class_renamed_without_formerly_is_missed(tmp_path: Path):
    class Paper(BaseModel):
        text: str

    rooms = one_recorded_run(tmp_path)
    assert said(replay_run(rooms.db, "run", office(Paper))) == [
        "run run diverges at record 1: the machine no longer has payload Draft",
        "recorded: taken on Draft: write -> desk by long",
        "now:      a class that was renamed says formerly = ('Draft',)",
    ]

    async def resume() -> None:
        async with rooms.runner(office(Paper)) as runner:
            with pytest.raises(NotResumable, match=r"record 1 \(Draft\); the machine no longer has its payload Draft"):
                await runner.resume("run", accept=True)

    asyncio.run(resume())
    assert replay_run(rooms.db, "run").agreed


def test_a_former_name_that_is_still_in_use_is_a_mistake():
    with pytest.raises(DefinitionError, match="Paper was formerly Draft, but Draft is still a payload here"):

        class Both(Machine):
            write = State(initial=Brief, agent=hang)
            done = State(final="completed")
            old = write.to(done, on=Draft)
            new = write.to(done, on=renamed())


def test_a_field_made_stricter_is_named(tmp_path: Path):
    class Draft(BaseModel):
        text: Annotated[str, Field(max_length=10)]

    assert said(replay_run(one_recorded_run(tmp_path).db, "run", office(Draft))) == [
        "run run diverges at record 1: its payload is no valid Draft now",
        "recorded: taken on Draft: write -> desk by long",
        f"now:      text: String should have at most 10 characters, got '{LONG}'",
    ]


# -- upcast ----------------------------------------------------------------------------------------


class Plain(BaseModel):
    """Without `version` among its fields: upcast where the stored body does not validate as it is."""

    text: str
    language: str

    @staticmethod
    def upcast(old: dict[str, Any], version: int) -> dict[str, Any]:
        return {**old, "language": f"from {version}"}


class Versioned(BaseModel):
    """With a `version`: upcast wherever the stored one is another, valid or not."""

    version: int = 3
    cents: int

    @staticmethod
    def upcast(old: dict[str, Any], version: int) -> dict[str, Any]:
        return {"version": 3, "cents": old["cents"] * 100 if version < 2 else old["cents"]}


class Broken(BaseModel):
    text: str

    @staticmethod
    def upcast(old: dict[str, Any], version: int) -> Any:
        return old["nothing"] if "raise" in old else {"text": 1} if "lie" in old else object()


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (b'{"language":"de","text":"a"}', Plain(text="a", language="de")),
        (b'{"text":"a"}', Plain(text="a", language="from 0")),
        (b'{"cents":5,"version":3}', Versioned(cents=5)),
        (b'{"cents":5,"version":2}', Versioned(cents=5)),
        (b'{"cents":5,"version":1}', Versioned(cents=500)),
        (b'{"cents":5}', Versioned(cents=500)),
    ],
)
def test_upcast_reads_what_an_older_class_wrote(body: bytes, read: BaseModel):
    assert unseal(type(read), body) == read


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b'{"raise":1}', "Broken.upcast(old, 0) raised KeyError: 'nothing'"),
        (b'{"lie":1}', "text: Input should be a valid string, got 1"),
        (b"{}", "Broken.upcast(old, 0) raised TypeError: Object of type object is not JSON serializable"),
    ],
)
def test_an_upcast_that_fails_is_an_invalid_payload_not_an_accident(body: bytes, problem: str):
    with pytest.raises(Invalid) as caught:
        unseal(Broken, body)
    assert caught.value.problems == [problem]


def test_what_is_written_today_is_not_upcast_when_it_is_read_back():
    for payload in (Versioned(cents=7), Plain(text="a", language="it")):
        assert unseal(type(payload), seal(payload, 1_000).body) == payload
