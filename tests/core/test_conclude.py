"""What becomes of an event: taken, refused, put off, unhandled; halted or ended; and what memory follows."""

import json
from typing import Any

import attrs
import pytest
from pydantic import BaseModel

from fsm import AgentFailed, Cancelled, Machine, Spent, State, TimedOut, any_of, days
from fsm.core.conclude import decide
from fsm.core.recall import position, recall
from fsm.core.snapshot import Snapshot, fold
from tests.core.trip import Other, Says, Trip, Word, answer, answers, begun

LATER = {"guard": "later"}


class Desk(Machine, refusals_max=3, defers_max=2, defer_s_max=60):
    work = State(initial=Word, agent=answer)
    person = State[Any](timeout_s=days(1))
    strict = State[Any](agent=answer, guards=[Says("entry")])
    bad = State[Any](agent=answer)
    done = State[Any](final="completed")
    gone = State[Any](final="failed")

    go = work.to(person, on=Word, guards=[Says("guard")], otherwise={"defer_exhausted": bad, "*": strict})
    ask = work.to(strict, on=Other, guards=[Says("guard")])
    broken = any_of(work, bad, strict).to(gone, on=AgentFailed)
    accept = person.to(done, on=Word, guards=[Says("guard")])
    again = person.to(work, on=Other, guards=[Says("guard")], otherwise=bad)
    late = person.to(gone, on=TimedOut, guards=[Says("guard")])
    back = any_of(strict, bad).to(work, on=Word)


def waiting() -> Trip:
    trip = begun(Desk)
    trip.own(Word())
    assert trip.snapshot.outcome == "waiting"
    return trip


# --- taken, ended ---------------------------------------------------------------------------------


def test_a_hop_enters_its_target() -> None:
    trip = begun(Desk)
    record = trip.own(Word(), spent=Spent(7, 9))
    assert (record.seq, record.kind, record.source, record.state, record.hop) == (1, "taken", "work", "person", "go")
    assert (record.event, record.own, record.event_id, record.outcome) == ("Word", True, None, "waiting")
    after = trip.snapshot
    assert (after.state, after.seq, after.entered, after.outcome, after.attempt) == ("person", 1, 1, "waiting", 1)
    assert (after.entered_at_ms, after.at_ms) == (record.at_ms, record.at_ms)
    assert after.started_at_ms == trip.records[0].at_ms
    assert after.spent == Spent(7, 9)


def test_a_hop_to_a_final_state_ends_the_run() -> None:
    record = waiting().sent(Word())
    assert (record.kind, record.outcome, record.state, record.hop) == ("ended", "completed", "done", "accept")


# --- refused and unhandled ------------------------------------------------------------------------


def test_an_event_from_outside_that_is_refused_changes_nothing_but_the_count() -> None:
    trip = waiting()
    before = trip.snapshot
    record = trip.sent(Word(says={"guard": "refuse"}))
    assert (record.kind, record.state, record.outcome, record.hop) == ("refused", "person", "waiting", "")
    assert answers(record) == [("accept", "Says", "no")]
    assert trip.snapshot == attrs.evolve(before, seq=2, at_ms=record.at_ms, refusals=1)


def test_an_event_from_outside_that_nothing_takes_is_only_noted() -> None:
    trip = waiting()
    record = trip.sent(AgentFailed(error_type="E", message="", attempt=1))
    assert (record.kind, record.state, record.outcome, record.rulings) == ("unhandled", "person", "waiting", ())
    assert trip.snapshot.refusals == 1


def test_beyond_refusals_max_nothing_is_written() -> None:
    trip = waiting()
    for n in range(3):
        assert trip.sent(Word(says={"guard": "refuse"}), f"e{n}").kind == "refused"
    full = trip.snapshot
    assert trip.send(Word(says={"guard": "refuse"}), "e4") is None
    assert trip.send(AgentFailed(error_type="E", message="", attempt=1), "e5") is None
    assert trip.snapshot == full
    assert trip.sent(Word(), "e6").outcome == "completed", "an event that moves the run is heard all the same"


def test_a_new_visit_has_its_refusals_again() -> None:
    trip = waiting()
    trip.sent(Word(says={"guard": "refuse"}))
    trip.sent(Other(), "o")
    assert (trip.snapshot.state, trip.snapshot.refusals) == ("work", 0)


