"""Where the two threads of a runner are found at work, looked at every millisecond, 1,000 runs at once.

A look can only happen when a thread gives up the interpreter's lock, so calls into SQLite are seen a little
too often. What the standard library and pydantic do is booked to our function that asked for it.
"""

import asyncio
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType

from tests.benchmarks.hops import timed
from tests.benchmarks.loop import Figure

PERIOD_S = 0.001
SHOWN = 16
OURS = {"fsm", "guards", "machines"}
ROOT = Path(__file__).parents[2]


def measure(rounds: int) -> list[Figure]:
    seen: Counter[str] = Counter()
    over = threading.Event()
    sampler = threading.Thread(target=_sample, args=(seen, over), daemon=True)
    sampler.start()
    for _ in range(rounds):
        asyncio.run(timed(runs=1_000, hops=20))
    over.set()
    sampler.join()
    total = seen.total()
    return [Figure(where, count / total * 100, "% of samples") for where, count in seen.most_common(SHOWN)]


def _sample(seen: Counter[str], over: threading.Event) -> None:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    while not over.wait(PERIOD_S):
        names |= {thread.ident: thread.name for thread in threading.enumerate()}
        for ident, frame in sys._current_frames().items():
            where = _ours(frame)
            if where and ident != threading.get_ident():
                thread = "loop" if names[ident] == "MainThread" else "writer"
                seen[f"{thread}: {where}"] += 1


def _ours(frame: FrameType | None) -> str:
    """The innermost function of ours on this stack; nothing for a thread that only waits."""
    if frame is None or Path(frame.f_code.co_filename).name in ("selectors.py", "threading.py"):
        return ""
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in OURS:
            return f"{path.relative_to(ROOT)} {frame.f_code.co_name}"
        frame = frame.f_back
    return "asyncio"
