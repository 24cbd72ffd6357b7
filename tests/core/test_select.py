"""Which transition an event is for, and which guards are asked: predicates choose, guards permit."""

from typing import Any, ClassVar

import attrs
import pytest
from pydantic import BaseModel

from fsm import AgentFailed, CallRefused, Cancelled, Kind, Machine, PayloadInvalid, State, TimedOut, any_of, everywhere
from fsm.core.asking import NotRecorded
from fsm.core.conclude import decide
from fsm.core.engine import Engine
from fsm.core.select import select
from fsm.define.spec import MachineSpec
from tests.core.trip import Other, Says, Trip, Word, answer, answers, begun


def is_first(word: Word) -> bool:
    return word.says.get("when") == "first"


def is_second(word: Word) -> bool:
    if word.says.get("when") == "raise":
        raise ValueError("cannot tell")
    return word.says.get("when") in ("first", "second")


# --- predicates choose ----------------------------------------------------------------------------


class Fork(Machine):
    at = State(initial=Word, agent=answer)
    one = State(agent=answer)
    two = State(agent=answer)
    rest = State(agent=answer)
    saved = State[Any](agent=answer)

    first = at.to(one, on=Word, when=is_first, guards=[Says("guard")])
    second = at.to(two, on=Word, when=is_second, otherwise=saved)
    third = at.to(rest, on=Word)
    on = any_of(one, two, rest, saved).to(at, on=Word)


@pytest.mark.parametrize(
    ("when", "hop", "asked"),
    [
        ("first", "first", [("first", True)]),
        ("second", "second", [("first", False), ("second", True)]),
        ("", "third", [("first", False), ("second", False)]),
    ],
)
def test_the_first_line_that_matches_is_the_candidate(when: str, hop: str, asked: list[tuple[str, bool]]) -> None:
    record = begun(Fork).own(Word(says={"when": when}))
    assert (record.kind, record.hop) == ("taken", hop)
    assert list(record.predicates) == asked


def test_a_refusal_does_not_try_a_later_line() -> None:
    """`second` and `third` match as well; a tripped guard must not choose for the predicate."""
    record = begun(Fork).own(Word(says={"when": "first", "guard": "refuse"}))
    assert (record.kind, record.outcome, record.hop) == ("halted", "stopped", "")
    assert list(record.predicates) == [("first", True)]
    assert answers(record) == [("first", "Says", "no")]


def test_a_predicate_that_raises_makes_its_line_the_refused_candidate() -> None:
    record = begun(Fork).own(Word(says={"when": "raise"}))
    assert list(record.predicates) == [("first", False), ("second", None)]
    assert answers(record) == [("second", "is_second", "predicate_error")]
    assert record.rulings[0].verdict.text == "ValueError: cannot tell"
    assert (record.kind, record.hop, record.state) == ("taken", "second.otherwise", "saved")


def test_the_exact_class_decides() -> None:
    class Louder(Word):
        pass

    class Both(Machine):
        at = State(initial=Word, agent=answer)
        done = State[Any](final="completed")
        loud = State[Any](final="failed")
        soft = at.to(done, on=Word)

    trip = begun(Both)
    event = trip.event(Word())
    louder = trip.event(Louder())
    assert select(trip.engine, trip.snapshot, event).way is not None
    assert select(trip.engine, trip.snapshot, louder).way is None


# --- guards permit --------------------------------------------------------------------------------


class Gate(Machine):
    at = State(initial=Word, agent=answer)
    by_line = State[Any](agent=answer)
    by_code = State[Any](agent=answer)
    by_state = State[Any](agent=answer)
    by_machine = State[Any](agent=answer)
    inside = State(agent=answer, guards=[Says("state 1"), Says("state 2")], otherwise=by_state)
    done = State[Any](final="completed", title="the end")

    enter = at.to(inside, on=Word, guards=[Says("line 1"), Says("line 2")], otherwise={"never": by_code, "*": by_line})
    leave = any_of(at, inside, by_line, by_code, by_state, by_machine).to(done, on=Other)
    failed = at.to(inside, on=AgentFailed)
    back = any_of(inside, by_line, by_code, by_state, by_machine).to(at, on=Word)
    first = everywhere(Says("machine 1"), otherwise=by_machine)
    second = everywhere(Says("machine 2"))


