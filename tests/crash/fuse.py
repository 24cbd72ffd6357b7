"""Machines that depend on something by a breaker, and a clock that is ahead: nobody has to wait for a cool-down."""

import time

from attrs import frozen
from pydantic import BaseModel

from fsm import AgentFailed, Machine, State, View, everywhere
from fsm.define.events import CallRefused
from guards import Breaker
from tests.crash import gates

TIMEOUT_S = 30.0
TOOL = Breaker("tool", failures_max=3, cooldown_s=30)


@frozen
class Later:
    """The host's clocks, the wall clock so many seconds ahead."""

    seconds: float

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + round(self.seconds * 1000)

    def monotonic(self) -> float:
        return time.monotonic()


class Quick:
    """A wall clock that all processes share, and that goes 20 times as fast: what is put off comes back soon."""

    def now_ms(self) -> int:
        return time.time_ns() // 50_000

    def monotonic(self) -> float:
        return time.monotonic()


class Job(BaseModel):
    pass


class Done(BaseModel):
    text: str


async def tool() -> str:
    """Each request is noted where it arrives. It is down while a file says so, else it answers when it is told to."""
    gates.note("request")
    if (gates.place / "down").exists():
        raise ConnectionError("503")
    await gates.opened("answer")
    return "well"


async def wait_and_call(view: View[Job]) -> Done:
    gates.note("came")
    await gates.opened("call")
    return Done(text=await view.call("tool", tool, returns=str))


async def ask(view: View[Job]) -> Done:
    return Done(text=await tool())


class Caller(Machine):
    """Asked before each call."""

    work = State(initial=Job, agent=wait_and_call, timeout_s=TIMEOUT_S)
    done = State(final="completed")
    lost = State(final="failed")
    shut = State(final="failed")
    refused = State(final="failed")
    finish = work.to(done, on=Done)
    forbid = work.to(refused, on=CallRefused)
    broken = work.to(lost, on=AgentFailed)
    limits = everywhere(TOOL, otherwise=shut)


class Visitor(Machine):
    """Asked at the door: the agent itself is what it depends on."""

    work = State(initial=Job, agent=ask, timeout_s=TIMEOUT_S, guards=[TOOL])
    done = State(final="completed")
    lost = State(final="failed")
    finish = work.to(done, on=Done)
    broken = work.to(lost, on=AgentFailed)


MACHINES: tuple[type[Machine], ...] = (Caller, Visitor)
