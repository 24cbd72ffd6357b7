"""Small machines for single situations: a visit that is held up, an event put off, a wait, an agent that kills."""

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any, ClassVar

from attrs import frozen
from pydantic import BaseModel

from fsm import (
    AgentFailed,
    CallFailed,
    CallRefused,
    Facts,
    Guard,
    Kind,
    Machine,
    Retry,
    State,
    TimedOut,
    Usage,
    Verdict,
    View,
    allow,
    any_of,
    defer,
    everywhere,
)
from guards import NoProgress, Repeat, Strikes

place = Path()  # the worker says where


class Ask(BaseModel):
    text: str = ""
    block_s: float = 0.0
    slow_call: bool = False
    not_before_ms: int = 0


class Heard(BaseModel):
    text: str
    not_before_ms: int = 0


class Answer(BaseModel):
    text: str


class Said(BaseModel):
    text: str


def note(what: str) -> None:
    """A line that outlives the process."""
    out = os.open(place / "effects", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(out, f"{what}\n".encode())
    os.close(out)


def touch(text: str, *, idempotency_key: str) -> str:
    note(idempotency_key)
    return text


# --- a visit that is held up ----------------------------------------------------------------------


async def hold(view: View[Ask]) -> Heard:
    """One call, then wait at the gate of this attempt; the first attempt may block its whole process instead.

    With `slow_call` the call waits as well, and tells which attempt made it.
    """
    note(f"attempt:{view.run_id}:{view.attempt}")

    async def slow(text: str, *, idempotency_key: str) -> str:
        note(idempotency_key)
        await opened(f"call-{view.run_id}-{view.attempt}")
        return f"by attempt {view.attempt}"

    text: str = await view.call("touch", slow if view.payload.slow_call else touch, view.payload.text, returns=str)
    if view.payload.block_s and view.attempt == 1:
        time.sleep(view.payload.block_s)  # noqa: ASYNC251 - the very thing that is tested
    else:
        await opened(f"gate-{view.run_id}-{view.attempt}")
    return Heard(text=text)


async def opened(gate: str) -> None:
    while not (place / gate).exists():
        await asyncio.sleep(0.002)


class Vault(Machine):
    """Holds until its gate is opened, or somebody answers."""

    held = State(initial=Ask, agent=hold)
    freed = State(final="completed")
    answered = State(final="completed")
    lost = State(final="failed")

    free = held.to(freed, on=Heard)
    answer = held.to(answered, on=Answer)
    broken = held.to(lost, on=AgentFailed)


# --- an event put off, and a wait -----------------------------------------------------------------


@frozen
class NotBefore(Guard):
    kind: ClassVar[Kind] = "env"
    codes: ClassVar[tuple[str, ...]] = ("too_early",)

    def check(self, facts: Facts, /) -> Verdict:
        assert isinstance(facts.payload, Heard)
        if facts.at_ms >= facts.payload.not_before_ms:
            return allow()
        return defer("too_early", facts.payload.not_before_ms)


async def listen(view: View[Ask]) -> Heard:
    text: str = await view.call("touch", touch, view.payload.text, returns=str)
    return Heard(text=text, not_before_ms=view.payload.not_before_ms)


async def speak(view: View[Answer]) -> Said:
    text: str = await view.call("touch", touch, view.payload.text, returns=str)
    return Said(text=text)


class Parlour(Machine):
    """Listens, perhaps not at once; waits for an answer, though not for long; passes it on."""

    listening = State(initial=Ask, agent=listen)
    waiting = State(timeout_s=2)
    speaking = State(agent=speak)
    said = State(final="completed")
    silent = State(final="failed")

    heard = listening.to(waiting, on=Heard, guards=[NotBefore()])
    answered = waiting.to(speaking, on=Answer)
    too_late = waiting.to(silent, on=TimedOut)
    passed_on = speaking.to(said, on=Said)
    broken = any_of(listening, speaking).to(silent, on=AgentFailed)


DECLARED = 100


async def ask_model(view: View[Ask]) -> Heard:
    """Reports outside of calls, and in one that declares what it spends and is held up at the gate of its attempt."""
    note(f"attempt:{view.run_id}:{view.attempt}")
    view.spend(Usage(5, 0), model="small", usd_micros=1)

    async def model(text: str, *, idempotency_key: str) -> str:
        note(idempotency_key)
        view.spend(Usage(20, 10), model="large", usd_micros=30)
        await opened(f"call-{view.run_id}-{view.attempt}")
        view.spend(Usage(40, 0, cached=40), model="large", usd_micros=4)
        return text

    text: str = await view.call("model", model, view.payload.text, returns=str, tokens_max=DECLARED)
    return Heard(text=text)


class Meter(Machine):
    """Pays for one answer."""

    asking = State(initial=Ask, agent=ask_model)
    told = State(final="completed")
    lost = State(final="failed")

    tell = asking.to(told, on=Heard)
    broken = asking.to(lost, on=AgentFailed)


class Cell(Vault, resumes_max=2):
    """The same, with as few takeovers as the pit below."""


async def charge(view: View[Ask]) -> Heard:
    text: str = await view.call("charge", touch, view.payload.text, returns=str, unsure="ask")
    return Heard(text=text)


class Till(Machine):
    """Asks whether what was in flight at a crash has happened."""

    open = State(initial=Ask, agent=charge)
    paid = State(final="completed")

    pay = open.to(paid, on=Heard)


# --- an agent that kills its process --------------------------------------------------------------

RESUMES_MAX = 2


async def jump(view: View[Ask]) -> Heard:
    note(f"attempt:{view.run_id}:{view.attempt}")
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


class Pit(Machine, resumes_max=RESUMES_MAX):
    """Whoever visits it kills the process."""

    edge = State(initial=Ask, agent=jump)
    bottom = State(final="completed")
    fenced = State(final="failed")

    landed = edge.to(bottom, on=Heard)
    given_up = edge.to(fenced, on=AgentFailed)


class BarePit(Machine, resumes_max=RESUMES_MAX):
    """The same, with no way declared."""

    edge = State(initial=Ask, agent=jump)
    bottom = State(final="completed")

    landed = edge.to(bottom, on=Heard)


# --- attempts that begin again --------------------------------------------------------------------

PAUSE_S = 2.0


async def fire(view: View[Ask]) -> Heard:
    note(f"attempt:{view.run_id}:{view.attempt}:{'again' if view.failure else 'first'}")
    raise ConnectionError("it went out")


class Kiln(Machine, resumes_max=2):
    """It never burns."""

    cold = State(initial=Ask, agent=fire, retry=Retry(attempts_max=2, base_s=PAUSE_S, cap_s=PAUSE_S))
    hot = State(final="completed")
    broken = State(final="failed")

    heat = cold.to(hot, on=Heard)
    fails = cold.to(broken, on=AgentFailed)


class Stove(Kiln):
    """At once."""

    cold = Kiln.cold.but(retry=Retry(attempts_max=2, base_s=0, cap_s=0))


def knock(n: int, *, idempotency_key: str) -> None:
    note(idempotency_key)
    raise ConnectionError("nobody there")


async def hammer(view: View[Ask]) -> Heard:
    for n in range(9):
        with contextlib.suppress(CallFailed):
            await view.call("door", knock, n)
    return Heard(text="open")


class Porch(Machine, resumes_max=9):
    """Knocks three times."""

    door = State(initial=Ask, agent=hammer)
    inside = State(final="completed")
    home = State(final="failed")

    enter = door.to(inside, on=Heard)
    leave = door.to(home, on=CallRefused)
    limits = everywhere(Strikes("door", 3), otherwise=home)


# --- runs that hop as fast as they can ------------------------------------------------------------


class Ball(BaseModel):
    n: int
    pad: str = "x" * 1_000


async def hit(view: View[Ball]) -> Ball:
    return Ball(n=view.payload.n + 1)


class Rally(Machine):
    """Back and forth without an end."""

    here = State(initial=Ball, agent=hit)
    there = State(agent=hit)
    out = State(final="failed")

    forth = here.to(there, on=Ball)
    back = there.to(here, on=Ball)
    missed = any_of(here, there).to(out, on=AgentFailed)


# --- going round in circles -----------------------------------------------------------------------


class Thought(BaseModel):
    text: str
    depth: int = 1


def depth(thought: Thought) -> int:
    return thought.depth


async def paraphrase(view: View[Any]) -> Thought:
    note(f"attempt:{view.run_id}:{view.visit}.{view.attempt}")
    return Thought(text=f"in other words, {view.visit}")


async def echo(view: View[Any]) -> Thought:
    note(f"attempt:{view.run_id}:{view.visit}.{view.attempt}")
    return Thought(text="in the same words")


class Circle(Machine):
    """Says the same in other words, until that is noticed."""

    think = State(initial=Ask, agent=paraphrase)
    noticed = State(final="completed")
    again = think.to(think, on=Thought, guards=[NoProgress(2, of=depth)], otherwise=noticed)


class Echo(Circle):
    """Says the same in the same words."""

    think = State(initial=Ask, agent=echo)
    again = think.to(think, on=Thought, guards=[Repeat(3)], otherwise=Circle.noticed)


MACHINES: tuple[type[Machine], ...] = (
    Vault,
    Cell,
    Meter,
    Till,
    Parlour,
    Pit,
    BarePit,
    Circle,
    Echo,
    Kiln,
    Stove,
    Porch,
)
EVENTS: dict[str, type[BaseModel]] = {cls.__name__: cls for cls in (Ask, Answer, Ball)}
