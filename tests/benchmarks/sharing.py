"""What it costs that runs share: a thousand at once on one breaker, one budget, and both, beside guards of each run.

Every hop asks on entering, sets aside what the visit may spend, and tells and settles when it is over; with calls,
every call asks and tells as well. The rounds alternate and the ratio is taken within a round: of the throughput of
runs that share nothing, so much is left. The best of each side is what other work on the machine disturbed least.
"""

import asyncio
import statistics
import time
from typing import NamedTuple

from fsm import Machine, Runner, View, everywhere
from guards import Breaker, LoopCap, TokenBudget
from tests.benchmarks.loop import Brief, Draft, Figure, Loop, Verdict, judge, scratch, settled, started, write

RUNS, HOPS = 1_000, 20
MODEL = Breaker("model", rate_pct=50)


class Capped(Loop):
    """A guard on each state that no other run has a part in."""

    draft = Loop.draft.but(guards=[LoopCap(1_000_000)])
    review = Loop.review.but(guards=[LoopCap(1_000_000)])


class Watched(Loop):
    """The same with a breaker."""

    draft = Loop.draft.but(guards=[MODEL])
    review = Loop.review.but(guards=[MODEL])


class Declared(Loop):
    """A budget for each run, and what a visit may spend."""

    draft = Loop.draft.but(tokens_max=1_000)
    review = Loop.review.but(tokens_max=1_000)


class Pooled(Declared):
    """One budget for all."""

    limits = everywhere(TokenBudget(1_000_000_000, scope="machine"), LoopCap(1_000_000))


class Apart(Capped):
    draft = Capped.draft.but(tokens_max=1_000)
    review = Capped.review.but(tokens_max=1_000)


class Together(Apart):
    """One breaker and one budget for all."""

    draft = Apart.draft.but(guards=[MODEL])
    review = Apart.review.but(guards=[MODEL])
    limits = everywhere(TokenBudget(1_000_000_000, scope="machine"), LoopCap(1_000_000))


async def model(text: str) -> int:
    return len(text)


async def write_by_call(view: View[Brief | Verdict]) -> Draft:
    await view.call("model", model, "write")
    return await write(view)


async def judge_by_call(view: View[Draft]) -> Verdict:
    await view.call("model", model, "judge")
    return await judge(view)


class Calling(Loop, calls_max=10):
    """One call a hop."""

    draft = Loop.draft.but(agent=write_by_call)
    review = Loop.review.but(agent=judge_by_call)


class WatchedCalling(Calling):
    limits = everywhere(TokenBudget(1_000_000_000), LoopCap(1_000_000), MODEL)


PAIRS = {
    "a breaker": (Capped, Watched),
    "a breaker, asked before a call a hop": (Calling, WatchedCalling),
    "a budget": (Declared, Pooled),
    "a breaker and a budget": (Apart, Together),
}


def measure(rounds: int) -> list[Figure]:
    figures = []
    for what, pair in PAIRS.items():
        taken: list[tuple[Hop, Hop]] = []
        for n in range(rounds):
            order = pair if n % 2 else pair[::-1]
            found = {machine: asyncio.run(hop(machine)) for machine in order}
            taken.append((found[pair[0]], found[pair[1]]))
        left = statistics.median(apart.us / shared.us for apart, shared in taken)
        best = min(apart.us for apart, _ in taken) / min(shared.us for _, shared in taken)
        worked = statistics.median(apart.processor_us / shared.processor_us for apart, shared in taken)
        beside = f"at least 80; {best:.0%} best of each, {worked:.0%} by processor time"
        figures += [
            Figure(f"{what}: not shared", statistics.median(apart.us for apart, _ in taken), "us a hop"),
            Figure(f"{what}: one for all", statistics.median(shared.us for _, shared in taken), "us a hop"),
            Figure(f"{what}: throughput that is left", left * 100, "%", beside),
        ]
    return figures


class Hop(NamedTuple):
    """Microseconds a hop, and of processor time for it."""

    us: float
    processor_us: float


async def hop(machine: type[Machine]) -> Hop:
    """A hop of many runs at once, the starts aside."""
    gate = asyncio.Event()
    first = machine.spec.initial.agent

    async def wait(view: View[Brief | Verdict]) -> Draft:
        await gate.wait()
        drafted: Draft = await first(view)
        return drafted

    with scratch() as db:
        async with Runner(db, visits_max=RUNS) as runner:
            waiting = await started(runner, machine.with_agents(draft=wait), RUNS, HOPS)
            begun, worked = time.perf_counter(), time.process_time()
            gate.set()
            await settled(runner, waiting)
            ended, worked = time.perf_counter(), time.process_time() - worked
    return Hop((ended - begun) / (RUNS * HOPS) * 1e6, worked / (RUNS * HOPS) * 1e6)
