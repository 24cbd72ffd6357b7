"""What `check` says of machines whose answers are worked out by hand, and the text that a user reads."""

import json
from typing import Any, ClassVar

import attrs
import pytest
from pydantic import BaseModel

from fsm import (
    AgentFailed,
    CallRefused,
    Cancelled,
    Counter,
    Facts,
    Guard,
    Kind,
    Machine,
    MachineSpec,
    Standing,
    State,
    TimedOut,
    Verdict,
    View,
    allow,
    any_of,
    everywhere,
)
from fsm.core.snapshot import Snapshot
from fsm.errors import DefinitionError
from fsm.show.verdict import lines, table
from fsm.verify.check import Report, check
from fsm.verify.finding import Finding
from fsm.verify.witness import drive, scenario, scenario_json, without_code
from guards import Deadline, LoopCap, Strikes, TokenBudget
from machines import ReviewLoop
from tests.core.trip import answer


class Word(BaseModel):
    pass


class Other(BaseModel):
    pass


class Third(BaseModel):
    pass


def is_good(word: Word) -> bool:
    raise AssertionError("no predicate is asked")


def most(report: Report) -> dict[str, int | None]:
    return {figure.cost: figure.most for figure in report.figures}


def marks(report: Report) -> dict[str, str]:
    return {figure.cost: figure.mark for figure in report.figures}


def found(report: Report, code: str) -> Finding:
    (finding,) = [finding for finding in report.findings if finding.code == code]
    return finding


def codes(report: Report) -> set[str]:
    return {finding.code for finding in report.findings}


def driven(spec: MachineSpec, report: Report, cost: str) -> Snapshot:
    """Where the run of this figure ends, on the real engine."""
    (run,) = [figure.run for figure in report.figures if figure.cost == cost]
    return drive(without_code(spec), scenario(spec, run)["events"])


# --- termination ----------------------------------------------------------------------------------


class EachOther(Machine):
    """Each cap begins again where the other one leads."""

    left = State(initial=Word, agent=answer)
    right = State[Any](agent=answer)
    done = State[Any](final="completed")

    over = left.to(right, on=Word, guards=[LoopCap(2, since=left)], otherwise=done)
    back = right.to(left, on=Word, guards=[LoopCap(2, since=right)], otherwise=done)
    broken = any_of(left, right).to(done, on=AgentFailed)


def test_two_caps_that_reset_each_other_run_for_ever():
    report = check(EachOther.spec)
    verdict = report.termination
    assert verdict.kind == "may run for ever"
    assert [leg.move.hop for leg in verdict.loop] == ["back", "over"]
    told = scenario(EachOther.spec, verdict.stem, verdict.loop)
    engine = without_code(EachOther.spec)
    snapshot = drive(engine, told["events"])
    for _ in range(5):
        snapshot = drive(engine, told["loop"], snapshot)
    assert snapshot.counters["hops"] == len(told["events"]) - 1 + 10
    error = found(report, "endless")
    assert error.level == "error" and error.attribute == "over" and "test_check.py" in str(error)
    assert "a run may go on for ever in `right` and `left`: right by back -> left by over" in str(error)
    assert "`back` enters `left`, where LoopCap(2) on `over` begins to count again" in str(error)
    assert "`over` enters `right`, where LoopCap(2) on `back` begins to count again" in str(error)
    assert "-> drop since= of one of the caps on `back` and `over`" in str(error)
    assert marks(report) == dict.fromkeys(("hops", "ms"), "no end") | {"tokens": "unknown", "usd_micros": "unknown"} | {
        "approvals": "unknown"
    }


def test_one_lasting_cap_ends_it():
    class Ending(EachOther):
        back = EachOther.back.but(guards=[LoopCap(2)])

    report = check(Ending.spec)
    assert report.termination.kind == "ends" and report.termination.how == "by its caps"
    assert most(report)["hops"] == 6  # over, back, over, back, over, and back's otherwise


