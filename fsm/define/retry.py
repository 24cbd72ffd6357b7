"""Trying again: which failures of an attempt are followed by another, how often, and after what pause.

Retries belong to the machine. They are recorded, counted and drawn, they wait where a restart does not lose
them, and `fsm check` knows their bound; a client library that retries on its own hides all that, so turn
that off there.
"""

from collections.abc import Callable
from typing import Any

from attrs import field, frozen

from fsm.define.events import AgentFailed, RuntimeEvent


def retriable(failure: RuntimeEvent) -> bool:
    """Whether trying again may help, from the recorded failure alone.

    No answer in time, and an answer that is no valid payload: yes. An error: as it was recorded (`retriable`): yes for
    lost connections, timeouts, HTTP 408, 425, 429 and 5xx, and for pydantic's `ValidationError` and JSON that cannot
    be read, which is what a model's garbage becomes; also if it was raised `from` one of these.
    """
    return failure.retriable if isinstance(failure, AgentFailed) else True


@frozen
class Retry:
    """Begin the agent's attempt again, in the same visit, up to `attempts_max` attempts.

    The pause before attempt n+1 is `base_s` doubled n-1 times, at most `cap_s`, less up to half of it by chance
    (a hash, so it replays); a server's Retry-After makes it longer, also up to `cap_s`. `when` is a pure, named
    function of the recorded failure: `AgentFailed`, `TimedOut` or `PayloadInvalid`. A retry is a declared hop,
    `draft.retry`: it counts as one, and the guards of the machine and of the state are asked, but for those
    that look at payloads or count visits. One that is refused is not made: the failure goes its own way.

    The scheme is "equal jitter": M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
    """

    attempts_max: int = 3
    base_s: float = field(default=1.0, kw_only=True)
    cap_s: float = field(default=60.0, kw_only=True)
    when: Callable[[Any], bool] = field(default=retriable, kw_only=True)
