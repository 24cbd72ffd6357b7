"""What every measurement drives: a writer and a reviewer who hand one kilobyte to and fro under two guards."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attrs import frozen
from pydantic import BaseModel

from fsm import Machine, Run, Runner, State, View, everywhere
from guards import LoopCap, TokenBudget
from tests.benchmarks.engines.work import TEXT

# Not the system's folder for temporary files: where that is in memory, a commit costs nothing.
SCRATCH = Path(__file__).parents[2] / "build"

PAYLOAD_BYTES = 1_000  # of a Draft or Verdict with this text, as stored, give or take ten

Agent = Callable[[View[Any]], Awaitable[BaseModel]]


@frozen
class Figure:
    """One line of the final table; `beside` says what the value is to be seen beside."""

    what: str
    value: float
    unit: str
    beside: str = ""


class Brief(BaseModel):
    """`rounds` is how often the draft is reviewed; a round is two hops."""

    rounds: int
    round: int = 0
    text: str = TEXT


class Draft(BaseModel):
    rounds: int
    round: int
    text: str = TEXT


class Verdict(BaseModel):
    rounds: int
    round: int
    good: bool
    text: str = TEXT


def is_good(verdict: Verdict) -> bool:
    return verdict.good


async def write(view: View[Brief | Verdict]) -> Draft:
    view.spend(tokens=100)
    return Draft(rounds=view.payload.rounds, round=view.payload.round + 1)


async def judge(view: View[Draft]) -> Verdict:
    draft = view.payload
    return Verdict(rounds=draft.rounds, round=draft.round, good=draft.round >= draft.rounds)


class Loop(Machine):
    """Draft and review until the last round; every hop passes both guards of the machine, the last one none."""

    draft = State(initial=Brief, agent=write)
    review = State(agent=judge)
    published = State(final="completed")

    submit = draft.to(review, on=Draft)
    approve = review.to(published, on=Verdict, when=is_good)
    reject = review.to(draft, on=Verdict)
    limits = everywhere(TokenBudget(1_000_000_000), LoopCap(1_000_000))


def gated(gate: asyncio.Event) -> type[Machine]:
    """The loop whose writer waits for the gate, so that the starts of many runs are not timed with their hops."""

    async def wait_and_write(view: View[Brief | Verdict]) -> Draft:
        await gate.wait()
        return await write(view)

    return Loop.with_agents(draft=wait_and_write)


def parked(runs: int) -> tuple[type[Machine], asyncio.Event]:
    """The loop whose reviewer never comes back in the last round; the event says that so many runs are there."""
    all_there, arrivals = asyncio.Event(), itertools.count(1)

    async def judge_or_wait(view: View[Draft]) -> Verdict:
        if view.payload.round == view.payload.rounds:
            if next(arrivals) == runs:
                all_there.set()
            await asyncio.Event().wait()
        return await judge(view)

    return Loop.with_agents(review=judge_or_wait), all_there


async def started(runner: Runner, machine: type[Machine], runs: int, hops: int) -> list[Run]:
    """So many runs of so many hops each (an even number), started at once."""
    return list(await asyncio.gather(*(runner.start(machine, Brief(rounds=hops // 2)) for _ in range(runs))))


async def settled(runner: Runner, runs: list[Run]) -> None:
    """All runs ended; as a user would wait for them."""
    for run in await asyncio.gather(*(runner.settled(run.run_id) for run in runs)):
        assert run.outcome == "completed", f"run {run.run_id} is {run.outcome}"


async def record(db: Path, runs: int, hops: int) -> list[Run]:
    """A journal with so many ended runs of so many hops."""
    async with Runner(db, visits_max=runs) as runner:
        begun = await started(runner, Loop, runs, hops)
        await settled(runner, begun)
        return begun


@contextmanager
def scratch() -> Iterator[Path]:
    """The path of a journal that is not there yet, in a folder that is gone afterwards."""
    SCRATCH.mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="bench-", dir=SCRATCH) as folder:
        yield Path(folder) / "runs.db"