class Budgeted(Machine):
    """A loop behind a budget."""

    write = State(initial=Word, agent=answer, tokens_max=100, usd_micros_max=0)
    judge = State[Any](agent=answer, tokens_max=0, usd_micros_max=0)
    person = State[Any](timeout_s=60)
    done = State[Any](final="completed")
    lost = State[Any](final="failed")

    submit = write.to(judge, on=Word)
    again = judge.to(write, on=Word)
    good = judge.to(done, on=Other)
    accept = person.to(done, on=Word)
    drop = person.to(lost, on=TimedOut)
    broken = any_of(write, judge).to(lost, on=AgentFailed)
    limits = everywhere(TokenBudget(1_000), otherwise=person)


def test_a_loop_that_may_spend_nothing_is_not_bounded_by_a_budget():
    report = check(Budgeted.spec)
    assert report.termination.kind == "may run for ever"
    assert {leg.move.hop for leg in report.termination.loop} == {"submit", "again"}
    assert all(not leg.spent for leg in report.termination.loop)
    error = found(report, "endless")
    assert "TokenBudget(1,000) on `limits` ends no loop whose visits may spend nothing" in error.what
    assert error.instead.startswith("give one of its states tokens_min=, as `") and error.instead.endswith(
        "cap `again`"
    )
    # what it spends is bounded all the same: 999 tokens, and one visit
    tokens = report.figures[1]
    assert (tokens.most, tokens.mark, tokens.binds) == (1_099, "upper bound", "TokenBudget(1,000) on `limits`")


def test_a_budget_bounds_a_loop_whose_visits_must_spend():
    class Charged(Budgeted):
        write = State(initial=Word, agent=answer, tokens_max=100, usd_micros_max=0, tokens_min=10)

    report = check(Charged.spec)
    assert report.termination.kind == "ends"
    # 99 turns of 10 tokens each leave 990 spent; the hundredth visit trips the budget, and a person is asked
    assert most(report)["hops"] == 2 * 99 + 2 and marks(report)["hops"] == "exact"
    assert driven(Charged.spec, report, "hops").counters["hops"] == 200
    assert driven(Charged.spec, report, "hops").spent.tokens == 1_000


def test_a_budget_that_nothing_can_reach_is_told():
    class Rich(Budgeted):
        again = Budgeted.again.but(guards=[LoopCap(3)], otherwise=Budgeted.person)

    report = check(Rich.spec)
    tokens = report.figures[1]
    assert (tokens.most, tokens.mark) == (400, "exact")  # four visits of 100
    assert driven(Rich.spec, report, "tokens").spent.tokens == 400
    assert str(found(report, "dead-budget")).endswith(
        "TokenBudget(1,000) on `limits` never refuses: no run spends more than 400 tokens\n"
        "    -> lower its limit, or drop it"
    )


def test_spending_holds_up_to_the_last_report_of_each_visit():
    class Capped(Budgeted):
        again = Budgeted.again.but(guards=[LoopCap(3)], otherwise=Budgeted.person)

    report = check(Capped.spec)
    assert "tokens     400         exact, up to the last report of each visit" in table(report)
    assert "400 tokens (up to the last report of each visit)" in report.headline
    said = {figure["cost"]: figure["up_to"] for figure in report.data["worst"]}
    assert said["tokens"] == said["usd_micros"] == "up to the last report of each visit"
    assert said["hops"] == said["ms"] == said["approvals"] == ""
    note = found(report, "may-overstep")
    assert (note.level, note.attribute) == ("note", "write")
    assert note.what.startswith(
        "a visit may overstep tokens_max of `write` and `judge` and usd_micros_max of `write` and `judge` by its last"
    )


