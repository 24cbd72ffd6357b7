"""No handoff again and again of what was handed over before."""

from collections import OrderedDict
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from fsm import DefinitionError, Machine, MachineSpec, State, Verdict, Volatile, everywhere
from fsm.define.payload import seal
from guards import Repeat
from tests.core.trip import Trip
from tests.guards.desks import folded, sent
from tests.guards.kept import Kept


class Question(BaseModel):
    text: str
    at: Annotated[str, Volatile] = ""


class Answer(BaseModel):
    text: str


class Desk(Machine):
    asked = State(initial=Question)
    person = State[Any]()
    again = asked.to(asked, on=Question, guards=[Repeat(3)], otherwise=person)
    other = asked.to(asked, on=Answer)
    back = person.to(asked, on=Answer)


def ask(text: str, at: str = "") -> Question:
    return Question(text=text, at=at)


# --- what it refuses ------------------------------------------------------------------------------


def test_the_third_arrival_of_the_same_payload_is_refused_also_not_in_a_row() -> None:
    trip = Trip(Desk)
    trip.own(ask("a"))  # the start is no arrival at the transition
    hops = [trip.sent(ask(text)).hop for text in "aaba"]
    assert hops == ["again", "again", "again", "again.otherwise"]
    (ruling,) = trip.records[-1].rulings
    assert ruling.verdict == Verdict("refuse", "repeat", {"arrivals": 2, "arrivals_max": 2})
    assert str(ruling) == "Repeat on again refuses (repeat: arrivals 2, arrivals_max 2)"


def test_another_transition_is_another_matter_and_what_was_refused_stays_refused() -> None:
    trip = Trip(Desk)
    trip.own(ask("a"))
    for payload in (ask("a"), Answer(text="a"), ask("a"), Answer(text="a"), ask("a")):
        trip.sent(payload)
    assert trip.snapshot.state == "person"
    trip.sent(Answer(text="go on"))
    assert trip.sent(ask("a")).hop == "again.otherwise"
    trip.sent(Answer(text="go on"))
    assert trip.sent(ask("b")).hop == "again"


def test_fields_marked_volatile_are_left_out() -> None:
    trip = Trip(Desk)
    trip.own(ask("a"))
    assert [trip.sent(ask("a", at=str(n))).hop for n in range(3)] == ["again", "again", "again.otherwise"]


class Narrow(Machine):
    asked = State(initial=Question)
    again = asked.to(asked, on=Question, guards=[Repeat(2, remembered_max=2)])


def test_only_so_many_are_remembered_and_the_oldest_is_forgotten() -> None:
    trip = Trip(Narrow)
    trip.own(ask("?"))
    kinds = [trip.sent(ask(text)).kind for text in "abacab"]
    assert kinds == ["taken", "taken", "refused", "taken", "taken", "taken"], "c made it forget a, a b, b c"
    assert len(trip.snapshot.kept["again:Repeat:1"]) == 2


def test_a_definition_that_remembers_less_forgets_what_is_too_much() -> None:
    kept = Kept(Repeat(2, remembered_max=9))
    payloads = [seal(ask(str(n)), 1_000) for n in range(8)]
    for payload in payloads:
        kept.take(payload)
    kept.guard = Repeat(2, remembered_max=3)
    kept.take(seal(ask("new"), 1_000))
    assert len(kept.counts) == 3
    assert [kept.ask(payload).decision for payload in payloads] == ["allow"] * 6 + ["refuse"] * 2


@given(texts=st.lists(st.sampled_from("abcdef"), max_size=60), nth=st.integers(2, 5), remembered=st.integers(1, 7))
def test_it_agrees_with_a_small_model(texts: list[str], nth: int, remembered: int) -> None:
    guard, model = Kept(Repeat(nth, remembered_max=remembered)), OrderedDict[str, int]()
    for text in texts:
        allowed = model.get(text, 0) < nth - 1
        assert guard.take(seal(ask(text), 1_000)).decision == ("allow" if allowed else "refuse")
        if allowed:
            model[text] = model.pop(text, 0) + 1
            if len(model) > remembered:
                model.popitem(last=False)


# --- over restarts --------------------------------------------------------------------------------


