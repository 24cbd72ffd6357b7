"""How long a visit may take: its own timeout, and never longer than its run has left."""

from fsm.define.parts import StateSpec
from fsm.define.spec import MachineSpec


def time_for(spec: MachineSpec, state: StateSpec, now_ms: int, started_at_ms: int) -> int | None:
    """Milliseconds for an attempt, or a wait, that begins now; None where nothing bounds it.

    A visit that begins before a deadline of the run ends with it. One that begins after it is on the way that
    was declared for that, and has its own time.
    """
    if state.timeout_ms is None:
        return None
    ends = [started_at_ms + limit - now_ms for limit in spec.deadlines_ms]
    return min(state.timeout_ms, *(left for left in ends if left > 0), state.timeout_ms)