@pytest.mark.parametrize(
    ("event", "kind", "outcome"),
    [
        (Other(says={"guard": "refuse"}), "halted", "stopped"),
        (Other(says={"entry": "refuse"}), "halted", "stopped"),
        (Word(says={"guard": "refuse", "entry": "refuse"}), "halted", "stopped"),
        (Word(says={"guard": "refuse"}), "taken", "running"),
    ],
)
def test_the_runs_own_event_halts_it_where_no_way_is_left(event: BaseModel, kind: str, outcome: str) -> None:
    trip = begun(Desk)
    record = trip.own(event)
    assert (record.kind, record.outcome) == (kind, outcome)
    if kind == "halted":
        assert (record.state, record.hop, trip.snapshot.entered) == ("work", "", 0)
        assert [code for _, _, code in answers(record) if code != "allow"][-1] == "no"


def test_only_the_runs_own_event_can_make_it_stuck() -> None:
    class Silent(Machine):
        work = State(initial=Word, agent=answer)
        done = State[Any](final="completed")
        go = work.to(done, on=Word)

    trip = begun(Silent)
    assert trip.sent(AgentFailed(error_type="E", message="", attempt=1)).kind == "unhandled"
    record = trip.own(AgentFailed(error_type="E", message="", attempt=1))
    assert (record.kind, record.outcome, record.state) == ("halted", "stuck", "work")


# --- put off --------------------------------------------------------------------------------------


def test_an_event_that_is_put_off_waits_in_its_slot() -> None:
    trip = begun(Desk)
    record = trip.own(Word(says=LATER))
    assert (record.kind, record.state, record.outcome, record.hop) == ("deferred", "work", "running", "")
    assert record.until_ms == record.at_ms + 1_000
    pending = trip.snapshot.pending
    assert pending is not None
    assert (pending.seq, pending.event, pending.own, pending.event_id) == (1, "Word", True, None)
    assert (pending.until_ms, pending.defers, pending.since_ms) == (record.until_ms, 1, record.at_ms)
    assert trip.snapshot.entered == 0


def test_the_latest_of_several_moments_counts_and_none_in_the_past() -> None:
    class Slow(Machine):
        work = State(initial=Word, agent=answer)
        done = State[Any](final="completed")
        go = work.to(done, on=Word, guards=[Says("a"), Says("b")])

    record = begun(Slow).own(Word(says={"a": "much later", "b": "later"}))
    assert record.until_ms == record.at_ms + 10_000
    record = begun(Slow).own(Word(says={"a": "past"}))
    assert record.until_ms == record.at_ms + 1


def test_decided_again_it_is_the_same_event() -> None:
    trip = begun(Desk)
    first = trip.own(Word(says=LATER))
    second = trip.own(Word(says=LATER))
    pending = trip.snapshot.pending
    assert (second.kind, second.seq) == ("deferred", 2)
    assert pending is not None
    assert (pending.seq, pending.defers, pending.since_ms) == (first.seq, 2, first.at_ms)
    record = trip.own(Word())
    assert (record.kind, record.hop, trip.snapshot.pending) == ("taken", "go", None)
    assert "superseded" not in record.note


def test_it_is_not_put_off_for_ever() -> None:
    trip = begun(Desk)
    trip.own(Word(says=LATER))
    trip.own(Word(says=LATER))
    record = trip.own(Word(says=LATER))
    verdict = record.rulings[0].verdict
    assert (verdict.decision, verdict.code) == ("refuse", "defer_exhausted")
    assert (verdict.numbers["defers"], verdict.numbers["defers_max"]) == (2, 2)
    assert (record.hop, trip.snapshot.state, trip.snapshot.pending) == ("go.otherwise.defer_exhausted", "bad", None)


def test_it_is_not_put_off_beyond_the_longest_wait() -> None:
    record = begun(Desk).own(Word(says={"guard": "next year"}))
    verdict = record.rulings[0].verdict
    assert verdict.code == "defer_exhausted"
    assert (verdict.numbers["defer_s"], verdict.numbers["defer_s_max"]) == (365 * 86_400, 60)


def test_the_wait_is_counted_from_the_first_time() -> None:
    trip = begun(Desk)
    trip.own(Word(says=LATER))
    trip.now_ms += 60_500
    assert trip.own(Word(says=LATER)).rulings[0].verdict.code == "defer_exhausted"


