"""What a guard keeps of a run: of the moves that were made by its leave, and of nothing else."""

import json
from typing import Any, ClassVar

import attrs
import pytest
from pydantic import BaseModel

from fsm import (
    AgentFailed,
    Facts,
    Guard,
    Kind,
    Machine,
    MachineSpec,
    Record,
    Retry,
    State,
    Verdict,
    allow,
    defer,
    everywhere,
    refuse,
)
from fsm.core.conclude import decide
from fsm.core.engine import Engine
from fsm.core.plan import Event
from fsm.core.record import ruling_from
from fsm.core.snapshot import Snapshot, fold, snapshot_body, snapshot_from
from fsm.define.guard import KEPT_MAX
from fsm.define.payload import Payload
from tests.core.trip import Trip, Word, answer, begun


@attrs.frozen
class Tally(Guard):
    """Keeps how often it let somebody pass; refuses, puts off or keeps as the payload says."""

    kind: ClassVar[Kind] = "env"
    codes: ClassVar[tuple[str, ...]] = ("no", "later")
    label: str = "tally"

    def check(self, facts: Facts, /) -> Verdict:
        said = getattr(facts.payload, "says", {}).get(self.label, "count")
        passed = facts.kept.get("passed", 0) + 1
        answers: dict[str, Any] = {
            "count": allow({"passed": passed}, passed=passed),
            "forget": allow({"passed": 0, "never": 0}),
            "note": allow({"noted": 7}),
            "nothing": allow(),
            "no": refuse("no", passed=passed),
            "later": defer("later", facts.at_ms + 1_000),
            "no, but keep": Verdict("refuse", "no", keep={"passed": 9}),
            "half": allow({"share": 0.5}),  # type: ignore[dict-item]
            "true": allow({"is": True}),
            "listed": allow([1]),  # type: ignore[arg-type]
            "numbered": allow({1: 1}),  # type: ignore[dict-item]
            "surrogate": allow({"\ud800": 1}),
            "long": allow({"x" * 65: 1}),
            "huge": allow({"much": 1 << 63}),
            "many": allow({str(n): 1 for n in range(KEPT_MAX)}),
        }
        return answers[said]  # type: ignore[no-any-return]


class Loop(Machine):
    """A loop, and ways out of it, each with guards that keep."""

    write = State(initial=Word, agent=answer, guards=[Tally("write")])
    person = State[Any](guards=[Tally("person")])
    done = State[Any](final="completed")

    again = write.to(write, on=Word, guards=[Tally("first"), Tally("second")], otherwise=person)
    back = person.to(write, on=Word, guards=[Tally("back")])
    limits = everywhere(Tally("all"))


def kept(trip: Trip) -> dict[str, int]:
    return {place: own["passed"] for place, own in trip.snapshot.kept.items()}


def test_it_finds_what_it_kept_of_the_moves_made() -> None:
    trip = begun(Loop)
    assert kept(trip) == {"write:Tally:1": 1, "limits:Tally:1": 1}, "the start is a move too"
    record = trip.own(Word())
    assert kept(trip) == {"again:Tally:1": 1, "again:Tally:2": 1, "write:Tally:1": 2, "limits:Tally:1": 2}
    assert [ruling.verdict.keep for ruling in record.rulings] == [{"passed": passed} for passed in (1, 1, 2, 2)]


def test_those_alike_at_one_place_keep_each_its_own() -> None:
    trip = begun(Loop)
    trip.own(Word(says={"first": "nothing"}))
    trip.own(Word(says={"first": "forget", "second": "note"}))
    assert trip.snapshot.kept["again:Tally:2"] == {"passed": 1, "noted": 7}, "what it does not name stays"
    assert "again:Tally:1" not in trip.snapshot.kept


def test_zero_forgets_and_a_guard_that_keeps_nothing_leaves_nothing() -> None:
    trip = begun(Loop)
    trip.own(Word())
    trip.own(Word(says={"first": "forget"}))
    assert "again:Tally:1" not in trip.snapshot.kept
    assert kept(trip)["again:Tally:2"] == 2