def test_a_budget_lets_a_run_spend_what_may_follow_on_its_last_yes():
    """Of the states of a loop it may be the cheap one that is entered then."""

    class Research(Machine):
        plan = State(initial=Word, agent=answer, tokens_max=3_000)
        search = State[Any](agent=answer, tokens_max=20_000, tokens_min=2_000)
        write = State[Any](agent=answer, tokens_max=8_000)
        done = State[Any](final="completed")
        lost = State[Any](final="failed")

        planned = plan.to(search, on=Word)
        good = search.to(write, on=Other)
        more = search.to(plan, on=Word, guards=[TokenBudget(100_000)], otherwise=write)
        written = write.to(done, on=Word)
        broken = any_of(plan, search, write).to(lost, on=AgentFailed)

    tokens = check(Research.spec).figures[1]
    assert tokens.most == 99_999 + 3_000 + 20_000 + 8_000
    assert tokens.why == "99,999 when it lets pass for the last time, and 31,000 more"


def test_a_time_is_never_told_shorter_than_it_is():
    class Slow(Machine):
        work = State(initial=Word, agent=answer, timeout_s=24_181)  # 26 h 52 min and 4 s with all attempts
        done = State[Any](final="completed")

        good = work.to(done, on=(Word, AgentFailed))

    report = check(Slow.spec)
    assert "time       1 d 3 h  exact" in table(report)
    told = [line.text for line in lines(report, runs=True)]
    assert any(line.startswith("  time: a visit of an agent counts timeout_s 4 times") for line in told)


def test_where_not_all_situations_are_looked_at_it_says_so():
    assert check(Budgeted.spec, 5).figures[0].mark == "no end"

    class Ending(EachOther):
        back = EachOther.back.but(guards=[LoopCap(2)])

    hops = check(Ending.spec, 5).figures[0]
    assert (hops.mark, hops.why) == ("upper bound", "more than 5 situations, and --situations-max looks at more")


def test_a_budget_that_every_completed_run_trips_is_told():
    class Poor(Budgeted):
        write = State(initial=Word, agent=answer, tokens_max=2_000, usd_micros_max=0, tokens_min=1_500)

    report = check(Poor.spec)
    assert "every run that completes must be refused by TokenBudget(1,000) on `limits`" in str(
        found(report, "always-trips")
    )


@pytest.mark.parametrize("place", ["transition", "state", "run"])
def test_a_loop_cap_bounds_a_loop_on_every_place(place: str):
    at = [LoopCap(2)]

    class Capped(Machine):
        work = State(initial=Word, agent=answer)
        check = State[Any](agent=answer, guards=at if place == "state" else [])
        done = State[Any](final="completed")

        go = work.to(check, on=Word)
        back = check.to(work, on=Word, guards=at if place == "transition" else [])
        end = check.to(done, on=Other)
        limits = everywhere(*(at if place == "run" else [LoopCap(1_000)]))

    report = check(Capped.spec)
    assert report.termination.kind == "ends"
    # go back, twice, then go end; go back, twice, and halted; go back, and halted
    hops = {"transition": 6, "state": 4, "run": 2}[place]
    assert most(report)["hops"] == hops and marks(report)["hops"] == "exact"
    assert driven(Capped.spec, report, "hops").counters["hops"] == hops


# --- chains, waits, people ------------------------------------------------------------------------


class Chained(Machine):
    """Refusals that lead to refusals; an otherwise hop asks the entry guards of its target."""

    work = State(initial=Word, agent=answer)
    first = State[Any](agent=answer, guards=[LoopCap(1)], otherwise=None)
    last = State[Any]()
    door = State[Any](agent=answer, guards=[LoopCap(1)], otherwise=last)
    done = State[Any](final="completed")

    go = work.to(first, on=Word, guards=[LoopCap(1)], otherwise=door)
    again = any_of(first, door).to(work, on=Word)
    end = last.to(done, on=Word)
    broken = any_of(work, first, door).to(last, on=AgentFailed)


