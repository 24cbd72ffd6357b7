"""The one door to time, so that tests can move it.

Wall time stamps records and timers: whole milliseconds since 1970 UTC. Leases use the host's monotonic
clock, which every process of one boot shares; `boot_id` tells boots apart.
"""

import time
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """What the runtime asks of time; `fsm.testing.MovableClock` is the other one."""

    def now_ms(self) -> int:
        """Wall time in whole milliseconds since 1970 UTC; may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, comparable between processes of one boot."""
        ...


class SystemClock:
    """The clocks of this machine."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


def boot_id() -> str:
    """A name for this boot of the host; "" where the system does not tell (then only lease expiry counts)."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
