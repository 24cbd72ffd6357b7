"""The machine of the simulation: small, with every way a run can go."""

from typing import Any, ClassVar

from attrs import frozen
from pydantic import BaseModel

from fsm import (
    AgentFailed,
    Facts,
    Guard,
    Kind,
    Machine,
    Retry,
    State,
    TimedOut,
    Verdict,
    allow,
    any_of,
    defer,
    everywhere,
    refuse,
)
from fsm.testing import hang
from guards import LoopCap

DRY_S, LATER_S, PAUSE_S = 50, 60, 40
WORK_S, CHECK_S, HOLD_S = 150, 180, 400
BACK_MAX, HOPS_MAX, ATTEMPTS_MAX = 1, 6, 2
REFUSALS_MAX, RESUMES_MAX, DEFERS_MAX = 2, 2, 2


class Job(BaseModel):
    size: int


class Made(BaseModel):
    n: int


class Found(BaseModel):
    ok: bool


class Poke(BaseModel):
    wait: bool


class Nudge(BaseModel):
    n: int


class Go(BaseModel):
    wait: bool


class Tally(BaseModel):
    total: int = 0


def begin(tally: Tally, job: Job) -> Tally:
    return Tally(total=job.size)


def add(tally: Tally, made: Made) -> Tally:
    return Tally(total=tally.total + made.n)


def is_ok(found: Found, tally: Tally) -> bool:
    return found.ok and tally.total > 0


@frozen
class Waits(Guard):
    """Puts off what asks for it until the state has been entered for `seconds`."""

    kind: ClassVar[Kind] = "env"
    codes: ClassVar[tuple[str, ...]] = ("not_yet",)
    seconds: int

    def check(self, facts: Facts, /) -> Verdict:
        payload: Any = facts.payload
        asks = payload.n == 0 if isinstance(payload, Made) else payload.wait
        until_ms = facts.entered_at_ms + self.seconds * 1000
        return defer("not_yet", until_ms) if asks and facts.at_ms < until_ms else allow()


@frozen
class Never(Guard):
    codes: ClassVar[tuple[str, ...]] = ("never",)

    def check(self, facts: Facts, /) -> Verdict:
        return refuse("never")


class Mill(Machine, memory=Tally, refusals_max=REFUSALS_MAX, resumes_max=RESUMES_MAX, defers_max=DEFERS_MAX):
    retry = Retry(attempts_max=ATTEMPTS_MAX, base_s=PAUSE_S, cap_s=PAUSE_S)
    work = State(initial=Job, agent=hang, timeout_s=WORK_S, remember=begin, retry=retry)
    check = State(agent=hang, timeout_s=CHECK_S)
    hold = State(timeout_s=HOLD_S)
    done = State(final="completed")
    lost = State(final="failed")

    made = work.to(check, on=Made, guards=[Waits(DRY_S)], remember=add)
    passed = check.to(done, on=Found, when=is_ok)
    back = check.to(work, on=Found, guards=[LoopCap(BACK_MAX)], otherwise=hold)
    poke = any_of(work, check).to(hold, on=Poke, guards=[Waits(LATER_S)])
    nudge = work.to(work, on=Nudge, guards=[Never()])
    go = hold.to(work, on=Go, guards=[Waits(LATER_S)])
    drop = hold.to(lost, on=TimedOut)
    broken = work.to(hold, on=AgentFailed)
    limits = everywhere(LoopCap(HOPS_MAX))