ASKED = ["line 1", "line 2", "state 1", "state 2", "machine 1", "machine 2"]
STANDING = {"line": "transition", "state": "state", "machine": "run"}


def test_all_guards_are_asked_in_the_order_line_state_machine() -> None:
    record = begun(Gate).own(Word())
    assert [(ruling.at, ruling.standing) for ruling in record.rulings] == [
        ("enter", "transition"),
        ("enter", "transition"),
        ("inside", "state"),
        ("inside", "state"),
        ("first", "run"),
        ("second", "run"),
    ]
    assert (record.hop, record.state) == ("enter", "inside")


@pytest.mark.parametrize(
    ("says", "hop"),
    [
        ({"line 1": "refuse"}, "enter.otherwise"),
        ({"line 2": "never"}, "enter.otherwise.never"),
        ({"line 1": "refuse", "line 2": "never"}, "enter.otherwise"),
        ({"line 1": "never", "line 2": "refuse"}, "enter.otherwise.never"),
        ({"line 1": "raise"}, "enter.otherwise"),
        ({"state 2": "refuse"}, "inside.otherwise"),
        ({"line 2": "refuse", "state 1": "refuse"}, "enter.otherwise"),
        ({"state 1": "refuse", "machine 1": "refuse"}, "inside.otherwise"),
        ({"machine 1": "refuse"}, "first.otherwise"),
        ({"machine 1": "refuse", "machine 2": "refuse"}, "first.otherwise"),
        ({"line 1": "later", "machine 1": "refuse"}, "first.otherwise"),
        ({"line 1": "later", "state 1": "refuse"}, "inside.otherwise"),
    ],
)
def test_the_first_refusal_decides_where_the_event_goes(says: dict[str, str], hop: str) -> None:
    trip = begun(Gate)
    record = trip.own(Word(says=says))
    assert (record.kind, record.hop) == ("taken", hop)
    assert record.state == Gate.spec.hops[hop].target
    assert len(record.rulings) == len(ASKED), "the others were asked all the same"
    refusal = next(ruling for ruling in record.rulings if ruling.verdict.decision == "refuse")
    assert trip.snapshot.refusal == refusal


def test_a_machine_wide_guard_without_otherwise_stops_the_run() -> None:
    record = begun(Gate).own(Word(says={"machine 2": "refuse"}))
    assert (record.kind, record.outcome, record.state) == ("halted", "stopped", "at")


def test_a_way_taken_directly_carries_no_refusal() -> None:
    trip = begun(Gate)
    trip.own(Word(says={"line 1": "refuse"}))
    assert trip.snapshot.refusal is not None
    trip.own(Word())
    assert trip.snapshot.refusal is None


@attrs.frozen
class Surely(Says):
    """The same, but it has said that it looks at nothing but the payload."""

    kind: ClassVar[Kind] = "data"


def test_only_a_guard_of_the_world_may_defer() -> None:
    class Door(Machine):
        outside = State(initial=Word, agent=answer)
        inside = State[Word](final="completed")

        go = outside.to(inside, on=Word, guards=[Surely("surely")])

    trip = begun(Door)
    (ruling,) = trip.own(Word(says={"surely": "later"})).rulings
    assert (trip.snapshot.outcome, ruling.verdict.code) == ("stopped", "guard_error")
    assert ruling.verdict.text.endswith("only a guard of kind env may defer, and its kind is data")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("raise", "LookupError: line 1 is lost"),
        ("raise unprintable", "Unprintable: unprintable: RuntimeError"),
        ("unheard", "its codes are no, never, later"),
        ("nothing", "answered None: no verdict"),
        ("text", "answered 'no': no verdict"),
        ("maybe", "it neither allows nor refuses nor defers"),
        ("half", "its numbers are not whole"),
        ("listed", "its numbers are not whole"),
        ("numbered", "its text cannot be stored"),
        ("no moment", "it defers without a moment"),
    ],
)
def test_a_guard_that_fails_or_answers_nonsense_refuses(said: str, told: str) -> None:
    record = begun(Gate).own(Word(says={"line 1": said}))
    ruling = record.rulings[0]
    assert (ruling.verdict.decision, ruling.verdict.code, dict(ruling.verdict.numbers)) == ("refuse", "guard_error", {})
    assert told in ruling.verdict.text
    assert record.hop == "enter.otherwise"
    assert record.detail.decode().isprintable()


