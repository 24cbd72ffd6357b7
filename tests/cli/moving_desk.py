"""A machine for the tests of the command, imported by it from this file: what its agents do, its payload says."""

import asyncio
from pathlib import Path

from pydantic import BaseModel, Field

from fsm import Machine, State, View
from guards import LoopCap


class Order(BaseModel):
    topic: str
    takes: int = 1
    gate: str = ""


class Note(BaseModel):
    text: str = "hello"


class Draft(BaseModel):
    text: str


class Remark(BaseModel):
    good: bool


class Approval(BaseModel):
    by: str = Field(min_length=1)
    stars: int = Field(ge=1)


class Rework(BaseModel):
    gate: str = ""


async def model(topic: str, gate: str) -> str:
    """Answers once the file `gate` is there."""
    while gate and not Path(gate).exists():  # noqa: ASYNC240  # a look at a file of the test's own folder
        await asyncio.sleep(0.01)
    return topic


async def write(view: View[Order | Note | Remark | Rework]) -> Draft:
    print("an agent talks")
    given = view.payload
    topic = given.topic if isinstance(given, Order) else "bad" if isinstance(given, Remark) else "again"
    if topic == "burst":
        raise ValueError("the [red]ball[/red]\x1b[31m burst")
    gate = given.gate if isinstance(given, Order | Rework) else ""
    text = await view.call("model", model, topic, gate, unsure="ask" if topic == "pay" else "repeat")
    view.spend(tokens=100, usd_micros=2_000)
    return Draft(text=text)


async def judge(view: View[Draft]) -> Remark:
    return Remark(good=view.payload.text != "bad")


def is_good(remark: Remark) -> bool:
    return remark.good


class Desk(Machine):
    draft = State(initial=(Order, Note), agent=write, timeout_s=300)
    review = State(agent=judge)
    person = State()
    published = State(final="completed")

    submit = draft.to(review, on=Draft)
    approve = review.to(person, on=Remark, when=is_good)
    reject = review.to(draft, on=Remark, guards=[LoopCap(1)])
    accept = person.to(published, on=Approval)
    rework = person.to(draft, on=Rework, guards=[LoopCap(1)])


class Ball(BaseModel):
    left: int


class Back(BaseModel):
    left: int


class Out(BaseModel):
    pass


async def ping(view: View[Ball]) -> Back:
    return Back(left=view.payload.left - 1)


async def pong(view: View[Back]) -> Ball | Out:
    return Ball(left=view.payload.left) if view.payload.left else Out()


class Rally(Machine):
    left = State(initial=Ball, agent=ping)
    right = State(agent=pong)
    over = State(final="completed")

    there = left.to(right, on=Back)
    back = right.to(left, on=Ball)
    out = right.to(over, on=Out)
