"""Failures in a row of what a run depends on: which attempts count, and whether one more may be made.

What a run depends on has a name: the name of a call, or of a state's agent where a guard on that state watches
it. A count goes up with each failure and back to nothing with a success; it is on record whenever something
watched was tried, so no restart begins it again.
"""

from collections.abc import Mapping
from typing import Literal

from fsm.core.record import NO_STRIKES
from fsm.core.snapshot import Snapshot
from fsm.define.events import RUNTIME_EVENTS, AgentFailed, TimedOut
from fsm.define.guard import Placed, Verdict
from fsm.define.payload import Payload
from fsm.define.spec import MachineSpec

BUSY = (408, 425, 429)

Outcome = Literal["success", "failure", "neutral"]


def is_failure(status: int | None) -> bool:
    """Whether an error is the other side's failure; HTTP 4xx is the caller's own, but for "not now"."""
    return status is None or not 400 <= status < 500 or status in BUSY


def with_attempt(
    spec: MachineSpec, snapshot: Snapshot, payload: Payload, strikes: Mapping[str, int]
) -> Mapping[str, int]:
    """`strikes`, as calls left them, with the attempt that ended in `payload`.

    It counts for what guards on its state watch, unless the attempt called that by name: then its calls have counted.
    A wait is no attempt: nothing was asked of what is watched.
    """
    state = spec.state.get(snapshot.state)
    works = state is not None and state.kind == "agent"
    watched = [guard for guard in state.guards if _watches(guard)] if state is not None and works else []
    outcome = outcome_of(payload) if watched else "neutral"
    if outcome == "neutral":
        return strikes
    found = dict(strikes)
    for guard in watched:
        assert guard.counter is not None
        before = snapshot.counters.get(guard.counter.key, 0)
        after = before + 1 if outcome == "failure" else 0
        if guard.counter.subject not in strikes and after != before:
            found[guard.counter.subject] = after
    return found or NO_STRIKES


def struck_out(spec: MachineSpec, state: str, name: str, strikes: int) -> Verdict | None:
    """The refusal of a call, by the first guard of its state or machine that has seen enough failures of it."""
    for guard in (*spec.state[state].guards, *spec.machine_wide):
        if _watches(guard) and guard.counter is not None and guard.counter.subject == name:
            verdict = guard.count({guard.counter.key: strikes})
            if verdict is not None and verdict.decision == "refuse":
                return verdict
    return None


def _watches(guard: Placed) -> bool:
    return guard.counter is not None and guard.counter.of == "strikes"


def outcome_of(payload: Payload) -> Outcome:
    """What the end of an attempt says of what it depended on; an invalid answer, a refused call, a 4xx say nothing."""
    match payload.value:
        case AgentFailed(status=status):
            return "failure" if is_failure(status) else "neutral"
        case TimedOut():
            return "failure"
        case _:
            return "neutral" if payload.event in RUNTIME_EVENTS else "success"