def test_a_run_can_always_fail() -> None:
    """Neither the runtime's own events, nor `otherwise` hops, nor final states ask the machine-wide guards."""
    nobody = {"machine 1": "refuse", "machine 2": "refuse"}
    failed = begun(Gate).own(AgentFailed(error_type="E", message="", attempt=1))
    assert (failed.hop, answers(failed)) == ("failed", [("inside", "Says", "allow")] * 2)
    ended = begun(Gate).own(Other(says=nobody))
    assert (ended.kind, ended.outcome, answers(ended)) == ("ended", "completed", [])
    hopped = begun(Gate).own(Word(says={"line 1": "refuse"}))
    assert [at for at, _, _ in answers(hopped)] == ["enter", "enter", "inside", "inside", "first", "second"]


# --- otherwise, and then ---------------------------------------------------------------------------


class Chain(Machine):
    at = State(initial=Word, agent=answer)
    last = State[Any](agent=answer)
    third = State[Any](agent=answer, guards=[Says("third")], otherwise=last)
    second = State[Any](agent=answer, guards=[Says("second")], otherwise={"never": last, "*": third})
    dead = State[Any](agent=answer, guards=[Says("dead")])

    go = at.to(second, on=Word, guards=[Says("go")], otherwise=second)
    die = at.to(dead, on=Other, guards=[Says("go")], otherwise=dead)
    on = any_of(second, third, last, dead).to(at, on=Word)
    limits = everywhere(Says("machine"), otherwise=last)


@pytest.mark.parametrize(
    ("says", "hop", "asked"),
    [
        ({}, "go", ["go", "second", "limits"]),
        ({"go": "refuse"}, "go.otherwise", ["go", "second", "limits", "second"]),
        ({"second": "refuse"}, "second.otherwise", ["go", "second", "limits", "third"]),
        ({"second": "never"}, "second.otherwise.never", ["go", "second", "limits"]),
        (
            {"go": "refuse", "second": "refuse"},
            "second.otherwise",
            ["go", "second", "limits", "second", "third"],
        ),
        (
            {"go": "refuse", "second": "refuse", "third": "refuse"},
            "third.otherwise",
            ["go", "second", "limits", "second", "third"],
        ),
        ({"second": "refuse", "third": "raise"}, "third.otherwise", ["go", "second", "limits", "third"]),
    ],
)
def test_an_otherwise_asks_the_guards_of_its_target_in_turn(says: dict[str, str], hop: str, asked: list[str]) -> None:
    trip = begun(Chain)
    record = trip.own(Word(says=says))
    assert (record.kind, record.hop) == ("taken", hop)
    assert [at for at, _, _ in answers(record)] == asked
    if trip.snapshot.refusal is not None:
        assert trip.snapshot.refusal.at == Chain.spec.hops[hop].owner


def test_a_chain_that_ends_in_a_refusal_stops_the_run_where_it_was() -> None:
    record = begun(Chain).own(Other(says={"go": "refuse", "dead": "refuse"}))
    assert (record.kind, record.outcome, record.state, record.hop) == ("halted", "stopped", "at", "")
    assert answers(record) == [
        ("die", "Says", "no"),
        ("dead", "Says", "no"),
        ("limits", "Says", "allow"),
        ("dead", "Says", "no"),
    ]


# --- the runtime's own events ---------------------------------------------------------------------


def is_patient(event: TimedOut) -> bool:
    return event.timeout_ms > 100