def test_chains_of_refusals_are_followed_to_their_end():
    report = check(Chained.spec)
    assert report.termination.kind == "ends" and report.termination.waits == ("last",)
    # go again; door again; then through the door's own otherwise to `last`, and a person
    assert most(report)["hops"] == 6 and marks(report)["hops"] == "exact"
    run = report.figures[0].run
    assert [leg.move.hop for leg in run] == ["start", "go", "again", "go.otherwise", "again", "door.otherwise", "end"]
    assert driven(Chained.spec, report, "hops").state == "done"
    assert report.headline.startswith("Chained: every run ends, or waits at `last`")
    assert str(found(report, "no-timeout").instead) == "give it timeout_s=, and a line last.to(..., on=TimedOut)"
    assert most(report)["approvals"] == 1 and report.figures[-1].why == "`last` waits without timeout_s"


def test_the_review_loop():
    report = check(ReviewLoop.spec)
    assert str(report.termination) == "every run ends  (by its caps)"
    # four rounds of research, draft and review, less the hop back the fourth time: 11; to the person, and out: 13
    assert most(report)["hops"] == 13 and most(report)["approvals"] == 1
    # twelve visits of 300 s, each taken up again three times at most; a person has two days
    assert most(report)["ms"] == 1000 * (12 * 300 * 4 + 2 * 86_400)
    assert {mark for cost, mark in marks(report).items() if cost in ("hops", "approvals", "ms")} == {"exact"}
    assert report.figures[1].mark == "unknown"
    assert report.figures[1].why == "`research`, `draft` and `review` declare no tokens_max"
    assert not report.errors and not report.warnings
    assert codes(report) == {"idle-cap", "choice-default"}  # LoopCap(100): the caps before it end every run
    end = driven(ReviewLoop.spec, report, "hops")
    assert (end.counters["hops"], end.counters["fires:reject"], end.outcome) == (13, 3, "completed")


def test_a_machine_without_its_code_is_proven_alike():
    for spec in (ReviewLoop.spec, EachOther.spec, Budgeted.spec, Chained.spec):
        bare = check(MachineSpec.from_json(spec.to_json()))
        report = check(spec)
        assert str(bare.termination) == str(report.termination)
        assert [figure.data for figure in bare.figures] == [figure.data for figure in report.figures]
        assert proven(bare) == proven(report)


def proven(report: Report) -> list[str]:
    """What is found without asking predicates."""
    return [finding.what for finding in report.findings if not finding.code.startswith("choice")]


# --- structure ------------------------------------------------------------------------------------


@attrs.frozen
class Weather(Guard):
    kind: ClassVar[Kind] = "env"
    codes: ClassVar[tuple[str, ...]] = ("rain",)

    def check(self, facts: Facts, /) -> Verdict:
        return allow()


def test_a_guard_of_the_world_bounds_nothing():
    class Turning(Machine):
        work = State(initial=Word, agent=answer)
        done = State[Any](final="completed")

        again = work.to(work, on=Word, guards=[Weather()])
        end = work.to(done, on=Other)

    report = check(Turning.spec)
    assert report.termination.kind == "may run for ever"
    assert str(found(report, "nowhere-to-go")).splitlines()[1:] == [
        "    where Weather refuses (rain), a run in `work` halts: no otherwise says where it leads",
        "    -> give `again` an otherwise=",
    ]
    assert found(report, "failure-halts").level == "warning"


def test_what_is_wrong_with_the_shape_of_a_machine():
    class Odd(Machine):
        work = State(initial=Word, agent=answer)
        island = State[Any](agent=answer)
        trap = State[Any](agent=answer)
        done = State[Any](final="completed")

        good = work.to(done, on=Word, when=is_good)
        same = work.to(trap, on=Word, when=is_good)
        rest = work.to(trap, on=Word)
        never = work.to(done, on=Word)
        off = island.to(done, on=Word)
        turn = trap.to(trap, on=Word, guards=[LoopCap(1)])

    report = check(Odd.spec)
    told = {(finding.code, finding.attribute) for finding in report.findings}
    shadowed = {("shadowed", "same"), ("shadowed", "never")}
    assert told >= {("unreachable", "island"), ("no-end", "trap"), ("nowhere-to-go", "turn")} | shadowed
    assert ("dead-end", "trap") in told
    texts = {finding.attribute: finding.what for finding in report.findings if finding.code == "shadowed"}
    assert texts["never"] == "never the candidate: `rest`, written before it, matches whenever it does"
    assert texts["same"] == "never the candidate: `good`, written before it, matches whenever it does"
    assert [finding.level for finding in report.errors] == ["error"]
    bare = check(MachineSpec.from_json(Odd.spec.to_json()))  # two predicates of one name need not be one function
    assert [finding.attribute for finding in bare.findings if finding.code == "shadowed"] == ["never"]