def test_of_a_way_that_is_refused_nothing_is_kept() -> None:
    trip = begun(Loop)
    record = trip.own(Word(says={"second": "no"}))
    assert (record.hop, record.state) == ("again.otherwise", "person")
    assert kept(trip) == {"write:Tally:1": 1, "limits:Tally:1": 1, "person:Tally:1": 1}
    assert [(ruling.at, dict(ruling.verdict.keep)) for ruling in record.rulings] == [
        ("again", {}),
        ("again", {}),
        ("write", {}),
        ("limits", {}),
        ("person", {"passed": 1}),
    ]


class Same(Loop):
    """The way out leads to the very state that was refused, whose guards are asked twice in one decision."""

    again = Loop.write.to(Loop.write, on=Word, guards=[Tally("first")], otherwise=Loop.write)


def test_a_guard_asked_on_two_ways_of_one_decision_keeps_what_it_said_of_the_last() -> None:
    trip = begun(Same)
    record = trip.own(Word(says={"first": "no"}))
    assert [(ruling.at, dict(ruling.verdict.keep)) for ruling in record.rulings] == [
        ("again", {}),
        ("write", {}),
        ("limits", {}),
        ("write", {"passed": 2}),
    ]
    assert kept(trip) == {"write:Tally:1": 2, "limits:Tally:1": 1}


@pytest.mark.parametrize("said", ["no", "later"])
def test_of_what_does_not_move_the_run_nothing_is_kept(said: str) -> None:
    trip = begun(Loop)
    trip.own(Word(says={"second": "no"}))
    before = kept(trip)
    record = trip.sent(Word(says={"all": said}))
    assert record.kind == {"no": "refused", "later": "deferred"}[said]
    assert not any(ruling.verdict.keep for ruling in record.rulings)
    assert kept(trip) == before


def test_of_a_start_that_is_refused_and_of_a_halt_nothing_is_kept() -> None:
    trip = Trip(Loop)
    trip.own(Word(says={"all": "no"}))
    assert (trip.snapshot.outcome, trip.snapshot.kept) == ("stopped", {})
    trip = begun(Loop)
    record = trip.own(Word(says={"all": "no"}))
    assert (record.kind, kept(trip)) == ("halted", {"write:Tally:1": 1, "limits:Tally:1": 1})


def test_what_was_put_off_keeps_once_it_is_decided() -> None:
    trip = begun(Loop)
    word = Word(says={"all": "later"})
    assert [trip.own(word).kind for _ in range(3)] == ["deferred"] * 3
    assert kept(trip) == {"write:Tally:1": 1, "limits:Tally:1": 1}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("no, but keep", "it keeps counts of a move that it does not allow"),
        ("half", "what it keeps are no whole numbers"),
        ("true", "what it keeps are no whole numbers"),
        ("listed", "what it keeps are no whole numbers"),
        ("numbered", "what it keeps has names that cannot be stored, or longer than 64 characters"),
        ("surrogate", "what it keeps has names that cannot be stored, or longer than 64 characters"),
        ("long", "what it keeps has names that cannot be stored, or longer than 64 characters"),
        ("huge", "what it keeps does not fit in 64 bits"),
        ("many", "it keeps more than 1,024 counts"),
    ],
)
def test_what_cannot_be_kept_is_refused(said: str, why: str) -> None:
    trip = begun(Loop)
    trip.own(Word())
    ruling = trip.own(Word(says={"first": said})).rulings[0]
    assert (ruling.verdict.code, ruling.verdict.keep) == ("guard_error", {})
    assert ruling.verdict.text.endswith(why)


def test_as_many_as_allowed_can_be_kept_and_changed() -> None:
    trip = begun(Loop)
    for _ in range(2):
        assert trip.own(Word(says={"first": "many"})).hop == "again"
    assert len(trip.snapshot.kept["again:Tally:1"]) == KEPT_MAX


def test_a_ruling_says_what_it_keeps() -> None:
    ruling = begun(Loop).own(Word()).rulings[0]
    assert str(ruling) == "Tally on again allows (passed 1: keeps passed 1)"


@attrs.frozen
class Watch(Tally):
    """The same, of something outside the run: it is asked before a retry as well."""

    kind: ClassVar[Kind] = "env"


class Retrying(Machine):
    work = State(initial=Word, agent=answer, retry=Retry(attempts_max=2))
    done = State[Any](final="completed")
    failed = State[Any](final="failed")
    go = work.to(done, on=Word)
    broken = work.to(failed, on=AgentFailed, guards=[Tally("broken")])
    limits = everywhere(Watch("all"))


