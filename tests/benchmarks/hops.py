"""Microseconds a hop: a thousand runs at once, one run alone, and the floor under both.

The floor is what SQLite takes for the same bytes and the same promise: one row, one commit, one sync to the
disk. The rounds alternate, so that all of them see the same disk in the same minute; the ratio is taken
within a round, and the median of the rounds is told. One run waits for the disk, a thousand for the processor:
on a busy machine compare the processor time.
"""

import asyncio
import sqlite3
import statistics
import time
from pathlib import Path

from attrs import frozen

from fsm import Runner
from tests.benchmarks.loop import Figure, gated, scratch, settled, started

ROW_BYTES = 1_400  # what a hop takes in the file, with its verdicts and its chain beside the payload
GROUP = 512


@frozen
class Taken:
    """Microseconds: of a start; of a hop, from the moment all runs are there; of processor time for a hop."""

    start_us: float
    hop_us: float
    processor_us: float


def measure(rounds: int) -> list[Figure]:
    floors, groups, ones, manys = [], [], [], []
    for _ in range(rounds):
        floors.append(floor_us(rows=1_000, group=1))
        ones.append(asyncio.run(timed(runs=1, hops=1_000)))
        groups.append(floor_us(rows=20 * GROUP, group=GROUP))
        manys.append(asyncio.run(timed(runs=1_000, hops=20)))
    one, many = [taken.hop_us for taken in ones], [taken.hop_us for taken in manys]
    starts = [taken.start_us for taken in manys]
    return [
        Figure("raw INSERT and COMMIT, a row each", statistics.median(floors), "us a row", "the floor"),
        Figure("one run, 1,000 hops", statistics.median(one), "us a hop", _ratio(one, floors)),
        Figure("1,000 runs at once, 20 hops each", statistics.median(many), "us a hop", _ratio(many, floors)),
        Figure("the same, best round", min(many), "us a hop", f"of {rounds}"),
        Figure("the same, processor time", min(taken.processor_us for taken in manys), "us a hop", "both threads"),
        Figure("starting 1,000 runs at once", statistics.median(starts), "us a run", _ratio(starts, floors)),
        Figure(f"raw INSERTs, a COMMIT every {GROUP}", statistics.median(groups), "us a row", _ratio(groups, floors)),
    ]


def _ratio(values: list[float], floors: list[float]) -> str:
    ratio = statistics.median(value / floor for value, floor in zip(values, floors, strict=True))
    return f"{ratio:.2f} of the floor"


async def timed(runs: int, hops: int) -> Taken:
    """So many runs at once, of so many hops each."""
    gate = asyncio.Event()
    with scratch() as db:
        async with Runner(db, visits_max=runs) as runner:
            begun = time.perf_counter()
            waiting = await started(runner, gated(gate), runs, hops)
            there, worked = time.perf_counter(), time.process_time()
            gate.set()
            await settled(runner, waiting)
            ended, worked = time.perf_counter(), time.process_time() - worked
    made = runs * hops
    return Taken((there - begun) / runs * 1e6, (ended - there) / made * 1e6, worked / made * 1e6)


def floor_us(rows: int, group: int) -> float:
    with scratch() as db:
        connection = _raw(db)
        body, head = "x" * (ROW_BYTES - 32), bytes(32)
        begun = time.perf_counter()
        for start in range(0, rows, group):
            connection.execute("BEGIN IMMEDIATE")
            for seq in range(start, start + group):
                connection.execute("INSERT INTO record (run, seq, body, head) VALUES (1, ?, ?, ?)", (seq, body, head))
            connection.execute("COMMIT")
        taken = time.perf_counter() - begun
        connection.close()
    return taken / rows * 1e6


def _raw(db: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(db, isolation_level=None)
    for pragma in ("page_size = 8192", "journal_mode = WAL", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(
        "CREATE TABLE record (id INTEGER PRIMARY KEY, run INTEGER, seq INTEGER, body TEXT, head BLOB) STRICT"
    )
    return connection
