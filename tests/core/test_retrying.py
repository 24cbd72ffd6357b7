"""Retries as decisions: who is asked, how long the pause is, what counts, and where a refused one goes."""

from typing import Any, ClassVar

import attrs
import pytest

from fsm import (
    AgentFailed,
    Cancelled,
    Counter,
    Facts,
    Guard,
    Kind,
    Machine,
    MachineSpec,
    PayloadInvalid,
    Retry,
    RuntimeEvent,
    Spent,
    State,
    TimedOut,
    Verdict,
    allow,
    defer,
    everywhere,
    minutes,
    refuse,
)
from fsm.core.conclude import decide
from fsm.core.engine import Engine
from fsm.core.plan import Event
from fsm.core.record import Record
from fsm.core.snapshot import Snapshot, fold, snapshot_body, snapshot_from
from fsm.define.events import CallRefused
from fsm.define.payload import seal
from fsm.journal.rows import record_from, record_row
from guards import Deadline, LoopCap, Strikes, TokenBudget
from tests.core.trip import Other, Says, Trip, Word, answer, answers, begun

LOST = AgentFailed(error_type="ConnectionError", message="lost", attempt=1, retriable=True)
BUG = AgentFailed(error_type="KeyError", message="'x'", attempt=1)
LATE = TimedOut(timeout_ms=1_000, attempt=1)
UNFIT = PayloadInvalid(event="Word", problems=["no"], excerpt="", attempt=1)


class Draft(Machine):
    draft = State(initial=Word, agent=answer, retry=Retry(attempts_max=4, base_s=1, cap_s=3))
    person = State[Any]()
    done = State[Any](final="completed")
    lost = State[Any](final="failed")
    submit = draft.to(done, on=Word)
    again = draft.to(draft, on=Other)
    late = draft.to(person, on=TimedOut)
    fails = draft.to(lost, on=AgentFailed)
    accept = person.to(draft, on=Word)
    stop = draft.to(person, on=Cancelled)


def failed(trip: Trip, failure: RuntimeEvent = LOST, **options: Any) -> Record:
    """The attempt fails once its pause is over."""
    if trip.snapshot.again is not None:
        trip.now_ms = max(trip.now_ms, trip.snapshot.again.at_ms)
    return trip.own(failure.model_copy(update={"attempt": trip.snapshot.attempt}), **options)


def pauses(trip: Trip, failure: RuntimeEvent = LOST) -> list[int]:
    found = []
    while (record := failed(trip, failure)).kind == "retried":
        assert record.until_ms is not None
        found.append(record.until_ms - record.at_ms)
    return found


# -- what a retry is ---------------------------------------------------------------------------------


def test_attempts_max_attempts_are_made_in_one_visit_and_then_the_failure_goes_its_own_way() -> None:
    trip = begun(Draft)
    records = [failed(trip) for _ in range(4)]
    assert [(r.kind, r.hop, r.state, r.attempt) for r in records] == [
        *[("retried", "draft.retry", "draft", attempt) for attempt in (1, 2, 3)],
        ("ended", "fails", "lost", 4),
    ]
    assert trip.snapshot.counters["visits:draft"] == 1
    assert trip.snapshot.counters["fires:draft.retry"] == 3
    assert trip.snapshot.counters["hops"] == 4, "a retry is a hop"


def test_the_record_of_the_last_failure_says_that_there_were_enough() -> None:
    trip = begun(Draft)
    for _ in range(3):
        failed(trip)
    (ruling,) = failed(trip).rulings
    assert (ruling.guard, ruling.at, ruling.verdict.code) == ("Retry", "draft.retry", "attempts_max")
    assert ruling.verdict.numbers == {"fires": 3, "fires_max": 3}


def test_the_record_of_a_retry_holds_the_error_what_was_asked_and_the_spending() -> None:
    trip = begun(Draft)
    record = failed(trip, spent=Spent(70, 5))
    assert record.body is not None and AgentFailed.model_validate_json(record.body) == LOST
    assert record.predicates == (("draft.retry", True),)
    assert [(r.guard, r.verdict.decision, dict(r.verdict.numbers)) for r in record.rulings] == [
        ("Retry", "allow", {"fires": 0, "fires_max": 3})
    ]
    assert record.spent == Spent(70, 5)
    assert trip.snapshot.spent == Spent(70, 5)


def test_another_visit_has_all_its_attempts_again() -> None:
    trip = begun(Draft)
    assert len(pauses(trip, LATE)) == 3
    assert trip.snapshot.state == "person"
    trip.send(Word())
    assert trip.snapshot.attempt == 1
    assert trip.snapshot.again is None
    assert len(pauses(trip, LATE)) == 3


