"""How long a visit may go on, and what says so: its own timeout, or a deadline of its run that comes sooner."""

from fsm.core.deadline import time_for
from fsm.define.guard import Placed
from fsm.show.evidence import Evidence
from fsm.show.words import ago, duration, safe


def of_wait(found: Evidence) -> str:
    """Of a wait: `1 d 23 h left of its 2 d timeout`, or that it has none, or is over."""
    timeout_ms, due_ms = found.spec.state[found.run.state].timeout_ms, found.due_ms("timeout")
    if due_ms is None or timeout_ms is None:
        return f", {duration(found.now_ms - found.began_at_ms)} so far, with no timeout"
    left, own = due_ms - found.now_ms, f"its {duration(timeout_ms)} timeout"
    cutting = _deadline(found, due_ms) if due_ms < found.entry.at_ms + timeout_ms else None
    if left < 0:
        ended = f"{own} ran out" if cutting is None else f"{_named(cutting)} ended that, before {own},"
        return f"; {ended} {ago(-left)}, and no runner was there to see it"
    if cutting is None:
        return f", {duration(left)} left of {own}"
    return f", {duration(left)} left: {_named(cutting)} ends that before {own}"


def of_attempt(found: Evidence) -> str:
    """Of an attempt in progress: ` of at most 1 min`; "" where nothing bounds it."""
    run, state = found.run, found.spec.state.get(found.run.state)
    if state is None:
        return ""
    began_ms = found.began_at_ms
    most_ms = time_for(found.spec, state, began_ms, run.started_at_ms, found.entry.at_ms)
    if most_ms is None:
        return ""
    cutting = _deadline(found, began_ms + most_ms) if most_ms < (state.timeout_ms or 0) else None
    why = f", which {_named(cutting)} leaves" if cutting is not None else ""
    return f" of at most {duration(most_ms)}{why}"


def _deadline(found: Evidence, end_ms: int) -> Placed | None:
    """The guard of the machine for which a visit ends at this moment, or earlier."""
    guards = found.spec.machine_wide
    ends = {
        found.run.started_at_ms + (guard.limit or 0): guard
        for guard in guards
        if guard.counter is not None and guard.counter.of == "elapsed_ms"
    }
    return next((ends[at] for at in sorted(ends) if at <= end_ms and at > found.entry.at_ms), None)


def _named(guard: Placed) -> str:
    return f"{guard.name} on `{safe(guard.at)}`"
