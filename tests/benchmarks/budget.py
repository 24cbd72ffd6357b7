"""One limit for many runs: fifty of 150 tokens each, and 2,000 that they may spend together.

Turnstile's runs share `TokenBudget(2_000, scope="machine")`, and each sets 150 aside before it begins. Those of
pydantic-ai, where that is installed, share one `RunUsage` under `UsageLimits(total_tokens_limit=2_000)`, which looks
at it before each request and after each response. All at once, and on a fresh budget one after another. These are
counts, not times: they are the same on every machine.
"""

import asyncio
from collections import Counter
from functools import partial
from pathlib import Path

from pydantic import BaseModel

from fsm import Machine, Runner, State, View
from guards import TokenBudget
from tests.benchmarks.compare import Bench, Found, Missing
from tests.benchmarks.loop import Figure, scratch

RUNS, BILL, LIMIT = 50, 150, 2_000
PEER = "pydantic_ai"
ORDERS = {"all at once": True, "one after another": False}


class Task(BaseModel):
    pass


class Answer(BaseModel):
    pass


async def ask_model(view: View[Task]) -> Answer:
    await asyncio.sleep(0.01)  # whoever is let in at once is at work before the first bill comes
    view.spend(tokens=BILL)
    return Answer()


class Spending(Machine):
    """One visit, if the budget has enough for it."""

    refused = State(final="failed")
    answered = State(final="completed")
    work = State(
        initial=Task,
        agent=ask_model,
        tokens_max=BILL,
        guards=[TokenBudget(LIMIT, scope="machine")],
        otherwise=refused,
    )
    answer = work.to(answered, on=Answer)


def measure(peers_python: Path) -> list[Figure]:
    """Tokens spent in each order, by Turnstile and, where it is installed, by pydantic-ai."""
    figures = [figure("Turnstile", order, asyncio.run(spent(at_once))) for order, at_once in ORDERS.items()]
    ask = partial(Bench(peers_python).ask, PEER)
    try:
        (version,) = ask("versions").values()
    except Missing:
        return figures
    found = {order: ask(order, runs=RUNS, bill=BILL, limit=LIMIT) for order in ORDERS}
    return figures + [figure(f"pydantic-ai {version}", order, told) for order, told in found.items()]


def figure(who: str, order: str, told: Found) -> Figure:
    beside = f"{told['asked']} of {RUNS} asked the model, {told['refused']} were refused before"
    return Figure(f"{who}: {order}", told["tokens"], "tokens spent", beside)


async def spent(at_once: bool) -> Found:
    """What the runs spent together, how many asked the model, and how many were refused before that."""
    with scratch() as db:
        async with Runner(db) as runner:
            names = [f"run-{n}" for n in range(RUNS)]
            for name in names:
                await runner.start(Spending, Task(), run_id=name)
                if not at_once:
                    await runner.settled(name)
            runs = [await runner.settled(name) for name in names]
            records = [record for run in runs for record in runner.journal.read.records(run.key)]
    ends = Counter(run.state for run in runs)
    tokens = sum(record.spent.tokens for record in records)
    return {"tokens": tokens, "asked": ends["answered"], "refused": ends["refused"]}
