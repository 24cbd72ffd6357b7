"""What is said of machines whose guards share rows with other runs: they may refuse for ever, and bound no run."""

import json
from typing import Any

import pytest

from fsm import AgentFailed, Guard, Machine, MachineSpec, Retry, State, TimedOut, any_of, everywhere
from fsm.core.snapshot import Snapshot
from fsm.define.parts import START
from fsm.replay.scenario import Scenario, replayed
from fsm.verify.check import check
from fsm.verify.moves import moves_of
from fsm.verify.witness import Leg, drive, scenario_json, without_code
from fsm.verify.witness import scenario as told_as
from guards import Breaker, Bulkhead, CostBudget, LoopCap, PayloadSize, RateLimit, TokenBudget
from tests.core.trip import Other, Word, answer
from tests.verify.test_check import codes, found, marks, most


def is_odd(failure: AgentFailed) -> bool:
    raise AssertionError("no predicate is asked")


class Loop(Machine):
    """A writer and a judge, who go round as long as the judge says so."""

    write = State(initial=Word, agent=answer, tokens_max=100, usd_micros_max=10, tokens_min=10)
    judge = State[Any](agent=answer, tokens_max=50, usd_micros_max=10)
    person = State[Any](timeout_s=60)
    done = State[Any](final="completed")
    lost = State[Any](final="failed")

    submit = write.to(judge, on=Word)
    again = judge.to(write, on=Word)
    good = judge.to(done, on=Other)
    accept = person.to(done, on=Word)
    drop = person.to(lost, on=TimedOut)
    broken = any_of(write, judge).to(lost, on=AgentFailed)


def hops(spec: MachineSpec) -> set[str]:
    return {move.hop for move in moves_of(spec).all if move.moved}


def made(spec: MachineSpec, hop: str) -> Snapshot:
    """Where a run is that takes this hop at its start, on the real engine."""
    move = next(move for move in moves_of(spec).by_source[START] if move.hop == hop)
    return drive(without_code(spec), told_as(spec, [Leg(move, {})])["events"])


@pytest.mark.parametrize(
    "guard",
    [
        TokenBudget(1_000, scope="machine"),
        CostBudget(1_000, scope="label:tenant"),
        TokenBudget(1_000, scope="pool:x", window_s=60),
        Breaker("model"),
        RateLimit("model", 3),
        Bulkhead("model", 3),
    ],
    ids=repr,
)
def test_what_runs_share_bounds_none_of_them(guard: Guard):
    class Shared(Loop):
        limits = everywhere(guard, otherwise=Loop.person)

    report = check(Shared.spec)
    assert report.termination.kind == "may run for ever", "though each of its visits must spend"
    assert {leg.move.hop for leg in report.termination.loop} == {"submit", "again"}
    written = scenario_json(Shared.spec, report.termination.stem, report.termination.loop)
    assert [taken.lap for taken in replayed(Scenario.from_json(written), Shared.spec)][-1] == 2
    assert marks(report)["tokens"] == "no end"


def test_that_a_shared_budget_ends_no_loop_is_told_with_what_does():
    class Shared(Loop):
        limits = everywhere(TokenBudget(1_000, scope="machine"), otherwise=Loop.person)

    report = check(Shared.spec)
    error = found(report, "endless")
    assert "TokenBudget(1,000) on `limits` ends no run: many spend it, and people may raise it" in error.what
    assert error.instead == "cap the line that goes back: guards=[LoopCap(3)], otherwise=person on `again`"
    note = found(report, "shared-bound")
    assert (note.level, note.attribute) == ("note", "limits")
    assert note.what.startswith("TokenBudget(1,000) on `limits` bounds what many runs spend together")

    class Capped(Shared):
        again = Loop.again.but(guards=[LoopCap(3)], otherwise=Loop.person)

    capped = check(Capped.spec)
    assert capped.termination.kind == "ends" and "shared-bound" not in codes(capped)
    assert most(capped)["tokens"] == 4 * 150, "by its cap, and what each visit may spend"


def test_ways_by_each_code_are_ways_of_the_machine_and_step_on_the_engine():
    class Ways(Loop):
        late = State[Any](timeout_s=60)
        cheap = State[Any](agent=answer)
        limits = everywhere(
            TokenBudget(1_000, scope="machine", warn_at=800),
            otherwise={"budget_warned": cheap, "defer_exhausted": late, "*": Loop.person},
        )
        end = any_of(cheap, late).to(Loop.done, on=(Word, AgentFailed, TimedOut))

    assert {f"limits.otherwise{way}" for way in ("", ".budget_warned", ".defer_exhausted")} <= hops(Ways.spec)
    ways = {"": "person", ".budget_warned": "cheap", ".defer_exhausted": "late"}
    for way, state in ways.items():
        assert made(Ways.spec, f"limits.otherwise{way}").state == state


def test_what_a_guard_never_says_is_no_way_of_the_machine():
    class Never(Loop):
        judge = State[Any](
            agent=answer, guards=[Breaker("model")], otherwise={"guard_error": Loop.lost, "*": Loop.person}
        )
        submit = Loop.write.to(judge, on=Word)
        again = judge.to(Loop.write, on=Word, guards=[LoopCap(1)])
        good = judge.to(Loop.done, on=Other)
        broken = any_of(Loop.write, judge).to(Loop.lost, on=AgentFailed)

    assert "judge.otherwise" in hops(Never.spec) and "judge.otherwise.guard_error" not in hops(Never.spec)


