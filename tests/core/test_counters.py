"""What a run counts, and the caps that look at it."""

from typing import Any

import pytest

from fsm import AgentFailed, Machine, Spent, State, any_of, everywhere
from fsm.core.engine import Engine, Undeclared
from guards import LoopCap, TokenBudget
from tests.core.trip import Other, Says, Trip, Word, answer, begun


class Loop(Machine):
    """Between two states, with a person who lets it begin again."""

    write = State(initial=Word, agent=answer)
    person = State[Any]()
    judge = State[Any](agent=answer)

    submit = write.to(judge, on=Word)
    reject = judge.to(write, on=Word, guards=[LoopCap(2)], otherwise=person)
    again = person.to(write, on=Word)
    other = judge.to(write, on=Other)


def laps(trip: Trip, word: Any, count: int) -> list[str]:
    """Hop `count` times; the ids of the hops."""
    return [(trip.sent(word) if trip.snapshot.outcome == "waiting" else trip.own(word)).hop for _ in range(count)]


def test_a_cap_on_a_transition_counts_its_own_firings() -> None:
    trip = begun(Loop)
    assert laps(trip, Word(), 4) == ["submit", "reject", "submit", "reject"]
    trip.own(Word())
    assert trip.own(Other()).hop == "other", "another line is not counted"
    trip.own(Word())
    record = trip.own(Word())
    assert record.hop == "reject.otherwise"
    assert record.rulings[0].verdict.numbers == {"fires": 2, "fires_max": 2}
    assert trip.snapshot.counters["fires:reject"] == 2, "a refused firing is none"
    assert trip.snapshot.counters["fires:reject.otherwise"] == 1


def test_a_cap_keeps_its_count_after_the_person() -> None:
    trip = begun(Loop)
    laps(trip, Word(), 4)
    assert laps(trip, Word(), 4) == ["submit", "reject.otherwise", "again", "submit"]
    assert laps(trip, Word(), 1) == ["reject.otherwise"]


class Since(Loop):
    reject = Loop.reject.but(guards=[LoopCap(2, since=Loop.person)])


def test_since_begins_the_count_again() -> None:
    trip = begun(Since)
    assert laps(trip, Word(), 6) == ["submit", "reject", "submit", "reject", "submit", "reject.otherwise"]
    assert trip.snapshot.counters["fires:reject@person"] == 0
    assert laps(trip, Word(), 7) == ["again", "submit", "reject", "submit", "reject", "submit", "reject.otherwise"]
    assert trip.snapshot.counters["fires:reject"] == 4


class Visits(Loop):
    write = State(initial=Word, agent=answer, guards=[LoopCap(2)], otherwise=Loop.person)
    reject = Loop.reject.but(guards=[], otherwise=None)
    again = Loop.person.to(Loop.judge, on=Word)


def test_a_cap_on_a_state_counts_its_visits_the_first_included() -> None:
    trip = begun(Visits)
    assert laps(trip, Word(), 2) == ["submit", "reject"]
    trip.own(Word())
    record = trip.own(Word())
    assert record.hop == "write.otherwise"
    assert record.rulings[0].verdict.numbers == {"visits": 2, "visits_max": 2}


class VisitsSince(Visits):
    write = State(initial=Word, agent=answer, guards=[LoopCap(2, since=Loop.person)], otherwise=Loop.person)


def test_visits_since_a_state_count_the_start_too() -> None:
    trip = begun(VisitsSince)
    assert laps(trip, Word(), 4) == ["submit", "reject", "submit", "write.otherwise"]
    assert laps(trip, Word(), 6) == ["again", "reject", "submit", "reject", "submit", "write.otherwise"]


class Hops(Loop):
    reject = Loop.reject.but(guards=[], otherwise=None)
    limits = everywhere(LoopCap(3), otherwise=Loop.person)


def test_a_cap_everywhere_counts_the_hops_of_the_run() -> None:
    trip = begun(Hops)
    assert laps(trip, Word(), 3) == ["submit", "reject", "submit"]
    record = trip.own(Word())
    assert record.hop == "limits.otherwise"
    assert record.rulings[0].verdict.numbers == {"hops": 3, "hops_max": 3}
    assert trip.snapshot.counters["hops"] == 4, "the start is no hop, the way to the person is one"


class HopsOnALine(Loop):
    reject = Loop.reject.but(guards=[LoopCap(5, scope="run")])