def test_lines_on_what_never_comes_up():
    class Silent(Machine):
        work = State(initial=Word, agent=answer)
        person = State[Any]()
        done = State[Any](final="completed")

        ask = work.to(person, on=Word)
        late = any_of(work, person).to(done, on=TimedOut)
        lost = person.to(done, on=AgentFailed)
        end = person.to(done, on=Word)

    what = {finding.attribute: finding.what for finding in check(Silent.spec).findings if finding.code == "never-taken"}
    assert what == {
        "late": "never taken from `person`: TimedOut does not come up there, it has no timeout",
        "lost": "never taken from `person`: AgentFailed does not come up there, it has no agent, "
        "and its timeout leads elsewhere",
    }


async def only_other(view: View[Any]) -> Other:
    return Other()


async def anything(view: View[Any]) -> Any:
    return Other()


def test_a_line_on_what_the_agent_does_not_return():
    class Narrow(Machine):
        work = State(initial=Word, agent=only_other)
        done = State[Any](final="completed")

        end = work.to(done, on=Other)
        more = work.to(done, on=Third)

    note = found(check(Narrow.spec), "not-returned")
    assert (note.level, note.attribute) == ("note", "more")
    assert note.what == "the agent of `work` does not return Third: only an event from outside takes it there"
    assert "not-returned" not in codes(check(Narrow.with_agents(work=anything).spec))


@attrs.frozen
class VisitsOf(Guard):
    """A cap on how often some state was visited, wherever it stands."""

    kind: ClassVar[Kind] = "cap"
    codes: ClassVar[tuple[str, ...]] = ("often",)
    state: str
    limit: int

    def counted(self, standing: Standing, owner: str) -> Counter:
        return Counter("visits", self.state)

    def limit_of(self) -> int:
        return self.limit


def test_a_line_that_its_caps_never_let_pass():
    class Closed(Machine):
        work = State(initial=Word, agent=answer)
        more = State[Any](agent=answer)
        done = State[Any](final="completed")

        on = work.to(more, on=Word, guards=[VisitsOf("work", 1)], otherwise=done)  # it has been there already
        end = more.to(done, on=Word)
        fail = any_of(work, more).to(done, on=AgentFailed)

    report = check(Closed.spec)
    told = {(finding.code, finding.attribute) for finding in report.findings}
    assert told == {("unreachable", "more"), ("never-taken", "on")}
    assert most(report)["hops"] == 1


def test_a_situation_with_every_way_refused():
    class Ended(Machine):
        work = State(initial=Word, agent=answer)
        person = State[Any](timeout_s=10)
        done = State[Any](final="completed")

        ask = work.to(person, on=Word)
        back = person.to(work, on=Word, guards=[LoopCap(2)], otherwise=done)
        turn = work.to(work, on=Other)
        lapse = person.to(work, on=TimedOut, guards=[LoopCap(1)])
        limits = everywhere(LoopCap(6))

    report = check(Ended.spec)
    ends = {finding.attribute: finding.what for finding in report.findings if finding.code == "dead-end"}
    assert list(ends) == ["work", "person"]  # the machine's cap stops both; and a timeout only once leads on
    assert ends["work"].startswith("a run can come to `work` with every way out refused (fires:back 2, ")
    assert ends["work"].endswith("hops 6)")