def test_guards_that_ask_one_row_find_the_same_in_it():
    """The door of the whole machine lets pass; behind it stands the same breaker, and refuses nothing."""

    class Twice(Machine):
        work = State(initial=Word, agent=answer)
        person = State[Any](timeout_s=60)
        spare = State[Any](agent=answer, guards=[Breaker("model")], otherwise=person)
        other = State[Any](agent=answer, guards=[Breaker("model")], otherwise=spare)
        done = State[Any](final="completed")
        go = work.to(other, on=Word)
        end = any_of(other, spare, person).to(done, on=(Word, TimedOut))
        broken = any_of(work, other, spare).to(person, on=AgentFailed)

    assert "other.otherwise" not in hops(Twice.spec), "where `other` is closed to it, `spare` is"
    assert "spare.otherwise" in hops(Twice.spec)
    assert found(check(Twice.spec), "unreachable").attribute == "spare"

    class Reserve(Machine):
        """One budget with two limits: what lies between is for the end."""

        work = State(initial=Word, agent=answer)
        wrap_up = State[Any](agent=answer, guards=[TokenBudget(1_000, scope="machine")])
        more = State[Any](agent=answer)
        done = State[Any](final="completed")
        go = work.to(more, on=Word)
        end = any_of(more, wrap_up).to(done, on=Word)
        broken = any_of(work, more, wrap_up).to(done, on=AgentFailed)
        limits = everywhere(TokenBudget(900, scope="machine"), otherwise=wrap_up)

    assert made(Reserve.spec, "limits.otherwise").state == "wrap_up"


@pytest.mark.parametrize(
    ("guard", "puts_off"),
    [
        (Breaker("model"), False),
        (TokenBudget(1_000, scope="machine"), True),
        (RateLimit("model", 3), True),
        (Bulkhead("model", 3), True),
    ],
    ids=repr,
)
def test_who_puts_off_takes_the_time_that_the_machine_allows_for_it(guard: Guard, puts_off: bool):
    class Late(Machine, defer_s_max=100, resumes_max=0):
        work = State(initial=Word, agent=answer, timeout_s=10)
        next = State[Any](agent=answer, timeout_s=10, guards=[guard])
        done = State[Any](final="completed")

        go = work.to(next, on=Word)
        end = next.to(done, on=Word)

    assert most(check(Late.spec))["ms"] == (120_000 if puts_off else 20_000)

    class Waiting(Late):
        next = State[Any](timeout_s=10, guards=[guard])
        go = Late.work.to(next, on=Word)
        end = next.to(Late.done, on=Word)
        over = next.to(Late.done, on=TimedOut)

    assert most(check(Waiting.spec))["ms"] == 20_000, "people spend nothing, and wait without a place"


def test_a_retry_is_put_off_no_longer_than_anything_else():
    class Again(Machine, defer_s_max=100, resumes_max=0):
        work = State(
            initial=Word,
            agent=answer,
            timeout_s=10,
            guards=[RateLimit("model", 3)],
            retry=Retry(attempts_max=2, base_s=1, cap_s=1),
        )
        done = State[Any](final="completed")
        end = work.to(done, on=(Word, AgentFailed))

    # the start, the attempt, the pause, and the retry are each as long as they may be
    assert most(check(Again.spec))["ms"] == 100_000 + 10_000 + 1_000 + 100_000 + 10_000


def test_a_breaker_that_refuses_a_call_is_told_where_nothing_takes_it():
    class Called(Machine):
        work = State(initial=Word, agent=answer)
        done = State[Any](final="completed")
        end = work.to(done, on=Word)
        limits = everywhere(Breaker("model"))

    assert "or Breaker refuses a call of it, the run halts" in found(check(Called.spec), "failure-halts").what


def test_a_scenario_holds_what_the_rows_are_to_be():
    class Shared(Loop):
        limits = everywhere(Breaker("model"), otherwise=Loop.person)

    move = next(move for move in moves_of(Shared.spec).all if move.hop == "limits.otherwise")
    form = json.loads(scenario_json(Shared.spec, [Leg(move, {})]))["events"][0]
    ((kind, name, row),) = form["shared"]
    assert (kind, name, row["state"]) == ("breaker", "model", "open")


def test_a_retry_that_a_breaker_lets_pass_steps_on_the_engine():
    """What it would ask were the retry refused has no answer in the scenario, and needs none."""

    class Again(Machine):
        work = State(initial=Word, agent=answer, guards=[Breaker("model")], retry=Retry(attempts_max=2))
        done = State[Any](final="completed")
        odd = work.to(done, on=AgentFailed, when=is_odd, guards=[PayloadSize(9)])
        end = work.to(done, on=(Word, AgentFailed))

    legs = [Leg(move, {}) for move in moves_of(Again.spec).all if move.hop in ("start", "work.retry")][:2]
    after = drive(without_code(Again.spec), told_as(Again.spec, legs)["events"])
    assert (after.state, after.attempt) == ("work", 2)