def test_of_a_retry_that_is_made_what_guards_say_is_kept_and_nothing_of_one_that_is_refused() -> None:
    trip = begun(Retrying)
    failure = AgentFailed(error_type="E", message="m", attempt=1, retriable=True)
    retried = trip.own(failure)
    assert (retried.kind, retried.hop) == ("retried", "work.retry")
    assert "limits" in [ruling.at for ruling in retried.rulings]
    assert kept(trip) == {"limits:Watch:1": 2}
    ended = trip.own(failure)
    assert (ended.hop, [dict(ruling.verdict.keep) for ruling in ended.rulings if ruling.at == "limits"]) == (
        "broken",
        [{}],
    )
    assert kept(trip) == {"limits:Watch:1": 2, "broken:Tally:1": 1}


# --- what is stored -------------------------------------------------------------------------------


def journey() -> Trip:
    trip = begun(Loop)
    trip.own(Word())
    trip.own(Word(says={"first": "forget", "write": "note"}))
    trip.own(Word(says={"second": "no"}))
    trip.sent(Word(says={"back": "no"}), "a")
    trip.sent(Word(says={"back": "later"}), "b")
    trip.sent(Word(), "c")
    trip.own(Word())
    return trip


def stored(record: Record) -> Record:
    """The record with its rulings as they read back."""
    forms = json.loads(record.detail).get("rulings", [])
    return attrs.evolve(record, rulings=tuple(ruling_from(form) for form in forms))


def test_a_record_reads_back_with_what_is_kept() -> None:
    records = journey().records
    assert [stored(record).rulings for record in records] == [record.rulings for record in records]
    assert any(ruling.nth == 2 for record in records for ruling in record.rulings)


def test_a_record_of_before_reads_as_one_that_keeps_nothing() -> None:
    ruling = ruling_from(["LoopCap", "reject", "transition", "refuse", "loop_cap", {"fires": 3}, None, "told"])
    assert (ruling.verdict.text, ruling.verdict.keep, ruling.nth) == ("told", {}, 1)


def test_without_code_the_same_is_kept() -> None:
    trip = journey()
    engine, snapshot = Engine(MachineSpec.from_json(Loop.spec.to_json())), Snapshot()
    for record in map(stored, trip.records):
        body = record.body or b""
        event = Event(
            payload=Payload(record.event, None, body, record.digest or b""),
            at_ms=record.at_ms,
            own=record.own,
            event_id=record.event_id,
        )
        decision = decide(engine, snapshot, event, record)
        assert decision.record == record
        snapshot = decision.snapshot
    assert snapshot == trip.snapshot


def test_a_snapshot_row_holds_it_and_a_row_of_before_reads() -> None:
    snapshot = journey().snapshot
    assert snapshot_from(snapshot_body(snapshot), None) == snapshot
    assert fold(Loop.spec, journey().records) == snapshot
    form = json.loads(snapshot_body(snapshot))
    del form["kept"]
    assert snapshot_from(json.dumps(form), None).kept == {}


# --- memory ---------------------------------------------------------------------------------------


class Notes(BaseModel):
    words: int = 0


def note(notes: Notes, word: Word) -> Notes:
    return Notes(words=notes.words + 1)


@attrs.frozen
class Brief(Guard):
    """Refuses once two words are remembered."""

    codes: ClassVar[tuple[str, ...]] = ("enough",)

    def check(self, facts: Facts, /) -> Verdict:
        return refuse("enough") if facts.memory.words == 2 else allow(words=facts.memory.words)


class Noted(Machine, memory=Notes):
    write = State(initial=Word, agent=answer)
    done = State[Any](final="completed")
    again = write.to(write, on=Word, remember=note, guards=[Brief()], otherwise=done)


def test_a_guard_sees_the_memory_as_it_is_before_the_payload() -> None:
    trip = begun(Noted)
    records = [trip.own(Word()) for _ in range(3)]
    assert [record.rulings[0].verdict.numbers for record in records] == [{"words": 0}, {"words": 1}, {}]
    assert records[-1].hop == "again.otherwise"


def test_without_memory_a_guard_sees_none() -> None:
    assert Facts("a", "b", "go", None, {}, 0, 0, 0).memory is None
