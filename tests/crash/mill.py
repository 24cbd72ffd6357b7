"""A ten-state machine whose agents do things to the world outside that no rollback reaches.

Every effect appends the idempotency key of its call to a file that outlives the process: how often it
really happened is counted there, not in the journal.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar

from attrs import frozen
from pydantic import BaseModel

from fsm import AgentFailed, Facts, Guard, Machine, Retry, State, Verdict, View, any_of, everywhere, hours, refuse
from guards import Deadline, LoopCap, Strikes

EFFECT_TOKENS = 10
PAUSE_S = 0.002

effects = Path("effects")  # the worker says where


class Order(BaseModel):
    n: int


class Part(BaseModel):
    value: int


class Checked(BaseModel):
    value: int
    good: bool


class Hint(BaseModel):
    """What nobody asked for: `pack` refuses it, no other state takes it."""

    text: str


class Log(BaseModel):
    values: list[int] = []


def note_order(log: Log, order: Order) -> Log:
    return Log(values=[order.n])


def note_part(log: Log, part: Part) -> Log:
    return Log(values=[*log.values, part.value])


def is_good(checked: Checked) -> bool:
    return checked.good


@frozen
class NoHints(Guard):
    codes: ClassVar[tuple[str, ...]] = ("no_hints",)

    def check(self, facts: Facts, /) -> Verdict:
        return refuse("no_hints", bytes=facts.payload_bytes)


def touch(key: str) -> None:
    """The effect itself: one line, whole or not there, whoever else writes at the same time."""
    out = os.open(effects, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(out, f"{key}\n".encode())
    os.close(out)


def effect(view: View[Any]) -> Callable[..., Awaitable[int]]:
    async def press(n: int, coat: int = 0, *, idempotency_key: str) -> int:
        touch(idempotency_key)
        await asyncio.sleep(PAUSE_S)
        view.spend(tokens=EFFECT_TOKENS)
        return n + 1

    return press


def press_here(n: int, *, idempotency_key: str) -> int:
    touch(idempotency_key)
    return n + 1


async def burn(n: int, *, idempotency_key: str) -> int:
    touch(idempotency_key)
    raise ConnectionError("no power")


async def intake(view: View[Order]) -> Part:
    view.spend(tokens=1)
    return Part(value=view.payload.n)


async def saw(view: View[Part | Checked]) -> Part:
    view.spend(tokens=2)
    value: int = await view.call("saw", effect(view), view.payload.value, returns=int)
    return Part(value=value)


async def plane(view: View[Part]) -> Part:
    """Two calls that differ in nothing but their place."""
    one: int = await view.call("plane", effect(view), view.payload.value, returns=int)
    two: int = await view.call("plane", effect(view), view.payload.value, returns=int)
    return Part(value=one + two)


def glue(view: View[Part]) -> Part:
    """An agent that blocks."""
    value: int = view.call_sync("glue", press_here, view.payload.value, returns=int)
    return Part(value=value)


async def dry(view: View[Part]) -> Part:
    """A call that fails the attempt; the next one goes another way."""
    if view.failure is None:
        await view.call("oven", burn, view.payload.value)
    value: int = await view.call("air", press_here, view.payload.value, returns=int)
    return Part(value=value)


async def check(view: View[Part]) -> Checked:
    """Not good enough the first time."""
    await asyncio.sleep(PAUSE_S)
    return Checked(value=view.payload.value % 1000, good=view.visit > 1)


async def paint(view: View[Checked]) -> Part:
    """Two calls at once."""
    value = view.payload.value
    coats = [view.call("paint", effect(view), value, coat, returns=int) for coat in (1, 2)]
    return Part(value=sum(await asyncio.gather(*coats)))


async def pack(view: View[Part]) -> Part:
    value: int = await view.call("pack", effect(view), view.payload.value, returns=int)
    view.spend(tokens=5)
    return Part(value=value)


class Mill(Machine, memory=Log, resumes_max=1_000, refusals_max=1):
    """Parts are made, sent back once, painted and shipped.

    The oven fails twice, in one visit each: one more, or an attempt more, would be counted where there was none.
    """

    intake = State(initial=Order, agent=intake, remember=note_order)
    saw = State(agent=saw)
    plane = State(agent=plane)
    glue = State(agent=glue)
    dry = State(agent=dry, retry=Retry(attempts_max=2, base_s=0.004, cap_s=0.004))
    check = State(agent=check)
    paint = State(agent=paint)
    pack = State(agent=pack)
    shipped = State(final="completed")
    scrapped = State(final="failed")

    taken_in = intake.to(saw, on=Part)
    sawn = saw.to(plane, on=Part, remember=note_part)
    planed = plane.to(glue, on=Part, remember=note_part)
    glued = glue.to(dry, on=Part)
    dried = dry.to(check, on=Part, remember=note_part)
    good = check.to(paint, on=Checked, when=is_good)
    again = check.to(saw, on=Checked, guards=[LoopCap(3)], otherwise=scrapped)
    painted = paint.to(pack, on=Part, remember=note_part)
    packed = pack.to(shipped, on=Part)
    hinted = pack.to(scrapped, on=Hint, guards=[NoHints()])
    broken = any_of(intake, saw, plane, glue, dry, check, paint, pack).to(scrapped, on=AgentFailed)
    limits = everywhere(Strikes("oven", 3), Deadline(hours(1)), otherwise=scrapped)