def test_a_begun_second_counts_as_one_so_the_longest_wait_is_a_bound() -> None:
    trip = begun(Desk)
    trip.own(Word(says=LATER))
    trip.now_ms += 59_001  # and a second more
    verdict = trip.own(Word(says=LATER)).rulings[0].verdict
    assert (verdict.code, verdict.numbers["defer_s"]) == ("defer_exhausted", 61)


def test_how_often_one_event_was_put_off_says_nothing_of_another() -> None:
    trip = waiting()
    trip.sent(Word(says=LATER), "a")
    trip.sent(Word(says=LATER), "a")
    record = trip.own(TimedOut(timeout_ms=1, attempt=1))
    assert record.hop == "late"
    assert record.note["superseded"] == "a"


def test_one_event_from_outside_is_put_off_at_a_time() -> None:
    trip = waiting()
    trip.sent(Word(says=LATER), "first")
    record = trip.sent(Other(says=LATER), "second")
    assert (record.kind, answers(record)) == ("refused", [("again", "Says", "later")])
    assert trip.snapshot.pending is not None
    assert trip.snapshot.pending.event_id == "first"
    assert trip.snapshot.refusals == 1


def test_an_event_that_moves_the_run_supersedes_the_one_put_off() -> None:
    trip = waiting()
    trip.sent(Word(says=LATER), "first")
    record = trip.sent(Other(), "second")
    assert (record.kind, record.hop, record.note["superseded"]) == ("taken", "again", "first")
    assert trip.snapshot.pending is None


def test_cancelling_supersedes_it_too() -> None:
    trip = begun(Desk)
    trip.own(Word(says=LATER))
    record = trip.sent(Cancelled(), "c")
    assert (record.outcome, record.note["superseded"], trip.snapshot.pending) == ("cancelled", 1, None)


def test_a_halt_says_what_it_leaves_undecided() -> None:
    class Both(Machine):
        work = State(initial=Word, agent=answer)
        done = State[Any](final="completed")
        go = work.to(done, on=Word, guards=[Says("guard")])

    trip = begun(Both)
    trip.sent(Word(says=LATER), "outside")
    record = trip.own(Word(says={"guard": "refuse"}))
    assert (record.outcome, record.note["superseded"], trip.snapshot.pending) == ("stopped", "outside", None)


def test_the_runs_own_event_takes_the_slot_and_says_so() -> None:
    class Both(Machine):
        work = State(initial=Word, agent=answer)
        done = State[Any](final="completed")
        go = work.to(done, on=Word, guards=[Says("guard")])

    trip = begun(Both)
    trip.sent(Word(says=LATER), "outside")
    record = trip.own(Word(says=LATER))
    assert (record.kind, record.note["superseded"]) == ("deferred", "outside")
    assert trip.snapshot.pending is not None
    assert trip.snapshot.pending.own


def test_one_put_off_that_is_refused_in_the_end_is_recorded_beyond_refusals_max() -> None:
    trip = waiting()
    for n in range(3):
        trip.sent(Word(says={"guard": "refuse"}), f"e{n}")
    trip.sent(Word(says=LATER), "slow")
    record = trip.sent(Word(says={"guard": "refuse"}), "slow")
    assert (record.kind, trip.snapshot.pending) == ("refused", None)


def test_refuse_beats_defer_beats_allow_also_on_the_way_of_an_otherwise() -> None:
    trip = begun(Desk)
    record = trip.own(Word(says={"guard": "refuse", "entry": "later"}))
    assert (record.kind, answers(record)) == ("deferred", [("go", "Says", "no"), ("strict", "Says", "later")])
    assert trip.own(Word(says={"guard": "refuse"})).hop == "go.otherwise"


def test_the_very_start_can_be_put_off() -> None:
    class Slow(Machine):
        work = State(initial=Word, agent=answer, guards=[Says("entry")])
        done = State[Any](final="completed")
        go = work.to(done, on=Word)

    trip = Trip(Slow)
    first = trip.own(Word(says={"entry": "later"}))
    assert (first.seq, first.kind, first.state) == (0, "deferred", "(start)")
    assert trip.sent(Word(), "stray").kind == "unhandled"
    record = trip.own(Word())
    assert (record.hop, record.state, trip.snapshot.state) == ("start", "work", "work")
    assert trip.snapshot.started_at_ms == first.at_ms
    assert trip.snapshot.counters["visits:work"] == 1


# --- memory ---------------------------------------------------------------------------------------


class Notes(BaseModel):
    words: list[str] = []


class Note(BaseModel):
    text: str


