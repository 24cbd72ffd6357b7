"""What `check` says of machines with retries, fallbacks, strikes and deadlines, worked out by hand."""

from typing import Any

from pydantic import BaseModel

from fsm import (
    AgentFailed,
    Machine,
    PayloadInvalid,
    Retry,
    State,
    TimedOut,
    View,
    always_after,
    any_of,
    everywhere,
    minutes,
    never,
)
from fsm.core.conclude import Decision, decide
from fsm.core.engine import Engine
from fsm.core.plan import Event
from fsm.core.snapshot import Snapshot
from fsm.define.payload import seal
from fsm.show.verdict import table
from fsm.verify.check import Report, check
from fsm.verify.moves import moves_of
from fsm.verify.witness import decisions, scenario, without_code
from guards import Deadline, LoopCap, Strikes, TokenBudget
from tests.core.trip import answer
from tests.verify.test_check import codes, driven, marks, most


class Brief(BaseModel):
    pass


class Draft(BaseModel):
    pass


async def write(view: View[Brief]) -> Draft:
    raise AssertionError("no agent is run")


class Retried(Machine):
    """Three attempts a visit, three visits at most."""

    draft = State(
        initial=Brief,
        agent=write,
        timeout_s=10,
        tokens_max=100,
        usd_micros_max=0,
        retry=Retry(attempts_max=3, base_s=1, cap_s=20),
    )
    review = State[Any](agent=answer, timeout_s=10, tokens_max=0, usd_micros_max=0)
    done = State[Any](final="completed")
    lost = State[Any](final="failed")

    submit = draft.to(review, on=Draft)
    good = review.to(done, on=Brief)
    again = review.to(draft, on=Draft, guards=[LoopCap(2)], otherwise=lost)
    broken = any_of(draft, review).to(lost, on=(AgentFailed, PayloadInvalid))


def decided(report: Report, machine: type[Machine], cost: str) -> list[Decision]:
    (run,) = [figure.run for figure in report.figures if figure.cost == cost]
    return list(decisions(without_code(machine.spec), scenario(machine.spec, run)["events"], Snapshot()))


def test_a_failure_is_retried_or_goes_its_own_way():
    told = [f"{move}{dict(move.predicates)}" for move in moves_of(Retried.spec).all if move.source == "draft"]
    assert [text for text in told if text.startswith("AgentFailed")] == [
        "AgentFailed: draft -> lost by broken{'draft.retry': False}",
        "AgentFailed: draft -> lost by broken{'draft.retry': True}",  # refused by its cap
        "AgentFailed: draft is tried again by draft.retry{'draft.retry': True}",
    ]
    assert "TimedOut: draft is tried again by draft.retry{'draft.retry': True}" in told
    assert not [text for text in told if text.startswith("CallRefused") and "retry" in text]


def test_retries_cost_hops_and_time_and_no_tokens():
    report = check(Retried.spec)
    assert report.termination.how == "by its caps"
    assert {cost for cost, mark in marks(report).items() if mark == "exact"} == set(marks(report))
    assert most(report)["hops"] == 3 * 2 + 5 + 1  # two retries in each visit of `draft`
    assert most(report)["tokens"] == 300
    attempts = 3 * (4 + 2)  # three visits of `draft`: resumed three times, retried twice
    assert most(report)["ms"] == (attempts * 10 + 3 * 2 * 20 + 3 * 4 * 10) * 1_000
    kinds = [decision.record.kind for decision in decided(report, Retried, "hops") if decision.record]
    assert kinds.count("retried") == 6 and kinds[-1] == "ended"
    (run,) = [figure.run for figure in report.figures if figure.cost == "hops"]
    assert any(str(leg).startswith("AgentFailed: draft is tried again by draft.retry  [") for leg in run)
    assert driven(Retried.spec, report, "tokens").spent.tokens == 300


def test_the_cap_of_a_retry_is_one_that_the_machine_has():
    report = check(Retried.spec)
    assert "idle-cap" not in codes(report)

    class Never(Retried):
        limits = everywhere(LoopCap(1), otherwise=Retried.lost)

    idle = [finding.what for finding in check(Never.spec).findings if finding.code == "idle-cap"]
    assert any(what.startswith("Retry(2) on `draft.retry` never decides") for what in idle)


def test_what_a_visit_must_spend_it_spends_once_however_often_it_is_retried():
    class Charged(Retried):
        draft = State(
            initial=Brief, agent=write, tokens_max=100, tokens_min=40, usd_micros_max=0, retry=Retry(attempts_max=3)
        )
        again = Retried.again.but(guards=[TokenBudget(100)])

    report = check(Charged.spec)
    assert report.termination.kind == "ends"
    # 40 and 40 tokens, then a third visit: two more retries in each, and the budget sends it away
    assert (most(report)["hops"], marks(report)["hops"]) == (3 * 2 + 6, "exact")
    assert driven(Charged.spec, report, "hops").counters["hops"] == 12


