"""Reading a journal again: records folded and replayed a second, and what it takes to go on with a run."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from fsm import Machine, Runner, read_journal, replay_run
from fsm.core.snapshot import fold
from tests.benchmarks.loop import Figure, Loop, parked, record, scratch, started

RUNS, HOPS = 500, 20


def measure() -> list[Figure]:
    with scratch() as db:
        asyncio.run(record(db, RUNS, HOPS))
        looked_back = _look_back(db)
    with scratch() as db:
        asyncio.run(_walk_in(db, start=True))
        resume_s = asyncio.run(_walk_in(db, start=False))
    return [
        *looked_back,
        Figure("resumed by the next runner", resume_s / RUNS * 1e6, "us a run", f"{HOPS} records each"),
    ]


def _look_back(db: Path) -> list[Figure]:
    reader = read_journal(db)
    runs = reader.runs()
    records = [list(reader.records(run.key)) for run in runs]
    count = sum(map(len, records))

    def figure(what: str, work: Callable[[], object]) -> Figure:
        begun = time.perf_counter()
        work()
        seconds = time.perf_counter() - begun
        beside = f"{seconds / RUNS * 1e6:,.0f} us a run of {count // RUNS} records"
        return Figure(what, count / seconds, "records a second", beside)

    def replay(machine: type[Machine] | None) -> None:
        for run in runs:
            replayed = replay_run(reader, run.run_id, machine)
            assert replayed.agreed, str(replayed)

    try:
        return [
            figure("read from the file", lambda: [list(reader.records(run.key)) for run in runs]),
            figure("folded", lambda: [fold(Loop.spec, of_run) for of_run in records]),
            figure("replayed with the machine", lambda: replay(Loop)),
            figure("replayed from the journal alone", lambda: replay(None)),
        ]
    finally:
        reader.close()


async def _walk_in(db: Path, *, start: bool) -> float:
    """Seconds until all runs, started or found there, have an agent at work on the last of their hops."""
    machine, all_there = parked(RUNS)
    begun = time.perf_counter()
    async with Runner(db, machines=[machine], visits_max=RUNS) as runner:
        if start:
            await started(runner, machine, RUNS, HOPS)
        await all_there.wait()
        return time.perf_counter() - begun
