"""One attempt of an agent, from its view to the event its state hears of.

Whatever an agent does becomes a payload: its own, if it is one that a transition takes from here, or one
of the runtime's events, which the machine may declare a way for.
"""

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable
from typing import Any

from attrs import evolve
from pydantic import BaseModel

from fsm.clock import Clock
from fsm.crash import point
from fsm.define.agent import is_async
from fsm.define.events import RUNTIME_BYTES_MAX, AgentFailed, PayloadInvalid, RuntimeEvent
from fsm.define.payload import Invalid, Payload, excerpt, seal, unseal
from fsm.define.place import raised_at
from fsm.define.prices import Prices
from fsm.define.spec import MachineSpec
from fsm.errors import CallFailed
from fsm.journal.journal import Journal
from fsm.runner.calls import CallDesk
from fsm.runner.faults import Fault, fault_of
from fsm.runner.live import Live
from fsm.runner.pricing import Till
from fsm.runner.threads import Threads
from fsm.runner.view import LiveView

log = logging.getLogger("fsm.runner")

MESSAGE_MAX = 1_000


async def attempt(
    live: Live,
    journal: Journal,
    clock: Clock,
    threads: Threads,
    prices: Prices | None,
    deadline_ms: int | None,
    cut: Callable[[RuntimeEvent], None],
    lost: Callable[[Exception], None],
) -> Payload | None:
    """Run the agent of the state the run is in; the payload to decide, or None if the attempt was abandoned.

    `cut` ends the attempt at once, whatever its agent does; the given event is what the state hears of. `lost`
    stops the run here, as its journal cannot be written.
    """
    token, now, task = live.token, live.snapshot, live.task
    assert task is not None
    state = live.engine.spec.state[now.state]
    desk = CallDesk(
        live=live,
        token=token,
        entered=now.entered,
        attempt=now.attempt,
        journal=journal,
        clock=clock,
        threads=threads,
        cut=cut,
        lost=lost,
    )
    try:
        used = now.attempt > 1 or now.given != now.entered  # by an agent that may have changed it
        value = unseal(type(live.payload.value), live.payload.body) if used else live.payload.value
        till = Till(prices, live.engine.spec.bounds_money)
        view = LiveView(live, desk, till, value, deadline_ms, asyncio.get_running_loop(), threading.get_ident())
        point("visit.started")
        if is_async(state.agent):
            result = await state.agent(view)
        else:
            result = await threads.run(lambda: state.agent(view), f"{live.run.run_id} {state.name}")
            result = await result if inspect.isawaitable(result) else result
        await task.catch_up()
    except asyncio.CancelledError as error:
        if live.token != token or not task.take_back():
            raise
        return _own(_failed(live, Fault("CancelledError", "the agent cancelled itself"), where=raised_at(error)))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, GeneratorExit) and asyncio.current_task() is not live.task:
            raise  # not the agent's: this very coroutine is being thrown away
        return _raised(live, error, clock.now_ms()) if live.token == token else None
    if live.token != token:
        return None
    point("visit.returned")
    return _returned(live, result)


def crashed(live: Live) -> Payload:
    """What a visit becomes that was lost too often."""
    resumes, resumes_max = live.snapshot.resumes, live.engine.spec.bounds.resumes_max
    lost = "its process died, or its journal could not be written,"
    text = f"{lost} {resumes} times in this visit; resumes_max is {resumes_max}"
    return _own(_failed(live, Fault("crashed", text)))


def _own(event: RuntimeEvent) -> Payload:
    return seal(event, RUNTIME_BYTES_MAX)


def _raised(live: Live, error: BaseException, now_ms: int) -> Payload:
    """The record holds the place alone; the whole traceback is there for who asks the log for it."""
    now = live.snapshot
    log.debug("run %s: attempt %d in %s failed", live.run.run_id, now.attempt, now.state, exc_info=error)
    fault = fault_of(error, now_ms)
    if isinstance(error, CallFailed):
        fault = evolve(fault, text=f"call {error.name!r}: {error.text}")
    return _own(_failed(live, fault, where=raised_at(error)))


def _failed(live: Live, fault: Fault, where: str = "") -> AgentFailed:
    return AgentFailed(
        error_type=fault.type,
        message=fault.text[:MESSAGE_MAX],
        attempt=live.snapshot.attempt,
        retriable=fault.retriable,
        where=where,
        status=fault.status,
        retry_after_ms=fault.retry_after_ms,
    )


def _returned(live: Live, result: Any) -> Payload:
    """The payload an agent returned, or `PayloadInvalid` saying why it is none."""
    spec, state = live.engine.spec, live.snapshot.state
    name = type(result).__name__
    if result is None:
        return _invalid(live, "None", [f"did it forget `return`? {_takes(spec, state)}"], excerpt(result))
    if not isinstance(result, BaseModel):
        return _invalid(live, name, [f"that is no payload; {_takes(spec, state)}"], excerpt(result))
    try:
        event = spec.name_of(type(result))
        if event is None or isinstance(result, RuntimeEvent) or not live.engine.handles(state, event):
            return _invalid(live, name, [_untaken(spec, state, type(result))], excerpt(result))
        return seal(result, spec.bounds.payload_bytes_max)
    except Invalid as invalid:
        return _invalid(live, name, invalid.problems, invalid.excerpt)


def _untaken(spec: MachineSpec, state: str, cls: type[BaseModel]) -> str:
    if issubclass(cls, RuntimeEvent):
        return f"that is the runtime's own to say; {_takes(spec, state)}"
    if cls.__name__ in spec.events_from(state):
        twin = spec.classes[cls.__name__]
        return f"it is the {cls.__name__} of {cls.__module__}; the one of {twin.__module__} is taken from {state}"
    return f"no transition takes it; {_takes(spec, state)}"


def _takes(spec: MachineSpec, state: str) -> str:
    """What an agent of the state may return."""
    return f"{state} takes {' or '.join(spec.events_from(state)) or 'nothing'}"


def _invalid(live: Live, event: str, problems: list[str], seen: str) -> Payload:
    return _own(PayloadInvalid(event=event, problems=problems, excerpt=seen, attempt=live.snapshot.attempt))
