"""Promises kept, broken by a shortest run that the engine takes, or unknown and why."""

from typing import Any, ClassVar

import pytest
from attrs import frozen
from pydantic import BaseModel

from fsm import (
    AgentFailed,
    Facts,
    Guard,
    Machine,
    MachineSpec,
    State,
    TimedOut,
    Verdict,
    allow,
    always_after,
    any_of,
    everywhere,
    never,
    unbound,
    unreachable,
)
from fsm.verify.check import check
from fsm.verify.moves import moves_of
from fsm.verify.product import situations_of
from fsm.verify.promises import Promised, promised, promising
from fsm.verify.witness import drive, scenario, without_code
from guards import LoopCap, TokenBudget


class Job(BaseModel):
    text: str = ""


class Yes(BaseModel):
    by: str = ""


class No(BaseModel):
    by: str = ""


@frozen
class Checks(Guard):
    codes: ClassVar[tuple[str, ...]] = ("unfit",)

    def check(self, facts: Facts) -> Verdict:
        return allow()


class Release(Machine):
    edit = State(initial=Job, agent=unbound)
    review = State(agent=unbound)
    deploy = State(agent=unbound)
    live = State(final="completed")
    dropped = State(final="failed")
    written = edit.to(review, on=Job)
    approve = review.to(deploy, on=Yes)
    back = review.to(edit, on=No, guards=[LoopCap(2)], otherwise=dropped)
    ship = deploy.to(live, on=Yes)
    redo = deploy.to(edit, on=No, guards=[LoopCap(1)], otherwise=dropped)
    safe = never(deploy, before=approve)
    fresh = always_after(edit, review, before=deploy)
    unused = unreachable(dropped)


def answers(spec: MachineSpec) -> dict[str, Promised]:
    """Each answer; every run that breaks a promise is taken by the engine."""
    found = {answer.promise.name: answer for answer in promised(situations_of(moves_of(spec)))}
    for answer in found.values():
        assert (answer.answer == "broken") == bool(answer.run)
        drive(without_code(spec), scenario(spec, answer.run)["events"])
    return found


def told(answer: Promised) -> tuple[str, str, list[str]]:
    return answer.answer, answer.why, [leg.move.hop for leg in answer.run]


def test_what_no_declared_way_breaks_is_kept_whatever_is_counted():
    found = answers(Release.spec)
    why = "no declared way breaks it, whatever is counted"
    assert told(found["safe"]) == told(found["fresh"]) == ("kept", why, [])


def test_a_shortest_run_breaks_it():
    hops = ["start", "written", "back", "written", "back", "written", "back.otherwise"]
    assert told(answers(Release.spec)["unused"])[2] in (
        hops,
        ["start", "written", "approve", "redo", "written", "approve", "redo.otherwise"],
    )


def test_the_json_of_a_machine_gives_the_same_answers():
    again = MachineSpec.from_json(Release.spec.to_json())
    assert {n: told(a) for n, a in answers(again).items()} == {n: told(a) for n, a in answers(Release.spec).items()}


def test_a_way_around_the_approval():
    class Hasty(Release):
        hurry = Release.edit.to(Release.deploy, on=Yes)

    found = answers(Hasty.spec)
    assert told(found["safe"]) == ("broken", "deploy happens without approve before it", ["start", "hurry"])
    assert told(found["fresh"]) == (
        "broken",
        "deploy happens after edit, without review in between",
        ["start", "hurry"],
    )
    assert [found[name].instead for name in ("safe", "fresh")] == [
        "let hurry lead elsewhere, or through approve",
        "let hurry lead elsewhere, or through review",
    ]


def test_each_time_means_each_time():
    class Again(Release):
        """What comes back from being deployed may go out again as it is."""

        second = Release.deploy.to(Release.deploy, on=Job, guards=[LoopCap(1)], otherwise=Release.dropped)
        each = always_after(Release.deploy, Release.review, before=Release.deploy)
        once = always_after(Release.back, Release.written, before=Release.deploy)

    found = answers(Again.spec)
    assert told(found["each"]) == (
        "broken",
        "deploy happens after deploy, without review in between",
        ["start", "written", "approve", "second"],
    )
    assert found["once"].answer == "kept"