class Ladder(Machine):
    all_of_it = State(initial=Word, agent=answer)
    failing = State(agent=answer)
    nothing = State(agent=answer)
    asking = State(agent=answer)
    gone = State[Any](final="failed")
    late = State[Any](final="failed")

    to_failing = all_of_it.to(failing, on=Word)
    to_nothing = failing.to(nothing, on=Word)
    to_asking = nothing.to(asking, on=Word)
    back = asking.to(all_of_it, on=Word)
    timed_out = all_of_it.to(late, on=TimedOut)
    failed = any_of(all_of_it, failing).to(gone, on=AgentFailed)
    patient = asking.to(late, on=TimedOut, when=is_patient)
    failed_asking = asking.to(gone, on=AgentFailed)


def _at(state: str) -> Trip:
    trip = begun(Ladder)
    while trip.snapshot.state != state:
        trip.own(Word())
    return trip


FAILED = AgentFailed(error_type="E", message="broke", attempt=1)
TIMED_OUT = TimedOut(timeout_ms=100, attempt=1)
INVALID = PayloadInvalid(event="Word", problems=["says: Field required"], excerpt="{}", attempt=1)
REFUSED = CallRefused(call="search", code="no_money", numbers={"left": 0}, attempt=1)


@pytest.mark.parametrize(
    ("state", "event", "hop", "outcome", "recorded"),
    [
        ("all_of_it", TIMED_OUT, "timed_out", "failed", "TimedOut"),
        ("all_of_it", INVALID, "failed", "failed", "AgentFailed"),
        ("all_of_it", REFUSED, "failed", "failed", "AgentFailed"),
        ("all_of_it", FAILED, "failed", "failed", "AgentFailed"),
        ("failing", TIMED_OUT, "failed", "failed", "AgentFailed"),
        ("nothing", TIMED_OUT, "", "stuck", "AgentFailed"),
        ("nothing", FAILED, "", "stuck", "AgentFailed"),
        ("asking", TIMED_OUT, "failed_asking", "failed", "AgentFailed"),
        ("asking", TimedOut(timeout_ms=200, attempt=1), "patient", "failed", "TimedOut"),
    ],
)
def test_what_a_state_does_not_handle_escalates(
    state: str, event: BaseModel, hop: str, outcome: str, recorded: str
) -> None:
    record = _at(state).own(event)
    assert (record.hop, record.outcome, record.event) == (hop, outcome, recorded)


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (TIMED_OUT, ("TimedOut", "no answer within 0.1 s")),
        (INVALID, ("PayloadInvalid", "the agent returned Word: says: Field required")),
        (REFUSED, ("CallRefused", "call 'search' refused: no_money (left 0)")),
    ],
)
def test_an_escalated_event_says_what_it_was(event: BaseModel, told: tuple[str, str]) -> None:
    record = _at("failing").own(event)
    assert record.body is not None
    failed = AgentFailed.model_validate_json(record.body)
    assert (failed.error_type, failed.message, failed.attempt) == (*told, 1)


def test_what_escalated_is_decided_again_the_same_from_its_record() -> None:
    """The record holds the event as it was decided, so a replay does not climb the ladder again."""
    trip = _at("asking")
    before = trip.snapshot
    record = trip.own(TIMED_OUT)
    again = decide(trip.engine, before, trip.event(AgentFailed.model_validate_json(record.body or b"")))
    assert again.record is not None
    assert (again.record.hop, again.record.predicates) == (record.hop, record.predicates)


def test_an_event_from_outside_does_not_escalate() -> None:
    record = _at("failing").sent(TIMED_OUT)
    assert (record.kind, record.event, record.state) == ("unhandled", "TimedOut", "failing")


# --- cancelling -----------------------------------------------------------------------------------


class Cancellable(Machine):
    at = State(initial=Word, agent=answer)
    guarded = State[Any](agent=answer, guards=[Says("nobody enters")])
    cleaning = State[Any](agent=answer, guards=[Says("not asked")])
    done = State[Any](final="completed")
    go = at.to(guarded, on=Word)
    clean = at.to(cleaning, on=Cancelled)
    end = any_of(guarded, cleaning).to(done, on=Word)
    limits = everywhere(Says("not asked either"))


def test_cancelled_carries_no_guards() -> None:
    record = begun(Cancellable).sent(Cancelled(by="me"))
    assert (record.kind, record.hop, record.rulings) == ("taken", "clean", ())