def test_a_report_as_text_and_as_data():
    report = check(Budgeted.spec)
    told = str(report).splitlines()
    assert told[0].startswith("Budgeted: a run may go on for ever in `write` and `judge`; at most 1,099 tokens")
    assert told[1].startswith("error judge  (test_check.py:") and told[4].startswith("    -> give one of its states")
    shown = [line.text for line in lines(report)]
    assert any(line.split()[:4] == ["tokens", "1,099", "upper", "bound,"] for line in shown)
    assert set(told[1:]) <= {text.removeprefix("  ") for text in shown}
    data = report.data
    assert data["termination"]["kind"] == "may run for ever" and len(data["termination"]["loop"]) == 2
    assert {finding["code"] for finding in data["findings"]} == codes(report)
    assert '"loop"' in scenario_json(Budgeted.spec, report.termination.stem, report.termination.loop)


def test_beyond_the_limit_of_situations_there_are_upper_bounds():
    report = check(ReviewLoop.spec, situations_max=10)
    assert report.situations is None and report.termination.kind == "ends"
    assert marks(report)["hops"] == "upper bound" and most(report)["hops"] == 13


def test_a_counter_that_other_lines_count_bounds_a_loop():
    class Counted(Machine):
        task = State(initial=Word, agent=answer)
        look = State[Any](agent=answer)
        done = State[Any](final="completed")

        go = task.to(look, on=Word)
        back = look.to(task, on=Word, guards=[VisitsOf("look", 3)], otherwise=done)

    report = check(Counted.spec)
    assert report.termination.how == "by its caps"
    assert most(report)["hops"] == 6 and marks(report)["hops"] == "exact"  # go back go back go, and the refusal
    above = check(Counted.spec, situations_max=2)
    assert marks(above)["hops"] == "upper bound" and (most(above)["hops"] or 0) >= 6


def test_what_a_guard_of_the_world_puts_off_takes_its_time():
    class Late(Machine, defer_s_max=100, resumes_max=0):
        task = State(initial=Word, agent=answer, timeout_s=10)
        done = State[Any](final="completed")

        end = task.to(done, on=Word, guards=[Weather()])

    class Held(Late):
        task = State(initial=Word, agent=answer, timeout_s=10, guards=[Weather()], otherwise=Late.done)

    assert most(check(Late.spec))["ms"] == 110_000
    assert most(check(Held.spec))["ms"] == 210_000  # its very start may be put off too
    assert most(check(Held.spec, situations_max=1))["ms"] == 210_000

    class Payload(Weather):
        kind: ClassVar[Kind] = "data"

    class Prompt(Late):
        end = Late.end.but(guards=[Payload()])

    assert most(check(Prompt.spec))["ms"] == 10_000  # it may not defer: tests/core/test_select.py


def test_a_machine_without_loops_needs_no_caps():
    class Straight(Machine):
        task = State(initial=Word, agent=answer)
        done = State[Any](final="completed")

        end = task.to(done, on=Word)
        broken = task.to(done, on=AgentFailed)

    report = check(Straight.spec)
    assert str(report.termination) == "every run ends  (it has no loops)"
    assert report.findings == ()


def test_a_scenario_of_another_machine_is_refused():
    report = check(ReviewLoop.spec)
    events = scenario(ReviewLoop.spec, report.figures[0].run)["events"]
    events[3]["hop"] = "approve"
    with pytest.raises(ValueError, match="event 4, Verdict: the machine goes reject to research, not approve to"):
        drive(without_code(ReviewLoop.spec), events)


def test_beyond_the_limit_dead_ends_are_only_suspected():
    class Narrow(Machine):
        task = State(initial=Word, agent=answer)
        look = State[Any](agent=answer)
        done = State[Any](final="completed")

        go = task.to(look, on=Word, guards=[LoopCap(3)])
        back = look.to(task, on=Word)
        end = look.to(done, on=Other)

    assert found(check(Narrow.spec), "dead-end").what.endswith("with every way out refused (fires:go 3)")
    end = found(check(Narrow.spec, situations_max=2), "dead-end")
    assert end.attribute == "task" and "a cap stands on each, without otherwise" in end.what


