"""What live runs take in memory: agents at work on all of them, in a process of its own."""

import asyncio
import subprocess
import sys

from fsm import Runner
from tests.benchmarks.engines.work import resident
from tests.benchmarks.loop import Figure, parked, scratch, started

RUNS = 10_000
MIB = 1 << 20


def measure() -> list[Figure]:
    command = [sys.executable, "-m", "tests.benchmarks.memory", str(RUNS)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    before, after = map(int, told.split())
    return [
        Figure("the process before", before / MIB, "MiB"),
        Figure(f"{RUNS:,} live runs", (after - before) / MIB, "MiB", f"{(after - before) / RUNS / 1024:.1f} KiB a run"),
    ]


async def _live(runs: int) -> None:
    machine, all_there = parked(runs)
    with scratch() as db:
        async with Runner(db, visits_max=runs) as runner:
            before = resident()
            await started(runner, machine, runs, hops=2)
            await all_there.wait()
            print(before, resident())


if __name__ == "__main__":
    asyncio.run(_live(int(sys.argv[1])))