def test_scope_run_counts_hops_wherever_it_stands() -> None:
    trip = begun(HopsOnALine)
    assert laps(trip, Word(), 6) == ["submit", "reject", "submit", "reject", "submit", "reject.otherwise"]


class HopsSince(Hops):
    limits = everywhere(LoopCap(3, since=Loop.person), otherwise=Loop.person)


def test_hops_since_a_state_begin_again_and_do_not_count_the_start() -> None:
    trip = begun(HopsSince)
    first = ["submit", "reject", "submit", "limits.otherwise"]
    assert laps(trip, Word(), 4) == first
    assert laps(trip, Word(), 4) == ["again", "submit", "reject", "limits.otherwise"]


class Budget(Loop):
    reject = Loop.reject.but(guards=[], otherwise=None)
    broken = any_of(Loop.write, Loop.judge).to(Loop.person, on=AgentFailed)
    limits = everywhere(TokenBudget(100), otherwise=Loop.person)


@pytest.mark.parametrize(
    ("spent", "hop"), [((60, 39), "reject"), ((60, 40), "limits.otherwise"), ((60, 90), "limits.otherwise")]
)
def test_a_budget_looks_at_what_is_spent_up_to_now(spent: tuple[int, int], hop: str) -> None:
    trip = begun(Budget)
    trip.own(Word(), spent=Spent(spent[0], 5))
    record = trip.own(Word(), spent=Spent(spent[1], 5))
    assert record.hop == hop
    assert record.rulings[0].verdict.numbers == {"tokens": sum(spent), "tokens_max": 100}
    assert trip.snapshot.spent == Spent(sum(spent), 10)


def test_what_a_failed_visit_spent_counts() -> None:
    trip = begun(Budget)
    trip.own(AgentFailed(error_type="E", message="", attempt=1), spent=Spent(100, 0))
    assert trip.snapshot.counters["tokens"] == 100
    record = trip.sent(Word())
    assert (record.hop, record.state) == ("limits.otherwise", "person"), "nor does it begin again"


def test_what_was_spent_before_a_refused_event_is_kept() -> None:
    class Strict(Machine):
        work = State(initial=Word, agent=answer)
        done = State[Any](final="completed")
        go = work.to(done, on=Word, guards=[Says("guard")])

    trip = begun(Strict)
    trip.own(Word(says={"guard": "later"}), spent=Spent(3, 4))
    trip.own(Word(says={"guard": "later"}), spent=Spent(2, 0))
    assert trip.snapshot.spent == Spent(5, 4)


def test_every_hop_and_state_is_counted_by_name() -> None:
    trip = begun(Loop)
    laps(trip, Word(), 3)
    assert trip.snapshot.counters == {
        "visits:write": 2,
        "visits:judge": 2,
        "fires:start": 1,
        "fires:submit": 2,
        "fires:reject": 1,
        "hops": 3,
    }


# --- the engine -----------------------------------------------------------------------------------


def test_transitions_is_the_authority() -> None:
    """Nothing moves a run but a hop that the engine's own machine has."""
    engine = Engine(Loop.spec)
    assert engine.go("write", "submit") == "judge"
    for state, hop in (
        ("judge", "submit"),
        ("write", "submitt"),
        ("(start)", "submit"),
        ("person", "reject.otherwise"),
    ):
        with pytest.raises(Undeclared):
            engine.go(state, hop)
    del engine._machine.events["!submit"].transitions["write"]
    with pytest.raises(Undeclared):
        engine.go("write", "submit")
    del engine._machine.events["!again"]
    with pytest.raises(Undeclared):
        engine.go("person", "again")


def test_a_decision_needs_the_engine_to_go() -> None:
    trip = begun(Loop)
    del trip.engine._machine.events["!submit"].transitions["write"]
    with pytest.raises(Undeclared):
        trip.own(Word())


def test_the_engine_has_nothing_that_was_not_declared() -> None:
    machine = Engine(Loop.spec)._machine
    declared = {f"!{hop}" for hop in Loop.spec.hops} | {"?Word", "?Other"}
    assert set(machine.events) == declared
    assert set(machine.states) == {"(start)", "write", "person", "judge"}


def test_the_engine_chooses_in_the_order_written() -> None:
    engine = Engine(Loop.spec)
    asked: list[str] = []

    def matches(line: Any) -> bool:
        asked.append(line.name)
        return False

    assert engine.choose("judge", "Word", matches) is None
    assert engine.choose("person", "Other", matches) is None
    assert asked == ["reject"]
    assert engine.handles("judge", "Other")
    assert not engine.handles("judge", "AgentFailed")
