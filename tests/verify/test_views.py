"""What arrives at an agent that its annotation does not hold."""

from typing import Any

from pydantic import BaseModel

from fsm import AgentFailed, Machine, MachineSpec, State, View, any_of, check
from fsm.verify.finding import Finding
from guards import LoopCap


class Brief(BaseModel):
    pass


class Draft(BaseModel):
    pass


class Review(BaseModel):
    pass


async def write(view: View[Brief]) -> Draft:
    return Draft()


async def judge(view: View[Draft]) -> Review:
    return Review()


class Summing:
    """An agent that is an object."""

    async def __call__(self, view: "View[Draft]") -> Review:
        return Review()


async def of_any(view: View[Any]) -> Any:
    return Review()


async def of_all(view: View[BaseModel]) -> Any:
    return Review()


async def of_nothing(view) -> Any:
    return Review()


def said(machine: type[Machine]) -> list[Finding]:
    return [finding for finding in check(machine.spec).findings if finding.code == "not-viewed"]


class Desk(Machine):
    """What goes back arrives with what it was; what is refused, with the payload that was refused."""

    draft = State(initial=Brief, agent=write)
    review = State(agent=judge)
    sum_up = State[Any](agent=Summing())
    done = State(final="completed")

    submit = draft.to(review, on=Draft)
    reject = review.to(draft, on=Review, guards=[LoopCap(2)], otherwise=sum_up)
    end = sum_up.to(done, on=Review)
    broken = any_of(draft, review, sum_up).to(done, on=AgentFailed)


def test_what_arrives_and_is_not_in_the_view_is_told():
    draft, sum_up = said(Desk)
    assert str(draft).splitlines()[0].startswith("warning draft  (test_views.py:")
    assert draft.what == "its agent takes View[Brief], but here arrives Review by `reject`"
    assert draft.instead == "write View[Brief | Review], or lead it elsewhere"
    assert (sum_up.attribute, sum_up.what) == (
        "sum_up",
        "its agent takes View[Draft], but here arrives Review by `reject.otherwise`",
    )


def test_the_start_and_the_events_of_the_runtime_arrive_too():
    class Retry(Machine):
        work = State[Any](initial=Review, agent=judge)
        done = State(final="completed")

        again = work.to(work, on=AgentFailed, guards=[LoopCap(2)], otherwise=done)
        end = work.to(done, on=Review)

    (finding,) = said(Retry)
    assert finding.what == "its agent takes View[Draft], but here arrives Review by `start` and AgentFailed by `again`"
    assert finding.instead == "write View[Draft | Review | AgentFailed], or lead them elsewhere"


def test_an_agent_that_takes_anything_or_does_not_say_is_let_be():
    for agent in (of_any, of_all, of_nothing):
        assert [finding.attribute for finding in said(Desk.with_agents(draft=agent, sum_up=agent))] == []


def test_without_code_nothing_is_said():
    spec = MachineSpec.from_json(Desk.spec.to_json())
    assert not any(finding.code == "not-viewed" for finding in check(spec).findings)


def test_what_can_never_arrive_is_not_told():
    class Island(Desk):
        off = State[Any](agent=write)

        away = off.to(off, on=Draft)

    assert {finding.attribute for finding in said(Island)} == {"draft", "sum_up"}


def test_a_fallback_gets_what_the_agent_before_it_got():
    class Twice(Machine):
        draft = State[Any](initial=Brief, agent=write, fallback=write)
        review = State[Any](agent=judge, fallback=judge)
        done = State(final="completed")

        submit = draft.to(review, on=Draft)
        back = review.to(draft, on=Review, guards=[LoopCap(2)], otherwise=done)
        broken = any_of(draft, review).to(done, on=AgentFailed)

    assert [(finding.attribute, finding.what.partition("arrives ")[2]) for finding in said(Twice)] == [
        ("draft", "Review by `back`"),
        ("draft.fallback", "Review by `draft.fails`"),
    ]
