"""What a type checker must see in a user's machine, each in the line that says so; never imported."""

from typing import Any

from pydantic import BaseModel

from fsm import AgentFailed, Machine, State, View, any_of, everywhere
from guards import LoopCap, TokenBudget


class Brief(BaseModel):
    task: str


class Draft(BaseModel):
    text: str


class Verdict(BaseModel):
    good: bool


class Notes(BaseModel):
    count: int = 0


async def write(view: View[Brief]) -> Draft:
    return Draft(text=view.payload.text)  # error


async def judge(view: View[Draft]) -> Verdict:
    return Verdict(good=True)


async def tell(view: View[Draft]) -> str:
    return "a verdict"


def tell_now(view: View[Draft]) -> str:
    return "a verdict"


async def count(view: int) -> Draft:
    return Draft(text="")


async def two(view: View[Draft], more: int) -> Draft:
    return Draft(text="")


def is_good(verdict: Verdict) -> bool:
    return verdict.good


def knows(verdict: Verdict, notes: Notes) -> bool:
    return notes.count > 0


def score(verdict: Verdict) -> str:
    return "good"


def note(notes: Notes, verdict: Verdict) -> Notes:
    return notes


def note_nothing(notes: Notes, verdict: Verdict) -> None: ...


class Wrong(Machine, memory=Notes):
    draft = State(initial=Brief, agent=write)
    person: State[Any] = State()
    review = State(agent=judge, guards=[LoopCap(3)], otherwise=person)
    done: State[Any] = State(final="completed")
    gone: State[Any] = State(final="dropped")  # error

    telling = State(agent=tell)  # error
    telling_now = State(agent=tell_now)  # error
    counting = State(agent=count)  # error
    of_two = State(agent=two)  # error
    by_name = State(agent="write")  # error
    misspelt = State(agnt=write)  # error
    text_initial = State(initial="Brief", agent=write)  # error

    submit = draft.to(review, on=Draft)
    target_of_another = draft.to(review, on=Verdict)  # error
    target_of_one = draft.to(review, on=(Draft, Verdict))  # error
    no_target = draft.to("review", on=Draft)  # error
    no_payload = draft.to(done, on=str)  # error
    no_on = draft.to(done)  # error
    when_of_another = draft.to(review, on=Draft, when=is_good)  # error
    when_of_another_with_memory = draft.to(review, on=Draft, when=knows)  # error
    when_text = review.to(done, on=Verdict, when=score)  # error
    remember_of_another = draft.to(review, on=Draft, remember=note)  # error
    remember_nothing = review.to(done, on=Verdict, remember=note_nothing)  # error
    otherwise_of_another = review.to(done, on=Verdict, guards=[LoopCap(3)], otherwise=review)  # error
    otherwise_text = review.to(done, on=Verdict, guards=[LoopCap(3)], otherwise="person")  # error
    otherwise_mapping = review.to(done, on=Verdict, guards=[LoopCap(3)], otherwise={"*": review})  # error
    guards_bare = draft.to(review, on=Draft, guards=LoopCap(3))  # error
    guards_class = draft.to(review, on=Draft, guards=[LoopCap])  # error
    cap_text = draft.to(review, on=Draft, guards=[LoopCap("3")])  # error
    cap_scope = draft.to(review, on=Draft, guards=[LoopCap(3, scope="machine")])  # error
    cap_since = draft.to(review, on=Draft, guards=[LoopCap(3, since="person")])  # error
    any_text = any_of("draft").to(person, on=AgentFailed)  # error
    any_of_another = any_of(draft, person).to(review, on=AgentFailed)  # error
    limits = everywhere(TokenBudget)  # error
    limits_list = everywhere([TokenBudget(3)])  # error


class Child(Wrong):
    submit = Wrong.submit.but(when=is_good)  # error


Wrong.with_agents(draft=tell)  # error
Wrong.with_agents(draft=3)  # error
