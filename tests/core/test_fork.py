"""Record 0 of a fork, and where a run stands after it."""

from typing import Any

from fsm import AgentFailed, Machine, Spent, State, any_of
from fsm.core.conclude import Decision
from fsm.core.fork import Origin, failure_in, fork, origin_of
from fsm.core.plan import PERMIT
from fsm.core.rate import SLOT
from fsm.core.snapshot import Snapshot, apply, snapshot_body, snapshot_from
from fsm.define.payload import seal
from fsm.journal.rows import record_from, record_row
from guards import Breaker, LoopCap, RateLimit, Repeat, TokenBudget
from tests.core.trip import MIB, Other, Trip, Word, answer, begun


class Desk(Machine):
    work = State(
        initial=Word,
        agent=answer,
        tokens_max=50,
        guards=[Breaker("tool"), TokenBudget(1_000, scope="machine"), RateLimit("visits", 9)],
    )
    check = State(agent=answer)
    person = State()
    done = State(final="completed")
    made = work.to(check, on=Word, guards=[Repeat(5)])
    back = any_of(check, person).to(work, on=Word, guards=[LoopCap(9)])
    end = check.to(done, on=Other)
    failed = any_of(work, check).to(person, on=AgentFailed)


def forked(trip: Trip, at_ms: int = 9_000_000, **more: Any) -> Decision:
    """A fork of the run where it stands."""
    origin = Origin(run_id="parent", seq=trip.snapshot.seq, head="00", fingerprint="f", snapshot=trip.snapshot, **more)
    return fork(Desk.spec, origin, seal(Word(), MIB), None, run_id="child", at_ms=at_ms)


def test_it_stands_where_its_parent_did_at_the_beginning_of_a_visit_of_its_own() -> None:
    trip = begun(Desk)
    trip.own(Word(), spent=Spent(30, 5))
    trip.own(Word(), spent=Spent(7))
    before, after = trip.snapshot, forked(trip).snapshot
    assert (after.run_id, after.state, after.outcome) == ("child", "work", "running")
    assert (after.seq, after.entered, after.given, after.attempt, after.fresh, after.resumes) == (0, 0, 0, 1, 1, 0)
    assert (after.counters, after.spent) == (before.counters, Spent(37, 5))
    assert after.at_ms - after.started_at_ms == before.at_ms - before.started_at_ms
    assert after.entered_at_ms == after.at_ms == 9_000_000


def test_nothing_that_is_shared_comes_along() -> None:
    trip = begun(Desk)
    trip.own(Word(), spent=Spent(30))
    trip.own(Word())
    before, after = trip.snapshot, forked(trip).snapshot
    assert before.holds and any(PERMIT in kept for kept in before.kept.values())
    assert (dict(after.holds), after.settled) == ({}, Spent(30)), "its parent has told the budgets what it spent"
    assert not any({PERMIT, SLOT} & set(kept) for kept in after.kept.values())
    assert {place for place in before.kept if "Repeat" in place} == set(after.kept), "a guard's own counts do"


def test_its_record_says_so_by_itself() -> None:
    """It is read back from its row, and the position is folded from that record alone."""
    trip = begun(Desk)
    trip.own(Word())
    failure = seal(AgentFailed(error_type="E", message="m", attempt=1), MIB)
    decision = forked(trip, failure=failure)
    assert decision.record is not None
    row = record_row(1, decision.record, decision.record.detail, b"head")
    record = record_from(row)
    assert apply(Desk.spec, Snapshot(), record) == decision.snapshot
    origin = origin_of(record)
    assert origin is not None and (origin.snapshot, origin.seq) == (trip.snapshot, 1)
    assert failure_in(record) == failure.value
    assert origin_of(trip.records[0]) is None and failure_in(trip.records[0]) is None


def test_what_waits_waits_anew() -> None:
    trip = begun(Desk)
    trip.own(AgentFailed(error_type="E", message="m", attempt=1))
    decision = forked(trip)
    assert decision.record is not None
    assert (decision.record.outcome, decision.snapshot.state) == ("waiting", "person")


def test_a_position_is_written_as_it_is_read() -> None:
    trip = begun(Desk)
    trip.own(Word())
    body = snapshot_body(trip.snapshot)
    assert snapshot_body(snapshot_from(body)) == body