def keep(notes: Notes, note: Note) -> Notes:
    if note.text == "raise":
        raise LookupError("no room")
    if note.text == "other":
        return note  # type: ignore[return-value]
    if note.text == "rubbish":
        return Notes.model_construct(words=[3])
    return Notes(words=[*notes.words, note.text])


def knows(note: Note, notes: Notes) -> bool:
    return note.text in notes.words


class Remembering(Machine, memory=Notes, memory_bytes_max=60):
    work = State(initial=Note, agent=answer, remember=keep)
    full = State[Any](agent=answer)
    bad = State[Any](agent=answer)
    done = State[Any](final="completed")

    enough = work.to(done, on=Note, when=knows)
    more = work.to(work, on=Note, remember=keep, otherwise={"memory_full": full, "*": bad})
    unguarded = any_of(full, bad).to(work, on=Note, remember=keep)


def words(trip: Trip) -> list[str]:
    assert trip.snapshot.memory is not None
    return json.loads(trip.snapshot.memory)["words"]  # type: ignore[no-any-return]


def test_memory_is_folded_by_each_transition_that_remembers() -> None:
    trip = begun(Remembering, Note(text="a"))
    assert words(trip) == ["a"]
    trip.own(Note(text="b"))
    assert words(trip) == ["a", "b"]
    record = trip.own(Note(text="a"))
    assert (record.hop, record.memory, words(trip)) == ("enough", None, ["a", "b"])
    assert list(record.predicates) == [("enough", True)]


@pytest.mark.parametrize(
    ("text", "code", "told", "state"),
    [
        ("raise", "remember_error", "LookupError: no room", "bad"),
        ("other", "remember_error", "keep returned Note, not the machine's memory", "bad"),
        ("rubbish", "remember_error", "words.0: Input should be a valid string, got 3", "bad"),
        ("x" * 60, "memory_full", "memory_bytes_max is 60", "full"),
    ],
)
def test_a_memory_that_cannot_be_made_or_kept_refuses(text: str, code: str, told: str, state: str) -> None:
    trip = begun(Remembering, Note(text="a"))
    record = trip.own(Note(text=text))
    (ruling,) = record.rulings
    assert (ruling.guard, ruling.at, ruling.verdict.code) == ("keep", "more", code)
    assert told in ruling.verdict.text
    assert (trip.snapshot.state, words(trip)) == (state, ["a"])
    assert trip.snapshot.refusal == ruling


def test_without_otherwise_it_stops_the_run() -> None:
    trip = begun(Remembering, Note(text="a"))
    trip.own(Note(text="raise"))
    record = trip.own(Note(text="raise"))
    assert (record.outcome, answers(record)) == ("stopped", [("unguarded", "keep", "remember_error")])


def test_at_the_start_it_stops_the_run_at_the_door() -> None:
    record = Trip(Remembering).own(Note(text="raise"))
    assert (record.kind, record.outcome, record.state) == ("started", "stopped", "(start)")
    assert answers(record) == [("start", "keep", "remember_error")]


def test_a_full_memory_is_told_by_its_size_not_by_its_words() -> None:
    trip = begun(Remembering, Note(text="a"))
    record = trip.own(Note(text="raise"))
    assert answers(record)[0][2] == "remember_error"

    def refuse_all(notes: Notes, note: Note) -> Notes:
        return Notes.model_construct(words=["payload_bytes_max", 3])

    class Tricked(Machine, memory=Notes):
        work = State(initial=Note, agent=answer)
        done = State[Any](final="completed")
        go = work.to(done, on=Note, remember=refuse_all)

    assert answers(begun(Tricked, Note(text="a")).own(Note(text="b"))) == [("go", "refuse_all", "remember_error")]


def test_memory_is_recalled_from_the_records_alone() -> None:
    trip = begun(Remembering, Note(text="a"))
    for text in ("b", "raise", "c"):
        trip.own(Note(text=text))
    assert words(trip) == ["a", "b", "c"]
    assert recall(Remembering.spec, trip.records) == trip.snapshot
    assert fold(Remembering.spec, trip.records) == position(trip.snapshot)


def test_deciding_without_adopting_changes_nothing() -> None:
    trip = begun(Remembering, Note(text="a"))
    event, before = trip.event(Note(text="b")), attrs.evolve(trip.snapshot)
    first = decide(trip.engine, trip.snapshot, event)
    assert decide(trip.engine, trip.snapshot, event) == first
    assert trip.snapshot == before
    assert Snapshot() == Snapshot()