async def test_the_record_at_the_trip_and_that_no_restart_resets_it(db: Path) -> None:
    records = await sent(db, Desk, *map(ask, "?abaa"), Answer(text="go on"), ask("a"))
    assert [record.hop for record in records[1:]] == [
        *("again", "again", "again", "again.otherwise", "back", "again.otherwise")
    ]
    trip = records[4]
    body = b'{"at":"","text":"a"}'
    assert (trip.kind, trip.source, trip.state, trip.event, trip.body) == ("taken", "asked", "person", "Question", body)
    assert trip.detail == (
        b'{"rulings":[["Repeat","again","transition","refuse","repeat",{"arrivals":2,"arrivals_max":2}]]}'
    )
    (first,) = records[1].rulings
    assert dict(first.verdict.numbers) == {"arrivals": 0, "arrivals_max": 2}
    assert list(first.verdict.keep.values()) == [1_000_001]
    now, _ = folded(db, Desk)
    assert sorted(now.kept["again:Repeat:1"].values()) == [2_000_001, 3_000_002]


async def test_the_journals_own_snapshots_hold_it(db: Path) -> None:
    big = [ask(text * 90_000) for text in "?abcab"]
    records = await sent(db, Desk, *big, big[1])
    assert records[-1].hop == "again.otherwise"
    now, row = folded(db, Desk)
    assert row is not None and row.seq >= 3 and len(row.kept["again:Repeat:1"]) >= 2
    assert len(now.kept["again:Repeat:1"]) == 3


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("nth", [1, 0, -3, "3", 2.0, None, True])
def test_it_needs_a_number_of_at_least_two(nth: Any) -> None:
    assert Repeat(nth).mistake("transition") == (f"Repeat(nth={nth!r})", "give a whole number, 2 or more")


@pytest.mark.parametrize("remembered_max", [0, "9", None])
def test_it_remembers_at_least_one(remembered_max: Any) -> None:
    what = f"Repeat(remembered_max={remembered_max!r})"
    assert Repeat(2, remembered_max=remembered_max).mistake("transition") == (what, "give a whole number, 1 or more")


def test_what_it_could_not_keep_is_a_mistake() -> None:
    assert Repeat(1_000_001).mistake("transition") == ("Repeat(nth=1000001)", "give a whole number, 2 to 1,000,000")
    wrong = Repeat(2, remembered_max=1_025).mistake("transition")
    assert wrong == ("Repeat(remembered_max=1025)", "give a whole number, 1 to 1,024")
    full = Kept(Repeat(2, remembered_max=1_024))
    for n in range(1_100):
        assert full.take(seal(ask(str(n)), 1_000)).decision == "allow"
    assert len(full.counts) == 1_024


def test_it_stands_on_transitions_only_and_its_ways_out_are_known() -> None:
    with pytest.raises(DefinitionError) as raised:

        class Wrong(Machine):
            asked = State(initial=Question, guards=[Repeat(3)])
            person = State[Any]()
            again = asked.to(asked, on=Question, guards=[Repeat(3)], otherwise={"repeat": person})
            other = asked.to(asked, on=Answer, guards=[Repeat(3)], otherwise={"repeated": person, "*": person})
            back = person.to(asked, on=Answer)
            limits = everywhere(Repeat(3))

    assert [(found.attribute, found.what) for found in raised.value.mistakes] == [
        ("asked", "Repeat stands on a state"),
        ("again", 'otherwise= has no "*"'),
        ("other", "otherwise= answers to code 'repeated', which nothing here gives"),
        ("limits", "Repeat stands in everywhere()"),
    ]


# --- as data --------------------------------------------------------------------------------------


def test_it_survives_json_and_is_part_of_the_fingerprint() -> None:
    spec = MachineSpec.from_json(Desk.spec.to_json())
    assert (spec, spec.fingerprint) == (Desk.spec, Desk.spec.fingerprint)
    (guard,) = next(line.guards for line in spec.transitions if line.name == "again")
    assert (guard.kind, guard.codes, guard.limit) == ("data", ("repeat",), None)
    assert guard.params == {"nth": 3, "remembered_max": 256}