def test_budgets_of_several_sizes_share_one_count():
    class Steps(Machine):
        """Nine small visits fit below the small budget, and as many large ones between it and the large one."""

        small = State(initial=Word, agent=answer, tokens_min=1)
        large = State[Any](agent=answer, tokens_min=100)
        done = State[Any](final="completed")

        more = small.to(small, on=Word, guards=[TokenBudget(10)], otherwise=done)
        go = small.to(large, on=Other, guards=[LoopCap(1)], otherwise=done)
        much = large.to(large, on=Word, guards=[TokenBudget(1_000)], otherwise=done)
        back = large.to(small, on=Other, guards=[LoopCap(1)], otherwise=done)

    report = check(Steps.spec)
    assert most(report)["hops"] == 21 and marks(report)["hops"] == "exact"
    assert driven(Steps.spec, report, "hops").counters["hops"] == 21
    assert (most(check(Steps.spec, situations_max=2))["hops"] or 0) >= 21


@attrs.frozen
class OwnBudget(Guard):
    """What somebody may write who wants a budget for each state: the kernel has no such count."""

    kind: ClassVar[Kind] = "cap"
    codes: ClassVar[tuple[str, ...]] = ("much",)

    def counted(self, standing: Standing, owner: str) -> Counter:
        return Counter("tokens", "work")

    def limit_of(self) -> int:
        return 10


def test_a_cap_on_what_nothing_counts_is_refused_and_ends_no_loop():
    with pytest.raises(DefinitionError, match=r"Counter\('tokens', 'work'\): a run counts its tokens once") as refused:

        class Own(Machine):
            work = State(initial=Word, agent=answer, tokens_min=1)
            done = State[Any](final="completed")

            again = work.to(work, on=Word, guards=[OwnBudget()], otherwise=done)

    assert [mistake.attribute for mistake in refused.value.mistakes] == ["again"]
    form = json.loads(Budgeted.spec.to_json())
    form["everywhere"][0]["guards"][0]["counter"]["subject"] = "write"
    with pytest.raises(ValueError, match="a run counts its tokens once"):
        MachineSpec.from_json(json.dumps(form))


def test_a_loop_by_otherwise_is_ended_where_it_is_counted():
    class Turning(Machine):
        work = State(initial=Word, agent=answer)
        done = State[Any](final="completed")

        again = work.to(work, on=Word, guards=[LoopCap(1)], otherwise=work)
        end = work.to(done, on=Other)

    class Capped(Turning):
        work = State(initial=Word, agent=answer, guards=[LoopCap(3)])

    error = found(check(Turning.spec), "endless")
    assert error.attribute == "work"  # a cap on `again` does not count its otherwise
    assert error.instead.endswith("guards=[LoopCap(3)] on `work`, without since=")
    assert check(Capped.spec).termination.kind == "ends"


def test_being_cancelled_over_and_over_is_a_loop_that_no_guard_ends():
    class Stubborn(Machine):
        work = State(initial=Word, agent=answer)
        done = State[Any](final="completed")

        stay = work.to(work, on=Cancelled)
        end = work.to(done, on=Word)

    error = found(check(Stubborn.spec), "endless")
    assert (error.attribute, error.instead) == ("stay", "lead Cancelled to a final state: no guard is asked on it")


def test_a_budget_beside_the_loop_shown_still_bounds_what_is_spent():
    class Beside(Machine):
        work = State(initial=Word, agent=answer, tokens_max=100)
        idle = State[Any](agent=answer, tokens_max=0)
        done = State[Any](final="completed")

        again = work.to(work, on=Word, guards=[TokenBudget(1_000)], otherwise=idle)
        go = idle.to(idle, on=Word)
        end = idle.to(done, on=Other)

    report = check(Beside.spec)
    assert {leg.move.hop for leg in report.termination.loop} == {"again"}  # its visits spend nothing
    assert (report.figures[1].mark, report.figures[1].why) == ("unknown", "a run may go on for ever")


