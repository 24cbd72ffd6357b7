"""Named crash points: places where a process may die, armed only by tests.

The idea is DBOS's: the production code names its own worst moments, and the tests kill it at each of
them. Unarmed, a point costs one comparison.
"""

import os
import signal

POINTS = (
    "visit.started",
    "visit.returned",
    "call.intended",
    "call.executed",
    "call.settled",
    "decision.queued",
    "writer.begun",
    "writer.written",
    "writer.committed",
    "decision.adopted",
    "resume.committed",
    "inbox.committed",
)

_armed: dict[str, int] = {}


def arm(name: str, passes: int = 1) -> None:
    """Kill this process (SIGKILL) at the `passes`-th arrival at point `name`."""
    if name not in POINTS:
        raise ValueError(f"no crash point {name!r}\n  -> one of {', '.join(POINTS)}")
    _armed[name] = passes


def point(name: str) -> None:
    """Die here if armed for this arrival."""
    if name in _armed:
        _armed[name] -= 1
        if _armed[name] <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
