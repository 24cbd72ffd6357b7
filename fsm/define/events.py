"""The runtime's own events: payloads like any other, so a machine can declare where they lead.

What a state does not handle escalates: `PayloadInvalid`, `TimedOut` and `CallRefused` become
`AgentFailed`; an `AgentFailed` nobody handles halts the run *stuck*. So does a `CallUnsure`: it is a question
to a person, not a failure.
"""

from collections.abc import Iterable
from typing import Final

from pydantic import BaseModel, ConfigDict

RUNTIME_BYTES_MAX: Final = 64 << 10  # their own bound: a run must be able to fail whatever `payload_bytes_max` is


class RuntimeEvent(BaseModel):
    """The common root; `isinstance(view.payload, RuntimeEvent)` tells them from the user's own."""

    model_config = ConfigDict(frozen=True)


class AgentFailed(RuntimeEvent):
    """The agent raised, or its visit ended in a way the state does not handle by itself.

    `where` is the place in the user's code it was raised from, as `agents.py:17 in write`; "" if nothing was raised.
    `status` is the HTTP status behind the error, `retry_after_ms` how long its server asks to be left alone.
    """

    error_type: str
    message: str
    attempt: int
    retriable: bool = False
    where: str = ""
    status: int | None = None
    retry_after_ms: int | None = None


class TimedOut(RuntimeEvent):
    """The attempt, or the wait, took longer than `timeout_ms`."""

    timeout_ms: int
    attempt: int


class PayloadInvalid(RuntimeEvent):
    """What the agent returned is no valid payload here; `excerpt` is its marked beginning, never the whole."""

    event: str
    problems: list[str]
    excerpt: str
    attempt: int


class CallRefused(RuntimeEvent):
    """A call of the visit was refused, or (`call` is "") its own spending; the agent was stopped there.

    `text` says more where code and numbers do not say it all.
    """

    call: str
    code: str
    numbers: dict[str, int]
    attempt: int
    text: str = ""


class CallUnsure(RuntimeEvent):
    """A call with `unsure="ask"` may have happened before its process was lost; the agent was stopped there.

    `arguments` is their marked beginning as JSON. Where nothing takes this event the run halts, and
    `runner.answer` tells what became of the call.
    """

    call: str
    key: str
    arguments: str
    attempt: int


class Cancelled(RuntimeEvent):
    """Somebody asked the run to stop."""

    by: str = ""
    reason: str = ""


RUNTIME_EVENTS: Final[dict[str, type[RuntimeEvent]]] = {
    cls.__name__: cls for cls in (AgentFailed, TimedOut, PayloadInvalid, CallRefused, CallUnsure, Cancelled)
}


def invalid_words(event: str, problems: Iterable[str]) -> str:
    """What a `PayloadInvalid` says, in one sentence."""
    return f"the agent returned {event}: {'; '.join(problems)}"


def escalated(event: RuntimeEvent) -> AgentFailed | None:
    """The `AgentFailed` that an unhandled event becomes; None where the ladder ends."""
    match event:
        case TimedOut():
            late = "it came too late to begin: the deadline of its run was over"
            text = f"no answer within {event.timeout_ms / 1000:.10g} s" if event.timeout_ms else late
        case PayloadInvalid():
            text = invalid_words(event.event, event.problems)
        case CallRefused():
            told = ", ".join(f"{name} {value}" for name, value in event.numbers.items())
            refused = f"call {event.call!r}" if event.call else "spending"
            text = f"{refused} refused: {event.code} ({told})" + (f": {event.text}" if event.text else "")
        case _:
            return None
    return AgentFailed(error_type=type(event).__name__, message=text, attempt=event.attempt)
