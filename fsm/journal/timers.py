"""Durable timers: one row for a wait that has a timeout, one for an event put off."""

from fsm.core.deadline import time_for
from fsm.core.record import Record
from fsm.core.snapshot import Snapshot
from fsm.define.spec import MachineSpec

COLUMNS = ("run", "kind", "entered", "due_ms", "waits", "asks")
KEYS = "run, kind"

TimerRow = tuple[int, str, int, int, str | None, int]
Waits = tuple[str | None, int]


def timers_set(
    run: int, spec: MachineSpec, before: Snapshot, after: Snapshot, record: Record, waits: Waits = (None, 0)
) -> list[TimerRow]:
    """The timers that a record sets; `waits` names the budget that the event was put off for, and what it asks."""
    found: list[TimerRow] = []
    if record.kind == "deferred" and record.until_ms is not None:
        found.append((run, "defer", after.entered, record.until_ms, *waits))
    if after.entered != before.entered and record.outcome == "waiting":
        timeout_ms = time_for(spec, spec.state[after.state], record.at_ms, after.started_at_ms)
        if timeout_ms is not None:
            found.append((run, "timeout", after.entered, record.at_ms + timeout_ms, None, 0))
    return found


def timers_over(before: Snapshot, after: Snapshot) -> tuple[str, ...]:
    """The kinds of timers that are over between two snapshots."""
    moved = after.entered != before.entered or after.outcome not in ("running", "waiting")
    if moved and (before.pending is not None or before.outcome == "waiting"):
        return ("timeout", "defer")
    if after.pending is not None and after.pending.own:
        return ("timeout",)  # it has run out: this is its event, put off
    return ("defer",) if before.pending is not None and after.pending is None else ()
