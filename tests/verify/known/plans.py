"""Flows of several parts: a saga and its compensations, planning and replanning, and two caps that reset each other."""

from fsm import AgentFailed, Machine, State, always_after, any_of, everywhere, never, unbound, unreachable
from guards import LoopCap, TokenBudget
from tests.verify.known.words import Done, Job, Known, No, Yes


class Saga(Machine):
    """Book, charge, ship; what fails is compensated backwards, and a compensation that fails is a person's work.

    Source: Garcia-Molina and Salem, "Sagas", SIGMOD 1987, pp. 249-259: either all transactions of a saga are
    completed, or compensating ones amend what was done of it. book, charge, ship fails, refund, unbook, undone: 5
    hops; or unbook fails, and the person says so: 6. The person may wait for ever.
    """

    book = State(initial=Job, agent=unbound)
    charge = State(agent=unbound)
    ship = State(agent=unbound)
    refund = State(agent=unbound)
    unbook = State(agent=unbound)
    person = State()
    shipped = State(final="completed")
    undone = State(final="failed")
    booked = book.to(charge, on=Done)
    charged = charge.to(ship, on=Done)
    sent = ship.to(shipped, on=Done)
    not_booked = book.to(undone, on=AgentFailed)
    not_charged = charge.to(unbook, on=AgentFailed)
    not_sent = ship.to(refund, on=AgentFailed)
    refunded = refund.to(unbook, on=Done)
    unbooked = unbook.to(undone, on=Done)
    stuck = any_of(refund, unbook).to(person, on=AgentFailed)
    by_hand = person.to(undone, on=Yes)
    paid = never(shipped, before=charged)
    money_back = always_after(charged, refund, before=undone)
    backwards = always_after(not_sent, refunded, before=unbook)
    released = always_after(booked, unbooked, before=undone)


class Planner(Machine):
    """Plan, carry out, plan again; every visit spends 100 tokens at least, and the budget is 10,000.

    Source: "Plan-and-Execute Agents", LangChain's blog, after BabyAGI and after Wang et al., "Plan-and-Solve
    Prompting", ACL 2023; the budget is ours. After n visits at least 100 n tokens are spent, so the 100th hop is
    refused and leads to the report: 100 hops.
    """

    plan = State(initial=Job, agent=unbound, tokens_min=100)
    execute = State(agent=unbound, tokens_min=100)
    reported = State(final="completed")
    failed = State(final="failed")
    begin = plan.to(execute, on=Done)
    go_on = execute.to(execute, on=Done)
    replan = execute.to(plan, on=No)
    finish = execute.to(reported, on=Yes)
    broken = any_of(plan, execute).to(failed, on=AgentFailed)
    budget = everywhere(TokenBudget(10_000), otherwise=reported)
    worked = never(reported, before=execute)


class Tasks(Machine):
    """The same without a least charge: a loop that spends nothing never comes to its budget.

    Source: BabyAGI (Nakajima, 2023), whose README says: "The script works by running an infinite loop".
    """

    plan = State(initial=Job, agent=unbound)
    execute = State(agent=unbound)
    reported = State(final="completed")
    begin = plan.to(execute, on=Done)
    replan = execute.to(plan, on=No)
    finish = execute.to(reported, on=Yes)
    budget = everywhere(TokenBudget(10_000), otherwise=reported)


class TwoCaps(Machine):
    """Every loop has a cap, and the run goes on for ever: each cap is reset by the other's loop.

    After Podelski and Rybalchenko, "Transition Invariants", LICS 2004, pp. 32-41: a finite union of well-founded
    relations proves termination if it holds the transitive closure of the steps; that it holds each step alone is not
    enough, as here, where one step restores what another uses up.
    """

    inner = State(initial=Job, agent=unbound)
    outer = State(agent=unbound)
    done = State(final="completed")
    again = inner.to(inner, on=Yes, guards=[LoopCap(2, since=outer)], otherwise=done)
    over = inner.to(outer, on=No, guards=[LoopCap(2, since=inner)], otherwise=done)
    back = outer.to(inner, on=Done)
    away = unreachable(outer)


KNOWN = [
    Known(Saga, ("person",), {"hops": 6}, {"released": ("start", "booked", "not_charged", "stuck", "by_hand")}),
    Known(Planner, True, {"hops": 100}, {"worked": ("start", "budget.otherwise")}),
    Known(Tasks, False, loop=frozenset({"begin", "replan"})),
    Known(TwoCaps, False, broken={"away": ("start", "over")}, loop=frozenset({"over", "back"})),
]
