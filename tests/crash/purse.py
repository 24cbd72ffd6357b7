"""A machine whose visits share a budget, in all processes."""

from pydantic import BaseModel

from fsm import AgentFailed, Machine, State, View, everywhere
from guards import TokenBudget
from tests.crash import gates

LIMIT, MOST, BILL = 2_000, 200, 70


class Task(BaseModel):
    pass


class Paid(BaseModel):
    pass


async def buy(view: View[Task]) -> Paid:
    """Spends twice, and waits at a gate in between; a visit that is taken over spends anew."""
    gates.note(f"began:{view.run_id}")
    view.spend(tokens=BILL)
    await view.call("shop", shop)
    view.spend(tokens=5)
    return Paid()


async def shop() -> None:
    await gates.opened("shop")


class Shop(Machine):
    """Done, or refused because all is spent."""

    buying = State(initial=Task, agent=buy, tokens_max=MOST, timeout_s=3_600)
    done = State(final="completed")
    gone = State(final="failed")
    lost = State(final="failed")
    ok = buying.to(done, on=Paid)
    bad = buying.to(lost, on=AgentFailed)
    limits = everywhere(TokenBudget(LIMIT, scope="machine"), otherwise=gone)
