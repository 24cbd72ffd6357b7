"""A budget that many runs share: what is set aside is free again, once, whatever becomes of a visit."""

from typing import Any

import attrs
from pydantic import BaseModel

from fsm import AgentFailed, Machine, MachineSpec, Record, Retry, Spent, State, any_of, everywhere
from fsm.core.budget import Budgeting, BudgetRow, seen, settled
from fsm.core.conclude import decide
from fsm.core.engine import Engine
from fsm.core.record import NOTHING
from fsm.core.shares import Apart
from fsm.core.snapshot import fold
from fsm.define.guard import Share
from fsm.journal.rows import record_from, record_row
from guards import LoopCap, PayloadSize, TokenBudget
from tests.core.trip import Other, Trip, Word, answer

POOL = Share("budget", "tokens:pool:x")
LOST = AgentFailed(error_type="ConnectionError", message="lost", attempt=1, retriable=True)
OTHERS = 500
"""What other runs have set aside of the pool."""


@attrs.define
class Pooled:
    """A run beside others; every record of it is replayed, with code and from JSON alone."""

    trip: Trip
    shared: Apart = attrs.field(factory=lambda: Apart({POOL: BudgetRow(reserved=OTHERS)}))

    def own(self, payload: BaseModel, spent: Spent = NOTHING) -> Record:
        trip = self.trip
        before = trip.snapshot
        if before.again is not None:
            trip.now_ms = max(trip.now_ms, before.again.at_ms)
        event = trip.event(payload, spent=spent)
        record = trip.adopt(decide(trip.engine, before, event, shared=self.shared))
        assert record is not None
        record = record_from(record_row(1, record, record.detail, b""))
        assert fold(trip.machine.spec, [record], before) == attrs.evolve(trip.snapshot, memory=before.memory)
        for spec in (trip.machine.spec, MachineSpec.from_json(trip.machine.spec.to_json())):
            again = decide(Engine(spec), before, attrs.evolve(event, strikes=record.strikes), record).record
            assert again is not None
            assert (again.kind, again.hop, again.rulings) == (record.kind, record.hop, record.rulings)
            assert again.predicates == record.predicates
        return record

    @property
    def row(self) -> BudgetRow:
        row = self.shared.rows[POOL]
        assert isinstance(row, BudgetRow)
        return row

    @property
    def reserved(self) -> int:
        """What this run has set aside, as the row has it."""
        return self.row.reserved - OTHERS

    @property
    def spent(self) -> int:
        return self.row.spent


def pooled(machine: type[Machine]) -> Pooled:
    run = Pooled(Trip(machine))
    run.own(Word())
    return run


class Draft(Machine):
    """A draft that may be tried again, whose failure begins it anew, and an emergency that is entered unasked."""

    draft = State[Any](
        initial=Word,
        agent=answer,
        tokens_max=100,
        retry=Retry(attempts_max=2),
        guards=[TokenBudget(1_000, scope="pool:x")],
    )
    short = State[Any](agent=answer, tokens_max=50, retry=Retry(attempts_max=2))
    done = State[Any](final="completed")

    again = draft.to(draft, on=Word, guards=[LoopCap(1)], otherwise=short)
    fails = draft.to(draft, on=AgentFailed, guards=[LoopCap(1)], otherwise=short)
    enough = short.to(done, on=Word)
    limits = everywhere(TokenBudget(1_000, scope="pool:x"), otherwise=short)


def test_a_visit_sets_aside_what_it_may_spend_and_frees_it_when_it_is_over():
    run = pooled(Draft)
    assert run.reserved == 100
    run.own(Word(), Spent(30))
    assert (run.reserved, run.spent) == (100, 30)


def test_what_a_refused_way_asked_for_is_not_freed_as_if_it_had_been_set_aside():
    run = pooled(Draft)
    run.own(Word())
    run.own(Word())
    assert run.trip.snapshot.state == "short"
    assert run.reserved == 0, "an otherwise is exempt"
    run.own(Word())
    assert run.reserved == 0, "what the others have set aside is theirs"


def test_a_retry_in_a_visit_that_was_entered_unasked_sets_aside_and_frees_it():
    run = pooled(Draft)
    run.own(Word())
    run.own(Word())
    assert run.own(LOST).kind == "retried"
    assert run.reserved == 50
    run.own(Word())
    assert run.reserved == 0


def test_a_retry_of_a_visit_that_has_set_aside_asks_for_nothing_more():
    run = pooled(Draft)
    assert run.own(LOST, Spent(10)).kind == "retried"
    assert (run.reserved, run.spent) == (100, 0)
    record = run.own(LOST, Spent(20))
    assert (record.kind, record.hop) == ("taken", "fails"), "the retry was refused, and the way asks once more"
    assert (run.reserved, run.spent) == (100, 30)
    run.own(LOST)
    run.own(LOST)
    assert run.trip.snapshot.state == "short"
    assert run.reserved == 0


