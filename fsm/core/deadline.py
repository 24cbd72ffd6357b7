"""How long a visit may take: its own timeout, and never longer than its run has left."""

from fsm.define.parts import StateSpec
from fsm.define.spec import MachineSpec


def time_for(
    spec: MachineSpec, state: StateSpec, now_ms: int, started_at_ms: int, entered_at_ms: int | None = None
) -> int | None:
    """Milliseconds for an attempt, or a wait, that begins now; None where nothing bounds it, 0 if it comes too late.

    A visit entered (now, if nothing else is said) before a deadline of the run ends with it, whenever its attempts
    begin. One that is entered after it is on the way that was declared for that, and has its own time.
    """
    if state.timeout_ms is None:
        return None
    entered_at_ms = now_ms if entered_at_ms is None else entered_at_ms
    ends = [started_at_ms + limit for limit in spec.deadlines_ms]
    return min(state.timeout_ms, *(max(0, end - now_ms) for end in ends if entered_at_ms < end), state.timeout_ms)
