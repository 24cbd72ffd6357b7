"""The textbook turnstile: a coin unlocks it, a push goes through and locks it again. It closes after three visitors."""

import asyncio

from pydantic import BaseModel

from fsm import Machine, Runner, State, replay_run
from guards import LoopCap


class Morning(BaseModel):
    pass


class Coin(BaseModel):
    cents: int


class Push(BaseModel):
    pass


class Turnstile(Machine):
    """A coin for each visitor, three visitors a day.

    What `fsm check` says of it:

        ends       always, or waits at locked or unlocked  by its caps
        hops       8                                       exact
        tokens     0                                       exact
        money      0.00 dollars                            exact
        approvals  8                                       exact
        time       unknown                                 locked and unlocked wait without timeout_s
    """

    locked = State(initial=Morning)
    unlocked = State()
    closed = State(final="completed")

    pay = locked.to(unlocked, on=Coin)
    enter = unlocked.to(locked, on=Push, guards=[LoopCap(3)], otherwise=closed)


async def main() -> None:
    async with Runner("turnstile.db") as runner:
        day = await runner.start(Turnstile, Morning())
        for event in [Push(), *[Coin(cents=50), Push()] * 4]:
            record = await runner.send(day.run_id, event)
            assert record is not None
            print(f"{record.event:5} {record.source:>8} -> {record.state:8} {record.hop or record.kind}")
        print(replay_run(runner.journal.read, day.run_id, Turnstile))


if __name__ == "__main__":
    asyncio.run(main())