def test_caps_are_not_thanked_where_there_is_no_loop():
    class Straight(Machine):
        work = State(initial=Word, agent=answer)
        done = State[Any](final="completed")

        end = work.to(done, on=Word, guards=[TokenBudget(5)])

    assert check(Straight.spec).termination.how == "it has no loops"


def test_a_dead_end_behind_a_budget_is_only_suspected():
    class Frugal(Machine):
        first = State(initial=Word, agent=answer, tokens_max=50)
        then = State[Any](agent=answer)
        done = State[Any](final="completed")

        go = first.to(then, on=Word)
        end = then.to(done, on=Word, guards=[TokenBudget(100)])

    what = found(check(Frugal.spec), "dead-end").what  # no run gets there with 100 tokens spent
    assert what == "a run may come to `then` with every way out refused (tokens 100)"


def test_an_agent_without_a_timeout_may_be_waited_for():
    form = json.loads(Budgeted.spec.to_json())  # a class has a default; JSON need not
    form["states"][0]["timeout_ms"] = None
    form["transitions"] = [line for line in form["transitions"] if line["name"] != "again"]
    report = check(MachineSpec.from_json(json.dumps(form)))
    assert (report.termination.kind, report.termination.waits) == ("ends", ("write",))
    assert found(report, "no-timeout").attribute == "write"


def test_a_cap_behind_another_is_not_said_to_be_never_counted_to():
    class Behind(Machine):
        work = State(initial=Word, agent=answer)
        done = State[Any](final="completed")

        again = work.to(work, on=Word, guards=[LoopCap(3), LoopCap(3, scope="run")], otherwise=done)

    what = found(check(Behind.spec), "idle-cap").what  # three hops are counted
    assert what.endswith("never decides: no run counts that far, or another guard refuses before it")


def test_no_count_refuses_a_start():
    class Counting(Machine):
        work = State[Any](initial=Word, agent=answer, guards=[LoopCap(2), Strikes("model", 3)])
        done = State[Any](final="completed")

        good = work.to(done, on=Word)
        broken = work.to(done, on=AgentFailed)
        limits = everywhere(Deadline(5), LoopCap(4), TokenBudget(9))

    assert "nowhere-to-go" not in codes(check(Counting.spec))


def test_a_start_that_may_be_put_off_may_be_too_late():
    class Late(Machine):
        work = State[Any](initial=Word, agent=answer)
        done = State[Any](final="completed")

        good = work.to(done, on=Word)
        limits = everywhere(TokenBudget(9, scope="machine"), Deadline(5))

    told = [finding.what for finding in check(Late.spec).findings if finding.code == "nowhere-to-go"]
    assert "where Deadline refuses (deadline), a run does not begin: it halts before its first state" in told


def test_a_way_out_that_is_asked_for_nowhere_is_told_with_the_reason():
    class Idle(Machine):
        work = State[Any](initial=Word, agent=answer)
        person = State[Any](timeout_s=9)
        done = State[Any](final="completed")

        good = work.to(done, on=Word)
        late = person.to(done, on=(Other, TimedOut))
        limits = everywhere(Deadline(5), LoopCap(4), otherwise=person)

    assert found(check(Idle.spec), "unreachable").what == (
        "no run comes here: it is the otherwise of `limits`, whose guards are not asked on entering a final state, "
        "nor on the runtime's own events"
    )


def test_a_call_refused_in_the_midst_of_a_visit_halts_where_nothing_takes_it():
    class Struck(Machine):
        work = State[Any](initial=Word, agent=answer, guards=[Strikes("model", 3)])
        done = State[Any](final="completed")

        good = work.to(done, on=Word)

    class Taken(Struck):
        refused = Struck.work.to(Struck.done, on=CallRefused)

    assert found(check(Struck.spec), "failure-halts").what == (
        "when the agent of `work` fails, or Strikes refuses a call of it, the run halts: "
        "no line takes AgentFailed there"
    )
    assert found(check(Taken.spec), "failure-halts").what.startswith("when the agent of `work` fails, the run halts")
