"""A user's machines as they are written; type-checked by test_typing.py, never imported."""

from collections.abc import Awaitable
from typing import assert_type

from pydantic import BaseModel

from fsm import (
    Agent,
    AgentFailed,
    Machine,
    MachineSpec,
    PayloadInvalid,
    Run,
    Runner,
    State,
    TimedOut,
    Transition,
    View,
    any_of,
    days,
    everywhere,
    minutes,
    unbound,
)
from guards import LoopCap, TokenBudget


class Brief(BaseModel):
    task: str


class Draft(BaseModel):
    text: str


class Verdict(BaseModel):
    good: bool
    critique: str = ""


class Approval(BaseModel):
    by: str


class Refusal(BaseModel):
    by: str


class Notes(BaseModel):
    rejections: int = 0


# --- agents of every kind -------------------------------------------------------------------------


async def write(view: View[Brief | Verdict]) -> Draft:
    if isinstance(view.payload, Verdict):
        return Draft(text=view.payload.critique)
    return Draft(text=view.payload.task)


def judge(view: View[Draft]) -> Verdict:
    view.spend(tokens=len(view.payload.text))
    return Verdict(good=True)


class Judge:
    def __init__(self, threshold: int) -> None:
        self.threshold = threshold

    async def __call__(self, view: View[Draft]) -> Verdict:
        found = await view.call("look", len, view.payload.text, returns=int, timeout_s=3)
        return Verdict(good=found > self.threshold)


class Reviewer:
    async def review(self, view: View[Draft]) -> Verdict:
        return Verdict(good=view.attempt == 1)


def later(view: View[Draft]) -> Awaitable[Verdict]:
    return Judge(3)(view)


async def anything(view: View[BaseModel]) -> Draft | Verdict:
    return Draft(text=view.run_id)


def is_good(verdict: Verdict) -> bool:
    return verdict.good


def is_hopeless(verdict: Verdict, notes: Notes) -> bool:
    return notes.rejections > 3


def note(notes: Notes, verdict: Verdict) -> Notes:
    return notes.model_copy(update={"rejections": notes.rejections + 1})


def note_brief(notes: Notes, brief: Brief) -> Notes:
    return notes


# --- the loop of the README -----------------------------------------------------------------------


class ReviewLoop(Machine):
    """A writer and a reviewer; after three rejections a person decides."""

    draft = State(initial=Brief, agent=write, timeout_s=120)
    person = State(timeout_s=days(2))  # no agent: waits
    review = State(agent=judge, guards=[LoopCap(9)], otherwise=person)  # asked on entering
    published = State(final="completed")
    dropped = State(final="failed")

    submit = draft.to(review, on=Draft)
    approve = review.to(published, on=Verdict, when=is_good)
    reject = review.to(draft, on=Verdict, guards=[LoopCap(3)], otherwise=person)
    accept = person.to(published, on=Approval)
    drop = person.to(dropped, on=(Refusal, TimedOut))
    broken = any_of(draft, review).to(person, on=AgentFailed)
    limits = everywhere(TokenBudget(50_000), LoopCap(200, scope="run"), otherwise=person)


# --- everything else ------------------------------------------------------------------------------


class Full(Machine, memory=Notes, payload_bytes_max=4 << 20):
    draft = State(initial=(Brief, Verdict), agent=write, timeout_s=minutes(2), remember=note_brief)
    person = State(title="A person decides")
    review = State(agent=Judge(3), guards=[LoopCap(9)], otherwise={"loop_cap": person, "*": person})
    second = State(agent=later)
    third = State(agent=Reviewer().review)
    any_state = State(agent=anything)
    bring_your_own = State(agent=unbound)
    done = State(final="completed")

    submit = draft.to(review, on=Draft, guards=[LoopCap(3, since=person)], otherwise=person)
    invalid = draft.to(person, on=PayloadInvalid)
    approve = review.to(done, on=Verdict, when=is_good)
    hopeless = review.to(person, on=Verdict, when=is_hopeless)
    reject = review.to(
        draft,
        on=Verdict,
        guards=[LoopCap(3, since=draft), TokenBudget(5)],
        otherwise={"token_budget": person, "*": done},
        remember=note,
    )
    failed = any_of(draft, review, second).to(any_state, on=(AgentFailed, TimedOut))
    first_to_second = person.to(second, on=Draft)
    second_to_third = second.to(any_state, on=Verdict)
    third_on = third.to(draft, on=Verdict)
    mine = any_state.to(bring_your_own, on=Draft)
    mine_on = bring_your_own.to(done, on=(Draft, Verdict, Approval))
    cap = everywhere(LoopCap(100))
    budget = everywhere(TokenBudget(10), otherwise={"*": person})


class Patient(Full, calls_max=5):
    reject = Full.reject.but(guards=[LoopCap(5)], when=is_hopeless, otherwise=None)
    approve = Full.approve.but(when=is_good)


Bound = ReviewLoop.with_agents(draft=write, review=Judge(2))
agents: list[Agent[Draft]] = [judge, Judge(1), later, Reviewer().review, anything]

assert_type(ReviewLoop.spec, MachineSpec)
assert_type(ReviewLoop.submit, Transition[Draft])
assert_type(ReviewLoop.accept, Transition[Approval])


async def main() -> None:
    async with Runner("runs.db", machines=[ReviewLoop, Bound]) as runner:
        started = await runner.start(Bound, Brief(task="a"), run_id="one", labels={"team": "docs"})
        assert_type(started, Run)
        await runner.send(started.run_id, Approval(by="me"), event_id="e1")
        assert_type(await runner.settled(started.run_id), Run)
