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

_armed: tuple[str, int] | None = None


def arm(name: str, passes: int = 1) -> None:
    """Kill this process (SIGKILL) at the `passes`-th arrival at point `name`."""
    global _armed
    assert name in POINTS, f"no crash point {name!r}"
    _armed = (name, passes)


def point(name: str) -> None:
    """Die here if armed for this arrival."""
    global _armed
    if _armed is not None and _armed[0] == name:
        _armed = (name, _armed[1] - 1)
        if _armed[1] <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
