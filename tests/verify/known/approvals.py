"""Flows in which people decide: four eyes, and a review loop with a person at its end."""

from fsm import AgentFailed, Machine, State, TimedOut, always_after, any_of, days, never, unbound
from guards import LoopCap
from tests.verify.known.words import Done, Job, Known, No, Yes


class FourEyes(Machine):
    """Two people approve before anything is released.

    Source: NIST SP 800-53 Rev. 5, AC-3(2) "Access Enforcement | Dual Authorization", "also known as two-person
    control". Both may wait for ever. A draft comes back twice at most: 3 drafts, 2 approvals each unless the last is
    dropped; from either person: written, first_yes, second_no three times over is 9 hops and 6 approvals, the last one
    dropping it.
    """

    draft = State(initial=Job, agent=unbound)
    first = State()
    second = State()
    released = State(final="completed")
    dropped = State(final="failed")
    written = draft.to(first, on=Done)
    first_yes = first.to(second, on=Yes)
    second_yes = second.to(released, on=Yes)
    back = any_of(first, second).to(draft, on=No, guards=[LoopCap(2)], otherwise=dropped)
    failed = draft.to(dropped, on=AgentFailed)
    two = never(released, before=first_yes)
    both = never(released, before=second_yes)
    fresh = always_after(draft, first, before=released)
    twice = never(second, before=back)


class Refine(Machine):
    """Write and criticise; after three rejections a person decides, who may send it back twice.

    Source: Madaan et al., "Self-Refine: Iterative Refinement with Self-Feedback", NeurIPS 2023; the judge of its own
    and the person at its end are ours. The first submission, two hops for each of 3 rejections, then reject.otherwise:
    8; sent back twice, each time 3 hops to the person again: 14; and the decision: 15.
    """

    write = State(initial=Job, agent=unbound)
    judge = State(agent=unbound)
    person = State(timeout_s=days(2))
    published = State(final="completed")
    dropped = State(final="failed")
    submit = write.to(judge, on=Done)
    approve = judge.to(published, on=Yes)
    reject = judge.to(write, on=No, guards=[LoopCap(3)], otherwise=person)
    accept = person.to(published, on=Yes)
    send_back = person.to(write, on=No, guards=[LoopCap(2)], otherwise=dropped)
    late = person.to(dropped, on=TimedOut)
    broken = any_of(write, judge).to(person, on=AgentFailed)
    judged = never(published, before=judge)


KNOWN = [
    Known(
        FourEyes,
        ("first", "second"),
        {"hops": 9, "approvals": 6},
        {"twice": ("start", "written", "first_yes")},
    ),
    Known(Refine, True, {"hops": 15, "approvals": 3}, {"judged": ("start", "broken", "accept")}),
]
