"""Flows that hand on: the ladder of support tiers, and agents that hand over to one another."""

from fsm import AgentFailed, Machine, State, TimedOut, any_of, days, everywhere, never, unbound, unreachable
from guards import LoopCap
from tests.verify.known.words import Done, Job, Known, No, Yes


class Ladder(Machine):
    """Three support tiers; what is solved may be reopened once, and goes to the second tier then.

    After the functional escalation of ITIL's incident management, from the service desk to second- and third-level
    support; that it may be reopened once is ours. tier1, tier2, tier3, solved, reopened to tier2, tier3, solved,
    closed: 7 hops.
    """

    tier1 = State(initial=Job, agent=unbound)
    tier2 = State(agent=unbound)
    tier3 = State(agent=unbound)
    solved = State(timeout_s=days(3))
    closed = State(final="completed")
    unsolved = State(final="failed")
    solve = any_of(tier1, tier2, tier3).to(solved, on=Done)
    to_second = tier1.to(tier2, on=(No, AgentFailed))
    to_third = tier2.to(tier3, on=(No, AgentFailed))
    give_up = tier3.to(unsolved, on=(No, AgentFailed))
    confirm = solved.to(closed, on=(Yes, TimedOut))
    reopen = solved.to(tier2, on=No, guards=[LoopCap(1)], otherwise=closed)
    in_order = never(tier3, before=tier2)
    all_tiers = never(unsolved, before=tier1)


class Handoff(Machine):
    """Two agents that may hand over to one another for as long as they like, within ten hops of the run.

    Source: the handoffs of OpenAI's Swarm, and the argument `max_turns` of its `client.run()` (README). Ten handovers,
    the eleventh is refused and leads to the person, whose word or silence ends it: 12 hops.
    """

    triage = State(initial=Job, agent=unbound)
    specialist = State(agent=unbound)
    person = State(timeout_s=days(1))
    solved = State(final="completed")
    dropped = State(final="failed")
    over = triage.to(specialist, on=No)
    back = specialist.to(triage, on=No)
    answer = any_of(triage, specialist).to(solved, on=Done)
    word = person.to(solved, on=Yes)
    late = person.to(dropped, on=TimedOut)
    broken = any_of(triage, specialist).to(dropped, on=AgentFailed)
    turns = everywhere(LoopCap(10), otherwise=person)
    unasked = unreachable(person)


class PingPong(Machine):
    """The same without a limit: two agents hand a job to each other for ever.

    Source: as `Handoff`; the default of `max_turns` is `float("inf")`.
    """

    triage = State(initial=Job, agent=unbound)
    specialist = State(agent=unbound)
    solved = State(final="completed")
    over = triage.to(specialist, on=No)
    back = specialist.to(triage, on=No)
    answer = any_of(triage, specialist).to(solved, on=Done)


KNOWN = [
    Known(Ladder, True, {"hops": 7}),
    Known(Handoff, True, {"hops": 12}, {"unasked": ("start", *("over", "back") * 5, "turns.otherwise")}),
    Known(PingPong, False, loop=frozenset({"over", "back"})),
]
