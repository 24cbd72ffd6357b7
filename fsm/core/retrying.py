"""Whether a failed attempt begins again, and when: the guards that are asked, and the pause.

Pure: the pause's chance is a hash of run, visit and attempt, so it replays; runs that fail together do not
come back together.
"""

import hashlib
from collections.abc import Iterator

from fsm.core.snapshot import Snapshot
from fsm.define.events import AgentFailed, PayloadInvalid, RuntimeEvent, TimedOut
from fsm.define.guard import Placed
from fsm.define.parts import RetrySpec, StateSpec
from fsm.define.spec import MachineSpec

FAILURES = (AgentFailed, TimedOut, PayloadInvalid)


def retry_guards(spec: MachineSpec, state: StateSpec) -> Iterator[Placed]:
    """The guards asked before a retry: its own cap, and those of state and machine that may judge it.

    There is no new payload, so none that looks at payloads; it is the same visit, so none that counts visits.
    """
    assert state.retry is not None
    yield state.retry.guard
    for guard in (*state.guards, *(guard for line in spec.everywhere for guard in line.guards)):
        if guard.kind != "data" and (guard.counter is None or guard.counter.of != "visits"):
            yield guard


def pause_ms(retry: RetrySpec, snapshot: Snapshot, failure: RuntimeEvent) -> int:
    """How long to wait before the next attempt; a server's Retry-After may make it longer, the cap holds."""
    assert retry.guard.counter is not None
    made = snapshot.counters.get(retry.guard.counter.key, 0)
    most = min(retry.cap_ms, retry.base_ms << min(made, 40))
    seed = f"{snapshot.run_id}:{snapshot.entered}:{snapshot.attempt}".encode()
    chance = int.from_bytes(hashlib.sha256(seed).digest()[:4], "big")
    asked = failure.retry_after_ms if isinstance(failure, AgentFailed) and failure.retry_after_ms else 0
    return max(most - (most // 2 * chance >> 32), min(asked, retry.cap_ms))