def test_a_retry_enters_nothing_so_it_keeps_and_breaks_no_promise():
    class Promising(Retried):
        judged = always_after(Retried.draft, Retried.review, before=Retried.draft)

    (answer,) = check(Promising.spec).promises
    assert answer.answer == "kept"


# --- fallbacks ------------------------------------------------------------------------------------


class Backed(Machine):
    draft = State(initial=Brief, agent=write, fallback=write, timeout_s=10, guards=[Strikes("model")])
    done = State[Any](final="completed")
    gone = State[Any](final="failed")

    ok = draft.to(done, on=Draft)
    bad = draft.to(gone, on=AgentFailed)


def test_lines_behind_a_fallback_are_neither_shadowed_nor_never_taken():
    report = check(Backed.spec)
    assert not report.warnings and not report.errors
    assert most(report)["hops"] == 2


def test_a_fallback_is_handed_what_its_state_was():
    """`write` takes a Brief, and no AgentFailed arrives at the fallback."""
    assert "not-viewed" not in codes(check(Backed.spec))


# --- strikes and deadlines ------------------------------------------------------------------------


class Timed(Retried):
    limits = everywhere(Deadline(60), Strikes("model", 2), otherwise=Retried.lost)


def test_neither_strikes_nor_a_deadline_is_a_cap():
    class Loop(Timed):
        again = Timed.again.but(guards=[], otherwise=None)

    report = check(Loop.spec)
    assert report.termination.kind == "may run for ever"
    assert not any(leg.elapsed_ms for leg in report.termination.loop)


def test_a_deadline_bounds_the_time_of_what_it_is_asked_of():
    report = check(Timed.spec)
    time = next(figure for figure in report.figures if figure.cost == "ms")
    assert time.mark == "upper bound" and time.binds == "Deadline on `limits`"
    # begun at the last moment: all attempts of `draft`, once more put off by a pause; then only ways into final states
    assert time.most == (60 + 4 * 10 + 30) * 1_000
    assert "time       2 min 10 s  upper bound, bound by Deadline on limits" in table(report)


def test_a_deadline_that_no_run_comes_to_changes_nothing():
    class Late(Retried):
        limits = everywhere(Deadline(minutes(60)), otherwise=Retried.lost)

    assert (most(check(Late.spec))["ms"], marks(check(Late.spec))["ms"]) == (most(check(Retried.spec))["ms"], "exact")


def test_a_run_refused_by_strikes_steps_on_the_engine():
    class Watched(Retried):
        submit = Retried.submit.but(guards=[Strikes("model", 4)], otherwise=Retried.lost)
        judged = never(Retried.lost, before=Retried.review)

    (answer,) = check(Watched.spec).promises
    assert answer.answer == "broken"
    told = scenario(Watched.spec, answer.run)["events"]
    assert told[-1]["strikes"] == {"model": 4}
    *_, last = decisions(without_code(Watched.spec), told, Snapshot())
    assert last.record is not None and last.record.hop == "submit.otherwise"
    assert last.snapshot.counters["strikes:model"] == 4


def test_a_wait_that_nobody_answers_is_no_strike():
    """Nothing was asked of what is watched, though the guard stands on the state that waits."""

    class Asking(Machine):
        ask = State(initial=Brief, timeout_s=10, guards=[Strikes("model", 1)])
        done = State[Any](final="completed")

        again = ask.to(ask, on=TimedOut, guards=[LoopCap(2)], otherwise=done)

    events = [Brief(), TimedOut(timeout_ms=10_000, attempt=1), TimedOut(timeout_ms=10_000, attempt=1)]
    now, engine = Snapshot(), Engine(Asking.spec)
    for event in events:
        now = decide(engine, now, Event(payload=seal(event, 1_000), at_ms=now.at_ms + 1)).snapshot
    assert (now.state, now.counters["visits:ask"]) == ("ask", 3)
    assert (most(check(Asking.spec))["hops"], marks(check(Asking.spec))["hops"]) == (3, "exact")


def test_a_deadline_once_over_stays_over():
    """First refused, later let pass: time does not go back."""

    class Back(Machine):
        draft = State(initial=Brief, agent=write, timeout_s=10)
        late = State[Any](timeout_s=10)
        done = State[Any](final="completed")
        lost = State[Any](final="failed")

        over = draft.to(lost, on=Draft, guards=[Deadline(5)], otherwise=late)
        early = late.to(done, on=TimedOut, guards=[Deadline(5)], otherwise=lost)
        broken = draft.to(lost, on=AgentFailed)

    report = check(Back.spec)
    assert "done" not in {state for state in Back.spec.state if not _unreachable(report, state)}
    assert not any(move.hop == "early" for figure in report.figures for leg in figure.run for move in [leg.move])


def _unreachable(report: Report, state: str) -> bool:
    return any(finding.code == "unreachable" and finding.attribute == state for finding in report.findings)
