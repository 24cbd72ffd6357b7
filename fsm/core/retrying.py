"""Whether a failed attempt begins again, and when: the guards that are asked, and the pause.

Pure: the pause's chance is a hash of run, visit and attempt, so it replays; runs that fail together do not
come back together.
"""

from fsm.core.chance import shortened
from fsm.core.snapshot import Snapshot
from fsm.define.events import AgentFailed, PayloadInvalid, RuntimeEvent, TimedOut
from fsm.define.parts import RetrySpec

FAILURES = (AgentFailed, TimedOut, PayloadInvalid)


def pause_ms(retry: RetrySpec, snapshot: Snapshot, failure: RuntimeEvent) -> int:
    """How long to wait before the next attempt; a server's Retry-After may make it longer, the cap holds."""
    assert retry.guard.counter is not None
    made = snapshot.counters.get(retry.guard.counter.key, 0)
    most = min(retry.cap_ms, retry.base_ms << min(made, 40))
    asked = failure.retry_after_ms if isinstance(failure, AgentFailed) and failure.retry_after_ms else 0
    return max(shortened(most, f"{snapshot.run_id}:{snapshot.entered}:{snapshot.attempt}"), min(asked, retry.cap_ms))
