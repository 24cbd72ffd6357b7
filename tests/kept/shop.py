"""The machines of the kept runs. They stay as they are: a journal that was recorded once replays with them for ever.

They have no agents of their own, as no replay needs any. What a later release adds gets a machine of its own, beside
these.
"""

from typing import Annotated, ClassVar

from attrs import frozen
from pydantic import BaseModel

from fsm import (
    AgentFailed,
    CallRefused,
    Facts,
    Guard,
    Machine,
    Retry,
    State,
    TimedOut,
    Verdict,
    Volatile,
    allow,
    any_of,
    days,
    everywhere,
    never,
    refuse,
    unbound,
)
from guards import (
    Breaker,
    Bulkhead,
    CostBudget,
    Deadline,
    LoopCap,
    NoProgress,
    PayloadSize,
    RateLimit,
    Repeat,
    Strikes,
    TokenBudget,
)


class Order(BaseModel):
    title: str


class Part(BaseModel):
    text: str
    at: Annotated[int, Volatile] = 0


class Check(BaseModel):
    score: int
    open_points: int = 0


class Word(BaseModel):
    by: str = ""
    text: str = ""


class Ledger(BaseModel):
    made: int = 0
    titles: list[str] = []


def open_ledger(ledger: Ledger, order: Order) -> Ledger:
    return Ledger(titles=[order.title])


def keep(ledger: Ledger, part: Part) -> Ledger:
    return Ledger(made=ledger.made + 1, titles=[*ledger.titles, part.text[:20]])


def is_good(check: Check) -> bool:
    if check.score < 0:
        raise ValueError("no score below zero")
    return check.score >= 8


def is_known(check: Check, ledger: Ledger) -> bool:
    return check.score >= 3 and ledger.made < 20


def points(check: Check) -> int:
    return check.open_points


@frozen
class Signed(Guard):
    """Refuses what nobody signed, breaks at an illegible name, and keeps how often it was asked for good."""

    codes: ClassVar[tuple[str, ...]] = ("unsigned",)

    def check(self, facts: Facts, /) -> Verdict:
        by = getattr(facts.payload, "by", "")
        if by == "illegible":
            raise ValueError("cannot read the name")
        return allow({"signed": facts.kept.get("signed", 0) + 1}) if by else refuse("unsigned")


class Shop(Machine, memory=Ledger, refusals_max=2, defers_max=2, calls_max=6):
    """Parts are made and tested; a person at the desk decides the rest."""

    desk = State(timeout_s=days(2))
    shipped = State(final="completed")
    scrapped = State(final="failed")
    cheap = State(agent=unbound, timeout_s=60, tokens_max=100, guards=[TokenBudget(1_600, scope="label:tenant")])
    make = State(
        initial=Order,
        agent=unbound,
        timeout_s=60,
        tokens_max=400,
        retry=Retry(attempts_max=3, base_s=1, cap_s=4),
        guards=[Breaker("mill", failures_max=2, cooldown_s=30), RateLimit("mill", 6, window_s=10), Bulkhead("mill", 2)],
        otherwise=desk,
        remember=open_ledger,
    )
    test = State(
        agent=unbound,
        fallback=unbound,
        timeout_s=60,
        tokens_max=500,
        usd_micros_max=300_000,
        guards=[
            TokenBudget(1_500, scope="label:tenant", warn_at=1_000),
            CostBudget(900_000, scope="machine", window_s=3_600),
            Strikes("gauge", 2),
        ],
        otherwise={"budget_warned": cheap, "*": desk},
    )

    made = make.to(test, on=Part, guards=[PayloadSize(2_000), Repeat(3)], remember=keep)
    good = any_of(test, cheap).to(shipped, on=Check, when=is_good)
    again = test.to(make, on=Check, when=is_known, guards=[LoopCap(4), NoProgress(2, of=points)], otherwise=desk)
    bad = any_of(test, cheap).to(desk, on=Check)
    refused = test.to(desk, on=CallRefused)
    broken = any_of(make, cheap).to(desk, on=AgentFailed)
    ship = desk.to(shipped, on=Word, guards=[Signed()])
    redo = desk.to(make, on=Order)
    drop = desk.to(scrapped, on=TimedOut)
    limits = everywhere(LoopCap(60), TokenBudget(2_000), CostBudget(2_000_000), Deadline(days(40)), otherwise=desk)

    ships_what_was_made = never(good, before=made)


class Older(Shop, machine_name="Shop"):
    """The definition of some time ago, under which runs began that were repinned."""

    again = Shop.again.but(guards=[LoopCap(1)])
