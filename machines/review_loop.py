"""Research, draft, review; after three rejections a person decides.

The loop most agent systems start from, with its bounds declared: the reviewer may send the work
back three times, a run may spend 200,000 tokens and make 100 hops, and whatever goes wrong ends at
`person`, who waits two days for a decision. Bring your own agents:

    Desk = ReviewLoop.with_agents(research=search, draft=write, review=judge)
"""

from pydantic import BaseModel

from fsm import AgentFailed, Machine, State, TimedOut, any_of, days, everywhere, unbound
from guards import LoopCap, TokenBudget

CRITIQUES_MAX = 8


class Brief(BaseModel):
    """What is wanted, and where to look for it."""

    task: str
    material: str = ""


class Passage(BaseModel):
    """A verbatim piece of the material: `source` names the document, `line` counts from 1."""

    source: str
    line: int
    text: str


class Findings(BaseModel):
    """What the research turned up, best first; `searched` is the number of documents looked at."""

    passages: list[Passage]
    searched: int


class Draft(BaseModel):
    """The answer: each claim stands verbatim at its source and line."""

    claims: list[Passage]


class Verdict(BaseModel):
    """The reviewer's word. `missing` names what the draft does not cover."""

    good: bool
    critique: str = ""
    missing: list[str] = []


class Approval(BaseModel):
    """A person publishes what there is."""

    by: str
    note: str = ""


class Refusal(BaseModel):
    """A person drops the task."""

    by: str
    reason: str = ""


class Notes(BaseModel):
    """What a run remembers between hops; no payload has to carry it along."""

    task: str = ""
    material: str = ""
    rejections: int = 0
    critiques: list[str] = []


def note_brief(notes: Notes, brief: Brief) -> Notes:
    return notes.model_copy(update={"task": brief.task, "material": brief.material})


def note_critique(notes: Notes, verdict: Verdict) -> Notes:
    critiques = [*notes.critiques, verdict.critique][-CRITIQUES_MAX:]
    return notes.model_copy(update={"rejections": notes.rejections + 1, "critiques": critiques})


def is_good(verdict: Verdict) -> bool:
    return verdict.good


class ReviewLoop(Machine, memory=Notes):
    """Research, draft and review until the reviewer is content, or a person decides.

    What `fsm check` says of it:

        ends       always   by its caps
        hops       13       exact
        tokens     unknown  research, draft and review declare no tokens_max
        money      unknown  research, draft and review declare no usd_micros_max
        approvals  1        exact
        time       2 d 4 h  exact
    """

    research = State(initial=Brief, agent=unbound, remember=note_brief)
    draft = State(agent=unbound)
    review = State(agent=unbound)
    person = State(timeout_s=days(2))
    published = State(final="completed")
    dropped = State(final="failed")

    found = research.to(draft, on=Findings)
    written = draft.to(review, on=Draft)
    approve = review.to(published, on=Verdict, when=is_good)
    reject = review.to(research, on=Verdict, guards=[LoopCap(3)], otherwise=person, remember=note_critique)
    accept = person.to(published, on=Approval)
    drop = person.to(dropped, on=(Refusal, TimedOut))
    broken = any_of(research, draft, review).to(person, on=AgentFailed)
    limits = everywhere(TokenBudget(200_000), LoopCap(100), otherwise=person)