def test_a_retry_that_is_put_off_has_set_nothing_aside():
    run = pooled(Draft)
    run.own(Word())
    run.own(Word())
    run.shared.rows[POOL] = BudgetRow(reserved=980)
    record = run.own(LOST)
    assert [ruling.verdict.code for ruling in record.rulings] == ["", "reserved"]
    assert record.kind == "retried"
    assert run.trip.snapshot.holds == {}
    run.own(Word())
    assert run.shared.rows[POOL].reserved == 980


class Twice(Machine):
    draft = State[Any](initial=Word, agent=answer, tokens_max=300, guards=[TokenBudget(1_000, scope="pool:x")])
    done = State[Any](final="completed")
    again = draft.to(draft, on=Other)
    enough = draft.to(done, on=Word)
    limits = everywhere(TokenBudget(1_000, scope="pool:x"))


def test_a_pool_named_in_two_places_is_one_budget():
    run = pooled(Twice)
    assert run.reserved == 300
    run.own(Other(), Spent(20))
    assert (run.reserved, run.spent) == (300, 20)
    run.own(Word(), Spent(20))
    assert (run.reserved, run.spent) == (0, 40)


class Alike(Machine):
    draft = State[Any](initial=Word, agent=answer, tokens_max=100)
    done = State[Any](final="completed")
    again = draft.to(draft, on=Other, guards=[LoopCap(1)], otherwise=draft)
    enough = draft.to(done, on=Word)
    limits = everywhere(TokenBudget(9_000), TokenBudget(800, scope="pool:y"), TokenBudget(1_000, scope="pool:x"))


def test_guards_alike_at_one_place_are_told_apart():
    run = pooled(Alike)
    assert run.trip.snapshot.holds == {"tokens:pool:x": 100, "tokens:pool:y": 100}
    run.own(Other(), Spent(20))
    assert run.trip.snapshot.holds == {"tokens:pool:x": 100, "tokens:pool:y": 100}
    run.own(Other(), Spent(20))
    assert run.trip.snapshot.holds == {}
    assert (run.reserved, run.spent) == (0, 40)


class Sized(Machine):
    draft = State[Any](initial=Word, agent=answer, tokens_max=100, retry=Retry(attempts_max=2))
    short = State[Any](agent=answer)
    done = State[Any](final="completed")
    enough = draft.to(done, on=Word)
    fails = draft.to(short, on=AgentFailed, guards=[PayloadSize(10_000)])
    end = short.to(done, on=Word)
    limits = everywhere(TokenBudget(1_000, scope="pool:x"))


def test_a_retry_that_shared_guards_permit_replays_from_json_alone():
    run = pooled(Sized)
    assert run.own(LOST).kind == "retried"
    assert run.own(LOST).hop == "fails"


def test_a_moment_of_the_window_before_begins_no_window():
    hourly = Budgeting(code="token_budget", limit=100, window_ms=1_000)
    row = settled(BudgetRow(window=1, spent=90), hourly, 5, 0, 1_999)
    late = settled(row, hourly, 1, 0, 900)
    assert seen(late, hourly, 1_999).spent == 96
    assert seen(late, hourly, 2_000).spent == 0


def test_a_record_has_the_answers_of_the_way_that_was_taken_and_of_no_other_that_might_have_been():
    """Where a shared guard may refuse, what stands on the way behind it is asked before anybody knows."""

    class Guarded(Machine):
        work = State[Any](initial=Word, agent=answer)
        person = State[Any](guards=[PayloadSize(9_000)])
        spare = State[Any](agent=answer, guards=[PayloadSize(9_000), PayloadSize(1)], otherwise=person)
        draft = State[Any](
            agent=answer,
            tokens_max=100,
            guards=[TokenBudget(1_000, scope="pool:x", warn_at=900)],
            otherwise={"budget_warned": spare, "*": person},
        )
        done = State[Any](final="completed")
        go = work.to(draft, on=Word)
        end = any_of(draft, spare, person).to(done, on=Word)
        fails = any_of(work, draft, spare).to(done, on=AgentFailed)

    for row, hop in (
        (BudgetRow(), "go"),
        (BudgetRow(spent=850), "spare.otherwise"),
        (BudgetRow(spent=950), "draft.otherwise"),
    ):
        run = pooled(Guarded)
        run.shared.rows[POOL] = row
        assert run.own(Word()).hop == hop, "and its replay, with code and without, says the same"
