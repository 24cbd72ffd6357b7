"""For any course of events: deciding is pure, records are the truth, and nothing is lost in their rows."""

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from fsm import AgentFailed, Cancelled, Machine, MachineSpec, Spent, State, TimedOut, any_of, everywhere
from fsm.core.conclude import decide
from fsm.core.engine import Engine
from fsm.core.plan import Event
from fsm.core.recall import position, recall
from fsm.core.record import ENDED, HALTED
from fsm.core.snapshot import Snapshot, fold, snapshot_body, snapshot_from
from fsm.define.payload import Payload
from fsm.journal.rows import record_from, record_row
from guards import LoopCap, TokenBudget
from tests.core.trip import Other, Says, Trip, Word, answer, is_yes


class Notes(BaseModel):
    heard: list[str] = []


def keep(notes: Notes, word: Word) -> Notes:
    if word.says.get("remember") == "raise":
        raise LookupError("no room")
    return Notes(heard=[*notes.heard, *sorted(word.says)])


def heard(other: Other, notes: Notes) -> bool:
    return bool(notes.heard)


class Everything(Machine, memory=Notes, refusals_max=2, defers_max=2, memory_bytes_max=200):
    """One of each."""

    work = State(initial=(Word, Other), agent=answer, guards=[Says("entry")], otherwise=None, remember=keep)
    person = State[Any](timeout_s=60)
    strict = State[Any](agent=answer, guards=[Says("strict"), LoopCap(4)], otherwise={"never": person, "*": person})
    done = State[Any](final="completed")
    gone = State[Any](final="failed")

    go = work.to(strict, on=Word, when=is_yes, guards=[Says("line")], otherwise={"never": gone, "*": person})
    keep_on = work.to(person, on=Word, remember=keep, otherwise=strict)
    known = any_of(work, strict).to(person, on=Other, when=heard)
    back = any_of(strict, person).to(work, on=Word, guards=[LoopCap(2, since=person), Says("line")], remember=keep)
    end = person.to(done, on=Other, guards=[Says("line")])
    late = person.to(gone, on=TimedOut, guards=[Says("line")])
    failed = work.to(gone, on=AgentFailed)
    limits = everywhere(TokenBudget(50), LoopCap(9), otherwise=person)
    asked = everywhere(Says("machine"))


SAID = st.sampled_from(["later", "later", "refuse", "never", "next year", "raise", "unheard", "half"])
SAYS: st.SearchStrategy[dict[str, str]] = st.just({}) | st.dictionaries(
    st.sampled_from(["line", "strict", "machine"]), SAID, max_size=2
)
WHEN = st.sampled_from([{}, {}, {}, {"when": "no"}, {"when": "raise"}, {"remember": "raise"}])
WORDS = st.builds(lambda says, when: Word(says={**says, **when}), SAYS, WHEN)
RUNTIME = st.sampled_from(
    [AgentFailed(error_type="E", message="m", attempt=1), TimedOut(timeout_ms=1, attempt=1), Cancelled(by="me")]
)
FIRST = st.just(Word()) | st.sampled_from([Other(), Word(says={"entry": "later"}), Word(says={"entry": "refuse"})])
PAYLOADS: st.SearchStrategy[BaseModel] = st.one_of(WORDS, WORDS, WORDS, st.builds(Other, says=SAYS), RUNTIME)
COURSES = st.tuples(
    FIRST.map(lambda payload: (payload, True, "", 0)),
    st.lists(
        st.tuples(PAYLOADS, st.booleans(), st.sampled_from(["a", "b"]), st.integers(0, 20)), min_size=2, max_size=14
    ),
).map(lambda course: [course[0], *course[1]])

ALONE = Engine(MachineSpec.from_json(Everything.spec.to_json()))


def _followed(course: list[tuple[BaseModel, bool, str, int]]) -> Trip:
    """The course of events, each decided twice and once more without the machine's code."""
    trip, bare = Trip(Everything), Snapshot()
    for payload, inner, event_id, tokens in course:
        started = trip.snapshot.seq >= 0
        if trip.snapshot.outcome in ENDED | HALTED:
            break
        own = not started or (inner and trip.snapshot.outcome == "running")
        event = trip.event(
            payload, own=own, event_id=None if own else event_id, spent=Spent(tokens, 1) if own else Spent()
        )
        before = copy.deepcopy((trip.snapshot, event))
        decision = decide(trip.engine, trip.snapshot, event)
        assert decide(trip.engine, trip.snapshot, event) == decision
        assert (trip.snapshot, event) == before
        if decision.record is not None:
            known = event.payload.value if not isinstance(payload, Word | Other) else None
            alike = Event(
                payload=Payload(event.payload.event, known, event.payload.body, event.payload.digest),
                at_ms=event.at_ms,
                own=own,
                event_id=event.event_id,
                spent=event.spent,
            )
            again = decide(ALONE, bare, alike, decision.record)
            assert again.record is not None
            assert _decided(again.record) == _decided(decision.record)
            bare = again.snapshot
        trip.adopt(decision)
        assert position(bare) == position(trip.snapshot)
    return trip


def _decided(record: Any) -> tuple[Any, ...]:
    names = ("seq", "kind", "source", "state", "outcome", "hop", "event", "digest", "predicates", "rulings", "until_ms")
    return tuple(getattr(record, name) for name in names)


@settings(max_examples=150)
@given(COURSES)
def test_any_course_of_events(course: list[tuple[BaseModel, bool, str, int]]) -> None:
    trip = _followed(course)
    spec, records = Everything.spec, trip.records
    assert [record.seq for record in records] == list(range(len(records)))
    assert fold(spec, records) == position(trip.snapshot)
    assert recall(spec, records) == trip.snapshot
    for record in records:
        detail = record.detail
        again = record_from(record_row(1, record, detail, b"head"))
        assert again == record
        assert (again.body, again.head) == (record.body, b"head")
        assert [r.verdict.text for r in again.rulings] == [r.verdict.text for r in record.rulings]
        assert again.detail == detail
        assert record.hop in {"", *spec.hops}
        moved = (record.source, record.state) if record.hop else ()
        assert not moved or record.source in spec.hops[record.hop].sources
        assert not moved or record.state == spec.hops[record.hop].target
        assert record.state == record.source or record.hop
    memory = trip.snapshot.memory.decode() if trip.snapshot.memory is not None else None
    assert snapshot_from(snapshot_body(trip.snapshot), memory) == trip.snapshot


@given(COURSES)
def test_no_cap_is_ever_passed(course: list[tuple[BaseModel, bool, str, int]]) -> None:
    """The counts that the caps look at stay at their limits, whatever comes."""
    counters = _followed(course).snapshot.counters
    assert counters.get("visits:strict", 0) <= 4
    assert counters.get("fires:back@person", 0) <= 2