def test_caps_keep_a_promise_that_the_lines_alone_do_not():
    class Capped(Machine):
        work = State(initial=Job, agent=unbound)
        done = State(final="completed")
        panic = State(final="failed")
        again = work.to(work, on=No, guards=[LoopCap(2)], otherwise=done)
        worse = work.to(panic, on=Yes, guards=[LoopCap(5, scope="run")], otherwise=done)
        limits = everywhere(LoopCap(3), otherwise=done)
        unused = unreachable(panic)
        late = never(done, before=again)

    class Tight(Capped):
        worse = None  # type: ignore[assignment]
        third = Capped.work.to(Capped.done, on=Yes, guards=[LoopCap(1)], otherwise=Capped.panic)

    assert told(answers(Capped.spec)["unused"])[::2] == ("broken", ["start", "worse"])
    assert told(answers(Tight.spec)["unused"])[0] == "kept"
    assert answers(Tight.spec)["unused"].why.startswith("the caps keep it in each of the ")


def test_a_run_that_only_failing_code_makes_is_found_last_and_said():
    class Guarded(Machine):
        work = State(initial=Job, agent=unbound)
        done = State(final="completed")
        bad = State(final="failed")
        go = work.to(done, on=Yes, guards=[Checks()], otherwise={"unfit": done, "*": bad})
        unused = unreachable(bad)

    assert told(answers(Guarded.spec)["unused"]) == (
        "broken",
        "bad happens, where code of yours fails (guard_error)",
        ["start", "go.otherwise"],
    )


def test_failing_agents_are_runs_like_any_other():
    class Careful(Release):
        broken = any_of(Release.edit, Release.review).to(Release.deploy, on=AgentFailed)

    assert told(answers(Careful.spec)["safe"])[2] == ["start", "broken"]


@pytest.mark.parametrize(("tokens_max", "answer"), [(None, "broken"), (10, "unknown"), (100, "broken")])
def test_a_budget_and_what_a_visit_may_spend(tokens_max: int | None, answer: str):
    class Paid(Machine):
        work = State(initial=Job, agent=unbound, tokens_max=tokens_max)
        done = State(final="completed")
        broke = State(final="failed")
        finish = work.to(done, on=Yes, guards=[TokenBudget(100)], otherwise=broke)
        unused = unreachable(broke)

    found = answers(Paid.spec)["unused"]
    assert found.answer == answer
    assert [leg.spent.tokens for leg in found.run] in ([0, 100], [])
    (answered,) = check(Paid.spec).promises
    assert answered.answer == ("kept" if tokens_max == 10 else "broken")  # one visit of 10 never trips the budget


def test_too_many_situations_to_look_at():
    class Deep(Machine):
        work = State(initial=Job, agent=unbound)
        done = State(final="completed")
        bad = State(final="failed")
        again = work.to(work, on=No, guards=[LoopCap(50)], otherwise=bad)
        finish = work.to(done, on=Yes)
        unused = unreachable(bad)

    (found,) = promised(situations_of(moves_of(Deep.spec)), situations_max=10)
    assert (found.answer, found.why) == (
        "unknown",
        "its caps may keep it, and there are more than 10 situations to look at",
    )
    assert promised(situations_of(moves_of(Deep.spec)))[0].answer == "broken"


def test_what_is_broken_is_an_error_with_its_place_and_what_to_write():
    class Hasty(Release):
        hurry = Release.edit.to(Release.deploy, on=Yes)
        fresh = None  # type: ignore[assignment]
        unused = None  # type: ignore[assignment]

    (found,) = promising(promised(situations_of(moves_of(Hasty.spec))))
    assert (found.level, found.code, found.attribute) == ("error", "promise-broken", "safe")
    assert str(found.place).startswith("test_promises.py:")
    assert found.what == (
        "never(deploy, before=approve) is broken: deploy happens without approve before it, by edit -> deploy"
    )
    assert found.instead == "let hurry lead elsewhere, or through approve"


def test_a_budget_that_a_late_report_may_trip_keeps_no_promise():
    """A visit cut off by its timeout may report in the next, which spends nothing itself."""

    class Late(Machine):
        work = State(initial=Job, agent=unbound, timeout_s=1)
        rest = State[Any](agent=unbound, tokens_max=0)
        done = State[Any](final="completed")
        bad = State[Any](final="failed")

        late = work.to(rest, on=(TimedOut, Yes), guards=[TokenBudget(100)], otherwise=done)
        end = rest.to(done, on=Yes, guards=[TokenBudget(100)], otherwise=bad)
        unused = unreachable(bad)

    (told,) = check(Late.spec).promises
    assert told.answer == "unknown" and "the last report of a visit may come late" in told.why

    class Counted(Late):
        late = Late.late.but(guards=[LoopCap(2)])
        end = Late.end.but(guards=[LoopCap(2)])

    assert check(Counted.spec).promises[0].answer == "kept"