def test_a_run_that_declares_no_way_ends_cancelled() -> None:
    trip = begun(Cancellable)
    trip.own(Word())
    record = trip.sent(Cancelled(by="me", reason="enough"))
    assert (record.kind, record.outcome, record.state, record.hop) == ("ended", "cancelled", "guarded", "")


def test_a_broken_predicate_does_not_keep_a_run_from_being_cancelled() -> None:
    def is_broken(cancelled: Cancelled) -> bool:
        raise ValueError("cannot tell")

    class Stubborn(Machine):
        at = State(initial=Word, agent=answer)
        done = State[Any](final="completed")
        go = at.to(done, on=Word)
        clean = at.to(done, on=Cancelled, when=is_broken)

    record = begun(Stubborn).sent(Cancelled())
    assert (record.kind, record.outcome) == ("ended", "cancelled")
    assert answers(record) == [("clean", "is_broken", "predicate_error")]


# --- starting -------------------------------------------------------------------------------------


class Guarded(Machine):
    person = State()
    closed = State[Any](final="failed")
    at = State(initial=(Word, Other), agent=answer, guards=[Says("entry")], otherwise={"never": closed, "*": person})
    done = State[Any](final="completed")
    go = any_of(at, person).to(done, on=Word)
    limits = everywhere(Says("machine"))


@pytest.mark.parametrize(
    ("payload", "hop", "state", "outcome"),
    [
        (Word(), "start", "at", "running"),
        (Other(), "start", "at", "running"),
        (Word(says={"entry": "refuse"}), "at.otherwise", "person", "waiting"),
        (Word(says={"entry": "never"}), "at.otherwise.never", "closed", "failed"),
        (Word(says={"machine": "refuse"}), "", "(start)", "stopped"),
    ],
)
def test_starting_is_a_decision_too(payload: BaseModel, hop: str, state: str, outcome: str) -> None:
    trip = Trip(Guarded)
    record = trip.own(payload)
    assert (record.seq, record.kind, record.source) == (0, "started", "(start)")
    assert (record.hop, record.state, record.outcome) == (hop, state, outcome)
    assert trip.snapshot.started_at_ms == record.at_ms
    assert trip.snapshot.counters.get("hops", 0) == 0


def test_a_start_refused_without_otherwise_is_stopped_at_the_door() -> None:
    class Shut(Machine):
        at = State(initial=Word, agent=answer, guards=[Says("entry")])
        done = State[Any](final="completed")
        go = at.to(done, on=Word)

    record = Trip(Shut).own(Word(says={"entry": "refuse"}))
    assert (record.kind, record.outcome, record.state, record.hop) == ("started", "stopped", "(start)", "")
    assert answers(record) == [("at", "Says", "no")]


def test_only_the_start_itself_starts_a_run() -> None:
    trip = Trip(Guarded)
    trip.own(Word(says={"machine": "refuse"}))
    assert trip.sent(Word()).kind == "unhandled"
    assert trip.sent(Cancelled()).outcome == "cancelled"


# --- without the code -----------------------------------------------------------------------------


def test_what_has_no_code_answers_as_it_did() -> None:
    alone = Engine(MachineSpec.from_json(Gate.spec.to_json()))
    for says in ({}, {"line 1": "raise"}, {"state 2": "refuse"}, {"machine 1": "never", "line 2": "later"}):
        trip = begun(Gate)
        before, event = trip.snapshot, trip.event(Word(says=says))
        decision = decide(trip.engine, before, event)
        again = decide(alone, before, event, decision.record)
        assert again.record == decision.record
        assert again.snapshot == decision.snapshot


def test_what_was_never_asked_cannot_be_answered() -> None:
    alone = Engine(MachineSpec.from_json(Fork.spec.to_json()))
    trip = begun(Fork)
    with pytest.raises(NotRecorded, match="predicate is_first of first"):
        decide(alone, trip.snapshot, trip.event(Word()))
    first = decide(trip.engine, trip.snapshot, trip.event(Word(says={"when": "first"}))).record
    gate = begun(Gate)
    with pytest.raises(NotRecorded, match="Says on enter"):
        decide(Engine(MachineSpec.from_json(Gate.spec.to_json())), gate.snapshot, gate.event(Word()), first)
