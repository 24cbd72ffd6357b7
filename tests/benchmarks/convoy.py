"""What one computing Python thread beside the loop does to a hop: it holds the interpreter's lock most of the time.

Agents that are not async run on such threads. Every call into SQLite gives the lock up and has to win it back,
so what hurts is not their work but the number of calls a hop.
"""

import asyncio
import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.benchmarks.hops import timed
from tests.benchmarks.loop import Figure

RUNS, HOPS = 1_000, 4


def measure(rounds: int) -> list[Figure]:
    quiet, crowded = [], []
    for _ in range(rounds):
        quiet.append(asyncio.run(timed(RUNS, HOPS)).hop_us)
        with _computing():
            crowded.append(asyncio.run(timed(RUNS, HOPS)).hop_us)
    ratio = statistics.median(loud / still for loud, still in zip(crowded, quiet, strict=True))
    return [
        Figure(f"{RUNS:,} runs, {HOPS} hops each", statistics.median(quiet), "us a hop"),
        Figure("one computing thread beside", statistics.median(crowded), "us a hop", f"{ratio:.1f} times as long"),
    ]


@contextmanager
def _computing() -> Iterator[None]:
    over = threading.Event()

    def compute() -> None:
        while not over.is_set():
            sum(range(1_000))

    thread = threading.Thread(target=compute, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
