"""Failures in a row: which attempts count, where the guard may stand, and what is on record."""

from typing import Any

import pytest
from pydantic import BaseModel

from fsm import AgentFailed, Machine, MachineSpec, PayloadInvalid, RuntimeEvent, State, TimedOut, any_of, everywhere
from fsm.core.conclude import decide
from fsm.core.engine import Engine
from fsm.core.plan import Event
from fsm.core.record import Record
from fsm.core.snapshot import fold
from fsm.core.strikes import struck_out
from fsm.define.events import CallRefused, Cancelled
from fsm.define.payload import seal
from guards import Strikes
from tests.core.trip import Other, Trip, Word, answer, begun

LATE = TimedOut(timeout_ms=1, attempt=1)
NONE: dict[str, int] = {}


def http(status: int | None) -> AgentFailed:
    return AgentFailed(error_type="HTTPStatusError", message="", attempt=1, status=status)


class Loop(Machine):
    """An agent that is tried again and again by the machine's own lines."""

    draft = State(initial=Word, agent=answer, guards=[Strikes("model", 3)])
    done = State[Any](final="completed")
    again = draft.to(draft, on=(Word, AgentFailed, TimedOut, PayloadInvalid, CallRefused))
    submit = draft.to(done, on=Other)


def tell(trip: Trip, payload: BaseModel, strikes: dict[str, int] = NONE, *, own: bool = True) -> Record:
    trip.now_ms += 1
    event = Event(
        payload=seal(payload, 1_000),
        at_ms=trip.now_ms,
        own=own,
        event_id=None if own else f"e-{trip.now_ms}",
        strikes=strikes,
    )
    record = trip.adopt(decide(trip.engine, trip.snapshot, event))
    assert record is not None
    return record


def count(trip: Trip, name: str = "model") -> int:
    return trip.snapshot.counters.get(f"strikes:{name}", 0)


@pytest.mark.parametrize(
    ("end", "after"),
    [
        *[(http(status), 3) for status in (None, 408, 425, 429, 500, 503, 599)],
        *[(http(status), 2) for status in (400, 401, 404, 422, 499)],
        (LATE, 3),
        (PayloadInvalid(event="x", problems=[], excerpt="", attempt=1), 2),
        (CallRefused(call="x", code="strikes", numbers={}, attempt=1), 2),
        (Word(), 0),
    ],
    ids=lambda value: f"{type(value).__name__} {getattr(value, 'status', '')}" if not isinstance(value, int) else "",
)
def test_what_the_end_of_an_attempt_says_of_its_agent(end: BaseModel, after: int) -> None:
    trip = begun(Loop)
    tell(trip, http(500))
    tell(trip, http(500))
    record = tell(trip, end)
    assert count(trip) == after if after != 3 else record.outcome == "stopped"
    assert dict(record.strikes) == ({"model": after} if after != 2 else {})


def test_the_third_failure_in_a_row_is_not_followed_by_another_visit() -> None:
    trip = begun(Loop)
    found = [tell(trip, http(500)) for _ in range(3)]
    assert [record.kind for record in found] == ["taken", "taken", "halted"]
    (ruling,) = found[-1].rulings
    assert (ruling.at, ruling.verdict.code, ruling.verdict.numbers) == (
        "draft",
        "strikes",
        {"strikes": 3, "strikes_max": 3},
    )
    assert "Strikes on draft refuses (strikes: strikes 3, strikes_max 3)" in str(ruling)


def test_an_attempt_whose_calls_have_counted_does_not_count_besides() -> None:
    trip = begun(Loop)
    tell(trip, http(500), {"model": 1})
    assert count(trip) == 1
    tell(trip, http(500), {"model": 0})
    assert count(trip) == 0, "the call went well, the agent fell over something else"
    tell(trip, http(500), {"search": 4})
    assert (count(trip), count(trip, "search")) == (1, 4)


def test_an_event_from_outside_says_nothing_of_the_agent() -> None:
    trip = begun(Loop)
    tell(trip, http(500))
    tell(trip, http(500), own=False)
    assert count(trip) == 1


class Places(Machine):
    """Strikes at each place a guard can stand."""

    draft = State(initial=Word, agent=answer)
    review = State(agent=answer, guards=[Strikes("on_state", 2)], otherwise={"strikes": draft, "*": draft})
    person = State[Any]()
    lost = State[Any](final="failed")
    done = State[Any](final="completed")
    submit = draft.to(review, on=Word, guards=[Strikes("on_line", 2)], otherwise=person)
    pass_ = review.to(done, on=Other)
    redo = review.to(draft, on=Word)
    broken = any_of(draft, review).to(lost, on=(AgentFailed, CallRefused))
    go = person.to(draft, on=(Word, Cancelled))
    limits = everywhere(Strikes("anywhere", 2), otherwise={"strikes": person, "*": lost})


@pytest.mark.parametrize(
    ("name", "hop"),
    [
        ("on_line", "submit.otherwise"),
        ("on_state", "review.otherwise.strikes"),
        ("anywhere", "limits.otherwise.strikes"),
    ],
)
def test_a_refusal_goes_where_its_place_says(name: str, hop: str) -> None:
    assert tell(begun(Places), Word(), {name: 1}).hop == "submit"
    trip = begun(Places)
    record = tell(trip, Word(), {name: 2})
    assert record.hop == hop
    assert trip.snapshot.refusal is not None
    assert trip.snapshot.refusal.verdict.numbers == {"strikes": 2, "strikes_max": 2}


def test_a_call_is_refused_by_its_state_and_its_machine_not_by_a_line() -> None:
    spec = Places.spec
    refused = {
        (state, name): struck_out(spec, state, name, 2) is not None
        for state in ("draft", "review")
        for name in ("on_line", "on_state", "anywhere", "other")
    }
    assert {key for key, is_refused in refused.items() if is_refused} == {
        ("review", "on_state"),
        ("draft", "anywhere"),
        ("review", "anywhere"),
    }
    assert struck_out(spec, "draft", "anywhere", 1) is None


def test_a_run_that_has_struck_out_can_still_fail_and_end() -> None:
    trip = begun(Places)
    record = tell(trip, http(500), {"anywhere": 2})
    assert (record.hop, record.outcome) == ("broken", "failed")


@pytest.mark.parametrize("machine", [Loop, Places])
def test_a_fold_and_json_alone_come_to_the_same(machine: type[Machine]) -> None:
    trip = begun(machine)
    snapshots = [trip.snapshot]
    steps: list[tuple[RuntimeEvent | Word, dict[str, int]]] = [
        (Word(), {"anywhere": 1}),
        (Word(), {}),
        (Word(), {"on_line": 2, "model": 2}),
        (http(503), {}),
    ]
    for end, strikes in steps:
        if trip.snapshot.outcome == "running":
            tell(trip, end, strikes)
            snapshots.append(trip.snapshot)
    assert fold(machine.spec, trip.records) == trip.snapshot
    alone = Engine(MachineSpec.from_json(machine.spec.to_json()))
    for snapshot, record in zip(snapshots, trip.records[1:], strict=False):
        assert record.body is not None and record.digest is not None
        sealed = alone.spec.stored(record.event, record.body, record.digest)
        event = Event(payload=sealed, at_ms=record.at_ms, strikes=record.strikes)
        assert decide(alone, snapshot, event, record).record == record