def test_a_visit_of_the_same_state_by_its_own_line_is_another_visit() -> None:
    trip = begun(Draft)
    failed(trip)
    failed(trip)
    trip.own(Other())
    assert len(pauses(trip)) == 3


@pytest.mark.parametrize(
    ("failure", "kind"),
    [(LOST, "retried"), (LATE, "retried"), (UNFIT, "retried"), (BUG, "ended")],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_tried_again_without_a_word_of_the_users(failure: RuntimeEvent, kind: str) -> None:
    assert failed(begun(Draft), failure).kind == kind


def test_a_refused_call_is_an_answer_and_is_not_tried_again() -> None:
    record = failed(begun(Draft), CallRefused(call="search", code="calls_max", numbers={"calls": 1}, attempt=1))
    assert (record.kind, record.hop, record.predicates) == ("ended", "fails", ())


def test_an_own_line_for_a_failure_is_for_when_there_are_no_more_retries() -> None:
    trip = begun(Draft)
    assert pauses(trip, LATE)
    assert (trip.records[-1].event, trip.records[-1].hop) == ("TimedOut", "late")


def test_where_nothing_takes_the_failure_the_run_halts_with_the_refused_retry_on_record() -> None:
    class Bare(Machine):
        draft = State(initial=Word, agent=answer, retry=Retry(attempts_max=2, base_s=0, cap_s=0))
        done = State[Any](final="completed")
        submit = draft.to(done, on=Word)

    trip = begun(Bare)
    failed(trip)
    record = failed(trip)
    assert (record.kind, record.outcome) == ("halted", "stuck")
    assert answers(record) == [("draft.retry", "Retry", "attempts_max")]


def test_an_event_from_outside_begins_no_attempt_again() -> None:
    trip = begun(Draft)
    assert trip.sent(LATE).hop == "late"


# -- the pause ---------------------------------------------------------------------------------------


class Patient(Draft):
    draft = Draft.draft.but(retry=Retry(attempts_max=50, base_s=1, cap_s=60))


def trip_of(run_id: str, machine: type[Machine] = Patient) -> Trip:
    trip = begun(machine)
    trip.snapshot = attrs.evolve(trip.snapshot, run_id=run_id)
    return trip


def test_pauses_double_up_to_the_cap_less_up_to_half_by_chance() -> None:
    found = [pauses(trip_of(f"run-{n}")) for n in range(40)]
    for nth in range(49):
        most = min(60_000, 1_000 << nth)
        column = [pause[nth] for pause in found]
        assert all(most // 2 <= pause <= most for pause in column), nth
        assert max(column) - min(column) > most // 4, "spread over the half"


def test_runs_that_fail_together_do_not_come_back_together() -> None:
    assert len({pauses(trip_of(f"run-{n}"))[0] for n in range(100)}) > 80


def test_the_pause_is_the_same_on_any_day() -> None:
    assert pauses(trip_of("r")) == pauses(trip_of("r"))
    assert pauses(trip_of("r"))[:4] == [536, 1461, 3746, 7285]


@pytest.mark.parametrize(("asked_ms", "pause_ms"), [(2_900, 2_900), (3_000, 3_000), (86_400_000, 3_000), (0, None)])
def test_a_server_that_asks_for_longer_gets_it_up_to_the_cap(asked_ms: int, pause_ms: int | None) -> None:
    plain = pauses(begun(Draft))[0]
    asking = LOST.model_copy(update={"retry_after_ms": asked_ms})
    assert pauses(begun(Draft), asking)[0] == (pause_ms or plain)


def test_what_a_server_asks_for_makes_no_pause_shorter() -> None:
    assert pauses(begun(Draft), LOST.model_copy(update={"retry_after_ms": 1})) == pauses(begun(Draft))


def test_without_base_there_is_no_pause() -> None:
    class Quick(Draft):
        draft = Draft.draft.but(retry=Retry(attempts_max=3, base_s=0, cap_s=0))

    assert pauses(begun(Quick)) == [0, 0]


# -- the user's own word -----------------------------------------------------------------------------


def worth_it(failure: RuntimeEvent) -> bool:
    if isinstance(failure, TimedOut):
        raise ValueError("cannot tell")
    return isinstance(failure, AgentFailed) and failure.error_type == "KeyError"


class Own(Draft):
    draft = Draft.draft.but(retry=Retry(base_s=1, cap_s=3, when=worth_it))


def test_the_users_own_predicate_decides() -> None:
    assert failed(begun(Own), BUG).kind == "retried"
    record = failed(begun(Own), LOST)
    assert (record.kind, record.hop, record.predicates) == ("ended", "fails", (("draft.retry", False),))


def test_one_that_raises_refuses_the_retry_and_the_record_says_why() -> None:
    record = failed(begun(Own), LATE)
    assert (record.kind, record.hop, record.predicates) == ("taken", "late", (("draft.retry", None),))
    (ruling,) = record.rulings
    assert (ruling.guard, ruling.at, ruling.verdict.code) == ("worth_it", "draft.retry", "predicate_error")
    assert "cannot tell" in ruling.verdict.text
    assert "worth_it on draft.retry refuses (predicate_error" in str(ruling)


# -- who is asked ------------------------------------------------------------------------------------


@attrs.frozen
class Env(Guard):
    """Something outside the run; answers as it was set, and notes what it looked at."""

    kind: ClassVar[Kind] = "env"
    codes: ClassVar[tuple[str, ...]] = ("closed",)
    says: ClassVar[Any] = allow()
    asked: ClassVar[list[Facts]] = []

    def check(self, facts: Facts, /) -> Verdict:
        self.asked.append(facts)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says  # type: ignore[no-any-return]


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(Env, "asked", [])
    monkeypatch.setattr(Env, "says", allow())
    return monkeypatch


class Looks(Says):
    """One that judges payloads."""

    kind: ClassVar[Kind] = "data"


class Guarded(Machine):
    draft = State(
        initial=Word,
        agent=answer,
        retry=Retry(attempts_max=10, base_s=10, cap_s=10),
        guards=[Looks("entry"), LoopCap(1), Env()],
    )
    person = State[Any]()
    done = State[Any](final="completed")
    submit = draft.to(done, on=Word)
    fails = draft.to(person, on=AgentFailed)
    accept = person.to(done, on=Word)
    limits = everywhere(
        Looks("all"), LoopCap(3), TokenBudget(100), Deadline(minutes(1)), Strikes("draft", 5), otherwise=person
    )


def test_the_machines_and_the_states_guards_are_asked_but_for_data_and_visits() -> None:
    record = failed(begun(Guarded))
    assert answers(record) == [
        ("draft.retry", "Retry", "allow"),
        ("draft", "Env", "allow"),
        ("limits", "LoopCap", "allow"),
        ("limits", "TokenBudget", "allow"),
        ("limits", "Deadline", "allow"),
        ("limits", "Strikes", "allow"),
    ]


def test_a_cap_on_hops_counts_retries() -> None:
    trip = begun(Guarded)
    assert [failed(trip).kind for _ in range(4)] == ["retried", "retried", "retried", "taken"]
    record = trip.records[-1]
    assert (record.hop, record.state) == ("fails", "person"), "the failure's own way, not that of the guard"
    refusal = next(r for r in record.rulings if r.verdict.decision == "refuse")
    assert (refusal.at, refusal.verdict.code, refusal.verdict.numbers) == (
        "limits",
        "loop_cap",
        {"hops": 3, "hops_max": 3},
    )


def test_a_budget_that_the_attempt_itself_has_spent_ends_it() -> None:
    trip = begun(Guarded)
    record = failed(trip, spent=Spent(100))
    assert record.hop == "fails"
    assert ("limits", "TokenBudget", "token_budget") in answers(record)


def test_a_deadline_judges_the_moment_at_which_the_next_attempt_would_begin() -> None:
    for before_s, kind in ((49, "retried"), (55, "taken")):  # the pause is 5 to 10 s
        trip = begun(Guarded)
        trip.now_ms = trip.snapshot.started_at_ms + before_s * 1000
        record = failed(trip)
        assert record.kind == kind
        ruling = next(r for r in record.rulings if r.guard == "Deadline")
        assert 5_000 <= ruling.verdict.numbers["elapsed_ms"] - (record.at_ms - trip.snapshot.started_at_ms) <= 10_000


def test_guards_see_that_it_is_a_retry_and_when_it_would_be(env: pytest.MonkeyPatch) -> None:
    trip = begun(Guarded)
    record = failed(trip, spent=Spent(7))
    facts = Env.asked[-1]
    assert (facts.source, facts.target, facts.hop, facts.at_ms) == ("draft", "draft", "draft.retry", record.until_ms)
    assert (facts.payload, facts.payload_bytes, facts.payload_digest) == (None, 0, b""), "a retry brings none"
    assert facts.counters["tokens"] == 7


def test_one_that_puts_off_makes_the_pause_longer_and_the_event_is_over(env: pytest.MonkeyPatch) -> None:
    trip = begun(Guarded)
    env.setattr(Env, "says", defer("closed", trip.now_ms + 50_000))
    record = failed(trip)
    assert (record.kind, record.until_ms) == ("retried", trip.now_ms - 1 + 50_000)
    assert trip.snapshot.pending is None


def test_one_that_puts_off_for_too_long_refuses(env: pytest.MonkeyPatch) -> None:
    trip = begun(Guarded)
    env.setattr(Env, "says", defer("closed", trip.now_ms + 365 * 86_400_000))
    record = failed(trip)
    assert record.hop == "fails"
    assert ("draft", "Env", "defer_exhausted") in answers(record)


@pytest.mark.parametrize("says", [KeyError("x"), "no"])
def test_one_that_breaks_refuses(says: Any, env: pytest.MonkeyPatch) -> None:
    trip = begun(Guarded)
    env.setattr(Env, "says", says)
    record = failed(trip)
    assert record.hop == "fails"
    assert ("draft", "Env", "guard_error") in answers(record)


# -- what guards keep --------------------------------------------------------------------------------


def test_what_a_guard_keeps_of_a_retry_it_keeps_of_one_that_is_made(env: pytest.MonkeyPatch) -> None:
    trip = begun(Guarded)
    env.setattr(Env, "says", allow({"tries": 1}))
    record = failed(trip)
    assert [dict(r.verdict.keep) for r in record.rulings if r.guard == "Env"] == [{"tries": 1}]
    assert trip.snapshot.kept == {"draft:Env:1": {"tries": 1}}


def test_and_of_one_that_is_refused_nothing(env: pytest.MonkeyPatch) -> None:
    trip = begun(Guarded)
    env.setattr(Env, "says", allow({"tries": 1}))
    record = failed(trip, spent=Spent(100))
    assert record.hop == "fails"
    assert trip.snapshot.kept == {}
    assert not any(r.verdict.keep for r in record.rulings)


# -- retries and what else can be --------------------------------------------------------------------


@attrs.frozen
class Opens(Guard):
    kind: ClassVar[Kind] = "env"
    codes: ClassVar[tuple[str, ...]] = ("closed",)
    opens_ms: int

    def check(self, facts: Facts, /) -> Verdict:
        return allow() if facts.at_ms >= self.opens_ms else defer("closed", self.opens_ms)


@attrs.frozen
class Closed(Guard):
    """Refuses before a moment."""

    kind: ClassVar[Kind] = "env"
    codes: ClassVar[tuple[str, ...]] = ("closed",)
    opens_ms: int

    def check(self, facts: Facts, /) -> Verdict:
        return allow() if facts.at_ms >= self.opens_ms or facts.source == "(start)" else refuse("closed")


class PutOff(Draft):
    """A retry is refused at first, and the way of the failure put off until it would not be."""

    draft = Draft.draft.but(guards=[Closed(2_000_000)])
    fails = Draft.draft.to(Draft.person, on=AgentFailed, guards=[Opens(3_000_000)])


def test_a_failure_that_was_put_off_stays_on_its_way() -> None:
    trip = begun(PutOff)
    assert failed(trip).kind == "deferred"
    trip.now_ms = 3_000_000
    record = trip.own(LOST)
    assert (record.kind, record.hop, trip.snapshot.pending) == ("taken", "fails", None)


def test_a_visit_that_killed_its_process_too_often_is_not_begun_again() -> None:
    def always(failure: RuntimeEvent) -> bool:
        return True

    class Pit(Draft):
        draft = Draft.draft.but(retry=Retry(base_s=1, cap_s=3, when=always))

    trip = begun(Pit)
    trip.snapshot = attrs.evolve(trip.snapshot, resumes=Pit.spec.bounds.resumes_max + 1)
    assert failed(trip, AgentFailed(error_type="crashed", message="", attempt=5)).hop == "fails"


def test_an_event_from_outside_that_was_put_off_waits_on_through_a_retry() -> None:
    class Waits(Draft):
        stop = Draft.draft.to(Draft.person, on=Cancelled)
        again = Draft.draft.to(Draft.draft, on=Other, guards=[Opens(3_000_000)])

    trip = begun(Waits)
    assert trip.sent(Other()).kind == "deferred"
    pending = trip.snapshot.pending
    record = failed(trip)
    assert (record.kind, trip.snapshot.pending) == ("retried", pending)
    assert "superseded" not in record.note


def test_cancel_and_refused_events_during_the_pause() -> None:
    trip = begun(Draft)
    failed(trip)
    again = trip.snapshot.again
    assert again is not None
    assert trip.snapshot.rests(again.at_ms - 1)
    assert not trip.snapshot.rests(again.at_ms)
    assert trip.sent(LOST.model_copy(update={"attempt": 9}), "other").kind == "ended"
    trip = begun(Guarded)
    failed(trip)
    assert trip.sent(Other()).kind == "unhandled"
    assert trip.snapshot.again is not None, "the pause goes on"
    assert trip.sent(Cancelled(), "c").outcome == "cancelled"


def test_a_takeover_counts_as_a_loss_only_where_an_attempt_was_at_work() -> None:
    for later_ms, resumes in ((-1, 0), (0, 1)):
        trip = begun(Draft)
        failed(trip)
        again = trip.snapshot.again
        assert again is not None
        resumed = Record(
            seq=trip.snapshot.seq + 1,
            kind="resumed",
            at_ms=again.at_ms + later_ms,
            source="draft",
            state="draft",
            outcome="running",
            attempt=3,
            note={"why": "lost"},
        )
        after = fold(Draft.spec, [resumed], trip.snapshot)
        assert (after.resumes, after.again, after.fresh, after.attempt) == (resumes, again, 2, 3)


def test_tokens_min_is_charged_when_the_visit_ends_and_guards_see_it_at_each_retry() -> None:
    engine, trip = Engine(Guarded.spec), begun(Guarded)
    trip.now_ms += 1
    event = Event(payload=seal(LOST, 1_000), at_ms=trip.now_ms, spent=Spent(40), charge=59)
    record = trip.adopt(decide(engine, trip.snapshot, event))
    assert record is not None and record.kind == "retried"
    assert (record.spent, record.note) == (Spent(40), {"charge": 59})
    assert trip.snapshot.counters["tokens"] == 40, "the visit goes on: it may still spend them"
    trip.now_ms = record.until_ms or 0
    event = Event(payload=seal(LOST, 1_000), at_ms=trip.now_ms, spent=Spent(40), charge=20)
    record = trip.adopt(decide(engine, trip.snapshot, event))
    assert record is not None
    assert (record.hop, record.spent) == ("fails", Spent(60)), "refused by the budget, and charged"


# -- as data -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("failures", [[LOST, LATE, UNFIT, BUG], [LATE, LATE], [BUG], [LOST] * 3], ids=str)
@pytest.mark.parametrize("machine", [Draft, Own, Guarded, Patient])
def test_from_json_alone_every_decision_is_the_same(machine: type[Machine], failures: list[RuntimeEvent]) -> None:
    trip = begun(machine)
    before = [Snapshot(), trip.snapshot]
    for failure in failures:
        if trip.snapshot.outcome == "running":
            failed(trip, failure)
            before.append(trip.snapshot)
    alone = Engine(MachineSpec.from_json(machine.spec.to_json()))
    for snapshot, record in zip(before, trip.records, strict=False):
        assert record.body is not None and record.digest is not None
        payload = alone.spec.stored(record.event, record.body, record.digest)
        event = Event(payload=payload, at_ms=record.at_ms, spent=record.spent, strikes=record.strikes)
        assert decide(alone, snapshot, event, record).record == record


def test_records_and_snapshots_travel() -> None:
    trip = begun(Guarded)
    failed(trip, spent=Spent(3))
    assert snapshot_from(snapshot_body(trip.snapshot), None) == trip.snapshot
    for record in trip.records:
        assert record_from(record_row(1, record, record.detail, b"")) == record


def test_the_cap_of_a_retry_counts_its_hop_since_the_state_was_entered() -> None:
    retry = Draft.spec.state["draft"].retry
    assert retry is not None
    assert (retry.guard.counter, retry.guard.limit) == (Counter("fires", "draft.retry", "draft"), 3)
    hop = Draft.spec.hops["draft.retry"]
    assert (hop.owner, hop.sources, hop.target) == ("draft", frozenset({"draft"}), "draft")


class Twice(Machine):
    out = State(final="failed")
    aside = State(agent=answer)
    away = State(agent=answer)
    work = State(
        initial=Word,
        agent=answer,
        retry=Retry(),
        guards=[LoopCap(1), Strikes("tool", 1)],
        otherwise={"loop_cap": aside, "*": away},
    )
    again = work.to(work, on=AgentFailed)
    end = work.to(out, on=Other)
    end2 = aside.to(out, on=Other)
    end3 = away.to(out, on=Other)


def test_the_refusal_that_led_here_is_not_that_of_the_retry():
    trip = begun(Twice)
    record = trip.own(AgentFailed(error_type="E", message="", attempt=1, retriable=True))
    assert record.hop == "work.otherwise.loop_cap"
    assert trip.snapshot.refusal is not None and trip.snapshot.refusal.guard == "LoopCap"
